"""Where does the right answer of an analogy stand among all words? Every question of a test set at once.

3CosAdd   argmax over x of cos(x, b) - cos(x, a) + cos(x, c)                        Mikolov et al. 2013, arXiv 1301.3781
3CosMul   argmax of s(x, b) s(x, c) / (s(x, a) + 0.001), s = (cos + 1)/2            Levy and Goldberg, CoNLL 2014

A test set asks 19,544 questions with 905 different words: the cosines of all words with those (one matrix product) hold every
score, as a sum of three columns. They are made for a few hundred words at a time, which stay in the cache while all questions pass.

The answer's own score t is known beforehand, so a rank is 1 + the number of words that score higher. Cosines in float32 are off by
at most `slack`; where that could decide, the score is made again in float64, in one order of summation, so that equal vectors
have equal scores. The ranks are therefore those of float64 arithmetic, for any BLAS and any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, near_misses
from thalweg.jit import kernel
from thalweg.threads import resolve, run_tasks
from thalweg.words.vectors.queries import METHODS

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

EPS = 0.001  # of 3CosMul
WIDTH = 256  # words at a time; bench/words/evaluating.py is flat between 128 and 512
QUESTIONS = 1 << 14  # at a time, and
MEMORY = 200_000_000  # bytes of cosines in all threads: limits for sets whose words are all different
_UNIT = 2.0**-24  # half a unit in the last place of a float32 in [1/2, 1)


def analogy_ranks(
    unit: Floats, questions: npt.ArrayLike, *, methods: Sequence[str] = METHODS, threads: int | None = None
) -> dict[str, Ints]:
    """The rank of d among the answers to b - a + c, 1 being the first, for every question (a, b, c, d).

    unit: (n_words, dim) float32, rows of length 1 or 0; all rows but a, b and c are candidates. questions: (n, 4) rows of `unit`.
    A word that scores as d does stands before it if its row is lower. An answer that is one of a, b, c never comes: its rank is
    n_words + 1. Returns {method: (n,) int64}. Raises InputError for a method that is none or a row that is not there.
    """
    for method in methods:
        if method not in METHODS:
            msg = f"method={method!r} is not known.{near_misses(method, METHODS)}"
            raise InputError(msg)
    unit = np.ascontiguousarray(unit, np.float32)
    asked = np.ascontiguousarray(questions, np.int64).reshape(-1, 4)
    if asked.size and not 0 <= asked.min() <= asked.max() < len(unit):
        msg = f"a question holds row {asked.min() if asked.min() < 0 else asked.max()}; there are rows 0 to {len(unit) - 1}"
        raise InputError(msg)
    found = np.empty((2, len(asked)), np.int64)
    for start in range(0, len(asked), QUESTIONS):
        some = slice(start, start + QUESTIONS)
        found[:, some] = _ranks(unit, asked[some], "add" in methods, "mul" in methods, resolve(threads))
    found[:, (asked[:, :3] == asked[:, 3:]).any(axis=1)] = len(unit) + 1
    return {method: found[METHODS.index(method)] for method in methods}


def analogy_hits(
    unit: Floats, questions: npt.ArrayLike, *, method: str = "add", threads: int | None = None
) -> npt.NDArray[np.bool_]:
    """Whether d is the answer to b - a + c: `analogy_ranks` == 1.   unit: (n_words, dim), questions: (n, 4) -> (n,)"""
    return np.equal(analogy_ranks(unit, questions, methods=[method], threads=threads)[method], 1)


def _ranks(unit: Floats, questions: Ints, add: bool, mul: bool, threads: int) -> Ints:
    """Both methods' ranks, 1 for all of a method that is not asked for.   (2, n)"""
    terms, columns = np.unique(questions[:, :3], return_inverse=True)
    columns = np.ascontiguousarray(columns.reshape(-1, 3), np.int64)  # rows of the table of cosines
    order = np.lexsort(columns.T)  # neighbours share words, which are in the cache then
    questions, columns = questions[order], columns[order]
    targets = np.empty((len(questions), 2))
    _score_answers(unit, questions, targets)
    sources = unit[terms]  # (n_terms, dim)
    width = min(WIDTH, max(32, MEMORY // (4 * len(terms) * threads)))

    def count(first: int, last: int) -> Ints:
        higher = np.zeros((2, len(questions)), np.int64)
        for start in range(first, last, width):
            cosines = sources @ unit[start : min(start + width, last)].T  # (n_terms, <= width)
            _count_higher(cosines, start, columns, unit, questions, targets, slack(unit.shape[1]), add, mul, higher)
        return higher

    step = WIDTH * -(-len(unit) // (4 * threads * WIDTH))  # four tasks a thread
    parts = run_tasks(count, [(first, min(first + step, len(unit))) for first in range(0, len(unit), step)], threads)
    ranks = np.empty((2, len(questions)), np.int64)
    ranks[:, order] = 1 + np.sum(parts, axis=0)
    return ranks


def slack(dim: int) -> float:
    """A bound on the error of a float32 inner product of two vectors of length 1: |x||y| dim u (Higham 2002, section 3.1)."""
    return (dim + 4) * _UNIT


@kernel
def _score(unit: Floats, a: int, b: int, c: int, x: int, mul: bool) -> float:
    """The score of word x in float64."""
    xa = xb = xc = 0.0
    for k in range(unit.shape[1]):
        value = np.float64(unit[x, k])
        xa += value * unit[a, k]
        xb += value * unit[b, k]
        xc += value * unit[c, k]
    if mul:
        return (xb + 1) / 2 * ((xc + 1) / 2) / ((xa + 1) / 2 + EPS)
    return xb - xa + xc


@kernel
def _score_answers(unit: Floats, questions: Ints, targets: npt.NDArray[np.float64]) -> None:
    """targets: (n, 2), filled with the scores of the answers by both methods."""
    for q in range(len(questions)):
        a, b, c, d = questions[q, 0], questions[q, 1], questions[q, 2], questions[q, 3]
        targets[q, 0] = _score(unit, a, b, c, d, False)
        targets[q, 1] = _score(unit, a, b, c, d, True)


@kernel(fastmath=True)  # type: ignore[untyped-decorator]
def _above_add(cosines: Floats, a: int, b: int, c: int, low: np.float32, high: np.float32) -> tuple[np.float32, np.float32]:
    """How many 3CosAdd scores exceed low and how many exceed high."""
    above_low = above_high = np.float32(0)  # float32 counts up to 2^24, and all lanes are of one width
    for x in range(cosines.shape[1]):
        score = cosines[b, x] - cosines[a, x] + cosines[c, x]
        above_low += np.float32(1) if score > low else np.float32(0)
        above_high += np.float32(1) if score > high else np.float32(0)
    return above_low, above_high


@kernel(fastmath=True)  # type: ignore[untyped-decorator]
def _above_mul(cosines: Floats, a: int, b: int, c: int, twice: np.float32, margin: np.float32) -> tuple[np.float32, np.float32]:
    """How many 3CosMul scores exceed t by -margin and by +margin: (1 + b)(1 + c) - 2t (1 + a + 2 eps) has the sign of score - t."""
    above_low = above_high = np.float32(0)
    one, more = np.float32(1), np.float32(1 + 2 * EPS)
    for x in range(cosines.shape[1]):
        excess = (one + cosines[b, x]) * (one + cosines[c, x]) - twice * (more + cosines[a, x])
        above_low += np.float32(1) if excess > -margin else np.float32(0)
        above_high += np.float32(1) if excess > margin else np.float32(0)
    return above_low, above_high


@kernel
def _count_one_by_one(
    cosines: Floats, start: int, columns: Ints, unit: Floats, question: Ints, target: float, mul: bool, margin: float
) -> int:
    """How many of these words come before the answer: by float32 where it is clear, else by float64."""
    a, b, c, d = question[0], question[1], question[2], question[3]
    higher = 0
    for j in range(cosines.shape[1]):
        x = start + j
        if x in (a, b, c, d):
            continue
        xa, xb, xc = np.float64(cosines[columns[0], j]), np.float64(cosines[columns[1], j]), np.float64(cosines[columns[2], j])
        excess = (1 + xb) * (1 + xc) - 2 * target * (1 + 2 * EPS + xa) if mul else xb - xa + xc - target
        if excess > margin:
            higher += 1
        elif excess >= -margin:
            score = _score(unit, a, b, c, x, mul)
            if score > target or (score == target and x < d):
                higher += 1
    return higher


@kernel
def _count_higher(
    cosines: Floats,
    start: int,
    columns: Ints,
    unit: Floats,
    questions: Ints,
    targets: npt.NDArray[np.float64],
    slack: float,
    add: bool,
    mul: bool,
    higher: Ints,
) -> None:
    """higher[0, q] and higher[1, q] += how many of the words start, start + 1, ... come before the answer of question q.

    cosines: (n_terms, width) float32; columns: (n, 3) their rows for a, b, c; questions: (n, 4); targets: (n, 2).
    """
    width = cosines.shape[1]
    for q in range(len(questions)):
        a, b, c = columns[q, 0], columns[q, 1], columns[q, 2]
        special = False  # one of the question's own words is here: they are not to be counted
        for k in range(4):
            if start <= questions[q, k] < start + width:
                special = True
        if add:
            target = targets[q, 0]
            margin = 3 * slack + 16 * _UNIT  # of three cosines, two additions and the rounded target
            n, n_high = np.float32(0), np.float32(-1)
            if not special:
                n, n_high = _above_add(cosines, a, b, c, np.float32(target - margin), np.float32(target + margin))
            if n == n_high:
                higher[0, q] += np.int64(n)
            else:
                higher[0, q] += _count_one_by_one(cosines, start, columns[q], unit, questions[q], target, False, margin)
        if mul:
            target = targets[q, 1]
            margin = (4 + 2 * abs(target)) * (slack + 8 * _UNIT)
            n, n_high = np.float32(0), np.float32(-1)
            if not special:
                n, n_high = _above_mul(cosines, a, b, c, np.float32(2 * target), np.float32(margin))
            if n == n_high:
                higher[1, q] += np.int64(n)
            else:
                higher[1, q] += _count_one_by_one(cosines, start, columns[q], unit, questions[q], target, True, margin)
