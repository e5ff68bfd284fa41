"""Which equation a rule really follows: backward error analysis to first order.

A step is z + h F0 + h^2 F1 + ...; the flow of F over the time h is z + h F + h^2/2 F' F + ... They agree to h^3 for

    F~ = F0 + h (F1 - F0' F0 / 2)

Gradient descent follows -lr grad (L + lr/4 |grad L|^2): a finite rate prefers flat places (Barrett and Dherin 2021, arXiv
2009.11162). In the rate limit the slots lag behind the gradient that holds them, which makes the heavy ball's term (1 + b)/(1 - b)
as large, at the same lr/(1 - b) (Ghosh et al. 2023, arXiv 2302.00849).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thalweg.energies.contract import Energy, as_points, value_and_gradient
from thalweg.errors import RuleError
from thalweg.optim.dynamics.flow import Flow, Trajectory, flow, slaved
from thalweg.optim.dynamics.linear import LATE, AnyRule
from thalweg.optim.dynamics.scaling import Array, Gradient, Values, advance

_TINY = 1e-30  # a rate near 0
_NODES = np.array([0.04, 0.02, 0.01, 0.005, 0.0025])  # h at which a step's second term is measured
_ALONG = 1e-3  # of a difference along the flow, in its time


@dataclass(frozen=True)
class Modified:
    """The modified flow of a rule. One unit of time is one step of the rule."""

    flow: Flow

    def velocity(self, tau: float, z: Mapping[str, Array], gradient: Gradient) -> Values:
        """F~(tau, z), for tau well above 0 where a rule corrects for its start.   z: name -> (n, d)"""
        first = self.flow.velocity(tau, z, gradient)
        second = self._slow_step(z["p"], first["p"], gradient) if self.flow.limit == "rate" else self._step(tau, z, first, gradient)
        turning = self._along(lambda k: self.flow.velocity(tau + k, _moved(z, first, k), gradient))
        return {name: first[name] + second[name] - turning[name] / 2 for name in z}

    def solve(
        self, p0: npt.ArrayLike, duration: float, energy: Energy, *, at: npt.ArrayLike | None = None, start: str = "rule"
    ) -> Trajectory:
        """As `Flow.solve`. RuleError for a rule that corrects for its start, where no step is small beside the time since then."""
        if self.flow.limit == "inertial" and any({"t", "clock"} & each.inputs.keys() for each in self.flow.scaled.programs):
            msg = (
                f"{self.flow.rule!r} corrects for its start, where its steps have no expansion: take velocity(tau, z) later on, or "
            )
            raise RuleError(msg + "limit='rate'")
        evaluate = value_and_gradient(energy, at=p0)
        gradient: Gradient = lambda x: evaluate(x)[1]  # noqa: E731
        z = self.flow.start(as_points(p0), gradient, start)
        return self.flow._integrated(z, 0.0, duration, gradient, at, self.velocity)

    def _step(self, tau: float, z: Mapping[str, Array], first: Values, gradient: Gradient) -> Values:
        """F1 of one step."""
        after = [self.flow.scaled.step(z, h, tau, gradient) for h in _NODES]
        return {
            name: _at_zero([((each[name] - z[name]) / h - first[name]) / h for h, each in zip(_NODES, after, strict=True)])
            for name in z
        }

    def _slow_step(self, p: Array, first: Array, gradient: Gradient) -> Values:
        """F1 on the curve that slots follow as lr -> 0: s = s0(p) + h s1(p), where s0 is held by the gradient at p.

        A step keeps to the curve: Q(p, s) = s(P(p, s)), so that (1 - Q_s) s1 = Q_h - s0' F0.
        """
        scaled = self.flow.scaled
        names = scaled.slots
        unit = {name: 1.0 if scaled.power(name) > 0 else 0.0 for name in names}  # a buffer that holds lr is as small as lr

        def stepped(z: Mapping[str, Array], h: float) -> Values:
            numbers = scaled.numbers(1.0) | {"t": LATE, "clock": LATE}
            state = {name: value * h ** unit.get(name, 0) for name, value in z.items()}
            after = advance(scaled.programs, state, numbers | {"self.lr": numbers["self.lr"] * h}, gradient)
            return {name: value / h ** unit.get(name, 0) for name, value in after.items()}

        def held(at: Array) -> Values:
            found = slaved(scaled, at, gradient(at), _TINY)
            return {name: value.real / _TINY ** unit.get(name, 0) for name, value in found.items()}

        rest = held(p)
        follow = self._along(lambda k: held(p + k * first))
        pushed = [
            [_at_zero([(stepped(rest | {b: rest[b] + h}, _TINY)[a] - rest[a]) / h for h in _NODES]) for b in names] for a in names
        ]
        lag = {}
        if names:
            drift = {a: _at_zero([(stepped(rest, h)[a] - rest[a]) / h for h in _NODES]) for a in names}
            matrix = np.moveaxis(np.eye(len(names))[:, :, None, None] - np.array(pushed), (0, 1), (-2, -1))
            right = np.stack([drift[a] - follow[a] for a in names], axis=-1)[..., None]
            lag = dict(zip(names, np.moveaxis(np.linalg.solve(matrix, right)[..., 0], -1, 0), strict=True))
        after = [stepped(rest | {a: rest[a] + h * lag[a] for a in names}, h)["p"] for h in _NODES]
        return {"p": _at_zero([((each - p) / h - first) / h for h, each in zip(_NODES, after, strict=True)])}

    def _along(self, function: Callable[[float], Values]) -> Values:
        """d/dk of a function at k = 0, to fourth order."""
        far, near = (function(k) for k in (2 * _ALONG, _ALONG))
        back, behind = (function(-k) for k in (_ALONG, 2 * _ALONG))
        return {name: (8 * (near[name] - back[name]) - (far[name] - behind[name])) / (12 * _ALONG) for name in near}


def modified_equation(rule: AnyRule, limit: str = "inertial") -> Modified:
    """The equation whose flow a rule's steps follow one order more closely than `flow`. Raises RuleError as `flow` does."""
    return Modified(flow(rule, limit))


def _moved(z: Mapping[str, Array], by: Values, k: float) -> Values:
    return {name: value + k * by[name] for name, value in z.items()}


def _at_zero(values: list[Array]) -> Array:
    """The limit for h -> 0 of what was measured at the nodes, by the polynomial through them."""
    weights = [float(np.prod([b / (b - a) for b in _NODES if b != a])) for a in _NODES]
    return np.asarray(sum(w * value for w, value in zip(weights, values, strict=True)))
