"""The only place that compiles with numba.

    @kernel
    def total(x): ...          # plain Python on arrays and numbers

Every kernel is compiled serial and `nogil` at its first call and run from the shared pool of `thalweg.threads`; never
`parallel=True`, which changes torch's thread count and kills forked workers. Kernels may call kernels of the same module.
One that calls into Python's or torch's own C functions says `holds_gil=True`.
Compiled code is cached beside the source or in the user's cache directory; where neither can be written, in memory.
`generated` compiles functions whose source is made at run time; their text is kept in THALWEG_CACHE (default: the user's cache).
`THALWEG_JIT=0` runs the same code as Python (tests, coverage); so does a machine without numba, with one warning.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import sys
import tempfile
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, cast

from thalweg.simd import Primitive

P = ParamSpec("P")
R = TypeVar("R")


_CACHE_ERRORS = (OSError, EOFError, pickle.UnpicklingError)  # what numba's cache of machine code raises


class Kernel(Generic[P, R]):
    """A function that is compiled at its first call. `python` is the function as written."""

    def __init__(self, function: Callable[P, R], fastmath: bool, holds_gil: bool) -> None:
        functools.update_wrapper(self, function)
        self.python = function
        self.options = {"fastmath": fastmath, "nogil": not holds_gil}
        self._run: Callable[P, R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        run = self._run or self._compile(cache=True)
        try:
            return run(*args, **kwargs)
        except _CACHE_ERRORS:  # its disk is full or went away, or a file of it is damaged: kernels themselves touch no file
            return self._compile(cache=False)(*args, **kwargs)

    def _compile(self, cache: bool) -> Callable[P, R]:
        self._run = _quiet(self.python) if not enabled() else _njit(self._with_compiled_callees(cache), cache, self.options)
        return self._run

    def _with_compiled_callees(self, cache: bool) -> Callable[P, R]:
        """The function with the kernels and primitives that it calls replaced by their compiled forms, which numba can link to."""

        def form(callee: object) -> object:
            if isinstance(callee, Kernel):
                return callee._run if cache and callee._run else callee._compile(cache)
            return callee.compiled() if isinstance(callee, Primitive) else callee

        return self._with_callees(form)

    def interpreted(self) -> Callable[P, R]:
        """The function as Python, also on machines that compile: for so little data that loading machine code takes longer."""
        return _quiet(self._plain())

    def _plain(self) -> Callable[P, R]:
        return self._with_callees(lambda callee: callee._plain() if isinstance(callee, Kernel) else callee)

    def _with_callees(self, form: Callable[[object], object]) -> Callable[P, R]:
        function = cast(types.FunctionType, self.python)
        names: dict[str, object] = dict(function.__globals__)
        names.update((name, form(names[name])) for name in function.__code__.co_names if name in names)
        copy = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__)
        return cast("Callable[P, R]", functools.update_wrapper(copy, function))


def kernel(function: Callable[P, R] | None = None, *, fastmath: bool = False, holds_gil: bool = False) -> Any:
    """Mark a function for compilation. `fastmath` lets sums be reordered (same bits each time; NaN and inf not guaranteed)."""
    if function is None:
        return functools.partial(kernel, fastmath=fastmath, holds_gil=holds_gil)
    return Kernel(function, fastmath, holds_gil)


@functools.cache
def enabled() -> bool:
    """Whether kernels are compiled: numba is there and THALWEG_JIT is not 0."""
    if os.environ.get("THALWEG_JIT") == "0":
        return False
    try:
        import numba  # noqa: F401
    except ImportError as error:
        warnings.warn(f"numba cannot be imported ({error}): kernels run as Python, some 100 times slower", RuntimeWarning, 2)
        return False
    return True


def _quiet(function: Callable[P, R]) -> Callable[P, R]:
    """The function as Python, silent where integers wrap round and numbers overflow, as compiled code is."""
    import numpy as np

    return np.errstate(all="ignore")(function)


def _njit(function: Callable[P, R], cache: bool, given: dict[str, bool]) -> Callable[P, R]:
    import numba

    options: dict[str, Any] = {"error_model": "numpy", **given}
    try:
        return cast("Callable[P, R]", numba.njit(cache=cache, **options)(function))
    except RuntimeError as error:  # "no locator available": neither the source folder nor the user's cache can be written
        if not cache or "locator" not in str(error):
            raise
        return cast("Callable[P, R]", numba.njit(cache=False, **options)(function))


def generated(text: str, signatures: dict[str, str]) -> dict[str, Callable[..., Any]]:
    """Compile functions of a module's text, each for one signature: {"step": "void(int64[::1], int64)"}.

    The text is kept in a file named by its hash, because numba finds its machine code by file: the next process loads it in
    milliseconds. Where no file can be written, it is compiled in memory. Only for `enabled()` machines.
    """
    path = _kept(text)
    try:
        return _compiled_text(text, path, signatures)
    except (*_CACHE_ERRORS, RuntimeError):  # the cache is full, damaged, or numba finds no place for its own
        if path is None:
            raise
        return _compiled_text(text, None, signatures)


def _compiled_text(text: str, path: Path | None, signatures: dict[str, str]) -> dict[str, Callable[..., Any]]:
    import numba

    module = types.ModuleType(f"_thalweg_{path.stem}" if path else "_thalweg_generated")
    if path is not None:
        sys.modules[module.__name__] = module  # where numba's cache looks for the globals of what it has loaded
    exec(compile(text, str(path or "<generated>"), "exec"), vars(module))
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "cache": path is not None}
    return {name: numba.njit(signature, **options)(vars(module)[name]) for name, signature in signatures.items()}


def _kept(text: str) -> Path | None:
    """The file that holds the text, written if it is not there; None where that cannot be."""
    import llvmlite
    import numba

    key = hashlib.sha256("\n".join((text, numba.__version__, llvmlite.__version__)).encode()).hexdigest()[:24]
    home = os.environ.get("THALWEG_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "thalweg")  # noqa: PTH118
    path = Path(home).expanduser() / "kernels" / f"k{key}.py"
    try:
        if not path.exists():  # its name is the hash of its content; two processes at once rename the same over the same
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", encoding="utf-8", delete=False) as scratch:
                scratch.write(text)
            Path(scratch.name).replace(path)
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        return None
    return path
