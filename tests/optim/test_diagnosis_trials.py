"""Trial runs: what each of them is, which go on, and what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from thalweg import optim
from thalweg.errors import InputError
from thalweg.optim import torch as ours
from thalweg.optim.diagnosis import Trial, copied, diagnose, trials
from thalweg.optim.diagnosis.problem import endless

pytestmark = pytest.mark.usefixtures("one_thread")


def squared(model: nn.Module, batch: Any) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def regression(make: Callable[..., torch.optim.Optimizer] = torch.optim.SGD, dropout: float = 0.0, **options: Any) -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1))
    x = torch.randn(96, 4)
    data = DataLoader(TensorDataset(x, x.sin().sum(1, keepdim=True)), 16, shuffle=True, generator=torch.Generator().manual_seed(1))
    return model, squared, data, make(model.parameters(), **({"lr": 0.1} | options))


def run(problem: Any, centre: float, steps: int, seed: int = 0) -> list[Trial]:
    with copied(problem, 1, seed) as one:
        return trials.tried(one, centre, steps)


def test_a_quarter_and_a_half_of_the_way_the_worse_ones_stop() -> None:
    found = run(regression(), 0.1, 64)
    assert sorted(each.lr for each in found) == pytest.approx([0.1 * 2.0**k for k in range(-4, 3)])
    assert [len(each.losses) for each in found] == [64, 64, 32, 32, 16, 16, 16]
    assert [each.score for each in found[:2]] == sorted(each.score for each in found[:2])
    assert sum(len(each.losses) for each in found) <= trials.cost(64)


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, ours.Adam, ours.NAdam])
def test_a_trial_is_the_owners_own_run_at_that_rate(make: Any) -> None:
    model, loss, data, optimizer = regression(make, lr=0.02)
    batches = list(data)
    best = run((model, loss, batches, optimizer), 0.02, 32)[0]
    optimizer.param_groups[0]["lr"] = best.lr
    for k, seen in enumerate(best.losses):
        value = loss(model, batches[k % len(batches)])
        assert value.item() == seen
        optimizer.zero_grad()
        value.backward()
        optimizer.step()


def test_all_trials_see_the_same_batches_and_masks() -> None:
    """Seven times the same rate, with dropout and a shuffling loader: seven times the same losses; another seed, others."""
    found = []
    for seed in (0, 1):
        with copied(regression(dropout=0.5), 1, seed) as one:
            found.append(trials._side_by_side(one, [0.05] * 7, 40, lambda _: None))
    assert all(each.losses == found[0][0].losses[: len(each.losses)] for each in found[0])
    assert found[1][0].losses != found[0][0].losses


def test_the_present_rate_is_tried_and_the_range_goes_on_where_the_best_is_at_its_end() -> None:
    found = run(regression(lr=0.37), 1e-4, 40)
    assert 0.37 in [each.lr for each in found]
    low = run(regression(lr=1e-4), 1e-4, 40)
    assert max(each.lr for each in low) == pytest.approx(4e-4 * 8)
    assert low[0].lr > 4e-4
    high = run(regression(lr=1e3), 1e3, 40)
    assert min(each.lr for each in high) == pytest.approx(1e3 / 16 / 8)


def test_runs_beyond_an_end_see_the_same_batches() -> None:
    """The lowest rates hardly move: their first losses are those of the same batches."""
    found = run(regression(lr=1e-9), 1e-9, 40)
    assert len(found) == 10
    first = found[0].losses[:10]
    assert all(each.losses[:10] == pytest.approx(first, rel=1e-5) for each in found)


def test_runs_that_noise_cannot_tell_apart_go_on_together() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=40)
    runs = [Trial(1.0, list(noise + shift + 0.1 * rng.normal(size=40))) for shift in (0, 0.01, 0.02, 0.03, 0.04, 1, 2)]
    assert trials._going_on(runs, 2) == 4  # two more at the most
    assert trials._going_on(runs, 5) == 5
    apart, error = runs[5].behind(runs[0])
    assert apart == pytest.approx(1, abs=0.2)
    assert error < 0.1


def test_groups_keep_the_ratio_of_their_rates() -> None:
    model = nn.ParameterList([nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))])
    loss = lambda model, batch: model[0].sum() + model[1].sum() + 0 * batch.sum()  # noqa: E731
    optimizer = torch.optim.SGD([{"params": [model[0]], "lr": 0.3}, {"params": [model[1]], "lr": 0.1}])
    with copied((model, loss, [torch.zeros(1)], optimizer), 1) as one:
        one.set_rate(0.6)
        one.step(torch.zeros(1))
        assert [p.item() for p in one.parameters] == pytest.approx([1 - 0.6, 1 - 0.2])
    assert [group["lr"] for group in optimizer.param_groups] == [0.3, 0.1]


def test_the_suggestion_is_the_best_trial_and_better_than_what_was_given() -> None:
    problem = regression(lr=1e-4)
    found = diagnose(problem, steps=120)
    assert found.reason() == "the best of the trial runs"
    assert found.suggestion == found.trials[0].lr

    def after(lr: float) -> float:
        model, loss, data, optimizer = regression(lr=lr)
        losses = []
        for _, batch in zip(range(120), endless(data), strict=False):
            optimizer.zero_grad()
            value = loss(model, batch)
            value.backward()
            optimizer.step()
            losses.append(value.item())
        return sum(losses[-24:])

    assert after(found.suggestion) < 0.5 * after(1e-4)
    without = diagnose(problem, steps=0)
    assert without.trials == []
    assert without.suggestion == pytest.approx(max(each.lr for each in found.trials) / 4)


def test_a_rule_of_several_gradients_can_be_tried() -> None:
    heun = lambda params, lr: ours.Optimizer(params, optim.Heun(lr=lr))  # noqa: E731
    best = run(regression(heun), 0.1, 40)[0]
    assert best.score < best.losses[0] / 2


def test_runs_that_blow_up_are_dropped_also_where_the_loss_then_raises() -> None:
    """Binary cross entropy refuses probabilities that are not numbers."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())
    x = torch.randn(64, 3)
    data = list(zip(x.split(8), (x.sum(1, keepdim=True) > 0).float().split(8), strict=True))

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.binary_cross_entropy(model(batch[0]), batch[1]) + model[0].weight.square().sum()  # type: ignore[index, operator]

    found = run((model, loss, data, torch.optim.SGD(model.parameters(), lr=0.1)), 2.0, 160)
    assert math.isfinite(found[0].score)
    assert found[-1].score == math.inf
    assert found[-1].losses[-1] == math.inf
    for lr in (0.1, 1e30):
        assert diagnose((model, loss, data, torch.optim.SGD(model.parameters(), lr=lr))).suggestion is not None


def test_a_loss_that_fails_on_its_own_is_told() -> None:
    model, _, data, optimizer = regression()
    calls = iter(range(10_000))

    def loss(model: nn.Module, batch: Any) -> Tensor:
        if next(calls) == 100:
            msg = "the owner's own fault"
            raise ValueError(msg)
        return squared(model, batch)

    with pytest.raises(ValueError, match="own fault"):
        run((model, loss, data, optimizer), 0.1, 160)


def test_where_nothing_falls_trials_suggest_nothing() -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(3, 1), torch.randn(8, 3)
    loss = lambda model, batch: 1 + model(batch).square().mean()  # noqa: E731
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
    model.weight.data[0, 0] = 1e-9
    found = diagnose((model, loss, [x] * 4, torch.optim.SGD(model.parameters(), lr=0.1)))
    assert found.reason() != "the best of the trial runs"
    assert any("no trial run lowered the loss" in note for note in found.told())


def test_data_that_can_be_read_once_end() -> None:
    class Once:
        def __init__(self) -> None:
            self.left = iter([1, 2, 3])

        def __iter__(self) -> Iterator[int]:
            return self.left

    assert list(endless(Once())) == [1, 2, 3]


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(InputError, match="from 32 steps on"):
        diagnose(regression(), steps=31)


@pytest.mark.parametrize("wrap", [False, True])
def test_parameters_outside_of_the_model_are_measured_or_refused(wrap: bool) -> None:
    """Those of a loss that is a module are copied with it; a closure would go on using the owner's."""
    torch.manual_seed(0)
    model, scale = nn.Linear(3, 1), nn.Linear(1, 1)
    data = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(4)]

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = scale

        def forward(self, model: nn.Module, batch: Any) -> Tensor:
            return F.mse_loss(self.scale(model(batch[0])), batch[1])

    loss = Scaled() if wrap else lambda model, batch: F.mse_loss(scale(model(batch[0])), batch[1])
    optimizer = torch.optim.SGD([*model.parameters(), *scale.parameters()], lr=0.01)
    if wrap:
        assert diagnose((model, loss, data, optimizer))["dead tensors"] == 0
    else:
        with pytest.raises(InputError, match="outside of the model that the loss does not reach in a copy"):
            diagnose((model, loss, data, optimizer))
    assert all(p.grad is None for p in [*model.parameters(), *scale.parameters()])


def test_what_the_loss_reaches_of_the_owners_gets_no_gradient() -> None:
    model, other = nn.Linear(3, 1), nn.Linear(3, 1)
    loss = lambda model, batch: (model(batch) - other(batch)).square().mean()  # noqa: E731
    data = list(torch.randn(4, 8, 3))
    diagnose((model, loss, data, torch.optim.SGD(model.parameters(), lr=0.1)))
    assert other.weight.grad is None


def test_in_the_middle_of_a_run_no_rate_is_suggested() -> None:
    model, loss, data, optimizer = regression(torch.optim.Adam)
    for _, batch in zip(range(30), endless(data), strict=False):
        optimizer.zero_grad()
        loss(model, batch).backward()
        optimizer.step()
    found = diagnose((model, loss, data, optimizer))
    assert found.suggestion is None
    assert found.trials == []
    assert any("has taken steps" in note for note in found.told())
    assert diagnose((model, loss, data, optimizer), steps=40).suggestion is not None


def test_a_scheduler_is_named() -> None:
    model, loss, data, optimizer = regression(lr=0.1)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 0.01)
    found = diagnose((model, loss, data, optimizer), steps=0)
    assert found["learning rate"] == pytest.approx(0.001)
    assert any("set the rate to 0.001 of 0.1" in note for note in found.told())


def test_a_diagnosis_prints_as_a_table_and_names_its_rows() -> None:
    found = diagnose(regression(), steps=40)
    lines = str(found).splitlines()
    assert len([line for line in lines if "+-" in line]) >= 8
    assert any(line.startswith("a rate to begin with") for line in lines)
    with pytest.raises(KeyError, match="there is no row 'rate'; there are learning rate, loss"):
        found["rate"]


def test_a_sparse_embedding_is_measured() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 4, sparse=True), nn.Flatten(), nn.Linear(12, 1))
    data = [(torch.randint(0, 50, (16, 3)), torch.randn(16, 1)) for _ in range(6)]
    dense = nn.Sequential(nn.Embedding(50, 4), nn.Flatten(), nn.Linear(12, 1))
    dense.load_state_dict(model.state_dict())
    found, same = (diagnose((each, squared, data, torch.optim.SGD(each.parameters(), lr=0.1)), steps=40) for each in (model, dense))
    assert found["sharpness"] == pytest.approx(same["sharpness"], rel=0.01)
    assert found.trials[0].losses == pytest.approx(same.trials[0].losses, rel=1e-4)


def test_a_backward_that_passes_for_twice_differentiable_is_found_out() -> None:
    """Its own part of the second derivative is lost, where another layer still has one."""

    class Cubed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return g * 3 * x.detach() ** 2

    torch.manual_seed(0)
    model, honest = nn.Linear(3, 1), nn.Linear(3, 1)
    honest.load_state_dict(model.state_dict())
    data = [(2 * torch.randn(32, 3), torch.zeros(32, 1)) for _ in range(4)]
    lost = lambda model, batch: F.mse_loss(Cubed.apply(model(batch[0])), batch[1])  # noqa: E731
    true = lambda model, batch: F.mse_loss(model(batch[0]) ** 3, batch[1])  # noqa: E731
    found = diagnose((model, lost, data, torch.optim.SGD(model.parameters(), lr=0.01)), steps=0)
    right = diagnose((honest, true, data, torch.optim.SGD(honest.parameters(), lr=0.01)), steps=0)
    assert found["sharpness"] == pytest.approx(right["sharpness"], rel=0.01)
    assert "differences of gradients" in found.row("sharpness").note()
    assert "double backward" in right.row("sharpness").note()


@pytest.mark.parametrize("seed", range(3))
def test_kinks_raise_no_alarm(seed: int) -> None:
    """Differences of gradients across the corner of a ReLU are no second derivative."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    data = [(torch.randn(64, 8), torch.randn(64, 1)) for _ in range(4)]
    found = diagnose((model, squared, data, torch.optim.SGD(model.parameters(), lr=0.01)), steps=0, sweep=False)
    assert "double backward" in found.row("sharpness").note()


def test_a_page_is_drawn_also_of_trials_that_all_blew_up_and_of_losses_below_0() -> None:
    from thalweg.optim.diagnosis.page import race

    for losses in ([2.0, math.inf], [math.inf], [-1.0] * 40, [0.0] * 40):
        assert "<svg" in str(race([Trial(0.1, losses), Trial(0.2, losses)]).content)
