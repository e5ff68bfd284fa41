"""How far is counting from its limit?

Question: nanoseconds a token of the co-occurrence count (window 10, harmonic, from word numbers to the table in memory), on one
thread and on two, against a floor: the same 2 x window updates a token of one accumulator of 32-bit sums, in the order of the text
(so without the walk by words, which makes rows independent and sorted), and writing out as many bytes as the table has.
Data: `en`, 18.2 M tokens, 79,601 words. Interleaved, 5 rounds, medians and quartiles.
Command: THALWEG_DATA=... python bench/words/limit.py          (about 1 minute)
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import peers

from thalweg import words
from thalweg.jit import kernel
from thalweg.words.counts.accumulate import joined, rows_of
from thalweg.words.counts.table import distance_weights

ROUNDS = 5


@kernel
def updates(ids, weights, total):
    window = len(weights) - 1
    for place in range(window, len(ids) - window):
        for step in range(1, window + 1):
            total[ids[place - step]] += weights[step]
            total[ids[place + step]] += weights[step]


def main() -> None:
    tokens = words.read(peers.dump("en"), language="whitespace")
    weights, _ = distance_weights(10, "harmonic")
    n_words, n = len(tokens.words), int(tokens.counts.sum())
    positive = np.maximum(tokens.ids, 0)
    narrow, total = weights.astype(np.uint32), np.zeros(n_words, np.uint32)
    table = joined(list(rows_of(tokens.ids, n_words, weights, threads=1)), n_words)
    source = np.ones(len(table[1]), np.uint64)

    def count(threads: int) -> None:
        joined(list(rows_of(tokens.ids, n_words, weights, threads=threads)), n_words)

    runs = {
        "floor: updates of an accumulator": lambda: updates(positive, narrow, total),
        "floor: writing the table's bytes": lambda: source.copy(),
        "count, 1 thread": lambda: count(1),
        "count, 2 threads": lambda: count(2),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(-1, ROUNDS):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if round_ >= 0:
                times[name].append((time.perf_counter() - began) / n * 1e9)
    print("| what | ns a token (quartiles) |\n| --- | --- |")
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"| {name} | {middle:.0f} ({low:.0f} to {high:.0f}) |")
    floor = [a + b for a, b in zip(*list(times.values())[:2], strict=True)]
    for what, ratios in (
        ("one thread, times the floor", [c / f for c, f in zip(times["count, 1 thread"], floor, strict=True)]),
        ("two threads, times one", [a / b for a, b in zip(times["count, 1 thread"], times["count, 2 threads"], strict=True)]),
    ):
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"\n{what}: {middle:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
