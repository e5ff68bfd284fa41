"""Expressions of words: what is printed parses back, and every fault has its place."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import ExpressionError
from thalweg.words.vectors.expression import parse

SIGNS = {1: ["+", "＋"], -1: ["-", "－", "−", "–"]}
WORDS = st.text(st.characters(exclude_characters='"”', exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)
PLAIN = st.text("abé飞-+−–_'.1", min_size=1, max_size=6).filter(lambda word: word not in "+-−–")


@given(st.lists(st.tuples(st.sampled_from([1, -1]), WORDS, st.sampled_from(['""', "“”"])), min_size=1, max_size=5), st.data())
def test_what_is_printed_parses_back(terms: list[tuple[int, str, str]], data: st.DataObject) -> None:
    """Words in quotes of either kind, with any sign for + and -, and any white space between."""
    terms = [(1, *terms[0][1:]), *terms[1:]]
    space = st.sampled_from([" ", "  ", "\t", "\u3000", " \n "])
    text = ""
    for k, (sign, word, quotes) in enumerate(terms):
        if k:
            text += data.draw(space) + data.draw(st.sampled_from(SIGNS[sign])) + data.draw(space)
        text += quotes[0] + word + quotes[1]
    assert parse(text) == [(sign, word) for sign, word, _ in terms]


@given(st.lists(st.tuples(st.sampled_from([1, -1]), PLAIN), min_size=2, max_size=5))
def test_words_without_spaces_need_no_quotes(terms: list[tuple[int, str]]) -> None:
    """A hyphen or a plus inside a word, or at its ends, stays: only a sign with space around it is one."""
    terms = [(1, terms[0][1]), *terms[1:]]
    text = terms[0][1] + "".join(f" {'+' if sign > 0 else '-'} {word}" for sign, word in terms[1:])
    assert parse(text) == terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("king - man + woman", [(1, "king"), (-1, "man"), (1, "woman")]),
        ("机场－飞机＋火车", [(1, "机场"), (-1, "飞机"), (1, "火车")]),
        ("机场 － 飞机 ＋ 火车", [(1, "机场"), (-1, "飞机"), (1, "火车")]),
        ("a b c", [(1, "a"), (-1, "b"), (1, "c")]),
        ('a "b c" d', [(1, "a"), (-1, "b c"), (1, "d")]),
        ("  king  ", [(1, "king")]),
        ("well-known - x-ray", [(1, "well-known"), (-1, "x-ray")]),
        ("C++ - C", [(1, "C++"), (-1, "C")]),
        ('"-" + "+"', [(1, "-"), (1, "+")]),
        ("“New York” - york", [(1, "New York"), (-1, "york")]),
        ("a + b", [(1, "a"), (1, "b")]),
        ("-a", [(1, "-a")]),
    ],
)
def test_examples(text: str, terms: list[tuple[int, str]]) -> None:
    assert parse(text) == terms


@pytest.mark.parametrize(
    ("text", "fault", "position"),
    [
        ("", "an expression needs words", 0),
        ("   ", "an expression needs words", 0),
        ("- a", "a word is missing before this sign", 0),
        ("  + a", "a word is missing before this sign", 2),
        ("＋a", "a word is missing before this sign", 0),
        ("a - - b", "two signs stand in a row", 4),
        ("a ＋－b", "two signs stand in a row", 3),
        ("a - ", "a word is missing after the last sign", 3),
        ("a b", "a sign, + or -, is missing before this word", 2),
        ("a b c d", "a sign, + or -, is missing before this word", 2),
        ("a - b c", "a sign, + or -, is missing before this word", 6),
        ('a - "b', "a quote is not closed", 4),
        ('"a', "a quote is not closed", 0),
        ("a - “b", "a quote is not closed", 4),
        ("-", "a word is missing before this sign", 0),
        ("机场 - - 火车", "two signs stand in a row", 5),
    ],
)
def test_every_fault_has_its_place(text: str, fault: str, position: int) -> None:
    with pytest.raises(ExpressionError, match=re.escape(fault)) as caught:
        parse(text)
    assert (caught.value.expression, caught.value.position) == (text, position)


@pytest.mark.parametrize("text", ['""', 'a - ""', 'a - " "', "“”", 'a - "" + b'])
def test_an_empty_word_is_a_fault(text: str) -> None:
    with pytest.raises(ExpressionError, match="a word is empty") as caught:
        parse(text)
    assert text[caught.value.position - 1 : caught.value.position + 1].strip()[:1] in ('"', "“")


@given(st.text('ab "“”+-＋－−\t飞', max_size=12))
def test_any_text_parses_or_has_a_fault_at_a_place_within_it(text: str) -> None:
    try:
        terms = parse(text)
    except ExpressionError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert terms
        assert all(sign in (1, -1) and word.strip() for sign, word in terms)
        assert terms[0][0] == 1
