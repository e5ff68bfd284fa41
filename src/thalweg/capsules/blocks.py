"""One pass over the rows for K-Means and its soft form: couplings, sums and energy, in blocks that stay in the cache.

    score_ij = u_i . a_j + b_j,    d_ij = base_i - score_ij                 (`distances`)
    soft  c_ij = softmax_j(beta score_ij),  energy = sum_i w_i (base_i - log sum_j exp(beta score_ij) / beta)
    hard  c_ij = 1 for the largest score (the first of equals), energy = sum_i w_i (base_i - max_j score_ij)

For each block: scores by a matrix product, one compiled pass over them (`soft_rows`, `hard_rows`), sums by a second product. n x k
numbers are never held. base_i is the same for all j and is added to the energy alone: before the softmax it would cost digits.

float32 couplings below 2^-64 are put at 2^-64: smaller ones turn denormal, and those make the second product nine times slower.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.capsules.distances import Floats, Rows
from thalweg.jit import kernel
from thalweg.threads import blocks, run_tasks

BLOCK = 1 << 17  # scores of a block: half a MiB in float32
TASKS = 16  # parts of the rows that threads take, whatever their number: the same bits for any
SMALL = 1 << 20  # multiplications of a pass


@dataclass(frozen=True)
class Pass:
    """What a pass over all rows found. weights: sum_i w_i c_ij; sums: sum_i w_i c_ij u_i; labels, least: the nearest centre of each
    row and its d.
    """

    weights: Floats  # (k,)
    sums: Floats  # (k, d)
    energy: float
    labels: npt.NDArray[np.int32]  # (n,)
    least: Floats  # (n,)


@kernel(fastmath=True)  # type: ignore[untyped-decorator]
def hard_rows(scores: Any, b: Any, labels: Any, best: Any) -> None:
    """The first largest score of each row, with b_j added to each."""
    n, k = scores.shape
    for i in range(n):
        row = scores[i]
        top = row[0] + b[0]
        for j in range(1, k):
            top = max(top, row[j] + b[j])
        place = np.int32(k)
        for j in range(k):  # a minimum, which the compiler makes vectors of, where a search could not be
            place = min(place, np.int32(j) if row[j] + b[j] == top else np.int32(k))
        labels[i], best[i] = min(place, np.int32(k - 1)), top  # where a score is NaN none equals the largest


@kernel(fastmath=True)  # type: ignore[untyped-decorator]
def add_rows(x: Any, w: Any, labels: Any, sums: Any, weights: Any) -> None:
    """sums[j] += w_i x_i and weights[j] += w_i for rows i of cluster j."""
    n, d = x.shape
    for i in range(n):
        j, share = labels[i], w[i]
        weights[j] += share
        for e in range(d):
            sums[j, e] += share * x[i, e]


@kernel(fastmath=True)  # type: ignore[untyped-decorator]
def largest(row: Any, b: Any) -> tuple[Any, Any]:
    """The first largest score of a row, to which b is added, and its place."""
    k = len(row)
    top = row[0] + b[0]
    for j in range(k):
        row[j] += b[j]
        top = max(top, row[j])
    place = np.int32(k)
    for j in range(k):
        place = min(place, np.int32(j) if row[j] == top else np.int32(k))
    return top, place


@kernel(fastmath=True)  # type: ignore[untyped-decorator]
def soft_rows(scores: Any, b: Any, w: Any, beta: Any, labels: Any, best: Any, logs: Any, whole: Any) -> None:
    """Scores become couplings times w_i; logs_i is log sum_j exp(beta (score_ij - best_i)). whole: room for k int32.

    exp(x) = 2^m 2^f with m whole and |f| <= 1/2: 2^f by a polynomial of degree 6 (off by 2e-7), 2^m by its bits.
    """
    n, k = scores.shape
    powers = whole.view(np.float32)
    scale = np.float32(beta * 1.4426950408889634)  # times log2 e
    for i in range(n):
        row = scores[i]
        top, place = largest(row, b)
        labels[i], best[i] = min(place, np.int32(k - 1)), top  # where a score is NaN none equals the largest
        for j in range(k):
            x = max((row[j] - top) * scale, np.float32(-64.0))
            m = np.floor(x + np.float32(0.5))
            whole[j] = (np.int32(m) + np.int32(127)) << np.int32(23)
            f = x - m
            y = np.float32(1.535336188e-4) * f + np.float32(1.339887440e-3)
            y = y * f + np.float32(9.618437357e-3)
            y = y * f + np.float32(5.550332548e-2)
            y = y * f + np.float32(2.402264791e-1)
            y = y * f + np.float32(6.931472028e-1)
            row[j] = y * f + np.float32(1.0)
        total = np.float32(0.0)
        for j in range(k):
            row[j] *= powers[j]
            total += row[j]
        logs[i] = math.log(total)
        share = w[i] / total
        for j in range(k):
            row[j] *= share


@kernel(fastmath=True)  # type: ignore[untyped-decorator]
def soft_rows_exactly(scores: Any, b: Any, w: Any, beta: Any, labels: Any, best: Any, logs: Any, whole: Any) -> None:
    """`soft_rows` for float64, with the library's exp."""
    n, k = scores.shape
    for i in range(n):
        row = scores[i]
        top, place = largest(row, b)
        labels[i], best[i] = min(place, np.int32(k - 1)), top  # where a score is NaN none equals the largest
        total = 0.0
        for j in range(k):
            row[j] = math.exp((row[j] - top) * beta)
            total += row[j]
        logs[i] = math.log(total)
        share = w[i] / total
        for j in range(k):
            row[j] *= share


def one_pass(
    x: Rows, base: Floats, form: tuple[Floats, Floats], beta: float, w: Floats, threads: int | None = None, *, sums: bool = True
) -> Pass:
    """A pass over the rows x (n, d), dense or CSR, at centres whose form (a, b) is given.   base, w: (n,)

    sums=False leaves out weights and sums, which a prediction does not need.
    """
    n, d = x.shape
    k = len(form[0])
    a, b = np.ascontiguousarray(form[0].T, x.dtype), np.ascontiguousarray(form[1], x.dtype)  # a: (d, k)
    labels, least, logs = np.zeros(n, np.int32), np.zeros(n), np.zeros(n)
    weights = w.astype(x.dtype)

    def part(first: int, last: int) -> tuple[Floats, Floats]:
        room = Room(min(max(1, BLOCK // k), last - first), k, x.dtype)
        held, total = np.zeros(k), np.zeros((k, d))
        for start, stop in blocks(last - first, len(room.scores)):
            rows = slice(first + start, first + stop)
            scores = room.fill(x[rows], a)
            room.run(scores, b, weights[rows], beta, labels[rows], least[rows], logs[rows])
            if sums:
                _add(x[rows], scores, weights[rows], labels[rows], beta, held, total)
        return held, total

    tasks = blocks(n, max(1, -(-n // TASKS)))
    small = n * k * d < SMALL  # done before the threads have begun
    parts = [part(*task) for task in tasks] if small else run_tasks(part, tasks, threads)
    least *= -1
    least += base
    energy = float(w @ least) if math.isinf(beta) else float(w @ (least - logs / beta))
    held, total = (np.sum([each[which] for each in parts], axis=0) for which in (0, 1))
    return Pass(held, total, energy, labels, least)


class Room:
    """Buffers of a task."""

    def __init__(self, rows: int, k: int, dtype: Any) -> None:
        self.scores = np.empty((rows, k), dtype)
        self.whole = np.empty(k, np.int32)
        self.best = np.empty(rows, dtype)

    def fill(self, x: Rows, a: Any) -> Any:
        """Scores of a block of rows."""
        scores = self.scores[: x.shape[0]]
        if hasattr(x, "multiply"):
            scores[...] = x @ a
        else:
            np.matmul(x, a, out=scores)
        return scores

    def run(self, scores: Any, b: Any, w: Any, beta: float, labels: Any, least: Any, logs: Any) -> None:
        """Labels, best scores and logs of a block; soft couplings in place of its scores."""
        best = self.best[: len(scores)]
        if math.isinf(beta):
            hard_rows(scores, b, labels, best)
        else:
            rows: Callable[..., None] = soft_rows if scores.dtype == np.float32 else soft_rows_exactly
            rows(scores, b, w, beta, labels, best, logs, self.whole)
        least[...] = best


def _add(x: Rows, couplings: Any, w: Any, labels: Any, beta: float, weights: Floats, sums: Floats) -> None:
    """The sums of a block onto those of its task."""
    if not math.isinf(beta):
        weights += np.ones(len(w), couplings.dtype) @ couplings  # of a block, a product: three times as fast as a sum
        sums += (x.T @ couplings).T if hasattr(x, "multiply") else couplings.T @ x
    elif hasattr(x, "multiply"):
        from scipy.sparse import csr_array

        chosen = csr_array((w, labels, np.arange(len(w) + 1)), shape=(len(w), len(weights)))
        weights += np.bincount(labels, w, len(weights))
        sums += (chosen.T @ x).toarray()
    else:
        add_rows(x, w, labels, sums, weights)


def couplings(x: Rows, form: tuple[Floats, Floats], beta: float, threads: int | None = None) -> Any:
    """c_ij of all rows, as an array that is held.   -> (n, k)"""
    n, k = x.shape[0], len(form[0])
    a, b = np.ascontiguousarray(form[0].T, x.dtype), np.ascontiguousarray(form[1], x.dtype)
    out = np.empty((n, k), x.dtype)

    def part(first: int, last: int) -> None:
        rows = last - first
        room = Room(rows, k, x.dtype)
        labels, least, logs = np.zeros(rows, np.int32), np.zeros(rows), np.zeros(rows)
        scores = room.fill(x[first:last], a)
        room.run(scores, b, np.ones(rows, x.dtype), beta, labels, least, logs)
        out[first:last] = np.arange(k) == labels[:, None] if math.isinf(beta) else scores

    run_tasks(part, blocks(n, max(1, BLOCK // k)), threads)
    return out
