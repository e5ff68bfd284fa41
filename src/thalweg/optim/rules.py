"""The rules: each a formula, its source, and the same formula as code. `RULES` is the only list of them.

lr is the learning rate, g the gradient, p the parameters; lambda is a curvature (an eigenvalue of the Hessian).
"""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.errors import RuleError, near_misses
from thalweg.optim.rule import Rule, Slots, State, Value, decay, rate


@dataclass(frozen=True)
class SGD(Rule):
    """Gradient descent: p = p - lr g.

    Euler's method with step lr for dp/dt = -grad L. On 1/2 lambda p^2 it gives p_t = (1 - lr lambda)^t p_0: stable iff
    lr < 2/lambda. Default as torch.optim.SGD. Source: Robbins and Monro 1951, doi 10.1214/aoms/1177729586.
    """

    lr: float = rate(1e-3)

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        return p - self.lr * g, s


@dataclass(frozen=True)
class HeavyBall(Rule):
    """Momentum: m = momentum m + (1 - dampening) g, where the first m is g whatever the dampening; p = p - lr m.

    A ball with friction: steps of h = sqrt lr through p'' + (1 - momentum)/h p' = -grad L. On 1/2 lambda p^2 stable iff
    lr < 2 (1 + momentum) / ((1 - dampening) lambda). Form and defaults are torch.optim.SGD's (which ignores dampening when
    momentum is 0), but for momentum 0.9, the custom of the field. Source: Polyak 1964, doi 10.1016/0041-5553(64)90137-5.
    """

    lr: float = rate(1e-3)
    momentum: float = decay(0.9)
    dampening: float = decay(0.0)
    slots = Slots(m=0)

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        dampening = self.dampening * (t > 1)
        m = self.momentum * s.m + (1 - dampening) * g
        return p - self.lr * m, s(m=m)


RULES: dict[str, type[Rule]] = {"sgd": SGD, "heavyball": HeavyBall}


def get(name: str) -> type[Rule]:
    """Find a rule by its name, whatever the capitals, dashes and underscores: "heavy-ball" names HeavyBall.

    Raises RuleError for an unknown name, with the nearest ones.
    """
    key = str(name).lower().replace("-", "").replace("_", "")
    if key not in RULES:
        msg = f"there is no rule {name!r}.{near_misses(key, RULES)}"
        raise RuleError(msg)
    return RULES[key]
