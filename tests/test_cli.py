"""`thalweg`: help that costs nothing, exit statuses, errors that are one harmless line, completion."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import thalweg
from thalweg import cli, errors, options
from thalweg.cli import Program

HEAVY = {"numpy", "numba", "torch", "scipy", "sklearn", "matplotlib", "rich"}


def program_of(function: Any) -> Program:
    """A program with one command, `thalweg try`."""
    return Program("thalweg", commands={"try": options.command("try", examples=["thalweg try"])(function)})


def failing(error: BaseException) -> Program:
    def fail() -> None:
        raise error

    return program_of(fail)


def python(code: str, **attrs: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, **attrs)


# Help

WALK = """
import json, sys
import click
from click.testing import CliRunner
from thalweg.cli import program

def walk(command, path):
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from walk(command.get_command(context, name), [*path, name])

pages = {}
for path in walk(program, []):
    for option in ("--help", *(["--help-all"] if path else [])):
        result = CliRunner().invoke(program, [*path, option])
        pages[" ".join(["thalweg", *path, option])] = [result.exit_code, result.stdout]
print(json.dumps({"pages": pages, "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def walked() -> dict[str, Any]:
    """Every help page of the whole tree, and the modules that printing them loaded."""
    done = python(WALK, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_all_commands_are_mounted(walked: dict[str, Any]) -> None:
    for path in ("words fit", "words related", "words similar", "words analogy", "tour", "gallery export", "doctor", "completion"):
        assert f"thalweg {path} --help" in walked["pages"]


def test_every_help_ends_with_examples_in_80_columns(walked: dict[str, Any]) -> None:
    from rich.cells import cell_len

    for command, (status, text) in walked["pages"].items():
        assert status == 0, command
        examples = text.rpartition("\nExamples:\n")[2].splitlines()
        assert 1 <= len(examples) <= 2, command
        assert all(line.startswith("  ") and "thalweg " in line for line in examples), command
        assert max(map(cell_len, text.splitlines())) <= 80, command


def test_help_shows_ten_options_and_loads_nothing_heavy(walked: dict[str, Any]) -> None:
    assert not HEAVY & set(walked["modules"])
    for command, (_, text) in walked["pages"].items():
        if command.endswith("--help"):
            listed = [line for line in text.partition("\nOptions:\n")[2].splitlines() if line.startswith("  -")]
            assert len(listed) <= 10 + 5, command  # and --json, --quiet, --overwrite, --help-all, --help


def test_importing_thalweg_loads_only_the_standard_library() -> None:
    code = "import sys; before = set(sys.modules); import thalweg; print(*{m.partition('.')[0] for m in set(sys.modules) - before})"
    loaded = set(python(code).stdout.decode().split())
    assert "thalweg" in loaded
    assert loaded - {"thalweg"} <= sys.stdlib_module_names


def commands() -> list[tuple[str, click.Command]]:
    def walk(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
        found = [(path, command)]
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                found += walk(child, f"{path} {name}")
        return found

    return walk(cli.program, "thalweg")


def test_shared_options_are_the_same_in_every_command() -> None:
    """The same spelling, the same type and, where the default is not the command's business, the same default."""

    @options.seed_option
    @options.threads_option
    @options.memory_option
    @options.overwrite_option
    @options.json_option
    @options.quiet_option
    @options.locale_option
    @options.topn_option
    @options.out_option
    def everything() -> None: ...

    shared = {p.name: p for p in options.command("try", examples=[])(everything).params}
    for path, command in commands():
        assert {"traceback", "help_all"} <= {p.name for p in command.params}, path
        for parameter in command.params:
            model = shared.get(parameter.name)
            if model is not None:
                assert (parameter.opts, type(parameter.type)) == (model.opts, type(model.type)), (path, parameter.name)
                if parameter.name not in ("out", "memory"):
                    assert parameter.default == model.default, (path, parameter.name)


# Exit statuses


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InputError("no"), 1),
        (errors.UnknownWordError("no"), 1),
        (errors.MissingFileError("no"), 1),
        (errors.MissingExtraError("no"), 1),
        (errors.StorageError("no", errno.ENOSPC), 1),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.txt"), 1),
        (OSError("odd"), 1),
        (MemoryError(), 1),
        (click.FileError("a.txt", "odd"), 1),
        (errors.UsageError("no"), 2),
        (errors.ExpressionError("no", "a - - b", 4), 2),
        (click.UsageError("no"), 2),
        (click.BadParameter("no"), 2),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141),
        (click.exceptions.Exit(0), 0),
        (click.exceptions.Exit(3), 3),
        (SystemExit(4), 4),
        (SystemExit(), 0),
        (ZeroDivisionError("division by zero"), 1),
    ],
)
def test_exit_statuses(error: BaseException, status: int) -> None:
    result = CliRunner().invoke(failing(error), ["try"])
    assert (result.exit_code, result.stdout) == (status, "")
    assert failing(error).run(["try"]) == status


def test_success_is_0_and_shows_what_the_command_wrote() -> None:
    result = CliRunner().invoke(program_of(lambda: click.echo("done")), ["try"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("args", [["--bad"], ["tyr"], ["try", "--bad"], ["try", "extra"], ["try", "--traceback=yes"], []])
def test_wrong_use_is_2(args: list[str]) -> None:
    result = CliRunner().invoke(failing(AssertionError("must not run")), args)
    assert (result.exit_code, result.stdout) == (2, "")


def one_line(error: BaseException) -> str:
    stderr = CliRunner().invoke(failing(error), ["try"]).stderr
    assert stderr.endswith("\n")
    assert stderr.count("\n") == 1
    return stderr.rstrip("\n")


def test_expected_errors_are_one_line() -> None:
    assert one_line(errors.UnknownWordError('"飞几" is not among the words')) == 'Error: "飞几" is not among the words'
    assert one_line(PermissionError(errno.EACCES, "Permission denied", "a.txt")) == "Error: a.txt: Permission denied"
    assert one_line(OSError("first\nsecond")) == "Error: first second"
    assert one_line(MemoryError("Unable to allocate 9 TiB")) == "Error: out of memory. Unable to allocate 9 TiB"
    assert one_line(MemoryError()) == "Error: out of memory."
    assert one_line(KeyboardInterrupt()) == "Interrupted."


def test_an_expression_error_shows_the_place() -> None:
    error = errors.ExpressionError("a word is missing", "机场 - \x1b + 火车", 5)
    stderr = CliRunner().invoke(failing(error), ["try"]).stderr
    assert stderr == "Error: a word is missing\n  机场 - \\x1b + 火车\n         ^\n"  # two columns for each of 机 and 场


def test_wrong_use_names_the_command_whose_help_helps() -> None:
    program = failing(errors.UsageError("--a and --b exclude each other"))
    assert CliRunner().invoke(program, ["try"]).stderr == "Error: --a and --b exclude each other\nTry: thalweg try --help\n"
    stderr = CliRunner().invoke(cli.program, ["completion", "--tracback", "bash"]).stderr
    assert "No such option" in stderr
    assert "Did you mean" in stderr
    assert "--traceback" in stderr
    assert stderr.endswith("Try: thalweg completion --help\n")


def test_an_option_without_its_value_names_the_command_too() -> None:
    @options.command("try", examples=["thalweg try"])
    @options.seed_option
    def tried(seed: int) -> None: ...

    result = CliRunner().invoke(Program("thalweg", commands={"try": tried}), ["try", "--seed"])
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "Try: thalweg try --help")


@pytest.mark.parametrize(
    "error", [errors.InputError("no"), OSError("odd"), MemoryError(), KeyboardInterrupt(), errors.UsageError("no")]
)
def test_traceback_shows_where_expected_errors_arose(error: BaseException) -> None:
    plain, full = (CliRunner().invoke(failing(error), args) for args in (["try"], ["try", "--traceback"]))
    assert "Traceback" not in plain.stderr
    assert "Traceback" in full.stderr
    assert "in fail" in full.stderr
    assert full.stderr.endswith(plain.stderr)
    assert full.exit_code == plain.exit_code


def test_a_bug_of_ours_shows_its_traceback_and_asks_for_a_report() -> None:
    stderr = CliRunner().invoke(failing(ZeroDivisionError("division by zero")), ["try"]).stderr
    assert stderr.count("Traceback") == 1
    assert "ZeroDivisionError: division by zero\n" in stderr
    assert stderr.splitlines()[-1].endswith("the output of: thalweg doctor")
    again = CliRunner().invoke(failing(ZeroDivisionError("division by zero")), ["try", "--traceback"]).stderr
    assert again.count("Traceback") == 1


def test_a_warning_is_one_line() -> None:
    def warn() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("the disk is slow:\nuse another", RuntimeWarning, stacklevel=1)

    assert CliRunner().invoke(program_of(warn), ["try"]).stderr == "Warning: the disk is slow: use another\n"


def test_the_version() -> None:
    assert CliRunner().invoke(cli.program, ["--version"]).stdout == f"thalweg {thalweg.__version__}\n"
    done = subprocess.run([sys.executable, "-m", "thalweg", "--version"], capture_output=True)
    assert (done.returncode, done.stdout.decode()) == (0, f"thalweg {thalweg.__version__}\n")


def test_main_returns_the_status() -> None:
    assert cli.main(["wrods"]) == 2


def test_a_mistyped_part_is_answered_with_its_near_miss() -> None:
    result = CliRunner().invoke(cli.program, ["wrods"])
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: thalweg has no command 'wrods'. Did you mean words?\nTry: thalweg --help\n",
    )


# Text from strangers

HOSTILE = "a\x1b]0;title\x07[red]b[/red]\u202ec\x9bd\ne"


@pytest.mark.parametrize(
    "error",
    [
        errors.InputError(HOSTILE),
        FileNotFoundError(errno.ENOENT, "No such file or directory", HOSTILE),
        click.UsageError(HOSTILE),
        errors.UsageError(HOSTILE),
        errors.ExpressionError(HOSTILE, HOSTILE, 3),
        ValueError(HOSTILE),
        MemoryError(HOSTILE),
    ],
)
@pytest.mark.parametrize("args", [["try"], ["try", "--traceback"]])
def test_hostile_text_in_errors_is_harmless(error: BaseException, args: list[str]) -> None:
    stderr = CliRunner().invoke(failing(error), args).stderr
    assert all(ch.isprintable() or ch == "\n" for ch in stderr)
    assert "[red]b[/red]" in stderr


@pytest.mark.parametrize("args", [[HOSTILE], ["try", HOSTILE], ["try", f"--{HOSTILE}"]])
def test_hostile_text_on_the_command_line_is_harmless(args: list[str]) -> None:
    result = CliRunner().invoke(failing(AssertionError("must not run")), args)
    assert result.exit_code == 2
    assert all(ch.isprintable() or ch == "\n" for ch in result.stderr)


SHOW = """
import sys
from thalweg.cli import Program
from thalweg.console import Console
from thalweg.errors import InputError
from thalweg.options import command

@command("try", examples=["thalweg try"])
def tried():
    console = Console()
    {body}

sys.exit(Program("thalweg", commands={{"try": tried}}).run(["try"]))
"""


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}]
)
def test_an_encoding_without_chinese_shows_codes(environment: dict[str, str]) -> None:
    """The second: a bare C locale, which Python would otherwise turn into UTF-8."""
    texts = [ascii(text) for text in ("词", "广州", "注", "错")]  # the program itself is read in this encoding
    code = SHOW.format(body="console.table([{}], [[{}]]); console.note({}); raise InputError({})".format(*texts))
    done = python(code, env={**os.environ, **environment})
    assert (done.returncode, done.stdout) == (1, b"\\u8bcd\n\\u5e7f\\u5dde\n")
    assert done.stderr == b"\\u6ce8\nError: \\u9519\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    """As in `thalweg ... | head -1`: no traceback, the status of a filter that a closed pipe ended (128 + SIGPIPE)."""
    code = SHOW.format(body='[console.print("line") for _ in range(10**6)]')
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", SHOW.format(body='console.print("line")')], stdout=full, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (1, b"Error: No space left on device\n")


# Completion


def completed(words: str, **environment: str) -> Result:
    asked = {"_THALWEG_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    return CliRunner(env={**asked, **environment}).invoke(cli.program, [])


def test_completion_offers_parts_verbs_options_and_choices() -> None:
    assert completed("thalweg w").stdout == "plain,words\n"
    assert completed("thalweg words rel").stdout == "plain,related\n"
    assert completed("thalweg doctor --js").stdout == "plain,--json\n"
    assert completed("thalweg completion z").stdout == "plain,zsh\n"
    assert completed("thalweg w").exit_code == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_says_how_to_install_it(shell: str) -> None:
    result = CliRunner().invoke(cli.program, ["completion", shell])
    assert result.exit_code == 0
    assert f"_THALWEG_COMPLETE={shell}_complete" in result.stdout
    assert result.stdout.splitlines()[-1].startswith(f"# To install: thalweg completion {shell} >")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_printed_script(tmp_path: Path) -> None:
    script = tmp_path / "completion.sh"
    script.write_text(CliRunner().invoke(cli.program, ["completion", "bash"]).stdout)
    (tmp_path / "thalweg").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m thalweg "$@"\n')
    (tmp_path / "thalweg").chmod(0o755)
    asked = f'. "{script}"; COMP_WORDS=(thalweg comp); COMP_CWORD=1; _thalweg_completion thalweg comp; echo "${{COMPREPLY[@]}}"'
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", asked], capture_output=True, env=environment)
    assert (done.stdout, done.stderr) == (b"completion\n", b"")
