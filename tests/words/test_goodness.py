"""How close the inner products come to the counted mutual information."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thalweg import words
from thalweg.errors import InputError
from thalweg.words import goodness, objective
from thalweg.words.settings import Settings

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
    assert found.n_pairs == len(i)
    assert found.mean_error == pytest.approx(np.average(error, weights=weight), abs=1e-5)
    assert found.rms_error == pytest.approx(np.average(error**2, weights=weight) ** 0.5, abs=1e-5)
    spread = np.average((target - mean) ** 2, weights=weight)
    assert found.r2 == pytest.approx(1 - found.rms_error**2 / spread, abs=1e-5)


def test_exact_products_have_no_error() -> None:
    """As many dimensions as words and nothing but seen pairs: R^2 is 1."""
    counts = words.count(words.read(TEXT, min_count=1))
    settings = Settings(objective="pmi", ridge=0.0, dim=4, epochs=400, cg=10, tol=0.0)
    fit = goodness.of_table(
        objective.table(counts, settings), goodness.predictions(objective.table(counts, settings), words.solve(counts, settings))
    )
    assert fit.r2 > 0.99


def test_without_counts_the_error_says_so(fitted: words.WordVectors, tmp_path: Path) -> None:
    fitted.save(tmp_path / "alone")
    with pytest.raises(InputError, match="has no counts beside it"):
        goodness.of_vectors(words.WordVectors.load(tmp_path / "alone"))
