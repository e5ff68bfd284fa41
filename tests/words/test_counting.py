"""Counts on disk: the same bytes as in memory, what comes back from there, sums of two texts."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import files
from thalweg.cli import program
from thalweg.errors import InputError, UnknownWordError
from thalweg.words import WordVectors, solve
from thalweg.words.counts import blocks, counting
from thalweg.words.counts.table import CooccurrenceCounts, count
from thalweg.words.text.reading import read
from thalweg.words.text.tokens import Scanner

LISTS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=20), max_size=5).map(lambda lists: [*lists, ["a", "b"]])
LINES = [["a", "b", "c", "a", "b"], ["b", "c", "d"]]  # small enough to count by hand


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    for seam in ("_sync", "_sync_directory"):
        monkeypatch.setattr(files, seam, lambda stream: None)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = [" ".join(f"w{k}" for k in np.minimum(rng.zipf(1.4, rng.integers(1, 30)), 90)) for _ in range(300)]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    return tmp_path / "text.txt"


def entries(counts: CooccurrenceCounts) -> dict[tuple[str, str], int]:
    """{(a, b): X_ab in units of 1/scale}, in the order of the letters."""
    rows = np.repeat(np.arange(len(counts.words)), np.diff(counts.indptr))
    named = (
        (sorted((counts.words[i], counts.words[j])), int(x)) for i, j, x in zip(rows, counts.indices, counts.values, strict=True)
    )
    return {(a, b): x for (a, b), x in named}


# The rules of the C programs


def cooccur(lines: list[list[str]], vocabulary: set[str], window: int, harmonic: bool) -> dict[tuple[str, str], Fraction]:
    """GloVe's cooccur.c: walk over the line; each word meets those left of it in the window, which rare words do not fill."""
    found: Counter[tuple[str, str]] = Counter()
    for line in lines:
        history: list[str] = []
        for word in line:
            if word not in vocabulary:
                continue
            for distance, left in enumerate(reversed(history[-window:]), 1):
                weight = Fraction(1, distance) if harmonic else Fraction(1)
                found[left, word] += weight
                found[word, left] += weight
            history.append(word)
    return dict(found)


@given(LISTS, st.integers(1, 12), st.booleans(), st.integers(1, 3))
def test_counts_agree_with_the_rules_of_the_c_programs(lists: list[list[str]], window: int, harmonic: bool, least: int) -> None:
    """Vocabulary, word counts and every X_ij, the diagonal included; in whole numbers, so exactly."""
    heard = Counter(word for line in lists for word in line)
    kept = {word: n for word, n in heard.items() if n >= least}
    if len(kept) < 2:
        return
    counts = count(read(lists, min_count=least), window=window, distance="harmonic" if harmonic else "uniform")
    assert dict(zip(counts.words, counts.word_counts.tolist(), strict=True)) == kept
    expected = cooccur(lists, set(kept), window, harmonic)
    assert entries(counts) == {(a, b): x * counts.scale for (a, b), x in expected.items() if a <= b}


# To disk and back


@pytest.mark.parametrize("spilled", [False, True])
def test_counts_on_disk_have_the_bytes_of_those_in_memory(
    text: Path, tmp_path: Path, spilled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = counting.count(text, min_count=2)
    if spilled:
        monkeypatch.setattr(counting, "_LEAST_HELD", 16)
        monkeypatch.setattr(blocks, "budget", lambda *args: blocks.Budget(900, 1000, 200))
    found = counting.count(text, min_count=2, out=tmp_path / "c", memory=128 if spilled else 1 << 40)
    expected.save(tmp_path / "again")
    for name in ("indptr.npy", "indices.npy", "values.npy", "vocab.json", "word_counts.npy"):
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    assert isinstance(found.values, np.memmap)
    assert {path.name for path in (tmp_path / "c").iterdir()} == {path.name for path in (tmp_path / "again").iterdir()}
    facts = {key: value for key, value in found.info.items() if key != "fingerprint"}
    assert facts == expected.info
    assert (found.total_pairs, found.total_tokens) == (expected.total_pairs, expected.total_tokens)


@pytest.mark.parametrize("unit", ["line", "paragraph", "file"])
@pytest.mark.parametrize("spill", [0, 4, 1000, 1 << 30])
def test_a_stream_that_was_written_down_is_the_same_stream(text: Path, tmp_path: Path, unit: str, spill: int) -> None:
    expected = read(text, min_count=3, unit=unit)
    found = read(text, min_count=3, unit=unit, spill=(tmp_path, spill))
    assert isinstance(found.ids, np.memmap) == (spill < 1 << 30)
    assert found.ids.tobytes() == expected.ids.tobytes()
    assert (found.words, found.counts.tolist(), found.n_read) == (expected.words, expected.counts.tolist(), expected.n_read)
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", *["tokens.i32"] * (spill < 1 << 30)}


@settings(max_examples=20)
@given(LISTS, st.integers(0, 40), st.integers(1, 3))
def test_a_spilled_corpus_of_lists_is_the_same_too(tmp_path_factory: Any, lists: list[list[str]], spill: int, least: int) -> None:
    folder = tmp_path_factory.mktemp("spill")
    try:
        expected = read(lists, min_count=least)
    except InputError as error:
        with pytest.raises(InputError, match="occur") as caught:
            read(lists, min_count=least, spill=(folder, spill))
        assert str(caught.value) == str(error)
        return
    found = read(lists, min_count=least, spill=(folder, spill))
    assert found.ids.tobytes() == expected.ids.tobytes()


def test_the_pieces_of_a_scanner_are_its_stream_in_order(tmp_path: Path) -> None:
    plain, spilling = Scanner(), Scanner(spill=(tmp_path / "s.i32", 8))
    for scanner in (plain, spilling):
        for word in ("the", "cat", "sat", "on", "the", "mat", "and", "the", "dog"):
            scanner.feed(word.encode() + b" ")
        scanner.end_unit()
    assert spilling.spilled > 0
    assert np.concatenate(list(spilling.pieces())).tolist() == plain.ids().tolist()


@given(LISTS, st.integers(1, 12))
@settings(max_examples=15)
def test_save_and_open_give_the_same_counts(tmp_path_factory: Any, lists: list[list[str]], window: int) -> None:
    folder = tmp_path_factory.mktemp("counts") / "c"
    counts = count(read(lists, min_count=1), window=window)
    counts.save(folder)
    found = CooccurrenceCounts.open(folder)
    assert (found.words, found.scale, found.window, found.distance, found.info) == (
        counts.words, counts.scale, window, "harmonic", counts.info,
    )  # fmt: skip
    for name in ("word_counts", "indptr", "indices", "values"):
        one, other = getattr(counts, name), getattr(found, name)
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())


def test_a_text_without_a_pair_has_an_empty_table(tmp_path: Path) -> None:
    counts = count(read([["a"], ["b"], ["a"]], min_count=1))
    counts.save(tmp_path / "c")
    found = CooccurrenceCounts.open(tmp_path / "c")
    assert (found.n_stored, found.total_pairs, found.pmi("a", "b")) == (0, 0, None)
    with pytest.raises(InputError, match="no two different words stand within a window of each other"):
        solve(found)


def test_a_small_machine_counts_a_small_text(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory= nothing is refused for want of it; once a container with 400 MB free could not count ten lines."""
    monkeypatch.setattr(counting.system, "available", lambda: 60 << 20)
    assert counting.count(text, out=tmp_path / "c").n_stored > 0


def test_too_little_memory_names_the_least_that_works(text: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"memory is too little for \d+ words: give \d+M or more \(--memory\)") as caught:
        counting.count(text, out=tmp_path / "c", memory=1 << 20, threads=1)
    assert not (tmp_path / "c").exists()
    least = int(str(caught.value).split("give ")[1].split("M")[0]) << 20
    found = counting.count(text, out=tmp_path / "c", memory=least, threads=1)
    assert np.array_equal(found.values, counting.count(text).values)


# PMI


def test_the_counted_pmi_is_that_of_the_specification() -> None:
    counts = count(read(LINES, min_count=1), window=2, distance="uniform")
    for pair in ("ab", "ba", "ac", "bc", "cb", "cd"):
        assert counts.pmi(*pair) == pytest.approx(math.log(1.6), abs=1e-12)
    assert counts.pmi("b", "d") == pytest.approx(math.log(16 / 15), abs=1e-12)
    assert counts.pmi("a", "d") is None
    assert counts.pmi("a", "a") is None
    with pytest.raises(UnknownWordError, match="'x' is not among the 4 words"):
        counts.pmi("a", "x")


# Sums of texts


@given(LISTS, LISTS, st.integers(1, 12))
def test_merged_counts_are_those_of_both_texts(one: list[list[str]], other: list[list[str]], window: int) -> None:
    """Exactly, to the byte, in whichever order they are added: no window crosses a line."""
    parts = [count(read(lists, min_count=1), window=window) for lists in (one, other)]
    whole = count(read(one + other, min_count=1), window=window)
    for merged in (parts[0].merge(parts[1]), parts[1].merge(parts[0])):
        assert (merged.words, merged.word_counts.tolist()) == (whole.words, whole.word_counts.tolist())
        for name in ("indptr", "indices", "values"):
            first, second = getattr(merged, name), getattr(whole, name)
            assert (first.dtype, first.tobytes()) == (second.dtype, second.tobytes())


def test_counts_with_and_without_gaps_are_not_added(text: Path) -> None:
    one = counting.count(text, rare="gap")
    assert one.info["rare"] == "gap"
    with pytest.raises(InputError, match="counts with rare close and gap cannot be added"):
        counting.count(text, merge=one)
    with pytest.raises(InputError, match="rare close and gap"):
        counting.count(text).merge(one)


def test_merging_counts_with_themselves_doubles_them() -> None:
    counts = count(read(LINES, min_count=1), window=2)
    twice = counts.merge(counts)
    assert np.array_equal(twice.values, 2 * counts.values)
    assert twice.total_pairs == 2 * counts.total_pairs


@pytest.mark.parametrize(
    ("change", "message"),
    [({"window": 3}, "counts with window 2 and 3 cannot be added"), ({"distance": "linear"}, "distance harmonic and linear")],
)
def test_counts_of_another_window_are_not_added(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """On disk before anything is read: an hour of counting would be lost."""
    one, other = (count(read(LINES, min_count=1), **({"window": 2} | extra)) for extra in ({}, change))
    with pytest.raises(InputError, match=message):
        one.merge(other)
    with pytest.raises(InputError, match=message):
        counting.count(tmp_path / "not there", out=tmp_path / "c", window=2, merge=other)
    assert not (tmp_path / "c").exists()


def words(*args: object) -> Any:
    return CliRunner().invoke(program, ["words", *map(str, args)])


def test_the_command_adds_counts_and_solving_starts_from_older_vectors(text: Path, tmp_path: Path) -> None:
    """New text: its counts and the old ones are those of both texts, and the old vectors are a better start than noise."""
    more = tmp_path / "more.txt"
    more.write_text("\n".join(reversed(text.read_text().splitlines()[:200])) + "\nnew words new words w1 new\n" * 3)
    both = tmp_path / "both"
    both.mkdir()
    (both / "a.txt").write_bytes(text.read_bytes())
    (both / "b.txt").write_bytes(more.read_bytes())
    least = ("--min-count", 1)
    assert words("fit", text, "--out", tmp_path / "old", "--dim", 8, *least).exit_code == 0
    merged = words("count", more, "--out", tmp_path / "sum", "--merge", tmp_path / "old" / "counts", *least, "--json")
    assert merged.exit_code == 0, merged.stderr
    assert words("count", both, "--out", tmp_path / "whole", *least).exit_code == 0
    for name in ("indptr.npy", "indices.npy", "values.npy", "vocab.json", "word_counts.npy"):
        assert (tmp_path / "sum" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    paths = {}
    for start in ("noise", "old"):
        at = tmp_path / start if start == "old" else start
        done = words("solve", tmp_path / "sum", "--out", tmp_path / f"vec {start}", "--dim", 8, "--start", at, "--json")
        assert done.exit_code == 0, done.stderr
        paths[start] = json.loads(done.stdout)["result"]["energy_path"]
    assert paths["old"][0] < paths["noise"][0]
    new = WordVectors.load(tmp_path / "vec old")
    assert np.isfinite(new["new"]).all()
    assert np.linalg.norm(new["new"]) > 0


def test_a_merge_that_is_resumed_adds_nothing_twice(text: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("w1 w2 w3\n" * 9)
    counting.count(tmp_path / "other.txt", out=tmp_path / "old", min_count=1)
    old = CooccurrenceCounts.open(tmp_path / "old")
    options: dict[str, Any] = {"out": tmp_path / "sum", "min_count": 1, "merge": old}
    first = counting.count(text, **options)
    again = counting.count(text, resume=True, **options)
    assert again.total_tokens == first.total_tokens
    assert np.array_equal(again.values, first.values)
    counting.count(text, out=tmp_path / "half", min_count=1)  # killed between counting and adding
    options["out"] = tmp_path / "half"
    assert np.array_equal(counting.count(text, resume=True, **options).values, first.values)


def test_fit_takes_a_folder_of_vectors_as_a_start(text: Path, tmp_path: Path) -> None:
    """Once it compared the vectors with the words "svd" and "noise", and refused them."""
    assert words("fit", text, "--out", tmp_path / "old", "--dim", 6).exit_code == 0
    done = words("fit", text, "--out", tmp_path / "new", "--dim", 6, "--start", tmp_path / "old")
    assert done.exit_code == 0, done.stderr
    old, new = (WordVectors.load(tmp_path / name) for name in ("old", "new"))
    assert new.energy_path[0] == pytest.approx(old.energy_path[-1], rel=1e-4)


def test_vectors_of_other_words_are_no_start() -> None:
    one, other = (count(read([list(letters)] * 9, min_count=1)) for letters in ("abcd", "efgh"))
    vectors = solve(one, dim=2)
    with pytest.raises(InputError, match=r"the vectors to start from \(these vectors\) know none of the 4 words"):
        solve(other, dim=2, start=vectors)


@pytest.mark.parametrize("solver", [{}, {"model": "shared"}, {"solver": "adagrad", "objective": "pmi"}])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_start_of_another_dimension_and_of_fewer_words_gives_finite_vectors(solver: dict[str, Any], dim: int) -> None:
    old = solve(count(read([list("abcd")] * 9, min_count=1)), dim=2)
    new = solve(count(read([list("abcdxy")] * 9, min_count=1)), dim=dim, start=old, **solver)
    assert new.dim == dim
    assert np.isfinite(new.word).all()
    assert np.linalg.norm(new["x"]) > 0


def test_standard_input_is_counted_in_blocks_as_well(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(counting, "_LEAST_HELD", 16)
    monkeypatch.setattr(blocks, "budget", lambda *args: blocks.Budget(900, 1000, 200))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.read_bytes())))
    found = counting.count(Path("-"), min_count=2, out=tmp_path / "c", memory=128)
    assert np.array_equal(found.values, counting.count(text, min_count=2).values)
