"""`diagnose`: is it quick, small and useful?

    python bench/optim/diagnosing.py peer        # sharpness at 10^6 parameters beside curvlinops' operator with SciPy's eigsh
    python bench/optim/diagnosing.py size        # seconds and memory on 10^7 parameters, against one training step
    python bench/optim/diagnosing.py useful [scripts|chosen|held_out] [seeds]     # what it suggests against a grid of 12 rates

Two threads, "useful" one (such small tensors have no use for a second). There each suggestion is trained with for the problem's
own number of steps: that of curvature and sweep alone (`steps=0`), of trial runs of the default length, and of as many steps as
the run has. The loss is the mean of the last fifth, the median over the seeds; beside it the best of 12 rates from 2.2e-4 to
1, three a decade.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import tasks
import torch
from torch import nn


def made_up(widths: list[int], batch: int, batches: int, kind: type[torch.optim.Optimizer] = torch.optim.Adam) -> Any:
    """A perceptron, and random batches for it."""
    torch.manual_seed(0)
    model = tasks.perceptron(*widths, act=nn.GELU)
    data = [(torch.randn(batch, widths[0]), torch.randint(widths[-1], (batch,))) for _ in range(batches)]
    return model, tasks.cross_entropy, data, kind(model.parameters(), lr=1e-3)


def peer(rounds: str = "5") -> None:
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import LinearOperator, eigsh

    from thalweg.optim.diagnosis import Hessian, copied, largest

    model, loss, data, optimizer = made_up([784, 800, 400, 100, 10], 128, 4, torch.optim.SGD)
    n = sum(p.numel() for p in model.parameters())

    def ours() -> tuple[float, int]:
        with copied((model, loss, data, optimizer), 4) as one:
            operator = Hessian(one, 4)
            found = largest(lambda v: operator @ v, torch.randn(one.n, generator=torch.Generator().manual_seed(0)))
            return found.value, found.steps

    def theirs() -> tuple[float, int]:
        operator = HessianLinearOperator(model, nn.CrossEntropyLoss(), list(model.parameters()), data).to_scipy()
        count = 0

        def product(v: Any) -> Any:
            nonlocal count
            count += 1
            return operator @ v

        wrapped = LinearOperator(operator.shape, matvec=product, dtype=operator.dtype)
        value = eigsh(wrapped, k=1, which="LA", tol=5e-3, return_eigenvectors=False)[0]
        return float(value), count

    times: dict[str, list[float]] = {"thalweg": [], "curvlinops, eigsh": []}
    found: dict[str, tuple[float, int]] = {}
    for _ in range(int(rounds)):
        for name, run in (("thalweg", ours), ("curvlinops, eigsh", theirs)):
            began = time.perf_counter()
            found[name] = run()
            times[name].append(time.perf_counter() - began)
    ratios = sorted(b / a for a, b in zip(*times.values(), strict=True))
    print(f"{n:,} parameters, the mean loss of 4 batches of 128, tolerance 0.5%\n")
    print("| | sharpness | products | s (median) |\n| --- | --- | --- | --- |")
    for name, (value, count) in found.items():
        print(f"| {name} | {value:.5g} | {count} | {statistics.median(times[name]):.2f} |")
    print(f"\ncurvlinops over thalweg: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


SIZED = """
import resource, sys, time
sys.path.insert(0, {here!r})
import torch, scipy.linalg, numba
import thalweg.optim.dynamics, thalweg.optim.diagnosis
from diagnosing import made_up
begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
problem = made_up([1024, 2048, 2048, 1536, 512, 100], 128, 16)
model, loss, data, optimizer = problem
t = time.perf_counter()
{work}
seconds = time.perf_counter() - t
print(sum(p.numel() for p in model.parameters()), seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun) / 1024)
"""
STEP = "loss(model, data[0]).backward(); optimizer.step()"
DIAGNOSE = "thalweg.optim.diagnosis.diagnose(problem)"


def size(rounds: str = "3") -> None:
    found: dict[str, list[list[float]]] = {"one training step": [], "diagnose": []}
    for _ in range(int(rounds)):
        for name, work in (("one training step", STEP), ("diagnose", DIAGNOSE)):
            code = SIZED.format(here=str(Path(__file__).parent), work=work)
            out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
            found[name].append([float(x) for x in out.split()])
    print(f"{found['diagnose'][0][0]:,.0f} parameters, Adam, batches of 128; memory above that of the imports\n")
    print("| | s (median, range) | MB |\n| --- | --- | --- |")
    for name, rows in found.items():
        seconds = [row[1] for row in rows]
        print(f"| {name} | {statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f}) | {rows[0][2]:,.0f} |")
    ratio = [b[2] / a[2] for a, b in zip(*found.values(), strict=True)]
    print(f"\nmemory of diagnose over that of a step: {statistics.median(ratio):.2f}")


def train(problem: Any, steps: int) -> float:
    model, loss, data, optimizer = problem
    losses: list[float] = []
    while True:
        for batch in data:
            optimizer.zero_grad()
            value = loss(model, batch)
            value.backward()
            optimizer.step()
            losses.append(value.item())
            if not math.isfinite(losses[-1]):
                return math.inf
            if len(losses) == steps:
                return sum(losses[-(steps // 5) :]) / (steps // 5)


def useful(which: str = "scripts", seeds: str = "3") -> None:
    from thalweg.optim.diagnosis import copied, diagnose
    from thalweg.optim.diagnosis.trials import tried

    torch.set_num_threads(1)
    rates = [10 ** (-11 / 3 + k / 3) for k in range(12)]
    print("| problem | no trials | 160 steps | its own steps | best of 12 | its loss | losses by rate |\n" + "| --- " * 7 + "|")
    above: list[list[float]] = [[], [], []]
    for name, (make, steps) in {"scripts": tasks.SCRIPTS, "chosen": tasks.CHOSEN, "held_out": tasks.HELD_OUT}[which].items():
        suggested: list[list[float]] = []
        for seed in range(int(seeds)):
            centre = diagnose(make(1e-3, seed), seed=seed, steps=0).suggestion or 1e-3
            lrs = [centre]
            for length in (160, steps):
                with copied(make(1e-3, seed), 1, seed) as one:
                    lrs.append(tried(one, centre, length)[0].lr)
            suggested.append(lrs)
        grid = [statistics.median(train(make(lr, seed), steps) for seed in range(int(seeds))) for lr in rates]
        best = min(grid)
        cells = []
        for k, lrs in enumerate(zip(*suggested, strict=True)):
            loss = statistics.median(train(make(lr, seed), steps) for seed, lr in enumerate(lrs))
            above[k].append(loss / best - 1)
            cells.append(f"{'/'.join(f'{lr:.2g}' for lr in lrs)}: {loss:.3g}, {loss / best - 1:+.0%}")
        shown = ", ".join("-" if not math.isfinite(x) else f"{x:.2g}" for x in grid)
        print(f"| {name} | {' | '.join(cells)} | {rates[grid.index(best)]:.2g} | {best:.3g} | {shown} |", flush=True)
    for name, found_above in zip(("no trials", "160 steps", "its own steps"), above, strict=True):
        count, near, twice = len(found_above), sum(each <= 0.05 for each in found_above), sum(each <= 1 for each in found_above)
        middle = statistics.median(found_above)
        print(f"{name}: within 5% {near} of {count}, within a factor of two {twice}; median {middle:+.0%}")


if __name__ == "__main__":
    torch.set_num_threads(2)
    {"peer": peer, "size": size, "useful": useful}[sys.argv[1]](*sys.argv[2:])  # type: ignore[operator]
