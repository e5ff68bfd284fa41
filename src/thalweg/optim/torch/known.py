"""The rules of an optimizer that is given: ours, or one of torch's that we have under the same name."""

from __future__ import annotations

import inspect

import torch

from thalweg.errors import InputError
from thalweg.optim.language.rule import Rule
from thalweg.optim.torch import named
from thalweg.optim.torch.optimizer import Optimizer


def rules_of(optimizer: torch.optim.Optimizer) -> list[Rule]:
    """The rule of each parameter group. InputError for an optimizer that is neither ours nor one of torch's that we know."""
    if isinstance(optimizer, Optimizer):
        return [optimizer.rule_of(group) for group in optimizer.param_groups]
    name = type(optimizer).__name__
    kind = getattr(named, name, None) if type(optimizer) is getattr(torch.optim, name, None) else None  # not another's of that name
    if not (isinstance(kind, type) and issubclass(kind, Optimizer)):
        whose = type(optimizer).__module__.partition(".")[0]
        title = name if whose == "torch" else f"{whose}.{name}"
        msg = f"the rule of {title} is not known: take one of torch.optim (all but ASGD, LBFGS and SparseAdam)"
        msg += " or of thalweg.optim.torch"
        raise InputError(msg)
    known = inspect.signature(kind).parameters.keys() - {"params", "options"}
    found = []
    for group in optimizer.param_groups:
        given = {name: value for name, value in group.items() if name in known and value is not None}  # None: its default
        made = kind([torch.zeros(1, requires_grad=True)], **given)
        found.append(made.rule_of(made.param_groups[0]))
    return found
