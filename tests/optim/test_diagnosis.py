"""What is measured of a training problem: known answers, exact eigenvalues, and an owner whose things stay as they are."""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
import random
from collections.abc import Callable
from string import Formatter
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from thalweg import optim
from thalweg.errors import InputError
from thalweg.optim import schedules
from thalweg.optim import torch as ours
from thalweg.optim.diagnosis import copied, diagnose, largest, lr_range_test, noise_scale, trace
from thalweg.optim.diagnosis.findings import texts

pytestmark = pytest.mark.usefixtures("one_thread")

Problem = tuple[nn.Module, Callable[..., Tensor], Any, torch.optim.Optimizer]


class Valley(nn.Module):
    """The loss is p . A p / 2 on every batch."""

    def __init__(self, curvatures: list[float]) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.ones(len(curvatures), dtype=torch.float64))
        self.register_buffer("a", torch.tensor(curvatures, dtype=torch.float64))


def valley(curvatures: list[float], make: Callable[..., torch.optim.Optimizer] = torch.optim.SGD, **options: Any) -> Problem:
    model = Valley(curvatures)

    def loss(model: Any, batch: Tensor) -> Tensor:
        return (model.a * model.p**2).sum() / 2 + 0 * batch.sum()

    return model, loss, [torch.zeros(4)] * 4, make(model.parameters(), **options)


def network(seed: int = 0, lr: float = 0.1) -> Problem:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x = torch.randn(64, 5, dtype=torch.float64)
    data = DataLoader(TensorDataset(x, torch.randint(0, 3, (64,))), 16, shuffle=True)
    return model, cross_entropy, data, torch.optim.SGD(model.parameters(), lr=lr)


def cross_entropy(model: nn.Module, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def regression(seed: int, batch: int, batches: int, d: int = 20) -> Problem:
    """y = w.x + noise of 1, from a point at distance 1: tr S / |G|^2 = d (1 + 1) + 1."""
    rng = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    model, w, off = nn.Linear(d, 1, bias=False).double(), normal(d), normal(d)
    with torch.no_grad():
        model.weight.copy_((w + off / off.norm())[None])
    x = normal(batches, batch, d)
    data = list(zip(x, x @ w + normal(batches, batch), strict=True))
    loss = lambda model, batch: ((model(batch[0]).squeeze(1) - batch[1]) ** 2).mean() / 2  # noqa: E731
    return model, loss, data, torch.optim.SGD(model.parameters(), lr=0.01)


def digest(*things: Any) -> str:
    """Of parameters, buffers, flags, gradients, the optimizer's state and all random states."""
    model, _, data, optimizer = things
    held = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()]), held)
    flags = [p.requires_grad for p in model.parameters()], [m.training for m in model.modules()]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state().tolist()  # noqa: NPY002
    generator = getattr(data, "generator", None)
    own = generator.get_state().tolist() if generator is not None else None
    return hashlib.sha256(held.getvalue() + pickle.dumps((flags, states, own))).hexdigest()


@given(st.integers(2, 30), st.integers(0, 1000), st.sampled_from([0, 40_000_000]))
def test_lanczos_finds_the_largest_eigenvalue(n: int, seed: int, room: int) -> None:
    """With all vectors kept, and with two: one that stands out to 1%; of any, a value within its error of an eigenvalue."""
    rng = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(n, n, generator=rng, dtype=torch.float64))
    dense = torch.linspace(-1, 2, n, dtype=torch.float64)
    values = torch.cat([dense[:-1], torch.tensor([3.0], dtype=torch.float64)])
    from thalweg.optim.diagnosis import curvature

    whole, curvature.ROOM = curvature.ROOM, room
    try:
        start = torch.randn(n, generator=rng, dtype=torch.float64)
        found, of_dense = (largest(lambda v, w=w: basis @ (w * (basis.T @ v)), start) for w in (values, dense))  # type: ignore[misc]
    finally:
        curvature.ROOM = whole
    assert found.value == pytest.approx(3, rel=0.01)
    assert float((dense - of_dense.value).abs().min()) <= of_dense.error + 1e-9


def test_random_signs_find_the_trace_within_their_error() -> None:
    matrix = torch.randn(50, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = matrix + matrix.T
    value, error = trace(lambda v: matrix @ v, torch.zeros(50, dtype=torch.float64), probes=200)
    assert abs(value - float(matrix.trace())) < 4 * error
    assert trace(lambda v: 2 * v, torch.zeros(7))[0] == pytest.approx(14)  # of a diagonal one without error


@pytest.mark.parametrize("seed", range(3))
def test_the_sharpness_of_a_network_is_that_of_its_whole_hessian(seed: int) -> None:
    model, loss, data, optimizer = network(seed)
    batches = list(data)
    found = diagnose((model, loss, batches, optimizer), sweep=False)
    flat = nn.utils.parameters_to_vector(model.parameters()).detach()

    def whole(vector: Tensor) -> Tensor:
        parts = vector.split([p.numel() for p in model.parameters()])
        values = {name: part.view_as(p) for (name, p), part in zip(model.named_parameters(), parts, strict=True)}
        losses = [F.cross_entropy(torch.func.functional_call(model, values, (x,)), y) for x, y in batches]
        return torch.stack(losses).mean()

    matrix = torch.autograd.functional.hessian(whole, flat)
    exact = float(torch.linalg.eigvalsh(matrix)[-1])
    assert found["sharpness"] == pytest.approx(exact, rel=0.01)
    assert found["largest stable rate"] == pytest.approx(2 / exact, rel=0.01)
    assert found["rate / largest stable"] == pytest.approx(0.1 * exact / 2, rel=0.01)
    row = found.row("trace of the Hessian")
    assert row.error is not None
    assert abs(row.value - float(matrix.trace())) < 5 * row.error


@pytest.mark.parametrize(
    ("make", "options", "limit"),
    [
        (torch.optim.SGD, {"lr": 0.1}, 2.0),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, 3.8),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}, 3.8 / 2.8),
        (ours.SGD, {"lr": 0.1, "momentum": 0.5}, 3.0),
        (lambda params, lr: ours.Optimizer(params, optim.Heun(lr=lr)), {"lr": 0.1}, 2.0),
    ],
)
def test_the_largest_rate_of_a_valley_is_the_closed_form(make: Any, options: dict[str, Any], limit: float) -> None:
    found = diagnose(valley([0.5, 8.0, 2.0], make, **options), sweep=False)
    assert found["sharpness"] == pytest.approx(8, rel=0.01)
    assert found["largest stable rate"] == pytest.approx(limit / 8, rel=0.01)


@pytest.mark.parametrize("make", [torch.optim.Adam, ours.Adam])
def test_adams_curvature_is_seen_through_what_it_divides_by(make: Any) -> None:
    """With v^ = g^2 on each axis, P = |g| and the sharpness is the largest a / |a p|: here 1 on every axis."""
    for batches in (3, 4, 40):  # however long the averages of a fresh optimizer have been filled
        problem = valley([0.5, 8.0, 2.0], make, lr=0.01)
        found = diagnose((*problem[:2], [torch.zeros(4)] * batches, problem[3]), sweep=False, batches=batches, steps=0)
        assert found["preconditioned sharpness"] == pytest.approx(1, rel=0.01)
        assert found["largest stable rate"] == pytest.approx(38, rel=0.01)
        assert found["share bounded by eps"] == 0
    bounded = diagnose(valley([0.5, 8.0, 2.0], make, lr=0.01, eps=100.0), sweep=False, steps=0)
    assert bounded["share bounded by eps"] == 1


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
        (torch.optim.RMSprop, {"lr": 0.01}),
        (torch.optim.NAdam, {"lr": 0.01}),
        (torch.optim.Adamax, {"lr": 0.01}),
        (ours.AdaBelief, {"lr": 0.01}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_other_preconditioners_are_seen_as_they_are_once_formed(make: Any, options: dict[str, Any]) -> None:
    """Signs of the gradient that turn with each batch: its square is the same, its mean about 0."""
    model = Valley([0.5, 8.0, 2.0])
    loss = lambda model, batch: (model.a * model.p**2 / 2).sum() + (batch[0] * (3 - model.a) * model.p).sum()  # noqa: E731
    data = [torch.full((2,), sign, dtype=torch.float64) for sign in (1.0, -1.0)] * 20
    found = diagnose((model, loss, data, make(model.parameters(), **options)), sweep=False, batches=40, steps=0)
    g = torch.tensor([0.5, 8, 2]) + torch.tensor([1.0, -1.0])[:, None] * (3 - torch.tensor([0.5, 8, 2]))
    size = (g**2).mean(0).sqrt() if make is not torch.optim.Adamax else g.abs().amax(0)
    if make is ours.AdaBelief:
        size = g.std(0, correction=0)
    if options.get("amsgrad"):  # the largest v^ so far
        size = torch.maximum(size, g[0].abs())
    expected = float((torch.tensor([0.5, 8.0, 2.0]) / size).max())
    rel = 0.2 if make is ours.AdaBelief else 0.1  # its mean begins at 0
    assert found["preconditioned sharpness"] == pytest.approx(expected, rel=rel)


def test_a_centred_rmsprop_divides_by_the_deviation() -> None:
    model = Valley([0.5, 8.0, 2.0])
    loss = lambda model, batch: (model.a * model.p**2 / 2).sum() + (batch.mean() * model.p).sum()  # noqa: E731
    data = list(torch.randn(200, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.95, centered=True)
    found = diagnose((model, loss, data, optimizer), sweep=False, batches=200, steps=0)
    assert found["preconditioned sharpness"] == pytest.approx(8, rel=0.3)  # the deviation is 1, over 20 batches
    assert diagnose((model, loss, data, optimizer)).suggestion is not None


def test_groups_with_rates_of_their_own_share_one_edge() -> None:
    """All rates may grow by the same factor: x = max lr a."""
    model = nn.ParameterList([nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))])
    loss = lambda model, batch: model[0].square().sum() + 5 * model[1].square().sum() + 0 * batch.sum()  # noqa: E731
    groups = [{"params": [model[0]], "lr": 0.3}, {"params": [model[1]], "lr": 0.01}]
    found = diagnose((model, loss, [torch.zeros(2)] * 3, torch.optim.SGD(groups)), sweep=False)
    assert found["rate / largest stable"] == pytest.approx(0.3 * 2 / 2, rel=0.01)
    assert found["sharpness"] == pytest.approx(10, rel=0.01)


def test_a_fresh_adagrad_is_seen_with_the_sum_that_its_first_steps_have() -> None:
    """The sum of 4 squares of a gradient |a p|: P = 2 |a p|, and no axis is sharper than 1/2."""
    found = diagnose(valley([0.5, 8.0, 2.0], torch.optim.Adagrad, lr=0.01), sweep=False)
    assert found["preconditioned sharpness"] == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("wd", [0.0, 2.0])
def test_decay_is_a_curvature(wd: float) -> None:
    """SGD with decay is stable below 2 / (lambda + wd), at whatever rate one asks."""
    chained = lambda params, lr: ours.Optimizer(params, optim.chain(optim.weight_decay(wd), optim.SGD(lr=lr)))  # noqa: E731
    decoupled = lambda params, lr: ours.Optimizer(params, optim.SGD(lr=lr, wd=wd, decay="decoupled"))  # noqa: E731
    for lr in (1e-3, 0.1):
        for problem in (
            valley([8.0, 2.0], torch.optim.SGD, lr=lr, weight_decay=wd),
            valley([8.0, 2.0], decoupled, lr=lr),
            valley([8.0, 2.0], chained, lr=lr),
        ):
            found = diagnose(problem, sweep=False, steps=0)
            assert found["largest stable rate"] == pytest.approx(2 / (8 + wd), rel=0.01)


def test_decay_is_divided_by_what_the_gradient_is_divided_by() -> None:
    """Adam, |g| = a (1 + wd/a) where p = 1: coupled decay grows with it; AdamW's takes lr wd / 2 of the limit, whatever a is."""
    coupled = diagnose(valley([0.001], torch.optim.Adam, lr=0.01, weight_decay=0.01), sweep=False, steps=0)
    assert coupled["largest stable rate"] == pytest.approx(38, rel=0.01)
    decoupled = diagnose(valley([1.0], torch.optim.AdamW, lr=0.01, weight_decay=10.0), sweep=False, steps=0)
    assert decoupled["largest stable rate"] == pytest.approx(1 / (1 / 38 + 5), rel=0.01)


def two_groups(first: dict[str, Any], second: dict[str, Any], curvatures: tuple[float, float]) -> Problem:
    model = nn.ParameterList([nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))])
    a, b = curvatures
    loss = lambda model, batch: a / 2 * model[0].square().sum() + b / 2 * model[1].square().sum() + 0 * batch.sum()  # noqa: E731
    groups = [{"params": [model[0]], **first}, {"params": [model[1]], **second}]
    kind = ours.SGD if "rule" not in second else lambda groups: ours.Optimizer(groups, optim.SGD(first["lr"]))
    return model, loss, [torch.zeros(2)] * 3, kind(groups)


def test_groups_of_different_rules_each_have_their_own_limit() -> None:
    first, second = {"lr": 0.3, "momentum": 0.9}, {"lr": 0.3, "momentum": 0.0}
    found = diagnose(two_groups(first, second, (10.0, 0.1)), sweep=False, steps=0)
    assert found["rate / largest stable"] == pytest.approx(3 / 3.8, rel=0.01)
    assert "2 to 3.8" in found.row("largest stable rate").note()
    steep = diagnose(two_groups({**first, "weight_decay": 5.0}, second, (0.1, 1.0)), sweep=False, steps=0)
    assert steep["rate / largest stable"] == pytest.approx(0.3 * 5.1 / 3.8, rel=0.01)


def test_a_group_that_moves_by_signs_is_left_out_of_the_edge() -> None:
    found = diagnose(two_groups({"lr": 0.1}, {"rule": optim.Lion(lr=0.1)}, (1.0, 100.0)), sweep=False, steps=0)
    assert found["rate / largest stable"] == pytest.approx(0.1 / 2, rel=0.01)
    assert any("left out of it: Lion" in note for note in found.told())
    assert np.isnan(found["temperature"])


@pytest.mark.parametrize("make", [ours.LAMB, ours.Muon, lambda p, lr: ours.Optimizer(p, optim.SAM(optim.SGD(lr)))])
def test_what_is_not_known_is_said_so(make: Any) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    data = [(torch.randn(8, 3), torch.randn(8, 2)) for _ in range(4)]
    loss = lambda model, batch: F.mse_loss(model(batch[0]), batch[1])  # noqa: E731
    found = diagnose((model, loss, data, make(model.parameters(), lr=0.01)))
    for name in ("largest stable rate", "temperature"):
        assert np.isnan(found[name])
        assert found.row(name).note() == "not known for this rule"
    assert found["sharpness"] > 0
    assert found.suggestion is not None


def test_rates_that_fall_with_time_are_asked_about_as_they_begin() -> None:
    decaying = diagnose(valley([8.0], torch.optim.Adagrad, lr=0.01, lr_decay=1e-3), sweep=False, steps=0)
    assert decaying["largest stable rate"] == pytest.approx(2 * 2, rel=0.01)  # P = 2 |a p| after four gradients
    cosine = lambda params, lr: ours.Optimizer(params, optim.chain(optim.schedule(schedules.cosine(9)), optim.SGD(lr)))  # noqa: E731
    scheduled = diagnose(valley([8.0], cosine, lr=0.01), sweep=False, steps=0)
    assert scheduled["largest stable rate"] == pytest.approx(2 / 8, rel=0.01)
    assert any("a schedule is left out" in note for note in scheduled.told())


@pytest.mark.parametrize(("lr", "cosine"), [(1.9, -1.0), (0.1, 1.0)])
def test_successive_gradients_turn_back_where_steps_overshoot(lr: float, cosine: float) -> None:
    """On 1/2 p^2 the gradient of the next step is (1 - lr) times that of this one."""
    found = diagnose(valley([1.0], lr=lr), sweep=False, steps=0).row("cosine of successive gradients")
    assert found.value == pytest.approx(cosine)
    assert ("turn back" in found.note()) == (cosine < 0)


def test_batches_that_are_all_the_same_have_no_noise() -> None:
    found = diagnose(valley([1.0, 2.0], lr=0.1), sweep=False, steps=0)
    assert found["noise scale (critical batch)"] == 0
    assert found["temperature"] == 0
    assert "no noise" in found.row("noise scale (critical batch)").note()


def test_a_short_batch_at_the_end_is_left_out() -> None:
    """15 batches of 64 samples and one of 1: the noise scale is that of the 15."""
    model, loss, data, optimizer = regression(0, 64, 15)
    short = [(x[:1], y[:1]) for x, y in regression(1, 64, 1)[2]]
    found, without = (diagnose((model, loss, each, optimizer), sweep=False, steps=0) for each in ([*data, *short], data))
    assert found["noise scale (critical batch)"] == without["noise scale (critical batch)"]
    assert found["batch"] == 64


def test_batches_of_many_sizes_count_by_their_noise() -> None:
    values = []
    for seed in range(20):
        model, loss, data, optimizer = regression(seed, 64, 32)
        uneven = [(x[:b], y[:b]) for (x, y), b in zip(data, range(33, 65), strict=True)]
        values.append(diagnose((model, loss, uneven, optimizer), sweep=False, steps=0, batches=32)["noise scale (critical batch)"])
    assert np.mean(values) == pytest.approx(41, rel=0.1)


def test_the_gradients_norm_is_told_without_its_noise() -> None:
    """|G| = 1 in 2,000 dimensions: the mean of 16 noisy gradients is longer."""
    found = diagnose(regression(0, 64, 16, d=2000), sweep=False, steps=0).row("gradient norm")
    assert found.error is not None
    assert abs(found.value - 1) < 4 * found.error
    assert found.error < 0.2


def test_numpys_and_pythons_noise_is_the_same_for_the_same_batch() -> None:
    model, _, data, optimizer = network()

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return cross_entropy(model, batch) * (1 + 0.5 * np.random.random() + 0.5 * random.random())  # noqa: NPY002

    with copied((model, loss, data, optimizer), 4) as one:
        assert float(one.value(1).detach()) == float(one.value(1).detach())


def test_a_clipped_rule_has_the_limit_of_the_rule() -> None:
    chained = lambda params, lr: ours.Optimizer(params, optim.chain(optim.clip_norm(1.0), optim.SGD(lr=lr)))  # noqa: E731
    found = diagnose(valley([8.0, 2.0], chained, lr=0.1), sweep=False)
    assert found["largest stable rate"] == pytest.approx(2 / 8, rel=0.01)


def test_rules_of_signs_have_no_edge() -> None:
    found = diagnose(valley([1.0, 2.0], ours.Lion, lr=0.01), sweep=False)
    assert np.isnan(found["largest stable rate"])


def test_what_has_no_second_derivative_is_differenced() -> None:
    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, p: Tensor) -> Tensor:
            ctx.save_for_backward(p)
            return p**2 / 2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g * ctx.saved_tensors[0]

    model = Valley([3.0, 1.0])
    loss = lambda model, batch: (model.a * Half.apply(model.p)).sum() + 0 * batch.sum()  # noqa: E731
    found = diagnose((model, loss, [torch.zeros(2)] * 3, torch.optim.SGD(model.parameters(), lr=0.1)), sweep=False)
    assert found["sharpness"] == pytest.approx(3, rel=0.01)
    assert "differences of gradients" in found.row("sharpness").note()


def test_the_noise_scale_of_a_regression_is_the_known_answer() -> None:
    """20 seeds: their mean within 10%, and 95% intervals that cover it."""
    values, covered = [], 0
    for seed in range(20):
        with copied(regression(seed, 16, 32), 32) as one:
            gradients = torch.stack([one.flat(one.gradient(k)[1]) for k in range(32)]).numpy()
        mean = gradients.mean(0)
        found = noise_scale((gradients**2).sum(1), gradients @ mean, float(mean @ mean), 16)
        values.append(found.value)
        covered += found.low <= 41 <= found.high
    assert np.mean(values) == pytest.approx(41, rel=0.1)
    assert covered >= 17


def test_noise_without_replacement_needs_no_correction() -> None:
    """All of a finite data set in disjoint batches: the variance of its samples, in the mean over many orders."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(48, 5)) + 1.0
    exact = samples.var(0, ddof=1).sum()
    found = []
    for _ in range(400):
        g = rng.permutation(samples)[:40].reshape(10, 4, 5).mean(1)
        mean = g.mean(0)
        found.append(noise_scale((g**2).sum(1), g @ mean, float(mean @ mean), 4).variance)
    assert np.mean(found) == pytest.approx(exact, rel=0.03)


def test_a_gradient_lost_in_noise_has_no_number() -> None:
    rng = np.random.default_rng(1)
    g = rng.normal(size=(8, 100))
    mean = g.mean(0)
    found = noise_scale((g**2).sum(1), g @ mean, float(mean @ mean), 4)
    assert found.value == np.inf
    assert 0 < found.low < np.inf


class Busy(nn.Module):
    """Batch norm, dropout, a frozen parameter, one without use."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 3))
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.idle = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.frozen


def busy(make: Any) -> Problem:
    torch.manual_seed(0)
    model = Busy()
    x, y = torch.randn(64, 5), torch.randint(0, 3, (64,))
    data = DataLoader(TensorDataset(x, y), 8, shuffle=True, generator=torch.Generator().manual_seed(3))
    optimizer = make(model.parameters(), lr=0.01)
    for batch in list(data)[:2]:
        optimizer.zero_grad()
        cross_entropy(model, batch).backward()
        optimizer.step()
    return model, cross_entropy, data, optimizer


@pytest.mark.parametrize("make", [torch.optim.Adam, ours.Adam, ours.NAdam], ids=lambda make: f"{make.__module__}.{make.__name__}")
def test_nothing_of_the_owners_moves(make: Any) -> None:
    problem = busy(make)
    before = digest(*problem)
    found = diagnose(problem, steps=40)
    assert digest(*problem) == before
    assert len(found.trials) >= 7
    assert found["dead tensors"] == 1
    assert "idle" in found.row("dead tensors").note()
    lr_range_test(problem, steps=20)
    assert digest(*problem) == before


def test_nothing_moves_either_where_the_loss_raises() -> None:
    model, _, data, optimizer = busy(torch.optim.Adam)
    calls = iter(range(1000))

    def loss(model: nn.Module, batch: Any) -> Tensor:
        random.random()
        np.random.random()  # noqa: NPY002
        torch.rand(1)
        if next(calls) == 21:
            msg = "the owner's own fault"
            raise ValueError(msg)
        return cross_entropy(model, batch)

    before = digest(model, loss, data, optimizer)
    with pytest.raises(ValueError, match="own fault"):
        diagnose((model, loss, data, optimizer))
    assert digest(model, loss, data, optimizer) == before


class Counting(nn.Module):
    """A loss with a state, which normalises the batch that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, model: nn.Module, batch: Any) -> Tensor:
        self.calls += 1
        batch[0].mul_(0.5)
        return F.mse_loss(model(batch[0]), batch[1])


def test_a_loss_with_a_state_and_batches_written_to_stay_as_they_are() -> None:
    torch.manual_seed(0)
    model, loss = nn.Linear(3, 1), Counting()
    data = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(6)]
    before = copy.deepcopy(data)
    found = diagnose((model, loss, data, torch.optim.SGD(model.parameters(), lr=0.1)))
    assert loss.calls == 0
    assert all(
        torch.equal(x, was) for pair, pair_was in zip(data, before, strict=True) for x, was in zip(pair, pair_was, strict=True)
    )
    inputs = torch.cat([x for x, _ in data]) / 2
    columns = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    exact = float(torch.linalg.eigvalsh(2 / len(inputs) * columns.T @ columns)[-1])  # of the batch halved once, each time
    assert found["sharpness"] == pytest.approx(exact, rel=0.01)


class Pair(NamedTuple):
    x: Tensor
    y: Tensor


@pytest.mark.parametrize("make", [torch.optim.Adam, ours.Adam])
@pytest.mark.parametrize("wrap", [tuple, lambda pair: Pair(*pair), lambda pair: {"x": pair[0], "y": pair[1]}])
def test_in_double_precision_all_is_nearly_the_same(make: Any, wrap: Any) -> None:
    torch.manual_seed(0)
    model, ends = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), list[torch.dtype]()
    data = [wrap((torch.randn(8, 3), torch.randn(8, 1))) for _ in range(4)]

    def loss(model: nn.Module, batch: Any) -> Tensor:
        x, y = batch.values() if isinstance(batch, dict) else batch
        ends.append(x.dtype)
        return F.mse_loss(model(x), y)

    problem = model, loss, data, make(model.parameters(), lr=0.1)
    single, double = diagnose(problem), diagnose(problem, precise=True)
    assert {*ends} == {torch.float32, torch.float64}
    for row, other in zip(single.rows, double.rows, strict=True):
        assert row.value == pytest.approx(other.value, rel=2e-3, abs=1e-4, nan_ok=True), row.name
    assert next(model.parameters()).dtype == torch.float32


def test_every_sentence_stands_in_both_languages_with_the_same_facts() -> None:
    english, chinese = texts()["en"], texts()["zh"]
    for kind in ("says", "because", "notes", "page"):
        assert english[kind].keys() == chinese[kind].keys()
        for name, sentence in english[kind].items():
            facts, same = ({part[1] for part in Formatter().parse(each)} for each in (sentence, chinese[kind][name]))
            assert facts - {None} == same - {None}, name
    for problem in (network(), busy(torch.optim.Adam)):
        for row in diagnose(problem).rows:
            assert row.label("zh") != row.name
            assert row.note("zh") != row.note() or row.says == "rule"


def test_errors_hold_what_batches_disagree_on() -> None:
    """Batches of curvature 1 and 3: the mean is 2, and 1 standard error off; equal ones have none."""
    model = Valley([1.0, 0.5])
    loss = lambda model, batch: batch.mean() * (model.a * model.p**2).sum() / 2  # noqa: E731
    for scales, error in (([1.0, 3.0] * 2, 3**-0.5), ([2.0] * 4, 0.0)):
        data = [torch.full((2,), scale, dtype=torch.float64) for scale in scales]
        found = diagnose((model, loss, data, torch.optim.SGD(model.parameters(), lr=0.1)), sweep=False).row("sharpness")
        assert found.value == pytest.approx(2, rel=1e-3)
        assert found.error == pytest.approx(error, abs=1e-2)


def test_the_temperature_is_that_of_the_noise() -> None:
    """T = lr C / (2 (1 - momentum)) with C the variance of a batch's gradient, and n T / 2 of loss."""
    model = Valley([1.0, 1.0])
    loss = lambda model, batch: (model.a * model.p**2).sum() / 2 + (batch.mean(0) * model.p).sum()  # noqa: E731
    noise = torch.randn(400, 8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = diagnose(
        (model, loss, list(noise), torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)), batches=400, sweep=False
    )
    row, lifted = found.row("temperature"), found.row("loss held up by noise")
    assert row.error is not None
    assert row.value == pytest.approx(0.01 / 8 / 0.2, rel=0.1)
    assert abs(row.value - 0.01 / 8 / 0.2) < 4 * row.error
    assert lifted.value == pytest.approx(row.value, rel=1e-6)


def test_the_same_seed_gives_the_same_answer() -> None:
    one, other = (diagnose(busy(torch.optim.Adam)) for _ in range(2))
    assert [(row.name, row.value) for row in one.rows] == [(row.name, row.value) for row in other.rows]
    assert one.suggestion == other.suggestion


def test_the_sweep_turns_at_the_edge_of_a_valley() -> None:
    """Gradient descent diverges above 2 / 8; the sweep needs some steps to show it."""
    found = lr_range_test(valley([8.0, 0.5], lr=1.0), 1e-4, 10.0, 100, 0.9)
    assert found.turned
    assert 0.25 <= found.edge < 4.0
    assert found.valley < found.edge
    assert found.suggestion == pytest.approx(found.edge / 6)
    assert 1e-3 < found.steepest < 0.25


def test_a_sweep_whose_loss_never_falls_suggests_nothing() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    data = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(8)]
    loss = lambda model, batch: F.mse_loss(0 * model(batch[0]), batch[1])  # noqa: E731
    found = lr_range_test((model, loss, data, torch.optim.SGD(model.parameters(), lr=0.1)), 1e-4, 1.0, 60, 0.9)
    assert not found.fell
    assert np.isnan(found.suggestion)


def test_attention_is_differentiated_twice() -> None:
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    data = [torch.randn(4, 6, 8) for _ in range(4)]
    loss = lambda model, x: model(x).square().mean() + model.linear1.weight.square().sum()  # noqa: E731
    found = diagnose((model, loss, data, ours.AdamW(model.parameters(), lr=1e-3)), sweep=False)
    assert "double backward" in found.row("sharpness").note()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, f, d, o: (m, f, d), "a problem is the tuple .* not tuple of 3"),
        (lambda m, f, d, o: {"model": m}, "not dict"),
        (lambda m, f, d, o: (f, f, d, o), "must be a torch.nn.Module"),
        (lambda m, f, d, o: (m, 3, d, o), "must be a function loss"),
        (lambda m, f, d, o: (m, nn.MSELoss(), d, o), "is MSELoss: it must be a function loss"),
        (lambda m, f, d, o: (m, lambda m, x, y: 0, d, o), "must be a function loss"),
        (lambda m, f, d, o: (m, f, 3, o), "must be a DataLoader"),
        (lambda m, f, d, o: (m, f, iter(d), o), "read only once"),
        (lambda m, f, d, o: (m, f, d, m), "must be an optimizer"),
        (lambda m, f, d, o: (m, f, [], o), "hold no batch"),
        (lambda m, f, d, o: (m, f, list(d)[:2], o), "hold 2 batches"),
        (lambda m, f, d, o: (copy.deepcopy(m), f, d, o), "moves no parameter of the model"),
        (lambda m, f, d, o: (m, lambda m, b: f(m, b) * float("nan"), d, o), "the loss of batch 1 is nan"),
        (lambda m, f, d, o: (m, lambda m, b: f(m, b).detach(), d, o), "does not depend on the model's parameters"),
        (lambda m, f, d, o: (m, lambda _, b: m(b[0]), d, o), "must be one number"),
        (lambda m, f, d, o: (m, lambda m, b: f(m, b).item(), d, o), "returned float"),
        (lambda m, f, d, o: (m, f, d, torch.optim.SGD(m.parameters(), lr=0.0)), "the learning rate is 0"),
        (lambda m, f, d, o: (m, lambda _, b: f(copy.deepcopy(m), b) + 0 * f(_, b), d, o), "no gradient reaches any parameter"),
        (lambda m, f, d, o: (m, f, d, torch.optim.LBFGS(m.parameters())), "rule of LBFGS is not known"),
        (lambda m, f, d, o: (m, f, d, torch.optim.SGD(m.parameters(), lr=0.1, maximize=True)), "the optimizer climbs"),
    ],
)
def test_bad_problems_are_told_in_one_line(change: Callable[..., Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as found:
        diagnose(change(*network()))
    assert "\n" not in str(found.value)


def test_wrong_numbers_are_told() -> None:
    with pytest.raises(InputError, match="at least 3"):
        diagnose(network(), batches=2)
    with pytest.raises(InputError, match="take 0 < lo < hi"):
        lr_range_test(network(), lo=1.0, hi=0.1)


def test_gradient_hooks_which_a_copy_does_not_have_are_named() -> None:
    """What is measured is the gradient of the loss; an owner whose hook changes it is told."""
    problem = regression(0, 8, 6)
    assert "hooked" not in dict(diagnose(problem, sweep=False).notes)
    for hook in (lambda p: p.register_hook(lambda g: 10 * g), lambda p: p.register_post_accumulate_grad_hook(lambda p: None)):
        problem = regression(0, 8, 6)
        hook(problem[0].weight)
        found = diagnose(problem, sweep=False)
        assert dict(found.notes)["hooked"] == {"n": 1}
        assert "gradient hooks of 1 parameters are not copied" in str(found)
