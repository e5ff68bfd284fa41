"""Rules on matrices, and the one without a schedule, against torch or their own recursions."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from thalweg import optim
from thalweg.optim import chain, clip_norm
from thalweg.optim.language.functions import newton_schulz

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")


def going(make, shapes, steps=30, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]
    opt = make(params)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(dtype)
        opt.step()
    return [p.detach() for p in params], opt


@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1, "lr": 0.3}, {"eps": (1e-3, 0.1), "d": 2.0, "beta2_decay": -0.5}], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_adafactor_is_torch_s(options, dtype):
    """Matrices, a tensor of three axes, a vector and a number, to round-off."""
    shapes, rtol = ((4, 6), (5, 2), (2, 3, 4), (7,), ()), 1e-12 if dtype == torch.float64 else 1e-5
    theirs, _ = going(lambda params: torch.optim.Adafactor(params, foreach=False, **options), shapes, dtype=dtype)
    ours, opt = going(lambda params: fused.Adafactor(params, **options), shapes, dtype=dtype)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)
    assert [{k: tuple(v.shape) for k, v in held.items()} for held in opt.state.values()][:1] == [
        {"step": (), "row_var": (4, 1), "col_var": (1, 6)}
    ]


def test_adafactor_goes_on_from_a_checkpoint_of_torch():
    whole, _ = going(torch.optim.Adafactor, ((4, 6), (7,)), steps=20)
    start, opt = going(torch.optim.Adafactor, ((4, 6), (7,)), steps=10)
    generator = torch.Generator().manual_seed(0)
    for shape in ((4, 6), (7,), *[(4, 6), (7,)] * 10):  # what the first ten steps have drawn
        torch.randn(shape, generator=generator, dtype=torch.float64)
    params = [p.clone().requires_grad_() for p in start]
    mine = fused.Adafactor(params)
    mine.load_state_dict(copy.deepcopy(opt.state_dict()))
    for _ in range(10):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        mine.step()
    for a, b in zip(params, whole, strict=True):
        torch.testing.assert_close(a.detach(), b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6)])
def test_the_iterations_leave_singular_vectors_and_make_singular_values_near_one(shape):
    """U S V^T -> U S' V^T with S' in [0.6, 1.3]: the same in NumPy and torch."""
    x = np.random.default_rng(0).normal(size=shape)
    made = newton_schulz(x)
    u, _, v = np.linalg.svd(x, full_matrices=False)
    inner = u.T @ made @ v.T
    assert 0.6 < np.diag(inner).min() <= np.diag(inner).max() < 1.3
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-10)
    np.testing.assert_allclose(newton_schulz(torch.tensor(x)).numpy(), made, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"nesterov": False}, {"adjust_lr_fn": "match_rms_adamw"}], ids=str)
@pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
def test_muon_is_torch_s_but_for_its_sixteen_bits(options, shape):
    """torch iterates in bfloat16: the steps agree to 5% of their length."""
    start, _ = going(torch.optim.Muon, (shape,), steps=0)
    theirs, _ = going(lambda params: torch.optim.Muon(params, **options), (shape,), steps=1)
    ours, _ = going(lambda params: fused.Muon(params, **options), (shape,), steps=1)
    assert (ours[0] - theirs[0]).norm() < 0.05 * (theirs[0] - start[0]).norm()


@pytest.mark.parametrize("schedule", ["OneCycleLR", "CyclicLR"])
def test_schedulers_cycle_the_momentum_of_muon_as_of_torch_s(schedule):
    """They write to "betas" where an optimizer has such, and AdamW's of the vectors are called otherwise."""
    options = {"OneCycleLR": {"max_lr": 0.1, "total_steps": 9}, "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3}}
    seen: list[list[float]] = []
    for kind in (torch.optim.Muon, fused.Muon):
        opt = kind([torch.nn.Parameter(torch.zeros(3, 2))])
        scheduler = getattr(torch.optim.lr_scheduler, schedule)(opt, **options[schedule])
        seen.append([])
        for _ in range(6):
            opt.step()
            scheduler.step()
            seen[-1].append(opt.param_groups[0]["momentum"])
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 3


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_is_its_formula(nesterov):
    """m, u, the iterations and the decay written out in NumPy, ten steps in float64."""
    generator = torch.Generator().manual_seed(0)
    p = torch.randn((7, 3), generator=generator, dtype=torch.float64).numpy().copy()
    m = np.zeros_like(p)
    for _ in range(10):
        g = torch.randn((7, 3), generator=generator, dtype=torch.float64).numpy()
        m = 0.95 * m + 0.05 * g
        u = 0.05 * g + 0.95 * m if nesterov else m
        p = p * (1 - 0.02 * 0.1) - 0.02 * (7 / 3) ** 0.5 * newton_schulz(u)
    ours, _ = going(lambda params: fused.Muon(params, lr=0.02, nesterov=nesterov), ((7, 3),), steps=10)
    np.testing.assert_allclose(ours[0].numpy(), p, rtol=1e-10, atol=1e-12)


def test_muon_gives_what_is_no_matrix_the_step_of_adamw():
    """A vector and a tensor of four axes, clipped together with the matrix."""
    shapes = ((4, 3), (5,), (2, 2, 2, 2))
    mixed, opt = going(lambda params: fused.Muon(params, lr=0.01, weight_decay=0.2), shapes)
    adamw, _ = going(lambda params: fused.AdamW(params, lr=0.01, weight_decay=0.2), shapes)
    for a, b in zip(mixed[1:], adamw[1:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)
    assert [line.split()[0] for line in opt.explain().splitlines()[1:]] == ["Muon", "AdamW", "AdamW"]
    clipped, _ = going(lambda params: fused.Optimizer(params, chain(clip_norm(1e9), optim.Muon(0.01, wd=0.2))), shapes)
    for a, b in zip(mixed, clipped, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("inner", ["sgd", "adamw"])
@pytest.mark.parametrize("wd", [0.0, 0.1])
def test_schedule_free_is_its_three_sequences(inner, wd):
    """x, y, z written out, with a rate that changes, 40 steps in float64; the parameters are y, and x within swap."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(6, generator=generator, dtype=torch.float64).numpy().copy()
    x, y, v, total = z.copy(), z.copy(), np.zeros(6), 0.0
    p = torch.tensor(z, requires_grad=True)
    opt = fused.ScheduleFree([p], lr=0.1, weight_decay=wd, inner=inner)
    for t in range(1, 41):
        g = torch.randn(6, generator=generator, dtype=torch.float64)
        opt.param_groups[0]["lr"] = lr = 0.1 * min(1, t / 10)
        p.grad = g
        opt.step()
        g = g.numpy()
        v = 0.999 * v + 0.001 * g * g
        u = g if inner == "sgd" else g / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        z = z - lr * (u + wd * y)
        total += lr * lr
        x = (1 - lr * lr / total) * x + lr * lr / total * z
        y = 0.1 * z + 0.9 * x
        np.testing.assert_allclose(p.detach().numpy(), y, rtol=1e-11, atol=1e-12)
    with opt.swap():
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(p.detach().numpy(), y, rtol=1e-11, atol=1e-12)


def test_swap_changes_nothing_for_a_rule_that_trains_where_it_is_evaluated():
    (p,), opt = going(fused.Adam, ((3,),), steps=2)
    with opt.swap():
        assert torch.equal(p, opt.param_groups[0]["params"][0].detach())


def test_matrix_rules_are_found_by_name_and_work_in_optax():
    jax = pytest.importorskip("jax")
    face = pytest.importorskip("thalweg.optim.optax")
    assert optim.get("Muon") is optim.Muon
    assert optim.get("adafactor") is optim.Adafactor
    with jax.enable_x64(True):
        g = jax.numpy.asarray(np.random.default_rng(0).normal(size=(4, 3)))
        rule = optim.Muon(lr=1.0, momentum=0.0, wd=0.0)
        move, _ = face.transform(rule).update(g, face.transform(rule).init(g), g)
        np.testing.assert_allclose(move, -((4 / 3) ** 0.5) * newton_schulz(np.asarray(g)), rtol=1e-10)
