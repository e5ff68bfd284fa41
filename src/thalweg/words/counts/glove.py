"""Counts of GloVe's C programs: `cooccur` writes records (int32 word, int32 context, float64 value), words numbered from 1.

Both orders of a pair are there, so one is kept and the other is held against it. A value is a sum of weights g, whole numbers in
units of 1/scale (`thalweg.words.counts.table`), so that what was added up in floating point comes back exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import DamagedFileError, InputError, MissingFileError
from thalweg.files import storage_errors
from thalweg.words.counts.accumulate import Rows
from thalweg.words.text.encodings import words_of_file

_RECORD = np.dtype([("word", "<i4"), ("context", "<i4"), ("value", "<f8")])
_BLOCK = 1 << 20  # records at a time
_EXACT = 1e9  # below, a sum in floating point is within a hundredth of its whole number of units
_MOST = 1 << 53


def vocabulary(path: Path, encoding: str = "utf-8") -> tuple[list[str], npt.NDArray[np.int64]]:
    """The words and their counts, "word count" a line as `vocab_count` writes them. encoding: if they are not UTF-8.

    Raises MissingFileError, DamagedFileError, or InputError for words of which most cannot be decoded.
    """
    counts: dict[bytes, int] = {}
    lines = re.split(rb"\r?\n", _content(path))
    for number, line in enumerate(lines[: len(lines) - (not lines[-1])], 1):
        word, _, count = line.rpartition(b" ")
        if not word or word in counts or not count.isdigit() or not 0 < int(count[:20]) < _MOST:
            why = "names a word for the second time" if word in counts else "is not 'word count'"
            msg = f"{path}, line {number}: {line[:60].decode('utf-8', 'replace')!r} {why}"
            raise DamagedFileError(msg)
        counts[word] = int(count)
    if len(counts) < 2:
        msg = f"{path} holds {len(counts)} words: two or more are needed"
        raise InputError(msg)
    words, _ = words_of_file(counts, encoding, path)
    if len(set(words)) < len(words):
        msg = f"{path}: words that differ are the same once their undecodable bytes are replaced: name the encoding with --encoding"
        raise InputError(msg)
    return words, np.fromiter(counts.values(), np.int64, len(counts))


def table(path: Path, vocab: Path, n_words: int, scale: int, whole: bool) -> Rows:
    """(indptr, indices, values) of the lower triangle in units of 1/scale; whole: every value has to be a multiple of it.

    Raises MissingFileError, or DamagedFileError for records that are no counts of these words.
    """
    from scipy import sparse

    kept: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]] = []
    sums = np.zeros(2)  # of the pairs in one order, and in the other
    marks = np.zeros(2, np.uint64)
    for first, block in _blocks(path):
        word, context, value = block["word"], block["context"], block["value"]
        outside = (np.minimum(word, context) < 1) | (np.maximum(word, context) > n_words)
        _refuse(path, first, block, outside, f"names a word that is not among the {n_words:,} of {vocab}")
        _refuse(path, first, block, ~(np.isfinite(value) & (value > 0)), "has a value that is no count")
        _refuse(path, first, block, value * scale >= _MOST, "has a value that is too large for a count")
        units = np.rint(value * scale)
        off = (units < 1) | (whole & (units < _EXACT) & (np.abs(value * scale - units) > 0.01))
        _refuse(
            path, first, block, off, f"has a value that is no multiple of 1/{scale}: it was counted with another window or distance"
        )
        lower = context <= word
        kept.append((word[lower] - 1, context[lower] - 1, units[lower].astype(np.int64)))
        mark = _mark(word, context)
        for k, order in enumerate((word > context, word < context)):
            sums[k] += float(np.sum(value[order] * (mark[order] >> np.uint64(40))))
            marks[k] += np.sum(mark[order], dtype=np.uint64)
    if marks[0] != marks[1] or abs(sums[0] - sums[1]) > 1e-9 * sums.max():
        msg = f"{path} is not symmetric: it lacks records, or was counted with -symmetric 0"
        raise DamagedFileError(msg)
    rows, columns, numbers = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    kept.clear()
    found = sparse.coo_array((numbers, (rows, columns)), shape=(n_words, n_words)).tocsr()  # rising columns, each once
    dtype = np.uint32 if found.data.max() < 1 << 32 else np.uint64
    return found.indptr.astype(np.int64), found.indices.astype(np.int32), found.data.astype(dtype)


def _mark(word: npt.NDArray[np.int32], context: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
    """A hash of a pair, the same for both orders."""
    pair = np.maximum(word, context).astype(np.uint64) << np.uint64(32) | np.minimum(word, context).astype(np.uint64)
    pair = (pair ^ pair >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)
    return pair ^ pair >> np.uint64(32)


def _content(path: Path) -> bytes:
    if not path.is_file():
        msg = f"there is no file {path}"
        raise MissingFileError(msg)
    with storage_errors(path, "reading"):
        return path.read_bytes()


def _blocks(path: Path) -> Iterator[tuple[int, Any]]:
    """(place of the first record, records)."""
    if not path.is_file():
        msg = f"there is no file {path}"
        raise MissingFileError(msg)
    size = path.stat().st_size
    if size == 0 or size % _RECORD.itemsize:
        msg = (
            f"{path} has {size:,} bytes: records of GloVe's counts have {_RECORD.itemsize} each, so it is cut off or something else"
        )
        raise DamagedFileError(msg)
    with storage_errors(path, "reading"), path.open("rb") as stream:
        first = 0
        while len(block := np.fromfile(stream, _RECORD, _BLOCK)):
            yield first, block
            first += len(block)


def _refuse(path: Path, first: int, block: Any, bad: npt.NDArray[np.bool_], why: str) -> None:
    if bad.any():
        place = int(np.argmax(bad))
        word, context, value = block[place].tolist()
        msg = f"{path}: record {first + place + 1} ({word}, {context}, {value:g}) {why}"
        raise DamagedFileError(msg)


__all__ = ["table", "vocabulary"]
