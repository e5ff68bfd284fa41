"""Text to tokens: the byte automaton against the one-line definition of what a word is."""

from __future__ import annotations

import itertools
import re
from unicodedata import category

from hypothesis import example, given
from hypothesis import strategies as st

from thalweg.words.tokens import EDGE, MAX_WORD_BYTES, UNITS, Scanner, nonspace

NEARLY_UTF8 = st.lists(
    st.sampled_from([bytes([b]) for b in b"aZ5 \n\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xed\xef\xf0\xf4\xf5\xff"])
    | st.sampled_from(["é", "飞", "\ud7ff", "\ue000", "𠀀", "\U0010ffff"]).map(str.encode),
    max_size=40,
).map(b"".join)  # bytes at the edges of the ranges that UTF-8 allows


def low(ch: str) -> str:
    return ch.lower() if len(ch.lower()) == 1 else ch


def reference(text: str) -> list[str]:
    """The definition of a word (words.md, section 2.1)."""
    return "".join(low(ch) if category(ch)[0] in "LMN" else " " for ch in text).split()


def scanned(*texts: bytes, unit: str = "file", table: object = None) -> tuple[list[str | None], Scanner]:
    """The stream of words, None between units; every text is fed piece by piece and then ends."""
    scanner = Scanner(unit, table)  # type: ignore[arg-type]
    for text in texts:
        scanner.feed(text)
    scanner.end_unit()
    return [None if k == EDGE else scanner.word(int(k)).decode() for k in scanner.ids()], scanner


def words(text: bytes) -> list[str]:
    stream, _ = scanned(text)
    assert stream.pop() is None if stream else True
    return [word for word in stream if word is not None]


# What a word is


def first_difference(found: list[str], expected: list[str]) -> tuple[str | None, str | None] | None:
    return next((pair for pair in itertools.zip_longest(found, expected) if pair[0] != pair[1]), None)


EVERY_CHARACTER = [chr(p) for p in range(0x110000) if not 0xD800 <= p < 0xE000]


def test_every_code_point_is_a_letter_or_not_and_lowers_as_defined() -> None:
    """Unicode has room for 1,112,064 characters, and the automaton knows all of them."""
    text = " ".join(EVERY_CHARACTER)
    assert first_difference(words(text.encode()), reference(text)) is None


@given(st.text())
@example("Ⱥ ß İ ﬁ Ǆ K")  # lower case that is longer, two characters, or shorter
@example("a\ufeffb\u200dc\u0301d")
def test_words_are_those_of_the_definition(text: str) -> None:
    assert words(text.encode()) == reference(text)


def test_nul_and_byte_order_mark_separate() -> None:
    assert words("a\0b\ufeffc".encode()) == ["a", "b", "c"]


def test_tokenised_text_is_cut_at_ascii_white_space_and_nowhere_else() -> None:
    """Language "whitespace": every character but the six of ASCII white space (and NUL) is kept as it is, in every plane."""
    text = " ".join(ch for ch in EVERY_CHARACTER[1:] if ord(ch) < 0x33000 or ord(ch) % 61 == 0)
    stream, _ = scanned(text.encode(), table=nonspace())
    assert first_difference([word for word in stream if word], re.split("[ \t\n\r\v\f]+", text)) is None


# Cutting


@given(st.binary(max_size=60) | NEARLY_UTF8, st.sampled_from([*UNITS]), st.data())
def test_a_text_may_be_cut_anywhere(text: bytes, unit: str, data: st.DataObject) -> None:
    """feed(x + y) = feed(x), feed(y), also inside a character."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole, one = scanned(text, unit=unit)
    parts, many = scanned(*pieces, unit=unit)
    assert parts == whole
    assert (many.bad_bytes, many.dropped_words, many.n_words) == (one.bad_bytes, one.dropped_words, one.n_words)


def test_pieces_of_the_scanner_are_no_edges() -> None:
    """A text longer than the 64 KiB that are scanned in one call, with characters of three bytes across every border."""
    text = "飞x " * 50_000
    assert words(b"." + text.encode()) == ["飞x"] * 50_000


# Damage


@given(st.binary(max_size=60) | NEARLY_UTF8)
def test_undecodable_bytes_separate_and_are_counted_as_python_does(text: bytes) -> None:
    """Python's decoder turns each undecodable byte into a lone surrogate, which is no letter."""
    decoded = text.decode("utf-8", "surrogateescape")
    stream, scanner = scanned(text)
    assert [word for word in stream if word is not None] == reference(decoded)
    assert scanner.bad_bytes == sum(0xDC80 <= ord(ch) <= 0xDCFF for ch in decoded)


def test_every_sequence_at_the_edges_of_utf_8_is_decoded_or_refused_as_python_does() -> None:
    """Overlong forms, surrogates, what lies beyond U+10FFFF: all pairs of bytes, then all second bytes of the leads with rules."""
    edges = b"\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0"
    pairs = itertools.product(range(256), repeat=2)
    triples = itertools.product(b"\xc2\xdf\xe0\xe1\xec\xed\xee\xef", range(256), edges)
    fours = itertools.product(b"\xf0\xf1\xf3\xf4\xf5", range(256), b"\x7f\x80\xbf\xc0", b"\x7f\x80\xbf\xc0")
    text = b"".join(bytes(sequence) + b"a " for sequence in itertools.chain(pairs, triples, fours))
    decoded = text.decode("utf-8", "surrogateescape")
    stream, scanner = scanned(text)
    assert first_difference([word for word in stream if word], reference(decoded)) is None
    assert scanner.bad_bytes == sum(0xDC80 <= ord(ch) <= 0xDCFF for ch in decoded)


def test_a_character_that_breaks_off_at_the_end_is_bad_and_does_not_reach_into_the_next_text() -> None:
    scanner = Scanner("file")
    scanner.feed("a飞".encode()[:-1])
    scanner.end_unit()
    scanner.feed("机".encode()[1:] + b"b")
    scanner.end_unit()
    assert scanner.bad_bytes == 2 + 2
    assert [scanner.word(k) for k in range(scanner.n_words)] == [b"a", b"b"]


# Long words


@given(st.sampled_from("aé飞𠀀"), st.integers(MAX_WORD_BYTES - 5, MAX_WORD_BYTES + 5), st.integers(0, 1020))
def test_words_over_1000_bytes_are_dropped_and_counted(ch: str, n_bytes: int, cut: int) -> None:
    word = "b" * (n_bytes % len(ch.encode())) + ch * (n_bytes // len(ch.encode()))
    text = f"x {word} y".encode()
    stream, scanner = scanned(text[:cut], text[cut:])
    assert len(word.encode()) == n_bytes
    assert stream == (["x", word, "y", None] if n_bytes <= MAX_WORD_BYTES else ["x", "y", None])
    assert scanner.dropped_words == (n_bytes > MAX_WORD_BYTES)


def test_a_word_of_megabytes_is_dropped_once() -> None:
    stream, scanner = scanned(b"x " + b"y" * 3_000_000 + b" z")
    assert (stream, scanner.dropped_words) == (["x", "z", None], 1)


# Units


def units(text: str, unit: str) -> list[list[str]]:
    """Lines, paragraphs (parted by lines without a visible character) or the whole, those without words left out."""
    parts = {"line": "\n", "paragraph": r"\n[ \t\r\v\f]*\n", "file": r"(?!)"}[unit]
    return [found for part in re.split(parts, text) if (found := reference(part))]


@given(st.text("ab.\n\n\n \r\t", max_size=40), st.sampled_from([*UNITS]))
@example("a\n.\nb", "paragraph")
def test_units_are_lines_paragraphs_or_files(text: str, unit: str) -> None:
    stream, _ = scanned(text.encode(), unit=unit)
    flat = [word for part in units(text, unit) for word in [*part, None]]
    assert stream == flat


def test_every_file_is_a_unit_of_its_own() -> None:
    """Also where the first has no newline at its end, and where one is empty."""
    for unit in UNITS:
        scanner = Scanner(unit)
        for text in (b"a", b"", b"b\n\n", b"c"):
            scanner.feed(text)
            scanner.end_unit()
        assert scanner.ids().tolist() == [0, EDGE, 1, EDGE, 2, EDGE]


# Many words


def test_numbers_are_given_in_order_of_first_appearance_however_many_words_there_are() -> None:
    """300,000 distinct words: the hash table (2^17 places at first), the arena and the list of starts all grow."""
    n = 300_000
    text = " ".join(f"w{k}" for k in range(n)).encode()
    scanner = Scanner("file")
    scanner.feed(text + b" ")
    scanner.feed(text)
    scanner.end_unit()
    assert scanner.n_words == n
    assert scanner.ids().tolist() == [*range(n), *range(n), EDGE]
    assert all(scanner.word(k) == b"w%d" % k for k in range(0, n, 997))


def test_a_text_of_long_words_only_fits_too() -> None:
    """The arena grows by what a piece can bring at most: words of 1000 bytes, and letters that get longer when lowered."""
    text = " ".join(f"{k:04d}" + "Ⱥ" * 498 for k in range(500))
    stream, scanner = scanned(text.encode())
    assert stream == []  # 4 + 498 * 3 bytes in lower case
    assert scanner.dropped_words == 500
    assert words(text.replace("Ⱥ" * 498, "Ⱥ" * 332).encode()) == [f"{k:04d}" + "ⱥ" * 332 for k in range(500)]
