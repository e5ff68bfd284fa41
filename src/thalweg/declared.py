"""Settings that are declared once: a dataclass field that knows what it may be, and what it is for.

    @dataclass(frozen=True)
    class Settings:
        dim: int = whole(128, low=1, help="Numbers in a vector.", shown=True)
        solver: str = choice("als", *SOLVERS, help="How it is minimised.")

        def __post_init__(self) -> None:
            check(self)

`check` and the options of commands (`thalweg.options.declared`) are made of the same declarations. None is allowed where it is the
default: what it stands for is said in the help.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, cast

from thalweg.errors import InputError, near_misses, whole_number

KEY = "thalweg"  # of a field's metadata


@dataclass(frozen=True)
class Declaration:
    """kind: "number", "whole" or "choice"; low, high: bounds that are allowed; above, below: bounds that are not; options: of a
    choice; shown: in `--help`, others in `--help-all`; typed: whether commands have it as an option.
    """

    kind: str
    help: str
    options: tuple[str, ...] = ()
    low: float | None = None
    above: float | None = None
    high: float | None = None
    below: float | None = None
    shown: bool = False
    typed: bool = True
    metavar: str | None = None

    @property
    def wanted(self) -> str:
        """What a number may be, in words."""
        match (self.low, self.above, self.high, self.below):
            case (None, None, None, None):
                return "a finite number"
            case (None, 0, None, None):
                return "a positive number"
            case (low, None, None, None):
                return f"a number, {low:g} or more"
            case (low, None, high, None):
                return f"a number from {low:g} to {high:g}"
            case (low, None, None, below):
                return f"a number from {low:g}, below {below:g}"
        msg = f"no words for the bounds of {self}"
        raise TypeError(msg)

    def holds(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.low is None or value >= self.low)
            and (self.above is None or value > self.above)
            and (self.high is None or value <= self.high)
            and (self.below is None or value < self.below)
        )


def number(default: float | None, help: str, **about: Any) -> Any:
    """A finite number within bounds."""
    return field(default=default, metadata={KEY: Declaration("number", help, **about)})


def whole(default: int | None, help: str, *, low: int, **about: Any) -> Any:
    """A whole number of at least `low`."""
    return field(default=default, metadata={KEY: Declaration("whole", help, low=low, **about)})


def choice(default: str | None, *options: str, help: str, **about: Any) -> Any:
    """One of a few words."""
    return field(default=default, metadata={KEY: Declaration("choice", help, options, **about)})


def declarations(kind: Any) -> Iterator[tuple[Field[Any], Declaration]]:
    """The fields of a dataclass that are declared here, in their order."""
    return ((each, cast(Declaration, each.metadata[KEY])) for each in fields(kind) if KEY in each.metadata)


def check(made: Any) -> None:
    """Compare the values with their declarations, whole numbers as ints. Raises InputError for one that is not allowed."""
    for each, declared in declarations(made):
        name, value = each.name, getattr(made, each.name)
        if value is None and each.default is None:
            continue
        if declared.kind == "whole":
            object.__setattr__(made, name, whole_number(name, value, least=int(declared.low or 0)))
        elif declared.kind == "choice":
            if value not in declared.options:
                msg = f"{name}={value!r} is not known.{near_misses(str(value), declared.options)}"
                raise InputError(msg)
        elif not (isinstance(value, (int, float)) and declared.holds(value)):
            msg = f"{name}={value!r} is not {declared.wanted}"
            raise InputError(msg)
