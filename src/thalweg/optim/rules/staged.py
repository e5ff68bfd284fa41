"""Rules that take several gradients a step: better integrators of dp/dt = -grad L. They follow the flow more closely, which trains
no better for each gradient than gradient descent does; they are here to be compared with.

`stages` is a generator: `g = yield point` asks for the gradient at a point, the first one at p. In thalweg.optim.torch a step of
them takes a closure, as `opt.step(closure)`, which is called once for each gradient.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass

from thalweg.errors import RuleError
from thalweg.optim.language.fields import choice, rate
from thalweg.optim.language.rule import Rule
from thalweg.optim.language.state import Stages, State, Value


@dataclass(frozen=True)
class Staged(Rule):
    """A rule that is written as `stages` alone. Coupled weight decay belongs to every gradient, decoupled to the start."""

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        """Refused: one gradient is not enough."""
        msg = f"{type(self).__name__} takes several gradients a step: use rule.advance(gradient, p, s, t), or opt.step(closure)"
        raise RuleError(msg)

    @abstractmethod
    def stages(self, p: Value, s: State, t: Value) -> Stages:
        """The step: `g = yield point` for each gradient."""

    def slope(self, p: Value, g: Value) -> Value:
        """The gradient at p with that of the coupled decay."""
        return self.decayed(p, g)[1]


@dataclass(frozen=True)
class Heun(Staged):
    """Two gradients, of order 2: g_0 at p, g_1 at p - lr g_0; p = p - lr (g_0 + g_1) / 2.

    On 1/2 lambda p^2 stable iff lr < 2/lambda, as gradient descent. Source: Heun 1900; in training Su 2018, kexue.fm 5655.
    """

    lr: float = rate(1e-3)

    def stages(self, p: Value, s: State, t: Value) -> Stages:
        start, g0 = self.decayed(p, (yield p))
        point = start - self.lr * g0
        g1 = self.slope(point, (yield point))
        return start - self.lr / 2 * (g0 + g1), s


@dataclass(frozen=True)
class RK(Staged):
    """Runge and Kutta's classical methods with as many gradients as their order, 3 or 4.

    4: k_2 at p - lr k_1 / 2, k_3 at p - lr k_2 / 2, k_4 at p - lr k_3; p = p - lr (k_1 + 2 k_2 + 2 k_3 + k_4) / 6.
    3: k_2 at p - lr k_1 / 2, k_3 at p - lr (2 k_2 - k_1); p = p - lr (k_1 + 4 k_2 + k_3) / 6.
    On 1/2 lambda p^2 stable up to lr lambda = 2.785 (order 4), 2.513 (order 3). Source: Kutta 1901.
    """

    lr: float = rate(1e-3)
    _: KW_ONLY
    order: str = choice("4", "3")

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", str(self.order))  # RK(order=3) as well
        super().__post_init__()

    def stages(self, p: Value, s: State, t: Value) -> Stages:
        start, k1 = self.decayed(p, (yield p))
        point = start - self.lr / 2 * k1
        k2 = self.slope(point, (yield point))
        if self.order == "3":
            point = start - self.lr * (2 * k2 - k1)
            k3 = self.slope(point, (yield point))
            return start - self.lr / 6 * (k1 + 4 * k2 + k3), s
        point = start - self.lr / 2 * k2
        k3 = self.slope(point, (yield point))
        point = start - self.lr * k3
        k4 = self.slope(point, (yield point))
        return start - self.lr / 6 * (k1 + 2 * k2 + 2 * k3 + k4), s
