"""Distances of rows u from centres v, and where the centre of weighted rows is.

Each is base_i - (u_i . a_j + b_j) with a and b made of the centre, so that one matrix product gives the distances of a block:

    sqeuclidean  |u - v|^2               a = 2 v,      b = -|v|^2,  base = |u|^2      centre: the weighted mean
    cosine       1 - <u/|u|, v>          a = v,        b = 0,       base = 1          centre: the direction of the sum of u/|u|
    inner        -<u, v/|v|>             a = v/|v|,    b = 0,       base = 0          centre: the sum, whose length is the evidence

The centre step never raises the weighted sum of distances, which is all that the energy needs to fall (`energy`).
Sources: Lloyd 1982; Dhillon and Modha 2001, Machine Learning 42 (cosine); Su 2018, kexue.fm 5112 (inner).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, near_misses

Rows = Any  # a NumPy array (n, d) or a scipy CSR array
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distance:
    """rows: what rows become before anything else; base: base_i of those; form: a and b of centres (k, d) -> (k, d), (k,);
    centre: new centres from the sums (k, d) and weights (k,) of their rows, and the old ones where no row is left;
    spread: base_i at a row's own best centre, from which d is measured where a temperature is chosen.
    """

    rows: Callable[[Rows], Rows]
    base: Callable[[Rows], Floats]
    form: Callable[[Floats], tuple[Floats, Floats]]
    centre: Callable[[Floats, Floats, Floats], Floats]
    spread: Callable[[Rows], Floats]


def squares(x: Rows) -> Floats:
    """|x_i|^2 in float64.   (n, d) -> (n,)"""
    if hasattr(x, "multiply"):
        return np.asarray(x.multiply(x).sum(axis=1), np.float64).reshape(-1)
    return np.asarray(np.einsum("ij,ij->i", x, x, dtype=np.float64))


def _unit_rows(x: Rows) -> Rows:
    """Rows of length 1; those of zeros stay zeros."""
    lengths = np.sqrt(squares(x))
    scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0).astype(x.dtype)
    if hasattr(x, "multiply"):
        scaled = x.copy()
        scaled.data *= np.repeat(scale, np.diff(x.indptr))
        return scaled
    return x * scale[:, None]


def _mean(sums: Floats, weights: Floats, old: Floats) -> Floats:
    held = weights[:, None] > 0
    return np.where(held, sums / np.where(held, weights[:, None], 1), old)


def _unit(v: Floats, old: Floats) -> Floats:
    lengths = np.sqrt(squares(v))[:, None]
    return np.where(lengths > 0, v / np.where(lengths > 0, lengths, 1), old)


DISTANCES: dict[str, Distance] = {
    "sqeuclidean": Distance(
        rows=lambda x: x,
        base=squares,
        form=lambda v: (2 * v, -squares(v)),
        centre=_mean,
        spread=lambda x: np.zeros(x.shape[0]),
    ),
    "cosine": Distance(
        rows=_unit_rows,
        base=lambda x: np.ones(x.shape[0]),
        form=lambda v: (v, np.zeros(len(v))),
        centre=lambda sums, weights, old: _unit(sums, old),
        spread=lambda x: np.zeros(x.shape[0]),
    ),
    "inner": Distance(
        rows=lambda x: x,
        base=lambda x: np.zeros(x.shape[0]),
        form=lambda v: (_unit(v, np.zeros_like(v)), np.zeros(len(v))),
        centre=lambda sums, weights, old: np.where((sums != 0).any(axis=1, keepdims=True), sums, old),
        spread=lambda x: -np.sqrt(squares(x)),
    ),
}


def distance(name: str) -> Distance:
    """The distance of a name. Raises InputError for a name that there is not."""
    if name not in DISTANCES:
        msg = f"there is no distance {name!r}.{near_misses(name, DISTANCES)}"
        raise InputError(msg)
    return DISTANCES[name]
