"""safetensors: 8 bytes of header length, a header in JSON, numbers. One tensor of two axes holds the vectors.

The words stand in the header's metadata as a JSON list `words`, or beside the file: in FILE.words.json, else in vocab.json, as a
list or as an object from word to row number. Numbers may be F32, F16, F64 or BF16.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from thalweg.errors import DamagedFileError, InputError, MissingFileError, near_misses, visible
from thalweg.files import MANIFEST_LIMIT, read_json, size_text
from thalweg.threads import blocks
from thalweg.words.formats.opening import Source
from thalweg.words.formats.rows import KINDS, Found, all_words, checked_shape, gathered, numbers

if TYPE_CHECKING:
    from thalweg.files import Writer
    from thalweg.words.vectors.readout import Readout

NAME = "vectors"
HEADER_LIMIT = MANIFEST_LIMIT
WORDS_LIMIT = 1 << 30  # bytes of a side file
ITEMSIZES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}


def looks_like(start: bytes) -> bool:
    """Whether a file begins with a length of up to 2^48 and a bracket, as no text does."""
    return start[6:9] == b"\0\0{"


def read(source: Source, *, allow_nonfinite: bool, tensor: str | None) -> Found:
    """The tensor of that name, or `vectors`, or the only one of two axes. Raises DamagedFileError, MissingFileError."""
    path = source.path
    with source.seekable() as (file, size):
        header, begin = _header(path, file, size)
        metadata = header.pop("__metadata__", {})
        name = tensor or _default(path, header)
        kind, n_words, dim, first = _entry(path, header, name, size - begin)
        listed = metadata.get("words") if isinstance(metadata, dict) else None
        words = all_words(*_words(path, listed, n_words))
        file.seek(begin + first)
        return gathered(path, words, numbers(path, file, kind, n_words * dim).reshape(n_words, dim), allow_nonfinite)


def _header(path: Path, file: IO[bytes], size: int) -> tuple[dict[str, Any], int]:
    """The header, and where the numbers begin."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) != 8 or length > size - 8 or length > HEADER_LIMIT:
        msg = f"{path} is not a safetensors file, or it was cut off: its header would have {length:,} bytes of {size:,} "
        raise DamagedFileError(f"{msg}(at most {size_text(HEADER_LIMIT)} are read)")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        msg = f"{path} is not a safetensors file: its header is not JSON ({error})"
        raise DamagedFileError(msg) from None
    if not isinstance(header, dict):
        msg = f"{path} is not a safetensors file: its header is no object of JSON"
        raise DamagedFileError(msg)
    return header, 8 + length


def _default(path: Path, header: dict[str, Any]) -> str:
    if NAME in header:
        return NAME
    flat = [name for name, entry in header.items() if isinstance(entry, dict) and len(_list(entry.get("shape"))) == 2]
    if len(flat) != 1:
        held = ", ".join(visible(name[:60]) for name in list(header)[:8]) or "none"
        msg = f"{path} has no tensor {NAME!r}; name another with --tensor (tensor=...): there are {held}"
        raise InputError(msg)
    return flat[0]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _entry(path: Path, header: dict[str, Any], name: str, room: int) -> tuple[str, int, int, int]:
    """The dtype, shape and place of a tensor that fits into the file, of which nothing is left over."""
    if name not in header:
        msg = f"{path} has no tensor {name!r:.80}.{near_misses(name, [other[:60] for other in list(header)[:20]])}"
        raise InputError(msg)
    entry = header[name] if isinstance(header[name], dict) else {}
    shape, offsets, kind = _list(entry.get("shape")), _list(entry.get("data_offsets")), str(entry.get("dtype"))
    if kind not in KINDS or len(shape) != 2:
        msg = f"{path}: the tensor {name!r:.80} is {kind!r:.20} {str(shape)[:80]}; it needs two axes, and F32, F16, F64 or BF16"
        raise DamagedFileError(msg)
    n_words, dim = checked_shape(path, *shape)
    ends = [_list(other.get("data_offsets"))[-1:] for other in header.values() if isinstance(other, dict)]
    end = max((last[0] for last in ends if last and isinstance(last[0], int)), default=-1)
    sound = len(offsets) == 2 and all(isinstance(n, int) and not isinstance(n, bool) for n in offsets)
    if (
        not sound
        or offsets[0] < 0
        or offsets[1] - offsets[0] != n_words * dim * ITEMSIZES[kind]
        or offsets[1] > room
        or end != room
    ):
        msg = f"{path}: the tensor {name!r:.80}, {n_words:,} words of {dim:,} numbers, does not fit into the file: it was cut off, "
        raise DamagedFileError(f"{msg}damaged or added to")
    return kind, n_words, dim, offsets[0]


def _words(path: Path, listed: object, n_words: int) -> tuple[Path, list[object]]:
    """Where the words were found, and as many of them as there are rows."""
    place = path
    if listed is None:
        beside = [path.with_name(f"{path.name}.words.json"), path.with_name("vocab.json")]
        place = next((file for file in beside if file.is_file()), path)
        if place is path:
            msg = f"{path} does not say which words its rows are: put them as a JSON list into {beside[0].name} beside it"
            raise MissingFileError(msg)
        words = read_json(place, WORDS_LIMIT)
    else:
        try:
            words = json.loads(listed) if isinstance(listed, str) else None
        except (ValueError, RecursionError) as error:
            msg = f"{path}: the words in its metadata are not JSON ({error})"
            raise DamagedFileError(msg) from None
    if isinstance(words, dict):
        words = _by_row(words)
    if not isinstance(words, list) or len(words) != n_words:
        n_found = f"{len(words):,}" if isinstance(words, list) else "no list of"
        msg = f"{place} has {n_found} words for {n_words:,} rows of vectors"
        raise DamagedFileError(msg)
    return place, words


def _by_row(numbered: dict[str, Any]) -> list[str] | None:
    """The keys of {word: row}, if the rows are 0, 1, 2, ... in any order."""
    rows = {row: word for word, row in numbered.items() if isinstance(row, int) and not isinstance(row, bool)}
    return (
        [rows[row] for row in range(len(rows))] if len(rows) == len(numbered) and all(k in rows for k in range(len(rows))) else None
    )


def write(out: Writer, vectors: Readout, output: str | None) -> None:
    """One tensor `vectors` (F32), the words in the metadata. Raises InputError if there are too many of them for a header."""
    n_words, dim = len(vectors), vectors.vectors_of([0], output).shape[1]
    header = {
        "__metadata__": {"words": json.dumps(vectors.words, ensure_ascii=False)},
        NAME: {"dtype": "F32", "shape": [n_words, dim], "data_offsets": [0, 4 * n_words * dim]},
    }
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "backslashreplace")
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        msg = f"the words take {size_text(len(text))} in the header, where a reader takes {size_text(HEADER_LIMIT)}: choose npz"
        raise InputError(msg)
    out.write(len(text).to_bytes(8, "little") + text)
    for first, last in blocks(n_words, 1 << 12):
        out.write(np.ascontiguousarray(vectors.vectors_of(slice(first, last), output), "<f4").tobytes())
