"""A regression: the progression of diabetes from ten measurements of 442 patients (scikit-learn's), plain gradient descent.

thalweg optim diagnose examples/diabetes.py:make_problem
python examples/diabetes.py 0.05                            # train at that rate, print the loss
"""

from __future__ import annotations

import sys

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

STEPS, BATCH = 520, 32


def make_problem(lr: float = 0.01, seed: int = 0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(10, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    x, y = (torch.tensor(each, dtype=torch.float32) for each in load_diabetes(return_X_y=True))
    x, y = x / x.std(0), (y - y.mean()) / y.std()
    data = DataLoader(TensorDataset(x, y), BATCH, shuffle=True, drop_last=True)
    return model, loss, data, torch.optim.SGD(model.parameters(), lr=lr)


def loss(model, batch):
    x, y = batch
    return F.mse_loss(model(x).squeeze(1), y)


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
