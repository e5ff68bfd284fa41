"""The energy's parts: mutual information and weights in closed form, the all-pairs term against its double loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import InputError
from thalweg.words.counts.table import count
from thalweg.words.solving import objective
from thalweg.words.solving.objective import Settings, Table, all_pairs_energy, gram, table
from thalweg.words.text.reading import read

LINES = [["a", "b", "c", "a", "b"], ["b", "c", "d"]]  # counts b 3, a 2, c 2, d 1


def made(lists: list[list[str]] = LINES, distance: str = "uniform", window: int = 2, **settings: float) -> Table:
    return table(count(read(lists, min_count=1), window=window, distance=distance), Settings(**settings))  # type: ignore[arg-type]


def entries(found: Table, values: np.ndarray, words: str = "bacd") -> dict[str, float]:
    """{"ab": value of the entry (a, b), ...}"""
    rows = np.repeat(np.arange(len(found.pull)), np.diff(found.indptr))
    return {words[i] + words[j]: float(v) for i, j, v in zip(rows, found.columns, values, strict=True)}


# Mutual information


def test_pmi_of_the_specification() -> None:
    """Uniform, N = 20, T = 8: PMI(ab) = ln(3 * 64/(20 * 2 * 3)) = ln 1.6, as are ac, bc and cd; PMI(bd) = ln(16/15)."""
    t = made()
    found = entries(t, t.targets)
    expected = dict.fromkeys(("ab", "ac", "bc", "cd"), math.log(1.6)) | {"bd": math.log(16 / 15)}
    assert found == pytest.approx(expected | {key[::-1]: value for key, value in expected.items()}, abs=1e-7)


def test_pmi_of_the_harmonic_table() -> None:
    """N = 16: PMI(ab) = ln(5/2 * 64/(16 * 2 * 3)) = ln(5/3), PMI(ac) = ln(3/2), PMI(bd) = ln(2/3), PMI(cd) = ln 2."""
    t = made(distance="harmonic")
    found = entries(t, t.targets)
    ratios = {"ab": 5 / 3, "ac": 3 / 2, "bc": 5 / 3, "bd": 2 / 3, "cd": 2}
    assert {key: math.exp(found[key]) for key in ratios} == pytest.approx(ratios, rel=1e-6)


@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=2, max_size=12), min_size=1, max_size=4), st.integers(2, 4))
def test_a_corpus_read_twice_has_the_same_pmi(lists: list[list[str]], times: int) -> None:
    """X, N, c and T all grow by the same factor m: t = ln(m X (m T)^2 / (m N m c m c))."""
    lists = [*lists, ["a", "b"]]
    one, more = made(lists), made(lists * times)
    assert np.array_equal(one.columns, more.columns)
    np.testing.assert_allclose(one.targets, more.targets, atol=2e-6)


def test_the_table_is_full_symmetric_sorted_and_without_diagonal() -> None:
    rng = np.random.default_rng(0)
    lists = [[f"w{k}" for k in row] for row in rng.integers(0, 40, (30, 20))]
    counts = count(read(lists, min_count=1), window=4)
    t = table(counts, Settings())
    rows = np.repeat(np.arange(len(t.pull)), np.diff(t.indptr))
    x = counts.to_scipy().toarray()
    np.fill_diagonal(x, 0)
    assert np.array_equal(np.stack([rows, t.columns]), np.stack(np.nonzero(x)))
    np.testing.assert_allclose(t.row_sums, x.sum(axis=1), rtol=1e-12)
    log_x = t.targets + t.to_log[rows] + t.to_log[t.columns] + t.log_base
    np.testing.assert_allclose(log_x, np.log(x[rows, t.columns]), atol=1e-5)


# Weights


def test_weights_are_a_power_of_the_count_cut_at_1() -> None:
    t = made(x_max=2.0, alpha=0.75)
    found = entries(t, t.weights)
    expected = {"ab": 1.5**0.75, "ac": 1.0, "bd": 0.5**0.75}
    assert {key: found[key] for key in expected} == pytest.approx({key: min(1.0, w) for key, w in expected.items()}, rel=1e-6)


def test_alpha_0_weighs_all_seen_pairs_alike() -> None:
    assert set(made(alpha=0.0).weights.tolist()) == {1.0}


@given(st.floats(0.5, 500), st.floats(0, 2))
def test_the_pull_of_a_pair_is_a_power_of_the_count_that_chance_would_bring(x_max: float, beta: float) -> None:
    """p_i p_j = (E_ij / x_max)^beta with E_ij = N c_i c_j / T^2."""
    t = made(x_max=x_max, beta=beta)
    counts = np.array([3, 2, 2, 1])
    expected = (20 * np.outer(counts, counts) / 8**2 / x_max) ** beta
    np.testing.assert_allclose(np.outer(t.pull, t.pull), expected, rtol=1e-5)


# The all-pairs term


@given(st.integers(0, 2**32), st.floats(-3, 3), st.floats(0, 5))
def test_the_gram_form_equals_the_double_loop_over_all_pairs(seed: int, floor: float, rho: float) -> None:
    """V = 30, d = 5, float64: rho/2 sum_ij p_i p_j (<u_i, k_j> - s)^2 to 1e-10."""
    rng = np.random.default_rng(seed)
    u, k = rng.standard_normal((2, 30, 5)).astype(np.float32)
    p = rng.random(30).astype(np.float32)
    loop = sum(
        rho / 2 * float(p[i]) * float(p[j]) * (u[i].astype(float) @ k[j].astype(float) - floor) ** 2
        for i in range(30)
        for j in range(30)
    )
    value = all_pairs_energy(gram(u, p, 1), gram(k, p, 1), p, Settings(rho=rho, floor=floor))
    assert value == pytest.approx(loop, rel=1e-10, abs=1e-12)


def test_the_gradient_of_the_gram_form_is_that_of_the_double_loop() -> None:
    """d/du_i = rho p_i (G u_i - s h), by central differences of the double loop (a quadratic, so exact up to rounding)."""
    rng = np.random.default_rng(0)
    u, k = rng.standard_normal((2, 30, 5)).astype(np.float32)
    p = rng.random(30).astype(np.float32)
    g, h = gram(k, p, 1)
    gradient = 0.7 * p[:, None] * (u @ g - -1.5 * h)

    def energy(u: np.ndarray) -> float:
        return float(0.7 / 2 * (np.outer(p, p).astype(float) * (u @ k.T.astype(float) + 1.5) ** 2).sum())

    for i, c in ((0, 0), (7, 3), (29, 4)):
        step = np.zeros_like(u, dtype=float)
        step[i, c] = 1e-3
        assert (energy(u + step) - energy(u - step)) / 2e-3 == pytest.approx(gradient[i, c], rel=1e-6)


def test_gram_sums_have_the_same_bits_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "BLOCK", 64)
    rng = np.random.default_rng(0)
    rows, pull = rng.standard_normal((1000, 17)).astype(np.float32), rng.random(1000).astype(np.float32)
    one, two, three = (gram(rows, pull, threads) for threads in (1, 2, 3))
    assert one[0].tobytes() == two[0].tobytes() == three[0].tobytes()
    assert one[1].tobytes() == two[1].tobytes() == three[1].tobytes()
    np.testing.assert_allclose(one[0], (rows.astype(float) * pull[:, None]).T @ rows, atol=1e-10)


# What cannot be used


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("x_max", 0.0, "a positive number"),
        ("x_max", math.inf, "a positive number"),
        ("alpha", -1.0, "a number, 0 or more"),
        ("rho", math.nan, "a number, 0 or more"),
        ("beta", -0.1, "a number, 0 or more"),
        ("ridge", -1.0, "a number, 0 or more"),
        ("floor", -math.inf, "a finite number"),
    ],
)
def test_constants_that_cannot_be_are_refused_by_name(name: str, value: float, kind: str) -> None:
    with pytest.raises(InputError, match=rf"^{name}={value!r} is not {kind}$"):
        Settings(**{name: value})


def test_words_that_never_meet_are_an_error_that_says_what_to_do() -> None:
    with pytest.raises(InputError, match="no two different words stand within a window of each other"):
        made([["a"], ["b"], ["c", "c"]])
