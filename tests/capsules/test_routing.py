"""Routing: its energy goes down for every map, rule and scale; closed forms; samples, inputs and outputs do not mix."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.capsules import free_energy, route
from thalweg.capsules.lengths import LENGTHS, norm, squash
from thalweg.capsules.routing import PRESETS
from thalweg.errors import InputError

Floats = npt.NDArray[np.float64]

problems = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "n": st.integers(1, 11),
        "k": st.integers(1, 5),
        "d": st.integers(1, 5),
        "power": st.floats(-20, 20),
        "beta": st.sampled_from([1e-3, 0.1, 1.0, 30.0, 1e3]),
    }
)


def votes(seed: int, n: int, k: int, d: int, power: float = 0.0, *batch: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(*batch, n, k, d)) * 10**power


# ---- the energy


@pytest.mark.parametrize("inside", LENGTHS)
@pytest.mark.parametrize("update", ["recompute", "accumulate"])
@given(problem=problems)
def test_the_energy_never_rises(inside: str, update: str, problem: dict[str, Any]) -> None:
    """Theorems R and A, with weights and votes of 1e-20 to 1e20: up to rounding of its size."""
    beta, seed = problem.pop("beta"), problem["seed"]
    u = votes(**problem)
    w = np.random.default_rng(seed + 1).uniform(0, 3, problem["n"])
    given_ = {"inverse_temperature": beta} if update == "recompute" else {"step": beta}
    energy = route(u, iterations=12, update=update, inside=inside, input_weights=w, return_energy=True, **given_)[1]
    assert np.isfinite(energy).all()
    assert (np.diff(energy) <= 1e-12 * np.abs(energy).max()).all()


@given(problem=problems)
def test_means_of_votes_are_soft_k_means(problem: dict[str, Any]) -> None:
    """With votes that are the same for all outputs, the energy of each pass is that of the centres (the votes' rows)."""
    beta, seed = problem.pop("beta"), problem["seed"]
    problem["power"] = problem["power"] / 10
    u = votes(**problem)
    logits = np.random.default_rng(seed).normal(size=u.shape[:-1])
    _, energy = route(
        u, routing="mean", iterations=9, inverse_temperature=beta, initial_logits=logits, return_energy=True, squash=None
    )
    assert (np.diff(energy) <= 1e-12 * np.abs(energy).max()).all()
    rows = np.random.default_rng(seed).normal(size=(problem["n"], problem["d"]))
    v, energy = route(
        np.repeat(rows[:, None], problem["k"], axis=1),
        routing="mean", iterations=5, inverse_temperature=beta, initial_logits=logits, return_energy=True, squash=None,
    )  # fmt: skip
    assert energy[-1] == pytest.approx(free_energy(rows, v, beta), rel=1e-9, abs=1e-12)


# ---- closed forms


def test_squash_has_its_closed_form_and_no_trouble_at_its_ends() -> None:
    assert squash([3.0, 4.0], constant=1) == pytest.approx([25 / 26 * 0.6, 25 / 26 * 0.8])
    assert squash([3.0, 4.0]) == pytest.approx([25 / 25.5 * 0.6, 25 / 25.5 * 0.8])
    assert norm(squash([0.6, 0.8], constant=1)) == pytest.approx(0.5)
    for kind in LENGTHS:
        assert (squash(np.zeros(3), kind) == 0).all()
        for size in (1e-200, 1e-30, 1e30, 1e200):
            v = squash([0.0, 3 * size, 4 * size], kind)
            assert np.isfinite(v).all()
            assert kind == "linear" or norm(v).item() <= 1 + 1e-15


@pytest.mark.parametrize("kind", LENGTHS)
def test_phi_is_the_derivative_of_its_integral(kind: str) -> None:
    """Also near 0, where the closed form of the integral loses its digits."""
    r = np.geomspace(1e-4, 30, 60)
    h = 1e-4 * r
    map_ = LENGTHS[kind]
    slope = (map_.integral(r + h, 0.5) - map_.integral(r - h, 0.5)) / (2 * h)
    np.testing.assert_allclose(slope, map_.length(r, 0.5), rtol=1e-6)
    assert map_.integral(np.array([0.0]), 0.5) == 0


def test_one_output_takes_all_and_one_pass_shares_alike() -> None:
    u = votes(0, 5, 1, 3)
    for iterations in (1, 3, 7):
        np.testing.assert_allclose(route(u, iterations=iterations), squash(u.sum(axis=0)), rtol=1e-12)
    u = votes(1, 5, 4, 3)
    v, c = route(u, iterations=1, return_couplings=True)
    np.testing.assert_allclose(v, squash(u.sum(axis=0) / 4), rtol=1e-12)
    assert (c == 1 / 4).all()


def test_two_by_two_has_the_values_of_its_recurrence() -> None:
    """Votes 2 I. unit inside: v = 1, so c = sigmoid(2) and s = 2 c from pass 2 on; the others by hand."""
    u = 2 * np.eye(2)[..., None]
    s = route(u, iterations=5, squash=None)
    assert s[0, 0] == pytest.approx(1.7615941559557649)
    assert route(u, iterations=5, squash_constant=1.0)[0, 0] == pytest.approx(0.7562886, abs=1e-7)
    assert route(u, iterations=5)[0, 0] == pytest.approx(0.8612350, abs=1e-7)
    for iterations, c11, length in ((1, 0.5, 0.5), (2, 0.7310586, 0.6813040), (3, 0.9139312, 0.7696426)):
        v, c = route(u, routing="sabour2017", iterations=iterations, return_couplings=True)
        assert (c[0, 0], v[0, 0]) == pytest.approx((c11, length), abs=1e-7)
    v, c = route(u, inside="squash", squash_constant=1.0, iterations=3, return_couplings=True)
    assert (c[0, 0], v[0, 0]) == pytest.approx((0.7961832, 0.7171651), abs=1e-7)


def test_hard_routing_gives_each_input_to_the_first_best_output() -> None:
    _, c = route(votes(3, 6, 4, 2), routing="hard", return_couplings=True)
    assert set(np.unique(c)) == {0.0, 1.0}
    assert (c.sum(axis=-1) == 1).all()
    _, c = route(np.ones((3, 4, 2)), routing="hard", return_couplings=True)
    assert (c[:, 0] == 1).all()


# ---- invariances


@pytest.mark.parametrize("routing", PRESETS)
def test_couplings_are_shares_of_the_outputs_and_no_sample_sees_another(routing: str) -> None:
    """Found in public code: a softmax over the inputs, and logits averaged over the batch."""
    u = votes(5, 7, 3, 4, 0.0, 6)
    v, c = route(u, routing=routing, return_couplings=True)
    assert c.shape == (6, 7, 3)
    np.testing.assert_allclose(c.sum(axis=-1), 1, rtol=1e-12)
    for b in (0, 5):
        alone, c_alone = route(u[b], routing=routing, return_couplings=True)
        np.testing.assert_array_equal(alone, v[b])
        np.testing.assert_array_equal(c_alone, c[b])


@pytest.mark.parametrize("routing", PRESETS)
@given(seed=st.integers(0, 10**6))
def test_permutations_rotations_duplicates_and_padding(routing: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k, d = 6, 4, 3
    u = votes(seed, n, k, d)
    v = route(u, routing=routing)
    np.testing.assert_allclose(route(u[rng.permutation(n)], routing=routing), v, rtol=1e-9, atol=1e-12)
    order = rng.permutation(k)
    if routing != "hard":  # whose ties go to the first output
        np.testing.assert_allclose(route(u[:, order], routing=routing), v[order], rtol=1e-9, atol=1e-12)
    turns = np.linalg.qr(rng.normal(size=(k, d, d)))[0]
    np.testing.assert_allclose(
        route(np.einsum("kde,nke->nkd", turns, u), routing=routing), np.einsum("kde,ke->kd", turns, v), rtol=1e-8, atol=1e-10
    )
    doubled = route(np.concatenate([u, u[:1]]), routing=routing)
    np.testing.assert_allclose(route(u, routing=routing, input_weights=[2] + [1] * (n - 1)), doubled, rtol=1e-9, atol=1e-12)
    padded = np.concatenate([u, rng.normal(size=(3, k, d)) * 1e6])
    mask = np.arange(n + 3) < n
    masked, c = route(padded, routing=routing, mask=mask, return_couplings=True)
    np.testing.assert_allclose(masked, v, rtol=1e-9, atol=1e-12)
    assert (c[n:] == 0).all()


def test_the_temperature_is_absorbed_by_the_votes_where_vectors_are_of_length_one() -> None:
    """unit inside: votes K u at b = 1 have the couplings of u at b = K, and sums K times as long."""
    u = votes(9, 8, 3, 4)
    s, c = route(5 * u, squash=None, return_couplings=True)
    other, c_other = route(u, inverse_temperature=5.0, squash=None, return_couplings=True)
    np.testing.assert_allclose(c, c_other, rtol=1e-12)
    np.testing.assert_allclose(s, 5 * other, rtol=1e-12)


def test_equal_votes_for_all_outputs_stay_shared_alike() -> None:
    u = np.repeat(votes(2, 9, 1, 4), 5, axis=1)
    for routing in ("su2018", "sabour2017", "su2018-squash"):
        _, c = route(u, routing=routing, iterations=6, return_couplings=True)
        np.testing.assert_allclose(c, 1 / 5, rtol=1e-12)


def test_a_mask_that_hides_all_leaves_nothing() -> None:
    for routing in PRESETS:
        v, c, energy = route(votes(0, 4, 3, 2), routing=routing, mask=np.zeros(4), return_couplings=True, return_energy=True)
        assert (v == 0).all()
        assert (c == 0).all()
        assert np.isfinite(energy).all()


# ---- wrong use


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"iterations": 0}, "iterations=0 is not a whole number of 1 or more"),
        ({"iterations": 2.5}, "iterations=2.5"),
        ({"routing": "su2017"}, "there is no routing 'su2017'.*su2018"),
        ({"inside": "squish"}, "there is no length map 'squish'.*squash"),
        ({"squash": "no"}, "there is no length map 'no'"),
        ({"update": "both"}, "update='both': it is recompute or accumulate"),
        ({"inverse_temperature": -1.0}, "inverse_temperature=-1.0 is not a number above 0"),
        ({"inverse_temperature": float("nan")}, "inverse_temperature=nan"),
        ({"step": 0}, "step=0"),
        ({"temperature": 2}, "routing has no setting 'temperature'"),
        ({"routing": "sabour2017", "inverse_temperature": float("inf")}, "accumulated couplings have no temperature"),
        ({"mask": np.ones((2, 9))}, "shape of the inputs"),
        ({"input_weights": [-1, 1, 1]}, "at least 0"),
    ],
)
def test_wrong_use_is_one_line(given_: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        route(np.ones((3, 2, 2)), **given_)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given_", [np.ones(3), np.ones((2, 2)), np.ones((3, 0, 2)), np.full((2, 2, 2), np.nan)])
def test_what_are_no_votes_is_one_line(given_: Floats) -> None:
    with pytest.raises(InputError, match="votes"):
        route(given_)
