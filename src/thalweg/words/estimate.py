"""Estimate the time, memory and disk of a fit before it starts, from the first megabytes of its text.

    words seen min_count times in T tokens     ~  0.7 x different words in T / min_count tokens, which grow as T^b, b as sampled
    stored pairs                               ~  2.66 M (T / 1.1 M)^0.81 (window / 10)^0.8          measured: bench/README.md

The other constants are of the machine named there; on another one times may be off by a factor of two.
"""

from __future__ import annotations

import codecs
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.errors import StorageError
from thalweg.files import existing_parent, size_text
from thalweg.words.counts import blocks
from thalweg.words.solving import als, svd
from thalweg.words.solving.settings import Settings
from thalweg.words.text import chinese, reading
from thalweg.words.text import corpus as corpora
from thalweg.words.text.rules import Rules, unused
from thalweg.words.text.wording import READING

SAMPLE = 4 << 20  # bytes of text that are looked at
_STARTING = 3.0  # seconds: libraries and compiled kernels are loaded
_COUNT = 110e-9  # CPU seconds a token and window of 10
_PRODUCT, _PASS = 28e-9, 20e-9  # CPU seconds an entry of the full table and 128 numbers: of the start, of the solver
_CELL = 44  # bytes a number of the vectors, in the solver with its start and its balancing


@dataclass(frozen=True)
class Plan:
    """Estimates for a corpus. tokenizer, language: how it would be cut; sample: its first words as they would be read."""

    n_files: int
    n_bytes: int
    exact: bool
    language: str
    tokenizer: str
    sample: list[str]
    n_tokens: int
    n_words: int
    n_pairs: int
    seconds: dict[str, float]
    memory: int
    disk: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())

    def sentence(self) -> str:
        """One line for the person who waits."""
        seconds = self.total_seconds
        lasts = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
        return (
            f"about {_rounded(self.n_tokens)} tokens and {_rounded(self.n_words)} words: {lasts}, "
            f"{size_text(self.memory)} of memory, {size_text(self.disk)} of disk"
        )


def _rounded(n: float) -> str:
    for limit, unit in ((1e9, " billion"), (1e6, " million")):
        if n >= limit:
            return f"{n / limit:.2g}{unit}" if n < 10 * limit else f"{n / limit:.0f}{unit}"
    return f"{n:,.0f}" if n < 1000 else f"{round(n, -2):,.0f}"


def estimate(
    corpus: list[Path],
    *,
    window: int = 10,
    settings: Settings | None = None,
    threads: int = 1,
    memory: int | None = None,
    **options: Any,
) -> Plan:
    """Look at the first megabytes of a corpus. Standard input is not touched: its plan is of length 0.

    options: those of `Rules`.
    Raises MissingFileError, or InputError for a corpus without text.
    """
    settings, rules = settings or Settings(), Rules().with_(**options)
    report = corpora.Report()
    found = [source for source in corpora.sources(corpus, report, rules.glob) if source.name != "standard input"]
    pieces: list[bytes] = []
    n_sample, raw, whole = 0, 0.0, True
    with corpora.way_on():
        for block, done in reading.texts(found, rules, report):
            if block is not None:
                pieces.append(block)
                n_sample, raw = n_sample + len(block), done
            if n_sample >= SAMPLE:
                whole = raw >= sum(source.size for source in found) > 0
                break
    if n_sample == 0:
        raise corpora.nothing_left(report)
    n_file = sum(source.size for source in found)
    n_bytes = n_sample if whole else round(n_sample * (n_file / raw if raw else len(found) / (report.n_files + 1)))
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")  # the sample may end within a character
    text, n_bad = chinese.UNDECODABLE.subn(" ", decoder.decode(b"".join(pieces), final=whole))
    if not text.strip():
        report.n_bytes = n_sample
        raise corpora.nothing_left(report)
    reading.read([text[:2000] + "\nwarm"], rules, min_count=1)  # what is compiled or loaded once is not counted
    began = time.process_time()
    tokens = reading.read([text], rules, min_count=1, max_words=None)
    rate = n_sample / max(time.process_time() - began, 1e-6)
    half = len(np.unique(tokens.ids[: len(tokens.ids) // 2]))
    types = len(tokens.words)
    growth = float(np.clip(np.log2(max(types / max(half, 1), 1.001)), 0.2, 0.9))
    n_tokens = max(1, round(tokens.n_read * n_bytes / max(n_sample, 1)))
    n_words = int((tokens.counts >= rules.min_count).sum())
    if not whole:
        n_words = max(n_words, round(0.7 * types * (n_tokens / rules.min_count / tokens.n_read) ** growth))
    n_words = min(n_words, rules.max_words or n_words)
    n_pairs = round(min(2.66e6 * (n_tokens / 1.1e6) ** 0.81 * (window / 10) ** 0.8, n_words * (n_words + 1) / 2))
    share = settings.dim / 128
    solving = 2 * n_pairs * share * ((svd.POWER_STEPS + 2) * _PRODUCT + (3 * als.CG / 2 * 2 * settings.sweeps + 1) * _PASS)
    seconds = {
        "starting": _STARTING,
        "reading": n_bytes / rate,
        "counting": n_tokens * _COUNT * (0.3 + 0.07 * window) / threads,
        "solving": solving / threads,
    }
    counting_memory = blocks.BASE + 12 * n_tokens + 24 * n_pairs
    if memory is not None:
        counting_memory = min(counting_memory, memory)
    vectors = n_words * settings.dim
    peak = max(counting_memory, blocks.BASE + 24 * n_pairs + _CELL * vectors)
    return Plan(
        n_files=len(found), n_bytes=n_bytes, exact=whole, language=tokens.report.language, tokenizer=tokens.report.tokenizer,
        sample=_sample(text, tokens.report, rules),
        n_tokens=n_tokens, n_words=n_words, n_pairs=n_pairs, seconds=seconds,
        memory=peak, disk=8 * n_pairs + 8 * vectors, skipped=report.skipped,
        warnings=_warnings(tokens, n_tokens, settings, n_words, rules, n_bad + report.bad_bytes, report.bad_lines),
    )  # fmt: skip


def _sample(text: str, report: corpora.Report, rules: Rules) -> list[str]:
    """The first words as they would be read."""
    facts = {**rules.facts(), "user_words": report.user_words}
    return reading.words_of(text[:600], report.language, **{name: facts[name] for name in READING})[:24]


def _warnings(
    tokens: reading.Tokens, n_tokens: int, settings: Settings, n_words: int, rules: Rules, n_bad: int, bad_lines: int
) -> list[str]:
    """What looks wrong."""
    found = []
    if n_words < 2:
        found.append(
            f"{n_words} of {len(tokens.words):,} words occur{'s' * (n_words == 1)} at least {rules.min_count} times, and fit needs "
            "two: give more text or a smaller --min-count"
        )
    if n_tokens < 100_000:
        found.append(f"{n_tokens:,} tokens are little text: expect rough neighbours")
    if settings.dim >= n_words >= 2:
        found.append(f"--dim {settings.dim} is as large as the vocabulary of about {n_words:,} words: it will be lowered")
    if n_bad:
        found.append(f"{n_bad:,} byte{'s' * (n_bad > 1)} of the sample cannot be decoded: is --encoding right?")
    if bad_lines:
        found.append(f"{bad_lines:,} line{'s' * (bad_lines > 1)} of the sample would be left out: not JSON")
    found += unused(rules.facts() | {"language": tokens.report.language})
    n_edges = int((tokens.ids < 0).sum()) + 1
    if tokens.n_read > 1000 * n_edges:
        found.append("lines are very long: if a line is a whole document, windows reach across its paragraphs")
    if tokens.n_read < 3 * n_edges:
        found.append("lines have fewer than three words: windows do not reach across lines (--unit paragraph or file)")
    return found


def check_disk(plan: Plan, out: Path) -> None:
    """Raise StorageError if the disk has not half of what is estimated."""
    free = shutil.disk_usage(existing_parent(out)).free
    if free < plan.disk / 2:
        needed = size_text(plan.disk)
        msg = f"{out} would take about {needed}, the disk has {size_text(free)} left: free some space or choose another place"
        raise StorageError(msg)


__all__ = ["Plan", "check_disk", "estimate"]
