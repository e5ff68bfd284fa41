"""Lengths of vectors, a block at a time and never zero where one divides by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def lengths_of(sides: Sequence[Any]) -> Floats:
    """The length of each row of [u, k], all at once.   (n, dim) each -> (n,)"""
    return np.asarray(np.sqrt(sum(np.einsum("nd,nd->n", side, side) for side in sides)))


def both_lengths(u: Any, k: Any) -> Any:
    """sqrt((|u|^2 + |k|^2)/2), 1 where it is 0.   (n, dim) -> (n,)"""
    return positive(np.sqrt((np.einsum("nd,nd->n", u, u) + np.einsum("nd,nd->n", k, k)) / 2))


def positive(lengths: Any) -> Any:
    """Lengths to divide by: 1 for 0, so that what has no length has the cosine 0."""
    return np.where(lengths > 0, lengths, 1)


def norms_of(rows: Any, block: int = 1 << 15) -> Floats:
    """The length of every row, a block at a time.   (n, dim) -> (n,)"""
    out = np.empty(len(rows), np.float32)
    for first in range(0, len(rows), block):
        part = np.asarray(rows[first : first + block])
        out[first : first + block] = np.sqrt(np.einsum("nd,nd->n", part, part))
    return out
