"""A line of the shell to its answer.

    广州                              a word: what it is related to and what it is similar to, side by side
    king - man + woman                an expression: an analogy
    similar running --contexts 500    a verb of `thalweg words`, its words, its options

The verbs and their options are read by the commands themselves, without what belongs to a process. Double quotes hold a text
together. `thalweg.words.commands.shell` is the loop around it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

import click

from thalweg.errors import InputError, near_misses, quoted
from thalweg.words.answers import SIGN, VERBS, Answer, ranked
from thalweg.words.commands import GROUP
from thalweg.words.vectors import queries
from thalweg.words.wordvectors import WordVectors

_TOKEN = re.compile(r"""["“](?P<quoted>[^"”]*)["”](?=\s|$)|(?P<plain>\S+)""")
LEAVE = ("quit", "exit")
OF_A_PROCESS = ("vectors", "json", "quiet", "help")  # parameters of a command that a line has no use for


@functools.cache
def verb(name: str) -> click.Command:
    """The command of a verb as a line can use it."""
    command = GROUP.get_command(click.Context(GROUP), name)
    assert command is not None
    kept = [each for each in command.params if each.expose_value and each.name not in OF_A_PROCESS]
    return click.Command(name, params=kept, help=command.help, add_help_option=False)


def usage(name: str) -> str:
    """How a verb is asked, such as `pmi A B`."""
    context = click.Context(verb(name))
    return " ".join([name, *(each.make_metavar(context) for each in verb(name).params if isinstance(each, click.Argument))])


def options_of(name: str) -> list[str]:
    """The options of a verb: `--topn`, ..."""
    return [each.opts[0] for each in verb(name).params if isinstance(each, click.Option)]


def answer(wv: WordVectors, line: str) -> Answer:
    """The answer to one line. Raises an error of `thalweg.errors` for a line that cannot be answered."""
    tokens = [
        (match["quoted"], True) if match["quoted"] is not None else (match["plain"], False) for match in _TOKEN.finditer(line)
    ]
    if not tokens:
        msg = "the question is empty"
        raise InputError(msg)
    (first, is_quoted), rest = tokens[0], tokens[1:]
    if first == "help" and not is_quoted and all(word in VERBS for word, _ in rest):
        return _help([word for word, _ in rest])
    if first in VERBS and not is_quoted and not (not rest and first in wv):  # `similar` alone is a word like any other
        return _asked(wv, first, [word for word, _ in rest])
    if len(tokens) == 1 and (is_quoted or len(queries.terms_of(wv, first)) == 1):
        return _both(wv, first)
    if len(tokens) == 1 or SIGN.search(line):
        return ranked(wv.analogy(line.strip()))
    plain = all(is_quoted or not word.startswith("--") for word, is_quoted in tokens)
    if len(tokens) == 3 and plain and all(queries.known(wv, word) for word, _ in tokens):
        return ranked(wv.analogy(*(word for word, _ in tokens)))
    if first in GROUP.list_commands(click.Context(GROUP)) and not is_quoted:
        msg = f"{first} is not asked here: leave the shell for thalweg words {first}; help lists what is"
        raise InputError(msg)
    near = near_misses(first, VERBS) if not is_quoted else ""
    hint = near if near.startswith(" Did") else ""
    what = "a word, an expression such as a - b + c, or a verb and its words; help lists them"
    msg = f"{quoted(first)} is not a verb.{hint} Ask {what}"
    raise InputError(msg)


def _asked(wv: WordVectors, name: str, words: list[str]) -> Answer:
    """What a verb answers. Raises InputError where its command would tell of wrong use."""
    try:
        with verb(name).make_context(name, words) as context:
            return VERBS[name](wv, **context.params)
    except click.MissingParameter:
        msg = f"usage: {usage(name)}"
        raise InputError(msg) from None
    except click.UsageError as error:
        wrong = " ".join(error.format_message().split())
        if wrong.startswith("Got unexpected extra"):
            wrong = f"usage: {usage(name)}"
        raise InputError(wrong) from None


def _both(wv: WordVectors, word: str) -> Answer:
    """Related and similar words side by side."""
    related = wv.related(word)
    if related.note:  # a group has no one word whose use could be compared
        return ranked(related)
    similar = wv.similar(word)
    value = {name: ranked(found).value for name, found in (("related", related), ("similar", similar))}
    rows = [[*one, *other] for one, other in zip(related, similar, strict=True)]
    return Answer(value, ["related", "pmi", "similar", "cosine"], rows)


def _help(names: list[str]) -> Answer:
    rows: list[list[str]] = []
    for name in names:
        rows += [[usage(name), verb(name).get_short_help_str(200)], ["", f"options: {' '.join(options_of(name))}"]]
    if not names:
        rows = [
            ["WORD", "What a word is related to and similar to."],
            ["a - b + c", "An analogy."],
            *([usage(name), verb(name).get_short_help_str(200)] for name in VERBS),
            ["help [VERB]", "This list, or a verb's options."],
            ["quit", "Leave; so does Ctrl-D."],
        ]
    return Answer(rows, ["question", "answer"], rows)


def completions(wv: WordVectors, before: str, start: str, limit: int = 40) -> list[str]:
    """What may stand where `start` was begun, after the text `before`: verbs and options first, then frequent words."""
    first = before.split()[:1]
    if start.startswith("--") and first and first[0] in VERBS:
        return [option for option in options_of(first[0]) if option.startswith(start)]
    verbs: Iterable[str] = (*VERBS, "help", *LEAVE) if not first else VERBS if first == ["help"] else ()
    found = [name for name in verbs if name.startswith(start)]
    if start and first != ["help"]:
        for word in wv.words:
            if len(found) >= limit:
                break
            if word.startswith(start) and word.isprintable() and word not in found:
                found.append(word)
    return found


__all__ = ["LEAVE", "answer", "completions", "usage", "verb"]
