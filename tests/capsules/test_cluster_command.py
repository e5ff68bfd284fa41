"""`thalweg capsules cluster`: what it writes is what the estimator says, tables are read as they stand, errors are one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_digits, make_blobs

from thalweg import cli
from thalweg.capsules import SoftKMeans, tables, tour
from thalweg.errors import InputError, MissingFileError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*args: str) -> Any:
    return CliRunner().invoke(cli.program, ["capsules", "cluster", *args])


def written(name: str) -> list[list[str]]:
    with Path("out", name).open(encoding="utf-8") as file:
        return list(csv.reader(file))


def blobs() -> np.ndarray:
    x: np.ndarray = make_blobs(90, centers=3, n_features=3, random_state=0)[0]
    return x


def test_what_it_writes_is_what_the_estimator_says() -> None:
    x = blobs()
    np.save("x.npy", x)
    result = run("x.npy", "--n-clusters", "3", "--out", "out", "--json")
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)["result"]
    model = SoftKMeans(3).fit(x)
    assert value["free_energy"] == pytest.approx(model.free_energy_)
    assert sum(value["sizes"]) == value["rows"] == 90
    assert [int(row[1]) for row in written("labels.csv")[1:]] == model.labels_.tolist()
    np.testing.assert_array_equal(np.load("out/responsibilities.npy"), model.responsibilities(x))
    np.testing.assert_array_equal(np.array(written("centers.csv")[1:], float), model.cluster_centers_)
    np.testing.assert_array_equal(np.array(written("energy.csv")[1:], float)[:, 1], model.energy_path_)
    assert Path("out/picture.svg").read_text(encoding="utf-8").startswith("<svg")
    assert json.loads(Path("out/manifest.json").read_text())["format"] == "thalweg-clusters"


def test_hard_clusters_have_no_temperature_and_a_result_is_not_overwritten() -> None:
    np.save("x.npy", blobs())
    given = ("x.npy", "--n-clusters", "2", "--inverse-temperature", "inf", "--out", "out", "--json")
    assert json.loads(run(*given).stdout)["result"]["inverse_temperature"] == "inf"
    again = run(*given)
    assert (again.exit_code, "--overwrite" in again.stderr) == (1, True)
    assert run(*given, "--overwrite").exit_code == 0


def test_annealing_tells_its_splits() -> None:
    np.save("x.npy", blobs())
    result = run("x.npy", "--n-clusters", "3", "--anneal", "--out", "out", "--json")
    assert result.exit_code == 0, result.stderr
    splits = json.loads(result.stdout)["result"]["splits"]
    assert [centers for _, centers in splits][-1] == 3
    assert splits == sorted(splits)


def test_the_command_of_the_tour_and_of_the_help_works_as_typed() -> None:
    result = run("digits", "--n-clusters", "10", "--out", "out")
    assert result.exit_code == 0, result.stderr
    assert "1,797 rows of 64 columns; soft" in result.stderr


# ---- tables


@pytest.mark.parametrize(
    ("text", "columns", "x"),
    [
        ("a,b\n1,2\n3,4\n", ["a", "b"], [[1, 2], [3, 4]]),
        ("1;2\n3;4.5\n", ["x1", "x2"], [[1, 2], [3, 4.5]]),
        ("\ufeffa\tb\r\n1\t2\r\n\r\n", ["a", "b"], [[1, 2]]),
        ("1 2\n3 4\n", ["x1", "x2"], [[1, 2], [3, 4]]),
        ("7\n8\n", ["x1"], [[7], [8]]),
        ('"a, b",c\n1e-3,-2\n', ["a, b", "c"], [[1e-3, -2]]),
    ],
)
def test_a_text_is_read_as_it_stands(text: str, columns: list[str], x: list[list[float]]) -> None:
    Path("t.csv").write_text(text, encoding="utf-8")
    table = tables.read("t.csv")
    assert table.columns == columns
    np.testing.assert_array_equal(table.x, x)


def test_columns_are_taken_by_name_or_number() -> None:
    Path("t.csv").write_text("name,a,b\nx,1,2\ny,3,4\n")
    np.testing.assert_array_equal(tables.read("t.csv", ["b", "a"]).x, [[2, 1], [4, 3]])
    np.testing.assert_array_equal(tables.read("t.csv", ["2"]).x, [[1], [3]])
    np.save("x.npy", np.arange(6, dtype=np.float32).reshape(2, 3))
    table = tables.read("x.npy", ["x3"])
    assert (table.x.tolist(), table.x.dtype) == ([[2], [5]], np.float32)
    np.savez("x.npz", X=np.ones((2, 2)), y=np.ones(2))
    assert tables.read("x.npz").x.shape == (2, 2)
    assert tables.read("x.npz", array="y").x.shape == (2, 1)
    assert tables.read("digits").x.shape == load_digits().data.shape


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "t.csv is empty"),
        ("a,b\n", "has a header and no rows"),
        ("name,a\nx,1\ny,2\n", "not numeric: 'name'; name the columns to take with --columns"),
        ("a,b\n1,2\n3\n", "line 3: 1 cells where the first line has 2"),
        ("a,b\n1,2\n3,\n", "line 3, column b: an empty cell is no number"),
        ("a,b\n1,2\n3,x\n", "line 3, column b: 'x' is no number"),
        ("a,b\n1,2\n3,nan\n", "row 3, column b: the value is nan"),
        ("a,b\n1,inf\n3,nan\n", "row 2, column b: the value is infinite, and 1 more"),
    ],
)
def test_what_is_no_table_is_one_line_with_its_place(text: str, said: str) -> None:
    Path("t.csv").write_text(text)
    result = run("t.csv", "--n-clusters", "1", "--out", "out")
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not Path("out").exists()


def test_hostile_arrays_are_one_line() -> None:
    Path("a.npy").write_bytes(
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000, 64), }" + b" " * 40
    )
    Path("b.npy").write_bytes(b"no array")
    Path("c.npz").write_bytes(b"no archive")
    np.save("d.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save("e.npy", np.ones((2, 2, 2)))
    np.save("f.npy", np.array(["a", "b"]))
    np.savez("g.npz", a=np.ones(2), b=np.ones(2))
    np.save("h.npy", np.ones((0, 3)))
    for name in "abcdefgh":
        path = next(Path().glob(f"{name}.np*"))
        with pytest.raises(InputError) as caught:
            tables.read(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    with pytest.raises(MissingFileError):
        tables.read("nowhere.csv")
    Path("x.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"\.csv, \.npy or \.npz"):
        tables.read("x.bin")


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        (("x.npy", "--n-clusters", "91"), 1, "x.npy has 90 rows, fewer than --n-clusters 91"),
        (("x.npy", "--n-clusters", "0"), 2, "--n-clusters"),
        (("x.npy", "--n-clusters", "2", "--inverse-temperature", "-1"), 2, "'-1' is not a number above 0, inf"),
        (("x.npy", "--n-clusters", "2", "--inverse-temperature", "nan"), 2, "'nan' is not a number above 0, inf"),
        (("x.npy", "--n-clusters", "2", "--columns", "x9"), 1, "has no column 'x9'"),
        (("x.npy", "--n-clusters", "2", "--anneal", "--distance", "cosine"), 2, "--anneal is for --distance sqeuclidean"),
        (("nowhere.npy", "--n-clusters", "2"), 1, "there is no file 'nowhere.npy'"),
    ],
)
def test_wrong_use_is_one_line_and_its_status(given: tuple[str, ...], status: int, said: str) -> None:
    np.save("x.npy", blobs())
    result = run(*given, "--out", "out")
    assert result.exit_code == status
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not Path("out").exists()


# ---- the tour


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_the_section_tells_the_critical_temperature_and_held_out_rows(locale: str) -> None:
    made = tour.section(locale=locale)
    critical = 1 / (2 * tour.heaps().var())
    assert f"{critical:.3f}" in made.title
    parted = next(
        float(word) for word in made.title.replace("，", " ").replace(";", " ").split() if word.replace(".", "").isdigit()
    )
    assert parted == pytest.approx(critical, rel=0.1)
    assert made.exhibits[1].content.count("%") == 4
    assert "{" not in made.claim + made.exhibits[0].caption
    assert set(tour.TEXT["en"]) == set(tour.TEXT["zh"])
