"""`thalweg words related | similar | analogy | pmi`: questions to vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from thalweg import options
from thalweg.console import Console
from thalweg.errors import UsageError

if TYPE_CHECKING:
    from thalweg.words.wordvectors import WordVectors

F = TypeVar("F", bound=Callable[..., Any])


_VERIFIED = 64 << 20  # bytes of files whose checksums a question waits for


def opened(folder: Path, verb: str, json: bool, quiet: bool, subwords: float | None = None) -> tuple[Console, WordVectors]:
    from thalweg.words.wordvectors import WordVectors

    wv = WordVectors.load(folder, verify=_VERIFIED)
    return Console(json=json, quiet=quiet, command=f"words {verb}"), wv if subwords is None else wv.with_subwords(subwords)


def ask(verb: str, vectors: Path, json: bool, quiet: bool, **asked: Any) -> None:
    """Open vectors and show what a verb of `thalweg.words.answers` says."""
    from thalweg.words.answers import VERBS

    console, wv = opened(vectors, verb, json, quiet)
    found = VERBS[verb](wv, **asked)
    for note in found.notes:
        console.note(note)
    console.result(found.value, found.line or (lambda: console.table(list(found.head), found.rows)))


restrict_option = options.option("--restrict", type=options.Number(int, low=1), help="Only among the N most frequent words.")
vectors_argument = click.argument("vectors", type=options.ExistingPath())
output_option = options.option(
    "--output",
    type=options.Choice(["sum", "concat", "word"]),
    advanced=True,
    help="Vectors read off the fit: sum u + k, concat [u, k], word u.  [default: as fitted]",
)
subwords_option = options.option(
    "--subwords",
    type=options.Number(float, low=0),
    metavar="W",
    advanced=True,
    help="How much letters count beside where a word was met, 0 not at all.  [default: as fitted, 1]",
)


def limits(function: F) -> F:
    """The options that say which words may answer."""
    for decorate in (
        options.option("--min-norm", type=options.Number(float, low=0), advanced=True, help="Only words whose vector is so long."),
        options.option("--min-count", type=options.Number(int, low=1), advanced=True, help="Only words that occur so often."),
        restrict_option,
        options.topn_option,
    ):
        function = decorate(function)
    return function


@options.command("related", examples=["thalweg words related vec matrix", "thalweg words related vec matrix sparse --topn 5"])
@vectors_argument
@click.argument("word", nargs=-1, required=True)
@options.option(
    "--by", type=options.Choice(["pmi", "cosine"]), default="pmi", help="pmi, or cosine: the same without the words' importance."
)
@options.option(
    "--negative", multiple=True, metavar="WORD", advanced=True, help="A word whose scores are subtracted; can be repeated."
)
@limits
@options.json_option
@options.quiet_option
def related(vectors: Path, **asked: Any) -> None:
    """Words that occur together with a word.

    The score is the estimated pointwise mutual information in nats: the logarithm of how many times more often two words meet than
    chance would have them. Several words are asked about together: their scores are added.
    """
    ask("related", vectors, **asked)


@options.command("similar", examples=["thalweg words similar vec matrix", "thalweg words similar vec matrix --contexts 1000"])
@vectors_argument
@click.argument("word")
@options.option(
    "--contexts",
    type=options.Number(int, low=3),
    help="Compare their relation to the N most frequent words: 500 role, 10000 topic.",
)
@options.option("--guess", is_flag=True, help="Ask about a word that is not known by its letters.")
@limits
@output_option
@subwords_option
@options.json_option
@options.quiet_option
def similar(vectors: Path, **asked: Any) -> None:
    """Words that are used like a word.

    The score is the cosine of their vectors or, with --contexts N, the correlation of their mutual information with the N most
    frequent words.
    """
    ask("similar", vectors, **asked)


@options.command(
    "analogy",
    examples=['thalweg words analogy vec "argmax - max + min"', 'thalweg words analogy vec "北京 - 中国 + 日本" --topn 3'],
)
@vectors_argument
@click.argument("expression", nargs=-1, required=True)
@options.option(
    "--method",
    type=options.Choice(["add", "mul"]),
    default="add",
    help="add: cosine with the sum of unit vectors; mul: product of cosines.",
)
@options.option("--norms/--no-norms", advanced=True, default=False, help="Add full vectors, not unit vectors.")
@options.option("--guess", is_flag=True, help="Take words that are not known for what their letters say.")
@limits
@output_option
@subwords_option
@options.json_option
@options.quiet_option
def analogy(vectors: Path, expression: tuple[str, ...], **asked: Any) -> None:
    """Solve a - b + c: which word is to c as a is to b?

    EXPRESSION is words joined by + and - with spaces between, or three words a b c.
    """
    from thalweg.words.answers import expression_of
    from thalweg.words.vectors.expression import parse

    parse(expression_of(expression))  # wrong use is seen before the first file is opened
    if asked["method"] == "mul" and asked["norms"]:
        raise UsageError("--norms goes with --method add: mul is made of cosines")
    ask("analogy", vectors, expression=expression, **asked)


@options.command("pmi", examples=["thalweg words pmi vec matrix sparse", "thalweg words pmi vec 广州 白云机场"])
@vectors_argument
@click.argument("a")
@click.argument("b")
@options.json_option
@options.quiet_option
def pmi(vectors: Path, **asked: Any) -> None:
    """How much more often two words meet than chance would have them.

    The pointwise mutual information in nats: 0 is chance, 0.69 twice as often, -0.69 half as often. "estimated" is what the vectors
    say, "counted" what was counted; "-" if the words never met, or if the counts of the fit do not lie beside the vectors.
    """
    ask("pmi", vectors, **asked)
