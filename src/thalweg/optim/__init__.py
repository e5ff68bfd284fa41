"""Optimisers as rules, each written once: `optim.SGD(lr=0.1)`, `optim.get("heavy-ball")`, or ten lines of your own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.optim import ops
    from thalweg.optim.program import Program
    from thalweg.optim.rule import Rule, Slots, State, choice, const, decay, flag, rate
    from thalweg.optim.rules import (
        LAMB,
        LARS,
        RULES,
        SGD,
        AdaBelief,
        Adadelta,
        AdaGrad,
        Adam,
        Adamax,
        AdamW,
        HeavyBall,
        Lion,
        NAdam,
        Nesterov,
        RAdam,
        RMSprop,
        Rprop,
        SignSGD,
        Signum,
        Yogi,
        get,
    )

__all__ = [
    "LAMB",
    "LARS",
    "RULES",
    "SGD",
    "AdaBelief",
    "AdaGrad",
    "Adadelta",
    "Adam",
    "AdamW",
    "Adamax",
    "HeavyBall",
    "Lion",
    "NAdam",
    "Nesterov",
    "Program",
    "RAdam",
    "RMSprop",
    "Rprop",
    "Rule",
    "SignSGD",
    "Signum",
    "Slots",
    "State",
    "Yogi",
    "choice",
    "const",
    "decay",
    "flag",
    "get",
    "ops",
    "rate",
]


def __getattr__(name: str) -> object:
    if name in ("ops", "torch", "optax", "keras"):  # these faces are not in __all__: who imports all of us need not have them
        return importlib.import_module(f"{__name__}.{name}")
    if name in __all__:
        homes = [importlib.import_module(f"{__name__}.{home}") for home in ("rule", "rules", "program")]
        return next(vars(home)[name] for home in homes if name in vars(home))
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
