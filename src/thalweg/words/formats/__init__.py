"""Other programs' files of word vectors, read and written.

    word2vec      text: a line `n_words dim`, then the word and its numbers         .txt .vec
    word2vec-bin  the same with binary numbers                                      .bin
    glove         text without the first line
    npz           NumPy's arrays `words` and `vectors`                              .npz
    safetensors   a tensor `vectors`, the words in its metadata or beside it        .safetensors

Files come from strangers. A reader compares every promise with the bytes that are there before it takes memory, opens no pickle,
and ends in finite vectors of the promised shape or in a ThalwegError. Files compressed by gzip, bzip2 or xz are known by their
first bytes.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from thalweg.errors import InputError, near_misses, quoted
from thalweg.files import Writer, atomic, check_file
from thalweg.threads import blocks
from thalweg.words.formats import glove, npz, tensors, word2vec
from thalweg.words.formats.opening import Source, opened
from thalweg.words.formats.rows import Found
from thalweg.words.text.encodings import check_encoding
from thalweg.words.vectors.readout import Readout

if TYPE_CHECKING:
    from thalweg.progress import Progress

V = TypeVar("V", bound=Readout)
FORMATS = ("word2vec", "word2vec-bin", "glove", "npz", "safetensors")
SUFFIXES = {".txt": "word2vec", ".vec": "word2vec", ".bin": "word2vec-bin", ".npz": "npz", ".safetensors": "safetensors"}
PACKERS: dict[str, Callable[..., Any]] = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}  # end of a name
WRITERS: dict[str, Callable[[Any, Readout, str | None], None]] = {
    "word2vec": word2vec.write,
    "word2vec-bin": word2vec.write_binary,
    "glove": glove.write,
    "npz": npz.write,
    "safetensors": tensors.write,
}
GENSIM = (
    "a pickle, such as gensim's own format, which could run code when it is opened: where gensim is installed, write "
    'kv.save_word2vec_format("vectors.bin", binary=True) and read that'
)
FOREIGN = {  # first bytes -> what it is, and what to do
    **{b"\x80" + bytes([protocol]): GENSIM for protocol in range(2, 6)},
    b"\x93NUMPY": "a single NumPy array, without words: write np.savez(file, words=np.array(words), vectors=vectors)",
    b"\xba\x16\x4f\x2f": "fastText's own binary format: read the .vec file beside it",
    b"\x89HDF": "an HDF5 file: write its words and vectors with np.savez",
    b"\xff\xfe": "text in UTF-16: save it as UTF-8 (iconv -f utf-16 -t utf-8)",
    b"\xfe\xff": "text in UTF-16: save it as UTF-8 (iconv -f utf-16 -t utf-8)",
}


def read(
    kind: type[V],
    path: str | Path,
    format: str | None = None,
    *,
    allow_nonfinite: bool = False,
    tensor: str | None = None,
    encoding: str = "utf-8",
    progress: Progress | None = None,
) -> V:
    """Read another program's vectors, one for a word, as vectors of a kind. format: one of FORMATS; None looks at the content.

    allow_nonfinite: leave out words whose vectors hold NaN or infinity, which are an error otherwise; tensor: its name in
    safetensors; encoding: of the words, if they are not UTF-8. `info` says what was found: format, duplicates, replaced_tokens,
    alike, dropped. Raises MissingFileError, InputError for what is no file of vectors, or whose words are mostly in another
    encoding, DamagedFileError for one that does not hold what it promises.
    """
    path = Path(path)
    _check_format(format)
    with opened(path) as source:
        _check_foreign(source)
        shape = format or detect(source)
        if tensor is not None and shape != "safetensors":
            msg = f"{path} is read as {shape}, which has no tensor {tensor!r:.80}: only safetensors has names for them"
            raise InputError(msg)
        found = _found(source, shape, allow_nonfinite, tensor, check_encoding(encoding), progress)
    info = {
        "source": str(path),
        "format": shape,
        "language": "whitespace",
        "dim": found.vectors.shape[1],
        "duplicates": found.duplicates,
        "replaced_tokens": found.replaced_tokens,
        "alike": found.alike,
        "dropped": found.dropped,
    }
    return kind(found.words, None, found.vectors, info=info, name=str(path))


def _found(source: Source, kind: str, allow_nonfinite: bool, tensor: str | None, encoding: str, progress: Progress | None) -> Found:
    if kind == "npz":
        return npz.read(source, encoding=encoding, allow_nonfinite=allow_nonfinite)
    if kind == "safetensors":
        return tensors.read(source, allow_nonfinite=allow_nonfinite, tensor=tensor)
    reader = {"word2vec": word2vec.read, "word2vec-bin": word2vec.read_binary, "glove": glove.read}[kind]
    return reader(source, encoding=encoding, allow_nonfinite=allow_nonfinite, progress=progress)


def detect(source: Source) -> str:
    """The format, by the first bytes and the first two lines; the name of a file says nothing."""
    start = source.start
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "npz"
    if tensors.looks_like(start):
        return "safetensors"
    first, _, rest = start.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    if glove.has_header(first, rest.partition(b"\n")[0]):
        return "word2vec-bin" if word2vec.is_binary(start) else "word2vec"
    if b"\0" in start:
        msg = f"{source.path} is a binary file of another kind; there are readers for {', '.join(FORMATS)}"
        raise InputError(msg)
    return "glove"


def _check_format(format: str | None) -> None:
    if format is not None and format not in FORMATS:
        msg = f"format={format!r} is not known.{near_misses(str(format), FORMATS)}"
        raise InputError(msg)


def _check_foreign(source: Source) -> None:
    for magic, what in FOREIGN.items():
        if source.start.startswith(magic):
            msg = f"{source.path} is {what}"
            raise InputError(msg)


def write(
    vectors: Readout, path: str | Path, format: str | None = None, output: str | None = None, *, overwrite: bool = False
) -> str:
    """Write vectors for other programs, whole or not at all; returns the format.

    format: one of FORMATS, None takes the one that the suffix of the name says; a further .gz, .bz2 or .xz compresses. output:
    "sum", "concat" or "word", None as the vectors say themselves. Raises OutputExistsError if there is such a file and `overwrite`
    is False, InputError for what a format cannot hold.
    """
    path = Path(path)
    kind = check(path, format, overwrite)
    if not len(vectors):
        msg = "there are no words to write"
        raise InputError(msg)
    vectors.vectors_of([0], output)  # an unknown output is seen before anything is written
    _check_finite(vectors, output)
    with atomic(path) as out, _packed(path.suffix.lower(), out) as stream:
        WRITERS[kind](stream, vectors, output)
    return kind


def check(path: Path, format: str | None = None, overwrite: bool = False) -> str:
    """The format that a file will have. Raises before any work what `write` raises for a name, a format or a place."""
    _check_format(format)
    kind = format or format_of(path)
    if kind is None:
        msg = f"the name {str(path)!r} does not say a format: give one of {', '.join(FORMATS)} (--to)"
        raise InputError(msg)
    if path.suffix.lower() == ".zst":
        msg = f"{path}: nothing is written with Zstandard; .gz, .bz2 and .xz compress"
        raise InputError(msg)
    check_file(path, overwrite)
    return kind


def _packed(suffix: str, out: Writer) -> contextlib.AbstractContextManager[Any]:
    """A stream that compresses into another as the end of a name says."""
    if suffix == ".gz":  # neither a name nor a time in it: the same vectors give the same bytes
        return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=cast("Any", out), mtime=0)
    return PACKERS[suffix](out, "wb") if suffix in PACKERS else contextlib.nullcontext(out)


def format_of(path: Path) -> str | None:
    """The format that a name says, before the suffix of compression, or None."""
    return SUFFIXES.get((path.with_suffix("") if path.suffix.lower() in PACKERS else path).suffix.lower())


def _check_finite(vectors: Readout, output: str | None) -> None:
    import numpy as np

    for first, last in blocks(len(vectors), 1 << 12):
        finite = np.isfinite(vectors.vectors_of(slice(first, last), output)).all(axis=1)
        if not finite.all():
            msg = f"the vector of {quoted(vectors.words[first + int(np.argmin(finite))])} is not finite: nothing was written"
            raise InputError(msg)


__all__ = ["FORMATS", "read", "write"]
