"""An image network with batch norm: handwritten digits of 8 x 8 pixels (scikit-learn's), momentum.

thalweg optim diagnose examples/digits.py:make_problem
python examples/digits.py 0.03                              # train at that rate, print the loss
"""

from __future__ import annotations

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

STEPS, BATCH = 330, 32


def make_problem(lr: float = 0.01, seed: int = 0):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 16, 10),
    )  # fmt: skip
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    data = DataLoader(TensorDataset(x, torch.tensor(labels)), BATCH, shuffle=True, drop_last=True)
    return model, loss, data, torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def loss(model, batch):
    x, y = batch
    return F.cross_entropy(model(x), y)


def train(lr: float) -> float:
    """The mean loss of the last fifth of the steps."""
    model, loss, data, optimizer = make_problem(lr)
    losses = []
    while len(losses) < STEPS:
        for batch in data:
            optimizer.zero_grad()
            value = loss(model, batch)
            value.backward()
            optimizer.step()
            losses.append(value.item())
    return sum(losses[-STEPS // 5 :]) / (STEPS // 5)


if __name__ == "__main__":
    print(train(float(sys.argv[1])))
