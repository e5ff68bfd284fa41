"""Rules with the plain gradient: down it, with a memory of it, or with the memory's look ahead.

On 1/2 lambda p^2, where lambda is a curvature (an eigenvalue of the Hessian), each is a linear recursion; the rate at which it
leaves the unit circle stands with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from thalweg.optim.language.fields import choice, decay, rate
from thalweg.optim.language.rule import Forms, Rule
from thalweg.optim.language.state import Slots, State, Value
from thalweg.optim.ops import lerp


def inertial(rule: Rule, buffer: str, lr_in_buffer: bool) -> dict[str, float]:
    """Times of a rule whose buffer adds up forces: lr = h^2 is the square of a step, the buffer a velocity (or one over lr)."""
    return {"lr": 2, f"s.{buffer}": 1 if lr_in_buffer else -1, "wd": -1 if rule.decay == "decoupled" else 0}


@dataclass(frozen=True)
class SGD(Rule):
    """Gradient descent: p = p - lr g.

    Euler's method with step lr for dp/dt = -grad L. On 1/2 lambda p^2 it gives p_t = (1 - lr lambda)^t p_0: stable iff
    lr < 2/lambda. Default as torch.optim.SGD. Source: Robbins and Monro 1951, doi 10.1214/aoms/1177729586.
    """

    lr: float = rate(1e-3)

    conventions: ClassVar[Forms] = {"keras": {"lr": 0.01, "decay": "decoupled"}}

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        return p - self.lr * g, s


@dataclass(frozen=True)
class HeavyBall(Rule):
    """Momentum: m = momentum m + (1 - dampening) g, where the first m is g whatever the dampening; p = p - lr m.

    A ball with friction: steps of h = sqrt lr through p'' + (1 - momentum)/h p' = -grad L. On 1/2 lambda p^2 stable iff
    lr < 2 (1 + momentum) / ((1 - dampening) lambda). Form and defaults are torch.optim.SGD's (which ignores dampening when
    momentum is 0), but for momentum 0.9, the custom of the field. Source: Polyak 1964, doi 10.1016/0041-5553(64)90137-5.

    convention="keras" keeps the rate inside the buffer, m = momentum m - lr g, p = p + m: the same path while lr is constant, but
    a new lr reaches only new gradients. convention="ema" averages, m = EMA(m, g; momentum): "torch" with lr (1 - momentum).
    """

    lr: float = rate(1e-3)
    momentum: float = decay(0.9)
    dampening: float = decay(0.0, off_at=0)
    _: KW_ONLY
    convention: str = choice("torch", "keras", "ema")

    slots = Slots(m=0)
    conventions: ClassVar[Forms] = {"keras": {"lr": 0.01, "convention": "keras", "decay": "decoupled"}}

    def times(self) -> Mapping[str, float]:
        return {"dampening": 0} if self.convention == "ema" else {**inertial(self, "m", self.convention == "keras"), "dampening": 0}

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        if self.convention == "keras":
            m = self.momentum * s.m - self.lr * g
            return p + m, s(m=m)
        if self.convention == "ema":
            m = lerp(s.m, g, 1 - self.momentum)
        else:
            m = self.momentum * s.m + (1 - self.dampening * (t > 1)) * g
        return p - self.lr * m, s(m=m)


@dataclass(frozen=True)
class Nesterov(Rule):
    """Momentum with a look ahead: m = momentum m + g; p = p - lr (g + momentum m).

    The force is that of the point which the momentum is about to reach; p holds that point. On 1/2 lambda p^2 stable iff
    lr < 2 (1 + momentum) / ((1 + 2 momentum) lambda). convention="keras" keeps the rate inside the buffer, as in HeavyBall.
    Sources: Nesterov 1983, Soviet Mathematics Doklady 27; in this form Sutskever et al. 2013, ICML, section 2.
    """

    lr: float = rate(1e-3)
    momentum: float = decay(0.9)
    _: KW_ONLY
    convention: str = choice("torch", "keras")

    slots = Slots(m=0)
    conventions: ClassVar[Forms] = {"keras": {"lr": 0.01, "convention": "keras", "decay": "decoupled"}}

    def times(self) -> Mapping[str, float]:
        return inertial(self, "m", self.convention == "keras")

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        if self.convention == "keras":
            m = self.momentum * s.m - self.lr * g
            return p + self.momentum * m - self.lr * g, s(m=m)
        m = self.momentum * s.m + g
        return p - self.lr * (g + self.momentum * m), s(m=m)
