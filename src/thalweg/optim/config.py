"""Rules, chains and schedules as plain dictionaries for JSON, and back.

    kept = json.dumps(rule.to_config())
    rule = from_config(json.loads(kept))

A rule is its class's name under "rule" and its fields; a chain is {"rule": "chain", "transforms": [...], "of": its rule}. A rule of
one's own is found by who reads it, and is "own Adam" where it is called as one of the library's. The schedules of
`thalweg.optim.schedules` are written too; functions and transforms of one's own have no such form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, cast

from thalweg.errors import RuleError, near_misses
from thalweg.optim import schedules
from thalweg.optim.language.rule import Rule
from thalweg.optim.rules import OWN, get
from thalweg.optim.transforms import TRANSFORMS, Chained, Transform, chain

SCHEDULES: dict[str, type[schedules.Schedule]] = {name: getattr(schedules, name) for name in (*schedules.__all__, "product")}


def chain_config(rule: Chained) -> dict[str, Any]:
    """A chain for JSON. Raises RuleError for one with a schedule or transform of one's own."""
    return {"rule": "chain", "transforms": [_written("transform", each) for each in rule.transforms], "of": rule.rule.to_config()}


def from_config(config: Mapping[str, Any], find: Callable[[str], type[Rule]] = get) -> Rule:
    """The rule or chain that `to_config` wrote; `find` is given the names of rules. Raises RuleError for what it did not write."""
    name = str(config.get("rule"))
    if name.startswith(OWN) and find is get:
        msg = f"the configuration is of a rule of your own, {name.removeprefix(OWN)}, not of thalweg.optim's: use its from_config"
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
        msg = f"the configuration names the {kind} {name!r}, which there is not.{near_misses(name, known)}"
        raise RuleError(msg)
    names = [each.name for each in fields(known[name])]
    if unknown := given.keys() - set(names):
        msg = f"{name} has no {min(unknown)!r}.{near_misses(min(unknown), names)}"
        raise RuleError(msg)
    return known[name](**{k: _read("schedule", v, SCHEDULES) if isinstance(v, Mapping) else v for k, v in given.items()})
