"""`thalweg words keywords | similarity | vector | importance`: what vectors say about texts, and about the weight of words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thalweg import options
from thalweg.console import Console
from thalweg.errors import UsageError
from thalweg.words.commands.asking import limits, opened, output_option, show_ranked, vectors_argument

if TYPE_CHECKING:
    from thalweg.words.vectors.texts import Text
    from thalweg.words.wordvectors import WordVectors


def _cut(console: Console, wv: WordVectors, text: str) -> Text:
    """A text's words, with a note about those that are not known."""
    from thalweg.words.vectors import texts
    from thalweg.words.vectors.ranked import skipped

    found = texts.cut(wv, text)
    for note in skipped(list(found.unknown)):
        console.note(note)
    return found


def _given(console: Console, text: tuple[str, ...], file: str | None, encoding: str, json_key: str) -> str:
    """The text of the arguments, or of a file."""
    if text == ("-",) and file is None:
        text, file = (), "-"
    if (file is None) == (not text):
        raise UsageError("pass a text, or a file with --file (- for standard input), and not both")
    if file is None:
        return " ".join(text)
    if not file:
        raise UsageError("the name of the file is empty")
    from thalweg.words.vectors.texts import read_text

    found, report = read_text(file, encoding, json_key)
    for path, reason in report.skipped[:5]:
        console.note(f"left out {path}: {reason}")
    if report.bad_lines:
        what = "1 line is not JSON and was" if report.bad_lines == 1 else f"{report.bad_lines:,} lines are not JSON and were"
        console.note(f"{what} left out")
    if report.bad_bytes:
        what = "1 place is" if report.bad_bytes == 1 else f"{report.bad_bytes:,} places are"
        console.note(f"{what} not valid in the text's encoding and read as spaces")
    return found


@options.command(
    "keywords",
    examples=['thalweg words keywords vec "The determinant of a sparse matrix"', "thalweg words keywords vec --file report.txt"],
)
@vectors_argument
@click.argument("text", nargs=-1)
@options.option("--file", metavar="FILE", help="Read the text from a file, as fit reads it; - is standard input.")
@options.option(
    "--by", type=options.Choice(["pmi", "cosine"]), default="pmi", help="pmi, or cosine: the same without the words' importance."
)
@options.option("--encoding", default="utf-8", advanced=True, help="Encoding of the file, such as gb18030.")
@options.option("--json-key", metavar="KEY", default="text", advanced=True, help="What is the text in the lines of a .jsonl file.")
@options.option("--exclude-self", is_flag=True, help="Compare each word with the other words only.")
@limits
@options.json_option
@options.quiet_option
def keywords(
    vectors: Path, text: tuple[str, ...], file: str | None, encoding: str, json_key: str, json: bool, quiet: bool, **limits: Any
) -> None:
    """The words of a text that say most about it.

    The score of a word is the sum of its estimated mutual information, in nats, with every word of the text: the text is most
    likely where this word stands.
    """
    given = _given(Console(json=json, quiet=quiet), text, file, encoding, json_key)
    console, wv = opened(vectors, "keywords", json, quiet)
    show_ranked(console, wv.keywords(given, **limits))


@options.command(
    "similarity",
    examples=['thalweg words similarity vec "a sparse matrix" "eigenvalues of a tensor"'],
)
@vectors_argument
@click.argument("text")
@click.argument("other")
@options.option(
    "--by",
    type=options.Choice(["cosine", "pmi"]),
    default="cosine",
    help="cosine, or pmi: how much more often than by chance, nats.",
)
@output_option
@options.json_option
@options.quiet_option
def similarity(vectors: Path, text: str, other: str, by: str, output: str | None, json: bool, quiet: bool) -> None:
    """How alike two texts are: the cosine of the sums of their words' vectors."""
    from thalweg.words.vectors import texts

    console, wv = opened(vectors, "similarity", json, quiet)
    first, second = _cut(console, wv, text), _cut(console, wv, other)
    score = texts.similarity(wv, first, second, by=by, output=output)
    value = {"by": by, "score": score, "unknown": [*dict.fromkeys((*first.unknown, *second.unknown))]}
    console.result(value, f"{score:.4f}")


@options.command(
    "vector",
    examples=['thalweg words vector vec "a sparse matrix"', 'thalweg words vector vec "a sparse matrix" --mean --json'],
)
@vectors_argument
@click.argument("text")
@options.option("--mean/--sum", default=False, help="Divide the sum by the number of words.")
@options.option("--weights", type=options.Choice(["sif"]), help="sif: rare words count more, a/(a + P) with a = 0.001.")
@output_option
@options.json_option
@options.quiet_option
def vector(vectors: Path, text: str, mean: bool, weights: str | None, output: str | None, json: bool, quiet: bool) -> None:
    """The vector of a text: the sum of its words' vectors, as numbers on one line."""
    from thalweg.words.vectors import texts

    console, wv = opened(vectors, "vector", json, quiet)
    numbers = texts.vector(wv, _cut(console, wv, text), mean=mean, weights=weights, output=output)
    console.result(numbers, lambda: console.print(" ".join(f"{number:.9g}" for number in numbers)))


@options.command(
    "importance",
    examples=["thalweg words importance vec", "thalweg words importance vec the matrix sparse"],
)
@vectors_argument
@click.argument("word", nargs=-1)
@options.topn_option
@options.option("--ascending", is_flag=True, help="The shortest vectors first: words that say little.")
@output_option
@options.json_option
@options.quiet_option
def importance(
    vectors: Path, word: tuple[str, ...], topn: int, ascending: bool, output: str | None, json: bool, quiet: bool
) -> None:
    """How much words matter: the lengths of their vectors.

    Beside the length stands -ln P, what the model expects to grow with it, and the rank of the word by each among all words (1 is
    the longest, and the rarest). Without words: the K longest, or shortest with --ascending.
    """
    console, wv = opened(vectors, "importance", json, quiet)
    found = wv.importance(word or None, topn=topn, ascending=ascending, output=output)
    correlation = "unknown without counts" if found.spearman != found.spearman else f"{found.spearman:.3f}"
    console.note(f"Spearman correlation of length and -ln P over all {found.n_words:,} words: {correlation}")
    head = ["word", "length", "-ln P", "rank by length", "rank by -ln P"]
    rows = [[row.word, row.norm, row.rarity, row.norm_rank, row.rarity_rank] for row in found.rows]
    console.result(found, lambda: console.table(head, rows))
