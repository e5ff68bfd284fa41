"""The torch front end: the same paths as torch.optim, and everything that a training loop does around a step."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from thalweg import jit, optim
from thalweg.errors import RuleError
from thalweg.optim.backends import compiled
from thalweg.optim.backends.reference import run

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")

BACKENDS = [pytest.param("numba", marks=pytest.mark.skipif(not jit.enabled(), reason="no numba")), "foreach", "single"]
BUILT_IN = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {"weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"betas": (0.8, 0.95)}),
    ("RMSprop", {"weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.1}),
    ("Adadelta", {"rho": 0.8}),
    ("NAdam", {"weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"weight_decay": 0.1}),
    ("Adamax", {}),
    ("Rprop", {}),
]


@pytest.fixture
def double():
    """torch keeps NAdam's product of momenta in its default dtype, so the comparison needs float64 there."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def parameters(*shapes, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = shapes or ((7,), (3, 4), (1,), ())
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]


def give_gradients(params, generator):
    for p in params:
        noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        p.grad = (torch.sin(p.detach().double()) + noise).to(p.dtype)


def train(make, steps, params=None, schedule=True):
    """The parameters after noisy steps with two groups and a cosine schedule."""
    params = params or parameters()
    half = len(params) // 2
    groups = [{"params": params[:half]}, {"params": params[half:], "lr": 0.003}]
    opt = make(groups)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 2 * steps // 3) if schedule else None
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        give_gradients(params, generator)
        opt.step()
        if scheduler is not None:
            scheduler.step()
    return [p.detach().clone() for p in params], opt


def assert_close(ours, theirs, rtol=1e-12, atol=1e-12):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


# ---- the same path as torch.optim


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("name", "options"), BUILT_IN, ids=lambda x: x if isinstance(x, str) else "-".join(x) or "plain")
def test_a_drop_in_name_takes_the_path_of_torch_optim(name, options, backend, double):
    """300 steps in float64, noise, schedule, two groups: equal to 1e-12."""
    theirs, _ = train(lambda groups: getattr(torch.optim, name)(groups, foreach=False, **options), 300)
    ours, opt = train(lambda groups: getattr(fused, name)(groups, backend=backend, **options), 300)
    assert_close(ours, theirs)
    assert all(line.split()[1] == backend for line in opt.explain().splitlines()[1:])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", [make(wd=0.1) for make in optim.RULES.values()], ids=lambda rule: type(rule).__name__)
def test_any_rule_takes_the_path_of_its_reference(rule, backend):
    """The numpy reference on each tensor by itself, 40 steps in float64."""
    params = parameters((5,), (3, 4))
    program, generator = rule.program(), torch.Generator().manual_seed(2)
    opt = fused.Optimizer(params, rule, backend=backend)
    initial = rule.slots.of(rule) | rule.scalars.of(rule)
    numbers = {f"self.{name}": value for name, value in vars(rule).items() if type(value) is float}
    paths = [{"p": p.detach().numpy().ravel().copy(), **{f"s.{k}": np.float64(v) for k, v in initial.items()}} for p in params]
    for t in range(1, 41):
        give_gradients(params, generator)
        for k, p in enumerate(params):
            inputs = {**numbers, **paths[k], "g": p.grad.numpy().ravel(), "t": np.float64(t), "size": p.numel()}
            paths[k] = {**paths[k], **run(program, inputs)}
        opt.step()
    for p, path in zip(params, paths, strict=True):
        np.testing.assert_allclose(p.detach().numpy().ravel(), path["p"], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "NAdam"])
def test_a_float32_step_is_within_four_units_in_the_last_place_of_the_float64_step(name):
    """Measured against the larger of p and its change: the step is one subtraction from p."""
    narrow, wide = parameters((1000,), dtype=torch.float32), parameters((1000,), dtype=torch.float32)
    wide = [p.detach().double().requires_grad_() for p in wide]
    for params in (narrow, wide):
        opt = getattr(fused, name)(params, lr=0.1)
        params[0].grad = torch.linspace(-3, 3, 1000, dtype=torch.float32).to(params[0].dtype)
        opt.step()
    error = (narrow[0].detach().double() - wide[0].detach()).abs()
    assert (error <= 4 * 2.0**-23 * torch.maximum(wide[0].detach().abs(), torch.tensor(1.0))).all()


@pytest.mark.parametrize("make", [fused.SGD, fused.Adam, fused.LAMB], ids=lambda make: make.__name__)
def test_bfloat16_parameters_keep_float32_slots_on_every_back_end(make):
    ends = []
    for backend in ("numba", "foreach"):
        params = parameters((300,), (4, 5), dtype=torch.bfloat16)
        params, opt = train(lambda groups, b=backend: make(groups, lr=0.05, backend=b), 20, params)
        assert all(value.dtype == torch.float32 for state in opt.state.values() for value in state.values())
        ends.append(params)
    assert_close([p.float() for p in ends[0]], [p.float() for p in ends[1]], rtol=2**-7, atol=1e-3)


@pytest.mark.skipif(not jit.enabled(), reason="no numba")
def test_stochastic_rounding_keeps_the_mean_that_nearest_rounding_loses():
    """p = 1 in bfloat16 with 4,096 updates of 2^-12. To nearest it stays 1. Stochastically a step of 2^-7 has probability 1/32:

    the mean is 2 and the sd of an element sqrt(4096 (1/32)(31/32)) 2^-7 = 0.087, of the mean of 10^4 elements 0.00087.
    Fails by chance (5 sd) once in 10^6. The same seed gives the same bits.
    """
    ends = []
    for rounding in ("nearest", "stochastic", "stochastic"):
        p = torch.ones(10_000, dtype=torch.bfloat16).requires_grad_()
        p.grad = -torch.ones_like(p)
        opt = fused.SGD([p], lr=2.0**-12, rounding=rounding)
        for _ in range(4096):
            opt.step()
        ends.append(p.detach().float())
    assert (ends[0] == 1).all()
    assert abs(ends[1].mean().item() - 2) < 5 * 0.00087
    assert 0.08 < ends[1].std().item() < 0.095
    assert torch.equal(ends[1], ends[2])


# ---- around a step


@pytest.mark.skipif(not jit.enabled(), reason="no numba")
def test_no_number_ever_recompiles():
    """50 steps with OneCycle (rate and betas), decay and eps changed: one program, one kernel."""
    params = parameters()
    opt = fused.AdamW(params, lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(opt, 0.5, total_steps=60)
    generator = torch.Generator().manual_seed(0)
    give_gradients(params, generator)
    opt.step()
    before = compiled.build.cache_info().misses
    for k in range(50):
        give_gradients(params, generator)
        opt.param_groups[0].update(weight_decay=0.01 + k / 1000, eps=1e-8 * (k + 1))
        opt.step()
        scheduler.step()
    assert opt.param_groups[0]["betas"] != (0.9, 0.999)
    assert compiled.build.cache_info().misses == before


def test_a_schedule_makes_no_group_s_rule_anew_and_its_numbers_are_checked(monkeypatch):
    """A model may have a group for each tensor: a step reads what has changed in it. What is not allowed is refused as ever."""
    params = parameters()
    opt = fused.AdamW([{"params": [p]} for p in params], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(opt, 0.5, total_steps=60)
    generator = torch.Generator().manual_seed(0)
    give_gradients(params, generator)
    opt.step()
    made, whole = [], type(opt).rule_of
    monkeypatch.setattr(type(opt), "rule_of", lambda self, group: made.append(1) or whole(self, group))
    for _ in range(10):
        scheduler.step()
        opt.step()
    assert not made
    for key, value, sentence in (
        ("lr", -1.0, "lr=-1.0"),
        ("betas", (0.9, 1.5), r"betas\[1\]=1.5"),
        ("eps", float("nan"), "eps=nan"),
    ):
        kept = opt.param_groups[1][key]
        opt.param_groups[1][key] = value
        with pytest.raises(RuleError, match=sentence):
            opt.step()
        opt.param_groups[1][key] = kept
    opt.param_groups[0]["weight_decay"] = 0.0  # another program
    opt.step()
    assert made


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_parameter_without_gradient_is_left_alone_and_counts_its_own_steps(backend, double):
    """As in torch.optim: neither decay nor slots nor t move. Gradients come and go at random."""
    ends = []
    for make in (torch.optim.NAdam, fused.NAdam):
        params = parameters()
        opt = make(params, weight_decay=0.1, **({"backend": backend} if make is fused.NAdam else {}))
        generator = torch.Generator().manual_seed(3)
        for _ in range(60):
            give_gradients(params, generator)
            for p in params:
                if torch.rand((), generator=generator) < 0.4:
                    p.grad = None
            opt.step()
        ends.append([p.detach() for p in params] + [opt.state[p]["step"].double() for p in params])
    assert_close(ends[1], ends[0])


def test_a_parameter_that_never_has_a_gradient_takes_no_memory():
    params = parameters()
    opt = fused.Adam(params)
    params[0].grad = torch.ones_like(params[0])
    opt.step()
    assert list(opt.state) == params[:1]
    params[1].grad = torch.ones_like(params[1])
    opt.step()
    assert [opt.state[p]["step"].item() for p in params[:2]] == [2, 1]


def test_groups_may_have_rules_of_their_own():
    params = parameters((3,), (3,))
    opt = fused.Optimizer([{"params": params[:1]}, {"params": params[1:], "rule": optim.SignSGD(lr=0.5)}], optim.SGD(lr=1.0))
    start = [p.detach().clone() for p in params]
    for p in params:
        p.grad = torch.tensor([2.0, -4.0, 0.0], dtype=torch.float64)
    opt.step()
    assert torch.equal(params[0].detach(), start[0] - params[0].grad)
    assert torch.equal(params[1].detach(), start[1] - 0.5 * params[1].grad.sign())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_parameter_may_move_between_steps(backend):
    """`p.data = ...` gives it other memory; the old memory is not written, the slots stay."""
    params = parameters((100,))
    opt = fused.SGD(params, lr=0.5, momentum=0.5, backend=backend)
    params[0].grad = torch.ones(100, dtype=torch.float64)
    opt.step()
    old = params[0].data
    kept = old.clone()
    params[0].data = old.clone()
    opt.step()
    assert torch.equal(old, kept)
    torch.testing.assert_close(params[0].detach(), kept - 0.5 * 1.5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_layout_of_a_tensor_changes_nothing(backend):
    """Channels-last parameters, gradients of other strides, a transposed and a strided parameter, a gradient that is p itself."""

    def laid_out(plain: bool):
        a, b, c, d = (p.detach() for p in parameters((2, 3, 4, 5), (4, 6), (8, 3), (5,)))
        if not plain:
            a, b, c = a.to(memory_format=torch.channels_last), b.T.contiguous().T, torch.stack([c, c])[0]
            c = torch.stack([c, c], dim=-1)[..., 0]  # every second element of its storage
        return [x.requires_grad_() for x in (a, b, c, d)]

    ends = []
    for plain in (True, False):
        params = laid_out(plain)
        opt = fused.Adam(params, lr=0.1, backend=backend)
        generator = torch.Generator().manual_seed(0)
        for _ in range(5):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            if not plain:
                params[0].grad = params[0].grad.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
            params[3].grad = params[3].detach().clone() if plain else params[3].data
            opt.step()
        ends.append([p.detach() for p in params])
    assert_close(ends[1], ends[0])


def test_parameters_that_share_memory_are_stepped_in_turn():
    """Two views that overlap: each takes its own step, one after the other, as torch.optim does it tensor by tensor."""
    ends = []
    for make in (lambda ps: torch.optim.SGD(ps, lr=0.1, foreach=False), lambda ps: fused.SGD(ps, lr=0.1)):
        base = torch.arange(6.0)
        views = [base[:4].requires_grad_(), base[2:].requires_grad_()]
        for view in views:
            view.grad = torch.ones(4)
        opt = make(views)
        opt.step()
        ends.append(base.clone())
    assert torch.equal(*ends)
    assert "single" in opt.explain()


def test_overlaps_are_found_in_clusters():
    """[0, 10) holds [1, 2) and [4, 5), which do not touch each other; [10, 12) touches nobody."""
    from thalweg.optim.torch.layout import overlapping

    base = torch.zeros(12)
    views = [base[1:2], base[:10], base[10:], base[4:5], torch.zeros(3), torch.zeros(0)]
    assert overlapping(list(enumerate(views))) == {0, 1, 3}
    assert overlapping([]) == set()


def test_a_sparse_gradient_is_refused_in_one_line_and_nothing_moves():
    table = torch.nn.Embedding(10, 3, sparse=True)
    (other,) = parameters((2,))
    other.grad = torch.ones_like(other)
    opt = fused.Adam([other, table.weight])
    before, kept = table.weight.detach().clone(), other.detach().clone()
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(RuleError, match=r"Adam: the gradient of a parameter of shape \(10, 3\) is sparse; use sparse=False"):
        opt.step()
    assert torch.equal(table.weight, before)
    assert torch.equal(other, kept)


def test_a_closure_is_called_with_gradients_on_and_its_loss_returned():
    (p,) = parameters((3,))
    opt = fused.SGD([p], lr=0.5)

    def closure():
        opt.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    loss = opt.step(closure)
    assert loss.item() > 0
    torch.testing.assert_close(p.detach(), torch.zeros(3, dtype=torch.float64))


def test_a_rate_in_a_tensor_is_read_at_every_step():
    (p,) = parameters((2,))
    lr = torch.tensor(1.0)
    opt = fused.SGD([p], lr=lr)
    start = p.detach().clone()
    p.grad = torch.ones_like(p)
    opt.step()
    lr.fill_(0.25)
    opt.step()
    torch.testing.assert_close(p.detach(), start - 1.25)


def test_a_grad_scaler_s_scale_is_divided_out_and_its_overflow_skips_the_step():
    (p,) = parameters((3,), dtype=torch.float32)
    opt = fused.SGD([p], lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    start = p.detach().clone()
    scaler.scale((2 * p).sum()).backward()
    scaler.step(opt)
    scaler.update()
    torch.testing.assert_close(p.detach(), start - 2)
    p.grad = torch.tensor([1.0, float("inf"), 1.0])
    scaler.scale(torch.zeros(()))
    scaler.step(opt)
    torch.testing.assert_close(p.detach(), start - 2)


def test_a_differentiable_step_can_be_differentiated():
    """p1 = p0 - lr 2 p0, so d p1^2 / d p0 = 2 (1 - 2 lr)^2 p0."""
    start = torch.tensor([3.0], requires_grad=True)
    p = start.clone()
    p.retain_grad()
    p.grad = 2 * p
    fused.SGD([p], lr=0.1, differentiable=True).step()
    (p**2).sum().backward()
    torch.testing.assert_close(start.grad, torch.tensor([2 * 0.8**2 * 3]))


@pytest.mark.parametrize(("name", "keys"), [("SGD", 2), ("Adagrad", 2), ("Adam", 4), ("RAdam", 2), ("NAdam", 2)])
def test_a_differentiable_step_is_differentiated_by_its_numbers_too(name, keys):
    """A rate that requires a gradient gets one, as meta-learning asks, by finite differences. It was once left out in silence."""

    def end(start, lr, wd, b1=0.8, b2=0.95):
        p = start.clone()
        given = {"betas": (b1, b2)} if keys == 4 else {}
        opt = getattr(fused, name)([{"params": [p], "weight_decay": wd, **given}], lr=lr.reshape(1), differentiable=True)
        for k in range(3):
            p.grad = torch.tensor([1.0, -0.5], dtype=torch.float64) * (k + 1)
            opt.step()
        return p

    numbers = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in ([1.0, -2.0], 0.1, 0.2, 0.8, 0.95)]
    assert torch.autograd.gradcheck(end, numbers[: keys + 1])


def test_a_derivative_that_would_be_lost_in_a_plain_number_is_refused():
    b1, p = torch.tensor(0.9, requires_grad=True), torch.ones(2, requires_grad=True).clone()
    p.grad = torch.ones(2)
    with pytest.raises(RuleError, match="NAdam keeps P as a plain number"):
        fused.NAdam([{"params": [p], "betas": (b1, 0.999)}], differentiable=True).step()
    with pytest.raises(RuleError, match=r"NAdam: betas\[0\] requires a gradient, which it gets in a parameter group alone"):
        fused.NAdam([p], betas=(b1, 0.999))


def test_complex_parameters_are_pairs_of_reals():
    ends = []
    for make in (torch.optim.Adam, fused.Adam):
        p = torch.tensor([1 + 2j, -3j]).requires_grad_()
        opt = make([p], lr=0.1)
        for k in range(5):
            p.grad = torch.tensor([1j + k, 2 - 1j])
            opt.step()
        ends.append(p.detach())
    torch.testing.assert_close(*ends)


def test_hooks_run_before_and_after_the_step():
    (p,) = parameters((2,))
    opt, seen = fused.SGD([p]), []
    opt.register_step_pre_hook(lambda *_: seen.append("before"))
    opt.register_step_post_hook(lambda *_: seen.append("after"))
    opt.step()
    assert seen == ["before", "after"]


def test_a_late_group_joins():
    params = parameters((2,), (3,))
    opt = fused.Adam(params[:1], lr=1.0)
    generator = torch.Generator().manual_seed(0)
    for late in (False, True):
        if late:
            opt.add_param_group({"params": params[1:], "lr": 0.0})
        start = params[1].detach().clone()
        give_gradients(params, generator)
        opt.step()
        assert torch.equal(params[1].detach(), start)
    assert opt.state[params[1]]["step"] == 1


def test_a_compiled_training_step_runs_the_optimizer_as_it_is():
    """torch.compile breaks its graph at the step, which is compiled already."""
    model = torch.nn.Linear(3, 1)
    opt = fused.SGD(model.parameters(), lr=0.1)
    x, before = torch.ones(4, 3), model.weight.detach().clone()

    @torch.compile(backend="eager")
    def step():
        opt.zero_grad()
        model(x).sum().backward()
        opt.step()

    step()
    torch.testing.assert_close(model.weight.detach(), before - 0.4)


# ---- threads and processes


def test_torch_keeps_its_number_of_threads():
    before = torch.get_num_threads()
    params = parameters((1 << 21,), dtype=torch.float32)
    train(fused.Adam, 2, params, schedule=False)
    assert torch.get_num_threads() == before


class Squares(torch.utils.data.Dataset):
    """Items made by a compiled kernel in the worker, on its own thread pool."""

    def __len__(self):
        return 4

    def __getitem__(self, k):
        p = torch.full((1 << 20,), float(k)).requires_grad_()
        p.grad = torch.ones_like(p)
        fused.SGD([p], lr=1.0).step()
        return p.detach()[0]


@pytest.mark.filterwarnings("ignore:os.fork\\(\\) was called")  # jax says so where another test has loaded it
def test_a_forked_worker_can_step_after_its_parent_has():
    (p,) = parameters((1 << 20,), dtype=torch.float32)
    p.grad = torch.ones_like(p)
    fused.SGD([p], lr=1.0).step()
    loader = torch.utils.data.DataLoader(Squares(), num_workers=1, multiprocessing_context="fork")
    assert [x.item() for x in loader] == [-1, 0, 1, 2]


def test_two_threads_can_step_two_optimizers():
    """Each ends where it ends alone, bit for bit."""

    def work(ends, k):
        params, _ = train(fused.Adam, 20, parameters((1 << 20,), (5,), dtype=torch.float32, seed=k), schedule=False)
        ends[k] = params

    alone: dict = {}
    for k in range(2):
        work(alone, k)
    together: dict = {}
    threads = [threading.Thread(target=work, args=(together, k)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(2):
        assert all(torch.equal(a, b) for a, b in zip(alone[k], together[k], strict=True))


# ---- wrong use


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda ps: fused.Adam(ps, lr=-1), "Adam: lr=-1 is not allowed"),
        (lambda ps: fused.Adam(ps, betas=(0.9, 1.0)), r"Adam: betas\[1\]=1.0 is not allowed; a decay"),
        (lambda ps: fused.Adam(ps, betas=(0.9,)), r"betas=\(0.9,\) is not a pair of numbers"),
        (lambda ps: fused.Adam(ps, betas=0.9), "betas=0.9 is not a pair of numbers"),
        (lambda ps: fused.Adam(ps, weight_decay=-1), "Adam: weight_decay=-1 is not allowed"),
        (lambda ps: fused.Adam(ps, beta=(0.9, 0.99)), "Adam has no option 'beta'. Did you mean betas"),
        (lambda ps: fused.Optimizer(ps, optim.SGD(), mastr=True), "Optimizer has no option 'mastr'. Did you mean master"),
        (lambda ps: fused.SGD(ps, nesterov=True), "nesterov=True with momentum=0"),
        (lambda ps: fused.SGD(ps, momentun=0.9), "SGD has no option 'momentun'. Did you mean momentum"),
        (lambda ps: fused.SGD(ps, backend="cuda"), "backend='cuda' is not known"),
        (lambda ps: fused.SGD(ps, rounding="up"), "rounding='up' is not known"),
        (lambda ps: fused.Optimizer(ps, optim.SGD), "is not a rule; give one made from a class"),
        (lambda ps: fused.SGD([{"params": ps, "lr": -2.0}]), "lr=-2.0 is not allowed"),
        (lambda ps: fused.SGD([torch.zeros(2, dtype=torch.int64)]), r"shape \(2,\) is torch.int64"),
        (lambda ps: fused.SGD([]), "empty parameter list"),
        (lambda ps: fused.SGD(ps, lr=-1.0), "^SGD: lr=-1.0"),
        (lambda ps: fused.Adagrad(ps, lr=-1.0), "^Adagrad: lr=-1.0"),
        (lambda ps: fused.Adam(ps, lr=torch.ones(2)), r"Adam: lr is a tensor of shape \(2,\); it takes one number"),
        (lambda ps: fused.Muon(ps, adjust_lr_fn="x"), "Muon: adjust_lr_fn='x' is not allowed; it must be one of the choices"),
        (lambda ps: fused.Muon(ps, ns_steps=2.5), "Muon: ns_steps=2.5 is not allowed; it is a whole number from 0 to 99"),
        (lambda ps: fused.Muon(ps, ns_coefficients=(1.0, 2.0)), r"ns_coefficients=\(1.0, 2.0\) is not 3 numbers"),
        (
            lambda ps: fused.Muon(ps, ns_coefficients=(1.0, float("nan"), 2.0)),
            r"ns_coefficients\[1\]=nan is not allowed; it is a fin",
        ),
        (lambda ps: fused.Adafactor(ps, d=0), "Adafactor: d=0 is not allowed; a const is a finite number of at least 1"),
        (lambda ps: fused.Adafactor(ps, eps=(None, -1.0)), r"Adafactor: eps\[1\]=-1.0 is not allowed; a const"),
        (lambda ps: fused.Adafactor(ps, beta2_decay=0.5), "beta2_decay=0.5 is not allowed; it is a finite number of at most 0"),
        (lambda ps: fused.Adafactor([{"params": ps, "decay_power": 0.5}]), "'decay_power' of a .* is spelt 'beta2_decay'"),
        (lambda ps: fused.Muon([{"params": ps, "scale": "original"}]), "'scale' of a parameter group is spelt 'adjust_lr_fn'"),
        (lambda ps: fused.Muon([{"params": ps, "betas": (0.8, 0.9)}]), "'betas' of a parameter group is spelt 'adamw_betas'"),
    ],
)
def test_wrong_use_is_refused_when_the_optimizer_is_made(make, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        make(parameters((2,)))
    assert "\n" not in str(caught.value)


def test_the_environment_names_another_back_end(monkeypatch):
    monkeypatch.setenv("THALWEG_OPTIM_BACKEND", "foreach")
    _, opt = train(fused.SGD, 3)
    assert "foreach" in opt.explain()
    assert "numba" not in opt.explain()
    monkeypatch.setenv("THALWEG_OPTIM_BACKEND", "cuda")
    with pytest.raises(RuleError, match="backend='cuda' is not known"):
        train(fused.SGD, 3)


def test_gradients_of_another_dtype_than_their_parameter_s():
    """torch lets a parameter ask for it (grad_dtype): the compiled kernel, which takes them to be alike, is not used."""
    p = torch.ones(3, dtype=torch.bfloat16, requires_grad=True)
    if not hasattr(p, "grad_dtype"):
        pytest.skip("this torch has no grad_dtype")
    p.grad_dtype = torch.float32
    p.grad = torch.full((3,), 0.5)
    fused.SGD([p], lr=1.0).step()
    assert p.tolist() == [0.5] * 3


def test_a_kernel_that_cannot_be_compiled_leaves_the_step_to_torch(monkeypatch, caplog):
    def fail(*_):
        raise OSError("no space")

    theirs, _ = train(torch.optim.Adam, 3)
    monkeypatch.setattr(compiled, "build", fail)
    with caplog.at_level("INFO"):
        ours, _ = train(fused.Adam, 3)
    assert_close(ours, theirs)
    if jit.enabled():
        assert "Adam is not compiled (OSError: no space); foreach is used instead" in caplog.text


def test_explain_says_what_runs_where():
    params = parameters((10,), dtype=torch.float32) + parameters((3,))
    opt = fused.Adam(params, backend="foreach")
    assert "2 tensors have had no gradient yet" in opt.explain()
    give_gradients(params, torch.Generator().manual_seed(0))
    opt.step()
    lines = [line.split() for line in opt.explain().splitlines()]
    assert lines[1] == ["Adam", "foreach", "float32", "1", "10", "280", "0"]
    assert lines[2] == ["Adam", "foreach", "float64", "1", "3", "168", "0"]


def test_autograd_sees_that_a_step_has_changed_the_parameters() -> None:
    """A graph made before a step cannot be gone back through after it, as with torch's own."""
    p = torch.nn.Parameter(torch.ones(3))
    loss = (p * p).sum()
    loss.backward(retain_graph=True)
    fused.Optimizer([p], optim.SGD()).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_number_that_is_not_allowed_is_named_as_the_group_has_it() -> None:
    """Where a schedule writes it, and of the class that was typed."""
    opt = fused.Adagrad(ps := parameters((2,)))
    ps[0].grad = torch.ones_like(ps[0])
    opt.step()
    opt.param_groups[0]["lr"] = float("nan")
    with pytest.raises(RuleError, match="Adagrad: lr=nan is not allowed"):
        opt.step()


def test_a_number_under_the_rules_own_name_is_not_passed_over() -> None:
    with pytest.raises(RuleError, match="'wd' of a parameter group is spelt 'weight_decay'"):
        fused.Optimizer([{"params": [torch.nn.Parameter(torch.ones(1))], "wd": 0.5}], optim.AdamW())
