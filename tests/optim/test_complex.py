"""Complex parameters are pairs of reals, for every rule and on every face; what goes by rows and columns refuses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thalweg import optim
from thalweg.errors import RuleError
from thalweg.optim import agc, centralize, chain, clip_norm, noise, weight_decay

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")

STEPS = 6
DRAWN = np.random.default_rng(0).normal(size=(STEPS + 1, 3, 2))  # p, then gradients, as pairs
RULES = [
    *(make() for make in optim.RULES.values()),
    optim.AdaGrad(initial=0.1),
    optim.Adam(amsgrad="before", wd=0.1),
    optim.HeavyBall(dampening=0.5, wd=0.1),
    optim.RMSprop(momentum=0.9, centered=True),
    chain(clip_norm(0.5, over="tensor"), weight_decay(0.1), optim.Adam()),
]
by_rule = pytest.mark.parametrize("rule", RULES, ids=repr)


def in_torch(rule: optim.Rule, drawn: Any, **options: Any) -> Any:
    p = torch.nn.Parameter(drawn[0].clone())
    opt = fused.Optimizer([p], rule, **options)
    for g in drawn[1:]:
        p.grad = g.clone()
        opt.step()
    return p.detach()


@by_rule
@pytest.mark.parametrize("backend", ["auto", "foreach", "single"])
def test_torch_steps_the_two_parts_of_a_complex_number(rule: optim.Rule, backend: str) -> None:
    pairs = torch.tensor(DRAWN)
    want, got = in_torch(rule, pairs), in_torch(rule, torch.view_as_complex(pairs), backend=backend)
    torch.testing.assert_close(torch.view_as_real(got), want, rtol=1e-12, atol=1e-14)


@by_rule
def test_optax_steps_the_two_parts_of_a_complex_number(rule: optim.Rule) -> None:
    jax = pytest.importorskip("jax")
    face = pytest.importorskip("thalweg.optim.optax")
    with jax.enable_x64(True):
        step = face.transform(rule)

        def path(drawn: Any) -> Any:
            p, state = jax.numpy.asarray(drawn[0]), step.init(jax.numpy.asarray(drawn[0]))
            for g in drawn[1:]:
                move, state = step.update(jax.numpy.asarray(g), state, p)
                p = p + move
            return np.asarray(p)

        want, got = path(DRAWN), path(DRAWN.view(complex)[..., 0])
    np.testing.assert_allclose(np.stack([got.real, got.imag], -1), want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "rule", [optim.Muon(), optim.Adafactor(), chain(centralize(), optim.SGD()), chain(agc(), optim.SGD())], ids=repr
)
@pytest.mark.parametrize("shape", [(3, 4), (3,)])
def test_rules_by_rows_columns_and_channels_refuse_complex_numbers(rule: optim.Rule, shape: tuple[int, ...]) -> None:
    """As pairs, they would have another axis; torch's Muon and Adafactor refuse them too."""
    with pytest.raises(RuleError, match="complex"):
        fused.Optimizer([torch.zeros(shape, dtype=torch.complex64, requires_grad=True)], rule)
    jax = pytest.importorskip("jax")
    face = pytest.importorskip("thalweg.optim.optax")
    with pytest.raises(RuleError, match="complex"):
        face.transform(rule).init(jax.numpy.zeros(shape, complex))


def test_the_reference_takes_pairs_alone() -> None:
    """In NumPy g * g of a complex g is no square of a length."""
    with pytest.raises(RuleError, match="pairs of reals"):
        optim.Adam().init(np.ones(3, complex))


def test_both_parts_of_a_complex_number_are_shaken_alike() -> None:
    """torch.randn of complex numbers has a variance of 1 for both parts together."""
    p = torch.zeros(20_000, dtype=torch.complex128, requires_grad=True)
    opt = fused.Optimizer([p], chain(noise(eta=1.0, gamma=0.0), optim.SGD(lr=1.0)))
    p.grad = torch.zeros_like(p)
    opt.step()
    moved = torch.view_as_real(p.detach())
    torch.testing.assert_close(moved.std(0), torch.ones(2, dtype=torch.float64), rtol=0.03, atol=0)  # 6 standard errors


@pytest.mark.parametrize("backend", ["auto", "foreach", "single"])
@pytest.mark.parametrize("make", [fused.SGD, fused.Adam], ids=lambda make: make.__name__)
def test_a_gradient_that_is_a_conjugate_or_negative_view_is_read_as_its_numbers(make: Any, backend: str) -> None:
    """pytorch 59998: the imaginary part of a conjugate is a dense view whose memory holds the numbers with the other sign."""
    numbers = torch.randn(5, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    dense = torch._neg_view(numbers.real.clone())
    for view in (numbers[0].conj().imag, numbers[:1].conj().imag, numbers.conj().imag, numbers.conj(), dense):
        found = []
        for g in (view, view.clone()):
            p = torch.ones(view.shape, dtype=view.dtype, requires_grad=True)
            opt = make([p], lr=0.1, backend=backend)
            for _ in range(3):
                p.grad = g
                opt.step()
            found.append(p.detach())
        assert view.is_conj() or view.is_neg()
        assert torch.equal(*found)


def test_a_parameter_that_is_a_negative_view_is_stepped_and_a_conjugate_one_refused() -> None:
    memory = torch.tensor([-1.0, -2.0])
    p = torch.nn.Parameter(torch._neg_view(memory))
    opt = fused.SGD([p], lr=0.5)
    p.grad = torch.ones(2)
    opt.step()
    torch.testing.assert_close(p.detach().clone(), torch.tensor([0.5, 1.5]))
    with pytest.raises(RuleError, match="conjugate view"):
        fused.SGD([torch.nn.Parameter(torch.ones(2, dtype=torch.complex64).conj())])


@pytest.mark.parametrize("backend", ["auto", "foreach", "single"])
def test_a_parameter_that_becomes_a_negative_view_is_stepped_as_its_numbers(backend: str) -> None:
    """Address, shape and dtype stay: the compiled pass went on with the numbers in memory, of the other sign."""
    p = torch.nn.Parameter(torch.ones(2))
    opt = fused.SGD([p], lr=0.5, backend=backend)
    for _ in range(2):
        p.grad = torch.ones(2)
        opt.step()
        p.data = torch._neg_view(p.data.resolve_neg())
    assert p.tolist() == [1.0, 1.0]  # 1 - 0.5 = 0.5, read as -0.5; -0.5 - 0.5 = -1, read as 1


@pytest.mark.parametrize("backend", ["auto", "foreach", "single"])
def test_zeros_without_memory_are_a_gradient(backend: str) -> None:
    """The compiled pass read at address 0."""
    p, q = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    opt = fused.SGD([p, q], lr=0.5, momentum=0.5, backend=backend)
    for g in (torch.ones(2), torch._efficientzerotensor(2)):
        p.grad = q.grad = g
        opt.step()
    assert p.tolist() == [0.25, 0.25]
