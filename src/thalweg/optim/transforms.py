"""What happens to a gradient before the rule sees it, and the rate with which it does: a chain of transforms and a rule is a rule.

    rule = chain(clip_norm(1.0), schedule(warmup(100) * cosine(10_000)), AdamW(lr=3e-4))

A transform is a small function g' = f(p, g, t), written like a rule in plain operators. Its numbers become hyper-parameters of the
chain, named after it (`clip_norm_c`), and its operations a part of the rule's one program: clipping by value costs no second pass.
They are applied from left to right, so clip_norm(1), noise() adds noise to the clipped gradient.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, make_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from thalweg.errors import RuleError
from thalweg.optim import ops
from thalweg.optim.language.rule import Rule, Stages, State, Value, checked, choice, const
from thalweg.optim.language.symbols import Symbol
from thalweg.optim.rules import known_as

if TYPE_CHECKING:
    from thalweg.optim.language.program import Program

Link = tuple[str, type["Transform"], tuple[tuple[str, Any], ...]]  # prefix of its fields, class, what is not a hyper-parameter


@dataclass(frozen=True)
class Transform(ABC):
    """A frozen dataclass whose numbers are declared as those of a rule. Raises RuleError for a number that is not allowed."""

    @abstractmethod
    def __call__(self, p: Value, g: Value, t: Value) -> Value:
        """The gradient that the rule shall see in place of g, at p, in step t = 1, 2, ..."""

    def __post_init__(self) -> None:
        for each in _declared(type(self)):
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


def SAM(base: Rule, rho: float = 0.05, adaptive: bool = False) -> Rule:
    """Sharpness-aware minimisation: the base rule's step from p with the gradient at p + rho g / |g|. It takes two a step.

    `adaptive` measures the neighbourhood by the size of p: e = rho p^2 g / | |p| g |.
    Sources: Foret et al. 2020, arXiv 2010.01412; adaptive: Kwon et al. 2021, arXiv 2102.11600.
    """
    return chain(sam(rho, "on" if adaptive else "off"), base)


def chain(*parts: Transform | Rule) -> Rule:
    """The rule that sees gradients through these transforms, as in `chain(clip_norm(1.0), Adam())`.

    It is a rule of the class of the last part with the transforms' numbers as further fields. RuleError for other parts.
    """
    *transforms, rule = parts or (None,)
    if not isinstance(rule, Rule):
        msg = f"chain ends with {rule!r}; its last part is a rule, as in chain(clip_norm(1.0), Adam())"
        raise RuleError(msg)
    if isinstance(rule, Chained):
        return chain(*cast("list[Transform]", transforms), *rule.transforms, rule.rule)
    links: list[Link] = []
    numbers: dict[str, Any] = {}
    for each in transforms:
        if not isinstance(each, Transform):
            msg = f"chain: {each!r} is not a transform; they are {', '.join(TRANSFORMS)}, and come before the rule"
            raise RuleError(msg)
        name = type(each).__name__
        count = 1 + sum(kind.__name__ == name for _, kind, _ in links)  # by name: one of a user's own may have that of ours
        prefix = name if count == 1 else f"{name}{count}"
        declared = {other.name for other in _declared(type(each))}
        numbers |= {f"{prefix}_{key}": getattr(each, key) for key in declared}
        links.append((prefix, type(each), tuple((o.name, getattr(each, o.name)) for o in fields(each) if o.name not in declared)))
    made = _kind(type(rule), tuple(links)) if links else type(rule)
    return made(**{each.name: getattr(rule, each.name) for each in fields(rule)}, **numbers)


class Chained:
    """What a chain has beside the fields and the slots of its rule."""

    base: ClassVar[type[Rule]]
    links: ClassVar[tuple[Link, ...]]

    @property
    def rule(self) -> Rule:
        """The last part."""
        return cast(Rule, _bare(self.base, {each.name: getattr(self, each.name) for each in fields(self.base)}))

    @property
    def transforms(self) -> list[Transform]:
        """The parts before it."""
        found = []
        for prefix, kind, fixed in self.links:
            given = {each.name: getattr(self, f"{prefix}_{each.name}") for each in _declared(kind)}
            found.append(_bare(kind, {**given, **dict(fixed)}))
        return found

    def _seen(self, t: Value) -> Rule:
        """The last part, with the rate of step t."""
        rule = self.rule
        for each in self.transforms:
            if isinstance(each, schedule):
                rule = _bare(self.base, {**vars(rule), "lr": getattr(rule, "lr", 1.0) * each.at(ops.clock(t) - 1)})
        return rule

    def _force(self, p: Value, g: Value, t: Value) -> Value:
        for each in self.transforms:
            g = each(p, g, t)
        return g

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        """The rule's step with the gradient that it sees."""
        return self._seen(t).step(p, self._force(p, g, t), s, t)

    def stages(self, p: Value, s: State, t: Value) -> Stages:
        """The rule's stages, each with the gradient that it sees; SAM looks ahead first."""
        g = self._force(p, (yield p), t)
        for each in self.transforms:
            if isinstance(each, sam):
                ahead = each.ahead(p, g)
                g = self._force(ahead, (yield ahead), t)
        inner = self._seen(t).stages(p, s, t)
        next(inner)
        try:
            while True:
                point = inner.send(g)
                g = self._force(point, (yield point), t)
        except StopIteration as end:
            return cast("tuple[Value, State]", end.value)

    def to_config(self) -> dict[str, Any]:
        """The chain for JSON. Raises RuleError for a schedule that is a function of one's own."""
        from thalweg.optim.config import chain_config

        return chain_config(self)

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Rule:
        """The chain that `to_config` wrote."""
        from thalweg.optim.config import from_config

        return from_config(config, lambda _: cls.base)

    def __repr__(self) -> str:
        return f"chain({', '.join(map(repr, [*self.transforms, self.rule]))})"

    def __reduce__(self) -> tuple[Any, ...]:  # its class is made here, so a pickle holds the parts
        return chain, (*self.transforms, self.rule)


def _suited(self: Any, axes: int) -> Rule:
    """The chain with the rule for a tensor with that many axes."""
    return chain(*self.transforms, self.rule.suited(axes))


@functools.cache
def _kind(base: type[Rule], links: tuple[Link, ...]) -> type[Rule]:
    """The class of a chain: the rule's own, with the fields of the transforms."""
    own = [
        (f"{prefix}_{each.name}", each.type, field(default=each.default, kw_only=True, metadata=each.metadata))
        for prefix, kind, _ in links
        for each in _declared(kind)
    ]
    fixed = [", ".join(getattr(value, "__qualname__", repr(value)) for _, value in link[2]) for link in links]
    names = [link[0] + f"({value})" * bool(value) for link, value in zip(links, fixed, strict=True)]
    space: dict[str, Any] = {"base": base, "links": links, "__module__": __name__, "__repr__": Chained.__repr__}
    if base.suited is not Rule.suited:
        space["suited"] = _suited
    made = make_dataclass("|".join([*names, known_as(base)]), own, bases=(Chained, base), namespace=space, frozen=True, repr=False)
    made.__doc__ = base.__doc__
    return made


def _declared(kind: type[Transform] | type[Rule]) -> list[Field[Any]]:
    """The fields that are hyper-parameters."""
    return [each for each in fields(kind) if "kind" in each.metadata]


def _bare(kind: type[Any], given: dict[str, Any]) -> Any:
    """An instance with these values as they are: symbols while a program is traced, numbers that were checked otherwise."""
    made = object.__new__(kind)
    for name, value in given.items():
        object.__setattr__(made, name, value)
    return made


def check_schedules(rules: Iterable[Rule], done: int) -> None:
    """Raises RuleError where the factor of the step after `done` others is not allowed."""
    for rule in {type(rule): rule for rule in rules}.values():
        for each in rule.transforms if isinstance(rule, Chained) else ():
            if isinstance(each, schedule):
                each.at(done)


def by_itself(rule: Rule) -> Program:
    """The program for a library that steps one tensor at a time. Raises RuleError for a rule that needs more than that."""
    held = {type(each) for each in rule.transforms} if isinstance(rule, Chained) else set()
    program = rule.program()
    wants = [kind.__name__ for kind in (noise, freeze_nonfinite) if kind in held]
    if program.whole_model or wants:
        what = wants[0] if wants else 'a norm over="all"'
        msg = f"{rule!r}: {what} needs all tensors of a step, which only thalweg.optim.torch has; use your library's own"
        raise RuleError(msg)
    return program


TRANSFORMS: dict[str, type[Transform]] = {
    each.__name__: each for each in (clip_value, clip_norm, agc, centralize, weight_decay, noise, freeze_nonfinite, schedule, sam)
}
