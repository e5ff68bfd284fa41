"""What do hand-written gradients save for word vectors, beside automatic differentiation?

Question: milliseconds of one step of plain descent on skip-gram with negative sampling (Mikolov et al. 2013), for a batch of 1,024
pairs with 5 negatives each, 100 dimensions and vocabularies of 10,000 and 100,000 words (two tables). The gradient by hand is
sigma(<u, k>) - y times the other vector, added to the rows that the batch names. Peers: torch's autograd with dense and with sparse
gradients of the embeddings, and torch.optim.SGD. All three make the same step, which is checked. Words are drawn by Zipf's law.
Candidates interleaved in one process on one thread; medians and quartiles over the rounds, ratios round by round.
Command: python bench/optim/hand_gradients.py [--rounds 30] [--out FILE.json]        (half a minute)
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

PAIRS, NEGATIVES, DIM, LR = 1024, 5, 100, 0.05


def by_hand(tables: list[torch.Tensor], words: torch.Tensor, contexts: torch.Tensor, wanted: torch.Tensor) -> None:
    """d/dx of log(1 + e^x) - y x is sigma(x) - y, with x = <u, k>."""
    first, second = tables
    u, k = first[words], second[contexts]  # (pairs, dim), (pairs, 1 + negatives, dim)
    miss = (torch.einsum("nd,nkd->nk", u, k).sigmoid_() - wanted) / len(words)
    first.index_add_(0, words, torch.einsum("nk,nkd->nd", miss, k), alpha=-LR)
    second.index_add_(0, contexts.flatten(), (miss[..., None] * u[:, None]).flatten(0, 1), alpha=-LR)


class Automatic:
    """The same step by autograd and torch.optim.SGD."""

    def __init__(self, tables: list[torch.Tensor], sparse: bool) -> None:
        self.embeddings = [torch.nn.Embedding.from_pretrained(each, freeze=False, sparse=sparse) for each in tables]
        self.optimizer = torch.optim.SGD([each.weight for each in self.embeddings], lr=LR)

    def __call__(self, words: torch.Tensor, contexts: torch.Tensor, wanted: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        u, k = self.embeddings[0](words), self.embeddings[1](contexts)
        scores = torch.einsum("nd,nkd->nk", u, k)
        (binary_cross_entropy_with_logits(scores, wanted, reduction="sum") / len(words)).backward()
        self.optimizer.step()


def measured(n_words: int, rounds: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    start = [torch.from_numpy(rng.standard_normal((n_words, DIM)).astype(np.float32) / 10) for _ in range(2)]
    hand, dense, sparse = ([each.clone() for each in start] for _ in range(3))
    steps = {"dense": Automatic(dense, sparse=False), "sparse": Automatic(sparse, sparse=True)}
    candidates = {"hand": lambda *batch: by_hand(hand, *batch), **steps}
    wanted = torch.zeros(PAIRS, 1 + NEGATIVES)
    wanted[:, 0] = 1
    weights = 1 / np.arange(1, n_words + 1)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds + 3):  # three to warm up
        drawn = torch.from_numpy(rng.choice(n_words, (PAIRS, 2 + NEGATIVES), p=weights / weights.sum()))
        for name, step in candidates.items():
            began = time.perf_counter()
            step(drawn[:, 0], drawn[:, 1:], wanted)
            times[name].append(1000 * (time.perf_counter() - began))
    for other in (dense, sparse):
        for mine, theirs in zip(hand, other, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    kept = {name: taken[3:] for name, taken in times.items()}
    ratios = {name: [a / b for a, b in zip(taken, kept["hand"], strict=True)] for name, taken in kept.items()}
    return {"words": n_words} | {
        name: {"ms": statistics.median(kept[name]), "ratio": statistics.quantiles(ratios[name], n=4)} for name in kept
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = [measured(n_words, given.rounds) for n_words in (10_000, 100_000)]
    print(
        "| words | by hand, ms | autograd, sparse, ms | autograd, dense, ms | sparse / hand | dense / hand |\n" + "| --- " * 6 + "|"
    )
    for row in found:
        times = " | ".join(f"{row[name]['ms']:.2f}" for name in ("hand", "sparse", "dense"))
        spread = [row[name]["ratio"] for name in ("sparse", "dense")]
        print(
            f"| {row['words']:,} | {times} | " + " | ".join(f"{m:.1f} ({low:.1f} to {high:.1f})" for low, m, high in spread) + " |"
        )
    if given.out:
        about = {"date": date.today().isoformat(), "torch": torch.__version__.partition("+")[0], "rounds": given.rounds}
        given.out.write_text(json.dumps({**about, "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
