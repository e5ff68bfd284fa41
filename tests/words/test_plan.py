"""What a fit will take, said before it begins; and what a stranger met on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from thalweg import words
from thalweg.cli import program
from thalweg.errors import InputError, MissingFileError, OutputExistsError
from thalweg.words import estimate as plan
from thalweg.words.text import characters, reading
from thalweg.words.text.tokens import Scanner

TEXT = "the cat sat on the mat and the dog sat on the cat\n" * 40


def run(*args: object) -> Result:
    return CliRunner().invoke(program, ["words", *map(str, args)])


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text(TEXT)
    return tmp_path / "a.txt"


def test_of_a_text_that_was_read_whole_the_plan_knows_the_numbers(text: Path) -> None:
    found = plan.estimate([text], min_count=40)
    tokens = words.read(text, min_count=40)
    assert (found.exact, found.n_bytes, found.n_tokens, found.n_words) == (True, len(TEXT), tokens.n_read, len(tokens.words))
    assert found.sample[:4] == ["the", "cat", "sat", "on"]
    assert found.memory > 0 < found.disk


def test_more_text_takes_more_memory(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SAMPLE", 1000)
    (tmp_path / "b.txt").write_text(TEXT * 1500)
    less, more = plan.estimate([text]), plan.estimate([tmp_path / "b.txt"])
    assert not more.exact
    for name in ("n_bytes", "n_tokens", "memory"):
        assert getattr(more, name) > getattr(less, name), name


def test_check_says_what_fit_says_of_files_that_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 40)
    for name, message in (("empty.txt", "is empty"), ("binary.txt", "a binary file")):
        with pytest.raises(InputError, match=message):
            plan.estimate([tmp_path / name])
        assert run("check", tmp_path / name).exit_code == 1
    with pytest.raises(MissingFileError):
        plan.estimate([tmp_path / "nowhere"])


def test_check_prints_one_object_on_demand(text: Path) -> None:
    result = run("check", text, "--json", "--quiet", "--min-count", 1)
    assert result.exit_code == 0
    value = json.loads(result.stdout)["result"]
    assert (value["language"], value["n_tokens"]) == ("words", 13 * 40)
    assert value["warnings"]


@given(st.text(), st.booleans(), st.booleans(), st.sampled_from(["words", "whitespace"]))
def test_short_texts_are_cut_as_the_automaton_cuts_them(text: str, lower: bool, digits: bool, language: str) -> None:
    scanner = Scanner("file", characters.of(language, lower=lower, digits=digits))
    scanner.feed(text.encode("utf-8", "replace"))
    scanner.end_unit()
    expected = [scanner.word(int(k)).decode("utf-8") for k in scanner.ids() if k >= 0]
    assert reading.words_of(text, language, lower=lower, digits=digits) == expected


def test_other_programs_vectors_are_not_taken_for_mutual_information(text: Path, tmp_path: Path) -> None:
    words.fit(text, min_count=1, dim=3).export(tmp_path / "v.txt", "word2vec")
    imported = words.WordVectors.read(tmp_path / "v.txt")
    assert imported.related("cat").score == "inner product"
    assert "not fitted to mutual information" in imported.related("cat").notes()[0]
    assert imported.related("cat", by="cosine").score == "cosine"
    imported.save(tmp_path / "vec")
    result = run("pmi", tmp_path / "vec", "cat", "dog")
    assert (result.exit_code, "was not fitted to mutual information" in result.stderr) == (1, True)


def test_resume_does_not_replace_finished_vectors_of_other_options(text: Path, tmp_path: Path) -> None:
    words.fit(text, min_count=1, dim=3, out=tmp_path / "vec")
    before = words.WordVectors.load(tmp_path / "vec").word.tobytes()
    with pytest.raises(OutputExistsError, match="finished vectors of other texts or options"):
        words.fit(text, min_count=1, dim=2, out=tmp_path / "vec", resume=True)
    assert words.WordVectors.load(tmp_path / "vec").word.tobytes() == before
    again = words.fit(text, min_count=1, dim=3, out=tmp_path / "vec", resume=True)
    assert again.word.tobytes() == before


def test_solve_takes_the_counts_of_a_fit(text: Path, tmp_path: Path) -> None:
    assert run("fit", text, "--out", tmp_path / "vec", "--min-count", 1, "--dim", 3).exit_code == 0
    assert run("solve", tmp_path / "vec", "--out", tmp_path / "small", "--dim", 2).exit_code == 0
    assert words.WordVectors.load(tmp_path / "small").dim == 2


def test_merged_counts_tell_how_much_was_read(text: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        words.count(text, min_count=1, out=tmp_path / name)
    one, two = (words.CooccurrenceCounts.open(tmp_path / name) for name in ("one", "two"))
    both = one.merge(two)
    assert (both.info["tokens_read"], both.info["n_files"]) == (2 * one.info["tokens_read"], 2)
    assert np.array_equal(both.values, 2 * np.asarray(one.values))


def test_gensims_names_of_settings_are_answered_with_ours(text: Path) -> None:
    with pytest.raises(TypeError, match=r"there is no setting 'vector_size'\. It is called dim here\."):
        words.fit(text, vector_size=64)


def test_check_names_what_cannot_be_read(text: Path, tmp_path: Path) -> None:
    """The sample was decoded before anybody counted: bad bytes and lines that are not JSON passed in silence."""
    (tmp_path / "b.txt").write_bytes(b"caf\xe9 caf\xe9\n" + TEXT.encode())
    (tmp_path / "c.jsonl").write_text('{"text": "one two"}\n{broken\n')
    assert not any("decoded" in warning or "JSON" in warning for warning in plan.estimate([text]).warnings)
    warnings = " ".join(plan.estimate([tmp_path], min_count=1).warnings)
    assert "2 bytes of the sample cannot be decoded" in warnings
    assert "1 line of the sample would be left out: not JSON" in warnings
    assert "3 bytes of the sample" in " ".join(plan.estimate([_latin(tmp_path)], encoding="ascii").warnings)


def _latin(folder: Path) -> Path:
    (folder / "latin.txt").write_bytes(b"\xe9 \xe9 \xe9\n" + TEXT.encode())
    return folder / "latin.txt"


def test_check_suggests_the_fit_that_was_checked(text: Path) -> None:
    """The options that had been given were dropped from "Try next"."""
    done = run("check", text, "--encoding", "latin-1", "--no-lower", "--glob", "*.a b", "--glob", "*.c", "--min-count", 2)
    line = done.stderr.splitlines()[-1].strip()
    assert line == (f"thalweg words fit {text} --min-count 2 --encoding latin-1 --no-lower --glob '*.a b' --glob '*.c' --out vec")


def test_check_recommends_no_fit_that_refuses(tmp_path: Path) -> None:
    """One word at least was always promised."""
    (tmp_path / "few.txt").write_text("a b c d\n")
    done = run("check", tmp_path / "few.txt")
    assert "0 of 4 words occur at least 5 times, and fit needs two" in done.stderr
    assert "Try next" not in done.stderr
    (tmp_path / "empty.txt").write_text(" \n\n")
    done = run("check", tmp_path / "empty.txt")
    assert (done.exit_code, f"{tmp_path / 'empty.txt'} holds no words" in done.stderr) == (1, True)


def test_rules_for_chinese_that_were_not_used_are_named(text: Path, tmp_path: Path) -> None:
    """A dictionary for a text that turned out to be English was ignored without a word."""
    (tmp_path / "words.dict").write_text("cat 5\n")
    options = ("--user-dict", tmp_path / "words.dict", "--split-latin")
    for verb, *rest in (("check",), ("count", "--out", tmp_path / "counts")):
        done = run(verb, text, *rest, *options)
        assert "--user-dict was not used: the text is not Chinese" in done.stderr
        assert "--split-latin was not used" in done.stderr


def test_the_same_text_merged_twice_is_noted(text: Path, tmp_path: Path) -> None:
    assert "now counts twice" not in run("count", text, "--out", tmp_path / "one").stderr
    assert "now counts twice" in run("count", text, "--out", tmp_path / "two", "--merge", tmp_path / "one").stderr
