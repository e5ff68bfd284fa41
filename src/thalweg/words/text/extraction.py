"""Text out of files that are more than text: HTML and JSON lines, block by block, in bounded memory.

Each function takes and yields blocks of UTF-8 with the bytes of the file read so far; undecodable bytes pass through, so that they
are counted where all others are.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

from thalweg.errors import InputError
from thalweg.words.text.corpus import Report, Source
from thalweg.words.text.encodings import check_encoding

Blocks = Iterator[tuple[bytes, int]]

_LONGEST = 16 << 20  # bytes of a line of JSON
_PIECE = 1 << 16  # characters parsed at a time
_PENDING = 1 << 18  # characters of a tag, comment or script whose end has not come yet: its expressions take 80 bytes for each
_ENDS = 1 << 10  # of a longer one so much is kept at both ends
_HEAD = 1 << 16  # bytes in which a page names its encoding
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_CHARSET = re.compile(
    rb"<meta\s(?:(?!name\s*=)[^<>])*?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})|<\?xml\s[^<>]*?encoding\s*=\s*[\"']([\w.:-]{1,40})",
    re.IGNORECASE | re.ASCII,
)
_NO_CHARSETS = ("utf-8", "idna", "unicode_escape", "raw_unicode_escape")  # UTF-8 is known by its bytes; Python's own are none
_LABELS = {  # charset of a page, or Python's name of it -> Python's name of what browsers read
    **dict.fromkeys(["ascii", "iso8859-1"], "cp1252"),
    "iso8859-9": "cp1254",
    **dict.fromkeys(["iso8859-11", "tis-620", "windows-874"], "cp874"),
    **dict.fromkeys(["x-sjis", "windows-31j"], "cp932"),
    "x-euc-jp": "euc_jp",
    "windows-949": "cp949",
    "x-gbk": "gb18030",
    "x-x-big5": "cp950",
}
_LINE, _PARAGRAPH = "\n", "\n\n"
_PARAGRAPHS = [
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html",
    "legend", "li", "main", "menu", "nav", "ol", "optgroup", "p", "pre", "section", "summary", "table", "tbody", "textarea",
    "tfoot", "thead", "title", "tr", "ul",
]  # fmt: skip
_SPACES = ["button", "iframe", "img", "input", "label", "noscript", "object", "select", "svg", "td", "template", "th", "video"]
_BREAKS = {  # what an element puts between its text and what stands around it; those not named join on
    **dict.fromkeys(_PARAGRAPHS, _PARAGRAPH),
    **dict.fromkeys(["br", "option"], _LINE),
    **dict.fromkeys(_SPACES, " "),
}
_SPACED = str.maketrans("\n\r\f", "   ")  # white space of HTML
_AS_TYPED = ("pre", "textarea")  # elements in which a line break is one


def html(blocks: Blocks, key: str, report: Report) -> Blocks:
    """The text content of HTML: without scripts and styles, entities resolved; headings, paragraphs, items and cells end."""
    parser, decoder = _Text(), codecs.getincrementaldecoder("utf-8")("surrogateescape")
    done = 0
    for block, done in blocks:
        text = decoder.decode(block)
        for k in range(0, len(text), _PIECE):
            parser.feed(text[k : k + _PIECE])
            parser.bound()
        yield parser.taken(), done
    parser.feed(decoder.decode(b"", True))
    parser.end()
    yield parser.taken(), done


def declared(start: bytes) -> str | None:
    """The encoding that a page names at its start, <meta charset=...> or <?xml encoding=...?>, if it is none of Unicode's own.

    Names mean what browsers take them for (WHATWG's Encoding Standard): iso-8859-1 is Windows' code page, gb2312 all of GB 18030.
    """
    found = _CHARSET.search(_COMMENT.sub(b"", start[:_HEAD]))
    if found is None:
        return None
    label = (found[1] or found[2]).decode().lower()
    try:
        name = check_encoding(_LABELS.get(label, label))
        name = _LABELS.get(name, name)
        readable = "<meta>".encode(name) == b"<meta>"  # as it was up to here
    except (InputError, UnicodeError):
        return None
    return name if readable and name not in _NO_CHARSETS else None


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._typed = 0  # elements around, in which a line break is one

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:  # not in a script or style
            self._parts.append(data if self._typed else data.translate(_SPACED))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._parts.append(_BREAKS.get(tag, ""))
        self._typed += tag in _AS_TYPED

    def handle_endtag(self, tag: str) -> None:
        self._parts.append(_BREAKS.get(tag, ""))
        self._typed = max(0, self._typed - (tag in _AS_TYPED))

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """<![...: Python's parser gives up on names that it does not know; HTML says that it is a comment."""
        return int(self.parse_bogus_comment(i, bool(report)))

    def bound(self) -> None:
        """Cut out the middle of a tag, comment or script without end: it goes on being one, and memory stays bounded."""
        if len(self.rawdata) > _PENDING:
            self.rawdata = self.rawdata[:_ENDS] + self.rawdata[-_ENDS:]

    def end(self) -> None:
        """The text ends; a tag or comment that has no end is none of it (and Python's parser would read it again and again)."""
        if self.cdata_elem is None and not self.rawdata.startswith("<"):
            self.close()

    def taken(self) -> bytes:
        """The text since the last call."""
        text, self._parts = "".join(self._parts), []
        return text.encode("utf-8", "surrogateescape")


def json_lines(blocks: Blocks, key: str, report: Report) -> Blocks:
    """Every string under `key` in every line, each a paragraph of its own; lines that are not JSON are left out and counted."""
    rest, too_long, done = b"", False, 0
    for block, done in blocks:
        *lines, rest = (rest + block).split(b"\n")
        if lines and too_long:  # the end of a line of which the beginning is gone
            lines, too_long = lines[1:], False
        yield b"".join(_text_of(line, key, report) for line in lines), done
        if too_long or len(rest) > _LONGEST:
            report.bad_lines += not too_long
            rest, too_long = b"", True
    yield b"" if too_long else _text_of(rest, key, report), done


def _text_of(line: bytes, key: str, report: Report) -> bytes:
    if not line.strip():
        return b""
    try:
        found = list(_strings(json.loads(line.decode("utf-8", "surrogateescape")), key, False))
    except (ValueError, RecursionError):
        report.bad_lines += 1
        return b""
    text = "".join(string + _PARAGRAPH for string in found)
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair of surrogates, written as an escape: no character
        return text.encode("utf-8", "replace")


def _strings(value: Any, key: str, below: bool) -> Iterator[str]:
    """The strings under a key, wherever it stands, in order. below: the value stands under it."""
    if isinstance(value, str):
        if below:
            yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _strings(part, key, below or name == key)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part, key, below)


FORMS: dict[str, Callable[[Blocks, str, Report], Blocks]] = {  # the end of a name -> how its text is taken out
    ".html": html,
    ".htm": html,
    ".jsonl": json_lines,
}


def text_of(source: Source, blocks: Blocks, key: str, report: Report) -> Blocks:
    """The text in a source that is one of FORMS; a file without any is named in the report."""
    any_text = False
    for text, done in FORMS[source.form](blocks, key, report):
        any_text = any_text or bool(text.strip())
        yield text, done
    if not any_text:
        where = (
            f"JSON lines without a string under the key {key!r} (--json-key)" if source.form == ".jsonl" else "HTML without text"
        )
        report.skipped.append((source.name, where))


__all__ = ["FORMS", "declared", "html", "json_lines", "text_of"]
