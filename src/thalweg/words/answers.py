"""The verbs of `thalweg words`: each a question to open vectors, answered once for the command, the shell and any other face.

    found = VERBS["related"](wv, word=["king", "queen"], topn=3)
    found.value, found.rows, found.notes

A verb takes the vectors and, by name, the parameters of its command. Nothing is printed here; what cannot be answered raises an
error of `thalweg.errors`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thalweg.errors import UsageError
from thalweg.words.vectors import texts
from thalweg.words.vectors.ranked import Ranked, skipped

if TYPE_CHECKING:
    from thalweg.words.text.corpus import Report
    from thalweg.words.wordvectors import WordVectors

SIGN = re.compile(r"(?:^|\s)[+\-−–](?:\s|$)|[＋－]")  # a sign of an expression, where it is not a hyphen


@dataclass(frozen=True)
class Answer:
    """value: the answer as plain data; head, rows: the same as a table; line: the same on one line, where that says it all; notes:
    what the asker should know beside it, a sentence each.
    """

    value: object
    head: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    notes: Sequence[str] = ()
    line: str = field(default="", kw_only=True)


def ranked(found: Ranked) -> Answer:
    """A list of words with their scores."""
    notes = [*found.notes(), *([] if found else ["no word is left to answer: the limits exclude all"])]
    return Answer([{"word": word, found.score: score} for word, score in found], ["word", found.score], found, notes)


@functools.lru_cache(maxsize=1)
def _listening(wv: WordVectors, subwords: float | None) -> WordVectors:
    """Vectors that listen to letters so much; kept, because the next question may ask the same of them."""
    return wv if subwords in (None, wv.subwords) else wv.with_subwords(subwords)


def related(wv: WordVectors, word: Sequence[str], **asked: Any) -> Answer:
    return ranked(wv.related(*word, **asked))


def similar(wv: WordVectors, word: str, subwords: float | None = None, **asked: Any) -> Answer:
    return ranked(_listening(wv, subwords).similar(word, **asked))


def analogy(wv: WordVectors, expression: Sequence[str], subwords: float | None = None, **asked: Any) -> Answer:
    return ranked(_listening(wv, subwords).analogy(expression_of(expression), **asked))


def expression_of(words: Sequence[str]) -> str:
    """One expression of several arguments: among them one that has spaces within, and no sign, is a word."""
    if len(words) == 1:
        return words[0]
    return " ".join(f'"{word}"' if re.search(r"\s", word) and not SIGN.search(word) else word for word in words)


def pmi(wv: WordVectors, a: str, b: str) -> Answer:
    estimated, counted = wv.pmi(a, b), wv.counted_pmi(a, b)
    a, b = (wv.words[wv.place(word)] for word in (a, b))
    note = ""
    if wv.pair_counts is None:
        note = f"{wv.name} has no counts beside the vectors: only the estimate is known"
    elif a == b:
        note = "a word with itself is not counted: the model extrapolates it"
    elif counted is None:
        note = "the two words never met in the text"
    value = {"a": a, "b": b, "estimated": estimated, "counted": counted}
    return Answer(value, list(value), [list(value.values())], [note] if note else [])


def keywords(
    wv: WordVectors, text: Sequence[str], file: str | None = None, encoding: str = "utf-8", json_key: str = "text", **asked: Any
) -> Answer:
    check_source(text, file)
    if file is None and text != ("-",):
        return ranked(wv.keywords(" ".join(text), **asked))
    read, report = texts.read_text(file or "-", encoding, json_key)
    found = ranked(wv.keywords(read, **asked))
    return Answer(found.value, found.head, found.rows, [*_left_out(report), *found.notes])


def check_source(text: Sequence[str], file: str | None) -> None:
    """Raise UsageError unless a text is given, or the name of a file, and not both."""
    if (file is None) == (not text):
        raise UsageError("pass a text, or a file with --file (- for standard input), and not both")
    if file == "":
        raise UsageError("the name of the file is empty")


def _left_out(report: Report) -> list[str]:
    """What of a file could not be read."""
    notes = [f"left out {path}: {reason}" for path, reason in report.skipped[:5]]
    if report.bad_lines:
        what = "1 line is not JSON and was" if report.bad_lines == 1 else f"{report.bad_lines:,} lines are not JSON and were"
        notes.append(f"{what} left out")
    if report.bad_bytes:
        what = "1 place is" if report.bad_bytes == 1 else f"{report.bad_bytes:,} places are"
        notes.append(f"{what} not valid in the text's encoding and read as spaces")
    return notes


def similarity(wv: WordVectors, text: str, other: str, by: str = "cosine", output: str | None = None) -> Answer:
    first, second = texts.cut(wv, text), texts.cut(wv, other)
    score = texts.similarity(wv, first, second, by=by, output=output)
    unknown = [*dict.fromkeys((*first.unknown, *second.unknown))]
    return Answer({"by": by, "score": score, "unknown": unknown}, [by], [[score]], skipped(unknown), line=f"{score:.4f}")


def vector(wv: WordVectors, text: str, **asked: Any) -> Answer:
    found = texts.cut(wv, text)
    numbers = texts.vector(wv, found, **asked)
    return Answer(numbers, notes=skipped(list(found.unknown)), line=" ".join(f"{number:.9g}" for number in numbers))


def importance(wv: WordVectors, word: Sequence[str] = (), **asked: Any) -> Answer:
    found = wv.importance(word or None, **asked)
    correlation = "unknown without counts" if found.spearman != found.spearman else f"{found.spearman:.3f}"
    note = f"Spearman correlation of length and -ln P over all {found.n_words:,} words: {correlation}"
    rows = [[row.word, row.norm, row.rarity, row.norm_rank, row.rarity_rank] for row in found.rows]
    return Answer(found, ["word", "length", "-ln P", "rank by length", "rank by -ln P"], rows, [note])


VERBS: dict[str, Callable[..., Answer]] = {
    each.__name__: each for each in (related, similar, analogy, keywords, similarity, vector, importance, pmi)
}
