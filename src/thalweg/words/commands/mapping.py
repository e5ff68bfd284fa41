"""`thalweg words map`: a picture of words in the plane."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from thalweg import options
from thalweg.errors import UsageError
from thalweg.files import check_file, size_text
from thalweg.words.commands.asking import opened, vectors_argument

METHODS = ["pca", "tsne", "umap"]  # as in thalweg.words.pictures.maps, which is imported later
SUFFIXES = (".png", ".svg", ".html", ".json")
MOST_GROUPS = 12


@options.command(
    "map",
    examples=[
        "thalweg words map vec --out map.html",
        "thalweg words map vec gradient --neighbours 20 --method tsne --out map.png",
    ],
)
@vectors_argument
@click.argument("word", nargs=-1)
@options.out_option(required=True, metavar="FILE", help="The map: .html, .svg, .png or .json, by its name.")
@options.option("--n", "n", type=options.Number(int, low=1), default=200, help="How many frequent words, where none is given.")
@options.option("--neighbours", type=options.Number(int, low=0), default=0, help="Add the N most similar words of each WORD.")
@options.option("--method", type=options.Choice(METHODS), default="pca", help="How the plane is made; umap needs umap-learn.")
@options.option(
    "--clusters", type=options.Number(int, low=1, high=MOST_GROUPS), help="Groups to mark.  [default: one for 8 words, 8 at most]"
)
@options.option(
    "--output",
    type=options.Choice(["sum", "concat", "word"]),
    advanced=True,
    help="Which vectors: u + k, [u, k] or u.  [default: as fitted, sum]",
)
@options.seed_option
@options.overwrite_option(help="Replace a file of that name.")
@options.json_option
@options.quiet_option
def map_(
    vectors: Path,
    word: tuple[str, ...],
    out: Path,
    n: int,
    neighbours: int,
    method: str,
    clusters: int | None,
    output: str | None,
    seed: int,
    overwrite: bool,
    json: bool,
    quiet: bool,
) -> None:
    """Draw words in the plane, like words near each other.

    Drawn are the words given, with --neighbours those most similar to them, or else the most frequent words without stop words,
    single characters and numbers. pca shows the two main directions of the vectors; tsne keeps neighbours together. Colours and
    shapes show groups of like words. Names that find no room are left out of the picture; the page lists them all.
    """
    if out.suffix.lower() not in SUFFIXES:
        msg = f"the name {str(out)!r} does not say what to write: end it with one of {', '.join(SUFFIXES)}"
        raise UsageError(msg)
    if neighbours and not word:
        msg = "--neighbours needs words whose neighbours they are: name some"
        raise UsageError(msg)
    check_file(out, overwrite)
    console, wv = opened(vectors, "map", json, quiet)
    found = wv.map(list(word) or None, n=n, method=method, seed=seed, clusters=clusters, neighbours=neighbours, output=output)
    console.note(f"drawing {len(found):,} words")
    found.save(out, overwrite=overwrite)
    value = {"out": out, "bytes": out.stat().st_size, "seed": seed, **found.to_dict()}
    rows = [
        ("map", f"{out}, {size_text(out.stat().st_size)}"),
        ("words", f"{len(found):,} in {found.n_clusters} groups"),
        *([("variance", " and ".join(f"{share:.0%}" for share in found.shares) + " on the two axes")] if found.shares else []),
    ]
    console.result(value, lambda: console.table(["", "value"], [*rows, ("time", console.elapsed())]))
    if method == "pca" and len(found) >= 4:
        again = out.with_name(f"{out.stem}-tsne{out.suffix}")
        asked = "".join(f" {shlex.quote(each)}" for each in word) + f" --neighbours {neighbours}" * bool(neighbours)
        console.next_steps([f"thalweg words map {shlex.quote(str(vectors))}{asked} --method tsne --out {shlex.quote(str(again))}"])
