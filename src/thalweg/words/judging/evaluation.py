"""How good are word vectors? Analogies, human judgements of similarity, and what the length of a vector says.

Analogies     accuracy of 3CosAdd and 3CosMul over the questions whose words are known (Mikolov et al. 2013, arXiv 1301.3781; Levy
              and Goldberg, CoNLL 2014); right means that no other word, those of the question left out, scores higher
Similarity    Spearman's rank correlation, mean ranks for ties, of the cosine and the human score over the known pairs
Norms         words that keep any company are short: share of stop words among the shortest, correlation of |y|^2 with -ln P

Words are folded as the corpus was read. Two sets of vectors are compared on the words that both know: as questions, as pairs and as
candidates. The rules are those of the published figures: all words are candidates, and questions with unknown words are left out.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, UnknownWordError, near_misses
from thalweg.files import read_bytes
from thalweg.words.judging.analogies import analogy_hits, analogy_ranks
from thalweg.words.text.encodings import check_encoding, text_of_file
from thalweg.words.vectors.queries import METHODS
from thalweg.words.vectors.queries import known as known_to
from thalweg.words.vectors.ranks import spearman
from thalweg.words.vectors.readout import normalized

if TYPE_CHECKING:
    from thalweg.words.vectors.readout import Readout

__all__ = [
    "METHODS", "Accuracy", "AnalogyResult", "AnalogySet", "Evaluation", "NormsResult", "PairSet", "PairsResult", "analogy_hits",
    "analogy_ranks", "answer", "built_in", "evaluate", "judge", "norms", "read_analogies", "read_pairs",
]  # fmt: skip

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FILE_LIMIT = 1 << 28  # bytes of a test set


@dataclass(frozen=True)
class AnalogySet:
    """A test set. questions: (a, b, c, answers) with d = b - a + c among the answers; section: of each question."""

    name: str
    questions: tuple[tuple[str, str, str, tuple[str, ...]], ...]
    section: tuple[str, ...]


@dataclass(frozen=True)
class PairSet:
    """Pairs of words and how alike people find them: (w1, w2, score)."""

    name: str
    pairs: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Accuracy:
    """Right answers among the covered questions (all words known) among those asked."""

    name: str
    right: int
    covered: int
    asked: int

    @property
    def of_covered(self) -> float:
        """The share of right answers among the covered questions; NaN for 0/0."""
        return self.right / self.covered if self.covered else math.nan

    @property
    def of_asked(self) -> float:
        """The share of right answers among all questions; NaN for 0/0."""
        return self.right / self.asked if self.asked else math.nan


@dataclass(frozen=True, eq=False)
class AnalogyResult:
    """A test set by one method.

    semantic and syntactic: sections whose names do not, and do, begin with "gram"; total: all questions, not the mean of sections.
    ranks: (asked,) int64, the place of the right answer among all words, 1 = first, 0 = not covered.
    """

    name: str
    method: str
    sections: tuple[Accuracy, ...]
    semantic: Accuracy
    syntactic: Accuracy
    total: Accuracy
    ranks: Ints


@dataclass(frozen=True)
class PairsResult:
    """Spearman's correlation with human scores over the n_covered of n pairs whose words are known; low, high: its 95% interval."""

    name: str
    spearman: float
    low: float
    high: float
    n_covered: int
    n: int


@dataclass(frozen=True)
class NormsResult:
    """Stop words known, their share among the shortest 100 and 200 words; Spearman of |y|^2 with -ln P (NaN without counts).

    spearman_frequent: within the 1,000 most frequent words; chance: the share of stop words among all words.
    """

    n_stopwords: int
    shortest_100: float
    shortest_200: float
    chance: float
    spearman_frequent: float
    spearman_all: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found: analogies (one per test set and method, in this order), pairs; n_words: candidates and known words.

    against: the same of the other vectors, on the same words.
    """

    name: str
    n_words: int
    analogies: tuple[AnalogyResult, ...]
    pairs: tuple[PairsResult, ...]
    against: Evaluation | None = None


# Files


def read_analogies(path: str | Path, encoding: str = "utf-8") -> AnalogySet:
    """A file of lines `a b c d` (blank-separated) in sections `: name`; d may be several answers, x/y.

    Raises MissingFileError, StorageError or InputError with the number of the line that is not so.
    """
    path = Path(path)
    questions: list[tuple[str, str, str, tuple[str, ...]]] = []
    sections: list[str] = []
    section = path.stem
    for number, line in _lines(path, encoding):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        fields = line.split()
        if len(fields) != 4:
            msg = f"{path}, line {number}: {_count(len(fields), 'word')} where a question has four, a b c d (a section is ': name')"
            raise InputError(msg)
        a, b, c, d = fields
        several = tuple(d.split("/"))
        questions.append((a, b, c, several if all(several) else (d,)))
        sections.append(section)
    if not questions:
        msg = f"{path} holds no questions: it should have lines of four words, a b c d"
        raise InputError(msg)
    return AnalogySet(path.name, tuple(questions), tuple(sections))


def read_pairs(path: str | Path, encoding: str = "utf-8") -> PairSet:
    """A file of lines `w1 w2 score`, separated by tabs, commas or blanks; `#` begins a comment.

    A first line that ends in no number is taken for a header. Raises MissingFileError, StorageError or InputError with the number
    of the line that is not so.
    """
    path = Path(path)
    pairs: list[tuple[str, str, float]] = []
    seen = 0
    for number, line in _lines(path, encoding):
        if line.startswith("#"):
            continue
        seen += 1
        separator = next((mark for mark in "\t," if mark in line), None)
        fields = [field.strip() for field in line.split(separator)]
        score = _number(fields[-1])
        if seen == 1 and score is None:
            continue
        if len(fields) != 3 or not all(fields):
            what = _count(len(fields), "field") if len(fields) != 3 else "an empty field"
            msg = f"{path}, line {number}: {what} where a pair has three, word word score"
            raise InputError(msg)
        if score is None or not math.isfinite(score):
            msg = f"{path}, line {number}: the score {fields[-1]!r} is not a {'finite ' * (score is not None)}number"
            raise InputError(msg)
        pairs.append((fields[0], fields[1], score))
    if not pairs:
        msg = f"{path} holds no pairs: it should have lines of two words and a number"
        raise InputError(msg)
    return PairSet(path.name, tuple(pairs))


def _lines(path: Path, encoding: str) -> Iterable[tuple[int, str]]:
    """The lines that are not empty, with their numbers from 1."""
    text = text_of_file(read_bytes(path, FILE_LIMIT), check_encoding(encoding), path)
    numbered = ((number, line.strip()) for number, line in enumerate(re.split(r"\r\n?|\n", text), 1))
    return [(number, line) for number, line in numbered if line]


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def built_in(wv: Readout) -> AnalogySet | None:
    """The best covered of the lists in `thalweg.words.judging.questions`, with all that are half covered; None if none is."""
    from thalweg.words.judging import questions as lists

    known = _Known(wv, np.arange(len(wv)))
    named = {"docs": lists.DOCS, "en": lists.EN, "zh": lists.ZH}
    covered = {name: sum(min(map(known.place, question)) >= 0 for question in asked) for name, asked in named.items()}
    best = max(covered, key=lambda name: covered[name])
    if covered[best] == 0:
        return None
    chosen = [name for name in named if name == best or covered[name] >= len(named[name]) / 2]
    found = [(name, (b, a, c, (d,))) for name in chosen for a, b, c, d in named[name]]  # there a - b + c = d
    return AnalogySet("built-in questions", tuple(question for _, question in found), tuple(name for name, _ in found))


# Words


class _Known:
    """Which words may be asked about and be answers, some rows of the vectors: where a spelling stands among them."""

    def __init__(self, wv: Readout, rows: Ints) -> None:
        self._wv = wv
        self._among = np.full(len(wv), -1)
        self._among[rows] = np.arange(len(rows))
        self._places: dict[str, int] = {}

    def place(self, word: str) -> int:
        """The number of a word among the rows, spelled as the corpus was read (as `WordVectors.place` does), or -1."""
        if word not in self._places:
            at = self._wv.find(word)
            self._places[word] = -1 if at is None else int(self._among[at])
        return self._places[word]


def _unit(wv: Readout, rows: Ints, output: str) -> npt.NDArray[np.float32]:
    """Vectors of length 1 of some words.   rows: (n,) -> (n, dim)"""
    return wv.unit(output) if np.array_equal(rows, np.arange(len(wv))) else normalized(wv.vectors_of(rows, output))


# Scores


def _interval(rho: float, n: int) -> tuple[float, float]:
    """The 95% interval of a correlation by Fisher's transform: atanh(rho) +- 1.96/sqrt(n - 3)."""
    if math.isnan(rho):
        return math.nan, math.nan
    if n <= 3:
        return -1.0, 1.0
    if abs(rho) == 1:
        return rho, rho
    half = 1.959963984540054 / math.sqrt(n - 3)
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def answer(
    questions: AnalogySet,
    unit: npt.NDArray[np.float32],
    places: Sequence[tuple[int, int, int, tuple[int, ...]]],
    *,
    methods: Sequence[str] = METHODS,
    threads: int | None = None,
) -> tuple[AnalogyResult, ...]:
    """The result of a test set by each method.

    unit: (n_words, dim), rows of length 1; places: rows of the words of each question, -1 for one that is not known. Of several
    answers the best counts; a question is covered if a, b, c and one answer are known.
    """
    rows, owner = [], []  # a row for every known answer, and the question that it belongs to
    for q, (a, b, c, several) in enumerate(places):
        if min(a, b, c) >= 0:
            for d in several:
                if d >= 0:
                    rows.append((a, b, c, d))
                    owner.append(q)
    found = analogy_ranks(unit, np.array(rows, np.int64).reshape(-1, 4), methods=methods, threads=threads)
    results = []
    for method in methods:
        never = len(unit) + 2
        ranks = np.full(len(places), never, np.int64)
        np.minimum.at(ranks, np.array(owner, np.int64), found[method])
        ranks[ranks == never] = 0
        results.append(_scored(questions, method, ranks))
    return tuple(results)


def _scored(questions: AnalogySet, method: str, ranks: Ints) -> AnalogyResult:
    names = list(dict.fromkeys(questions.section))
    code = {name: k for k, name in enumerate(names)}
    section = np.array([code[name] for name in questions.section])
    counts = [np.bincount(section[mask], minlength=len(names)) for mask in (ranks == 1, ranks > 0, ranks >= 0)]

    def pooled(name: str, among: list[int]) -> Accuracy:
        right, covered, asked = (int(count[among].sum()) for count in counts)
        return Accuracy(name, right, covered, asked)

    syntactic = [k for k, name in enumerate(names) if name.startswith("gram")]
    semantic = [k for k in range(len(names)) if k not in syntactic]
    sections = tuple(pooled(name, [k]) for k, name in enumerate(names))
    return AnalogyResult(
        questions.name, method, sections, pooled("semantic", semantic), pooled("syntactic", syntactic),
        pooled("total", list(range(len(names)))), ranks,
    )  # fmt: skip


def judge(pairs: PairSet, vectors: npt.NDArray[np.float32], places: Sequence[tuple[int, int]]) -> PairsResult:
    """Spearman's correlation of the cosine with the human score.

    vectors: (n_words, dim); places: the two rows of each pair, -1 for a word that is not known.
    """
    at = np.array(places, np.int64).reshape(-1, 2)
    covered = (at >= 0).all(axis=1)
    at, human = at[covered], np.array([score for _, _, score in pairs.pairs])[covered]
    x, y = vectors[at[:, 0]].astype(np.float64), vectors[at[:, 1]].astype(np.float64)  # (n_covered, dim)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    cosines = np.einsum("nd,nd->n", x, y) / np.where(lengths > 0, lengths, 1)
    cosines[(at[:, 0] == at[:, 1]) & (lengths > 0)] = 1.0  # a word with itself, whatever the rounding: ties stay ties
    rho = spearman(cosines, human)
    return PairsResult(pairs.name, rho, *_interval(rho, len(human)), len(human), len(pairs.pairs))


def norms(wv: Readout, stopwords: Iterable[str], *, output: str | None = None) -> NormsResult:
    """Are the words that keep any company short? Stop words among the shortest; |y|^2 against -ln P.

    stopwords: a list of words without meaning of their own ("the", "of"). The output is "sum" unless one is chosen.
    """
    known = _Known(wv, np.arange(len(wv)))
    stops = np.zeros(len(wv), bool)
    stops[[place for word in stopwords if (place := known.place(word)) >= 0]] = True
    squares = np.square(wv.vectors(output), dtype=np.float64).sum(axis=1)
    order = np.argsort(squares, kind="stable")
    shares = [float(stops[order[:n]].mean()) if len(wv) else math.nan for n in (100, 200, len(wv))]
    rare = -np.asarray(wv.counts, np.float64)  # of the rank of -ln P
    frequent = np.argsort(rare, kind="stable")[:1000]
    rho = [spearman(squares[rows], rare[rows]) if wv.has_counts else math.nan for rows in (frequent, slice(None))]
    return NormsResult(int(stops.sum()), *shares, *rho)


def _guesses(wv: Readout, judgements: Sequence[PairSet], output: str | None) -> dict[str, npt.NDArray[np.float32]]:
    """What letters say of the words that are not known; words that are like nothing known are not among them."""
    found = {}
    for word in dict.fromkeys(word for each in judgements for pair in each.pairs for word in pair[:2]):
        if not known_to(wv, word):
            with contextlib.suppress(UnknownWordError):
                found[word] = wv.guess(word, output)
    return found


# The protocol


def evaluate(
    wv: Readout,
    analogies: Sequence[str | Path | AnalogySet] = (),
    pairs: Sequence[str | Path | PairSet] = (),
    *,
    against: Readout | None = None,
    restrict: int | None = None,
    output: str | None = None,
    method: str | None = None,
    guess: bool = False,
    encoding: str = "utf-8",
    threads: int | None = None,
) -> Evaluation:
    """Evaluate vectors on test sets: files, or what `read_analogies` and `read_pairs` made of them.

    against: other vectors, evaluated on the words that both know, spelled alike: those are the candidates, and cover questions and
    pairs. restrict: only the n most frequent words (of `wv`). output: of the vectors; without one "concat" for analogies and "sum"
    for pairs. method: "add" or "mul"; without one both. guess: of the pairs, words that are not known are taken for what their
    letters say, unless they are like nothing that is known. encoding: of files that are not UTF-8. Raises MissingFileError,
    StorageError or InputError.
    """
    if method is not None and method not in METHODS:
        msg = f"method={method!r} is not known.{near_misses(method, METHODS)}"
        raise InputError(msg)
    methods = METHODS if method is None else (method,)
    questions = [item if isinstance(item, AnalogySet) else read_analogies(item, encoding) for item in analogies]
    judgements = [item if isinstance(item, PairSet) else read_pairs(item, encoding) for item in pairs]
    if guess and against is not None:
        msg = "guess=True goes without against: two sets of vectors are compared on the words that both know"
        raise InputError(msg)
    rows = np.arange(wv.among("restrict", restrict))
    if against is not None:
        rows = np.array([row for row in rows if wv.words[row] in against.index and wv.index[wv.words[row]] == row], np.int64)
        if not len(rows):
            msg = f"{wv.name} and {against.name} share no words: their spelling, or their language, differs"
            raise InputError(msg)
    known = _Known(wv, rows)
    asked = [
        [(known.place(a), known.place(b), known.place(c), tuple(map(known.place, several))) for a, b, c, several in each.questions]
        for each in questions
    ]
    guesses = _guesses(wv, judgements, output) if guess else {}
    behind = {word: len(rows) + k for k, word in enumerate(guesses)}  # places behind those of the words that are known
    judged = [
        [(behind.get(first, known.place(first)), behind.get(second, known.place(second))) for first, second, _ in each.pairs]
        for each in judgements
    ]

    def scores(vectors: Readout, rows: Ints, other: Evaluation | None) -> Evaluation:
        found: list[AnalogyResult] = []
        if questions:
            unit = _unit(vectors, rows, output or vectors.output or "concat")
            for each, places in zip(questions, asked, strict=True):
                found += answer(each, unit, places, methods=methods, threads=threads)
        results = []
        if judgements:
            values = np.concatenate([vectors.vectors_of(rows, output), *([np.stack([*guesses.values()])] if guesses else [])])
            results = [judge(each, values, places) for each, places in zip(judgements, judged, strict=True)]
        return Evaluation(vectors.name, len(rows), tuple(found), tuple(results), other)

    other = None
    if against is not None:
        other = scores(against, np.array([against.index[wv.words[row]] for row in rows]), None)
    return scores(wv, rows, other)
