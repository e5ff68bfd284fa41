"""GloVe's text (Pennington et al. 2014): a line for every word, the word and its numbers, and no header.

How many numbers there are is read off the first two lines: the shorter one counts, since a word may hold blanks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thalweg.errors import DamagedFileError
from thalweg.words.formats.lines import LONGEST, is_number, read_lines, tokens, write_lines
from thalweg.words.formats.opening import Source
from thalweg.words.formats.rows import Found, checked_shape
from thalweg.words.formats.word2vec import header

if TYPE_CHECKING:
    from thalweg.files import Writer
    from thalweg.progress import Progress
    from thalweg.words.vectors.readout import Readout


def has_header(first: bytes, second: bytes) -> bool:
    """Whether two numbers in the first line are a header of word2vec: the second line does not continue a file of one dimension."""
    promise = header(first)
    fields = second.split(None, 2)
    return promise is not None and (promise[1] == 1 or not (len(fields) == 2 and is_number(fields[1])))


def read(source: Source, *, encoding: str, allow_nonfinite: bool, progress: Progress | None) -> Found:
    """GloVe's text. Raises DamagedFileError."""
    first = source.line(LONGEST, 1).removeprefix(b"\xef\xbb\xbf")
    second = source.line(LONGEST, 2)
    if not first.strip():
        msg = f"{source.path}, line 1: it is empty, where a word and its numbers were expected"
        raise DamagedFileError(msg)
    promise = header(first)
    if promise is not None and promise[1] > 1 and len(second.split()) == promise[1] + 1:
        msg = f"{source.path} begins with the header of word2vec's text, which is not GloVe's: choose word2vec (--format word2vec)"
        raise DamagedFileError(msg)
    dim = min(len(line.split()) - 1 for line in (first, second) if line.strip())
    if dim < 1:
        msg = f"{source.path}, lines 1 and 2: no numbers after a word; this is no file of word vectors"
        raise DamagedFileError(msg)
    checked_shape(source.path, 1, dim)
    return read_lines(
        source, dim, promised=None, before=(first, second), encoding=encoding, allow_nonfinite=allow_nonfinite, progress=progress
    )  # fmt: skip


def write(out: Writer, vectors: Readout, output: str | None) -> None:
    """GloVe's text. Raises InputError for a word with white space."""
    write_lines(out.write, vectors, tokens(vectors), output)
