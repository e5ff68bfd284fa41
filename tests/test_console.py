"""What a command shows, and where."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg
from thalweg import console
from thalweg.console import Console

HOSTILE = "a\x1b]0;title\x07[red]b[/red]\u202ec\u200bd\x9be\n:smile:"  # escapes, markup, bidi, zero width, C1, newline, emoji code


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def terminal() -> Iterator[tuple[Terminal, Terminal]]:
    """(stdout, stderr) of a terminal of 100 columns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm-256color")
        patch.setenv("COLUMNS", "100")
        with contextlib.redirect_stdout(Terminal()) as out, contextlib.redirect_stderr(Terminal()) as err:
            yield out, err


def assert_harmless(text: str) -> None:
    """Nothing of HOSTILE acts on a terminal, and its markup is still there to be read."""
    for ch in "\x07\u202e\u200b\x9b":
        assert ch not in text
    assert "\x1b]" not in text
    assert "[red]b[/red]" in text
    assert ":smile:" in text


@dataclass(frozen=True)
class Point:
    x: float
    where: Path


def test_json_is_one_object_with_version_command_and_result(capsys: pytest.CaptureFixture[str]) -> None:
    out = Console(json=True, command="words related")
    out.note("reading")
    out.print("not JSON")
    out.table(["a"], [[1]])
    out.result([1], lambda: out.table(["a"], [[1]]))
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"thalweg": thalweg.__version__, "command": "words related", "result": [1]}
    assert captured.err == "reading\n"


def test_json_takes_what_commands_have() -> None:
    """NaN and infinity become null; arrays, their scalars, paths, dataclasses and generators take JSON's forms."""
    value = {
        "nan": float("nan"), "array": np.array([[1.5, np.inf]], dtype=np.float32), "int": np.int64(7), "bool": np.bool_(True),
        "nan scalar": np.float32("nan"), "path": Path("a/b"), "point": Point(np.float64(0.5), Path("p")),
        "tuple": (1, None), "generator": (n for n in range(2)), 3: "key", "str": np.str_("词"),
    }  # fmt: skip
    assert json.loads(console.to_json(value)) == {
        "nan": None, "array": [[1.5, None]], "int": 7, "bool": True, "nan scalar": None, "path": "a/b",
        "point": {"x": 0.5, "where": "p"}, "tuple": [1, None], "generator": [0, 1], "3": "key", "str": "词",
    }  # fmt: skip


def test_json_refuses_what_has_no_form() -> None:
    with pytest.raises(TypeError, match="object"):
        console.to_json(object())


@given(st.text(st.characters(exclude_categories=[])))
def test_json_of_any_text_is_harmless_and_loses_nothing(text: str) -> None:
    written = console.to_json(text)
    assert written.isprintable()
    assert json.loads(written) == text


def test_json_fits_an_ascii_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Console(json=True).result("é广\U0001f600", "")
    stream.flush()
    assert json.loads(stream.buffer.getvalue().decode("ascii"))["result"] == "é广\U0001f600"  # type: ignore[attr-defined]


def test_a_command_has_one_result() -> None:
    out = Console()
    out.result(1, "one")
    with pytest.raises(RuntimeError):
        out.result(2, "two")


def test_the_result_goes_to_stdout_and_the_rest_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    out = Console()
    out.note("note")
    out.result(1, lambda: out.print("one\ntwo"))
    out.next_steps(["thalweg words related vec 广州"])
    captured = capsys.readouterr()
    assert captured.out == "one\ntwo\n"
    assert captured.err == "note\nTry next:\n  thalweg words related vec 广州\n"


def test_quiet_leaves_the_result_only(capsys: pytest.CaptureFixture[str]) -> None:
    out = Console(quiet=True)
    out.note("note")
    with out.progress() as progress:
        progress(1, 2, phase="counting")
    out.result(1, "one")
    out.next_steps(["more"])
    assert capsys.readouterr() == ("one\n", "")


def test_piped_columns_align_with_chinese_words_and_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(["word", "score", "n"], [["广州", 5.25, 12345], ["a", np.float32(-0.5), None]], title="Near 深圳")
    assert capsys.readouterr().out.split("\n") == [
        "Near 深圳",
        "word    score       n",
        "广州    5.250  12,345",
        "a     -0.5000       -",
        "",
    ]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (12345, "12,345"), (0.5, "0.5000"), (1234.0, "1234"), (1e-9, "1.000e-09"), (float("nan"), "nan"), (None, "-"),
        (True, "yes"), ("a\tb", "a\\x09b"),
    ],
)  # fmt: skip
def test_cells(cell: object, text: str) -> None:
    assert console.cell_text(cell) == text


def test_an_empty_table_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(["word", "score"], [])
    assert capsys.readouterr().out == "word  score\n"


def test_hostile_text_is_harmless_where_it_is_piped(capsys: pytest.CaptureFixture[str]) -> None:
    out = Console()
    out.note(HOSTILE)
    out.print(HOSTILE)
    out.table([HOSTILE], [[HOSTILE]], title=HOSTILE)
    with out.progress() as progress:
        progress(1, 2, phase=HOSTILE, label=HOSTILE)
    out.next_steps([HOSTILE])
    for text in capsys.readouterr():
        assert_harmless(text)


def test_hostile_text_is_harmless_on_a_terminal() -> None:
    console = Console()
    with terminal() as streams:
        console.table(["head", HOSTILE], [[1, HOSTILE]])
        console.table(["head"], [[1]], title=HOSTILE)
        with console.progress() as progress:
            progress(1, 2, phase=HOSTILE, label=HOSTILE)
            console.note(HOSTILE)
    for stream in streams:
        assert_harmless(stream.getvalue())


def test_a_table_on_a_terminal_is_drawn() -> None:
    with terminal() as (out, _):
        Console().table(["word", "score"], [["广州", 5.25]], title="Near")
    assert "─" in out.getvalue()
    assert all(text in out.getvalue() for text in ("Near", "word", "广州", "5.250"))


def test_progress_without_a_terminal_is_one_line_per_phase(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().progress() as progress:
        for done in range(0, 1001, 100):
            progress(done, 1000, phase="counting", tokens_per_second=3.2e6)
        progress(7, None, phase="reading", unit="files")
        progress(1 << 20, 4 << 20, phase="copying", unit="bytes")
    assert [line.split(",") for line in capsys.readouterr().err.replace("1,000", "1000").splitlines()] == [
        ["counting: 1000 of 1000", " 100%", " 3.2 M tokens/s"],
        ["reading: 7 files"],
        ["copying: 1.0 MB of 4.2 MB", " 25%", " 0.00 s left"],
    ]


def test_progress_speaks_again_after_the_interval(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = iter(float(t) for t in range(10**6))  # a second passes between two looks at the clock
    monkeypatch.setattr(console.time, "monotonic", lambda: next(now))
    with Console().progress() as progress:
        for done in range(1, 21):
            progress(done, 20)
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 20 * 3 / console.INTERVAL
    assert lines[-1].startswith("working: 20 of 20")
    assert "left" in lines[0]


def test_progress_is_kept_when_the_work_is_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), Console().progress() as progress:
        progress(3, 10, energy=np.float64(0.25))
        raise KeyboardInterrupt
    assert "working: 3 of 10, 30%, energy 0.2500" in capsys.readouterr().err


def test_a_bar_per_phase_on_a_terminal_and_stdout_stays_stdout() -> None:
    """rich by itself would send what is printed meanwhile to the terminal of stderr."""
    console = Console()
    with terminal() as (out, err), console.progress() as progress:
        for done in range(5):
            progress(done, 4, phase="counting", energy=0.5)
        progress(2, None, phase="solving")
        console.print("result")
    assert out.getvalue() == "result\n"
    assert all(text in err.getvalue() for text in ("counting", "100%", "energy 0.5000", "solving"))


def test_a_progress_that_is_never_called_shows_nothing() -> None:
    with terminal() as (_, err), Console().progress():
        pass
    assert err.getvalue() == ""


def test_rich_is_not_imported_without_a_terminal() -> None:
    program = """
import sys
from thalweg.console import Console
out = Console()
out.table(["word", "score"], [["a", 1.0]])
with out.progress() as progress:
    progress(1, 2)
out.result(1, "done")
out.next_steps(["more"])
sys.exit("rich" in sys.modules or "numpy" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


def test_a_closed_stream_swallows_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """`thalweg ... >&-` leaves sys.stdout None."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    out = Console()
    out.note("note")
    out.table(["a"], [[1]])
    with out.progress() as progress:
        progress(1, 2)
    out.result(1, "one")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.123, "0.12 s"), (9.999, "10.0 s"), (59.96, "1 min 00 s"), (192, "3 min 12 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


def test_elapsed_is_a_duration() -> None:
    assert Console().elapsed().endswith(" s")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("tokens_per_second", 3.2e6, "3.2 M tokens/s"),
        ("steps_per_second", 12.5, "12.5 steps/s"),
        ("bytes_per_second", 1.5e6, "1.5 MB/s"),
        ("bytes", 2e9, "2.0 GB"),
        ("mean_energy", np.float32(0.5), "mean energy 0.5000"),
        ("device", "cpu", "device cpu"),
    ],
)
def test_numbers_carry_their_units(name: str, value: Any, text: str) -> None:
    assert console.number_text(name, value) == text


@given(st.text(), st.text(), st.integers())
def test_any_cells_align(a: str, b: str, n: int) -> None:
    """Columns begin at the same place in every row, whatever the width of the characters."""
    cells = [["head", "n"], *([console.cell_text(text), console.cell_text(n)] for text in (a, b))]
    lines = console.plain_columns(cells, [False, True])
    assert len({console.width(line) for line in lines}) == 1


def test_no_next_steps_are_no_heading(capsys):
    Console().next_steps([])
    assert capsys.readouterr() == ("", "")
