"""A rule with another unit of time: its steps cut to h, so that h -> 0 leaves the differential equation behind it.

    lr -> h^k lr  (k = 1),     a decay b -> b^h,     a slot s = h^k S  (k = 0),     t = tau/h + 1

with other powers k where a rule names them in `times`: the heavy ball's lr is the square of a step, and its m a velocity over it.
One step of the rule as it stands is h = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import RuleError
from thalweg.optim.backends.reference import run
from thalweg.optim.language.fields import DECIDING
from thalweg.optim.language.functions import NUMPY, Functions
from thalweg.optim.language.program import Program
from thalweg.optim.language.rule import Rule
from thalweg.optim.language.symbols import HOST

Array = npt.NDArray[Any]
Values = dict[str, Array]  # "p" (n, d), "s.m" (n, d), a scalar of the rule () ...
Gradient = Callable[[Array], Array]


def advance(
    programs: Iterable[Program],
    state: Mapping[str, Any],
    numbers: Mapping[str, Any],
    gradient: Gradient,
    functions: Functions = NUMPY,
) -> Values:
    """One step through a rule's programs: the new values of what `state` names."""
    kept = dict(state)
    for program in programs:
        inputs = {name: kept.get(name, 0.0) for name in program.inputs} | {"g": gradient(kept["p"])}
        kept |= run(program, inputs | dict(numbers), functions)
    return {name: kept[name] for name in state}


def deterministic(rule: Rule) -> None:
    """Raises RuleError for a rule that draws random numbers: what is asked of it here has none."""
    if any("noise" in each.inputs for each in rule.programs()):
        msg = f"{type(rule).__name__} draws random numbers, which have no part in this: ask about the rule without its noise"
        raise RuleError(msg)


class Scaled:
    """A rule whose steps are cut to any h > 0. Raises RuleError for one that the shape of a tensor decides."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.programs, self.powers = rule, rule.programs(), rule.times()
        if any(each.shaped for each in self.programs):
            msg = f"{type(rule).__name__} is made for matrices: it has no flow on a list of numbers"
            raise RuleError(msg)
        deterministic(rule)
        last = self.programs[-1]
        self.slots = tuple(f"s.{name}" for name in rule.slots.initial if name in last.slots)
        self.scalars = tuple(f"s.{name}" for name in last.scalars)
        self._kinds = {each.name: str(each.metadata["kind"]) for each in fields(rule)}

    def power(self, name: str) -> float:
        """The k of h^k by which a number (a field, or "s.m" for a slot) changes."""
        return self.powers.get(name, 1.0 if self._kinds.get(name) == "rate" else 0.0)

    def kind(self, name: str) -> str:
        """What a field is declared as: "rate", "decay", "const"."""
        return self._kinds[name]

    def numbers(self, h: Any) -> dict[str, Any]:
        """The hyper-parameters at step h, by the names of a program's inputs."""
        made: dict[str, Any] = {}
        for name, kind in self._kinds.items():
            value = getattr(self.rule, name)
            if kind not in DECIDING:
                kept = kind == "decay" and name not in self.powers
                made[f"self.{name}"] = 0.0 if value == 0 else value**h if kept else value * h ** self.power(name)
        return made

    def start(self, p: Array) -> Values:
        """What stands before the first step: slots as the rule starts them."""
        initial = {
            f"s.{name}": value for name, value in {**self.rule.slots.of(self.rule), **self.rule.scalars.of(self.rule)}.items()
        }
        return {"p": p} | {name: np.full(p.shape, initial[name]) for name in self.slots} | {
            name: np.array(initial[name]) for name in self.scalars
        }  # fmt: skip

    def step(self, z: Mapping[str, Array], h: Any, tau: Any, gradient: Gradient, functions: Functions = NUMPY) -> Values:
        """The state a step of h after time tau."""
        units = {name: h ** self.power(name) if self.power(name) else 1.0 for name in z}
        numbers = self.numbers(h) | {"t": tau / h + 1, "clock": tau / h + 1}
        after = advance(self.programs, {name: value * units[name] for name, value in z.items()}, numbers, gradient, functions)
        return {name: after[name] / units[name] for name in z}

    def counts_steps(self) -> bool:
        """Whether it looks at t through a corner (a maximum, a sign): then it has no limit for h -> 0."""
        corners = ("abs", "sign", "minimum", "maximum", "floor")
        nodes = [node for each in self.programs for node in each.nodes]
        return any(node.op in corners and node.level == HOST for node in nodes)
