"""Vector operations against NumPy, compiled and as Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from thalweg import jit, simd
from thalweg.jit import kernel
from thalweg.simd import LANES, axpy, dot, halves, lowest_bit, padded, prefetch


@kernel
def _dot(a, i, b, n):  # type: ignore[no-untyped-def]
    return dot(a, i, b, n)


@kernel
def _axpy(s, a, i, y, n):  # type: ignore[no-untyped-def]
    axpy(s, a, i, y, n)


@kernel
def _prefetch(a, i, n):  # type: ignore[no-untyped-def]
    prefetch(a, i, n)


@kernel
def _lowest_bit(x):  # type: ignore[no-untyped-def]
    return lowest_bit(x)


FORMS = ["compiled", "python"]


def form(kernel: Any, name: str) -> Callable[..., Any]:
    """A kernel as it is compiled, or as written."""
    if name == "compiled" and not jit.enabled():
        pytest.skip("kernels are not compiled here")
    function: Callable[..., Any] = kernel if name == "compiled" else kernel.python
    return function


def noise(n: int) -> Any:
    return np.random.default_rng(n).standard_normal(n).astype(np.float32)


def as_half(a: Any) -> Any:
    small = halves(a)
    if small is None:
        pytest.skip("no fast conversion of halves here")
    return small


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("n", [0, 16, 48, 160, 4096])
@pytest.mark.parametrize("half", [False, True])
def test_dot_is_numpys(name: str, n: int, half: bool) -> None:
    """The first argument from any place on; halves are widened, and the sum stays in float32."""
    a, b = noise(n + 50), noise(n + 1)[:n]
    for i in (0, 1, 7, 50):
        given = as_half(a) if half else a
        exact = (a.astype(np.float16) if half else a)[i : i + n].astype(float) @ b.astype(float)
        found = form(_dot, name)(given, i, b, n)
        assert found == pytest.approx(exact, abs=1e-5 * max(1, n) ** 0.5)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("n", [0, 16, 48, 4096])
@pytest.mark.parametrize("half", [False, True])
def test_axpy_is_numpys_and_touches_nothing_else(name: str, n: int, half: bool) -> None:
    a, y = noise(n + 50), noise(n + 20)
    for i in (0, 3, 50):
        given, found = as_half(a) if half else a, y.copy()
        form(_axpy, name)(np.float32(-1.7), given, i, found, n)
        wide = (a.astype(np.float16).astype(np.float32) if half else a)[i : i + n]
        np.testing.assert_allclose(found[:n], y[:n] + np.float32(-1.7) * wide, atol=1e-6, rtol=1e-6)
        assert np.array_equal(found[n:], y[n:])


@pytest.mark.parametrize("name", FORMS)
def test_the_lowest_bit_is_found(name: str) -> None:
    rng = np.random.default_rng(0)
    for place in range(64):
        for above in (0, *map(int, rng.integers(0, 2**63, 5))):
            x = ((above << 1 | 1) << place) & (2**64 - 1)
            assert form(_lowest_bit, name)(np.uint64(x)) == place


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64, np.uint16])
def test_prefetching_changes_nothing(name: str, dtype: Any) -> None:
    a = np.arange(100).astype(dtype)
    form(_prefetch, name)(a, 3, 64)
    assert np.array_equal(a, np.arange(100).astype(dtype))


def test_halves_are_numpys_and_refuse_what_does_not_fit() -> None:
    a = noise(96).reshape(6, 16)
    small = as_half(a)
    assert (small.dtype, small.shape) == (np.dtype(np.uint16), (96,))
    assert np.array_equal(small.view(np.float16), a.ravel().astype(np.float16))
    assert halves(np.array([65504.0], np.float32)) is not None
    for bad in (65520.0, -1e30, np.inf, np.nan):
        assert halves(np.array([1.0, bad], np.float32)) is None


def test_without_a_fast_conversion_there_are_no_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simd, "_half_conversion", lambda: False)
    assert halves(noise(16)) is None


def test_padding_is_to_whole_vectors() -> None:
    assert [padded(n) for n in (0, 1, LANES, LANES + 1, 128)] == [0, LANES, LANES, 2 * LANES, 128]
