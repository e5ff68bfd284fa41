"""NumPy's `.npz`: a zip archive of two arrays, `words` (text or bytes) and `vectors`. Objects, which are pickles, are refused.

The sizes that the archive, its directory and the arrays' headers state are compared with each other and with the file before memory
is taken. The headers are read here: NumPy's own reader evaluates them as Python.
"""

from __future__ import annotations

import contextlib
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from thalweg.errors import DamagedFileError, InputError, ThalwegError, quoted
from thalweg.threads import blocks
from thalweg.words.formats.opening import BLOCK, EXPANSION, MODEST, Source
from thalweg.words.formats.rows import TOKEN_LIMIT, Found, Words, checked_shape, gathered, numbers

if TYPE_CHECKING:
    from thalweg.files import Writer
    from thalweg.words.vectors.readout import Readout

DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, LookupError, OverflowError, OSError)
HEADER_LIMIT = 4096
_FIELDS = {
    "descr": re.compile(r"""['"]descr['"]: *['"]([<>|=](?:f[248]|[US]\d{1,5}))['"]"""),
    "fortran_order": re.compile(r"""['"]fortran_order['"]: *(True|False)"""),
    "shape": re.compile(r"""['"]shape['"]: *\(([\d, ]*)\)"""),
}


def read(source: Source, *, encoding: str, allow_nonfinite: bool) -> Found:
    """The arrays `words` and `vectors`. Raises DamagedFileError."""
    path = source.path
    with source.seekable() as (file, size), _archive(source, file) as archive:
        with _member(source, archive, "words", size) as (stream, dtype, shape, _):
            if dtype.kind == "f" or len(shape) != 1:
                msg = f"{path}: the array 'words' is {dtype} {shape}, where one axis of text was expected"
                raise DamagedFileError(msg)
            words = _words(source, stream, dtype, shape[0], encoding)
        with _member(source, archive, "vectors", size) as (stream, dtype, shape, fortran):
            if dtype.kind != "f" or len(shape) != 2 or shape[0] != words.seen:
                msg = f"{path}: the array 'vectors' is {dtype} {shape}, where a row of numbers for each of {words.seen:,} words "
                raise DamagedFileError(f"{msg}was expected (float16, float32 or float64)")
            n_words, dim = checked_shape(path, *shape)
            flat = numbers(path, stream, dtype.str, n_words * dim)
            stream.read(1)  # at its end zipfile compares the checksum
        vectors = np.ascontiguousarray(flat.reshape(dim, n_words).T) if fortran else flat.reshape(n_words, dim)
        return gathered(path, words, vectors, allow_nonfinite)


@contextlib.contextmanager
def _archive(source: Source, file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """The zip archive; zipfile meets damaged ones with a dozen kinds of exceptions."""
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except ThalwegError:
        raise
    except DAMAGE as error:
        msg = f"{source.path} is a damaged zip archive, or none ({error or error.__class__.__name__}): an .npz file was expected"
        raise DamagedFileError(msg) from None


Member = tuple[IO[bytes], "np.dtype[Any]", tuple[int, ...], bool]


@contextlib.contextmanager
def _member(source: Source, archive: zipfile.ZipFile, name: str, size: int) -> Iterator[Member]:
    """One array: its stream after the header, dtype, shape and whether it lies in Fortran's order."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        held = ", ".join(quoted(other) for other in archive.namelist()[:5]) or "nothing"
        msg = f"{source.path} has no array {name!r} (it holds {held}): an .npz needs 'words' and 'vectors'"
        raise DamagedFileError(f"{msg}; unpack an archive of text first") from None
    where = f"{source.path}: the array {name!r}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        msg = f"{where} is compressed in a way that NumPy does not write"
        raise DamagedFileError(msg)
    limit = info.compress_size if info.compress_type == zipfile.ZIP_STORED else max(MODEST, EXPANSION * info.compress_size)
    if info.compress_size > size or info.file_size > limit:
        msg = f"{where} claims {info.file_size:,} bytes in {info.compress_size:,} of a file of {size:,}: it is damaged, or a bomb"
        raise DamagedFileError(msg)
    with archive.open(info) as stream:
        dtype, fortran, shape, length = _npy_header(where, stream)
        count = 1
        for n in shape:
            count *= n
        if info.file_size != length + count * dtype.itemsize:
            msg = f"{where} promises {dtype} {shape}, which is not what its {info.file_size:,} bytes hold"
            raise DamagedFileError(msg)
        yield stream, dtype, shape, fortran


def _npy_header(where: str, stream: IO[bytes]) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    """The dtype, the order and the shape that an array states, and the bytes that the statement takes."""
    start = stream.read(8)
    width = {1: 2, 2: 4, 3: 4}.get(start[6], 0) if start[:6] == b"\x93NUMPY" and len(start) == 8 else 0
    length = int.from_bytes(stream.read(width), "little")
    text = stream.read(length).decode("latin-1").strip() if 0 < length <= HEADER_LIMIT else ""
    found = {key: pattern.findall(text) for key, pattern in _FIELDS.items()}
    if "descr" in text and not found["descr"]:
        kind = (
            "Python objects, which could run code when they are opened"
            if "O'" in text
            else "neither floating-point numbers nor text"
        )
        msg = f"{where} holds {kind}; save it as text or numbers: np.savez(file, words=np.array(words, str), vectors=vectors)"
        raise DamagedFileError(msg)
    if not all(len(values) == 1 for values in found.values()) or re.search(r"\d{19}", found["shape"][0]):
        msg = f"{where} has no header that NumPy would write"
        raise DamagedFileError(msg)
    (descr,), (order,), (axes,) = found["descr"], found["fortran_order"], found["shape"]
    shape = tuple(int(n) for n in axes.replace(" ", "").split(",") if n)
    return np.dtype(descr), order == "True", shape, 8 + width + length


def _words(source: Source, stream: IO[bytes], dtype: np.dtype[Any], n_words: int, encoding: str) -> Words:
    """The words, block by block: an array that is mostly empty takes no memory here."""
    wide = dtype.itemsize // (4 if dtype.kind == "U" else 1)
    if not 1 <= wide <= TOKEN_LIMIT:
        msg = f"{source.path}: the array 'words' has room for {wide} letters in a word, where 1 to {TOKEN_LIMIT} were expected"
        raise DamagedFileError(msg)
    checked_shape(source.path, n_words, 1)
    words = Words(source.path, encoding)
    for first, last in blocks(n_words, max(1, BLOCK // dtype.itemsize)):
        data = stream.read((last - first) * dtype.itemsize)
        if dtype.kind == "U" and (np.frombuffer(data, dtype.byteorder.replace("|", "=") + "u4") > sys.maxunicode).any():
            msg = f"{source.path}: the array 'words' holds numbers that are no letters"  # NumPy would raise SystemError
            raise DamagedFileError(msg)
        for token in np.frombuffer(data, dtype, last - first).tolist():
            words.add(token)
    stream.read(1)  # at its end zipfile compares the checksum
    return words


class _Stream:
    """A writer with the methods that zipfile asks for."""

    def __init__(self, out: Writer) -> None:
        self.write = out.write

    def flush(self) -> None:
        pass


def write(out: Writer, vectors: Readout, output: str | None) -> None:
    """Two arrays, `words` (Unicode, compressed) and `vectors`. Raises InputError for words that NumPy's text cannot hold."""
    longest = max(map(len, vectors.words), default=1)
    for word in vectors.words:
        if not word or word.endswith("\0") or any("\ud800" <= letter <= "\udfff" for letter in word):
            what = "ends with a zero byte or has a surrogate in it" if word else "is empty"
            msg = f"the word {quoted(word)} {what}, which an .npz cannot hold"
            raise InputError(msg)
    n_words, dim = len(vectors), vectors.vectors_of([0], output).shape[1]
    with zipfile.ZipFile(cast("Any", _Stream(out)), "w") as archive:
        with archive.open(_entry("words", zipfile.ZIP_DEFLATED), "w", force_zip64=True) as member:
            _write_header(member, f"<U{longest}", (n_words,))
            for first, last in blocks(n_words, 1 << 12):
                member.write(np.array(vectors.words[first:last], f"<U{longest}").tobytes())
        with archive.open(_entry("vectors", zipfile.ZIP_STORED), "w", force_zip64=True) as member:
            _write_header(member, "<f4", (n_words, dim))
            for first, last in blocks(n_words, 1 << 12):
                member.write(np.ascontiguousarray(vectors.vectors_of(slice(first, last), output), "<f4").tobytes())


def _entry(name: str, method: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(f"{name}.npy")  # of 1980: the same vectors give the same bytes
    info.compress_type = method
    return info


def _write_header(member: IO[bytes], descr: str, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(cast("Any", member), {"descr": descr, "fortran_order": False, "shape": shape})
