"""Parameters of 16 bits: what does a step cost, and how much memory beside the state?

Question: wall milliseconds of an Adam step over one tensor of 20 M elements: float32; bfloat16 with float32 state, rounded to
nearest, stochastically, with float32 copies (master), with 16-bit state; torch's fused Adam on bfloat16. Interleaved, 15 rounds,
one thread. Then how far the peak memory of a process rises above what it held after its first step, in three more steps.
Target: 16 bits no slower than float32; no extra memory.
Command: python bench/optim/half.py          (about a minute)
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import thalweg.optim.torch as ours

N, ROUNDS = 20_000_000, 15
Make = Callable[[list[torch.Tensor]], torch.optim.Optimizer]
FORMS: dict[str, tuple[torch.dtype, Make]] = {
    "float32": (torch.float32, lambda p: ours.Adam(p)),
    "bfloat16, nearest": (torch.bfloat16, lambda p: ours.Adam(p)),
    "bfloat16, stochastic": (torch.bfloat16, lambda p: ours.Adam(p, rounding="stochastic")),
    "bfloat16, master=True": (torch.bfloat16, lambda p: ours.Adam(p, master=True)),
    "bfloat16, state_dtype='param'": (torch.bfloat16, lambda p: ours.Adam(p, state_dtype="param")),
    "torch fused, float32": (torch.float32, lambda p: torch.optim.Adam(p, fused=True)),
    "torch fused, bfloat16": (torch.bfloat16, lambda p: torch.optim.Adam(p, fused=True)),
}


def made(form: str, n: int = N) -> torch.optim.Optimizer:
    dtype, make = FORMS[form]
    p = torch.zeros(n, dtype=dtype).requires_grad_()
    p.grad = torch.full((n,), 0.5, dtype=dtype)
    return make([p])


def rise(form: str) -> None:
    """In a process of its own: MB that three steps take above what stood after the first."""
    optimizer = made(form)
    optimizer.step()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    for _ in range(3):
        optimizer.step()
    print(memory("VmHWM") - before)


def memory(name: str) -> float:
    """MB of this process, as Linux tells them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def main() -> None:
    torch.set_num_threads(1)
    optimizers = {form: made(form) for form in FORMS}
    for optimizer in optimizers.values():
        optimizer.step()
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(ROUNDS):
        for form, optimizer in optimizers.items():
            began = time.perf_counter()
            optimizer.step()
            times[form].append((time.perf_counter() - began) * 1e3)
    print("| form | wall ms (quartiles) | times float32, round by round | extra peak of a step, MB |\n| --- | --- | --- | --- |")
    for form, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        ratio = statistics.median(a / b for a, b in zip(values, times["float32"], strict=True))
        out = subprocess.run([sys.executable, __file__, form], check=True, capture_output=True, text=True).stdout
        print(f"| {form} | {middle:.1f} ({low:.1f} to {high:.1f}) | {ratio:.2f} | {float(out):.1f} |", flush=True)


if __name__ == "__main__":
    rise(sys.argv[1]) if len(sys.argv) > 1 else main()
