"""How much of a training step is the optimizer?

Question: wall milliseconds of forward, backward and optimizer step, and the optimizer's share, for a small transformer (4 layers,
width 256, 8 heads, vocabulary 8,000; 16 x 64 tokens) and for convolutions of ResNet-18's shapes (8 images of 64 x 64), with torch's
AdamW (foreach, fused) and ours, two threads. Interleaved: a step with each in turn.
Command: python bench/optim/training.py [rounds]          (about 2 minutes)
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

import thalweg.optim.torch as ours


class Transformer(nn.Module):
    """Tokens to scores of the next token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(8000, 256), nn.Linear(256, 8000)
        layer = nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True, dropout=0.0)
        self.body = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.body(self.embed(x)))


class Block(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))
        same = stride == 1 and before == width
        self.past = nn.Identity() if same else nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.two(self.one(x)) + self.past(x))


def resnet18() -> nn.Module:
    blocks = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for before, width in ((64, 64), (64, 128), (128, 256), (256, 512)):
        blocks += [Block(before, width, 1 if before == width else 2), Block(width, width, 1)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


WORK: dict[str, tuple[Callable[[], nn.Module], Callable[[], torch.Tensor], Callable[[], torch.Tensor]]] = {
    "transformer": (Transformer, lambda: torch.randint(8000, (16, 64)), lambda: torch.randint(8000, (16 * 64,))),
    "ResNet-18": (resnet18, lambda: torch.randn(8, 3, 64, 64), lambda: torch.randint(1000, (8,))),
}
OPTIMIZERS: dict[str, Callable[[list[torch.Tensor]], torch.optim.Optimizer]] = {
    "torch foreach": lambda params: torch.optim.AdamW(params, foreach=True),
    "torch fused": lambda params: torch.optim.AdamW(params, fused=True),
    "thalweg": lambda params: ours.AdamW(params),
}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    torch.set_num_threads(2)
    print("| work | optimizer | forward and backward, ms | optimizer step, ms (quartiles) | its share |")
    print("| --- | --- | --- | --- | --- |")
    for work, (make, inputs, targets) in WORK.items():
        torch.manual_seed(0)
        model = make()
        made = {name: optimizer(list(model.parameters())) for name, optimizer in OPTIMIZERS.items()}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in made}
        for k in range(rounds + 2):
            for name, opt in made.items():
                x, y = inputs(), targets()
                opt.zero_grad()
                began = time.perf_counter()
                scores = model(x)
                nn.functional.cross_entropy(scores.reshape(len(y), -1), y).backward()
                between = time.perf_counter()
                opt.step()
                if k > 1:
                    times[name].append((1e3 * (between - began), 1e3 * (time.perf_counter() - between)))
        for name, both in times.items():
            train, step = (statistics.quantiles(column, n=4) for column in zip(*both, strict=True))
            share = statistics.median(b / (a + b) for a, b in both)
            print(
                f"| {work} | {name} | {train[1]:.1f} | {step[1]:.2f} ({step[0]:.2f} to {step[2]:.2f}) | {share:.1%} |", flush=True
            )


if __name__ == "__main__":
    main()
