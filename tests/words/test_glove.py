"""Counts of GloVe's C programs: back to the whole numbers they were sums of, or one line that says what is wrong."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from thalweg.cli import program
from thalweg.errors import DamagedFileError, MissingFileError
from thalweg.words import CooccurrenceCounts, read
from thalweg.words.counts.table import count

LISTS = st.lists(st.lists(st.sampled_from("abcdé"), max_size=20), max_size=5).map(lambda lists: [*lists, ["a", "b"]])
VOCAB = "the 9\ncat 5\nsat 2\n"
GOOD = [(1, 2, 1.5), (2, 1, 1.5), (3, 1, 0.5), (1, 3, 0.5), (2, 2, 2.0)]


def cooccur(folder: Path, lines: list[list[str]], window: int, harmonic: bool, seed: int = 0) -> tuple[Path, Path]:
    """GloVe's files: words in an order of their own, both orders of every pair, sums in floating point, records shuffled."""
    heard = Counter(word for line in lines for word in line)
    rng = np.random.default_rng(seed)
    words = sorted(heard, key=lambda word: (-heard[word], rng.random()))
    number = {word: k + 1 for k, word in enumerate(words)}
    found: Counter[tuple[int, int]] = Counter()
    for line in lines:
        for q, word in enumerate(line):
            for distance, left in enumerate(reversed(line[max(0, q - window) : q]), 1):
                weight = 1 / distance if harmonic else 1.0
                found[number[left], number[word]] += weight
                found[number[word], number[left]] += weight
    records = [(*pair, value) for pair, value in found.items()]
    return write(folder, [records[k] for k in rng.permutation(len(records))], "".join(f"{w} {heard[w]}\n" for w in words))


def write(folder: Path, records: list[tuple[int, int, float]], vocab: str | bytes = VOCAB) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    (folder / "c.bin").write_bytes(b"".join(struct.pack("<iid", *record) for record in records))
    (folder / "v.txt").write_bytes(vocab if isinstance(vocab, bytes) else vocab.encode())
    return folder / "c.bin", folder / "v.txt"


@given(LISTS, st.integers(1, 16), st.booleans(), st.integers(0, 9))
def test_counts_of_the_c_programs_are_ours_to_the_byte(
    tmp_path_factory: pytest.TempPathFactory, lists: list[list[str]], window: int, harmonic: bool, seed: int
) -> None:
    files = cooccur(tmp_path_factory.mktemp("glove"), lists, window, harmonic, seed)
    distance = "harmonic" if harmonic else "uniform"
    expected = count(read(lists, min_count=1), window=window, distance=distance)
    found = CooccurrenceCounts.from_glove(*files, window=window, distance=distance)
    assert (found.words, found.word_counts.tolist()) == (expected.words, expected.word_counts.tolist())
    for name in ("indptr", "indices", "values"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes()), name


def test_a_window_beyond_16_is_rounded_to_the_fine_unit(tmp_path: Path) -> None:
    files = cooccur(tmp_path, [list("abcabdacd") * 4], 20, harmonic=True)
    found = CooccurrenceCounts.from_glove(*files, window=20)
    expected = count(read([list("abcabdacd") * 4], min_count=1), window=20)
    assert np.abs(found.values.astype(float) - expected.values).max() / expected.scale < 1e-4


def command(*args: object) -> Result:
    return CliRunner().invoke(program, ["words", "count", *map(str, args)])


def test_the_command_writes_counts_that_can_be_solved(tmp_path: Path) -> None:
    lines = [list("abcd")] * 4
    files = cooccur(tmp_path, lines, 10, harmonic=True)
    done = command("--from-glove", files[0], "--vocab", files[1], "--out", tmp_path / "c", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["result"]["n_words"] == 4
    assert Fraction(int(CooccurrenceCounts.open(tmp_path / "c").values[0]), math.lcm(*range(1, 11))) == 4
    solved = CliRunner().invoke(program, ["words", "solve", str(tmp_path / "c"), "--out", str(tmp_path / "vec"), "--dim", "2"])
    assert solved.exit_code == 0, solved.stderr
    both = command("--from-glove", files[0], "--vocab", files[1], "--out", tmp_path / "both", "--merge", tmp_path / "c")
    assert both.exit_code == 0, both.stderr
    assert CooccurrenceCounts.open(tmp_path / "both").total_tokens == 32


# Files that are something else

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "has 0 bytes: records of GloVe's counts have 16 each"),
        ([*GOOD, (0, 1, 1.0)], r"record 6 \(0, 1, 1\) names a word that is not among the 3 of"),
        ([(1, 4, 1.0)], r"record 1 \(1, 4, 1\) names a word"),
        ([(-(2**31), 2**31 - 1, 1.0)], "names a word"),
        ([(1, 2, NAN)], r"record 1 \(1, 2, nan\) has a value that is no count"),
        ([(1, 2, INF)], "no count"),
        ([(1, 2, -1.0)], "no count"),
        ([(1, 2, 0.0)], "no count"),
        ([(1, 2, 1e300)], "too large for a count"),
        ([(1, 2, 0.3), (2, 1, 0.3)], "no multiple of 1/2: it was counted with another window or distance"),
        ([(1, 2, 1e-9), (2, 1, 1e-9)], "no multiple of 1/2"),
        (GOOD[:-2], "is not symmetric: it lacks records, or was counted with -symmetric 0"),
        ([(1, 2, 1.0), (2, 1, 2.0)], "is not symmetric"),
        ([(1, 2, 1.0), (2, 1, 2.0), (1, 3, 2.0), (3, 1, 1.0)], "is not symmetric"),
    ],
)
def test_records_that_are_no_counts_are_one_line(tmp_path: Path, records: list[tuple[int, int, float]], message: str) -> None:
    files = write(tmp_path, records)
    with pytest.raises(DamagedFileError, match=message):
        CooccurrenceCounts.from_glove(*files, window=2)
    result = command("--from-glove", files[0], "--vocab", files[1], "--out", tmp_path / "c", "--window", 2)
    assert (result.exit_code, len(result.stderr.splitlines()[-1]) > 0, (tmp_path / "c").exists()) == (1, True, False)


@pytest.mark.parametrize("size", [1, 15, 17, 79])
def test_a_file_that_breaks_off_is_one_line(tmp_path: Path, size: int) -> None:
    files = write(tmp_path, GOOD)
    files[0].write_bytes(files[0].read_bytes()[:size])
    with pytest.raises(DamagedFileError, match=rf"has {size} bytes: .* cut off or something else"):
        CooccurrenceCounts.from_glove(*files, window=2)


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        ("", "holds 0 words: two or more are needed"),
        ("the 9\ncat\n", "line 2: 'cat' is not 'word count'"),
        ("the 9\ncat x\n", "line 2"),
        ("the 9\ncat -3\n", "line 2"),
        ("the 9\ncat 0\n", "line 2"),
        ("the 9\n 5\n", "line 2"),
        ("the 9\ncat 99999999999999999999999\n", "line 2"),
        ("the 9\nthe 9\n", "line 2: 'the 9' names a word for the second time"),
        (b"\xff\xfe\0\0" * 9, "line 1"),
    ],
)
def test_a_vocabulary_that_is_none_is_one_line(tmp_path: Path, vocab: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CooccurrenceCounts.from_glove(*write(tmp_path, GOOD, vocab))


def test_a_pair_that_is_there_twice_is_added_up(tmp_path: Path) -> None:
    found = CooccurrenceCounts.from_glove(*write(tmp_path, GOOD + GOOD), window=2)
    assert (found.values / found.scale).tolist() == [3.0, 4.0, 1.0]


def test_what_does_not_go_together_is_wrong_use(tmp_path: Path) -> None:
    file, vocab = write(tmp_path, GOOD)
    out = ("--out", tmp_path / "c")
    for args in (["--from-glove", file], ["--vocab", vocab, vocab], ["--from-glove", file, "--vocab", vocab, file], []):
        assert command(*args, *out).exit_code == 2
    result = command("--from-glove", file, "--vocab", vocab, "--min-count", 3, *out)
    assert (result.exit_code, "--min-count is for texts" in result.stderr) == (2, True)
    with pytest.raises(MissingFileError, match="there is no file"):
        CooccurrenceCounts.from_glove(tmp_path / "nowhere", vocab)
