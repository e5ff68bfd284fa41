"""How long does the evaluation of 19,544 analogies take?

Question: seconds for Google's analogies (Mikolov et al. 2013) on the same vectors, all words being candidates, from the file to
the accuracy of each section. Ours answers by 3CosAdd (which is all that gensim does), and by both methods in one pass.
Peer: gensim's KeyedVectors.evaluate_word_analogies (pip install gensim), one product and one partial sort a question.
Both must find the same questions right; differences are counted and printed (gensim's scores are float32).
Data: $THALWEG_DATA/eval/en/google-analogies.txt and vectors of 80,000 words: an .npz of `words` and `vectors`, a directory of ours,
or without one random vectors in which every question has a fair chance.
Interleaved, medians and quartiles of ROUNDS rounds, compiled kernels warm. Threads: all, for BLAS too.
Command: THALWEG_DATA=... python bench/words/evaluating.py [VECTORS] [--rounds 3]          (3 to 5 minutes a round, gensim's)
"""

import argparse
import csv
import os
import platform
import statistics
import time
from datetime import date
from pathlib import Path

import numpy as np

from thalweg import __version__
from thalweg.threads import available
from thalweg.words import WordVectors
from thalweg.words.judging import evaluation

N_WORDS, DIM = 80_000, 128
QUESTIONS = Path(os.environ.get("THALWEG_DATA", ".")) / "eval" / "en" / "google-analogies.txt"
RESULTS = Path(__file__).parent.parent / "results" / "words-evaluating.csv"


def made_up(dim: int) -> WordVectors:
    """Random vectors; of two words that stand side by side in a question the second is the first plus a vector of the section."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((N_WORDS, dim)).astype(np.float32)
    questions = evaluation.read_analogies(QUESTIONS)
    names: dict[str, int] = {}
    shift = {name: rng.standard_normal(dim) for name in questions.section}
    for (a, b, c, (d,)), section in zip(questions.questions, questions.section, strict=True):
        for first, second in ((a, b), (c, d)):
            i, j = (names.setdefault(word.lower(), len(names)) for word in (first, second))
            rows[j] = rows[i] + shift[section] + 0.9 * rng.standard_normal(dim)
    order = rng.permutation(N_WORDS)  # the words asked about are not all among the first
    words = [*names, *(f"w{k}" for k in range(N_WORDS - len(names)))]
    return WordVectors([words[k] for k in order], None, rows[order])


def given_vectors(path: Path) -> WordVectors:
    if path.is_dir():
        return WordVectors.load(path)
    with np.load(path) as arrays:
        return WordVectors([str(word) for word in arrays["words"][:N_WORDS]], None, arrays["vectors"][:N_WORDS])


def quartiles(times: list[float]) -> str:
    if len(times) < 2:
        return f"{times[0]:.3g}"
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def right(result: evaluation.AnalogyResult, questions: evaluation.AnalogySet) -> list[tuple[str, ...]]:
    asked = zip(questions.questions, result.ranks, strict=True)
    return [tuple(word.upper() for word in (a, b, c, d)) for (a, b, c, (d,)), rank in asked if rank == 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vectors", nargs="?", type=Path)
    parser.add_argument("--dim", type=int, default=DIM, help="of the made-up vectors: 256 is what concat has")
    parser.add_argument("--output", choices=["sum", "concat", "word"], help="of a directory of ours")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    wv = made_up(given.dim) if given.vectors is None else given_vectors(given.vectors)
    plain = WordVectors(wv.words, None, wv.vectors(given.output or wv.output or "concat"))

    def ours(method: str | None) -> evaluation.Evaluation:  # a new object: unit vectors are cached
        return WordVectors(plain.words, None, plain.word).evaluate([QUESTIONS], method=method)

    programs = {"thalweg, add": lambda: ours("add"), "thalweg, add and mul": lambda: ours(None)}
    try:
        from gensim.models import KeyedVectors
    except ImportError:
        print("gensim is left out: pip install gensim")
    else:
        keyed = KeyedVectors(plain.dim)
        keyed.add_vectors(plain.words, plain.word)
        programs["gensim, add"] = lambda: keyed.evaluate_word_analogies(str(QUESTIONS), restrict_vocab=len(plain))
    ours(None)
    times: dict[str, list[float]] = {name: [] for name in programs}
    answers = {}
    for _ in range(given.rounds):
        for name, program in programs.items():
            began = time.perf_counter()
            answers[name] = program()
            times[name].append(time.perf_counter() - began)
    result = answers["thalweg, add"].analogies[0]
    print(f"{len(plain):,} words, {plain.dim} dimensions, {result.total.covered:,} of {result.total.asked:,} questions covered,")
    print(f"{result.total.right:,} right by 3CosAdd; {available()} threads, {given.rounds} rounds, {platform.machine()}")
    if "gensim, add" in answers:
        theirs = answers["gensim, add"][1][-1]["correct"]
        mine = right(result, evaluation.read_analogies(QUESTIONS))
        print(f"gensim finds {len(theirs):,} right; {len(set(mine) ^ set(theirs))} questions differ")
    print("\n| program | seconds | times faster |\n| --- | --- | --- |")
    slowest = statistics.median(times.get("gensim, add", [float("nan")]))
    for name, each in times.items():
        print(f"| {name} | {quartiles(each)} | {slowest / statistics.median(each):.0f} |")
    RESULTS.parent.mkdir(exist_ok=True)
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        if new:
            writer.writerow(["date", "version", "threads", "words", "dim", "covered", "program", "rounds", "median_s"])
        for name, each in times.items():
            facts = [date.today(), __version__, available(), len(plain), plain.dim, result.total.covered, name, len(each)]
            writer.writerow([*facts, f"{statistics.median(each):.4f}"])


if __name__ == "__main__":
    main()
