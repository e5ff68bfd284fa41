"""The options that all commands share, one spelling and one meaning each, and the click classes that commands are made of.

    @options.command("related", examples=["thalweg words related vec 广州"])
    @click.argument("folder", type=options.ExistingPath())
    @options.topn_option
    @options.option("--restrict", type=options.Number(int, low=1), advanced=True, help="Only the N most frequent words.")
    @options.json_option
    @options.quiet_option
    def related(folder: Path, topn: int, restrict: int | None, json: bool, quiet: bool) -> None:
        "Words that occur together with a word."

A shared option is used as it is (`@seed_option`), or with a change where a command needs one (`@out_option(required=True)`).
Printing help imports nothing but click: a group knows its commands by name, place and one line.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field
from operator import ge, gt, le, lt
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import click

from thalweg.declared import Declaration, declarations
from thalweg.errors import InputError, MissingFileError, near_misses
from thalweg.files import parse_size

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

# keys of click's `ctx.meta`, one dictionary for the whole line of contexts from `thalweg` down to the verb
TRACEBACK = "thalweg.traceback"  # bool: --traceback was given
PATH = "thalweg.path"  # str: the deepest command reached, "thalweg words related"
HELP_ALL = "thalweg.help_all"  # bool: advanced options are to be shown


class Number(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """A number as Python's `int` or `float` reads it (1e-3, 10_000), finite unless said otherwise.

    low, high: bounds that are allowed; above, below: bounds that are not.
    """

    def __init__(
        self,
        kind: type[int] | type[float],
        *,
        low: float | None = None,
        above: float | None = None,
        high: float | None = None,
        below: float | None = None,
        finite: bool = True,
    ) -> None:
        self.kind = kind
        self.finite = finite
        self.name = "whole number" if kind is int else "number"
        bounds = (("at least", low, ge), ("above", above, gt), ("at most", high, le), ("below", below, lt))
        self.bounds = [(text, bound, holds) for text, bound, holds in bounds if bound is not None]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "N" if self.kind is int else "X"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """The number, or a usage error that says what was expected."""
        try:
            number = self.kind(value)
        except (ValueError, OverflowError):
            self.fail(f"{_short(value)} is not a {self.name}.", param, ctx)
        if isinstance(number, float) and (math.isnan(number) or (self.finite and math.isinf(number))):
            self.fail(f"{_short(value)} is not a finite number.", param, ctx)
        if not all(holds(number, bound) for _, bound, holds in self.bounds):
            wanted = " and ".join(f"{text} {bound}" for text, bound, _ in self.bounds)
            self.fail(f"{_short(value)} does not fit: it must be {wanted}.", param, ctx)
        return number


class Choice(click.Choice):  # type: ignore[type-arg]
    """One of a few words; a mistyped one is answered with its near misses."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        return f"{_short(value)} is unknown.{near_misses(str(value), self.choices)}"


class Size(click.ParamType):  # type: ignore[type-arg]
    """An amount of memory in bytes: 512M, 2G (powers of 1024)."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse_size(value)
        except InputError as error:
            self.fail(str(error), param, ctx)


class Folder(click.Path):
    """A directory to write to, there or not, as a Path. What it holds is the command's business (status 1, not 2)."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":  # Path("") is the current directory, and nobody means that
            self.fail("the name of the directory is empty.", param, ctx)
        return super().convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="dir")]


class ExistingPath(click.Path):
    """A file or directory to read, as a Path; `-` (standard input) only with allow_dash.

    One that is not there is a MissingFileError (status 1), raised before the command imports anything.
    """

    def __init__(self, *, allow_dash: bool = False) -> None:
        super().__init__(path_type=Path, allow_dash=allow_dash)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not (self.allow_dash and value == "-") and not (value and Path(value).exists()):
            msg = f"there is no file or directory {_short(value)}"
            raise MissingFileError(msg)
        return super().convert(value, param, ctx)


def _short(value: object) -> str:
    """The repr of what was given, cut where it would fill the screen."""
    text = str(value)
    return repr(text if len(text) <= 60 else text[:59] + "…")


class Option(click.Option):
    """An option that shows its default; an advanced one appears in `--help-all` only."""

    def __init__(self, *args: Any, advanced: bool = False, **attrs: Any) -> None:
        attrs.setdefault("show_default", True)
        super().__init__(*args, **attrs)
        self.advanced = advanced


def option(*names: str, advanced: bool = False, **attrs: Any) -> Callable[[F], F]:
    """`click.option`, with `advanced=True` for options that only `--help-all` shows."""
    return click.option(*names, cls=Option, advanced=advanced, **attrs)


class SharedOption:
    """An option that commands share: `@seed_option`, or `@out_option(required=True)` for a variation."""

    def __init__(self, *names: str, **attrs: Any) -> None:
        self._names = names
        self._attrs = attrs

    @overload
    def __call__(self, function: F, /) -> F: ...
    @overload
    def __call__(self, /, **changes: object) -> Callable[[F], F]: ...

    def __call__(self, function: Callable[..., Any] | None = None, /, **changes: Any) -> Any:
        decorate: Callable[[Callable[..., Any]], Callable[..., Any]] = option(*self._names, **{**self._attrs, **changes})
        return decorate if function is None else decorate(function)


def environment_locale(environ: Mapping[str, str] = os.environ) -> str:
    """'zh' where the first of LC_ALL, LC_MESSAGES and LANG that is set says so, else 'en'."""
    languages = (environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return "zh" if next(filter(None, languages), "").lower().startswith("zh") else "en"


out_option = SharedOption("--out", type=Folder(), metavar="DIR", help="Directory for the result.")
seed_option = SharedOption("--seed", type=Number(int, low=0, high=2**63 - 1), default=0, help="Seed of all randomness.")
threads_option = SharedOption("--threads", type=Number(int, low=1), help="Cores to use.  [default: all available]")
memory_option = SharedOption("--memory", type=Size(), metavar="SIZE", help="Limit for large buffers, such as 512M or 2G.")
overwrite_option = SharedOption("--overwrite", is_flag=True, help="Replace what thalweg wrote there before.")
json_option = SharedOption("--json", is_flag=True, help="Print the result as one JSON object.")
quiet_option = SharedOption("--quiet", is_flag=True, help="No notes and no progress.")
locale_option = SharedOption(
    "--locale",
    type=Choice(["en", "zh"]),
    default=environment_locale,
    show_default=False,
    help="Language of the pages.  [default: the environment's]",
)
topn_option = SharedOption("--topn", type=Number(int, low=1), default=10, metavar="K", help="How many results.")


def declared(kind: type) -> tuple[Callable[[F], F], ...]:
    """An option for each setting that a dataclass declares (`thalweg.declared`)."""
    return tuple(_option_of(each, about) for each, about in declarations(kind) if about.typed)


def _option_of(each: Field[Any], about: Declaration) -> Callable[[F], F]:
    made: click.ParamType[Any]
    if about.kind == "choice":
        made = Choice(list(about.options))
    else:
        kind = int if about.kind == "whole" else float
        made = Number(kind, low=about.low, above=about.above, high=about.high, below=about.below)
    more = {} if about.metavar is None else {"metavar": about.metavar}
    name = f"--{each.name.replace('_', '-')}"
    return option(name, type=made, default=each.default, help=about.help, advanced=not about.shown, **more)


def _remember_traceback(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[TRACEBACK] = True


def _show_all(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[HELP_ALL] = True
        click.echo(ctx.get_help())
        ctx.exit()


def _common(hidden: bool) -> list[click.Parameter]:
    """The options that every command has without asking for them."""
    eager: dict[str, Any] = {"is_flag": True, "is_eager": True, "expose_value": False, "hidden": hidden}
    return [
        Option(["--traceback"], callback=_remember_traceback, advanced=True, help="Show where an error arose.", **eager),
        Option(["--help-all"], callback=_show_all, help="Show every option and exit.", **eager),
    ]


class Command(click.Command):
    """A command whose help ends with `examples`: one or two lines that work as typed."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.examples = list(examples)
        self.params = [*self.params, *_common(hidden=False)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[PATH] = ctx.command_path
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        _write_examples(self.examples, formatter)


def command(name: str, *, examples: Sequence[str], **attrs: Any) -> Callable[[Callable[..., None]], Command]:
    """Make a function a command; its docstring is the help, `examples` are the last lines of it."""
    return click.command(name, cls=Command, examples=examples, **attrs)


class Group(click.Group):
    """A group whose commands are imported when they run.

    lazy: name -> ("module:attribute", one line for the group's help, which therefore imports nothing).
    Commands can also be added in click's way. The order is that of the dictionary.
    """

    command_class = Command

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, tuple[str, str]] | None = None,
        examples: Sequence[str] = (),
        **attrs: Any,
    ) -> None:
        super().__init__(*args, **attrs)
        self.lazy = dict(lazy or {})
        self.examples = list(examples)
        self.params = [*self.params, *_common(hidden=not self.invoke_without_command)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[PATH] = ctx.command_path
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.lazy, *(name for name in self.commands if name not in self.lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if not isinstance(found, click.Command):
            msg = f"{self.lazy[cmd_name][0]} is not a click command"
            raise TypeError(msg)
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args[0] not in names and not ctx.resilient_parsing:
            msg = f"{ctx.command_path} has no command {_short(args[0])}.{near_misses(args[0], names)}"
            raise click.UsageError(msg, ctx)
        return super().resolve_command(ctx, args)

    def _summary(self, name: str) -> str:
        return self.lazy[name][1] if name in self.lazy else self.commands[name].get_short_help_str(60)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(name)) for name in self.list_commands(ctx)])
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        _write_examples(self.examples, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=self._summary(name)) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    everything = ctx.meta.get(HELP_ALL, False)
    shown = [p for p in command.get_params(ctx) if everything or not getattr(p, "advanced", False)]
    records = [p.get_help_record(ctx) for p in shown if isinstance(p, click.Option)]
    with formatter.section("Options"):
        formatter.write_dl([record for record in records if record])


def _write_examples(examples: list[str], formatter: click.HelpFormatter) -> None:
    """The last lines of a help text, not wrapped: they are to be copied."""
    if examples:
        with formatter.section("Examples"):
            formatter.write("".join(f"  {line}\n" for line in examples))
