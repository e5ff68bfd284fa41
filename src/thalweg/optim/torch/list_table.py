"""Tensors that torch's own operations step: as lists (foreach), or one by one where that cannot be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import RuleError
from thalweg.optim.backends import compiled, foreach
from thalweg.optim.backends.lockstep import Run, merged
from thalweg.optim.language.program import Program
from thalweg.optim.torch.tables import HALVES, Entry, Table


class ListTable(Table):
    """torch's own operations: lists of tensors (foreach), or tensor by tensor (single) for what lists cannot do."""

    def __init__(
        self,
        programs: tuple[Program, ...],
        entries: Sequence[Entry],
        keys: Mapping[str, str],
        axes: int,
        seed: int,
        backend: str,
        differentiable: bool,
    ) -> None:
        super().__init__(programs, entries, keys, axes, seed)
        listed = not any(_one_by_one(program) for program in programs) and not differentiable
        self.backend = backend if listed else "single"
        self.differentiable = differentiable

    def run(self, stage: int, gradients: list[Tensor | None], rows: compiled.Integers, inputs: dict[str, compiled.Floats]) -> Run:
        program, step = self.programs[stage], self._lists if self.backend == "foreach" else self._singles
        new = {f"s.{name}": np.empty(len(rows)) for name in program.scalars}
        runs, done = [], []
        for row in np.unique(rows[rows >= 0]).tolist():
            places = np.flatnonzero(rows == row).tolist()
            live = self.live[self.groups[places[0]]] if self.live else {}
            values = foreach.host(program, {name: column[row] for name, column in inputs.items()}, live)
            lost = [name for name, place in program.scalars.items() if isinstance(values.get(place), Tensor)]
            if lost:
                msg = f"{program.rule} keeps {lost[0]} as a plain number, which has no derivative; detach lr and betas"
                raise RuleError(msg)
            runs.append(step(program, places, gradients, values))
            done.append((places, values))
        yield from merged(runs)
        for places, values in done:
            for name, place in program.scalars.items():
                new[f"s.{name}"][places] = values[place]
        return new

    def _arrays(self, places: list[int], gradients: list[Tensor | None]) -> dict[str, list[Tensor]]:
        """The tensors of the program, real, halves widened: copies then, which have to be put back."""
        arrays = {"p": self.weights, "g": gradients, **{f"s.{name}": slots for name, slots in self.slots.items()}}
        arrays |= {"noise": self.noise} if self.noise else {}
        found = {name: [_computed(tensors[k]) for k in places] for name, tensors in arrays.items()}
        if self.differentiable:  # autograd keeps what it will need, and the step writes over p and slots
            return {name: [tensor.clone() for tensor in tensors] for name, tensors in found.items()}
        return found

    def _home(self, name: str) -> list[Tensor]:
        return self.weights if name == "p" else self.slots[name.removeprefix("s.")]

    def _lists(self, program: Program, places: list[int], gradients: list[Tensor | None], values: dict[int, Any]) -> Run:
        arrays = self._arrays(places, gradients)
        yield from foreach.run(program, arrays, values)
        for name in program.outputs:
            if self._home(name)[0].dtype in HALVES:
                torch._foreach_copy_([self._home(name)[k] for k in places], arrays[name])

    def _singles(self, program: Program, places: list[int], gradients: list[Tensor | None], values: dict[int, Any]) -> Run:
        def arrays(k: int) -> dict[str, Tensor]:
            return {name: tensors[0] for name, tensors in self._arrays([k], gradients).items()}

        if program.whole_model:
            yield from foreach.sums(program, list(map(arrays, places)), values)
        for k in places:
            new = foreach.single(program, arrays(k), values)
            for name, value in new.items():
                home = self._home(name)[k]
                (torch.view_as_real(home) if home.is_complex() else home).copy_(value)


def _one_by_one(program: Program) -> bool:
    """Whether a program has to be run tensor by tensor: it has sums over a tensor, or asks for its shape."""
    return program.shaped or "size" in program.inputs or any(node.op in ("sum", "dot") for node in program.nodes)


def _computed(x: Tensor) -> Tensor:
    """The tensor as it is computed with: complex numbers as pairs of reals, as torch has it; halves widened."""
    if x.is_complex():
        return torch.view_as_real(x)
    return x.float() if x.dtype in HALVES else x
