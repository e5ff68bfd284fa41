"""Rules whose step is as long as the tensor that it moves: for large batches, where one rate does not suit all layers.

|x| is the Euclidean norm of a tensor. A ratio of norms counts as 1 where either is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from thalweg.optim.language.fields import choice, const, decay, rate
from thalweg.optim.language.rule import Forms, Rule
from thalweg.optim.language.state import Slots, State, Value
from thalweg.optim.ops import lerp, norm, sqrt, where
from thalweg.optim.rules.momentum import inertial


@dataclass(frozen=True)
class LARS(Rule):
    """m = momentum m + lr q (g + wd p); p = p - m, with q = trust |p| / (|g| + wd |p| + eps).

    ratio="joint" has |g + wd p| in the denominator, as optax. Source: You, Gitman and Ginsburg 2017, arXiv 1708.03888.
    """

    lr: float = rate(0.1)
    momentum: float = decay(0.9)
    trust: float = const(1e-3)
    eps: float = const(0.0, off_at=0)
    _: KW_ONLY
    ratio: str = choice("separate", "joint")

    slots = Slots(m=0)
    conventions: ClassVar[Forms] = {"optax": {"ratio": "joint"}}

    def times(self) -> Mapping[str, float]:
        return inertial(self, "m", lr_in_buffer=True)

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        length, slope = norm(p), norm(g)
        coupled = self.wd if self.decay == "coupled" else 0
        p, g = self.decayed(p, g)
        size = norm(g) if self.ratio == "joint" else slope + coupled * length
        exists = (length > 0) & (slope > 0)
        q = where(exists, self.trust * length / where(exists, size + self.eps, 1), 1)
        m = self.momentum * s.m + self.lr * q * g
        return p - m, s(m=m)


@dataclass(frozen=True)
class LAMB(Rule):
    """u = m^ / (sqrt v^ + eps) + wd p with Adam's m^ and v^; p = p - lr |p| / |u| u.

    Decoupled decay stands inside u. Source: You et al. 2019, arXiv 1904.00962.
    """

    lr: float = rate(1e-3)
    b1: float = decay(0.9)
    b2: float = decay(0.999)
    eps: float = const(1e-6)
    _: KW_ONLY
    decay: str = choice("decoupled", "coupled")

    slots = Slots(m=0, v=0)

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        coupled = self.decay == "coupled"
        g = g + self.wd * p if coupled else g
        m = lerp(s.m, g, 1 - self.b1)
        v = lerp(s.v, g * g, 1 - self.b2)
        u = m / (1 - self.b1**t) / (sqrt(v) / sqrt(1 - self.b2**t) + self.eps)
        u = u if coupled else u + self.wd * p
        length, step = norm(p), norm(u)
        exists = (length > 0) & (step > 0)
        return p - self.lr * where(exists, length / where(exists, step, 1), 1) * u, s(m=m, v=v)
