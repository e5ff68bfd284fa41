"""All of it in few lines, dense and slow: text, counts, mutual information, vectors, related words. To learn from.

The tests compare the fast code with it.

    J = 1/2 sum_seen w_ij (<u_i, k_j> - t_ij)^2 + rho/2 sum_ij p_i p_j (<u_i, k_j> - floor)^2
    t_ij = ln(X_ij / N) - ln P_i - ln P_j,   w_ij = min(1, (X_ij / x_max)^alpha),   p_i = (P_i sqrt(N / x_max))^beta

Pairs that met are drawn to their pointwise mutual information t, all pairs weakly to the floor. J is quadratic in u for given k,
and in k for given u, so each side has its exact minimum in turn. Source: Su Jianlin 2017, 更别致的词向量模型 (kexue.fm 4671).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def read(lines: Iterable[str], min_count: int = 5) -> tuple[list[str], list[list[int]], Matrix]:
    """The words by falling count, the lines as their numbers, and the counts.   -> words, lines, (n_words,)"""
    split = [line.lower().split() for line in lines]
    counted = Counter(word for line in split for word in line)
    words = sorted((word for word in counted if counted[word] >= min_count), key=lambda word: (-counted[word], word.encode()))
    number = {word: k for k, word in enumerate(words)}
    return (
        words,
        [[number[word] for word in line if word in number] for line in split],
        np.array([counted[w] for w in words], float),
    )


def count(lines: list[list[int]], n_words: int, window: int = 10) -> Matrix:
    """X_ij: how often i and j stand within a window of each other, each time 1 / distance.   (n_words, n_words)"""
    x = np.zeros((n_words, n_words))
    for line in lines:
        for k, one in enumerate(line):
            for distance, other in enumerate(line[k + 1 : k + 1 + window], 1):
                x[one, other] += 1 / distance
                x[other, one] += 1 / distance
    np.fill_diagonal(x, 0)  # a word beside itself says nothing of two words
    return x


def targets(
    x: Matrix, counts: Matrix, x_max: float = 100.0, alpha: float = 0.75, beta: float = 0.75
) -> tuple[Matrix, Matrix, Matrix]:
    """T (0 where a pair never met), w (0 there) and p of J.   (n_words, n_words) twice, (n_words,)"""
    share, total = counts / counts.sum(), x.sum()
    t = np.log(np.where(x > 0, x, 1) / total) - np.log(share)[:, None] - np.log(share)
    w = np.minimum(1, (x / x_max) ** alpha)
    return np.where(x > 0, t, 0), np.where(x > 0, w, 0), (share * np.sqrt(total / x_max)) ** beta


def energy(u: Matrix, k: Matrix, t: Matrix, w: Matrix, p: Matrix, rho: float = 1.0, floor: float = -1.0) -> float:
    """The value of J."""
    product = u @ k.T
    return float((w * (product - t) ** 2).sum() + rho * (np.outer(p, p) * (product - floor) ** 2).sum()) / 2


def solve(
    t: Matrix, w: Matrix, p: Matrix, dim: int = 16, sweeps: int = 20, rho: float = 1.0, floor: float = -1.0
) -> tuple[Matrix, Matrix]:
    """Vectors u and k: eigenvectors of the positive mutual information as a start, then each side's minimum in turn."""
    values, axes = np.linalg.eigh(np.maximum(t, 0))
    first = np.argsort(-np.abs(values))[:dim]
    k = axes[:, first] * np.sqrt(np.abs(values[first])) * np.sign(values[first])
    for _ in range(sweeps):
        u = _minimum(k, t, w, p, rho, floor)
        k = _minimum(u, t.T, w.T, p, rho, floor)
    return u, k


def _minimum(k: Matrix, t: Matrix, w: Matrix, p: Matrix, rho: float, floor: float) -> Matrix:
    """The u that minimises J for given k: one linear system a row."""
    everything, pulled = (k * p[:, None]).T @ k, floor * p @ k
    rows = [
        np.linalg.lstsq((k * w[i][:, None]).T @ k + rho * p[i] * everything, (w[i] * t[i]) @ k + rho * p[i] * pulled, rcond=None)[0]
        for i in range(len(t))
    ]
    return np.array(rows)


def related(word: str, words: list[str], u: Matrix, k: Matrix, topn: int = 10) -> list[tuple[str, float]]:
    """The words of largest estimated mutual information with a word."""
    row = words.index(word)
    scores = (u @ k[row] + k @ u[row]) / 2
    return [(words[j], float(scores[j])) for j in np.argsort(-scores, kind="stable") if j != row][:topn]
