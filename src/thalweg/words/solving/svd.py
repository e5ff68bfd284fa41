"""The start of the solver: the leading eigenvectors of the table of positive PMI.

The closed-form minimiser of the *unweighted* squared error with unseen pairs at 0. The PMI is taken here with the marginals of
the pair table, its contexts smoothed with the power 3/4 (Levy, Goldberg and Dagan 2015), as the mean of both orders:

    s_ij = max(0, ln X_ij - (1 + 3/4)/2 (ln r_i + ln r_j) + ln sum_k r_k^(3/4)),    r_i = sum_{j != i} X_ij

Randomised subspace iteration (Halko, Martinsson and Tropp 2011), orthonormalised through Gram matrices in float64; with
eigenpairs (E, L):  u = E |L|^(1/2),  k = u sign(L).
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from thalweg.jit import kernel
from thalweg.progress import Progress
from thalweg.simd import axpy, padded, prefetch
from thalweg.threads import blocks, one_blas_thread, run_tasks
from thalweg.words.solving.objective import BLOCK, Doubles, Floats, Table, for_reading, gram

SMOOTH = 0.75
POWER_STEPS = 4
OVERSAMPLE = 16
_AHEAD = 8  # entries whose rows are fetched ahead


def start(
    table: Table,
    dim: int,
    *,
    seed: int = 0,
    power_steps: int = POWER_STEPS,
    smooth: float = SMOOTH,
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[Floats, Floats]:
    """Word and context vectors from the eigenvectors of the positive PMI.   two (n_words, dim)"""
    n_words = len(table.pull)
    width = padded(min(n_words, dim + OVERSAMPLE))
    offsets, base = _smoothed_offsets(table, smooth)
    steps = power_steps + 2
    basis = np.random.default_rng(seed).standard_normal((n_words, width), np.float32)
    for k in range(steps):
        basis = _orthonormal(basis, threads)
        product = _times(table, offsets, base, basis, threads)
        if progress is not None:
            progress(k + 1, steps, phase="starting", unit="products")
        if k < steps - 1:
            basis = product
    projected = _cross(basis, product, threads)  # Q^T S Q   (width, width)
    values, inner = _eigh((projected + projected.T) / 2)
    leading = np.argsort(-np.abs(values), kind="stable")[: min(dim, n_words)]
    values, inner = values[leading], inner[:, leading]
    vectors = _rotate(basis, inner * np.sqrt(np.abs(values)), threads)
    word = np.zeros((n_words, dim), np.float32)
    word[:, : vectors.shape[1]] = vectors
    context = word.copy()
    context[:, : len(values)] *= np.where(values < 0, -1, 1).astype(np.float32)
    return word, context


def _smoothed_offsets(table: Table, smooth: float) -> tuple[Doubles, float]:
    """s_ij = max(0, t_ij + offsets_i + offsets_j + base)."""
    sums = np.maximum(table.row_sums, np.finfo(float).tiny)  # a word without any pair has no entry to apply it to
    log_sums = np.log(sums)
    offsets = table.to_log - (1 + smooth) / 2 * log_sums
    return offsets, table.log_base + float(np.log(np.sum(sums**smooth)))


def _times(table: Table, offsets: Doubles, base: float, basis: Floats, threads: int | None) -> Floats:
    product = np.empty_like(basis)
    scale = np.float32(
        2.0 ** round(math.log2(len(basis)) / 2)
    )  # orthonormal columns have entries near 1/sqrt(n_words), small for halves
    args = (table.indptr, table.columns, table.targets, offsets, base, for_reading(basis * scale), 1 / scale, basis.shape[1])
    run_tasks(lambda first, last: _multiply(first, last, *args, product), row_tasks(table.indptr), threads)
    return product


def row_tasks(indptr: np.ndarray[tuple[int], np.dtype[np.int64]], entries: int = 1 << 18) -> list[tuple[int, int]]:
    """Ranges of rows of about `entries` entries each, so that threads get equal work."""
    cuts = np.searchsorted(indptr, np.arange(0, indptr[-1] + entries, entries))
    cuts = np.unique(np.concatenate([[0], np.clip(cuts, 0, len(indptr) - 1), [len(indptr) - 1]]))
    return [(int(a), int(b)) for a, b in itertools.pairwise(cuts)]


@kernel(fastmath=True)
def _multiply(first, last, indptr, columns, targets, offsets, base, basis, unscale, width, product):  # type: ignore[no-untyped-def]
    """Rows first..last of S times basis, times unscale."""
    total = np.zeros(width, np.float32)
    n_entries = indptr[-1]
    for row in range(first, last):
        total[:] = 0
        for e in range(indptr[row], indptr[row + 1]):
            column = np.int64(columns[e])
            prefetch(basis, columns[min(e + _AHEAD, n_entries - 1)] * width, width)
            value = np.float32(targets[e] + offsets[row] + offsets[column] + base)
            if value > 0:
                axpy(value, basis, column * width, total, width)
        for k in range(width):
            product[row, k] = total[k] * unscale


def _eigh(matrix: Doubles) -> tuple[Doubles, Doubles]:
    with one_blas_thread():
        values, vectors = np.linalg.eigh(matrix)
        return values, vectors


def _cross(left: Floats, right: Floats, threads: int | None) -> Doubles:
    """left^T right in float64, summed over fixed blocks."""

    def block(first: int, last: int) -> Doubles:
        return left[first:last].astype(np.float64).T @ right[first:last].astype(np.float64)

    return np.asarray(np.sum(run_tasks(block, blocks(len(left), BLOCK), threads), axis=0))


def _orthonormal(columns: Floats, threads: int | None) -> Floats:
    """The same span with orthonormal columns, through the Gram matrix in float64; directions of no weight become 0."""
    values, vectors = _eigh(gram(columns, np.ones(len(columns), np.float32), threads)[0])
    alive = values > values[-1] * 1e-12
    scale = np.where(alive, 1 / np.sqrt(np.where(alive, values, 1)), 0)
    return _rotate(columns, vectors * scale, threads)


def _rotate(columns: Floats, matrix: Doubles, threads: int | None) -> Floats:
    """Columns @ matrix, block by block: BLAS may not choose how to cut it."""
    small = matrix.astype(np.float32)
    parts = run_tasks(lambda first, last: columns[first:last] @ small, blocks(len(columns), BLOCK), threads)
    return np.concatenate(parts)
