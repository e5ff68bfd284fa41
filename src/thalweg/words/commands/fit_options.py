"""The options of the commands from texts to vectors, and which of them were typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from thalweg import options
from thalweg.words.solving.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
N, X = options.Number, options.option
LANGUAGES = options.Choice(["auto", "words", "zh", "whitespace"])
DISTANCES = options.Choice(["harmonic", "uniform", "linear"])

reading_options = (
    X("--window", type=N(int, low=1, high=1000), default=10, help="Tokens to each side that count as near."),
    X("--min-count", type=N(int, low=1), default=5, help="Leave out rarer words."),
    X("--language", type=LANGUAGES, default="auto", help="How the text is cut into words."),
    X("--unit", type=options.Choice(["line", "paragraph", "file"]), default="line", advanced=True,
      help="What no window reaches across."),
    options.memory_option(help="Limit for reading and counting, such as 512M.  [default: half of what is free]"),
    X("--resume", is_flag=True, help="Continue interrupted work in --out."),
    X("--encoding", default="utf-8", advanced=True, help="Encoding of the files, such as gb18030."),
    X("--lower/--no-lower", default=True, advanced=True, help="Spell words in lower case."),
    X("--digits/--no-digits", default=True, advanced=True, help="Numbers are parts of words."),
    X("--join", metavar="SIGNS", default="", advanced=True,
      help="Signs out of '·- that belong to a word between two letters: with \"'\" don't is one word."),
    X("--max-words", type=N(int, low=2), advanced=True, help="Keep only the N most frequent words."),
    X("--rare", type=options.Choice(["close", "gap"]), default="close", advanced=True,
      help="Windows close up over words that are left out, or these keep their places."),
    X("--phrases", type=N(float, low=-1, below=1), advanced=True,
      help="Join pairs of words whose normalised PMI is over X, such as 0.5: new_york."),
    X("--prune", type=N(int, low=2), advanced=True,
      help="When the vocabulary outgrows --memory, forget words seen fewer than N times, instead of keeping them on disk."),
    X("--glob", metavar="PATTERN", multiple=True, advanced=True,
      help="Which files of a folder are read, such as '*.csv'; can be repeated."),
    X("--json-key", metavar="KEY", default="text", advanced=True, help="What is the text in the lines of a .jsonl file."),
    X("--skip-damaged", is_flag=True, advanced=True,
      help="Read compressed files as far as they are sound; without it a damaged one is an error."),
    X("--split-latin/--no-split-latin", default=False, advanced=True,
      help="Chinese: cut digits and Latin letters into single characters."),
    X("--user-dict", type=options.ExistingPath(), metavar="FILE", advanced=True, help="Chinese: words for the dictionary."),
    X("--convert", type=options.Choice(["t2s"]), advanced=True, help="Chinese: traditional to simplified (needs opencc)."),
    X("--distance", type=DISTANCES, default="harmonic", advanced=True, help="Weight of a pair."),
)  # fmt: skip
solving_options = options.declared(Settings)
common_options = (options.threads_option, options.overwrite_option, options.json_option, options.quiet_option)


def taking(*groups: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """A decorator that gives a command groups of options, in this order."""

    def decorate(function: F) -> F:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return decorate


def given_of(values: dict[str, Any]) -> dict[str, Any]:
    """The options that were typed: the library knows the defaults, and a preset must not be overruled by them."""
    context = click.get_current_context()
    return {name: value for name, value in values.items() if context.get_parameter_source(name) is not ParameterSource.DEFAULT}


def typed() -> list[str]:
    """The options of this command as they were typed, for another one that takes them too."""
    context = click.get_current_context()
    words: list[str] = []
    for option in context.command.params:
        is_typed = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if not is_typed or not isinstance(option, click.Option) or option.name in ("json", "quiet"):
            continue
        value = context.params[option.name or ""]
        if option.is_flag:
            words.append((option.opts if value else option.secondary_opts)[0])
        else:
            words += [word for each in (value if option.multiple else [value]) for word in (option.opts[0], str(each))]
    return words
