"""The temperature of a rule: how far gradient noise shakes the parameters about a minimum.

With g = lambda p + xi, E xi^2 = C, the state is z' = A z + b xi, and its covariance S in the long run solves S = A S A^T + C b b^T
(a discrete Lyapunov equation). T = lambda Var p is the temperature: for small lr lambda it is lr C / (2 (1 - momentum)), whatever
lambda is (Mandt, Hoffman and Blei 2017, arXiv 1704.04289).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from thalweg.errors import InputError, RuleError
from thalweg.optim.dynamics.linear import AnyRule, Doubles, as_rule, linear
from thalweg.optim.dynamics.scaling import deterministic


@dataclass(frozen=True)
class Stationary:
    """covariance: of (p, slots that move); variance: of p; temperature: curvature times variance."""

    covariance: Doubles
    variance: float
    temperature: float


def stationary(rule: AnyRule, curvature: float, noise: float = 1.0, **options: tuple[str, ...]) -> Stationary:
    """What a rule settles to on 1/2 lambda p^2 with gradient noise of variance `noise`; preconditioners frozen as in `linear`.

    Raises RuleError where there is no such state: at an unstable rate, for rules that move by the sign of the gradient, and for
    those with noise of their own.
    """
    rule = as_rule(rule)
    deterministic(rule)
    made = linear(rule, **options)
    if not (noise >= 0 and math.isfinite(noise)):
        msg = f"noise={noise!r} is a variance: a finite number of at least 0"
        raise InputError(msg)
    if not math.isfinite(curvature):
        msg = f"curvature={curvature!r} is no finite number"
        raise InputError(msg)
    matrix = made.at(curvature)
    if not made.smooth or not made.radius(curvature) < 1:
        msg = f"{rule!r} does not settle at curvature {curvature:g}: the spectral radius is {float(made.radius(curvature)):.6g}"
        raise RuleError(msg)
    from scipy.linalg import solve_discrete_lyapunov

    covariance = np.asarray(solve_discrete_lyapunov(matrix, noise * np.outer(made.force(curvature), made.force(curvature))))
    return Stationary(covariance, float(covariance[0, 0]), float(curvature * covariance[0, 0]))
