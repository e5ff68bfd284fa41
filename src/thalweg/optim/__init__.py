"""Optimisers as rules, each written once: `optim.SGD(lr=0.1)`, `optim.get("heavy-ball")`, or ten lines of your own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.optim.rule import Rule, Slots, State, choice, const, decay, flag, rate
    from thalweg.optim.rules import RULES, SGD, HeavyBall, get

__all__ = ["RULES", "SGD", "HeavyBall", "Rule", "Slots", "State", "choice", "const", "decay", "flag", "get", "rate"]


def __getattr__(name: str) -> object:
    if name in __all__:
        homes = [importlib.import_module(f"{__name__}.{home}") for home in ("rule", "rules")]
        return next(vars(home)[name] for home in homes if name in vars(home))
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
