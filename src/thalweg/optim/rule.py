"""What an optimiser is: hyper-parameters, slots, and one step in plain operators. A whole rule reads

    @dataclass(frozen=True)
    class RMSprop(Rule):
        lr: float = rate(0.01)
        alpha: float = decay(0.99)
        eps: float = const(1e-8)
        slots = Slots(v=0)                                   # name -> value before the first step

        def step(self, p, g, s, t):
            v = self.alpha * s.v + (1 - self.alpha) * g * g
            return p - self.lr * g / (v**0.5 + self.eps), s(v=v)

p are the parameters, g is the gradient of the loss there, s.v a slot, t = 1, 2, ... the number of this step.
`step` is written for one element: it never asks for a shape, and changes nothing in place.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from numbers import Real
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeAlias, cast

from thalweg.errors import RuleError, near_misses

Value: TypeAlias = Any  # a float or an array: whatever has + - * / ** and comparisons


def rate(default: float) -> float:
    """Declare a learning rate: a finite number of at least 0."""
    return cast(float, _declare("rate", default))


def decay(default: float) -> float:
    """Declare a factor by which a slot is kept from step to step: a number in [0, 1)."""
    return cast(float, _declare("decay", default))


def const(default: float) -> float:
    """Declare any other number: finite and at least 0."""
    return cast(float, _declare("const", default))


def flag(default: bool) -> bool:
    """Declare a switch between two forms of the step."""
    return cast(bool, _declare("flag", default))


def choice(default: str, *others: str) -> str:
    """Declare a choice between named forms of the step."""
    return cast(str, _declare("choice", default, (default, *others)))


def _declare(kind: str, default: object, options: tuple[str, ...] = ()) -> object:
    return field(default=default, metadata={"kind": kind, "options": options})


class Slots:
    """The state that a rule keeps for each element: slot names and their values before the first step, as in Slots(m=0)."""

    def __init__(self, **initial: float) -> None:
        for name, value in initial.items():
            if _number(value) is None:
                msg = f"slot {name}={value!r} must start from a finite number"
                raise RuleError(msg)
        self.initial: Mapping[str, float] = MappingProxyType({name: float(value) for name, value in initial.items()})

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
            raise RuleError(msg)
        return State(slots)

    def __getattr__(self, name: str) -> Value:  # reached only for what is not a slot
        if name.startswith("__"):  # copy, pickle and NumPy ask for methods that we do not have
            raise AttributeError(name)
        msg = f"s.{name}: the rule has no such slot.{near_misses(name, self.__dict__) if self.__dict__ else ' It has none.'}"
        raise RuleError(msg)

    def __repr__(self) -> str:
        return f"State({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


@dataclass(frozen=True)
class Rule(ABC):
    """One optimiser: a frozen dataclass whose fields are declared with rate, decay, const, flag or choice, and a `step`.

    Two rules are equal if they are of one class and have equal fields; `repr` evaluates back. Constructing one raises RuleError
    for a value that its kind does not allow.
    """

    slots: ClassVar[Slots] = Slots()

    @abstractmethod
    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        """The parameters and the slots after step t = 1, 2, ... from p, where the gradient is g."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        slots: object = cls.slots
        if not isinstance(slots, Slots):
            msg = f"{cls.__name__}.slots is {slots!r}; write it as slots = Slots(m=0)"
            raise RuleError(msg)

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, _checked(type(self).__name__, each, getattr(self, each.name)))

    def init(self, p: Value) -> State:
        """The slots before the first step, float64 arrays of the shape of p."""
        import numpy as np

        return State({name: np.full(np.shape(p), value) for name, value in self.slots.initial.items()})

    def replace(self, **changes: object) -> Self:
        """The same rule with other hyper-parameters: rule.replace(lr=0.01). Raises RuleError for an unknown one."""
        _check_names(type(self), changes)
        return replace(self, **changes)

    def to_config(self) -> dict[str, float | bool | str]:
        """Everything that makes this rule, for JSON: its class's name under "rule", then its fields."""
        return {"rule": type(self).__name__, **{each.name: getattr(self, each.name) for each in fields(self)}}

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """The rule that `to_config` wrote; absent fields keep their defaults. RuleError: another rule's, or a faulty value."""
        given = dict(config)
        name = given.pop("rule", None)
        if name != cls.__name__:
            msg = f"the configuration is that of {name!r}, not of {cls.__name__!r}; find its class with thalweg.optim.get"
            raise RuleError(msg)
        return cls().replace(**given)


def _check_names(rule: type[Rule], given: Iterable[str]) -> None:
    names = [each.name for each in fields(rule)]
    for name in given:
        if name not in names:
            msg = f"{rule.__name__} has no hyper-parameter {name!r}.{near_misses(name, names)}"
            raise RuleError(msg)


def _checked(rule: str, declared: Field[Any], value: object) -> float | bool | str:
    """The value of a field as a plain float, bool or str; RuleError if its kind does not allow it."""
    kind, options = declared.metadata.get("kind"), declared.metadata.get("options", ())
    number = _number(value)
    if kind in ("rate", "const"):
        if number is not None and number >= 0:
            return number
        allowed = f"a {kind} is a finite number of at least 0"
    elif kind == "decay":
        if number is not None and 0 <= number < 1:
            return number
        allowed = "a decay is a number in [0, 1), 1 itself excluded"
    elif kind == "flag":
        if isinstance(value, bool):
            return value
        allowed = "it is True or False"
    elif kind == "choice":
        if isinstance(value, str) and value in options:
            return value
        allowed = f"it must be one of the choices.{near_misses(str(value), options)}"
    else:
        msg = f"{rule}.{declared.name} has no kind; declare it with rate, decay, const, flag or choice"
        raise RuleError(msg)
    msg = f"{rule}: {declared.name}={value!r} is not allowed; {allowed}"
    raise RuleError(msg)


def _number(value: object) -> float | None:
    """A finite real number as a float (NumPy's scalars too), None for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:  # an int beyond 1e308
        return None
    return number if math.isfinite(number) else None
