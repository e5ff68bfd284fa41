"""A corpus to a vocabulary and a stream of word numbers.

Words are numbered by falling count, equal counts by their UTF-8 bytes, so the numbering does not depend on the order of reading.
Words rarer than `min_count` are taken out of the stream and the window closes up over them, as word2vec, GloVe and the source do.

Chinese has no spaces: with language "zh" the text goes through jieba's dictionary first (rjieba, without its model for unknown
words, so no word is invented), then through the same automaton as any other text.
"""

from __future__ import annotations

import codecs
import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, near_misses, whole_number
from thalweg.files import append, remove
from thalweg.jit import kernel
from thalweg.words import corpus as corpora
from thalweg.words.tokens import EDGE, MAX_WORD_BYTES, UNITS, Scanner, letters, nonspace

LANGUAGES = ("auto", "words", "zh", "whitespace")
_SHORT = 1 << 14  # characters
HAN_SHARE = 0.2  # more of the letters than this are Han: the text is taken as Chinese
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_LETTER = re.compile(r"[^\W\d_]")
_FULL_WIDTH = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
_HAS_FULL_WIDTH = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")
_UNDECODABLE = re.compile("[\udc80-\udcff]")


class Progress(Protocol):
    """Called now and then by long work: how much of `total` (None: unknown) is done, and figures by name."""

    def __call__(self, done: float, total: float | None, **numbers: Any) -> None: ...


@dataclass(frozen=True)
class Tokens:
    """words: (n_words,) by falling count; counts: (n_words,) int64; ids: (n,) int32, EDGE between units; n_read: tokens read."""

    words: list[str]
    counts: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]
    n_read: int
    report: corpora.Report


def fold(text: str) -> str:
    """Full-width letters and digits to ASCII, so that the dictionary knows them."""
    return text.translate(_FULL_WIDTH) if _HAS_FULL_WIDTH.search(text) else text


@functools.cache
def _other_script() -> re.Pattern[str]:
    """Finds runs of letters and marks that are not Han, with one at least that is not ASCII.

    A run begins where no ASCII letter stands before, so that finding one takes linear time.
    """
    points = np.flatnonzero(letters()[:-513] > 0)
    points = points[points > 0x7F]
    spans = np.split(points, np.flatnonzero(np.diff(points) > 1) + 1)
    other = "".join(f"\\U{span[0]:08x}-\\U{span[-1]:08x}" for span in spans)
    other = f"(?:(?!{_HAN.pattern})[{other}])"
    return re.compile(f"((?<![A-Za-z0-9])[A-Za-z0-9]*+{other}(?:[A-Za-z0-9]|{other})*+)")


def segment(text: str) -> list[str]:
    """A Chinese text as the pieces of jieba's dictionary (words, and whatever stands between them).

    Words of other scripts stay whole: jieba would cut Zürich at the ü, and Москва into letters.
    """
    import rjieba

    pieces: list[str] = []
    for k, part in enumerate(_other_script().split(fold(text))):
        pieces += rjieba.cut(part, False) if k % 2 == 0 else [part]
    return pieces


def words_of(text: str, language: str, *, lower: bool = True, digits: bool = True) -> list[str]:
    """The words of a text by the rule that a corpus of this language is read with."""
    joined = " ".join(segment(text)) if language == "zh" else text
    if len(joined) < _SHORT:  # what a person types: loading the compiled automaton takes two seconds
        return _words_by_definition(joined, language, lower, digits)
    scanner = Scanner("file", nonspace() if language == "whitespace" else letters(lower, digits))
    scanner.feed(joined.encode("utf-8", "replace"))
    scanner.end_unit()
    return [scanner.word(int(k)).decode("utf-8", "replace") for k in scanner.ids() if k >= 0]


def _words_by_definition(text: str, language: str, lower: bool, digits: bool) -> list[str]:
    """The definition in `thalweg.words.tokens`, character by character."""
    text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates are no text
    if language == "whitespace":
        found = re.split("[ \t\n\r\v\f\0]+", text)
    else:
        parts = "LMN" if digits else "LM"
        small = {ch: low if lower and len(low := ch.lower()) == 1 else ch for ch in set(text)}
        found = "".join(small[ch] if unicodedata.category(ch)[0] in parts else " " for ch in text).split(" ")
    return [word for word in found if word and len(word.encode("utf-8")) <= MAX_WORD_BYTES]


def detect(text: str) -> str:
    """The language "zh" if over a fifth of the letters are Han, else "words"."""
    n_letters = len(_LETTER.findall(text))
    return "zh" if len(_HAN.findall(text)) > HAN_SHARE * max(1, n_letters) else "words"


def read(
    corpus: Any,
    *,
    language: str = "auto",
    lower: bool = True,
    digits: bool = True,
    unit: str = "line",
    encoding: str = "utf-8",
    min_count: int = 5,
    max_words: int | None = None,
    spill: tuple[Path, int] | None = None,
    progress: Progress | None = None,
) -> Tokens:
    """Read a corpus: paths, or an iterable of texts or of token lists (`thalweg.words.fit` says what is what).

    lower: spell words in lower case; digits: numbers are parts of words, or separate them ("whitespace": neither is looked at).
    spill: a folder, and how many bytes of the stream may be held in memory; more goes to files there, and `ids` is mapped from one.

    Raises InputError if nothing is left to count, MissingFileError for a path that is not there.
    """
    if language not in LANGUAGES:
        msg = f"language={language!r} is not known.{near_misses(language, LANGUAGES)}"
        raise InputError(msg)
    if unit not in UNITS:
        msg = f"unit={unit!r} is not known.{near_misses(unit, UNITS)}"
        raise InputError(msg)
    min_count = whole_number("min_count", min_count, least=1)
    max_words = None if max_words is None else whole_number("max_words", max_words, least=2)
    report = corpora.Report()
    rule = _Rule(language, unit, lower, digits, spill)
    if corpora.is_text_list(corpus):
        scanner = _read_items(corpus, rule, report, progress)
    else:
        paths = [corpus] if not isinstance(corpus, (list, tuple)) else corpus
        found, codec = corpora.sources(paths, report), corpora.check_encoding(encoding)
        scanner = _read_sources(found, rule, codec, report, progress)
    report.bad_bytes += scanner.bad_bytes
    report.dropped_words = scanner.dropped_words
    if scanner.n_words == 0:
        raise corpora.nothing_left(report)
    return _with_vocabulary(scanner, min_count, max_words, report, spill)


@dataclass(frozen=True)
class _Rule:
    """How text becomes numbers."""

    language: str
    unit: str
    lower: bool
    digits: bool
    spill: tuple[Path, int] | None

    def scanner(self, language: str) -> Scanner:
        table = nonspace() if language == "whitespace" else letters(self.lower, self.digits)
        return Scanner(self.unit, table, None if self.spill is None else (self.spill[0] / "stream.i32", self.spill[1]))


def _read_sources(
    found: list[corpora.Source], rule: _Rule, encoding: str, report: corpora.Report, progress: Progress | None
) -> Scanner:
    total = sum(source.size for source in found) if all(source.size for source in found) else None
    texts = _texts(found, encoding, report)
    start: list[tuple[bytes | None, float]] = []  # the first MiB decides the language
    while sum(len(text) for text, _ in start if text) < corpora.BLOCK and (item := next(texts, None)) is not None:
        start.append(item)
    beginning = b"\n".join(text for text, _ in start if text)[: corpora.BLOCK]
    report.language = detect(beginning.decode("utf-8", "ignore")) if rule.language == "auto" else rule.language
    report.tokenizer = _tokenizer_name(report.language)
    scanner = rule.scanner(report.language)
    feeder = _Segmenter(scanner) if report.language == "zh" else scanner
    for text, done in itertools.chain(start, texts):
        if text is None:
            feeder.end_unit()
            continue
        feeder.feed(text)
        report.n_bytes += len(text)
        if progress is not None:
            progress(done if total else report.n_bytes, total, phase="reading", unit="bytes")
    if isinstance(feeder, _Segmenter):
        report.bad_bytes += feeder.bad_bytes
    return scanner


def _texts(found: list[corpora.Source], encoding: str, report: corpora.Report) -> Iterator[tuple[bytes | None, float]]:
    """The blocks of all sources as UTF-8, each with the bytes of files read until then; None where a source ends."""
    before = 0
    for source in found:
        blocks = source.blocks()
        first = next(blocks, (b"", 0))
        if encoding == "utf-8" and (reason := corpora.why_not_text(first[0])):
            report.skipped.append((source.name, reason))
            continue
        stream: Iterator[tuple[bytes, int]] = itertools.chain([first], blocks)
        if encoding != "utf-8":
            stream = corpora.decoded(stream, encoding, source.name, report)
        for k, (text, done) in enumerate(stream):
            yield text.removeprefix(codecs.BOM_UTF8) if k == 0 else text, before + done
        yield None, before
        before += source.size
        report.n_files += 1


def _tokenizer_name(language: str) -> str:
    if language != "zh":
        return {"words": "letters, marks and numbers", "whitespace": "white space"}[language]
    from importlib.metadata import version

    return f"rjieba {version('rjieba')}, dictionary only"


class _Segmenter:
    """Segments Chinese on its way into a scanner; keeps what follows the last line break for the next block."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._rest = ""
        self.bad_bytes = 0

    def feed(self, data: bytes, final: bool = False) -> None:
        text = self._rest + self._decoder.decode(data, final)
        end = len(text) if final else text.rfind("\n") + 1
        if end == 0 and len(text) > 4 * corpora.BLOCK:  # a very long line: cut where no word can reach across
            end = next((k for k in range(len(text), 0, -1) if not text[k - 1].isalnum()), len(text))
        self._rest = text[end:]
        text, n_bad = _UNDECODABLE.subn(" ", text[:end])
        self.bad_bytes += n_bad
        self._scanner.feed(" ".join(segment(text)).encode("utf-8"))

    def end_unit(self) -> None:
        self.feed(b"", final=True)
        self._decoder.reset()
        self._scanner.end_unit()


def _read_items(corpus: Any, rule: _Rule, report: corpora.Report, progress: Progress | None) -> Scanner:
    """An iterable of texts (each at least a unit of its own) or of token lists (each a unit, its tokens taken as they are)."""
    try:
        items: Iterator[Any] = iter(corpus)
    except TypeError:
        msg = f"a corpus is a path, or an iterable of texts or of token lists, not {type(corpus).__name__}"
        raise InputError(msg) from None
    report.sources.append(f"a Python {type(corpus).__name__}")
    start: list[Any] = []  # the first MiB decides the language
    while sum(len(item) for item in start) < corpora.BLOCK and (item := next(items, None)) is not None:
        start.append(_checked(item, len(start)))
    as_tokens = bool(start) and not isinstance(start[0], str)
    beginning = "" if as_tokens else "\n".join(item for item in start if isinstance(item, str))[: corpora.BLOCK]
    report.language = "whitespace" if as_tokens else detect(beginning) if rule.language == "auto" else rule.language
    report.tokenizer = "none: token lists" if as_tokens else _tokenizer_name(report.language)
    scanner = rule.scanner(report.language)
    feeder = _Segmenter(scanner) if report.language == "zh" else scanner
    for n, item in enumerate(itertools.chain(start, items)):
        text = _checked(item, n)
        if isinstance(text, str) == as_tokens:
            msg = f"item {n} of the corpus is a {'text' if as_tokens else 'list of tokens'}, the ones before are not"
            raise InputError(msg)
        data = (text if isinstance(text, str) else " ".join(text)).encode("utf-8", "replace")
        feeder.feed(data)
        feeder.end_unit()
        report.n_bytes += len(data)
        if progress is not None and n % 1000 == 0:
            progress(n, None, phase="reading", unit="texts")
    report.n_files = 1
    return scanner


def _checked(item: Any, n: int) -> str | list[str]:
    """An item of a corpus, which is a text or a list of tokens."""
    if isinstance(item, str):
        if n == 0 and _names_a_source(item):
            msg = f"a list of strings is a list of texts, and {item!r} names a source: pass it alone, or a list of pathlib.Path"
            raise InputError(msg)
        return item
    if isinstance(item, bytes) or not isinstance(item, Iterable):
        msg = f"item {n} of the corpus is {type(item).__name__}; a text or a list of tokens was expected"
        raise InputError(msg)
    tokens = list(item)
    bad = next((t for t in tokens if not isinstance(t, str) or not t or set(t) & set(" \t\n\r\v\f\0")), None)
    if bad is not None:
        msg = f"item {n} of the corpus holds the token {bad!r}; tokens are strings without white space"
        raise InputError(msg)
    return tokens


def _names_a_source(text: str) -> bool:
    try:
        return text == corpora.DOCS or (bool(text.strip()) and Path(text).exists())
    except (OSError, ValueError):  # too long for a file name, or not one
        return False


def _with_vocabulary(
    scanner: Scanner, min_count: int, max_words: int | None, report: corpora.Report, spill: tuple[Path, int] | None
) -> Tokens:
    counts = np.zeros(scanner.n_words, np.int64)
    for piece in scanner.pieces():
        tally(piece, counts)
    kept = [(-int(counts[k]), scanner.word(int(k))) for k in np.flatnonzero(counts >= min_count)]
    order = sorted(range(len(kept)), key=kept.__getitem__)[:max_words]
    numbers = np.flatnonzero(counts >= min_count)[order]
    if len(numbers) < 2:
        n_read = int(counts.sum())
        msg = (
            f"{len(numbers)} of {scanner.n_words} words occur{'s' * (len(numbers) == 1)} at least {min_count} times in "
            f"{n_read} tokens; vectors need two words or more: give more text or pass a smaller min_count (--min-count)"
        )
        raise InputError(msg)
    renumbered = np.full(scanner.n_words + 1, -2, np.int32)  # the last place is read for EDGE = -1
    renumbered[numbers] = np.arange(len(numbers), dtype=np.int32)
    renumbered[EDGE] = EDGE
    words = [kept[k][1].decode("utf-8", "replace") for k in order]
    if spill is None or scanner.spilled == 0:
        stream = scanner.ids()
        n, _ = _renumber(stream, renumbered, EDGE)  # in place: the scanner is not needed any more
        ids = stream[:n].copy()
    else:
        ids = _renumbered_file(scanner, renumbered, spill[0])
    return Tokens(words, counts[numbers], ids, int(counts.sum()), report)


def _renumbered_file(scanner: Scanner, renumbered: npt.NDArray[np.int32], folder: Path) -> npt.NDArray[np.int32]:
    path, last = folder / "tokens.i32", EDGE
    remove(path)
    for piece in scanner.pieces():
        n, last = _renumber(piece, renumbered, last)
        append(path, [piece[:n].view(np.uint8).data])
    remove(folder / "stream.i32")
    return np.memmap(path, np.int32, "r")


@kernel
def tally(stream, counts):  # type: ignore[no-untyped-def]
    """How often each number occurs in a stream; negative ones are not counted."""
    for k in range(len(stream)):
        if stream[k] >= 0:
            counts[stream[k]] += 1


@kernel
def _renumber(ids, renumbered, last):  # type: ignore[no-untyped-def]
    """Final numbers in place of provisional ones; rare words (-2) and edges behind edges are taken out.

    last: what stands before ids[0]. Returns the new length, and what stands last now.
    """
    n = 0
    for k in range(len(ids)):
        number = renumbered[ids[k]]
        if number >= 0 or (number == -1 and last != -1):
            ids[n] = number
            last = number
            n += 1
    return n, last


__all__ = ["Progress", "Tokens", "detect", "read", "segment", "tally", "words_of"]
