"""What an optimizer would do with a gradient: its rules, and the rate that each number really gets.

A rule with a preconditioner moves p by lr / P g. P comes from the rule's own program: what a gradient does with the slots as they
are, against what it does with them at 1 and eps 0, where `dynamics.stability` counts.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thalweg.errors import InputError, RuleError
from thalweg.optim.backends.reference import evaluate
from thalweg.optim.dynamics.linear import COMPLEX, LATE, Linear, linear
from thalweg.optim.dynamics.stability import stability
from thalweg.optim.dynamics.stationary import stationary
from thalweg.optim.language.rule import Rule
from thalweg.optim.rules.chained import Chained
from thalweg.optim.rules.transforms import sam, schedule, weight_decay
from thalweg.optim.torch.known import rules_of
from thalweg.optim.torch.names import slot_key

SLICE = 1 << 20  # numbers at a time
_H = 1e-30  # of the complex step


@dataclass(frozen=True)
class Group:
    """What one parameter group does.

    rule: its own, bare: without decay, transforms and schedule; lr; map: None where it is not known or not smooth; limit: of lr
    lambda / P, 0 for rules of signs, NaN if not known; heat: the temperature over lr C, NaN if not known; coupled, decoupled: its
    weight decay; scheduled: whether a schedule stands before it; n: how many numbers.
    """

    rule: Rule
    bare: Rule
    lr: float
    map: Linear | None
    limit: float
    heat: float
    coupled: float
    decoupled: float
    scheduled: bool
    n: int


class Rates:
    """The rate, lr / P, of every number that an optimizer moves, as one vector beside a flat gradient.

    groups: what they do; vector: lr / P, (n,); bounded: the share of the numbers whose step eps halves or more; adaptive: whether
    any P is not 1.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        vectors, small = list[Tensor](), 0
        self.groups = list[Group]()
        for rule, given in zip(rules_of(optimizer), optimizer.param_groups, strict=True):
            if given.get("maximize"):
                msg = "the optimizer climbs (maximize=True): give it the loss with the other sign, and let it descend"
                raise InputError(msg)
            moved = [p for p in given["params"] if p.requires_grad]
            group = _group(rule, sum(p.numel() for p in moved))
            self.groups.append(group)
            for p in moved:
                divisor, eps = _divisor(group, optimizer.state.get(p, {}), p)
                vectors.append(torch.from_numpy(group.lr / divisor).to(p.device, torch.float32))
                small += int(eps.sum())
        self.vector = torch.cat(vectors)
        self.bounded = small / max(sum(group.n for group in self.groups), 1)
        self.adaptive = any(group.map is not None and group.map.frozen for group in self.groups)

    def over_limit(self) -> Tensor:
        """D of the edge, where D^(1/2) H D^(1/2) reaches 1: lr / P over the limit of the group, 0 for groups without one."""
        return self.vector * self._each(lambda group: 1 / group.limit if group.limit > 0 else 0.0)

    def of_decay(self) -> Tensor | None:
        """What weight decay adds to that matrix's diagonal, None without it.

        Coupled decay is a curvature, lr wd / P over the limit. At the edge a step turns p into -p, of which decoupled decay does
        its part, lr wd of 2.
        """
        if not any(group.coupled or group.decoupled for group in self.groups):
            return None
        coupled = self._each(lambda group: group.coupled / group.limit if group.limit > 0 else 0.0)
        return self.vector * coupled + self._each(lambda group: group.lr * group.decoupled / 2 if group.limit > 0 else 0.0)

    def heated(self) -> Tensor:
        """What a variance of the gradient is multiplied by to be a temperature: NaN for rules for which that is not known."""
        return self.vector * self._each(lambda group: group.heat)

    def _each(self, number: Callable[[Group], float]) -> Tensor:
        """A number of each group, beside each of its parameters; one number if it is the same for all."""
        numbers = [number(group) for group in self.groups]
        if len(set(numbers)) == 1:
            return self.vector.new_tensor(numbers[0])
        return torch.cat([self.vector.new_full((group.n,), each) for group, each in zip(self.groups, numbers, strict=True)])


def _group(rule: Rule, n: int) -> Group:
    parts = rule.transforms if isinstance(rule, Chained) else []
    bare = rule.rule if isinstance(rule, Chained) else rule
    coupled = sum(part.wd for part in parts if isinstance(part, weight_decay)) + (bare.wd if bare.decay == "coupled" else 0.0)
    decoupled = bare.wd if bare.decay == "decoupled" else 0.0
    lr = float(getattr(bare, "lr", 1.0))
    if lr == 0:
        msg = "the learning rate is 0: give the optimizer the rate to ask about (a warm-up begins at 0: ask with its top)"
        raise InputError(msg)
    bare = bare.replace(wd=0.0, **({"lr_decay": 0.0} if hasattr(bare, "lr_decay") else {}))
    made, limit, heat = None, math.nan, math.nan
    if not any(isinstance(part, sam) for part in parts):
        with contextlib.suppress(RuleError):
            made = linear(bare)
            limit = stability(bare).limit
            heat = stationary(bare, 1e-5 / lr).temperature / lr
    smooth = made if made is not None and made.smooth else None
    scheduled = any(isinstance(part, schedule) for part in parts)
    return Group(rule, bare, lr, smooth, limit, heat, coupled, decoupled, scheduled, n)


def _divisor(group: Group, state: Mapping[str, Any], p: Tensor) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """P of each number of a tensor, and where eps makes it twice as large.

    P is what a gradient does at slots of 1, over what it does at the slots as they stand. Slots that average begin at 0: after t
    steps one of 1 has come as far as 1 - a^t, and a rule that corrects for that does so on both sides.
    """
    n, made = p.numel(), group.map
    if made is None or not made.frozen or not state:
        return np.ones(n), np.zeros(n, bool)
    kind, rule = type(group.rule), group.bare
    numbers = {f"self.{name}": value for name, value in vars(rule).items() if isinstance(value, int | float)}
    numbers |= dict.fromkeys(("t", "clock"), float(state.get("step", 1.0)))
    numbers |= {f"s.{name}": float(state[slot_key(kind, name)]) for name in rule.scalars.initial if slot_key(kind, name) in state}
    names = [name for name in (*made.frozen, *made.aside) if slot_key(kind, name) in state]
    held = {name: state[slot_key(kind, name)].detach().cpu().double().reshape(-1).numpy() for name in names}
    ones: dict[str, Any] = {name: _grown(made, name, numbers) if name in made.frozen else 0.0 for name in names}
    reference = float(_force(made, numbers | {"self.eps": 0.0}, ones))
    divisor, eps = np.empty(n), np.empty(n, bool)
    for i in range(0, n, SLICE):
        part = {name: value[i : i + SLICE] for name, value in held.items()}
        force, bare = (_force(made, numbers | {"self.eps": each}, part) for each in (numbers.get("self.eps", 0.0), 0.0))
        with np.errstate(all="ignore"):
            divisor[i : i + SLICE] = reference / force
            eps[i : i + SLICE] = np.abs(bare) >= 2 * np.abs(force)
    if np.isnan(divisor).any():
        msg = f"{int(np.isnan(divisor).sum()):,} numbers are divided by the root of less than 0 in {rule!r}: its state is broken"
        raise InputError(msg)
    return divisor, eps


def _grown(made: Linear, slot: str, numbers: Mapping[str, Any]) -> float:
    """How far a slot that averages has come on its way to 1 after t steps; 1 for one that does not average."""
    state, place = dict.fromkeys(made.frozen, 1 + 1j * _H), made.programs[-1].slots[slot]
    kept, late = (float(np.imag(_evaluated(made, {**numbers, "t": t}, state, 2.0)[place]) / _H) for t in (numbers["t"], LATE))
    return 1 - kept ** numbers["t"] if 0 < kept < 1 and kept == late else 1.0


def _force(made: Linear, numbers: Mapping[str, Any], held: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """What a small gradient does to p in one step, for each of these slots."""
    values = _evaluated(made, numbers, held, 1j * _H, hold=True)
    return np.asarray(-np.imag(values[made.programs[-1].p]) / _H)


def _evaluated(
    made: Linear, numbers: Mapping[str, Any], state: Mapping[str, Any], g: complex, *, hold: bool = False
) -> dict[int, Any]:
    """The last program's values at p = 0 and a gradient; `hold`: what divides the gradient is `state` in its new value too."""
    program = made.programs[-1]
    inputs = dict.fromkeys(program.inputs, 0.0) | dict(made.numbers) | dict(numbers) | {"p": 0j, "g": g}
    inputs |= {f"s.{name}": value + 0j for name, value in state.items()}
    values = {place: inputs[name] for name, place in program.inputs.items()}
    if hold:
        values |= {program.slots[name]: value + 0j for name, value in state.items()}
    with np.errstate(all="ignore"):
        evaluate(program, range(len(program.nodes)), values, COMPLEX)
    return values
