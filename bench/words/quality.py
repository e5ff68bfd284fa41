"""What does each choice do to the word tests, and how do the vectors stand beside those of other programs?

Question: scores of the word tests for every option of the model, one changed at a time from the defaults (`options`), and of the
defaults over several seeds beside the peers (`peers`). Every program reads the same dump of our tokens (peers.py makes it and the
peers' vectors), so vocabulary and covered items are the same. Dimension 128. Chosen on: MEN, SimLex-999, CA8, the odd-numbered
Google questions; the claim rests on the others (WordSim-353, Rare Words, MTurk-287, the even-numbered Google questions, CA
translated, wordsim-240 and 297). Scores: Spearman x 100 of the cosine; per cent of covered analogies answered right (3CosAdd).
Peers: gensim skip-gram and CBOW, fastText, GloVe (peers.py), and PPMI-SVD: our `--solver svd`, contexts smoothed.
Command: THALWEG_DATA=... python bench/words/quality.py en options       (about 20 minutes; also: zh options, en peers, zh peers)
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import peers

from thalweg import words
from thalweg.words.counts.table import CooccurrenceCounts
from thalweg.words.judging import evaluation, questions
from thalweg.words.wordvectors import WordVectors

TUNED_ON = ("google odd", "men", "simlex", "ca8 morphological", "ca8 semantic")
PAIRS = {
    "en": {"wordsim353": "wordsim353.tsv", "rare words": "rare-words.txt", "mturk": "mturk-287.txt", "men": "men-3000.txt",
           "simlex": "simlex999.tsv"},
    "zh": {"wordsim240": "wordsim-240.txt", "wordsim297": "wordsim-297.txt"},
}  # fmt: skip
ANALOGIES = {
    "en": {"google": "google-analogies.txt"},
    "zh": {"ca8 morphological": "ca8-morphological.txt", "ca8 semantic": "ca8-semantic.txt", "ca translated": "ca-translated.txt"},
}

# name -> (how to count, how to solve, how to read); {} is the default throughout, but rows below "subwords 0" know no letters: they
# show what an option does to the model itself
Row = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
OPTIONS: dict[str, Row] = {
    "defaults": ({}, {}, {}),
    "output sum for analogies too": ({}, {}, {"output": "sum"}),
    "output concat for all": ({}, {}, {"output": "concat"}),
    "output word for all": ({}, {}, {"output": "word"}),
    "subwords 0.5": ({}, {}, {"subwords": 0.5}),
    "subwords 1.5": ({}, {}, {"subwords": 1.5}),
    "subwords 0": ({}, {}, {"subwords": 0.0}),
    "power 0.25": ({}, {}, {"power": 0.25}),
    "power 0.75": ({}, {}, {"power": 0.75}),
    "power 1": ({}, {}, {"power": 1.0}),
    "mean removed": ({}, {}, {"top": 0}),
    "mean and 2 leading directions removed": ({}, {}, {"top": 2}),
    "contexts 500": ({}, {}, {"contexts": 500}),
    "contexts 10000": ({}, {}, {"contexts": 10_000}),
    "epochs 3": ({}, {"epochs": 3}, {}),
    "epochs 8": ({}, {"epochs": 8}, {}),
    "start noise, 5 epochs": ({}, {"start": "noise"}, {}),
    "windows 3 and 10 side by side": ({}, {}, {"beside": {"window": 3}}),
    "objective pmi": ({}, {"objective": "pmi"}, {}),
    "model shared": ({}, {"model": "shared"}, {}),
    "solver svd": ({}, {"solver": "svd"}, {}),
    "solver svd, power 0.25": ({}, {"solver": "svd"}, {"power": 0.25}),
    "start noise, 8 epochs": ({}, {"start": "noise", "epochs": 8}, {}),
    "start not smoothed (smooth 1 in the start)": ({}, {"smooth": 1.0}, {}),
    "window 5": ({"window": 5}, {}, {}),
    "window 3": ({"window": 3}, {}, {}),
    "distance uniform": ({"distance": "uniform"}, {}, {}),
    "distance uniform, window 5": ({"distance": "uniform", "window": 5}, {}, {}),
    "distance linear": ({"distance": "linear"}, {}, {}),
    "floor 0": ({}, {"floor": 0.0}, {}),
    "floor -2": ({}, {"floor": -2.0}, {}),
    "rho 0.3": ({}, {"rho": 0.3}, {}),
    "rho 3": ({}, {"rho": 3.0}, {}),
    "beta 0.5": ({}, {"beta": 0.5}, {}),
    "x_max 20": ({}, {"x_max": 20.0}, {}),
    "alpha 0.5": ({}, {"alpha": 0.5}, {}),
    "alpha 1": ({}, {"alpha": 1.0}, {}),
    "shift ln 5": ({}, {"shift": float(np.log(5))}, {}),
    "subsample 1e-4": ({}, {"subsample": 1e-4}, {}),
    "ridge 0.1": ({}, {"ridge": 0.1}, {}),
}


@cache
def tokens(corpus: str) -> Any:
    return words.read(peers.dump(corpus), language="whitespace")


@cache
def counted(corpus: str, window: int, distance: str) -> CooccurrenceCounts:
    return words.count(tokens(corpus), window=window, distance=distance)


def fitted(corpus: str, counting: dict[str, Any], solving: dict[str, Any]) -> WordVectors:
    counts = counted(corpus, **({"window": 10, "distance": "harmonic"} | counting))
    wv = words.solve(counts, **solving)
    wv.info["corpus"] = corpus
    wv.info["language"] = "words"  # so that test sets are lower-cased
    return wv


def read_off(wv: WordVectors, how: dict[str, Any], kind: str) -> np.ndarray:
    """Unit vectors for "pairs" or "analogies", after what `how` does to them."""
    if "beside" in how:  # two fits read together
        one, other = (read_off(each, {}, kind) for each in (wv, fitted(wv.info["corpus"], how["beside"], {"subwords": 0.0})))
        return np.concatenate([one, other], axis=1) / np.float32(2**0.5)
    how = {"power": 0.5, "output": "sum" if kind == "pairs" else "concat", "subwords": wv.subwords} | how
    if "contexts" in how and kind == "pairs":
        return wv.profiles(how["contexts"])
    wv = wv.with_subwords(how["subwords"]) if wv.letters is not None else wv
    vectors = wv.rebalance(how["power"]).vectors(how["output"])
    if "top" in how:  # "all but the top" (Mu and Viswanath 2018)
        vectors = vectors - vectors.mean(axis=0)
        directions = np.linalg.eigh(vectors.T @ vectors)[1][:, vectors.shape[1] - how["top"] :]
        vectors = vectors - (vectors @ directions) @ directions.T
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def scores(wv: WordVectors, corpus: str, how: dict[str, Any]) -> dict[str, float]:
    """Every score of the corpus' language, in per cent; for zh also the mean rank of the twenty questions and that of 火车站."""
    folder = Path(os.environ["THALWEG_DATA"]) / "eval" / corpus
    known = evaluation._Known(wv, np.arange(len(wv)))
    found: dict[str, float] = {}
    unit = read_off(wv, how, "analogies")
    for name, file in ANALOGIES[corpus].items():
        asked = evaluation.read_analogies(folder / file)
        places = [(*map(known.place, q[:3]), tuple(map(known.place, q[3]))) for q in asked.questions]
        add, mul = evaluation.answer(asked, unit, places)
        found[name] = 100 * add.total.of_covered
        if name == "google":
            ranks = add.ranks
            for half, start in (("odd", 0), ("even", 1)):  # the first question is number 1
                part = ranks[start::2]
                found[f"google {half}"] = 100 * (part == 1).sum() / (part > 0).sum()
            found |= {"google semantic": 100 * add.semantic.of_covered, "google syntactic": 100 * add.syntactic.of_covered}
            found["google mul"] = 100 * mul.total.of_covered
    pair_unit = read_off(wv, how, "pairs")
    for name, file in PAIRS[corpus].items():
        pairs = evaluation.read_pairs(folder / file)
        result = evaluation.judge(pairs, pair_unit, [(known.place(a), known.place(b)) for a, b, _ in pairs.pairs])
        found[name] = 100 * result.spearman
        found[f"{name} half interval"] = 50 * (result.high - result.low)
    if corpus == "zh":
        asked = [q for q in questions.ZH if all(w in wv for w in q)]
        rows = np.array([[wv.index[w] for w in (b, a, c, d)] for a, b, c, d in asked])
        from thalweg.words.judging.analogies import analogy_ranks

        ranks = analogy_ranks(unit, rows, methods=["add"])["add"]
        found |= {"twenty first": float((ranks == 1).sum()), "twenty top 5": float((ranks <= 5).sum()), "火车站": float(ranks[0])}
    return found


def record(corpus: str, name: str, found: dict[str, float], seconds: float, part: str) -> None:
    """One line of the CSV, and of the terminal."""
    path = peers.RESULTS.parent / f"words-quality-{corpus}-{part}.csv"
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        if fresh:
            writer.writerow(["name", "seconds", *found])
        writer.writerow([name, f"{seconds:.1f}", *(f"{value:.2f}" for value in found.values())])
    shown = ", ".join(f"{key} {value:.1f}" for key, value in found.items() if "interval" not in key)
    print(f"{name}: {shown}", flush=True)


def options(corpus: str, only: list[str]) -> None:
    last: tuple[Any, WordVectors] | None = None
    for name, (counting, solving, how) in OPTIONS.items():
        if only and not any(name.startswith(o) for o in only):
            continue
        if name != "defaults" and "subwords" not in how:
            solving = {"subwords": 0.0} | solving
        began = time.monotonic()
        if last is None or last[0] != (counting, solving):
            last = (counting, solving), fitted(corpus, counting, solving)
        seconds = time.monotonic() - began
        record(corpus, name, scores(last[1], corpus, how), seconds, "options")


def twenty(corpus: str, seeds: int) -> None:
    """The rank of the right answer to each of the twenty questions, over seeds, as a table."""
    from thalweg.words.judging.analogies import analogy_ranks

    ways = {"defaults": ({}, {}), "window 3": ({"window": 3}, {})}
    for name, (counting, solving) in ways.items():
        ranks = []
        for seed in range(seeds):
            wv = fitted(corpus, counting, solving | {"seed": seed})
            asked = [q for q in questions.ZH if all(w in wv for w in q)]
            rows = np.array([[wv.index[w] for w in (b, a, c, d)] for a, b, c, d in asked])
            ranks.append(analogy_ranks(wv.unit("concat"), rows, methods=["add"])["add"])
        print(f"\n| {name}: question | rank, seeds 0 to {seeds - 1} |\n| --- | --- |")
        for (a, b, c, d), row in zip(asked, np.array(ranks).T, strict=True):
            print(f"| {a} - {b} + {c} = {d} | {', '.join(map(str, row))} |", flush=True)


def beside_peers(corpus: str, seeds: int) -> None:
    ours = {
        "thalweg": ({}, {}, {}),
        "thalweg, subwords 0": ({}, {}, {"subwords": 0.0}),
        "PPMI-SVD": ({}, {"solver": "svd", "subwords": 0.0}, {}),
        "PPMI-SVD, power 0.25": ({}, {"solver": "svd", "subwords": 0.0}, {"power": 0.25}),
        "PPMI-SVD, uniform window 5": ({"window": 5, "distance": "uniform"}, {"solver": "svd", "subwords": 0.0}, {}),
    }
    for name, (counting, solving, how) in ours.items():
        for seed in range(seeds if name.startswith("thalweg") else 1):
            began = time.monotonic()
            wv = fitted(corpus, counting, solving | {"seed": seed})
            record(corpus, f"{name}, seed {seed}", scores(wv, corpus, how), time.monotonic() - began, "peers")
    for file in sorted(peers.RESULTS.glob(f"{corpus}.*.npz")):
        with np.load(file) as data:
            wv = WordVectors(data["words"].tolist(), None, data["vectors"], info={"language": "words"})
        record(corpus, file.stem.removeprefix(f"{corpus}."), scores(wv, corpus, {}), 0.0, "peers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", choices=["en", "zh"])
    parser.add_argument("part", choices=["options", "peers", "twenty"])
    parser.add_argument("--only", action="append", default=[], help="options whose names begin so")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    if given.part == "options":
        options(given.corpus, given.only)
    elif given.part == "twenty":
        twenty(given.corpus, given.seeds)
    else:
        beside_peers(given.corpus, given.seeds)


if __name__ == "__main__":
    main()
