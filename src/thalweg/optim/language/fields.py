"""The numbers of a rule: what they may be, and how they are checked."""

from __future__ import annotations

import math
from dataclasses import Field, field
from numbers import Real
from typing import Any, cast

from thalweg.errors import RuleError, near_misses

DECIDING = ("flag", "choice", "count")  # kinds that decide what the step does, where others are numbers in it


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


def checked(
    rule: str, declared: Field[Any], value: object, spelt: tuple[str, object] | None = None, reason: str = ""
) -> float | bool | str:
    """The value of a field as a plain number, bool or str. RuleError if it is not allowed.

    spelt: the name and the value as they were given, where they are others; reason: what is allowed, in their terms.
    """
    found = allowed(declared, value)
    if found is None:
        name, given = spelt or (declared.name, value)
        msg = f"{rule}: {name}={given!r} is not allowed; {reason or _reason(rule, declared, value)}"
        raise RuleError(msg)
    return found


def allowed(declared: Field[Any], value: object) -> float | bool | str | None:
    """The value of a field, None if it is not allowed."""
    match declared.metadata.get("kind"):
        case "flag":
            return value if isinstance(value, bool) else None
        case "choice":
            return value if isinstance(value, str) and value in declared.metadata["options"] else None
        case None:
            return None
        case kind:
            number = finite(value)
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


def finite(value: object) -> float | None:
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
