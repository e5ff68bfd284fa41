"""Networks with capsules: CapsNet as published, and the network of the digit-pair experiment.

CapsNet: Sabour, Frosst and Hinton 2017, arXiv 1710.09829, sections 4 and 4.1. PairNet: Su 2018, kexue.fm 4819 and its code.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from thalweg.capsules.torch.layers import Capsules, MarginLoss
from thalweg.capsules.torch.lengths import squash
from thalweg.errors import InputError

RECONSTRUCTION = 0.0005  # of the sum of squared errors over the pixels, beside the margin loss
KERNEL = 9  # of both convolutions of CapsNet


class PrimaryCapsules(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Capsules from a picture: the channels of one type at one pixel are one vector.   (B, C, H, W) -> (B, n, dim)

    n runs over (type, row, column). (Public code that views (B, C, H, W) as (B, n, dim) makes vectors of neighbouring pixels.)
    kind and constant: of `squash`, as in the paper by default.
    """

    def __init__(
        self,
        in_channels: int,
        n_types: int,
        dim: int,
        kernel_size: int,
        stride: int = 1,
        *,
        kind: str | None = "squash",
        constant: float = 1.0,
    ) -> None:
        super().__init__()
        self.n_types, self.dim, self.kind, self.constant = n_types, dim, kind, constant
        self.conv = nn.Conv2d(in_channels, n_types * dim, kernel_size, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The capsules of pictures x (B, C, H, W)."""
        y = self.conv(x).unflatten(1, (self.n_types, self.dim))  # (B, types, dim, rows, columns)
        u = y.permute(0, 1, 3, 4, 2).flatten(1, 3)
        return u if self.kind is None else squash(u, self.kind, self.constant)


class Decoder(nn.Module):  # type: ignore[misc]
    """Pixels from capsules, of which all but one are put at zero.   (B, k, d), (B,) -> (B, pixels)"""

    def __init__(self, n_capsules: int, dim: int, pixels: int, hidden: tuple[int, int] = (512, 1024)) -> None:
        super().__init__()
        first, second = hidden
        self.layers = nn.Sequential(
            nn.Linear(n_capsules * dim, first),
            nn.ReLU(),
            nn.Linear(first, second),
            nn.ReLU(),
            nn.Linear(second, pixels),
            nn.Sigmoid(),
        )

    def forward(self, capsules: Tensor, chosen: Tensor) -> Tensor:
        """The pictures of the capsules `chosen` (B,)."""
        kept = nn.functional.one_hot(chosen, capsules.shape[1]).to(capsules.dtype)
        made: Tensor = self.layers((capsules * kept[..., None]).flatten(1))
        return made


class Seen(NamedTuple):
    """lengths (B, k): how much each class is there; capsules (B, k, d); pictures (B, pixels), None without a decoder."""

    lengths: Tensor
    capsules: Tensor
    pictures: Tensor | None


class CapsNet(nn.Module):  # type: ignore[misc]
    """Convolution, primary capsules, digit capsules with weights of their own for each input, and a decoder: 8,215,568 numbers.

    channels, types: 256 and 32 as published; smaller ones for a smaller budget. shape: (channels, height, width) of a picture.
    routing, iterations: of the digit capsules. Raises InputError for pictures that leave no capsule.
    """

    def __init__(
        self,
        n_classes: int = 10,
        *,
        shape: tuple[int, int, int] = (1, 28, 28),
        channels: int = 256,
        types: int = 32,
        routing: str = "sabour2017",
        iterations: int = 3,
        decoder: bool = True,
    ) -> None:
        super().__init__()
        rows, columns = ((side - KERNEL + 1 - KERNEL) // 2 + 1 for side in shape[1:])
        if min(rows, columns) < 1:
            msg = (
                f"pictures of {shape[1]} x {shape[2]} leave no capsule: two kernels of {KERNEL} need {2 * KERNEL - 1} pixels a side"
            )
            raise InputError(msg)
        self.shape = shape
        self.conv = nn.Conv2d(shape[0], channels, KERNEL)
        self.primary = PrimaryCapsules(channels, types, 8, KERNEL, 2)
        self.digits = Capsules(
            8, n_classes, 16, weights="full", n_inputs=types * rows * columns, routing=routing, iterations=iterations
        )
        self.decoder = Decoder(n_classes, 16, shape[0] * shape[1] * shape[2]) if decoder else None

    def forward(self, x: Tensor, targets: Tensor | None = None) -> Seen:
        """Lengths, capsules and pictures: those of the targets in training, of the longest capsule without."""
        if tuple(x.shape[1:]) != self.shape:
            msg = f"pictures of shape {tuple(x.shape[1:])} for a network of {self.shape}"
            raise InputError(msg)
        v = self.digits(self.primary(torch.relu(self.conv(x))))
        lengths = v.norm(dim=-1)
        chosen = lengths.argmax(1) if targets is None else targets
        return Seen(lengths, v, None if self.decoder is None else self.decoder(v, chosen))

    def loss(self, x: Tensor, targets: Tensor) -> Tensor:
        """The margin loss and 0.0005 of the squared errors of the pixels: the mean over the batch of both."""
        seen = self(x, targets)
        margin: Tensor = MarginLoss()(seen.lengths, targets)
        if seen.pictures is None:
            return margin
        return margin + RECONSTRUCTION * ((seen.pictures - x.flatten(1)) ** 2).sum(1).mean()


class PairNet(nn.Module):  # type: ignore[misc]
    """Four convolutions, then one score for each digit, from pictures of any size.   (B, 1, H, W) -> (B, 10)

    head: "capsules", lengths of 10 capsules with shared weights (279,488 numbers), or "mean" and "sum", two dense layers and a
    sigmoid on the pooled positions (276,810). Settings of `Capsules` follow.
    """

    def __init__(self, head: str = "capsules", **given: Any) -> None:
        super().__init__()
        if head not in ("capsules", "mean", "sum"):
            msg = f"head={head!r}: it is capsules, mean or sum"
            raise InputError(msg)
        self.head = head
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(64, 128, 3), nn.ReLU(), nn.Conv2d(128, 128, 3), nn.ReLU(),
        )  # fmt: skip
        self.capsules = Capsules(128, 10, 16, **given) if head == "capsules" else None
        self.dense = None if self.capsules else nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """A score from 0 to 1 for each digit."""
        return scores(self.trunk(x).flatten(2).transpose(1, 2), self.head, self.capsules, self.dense)


def scores(u: Tensor, head: str, capsules: nn.Module | None, dense: nn.Module | None, whole: int = 64) -> Tensor:
    """Of positions u (B, n, d): lengths of capsules, or a dense head on their mean, or on their sum over `whole`."""
    if capsules is not None:
        lengths: Tensor = capsules(u).norm(dim=-1)
        return lengths
    assert dense is not None
    found: Tensor = dense(u.mean(1) if head == "mean" else u.sum(1) / whole)
    return found
