"""gensim's KeyedVectors, in memory. Its files are pickles, which run code when they are opened, so they are not read here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.errors import InputError, quoted
from thalweg.needs import needs
from thalweg.words.formats.rows import all_words, gathered
from thalweg.words.vectors import queries

if TYPE_CHECKING:
    from thalweg.words.vectors.readout import Readout


def to_gensim(vectors: Readout, output: str | None = None) -> Any:
    """The vectors as gensim's KeyedVectors, with the counts where they are known. Raises MissingExtraError without gensim."""
    models = needs("gensim.models", "to_gensim()")
    matrix = np.ascontiguousarray(vectors.vectors(output), np.float32)
    keyed = models.KeyedVectors(vector_size=matrix.shape[1], count=0, dtype=np.float32)
    keyed.add_vectors(vectors.words, matrix)
    if vectors.has_counts:
        keyed.expandos["count"] = np.array(vectors.counts, np.int64)
    return keyed


def from_gensim(keyed: Any) -> dict[str, Any]:
    """The arguments of Readout for a KeyedVectors, or for a model that has one as `wv`. Raises InputError."""
    keyed = getattr(keyed, "wv", keyed)
    words, matrix = getattr(keyed, "index_to_key", None), getattr(keyed, "vectors", None)
    if not isinstance(words, list) or not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or len(words) != len(matrix):
        msg = f"{type(keyed).__name__} is not a KeyedVectors of gensim 4, or a model with one as `wv`"
        raise InputError(msg)
    with np.errstate(over="ignore"):
        matrix = np.array(matrix, np.float32)
    if not (finite := np.isfinite(matrix).all(axis=1)).all():
        msg = f"the vector of {quoted(str(words[int(np.argmin(finite))]))} is not finite"
        raise InputError(msg)
    listed = all_words(Path("KeyedVectors"), words)
    found = gathered(Path("KeyedVectors"), listed, matrix, allow_nonfinite=False)
    counts = getattr(keyed, "expandos", {}).get("count")
    known = isinstance(counts, np.ndarray) and len(counts) == len(words) and counts.dtype.kind in "iu" and counts.min() >= 0
    info = {
        "source": "gensim",
        "format": "gensim",
        "language": "whitespace",
        "duplicates": found.duplicates,
        "replaced_tokens": 0,
        "alike": 0,
    }
    return {
        "words": found.words,
        "counts": counts[listed.kept].astype(np.int64) if known and counts is not None else None,
        "word": found.vectors,
        "info": info | {"dropped": 0},
        "name": "the vectors of gensim",
    }


def most_similar(vectors: Readout, positive: Any, negative: Any, topn: int, restrict_vocab: int | None) -> list[tuple[str, float]]:
    """The question as gensim means it: cosines with the mean of unit vectors, each with its sign or weight."""
    terms = [*_terms(positive, 1.0), *_terms(negative, -1.0)]
    if not terms:
        msg = "most_similar() needs a word: positive=['king', 'woman'], negative=['man']"
        raise InputError(msg)
    unit, places = vectors.unit(), []
    target = np.zeros(unit.shape[1], np.float64)
    for asked, weight in terms:
        if isinstance(asked, str):
            places.append(vectors.place(asked))
        target += weight * (unit[places[-1]] if isinstance(asked, str) else asked)
    length = np.linalg.norm(target)
    if length < 1e-6:
        msg = "the words of the question cancel: nothing is left to compare with"
        raise InputError(msg)
    n = vectors.among("restrict_vocab", restrict_vocab)
    return queries.best(vectors, unit[:n] @ (target / length).astype(np.float32), places, topn)


def _terms(asked: Any, sign: float) -> Iterator[tuple[str | np.ndarray[Any, Any], float]]:
    """The words or vectors of one side with their weights: one, or a list of them and of (word, weight with its sign)."""
    alone = isinstance(asked, str) or (isinstance(asked, np.ndarray) and asked.ndim == 1)
    for term in [asked] if alone else () if asked is None else asked:
        word, weight = (term[0], term[1]) if isinstance(term, tuple) and len(term) == 2 else (term, sign)
        if isinstance(word, np.ndarray) and word.ndim == 1:
            length = np.linalg.norm(word)
            word = word / length if length > 0 else word
        elif not isinstance(word, str):
            msg = f"most_similar() takes words and vectors, not {type(word).__name__}"
            raise InputError(msg)
        yield word, float(weight)
