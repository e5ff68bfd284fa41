"""Vectors as a fit leaves them, and as they are read off it.

A fit has two vectors a word, u as a word and k as a context, whose inner products estimate mutual information. What is compared by
direction is the *output*: "sum" u + k, "concat" [u, k] or "word" u, turned towards what a word's letters predict of it
(`thalweg.words.vectors.subwords`), with its length kept.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, UnknownWordError, near_misses, quoted
from thalweg.words.solving.settings import OUTPUTS
from thalweg.words.text.wording import Wording
from thalweg.words.vectors import spelling
from thalweg.words.vectors.lengths import lengths_of, norms_of
from thalweg.words.vectors.subwords import Subwords

if TYPE_CHECKING:
    from thalweg.words.counts.table import CooccurrenceCounts

_BLOCK = 1 << 15  # rows read off at a time


def normalized(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Every row of length 1; rows of zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1))


def _read_off(u: npt.NDArray[np.float32], k: npt.NDArray[np.float32] | None, output: str) -> npt.NDArray[np.float32]:
    """Word and context vectors as an output.   (n, dim) each, k None in the shared model -> (n, dim), concat: (n, 2 dim)"""
    if output == "word" or k is None:
        return np.asarray(u)
    return np.asarray(u + k if output == "sum" else np.concatenate([u, k], axis=1))


def _spelled_out(word: object) -> str:
    """A word. Raises InputError for anything but a string."""
    if isinstance(word, str):
        return word
    msg = f"a word is a string, not {type(word).__name__}"
    raise InputError(msg)


class Readout:
    """Vectors of a vocabulary, two for each word: as a word (u) and as a context (k), in the balanced gauge.

    words: by falling count; counts (n_words,) int64, zeros where not known (has_counts False); word, context (n_words, dim)
    float32, context None in the shared model (k = u); spectrum (dim,) float64; energy_path: the energy before and after every
    sweep; info: how they were made. output: which vectors are read off the fit, "sum" u + k, "concat" [u, k] or "word" u; None
    takes "sum", and "concat" for analogies. power: columns are scaled by spectrum^(power - 1/2) in all that uses the output
    (Levy, Goldberg and Dagan 2015). letters: what each word's letters predict of [u, k]/|[u, k]|, (n_words, 2 dim) float16, and
    ngrams what predicts it (`thalweg.words.vectors.subwords`); subwords: how much that counts in the output's directions, 0 for not
    at all. Made by `thalweg.words.fit`, `load` or `read`.
    """

    def __init__(
        self,
        words: Sequence[str],
        counts: npt.NDArray[np.int64] | None,
        word: npt.NDArray[np.float32],
        context: npt.NDArray[np.float32] | None = None,
        spectrum: npt.NDArray[np.float64] | None = None,
        *,
        energy_path: Sequence[float] = (),
        info: dict[str, Any] | None = None,
        name: str = "these vectors",
        output: str | None = None,
        power: float = 0.5,
        letters: npt.NDArray[np.float16] | None = None,
        ngrams: Subwords | None = None,
        subwords: float = 1.0,
    ) -> None:
        self.words = list(words)
        self.has_counts = counts is not None
        self.counts = np.zeros(len(self.words), np.int64) if counts is None else counts
        self.word = word
        self.shared = context is None
        self.context = word if context is None else context
        self.spectrum = np.ones(word.shape[1]) if spectrum is None else spectrum
        self.energy_path = list(energy_path)
        self.info = info or {}
        self.name = name
        self.output = output
        self.power = power
        self.letters = letters
        self.ngrams = ngrams
        self.subwords = subwords
        self.folder: Path | None = None  # where it was loaded from
        self.wording = Wording(self.words, self.info)
        self.index = self.wording.index

    # what it holds

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        """The words, by falling count."""
        return iter(self.words)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self.find(word) is not None

    def __getitem__(self, word: str | Sequence[str]) -> npt.NDArray[np.float32]:
        """The output vector of a word (dim,), or of a list of words (n, dim). Raises UnknownWordError."""
        if isinstance(word, (list, tuple)):
            return self.vectors_of([self.place(each) for each in word])
        return np.asarray(self.vectors_of([self.place(word)])[0])

    @property
    def dim(self) -> int:
        return int(self.word.shape[1])

    @property
    def language(self) -> str:
        """The rule by which the corpus was cut into words: "words", "zh" or "whitespace"."""
        return self.wording.language

    @property
    def estimates_pmi(self) -> bool:
        """Whether inner products were fitted to mutual information: not for other programs' vectors, nor for GloVe's objective."""
        made_by = self.info.get("settings", {}).get("objective") if "format" in self.info or "settings" in self.info else "unknown"
        return made_by is not None and made_by != "glove"

    @functools.cached_property
    def pair_counts(self) -> CooccurrenceCounts | None:
        """The co-occurrence counts that the vectors were fitted to, memory-mapped, if they lie beside them in `counts/`."""
        from thalweg.words.counts.table import CooccurrenceCounts  # which loads all of counting

        path = None if self.folder is None else self.folder / "counts"
        return CooccurrenceCounts.open(path, verify=False) if path is not None and path.is_dir() else None

    def cut(self, text: str, *, segment: bool = True) -> list[str]:
        """The words of a text by the rule that the corpus was read with; segment=False leaves Chinese words as they are typed.

        Where the corpus had phrases, neighbours are joined from the left if the vocabulary has the two as one.
        """
        return self.wording.cut(text, segment=segment)

    def find(self, word: str) -> int | None:
        """The number of a word, read as the corpus was; None if it is not in the vocabulary."""
        return self.wording.find(word)

    def vectors(self, output: str | None = None) -> npt.NDArray[np.float32]:
        """The vectors read off the fit: "sum" u + k, "concat" [u, k], "word" u.   (n_words, dim), concat: (n_words, 2 dim)"""
        if self.letters is None:
            return self.vectors_of(slice(None), output)
        parts = [self.vectors_of(slice(k, k + _BLOCK), output) for k in range(0, len(self), _BLOCK)]
        return np.concatenate(parts)

    def vectors_of(self, places: Any, output: str | None = None) -> npt.NDArray[np.float32]:
        """The output vectors of some rows: as long as the fit has them, turned towards what their letters predict.   (n, dim)"""
        output = output or self.output or "sum"
        if output not in OUTPUTS:
            msg = f"output={output!r} is not known.{near_misses(output, OUTPUTS)}"
            raise InputError(msg)
        u, k = self._scaled(self.word[places]), None if self.shared else self._scaled(self.context[places])
        vectors = _read_off(u, k, output)
        if self.letters is None or self.subwords == 0:
            return vectors
        spelled = self._spelled(self.letters[places], output)
        lengths = lengths_of([u] if k is None else [u, k])[:, None]
        turned = vectors + np.float32(self.subwords) * lengths * spelled
        before, after = lengths_of([vectors]), lengths_of([turned])
        return np.asarray(turned * (before / np.where(after > 0, after, 1))[:, None])

    def _spelled(self, predictions: npt.NDArray[Any], output: str) -> npt.NDArray[np.float32]:
        """What letters predict of an output.   (n, width) -> (n, dim), concat: (n, 2 dim)"""
        predictions = np.asarray(predictions, np.float32)
        if self.shared:
            return self._scaled(predictions)
        return _read_off(self._scaled(predictions[:, : self.dim]), self._scaled(predictions[:, self.dim :]), output)

    def _scaled(self, side: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Columns times spectrum^(power - 1/2)."""
        if self.power == 0.5:
            return side
        scale = np.where(self.spectrum > 0, np.maximum(self.spectrum, 1e-300) ** (self.power - 0.5), 0)
        return side * scale.astype(np.float32)

    def guess(self, word: str, output: str | None = None) -> npt.NDArray[np.float32]:
        """The direction that the letters of a word predict, known or not: of length 1.   (dim,), concat: (2 dim,)

        Raises InputError for vectors without subwords, UnknownWordError if none of its n-grams is known.
        """
        word = _spelled_out(word)
        if self.ngrams is None:
            msg = f"{self.name} knows nothing of letters: it was not fitted here, or with subwords 0"
            raise InputError(msg)
        output = output or self.output or "sum"
        spelled = self._spelled(self.ngrams.predict(["".join(self.cut(word, segment=False)) or word]), output)[0]
        length = np.linalg.norm(spelled)
        if not length > 0:
            msg = f"nothing in {quoted(word)} is spelled like the {len(self):,} words of {self.name}"
            raise UnknownWordError(msg)
        return np.asarray(spelled / length)

    @functools.lru_cache(maxsize=3)  # noqa: B019 - dies with the object's last use in the cache of three
    def unit(self, output: str | None = None) -> npt.NDArray[np.float32]:
        """The vectors of an output, each of length 1; computed once.   (n_words, dim), concat: (n_words, 2 dim)"""
        return normalized(self.vectors(output))

    @functools.lru_cache(maxsize=3)  # noqa: B019
    def norms(self, output: str | None = None) -> npt.NDArray[np.float32]:
        """The length of every output vector: the importance of a word.   (n_words,)"""
        step = 1 << 15
        parts = [norms_of(self.vectors_of(slice(k, k + step), output)) for k in range(0, len(self), step)]
        return np.concatenate(parts)

    @functools.cached_property
    def relation_norms(self) -> npt.NDArray[np.float32]:
        """sqrt((|u|^2 + |k|^2)/2), which makes a cosine of an estimated mutual information.   (n_words,)"""
        lengths = norms_of(self.word)
        return lengths if self.shared else np.sqrt((lengths**2 + norms_of(self.context) ** 2) / 2)

    def rebalance(self, power: float) -> Self:
        """The same fit with its output's columns scaled by spectrum^(power - 1/2); inner products of PMI stay as they are."""
        if not (isinstance(power, (int, float, np.number)) and math.isfinite(power)):
            msg = f"power={power!r} is not a finite number"
            raise InputError(msg)
        return self._like(slice(None), power=float(power))

    def with_subwords(self, weight: float) -> Self:
        """The same fit whose output listens to letters so much: 0 not at all, 1 as is usual. Inner products of PMI stay.

        Raises InputError for a weight that is not a finite number of at least 0, or for vectors that know nothing of letters.
        """
        if not (isinstance(weight, (int, float, np.number)) and math.isfinite(weight) and weight >= 0):
            msg = f"subwords={weight!r} is not a number, 0 or more"
            raise InputError(msg)
        if weight > 0 and self.letters is None:
            msg = f"{self.name} knows nothing of letters: it was not fitted here, or with subwords 0"
            raise InputError(msg)
        return self._like(slice(None), subwords=float(weight))

    def truncate(self, dim: int) -> Self:
        """The leading columns, the best product of that rank (Eckart and Young 1936). InputError unless 1 <= dim <= self.dim."""
        if not 1 <= dim <= self.dim:
            msg = f"dim={dim!r} is not between 1 and {self.dim}"
            raise InputError(msg)
        return self._like(slice(dim))

    def _like(self, columns: slice, **changes: float) -> Self:
        """The same fit, some of its columns, with `power` or `subwords` changed."""
        dim = len(range(*columns.indices(self.dim)))
        both = np.concatenate([np.arange(dim), self.dim + np.arange(dim)]) if not self.shared else np.arange(dim)
        letters, ngrams = self.letters, self.ngrams
        if dim < self.dim:
            letters = None if letters is None else letters[:, both]
            ngrams = None if ngrams is None else Subwords(ngrams.keys, ngrams.vectors[:, both])
        like = type(self)(
            self.words, self.counts if self.has_counts else None, self.word[:, columns],
            None if self.shared else self.context[:, columns], self.spectrum[columns],
            energy_path=self.energy_path, info=self.info | {"dim": dim}, name=self.name, output=self.output,
            letters=letters, ngrams=ngrams, **{"power": self.power, "subwords": self.subwords} | changes,
        )  # fmt: skip
        like.folder = self.folder
        return like

    @functools.lru_cache(maxsize=3)  # noqa: B019
    def profiles(self, contexts: int) -> npt.NDArray[np.float32]:
        """Vectors of length 1 whose cosine is the correlation of <u_i, k_c> and <u_j, k_c> over the n most frequent words c.

        With M = sum_c (k_c - mean)(k_c - mean)^T = L L^T it is cos(L^T u_i, L^T u_j).   (n_words, dim)
        """
        n = self.among("contexts", contexts, least=3)  # two points always correlate
        centred = self.context[:n].astype(np.float64)
        centred -= centred.mean(axis=0)
        values, vectors = np.linalg.eigh(centred.T @ centred)
        factor = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0))  # M is singular for n <= dim: no Cholesky
        return normalized(self.word @ factor.astype(np.float32))

    def place(self, word: object) -> int:
        """The number of a word, spelled as the corpus was read. Raises UnknownWordError with near spellings."""
        if isinstance(word, str) and word in self.index:
            return self.index[word]
        word = _spelled_out(word)
        lone = any("\ud800" <= ch <= "\udfff" for ch in word)
        if lone or not word.strip():
            hint = " It is not text in UTF-8: check the encoding of the terminal." if lone else " It is empty."
            msg = f"{quoted(word)} is not among the {len(self):,} words of {self.name}.{hint}"
            raise UnknownWordError(msg)
        place = self.find(word)
        if place is not None:
            return place
        near = spelling.near("".join(self.cut(word, segment=False)) or word, self.words)
        hint = f" Near spellings: {', '.join(near)}." if near else ""
        if not near and self.language == "zh" and len(known := [w for w in self.cut(word) if w in self.index]) > 1:
            hint = f" Its pieces are known: {' '.join(known)}."
        if self.ngrams is not None:
            hint += " similar and analogy can guess it by its letters (--guess, guess=True)."
        msg = f"{quoted(word)} is not among the {len(self):,} words of {self.name}.{hint}"
        raise UnknownWordError(msg, near)

    def among(self, name: str, limit: int | None, least: int = 1) -> int:
        """How many of the most frequent words a limit leaves."""
        if limit is not None and limit < least:
            msg = f"{name}={limit} leaves too few words; give {least} or more"
            raise InputError(msg)
        return len(self) if limit is None else min(limit, len(self))
