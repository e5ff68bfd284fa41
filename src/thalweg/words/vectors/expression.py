"""Expressions of words: 机场 - 飞机 + 火车, as typed.

Words are joined by + and - with spaces around them, so a hyphen inside a word stays; − and –, which other programs make of it,
count as well, and full-width ＋ and －, these with or without spaces. Quotes hold words with spaces together. Three words without
any sign are a - b + c in that order.
"""

from __future__ import annotations

import re

from thalweg.errors import ExpressionError

_TOKEN = re.compile(
    r"""\s*(?:(?P<quote>["“])(?P<quoted>[^"”]*)["”]|(?P<sign>[+\-－＋−–](?=\s|$)|[＋－])|(?P<word>(?!["“])[^\s＋－]+))"""
)
_PLUS, _MINUS = "+＋", "-－−–"


def parse(expression: str) -> list[tuple[int, str]]:
    """[(+1 or -1, word), ...] in the order of the expression.

    Raises ExpressionError, with the place of the fault, for anything else.
    """
    terms: list[tuple[int, str, int]] = []
    sign: str | None = None
    place = 0
    end = len(expression.rstrip())
    signs_seen = False
    while place < end:
        match = _TOKEN.match(expression, place)
        if match is None:  # an opening quote that is never closed
            start = place + len(expression[place:]) - len(expression[place:].lstrip())
            raise ExpressionError("a quote is not closed", expression, start)
        start = match.start(match.lastgroup or 0)
        if match["sign"]:
            if sign is not None or not terms:
                what = "a word is missing before this sign" if not terms and sign is None else "two signs stand in a row"
                raise ExpressionError(what, expression, start)
            sign, signs_seen = match["sign"], True
        else:
            word = match["quoted"] if match["quote"] else match["word"]
            if not word.strip():
                raise ExpressionError("a word is empty", expression, start)
            if sign is None and terms and signs_seen:
                raise ExpressionError("a sign, + or -, is missing before this word", expression, start)
            terms.append((-1 if sign and sign in _MINUS else 1, word, start))
            sign = None
        place = match.end()
    if sign is not None:
        raise ExpressionError("a word is missing after the last sign", expression, end)
    if not terms:
        raise ExpressionError("an expression needs words, for example: king - man + woman", expression, 0)
    if not signs_seen and len(terms) == 3:
        return [(1, terms[0][1]), (-1, terms[1][1]), (1, terms[2][1])]
    if not signs_seen and len(terms) > 1:
        raise ExpressionError("a sign, + or -, is missing before this word", expression, terms[1][2])
    return [(value, word) for value, word, _ in terms]
