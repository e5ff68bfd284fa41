"""The largest rate that works, from the rule alone.

A rule stays near a minimum of curvature lambda iff the spectral radius of its linear map (`linear`) is at most 1. The limit is
given as x = lr lambda, for which most rules need no more than their momentum: 2 for gradient descent, 2 (1 + momentum) for the
heavy ball, 2 (1 + b1) / (1 - b1) = 38 for Adam on the curvature that its preconditioner leaves. Training at a constant rate tends
to sharpen until it stands at this edge (Cohen et al. 2021, arXiv 2103.00065).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, RuleError
from thalweg.optim.dynamics.linear import AnyRule, Doubles, Linear, as_rule, linear
from thalweg.optim.language.rule import Rule

GRID = np.geomspace(1e-6, 1e9, 3001)  # of x, in which the first instability is looked for
_ABOVE = 1 + 1e-11  # a radius of 1 up to rounding
NAN = float("nan")


@dataclass(frozen=True)
class Stability:
    """limit: the largest stable x = lr lambda, inf if every one is; best: the x at which errors shrink fastest, by best_rate a
    step; best_range: all x that are as good, of which best is the middle (of the logarithm); note: what the asker should know.
    """

    rule: Rule
    map: Linear = field(repr=False)
    limit: float
    best: float
    best_rate: float
    best_range: tuple[float, float]
    note: str = ""

    def rate(self, x: npt.ArrayLike) -> Doubles:
        """The factor by which errors shrink (or grow) a step at x = lr lambda, a finite number.   (...,) -> (...,)"""
        if not np.isfinite(np.asarray(x, float)).all():
            msg = f"x={x!r}: a finite number is needed, the rate times the curvature"
            raise InputError(msg)
        return self.map.radius(np.asarray(x, float) / self.map.lr)

    def largest_lr(self, curvature: float) -> float:
        """The largest stable rate at this curvature: that of P^(-1/2) H P^(-1/2) for a rule with a preconditioner P.

        Weight decay is a curvature too, and takes its part (`limit` is that of the rule's own rate).
        """
        if not (curvature > 0 and np.isfinite(curvature)):
            msg = f"curvature={curvature!r} must be above 0, and finite: downward curvature sets no largest rate"
            raise InputError(msg)
        if not self.rule.wd or not self.limit:
            return self.limit / curvature
        low, high = 0.0, stability(self.rule.replace(wd=0.0)).limit / curvature
        for _ in range(60):
            middle = (low + high) / 2
            stable = linear(self.rule.replace(lr=middle), freeze=self.map.frozen).radius(curvature) <= _ABOVE
            low, high = (middle, high) if stable else (low, middle)
        return low


def stability(rule: AnyRule, **options: tuple[str, ...]) -> Stability:
    """How large lr lambda may be. options: `freeze`, as `linear` takes it.

    Raises RuleError for a rule whose rate is 0, and where `linear` does.
    """
    rule = as_rule(rule)
    made = linear(rule, **options)
    if made.lr <= 0:
        msg = f"{rule!r} does not move: give it a rate above 0"
        raise RuleError(msg)
    if not made.smooth:
        note = "its step does not shrink with the gradient: no rate is stable, it ends in a cycle as wide as its steps"
        return Stability(rule, made, 0.0, NAN, NAN, (NAN, NAN), note)
    radii = made.radius(GRID / made.lr)
    unstable = np.flatnonzero(radii > _ABOVE)
    first = int(unstable[0]) if len(unstable) else len(GRID)
    limit = float("inf") if first == len(GRID) else _crossing(made, GRID[first - 1], GRID[first]) if first else 0.0
    below = GRID[limit > GRID]
    best, best_rate, best_range = _least(made, below, limit) if len(below) else (NAN, NAN, (NAN, NAN))
    note = f"with {', '.join(made.frozen)} frozen: lambda is the curvature that the preconditioner leaves" if made.frozen else ""
    if made.frozen:
        note += "; at the minimum itself it goes to 0, and every practical rate is too large"
    return Stability(rule, made, limit, best, best_rate, best_range, note)


def stability_map(rule: AnyRule, x: npt.ArrayLike, momenta: npt.ArrayLike) -> Doubles:
    """The factor by which errors shrink or grow a step, for each momentum and each x = lr lambda.   (m,), (k,) -> (k, m)

    Raises RuleError for a rule without a momentum, and where `linear` does.
    """
    rule = as_rule(rule)
    name = next((name for name in ("momentum", "b1") if hasattr(rule, name)), None)
    if name is None:
        msg = f"{type(rule).__name__} has no momentum to draw a map over"
        raise RuleError(msg)
    maps = [linear(rule.replace(**{name: momentum})) for momentum in np.asarray(momenta, float).tolist()]
    return np.stack([made.radius(np.asarray(x, float) / made.lr) for made in maps])


def _crossing(made: Linear, inside: float, outside: float, most: float = _ABOVE) -> float:
    """Bisection for the x between two at which the radius passes `most`."""
    for _ in range(100):
        middle = (inside + outside) / 2
        if made.radius(middle / made.lr) > most:
            outside = middle
        else:
            inside = middle
    return float(inside)


def _least(made: Linear, grid: Doubles, limit: float) -> tuple[float, float, tuple[float, float]]:
    """The x of the least radius, near the best point of a grid that ends below the limit; the radius; the x that are as good.

    Momentum sets the pace over a whole range, (1 - sqrt(b))^2 to (1 + sqrt(b))^2 for the heavy ball: best is its middle.
    """
    from scipy.optimize import minimize_scalar

    radii = made.radius(grid / made.lr)
    k = int(np.argmin(radii))
    most = radii[k] * (1 + 1e-6)
    flat = np.flatnonzero(radii <= most)
    if len(flat) > 2:
        first, last = int(flat[0]), int(flat[-1])
        low = _crossing(made, grid[first], grid[first - 1], most) if first else float(grid[0])
        beyond = grid[last + 1] if last + 1 < len(grid) else limit
        high = _crossing(made, grid[last], beyond, most) if np.isfinite(beyond) else float(grid[-1])
        return float(np.sqrt(low * high)), float(radii[k]), (low, high)
    ends = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
    found = minimize_scalar(lambda x: float(made.radius(x / made.lr)), bounds=ends, method="bounded", options={"xatol": 1e-12})
    return float(found.x), float(found.fun), (float(found.x), float(found.x))
