"""What torch calls the fields and slots of our rules: the keys of parameter groups and of state dictionaries.

Schedulers write `lr`, `betas` and `momentum` into the groups, and checkpoints of torch.optim hold `exp_avg`; so do ours. A field
that torch does not know keeps its own name. Constructors, groups, checkpoints and messages all go by the tables here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from torch import Tensor

from thalweg.errors import RuleError
from thalweg.optim import rules
from thalweg.optim.language.fields import checked
from thalweg.optim.language.rule import Rule, renewed

TINY = 5e-324  # as good as 0 where 0 stands for something else: its square is 0


@dataclass(frozen=True)
class Key:
    """A key of a group: the fields that it holds, and where their values are written otherwise.

    said: torch's value -> ours; negative: torch has the number with the other sign; reason: what is allowed, in torch's terms.
    """

    fields: tuple[str, ...]
    said: Mapping[Any, Any] = field(default_factory=dict)
    negative: bool = False
    reason: str = ""

    def parts(self, given: Any) -> tuple[Any, ...]:
        """The values in a key's, () for what is not as many."""
        if len(self.fields) == 1:
            return (given,)
        try:
            found = tuple(given)
        except TypeError:
            return ()
        return found if len(found) == len(self.fields) else ()

    def ours(self, value: Any) -> Any:
        """A field's value from torch's."""
        try:
            value = self.said.get(value, value)
        except TypeError:  # what has no hash is refused as a number
            return value
        return -value if self.negative else value

    def theirs(self, value: Any) -> Any:
        """A field's value as torch writes it."""
        value = next((said for said, mine in self.said.items() if mine == value), value)
        return -value if self.negative else value


# keys of any rule that has such fields
COMMON: Mapping[str, Key] = {
    "betas": Key(("b1", "b2")),
    "etas": Key(("shrink", "grow")),
    "step_sizes": Key(("least", "most")),
    "weight_decay": Key(("wd",)),
    "momentum_decay": Key(("psi",)),
    "initial_accumulator_value": Key(("initial",)),
    "decoupled_weight_decay": Key(("decay",), {True: "decoupled", False: "coupled"}),
    "amsgrad": Key(("amsgrad",), {False: "off", True: "before"}),  # torch has these two; "after" is optax's
}
# keys of one rule
OWN: Mapping[type[Rule], Mapping[str, Key]] = {
    rules.Adafactor: {
        "beta2_decay": Key(("decay_power",), negative=True, reason="it is a finite number of at most 0"),
        "eps": Key(("eps1", "eps2"), {None: 0.0, 0.0: TINY}),  # eps1 = 0 is the machine epsilon here, None in torch
    },
    rules.Muon: {
        "ns_coefficients": Key(("ns_a", "ns_b", "ns_c")),
        "eps": Key(("ns_eps",)),
        "adamw_eps": Key(("eps",)),
        "adamw_betas": Key(("b1", "b2")),  # torch's schedulers would cycle "betas" and leave the momentum alone
        "adjust_lr_fn": Key(("scale",), {None: "original"}),
    },
}

_MOMENTUM = {"m": "momentum_buffer"}
_ADAM = {"m": "exp_avg", "v": "exp_avg_sq", "V": "max_exp_avg_sq"}
SLOTS: Mapping[type[Rule], Mapping[str, str]] = {
    **dict.fromkeys((rules.HeavyBall, rules.Nesterov, rules.Signum, rules.LARS, rules.Muon), _MOMENTUM),
    **dict.fromkeys((rules.Adam, rules.RAdam, rules.AdaBelief, rules.Yogi, rules.LAMB, rules.Lion), _ADAM),
    rules.NAdam: {**_ADAM, "P": "mu_product"},
    rules.Adamax: {"m": "exp_avg", "u": "exp_inf"},
    rules.AdaGrad: {"G": "sum"},
    rules.RMSprop: {"v": "square_avg", "a": "grad_avg", "b": "momentum_buffer"},
    rules.Adafactor: {"r": "row_var", "c": "col_var", "v": "variance"},
    rules.Adadelta: {"v": "square_avg", "d": "acc_delta"},
    rules.ScheduleFree: {"v": "exp_avg_sq"},
    rules.Rprop: {"previous": "prev", "size": "step_size"},
}


def slot_key(kind: type[Rule], slot: str) -> str:
    """The key of a slot in a state dictionary."""
    names = next((SLOTS[each] for each in kind.__mro__ if each in SLOTS), {})
    return names.get(slot, slot)


@functools.cache
def keys_of(kind: type[Rule]) -> Mapping[str, Key]:
    """The keys that hold a rule's fields, each in one. RuleError where a field of its own is called as one of torch's keys."""
    left = {each.name: each for each in fields(kind)}
    found: dict[str, Key] = {}
    for table in (*(OWN[each] for each in kind.__mro__ if each in OWN), COMMON):
        for name, key in table.items():
            if all(each in left for each in key.fields):
                found[name] = key
                left = {each: left[each] for each in left if each not in key.fields}
    if twice := found.keys() & left.keys():
        name = min(twice)
        msg = f"{kind.__name__}: {name!r} is what torch calls {' and '.join(found[name].fields)}; give this field another name"
        raise RuleError(msg)
    return MappingProxyType(found | {name: Key((name,)) for name in left})


def misspelt(kind: type[Rule], given: Iterable[str]) -> tuple[str, str] | None:
    """One of these keys that names fields otherwise than the rule's groups do, and the right one; None if all are well."""
    keys = keys_of(kind)
    others = {each: name for name, key in keys.items() for each in key.fields}
    others |= {name: others[key.fields[0]] for name, key in COMMON.items() if key.fields[0] in others}
    return next(((name, others[name]) for name in given if name in others and name not in keys), None)


def group_of(rule: Rule) -> dict[str, Any]:
    """A rule's fields as torch writes them in a parameter group."""
    found = {name: tuple(key.theirs(getattr(rule, each)) for each in key.fields) for name, key in keys_of(type(rule)).items()}
    return {name: values if len(values) > 1 else values[0] for name, values in found.items()}


def rule_of(kind: type[Rule], group: Mapping[str, Any], title: str | None = None, read_once: bool = False) -> Rule:
    """The rule that a group describes; numbers may be tensors of one element. Raises RuleError for values that are not allowed.

    title: what errors call it; read_once: whether the numbers but lr are those of a constructor, which autograd does not follow.
    """
    title, made = title or kind.__name__, dict[str, Any]()
    for name, key in keys_of(kind).items():
        if name not in group:
            continue
        parts = key.parts(group[name])
        if not parts:
            msg = f"{title}: {name}={group[name]!r} is not {'a pair of' if len(key.fields) == 2 else len(key.fields)} numbers"
            raise RuleError(msg)
        for k, (each, part) in enumerate(zip(key.fields, parts, strict=True)):
            label = name if len(parts) == 1 else f"{name}[{k}]"
            if read_once and name != "lr" and getattr(part, "requires_grad", False):
                msg = f"{title}: {label} requires a gradient, which it gets in a parameter group alone: give it there"
                raise RuleError(msg)
            value = _plain(title, label, part)
            made[each] = checked(title, kind.__dataclass_fields__[each], key.ours(value), (label, value), key.reason)
    return kind(**made)


def live_of(kind: type[Rule], group: Mapping[str, Any]) -> dict[str, Tensor]:
    """The numbers of a group that autograd follows, by the names of a program's inputs."""
    found: dict[str, Tensor] = {}
    for name, key in keys_of(kind).items():
        for each, part in zip(key.fields, key.parts(group[name]), strict=False) if name in group else ():
            if isinstance(part, Tensor) and part.requires_grad:
                found[f"self.{each}"] = key.ours(part.reshape(()))
    return found


def _plain(title: str, label: str, value: Any) -> Any:
    """The number in a tensor or array of one element. RuleError for one of more."""
    if not hasattr(value, "item"):
        return value
    if getattr(value, "size", 1) != 1 if not isinstance(value, Tensor) else value.numel() != 1:
        msg = f"{title}: {label} is a tensor of shape {tuple(value.shape)}; it takes one number"
        raise RuleError(msg)
    return value.item()


def changed(rule: Rule, before: Mapping[str, Any], after: Mapping[str, Any]) -> Rule | None:
    """The rule with those numbers that have changed, as a schedule changes them; None if it has to be made anew.

    That is where more than numbers has changed, or one from or to 0, which can make it another rule, or one is not allowed. Only
    what has changed is checked: the step of a model with a group for each tensor reads them all.
    """
    given: dict[str, Any] = {}
    if before.keys() != after.keys():
        return None
    keys = keys_of(type(rule))
    for name, value in after.items():
        if value != before[name]:
            key = keys.get(name)
            values, olds = (key.parts(x) for x in (value, before[name])) if key else ((), ())
            if key is None or not values or not all(type(x) in (int, float) and x for x in (*values, *olds)):
                return None
            given |= zip(key.fields, map(key.ours, values), strict=True)
    return renewed(rule, given)
