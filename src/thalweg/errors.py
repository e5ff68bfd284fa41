"""Errors for the person at the keyboard: one line that says what is wrong, the offending value or file, and what to do.

Every class is a ThalwegError and also the built-in that a caller would catch, so `except ValueError` and `except ThalwegError`
both work. The command line prints the line and ends with status 1 (2 for UsageError: wrong use, visible from the command alone).
"""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Iterable


class ThalwegError(Exception):
    """Base of all errors that thalweg raises on purpose. `str(error)` is one line for a person."""

    def __str__(self) -> str:  # KeyError would show the repr of its argument, OSError a tuple
        return visible(" ".join(str(self.args[0]).split())) if self.args else self.__class__.__name__


class InputError(ThalwegError, ValueError):
    """A value or a file content that cannot be used."""


class MissingFileError(ThalwegError, FileNotFoundError):
    """A file or folder that is not there."""


class OutputExistsError(ThalwegError, FileExistsError):
    """An output directory that holds something already."""


class StorageError(ThalwegError, OSError):
    """The disk is full, or a file cannot be read or written. `errno` is that of the cause."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:  # pickled whole, as between processes
        return type(self), (*self.args, self.errno)


class DamagedFileError(ThalwegError, ValueError):
    """A file that does not hold what its header, manifest or format promises."""


class UnknownWordError(ThalwegError, KeyError):
    """A word that the vocabulary does not hold. `near` lists near spellings, the nearest first."""

    def __init__(self, message: str, near: list[str] | None = None) -> None:
        super().__init__(message)
        self.near = near or []


class ExpressionError(InputError):
    """An expression that does not parse: wrong use (exit status 2).

    `expression` is what was given, `position` the place of the fault (0 is its start).
    """

    def __init__(self, message: str, expression: str, position: int) -> None:
        super().__init__(message)
        self.expression = expression
        self.position = position

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (*self.args, self.expression, self.position)


class EnergyError(InputError):
    """An energy that breaks the contract `energy(x) -> (n,)`, each row on its own."""


class RuleError(InputError):
    """An optimiser rule, or one of its hyper-parameters, that cannot work."""


class MissingExtraError(ThalwegError, ImportError):
    """A library that an optional feature needs is not installed."""


class UsageError(ThalwegError, ValueError):
    """Wrong use that is visible from the command line alone (exit status 2)."""


def visible(text: str) -> str:
    r"""Text with control and formatting characters (escape sequences, bidi marks, zero widths) shown as codes, for any display.

    >>> visible("a\x1b[31mb\u202ec")
    'a\\x1b[31mb\\u202ec'
    """
    if text.isprintable():
        return text
    hidden = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return "".join(_code(ch) if unicodedata.category(ch) in hidden else ch for ch in text)


def _code(ch: str) -> str:
    return f"\\x{ord(ch):02x}" if ord(ch) < 256 else f"\\u{ord(ch):04x}" if ord(ch) < 1 << 16 else f"\\U{ord(ch):08x}"


def quoted(text: str) -> str:
    """A text in double quotes for a message, cut where it would fill the screen."""
    return f'"{text}"' if len(text) <= 80 else f'"{text[:79]}…"'


def whole_number(name: str, value: object, *, least: int, hint: str = "") -> int:
    """`value` as an int (NumPy's whole numbers too). Raises InputError, naming the argument, for anything else or less."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        msg = f"{name}={value!r} is not a whole number of {least} or more{'; ' * bool(hint)}{hint}"
        raise InputError(msg)
    return number


def near_misses(word: str, choices: Iterable[str]) -> str:
    """' Did you mean a or b?' for a mistyped name, or the list of choices where nothing is near."""
    import difflib

    choices = list(choices)
    near = difflib.get_close_matches(word, choices, n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else f" There are: {', '.join(choices)}."
