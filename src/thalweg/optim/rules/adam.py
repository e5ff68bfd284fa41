"""Adam and its family: a moving average m of the gradient, over the root of one of its square, v.

Both start from 0 and are corrected for it: m / (1 - b1^t) and v / (1 - b2^t) are averages whose weights sum to 1. In the formulas
a hat, as in v^, means so corrected.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from thalweg.optim.language.fields import choice, const, decay, rate
from thalweg.optim.language.rule import Forms, Rule
from thalweg.optim.language.state import Slots, State, Value
from thalweg.optim.ops import abs, lerp, maximum, sign, sqrt, where


@dataclass(frozen=True)
class Adam(Rule):
    """m = EMA(m, g; b1); v = EMA(v, g^2; b2); p = p - lr m^ / (sqrt v^ + eps).

    eps_at="uncorrected" adds eps to sqrt v before its correction (Keras; the paper's "eps hat"). amsgrad="before" divides by the
    largest v so far, "after" by the largest v^.
    Sources: Kingma and Ba 2014, arXiv 1412.6980; AMSGrad: Reddi, Kale and Kumar 2018, arXiv 1904.09237.
    """

    lr: float = rate(1e-3)
    b1: float = decay(0.9)
    b2: float = decay(0.999)
    eps: float = const(1e-8)
    _: KW_ONLY
    eps_at: str = choice("corrected", "uncorrected")
    amsgrad: str = choice("off", "before", "after")

    slots = Slots(m=0, v=0, V=0)
    conventions: ClassVar[Forms] = {
        "optax": {"decay": "decoupled"},
        "keras": {"eps": 1e-7, "eps_at": "uncorrected", "decay": "decoupled"},
    }

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        m = lerp(s.m, g, 1 - self.b1)
        v = lerp(s.v, g * g, 1 - self.b2)
        c1, c2 = 1 - self.b1**t, 1 - self.b2**t
        V = maximum(s.V, v / c2 if self.amsgrad == "after" else v)
        root = sqrt(v if self.amsgrad == "off" else V)
        correction = 1 if self.amsgrad == "after" else sqrt(c2)
        if self.eps_at == "uncorrected":
            return p - self.lr * correction / c1 * m / (root + self.eps), s(m=m, v=v, V=V)
        return p - self.lr / c1 * m / (root / correction + self.eps), s(m=m, v=v, V=V)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: p = (1 - lr wd) p before the step. Loshchilov and Hutter 2017, arXiv 1711.05101."""

    _: KW_ONLY
    wd: float = const(0.01, off_at=0)
    decay: str = choice("decoupled", "coupled")

    conventions: ClassVar[Forms] = {"optax": {"wd": 1e-4}, "keras": {"eps": 1e-7, "eps_at": "uncorrected", "wd": 0.004}}


@dataclass(frozen=True)
class NAdam(Rule):
    """Adam with Nesterov's look ahead: p = p - lr ((1 - u_t) g / (1 - P_t) + u_{t+1} m / (1 - P_{t+1})) / (sqrt v^ + eps).

    u_t = b1 (1 - 0.96^(t psi) / 2) is the momentum's schedule and P_t the product of u_1 ... u_t; schedule="none" has u_t = b1.
    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam", ICLR workshop.
    """

    lr: float = rate(2e-3)
    b1: float = decay(0.9)
    b2: float = decay(0.999)
    eps: float = const(1e-8)
    psi: float = const(0.004)
    _: KW_ONLY
    schedule: str = choice("dozat", "none")

    slots = Slots(m=0, v=0)
    scalars = Slots(P=1)
    conventions: ClassVar[Forms] = {
        "optax": {"lr": 1e-3, "schedule": "none", "decay": "decoupled"},
        "keras": {"lr": 1e-3, "eps": 1e-7, "psi": 1.0, "decay": "decoupled"},
    }

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        m = lerp(s.m, g, 1 - self.b1)
        v = lerp(s.v, g * g, 1 - self.b2)
        now, soon = (self.b1 * (1 if self.schedule == "none" else 1 - 0.5 * 0.96 ** (k * self.psi)) for k in (t, t + 1))
        P = s.P * now
        ahead = (1 - now) / (1 - P) * g + soon / (1 - P * soon) * m
        return p - self.lr * ahead / (sqrt(v) / sqrt(1 - self.b2**t) + self.eps), s(m=m, v=v, P=P)


@dataclass(frozen=True)
class RAdam(Rule):
    """Adam that waits for its v: p = p - lr m^ r / (sqrt v^ + eps) where the variance of 1/sqrt v^ exists, else p - lr m^.

    With n = 2/(1 - b2) - 1 and n_t = n - 2 t b2^t / (1 - b2^t), the length of the average so far: it exists for n_t >
    threshold, and r^2 = (n_t - 4)(n_t - 2) n / ((n - 4)(n - 2) n_t). torch adds eps to sqrt v before its correction, optax after.
    Source: Liu et al. 2019, arXiv 1908.03265.
    """

    lr: float = rate(1e-3)
    b1: float = decay(0.9)
    b2: float = decay(0.999)
    eps: float = const(1e-8)
    threshold: float = const(5.0)
    _: KW_ONLY
    eps_at: str = choice("uncorrected", "corrected")

    slots = Slots(m=0, v=0)
    conventions: ClassVar[Forms] = {"optax": {"eps_at": "corrected", "decay": "decoupled"}}

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        m = lerp(s.m, g, 1 - self.b1)
        v = lerp(s.v, g * g, 1 - self.b2)
        c1, c2 = 1 - self.b1**t, 1 - self.b2**t
        n = 2 / (1 - self.b2) - 1
        n_t = n - 2 * t * self.b2**t / c2
        r = sqrt(maximum((n_t - 4) * (n_t - 2) * n, 0) / ((n - 4) * (n - 2) * n_t))
        root = (sqrt(v) + self.eps) / sqrt(c2) if self.eps_at == "uncorrected" else sqrt(v) / sqrt(c2) + self.eps
        return p - self.lr / c1 * m * where(n_t > self.threshold, r / root, 1), s(m=m, v=v)


@dataclass(frozen=True)
class Adamax(Rule):
    """m = EMA(m, g; b1); u = max(b2 u, |g| + eps); p = p - lr m^ / u.

    The limit of Adam with the p-norm of past gradients for p to infinity. eps_at="outside": u = max(b2 u, |g|), divide by u + eps.
    Source: Kingma and Ba 2014, arXiv 1412.6980, section 7.
    """

    lr: float = rate(2e-3)
    b1: float = decay(0.9)
    b2: float = decay(0.999)
    eps: float = const(1e-8)
    _: KW_ONLY
    eps_at: str = choice("inside", "outside")

    slots = Slots(m=0, u=0)
    conventions: ClassVar[Forms] = {
        "optax": {"lr": 1e-3, "decay": "decoupled"},
        "keras": {"lr": 1e-3, "eps": 1e-7, "eps_at": "outside", "decay": "decoupled"},
    }

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        m = lerp(s.m, g, 1 - self.b1)
        inside = self.eps_at == "inside"
        u = maximum(self.b2 * s.u, abs(g) + self.eps if inside else abs(g))
        return p - self.lr / (1 - self.b1**t) * m / (u if inside else u + self.eps), s(m=m, u=u)


@dataclass(frozen=True)
class AdaBelief(Rule):
    """Adam with the deviation from m instead of the size of g: v = EMA(v, (g - m)^2; b2) + eps, m being the new one.

    Steps are long where the gradient comes as expected. Source: Zhuang et al. 2020, arXiv 2010.07468.
    """

    lr: float = rate(1e-3)
    b1: float = decay(0.9)
    b2: float = decay(0.999)
    eps: float = const(1e-16)

    slots = Slots(m=0, v=0)
    conventions: ClassVar[Forms] = {"optax": {"decay": "decoupled"}}

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        m = lerp(s.m, g, 1 - self.b1)
        v = lerp(s.v, (g - m) * (g - m), 1 - self.b2) + self.eps
        return p - self.lr / (1 - self.b1**t) * m / (sqrt(v) / sqrt(1 - self.b2**t) + self.eps), s(m=m, v=v)


@dataclass(frozen=True)
class Yogi(Rule):
    """Adam whose v moves by additive steps: v = v - (1 - b2) sign(v - g^2) g^2.

    v cannot fall faster than the gradients' own size, so a rare large gradient is not forgotten at once.
    Source: Zaheer et al. 2018, "Adaptive methods for nonconvex optimization", NeurIPS.
    """

    lr: float = rate(0.01)
    b1: float = decay(0.9)
    b2: float = decay(0.999)
    eps: float = const(1e-3)

    slots = Slots(m=0, v=0)
    conventions: ClassVar[Forms] = {"optax": {"decay": "decoupled"}}

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        m = lerp(s.m, g, 1 - self.b1)
        v = s.v - (1 - self.b2) * sign(s.v - g * g) * (g * g)
        return p - self.lr / (1 - self.b1**t) * m / (sqrt(v) / sqrt(1 - self.b2**t) + self.eps), s(m=m, v=v)
