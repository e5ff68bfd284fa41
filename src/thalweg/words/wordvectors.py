"""Word vectors and the questions they answer. Plain NumPy over memory-mapped arrays.

related    inner product: <u_i, k_j> estimates the mutual information of two words, also for pairs that never met
similar    cosine of u + k: the same neighbours, whatever the importance
analogy    a - b + c: the word whose unit vector is nearest to the combination (Mikolov et al. 2013), on [u, k]
keywords   the words of a text most related to all of it: the inner product adds up, so a text is the sum of its words

How they are computed stands in `thalweg.words.vectors.queries` and `thalweg.words.vectors.texts`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, UnknownWordError, visible
from thalweg.words.gensim_names import GensimNames
from thalweg.words.vectors import queries, texts
from thalweg.words.vectors.ranked import Ranked

if TYPE_CHECKING:
    from thalweg.progress import Progress
    from thalweg.words.judging.evaluation import AnalogySet, Evaluation, PairSet
    from thalweg.words.pictures.maps import WordMap


class WordVectors(GensimNames):
    """The vectors of a fit, and the questions they answer. Made by `thalweg.words.fit`, `load` or `read`; the arguments are
    those of `thalweg.words.vectors.readout.Readout`.
    """

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
        guess: bool = False,
    ) -> Ranked:
        """The words that are used alike: [(word, score)], descending.

        By default the cosine of the output u + k: related to the same words, importance aside. With contexts=n the correlation
        of the two words' mutual information with each of the n most frequent words: a small n (500) asks for the same
        grammatical role, a large one (10,000) for the same topic. guess: a word that is not known is asked about by its letters.
        Raises UnknownWordError.
        """
        limits = (restrict, min_count, min_norm)
        return queries.similar(self, word, contexts=contexts, topn=topn, limits=limits, output=output, guess=guess)

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
        guess: bool = False,
    ) -> Ranked:
        """A - b + c, as three words or as one expression: `analogy("机场 - 飞机 + 火车")`.

        method: "add", the cosine of a unit vector with the sum of the terms' unit vectors (3CosAdd; norms=True: with the sum of
        their full vectors, as the source does), or "mul", s(x, a) s(x, c) / (s(x, b) + 0.001) with s = (cos + 1)/2 (Levy and
        Goldberg, CoNLL 2014). The words of the question are left out; the output is "concat" unless one is chosen.
        guess: a word that is not known is taken for what its letters say.
        Returns [(word, score)], descending. Raises ExpressionError or UnknownWordError.
        """
        limits = (restrict, min_count, min_norm)
        return queries.analogy(self, a, b, c, method=method, norms=norms, topn=topn, limits=limits, output=output, guess=guess)

    def pmi(self, a: str, b: str) -> float:
        """The estimated pointwise mutual information of two words, in nats.

        Raises UnknownWordError, or InputError for vectors that were not fitted to it.
        """
        queries.check_estimates_pmi(self)
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

        Raises InputError or UnknownWordError as `keywords` does; by="pmi" InputError for vectors that were not fitted to it.
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
        """Words in the plane by "pca", "tsne" or "umap" (`thalweg.words.pictures.maps`); None: the n most frequent telling ones."""
        from thalweg.words.pictures import maps

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
        guess: bool = False,
        encoding: str = "utf-8",
        threads: int | None = None,
    ) -> Evaluation:
        """Scores on analogy files and human-rated pairs, alone or beside other vectors: `thalweg.words.judging.evaluation`."""
        from thalweg.words.judging import evaluation

        return evaluation.evaluate(
            self, analogies, pairs, against=against, restrict=restrict, output=output, method=method, guess=guess,
            encoding=encoding, threads=threads,
        )  # fmt: skip

    # files

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a directory of open files: vectors.safetensors, vocab.json, word_counts.npy, manifest.json.

        Raises OutputExistsError if it holds something already, StorageError if the disk is full; then nothing changed.
        """
        from thalweg.words.vectors import storage

        storage.save(self, Path(path), overwrite)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool | int = True) -> Self:
        """Open a directory made by `save`, memory-mapped; `verify` compares checksums, which reads every byte once
        (a number: of files up to that many bytes).

        Raises MissingFileError, or DamagedFileError for anything that is not what the manifest promises.
        """
        from thalweg.words.vectors import storage

        return storage.load(cls, Path(path), verify)

    @classmethod
    def read(
        cls,
        path: str | Path,
        format: str | None = None,
        *,
        allow_nonfinite: bool = False,
        tensor: str | None = None,
        encoding: str = "utf-8",
        progress: Progress | None = None,
    ) -> Self:
        """Another program's vectors: "word2vec", "word2vec-bin", "glove", "npz" or "safetensors"; None looks at the content.

        allow_nonfinite: leave out words whose vectors are not finite; tensor: its name in safetensors; encoding: of the words, if
        they are not UTF-8. There are no counts.
        Raises MissingFileError, InputError, or DamagedFileError for a file that does not hold what it promises.
        """
        from thalweg.words import formats

        return formats.read(cls, path, format, allow_nonfinite=allow_nonfinite, tensor=tensor, encoding=encoding, progress=progress)

    def export(self, path: str | Path, format: str | None = None, output: str | None = None, *, overwrite: bool = False) -> None:
        """Write one of these formats, None: the one that the name's suffix says. The numbers keep every bit.

        Raises OutputExistsError, StorageError, or InputError for what a format cannot hold; then nothing changed.
        """
        from thalweg.words import formats

        formats.write(self, path, format, output, overwrite=overwrite)

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
