"""From a corpus to counts: in memory where they fit, in blocks on disk where they do not; the same bytes either way.

A directory being made holds `parts/` beside what will be there in the end: the stream of word numbers and the runs of
`thalweg.words.counts.blocks`. `resume` continues from the parts that are complete, if the texts and the options are the same.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg import memory as system
from thalweg.bundles import Bundle, write_bundle
from thalweg.errors import DamagedFileError, InputError, MissingFileError, ThalwegError, whole_number
from thalweg.files import remove, storage_errors
from thalweg.progress import Progress
from thalweg.threads import resolve
from thalweg.version import __version__
from thalweg.words.counts import blocks
from thalweg.words.counts.accumulate import joined, rows_of
from thalweg.words.counts.table import (
    KIND,
    VERSION,
    CooccurrenceCounts,
    check_addable,
    distance_weights,
    merged_fingerprint,
    write_table,
)
from thalweg.words.text import corpus as corpora
from thalweg.words.text import reading
from thalweg.words.text.reading import Tokens
from thalweg.words.text.rules import Rules
from thalweg.work import Workplace

STREAM_KIND = "thalweg-stream"
_LEAST_HELD = 1 << 20  # bytes of the stream that are kept in memory at least
_ENTRY = 24  # bytes of an entry while tables are put together in memory
_PAIRS = 3.0  # stored pairs a token, at most, for window 10 on texts that are too large for memory


def count(
    corpus: Any,
    *,
    window: int = 10,
    distance: str = "harmonic",
    out: str | Path | None = None,
    memory: int | None = None,
    merge: CooccurrenceCounts | None = None,
    resume: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> CooccurrenceCounts:
    """Count the co-occurrences in a corpus (as `fit` takes it, or Tokens from `read`, to which no options of reading apply).

    options: those of `Rules`: min_count, language, glob, ... out: a directory that the counts are written to; the result is then
    mapped from there. memory: bytes that reading and counting may take (default: half of what is free); with more text than fits,
    blocks go to disk, and the counts have the same bytes. merge: older counts that are added, with the same window and
    distance, read by the same rules. resume: continue an interrupted run into `out`.
    Raises InputError, MissingFileError, OutputExistsError, StorageError, TypeError for an unknown option.
    """
    rules = Rules().with_(**options)
    if merge is not None:
        told = {} if rules.language == "auto" or corpora.is_text_list(corpus) else {"language": rules.language}
        check_addable(window, distance, rules.facts() | told, merge)
    out = None if out is None else Path(out)
    how: dict[str, Any] = {"memory": memory, "resume": resume, "threads": threads, "progress": progress}
    return count_by(rules, corpus, window, distance, out=out, merge=merge, overwrite=overwrite, **how)


def count_by(
    rules: Rules,
    corpus: Any,
    window: int,
    distance: str,
    *,
    out: Path | None,
    merge: CooccurrenceCounts | None = None,
    memory: int | None,
    resume: bool,
    overwrite: bool,
    threads: int | None,
    progress: Progress | None,
) -> CooccurrenceCounts:
    """`count` by rules that are made already."""
    threads, window = resolve(threads), whole_number("window", window, least=1)
    weights, scale = distance_weights(window, distance)
    if isinstance(corpus, Tokens) or out is None:
        if memory is not None or resume:
            msg = "memory= and resume= are for counts on disk: give out= as well, and a corpus that can be read again"
            raise InputError(msg)
        tokens = corpus if isinstance(corpus, Tokens) else reading.read(corpus, rules, progress=progress)
        counts = _in_memory(tokens, weights, scale, distance, facts(tokens, rules), threads, progress)
        counts = counts if merge is None else counts.merge(merge)
        if out is not None:
            counts.save(out, overwrite=overwrite)
        return counts
    with Workplace(out, KIND, VERSION, resume=resume, overwrite=overwrite) as place:
        mark = fingerprint(corpus, rules, window, distance)
        merged = None if merge is None else merged_fingerprint(mark, merge)
        parts = out / "parts"
        if not resume:
            shutil.rmtree(parts, ignore_errors=True)
        found = _resumed(place, mark, merged) if resume else None
        if found is not None:
            counts = found
        else:
            counts = _counted(corpus, rules, window, distance, out, mark, memory, threads, progress)
        shutil.rmtree(parts, ignore_errors=True)
        if merge is not None and counts.info.get("fingerprint") != merged:
            counts.merge(merge).save(out, overwrite=True)
            counts = CooccurrenceCounts.open(out, verify=False)
    return counts


def _counted(
    corpus: Any, rules: Rules, window: int, distance: str, out: Path, mark: str | None, memory: int | None, threads: int,
    progress: Progress | None,
) -> CooccurrenceCounts:  # fmt: skip
    """Counts in a directory that is held: in memory where they fit, else in blocks."""
    parts, (weights, scale) = out / "parts", distance_weights(window, distance)
    try:
        with storage_errors(parts):
            parts.mkdir(exist_ok=True)
        free = memory if memory is not None else blocks.BASE + system.available() // 2
        tokens = _tokens(corpus, rules, parts, mark, free, threads, progress)
        info = facts(tokens, rules) | {"fingerprint": mark}
        n = len(tokens.ids)
        if not isinstance(tokens.ids, np.memmap) and blocks.BASE + n * (12 + _PAIRS * window / 10 * _ENTRY) < free:
            _in_memory(tokens, weights, scale, distance, info, threads, progress).save(out, overwrite=True)
        else:
            _in_blocks(tokens, weights, scale, distance, info, out, free, threads, progress)
    except BaseException:  # what can be resumed stays, an empty shell does not
        if _stream(parts, mark) is None:
            shutil.rmtree(parts, ignore_errors=True)
        raise
    return CooccurrenceCounts.open(out, verify=False)


def facts(tokens: Tokens, rules: Rules) -> dict[str, Any]:
    """What the manifest says about the text and how it was read."""
    return {"thalweg": __version__, **asdict(tokens.report), "tokens_read": tokens.n_read, **rules.facts()}


def _in_memory(
    tokens: Tokens, weights: npt.NDArray[np.uint64], scale: int, distance: str, info: dict[str, Any], threads: int,
    progress: Progress | None,
) -> CooccurrenceCounts:  # fmt: skip
    parts = list(rows_of(np.asarray(tokens.ids), len(tokens.words), weights, threads=threads, progress=progress))
    table = joined(parts, len(tokens.words))
    return CooccurrenceCounts(tokens.words, tokens.counts, *table, scale, len(weights) - 1, distance, info)


def _in_blocks(
    tokens: Tokens, weights: npt.NDArray[np.uint64], scale: int, distance: str, info: dict[str, Any], out: Path, memory: int,
    threads: int, progress: Progress | None,
) -> None:  # fmt: skip
    n_words = len(tokens.words)
    share = blocks.budget(memory, n_words, threads)
    found = blocks.count_blocks(tokens, weights, out / "parts", share, threads, progress)
    empty = np.zeros(0, np.int32)
    head = CooccurrenceCounts(
        tokens.words, tokens.counts, np.zeros(1, np.int64), empty, empty, scale, len(weights) - 1, distance, info
    )
    try:
        _write(head, out, blocks.merge_runs(found, n_words, share, threads, progress), np.uint32)
    except _TooLargeError:
        _write(head, out, blocks.merge_runs(found, n_words, share, threads, progress), np.uint64)


class _TooLargeError(Exception):
    """A sum that 32 bits do not hold."""


def _write(head: CooccurrenceCounts, out: Path, rows: Iterator[Any], dtype: Any) -> None:
    lengths = np.zeros(len(head.words), np.int64)

    def entries() -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        first = 0
        for n, columns, numbers in rows:
            lengths[first : first + len(n)] = n
            first += len(n)
            if dtype is np.uint32 and len(numbers) and numbers.max() >= 1 << 32:
                raise _TooLargeError
            yield columns, numbers

    write_table(head, out, lengths, entries(), dtype, overwrite=True)


# What an interrupted run left


def fingerprint(corpus: Any, rules: Rules, window: int, distance: str) -> str | None:
    """A hash of the options and of what tells the texts apart (path, size, time, both ends); None for what is read once."""
    if corpora.is_text_list(corpus):
        return None
    paths = [corpus] if not isinstance(corpus, (list, tuple)) else list(corpus)
    decides: list[Any] = [rules.identity(), window, distance, __version__]
    for source in corpora.sources(paths, corpora.Report(), rules.glob):
        path = Path(source.name)
        if source.name == "standard input" or (path.exists() and not path.is_file()):
            return None
        if path.is_file():
            with storage_errors(path, "reading"), path.open("rb") as stream:
                status = path.stat()
                first = stream.read(corpora.BLOCK)
                stream.seek(max(0, status.st_size - corpora.BLOCK))
                ends = hashlib.sha256(first + stream.read(corpora.BLOCK)).hexdigest()
            decides.append([source.name, status.st_size, status.st_mtime_ns, ends])
        else:
            decides.append(source.name)
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode("utf-8", "surrogateescape")).hexdigest()


def _resumed(place: Workplace, mark: str | None, merged: str | None) -> CooccurrenceCounts | None:
    """The finished counts of this corpus, with or without what is merged; None if they have to be made."""
    if mark is None:
        msg = "this corpus can be read once only (standard input, a pipe, Python objects), so that there is nothing to resume"
        raise InputError(msg)

    def load() -> tuple[CooccurrenceCounts, str | None]:
        counts = CooccurrenceCounts.open(place.path)
        found = counts.info.get("fingerprint")
        return counts, mark if merged is not None and found == merged else found

    return place.finished(mark, load, "counts of other texts or options")


def _stream(parts: Path, mark: str | None) -> Bundle | None:
    """What an interrupted run wrote about the stream of word numbers, if it was of this corpus."""
    try:
        bundle = Bundle(parts / "stream", STREAM_KIND, VERSION)
    except (MissingFileError, DamagedFileError):
        return None
    return bundle if mark is not None and bundle.manifest.get("fingerprint") == mark else None


def _tokens(
    corpus: Any, rules: Rules, parts: Path, mark: str | None, memory: int, threads: int, progress: Progress | None
) -> Tokens:
    """The stream: what an interrupted run left of it, or read now; kept in `parts` if it did not fit into its share of memory."""
    bundle, file = _stream(parts, mark), parts / "tokens.i32"
    try:
        if bundle is not None and _sha256(file) == bundle.manifest["sha256"]:
            words = bundle.json("vocab.json")
            ids = np.memmap(file, np.int32, "r")
            report = corpora.Report(**bundle.manifest["report"])
            counts = np.array(bundle.array("word_counts.npy", "<i8", (len(words),)))
            return Tokens(words, counts, ids, bundle.manifest["n_read"], report)
    except (ThalwegError, OSError, KeyError, TypeError):
        pass
    for left in parts.iterdir():  # of another text, or not whole
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else remove(left)
    spill = parts, max(_LEAST_HELD, memory // 8)
    tokens = reading.read(corpus, rules, spill=spill, check=lambda n: blocks.budget(memory, n, threads), progress=progress)
    if isinstance(tokens.ids, np.memmap):
        with write_bundle(parts / "stream", STREAM_KIND, VERSION) as stream:
            stream.json("vocab.json", tokens.words)
            stream.array("word_counts.npy", tokens.counts)
            stream.manifest |= {"sha256": _sha256(file), "n_read": tokens.n_read, "fingerprint": mark}
            stream.manifest["report"] = asdict(tokens.report)
    return tokens


def _sha256(file: Path) -> str:
    with storage_errors(file, "reading"), file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


__all__ = ["count", "count_by", "facts", "fingerprint"]
