"""The balanced gauge: products stay, moments are equal, and no choice of A in (U A, K A^-T) matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg import words
from thalweg.errors import InputError
from thalweg.words.solving.gauge import balance
from thalweg.words.solving.settings import Settings

Floats = npt.NDArray[np.float32]


def factors(seed: int, n: int = 50, dim: int = 6) -> tuple[Floats, Floats]:
    """Two random sides whose product has well parted singular values."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((n, dim)))[0] for _ in range(2))
    return (left * 1.5 ** -np.arange(dim)).astype(np.float32), right.astype(np.float32)


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 12))
def test_products_are_unchanged_and_moments_equal(seed: int, n: int, dim: int) -> None:
    """U K^T stays; U^T U = K^T K = diag(S) with S falling, the singular values of U K^T; also for d > V."""
    u, k = np.random.default_rng(seed).standard_normal((2, n, dim)).astype(np.float32)
    new_u, new_k, spectrum = balance(u, k)
    products = u.astype(float) @ k.T
    scale = max(1.0, np.abs(products).max())
    np.testing.assert_allclose(new_u.astype(float) @ new_k.T, products, atol=1e-5 * scale)
    for side in (new_u, new_k):
        np.testing.assert_allclose(side.T.astype(float) @ side, np.diag(spectrum), atol=1e-5 * max(1.0, spectrum[0]))
    assert (np.diff(spectrum) <= 1e-12).all()
    singular = np.linalg.svd(products, compute_uv=False)[:dim]
    np.testing.assert_allclose(spectrum[: len(singular)], singular, atol=1e-9 * scale + 1e-9 * singular[0])
    assert (new_u.dtype, new_k.dtype, new_u.shape, spectrum.shape) == (np.float32, np.float32, (n, dim), (dim,))


@given(st.integers(0, 2**32))
def test_the_result_does_not_depend_on_the_gauge_of_the_input(seed: int) -> None:
    """(U A, K A^-T) has the same products, for any invertible A: the same vectors come out, column by column."""
    u, k = factors(seed)
    rng = np.random.default_rng(seed + 1)
    left, right = (np.linalg.qr(rng.standard_normal((6, 6)))[0] for _ in range(2))
    a = (left * np.geomspace(1, 80, 6)) @ right  # condition 80
    moved = (u @ a).astype(np.float32), (k @ np.linalg.inv(a).T).astype(np.float32)
    for one, other in zip(balance(u, k), balance(*moved), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-4)


def test_balancing_twice_is_balancing_once() -> None:
    first = balance(*factors(0))
    for one, other in zip(first, balance(first[0], first[1]), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)


@given(st.integers(0, 2**32))
def test_in_every_column_the_entry_of_largest_modulus_is_positive(seed: int) -> None:
    u, k = np.random.default_rng(seed).standard_normal((2, 20, 4)).astype(np.float32)
    new_u, _, _ = balance(u, k)
    assert (new_u[np.abs(new_u).argmax(axis=0), range(4)] > 0).all()


def test_leading_columns_are_the_best_product_of_their_rank() -> None:
    """Eckart and Young: the first r columns give the truncated singular value decomposition of U K^T."""
    u, k = np.random.default_rng(0).standard_normal((2, 40, 8)).astype(np.float32)
    new_u, new_k, spectrum = balance(u, k)
    products = u.astype(float) @ k.T
    for r in range(1, 8):
        error = np.linalg.norm(products - new_u[:, :r].astype(float) @ new_k[:, :r].T)
        assert error == pytest.approx(np.sqrt((spectrum[r:] ** 2).sum()), rel=1e-4)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_sides_of_lower_rank_give_zeros_at_the_end(rank: int) -> None:
    rng = np.random.default_rng(0)
    u, k = (rng.standard_normal((20, rank)) @ rng.standard_normal((rank, 5)) for _ in range(2))
    new_u, new_k, spectrum = balance(u.astype(np.float32), k.astype(np.float32))
    np.testing.assert_allclose(new_u.astype(float) @ new_k.T, u @ k.T, atol=1e-4)
    assert (spectrum[rank:] < 1e-4).all()
    assert np.isfinite(new_u).all()
    assert np.abs(new_u[:, rank:]).max(initial=0) < 0.02  # the root of a spectrum that is 0 up to float32 rounding


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_theta_parts_the_spectrum_and_leaves_the_product(seed: int, theta: float) -> None:
    """U^T U = S^(2 theta), K^T K = S^(2 - 2 theta); inner products do not depend on theta."""
    u, k = factors(seed)
    new_u, new_k, spectrum = balance(u, k, theta)
    np.testing.assert_allclose(new_u.astype(float) @ new_k.T, u.astype(float) @ k.T, atol=1e-5)
    np.testing.assert_allclose(new_u.T.astype(float) @ new_u, np.diag(spectrum ** (2 * theta)), atol=2e-5)
    np.testing.assert_allclose(new_k.T.astype(float) @ new_k, np.diag(spectrum ** (2 - 2 * theta)), atol=2e-5)


def test_theta_of_a_half_is_the_balanced_gauge_to_the_bit() -> None:
    """Both sides have the same second moments."""
    for one, other in zip(balance(*factors(3), 0.5), balance(*factors(3)), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("theta", [0.0, 1.0])
def test_a_direction_without_weight_stays_zero_whatever_theta(theta: float) -> None:
    """0^0 = 1 would give a direction that the product does not have a length on one side."""
    u, k = (side.copy() for side in factors(4))
    u[:, 2:] = k[:, 2:] = 0
    new_u, new_k, spectrum = balance(u, k, theta)
    assert (spectrum[2:] < 1e-9).all()
    np.testing.assert_allclose(new_u.astype(float) @ new_k.T, u.astype(float) @ k.T, atol=1e-5)


@pytest.mark.parametrize("solver", ["svd", "als"])
def test_a_fit_with_another_theta_has_the_same_mutual_information(solver: str) -> None:
    rng = np.random.default_rng(0)
    lists = [[f"w{k}" for k in rng.integers(0, 8, 9) + 8 * (line % 4)] for line in range(200)]
    options: dict[str, Any] = {"dim": 6, "min_count": 1, "solver": solver, "subwords": 0.0}
    even, words_all = words.fit(lists, **options), words.fit(lists, theta=1.0, **options)
    np.testing.assert_allclose(words_all.word @ words_all.context.T, even.word @ even.context.T, atol=1e-4)
    np.testing.assert_allclose(even.word.T @ even.word, even.context.T @ even.context, atol=1e-4)
    np.testing.assert_allclose(words_all.context.T @ words_all.context, np.eye(6), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"theta": -0.1}, "from 0 to 1"),
        ({"theta": 1.5}, "from 0 to 1"),
        ({"theta": float("nan")}, "from 0 to 1"),
        ({"theta": 0.4, "model": "shared"}, "one side only"),
        ({"theta": 0.4, "objective": "glove", "solver": "adagrad"}, "biases"),
    ],
)
def test_a_theta_that_makes_no_sense_is_refused(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        Settings(**options)
