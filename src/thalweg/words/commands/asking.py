"""`thalweg words related | similar | analogy`: questions to vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from thalweg import options
from thalweg.console import Console

if TYPE_CHECKING:
    from thalweg.words.vectors import Ranked, WordVectors


def opened(folder: Path, verb: str, json: bool, quiet: bool) -> tuple[Console, WordVectors]:
    from thalweg.words.vectors import WordVectors

    return Console(json=json, quiet=quiet, command=f"words {verb}"), WordVectors.load(folder)


def show_ranked(console: Console, ranked: Ranked, score: str) -> None:
    value = [{"word": word, score: number} for word, number in ranked]
    console.result(value, lambda: console.table(["word", score], ranked))


restrict_option = options.option("--restrict", type=options.Number(int, low=1), help="Only among the N most frequent words.")
vectors_argument = click.argument("vectors", type=options.ExistingPath())


@options.command("related", examples=["thalweg words related vec matrix", "thalweg words related vec matrix sparse --topn 5"])
@vectors_argument
@click.argument("word", nargs=-1, required=True)
@options.topn_option
@restrict_option
@options.json_option
@options.quiet_option
def related(vectors: Path, word: tuple[str, ...], topn: int, restrict: int | None, json: bool, quiet: bool) -> None:
    """Words that occur together with a word.

    The score is the estimated pointwise mutual information in nats: the logarithm of how many times more often two words meet than
    chance would have them. Several words are asked about together: their scores are added.
    """
    console, wv = opened(vectors, "related", json, quiet)
    show_ranked(console, wv.related(*word, topn=topn, restrict=restrict), "pmi")


@options.command("similar", examples=["thalweg words similar vec matrix", "thalweg words similar vec matrix --contexts 1000"])
@vectors_argument
@click.argument("word")
@options.option(
    "--contexts",
    type=options.Number(int, low=3),
    help="Compare their relation to the N most frequent words: 500 role, 10000 topic.",
)
@options.topn_option
@restrict_option
@options.json_option
@options.quiet_option
def similar(vectors: Path, word: str, contexts: int | None, topn: int, restrict: int | None, json: bool, quiet: bool) -> None:
    """Words that are used like a word.

    The score is the cosine of their vectors or, with --contexts N, the correlation of their mutual information with the N most
    frequent words.
    """
    console, wv = opened(vectors, "similar", json, quiet)
    score = "cosine" if contexts is None else "correlation"
    show_ranked(console, wv.similar(word, contexts=contexts, topn=topn, restrict=restrict), score)


@options.command(
    "analogy",
    examples=['thalweg words analogy vec "argmax - max + min"', 'thalweg words analogy vec "北京 - 中国 + 日本" --topn 3'],
)
@vectors_argument
@click.argument("expression", nargs=-1, required=True)
@options.topn_option
@restrict_option
@options.json_option
@options.quiet_option
def analogy(vectors: Path, expression: tuple[str, ...], topn: int, restrict: int | None, json: bool, quiet: bool) -> None:
    """Solve a - b + c: which word is to c as a is to b?

    EXPRESSION is words joined by + and - with spaces between, or three words a b c.
    """
    from thalweg.words.expression import parse

    text = " ".join(expression)
    parse(text)  # wrong use is seen before the first file is opened
    console, wv = opened(vectors, "analogy", json, quiet)
    show_ranked(console, wv.analogy(text, topn=topn, restrict=restrict), "cosine")
