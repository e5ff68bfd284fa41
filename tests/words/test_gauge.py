"""The balanced gauge: products stay, moments are equal, and no choice of A in (U A, K A^-T) matters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.words.gauge import balance

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
