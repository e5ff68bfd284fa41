"""Chains: each transform against its formula or its library, alone and in its place, on every back end."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle

import numpy as np
import pytest

from thalweg import jit, optim
from thalweg.errors import RuleError
from thalweg.optim import (
    SAM,
    agc,
    centralize,
    chain,
    clip_norm,
    clip_value,
    freeze_nonfinite,
    noise,
    schedule,
    schedules,
    weight_decay,
)
from thalweg.optim.rules import chained, transforms
from thalweg.optim.rules.chained import from_config

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")

BACKENDS = [pytest.param("numba", marks=pytest.mark.skipif(not jit.enabled(), reason="no numba")), "foreach", "single"]
backends = pytest.mark.parametrize("backend", BACKENDS)
SHAPES = ((4, 3), (5,), (2, 3, 2, 2))


def parameters(shapes=SHAPES, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


def gradients(params, t, size=3.0):
    generator = torch.Generator().manual_seed(1000 + t)
    return [size * torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype) for p in params]


def train(rule, steps=10, shapes=SHAPES, dtype=torch.float64, **options):
    params = parameters(shapes, dtype=dtype)
    opt = fused.Optimizer(params, rule, **options)
    for t in range(steps):
        for p, g in zip(params, gradients(params, t), strict=True):
            p.grad = g
        opt.step()
    return [p.detach() for p in params]


def by_hand(change, steps=10, make=lambda params: torch.optim.Adam(params, lr=0.1)):
    """torch.optim with the gradients changed beforehand: change(params, t)."""
    params = parameters()
    opt = make(params)
    for t in range(steps):
        for p, g in zip(params, gradients(params, t), strict=True):
            p.grad = g
        change(params, t)
        opt.step()
    return [p.detach() for p in params]


def assert_close(ours, theirs, rtol=1e-12):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=1e-12)


# ---- each transform


@backends
def test_clipping_by_value_is_torch_s(backend):
    ours = train(chain(clip_value(0.5), optim.Adam(lr=0.1)), backend=backend)
    assert_close(ours, by_hand(lambda params, t: torch.nn.utils.clip_grad_value_(params, 0.5)))


@backends
@pytest.mark.parametrize("c", [0.7, 1000.0])
def test_clipping_by_the_norm_of_all_tensors_is_torch_s(backend, c):
    """Also with tensors of two groups and two programs: it is one norm."""
    theirs = by_hand(lambda params, t: torch.nn.utils.clip_grad_norm_(params, c))
    assert_close(train(chain(clip_norm(c), optim.Adam(lr=0.1)), backend=backend), theirs)
    params = parameters()
    other = {"params": params[1:], "rule": chain(clip_norm(c), optim.AdamW(lr=0.1, wd=0))}
    opt = fused.Optimizer([{"params": params[:1]}, other], chain(clip_norm(c), optim.Adam(lr=0.1)), backend=backend)
    for t in range(10):
        for p, g in zip(params, gradients(params, t), strict=True):
            p.grad = g
        opt.step()
    assert_close([p.detach() for p in params], theirs)


@backends
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_norm_that_is_not_finite_does_what_it_does_in_torch(backend, bad):
    """NaN makes all NaN; of an infinite norm finite elements become 0 and infinite ones NaN."""
    ends = []
    for ours in (False, True):
        params = parameters()
        opt = fused.Optimizer(params, chain(clip_norm(1.0), optim.SGD(lr=0.1)), backend=backend) if ours else None
        for p, g in zip(params, gradients(params, 0), strict=True):
            p.grad = g
        params[0].grad[0, 0] = bad
        if opt is None:
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            opt = torch.optim.SGD(params, lr=0.1)
        opt.step()
        ends.append([p.detach() for p in params])
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True)


@backends
def test_clipping_by_the_norm_of_each_tensor(backend):
    def change(params, t):
        for p in params:
            torch.nn.utils.clip_grad_norm_([p], 0.7)

    assert_close(train(chain(clip_norm(0.7, over="tensor"), optim.Adam(lr=0.1)), backend=backend), by_hand(change))


def test_without_eps_clipping_by_norm_is_optax_s():
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    clip = optax.clip_by_global_norm(0.7)

    def change(params, t):
        with jax.enable_x64(True):
            clipped, _ = clip.update([p.grad.numpy() for p in params], clip.init(None))
        for p, g in zip(params, clipped, strict=True):
            p.grad = torch.tensor(np.asarray(g), dtype=torch.float64)

    assert_close(train(chain(clip_norm(0.7, eps=0), optim.Adam(lr=0.1))), by_hand(change))


@backends
def test_centralised_gradients_have_mean_zero_for_every_channel(backend):
    def change(params, t):
        for p in params:
            if p.dim() > 1:
                p.grad -= p.grad.mean(tuple(range(1, p.dim())), keepdim=True)

    assert_close(train(chain(centralize(), optim.Adam(lr=0.1)), backend=backend), by_hand(change))


@backends
def test_adaptive_clipping_bounds_each_unit_by_its_weights(backend):
    def change(params, t):
        for p in params:
            axes = tuple(range(1, p.dim())) or (0,)
            size, most = (torch.linalg.vector_norm(x, dim=axes, keepdim=True) for x in (p.grad, p.detach()))
            most = 0.3 * most.clamp(min=1e-3)
            p.grad = torch.where(size > most, p.grad * most / size, p.grad)

    assert_close(train(chain(agc(0.3), optim.Adam(lr=0.1)), backend=backend), by_hand(change))


@backends
def test_weight_decay_in_a_chain_comes_where_it_stands(backend):
    """After clipping it is not clipped."""

    def change(params, t):
        torch.nn.utils.clip_grad_value_(params, 0.5)
        for p in params:
            p.grad += 0.1 * p.detach()

    assert_close(train(chain(clip_value(0.5), weight_decay(0.1), optim.Adam(lr=0.1)), backend=backend), by_hand(change))
    assert_close(train(chain(weight_decay(0.1), optim.Adam(lr=0.1))), train(optim.Adam(lr=0.1, wd=0.1)))


@backends
def test_noise_has_the_variance_that_the_formula_says(backend):
    """From g = 0, lr 1: p_t - p_{t-1} ~ N(0, eta / t^gamma) in step t = 1, 2, ...; 10^5 elements, fails (5 sd) once in 10^6.

    The same seed gives the same bits, another seed others.
    """
    rule, n = chain(noise(0.5, 1.0), optim.SGD(lr=1.0)), 100_000
    ends = []
    for seed in (1, 1, 2):
        p = torch.zeros(n, requires_grad=True)
        p.grad = torch.zeros(n)
        opt = fused.Optimizer([p], rule, backend=backend, seed=seed)
        opt.step()
        first = p.detach().clone()
        for step, move in ((1, first), (2, None)):
            if move is None:
                opt.step()
                move = p.detach() - first
            assert abs(move.double().var().item() / (0.5 / step) - 1) < 5 * (2 / n) ** 0.5
            assert abs(move.double().mean().item()) < 5 * (0.5 / step / n) ** 0.5
        ends.append(p.detach().clone())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


@backends
def test_what_is_not_finite_freezes_the_step_or_raises(backend):
    rule = chain(freeze_nonfinite(), optim.AdamW(lr=0.1))
    params = parameters()
    opt = fused.Optimizer(params, rule, backend=backend)
    for p, g in zip(params, gradients(params, 0), strict=True):
        p.grad = g
    opt.step()
    before = [p.detach().clone() for p in params]
    params[1].grad[2] = float("inf")
    opt.step()
    assert all(torch.equal(p.detach(), b) for p, b in zip(params, before, strict=True))
    assert all(opt.state[p]["step"] == 1 for p in params)
    opt.param_groups[0]["freeze_nonfinite_policy"] = "raise"
    with pytest.raises(RuleError, match=r"shape \(5,\) in group 0 is not finite; nothing has moved"):
        opt.step()
    assert all(torch.equal(p.detach(), b) for p, b in zip(params, before, strict=True))
    opt.param_groups[0]["freeze_nonfinite_policy"] = "pass"
    opt.step()
    assert params[1].isnan().any()


def test_an_elementwise_chain_is_one_pass_and_a_norm_of_all_one_more():
    plain = optim.Adam().program()
    assert chain(clip_value(1), weight_decay(), schedule(schedules.cosine(10)), optim.Adam()).program().n_phases == 1
    assert chain(clip_value(1), optim.Adam()).program().cost().reads == plain.cost().reads
    assert chain(clip_norm(1.0), optim.Adam()).program().n_phases == 2
    assert chain(clip_norm(1.0), clip_norm(1.0), optim.Adam()).program().n_phases == 3


@backends
@pytest.mark.parametrize("make", [*optim.RULES.values()], ids=lambda make: make.__name__)
def test_every_rule_can_be_chained(make, backend):
    """The gradients clipped by hand, then the rule: the same path."""
    rule = make(wd=0.1)
    ends = []
    for ours in (True, False):
        params = parameters(((4, 3), (5,)))
        opt = fused.Optimizer(params, chain(clip_norm(1.0), rule) if ours else rule, backend=backend)
        for t in range(4):
            for p, g in zip(params, gradients(params, t), strict=True):
                p.grad = g
            if not ours:
                torch.nn.utils.clip_grad_norm_(params, 1.0)
            opt.step()
        ends.append([p.detach() for p in params])
    assert_close(*ends, rtol=1e-10)


# ---- schedules


def torch_factors(make, steps):
    p = torch.zeros(1, requires_grad=True)
    opt = torch.optim.SGD([p], lr=1.0)
    scheduler = make(opt)
    found = []
    for _ in range(steps):
        found.append(opt.param_groups[0]["lr"])
        opt.step()
        scheduler.step()
    return found


LR = torch.optim.lr_scheduler


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (schedules.constant(0.5), lambda o: LR.LambdaLR(o, lambda k: 0.5)),
        (schedules.linear(20), lambda o: LR.LinearLR(o, 1.0, 0.0, 20)),
        (schedules.linear(20, 0.1, 1.0), lambda o: LR.LinearLR(o, 0.1, 1.0, 20)),
        (schedules.cosine(20, end=0.1), lambda o: LR.LambdaLR(o, lambda k: 0.1 + 0.45 * (1 + np.cos(np.pi * min(k / 20, 1))))),
        (schedules.poly(20, 2.0), lambda o: LR.PolynomialLR(o, 20, 2.0)),
        (schedules.exp(0.9), lambda o: LR.ExponentialLR(o, 0.9)),
        (schedules.step(7, 0.3), lambda o: LR.StepLR(o, 7, 0.3)),
        (schedules.one_cycle(30), lambda o: LR.OneCycleLR(o, 1.0, 30)),
        (schedules.one_cycle(30, rise=1.0), lambda o: LR.OneCycleLR(o, 1.0, 30, pct_start=1.0)),
        (schedules.one_cycle(30, rise=0.0), lambda o: LR.OneCycleLR(o, 1.0, 30, pct_start=0.0)),
        (schedules.warmup(5), lambda o: LR.LambdaLR(o, lambda k: min(1, (k + 1) / 5))),
        (schedules.wsd(30, 5, 10), lambda o: LR.LambdaLR(o, lambda k: min(1, (k + 1) / 5) * min(1, (30 - k) / 10))),
        (schedules.untuned_warmup(0.9), lambda o: LR.LambdaLR(o, lambda k: min(1, (k + 1) * 0.1 / 2))),
        (schedules.warmup(5) * schedules.exp(0.9), lambda o: LR.LambdaLR(o, lambda k: min(1, (k + 1) / 5) * 0.9**k)),
    ],
    ids=lambda x: repr(x) if isinstance(x, schedules.Schedule) else "",
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_a_schedule_is_the_one_of_torch(ours, theirs):
    truth = torch_factors(theirs, 29)
    np.testing.assert_allclose([float(ours(k)) for k in range(29)], truth, rtol=1e-9, atol=1e-15)
    found = []
    p = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    opt = fused.Optimizer([p], chain(schedule(ours), optim.SGD(lr=1.0)))
    for _ in range(29):
        before, p.grad = p.item(), torch.ones_like(p)
        opt.step()
        found.append(before - p.item())
    np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-12)


def test_after_its_last_step_a_schedule_keeps_its_value():
    for each in (schedules.linear(5), schedules.cosine(5), schedules.poly(5), schedules.wsd(5, 1, 2), schedules.one_cycle(5)):
        assert float(each(100)) == pytest.approx(float(each(5)), abs=1e-5)


@pytest.mark.parametrize(("steps", "rise"), [(10, 0.1), (2, 0.5), (100, 0.01), (1, 1.0)])
def test_a_cycle_whose_rise_is_one_step_starts_at_its_top(steps, rise):
    """torch divides by zero here. From the top it goes down to the end, and stays there."""
    plan = schedules.one_cycle(steps, rise=rise)
    factors = [float(plan(k)) for k in range(steps + 3)]
    assert factors[0] == 1
    assert factors == sorted(factors, reverse=True)
    assert factors[steps - 1 :] == pytest.approx([1 / 25e4 if steps > 1 else 1.0] * 4)


@backends
@pytest.mark.parametrize("resumed", [False, True])
def test_a_schedule_has_one_clock_for_all_tensors(backend, resumed):
    """A layer that is unfrozen at step 50 of 100 has the rate of step 50, as under a scheduler of torch; also after a reload."""
    plan = chain(schedule(schedules.cosine(100)), optim.SGD(lr=1.0))
    params = [torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    opt = fused.Optimizer(params, plan, backend=backend)
    truth = [float(schedules.cosine(100)(k)) for k in range(60)]
    for k in range(60):
        if resumed and k == 55:
            state = opt.state_dict()
            opt = fused.Optimizer(params, plan, backend=backend)
            opt.load_state_dict(state)
        params[0].grad = torch.ones_like(params[0])
        params[1].grad = torch.ones_like(params[0]) if k >= 50 else None
        opt.step()
    np.testing.assert_allclose([-p.item() for p in params], [sum(truth), sum(truth[50:])], rtol=1e-12)


def test_a_schedule_goes_on_from_a_checkpoint_of_torch():
    params = parameters(((3,),))
    plain = torch.optim.Adam(params)
    for _ in range(3):
        params[0].grad = torch.ones_like(params[0])
        plain.step()
    opt = fused.Optimizer(params, chain(schedule(lambda k: k), optim.Adam()))
    opt.load_state_dict(plain.state_dict())
    assert opt.updates == 3


def one_over_what_is_left(k):
    return 1 / (2 - k)


def down(k):
    return 1 - k


@pytest.mark.parametrize(
    ("factor", "steps", "sentence"),
    [
        (one_over_what_is_left, 2, r"schedule\(one_over_what_is_left\): the factor of step 3 is inf"),
        (down, 2, r"schedule\(down\): the factor of step 3 is -1.0; it has to be a finite number of at least 0"),
        (lambda k: k / k, 0, "the factor of step 1 is nan"),
    ],
    ids=["inf", "negative", "nan"],
)
def test_a_schedule_of_ones_own_is_checked_as_a_rate_is(factor, steps, sentence):
    """By name and step, on every face where a step is not traced, before anything moves."""
    rule = chain(schedule(factor), optim.SGD(lr=1.0))
    p = torch.zeros(2, requires_grad=True)
    opt = fused.Optimizer([p], rule)
    optax_face = pytest.importorskip("thalweg.optim.optax").transform(rule)
    state = optax_face.init(np.zeros(2))
    for k in range(steps):
        p.grad = torch.zeros(2)
        opt.step()
        _, state = optax_face.update(np.zeros(2), state, np.zeros(2))
        rule.step(0.0, 0.0, rule.init(0.0), k + 1)
    p.grad = torch.ones(2)
    for step in (
        opt.step,
        lambda: optax_face.update(np.zeros(2), state, np.zeros(2)),
        lambda: rule.step(0.0, 0.0, rule.init(0.0), steps + 1),
    ):
        with pytest.raises(RuleError, match=sentence):
            step()
    assert torch.equal(p.detach(), torch.zeros(2))


def test_the_decoupled_decay_follows_the_scheduled_rate():
    """p (1 - lr f(k) wd) where g = 0."""
    p = torch.ones(1, dtype=torch.float64, requires_grad=True)
    opt = fused.Optimizer([p], chain(schedule(lambda k: 1 / (k + 1)), optim.SGD(lr=0.5, wd=0.1, decay="decoupled")))
    for _ in range(2):
        p.grad = torch.zeros_like(p)
        opt.step()
    assert p.item() == pytest.approx(0.95 * 0.975)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: schedules.linear(0), "linear: steps=0 is not a whole number of 1 or more"),
        (lambda: schedules.exp(-1.0), "exp: factor=-1.0 is not a finite number"),
        (lambda: schedules.one_cycle(9, rise=1.5), r"rise=1.5 is the part of the steps on which it goes up, a number in \[0, 1\]"),
        (lambda: schedules.warmup(1.5), "warm=1.5 is not a whole number"),
        (lambda: schedule(3), r"schedule\(3\): it takes a function"),
        (lambda: clip_norm(-1), "clip_norm: c=-1 is not allowed; a const"),
        (lambda: clip_norm(1, over="al"), "over='al' .* Did you mean all"),
        (lambda: chain(), "chain ends with None"),
        (lambda: chain(clip_value(1)), r"chain ends with clip_value\(c=1.0\); its last part is a rule"),
        (lambda: chain(optim.SGD(), optim.SGD()), "is not a transform; they are clip_value"),
        (lambda: chain(schedule(lambda k: k.real), optim.SGD()).program(), "real is not part of the language"),
        (lambda: chain(schedule(math.sqrt), optim.SGD()).to_config(), r"schedule\(sqrt\) is a function of your own, which has no"),
        (lambda: from_config({"rule": "chain", "transforms": [{"transform": "clip"}]}), "there is no transform 'clip'"),
        (lambda: from_config({"rule": "chain", "transforms": [{"transform": "noise", "t": 1}]}), "noise has no 't'"),
        (lambda: from_config({"rule": "chain", "of": {"rule": "Adm"}}), "there is no rule 'Adm'"),
    ],
)
def test_what_makes_no_chain_is_refused_in_one_line(make, sentence):
    with pytest.raises(RuleError, match=sentence) as caught:
        make()
    assert "\n" not in str(caught.value)


# ---- chains as rules


def test_a_chain_is_a_rule_with_further_numbers():
    rule = chain(clip_norm(2.0), clip_value(1.0), clip_value(3.0), optim.Adam(lr=0.5))
    assert isinstance(rule, optim.Adam)
    assert (rule.lr, rule.clip_norm_c, rule.clip_value_c, rule.clip_value2_c) == (0.5, 2.0, 1.0, 3.0)
    assert rule.replace(clip_norm_c=1.0) == chain(clip_norm(1.0), clip_value(1.0), clip_value(3.0), optim.Adam(lr=0.5))
    assert chain(clip_norm(2.0), chain(clip_value(1.0), clip_value(3.0), optim.Adam(lr=0.5))) == rule
    assert chain(optim.Adam(lr=0.5)) == optim.Adam(lr=0.5)


def test_a_chain_survives_repr_pickle_and_copy():
    rule = chain(clip_norm(2.0), schedule(schedules.warmup(3) * schedules.cosine(9)), optim.AdamW(lr=0.5))
    names = {**vars(transforms), **vars(chained), **vars(optim.rules), **vars(schedules)}
    for again in (pickle.loads(pickle.dumps(rule)), copy.deepcopy(rule), eval(repr(rule), names)):
        assert again == rule
        assert type(again) is type(rule)


def test_a_chain_goes_through_json():
    """Transforms in their order, with their numbers, choices and schedules, and the rule; by `from_config` or by its own class."""
    plan = schedule(schedules.warmup(3) * schedules.one_cycle(9, rise=0.5))
    parts = [clip_norm(2.0, over="tensor"), noise(0.1), clip_value(3.0), clip_value(4.0), plan, freeze_nonfinite("raise")]
    for rule in (chain(*parts, optim.AdamW(lr=0.5, amsgrad="before")), SAM(optim.SGD(lr=0.2), rho=0.1), optim.Lion(lr=0.3)):
        kept = json.loads(json.dumps(rule.to_config()))
        assert from_config(kept) == rule == type(rule).from_config(kept)


def test_a_transform_of_ones_own_called_as_one_of_the_library_s_keeps_its_numbers_and_has_no_configuration():
    """Two of one name in a chain were once given one field for both."""

    @dataclasses.dataclass(frozen=True)
    class clip_value(transforms.Transform):
        c: float = optim.const(1.0)

        def __call__(self, p, g, t):
            return g * self.c

    rule = chain(clip_value(5.0), optim.clip_value(2.0), optim.SGD(lr=1.0))
    assert [each.c for each in rule.transforms] == [5.0, 2.0]
    assert rule.step(0.0, np.array([1.0]), rule.init(0.0), 1)[0] == -2
    with pytest.raises(RuleError, match="clip_value is a transform of your own"):
        rule.to_config()


def test_numbers_of_a_transform_stand_in_the_group_and_change_no_program():
    params = parameters(((3,),))
    opt = fused.Optimizer(params, chain(clip_value(1.0), optim.SGD(lr=1.0)))
    for c in (1.0, 0.25):
        opt.param_groups[0]["clip_value_c"] = c
        before = params[0].detach().clone()
        params[0].grad = torch.full((3,), 9.0, dtype=torch.float64)
        opt.step()
        torch.testing.assert_close(params[0].detach(), before - c)


def test_a_chain_s_optimizer_is_pickled_and_takes_the_state_of_its_rule():
    params = parameters(((3,),))
    plain = torch.optim.Adam(params, lr=0.1)
    params[0].grad = torch.ones_like(params[0])
    plain.step()
    opt = fused.Optimizer(params, chain(clip_value(0.5), schedule(schedules.cosine(10)), optim.Adam(lr=0.3)))
    opt.load_state_dict(plain.state_dict())
    assert opt.param_groups[0]["clip_value_c"] == 0.5
    assert opt.param_groups[0]["lr"] == 0.1
    twin = pickle.loads(pickle.dumps(opt))
    for each in (opt, twin):
        (p,) = each.param_groups[0]["params"]
        p.grad = torch.full_like(p, 2.0)
        each.step()
    assert torch.equal(twin.param_groups[0]["params"][0], params[0])


def test_two_unnamed_schedules_of_one_optimizer_are_refused():
    params = parameters(((3,), (3,)))
    first, second = (chain(schedule(f), optim.SGD()) for f in (lambda k: 1.0 + k, lambda k: 2.0 + k))
    with pytest.raises(RuleError, match="two rules of one optimizer are called"):
        fused.Optimizer([{"params": params[:1]}, {"params": params[1:], "rule": second}], first)


def test_where_tensors_are_stepped_one_by_one_a_norm_of_all_is_refused():
    """optax steps leaf by leaf; what is elementwise, or within a tensor, works there."""
    jax = pytest.importorskip("jax")
    face = pytest.importorskip("thalweg.optim.optax")
    for rule, sentence in ((chain(clip_norm(1.0), optim.SGD()), 'norm over="all"'), (chain(noise(), optim.SGD()), "noise")):
        with pytest.raises(RuleError, match=sentence):
            face.transform(rule)
    with jax.enable_x64(True):
        g = jax.numpy.asarray(np.random.default_rng(0).normal(size=(4, 3)))
        rule = chain(clip_value(0.5), centralize(), schedule(schedules.cosine(10)), optim.SGD(lr=1.0))
        move, _ = face.transform(rule).update(g, face.transform(rule).init(g), g)
        clipped = np.clip(g, -0.5, 0.5)
        np.testing.assert_allclose(move, -(clipped - clipped.mean(1, keepdims=True)), rtol=1e-12)
