"""From a corpus to vectors: read, count, start, descend, balance."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.errors import InputError, StorageError, near_misses
from thalweg.progress import Progress
from thalweg.threads import resolve
from thalweg.words.counts import counting
from thalweg.words.counts.table import CooccurrenceCounts
from thalweg.words.judging import goodness
from thalweg.words.solving import adagrad, als, gauge, holdout, objective, svd
from thalweg.words.solving import als_shared as shared
from thalweg.words.solving.objective import Floats
from thalweg.words.solving.settings import PRESETS, Settings
from thalweg.words.text.rules import NAMES, Rules
from thalweg.words.vectors import storage, subwords
from thalweg.words.wordvectors import WordVectors
from thalweg.work import Checkpoints, Workplace


def fit(
    corpus: Any,
    *,
    window: int = 10,
    min_count: int = 5,
    max_words: int | None = None,
    language: str = "auto",
    lower: bool = True,
    digits: bool = True,
    unit: str = "line",
    distance: str | None = None,
    preset: str | None = None,
    start: WordVectors | str | None = None,
    out: str | Path | None = None,
    memory: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    keep_counts: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> WordVectors:
    """Vectors whose inner product is mutual information, from raw text.

    corpus: a path (str or Path), a list of Path objects, "docs:" (docstrings of installed packages), or an iterable of texts or of
    token lists. language: "auto", "words" (cut at everything but letters, marks, numbers), "zh" (jieba's dictionary), "whitespace"
    (already cut). lower, digits: spell in lower case, numbers are words. unit: "line", "paragraph" or "file", which no window
    crosses. window: tokens to each side. distance: weight of a pair, "harmonic" 1/distance (default), "uniform", "linear".
    options: the others of `Rules`, how text is read: glob, encoding, rare, user_dict, ..., and those of `Settings`, what is solved:
    dim, epochs, rho, seed, ...
    preset: "source", everything as the source's program does it, where nothing else is said. start: as in `solve`.

    out: a directory to write to: vectors, and in `counts/` what was counted (keep_counts). memory: bytes that reading and counting
    may take; resume: continue an interrupted fit into `out`, with the same result. Both need `out`.

    The result depends on the seed, not on `threads`. Raises InputError, MissingFileError, OutputExistsError or StorageError,
    TypeError for an unknown option. Interrupted without `out` it leaves nothing behind, with `out` what `resume` can use.
    """
    if preset is not None:
        if preset not in PRESETS:
            msg = f"preset={preset!r} is not known.{near_misses(preset, PRESETS)}"
            raise InputError(msg)
        options, distance = PRESETS[preset] | options, distance or "uniform"
    rules = Rules(language, lower, digits, unit=unit, min_count=min_count, max_words=max_words)
    rules = rules.with_(**{name: options.pop(name) for name in NAMES if name in options})
    start, options = _start_apart(start, options)
    settings, distance = Settings().with_(**options), distance or "harmonic"
    threads = resolve(threads)
    if out is None and (memory is not None or resume):
        msg = "memory= and resume= are for fits that are written to disk: give out= as well"
        raise InputError(msg)
    began = time.monotonic()
    place = None if out is None else Workplace(Path(out), storage.KIND, storage.VERSION, resume=resume, overwrite=overwrite)
    with place or contextlib.nullcontext():
        kept = None if place is None else place.path / "counts"
        fresh = kept is not None and not kept.exists()
        how: dict[str, Any] = {"memory": memory, "resume": resume, "threads": threads, "progress": progress}
        try:
            counts = counting.count_by(rules, corpus, window, distance, out=kept, overwrite=True, **how)
            counted = time.monotonic()

            def timed(vectors: WordVectors) -> WordVectors:
                seconds = {"reading and counting": round(counted - began, 3), "solving": round(time.monotonic() - counted, 3)}
                vectors.info["seconds"] = seconds
                return vectors

            vectors = _solved_in(place, counts, settings, start, threads, progress, timed)
        except BaseException as error:
            resumable = (
                isinstance(error, (KeyboardInterrupt, StorageError))
                and counting.fingerprint(corpus, rules, window, distance) is not None
            )
            if kept is not None and fresh and not resumable:
                shutil.rmtree(kept, ignore_errors=True)
            raise
        if kept is not None and not keep_counts:
            shutil.rmtree(kept, ignore_errors=True)
    return vectors


def solve(
    counts: CooccurrenceCounts,
    settings: Settings | None = None,
    *,
    start: WordVectors | str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> WordVectors:
    """Vectors from counts: the eigenvectors of the positive PMI as a start, then alternating least squares on J.

    settings, options: a `Settings`, and single values by name that take precedence. start: "svd", "noise", or vectors to begin
    from, of the same or of other words (those they do not know begin at 0). out, resume, overwrite: as in `fit`.
    Raises InputError or TypeError for what cannot be.
    """
    start, options = _start_apart(start, options)
    settings = (settings or Settings()).with_(**options)
    if out is None and resume:
        msg = "resume= is for vectors that are written to disk: give out= as well"
        raise InputError(msg)
    place = None if out is None else Workplace(Path(out), storage.KIND, storage.VERSION, resume=resume, overwrite=overwrite)
    with place or contextlib.nullcontext():
        return _solved_in(place, counts, settings, start, threads, progress)


def _start_apart(start: WordVectors | str | None, options: dict[str, Any]) -> tuple[WordVectors | None, dict[str, Any]]:
    """Vectors to start from, or None; the options, with the name of a start among them."""
    return (None, options | {"start": start}) if isinstance(start, str) else (start, options)


def _solved_in(
    place: Workplace | None, counts: CooccurrenceCounts, settings: Settings, start: WordVectors | None, threads: int | None,
    progress: Progress | None, finish: Callable[[WordVectors], WordVectors] = lambda vectors: vectors,
) -> WordVectors:  # fmt: skip
    """Solve; where there is a place, with checkpoints, and write the vectors: what a resumed job finds finished is only read."""
    if place is None:
        return finish(_vectors(counts, settings, start, None, threads, progress))
    began_with = None if start is None else _hash(start.words, start.word, start.context)
    counted = _hash(counts.words, counts.word_counts, counts.indptr)  # and not the counts themselves, of which there are gigabytes
    told = [asdict(settings), counts.info.get("fingerprint"), counted, counts.total_tokens, counts.total_pairs, began_with]
    mark = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    checkpoints = place.checkpoints(mark)
    vectors = place.finished(mark, lambda: _with_mark(place.path), "vectors of other texts or options") if place.resume else None
    if vectors is None:
        vectors = finish(_vectors(counts, settings, start, checkpoints, threads, progress))
        vectors.info["mark"] = mark
        storage.save(vectors, place.path, overwrite=True)
    checkpoints.drop()
    return vectors


def _with_mark(out: Path) -> tuple[WordVectors, str | None]:
    vectors = storage.load(WordVectors, out)
    return vectors, vectors.info.get("mark")


def _hash(words: list[str], *arrays: Any) -> str:
    digest = hashlib.sha256(json.dumps(words).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _vectors(
    counts: CooccurrenceCounts,
    settings: Settings,
    start: WordVectors | None,
    checkpoints: Checkpoints | None,
    threads: int | None,
    progress: Progress | None,
) -> WordVectors:
    dim = min(settings.dim, len(counts.words) - 1)
    table = objective.table(counts, settings)
    held_out = None
    if settings.holdout:
        table, held_out = holdout.split(table, settings.holdout, settings.seed)
    word, context, path = _solved(
        table, dim, settings, _rows_of(start, counts.words, dim, settings.seed), checkpoints, threads, progress
    )
    seen = table if held_out is not None else None
    del table  # the largest thing there is
    spectrum = None
    if settings.objective != "glove":  # whose biases are not in the product, so that no gauge is its own
        word, context, spectrum = gauge.balance(word, context, settings.theta)
    context_or_none = None if settings.model == "shared" else context
    ngrams = letters = None
    if settings.subwords:
        ngrams, letters = subwords.learn(counts.words, counts.word_counts, word, context_or_none, threads)
    facts = {
        "dim": dim,
        "window": counts.window,
        "distance": counts.distance,
        "seed": settings.seed,
        "settings": asdict(settings),
        "tokens_kept": counts.total_tokens,
        "stored_pairs": counts.n_stored,
        "energy_parts": [{name: float(np.round(value, 6)) for name, value in parts.items()} for parts in path],
    }
    vectors = WordVectors(
        counts.words, counts.word_counts, word, context_or_none, spectrum,
        letters=letters, ngrams=ngrams, subwords=settings.subwords,
        energy_path=[parts["energy"] for parts in path], info=counts.info | facts, output=settings.output,
    )  # fmt: skip
    if seen is not None and held_out is not None:
        vectors.info["fit"] = asdict(goodness.of_both(seen, held_out, vectors))
    return vectors


def _solved(
    table: objective.Table,
    dim: int,
    settings: Settings,
    given: tuple[Floats, Floats] | None,
    checkpoints: Checkpoints | None,
    threads: int | None,
    progress: Progress | None,
) -> tuple[Floats, Floats, list[dict[str, float]]]:
    """Word and context vectors, and the path of J, by the solver that the settings name."""
    state, path = (checkpoints.load() if checkpoints is not None else None) or (None, [])
    watched: dict[str, Any] = {"path": path, "progress": progress, "checkpoint": checkpoints}
    if settings.solver == "adagrad":
        return adagrad.descend(table, dim, settings, given, threads=threads, state=state, **watched)
    if state is not None:
        word, context = state["word"], state.get("context", state["word"])
    elif given is not None:
        word, context = given
    elif settings.start == "svd" or settings.solver == "svd":
        word, context = svd.start(table, dim, seed=settings.seed, threads=threads, progress=progress)
    else:  # the contexts are noise, the words solve for themselves in the first half sweep
        noise = np.random.default_rng(settings.seed).standard_normal((len(table.pull), dim), np.float32) / np.float32(dim**0.5)
        word, context = np.zeros_like(noise), noise
    if settings.solver == "svd":
        return word, context, []
    stops: dict[str, Any] = {"epochs": settings.sweeps, "tol": settings.tol, "threads": threads}
    if settings.model == "shared":
        return shared.descend(table, (word + context) * np.float32(0.5), settings, **stops, **watched)
    return als.descend(table, word, context, settings, **stops, **watched)


def _rows_of(start: WordVectors | None, words: list[str], dim: int, seed: int) -> tuple[Floats, Floats] | None:
    """The vectors of these words from an older fit, 0 for words that it does not know.

    Columns that it does not have are 0 for words and noise, as long as its own, for contexts: the product is that of the older
    fit, and no saddle, which 0 on both sides would be.
    """
    if start is None:
        return None
    sides = np.zeros((2, len(words), dim), np.float32)
    width = min(dim, start.dim)
    known = [(row, start.index[word]) for row, word in enumerate(words) if word in start.index]
    if not known:
        msg = f"the vectors to start from ({start.name}) know none of the {len(words):,} words"
        raise InputError(msg)
    rows, places = (np.array(column, np.int64) for column in zip(*known, strict=True))
    sides[0, rows, :width], sides[1, rows, :width] = start.word[places, :width], start.context[places, :width]
    if width < dim:
        scale = np.sqrt(np.mean(np.square(sides[1, rows, :width], dtype=np.float64)))
        noise = np.random.default_rng(seed).standard_normal((len(words), dim - width), np.float32)
        sides[1, :, width:] = noise * np.float32(scale)
    return sides[0], sides[1]
