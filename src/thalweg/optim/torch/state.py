"""The state of a parameter in torch's spelling: made complete before a step, and as checkpoints hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import RuleError
from thalweg.optim.language.fields import DECIDING
from thalweg.optim.language.program import Program
from thalweg.optim.language.rule import KNOWN, Rule
from thalweg.optim.torch.layout import backed
from thalweg.optim.torch.names import keys_of, slot_key


def complete(state: dict[str, Any], p: Tensor, rule: Rule, program: Program, *, dtype: Any, master: bool) -> None:
    """Add new slots where there are none; bring loaded ones to that dtype and the layout of the kernel.

    master: of a parameter of 16 bits, whether "master" holds it in float32.
    """
    if not backed(p):
        msg = f"the memory of a parameter of shape {tuple(p.shape)} has been freed; bring it back before the step"
        raise RuleError(msg)
    started = bool(state)  # torch's SGD counts no steps: whoever has a buffer has made one
    state.setdefault("step", torch.tensor(float(started), device="cpu"))
    for name, initial in {**dict.fromkeys(program.slots, 0.0), **rule.slots.of(rule)}.items():
        if name in program.slots:
            key = slot_key(type(rule), name)
            axis = {"row": -1, "col": -2}.get(rule.shapes.get(name, ""))
            like = p.detach() if axis is None else p.detach().narrow(axis, 0, 1)
            held = _fitting(state, key, like, p)
            if held is None:
                start = complex(initial, initial) if dtype.is_complex else initial  # a complex number is a pair of reals
                state[key] = torch.full_like(like, start, dtype=dtype, memory_format=torch.preserve_format)
            elif held.dtype != dtype or held.device != p.device or (axis is None and held.stride() != p.stride()):
                state[key] = torch.empty_like(like, dtype=dtype).copy_(held)
    held = _fitting(state, "master", p, p)
    state.pop("master", None)
    if master and held is not None and (held.dtype, held.device, held.stride()) == (torch.float32, p.device, p.stride()):
        state["master"] = held
    elif master:
        state["master"] = torch.empty_like(p.detach(), dtype=torch.float32).copy_(p.detach() if held is None else held)
    for name, initial in rule.scalars.of(rule).items():
        state.setdefault(slot_key(type(rule), name), torch.tensor(initial, dtype=torch.float64, device="cpu"))


def _fitting(state: dict[str, Any], key: str, like: Tensor, p: Tensor) -> Tensor | None:
    """What the state holds there, if anything. Raises RuleError where it does not fit its parameter."""
    held = state.get(key)
    if held is not None and (not isinstance(held, Tensor) or held.shape != like.shape or not backed(held)):
        what = f"has shape {tuple(held.shape)}" if isinstance(held, Tensor) else f"is {type(held).__name__}"
        msg = f"state {key!r} {what}, its parameter {tuple(p.shape)}; it is another model's"
        raise RuleError(msg)
    return held


def check_rules(groups: Sequence[dict[str, Any]], saved: Sequence[dict[str, Any]]) -> None:
    """Raises RuleError where the saved groups are those of other rules; transforms keep no state, and may be others."""
    for ours, theirs in zip(groups, saved, strict=False):
        if _bare_name(theirs.get("rule", ours["rule"])) != _bare_name(ours["rule"]):
            msg = f"the state is that of {theirs['rule']}, this optimizer's rule is {ours['rule']}"
            raise RuleError(msg)


def check_keys(rules: Sequence[Rule], saved: dict[str, Any]) -> None:
    """Raises RuleError for a state of torch.optim, which does not say whose it is, that holds what a group's rule does not keep."""
    for rule, group in zip(rules, saved["param_groups"], strict=False):
        if "rule" in group:
            continue
        kinds = {rule, *(rule.suited(axes) for axes in range(4))}
        names = {name for each in kinds for name in (*each.slots.initial, *each.scalars.initial, *each.program().slots)}
        known = {"step", "master", *(slot_key(type(rule), name) for name in names)}
        needed = (
            {slot_key(type(rule), name) for name in (*rule.program().slots, *rule.program().scalars)} if len(kinds) == 1 else set()
        )
        for place in group["params"]:
            held = {key for key, value in saved["state"].get(place, {}).items() if value is not None}
            if other := held - known:
                msg = f"the state holds {min(other)!r}, which {type(rule).__name__} does not keep: it is another optimizer's"
                raise RuleError(msg)
            if (lost := needed - held) and held - {"step"}:
                msg = f"the state lacks {min(lost)!r}, which {type(rule).__name__} keeps: it is another optimizer's"
                raise RuleError(msg)
        check_group(type(rule), group)


def check_group(kind: type[Rule], saved: Mapping[str, Any]) -> None:
    """Raises RuleError for a group of torch.optim that holds numbers of other rules and lacks some of this one's.

    So is told the state of an optimizer that keeps nothing, as SGD without momentum. An older torch may lack some, and a user's
    own entry may be called as the number of another rule; both together are another optimizer's.
    """
    ours = keys_of(kind)
    numbers = {each.name for each in fields(kind) if each.metadata.get("kind", "flag") not in DECIDING} - {"wd"}
    needed = {name for name, key in ours.items() if key.fields[0] in numbers}
    others = {name for other in KNOWN.values() for name in keys_of(other)} - ours.keys()
    if (lost := needed - saved.keys()) and (held := others & saved.keys()):
        msg = f"a group of the state holds {min(held)!r} and lacks {min(lost)!r}, a number of {kind.__name__}"
        raise RuleError(f"{msg}: it is another optimizer's")


def taken_over(state: dict[Tensor, dict[str, Any]], parameters: Sequence[Tensor], saved: dict[str, Any]) -> None:
    """Make what torch has loaded the optimizer's own: copies, in the dtype in which they were saved.

    torch casts to the parameter's dtype, where slots of halves may be float32 and scalars are float64, and keeps the tensors that
    need no cast: two optimizers would step one slot.
    """
    places = [place for group in saved["param_groups"] for place in group["params"]]
    for place, p in zip(places, parameters, strict=True):
        for key, value in saved["state"].get(place, {}).items():
            held = state[p][key]
            if isinstance(value, Tensor) and (held is value or held.dtype != value.dtype):
                state[p][key] = value.detach().to(held.device, copy=True)


def _bare_name(name: str) -> str:
    return name.rsplit("|", 1)[-1]
