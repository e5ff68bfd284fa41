"""What torch calls the fields and slots of our rules: the keys of parameter groups and of state dictionaries.

Schedulers write `lr`, `betas` and `momentum` into the groups, and checkpoints of torch.optim hold `exp_avg`; so do ours. A field
that torch does not know keeps its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from thalweg.errors import RuleError
from thalweg.optim.rule import Rule, checked, renewed

PAIRS = {"betas": ("b1", "b2"), "etas": ("shrink", "grow"), "step_sizes": ("least", "most")}
KEYS = {"wd": "weight_decay", "psi": "momentum_decay", "initial": "initial_accumulator_value"}
FIELDS = {key: name for name, key in KEYS.items()}
SPELT = KEYS | {name: key for key, pair in PAIRS.items() for name in pair}  # a rule's field -> the key of a group
WRITTEN = KEYS | {name: f"{key}[{k}]" for key, pair in PAIRS.items() for k, name in enumerate(pair)}  # how errors name a field
AMSGRAD = {"off": False, "before": True}  # torch has these two; "after" is optax's

_MOMENTUM = {"m": "momentum_buffer"}
_ADAM = {"m": "exp_avg", "v": "exp_avg_sq", "V": "max_exp_avg_sq"}
SLOTS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("HeavyBall", "Nesterov", "Signum", "LARS", "Muon"), _MOMENTUM),
    **dict.fromkeys(("Adam", "AdamW", "RAdam", "AdaBelief", "Yogi", "LAMB", "Lion"), _ADAM),
    "NAdam": {**_ADAM, "P": "mu_product"},
    "Adamax": {"m": "exp_avg", "u": "exp_inf"},
    "AdaGrad": {"G": "sum"},
    "RMSprop": {"v": "square_avg", "a": "grad_avg", "b": "momentum_buffer"},
    "Adafactor": {"r": "row_var", "c": "col_var", "v": "variance"},
    "Adadelta": {"v": "square_avg", "d": "acc_delta"},
    "ScheduleFree": {"v": "exp_avg_sq"},
    "Rprop": {"previous": "prev", "size": "step_size"},
}


def slot_key(kind: type[Rule], slot: str) -> str:
    """The key of a slot in a state dictionary."""
    names = next((SLOTS[each.__name__] for each in kind.__mro__ if each.__name__ in SLOTS), {})
    return names.get(slot, slot)


def group_of(rule: Rule) -> dict[str, Any]:
    """A rule's fields as torch writes them in a parameter group."""
    given = {each.name: getattr(rule, each.name) for each in fields(rule)}
    found: dict[str, Any] = {}
    for key, pair in PAIRS.items():
        if pair[0] in given:
            found[key] = tuple(given.pop(name) for name in pair)
    found["decoupled_weight_decay"] = given.pop("decay") == "decoupled"
    if "amsgrad" in given:
        found["amsgrad"] = AMSGRAD.get(given["amsgrad"], given["amsgrad"])
        del given["amsgrad"]
    return {**{KEYS.get(name, name): value for name, value in given.items()}, **found}


def rule_of(kind: type[Rule], group: Mapping[str, Any]) -> Rule:
    """The rule that a group describes; numbers may be tensors of one element. Raises RuleError for values that are not allowed."""
    given: dict[str, Any] = {}
    for key, pair in PAIRS.items():
        if key in group:
            given |= zip(pair, _pair(key, group[key]), strict=True)
    for each in fields(kind):
        key = KEYS.get(each.name, each.name)
        if key in group:
            given[each.name] = group[key]
    if "decoupled_weight_decay" in group:
        given["decay"] = "decoupled" if group["decoupled_weight_decay"] else "coupled"
    if "amsgrad" in given:
        given["amsgrad"] = {made: name for name, made in AMSGRAD.items()}.get(given["amsgrad"], given["amsgrad"])
    known = {each.name for each in fields(kind)}
    numbers = {name: value.item() if hasattr(value, "item") else value for name, value in given.items() if name in known}
    for each in fields(kind):
        if each.name in numbers and each.name in SPELT:
            checked(kind.__name__, each, numbers[each.name], WRITTEN[each.name])
    return kind(**numbers)


def _pair(key: str, given: Any) -> tuple[Any, ...]:
    """Two numbers. Raises RuleError for anything else."""
    try:
        found = tuple(given)
    except TypeError:
        found = ()
    if len(found) != 2:
        msg = f"{key}={given!r} is not a pair of numbers"
        raise RuleError(msg)
    return found


def changed(rule: Rule, before: Mapping[str, Any], after: Mapping[str, Any]) -> Rule | None:
    """The rule with those numbers that have changed, as a schedule changes them; None if it has to be made anew.

    That is where more than numbers has changed, or one from or to 0, which can make it another rule. Only what has changed is
    checked: the step of a model with a group for each tensor reads them all.
    """
    given: dict[str, Any] = {}
    if before.keys() != after.keys():
        return None
    for key, value in after.items():
        if value != before[key]:
            names, old = PAIRS.get(key, (FIELDS.get(key, key),)), before[key]
            values, olds = (x if isinstance(x, tuple) else (x,) for x in (value, old))
            if len(values) != len(names) or not all(type(x) in (int, float) and x for x in (*values, *olds)):
                return None
            given |= zip(names, values, strict=True)
    return renewed(rule, given, WRITTEN)
