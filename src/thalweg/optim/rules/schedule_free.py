"""Learning without a schedule: an average of the path takes the place of the rate's decline, and the gradient is taken near it.

Three sequences: z is the base rule's, x the average of z and what to evaluate, y = (1 - b1) z + b1 x where the gradient is taken
and what the parameters hold in training. Kept beside y is e = z - x, from which z = y + b1 e and x = y - (1 - b1) e.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from thalweg.optim.language.fields import choice, const, decay, rate
from thalweg.optim.language.rule import Rule
from thalweg.optim.language.state import Slots, State, Value
from thalweg.optim.ops import lerp, sqrt, where


@dataclass(frozen=True)
class ScheduleFree(Rule):
    """z = z - lr (u + wd y); x = (1 - c) x + c z with c = lr^2 / (sum of all lr^2); y = (1 - b1) z + b1 x.

    u = g / (sqrt v^ + eps) with v = EMA(v, g^2; b2), or inner="sgd": u = g. A warm-up is a schedule: chain(schedule(warmup(1000)),
    ScheduleFree()). Evaluate at x: `with opt.swap():`. Source: Defazio et al. 2024, arXiv 2405.15682.
    """

    lr: float = rate(2.5e-3)
    b1: float = decay(0.9)
    b2: float = decay(0.999)
    eps: float = const(1e-8)
    _: KW_ONLY
    inner: str = choice("adamw", "sgd")
    decay: str = choice("decoupled", "coupled")

    slots = Slots(e=0, v=0)
    scalars = Slots(W=0)

    def times(self) -> Mapping[str, float]:
        return {"b1": 0, "s.W": 1}  # b1 is a place between z and x, no memory

    def evaluated(self, p: Value, s: State) -> Value:
        return p - (1 - self.b1) * s.e

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        pull = self.wd * p
        g = g + pull if self.decay == "coupled" else g
        v = lerp(s.v, g * g, 1 - self.b2)
        u = g if self.inner == "sgd" else g / (sqrt(v) / sqrt(1 - self.b2**t) + self.eps)
        W = s.W + self.lr * self.lr
        c = self.lr * self.lr / where(W > 0, W, 1)
        z, x = p + self.b1 * s.e, p - (1 - self.b1) * s.e
        z = z - self.lr * (u if self.decay == "coupled" else u + pull)
        e = (1 - c) * (z - x)
        return z - self.b1 * e, s(e=e, v=v, W=W)
