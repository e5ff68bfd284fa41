"""The only place that compiles with numba.

    @kernel
    def total(x): ...          # plain Python on arrays and numbers

Every kernel is compiled serial and `nogil` at its first call and run from the shared pool of `thalweg.threads`; never
`parallel=True`, which changes torch's thread count and kills forked workers. Kernels may call kernels of the same module.
Compiled code is cached beside the source or in the user's cache directory; where neither can be written, in memory.
`THALWEG_JIT=0` runs the same code as Python (tests, coverage); so does a machine without numba, with one warning.
"""

from __future__ import annotations

import functools
import os
import pickle
import types
import warnings
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, cast

from thalweg.simd import Primitive

P = ParamSpec("P")
R = TypeVar("R")


_CACHE_ERRORS = (OSError, EOFError, pickle.UnpicklingError)  # what numba's cache of machine code raises


class Kernel(Generic[P, R]):
    """A function that is compiled at its first call. `python` is the function as written."""

    def __init__(self, function: Callable[P, R], fastmath: bool) -> None:
        functools.update_wrapper(self, function)
        self.python = function
        self.fastmath = fastmath
        self._run: Callable[P, R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        run = self._run or self._compile(cache=True)
        try:
            return run(*args, **kwargs)
        except _CACHE_ERRORS:  # its disk is full or went away, or a file of it is damaged: kernels themselves touch no file
            return self._compile(cache=False)(*args, **kwargs)

    def _compile(self, cache: bool) -> Callable[P, R]:
        self._run = _quiet(self.python) if not enabled() else _njit(self._with_compiled_callees(cache), cache, self.fastmath)
        return self._run

    def _with_compiled_callees(self, cache: bool) -> Callable[P, R]:
        """The function with the kernels and primitives that it calls replaced by their compiled forms, which numba can link to."""
        function = cast(types.FunctionType, self.python)
        names: dict[str, object] = dict(function.__globals__)
        for name in function.__code__.co_names:
            callee = names.get(name)
            if isinstance(callee, Kernel):
                names[name] = callee._run if cache and callee._run else callee._compile(cache)
            elif isinstance(callee, Primitive):
                names[name] = callee.compiled()
        copy = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__)
        return cast("Callable[P, R]", functools.update_wrapper(copy, function))


def kernel(function: Callable[P, R] | None = None, *, fastmath: bool = False) -> Any:
    """Mark a function for compilation. `fastmath` lets sums be reordered (same bits each time; NaN and inf not guaranteed)."""
    if function is None:
        return functools.partial(kernel, fastmath=fastmath)
    return Kernel(function, fastmath)


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


def _njit(function: Callable[P, R], cache: bool, fastmath: bool) -> Callable[P, R]:
    import numba

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        return cast("Callable[P, R]", numba.njit(cache=cache, **options)(function))
    except RuntimeError as error:  # "no locator available": neither the source folder nor the user's cache can be written
        if not cache or "locator" not in str(error):
            raise
        return cast("Callable[P, R]", numba.njit(cache=False, **options)(function))
