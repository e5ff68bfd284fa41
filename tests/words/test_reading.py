"""A corpus to a vocabulary and a stream: numbering, rare words, texts and token lists from Python."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg import words
from thalweg.errors import InputError, MissingFileError
from thalweg.words import fit
from thalweg.words.text.reading import Tokens, read, words_of

TOKEN_LISTS = st.lists(st.lists(st.sampled_from("abcdé飞"), max_size=8), min_size=1, max_size=8)


def units(tokens: Tokens) -> list[list[str]]:
    """The stream as lists of words."""
    parts = np.split(tokens.ids, np.flatnonzero(tokens.ids < 0))
    return [[tokens.words[k] for k in part if k >= 0] for part in parts if (part >= 0).any()]


# The vocabulary


@given(TOKEN_LISTS.filter(lambda lists: len(set().union(*lists)) > 1))
def test_words_are_numbered_by_falling_count_then_by_bytes(lists: list[list[str]]) -> None:
    """... and so their numbers do not depend on the order of reading."""
    tokens = read(lists, min_count=1)
    counts = collections.Counter(word for words in lists for word in words)
    assert tokens.words == sorted(counts, key=lambda word: (-counts[word], word.encode()))
    assert tokens.counts.tolist() == [counts[word] for word in tokens.words]
    assert tokens.n_read == counts.total()
    again = read(lists[::-1], min_count=1)
    assert (again.words, again.counts.tolist()) == (tokens.words, tokens.counts.tolist())
    assert units(again) == units(tokens)[::-1]


@given(TOKEN_LISTS.map(lambda lists: [*lists, ["a", "b"] * 4]), st.integers(1, 4))
def test_rare_words_are_taken_out_and_the_window_closes_up(lists: list[list[str]], min_count: int) -> None:
    counts = collections.Counter(word for words in lists for word in words)
    tokens = read(lists, min_count=min_count)
    kept = [[word for word in words if counts[word] >= min_count] for words in lists]
    assert units(tokens) == [words for words in kept if words]
    assert set(tokens.words) == {word for word in counts if counts[word] >= min_count}
    assert tokens.n_read == counts.total()


def test_max_words_cuts_by_rank() -> None:
    tokens = read([list("aaabbcccd")], min_count=1, max_words=2)
    assert tokens.words == ["a", "c"]
    assert units(tokens) == [list("aaaccc")]


def test_an_edge_stands_between_units_only_once() -> None:
    """Also where a whole unit of rare words falls out between two edges."""
    tokens = read([["a", "b"], ["x"], ["a", "b"]], min_count=2)
    assert tokens.ids.tolist() == [0, 1, -1, 0, 1, -1]


def test_too_few_words_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"^1 of 2 words occurs at least 5 times in 7 tokens; .*--min-count"):
        read([list("aaaaaab")])
    with pytest.raises(InputError, match=r"^0 of 7 words occur at least 5 times in 7 tokens"):
        read([list("abcdefg")])


@pytest.mark.parametrize("max_words", [-1, 0, 1, 2.5])
def test_a_vocabulary_needs_room_for_two_words(max_words: int) -> None:
    """A number that leaves no vocabulary is refused by its name, and a negative one does not count from the end."""
    with pytest.raises(InputError, match="max_words"):
        fit([list("aaabbcc")] * 5, min_count=1, max_words=max_words)


# Texts and token lists


def test_texts_and_token_lists_from_python() -> None:
    """A text is cut into units and words; a token list is one unit, its tokens as they are."""
    assert units(read(["Nice day.\nToo nice!", "A day"], min_count=1)) == [["nice", "day"], ["too", "nice"], ["a", "day"]]
    lists = [["Nice", "day."], ["don't", "飞机", "C++", "<b>"]]
    tokens = read(lists, min_count=1)
    assert units(tokens) == lists
    assert (tokens.report.language, tokens.report.tokenizer) == ("whitespace", "none: token lists")


@pytest.mark.parametrize("token", ["飞", "\u3000", "\u200b", "\x1b", "\ue000", "\U000f0000", "\U0010ffff", "é" * 500])
def test_tokens_are_taken_as_they_are(token: str) -> None:
    """Also white space that is not ASCII's, control characters, and characters of private use."""
    assert units(read([[token, "x"]], min_count=1)) == [[token, "x"]]


@pytest.mark.parametrize("unit", ["line", "paragraph", "file"])
def test_no_window_reaches_from_one_text_to_the_next(unit: str) -> None:
    assert units(read(["a b", "b a"], unit=unit, min_count=1)) == [["a", "b"], ["b", "a"]]
    assert units(read([["a", "b"], ["b", "a"]], unit=unit, min_count=1)) == [["a", "b"], ["b", "a"]]


def test_units_of_a_text() -> None:
    text = "a b\nc\n\n\nb a"
    assert units(read([text], unit="line", min_count=1)) == [["a", "b"], ["c"], ["b", "a"]]
    assert units(read([text], unit="paragraph", min_count=1)) == [["a", "b", "c"], ["b", "a"]]
    assert units(read([text], unit="file", min_count=1)) == [["a", "b", "c", "b", "a"]]


def test_a_generator_is_read_once() -> None:
    asked = []

    def texts() -> Iterator[str]:
        for text in ("a b c", "b c", "c"):
            asked.append(text)
            yield text

    tokens = read(texts(), min_count=1)
    assert asked == ["a b c", "b c", "c"]
    assert tokens.words == ["c", "b", "a"]


@pytest.mark.parametrize("first", ["", " ", "\n", "。", "我们你们他们大家好" * 20, "x" * 254, "a\0b"])
def test_any_text_may_come_first(first: str) -> None:
    """A list of strings is a list of texts, whatever the first one looks like as a path (empty, too long, with NUL)."""
    tokens = read([first, "day night day"], min_count=1)
    assert {"day", "night"} <= set(tokens.words)


def test_a_list_of_file_names_is_not_mistaken_for_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a b a b")
    with pytest.raises(InputError, match=r"names a source: pass it alone, or a list of pathlib\.Path"):
        read([str(tmp_path / "a.txt")])
    with pytest.raises(InputError, match="names a source"):
        read(["docs:"])
    assert read([tmp_path / "a.txt"], min_count=1).words == read(str(tmp_path / "a.txt"), min_count=1).words == ["a", "b"]


@pytest.mark.parametrize(
    ("corpus", "fault"),
    [
        (3, "not int"),
        ([3], "item 0 of the corpus is int"),
        (["a", b"b"], "item 1 of the corpus is bytes"),
        ([["a", "b c"]], r"item 0 of the corpus holds the token 'b c'"),
        ([["a"], ["b", ""]], "item 1 of the corpus holds the token ''"),
        ([["a", "b\0"]], "holds the token"),
        ([["a", 1]], "holds the token 1"),
        ([], "a Python list is empty"),
        ([""], "is empty"),
        (["...", "!?"], "holds no words"),
    ],
)
def test_what_is_no_corpus_is_an_error(corpus: object, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        read(corpus)


@pytest.mark.parametrize("name", ["language", "unit"])
def test_options_that_are_not_known_are_errors_with_near_misses(name: str) -> None:
    near = {"language": "words", "unit": "line"}[name]
    with pytest.raises(InputError, match=rf"{name}='{near}z' is not known\. Did you mean {near}"):
        read(["a b a b"], **{name: f"{near}z"})


def test_a_source_that_is_not_known_is_an_error_with_near_misses() -> None:
    with pytest.raises(MissingFileError, match=r"there is no source 'doc:'\. Did you mean docs:\?"):
        read("doc:")


# Words of a query


@given(st.text())
def test_a_query_is_cut_into_words_as_a_corpus_is(text: str) -> None:
    """Read as the only text of a corpus, beside a line that makes sure that there are two words."""
    tokens = read([f"x y\n{text}"], min_count=1, language="words")
    assert ["x", "y", *words_of(text, "words")] == [word for words in units(tokens) for word in words]


def test_progress_says_what_is_done() -> None:
    calls: list[tuple[float, float | None, str]] = []
    read([["a", "b"]] * 2500, progress=lambda done, total, **numbers: calls.append((done, total, numbers["phase"])))
    assert calls == [(0, None, "reading"), (1000, None, "reading"), (2000, None, "reading")]


# Case and numbers


def test_case_and_numbers_are_kept_or_dropped_as_asked() -> None:
    text = ["Cats CATS cats 42 b2b"]
    assert sorted(read(text, min_count=1).words) == ["42", "b2b", "cats"]
    assert sorted(read(text, min_count=1, lower=False).words) == ["42", "CATS", "Cats", "b2b", "cats"]
    assert sorted(read(text, min_count=1, digits=False).words) == ["b", "cats"]


def test_questions_are_spelled_as_the_corpus_was_read() -> None:
    """With case kept, Paris is a word and paris is not; by default both spellings find the same."""
    text = ["Paris paris ROME" for _ in range(6)]
    kept = words.fit(text, dim=2, lower=False)
    assert kept.place("Paris") != kept.place("paris")
    assert words.fit(text, dim=1).place("Paris") == 0
