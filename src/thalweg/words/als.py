"""Alternating least squares: go down J by solving for all word vectors, then for all context vectors, and again.

With the contexts fixed each word's vector u solves a ridge problem of its own, A u = b with

    A = sum_j w_j k_j k_j^T + rho p G + ridge I,     b = sum_j w_j t_j k_j + rho p floor h,
    G = sum_j p_j k_j k_j^T,     h = sum_j p_j k_j

It is taken `cg` conjugate-gradient steps towards the solution from where it stands, without forming A: two passes over the row's
entries a step. Every step lowers J (Hestenes and Stiefel 1952; Takacs, Pilaszy and Tikk 2011 for its use in factorisation). Rows
see only the other side, and sums over rows have a fixed order: the result has the same bits for any number of threads.
"""

from __future__ import annotations

import numpy as np

from thalweg.errors import InputError
from thalweg.jit import kernel
from thalweg.threads import run_tasks
from thalweg.words.objective import Doubles, Floats, Settings, Table, all_pairs_energy, gram
from thalweg.words.reading import Progress
from thalweg.words.svd import row_tasks

Grams = tuple[Doubles, Doubles]  # (sum_i p_i v_i v_i^T, sum_i p_i v_i) of one side


def descend(
    table: Table,
    word: Floats,
    context: Floats,
    settings: Settings,
    *,
    epochs: int = 5,
    cg: int = 2,
    tol: float = 1e-3,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Lower J in place. Returns J and its parts before the first and after every sweep: energy, seen, all_pairs, ridge.

    Stops after `epochs` sweeps, or when a sweep lowers J by less than the share `tol`. Raises InputError if J is not finite.
    """
    path: list[dict[str, float]] = []
    for epoch in range(epochs + 1):
        last = epoch == epochs
        grams = gram(word, table.pull, threads), gram(context, table.pull, threads)
        seen = _half_sweep(table, word, context, grams[1], settings, 0 if last else cg, threads)
        path.append(_energy(seen, grams, word, context, table, settings))  # of the vectors before this half sweep
        if progress is not None:
            progress(epoch, epochs, phase="solving", unit="sweeps", energy=path[-1]["energy"])
        if last:
            break
        _half_sweep(table, context, word, gram(word, table.pull, threads), settings, cg, threads)
        if epoch > 0 and path[-2]["energy"] - path[-1]["energy"] < tol * path[-2]["energy"]:
            path.append(energy(table, word, context, settings, threads))
            break
    return path


def energy(table: Table, word: Floats, context: Floats, settings: Settings, threads: int | None = None) -> dict[str, float]:
    """J of these vectors, and its parts."""
    grams = gram(word, table.pull, threads), gram(context, table.pull, threads)
    seen = _half_sweep(table, word, context, grams[1], settings, 0, threads)
    return _energy(seen, grams, word, context, table, settings)


def _energy(
    seen: float, grams: tuple[Grams, Grams], word: Floats, context: Floats, table: Table, settings: Settings
) -> dict[str, float]:
    parts = {
        "seen": seen,
        "all_pairs": all_pairs_energy(grams[0], grams[1], table.pull, settings),
        "ridge": settings.ridge / 2 * float(np.vdot(word, word) + np.vdot(context, context)),
    }
    total = sum(parts.values())
    if not np.isfinite(total):
        msg = "the energy is not finite: the counts or the settings are too extreme; try a larger ridge or x_max"
        raise InputError(msg)
    return {"energy": total, **parts}


def _half_sweep(table, rows, others, gram_others, settings, cg, threads) -> float:  # type: ignore[no-untyped-def]
    """`cg` steps for every row of `rows`; returns the seen part of J before them."""
    matrix, pulled = (part.astype(np.float32) for part in gram_others)
    errors = np.zeros(len(rows))
    flat = others.ravel()
    push = (settings.rho * table.pull).astype(np.float32)
    args = (table.indptr, table.columns, table.weights, table.targets, flat, rows, push, matrix, pulled)
    numbers = np.float32(settings.floor), np.float32(settings.ridge), cg
    run_tasks(lambda first, last: _solve_rows(first, last, *args, *numbers, errors), row_tasks(table.indptr), threads)
    return float(errors.sum() / 2)


@kernel(fastmath=True)
def _solve_rows(first, last, indptr, columns, weights, targets, others, rows, push, matrix, pulled, floor, ridge, cg, errors):  # type: ignore[no-untyped-def]
    """Conjugate gradients for rows first..last; errors[row] = sum_j w_j (<u, k_j> - t_j)^2 before them.

    others: the fixed side, flat, so that no view is made in the hot loop.
    """
    dim = rows.shape[1]
    x, residual, direction, product = (
        np.empty(dim, np.float32),
        np.empty(dim, np.float32),
        np.empty(dim, np.float32),
        np.empty(dim, np.float32),
    )
    for row in range(first, last):
        for k in range(dim):
            x[k] = rows[row, k]
            residual[k] = 0
        error = 0.0
        for e in range(indptr[row], indptr[row + 1]):  # residual = b - A x, first what is seen
            place = np.int64(columns[e]) * dim
            dot = np.float32(0)
            for k in range(dim):
                dot += others[place + k] * x[k]
            miss = targets[e] - dot
            scaled = weights[e] * miss
            error += np.float64(scaled * miss)
            for k in range(dim):
                residual[k] += scaled * others[place + k]
        errors[row] = error
        if cg == 0:
            continue
        for k in range(dim):  # then the pull of all pairs, and the ridge
            dot = np.float32(0)
            for m in range(dim):
                dot += matrix[k, m] * x[m]
            residual[k] += push[row] * (floor * pulled[k] - dot) - ridge * x[k]
        size = np.float32(0)
        for k in range(dim):
            direction[k] = residual[k]
            size += residual[k] * residual[k]
        for step in range(cg):
            if size <= 0:
                break
            for k in range(dim):  # product = A direction
                dot = np.float32(0)
                for m in range(dim):
                    dot += matrix[k, m] * direction[m]
                product[k] = push[row] * dot + ridge * direction[k]
            for e in range(indptr[row], indptr[row + 1]):
                place = np.int64(columns[e]) * dim
                dot = np.float32(0)
                for k in range(dim):
                    dot += others[place + k] * direction[k]
                scaled = weights[e] * dot
                for k in range(dim):
                    product[k] += scaled * others[place + k]
            curvature = np.float32(0)
            for k in range(dim):
                curvature += direction[k] * product[k]
            if curvature <= 0:
                break
            length = size / curvature
            for k in range(dim):
                x[k] += length * direction[k]
            if step == cg - 1:
                break
            before = size
            size = np.float32(0)
            for k in range(dim):
                residual[k] -= length * product[k]
                size += residual[k] * residual[k]
            for k in range(dim):
                direction[k] = residual[k] + size / before * direction[k]
        for k in range(dim):
            rows[row, k] = x[k]
