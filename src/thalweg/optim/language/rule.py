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
`step` is written for one element: it never asks for a shape, and changes nothing in place. Functions come from
`thalweg.optim.ops`. The same `step` runs on NumPy arrays, and once on symbols: `rule.program()` is what it then wrote down,
from which every fast form is made.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import KW_ONLY, Field, dataclass, field, fields, replace
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, cast

from thalweg.errors import RuleError, near_misses

if TYPE_CHECKING:
    from thalweg.optim.language.program import Program

Value: TypeAlias = Any  # a float, an array or a symbol: whatever has + - * / ** and comparisons
Stages: TypeAlias = Generator[Any, Any, "tuple[Value, State]"]
DECIDING = ("flag", "choice", "count")  # kinds that decide what the step does, where others are numbers in it
Forms: TypeAlias = Mapping[str, Mapping[str, float | bool | str]]  # library -> the fields that make its form of a rule


def rate(default: float) -> float:
    """Declare a learning rate: a finite number of at least 0."""
    return cast(float, _declare("rate", default))


def decay(default: float, *, off_at: float | None = None) -> float:
    """Declare a factor by which a slot is kept from step to step: a number in [0, 1).

    With `off_at=0` the terms that it multiplies vanish from the program where it is 0, and the slots that only they need.
    """
    return cast(float, _declare("decay", default, off_at=off_at))


def const(default: float, *, off_at: float | None = None, least: float = 0.0) -> float:
    """Declare any other number: finite and at least `least`. `off_at` as for `decay`."""
    return cast(float, _declare("const", default, off_at=off_at, least=least))


def number(default: float) -> float:
    """Declare a number of either sign, as the coefficients of a polynomial are: finite."""
    return cast(float, _declare("number", default))


def count(default: int, most: int) -> int:
    """Declare a whole number up to `most`, as the rounds of an iteration: like a choice, it decides what the step does."""
    return cast(int, _declare("count", default, most=most))


def flag(default: bool) -> bool:
    """Declare a switch between two forms of the step."""
    return cast(bool, _declare("flag", default))


def choice(default: str, *others: str) -> str:
    """Declare a choice between named forms of the step."""
    return cast(str, _declare("choice", default, (default, *others)))


def _declare(kind: str, default: object, options: tuple[str, ...] = (), off_at: float | None = None, **limits: float) -> object:
    return field(default=default, metadata={"kind": kind, "options": options, "off_at": off_at, **limits})


class Slots:
    """The state that a rule keeps: slot names and their values before the first step, as in Slots(m=0).

    A value is a number, or the name of the hyper-parameter that holds it, as in Slots(size="lr").
    """

    def __init__(self, **initial: float | str) -> None:
        for name, value in initial.items():
            if _number(value) is None and not isinstance(value, str):
                msg = f"slot {name}={value!r} must start from a finite number"
                raise RuleError(msg)
        kept = {name: value if isinstance(value, str) else float(value) for name, value in initial.items()}
        self.initial: Mapping[str, float | str] = MappingProxyType(kept)

    def of(self, rule: Rule) -> dict[str, float]:
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


@dataclass(frozen=True)
class Rule(ABC):
    """One optimiser: a frozen dataclass whose fields are declared with rate, decay, const, flag or choice, and a `step`.

    Two rules are equal if they are of one class and have equal fields; `repr` evaluates back. Constructing one raises RuleError
    for a value that its kind does not allow. `slots` are kept for every element, `scalars` once for a tensor (in float64).

    Every rule has weight decay `wd`, 0 unless it says otherwise, which its step applies with `p, g = self.decayed(p, g)`:
    "coupled" adds wd p to the gradient (the gradient of wd/2 p^2), "decoupled" shrinks p by lr wd before the step.
    """

    _: KW_ONLY
    wd: float = const(0.0, off_at=0)
    decay: str = choice("coupled", "decoupled")

    slots: ClassVar[Slots] = Slots()
    scalars: ClassVar[Slots] = Slots()
    shapes: ClassVar[Mapping[str, str]] = MappingProxyType({})  # slots with one number for each "row" (an axis of 1 last) or "col"
    conventions: ClassVar[Forms] = MappingProxyType({})

    @abstractmethod
    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        """The parameters and the slots after step t = 1, 2, ... from p, where the gradient is g."""

    def stages(self, p: Value, s: State, t: Value) -> Stages:
        """The step as a generator that asks for a gradient with `g = yield point`, first at p, and returns what `step` returns."""
        g = yield p
        return self.step(p, g, s, t)

    def advance(self, gradient: Callable[[Value], Value], p: Value, s: State, t: Value) -> tuple[Value, State]:
        """One step, with the gradient wherever the rule asks for it: `step` for rules of any number of stages."""
        stages = self.stages(p, s, t)
        point = next(stages)
        try:
            while True:
                point = stages.send(gradient(point))
        except StopIteration as end:
            return cast("tuple[Value, State]", end.value)

    def times(self) -> Mapping[str, float]:
        """The powers of h by which numbers change when a step is cut to h of its time, where they are not the usual ones.

        Usual are lr -> h lr, a decay b -> b^h, all else unchanged. Named by field ("lr": 2) or slot ("s.m": -1); a decay named
        here is multiplied like the others. `thalweg.optim.dynamics.flow` takes the limit of h -> 0.
        """
        return {}

    def suited(self, axes: int) -> Rule:
        """The rule for a tensor with that many axes: itself, unless it is made for matrices."""
        return self

    def evaluated(self, p: Value, s: State) -> Value:
        """The weights to evaluate a model at where the parameters hold p: p itself, for nearly all rules."""
        return p

    def __new__(cls, *_: object, **__: object) -> Self:
        """Raises RuleError for a class that dataclass has not seen: its numbers would be no arguments."""
        if "__dataclass_fields__" not in vars(cls) and any(isinstance(each, Field) for each in vars(cls).values()):
            msg = f"{cls.__name__} declares numbers, but is no dataclass: write @dataclass(frozen=True) above its class"
            raise RuleError(msg)
        return super().__new__(cls)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in ("slots", "scalars"):
            given: object = getattr(cls, name)
            if not isinstance(given, Slots):
                msg = f"{cls.__name__}.{name} is {given!r}; write it as {name} = Slots(m=0)"
                raise RuleError(msg)
        if cls.__repr__ is Rule.__repr__:
            cls.__repr__ = Rule.__repr__  # type: ignore[method-assign]  # one of its own, so that @dataclass does not write another

    def __repr__(self) -> str:
        """Numbers in their order; the keyword-only fields (decay, flags, conventions) where they differ from their defaults."""
        shown = [each for each in fields(self) if not each.kw_only]
        shown += [each for each in fields(self) if each.kw_only and getattr(self, each.name) != each.default]
        return f"{type(self).__name__}({', '.join(f'{each.name}={getattr(self, each.name)!r}' for each in shown)})"

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, checked(type(self).__name__, each, getattr(self, each.name)))

    @classmethod
    def like(cls, library: str, **given: object) -> Self:
        """The rule with the form and the defaults of a library, "torch", "optax" or "keras": Adam.like("keras", lr=0.01)."""
        if library not in ("torch", "optax", "keras"):
            msg = f"{cls.__name__}.like({library!r}): it is torch, optax or keras"
            raise RuleError(msg)
        return cls().replace(**{**cls.conventions.get(library, {}), **given})

    def decayed(self, p: Value, g: Value) -> tuple[Value, Value]:
        """P and g under weight decay, which comes before everything else in a step."""
        if self.decay == "coupled":
            return p, g + self.wd * p
        return p * (1 - getattr(self, "lr", 1) * self.wd), g

    def init(self, p: Value) -> State:
        """The slots before the first step, float64 arrays of the shape of p. RuleError for complex numbers."""
        import numpy as np

        if np.iscomplexobj(p):
            msg = "p has complex numbers, which every rule steps as pairs of reals: give p.view(float), and gradients of that form"
            raise RuleError(msg)
        return State({name: np.full(np.shape(p), value) for name, value in self.slots.of(self).items()} | self.scalars.of(self))

    def program(self, **variant: bool) -> Program:
        """What one step does, as straight-line code: `print(rule.program())`. Rules that differ in numbers only share it.

        `maximize=True` climbs instead; `scaled=True` divides the gradient by a run-time number `grad_scale` first.
        """
        programs = self.programs(**variant)
        if len(programs) > 1:
            msg = f"{type(self).__name__} takes {len(programs)} gradients a step; its programs are those of rule.programs()"
            raise RuleError(msg)
        return programs[0]

    def programs(self, **variant: bool) -> tuple[Program, ...]:
        """One program for each gradient that a step takes, see `trace.programs`."""
        from thalweg.optim.language.trace import programs

        return programs(self, **variant)

    def replace(self, **changes: object) -> Self:
        """The same rule with other hyper-parameters: rule.replace(lr=0.01). Raises RuleError for an unknown one."""
        _check_names(type(self), changes)
        return replace(self, **cast(Any, changes))

    def to_config(self) -> dict[str, float | bool | str]:
        """Everything that makes this rule, for JSON: its class's name under "rule" (see `rules.known_as`), then its fields."""
        from thalweg.optim.rules import known_as

        return {"rule": known_as(type(self)), **{each.name: getattr(self, each.name) for each in fields(self)}}

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """The rule that `to_config` wrote; absent fields keep their defaults. RuleError: another rule's, or a faulty value."""
        from thalweg.optim.rules import known_as

        given = dict(config)
        name = given.pop("rule", None)
        if name != known_as(cls):
            msg = f"the configuration is that of {name!r}, not of {known_as(cls)!r}; find its class with thalweg.optim.get"
            raise RuleError(msg)
        return cls().replace(**given)


def _check_names(rule: type[Rule], given: Iterable[str]) -> None:
    names = [each.name for each in fields(rule)]
    for name in given:
        if name not in names:
            msg = f"{rule.__name__} has no hyper-parameter {name!r}.{near_misses(name, names)}"
            raise RuleError(msg)


def renewed(rule: Rule, changes: Mapping[str, object]) -> Rule | None:
    """`rule.replace` for a few numbers among many, checking those alone; None if one is no number of the rule, or not allowed."""
    made = object.__new__(type(rule))
    made.__dict__.update(vars(rule))
    for name, value in changes.items():
        each = type(rule).__dataclass_fields__.get(name)
        found = None if each is None or each.metadata["kind"] in DECIDING else _allowed(each, value)
        if found is None:
            return None
        made.__dict__[name] = found
    return made


def checked(
    rule: str, declared: Field[Any], value: object, spelt: tuple[str, object] | None = None, reason: str = ""
) -> float | bool | str:
    """The value of a field as a plain number, bool or str. RuleError if it is not allowed.

    spelt: the name and the value as they were given, where they are others; reason: what is allowed, in their terms.
    """
    found = _allowed(declared, value)
    if found is None:
        name, given = spelt or (declared.name, value)
        msg = f"{rule}: {name}={given!r} is not allowed; {reason or _reason(rule, declared, value)}"
        raise RuleError(msg)
    return found


def _allowed(declared: Field[Any], value: object) -> float | bool | str | None:
    """The value of a field, None if it is not allowed."""
    match declared.metadata.get("kind"):
        case "flag":
            return value if isinstance(value, bool) else None
        case "choice":
            return value if isinstance(value, str) and value in declared.metadata["options"] else None
        case None:
            return None
        case kind:
            number = _number(value)
    if number is None or kind == "number":
        return number
    if kind == "decay":
        return number if 0 <= number < 1 else None
    if kind == "count":
        return int(number) if number == int(number) and 0 <= number <= declared.metadata["most"] else None
    return number if number >= declared.metadata.get("least", 0) else None


def _reason(rule: str, declared: Field[Any], value: object) -> str:
    """What a field may be. RuleError for one without a kind."""
    match declared.metadata.get("kind"):
        case "flag":
            return "it is True or False"
        case "choice":
            return f"it must be one of the choices.{near_misses(str(value), declared.metadata['options'])}"
        case "decay":
            return "a decay is a number in [0, 1), 1 itself excluded"
        case "number":
            return "it is a finite number"
        case "count":
            return f"it is a whole number from 0 to {declared.metadata['most']}"
        case "rate" | "const" as kind:
            return f"a {kind} is a finite number of at least {declared.metadata.get('least', 0):g}"
    msg = f"{rule}.{declared.name} has no kind; declare it with rate, decay, const, number, count, flag or choice"
    raise RuleError(msg)


def _number(value: object) -> float | None:
    """A finite real number as a float (NumPy's scalars too), None for anything else."""
    if type(value) is float:  # nearly always, and a step reads the numbers of all its groups
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:  # an int beyond 1e308
        return None
    return number if math.isfinite(number) else None
