"""A corpus to a vocabulary and a stream of word numbers.

Words are numbered by falling count, equal counts by their UTF-8 bytes, so the numbering does not depend on the order of reading.
Words rarer than `min_count` are taken out of the stream and the window closes up over them, as word2vec, GloVe and the source do;
with rare="gap" the number after the last word's keeps their places.

Chinese has no spaces: with language "zh" the text goes through jieba's dictionary first (`thalweg.words.text.chinese`), then
through the same automaton as any other text. Questions take the same road (`words_of`).
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError
from thalweg.files import append, remove, size_text
from thalweg.jit import kernel
from thalweg.progress import Progress
from thalweg.words.text import characters, chinese, encodings, extraction, phrases, vocabulary
from thalweg.words.text import corpus as corpora
from thalweg.words.text.chinese import detect
from thalweg.words.text.rules import Rules
from thalweg.words.text.tokens import EDGE, OUT, Numbered, Scanner, tally

_LITTLE = 1 << 15  # bytes
_NO_MORE = object()  # None may stand in a list


@dataclass(frozen=True)
class Tokens:
    """words: (n_words,) by falling count; counts: (n_words,) int64; ids: (n,) int32, EDGE between units; n_read: tokens read.

    With rare="gap" n_words stands in ids where a word was left out.
    """

    words: list[str]
    counts: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]
    n_read: int
    report: corpora.Report


def words_of(
    text: str,
    language: str,
    *,
    segment: bool = True,
    lower: bool = True,
    digits: bool = True,
    join: str = "",
    split_latin: bool = False,
    user_words: chinese.UserWords = (),
    convert: str | None = None,
) -> list[str]:
    """The words of a text by the rule that a corpus of this language is read with (`Rules`); user_words: as in its report.

    segment=False takes Chinese words as they are typed: they are folded and converted, but not cut.
    """
    if language == "zh" and segment:
        known = [(word, n) for word, n in user_words]
        text = " ".join(chinese.cutter(split_latin=split_latin, user_words=known, convert=convert, join=join)(text))
    elif language == "zh":
        text = chinese.prepared(text, convert)
    data = text.encode("utf-8", "replace")
    little = len(data) < _LITTLE  # what a person types: loading the compiled automaton takes two seconds
    scanner = Scanner("file", characters.of(language, lower=lower, digits=digits, join=join), little=little)
    scanner.feed(data)
    scanner.end_unit()
    return [scanner.word(int(k)).decode("utf-8") for k in scanner.ids() if k >= 0]


def read(
    corpus: Any,
    rules: Rules | None = None,
    *,
    spill: tuple[Path, int] | None = None,
    check: Callable[[int], object] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Tokens:
    """Read a corpus: paths, or an iterable of texts or of token lists (`thalweg.words.fit` says what is what).

    rules, options: a `Rules`, and single values by name that take precedence.
    spill: a folder, and how many bytes the stream and the different words may each take in memory; more goes to files there, and
    `ids` is mapped from one. check: called with the number of words before they are all in memory, if the stream is not; may raise.

    Raises InputError if nothing is left to count, MissingFileError for a path that is not there, TypeError for an unknown option.
    """
    rules = (rules or Rules()).with_(**options)
    report = corpora.Report()
    if rules.user_dict is not None:
        report.user_words = chinese.user_words(rules.user_dict, rules.encoding)
    if corpora.is_text_list(corpus):
        scanner = _read_items(corpus, rules, spill, report, progress)
    else:
        paths = [corpus] if not isinstance(corpus, (list, tuple)) else corpus
        found = corpora.sources(paths, report, rules.glob)
        with corpora.way_on():
            scanner = _read_sources(found, rules, spill, report, progress)
    report.bad_bytes += scanner.bad_bytes
    report.dropped_words = scanner.dropped_words
    if scanner.n_words == 0 and not (scanner.runs and scanner.runs.reached):
        raise corpora.nothing_left(report)
    return _with_vocabulary(scanner, rules, report, spill, check)


def _feeder(
    language: str, rules: Rules, spill: tuple[Path, int] | None, report: corpora.Report
) -> tuple[Scanner, Scanner | chinese.Segmenter]:
    """A scanner, and what is to be fed for it: of Chinese a segmenter before it."""
    report.language = language
    if not report.tokenizer:
        known = {"words": "letters, marks and numbers", "whitespace": "white space"}
        report.tokenizer = known[language] if language in known else chinese.segmenter_name()
    table = characters.of(language, lower=rules.lower, digits=rules.digits, join=rules.join)
    if spill is None:
        scanner = Scanner(rules.unit, table)
    else:
        folder, limit = spill
        runs = vocabulary.Runs(folder / "words", limit, rules.prune)
        scanner = Scanner(rules.unit, table, (folder / "stream.i32", limit), runs)
    if language != "zh":
        return scanner, scanner
    cut = chinese.cutter(split_latin=rules.split_latin, user_words=report.user_words, convert=rules.convert, join=rules.join)
    return scanner, chinese.Segmenter(scanner, cut)


def _read_sources(
    found: list[corpora.Source],
    rules: Rules,
    spill: tuple[Path, int] | None,
    report: corpora.Report,
    progress: Progress | None,
) -> Scanner:
    total = sum(source.size for source in found) if all(source.size for source in found) else None
    blocks = texts(found, rules, report)
    start: list[tuple[bytes | None, float]] = []  # the first MiB decides the language
    while sum(len(text) for text, _ in start if text) < corpora.BLOCK and (item := next(blocks, None)) is not None:
        start.append(item)
    beginning = b"\n".join(text for text, _ in start if text)[: corpora.BLOCK]
    language = detect(beginning.decode("utf-8", "ignore")) if rules.language == "auto" else rules.language
    scanner, feeder = _feeder(language, rules, spill, report)
    for text, done in itertools.chain(start, blocks):
        if text is None:
            feeder.end_unit()
            continue
        feeder.feed(text)
        report.n_bytes += len(text)
        if progress is not None:
            progress(done if total else report.n_bytes, total, phase="reading", unit="bytes")
    if isinstance(feeder, chinese.Segmenter):
        report.bad_bytes += feeder.bad_bytes
    return scanner


def texts(found: list[corpora.Source], rules: Rules, report: corpora.Report) -> Iterator[tuple[bytes | None, float]]:
    """The blocks of all sources as UTF-8, each with the bytes of files read until then; None where a source ends."""
    before = 0
    for source in found:
        blocks = source.blocks() if not rules.skip_damaged else _sound(source, report)
        first = next(blocks, (b"", 0))
        charset = extraction.declared(first[0]) if source.form in (".html", ".htm") else None
        stream = encodings.as_utf8(itertools.chain([first], blocks), rules.encoding, charset, source.name, report)
        if isinstance(stream, str):
            report.skipped.append((source.name, stream))
            continue
        if source.form in extraction.FORMS:
            stream = extraction.text_of(source, stream, rules.json_key, report)
        for text, done in stream:
            yield text, before + done
        yield None, before
        before += source.size
        report.n_files += 1


def _sound(source: corpora.Source, report: corpora.Report) -> Iterator[tuple[bytes, int]]:
    """The blocks of a source up to where it is damaged."""
    n = 0
    try:
        for text, done in source.blocks():
            n += len(text)
            yield text, done
    except corpora.DamagedTextError:
        what = f"damaged after {size_text(n)} of text, which were read" if n else "damaged"
        report.skipped.append((source.name, what))


def _read_items(
    corpus: Any, rules: Rules, spill: tuple[Path, int] | None, report: corpora.Report, progress: Progress | None
) -> Scanner:
    """An iterable of texts (each at least a unit of its own) or of token lists (each a unit, its tokens taken as they are)."""
    check_no_record(corpus)
    try:
        items: Iterator[Any] = iter(corpus)
    except TypeError:
        msg = f"a corpus is a path, or an iterable of texts or of token lists, not {type(corpus).__name__}"
        raise InputError(msg) from None
    report.sources.append(f"a Python {type(corpus).__name__}")
    start: list[Any] = []  # the first MiB decides the language
    as_tokens = False
    while sum(len(item) for item in start) < corpora.BLOCK and (item := next(items, _NO_MORE)) is not _NO_MORE:
        start.append(_checked(item, len(start)))
        as_tokens = not isinstance(start[0], str)
        _check_alike(start[-1], len(start) - 1, as_tokens)
    if as_tokens:
        language, report.tokenizer = "whitespace", "none: token lists"
    else:
        language = detect("\n".join(start)[: corpora.BLOCK]) if rules.language == "auto" else rules.language
    scanner, feeder = _feeder(language, rules, spill, report)
    for n, item in enumerate(itertools.chain(start, items)):
        text = _checked(item, n)
        _check_alike(text, n, as_tokens)
        data = (text if isinstance(text, str) else " ".join(text)).encode("utf-8", "replace")
        feeder.feed(data)
        feeder.end_unit()
        report.n_bytes += len(data)
        if progress is not None and n % 1000 == 0:
            progress(n, None, phase="reading", unit="texts")
    report.n_files = 1
    return scanner


def check_no_record(corpus: Any) -> None:
    """Raise InputError for a mapping or a table: to iterate over one gives its keys; and for bytes, which give numbers."""
    if isinstance(corpus, Mapping) or hasattr(corpus, "columns"):
        key = _text_key(getattr(corpus, "columns", corpus))
        msg = f"a corpus is an iterable of texts, and a {type(corpus).__name__} is none: pass what is in it, as corpus[{key!r}]"
        raise InputError(msg)
    if isinstance(corpus, (bytes, bytearray, memoryview)):
        msg = f"a corpus is an iterable of texts, and {type(corpus).__name__} are none: decode them and pass a list, [text]"
        raise InputError(msg)


def _check_alike(item: str | list[str], n: int, as_tokens: bool) -> None:
    """Raise InputError for a text among lists of tokens, or the other way round."""
    if isinstance(item, str) == as_tokens:
        msg = f"item {n} of the corpus is a {'text' if as_tokens else 'list of tokens'}, the ones before are not"
        raise InputError(msg)


def _text_key(record: Any) -> str:
    """Of the names in a record that of its text, by what it is called most often."""
    names = [str(name) for name in itertools.islice(record, 100)]
    return next((name for name in ("text", "content", "body", "sentence") if name in names), next(iter(names), "text"))


def _checked(item: Any, n: int) -> str | list[str]:
    """An item of a corpus, which is a text or a list of tokens."""
    if isinstance(item, str):
        if n == 0 and _names_a_source(item):
            msg = f"a list of strings is a list of texts, and {item!r} names a source: pass it alone, or a list of pathlib.Path"
            raise InputError(msg)
        return item
    if isinstance(item, Mapping):
        what = f"is a {type(item).__name__}, whose keys are no text"
        msg = f"item {n} of the corpus {what}; pass the texts: [row[{_text_key(item)!r}] for row in rows]"
        raise InputError(msg)
    if names := getattr(item, "_fields", None):
        what = f"is a record, {type(item).__name__}, and no list of tokens"
        msg = f"item {n} of the corpus {what}; pass the texts: [row.{_text_key(names)} for row in rows]"
        raise InputError(msg)
    if isinstance(item, (set, frozenset)):
        msg = f"item {n} of the corpus is a {type(item).__name__}, which has no order; a text or a list of tokens was expected"
        raise InputError(msg)
    if isinstance(item, bytes) or not isinstance(item, Iterable):
        msg = f"item {n} of the corpus is {type(item).__name__}; a text or a list of tokens was expected"
        raise InputError(msg)
    tokens = list(item)
    bad = [token for token in tokens if not isinstance(token, str) or not token or set(token) & characters.SPACES]
    if bad:
        msg = f"item {n} of the corpus holds the token {bad[0]!r}; tokens are strings without white space"
        raise InputError(msg)
    return tokens


def _names_a_source(text: str) -> bool:
    try:
        return text == corpora.DOCS or (bool(text.strip()) and Path(text).exists())
    except (OSError, ValueError):  # too long for a file name, or not one
        return False


def _counted(scanner: Numbered) -> tuple[npt.NDArray[np.int64], int]:
    """How often each word stands in the stream, and its tokens, those of words without a number too."""
    counts, n_tokens = np.zeros(scanner.n_words, np.int64), 0
    for piece in scanner.pieces():
        tally(piece, counts)
        n_tokens += int(np.count_nonzero(piece != EDGE))
    return counts, n_tokens


def _whole(scanner: Scanner, rules: Rules, report: corpora.Report) -> Numbered:
    """The scanner, or what was set aside merged."""
    runs = scanner.runs
    if not isinstance(runs, vocabulary.Runs) or not runs.runs:
        return scanner
    scanner.set_aside(runs, last=True)
    report.pruned = runs.pruned
    return vocabulary.Merged(scanner, runs, rules.min_count, None if rules.phrases is None else phrases.JOINT)


def _with_vocabulary(
    read: Scanner, rules: Rules, report: corpora.Report, spill: tuple[Path, int] | None, check: Callable[[int], object] | None
) -> Tokens:
    min_count = rules.min_count
    scanner = _whole(read, rules, report)
    counts, n_read = _counted(scanner)
    if rules.phrases is not None:
        room = {} if spill is None else {"room": spill[1]}
        scanner = phrases.Joined(scanner, counts, n_read, min_count, rules.phrases, **room)
        counts, n_read = _counted(scanner)
    numbers = np.flatnonzero(counts >= min_count)
    if len(numbers) < 2:
        msg = (
            f"{len(numbers)} of {scanner.n_seen} words occur{'s' * (len(numbers) == 1)} at least {min_count} times in "
            f"{n_read} tokens; vectors need two words or more: give more text or pass a smaller min_count (--min-count)"
        )
        raise InputError(msg)
    if check is not None and scanner.spilled:
        check(min(len(numbers), rules.max_words or len(numbers)))
    numbers, words = _ranked(scanner, numbers, counts, rules.max_words)
    left_out = len(numbers) if rules.rare == "gap" else OUT
    renumbered = np.full(scanner.n_words + 2, left_out, np.int32)  # the last two places are read for OUT = -2 and EDGE = -1
    renumbered[numbers] = np.arange(len(numbers), dtype=np.int32)
    renumbered[EDGE] = EDGE
    report.user_words = _among(report.user_words, words, rules)
    if spill is None or scanner.spilled == 0:
        stream = scanner.ids()
        n, _ = _renumber(stream, renumbered, EDGE)  # in place: the scanner is not needed any more
        ids = stream[:n].copy()
    else:
        ids = _renumbered_file(scanner, renumbered, spill[0])
    return Tokens(words, counts[numbers], ids, n_read, report)


def _ranked(
    scanner: Numbered, numbers: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], most: int | None
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Numbers by falling count, those of equal counts by the bytes of their words; and the words. At most `most` (None: all)."""
    numbers = numbers[np.argsort(-counts[numbers], kind="stable")]
    ranked = counts[numbers]
    if most is not None and len(numbers) > most:  # of those that are as frequent as the last, the bytes decide
        numbers = numbers[: int(np.searchsorted(-ranked, -ranked[most - 1], "right"))]
        ranked = counts[numbers]
    words = [scanner.word(k).decode("utf-8") for k in numbers.tolist()]
    edges = [0, *(np.flatnonzero(np.diff(ranked)) + 1).tolist(), len(numbers)]
    for first, last in itertools.pairwise(edges):
        if last - first > 1:  # code points have the order of their bytes in UTF-8
            order = sorted(range(first, last), key=words.__getitem__)
            words[first:last] = [words[k] for k in order]
            numbers[first:last] = numbers[order]
    return numbers[:most], words[:most]


def _among(user_words: list[tuple[str, int | None]], words: list[str], rules: Rules) -> list[tuple[str, int | None]]:
    """The entries of the user dictionary that occur in the vocabulary: enough to cut a question as the corpus was cut."""
    if not user_words:
        return []
    known, spelled = set(words), characters.of("zh", lower=rules.lower).canonical
    return [(word, n) for word, n in user_words if spelled(chinese.prepared(word, rules.convert)) in known]


def _renumbered_file(scanner: Numbered, renumbered: npt.NDArray[np.int32], folder: Path) -> npt.NDArray[np.int32]:
    path, last = folder / "tokens.i32", EDGE
    remove(path)
    for piece in scanner.pieces():
        n, last = _renumber(piece, renumbered, last)
        append(path, [piece[:n].view(np.uint8).data])
    remove(folder / "stream.i32")
    shutil.rmtree(folder / "words", ignore_errors=True)
    return np.memmap(path, np.int32, "r")


@kernel
def _renumber(ids, renumbered, last):  # type: ignore[no-untyped-def]
    """Final numbers in place of provisional ones; OUT entries and repeated edges are dropped.

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


__all__ = ["Tokens", "check_no_record", "detect", "read", "texts", "words_of"]
