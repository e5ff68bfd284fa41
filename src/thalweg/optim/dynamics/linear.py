"""A rule near a minimum: the linear map that one step is.

On 1/2 lambda p^2 with gradient noise xi, g = lambda p + xi, a step takes the state z = (p, slots) to

    z' = A(lambda) z + b(lambda) xi

where a step that takes several gradients takes them all with the same xi, as on one batch. The derivatives are those of the
rule's program at 0, taken by complex steps: f(i h)/h has no difference in it and is exact.

Preconditioners are frozen: a slot that remembers something even in g (Adam's v) does not move to first order, and divides by what
it has gathered over many steps. It is held at 1, so that lambda is measured in units of the preconditioner, and eps is 0: with the
largest eigenvalue lambda of P^(-1/2) H P^(-1/2), P the denominator, the map is that of the real run (Cohen et al. 2022, arXiv
2207.14484).
*At* the minimum v goes to 0 and nothing of this holds: there every practical rate is too large for Adam.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from thalweg.errors import RuleError
from thalweg.optim.backends.reference import evaluate
from thalweg.optim.language.functions import NUMPY, Functions
from thalweg.optim.language.program import Program
from thalweg.optim.language.rule import Rule

if TYPE_CHECKING:
    from torch.optim import Optimizer

Doubles = npt.NDArray[np.float64]
AnyRule: TypeAlias = "Rule | Optimizer"  # an optimizer of ours or of torch.optim stands for its rule

_H = 1e-30  # of the complex step: its square is lost beside 1
_SMALL = (1e-8, 1e-12)  # gradients to which a smooth step answers in proportion, and a sign does not
LATE = 1e9  # a time at which all corrections for the start are over
_FADED = 1e-6  # of the step at the beginning: less is no rate


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

    names: p and the slots that move and push it; frozen: slots held at 1; aside: those that p does not feel to first order (the
    mean of a centred RMSprop); lr: the rate that it was taken with; smooth: whether the step has a derivative at 0 (the sign of
    a gradient has none).
    """

    programs: tuple[Program, ...]
    numbers: Mapping[str, Any]
    names: tuple[str, ...]
    frozen: tuple[str, ...]
    lr: float
    smooth: bool = True
    aside: tuple[str, ...] = ()

    def at(self, curvature: npt.ArrayLike) -> Doubles:
        """A(lambda) for each curvature lambda.   (...,) -> (..., n, n)"""
        slope = np.asarray(curvature, float)
        columns = [_response(self, {name: 1j * _H}, lambda point: slope * point).imag / _H for name in self.names]
        return np.stack(columns, axis=-1)

    def force(self, curvature: npt.ArrayLike = 0.0) -> Doubles:
        """b(lambda), what gradient noise of 1 does.   (...,) -> (..., n)"""
        slope = np.asarray(curvature, float)
        return _response(self, {}, lambda point: slope * point + 1j * _H).imag / _H

    def gathered(self, slot: str) -> float:
        """What a frozen slot becomes in a step with a gradient of 1: 1 for an average, 2 for a sum."""
        return float(
            _response(replace(self, frozen=()), {f"s.{each}": 1 for each in self.frozen}, lambda p: 1 + 0 * p, [f"s.{slot}"])[
                0
            ].real
        )

    def radius(self, curvature: npt.ArrayLike) -> Doubles:
        """The spectral radius of A(lambda): errors shrink by this factor a step, and grow above 1.   (...,) -> (...,)"""
        return np.asarray(np.abs(np.linalg.eigvals(self.at(curvature))).max(axis=-1))


def as_rule(given: object) -> Rule:
    """The rule itself, or that of a torch optimizer, all groups of which have to have the same. RuleError for anything else."""
    if isinstance(given, Rule):
        return given
    if not hasattr(given, "param_groups"):
        msg = (
            f"{given!r} is not a rule; give one made from a class of thalweg.optim, as in optim.Adam(lr=1e-3), or a torch optimizer"
        )
        raise RuleError(msg)
    from thalweg.optim.torch.known import rules_of

    found = rules_of(given)
    if any(group.get("maximize") for group in given.param_groups):
        msg = "the optimizer has maximize=True and goes up: ask about the energy -L and an optimizer that goes down it"
        raise RuleError(msg)
    if len(set(found)) > 1:
        msg = f"the groups of the optimizer have different rules, {found[0]!r} and others: give one of them"
        raise RuleError(msg)
    return found[0]


def linear(rule: AnyRule, *, freeze: Iterable[str] | None = None) -> Linear:
    """The map of a rule. freeze: the slots to be held at 1 (None: those that remember something even in g).

    Raises RuleError for a rule that sums over tensors or has no derivative there (a step that looks at the sign of m g), for one
    whose rate falls to nothing with time, and for an unknown slot.
    """
    rule = as_rule(rule)
    programs = rule.programs()
    last = programs[-1]
    if any(each.n_phases > 1 or each.shaped for each in programs):
        msg = f"{type(rule).__name__} sums over tensors: its step on one number says nothing about a network"
        raise RuleError(msg)
    slots = tuple(name for name in last.slots if name in rule.slots.initial)  # without what a step keeps between its gradients
    for name in freeze or ():
        if name not in slots:
            msg = f"{type(rule).__name__} has no slot {name!r} to freeze; it has {', '.join(slots) or 'none'}"
            raise RuleError(msg)
    bare = Linear(programs, _numbers(rule, last), ("p", *(f"s.{name}" for name in slots)), (), float(getattr(rule, "lr", 1.0)))
    frozen = tuple(name for name in slots if _is_even(bare, name)) if freeze is None else tuple(freeze)
    made = replace(bare, names=("p", *(f"s.{name}" for name in slots if name not in frozen)), frozen=frozen)
    if (
        not np.abs(made.force()).max()
        >= _FADED * np.abs(replace(made, numbers={**made.numbers, "t": 2.0, "clock": 2.0}).force()).max()
    ):
        msg = f"the rate of {rule!r} falls to nothing with time: ask about the rule without its schedule or lr_decay"
        raise RuleError(msg)
    slopes = [_response(made, {}, lambda point, g=g: g + 0 * point).real / g for g in _SMALL]  # type: ignore[misc]
    smooth = bool(np.abs(slopes[1]).max() < 10 * np.abs(slopes[0]).max() + 1e-30)  # the slope of a sign has no bound
    if smooth and not np.allclose(slopes[1], made.force(), rtol=1e-6, atol=1e-9):
        msg = f"{type(rule).__name__} has no derivative at a minimum: it answers small gradients of either kind differently"
        raise RuleError(msg)
    return _reaching(replace(made, smooth=smooth)) if smooth else replace(made, smooth=False)


def _reaching(made: Linear) -> Linear:
    """The map without the slots that never come back to p."""
    matrix = made.at(1.0) != 0  # row: what moves, column: by what
    felt = np.zeros(len(made.names), bool)
    felt[0] = True
    for _ in made.names:
        felt |= matrix[felt].any(axis=0)
    aside = tuple(name.removeprefix("s.") for name, kept in zip(made.names, felt, strict=True) if not kept)
    return replace(made, names=tuple(name for name, kept in zip(made.names, felt, strict=True) if kept), aside=aside)


def _numbers(rule: Rule, program: Program) -> dict[str, Any]:
    """The host's inputs, long after the start: hyper-parameters with eps 0, scalars where they have gone."""
    numbers: dict[str, Any] = {f"self.{each.name}": getattr(rule, each.name) for each in fields(rule)}
    return numbers | {"self.eps": 0.0, "t": LATE, "clock": LATE, **late_scalars(rule, program)}


def late_scalars(rule: Rule, program: Program) -> dict[str, float]:
    """Where the scalars of a rule have gone long after the start: products (NAdam's) to 0, sums (Schedule-Free's) far up."""
    numbers: dict[str, Any] = {f"self.{each.name}": getattr(rule, each.name) for each in fields(rule)} | {"t": LATE, "clock": LATE}
    host, path = program.reachable(program.scalars.values()), [{f"s.{name}": each for name, each in rule.scalars.of(rule).items()}]
    for _ in range(3 if program.scalars else 0):
        given = numbers | path[-1]
        values = {place: given[name] for name, place in program.inputs.items() if name in given}
        evaluate(program, host, values)
        path.append({f"s.{name}": float(values[place]) for name, place in program.scalars.items()})
    late = dict(path[-1])
    for name in late:
        older, old, new = (each[name] for each in path[-3:])
        if math.isclose(new - old, old - older, rel_tol=1e-9):
            late[name] = new + LATE * (new - old)
        elif old == 0 or 0 <= new / old < 1:
            late[name] = 0.0
    return late


def _response(
    made: Linear, pushed: Mapping[str, complex], gradient: Callable[[Any], Any], out: Iterable[str] | None = None
) -> npt.NDArray[np.complex128]:
    """The new values of `out` (None: all that move) from a state of zeros but for what is pushed, frozen slots at 1.   (..., n)"""
    state: dict[str, Any] = {"p": 0j, **dict(pushed)}
    for program in made.programs:
        names = {name: state.get(name, 0j) for name in program.inputs}
        names |= dict(made.numbers) | {f"s.{name}": 1 + 0j for name in made.frozen} | {"g": gradient(state["p"])}
        values = {place: names[name] for name, place in program.inputs.items()}
        values |= {place: 1 + 0j for name, place in program.slots.items() if name in made.frozen}
        with np.errstate(all="ignore"):
            evaluate(program, range(len(program.nodes)), values, COMPLEX)
        places = {"p": program.p, **{f"s.{name}": place for name, place in program.slots.items()}}
        state = {name: values.get(place, program.nodes[place].value) for name, place in places.items()}
    return np.stack(np.broadcast_arrays(*(np.asarray(state[name], np.complex128) for name in out or made.names)), axis=-1)


def _is_even(bare: Linear, slot: str) -> bool:
    """Whether the slot remembers something even in g: the same for g and -g, not that of no gradient, not forgotten at once."""
    name = f"s.{slot}"
    plus, minus, without = (_response(bare, {}, lambda point, g=g: g + 0 * point, [name])[0] for g in (1.0, -1.0, 0.0))  # type: ignore[misc]
    kept = _response(bare, {name: 2 + 1j * _H}, lambda point: 1 + 0 * point, [name])[0].imag
    return bool(plus == minus and plus != without and kept != 0)
