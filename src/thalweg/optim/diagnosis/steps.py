"""What an optimizer would do with a gradient: its rules, and the rate that each number really gets.

A rule with a preconditioner moves p by lr / P g. P comes from the rule's own program: what a gradient of 1 does with the slots as
they are, against what it does with them at 1 and eps 0, where `dynamics.stability` counts.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thalweg.errors import InputError, RuleError
from thalweg.optim import torch as ours
from thalweg.optim.backends.reference import evaluate
from thalweg.optim.dynamics.linear import Linear, linear
from thalweg.optim.rule import Rule
from thalweg.optim.torch.names import slot_key
from thalweg.optim.torch.optimizer import Optimizer

SLICE = 1 << 20  # numbers at a time


def rules_of(optimizer: torch.optim.Optimizer) -> list[Rule]:
    """The rule of each parameter group. InputError for an optimizer that is neither ours nor one of torch's that we know."""
    if isinstance(optimizer, Optimizer):
        return [optimizer.rule_of(group) for group in optimizer.param_groups]
    kind = getattr(ours, type(optimizer).__name__, None)
    if not type(optimizer).__module__.startswith("torch.optim") or not (isinstance(kind, type) and issubclass(kind, Optimizer)):
        msg = f"the rule of {type(optimizer).__name__} is not known: take an optimizer of torch.optim or of thalweg.optim.torch"
        raise InputError(msg)
    known = inspect.signature(kind).parameters.keys() - {"params", "options"}
    found = []
    for group in optimizer.param_groups:
        made = kind([torch.zeros(1, requires_grad=True)], **{name: value for name, value in group.items() if name in known})
        found.append(made.rule_of(made.param_groups[0]))
    return found


class Rates:
    """lr / P of every number that an optimizer moves, as one vector beside a flat gradient.

    bare: the rules without decay and transforms; decay: the largest lr times decay; known: their linear maps, maps: those that are
    smooth; bounded: the share of the numbers whose step eps halves or more; adaptive: whether P is not 1.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        rules = rules_of(optimizer)
        if any(getattr(rule, "lr", 1.0) == 0 for rule in rules):
            msg = "the learning rate is 0: give the optimizer the rate to ask about (a warm-up begins at 0: ask with its top)"
            raise InputError(msg)
        vectors, small, count = [], 0, 0
        self.rules, self.bare = rules, [getattr(rule, "rule", rule).replace(wd=0.0) for rule in rules]
        self.decay = max(float(getattr(rule, "lr", 1.0)) * rule.wd for rule in rules)
        self.known = [_map(rule) for rule in self.bare]
        self.maps = [made if made is not None and made.smooth else None for made in self.known]
        for group, rule, made in zip(optimizer.param_groups, self.bare, self.maps, strict=True):
            for p in group["params"]:
                if p.requires_grad:
                    divisor, eps = _divisor(rule, made, optimizer.state.get(p, {}), p)
                    vectors.append(torch.from_numpy(float(getattr(rule, "lr", 1.0)) / divisor).to(p.device, torch.float32))
                    small, count = small + int(eps.sum()), count + p.numel()
        self.vector = torch.cat(vectors)
        self.bounded = small / count
        self.adaptive = any(made is not None and made.frozen for made in self.maps)


def _map(rule: Rule) -> Linear | None:
    try:
        return linear(rule)
    except RuleError:
        return None


def _divisor(
    rule: Rule, made: Linear | None, state: Mapping[str, Any], p: Tensor
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """P of each number of a tensor, and where eps makes it twice as large."""
    n = p.numel()
    if made is None or not made.frozen or not state:
        return np.ones(n), np.zeros(n, bool)
    held = {name: state[slot_key(type(rule), name)].detach().cpu().double().reshape(-1).numpy() for name in made.frozen}
    numbers = {f"self.{name}": value for name, value in vars(rule).items() if isinstance(value, int | float)}
    numbers["t"] = float(state.get("step", 1.0))
    for name in rule.scalars.initial:
        key = slot_key(type(rule), name)
        if key in state:
            numbers[f"s.{name}"] = float(state[key])
    reference = float(made.force()[0])
    divisor, eps = np.empty(n), np.empty(n, bool)
    for i in range(0, n, SLICE):
        part = {name: value[i : i + SLICE] for name, value in held.items()}
        force, bare = (_force(made, numbers | {"self.eps": each}, part) for each in (numbers.get("self.eps", 0.0), 0.0))
        with np.errstate(all="ignore"):
            divisor[i : i + SLICE] = reference / force
            eps[i : i + SLICE] = np.abs(bare) >= 2 * np.abs(force)
    return divisor, eps


def _force(made: Linear, numbers: Mapping[str, Any], held: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """What a gradient of 1 does to p in one step, with these slots."""
    program = made.programs[-1]
    moved = []
    for g in (1.0, 0.0):
        inputs = dict.fromkeys(program.inputs, 0.0) | dict(made.numbers) | dict(numbers) | {"p": 0.0, "g": g}
        inputs |= {f"s.{name}": value for name, value in held.items()}
        values = {place: inputs[name] for name, place in program.inputs.items()}
        values |= {program.slots[name]: value for name, value in held.items()}
        with np.errstate(all="ignore"):
            evaluate(program, range(len(program.nodes)), values)
        moved.append(np.asarray(values[program.p]))
    return np.asarray(np.broadcast_to(moved[0] - moved[1], next(iter(held.values())).shape))
