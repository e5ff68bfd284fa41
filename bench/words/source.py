"""How much CPU time until the loss that the source's own program reaches?

Question: CPU seconds of our solver until the weighted loss that simpler_glove (Su Jianlin 2017; two vectors a word, objective
"pmi") has after 15 iterations; both losses recomputed from the vectors with one function, on one table. Corpus: the first 1.6 MB
of `en`, our token dump, uniform window 10, count 5 and more, dimension 128, one thread, float64 there, float32 here. The source's
time is that of its training program alone; ours that of weights, start (not smoothed, one power step) and sweeps. Also compares
the counts, entry by entry.
Peer: `git clone https://github.com/bojone/simpler_glove; make -C simpler_glove` with -O3 -march=native; SIMPLER_GLOVE=.../build.
Command: THALWEG_DATA=... SIMPLER_GLOVE=... python bench/words/source.py          (about 5 minutes)
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import peers

from thalweg import words
from thalweg.words.counts.table import CooccurrenceCounts
from thalweg.words.solving import als, objective, svd
from thalweg.words.solving.settings import Settings

SETTINGS = Settings(objective="pmi", ridge=0.0)
ITERATIONS = 15
ROUNDS = 5


def loss(table: objective.Table, word: np.ndarray, context: np.ndarray) -> float:
    """Sum over the entries of 1/2 w (<u_i, k_j> - t_ij)^2, over the number of entries, in float64."""
    rows = np.repeat(np.arange(len(word)), np.diff(table.indptr))
    total = 0.0
    for k in range(0, len(rows), 1 << 18):
        part = slice(k, k + (1 << 18))
        products = np.einsum("nd,nd->n", word[rows[part]].astype(float), context[table.columns[part]].astype(float))
        total += float((table.weights[part] * (products - table.targets[part]) ** 2).sum()) / 2
    return total / len(rows)


def theirs(tokens: Path, folder: Path, counts: CooccurrenceCounts) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Word and context vectors in the order of our vocabulary, CPU seconds of training, and their count table (dense rows)."""
    programs = Path(os.environ["SIMPLER_GLOVE"])
    quiet = {"check": True, "cwd": folder, "stderr": subprocess.DEVNULL}
    with tokens.open() as text, (folder / "vocab").open("w") as out:
        subprocess.run([programs / "vocab_count", "-min-count", "5"], stdin=text, stdout=out, **quiet)
    with tokens.open() as text, (folder / "pairs").open("wb") as out:
        subprocess.run([programs / "cooccur", "-vocab-file", "vocab", "-window-size", "10"], stdin=text, stdout=out, **quiet)
    with (folder / "pairs").open("rb") as pairs, (folder / "shuffled").open("wb") as out:
        subprocess.run([programs / "shuffle", "-memory", "2", "-verbose", "0"], stdin=pairs, stdout=out, **quiet)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    train = [programs / "glove", "-save-file", "vectors", "-input-file", "shuffled", "-vocab-file", "vocab", "-threads", "1"]
    train += ["-vector-size", "128", "-iter", str(ITERATIONS), "-model", "1", "-binary", "0"]
    subprocess.run(train, stdout=subprocess.DEVNULL, **quiet)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    names = [line.split(" ")[0] for line in (folder / "vocab").read_text(encoding="utf-8").rstrip("\n").split("\n")]
    rows = dict(line.split(" ", 1) for line in (folder / "vectors.txt").read_text(encoding="utf-8").rstrip("\n").split("\n"))
    both = np.array([np.fromstring(rows[word], sep=" ") for word in counts.words])
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    records = np.fromfile(folder / "pairs", np.dtype([("i", "<i4"), ("j", "<i4"), ("x", "<f8")]))
    place = np.array([counts.words.index(name) for name in names])
    records["i"], records["j"] = place[records["i"] - 1], place[records["j"] - 1]
    return both[:, :128], both[:, 128:], seconds, records


def ours(counts: CooccurrenceCounts, goal: float) -> tuple[float, float, int]:
    """CPU seconds to the first sweep whose loss is at or below the goal, that loss, and the number of sweeps."""
    sweeps = 0
    while True:
        sweeps += 1
        began = time.process_time()
        table = objective.table(counts, SETTINGS)
        word, context = svd.start(table, 128, power_steps=1, smooth=1.0, threads=1)
        word, context, _ = als.descend(table, word, context, SETTINGS, epochs=sweeps, tol=0, threads=1)
        seconds = time.process_time() - began
        reached = loss(table, word, context)
        if reached <= goal:
            return seconds, reached, sweeps


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokens = folder / "tokens"
        text = peers.dump("en").read_bytes()[:1_600_000]
        tokens.write_bytes(text[: text.rindex(b"\n") + 1])
        counts = words.count(words.read(tokens, language="whitespace"), distance="uniform")
        word, context, seconds, records = theirs(tokens, folder, counts)
        full = counts.to_scipy().tocoo()
        same = len(records) == full.nnz and bool((counts.to_scipy()[records["i"], records["j"]] == records["x"]).all())
        print(f"{len(counts.words):,} words, {full.nnz:,} entries; count tables equal entry by entry: {same}")
        table = objective.table(counts, SETTINGS)
        goal = loss(table, word, context)
        ours(counts, goal)  # compiled
        runs = [ours(counts, goal) for _ in range(ROUNDS)]
        times = [run[0] for run in runs]
        ratios = [seconds / t for t in times]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print("| program | CPU s | loss an entry | passes |\n| --- | --- | --- | --- |")
        print(f"| simpler_glove | {seconds:.1f} | {goal:.5f} | {ITERATIONS} iterations |")
        print(f"| thalweg | {statistics.median(times):.2f} | {runs[0][1]:.5f} | start and {runs[0][2]} sweeps |")
        print(f"\nratio {middle:.0f} ({low:.0f} to {high:.0f})")


if __name__ == "__main__":
    main()
