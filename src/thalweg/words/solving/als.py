"""Alternating least squares: go down J by solving for all word vectors, then for all context vectors, and again.

With the contexts fixed each word's vector u solves a ridge problem of its own, A u = b with

    A = sum_j w_j k_j k_j^T + rho p G + ridge I,     b = sum_j w_j t_j k_j + rho p floor h,
    G = sum_j p_j k_j k_j^T,     h = sum_j p_j k_j

It is taken `cg` conjugate-gradient steps towards the solution from where it stands, without forming A: two passes over the row's
entries a step. Every step lowers J (Hestenes and Stiefel 1952; Takacs, Pilaszy and Tikk 2011 for its use in factorisation). Rows
see only the other side, and sums over rows have a fixed order: the result has the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg import simd
from thalweg.errors import InputError
from thalweg.jit import kernel
from thalweg.progress import Progress
from thalweg.simd import axpy, dot, prefetch
from thalweg.threads import run_tasks
from thalweg.words.solving.objective import Doubles, Floats, Table, all_pairs_energy, for_reading, gram
from thalweg.words.solving.settings import Settings
from thalweg.words.solving.svd import row_tasks

Checkpoint = Callable[[dict[str, npt.NDArray[Any]], list[dict[str, float]]], None]
CG = 2  # conjugate-gradient steps a row and sweep
Grams = tuple[Doubles, Doubles]  # (sum_i p_i v_i v_i^T, sum_i p_i v_i) of one side


def descend(
    table: Table,
    word: Floats,
    context: Floats,
    settings: Settings,
    *,
    epochs: int = 5,
    cg: int = CG,
    tol: float = 1e-3,
    path: Sequence[dict[str, float]] = (),
    threads: int | None = None,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[Floats, Floats, list[dict[str, float]]]:
    """Lower J from a start. Returns the word and the context vectors, and J with its parts before the first and after every sweep.

    Stops after `epochs` sweeps, or when a sweep lowers J by less than the share `tol`. checkpoint({"word":, "context":}, path) is
    called after every sweep; with these as arguments the rest of the sweeps gives the same bits. Raises InputError for
    a J that is not finite.
    """
    dim = word.shape[1]
    word, context = padded_copy(word), padded_copy(context)
    path = list(path)
    for epoch in range(len(path), epochs + 1):
        converged = len(path) > 1 and path[-2]["energy"] - path[-1]["energy"] < tol * path[-2]["energy"]
        last = converged or epoch == epochs
        grams = gram(word, table.pull, threads), gram(context, table.pull, threads)
        rest = _all_pairs_and_ridge(grams, word, context, table, settings)  # of the vectors before this half sweep moves them
        seen = _half_sweep(table, word, context, grams[1], settings, 0 if last else cg, threads)
        path.append(_total(seen, *rest))
        if progress is not None:
            progress(epochs if last else epoch, epochs, phase="solving", unit="sweeps", **path[-1])
        if last:
            break
        _half_sweep(table, context, word, gram(word, table.pull, threads), settings, cg, threads)
        if checkpoint is not None:
            checkpoint({"word": word[:, :dim], "context": context[:, :dim]}, path)
    return word[:, :dim], context[:, :dim], path


def padded_copy(vectors: Floats) -> Floats:
    """A copy with columns of zeros up to a multiple of the vector length; they stay zero."""
    full = np.zeros((len(vectors), simd.padded(vectors.shape[1])), np.float32)
    full[:, : vectors.shape[1]] = vectors
    return full


def energy(table: Table, word: Floats, context: Floats, settings: Settings, threads: int | None = None) -> dict[str, float]:
    """J of these vectors, and its parts."""
    word, context = padded_copy(word), padded_copy(context)
    grams = gram(word, table.pull, threads), gram(context, table.pull, threads)
    rest = _all_pairs_and_ridge(grams, word, context, table, settings)
    return _total(_half_sweep(table, word, context, grams[1], settings, 0, threads), *rest)


def _all_pairs_and_ridge(
    grams: tuple[Grams, Grams], word: Floats, context: Floats, table: Table, settings: Settings
) -> tuple[float, float]:
    squares = float(np.vdot(word, word)) + float(np.vdot(context, context)) if settings.damping else 0.0
    return all_pairs_energy(grams[0], grams[1], table.pull, settings), settings.damping / 2 * squares


def _total(seen: float, all_pairs: float, ridge: float) -> dict[str, float]:
    total = seen + all_pairs + ridge
    if not np.isfinite(total):
        msg = "the energy is not finite: the counts or the settings are too extreme; try a larger ridge or x_max"
        raise InputError(msg)
    return {"energy": total, "seen": seen, "all_pairs": all_pairs, "ridge": ridge}


def _half_sweep(
    table: Table, rows: Floats, others: Floats, gram_others: Grams, settings: Settings, cg: int, threads: int | None
) -> float:
    """`cg` steps for every row of `rows`, in place; returns the seen part of J before them."""
    matrix, pulled = (part.astype(np.float32) for part in gram_others)
    errors = np.zeros(len(rows))
    push = (settings.pull * table.pull).astype(np.float32)
    entries = table.indptr, table.columns, table.weights, table.targets
    sides = for_reading(others), rows, push, matrix.ravel(), pulled
    numbers = np.float32(settings.floor), np.float32(settings.damping), cg
    run_tasks(lambda first, last: solve_rows(first, last, *entries, *sides, *numbers, errors), row_tasks(table.indptr), threads)
    return float(errors.sum() / 2)


_AHEAD = 8  # entries whose vectors are fetched ahead: bench/words/solving.py, flat between 6 and 10


@kernel(fastmath=True)
def solve_rows(first, last, indptr, columns, weights, targets, others, rows, push, matrix, pulled, floor, ridge, cg, errors):  # type: ignore[no-untyped-def]
    """Conjugate gradients for rows first..last; errors[row] = sum_j w_j (<u, k_j> - t_j)^2 before them.

    others, matrix: the fixed side and its Gram matrix, flat.
    """
    dim = rows.shape[1]
    x, residual = np.empty(dim, np.float32), np.empty(dim, np.float32)
    direction, product = np.empty(dim, np.float32), np.empty(dim, np.float32)
    n_entries = indptr[-1]
    for row in range(first, last):
        for k in range(dim):
            x[k] = rows[row, k]
            residual[k] = 0
        error = 0.0
        for e in range(indptr[row], indptr[row + 1]):  # residual = b - A x: first what was seen
            prefetch(others, columns[min(e + _AHEAD, n_entries - 1)] * dim, dim)
            place = columns[e] * dim
            miss = targets[e] - dot(others, place, x, dim)
            scaled = weights[e] * miss
            error += np.float64(scaled * miss)
            axpy(scaled, others, place, residual, dim)
        errors[row] = error
        if cg == 0:
            continue
        for k in range(dim):  # then the pull of all pairs, and the ridge
            residual[k] += push[row] * (floor * pulled[k] - dot(matrix, k * dim, x, dim)) - ridge * x[k]
            direction[k] = residual[k]
        size = dot(residual, 0, residual, dim)
        for step in range(cg):
            if size <= 0:
                break
            for k in range(dim):  # product = A direction
                product[k] = push[row] * dot(matrix, k * dim, direction, dim) + ridge * direction[k]
            for e in range(indptr[row], indptr[row + 1]):
                prefetch(others, columns[min(e + _AHEAD, n_entries - 1)] * dim, dim)
                place = columns[e] * dim
                axpy(weights[e] * dot(others, place, direction, dim), others, place, product, dim)
            curvature = dot(direction, 0, product, dim)
            if curvature <= 0:
                break
            length = size / curvature
            axpy(length, direction, 0, x, dim)
            if step == cg - 1:
                break
            before = size
            axpy(-length, product, 0, residual, dim)
            size = dot(residual, 0, residual, dim)
            for k in range(dim):
                direction[k] = residual[k] + size / before * direction[k]
        for k in range(dim):
            rows[row, k] = x[k]
