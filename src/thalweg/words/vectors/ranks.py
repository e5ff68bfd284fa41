"""Spearman's rank correlation. SciPy has it too, at the price of loading scipy.stats, which takes longer than any question here."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def spearman(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Spearman's rank correlation, mean ranks for ties; NaN if either is constant or there are fewer than two.   x, y: (n,)"""
    ranks = [_mean_ranks(np.asarray(values, np.float64)) for values in (x, y)]
    first, second = (rank - rank.mean() if len(rank) else rank for rank in ranks)
    scale = math.sqrt(float(first @ first) * float(second @ second))
    return min(1.0, max(-1.0, float(first @ second) / scale)) if scale > 0 else math.nan


def _mean_ranks(values: Doubles) -> Doubles:
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return np.asarray((last - (sizes - 1) / 2)[group])
