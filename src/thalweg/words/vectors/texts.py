"""What the vectors say about a text. A text is the sum of its words, because mutual information adds up:

    PMI(Q; A) = sum_i sum_j PMI(q_i, a_j) ~ (<U_Q, K_A> + <U_A, K_Q>)/2,   U_Q = sum_i u_{q_i},  K_Q = sum_i k_{q_i}

if the words of Q and of A are independent given the others (naive Bayes, twice). So the sum of the vectors is the vector of a
text; its keyword, the word w that makes the text most likely (largest P(text|w)), has the largest inner product with that sum; and
the importance of a word is its length, since |v_w|^2 is near -ln P(w) plus a constant.
Source: Su Jianlin 2017, 更别致的词向量模型 (kexue.fm 4671, 4677); weights "sif": Arora, Liang and Ma, ICLR 2017.

Texts are cut into words as the corpus was. Words that are not known are skipped, and listed in what `cut` returns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, UnknownWordError, whole_number
from thalweg.words.vectors import queries
from thalweg.words.vectors.lengths import positive
from thalweg.words.vectors.ranked import Ranked
from thalweg.words.vectors.ranks import spearman

if TYPE_CHECKING:
    from thalweg.words.text.corpus import Report
    from thalweg.words.vectors.readout import Readout

SIF = 1e-3  # a of the weights a/(a + P), as the paper has it
WEIGHTS = ("sif",)
NEGATIVE = (
    "all scores are negative: words of a long, mixed text that never met draw the sums to the floor; ask about a paragraph, "
    "or fit with --floor 0"
)
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Text:
    """A text as the vectors know it.

    places: (n,) the numbers of its distinct known words, in their order; times: (n,) how often each stands there; unknown: its
    distinct other words.
    """

    places: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    unknown: tuple[str, ...]

    @property
    def n_known(self) -> int:
        """Tokens that are known."""
        return int(self.times.sum())


def cut(wv: Readout, text: object) -> Text:
    """The words of a text. Raises InputError if it has none, UnknownWordError if none of them is known."""
    if isinstance(text, Text):
        return text
    if not isinstance(text, str):
        msg = f"a text is a string, not {type(text).__name__}"
        raise InputError(msg)
    times: dict[str, int] = {}
    for word in wv.cut(text):
        times[word] = times.get(word, 0) + 1
    if not times:
        msg = "the text holds no words"
        raise InputError(msg)
    known: dict[int, int] = {}
    for word, n in times.items():
        if (place := wv.wording.at(word)) is not None:
            known[place] = known.get(place, 0) + n
    unknown = tuple(word for word in times if wv.wording.at(word) is None)
    if not known:
        first = " ".join(word if len(word) <= 40 else f"{word[:39]}…" for word in unknown[:5])
        msg = f"none of the text's words is among the {len(wv):,} of {wv.name}: {first}{' …' if len(unknown) > 5 else ''}"
        raise UnknownWordError(msg)
    return Text(np.array(list(known), np.int64), np.array(list(known.values()), np.int64), unknown)


def read_text(path: str | Path, encoding: str = "utf-8", json_key: str = "text") -> tuple[str, Report]:
    """A text from a file, a folder of texts or "-", standard input, as `fit` reads it; and what of it could not be read.

    Raises MissingFileError, StorageError or InputError for what is no text.
    """
    from thalweg.words.text import corpus, reading
    from thalweg.words.text.rules import Rules

    report, parts, pieces = corpus.Report(), [], list[bytes]()
    for block, _ in reading.texts(corpus.sources([path], report), Rules(encoding=encoding, json_key=json_key), report):
        if block is not None:
            pieces.append(block)
            report.n_bytes += len(block)
            continue
        text = b"".join(pieces).decode("utf-8", "replace")
        report.bad_bytes += text.count("\ufffd")
        parts.append(text.replace("\ufffd", " "))
        pieces.clear()
    if not any(map(str.strip, parts)):
        raise corpus.nothing_left(report)
    return "\n".join(parts), report


def _sums(wv: Readout, text: Text) -> tuple[Doubles, Doubles]:
    """U and K, the sums of the word and of the context vectors.   (dim,) each"""
    times = text.times.astype(np.float64)
    return times @ wv.word[text.places], times @ wv.context[text.places]


def keywords(
    wv: Readout,
    text: str | Text,
    *,
    topn: int = 10,
    by: str = "pmi",
    exclude_self: bool = False,
    limits: tuple[int | None, int | None, float | None] = (None, None, None),
) -> Ranked:
    """`WordVectors.keywords`: for each distinct known word w of the text, sum_i PMI^(i, w) over its tokens i."""
    queries.checked("by", by, queries.RELATED)
    text = cut(wv, text)
    n, keep = queries.allowed(wv, *limits)
    word, context = (np.asarray(side[text.places], np.float64) for side in (wv.word, wv.context))  # (n, dim) each
    all_u, all_k = _sums(wv, text)
    # of each word's own: the sums over the tokens that it is compared with
    own = text.times[:, None] if exclude_self else np.zeros((1, 1))
    u, k = all_u - own * word, all_k - own * context
    scores = (np.einsum("nd,nd->n", context, u) + np.einsum("nd,nd->n", word, k)) / 2
    if by == "cosine":
        lengths = [np.sqrt(((a**2).sum(axis=1) + (b**2).sum(axis=1)) / 2) for a, b in ((word, context), (u, k))]
        scores = scores / positive(lengths[0]) / positive(lengths[1])
    shown = text.places < n
    if keep is not None:
        shown[shown] = keep[text.places[shown]]
    order = np.lexsort((text.places, -scores))
    ranked = [(wv.words[text.places[row]], float(scores[row])) for row in order if shown[row]]
    topn = whole_number("topn", topn, least=1)
    measure, note = queries.measured(wv, by)
    if measure == "pmi" and ranked and ranked[0][1] < 0:
        note = NEGATIVE
    return Ranked(ranked[:topn], score=measure, unknown=text.unknown, note=note)


def similarity(wv: Readout, text: str | Text, other: str | Text, *, by: str = "cosine", output: str | None = None) -> float:
    """`WordVectors.similarity`: the cosine of two sums of output vectors, or PMI(text; other) by additivity."""
    queries.checked("by", by, queries.RELATED)
    first, second = cut(wv, text), cut(wv, other)
    if by == "pmi":
        queries.check_estimates_pmi(wv)
        (u, k), (other_u, other_k) = _sums(wv, first), _sums(wv, second)
        return float(u @ other_k + other_u @ k) / 2
    a, b = (each.times.astype(np.float64) @ wv.vectors_of(each.places, output) for each in (first, second))
    lengths = math.sqrt(float(a @ a) * float(b @ b))
    return min(1.0, max(-1.0, float(a @ b) / lengths)) if lengths > 0 else 0.0


def vector(
    wv: Readout, text: str | Text, *, mean: bool = False, weights: str | None = None, output: str | None = None
) -> npt.NDArray[np.float32]:
    """`WordVectors.vector`: the sum of a text's output vectors, each with its weight.   (dim,), concat: (2 dim,)"""
    if weights is not None:
        queries.checked("weights", weights, WEIGHTS)
    text = cut(wv, text)
    times = text.times.astype(np.float64)
    if weights == "sif":
        times = times * sif(wv)[text.places]
    total = times @ wv.vectors_of(text.places, output)
    return np.asarray(total / text.n_known if mean else total, np.float32)


def sif(wv: Readout, a: float = SIF) -> Doubles:
    """The weights a/(a + P(word)). Raises InputError without the counts of the words.   (n_words,)"""
    return a / (a + _shares(wv, 'weights="sif"'))


def _shares(wv: Readout, asked: str) -> Doubles:
    """P of every word: its share of the tokens.   (n_words,)"""
    total = int(np.sum(wv.counts)) if wv.has_counts else 0
    if total == 0:
        msg = f"{asked} needs the counts of the words, and {wv.name} came without"
        raise InputError(msg)
    return np.asarray(wv.counts, np.float64) / total


@dataclass(frozen=True)
class WordImportance:
    """A word's length |y| and -ln P(word), None without counts; the rank of each among all words, 1 the largest, ties alike."""

    word: str
    norm: float
    rarity: float | None
    norm_rank: int
    rarity_rank: int | None


@dataclass(frozen=True)
class Importance:
    """rows: the words asked about by falling length (ascending: rising); spearman: of |y| and -ln P over all n_words, or NaN."""

    rows: tuple[WordImportance, ...]
    spearman: float
    n_words: int

    def _repr_html_(self) -> str:
        rows = Ranked([(row.word, row.norm) for row in self.rows], score="norm")
        return rows._repr_html_() + f"<p>Spearman of norm and -ln P over {self.n_words:,} words: {self.spearman:.3f}</p>"


def importance(
    wv: Readout, words: Iterable[str] | None = None, *, topn: int = 10, ascending: bool = False, output: str | None = None
) -> Importance:
    """`WordVectors.importance`: lengths beside -ln P, and how well their orders agree."""
    topn = whole_number("topn", topn, least=1)
    norms = np.asarray(wv.norms(output))
    asked = [words] if isinstance(words, str) else words
    places = None if asked is None else list(dict.fromkeys(wv.place(word) for word in asked))
    rarity = None
    if wv.has_counts and int(np.sum(wv.counts)) > 0:
        with np.errstate(divide="ignore"):
            rarity = -np.log(_shares(wv, "importance"))
        rarity += 0.0  # not -0 for a word that is all there is
    order = np.lexsort((np.arange(len(wv)), norms if ascending else -norms))
    if places is None:
        chosen = order[:topn]
    else:
        chosen = np.array(sorted(places, key=lambda place: (norms[place] if ascending else -norms[place], place)), np.int64)
    by_norm, by_rarity = np.sort(norms), None if rarity is None else np.sort(rarity)
    rows = [
        WordImportance(
            wv.words[place],
            float(norms[place]),
            None if rarity is None else float(rarity[place]),
            _rank(by_norm, norms[place]),
            None if by_rarity is None or rarity is None else _rank(by_rarity, rarity[place]),
        )
        for place in chosen
    ]
    return Importance(tuple(rows), math.nan if rarity is None else spearman(norms, rarity), len(wv))


def _rank(rising: npt.NDArray[np.floating], value: np.floating) -> int:
    """1 + the number of larger values."""
    return 1 + len(rising) - int(np.searchsorted(rising, value, "right"))


__all__ = ["Importance", "Text", "WordImportance", "cut", "importance", "keywords", "read_text", "sif", "similarity", "vector"]
