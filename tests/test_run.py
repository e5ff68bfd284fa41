"""`descend` and `Run`: what a descent does on landscapes that can be solved, what it records, and how it ends."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg
from thalweg import descend, energies, optim
from thalweg.errors import EnergyError, InputError, RuleError

RULES = [optim.SGD(lr=0.01), optim.HeavyBall(lr=0.01, momentum=0.8, dampening=0.1)]
every_rule = pytest.mark.parametrize("rule", RULES, ids=repr)


def start(n: int, d: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(-2, 2, size=(n, d))


# ---- mathematics


def test_descent_of_a_parabola_is_a_geometric_sequence():
    """x_t = (1 - lr lambda)^t x_0 and U_t = 1/2 sum lambda x_t^2, from every start."""
    parabola, x, lr, steps = energies.Parabola((1.0, 10.0)), start(3), 0.05, 40
    run = descend(parabola, x, optim.SGD(lr=lr), steps=steps)
    factors = (1 - lr * np.array(parabola.curvatures)) ** np.arange(steps + 1)[:, None]  # (records, 2)
    np.testing.assert_allclose(run.x, factors[:, None, :] * x, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(run.energy, (parabola.curvatures * run.x**2).sum(-1) / 2)


@pytest.mark.parametrize("kappa", [10, 100, 1000])
def test_energy_falls_below_two_over_the_curvature_and_rises_above(kappa):
    """Stable iff lr < 2/lambda_max."""
    parabola = energies.Parabola.conditioned(kappa)
    for factor, falls in ((0.98, True), (1.02, False)):
        path = descend(parabola, [1.0, 1.0], optim.SGD(lr=factor * 2 / kappa), steps=300).energy_path
        assert (path[-1] < path[0]) == falls


def test_small_steps_never_raise_the_energy():
    """Descent lemma: U(x_{t+1}) <= U(x_t) for lr <= 2/L, L the largest curvature on the way: 3 x^2 - 1 = 11 at |x| = 2."""
    run = descend(energies.DoubleWell(), start(20, 1), optim.SGD(lr=2 / 11), steps=100)
    assert np.all(np.diff(run.energy, axis=0) <= 0)


@pytest.mark.parametrize("tilt", [0.0, 0.1])
def test_momentum_crosses_the_barrier_where_gradient_descent_stays(tilt):
    """From x = -2 towards the well at -1: SGD rests there; the heavy ball's momentum carries it over the top into the other."""
    well = energies.DoubleWell(tilt)
    left, right = sorted(well.minima[:, 0])
    slow = descend(well, [-2.0], optim.SGD(lr=0.05), steps=600)
    fast = descend(well, [-2.0], optim.HeavyBall(lr=0.05, momentum=0.9), steps=600)
    assert slow.x[-1, 0, 0] == pytest.approx(left, abs=1e-6)
    assert fast.x[-1, 0, 0] == pytest.approx(right, abs=1e-6)


def test_the_thalweg_of_rosenbrock_is_followed_to_its_end():
    run = descend(energies.Rosenbrock(), [-1.2, 1.0], optim.HeavyBall(lr=1e-3), steps=5000)
    np.testing.assert_allclose(run.x[-1], [[1, 1]], atol=1e-6)


# ---- invariances


@every_rule
def test_chains_do_not_feel_each_other(rule):
    """Eight chains together and each of them alone take the same paths, bit for bit."""
    x = start(8)
    together = descend(energies.Banana(), x, rule, steps=30)
    for i in range(8):
        alone = descend(energies.Banana(), x[i], rule, steps=30)
        np.testing.assert_array_equal(together.x[:, [i]], alone.x)
        np.testing.assert_array_equal(together.energy[:, [i]], alone.energy)


@settings(deadline=None)
@given(order=st.permutations(range(5)))
def test_permuting_chains_permutes_the_run(order):
    x, rule = start(5), RULES[1]
    run, permuted = (descend(energies.Banana(), each, rule, steps=5) for each in (x, x[order]))
    np.testing.assert_array_equal(permuted.x, run.x[:, order])


@settings(deadline=None)
@given(shift=st.lists(st.floats(-5, 5), min_size=2, max_size=2))
def test_a_landscape_that_is_moved_moves_the_path(shift):
    """U(x - c) from x_0 + c: x_t + c, to round-off."""
    banana, x = energies.Banana(), start(3)
    moved = (lambda x: banana(x - shift), lambda x: banana.gradient(x - shift))
    for rule in RULES:
        here, there = descend(banana, x, rule, steps=20), descend(moved, x + shift, rule, steps=20)
        np.testing.assert_allclose(there.x, here.x + shift, atol=1e-10)
        np.testing.assert_allclose(there.energy, here.energy, atol=1e-10)


@settings(deadline=None)
@given(scale=st.floats(0.1, 10))
def test_scaling_the_energy_up_and_lr_down_leaves_the_path(scale):
    """x - (lr/c) grad(c U) = x - lr grad U."""
    banana, x = energies.Banana(), start(3)
    scaled = (lambda x: scale * banana(x), lambda x: scale * banana.gradient(x))
    for rule in RULES:
        np.testing.assert_allclose(
            descend(scaled, x, rule.replace(lr=rule.lr / scale), steps=20).x, descend(banana, x, rule, steps=20).x, atol=1e-10
        )


@every_rule
def test_a_tensor_takes_the_path_of_an_array(rule):
    """The same start as a float64 tensor, through autograd: equal to 1e-12; records are NumPy float64."""
    torch = pytest.importorskip("torch")
    x = start(4)
    by_array, by_tensor = (descend(energies.Banana(), each, rule, steps=50) for each in (x, torch.tensor(x)))
    np.testing.assert_allclose(by_tensor.x, by_array.x, rtol=1e-12, atol=1e-12)
    assert type(by_tensor.x) is np.ndarray


# ---- records


def test_records_hold_the_start_and_every_step():
    """steps + 1 records of (chains, d); each energy is that of its points; energy_path is the mean over chains."""
    x = start(4)
    run = descend(energies.Banana(), x, RULES[0], steps=7)
    assert isinstance(run, thalweg.Run)
    assert run.x.shape == (8, 4, 2)
    assert run.energy.shape == (8, 4)
    np.testing.assert_array_equal(run.x[0], x)
    np.testing.assert_array_equal(run.energy, [energies.Banana()(each) for each in run.x])
    np.testing.assert_array_equal(run.energy_path, run.energy.mean(axis=1))
    assert (run.interrupted, run.diverged_at) == (False, None)


@pytest.mark.parametrize("x", [[1, 2], [[1, 2]], np.array([1, 2], dtype=np.int8), np.float32([[1, 2]])])
def test_whole_numbers_single_points_and_float32_become_float64(x):
    run = descend(energies.Banana(), x, RULES[0], steps=1)
    assert run.x.dtype == np.float64
    assert run.x[0].tolist() == [[1.0, 2.0]]


def test_the_start_is_left_alone():
    x = start(3)
    before = x.copy()
    run = descend(energies.Banana(), x, RULES[0], steps=3)
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(run.x, x)


def test_progress_is_told_after_every_step():
    told = []
    run = descend(
        energies.Banana(), start(3), RULES[0], steps=4, progress=lambda done, total, **numbers: told.append((done, total, numbers))
    )
    assert told == [(t, 4, {"energy": run.energy_path[t]}) for t in range(1, 5)]


# ---- early ends


def stop_at(step):
    def progress(done, total, *, energy):
        if done == step:
            raise KeyboardInterrupt

    return progress


def test_an_interrupted_run_keeps_what_was_done():
    """Ctrl-C after step 3 of 10: four records, those of the whole run, and one warning."""
    whole = descend(energies.Banana(), start(2), RULES[1], steps=10)
    with pytest.warns(RuntimeWarning, match="interrupted after 3 of 10 steps"):
        run = descend(energies.Banana(), start(2), RULES[1], steps=10, progress=stop_at(3))
    assert run.interrupted
    np.testing.assert_array_equal(run.x, whole.x[:4])
    np.testing.assert_array_equal(run.energy, whole.energy[:4])
    assert "interrupted" in repr(run)
    assert "interrupted" in run.summary()


def test_a_diverging_run_is_cut_at_the_first_energy_that_is_not_finite():
    """x_t = (-2)^t: U_t = 3/2 4^t exceeds the largest double, 2^1024, at t = 512; one warning names the step and the remedy."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = descend(energies.Parabola((3.0,)), [1.0], optim.SGD(lr=1.0), steps=1000)
    assert [str(each.message).partition(": the energy")[0] for each in caught] == [
        "SGD(lr=1.0) on Parabola(curvatures=(3.0,)) diverged"
    ]
    assert "after step 512" in str(caught[0].message)
    assert "smaller lr" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert run.diverged_at == 512
    assert run.energy_path.shape == (512,)
    assert np.isfinite(run.energy).all()
    assert run.energy_path[-1] == 1.5 * 4.0**511
    assert "diverged at step 512" in repr(run)
    assert "diverged at step 512" in run.summary()


def test_one_diverging_chain_ends_the_run():
    """An energy that is infinite beyond an edge: the first chain steps over it, and both stop at the record before."""
    edge = (lambda x: np.where(x[:, 0] > 0, x[:, 0], np.inf), lambda x: np.ones_like(x))
    with pytest.warns(RuntimeWarning, match="diverged: the energy is not finite after step 2"):
        run = descend(edge, [[1.5], [10.0]], optim.SGD(lr=1.0), steps=5)
    assert run.x[:, :, 0].tolist() == [[1.5, 10.0], [0.5, 9.0]]


def test_points_that_run_away_from_a_finite_energy_have_diverged_too():
    away = (lambda x: np.zeros(len(x)), lambda x: -1e300 * np.ones_like(x))
    with pytest.warns(RuntimeWarning, match="diverged"):
        run = descend(away, [1.0], optim.SGD(lr=1e8), steps=5)
    assert np.isfinite(run.x).all()


# ---- refusals


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: descend(energies.Banana(), [1, math.nan], RULES[0], steps=1), InputError, r"x\[0, 1\] is nan; .* finite"),
        (lambda: descend(energies.Banana(), [[1, 2], [math.inf, 2]], RULES[0], steps=1), InputError, r"x\[1, 0\] is inf"),
        (lambda: descend(energies.Banana(), 3.0, RULES[0], steps=1), InputError, r"x has shape \(\); give points"),
        (lambda: descend(energies.Banana(), np.zeros((1, 2, 2)), RULES[0], steps=1), InputError, r"x has shape \(1, 2, 2\)"),
        (lambda: descend(energies.Banana(), np.zeros((0, 2)), RULES[0], steps=1), InputError, r"x has shape \(0, 2\)"),
        (lambda: descend(energies.Banana(), [[1, 2], [3]], RULES[0], steps=1), InputError, "x cannot be read"),
        (lambda: descend(energies.Banana(), ["a", "b"], RULES[0], steps=1), InputError, "not real numbers"),
        (lambda: descend(energies.Banana(), [1j, 2], RULES[0], steps=1), InputError, "complex128, not real numbers"),
        (lambda: descend(energies.Banana(), np.zeros(3), RULES[0], steps=1), InputError, r"takes points of shape \(n, 2\)"),
        (lambda: descend(energies.Banana(), [1, 2], RULES[0], steps=0), InputError, "steps=0 is not a positive whole number"),
        (lambda: descend(energies.Banana(), [1, 2], RULES[0], steps=1.5), InputError, "steps=1.5"),
        (lambda: descend(energies.Banana(), [1, 2], RULES[0], steps=True), InputError, "steps=True"),
        (lambda: descend(energies.Banana(), [1, 2], optim.SGD, steps=1), RuleError, "SGD is a class; give .* SGD"),
        (lambda: descend(energies.Banana(), [1, 2], "sgd", steps=1), RuleError, "'sgd' is not a rule"),
        (lambda: descend(lambda x: x.sum(), [1, 2], RULES[0], steps=1), EnergyError, "has no gradient"),
        (lambda: descend((np.sum, np.ones_like), [1, 2], RULES[0], steps=1), EnergyError, "sum returned a single number"),
    ],
)
def test_bad_input_is_refused_in_one_line(call, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_an_infinite_energy_at_the_start_is_refused():
    walled = (lambda x: np.where(x[:, 0] > 0, x[:, 0], np.inf), np.ones_like)
    with pytest.raises(InputError, match=r"the energy of chain 1 is inf at the start, x\[1\] = \[0.0\]"):
        descend(walled, [[1.0], [0.0]], RULES[0], steps=1)


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (lambda self, p, g, s, t: p, r"step must return the pair \(p, s\), not ndarray"),
        (lambda self, p, g, s, t: (p[0], s), r"returned p of shape \(2,\) for p of shape \(1, 2\)"),
    ],
)
def test_a_faulty_rule_of_a_user_is_named(step, sentence):
    Faulty = type("Faulty", (), {"step": step, "init": lambda self, p: None, "__repr__": lambda self: "Faulty()"})
    with pytest.raises(RuleError, match=rf"Faulty\(\)\.?.*{sentence}"):
        descend(energies.Banana(), [1, 2], Faulty(), steps=1)


def test_a_rule_is_traced_before_any_work():
    """What no program can be made from is told with its line, and the energy is never asked."""

    class Branching(optim.Rule):
        def step(self, p, g, s, t):
            return (p if g > 0 else -p), s

    class Untouched:
        def gradient(self, x):
            raise AssertionError

    with pytest.raises(RuleError, match=r"test_run.py:\d+: a step may not branch on a value"):
        descend(Untouched(), [1, 2], Branching(), steps=1)


# ---- shown to people


def test_summary_is_this_table():
    run = descend(energies.Parabola((1.0, 4.0)), [[1, 1], [2, 2]], optim.SGD(lr=0.25), steps=2)
    assert run.summary() == (
        "SGD(lr=0.25) on Parabola(curvatures=(1.0, 4.0)): 2 steps, 2 chains in 2 dimensions\n"
        "                                       start           end         least  at step\n"
        "energy, mean over chains                6.25      0.395508      0.395508        2\n"
        "lowest at the end: chain 0               2.5      0.158203      0.158203        2\n"
        "highest at the end: chain 1               10      0.632812      0.632812        2\n"
        "x[0], mean over chains                   1.5       0.84375\n"
        "x[1], mean over chains                   1.5             0"
    )
    assert repr(run).startswith(
        "Run(SGD(lr=0.25) on Parabola(curvatures=(1.0, 4.0)): 3 records, 2 chains in 2 dimensions, energy 6.25"
    )


def test_summary_of_many_coordinates_is_short():
    run = descend(energies.Parabola((1.0,) * 100), np.ones(100), optim.SGD(lr=0.1), steps=1)
    assert "x[8] to x[99] are not shown" in run.summary()
    assert len(run.summary().splitlines()) < 15
    assert "1 step, 1 chain in 100 dimensions" in run.summary()


def test_a_notebook_shows_names_as_text():
    """Whatever a user calls an energy, the page shows it and never runs it."""

    def energy(x):
        return (x**2).sum(-1)

    energy.__name__ = "<script>alert('&')</script>"
    page = descend((energy, lambda x: 2 * x), [1.0], optim.SGD(lr=0.1), steps=1)._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)" in page


def test_plot_draws_the_energy_path_and_says_what_was_found():
    pytest.importorskip("matplotlib")
    run = descend(energies.Parabola(), start(3), optim.SGD(lr=0.01), steps=20)
    axes = run.plot()
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), run.energy_path)
    assert (
        f"energy {run.energy_path[0]:.3g} → {run.energy_path[-1]:.3g} in 20 steps" in axes.get_title(loc="left") + axes.get_title()
    )
    assert run.plot(ax=axes) is axes
    assert len(axes.lines) == 2


def test_descending_loads_numpy_and_nothing_heavier():
    code = (
        "import sys, thalweg; from thalweg import energies, optim;"
        "thalweg.descend(energies.Beale(), [1, 1], optim.HeavyBall(lr=1e-3), steps=3).summary();"
        "print([m for m in ('torch', 'scipy', 'matplotlib', 'numba', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
