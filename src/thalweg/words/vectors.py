"""Word vectors and the questions they answer. Plain NumPy over memory-mapped arrays.

related    inner product: <u_i, k_j> estimates the mutual information of two words, also for pairs that never met
similar    cosine of u + k: the same neighbours, whatever the importance
analogy    a - b + c: the word whose unit vector is nearest to the combination (Mikolov et al. 2013), on [u, k]
"""

from __future__ import annotations

import contextlib
import functools
import html
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import ExpressionError, InputError, UnknownWordError, near_misses, quoted, visible
from thalweg.words import spelling
from thalweg.words.expression import parse

if TYPE_CHECKING:
    from thalweg.words.evaluation import AnalogySet, Evaluation, PairSet

OUTPUTS = ("sum", "concat", "word")
METHODS = ("add", "mul")
Ranked = list[tuple[str, float]]


def normalized(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Every row of length 1; rows of zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1))


class WordVectors:
    """Vectors of a vocabulary, two for each word: as a word (u) and as a context (k), in the balanced gauge.

    words: by falling count; counts (n_words,) int64, zeros where not known (has_counts False); word, context (n_words, dim)
    float32, context None in the shared model (k = u); spectrum (dim,) float64; energy_path: the energy before and after every
    sweep; info: how they were made. output: which vectors are read off the fit, "sum" u + k, "concat" [u, k] or "word" u; None takes "sum", and "concat"
    for analogies. power: columns are scaled by spectrum^(power - 1/2) in all that uses the output (Levy, Goldberg and Dagan 2015).
    Made by `thalweg.words.fit`, `load` or `read`.
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
        self.index: dict[str, int] = {}
        for place, spelled in enumerate(self.words):
            self.index.setdefault(spelled, place)

    # what it holds

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

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
        return str(self.info.get("language", "words"))

    def vectors(self, output: str | None = None) -> npt.NDArray[np.float32]:
        """The vectors read off the fit: "sum" u + k, "concat" [u, k], "word" u.   (n_words, dim), concat: (n_words, 2 dim)"""
        return self.vectors_of(slice(None), output)

    def vectors_of(self, places: Any, output: str | None = None) -> npt.NDArray[np.float32]:
        """The output vectors of some rows.   (n, dim), concat: (n, 2 dim)"""
        output = output or self.output or "sum"
        if output not in OUTPUTS:
            msg = f"output={output!r} is not known.{near_misses(output, OUTPUTS)}"
            raise InputError(msg)
        u, k = self.word[places], self.context[places]
        if self.power != 0.5:
            scale = np.where(self.spectrum > 0, np.maximum(self.spectrum, 1e-300) ** (self.power - 0.5), 0).astype(np.float32)
            u, k = u * scale, k * scale
        if output == "word" or self.shared:
            return np.asarray(u)
        return np.asarray(u + k if output == "sum" else np.concatenate([u, k], axis=1))

    @functools.lru_cache(maxsize=3)  # noqa: B019 - dies with the object's last use in the cache of three
    def unit(self, output: str | None = None) -> npt.NDArray[np.float32]:
        """The vectors of an output, each of length 1; computed once.   (n_words, dim), concat: (n_words, 2 dim)"""
        return normalized(self.vectors(output))

    def rebalance(self, power: float) -> WordVectors:
        """The same fit with its output's columns scaled by spectrum^(power - 1/2); inner products of PMI stay as they are."""
        if not math.isfinite(power):
            msg = f"power={power!r} is not a finite number"
            raise InputError(msg)
        return self._like(self.word, self.context, self.spectrum, power=float(power))

    def truncate(self, dim: int) -> WordVectors:
        """The leading columns, the best product of that rank (Eckart and Young 1936). InputError unless 1 <= dim <= self.dim."""
        if not 1 <= dim <= self.dim:
            msg = f"dim={dim!r} is not between 1 and {self.dim}"
            raise InputError(msg)
        return self._like(self.word[:, :dim], self.context[:, :dim], self.spectrum[:dim], power=self.power)

    def _like(self, word: Any, context: Any, spectrum: Any, *, power: float) -> WordVectors:
        return WordVectors(
            self.words, self.counts if self.has_counts else None, word, None if self.shared else context, spectrum,
            energy_path=self.energy_path, info=self.info | {"dim": word.shape[1]}, name=self.name, output=self.output, power=power,
        )  # fmt: skip

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

    # questions

    def related(self, *words: str, negative: Sequence[str] = (), topn: int = 10, restrict: int | None = None) -> Ranked:
        """The words with the largest estimated mutual information with a word, or with a group of words (its sum).

        restrict: only among that many most frequent words. Returns [(word, PMI in nats)], descending.
        Raises UnknownWordError.
        """
        places = [self.place(word) for word in words]
        against = [self.place(word) for word in negative]
        if not places:
            msg = "related() needs a word"
            raise InputError(msg)
        n = self.among("restrict", restrict)
        u = self.word[places].sum(axis=0) - self.word[against].sum(axis=0)
        k = self.context[places].sum(axis=0) - self.context[against].sum(axis=0)
        scores = (self.context[:n] @ u + self.word[:n] @ k) / 2
        return self.best(scores, [*places, *against], topn)

    def similar(
        self, word: str, *, contexts: int | None = None, topn: int = 10, restrict: int | None = None, output: str | None = None
    ) -> Ranked:
        """The words that are used alike: [(word, score)], descending.

        By default the cosine of the output u + k: related to the same words, importance aside. With contexts=n the correlation of the
        two words' mutual information with each of the n most frequent words: a small n (500) asks for the same grammatical role, a
        large one (10,000) for the same topic. Raises UnknownWordError.
        """
        place = self.place(word)
        unit = self.unit(output) if contexts is None else self.profiles(contexts)
        return self.best(unit[: self.among("restrict", restrict)] @ unit[place], [place], topn)

    def analogy(
        self,
        a: str,
        b: str | None = None,
        c: str | None = None,
        *,
        method: str = "add",
        norms: bool = False,
        topn: int = 10,
        restrict: int | None = None,
        output: str | None = None,
    ) -> Ranked:
        """A - b + c, as three words or as one expression: `analogy("机场 - 飞机 + 火车")`.

        method: "add", the cosine of a unit vector with the sum of the terms' unit vectors (3CosAdd; norms=True: with the sum of
        their full vectors, as the source does), or "mul", s(x, a) s(x, c) / (s(x, b) + 0.001) with s = (cos + 1)/2 (Levy and
        Goldberg, CoNLL 2014). The words of the question are left out; the output is "concat" unless one is chosen.
        Returns [(word, score)], descending. Raises ExpressionError or UnknownWordError.
        """
        if (b is None) != (c is None):
            msg = "analogy() takes three words, or one expression such as 'king - man + woman'"
            raise InputError(msg)
        if method not in METHODS:
            msg = f"method={method!r} is not known.{near_misses(method, METHODS)}"
            raise InputError(msg)
        terms = self._terms(a) if b is None or c is None else [(1, a), (-1, b), (1, c)]
        places = [self.place(word) for _, word in terms]
        output = output or self.output or "concat"
        unit = self.unit(output)
        among = self.among("restrict", restrict)
        if method == "mul":
            halves = (unit[:among] @ unit[places].T + 1) / 2  # (among, terms)
            scores = np.ones(among, np.float32)
            for (sign, _), half in zip(terms, halves.T, strict=True):
                scores = scores * half if sign > 0 else scores / (half + 0.001)
            return self.best(scores, places, topn)
        sources = self.vectors_of(places, output) if norms else unit[places]
        target = np.sum([sign * source for (sign, _), source in zip(terms, sources, strict=True)], axis=0)
        length = np.linalg.norm(target)
        if length < 1e-6:
            msg = f"{a!r} adds up to nothing: its words cancel"
            raise InputError(msg)
        return self.best(unit[:among] @ (target / length), places, topn)

    def _terms(self, expression: str) -> list[tuple[int, str]]:
        """The signed words of an expression; signs without spaces count where they leave known words: 机场-飞机+火车."""
        terms = parse(expression)
        spaced = re.sub(r"[+-]", r" \g<0> ", expression)
        if len(terms) == 1 and spaced != expression and not self._known(terms[0][1]):
            with contextlib.suppress(ExpressionError):
                apart = parse(spaced)
                if all(self._known(word) for _, word in apart):
                    return apart
        return terms

    def _known(self, word: str) -> bool:
        try:
            self.place(word)
        except (UnknownWordError, InputError):
            return False
        return True

    def pmi(self, a: str, b: str) -> float:
        """The estimated pointwise mutual information of two words, in nats."""
        i, j = self.place(a), self.place(b)
        return float(self.word[i] @ self.context[j] + self.word[j] @ self.context[i]) / 2

    def among(self, name: str, limit: int | None, least: int = 1) -> int:
        """How many of the most frequent words a limit leaves."""
        if limit is not None and limit < least:
            msg = f"{name}={limit} leaves too few words; give {least} or more"
            raise InputError(msg)
        return len(self) if limit is None else min(limit, len(self))

    def best(self, scores: npt.NDArray[np.float32], without: Iterable[int], topn: int) -> Ranked:
        """The topn largest scores, equal ones in the order of frequency."""
        if topn < 1:
            msg = f"topn={topn} is not a positive whole number"
            raise InputError(msg)
        scores = np.array(scores, np.float32)
        without = [place for place in set(without) if place < len(scores)]
        scores[without] = -np.inf
        k = min(topn, len(scores) - len(without))
        if k <= 0:
            return []
        floor = np.partition(scores, len(scores) - k)[len(scores) - k]
        places = np.flatnonzero(scores >= floor)
        ranked = sorted(places, key=lambda place: (-scores[place], place))[:k]
        return [(self.words[place], float(scores[place])) for place in ranked]

    def place(self, word: object) -> int:
        """The number of a word, spelled as the corpus was read. Raises UnknownWordError with near spellings."""
        if isinstance(word, str) and word in self.index:
            return self.index[word]
        from thalweg.words.reading import words_of

        if not isinstance(word, str):
            msg = f"a word is a string, not {type(word).__name__}"
            raise InputError(msg)
        lone = any("\ud800" <= ch <= "\udfff" for ch in word)
        if lone or not word.strip():
            hint = " It is not text in UTF-8: check the encoding of the terminal." if lone else " It is empty."
            msg = f"{quoted(word)} is not among the {len(self):,} words of {self.name}.{hint}"
            raise UnknownWordError(msg)
        pieces = words_of(word, "words" if self.language == "zh" else self.language)
        if len(pieces) == 1 and pieces[0] in self.index:
            return self.index[pieces[0]]
        near = spelling.near(word if self.language == "whitespace" else word.lower(), self.words)
        hint = f" Near spellings: {', '.join(near)}." if near else ""
        if not near and self.language == "zh" and len(known := [w for w in words_of(word, "zh") if w in self.index]) > 1:
            hint = f" Its pieces are known: {' '.join(known)}."
        msg = f"{quoted(word)} is not among the {len(self):,} words of {self.name}.{hint}"
        raise UnknownWordError(msg, near)

    def evaluate(
        self,
        analogies: Sequence[str | Path | AnalogySet] = (),
        pairs: Sequence[str | Path | PairSet] = (),
        *,
        against: WordVectors | None = None,
        restrict: int | None = None,
        output: str | None = None,
        method: str | None = None,
        threads: int | None = None,
    ) -> Evaluation:
        """Scores on analogy files and on pairs with human scores, alone or beside other vectors: `thalweg.words.evaluation`."""
        from thalweg.words import evaluation

        return evaluation.evaluate(
            self, analogies, pairs, against=against, restrict=restrict, output=output, method=method, threads=threads
        )

    # files

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a directory of open files: vectors.safetensors, vocab.json, word_counts.npy, manifest.json.

        Raises OutputExistsError if it holds something already, StorageError if the disk is full; then nothing changed.
        """
        from thalweg.words import storage

        storage.save(self, Path(path), overwrite)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> WordVectors:
        """Open a directory made by `save`, memory-mapped; `verify` compares checksums, which reads every byte once.

        Raises MissingFileError, or DamagedFileError for anything that is not what the manifest promises.
        """
        from thalweg.words import storage

        return storage.load(Path(path), verify)

    @classmethod
    def read(
        cls, path: str | Path, format: str | None = None, *, allow_nonfinite: bool = False, tensor: str | None = None
    ) -> WordVectors:
        """Another program's vectors: "word2vec", "word2vec-bin", "glove", "npz" or "safetensors"; None looks at the content.

        allow_nonfinite: leave out words whose vectors are not finite; tensor: its name in safetensors. There are no counts.
        Raises MissingFileError, InputError, or DamagedFileError for a file that does not hold what it promises.
        """
        from thalweg.words import formats

        return formats.read(path, format, allow_nonfinite=allow_nonfinite, tensor=tensor)

    def export(self, path: str | Path, format: str | None = None, output: str | None = None, *, overwrite: bool = False) -> None:
        """Write one of these formats, None: the one that the name's suffix says. The numbers keep every bit.

        Raises OutputExistsError, StorageError, or InputError for what a format cannot hold; then nothing changed.
        """
        from thalweg.words import formats

        formats.write(self, path, format, output, overwrite=overwrite)

    # gensim's habits

    def to_gensim(self, output: str | None = None) -> Any:
        """A `gensim.models.KeyedVectors` with the same words, vectors and counts. Raises MissingExtraError without gensim."""
        from thalweg.words.formats import gensim

        return gensim.to_gensim(self, output)

    @classmethod
    def from_gensim(cls, keyed: Any) -> WordVectors:
        """The vectors of a KeyedVectors, or of a model that has one as `wv`. Raises InputError for anything else."""
        from thalweg.words.formats import gensim

        return cls(**gensim.from_gensim(keyed))

    def most_similar(self, positive: Any = None, negative: Any = None, topn: int = 10, restrict_vocab: int | None = None) -> Ranked:
        """The words nearest to the mean of unit vectors, those of `negative` with a minus, as gensim has it."""
        from thalweg.words.formats import gensim

        return gensim.most_similar(self, positive, negative, topn, restrict_vocab)

    @property
    def key_to_index(self) -> dict[str, int]:
        return self.index

    @property
    def index_to_key(self) -> list[str]:
        return self.words

    def get_vector(self, word: str, norm: bool = False) -> npt.NDArray[np.float32]:
        """The output vector of a word, with `norm` of length 1.   (dim,)"""
        return np.asarray(self.unit()[self.place(word)]) if norm else self[word]

    # displays

    def __repr__(self) -> str:
        return f"WordVectors({len(self):,} words, dim={self.dim})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(visible(word))}</td><td style='text-align:right'>{int(n):,}</td></tr>"
            for word, n in zip(self.words[:10], self.counts[:10], strict=False)
        )
        return f"<p>{html.escape(repr(self))}</p><table><tr><th>word</th><th>count</th></tr>{rows}</table>"
