"""thalweg: write down an energy, go down it, or sample from it.

`import thalweg` loads nothing but the standard library; a part and its libraries are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from thalweg.version import __version__

if TYPE_CHECKING:
    from thalweg import energies, optim, words
    from thalweg.run import Run, descend

__all__ = ["Run", "__version__", "descend", "energies", "optim", "words"]

_HOMES = {"descend": "thalweg.run", "Run": "thalweg.run"}  # names that are not modules -> where they live


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
