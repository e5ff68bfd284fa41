"""The fast code beside the dense one that can be read in a minute: counts, energy, minimum and answers are the same."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from thalweg import words
from thalweg.words import reference
from thalweg.words.solving import als, objective
from thalweg.words.solving.settings import Settings


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """Forty words of four topics; each line is of one topic."""
    rng = np.random.default_rng(0)
    return [" ".join(f"t{topic}w{k}" for k in rng.geometric(0.25, 9) % 10) for topic in rng.integers(0, 4, 400)]


@pytest.fixture(scope="module")
def dense(lines: list[str]):
    names, numbered, counts = reference.read(lines)
    x = reference.count(numbered, len(names))
    return names, counts, x, reference.targets(x, counts)


def test_words_and_counts_are_the_same(lines, dense) -> None:
    names, counts, x, _ = dense
    made = words.count(lines)
    assert made.words == names
    assert made.word_counts.tolist() == counts.tolist()
    found = made.to_scipy().toarray()
    np.fill_diagonal(found, 0)
    np.testing.assert_allclose(found, x, rtol=1e-6)


def test_the_energy_is_the_same_for_any_vectors(lines, dense) -> None:
    _, _, x, parts = dense
    u, k = np.random.default_rng(1).standard_normal((2, len(x), 5)).astype(np.float32)
    found = als.energy(objective.table(words.count(lines), Settings()), u, k, Settings())["energy"]
    assert found == pytest.approx(reference.energy(u.astype(float), k.astype(float), *parts), rel=1e-4)


def test_the_minimum_and_the_related_words_are_the_same(lines, dense) -> None:
    """Two conjugate-gradient steps a row come to where the exact minimum of each row comes to."""
    names, _, _, parts = dense
    u, k = reference.solve(*parts, dim=8, sweeps=60)
    wv = words.fit(lines, dim=8, epochs=100, tol=0, subwords=0)
    assert wv.energy_path[-1] == pytest.approx(reference.energy(u, k, *parts), rel=2e-3)
    for word in names[:8]:
        expected = reference.related(word, names, u, k, topn=3)
        assert {near for near, _ in wv.related(word, topn=3)} == {near for near, _ in expected}
        assert {near[:2] for near, _ in expected} == {word[:2]}  # of its topic


def test_the_page_of_the_docs_runs(capsys) -> None:
    """And at a river boats go, more than anything runs: the answer is three words with their mutual information."""
    page = (Path(__file__).parents[2] / "docs/words.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```python\n(from thalweg\.words import reference\n.*?)```", page, re.S)
    exec(block, {})
    assert len(eval(capsys.readouterr().out)) == 3
