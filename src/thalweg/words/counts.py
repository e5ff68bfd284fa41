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
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, near_misses
from thalweg.jit import kernel
from thalweg.threads import run_tasks
from thalweg.words.reading import Progress, Tokens

DISTANCES = ("uniform", "harmonic", "linear")
_FINE = 1 << 20  # scale of `harmonic` where lcm(1..window) would be too large to be counted with
_TASK = 1 << 21  # pairs a task may count: bounds its buffers, and leaves enough tasks to balance
_BLOCK = 64  # contexts that share a mark of having been touched


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

    words (n_words,), word_counts (n_words,) int64; indptr (n_words + 1,) int64, indices (nnz,) int32, values (nnz,) uint64 in
    units of 1/scale.
    """

    words: list[str]
    word_counts: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    values: npt.NDArray[np.uint64]
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
    n_words = len(tokens.words)
    starts = np.zeros(n_words + 1, np.int64)
    np.cumsum(tokens.counts, out=starts[1:])
    positions = _positions(tokens.ids, starts)
    tasks = _tasks(tokens.counts, window)
    done = 0

    def row_range(first: int, last: int, room: int) -> tuple[npt.NDArray[Any], ...]:
        nonlocal done
        lengths = np.zeros(last - first, np.int64)
        columns, values = np.empty(room, np.int32), np.empty(room, np.uint64)
        n = _rows(tokens.ids, positions, starts, weights, first, last, lengths, columns, values)
        done += int(starts[last] - starts[first])
        if progress is not None:
            progress(done, len(positions), phase="counting", unit="tokens")
        return lengths, columns[:n].copy(), values[:n].copy()

    parts = run_tasks(row_range, tasks, threads)
    indptr = np.zeros(n_words + 1, np.int64)
    np.cumsum(np.concatenate([part[0] for part in parts]), out=indptr[1:])
    indices, values = (np.concatenate([part[k] for part in parts]) for k in (1, 2))
    return CooccurrenceCounts(tokens.words, tokens.counts, indptr, indices, values, scale, window, distance)


def _tasks(counts: npt.NDArray[np.int64], window: int) -> list[tuple[int, int, int]]:
    """Ranges of rows of about equal work, each with the most entries that it can have: (first, last, room)."""
    work = 2 * window * counts
    room = np.minimum(work, np.arange(1, len(counts) + 1))
    tasks, first, load = [], 0, 0
    for row in range(len(counts)):
        load += int(work[row])
        if load >= _TASK or row == len(counts) - 1:
            tasks.append((first, row + 1, int(room[first : row + 1].sum())))
            first, load = row + 1, 0
    return tasks


@kernel
def _positions(ids, starts):  # type: ignore[no-untyped-def]
    """The positions of each word in rising order: those of word a are positions[starts[a]:starts[a + 1]]."""
    free = starts.copy()
    positions = np.empty(starts[-1], np.int64)
    for place in range(len(ids)):
        word = ids[place]
        if word >= 0:
            positions[free[word]] = place
            free[word] += 1
    return positions


@kernel
def _rows(ids, positions, starts, weights, first, last, lengths, columns, values):  # type: ignore[no-untyped-def]
    """Count rows first..last; returns how many entries were written to `columns` and `values`."""
    window = len(weights) - 1
    total = np.zeros((last + _BLOCK) // _BLOCK * _BLOCK, np.uint64)
    touched = np.zeros(len(total) // _BLOCK, np.uint8)
    n = 0
    for row in range(first, last):
        for k in range(starts[row], starts[row + 1]):
            place = positions[k]
            for step in range(1, window + 1):
                if place - step < 0:
                    break
                context = ids[place - step]
                if context < 0:
                    break
                if context <= row:
                    total[context] += weights[step]
                    touched[context // _BLOCK] = 1
            for step in range(1, window + 1):
                if place + step >= len(ids):
                    break
                context = ids[place + step]
                if context < 0:
                    break
                if context <= row:
                    total[context] += weights[step]
                    touched[context // _BLOCK] = 1
        before = n
        for block in range(row // _BLOCK + 1):
            if touched[block]:
                touched[block] = 0
                for context in range(block * _BLOCK, (block + 1) * _BLOCK):
                    if total[context] > 0:
                        columns[n] = context
                        values[n] = total[context]
                        total[context] = 0
                        n += 1
        lengths[row - first] = n - before
    return n


__all__ = ["DISTANCES", "CooccurrenceCounts", "count", "distance_weights"]
