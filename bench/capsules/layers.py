"""How fast is a capsule layer, forward and backward, beside plain PyTorch, and what does it keep?

    python bench/capsules/layers.py [repeats] [threads]

shared: B = 128, 64 and 576 inputs of 128, to 10 x 16, 3 passes (su2018). Peers, which compute the same (checked): a straightforward
layer that forms the votes (B, n, k, d) and sums products, and a careful one with the inputs beside the dimension and batched
products. full: B = 100, 1152 inputs of 8 to 10 x 16, 3 passes (sabour2017). Peers: the layout of the fastest correct public code
that is known (votes (B, n, k, d), broadcast products and sums), and the same with einsum, which none of the public layers that were
read has. Candidates alternate in one process; medians, ratios with quartiles. Memory: the peak of resident memory of one forward
and backward, in a process of its own, above what is there before, without the gradient of the inputs (Linux).
"""

from __future__ import annotations

import multiprocessing
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thalweg.capsules.torch import Capsules, squash

Layer = Callable[[Tensor, Tensor], Tensor]


def straight(u: Tensor, w: Tensor) -> Tensor:
    votes = torch.einsum("koi,bni->bnko", w, u)
    logits = torch.zeros(votes.shape[:-1])
    for left in (2, 1, 0):
        s = (torch.softmax(logits, -1)[..., None] * votes).sum(1)
        if left:
            logits = (votes * (s / s.norm(dim=-1, keepdim=True))[:, None]).sum(-1)
    return squash(s)


def careful(u: Tensor, w: Tensor) -> Tensor:
    k, d, i = w.shape
    votes = torch.matmul(u, w.reshape(k * d, i).T).view(*u.shape[:2], k, d).transpose(1, 2).contiguous()  # (B, k, n, d)
    logits = torch.zeros(votes.shape[:-1])
    for left in (2, 1, 0):
        s = torch.matmul(torch.softmax(logits, 1)[:, :, None], votes)[:, :, 0]
        if left:
            logits = torch.matmul(votes, (s / s.norm(dim=-1, keepdim=True))[..., None])[..., 0]
    return squash(s)


def public(u: Tensor, w: Tensor) -> Tensor:
    votes = torch.matmul(w[None], u[:, :, None, :, None])[..., 0]
    logits = torch.zeros(votes.shape[:-1])
    for left in (2, 1, 0):
        v = squash((torch.softmax(logits, 2)[..., None] * votes).sum(1), constant=1.0)
        if left:
            logits = logits + (votes * v[:, None]).sum(-1)
    return v


def with_einsum(u: Tensor, w: Tensor) -> Tensor:
    votes = torch.einsum("nkoi,bni->bnko", w, u)
    logits = torch.zeros(votes.shape[:-1])
    for left in (2, 1, 0):
        v = squash(torch.einsum("bnk,bnko->bko", torch.softmax(logits, 2), votes), constant=1.0)
        if left:
            logits = logits + torch.einsum("bnko,bko->bnk", votes, v)
    return v


def layer(kind: str, n: int) -> Capsules:
    torch.manual_seed(0)
    return Capsules(128, 10, 16) if kind == "shared" else Capsules(8, 10, 16, weights="full", n_inputs=n, routing="sabour2017")


CASES = {
    "shared, n = 64": ("shared", 128, 64, 128, {"straightforward": straight, "careful": careful}),
    "shared, n = 576": ("shared", 128, 576, 128, {"straightforward": straight, "careful": careful}),
    "full, 1152 x 8": ("full", 100, 1152, 8, {"public layout": public, "einsum": with_einsum}),
}


def contenders(case: str, few: bool = False) -> tuple[Tensor, dict[str, Callable[[], Tensor]], Tensor]:
    kind, batch, n, d, peers = CASES[case]
    module = layer(kind, n)
    batch = 2 if few else batch
    u = torch.randn(batch, n, d, requires_grad=True)
    made: dict[str, Callable[[], Tensor]] = {"ours": lambda: module(u)}
    made |= {name: (lambda form=form: form(u, module.weight)) for name, form in peers.items()}
    return u, made, torch.randn(batch, 10, 16)


def both_ways(u: Tensor, run: Callable[[], Tensor], g: Tensor) -> Tensor:
    u.grad = None
    run().backward(g)
    return u.grad


def main() -> None:
    repeats, threads = (int(sys.argv[k]) if len(sys.argv) > k else default for k, default in ((1, 7), (2, 1)))
    torch.set_num_threads(threads)
    print(f"{threads} thread(s)\n| layer | program | ms | times ours | MB |\n| --- | --- | --- | --- | --- |")
    for case in CASES:
        u, runs, g = contenders(case)
        grads = {name: both_ways(u, run, g).clone() for name, run in runs.items()}
        for name, grad in grads.items():
            assert torch.allclose(grad, grads["ours"], rtol=1e-3, atol=1e-5 * grad.abs().max().item()), name
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, run in runs.items():
                began = time.perf_counter()
                both_ways(u, run, g)
                times[name].append(time.perf_counter() - began)
        for name, found in times.items():
            low, middle, high = np.quantile([a / b for a, b in zip(found, times["ours"], strict=True)], [0.25, 0.5, 0.75])
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                memory = pool.apply(peak, (case, name))
            print(
                f"| {case} | {name} | {1e3 * np.median(found):.1f} | {middle:.2f} ({low:.2f} to {high:.2f}) | {memory:.0f} |",
                flush=True,
            )


def peak(case: str, name: str) -> float:
    """MB, above what is there before, of one forward and backward, less the gradient of the inputs."""
    torch.set_num_threads(1)
    u, runs, g = contenders(case, few=True)  # what the libraries take once
    both_ways(u, runs[name], g)
    u, runs, g = contenders(case)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of now
    before = _peak()
    both_ways(u, runs[name], g)
    return (_peak() - before) / 1024 - u.numel() * 4 / 2**20


def _peak() -> int:
    """KiB of resident memory at its peak."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


if __name__ == "__main__":
    main()
