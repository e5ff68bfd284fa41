"""Pairs of methods that choose their own step: order, error, what a rejected step does, and how a run goes on."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.integrate

from thalweg import jit
from thalweg.errors import RuleError
from thalweg.optim import RK23, RK45

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")

BACKENDS = [pytest.param("numba", marks=pytest.mark.skipif(not jit.enabled(), reason="no numba")), "foreach", "single"]
backends = pytest.mark.parametrize("backend", BACKENDS)
pairs = pytest.mark.parametrize("kind", [RK23, RK45])


def slope(x):
    """Of L = p^4/4 - p^2/2 + q^2/2 + pq/4."""
    p, q = x[..., 0], x[..., 1]
    return np.stack([p**3 - p + q / 4, q + p / 4], axis=-1)


def closure_of(opt, p, calls):
    def closure():
        calls.append(p.detach().clone())
        opt.zero_grad()
        loss = p[0] ** 4 / 4 - p[0] ** 2 / 2 + p[1] ** 2 / 2 + p[0] * p[1] / 4
        loss.backward()
        return loss

    return closure


def settled(rule, gradient, p, s, t):
    """One accepted step of the reference, and how often it was tried."""
    for tried in range(1, 30):
        p, s = rule.advance(gradient, p, s, t)
        if np.all(s.accepted):
            return p, s, tried
    raise AssertionError


@pytest.mark.parametrize(("kind", "theirs"), [(RK23, scipy.integrate.RK23), (RK45, scipy.integrate.RK45)])
def test_the_coefficients_are_those_of_scipy(kind, theirs):
    """The last row is B, the others A below the diagonal; E is the difference of the two methods, of either sign."""
    for mine, row in zip(kind.a[:-1], theirs.A[1:], strict=True):
        np.testing.assert_allclose(mine, row[: len(mine)], rtol=1e-15)
    np.testing.assert_allclose(kind.a[-1], theirs.B, rtol=1e-15)
    np.testing.assert_allclose(np.abs(kind.d), np.abs(theirs.E), rtol=1e-13, atol=1e-17)


@pytest.mark.parametrize(("kind", "order"), [(RK23, 3), (RK45, 5)])
def test_the_error_over_a_time_is_the_power_of_the_step_that_the_order_says(kind, order):
    """From (0.3, -1) over T = 1, h held at 1/16 and 1/32 by a tolerance that everything meets: slope of log error 3, 5."""
    start = np.array([0.3, -1.0])
    truth = scipy.integrate.solve_ivp(lambda _, x: -slope(x), (0, 1), start, method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    errors = []
    for steps in (16, 32):
        rule, p = kind(lr=1 / steps, tol=1e9), start
        for t in range(1, steps + 1):
            p, _ = rule.advance(slope, p, rule.init(start), t)
        errors.append(np.abs(p - truth).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


@pairs
@pytest.mark.parametrize("wd", [{}, {"wd": 0.2}, {"wd": 0.2, "decay": "decoupled"}])
@backends
def test_a_step_with_a_closure_is_the_accepted_step_of_its_reference(kind, wd, backend):
    """From a first step that is too long: the closure is called for each try, the step counted once."""
    rule = kind(lr=3.0, tol=1e-4, **wd)
    p = torch.tensor([1.5, 1.0], dtype=torch.float64, requires_grad=True)
    opt, calls = fused.Optimizer([p], rule, backend=backend), []
    q, tries = np.array([1.5, 1.0]), 0
    s = rule.init(q)
    for t in range(1, 8):
        opt.step(closure_of(opt, p, calls))
        q, s, tried = settled(rule, slope, q, s, t)
        tries += tried
        np.testing.assert_allclose(p.detach().numpy(), q, rtol=1e-11)
        assert float(opt.state[p]["h"]) == pytest.approx(s.h.item(), rel=1e-9)
    assert opt.state[p]["step"] == opt.updates == 7
    assert tries > 7
    assert len(calls) == tries * (len(rule.a) + 1)


@pairs
def test_a_rejected_step_leaves_everything_but_the_next_step_s_length(kind):
    """Its point is the one before, to the bit; the next try is at most as long, and at least a fifth."""
    p = np.array([1.5, 1.0])
    rule = kind(lr=3.0, tol=1e-6)
    after, s = rule.advance(slope, p, rule.init(p), 1)
    assert np.array_equal(after, p)
    assert not s.accepted
    assert 0.2 * 3 <= s.h.item() <= 3


@pairs
def test_the_steps_are_as_long_as_the_tolerance_allows(kind):
    """On L = p^2/2 the flow is p e^-t: the error over a time goes down with the tolerance, and the number of steps up."""
    found = []
    for tol in (1e-3, 1e-5, 1e-7):
        rule, p, time, steps = kind(lr=0.01, tol=tol), np.array([1.0]), 0.0, 0
        s = rule.init(p)
        while time < 2:
            h = float(s.h if np.ndim(s.h) == 0 else s.h.item())
            p, s = rule.advance(lambda x: x, p, s, 1)
            time, steps = time + h * s.accepted.item(), steps + 1
        found.append((abs(p.item() - np.exp(-time)), steps))
    errors, counts = zip(*found, strict=True)
    assert list(errors) == sorted(errors, reverse=True)
    assert list(counts) == sorted(counts)


@pairs
def test_a_saved_run_goes_on_with_its_step(kind):
    """The length of the next step is state: the twin makes the same steps."""
    p, q = (torch.tensor([1.5, 1.0], dtype=torch.float64, requires_grad=True) for _ in range(2))
    opt, twin = (fused.Optimizer([each], kind(lr=0.5, tol=1e-4)) for each in (p, q))
    for _ in range(4):
        opt.step(closure_of(opt, p, []))
    twin.load_state_dict(copy.deepcopy(opt.state_dict()))
    with torch.no_grad():
        q.copy_(p)
    for _ in range(4):
        opt.step(closure_of(opt, p, []))
        twin.step(closure_of(twin, q, []))
    assert torch.equal(p, q)


def test_a_gradient_that_no_step_can_follow_ends_with_one_line():
    """NaN everywhere: after twenty tries the step is given up, and nothing has moved or been counted."""
    p = torch.ones(2, requires_grad=True)
    opt = fused.Optimizer([p], RK23())

    def closure():
        opt.zero_grad()
        (p * float("nan")).sum().backward()

    with pytest.raises(RuleError, match="RK23: 20 ever shorter steps were all rejected"):
        opt.step(closure)
    assert torch.equal(p, torch.ones(2))
    assert opt.updates == opt.state[p]["step"] == 0
