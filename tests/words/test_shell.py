"""The shell: every line has the answer of the verb it means, and no line ends it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from thalweg.cli import program
from thalweg.errors import InputError, ThalwegError
from thalweg.words import WordVectors
from thalweg.words.answers import VERBS, Answer
from thalweg.words.commands.questions import answer, completions, options_of, usage
from thalweg.words.vectors import subwords

WORDS = ["the", "king", "queen", "man", "woman", "similar", "well-known", "matrix", "help", "e\x1b[31m"]


def vectors(words: list[str] = WORDS, **info: object) -> WordVectors:
    u, k = np.random.default_rng(0).standard_normal((2, len(words), 4)).astype(np.float32)
    return WordVectors(words, np.arange(len(words), 0, -1), u, k, info=dict(info))


@pytest.fixture(scope="module")
def wv() -> WordVectors:
    return vectors()


@pytest.fixture
def vec(tmp_path: Path) -> Path:
    vectors().save(tmp_path / "vec")
    return tmp_path / "vec"


def rows(found: Answer) -> list[tuple[object, ...]]:
    return [tuple(row) for row in found.rows]


# What a line means


def test_a_verb_is_asked_with_its_words_and_options(wv: WordVectors) -> None:
    for line in (
        "related king queen --topn 3 --by cosine",
        "related --by=cosine king --topn=3 queen",
        'related "king" “queen” --topn 3 --by cosine',
    ):
        assert rows(answer(wv, line)) == wv.related("king", "queen", topn=3, by="cosine")
    assert rows(answer(wv, "similar king --contexts 5 --restrict 6")) == wv.similar("king", contexts=5, restrict=6)
    assert rows(answer(wv, "analogy king - man + woman --method mul")) == wv.analogy("king", "man", "woman", method="mul")
    assert rows(answer(wv, "analogy king man woman --norms")) == wv.analogy("king", "man", "woman", norms=True)
    assert rows(answer(wv, "keywords the king's queen --exclude-self")) == wv.keywords("the king queen", exclude_self=True)
    assert answer(wv, 'similarity "the king" "the queen" --by pmi').value == {
        "by": "pmi", "score": wv.similarity("the king", "the queen", by="pmi"), "unknown": [],
    }  # fmt: skip
    assert answer(wv, "pmi king queen").rows == [["king", "queen", wv.pmi("king", "queen"), None]]
    assert answer(wv, "importance king --ascending").value == wv.importance(["king"])


@pytest.mark.parametrize(
    "line",
    [
        "king - man + woman",
        "king man woman",
        "king-man+woman",
        "King － Man ＋ Woman",
        "analogy king-man+woman",
        "  woman - man + king ",
    ],
)
def test_an_expression_is_an_analogy(wv: WordVectors, line: str) -> None:
    found: list[Any] = rows(answer(wv, line))
    expected = wv.analogy("king", "man", "woman")
    assert [word for word, _ in found] == [word for word, _ in expected]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], atol=1e-6)


def test_a_word_is_shown_from_both_sides(wv: WordVectors) -> None:
    for line, word in (
        ("king", "king"),
        ("KING", "king"),
        ("well-known", "well-known"),
        ('"help"', "help"),
        ("similar", "similar"),
    ):
        found = answer(wv, line)
        assert found.head == ["related", "pmi", "similar", "cosine"]
        assert rows(found) == [(*one, *other) for one, other in zip(wv.related(word), wv.similar(word), strict=True)]


def test_a_chinese_word_that_is_none_is_asked_about_in_pieces() -> None:
    wv = vectors(["的", "机场", "飞机"], language="zh")
    found = answer(wv, "飞机的机场")
    assert rows(found) == wv.related("飞机", "的", "机场")
    assert "飞机 + 的 + 机场" in found.notes[0]


def test_help_lists_every_verb_and_every_option(wv: WordVectors) -> None:
    listed = "\n".join(str(row[0]) for row in answer(wv, "help").rows)
    assert all(usage(name) in listed for name in VERBS)
    for name in VERBS:
        page = str(answer(wv, f"help {name}").rows)
        assert all(option in page for option in options_of(name))
        assert "--quiet" not in page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("kingg", '"kingg" is not among the 10 words of these vectors. Near spellings: king.'),
        ("related", "usage: related WORD..."),
        ("related --topn 3", "usage: related WORD..."),
        ("similar king queen", "usage: similar WORD"),
        ("similarity king", "usage: similarity TEXT OTHER"),
        ("pmi king", "usage: pmi A B"),
        ("relatd king", '"relatd" is not a verb. Did you mean related?'),
        ("zzz yyy", '"zzz" is not a verb. Ask a word, an expression such as a - b + c, or a verb and its words; help lists them'),
        ("king --topn 3", '"king" is not a verb.'),
        ("related king --tpon 3", "No such option '--tpon'. Did you mean '--topn'?"),
        ("pmi king queen --topn 3", "No such option '--topn'."),
        ("related king --topn", "Option '--topn' requires an argument."),
        ("related king --topn=", "Invalid value for '--topn': '' is not a whole number."),
        ("related king --topn three", "Invalid value for '--topn': 'three' is not a whole number."),
        ("related king --topn 0", "Invalid value for '--topn': '0' does not fit: it must be at least 1."),
        ("related king --min-norm x", "Invalid value for '--min-norm': 'x' is not a number."),
        ("related king --min-norm nan", "Invalid value for '--min-norm': 'nan' is not a finite number."),
        ("analogy king --norms=1", "Option '--norms' does not take a value."),
        ("similar king --output summ", "Invalid value for '--output': 'summ' is unknown. Did you mean sum?"),
        ("king - - man", "two signs stand in a row"),
        ("- man", "a word is missing before this sign"),
        ("keywords zzz", "none of the text's words is among the 10 of these vectors: zzz"),
        ('""', '"" is not among the 10 words of these vectors. It is empty.'),
    ],
)  # fmt: skip
def test_a_wrong_question_is_one_line(wv: WordVectors, line: str, message: str) -> None:
    with pytest.raises(ThalwegError) as caught:
        answer(wv, line)
    assert str(caught.value).startswith(message)
    assert str(caught.value).isprintable()


PIECES = st.sampled_from(
    [*VERBS, *WORDS, "help", "quit", "-", "+", "--topn", "--by", "--", "3", "=", '"', "“", "”", "\x1b[0m", "\ud800", "飞机"]
)


@given(st.lists(PIECES, max_size=6).map(" ".join) | st.text(max_size=20))
def test_any_line_has_an_answer_or_an_error_of_ours(line: str) -> None:
    wv = vectors()
    try:
        found = answer(wv, line)
    except ThalwegError as error:
        assert str(error).isprintable()
    else:
        assert all(len(row) == len(found.head) for row in found.rows)


# Completion


def test_completion_offers_verbs_options_and_frequent_words(wv: WordVectors) -> None:
    assert completions(wv, "", "si") == ["similar", "similarity"]
    assert completions(wv, "", "") == [*VERBS, "help", "quit", "exit"]
    assert completions(wv, "related ", "w") == ["woman", "well-known"]
    assert completions(wv, "king - ", "ma") == ["man", "matrix"]
    assert completions(wv, "similar king ", "--c") == ["--contexts"]
    assert completions(wv, "help ", "p") == ["pmi"]
    assert completions(wv, "related ", "e") == []  # no escape sequence is typed for anyone
    assert completions(vectors([f"w{j}" for j in range(100)]), "related ", "w") == [f"w{j}" for j in range(40)]


# The command


def run(vec: Path, typed: str | bytes, *args: str) -> Result:
    return CliRunner().invoke(program, ["words", "shell", str(vec), *args], input=typed)


def test_a_script_is_answered_line_by_line(vec: Path) -> None:
    result = run(vec, "related king --topn 2\n\n  \npmi king queen\nquit\nking\n")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("> ")] == ["> related king --topn 2", "> pmi king queen"]
    assert lines[1].split() == ["word", "pmi"]
    assert len(lines) == 7


def test_wrong_questions_do_not_end_it(vec: Path) -> None:
    """One line each on stderr; the rest is answered; the status tells that something failed."""
    result = run(vec, "nope1\nking - - man\nrelated --topn\npmi king queen")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[:4] == [
        f'Error: "nope1" is not among the 10 words of {vec}.',
        "Error: two signs stand in a row",
        "  king - - man",
        "         ^",
    ]
    assert "Traceback" not in result.stderr
    assert result.stdout.splitlines()[-1].startswith("king  queen")


def test_json_is_one_object_with_all_answers(vec: Path) -> None:
    result = run(vec, "similar king --topn 1\nnope1\n", "--json")
    value: dict[str, Any] = json.loads(result.stdout)
    first, second = value["result"]
    assert (first["question"], first["answer"][0].keys()) == ("similar king --topn 1", {"word", "cosine"})
    assert second["error"].startswith('"nope1" is not among')
    assert json.loads(run(vec, "", "--json").stdout)["result"] == []


def test_any_bytes_are_harmless(vec: Path) -> None:
    """Escape sequences in questions and in the vocabulary, bytes that are no UTF-8, a NUL, a very long line."""
    result = run(vec, b"e\x1b[31m\n\xff\xfe\nking \x1b]0;x\x07 man\n\0\n" + b"x" * 200_000 + b"\nimportance --topn 99\nking\n")
    assert all(ch.isprintable() or ch == "\n" for ch in result.stdout + result.stderr)
    assert "e\\x1b[31m" in result.stdout
    assert result.stderr.count("Error: ") == 4
    assert result.stdout.splitlines()[-1].split()[0] in WORDS


# A terminal


ON_ITS_OWN_TERMINAL = """
import fcntl, os, signal, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)  # who runs the tests in the background has it ignored, and so his children
os.execv(sys.executable, [sys.executable, "-m", "thalweg", "words", "shell", sys.argv[1]])
"""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of its own")
def test_on_a_terminal_ctrl_c_returns_to_the_prompt_and_ctrl_d_ends(vec: Path) -> None:
    """Its process is begun by a program of its own: a fork of this one would have the locks of threads that it has not."""
    terminal, theirs = os.openpty()
    command = [sys.executable, "-c", ON_ITS_OWN_TERMINAL, str(vec)]
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)

    seen = b""

    def until(text: str, press: bytes = b"") -> None:
        """Read until a text appears; `press` is typed again every second (Python's readline can miss a Ctrl-C while it reads)."""
        nonlocal seen
        end = time.monotonic() + 60
        while text.encode() not in seen and time.monotonic() < end:
            if not select.select([terminal], [], [], 1)[0]:
                os.write(terminal, press)
                continue
            try:
                seen += os.read(terminal, 4096)
            except OSError:  # the other side is closed
                break
        assert text.encode() in seen, seen
        seen = seen.partition(text.encode())[2]

    try:
        until("> ")
        os.write(terminal, b"pmi king queen\n")
        until("estimated")
        until("> ")
        os.write(terminal, b"half a quest")
        until("quest")
        os.write(terminal, b"\x03")
        until("> ", press=b"\x03")
        os.write(terminal, b"nope1\n")
        until('Error: "nope1" is not among')
        until("> ")
        os.write(terminal, b"pmi king qu\t\n")
        until("queen")
        until("> ")
        os.write(terminal, b"\x04")
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()
        os.close(terminal)


def test_a_reader_that_goes_away_ends_it(vec: Path) -> None:
    command = [sys.executable, "-m", "thalweg", "words", "shell", str(vec)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"king\n")
        process.stdout.readline()
        process.stdout.close()
        with pytest.raises(BrokenPipeError):
            for _ in range(100_000):
                process.stdin.write(b"king\n" * 100)
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 141


def test_an_empty_question_is_an_error_of_the_library(wv: WordVectors) -> None:
    with pytest.raises(InputError, match="the question is empty"):
        answer(wv, "  ")


def test_options_are_no_words(wv: WordVectors) -> None:
    """`vector "king" --man` was answered as an analogy of vector, king and man."""
    three = vectors(["vector", "king", "man", "mean"])
    assert np.array_equal(answer(three, 'vector "king man" --mean').value, three.vector("king man", mean=True))
    with pytest.raises(InputError, match="is not a verb"):
        answer(three, "king man --mean")
    assert rows(answer(three, "mean king man")) == three.analogy("mean", "king", "man")
    for verb in ("map", "evaluate", "export"):
        with pytest.raises(InputError, match=f"leave the shell for thalweg words {verb}"):
            answer(wv, f"{verb} king")


def test_letters_are_asked_as_outside() -> None:
    """--guess and --subwords were unknown in the shell."""
    names = [stem + end for stem in ("walk", "talk", "jump", "look") for end in ("", "s", "ed", "ing")]
    u, k = np.random.default_rng(0).standard_normal((2, len(names), 4)).astype(np.float32)
    counts = np.full(len(names), 1000)
    ngrams, letters = subwords.learn(names, counts, u, k)
    wv = WordVectors(names, counts, u, k, letters=letters, ngrams=ngrams)
    assert rows(answer(wv, "similar walkings --guess")) == wv.similar("walkings", guess=True)
    assert rows(answer(wv, "similar walk --subwords 0")) == wv.with_subwords(0).similar("walk") != wv.similar("walk")
    line = "analogy walks - walk + talk --subwords 0.5"
    assert rows(answer(wv, line)) == wv.with_subwords(0.5).analogy("walks - walk + talk")
