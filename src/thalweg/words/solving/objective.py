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
import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg import simd
from thalweg.errors import InputError
from thalweg.jit import kernel
from thalweg.threads import blocks, run_tasks
from thalweg.words.counts.table import CooccurrenceCounts
from thalweg.words.solving.settings import Settings

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
BLOCK = 4096  # rows of a partial Gram matrix: fixed, so that sums have the same bits for any number of threads
LARGE = 4 << 20  # bytes of vectors that are read as halves: rounding of 1 in 2000 against nearly half of the time


@dataclass(frozen=True)
class Table:
    """The full symmetric table without its diagonal, ready for a solver.

    indptr (n_words + 1,) int64, columns (nnz,) int32, weights and targets (nnz,) float32: w and t of J; pull (n_words,): p.
    to_log (n_words,), log_base: ln X_ij = t_ij + to_log_i + to_log_j + log_base. row_sums (n_words,): sum_{j != i} X_ij.
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
    kept = np.ones(len(counts.words))  # the share of a word's occurrences that subsampling leaves
    if settings.subsample is not None:
        kept = np.minimum(1, np.sqrt(settings.subsample * counts.total_tokens / counts.word_counts))
    stored = tuple(np.asarray(array) for array in (counts.indptr, counts.indices, counts.values))  # also of mapped files
    lengths, row_sums = np.zeros(len(kept), np.int64), np.zeros(len(kept))
    _measure(*stored, 1 / counts.scale, kept, lengths, row_sums)
    n_pairs = float(row_sums.sum())
    if n_pairs == 0:
        msg = "no two different words stand within a window of each other: give longer texts, a larger window, or unit='file'"
        raise InputError(msg)
    tokens = counts.word_counts * kept
    log_share = np.log(tokens / tokens.sum())  # ln c_i/T
    log_base = math.log(n_pairs) + settings.shift
    indptr = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    columns = np.empty(indptr[-1], np.int32)
    weights, targets = np.empty(indptr[-1], np.float32), np.empty(indptr[-1], np.float32)
    _fill(
        *stored, 1 / counts.scale, np.log(kept), log_share, log_base,
        math.log(settings.x_max), settings.alpha, indptr[:-1].copy(), columns, weights, targets,
    )  # fmt: skip
    for array in (counts.indices, counts.values):
        mapped = getattr(array, "_mmap", None)
        if isinstance(mapped, mmap.mmap):  # its pages are not needed any more, and would count as ours
            mapped.madvise(mmap.MADV_DONTNEED)
    pull = (np.exp(log_share) * math.sqrt(n_pairs / settings.x_max)) ** settings.beta
    return Table(indptr, columns, weights, targets, pull.astype(np.float32), log_share, log_base, row_sums)


@kernel
def _measure(indptr, indices, values, unit, kept, lengths, row_sums):  # type: ignore[no-untyped-def]
    """Entries of each row of the full table without its diagonal, and their sum."""
    for row in range(len(indptr) - 1):
        for e in range(indptr[row], indptr[row + 1]):
            column = np.int64(indices[e])
            if column != row:
                x = values[e] * unit * kept[row] * kept[column]
                lengths[row] += 1
                lengths[column] += 1
                row_sums[row] += x
                row_sums[column] += x


@kernel
def _fill(indptr, indices, values, unit, log_kept, to_log, log_base, log_full, alpha, free, columns, weights, targets):  # type: ignore[no-untyped-def]
    """Write both orders of every pair. Rows are visited in rising order, so the columns of every row come out sorted."""
    for row in range(len(indptr) - 1):
        for e in range(indptr[row], indptr[row + 1]):
            column = np.int64(indices[e])
            if column == row:
                continue
            log_x = np.log(values[e] * unit) + log_kept[row] + log_kept[column]
            weight = np.exp(alpha * (log_x - log_full))  # (x / x_max)^alpha
            if weight > 1:
                weight = 1.0
            target = log_x - log_base - to_log[row] - to_log[column]
            for a, b in ((row, column), (column, row)):
                columns[free[a]] = b
                weights[free[a]] = weight
                targets[free[a]] = target
                free[a] += 1


def for_reading(vectors: Floats) -> npt.NDArray[Any]:
    """Vectors, flat, as a kernel reads them at random: as halves where they are so many that they do not stay in a core's cache."""
    small = simd.halves(vectors) if vectors.nbytes > LARGE else None
    return np.ascontiguousarray(vectors).ravel() if small is None else small


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
    return settings.pull / 2 * (products + floor * floor * total * total)  # not floor**2, which Python refuses where it overflows


__all__ = ["BLOCK", "Doubles", "Floats", "Settings", "Table", "all_pairs_energy", "for_reading", "gram", "table"]
