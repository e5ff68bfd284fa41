"""Texts and questions that cannot be answered, for the commands that take texts: one line, the right status, nothing on stdout."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from thalweg.cli import program
from thalweg.words import CooccurrenceCounts, WordVectors

TEXT = "The cat sat on the mat; the dog sat.\n"


def run(*args: object, **options: Any) -> Result:
    return CliRunner().invoke(program, ["words", *map(str, args)], **options)


def error(result: Result, status: int = 1) -> str:
    """The one line that says what is wrong; nothing on stdout, no traceback."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert (result.exit_code, result.stdout, len(lines)) == (status, "", 1), result.stderr
    assert "Traceback" not in result.stderr
    assert all(ch.isprintable() or ch == "\n" for ch in result.stderr)
    assert len(lines[0]) < 1000
    return lines[0].removeprefix("Error: ")


@pytest.fixture
def vec(tmp_path: Path) -> Path:
    """Vectors of six words in a folder."""
    words = ["the", "cat", "sat", "mat", "dog", "机场"]
    u, k = np.random.default_rng(0).standard_normal((2, 6, 3)).astype(np.float32)
    WordVectors(words, np.arange(6, 0, -1), u, k, np.ones(3)).save(tmp_path / "vec")
    return tmp_path / "vec"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Vectors without counts, as from another program."""
    WordVectors(["the", "cat"], None, np.eye(2, dtype=np.float32)).save(tmp_path / "bare")
    return tmp_path / "bare"


# What works


def test_a_text_comes_from_arguments_a_file_or_a_pipe(vec: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    results = [
        run("keywords", vec, *TEXT.split()),
        run("keywords", vec, TEXT),
        run("keywords", vec, "--file", tmp_path / "a.txt"),
        run("keywords", vec, "--file", tmp_path / "a.txt.gz"),
        run("keywords", vec, "--file", "-", input=TEXT.encode()),
        run("keywords", vec, "-", input=TEXT.encode()),
    ]
    assert {result.stdout for result in results} == {results[0].stdout}
    assert {result.exit_code for result in results} == {0}
    assert results[0].stderr == "1 unknown word was skipped: on\n"
    assert len(results[0].stdout.splitlines()) == 6


def test_every_verb_answers_in_json_and_in_text(vec: Path) -> None:
    for verb, *args in (
        ["related", "cat", "--by", "cosine", "--negative", "dog", "--min-norm", "0.1"],
        ["similar", "cat", "--output", "concat", "--min-count", "2"],
        ["analogy", "cat - the + dog", "--method", "mul"],
        ["analogy", "cat - the + dog", "--norms"],
        ["keywords", TEXT, "--exclude-self"],
        ["similarity", "the cat", "the dog", "--by", "pmi"],
        ["vector", TEXT, "--mean", "--weights", "sif"],
        ["importance", "--ascending"],
        ["importance", "cat", "dog"],
        ["pmi", "cat", "dog"],
    ):
        shown, result = run(verb, vec, *args), run(verb, vec, *args, "--json", "--quiet")
        assert (shown.exit_code, result.exit_code, result.stderr) == (0, 0, ""), shown.stderr
        assert shown.stdout
        assert json.loads(result.stdout)["command"] == f"words {verb}"


def test_numbers_are_those_of_the_library(vec: Path) -> None:
    wv = WordVectors.load(vec)
    value = json.loads(run("vector", vec, "the cat", "--json").stdout)["result"]
    np.testing.assert_allclose(value, wv["the"] + wv["cat"], rtol=1e-6)
    assert [float(x) for x in run("vector", vec, "the cat").stdout.split()] == pytest.approx(value, rel=1e-6)
    assert json.loads(run("pmi", vec, "CAT", "dog", "--json").stdout)["result"] == {
        "a": "cat", "b": "dog", "estimated": pytest.approx(wv.pmi("cat", "dog")), "counted": None,
    }  # fmt: skip
    score = json.loads(run("similarity", vec, "the cat", "dog zzz", "--json").stdout)["result"]
    assert score == {"by": "cosine", "score": pytest.approx(wv.similarity("the cat", "dog")), "unknown": ["zzz"]}


def test_limits_that_exclude_all_are_told(vec: Path) -> None:
    result = run("related", vec, "cat", "--min-norm", "1e9")
    assert (result.exit_code, result.stderr) == (0, "no word is left to answer: the limits exclude all\n")


def test_vectors_without_counts_are_told(vec: Path, bare: Path) -> None:
    assert "no counts beside the vectors" in run("pmi", vec, "cat", "dog").stderr
    result = run("importance", bare)
    assert (result.exit_code, "unknown without counts" in result.stderr) == (0, True)
    assert error(run("vector", bare, "cat", "--weights", "sif")).startswith('weights="sif" needs the counts of the words')
    assert error(run("related", bare, "cat", "--min-count", "2")).startswith("min_count=2 asks for the counts of the words")


def test_a_pair_that_never_met_is_told(vec: Path) -> None:
    words = WordVectors.load(vec).words
    indptr, indices = np.array([0, 0, 1, 1, 1, 1, 1]), np.array([0], np.int32)
    counts = CooccurrenceCounts(words, np.arange(6, 0, -1), indptr, indices, np.array([3], np.uint32), 1, 10, "uniform")
    counts.save(vec / "counts")
    result = run("pmi", vec, "cat", "dog")
    assert (result.exit_code, result.stderr, result.stdout.split()[-1]) == (0, "the two words never met in the text\n", "-")
    assert (run("pmi", vec, "the", "cat").stderr, run("pmi", vec, "the", "cat").stdout.split()[-1] != "-") == ("", True)


# Texts that are none


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n\t", r"holds no words \(3 bytes read\)"),
        (b"... --- !!!", "the text holds no words"),
        (b"the cat\0", "a binary file"),
        (random.Random(0).randbytes(5000).replace(b"\0", b"x"), "is not UTF-8"),
        (TEXT.encode("utf-16"), "is text in UTF-16: pass --encoding utf-16"),
        (gzip.compress(TEXT.encode() * 100, mtime=0)[:-9], "is damaged"),
        ("完全不同的文字".encode(), "none of the text's words is among the 6 of"),
        (b"x" * 3_000_000, "the text holds no words"),  # a word longer than 1000 bytes is none
        (b"zq" * 300, "none of the text's words"),
    ],
)
def test_a_file_without_known_words_is_one_line(vec: Path, tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    said = error(run("keywords", vec, "--file", tmp_path / "a.txt"))
    assert re.search(message, said), said


def test_a_file_in_another_encoding_is_read_when_named(vec: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT.encode("utf-16"))
    result = run("keywords", vec, "--file", tmp_path / "a.txt", "--encoding", "utf-16")
    assert (result.exit_code, result.stdout) == (0, run("keywords", vec, TEXT).stdout)
    assert "there is no encoding 'utf9'" in error(run("keywords", vec, "--file", tmp_path / "a.txt", "--encoding", "utf9"))


def test_damaged_utf_8_is_read_with_a_note(vec: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT.encode() * 5 + b"\xff dog")
    result = run("keywords", vec, "--file", tmp_path / "a.txt")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (
        0,
        "1 place is not valid in the text's encoding and read as spaces",
    )


def test_no_text_and_two_texts_are_wrong_use(vec: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    for args in ([], ["cat", "--file", tmp_path / "a.txt"]):
        assert error(run("keywords", vec, *args), 2) == "pass a text, or a file with --file (- for standard input), and not both"
    assert error(run("keywords", vec, "--file", ""), 2) == "the name of the file is empty"
    assert "there is no file or folder" in error(run("keywords", vec, "--file", tmp_path / "nowhere"))


@pytest.mark.parametrize("text", ["", " ", "\0", "\x1b[31m", "\u202e", "...", "\ud800"])
@pytest.mark.parametrize("verb", ["keywords", "vector", "similarity"])
def test_a_text_without_words_is_one_line(vec: Path, verb: str, text: str) -> None:
    said = error(run(verb, vec, text, *(["cat"] if verb == "similarity" else [])))
    assert said == "the text holds no words" or "none of the text's words" in said


@pytest.mark.parametrize("args", [["importance"], ["pmi", "the"], ["pmi"]])
def test_an_unknown_word_is_one_line_with_near_spellings(vec: Path, args: list[str]) -> None:
    verb, *words = args
    asked = [*words, "cta", *(["cat"] if verb == "pmi" and not words else [])]
    assert error(run(verb, vec, *asked)) == f'"cta" is not among the 6 words of {vec}. Near spellings: cat, sat, mat.'


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("related", ["cat", "--by", "pmii"]),
        ("related", ["cat", "--min-norm", "-1"]),
        ("related", ["cat", "--min-norm", "nan"]),
        ("related", ["cat", "--min-count", "0"]),
        ("similar", ["cat", "--output", "context"]),
        ("analogy", ["cat - the", "--method", "div"]),
        ("analogy", ["cat - the", "--method", "mul", "--norms"]),
        ("keywords", ["cat", "--topn", "0"]),
        ("keywords", ["cat", "--by", "x"]),
        ("similarity", ["cat"]),
        ("similarity", ["cat", "dog", "mat"]),
        ("vector", ["cat", "--weights", "idf"]),
        ("importance", ["--topn", "x"]),
        ("pmi", ["cat"]),
        ("shell", ["cat"]),
    ],
)
def test_wrong_options_are_wrong_use(vec: Path, verb: str, args: list[str]) -> None:
    result = run(verb, vec, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == f"Try: thalweg words {verb} --help"


@pytest.mark.parametrize("verb", ["keywords", "similarity", "vector", "importance", "pmi", "shell"])
def test_vectors_that_are_not_there_or_damaged_are_one_line(tmp_path: Path, vec: Path, verb: str) -> None:
    words = {"importance": [], "shell": [], "pmi": ["cat", "dog"], "similarity": ["cat", "dog"]}.get(verb, ["cat"])
    assert "there is no file or directory" in error(run(verb, tmp_path / "nowhere", *words))
    (vec / "manifest.json").write_text("{")
    assert "manifest.json" in error(run(verb, vec, *words))


def test_damaged_counts_beside_the_vectors_are_one_line(vec: Path) -> None:
    (vec / "counts").mkdir()
    assert "counts has no manifest.json" in error(run("pmi", vec, "cat", "dog"))
    (vec / "counts" / "manifest.json").write_text('{"format": "thalweg-words"}')
    assert "'thalweg-counts' was expected" in error(run("pmi", vec, "cat", "dog"))
    assert run("related", vec, "cat").exit_code == 0
