"""What a command shows: the result on stdout, everything else on stderr, and with --json exactly one object on stdout.

    console = Console(json=json, quiet=quiet, command="words related")
    console.note("reading vec")
    with console.progress() as progress:
        found = related(..., progress=progress)
    console.result(found, lambda: console.table(["word", "score"], found))
    console.next_steps(["thalweg words similar vec 广州"])

Only commands import this module. Every string passes `errors.visible`: no escape sequence, bidi mark or markup in a corpus or a
file name reaches the terminal as such. rich is imported where it draws on a terminal; elsewhere everything is plain text.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TextIO

from thalweg.errors import visible
from thalweg.files import size_text
from thalweg.progress import Progress
from thalweg.version import __version__

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

INTERVAL = 5.0  # seconds between two lines of progress where there is no terminal


class Console:
    """One command's output. json: one object on stdout instead of text; quiet: no notes and no progress."""

    def __init__(self, *, json: bool = False, quiet: bool = False, command: str = "") -> None:
        self.json = json
        self.quiet = quiet
        self.command = command
        self._started = time.monotonic()
        self._finished = False
        logging.getLogger("matplotlib").setLevel(logging.ERROR)  # of a home that cannot be written to it tells twice

    def note(self, text: str) -> None:
        """A line beside the result, on stderr."""
        if not self.quiet:
            write_lines(sys.stderr, text)

    def print(self, text: str) -> None:
        """Lines of the result, on stdout; nothing with --json."""
        if not self.json:
            write_lines(sys.stdout, text)

    def result(self, value: object, render: Callable[[], object] | str) -> None:
        """The result: `value` in the JSON object, or for a person `render`, a text or a function that calls print and table."""
        if self._finished:
            msg = "a command has one result"
            raise RuntimeError(msg)
        self._finished = True
        if self.json:
            _write(sys.stdout, to_json({"thalweg": __version__, "command": self.command, "result": value}) + "\n")
        elif isinstance(render, str):
            self.print(render)
        else:
            render()

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
        """A table on stdout, numbers aligned right: drawn on a terminal, plain columns elsewhere, nothing with --json."""
        if self.json:
            return
        body = [[_scalar(cell) for cell in row] for row in rows]
        right = [bool(body) and all(_is_number(row[k]) for row in body) for k in range(len(head))]
        texts = [[visible(name) for name in head], *([cell_text(cell) for cell in row] for row in body)]
        if _is_terminal(sys.stdout):
            _draw_table(texts, right, title)
        else:
            write_lines(sys.stdout, *([title] if title is not None else []), *plain_columns(texts, right))

    @contextlib.contextmanager
    def progress(self) -> Iterator[Progress]:
        """A function for the library's `progress=`: a bar per phase on a terminal, a line now and then elsewhere, on stderr."""
        show: _Lines | _Bars | None = None if self.quiet else _Bars() if _is_terminal(sys.stderr) else _Lines()
        try:
            yield show if show is not None else _no_progress
        finally:
            if show is not None:
                show.close()

    def next_steps(self, commands: Sequence[str]) -> None:
        """What to try next, on stderr; nothing if there is nothing."""
        if commands:
            self.note("\n".join(["Try next:", *(f"  {visible(line)}" for line in commands)]))

    def elapsed(self) -> str:
        """Time since the command began, '3.2 s'."""
        return duration(time.monotonic() - self._started)


def duration(seconds: float) -> str:
    """'0.42 s', '12.3 s', '3 min 12 s' or '2 h 05 min'."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def to_json(value: object) -> str:
    """`value` on one line of JSON that any terminal shows harmlessly and any stdout can encode; NaN and infinity become null."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    text = json.dumps(_plain(value), ensure_ascii=encoding != "utf8", allow_nan=False)
    return text if text.isprintable() else "".join(ch if ch.isprintable() else json.dumps(ch)[1:-1] for ch in text)


def _plain(value: Any) -> Any:
    """`value` in JSON's own types: arrays and their scalars as lists and numbers, dataclasses as objects, the rest as text."""
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy, tensors of torch
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    msg = f"a result cannot hold {type(value).__name__}"
    raise TypeError(msg)


def write_lines(stream: TextIO | None, *texts: str) -> None:
    """Lines of text on a stream, each shown harmlessly."""
    _write(stream, "".join(f"{visible(line)}\n" for text in texts for line in text.split("\n")))


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:  # None: the shell closed it (`>&-`)
        stream.write(text)
        stream.flush()


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def _scalar(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value  # a scalar of NumPy or torch


def _is_number(cell: object) -> bool:
    return cell is None or (isinstance(cell, (int, float)) and not isinstance(cell, bool))


def cell_text(cell: object) -> str:
    """A table's cell: whole numbers with separators, others with four digits, None as '-', text as it is."""
    if cell is None or isinstance(cell, bool):
        return {None: "-", True: "yes", False: "no"}[cell]
    if isinstance(cell, (int, float)):
        return f"{cell:,}" if isinstance(cell, int) else f"{cell:#.4g}".rstrip(".")
    return visible(str(cell))


def width(text: str) -> int:
    """Columns that a text takes on a terminal: two for a Chinese character."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def plain_columns(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Rows of cells as aligned lines with two spaces between the columns."""
    widths = [max(width(row[k]) for row in rows) for k in range(len(right))]
    return ["  ".join(_pad(cell, w, r) for cell, w, r in zip(row, widths, right, strict=True)).rstrip() for row in rows]


def _pad(text: str, columns: int, right: bool) -> str:
    space = " " * (columns - width(text))
    return space + text if right else text + space


def _draw_table(texts: list[list[str]], right: list[bool], title: str | None) -> None:
    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table
    from rich.text import Text  # a Text is shown as it is; a plain string would be read as markup

    table = Table(box=box.SIMPLE_HEAD, title=None if title is None else Text(visible(title)), title_justify="left")
    for name, is_right in zip(texts[0], right, strict=True):
        table.add_column(Text(name), justify="right" if is_right else "left", overflow="fold")
    for row in texts[1:]:
        table.add_row(*map(Text, row))
    RichConsole(file=sys.stdout, highlight=False, markup=False, emoji=False).print(table)


def _no_progress(done: float, total: float | None, **numbers: object) -> None:
    pass


def number_text(name: str, value: object) -> str:
    """'energy 0.5321', '3.2 M tokens/s', '120 MB' from the numbers that a progress call brings."""
    value = _scalar(value)
    what = name.removesuffix("_per_second").replace("_", " ")
    per = "/s" if name.endswith("_per_second") else ""
    if not isinstance(value, (int, float)):
        return f"{what} {visible(str(value))}"
    if what == "bytes":
        return size_text(value) + per
    return f"{_scaled(value)} {what}{per}" if per else f"{what} {cell_text(value)}"


def _scaled(value: float) -> str:
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def _details(numbers: Mapping[str, object]) -> str:
    return ", ".join(number_text(name, value) for name, value in numbers.items())


class _Lines:
    """Progress where there is no terminal: a line every INTERVAL seconds, and one at the end of each phase."""

    def __init__(self) -> None:
        self._phase: str | None = None
        self._pending: tuple[float, float | None, str, dict[str, object]] | None = None
        self._began = self._printed = time.monotonic()

    def __call__(self, done: float, total: float | None, **numbers: object) -> None:
        phase, unit = str(numbers.pop("phase", "working")), str(numbers.pop("unit", ""))
        if phase != self._phase:
            self.close()
            self._phase, self._began = phase, time.monotonic()
        self._pending = done, total, unit, numbers
        if time.monotonic() - self._printed >= INTERVAL:
            self.close()

    def close(self) -> None:
        """Print what was not printed yet."""
        if self._pending is None:
            return
        done, total, unit, numbers = self._pending
        self._pending, self._printed = None, time.monotonic()
        count, end = (f"{n:,}" if unit != "bytes" else size_text(n) for n in (done, total or 0))
        count += (f" of {end}" if total else "") + (f" {unit}" if unit != "bytes" else "")
        texts = [f"{self._phase}: {count.strip()}", f"{done / total:.0%}" if total else "", _details(numbers)]
        if total and 0 < done < total:
            texts.append(f"{duration((self._printed - self._began) / done * (total - done))} left")
        write_lines(sys.stderr, ", ".join(filter(None, texts)).replace("\n", " "))


class _Bars:
    """Progress on a terminal: one bar per phase with the time that is left."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._task: TaskID | None = None
        self._phase: str | None = None

    def __call__(self, done: float, total: float | None, **numbers: object) -> None:
        phase, _ = str(numbers.pop("phase", "working")), numbers.pop("unit", "")
        bars = self._bars = self._bars or _rich_progress()
        if self._task is None or phase != self._phase:
            if self._task is not None:
                bars.stop_task(self._task)
            self._phase, self._task = phase, bars.add_task(visible(phase), total=total, details="")
        bars.update(self._task, completed=done, total=total, details=_details(numbers))

    def close(self) -> None:
        """Leave the bars as they are and give the terminal back."""
        if self._bars is not None:
            self._bars.stop()


def _rich_progress() -> RichProgress:
    from rich import progress
    from rich.console import Console as RichConsole

    bars = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(text_format_no_percentage=""),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
        progress.TextColumn("{task.fields[details]}", markup=False),
        console=RichConsole(file=sys.stderr, highlight=False, markup=False, emoji=False),
        redirect_stdout=False,  # rich would send the result to stderr
    )
    bars.start()
    return bars
