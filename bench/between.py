"""Is one checkout as fast as another? Reading text, and optimizer steps, in turns.

Question: CPU time of reading a corpus (`words.read`, least of three), and of a step of 5,000 tensors of 8 x 8 and of one of 20 M
numbers (median of many), one thread. Each round starts a fresh process for either checkout, the next round the other way round;
printed are the ratios new/old, median and quartiles. Both need an environment in .venv. About a minute a round.

    python bench/between.py OLD NEW --text corpus.txt --rounds 7
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

SMALL, LARGE = ((8, 8),) * 5000, ((20_000_000,),)
STEPS = {
    "5,000 small, Adam": ("Adam", SMALL, {}),
    "5,000 small, SGD+momentum": ("SGD", SMALL, {"momentum": 0.9}),
    "5,000 small, AdamW": ("AdamW", SMALL, {}),
    "5,000 small, Lion": ("Lion", SMALL, {}),
    "20 M, Adam": ("Adam", LARGE, {}),
}


def reading(text: Path) -> float:
    """CPU seconds."""
    from thalweg import words

    spent = []
    for _ in range(3):
        began = time.process_time()
        words.read(text)
        spent.append(time.process_time() - began)
    return min(spent)


def stepping(kind: str, shapes: tuple[tuple[int, ...], ...], options: dict[str, float]) -> float:
    """Seconds of a step."""
    import torch

    from thalweg.optim import torch as fused

    torch.set_num_threads(1)
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    optimizer = getattr(fused, kind)(parameters, lr=1e-3, **options)
    for p in parameters:
        p.grad = torch.randn_like(p)
    spent = []
    for _ in range(20 if len(shapes) == 1 else 150):
        began = time.perf_counter()
        optimizer.step()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[5:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", type=Path, help="old and new; none: measure this one")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    if not asked.checkouts:
        print(*(f"{value:.6f}" for value in (reading(asked.text), *(stepping(*how) for how in STEPS.values()))))
        return
    old, new = asked.checkouts
    ratios: list[list[float]] = []
    for turn in range(asked.rounds):
        found: dict[Path, list[float]] = {}
        for checkout in (old, new) if turn % 2 == 0 else (new, old):
            command = [checkout / ".venv/bin/python", Path(__file__).resolve(), "--text", asked.text.resolve()]
            done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
            found[checkout] = [float(value) for value in done.stdout.split()]
        ratios.append([b / a for a, b in zip(found[old], found[new], strict=True)])
        print(*(f"{ratio:.3f}" for ratio in ratios[-1]), file=sys.stderr, flush=True)
    print("| what | new / old |\n| --- | --- |")
    for name, column in zip(["reading", *STEPS], zip(*ratios, strict=True), strict=True):
        low, middle, high = statistics.quantiles(column, n=4)
        print(f"| {name} | {middle:.2f} ({low:.2f} to {high:.2f}) |")


if __name__ == "__main__":
    main()
