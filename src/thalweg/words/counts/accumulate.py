"""Rows of the table of co-occurrences by inverted index: kernels, and how the work is cut.

The positions of each word are listed (a counting sort); a row walks the positions of its word and adds g into one dense
accumulator, then reads out what was touched. No hashing and no sorting of pairs; rows are independent, and integers do not care in
which order they are added.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.jit import kernel
from thalweg.progress import Progress
from thalweg.simd import lowest_bit, prefetch
from thalweg.threads import run_tasks
from thalweg.words.text.tokens import EDGE, tally

Rows = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[Any]]  # entries of each row, columns, values
_TASK = 1 << 21  # pairs a task may count: bounds its buffers, and leaves enough tasks to balance
_AHEAD = 8  # positions whose neighbours are fetched ahead


def rows_of(
    ids: npt.NDArray[np.int32],
    n_words: int,
    weights: npt.NDArray[np.uint64],
    *,
    ghosts: int = 0,
    at_once: int | None = None,
    task: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Rows]:
    """The table of a stream, a range of rows at a time, in order.

    A place with the number n_words is one that a rare word keeps: it counts as a step and is nobody's context.
    The first `ghosts` places of the stream belong to an earlier block: pairs among them are not counted. at_once: tasks whose
    results are held in memory together (None: all); task: pairs that one may count.
    """
    edges = np.flatnonzero(ids[:ghosts] == EDGE)
    if len(edges):  # what stands before an edge meets nobody behind it; the walk from a ghost begins behind the ghosts
        ids, ghosts = ids[edges[-1] + 1 :], ghosts - int(edges[-1]) - 1
    counts = np.zeros(n_words + 1, np.int64)  # the last: places that rare words keep, a row that is never walked
    tally(ids, counts)
    ids = np.concatenate([[np.int32(EDGE)], ids, [np.int32(EDGE)]])  # no walk leaves the stream
    starts = np.zeros(n_words + 2, np.int64)
    np.cumsum(counts, out=starts[1:])
    positions = np.empty(starts[-1], np.int32 if len(ids) < 1 << 31 else np.int64)
    _list_positions(ids, starts[:-1].copy(), positions)
    counts, starts = counts[:-1], starts[:-1]
    done, began = 0, time.monotonic()

    def row_range(first: int, last: int, room: int, dtype: type[np.uint32 | np.uint64]) -> Rows:
        nonlocal done
        lengths, columns, values = np.zeros(last - first, np.int64), np.empty(room, np.int32), np.empty(room, dtype)
        total = np.zeros(last + 1, dtype)
        n = _rows(ids, ghosts, positions, starts, weights.astype(dtype), total, first, last, lengths, columns, values)
        done += int(starts[last] - starts[first])
        if progress is not None:
            rate = done / max(time.monotonic() - began, 1e-9)
            progress(done, int(starts[-1]), phase="counting", unit="tokens", tokens_per_second=rate)
        return lengths, columns[:n].copy(), values[:n].copy()

    tasks = _tasks(counts, weights, task or _TASK)
    group = at_once or max(1, len(tasks))
    for k in range(0, len(tasks), group):
        yield from run_tasks(row_range, tasks[k : k + group], threads)


def joined(parts: list[Rows], n_words: int) -> Rows:
    """(indptr, indices, values) from ranges of rows in order; empties the list on its way, to hold everything once only."""
    indptr = np.zeros(n_words + 1, np.int64)
    np.cumsum(np.concatenate([part[0] for part in parts]), out=indptr[1:])
    largest = max((int(part[2].max()) for part in parts if len(part[2])), default=0)
    indices = np.empty(indptr[-1], np.int32)
    values = np.empty(indptr[-1], np.uint32 if largest < 1 << 32 else np.uint64)
    end = len(indices)
    while parts:
        _, columns, numbers = parts.pop()
        indices[end - len(columns) : end], values[end - len(columns) : end] = columns, numbers
        end -= len(columns)
    return indptr, indices, values


def _tasks(counts: npt.NDArray[np.int64], weights: npt.NDArray[np.uint64], task: int) -> list[tuple[Any, ...]]:
    """Ranges of rows of about equal work: (first, last, the most entries they can have, type of their sums).

    A word adds at most 2 sum g to any count each time it occurs: where that bound allows it, sums have 32 bits, which halves
    the accumulator.
    """
    window, largest = len(weights) - 1, 2 * int(weights.sum())
    work = 2 * window * counts
    room = np.minimum(work, np.arange(1, len(counts) + 1))
    wide = counts * largest >= 1 << 32
    tasks: list[tuple[Any, ...]] = []
    first, load = 0, 0
    for row in range(len(counts)):
        load += int(work[row])
        if load >= task or row == len(counts) - 1 or wide[row] != wide[row + 1]:
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
def _rows(ids, ghosts, positions, starts, weights, total, first, last, lengths, columns, values):  # type: ignore[no-untyped-def]
    """Count rows first..last; returns how many entries were written to `columns` and `values`. ids begin and end with EDGE.

    total (last + 1,): the accumulator, zeros; a bit of `touched` marks each context with a sum, so reading out visits only those,
    in order. Contexts above the diagonal (places of rare words too) go to the place row + 1, which is cleared: a branch would be
    mispredicted half the time.
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
            for step in range(1, window + 1 if place > ghosts else 0):
                context = np.int64(ids[place - step])
                if context < 0:
                    break
                context = context if context < above else above
                total[context] += weights[step]
                touched[context >> 6] |= one << np.uint64(context & 63)
            for step in range(1 if place > ghosts else ghosts + 1 - place, window + 1):
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


def merged(tables: Sequence[Rows], first: int) -> Rows:
    """The sum of tables that hold the rows from `first` on; each is (indptr from 0, indices, values)."""
    n_rows = len(tables[0][0]) - 1
    bounds = np.zeros((len(tables), n_rows + 1), np.int64)
    shift = 0
    for k, (indptr, _, _) in enumerate(tables):
        bounds[k] = indptr + shift
        shift += int(indptr[-1])
    indices = np.concatenate([table[1] for table in tables])
    values = np.concatenate([table[2].astype(np.uint64) for table in tables])
    lengths, columns, sums = np.zeros(n_rows, np.int64), np.empty(len(indices), np.int32), np.empty(len(indices), np.uint64)
    n = _merge(bounds, indices, values, first, lengths, columns, sums)
    return lengths, columns[:n], sums[:n]


@kernel
def _merge(bounds, indices, values, first, lengths, columns, sums):  # type: ignore[no-untyped-def]
    n_rows = len(lengths)
    total = np.zeros(first + n_rows, np.uint64)
    touched = np.zeros(((first + n_rows) >> 6) + 1, np.uint64)
    one = np.uint64(1)
    n = 0
    for row in range(n_rows):
        for table in range(len(bounds)):
            for e in range(bounds[table, row], bounds[table, row + 1]):
                context = np.int64(indices[e])
                total[context] += values[e]
                touched[context >> 6] |= one << np.uint64(context & 63)
        before = n
        for block in range(((first + row) >> 6) + 1):
            bits = touched[block]
            touched[block] = 0
            while bits:
                context = (block << 6) + lowest_bit(bits)
                bits &= bits - one
                columns[n] = context
                sums[n] = total[context]
                total[context] = 0
                n += 1
        lengths[row] = n - before
    return n
