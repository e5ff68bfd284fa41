"""A vocabulary that outgrows its memory: the counts of one that does not, to the byte; with prune, the words it says are gone."""

from __future__ import annotations

import collections
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import words
from thalweg.cli import program
from thalweg.errors import InputError, StorageError
from thalweg.words.counts import blocks, counting
from thalweg.words.text import vocabulary
from thalweg.words.text.reading import read
from thalweg.words.text.tokens import Scanner, Table

LISTS = st.lists(st.lists(st.sampled_from([*"abcdé飞", "a_b", "abc" * 9]), max_size=9), min_size=1, max_size=9)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """5,000 distinct words of 40,000, most of them seen a few times, in three files: more than one piece of the scanner each."""
    rng = np.random.default_rng(0)
    (tmp_path / "texts").mkdir()
    for name in "abc":
        numbers = np.concatenate([np.minimum(rng.zipf(1.4, 8000), 400), rng.integers(401, 5000, 6000)])
        rng.shuffle(numbers)
        lines = [" ".join(f"word{k:x}" for k in line) for line in np.array_split(numbers, 900)]
        (tmp_path / "texts" / f"{name}.txt").write_text("\n".join(lines))
    return tmp_path / "texts"


@settings(max_examples=60)
@given(LISTS, st.integers(0, 400), st.integers(1, 3), st.sampled_from(["close", "gap"]), st.none() | st.integers(2, 5))
def test_words_that_were_set_aside_count_as_if_they_were_not(
    tmp_path_factory: pytest.TempPathFactory, lists: list[list[str]], limit: int, least: int, rare: str, most: int | None
) -> None:
    """Same words in the same order, same counts, same stream; or the same refusal where too few words are left."""
    options: dict[str, Any] = {"min_count": least, "rare": rare, "max_words": most}
    spill = (tmp_path_factory.mktemp("spill"), limit)
    try:
        expected = read(lists, **options)
    except InputError as error:
        with pytest.raises(InputError) as caught:
            read(lists, spill=spill, **options)
        assert str(caught.value) == str(error)
        return
    found = read(lists, spill=spill, **options)
    assert (found.words, found.counts.tolist(), found.n_read) == (expected.words, expected.counts.tolist(), expected.n_read)
    assert found.ids.tobytes() == expected.ids.tobytes()


@pytest.mark.parametrize("held", [2000, 60_000])
@pytest.mark.parametrize("options", [{}, {"min_count": 1}, {"phrases": -0.5, "min_count": 2}])
def test_counts_of_a_small_memory_have_the_bytes_of_those_of_a_large_one(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int, options: dict[str, Any]
) -> None:
    words.count(text, out=tmp_path / "large", **options)
    monkeypatch.setattr(counting, "_LEAST_HELD", held)
    monkeypatch.setattr(blocks, "budget", lambda *args: blocks.Budget(15_000, 10_000, 5_000))
    taken: list[int] = []
    take = vocabulary.Runs.take
    monkeypatch.setattr(vocabulary.Runs, "take", lambda *args: (taken.append(args[1].n_words), take(*args)))
    found = words.count(text, out=tmp_path / "small", memory=1, **options)
    assert len(taken) > 3
    for name in ("indptr.npy", "indices.npy", "values.npy", "vocab.json", "word_counts.npy"):
        assert (tmp_path / "small" / name).read_bytes() == (tmp_path / "large" / name).read_bytes(), name
    assert found.info["pruned"] == 0
    assert not (tmp_path / "small" / "parts").exists()


def test_runs_are_merged_by_ranges_of_hashes_whose_words_fit(text: Path, tmp_path: Path) -> None:
    """Each range of 1,024 on its own, or some together: the same words and counts."""
    data = b" ".join(path.read_bytes() for path in sorted(text.iterdir()))
    found = []
    for limit in (0, 5000, 1 << 30):
        aside = vocabulary.Runs(tmp_path / f"runs{limit}", limit)
        scanner = Scanner(spill=(tmp_path / f"stream{limit}", 1 << 30), runs=aside)
        for start in range(0, len(data), 40_000):
            scanner.feed(data[start : start + 40_000])
            scanner.set_aside(aside)
        scanner.end_unit()
        scanner.set_aside(aside, last=True)
        merged = vocabulary.Merged(scanner, aside, 3)
        ids = merged.ids()
        counts = np.bincount(ids[ids >= 0], minlength=merged.n_words).tolist()
        found.append(({merged.word(k): n for k, n in enumerate(counts)}, merged.n_seen))
    every = collections.Counter(data.split())
    assert found == [({word: n for word, n in every.items() if n >= 3}, len(every))] * 3


def test_the_memory_of_words_is_bounded_by_the_limit(text: Path, tmp_path: Path) -> None:
    """What lies in memory never exceeds the limit by more than one piece of text can bring."""
    seen: list[int] = []

    class Watched(vocabulary.Runs):
        def take(self, table: Table, *args: Any) -> None:
            seen.append(table.taken)
            super().take(table, *args)

    aside = Watched(tmp_path / "runs", 30_000)
    scanner = Scanner(spill=(tmp_path / "stream", 1 << 20), runs=aside)
    for line in (text / "a.txt").read_bytes().splitlines(keepends=True):
        scanner.feed(line)
    assert len(seen) > 3
    assert 30_000 < max(seen) < 30_000 + 48 * 100 + 2 * 1000


def test_a_vocabulary_that_python_cannot_hold_is_refused_before_it_is_built(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the memory that would do, and nothing left behind."""
    monkeypatch.setattr(counting, "_LEAST_HELD", 2000)
    monkeypatch.setattr(blocks, "_WORD", 1 << 20)
    monkeypatch.setattr("thalweg.words.text.reading._ranked", lambda *args: pytest.fail("built"))
    with pytest.raises(InputError, match=r"^0M of memory is too little for [45],\d+ words: give \d+M or more"):
        words.count(text, out=tmp_path / "c", memory=1, min_count=1)
    assert not (tmp_path / "c").exists()


# Interrupted


@pytest.mark.parametrize("seam", ["_write", "_open"])
def test_a_disk_that_is_full_while_words_are_set_aside_is_one_error_and_resumable(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seam: str
) -> None:
    from thalweg import files

    monkeypatch.setattr(counting, "_LEAST_HELD", 2000)
    monkeypatch.setattr(blocks, "budget", lambda *args: blocks.Budget(15_000, 10_000, 5_000))
    words.count(text, out=tmp_path / "whole", memory=1)
    plain = getattr(files, seam)

    def full(first: Any, *args: Any) -> Any:
        if "/words/" in str(first if isinstance(first, Path) else first.name):
            raise OSError(28, "No space left on device")
        return plain(first, *args)

    with monkeypatch.context() as patch:
        patch.setattr(files, seam, full)
        with pytest.raises(StorageError, match="disk is full"):
            words.count(text, out=tmp_path / "c", memory=1)
    words.count(text, out=tmp_path / "c", memory=1, resume=True)
    for name in ("values.npy", "vocab.json"):
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_ctrl_c_while_words_are_set_aside_leaves_nothing_or_what_can_be_resumed(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_LEAST_HELD", 2000)
    monkeypatch.setattr(blocks, "budget", lambda *args: blocks.Budget(15_000, 10_000, 5_000))
    words.count(text, out=tmp_path / "whole", memory=1)
    merge = vocabulary.Merged._merge

    def interrupted(self: vocabulary.Merged, first: int, *args: Any) -> None:
        if first > 300:
            raise KeyboardInterrupt
        merge(self, first, *args)

    with monkeypatch.context() as patch:
        patch.setattr(vocabulary.Merged, "_merge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            words.count(text, out=tmp_path / "c", memory=1)
    words.count(text, out=tmp_path / "c", memory=1, resume=True)
    for name in ("values.npy", "vocab.json"):
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# Pruning


def test_pruning_forgets_words_seen_too_rarely_since_the_last_time(tmp_path: Path) -> None:
    """b, seen once a line, is forgotten twice; what was seen since the last time stays, also a word that was seen once."""
    aside = vocabulary.Runs(tmp_path / "runs", 1 << 20, prune=2)
    scanner = Scanner(spill=(tmp_path / "stream", 1 << 20), runs=aside)
    for line in (b"a a a b c\n", b"a a b d d\n", b"a b e e\n"):
        scanner.feed(line)
        scanner.set_aside(aside, last=line.startswith(b"a b"))
    merged = vocabulary.Merged(scanner, aside, 1)
    stream = [merged.word(k).decode() if k >= 0 else "-" if k == vocabulary.OUT else "." for k in merged.ids()]
    assert " ".join(stream) == "a a a - - . a a - d d . a b e e ."
    assert aside.pruned == 3


def test_nothing_is_pruned_while_the_vocabulary_fits(text: Path, tmp_path: Path) -> None:
    expected = words.count(text, min_count=1)
    found = words.count(text, min_count=1, out=tmp_path / "c", prune=3)
    assert (found.words, found.word_counts.tolist()) == (expected.words, expected.word_counts.tolist())
    assert (found.info["prune"], found.info["pruned"], expected.info["prune"]) == (3, 0, None)


def test_the_command_says_how_much_it_pruned_and_the_manifest_why(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_LEAST_HELD", 20_000)
    monkeypatch.setattr(blocks, "budget", lambda *args: blocks.Budget(15_000, 10_000, 5_000))
    told = ["words", "count", str(text), "--out", str(tmp_path / "c"), "--prune", "2", "--memory", "1000"]
    result = CliRunner().invoke(program, told)
    assert result.exit_code == 0, result.stderr
    info = json.loads((tmp_path / "c" / "manifest.json").read_text())["info"]
    assert info["prune"] == 2
    assert info["pruned"] > 0
    assert f"{info['pruned']:,} tokens of rare words were forgotten" in result.stderr


@pytest.mark.parametrize("prune", [0, 1, -3, 2.5, "x"])
def test_a_prune_that_forgets_nothing_is_an_error(prune: Any) -> None:
    with pytest.raises(InputError, match="prune"):
        read(["a b"], prune=prune)
