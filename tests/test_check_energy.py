"""The test kit for energies: each way to break the contract is caught by its own sentence, and no sound energy is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import energies
from thalweg.energies import check_energy, value_and_gradient
from thalweg.errors import EnergyError, InputError

BASE = energies.Parabola((1.0, 2.0, 3.0))
NOISE = np.random.default_rng(0)
POINTS = NOISE.normal(size=(6, 3))


class Mutant:
    """A parabola with one fault, in its value or in its gradient."""

    def __init__(self, value: Callable = BASE, gradient: Callable = BASE.gradient) -> None:
        self.value, self.gradient = value, gradient

    def __call__(self, x):
        return self.value(x)


def _writes(x):
    value = BASE(x)
    x += 1
    return value


def _noisy(x):
    return BASE(x) + NOISE.normal(size=len(x))


def _bent(x):
    return BASE.gradient(x) + np.array([0, 1e-4, 0]) * (np.arange(len(x)) == 3)[:, None]


MUTANTS = {
    "scalar": (Mutant(lambda x: BASE(x).sum()), r"returned a single number for x of shape \(6, 3\); it must return shape \(6,\)"),
    "column": (Mutant(lambda x: BASE(x)[:, None]), r"returned shape \(6, 1\)"),
    "words": (Mutant(lambda x: "low"), "returned str, not real numbers"),
    "nothing": (Mutant(lambda x: None), "returned NoneType, not real numbers"),
    "gradient of the sum": (Mutant(gradient=lambda x: BASE.gradient(x).sum(0)), r"the gradient of Mutant returned shape \(3,\)"),
    "not finite": (Mutant(lambda x: np.where(np.arange(len(x)) == 2, np.inf, BASE(x))), "energy of Mutant is inf at row 2"),
    "gradient not finite": (Mutant(gradient=lambda x: BASE.gradient(x) * [1, np.nan, 1]), "is nan at row 0, coordinate 1"),
    "writes": (Mutant(_writes), r"writes into its argument \(row 0"),
    "writes in the gradient": (Mutant(gradient=lambda x: np.multiply(x, [1, 2, 3], out=x)), "writes into its argument"),
    "noisy": (Mutant(_noisy), "another result for the same x"),
    "coupled": (Mutant(lambda x: BASE(x - x.mean(0))), r"moving row 0 of x changes the energy of row \d by"),
    "coupled to the next row": (
        Mutant(lambda x: BASE(x) + 1e-6 * np.roll(x[:, 0], 1)),
        "moving row 0 of x changes the energy of row 1",
    ),
    "coupled gradient": (Mutant(gradient=lambda x: BASE.gradient(x) - x.mean(0)), "changes the gradient of row"),
    "sign": (Mutant(gradient=lambda x: -BASE.gradient(x)), "the gradient of Mutant is wrong at row 0, coordinate 0"),
    "one coordinate of one row": (
        Mutant(gradient=_bent),
        r"wrong at row 3, coordinate 1, x = \(.*\): it says .* central differences",
    ),
    "tiny and wrong": (Mutant(lambda x: 1e-8 * BASE(x), lambda x: 2e-8 * BASE.gradient(x)), "the gradient of Mutant is wrong"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_each_broken_energy_is_caught_by_its_own_sentence(name):
    mutant, sentence = MUTANTS[name]
    with pytest.raises(EnergyError, match=sentence) as caught:
        check_energy(mutant, POINTS)
    assert "\n" not in str(caught.value)


def test_the_unbroken_mutant_passes():
    """The faults are caught, not the class that carries them."""
    assert check_energy(Mutant(), POINTS).gradient_error < 1e-6


@settings(deadline=None)
@given(
    waves=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    offset=st.sampled_from([0.0, -1e7, 1e9]),
)
def test_a_sound_energy_is_never_refused(waves, scale, offset):
    """U = scale sum_i cos(w_i x_i) + offset: round-off, which an offset amplifies, is not taken for a wrong gradient."""
    sound = (
        lambda x: scale * np.cos(waves * x).sum(-1) + offset,
        lambda x: -scale * waves * np.sin(waves * x),
    )
    waves = np.array(waves)
    check_energy(sound, POINTS)


def test_a_promised_descent_is_held_to_its_word():
    """x - lr grad U never raises a parabola's energy iff lr <= 2/lambda_max."""

    def move(lr):
        return lambda x: x - lr * BASE.gradient(x)

    assert check_energy(BASE, POINTS, promise=move(2 / 3 - 1e-9)).rise <= 0
    with pytest.raises(EnergyError, match=r"move \d+ raises the energy of row \d of Parabola.* from .* to"):
        check_energy(BASE, POINTS, promise=move(2 / 3 + 0.01))
    with pytest.raises(EnergyError, match="the promised move returned"):
        check_energy(BASE, POINTS, promise=lambda x: x[:1])


@pytest.mark.parametrize("x", [np.zeros((1, 3)), np.zeros(3)])
def test_one_row_cannot_show_that_rows_are_independent(x):
    with pytest.raises(InputError, match="at least two rows"):
        check_energy(BASE, x)


def test_the_points_given_to_the_kit_are_left_alone():
    x = POINTS.copy()
    check_energy(BASE, x)
    np.testing.assert_array_equal(x, POINTS)


# ---- the forms in which an energy may be given


def test_a_pair_of_functions_is_an_energy():
    values, slopes = value_and_gradient((BASE.__call__, BASE.gradient))(POINTS)
    np.testing.assert_array_equal(values, BASE(POINTS))
    np.testing.assert_array_equal(slopes, BASE.gradient(POINTS))


def test_a_pair_serves_tensors_too():
    """A pair is always called with arrays, wherever the points come from."""
    torch = pytest.importorskip("torch")
    values, _ = value_and_gradient((BASE.__call__, BASE.gradient), at=torch.tensor(POINTS))(POINTS)
    np.testing.assert_array_equal(values, BASE(POINTS))


def test_any_function_of_tensors_is_an_energy():
    """sum x^4: autograd says 4 x^3; under no_grad as well; nothing is left in the parameters' .grad."""
    torch = pytest.importorskip("torch")
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        values, slopes = value_and_gradient(lambda x: (weight * x**4).sum(-1), at=torch.tensor(POINTS))(POINTS)
    np.testing.assert_allclose(slopes, 4 * POINTS**3, rtol=1e-14)
    np.testing.assert_allclose(values, (POINTS**4).sum(-1), rtol=1e-14)
    assert weight.grad is None


@pytest.mark.parametrize(
    ("energy", "sentence"),
    [
        (lambda x: x.sum(-1).detach(), "no gradient: its result is detached"),
        (lambda x: x.detach().numpy().sum(-1), "no gradient: its result is detached"),
        (lambda x: x.new_zeros(len(x), requires_grad=True) * 1, "does not depend on x"),
        (lambda x: x.sum(), "a single number"),
        (lambda x: (x.detach().add_(1) * x).sum(-1), "writes into its argument"),
    ],
)
def test_energies_of_tensors_without_gradient_are_refused(energy, sentence):
    torch = pytest.importorskip("torch")
    with pytest.raises(EnergyError, match=sentence):
        check_energy(energy, torch.tensor(POINTS))


def test_batch_normalisation_in_training_mode_is_seen():
    """A network whose batch statistics couple its rows is refused in training mode and accepted in evaluation mode."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()

    def energy(x):
        return body(x)[:, 0]

    with pytest.raises(EnergyError, match=r"in energy, moving row 0 .* batch normalisation in training mode"):
        check_energy(energy, torch.tensor(POINTS))
    body.eval()
    assert check_energy(energy, torch.tensor(POINTS)).gradient_error < 1e-6


def test_finite_differences_need_double_precision():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="float64"):
        check_energy(BASE, torch.tensor(POINTS, dtype=torch.float32))


@pytest.mark.parametrize(
    ("energy", "sentence"),
    [
        (lambda x: x.sum(-1), "has no gradient for arrays: add a method"),
        (3, "3 is not an energy"),
        (energies.Parabola, "the class Parabola is not an energy"),
        ((BASE,), "is a pair"),
        ((BASE, 2), "is a pair"),
        ((), "is a pair"),
    ],
)
def test_what_is_no_energy_is_refused_before_any_call(energy, sentence):
    with pytest.raises(EnergyError, match=sentence):
        value_and_gradient(energy)
