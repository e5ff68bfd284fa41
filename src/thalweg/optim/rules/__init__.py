"""The rules: each a formula, its source, and the same formula as code. `RULES` is the only list of them; those that see a
tensor as a matrix are in `MATRIX`, those that take several gradients a step in `STAGED`.

lr is the learning rate, g the gradient, p the parameters, t = 1, 2, ... the step; EMA(a, b; c) = c a + (1 - c) b, a moving
average. Weight decay stands in `Rule`, and comes first where a formula does not show it. Defaults are those of torch where it
has the rule, else of the paper; `Rule.like` gives the forms and defaults of optax and Keras.
"""

from __future__ import annotations

from thalweg.errors import RuleError, near_misses
from thalweg.optim.language.rule import KNOWN, Rule, key_of
from thalweg.optim.rules.adam import AdaBelief, Adam, Adamax, AdamW, NAdam, RAdam, Yogi
from thalweg.optim.rules.embedded import RK23, RK45
from thalweg.optim.rules.layerwise import LAMB, LARS
from thalweg.optim.rules.matrix import Adafactor, Muon
from thalweg.optim.rules.momentum import SGD, HeavyBall, Nesterov
from thalweg.optim.rules.scaled import Adadelta, AdaGrad, RMSprop
from thalweg.optim.rules.schedule_free import ScheduleFree
from thalweg.optim.rules.sign import Lion, Rprop, SignSGD, Signum
from thalweg.optim.rules.staged import RK, Heun

__all__ = [
    "KNOWN",
    "LAMB",
    "LARS",
    "MATRIX",
    "RK",
    "RK23",
    "RK45",
    "RULES",
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
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFree",
    "SignSGD",
    "Signum",
    "Yogi",
    "get",
]

RULES: dict[str, type[Rule]] = {
    rule.__name__.lower(): rule
    for rule in (
        *(SGD, HeavyBall, Nesterov),
        *(AdaGrad, RMSprop, Adadelta),
        *(Adam, AdamW, NAdam, RAdam, Adamax, AdaBelief, Yogi),
        *(SignSGD, Signum, Lion, Rprop),
        *(LARS, LAMB, ScheduleFree),
    )
}

MATRIX: dict[str, type[Rule]] = {"adafactor": Adafactor, "muon": Muon}  # by rows and columns
STAGED: dict[str, type[Rule]] = {"heun": Heun, "rk": RK, "rk23": RK23, "rk45": RK45}  # several gradients a step
KNOWN.update({**RULES, **MATRIX, **STAGED})


def get(name: str) -> type[Rule]:
    """Find a rule by its name, whatever the capitals, dashes and underscores: "heavy-ball" names HeavyBall.

    Raises RuleError for an unknown name, with the nearest ones.
    """
    key = key_of(name)
    if key not in KNOWN:
        msg = f"there is no rule {name!r}.{near_misses(key, KNOWN)}"
        raise RuleError(msg)
    return KNOWN[key]
