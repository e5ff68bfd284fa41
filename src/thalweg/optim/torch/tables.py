"""Tensors that are stepped together: one program, one dtype, one device, one back end.

A table knows its tensors' addresses, so that a step over thousands of them is a few bulk calls and one kernel. What can have
changed since the last step is checked in bulk: the address of every parameter (`p.data = ...` moves it) and of every gradient,
and that the gradients are laid out as their parameters. Slots are ours: the table holds them, and is made anew after
`load_state_dict`. `steps` and the scalars are kept side by side, and each tensor's state holds its place in them.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import RuleError
from thalweg.optim.backends import compiled, foreach
from thalweg.optim.program import Program

KINDS = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}  # what the compiled kernels know
HALVES = (torch.bfloat16, torch.float16)

_grad = operator.attrgetter("grad")
_address = torch.Tensor.data_ptr
_contiguous = torch.Tensor.is_contiguous

Numbers = Mapping[str, float]  # "self.lr" -> 0.1
Scalars = Mapping[str, compiled.Floats]  # "s.P" -> (tensors,)
Mask: TypeAlias = Any  # which tensors take part: an array of bool, or EVERY
EVERY = slice(None)


@dataclass(frozen=True)
class Entry:
    """A parameter, the place of its group, and its state in torch's spelling."""

    parameter: Tensor
    group: int
    state: dict[str, Any]


class Table(ABC):
    """Parameters with their slots. A subclass runs the program on them."""

    backend = ""

    def __init__(self, program: Program, entries: Sequence[Entry], keys: Mapping[str, str]) -> None:
        self.program = program
        self.parameters = [entry.parameter for entry in entries]
        self.groups = np.array([entry.group for entry in entries], dtype=np.int64)
        self.slots = {name: [entry.state[keys[name]] for entry in entries] for name in program.slots}
        self.steps = _side_by_side(entries, "step", torch.float32)
        self.scalars = {name: _side_by_side(entries, keys[name], torch.float64) for name in program.scalars}
        self.copied = 0  # gradients that had to be laid out anew since the table was made

    @property
    def elements(self) -> int:
        return sum(p.numel() for p in self.parameters)

    def step(self, gradients: list[Tensor | None], active: Mask, numbers: Sequence[Numbers]) -> None:
        """One step of the active parameters. gradients, active: from `gradients`; numbers: for each group."""
        self.steps[active] += 1
        rows, inputs = self._rows(numbers, active)
        for name, values in self.run(gradients, rows, inputs).items():
            self.scalars[name.removeprefix("s.")][active] = values[active]

    def moved(self) -> bool:
        """Whether a parameter is no longer where it was when the table was made."""
        return False  # only who works by address need know

    def gradients(self) -> tuple[list[Tensor | None], Mask]:
        """The gradients as they are to be used, None where there is none, and which there are. Raises RuleError for sparse ones."""
        found = [self.laid_out(p, p.grad) for p in self.parameters]
        return found, np.array([g is not None for g in found])

    @abstractmethod
    def run(self, gradients: list[Tensor | None], rows: compiled.Integers, inputs: dict[str, compiled.Floats]) -> Scalars:
        """Step the tensors whose row is not -1; the new scalars, a number for each tensor."""

    def laid_out(self, p: Tensor, g: Tensor | None) -> Tensor | None:
        """The gradient, dense and with the strides of its parameter. Raises RuleError for a sparse one."""
        if g is None:
            return None
        if g.layout != torch.strided:
            msg = f"{self.program.rule}: the gradient of a parameter of shape {tuple(p.shape)} is sparse; use sparse=False"
            raise RuleError(msg)
        if g.stride() == p.stride() or (g.is_contiguous() and p.is_contiguous()):
            return g
        self.copied += 1
        return torch.empty_like(p).copy_(g)

    def _rows(self, numbers: Sequence[Numbers], active: Mask) -> tuple[compiled.Integers, dict[str, compiled.Floats]]:
        """Which row of the inputs a tensor takes (-1: none), and the inputs: a row for each group, time and scalars that occur."""
        distinct = np.stack([self.groups.astype(np.float64), self.steps.astype(np.float64), *self.scalars.values()])  # (k, tensors)
        first = distinct[:, :1]
        if (distinct == first).all():
            found, rows = first.T, np.zeros(len(self.groups), dtype=np.int64)
        else:
            found, rows = np.unique(distinct.T, axis=0, return_inverse=True)
            rows = rows.reshape(-1).astype(np.int64)
        if active is not EVERY:
            rows[~active] = -1
        inputs = {"t": found[:, 1], **{f"s.{name}": found[:, 2 + k] for k, name in enumerate(self.scalars)}}
        mine = [numbers[int(group)] for group in found[:, 0]]
        return rows, inputs | {name: np.array([each[name] for each in mine]) for name in mine[0]}


def _side_by_side(entries: Sequence[Entry], key: str, dtype: Any) -> Any:
    """One array of a number that every state has; the states hold views of it from now on."""
    together = torch.tensor([float(entry.state[key]) for entry in entries], dtype=dtype)
    for entry, place in zip(entries, together.unbind(), strict=True):
        entry.state[key] = place
    return together.numpy()


class CompiledTable(Table):
    """The compiled kernel. Tensors are dense, on the CPU, do not overlap, and their slots have their strides."""

    backend = "numba"

    def __init__(
        self, program: Program, entries: Sequence[Entry], keys: Mapping[str, str], stochastic: bool = False, seed: int = 0
    ) -> None:
        super().__init__(program, entries, keys)
        self.kind = KINDS[self.parameters[0].dtype]
        stochastic = stochastic and self.kind == "bfloat16"
        slot = "float64" if self.kind == "float64" else "float32"
        self.kernel = compiled.build(program, self.kind + " stochastic" * stochastic, slot)
        sizes = np.array([p.numel() for p in self.parameters], dtype=np.int64)
        pointers = [list(map(_address, self.parameters))] * 2 + [list(map(_address, slots)) for slots in self.slots.values()]
        self.tensors = compiled.Tensors(np.array(pointers, dtype=np.int64), compiled.chunked(sizes), sizes)
        self.plain = all(map(_contiguous, self.parameters))
        self.seeds = np.random.SeedSequence(seed).generate_state(len(sizes), np.uint32).astype(np.int64) if stochastic else None

    def moved(self) -> bool:
        return not np.array_equal(
            self.tensors.addresses[0], np.fromiter(map(_address, self.parameters), np.int64, len(self.groups))
        )

    def gradients(self) -> tuple[list[Tensor | None], Mask]:
        at, active = self.tensors.addresses, EVERY
        found: list[Tensor | None] = list(map(_grad, self.parameters))
        try:
            at[1] = np.fromiter(map(_address, found), np.int64, len(found))
            simple = self.plain and all(map(_contiguous, found))
        except (TypeError, RuntimeError):  # a None, or a sparse gradient, which has no address
            simple = False
        if not simple:
            found = [self.laid_out(p, g) for p, g in zip(self.parameters, found, strict=True)]
            at[1] = [0 if g is None else g.data_ptr() for g in found]
            active = at[1] != 0  # an empty tensor has no address either, and nothing to step
        for k in np.flatnonzero((at[0] == at[1]) & (at[0] != 0)):  # p.grad = p: the kernel takes it that arrays do not overlap
            found[k] = self.parameters[k].grad.clone()
            at[1, k] = _address(found[k])
        return found, active

    def run(self, gradients: list[Tensor | None], rows: compiled.Integers, inputs: dict[str, compiled.Floats]) -> Scalars:
        # Another key for every tensor and step; the kernel takes 32 bits of it. Without stochastic rounding it reads none.
        keys = rows if self.seeds is None else self.seeds ^ (self.steps.astype(np.int64) * 0x85EBCA6B)
        return compiled.launch(self.kernel, self.tensors, rows, inputs, keys, torch.get_num_threads())


class ListTable(Table):
    """torch's own operations: lists of tensors (foreach), or tensor by tensor (single) for what lists cannot do."""

    def __init__(
        self, program: Program, entries: Sequence[Entry], keys: Mapping[str, str], backend: str, differentiable: bool
    ) -> None:
        super().__init__(program, entries, keys)
        self.backend = "single" if program.n_phases > 1 or differentiable else backend

    def run(self, gradients: list[Tensor | None], rows: compiled.Integers, inputs: dict[str, compiled.Floats]) -> Scalars:
        step = self._lists if self.backend == "foreach" else self._singles
        new = {f"s.{name}": np.empty(len(rows)) for name in self.program.scalars}
        for row in np.unique(rows[rows >= 0]).tolist():
            values = foreach.host(self.program, {name: column[row] for name, column in inputs.items()})
            places = np.flatnonzero(rows == row).tolist()
            step(places, gradients, values)
            for name, place in self.program.scalars.items():
                new[f"s.{name}"][places] = values[place]
        return new

    def _arrays(self, places: list[int], gradients: list[Tensor | None]) -> dict[str, list[Tensor]]:
        """The tensors of the program, real, halves widened: p may be a copy then, which has to be put back."""
        arrays = {"p": self.parameters, "g": gradients, **{f"s.{name}": slots for name, slots in self.slots.items()}}
        return {name: [_computed(tensors[k]) for k in places] for name, tensors in arrays.items()}

    def _lists(self, places: list[int], gradients: list[Tensor | None], values: dict[int, Any]) -> None:
        arrays = self._arrays(places, gradients)
        foreach.run(self.program, arrays, values)
        if self.parameters[0].dtype in HALVES:
            torch._foreach_copy_([self.parameters[k] for k in places], arrays["p"])

    def _singles(self, places: list[int], gradients: list[Tensor | None], values: dict[int, Any]) -> None:
        for k in places:
            arrays = {name: tensors[0] for name, tensors in self._arrays([k], gradients).items()}
            new = foreach.single(self.program, arrays, values)
            for name, value in new.items():
                home = self.parameters[k] if name == "p" else self.slots[name.removeprefix("s.")][k]
                (torch.view_as_real(home) if home.is_complex() else home).copy_(value)


def _computed(x: Tensor) -> Tensor:
    """The tensor as it is computed with: complex numbers as pairs of reals, as torch has it; halves widened."""
    if x.is_complex():
        return torch.view_as_real(x)
    return x.float() if x.dtype in HALVES else x
