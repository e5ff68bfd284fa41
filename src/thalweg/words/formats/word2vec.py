"""The two formats of word2vec (Mikolov et al. 2013): a line `n_words dim`, then a row for every word.

text    the word, a blank, `dim` numbers
binary  the bytes of the word up to a blank (0x20), 4 dim bytes of float32 (little-endian), and perhaps a line feed (0x0A)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from thalweg.errors import DamagedFileError
from thalweg.threads import blocks
from thalweg.words.formats.lines import is_number, read_lines, shown, tokens, write_lines
from thalweg.words.formats.opening import BLOCK, Source, check_room
from thalweg.words.formats.rows import TOKEN_LIMIT, Found, Rows, checked_shape

if TYPE_CHECKING:
    from thalweg.files import Writer
    from thalweg.progress import Progress
    from thalweg.words.vectors.readout import Readout

HEADER = 128  # bytes of the first line
_HEADER = re.compile(rb"\s*([+-]?\d+)[ \t]+([+-]?\d+)\s*")


def header(line: bytes) -> tuple[int, int] | None:
    """The numbers of a first line that could be a header, whatever they are."""
    match = _HEADER.fullmatch(line) if len(line) <= HEADER else None
    return (int(match[1]), int(match[2])) if match else None


def is_binary(start: bytes) -> bool:
    """Whether binary numbers follow the header: the second line ends with no number, and is not text."""
    rest = start.partition(b"\n")[2]
    line, ended, _ = rest.partition(b"\n")
    fields = line.split()
    fields = fields if ended or len(rest) < 1 << 15 else fields[:-1]  # the last one may be cut
    if len(fields) > 1 and is_number(fields[-1]) and not _controls(line):
        return False
    try:
        rest[:4096].decode()
    except UnicodeDecodeError as error:
        if error.start < 4092 or len(rest) <= 4096:  # else it is a letter cut in two
            return True
    return _controls(rest)


def _controls(text: bytes) -> bool:
    return any(byte < 0x20 and byte not in b"\t\n\r\x0b\x0c" for byte in text[:4096])


def _header(source: Source, least: int, per_number: int) -> tuple[int, int]:
    line = source.stream.readline(HEADER + 1)
    found = header(line.removeprefix(b"\xef\xbb\xbf"))
    if found is None:
        msg = (
            f"{source.path}, line 1: {shown(line.strip()[:60])} is not the header of a word2vec file, its numbers of words and of "
        )
        raise DamagedFileError(f"{msg}dimensions; without a header the format is glove (--format glove)")
    n_words, dim = checked_shape(source.path, *found)
    check_room(source, n_words, dim, least + per_number * dim)
    return n_words, dim


def read(source: Source, *, encoding: str, allow_nonfinite: bool, progress: Progress | None) -> Found:
    """Word2vec text. Raises DamagedFileError."""
    n_words, dim = _header(source, 1, 2)  # a letter, and a blank and a digit for every number
    return read_lines(
        source, dim, promised=n_words, number=2, encoding=encoding, allow_nonfinite=allow_nonfinite, progress=progress
    )


def read_binary(source: Source, *, encoding: str, allow_nonfinite: bool, progress: Progress | None) -> Found:
    """Word2vec binary. Raises DamagedFileError."""
    n_words, dim = _header(source, 2, 4)
    rows = Rows(source.path, dim, encoding)
    buffer, at = b"", 0
    for k in range(n_words):
        while True:
            begin = at + (k > 0 and buffer[at : at + 1] == b"\n")
            blank = buffer.find(b" ", begin, begin + TOKEN_LIMIT + 1)
            if blank >= 0 and len(buffer) >= blank + 1 + 4 * dim:
                break
            if blank < 0 and len(buffer) > begin + TOKEN_LIMIT:
                msg = f"{source.path}, row {k + 1}: no word of up to {TOKEN_LIMIT:,} bytes begins here; the file is damaged, "
                raise DamagedFileError(f"{msg}or it is not word2vec's binary format")
            more = source.stream.read(BLOCK)
            if not more:
                msg = f"{source.path} promises {n_words:,} words and ends after {k:,}: it was cut off"
                raise DamagedFileError(msg)
            buffer, at = buffer[at:] + more, 0
        rows.add(buffer[begin:blank], np.frombuffer(buffer, "<f4", dim, blank + 1), "row")
        at = blank + 1 + 4 * dim
        if progress is not None and k % 4096 == 4095:
            progress(source.position(), source.length, phase="reading vectors", unit="bytes")
    if (buffer[at:] + source.stream.read(2)).strip(b"\n"):
        msg = f"{source.path}: more follows after the {n_words:,} words that the first line promises"
        raise DamagedFileError(msg)
    return rows.found(allow_nonfinite)


def write(out: Writer, vectors: Readout, output: str | None) -> None:
    """Word2vec text. Raises InputError for a word with white space."""
    words = tokens(vectors)
    out.write(b"%d %d\n" % (len(vectors), vectors.vectors_of([0], output).shape[1]))
    write_lines(out.write, vectors, words, output)


def write_binary(out: Writer, vectors: Readout, output: str | None) -> None:
    """Word2vec binary, with the line feeds of the original program. Raises InputError for a word with white space."""
    words = tokens(vectors)
    out.write(b"%d %d\n" % (len(vectors), vectors.vectors_of([0], output).shape[1]))
    for first, last in blocks(len(vectors), 1 << 12):
        block = np.ascontiguousarray(vectors.vectors_of(slice(first, last), output), "<f4")
        out.write(b"".join(b"%b %b\n" % (word, row.tobytes()) for word, row in zip(words[first:last], block, strict=True)))
