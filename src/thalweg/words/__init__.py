"""Word vectors whose inner product is pointwise mutual information, from any raw corpus.

>>> from thalweg import words
>>> wv = words.fit("notes/")            # doctest: +SKIP
>>> wv.related("river")                 # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.words.counts.counting import count
    from thalweg.words.counts.table import CooccurrenceCounts
    from thalweg.words.estimator import WordVectorizer
    from thalweg.words.fitting import fit, solve
    from thalweg.words.text.reading import read
    from thalweg.words.wordvectors import WordVectors

_HOMES = {
    "CooccurrenceCounts": "counts.table",
    "WordVectorizer": "estimator",
    "WordVectors": "wordvectors",
    "count": "counts.counting",
    "fit": "fitting",
    "read": "text.reading",
    "solve": "fitting",
}
__all__ = ["CooccurrenceCounts", "WordVectorizer", "WordVectors", "count", "fit", "read", "solve"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    hint = "; vectors are opened with words.WordVectors.load(folder), other formats with .read(file)" * (name in ("load", "open"))
    msg = f"module {__name__!r} has no attribute {name!r}{hint}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
