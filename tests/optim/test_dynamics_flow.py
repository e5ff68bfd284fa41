"""The differential equation behind a rule: closed forms, orders of convergence, and which equation the steps really follow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg
from thalweg import energies, optim
from thalweg.energies.contract import Floats
from thalweg.errors import InputError, RuleError
from thalweg.optim import dynamics
from thalweg.optim.dynamics import escape_time, flow, kramers_time, modified_equation, order, path
from thalweg.optim.language.rule import Rule


def value(x: Floats) -> Floats:
    a, b = x.T
    return np.asarray(a**4 / 4 - a**2 / 2 + b**2 / 2 + a * b / 4)


def slope(x: Floats) -> Floats:
    a, b = x.T
    return np.stack([a**3 - a + b / 4, b + a / 4], axis=1)


QUARTIC, START = (value, slope), np.array([[1.5, 1.0]])


@given(st.floats(0.01, 1.0), st.floats(0.1, 5.0))
def test_gradient_descent_flows_to_exp_minus_lambda_t(lr: float, duration: float) -> None:
    found = flow(optim.SGD(lr=lr)).solve([2.0, 1.0], duration, energies.Parabola([1.0, 3.0]))
    np.testing.assert_allclose(found.p[-1, 0], [2 * math.exp(-lr * duration), math.exp(-3 * lr * duration)], rtol=1e-8, atol=1e-11)


def test_the_loss_falls_along_the_flow_of_gradient_descent_at_the_rate_of_the_squared_gradient() -> None:
    found = flow(optim.SGD(lr=1.0)).solve(START, 0.01, QUARTIC, at=[0.0, 1e-3])
    fall = (value(found.p[1]) - value(found.p[0])) / 1e-3
    np.testing.assert_allclose(fall, -(slope(START) ** 2).sum(1), rtol=0.02)


@pytest.mark.parametrize("convention", ["torch", "keras"])
def test_the_heavy_ball_flows_as_a_ball_with_friction(convention: str) -> None:
    """p'' + k p' + lr lambda p = 0 with k = -ln momentum, from rest."""
    lr, momentum = 0.3, 0.8
    k = -math.log(momentum)
    root = np.roots([1.0, k, lr])  # lambda = 1
    weights = np.linalg.solve(np.stack([np.ones(2), root]), [1.0, 0.0])
    found = flow(optim.HeavyBall(lr=lr, momentum=momentum, convention=convention)).solve([1.0], 7.0, energies.Parabola([1.0]))
    assert found.p[-1, 0, 0] == pytest.approx((weights * np.exp(root * 7)).sum().real, rel=1e-8)


def test_nesterov_has_the_flow_of_the_heavy_ball_and_the_average_another() -> None:
    ball, ahead, mean = (
        flow(rule).solve(START, 3.0, QUARTIC).p[-1]
        for rule in (
            optim.HeavyBall(lr=0.2, momentum=0.7),
            optim.Nesterov(lr=0.2, momentum=0.7),
            optim.HeavyBall(lr=0.2, momentum=0.7, convention="ema"),
        )
    )
    np.testing.assert_allclose(ahead, ball, rtol=1e-8)
    assert np.abs(mean - ball).max() > 0.1


def test_adam_starts_along_the_sign_and_its_averages_follow_the_gradient() -> None:
    """m' = k1 (g - m), v' = k2 (g^2 - v); the corrected first direction is g / |g|."""
    rule = optim.Adam(lr=0.1, b1=0.9, b2=0.99, eps=0.0)
    made = flow(rule)
    first = made.velocity(0.0, made.start(START, slope), slope)
    np.testing.assert_allclose(first["p"], -0.1 * np.sign(slope(START)), rtol=1e-9)
    np.testing.assert_allclose(first["s.m"], -math.log(0.9) * slope(START), rtol=1e-12)
    z = {"p": START, "s.m": np.array([[0.3, -0.2]]), "s.v": np.array([[2.0, 0.5]])}
    later = made.velocity(5.0, z, slope)
    hat = z["s.m"] / (1 - 0.9**5), np.sqrt(z["s.v"] / (1 - 0.99**5))
    np.testing.assert_allclose(later["p"], -0.1 * hat[0] / hat[1], rtol=1e-10)
    np.testing.assert_allclose(later["s.v"], -math.log(0.99) * (slope(START) ** 2 - z["s.v"]), rtol=1e-10)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (optim.HeavyBall(lr=0.1, momentum=0.8), -0.5 * slope(START)),
        (optim.HeavyBall(lr=0.1, momentum=0.8, convention="keras"), -0.5 * slope(START)),
        (optim.Nesterov(lr=0.1, momentum=0.8), -0.5 * slope(START)),
        (optim.Adam(lr=0.1, eps=0.0), -0.1 * np.sign(slope(START))),
        (optim.Adam(lr=0.1, eps=1.0), -0.1 * slope(START) / (np.abs(slope(START)) + 1)),
        (optim.RMSprop(lr=0.1, momentum=0.5, eps=0.0), -0.2 * np.sign(slope(START))),
    ],
    ids=repr,
)
def test_small_rates_alone_leave_the_slots_where_the_gradient_holds_them(rule: Rule, expected: Floats) -> None:
    np.testing.assert_allclose(flow(rule, "rate").velocity(0.0, {"p": START}, slope)["p"], expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("rule", "start", "expected"),
    [
        (optim.SGD(lr=1.0), "rule", 1),
        (optim.HeavyBall(lr=1.0, momentum=0.5), "rule", 1),
        (optim.HeavyBall(lr=1.0, momentum=0.5, dampening=0.5), "rule", 1),
        (optim.Nesterov(lr=1.0, momentum=0.5), "rule", 1),
        (optim.RMSprop(lr=1.0, alpha=0.5), "warm", 1),
        (optim.Adam(lr=1.0, b1=0.5, b2=0.9), "rule", 1),
        (optim.AdaGrad(lr=1.0, initial=1.0), "rule", 1),
        (optim.ScheduleFree(lr=0.1, inner="sgd"), "rule", 1),
        (optim.Heun(lr=1.0), "rule", 2),
        (optim.RK(lr=1.0, order="3"), "rule", 3),
        (optim.RK(lr=1.0, order="4"), "rule", 4),
    ],
    ids=repr,
)
def test_rules_converge_to_their_flow_with_their_order(rule: Rule, start: str, expected: int) -> None:
    assert order(rule, QUARTIC, START, start=start).order == pytest.approx(expected, abs=0.1)


def test_without_a_warm_start_rmsprop_has_no_order() -> None:
    """From v = 0 its first steps are of one length however short they should be."""
    assert order(optim.RMSprop(lr=1.0, alpha=0.5), QUARTIC, START).order < 0.7


def test_one_step_of_gradient_descent_is_the_modified_flow_to_third_order() -> None:
    """On a parabola the exact rate is -ln(1 - x)/lr = lambda + lr lambda^2 / 2 + ...; on any L the equation is in closed form."""
    lr, lam = 0.01, 3.0
    one = modified_equation(optim.SGD(lr=lr)).velocity(0.0, {"p": np.ones((1, 1))}, lambda x: lam * x)["p"]
    assert one.item() == pytest.approx(-lr * (lam + lr * lam**2 / 2), rel=1e-8)
    assert one.item() == pytest.approx(math.log(1 - lr * lam), rel=5e-4)

    def distances(h: float) -> tuple[float, float]:
        rule = optim.SGD(lr=h)
        step = START - h * slope(START)
        return tuple(
            float(np.linalg.norm(step - each.solve(START, 1.0, QUARTIC).p[-1])) for each in (flow(rule), modified_equation(rule))
        )  # type: ignore[return-value]

    (plain, modified), (plain_half, modified_half) = distances(0.02), distances(0.01)
    assert math.log2(plain / plain_half) == pytest.approx(2, abs=0.1)
    assert math.log2(modified / modified_half) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("convention", ["torch", "keras", "ema"])
@given(st.floats(0.0, 0.95))
def test_momentum_weighs_the_squared_gradient_by_its_memory(convention: str, b: float) -> None:
    """At small rates the heavy ball follows -a grad (L + a (1 + b)/(4 (1 - b)) |grad L|^2) with a = lr/(1 - b)."""
    rule = optim.HeavyBall(lr=0.01, momentum=b, convention=convention)
    a = 0.01 if convention == "ema" else 0.01 / (1 - b)
    x, _ = START[0]
    hessian = np.array([[3 * x**2 - 1, 0.25], [0.25, 1.0]])
    expected = -a * (slope(START) + a * (1 + b) / (2 * (1 - b)) * slope(START) @ hessian)
    found = modified_equation(rule, "rate").velocity(0.0, {"p": START}, slope)["p"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("rule", [optim.HeavyBall(), optim.Nesterov(), optim.Adam(eps=1e-3)], ids=repr)
def test_the_modified_equation_of_any_rule_is_one_order_closer(rule: Rule) -> None:
    def distances(h: float) -> tuple[float, float]:
        made = rule.replace(lr=0.05 * h ** flow(rule).scaled.power("lr"))
        made = made.replace(**{name: getattr(rule, name) ** h for name in ("momentum", "b1", "b2") if hasattr(rule, name)})
        plain, modified = flow(made), modified_equation(made)
        units = {name: h ** plain.scaled.power(name) for name in ("s.m", "s.v")}
        z = {name: units.get(name, 1.0) * (value + 0.2) for name, value in plain.start(START, slope).items()}
        step = plain.scaled.step(z, 1.0, 3 / h, slope)["p"]
        ends = (plain._integrated(z, 3 / h, 1.0, slope), plain._integrated(z, 3 / h, 1.0, slope, None, modified.velocity))
        return tuple(float(np.linalg.norm(step - each.p[-1])) for each in ends)  # type: ignore[return-value]

    (plain, modified), (plain_half, modified_half) = distances(1 / 8), distances(1 / 16)
    assert math.log2(plain / plain_half) == pytest.approx(2, abs=0.15)
    assert math.log2(modified / modified_half) > 2.8


def test_a_path_is_the_rules_own_run_and_friction_lets_its_energy_fall() -> None:
    rule = optim.HeavyBall(lr=0.01, momentum=0.9)
    found = path(rule, QUARTIC, START, 30, local_error=True)
    p, s = START, rule.init(START)
    for t in range(1, 31):
        p, s = rule.step(p, slope(p), s, t)
    np.testing.assert_allclose(found.p[-1], p, rtol=1e-12)
    np.testing.assert_allclose(found.slots["m"][-1], s.m, rtol=1e-12)
    assert found.energy[0, 0] > found.energy[-1, 0]
    assert np.all(found.energy >= found.loss)
    assert found.local_error is not None
    assert found.local_error.shape == (30, 1)
    halved = path(optim.SGD(lr=0.005), QUARTIC, START, 1, local_error=True).local_error
    whole = path(optim.SGD(lr=0.01), QUARTIC, START, 1, local_error=True).local_error
    assert whole is not None
    assert halved is not None
    assert whole[0, 0] / halved[0, 0] == pytest.approx(4, rel=0.05)


def test_wrong_use_is_one_line() -> None:
    with pytest.raises(RuleError, match="goes by the number of steps"):
        flow(optim.RAdam())
    with pytest.raises(RuleError, match="P jumps however small"):
        flow(optim.NAdam()).solve(START, 1.0, QUARTIC)
    with pytest.raises(RuleError, match="corners or is stiff"):
        order(optim.SignSGD(lr=3.0), QUARTIC, START)
    with pytest.raises(RuleError, match="made for matrices"):
        flow(optim.Muon())
    with pytest.raises(InputError, match="'inertial' or 'rate'"):
        flow(optim.SGD(), "none")
    with pytest.raises(InputError, match="'rule'"):
        path(optim.SGD(), QUARTIC, START, 3, start="hot")


def test_order_and_escape_refuse_what_has_no_answer() -> None:
    wells = energies.DoubleWell()
    valley = energies.Parabola((1.0,))
    for rule, p0, options in (
        (optim.SGD(0.1), [0.0], {}),  # at the minimum nothing moves
        (optim.SGD(0.0), [1.0], {}),
        (optim.SignSGD(0.01), [1.0], {}),  # a straight line
    ):
        with pytest.raises(RuleError, match="to rounding"):
            order(rule, valley, p0, **options)
    with pytest.raises(InputError, match="an eighth of a step"):
        order(optim.SGD(0.1), valley, [1.0], duration=0.01)
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="above 0"):
            kramers_time(wells, -1.0, 0.0, temperature)
    with pytest.raises(InputError, match="too low for the barrier"):
        kramers_time(wells, -1.0, 0.0, 1e-6)
    with pytest.raises(InputError, match="the slope is"):
        kramers_time(wells, -1.3, 0.0, 0.1)
    with pytest.raises(InputError, match="must be finite"):
        escape_time(wells, float("nan"), 1.0, 0.1)


@pytest.mark.parametrize(
    "rule",
    [
        optim.HeavyBall(0.01, momentum=0.95, dampening=0.5),
        optim.HeavyBall(0.01, momentum=0.95, wd=0.5),
        optim.HeavyBall(0.01, momentum=0.95, convention="keras"),
    ],
    ids=repr,
)
def test_friction_lets_the_energy_fall(rule: optim.Rule) -> None:
    found = path(rule, energies.DoubleWell(tilt=-0.1), [-1.45], 200).energy[2:, 0]  # dampening begins at the second step
    assert (np.diff(found) < 1e-3 * found[0]).all()
    assert found[-1] < found[0]


def test_amsgrad_has_a_flow_although_its_maximum_ties_at_the_start() -> None:
    found = order(optim.Adam(0.05, amsgrad="before"), energies.Parabola((1.0, 3.0)), [1.5, 1.0])
    assert found.order == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("rule", [optim.AdaGrad(), optim.ScheduleFree(), optim.Rprop(), optim.Adam(amsgrad="before"), optim.Yogi()])
def test_slots_that_no_gradient_holds_have_no_rate_limit(rule: optim.Rule) -> None:
    with pytest.raises(RuleError, match="no gradient holds"):
        flow(rule, "rate").velocity(0.0, {"p": np.ones((1, 1))}, lambda x: 0 * x + 0.7)


def test_the_rate_limit_of_nadam_is_that_of_its_late_momentum() -> None:
    """A constant gradient moves it by lr a step."""
    found = flow(optim.NAdam(lr=0.1), "rate").velocity(0.0, {"p": np.ones((1, 1))}, lambda x: 0 * x + 0.7)
    assert float(found["p"][0, 0]) == pytest.approx(-0.1, rel=1e-6)


def test_a_modified_equation_is_nearer_than_the_flow_and_says_where_it_is_not() -> None:
    rule, options = optim.RMSprop(lr=0.05), {"start": "warm"}
    steps = path(rule, QUARTIC, START, 12, start="warm").p[-1]
    off = [
        np.abs(made.solve(START, 12, QUARTIC, **options).p[-1] - steps).max()
        for made in (modified_equation(rule), flow(rule))  # type: ignore[arg-type]
    ]
    assert off[0] < off[1] / 5
    for early in (optim.Adam(), optim.NAdam(), optim.ScheduleFree()):
        with pytest.raises(RuleError, match="corrects for its start"):
            modified_equation(early).solve(START, 3, QUARTIC)


def test_what_draws_random_numbers_has_no_path_and_no_temperature_of_its_own():
    """They were left out in silence, so that the path of noise and descent was that of descent."""
    noisy = optim.chain(optim.noise(0.1), optim.SGD(0.1))
    bowl = energies.Parabola((1.0, 5.0))
    for ask in (
        lambda: dynamics.path(noisy, bowl, [1.0, 1.0], 5),
        lambda: dynamics.order(noisy, bowl, [1.0, 1.0]),
        lambda: dynamics.stationary(noisy, 1.0),
    ):
        with pytest.raises(RuleError, match=r"noise\|SGD draws random numbers"):
            ask()


def test_an_optimizer_that_climbs_is_not_taken_for_one_that_descends():
    torch = pytest.importorskip("torch")
    climbs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, maximize=True)
    with pytest.raises(RuleError, match="maximize=True"):
        dynamics.path(climbs, energies.Parabola((1.0,)), [1.0], 5)


@pytest.mark.parametrize(
    "rule", [optim.Heun(0.1), optim.RK(0.1), optim.RK(0.1, order="3"), optim.RK23(0.1), optim.SAM(base=optim.SGD(0.1))]
)
def test_descend_takes_the_gradients_that_a_rule_asks_for(rule):
    """The run is the path of `dynamics`, which comes from the rule's program; of two chains each is the chain alone."""
    bowl, x = energies.Parabola((1.0, 5.0)), np.array([[1.0, -0.7], [30.0, 4.0]])
    run = thalweg.descend(bowl, x, rule, steps=12)
    for k, start in enumerate(x):
        np.testing.assert_allclose(run.x[:, k], dynamics.path(rule, bowl, start, 12).p[:, 0], rtol=1e-12, atol=1e-15)
    if isinstance(rule, optim.Heun):  # p_t = (1 - x + x^2 / 2)^t p_0
        c = 0.1 * np.array([1.0, 5.0])
        np.testing.assert_allclose(run.x[-1], (1 - c + c * c / 2) ** 12 * x, rtol=1e-12)
