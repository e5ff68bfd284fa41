"""The landscapes' facts, each against a measurement or a closed form."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import energies
from thalweg.energies import LANDSCAPES, check_energy, value_and_gradient
from thalweg.errors import InputError

LANDSCAPE = [make() for make in LANDSCAPES.values()] + [
    energies.Parabola.conditioned(1000, dim=5),
    energies.DoubleWell(tilt=0.2),
    energies.DoubleWell(tilt=-0.3),
    energies.Banana(b=-2.0),
    energies.Gaussian((0.5,)),
]
every_landscape = pytest.mark.parametrize("landscape", LANDSCAPE, ids=repr)


def some_points(landscape: energies.Landscape, n: int = 40) -> np.ndarray:
    """Points about the minima, from near to a few units away."""
    rng = np.random.default_rng(0)
    minima = landscape.minima[rng.integers(len(landscape.minima), size=n)]
    return minima + rng.normal(size=minima.shape) * rng.choice([0.01, 0.3, 2.0], size=(n, 1))


# ---- facts


@every_landscape
def test_every_landscape_passes_the_kit(landscape):
    """(n,), finite, row by row, and .gradient is the derivative of the value to 1e-6 in every coordinate."""
    found = check_energy(landscape, some_points(landscape))
    assert found.gradient_error < 1e-6
    assert found.coupling == 0
    assert (found.n_rows, found.dim, found.rise) == (40, landscape.dim, None)


@every_landscape
def test_tensors_give_the_values_and_gradients_of_arrays(landscape):
    """torch's value and autograd's gradient are those of NumPy and of the closed form, to 1e-12 relative."""
    torch = pytest.importorskip("torch")
    x = some_points(landscape)
    values, slopes = value_and_gradient(landscape, at=torch.tensor(x))(x)
    np.testing.assert_allclose(values, landscape(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slopes, landscape.gradient(x), rtol=1e-12, atol=1e-12 * np.abs(slopes).max())


@every_landscape
def test_gradient_vanishes_at_the_minima_and_the_first_is_the_lowest(landscape):
    """grad U = 0 at each minimum; U there is ascending (to round-off), and `least` is the first."""
    at_minima = landscape(landscape.minima)
    assert landscape.minima.shape == (len(at_minima), landscape.dim)
    np.testing.assert_allclose(landscape.gradient(landscape.minima), 0, atol=1e-9)
    assert np.all(np.diff(at_minima) >= -1e-12)
    assert landscape.least == at_minima[0]


@every_landscape
def test_nothing_lies_below_the_least_energy(landscape):
    """U(x) >= least over points near and far."""
    assert np.all(landscape(some_points(landscape, 2000)) >= landscape.least - 1e-12)


@every_landscape
def test_curvatures_are_the_eigenvalues_of_the_measured_hessian(landscape):
    """Central differences of the gradient give the Hessian at each minimum; its eigenvalues, all positive, are `spectrum`."""
    h, dim = 1e-5, landscape.dim
    for minimum, hessian, spectrum in zip(landscape.minima, landscape.hessians, landscape.spectrum, strict=True):
        step = h * np.eye(dim)
        measured = (landscape.gradient(minimum + step) - landscape.gradient(minimum - step)) / (2 * h)
        np.testing.assert_allclose(hessian, measured, atol=1e-7 * np.abs(measured).max())
        np.testing.assert_allclose(spectrum, np.linalg.eigvalsh((measured + measured.T) / 2), rtol=1e-5)
        assert spectrum[0] > 0


@pytest.mark.parametrize(
    ("density", "reach", "step"),
    [
        (energies.Gaussian((0.5, 2.0)), (5, 20), 0.2),
        (energies.Banana(), (8, 40), 0.25),
        (energies.Banana(b=-2.0), (8, 150), 0.25),
        (energies.TwoBumps(), (8,), 0.1),
        (energies.Gaussians25(), (1, 1), 0.0088),
    ],
    ids=repr,
)
def test_moments_and_normaliser_are_those_of_a_quadrature(density, reach, step):
    """Mean, covariance and log Z against sums over a grid of step <= sd/2, which for Gaussian tails are exact to round-off."""
    axes = [np.arange(-end, end, step) for end in reach]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, density.dim)
    weight = np.exp(-density(grid))
    assert math.log(weight.sum() * step**density.dim) == pytest.approx(density.log_normaliser, abs=1e-9)
    mean = weight @ grid / weight.sum()
    np.testing.assert_allclose(mean, density.mean, atol=1e-9)
    covariance = (grid - mean).T @ ((grid - mean) * weight[:, None]) / weight.sum()
    np.testing.assert_allclose(covariance, density.covariance, atol=1e-9)


def test_gaussian_of_eight_coordinates_is_eight_gaussians():
    """Z and U factorise: log Z is the sum of log Z_i, and U the sum of U_i."""
    whole = energies.Gaussian()
    parts = [energies.Gaussian((sd,)) for sd in whole.sd]
    x = some_points(whole)
    assert whole.dim == 8
    assert whole.log_normaliser == pytest.approx(sum(part.log_normaliser for part in parts))
    np.testing.assert_allclose(whole(x), sum(part(x[:, [i]]) for i, part in enumerate(parts)))
    np.testing.assert_allclose(whole.covariance, np.diag([1 / 16, 1 / 4, 9 / 16, 1, 25 / 16, 9 / 4, 4, 9]))


def test_condition_number_is_the_ratio_of_curvatures():
    """conditioned(kappa): largest over smallest eigenvalue is kappa, equal ratios between."""
    parabola = energies.Parabola.conditioned(100, dim=3)
    np.testing.assert_allclose(parabola.curvatures, (1, 10, 100))
    assert energies.Parabola.conditioned(100) == energies.Parabola()


def test_double_well_has_wells_at_one_and_a_barrier_of_a_quarter():
    """(x^2 - 1)^2 / 4: U(+-1) = 0, U(0) = 1/4, curvature 2."""
    well = energies.DoubleWell()
    assert sorted(well.minima[:, 0]) == [-1, 1]
    assert well.least == 0
    np.testing.assert_allclose(well.barriers, 0.25, rtol=1e-15)
    np.testing.assert_allclose(well.spectrum, 2, rtol=1e-15)


def test_tilt_lowers_one_well_and_leaves_two_barriers():
    """The deeper well has the higher barrier; their difference is the difference of the wells, about 2 tilt."""
    well = energies.DoubleWell(tilt=0.01)
    left, right = well.minima[:, 0]
    assert left < 0 < right
    heights, depths = well.barriers, well(well.minima)
    assert heights[0] - heights[1] == pytest.approx(depths[1] - depths[0])
    assert heights[0] - heights[1] == pytest.approx(0.02, rel=1e-3)


def test_two_bumps_have_the_moments_of_their_mixture():
    """Mean 0.7 (1.5) + 0.3 (-1.5) = 0.6, variance 1/4 + 1.5^2 - 0.6^2 = 2.14."""
    bumps = energies.TwoBumps()
    np.testing.assert_allclose(bumps.mean, [0.6])
    np.testing.assert_allclose(bumps.covariance, [[2.14]])


def test_banana_spreads_by_its_bend():
    """Var x = 1, Var y = 1 + 2 b^2 = 1.5 for b = 1/2."""
    np.testing.assert_allclose(energies.Banana().covariance, np.diag([1, 1.5]))


def test_25_gaussians_are_the_usual_toy():
    """Nearest centres are 1/sqrt 8 apart; 3 sd = 0.053; the variance of each coordinate is (2 + 0.05^2)/8."""
    toy = energies.Gaussians25()
    assert toy.minima.shape == (25, 2)
    np.testing.assert_allclose(np.unique(toy.minima[:, 0].round(12)), np.arange(-2, 3) / math.sqrt(8))
    assert 3 * toy.sd == pytest.approx(0.053, abs=5e-4)
    np.testing.assert_allclose(toy.covariance, np.eye(2) * (2 + 0.05**2) / 8, atol=1e-15)


def test_rosenbrock_is_that_of_scipy():
    from scipy.optimize import rosen, rosen_der

    landscape = energies.Rosenbrock()
    x = some_points(landscape)
    np.testing.assert_allclose(landscape(x), rosen(x.T), rtol=1e-12)
    np.testing.assert_allclose(landscape.gradient(x), rosen_der(x.T).T, rtol=1e-9, atol=1e-9)


def test_beale_has_its_known_values():
    """U(0, 0) = 1.5^2 + 2.25^2 + 2.625^2 = 14.203125 = U(anything, 1); U(3, 1/2) = 0."""
    assert energies.Beale()(np.array([[0.0, 0.0], [7.0, 1.0], [3.0, 0.5]])).tolist() == [14.203125, 14.203125, 0]


@pytest.mark.parametrize(("landscape", "nearest"), [(energies.TwoBumps(), 1.5), (energies.Gaussians25(), 2 / math.sqrt(8))])
def test_mixtures_stay_finite_where_every_density_underflows(landscape, nearest):
    """At x = 1e4 (1, ..., 1) all exponentials underflow; the energy is still that of the nearest centre, to 1e-6 relative."""
    x = np.full((1, landscape.dim), 1e4)
    expected = landscape.dim * (1e4 - nearest) ** 2 / (2 * landscape.sd**2)
    np.testing.assert_allclose(landscape(x), expected, rtol=1e-6)
    np.testing.assert_allclose(landscape.gradient(x), (1e4 - nearest) / landscape.sd**2, rtol=1e-6)


# ---- invariances

coordinates = st.lists(st.floats(-3, 3), min_size=2, max_size=2)


@settings(deadline=None)
@given(x=st.lists(coordinates, min_size=2, max_size=6), data=st.data())
def test_permuting_rows_permutes_energies(x, data):
    """U(Px) = P U(x), bit for bit, for every landscape of two coordinates."""
    x = np.array(x)
    order = data.draw(st.permutations(range(len(x))))
    for landscape in (energies.Rosenbrock(), energies.Beale(), energies.Banana(), energies.Gaussians25(), energies.Parabola()):
        np.testing.assert_array_equal(landscape(x[order]), landscape(x)[order])


@settings(deadline=None)
@given(coordinates)
def test_25_gaussians_look_the_same_from_four_sides(point):
    """A quarter turn maps the grid onto itself: U(Rx) = U(x), and the gradient turns along."""
    x, toy = np.array([point]), energies.Gaussians25()
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(toy(x @ turn), toy(x), rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(st.floats(-2, 2), st.floats(-0.38, 0.38))
def test_mirrored_double_well_tilts_the_other_way(x, tilt):
    """U(-x; -tilt) = U(x; tilt), and its wells are mirrored."""
    here, there = energies.DoubleWell(tilt), energies.DoubleWell(-tilt)
    assert here([[x]]) == pytest.approx(there([[-x]]), abs=1e-15)
    if tilt:
        np.testing.assert_allclose(here.minima, -there.minima, atol=1e-12)


# ---- as objects


@every_landscape
def test_repr_evaluates_back_and_equals_hash_equally(landscape):
    again = eval(repr(landscape), vars(energies))
    assert again == landscape
    assert hash(again) == hash(landscape)
    with pytest.raises(dataclasses.FrozenInstanceError):
        landscape.anything = 1


def test_float32_tensors_stay_float32():
    torch = pytest.importorskip("torch")
    for landscape in LANDSCAPE:
        assert landscape(torch.zeros(3, landscape.dim)).dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: energies.Parabola((1.0, -1.0)), "curvatures=.* positive number for each coordinate"),
        (lambda: energies.Parabola(()), "curvatures="),
        (lambda: energies.Gaussian(2.0), "sd=2.0: give a positive number for each"),
        (lambda: energies.Gaussian((1.0, math.nan)), "sd="),
        (lambda: energies.DoubleWell(tilt=0.4), "tilt=0.4 leaves no second well"),
        (lambda: energies.DoubleWell(tilt=math.nan), "tilt=nan"),
        (lambda: energies.Banana(b=math.inf), "b=inf"),
        (lambda: energies.Parabola.conditioned(0.5), "kappa=0.5"),
        (lambda: energies.Parabola()(np.zeros((3, 1))), r"shape \(3, 1\); Parabola\(.*\) takes points of shape \(n, 2\)"),
        (lambda: energies.Beale()(np.zeros(2)), r"takes points of shape \(n, 2\)"),
    ],
)
def test_bad_landscapes_and_points_are_refused_in_one_line(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


def test_tensors_that_cannot_be_differentiated_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="floating-point"):
        energies.Parabola()(torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(InputError, match="takes NumPy arrays"):
        energies.Parabola().gradient(torch.zeros(3, 2))


def test_energies_load_numpy_and_nothing_heavier():
    """Neither torch nor SciPy, matplotlib or numba is imported by importing and using the landscapes."""
    code = (
        "import sys, numpy, thalweg.energies as e; x = numpy.zeros((2, 2)); e.check_energy(e.Gaussians25(), x + 0.1);"
        "print([m for m in ('torch', 'scipy', 'matplotlib', 'numba', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
