"""Test sets and vectors that `thalweg words evaluate` cannot use: one line that says which line of which file, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from thalweg.cli import program
from thalweg.words import WordVectors


@pytest.fixture
def vec(tmp_path: Path) -> Path:
    rows = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    WordVectors(["the", "cat", "sat", "mat", "dog", "机场"], np.arange(6, 0, -1), rows).save(tmp_path / "vec")
    return tmp_path / "vec"


def error(*args: object, status: int = 1) -> str:
    """The one line that says what is wrong; nothing on stdout, no traceback."""
    result = CliRunner().invoke(program, ["words", "evaluate", *map(str, args)])
    assert (result.exit_code, result.stdout) == (status, ""), result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("Try: ")]
    assert lines[-1].startswith("Error: "), lines
    assert "Traceback" not in result.stderr
    return lines[-1].removeprefix("Error: ")


BAD_ANALOGIES = {
    "three words": (b": x\na b c d\na b c\n", "{}, line 3: 3 words where a question has four, a b c d (a section is ': name')"),
    "one word": (b"\n\nword\n", "{}, line 3: 1 word where a question has four, a b c d (a section is ': name')"),
    "five words": (b"a b c d e\n", "{}, line 1: 5 words where a question has four, a b c d (a section is ': name')"),
    "empty": (b"", "{} holds no questions: it should have lines of four words, a b c d"),
    "sections only": (b": x\n: y\n", "{} holds no questions: it should have lines of four words, a b c d"),
    "no text": (b"a b c d\n\xff\xfe\n", "{} is not UTF-8 (byte 8): name its encoding with --encoding, such as gb18030"),
    "unknown": (
        b"a b c d\n" * 1200,
        "of 1,200 questions none is covered by the 6 words of {vec}: is it the language of the test set?",
    ),
}
BAD_PAIRS = {
    "no number": (b"cat dog 1\ncat dog high\n", "{}, line 2: the score 'high' is not a number"),
    "no number, tabs": (b"# x\ncat\tdog\t1\ncat\tdog\t\n", "{}, line 3: 2 fields where a pair has three, word word score"),
    "no number after the header": (
        b"w1,w2,score\ncat,dog,\n",
        "{}, line 2: an empty field where a pair has three, word word score",
    ),
    "nan": (b"cat dog nan\n", "{}, line 1: the score 'nan' is not a finite number"),
    "infinite": (b"cat dog 1e999\n", "{}, line 1: the score '1e999' is not a finite number"),
    "two fields": (b"cat dog 1\ncat 1\n", "{}, line 2: 2 fields where a pair has three, word word score"),
    "four fields": (b"cat dog mat 1\n", "{}, line 1: 4 fields where a pair has three, word word score"),
    "a word is missing": (b"cat,dog,1\n,dog,2\n", "{}, line 2: an empty field where a pair has three, word word score"),
    "header only": (b"Word 1,Word 2,Human (mean)\n", "{} holds no pairs: it should have lines of two words and a number"),
    "comments only": (b"# a\n# b\n", "{} holds no pairs: it should have lines of two words and a number"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0", "{} is not UTF-8 (byte 0): name its encoding with --encoding, such as gb18030"),
    "unknown": (b"x y 1\n", "of 1 pair none is covered by the 6 words of {vec}: is it the language of the test set?"),
}


@pytest.mark.parametrize("name", BAD_ANALOGIES)
def test_bad_analogies(name: str, vec: Path, tmp_path: Path) -> None:
    data, expected = BAD_ANALOGIES[name]
    (tmp_path / "set").write_bytes(data)
    assert error(vec, "--analogies", tmp_path / "set") == expected.format(tmp_path / "set", vec=vec)


@pytest.mark.parametrize("name", BAD_PAIRS)
def test_bad_pairs(name: str, vec: Path, tmp_path: Path) -> None:
    data, expected = BAD_PAIRS[name]
    (tmp_path / "set").write_bytes(data)
    assert error(vec, "--pairs", tmp_path / "set") == expected.format(tmp_path / "set", vec=vec)


def test_files_that_are_not_there(vec: Path, tmp_path: Path) -> None:
    for option in ("--analogies", "--pairs", "--against"):
        assert error(vec, option, "missing") == "there is no file or directory 'missing'"
    assert error("missing") == "there is no file or directory 'missing'"
    assert "Is a directory" in error(vec, "--pairs", tmp_path)


def test_nothing_to_ask(vec: Path) -> None:
    assert error(vec) == f"{vec} covers none of the built-in questions: name test sets with --analogies and --pairs"


def test_a_set_of_which_nothing_is_covered_beside_one_that_is(vec: Path, tmp_path: Path) -> None:
    """Only a note: the other sets have their scores."""
    (tmp_path / "known").write_text("the cat 1\nsat mat 2\n")
    (tmp_path / "unknown").write_text("x y 1\n")
    files = ["--pairs", str(tmp_path / "known"), "--pairs", str(tmp_path / "unknown")]
    result = CliRunner().invoke(program, ["words", "evaluate", str(vec), *files])
    assert result.exit_code == 0
    assert "unknown: none of its words are known together, so nothing is covered" in result.stderr


def test_wrong_use(vec: Path, tmp_path: Path) -> None:
    assert "'cos' is unknown. There are: add, mul." in error(vec, "--method", "cos", status=2)
    assert "'summ' is unknown. Did you mean sum?" in error(vec, "--output", "summ", status=2)
    assert "at least 1" in error(vec, "--restrict", "0", status=2)


def test_other_vectors_without_a_shared_word(vec: Path, tmp_path: Path) -> None:
    WordVectors(["x", "y"], None, np.eye(2, dtype=np.float32)).save(tmp_path / "other")
    (tmp_path / "set").write_text("the cat 1\n")
    assert "share no words" in error(vec, "--pairs", tmp_path / "set", "--against", tmp_path / "other")


def test_damaged_vectors(vec: Path, tmp_path: Path) -> None:
    (vec / "vectors.safetensors").write_bytes(b"x")
    (tmp_path / "set").write_text("the cat 1\n")
    assert "vectors.safetensors" in error(vec, "--pairs", tmp_path / "set")
