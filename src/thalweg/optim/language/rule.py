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

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, Field, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeAlias, cast

from thalweg.errors import RuleError, near_misses
from thalweg.optim.language.fields import DECIDING, allowed, checked, choice, const
from thalweg.optim.language.program import Program
from thalweg.optim.language.state import Slots, Stages, State, Value
from thalweg.optim.language.trace import programs

Forms: TypeAlias = Mapping[str, Mapping[str, float | bool | str]]  # library -> the fields that make its form of a rule


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
        return programs(self, **variant)

    def replace(self, **changes: object) -> Self:
        """The same rule with other hyper-parameters: rule.replace(lr=0.01). Raises RuleError for an unknown one."""
        _check_names(type(self), changes)
        return replace(self, **cast(Any, changes))

    def to_config(self) -> dict[str, float | bool | str]:
        """Everything that makes this rule, for JSON: its class's name under "rule" (see `known_as`), then its fields."""
        return {"rule": known_as(type(self)), **{each.name: getattr(self, each.name) for each in fields(self)}}

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """The rule that `to_config` wrote; absent fields keep their defaults. RuleError: another rule's, or a faulty value."""
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
        found = None if each is None or each.metadata["kind"] in DECIDING else allowed(each, value)
        if found is None:
            return None
        made.__dict__[name] = found
    return made


OWN_NAME = "own "  # before the name of a rule of one's own that is called as one of the library's
KNOWN: dict[str, type[Rule]] = {}  # the library's rules, entered by `thalweg.optim.rules`, from which every list of rules is made


def known_as(kind: type[Rule]) -> str:
    """What files and parameter groups call a rule: its class's name, "own Adam" for a user's own that is called as one of these."""
    return kind.__name__ if KNOWN.get(key_of(kind.__name__), kind) is kind else OWN_NAME + kind.__name__


def key_of(name: str) -> str:
    return str(name).lower().replace("-", "").replace("_", "")
