"""From a corpus to vectors: read, count, start, descend, balance."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from thalweg.errors import whole_number
from thalweg.threads import resolve
from thalweg.version import __version__
from thalweg.words import als, gauge, objective, reading, svd
from thalweg.words.counts import CooccurrenceCounts, count
from thalweg.words.reading import Progress
from thalweg.words.vectors import WordVectors


def fit(
    corpus: Any,
    *,
    dim: int = 128,
    window: int = 10,
    min_count: int = 5,
    max_words: int | None = None,
    language: str = "auto",
    unit: str = "line",
    encoding: str = "utf-8",
    distance: str = "harmonic",
    epochs: int = 5,
    x_max: float = 100.0,
    alpha: float = 0.75,
    rho: float = 1.0,
    floor: float = -1.0,
    beta: float = 0.75,
    ridge: float = 0.0,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> WordVectors:
    """Vectors whose inner product is mutual information, from raw text.

    corpus: a path (str or Path), a list of Path objects, "docs:" (docstrings of installed packages), or an iterable of texts or of
    token lists. language: "auto", "words" (cut at everything but letters, marks, numbers), "zh" (jieba's dictionary), "whitespace"
    (already cut). unit: "line", "paragraph" or "file", which no window crosses. window: tokens to each side. distance: weight of a
    pair, "harmonic" 1/distance, "uniform", "linear". The constants x_max ... ridge are those of `objective.Settings`.

    dim is lowered to n_words - 1 where the vocabulary is smaller. The result depends on `seed`, not on `threads`.
    Raises InputError or MissingFileError; KeyboardInterrupt leaves nothing behind.
    """
    dim, window = whole_number("dim", dim, least=1), whole_number("window", window, least=1)
    min_count, epochs = whole_number("min_count", min_count, least=1), whole_number("epochs", epochs, least=0)
    max_words = None if max_words is None else whole_number("max_words", max_words, least=2)
    seed, threads = whole_number("seed", seed, least=0), resolve(threads)
    settings = objective.Settings(x_max=x_max, alpha=alpha, rho=rho, floor=floor, beta=beta, ridge=ridge)
    began = time.monotonic()
    tokens = reading.read(
        corpus, language=language, unit=unit, encoding=encoding, min_count=min_count, max_words=max_words, progress=progress
    )
    read_at = time.monotonic()
    counts = count(tokens, window=window, distance=distance, threads=threads, progress=progress)
    counted_at = time.monotonic()
    vectors = solve(counts, dim=dim, epochs=epochs, settings=settings, seed=seed, threads=threads, progress=progress)
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
    *,
    dim: int = 128,
    epochs: int = 5,
    settings: objective.Settings | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> WordVectors:
    """Vectors from counts: the eigenvectors of the positive PMI as a start, then alternating least squares on J."""
    dim, epochs = whole_number("dim", dim, least=1), whole_number("epochs", epochs, least=0)
    seed = whole_number("seed", seed, least=0)
    settings = settings or objective.Settings()
    dim = min(dim, len(counts.words) - 1)
    table = objective.table(counts, settings)
    word, context = svd.start(table, dim, seed=seed, threads=threads, progress=progress)
    word, context, path = als.descend(table, word, context, settings, epochs=epochs, threads=threads, progress=progress)
    word, context, spectrum = gauge.balance(word, context)
    info = {
        "dim": dim,
        "window": counts.window,
        "distance": counts.distance,
        "seed": seed,
        "solver": "als",
        "settings": {name: getattr(settings, name) for name in settings.__dataclass_fields__},
        "tokens_kept": counts.total_tokens,
        "stored_pairs": counts.n_stored,
        "energy_parts": [{name: float(np.round(value, 6)) for name, value in parts.items()} for parts in path],
    }
    energies = [parts["energy"] for parts in path]
    return WordVectors(counts.words, counts.word_counts, word, context, spectrum, energy_path=energies, info=info)
