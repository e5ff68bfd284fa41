"""One vector a word (u = k = v), by least squares in blocks with an exact line search.

    J(V) = 1/2 sum_{i != j} w_ij (<v_i, v_j> - t_ij)^2 + rho/2 sum_{i, j} p_i p_j (<v_i, v_j> - floor)^2 + ridge |V|^2

Solving all rows at once, each against the old others, oscillates: for two words with target m it is the map v -> m/v, of period 2.
So rows go in fixed blocks: within a block every row takes its conjugate-gradient steps against the state before the block, which
gives a direction D, and along V + s D the energy is a polynomial of degree 4 in s, known exactly from one pass over the block's
entries. Its minimum on [0, 1] is taken (for the oscillation above: the mean that makes Heron's method of it, or better), so J
never rises. Blocks do not depend on the number of threads, so neither does the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thalweg import simd
from thalweg.jit import kernel
from thalweg.progress import Progress
from thalweg.simd import dot, prefetch
from thalweg.threads import blocks, run_tasks
from thalweg.words.solving import als
from thalweg.words.solving.objective import Doubles, Floats, Table, for_reading, gram
from thalweg.words.solving.settings import Settings

BLOCK = 256  # rows that move together
_SHARE = 32  # rows of a block that one task takes


def descend(
    table: Table,
    vectors: Floats,
    settings: Settings,
    *,
    epochs: int = 5,
    cg: int = als.CG,
    tol: float = 1e-3,
    path: Sequence[dict[str, float]] = (),
    threads: int | None = None,
    progress: Progress | None = None,
    checkpoint: als.Checkpoint | None = None,
) -> tuple[Floats, Floats, list[dict[str, float]]]:
    """Lower J from a start (n_words, dim). Returns the vectors twice, and J with its parts before the first and after every sweep.

    Stops and continues as `als.descend` does.
    """
    dim = vectors.shape[1]
    vectors = als.padded_copy(vectors)
    path = list(path)
    for epoch in range(len(path), epochs + 1):
        path.append(als.energy(table, vectors, vectors, settings, threads))
        converged = len(path) > 1 and path[-2]["energy"] - path[-1]["energy"] < tol * path[-2]["energy"]
        last = converged or epoch == epochs
        if progress is not None:
            progress(epochs if last else epoch, epochs, phase="solving", unit="sweeps", **path[-1])
        if last:
            break
        _sweep(table, vectors, settings, cg, threads)
        if checkpoint is not None:
            checkpoint({"word": vectors[:, :dim]}, path)
    return vectors[:, :dim], vectors[:, :dim], path


def _sweep(table: Table, vectors: Floats, settings: Settings, cg: int, threads: int | None) -> None:
    """One step of every block, in place."""
    width = vectors.shape[1]
    flat = for_reading(vectors)
    pull = table.pull.astype(np.float64)
    matrix, pulled = gram(vectors, table.pull, threads)
    for first, last in blocks(len(vectors), BLOCK):
        direction = _directions(table, vectors, flat, (matrix, pulled), settings, cg, first, last, threads) - vectors[first:last]
        seen = _seen_along(table, vectors, flat, direction, first, last, threads)
        old, step = vectors[first:last].astype(np.float64), direction.astype(np.float64)
        weighted = step * pull[first:last, None]
        cross = old.T @ weighted
        first_order, second_order = cross + cross.T, step.T @ weighted  # the Gram matrix along the line
        pushed = weighted.sum(axis=0)
        energy = seen + settings.pull / 2 * _all_pairs_along(matrix, first_order, second_order, pulled, pushed, settings.floor)
        energy[:3] += settings.damping * np.array([(old**2).sum(), 2 * (old * step).sum(), (step**2).sum()])
        s = lowest_point(energy)
        if s == 0:
            continue
        vectors[first:last] += np.float32(s) * direction
        moved = vectors[first:last].astype(np.float64)  # what was stored, so that the Gram matrix does not drift from the vectors
        matrix = matrix + moved.T @ (moved * pull[first:last, None]) - old.T @ (old * pull[first:last, None])
        pulled = pulled + (moved - old).T @ pull[first:last]
        if flat.dtype == np.uint16:
            small = simd.halves(vectors[first:last])
            flat = flat if small is not None else vectors.ravel()
            if small is not None:
                flat[first * width : last * width] = small


def _directions(
    table: Table, vectors: Floats, flat: Floats, grams: als.Grams, settings: Settings, cg: int, first: int, last: int,
    threads: int | None,
) -> Floats:  # fmt: skip
    """Where conjugate gradients take each row of a block, against the state before it.   (last - first, width)"""
    found = vectors[first:last].copy()
    matrix, pulled = (part.astype(np.float32) for part in grams)
    push = (settings.pull * table.pull).astype(np.float32)
    numbers = np.float32(settings.floor), np.float32(settings.damping), cg
    errors = np.zeros(last - first)

    def part(a: int, b: int) -> None:
        rows = table.indptr[first + a : first + b + 1]
        entries = rows, table.columns, table.weights, table.targets
        als.solve_rows(
            0, b - a, *entries, flat, found[a:b], push[first + a : first + b], matrix.ravel(), pulled, *numbers, errors[a:b]
        )

    run_tasks(part, blocks(last - first, _SHARE), threads)
    return found


def _seen_along(
    table: Table, vectors: Floats, flat: Floats, direction: Floats, first: int, last: int, threads: int | None
) -> Doubles:
    """Coefficients of the part of J with a word of the block in it, as a polynomial in s.   (5,)"""
    sums = np.zeros((last - first, 5))
    entries = table.indptr, table.columns, table.weights, table.targets

    def part(a: int, b: int) -> None:
        _line(first, last, a, b, *entries, flat, vectors, direction, direction.ravel(), sums)

    run_tasks(part, blocks(last - first, _SHARE), threads)
    return np.asarray(sums.sum(axis=0) / 2)


@kernel(fastmath=True)
def _line(first, last, begin, end, indptr, columns, weights, targets, flat, vectors, direction, flat_direction, sums):  # type: ignore[no-untyped-def]
    """sums[row] = coefficients of sum_j f w (a + b s + c s^2)^2; f is 2 for j outside of the block: both orders of the pair."""
    dim = vectors.shape[1]
    v, d = np.empty(dim, np.float32), np.empty(dim, np.float32)
    for row in range(first + begin, first + end):
        for k in range(dim):
            v[k] = vectors[row, k]
            d[k] = direction[row - first, k]
        for e in range(indptr[row], indptr[row + 1]):
            prefetch(flat, columns[min(e + 8, indptr[row + 1] - 1)] * dim, dim)
            column = np.int64(columns[e])
            a = np.float64(dot(flat, column * dim, v, dim)) - targets[e]
            b = np.float64(dot(flat, column * dim, d, dim))
            c = 0.0
            factor = np.float64(weights[e]) * 2
            if first <= column < last:
                factor /= 2
                b += dot(flat_direction, (column - first) * dim, v, dim)
                c = np.float64(dot(flat_direction, (column - first) * dim, d, dim))
            sums[row - first, 0] += factor * a * a
            sums[row - first, 1] += factor * 2 * a * b
            sums[row - first, 2] += factor * (b * b + 2 * a * c)
            sums[row - first, 3] += factor * 2 * b * c
            sums[row - first, 4] += factor * c * c


def _all_pairs_along(g0: Doubles, g1: Doubles, g2: Doubles, h0: Doubles, h1: Doubles, floor: float) -> Doubles:
    """|G|^2 - 2 floor |h|^2 with G = g0 + s g1 + s^2 g2, h = h0 + s h1, as a polynomial in s without its constant.   (5,)"""
    return np.array([
        0.0,
        2 * (g0 * g1).sum() - 4 * floor * (h0 @ h1),
        (g1 * g1).sum() + 2 * (g0 * g2).sum() - 2 * floor * (h1 @ h1),
        2 * (g1 * g2).sum(),
        (g2 * g2).sum(),
    ])  # fmt: skip


def lowest_point(coefficients: Doubles) -> float:
    """Where on [0, 1] a polynomial sum_k c_k s^k is least."""
    polynomial = np.polynomial.Polynomial(coefficients)
    turns = np.asarray(polynomial.deriv().roots(), complex)
    places = [0.0, 1.0, *(float(z.real) for z in turns if abs(z.imag) < 1e-9 and 0 < z.real < 1)]
    return min(places, key=lambda s: float(polynomial(s)))
