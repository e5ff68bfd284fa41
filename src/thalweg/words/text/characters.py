"""Characters: which of them make words, and when two spellings are one word.

What is one word on the screen is one word. A word is a run of letters, marks and numbers (Unicode categories L, M, N) that begins
with a letter or a number: a mark belongs to what stands before it, so after a symbol it belongs to the symbol. Characters that
nobody sees (soft hyphen, word joiner, byte order mark, variation selectors; not U+200B, a space without width) neither separate
words nor are part of them. `join` names signs that join two letters. This is Unicode's rule WB4 and, for `join`, WB6 and WB7
(UAX 29). `canonical` says which word it is:

    NFC(lower(NFC(word)))    lower: default case conversion of the whole word, with final sigma and the dotted I

The table gives each code point a value, so that a word can be put together in one pass over its bytes; only words with a letter
that is ODD, whose place in a word decides what becomes of it, have to be looked at as a whole.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# What a table holds for a code point: 0 if it separates words, else the code point that a word gets for it, and one of these marks.
POINT = 0x1FFFFF
MARK = 1 << 24  # only behind a letter or a number
IGNORED = 1 << 25  # no part of a word, and no end of one
JOINER = 1 << 26  # part of a word between two letters
ODD = 1 << 27  # what the word is depends on its neighbours: see `canonical`

PLANE = 0x32400  # all letters, marks and numbers below plane 14 have code points below this one
TAGS = 0xE0000  # plane 14 holds tags and variation selectors in its first 512 code points
SIZE = PLANE + 512 + 1
LINE_ENDS = "\n\v\f\r\x85\u2028\u2029"  # where Unicode says that a line must end (UAX 14: BK, CR, LF, NL)
SPACES = frozenset("\0 \t" + LINE_ENDS)  # what separates words that are cut already: ASCII white space and line ends

JOINERS = {  # what `join` can hold -> the characters that are read as it
    "'": "'\u2019\uff07",  # apostrophe, as typewriters and as printers have it
    "·": "·\u0387",  # middle dot: col·laboració, 迈克尔·乔丹
    "-": "-\u2010\u2011",  # hyphen
}

# Format characters that are seen: signs that stand around numbers, and the space without width.
_SEEN = frozenset([*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, 0x200B])
# Marks that are not seen: they choose between forms of a letter, or keep letters apart that would be sorted as one.
_UNSEEN = frozenset([0x34F, 0x17B4, 0x17B5, *range(0x180B, 0x180E), 0x180F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
_BLANK = frozenset([0x3164, 0xFFA0])  # fillers: letters by category, and as empty as a space
_ZERO_WIDTH = "\u200c\u200d"  # non-joiner and joiner of letters within a word, see `_JOINING`
_AS_A_WHOLE = "\u03a3\u0130"  # Σ is σ or ς by its place, İ two characters


@dataclass(frozen=True)
class Characters:
    """A rule of what makes words.

    lower: words are in lower case; digits: numbers are parts of words, or separate them; join: signs, of JOINERS, that belong to a
    word between two letters. spaced: the text is cut into words already, and all but ASCII white space is part of one, as it is.
    """

    lower: bool = True
    digits: bool = True
    join: str = ""
    spaced: bool = False

    def value(self, point: int) -> int:
        """What the table holds for a code point."""
        ch = chr(point)
        if self.spaced:
            return 0 if ch in SPACES else _composed(ch)
        for sign in self.join:
            if ch in JOINERS[sign]:
                return JOINER | ord(sign)
        kind = unicodedata.category(ch)
        if kind == "Cf":
            if ch in _ZERO_WIDTH:
                return MARK | ODD | point
            return 0 if point in _SEEN else IGNORED
        if kind[0] not in ("LMN" if self.digits else "LM") or point in _BLANK:
            return 0
        if kind[0] == "M":
            return IGNORED if point in _UNSEEN else MARK | _composed(ch)
        return ODD | point if self.lower and ch in _AS_A_WHOLE else _composed(ch.lower() if self.lower else ch)

    @functools.cache  # noqa: B019 - of the few rules that there are
    def table(self) -> npt.NDArray[np.uint32]:
        """The values of all code points.   (SIZE,)

        Below PLANE a point is its own place; then come 512 points from TAGS on; the last place says whether all others are letters.
        """
        table = np.zeros(SIZE, np.uint32)
        halves = _second_halves()
        for place, point in enumerate([*range(PLANE), *range(TAGS, TAGS + 512)]):
            ch = chr(point)
            kind = unicodedata.category(ch)
            if kind == "Lo" and not unicodedata.decomposition(ch) and ch not in halves and point not in _BLANK:
                table[place] = point  # nine of ten: they are what they are
            elif self.spaced or kind[0] in "LMN" or kind == "Cf":
                table[place] = self.value(point)
        for ch in "".join(JOINERS[sign] for sign in self.join):
            table[ord(ch)] = self.value(ord(ch))
        table[SIZE - 1] = self.spaced
        return table

    def canonical(self, word: str) -> str:
        """The word that a run of characters is: equal for all spellings that look the same."""
        if self.spaced:
            return unicodedata.normalize("NFC", word)
        if any(ch in word for ch in _ZERO_WIDTH):
            word = _JOINING.sub(_seen_joiner, word)
        word = unicodedata.normalize("NFC", word)
        return unicodedata.normalize("NFC", word.lower()) if self.lower else word


class Lazily:
    """The table of a rule, computed where it is looked at: for text as short as a question."""

    def __init__(self, characters: Characters) -> None:
        self._characters = characters
        self._known: dict[int, int] = {}

    def __getitem__(self, place: int) -> int:
        place = int(place)
        if place not in self._known:
            point = place if place < PLANE else place - PLANE + TAGS
            self._known[place] = int(self._characters.spaced) if place == SIZE - 1 else self._characters.value(point)
        return self._known[place]


def of(language: str, *, lower: bool = True, digits: bool = True, join: str = "") -> Characters:
    """The rule for a language of `thalweg.words.text.rules.Rules`."""
    return Characters(lower=False, spaced=True) if language == "whitespace" else Characters(lower, digits, join)


@functools.cache
def invisible() -> re.Pattern[str]:
    """Finds characters that are no part of a word, and no end of one."""
    table = Characters().table()
    points = np.flatnonzero(table & IGNORED)
    return re.compile("[" + "".join(re.escape(chr(p if p < PLANE else p - PLANE + TAGS)) for p in points.tolist()) + "]+")


def _composed(ch: str) -> int:
    """A character in canonical composition, ODD if that takes more than itself."""
    form = unicodedata.normalize("NFC", ch)
    if len(form) > 1 or unicodedata.combining(ch) or form in _second_halves():
        return ODD | ord(ch)
    return ord(form)


@functools.cache
def _second_halves() -> frozenset[str]:
    """The characters that may become one with the character before them."""
    halves = (unicodedata.decomposition(chr(point)).split() for point in (*range(0x3100), *range(0x10000, 0x17000)))
    found = {chr(int(half[1], 16)) for half in halves if len(half) == 2 and half[0][0] != "<"}
    return frozenset(found | set(map(chr, [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)])))  # Hangul: by a formula


# Where a joiner or non-joiner is seen (after UAX 31, rules A1, A2 and B): beside a virama; and a non-joiner behind an Arabic letter
# that would join the next one, as in Persian می‌خواهم.
_JOINING = re.compile(f"[{_ZERO_WIDTH}]+")


@functools.cache
def _joining_letters() -> frozenset[str]:
    """Arabic letters that join the next one: those that have a form for the beginning of a word."""
    forms = (unicodedata.decomposition(chr(point)).split() for point in range(0xFB50, 0xFF00))
    return frozenset(chr(int(form[1], 16)) for form in forms if len(form) == 2 and form[0] == "<initial>")


def _seen_joiner(match: re.Match[str]) -> str:
    word, at = match.string, match.start()
    while at and word[at - 1] not in _ZERO_WIDTH and 0 < unicodedata.combining(word[at - 1]) != 9:
        at -= 1  # a vowel sign over the letter
    before, after = word[at - 1 : at], word[match.end() : match.end() + 1]
    beside_virama = 9 in (unicodedata.combining(before or " "), unicodedata.combining(after or " "))
    joined = match[0][0] == _ZERO_WIDTH[0] and before in _joining_letters() and unicodedata.category(after or " ")[0] == "L"
    return match[0][0] if before and (beside_virama or joined) else ""


__all__ = [
    "IGNORED", "JOINER", "JOINERS", "LINE_ENDS", "MARK", "ODD", "PLANE", "POINT", "SIZE", "SPACES", "TAGS", "Characters", "Lazily",
    "invisible", "of",
]  # fmt: skip
