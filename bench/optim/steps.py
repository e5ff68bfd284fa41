"""What does a step of an optimiser cost, beside torch's own and beside the memory that it has to move?

Question: milliseconds of a step, CPU time and wall, for torch.optim's single, foreach and fused forms and ours, over one tensor of
20 M elements, the 161 tensors of ResNet-50 (25.6 M), and 5,000 small tensors of 64 to 256. The floor is a compiled kernel with the
same reads and writes and one addition per array. All checks of our step are on (addresses of parameters, layout of gradients,
None). Peers: torch, and pytorch_optimizer for Lion, AdaBelief and Adadelta (pip install pytorch_optimizer; skipped where missing).
All candidates of a cell are interleaved in one process, step by step; medians and quartiles over the rounds, then the ratio of
each to the floor of the same round.
Command: python bench/optim/steps.py [--quick] [--threads N] [--out FILE.csv]        (about 15 minutes; --quick 1 minute)
"""

from __future__ import annotations

import argparse
import csv
import inspect
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch

import thalweg.optim.torch as ours
from thalweg import __version__, optim
from thalweg.optim import Rule, Slots, const, decay, rate
from thalweg.optim.backends import compiled

RULES: dict[str, tuple[str, dict[str, float]]] = {  # our name -> torch's name and options
    "SGD+momentum": ("SGD", {"momentum": 0.9}),
    "RMSprop": ("RMSprop", {}),
    "Adam": ("Adam", {}),
    "AdamW": ("AdamW", {}),
    "AMSGrad": ("Adam", {"amsgrad": True}),
    "NAdam": ("NAdam", {}),
    "Adadelta": ("Adadelta", {}),
    "AdaBelief": ("AdaBelief", {}),
    "Lion": ("Lion", {}),
    "a user's rule": ("", {}),
}
OTHERS = {"Lion": "Lion", "AdaBelief": "AdaBelief", "Adadelta": "AdaDelta"}  # our name -> pytorch_optimizer's
FUSED = ("SGD", "Adam", "AdamW", "Adagrad")  # what torch has fused for the CPU


@dataclass(frozen=True)
class Users(Rule):
    """Ten lines of a user's own: RMSprop on a gradient with a little memory."""

    lr: float = rate(0.01)
    memory: float = decay(0.5)
    alpha: float = decay(0.99)
    eps: float = const(1e-8)
    slots = Slots(m=0, v=0)

    def step(self, p, g, s, t):
        m = self.memory * s.m + g
        v = self.alpha * s.v + (1 - self.alpha) * m * m
        return p - self.lr * m / (v**0.5 + self.eps), s(m=m, v=v)


def resnet50() -> list[tuple[int, ...]]:
    """The shapes of ResNet-50's parameters: convolutions, norms, the last layer."""
    shapes: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    before = 64
    for blocks, width in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for block in range(blocks):
            for n_out, n_in, kernel in ((width, before, 1), (width, width, 3), (4 * width, width, 1)):
                shapes += [(n_out, n_in, kernel, kernel), (n_out,), (n_out,)]
            if block == 0:
                shapes += [(4 * width, before, 1, 1), (4 * width,), (4 * width,)]
            before = 4 * width
    return [*shapes, (1000, 2048), (1000,)]


def workloads(quick: bool) -> dict[str, list[tuple[int, ...]]]:
    sizes = np.random.default_rng(0).integers(64, 257, size=5000)
    whole = 2_000_000 if quick else 20_000_000
    return {f"1 x {whole // 1_000_000} M": [(whole,)], "ResNet-50": resnet50(), "5,000 small": [(int(n),) for n in sizes]}


def tensors(shapes: list[tuple[int, ...]]) -> list[torch.Tensor]:
    found = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for p in found:
        p.grad = torch.randn_like(p)
    return found


def peers(name: str) -> dict[str, Callable[[list[torch.Tensor]], torch.optim.Optimizer]]:
    """The optimizers of one row, ours last."""
    theirs, options = RULES[name]
    if not theirs:
        return {"thalweg": lambda params: ours.Optimizer(params, Users())}
    found: dict[str, Callable[[list[torch.Tensor]], torch.optim.Optimizer]] = {}
    if built_in := getattr(torch.optim, theirs, None):
        found["single"] = lambda params: built_in(params, foreach=False, **options)
        found["foreach"] = lambda params: built_in(params, foreach=True, **options)
        if theirs in FUSED:
            found["fused"] = lambda params: built_in(params, fused=True, **options)
    if name in OTHERS:
        try:
            import pytorch_optimizer
        except ImportError:
            print(f"{name}: a peer is missing (pip install pytorch_optimizer)", file=sys.stderr)
        else:
            other = getattr(pytorch_optimizer, OTHERS[name])
            found["pytorch_optimizer"] = other
            if "foreach" in inspect.signature(other).parameters:
                found["pytorch_optimizer"] = lambda params: other(params, foreach=False)
                found["pytorch_optimizer foreach"] = lambda params: other(params, foreach=True)
    found["thalweg"] = lambda params: getattr(ours, theirs)(params, **options)
    return found


def floor_of(opt: ours.Optimizer) -> Callable[[], None]:
    """A step with the same reads and writes as `opt` on tensors of its own, with as good as no arithmetic and no Python."""
    (table,) = opt._plan.tables
    n_slots = len(table.program.slots)
    names = {"slots": Slots(**{f"x{k}": 0 for k in range(n_slots)}), "step": _add}
    program = dataclass(frozen=True)(type("Floor", (Rule,), names))().program()
    params = [torch.zeros_like(p) for p in table.parameters]
    arrays = [params, *([torch.zeros_like(p) for p in params] for _ in range(n_slots + 1))]
    sizes = np.array([p.numel() for p in params], dtype=np.int64)
    addresses = np.array([[x.data_ptr() for x in each] for each in arrays], dtype=np.int64)
    where = compiled.Tensors(addresses, compiled.chunked(sizes), sizes)
    kernel, rows = compiled.build(program, "float32"), np.zeros(len(sizes), dtype=np.int64)

    def run() -> None:
        assert arrays  # kept alive with this function
        compiled.launch(kernel, where, rows, {"t": np.zeros(1)}, rows, torch.get_num_threads())

    return run


def _add(self, p, g, s, t):
    """One addition per array; p takes every slot, so that none is left out as unused."""
    new = {name: value + g for name, value in vars(s).items()}
    for value in new.values():
        p = p + value
    return p, s(**new)


def measure(name: str, shapes: list[tuple[int, ...]], rounds: int) -> list[tuple[str, str, float, float, float]]:
    """Rows (candidate, clock, median, lower and upper quartile in ms), interleaved; ratios to the floor as clock "x floor"."""
    steps: dict[str, Callable[[], object]] = {}
    for peer, make in peers(name).items():
        opt = make(tensors(shapes))
        opt.step()
        steps[peer] = opt.step
        if isinstance(opt, ours.Optimizer):
            steps["floor"] = floor_of(opt)
    cpu: dict[str, list[float]] = {peer: [] for peer in steps}
    wall: dict[str, list[float]] = {peer: [] for peer in steps}
    for k in range(rounds + 1):
        for peer, step in steps.items():
            began = time.process_time(), time.perf_counter()
            step()
            if k:  # the first round warms up
                cpu[peer].append((time.process_time() - began[0]) * 1e3)
                wall[peer].append((time.perf_counter() - began[1]) * 1e3)
    rows = []
    for peer in steps:
        ratios = [a / b for a, b in zip(cpu[peer], cpu["floor"], strict=True)]
        for clock, values in (("cpu ms", cpu[peer]), ("wall ms", wall[peer]), ("x floor", ratios)):
            low, middle, high = statistics.quantiles(values, n=4)
            rows.append((peer, clock, middle, low, high))
    return rows


def first_calls() -> None:
    """CPU seconds of the first build of each rule, in a cache of its own; numba's import apart."""
    began = time.process_time()
    import numba  # noqa: F401

    print(f"\nimport numba: {time.process_time() - began:.2f} s CPU (0 where it is loaded already)")
    for name, rule in optim.RULES.items():
        began = time.process_time()
        compiled.build.__wrapped__(rule().program(), "float32")
        print(f"first build of {name}: {time.process_time() - began:.3f} s CPU (from the cache where it was built before)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3 rounds and a tenth of the large tensor")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rules", nargs="*", default=list(RULES))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    print(f"thalweg {__version__}, torch {torch.__version__}, Python {platform.python_version()}, {date.today()}\n")
    print("| rule | tensors | threads | candidate | CPU ms (quartiles) | wall ms (quartiles) | CPU, times the floor |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    lines = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for work, shapes in workloads(options.quick).items():
            for name in options.rules:
                rows = measure(name, shapes, 3 if options.quick else 15)
                lines += [(name, work, threads, *row) for row in rows]
                for k in range(0, len(rows), 3):
                    shown = [f"{middle:.2f} ({low:.2f} to {high:.2f})" for _, _, middle, low, high in rows[k : k + 3]]
                    print(f"| {name} | {work} | {threads} | {rows[k][0]} | {' | '.join(shown)} |", flush=True)
    first_calls()
    if options.out:
        with options.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["rule", "tensors", "threads", "candidate", "clock", "median", "lower quartile", "upper quartile"])
            writer.writerows(lines)


if __name__ == "__main__":
    main()
