"""The same run with another momentum or batch: which rate keeps drift and temperature.

Rules with the plain gradient depend on lr / ((1 - momentum) batch) alone, to first order (Smith and Le 2018, arXiv 1710.06451).
Rules that divide by the root of a second moment follow a square root: lr ~ sqrt(batch), 1 - b1 and 1 - b2 ~ batch, eps ~
1 / sqrt(batch) (Malladi et al. 2022, arXiv 2205.10287).
"""

from __future__ import annotations

from typing import TypeVar, cast

from thalweg.errors import RuleError
from thalweg.optim.dynamics.linear import as_rule, linear
from thalweg.optim.rule import Rule

R = TypeVar("R", bound=Rule)


def convert(rule: R, *, momentum: float | None = None, batch: float = 1.0) -> R:
    """The rule for another momentum, and for batches that are `batch` times as large.

    Raises RuleError for a rule without a momentum to change, or for a batch for which it has no numbers (a decay below 0).
    """
    rule = cast(R, as_rule(rule))
    if not batch > 0:
        msg = f"batch={batch!r}: how many times larger the batch becomes, a number above 0"
        raise RuleError(msg)
    name = next((name for name in ("momentum", "b1") if hasattr(rule, name)), None)
    changes: dict[str, float] = {}
    if momentum is not None:
        if name is None:
            msg = f"{type(rule).__name__} has no momentum that {momentum!r} could replace"
            raise RuleError(msg)
        averaged = name == "b1"  # the force of an average does not grow with what it remembers
        changes = {name: momentum, "lr": rule.lr * (1.0 if averaged else (1 - momentum) / (1 - getattr(rule, name)))}  # type: ignore[attr-defined]
    made = rule.replace(**changes)
    if not linear(rule).frozen:
        return made.replace(lr=made.lr * batch)  # type: ignore[attr-defined]
    decays = {each: 1 - (1 - getattr(made, each)) * batch for each in ("b1", "b2", "alpha") if hasattr(made, each)}
    for each, value in decays.items():
        if value < 0:
            most = 1 / (1 - getattr(made, each))
            msg = (
                f"a batch {batch:g} times as large would need {each}={value:.3g}: too large for this rule's law; at most {most:.3g}"
            )
            raise RuleError(msg)
    return made.replace(lr=made.lr * batch**0.5, eps=made.eps / batch**0.5, **decays)  # type: ignore[attr-defined]
