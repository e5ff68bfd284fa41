"""What a rule does while the gradient is 0: the idle steps of a row of an embedding that no batch has read.

    Adam:  m = b1^k m, v = b2^k v, and p moves on by a sum whose terms fall like (b1 / sqrt b2)^i: after `terms` of them it stands.

So k idle steps are at most `terms` steps of the rule's own program with g = 0, then powers: slots fall by their factors, p by the
decoupled decay. For Adam, AdamW and NAdam the steps are made without m and v (`thalweg.optim.backends.idle`). Where a rule does
more than that (coupled decay makes v nonlinear, norms couple rows), it is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from thalweg.errors import RuleError
from thalweg.optim import rules
from thalweg.optim.language.rule import Rule, known_as
from thalweg.optim.rules.chained import Chained
from thalweg.optim.rules.transforms import clip_norm, clip_value, freeze_nonfinite, schedule

INNOCENT = (clip_value, clip_norm, schedule, freeze_nonfinite)  # transforms that leave g = 0 as it is
# rule -> the slots that fall by a factor in every idle step, and the field that is the factor
FALLING: dict[type[Rule], dict[str, str]] = {
    rules.SGD: {},
    rules.SignSGD: {},
    rules.AdaGrad: {},
    rules.HeavyBall: {"m": "momentum"},
    rules.Nesterov: {"m": "momentum"},
    rules.RMSprop: {"v": "alpha", "a": "alpha", "b": "momentum"},
    rules.Adadelta: {"v": "rho", "d": "rho"},
    rules.Adam: {"m": "b1", "v": "b2"},
    rules.AdamW: {"m": "b1", "v": "b2"},
    rules.NAdam: {"m": "b1", "v": "b2"},
    rules.Lion: {"m": "b2"},
}
ADAMS = (rules.Adam, rules.AdamW, rules.NAdam)


@dataclass(frozen=True)
class Idle:
    """terms: idle steps after which p stands but for its decay. falling: slot -> field. signs: p moves by lr sign m for ever.

    eps: that of a rule whose p moves by a constant times m / (constant sqrt v + eps); else 0.
    """

    terms: int
    falling: dict[str, str]
    signs: bool
    eps: float


def idle(rule: Rule, bits: int) -> Idle:
    """The idle steps of a rule to 2^-bits of the first one. Raises RuleError for a rule that has no such form."""
    bare = rule.rule if isinstance(rule, Chained) else rule
    kind, name = type(bare), known_as(type(bare))
    wrong = [type(t).__name__ for t in rule.transforms if type(t) not in INNOCENT] if isinstance(rule, Chained) else []
    if kind not in FALLING or wrong:
        reason = f"{wrong[0]} changes rows whose gradient is 0" if wrong else f"{name} has no idle steps in closed form"
        msg = f"lazy rows: {reason}; rules that have are {', '.join(each.__name__ for each in FALLING)}"
        raise RuleError(msg)
    if bare.wd and bare.decay == "coupled" and kind is not rules.SGD:
        msg = f'lazy rows: coupled weight decay moves idle rows of {name} nonlinearly; use decay="decoupled"'
        raise RuleError(msg)
    ratio = _ratio(bare)
    if ratio >= 1:
        msg = f"lazy rows: {name} moves idle rows for ever where b1 >= sqrt(b2); here b1={rule.b1}, b2={rule.b2}"  # type: ignore[attr-defined]
        raise RuleError(msg)
    terms = math.ceil(-bits * math.log(2) / math.log(ratio)) if ratio > 0 else 0
    return Idle(terms, FALLING[kind], kind is rules.Lion, _eps(bare))


def _eps(rule: Rule) -> float:
    """0 for AMSGrad, whose V does not fall as v does; far below 1e-20, sqrt v / eps would leave float32."""
    numbers = vars(rule)
    fine = type(rule) in ADAMS and numbers["eps"] > 1e-20 and numbers["b1"] > 0 and numbers.get("amsgrad", "off") == "off"
    return float(numbers["eps"]) if fine else 0.0


def _ratio(rule: Rule) -> float:
    """By how much an idle step is shorter than the one before."""
    numbers = vars(rule)
    if type(rule) in ADAMS:
        return float(numbers["b1"] / math.sqrt(numbers["b2"])) if numbers["b1"] else 0.0
    return float(numbers.get("momentum", 0.0))
