"""The shared options and the click classes that commands are made of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from thalweg import options
from thalweg.cli import Program


def run(decorators: list[Any], *args: str, env: dict[str, str] | None = None) -> tuple[Result, dict[str, Any]]:
    """The outcome of a command `try` with these options, and the keywords that it got."""
    got: dict[str, Any] = {}

    def function(**keywords: Any) -> None:
        """Try it."""
        got.update(keywords)

    for decorate in decorators:
        function = decorate(function)
    tried = options.command("try", examples=["thalweg try"])(function)
    return CliRunner(env=env).invoke(Program("thalweg", commands={"try": tried}), ["try", *args]), got


def value(kind: click.ParamType, text: str) -> Any:
    return kind.convert(text, None, None)


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [(float, "1e-3", 0.001), (float, "10_000", 10_000.0), (float, "-.5", -0.5), (int, "10_000", 10_000), (int, "-7", -7)],
)
def test_a_number_is_what_python_accepts(kind: type, text: str, number: float) -> None:
    assert value(options.Number(kind), text) == number
    assert isinstance(value(options.Number(kind), text), kind)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_all_its_digits(x: float) -> None:
    assert value(options.Number(float), repr(x)) == x


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (float, "nan"), (float, "inf"), (float, "-Infinity"), (float, "1e999"), (float, ""), (float, "1,5"), (float, "ten"),
        (int, "1e3"), (int, "2G"), (int, "9" * 5000), (int, "1.0"),
    ],
)  # fmt: skip
def test_other_numbers_are_refused_in_one_short_line(kind: type, text: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        value(options.Number(kind), text)
    assert len(caught.value.message) < 120


def test_infinity_passes_where_an_option_allows_it_and_nan_never() -> None:
    assert value(options.Number(float, finite=False), "inf") == math.inf
    with pytest.raises(click.BadParameter):
        value(options.Number(float, finite=False), "nan")


@pytest.mark.parametrize(
    ("bounds", "good", "bad"),
    [({"low": 1}, "1", "0.9"), ({"above": 0}, "1e-9", "0"), ({"high": 2}, "2", "2.1"), ({"low": 0, "below": 1}, "0", "1")],
)
def test_bounds_hold_and_the_message_names_them(bounds: dict[str, float], good: str, bad: str) -> None:
    kind = options.Number(float, **bounds)
    assert value(kind, good) == float(good)
    with pytest.raises(click.BadParameter, match=str(next(iter(bounds.values())))):
        value(kind, bad)


def test_a_mistyped_choice_is_answered_with_its_near_miss() -> None:
    result, _ = run([options.option("--solver", type=options.Choice(["als", "svd", "adagrad"]))], "--solver", "adgrad")
    assert result.exit_code == 2
    assert "'adgrad' is unknown. Did you mean adagrad?" in result.stderr


def test_memory_is_read_in_powers_of_1024() -> None:
    assert run([options.memory_option], "--memory", "2G")[1]["memory"] == 2 << 30
    result, _ = run([options.memory_option], "--memory", "lots")
    assert (result.exit_code, "512M or 2G" in result.stderr) == (2, True)


def test_the_defaults_of_the_shared_options() -> None:
    shared = [options.out_option, options.seed_option, options.threads_option, options.memory_option, options.overwrite_option]
    shared += [options.json_option, options.quiet_option, options.locale_option, options.topn_option]
    result, got = run(shared, env={"LC_ALL": "", "LC_MESSAGES": "", "LANG": "C"})
    assert result.exit_code == 0
    assert got == {
        "out": None, "seed": 0, "threads": None, "memory": None, "overwrite": False, "json": False, "quiet": False, "locale": "en",
        "topn": 10,
    }  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [("threads", "0"), ("topn", "0"), ("topn", "1.5"), ("seed", "-1"), ("seed", "x")])
def test_counts_are_positive_and_a_seed_is_not_negative(name: str, text: str) -> None:
    result, _ = run([getattr(options, f"{name}_option")], f"--{name}", text)
    assert result.exit_code == 2
    assert f"--{name}" in result.stderr


@pytest.mark.parametrize(
    ("environment", "locale"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "de_DE"}, "en"),
        ({"LANG": "zh_TW", "LC_MESSAGES": "en_GB"}, "en"),
        ({"LANG": "en_GB", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LC_ALL": "C", "LC_MESSAGES": "zh_CN", "LANG": "zh_CN"}, "en"),
        ({"LC_ALL": "", "LANG": "zh"}, "zh"),
    ],
)
def test_the_locale_is_that_of_messages_in_the_environment(environment: dict[str, str], locale: str) -> None:
    """POSIX: LC_ALL before LC_MESSAGES before LANG; an empty variable counts as unset."""
    assert options.environment_locale(environment) == locale
    everything = {"LC_ALL": "", "LC_MESSAGES": "", "LANG": "", **environment}
    assert run([options.locale_option], env=everything)[1]["locale"] == locale


def test_out_is_a_path_and_never_the_current_directory_by_accident() -> None:
    assert run([options.out_option], "--out", "vec")[1]["out"] == Path("vec")
    assert run([options.out_option], "--out", "")[0].exit_code == 2


def test_a_shared_option_can_vary() -> None:
    assert run([options.out_option(required=True)])[0].exit_code == 2
    assert run([options.out_option(default="tour")])[1]["out"] == Path("tour")


def test_a_path_that_is_not_there_ends_with_status_1(tmp_path: Path) -> None:
    """Whatever depends on files is status 1; click's own exists=True would say 2."""
    argument = click.argument("folder", type=options.ExistingPath())
    assert run([argument], str(tmp_path))[1]["folder"] == tmp_path
    result, _ = run([argument], str(tmp_path / "none"))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "there is no file or directory" in result.stderr
    assert run([argument], "-")[0].exit_code == 1
    assert run([click.argument("folder", type=options.ExistingPath(allow_dash=True))], "-")[1]["folder"] == Path("-")


def test_advanced_options_work_but_show_in_help_all_only() -> None:
    ridge = options.option("--ridge", type=options.Number(float), default=0.5, advanced=True, help="Pull to zero.")
    assert run([ridge], "--ridge", "2")[1] == {"ridge": 2.0}
    assert "--ridge" not in run([ridge], "--help")[0].stdout
    assert "--traceback" not in run([ridge], "--help")[0].stdout
    everything = run([ridge], "--help-all")[0]
    assert everything.exit_code == 0
    assert "Pull to zero.  [default: 0.5]" in everything.stdout
    assert "--traceback" in everything.stdout


def test_examples_end_the_help_as_they_were_written() -> None:
    example = "thalweg words  analogy vec '机场 - 飞机 + 火车'   --method mul --topn 5 --restrict 30_000"

    @options.command("try", examples=[example, "thalweg two"])
    def tried() -> None:
        """Try."""

    for args in (["--help"], ["--help-all"]):
        assert CliRunner().invoke(tried, args).stdout.endswith(f"\n\nExamples:\n  {example}\n  thalweg two\n")


ABSENT = {"later": ("no_such_module:command", "Comes first."), "earlier": ("no_such_module:other", "Comes second.")}


def test_the_help_of_a_group_imports_no_command() -> None:
    """The modules of these commands do not exist, and the help is printed all the same, in the order of the dictionary."""
    group = Program("thalweg", lazy=ABSENT, examples=["thalweg later"])
    result = CliRunner().invoke(group, ["--help"])
    assert result.exit_code == 0
    assert result.stdout.index("Comes first.") < result.stdout.index("Comes second.")
    assert result.stdout.endswith("Examples:\n  thalweg later\n")


def test_a_command_is_imported_when_it_runs() -> None:
    group = Program("thalweg", lazy={"doctor": ("thalweg.doctor:command", "Look.")})
    assert CliRunner().invoke(group, ["doctor", "--help"]).exit_code == 0
    with pytest.raises(TypeError, match="not a click command"):
        Program("thalweg", lazy={"x": ("thalweg.doctor:report", "Not one.")}).get_command(click.Context(group), "x")


def test_an_unknown_command_is_answered_with_its_near_miss() -> None:
    """Click's own suggestion knows only the commands that are already imported."""
    result = CliRunner().invoke(Program("thalweg", lazy=ABSENT), ["latr"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: thalweg has no command 'latr'. Did you mean later?\nTry: thalweg --help\n"


def test_a_group_takes_commands_in_clicks_way_too() -> None:
    group = options.Group("gallery", invoke_without_command=True, examples=["thalweg gallery"])

    @group.command("export", examples=["thalweg gallery export pages"])
    def export() -> None:
        """Write the pages."""

    program = Program("thalweg", commands={"gallery": group})
    assert "export  Write the pages." in CliRunner().invoke(program, ["gallery", "--help"]).stdout
    assert "--help-all" in CliRunner().invoke(program, ["gallery", "--help"]).stdout
    assert CliRunner().invoke(program, ["gallery", "--traceback", "export"]).exit_code == 0
