"""From a rule to its program: what is traced, what is left out, what is refused, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from thalweg import optim
from thalweg.errors import RuleError
from thalweg.optim import Rule, Slots, const, decay, ops, rate
from thalweg.optim.backends.reference import run

every_rule = pytest.mark.parametrize("rule", [make() for make in optim.RULES.values()], ids=lambda rule: type(rule).__name__)

ADAM = """\
Adam: 16 bytes read, 12 written, 13 operations an element (float32)
  on the host, once a step:
    k1 = 1 - self.b1
    k2 = 1 - self.b2
    k3 = self.b1 ** t
    k4 = 1 - k3
    k5 = self.b2 ** t
    k6 = 1 - k5
    k7 = sqrt(k6)
    k8 = self.lr / k4
  for each element:
    x1 = lerp(s.m, g, k1)
    x2 = g * g
    x3 = lerp(s.v, x2, k2)
    x4 = sqrt(x3)
    x5 = k8 * x1
    x6 = x4 / k7
    x7 = x6 + self.eps
    x8 = x5 / x7
    x9 = p - x8
    p = x9
    s.m = x1
    s.v = x3"""


def rule_with(step, **namespace):
    """A rule of one field with that step, written where the caller stands."""
    made = type("Own", (Rule,), {"__annotations__": {"lr": "float"}, "lr": rate(0.1), "step": step, **namespace})
    return dataclass(frozen=True)(made)()


def inputs(rule, p, g, state, t):
    numbers = {f"self.{name}": value for name, value in vars(rule).items() if isinstance(value, float)}
    return {"p": p, "g": g, "t": np.float64(t), "size": float(np.size(p)), **numbers, **{f"s.{k}": v for k, v in state.items()}}


def test_a_program_reads_as_one_would_write_it_down():
    assert str(optim.Adam().program()) == ADAM


@every_rule
def test_a_program_does_what_the_step_does(rule):
    """Ten steps in float64, through NumPy node by node and through `step` itself, with weight decay."""
    rule = rule.replace(wd=0.1)
    rng = np.random.default_rng(0)
    p, program = rng.normal(size=6), rule.program()
    s = rule.init(p)
    q, state = p, {name: s.__dict__[name] for name in (*program.slots, *program.scalars)}
    for t in range(1, 11):
        g = rng.normal(size=6)
        p, s = rule.step(p, g, s, t)
        new = run(program, inputs(rule, q, g, state, t))
        q, state = new["p"], {name: new[f"s.{name}"] for name in state}
        np.testing.assert_allclose(q, p, rtol=1e-13)


def test_numbers_do_not_decide_the_program_and_flags_do():
    assert optim.Adam(lr=1e-3).program() is optim.Adam(lr=0.5, b1=0.0, eps=0).program()
    assert optim.Adam().program() != optim.Adam(eps_at="uncorrected").program()
    assert optim.Adam(wd=0.1).program() is optim.Adam(wd=0.2).program()
    assert optim.Adam(wd=0.1).program() != optim.Adam().program()


def test_a_field_that_is_off_leaves_no_term_and_no_slot():
    """RMSprop without momentum and centring keeps v alone; each of them brings its slot."""
    assert list(optim.RMSprop().program().slots) == ["v"]
    assert list(optim.RMSprop(momentum=0.5).program().slots) == ["v", "b"]
    assert list(optim.RMSprop(centered=True).program().slots) == ["v", "a"]
    assert list(optim.Adam(amsgrad="before").program().slots) == ["m", "v", "V"]


def test_equal_subexpressions_are_computed_once():
    rule = rule_with(lambda self, p, g, s, t: (p - self.lr * (g * g) - ops.sqrt(g * g) * self.lr, s))
    assert [node.op for node in rule.program().nodes].count("mul") == 3  # g * g, lr * that, sqrt(that) * lr


def test_scalars_are_left_to_the_host():
    """b1^t, its complement and lr over it are one number a step; the loop has no power."""
    program = optim.Adam().program()
    assert all(program.nodes[place].op != "pow" for place in program.kernel(0))
    assert sum(program.nodes[place].op == "pow" for place in program.host(0)) == 2


@pytest.mark.parametrize(
    ("rule", "reads", "writes"),
    [(optim.SGD(), 8, 4), (optim.HeavyBall(), 12, 8), (optim.Adam(), 16, 12), (optim.Lion(), 12, 8), (optim.LAMB(), 32, 12)],
    ids=["SGD", "HeavyBall", "Adam", "Lion", "LAMB"],
)
def test_the_cost_is_each_array_read_and_written_once_a_pass(rule, reads, writes):
    cost = rule.program().cost()
    assert (cost.reads, cost.writes) == (reads, writes)
    half = rule.program().cost(item=4, parameter=2)
    assert half.reads < reads


def test_a_reduction_ends_a_phase():
    """LAMB needs |p| and |u| before it can move: a pass that sums, then a pass that writes."""
    program = optim.LAMB().program()
    assert program.n_phases == 2
    assert len(program.reductions(0)) == 2
    assert program.reductions(1) == []
    joint = optim.LARS(ratio="joint", wd=0.1).program()
    assert joint.n_phases == 2


def test_maximize_climbs_and_a_scaled_gradient_is_divided_first():
    rule, p, g = optim.SGD(lr=0.5), np.ones(3), np.full(3, 4.0)
    assert run(rule.program(maximize=True), inputs(rule, p, g, {}, 1))["p"].tolist() == [3, 3, 3]
    assert run(rule.program(scaled=True), {**inputs(rule, p, g, {}, 1), "grad_scale": 8.0})["p"].tolist() == [0.75] * 3


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (lambda self, p, g, s, t: (p if g > 0 else -p, s), r"where\(condition, a, b\), or make it a flag or choice"),
        (lambda self, p, g, s, t: (p - np.sqrt(g), s), "NumPy's sqrt knows no symbols; write thalweg.optim.ops.sqrt"),
        (lambda self, p, g, s, t: (p - np.sinh(g), s), "take functions from thalweg.optim.ops"),
        (lambda self, p, g, s, t: (p - g[0], s), "a value is one element"),
        (lambda self, p, g, s, t: (p, s(b=g)), "it has none.*there is no slot b"),
        (lambda self, p, g, s, t: (p * s.m, s), "s.m: the rule has no such slot"),
        (lambda self, p, g, s, t: (p - float(g), s), "thalweg.optim.ops"),
        (lambda self, p, g, s, t: (p - g.sum(), s), "sum is not part of the language"),
        (lambda self, p, g, s, t: (p - sum(g), s), "a value is one element"),
        (lambda self, p, g, s, t: (p**g, s), "an exponent is a number or a hyper-parameter"),
        (lambda self, p, g, s, t: (p + "1", s), "str '1' is neither a number"),
        (lambda self, p, g, s, t: (p * ops.norm(self.lr), s), "take the elements of a tensor"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_file_and_line(step, sentence):
    with pytest.raises(RuleError, match=sentence) as caught:
        rule_with(step).program()
    assert f"test_program.py:{step.__code__.co_firstlineno}: " in str(caught.value)


def test_a_function_of_torch_is_refused_with_the_one_to_write():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuleError, match=r"torch's sqrt knows no symbols; write thalweg.optim.ops.sqrt"):
        rule_with(lambda self, p, g, s, t: (p - torch.sqrt(g), s)).program()
    with pytest.raises(RuleError, match=r"torch's where knows no symbols; write thalweg.optim.ops.where"):
        rule_with(lambda self, p, g, s, t: (p - torch.where(g > 0, g, p), s)).program()


def test_a_step_that_forgets_its_state_or_its_decay_is_refused():
    with pytest.raises(RuleError, match=r"Own.step must return the pair \(p, s\)"):
        rule_with(lambda self, p, g, s, t: p - g).program()
    with pytest.raises(RuleError, match="does nothing with wd; begin it with p, g = self"):
        rule_with(lambda self, p, g, s, t: (p - self.lr * g, s)).replace(wd=0.1).program()
    with pytest.raises(RuleError, match="there is no slot b"):
        rule_with(lambda self, p, g, s, t: (p, s(m=g, b=g)), slots=Slots(m=0)).program()
    with pytest.raises(RuleError, match=r"s.mu is one number for a tensor, but the step gives it one for each element"):
        rule_with(lambda self, p, g, s, t: (p * s.mu, s(mu=g)), scalars=Slots(mu=0)).program()


def test_a_rule_that_is_no_dataclass_is_refused_when_it_is_made():
    """Without @dataclass its numbers would be no arguments, and hold what `rate` returns instead of a number."""

    class Mine(Rule):
        lr: float = rate(0.1)

        def step(self, p, g, s, t):
            return p - self.lr * g, s

    for make in (Mine, lambda: Mine(lr=0.2)):
        with pytest.raises(RuleError, match=r"Mine declares numbers, but is no dataclass: write @dataclass\(frozen=True\)"):
            make()


def test_a_slot_may_start_from_a_hyper_parameter():
    assert optim.Rprop(lr=0.25).init(np.zeros(2)).size.tolist() == [0.25, 0.25]


def test_a_field_of_the_user_may_be_off_too():
    """`off_at=0` is open to everyone: the term and its slot go."""

    @dataclass(frozen=True)
    class Pulled(Rule):
        lr: float = rate(0.1)
        pull: float = const(0.0, off_at=0)
        keep: float = decay(0.5)
        slots = Slots(mean=0)

        def step(self, p, g, s, t):
            mean = ops.lerp(s.mean, p, 1 - self.keep)
            return p - self.lr * g - self.pull * (p - mean), s(mean=mean)

    assert Pulled().program().arrays == ("p", "g")
    assert Pulled(pull=0.1).program().arrays == ("p", "g", "s.mean")
