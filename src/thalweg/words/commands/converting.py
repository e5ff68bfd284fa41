"""`thalweg words export | import`: vectors to other programs' files and back."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thalweg import options
from thalweg.console import Console
from thalweg.errors import UsageError
from thalweg.files import check_output, size_text
from thalweg.words.commands.asking import opened, subwords_option, vectors_argument

if TYPE_CHECKING:
    from thalweg.words.wordvectors import WordVectors

FORMATS = ["word2vec", "word2vec-bin", "glove", "npz", "safetensors"]  # as in thalweg.words.formats, which is imported later


@options.command(
    "export", examples=["thalweg words export vec vec.bin --to word2vec-bin", "thalweg words export vec vec.npz --output word"]
)
@vectors_argument
@click.argument("file", type=click.Path(path_type=Path))
@options.option("--to", type=options.Choice(FORMATS), help="Format of the file.  [default: what its name says]")
@options.option(
    "--output", type=options.Choice(["sum", "concat", "word"]), help="Which vectors: u + k, [u, k] or u.  [default: as fitted, sum]"
)
@subwords_option
@options.overwrite_option(help="Replace a file of that name.")
@options.json_option
@options.quiet_option
def export(
    vectors: Path, file: Path, to: str | None, output: str | None, subwords: float | None, overwrite: bool, json: bool, quiet: bool
) -> None:
    """Write vectors for other programs.

    FILE is written whole or not at all. Its name says the format: .txt and .vec are word2vec's text, .bin its binary form, .npz and
    .safetensors what they are called; --to decides otherwise. A further .gz, .bz2 or .xz compresses. The numbers keep every bit.
    """
    from thalweg.words import formats

    if to is None and formats.format_of(file) is None:
        msg = f"the name {str(file)!r} does not say a format: choose one with --to"
        raise UsageError(msg)
    formats.check(file, to, overwrite)
    console, wv = opened(vectors, "export", json, quiet, subwords)
    console.note(f"writing {len(wv):,} words to {file}")
    kind = formats.write(wv, file, to, output, overwrite=overwrite)
    dim = wv.vectors_of([0], output).shape[1]
    size = file.stat().st_size
    value = {"file": file, "format": kind, "n_words": len(wv), "dim": dim, "bytes": size}
    rows = [("file", f"{file}, {size_text(size)}"), ("format", kind), ("vectors", f"{len(wv):,} words, {dim} dimensions")]
    console.result(value, lambda: console.table(["", "value"], rows))


@options.command(
    "import", examples=["thalweg words import glove.txt --out vec", "thalweg words import model.bin.gz --out vec --allow-nonfinite"]
)
@click.argument("file", type=options.ExistingPath())
@options.out_option(required=True)
@options.option("--format", type=options.Choice(FORMATS), help="Format of the file.  [default: what its content shows]")
@options.option("--tensor", metavar="NAME", help="Name of the vectors in a safetensors file.  [default: vectors]")
@options.option("--allow-nonfinite", is_flag=True, help="Leave out words whose vectors hold NaN or infinity.")
@options.option("--encoding", default="utf-8", advanced=True, help="Encoding of words that are not UTF-8, such as gb18030.")
@options.overwrite_option
@options.json_option
@options.quiet_option
def import_(
    file: Path, out: Path, format: str | None, tensor: str | None, allow_nonfinite: bool, encoding: str, overwrite: bool,
    json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Read other programs' vectors.

    FILE is word2vec's text or binary form, GloVe's text, an .npz with `words` and `vectors`, or safetensors; also compressed. Its
    content decides which, whatever its name. The result is a directory that related, similar and analogy take.
    """
    check_output(out, overwrite)
    console = Console(json=json, quiet=quiet, command="words import")
    console.note(f"reading {file}")
    from thalweg.words.wordvectors import WordVectors

    with console.progress() as progress:
        wv = WordVectors.read(
            file, format, allow_nonfinite=allow_nonfinite, tensor=tensor, encoding=encoding, progress=progress
        )  # fmt: skip
    for note in oddities(wv.info):
        console.note(note)
    wv.save(out, overwrite=overwrite)
    counted = {name: wv.info[name] for name in ("duplicates", "replaced_tokens", "alike", "dropped")}
    value = {"out": out, "format": wv.info["format"], "n_words": len(wv), "dim": wv.dim, **counted}
    rows = [("format", wv.info["format"]), ("vectors", f"{len(wv):,} words, {wv.dim} dimensions, in {out}")]
    console.result(value, lambda: console.table(["", "value"], [*rows, ("time", console.elapsed())]))
    console.next_steps([f"thalweg words similar {shlex.quote(str(out))} {shlex.quote(word)}" for word in _questions(wv)])


def oddities(info: dict[str, Any]) -> list[str]:
    """What was odd in a file of vectors."""
    said = (
        ("duplicates", "came again: the first vector counts"),
        ("replaced_tokens", "held bytes that cannot be decoded, which are now U+FFFD (--encoding names another encoding)"),
        ("alike", "then looked like another and were left out"),
        ("dropped", "had vectors that are not finite and were left out"),
    )
    return [f"{'1 word' if info[name] == 1 else f'{info[name]:,} words'} {what}" for name, what in said if info[name]]


def _questions(vectors: WordVectors) -> list[str]:
    """A word or two of the first that a shell takes as they are."""
    plain = [word for word in vectors.words[:500] if word.isalpha() and len(word) > 1]
    return (plain or vectors.words)[:2]
