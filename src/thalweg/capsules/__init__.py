"""thalweg.capsules: one soft-min energy, K-Means when it is cold and dynamic routing when it is warm.

    E(V) = -(1/b) sum_i log sum_j exp(-b d(u_i, v_j)),      b the inverse temperature

Its minimum over centres is soft clustering, between the rows of a table (`SoftKMeans`) or between the features of one sample
(`route`, a capsule layer). Source: Su Jianlin 2018, 再来一顿贺岁宴：从K-Means到Capsule (kexue.fm 5112).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.capsules.energy import free_energy, responsibilities
    from thalweg.capsules.routing import route
    from thalweg.capsules.softkmeans import SoftKMeans, SphericalKMeans

_HOMES = {
    "SoftKMeans": "softkmeans",
    "SphericalKMeans": "softkmeans",
    "free_energy": "energy",
    "responsibilities": "energy",
    "route": "routing",
}
__all__ = ["SoftKMeans", "SphericalKMeans", "free_energy", "responsibilities", "route"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
