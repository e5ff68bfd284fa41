"""The race: closed forms on a parabola, gradients that fit their losses, equal conditions for all, and a harmless page."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import thalweg
from thalweg import energies, optim
from thalweg.errors import EnergyError, InputError, OutputExistsError, RuleError
from thalweg.optim.racing import problems, race_page
from thalweg.optim.racing.problems import PROBLEMS, Problem
from thalweg.optim.racing.race import RATES, Race, label, race


def watched(problem: Problem, seen: list[Any]) -> Problem:
    """The same problem, which writes down every point and batch at which a gradient is taken."""

    def evaluate(p, rows):
        seen.append((p.copy(), None if rows is None else rows.copy()))
        return problem.evaluate(p, rows)

    return Problem(problem.name, problem.start, evaluate, problem.target, problem.least, problem.samples, problem.batch)


@dataclass(frozen=True)
class Plain(optim.Rule):
    """Gradient descent whose step is no learning rate."""

    size: float = optim.const(1.0)

    def step(self, p, g, s, t):
        return p - self.size * g, s


@dataclass(frozen=True)
class Other(Plain):
    """The same by another name."""


# ---- mathematics


def test_the_grid_has_three_rates_in_a_decade():
    assert len(RATES) == 16
    assert (RATES[0], RATES[-1]) == (pytest.approx(1e-5), 1)
    assert [b / a for a, b in itertools.pairwise(RATES)] == pytest.approx([10 ** (1 / 3)] * 15)


def test_gradient_descent_on_the_parabola_is_its_closed_form_at_every_rate():
    """p_t = (1 - lr curvature)^t p_0, so the gap is half the sum of curvature p_t^2: for all 16 rates, diverging ones too."""
    [entry] = race(["sgd"], ["parabola"], seeds=3, budget=40, seed=7).entries
    starts = np.stack([PROBLEMS["parabola"]().start(np.random.default_rng([7, k])) for k in range(3)])  # (seeds, 2)
    curvatures = np.array([1.0, 100.0])
    for rate, found in zip(RATES, entry.final, strict=True):
        expected = ((1 - rate * curvatures) ** 80 * starts**2 * curvatures).sum(axis=1) / 2
        assert found == pytest.approx(np.median(expected), rel=1e-9)
    gaps = ((1 - entry.lr * curvatures) ** (2 * entry.evaluations[:, None, None]) * starts**2 * curvatures).sum(axis=2) / 2
    np.testing.assert_allclose(entry.gaps, gaps, rtol=1e-9)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_gradient_of_a_problem_is_that_of_its_loss(name):
    """Central differences in a random direction, on all samples and on batches of each seed's own."""
    problem = PROBLEMS[name]()
    rng = np.random.default_rng(1)
    p = np.stack([[problem.start(rng) for _ in range(2)] for _ in range(3)])  # (seeds, rates, d)
    batches = [None] + [rng.integers(problem.samples, size=(3, problem.batch)) for _ in range(bool(problem.samples))]
    for rows in batches:
        direction, h = rng.standard_normal(p.shape), 1e-5
        slope = (problem.evaluate(p, rows)[1] * direction).sum(axis=-1)
        ahead, behind = (problem.evaluate(p + sign * h * direction, rows)[0] for sign in (1, -1))
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["logistic", "spirals"])
def test_the_mean_over_the_batches_of_an_epoch_is_the_whole_loss(name):
    """Batches of equal size that cover all samples."""
    problem = PROBLEMS[name]()
    p = problem.start(np.random.default_rng(0))[None, None]
    rows = np.random.default_rng(1).permutation(problem.samples).reshape(-1, 1, problem.batch)
    parts = [problem.evaluate(p, each) for each in rows]
    loss, gradient = problem.evaluate(p, None)
    np.testing.assert_allclose(np.mean([part[0] for part in parts], axis=0), loss, rtol=1e-12)
    np.testing.assert_allclose(np.mean([part[1] for part in parts], axis=0), gradient, rtol=1e-9, atol=1e-15)


def test_the_least_loss_of_the_logistic_regression_is_its_minimum():
    """Full-batch descent comes as near as it likes, and never below."""
    problem = PROBLEMS["logistic"]()
    p = problem.start(np.random.default_rng(0))[None, None]
    for _ in range(20_000):
        loss, g = problem.evaluate(p, None)
        p = p - 0.05 * g
    assert 0 <= loss.item() - problem.least < 1e-4


# ---- equal conditions


def test_every_rule_and_every_rate_starts_from_the_same_points_and_sees_the_same_batches():
    seen: dict[str, list[Any]] = {"sgd": [], "adam": []}
    for rule, places in seen.items():
        race([rule], [watched(PROBLEMS["logistic"](), places)], seeds=3, budget=20)
    starts = [places[0][0] for places in seen.values()]
    np.testing.assert_array_equal(*starts)
    assert starts[0].shape == (3, len(RATES), 8)
    assert (starts[0] == starts[0][:, :1]).all()
    batches = [[rows for _, rows in places if rows is not None] for places in seen.values()]
    np.testing.assert_array_equal(*batches)
    first_epoch = np.sort(np.stack(batches[0][:16]).transpose(1, 0, 2).reshape(3, -1), axis=1)
    np.testing.assert_array_equal(first_epoch, np.tile(np.arange(256), (3, 1)))


def test_many_chains_in_one_array_are_the_chains_one_by_one():
    """For every rule: the chain of the best rate is that of `thalweg.descend` with that rate from the same start.

    Story: SAM in `descend` was its base alone, and Muon took all seeds and rates of a race for one matrix.
    """
    energy, start = energies.Rosenbrock(), [0.5, 0.5]
    problem = problems.of_energy(energy, start, name="valley")
    x = np.stack([problem.start(np.random.default_rng([0, k])) for k in range(2)])
    costs = {optim.Heun(): 2, optim.RK(): 4, optim.RK23(): 4, optim.SAM(base=optim.SGD()): 2, optim.SAM(base=optim.Adam()): 2}
    plain = [kind() for kind in (optim.RULES | optim.MATRIX).values()]
    plain += [optim.chain(optim.clip_norm(1.0), optim.SGD()), optim.chain(optim.agc(0.1), optim.SGD())]
    for rule in (*(each for each in plain if not isinstance(each, optim.ScheduleFree)), *costs):
        [entry] = race([rule], [problem], seeds=2, budget=30).entries
        run = thalweg.descend(energy, x, rule.replace(lr=entry.lr), steps=30)
        spent = (entry.evaluations / costs.get(rule, 1)).astype(int)
        np.testing.assert_allclose(entry.gaps, run.energy[spent], rtol=1e-9, atol=1e-12, err_msg=repr(rule))


def test_a_rule_is_judged_by_the_weights_that_it_gives_to_evaluate():
    """ScheduleFree steps one point and hands over another, the mean: by hand, with the state."""
    problem = problems.of_energy(energies.Parabola((1.0, 5.0)), [1.0, 1.0], name="bowl", spread=0.0)
    [entry] = race([optim.ScheduleFree(inner="sgd")], [problem], seeds=1, budget=20).entries
    rule, p = optim.ScheduleFree(entry.lr, inner="sgd"), np.array([[1.0, 1.0]])
    s = rule.init(p)
    for t in range(1, 21):
        p, s = rule.step(p, p * [1.0, 5.0], s, t)
    assert entry.gaps[-1] == pytest.approx(energies.Parabola((1.0, 5.0))(rule.evaluated(p, s)), rel=1e-9)


def test_the_budget_counts_gradients():
    """Heun takes two for a step, so with an odd budget one is left over; the looks at the whole loss are free."""
    seen: list[Any] = []
    [entry] = race([optim.Heun()], [watched(PROBLEMS["parabola"](), seen)], seeds=1, budget=21).entries
    assert entry.evaluations[-1] == 20
    assert len(seen) == 20 + len(entry.evaluations)
    [entry] = race(["sgd"], ["parabola"], seeds=1, budget=21).entries
    assert entry.evaluations[-1] == 21


def test_heun_on_the_parabola_is_its_closed_form():
    """p_t = (1 - x + x^2/2)^t p_0 with x = lr curvature, and both stages see one batch."""
    [entry] = race([optim.Heun()], ["parabola"], seeds=1, budget=20).entries
    start, curvatures = PROBLEMS["parabola"]().start(np.random.default_rng([0, 0])), np.array([1.0, 100.0])
    for rate, found in zip(RATES, entry.final, strict=True):
        x = rate * curvatures
        assert found == pytest.approx(((1 - x + x * x / 2) ** 20 * start**2 * curvatures).sum() / 2, rel=1e-9)
    seen: list[Any] = []
    race([optim.Heun()], [watched(PROBLEMS["spirals"](), seen)], seeds=2, budget=8)
    rows = [each for _, each in seen if each is not None]
    assert len(rows) == 8
    np.testing.assert_array_equal(rows[0::2], rows[1::2])


def test_a_rule_that_never_arrives_is_tuned_by_its_final_loss():
    [entry] = race(["sgd"], ["rosenbrock"], seeds=3, budget=50).entries
    assert np.isinf(entry.arrived).all()
    assert entry.final[RATES.index(entry.lr)] == entry.final.min()


def test_the_grid_goes_on_where_the_best_rate_stands_at_its_end():
    """On c/2 x^2 the best rate of descent is 1/c: for c = 1/100 and 1e7 outside of the grid, for c = 1e9 outside of the widest."""
    for curvature, best in ((0.01, 100.0), (1e7, 1e-7)):
        bowl = problems.of_energy(energies.Parabola([curvature]), [1.0], target=1e-9 * curvature, spread=0.0)
        [entry] = race(["sgd"], [bowl], seeds=1, budget=40).entries
        assert entry.lr == pytest.approx(best)
        assert entry.rates[0] <= entry.lr <= entry.rates[-1]
        assert len(entry.rates) == len(entry.final)
        np.testing.assert_allclose(np.diff(np.log10(entry.rates)), 1 / 3)
        assert entry.beyond == ""
    steep = problems.of_energy(energies.Parabola([1e9]), [1.0], spread=0.0)
    found = race(["sgd"], [steep], seeds=1, budget=40)
    assert found.entries[0].lr == pytest.approx(1e-8)
    assert "<= 1e-08" in str(found)
    assert "≤ 1e-08" in found.to_html()


def test_a_rate_at_which_a_start_diverges_is_not_the_best_one():
    """On rosenbrock one of five starts of the heavy ball diverges at the rate that is fastest from the other four."""
    [entry] = race(["heavyball"], ["rosenbrock"], seeds=5, budget=600).entries
    assert entry.diverged == 0
    assert np.isinf(entry.final[entry.rates > 0.1]).any()
    assert entry.row()["arrivals"] == 5


def ramp(name: str, fate: Any, target: float = 0.5) -> Problem:
    """A problem on which seed k starts at 100 k and has the loss fate(k, gradients so far); Plain(1) counts the gradients."""

    def evaluate(p, rows):
        flat = np.array([fate(int(x // 100), round(x % 100)) for x in p[..., 0].ravel()], float)
        return flat.reshape(p.shape[:-1]), -np.ones_like(p)

    order = itertools.count()
    return Problem(name, lambda rng: np.array([100.0 * next(order)]), evaluate, target=target)


def test_claims_say_ties_and_starts_that_diverge_or_do_not_arrive():
    """Never "arrives first" for a tie, nor without a word on starts that do not arrive; a budget that was not enough is "> 5"."""
    fates = {
        "won": (lambda k, t: 0.0 if t >= 2 else 1.0, "Plain arrives first"),
        "part": (lambda k, t: 0.0 if k and t >= 2 else 1.0, "Plain arrives first, from 2 of 3 starts"),
        "astray": (lambda k, t: (0.0 if k else np.inf) if t >= 2 else 1.0, "fastest from 2 of 3 starts, and diverges from 1"),
        "few": (lambda k, t: 0.0 if k == 2 and t >= 2 else 1.0, "no rule comes within 0.5 from most starts"),
        "nobody": (lambda k, t: 1.0, "no rule comes within 0.5 in 5 gradients"),
    }
    for name, (fate, said) in fates.items():
        found = race([Plain(1.0)], [ramp(name, fate)], seeds=3, budget=5)
        assert said in race_page.claim(found, name), name
        assert ("> 5" in str(found)) == (name != "won")
    assert "never" not in found.to_html()
    both = race([Plain(1.0), Other(1.0)], [problems.of_energy(energies.Parabola([1.0]), [1.0], spread=0.0)], seeds=1, budget=5)
    name = both.problems[0].name
    assert [entry.rule for entry in both.first(name)] == ["Plain", "Other"]
    assert "a tie at gradient 1: Plain, Other" in race_page.claim(both, name)
    assert race_page.matrix(both).count("<strong>") == 2


def test_the_axis_ends_where_the_data_do():
    """Losses between 0.1 and 10 do not leave half of a picture empty."""
    assert race_page._span([0.1, np.array([0.2, 7.0])], most=10.0) == pytest.approx((0.05, 100))
    assert race_page._span([0.1, np.array([0.0])], most=10.0)[0] == race_page.LEAST / 2


def test_arrival_is_for_good():
    """A chain that comes within the target and leaves it again has arrived when it comes back for the last time."""
    tent = {0: 1.0, 1: 0.0, 2: 1.0, 3: 0.0}

    def evaluate(p, rows):
        return np.vectorize(lambda x: tent.get(round(x), 0.0))(p[..., 0]), -np.ones_like(p)

    problem = Problem("tent", lambda rng: np.zeros(1), evaluate, target=0.5)
    [entry] = race([Plain(1.0)], [problem], seeds=1, budget=5).entries
    assert entry.arrived.tolist() == [3]


def test_a_race_is_reproducible_and_its_seed_matters():
    def gaps(seed):
        return np.stack([entry.gaps for entry in race(["adam"], ["logistic", "beale"], seeds=2, budget=30, seed=seed).entries])

    np.testing.assert_array_equal(gaps(0), gaps(0))
    assert (gaps(0) != gaps(1)).any()


def test_momentum_crosses_the_barrier_and_descent_does_not():
    """At every rate, gradient descent fails to come to rest in the deeper well; the heavy ball rests there."""
    result = race(["sgd", "heavyball"], ["double-well"], seeds=5)
    ball, descent = result.of("double-well")
    assert (ball.rule, descent.rule) == ("HeavyBall", "SGD")
    assert np.isfinite(ball.arrived).all()
    assert np.isinf(descent.arrived).all()


# ---- what one gives it


def test_a_rule_is_named_by_what_differs_from_its_defaults():
    assert label(optim.HeavyBall(lr=0.5)) == "HeavyBall"
    assert label(optim.HeavyBall(momentum=0.99, convention="ema")) == "HeavyBall(momentum=0.99, convention='ema')"


def test_an_energy_of_ones_own_is_a_problem():
    class Bowl:
        start = (3.0, 4.0)
        target = 0.5

        def __call__(self, x):
            return (x * x).sum(axis=1)

        def gradient(self, x):
            return 2 * x

    for given in (Bowl, Bowl(), lambda: problems.of_energy(Bowl(), [3.0, 4.0], target=0.5)):
        problem = problems.as_problem(given, "bowl")
        assert (problem.name, problem.target) == ("bowl", 0.5)
        [entry] = race(["sgd"], [problem], seeds=2, budget=60).entries
        assert np.isfinite(entry.arrived).all()


@pytest.mark.parametrize("given", [3, "text", object(), energies.Rosenbrock, lambda: None])
def test_what_is_no_problem_is_one_line(given):
    with pytest.raises(InputError, match="mine is no problem to race on: give an energy"):
        problems.as_problem(given, "mine")


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"rules": ["adm"]}, RuleError, "there is no rule 'adm'.*adam"),
        ({"rules": [optim.Adam]}, RuleError, "is not a rule"),
        ({"rules": [3]}, RuleError, "3 is not a rule"),
        ({"rules": []}, InputError, "there is no rule to race"),
        ({"rules": ["adam", optim.Adam(lr=0.5)]}, InputError, "two rules are called Adam"),
        ({"problems": ["bale"]}, InputError, "there is no problem 'bale'.*beale"),
        ({"problems": []}, InputError, "there is no problem to race"),
        ({"problems": ["beale", "beale"]}, InputError, "two problems are called beale"),
        ({"seeds": 0}, InputError, "seeds=0"),
        ({"budget": 0.5}, InputError, "budget=0.5"),
        ({"seed": -1}, InputError, "seed=-1"),
    ],
)
def test_wrong_use_is_one_line(given, error, said):
    with pytest.raises(error, match=said) as caught:
        race(**given)
    assert "\n" not in str(caught.value)


def test_a_faulty_energy_or_start_is_refused_before_the_race():
    with pytest.raises(EnergyError, match="must return shape"):
        problems.of_energy((lambda x: x, lambda x: x), [1.0, 2.0])
    with pytest.raises(InputError, match="give one point"):
        problems.of_energy(energies.Beale(), [[1.0, 2.0], [3.0, 4.0]])


def test_a_rule_without_a_rate_runs_as_it_is():
    [entry] = race([Plain(0.01)], ["parabola"], seeds=1, budget=10).entries
    assert entry.lr is None
    assert entry.row()["lr"] is None


# ---- what it shows


@pytest.fixture(scope="module")
def small() -> Race:
    return race(["sgd", "adam"], ["parabola", "double-well"], seeds=3, budget=60)


def test_the_table_has_a_line_for_each_rule_on_each_problem_the_best_first(small):
    rows = small.table()
    assert [row["problem"] for row in rows] == ["parabola"] * 2 + ["double-well"] * 2
    for row in rows:
        assert row["gap_low"] <= row["gap"] <= row["gap_high"]
        assert row["arrived_low"] <= row["arrived"] <= row["arrived_high"]
        assert row["seconds"] > 0
    assert all(math.isinf(row["arrived"]) == (row["arrivals"] <= 1) for row in rows)
    text = str(small)
    assert all(row["rule"] in text for row in rows)
    assert repr(small) == "Race(2 rules on parabola, double-well: 3 seeds, 60 gradients)"


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_the_page_loads_nothing_and_says_the_numbers(small, references, locale):
    page = small.to_html(locale)
    assert references(page) == []
    assert page.count("<svg") == 4
    for row in small.table():
        assert f"<td>{row['rule']}</td>" in page


def test_both_languages_say_the_same_things():
    english, chinese = race_page.texts()["en"], race_page.texts()["zh"]
    assert set(english) == set(chinese)


def test_a_name_of_a_problem_is_text_on_the_page():
    """Neither markup nor a formula, which matplotlib would refuse."""
    problem = problems.of_energy(energies.Beale(), [1.0, 1.0], name="<script>$\\frac{$")
    page = race(["sgd"], [problem], seeds=1, budget=5).to_html()
    assert "<script>$" not in page
    assert "&lt;script&gt;" in page


def test_a_page_is_written_and_not_overwritten(small, tmp_path):
    path = tmp_path / "race.html"
    small.save(path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        small.save(path)
    small.save(path, overwrite=True)


def test_a_notebook_shows_the_tables(small):
    assert small._repr_html_().count("<table>") == 2


def test_progress_counts_the_runs():
    calls: list[tuple[int, int]] = []
    race(["sgd", "adam"], ["beale"], seeds=1, budget=3, progress=lambda done, total, **_: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]
