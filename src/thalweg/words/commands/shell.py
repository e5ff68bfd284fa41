"""`thalweg words shell`: many questions to vectors that are opened once."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thalweg import options
from thalweg.console import Console, width, write_lines
from thalweg.errors import ExpressionError, ThalwegError, visible
from thalweg.words.commands.asking import opened, vectors_argument

if TYPE_CHECKING:
    from thalweg.words.answers import Answer
    from thalweg.words.wordvectors import WordVectors

PROMPT = "> "


@options.command(
    "shell",
    examples=["thalweg words shell vec", "echo 'king - man + woman' | thalweg words shell vec"],
)
@vectors_argument
@options.json_option
@options.quiet_option
def shell(vectors: Path, json: bool, quiet: bool) -> None:
    """Ask many questions, one on a line.

    A line is a word, an expression a - b + c, or a verb of thalweg words with its words and options; help lists them. On a terminal
    the arrow keys bring old lines back, Tab completes words, Ctrl-C gives up a question and Ctrl-D ends. From a pipe every line is
    answered, and the exit status is 1 if one could not be. With --json the answers come as one object at the end.
    """
    from thalweg.words.commands.questions import LEAVE, answer

    console, wv = opened(vectors, "shell", json, quiet)
    on_terminal = _is_terminal()
    if on_terminal:
        console.note(f"{len(wv):,} words. Ask one, or king - man + woman; help lists the rest, Ctrl-D ends.")
    results: list[dict[str, object]] = []
    n_failed = 0
    for line in _typed(wv) if on_terminal else _piped():
        if not (question := line.strip()):
            continue
        if question in LEAVE:
            break
        if not on_terminal and not json:
            console.print(PROMPT + question)
        try:
            found = answer(wv, question)
            if not json:
                _show(console, found)
            results.append({"question": question, "answer": found.value, "notes": found.notes})
        except KeyboardInterrupt:
            if not on_terminal:
                raise
            write_lines(sys.stderr, "", "Interrupted.")
        except BrokenPipeError:
            raise
        except (ThalwegError, OSError, MemoryError) as error:
            n_failed += 1
            _say(error)
            results.append({"question": question, "error": str(error)})
    if json:
        console.result(results, "")
    if n_failed and not on_terminal:
        raise click.exceptions.Exit(1)


def _show(console: Console, found: Answer) -> None:
    for note in found.notes:
        console.note(note)
    if found.line:
        console.print(found.line)
    elif found.rows:
        console.table(list(found.head), found.rows)


def _say(error: Exception) -> None:
    """What is wrong with a question, in a line; an expression also shows the place."""
    text = "out of memory" if isinstance(error, MemoryError) else str(error)
    lines = [f"Error: {' '.join(text.split())}"]
    if isinstance(error, ExpressionError):
        before = visible(error.expression[: error.position])
        lines += [f"  {visible(error.expression)}", "  " + " " * width(before) + "^"]
    write_lines(sys.stderr, *(line.replace("\n", " ") for line in lines))


def _is_terminal() -> bool:
    """Whether a person types and reads: then there is a prompt, history and completion."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _piped() -> Iterator[str]:
    """The lines of standard input, whatever bytes they hold."""
    if sys.stdin is None:
        return
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    while line := sys.stdin.readline():
        yield line


def _typed(wv: WordVectors) -> Iterator[str]:
    """The lines that a person types, until Ctrl-D; Ctrl-C begins a new one."""
    with _line_editor(wv):
        while True:
            try:
                yield input(PROMPT)
            except KeyboardInterrupt:
                write_lines(sys.stderr, "")
            except UnicodeDecodeError:
                write_lines(sys.stderr, "Error: the line is not text in UTF-8: check the encoding of the terminal.")
            except EOFError:
                write_lines(sys.stderr, "")
                return


@contextlib.contextmanager
def _line_editor(wv: WordVectors) -> Iterator[None]:
    """History and completion by the standard library's readline, where Python has it; the history ends with the session."""
    try:
        import readline
    except ImportError:
        yield
        return
    from thalweg.words.commands.questions import completions

    found: list[str] = []

    def complete(start: str, number: int) -> str | None:
        nonlocal found
        if number == 0:
            found = completions(wv, readline.get_line_buffer()[: readline.get_begidx()], start)
        return found[number] if number < len(found) else None

    before = readline.get_completer(), readline.get_completer_delims()
    readline.set_completer(complete)
    try:
        readline.set_completer_delims(' \t\n"“”')
    except UnicodeEncodeError:  # locale C has no such quotes
        readline.set_completer_delims(' \t\n"')
    libedit = "libedit" in (readline.__doc__ or "")  # as on macOS
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
    try:
        yield
    finally:
        readline.set_completer(before[0])
        readline.set_completer_delims(before[1])
