"""What does a step cost on a large embedding of which few rows are read?

Question: wall milliseconds of a step of Adam on a table of 5 M x 64 (or --rows) with 4,096 ids a step: torch's dense fused step
against `lazy_rows`, with ids drawn uniformly and by Zipf's law with exponent 1.2, one thread and two. Ours is the whole of reading
the rows (which brings them to the present), the gradient and the step; of the dense one only the step is timed, its gradient is set
once. All rows have moments, as after an epoch: idle steps of a row that was never read cost nothing. Interleaved; that both go the
same way is a test.
Command: python bench/optim/embedding.py [--rows N] [--rounds N]          (about 2 minutes, 10 GB)
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

import thalweg.optim.torch as ours
from thalweg import optim

IDS = 4096


def ids_of(kind: str, rows: int, rng: np.random.Generator) -> torch.Tensor:
    if kind == "uniform":
        return torch.from_numpy(rng.integers(0, rows, IDS))
    return torch.from_numpy(np.minimum(rng.zipf(1.2, IDS), rows) - 1)


def quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles([1e3 * v for v in values], n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    weight = torch.zeros(given.rows, 64)
    dense = torch.nn.Parameter(weight)
    dense.grad = torch.full_like(weight, 1e-3)
    fused = torch.optim.Adam([dense], lr=1e-3, fused=True)
    print("| ids | threads | dense fused step, wall ms | lazy: read, backward, step, wall ms | dense / lazy |")
    print("| --- | --- | --- | --- | --- |")
    for kind in ("uniform", "Zipf 1.2"):
        embedding = torch.nn.Embedding(given.rows, 64, sparse=True, _weight=torch.zeros(given.rows, 64))
        lazy = ours.Optimizer(embedding.parameters(), optim.Adam(lr=1e-3))
        lazy.lazy_rows(embedding)

        def step(embedding: torch.nn.Embedding = embedding, lazy: ours.Optimizer = lazy, kind: str = kind) -> float:
            ids = ids_of(kind, given.rows, rng)
            began = time.perf_counter()
            lazy.zero_grad()
            embedding(ids).sum().backward()
            lazy.step()
            return time.perf_counter() - began

        step()
        lazy.state[embedding.weight]["exp_avg"].fill_(1e-4)
        lazy.state[embedding.weight]["exp_avg_sq"].fill_(1e-7)
        for _ in range(300):  # rows have been idle for a while when the clock starts
            step()
        for threads in (1, 2):
            torch.set_num_threads(threads)
            fused.step()
            times: dict[str, list[float]] = {"dense": [], "lazy": []}
            for _ in range(given.rounds):
                began = time.perf_counter()
                fused.step()
                times["dense"].append(time.perf_counter() - began)
                times["lazy"].append(step())
            ratios = statistics.quantiles([a / b for a, b in zip(times["dense"], times["lazy"], strict=True)], n=4)
            shown = f"{ratios[1]:.1f} ({ratios[0]:.1f} to {ratios[2]:.1f})"
            print(f"| {kind} | {threads} | {quartiles(times['dense'])} | {quartiles(times['lazy'])} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
