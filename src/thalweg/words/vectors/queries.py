"""How the questions of `WordVectors` are computed: one float32 matrix product, then a partial selection.

    PMI^(i, j) = (<u_i, k_j> + <u_j, k_i>) / 2

Groups need nothing new: PMI(Q; a) = sum_i PMI(q_i, a), so a group asks with the sum of its vectors. The cosine of relatedness is
that of [u_i, k_i] and [k_j, u_j], whose inner product is twice PMI^: in the shared model it is the cosine of v_i and v_j.

The big arrays are read where they lie (memory-mapped), never copied: a question costs one pass over them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import ExpressionError, InputError, UnknownWordError, near_misses, whole_number
from thalweg.words.vectors.expression import parse
from thalweg.words.vectors.lengths import Floats, both_lengths, positive
from thalweg.words.vectors.ranked import Ranked

if TYPE_CHECKING:
    from thalweg.words.vectors.readout import Readout

METHODS = ("add", "mul")
RELATED = ("pmi", "cosine")  # what `by` can be
BATCH = 1 << 25  # scores held at a time by a batch of questions: 128 MiB
Doubles = npt.NDArray[np.float64]


def checked(name: str, value: str, choices: tuple[str, ...]) -> str:
    """A value out of a few. Raises InputError with near misses."""
    if value not in choices:
        msg = f"{name}={value!r} is not known.{near_misses(str(value), choices)}"
        raise InputError(msg)
    return value


# which words may answer


def allowed(
    wv: Readout, restrict: int | None, min_count: int | None, min_norm: float | None, output: str | None = None
) -> tuple[int, npt.NDArray[np.bool_] | None]:
    """How many of the first words can answer, and which of them (n,), None for all. Raises InputError."""
    n = wv.among("restrict", restrict)
    keep = None
    if min_count is not None:
        if not wv.has_counts:
            msg = f"min_count={min_count} asks for the counts of the words, and {wv.name} came without"
            raise InputError(msg)
        keep = np.asarray(wv.counts[:n]) >= min_count
    if min_norm is not None:
        if not np.isfinite(min_norm):
            msg = f"min_norm={min_norm} is not a finite number"
            raise InputError(msg)
        long = wv.norms(output)[:n] >= min_norm
        keep = long if keep is None else keep & long
    return n, keep


def best(
    wv: Readout,
    scores: Floats,
    without: Iterable[int],
    topn: int,
    keep: npt.NDArray[np.bool_] | None = None,
    **facts: Any,
) -> Ranked:
    """The topn largest scores, equal ones in the order of frequency.   scores: (n,), keep: (n,)"""
    topn = whole_number("topn", topn, least=1)
    scores = np.array(scores, np.float32)
    without = [place for place in set(without) if place < len(scores)]
    if keep is None:
        n_allowed = len(scores) - len(without)
    else:
        keep = keep.copy()
        keep[without] = False
        scores[~keep] = -np.inf
        n_allowed = int(np.count_nonzero(keep))
    scores[without] = -np.inf
    k = min(topn, n_allowed)
    if k <= 0:
        return Ranked(**facts)
    places = np.flatnonzero(scores >= _at_most_the_kth(scores, k))
    floor = np.partition(scores[places], len(places) - k)[len(places) - k]
    above = places[scores[places] > floor]
    places = np.concatenate([above, places[scores[places] == floor][: k - len(above)]])  # of equal ones the first
    ranked = places[np.lexsort((places, -scores[places]))]
    return Ranked(((wv.words[place], float(scores[place])) for place in ranked), **facts)


def _at_most_the_kth(scores: Floats, k: int, block: int = 256) -> np.float32:
    """A lower bound of the k-th largest score that few exceed: the k-th largest of the maxima of blocks.

    A partition of all scores takes 2.5 ms for 400,000 of them, this a tenth of it.
    """
    n_blocks = len(scores) // block
    if n_blocks < k:
        return np.float32(-np.inf)
    maxima = scores[: n_blocks * block].reshape(n_blocks, block).max(axis=1)
    return np.float32(np.partition(maxima, n_blocks - k)[n_blocks - k])


# related


def pieces(wv: Readout, word: object) -> tuple[list[int], str]:
    """The numbers of a word, and a note: a Chinese query that is no word is read as the group of its pieces.

    Raises UnknownWordError unless the word, or each of several pieces, is known.
    """
    try:
        return [wv.place(word)], ""
    except UnknownWordError:
        if wv.language != "zh" or not isinstance(word, str):
            raise
        found = wv.cut(word)
        places = [place for piece in found if (place := wv.wording.at(piece)) is not None]
        if len(found) < 2 or len(places) < len(found):
            raise
        return places, f"{word} is not a word of {wv.name}; asked about {' + '.join(found)} together"


NOT_PMI = "these vectors were not fitted to mutual information, so the score is an inner product and no more (--by cosine)"


def measured(wv: Readout, by: str) -> tuple[str, str]:
    """What the scores of relatedness are, and a note where they are not what was asked for."""
    return (by, "") if by != "pmi" or wv.estimates_pmi else ("inner product", NOT_PMI)


def check_estimates_pmi(wv: Readout) -> None:
    """Raise InputError for vectors whose inner products are no mutual information."""
    if not wv.estimates_pmi:
        msg = f"{wv.name} was not fitted to mutual information: its inner products say nothing about how often words meet"
        raise InputError(msg)


def related_many(
    wv: Readout,
    groups: Sequence[tuple[Sequence[object], Sequence[object]]],
    *,
    by: str = "pmi",
    topn: int = 10,
    restrict: int | None = None,
    min_count: int | None = None,
    min_norm: float | None = None,
) -> list[Ranked]:
    """The answers to several questions (words, negative words), as one matrix product for each block of them."""
    checked("by", by, RELATED)
    n, keep = allowed(wv, restrict, min_count, min_norm)
    u, k = np.zeros((2, len(groups), wv.dim), np.float32)
    measure, doubt = measured(wv, by)
    named, notes = [], []
    for row, (words, negative) in enumerate(groups):
        read = [(sign, *pieces(wv, word)) for sign, side in ((1, words), (-1, negative)) for word in side]
        for sign, places, _ in read:
            u[row] += sign * wv.word[places].sum(axis=0)
            k[row] += sign * wv.context[places].sum(axis=0)
        named.append([place for _, places, _ in read for place in places])
        notes.append("; ".join(note for note in (*(note for _, _, note in read), doubt) if note))
    if by == "cosine":
        u, k = (side / both_lengths(u, k)[:, None] for side in (u, k))
    found = []
    step = max(1, BATCH // n)
    for first in range(0, len(groups), step):
        for row, scores in enumerate(products(wv, u[first : first + step], k[first : first + step], n), first):
            if by == "cosine":
                scores /= positive(wv.relation_norms[:n])
            found.append(best(wv, scores, named[row], topn, keep, score=measure, note=notes[row]))
    return found


def products(wv: Readout, u: Floats, k: Floats, n: int) -> Floats:
    """(<k_j, u> + <u_j, k>)/2 of the first n words j, for each row of u and k.   (m, dim) -> (m, n)"""
    word, context = np.asarray(wv.word)[:n], np.asarray(wv.context)[:n]
    if len(u) == 1:  # the matrix-vector product, which streams the rows
        scores = (context @ u[0])[None]
        if wv.shared and np.array_equal(u, k):
            return np.asarray(scores)
        scores += word @ k[0]
    else:
        scores = u @ context.T
        scores += k @ word.T
    scores *= np.float32(0.5)
    return np.asarray(scores)


# similar


def similar(
    wv: Readout,
    word: str,
    *,
    contexts: int | None = None,
    topn: int = 10,
    limits: tuple[int | None, int | None, float | None] = (None, None, None),
    output: str | None = None,
    guess: bool = False,
) -> Ranked:
    """`WordVectors.similar`: the cosine of outputs, or the correlation of profiles over the first contexts."""
    if guess and contexts is not None:
        msg = "guess=True goes without contexts: letters say nothing about single contexts"
        raise InputError(msg)
    if guess and not known(wv, word):
        asked, places, note = wv.guess(word, output), [], f"{word} is not known: this is what its letters say"
        unit = wv.unit(output)
    else:
        places, note = [wv.place(word)], ""
        unit = wv.unit(output) if contexts is None else wv.profiles(contexts)
        asked = unit[places[0]]
    n, keep = allowed(wv, *limits, output)
    score = "cosine" if contexts is None else "correlation"
    return best(wv, unit[:n] @ asked, places, topn, keep, score=score, note=note)


# analogy


def analogy(
    wv: Readout,
    a: str,
    b: str | None,
    c: str | None,
    *,
    method: str,
    norms: bool,
    topn: int,
    limits: tuple[int | None, int | None, float | None],
    output: str | None,
    guess: bool,
) -> Ranked:
    """`WordVectors.analogy`: 3CosAdd or 3CosMul over the allowed words."""
    if not isinstance(a, str) or (b is None) != (c is None):
        msg = "analogy() takes three words, or one expression such as 'king - man + woman'"
        raise InputError(msg)
    checked("method", method, METHODS)
    terms = terms_of(wv, a) if b is None or c is None else [(1, a), (-1, b), (1, c)]
    guessed = [word for _, word in terms if guess and not known(wv, word)]
    if guessed and norms:
        msg = "guess=True goes without norms=True: letters say nothing about the length of a vector"
        raise InputError(msg)
    places = [wv.place(word) for _, word in terms if word not in guessed]
    output = output or wv.output or "concat"
    unit = wv.unit(output)
    asked = np.stack([wv.guess(word, output) if word in guessed else unit[wv.place(word)] for _, word in terms])  # (terms, dim)
    note = f"{', '.join(guessed)}: not known, taken for what the letters say" if guessed else ""
    n, keep = allowed(wv, *limits)
    if method == "mul":
        if norms:
            msg = "norms=True goes with method='add': 3CosMul is made of cosines"
            raise InputError(msg)
        halves = (unit[:n] @ asked.T + 1) / 2  # (n, terms)
        scores = np.ones(n, np.float32)
        for (sign, _), half in zip(terms, halves.T, strict=True):
            scores = scores * half if sign > 0 else scores / (half + np.float32(0.001))
        return best(wv, scores, places, topn, keep, score="ratio", note=note)
    sources = wv.vectors_of(places, output) if norms else asked
    target = np.sum([sign * source for (sign, _), source in zip(terms, sources, strict=True)], axis=0)
    length = np.linalg.norm(target)
    if length < 1e-6:
        msg = f"{a!r} adds up to nothing: its words cancel"
        raise InputError(msg)
    return best(wv, unit[:n] @ (target / length), places, topn, keep, score="cosine", note=note)


def terms_of(wv: Readout, expression: str) -> list[tuple[int, str]]:
    """The signed words of an expression; signs without spaces count where they leave known words: 机场-飞机+火车."""
    terms = parse(expression)
    spaced = re.sub(r"[+\-−–]", r" \g<0> ", expression)
    if len(terms) == 1 and spaced != expression and not known(wv, terms[0][1]):
        with contextlib.suppress(ExpressionError):
            apart = parse(spaced)
            if all(known(wv, word) for _, word in apart):
                return apart
    return terms


def known(wv: Readout, word: str) -> bool:
    """Whether a word, spelled as the corpus was, is in the vocabulary."""
    try:
        wv.place(word)
    except (UnknownWordError, InputError):
        return False
    return True


# the model as a whole


def normaliser(wv: Readout, n: int) -> Doubles:
    """`WordVectors.normaliser`: sum_j P(j) e^PMI^(i, j) for the first n words i.   (n,)"""
    n = whole_number("n", n, least=1)
    total = int(np.sum(wv.counts)) if wv.has_counts else 0
    if total == 0:
        msg = f"normaliser() needs the counts of the words, and {wv.name} came without"
        raise InputError(msg)
    share = np.asarray(wv.counts, np.float64) / total
    n = min(n, len(wv))
    step = max(1, (BATCH // 4) // len(wv))
    out = np.empty(n)
    for first in range(0, n, step):
        rows = slice(first, min(first + step, n))
        scores = products(wv, np.asarray(wv.word[rows]), np.asarray(wv.context[rows]), len(wv))
        with np.errstate(over="ignore"):
            out[rows] = np.exp(scores.astype(np.float64)) @ share
    return out


__all__ = [
    "METHODS",
    "RELATED",
    "allowed",
    "analogy",
    "best",
    "check_estimates_pmi",
    "checked",
    "known",
    "measured",
    "normaliser",
    "pieces",
    "products",
    "related_many",
    "similar",
    "terms_of",
]
