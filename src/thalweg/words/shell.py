"""Questions as they are typed, one on a line, to vectors that are already open.

    广州                              a word: what it is related to and what it is similar to, side by side
    king - man + woman                an expression: an analogy
    similar running --contexts 500    a verb, its words, its options

Verbs are those of `thalweg words`; their options too. Double quotes hold a text together. Nothing is printed here: an answer is
tables and notes, an error one of `thalweg.errors`. `thalweg.words.commands.shell` is the loop around it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError, near_misses, quoted
from thalweg.words.vectors import expression, queries, texts
from thalweg.words.vectors.ranked import Ranked, skipped

if TYPE_CHECKING:
    from thalweg.words.wordvectors import WordVectors

_TOKEN = re.compile(r"""["“](?P<quoted>[^"”]*)["”](?=\s|$)|(?P<plain>\S+)""")
_SIGN = re.compile(r"(?:^|\s)[+\-−–](?:\s|$)|[＋－]")
LEAVE = ("quit", "exit")
OUTSIDE = ("check", "fit", "count", "solve", "vector", "map", "evaluate", "export", "import", "shell")  # verbs of the command alone


@dataclass(frozen=True)
class Answer:
    """A table with its head, notes beside it, and the same as plain values."""

    head: list[str]
    rows: list[list[object]]
    notes: list[str]
    value: object


@dataclass(frozen=True)
class Verb:
    """usage and summary: for the help; options: name -> how its value is read, None for a flag; ask: from words to an answer."""

    usage: str
    summary: str
    options: dict[str, Callable[[str], Any] | None]
    ask: Callable[[WordVectors, list[str], dict[str, Any]], Answer]


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
        words, options = _options(first, rest)
        return VERBS[first].ask(wv, words, options)
    if len(tokens) == 1 and (is_quoted or len(queries.terms_of(wv, first)) == 1):
        return _both(wv, first)
    if len(tokens) == 1 or _SIGN.search(line):
        return _table(wv.analogy(line.strip()))
    plain = all(is_quoted or not word.startswith("--") for word, is_quoted in tokens)
    if len(tokens) == 3 and plain and all(queries.known(wv, word) for word, _ in tokens):
        return _table(wv.analogy(*(word for word, _ in tokens)))
    if first in OUTSIDE and not is_quoted:
        msg = f"{first} is not asked here: leave the shell for thalweg words {first}; help lists what is"
        raise InputError(msg)
    near = near_misses(first, VERBS) if not is_quoted else ""
    hint = near if near.startswith(" Did") else ""
    what = "a word, an expression such as a - b + c, or a verb and its words; help lists them"
    msg = f"{quoted(first)} is not a verb.{hint} Ask {what}"
    raise InputError(msg)


def _options(verb: str, tokens: list[tuple[str, bool]]) -> tuple[list[str], dict[str, Any]]:
    """The words and the options, --name VALUE or --name=VALUE, of a question."""
    known = VERBS[verb].options
    words: list[str] = []
    found: dict[str, Any] = {}
    waiting = iter(tokens)
    for token, is_quoted in waiting:
        if is_quoted or not re.match(r"--\w", token):
            words.append(token)
            continue
        name, equals, value = token[2:].partition("=")
        if name not in known:
            msg = f"{verb} has no option --{name}.{near_misses(name, known)}" if known else f"{verb} has no options"
            raise InputError(msg)
        read = known[name]
        if read is None:
            if equals:
                msg = f"--{name} takes no value"
                raise InputError(msg)
            found[name.replace("-", "_")] = True
            continue
        if not equals:
            value = next(waiting, ("", False))[0]
        try:
            found[name.replace("-", "_")] = read(value)
        except ValueError:
            what = "whole number" if read is int else "number"
            msg = f"--{name} {value!r} is not a {what}" if value else f"--{name} needs a value"
            raise InputError(msg) from None
        if value == "":
            msg = f"--{name} needs a value"
            raise InputError(msg)
    return words, found


def _needs(verb: str, words: list[str], least: int, most: int | None = None) -> None:
    if len(words) < least or (most is not None and len(words) > most):
        msg = f"usage: {VERBS[verb].usage}"
        raise InputError(msg)


def _table(ranked: Ranked) -> Answer:
    notes = ranked.notes() or ([] if ranked else ["no word is left to answer: the limits exclude all"])
    value = [{"word": word, ranked.score: score} for word, score in ranked]
    return Answer(["word", ranked.score], [list(row) for row in ranked], notes, value)


def _both(wv: WordVectors, word: str) -> Answer:
    """Related and similar words side by side."""
    related = wv.related(word)
    if related.note:  # a group has no one word whose use could be compared
        return _table(related)
    similar = wv.similar(word)
    rows: list[list[object]] = [[*one, *other] for one, other in zip(related, similar, strict=True)]
    value = {name: _table(ranked).value for name, ranked in (("related", related), ("similar", similar))}
    return Answer(["related", "pmi", "similar", "cosine"], rows, [], value)


def _related(wv: WordVectors, words: list[str], options: dict[str, Any]) -> Answer:
    _needs("related", words, 1)
    return _table(wv.related(*words, **options))


def _similar(wv: WordVectors, words: list[str], options: dict[str, Any]) -> Answer:
    _needs("similar", words, 1, 1)
    return _table(_listening(wv, options.pop("subwords", None)).similar(words[0], **options))


def _analogy(wv: WordVectors, words: list[str], options: dict[str, Any]) -> Answer:
    _needs("analogy", words, 1)
    text = " ".join(f'"{word}"' if re.search(r"\s", word) and not _SIGN.search(word) else word for word in words)
    expression.parse(text)
    return _table(_listening(wv, options.pop("subwords", None)).analogy(text, **options))


@functools.lru_cache(maxsize=1)
def _listening(wv: WordVectors, subwords: float | None) -> WordVectors:
    """Vectors that listen to letters so much; kept, because the next line may ask the same of them."""
    return wv if subwords in (None, wv.subwords) else wv.with_subwords(subwords)


def _keywords(wv: WordVectors, words: list[str], options: dict[str, Any]) -> Answer:
    _needs("keywords", words, 1)
    return _table(wv.keywords(" ".join(words), **options))


def _similarity(wv: WordVectors, words: list[str], options: dict[str, Any]) -> Answer:
    _needs("similarity", words, 2, 2)
    first, second = (texts.cut(wv, word) for word in words)
    score = texts.similarity(wv, first, second, **options)
    by = options.get("by", "cosine")
    unknown = [*dict.fromkeys((*first.unknown, *second.unknown))]
    return Answer([by], [[score]], skipped(unknown), {"by": by, "score": score, "unknown": unknown})


def _pmi(wv: WordVectors, words: list[str], options: dict[str, Any]) -> Answer:
    _needs("pmi", words, 2, 2)
    estimated, counted = wv.pmi(*words), wv.counted_pmi(*words)
    a, b = (wv.words[wv.place(word)] for word in words)
    value = {"a": a, "b": b, "estimated": estimated, "counted": counted}
    never = "the two words never met in the text" if wv.pair_counts is not None else f"{wv.name} has no counts beside the vectors"
    return Answer(list(value), [list(value.values())], [never] if value["counted"] is None else [], value)


def _importance(wv: WordVectors, words: list[str], options: dict[str, Any]) -> Answer:
    found = wv.importance(words or None, **options)
    rows: list[list[object]] = [[row.word, row.norm, row.rarity, row.norm_rank, row.rarity_rank] for row in found.rows]
    return Answer(["word", "length", "-ln P", "rank by length", "rank by -ln P"], rows, [], found)


def _help(verbs: list[str]) -> Answer:
    rows: list[list[object]] = []
    if verbs:
        for verb in verbs:
            options = " ".join(f"--{name}" for name in VERBS[verb].options)
            rows.append([VERBS[verb].usage, VERBS[verb].summary])
            rows += [["", f"options: {options}"]] if options else []
    else:
        rows = [
            ["WORD", "What a word is related to and similar to."],
            ["a - b + c", "An analogy."],
            *(list[object]((verb.usage, verb.summary)) for verb in VERBS.values()),
            ["help [VERB]", "This list, or a verb's options."],
            ["quit", "Leave; so does Ctrl-D."],
        ]
    return Answer(["question", "answer"], rows, [], rows)


_LIMITS: dict[str, Callable[[str], Any] | None] = {"topn": int, "restrict": int, "min-count": int, "min-norm": float}
_READ_OFF: dict[str, Callable[[str], Any] | None] = {"output": str, "subwords": float}

VERBS: dict[str, Verb] = {
    "related": Verb("related WORD...", "Words that occur together with it.", {"by": str, **_LIMITS}, _related),
    "similar": Verb(
        "similar WORD", "Words that are used like it.", {"contexts": int, "guess": None, **_LIMITS, **_READ_OFF}, _similar
    ),
    "analogy": Verb(
        "analogy a - b + c",
        "Which word is to c as a is to b?",
        {"method": str, "norms": None, "guess": None, **_LIMITS, **_READ_OFF},
        _analogy,
    ),
    "keywords": Verb(
        "keywords TEXT", "The words that say most about a text.", {"by": str, "exclude-self": None, **_LIMITS}, _keywords
    ),
    "similarity": Verb('similarity "TEXT" "TEXT"', "How alike two texts are.", {"by": str, "output": str}, _similarity),
    "importance": Verb(
        "importance [WORD...]", "How much words matter.", {"topn": int, "ascending": None, "output": str}, _importance
    ),
    "pmi": Verb("pmi A B", "How much more often two words meet than by chance.", {}, _pmi),
}


def completions(wv: WordVectors, before: str, start: str, limit: int = 40) -> list[str]:
    """What may stand where `start` was begun, after the text `before`: verbs and options first, then frequent words."""
    first = before.split()[:1]
    if start.startswith("--") and first and first[0] in VERBS:
        return [f"--{name}" for name in VERBS[first[0]].options if f"--{name}".startswith(start)]
    verbs: Iterable[str] = (*VERBS, "help", *LEAVE) if not first else VERBS if first == ["help"] else ()
    found = [verb for verb in verbs if verb.startswith(start)]
    if start and first != ["help"]:
        for word in wv.words:
            if len(found) >= limit:
                break
            if word.startswith(start) and word.isprintable() and word not in found:
                found.append(word)
    return found


__all__ = ["LEAVE", "VERBS", "Answer", "answer", "completions"]
