"""Where text comes from: files, folders, standard input, the docstrings of what is installed, or Python iterables.

A source is read as blocks of bytes, so memory does not grow with the length of a file or of a line. Compressed files are known
by their first bytes. A file that is not text is left out and named in the report; bytes that are not UTF-8 separate words and
are counted.
"""

from __future__ import annotations

import bz2
import contextlib
import fnmatch
import gzip
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from thalweg.errors import InputError, MissingExtraError, MissingFileError, UsageError, near_misses
from thalweg.files import size_text, storage_errors
from thalweg.needs import needs

Globs = str | Sequence[str] | None  # patterns for the files of a folder; None: SUFFIXES

BLOCK = 1 << 20  # bytes read at a time
SUFFIXES = (".txt", ".text", ".md", ".rst", ".html", ".htm", ".jsonl")  # what is read of a folder, also compressed
PACKED = (".gz", ".bz2", ".xz", ".zst")


class _Zstd:
    """The text of a file compressed with Zstandard, to be read like a file."""

    _STEP = 512  # bytes taken at a time: a block of 128 KiB may take four, so that these hold 16 MiB

    def __init__(self, raw: IO[bytes], mode: str) -> None:
        self._library: Any = needs("zstandard", "text compressed with Zstandard")
        self._raw = raw
        self._frame: Any = None
        self._rest = b""

    def read(self, size: int) -> bytes:
        """About `size` bytes of text, b"" at the end."""
        parts, held = [], 0
        while held < size:
            data = self._rest or self._raw.read(self._STEP)
            if not data:
                if self._frame is not None:
                    msg = "the last frame has no end"
                    raise EOFError(msg)
                break
            self._frame = self._frame or self._library.ZstdDecompressor().decompressobj()
            try:
                text = self._frame.decompress(data)
            except self._library.ZstdError as error:
                raise OSError(str(error)) from None
            self._rest = self._frame.unused_data
            self._frame = None if self._frame.eof else self._frame
            parts.append(text)
            held += len(text)
        return b"".join(parts)


COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": _Zstd,
}  # first bytes -> how to open
NOT_TEXT = {  # first bytes -> what to do
    b"PK\x03\x04": "a zip archive or an office document: unpack it or save it as text (gzip, bzip2 and xz are read as they are)",
    b"%PDF": "a PDF: convert it to text first",
}
DOCS = "docs:"
STDIN = "-"


class DamagedTextError(InputError):
    """A compressed file that cannot be read to its end."""


@contextlib.contextmanager
def way_on() -> Iterator[None]:
    """Where a damaged file may be passed over: say so."""
    try:
        yield
    except DamagedTextError as error:
        msg = f"{error}; fetch it again, or read of it what can be read with --skip-damaged (skip_damaged=True)"
        raise InputError(msg) from None


@dataclass
class Report:
    """What was read: for the person who asked, and for the manifest."""

    sources: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (path, reason)
    n_files: int = 0
    n_bytes: int = 0  # of text, after decompression
    encodings: dict[str, int] = field(default_factory=dict)  # encoding -> files that are in it
    bad_bytes: int = 0
    bad_lines: int = 0  # of JSON lines: those that are not JSON
    dropped_words: int = 0
    pruned: int = 0  # tokens whose words were forgotten because the vocabulary outgrew the memory
    user_words: list[tuple[str, int | None]] = field(
        default_factory=list
    )  # entries of the user dictionary that occur in the vocabulary
    language: str = ""
    tokenizer: str = ""


@dataclass(frozen=True)
class Source:
    """One text: `blocks()` yields its bytes; `size` is the length of the file, for progress (0 if unknown).

    form: the end of its name, where more than text is in it (".html"; "" for plain text).
    """

    name: str
    blocks: Callable[[], Iterator[tuple[bytes, int]]]  # (text, bytes of the file read so far)
    size: int = 0
    form: str = ""


def sources(paths: Iterable[str | os.PathLike[str]], report: Report, glob: Globs = None) -> list[Source]:
    """The texts behind paths, folders, "-" (standard input) and "docs:" (docstrings of installed packages).

    Of a folder those files are read whose names fit `glob`, or one of several (None: that are text by their names). Raises
    MissingFileError for a path that is not there, InputError for a folder without text.
    """
    found: list[Source] = []
    for given in paths:
        name = os.fspath(given)
        report.sources.append(name)
        if name == DOCS:
            from thalweg.words.text import docstrings

            found += [Source(f"{DOCS}{package}", text) for package, text in docstrings.packages().items()]
        elif name == STDIN:
            found.append(Source("standard input", _stdin))
        elif name.startswith(("http:/", "https:/", "ftp:/")):
            msg = f"{name} is an address: nothing is fetched from the network; download it first"
            raise MissingFileError(msg)
        elif ":" in name and name.split(":")[0].isalpha() and not Path(name).exists():
            msg = f"there is no source {name!r}.{near_misses(name, [DOCS, STDIN])}"
            raise MissingFileError(msg)
        else:
            found += _files(Path(name), report, glob)
    return found


def _files(path: Path, report: Report, glob: Globs) -> list[Source]:
    if path.is_file():
        return [_file(path)]
    if path.is_dir():
        names = []
        for name in sorted(_walk(path, glob), key=os.fsencode):
            if name.is_file():
                names.append(name)
            else:  # a link to nothing, or a pipe that nobody writes to
                report.skipped.append((str(name), "not a regular file"))
        if not names:
            looked = ", ".join(_patterns(glob) or ["*" + suffix for suffix in SUFFIXES])
            other = "hidden files are left out" if glob else "for others use --glob or name them directly"
            msg = f"{path} holds no text: looked for {looked}, also compressed; {other}"
            raise InputError(msg)
        return [_file(name) for name in names]
    if path.exists() or path.is_symlink():
        if path.is_symlink() and not path.exists():
            msg = f"{path} is a link to something that is not there"
            raise MissingFileError(msg)
        return [_file(path)]  # a pipe, such as /dev/fd/63 of a shell's <(command)
    msg = f"there is no file or folder {path}"
    raise MissingFileError(msg)


def _walk(folder: Path, glob: Globs) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            if not name.startswith(".") and _fits(path.relative_to(folder), glob):
                yield path


def _fits(path: Path, glob: Globs) -> bool:
    """Whether a file is read, by its path within the folder; one that is compressed also by the name it will have."""
    plain = path.with_name(_unpacked(path.name))
    if glob is None:
        return plain.name.lower().endswith(SUFFIXES)
    return any(
        fnmatch.fnmatchcase(each.as_posix() if "/" in pattern else each.name, pattern)
        for pattern in _patterns(glob)
        for each in (path, plain)
    )


def _patterns(glob: Globs) -> Sequence[str]:
    return [glob] if isinstance(glob, str) else glob or []


def _unpacked(name: str) -> str:
    """A name without the suffix of compression."""
    return next((name.removesuffix(suffix) for suffix in PACKED if name.endswith(suffix)), name)


def _file(path: Path) -> Source:
    with storage_errors(path, "reading"):
        size = path.stat().st_size if path.is_file() else 0
    return Source(str(path), lambda: _read(path), size, Path(_unpacked(path.name)).suffix.lower())


def _read(path: Path) -> Iterator[tuple[bytes, int]]:
    with storage_errors(path, "reading"), path.open("rb") as raw:
        start = raw.peek(8)[:8] if hasattr(raw, "peek") else b""
        opener = next((opener for magic, opener in COMPRESSED.items() if start.startswith(magic)), None)
        try:
            text = cast("IO[bytes]", opener(raw, "rb")) if opener else cast("IO[bytes]", raw)
            while block := text.read(BLOCK):
                yield block, raw.tell() if raw.seekable() else 0
        except MissingExtraError as error:
            msg = f"{path} cannot be read: {error}"
            raise MissingExtraError(msg) from None
        except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
            msg = f"{path} is damaged: its compressed data end or break off early ({error})"
            raise DamagedTextError(msg) from None
        except OSError as error:
            if opener is None:
                raise
            msg = f"{path} is damaged: {error}"
            raise DamagedTextError(msg) from None


def _stdin() -> Iterator[tuple[bytes, int]]:
    if sys.stdin is None or sys.stdin.isatty():
        msg = "standard input is a terminal: pipe a text into it, as in: cat notes.txt | thalweg words fit - --out vec"
        raise UsageError(msg)
    while block := sys.stdin.buffer.read(BLOCK):
        yield block, 0


def nothing_left(report: Report) -> InputError:
    """The error for a corpus of which no word was left."""
    given = ", ".join("standard input" if name == STDIN else name for name in report.sources) or "the corpus"
    if report.skipped:
        path, reason = report.skipped[0]
        more = f" (and {len(report.skipped) - 1} more)" if len(report.skipped) > 1 else ""
        return InputError(f"nothing to read: {path} is {reason}{more}")
    if report.n_bytes == 0:
        return InputError(f"{given} is empty")
    return InputError(f"{given} holds no words ({size_text(report.n_bytes)} read)")


def is_text_list(corpus: object) -> bool:
    """Whether a Python corpus is an iterable of texts or of token lists rather than of paths."""
    return not isinstance(corpus, (str, os.PathLike)) and not (
        isinstance(corpus, (list, tuple)) and bool(corpus) and all(isinstance(item, os.PathLike) for item in corpus)
    )
