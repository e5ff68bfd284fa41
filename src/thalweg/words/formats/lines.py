"""Lines of text that hold a word and its numbers, as word2vec and GloVe write them.

The numbers are the last `dim` fields; the word is all that stands before them, so it may hold blanks, as some of GloVe's do.
Written with nine digits, which give every float32 back bit for bit.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from thalweg.errors import DamagedFileError, InputError, quoted
from thalweg.threads import blocks
from thalweg.words.formats.opening import Source
from thalweg.words.formats.rows import MOST_DIM, TOKEN_LIMIT, Found, Rows

if TYPE_CHECKING:
    from thalweg.progress import Progress
    from thalweg.words.vectors.readout import Readout

FIELD = 64  # bytes that a number may take, with its blank
LONGEST = TOKEN_LIMIT + FIELD * MOST_DIM
_NUMBER = re.compile(rb"[+-]?(\d*\.\d+|\d+\.?)([eE][+-]?\d+)?|[+-]?nan|[+-]?inf", re.IGNORECASE)


def is_number(field: bytes) -> bool:
    """Whether a field of a line is a number."""
    return bool(_NUMBER.fullmatch(field))


def read_lines(
    source: Source,
    dim: int,
    *,
    promised: int | None,
    number: int = 1,
    before: tuple[bytes, ...] = (),
    encoding: str = "utf-8",
    allow_nonfinite: bool = False,
    progress: Progress | None = None,
) -> Found:
    """The words and vectors of the lines that follow; `number` is that of the first, `before` those already taken off the stream.

    promised: how many there are to be, None if nothing says so. Raises DamagedFileError, naming the line.
    """
    rows = Rows(source.path, dim, encoding)
    limit = TOKEN_LIMIT + FIELD * dim
    count = 0
    taken = itertools.chain(before, iter(lambda: source.line(limit, number + count), b""))
    with np.errstate(over="ignore"):  # what does not fit into float32 becomes infinite, and is treated as that
        for line in taken:
            parts = line.rsplit(None, dim)
            if len(parts) != dim + 1 or (promised is not None and count == promised):
                _check_end(source, parts, taken, number + count, dim, promised if count == promised else None)
                break
            word = parts[0].lstrip()
            try:
                vector = [float(part) for part in parts[1:]]
            except ValueError:
                bad = next(part for part in parts[1:] if not is_number(part))
                msg = f"{source.path}, line {number + count}: {shown(bad)} is not a number; {dim} were expected after the word"
                raise DamagedFileError(msg) from None
            if _ends_with_a_number(word):
                msg = f"{source.path}, line {number + count}: there are more than {dim} numbers after {shown(word.split()[0])}; "
                raise DamagedFileError(f"{msg}the file is damaged, or a word of several parts ends with a number")
            rows.add(word, vector, "line", number)
            count += 1
            if progress is not None and count % 4096 == 0:
                progress(source.position(), source.length, phase="reading vectors", unit="bytes")
    if promised is not None and count < promised:
        msg = f"{source.path} promises {promised:,} words and ends after {count:,}: it was cut off"
        raise DamagedFileError(msg)
    return rows.found(allow_nonfinite)


def _ends_with_a_number(word: bytes) -> bool:
    """Whether what should be a word of several parts is a word and a number too many: a wrong line is likelier than such a word."""
    parts = word.rsplit(None, 1)
    return len(parts) == 2 and is_number(parts[1])


def _check_end(source: Source, parts: list[bytes], rest: Iterator[bytes], number: int, dim: int, whole: int | None) -> None:
    """A line that is no row may be blank, with nothing but blank lines after it."""
    blank = not parts
    while not parts:
        line = next(rest, None)
        if line is None:
            return
        number, parts = number + 1, line.split(None, 1)
    if whole is not None:
        what = f"more follows after the {whole:,} words that the first line promises"
    elif blank:
        what = "a row follows after an empty line; the file is damaged"
    else:
        what = f"{len(parts) - 1} numbers after {shown(parts[0])}, where {dim} were expected; the file is damaged"
    msg = f"{source.path}, line {number}: {what}"
    raise DamagedFileError(msg)


def shown(text: bytes) -> str:
    return quoted(text[:200].decode("utf-8", "replace"))


def tokens(vectors: Readout) -> list[bytes]:
    """The words in UTF-8. Raises InputError for one that these formats cannot hold: with white space in it, or empty."""
    found = []
    for word in vectors.words:
        if word.split() != [word]:
            what = "has white space in it" if word else "is empty"
            msg = f"the word {quoted(word)} {what}, which this format cannot hold: choose npz or safetensors"
            raise InputError(msg)
        try:
            found.append(word.encode())
        except UnicodeEncodeError:
            msg = f"the word {quoted(word)} has a surrogate in it and cannot be written as UTF-8"
            raise InputError(msg) from None
    return found


def write_lines(write: Callable[[bytes], object], vectors: Readout, words: list[bytes], output: str | None) -> None:
    """A line for every word: the word and its numbers with nine digits."""
    for first, last in blocks(len(words), 1 << 12):
        block = vectors.vectors_of(slice(first, last), output)
        pattern = b" ".join([b"%.9g"] * block.shape[1])
        rows = zip(words[first:last], block.tolist(), strict=True)
        write(b"".join(b"%b %b\n" % (word, pattern % tuple(row)) for word, row in rows))
