"""How long does a question take?

Question: milliseconds of `related`, `similar` and an analogy over 400,000 words x 128 dimensions (made up, two vectors each, mapped
from disk), warm, beside gensim's `most_similar` on one vector a word of the same size; and seconds of the whole command
`thalweg words related` on them and on a small directory. `related` reads both tables, 410 MB: at 15 GB/s that alone is 27 ms.
Interleaved, medians and quartiles of 20 questions; commands of 5.
Command: python bench/words/queries.py          (about 2 minutes)
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import speed

from thalweg.words import WordVectors

N, DIM, ROUNDS = 400_000, 128, 20


def made_up(n: int, seed: int = 0) -> WordVectors:
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((n, DIM), np.float32)
    k = u + np.float32(0.3) * rng.standard_normal((n, DIM), np.float32)
    return WordVectors([f"w{i}" for i in range(n)], np.arange(n, 0, -1), u, k, np.ones(DIM))


def show(name: str, times: list[float], unit: float, digits: int) -> None:
    low, middle, high = (f"{value * unit:.{digits}f}" for value in statistics.quantiles(times, n=4))
    print(f"| {name} | {middle} ({low} to {high}) |")


def main() -> None:
    from gensim.models import KeyedVectors

    with tempfile.TemporaryDirectory() as name:
        for folder, n in (("large", N), ("small", 10_000)):
            made_up(n).save(Path(name, folder))
        wv = WordVectors.load(Path(name, "large"))
        peer = KeyedVectors(DIM)
        peer.add_vectors(wv.words, wv.word + wv.context)
        peer.fill_norms()
        asked: dict[str, Callable[[int], object]] = {
            "thalweg related": lambda i: wv.related(f"w{i}"),
            "thalweg similar": lambda i: wv.similar(f"w{i}"),
            "thalweg analogy": lambda i: wv.analogy(f"w{i}", f"w{i + 1}", f"w{i + 2}"),
            "gensim most_similar": lambda i: peer.most_similar(f"w{i}"),
            "gensim most_similar, three words": lambda i: peer.most_similar([f"w{i}", f"w{i + 2}"], [f"w{i + 1}"]),
        }
        times: dict[str, list[float]] = {what: [] for what in asked}
        for i in range(-3, ROUNDS):
            for what, ask in asked.items():
                began = time.perf_counter()
                ask(1000 + 7 * i)
                if i >= 0:
                    times[what].append(time.perf_counter() - began)
        print(f"| question, {N:,} words x {DIM} | ms (quartiles) |\n| --- | --- |")
        for what, values in times.items():
            show(what, values, 1e3, 1)
        print("\n| command | s (quartiles) |\n| --- | --- |")
        for folder in ("small", "large"):
            command = [sys.executable, "-m", "thalweg", "words", "related", Path(name, folder), "w7"]
            show(f"`thalweg words related`, {folder} vectors", [speed.process(*command)[0] for _ in range(6)][1:], 1, 2)


if __name__ == "__main__":
    main()
