"""What does routing add? The digit-pair experiment in small: trained on single digits, tested on two glued together.

    python bench/capsules/pairs_small.py [seeds]

Protocol: that of Su's code (kexue.fm 4819) on scikit-learn's digits (8 x 8): 1,300 to train, pairs of unequal digits from the 497
others, one above the other and side by side; convolutions 3 x 3 x 16 and x 32 (padded), x 32 (36 positions), 25 epochs, batch 50,
Adam 2e-3, margin loss (0.25, mean over classes). Heads: mean and sum pooling with dense layers (the same weights); capsules
trained with 1 pass (no routing) and with 3; those of 3 tested with 1. Metrics in percent, all held out, mean and range over the
seeds: the two highest scores are the two digits / both also above 0.5 / the scores above 0.5 are exactly the two digits.
"""

from __future__ import annotations

import copy
import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from thalweg.capsules.torch import Capsules, MarginLoss
from thalweg.capsules.torch.networks import scores

TRAINED, EPOCHS, BATCH, RATE, POSITIONS = 1300, 25, 50, 2e-3, 36


class Net(nn.Module):
    def __init__(self, head: str, iterations: int = 3) -> None:
        super().__init__()
        self.head = head
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()
        )
        self.capsules = Capsules(32, 10, 16, iterations=iterations) if head == "capsules" else None
        self.dense = None if self.capsules else nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return scores(self.trunk(x).flatten(2).transpose(1, 2), self.head, self.capsules, self.dense, POSITIONS)


def train(net: Net, x: Tensor, y: Tensor, seed: int) -> Net:
    order = torch.Generator().manual_seed(seed)
    optimizer, loss = torch.optim.Adam(net.parameters(), lr=RATE), MarginLoss(reduction="mean", down_weight=0.25)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=order).split(BATCH):
            optimizer.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            optimizer.step()
    return net


def pairs(x: Tensor, y: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Each held-out digit beside two others, equal ones left out, and both labels."""
    rng, made = np.random.default_rng(0), []
    for _ in range(2):
        other = torch.from_numpy(rng.permutation(len(x)))
        unequal = y != y[other]
        made.append((torch.cat([x, x[other]], axis)[unequal], torch.stack([y, y[other]], 1)[unequal]))
    return torch.cat([each for each, _ in made]), torch.cat([each for _, each in made])


@torch.no_grad()
def judged(net: Net, x: Tensor, y: Tensor) -> list[float]:
    """Single digits right, then the three metrics for both directions, in percent."""
    found = [float((net(x).argmax(1) == y).float().mean())]
    for axis in (2, 3):
        glued, labels = pairs(x, y, axis)
        given = net(glued)
        there = torch.zeros_like(given, dtype=torch.bool).scatter_(1, labels, torch.ones_like(labels, dtype=torch.bool))
        top = torch.zeros_like(there).scatter_(1, given.topk(2).indices, torch.ones_like(labels, dtype=torch.bool))
        two = (top == there).all(1)
        found += [
            float(each.float().mean())
            for each in (two, two & (given[there].view(-1, 2) > 0.5).all(1), ((given > 0.5) == there).all(1))
        ]
    return [100 * value for value in found]


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    torch.set_num_threads(1)
    digits = load_digits()
    x, y = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None], torch.tensor(digits.target)
    held = x[TRAINED:], y[TRAINED:]
    rows: dict[str, list[list[float]]] = {}
    for seed in range(seeds):
        nets = {}
        for name, head, iterations in (
            ("mean pooling", "mean", 3),
            ("capsules, 1 pass", "capsules", 1),
            ("capsules, 3 passes", "capsules", 3),
        ):
            torch.manual_seed(seed)
            nets[name] = train(Net(head, iterations), x[:TRAINED], y[:TRAINED], seed)
        nets["sum pooling, the weights of mean"] = copy.deepcopy(nets["mean pooling"])
        nets["sum pooling, the weights of mean"].head = "sum"
        single = Net("capsules", 1)
        single.load_state_dict(nets["capsules, 3 passes"].state_dict())
        nets["trained with 3, tested with 1"] = single
        for name, net in nets.items():
            rows.setdefault(name, []).append(judged(net, *held))
    print(f"{seeds} seeds: mean (least to most)\n| head | single | above: top 2 | both | exact | beside: top 2 | both | exact |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, found in rows.items():
        cells = [f"{np.mean(each):.0f} ({min(each):.0f} to {max(each):.0f})" for each in zip(*found, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
