"""A small transformer that predicts the next letter of Python's manual (the text of help(), part of every Python), Adam.

thalweg optim diagnose examples/letters.py:make_problem
python examples/letters.py 0.001                            # train at that rate, print the loss
"""

from __future__ import annotations

import sys
from pydoc_data.topics import topics

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

STEPS, BATCH, LENGTH, WIDTH = 300, 16, 64, 64


class Transformer(nn.Module):
    def __init__(self, letters: int) -> None:
        super().__init__()
        self.letters, self.places = nn.Embedding(letters, WIDTH), nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.1, activation="gelu", batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, letters)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(LENGTH))

    def forward(self, x):
        h = self.letters(x) + self.places.weight
        return self.head(self.body(h, mask=self.mask, is_causal=True))


def make_problem(lr: float = 3e-4, seed: int = 0):
    torch.manual_seed(seed)
    text = "\n".join(topics[name] for name in sorted(topics))[:200_000]
    alphabet = sorted(set(text))
    codes = torch.tensor([alphabet.index(letter) for letter in text])
    pieces = codes[: len(codes) // (LENGTH + 1) * (LENGTH + 1)].view(-1, LENGTH + 1)
    model = Transformer(len(alphabet))
    data = DataLoader(TensorDataset(pieces[:, :-1], pieces[:, 1:]), BATCH, shuffle=True, drop_last=True)
    return model, loss, data, torch.optim.Adam(model.parameters(), lr=lr)


def loss(model, batch):
    x, y = batch
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


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
