"""Text out of HTML and JSON lines: what is text, what separates, and memory that stays bounded."""

from __future__ import annotations

import gzip
import html
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from thalweg.cli import program
from thalweg.errors import InputError
from thalweg.words.text import corpus, extraction
from thalweg.words.text.corpus import Report
from thalweg.words.text.reading import Tokens, read

MARKUP = ["<p>", "</p>", "<b", "<!--", "-->", "<![CDATA[", "<![foo", "<!x", "</", "<script>", "</script", ">", "<?", "&", "&#", "&lt;", "a b", "\n", "<", '"', "é", "<pre>"]  # fmt: skip  # noqa: E501


def blocks(data: bytes, size: int) -> Iterator[tuple[bytes, int]]:
    return ((data[k : k + size], k + size) for k in range(0, len(data), size))


def text_of(data: bytes | str, form: str = ".html", size: int = 1 << 20, key: str = "text", report: Report | None = None) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return b"".join(text for text, _ in extraction.FORMS[form](blocks(data, size), key, report or Report()))


def units(tokens: Tokens) -> list[str]:
    text = " ".join(tokens.words[k] if k >= 0 else "|" for k in tokens.ids)
    return [part.strip() for part in text.split("|")]


# HTML


def test_html_is_its_text() -> None:
    page = """<!doctype html><html><head><title>A title</title><style>p {color: red}</style>
    <script>var x = "<p>no</p>";</script></head><body class="a &gt; b"><!-- no <p> --><h1>Head&shy;ing</h1>
    <p>One <b>bo</b>ld&nbsp;word &amp; caf&eacute; &#39134;&#x673a;.<br>Next</p><ul><li>item<li>other</ul>
    <table><tr><td>left<td>right</table><pre>two
lines</pre><p>broken
off</body>"""
    lines = [" ".join(line.split()) for line in text_of(page).decode().splitlines() if line.strip()]
    assert lines == [
        "A title", "Head\xading", "One bold word & café 飞机.", "Next", "item", "other", "left right", "two", "lines", "broken off"
    ]  # fmt: skip


def test_paragraphs_of_html_are_units_and_its_line_breaks_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>one\ntwo</p><p>three <i>four</i></p>")
    for unit in ("line", "paragraph"):
        assert units(read(tmp_path, min_count=1, unit=unit))[:2] == ["one two", "three four"]
    assert units(read(tmp_path, min_count=1, unit="file"))[0] == "one two three four"


@given(st.lists(st.sampled_from(MARKUP), max_size=30).map("".join), st.integers(1, 40))
@example("<![foo[ x ]]> text", 3)
@example("a&#38", 1)
def test_any_text_is_taken_as_html_and_the_blocks_change_nothing(text: str, size: int) -> None:
    """No fault of a page is an error, and scripts and comments never end because a block does."""
    whole = text_of(text).split()
    assert b" ".join(text_of(text, size=size).split()) == b" ".join(whole)


@given(st.text("ab<>&;\"' é飞#x1\n", max_size=40))
def test_escaped_text_comes_back(text: str) -> None:
    assert text_of(f"<div>{html.escape(text)}</div>").decode().split() == text.split()


def test_bytes_that_are_not_utf_8_reach_the_scanner(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"<p>one two</p> " * 9 + b"<p>caf\xe9 two</p>")
    tokens = read(tmp_path / "a.html", min_count=1)
    assert (tokens.report.bad_bytes, "caf" in tokens.words) == (1, True)


@pytest.mark.parametrize("start", ["<!--", "<script>", '<img src="', "<style>", "<a ", "<?", "</"])
def test_a_tag_without_an_end_is_no_text_and_takes_no_memory(start: str) -> None:
    """A picture within a page may be a hundred megabytes of one attribute."""

    def endless() -> Iterator[tuple[bytes, int]]:
        yield b"<p>before</p>" + start.encode(), 0
        for _ in range(5 if start == "<a " else 30):  # names of attributes take the longest
            yield b"abc+/ def" * 100_000, 0

    tracemalloc.start()
    found = b"".join(text for text, _ in extraction.html(endless(), "", Report()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.split() == [b"before"]
    assert peak < 40 << 20


def test_many_tags_without_an_end_are_read_in_time_that_grows_with_the_text() -> None:
    """Python's parser looks for the end of each of them again when the text is over."""
    assert text_of("text " + "<a " * 300_000).split() == [b"text"]
    assert text_of("text " + "<!--" * 300_000).split() == [b"text"]


# JSON lines


def test_json_lines_give_every_string_under_the_key(tmp_path: Path) -> None:
    lines = [
        {"text": "one two", "title": "no"}, {"meta": {"text": ["three", {"any": "four"}, 5]}}, {"title": "no"}, {"text": None},
        {"text": "five\nsix \ud83d\ude00"},
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n\n".join(json.dumps(line) for line in lines))
    tokens = read(tmp_path, min_count=1)
    assert units(tokens)[:-1] == ["one two", "three", "four", "five", "six"]
    assert (tokens.report.bad_lines, tokens.report.n_files) == (0, 1)
    with pytest.raises(InputError, match=r"a.jsonl is JSON lines without a string under the key 'body'"):
        read(tmp_path, json_key="body")


def test_lines_that_are_not_json_are_counted_and_left_out(tmp_path: Path) -> None:
    good = b'{"text": "one two"}\n'
    bad = [b"{", b"plain text", b'{"text": "cut', b"[" * 100_000, b'{"text": 1' + b"0" * 5000 + b"}", b"\xff"]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(good + b"\n".join(bad) + b"\r\n" + good.strip()))
    result = CliRunner().invoke(
        program, ["words", "count", str(tmp_path), "--out", str(tmp_path / "out"), "--min-count", "1", "--json"]
    )
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)["result"]
    assert (value["bad_lines"], value["n_words"]) == (6, 2)
    assert "6 lines are not JSON and were left out" in result.stderr


@given(st.lists(st.text(max_size=20) | st.just("x\ud800"), min_size=1, max_size=8), st.integers(1, 50), st.booleans())
def test_the_strings_of_json_lines_come_back_wherever_the_blocks_end(strings: list[str], size: int, ascii_only: bool) -> None:
    lines = "\n".join(json.dumps({"text": text}, ensure_ascii=ascii_only or "\ud800" in "".join(strings)) for text in strings)
    expected = " ".join(strings).replace("\ud800", "?").split()
    assert text_of(lines, ".jsonl", size).decode().split() == expected


def test_a_line_that_does_not_end_is_left_out_and_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "_LONGEST", 1000)
    report = Report()
    data = '{"text": "one"}\n{"text": "' + "x" * 9000 + '"}\n{"text": "two"}\n{"text": "' + "y" * 5000
    assert text_of(data, ".jsonl", 100, report=report).split() == [b"one", b"two"]
    assert report.bad_lines == 2


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030"])
def test_encodings_are_decoded_before_text_is_taken_out(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.htm").write_bytes("<p>飞机 两个</p>".encode(encoding))
    (tmp_path / "b.jsonl").write_bytes('{"text": "飞机 三个"}'.encode(encoding))
    assert set(read(tmp_path, encoding=encoding, language="words", min_count=1).words) == {"飞机", "两个", "三个"}


def test_a_page_without_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<img src=x>")
    (tmp_path / "b.txt").write_text("one two")
    assert read(tmp_path, min_count=1).report.skipped == [(str(tmp_path / "a.html"), "HTML without text")]


def test_plain_text_is_not_taken_apart(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text('<p>one</p> {"text": "two"}')
    assert set(read(tmp_path, min_count=1).words) == {"p", "one", "text", "two"}
    assert corpus.SUFFIXES[-1] in extraction.FORMS


def test_what_is_not_shown_separates() -> None:
    """<template> and <noscript> joined the words around them."""
    for tag in ("template", "noscript"):
        assert text_of(f"<p>one<{tag}>two</{tag}>three</p>").split() == [b"one", b"two", b"three"]


def test_a_page_that_is_not_utf_8_is_read_as_it_says(tmp_path: Path) -> None:
    """Its <meta charset> counts where decoding as UTF-8 fails, and only there."""
    for k, declared in enumerate(['<meta charset="gb18030">', "<META http-equiv=x content='text/html; charset=GBK'>"]):
        (tmp_path / f"{k}.html").write_bytes(f"<html>{declared}<p>广州 广州 飞机 飞机".encode("gb18030"))
        assert set(read(tmp_path / f"{k}.html", min_count=1).words) == {"广州", "飞机"}
    (tmp_path / "u.html").write_text("<meta charset=latin-1><p>café café olé", encoding="utf-8")
    assert read(tmp_path / "u.html", min_count=1).words == ["café", "olé"]
    for name in (b"utf-16", b"idna", b"rot13", b"x", b""):
        assert extraction.declared(b"<meta charset=" + name + b">\xe9") is None
