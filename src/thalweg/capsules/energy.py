"""The free energy of centres, in plain NumPy: the page to read, and the oracle of the tests.

    E(V)    = -(1/b) sum_i w_i log sum_j pi_j exp(-b d_ij)          b = inf: sum_i w_i min_j d_ij
    F(V, C) = sum_ij w_i c_ij d_ij + (1/b) sum_ij w_i c_ij log(c_ij / pi_j),      E(V) = min over C of F(V, C)

The minimum is at c_ij = softmax_j(log pi_j - b d_ij), the responsibilities. With them held, the centre step of a distance does not
raise F, so E(V') <= F(V', C) <= F(V, C) = E(V). With w = 1 and pi = 1: E_inf - (log k / b) n <= E <= E_inf.
"sqeuclidean" is EM for a mixture of Gaussians of equal weight and variance 1/(2b); "cosine" one of von Mises-Fisher, kappa = b.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thalweg.capsules.distances import Floats, distance
from thalweg.errors import InputError


def distances(X: npt.ArrayLike, centers: npt.ArrayLike, name: str = "sqeuclidean") -> Floats:
    """d_ij, for "sqeuclidean" by its definition.   (n, d), (k, d) -> (n, k)"""
    x, v = np.asarray(X, np.float64), np.asarray(centers, np.float64)
    if x.ndim != 2 or v.ndim != 2 or x.shape[1] != v.shape[1]:
        msg = f"X of shape {x.shape} and centers of shape {v.shape}: both have two axes, and as many columns"
        raise InputError(msg)
    chosen = distance(name)
    if name == "sqeuclidean":
        return np.asarray(((x[:, None] - v) ** 2).sum(axis=2))  # without the cancellation of the fast form
    rows, (a, b) = chosen.rows(x), chosen.form(v)
    return np.asarray(chosen.base(rows)[:, None] - rows @ a.T - b)


def responsibilities(
    X: npt.ArrayLike, centers: npt.ArrayLike, inverse_temperature: float = 1.0, distance: str = "sqeuclidean"
) -> Floats:
    """c_ij = softmax_j(-b d_ij): how far row i belongs to centre j; at b = inf 1 for the nearest (the first of equals).

    (n, d), (k, d) -> (n, k). Raises InputError for shapes that do not fit, an unknown distance, or a b not above 0.
    """
    d = distances(X, centers, distance)
    _check(inverse_temperature)
    if np.isinf(inverse_temperature):
        return np.asarray(np.arange(d.shape[1]) == d.argmin(axis=1)[:, None], np.float64)
    weights = np.exp(-inverse_temperature * (d - d.min(axis=1, keepdims=True)))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def free_energy(
    X: npt.ArrayLike,
    centers: npt.ArrayLike,
    inverse_temperature: float = 1.0,
    distance: str = "sqeuclidean",
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """E of the rows X (n, d) at centres (k, d). Raises as `responsibilities` does."""
    d = distances(X, centers, distance)
    _check(inverse_temperature)
    least = d.min(axis=1)
    rows = least
    if np.isfinite(inverse_temperature):
        rows = least - np.log(np.exp(-inverse_temperature * (d - least[:, None])).sum(axis=1)) / inverse_temperature
    return float(rows.sum() if sample_weight is None else rows @ np.asarray(sample_weight, np.float64))


def _check(inverse_temperature: float) -> None:
    if not inverse_temperature > 0:
        msg = f"inverse_temperature={inverse_temperature!r}: a number above 0, inf for hard clusters"
        raise InputError(msg)
