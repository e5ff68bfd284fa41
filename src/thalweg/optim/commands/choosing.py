"""Rules and problems as they are typed: `adam --lr 0.01 --b1 0.5`, `rmsprop --centered`, `mine.py:Mine --lr 0.1`.

A name with a colon is a user's own piece, FILE.py:NAME. What is wrong with the command line is a UsageError (status 2), what is
wrong with the file an InputError or MissingFileError (status 1); both are one line.
"""

from __future__ import annotations

import importlib.util
import inspect
import shlex
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError, MissingFileError, RuleError, UsageError, near_misses

if TYPE_CHECKING:
    from thalweg.optim.problems import Problem
    from thalweg.optim.rule import Rule


def split(text: str) -> list[str]:
    """The words of a rule that was typed as one: "adam --lr 0.01"."""
    try:
        return shlex.split(text)
    except ValueError as error:
        msg = f"{text!r} is no rule: {error}"
        raise UsageError(msg) from None


def rule_of(words: Sequence[str]) -> Rule:
    """The rule that these words name. UsageError, or InputError for what a file holds."""
    from thalweg.optim.rule import Rule

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
    from thalweg.optim.problems import PROBLEMS, as_problem

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


def own(place: str) -> Any:
    """What FILE.py:NAME names. MissingFileError, or InputError for a file that does not run or lacks the name."""
    file, colon, name = place.rpartition(":")
    path = Path(file if colon else place)
    if not colon and path.is_file():
        public = [key for key, value in vars(_run(path)).items() if getattr(value, "__module__", None) == f"file:{path.resolve()}"]
        msg = f"{place} is a file: name what is meant in it, as {place}:{public[0] if public else 'NAME'}"
        msg += f" (it has {', '.join(public)})" * (len(public) > 1)
        raise UsageError(msg)
    if path.is_dir():
        msg = f"{str(path)!r} is a folder (for {place}): name a file in it"
        raise MissingFileError(msg)
    if not path.is_file():
        msg = f"there is no file {str(path)!r} (for {place})"
        raise MissingFileError(msg)
    module = _run(path)
    if not name or name.startswith("_") or not hasattr(module, name):
        public = [each for each, value in vars(module).items() if _is_own(each, value, module)]
        msg = f"{path} has no {name!r}.{near_misses(name, public) if public else ' It is empty.'}"
        raise InputError(msg)
    return getattr(module, name)


def _is_own(name: str, value: object, module: Any) -> bool:
    """Whether a name stands for something that the file itself makes: no module, nothing that it imports."""
    own = getattr(value, "__module__", module.__name__) == module.__name__
    return own and not name.startswith("_") and not inspect.ismodule(value)


def _run(path: Path) -> Any:
    """The module of a user's file, which is run once."""
    key = f"file:{path.resolve()}"  # a name that no import statement can meet
    if key in sys.modules:
        return sys.modules[key]
    spec = importlib.util.spec_from_file_location(key, path)
    if spec is None or spec.loader is None:
        msg = f"{path} is not a Python file: its name must end with .py"
        raise InputError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # dataclasses look their module up
    if str(path.resolve().parent) not in sys.path:  # its neighbours can be imported, also by its functions, as when it is run
        sys.path.insert(0, str(path.resolve().parent))
    given, sys.argv = sys.argv, [str(path)]  # as if it were run without arguments: ours are not its own
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[key]
        raise InputError(failed(f"{path} does not run", error)) from error
    finally:
        sys.argv = given
    return module


def failed(what: str, error: BaseException) -> str:
    """One line about an error in a user's code: what it was, and the last line of his own that led to it."""
    if isinstance(error, SyntaxError):
        place = f"{Path(error.filename or '?').name}, line {error.lineno}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if not _of_a_library(frame.filename)]
        place = f"{Path(own[-1].filename).name}, line {own[-1].lineno}" if own else "a library"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0][:200] + f" ... {lines[-1][:200]}" * (len(lines) > 1) if lines else ""  # a DataLoader's worker says why last
    return f"{what}: {type(error).__name__} in {place}: {text} (--traceback shows the rest)"


def _of_a_library(file: str) -> bool:
    """Whether a frame's file is Python's, thalweg's or an installed one."""
    roots = [str(Path(__file__).parents[2]), *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))]
    return file.startswith("<") or any(Path(file).is_relative_to(root) for root in roots)
