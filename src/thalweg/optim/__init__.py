"""Optimisers as rules, each written once: `optim.SGD(lr=0.1)`, `optim.get("heavy-ball")`, or ten lines of your own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.optim import ops, schedules
    from thalweg.optim.language.fields import choice, const, count, decay, flag, number, rate
    from thalweg.optim.language.program import Program
    from thalweg.optim.language.rule import Rule
    from thalweg.optim.language.state import Slots, State
    from thalweg.optim.rules import (
        LAMB,
        LARS,
        MATRIX,
        RK,
        RK23,
        RK45,
        RULES,
        SGD,
        STAGED,
        AdaBelief,
        Adadelta,
        Adafactor,
        AdaGrad,
        Adam,
        Adamax,
        AdamW,
        HeavyBall,
        Heun,
        Lion,
        Muon,
        NAdam,
        Nesterov,
        RAdam,
        RMSprop,
        Rprop,
        ScheduleFree,
        SignSGD,
        Signum,
        Yogi,
        get,
    )
    from thalweg.optim.rules.chained import SAM, chain
    from thalweg.optim.rules.transforms import (
        agc,
        centralize,
        clip_norm,
        clip_value,
        freeze_nonfinite,
        noise,
        schedule,
        weight_decay,
    )

__all__ = [
    "LAMB",
    "LARS",
    "MATRIX",
    "RK",
    "RK23",
    "RK45",
    "RULES",
    "SAM",
    "SGD",
    "STAGED",
    "AdaBelief",
    "AdaGrad",
    "Adadelta",
    "Adafactor",
    "Adam",
    "AdamW",
    "Adamax",
    "HeavyBall",
    "Heun",
    "Lion",
    "Muon",
    "NAdam",
    "Nesterov",
    "Program",
    "RAdam",
    "RMSprop",
    "Rprop",
    "Rule",
    "ScheduleFree",
    "SignSGD",
    "Signum",
    "Slots",
    "State",
    "Yogi",
    "agc",
    "centralize",
    "chain",
    "choice",
    "clip_norm",
    "clip_value",
    "const",
    "count",
    "decay",
    "flag",
    "freeze_nonfinite",
    "get",
    "noise",
    "number",
    "ops",
    "rate",
    "schedule",
    "schedules",
    "weight_decay",
]

_HOMES = ("language.rule", "language.fields", "language.state", "language.program", "rules", "rules.transforms", "rules.chained")


def __getattr__(name: str) -> object:
    if name in (
        "ops",
        "schedules",
        "dynamics",
        "diagnosis",
        "torch",
        "optax",
        "keras",
    ):  # these faces are not in __all__: who imports all of us need not have them
        return importlib.import_module(f"{__name__}.{name}")
    if name in __all__:
        homes = [importlib.import_module(f"{__name__}.{home}") for home in _HOMES]
        return next(vars(home)[name] for home in homes if name in vars(home))
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
