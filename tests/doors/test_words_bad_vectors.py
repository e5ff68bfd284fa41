"""Other programs' vectors that are damaged, or made by someone who means harm: one line, status 1, no memory taken on a promise."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from thalweg.cli import program
from thalweg.errors import ThalwegError, visible
from thalweg.words import WordVectors, formats

WORDS = ["the", "cat", "机场"]
NUMBERS = np.array([[0.5, -1, 2], [3, 4.25, 1e-9], [7, 8, -9]], "<f4")


def valid() -> dict[str, bytes]:
    """A file of every format, of the same vectors."""
    text = b"".join(b"%b %b\n" % (w.encode(), b" ".join(b"%.9g" % x for x in row)) for w, row in zip(WORDS, NUMBERS, strict=True))
    binary = b"".join(w.encode() + b" " + row.tobytes() + b"\n" for w, row in zip(WORDS, NUMBERS, strict=True))
    archive = io.BytesIO()
    np.savez(archive, words=np.array(WORDS), vectors=NUMBERS)
    header = {"__metadata__": {"words": json.dumps(WORDS)}, "vectors": {"dtype": "F32", "shape": [3, 3], "data_offsets": [0, 36]}}
    return {
        "word2vec": b"3 3\n" + text,
        "word2vec-bin": b"3 3\n" + binary,
        "glove": text,
        "npz": archive.getvalue(),
        "safetensors": tensors(header),
    }


def tensors(header: object, data: bytes = NUMBERS.tobytes()) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


VALID = valid()


def error(tmp_path: Path, data: bytes, format: str | None = None, *options: str) -> str:
    """What `words import` says of a file: one line on stderr, status 1, quickly, with little memory and nothing written."""
    (tmp_path / "file").write_bytes(data)
    choice = [] if format is None else ["--format", format]
    tracemalloc.start()
    began = time.monotonic()
    try:
        arguments = ["words", "import", str(tmp_path / "file"), "--out", str(tmp_path / "vec"), "--quiet", *choice, *options]
        result = CliRunner().invoke(program, arguments)
        assert tracemalloc.get_traced_memory()[1] < (40 << 20) + 20 * len(data)
        assert time.monotonic() - began < 10
    finally:
        tracemalloc.stop()
    assert (result.exit_code, result.stdout) == (1, ""), result.stderr
    assert not (tmp_path / "vec").exists()
    [line] = result.stderr.splitlines()
    assert line.startswith(f"Error: {tmp_path}/file")
    assert len(line) < 600
    return line.removeprefix(f"Error: {tmp_path}/file").lstrip(" :,")


def test_the_files_that_are_damaged_here_are_sound_before(tmp_path: Path) -> None:
    for format, data in VALID.items():
        (tmp_path / "file").write_bytes(data)
        found = WordVectors.read(tmp_path / "file")
        assert (found.info["format"], found.words, found.word.tobytes()) == (format, WORDS, NUMBERS.tobytes())


# Promises

PROMISES = {
    b"1000000000000 300": "promises 1000000000000 words of 300 dimensions: there can be 1 to 2,147,483,647 words",
    b"2147483648 1": "promises 2147483648 words",
    b"2147483647 65536": "promises 2,147,483,647 words of 65,536 dimensions",
    b"2147483647 1": "promises 2,147,483,647 words of 1 dimensions",
    b"1000000000 300": "promises 1,000,000,000 words of 300 dimensions",
    b"3 65537": "promises 3 words of 65537 dimensions",
    b"3 1000000000000": "promises 3 words of 1000000000000 dimensions",
    b"-3 3": "promises -3 words",
    b"3 -3": "promises 3 words of -3 dimensions",
    b"0 3": "promises 0 words",
    b"3 0": "promises 3 words of 0 dimensions",
    b"4 3": "",
    b"2 3": "more follows after the 2 words that the first line promises",
    b"3 4": "",
    b"3 2": "",
    b"3 " + b"9" * 120: "promises 3 words of 9999",
}


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("format", ["word2vec", "word2vec-bin"])
def test_a_header_that_lies_is_one_line(tmp_path: Path, format: str, promise: bytes) -> None:
    assert PROMISES[promise] in error(tmp_path, promise + VALID[format].removeprefix(b"3 3"), format)
    assert error(tmp_path, promise + VALID[format].removeprefix(b"3 3"))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("format", ["word2vec", "word2vec-bin"])
def test_a_promise_in_a_compressed_file_takes_no_memory(
    tmp_path: Path, format: str, compress: Callable[[bytes], bytes]
) -> None:  # fmt: skip
    """The length is not known there: memory grows with what arrives."""
    data = compress(b"2147483647 3" + VALID[format].removeprefix(b"3 3"))
    assert "promises 2,147,483,647 words and ends after 3: it was cut off" in error(tmp_path, data)
    assert error(tmp_path, compress(b"2000000000 60000" + VALID[format].removeprefix(b"3 3")))


@pytest.mark.parametrize(
    "header", [b"", b"three words", b"3", b"3 3 3", b"3.0 3", b"0x3 3", b"3 3" + b" " * 126, b"\xff\xfe3 3", b"3,3"]
)
@pytest.mark.parametrize("format", ["word2vec", "word2vec-bin"])
def test_a_header_that_is_none_is_one_line(tmp_path: Path, format: str, header: bytes) -> None:
    assert error(tmp_path, header + VALID[format].removeprefix(b"3 3"), format)


# Damage


@pytest.mark.parametrize("format", VALID)
def test_a_file_cut_off_anywhere_is_one_line_or_has_lost_whole_rows_only(tmp_path: Path, format: str) -> None:
    """GloVe's text does not say how many rows there are, and a number cut in the last line is a shorter number."""
    data = VALID[format]
    for length in range(1, len(data) - 1):
        (tmp_path / "file").write_bytes(data[:length])
        for choice in (format, None):
            try:
                found = WordVectors.read(tmp_path / "file", choice)
            except ThalwegError as caught:
                assert visible(str(caught)) == str(caught)
                continue
            assert np.isfinite(found.word).all()
            assert format == "glove" or (format == "word2vec" and (choice is None or length > len(data) - 3))
            assert found.words[: len(found) - 1] == WORDS[: len(found) - 1] or choice is None


@pytest.mark.parametrize("format", VALID)
def test_garbage_at_the_end_is_one_line(tmp_path: Path, format: str) -> None:
    if format == "npz":  # a zip archive is found from its end, and may stand behind and before other things
        assert error(tmp_path, VALID[format] + b"x" * 70_000)
        return
    assert error(tmp_path, VALID[format] + b"garbage")
    assert error(tmp_path, VALID[format] + VALID[format][:-5], format)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("format", VALID)
def test_a_compressed_file_cut_off_or_changed_is_one_line(tmp_path: Path, format: str, compress: Callable[[bytes], bytes]) -> None:
    packed = compress(VALID[format])
    assert "is damaged" in error(tmp_path, packed[: len(packed) // 2])
    assert error(tmp_path, packed[: len(packed) // 2], format)
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0x55
    assert error(tmp_path, bytes(flipped))


TEXTS = {
    b"the 1 2 3\ncat 4 5\nmat 7 8 9\n": 'line 1: there are more than 2 numbers after "the"',
    b"the 1 2 3\nsat 4 5 6\ncat 4 5 6 7\n": 'line 3: there are more than 3 numbers after "cat"; the file is damaged, or',
    b"the 1 2 3\nsat 4 5 6\ncat 4 5\nmat 7 8 9\n": 'line 3: 2 numbers after "cat", where 3 were expected',
    b"the 1 2 3\nsat 4 5 6\ncat 4.5 4.5 5.5 6.5\n": 'line 3: there are more than 3 numbers after "cat"',
    b"the 1 2 3\nsat 4 5 6\ncat 4 x 6\n": 'line 3: "x" is not a number; 3 were expected after the word',
    b"the 1 2 3\nsat 4 5 6\n\ncat 4 5 6\n": "line 4: a row follows after an empty line",
    b"the 1 2 3\nsat 4 5 6\n7 8 9\n": "line 3: 2 numbers",
    b"the 1 2 3\nsat 4 \xff 6\n": 'line 2: "\ufffd" is not a number',
    b"the 1 2 3\nsat 4 0x5 6\n": 'line 2: "0x5" is not a number',
    b"the 1 2 3\nsat 4 1,5 6\n": 'line 2: "1,5" is not a number',
    b"the 1 2 3\nsat 4 \x1b[31m 6\n": 'line 2: "\\x1b[31m" is not a number',
    b"the\ncat\nsat\n": "lines 1 and 2: no numbers after a word; this is no file of word vectors",
    b"\n\nthe 1 2 3\n": "line 1: it is empty",
    b"It was a dark night.\nAnd it rained.\n": "is not a number",
    b"w" * 4097 + b" 1 2 3\nsat 4 5 6\n": "line 1: the word has 4,097 bytes, more than 4,096",
    b"a " + b" ".join([b"1"] * 65537) + b"\nb " + b" ".join([b"1"] * 65537): "of 65537 dimensions",
    b"a 1 2 3\n" + b"0" * 10_000_000: "line 2: more than",
    b"a 1 2 3\nb 1 2 3\nc " + b"0" * 10_000_000: "line 3: more than",
    b"0" * 10_000_000: "line 1: more than",
}


@pytest.mark.parametrize("data", TEXTS, ids=lambda data: repr(data[:40]))
def test_text_that_is_not_rows_of_numbers_is_one_line_that_names_the_line(tmp_path: Path, data: bytes) -> None:
    assert TEXTS[data] in error(tmp_path, data, "glove")
    assert TEXTS[data] in error(tmp_path, data)


@pytest.mark.parametrize("bad", ["nan", "-nan", "inf", "-inf", "NaN", "Infinity", "1e39", "-1e999"])
def test_numbers_that_are_not_finite_are_one_line_that_names_the_word(tmp_path: Path, bad: str) -> None:
    for header in (b"", b"3 3\n"):
        data = header + f"the 1 2 3\ncat 4 {bad} 6\nsat {bad} 8 9\n".encode()
        expected = 'the vector of "cat" (and of 1 more) is not finite; leave such words out with --allow-nonfinite'
        assert expected in error(tmp_path, data)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("format", ["word2vec-bin", "npz", "safetensors"])
def test_binary_numbers_that_are_not_finite_are_one_line(tmp_path: Path, format: str, bad: float) -> None:
    made = WordVectors(WORDS, None, NUMBERS.copy())
    made.export(tmp_path / "sound", format)
    data = (tmp_path / "sound").read_bytes().replace(NUMBERS[1, 1].tobytes(), np.float32(bad).tobytes())
    if format == "npz":  # its checksum sees the change
        archive = io.BytesIO()
        numbers = NUMBERS.copy()
        numbers[1, 1] = bad
        np.savez(archive, words=np.array(WORDS), vectors=numbers)
        assert "Bad CRC-32" in error(tmp_path, data)
        data = archive.getvalue()
    assert 'the vector of "cat" is not finite' in error(tmp_path, data)
    (tmp_path / "file").write_bytes(data)
    found = WordVectors.read(tmp_path / "file", allow_nonfinite=True)
    assert (found.words, found.info["dropped"], found.word.tobytes()) == (["the", "机场"], 1, NUMBERS[[0, 2]].tobytes())


def test_nothing_but_words_that_are_not_finite_is_one_line(tmp_path: Path) -> None:
    assert "holds no word with a vector" in error(tmp_path, b"the nan 1\ncat 1 nan\n", None, "--allow-nonfinite")


BINARIES = {
    b"1 2\n" + b"w" * 5000 + b" 12345678": "row 1: no word of up to 4,096 bytes begins here",
    b"2 2\nthe 12345678" + b"w" * 5000 + b" 12345678": "row 2: no word of up to 4,096 bytes begins here",
    b"1 2\n 12345678\n": "row 1: the word is empty",
    b"2 2\nthe 12345678\n\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20": "row 2: the word is empty",
    b"1 2\nthe 1234567": "promises 1 words and ends after 0",
    b"1 2\nthe": "promises 1 words of 2 dimensions",
    b"1 2\nthe 12345678garbage": "more follows after the 1 words",
}


@pytest.mark.parametrize("data", BINARIES, ids=lambda data: repr(data[:20]))
def test_binary_rows_that_are_none_are_one_line(tmp_path: Path, data: bytes) -> None:
    assert BINARIES[data] in error(tmp_path, data, "word2vec-bin")


# Archives


def archive(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return stream.getvalue()


def npy(array: Any, **changes: str) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    data = stream.getvalue()
    for old, new in changes.items():
        data = data.replace(old.encode(), new.encode())
    return data


def header(text: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    width = 2 if version[0] == 1 else 4
    return b"\x93NUMPY" + version + len(text).to_bytes(width, "little") + text.encode() + data


W, V = npy(np.array(WORDS)), npy(NUMBERS)


class Harm:
    """Unpickling it writes a file."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, ("harmed",)


def shaped(shape: str, descr: str = "<f4") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"


ARCHIVES: dict[str, Callable[[], tuple[bytes, str]]] = {
    "nothing": lambda: (archive(), "has no array 'words' (it holds nothing)"),
    "no words": lambda: (archive(vectors=V), "has no array 'words' (it holds \"vectors.npy\")"),
    "no vectors": lambda: (archive(words=W), "has no array 'vectors'"),
    "words that are objects": lambda: (archive(words=npy(np.array(WORDS, object)), vectors=V), "holds Python objects"),
    "vectors that are objects": lambda: (archive(words=W, vectors=npy(np.array([Harm()] * 3, object))), "holds Python objects"),
    "words that are numbers": lambda: (archive(words=V, vectors=V), "the array 'words' is float32 (3, 3)"),
    "vectors that are words": lambda: (archive(words=W, vectors=W), "the array 'vectors' is <U3 (3,)"),
    "vectors that are whole numbers": lambda: (archive(words=W, vectors=npy(np.ones((3, 3), int))), "neither floating-point"),
    "complex vectors": lambda: (archive(words=W, vectors=npy(np.ones((3, 3), complex))), "neither floating-point numbers"),
    "structures": lambda: (archive(words=W, vectors=npy(np.ones(3, "f4,f4"))), "neither floating-point"),
    "one axis": lambda: (archive(words=W, vectors=npy(NUMBERS[0])), "the array 'vectors' is float32 (3,)"),
    "three axes": lambda: (archive(words=W, vectors=npy(NUMBERS[None])), "the array 'vectors' is float32 (1, 3, 3)"),
    "too few rows": lambda: (archive(words=W, vectors=npy(NUMBERS[:2])), "a row of numbers for each of 3 words"),
    "no columns": lambda: (archive(words=W, vectors=npy(NUMBERS[:, :0])), "promises 3 words of 0 dimensions"),
    "an empty word": lambda: (archive(words=npy(np.array(["a", "", "c"])), vectors=V), "word 2: the word is empty"),
    "words without letters": lambda: (archive(words=npy(np.array(["", "", ""], "U0")), vectors=V), "word"),
    "words too long": lambda: (archive(words=npy(np.array(["a", "b", "c"], "U4097")), vectors=V), "has room for 4097 letters"),
    "no words at all": lambda: (archive(words=npy(np.array([], "U1")), vectors=npy(NUMBERS[:0])), "promises 0 words"),
    "code points beyond Unicode": lambda: (archive(words=npy(np.array([2**31] * 3, "<u4").view("U1")), vectors=V), "no letters"),
    "a promise of 10^12 rows": lambda: (archive(words=W, vectors=header(shaped("(1000000000000, 3)"))), "is not what its"),
    "a promise of 10^12 words": lambda: (archive(words=header(shaped("(1000000000000,)", "<U9")), vectors=V), "is not what its"),
    "a product that overflows": lambda: (archive(words=W, vectors=header(shaped("(4294967296, 4294967296)"))), "is not what its"),
    "an axis of 30 digits": lambda: (archive(words=W, vectors=header(shaped(f"({10**29}, 3)"))), "has no header that NumPy"),
    "a negative axis": lambda: (archive(words=W, vectors=header(shaped("(-3, 3)"), NUMBERS.tobytes())), "has no header that NumPy"),
    "a header of code": lambda: (archive(words=W, vectors=header("__import__('os').mkdir('harmed')")), "has no header that NumPy"),
    "two shapes": lambda: (archive(words=W, vectors=header(shaped("(3, 3)") * 2, NUMBERS.tobytes())), "has no header that NumPy"),
    "a header of 4 GB": lambda: (archive(words=W, vectors=b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"{" * 9000), "has no header"),
    "another version": lambda: (archive(words=W, vectors=b"\x93NUMPY\x09" + V[7:]), "has no header that NumPy would write"),
    "no magic": lambda: (archive(words=W, vectors=b"x" * 200), "has no header that NumPy would write"),
    "data cut off": lambda: (archive(words=W, vectors=V[:-1]), "is not what its"),
    "data left over": lambda: (archive(words=W, vectors=V + b"x"), "is not what its"),
    "text": lambda: (archive(words=W)[:4] + b"word 1 2 3\n" * 9, "is a damaged zip archive, or none"),
    "bzip2 inside": lambda: (archive(zipfile.ZIP_BZIP2, words=W, vectors=V), "compressed in a way that NumPy does not write"),
    "lzma inside": lambda: (archive(zipfile.ZIP_LZMA, words=W, vectors=V), "compressed in a way that NumPy does not write"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_holds_something_else_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    data, message = ARCHIVES[name]()
    assert message in error(tmp_path, data)
    assert not (tmp_path / "harmed").exists()


def test_an_archive_of_zeros_is_not_unpacked(tmp_path: Path) -> None:
    """A bomb: 400 kB that would be 400 MB."""
    zeros = header(shaped("(3, 32768)")) + bytes(3 * 32768 * 4)
    small = archive(zipfile.ZIP_DEFLATED, words=W, vectors=zeros)
    (tmp_path / "file").write_bytes(small)
    assert WordVectors.read(tmp_path / "file").word.shape == (3, 32768)  # a sparse one is not suspect while it is small
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(header(shaped("(1638400, 64)"))) + b"".join(packer.compress(bytes(1 << 22)) for _ in range(100))
    packed += packer.flush()
    bomb = archive(words=W, vectors=packed)
    size = len(header(shaped("(1638400, 64)"))) + (100 << 22)
    method, claimed = struct.pack("<H", 8), struct.pack("<II", len(packed), size)
    for place in (bomb.rindex(b"PK\x03\x04"), bomb.rindex(b"PK\x01\x02")):
        shift = 0 if bomb[place : place + 4] == b"PK\x03\x04" else 2
        bomb = bomb[: place + 8 + shift] + method + bomb[place + 10 + shift :]
        bomb = bomb[: place + 18 + shift] + claimed + bomb[place + 26 + shift :]
    assert "it is damaged, or a bomb" in error(tmp_path, bomb)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("format", VALID)
def test_a_compressed_file_of_zeros_is_not_unpacked(tmp_path: Path, format: str, compress: Callable[[bytes], bytes]) -> None:
    start = {"npz": b"PK\x03\x04", "safetensors": b"\xff" * 4 + b"\0" * 4 + b"{"}.get(format, VALID[format][:40])
    assert error(tmp_path, compress(start + bytes(100 << 20)), format)


# Tensors

META = {"words": json.dumps(WORDS)}
ENTRY = {"dtype": "F32", "shape": [3, 3], "data_offsets": [0, 36]}


def entry(**changes: object) -> dict[str, object]:
    return {"__metadata__": META, "vectors": ENTRY | changes}


TENSORS: dict[str, tuple[object, str]] = {
    "no tensors": ({"__metadata__": META}, "has no tensor 'vectors'"),
    "two others": ({"__metadata__": META, "a": ENTRY, "b": ENTRY}, "there are a, b"),
    "no object": (b"[]", "its header is no object of JSON"),
    "null": (entry(dtype=None), "the tensor 'vectors' is 'None'"),
    "a tensor null": ({"__metadata__": META, "vectors": None}, "the tensor 'vectors'"),
    "a tensor a list": ({"__metadata__": META, "vectors": [1]}, "the tensor 'vectors'"),
    "whole numbers": (entry(dtype="I32"), "is 'I32' [3, 3]; it needs two axes, and F32, F16, F64 or BF16"),
    "dtype a list": (entry(dtype=["F32"]), "it needs two axes"),
    "one axis": (entry(shape=[9]), "is 'F32' [9]; it needs two axes"),
    "no shape": (entry(shape=None), "it needs two axes"),
    "10^12 rows": (entry(shape=[10**12, 3], data_offsets=[0, 12 * 10**12]), "promises 1000000000000 words"),
    "10^9 rows": (entry(shape=[10**9, 3], data_offsets=[0, 12 * 10**9]), "does not fit into the file"),
    "negative": (entry(shape=[-3, -3]), "promises -3 words of -3 dimensions"),
    "halves": (entry(shape=[3.0, 3.0]), "promises 3.0 words"),
    "letters": (entry(shape=["3", "3"]), "promises '3' words"),
    "no offsets": (entry(data_offsets=None), "does not fit into the file"),
    "one offset": (entry(data_offsets=[0]), "does not fit into the file"),
    "offsets swapped": (entry(data_offsets=[36, 0]), "does not fit into the file"),
    "offsets negative": (entry(data_offsets=[-36, 0]), "does not fit into the file"),
    "offsets beyond the end": (entry(data_offsets=[36, 72]), "does not fit into the file"),
    "offsets true": (entry(data_offsets=[False, 36]), "does not fit into the file"),
    "offsets letters": (entry(data_offsets=["0", "36"]), "does not fit into the file"),
    "offsets in floats": (entry(data_offsets=[0.0, 36.0]), "does not fit into the file"),
    "another size": (entry(dtype="F64"), "does not fit into the file"),
    "words not JSON": ({"__metadata__": {"words": "["}, "vectors": ENTRY}, "the words in its metadata are not JSON"),
    "words nested": ({"__metadata__": {"words": "[" * 100_000}, "vectors": ENTRY}, "the words in its metadata are not JSON"),
    "words too few": ({"__metadata__": {"words": '["a"]'}, "vectors": ENTRY}, "has 1 words for 3 rows"),
    "words null": ({"__metadata__": {"words": "null"}, "vectors": ENTRY}, "has no list of words for 3 rows"),
    "words a list": ({"__metadata__": {"words": WORDS}, "vectors": ENTRY}, "has no list of words for 3 rows"),
    "words numbers": ({"__metadata__": {"words": "[1, 2, 3]"}, "vectors": ENTRY}, "word 1: 1 is not a text"),
    "words empty": ({"__metadata__": {"words": '["a", "", "b"]'}, "vectors": ENTRY}, "word 2: the word is empty"),
    "rows twice": ({"__metadata__": {"words": '{"a": 0, "b": 0, "c": 1}'}, "vectors": ENTRY}, "has no list of words"),
    "metadata null": ({"__metadata__": None, "vectors": ENTRY}, "does not say which words its rows are"),
    "metadata missing": ({"vectors": ENTRY}, "does not say which words its rows are"),
}  # fmt: skip


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_lie_are_one_line(tmp_path: Path, name: str) -> None:
    value, message = TENSORS[name]
    assert message in error(tmp_path, tensors(value), "safetensors")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\xf0\xfa\x02\0\0\0\0{", "its header would have 50,000,000 bytes of 9"),
        (b"\0" * 5 + b"\1\0\0{}", "its header would have 1,099,511,627,776 bytes"),
        (b"\x05\0\0\0\0\0\0\0{nope", "its header is not JSON"),
        (b"\x40\x0d\x03\0\0\0\0\0{" + b'"a":[' * 39_999 + b"    ", "its header is not JSON"),
        (b"\x02\0\0\0\0\0\0\0{}", "has no tensor 'vectors'"),
        (b"\x03\0\0\0\0\0\0\0{\xff}", "its header is not JSON"),
    ],
)
def test_a_header_of_tensors_that_is_none_is_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    assert message in error(tmp_path, data)


def test_a_header_of_100_megabytes_is_not_read(tmp_path: Path) -> None:
    """Also where the file has that length: a sparse one here."""
    with (tmp_path / "file").open("wb") as stream:
        stream.write((100 << 20).to_bytes(8, "little") + b"{")
        stream.truncate(1 << 30)
    tracemalloc.start()
    with pytest.raises(ThalwegError, match=r"its header would have 104,857,600 bytes .*\(at most 67\.1 MB are read\)"):
        WordVectors.read(tmp_path / "file")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_words_beside_tensors_that_are_damaged_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(tensors({"vectors": ENTRY}))
    for text in ("[", "3", '"abc"', '["a", "b"]', '["a", "b", 3]', '{"a": 0, "b": 1, "c": 3}', '{"a": 0, "b": 1, "c": true}'):
        (tmp_path / "file.words.json").write_text(text)
        with pytest.raises(ThalwegError, match=r"file\.words\.json"):
            WordVectors.read(tmp_path / "file")


# Other files


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_not_opened_and_the_error_says_how_to_convert_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    for data in (pickle.dumps(Harm(), protocol), gzip.compress(pickle.dumps(Harm(), protocol))):
        for format in (None, *formats.FORMATS):
            assert 'write kv.save_word2vec_format("vectors.bin", binary=True) and read that' in error(tmp_path, data, format)
    assert not (tmp_path / "harmed").exists()


def test_files_that_gensim_saves_are_refused_with_the_way_to_convert_them(tmp_path: Path) -> None:
    pytest.importorskip("gensim")
    WordVectors(WORDS, None, NUMBERS).to_gensim().save(str(tmp_path / "x.kv"))
    assert "kv.save_word2vec_format" in error(tmp_path, (tmp_path / "x.kv").read_bytes())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (V, "is a single NumPy array, without words"),
        (b"\xba\x16\x4f\x2f" + b"\0" * 99, "is fastText's own binary format: read the .vec file beside it"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        ("the 1 2 3\ncat 4 5 6\n".encode("utf-16"), "is text in UTF-16: save it as UTF-8"),
        (b"\x7fELF" + b"\0" * 99, "is a binary file of another kind"),
        (b"\0", "is a binary file of another kind"),
    ],
)
def test_files_of_other_kinds_are_one_line_that_says_what_they_are(tmp_path: Path, data: bytes, message: str) -> None:
    assert message in error(tmp_path, data)


def test_a_folder_or_nothing_is_one_line(tmp_path: Path) -> None:
    WordVectors(WORDS, None, NUMBERS).save(tmp_path / "vec")
    with pytest.raises(ThalwegError, match=r"is a folder, .* it is one of thalweg's own: WordVectors\.load opens it"):
        WordVectors.read(tmp_path / "vec")
    with pytest.raises(ThalwegError, match="is a folder, not a file of vectors; name a file in it"):
        WordVectors.read(tmp_path)
    with pytest.raises(ThalwegError, match="there is no file"):
        WordVectors.read(tmp_path / "nowhere")


@pytest.mark.parametrize("format", VALID)
def test_a_pipe_is_read_like_a_file(tmp_path: Path, format: str) -> None:
    """As in `thalweg words import <(zcat glove.gz) --out vec`: its length is not known either."""
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(VALID[format]))
    writer.start()
    found = WordVectors.read(tmp_path / "pipe")
    writer.join()
    assert (found.words, found.word.tobytes()) == (WORDS, NUMBERS.tobytes())


def test_hostile_words_are_shown_as_codes(tmp_path: Path) -> None:
    assert '"\\x1b]0;x\\x07\\u202e"' in error(tmp_path, "\x1b]0;x\x07\u202e nan 1\nb 1 2\n".encode())
