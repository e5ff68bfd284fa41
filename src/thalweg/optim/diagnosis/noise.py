"""How noisy a mini-batch's gradient is, and from which batch on more samples stop to pay.

With b samples, E|g_b|^2 = |G|^2 + tr S / b: from the gradients of K batches g_i and their mean,

    |G|^2 = (K |mean g|^2 - mean |g_i|^2) / (K - 1),     tr S = (mean |g_i|^2 - |mean g|^2) / (1/b - 1/(K b))

both without bias, also where the batches are drawn from a data set without replacement: what is then missing in the spread of the
g_i is missing in that of their mean. B_simple = tr S / |G|^2 is the critical batch: a step at B is 1 / (1 + B_simple / B) as good
as one without noise, steps S / S_min = 1 + B_simple / B, samples E / E_min = 1 + B / B_simple (McCandlish et al. 2018, arXiv
1812.06162).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class NoiseScale:
    """value: B_simple, infinite where |G|^2 cannot be told from 0; low, high: its 95% interval; variance: tr S; squared: |G|^2, and
    its standard error.
    """

    value: float
    low: float
    high: float
    variance: float
    squared: float
    squared_error: float


def noise_scale(squares: npt.ArrayLike, dots: npt.ArrayLike, total: float, batch: float) -> NoiseScale:
    """From squares |g_i|^2 and dots g_i . mean (K,), and total = |mean|^2, of K disjoint batches of `batch` samples.

    The interval is the jackknife's over batches, on the logarithm of the ratio.
    """
    square, dot = np.asarray(squares, float), np.asarray(dots, float)
    K = len(square)
    variance, squared = _estimates(square.mean(), total, K, batch)
    # without batch i: mean' = (K mean - g_i) / (K - 1)
    without = (K**2 * total - 2 * K * dot + square) / (K - 1) ** 2
    left = [_estimates((square.sum() - square[i]) / (K - 1), without[i], K - 1, batch) for i in range(K)]
    spread = math.sqrt((K - 1) * np.var([each[1] for each in left]))
    if squared <= 2 * spread:
        low = variance / (squared + 2 * spread) if squared + 2 * spread > 0 else math.inf
        return NoiseScale(math.inf, low, math.inf, variance, squared, spread)
    logs = np.log([max(s, 1e-300) / max(g, 1e-300) for s, g in left])
    log, error = math.log(max(variance, 1e-300) / squared), math.sqrt((K - 1) * np.var(logs))
    value, low, high = (math.exp(log + t * error) for t in (0.0, -2.0, 2.0))
    return NoiseScale(value, low, high, variance, squared, spread)


def _estimates(square: float, total: float, K: int, batch: float) -> tuple[float, float]:
    """(tr S, |G|^2) from the mean of |g_i|^2 and |mean g|^2 of K batches."""
    squared = (K * total - square) / (K - 1)
    return (square - total) / (1 / batch - 1 / (K * batch)), squared
