"""Every door reads by the same rule: files of all kinds, streams, lists, dictionaries, in every spelling that looks the same."""

from __future__ import annotations

import bz2
import gzip
import html
import io
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unicodedata import normalize

import pytest

from thalweg.words.text.reading import read

EXPECTED = {"café": 6, "naïve": 6, "cooperate": 6, "οδος": 6, "i̇zmir": 6, "love": 6, "you": 6}
SPELLINGS = [
    "café naïve cooperate οδος i̇zmir love❤️you",
    normalize("NFD", "Café naïve coop\u00aderate ΟΔΟΣ İzmir love❤️you"),
    "CAFÉ nai\u0308ve co\u2060operate\ufeff Οδος I\u0307zmir love❤️\ufe0fyou",
]
TEXT = "\n".join(SPELLINGS * 2)


def file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def piped(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(TEXT.encode()), isatty=lambda: False))
    return "-"


def tagged(text: str) -> str:
    """Each letter that is not ASCII as an entity, and tags within words, which join on."""
    paragraphs = "".join(f"<p>{html.escape(line)}</p>" for line in text.split("\n"))
    return "".join(ch if ord(ch) < 128 else f"&#x{ord(ch):x};" for ch in paragraphs).replace("ooper", "oo<b>per</b>")


DOORS: dict[str, Callable[[Path, Any], Any]] = {
    "text": lambda path, _: file(path / "a.txt", TEXT.encode()),
    "text, CR": lambda path, _: file(path / "a.txt", TEXT.replace("\n", "\r").encode()),
    "text, U+2028": lambda path, _: file(path / "a.txt", TEXT.replace("\n", "\u2028").encode()),
    "UTF-16": lambda path, _: file(path / "a.txt", TEXT.encode("utf-16")),
    "gzip": lambda path, _: file(path / "a.txt.gz", gzip.compress(TEXT.encode())),
    "bzip2": lambda path, _: file(path / "a.txt.bz2", bz2.compress(TEXT.encode())),
    "xz": lambda path, _: file(path / "a.txt.xz", lzma.compress(TEXT.encode())),
    "HTML": lambda path, _: file(path / "a.html", tagged(TEXT).encode()),
    "JSON lines": lambda path, _: file(path / "a.jsonl", "\n".join(json.dumps({"text": line}) for line in SPELLINGS * 2).encode()),
    "standard input": lambda _, monkeypatch: piped(monkeypatch),
    "texts": lambda path, _: SPELLINGS * 2,
    "a generator": lambda path, _: iter(SPELLINGS * 2),
}


@pytest.mark.parametrize("language", ["words", "zh"])
@pytest.mark.parametrize("door", DOORS)
def test_every_door_reads_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: str, language: str) -> None:
    """Six lines, three spellings of the same words: seven words, six times each."""
    corpus = DOORS[door](tmp_path, monkeypatch)
    encoding = "utf-16" if door == "UTF-16" else "utf-8"
    tokens = read(Path(corpus) if isinstance(corpus, str) else corpus, language=language, encoding=encoding, min_count=1)
    assert dict(zip(tokens.words, tokens.counts.tolist(), strict=True)) == EXPECTED
    assert (tokens.ids == -1).sum() == 6


def test_a_dictionary_is_read_as_the_text_is(tmp_path: Path) -> None:
    """Full width and compatibility ideographs, in the dictionary and in the text."""
    (tmp_path / "dict.txt").write_text("ＣＰ处理器\n音\uf914节\n", encoding="utf-8")
    tokens = read(["CP处理器和音樂节 ＣＰ处理器和音\uf914节"] * 5, user_dict=tmp_path / "dict.txt", language="zh", min_count=1)
    assert dict(zip(tokens.words, tokens.counts.tolist(), strict=True)) == {"cp处理器": 10, "和": 10, "音樂节": 10}
    assert len(tokens.report.user_words) == 2
