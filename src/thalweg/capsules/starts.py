"""Where clusters begin: k-means++ or random rows, drawn so that only the rows and their weights decide.

A row that counts w times begins as w equal rows do, in whatever order they stand: equal rows are merged, and the merged are put in
the order of a hash of their numbers before anything is drawn. (k-means++: Arthur and Vassilvitskii 2007, of scikit-learn.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import kmeans_plusplus

from thalweg.capsules.distances import Floats, Rows

BLOCK = 1 << 20  # numbers that are hashed at a time


def draw(x: Rows, w: Floats, k: int, init: str, random: np.random.RandomState) -> Floats:
    """K of some different rows x of weights w > 0, far from each other ("k-means++") or any ("random"), float64.   -> (k, d)"""
    n = len(w)
    if n < k:  # the others repeat some, and their clusters stay empty
        chosen = x[np.arange(k) % n]
    elif init == "random":
        chosen = x[random.choice(n, k, replace=False, p=w / w.sum())]
    else:
        chosen = kmeans_plusplus(x, k, sample_weight=w.astype(x.dtype), random_state=random)[0]
    return np.asarray(chosen.toarray() if hasattr(chosen, "multiply") else chosen, np.float64)


def merged(x: Rows, w: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """One place of each different row, and the weight of all that equal it, in an order that is the rows' alone."""
    present = np.flatnonzero(w > 0)
    _, first, which = np.unique(hashes(x)[present], return_index=True, return_inverse=True)
    return present[first], np.bincount(which, w[present]).astype(np.float64)


def hashes(x: Rows) -> npt.NDArray[np.uint64]:
    """A number for each row, the same for equal rows, dense or CSR.   (n, d) -> (n,)"""
    factors = np.random.default_rng(1).integers(1, 2**63, x.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    if hasattr(x, "multiply"):
        parts = np.zeros(len(x.data) + 1, np.uint64)
        np.cumsum(_mixed(x.data) * factors[x.indices], out=parts[1:])
        return _finished(parts[x.indptr[1:]] - parts[x.indptr[:-1]])
    rows = max(1, BLOCK // max(1, x.shape[1]))
    found = [(_mixed(x[i : i + rows]) * factors).sum(axis=1, dtype=np.uint64) for i in range(0, x.shape[0], rows)]
    return _finished(np.concatenate(found))


def _mixed(values: Any) -> npt.NDArray[np.uint64]:
    """The bits of numbers, spread over 64; 0 for 0."""
    bits = np.ascontiguousarray(values + 0.0).astype(np.float64).view(np.uint64)  # -0.0 + 0.0 is 0.0
    bits = (bits ^ (bits >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray(bits ^ (bits >> np.uint64(29)))


def _finished(sums: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    sums = (sums ^ (sums >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray(sums ^ (sums >> np.uint64(27)))
