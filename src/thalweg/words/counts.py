"""Co-occurrence counts: how often two words stand near each other.

    X_ab = X_ba = sum over positions p < q of one unit, q - p <= window, with words a and b there, of g(q - p)

Both orders of a pair are added, so X_aa gets twice its pairs. g is `uniform` 1 (the source), `harmonic` 1/distance (GloVe) or
`linear` (window + 1 - distance)/window (the mean of word2vec's random window). Counts are integers: g is stored in units of
1/scale, where scale makes all g whole (lcm(1..window) for harmonic). Sums of integers do not depend on their order, so neither
the number of threads nor the order of the text within units can change a single bit.

Rows by inverted index: the positions of each word are listed (a counting sort); a row walks the positions of its word and adds g
into one dense accumulator, then reads out what was touched. No hashing and no sorting of pairs; rows are independent.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, near_misses
from thalweg.jit import kernel
from thalweg.simd import lowest_bit, prefetch
from thalweg.threads import run_tasks
from thalweg.words.reading import Progress, Tokens
from thalweg.words.tokens import EDGE

DISTANCES = ("uniform", "harmonic", "linear")
_FINE = 1 << 20  # scale of `harmonic` where lcm(1..window) would be too large to be counted with
_TASK = 1 << 21  # pairs a task may count: bounds its buffers, and leaves enough tasks to balance
_AHEAD = 8  # positions whose neighbours are fetched ahead


def distance_weights(window: int, distance: str) -> tuple[npt.NDArray[np.uint64], int]:
    """g(1..window) in units of 1/scale, and scale.   (window + 1,) with g(0) = 0

    Raises InputError for an unknown distance or a window outside 1..1000.
    """
    if distance not in DISTANCES:
        msg = f"distance={distance!r} is not known.{near_misses(distance, DISTANCES)}"
        raise InputError(msg)
    if not 1 <= window <= 1000:
        msg = f"window={window} is not between 1 and 1000 tokens"
        raise InputError(msg)
    steps = range(1, window + 1)
    if distance == "uniform":
        scale, weights = 1, [1 for _ in steps]
    elif distance == "linear":
        scale, weights = window, [window + 1 - step for step in steps]
    else:
        scale = math.lcm(*steps) if window <= 16 else _FINE
        weights = [round(scale / step) for step in steps]
    return np.array([0, *weights], np.uint64), scale


@dataclass(frozen=True)
class CooccurrenceCounts:
    """The lower triangle of the symmetric table X, rows in CSR form: row a holds its contexts b <= a in rising order.

    words (n_words,), word_counts (n_words,) int64; indptr (n_words + 1,) int64, indices (nnz,) int32, values (nnz,) uint32 or
    uint64 in units of 1/scale.
    """

    words: list[str]
    word_counts: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    values: npt.NDArray[Any]
    scale: int
    window: int
    distance: str

    @property
    def total_tokens(self) -> int:
        """T: tokens that were kept."""
        return int(self.word_counts.sum())

    @property
    def total_pairs(self) -> float:
        """N: the sum of X over ordered pairs of different words."""
        return 2 * (int(self.values.sum(dtype=np.uint64)) - int(self.diagonal().sum(dtype=np.uint64))) / self.scale

    @property
    def n_stored(self) -> int:
        """Stored entries: pairs of words, in one order, that were seen."""
        return len(self.indices)

    def diagonal(self) -> npt.NDArray[np.uint64]:
        """X_aa in units of 1/scale.   (n_words,)"""
        diagonal = np.zeros(len(self.words), np.uint64)
        last = self.indptr[1:] - 1
        rows = np.flatnonzero(np.diff(self.indptr))
        own = rows[self.indices[last[rows]] == rows]
        diagonal[own] = self.values[last[own]]
        return diagonal

    def to_scipy(self) -> Any:
        """The full symmetric table as scipy.sparse.csr_array, float64, diagonal included."""
        from scipy import sparse

        n = len(self.words)
        lower = sparse.csr_array((self.values / self.scale, self.indices, self.indptr), shape=(n, n))
        return (lower + sparse.tril(lower, -1).T).tocsr()

    def __repr__(self) -> str:
        return (
            f"CooccurrenceCounts({len(self.words):,} words, {self.n_stored:,} stored pairs, "
            f"{self.total_tokens:,} tokens, window={self.window}, distance={self.distance!r})"
        )


def count(
    tokens: Tokens,
    *,
    window: int = 10,
    distance: str = "harmonic",
    threads: int | None = None,
    progress: Progress | None = None,
) -> CooccurrenceCounts:
    """Count the co-occurrences in a stream of tokens. The result does not depend on `threads`."""
    weights, scale = distance_weights(window, distance)
    indptr, indices, values = count_stream(tokens.ids, tokens.counts, weights, threads, progress)
    return CooccurrenceCounts(tokens.words, tokens.counts, indptr, indices, values, scale, window, distance)


def count_stream(
    ids: npt.NDArray[np.int32],
    counts: npt.NDArray[np.int64],
    weights: npt.NDArray[np.uint64],
    threads: int | None,
    progress: Progress | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[Any]]:
    """The table (indptr, indices, values) of a stream in which word a occurs counts[a] times."""
    ids = np.concatenate([[np.int32(EDGE)], ids, [np.int32(EDGE)]])  # no walk leaves the stream
    n_words, n_tokens = len(counts), int(counts.sum())
    starts = np.zeros(n_words + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    positions = np.empty(n_tokens, np.int32 if len(ids) < 1 << 31 else np.int64)
    _list_positions(ids, starts[:-1].copy(), positions)
    done, began = 0, time.monotonic()

    def row_range(first: int, last: int, room: int, dtype: type[np.uint32 | np.uint64]) -> tuple[npt.NDArray[Any], ...]:
        nonlocal done
        lengths, columns, values = np.zeros(last - first, np.int64), np.empty(room, np.int32), np.empty(room, dtype)
        total = np.zeros(last + 1, dtype)
        n = _rows(ids, positions, starts, weights.astype(dtype), total, first, last, lengths, columns, values)
        done += int(starts[last] - starts[first])
        if progress is not None:
            rate = done / max(time.monotonic() - began, 1e-9)
            progress(done, n_tokens, phase="counting", unit="tokens", tokens_per_second=rate)
        return lengths, columns[:n].copy(), values[:n].copy()

    parts = run_tasks(row_range, _tasks(counts, weights), threads)
    indptr = np.zeros(n_words + 1, np.int64)
    np.cumsum(np.concatenate([part[0] for part in parts]), out=indptr[1:])
    largest = max((int(part[2].max()) for part in parts if len(part[2])), default=0)
    indices = np.empty(indptr[-1], np.int32)
    values = np.empty(indptr[-1], np.uint32 if largest < 1 << 32 else np.uint64)
    end = len(indices)
    while parts:  # from the end, so that what is copied is given back at once
        _, columns, numbers = parts.pop()
        indices[end - len(columns) : end], values[end - len(columns) : end] = columns, numbers
        end -= len(columns)
    return indptr, indices, values


def _tasks(counts: npt.NDArray[np.int64], weights: npt.NDArray[np.uint64]) -> list[tuple[Any, ...]]:
    """Ranges of rows of about equal work: (first, last, the most entries they can have, type of their sums).

    A word adds at most 2 sum g to any count each time it occurs: where that bound allows it, sums have 32 bits, which halves
    the accumulator.
    """
    window, largest = len(weights) - 1, 2 * int(weights.sum())
    work = 2 * window * counts
    room = np.minimum(work, np.arange(1, len(counts) + 1))
    wide = counts * largest >= 1 << 32  # counts fall, so these are the first rows
    tasks: list[tuple[Any, ...]] = []
    first, load = 0, 0
    for row in range(len(counts)):
        load += int(work[row])
        if load >= _TASK or row == len(counts) - 1 or wide[row] != wide[row + 1]:
            tasks.append((first, row + 1, int(room[first : row + 1].sum()), np.uint64 if wide[row] else np.uint32))
            first, load = row + 1, 0
    return tasks


@kernel
def _list_positions(ids, free, positions):  # type: ignore[no-untyped-def]
    """The positions of each word in rising order: those of word a come from free[a] on."""
    for place in range(len(ids)):
        word = ids[place]
        if word >= 0:
            positions[free[word]] = place
            free[word] += 1


@kernel
def _rows(ids, positions, starts, weights, total, first, last, lengths, columns, values):  # type: ignore[no-untyped-def]
    """Count rows first..last; returns how many entries were written to `columns` and `values`. ids begin and end with EDGE.

    total (last + 1,): the accumulator, zeros; a bit of `touched` marks each context with a sum, so reading out visits only those,
    in order. Contexts above the diagonal go to the place row + 1, which is cleared: a branch would be mispredicted half the time.
    """
    window = len(weights) - 1
    touched = np.zeros((last >> 6) + 1, np.uint64)
    reach = (2 * window + 15) // 16 * 16
    end = np.int64(starts[last])
    one = np.uint64(1)
    n = 0
    for row in range(first, last):
        above = np.int64(row + 1)
        for k in range(starts[row], starts[row + 1]):
            prefetch(ids, max(np.int64(positions[min(k + _AHEAD, end - 1)]) - window, 0), reach)
            place = np.int64(positions[k])
            for step in range(1, window + 1):
                context = np.int64(ids[place - step])
                if context < 0:
                    break
                context = context if context < above else above
                total[context] += weights[step]
                touched[context >> 6] |= one << np.uint64(context & 63)
            for step in range(1, window + 1):
                context = np.int64(ids[place + step])
                if context < 0:
                    break
                context = context if context < above else above
                total[context] += weights[step]
                touched[context >> 6] |= one << np.uint64(context & 63)
        total[above] = 0
        touched[above >> 6] &= ~(one << np.uint64(above & 63))
        before = n
        for block in range((row >> 6) + 1):
            bits = touched[block]
            touched[block] = 0
            while bits:
                context = (block << 6) + lowest_bit(bits)
                bits &= bits - one
                columns[n] = context
                values[n] = total[context]
                total[context] = 0
                n += 1
        lengths[row - first] = n - before
    return n


__all__ = ["DISTANCES", "CooccurrenceCounts", "count", "count_stream", "distance_weights"]
