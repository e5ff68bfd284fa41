"""How close the inner products come to the counted mutual information."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import words
from thalweg.cli import program
from thalweg.errors import InputError
from thalweg.words.judging import goodness
from thalweg.words.solving import holdout, objective
from thalweg.words.solving.settings import Settings

TEXT = ["a b c a b d e", "b c d e a", "e d c a"] * 5


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> words.WordVectors:
    folder = tmp_path_factory.mktemp("fit")
    (folder / "text.txt").write_text("\n".join(TEXT))
    words.fit(folder / "text.txt", out=folder / "vec", dim=3, min_count=1)
    return words.WordVectors.load(folder / "vec")


def test_the_figures_are_those_of_a_double_loop(fitted: words.WordVectors) -> None:
    counts = fitted.pair_counts
    assert counts is not None
    x = counts.to_scipy().toarray()
    np.fill_diagonal(x, 0)
    i, j = np.nonzero(x)
    c, n = counts.word_counts.astype(float), x.sum()
    target = np.log(x[i, j] * c.sum() ** 2 / (n * c[i] * c[j]))
    weight = np.minimum(1, (x[i, j] / 100) ** 0.75)
    error = np.einsum("nd,nd->n", fitted.word[i], fitted.context[j]) - target
    mean = np.average(target, weights=weight)
    found = goodness.of_vectors(fitted)
    assert found.n_pairs == len(i) // 2  # of the two orders of a pair one: as stored, and as `fit` says it
    assert found.mean_error == pytest.approx(np.average(error, weights=weight), abs=1e-5)
    assert found.rms_error == pytest.approx(np.average(error**2, weights=weight) ** 0.5, abs=1e-5)
    spread = np.average((target - mean) ** 2, weights=weight)
    assert found.r2 == pytest.approx(1 - found.rms_error**2 / spread, abs=1e-5)


def test_exact_products_have_no_error() -> None:
    """As many dimensions as words and nothing but seen pairs: R^2 is 1."""
    counts = words.count(words.read(TEXT, min_count=1))
    chosen = Settings(objective="pmi", ridge=0.0, dim=4, epochs=400, tol=0.0)
    fit = goodness.of_table(
        objective.table(counts, chosen), goodness.predictions(objective.table(counts, chosen), words.solve(counts, chosen))
    )
    assert fit.r2 > 0.99


def test_without_counts_the_error_says_so(fitted: words.WordVectors, tmp_path: Path) -> None:
    fitted.save(tmp_path / "alone")
    with pytest.raises(InputError, match="has no counts beside it"):
        goodness.of_vectors(words.WordVectors.load(tmp_path / "alone"))


# Pairs that the solver does not see


@given(st.floats(0.01, 0.9), st.integers(0, 1 << 70))
@settings(max_examples=20)
def test_held_out_pairs_are_whole_pairs_and_depend_on_nothing_but_words_and_seed(share: float, seed: int) -> None:
    """Seen and held out are the table, entry for entry; both orders of a pair go together."""
    table = objective.table(words.count(words.read(TEXT, min_count=1)), Settings())
    try:
        parts = holdout.split(table, share, seed)
    except InputError:
        return
    found = {}
    for k, part in enumerate(parts):
        rows = np.repeat(np.arange(len(part.pull)), np.diff(part.indptr))
        entries = zip(rows, part.columns, part.weights, part.targets, strict=True)
        found |= {(int(i), int(j)): (k, float(w), float(t)) for i, j, w, t in entries}
    assert all(found[j, i] == value for (i, j), value in found.items())
    rows = np.repeat(np.arange(len(table.pull)), np.diff(table.indptr))
    assert sorted(found) == list(zip(rows.tolist(), table.columns.tolist(), strict=True))
    assert [found[key][1:] for key in sorted(found)] == list(zip(table.weights.tolist(), table.targets.tolist(), strict=True))
    again = holdout.split(table, share, seed)
    assert all(np.array_equal(one.columns, other.columns) for one, other in zip(parts, again, strict=True))


def test_the_share_that_is_held_out_is_the_one_asked_for() -> None:
    """20,000 pairs, each held out with probability 0.3: six standard deviations are 390 (fails by chance once in 10^9)."""
    n = 201
    indptr = np.arange(0, n * (n - 1) + 1, n - 1)
    columns = np.concatenate([np.delete(np.arange(n), k) for k in range(n)]).astype(np.int32)
    ones, doubles = np.ones(len(columns), np.float32), np.ones(n)
    table = objective.Table(indptr, columns, ones, ones, doubles.astype(np.float32), doubles, 0.0, doubles)
    counts = {seed: len(holdout.split(table, 0.3, seed)[1].columns) // 2 for seed in range(4)}
    assert all(abs(held - 0.3 * len(columns) / 2) < 390 for held in counts.values())
    assert len(set(counts.values())) > 1


@pytest.mark.parametrize("solver", [{}, {"model": "shared"}, {"solver": "svd"}, {"solver": "adagrad", "objective": "pmi"}])
def test_what_is_held_out_does_not_reach_the_solver(solver: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same vectors whatever the counts of the pairs held out are taken for."""
    counts = words.count(words.read(TEXT, min_count=1))
    real, found = objective.table, []
    for shift in (0.0, 3.0):

        def other(counts: Any, settings: Settings, shift: float = shift) -> objective.Table:
            table = real(counts, settings)
            held = holdout.split(table, 0.3, settings.seed)[1]
            rows = np.repeat(np.arange(len(table.pull)), np.diff(held.indptr))
            chosen = set(zip(rows.tolist(), held.columns.tolist(), strict=True))
            rows = np.repeat(np.arange(len(table.pull)), np.diff(table.indptr))
            moved = [(i, j) in chosen for i, j in zip(rows.tolist(), table.columns.tolist(), strict=True)]
            return replace(table, targets=table.targets + np.float32(shift) * np.array(moved, np.float32))

        monkeypatch.setattr(objective, "table", other)
        found.append(words.solve(counts, holdout=0.3, dim=3, epochs=2, **solver))
    assert found[0].info["fit"]["held_out"]["n_pairs"] > 0
    assert np.array_equal(found[0].word, found[1].word)
    assert np.array_equal(found[0].context, found[1].context)
    assert found[0].info["fit"]["r2"] == found[1].info["fit"]["r2"]
    assert found[0].info["fit"]["held_out"] != found[1].info["fit"]["held_out"]


def test_the_commands_report_both_fits(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n".join(TEXT))
    out = tmp_path / "vec"
    fitted = words_("fit", tmp_path / "text.txt", "--out", out, "--min-count", 1, "--dim", 3, "--holdout", 0.3, "--json")
    assert fitted.exit_code == 0, fitted.stderr
    assert goodness.of_vectors(words.WordVectors.load(out)).held_out is not None
    told = json.loads(fitted.stdout)["result"]["fit"]
    shown = words_("evaluate", out, "--pairs", write_pairs(tmp_path), "--fit", "--json")
    assert json.loads(shown.stdout)["result"]["fit"] == told
    solved = words_("solve", out, "--out", tmp_path / "again", "--dim", 3, "--holdout", 0.3)
    assert f"R² {told['r2']:.3f} on the pairs seen, {told['held_out']['r2']:.3f} on" in solved.stdout
    table = words_("evaluate", out, "--pairs", write_pairs(tmp_path), "--fit").stdout
    assert "held out" in table


def test_a_share_that_leaves_nothing_is_an_error() -> None:
    counts = words.count(words.read(TEXT, min_count=1))
    with pytest.raises(InputError, match=r"holdout=0\.9999999 leaves none of the 10 pairs that met to be fitted"):
        words.solve(counts, holdout=0.9999999)
    with pytest.raises(InputError, match=r"holdout=1\.0 is not a number from 0, below 1"):
        words.solve(counts, holdout=1.0)
    with pytest.raises(InputError, match="to which objective='glove' is not fitted"):
        words.solve(counts, holdout=0.1, objective="glove", solver="adagrad")


def words_(*args: object) -> Result:
    return CliRunner().invoke(program, ["words", *map(str, args)])


def write_pairs(folder: Path) -> Path:
    (folder / "pairs.txt").write_text("a b 1\na c 2\nb d 3\nc e 2\n")
    return folder / "pairs.txt"
