"""Rules of several gradients: their order, their formulas, and a closure that is called again as if it were called once."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from thalweg import jit, optim
from thalweg.errors import RuleError
from thalweg.optim import RK, SAM, Heun, chain, clip_norm

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")

BACKENDS = [pytest.param("numba", marks=pytest.mark.skipif(not jit.enabled(), reason="no numba")), "foreach", "single"]
backends = pytest.mark.parametrize("backend", BACKENDS)
RULES = [Heun(lr=0.1), RK(lr=0.1, order=3), RK(lr=0.1)]
staged = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__ + getattr(rule, "order", ""))


def slope(x):
    """Of L = p^4/4 - p^2/2 + q^2/2 + pq/4."""
    p, q = x[..., 0], x[..., 1]
    return np.stack([p**3 - p + q / 4, q + p / 4], axis=-1)


def flow(x, n):
    """dx/dt = -grad L over time 1 in n steps of the classical fourth-order method."""
    h = 1 / n
    for _ in range(n):
        a = -slope(x)
        b = -slope(x + h / 2 * a)
        c = -slope(x + h / 2 * b)
        d = -slope(x + h * c)
        x = x + h / 6 * (a + 2 * b + 2 * c + d)
    return x


@staged
def test_the_error_over_a_time_is_the_power_of_the_step_that_the_order_says(rule):
    """From (1.5, 1) over T = 1 with h = 1/64 and 1/128: slope of log error 2 (Heun), 3, 4."""
    order = {"Heun": 2}.get(type(rule).__name__) or int(rule.order)
    start, errors = np.array([1.5, 1.0]), []
    truth = flow(start, 4096)
    for n in (64, 128):
        p, s = start, rule.init(start)
        for t in range(1, n + 1):
            p, s = rule.replace(lr=1 / n).advance(slope, p, s, t)
        errors.append(np.abs(p - truth).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@backends
@pytest.mark.parametrize(
    "rule",
    [
        *(*RULES, Heun(lr=0.1, wd=0.2), RK(lr=0.1, wd=0.2, decay="decoupled")),
        *(SAM(optim.Adam(lr=0.1), 0.3), SAM(optim.SGD(lr=0.1), 0.3, True)),
    ],
    ids=["Heun", "RK3", "RK4", "Heun-wd", "RK4-wd", "SAM", "ASAM"],
)  # fmt: skip
def test_a_step_with_a_closure_is_the_step_of_its_reference(rule, backend):
    """A loss in torch against `rule.advance` in NumPy; one tensor, so the norm over all tensors is its own."""
    p = torch.tensor([1.5, 1.0], dtype=torch.float64, requires_grad=True)
    opt = fused.Optimizer([p], rule, backend=backend)

    def closure():
        opt.zero_grad()
        loss = p[0] ** 4 / 4 - p[0] ** 2 / 2 + p[1] ** 2 / 2 + p[0] * p[1] / 4
        loss.backward()
        return loss

    q = np.array([1.5, 1.0])
    s = rule.init(q)
    for t in range(1, 8):
        opt.step(closure)
        q, s = rule.advance(slope, q, s, t)
        np.testing.assert_allclose(p.detach().numpy(), q, rtol=1e-12)
    assert opt.state[p]["step"] == 7


def test_sam_takes_the_gradient_where_the_loss_is_highest_nearby():
    """Two tensors, written out: e = rho g / |g| with the norm of both; then torch's SGD with momentum from p with g(p + e)."""
    torch.manual_seed(0)
    mine, theirs = (torch.nn.Linear(3, 2).double() for _ in range(2))
    theirs.load_state_dict(mine.state_dict())
    x = torch.randn(8, 3, dtype=torch.float64)
    opt = fused.Optimizer(mine.parameters(), SAM(optim.HeavyBall(lr=0.1), rho=0.2))
    base = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)

    def loss(model):
        model.zero_grad()
        made = torch.cosh(model(x)).mean()
        made.backward()
        return made

    for _ in range(5):
        opt.step(lambda: loss(mine))
        loss(theirs)
        start = [p.detach().clone() for p in theirs.parameters()]
        length = torch.cat([p.grad.flatten() for p in theirs.parameters()]).norm()
        with torch.no_grad():
            for p in theirs.parameters():
                p += 0.2 * p.grad / (length + 1e-12)
        loss(theirs)
        with torch.no_grad():
            for p, held in zip(theirs.parameters(), start, strict=True):
                p.copy_(held)
        base.step()
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_sam_with_radius_zero_is_its_base():
    for rule in (optim.Adam(lr=0.1), chain(clip_norm(0.1), optim.Adam(lr=0.1))):
        ends = []
        for each in (rule, SAM(rule, rho=0.0)):
            p = torch.tensor([1.5, -1.0], dtype=torch.float64, requires_grad=True)
            opt = fused.Optimizer([p], each)

            def closure(p=p, opt=opt):
                opt.zero_grad()
                loss = torch.cosh(p).sum()
                loss.backward()
                return loss

            for _ in range(5):
                opt.step(closure)
            ends.append(p.detach())
        torch.testing.assert_close(*ends, rtol=1e-13, atol=0)


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))


def closure_for(model, opt, x, seen=None):
    def closure():
        opt.zero_grad()
        if seen is not None:
            seen.append(torch.get_rng_state())
        loss = (model(x) ** 2).mean()
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("rule", [Heun(lr=0.1), RK(lr=0.1), SAM(optim.Adam(), 0.1)], ids=["Heun", "RK4", "SAM"])
def test_batch_norm_and_random_numbers_move_as_in_one_step_of_sgd(rule):
    """Running means, their counter and the generator after one step, bit for bit; each stage draws the same dropout mask."""
    x, ends = torch.randn(16, 4, generator=torch.Generator().manual_seed(1)), []
    for each in (optim.SGD(lr=0.1), rule):
        model, seen = network(), []
        opt = fused.Optimizer(model.parameters(), each, model=model)
        torch.manual_seed(7)
        loss = opt.step(closure_for(model, opt, x, seen))
        assert all(torch.equal(state, seen[0]) for state in seen)
        ends.append([loss.detach(), torch.get_rng_state(), *(buffer.clone() for buffer in model.buffers())])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_a_stage_that_fails_puts_the_parameters_back():
    model = network()
    opt = fused.Optimizer(model.parameters(), Heun(lr=0.1), model=model)
    x, count = torch.ones(16, 4), []
    opt.step(closure_for(model, opt, x))
    before = [p.detach().clone() for p in model.parameters()]
    inner = closure_for(model, opt, x)

    def closure():
        count.append(1)
        if len(count) == 2:
            raise ArithmeticError("the loss")
        return inner()

    with pytest.raises(ArithmeticError, match="the loss"):
        opt.step(closure)
    assert all(torch.equal(p.detach(), held) for p, held in zip(model.parameters(), before, strict=True))
    assert {opt.state[p]["step"].item() for p in model.parameters()} == {1}
    assert opt.updates == 1


def test_a_parameter_without_gradient_stays_and_what_passes_is_not_saved():
    """The start and the first gradients of a step are kept between its stages, not in the state."""
    p, q, r = (torch.ones(2, requires_grad=True) for _ in range(3))
    opt, calls = fused.Optimizer([p, q, r], Heun(lr=0.5)), []

    def closure():
        opt.zero_grad()
        calls.append(1)
        loss = (p**2).sum() + ((q**2).sum() if len(calls) == 1 else 0)
        loss.backward()
        return loss

    opt.step(closure)
    assert p.tolist() == [1 - 0.25 * (2 + 0)] * 2  # g_0 = 2, the point is 0
    assert q.tolist() == [1 - 0.25 * 2] * 2  # no gradient at the second stage counts as 0
    assert r.tolist() == [1, 1]
    assert [set(held) for held in opt.state_dict()["state"].values()] == [{"step"}, {"step"}]
    twin = copy.deepcopy(opt)
    twin.load_state_dict(opt.state_dict())


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda p: fused.Optimizer([p], Heun()).step(), r"Heun takes 2 gradients a step, so it needs a closure"),
        (lambda p: fused.Optimizer([p], RK(), soft_batch=2).step(lambda: 0), "RK takes 4 gradients a step, so it needs one batch"),
        (lambda p: Heun().step(0.0, 0.0, None, 1), "use rule.advance"),
        (lambda p: Heun().program(), r"takes 2 gradients a step; its programs are those of rule.programs\(\)"),
        (lambda p: RK(order=5), "order='5' is not allowed"),
        (
            lambda p: fused.Optimizer([{"params": [p]}, {"params": [torch.ones(1)], "rule": optim.SGD()}], Heun()).step(),
            r"take \[1, 2\] gradients a step",
        ),
    ],
)  # fmt: skip
def test_wrong_use_of_stages_is_refused_in_one_line(use, sentence):
    with pytest.raises(RuleError, match=sentence) as caught:
        use(torch.ones(1, requires_grad=True))
    assert "\n" not in str(caught.value)
