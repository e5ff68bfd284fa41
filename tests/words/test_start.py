"""The start of the solver against a dense eigen-decomposition of the positive PMI."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from thalweg.words.counts.table import CooccurrenceCounts, count
from thalweg.words.solving import objective, svd
from thalweg.words.solving.objective import Settings, Table
from thalweg.words.text.reading import read

Doubles = npt.NDArray[np.float64]


def counted(n_words: int, n_lines: int, seed: int = 0) -> CooccurrenceCounts:
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, 10, (n_lines, 1))
    ids = np.where(rng.random((n_lines, 12)) < 0.7, topic + 10 * rng.integers(0, n_words // 20, (n_lines, 12)), 0)
    ids = np.where(ids, ids, rng.integers(0, n_words, (n_lines, 12)))
    return count(read([[f"w{k}" for k in row] for row in ids], min_count=1), window=4)


def positive_pmi(counts: CooccurrenceCounts) -> Doubles:
    """s_ij = max(0, ln X_ij - 7/8 (ln r_i + ln r_j) + ln sum_k r_k^(3/4)) where X_ij > 0, i != j, else 0.   (n_words, n_words)"""
    x = counts.to_scipy().toarray()
    np.fill_diagonal(x, 0)
    r = x.sum(axis=1)
    table = np.zeros_like(x)
    i, j = np.nonzero(x)
    table[i, j] = np.maximum(0, np.log(x[i, j]) - 0.875 * (np.log(r[i]) + np.log(r[j])) + np.log((r**0.75).sum()))
    return table


def eigen(matrix: Doubles) -> tuple[Doubles, Doubles]:
    """Eigenvalues by falling modulus, and their vectors."""
    values, vectors = np.linalg.eigh(matrix)
    order = np.argsort(-np.abs(values), kind="stable")
    return values[order], vectors[:, order]


def started(counts: CooccurrenceCounts, dim: int, **options: int) -> tuple[Doubles, Doubles]:
    u, k = svd.start(objective.table(counts, Settings()), dim, **options)  # type: ignore[arg-type]
    return u.astype(float), k.astype(float)


@pytest.fixture(scope="module")
def counts() -> CooccurrenceCounts:
    return counted(300, 900)


def test_the_smoothed_pmi_is_the_mean_of_both_orders(counts: CooccurrenceCounts) -> None:
    """ln P(i,j)/(P(i) P'(j)) with P'(j) = r_j^(3/4)/sum r^(3/4); the mean over (i,j) and (j,i) is the symmetric s_ij."""
    x = counts.to_scipy().toarray()
    np.fill_diagonal(x, 0)
    r = x.sum(axis=1)
    i, j = np.nonzero(x)
    share, smooth = r / r.sum(), r**0.75 / (r**0.75).sum()
    one = np.log(x[i, j] / x.sum() / share[i] / smooth[j])
    other = np.log(x[i, j] / x.sum() / share[j] / smooth[i])
    np.testing.assert_allclose(positive_pmi(counts)[i, j], np.maximum(0, (one + other) / 2), atol=1e-9)


@pytest.mark.parametrize("dim", [1, 20, 64])
def test_eigenvalues_are_the_largest_by_modulus_with_their_signs(counts: CooccurrenceCounts, dim: int) -> None:
    """u = E |L|^(1/2), k = u sign(L): |u_c|^2 = |L_c| and <u_c, k_c> = L_c; Ritz values approach the true ones from below."""
    values, _ = eigen(positive_pmi(counts))
    u, k = started(counts, dim)
    found = np.sort(np.abs((u * k).sum(axis=0)))[::-1]
    np.testing.assert_allclose((u * u).sum(axis=0), np.abs((u * k).sum(axis=0)), rtol=1e-5)
    assert (found <= np.abs(values[:dim]) * (1 + 1e-5)).all()
    np.testing.assert_allclose((u * k).sum(axis=0)[:10], values[: min(dim, 10)], rtol=1e-3)  # one for each topic


def test_more_power_steps_converge(counts: CooccurrenceCounts) -> None:
    """Subspace iteration: with 60 products the 20 leading eigenvalues are right to 1e-4."""
    values, _ = eigen(positive_pmi(counts))
    u, k = started(counts, 20, power_steps=60)
    np.testing.assert_allclose(np.sort(np.abs((u * k).sum(axis=0)))[::-1], np.abs(values[:20]), rtol=1e-4)


def test_the_products_are_nearly_the_best_of_their_rank(counts: CooccurrenceCounts) -> None:
    """Eckart and Young: no product of rank d is nearer to S; the start comes within 6%, on a flat tail."""
    s = positive_pmi(counts)
    values, _ = eigen(s)
    for dim in (5, 20, 64):
        u, k = started(counts, dim)
        best = np.sqrt((values[dim:] ** 2).sum())
        assert best * (1 - 1e-6) <= np.linalg.norm(s - u @ k.T) <= 1.06 * best


@pytest.mark.parametrize("dim", [20, 30, 45])
def test_a_small_table_is_decomposed_exactly(dim: int) -> None:
    """d + 16 >= V: the subspace is everything. Columns beyond V are 0."""
    small = counted(30, 200)
    s = positive_pmi(small)
    values, vectors = eigen(s)
    u, k = started(small, dim)
    n = min(dim, len(s))
    np.testing.assert_allclose(u @ k.T, (vectors[:, :n] * values[:n]) @ vectors[:, :n].T, atol=1e-4 * np.abs(values[0]))
    assert u.shape == k.shape == (len(s), dim)
    assert not u[:, n:].any()


def test_the_same_seed_gives_the_same_bits_and_another_the_same_space(counts: CooccurrenceCounts) -> None:
    u, k = started(counts, 8, seed=1, power_steps=40)
    again, _ = started(counts, 8, seed=1, power_steps=40)
    other, other_k = started(counts, 8, seed=2, power_steps=40)
    assert u.tobytes() == again.tobytes() != other.tobytes()
    np.testing.assert_allclose(u @ k.T, other @ other_k.T, atol=1e-3 * np.abs(u @ k.T).max())


def test_words_without_a_pair_start_at_zero() -> None:
    lonely = count(read([["a", "b", "c"] * 5, *[["x"]] * 3], min_count=1), window=2)
    u, k = started(lonely, 3)
    assert not u[lonely.words.index("x")].any()
    assert np.isfinite(u @ k.T).all()


def test_tasks_cover_every_row_once() -> None:
    for lengths in ([0, 0, 0], [5, 0, 7, 0, 0], [1000, 1, 1], [1] * 50, [0, 0, 9]):
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        for entries in (1, 3, 10, 1 << 18):
            tasks = svd.row_tasks(indptr, entries)
            assert [row for first, last in tasks for row in range(first, last)] == [*range(len(lengths))]


def test_progress_counts_the_products(counts: CooccurrenceCounts) -> None:
    seen: list[tuple[float, float | None]] = []
    table: Table = objective.table(counts, Settings())
    svd.start(table, 4, power_steps=3, progress=lambda done, total, **numbers: seen.append((done, total)))
    assert seen == [(k, 5) for k in range(1, 6)]
