"""What happens to a gradient before the rule sees it, and the rate with which it does: a chain of transforms and a rule is a rule.

    rule = chain(clip_norm(1.0), schedule(warmup(100) * cosine(10_000)), AdamW(lr=3e-4))

A transform is a small function g' = f(p, g, t), written like a rule in plain operators. Its numbers become hyper-parameters of the
chain, named after it (`clip_norm_c`), and its operations a part of the rule's one program: clipping by value costs no second pass.
They are applied from left to right, so clip_norm(1), noise() adds noise to the clipped gradient.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from typing import TYPE_CHECKING, Any

from thalweg.errors import RuleError
from thalweg.optim import ops
from thalweg.optim.language.fields import checked, choice, const
from thalweg.optim.language.rule import Rule
from thalweg.optim.language.state import Value
from thalweg.optim.language.symbols import Symbol

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Transform(ABC):
    """A frozen dataclass whose numbers are declared as those of a rule. Raises RuleError for a number that is not allowed."""

    @abstractmethod
    def __call__(self, p: Value, g: Value, t: Value) -> Value:
        """The gradient that the rule shall see in place of g, at p, in step t = 1, 2, ..."""

    def __post_init__(self) -> None:
        for each in declared_by(type(self)):
            object.__setattr__(self, each.name, checked(type(self).__name__, each, getattr(self, each.name)))


@dataclass(frozen=True)
class clip_value(Transform):
    """Every element of g is held between -c and c."""

    c: float = const(1.0)

    def __call__(self, p: Value, g: Value, t: Value) -> Value:
        return ops.clip(g, -self.c, self.c)


@dataclass(frozen=True)
class clip_norm(Transform):
    """g min(1, c / (|g| + eps)), where |g| is the norm over all tensors together, or over="tensor" that of each.

    As torch.nn.utils.clip_grad_norm_: a norm of infinity makes finite elements 0, NaN makes all NaN. eps=0 is optax's form. Of
    several tables, groups and devices it is one norm; all groups that take part must have the transform.
    Source: Pascanu, Mikolov and Bengio 2012, arXiv 1211.5063.
    """

    c: float = const(1.0)
    over: str = choice("all", "tensor")
    eps: float = const(1e-6)

    def __call__(self, p: Value, g: Value, t: Value) -> Value:
        return g * ops.minimum(self.c / (ops.norm(g, self.over) + self.eps), 1)


@dataclass(frozen=True)
class agc(Transform):
    """Adaptive clipping by unit: |g| is held below limit max(|p|, eps) for each x[k], or the whole of a tensor with one axis.

    Source: Brock et al. 2021, arXiv 2102.06171.
    """

    limit: float = const(0.01)
    eps: float = const(1e-3)

    def __call__(self, p: Value, g: Value, t: Value) -> Value:
        size, most = ops.norm(g, "channel"), self.limit * ops.maximum(ops.norm(p, "channel"), self.eps)
        return g * ops.where(size > most, most / ops.where(size > most, size, 1), 1)


@dataclass(frozen=True)
class centralize(Transform):
    """g minus its mean over all axes but the first; a tensor with one axis is left alone. Yong et al. 2020, arXiv 2004.01461."""

    def __call__(self, p: Value, g: Value, t: Value) -> Value:
        return g - ops.mean(g, "channel") * (ops.shape("axes", g) > 1)


@dataclass(frozen=True)
class weight_decay(Transform):
    """g + wd p, at this place of the chain; a rule's own wd comes after all transforms."""

    wd: float = const(0.01)

    def __call__(self, p: Value, g: Value, t: Value) -> Value:
        return g + self.wd * p


@dataclass(frozen=True)
class noise(Transform):
    """g + N(0, eta / (1 + t)^gamma), t = 0, 1, ... in the first, second, ... step. Neelakantan et al. 2015, arXiv 1511.06807."""

    eta: float = const(0.01)
    gamma: float = const(0.55)

    def __call__(self, p: Value, g: Value, t: Value) -> Value:
        return g + ops.sqrt(self.eta / ops.clock(t) ** self.gamma) * ops.normal(g, t)


@dataclass(frozen=True)
class freeze_nonfinite(Transform):
    """What a step does if any gradient of the group is not finite: "skip" moves nothing at all and counts no step, "raise" is an
    error before anything moves, "pass" is as without it.
    """

    policy: str = choice("skip", "raise", "pass")

    def __call__(self, p: Value, g: Value, t: Value) -> Value:
        return g


@dataclass(frozen=True)
class schedule(Transform):
    """The rule's lr times factor(k), k being the number of steps done. The decoupled weight decay follows the rate.

    There is one clock, as for torch's schedulers, optax and Keras: a tensor that joins late, or had no gradient, has the others'
    rate. A factor is checked as a rate is in every step (but in those that jax traces): it is finite and at least 0.
    """

    factor: Callable[[Value], Value]

    def __call__(self, p: Value, g: Value, t: Value) -> Value:
        return g

    def __post_init__(self) -> None:
        given: object = self.factor
        if not callable(given):
            msg = f"schedule({self.factor!r}): it takes a function of the number of steps done, as in schedule(cosine(1000))"
            raise RuleError(msg)

    def at(self, k: Value) -> Value:
        """The factor after k steps. Raises RuleError for a number that is not allowed."""
        if isinstance(k, Symbol):
            return self.factor(k)
        import numpy as np

        with np.errstate(all="ignore"):
            value = float(self.factor(np.float64(k)))
        if not 0 <= value < math.inf:
            name = getattr(self.factor, "__qualname__", repr(self.factor))
            msg = f"schedule({name}): the factor of step {int(k) + 1} is {value}; it has to be a finite number of at least 0"
            raise RuleError(msg)
        return value


@dataclass(frozen=True)
class sam(Transform):
    """The gradient at p + e, where the loss is highest nearby: e = rho g / |g| with the norm over all tensors; see `SAM`."""

    rho: float = const(0.05)
    adaptive: str = choice("off", "on")

    def __call__(self, p: Value, g: Value, t: Value) -> Value:
        return g

    def ahead(self, p: Value, g: Value) -> Value:
        """The point p + e."""
        if self.adaptive == "on":
            return p + self.rho * p * p * g / (ops.norm(ops.abs(p) * g, "all") + 1e-12)
        return p + self.rho * g / (ops.norm(g, "all") + 1e-12)


def declared_by(kind: type[Transform] | type[Rule]) -> list[Field[Any]]:
    """The fields that are hyper-parameters."""
    return [each for each in fields(kind) if "kind" in each.metadata]


TRANSFORMS: dict[str, type[Transform]] = {
    each.__name__: each for each in (clip_value, clip_norm, agc, centralize, weight_decay, noise, freeze_nonfinite, schedule, sam)
}
