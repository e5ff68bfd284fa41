"""Counting in blocks and merging runs: the bytes of the whole, however the stream and the sums are cut."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import files
from thalweg.errors import InputError
from thalweg.words.counts import blocks, counting
from thalweg.words.counts.accumulate import joined, merged, rows_of
from thalweg.words.counts.table import DISTANCES, CooccurrenceCounts, count, distance_weights
from thalweg.words.text.reading import Tokens, read

TOKEN_LISTS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=25), max_size=6).map(lambda lists: [*lists, ["a", "b"]])
NAMES = ("indptr", "indices", "values")


def in_blocks(tokens: Tokens, weights: npt.NDArray[np.uint64], folder: Path, share: blocks.Budget, threads: int = 1) -> list[Any]:
    """(indptr, indices, values) by way of runs on disk."""
    found = blocks.count_blocks(tokens, weights, folder, share, threads, None)
    n_words = len(tokens.words)
    return list(joined(list(blocks.merge_runs(found, n_words, share, threads, None)), n_words))


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here outlives the machine: waiting for its disk would be most of the time."""
    for seam in ("_sync", "_sync_directory"):
        monkeypatch.setattr(files, seam, lambda stream: None)


def same_table(found: list[Any], expected: CooccurrenceCounts) -> bool:
    wanted = [getattr(expected, name) for name in NAMES]
    return [(a.dtype, a.tobytes()) for a in found] == [(b.dtype, b.tobytes()) for b in wanted]


@pytest.fixture(scope="module")
def zipf() -> Tokens:
    """8,000 tokens of some 500 words in lines of 1 to 60."""
    rng = np.random.default_rng(0)
    ids = np.minimum(rng.zipf(1.3, 8000), 500)
    cuts = np.cumsum(rng.integers(1, 60, 300))
    lines = np.split(ids, cuts[cuts < len(ids)])
    return read([[f"w{k}" for k in line] for line in lines], min_count=2)


# Blocks


@settings(max_examples=25)
@given(
    TOKEN_LISTS, st.integers(4, 60), st.integers(1, 12), st.sampled_from(DISTANCES), st.integers(1, 2), st.integers(1, 50),
    st.integers(1, 60),
)  # fmt: skip
def test_blocks_of_any_size_add_up_to_the_whole(
    lists: list[list[str]], block: int, window: int, distance: str, threads: int, chunk: int, task: int
) -> None:
    """A pair is counted in the block of its right word: once, also where the blocks are shorter than the window."""
    tokens = read(lists, min_count=1)
    weights, _ = distance_weights(window, distance)
    with tempfile.TemporaryDirectory() as folder:
        found = in_blocks(tokens, weights, Path(folder), blocks.Budget(block, task, chunk), threads)
    assert same_table(found, count(tokens, window=window, distance=distance))


@settings(max_examples=25)
@given(TOKEN_LISTS.map(lambda lists: [*lists, ["a", "b"] * 3]), st.integers(2, 4), st.integers(1, 6), st.integers(4, 60))
def test_with_gaps_rare_words_keep_their_places(lists: list[list[str]], least: int, window: int, block: int) -> None:
    """X is that of a double loop over the text as it stands, in which words that are left out are nobody's contexts."""
    tokens = read(lists, min_count=least, rare="gap")
    weights, _ = distance_weights(window, "linear")
    number = {word: k for k, word in enumerate(tokens.words)}
    expected = np.zeros((len(number), len(number)), np.int64)
    for line in lists:
        for (p, a), (q, b) in itertools.combinations(enumerate(line), 2):
            if q - p <= window and a in number and b in number:
                expected[number[a], number[b]] += int(weights[q - p])
                expected[number[b], number[a]] += int(weights[q - p])
    counts = count(tokens, window=window, distance="linear")
    assert np.array_equal(counts.to_scipy().toarray() * counts.scale, expected)
    with tempfile.TemporaryDirectory() as folder:
        found = in_blocks(tokens, weights, Path(folder), blocks.Budget(block, 30, 20))
    assert same_table(found, counts)


@pytest.mark.parametrize("block", [7, 100, 2000, 10**6])
def test_blocks_of_a_larger_text_add_up_to_the_whole(zipf: Tokens, tmp_path: Path, block: int) -> None:
    weights, _ = distance_weights(5, "harmonic")
    tokens = zipf if block > 7 else replace(zipf, ids=zipf.ids[:300])
    if block == 7:
        tokens = replace(tokens, counts=np.maximum(1, np.bincount(tokens.ids[tokens.ids >= 0], minlength=len(zipf.words))))
    found = in_blocks(tokens, weights, tmp_path, blocks.Budget(block, 3000, 500), 2)
    assert same_table(found, count(tokens, window=5))


def test_the_blocks_cover_the_stream_once() -> None:
    assert blocks.blocks_of(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert blocks.blocks_of(8, 4) == [(0, 4), (4, 8)]
    assert blocks.blocks_of(3, 10) == [(0, 3)]


@given(st.lists(st.integers(-1, 4), min_size=2, max_size=40), st.integers(1, 6), st.data())
def test_ghosts_are_counted_with_what_follows_and_never_among_themselves(ids: list[int], window: int, data: Any) -> None:
    """rows_of(ids, ghosts=g) is the count of all pairs whose right word stands at g or later."""
    ghosts = data.draw(st.integers(0, len(ids)))
    weights, _ = distance_weights(window, "linear")
    expected = np.zeros((5, 5), np.int64)
    for q, p in itertools.product(range(ghosts, len(ids)), range(len(ids))):
        if p < q <= p + window and min(ids[p : q + 1]) >= 0:
            expected[ids[p], ids[q]] += int(weights[q - p])
            expected[ids[q], ids[p]] += int(weights[q - p])
    indptr, indices, values = joined(list(rows_of(np.array(ids, np.int32), 5, weights, ghosts=ghosts, threads=1)), 5)
    found = np.zeros((5, 5), np.int64)
    found[np.repeat(np.arange(5), np.diff(indptr)), indices] = values
    assert np.array_equal(found, np.tril(expected))


# Merging


@pytest.mark.parametrize("fan_in", [2, 3, 64])
def test_runs_merged_in_several_levels_are_those_merged_at_once(
    zipf: Tokens, tmp_path: Path, fan_in: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "FAN_IN", fan_in)
    weights, _ = distance_weights(5, "harmonic")
    found = in_blocks(zipf, weights, tmp_path, blocks.Budget(800, 1 << 14, 1 << 14))
    assert same_table(found, count(zipf, window=5))
    levels = {path.name.split("-")[1] for path in tmp_path.glob("merged-*")}
    assert levels == {2: {"1", "2", "3"}, 3: {"1", "2"}, 64: set()}[fan_in]


@pytest.mark.parametrize("block", [500, 1100])
def test_runs_cut_otherwise_than_before_are_made_and_merged_anew(
    zipf: Tokens, tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed with another --memory the blocks are others under the same names: sums of the old ones were taken for theirs once."""
    monkeypatch.setattr(blocks, "FAN_IN", 3)
    weights, _ = distance_weights(5, "harmonic")
    in_blocks(zipf, weights, tmp_path, blocks.Budget(800, 1 << 14, 1 << 14))
    found = in_blocks(zipf, weights, tmp_path, blocks.Budget(block, 1 << 14, 1 << 14))
    assert same_table(found, count(zipf, window=5))


def test_whole_runs_are_kept_and_damaged_ones_made_again(zipf: Tokens, tmp_path: Path) -> None:
    weights, _ = distance_weights(3, "uniform")
    share = blocks.Budget(1000, 1 << 14, 1 << 14)
    found = blocks.count_blocks(zipf, weights, tmp_path, share, 1, None)
    assert len(found) > 6
    before = [(run / "values.npy").stat().st_mtime_ns for run in found]
    data = bytearray((found[1] / "values.npy").read_bytes())
    data[-1] ^= 1
    (found[1] / "values.npy").write_bytes(bytes(data))
    (found[2] / "manifest.json").unlink()
    shutil.rmtree(found[3])
    (found[4] / "indices.npy").unlink()
    assert blocks.count_blocks(zipf, weights, tmp_path, share, 1, None) == found
    after = [(run / "values.npy").stat().st_mtime_ns for run in found]
    assert [a != b for a, b in zip(before, after, strict=True)] == [False, True, True, True, True, *[False] * (len(found) - 5)]
    assert same_table(list(joined(list(blocks.merge_runs(found, len(zipf.words), share, 1, None)), len(zipf.words))),
                      count(zipf, window=3, distance="uniform"))  # fmt: skip


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 1 << 60)), max_size=8), min_size=1, max_size=4)
)
def test_merged_tables_are_the_sum_of_tables(parts: list[list[tuple[int, int, int]]]) -> None:
    """Whole numbers beyond 2^53 as well: nothing passes through floats."""
    expected = np.zeros((5, 5), object)
    tables = []
    for part in parts:
        own = {(max(i, j), min(i, j)): x for i, j, x in part}
        for place, x in own.items():
            expected[place] += x
        rows = [sorted((j, x) for (i, j), x in own.items() if i == row) for row in range(5)]
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        indices = np.array([j for row in rows for j, _ in row], np.int32)
        tables.append((indptr, indices, np.array([x for row in rows for _, x in row], np.uint64)))
    lengths, columns, sums = merged(tables, 0)
    found = np.zeros((5, 5), object)
    for row, column, x in zip(np.repeat(np.arange(5), lengths), columns.tolist(), sums.tolist(), strict=True):
        found[row, column] = x
    assert (found == expected).all()


# Sums that 32 bits do not hold


def huge(folder: Path, value: int, times: int) -> list[Path]:
    """`times` runs of two words, X_ab = value in each."""
    found = []
    for k in range(times):
        rows = [(np.array([0, 1], np.int64), np.array([0], np.int32), np.array([value], np.uint64))]
        found.append(folder / f"run-{k}")
        blocks._write(found[-1], iter(rows), {"block": [k, k + 1]})
    return found


@pytest.mark.parametrize(("value", "dtype"), [((1 << 32) - 2, "uint32"), ((1 << 32) - 1, "uint64"), (1 << 60, "uint64")])
def test_sums_over_32_bits_are_written_in_64(tmp_path: Path, value: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs, value and 1: the bytes that `save` writes for the same table."""
    found = [*huge(tmp_path / "a", value, 1), *huge(tmp_path / "b", 1, 1)]
    monkeypatch.setattr(blocks, "count_blocks", lambda *args: found)
    tokens = read([["a", "b"]], min_count=1)
    weights, scale = distance_weights(5, "uniform")
    counting._in_blocks(tokens, weights, scale, "uniform", {}, tmp_path / "out", 1 << 30, 1, None)
    opened = CooccurrenceCounts.open(tmp_path / "out")
    assert (opened.values.tolist(), opened.values.dtype) == ([value + 1], np.dtype(dtype))
    assert opened.total_pairs == 2.0 * (value + 1)
    opened.save(tmp_path / "again")
    for name in ("manifest.json", "values.npy", "indptr.npy", "indices.npy"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_word_that_stands_beside_itself_too_often_for_32_bits_is_counted_in_64(tmp_path: Path) -> None:
    """Window 16 harmonic: the unit is 1/720720, and 700 copies within reach make some 5e10 units on the diagonal."""
    tokens = read([["a"] * 3000 + ["b"]], min_count=1)
    weights, _ = distance_weights(16, "harmonic")
    expected = count(tokens, window=16)
    assert (expected.values.dtype, int(expected.values.max()) > 1 << 32) == (np.dtype(np.uint64), True)
    assert int(expected.diagonal()[0]) == 2 * sum(int(weights[step]) * (3000 - step) for step in range(1, 17))
    assert same_table(in_blocks(tokens, weights, tmp_path, blocks.Budget(700, 1 << 14, 1 << 14)), expected)


# Memory


@pytest.mark.parametrize("n_words", [2, 10**5, 10**7])
@pytest.mark.parametrize("threads", [1, 64])
def test_the_least_memory_that_an_error_names_is_enough_and_a_mebibyte_less_is_not(n_words: int, threads: int) -> None:
    with pytest.raises(InputError, match=rf"0M of memory is too little for {n_words:,} words: give \d+M or more") as caught:
        blocks.budget(1, n_words, threads)
    least = int(str(caught.value).split("give ")[1].split("M")[0]) << 20
    share = blocks.budget(least, n_words, threads)
    assert min(share.block, share.task, share.chunk) > 0
    with pytest.raises(InputError, match="too little"):
        blocks.budget(least - (1 << 20), n_words, threads)


def test_more_memory_means_larger_blocks() -> None:
    shares = [blocks.budget(m << 20, 10**5, 2) for m in (300, 500, 1000, 8000)]
    assert [share.block for share in shares] == sorted({share.block for share in shares})
    for m, share in zip((300, 500, 1000, 8000), shares, strict=True):
        assert 12 * share.block + 2 * 40 * share.task <= (m << 20) - blocks.BASE


def test_a_slice_of_a_mapped_file_is_that_of_the_array(tmp_path: Path) -> None:
    array = np.arange(1000, dtype=np.int64)
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    for first, last in ((0, 1000), (0, 0), (17, 18), (999, 1000), (1000, 1000)):
        for source in (array, mapped):
            assert np.array_equal(blocks.read_slice(source, first, last), array[first:last])
    assert not isinstance(blocks.read_slice(mapped, 3, 9), np.memmap)


def test_progress_of_the_blocks_is_that_of_the_stream(zipf: Tokens, tmp_path: Path) -> None:
    seen: dict[str, list[tuple[float, float | None]]] = {}

    def progress(done: float, total: float | None, **numbers: Any) -> None:
        seen.setdefault(numbers["phase"], []).append((done, total))

    weights, _ = distance_weights(5, "harmonic")
    share = blocks.Budget(900, 3000, 500)
    found = blocks.count_blocks(zipf, weights, tmp_path, share, 1, progress)
    for _ in blocks.merge_runs(found, len(zipf.words), share, 1, progress):
        pass
    assert list(seen) == ["counting", "merging"]
    for phase, places in seen.items():
        done = [place for place, _ in places]
        assert (done, len({total for _, total in places})) == (sorted(done), 1), phase
        assert done[-1] <= (places[0][1] or 0)
