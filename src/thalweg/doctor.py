"""`thalweg doctor`: what is installed, what works, what is missing, ready to paste into a bug report.

Each fact is asked for on its own: a broken library costs its own line and nothing else. Versions are read from the packages'
metadata, without importing them; numpy, numba, matplotlib and torch are then imported to see that they work.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from thalweg import __version__, fonts, jit, memory, threads
from thalweg.console import Console, plain_columns
from thalweg.files import size_text
from thalweg.needs import EXTRAS
from thalweg.options import command as define
from thalweg.options import json_option, quiet_option

PACKAGES = (
    "numpy", "scipy", "numba", "llvmlite", "scikit-learn", "matplotlib", "click", "rich", "safetensors", "rjieba", "threadpoolctl",
)  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def report() -> dict[str, object]:
    """The facts, in JSON's types; one that could not be found out is {'error': why}. The home directory is shown as ~."""
    packages = {name: _attempt(_version, name) for name in (*PACKAGES, *(extra.package for extra in EXTRAS.values()))}
    facts: dict[str, object] = {
        "thalweg": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": _attempt(platform.platform),
        "packages": packages,
        "cores": _attempt(_cores),
        "memory_available_bytes": _attempt(memory.available),
        "blas": _attempt(_blas),
        "jit": _attempt(_jit),
        "torch": _attempt(_torch) if packages["torch"] is not None else None,
        "cjk_font": _attempt(fonts.cjk_family),
        "browser": _attempt(_browser),
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith("THALWEG_")},
    }
    facts["missing"] = _missing(facts)
    home = os.path.expanduser("~")  # noqa: PTH111  # Path.home() raises where there is none
    return {name: _hide(fact, home) for name, fact in facts.items()}


def _attempt(ask: Callable[..., object], *about: object) -> object:
    """The answer, or {'error': why}: a broken library may raise anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ask(*about)
    except Exception as error:
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cores() -> dict[str, int | None]:
    return {"available": threads.available(), "machine": os.cpu_count()}


def _blas() -> list[str]:
    import numpy  # noqa: F401  # brings its BLAS into the process
    from threadpoolctl import threadpool_info

    libraries = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return [f"{pool['internal_api']} {pool['version'] or '?'}, {pool['num_threads']} threads" for pool in libraries]


def _jit() -> dict[str, object]:
    """Whether kernels are compiled, and the folder that numba caches a kernel of ours in (None: in memory only)."""
    if os.environ.get("THALWEG_JIT") == "0":
        return {"enabled": False, "cache": None}
    import numba  # noqa: F401
    from numba.core.caching import FunctionCache

    try:
        return {"enabled": jit.enabled(), "cache": FunctionCache(threads.blocks).cache_path}
    except RuntimeError as error:  # "no locator available": nowhere to write
        return {"enabled": jit.enabled(), "cache": None, "why": " ".join(str(error).split())}


def _torch() -> dict[str, object]:
    import torch

    devices = ["cpu", *(f"cuda:{k} ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {"devices": devices, "threads": torch.get_num_threads()}


def _browser() -> str | None:
    """The browser for the tests of pages: the one that CHROMIUM names, or the first on PATH."""
    return next(filter(None, map(shutil.which, (os.environ.get("CHROMIUM", ""), *BROWSERS))), None)


def _missing(facts: Mapping[str, object]) -> list[dict[str, str]]:
    """What is not there, what it is for, and the one command that brings it."""
    packages = facts["packages"]
    absent = [name for name, found in packages.items() if found is None] if isinstance(packages, dict) else []
    rows = [(name, "the core", "pip install --upgrade --force-reinstall thalweg") for name in PACKAGES if name in absent]
    rows += [(extra.package, extra.use, f"pip install {extra.install}") for extra in EXTRAS.values() if extra.package in absent]
    if facts["cjk_font"] is None:
        rows.append(("a font with Chinese characters", "Chinese labels in pictures", "apt-get install fonts-noto-cjk"))
    if facts["browser"] is None:
        rows.append(("chromium", "the tests of pages, nothing else", "apt-get install chromium"))
    return [{"what": what, "for": use, "command": remedy} for what, use, remedy in rows]


def _hide(value: object, home: str) -> object:
    """`value` with the home directory in its strings shown as ~."""
    if isinstance(value, dict):
        return {key: _hide(item, home) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide(item, home) for item in value]
    if isinstance(value, str) and len(home) > 1:
        return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", value)
    return value


def render(facts: Mapping[str, Any]) -> list[str]:
    """The report as lines of text."""
    rows: list[tuple[str, str]] = []
    for name, fact in facts.items():
        label = name.replace("_", " ")
        if name in ("packages", "environment"):
            rows += [(key, _text(item, "not installed")) for key, item in fact.items()]
        elif name == "memory_available_bytes" and isinstance(fact, int):
            rows.append(("memory available", size_text(fact)))
        elif name == "missing":
            rows += [("missing", f"{row['what']}, for {row['for']}: {row['command']}") for row in fact]
        elif name == "torch" and isinstance(fact, dict):
            rows += [(f"torch {key}", _text(item)) for key, item in fact.items()]
        elif name != "torch":
            rows.append((label, _text(fact)))
    return plain_columns(rows, [False, False])


def _text(fact: object, absent: str = "none") -> str:
    if isinstance(fact, dict):
        return "; ".join(f"{key}: {_text(item)}" for key, item in fact.items())
    if isinstance(fact, list):
        return "; ".join(map(_text, fact)) or absent
    return absent if fact is None else {True: "yes", False: "no"}[fact] if isinstance(fact, bool) else str(fact)


@define("doctor", examples=["thalweg doctor", "thalweg doctor --json > report.json"])
@json_option
@quiet_option
def command(json: bool, quiet: bool) -> None:
    """Show what is installed, what works and what is missing, ready for a bug report."""
    facts = report()
    Console(json=json, quiet=quiet, command="doctor").result(facts, "\n".join(render(facts)))
