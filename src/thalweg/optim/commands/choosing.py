"""Rules and problems as they are typed: `adam --lr 0.01 --b1 0.5`, `rmsprop --centered`, `mine.py:Mine --lr 0.1`.

A name with a colon is a user's own piece, FILE.py:NAME. What is wrong with the command line is a UsageError (status 2), what is
wrong with the file an InputError or MissingFileError (status 1); both are one line.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError, RuleError, UsageError, near_misses
from thalweg.own import failed, own

if TYPE_CHECKING:
    from thalweg.optim.language.rule import Rule
    from thalweg.optim.racing.problems import Problem


def split(text: str) -> list[str]:
    """The words of a rule that was typed as one: "adam --lr 0.01"."""
    try:
        return shlex.split(text)
    except ValueError as error:
        msg = f"{text!r} is no rule: {error}"
        raise UsageError(msg) from None


def rule_of(words: Sequence[str]) -> Rule:
    """The rule that these words name. UsageError, or InputError for what a file holds."""
    from thalweg.optim.language.rule import Rule

    name, given = (words[0], words[1:]) if words else ("", [])
    found = own(name) if ":" in name or name.endswith(".py") else _known(name)
    if not (isinstance(found, Rule) or (isinstance(found, type) and issubclass(found, Rule))):
        msg = f"{name} is {type(found).__name__}, not a rule: a subclass of thalweg.optim.Rule, or one made from it"
        raise InputError(msg)
    try:
        base = found() if isinstance(found, type) else found
        base.programs()
    except RuleError:
        raise
    except Exception as error:
        raise InputError(failed(f"{name} fails", error)) from error
    return _with(base, given)


def _known(name: str) -> type[Rule]:
    from thalweg.optim.rules import get

    try:
        return get(name)
    except RuleError as error:
        msg = f"{error} A rule of your own is FILE.py:NAME."
        raise UsageError(msg) from None


def _with(rule: Rule, given: Sequence[str]) -> Rule:
    """The rule with the numbers, choices and switches that follow its name."""
    declared = {each.name: each for each in fields(rule)}
    changes: dict[str, Any] = {}
    library, words = None, list(given)
    while words:
        option, equals, value = words.pop(0).partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--"):
            msg = f"{option!r} is not expected here: numbers of a rule are given as --name value"
            raise UsageError(msg)
        switch = declared.get(name.removeprefix("no_"))
        if switch is not None and switch.metadata["kind"] == "flag" and not equals:
            changes[switch.name] = not name.startswith("no_")
            continue
        if not equals:
            if not words:
                msg = f"{option} needs a value"
                raise UsageError(msg)
            value = words.pop(0)
        if name == "like":
            library = value
            continue
        if name not in declared:
            msg = f"{type(rule).__name__} has no {option}.{near_misses(name, [*declared, 'like'])}"
            raise UsageError(msg)
        changes[name] = _value(declared[name], value)
    try:
        return rule.replace(**changes) if library is None else type(rule).like(library, **changes)
    except RuleError as error:
        raise UsageError(str(error)) from None


def _value(declared: Field[Any], text: str) -> float | str:
    if declared.metadata["kind"] == "choice":
        return text
    try:
        return float(text)
    except ValueError:
        msg = f"--{declared.name.replace('_', '-')} {text!r} is not a number"
        raise UsageError(msg) from None


def problem_of(name: str) -> Problem:
    """A built-in problem by its name, or a user's. UsageError, or InputError for what a file holds."""
    from thalweg.optim.racing.problems import PROBLEMS, as_problem

    if ":" not in name and not name.endswith(".py"):
        if name not in PROBLEMS:
            msg = f"there is no problem {name!r}.{near_misses(name, PROBLEMS)} One of your own is FILE.py:NAME."
            raise UsageError(msg)
        return PROBLEMS[name]()
    found = own(name)
    try:
        return as_problem(found, name)
    except InputError:
        raise
    except Exception as error:
        raise InputError(failed(f"{name} fails", error)) from error
