"""Text to tokens: a byte automaton that lower-cases, cuts and numbers words in one pass.

A word is a maximal run of letters, marks and numbers (Unicode categories L, M, N), each character lower-cased on its own;
everything else separates. Reference definition, for any text:

    "".join(low(ch) if category(ch)[0] in "LMN" else " " for ch in text).split()

where low(ch) is ch.lower() if that is one character, else ch. Undecodable bytes separate and are counted; words longer than
1000 bytes are dropped and counted. Words get provisional numbers in order of first appearance; EDGE marks the end of a unit.
The automaton keeps its state between calls, so a text may be cut anywhere, also inside a character. A vocabulary that outgrows its
memory is set aside (`thalweg.words.vocabulary`), and numbering begins anew.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from thalweg.files import append
from thalweg.jit import kernel

if TYPE_CHECKING:
    from thalweg.words.vocabulary import Runs

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
_FIELDS = 10


@kernel
def _number(text, first, last, slots, arena, starts, size):  # type: ignore[no-untyped-def]
    """The number of the word text[first:last], a new one if it was never seen.

    A slot holds 32 bits of hash and the number + 1; 0 is free. size (1,): distinct words so far.
    """
    code = np.uint64(14695981039346656037)  # FNV-1a
    for k in range(first, last):
        code = (code ^ np.uint64(text[k])) * np.uint64(1099511628211)
    code ^= code >> np.uint64(29)
    mask = np.uint64(len(slots) - 1)
    mark = code & np.uint64(0xFFFFFFFF00000000)
    place = (code * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(20)) & mask
    while slots[place] != 0:
        if slots[place] & np.uint64(0xFFFFFFFF00000000) == mark:
            number = np.int64(slots[place] & np.uint64(0xFFFFFFFF)) - 1
            start = starts[number]
            if starts[number + 1] - start == last - first:
                same = True
                for k in range(last - first):
                    if arena[start + k] != text[first + k]:
                        same = False
                        break
                if same:
                    return number
        place = (place + np.uint64(1)) & mask
    number = size[0]
    start = starts[number]
    for k in range(last - first):
        arena[start + k] = text[first + k]
    starts[number + 1] = start + last - first
    slots[place] = mark | np.uint64(number + 1)
    size[0] = number + 1
    return number


@kernel
def _enter(text, ends, slots, arena, starts, size, numbers):  # type: ignore[no-untyped-def]
    """The numbers of the words that end at ends[1:]; `text` may be the arena itself, whose words stay where they are."""
    for k in range(len(numbers)):
        numbers[k] = _number(text, ends[k], ends[k + 1], slots, arena, starts, size)


@kernel
def _scan(text, table, newlines_end, state, word, slots, arena, starts, size, ids):  # type: ignore[no-untyped-def]
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
                ids[written] = _number(word, 0, length, slots, arena, starts, size)
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


@kernel
def tally(stream, counts):  # type: ignore[no-untyped-def]
    """How often each number occurs in a stream; negative ones are not counted."""
    for k in range(len(stream)):
        if stream[k] >= 0:
            counts[stream[k]] += 1


class Table:
    """Distinct words, numbered in order of first appearance: a hash table over their bytes one behind the other."""

    def __init__(self) -> None:
        self.slots = np.zeros(1 << 17, np.uint64)
        self.arena = np.zeros(1 << 18, np.uint8)
        self.starts = np.zeros(1 << 16, np.int64)  # word k: arena[starts[k] : starts[k + 1]]
        self.size = np.zeros(1, np.int64)

    @property
    def n_words(self) -> int:
        """Distinct words so far."""
        return int(self.size[0])

    @property
    def taken(self) -> int:
        """Bytes that the words take in memory, at most: tables that are doubled when they are full are half empty then."""
        return 48 * self.n_words + 2 * int(self.starts[self.n_words])

    def word(self, number: int) -> bytes:
        """The UTF-8 bytes of a word."""
        return self.arena[self.starts[number] : self.starts[number + 1]].tobytes()

    def enter(self, text: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """The numbers of the words text[ends[k] : ends[k + 1]].   (len(ends) - 1,)"""
        numbers = np.empty(len(ends) - 1, np.int32)
        self.make_room(len(numbers), len(text))
        _enter(text, ends, self.slots, self.arena, self.starts, self.size, numbers)
        return numbers

    def make_room(self, n_words: int, n_bytes: int) -> None:
        """Room for as many more."""
        n = self.n_words + n_words + 1
        if n > len(self.starts):
            self.starts = np.concatenate([self.starts, np.zeros(max(len(self.starts), n_words + 1), np.int64)])
        if int(self.starts[self.n_words]) + n_bytes > len(self.arena):
            self.arena = np.concatenate([self.arena, np.zeros(max(len(self.arena), n_bytes), np.uint8)])
        if 2 * n > len(self.slots):
            while 2 * n > len(self.slots):
                self.slots = np.zeros(2 * len(self.slots), np.uint64)
            ends, numbers = self.starts[: self.n_words + 1], np.empty(self.n_words, np.int32)
            self.size[0] = 0
            _enter(self.arena, ends, self.slots, self.arena, self.starts, self.size, numbers)

    def clear(self) -> None:
        """Forget all words; the room stays."""
        self.slots[:] = 0
        self.size[0] = 0


class Numbered(Protocol):
    """A text as numbers: n_words of them, for the n_seen distinct words that were read; `spilled` of its stream are in a file."""

    spilled: int

    @property
    def n_words(self) -> int: ...
    @property
    def n_seen(self) -> int: ...
    def word(self, number: int) -> bytes: ...
    def pieces(self) -> Iterator[npt.NDArray[np.int32]]: ...
    def ids(self) -> npt.NDArray[np.int32]: ...


class Scanner:
    """Feed it bytes; it keeps the stream of word numbers and the words.

    unit: where a unit ends besides `end_unit()`: "line", "paragraph" (a blank line) or "file" (nowhere). spill: a file that takes
    the stream whenever it has more than that many bytes in memory. runs: what takes the words when they have outgrown their memory;
    from then on numbers have a meaning only within a part of the stream, and `vocabulary.merged` knows which.
    """

    def __init__(
        self,
        unit: str = "line",
        table: npt.NDArray[np.uint32] | None = None,
        spill: tuple[Path, int] | None = None,
        runs: Runs | None = None,
    ) -> None:
        self._letters = letters() if table is None else table
        self._newlines_end = UNITS[unit]
        self._state = np.zeros(_FIELDS, np.int64)
        self._state[_AT_EDGE] = 1  # no edge before the first word
        self._word = np.zeros(MAX_WORD_BYTES + 8, np.uint8)
        self._table = Table()
        self._ids = np.zeros(_PIECE + 8, np.int32)
        self._streams: list[npt.NDArray[np.int32]] = []
        self._held = 0  # numbers in memory
        self._spill = spill
        self.runs = runs
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
        """Distinct words so far (since the last were set aside)."""
        return self._table.n_words

    @property
    def n_seen(self) -> int:
        """The same: a scanner leaves out none."""
        return self.n_words

    def feed(self, text: bytes) -> None:
        """Read on; `text` may begin and end anywhere."""
        whole, table = np.frombuffer(text, np.uint8), self._table
        for start in range(0, len(whole), _PIECE):
            piece = whole[start : start + _PIECE]
            if self.runs is not None and table.taken > self.runs.limit:
                self.set_aside(self.runs)
            # the most that a piece can bring: a new word for every two bytes, and 1.5 bytes for each (lower-casing)
            table.make_room(len(piece) // 2 + 2, 2 * len(piece) + 2 * MAX_WORD_BYTES)
            written = _scan(
                piece, self._letters, self._newlines_end, self._state, self._word, table.slots, table.arena, table.starts,
                table.size, self._ids,
            )  # fmt: skip
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

    def set_aside(self, runs: Runs, last: bool = False) -> None:
        """Hand the words to `runs`, with how often each occurred since it took the ones before. last: no more will follow."""
        if self._spill is None:
            msg = "words are set aside where the stream goes to a file"
            raise ValueError(msg)
        self._write_down(self._spill[0])
        counts = np.zeros(self.n_words, np.int64)
        for piece in self.written(runs.reached, self.spilled):
            tally(piece, counts)
        runs.take(self._table, counts, self.spilled, last)
        self._table.clear()

    def _write_down(self, path: Path) -> None:
        append(path, (part.view(np.uint8).data for part in self._streams))
        self.spilled += self._held
        self._streams, self._held = [], 0

    def written(self, first: int, last: int) -> Iterator[npt.NDArray[np.int32]]:
        """Numbers first..last of the stream, which are in the file, piece by piece."""
        if self._spill is not None:
            for start in range(first, last, _READ):
                yield np.fromfile(self._spill[0], np.int32, min(_READ, last - start), offset=4 * start)

    def pieces(self) -> Iterator[npt.NDArray[np.int32]]:
        """The stream so far, piece by piece, first what was written down."""
        yield from self.written(0, self.spilled)
        yield self.ids()

    def ids(self) -> npt.NDArray[np.int32]:
        """The stream so far (without what was written down): word numbers, and EDGE between units.   (n_tokens + n_edges,)"""
        self._streams = [np.concatenate(self._streams) if self._streams else np.zeros(0, np.int32)]
        return self._streams[0]

    def word(self, number: int) -> bytes:
        """The UTF-8 bytes of a word."""
        return self._table.word(number)
