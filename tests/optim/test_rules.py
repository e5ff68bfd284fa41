"""The rules against closed forms and torch, and the language in which a rule is written."""

from __future__ import annotations

import copy
import json
import math
import pickle
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg import optim
from thalweg.errors import RuleError
from thalweg.optim import HeavyBall, Rule, Slots, State, choice, const, decay, flag, rate
from thalweg.optim.rules.chained import from_config

every_rule = pytest.mark.parametrize("rule", [make() for make in optim.RULES.values()], ids=lambda rule: type(rule).__name__)


@dataclass(frozen=True)
class Centred(Rule):
    """A user's rule with every kind of field: RMSprop, centred or not, with eps inside or outside the root."""

    lr: float = rate(0.01)
    alpha: float = decay(0.9)
    eps: float = const(1e-8)
    centred: bool = flag(False)
    where: str = choice("outside", "inside")
    slots = Slots(v=1, a=0)

    def step(self, p, g, s, t):
        v = self.alpha * s.v + (1 - self.alpha) * g * g
        a = self.alpha * s.a + (1 - self.alpha) * g
        w = v - a * a if self.centred else v
        d = (w + self.eps) ** 0.5 if self.where == "inside" else w**0.5 + self.eps
        return p - self.lr * g / d, s(v=v, a=a)


def follow(rule, gradient, p, steps):
    """[p_0, ..., p_steps] with gradient(p, t)."""
    path, s = [p], rule.init(p)
    for t in range(1, steps + 1):
        p, s = rule.step(p, gradient(p, t), s, t)
        path.append(p)
    return np.array(path)


def grows(rule, curvature, steps=2000):
    """Whether |p| grows on the parabola of that curvature."""
    path = follow(rule, lambda p, t: curvature * p, np.array([1.0]), steps)
    return np.abs(path[-20:]).max() > np.abs(path[:20]).max()


# ---- formulas


@settings(deadline=None)
@given(lr=st.floats(0, 1), curvature=st.floats(0.01, 2))
def test_gradient_descent_on_a_parabola_is_a_geometric_sequence(lr, curvature):
    """p_t = (1 - lr lambda)^t p_0."""
    path = follow(optim.SGD(lr=lr), lambda p, t: curvature * p, np.array([3.0, -1.0]), 20)
    expected = (1 - lr * curvature) ** np.arange(21)[:, None] * [3.0, -1.0]
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("curvature", [0.3, 1.0, 40.0])
def test_gradient_descent_is_stable_below_two_over_the_curvature(curvature):
    """|1 - lr lambda| < 1 iff 0 < lr < 2/lambda."""
    assert not grows(optim.SGD(lr=0.99 * 2 / curvature), curvature)
    assert grows(optim.SGD(lr=1.01 * 2 / curvature), curvature)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("dampening", [0.0, 0.6])
def test_heavy_ball_is_stable_up_to_its_oscillation_limit(momentum, dampening):
    """The roots of z^2 - (1 + beta - (1-d) lr lambda) z + beta leave the unit circle at z = -1: (1-d) lr lambda = 2 (1 + beta)."""
    limit = 2 * (1 + momentum) / ((1 - dampening) * 4.0)
    assert not grows(HeavyBall(0.99 * limit, momentum, dampening), 4.0)
    assert grows(HeavyBall(1.01 * limit, momentum, dampening), 4.0)


def test_best_momentum_gains_a_square_root_of_the_condition_number():
    """At beta = ((sqrt k - 1)/(sqrt k + 1))^2, lr = 4/(1 + sqrt k)^2 (curvatures 1, k) errors fall like t sqrt(beta)^t."""
    kappa, steps = 100.0, 200
    root = (math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1)
    rule = HeavyBall(lr=4 / (1 + math.sqrt(kappa)) ** 2, momentum=root**2)
    path = follow(rule, lambda p, t: np.array([1.0, kappa]) * p, np.array([1.0, 1.0]), steps)
    assert np.abs(path[steps]).max() < 3 * steps * root**steps


@given(p=st.floats(-10, 10), g=st.floats(-10, 10))
def test_heavy_ball_without_momentum_is_gradient_descent(p, g):
    """beta = 0, d = 0: m = g."""
    rule = HeavyBall(lr=0.1, momentum=0)
    s = rule.init(np.array(p))
    for t in (1, 2, 3):
        after, s = rule.step(p, g, s, t)
        assert after == optim.SGD(lr=0.1).step(p, g, None, t)[0]


def test_first_step_of_the_heavy_ball_is_undamped():
    """torch's convention: m_1 = g whatever d, then m_2 = beta m_1 + (1 - d) g."""
    rule = HeavyBall(lr=1.0, momentum=0.5, dampening=0.75)
    _, s = rule.step(0.0, 1.0, rule.init(0.0), 1)
    assert s.m == 1
    _, s = rule.step(0.0, 1.0, s, 2)
    assert s.m == 0.5 + 0.25


@pytest.mark.parametrize("rule", [optim.SGD(0.05), HeavyBall(0.05, 0.9), HeavyBall(0.05, 0.9, 0.3)], ids=repr)
def test_rules_agree_with_torch(rule):
    """300 steps on noisy gradients in float64, equal to 1e-12. `sgd` is what torch.optim.SGD calls, without its slow import."""
    torch = pytest.importorskip("torch")
    sgd = pytest.importorskip("torch.optim.sgd").sgd
    rng = np.random.default_rng(0)
    p, noise = rng.normal(size=5), rng.normal(size=(301, 5))
    path = follow(rule, lambda p, t: np.sin(p) + noise[t], p, 300)
    theirs, buffers = torch.tensor(p), [None]
    options = {"momentum": getattr(rule, "momentum", 0), "dampening": getattr(rule, "dampening", 0), "nesterov": False}
    for t in range(1, 301):
        gradient = torch.sin(theirs) + torch.tensor(noise[t])
        sgd([theirs], [gradient], buffers, lr=rule.lr, weight_decay=0, maximize=False, foreach=False, **options)
        np.testing.assert_allclose(path[t], theirs.numpy(), rtol=1e-12, atol=1e-12)


@every_rule
def test_coordinates_do_not_feel_each_other(rule):
    """Elementwise rules: a vector of coordinates moves as each of them alone, bit for bit. LARS and LAMB have norms of all."""
    if rule.program().n_phases > 1:
        return
    start = np.array([0.3, -2.0, 5.0])
    together = follow(rule, lambda p, t: p**3 - p, start, 30)
    for i in range(3):
        np.testing.assert_array_equal(together[:, [i]], follow(rule, lambda p, t: p**3 - p, start[[i]], 30))


@every_rule
def test_where_the_slope_is_zero_a_resting_rule_stays(rule):
    np.testing.assert_array_equal(follow(rule.replace(wd=0), lambda p, t: 0 * p, np.ones(2), 5), np.ones((6, 2)))


@every_rule
def test_a_step_changes_nothing_in_place(rule):
    p, g = np.ones(3), np.full(3, 2.0)
    s = rule.init(p)
    before = copy.deepcopy(s)
    rule.step(p, g, s, 1)
    assert p.tolist() == [1, 1, 1]
    assert g.tolist() == [2, 2, 2]
    assert repr(s) == repr(before)


# ---- rules as values


@pytest.mark.parametrize("rule", [optim.SGD(lr=1 / 3), HeavyBall(1e-5, 0.3, 0.1), Centred(centred=True, where="inside")], ids=repr)
def test_a_rule_survives_repr_json_and_pickle(rule):
    names = {**vars(optim.rules), "Centred": Centred}
    for again in (
        eval(repr(rule), names),
        type(rule).from_config(json.loads(json.dumps(rule.to_config()))),
        pickle.loads(pickle.dumps(rule)),
        copy.deepcopy(rule),
        rule.replace(),
    ):
        assert again == rule
        assert hash(again) == hash(rule)


def test_the_repr_names_what_is_not_a_number_only_where_it_differs_from_the_default():
    assert repr(optim.SGD(lr=0.1)) == "SGD(lr=0.1)"
    assert repr(optim.SGD(lr=0.1, wd=0.5, decay="decoupled")) == "SGD(lr=0.1, wd=0.5, decay='decoupled')"
    assert repr(optim.AdamW(amsgrad="before")) == "AdamW(lr=0.001, b1=0.9, b2=0.999, eps=1e-08, amsgrad='before')"


def test_decoupled_decay_shrinks_and_coupled_decay_pulls():
    """Where g = 0: p (1 - lr wd) for both under SGD; Adam divides a coupled pull by its own size, so that it has size 1."""
    for way in ("coupled", "decoupled"):
        assert optim.SGD(lr=0.5, wd=0.1, decay=way).step(2.0, 0.0, State({}), 1)[0] == pytest.approx(2 * 0.95)
    rule = optim.Adam(lr=0.5, wd=0.1)
    assert rule.step(2.0, 0.0, rule.init(0.0), 1)[0] == pytest.approx(1.5)
    assert rule.replace(decay="decoupled").step(2.0, 0.0, rule.init(0.0), 1)[0] == pytest.approx(2 * 0.95)


def test_a_library_s_form_is_its_flags_and_its_defaults():
    assert optim.RMSprop.like("keras", lr=0.1) == optim.RMSprop(
        0.1, 0.9, 1e-7, eps_at="inside", lr_in_buffer=True, decay="decoupled"
    )
    assert optim.Adam.like("torch") == optim.Adam()
    with pytest.raises(RuleError, match=r"Adam.like\('jax'\): it is torch, optax or keras"):
        optim.Adam.like("jax")


@every_rule
def test_every_library_s_form_of_every_rule_is_a_rule_with_a_program(rule):
    for library in ("torch", "optax", "keras"):
        assert str(type(rule).like(library).program()).startswith(type(rule).__name__)


def test_rules_differ_by_class_and_by_number():
    assert optim.SGD(0.1) != optim.SGD(0.2)
    assert optim.SGD(0.1) != HeavyBall(0.1, 0)
    assert optim.SGD(1) == optim.SGD(1.0) == optim.SGD(np.float64(1)) == optim.SGD(np.int64(1))
    assert type(optim.SGD(np.float32(0.5)).lr) is float


def test_replace_makes_another_rule_and_keeps_the_rest():
    rule = HeavyBall(lr=0.1, momentum=0.5)
    assert rule.replace(lr=0.2) == HeavyBall(lr=0.2, momentum=0.5)
    assert rule.lr == 0.1


def test_the_configuration_of_an_older_version_takes_the_defaults():
    assert HeavyBall.from_config({"rule": "HeavyBall", "lr": 0.1}) == HeavyBall(lr=0.1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: optim.SGD(lr=-0.1), r"SGD: lr=-0.1 is not allowed; a rate is a finite number of at least 0"),
        (lambda: optim.SGD(lr=math.nan), "lr=nan"),
        (lambda: optim.SGD(lr=math.inf), "lr=inf"),
        (lambda: optim.SGD(lr=10**400), "lr=1000"),
        (lambda: optim.SGD(lr="0.1"), "lr='0.1'"),
        (lambda: optim.SGD(lr=True), "lr=True"),
        (lambda: optim.SGD(lr=None), "lr=None"),
        (lambda: optim.SGD(lr=[0.1]), r"lr=\[0.1\]"),
        (lambda: HeavyBall(momentum=1.0), r"HeavyBall: momentum=1.0 is not allowed; a decay is a number in \[0, 1\)"),
        (lambda: HeavyBall(momentum=-0.1), "momentum=-0.1"),
        (lambda: HeavyBall(dampening=math.nan), "dampening=nan"),
        (lambda: HeavyBall().replace(momentum=2), "momentum=2 "),
        (lambda: HeavyBall().replace(momentun=0.5), "no hyper-parameter 'momentun'. Did you mean momentum"),
        (lambda: HeavyBall.from_config({"rule": "SGD", "lr": 1}), "that of 'SGD', not of 'HeavyBall'"),
        (lambda: HeavyBall.from_config({"lr": 1}), "that of None"),
        (lambda: HeavyBall.from_config({"rule": "HeavyBall", "beta": 1}), "no hyper-parameter 'beta'"),
        (lambda: Centred(eps=-1), "Centred: eps=-1 is not allowed; a const is"),
        (lambda: Centred(centred=1), "centred=1 is not allowed; it is True or False"),
        (lambda: Centred(where="insid"), "where='insid' .* Did you mean inside"),
        (lambda: Centred(where=3), "where=3 "),
        (lambda: Slots(m=math.nan), "slot m=nan"),
        (lambda: optim.get("sdg"), "there is no rule 'sdg'. Did you mean sgd"),
        (lambda: optim.get("xyzzy"), "There are: sgd, heavyball"),
    ],
)
def test_bad_rules_are_refused_in_one_line(make, sentence):
    with pytest.raises(RuleError, match=sentence) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_rules_are_found_by_name_however_it_is_spelt():
    assert optim.get("sgd") is optim.get("SGD") is optim.SGD
    assert optim.get("heavy-ball") is optim.get("HeavyBall") is optim.get("heavy_ball") is HeavyBall
    for name, rule in optim.RULES.items():
        assert optim.get(rule.__name__) is optim.get(name) is rule is getattr(optim, rule.__name__)


# ---- the language


def test_ten_lines_make_a_rule():
    """v_1 = 0.9 + 0.1 g^2 from v_0 = 1; p_1 = p_0 - lr g/(sqrt v_1 + eps)."""
    rule = Centred(lr=0.5, eps=0.25)
    p, s = rule.step(np.array([1.0]), np.array([1.0]), rule.init(np.ones(1)), 1)
    assert s.v.tolist() == [1.0]
    assert s.a == pytest.approx(0.1)
    assert p.tolist() == [1 - 0.5 / 1.25]
    assert Centred(centred=True).step(p, p, rule.init(p), 1) != Centred().step(p, p, rule.init(p), 1)


def test_slots_start_from_their_values_in_the_shape_of_p():
    s = Centred().init(np.zeros((2, 3)))
    np.testing.assert_array_equal(s.v, np.ones((2, 3)))
    np.testing.assert_array_equal(s.a, np.zeros((2, 3)))
    assert repr(Centred.slots) == "Slots(v=1.0, a=0.0)"


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda s: s(v=1), r"s\(\.\.\.\) takes every slot of the rule \(v, a\): a is not given"),
        (lambda s: s(v=1, a=1, b=1), "there is no slot b"),
        (lambda s: s.momentum, "s.momentum: the rule has no such slot"),
        (lambda s: optim.SGD().init(0.0).m, "It has none"),
        (lambda s: optim.SGD().init(0.0)(m=1), r"\(it has none\): there is no slot m"),
    ],
)
def test_slots_that_are_not_there_are_named(use, sentence):
    with pytest.raises(RuleError, match=sentence):
        use(Centred().init(np.zeros(1)))


def test_a_state_is_copied_and_pickled_with_its_slots():
    s = Centred().init(np.zeros(1))
    assert repr(pickle.loads(pickle.dumps(s))) == repr(copy.copy(s)) == repr(s)


@dataclass(frozen=True)
class SGD(Rule):
    """A user's, drawn to 1."""

    lr: float = rate(0.01)

    def step(self, p, g, s, t):
        p, g = self.decayed(p, g)
        return p - self.lr * (g + p - 1), s


@pytest.mark.parametrize("make", [lambda rule: rule, lambda rule: optim.chain(optim.clip_value(0.5), rule)], ids=["rule", "chain"])
def test_a_rule_of_ones_own_called_as_one_of_the_library_s_is_never_taken_for_it(make):
    """kozistr/pytorch_optimizer and others write variants under the old name: configurations tell them apart."""
    mine, ours = make(SGD(lr=0.5)), make(optim.SGD(lr=0.5))
    assert from_config(ours.to_config()) == ours
    with pytest.raises(RuleError, match="of a rule of your own, SGD"):
        from_config(mine.to_config())
    assert from_config(mine.to_config(), lambda name: {"own SGD": SGD}[name]) == mine == type(mine).from_config(mine.to_config())
    for kind, config in ((SGD, optim.SGD().to_config()), (optim.SGD, SGD().to_config())):
        with pytest.raises(RuleError, match="the configuration is that of"):
            kind.from_config(config)


def test_a_field_without_a_kind_is_refused():
    """What a field means (schedulable, structural) must be said, so a bare default is an error of the rule's author."""

    @dataclass(frozen=True)
    class Bare(Rule):
        lr: float = 0.1
        other: float = field(default=1.0)

        def step(self, p, g, s, t):
            return p, s

    with pytest.raises(RuleError, match=r"Bare\.lr has no kind; declare it with rate, decay, const, number, count, flag or choice"):
        Bare()


def test_slots_written_as_a_dict_are_refused_when_the_class_is_made():
    with pytest.raises(RuleError, match=r"Wrong\.slots is \{'m': 0\}; write it as slots = Slots"):

        class Wrong(Rule):
            slots = {"m": 0}  # noqa: RUF012


def test_a_rule_needs_a_step():
    @dataclass(frozen=True)
    class Lazy(Rule):
        lr: float = rate(0.1)

    with pytest.raises(TypeError, match="step"):
        Lazy()


def test_importing_optim_loads_the_standard_library_alone():
    """`thalweg.optim`, its rules and their configuration need no third-party module; NumPy comes with the first state."""
    code = (
        "import sys; before = set(sys.modules); from thalweg import optim; optim.get('heavyball')(lr=0.1).to_config();"
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['thalweg']"


def test_public_names_are_there_and_unknown_ones_are_not():
    for name in optim.__all__:
        assert getattr(optim, name) is not None
    assert set(dir(optim)) == set(optim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'adamm'"):
        optim.adamm  # noqa: B018


def test_a_slot_cannot_be_set_in_place() -> None:
    with pytest.raises(RuleError, match=r"return s\(mm=\.\.\.\) from the step"):
        State({"m": 0.0}).mm = 1.0
