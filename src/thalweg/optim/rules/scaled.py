"""Rules that divide the gradient by its own size, so far (AdaGrad) or lately (RMSprop, Adadelta).

Error control for Euler's method: each coordinate gets the step that keeps its displacement near lr. Where a library adds eps
inside the root rather than outside, `eps_at="inside"` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from thalweg.optim.language.fields import choice, const, decay, flag, rate
from thalweg.optim.language.rule import Forms, Rule
from thalweg.optim.language.state import Slots, State, Value
from thalweg.optim.ops import lerp, sqrt
from thalweg.optim.rules.momentum import inertial


@dataclass(frozen=True)
class AdaGrad(Rule):
    """G = G + g^2; p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt G + eps), from G = initial.

    Source: Duchi, Hazan and Singer 2011, JMLR 12.
    """

    lr: float = rate(0.01)
    lr_decay: float = const(0.0, off_at=0)
    initial: float = const(0.0)
    eps: float = const(1e-10)
    _: KW_ONLY
    eps_at: str = choice("outside", "inside")

    slots = Slots(G="initial")
    conventions: ClassVar[Forms] = {
        "optax": {"initial": 0.1, "eps": 1e-7, "eps_at": "inside", "decay": "decoupled"},
        "keras": {"lr": 1e-3, "initial": 0.1, "eps": 1e-7, "eps_at": "inside", "decay": "decoupled"},
    }

    def times(self) -> Mapping[str, float]:
        """A sum over twice as many steps is twice as large, and divides by its root."""
        eps = -1 if self.eps_at == "inside" else -0.5
        return {"lr": 0.5, "s.G": -1, "eps": eps, "lr_decay": 1, "wd": 0.5 if self.decay == "decoupled" else 0}

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        G = s.G + g * g
        lr = self.lr / (1 + (t - 1) * self.lr_decay)
        return p - lr * g / _root(G, self.eps, self.eps_at), s(G=G)


@dataclass(frozen=True)
class RMSprop(Rule):
    """v = EMA(v, g^2; alpha); p = p - lr g / (sqrt v + eps).

    `centered` takes the variance instead of the second moment: v - a^2 with a = EMA(a, g; alpha). With momentum, b = momentum b +
    g / (sqrt v + eps) and p = p - lr b; `lr_in_buffer` keeps the rate inside b, as optax and Keras do.
    Sources: Hinton 2012, Neural Networks for Machine Learning, lecture 6e; centred: Graves 2013, arXiv 1308.0850.
    """

    lr: float = rate(0.01)
    alpha: float = decay(0.99)
    eps: float = const(1e-8)
    momentum: float = decay(0.0, off_at=0)
    _: KW_ONLY
    centered: bool = flag(False)
    eps_at: str = choice("outside", "inside")
    lr_in_buffer: bool = flag(False)

    slots = Slots(v=0, a=0, b=0)
    conventions: ClassVar[Forms] = {
        "optax": {"alpha": 0.9, "eps_at": "inside", "lr_in_buffer": True, "decay": "decoupled"},
        "keras": {"lr": 1e-3, "alpha": 0.9, "eps": 1e-7, "eps_at": "inside", "lr_in_buffer": True, "decay": "decoupled"},
    }

    def times(self) -> Mapping[str, float]:
        return inertial(self, "b", self.lr_in_buffer) if self.momentum else {}

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        v = lerp(s.v, g * g, 1 - self.alpha)
        a = lerp(s.a, g, 1 - self.alpha)
        scaled = g / _root(v - a * a if self.centered else v, self.eps, self.eps_at)
        b = self.momentum * s.b + (self.lr * scaled if self.lr_in_buffer else scaled)
        return p - (b if self.lr_in_buffer else self.lr * b), s(v=v, a=a, b=b)


@dataclass(frozen=True)
class Adadelta(Rule):
    """v = EMA(v, g^2; rho); D = sqrt(d + eps) / sqrt(v + eps) g; d = EMA(d, D^2; rho); p = p - lr D.

    The step has the unit of p: D is as large as the steps before. Source: Zeiler 2012, arXiv 1212.5701.
    """

    lr: float = rate(1.0)
    rho: float = decay(0.9)
    eps: float = const(1e-6)

    slots = Slots(v=0, d=0)
    conventions: ClassVar[Forms] = {
        "optax": {"decay": "decoupled"},
        "keras": {"lr": 1e-3, "rho": 0.95, "eps": 1e-7, "decay": "decoupled"},
    }

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        v = lerp(s.v, g * g, 1 - self.rho)
        D = sqrt(s.d + self.eps) / sqrt(v + self.eps) * g
        d = lerp(s.d, D * D, 1 - self.rho)
        return p - self.lr * D, s(v=v, d=d)


def _root(x: Value, eps: Value, eps_at: str) -> Value:
    return sqrt(x + eps) if eps_at == "inside" else sqrt(x) + eps
