"""Corpora, questions and output folders that cannot be used: one line, the right status, nothing left behind."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from thalweg.cli import program
from thalweg.words import WordVectors

TEXT = b"the cat sat on the mat and the dog sat on the cat\n" * 20
NOISE = random.Random(0).randbytes(5000).replace(b"\0", b"x")


def run(*args: object, **options: Any) -> Result:
    return CliRunner().invoke(program, ["words", *map(str, args)], **options)


def error(result: Result, status: int = 1) -> str:
    """The one line that says what is wrong: the last on stderr; nothing on stdout, no traceback."""
    lines = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (status, ""), result.stderr
    assert [k for k, line in enumerate(lines) if line.startswith("Error: ")] == [len(lines) - 1]
    assert "Traceback" not in result.stderr
    return lines[-1].removeprefix("Error: ")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def vec(tmp_path: Path) -> Path:
    """Vectors of six words in a folder."""
    words = ["the", "cat", "sat", "mat", "dog", "机场"]
    u, k = np.random.default_rng(0).standard_normal((2, 6, 3)).astype(np.float32)
    WordVectors(words, np.arange(6, 0, -1), u, k, np.ones(3)).save(tmp_path / "vec")
    return tmp_path / "vec"


# Corpora


def flipped(data: bytes) -> bytes:
    """A file damaged in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes(b ^ 0x55 for b in data[middle : middle + 8]) + data[middle + 8 :]


PACKED = b"".join(b"%d the cat sat %d\n" % (k * k * 7919 % 10007, k) for k in range(3000))  # does not compress too well
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "empty gzip": (gzip.compress(b""), "is empty"),
    "white space": (b" \n\t \n", r"holds no words \(5 bytes read\)"),
    "punctuation": (b"... --- !!!\n", "holds no words"),
    "NUL": (TEXT + b"\0", "nothing to read: .* is a binary file"),
    "random bytes": (NOISE, r"nothing to read: .* is not UTF-8 \(\d\d% of its first bytes cannot be decoded\)"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + NOISE, "is a binary file"),
    "binary in gzip": (gzip.compress(b"\0" * 5000), "is a binary file"),
    "UTF-16": (TEXT.decode().encode("utf-16"), "is text in UTF-16: pass --encoding utf-16"),
    "one word": (b"word " * 100, "1 of 1 words occurs at least 5 times in 100 tokens; vectors need two words or more"),
    "rare words": (b"just a few words of text", "0 of 6 words occur at least 5 times in 6 tokens"),
    "one word on a line": (b"cat\ndog\n" * 50, "no two different words stand within a window of each other"),
    "gzip cut off": (gzip.compress(PACKED)[:-9], "is damaged"),
    "bzip2 cut off": (bz2.compress(PACKED)[:-9], "is damaged"),
    "xz cut off": (lzma.compress(PACKED)[:-9], "is damaged"),
    "gzip flipped": (flipped(gzip.compress(PACKED)), "is damaged"),
    "bzip2 flipped": (flipped(bz2.compress(PACKED)), "is damaged"),
    "xz flipped": (flipped(lzma.compress(PACKED)), "is damaged"),
    "gzip with a tail": (gzip.compress(TEXT) + b"tail", "is damaged"),
    "gzip header only": (b"\x1f\x8b", "is damaged"),
    "bzip2 header only": (b"BZh9", "is damaged"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, name: str) -> None:
    data, message = BAD_FILES[name]
    (tmp_path / "corpus.txt").write_bytes(data)
    said = error(run("fit", tmp_path / "corpus.txt", "--out", tmp_path / "vec"))
    assert re.search(message, said), said
    assert "corpus.txt" in said or "words" in said
    assert not (tmp_path / "vec").exists()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_one_damaged_file_of_a_folder_is_named_with_what_to_do_and_can_be_passed_over(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    """One download that broke off used to end a fit of a whole folder, with no way on."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.txt").write_bytes(TEXT)
    (folder / "b.txt.gz").write_bytes(pack(PACKED * 30)[:-40])
    (folder / "c.txt").write_bytes(TEXT)
    given = ("--out", tmp_path / "vec", "--dim", 2, "--epochs", 0)
    said = error(run("fit", folder, *given))
    assert "b.txt.gz is damaged" in said
    assert said.endswith("fetch it again, or read of it what can be read with --skip-damaged (skip_damaged=True)")
    result = run("fit", folder, *given, "--skip-damaged", "--json")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"left out .*b\.txt\.gz: damaged after .* of text, which were read", result.stderr)
    assert json.loads(result.stdout)["result"]["tokens_read"] > 2 * len(TEXT.split())
    assert run("check", folder, "--skip-damaged").exit_code == 0


def test_a_damaged_file_of_which_nothing_can_be_read_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(TEXT)[:12])
    said = error(run("fit", tmp_path / "a.txt.gz", "--out", tmp_path / "vec", "--skip-damaged"))
    assert "nothing to read" in said
    assert "is damaged" in said
    assert not (tmp_path / "vec").exists()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_bit_flipped_anywhere_in_a_compressed_file_is_one_line(
    tmp_path: Path, compress: Callable[[bytes], bytes], seed: int
) -> None:
    """Whatever zlib, bz2 and lzma raise; a flip in a header may do no harm, or leave something that is no text."""
    data = bytearray(compress(PACKED))
    place = random.Random(seed).randrange(len(data))
    data[place] ^= 1 << seed % 8
    (tmp_path / "corpus.txt").write_bytes(data)
    result = run("fit", tmp_path / "corpus.txt", "--out", tmp_path / "vec", "--dim", 2, "--epochs", 0)
    if result.exit_code:
        error(result)
        assert not (tmp_path / "vec").exists()


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    out = ["--out", tmp_path / "vec"]
    assert error(run("fit", tmp_path / "nowhere", *out)) == f"there is no file or folder {tmp_path}/nowhere"
    assert "there is no source 'doc:'. Did you mean docs:?" in error(run("fit", "doc:", *out))
    assert "is an address: nothing is fetched from the network" in error(run("fit", "https://example.org/x.txt", *out))
    (tmp_path / "link.txt").symlink_to("nowhere")
    assert "is a link to something that is not there" in error(run("fit", tmp_path / "link.txt", *out))
    (tmp_path / "empty").mkdir()
    assert "empty holds no text: looked for *.txt" in error(run("fit", tmp_path / "empty", *out))
    (tmp_path / "empty" / "a.pdf").write_bytes(TEXT)
    assert "empty holds no text: looked for *.txt" in error(run("fit", tmp_path / "empty", *out))
    (tmp_path / "a.txt").write_bytes(TEXT)
    assert "nowhere" in error(run("fit", tmp_path / "a.txt", tmp_path / "nowhere", *out))
    assert not (tmp_path / "vec").exists()


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from `thalweg words fit "$CORPUS"` where the variable is not set."""
    (tmp_path / "a.txt").write_bytes(TEXT)
    monkeypatch.chdir(tmp_path)
    result = run("fit", "", "--out", tmp_path / "vec")
    assert result.exit_code in (1, 2)
    assert not (tmp_path / "vec").exists()


def test_an_empty_standard_input_is_one_line(tmp_path: Path) -> None:
    assert "is empty" in error(run("fit", "-", "--out", tmp_path / "vec", input=b""))
    assert not (tmp_path / "vec").exists()


@pytest.mark.parametrize("encoding", ["utf9", "rot13", "idna", "punycode", "utf-32"])
def test_an_encoding_that_does_not_do_is_one_line(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("é".encode("latin-1") + TEXT)
    error(run("fit", tmp_path / "a.txt", "--out", tmp_path / "vec", "--encoding", encoding))
    assert not (tmp_path / "vec").exists()


# What is not perfect and works


def test_damaged_utf_8_is_read_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT.replace(b"mat", b"m\xff\xe9\x80t"))
    result = run("fit", tmp_path / "a.txt", "--out", tmp_path / "vec")
    assert (result.exit_code, "60 bytes are not valid" in result.stderr) == (0, True)
    assert "mat" not in WordVectors.load(tmp_path / "vec")


def test_files_that_are_no_text_are_left_out_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "text.txt").write_bytes(TEXT)
    for k in range(8):
        (tmp_path / "in" / f"binary{k}.txt").write_bytes(b"\0")
    result = run("fit", tmp_path / "in", "--out", tmp_path / "vec")
    assert result.exit_code == 0
    assert result.stderr.count("left out ") == 6
    assert f"left out {tmp_path}/in/binary0.txt: a binary file" in result.stderr
    assert "left out 3 more files" in result.stderr


def test_words_of_megabytes_are_left_out_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT + b"x" * 3_000_000)
    result = run("fit", tmp_path / "a.txt", "--out", tmp_path / "vec")
    assert (result.exit_code, "1 words longer than 1000 bytes were left out" in result.stderr) == (0, True)


# Questions


def test_an_unknown_word_is_one_line_with_near_spellings(vec: Path) -> None:
    for args in (
        ["related", vec, "cta"],
        ["similar", vec, "cta"],
        ["analogy", vec, "cta - the + dog"],
        ["related", vec, "the", "cta"],
    ):
        assert error(run(*args)) == f'"cta" is not among the 6 words of {vec}. Near spellings: cat, sat, mat.'
    assert error(run("related", vec, "xylophone")) == f'"xylophone" is not among the 6 words of {vec}.'
    assert error(run("related", vec, "cta", "--json")).startswith('"cta" is not among')


@pytest.mark.parametrize("word", ["", " ", "\0", "\x1b[31m", "\u202e", "x" * 100_000, "a\nb"])
def test_an_odd_word_is_unknown(vec: Path, word: str) -> None:
    said = error(run("related", vec, word))
    assert "is not among the 6 words" in said
    assert said.isprintable()
    assert len(said) < 1000


@pytest.mark.parametrize(
    ("expression", "message", "caret"),
    [
        ("cat - - dog", "two signs stand in a row", 6),
        ("cat -", "a word is missing after the last sign", 5),
        ("+ cat", "a word is missing before this sign", 0),
        ("cat dog", "a sign, + or -, is missing before this word", 4),
        ('cat - "dog', "a quote is not closed", 6),
        (" ", "an expression needs words, for example: king - man + woman", 0),
        ("机场 - - cat", "two signs stand in a row", 7),  # two columns for each of 机 and 场
    ],
)
def test_an_expression_that_does_not_parse_shows_the_place(vec: Path, expression: str, message: str, caret: int) -> None:
    """Wrong use (status 2), visible from the command line alone: also where the folder's content is damaged."""
    (vec / "manifest.json").write_text("{")
    result = run("analogy", vec, expression)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [f"Error: {message}", f"  {expression}", "  " + " " * caret + "^"]


def test_a_question_that_adds_up_to_nothing_is_one_line(vec: Path) -> None:
    assert error(run("analogy", vec, "cat - cat")) == "'cat - cat' adds up to nothing: its words cancel"


@pytest.mark.parametrize("args", [["--topn", "0"], ["--topn", "x"], ["--restrict", "0"], ["--contexts", "-1"], ["--top", "3"]])
def test_wrong_options_are_wrong_use(vec: Path, args: list[str]) -> None:
    result = run("similar", vec, "cat", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == "Try: thalweg words similar --help"


@pytest.mark.parametrize(
    "args",
    [
        ["--dim", "0"], ["--dim", "1.5"], ["--window", "1001"], ["--min-count", "0"], ["--language", "en"], ["--unit", "lines"],
        ["--distance", "harmonics"], ["--x-max", "0"], ["--rho", "nan"], ["--floor", "inf"], ["--max-words", "1"], ["--out", ""],
    ],
)  # fmt: skip
def test_wrong_settings_are_wrong_use_before_anything_is_read(tmp_path: Path, args: list[str]) -> None:
    result = run("fit", tmp_path / "nowhere", "--out", tmp_path / "vec", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == "Try: thalweg words fit --help"
    assert not (tmp_path / "vec").exists()


@pytest.mark.parametrize("setting", ["--x-max", "--rho", "--floor", "--ridge", "--alpha", "--beta"])
@pytest.mark.parametrize("value", ["1e300", "1e38", "1e-300"])
def test_extreme_settings_end_in_vectors_or_in_one_line(tmp_path: Path, setting: str, value: str) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT)
    with np.errstate(all="ignore"):
        result = run("fit", tmp_path / "a.txt", "--out", tmp_path / "vec", setting, value, "--threads", "1")
    if result.exit_code:
        assert "the energy is not finite" in error(result)
        assert not (tmp_path / "vec").exists()
    else:
        WordVectors.load(tmp_path / "vec")


# Output folders


def refused(tmp_path: Path, out: Path, message: str, *options: str) -> None:
    """The corpus does not even exist: the output folder is looked at before any work."""
    before = content(tmp_path)
    said = error(run("fit", tmp_path / "nowhere.txt", "--out", out, *options))
    assert message in said
    assert content(tmp_path) == before


def test_a_folder_that_holds_something_is_refused(tmp_path: Path, vec: Path) -> None:
    refused(tmp_path, vec, "vec is not empty: choose another directory, or replace what is there with --overwrite")


def test_strangers_files_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    (tmp_path / "home" / ".thalweg-letter").write_text("old scratch")
    for options in ([], ["--overwrite"]):
        message = "holds files that thalweg did not write (letter.txt)" if options else "is not empty"
        refused(tmp_path, tmp_path / "home", message, *options)


def test_a_file_or_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for options in ([], ["--overwrite"]):
        refused(tmp_path, tmp_path / "file", "file is a file; the output is a directory", *options)
        refused(
            tmp_path, tmp_path / "file" / "below" / "vec", f"cannot be made: {tmp_path}/file is not a writable directory", *options
        )


def test_a_dangling_link_is_no_output_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "x")
    result = run("fit", tmp_path / "a.txt", "--out", tmp_path / "link")
    if result.exit_code:
        error(result)


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT)
    assert "File name too long" in error(run("fit", tmp_path / "a.txt", "--out", tmp_path / ("x" * 300)))
    assert "File name too long" in error(run("fit", "x" * 300, "--out", tmp_path / "vec"))


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs /proc")
def test_a_folder_that_takes_no_files_is_one_line(tmp_path: Path) -> None:
    """Nobody, root included, can make a folder there."""
    (tmp_path / "a.txt").write_bytes(TEXT)
    assert "/proc/vec" in error(run("fit", tmp_path / "a.txt", "--out", "/proc/vec"))


# How text is to be read


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--glob", "*.csv"], r"holds no text: looked for \*\.csv"),
        (["--glob", ""], "glob='' matches no file"),
        (["--user-dict", "{dir}/nowhere"], "there is no file or directory"),
        (["--user-dict", "{dir}/noise"], "noise is not UTF-8"),
        (["--user-dict", "{dir}"], "there is no file"),
        (["--convert", "t2s"], "needs the package opencc, which is not installed: pip install opencc"),
        (["--split-latin", "--language", "words"], "split_latin=True is for Chinese, not for language='words'"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_one_line(
    tmp_path: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opencc", None)
    (tmp_path / "a.txt").write_text("机场和飞机和火车站\n" * 20)
    (tmp_path / "noise").write_bytes(NOISE)
    given = [option.replace("{dir}", str(tmp_path)) for option in options]
    said = error(run("fit", tmp_path, "--out", tmp_path / "vec", *given))
    assert re.search(message, said), said
    assert not (tmp_path / "vec").exists()


def test_zstandard_without_its_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    (tmp_path / "a.txt.zst").write_bytes(b"\x28\xb5\x2f\xfd" + TEXT)
    assert "zstandard, which is not installed: pip install zstandard" in error(run("fit", tmp_path, "--out", tmp_path / "vec"))
    assert not (tmp_path / "vec").exists()
