"""`thalweg words check | fit | count | solve`: from texts to vectors, at once or step by step."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thalweg import options
from thalweg.console import Console, duration
from thalweg.errors import UsageError
from thalweg.files import MANIFEST, check_output, size_text
from thalweg.words.commands.fit_options import common_options, given_of, reading_options, solving_options, taking, typed

if TYPE_CHECKING:
    from thalweg.words.wordvectors import WordVectors

_LONG = 16 << 20  # bytes of files from which on a run is announced
X = options.option


@options.command("check", examples=["thalweg words check notes/", "thalweg words check docs: --window 5"])
@click.argument("corpus", nargs=-1, required=True)
@taking(reading_options[:4], reading_options[6:], solving_options[:2])
@taking((options.threads_option, options.json_option, options.quiet_option))
def check(corpus: tuple[str, ...], json: bool, quiet: bool, dim: int, epochs: int | None, **settings: Any) -> None:
    """Say what fit would read and what it would take, from the first megabytes of a corpus.

    How the text is cut into words, the likely number of tokens, words and pairs, time, memory and disk, and what looks wrong.
    """
    _check_names(corpus)
    console = Console(json=json, quiet=quiet, command="words check")
    from thalweg.threads import resolve
    from thalweg.words import estimate as plan
    from thalweg.words.solving.settings import Settings

    settings.pop("distance")
    settings["threads"] = resolve(settings["threads"])
    found = plan.estimate([Path(name) for name in corpus], settings=Settings(dim=dim, epochs=epochs), **settings)
    times = ", ".join(f"{name} {duration(value)}" for name, value in found.seconds.items())
    about = "" if found.exact else "about "
    rows = [
        ("text", f"{about}{size_text(found.n_bytes)} in {found.n_files:,} file{'s' * (found.n_files != 1)}"),
        ("language", f"{found.language} ({found.tokenizer})"),
        ("first words", " | ".join(found.sample)),
        ("tokens", f"{about}{found.n_tokens:,}"),
        ("vocabulary", f"{about}{found.n_words:,} words seen {settings['min_count']} times or more"),
        ("pairs", f"about {found.n_pairs:,}"),
        ("time", f"about {duration(found.total_seconds)} ({times})"),
        ("memory", f"about {size_text(found.memory)}"),
        ("disk", f"about {size_text(found.disk)}"),
    ]
    for path, reason in found.skipped[:5]:
        console.note(f"would leave out {path}: {reason}")
    for warning in found.warnings:
        console.note(warning)
    console.result(found, lambda: console.table(["", "value"], rows))
    if found.n_words > 1:
        console.next_steps([f"thalweg words fit {shlex.join([*corpus, *typed()])} --out vec"])


def _announce(console: Console, corpus: tuple[str, ...], out: Path, settings: dict[str, Any]) -> None:
    """One line about a run that will take a while, before it begins; refused if the disk is far too small."""
    paths = [Path(name) for name in corpus]
    if sum(path.stat().st_size for path in paths if path.is_file()) < _LONG and not any(path.is_dir() for path in paths):
        return
    from thalweg.threads import resolve
    from thalweg.words import estimate as plan
    from thalweg.words.solving.settings import Settings
    from thalweg.words.text.rules import NAMES

    chosen = Settings(dim=settings.get("dim", 128), epochs=settings.get("epochs"))
    reads = {name: settings[name] for name in (*NAMES, "window", "memory")}
    found = plan.estimate(paths, settings=chosen, threads=resolve(settings["threads"]), **reads)
    plan.check_disk(found, out)
    if found.total_seconds > 5:
        console.note(found.sentence())


@options.command("fit", examples=["thalweg words fit docs: --out vec", "cat notes/*.txt | thalweg words fit - --out vec --dim 64"])
@click.argument("corpus", nargs=-1, required=True)
@options.out_option(required=True)
@taking(solving_options[:1], reading_options, solving_options[1:])
@X("--start", metavar="svd|noise|DIR", help="Where the solver begins: also the vectors of an older fit.", advanced=True)
@X("--preset", type=options.Choice(["source"]), advanced=True, help="Everything as simpler_glove does it, unless given.")
@X("--keep-counts/--no-keep-counts", default=True, advanced=True, help="Leave what was counted in DIR/counts.")
@taking(common_options)
def fit(corpus: tuple[str, ...], out: Path, overwrite: bool, json: bool, quiet: bool, **settings: Any) -> None:
    """Make word vectors from texts.

    CORPUS is one or more files or folders (also compressed), - for standard input, or docs: for the docstrings of the Python
    packages that are installed.
    """
    _check_names(corpus)
    if not settings["resume"]:
        check_output(out, overwrite)
    console = Console(json=json, quiet=quiet, command="words fit")
    given = given_of(settings)
    with _kept(console, out), console.progress() as progress:
        console.note(f"reading {' '.join(corpus)}")
        _announce(console, corpus, out, settings)
        from thalweg.words import fitting
        from thalweg.work import is_finished

        given |= _start_of(given.pop("start", None))
        finished = settings["resume"] and is_finished(out)
        vectors = fitting.fit([Path(name) for name in corpus], out=out, overwrite=overwrite, progress=progress, **given)
    _show_fit(console, vectors, out, settings["dim"], finished)


@options.command(
    "count", examples=["thalweg words count docs: --out counts", "thalweg words count notes/ --out both --merge counts"]
)
@click.argument("corpus", nargs=-1)
@options.out_option(required=True)
@taking(reading_options)
@X("--merge", type=options.ExistingPath(), metavar="DIR", help="Add the counts in DIR to those of CORPUS.")
@X(
    "--from-glove",
    type=options.ExistingPath(),
    metavar="FILE",
    advanced=True,
    help="In place of CORPUS: what GloVe's cooccur wrote, with this --window and --distance.",
)
@X("--vocab", type=options.ExistingPath(), metavar="FILE", advanced=True, help="What its vocab_count wrote.")
@taking(common_options)
def count(
    corpus: tuple[str, ...], out: Path, merge: Path | None, from_glove: Path | None, vocab: Path | None, overwrite: bool,
    json: bool, quiet: bool, **settings: Any,
) -> None:  # fmt: skip
    """Count which words stand near each other: the first half of fit.

    CORPUS is as for fit. The result does not depend on --memory or --threads.
    """
    _check_names(corpus)
    given = given_of(settings)
    _check_glove(corpus, from_glove, vocab, given)
    if not settings["resume"]:
        check_output(out, overwrite)
    console = Console(json=json, quiet=quiet, command="words count")
    with _kept(console, out), console.progress() as progress:
        console.note(f"reading {' '.join(corpus) or from_glove}")
        _announce(console, corpus, out, settings)
        from thalweg.words.counts import counting
        from thalweg.words.counts.table import CooccurrenceCounts, merged_fingerprint

        older = None if merge is None else CooccurrenceCounts.open(merge)
        if from_glove is not None and vocab is not None:
            counts = CooccurrenceCounts.from_glove(
                from_glove, vocab, window=settings["window"], distance=settings["distance"], encoding=settings["encoding"]
            )
            counts = counts if older is None else counts.merge(older)
            counts.save(out, overwrite=overwrite)
        else:
            paths = [Path(name) for name in corpus]
            counts = counting.count(paths, out=out, merge=older, overwrite=overwrite, progress=progress, **given)
    value = {
        "out": out, "n_words": len(counts.words), "tokens_kept": counts.total_tokens, "stored_pairs": counts.n_stored,
        **{name: counts.info.get(name) for name in ("tokens_read", "language", "bad_bytes", "bad_lines", "skipped")},
    }  # fmt: skip
    rows = [
        ("vocabulary", f"{len(counts.words):,} words"),
        ("tokens", f"{counts.total_tokens:,} in the vocabulary"),
        ("pairs", f"{counts.n_stored:,} that met within {counts.window} tokens"),
        ("time", console.elapsed()),
        ("counts", str(out)),
    ]
    for note in reading_notes(counts.info | {"tokens_kept": counts.total_tokens}):
        console.note(note)
    if (
        older is not None
        and (mark := older.info.get("fingerprint"))
        and counts.info["fingerprint"] == merged_fingerprint(mark, older)
    ):
        console.note(f"the counts in {merge} are of the same text: all of it now counts twice")
    console.result(value, lambda: console.table(["", "value"], rows))
    console.next_steps([f"thalweg words solve {shlex.quote(str(out))} --out vec"])


@options.command(
    "solve", examples=["thalweg words solve counts --out vec --dim 100", "thalweg words solve both --out new --start vec"]
)
@click.argument("counts", type=options.ExistingPath())
@options.out_option(required=True)
@taking(solving_options)
@X("--start", metavar="svd|noise|DIR", help="Where the solver begins: also the vectors of an older fit.")
@X("--resume", is_flag=True, help="Continue interrupted work in --out.")
@taking(common_options)
def solve(counts: Path, out: Path, overwrite: bool, json: bool, quiet: bool, **settings: Any) -> None:
    """Make vectors from counts: the second half of fit.

    COUNTS is a directory made by count, or by fit, which keeps its counts.
    """
    if not settings["resume"]:
        check_output(out, overwrite)
    console = Console(json=json, quiet=quiet, command="words solve")
    from thalweg.words import fitting
    from thalweg.words.counts.table import CooccurrenceCounts
    from thalweg.work import is_finished

    inside = counts / "counts"  # of a fit
    table = CooccurrenceCounts.open(inside if (inside / MANIFEST).exists() else counts)
    given = given_of(settings)
    given |= _start_of(given.pop("start", None))
    with _kept(console, out), console.progress() as progress:
        finished = settings["resume"] and is_finished(out)
        vectors = fitting.solve(table, out=out, overwrite=overwrite, progress=progress, **given)
    _show_fit(console, vectors, out, settings["dim"], finished)


def _check_names(corpus: tuple[str, ...]) -> None:
    if "" in corpus:
        raise UsageError("the name of a text is empty")


def _check_glove(corpus: tuple[str, ...], from_glove: Path | None, vocab: Path | None, given: dict[str, Any]) -> None:
    """A corpus, or both files of GloVe's with no more than tells how they were counted."""
    if (from_glove is None) != (vocab is None):
        raise UsageError("--from-glove and --vocab go together: the records, and the words that they number")
    if bool(corpus) == (from_glove is not None):
        raise UsageError("name a corpus or, with --from-glove, none")
    other = next((name for name in given if name not in ("window", "distance", "encoding", "threads")), None)
    if from_glove is not None and other is not None:
        raise UsageError(f"--{other.replace('_', '-')} is for texts: it does not go with --from-glove")


def _start_of(start: str | None) -> dict[str, Any]:
    """The keyword `start` of the library: a word, or vectors."""
    if start is None or start in ("svd", "noise"):
        return {} if start is None else {"start": start}
    from thalweg.words.wordvectors import WordVectors

    return {"start": WordVectors.load(start)}


@contextlib.contextmanager
def _kept(console: Console, out: Path) -> Iterator[None]:
    """Say after an interruption what is left."""
    try:
        yield
    except KeyboardInterrupt:
        unfinished = (out / "counts" / MANIFEST, out / "counts" / "parts", out / "parts", out / "checkpoint")
        if any(path.exists() for path in unfinished):
            console.note(f"What is done is kept in {out}: continue with the same command and --resume.")
        else:
            console.note(f"Nothing was written to {out}.")
        raise


def _show_fit(console: Console, vectors: WordVectors, out: Path, dim: int, finished: bool) -> None:
    """finished: the vectors were there before, and were only read."""
    if finished:
        console.note(f"{out} was finished before: there was nothing to resume")
    for note in reading_notes(vectors.info, None if vectors.dim >= dim else (dim, vectors.dim, len(vectors))):
        console.note(note)
    console.result(
        _summary(vectors, out), lambda: console.table(["", "value"], _rows(vectors, None if finished else console.elapsed(), out))
    )
    console.next_steps(
        [f"thalweg words {verb} {shlex.quote(str(out))} {shlex.quote(asked)}" for verb, asked in _questions(vectors)]
    )


def _summary(vectors: WordVectors, out: Path) -> dict[str, Any]:
    names = ("tokens_read", "tokens_kept", "stored_pairs", "language", "bad_bytes", "bad_lines", "skipped", "seconds")
    facts = {name: vectors.info.get(name) for name in names}
    fit = {"fit": vectors.info["fit"]} if "fit" in vectors.info else {}
    return {"out": out, "n_words": len(vectors), "dim": vectors.dim, **facts, "energy_path": vectors.energy_path, **fit}


def _rows(vectors: WordVectors, elapsed: str | None, out: Path) -> list[tuple[str, str]]:
    """elapsed: None for vectors that were finished before."""
    info, path = vectors.info, vectors.energy_path
    rows = []
    if "tokens_read" in info:
        rows.append(("text", f"{size_text(info['n_bytes'])}, {info['tokens_read']:,} tokens ({info['language']})"))
    rows.append(
        ("vocabulary", f"{len(vectors):,} words" + (f", seen {info['min_count']} times or more" if "min_count" in info else ""))
    )
    rows.append(("pairs", f"{info['stored_pairs']:,} that met within {info['window']} tokens"))
    if path:
        rows.append(("energy", f"{_energy(path[0])} at the start, {_energy(path[-1])} after {len(path) - 1} sweeps"))
    if (fit := info.get("fit")) is not None:
        held = fit["held_out"]
        rows.append(("fit", f"R² {fit['r2']:.3f} on the pairs seen, {held['r2']:.3f} on {held['n_pairs']:,} held out"))
    seconds = ", ".join(f"{name} {duration(value)}" for name, value in info.get("seconds", {}).items())
    if elapsed is not None:
        rows.append(("time", elapsed + (f" (of these {seconds})" if seconds else "")))
    elif seconds:
        rows.append(("time", f"{seconds}, when they were made"))
    return [*rows, ("vectors", f"{out}, {vectors.dim} dimensions")]


def _energy(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def reading_notes(info: dict[str, Any], lowered: tuple[int, int, int] | None = None) -> list[str]:
    """What the person should know about how the corpus was read. lowered: dim as asked for, dim, words."""
    skipped = info.get("skipped", [])
    bad, lines, dropped = (info.get(name, 0) for name in ("bad_bytes", "bad_lines", "dropped_words"))
    notes = [f"left out {path}: {reason}" for path, reason in skipped[:5]]
    if len(skipped) > 5:
        notes.append(f"left out {len(skipped) - 5} more files")
    if bad:
        what = "1 byte is not valid in the text's encoding and was" if bad == 1 else f"{bad:,} bytes are not valid and were"
        notes.append(f"{what} read as spaces (if the text is not in {_encodings(info)}: --encoding)")
    if len(info.get("encodings", {})) > 1:
        notes.append(f"the files are in different encodings: {_encodings(info)}")
    if lines:
        notes.append(f"{lines:,} line{'s are' if lines > 1 else ' is'} not JSON and {'were' if lines > 1 else 'was'} left out")
    from thalweg.words.text.rules import unused

    notes += unused(info)
    if pruned := info.get("pruned", 0):
        notes.append(f"{pruned:,} tokens of rare words were forgotten for want of memory (--prune): counts are not exact")
    if dropped:
        notes.append(f"{dropped:,} words longer than 1000 bytes were left out")
    if lowered is not None:
        notes.append(f"--dim {lowered[0]} was lowered to {lowered[1]}: there are only {lowered[2]:,} words")
    if info["tokens_kept"] < 100_000:
        notes.append(f"{info['tokens_kept']:,} tokens in the vocabulary are little text: expect rough neighbours")
    return notes


def _encodings(info: dict[str, Any]) -> str:
    """How many files are in which encoding, as it was found."""
    found = info.get("encodings", {})
    if len(found) < 2:
        return str(next(iter(found), "utf-8")).upper()
    return ", ".join(f"{n:,} in {name.upper()}" for name, n in sorted(found.items(), key=lambda item: -item[1]))


def _questions(vectors: WordVectors) -> list[tuple[str, str]]:
    """Three things worth asking, that a shell and our own grammar take as they are: (verb, question).

    The word is, of the frequent ones, that with the longest vector, which means the most specific company.
    """
    import numpy as np

    n = min(len(vectors), 500)
    norms = np.linalg.norm(vectors.word[:n] + vectors.context[:n], axis=1)
    from thalweg.words.vectors.stopwords import STOPWORDS

    dull = {word for words in STOPWORDS.values() for word in words}
    plain = [word for word in (vectors.words[place] for place in np.argsort(-norms)) if word.isalnum() and word not in dull]
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
