"""Rules that look at the gradient's sign alone: every coordinate moves by its own step, however flat or steep.

At a minimum they do not come to rest: with step lr, signSGD ends in a cycle between p and p - lr.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from thalweg.optim.language.fields import choice, const, decay, rate
from thalweg.optim.language.rule import Forms, Rule
from thalweg.optim.language.state import Slots, State, Value
from thalweg.optim.ops import clip, lerp, sign, where


@dataclass(frozen=True)
class SignSGD(Rule):
    """p = p - lr sign g. Source: Bernstein et al. 2018, arXiv 1802.04434."""

    lr: float = rate(0.01)

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        return p - self.lr * sign(g), s


@dataclass(frozen=True)
class Signum(Rule):
    """m = EMA(m, g; momentum); p = p - lr sign m. Source: Bernstein et al. 2018, arXiv 1802.04434, algorithm 2."""

    lr: float = rate(0.01)
    momentum: float = decay(0.9)

    slots = Slots(m=0)

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        m = lerp(s.m, g, 1 - self.momentum)
        return p - self.lr * sign(m), s(m=m)


@dataclass(frozen=True)
class Lion(Rule):
    """p = p - lr sign EMA(m, g; b1), then m = EMA(m, g; b2): the step trusts the newest gradient more than the memory does.

    Its decay is decoupled: p - lr (sign(...) + wd p). Source: Chen et al. 2023, arXiv 2302.06675.
    """

    lr: float = rate(1e-4)
    b1: float = decay(0.9)
    b2: float = decay(0.99)
    _: KW_ONLY
    decay: str = choice("decoupled", "coupled")

    slots = Slots(m=0)
    conventions: ClassVar[Forms] = {"optax": {"wd": 1e-3}, "keras": {"lr": 1e-3}}

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        return p - self.lr * sign(lerp(s.m, g, 1 - self.b1)), s(m=lerp(s.m, g, 1 - self.b2))


@dataclass(frozen=True)
class Rprop(Rule):
    """p = p - size sign g, where size grows while g keeps its sign and shrinks when it turns; after a turn the step is left out.

    size starts at lr and stays between `least` and `most`. For full batches. Source: Riedmiller and Braun 1993, ICNN.
    """

    lr: float = rate(0.01)
    shrink: float = decay(0.5)
    grow: float = const(1.2)
    least: float = const(1e-6)
    most: float = const(50.0)

    slots = Slots(previous=0, size="lr")

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        agreement = g * s.previous
        factor = where(agreement > 0, self.grow, where(agreement < 0, self.shrink, 1))
        size = clip(s.size * factor, self.least, self.most)
        g = where(agreement < 0, 0, g)
        return p - size * sign(g), s(previous=g, size=size)
