"""Text to tokens: a byte automaton that lower-cases, cuts and numbers words in one pass.

A word is a maximal run of letters, marks and numbers (Unicode categories L, M, N), each character lower-cased on its own;
everything else separates. Reference definition, for any text:

    "".join(low(ch) if category(ch)[0] in "LMN" else " " for ch in text).split()

where low(ch) is ch.lower() if that is one character, else ch. Undecodable bytes separate and are counted; words longer than
1000 bytes are dropped and counted. Words get provisional numbers in order of first appearance; EDGE marks the end of a unit.
The automaton keeps its state between calls, so a text may be cut anywhere, also inside a character.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thalweg.files import append
from thalweg.jit import kernel

EDGE = -1  # in a stream of word numbers: no window reaches across it
MAX_WORD_BYTES = 1000
UNITS = {"line": 1, "paragraph": 2, "file": 0}  # unit -> newlines in a row that end one; 0: only the end of the text does
ASCII_SPACE = b" \t\n\r\v\f"

_PLANE = 0x32400  # all letters, marks and numbers below plane 14 have code points below this one
_TAGS = 0xE0000  # plane 14 holds variation selectors (category Mn) in its first 512 code points
_READ = 1 << 20  # numbers read back at a time
_PIECE = 1 << 16  # bytes scanned in one call: bounds the room that new words may need


@functools.cache
def letters(lower: bool = True, digits: bool = True) -> npt.NDArray[np.uint32]:
    """For each code point its lower case (`lower`) if it can be part of a word (numbers: `digits`), else 0.   (_PLANE + 513,)

    Below _PLANE a point is its own place; then come 512 points from _TAGS on; the last place is 1 if all others are parts of words.
    """
    table = np.zeros(_PLANE + 513, np.uint32)
    for place, point in enumerate([*range(_PLANE), *range(_TAGS, _TAGS + 512)]):
        ch = chr(point)
        if unicodedata.category(ch)[0] in ("LMN" if digits else "LM"):
            low = ch.lower() if lower else ch
            table[place] = ord(low) if len(low) == 1 else point
    return table


@functools.cache
def nonspace() -> npt.NDArray[np.uint32]:
    """The table for text that is already tokenised: everything but ASCII white space is kept as it is.   (_PLANE + 513,)"""
    table = np.array([*range(_PLANE), *range(_TAGS, _TAGS + 512), 1], np.uint32)
    table[list(ASCII_SPACE)] = 0
    table[0] = 0
    return table


# What the automaton remembers between calls, in one int64 vector.
_LENGTH = 0  # bytes of the word under way (more than MAX_WORD_BYTES: too long)
_NEED = 1  # continuation bytes still wanted for the character under way ...
_CODE = 2  # ... its bits so far ...
_LOW = 3  # ... the range its next byte must lie in (this is where overlong forms and surrogates fail) ...
_HIGH = 4
_SEEN = 5  # ... and how many of its bytes have been read
_NEWLINES = 6  # newlines since the last character that is not white space
_AT_EDGE = 7  # 1: the last number written was EDGE
_BAD = 8  # undecodable bytes so far
_DROPPED = 9  # words dropped for their length so far
_WORDS = 10  # distinct words so far
_FIELDS = 11


@kernel
def _number(word, length, slots, arena, starts, state):  # type: ignore[no-untyped-def]
    """The number of word[:length], a new one if it was never seen. A slot holds 32 bits of hash and the number + 1; 0 is free."""
    code = np.uint64(14695981039346656037)  # FNV-1a
    for k in range(length):
        code = (code ^ np.uint64(word[k])) * np.uint64(1099511628211)
    code ^= code >> np.uint64(29)
    mask = np.uint64(len(slots) - 1)
    mark = code & np.uint64(0xFFFFFFFF00000000)
    place = (code * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(20)) & mask
    while slots[place] != 0:
        if slots[place] & np.uint64(0xFFFFFFFF00000000) == mark:
            number = np.int64(slots[place] & np.uint64(0xFFFFFFFF)) - 1
            start = starts[number]
            if starts[number + 1] - start == length:
                same = True
                for k in range(length):
                    if arena[start + k] != word[k]:
                        same = False
                        break
                if same:
                    return number
        place = (place + np.uint64(1)) & mask
    number = state[_WORDS]
    start = starts[number]
    for k in range(length):
        arena[start + k] = word[k]
    starts[number + 1] = start + length
    slots[place] = mark | np.uint64(number + 1)
    state[_WORDS] = number + 1
    return number


@kernel
def _scan(text, table, newlines_end, state, word, slots, arena, starts, ids):  # type: ignore[no-untyped-def]
    """Run the automaton over `text` (uint8); numbers go to `ids`; returns how many were written."""
    length, need, code, low, high, seen = state[_LENGTH], state[_NEED], state[_CODE], state[_LOW], state[_HIGH], state[_SEEN]
    newlines, at_edge, bad = state[_NEWLINES], state[_AT_EDGE], state[_BAD]
    written = 0
    i = 0
    while i < len(text):
        byte = np.int64(text[i])
        point = np.int64(-1)  # the code point that ends here; -1: something undecodable
        if need > 0:
            if low <= byte <= high:
                code = code << 6 | byte & 0x3F
                need -= 1
                seen += 1
                low, high = 0x80, 0xBF
                i += 1
                if need > 0:
                    continue
                point = code
            else:  # the character breaks off; this byte is looked at again
                bad += seen
                need = 0
        elif byte < 0x80:
            point = byte
            i += 1
        else:
            i += 1
            low, high, seen = 0x80, 0xBF, 1
            if 0xC2 <= byte <= 0xDF:
                need, code = 1, byte & 0x1F
            elif 0xE0 <= byte <= 0xEF:
                need, code = 2, byte & 0x0F
                if byte == 0xE0:
                    low = 0xA0
                elif byte == 0xED:
                    high = 0x9F
            elif 0xF0 <= byte <= 0xF4:
                need, code = 3, byte & 0x07
                if byte == 0xF0:
                    low = 0x90
                elif byte == 0xF4:
                    high = 0x8F
            else:
                bad += 1
            if need > 0:
                continue

        letter = np.int64(0)
        if 0 <= point < _PLANE:
            letter = np.int64(table[point])
        elif _TAGS <= point < _TAGS + 512:
            letter = np.int64(table[_PLANE + point - _TAGS])
        elif point >= _PLANE and table[_PLANE + 512]:
            letter = point

        if letter > 0:
            newlines = 0
            if length <= MAX_WORD_BYTES:  # `word` has room for one character more; a longer word is only marked as too long
                length = _append(letter, word, length)
            while i < len(text) and length <= MAX_WORD_BYTES:  # most letters are ASCII behind ASCII
                byte = np.int64(text[i])
                if byte >= 0x80 or not 0 < table[byte] < 0x80:
                    break
                word[length] = table[byte]
                length += 1
                i += 1
            continue
        if length > 0:
            if length > MAX_WORD_BYTES:
                state[_DROPPED] += 1
            else:
                ids[written] = _number(word, length, slots, arena, starts, state)
                written += 1
                at_edge = 0
            length = 0
        if point == 10:
            newlines += 1
            if newlines == newlines_end and at_edge == 0:
                ids[written] = EDGE
                written += 1
                at_edge = 1
        elif point != 32 and not 9 <= point <= 13:
            newlines = 0
    state[_LENGTH], state[_NEED], state[_CODE], state[_LOW], state[_HIGH], state[_SEEN] = length, need, code, low, high, seen
    state[_NEWLINES], state[_AT_EDGE], state[_BAD] = newlines, at_edge, bad
    return written


@kernel
def _width(point):  # type: ignore[no-untyped-def]
    """Bytes of a code point in UTF-8."""
    return 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4


@kernel
def _append(point, word, length):  # type: ignore[no-untyped-def]
    """Put a code point behind word[:length] as UTF-8; returns the new length."""
    if point < 0x80:
        word[length] = point
        return length + 1
    width = _width(point)
    for k in range(width - 1, 0, -1):
        word[length + k] = 0x80 | point & 0x3F
        point >>= 6
    word[length] = (0xF00 >> width) & 0xFF | point  # 110..., 1110..., 11110...
    return length + width


class Scanner:
    """Feed it bytes; it keeps the stream of word numbers and the words.

    unit: where a unit ends besides `end_unit()`: "line", "paragraph" (a blank line) or "file" (nowhere). spill: a file that takes
    the stream whenever it has more than that many bytes in memory.
    """

    def __init__(
        self, unit: str = "line", table: npt.NDArray[np.uint32] | None = None, spill: tuple[Path, int] | None = None
    ) -> None:
        self._table = letters() if table is None else table
        self._newlines_end = UNITS[unit]
        self._state = np.zeros(_FIELDS, np.int64)
        self._state[_AT_EDGE] = 1  # no edge before the first word
        self._word = np.zeros(MAX_WORD_BYTES + 8, np.uint8)
        self._slots = np.zeros(1 << 17, np.uint64)
        self._arena = np.zeros(1 << 18, np.uint8)
        self._starts = np.zeros(1 << 16, np.int64)
        self._ids = np.zeros(_PIECE + 8, np.int32)
        self._streams: list[npt.NDArray[np.int32]] = []
        self._held = 0  # numbers in memory
        self._spill = spill
        self.spilled = 0  # numbers in the file

    @property
    def bad_bytes(self) -> int:
        """Undecodable bytes so far."""
        return int(self._state[_BAD])

    @property
    def dropped_words(self) -> int:
        """Words so far that were dropped because they are longer than MAX_WORD_BYTES."""
        return int(self._state[_DROPPED])

    @property
    def n_words(self) -> int:
        """Distinct words so far."""
        return int(self._state[_WORDS])

    def feed(self, text: bytes) -> None:
        """Read on; `text` may begin and end anywhere."""
        whole = np.frombuffer(text, np.uint8)
        for start in range(0, len(whole), _PIECE):
            piece = whole[start : start + _PIECE]
            self._make_room(len(piece))
            written = _scan(
                piece, self._table, self._newlines_end, self._state, self._word, self._slots, self._arena, self._starts, self._ids
            )
            self._streams.append(self._ids[:written].copy())
            self._held += written
            if self._spill is not None and 4 * self._held > self._spill[1]:
                self._write_down(self._spill[0])

    def end_unit(self) -> None:
        """The text ends here: what is under way ends, and no window reaches further."""
        end, self._newlines_end = self._newlines_end, 1
        self._state[_NEWLINES] = 0
        self.feed(b"\n")
        self._state[_NEWLINES] = 0
        self._newlines_end = end

    def _make_room(self, n_bytes: int) -> None:
        """Room for the most that a piece can bring: a new word for every two bytes, and 1.5 bytes for each (lower-casing)."""
        n_words = self.n_words
        if n_words + n_bytes // 2 + 3 > len(self._starts):
            self._starts = np.concatenate([self._starts, np.zeros(len(self._starts) + n_bytes, np.int64)])
        used = int(self._starts[n_words])
        if used + 2 * n_bytes + 2 * MAX_WORD_BYTES > len(self._arena):
            self._arena = np.concatenate([self._arena, np.zeros(len(self._arena) + 2 * n_bytes, np.uint8)])
        if 2 * (n_words + n_bytes // 2 + 2) > len(self._slots):
            old = self._slots
            self._slots = np.zeros(2 * len(old), np.uint64)
            _rehash(self._slots, self._arena, self._starts, n_words, self._state)
            if 2 * (n_words + n_bytes // 2 + 2) > len(self._slots):
                self._make_room(n_bytes)

    def _write_down(self, path: Path) -> None:
        append(path, (part.view(np.uint8).data for part in self._streams))
        self.spilled += self._held
        self._streams, self._held = [], 0

    def pieces(self) -> Iterator[npt.NDArray[np.int32]]:
        """The stream so far, piece by piece, first what was written down."""
        if self._spill is not None:
            for start in range(0, self.spilled, _READ):
                yield np.fromfile(self._spill[0], np.int32, min(_READ, self.spilled - start), offset=4 * start)
        yield self.ids()

    def ids(self) -> npt.NDArray[np.int32]:
        """The stream so far (without what was written down): word numbers, and EDGE between units.   (n_tokens + n_edges,)"""
        self._streams = [np.concatenate(self._streams) if self._streams else np.zeros(0, np.int32)]
        return self._streams[0]

    def word(self, number: int) -> bytes:
        """The UTF-8 bytes of a word."""
        return self._arena[self._starts[number] : self._starts[number + 1]].tobytes()


@kernel
def _rehash(slots, arena, starts, n_words, state):  # type: ignore[no-untyped-def]
    """Enter all words into an empty, larger table."""
    word = np.zeros(MAX_WORD_BYTES + 8, np.uint8)
    state[_WORDS] = 0
    for number in range(n_words):
        length = starts[number + 1] - starts[number]
        for k in range(length):
            word[k] = arena[starts[number] + k]
        _number(word, length, slots, arena, starts, state)
