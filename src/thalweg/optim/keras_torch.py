"""Keras variables on the torch backend, stepped together by `thalweg.optim.torch`: the slots are Keras's own tensors.

Keras counts the steps of the optimizer, torch those of each tensor: here every variable's count is Keras's, with a gradient or not.
"""

from __future__ import annotations

from typing import Any

import torch

from thalweg.optim.language.rule import Rule
from thalweg.optim.language.symbols import HOST
from thalweg.optim.torch.names import slot_key
from thalweg.optim.torch.optimizer import Optimizer


class Together:
    """One torch optimizer over the variables of a Keras optimizer, a group for each of their rules.

    rules: of each variable; slots: name -> a Keras variable for each of them, None where it has no such slot.
    """

    def __init__(self, variables: list[Any], rules: list[Rule], slots: dict[str, list[Any]]) -> None:
        kept = [k for k, variable in enumerate(variables) if not getattr(variable, "overwrite_with_gradient", False)]
        self.variables = [variables[k] for k in kept]
        self.places = {id(variable): k for k, variable in enumerate(self.variables)}
        self.numbers, self.tensors, self.shared = (
            list[dict[str, Any]](),
            list[dict[str, Any]](),
            list[set[str]](),
        )  # of each variable
        for k in kept:
            rule, program = rules[k], rules[k].program()
            own = {name: column[k] for name, column in slots.items() if column[k] is not None}
            self.numbers.append({slot_key(type(rule), name): own[name] for name in own if name in program.scalars})
            self.tensors.append({slot_key(type(rule), name): own[name] for name in own if name in program.slots})
            self.shared.append({slot_key(type(rule), n) for n, at in program.scalars.items() if program.nodes[at].level == HOST})
        self.groups: dict[Rule, list[int]] = {}
        for place, k in enumerate(kept):
            self.groups.setdefault(rules[k], []).append(place)
        self.done = -1  # steps that the tensors below have made; -1: they are not taken from Keras yet
        groups = [{"params": [self.variables[k].value for k in places], "rule": rule} for rule, places in self.groups.items()]
        self.optimizer = Optimizer(groups, rules[kept[0]])

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, grads: list[Any], variables: list[Any], lr: float, wd: float, done: int) -> None:
        """One step with these gradients, as the one after `done` of them."""
        parameters = [variable.value for variable in self.variables]
        before = [p.grad for p in parameters]
        for p in parameters:
            p.grad = None
        for variable, gradient in zip(variables, grads, strict=True):
            p = parameters[self.places[id(variable)]]
            p.grad = gradient.to(p.device, p.dtype)
        if done != self.done or any(p is not mine for p, mine in zip(parameters, self._mine(), strict=True)):
            self._take(parameters, done)
        self.optimizer.updates = done
        for group, rule in zip(self.optimizer.param_groups, self.groups, strict=True):
            group.update({"lr": lr} if "lr" in group else {}, **({"weight_decay": wd} if rule.wd else {}))
        self.optimizer.step()
        self._count(parameters, done + 1)
        for column, p, gradient in zip(self.numbers, parameters, before, strict=True):
            for key, variable in column.items():
                variable.assign(self.optimizer.state[p][key])
            p.grad = gradient
        self.done = done + 1

    def _count(self, parameters: list[Any], done: int) -> None:
        """The step counts for those without a gradient too, and so do the numbers that are the same for all."""
        state = self.optimizer.state
        stepped = {
            key: state[p][key] for p, keys in zip(parameters, self.shared, strict=True) if p.grad is not None for key in keys
        }
        for p, keys in zip(parameters, self.shared, strict=True):
            if p.grad is None:
                state[p]["step"].fill_(done)
                for key in keys & stepped.keys():
                    state[p][key].copy_(stepped[key])

    def _mine(self) -> list[Any]:
        """The optimizer's parameters in the order of the variables."""
        found = list[Any]([None] * len(self.variables))
        for group, places in zip(self.optimizer.param_groups, self.groups.values(), strict=True):
            for p, k in zip(group["params"], places, strict=True):
                found[k] = p
        return found

    def _take(self, parameters: list[Any], done: int) -> None:
        """Begin from what the Keras variables hold: at first, and after they were loaded."""
        for group, places in zip(self.optimizer.param_groups, self.groups.values(), strict=True):
            group["params"] = [parameters[k] for k in places]
        self.optimizer.state.clear()
        for p, tensors, numbers in zip(parameters, self.tensors, self.numbers, strict=True):
            state = {key: slot.value.detach() for key, slot in tensors.items()}
            state |= {key: slot.value.detach().double().reshape(()) for key, slot in numbers.items()}
            self.optimizer.state[p] = {"step": torch.tensor(float(done)), **state}
        self.optimizer._plan = None
