"""From a corpus to vectors: read, count, start, descend, balance."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np

from thalweg.errors import whole_number
from thalweg.threads import resolve
from thalweg.version import __version__
from thalweg.words import adagrad, als, gauge, objective, reading, shared, svd
from thalweg.words.counts import CooccurrenceCounts, count
from thalweg.words.objective import Floats
from thalweg.words.reading import Progress
from thalweg.words.settings import Settings
from thalweg.words.vectors import WordVectors


def fit(
    corpus: Any,
    *,
    window: int = 10,
    min_count: int = 5,
    max_words: int | None = None,
    language: str = "auto",
    unit: str = "line",
    encoding: str = "utf-8",
    distance: str = "harmonic",
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> WordVectors:
    """Vectors whose inner product is mutual information, from raw text.

    corpus: a path (str or Path), a list of Path objects, "docs:" (docstrings of installed packages), or an iterable of texts or of
    token lists. language: "auto", "words" (cut at everything but letters, marks, numbers), "zh" (jieba's dictionary), "whitespace"
    (already cut). unit: "line", "paragraph" or "file", which no window crosses. window: tokens to each side. distance: weight of a
    pair, "harmonic" 1/distance, "uniform", "linear". options: those of `Settings`: dim, epochs, rho, seed, ...

    The result depends on the seed, not on `threads`. Raises InputError or MissingFileError, TypeError for an unknown option;
    KeyboardInterrupt leaves nothing behind.
    """
    settings = Settings().with_(**options)
    window, min_count = whole_number("window", window, least=1), whole_number("min_count", min_count, least=1)
    max_words = None if max_words is None else whole_number("max_words", max_words, least=2)
    threads = resolve(threads)
    began = time.monotonic()
    tokens = reading.read(
        corpus, language=language, unit=unit, encoding=encoding, min_count=min_count, max_words=max_words, progress=progress
    )
    read_at = time.monotonic()
    counts = count(tokens, window=window, distance=distance, threads=threads, progress=progress)
    counted_at = time.monotonic()
    vectors = solve(counts, settings, threads=threads, progress=progress)
    done_at = time.monotonic()
    report = tokens.report
    vectors.info |= {
        "thalweg": __version__,
        "sources": report.sources,
        "skipped": report.skipped,
        "language": report.language,
        "tokenizer": report.tokenizer,
        "unit": unit,
        "n_files": report.n_files,
        "n_bytes": report.n_bytes,
        "bad_bytes": report.bad_bytes,
        "dropped_words": report.dropped_words,
        "tokens_read": tokens.n_read,
        "min_count": min_count,
        "max_words": max_words,
        "seconds": {
            "reading": round(read_at - began, 3),
            "counting": round(counted_at - read_at, 3),
            "solving": round(done_at - counted_at, 3),
        },
    }
    return vectors


def solve(
    counts: CooccurrenceCounts,
    settings: Settings | None = None,
    *,
    start: WordVectors | str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> WordVectors:
    """Vectors from counts: the eigenvectors of the positive PMI as a start, then alternating least squares on J.

    settings, options: a `Settings`, and single values by name that take precedence. start: "svd", "noise", or vectors to begin
    from, of the same or of other words (those they do not know begin at 0). Raises InputError or TypeError for what cannot be.
    """
    if isinstance(start, str):
        options["start"], start = start, None
    settings = (settings or Settings()).with_(**options)
    dim = min(settings.dim, len(counts.words) - 1)
    table = objective.table(counts, settings)
    word, context, path = _solved(table, dim, settings, _rows_of(start, counts.words, dim), threads, progress)
    spectrum = None
    if settings.objective != "glove":  # whose biases are not in the product, so that no gauge is its own
        word, context, spectrum = gauge.balance(word, context)
    info = {
        "dim": dim,
        "window": counts.window,
        "distance": counts.distance,
        "seed": settings.seed,
        "settings": asdict(settings),
        "tokens_kept": counts.total_tokens,
        "stored_pairs": counts.n_stored,
        "energy_parts": [{name: float(np.round(value, 6)) for name, value in parts.items()} for parts in path],
    }
    return WordVectors(
        counts.words, counts.word_counts, word, None if settings.model == "shared" else context, spectrum,
        energy_path=[parts["energy"] for parts in path], info=info, output=settings.output, power=settings.power,
    )  # fmt: skip


def _solved(
    table: objective.Table,
    dim: int,
    settings: Settings,
    given: tuple[Floats, Floats] | None,
    threads: int | None,
    progress: Progress | None,
) -> tuple[Floats, Floats, list[dict[str, float]]]:
    """Word and context vectors, and the path of J, by the solver that the settings name."""
    shown: dict[str, Any] = {"threads": threads, "progress": progress}
    if settings.solver == "adagrad":
        return adagrad.descend(table, dim, settings, given, progress=progress)
    if given is not None:
        word, context = given
    elif settings.start == "svd" or settings.solver == "svd":
        word, context = svd.start(
            table, dim, seed=settings.seed, power_steps=settings.power_steps, smooth=settings.smooth or svd.SMOOTH, **shown
        )
    else:  # the contexts are noise, the words solve for themselves in the first half sweep
        noise = np.random.default_rng(settings.seed).standard_normal((len(table.pull), dim), np.float32) / np.float32(dim**0.5)
        word, context = np.zeros_like(noise), noise
    if settings.solver == "svd":
        return word, context, []
    stops: dict[str, Any] = {"epochs": settings.sweeps, "cg": settings.cg, "tol": settings.tol}
    if settings.model == "shared":
        return shared.descend(table, (word + context) * np.float32(0.5), settings, **stops, **shown)
    return als.descend(table, word, context, settings, **stops, **shown)


def _rows_of(start: WordVectors | None, words: list[str], dim: int) -> tuple[Floats, Floats] | None:
    """The vectors of these words from an older fit, 0 for words that it does not know."""
    if start is None:
        return None
    sides = np.zeros((2, len(words), dim), np.float32)
    width = min(dim, start.dim)
    known = [(row, start.index[word]) for row, word in enumerate(words) if word in start.index]
    rows, places = (np.array(column, np.int64) for column in zip(*known, strict=True)) if known else (np.zeros(0, np.int64),) * 2
    sides[0, rows, :width], sides[1, rows, :width] = start.word[places, :width], start.context[places, :width]
    return sides[0], sides[1]
