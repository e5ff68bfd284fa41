"""Pairs of words that are joined before anything is counted."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg import words
from thalweg.errors import InputError
from thalweg.words.text import phrases
from thalweg.words.text.reading import Tokens, read
from thalweg.words.text.tokens import Scanner

LISTS = st.lists(st.lists(st.sampled_from("abcdef"), max_size=12), min_size=1, max_size=8).map(lambda x: [*x, ["a", "b"] * 3])


def joined(lists: list[list[str]], threshold: float, min_count: int) -> list[list[str]]:
    """The definition, word by word."""
    counts = Counter(word for line in lists for word in line)
    pairs = Counter(pair for line in lists for pair in pairwise(line))
    n = counts.total()

    def npmi(a: str, b: str) -> float:
        p = pairs[a, b] / n
        return math.log(p / (counts[a] / n * counts[b] / n)) / -math.log(p)

    good = {pair for pair, times in pairs.items() if times >= min_count and npmi(*pair) > threshold}
    found = []
    for line in lists:
        out, k = [], 0
        while k < len(line):
            both = tuple(line[k : k + 2]) in good
            out.append("_".join(line[k : k + 2]) if both else line[k])
            k += 1 + both
        found.append(out)
    return found


def stream(tokens: Tokens) -> list[list[str]]:
    parts = np.split(tokens.ids, np.flatnonzero(tokens.ids < 0))
    return [found for part in parts if (found := [tokens.words[k] for k in part if k >= 0])]


@given(LISTS, st.sampled_from([-0.9, -0.1, 0.13, 0.31, 0.7]), st.integers(1, 3))
def test_pairs_are_joined_by_the_definition_and_the_left_one_first(
    tmp_path_factory: pytest.TempPathFactory, lists: list[list[str]], threshold: float, min_count: int
) -> None:
    """In memory, and with a stream on disk whose pairs are counted in several rounds; rare words are taken out afterwards."""
    lines = joined(lists, threshold, min_count)
    counts = Counter(word for line in lines for word in line)
    kept = [[word for word in line if counts[word] >= min_count] for line in lines]
    if len({word for line in kept for word in line}) < 2:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrases, "_LEAST", 5)
        for spill in (None, (tmp_path_factory.mktemp("spill"), 8)):
            tokens = read(lists, phrases=threshold, min_count=min_count, spill=spill)
            assert stream(tokens) == [line for line in kept if line]
            assert dict(zip(tokens.words, tokens.counts.tolist(), strict=True)) == {
                word: n for word, n in counts.items() if n >= min_count
            }


def test_a_table_of_pairs_that_fills_up_is_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash does not share pairs out evenly over the rounds."""
    scanner = Scanner()
    for k in range(900):
        scanner.feed(b"w%d v%d x\n" % (k % 97, k % 97))
    counts = np.bincount(scanner.ids()[scanner.ids() >= 0])
    expected = phrases._good_pairs(scanner, counts, int(counts.sum()), 2, 0.3, 1 << 20)
    assert len(expected) > 20
    monkeypatch.setattr(phrases, "_slots", lambda n: 16)
    for at_once in (1 << 20, 500):
        assert np.array_equal(phrases._good_pairs(scanner, counts, int(counts.sum()), 2, 0.3, at_once), expected)


def test_a_phrase_that_is_spelled_like_a_word_is_that_word() -> None:
    """Text that is already cut may hold new_york, and a_b c may meet a b_c."""
    lists = [["new", "york"], ["new_york"], ["p_q", "r"], ["p", "q_r"], ["x"]] * 6
    tokens = read(lists, phrases=0.5, min_count=2)
    assert len(set(tokens.words)) == len(tokens.words)
    assert dict(zip(tokens.words, tokens.counts.tolist(), strict=True)) == {"new_york": 12, "p_q_r": 12, "x": 6}


def test_phrases_are_in_the_manifest_and_decide_what_is_resumed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("in new york it rains\nold york is not new\n" * 9 + "it is in\n" * 30)
    counts = words.count(tmp_path / "a.txt", out=tmp_path / "c", phrases=0.5)
    assert counts.info["phrases"] == 0.5
    assert any("_" in word for word in counts.words)
    with pytest.raises(Exception, match="holds finished counts of other texts or options"):
        words.count(tmp_path / "a.txt", out=tmp_path / "c", resume=True)


@pytest.mark.parametrize("threshold", [1.0, -1.1, float("nan"), "x"])
def test_a_threshold_out_of_range_is_an_error(threshold: Any) -> None:
    with pytest.raises(InputError, match="is not a number from -1, below 1"):
        read(["a b"], phrases=threshold)


def test_a_question_is_joined_as_the_corpus_was() -> None:
    """Phrases were forgotten when a text was asked about: place("New York") knew nothing. The left pair comes first."""
    names = ["the", "new_york", "york_city", "new", "york", "city"]
    vectors = np.eye(6, dtype=np.float32)
    joins = words.WordVectors(names, None, vectors, info={"phrases": 0.5})
    assert joins.cut("The New York city, new_york: york City") == ["the", "new_york", "city", "new_york", "york_city"]
    assert [joins.place(word) for word in ("New York", "new_york", "New_York", "york")] == [1, 1, 1, 4]
    assert words.WordVectors(names, None, vectors).cut("new york") == ["new", "york"]
