"""A rule near a minimum: the linear map that one step is.

On 1/2 lambda p^2 with gradient noise xi, g = lambda p + xi, a step takes the state z = (p, slots) to

    z' = A(lambda) z + b xi,     A(lambda) = [d/dp + lambda d/dg, d/ds],     b = d/dg

The derivatives are those of the rule's program at 0, taken by complex steps: f(i h)/h has no difference in it and is exact.

Preconditioners are frozen: a slot whose new value is even in g (Adam's v) does not move to first order, and divides by what it has
gathered over many steps. It is held at 1, so that lambda is measured in units of the preconditioner, and eps is 0: with the largest
eigenvalue lambda of P^(-1/2) H P^(-1/2), P the denominator, the map is that of the real run (Cohen et al. 2022, arXiv 2207.14484).
*At* the minimum v goes to 0 and nothing of this holds: there every practical rate is too large for Adam.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import RuleError
from thalweg.optim.backends.reference import NUMPY, Functions, evaluate
from thalweg.optim.program import Program
from thalweg.optim.rule import Rule

Doubles = npt.NDArray[np.float64]

_H = 1e-30  # of the complex step: its square is lost beside 1
_SMALL = (1e-8, 1e-12)  # gradients to which a smooth step answers in proportion, and a sign does not
_LATE = 1e9  # a time at which all corrections for the start are over


def _by_real_part(name: str) -> Any:
    return lambda a, b: NUMPY[name](np.real(a), np.real(b))


COMPLEX: Functions = {
    **NUMPY,
    "abs": lambda x: np.where(np.real(x) < 0, -x, x),
    "sign": lambda x: np.sign(np.real(x)),
    "minimum": lambda a, b: np.where(np.real(a) <= np.real(b), a, b),
    "maximum": lambda a, b: np.where(np.real(a) >= np.real(b), a, b),
    **{name: _by_real_part(name) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
}


@dataclass(frozen=True)
class Linear:
    """A step as a linear map of (p, slots) near a minimum.

    names: p and the slots that move; drift: (n, n), A(0); force: (n,), what a gradient of 1 does; frozen: slots held at 1;
    lr: the rate that it was taken with; smooth: whether the step has a derivative at 0 (the sign of a gradient has none).
    """

    names: tuple[str, ...]
    drift: Doubles
    force: Doubles
    frozen: tuple[str, ...]
    lr: float
    smooth: bool

    def at(self, curvature: npt.ArrayLike) -> Doubles:
        """A(lambda) for each curvature lambda.   (...,) -> (..., n, n)"""
        turned = np.zeros_like(self.drift)
        turned[:, 0] = self.force
        return np.asarray(self.drift + np.asarray(curvature, float)[..., None, None] * turned)

    def radius(self, curvature: npt.ArrayLike) -> Doubles:
        """The spectral radius of A(lambda): errors shrink by this factor a step, and grow above 1.   (...,) -> (...,)"""
        return np.asarray(np.abs(np.linalg.eigvals(self.at(curvature))).max(axis=-1))


def linear(rule: Rule, *, freeze: Iterable[str] | None = None) -> Linear:
    """The map of a rule. freeze: the slots to be held at 1 (None: those whose new value is even in g).

    Raises RuleError for a rule that sums over tensors, asks for several gradients or has no derivative there (a step that looks at
    the sign of m g), and for an unknown slot.
    """
    program = rule.program()
    if program.n_phases > 1 or program.shaped:
        msg = f"{type(rule).__name__} sums over tensors: its step on one number says nothing about a network"
        raise RuleError(msg)
    for name in freeze or ():
        if name not in program.slots:
            msg = f"{type(rule).__name__} has no slot {name!r} to freeze; it has {', '.join(program.slots) or 'none'}"
            raise RuleError(msg)
    numbers = _numbers(rule, program)
    frozen = tuple(name for name in program.slots if _is_even(program, numbers, name)) if freeze is None else tuple(freeze)
    moving = ("p", *(f"s.{name}" for name in program.slots if name not in frozen))
    columns = {name: _response(program, numbers, frozen, {name: 1j * _H}, moving).imag / _H for name in (*moving, "g")}
    slopes = [_response(program, numbers, frozen, {"g": g}, moving).real / g for g in _SMALL]
    smooth = bool(np.abs(slopes[1]).max() < 10 * np.abs(slopes[0]).max() + 1e-30)  # the slope of a sign has no bound
    if smooth and not np.allclose(slopes[1], columns["g"], rtol=1e-6, atol=1e-9):
        msg = f"{type(rule).__name__} has no derivative at a minimum: it answers small gradients of either kind differently"
        raise RuleError(msg)
    drift = np.stack([columns[name] for name in moving], axis=1)
    return Linear(moving, drift, columns["g"], frozen, float(getattr(rule, "lr", 1.0)), smooth)


def _numbers(rule: Rule, program: Program) -> dict[str, Any]:
    """The host's inputs, long after the start: hyper-parameters with eps 0, scalars where they have gone."""
    numbers: dict[str, Any] = {f"self.{each.name}": getattr(rule, each.name) for each in fields(rule)}
    numbers |= {"self.eps": 0.0, "t": _LATE, **{f"s.{name}": value for name, value in rule.scalars.of(rule).items()}}
    host = program.reachable(program.scalars.values())
    for _ in range(2000 if program.scalars else 0):
        values = {place: numbers[name] for name, place in program.inputs.items() if name in numbers}
        evaluate(program, host, values)
        numbers |= {f"s.{name}": values[place] for name, place in program.scalars.items()}
    return numbers


def _response(
    program: Program, numbers: Mapping[str, Any], frozen: Iterable[str], pushed: Mapping[str, complex], out: Iterable[str]
) -> npt.NDArray[np.complex128]:
    """The new values of `out` from a state of zeros but for what is pushed, frozen slots at 1."""
    inputs: dict[str, Any] = dict.fromkeys(("p", "g", *(f"s.{name}" for name in program.slots)), 0j) | dict(numbers) | dict(pushed)
    inputs |= {f"s.{name}": 1 + 0j for name in frozen}
    values = {place: inputs[name] for name, place in program.inputs.items()}
    values |= {program.slots[name]: 1 + 0j for name in frozen}
    with np.errstate(all="ignore"):
        evaluate(program, range(len(program.nodes)), values, COMPLEX)
    places = {"p": program.p, **{f"s.{name}": place for name, place in program.slots.items()}}
    return np.array([values.get(places[name], program.nodes[places[name]].value) for name in out], np.complex128)


def _is_even(program: Program, numbers: Mapping[str, Any], slot: str) -> bool:
    """Whether the slot gathers something even in g: the same for g and -g, and not what it is without a gradient."""
    plus, minus, without = (_response(program, numbers, (), {"g": g}, [f"s.{slot}"])[0] for g in (1.0, -1.0, 0.0))
    return bool(plus == minus and plus != without)
