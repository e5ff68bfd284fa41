"""The names that gensim's users type: `KeyedVectors` of gensim 4, answered by `WordVectors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError
from thalweg.words.vectors import queries
from thalweg.words.vectors.readout import Readout

OTHERWISE = {  # what has another name or form here
    "distance": "1 - wv.similarity(a, b)",
    "rank": "wv.index[word]",
    "get_index": "wv.index[word]",
    "get_vecattr": "wv.counts[wv.index[word]]",
    "get_normed_vectors": "wv.unit()",
    "most_similar_cosmul": 'wv.analogy(a, b, c, method="mul")',
    "save_word2vec_format": 'wv.export(file, "word2vec")',
    "load_word2vec_format": "WordVectors.read(file)",
    "index2word": "wv.words",
    "vocab": "wv.index",
    "evaluate_word_pairs": "wv.evaluate(pairs=file)",
    "evaluate_word_analogies": "wv.evaluate(analogies=file)",
    "wv": "these are the vectors themselves",
}


class GensimNames(Readout):
    """What `WordVectors` has besides its own questions, under gensim's names and with gensim's meaning."""

    @property
    def key_to_index(self) -> dict[str, int]:
        return self.index

    @property
    def index_to_key(self) -> list[str]:
        return self.words

    @property
    def vector_size(self) -> int:
        """The length of an output vector."""
        return int(self.vectors_of([0]).shape[1])

    def get_vector(self, word: str, norm: bool = False) -> npt.NDArray[np.float32]:
        """The output vector of a word, with `norm` of length 1.   (dim,)"""
        return np.asarray(self.unit()[self.place(word)]) if norm else self[word]

    def most_similar(
        self, positive: Any = None, negative: Any = None, topn: int = 10, restrict_vocab: int | None = None
    ) -> list[tuple[str, float]]:
        """The words nearest to the mean of unit vectors, those of `negative` with a minus."""
        from thalweg.words.formats import gensim  # loads every format

        return gensim.most_similar(self, positive, negative, topn, restrict_vocab)

    def similar_by_vector(self, vector: Any, topn: int = 10) -> list[tuple[str, float]]:
        """The words nearest to a vector, such as the one that `guess` returns."""
        return self.most_similar(positive=[np.asarray(vector)], topn=topn)

    def has_index_for(self, word: str) -> bool:
        return word in self

    if not TYPE_CHECKING:  # it would make every name an attribute for a type checker

        def __getattr__(self, name: str) -> Any:  # reached only for what is not there
            hint = f"; here it is {OTHERWISE[name]}" if name in OTHERWISE else ""
            msg = f"{type(self).__name__!r} object has no attribute {name!r}{hint}"
            raise AttributeError(msg)

    def similar_by_word(self, word: str, topn: int = 10) -> list[tuple[str, float]]:
        return queries.similar(self, word, topn=topn)

    def n_similarity(self, one: Sequence[str], other: Sequence[str]) -> float:
        """The cosine of the means of two groups' unit vectors. Raises UnknownWordError."""
        a, b = (_direction(self, words) for words in (one, other))
        return float(a @ b)

    def doesnt_match(self, words: Sequence[str]) -> str:
        """The word farthest from the mean direction of all of them. Raises UnknownWordError."""
        mean = _direction(self, words)
        cosines = self.unit()[[self.place(word) for word in words]] @ mean
        return words[int(np.argmin(cosines))]

    def to_gensim(self, output: str | None = None) -> Any:
        """A `gensim.models.KeyedVectors` with the same words, vectors and counts. Raises MissingExtraError without gensim."""
        from thalweg.words.formats import gensim  # loads every format

        return gensim.to_gensim(self, output)

    @classmethod
    def from_gensim(cls, keyed: Any) -> Self:
        """The vectors of a KeyedVectors, or of a model that has one as `wv`. Raises InputError for anything else."""
        from thalweg.words.formats import gensim  # loads every format

        return cls(**gensim.from_gensim(keyed))


def _direction(wv: Readout, words: Sequence[str]) -> npt.NDArray[np.float32]:
    """The mean of unit vectors, of length 1.   (dim,)"""
    if isinstance(words, str) or not len(words):
        msg = f"a list of words is needed, not {words!r}"
        raise InputError(msg)
    total = wv.unit()[[wv.place(word) for word in words]].sum(axis=0)
    length = np.linalg.norm(total)
    return np.asarray(total / length if length > 0 else total)
