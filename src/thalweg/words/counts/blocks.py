"""Counting in a bounded amount of memory: blocks of the stream to runs on disk, runs to one table.

A block carries the `window` places before it as ghosts, and a pair is counted in the block of its right token, so the sums over all
blocks are those of the whole stream, to the byte. Each block leaves one run, a complete table; runs are merged by ranges of rows,
at most FAN_IN at a time. A run that is whole when the work is interrupted is used when it is resumed.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.bundles import Bundle, write_bundle
from thalweg.errors import DamagedFileError, InputError, MissingFileError
from thalweg.progress import Progress
from thalweg.threads import run_tasks
from thalweg.words.counts.accumulate import Rows, merged, rows_of
from thalweg.words.text.reading import Tokens

KIND = "thalweg-run"
VERSION = 1
FAN_IN = 64  # runs that are open at a time
BASE = 230 << 20  # bytes that Python, NumPy, numba and its compiled kernels take before the first word
_LEAST_BLOCK = 1 << 16  # tokens
_WORD = 120  # bytes of a word: as Python keeps it, while the vocabulary is sorted, its places in sums over rows


@dataclass(frozen=True)
class Budget:
    """How an amount of memory is shared out: block, tokens counted at a time; task, entries of a buffer; chunk, entries merged."""

    block: int
    task: int
    chunk: int


def budget(memory: int, n_words: int, threads: int) -> Budget:
    """The shares of `memory` bytes. Raises InputError, with the least amount that works, where it is too little."""
    fixed = BASE + _WORD * n_words + 8 * n_words * threads  # with the accumulators
    free = memory - fixed
    block = int(0.6 * free) // 12  # a token: its number, that with an edge at both ends, its position
    if block < _LEAST_BLOCK:
        least = fixed + _LEAST_BLOCK * 20
        msg = f"{memory >> 20}M of memory is too little for {n_words:,} words: give {-(-least >> 20)}M or more (--memory)"
        raise InputError(msg)
    return Budget(block, max(1 << 14, int(0.25 * free) // (40 * threads)), max(1 << 14, int(0.5 * free) // (44 * threads)))


def blocks_of(n: int, block: int) -> list[tuple[int, int]]:
    """(first, last) places of each block of the stream."""
    return [(first, min(first + block, n)) for first in range(0, n, block)]


def count_blocks(
    tokens: Tokens,
    weights: npt.NDArray[np.uint64],
    folder: Path,
    share: Budget,
    threads: int,
    progress: Progress | None,
) -> list[Path]:
    """A run for each block of the stream, in `folder`; runs that are there and whole are kept. Returns their paths in order."""
    window, n = len(weights) - 1, len(tokens.ids)
    runs = []
    for k, (first, last) in enumerate(blocks_of(n, share.block)):
        runs.append(folder / f"run-{k:05d}")
        if _is_whole(runs[-1], {"block": [first, last]}):
            continue
        shutil.rmtree(runs[-1], ignore_errors=True)
        ghosts = min(window, first)
        part = _shifted(progress, first, n)
        rows = rows_of(
            read_slice(tokens.ids, first - ghosts, last), len(tokens.words), weights,
            ghosts=ghosts, at_once=2 * threads, task=share.task, threads=threads, progress=part,
        )  # fmt: skip
        _write(runs[-1], rows, {"block": [first, last]})
    return runs


def merge_runs(runs: Sequence[Path], n_words: int, share: Budget, threads: int, progress: Progress | None) -> Iterator[Rows]:
    """The rows of the sum of all runs, a range at a time, in order."""
    level = 0
    while len(runs) > FAN_IN:  # several levels: never more than FAN_IN open files
        level += 1
        groups = [runs[k : k + FAN_IN] for k in range(0, len(runs), FAN_IN)]
        merged_runs = []
        for k, group in enumerate(groups):
            path = group[0].with_name(f"merged-{level}-{k:05d}")
            facts = {"block": [_block(group[0])[0], _block(group[-1])[1]]}  # all that a sum depends on, however it was cut
            if not _is_whole(path, facts):
                shutil.rmtree(path, ignore_errors=True)
                _write(path, _sums(group, n_words, share, threads, None), facts)
            merged_runs.append(path)
        runs = merged_runs
    yield from _sums(runs, n_words, share, threads, progress)


def _sums(runs: Sequence[Path], n_words: int, share: Budget, threads: int, progress: Progress | None) -> Iterator[Rows]:
    tables = [_open(run, n_words) for run in runs]
    lengths = np.zeros(n_words, np.int64)
    for indptr, _, _ in tables:
        lengths += np.diff(indptr)
    filled = np.cumsum(lengths)
    total = int(filled[-1])
    cuts = np.unique(np.searchsorted(filled, np.arange(share.chunk, total, share.chunk)) + 1)
    edges = [0, *(int(cut) for cut in cuts if cut < n_words), n_words]
    chunks = list(itertools.pairwise(edges))

    def part(first: int, last: int) -> Rows:
        pieces = []
        for indptr, indices, values in tables:
            bounds = read_slice(indptr, first, last + 1)
            start, end = int(bounds[0]), int(bounds[-1])
            pieces.append((bounds - start, read_slice(indices, start, end), read_slice(values, start, end)))
        return merged(pieces, first)

    for k in range(0, len(chunks), threads):
        group = chunks[k : k + threads]
        yield from run_tasks(part, group, threads)
        if progress is not None:
            progress(int(filled[group[-1][1] - 1]), total, phase="merging", unit="entries")


def read_slice(array: npt.NDArray[Any], first: int, last: int) -> npt.NDArray[Any]:
    """array[first:last]; of a mapped file as a copy that is read, so that its pages do not count as ours."""
    if isinstance(array, np.memmap) and array.filename is not None:
        return np.fromfile(array.filename, array.dtype, last - first, offset=array.offset + first * array.itemsize)
    return array[first:last]


def _write(path: Path, rows: Iterator[Rows], facts: dict[str, Any]) -> None:
    lengths = []
    with write_bundle(path, KIND, VERSION) as bundle:
        with bundle.growing("indices.npy", np.int32) as indices, bundle.growing("values.npy", np.uint64) as values:
            for n, columns, numbers in rows:
                lengths.append(n)
                indices(columns)
                values(numbers)
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
        bundle.array("indptr.npy", indptr)
        bundle.manifest |= {"n_stored": int(indptr[-1]), **facts}


def _is_whole(path: Path, facts: dict[str, Any]) -> bool:
    try:
        bundle = Bundle(path, KIND, VERSION)
        for name in ("indices.npy", "values.npy", "indptr.npy"):
            bundle.file(name)
    except (MissingFileError, DamagedFileError):
        return False
    return all(bundle.manifest.get(name) == value for name, value in facts.items())


def _block(run: Path) -> list[int]:
    return list(Bundle(run, KIND, VERSION, verify=False).manifest["block"])


def _open(path: Path, n_words: int) -> Rows:
    bundle = Bundle(path, KIND, VERSION, verify=False)  # written or verified a moment ago
    n = bundle.manifest["n_stored"]
    indptr = bundle.array("indptr.npy", "<i8", (n_words + 1,))
    return indptr, bundle.array("indices.npy", "<i4", (n,)), bundle.array("values.npy", "<u8", (n,))


def _shifted(progress: Progress | None, before: int, n: int) -> Progress | None:
    """Progress of a block as that of the whole stream of n tokens."""
    if progress is None:
        return None
    report = progress

    def shown(done: float, total: float | None, **numbers: Any) -> None:
        report(min(before + done, n), n, **numbers)

    return shown


__all__ = ["Budget", "blocks_of", "budget", "count_blocks", "merge_runs", "read_slice"]
