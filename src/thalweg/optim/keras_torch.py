"""Keras variables on the torch backend, stepped together by `thalweg.optim.torch`: the slots are Keras's own tensors."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.optim.rule import Rule
from thalweg.optim.torch.names import slot_key
from thalweg.optim.torch.optimizer import Optimizer


class Together:
    """One torch optimizer over the variables of a Keras optimizer.   slots: name -> a Keras variable for each of them"""

    def __init__(self, rule: Rule, variables: list[Any], slots: dict[str, list[Any]]) -> None:
        self.variables = [variable for variable in variables if not getattr(variable, "overwrite_with_gradient", False)]
        self.places = {id(variable): k for k, variable in enumerate(self.variables)}
        kept = {name: [slot for slot in column if slot is not None] for name, column in slots.items()}
        self.numbers = {slot_key(type(rule), name): kept.pop(name) for name in rule.scalars.initial if name in kept}
        self.tensors = {slot_key(type(rule), name): column for name, column in kept.items()}
        self.done = -1  # steps that the tensors below have made; -1: they are not taken from Keras yet
        self.optimizer = Optimizer([variable.value for variable in self.variables], rule)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, grads: list[Any], variables: list[Any], lr: float, done: int) -> None:
        """One step with these gradients, as the one after `done` of them."""
        parameters = [variable.value for variable in self.variables]
        before = [p.grad for p in parameters]
        for p in parameters:
            p.grad = None
        for variable, gradient in zip(variables, grads, strict=True):
            parameters[self.places[id(variable)]].grad = gradient
        if done != self.done or any(p is not mine for p, mine in zip(parameters, self._mine(), strict=True)):
            self._take(parameters, done)
        for group in self.optimizer.param_groups:
            if "lr" in group:
                group["lr"] = lr
        self.optimizer.step()
        for key, column in self.numbers.items():
            for variable, p in zip(column, parameters, strict=True):
                variable.assign(self.optimizer.state[p][key])
        for p, gradient in zip(parameters, before, strict=True):
            p.grad = gradient
        self.done = done + 1

    def _mine(self) -> list[Any]:
        return list(self.optimizer.param_groups[0]["params"])

    def _take(self, parameters: list[Any], done: int) -> None:
        """Begin from what the Keras variables hold: at first, and after they were loaded."""
        self.optimizer.param_groups[0]["params"] = parameters
        self.optimizer.state.clear()
        for k, p in enumerate(parameters):
            state = {key: column[k].value.detach() for key, column in self.tensors.items()}
            state |= {key: column[k].value.detach().double().reshape(()) for key, column in self.numbers.items()}
            self.optimizer.state[p] = {"step": torch.tensor(float(done)), **state}
        self.optimizer._plan = None
