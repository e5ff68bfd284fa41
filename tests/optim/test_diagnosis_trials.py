"""Trial runs: what each of them is, which go on, and what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

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
    assert sum(len(each.losses) for each in found) == trials.cost(64)


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


def test_all_trials_see_the_same_batches_and_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven times the same rate, with dropout and a shuffling loader: seven times the same losses; another seed, others."""
    monkeypatch.setattr(trials, "FACTORS", (1.0,) * 7)
    found = run(regression(dropout=0.5), 0.05, 40)
    assert all(each.losses == found[0].losses[: len(each.losses)] for each in found)
    assert run(regression(dropout=0.5), 0.05, 40, seed=1)[0].losses != found[0].losses


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
    assert diagnose((model, loss, data, torch.optim.SGD(model.parameters(), lr=0.1))).suggestion is not None


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
