"""`thalweg words fit`: from texts to vectors."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thalweg import options
from thalweg.console import Console, duration
from thalweg.errors import UsageError
from thalweg.files import check_output, size_text

if TYPE_CHECKING:
    from thalweg.words.vectors import WordVectors


@options.command("fit", examples=["thalweg words fit docs: --out vec", "cat notes/*.txt | thalweg words fit - --out vec --dim 64"])
@click.argument("corpus", nargs=-1, required=True)
@options.out_option(required=True)
@options.option("--dim", type=options.Number(int, low=1, high=4096), default=128, help="Numbers in a vector.")
@options.option("--window", type=options.Number(int, low=1, high=1000), default=10, help="Tokens to each side that count as near.")
@options.option("--min-count", type=options.Number(int, low=1), default=5, help="Leave out rarer words.")
@options.option(
    "--language", type=options.Choice(["auto", "words", "zh", "whitespace"]), default="auto", help="How the text is cut into words."
)
@options.option("--unit", type=options.Choice(["line", "paragraph", "file"]), default="line", help="What no window reaches across.")
@options.option("--epochs", type=options.Number(int, low=0), default=5, help="Sweeps of the solver.")
@options.option("--encoding", default="utf-8", advanced=True, help="Encoding of the files, such as gb18030.")
@options.option("--max-words", type=options.Number(int, low=2), advanced=True, help="Keep only the N most frequent words.")
@options.option(
    "--distance",
    type=options.Choice(["harmonic", "uniform", "linear"]),
    default="harmonic",
    advanced=True,
    help="Weight of a pair.",
)
@options.option("--x-max", type=options.Number(float, above=0), default=100.0, advanced=True, help="Count of full weight.")
@options.option("--alpha", type=options.Number(float, low=0), default=0.75, advanced=True, help="Power of the weight.")
@options.option("--rho", type=options.Number(float, low=0), default=1.0, advanced=True, help="Pull of all pairs to the floor.")
@options.option("--floor", type=options.Number(float), default=-1.0, advanced=True, help="PMI of a pair that never met.")
@options.option("--beta", type=options.Number(float, low=0), default=0.75, advanced=True, help="Power of the pull.")
@options.option("--ridge", type=options.Number(float, low=0), default=0.0, advanced=True, help="Pull of the vectors to 0.")
@options.seed_option
@options.threads_option
@options.overwrite_option
@options.json_option
@options.quiet_option
def fit(corpus: tuple[str, ...], out: Path, overwrite: bool, json: bool, quiet: bool, **settings: Any) -> None:
    """Make word vectors from texts.

    CORPUS is one or more files or folders (also compressed), - for standard input, or docs: for the docstrings of the Python
    packages that are installed.
    """
    if "" in corpus:
        raise UsageError("the name of a text is empty")
    check_output(out, overwrite)
    console = Console(json=json, quiet=quiet, command="words fit")
    try:
        console.note(f"reading {' '.join(corpus)}")
        from thalweg.words import fitting

        with console.progress() as progress:
            vectors = fitting.fit([Path(name) for name in corpus], progress=progress, **settings)
    except KeyboardInterrupt:
        console.note(f"Nothing was written to {out}.")
        raise
    for note in _notes(vectors, settings["dim"]):
        console.note(note)
    vectors.save(out, overwrite=overwrite)
    summary = _summary(vectors, out)
    console.result(summary, lambda: console.table(["", "value"], _rows(vectors, console.elapsed(), out)))
    console.next_steps(
        [f"thalweg words {verb} {shlex.quote(str(out))} {shlex.quote(asked)}" for verb, asked in _questions(vectors)]
    )


def _summary(vectors: WordVectors, out: Path) -> dict[str, Any]:
    names = ("tokens_read", "tokens_kept", "stored_pairs", "language", "bad_bytes", "skipped", "seconds")
    facts = {name: vectors.info[name] for name in names}
    return {"out": out, "n_words": len(vectors), "dim": vectors.dim, **facts, "energy_path": vectors.energy_path}


def _rows(vectors: WordVectors, elapsed: str, out: Path) -> list[tuple[str, str]]:
    info = vectors.info
    seconds = ", ".join(f"{name} {duration(value)}" for name, value in info["seconds"].items())
    return [
        ("text", f"{size_text(info['n_bytes'])}, {info['tokens_read']:,} tokens ({info['language']})"),
        ("vocabulary", f"{len(vectors):,} words, seen {info['min_count']} times or more"),
        ("pairs", f"{info['stored_pairs']:,} that met within {info['window']} tokens"),
        ("energy", f"{_energy(vectors.energy_path[0])} at the start, {_energy(vectors.energy_path[-1])} after "
                   f"{len(vectors.energy_path) - 1} sweeps"),
        ("time", f"{elapsed} ({seconds})"),
        ("vectors", f"{out}, {vectors.dim} dimensions"),
    ]  # fmt: skip


def _energy(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _notes(vectors: WordVectors, dim: int) -> list[str]:
    """What the person should know about how the corpus was read."""
    info = vectors.info
    notes = [f"left out {path}: {reason}" for path, reason in info["skipped"][:5]]
    if len(info["skipped"]) > 5:
        notes.append(f"left out {len(info['skipped']) - 5} more files")
    if info["bad_bytes"]:
        what = "1 byte is" if info["bad_bytes"] == 1 else f"{info['bad_bytes']:,} bytes are"
        notes.append(f"{what} not valid in the text's encoding and read as spaces")
    if info["dropped_words"]:
        notes.append(f"{info['dropped_words']:,} words longer than 1000 bytes were left out")
    if vectors.dim < dim:
        notes.append(f"--dim {dim} was lowered to {vectors.dim}: there are only {len(vectors):,} words")
    if info["tokens_kept"] < 100_000:
        notes.append(f"{info['tokens_kept']:,} tokens in the vocabulary are little text: expect rough neighbours")
    return notes


def _questions(vectors: WordVectors) -> list[tuple[str, str]]:
    """Three things worth asking, that a shell and our own grammar take as they are: (verb, question).

    The word is, of the frequent ones, that with the longest vector, which means the most specific company.
    """
    import numpy as np

    n = min(len(vectors), 500)
    norms = np.linalg.norm(vectors.word[:n] + vectors.context[:n], axis=1)
    plain = [word for word in (vectors.words[place] for place in np.argsort(-norms)) if word.isalnum()]
    if not plain:
        return [("related", "--help")]
    wanted = 2 if vectors.language == "zh" else 4
    word = next((w for w in plain if len(w) >= wanted and w.isalpha()), plain[0])
    known = (
        ("北京", "中国", "日本"),
        ("父亲", "儿子", "女儿"),
        ("king", "man", "woman"),
        ("argmax", "max", "min"),
        ("paris", "france", "italy"),
        tuple(plain[:3]),
    )
    triple = next((triple for triple in known if len(triple) == 3 and all(w in vectors for w in triple)), None)
    return [("related", word), ("similar", word), *([("analogy", "{} - {} + {}".format(*triple))] if triple else [])]
