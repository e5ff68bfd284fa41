"""Near spellings against the textbook recurrence of the edit distance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thalweg.words.vectors.spelling import near

WORDS = st.text("ab飞", max_size=5) | st.text("abc𠀀", max_size=6)


def edits(a: str, b: str) -> int:
    """Optimal string alignment: insert, delete, replace, swap two neighbours, no part edited twice."""
    d = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
    return d[len(a), len(b)]


@given(WORDS, st.lists(WORDS, max_size=20, unique=True), st.integers(1, 8))
def test_near_words_are_within_two_edits_nearest_first(word: str, words: list[str], topn: int) -> None:
    """Two edits, one for words of one or two characters; equal distances in the order given (that of frequency)."""
    limit = 2 if len(word) > 2 else 1
    found = [(edits(word, other), k) for k, other in enumerate(words) if other != word]
    assert near(word, words, topn) == [words[k] for distance, k in sorted(found) if distance <= limit][:topn]


@given(WORDS, WORDS)
def test_the_distance_is_symmetric(a: str, b: str) -> None:
    if min(len(a), len(b)) > 2:
        assert bool(near(a, [b])) == bool(near(b, [a]))


def test_examples() -> None:
    words = ["the", "then", "than", "hte", "matrix", "飞机", "飞行", "机场"]
    assert near("teh", words) == ["the", "then", "hte"]
    assert near("teh", ["then", "the"]) == ["the", "then"]  # one swap, and a swap with a letter more
    assert near("ab", ["ba"]) == ["ba"]
    assert near("飞几", words) == ["飞机", "飞行"]
    assert near("matrix", words) == []
    assert near("zzzzzz", words) == []
    assert near("", words) == []
    assert near("tha", words, topn=1) == ["the"]
    assert near("x", []) == []
