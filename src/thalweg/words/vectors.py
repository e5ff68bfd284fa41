"""Word vectors and the questions they answer. Plain NumPy over memory-mapped arrays.

related    inner product: <u_i, k_j> estimates the mutual information of two words, also for pairs that never met
similar    cosine of u + k: the same neighbours, whatever the importance
analogy    a - b + c: the word whose unit vector is nearest to the combination (Mikolov et al. 2013), on [u, k]
keywords   the words of a text most related to all of it: the inner product adds up, so a text is the sum of its words

How they are computed stands in `thalweg.words.queries` and `thalweg.words.texts`.
"""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, UnknownWordError, near_misses, quoted, visible
from thalweg.words import queries, spelling, texts
from thalweg.words.ranked import Ranked

if TYPE_CHECKING:
    from thalweg.words.counts import CooccurrenceCounts
    from thalweg.words.evaluation import AnalogySet, Evaluation, PairSet
    from thalweg.words.maps import WordMap

OUTPUTS = ("sum", "concat", "word")
METHODS = queries.METHODS


def normalized(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Every row of length 1; rows of zeros stay."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1))


class WordVectors:
    """Vectors of a vocabulary, two for each word: as a word (u) and as a context (k), in the balanced gauge.

    words: by falling count; counts (n_words,) int64, zeros where not known (has_counts False); word, context (n_words, dim)
    float32, context None in the shared model (k = u); spectrum (dim,) float64; energy_path: the energy before and after every
    sweep; info: how they were made. output: which vectors are read off the fit, "sum" u + k, "concat" [u, k] or "word" u; None
    takes "sum", and "concat" for analogies. power: columns are scaled by spectrum^(power - 1/2) in all that uses the output
    (Levy, Goldberg and Dagan 2015). Made by `thalweg.words.fit`, `load` or `read`.
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
        self.folder: Path | None = None  # where it was loaded from
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

    @property
    def vector_size(self) -> int:
        """The length of an output vector, by gensim's name."""
        return int(self.vectors_of([0]).shape[1])

    @property
    def estimates_pmi(self) -> bool:
        """Whether inner products were fitted to mutual information: not for other programs' vectors, nor for GloVe's objective."""
        made_by = self.info.get("settings", {}).get("objective") if "format" in self.info or "settings" in self.info else "unknown"
        return made_by is not None and made_by != "glove"

    def cut(self, text: str, *, segment: bool = True) -> list[str]:
        """The words of a text by the rule that the corpus was read with; segment=False leaves Chinese words as they are typed."""
        from thalweg.words.reading import words_of

        language = "words" if self.language == "zh" and not segment else self.language
        return words_of(text, language, lower=self.info.get("lower", True), digits=self.info.get("digits", True))

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

    @functools.lru_cache(maxsize=3)  # noqa: B019
    def norms(self, output: str | None = None) -> npt.NDArray[np.float32]:
        """The length of every output vector: the importance of a word.   (n_words,)"""
        step = 1 << 15
        parts = [queries.norms_of(self.vectors_of(slice(k, k + step), output)) for k in range(0, len(self), step)]
        return np.concatenate(parts)

    @functools.cached_property
    def relation_norms(self) -> npt.NDArray[np.float32]:
        """sqrt((|u|^2 + |k|^2)/2), which makes a cosine of an estimated mutual information.   (n_words,)"""
        lengths = queries.norms_of(self.word)
        return lengths if self.shared else np.sqrt((lengths**2 + queries.norms_of(self.context) ** 2) / 2)

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
        like = WordVectors(
            self.words, self.counts if self.has_counts else None, word, None if self.shared else context, spectrum,
            energy_path=self.energy_path, info=self.info | {"dim": word.shape[1]}, name=self.name, output=self.output, power=power,
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

    # questions. restrict: only among that many most frequent words; min_count, min_norm: only words that occur so often, whose
    # output vector is so long (directions of very short vectors are noise).

    def related(
        self,
        *words: str,
        negative: Sequence[str] = (),
        by: str = "pmi",
        topn: int = 10,
        restrict: int | None = None,
        min_count: int | None = None,
        min_norm: float | None = None,
    ) -> Ranked:
        """The words with the largest estimated mutual information with a word, or with a group of words (its sum).

        by: "pmi" in nats, or "cosine", which divides out both lengths: relatedness without importance. negative: words whose
        scores are subtracted. A Chinese word that is not known is asked about as the group of its pieces, with a note.
        Returns [(word, score)], descending. Raises UnknownWordError.
        """
        if not words:
            msg = "related() needs a word"
            raise InputError(msg)
        question = (words, [negative] if isinstance(negative, str) else negative)
        return queries.related_many(
            self, [question], by=by, topn=topn, restrict=restrict, min_count=min_count, min_norm=min_norm
        )[0]  # fmt: skip

    def related_many(
        self,
        words: Iterable[str | Sequence[str]],
        *,
        by: str = "pmi",
        topn: int = 10,
        restrict: int | None = None,
        min_count: int | None = None,
        min_norm: float | None = None,
    ) -> list[Ranked]:
        """What `related` answers to each of many words, or groups of words, as one matrix product. Raises UnknownWordError."""
        groups = [([word] if isinstance(word, str) else word, ()) for word in words]
        if not all(len(group) for group, _ in groups):
            msg = "related_many() needs a word in every group"
            raise InputError(msg)
        return queries.related_many(self, groups, by=by, topn=topn, restrict=restrict, min_count=min_count, min_norm=min_norm)

    def similar(
        self,
        word: str,
        *,
        contexts: int | None = None,
        topn: int = 10,
        restrict: int | None = None,
        min_count: int | None = None,
        min_norm: float | None = None,
        output: str | None = None,
    ) -> Ranked:
        """The words that are used alike: [(word, score)], descending.

        By default the cosine of the output u + k: related to the same words, importance aside. With contexts=n the correlation
        of the two words' mutual information with each of the n most frequent words: a small n (500) asks for the same
        grammatical role, a large one (10,000) for the same topic. Raises UnknownWordError.
        """
        place = self.place(word)
        unit = self.unit(output) if contexts is None else self.profiles(contexts)
        n, keep = queries.allowed(self, restrict, min_count, min_norm, output)
        score = "cosine" if contexts is None else "correlation"
        return queries.best(self, unit[:n] @ unit[place], [place], topn, keep, score=score)

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
        min_count: int | None = None,
        min_norm: float | None = None,
        output: str | None = None,
    ) -> Ranked:
        """A - b + c, as three words or as one expression: `analogy("机场 - 飞机 + 火车")`.

        method: "add", the cosine of a unit vector with the sum of the terms' unit vectors (3CosAdd; norms=True: with the sum of
        their full vectors, as the source does), or "mul", s(x, a) s(x, c) / (s(x, b) + 0.001) with s = (cos + 1)/2 (Levy and
        Goldberg, CoNLL 2014). The words of the question are left out; the output is "concat" unless one is chosen.
        Returns [(word, score)], descending. Raises ExpressionError or UnknownWordError.
        """
        limits = (restrict, min_count, min_norm)
        return queries.analogy(self, a, b, c, method=method, norms=norms, topn=topn, limits=limits, output=output)

    def pmi(self, a: str, b: str) -> float:
        """The estimated pointwise mutual information of two words, in nats. Raises UnknownWordError."""
        i, j = self.place(a), self.place(b)
        return float(self.word[i] @ self.context[j] + self.word[j] @ self.context[i]) / 2

    def counted_pmi(self, a: str, b: str) -> float | None:
        """The counted pointwise mutual information, in nats; None if they never met, or without the counts of the fit.

        Raises UnknownWordError, or DamagedFileError if the counts beside the vectors cannot be used.
        """
        first, second = self.words[self.place(a)], self.words[self.place(b)]
        try:
            return None if self.pair_counts is None else self.pair_counts.pmi(first, second)
        except UnknownWordError:  # these counts have a smaller vocabulary
            return None

    @functools.cached_property
    def pair_counts(self) -> CooccurrenceCounts | None:
        """The co-occurrence counts that the vectors were fitted to, memory-mapped, if they lie beside them in `counts/`."""
        from thalweg.words.counts import CooccurrenceCounts

        path = None if self.folder is None else self.folder / "counts"
        return CooccurrenceCounts.open(path, verify=False) if path is not None and path.is_dir() else None

    def normaliser(self, n: int = 100) -> npt.NDArray[np.float64]:
        """sum_j P(j) e^<v_i, v_j> for the n most frequent words i: 1 where the model's probabilities add up.   (n,)

        Nothing in the model makes it 1. Raises InputError without the counts of the words.
        """
        return queries.normaliser(self, n)

    # texts, cut into words as the corpus was; unknown words are skipped

    def keywords(
        self,
        text: str,
        *,
        topn: int = 10,
        by: str = "pmi",
        exclude_self: bool = False,
        restrict: int | None = None,
        min_count: int | None = None,
        min_norm: float | None = None,
    ) -> Ranked:
        """The words of a text that are most related to all of it: the sum of a word's mutual information with every word there.

        Words that stand there twice count twice in the sum, and the word itself counts too unless exclude_self. by="cosine"
        divides out the lengths. Returns [(word, score)], descending, and the skipped words as its `unknown`.
        Raises InputError if the text has no words, UnknownWordError if none of them is known.
        """
        limits = (restrict, min_count, min_norm)
        return texts.keywords(self, text, topn=topn, by=by, exclude_self=exclude_self, limits=limits)

    def similarity(self, text: str, other: str, *, by: str = "cosine", output: str | None = None) -> float:
        """How alike two texts are: the cosine of the sums of their vectors, or, by="pmi", the mutual information of both in nats.

        Raises InputError or UnknownWordError as `keywords` does.
        """
        return texts.similarity(self, text, other, by=by, output=output)

    def vector(
        self, text: str, *, mean: bool = False, weights: str | None = None, output: str | None = None
    ) -> npt.NDArray[np.float32]:
        """The sum of the output vectors of a text's words: its vector, by additivity.   (dim,)

        mean: divided by the number of known words. weights: "sif", a/(a + P(word)) with a = 0.001 (Arora, Liang and Ma 2017).
        Raises InputError or UnknownWordError as `keywords` does.
        """
        return texts.vector(self, text, mean=mean, weights=weights, output=output)

    def importance(
        self, words: Iterable[str] | None = None, *, topn: int = 10, ascending: bool = False, output: str | None = None
    ) -> texts.Importance:
        """Lengths of vectors beside -ln P: of some words, or of the topn longest (ascending: shortest). Raises UnknownWordError."""
        return texts.importance(self, words, topn=topn, ascending=ascending, output=output)

    def among(self, name: str, limit: int | None, least: int = 1) -> int:
        """How many of the most frequent words a limit leaves."""
        if limit is not None and limit < least:
            msg = f"{name}={limit} leaves too few words; give {least} or more"
            raise InputError(msg)
        return len(self) if limit is None else min(limit, len(self))

    def best(self, scores: npt.NDArray[np.float32], without: Iterable[int], topn: int) -> Ranked:
        """The topn largest scores, equal ones in the order of frequency."""
        return queries.best(self, scores, without, topn)

    def place(self, word: object) -> int:
        """The number of a word, spelled as the corpus was read. Raises UnknownWordError with near spellings."""
        if isinstance(word, str) and word in self.index:
            return self.index[word]
        if not isinstance(word, str):
            msg = f"a word is a string, not {type(word).__name__}"
            raise InputError(msg)
        lone = any("\ud800" <= ch <= "\udfff" for ch in word)
        if lone or not word.strip():
            hint = " It is not text in UTF-8: check the encoding of the terminal." if lone else " It is empty."
            msg = f"{quoted(word)} is not among the {len(self):,} words of {self.name}.{hint}"
            raise UnknownWordError(msg)
        pieces = self.cut(word, segment=False)
        if len(pieces) == 1 and pieces[0] in self.index:
            return self.index[pieces[0]]
        near = spelling.near(
            word if self.language == "whitespace" or not self.info.get("lower", True) else word.lower(), self.words
        )
        hint = f" Near spellings: {', '.join(near)}." if near else ""
        if not near and self.language == "zh" and len(known := [w for w in self.cut(word) if w in self.index]) > 1:
            hint = f" Its pieces are known: {' '.join(known)}."
        msg = f"{quoted(word)} is not among the {len(self):,} words of {self.name}.{hint}"
        raise UnknownWordError(msg, near)

    def map(
        self,
        words: str | Sequence[str] | None = None,
        *,
        n: int = 200,
        method: str = "pca",
        seed: int = 0,
        clusters: int | None = None,
        neighbours: int = 0,
        output: str | None = None,
    ) -> WordMap:
        """Words in the plane, by "pca", "tsne" or "umap"; None: the n most frequent that say something (`thalweg.words.maps`)."""
        from thalweg.words import maps

        return maps.map_words(self, words, n=n, method=method, seed=seed, clusters=clusters, neighbours=neighbours, output=output)

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
    def load(cls, path: str | Path, *, verify: bool | int = True) -> WordVectors:
        """Open a directory made by `save`, memory-mapped; `verify` compares checksums, which reads every byte once
        (a number: of files up to that many bytes).

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

    def most_similar(
        self, positive: Any = None, negative: Any = None, topn: int = 10, restrict_vocab: int | None = None
    ) -> list[tuple[str, float]]:
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
        path = self.energy_path
        energy = f"<p>energy {path[0]:.6g} at the start, {path[-1]:.6g} after {len(path) - 1} sweeps</p>" if path else ""
        return f"<p>{html.escape(repr(self))}</p>{energy}<table><tr><th>word</th><th>count</th></tr>{rows}</table>"
