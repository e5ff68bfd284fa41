"""The same run with another momentum or batch: which rate keeps drift and temperature.

Momentum: the rate that moves as far under a constant force. For buffers that add up forces lr / (1 - momentum) stays, for averages
lr does (Mandt et al. 2017, arXiv 1704.04289). Batch, larger by a factor k, all for the same path over the same samples:

    rules with the plain gradient        lr ~ k                                     (Smith and Le 2018, arXiv 1710.06451)
    over the root of an average          lr ~ k^(1/2), 1 - decay ~ k, eps ~ k^(-1/2)    (Malladi et al. 2022, arXiv 2205.10287)
    over the root of a sum (AdaGrad)     lr stays, eps ~ 1/k: over as many samples the sum is as 1/k^2
    by the sign                          lr ~ k^(1/2), 1 - decay ~ k, where noise rules the sign

Decoupled decay, lr wd a step, keeps its share a sample.
"""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np

from thalweg.errors import RuleError
from thalweg.optim.dynamics.linear import Linear, as_rule, linear
from thalweg.optim.language.rule import Rule

R = TypeVar("R", bound=Rule)


def convert(rule: R, *, momentum: float | None = None, batch: float = 1.0) -> R:
    """The rule for another momentum, and for batches that are `batch` times as large.

    Raises RuleError for a rule without a rate, or without a momentum to change, for one that follows none of these laws (Adadelta,
    Schedule-Free, Rprop), and for a batch for which it has no numbers (a decay below 0).
    """
    rule = cast(R, as_rule(rule))
    if not (batch > 0 and np.isfinite(batch)):
        msg = f"batch={batch!r}: how many times larger the batch becomes, a number above 0"
        raise RuleError(msg)
    if not hasattr(rule, "lr") or any(hasattr(rule, name) for name in ("rho", "inner", "shrink")):
        msg = f"{type(rule).__name__} follows none of the laws by which a rate can be converted: tune it anew"
        raise RuleError(msg)
    made = rule if momentum is None else _with_momentum(rule, momentum)
    if batch != 1:
        made = _with_batch(made, batch)
    if rule.wd and rule.decay == "decoupled":
        made = made.replace(wd=rule.wd * rule.lr * batch / _lr(made))  # type: ignore[attr-defined]
    return made


def _lr(rule: Rule) -> float:
    return float(rule.lr)  # type: ignore[attr-defined]


def _with_momentum(rule: R, momentum: float) -> R:
    name = next((name for name in ("momentum", "b1") if hasattr(rule, name)), None)
    if name is None:
        msg = f"{type(rule).__name__} has no momentum that {momentum!r} could replace"
        raise RuleError(msg)
    other = rule.replace(**{name: momentum})
    return other.replace(lr=_lr(rule) * float(f"{_drift(rule) / _drift(other):.12g}"))  # without what a solver rounds


def _drift(rule: Rule) -> float:
    """How far a constant force of 1 moves p in a step, in the long run."""
    made = linear(rule.replace(wd=0.0))
    if not made.smooth:
        return _lr(rule)  # whatever the sign is of, a step is lr
    matrix, push = made.at(0.0), made.force()
    slots = np.linalg.solve(np.eye(len(push) - 1) - matrix[1:, 1:], push[1:])  # where the force holds them
    return float(abs(push[0] + matrix[0, 1:] @ slots))


def _with_batch(rule: R, k: float) -> R:
    made = linear(rule.replace(wd=0.0))
    if made.smooth and not made.frozen:
        return rule.replace(lr=_lr(rule) * k)
    q = 2 if _is_sum(made) else 1  # the preconditioner is the root of something as 1/k^q
    changes = {"lr": _lr(rule) * k ** (1 - q / 2)}
    changes |= {name: getattr(rule, name) * k ** (-q * power) for name, power in _powers(rule).items()}
    names = ("b1", "b2", "alpha") if made.smooth else ("b1", "b2", "momentum")
    decays = {name: 1 - (1 - getattr(rule, name)) * k for name in names if hasattr(rule, name)}
    for name, value in decays.items():
        if value < 0:
            most = 1 / (1 - getattr(rule, name))
            msg = f"a batch {k:g} times as large would need {name}={value:.3g}: too large for this rule's law; at most {most:.3g}"
            raise RuleError(msg)
    return rule.replace(**changes, **decays)


def _powers(rule: Rule) -> dict[str, float]:
    """The numbers that stand beside what a rule has gathered, and the power of it that they are."""
    inside = getattr(rule, "eps_at", "") == "inside"
    return {name: power for name, power in (("eps", 1.0 if inside else 0.5), ("initial", 1.0)) if hasattr(rule, name)}


def _is_sum(made: Linear) -> bool:
    """Whether a frozen slot adds squares up without forgetting."""
    return any(made.gathered(name) > 1 + 1e-9 for name in made.frozen)
