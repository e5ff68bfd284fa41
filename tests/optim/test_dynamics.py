"""What a rule will do: closed forms of stability limits and stationary variances, and the runs they speak of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg import optim
from thalweg.errors import InputError, RuleError
from thalweg.optim.dynamics import convert, escape_time, kramers_time, linear, stability, stability_map, stationary
from thalweg.optim.language.fields import const, decay, rate
from thalweg.optim.language.rule import Rule
from thalweg.optim.language.state import Slots, Stages, State, Value
from thalweg.optim.ops import where
from thalweg.optim.rules.staged import Staged
from thalweg.optim.schedules import cosine

momenta = st.floats(0.0, 0.99)


def limits(b: float) -> dict[str, tuple[Rule, float]]:
    """Rules with momentum b, and the largest stable lr times curvature."""
    return {
        "heavy ball": (optim.HeavyBall(momentum=b), 2 * (1 + b)),
        "heavy ball, dampened": (optim.HeavyBall(momentum=b, dampening=b), 2 * (1 + b) / (1 - b)),
        "heavy ball, keras": (optim.HeavyBall(momentum=b, convention="keras"), 2 * (1 + b)),
        "nesterov": (optim.Nesterov(momentum=b), 2 * (1 + b) / (1 + 2 * b)),
        "adam": (optim.Adam(b1=b), 2 * (1 + b) / (1 - b)),
        "amsgrad": (optim.Adam(b1=b, amsgrad="before"), 2 * (1 + b) / (1 - b)),
        "adamw": (optim.AdamW(b1=b, wd=0.0), 2 * (1 + b) / (1 - b)),
        "nadam": (optim.NAdam(b1=b, schedule="none"), 2 * (1 + b) / ((1 + 2 * b) * (1 - b))),
    }


@pytest.mark.parametrize("name", limits(0.9))
@given(momenta)
def test_the_limit_is_the_closed_form(name: str, b: float) -> None:
    rule, expected = limits(b)[name]
    assert stability(rule).limit == pytest.approx(expected, rel=1e-8)


def test_the_limits_of_plain_rules() -> None:
    assert stability(optim.SGD(lr=0.3)).limit == pytest.approx(2, rel=1e-9)
    assert stability(optim.RMSprop()).limit == pytest.approx(2, rel=1e-9)
    assert stability(optim.RMSprop(centered=True)).limit == pytest.approx(2, rel=1e-9)
    decayed = optim.SGD(lr=0.5, wd=0.4, decay="decoupled")
    assert stability(decayed).limit == pytest.approx(2 - 0.5 * 0.4, rel=1e-9)
    assert stability(optim.Heun()).limit == pytest.approx(2, rel=1e-8)
    assert stability(optim.RK(order="3")).limit == pytest.approx(2.5127453266, rel=1e-8)  # x^3 - 3 x^2 + 6 x = 12
    assert stability(optim.RK(order="4")).limit == pytest.approx(2.7852935634, rel=1e-8)  # x^3 - 4 x^2 + 12 x = 24
    assert stability(optim.Adam()).map.frozen == ("v",)
    assert stability(optim.HeavyBall()).map.frozen == ()


def test_sharpness_aware_steps_lower_the_limit() -> None:
    """With e = rho g, not normalised: x (1 + rho lambda) < 2."""

    @dataclass(frozen=True)
    class Ahead(Staged):
        lr: float = rate(0.1)
        rho: float = const(0.05)

        def stages(self, p: Value, s: State, t: Value) -> Stages:
            p, g = self.decayed(p, (yield p))
            g = self.slope(p + self.rho * g, (yield p + self.rho * g))
            return p - self.lr * g, s

    x = stability(Ahead()).limit
    assert x * (1 + 0.05 * x / 0.1) == pytest.approx(2, rel=1e-8)


def double_well(x: np.ndarray) -> np.ndarray:
    return np.asarray((x[:, 0] ** 2 - 1) ** 2 / 4)


WELLS = double_well, lambda x: x * (x**2 - 1)


def test_the_time_to_leave_a_well_is_the_double_integral_and_nearly_kramers_formula() -> None:
    """L = (p^2 - 1)^2 / 4, dL = 1/4: the formula is 12.4, 7.7, 5.4% low at dL / T = 4, 6, 8."""
    assert escape_time(WELLS, -1.0, 1.0, 1 / 16) == pytest.approx(277.1, abs=0.1)
    assert kramers_time(WELLS, -1.0, 0.0, 1 / 16) == pytest.approx(242.6, abs=0.1)
    for depth, low in ((4, 0.124), (6, 0.077), (8, 0.054)):
        ratio = kramers_time(WELLS, -1.0, 0.0, 0.25 / depth) / escape_time(WELLS, -1.0, 1.0, 0.25 / depth)
        assert 1 - ratio == pytest.approx(low, abs=0.001)
    assert escape_time(WELLS, 1.0, -1.0, 1 / 16) == pytest.approx(escape_time(WELLS, -1.0, 1.0, 1 / 16), rel=1e-6)


def test_noisy_steps_leave_a_well_after_that_time() -> None:
    """4,000 walkers for 300 units of time; the mean by the rate of those that arrive."""
    rng, lr, temperature = np.random.default_rng(0), 0.01, 1 / 16
    p, arrived, spent = np.full(4000, -1.0), 0, 0.0
    for _ in range(30_000):
        p = p - lr * p * (p**2 - 1) + np.sqrt(2 * temperature * lr) * rng.standard_normal(len(p))
        spent += lr * len(p)
        arrived += int((p >= 1).sum())
        p = p[p < 1]
    assert spent / arrived == pytest.approx(escape_time(WELLS, -1.0, 1.0, temperature), rel=0.05)


@pytest.mark.parametrize("rule", [optim.SignSGD(), optim.Lion()], ids=repr)
def test_rules_of_signs_have_no_stable_rate(rule: Rule) -> None:
    found = stability(rule)
    assert found.limit == 0
    assert "cycle" in found.note
    with pytest.raises(RuleError, match="does not settle"):
        stationary(rule, 1.0)


@pytest.mark.parametrize("rule", [optim.SGD(lr=0.1), optim.HeavyBall(lr=0.1), optim.Nesterov(lr=0.1)], ids=repr)
def test_a_run_diverges_above_the_limit_and_not_below(rule: Rule) -> None:
    """Bisection of real runs on a parabola finds the limit to 2%."""
    low, high = 0.1, 100.0
    while high / low > 1.005:
        curvature = (low * high) ** 0.5
        p, s = np.ones(1), rule.init(np.ones(1))
        for t in range(1, 2001):
            p, s = rule.step(p, curvature * p, s, t)
            if not abs(p[0]) < 1e6:
                break
        low, high = (low, curvature) if not abs(p[0]) < 1 else (curvature, high)
    assert rule.lr * low == pytest.approx(stability(rule).limit, rel=0.02)  # type: ignore[attr-defined]


def test_the_best_constants_of_the_heavy_ball() -> None:
    """On curvatures from mu to L = k mu: momentum ((sqrt k - 1)/(sqrt k + 1))^2, lr 4/(sqrt L + sqrt mu)^2, rate sqrt momentum."""
    mu, large = 1.0, 50.0
    b = ((np.sqrt(large / mu) - 1) / (np.sqrt(large / mu) + 1)) ** 2
    rule = optim.HeavyBall(lr=4 / (np.sqrt(large) + np.sqrt(mu)) ** 2, momentum=b)
    np.testing.assert_allclose(linear(rule).radius(np.linspace(mu, large, 7)), np.sqrt(b), rtol=1e-6)
    assert stability(optim.SGD()).best == pytest.approx(1, rel=1e-6)  # a parabola's minimum in one step


def test_a_rule_of_ones_own_needs_no_formula() -> None:
    @dataclass(frozen=True)
    class Mine(Rule):
        lr: float = rate(0.1)
        keep: float = decay(0.7)
        slots = Slots(m=0, v=0)

        def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
            p, g = self.decayed(p, g)
            m = self.keep * s.m + g
            v = 0.9 * s.v + 0.1 * g * g
            return p - self.lr * m / v**0.5, s(m=m, v=v)

    found = stability(Mine())
    assert found.map.frozen == ("v",)
    assert found.limit == pytest.approx(2 * 1.7, rel=1e-8)
    assert stability(Mine(), freeze=("v",)).limit == found.limit
    with pytest.raises(RuleError, match="no slot 'w' to freeze"):
        linear(Mine(), freeze=("w",))


@given(momenta, st.floats(0.01, 0.95))
def test_stationary_variances_are_the_closed_forms(b: float, part: float) -> None:
    """At a share of the limit, with x = lr lambda."""
    curvature, noise = 2.0, 3.0
    for rule, share in (
        (optim.SGD(), 2.0),
        (optim.HeavyBall(momentum=b), 2 * (1 + b)),
        (optim.Nesterov(momentum=b), 2 * (1 + b) / (1 + 2 * b)),
    ):
        x = part * share
        lr = x / curvature
        forms = {
            "SGD": lr * noise / (curvature * (2 - x)),
            "HeavyBall": lr * noise * (1 + b) / (curvature * (1 - b) * (2 * (1 + b) - x)),
            "Nesterov": lr * noise / curvature * (1 + b + b * x + 2 * b**2 * x)
            / ((1 - b + b * x) * (2 * (1 + b) - (1 + 2 * b) * x)),
        }  # fmt: skip
        found = stationary(rule.replace(lr=lr), curvature, noise)
        assert found.variance == pytest.approx(forms[type(rule).__name__], rel=1e-6)
        assert found.temperature == pytest.approx(curvature * found.variance)


def test_a_run_with_noise_settles_to_its_temperature() -> None:
    rule, rng = optim.HeavyBall(lr=0.05, momentum=0.8), np.random.default_rng(0)
    p, s = np.zeros(4000), optim.HeavyBall().init(np.zeros(4000))
    for t in range(1, 400):
        p, s = rule.step(p, 2.0 * p + rng.normal(size=4000), s, t)
    assert p.var() == pytest.approx(stationary(rule, 2.0, 1.0).variance, rel=0.08)


@given(st.floats(0.0, 0.98), st.floats(0.25, 8.0))
def test_converted_rules_have_the_same_temperature_and_drift(momentum: float, batch: float) -> None:
    """For small rates: noise falls as the batch grows."""
    rule = optim.HeavyBall(lr=1e-6, momentum=0.9)
    other = convert(rule, momentum=momentum, batch=batch)
    before, after = stationary(rule, 1.0, 1.0).temperature, stationary(other, 1.0, 1.0 / batch).temperature
    assert after == pytest.approx(before, rel=1e-3)
    assert other.lr / (1 - other.momentum) / batch == pytest.approx(rule.lr / (1 - rule.momentum))


@pytest.mark.parametrize(
    ("rule", "options", "expected"),
    [
        (optim.HeavyBall(0.1, convention="ema"), {"momentum": 0.99}, optim.HeavyBall(0.1, momentum=0.99, convention="ema")),
        (optim.Nesterov(0.1), {"momentum": 0.99}, optim.Nesterov(0.01, momentum=0.99)),
        (optim.Signum(0.1), {"momentum": 0.99}, optim.Signum(0.1, momentum=0.99)),
        (optim.Adam(0.1), {"momentum": 0.5}, optim.Adam(0.1, b1=0.5)),
        (optim.SignSGD(0.1), {"batch": 4}, optim.SignSGD(0.2)),
        (optim.Lion(0.1), {"batch": 4}, optim.Lion(0.2, b1=0.6, b2=0.96)),
        (optim.AdaGrad(0.1, eps=4e-8), {"batch": 4}, optim.AdaGrad(0.1, eps=1e-8)),
        (optim.AdaGrad(0.1, eps=16e-8, eps_at="inside"), {"batch": 4}, optim.AdaGrad(0.1, eps=1e-8, eps_at="inside")),
        (optim.RMSprop(0.1, eps=4e-8, eps_at="inside"), {"batch": 4}, optim.RMSprop(0.2, alpha=0.96, eps=1e-8, eps_at="inside")),
        (optim.AdamW(0.1, wd=0.01), {"batch": 4}, optim.AdamW(0.2, b1=0.6, b2=0.996, eps=5e-9, wd=0.02)),
        (optim.Adam(0.1, wd=0.01), {"batch": 4}, optim.Adam(0.2, b1=0.6, b2=0.996, eps=5e-9, wd=0.01)),
        (
            optim.HeavyBall(0.1, wd=0.1, decay="decoupled"),
            {"momentum": 0.99},
            optim.HeavyBall(0.01, 0.99, wd=1.0, decay="decoupled"),
        ),
        (optim.SGD(0.1, wd=0.1, decay="decoupled"), {"batch": 2}, optim.SGD(0.2, wd=0.1, decay="decoupled")),
    ],
    ids=repr,
)
def test_each_kind_of_rule_is_converted_by_its_own_law(rule: Rule, options: dict[str, float], expected: Rule) -> None:
    found = convert(rule, **options)  # type: ignore[arg-type]
    assert type(found) is type(expected)
    for name, value in vars(expected).items():
        assert getattr(found, name) == pytest.approx(value), name


@pytest.mark.parametrize("rule", [optim.Adadelta(), optim.ScheduleFree(), optim.Rprop()])
def test_rules_without_a_law_are_not_converted(rule: Rule) -> None:
    with pytest.raises(RuleError, match="tune it anew"):
        convert(rule, batch=2)


def test_over_as_many_samples_adagrad_goes_as_far_with_any_batch() -> None:
    """Where noise rules: the same mean path for the converted rule, four samples a batch against one."""
    rng = np.random.default_rng(0)
    samples = 0.1 + rng.normal(size=(4000, 400))
    ends = []
    for k in (1, 4):
        rule = convert(optim.AdaGrad(lr=0.01), batch=k)
        p = np.zeros(400)
        s = rule.init(p)
        for t, g in enumerate(samples.reshape(-1, k, 400).mean(1), 1):
            p, s = rule.step(p, g, s, t)
        ends.append(p.mean())
    assert ends[1] == pytest.approx(ends[0], rel=0.05)


def test_decay_takes_its_part_of_the_largest_rate() -> None:
    """Coupled: 2 / (lambda + wd). Decoupled: lr wd / 2 of the limit."""
    assert stability(optim.SGD(1e-3, wd=2.0)).largest_lr(8) == pytest.approx(2 / 10, rel=1e-8)
    assert stability(optim.AdamW(wd=0.01)).largest_lr(1.0) == pytest.approx(1 / (1 / 38 + 0.01 / 2), rel=1e-6)
    assert stability(optim.HeavyBall(wd=1.0, decay="decoupled")).largest_lr(5.0) == pytest.approx(1 / (5 / 3.8 + 0.5), rel=1e-6)


def test_what_no_longer_counts_late_is_left_out() -> None:
    """NAdam's product of momenta is 0 in the end however slow; Schedule-Free's average stands still; centred RMSprop's mean is
    not felt at a minimum."""
    assert stability(optim.NAdam(b1=0.999)).limit == pytest.approx(2 * 1.999 / (2.998 * 0.001), rel=1e-6)
    assert stability(optim.ScheduleFree(inner="sgd", b1=0.9)).limit == pytest.approx(20, rel=1e-6)
    assert stability(optim.RMSprop(centered=True)).rate(1.0) == pytest.approx(0, abs=1e-12)
    assert stability(optim.Adam(b1=1 - 1e-6)).limit == pytest.approx(4e6, rel=1e-4)


def test_the_map_turns_unstable_at_the_closed_form() -> None:
    x, momenta = np.linspace(0.1, 4, 40), [0.0, 0.5, 0.9]
    radii = stability_map(optim.HeavyBall(lr=0.02), x, momenta)
    assert radii.shape == (3, 40)
    for row, b in zip(radii, momenta, strict=True):
        assert ((row > 1 + 1e-9) == (x > 2 * (1 + b) + 1e-9)).all()
    with pytest.raises(RuleError, match="no momentum"):
        stability_map(optim.SGD(), x, momenta)


def test_a_v_without_memory_is_not_frozen() -> None:
    """RMSprop with alpha 0 is signSGD."""
    found = stability(optim.RMSprop(alpha=0.0))
    assert found.limit == 0
    assert "does not shrink with the gradient" in found.note


@pytest.mark.parametrize("rule", [optim.AdaGrad(lr_decay=0.1), optim.chain(optim.schedule(cosine(100)), optim.SGD())])
def test_a_rate_that_falls_to_nothing_has_no_limit(rule: Rule) -> None:
    with pytest.raises(RuleError, match="falls to nothing with time"):
        stability(rule)


def test_adaptive_rules_follow_the_square_root() -> None:
    other = convert(optim.Adam(), batch=4)
    assert (other.lr, other.b1, other.b2, other.eps) == pytest.approx((2e-3, 0.6, 0.996, 5e-9))
    with pytest.raises(RuleError, match="too large for this rule's law"):
        convert(optim.Adam(), batch=20)
    with pytest.raises(RuleError, match="no momentum"):
        convert(optim.SGD(), momentum=0.5)


def test_a_torch_optimizer_stands_for_its_rule() -> None:
    import torch

    p = [torch.zeros(2, requires_grad=True)]
    assert stability(torch.optim.SGD(p, lr=0.1, momentum=0.9)).limit == pytest.approx(3.8)
    assert stability(optim.torch.Adam(p, lr=0.1)).limit == pytest.approx(38)
    assert stationary(torch.optim.SGD(p, lr=0.1), 1.0).variance == pytest.approx(0.1 / 1.9)
    groups = [{"params": p, "lr": 0.1}, {"params": [torch.zeros(1, requires_grad=True)], "lr": 0.2}]
    with pytest.raises(RuleError, match="have different rules"):
        stability(torch.optim.SGD(groups))
    with pytest.raises(RuleError, match="'adam' is not a rule"):
        stability("adam")  # type: ignore[arg-type]


def test_wrong_use_is_one_line() -> None:
    with pytest.raises(InputError, match="curvature=-1 must be above 0"):
        stability(optim.SGD()).largest_lr(-1)
    with pytest.raises(InputError, match="noise=nan is a variance"):
        stationary(optim.SGD(lr=0.1), 1.0, float("nan"))
    with pytest.raises(InputError, match="in a time that a float holds"):
        escape_time(WELLS, -1.0, 1.0, 1e-5)
    with pytest.raises(InputError, match="temperature=0 must be above 0"):
        escape_time(WELLS, -1.0, 1.0, 0)
    with pytest.raises(InputError, match="does not rise beyond"):
        escape_time((lambda x: 0 * x[:, 0], np.zeros_like), 0.0, 1.0, 1.0)
    with pytest.raises(InputError, match="give a minimum and a maximum"):
        kramers_time(WELLS, 0.0, -1.0, 0.1)
    with pytest.raises(RuleError, match="sums over tensors"):
        stability(optim.LAMB())
    with pytest.raises(RuleError, match="does not move"):
        stability(optim.SGD(lr=0.0))
    with pytest.raises(RuleError, match=r"the spectral radius is 1\.5"):
        stationary(optim.SGD(lr=2.5), 1.0)


def test_a_steep_but_smooth_step_is_no_sign() -> None:
    """p - lr g / (|g| + 0.01) is linear with slope 100 below 0.01: stable up to lr = 0.02."""

    @dataclass(frozen=True)
    class Soft(Rule):
        lr: float = rate(0.01)

        def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
            p, g = self.decayed(p, g)
            return p - self.lr * g / (abs(g) + 0.01), s

    assert stability(Soft()).limit == pytest.approx(0.02, rel=1e-6)


def test_a_step_without_a_derivative_is_refused() -> None:
    @dataclass(frozen=True)
    class Cautious(Rule):
        lr: float = rate(0.01)
        slots = Slots(m=0)

        def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
            p, g = self.decayed(p, g)
            m = 0.9 * s.m + g
            return p - self.lr * where(m * g > 0, m, 0), s(m=m)

    with pytest.raises(RuleError, match="no derivative at a minimum"):
        stability(Cautious())
    with pytest.raises(RuleError, match="sums over tensors"):
        stability(optim.Muon())


def test_the_best_rate_of_a_range_is_its_middle() -> None:
    """Momentum lets all rates of a wide range shrink errors by sqrt(b1) a step; the rule's own rate does not matter."""
    one, other = stability(optim.Adam()), stability(optim.Adam(lr=1.0))
    assert one.best == pytest.approx(other.best, rel=1e-6)
    assert one.best_rate == pytest.approx(0.9**0.5, rel=1e-6)
    assert 0.1 < one.best < 10
    root = 0.9**0.5  # the heavy ball's range in closed form: ((1 - sqrt(b))^2, (1 + sqrt(b))^2)
    assert stability(optim.HeavyBall(momentum=0.9)).best_range == pytest.approx(((1 - root) ** 2, (1 + root) ** 2), rel=1e-6)
    assert stability(optim.SGD()).best_range == pytest.approx((1, 1), rel=1e-6)
