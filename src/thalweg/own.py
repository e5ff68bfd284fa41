"""A user's own piece, FILE.py:NAME: the loader of it, and one line about an error in it.

make = own("train.py:make_problem")
try: make()
except Exception as error: raise InputError(failed("make_problem fails", error)) from error
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Any

from thalweg.errors import InputError, MissingFileError, UsageError, near_misses


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
    roots = [str(Path(__file__).parent), *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))]
    return file.startswith("<") or any(Path(file).is_relative_to(root) for root in roots)
