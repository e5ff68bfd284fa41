"""Unicode's own test of word breaks (UAX 29, WordBreakTest.txt) as an oracle: Debian's package unicode-data has it.

Of its lines we follow all but those of two kinds, which docs/words.md names: signs that join what stands around them, unless `join`
asks for it, and a change of script without a separator.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from unicodedata import category

import pytest

from thalweg.words.text.reading import words_of

FILE = Path("/usr/share/unicode/auxiliary/WordBreakTest.txt")
SIGNS = {"_": "13a", "'": "7 and 12", ":": "7", ",": "12", ".": "12", '"': "7c"}  # the rule that joins at it
KATAKANA = "\u3031"  # stands for the scripts between which Unicode breaks without a separator


def lines() -> list[list[str]]:
    """The segments of each line."""
    found = []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        marks = line.partition("#")[0].split("÷")
        if segments := ["".join(chr(int(p, 16)) for p in mark.replace("×", " ").split()) for mark in marks if mark.strip()]:
            found.append(segments)
    return found


def kind(segments: list[str], join: str) -> str:
    """Empty for a line that is read as Unicode says, else why not: a sign, "script", or "?"."""
    each = [words_of(segment, "words", join=join) for segment in segments]
    expected = [word for parts in each for word in parts]
    found = words_of("".join(segments), "words", join=join)
    joined = {ch for segment, parts in zip(segments, each, strict=True) if len(parts) > 1 for ch in segment}
    if signs := {ch for ch in joined if category(ch)[0] not in "LMN" and category(ch) != "Cf"}:
        numbers = " between numbers" * any(category(ch) == "Nd" for ch in joined)
        return min(signs) + numbers if len(signs) == 1 and signs <= SIGNS.keys() else "?"
    if found == expected:
        return ""
    letters = "".join(found).replace("'", "")
    return "script" if letters == "".join(expected) and KATAKANA in letters else "?"


@pytest.mark.skipif(not FILE.exists(), reason="no WordBreakTest.txt: apt-get install unicode-data")
@pytest.mark.parametrize("join", ["", "'"])
def test_words_end_where_unicode_says_but_for_two_kinds(join: str) -> None:
    found = Counter(kind(segments, join) for segments in lines())
    assert {"", "script"} <= found.keys()
    assert "?" not in found
    assert join not in found or not join
    assert found[""] > 1600 + 20 * bool(join)
