"""In which encoding a file is: what it says of itself beats what somebody says of all files.

    a mark (byte order mark)  >  valid UTF-8  >  the charset that a page of HTML names  >  --encoding

So a folder of files in different encodings can be read with one `--encoding`, which is for the rest, and no file is decoded as
what it is not. Without one (UTF-8) a file in another encoding is left out and named, with the option that reads it. Undecodable
bytes become spaces, and are counted.
"""

from __future__ import annotations

import codecs
import itertools
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from thalweg.errors import InputError
from thalweg.words.text.corpus import NOT_TEXT, Report

Blocks = Iterator[tuple[bytes, int]]

BINARY_SHARE = 0.1  # more undecodable bytes than this in the first 64 KiB: not text, or not in this encoding
MARKS = {  # the longest first: that of UTF-16 begins that of UTF-32
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"\x84\x31\x95\x33": "gb18030",
}
_WIDER = {  # names that are used for more than the standard of that name holds -> the encoding that has all of it
    "gb2312": "gb18030",
    "big5": "cp950",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
}
_SEVEN_BITS = ("utf-7", "hz", "iso2022")  # their text is ASCII too, and no less what was asked for
_START = 1 << 16
_SPACES = " \t\n\r"  # one of them stands in any text


def check_encoding(encoding: str) -> str:
    """The codec's name, or that of one that decodes the same and more.

    Raises InputError for one that Python does not know or that does not decode bytes to text.
    """
    try:
        info = codecs.lookup(encoding)
        "".encode(encoding)
    except (LookupError, UnicodeError, TypeError):
        msg = f"there is no encoding {encoding!r}; common ones are utf-8, gb18030, utf-16, latin-1"
        raise InputError(msg) from None
    return _WIDER.get(info.name, info.name)


def marked(start: bytes) -> str | None:
    """The encoding whose mark stands at the start of a file."""
    return next((name for mark, name in MARKS.items() if start.startswith(mark)), None)


def is_utf8(data: bytes, whole: bool = False) -> bool:
    """Whether data are UTF-8, but for damage to a hundredth of what is more than ASCII. whole: they end where a text does."""
    if b"\0" in data:
        return False
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data, whole)
    bad = sum("\udc80" <= ch <= "\udcff" for ch in text) if not _encodes(text) else 0
    return bad == 0 or 100 * bad < sum(ch > "\x7f" for ch in text)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_utf8(blocks: Blocks, given: str, charset: str | None, name: str, report: Report) -> Blocks | str:
    """The blocks of a file as UTF-8 without a mark, or the reason why they are left out.

    given: what --encoding says; charset: what a page of HTML says of itself.
    """
    first = next(blocks, (b"", 0))
    start, blocks = first[0], itertools.chain([first], blocks)
    mark = marked(start)
    asked = given if charset is None else charset
    if asked == "utf-8" and (mark in (None, "utf-8")):
        if reason := why_not_text(start):
            return reason
        return _counted(_without_mark(blocks), "utf-8", report)
    if given == "utf-8" and charset is None:  # nobody spoke of other encodings: a person is asked before they are read
        return f"text in {str(mark).upper()}: pass --encoding {mark}"
    if mark is not None:
        asked = mark
    else:
        if start.isascii() and b"\0" not in start and not asked.startswith(_SEVEN_BITS):
            return why_not_text(start) or _ascii_first(blocks, asked, name, report)
        if is_utf8(start) and not start.isascii():
            return _counted(blocks, "utf-8", report)
        if b"\0" in start and not asked.startswith(("utf-16", "utf-32")):
            return why_not_text(start) or "a binary file"
        if (share := _undecodable(start[:_START], asked)) > BINARY_SHARE:
            why = f"{share:.0%} of its first bytes cannot be decoded"
            return f"neither UTF-8 nor {asked} ({why}): a binary file, or pass another --encoding"
    return _decoded(_counted(blocks, asked, report), asked, name, report)


def _ascii_first(blocks: Blocks, asked: str, name: str, report: Report) -> Blocks:
    """Blocks as UTF-8; the first one that is more than ASCII shows in which of the two encodings they are."""
    for block, done in blocks:
        if not block.isascii() or b"\0" in block:
            encoding = "utf-8" if is_utf8(block) else asked
            rest = _counted(itertools.chain([(block, done)], blocks), encoding, report)
            yield from rest if encoding == "utf-8" else _decoded(rest, asked, name, report)
            return
        yield block, done
    _counted(blocks, "utf-8", report)


def _counted(blocks: Blocks, encoding: str, report: Report) -> Blocks:
    """The blocks; a file more in this encoding, if it holds anything."""
    report.encodings[encoding] = report.encodings.get(encoding, 0) + 1
    return blocks


def _without_mark(blocks: Blocks) -> Blocks:
    return ((text if k else text.removeprefix(codecs.BOM_UTF8), done) for k, (text, done) in enumerate(blocks))


def _undecodable(start: bytes, encoding: str) -> float:
    """The share of characters that cannot be decoded."""
    try:
        text = codecs.getincrementaldecoder(encoding)("replace").decode(start)
    except UnicodeError:
        return 1.0
    return text.count("\ufffd") / max(1, len(text))


def _decoded(blocks: Blocks, encoding: str, name: str, report: Report) -> Blocks:
    """Blocks in another encoding as UTF-8; what cannot be decoded becomes a space, and is counted."""
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)("replace")
    done = 0
    try:
        for block, done in blocks:
            yield _separated(decoder.decode(block), report), done
        yield _separated(decoder.decode(b"", True), report), done
    except UnicodeError as error:  # some of Python's codecs refuse to replace what they cannot decode, or want a byte order mark
        msg = f"{name} cannot be decoded as {encoding} ({error}): pass another --encoding"
        raise InputError(msg) from None


def _separated(text: str, report: Report) -> bytes:
    report.bad_bytes += text.count("\ufffd")
    return text.replace("\ufffd", " ").removeprefix("\ufeff").encode("utf-8", "replace")


def why_not_text(start: bytes) -> str | None:
    """Why the first bytes of a file are not those of a text in UTF-8, or None if they are."""
    start = start[:_START]
    if not start:
        return None
    if (mark := marked(start)) not in (None, "utf-8"):
        return f"text in {str(mark).upper()}: pass --encoding {mark}"
    for magic, what in NOT_TEXT.items():
        if start.startswith(magic):
            return what
    if b"\0" in start:
        if wide := _wide(start):
            return f"a binary file, or text in {wide.upper()} without a mark: pass --encoding {wide}"
        return "a binary file"
    if b"\x1b$" in start and start.isascii() and _undecodable(start, "iso2022_jp") == 0:
        return "text in ISO-2022-JP: pass --encoding iso2022_jp"
    good = start.decode("utf-8", "ignore").encode("utf-8")
    share = 1 - len(good) / len(start)
    if share > BINARY_SHARE:
        return (
            f"not UTF-8 ({share:.0%} of its first bytes cannot be decoded): a binary file, or pass --encoding, for example gb18030"
        )
    return None


def _wide(start: bytes) -> str | None:
    """UTF-32 or UTF-16, by what is read then: known characters, among which are spaces or line ends."""
    for name in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        width = 4 if "32" in name else 2
        try:
            text = codecs.getincrementaldecoder(name)().decode(start[: len(start) // width * width])
        except UnicodeError:
            continue
        strange = sum(unicodedata.category(ch) in ("Cn", "Co", "Cc") and ch not in _SPACES for ch in text)
        if 100 * strange <= len(text) and any(ch in _SPACES for ch in text):
            return name
    return None


def text_of_file(data: bytes, given: str, path: str | Path) -> str:
    """A small file as text: a test set, a dictionary. Raises InputError, naming --encoding, for one that is in no such encoding."""
    mark = marked(data)
    seven = data.isascii() and given.startswith(_SEVEN_BITS)
    encoding = mark or ("utf-8" if given == "utf-8" or (is_utf8(data, whole=True) and not seven) else given)
    try:
        return data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeError as error:
        place = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
        remedy = "name its encoding with --encoding, such as gb18030" if given == "utf-8" else "pass another --encoding"
        remedy = remedy if encoding in (given, mark) else "nearly all of it is, so mend it there"
        msg = f"{path} is not {'UTF-8' if encoding == 'utf-8' else encoding}{place}: {remedy}"
        raise InputError(msg) from None


def _is_exactly(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeError:
        return False
    return True


def words_of_file(tokens: Iterable[bytes], given: str, path: str | Path) -> tuple[list[str], int]:
    """The words of a file of vectors or of a vocabulary, and how many of them were damaged (what cannot be decoded is U+FFFD).

    All are UTF-8 if most of those are that are more than ASCII (the others are cut off or damaged then); else all are in the given
    encoding. Raises InputError if most of them are not.
    """
    raw = [*tokens]
    telling = [_is_exactly(token, "utf-8") for token in raw if not token.isascii()]
    encoding = "utf-8" if given == "utf-8" or 2 * sum(telling) > len(telling) or not telling else given
    words = [token.decode(encoding, "replace") for token in raw]
    damaged = sum("\ufffd" in word and not _is_exactly(token, encoding) for word, token in zip(words, raw, strict=True))
    if 2 * damaged > len(words):
        remedy = "name the encoding with --encoding, such as gb18030" if given == "utf-8" else "pass another --encoding"
        msg = f"{path}: {damaged:,} of {len(words):,} words are not {'UTF-8' if encoding == 'utf-8' else encoding}: {remedy}"
        raise InputError(msg)
    return words, damaged


__all__ = ["as_utf8", "check_encoding", "text_of_file", "why_not_text", "words_of_file"]
