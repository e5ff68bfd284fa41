"""What the letters of a word predict of its vector.

A word's vector knows only where the word was met; "walked" and "walking" share nothing, and a rare word knows little. Its letters
know more. Every n-gram g of a word (3 to 6 letters, the word's edges among them; 1 to 3 characters where a word has Han ones) has a
vector z_g, and the prediction for a word is the sum over its n n-grams, divided by sqrt n. The z are those of ridge regression,

    sum_w min(c_w/100, 1) |m_w - y_w|^2 + sum_g |z_g|^2,     m_w = sum_{g in w} z_g / sqrt n_w,     y_w = [u_w, k_w] / |[u_w, k_w]|,

solved after the fit by a few conjugate-gradient steps. Inner products stay what they are, estimates of mutual information; where
directions are compared, m_w is added to y_w (`WordVectors.vectors_of`).

Letters as parts of a word's vector: Bojanowski, Grave, Joulin and Mikolov, TACL 2017 (fastText), who learn both together. As a
regression on finished vectors: Zhao, Mudgal and Liang, EMNLP 2018. What it does to the word tests: bench/README.md, "Quality".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thalweg.jit import kernel
from thalweg.simd import axpy, dot, prefetch
from thalweg.threads import blocks, run_tasks

RIDGE = 1.0
ENOUGH = 100  # a word that was met so often counts fully
STEPS = 5  # of conjugate gradients: 12 move no score
LEAST = 3  # an n-gram is used if it stands so often in the vocabulary
WEIGHTS = (1.5, 1.0)  # of a prediction beside a vector of length 1: words in letters, words with Han characters
SLAB = 32  # columns that are solved for together: a row of them is two cache lines
_AHEAD = 8  # n-grams whose vectors are fetched ahead

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Subwords:
    """The vectors of n-grams. keys: (n_grams,) uint64 hashes, ascending; vectors: (n_grams, width) float16."""

    keys: npt.NDArray[np.uint64]
    vectors: Halves

    def predict(self, words: Sequence[str]) -> Floats:
        """What letters say of the vectors of words, known or not, weighted by script; 0 if they say nothing.   (n_words, width)"""
        hashes, starts, han = ngrams(words)
        out = np.zeros((len(words), self.vectors.shape[1]), np.float32)
        for row, (first, last) in enumerate(itertools.pairwise(starts)):
            places = np.searchsorted(self.keys, hashes[first:last])
            places = (
                places[self.keys[np.minimum(places, len(self.keys) - 1)] == hashes[first:last]] if len(self.keys) else places[:0]
            )
            if len(places):
                out[row] = self.vectors[places].astype(np.float32).sum(axis=0) * (WEIGHTS[int(han[row])] / len(places) ** 0.5)
        return out


def learn(
    words: Sequence[str], counts: Longs, word: Floats, context: Floats | None, threads: int | None = None
) -> tuple[Subwords, Halves]:
    """The n-gram vectors of a fit, and what they predict for each of its words.   (n_words, width) float16

    width: 2 dim, dim for a shared model (context None). The same bits for any number of threads.
    """
    hashes, starts, han = ngrams(words)
    keys, columns, frequency = np.unique(hashes, return_inverse=True, return_counts=True)
    used = frequency >= LEAST
    kept = used[columns]
    indptr = np.concatenate([[0], np.cumsum(kept)])[starts]
    columns = (np.cumsum(used) - 1)[columns[kept]]
    grams, back = (indptr, columns), _transposed(indptr, columns, int(used.sum()))
    del hashes, kept
    root = 1 / np.sqrt(np.maximum(np.diff(indptr), 1))
    weight = np.minimum(np.asarray(counts, np.float64) / ENOUGH, 1)
    sides = [word] if context is None else [word, context]
    length = np.sqrt(sum(np.einsum("nd,nd->n", side, side) for side in sides))
    scales = (root**2 * weight, root * weight / np.where(length > 0, length, 1), root * np.where(han, WEIGHTS[1], WEIGHTS[0]))
    inner, outer, script = (np.asarray(scale, np.float32) for scale in scales)
    dim = word.shape[1]
    vectors = np.empty((len(back[0]) - 1, dim * len(sides)), np.float16)
    predicted = np.empty((len(words), dim * len(sides)), np.float16)

    def solve(side: int, first: int, last: int) -> None:
        target = np.zeros((len(words), SLAB), np.float32)
        target[:, : last - first] = sides[side][:, first:last]
        z = np.zeros((len(vectors), SLAB), np.float32)
        _ridge(*grams, *back, inner, outer, target.ravel(), z.ravel())
        _sums(*grams, script, z.ravel(), target.ravel())
        at = slice(side * dim + first, side * dim + last)
        vectors[:, at], predicted[:, at] = z[:, : last - first], target[:, : last - first]

    run_tasks(solve, [(side, *cut) for side in range(len(sides)) for cut in blocks(dim, SLAB)], threads)
    return Subwords(keys[used], vectors), predicted


def _transposed(indptr: Longs, columns: npt.NDArray[np.int64], n: int) -> tuple[Longs, npt.NDArray[np.int64]]:
    """For every n-gram the words that it stands in."""
    words = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return np.searchsorted(columns, np.arange(n + 1), sorter=(order := np.argsort(columns, kind="stable"))), words[order]


@kernel
def _sums(indptr, columns, scale, source, out):  # type: ignore[no-untyped-def]
    """out[row] = scale[row] times the sum of source[column] over the row's columns, SLAB numbers each."""
    for row in range(len(indptr) - 1):
        for k in range(row * SLAB, (row + 1) * SLAB):
            out[k] = 0
        total = out[row * SLAB : (row + 1) * SLAB]
        for e in range(indptr[row], indptr[row + 1]):
            prefetch(source, columns[min(e + _AHEAD, len(columns) - 1)] * SLAB, SLAB)
            axpy(scale[row], source, columns[e] * SLAB, total, SLAB)


@kernel(fastmath=True)
def _ridge(indptr, columns, back_indptr, back_columns, inner, outer, target, z):  # type: ignore[no-untyped-def]
    """Conjugate gradients from z = 0 for (B^T inner B + RIDGE) z = B^T outer target, scaled by the diagonal of the matrix.

    B: the n-grams of each word; all SLAB columns take the same steps, as the one system that they are.
    """
    n, n_words = len(z), len(indptr) - 1
    ones = np.ones(len(back_indptr) - 1, np.float32)
    inverse = np.empty_like(ones)
    for gram in range(len(inverse)):
        total = np.float32(RIDGE)
        for e in range(back_indptr[gram], back_indptr[gram + 1]):
            total += inner[back_columns[e]]
        inverse[gram] = 1 / total
    rows = np.empty(n_words * SLAB, np.float32)
    for k in range(len(rows)):
        rows[k] = outer[k // SLAB] * target[k]
    residual, direction, product = np.empty(n, np.float32), np.zeros(n, np.float32), np.empty(n, np.float32)
    _sums(back_indptr, back_columns, ones, rows, residual)
    before = 1.0
    for step in range(STEPS):
        size = 0.0
        for gram in range(len(inverse)):
            size += inverse[gram] * dot(residual, gram * SLAB, residual[gram * SLAB :], SLAB)
        ratio = np.float32(size / before) if step > 0 else np.float32(0)
        for k in range(n):
            direction[k] = inverse[k // SLAB] * residual[k] + ratio * direction[k]
        _sums(indptr, columns, inner, direction, rows)
        _sums(back_indptr, back_columns, ones, rows, product)
        axpy(np.float32(RIDGE), direction, 0, product, n)
        curvature = np.float64(0)
        for gram in range(len(inverse)):
            curvature += dot(direction, gram * SLAB, product[gram * SLAB :], SLAB)
        if curvature <= 0:
            break
        length = np.float32(size / curvature)
        axpy(length, direction, 0, z, n)
        axpy(-length, product, 0, residual, n)
        before = size


def ngrams(words: Sequence[str]) -> tuple[npt.NDArray[np.uint64], Longs, npt.NDArray[np.bool_]]:
    """The hashes of all n-grams of words, where each word's begin (n_words + 1,), and which words have Han characters."""
    codes = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), np.uint32)
    ends = np.cumsum([len(word) for word in words], dtype=np.int64)
    edges = np.concatenate([[0], ends])
    seen = np.concatenate([[0], np.cumsum(_is_han(codes))])
    han = seen[edges[1:]] > seen[edges[:-1]]
    length = np.diff(edges) + 2  # with the edges
    low, high = np.where(han, 1, 3), np.where(han, 3, 6)
    sizes = sum(np.where((n >= low) & (n <= high), np.maximum(length - n + 1, 0), 0) for n in range(1, 7))
    sizes = np.asarray(sizes - np.where(han, 2, 0))  # an edge alone is no n-gram
    starts = np.concatenate([[0], np.cumsum(sizes)])
    hashes = np.empty(starts[-1], np.uint64)
    _hash(codes, edges, han, starts, hashes)
    return hashes, starts, han


def _is_han(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    ranges = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
    return np.asarray(np.logical_or.reduce([(codes >= first) & (codes <= last) for first, last in ranges]))


@kernel
def _hash(codes, edges, han, starts, hashes):  # type: ignore[no-untyped-def]
    """Every n-gram as a number of 64 bits; the edges of words are the codes 2^21 and 2^21 + 1, beyond all characters."""
    factor, edge = np.uint64(0x9E3779B97F4A7C15), np.uint64(1 << 21)
    for word in range(len(edges) - 1):
        first, length = edges[word], edges[word + 1] - edges[word] + 2
        low, high = (1, 3) if han[word] else (3, 6)
        at = starts[word]
        for begin in range(length):
            h = np.uint64(0)
            for k in range(begin, min(begin + high, length)):
                if k == 0:
                    code = edge
                elif k == length - 1:
                    code = edge + np.uint64(1)
                else:
                    code = np.uint64(codes[first + k - 1])
                h = (h ^ (code + np.uint64(1))) * factor
                h = h ^ (h >> np.uint64(32))
                n = k - begin + 1
                if n >= low and not (n == 1 and (k == 0 or k == length - 1)):
                    hashes[at] = h
                    at += 1
