"""Text to tokens: the byte automaton against the definition of what a word is, character by character."""

from __future__ import annotations

import itertools
import re
from unicodedata import category, normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thalweg.words.text.characters import Characters
from thalweg.words.text.tokens import EDGE, MAX_WORD_BYTES, UNITS, Scanner

NEARLY_UTF8 = st.lists(
    st.sampled_from([bytes([b]) for b in b"aZ5 \n\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xed\xef\xf0\xf4\xf5\xff"])
    | st.sampled_from(["é", "飞", "\ud7ff", "\ue000", "𠀀", "\U0010ffff"]).map(str.encode),
    max_size=40,
).map(b"".join)  # bytes at the edges of the ranges that UTF-8 allows


SEEN = {*map(chr, range(0x600, 0x606)), *"\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\u200b"}  # of format characters
UNSEEN = {*"\u034f\u17b4\u17b5\u180f", *map(chr, [*range(0x180B, 0x180E), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])}
SIGNS = {"'": "'", "\u2019": "'", "\uff07": "'", "·": "·", "\u0387": "·", "-": "-", "\u2010": "-", "\u2011": "-"}


def reference(text: str, join: str = "") -> list[str]:
    """The definition of a word: `thalweg.words.text.characters`."""
    found, word, sign = [], "", ""
    for ch in text + " ":
        kind = category(ch)
        if ch in UNSEEN or (kind == "Cf" and ch not in SEEN and ch not in "\u200c\u200d"):
            continue
        if kind[0] == "M" or ch in "\u200c\u200d":
            word += ch if word and not sign else ""
        elif kind[0] in "LN" and ch not in "\u3164\uffa0":
            if sign and ch in "0123456789":
                found, word, sign = [*found, word], "", ""
            word, sign = word + sign + ch, ""
        elif SIGNS.get(ch, " ") in join and word and not sign and word[-1] not in "0123456789":
            sign = SIGNS[ch]
        else:
            found += [word] * bool(word)
            word, sign = "", ""
    forms = [Characters().canonical(word) if set("\u200c\u200d") & set(word) else normalize("NFC", word).lower() for word in found]
    forms = [normalize("NFC", form) for form in forms]
    return [form for form in forms if len(form.encode()) <= MAX_WORD_BYTES]


def scanned(
    *texts: bytes, unit: str = "file", rule: Characters | None = None, little: bool = False
) -> tuple[list[str | None], Scanner]:
    """The stream of words, None between units; every text is fed piece by piece and then ends."""
    scanner = Scanner(unit, rule, little=little)
    for text in texts:
        scanner.feed(text)
    scanner.end_unit()
    return [None if k == EDGE else scanner.word(int(k)).decode() for k in scanner.ids()], scanner


def words(text: bytes, rule: Characters | None = None, little: bool = False) -> list[str]:
    stream, _ = scanned(text, rule=rule, little=little)
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


# Letters with and without accents in both forms, letters that depend on their neighbours, marks, joiners, signs, what nobody sees.
TELLING = st.text(
    st.sampled_from("aZée\u0301\u0323ΣσςİIi\u0307Åå\u212b가\u1100\u1161\u11a8\u0928\u093c\u094d\u0958\u05d1\u05b0می\u200c\u200d")
    | st.sampled_from("1٣ 飞樂'’·-.❤\ufe0f\u20e3\u00ad\ufeff\u2060\u200b\u034f\n\u3164")
    | st.characters(),
    max_size=12,
)


@given(st.text() | TELLING)
@example("Ⱥ ß İ ﬁ Ǆ K")  # lower case that is longer, two characters, or shorter
@example("a\ufeffb\u200dc\u0301d")
@example("a\u0301" * 400)  # as long as a word may be, in more bytes than it has in the end
def test_words_are_those_of_the_definition(text: str) -> None:
    assert words(text.encode("utf-8", "replace")) == reference(text.encode("utf-8", "replace").decode())


@given(TELLING, st.sampled_from(["'", "'-", "·", "'·-"]))
@example("don't don’t 'tis dogs' rock-n-roll x--y l·l a-\u0301b covid-19 3-4 o\u2019\u00adclock", "'·-")
def test_signs_join_two_letters_where_asked(text: str, join: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert words(text.encode(), Characters(join=join)) == reference(text, join)


@given(TELLING)
def test_a_few_words_are_read_as_python_as_they_are_read_compiled(text: str) -> None:
    """A question is cut by the same code as a corpus, uncompiled."""
    data = text.encode("utf-8", "replace")
    for rule in (Characters(), Characters(lower=False, digits=False, join="'"), Characters(lower=False, spaced=True)):
        assert words(data, rule, little=True) == words(data, rule)


@given(TELLING)
def test_composed_and_decomposed_text_is_one(text: str) -> None:
    """Windows writes é as one character, macOS as two: NFC and NFD are the same text, and so are its words."""
    text = text.encode("utf-8", "replace").decode()
    for rule in (Characters(), Characters(lower=False), Characters(digits=False), Characters(join="'·-")):
        assert (
            words(normalize("NFC", text).encode(), rule)
            == words(normalize("NFD", text).encode(), rule)
            == words(text.encode(), rule)
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i love❤️you", ["i", "love", "you"]),  # the selector belongs to the heart
        ("x👩🏽\u200d🔬y", ["x", "y"]),
        ("co\u00adoperate \u2060no\ufeffbreak\u2060", ["cooperate", "nobreak"]),
        ("می\u200cخواهم می\u200c", ["می\u200cخواهم", "می"]),  # seen between letters that would join, not at the end
        ("برادر\u200cها", ["برادرها"]),  # re joins nothing: it looks the same without
        ("क\u094d\u200dष Auf\u200clage", ["क\u094d\u200dष", "auflage"]),  # beside a virama it says which form is meant
        ("İSTANBUL i\u0307stanbul", ["i\u0307stanbul"] * 2),
        ("ΟΔΟΣ οδος ΣΟΦΟΣ", ["οδος", "οδος", "σοφος"]),
        ("葛\U000e0100城 葛城", ["葛城", "葛城"]),
        ("a\u200bb", ["a", "b"]),  # a space without width is a space
        ("\u0301a \u0301", ["a"]),
        ("\uf914 樂", ["樂", "樂"]),  # the same ideograph for the sake of an older standard
    ],
)
def test_what_is_one_word_on_the_screen_is_one_word(text: str, expected: list[str]) -> None:
    assert words(text.encode()) == expected


def test_nul_separates() -> None:
    assert words(b"a\0b") == ["a", "b"]


def test_tokenised_text_is_cut_at_ascii_white_space_and_line_ends_and_nowhere_else() -> None:
    """Language "whitespace": every other character is kept, in every plane, in canonical composition."""
    text = " ".join(ch for ch in EVERY_CHARACTER[1:] if ord(ch) < 0x33000 or ord(ch) % 61 == 0)
    stream, _ = scanned(text.encode(), rule=Characters(lower=False, spaced=True))
    expected = [normalize("NFC", word) for word in re.split("[ \t\n\r\v\f\x85\u2028\u2029]+", text)]
    assert first_difference([word for word in stream if word], expected) is None


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
    text = re.sub("\r\n|[\r\v\f\x85\u2028]", "\n", text).replace("\u2029", "\n\n")
    parts = {"line": "\n", "paragraph": r"\n[ \t]*\n", "file": r"(?!)"}[unit]
    return [found for part in re.split(parts, text) if (found := reference(part))]


@given(st.text("ab.\n\n\n \r\r\t\v\f\x85\u2028\u2029", max_size=40), st.sampled_from([*UNITS]), st.integers(0, 60))
@example("a\n.\nb", "paragraph", 0)
@example("a\r\n \r\nb", "paragraph", 2)
def test_units_are_lines_paragraphs_or_files(text: str, unit: str, cut: int) -> None:
    """However lines end: a window never crosses an end that Unicode calls mandatory; CR LF is one, U+2029 ends a paragraph."""
    scanner, data = Scanner(unit), text.encode()
    scanner.feed(data[:cut])
    scanner.feed(data[cut:])
    scanner.end_unit()
    stream = [None if k == EDGE else scanner.word(int(k)).decode() for k in scanner.ids()]
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
