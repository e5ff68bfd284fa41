"""The rules of parameter groups, as the numbers in them stand at a step.

A schedule writes into the groups, and a model may have a group for each of its parameters: a rule is made anew only where its
numbers have changed, and its programs are looked up only where more than numbers has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from thalweg.optim.language.program import Program
from thalweg.optim.language.rule import Rule
from thalweg.optim.torch.names import changed


@dataclass(frozen=True)
class Known:
    """What was written in a group, the rule that this makes, and its programs by (maximize, scaled)."""

    written: dict[str, Any]
    rule: Rule
    programs: dict[tuple[bool, bool], tuple[Program, ...]]


class Reading:
    """What was read last."""

    def __init__(self) -> None:
        self.known: dict[int, Known] = {}

    def rule(self, k: int, group: dict[str, Any], make: Callable[[dict[str, Any]], Rule]) -> Rule:
        """The rule of group k; `make` makes it from nothing."""
        written = {key: value for key, value in group.items() if key not in ("params", "param_names")}
        if any(
            isinstance(each, Tensor) for value in written.values() for each in (value if isinstance(value, tuple) else (value,))
        ):
            self.known.pop(k, None)
            return make(group)  # a tensor changes in place, so it has no value to compare with
        known = self.known.get(k)
        if known is None or known.written != written:
            rule = known and changed(known.rule, known.written, written)
            programs = known.programs if known and rule else {}
            known = self.known[k] = Known(written, rule or make(group), programs)
        return known.rule

    def programs(self, k: int, rule: Rule, maximize: bool, scaled: bool) -> tuple[Program, ...]:
        """The programs of group k, whose rule was read just now."""
        known = self.known.get(k)
        if known is None:
            return rule.programs(maximize=maximize, scaled=scaled)
        if (maximize, scaled) not in known.programs:
            known.programs[maximize, scaled] = rule.programs(maximize=maximize, scaled=scaled)
        return known.programs[maximize, scaled]
