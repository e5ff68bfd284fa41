"""Tensors that are stepped together: one program, one dtype, one device, one back end.

A table knows its tensors' addresses, so that a step over thousands of them is a few bulk calls and one kernel. What can have
changed since the last step is checked in bulk: the address of every parameter (`p.data = ...` moves it) and of every gradient,
and that the gradients are laid out as their parameters. Slots are ours: the table holds them, and is made anew after
`load_state_dict`. `steps` and the scalars are kept side by side, and each tensor's state holds its place in them.
"""

from __future__ import annotations

import math
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
from thalweg.optim.backends.lockstep import Run, merged
from thalweg.optim.program import Program

KINDS = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}  # what the compiled kernels know
HALVES = (torch.bfloat16, torch.float16)

_grad = operator.attrgetter("grad")
_address = torch.Tensor.data_ptr
_contiguous = torch.Tensor.is_contiguous

Numbers = Mapping[str, float]  # "self.lr" -> 0.1
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

    def __init__(
        self, programs: tuple[Program, ...], entries: Sequence[Entry], keys: Mapping[str, str], axes: int = 0, seed: int = 0
    ) -> None:
        self.programs, self.program, self.axes, self.seed = programs, programs[-1], axes, seed
        program = self.program
        self.parameters = [entry.parameter for entry in entries]
        self.groups = np.array([entry.group for entry in entries], dtype=np.int64)
        self.slots = {name: [entry.state[keys[name]] for entry in entries] for name in program.slots}
        self.steps = _side_by_side(entries, "step", torch.float32)
        self.scalars = {name: _side_by_side(entries, keys[name], torch.float64) for name in program.scalars}
        self.noise = [
            torch.zeros_like(p, dtype=_wide(p.dtype), requires_grad=False) for p in self.parameters if "noise" in program.inputs
        ]
        self.active: Mask = EVERY  # who takes part in this step
        self.copied = 0  # gradients that had to be laid out anew since the table was made

    @property
    def elements(self) -> int:
        return sum(p.numel() for p in self.parameters)

    def step(self, gradients: list[Tensor | None], active: Mask, numbers: Sequence[Numbers], stage: int = 0) -> Run:
        """One step of the active parameters, or a stage of it. gradients, active: from `gradients`; numbers: for each group.

        Who takes part in the first stage takes part in all of them.
        """
        if stage == 0:
            self.active = active
            self.steps[active] += 1
        if self.noise:
            seed = int(np.random.SeedSequence([self.seed, int(self.steps.max()), stage]).generate_state(1)[0])
            generator = torch.Generator(self.noise[0].device).manual_seed(seed)
            for each in self.noise:
                each.normal_(generator=generator)
        rows, inputs = self._rows(numbers, self.active)
        new = yield from self.run(stage, gradients, rows, inputs)
        for name, values in new.items():
            self.scalars[name.removeprefix("s.")][self.active] = values[self.active]

    def moved(self) -> bool:
        """Whether a parameter is no longer where it was when the table was made."""
        return False  # only who works by address need know

    def gradients(self) -> tuple[list[Tensor | None], Mask]:
        """The gradients as they are to be used, None where there is none, and which there are. Raises RuleError for sparse ones."""
        found = [self.laid_out(p, p.grad) for p in self.parameters]
        return found, np.array([g is not None for g in found])

    def complete(self) -> None:
        """A gradient of 0 for who takes part in this step and got none in a later stage of it."""
        taking = self.active if self.active is not EVERY else np.ones(len(self.parameters), dtype=bool)
        for k in np.flatnonzero(taking):
            if self.parameters[k].grad is None:
                self.parameters[k].grad = torch.zeros_like(self.parameters[k])

    def put_back(self) -> None:
        """Undo the stages of a step that could not be ended."""
        self.steps[self.active] -= 1
        taking = self.active if self.active is not EVERY else np.ones(len(self.parameters), dtype=bool)
        with torch.no_grad():
            for k in np.flatnonzero(taking):
                self.parameters[k].copy_(self.slots["start"][k])

    @abstractmethod
    def run(self, stage: int, gradients: list[Tensor | None], rows: compiled.Integers, inputs: dict[str, compiled.Floats]) -> Run:
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


class AddressTable(Table):
    """Tensors that a kernel knows by their addresses: dense, without overlap, their slots laid out as they are."""

    def __init__(
        self, programs: tuple[Program, ...], entries: Sequence[Entry], keys: Mapping[str, str], axes: int, seed: int
    ) -> None:
        super().__init__(programs, entries, keys, axes, seed)
        sizes = np.array([p.numel() for p in self.parameters], dtype=np.int64)
        arrays = [*self.slots.values(), *([self.noise] if self.noise else [])]
        pointers = [list(map(_address, self.parameters))] * 2 + [list(map(_address, tensors)) for tensors in arrays]
        self.tensors = compiled.Tensors(np.array(pointers, dtype=np.int64), compiled.chunked(sizes), sizes)
        self.plain = all(map(_contiguous, self.parameters))

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


class CompiledTable(AddressTable):
    """The compiled kernel, on the CPU."""

    backend = "numba"

    def __init__(
        self,
        programs: tuple[Program, ...],
        entries: Sequence[Entry],
        keys: Mapping[str, str],
        axes: int = 0,
        seed: int = 0,
        stochastic: bool = False,
    ) -> None:
        super().__init__(programs, entries, keys, axes, seed)
        self.kind = KINDS[self.parameters[0].dtype]
        stochastic = stochastic and self.kind == "bfloat16"
        slot = "float64" if self.kind == "float64" else "float32"
        self.kernels = [compiled.build(program, self.kind + " stochastic" * stochastic, slot) for program in programs]
        n = len(self.parameters)
        self.seeds = np.random.SeedSequence(seed).generate_state(n, np.uint32).astype(np.int64) if stochastic else None

    def run(self, stage: int, gradients: list[Tensor | None], rows: compiled.Integers, inputs: dict[str, compiled.Floats]) -> Run:
        # Another key for every tensor and step; the kernel takes 32 bits of it. Without stochastic rounding it reads none.
        keys = rows if self.seeds is None else self.seeds ^ (self.steps.astype(np.int64) * 0x85EBCA6B)
        return compiled.run(self.kernels[stage], self.tensors, rows, inputs, keys, torch.get_num_threads())


class TritonTable(AddressTable):
    """One launch on a GPU."""

    backend = "triton"

    def __init__(
        self, programs: tuple[Program, ...], entries: Sequence[Entry], keys: Mapping[str, str], axes: int, seed: int
    ) -> None:
        super().__init__(programs, entries, keys, axes, seed)
        from thalweg.optim.backends.triton import Launcher

        first = self.parameters[0]
        kind = str(first.dtype).removeprefix("torch.")
        slot = "float64" if kind == "float64" else "float32"
        self.launchers = [Launcher(program, kind, slot, self.tensors.chunks, first.device) for program in programs]

    def run(self, stage: int, gradients: list[Tensor | None], rows: compiled.Integers, inputs: dict[str, compiled.Floats]) -> Run:
        yield from ()  # nothing has to wait for other tables: there are no sums
        return self.launchers[stage](self.tensors.addresses, rows, inputs)


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

    def run(self, stage: int, gradients: list[Tensor | None], rows: compiled.Integers, inputs: dict[str, compiled.Floats]) -> Run:
        program, step = self.programs[stage], self._lists if self.backend == "foreach" else self._singles
        new = {f"s.{name}": np.empty(len(rows)) for name in program.scalars}
        runs, done = [], []
        for row in np.unique(rows[rows >= 0]).tolist():
            values = foreach.host(program, {name: column[row] for name, column in inputs.items()})
            places = np.flatnonzero(rows == row).tolist()
            runs.append(step(program, places, gradients, values))
            done.append((places, values))
        yield from merged(runs)
        for places, values in done:
            for name, place in program.scalars.items():
                new[f"s.{name}"][places] = values[place]
        return new

    def _arrays(self, places: list[int], gradients: list[Tensor | None]) -> dict[str, list[Tensor]]:
        """The tensors of the program, real, halves widened: p may be a copy then, which has to be put back."""
        arrays = {"p": self.parameters, "g": gradients, **{f"s.{name}": slots for name, slots in self.slots.items()}}
        arrays |= {"noise": self.noise} if self.noise else {}
        return {name: [_computed(tensors[k]) for k in places] for name, tensors in arrays.items()}

    def _lists(self, program: Program, places: list[int], gradients: list[Tensor | None], values: dict[int, Any]) -> Run:
        arrays = self._arrays(places, gradients)
        yield from foreach.run(program, arrays, values)
        if self.parameters[0].dtype in HALVES:
            torch._foreach_copy_([self.parameters[k] for k in places], arrays["p"])

    def _singles(self, program: Program, places: list[int], gradients: list[Tensor | None], values: dict[int, Any]) -> Run:
        def arrays(k: int) -> dict[str, Tensor]:
            return {name: tensors[0] for name, tensors in self._arrays([k], gradients).items()}

        if program.whole_model:
            yield from foreach.sums(program, list(map(arrays, places)), values)
        for k in places:
            new = foreach.single(program, arrays(k), values)
            for name, value in new.items():
                home = self.parameters[k] if name == "p" else self.slots[name.removeprefix("s.")][k]
                (torch.view_as_real(home) if home.is_complex() else home).copy_(value)


def all_finite(tables: Sequence[Table], gradients: Sequence[tuple[list[Tensor | None], Mask]], policies: Sequence[str]) -> bool:
    """Whether the gradients are finite, of those groups that ask (policies: of each group, see `freeze_nonfinite`).

    Raises RuleError where a group's policy is to raise.
    """
    fine = True
    for table, (found, _) in zip(tables, gradients, strict=True) if set(policies) != {"pass"} else ():
        asked = [(k, g) for k, g in zip(table.groups.tolist(), found, strict=True) if g is not None and policies[k] != "pass"]
        for (k, g), most in zip(asked, torch._foreach_norm([g for _, g in asked], math.inf) if asked else (), strict=True):
            if not math.isfinite(most):
                if policies[k] == "raise":
                    msg = f"the gradient of a parameter of shape {tuple(g.shape)} in group {k} is not finite; nothing has moved"
                    raise RuleError(msg)
                fine = False
    return fine


def _one_by_one(program: Program) -> bool:
    """Whether a program has to be run tensor by tensor: it has sums over a tensor, or asks for its shape."""
    return program.shaped or "size" in program.inputs or any(node.op in ("sum", "dot") for node in program.nodes)


def _wide(dtype: Any) -> Any:
    return torch.float32 if dtype in HALVES else dtype


def _computed(x: Tensor) -> Tensor:
    """The tensor as it is computed with: complex numbers as pairs of reals, as torch has it; halves widened."""
    if x.is_complex():
        return torch.view_as_real(x)
    return x.float() if x.dtype in HALVES else x
