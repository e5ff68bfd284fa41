"""A vocabulary that outgrows its memory: runs of words on disk, merged where they have the same hash. Counts stay exact.

When the table of a scanner is full, its words go to a run, sorted by hash, with how often each occurred, and numbering begins anew.
In the end ranges of hashes that fit into memory are read from all runs at once; equal words are found and their counts added. What
is frequent enough gets one number for all runs, and each run a list that turns its own numbers into these when the stream is read.

With `prune`, words seen fewer than that many times since the run before are forgotten, as word2vec does: less disk, counts that
are no longer exact, and that depend on the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thalweg.files import append
from thalweg.jit import kernel
from thalweg.words.text.tokens import EDGE, OUT, Scanner, Table

_BUCKETS = 1 << 10  # of hashes: the finest range that is merged at a time
_WORD = 64  # bytes that a word takes while it is merged, beside twice its own
_FILES = {"text": np.uint8, "lengths": np.uint16, "counts": np.int64, "numbers": np.int32, "final": np.int32}


@dataclass(frozen=True)
class _Run:
    """Words on disk, by bucket, for the numbers first..last of the stream; words, text: (words, bytes) before each bucket."""

    folder: Path
    first: int
    last: int
    n_numbers: int
    words: npt.NDArray[np.int64]  # (_BUCKETS + 1,)
    text: npt.NDArray[np.int64]

    def read(self, name: str, first: int = 0, last: int = _BUCKETS) -> npt.NDArray[np.generic]:
        """What a file says of the words in buckets first..last."""
        dtype, bounds = np.dtype(_FILES[name]), self.text if name == "text" else self.words
        start, end = int(bounds[first]), int(bounds[last])
        return np.fromfile(self.folder / name, dtype, end - start, offset=start * dtype.itemsize)

    def append(self, name: str, array: npt.NDArray[np.generic]) -> None:
        append(self.folder / name, [np.ascontiguousarray(array, _FILES[name]).view(np.uint8).data])


class Runs:
    """Where words go that have outgrown `limit` bytes: folders in a folder. prune: as above, None: nothing is forgotten."""

    def __init__(self, folder: Path, limit: int, prune: int | None = None) -> None:
        self.folder = folder
        self.limit = limit
        self.prune = prune
        self.runs: list[_Run] = []
        self.reached = 0  # numbers of the stream whose words are here
        self.pruned = 0  # tokens whose words were forgotten

    def take(self, table: Table, counts: npt.NDArray[np.int64], reached: int, last: bool) -> None:
        """Write down the words of a table, for the stream up to `reached`. last: they come last, and no room is made for more."""
        n = table.n_words
        buckets = np.empty(n, np.uint16)
        _bucket(table.arena, table.starts, buckets)
        order = np.argsort(buckets, kind="stable")
        if self.prune is not None and not last:
            order = order[counts[order] >= self.prune]
            self.pruned += int(counts.sum() - counts[order].sum())
        lengths = np.diff(table.starts[: n + 1])[order]
        text = np.empty(int(lengths.sum()), np.uint8)
        _gather(table.arena, table.starts, order, text)
        words = np.searchsorted(buckets[order], np.arange(_BUCKETS + 1))
        ends = np.concatenate([[0], np.cumsum(lengths)])
        run = _Run(self.folder / f"{len(self.runs):05d}", self.reached, reached, n, words, ends[words])
        run.folder.mkdir(parents=True)
        for name, array in (("text", text), ("lengths", lengths), ("counts", counts[order]), ("numbers", order)):
            run.append(name, array)
        self.runs.append(run)
        self.reached = reached


class Merged:
    """The stream of a scanner that has set words aside, in numbers that hold for all of it.

    Words with at least `least` occurrences, and those with `joint` in them, have numbers; the others are OUT.
    """

    def __init__(self, scanner: Scanner, runs: Runs, least: int, joint: bytes | None = None) -> None:
        self._scanner = scanner
        self._runs = runs.runs
        self._text: list[npt.NDArray[np.uint8]] = []
        self._lengths: list[npt.NDArray[np.int64]] = []
        self.n_seen = 0
        self.spilled = scanner.spilled
        for first, last in self._ranges(runs.limit):
            self._merge(first, last, least, joint)
        self._starts = np.cumsum(np.concatenate([np.zeros(1, np.int64), *self._lengths]))
        self._arena = np.concatenate(self._text)
        self._text, self._lengths = [], []

    def _ranges(self, limit: int) -> Iterator[tuple[int, int]]:
        """Ranges of buckets whose words fit into `limit` bytes, also if each run has different ones."""
        load = sum((_WORD * run.words + 2 * run.text for run in self._runs), np.zeros(_BUCKETS + 1, np.int64))
        first = 0
        while first < _BUCKETS:
            last = max(first + 1, int(np.searchsorted(load, load[first] + limit, "right")) - 1)
            yield first, last
            first = last

    def _merge(self, first: int, last: int, least: int, joint: bytes | None) -> None:
        table, totals = Table(), np.zeros(0, np.int64)
        found = []  # for each run the numbers that its words have in the table
        for run in self._runs:
            ends = np.concatenate([[0], np.cumsum(run.read("lengths", first, last), dtype=np.int64)])
            numbers = table.enter(run.read("text", first, last).astype(np.uint8, copy=False), ends)
            totals = np.concatenate([totals, np.zeros(table.n_words - len(totals), np.int64)])
            totals[numbers] += run.read("counts", first, last).astype(np.int64, copy=False)  # no number comes twice
            found.append(numbers)
        kept = totals >= least
        if joint is not None:
            kept |= np.array([joint in table.word(k) for k in range(len(kept))], np.bool_)
        final = np.where(kept, sum(map(len, self._lengths)) + np.cumsum(kept) - 1, OUT)
        for run, numbers in zip(self._runs, found, strict=True):
            run.append("final", final[numbers])
        chosen = np.flatnonzero(kept)
        lengths = np.diff(table.starts[: table.n_words + 1])[chosen]
        self._text.append(np.empty(int(lengths.sum()), np.uint8))
        _gather(table.arena, table.starts, chosen, self._text[-1])
        self._lengths.append(lengths)
        self.n_seen += table.n_words

    @property
    def n_words(self) -> int:
        """Words that have a number."""
        return len(self._starts) - 1

    def word(self, number: int) -> bytes:
        """The UTF-8 bytes of a word."""
        return self._arena[self._starts[number] : self._starts[number + 1]].tobytes()

    def pieces(self) -> Iterator[npt.NDArray[np.int32]]:
        """The stream, piece by piece."""
        for run in self._runs:
            final = np.full(run.n_numbers + 1, OUT, np.int32)  # words that were pruned stay OUT
            final[run.read("numbers").astype(np.int64)] = run.read("final")
            final[EDGE] = EDGE  # the last place
            for piece in self._scanner.written(run.first, run.last):
                yield final[piece]

    def ids(self) -> npt.NDArray[np.int32]:
        """The whole stream."""
        return np.concatenate(list(self.pieces()))


@kernel
def _bucket(arena, starts, buckets):  # type: ignore[no-untyped-def]
    """The upper bits of a hash of each word (FNV-1a, mixed)."""
    for word in range(len(buckets)):
        code = np.uint64(14695981039346656037)
        for k in range(starts[word], starts[word + 1]):
            code = (code ^ np.uint64(arena[k])) * np.uint64(1099511628211)
        code = (code ^ code >> np.uint64(32)) * np.uint64(0xD6E8FEB86659FD93)
        buckets[word] = code >> np.uint64(54)  # 64 - log2(_BUCKETS)


@kernel
def _gather(arena, starts, order, text):  # type: ignore[no-untyped-def]
    """The words in this order, one behind the other."""
    end = 0
    for k in range(len(order)):
        for place in range(starts[order[k]], starts[order[k] + 1]):
            text[end] = arena[place]
            end += 1


__all__ = ["Merged", "Runs"]
