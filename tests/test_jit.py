"""Kernels: the same numbers compiled and as Python, whatever state the cache is in, and other threads run beside them."""

from __future__ import annotations

import errno
import importlib.util
import math
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from thalweg import jit
from thalweg.jit import kernel

numba_caching = pytest.importorskip("numba.core.caching")


def _sum_of_squares(x: Any) -> float:
    """The sum of squares."""
    total = 0.0
    for value in x:
        total += value * value
    return total


sum_of_squares = kernel(_sum_of_squares)


def _norm(x: Any, scale: float = 1.0) -> float:
    return math.sqrt(sum_of_squares(x)) * scale


@pytest.fixture
def compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled, also where THALWEG_JIT=0 is set for the rest (coverage)."""
    monkeypatch.setattr(jit, "enabled", lambda: True)


X = np.array([3.0, 4.0])
compiled = pytest.mark.usefixtures("compiling")


MODULE = """
from thalweg.jit import kernel

@kernel
def double(x):
    return x + x

@kernel
def quadruple(x):
    return double(double(x))
"""


def module_of(path: Path) -> ModuleType:
    """The module, made anew as in a new process: its kernels are not compiled yet."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "kernels.py").write_text(MODULE)
    return tmp_path / "kernels.py"


# ---- compiled and as Python


@compiled
def test_a_kernel_computes_what_its_function_computes():
    """The same operations in the same order: the same bits."""
    x = np.random.default_rng(0).normal(size=1000)
    assert kernel(_sum_of_squares)(x) == _sum_of_squares(x.tolist())


@compiled
def test_a_kernel_takes_defaults_and_keywords_as_its_function_does():
    norm = kernel(_norm)
    assert (norm(X), norm(X, 2.0), norm(X, scale=3.0), norm(x=X)) == (5, 10, 15, 5)


@compiled
def test_a_kernel_is_compiled_at_its_first_call():
    """Importing a module with kernels costs no compilation."""
    made = kernel(_sum_of_squares)
    assert made._run is None
    made(X)
    assert made._run.signatures  # type: ignore[attr-defined]


def test_a_kernel_looks_like_its_function():
    assert (sum_of_squares.__name__, sum_of_squares.__doc__) == ("_sum_of_squares", "The sum of squares.")
    assert sum_of_squares.python is _sum_of_squares


def test_without_compilation_kernels_are_python(module, monkeypatch):
    """Those that they call as well: no compiled function adds strings so."""
    monkeypatch.setattr(jit, "enabled", lambda: False)
    assert module_of(module).quadruple([1]) == [1, 1, 1, 1]
    assert list(module.parent.rglob("*.nb?")) == []


@pytest.mark.parametrize(("value", "expected"), [("0", False), ("1", True), (None, True)])
def test_thalweg_jit_switches_compilation_off(monkeypatch, value, expected):
    monkeypatch.delenv("THALWEG_JIT", raising=False)
    if value is not None:
        monkeypatch.setenv("THALWEG_JIT", value)
    assert jit.enabled.__wrapped__() is expected


def test_without_numba_kernels_run_as_python_with_one_warning():
    code = """
import sys, warnings
sys.modules["numba"] = None
from thalweg.jit import kernel
@kernel
def total(x):
    return sum(x)
@kernel
def mean(x):
    return total(x) / len(x)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(mean([1, 2, 6]), mean([1, 3]))
print([(w.category.__name__, "numba" in str(w.message)) for w in caught])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.splitlines() == ["3.0 2.0", "[('RuntimeWarning', True)]"], run.stderr


# ---- the cache


@compiled
def test_kernels_are_cached_beside_their_source(module):
    assert module_of(module).quadruple(3) == 12
    assert len(list(module.parent.rglob("*.nbi"))) == 2
    again = module_of(module).quadruple
    assert again(5) == 20
    assert sum(again._run.stats.cache_hits.values()) == 1


@compiled
def test_an_unwritable_cache_falls_back_to_memory(module, monkeypatch):
    """Neither the source's folder nor the user's cache can be written: numba finds no place and raises RuntimeError."""
    monkeypatch.setattr(numba_caching.CacheImpl, "_locator_classes", [])
    assert module_of(module).quadruple(3) == 12
    assert list(module.parent.rglob("*.nb?")) == []


@compiled
def test_another_runtime_error_of_numba_is_not_hidden(module, monkeypatch):
    def fail(*args: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(numba_caching.CacheImpl, "__init__", fail)
    with pytest.raises(RuntimeError, match="something else"):
        module_of(module).double(3)


@compiled
def test_a_disk_that_fills_up_while_the_cache_is_saved_costs_only_the_cache(module, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(numba_caching.IndexDataCacheFile, "save", full)
    assert module_of(module).quadruple(3) == 12


@compiled
@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04garbage"], ids=["empty", "garbage"])
def test_a_damaged_cache_is_no_obstacle(module, kind, content):
    """numba does not sync its cache: after a power cut its files can be empty, and it then raises EOFError at each call."""
    module_of(module).quadruple(3)
    for file in module.parent.rglob(kind):
        file.write_bytes(content)
    assert module_of(module).quadruple(3) == 12


# ---- threads


@kernel
def long_work(progress, n_inner):  # type: ignore[no-untyped-def]
    """Sets progress[k] = 1 after each stage."""
    x = 0.5
    for k in range(len(progress)):
        for _ in range(n_inner):
            x = 3.9 * x * (1 - x)
        progress[k] = 1 if x < 2 else 2
    return x


@compiled
def test_other_threads_run_while_a_kernel_runs():
    """A Python thread sees the kernel half done, which it cannot while the kernel holds the interpreter's lock."""
    long_work(np.zeros(1, np.int64), 1)
    for _ in range(20):  # a busy machine may give the observer no turn in one run
        progress = np.zeros(1000, np.int64)
        running = threading.Thread(target=long_work, args=(progress, 10_000))
        running.start()
        while not 0 < (done := int(progress.sum())) < len(progress) and running.is_alive():
            pass
        running.join()
        if 0 < done < len(progress):
            return
    pytest.fail("the kernel was never seen half done")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_kernels_leave_torchs_number_of_threads_alone():
    """numba's own threads (parallel=True) would set it to 1 or to the number of cores."""
    code = """
import numpy as np, torch
from thalweg.jit import kernel
from thalweg.threads import run_tasks
@kernel
def double(x):
    return x + x
torch.set_num_threads(3)
before = torch.get_num_threads(), torch.get_num_interop_threads()
print(run_tasks(double, [(1,), (2,), (3,)], 2))
assert (torch.get_num_threads(), torch.get_num_interop_threads()) == before == (3, before[1])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[2, 4, 6]", run.stderr
    assert run.returncode == 0, run.stderr
