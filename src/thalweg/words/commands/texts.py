"""`thalweg words keywords | similarity | vector | importance`: what vectors say about texts, and about the weight of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from thalweg import options
from thalweg.words.commands.asking import ask, limits, output_option, vectors_argument


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
def keywords(vectors: Path, text: tuple[str, ...], file: str | None, **asked: Any) -> None:
    """The words of a text that say most about it.

    The score of a word is the sum of its estimated mutual information, in nats, with every word of the text: the text is most
    likely where this word stands.
    """
    from thalweg.words.answers import check_source

    check_source(text, file)
    ask("keywords", vectors, text=text, file=file, **asked)


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
def similarity(vectors: Path, **asked: Any) -> None:
    """How alike two texts are: the cosine of the sums of their words' vectors."""
    ask("similarity", vectors, **asked)


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
def vector(vectors: Path, **asked: Any) -> None:
    """The vector of a text: the sum of its words' vectors, as numbers on one line."""
    ask("vector", vectors, **asked)


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
def importance(vectors: Path, **asked: Any) -> None:
    """How much words matter: the lengths of their vectors.

    Beside the length stands -ln P, what the model expects to grow with it, and the rank of the word by each among all words (1 is
    the longest, and the rarest). Without words: the K longest, or shortest with --ascending.
    """
    ask("importance", vectors, **asked)
