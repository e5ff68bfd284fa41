"""Length maps: a vector keeps its direction, and its length r becomes phi(r).

    v = phi(|s|) s / |s|,  v = 0 at s = 0;        Phi(r) = the integral of phi from 0 to r

Phi of the length is convex, and its gradient is v: that is what makes routing go down an energy (`routing`). "squash" is
r^2 / (a + r^2): a = 1 in Sabour, Frosst and Hinton 2017 (arXiv 1710.09829); a = 0.5 enlarges short vectors less timidly (Su 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, near_misses

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LengthMap:
    """length(r, a): phi; integral(r, a): Phi. Both for r >= 0 of any size; a is the constant of "squash"."""

    length: Callable[[Floats, float], Floats]
    integral: Callable[[Floats, float], Floats]


def _squash(r: Floats, a: float) -> Floats:
    near, far = np.minimum(r, 1), np.maximum(r, 1)
    return np.where(r <= 1, near * near / (a + near * near), 1 / (1 + a / far / far))  # neither r^2 nor 1/r^2 overflows


def _squash_integral(r: Floats, a: float) -> Floats:
    x = r / np.sqrt(a)
    small = np.minimum(x, 0.03)
    series = small**3 * (1 / 3 - small**2 * (1 / 5 - small**2 * (1 / 7 - small**2 / 9)))  # x - arctan x loses its digits there
    return np.asarray(np.sqrt(a) * np.where(x < 0.03, series, x - np.arctan(x)))


def _exp_integral(r: Floats, a: float) -> Floats:
    small = np.minimum(r, 0.01)
    return np.where(r < 0.01, small**2 * (1 / 2 - small * (1 / 6 - small * (1 / 24 - small / 120))), r + np.expm1(-r))


def _ratio_integral(r: Floats, a: float) -> Floats:
    small = np.minimum(r, 0.003)
    series = small**2 * (1 / 2 - small * (1 / 3 - small * (1 / 4 - small * (1 / 5 - small / 6))))
    return np.where(r < 0.003, series, r - np.log1p(r))


LENGTHS: dict[str, LengthMap] = {
    "unit": LengthMap(lambda r, a: (r > 0).astype(r.dtype), lambda r, a: r),
    "squash": LengthMap(_squash, _squash_integral),
    "linear": LengthMap(lambda r, a: r, lambda r, a: r * r / 2),
    "tanh": LengthMap(lambda r, a: np.tanh(r), lambda r, a: r + np.log1p(np.expm1(-2 * r) / 2)),  # log cosh r
    "exp": LengthMap(lambda r, a: -np.expm1(-r), _exp_integral),
    "ratio": LengthMap(lambda r, a: r / (1 + r), _ratio_integral),
}


def length_map(name: str) -> LengthMap:
    """The map of a name. Raises InputError for a name that there is not."""
    if name not in LENGTHS:
        msg = f"there is no length map {name!r}.{near_misses(name, LENGTHS)}"
        raise InputError(msg)
    return LENGTHS[name]


def norm(s: Floats) -> Floats:
    """|s| over the last axis, kept as an axis of 1, where s^2 may underflow or overflow.   (..., d) -> (..., 1)"""
    largest = np.abs(s).max(axis=-1, keepdims=True, initial=0)
    scaled = np.divide(s, largest, out=np.zeros_like(s), where=largest > 0)
    return np.asarray(largest * np.sqrt((scaled * scaled).sum(axis=-1, keepdims=True)))


def squash(s: npt.ArrayLike, kind: str = "squash", constant: float = 0.5) -> Floats:
    """The vectors s with their lengths r turned into phi(r).   (..., d) -> (..., d), float64

    kind: a name of `LENGTHS`. Raises InputError for another, or a constant that is not above 0.
    """
    if not 0 < constant < np.inf:
        msg = f"constant={constant!r}: the a of r^2 / (a + r^2) is a finite number above 0"
        raise InputError(msg)
    vectors = np.asarray(s, np.float64)
    r = norm(vectors)
    unit = np.divide(vectors, r, out=np.zeros_like(vectors), where=r > 0)
    return unit * length_map(kind).length(r, constant)
