"""What does one entry of the table cost the solver?

Question: nanoseconds for one dot product and one weighted addition of 128 float32 (an "entry-pass"; a sweep has 6 of them per
entry), written as plain loops and as the explicit vectors of thalweg.simd, without and with a prefetch some entries ahead; and of
the solver's own kernel, all in. Floor: the bytes of a vector at the speed of a copy from memory, where the vectors do not fit the
cache. Data: the table of `docs:` (4.4 M entries of 13,516 words: 7 MB of vectors, in L3) and a random one of 300,000 words
(154 MB, in memory).
One thread, interleaved, 5 rounds, medians and quartiles.
Command: python bench/words/solving.py          (about 2 minutes)
"""

import platform
import statistics
import sys
import time
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from thalweg import __version__, words
from thalweg.jit import kernel
from thalweg.simd import axpy, dot, prefetch
from thalweg.words.solving import als, objective

DIM = 128
ROUNDS = 5


@kernel(fastmath=True)
def plain(columns, weights, indptr, others, rows, total):
    dim = rows.shape[1]
    for row in range(len(indptr) - 1):
        for e in range(indptr[row], indptr[row + 1]):
            place = np.int64(columns[e]) * dim
            product = np.float32(0)
            for k in range(dim):
                product += others[place + k] * rows[row, k]
            product *= weights[e]
            for k in range(dim):
                total[k] += product * others[place + k]


@kernel(fastmath=True)
def vectors(columns, weights, indptr, others, rows, total, ahead):
    dim = rows.shape[1]
    flat = rows.ravel()
    x = np.empty(dim, np.float32)
    for row in range(len(indptr) - 1):
        for k in range(dim):
            x[k] = flat[row * dim + k]
        for e in range(indptr[row], indptr[row + 1]):
            if ahead > 0:
                prefetch(others, columns[min(e + ahead, len(columns) - 1)] * dim, dim)
            place = columns[e] * dim
            axpy(weights[e] * dot(others, place, x, dim), others, place, total, dim)


def random_table(n_words: int, per_row: int, rng: np.random.Generator) -> objective.Table:
    """A table whose columns fall like word frequencies (density 1/rank)."""
    columns = np.sort((n_words ** rng.random((n_words, per_row))).astype(np.int32) - 1, axis=1).ravel()
    indptr = np.arange(0, len(columns) + 1, per_row, dtype=np.int64)
    ones = np.ones(n_words)
    weights, targets = rng.random((2, len(columns)), np.float32)
    return objective.Table(indptr, columns, weights, targets, np.ones(n_words, np.float32), ones, 0.0, ones)


def candidates(table: objective.Table, rng: np.random.Generator) -> dict[str, tuple[partial, int]]:
    """Forms by name: (call, entry-passes in it)."""
    others = rng.standard_normal((len(table.pull), DIM)).astype(np.float32) / 10
    rows, total = others.copy(), np.zeros(DIM, np.float32)
    entries = (table.columns, table.weights, table.indptr, others.ravel(), rows, total)
    n = len(table.columns)
    found = {"plain loops": (partial(plain, *entries), n), "vectors": (partial(vectors, *entries, 0), n)}
    found |= {f"vectors, prefetch {ahead} ahead": (partial(vectors, *entries, ahead), n) for ahead in (4, 6, 8, 10, 16)}
    grams = objective.gram(others, table.pull, 1)
    step = partial(als._half_sweep, table, rows.copy(), others, grams, objective.Settings(), 2, 1, np.zeros(0, np.float32))
    return found | {"the solver's half sweep (3 passes)": (step, 3 * n)}


def copy_floor() -> float:
    """Nanoseconds to bring DIM float32 from memory, by a copy of 512 MB (reads only are counted)."""
    source = np.ones(1 << 27, np.float32)
    target = np.empty_like(source)
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        np.copyto(target, source)
        times.append(time.process_time() - began)
    return statistics.median(times) / len(source) * DIM * 1e9


def main() -> None:
    rng = np.random.default_rng(0)
    tables = {
        "docs:": objective.table(words.count(words.read(Path("docs:"))), objective.Settings()),
        "random, 300,000 words": random_table(300_000, 20, rng),
    }
    print(f"thalweg {__version__}, Python {platform.python_version()}, {date.today()}, one thread, medians of {ROUNDS} rounds")
    print(f"a copy from memory brings {DIM} float32 in {copy_floor():.0f} ns\n")
    print("| table | form | ns per entry-pass (quartiles) |\n| --- | --- | --- |")
    for name, table in tables.items():
        runs = candidates(table, rng)
        for call, _ in runs.values():
            call()
        times: dict[str, list[float]] = {form: [] for form in runs}
        for _ in range(ROUNDS):
            for form, (call, passes) in runs.items():
                began = time.process_time()
                call()
                times[form].append((time.process_time() - began) / passes * 1e9)
        for form, values in times.items():
            low, middle, high = statistics.quantiles(values, n=4)
            print(f"| {name} | {form} | {middle:.0f} ({low:.0f} to {high:.0f}) |")
        print(f"done: {name}", file=sys.stderr)


if __name__ == "__main__":
    main()
