"""Small training problems for `diagnosing.py useful`: each a maker of (model, loss, data, optimizer) from a rate and a seed.

SCRIPTS are those of examples/, each with its own optimizer and with another; on them and on CHOSEN it was decided how `diagnose`
tries rates (seven, a factor of two apart, halved twice). HELD_OUT were written down afterwards and nothing was chosen on them.
MNIST is read from THALWEG_DATA and left out without it; the other data are scikit-learn's or made up here.
"""

from __future__ import annotations

import gzip
import itertools
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn import datasets
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, NAdam, RMSprop
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import diabetes
import digits
import letters

Make = Callable[[float, int], Any]


def cross_entropy(model: nn.Module, batch: Any) -> torch.Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def squared(model: nn.Module, batch: Any) -> torch.Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def perceptron(*widths: int, act: type[nn.Module] = nn.ReLU, norm: type[nn.Module] | None = None) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), *([norm(b)] if norm is not None else []), act()]  # type: ignore[call-arg]
    return nn.Sequential(*layers[: -1 if norm is None else -2])


def example(module: Any, kind: Any = None, **options: float) -> Make:
    def make(lr: float, seed: int) -> Any:
        model, loss, data, optimizer = module.make_problem(lr, seed)
        return model, loss, data, optimizer if kind is None else kind(model.parameters(), lr=lr, **options)

    return make


def task(model: Callable[[], nn.Module], pairs: Callable[[int], Any], batch: int, loss: Any, kind: Any, **options: Any) -> Make:
    def make(lr: float, seed: int) -> Any:
        torch.manual_seed(seed)
        made, data = model(), DataLoader(TensorDataset(*pairs(seed)), batch, shuffle=True, drop_last=True)
        return made, loss, data, kind(made.parameters(), lr=lr, **options)

    return make


def _standard(x: Any) -> torch.Tensor:
    x = torch.as_tensor(np.asarray(x), dtype=torch.float32)
    return (x - x.mean(0)) / x.std(0).clamp_min(1e-6)


def spirals(seed: int) -> Any:
    rng = torch.Generator().manual_seed(seed)
    radius, side = torch.rand(1024, generator=rng), torch.randint(2, (1024,), generator=rng)
    angle = 4 * math.pi * radius + math.pi * side
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], 1) + 0.02 * torch.randn(1024, 2, generator=rng)
    return 2 * points, side


def images(*shape: int) -> Callable[[int], Any]:
    def pairs(seed: int) -> Any:
        x, y = datasets.load_digits(return_X_y=True)
        return torch.tensor(x, dtype=torch.float32).reshape(-1, *shape) / 16, torch.tensor(y)

    return pairs


def themselves(seed: int) -> Any:
    x, _ = images(64)(seed)
    return x, x


def friedman(seed: int) -> Any:
    x, y = datasets.make_friedman1(2000, noise=0.5, random_state=seed)
    return _standard(x), _standard(y[:, None])


def measured(load: Callable[..., Any]) -> Callable[[int], Any]:
    def pairs(seed: int) -> Any:
        x, y = load(return_X_y=True)
        return _standard(x), torch.tensor(y)

    return pairs


def waves(seed: int) -> Any:
    rng = torch.Generator().manual_seed(seed)
    t = torch.arange(41) * (0.1 + 0.4 * torch.rand(1500, 1, generator=rng)) + 6 * torch.rand(1500, 1, generator=rng)
    y = t.sin() + 0.5 * (2.3 * t).sin()
    return y[:, :-1, None], y[:, -1:]


def moons(seed: int) -> Any:
    x, y = datasets.make_moons(2000, noise=0.15, random_state=seed)
    return _standard(x), torch.tensor(y)


def clusters(seed: int) -> Any:
    x, y = datasets.make_classification(4000, 40, n_informative=12, n_classes=5, class_sep=1.2, random_state=seed)
    return _standard(x), torch.tensor(y)


def mnist(seed: int) -> Any:
    folder = Path(os.environ["THALWEG_DATA"]) / "mnist"
    x = np.frombuffer(gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    y = np.frombuffer(gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return torch.tensor(x.reshape(-1, 1, 28, 28)[:20_000] / 255, dtype=torch.float32), torch.tensor(y[:20_000], dtype=torch.int64)


class Reader(nn.Module):
    """A recurrent network over the steps of a sequence, and a linear map of its last state."""

    def __init__(self, cell: Any, width: int, state: int, out: int) -> None:
        super().__init__()
        self.cell, self.head = cell(width, state, batch_first=True), nn.Linear(state, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x)[0][:, -1])  # type: ignore[no-any-return]


def convnet(side: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * (side // 2) ** 2, 10),
    )  # fmt: skip


def normed() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 12, 5, stride=2), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 24, 5, stride=2), nn.BatchNorm2d(24), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(24 * 16, 10),
    )  # fmt: skip


M = {"momentum": 0.9}
SCRIPTS: dict[str, tuple[Make, int]] = {
    "digits, momentum": (example(digits), digits.STEPS),
    "letters, Adam": (example(letters), letters.STEPS),
    "diabetes, SGD": (example(diabetes), diabetes.STEPS),
    "digits, Adam": (example(digits, Adam), digits.STEPS),
    "letters, momentum": (example(letters, SGD, **M), letters.STEPS),
    "diabetes, Adam": (example(diabetes, Adam), diabetes.STEPS),
}
CHOSEN: dict[str, tuple[Make, int]] = {
    "spirals, Adam": (task(lambda: perceptron(2, 64, 64, 2), spirals, 64, cross_entropy, Adam), 640),
    "spirals, momentum": (task(lambda: perceptron(2, 64, 64, 2), spirals, 64, cross_entropy, SGD, **M), 640),
    "digits perceptron, RMSprop": (task(lambda: perceptron(64, 100, 10), images(64), 50, cross_entropy, RMSprop), 350),
    "digits perceptron, SGD": (task(lambda: perceptron(64, 100, 10), images(64), 50, cross_entropy, SGD), 350),
    "digits perceptron, AdamW": (task(lambda: perceptron(64, 100, 10), images(64), 50, cross_entropy, AdamW), 700),
    "cancer, logistic, momentum": (
        task(lambda: nn.Linear(30, 2), measured(datasets.load_breast_cancer), 32, cross_entropy, SGD, **M),
        340,
    ),
    "wine, AdamW": (
        task(lambda: perceptron(13, 32, 32, 3, act=nn.GELU), measured(datasets.load_wine), 16, cross_entropy, AdamW),
        220,
    ),
    "autoencoder, Adam": (task(lambda: perceptron(64, 64, 8, 64, 64, act=nn.Tanh), themselves, 64, squared, Adam), 560),
    "autoencoder, Nesterov": (
        task(lambda: perceptron(64, 64, 8, 64, 64, act=nn.Tanh), themselves, 64, squared, SGD, nesterov=True, **M),
        560,
    ),
    "Friedman 1, momentum": (
        task(lambda: perceptron(10, 128, 128, 1, norm=nn.LayerNorm), friedman, 64, squared, SGD, **M),
        620,
    ),
    "rows, GRU, Adam": (task(lambda: Reader(nn.GRU, 8, 32, 10), images(8, 8), 50, cross_entropy, Adam), 420),
    "convolutions, NAdam": (task(lambda: convnet(8), images(1, 8, 8), 32, cross_entropy, NAdam), 336),
}
HELD_OUT: dict[str, tuple[Make, int]] = {
    "waves, LSTM, Adam": (task(lambda: Reader(nn.LSTM, 1, 32, 1), waves, 50, squared, Adam), 450),
    "moons, Nesterov": (
        task(lambda: perceptron(2, 32, 32, 2, act=nn.Tanh), moons, 40, cross_entropy, SGD, nesterov=True, **M),
        500,
    ),
    "clusters, RMSprop": (task(lambda: perceptron(40, 64, 5), clusters, 40, cross_entropy, RMSprop), 400),
    "clusters, deep, SGD": (task(lambda: perceptron(40, 64, 64, 64, 5, act=nn.GELU), clusters, 40, cross_entropy, SGD), 400),
}
if "THALWEG_DATA" in os.environ:
    HELD_OUT |= {
        "MNIST, batch norm, AdamW": (task(normed, mnist, 64, cross_entropy, AdamW, weight_decay=0.05), 312),
        "MNIST, batch norm, momentum": (task(normed, mnist, 64, cross_entropy, SGD, weight_decay=5e-4, **M), 312),
    }
