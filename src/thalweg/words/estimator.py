"""Word vectors as a scikit-learn transformer: texts in, one vector for each out.

    y(text) = sum over its known words of weight_w y_w,    weight 1, or a / (a + P(w)) with a = 0.001 for "sif"

which is what additivity asks for: the mutual information of a group of words with another is the sum over its words. `mean` divides
by the number of known words in the text. The weights are those of Arora, Liang and Ma, "A simple but tough-to-beat baseline for
sentence embeddings" (ICLR 2017); taking out the first direction afterwards, as they do, is TruncatedSVD's or PCA's business.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from thalweg.errors import InputError, near_misses
from thalweg.words import fitting
from thalweg.words.solving.settings import Settings
from thalweg.words.text.reading import check_no_record
from thalweg.words.text.rules import Rules
from thalweg.words.vectors.subwords import Subwords
from thalweg.words.wordvectors import WordVectors

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = npt.NDArray[np.float32]
WEIGHTS = ("sif",)
SIF = 1e-3  # Arora, Liang and Ma 2017, section 4.1
READING = (  # arguments of `fit` beside the settings: not what is for files or for a bounded memory
    "window", "min_count", "max_words", "language", "lower", "digits", "join", "unit", "split_latin", "user_dict", "convert",
    "rare", "phrases", "distance", "threads",
)  # fmt: skip


PARAMETERS: dict[str, Any] = (
    {"window": 10, "distance": "harmonic"}
    | {each.name: each.default for each in fields(Rules) if each.name in READING}
    | {each.name: each.default for each in fields(Settings) if each.name != "seed"}
    | {"weights": None, "mean": True, "threads": None, "random_state": 0}
)


class WordVectorizer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn is untyped
    """Fit word vectors to texts, and turn texts into vectors.

    Reading and counting as in `thalweg.words.fit`: window, min_count, max_words, language, lower, digits, join, unit,
    split_latin, user_dict, convert, rare, phrases, distance, threads.
    Solving as in `thalweg.words.solving.settings.Settings`: dim, objective, ..., subwords, holdout.
    Of its own: weights, None or "sif"; mean, divide by the number of known words (True) or add up (False); random_state, an int, a
    RandomState or None for a seed that nobody chose.

    After fit: `vectors_` (a WordVectors with related, similar, analogy), `vocabulary_` (words by falling count), `energy_path_`,
    `n_features_out_`. A text without a known word becomes zeros. Input is text, so there is no `n_features_in_`.
    """

    def __init__(self, **given: Any) -> None:
        for name, default in PARAMETERS.items():
            setattr(self, name, given.pop(name, default))
        if given:
            name = next(iter(given))
            msg = f"WordVectorizer has no parameter {name!r}.{near_misses(name, PARAMETERS)}"
            raise TypeError(msg)

    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what scikit-learn and editors ask for
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
            *(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in PARAMETERS.items()),
        ]
    )

    def fit(self, X: Iterable[str], y: object = None) -> WordVectorizer:
        """Read texts and fit vectors to their words; y is not looked at.

        X: an iterable of strings. Raises InputError for anything else, for a parameter out of range, and where no word comes
        min_count times.
        """
        self._check_own()
        texts = _texts(X)
        settings = {field.name: getattr(self, field.name) for field in fields(Settings) if hasattr(self, field.name)}
        reading = {name: getattr(self, name) for name in READING}
        self.vectors_ = fitting.fit(texts, **reading, **settings, seed=self._seed())
        self.vectors_.name = "the vectors of WordVectorizer"
        return self

    def transform(self, X: Iterable[str]) -> Floats:
        """The vectors of texts; zeros for a text without a known word.   (n_texts,) -> (n_texts, n_features_out_) float32"""
        check_is_fitted(self, "vectors_")
        self._check_own()
        counts = self._counted(_texts(X))  # (n, n_words)
        if self.mean:
            totals = np.asarray(counts.sum(axis=1)).reshape(-1)
            counts.data /= np.repeat(np.maximum(totals, 1), np.diff(counts.indptr))
        if self.weights is not None:
            counts.data *= self._word_weights()[counts.indices]
        return np.asarray(counts @ self.vectors_.vectors(), np.float32)

    @property
    def vocabulary_(self) -> list[str]:
        """The words, by falling count."""
        return self._fitted("vocabulary_").words

    @property
    def energy_path_(self) -> list[float]:
        """The energy before and after every sweep of the fit."""
        return self._fitted("energy_path_").energy_path

    @property
    def n_features_out_(self) -> int:
        """How many numbers a text becomes."""
        return int(self._fitted("n_features_out_").vectors_of([0]).shape[1])

    @property
    def _n_features_out(self) -> int:
        return self.n_features_out_

    def _fitted(self, name: str) -> WordVectors:
        found = self.__dict__.get("vectors_")
        if not isinstance(found, WordVectors):
            msg = f"{type(self).__name__} has no {name} before fit"
            raise AttributeError(msg)
        return found

    def _check_own(self) -> None:
        """The parameters that no other part of the package looks at."""
        if self.weights is not None and self.weights not in WEIGHTS:
            msg = f"weights={self.weights!r} is not known: it is None or 'sif'"
            raise InputError(msg)
        mean: object = self.mean
        if not isinstance(mean, (bool, np.bool_)):
            msg = f"mean={mean!r} is not True or False"
            raise InputError(msg)

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _counted(self, texts: list[str]) -> csr_array:
        """How often each text has each known word, the columns of a row ascending.   (n, n_words) float32"""
        from scipy.sparse import csr_array

        wording = self.vectors_.wording
        places = [[place for word in wording.cut(text) if (place := wording.at(word)) is not None] for text in texts]
        found = [np.unique(np.asarray(row, np.int64), return_counts=True) for row in places]
        ends = np.cumsum([0, *(len(columns) for columns, _ in found)])
        columns = np.concatenate([np.zeros(0, np.int64), *(columns for columns, _ in found)])
        counts = np.concatenate([np.zeros(0, np.float32), *(counts.astype(np.float32) for _, counts in found)])
        return csr_array((counts, columns, ends), shape=(len(texts), len(self.vectors_)))

    def _word_weights(self) -> Floats:
        """The weight a / (a + P(w)) of each word.   (n_words,)"""
        share = self.vectors_.counts / max(int(self.vectors_.counts.sum()), 1)
        return np.asarray(SIF / (SIF + share), np.float32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Plain arrays, lists and numbers; vectors that lie in a mapped file are copied out of it."""
        state: dict[str, Any] = dict(super().__getstate__())
        wv = state.pop("vectors_", None)
        if wv is not None:
            state["vectors_state_"] = {
                "words": list(wv.words),
                "counts": np.array(wv.counts),
                "word": np.array(wv.word),
                "context": None if wv.shared else np.array(wv.context),
                "spectrum": np.array(wv.spectrum),
                "energy_path": list(wv.energy_path),
                "info": wv.info,
                "name": wv.name,
                "output": wv.output,
                "power": wv.power,
                "subwords": wv.subwords,
                "letters": None if wv.letters is None else np.array(wv.letters),
                "ngrams": None if wv.ngrams is None else {"keys": np.array(wv.ngrams.keys), "vectors": np.array(wv.ngrams.vectors)},
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        vectors = state.pop("vectors_state_", None)
        super().__setstate__(state)
        if vectors is not None:
            ngrams = None if vectors["ngrams"] is None else Subwords(**vectors["ngrams"])
            self.vectors_ = WordVectors(**vectors | {"ngrams": ngrams})


def _texts(X: Iterable[object]) -> list[str]:
    """The texts as a list. Raises InputError for one string, for no texts, and for items that are not strings."""
    if isinstance(X, (str, bytes)):
        msg = "Iterable over raw text documents expected, string object received: give a list of texts"  # as scikit-learn says it
        raise InputError(msg)
    check_no_record(X)
    try:
        texts = list(X)
    except TypeError:
        msg = f"a list of texts is expected, not {type(X).__name__}"
        raise InputError(msg) from None
    strings = [text for text in texts if isinstance(text, str)]
    if len(strings) < len(texts):
        place, other = next((place, text) for place, text in enumerate(texts) if not isinstance(text, str))
        msg = f"text {place} is not a string but {type(other).__name__}: {str(other)[:60]!r}"
        raise InputError(msg)
    return strings


__all__ = ["WordVectorizer"]
