"""Text to tokens: a byte automaton that cuts, lower-cases and numbers words in one pass.

What words are made of stands in `thalweg.words.text.characters`. Undecodable bytes separate and are counted; words longer than 1000
bytes are dropped and counted. Words get provisional numbers in order of first appearance; EDGE marks the end of a unit: a window
never crosses the end of a line, of whatever kind (LF, CR, CR LF, VT, FF, NEL, U+2028; U+2029 counts twice, as a blank line does).
The automaton keeps its state between calls, so a text may be cut anywhere, also inside a character. A vocabulary that outgrows its
memory is set aside (`thalweg.words.text.vocabulary`), and numbering begins anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from thalweg.files import append
from thalweg.jit import kernel
from thalweg.words.text.characters import IGNORED, JOINER, MARK, ODD, PLANE, POINT, TAGS, Characters, Lazily

EDGE = -1  # in a stream of word numbers: no window reaches across it
OUT = -2  # a word that is left out
MAX_WORD_BYTES = 1000
UNITS = {"line": 1, "paragraph": 2, "file": 0}  # unit -> line ends in a row that end one; 0: only the end of the text does

_READ = 1 << 20  # numbers read back at a time
_PIECE = 1 << 16  # bytes scanned in one call: bounds the room that new words may need
_RAW = 4 * MAX_WORD_BYTES  # of a word before it is composed, which takes a third of its bytes at the least


# What the automaton remembers between calls, in one int64 vector.
_LENGTH = 0  # bytes of the word under way (more than _RAW: too long)
_NEED = 1  # continuation bytes still wanted for the character under way ...
_CODE = 2  # ... its bits so far ...
_LOW = 3  # ... the range its next byte must lie in (this is where overlong forms and surrogates fail) ...
_HIGH = 4
_SEEN = 5  # ... and how many of its bytes have been read
_NEWLINES = 6  # line ends since the last character that is not white space
_AT_EDGE = 7  # 1: the last number written was EDGE
_BAD = 8  # undecodable bytes so far
_DROPPED = 9  # words dropped for their length so far
_SIGN = 10  # a sign that belongs to the word under way if a letter follows; 0: none
_IS_ODD = 11  # not 0: the word under way has to be looked at as a whole
_RETURN = 12  # 1: the last character was CR, so that a LF ends no further line
_ODDS = 13  # such words so far
_FIELDS = 14


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
def _scan(text, table, newlines_end, state, word, words, odd_words, ids):  # type: ignore[no-untyped-def]
    """Run the automaton over `text` (uint8); numbers go to `ids`; returns how many were written.

    Words and odd words have tables of their own, (slots, arena, starts, size); odd word k is written as OUT - 1 - k.
    """
    length, need, code, low, high, seen = state[_LENGTH], state[_NEED], state[_CODE], state[_LOW], state[_HIGH], state[_SEEN]
    newlines, at_edge, bad = state[_NEWLINES], state[_AT_EDGE], state[_BAD]
    sign, odd, after_return = state[_SIGN], state[_IS_ODD], state[_RETURN]
    slots, arena, starts, size = words
    odd_slots, odd_arena, odd_starts, odd_size = odd_words
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
        if 0 <= point < PLANE:
            letter = np.int64(table[point])
        elif TAGS <= point < TAGS + 512:
            letter = np.int64(table[PLANE + point - TAGS])
        elif point >= PLANE and table[PLANE + 512]:
            letter = point

        if letter > POINT:  # more than a letter
            if letter & IGNORED or (letter & MARK and (length == 0 or sign > 0)):
                continue  # a mark belongs to what stands before it, and that is no letter
            if letter & JOINER:
                if length > 0 and sign == 0 and not 48 <= word[length - 1] <= 57:
                    sign = letter & POINT
                    continue
                letter = np.int64(0)
            odd |= letter & ODD
            letter &= POINT
        if sign > 0 and letter > 0:
            if 48 <= letter <= 57:  # a sign joins letters: here the word ends, and the digit is looked at again
                letter = np.int64(0)
                i -= 1
            elif length <= _RAW:
                length = _append(sign, word, length)
            sign = np.int64(0)

        if letter > 0:
            newlines = after_return = np.int64(0)
            if length <= _RAW:  # `word` has room for one character more; a longer word is only marked as too long
                length = _append(letter, word, length)
            while i < len(text) and length <= _RAW:  # most letters are ASCII behind ASCII
                byte = np.int64(text[i])
                if byte >= 0x80 or not 0 < table[byte] < 0x80:
                    break
                word[length] = table[byte]
                length += 1
                i += 1
            continue
        if length > 0:
            if length > _RAW or (length > MAX_WORD_BYTES and odd == 0):
                state[_DROPPED] += 1
            else:
                if odd == 0:
                    ids[written] = _number(word, 0, length, slots, arena, starts, size)
                else:
                    ids[written] = OUT - 1 - _number(word, 0, length, odd_slots, odd_arena, odd_starts, odd_size)
                    state[_ODDS] += 1
                written += 1
                at_edge = 0
            length = sign = odd = np.int64(0)
        if point == 32:
            after_return = np.int64(0)
            continue
        if 10 <= point <= 13 or point == 0x85 or point == 0x2028 or point == 0x2029:
            if point != 10 or after_return == 0:
                newlines += 1 + (point == 0x2029)
                if newlines >= newlines_end > 0 and at_edge == 0:
                    ids[written] = EDGE
                    written += 1
                    at_edge = 1
        elif point != 9:
            newlines = np.int64(0)
        after_return = np.int64(point == 13)
    state[_LENGTH], state[_NEED], state[_CODE], state[_LOW], state[_HIGH], state[_SEEN] = length, need, code, low, high, seen
    state[_NEWLINES], state[_AT_EDGE], state[_BAD] = newlines, at_edge, bad
    state[_SIGN], state[_IS_ODD], state[_RETURN] = sign, odd, after_return
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
    """Distinct words, numbered in order of first appearance: a hash table over their bytes one behind the other.

    little: run as Python, for so few words that loading the compiled code would take longer.
    """

    def __init__(self, little: bool = False) -> None:
        self._enter = _enter.interpreted() if little else _enter
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
        self._enter(text, ends, self.slots, self.arena, self.starts, self.size, numbers)
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
            self._enter(self.arena, ends, self.slots, self.arena, self.starts, self.size, numbers)

    @property
    def arrays(self) -> tuple[Any, ...]:
        """What a kernel takes of it."""
        return self.slots, self.arena, self.starts, self.size

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


class Spill(Protocol):
    """Where words go that have outgrown `limit` bytes (`thalweg.words.text.vocabulary.Runs`)."""

    limit: int
    reached: int

    def take(self, table: Table, counts: npt.NDArray[np.int64], reached: int, last: bool) -> None: ...


class Scanner:
    """Feed it bytes; it keeps the stream of word numbers and the words.

    unit: where a unit ends besides `end_unit()`: "line", "paragraph" (a blank line) or "file" (nowhere). spill: a file that takes
    the stream whenever it has more than that many bytes in memory. runs: what takes the words when they have outgrown their memory;
    from then on numbers have a meaning only within a part of the stream, and `vocabulary.merged` knows which. little: for so little
    text that loading the compiled automaton would take longer than running it as Python.
    """

    def __init__(
        self,
        unit: str = "line",
        characters: Characters | None = None,
        spill: tuple[Path, int] | None = None,
        runs: Spill | None = None,
        little: bool = False,
    ) -> None:
        self._characters = characters or Characters()
        self._letters: Any = Lazily(self._characters) if little else self._characters.table()
        self._scan = _scan.interpreted() if little else _scan
        self._newlines_end = UNITS[unit]
        self._state = np.zeros(_FIELDS, np.int64)
        self._state[_AT_EDGE] = 1  # no edge before the first word
        self._word = np.zeros(_RAW + 8, np.uint8)
        self._table = Table(little)
        self._odd = Table(little)  # words as they are written, where that does not say at once which words they are
        self._meaning = np.zeros(1024, np.int32)  # odd word -> the word that it is, or OUT
        self._n_meanings = 0
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
        whole = np.frombuffer(text, np.uint8)
        for start in range(0, len(whole), _PIECE):
            piece = whole[start : start + _PIECE]
            if self.runs is not None and self._table.taken + self._odd.taken > self.runs.limit:
                self.set_aside(self.runs)
            for table in (self._table, self._odd):
                # the most that a piece can bring: a new word for every two bytes, and 1.5 bytes for each (lower-casing)
                table.make_room(len(piece) // 2 + 2, 2 * len(piece) + 2 * _RAW)
            odds = self._state[_ODDS]
            written = self._scan(
                piece, self._letters, self._newlines_end, self._state, self._word, self._table.arrays, self._odd.arrays, self._ids
            )
            ids = self._ids[:written].copy()
            if self._state[_ODDS] > odds:
                ids = self._known(ids)
            self._streams.append(ids)
            self._held += len(ids)
            if self._spill is not None and 4 * self._held > self._spill[1]:
                self._write_down(self._spill[0])

    def _known(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """A piece of the stream in which odd words have the numbers of the words that they are."""
        odd = np.flatnonzero(ids < OUT)
        new = range(self._n_meanings, self._odd.n_words)
        forms = [self._characters.canonical(self._odd.word(k).decode()).encode() for k in new]
        fits = np.array([len(form) <= MAX_WORD_BYTES for form in forms], np.bool_)
        text = b"".join(itertools.compress(forms, fits))
        ends = np.cumsum([0, *map(len, itertools.compress(forms, fits))])
        if self._odd.n_words > len(self._meaning):
            self._meaning = np.concatenate([self._meaning, np.zeros(max(len(self._meaning), len(new)), np.int32)])
        meaning = self._meaning[new.start : new.stop]
        meaning[:] = OUT
        meaning[fits] = self._table.enter(np.frombuffer(text, np.uint8), ends)
        self._n_meanings = new.stop
        ids[odd] = self._meaning[OUT - 1 - ids[odd]]
        self._state[_DROPPED] += np.count_nonzero(ids == OUT)
        known: npt.NDArray[np.int32] = ids[ids != OUT]
        return known

    def end_unit(self) -> None:
        """The text ends here: what is under way ends, and no window reaches further."""
        end, self._newlines_end = self._newlines_end, 1
        self._state[_NEWLINES] = self._state[_RETURN] = 0
        self.feed(b"\n")
        self._state[_NEWLINES] = 0
        self._newlines_end = end

    def set_aside(self, runs: Spill, last: bool = False) -> None:
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
        self._odd.clear()
        self._n_meanings = 0

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
