"""Word vectors and the questions they answer. Plain NumPy over memory-mapped arrays.

related    inner product: <u_i, k_j> estimates the mutual information of two words, also for pairs that never met
similar    cosine of u + k: the same neighbours, whatever the importance
analogy    a - b + c: the word whose unit vector is nearest to the combination (Mikolov et al. 2013), on [u, k]
"""

from __future__ import annotations

import contextlib
import functools
import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.bundles import Bundle, write_bundle
from thalweg.errors import DamagedFileError, ExpressionError, InputError, UnknownWordError, near_misses, quoted, visible
from thalweg.threads import blocks
from thalweg.words import spelling
from thalweg.words.expression import parse

KIND = "thalweg-words"
VERSION = 1
OUTPUTS = ("sum", "concat", "word")
Ranked = list[tuple[str, float]]


class WordVectors:
    """Vectors of a vocabulary, two for each word: as a word (u) and as a context (k), in the balanced gauge.

    words: by falling count; counts (n_words,) int64; word, context (n_words, dim) float32; spectrum (dim,) float64;
    energy_path: the energy before and after every sweep; info: how they were made. Made by `thalweg.words.fit` or `load`.
    """

    def __init__(
        self,
        words: Sequence[str],
        counts: npt.NDArray[np.int64],
        word: npt.NDArray[np.float32],
        context: npt.NDArray[np.float32],
        spectrum: npt.NDArray[np.float64],
        *,
        energy_path: Sequence[float] = (),
        info: dict[str, Any] | None = None,
        name: str = "these vectors",
    ) -> None:
        self.words = list(words)
        self.counts = counts
        self.word = word
        self.context = context
        self.spectrum = spectrum
        self.energy_path = list(energy_path)
        self.info = info or {}
        self.name = name
        self.index = {word: place for place, word in enumerate(self.words)}

    # what it holds

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __getitem__(self, word: str) -> npt.NDArray[np.float32]:
        """The vector u + k of a word.   (dim,)"""
        place = self._place(word)
        return np.asarray(self.word[place] + self.context[place])

    @property
    def dim(self) -> int:
        return int(self.word.shape[1])

    @property
    def language(self) -> str:
        """The rule by which the corpus was cut into words: "words", "zh" or "whitespace"."""
        return str(self.info.get("language", "words"))

    def vectors(self, output: str = "sum") -> npt.NDArray[np.float32]:
        """The vectors read off the fit: "sum" u + k, "concat" [u, k], "word" u.   (n_words, dim), concat: (n_words, 2 dim)"""
        if output not in OUTPUTS:
            msg = f"output={output!r} is not known.{near_misses(output, OUTPUTS)}"
            raise InputError(msg)
        if output == "word":
            return self.word
        return self.word + self.context if output == "sum" else np.concatenate([self.word, self.context], axis=1)

    @functools.lru_cache(maxsize=3)  # noqa: B019 - dies with the object's last use in the cache of three
    def unit(self, output: str = "sum") -> npt.NDArray[np.float32]:
        """The vectors of an output, each of length 1; computed once.   (n_words, dim), concat: (n_words, 2 dim)"""
        vectors = self.vectors(output)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.where(norms > 0, norms, 1))

    @functools.lru_cache(maxsize=3)  # noqa: B019
    def profiles(self, contexts: int) -> npt.NDArray[np.float32]:
        """Vectors of length 1 whose cosine is the correlation of <u_i, k_c> and <u_j, k_c> over the n most frequent words c.

        With M = sum_c (k_c - mean)(k_c - mean)^T = L L^T it is cos(L^T u_i, L^T u_j).   (n_words, dim)
        """
        n = self._among("contexts", contexts, least=3)  # two points always correlate
        centred = self.context[:n].astype(np.float64)
        centred -= centred.mean(axis=0)
        values, vectors = np.linalg.eigh(centred.T @ centred)
        factor = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0))  # M is singular for n <= dim: no Cholesky
        profile = self.word @ factor.astype(np.float32)
        norms = np.linalg.norm(profile, axis=1, keepdims=True)
        return np.asarray(profile / np.where(norms > 0, norms, 1))

    # questions

    def related(self, *words: str, negative: Sequence[str] = (), topn: int = 10, restrict: int | None = None) -> Ranked:
        """The words with the largest estimated mutual information with a word, or with a group of words (its sum).

        restrict: only among that many most frequent words. Returns [(word, PMI in nats)], descending.
        Raises UnknownWordError.
        """
        places = [self._place(word) for word in words]
        against = [self._place(word) for word in negative]
        if not places:
            msg = "related() needs a word"
            raise InputError(msg)
        n = self._among("restrict", restrict)
        u = self.word[places].sum(axis=0) - self.word[against].sum(axis=0)
        k = self.context[places].sum(axis=0) - self.context[against].sum(axis=0)
        scores = (self.context[:n] @ u + self.word[:n] @ k) / 2
        return self._best(scores, [*places, *against], topn)

    def similar(self, word: str, *, contexts: int | None = None, topn: int = 10, restrict: int | None = None) -> Ranked:
        """The words that are used alike: [(word, score)], descending.

        By default the cosine of u + k: related to the same words, importance aside. With contexts=n the correlation of the two
        words' mutual information with each of the n most frequent words: a small n (500) asks for the same grammatical role, a
        large one (10,000) for the same topic. Raises UnknownWordError.
        """
        place = self._place(word)
        unit = self.unit("sum") if contexts is None else self.profiles(contexts)
        return self._best(unit[: self._among("restrict", restrict)] @ unit[place], [place], topn)

    def analogy(self, a: str, b: str | None = None, c: str | None = None, *, topn: int = 10, restrict: int | None = None) -> Ranked:
        """A - b + c, as three words or as one expression: `analogy("机场 - 飞机 + 火车")`.

        Unit vectors of the output "concat" are added and compared by cosine (3CosAdd); the words of the question are left out.
        Returns [(word, cosine)], descending. Raises ExpressionError or UnknownWordError.
        """
        if (b is None) != (c is None):
            msg = "analogy() takes three words, or one expression such as 'king - man + woman'"
            raise InputError(msg)
        terms = self._terms(a) if b is None or c is None else [(1, a), (-1, b), (1, c)]
        places = [self._place(word) for _, word in terms]
        unit = self.unit("concat")
        target = np.sum([sign * unit[place] for (sign, _), place in zip(terms, places, strict=True)], axis=0)
        length = np.linalg.norm(target)
        if length < 1e-6:
            msg = f"{a!r} adds up to nothing: its words cancel"
            raise InputError(msg)
        return self._best(unit[: self._among("restrict", restrict)] @ (target / length), places, topn)

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
            self._place(word)
        except (UnknownWordError, InputError):
            return False
        return True

    def pmi(self, a: str, b: str) -> float:
        """The estimated pointwise mutual information of two words, in nats."""
        i, j = self._place(a), self._place(b)
        return float(self.word[i] @ self.context[j] + self.word[j] @ self.context[i]) / 2

    def _among(self, name: str, limit: int | None, least: int = 1) -> int:
        """How many of the most frequent words a limit leaves."""
        if limit is not None and limit < least:
            msg = f"{name}={limit} leaves too few words; give {least} or more"
            raise InputError(msg)
        return len(self) if limit is None else min(limit, len(self))

    def _best(self, scores: npt.NDArray[np.float32], without: Iterable[int], topn: int) -> Ranked:
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

    def _place(self, word: object) -> int:
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

    # files

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a directory of open files: vectors.safetensors, vocab.json, word_counts.npy, manifest.json.

        Raises OutputExistsError if it holds something already, StorageError if the disk is full; then nothing changed.
        """
        with write_bundle(Path(path), KIND, VERSION, overwrite) as bundle:
            bundle.json("vocab.json", self.words)
            bundle.array("word_counts.npy", np.asarray(self.counts, np.int64))
            bundle.tensors("vectors.safetensors", {"word": self.word, "context": self.context, "spectrum": self.spectrum})
            bundle.manifest |= {"n_words": len(self), "dim": self.dim, "energy_path": self.energy_path, "info": self.info}

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> WordVectors:
        """Open a directory made by `save`, memory-mapped; `verify` compares checksums, which reads every byte once.

        Raises MissingFileError, or DamagedFileError for anything that is not what the manifest promises.
        """
        path = Path(path)
        bundle = Bundle(path, KIND, VERSION, verify)
        n_words, dim = bundle.manifest.get("n_words"), bundle.manifest.get("dim")
        if not (isinstance(n_words, int) and isinstance(dim, int) and 1 <= n_words < 1 << 31 and 1 <= dim <= 1 << 16):
            msg = f"{path} promises {n_words!r} words of {dim!r} dimensions: its manifest is damaged"
            raise DamagedFileError(msg)
        words = bundle.json("vocab.json")
        if not isinstance(words, list) or len(words) != n_words or not all(isinstance(word, str) for word in words):
            msg = f"{path / 'vocab.json'} is not a list of {n_words} words"
            raise DamagedFileError(msg)
        shapes = {"word": ("<f4", (n_words, dim)), "context": ("<f4", (n_words, dim)), "spectrum": ("<f8", (dim,))}
        tensors = bundle.tensors("vectors.safetensors", shapes)
        for key, tensor in tensors.items():
            if not all(np.isfinite(tensor[first:last]).all() for first, last in blocks(len(tensor), 1 << 16)):
                msg = f"{path}: the tensor {key!r} holds values that are not finite"
                raise DamagedFileError(msg)
        counts = bundle.array("word_counts.npy", "<i8", (n_words,))
        path_numbers, info = bundle.manifest.get("energy_path", []), bundle.manifest.get("info", {})
        if not isinstance(info, dict) or not isinstance(path_numbers, list):
            msg = f"{path}: the manifest is damaged"
            raise DamagedFileError(msg)
        return cls(words, counts, **tensors, energy_path=path_numbers, info=info, name=str(path))

    # displays

    def __repr__(self) -> str:
        return f"WordVectors({len(self):,} words, dim={self.dim})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(visible(word))}</td><td style='text-align:right'>{int(n):,}</td></tr>"
            for word, n in zip(self.words[:10], self.counts[:10], strict=False)
        )
        return f"<p>{html.escape(repr(self))}</p><table><tr><th>word</th><th>count</th></tr>{rows}</table>"
