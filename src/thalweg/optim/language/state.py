"""The state of a rule: its slots before the first step, and the slots of one run."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from thalweg.errors import RuleError, near_misses
from thalweg.optim.language.fields import finite

Value: TypeAlias = Any  # a float, an array or a symbol: whatever has + - * / ** and comparisons
Stages: TypeAlias = Generator[Any, Any, "tuple[Value, State]"]


class Slots:
    """The state that a rule keeps: slot names and their values before the first step, as in Slots(m=0).

    A value is a number, or the name of the hyper-parameter that holds it, as in Slots(size="lr").
    """

    def __init__(self, **initial: float | str) -> None:
        for name, value in initial.items():
            if finite(value) is None and not isinstance(value, str):
                msg = f"slot {name}={value!r} must start from a finite number"
                raise RuleError(msg)
        kept = {name: value if isinstance(value, str) else float(value) for name, value in initial.items()}
        self.initial: Mapping[str, float | str] = MappingProxyType(kept)

    def of(self, rule: object) -> dict[str, float]:
        """The values before the first step of that rule."""
        return {name: getattr(rule, value) if isinstance(value, str) else value for name, value in self.initial.items()}

    def __repr__(self) -> str:
        return f"Slots({', '.join(f'{name}={value!r}' for name, value in self.initial.items())})"


class State:
    """The slots of one run: read as `s.m`, renewed as `s(m=m)`, all of them at once. Nothing is changed in place."""

    def __init__(self, slots: dict[str, Value]) -> None:
        self.__dict__.update(slots)

    def __call__(self, **slots: Value) -> State:
        if slots.keys() != self.__dict__.keys():
            missing, unknown = self.__dict__.keys() - slots.keys(), slots.keys() - self.__dict__.keys()
            wrong = [f"{name} is not given" for name in sorted(missing)] + [f"there is no slot {name}" for name in sorted(unknown)]
            msg = f"s(...) takes every slot of the rule ({', '.join(self.__dict__) or 'it has none'}): {', '.join(wrong)}"
            raise RuleError(f"{_caller()}: {msg}")
        return State(slots)

    def __setattr__(self, name: str, value: Value) -> None:
        msg = f"s.{name} = ... would change the slots in place: return s({name}=...) from the step"
        raise RuleError(f"{_caller()}: {msg}")

    def __getattr__(self, name: str) -> Value:  # reached only for what is not a slot
        if name.startswith("__"):  # copy, pickle and NumPy ask for methods that we do not have
            raise AttributeError(name)
        msg = f"s.{name}: the rule has no such slot.{near_misses(name, self.__dict__) if self.__dict__ else ' It has none.'}"
        raise RuleError(f"{_caller()}: {msg}")

    def __repr__(self) -> str:
        return f"State({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


def _caller() -> str:
    """The file and line of the step that uses its state in a wrong way."""
    frame = sys._getframe(2)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
