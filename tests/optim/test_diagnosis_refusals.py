"""What a diagnosis leaves as it was although it reads it, and what it refuses before it has touched anything."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, Sampler, TensorDataset

from thalweg.errors import InputError
from thalweg.optim.diagnosis import diagnose, lr_range_test
from thalweg.optim.diagnosis.reading import generators, state_of

pytestmark = pytest.mark.usefixtures("one_thread")
X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
DATA = TensorDataset(X, X.sum(1, keepdim=True))


def loss(model: nn.Module, batch: Any) -> Any:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def problem(data: Any, make: Callable[..., Any] = torch.optim.Adam) -> tuple[Any, ...]:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    return model, loss, data, make(model.parameters(), lr=0.01)


class Shuffled(Sampler[int]):
    """A sampler with a generator of NumPy's, in a dictionary, or of Python's."""

    def __init__(self, kind: str) -> None:
        self.held = {"rng": np.random.default_rng(3) if kind == "numpy" else random.Random(3)}

    def __iter__(self) -> Iterator[int]:
        return iter([int(64 * self.held["rng"].random()) for _ in range(64)])

    def __len__(self) -> int:
        return 64


def own() -> torch.Generator:
    return torch.Generator().manual_seed(3)


LOADERS: dict[str, Callable[[], Any]] = {
    "a sampler's": lambda: DataLoader(DATA, 8, sampler=RandomSampler(DATA, generator=own())),
    "a batch sampler's sampler's": lambda: DataLoader(
        DATA, batch_sampler=BatchSampler(RandomSampler(DATA, generator=own()), 8, True)
    ),
    "one of NumPy": lambda: DataLoader(DATA, 8, sampler=Shuffled("numpy")),
    "one of Python": lambda: DataLoader(DATA, 8, sampler=Shuffled("python")),
}


@pytest.mark.parametrize("whose", LOADERS)
def test_a_generator_below_the_loader_is_put_back(whose: str) -> None:
    """The owner's next epoch is the one that it would have been."""
    data = LOADERS[whose]()
    assert len(generators(data)) == 1
    before = repr(state_of(generators(data)[0]))
    diagnose(problem(data), steps=0)
    lr_range_test(problem(data), steps=20)
    assert repr(state_of(generators(data)[0])) == before
    assert [x.tolist() for x, _ in data] == [x.tolist() for x, _ in LOADERS[whose]()]


class Stream(IterableDataset[Any]):
    """A data set that reads from what can be read once."""

    def __init__(self) -> None:
        self.source = zip(X, X.sum(1, keepdim=True), strict=True)

    def __iter__(self) -> Iterator[Any]:
        return self.source


class Batches:
    """An iterable of one's own whose passes are all one."""

    def __init__(self) -> None:
        self.source = iter([(X[:8], X[:8].sum(1, keepdim=True))] * 8)

    def __iter__(self) -> Iterator[Any]:
        return self.source


@pytest.mark.parametrize("ask", [lambda p: diagnose(p, steps=0), lr_range_test], ids=["diagnose", "lr_range_test"])
@pytest.mark.parametrize("make", [lambda: DataLoader(Stream(), 8), Batches], ids=["loader", "own"])
def test_a_stream_that_can_be_read_once_is_refused_before_it_is_read(make: Callable[[], Any], ask: Callable[..., Any]) -> None:
    data = make()
    with pytest.raises(InputError, match=r"can be read only once .* give a DataLoader or a list of batches") as error:
        ask(problem(data))
    assert "\n" not in str(error.value)
    assert len(list(data)) == 8


class AdamW(torch.optim.Optimizer):
    """Of another library, called as one of torch's: it counts its steps, and would rather not be stepped."""

    steps = 0

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:
        AdamW.steps += 1


class OwnAdam(torch.optim.Adam):
    """A subclass may do anything."""


@pytest.mark.parametrize("make", [AdamW, OwnAdam])
def test_an_optimizer_of_another_library_is_refused_before_a_copy_of_it_takes_a_step(make: Any) -> None:
    """heavyball.AdamW and schedulefree's go by names of torch's and do something else."""
    with pytest.raises(InputError, match=rf"the rule of \w+\.{make.__name__} is not known: take one of torch.optim") as error:
        diagnose(problem(DataLoader(DATA, 8), make))
    assert "\n" not in str(error.value)
    assert AdamW.steps == 0


def test_complex_weights_are_refused_in_one_line() -> None:
    model = nn.Linear(3, 1, dtype=torch.complex64)

    def size(model: nn.Module, batch: Any) -> Any:
        return model(batch[0].to(torch.complex64)).abs().pow(2).mean()

    with pytest.raises(InputError, match="moves complex parameters") as error:
        diagnose((model, size, DataLoader(DATA, 8), torch.optim.Adam(model.parameters())))
    assert "\n" not in str(error.value)
