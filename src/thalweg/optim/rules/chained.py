"""A chain: transforms followed by a rule form a new rule. And rules, chains and schedules as plain dictionaries for JSON, and back.

    kept = json.dumps(rule.to_config())
    rule = from_config(json.loads(kept))

A rule is its class's name under "rule" and its fields; a chain is {"rule": "chain", "transforms": [...], "of": its rule}. A rule of
one's own is found by who reads it, and is "own Adam" where it is called as one of the library's. The schedules of
`thalweg.optim.schedules` are written too; functions and transforms of one's own have no such form.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields, make_dataclass
from typing import Any, ClassVar, cast

from thalweg.errors import RuleError, near_misses
from thalweg.optim import ops, schedules
from thalweg.optim.language.program import Program
from thalweg.optim.language.rule import OWN_NAME, Rule, known_as
from thalweg.optim.language.state import Stages, State, Value
from thalweg.optim.rules import get
from thalweg.optim.rules.transforms import TRANSFORMS, Transform, declared_by, freeze_nonfinite, noise, sam, schedule

Link = tuple[str, type[Transform], tuple[tuple[str, Any], ...]]  # prefix of its fields, class, what is not a hyper-parameter


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
        declared = {other.name for other in declared_by(type(each))}
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
            given = {each.name: getattr(self, f"{prefix}_{each.name}") for each in declared_by(kind)}
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
        return chain_config(self)

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Rule:
        """The chain that `to_config` wrote."""
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
        for each in declared_by(kind)
    ]
    fixed = [", ".join(getattr(value, "__qualname__", repr(value)) for _, value in link[2]) for link in links]
    names = [link[0] + f"({value})" * bool(value) for link, value in zip(links, fixed, strict=True)]
    space: dict[str, Any] = {"base": base, "links": links, "__module__": __name__, "__repr__": Chained.__repr__}
    if base.suited is not Rule.suited:
        space["suited"] = _suited
    made = make_dataclass("|".join([*names, known_as(base)]), own, bases=(Chained, base), namespace=space, frozen=True, repr=False)
    made.__doc__ = base.__doc__
    return made


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
    if (gradients := len(rule.programs())) > 1:
        msg = f"{rule!r} takes {gradients} gradients a step, where this library gives one"
        msg += ": use thalweg.optim.torch and opt.step(closure)"
        raise RuleError(msg)
    program = rule.program()
    wants = [kind.__name__ for kind in (noise, freeze_nonfinite) if kind in held]
    if program.whole_model or wants:
        what = wants[0] if wants else 'a norm over="all"'
        msg = f"{rule!r}: {what} needs all tensors of a step, which only thalweg.optim.torch has; use your library's own"
        raise RuleError(msg)
    return program


SCHEDULES: dict[str, type[schedules.Schedule]] = {name: getattr(schedules, name) for name in (*schedules.__all__, "product")}


def chain_config(rule: Chained) -> dict[str, Any]:
    """A chain for JSON. Raises RuleError for one with a schedule or transform of one's own."""
    return {"rule": "chain", "transforms": [_written("transform", each) for each in rule.transforms], "of": rule.rule.to_config()}


def from_config(config: Mapping[str, Any], find: Callable[[str], type[Rule]] = get) -> Rule:
    """The rule or chain that `to_config` wrote; `find` is given the names of rules. Raises RuleError for what it did not write."""
    name = str(config.get("rule"))
    if name.startswith(OWN_NAME) and find is get:
        bare = name.removeprefix(OWN_NAME)
        msg = f"the configuration is of a rule of your own, {bare}, not of thalweg.optim's: use its from_config"
        raise RuleError(msg)
    if name != "chain":
        return find(name).from_config(config)
    transforms = [cast(Transform, _read("transform", each, TRANSFORMS)) for each in config.get("transforms", ())]
    return chain(*transforms, from_config(config.get("of", {}), find))


def _written(kind: str, made: Any) -> dict[str, Any]:
    if kind == "schedule" and type(made) not in SCHEDULES.values():
        msg = f"schedule({getattr(made, '__qualname__', made)}) is a function of your own, which has no configuration"
        raise RuleError(msg)
    if kind == "transform" and type(made) not in TRANSFORMS.values():
        msg = f"{type(made).__name__} is a transform of your own, which has no configuration"
        raise RuleError(msg)
    given = {each.name: getattr(made, each.name) for each in fields(made)}
    return {kind: type(made).__name__} | {
        name: value if isinstance(value, int | float | str) else _written("schedule", value) for name, value in given.items()
    }


def _read(kind: str, config: Mapping[str, Any], known: Mapping[str, type[Any]]) -> Any:
    given = dict(config)
    name = str(given.pop(kind, None))
    if name not in known:
        msg = f"there is no {kind} {name!r}.{near_misses(name, known)}"
        raise RuleError(msg)
    names = [each.name for each in fields(known[name])]
    if unknown := given.keys() - set(names):
        msg = f"{name} has no {min(unknown)!r}.{near_misses(min(unknown), names)}"
        raise RuleError(msg)
    return known[name](**{k: _read("schedule", v, SCHEDULES) if isinstance(v, Mapping) else v for k, v in given.items()})
