"""Words, names and paths made to trick a terminal, a page, a shell or a formatter: shown as codes, and found again exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from thalweg.cli import program
from thalweg.words import WordVectors, fit

HOSTILE = [
    "\x1b[31mred",  # a terminal's colour
    "\x1b]0;title\x07",  # ... its title
    "\x9b2J",  # ... the one-byte form of its escape
    "\u202egnp.exe",  # right-to-left override
    "a\u2066b\u2069",  # isolates
    "zero\u200bwidth\ufeff",
    "[red]rich[/red]",  # rich's markup
    "[link=https://example.org]x[/link]",
    ":bomb:",
    "</script><script>alert(1)</script>",
    '"onmouseover="x',
    "%s%n",
    "{0.__class__}",
    "$(reboot)",
    "`reboot`",
    "--overwrite",
    "\ue000",  # private use
    "\U000e0041",  # a tag
    "\u0600",  # a format character of Arabic
    "é\u0301\u0301",
]


def run(*args: object, status: int = 0, **options: Any) -> Result:
    result = CliRunner().invoke(program, ["words", *map(str, args)], **options)
    assert result.exit_code == status, result.stderr
    return result


def harmless(text: str) -> bool:
    """Nothing but characters that show themselves, and line ends."""
    assert [ch for ch in text if not (ch.isprintable() or ch == "\n")] == []
    return True


@pytest.fixture(scope="module")
def vec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of the hostile words, from a file that is already cut into tokens."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.permutation([*HOSTILE, "the", "cat"])) for _ in range(10)]
    (folder / "corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    result = run("fit", folder / "corpus.txt", "--out", folder / "vec", "--language", "whitespace")
    assert harmless(result.stdout)
    assert harmless(result.stderr)
    return folder / "vec"


def test_a_tokenised_file_and_token_lists_keep_every_character(vec: Path) -> None:
    assert set(WordVectors.load(vec).words) == {*HOSTILE, "the", "cat"}
    assert set(fit([[*HOSTILE, "the", "cat"]] * 5).words) == {*HOSTILE, "the", "cat"}


@pytest.mark.parametrize("question", [["related", "the"], ["similar", "the"], ["analogy", "the - cat + the"]])
def test_answers_show_hostile_words_harmlessly(vec: Path, question: list[str]) -> None:
    verb, words = question
    result = run(verb, vec, words, "--topn", 100)
    assert harmless(result.stdout)
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == len(HOSTILE) + 1 + (verb != "analogy")  # and "cat", which the analogy leaves out
    for shown in (
        "\\x1b[31mred",
        "\\u202egnp.exe",
        "[red]rich[/red]",
        "</script><script>alert(1)</script>",
        "{0.__class__}",
        "\\x9b2J",
    ):
        assert shown in result.stdout


def test_json_is_harmless_and_holds_the_words_exactly(vec: Path) -> None:
    stdout = run("related", vec, "the", "--topn", 100, "--json").stdout
    assert harmless(stdout)
    assert stdout.count("\n") == 1
    assert {row["word"] for row in json.loads(stdout)["result"]} == {*HOSTILE, "cat"}


@pytest.mark.parametrize("word", HOSTILE)
def test_a_hostile_word_can_be_asked_about(vec: Path, word: str) -> None:
    wv = WordVectors.load(vec)
    rows = json.loads(run("related", vec, "--json", "--", word).stdout)["result"]
    assert [row["word"] for row in rows] == [found for found, _ in wv.related(word)]
    if '"' not in word:  # an expression has no way to write it
        assert harmless(run("analogy", vec, f'the - "{word}" + cat').stdout)


@pytest.mark.parametrize("word", HOSTILE)
def test_a_hostile_word_that_is_unknown_is_one_harmless_line(vec: Path, word: str) -> None:
    result = run("related", vec, "--", word + "?", status=1)
    assert harmless(result.stderr)
    [line] = result.stderr.splitlines()
    assert line.startswith('Error: "')
    assert "Near spellings: " in line


def test_a_faulty_expression_is_shown_harmlessly_with_the_caret_in_place(vec: Path) -> None:
    result = run("analogy", vec, "\x1b[31m - - x", status=2)
    assert result.stderr.splitlines() == [
        "Error: two signs stand in a row",
        "  \\x1b[31m - - x",
        "  " + " " * len("\\x1b[31m - ") + "^",
    ]


@pytest.mark.parametrize("name", ["\x1b[31mred.txt", "two\nlines.txt", "\u202egnp.txt", "[red]x.txt", "a b'\"$(x).txt"])
def test_hostile_file_names_are_shown_harmlessly(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("the cat sat on the mat\n" * 20)
    result = run("fit", tmp_path / name, "--out", tmp_path / f"{name}.vec")
    assert harmless(result.stdout)
    assert harmless(result.stderr)
    assert WordVectors.load(tmp_path / f"{name}.vec").info["sources"] == [str(tmp_path / name)]
    (tmp_path / name).write_bytes(b"\0")
    refused = run("fit", tmp_path / name, "--out", tmp_path / "vec", status=1)
    assert harmless(refused.stderr)
    assert sum(line.startswith("Error: ") for line in refused.stderr.splitlines()) == 1
    assert run("related", tmp_path / f"{name}.vec", "the").exit_code == 0


def test_a_file_name_that_is_no_text_is_read_and_recorded(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 in a name, as an old archive leaves them: the manifest can still be written and read."""
    name = bytes(tmp_path) + b"/caf\xe9.txt"
    path = Path(name.decode("utf-8", "surrogateescape"))
    path.write_text("the cat sat on the mat\n" * 20)
    result = run("fit", path, "--out", tmp_path / "vec")
    assert harmless(result.stderr)
    WordVectors.load(tmp_path / "vec")
    (tmp_path / "in").mkdir()
    path.rename(tmp_path / "in" / path.name)
    run("fit", tmp_path / "in", "--out", tmp_path / "vec2")


def test_a_manifest_cannot_speak_to_the_terminal(vec: Path, tmp_path: Path) -> None:
    """What a folder records about itself is shown as codes too."""
    WordVectors.load(vec).save(tmp_path / "vec")
    manifest = json.loads((tmp_path / "vec" / "manifest.json").read_text(encoding="utf-8"))
    for change in (
        {"format": "\x1b[2J"},
        {"version": "\u202e"},
        {"n_words": "\x9b"},
        {"files": {"vocab.json": {"path": "\x1b]0;x\x07"}}},
    ):
        (tmp_path / "vec" / "manifest.json").write_text(json.dumps(manifest | change))
        assert harmless(run("related", tmp_path / "vec", "the", status=1).stderr)
