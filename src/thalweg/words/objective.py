"""The energy of a pair of tables of vectors: inner products against pointwise mutual information.

    J = 1/2 sum_{i != j, X_ij > 0} w_ij (<u_i, k_j> - t_ij)^2                     seen pairs
      + rho/2 sum_{i, j} p_i p_j (<u_i, k_j> - floor)^2                            all pairs, seen or not
      + ridge/2 (|U|^2 + |K|^2)

    t_ij = ln( X_ij T^2 / (N c_i c_j) )        the PMI;     w_ij = min(1, (X_ij / x_max)^alpha)
    p_i  = (c_i sqrt(N) / (T sqrt(x_max)))^beta    so that p_i p_j = (count expected by chance / x_max)^beta

The first line is the source's objective (Su Jianlin 2017, "更别致的词向量模型", kexue.fm 4671), its weights are GloVe's
(Pennington et al. 2014). It has no bias terms: the vectors have to explain frequency themselves, which is what makes
their lengths mean something. The second line says what not meeting is worth: a pair that chance alone would have brought
together often, and that never met, is pulled below chance; two rare words are left alone. It is separable, so it costs
O(V d^2) (Gram matrices).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError
from thalweg.jit import kernel
from thalweg.threads import blocks, run_tasks
from thalweg.words.counts import CooccurrenceCounts

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
BLOCK = 4096  # rows of a partial Gram matrix: fixed, so that sums have the same bits for any number of threads


@dataclass(frozen=True)
class Settings:
    """The constants of J. Defaults: weights as in the source, all-pairs term as measured in bench/README.md."""

    x_max: float = 100.0
    alpha: float = 0.75
    truncate: bool = True
    rho: float = 1.0
    floor: float = -1.0
    beta: float = 0.75
    ridge: float = 0.0

    def __post_init__(self) -> None:
        positive = {"x_max": self.x_max}
        not_negative = {"alpha": self.alpha, "rho": self.rho, "beta": self.beta, "ridge": self.ridge}
        for name, value in {**positive, **not_negative, "floor": self.floor}.items():
            if not math.isfinite(value) or (name in positive and value <= 0) or (name in not_negative and value < 0):
                kind = (
                    "a positive number"
                    if name in positive
                    else "a number, 0 or more"
                    if name in not_negative
                    else "a finite number"
                )
                msg = f"{name}={value!r} is not {kind}"
                raise InputError(msg)


@dataclass(frozen=True)
class Table:
    """The full symmetric table without its diagonal, ready for a solver.

    indptr (n_words + 1,) int64, columns (nnz,) int32, weights and targets (nnz,) float32: w and t of J; pull (n_words,): p.
    to_log (n_words,), log_base: ln X_ij = t_ij + to_log_i + to_log_j + log_base.
    """

    indptr: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int32]
    weights: Floats
    targets: Floats
    pull: Floats
    to_log: Doubles
    log_base: float
    row_sums: Doubles


def table(counts: CooccurrenceCounts, settings: Settings) -> Table:
    """The weights and targets of J from counts. Raises InputError if no two different words ever met."""
    n_pairs = counts.total_pairs
    if n_pairs == 0:
        msg = "no two different words stand within a window of each other: give longer texts, a larger window, or unit='file'"
        raise InputError(msg)
    log_share = np.log(counts.word_counts / counts.total_tokens)  # ln c_i/T
    indptr = np.zeros(len(counts.words) + 1, np.int64)
    np.cumsum(_full_lengths(counts.indptr, counts.indices), out=indptr[1:])
    columns = np.empty(indptr[-1], np.int32)
    weights, targets = np.empty(indptr[-1], np.float32), np.empty(indptr[-1], np.float32)
    row_sums = np.zeros(len(counts.words))
    _fill(
        counts.indptr, counts.indices, counts.values, 1 / counts.scale, log_share, math.log(n_pairs),
        settings.x_max, settings.alpha, settings.truncate, indptr[:-1].copy(), columns, weights, targets, row_sums,
    )  # fmt: skip
    pull = (np.exp(log_share) * math.sqrt(n_pairs / settings.x_max)) ** settings.beta
    return Table(indptr, columns, weights, targets, pull.astype(np.float32), log_share, math.log(n_pairs), row_sums)


@kernel
def _full_lengths(indptr, indices):  # type: ignore[no-untyped-def]
    """Entries of each row of the full table, the diagonal left out."""
    lengths = np.zeros(len(indptr) - 1, np.int64)
    for row in range(len(indptr) - 1):
        for e in range(indptr[row], indptr[row + 1]):
            if indices[e] != row:
                lengths[row] += 1
                lengths[indices[e]] += 1
    return lengths


@kernel
def _fill(indptr, indices, values, unit, log_share, log_pairs, x_max, alpha, truncate, free, columns, weights, targets, row_sums):  # type: ignore[no-untyped-def]
    """Write both orders of every pair. Rows are visited in rising order, so the columns of every row come out sorted."""
    for row in range(len(indptr) - 1):
        for e in range(indptr[row], indptr[row + 1]):
            column = np.int64(indices[e])
            if column == row:
                continue
            x = values[e] * unit
            weight = (x / x_max) ** alpha
            if truncate and weight > 1:
                weight = 1.0
            target = np.log(x) - log_pairs - log_share[row] - log_share[column]
            row_sums[row] += x
            row_sums[column] += x
            for a, b in ((row, column), (column, row)):
                columns[free[a]] = b
                weights[free[a]] = weight
                targets[free[a]] = target
                free[a] += 1


def gram(rows: Floats, pull: Floats, threads: int | None) -> tuple[Doubles, Doubles]:
    """(sum_i p_i v_i v_i^T, sum_i p_i v_i) in float64, summed over fixed blocks of rows in order."""

    def block(first: int, last: int) -> tuple[Doubles, Doubles]:
        part = rows[first:last].astype(np.float64)
        weighted = part * pull[first:last, None]
        return part.T @ weighted, weighted.sum(axis=0)

    parts = run_tasks(block, blocks(len(rows), BLOCK), threads)
    return np.sum([p[0] for p in parts], axis=0), np.sum([p[1] for p in parts], axis=0)


def all_pairs_energy(word: tuple[Doubles, Doubles], context: tuple[Doubles, Doubles], pull: Floats, settings: Settings) -> float:
    """rho/2 sum_ij p_i p_j (<u_i, k_j> - floor)^2 = rho/2 (<G', G> - 2 floor h'.h + floor^2 (sum p)^2), from Gram matrices."""
    total = float(pull.sum(dtype=np.float64))
    floor = settings.floor
    products = float((word[0] * context[0]).sum() - 2 * floor * (word[1] @ context[1]))
    return settings.rho / 2 * (products + floor * floor * total * total)  # not floor**2, which Python refuses where it overflows
