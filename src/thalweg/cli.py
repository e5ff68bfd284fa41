"""`thalweg PART VERB`: where the parts' commands are mounted, and what every outcome means.

Exit status: 0 done; 1 failed, whatever depends on files, data or machine; 2 wrong use; 130 interrupted; 141 the reader of our
output went away (as for `cat`). An error is one line on stderr; `--traceback` adds where it arose. An exception that nobody meant
is a bug of ours and always shows its traceback. A part is imported when one of its commands runs.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import click
from click.exceptions import Exit, NoArgsIsHelpError

from thalweg.errors import ExpressionError, ThalwegError, UsageError, visible
from thalweg.options import PATH, TRACEBACK, Choice, Group, command
from thalweg.parts import PARTS
from thalweg.version import __version__

COMPLETION = "_THALWEG_COMPLETE"  # the environment variable by which a shell asks for completions


class Program(Group):
    """The whole program: runs a command line and turns every outcome into an exit status."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> Any:
        """Click's entry point: run and exit."""
        sys.exit(self.run(args))

    def run(self, args: Sequence[str] | None = None) -> int:
        """Run a command line (sys.argv's by default) and return the exit status."""
        name = self.name or "thalweg"
        if instruction := os.environ.get(COMPLETION):
            from click.shell_completion import shell_complete

            return shell_complete(self, {}, name, COMPLETION, instruction)
        meta: dict[str, Any] = {PATH: name}
        with _streams_that_take_any_text():
            try:
                with self.make_context(name, list(sys.argv[1:] if args is None else args)) as context:
                    meta = context.meta
                    self.invoke(context)
                if sys.stdout is not None:
                    sys.stdout.flush()  # a full disk behind stdout is an error like any other
            except BaseException as error:
                return _report(error, meta)
            return 0


def _report(error: BaseException, meta: dict[str, Any]) -> int:
    """Say on stderr what happened, and return the exit status."""
    if meta.get(TRACEBACK) and not isinstance(error, (click.ClickException, Exit, BrokenPipeError)):
        _say_traceback(error)
    match error:
        case Exit():
            return _flushed(error.exit_code)
        case SystemExit():
            return _flushed(error.code if isinstance(error.code, int) else int(error.code is not None))
        case BrokenPipeError():
            return _flushed(141)
        case KeyboardInterrupt() | click.Abort():
            on_terminal = sys.stderr is not None and sys.stderr.isatty()
            _say(*([""] if on_terminal else []), "Interrupted.")  # the terminal has written ^C
            return _flushed(130)
        case NoArgsIsHelpError():
            _say(*error.format_message().split("\n"))
            return 2
        case click.UsageError() | UsageError():
            usage = error if isinstance(error, click.UsageError) else None
            path = usage.ctx.command_path if usage and usage.ctx else meta[PATH]
            _say(f"Error: {_one_line(usage.format_message() if usage else str(error))}", f"Try: {path} --help")
            return 2
        case ExpressionError():
            _say(f"Error: {error}", *_caret(error.expression, error.position))
            return _flushed(2)
        case ThalwegError():
            _say(f"Error: {error}")
        case click.ClickException():
            _say(f"Error: {_one_line(error.format_message())}")
        case OSError():
            what = error.strerror or _one_line(str(error)) or type(error).__name__
            _say("Error: " + ": ".join(str(part) for part in (error.filename, what) if part is not None))
        case MemoryError():
            _say(f"Error: out of memory. {_one_line(str(error))}".rstrip())
        case _:
            if not meta.get(TRACEBACK):
                _say_traceback(error)
            _say("This is a bug in thalweg. Please report it with the lines above and the output of: thalweg doctor")
    return _flushed(1)


def _flushed(status: int) -> int:
    """The same status, after making sure that the interpreter's own last flush of stdout cannot fail and change it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):  # no file descriptor in tests and notebooks
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _say(*lines: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads stderr: the exit status still tells
        if sys.stderr is not None:
            sys.stderr.write("".join(f"{visible(line)}\n" for line in lines))
            sys.stderr.flush()


def _say_traceback(error: BaseException) -> None:
    _say(*"".join(traceback.format_exception(error)).rstrip("\n").split("\n"))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _caret(expression: str, position: int) -> list[str]:
    """The expression and a caret under the place of the fault."""
    from thalweg.console import width

    return [f"  {visible(expression)}", "  " + " " * width(visible(expression[:position])) + "^"]


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    _say(f"Warning: {_one_line(str(message))}")


@contextlib.contextmanager
def _streams_that_take_any_text() -> Iterator[None]:
    """Characters that the encoding of stdout or stderr lacks appear as codes and do not end the program; a warning is one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        yield


@command(
    "completion",
    examples=["thalweg completion bash >> ~/.bashrc", "thalweg completion fish > ~/.config/fish/completions/thalweg.fish"],
)
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete thalweg's commands and options."""
    from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

    kinds: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    places = {"bash": ">> ~/.bashrc", "zsh": ">> ~/.zshrc", "fish": "> ~/.config/fish/completions/thalweg.fish"}
    script = kinds[shell](program, {}, "thalweg", COMPLETION).source().rstrip("\n")
    click.echo(f"{script}\n# To install: thalweg completion {shell} {places[shell]}")


program = Program(
    "thalweg",
    help="Write down an energy and go down it: word vectors, optimisers, pages to try.",
    lazy={
        **{name: (f"{part.home}.commands:GROUP", part.summary) for name, part in PARTS.items()},
        "tour": ("thalweg.tour:command", "Run the main jobs of all parts and write them on one page."),
        "gallery": ("thalweg.gallery:command", "Write and open the pages with knobs to turn."),
        "doctor": ("thalweg.doctor:command", "Show what is installed, what works and what is missing."),
        "completion": ("thalweg.cli:completion", "Print what makes a shell complete commands and options."),
    },
    examples=["thalweg tour --out tour", "thalweg words fit docs: --out vec"],
    context_settings={"help_option_names": ["-h", "--help"]},
)
click.version_option(__version__, prog_name="thalweg", message="%(prog)s %(version)s")(program)


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of `thalweg` and `python -m thalweg`: run a command line and return the exit status."""
    return program.run(argv)
