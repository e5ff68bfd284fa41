"""Damaged and hostile counts on disk: one line that names the folder, and never a crash in what would read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from thalweg.cli import program
from thalweg.errors import ThalwegError
from thalweg.words.counts.table import CooccurrenceCounts, count
from thalweg.words.text.reading import read

FILES = ("indptr.npy", "indices.npy", "values.npy", "word_counts.npy", "vocab.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """b, a, c, d: five stored pairs, 3 rows with entries."""
    count(read([["a", "b", "c", "a", "b"], ["b", "c", "d"]], min_count=1), window=2).save(tmp_path / "counts")
    return tmp_path / "counts"


def error(folder: Path) -> str:
    """The one line of opening it, the same in the library and on the command line."""
    with pytest.raises(ThalwegError) as caught:
        CooccurrenceCounts.open(folder)
    line = str(caught.value)
    done = CliRunner().invoke(program, ["words", "solve", str(folder), "--out", str(folder.parent / "vec")])
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, f"Error: {line}")
    assert not (folder.parent / "vec").exists()
    return line


def manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    facts = json.loads((folder / "manifest.json").read_text())
    change(facts)
    (folder / "manifest.json").write_text(json.dumps(facts))


def replace(folder: Path, name: str, data: bytes) -> None:
    """Put another content under a name, with the right length and checksum."""
    (folder / name).write_bytes(data)
    facts = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest(folder, lambda m: m["files"][name].update(facts))


def put(folder: Path, name: str, array: npt.NDArray[Any]) -> None:
    np.save(folder / name, array)
    replace(folder, name, (folder / name).read_bytes())


def array(folder: Path, name: str) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = np.load(folder / name)
    return found


# Arrays that lie


@pytest.mark.parametrize(("place", "value"), [(0, -1), (0, 2), (0, 2**31 - 1), (1, -(2**31)), (2, 0), (4, 4), (3, 2), (2, 3)])
def test_a_column_out_of_range_out_of_order_or_above_the_diagonal_is_one_line(folder: Path, place: int, value: int) -> None:
    """Kernels take columns at their word: one out of range would be written to memory that is not ours."""
    columns = array(folder, "indices.npy")
    columns[place] = value
    put(folder, "indices.npy", columns)
    assert "of the table does not hold rising columns" in error(folder)


@pytest.mark.parametrize(
    "value", [[0, 0, 1, 3, 4], [1, 0, 1, 3, 5], [0, 3, 1, 3, 5], [0, -1, 1, 3, 5], [0, 0, 9, 3, 5], [0, 0, 0, 0, 2**40]]
)
def test_rows_that_do_not_describe_the_entries_are_one_line(folder: Path, value: list[int]) -> None:
    put(folder, "indptr.npy", np.array(value, np.int64))
    assert error(folder) == f"{folder}: indptr.npy does not describe 5 entries"


def test_more_entries_than_places_in_a_row_are_one_line(folder: Path) -> None:
    put(folder, "indptr.npy", np.array([0, 5, 5, 5, 5]))
    assert "row 0 of the table does not hold rising columns up to 0" in error(folder)


def test_a_count_of_0_is_one_line(folder: Path) -> None:
    values = array(folder, "values.npy")
    values[2] = 0
    put(folder, "values.npy", values)
    assert "with counts above 0" in error(folder)


@pytest.mark.parametrize("value", [0, -1, -(2**63)])
def test_a_word_that_never_occurred_is_one_line(folder: Path, value: int) -> None:
    counts = array(folder, "word_counts.npy")
    counts[1] = value
    put(folder, "word_counts.npy", counts)
    assert error(folder) == f"{folder}: word_counts.npy says that a word never occurred"


@pytest.mark.parametrize("name", FILES[:4])
@pytest.mark.parametrize("change", ["shorter", "longer", "floats", "two axes", "empty"])
def test_an_array_of_another_shape_or_type_is_one_line(folder: Path, name: str, change: str) -> None:
    good = array(folder, name)
    bad = {
        "shorter": good[:-1],
        "longer": np.append(good, good[-1]),
        "floats": good.astype(np.float64),
        "two axes": good[:, None],
        "empty": good[:0],
    }[change]
    put(folder, name, bad)
    assert name in error(folder)


def test_values_may_be_wide(folder: Path) -> None:
    values = array(folder, "values.npy").astype(np.uint64)
    put(folder, "values.npy", values)
    manifest(folder, lambda m: m["files"]["values.npy"].update(dtype="uint64"))
    assert CooccurrenceCounts.open(folder).values.tolist() == values.tolist()


@pytest.mark.parametrize(
    "words", [["a"], ["a", "b", "c", 4], {"a": 1}, None, "abcd", ["a", "b", "c", "d", "e"], ["a", "b", "c", None]], ids=str
)
def test_a_vocabulary_that_is_none_is_one_line(folder: Path, words: object) -> None:
    replace(folder, "vocab.json", json.dumps(words).encode())
    assert error(folder) == f"{folder}: vocab.json is not a list of 4 words"


# Manifests that lie


@pytest.mark.parametrize("key", ["n_words", "n_stored", "scale", "window", "distance", "info", "files", "version", "format"])
@pytest.mark.parametrize("value", [None, -1, 0, 2**70, "x", 1.5, [], {}, float("nan")], ids=str)
def test_a_manifest_that_lies_is_one_line(folder: Path, key: str, value: object) -> None:
    if (key, value) == ("info", {}) or (key == "version" and value in (-1, 0)):
        return
    manifest(folder, lambda m: m.update({key: value}))
    assert str(folder) in error(folder)


@pytest.mark.parametrize("value", [None, [], "x", 0, {}, {"path": "../x"}, {"path": 3}, {"path": "values.npy"}], ids=str)
@pytest.mark.parametrize("name", FILES)
def test_a_manifest_that_lies_about_a_file_is_one_line(folder: Path, name: str, value: object) -> None:
    manifest(folder, lambda m: m["files"].update({name: value}))
    assert str(folder) in error(folder)


@pytest.mark.parametrize("key", ["n_words", "n_stored"])
def test_a_promise_takes_no_memory(folder: Path, key: str) -> None:
    manifest(folder, lambda m: m.update({key: (1 << 48) - 1}))
    assert str(folder) in error(folder)


# Files cut off, missing, changed


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("how", ["half", "nothing", "missing", "one bit", "a folder"])
def test_a_damaged_file_is_one_line(folder: Path, name: str, how: str) -> None:
    data = (folder / name).read_bytes()
    if how == "missing":
        (folder / name).unlink()
    elif how == "a folder":
        (folder / name).unlink()
        (folder / name).mkdir()
    elif how == "one bit":
        (folder / name).write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    else:
        (folder / name).write_bytes(data[: len(data) // 2 if how == "half" else 0])
    if (name, how) == ("manifest.json", "one bit"):
        return  # the manifest has no checksum of its own; whatever that bit says is checked above
    assert str(folder) in error(folder)


def test_vectors_are_not_counts(folder: Path) -> None:
    done = CliRunner().invoke(program, ["words", "solve", str(folder), "--out", str(folder.parent / "v"), "--dim", "2"])
    assert done.exit_code == 0
    done = CliRunner().invoke(program, ["words", "solve", str(folder.parent / "v"), "--out", str(folder.parent / "w")])
    assert (done.exit_code, "holds 'thalweg-words', where 'thalweg-counts' was expected" in done.stderr) == (1, True)
