"""Word pairs that are one thing, such as "new york", joined before anything is counted.

    npmi(a, b) = ln( P(a b) / (P(a) P(b)) ) / -ln P(a b)       1: never apart, 0: neighbours by chance

of two words that follow each other within a unit, with P(a b) = n_ab / n. Pairs seen `min_count` times whose npmi is over the
threshold become one word, "new_york"; where two pairs overlap the left one is joined, as gensim's Phrases does. Source: Bouma 2009,
"Normalized (pointwise) mutual information in collocation extraction"; joining: Mikolov et al. 2013, arXiv 1310.4546, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from thalweg.jit import kernel
from thalweg.words.text.tokens import EDGE, Numbered

JOINT = b"_"
_NOTHING = -3  # no word waits for its right neighbour
_LEAST = 1 << 16  # different pairs that are counted at a time
_ENTRY = 32  # bytes of one: key and count, in a table that is half empty

Numbers = npt.NDArray[np.int64]


class Joined:
    """A scanner whose stream has pairs joined; they have the numbers after the last word's.

    room: bytes for counting pairs; where the stream may hold more of them it is gone through several times.
    """

    def __init__(
        self, scanner: Numbered, counts: Numbers, n_tokens: int, min_count: int, threshold: float, room: int = 1 << 30
    ) -> None:
        self._scanner = scanner
        self.spilled = scanner.spilled
        pairs = _good_pairs(scanner, counts, n_tokens, min_count, threshold, max(_LEAST, room // _ENTRY))
        known = {word: k for k in range(scanner.n_words) if JOINT in (word := scanner.word(k))}
        self._new: list[bytes] = []
        numbers = np.empty(len(pairs), np.int64)
        for k, (a, b) in enumerate(pairs.tolist()):
            word = scanner.word(a) + JOINT + scanner.word(b)
            if word not in known:
                known[word] = scanner.n_words + len(self._new)
                self._new.append(word)
            numbers[k] = known[word]
        self._keys, self._values = np.zeros(_slots(len(pairs)), np.uint64), np.zeros(_slots(len(pairs)), np.int64)
        _enter(pairs, numbers, self._keys, self._values)

    @property
    def n_words(self) -> int:
        """Different words, and pairs that were joined."""
        return self._scanner.n_words + len(self._new)

    @property
    def n_seen(self) -> int:
        """Different words that were read, and pairs that were joined."""
        return self._scanner.n_seen + len(self._new)

    def word(self, number: int) -> bytes:
        """The UTF-8 bytes of a word."""
        old = self._scanner.n_words
        return self._scanner.word(number) if number < old else self._new[number - old]

    def pieces(self) -> Iterator[npt.NDArray[np.int32]]:
        """The stream, piece by piece."""
        waiting = _NOTHING
        for piece in self._scanner.pieces():
            joined = np.empty(len(piece) + 1, np.int32)
            n, waiting = _join(piece, waiting, self._keys, self._values, joined)
            yield joined[:n]
        if waiting != _NOTHING:
            yield np.array([waiting], np.int32)

    def ids(self) -> npt.NDArray[np.int32]:
        """The whole stream."""
        return np.concatenate(list(self.pieces()))


def _good_pairs(scanner: Numbered, counts: Numbers, n: int, min_count: int, threshold: float, at_once: int) -> Numbers:
    """The pairs to be joined of n tokens, by rising numbers.   (n_pairs, 2)"""
    rounds = max(1, -(-n // at_once))
    found = []
    for turn in range(rounds):
        keys, times = np.zeros(_slots(min(n, at_once)), np.uint64), np.zeros(_slots(min(n, at_once)), np.int64)
        last, used = EDGE, 0
        for piece in scanner.pieces():
            while True:  # the hash spreads pairs over the rounds unevenly: a table that fills up is doubled
                done, last, used = _count(piece, last, counts, min_count, rounds, turn, keys, times, used)
                piece = piece[done:]
                if not len(piece):
                    break
                old = keys != 0
                larger = np.zeros(2 * len(keys), np.uint64), np.zeros(2 * len(keys), np.int64)
                pairs = np.stack([keys[old] >> np.uint64(32), keys[old] & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64) - 1
                _enter(pairs, times[old], *larger)
                keys, times = larger
        pair = times >= min_count
        left, right = (keys[pair] >> np.uint64(32)).astype(np.int64) - 1, (keys[pair] & np.uint64(0xFFFFFFFF)).astype(np.int64) - 1
        log_pair = np.log(times[pair] / n)
        npmi = (log_pair - np.log(counts[left] / n) - np.log(counts[right] / n)) / -log_pair
        found.append(np.stack([left, right], axis=1)[npmi > threshold])
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _slots(n: int) -> int:
    return 1 << max(4, (2 * n).bit_length())


@kernel
def _place(key, keys):  # type: ignore[no-untyped-def]
    """Where a key stands in an open table, or the free place where it would."""
    mask = np.uint64(len(keys) - 1)
    place = (key * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(20)) & mask
    while keys[place] != 0 and keys[place] != key:
        place = (place + np.uint64(1)) & mask
    return place


@kernel
def _key(a, b):  # type: ignore[no-untyped-def]
    return np.uint64(a + 1) << np.uint64(32) | np.uint64(b + 1)


@kernel
def _count(stream, last, counts, least, rounds, turn, keys, times, used):  # type: ignore[no-untyped-def]
    """Count the pairs of this turn, of words frequent enough; stops before the table is three quarters full.

    Returns how much was read, the number that stands before what is left, and the places taken.
    """
    for k in range(len(stream)):
        if 4 * used > 3 * len(keys):
            return k, last, used
        word = np.int64(stream[k])
        if last >= 0 and word >= 0 and counts[last] >= least and counts[word] >= least:
            key = _key(last, word)
            if (key * np.uint64(0xD6E8FEB86659FD93) >> np.uint64(40)) % np.uint64(rounds) == np.uint64(turn):
                place = _place(key, keys)
                if keys[place] == 0:
                    keys[place] = key
                    used += 1
                times[place] += 1
        last = word
    return len(stream), last, used


@kernel
def _enter(pairs, values, keys, table):  # type: ignore[no-untyped-def]
    for k in range(len(pairs)):
        key = _key(pairs[k, 0], pairs[k, 1])
        place = _place(key, keys)
        keys[place] = key
        table[place] = values[k]


@kernel
def _join(stream, waiting, keys, values, joined):  # type: ignore[no-untyped-def]
    """Write the stream with its pairs joined; returns its length and the word that waits for its right neighbour."""
    n = 0
    for k in range(len(stream)):
        word = np.int64(stream[k])
        if waiting >= 0 and word >= 0:
            key = _key(waiting, word)
            place = _place(key, keys)
            if keys[place] == key:
                joined[n] = values[place]
                n += 1
                waiting = np.int64(-3)
                continue
        if waiting != -3:
            joined[n] = waiting
            n += 1
        waiting = word
    return n, waiting


__all__ = ["Joined"]
