"""Folders of vectors that are damaged, or made by someone who means harm: one line, status 1, no memory taken on a promise."""

from __future__ import annotations

import hashlib
import json
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from thalweg.cli import program
from thalweg.errors import ThalwegError
from thalweg.words import WordVectors

DATA = ["vectors.safetensors", "vocab.json", "word_counts.npy"]
FILES = ["manifest.json", *DATA]
WORDS = ["the", "cat", "sat", "mat", "dog", "机场"]


def vectors() -> WordVectors:
    u, k = np.random.default_rng(0).standard_normal((2, 6, 3)).astype(np.float32)
    return WordVectors(WORDS, np.arange(6, 0, -1), u, k, np.ones(3), energy_path=[2.0, 1.0], info={"language": "words"})


@pytest.fixture
def vec(tmp_path: Path) -> Path:
    vectors().save(tmp_path / "vec")
    return tmp_path / "vec"


def error(vec: Path) -> str:
    """What every question about the folder says: one line on stderr, status 1."""
    result = CliRunner().invoke(program, ["words", "related", str(vec), "the"])
    assert (result.exit_code, result.stdout) == (1, ""), result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert len(line) < 1500
    return line.removeprefix("Error: ")


def manifest_of(vec: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((vec / "manifest.json").read_text(encoding="utf-8"))
    return found


def change_manifest(vec: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = manifest_of(vec)
    change(manifest)
    (vec / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def replace(vec: Path, name: str, data: bytes) -> None:
    """Other content for a file, with a manifest that vouches for it: an attacker's checksums are right."""
    (vec / name).write_bytes(data)
    entry = {"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change_manifest(vec, lambda manifest: manifest["files"].__setitem__(name, entry))


# Damage


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_one_line(vec: Path, name: str) -> None:
    (vec / name).unlink()
    assert name in error(vec)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_off_anywhere_is_one_line(vec: Path, name: str) -> None:
    data = (vec / name).read_bytes()
    for length in {0, 1, 7, 8, 9, 10, len(data) // 2, len(data) - 2}:
        (vec / name).write_bytes(data[:length])
        assert name in error(vec)


@pytest.mark.parametrize("name", DATA)
def test_a_bit_flipped_anywhere_is_one_line(vec: Path, name: str) -> None:
    """The checksum of the manifest sees every one of them."""
    data = bytearray((vec / name).read_bytes())
    for place in range(len(data)):
        bit = 1 << place % 8
        data[place] ^= bit
        (vec / name).write_bytes(data)
        with pytest.raises(ThalwegError, match="does not have the checksum of its manifest"):
            WordVectors.load(vec)
        data[place] ^= bit
    data[len(data) // 2] ^= 1
    (vec / name).write_bytes(data)
    assert "was changed or damaged" in error(vec)


@pytest.mark.parametrize("bit", range(8))
def test_a_bit_flipped_in_the_manifest_is_an_error_or_harmless(vec: Path, bit: int) -> None:
    """It may change what is only recorded; what is loaded is right or refused, and never another kind of exception."""
    made = vectors()
    data = bytearray((vec / "manifest.json").read_bytes())
    for place in range(bit, len(data), 3):
        data[place] ^= 1 << bit
        (vec / "manifest.json").write_bytes(data)
        try:
            loaded = WordVectors.load(vec)
        except ThalwegError as error:
            assert str(error).isprintable()
        else:
            assert (loaded.words, loaded.word.tobytes(), loaded.context.tobytes()) == (
                WORDS,
                made.word.tobytes(),
                made.context.tobytes(),
            )
        data[place] ^= 1 << bit


def test_files_swapped_between_folders_are_one_line(vec: Path, tmp_path: Path) -> None:
    other = vectors()
    other.word[:] += 1
    other.save(tmp_path / "other")
    (vec / "vectors.safetensors").write_bytes((tmp_path / "other" / "vectors.safetensors").read_bytes())
    assert "does not have the checksum of its manifest" in error(vec)


# Manifests that lie


def keys(*path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        for key in path[:-1]:
            manifest = manifest[key]
        manifest[path[-1]] = value

    return change


VOCAB = ("files", "vocab.json")
MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a million million words": keys("n_words", value=10**12),
    "more words than there are": keys("n_words", value=2**31 - 1),
    "fewer words": keys("n_words", value=5),
    "no words": keys("n_words", value=0),
    "minus one word": keys("n_words", value=-1),
    "half a word": keys("n_words", value=5.5),
    "words in letters": keys("n_words", value="6"),
    "words true": keys("n_words", value=True),
    "words null": keys("n_words", value=None),
    "a million million dimensions": keys("dim", value=10**12),
    "another dim": keys("dim", value=4),
    "dim huge": keys("dim", value=65536),
    "dim missing": lambda manifest: manifest.pop("dim"),
    "no files": lambda manifest: manifest.pop("files"),
    "files a list": keys("files", value=[]),
    "files null": keys("files", value=None),
    "files a text": keys("files", value="vocab.json"),
    "file null": keys(*VOCAB, value=None),
    "file a list": keys(*VOCAB, value=["vocab.json"]),
    "path outside": keys(*VOCAB, "path", value="../vocab.json"),
    "path absolute": keys(*VOCAB, "path", value="/etc/passwd"),
    "path in a folder": keys(*VOCAB, "path", value="x/vocab.json"),
    "path empty": keys(*VOCAB, "path", value=""),
    "path dot": keys(*VOCAB, "path", value="."),
    "path dots": keys(*VOCAB, "path", value=".."),
    "path with NUL": keys(*VOCAB, "path", value="vocab\0.json"),
    "path too long": keys(*VOCAB, "path", value="x" * 300),
    "path a number": keys(*VOCAB, "path", value=3),
    "path null": keys(*VOCAB, "path", value=None),
    "path hostile": keys(*VOCAB, "path", value="\x1b[2Jvocab"),
    "path of another": keys(*VOCAB, "path", value="word_counts.npy"),
    "bytes wrong": keys(*VOCAB, "bytes", value=10**15),
    "bytes -1 of a missing file": lambda manifest: manifest["files"].update({"vocab.json": {"path": "gone", "bytes": -1}}),
    "bytes missing": lambda manifest: manifest["files"]["vocab.json"].pop("bytes"),
    "sha256 missing": lambda manifest: manifest["files"]["vocab.json"].pop("sha256"),
    "sha256 a list": keys(*VOCAB, "sha256", value=[]),
    "format another": keys("format", value="\x1b[31mthalweg-words"),
    "format a list": keys("format", value=["thalweg-words"]),
    "version newer": keys("version", value=10**9),
    "version a text": keys("version", value="1"),
    "version missing": lambda manifest: manifest.pop("version"),
    "incomplete": keys("complete", value=False),
    "energy_path a text": keys("energy_path", value="down"),
    "info a list": keys("info", value=[]),
    "empty": lambda manifest: manifest.clear(),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_lies_is_one_line(vec: Path, name: str) -> None:
    change_manifest(vec, MANIFESTS[name])
    assert str(vec) in error(vec)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"null", b"3", b'"thalweg-words"', b"\xff\xfe", b"\0" * 100, b'{"a": 1e999999}', b"[" * 100_000,
        b'{"format": "thalweg-words", "version": ' + b"9" * 5000 + b"}", b'{"format": NaN}', b"{\"format\": \"\\ud800\"}",
    ],
    ids=lambda text: f"{len(text)}-{hashlib.sha256(text).hexdigest()[:4]}",
)  # fmt: skip
def test_a_manifest_that_is_no_manifest_is_one_line(vec: Path, text: bytes) -> None:
    (vec / "manifest.json").write_bytes(text)
    assert str(vec) in error(vec)


def test_a_manifest_of_gigabytes_is_not_read(vec: Path) -> None:
    """A sparse file: it takes no space here, and would take all memory there."""
    with (vec / "manifest.json").open("r+b") as stream:
        stream.truncate(1 << 40)
    assert "more than the 67.1 MB that such a file may have" in error(vec)


def test_a_promise_takes_no_memory(vec: Path) -> None:
    """10^12 rows, in the manifest and in the headers: refused within what is there, at a limit of 1 GiB beyond it."""
    change_manifest(vec, keys("n_words", value=2**31 - 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ThalwegError):
        WordVectors.load(vec)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 17  # in KiB


# Files that lie, with right checksums


@pytest.mark.parametrize(
    "value",
    [
        WORDS[:5], [*WORDS, "x"], [*WORDS[:5], 3], [*WORDS[:5], None], [*WORDS[:5], ["x"]], {"0": "the"}, "sixchr", None, 6, [],
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_a_vocabulary_that_is_no_list_of_so_many_words_is_one_line(vec: Path, value: object) -> None:
    replace(vec, "vocab.json", json.dumps(value).encode())
    assert "vocab.json is not a list of 6 words" in error(vec)


@pytest.mark.parametrize("data", [b"", b"[", b"\xff", b"[" * 10**5, b'["a",' * 6, b"[" + b"9" * 9999 + b"]"], ids=len)
def test_a_vocabulary_that_is_no_json_is_one_line(vec: Path, data: bytes) -> None:
    replace(vec, "vocab.json", data)
    assert "vocab.json" in error(vec)


def npy_headers(good: bytes) -> dict[str, bytes]:
    return {
        "nothing": b"",
        "no magic": b"x" * len(good),
        "magic only": good[:8],
        "header cut off": good[:20],
        "version 2": good.replace(b"NUMPY\x01", b"NUMPY\x02"),
        "version 99": good.replace(b"NUMPY\x01", b"NUMPY\x63"),
        "header of 65535": good[:8] + b"\xff\xff" + good[10:],
        "header of 65535 brackets": good[:8] + b"\xff\xff" + b"(" * 65535,
        "bracket left open": good.replace(b"}", b" "),
        "brackets": good[:8] + b"\xf0\x0f" + b"[" * 4080,
        "objects": good.replace(b"<i8", b"|O8"),
        "structure": good.replace(b"'<i8'", b"'<i,i'"),
        "no dtype": good.replace(b"<i8", b"<q9"),
        "leading zero": good.replace(b"<i8", b"<08"),
        "big-endian": good.replace(b"<i8", b">i8"),
        "floats": good.replace(b"<i8", b"<f8"),
        "Fortran order": good.replace(b"False", b"True "),
        "more": good.replace(b"(6,)", b"(7,)"),
        "two axes": good.replace(b"(6,)", b"(2,3)"),
        "10^12": good.replace(b"(6,), }     ", b"(1000000000)"),
        "negative": good.replace(b"(6,)", b"(-6,)"),
        "a call": good.replace(b"(6,)", b"exit()"),
        "bytes as a key": good.replace(b"'shape'", b"b'shape'"),
        "NUL": good.replace(b"{", b"\0"),
        "data missing": good[:-8],
        "data left over": good + b"x" * 8,
    }


@pytest.mark.parametrize("name", npy_headers(b""))
def test_an_array_whose_header_lies_is_one_line(vec: Path, name: str) -> None:
    good = (vec / "word_counts.npy").read_bytes()
    replace(vec, "word_counts.npy", npy_headers(good)[name])
    assert "word_counts.npy" in error(vec)


def test_any_noise_in_an_array_header_is_one_line(vec: Path) -> None:
    good = (vec / "word_counts.npy").read_bytes()
    rng = random.Random(0)
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 5])):
            data[rng.randrange(128)] = rng.randrange(256)
        replace(vec, "word_counts.npy", bytes(data))
        try:
            assert WordVectors.load(vec).counts.tolist() == [6, 5, 4, 3, 2, 1]  # noise in the padding of the header
        except ThalwegError as caught:
            assert "word_counts.npy" in str(caught)


Change = Callable[[dict[str, Any]], object]
TENSORS: dict[str, Change] = {
    "tensor missing": lambda header: header.pop("context"),
    "tensor null": keys("word", value=None),
    "tensor a list": keys("word", value=[]),
    "tensor a text": keys("word", value="word"),
    "no offsets": lambda header: header["word"].pop("data_offsets"),
    "one offset": keys("word", "data_offsets", value=[0]),
    "three offsets": keys("word", "data_offsets", value=[0, 72, 144]),
    "offsets swapped": lambda header: header["word"]["data_offsets"].reverse(),
    "offsets negative": keys("word", "data_offsets", value=[-72, 0]),
    "offsets beyond the end": keys("word", "data_offsets", value=[10**15, 10**15 + 72]),
    "offsets of another size": keys("word", "data_offsets", value=[0, 71]),
    "offsets infinite": keys("word", "data_offsets", value=[0, float("inf")]),
    "offsets not numbers": keys("word", "data_offsets", value=["a", "b"]),
    "offsets null": keys("word", "data_offsets", value=[None, None]),
    "another dtype": keys("word", "dtype", value="F64"),
    "half precision": keys("word", "dtype", value="F16"),
    "unknown dtype": keys("word", "dtype", value="X99"),
    "dtype a list": keys("word", "dtype", value=["F32"]),
    "another shape": keys("word", "shape", value=[3, 6]),
    "huge shape": keys("word", "shape", value=[10**12, 3]),
    "negative shape": keys("word", "shape", value=[-6, -3]),
    "infinite shape": keys("word", "shape", value=[6, float("inf")]),
    "nested shape": keys("word", "shape", value=[[6], [3]]),
    "no shape": keys("word", "shape", value=[]),
}


def with_header(data: bytes, change: Change) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_whose_header_lies_are_one_line(vec: Path, name: str) -> None:
    replace(vec, "vectors.safetensors", with_header((vec / "vectors.safetensors").read_bytes(), TENSORS[name]))
    assert "vectors.safetensors" in error(vec)


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_a_header_of_any_promised_length_is_one_line(vec: Path, length: int) -> None:
    data = (vec / "vectors.safetensors").read_bytes()
    replace(vec, "vectors.safetensors", length.to_bytes(8, "little") + data[8:])
    assert "vectors.safetensors" in error(vec)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 7, b"\0" * 8, b"\2" + b"\0" * 7 + b"[]", b"\3" + b"\0" * 7 + b"\xff\xff\xff"], ids=len
)
def test_tensors_that_are_none_are_one_line(vec: Path, data: bytes) -> None:
    replace(vec, "vectors.safetensors", data)
    assert "vectors.safetensors" in error(vec)


# Numbers that are none


@pytest.mark.parametrize("tensor", ["word", "context", "spectrum"])
@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf]], ids=str)
def test_vectors_that_are_not_finite_are_one_line(tmp_path: Path, tensor: str, bad: list[float]) -> None:
    wv = vectors()
    getattr(wv, tensor).flat[: len(bad)] = bad
    wv.save(tmp_path / "vec")
    assert error(tmp_path / "vec") == f"{tmp_path}/vec: the tensor {tensor!r} holds values that are not finite"


def test_huge_vectors_are_finite(tmp_path: Path) -> None:
    wv = vectors()
    wv.word[:] = np.finfo(np.float32).max
    wv.spectrum[:] = np.finfo(np.float64).max
    wv.save(tmp_path / "vec")
    assert WordVectors.load(tmp_path / "vec").word[0, 0] == np.finfo(np.float32).max


# Other folders


def test_another_kind_of_folder_is_one_line(tmp_path: Path) -> None:
    assert (
        error(tmp_path) == f"{tmp_path} has no manifest.json: it is not a directory made by thalweg, or its making was interrupted"
    )
    (tmp_path / "file").write_text("x")
    assert error(tmp_path / "file") == f"{tmp_path}/file is a file, not a directory made by thalweg"
    (tmp_path / "manifest.json").mkdir()
    assert "manifest.json" in error(tmp_path)
    assert "there is no file or directory" in error(tmp_path / "nowhere")
