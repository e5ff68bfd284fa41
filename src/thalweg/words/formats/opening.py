"""A file of vectors as a stream of bytes, decompressed where its first bytes say so, whose length is known or watched.

A reader compares what a header promises with `size` before it takes memory. Of a compressed file or a pipe the size is not known
(None): there the reader's memory grows with what has arrived, and a stream that expands too much is refused.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from thalweg.errors import DamagedFileError, InputError, MissingFileError
from thalweg.files import MANIFEST, size_text, storage_errors
from thalweg.words.text.corpus import COMPRESSED

BLOCK = 1 << 20  # bytes read at a time
START = 1 << 16  # bytes by which a format is known
EXPANSION = 200  # a stream that becomes more than this many times longer, and longer than MODEST, is a bomb: vectors give 1.1 to 5
MODEST = 64 << 20
DAMAGE = (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)


class _Bytes(io.RawIOBase):
    """The content of a file after decompression. Each read is filled as far as there is something left."""

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        self.path = path
        self.raw = raw
        start = cast("Any", raw).peek(8)[:8]
        opener = next((opener for magic, opener in COMPRESSED.items() if start.startswith(magic)), None)
        self.packed = opener is not None
        self.content: IO[bytes] = opener(raw, "rb") if opener else raw
        self.given = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.given

    def readinto(self, buffer: Any) -> int:
        done = 0
        while done < len(buffer):
            piece = self._read(len(buffer) - done)
            if not piece:
                break
            buffer[done : done + len(piece)] = piece
            done += len(piece)
        self.given += done
        if self.packed and self.given > MODEST and self.raw.seekable() and self.given > EXPANSION * self.raw.tell():
            msg = f"{self.path} becomes more than {EXPANSION} times longer when it is decompressed: no file of vectors does that"
            raise DamagedFileError(msg)
        return done

    def _read(self, n: int) -> bytes:
        try:
            return self.content.read(n)
        except DAMAGE as error:
            msg = f"{self.path} is damaged: its compressed data end or break off early ({error})"
            raise DamagedFileError(msg) from None
        except OSError as error:
            if not self.packed:
                raise
            msg = f"{self.path} is damaged: {error}"
            raise DamagedFileError(msg) from None


class Source:
    """path; stream: the content; size: its length in bytes, or None; start: its first bytes, which are not taken off the stream."""

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        self.path = path
        self._content = _Bytes(path, raw)
        self.stream = io.BufferedReader(self._content, START)
        self.start = self.stream.peek(START)[:START]
        self.length = path.stat().st_size if path.is_file() else None  # of the file itself, for progress
        self.size = None if self._content.packed else self.length

    def position(self) -> int:
        """Bytes of the file read so far."""
        raw = self._content.raw
        return raw.tell() if raw.seekable() else self._content.given

    def left(self) -> int | None:
        """How many bytes are still to come."""
        return None if self.size is None else self.size - self.stream.tell()

    def line(self, limit: int, number: int) -> bytes:
        """The next line with its end, empty after the last. Raises DamagedFileError for one longer than `limit` bytes."""
        line = self.stream.readline(limit + 1)
        if len(line) > limit:
            msg = f"{self.path}, line {number}: more than {limit:,} bytes without an end: this is no text file of word vectors"
            raise DamagedFileError(msg)
        return line

    @contextlib.contextmanager
    def seekable(self) -> Iterator[tuple[IO[bytes], int]]:
        """The content as a file to be read in any order, and its length; what is compressed is unpacked to a temporary file."""
        if self.size is not None:
            self._content.raw.seek(0)
            yield self._content.raw, self.size
            return
        with tempfile.TemporaryFile() as unpacked:
            while block := self.stream.read(BLOCK):
                unpacked.write(block)
            size = unpacked.tell()
            unpacked.seek(0)
            yield unpacked, size


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a file of vectors. Raises MissingFileError, InputError for a folder or an empty file, StorageError."""
    if path.is_dir():
        how = "it is one of thalweg's own: WordVectors.load opens it" if (path / MANIFEST).exists() else "name a file in it"
        msg = f"{path} is a folder, not a file of vectors; {how}"
        raise InputError(msg)
    if not path.exists():
        msg = f"there is no file {path}"
        raise MissingFileError(msg)
    with storage_errors(path, "reading"), path.open("rb") as raw:
        source = Source(path, raw)
        if not source.start:
            msg = f"{path} is empty"
            raise DamagedFileError(msg)
        yield source


def check_room(source: Source, n_words: int, dim: int, least: int) -> None:
    """Compare a promise of rows of `least` bytes or more with what is there, before memory is taken. Raises DamagedFileError."""
    left = source.left()
    if left is not None and n_words * least > left:
        msg = f"{source.path} promises {n_words:,} words of {dim:,} dimensions, {size_text(n_words * least)} at least, and holds "
        msg += f"{size_text(left)}: it was cut off, or it is another kind of file"
        raise DamagedFileError(msg)
