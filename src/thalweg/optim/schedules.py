"""Schedules: what a learning rate is multiplied by, as a function of the number k = 0, 1, ... of steps that are done.

    chain(schedule(warmup(1000) * cosine(100_000)), AdamW(lr=3e-4))

They are written in the language of rules, so a schedule is a part of the rule's program, computed in float64 on the host. Any
function of k in that language will do in their place. Beyond its last step a schedule keeps its last value. k counts the steps of
the optimizer, on every face: one clock for all tensors.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

from thalweg.errors import RuleError
from thalweg.optim import ops
from thalweg.optim.language.state import Value

__all__ = ["constant", "cosine", "exp", "linear", "one_cycle", "poly", "step", "untuned_warmup", "warmup", "wsd"]

COUNTS = ("steps", "every", "warm", "decay")  # fields that are whole numbers of steps


@dataclass(frozen=True)
class Schedule(ABC):
    """A factor for each number of steps done. Two of them multiply: warmup(100) * cosine(1000). RuleError for faulty numbers."""

    @abstractmethod
    def __call__(self, k: Value) -> Value:
        """The factor of the step after k others."""

    def __mul__(self, other: Schedule) -> Schedule:
        return product(self, other)

    def __post_init__(self) -> None:
        for each in fields(self):
            value: Any = getattr(self, each.name)
            least = 0 if each.name in ("warm", "decay") else 1
            if each.name in COUNTS and not (isinstance(value, int) and value >= least):
                msg = f"{type(self).__name__}: {each.name}={value!r} is not a whole number of {least} or more"
                raise RuleError(msg)
            if not isinstance(value, Schedule) and not (isinstance(value, int | float) and 0 <= value < math.inf):
                msg = f"{type(self).__name__}: {each.name}={value!r} is not a finite number of at least 0"
                raise RuleError(msg)


@dataclass(frozen=True)
class product(Schedule):
    """Two schedules, multiplied."""

    first: Schedule
    second: Schedule

    def __call__(self, k: Value) -> Value:
        return self.first(k) * self.second(k)

    def __repr__(self) -> str:
        return f"{self.first!r} * {self.second!r}"


@dataclass(frozen=True)
class constant(Schedule):
    """Always the same factor."""

    value: float = 1.0

    def __call__(self, k: Value) -> Value:
        return self.value + 0 * k


@dataclass(frozen=True)
class linear(Schedule):
    """From `start` to `end` in equal parts: start + (end - start) k / steps."""

    steps: int
    start: float = 1.0
    end: float = 0.0

    def __call__(self, k: Value) -> Value:
        return self.start + (self.end - self.start) * _part(k, self.steps)


@dataclass(frozen=True)
class cosine(Schedule):
    """Half a cosine from 1 to `end`: end + (1 - end) (1 + cos(pi k / steps)) / 2. Loshchilov and Hutter 2016, arXiv 1608.03983."""

    steps: int
    end: float = 0.0

    def __call__(self, k: Value) -> Value:
        return _half_cosine(1, self.end, _part(k, self.steps))


@dataclass(frozen=True)
class poly(Schedule):
    """A power of what is left: end + (1 - end) (1 - k / steps)^power."""

    steps: int
    power: float = 1.0
    end: float = 0.0

    def __call__(self, k: Value) -> Value:
        return self.end + (1 - self.end) * (1 - _part(k, self.steps)) ** self.power


@dataclass(frozen=True)
class exp(Schedule):
    """A constant factor for every step: factor^k."""

    factor: float

    def __call__(self, k: Value) -> Value:
        return self.factor**k


@dataclass(frozen=True)
class step(Schedule):
    """Stairs: factor^floor(k / every)."""

    every: int
    factor: float = 0.1

    def __call__(self, k: Value) -> Value:
        return self.factor ** ops.floor(k / self.every)


@dataclass(frozen=True)
class one_cycle(Schedule):
    """Up from `start` to 1 in the first `rise` of the steps and down to `end`, both as half a cosine; as torch's OneCycleLR.

    Source: Smith and Topin 2017, arXiv 1708.07120.
    """

    steps: int
    rise: float = 0.3
    start: float = 1 / 25
    end: float = 1 / 25e4

    def __call__(self, k: Value) -> Value:
        last, top = self.steps - 1, self.rise * self.steps - 1
        k = ops.minimum(k, last)
        up = _half_cosine(self.start, 1, _part(k, top)) if top > 0 else 1 + 0 * k  # no way up: it starts at the top
        down = _half_cosine(1, self.end, ops.maximum(_part(k - top, last - top), 0)) if top < last else 1 + 0 * k
        return ops.where(k <= top, up, down)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rise > 1:
            msg = f"one_cycle: rise={self.rise!r} is the part of the steps on which it goes up, a number in [0, 1]"
            raise RuleError(msg)


@dataclass(frozen=True)
class wsd(Schedule):
    """Up in `warm` steps, then 1, then down to 0 linearly in the last `decay` of the steps. Hu et al. 2024, arXiv 2404.06395."""

    steps: int
    warm: int
    decay: int

    def __call__(self, k: Value) -> Value:
        return warmup(self.warm)(k) * ops.clip((self.steps - k) / max(self.decay, 1), 0, 1)


@dataclass(frozen=True)
class warmup(Schedule):
    """Up to 1 in equal parts: min(1, (k + 1) / warm)."""

    warm: int

    def __call__(self, k: Value) -> Value:
        return ops.minimum((k + 1) / max(self.warm, 1), 1)


@dataclass(frozen=True)
class untuned_warmup(Schedule):
    """The warm-up that Adam needs, by its own memory: min(1, (k + 1) (1 - b2) / 2). Ma and Yarats 2019, arXiv 1910.04209."""

    b2: float = 0.999

    def __call__(self, k: Value) -> Value:
        return ops.minimum((k + 1) * (1 - self.b2) / 2, 1)


def _part(k: Value, steps: float) -> Value:
    """How much of the steps is done, at most 1."""
    return ops.minimum(k / steps, 1)


def _half_cosine(start: float, end: float, part: Value) -> Value:
    return end + (start - end) * (1 + ops.cos(math.pi * part)) / 2
