"""Tensors that are stepped together: one program, one dtype, one device, one back end.

A table knows its tensors' addresses, so that a step over thousands of them is a few bulk calls and one kernel. Before each step
it is asked whether they are still what it was made from (`backends.watch`), and made anew where they are not; gradients that are
laid out otherwise than their parameters are copied. `steps` and the scalars are kept side by side, and each tensor's state holds
its place in them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import RuleError
from thalweg.optim.backends import compiled, watch
from thalweg.optim.backends.lockstep import Run
from thalweg.optim.language.program import Program
from thalweg.optim.torch.layout import backed
from thalweg.optim.torch.rows import LazyParameter

KINDS = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}  # what the compiled kernels know
HALVES = (torch.bfloat16, torch.float16)

Numbers = Mapping[str, float]  # "self.lr" -> 0.1
Mask: TypeAlias = Any  # which tensors take part: an array of bool, or EVERY
EVERY = slice(None)
Found: TypeAlias = tuple[list[Tensor | None], Mask]  # gradients, and who takes part


@dataclass(frozen=True)
class Entry:
    """A parameter, the place of its group, and its state in torch's spelling."""

    parameter: Tensor
    group: int
    state: dict[str, Any]

    def tensors(self) -> list[Tensor]:
        """The parameter and what belongs to it, element by element."""
        p = self.parameter.detach() if isinstance(self.parameter, LazyParameter) else self.parameter
        return [p, *(x for x in self.state.values() if isinstance(x, Tensor) and x.dim() == self.parameter.dim() > 0)]


class Table(ABC):
    """Parameters with their slots. A subclass runs the program on them. addressed: whether it goes by their addresses."""

    backend = ""
    addressed = False

    def __init__(
        self, programs: tuple[Program, ...], entries: Sequence[Entry], keys: Mapping[str, str], axes: int = 0, seed: int = 0
    ) -> None:
        self.programs, self.program, self.axes, self.seed = programs, programs[-1], axes, seed
        program = self.program
        self.parameters = [entry.parameter for entry in entries]
        self.groups = np.array([entry.group for entry in entries], dtype=np.int64)
        self.weights = [entry.state.get("master", entry.parameter) for entry in entries]  # what the program steps
        self.mastered = "master" in entries[0].state
        self.written: list[tuple[int, int] | None] = [None] * len(entries)  # where a parameter was and its version when it was
        self.slots = {name: [entry.state[keys[name]] for entry in entries] for name in program.slots}
        self.wide = next((slot[0].dtype for slot in self.slots.values()), _wide(self.parameters[0].dtype))
        self.steps = _side_by_side(entries, "step", torch.float32)
        self.scalars = {name: _side_by_side(entries, keys[name], torch.float64) for name in program.scalars}
        self.noise = [
            torch.zeros_like(p, dtype=self.wide, requires_grad=False) for p in self.parameters if "noise" in program.inputs
        ]
        self.active: Mask = EVERY  # who takes part in this step
        self.live: Sequence[Mapping[str, Tensor]] = ()  # of each group: numbers that autograd follows (differentiable=True)
        self.copied = 0  # gradients that had to be laid out anew since the table was made
        held = [*self.slots.values(), *([self.weights] if self.mastered else [])]
        self.watch = watch.watch(self.parameters, held, self.addressed)
        self.at = np.zeros(len(entries), dtype=np.int64)  # the addresses of the gradients

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
            self._follow()
        if self.noise:
            seed = int(np.random.SeedSequence([self.seed, int(self.steps.max()), stage]).generate_state(1)[0])
            generator = torch.Generator(self.noise[0].device).manual_seed(seed)
            for each in self.noise:
                (torch.view_as_real(each) if each.is_complex() else each).normal_(generator=generator)
        rows, inputs = self._rows(numbers, self.active)
        new = yield from self.run(stage, gradients, rows, inputs)
        for name, values in new.items():
            self.scalars[name.removeprefix("s.")][self.active] = values[self.active]

    def done(self) -> None:
        """Hand what was stepped over to the parameters that are rounded copies of it."""
        if self.mastered:
            with torch.no_grad():
                torch._foreach_copy_(self.taking(self.parameters), self.taking(self.weights))
            self.written = [(p.data_ptr(), p._version) for p in self.parameters]

    def taking(self, tensors: list[Tensor]) -> list[Tensor]:
        """Those, of one for each parameter, that take part in this step."""
        return tensors if self.active is EVERY else [tensors[k] for k in np.flatnonzero(self.active)]

    def _follow(self) -> None:
        """Take over what somebody else has written to a parameter since: a master that still rounds to it is kept."""
        for p, master, before in zip(self.parameters, self.weights, self.written, strict=True) if self.mastered else ():
            if before != (p.data_ptr(), p._version) and not torch.equal(p, master.to(p.dtype)):
                master.copy_(p)

    def gradients(self) -> Found | None:
        """The gradients as they are used, None where missing, and a mask of those present. Raises RuleError for sparse ones.

        None if a parameter has come to take gradients that this table cannot.
        """
        found: list[Tensor | None] = [p.grad for p in self.parameters]
        status = self.watch.compare(found, self.at)
        if not status.any():
            return found, EVERY
        for k in np.flatnonzero(status == watch.ODD).tolist():
            p = self.parameters[k]
            if self.addressed and getattr(p, "grad_dtype", p.dtype) != p.dtype:
                return None
            found[k] = g = self.laid_out(p, found[k])
            self.at[k] = g.data_ptr() if self.addressed else 0
        active = status != watch.MISSING
        return found, EVERY if active.all() else active

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
                self.weights[k].copy_(self.slots["start"][k])
                self.parameters[k].copy_(self.slots["start"][k])

    def rejected(self) -> bool:
        """Whether the step has left everything where it was, because its own error was too large; it does not count then."""
        if "accepted" not in self.scalars or self.scalars["accepted"][self.active].all():
            return False
        self.steps[self.active] -= 1
        return True

    @abstractmethod
    def run(self, stage: int, gradients: list[Tensor | None], rows: compiled.Integers, inputs: dict[str, compiled.Floats]) -> Run:
        """Step the tensors whose row is not -1; the new scalars, a number for each tensor."""

    def laid_out(self, p: Tensor, g: Tensor) -> Tensor:
        """The gradient, dense, its own numbers in memory, with its parameter's strides. Raises RuleError where it cannot be."""
        if g.layout != torch.strided:
            msg = f"{self.program.rule}: the gradient of a parameter of shape {tuple(p.shape)} is sparse; use sparse=False"
            raise RuleError(msg)
        if g.shape != p.shape:
            msg = f"{self.program.rule}: a gradient of shape {tuple(g.shape)} of a parameter of shape {tuple(p.shape)}"
            raise RuleError(f"{msg}; set it to None when you replace the data of either")
        g = g.resolve_conj().resolve_neg()  # a view that is conjugated or negated when it is read
        g = g.clone() if g._is_zerotensor() else g  # zeros without memory, as forward differentiation makes them
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
    together = torch.tensor([float(entry.state[key]) for entry in entries], dtype=dtype, device="cpu")
    for entry, place in zip(entries, together.unbind(), strict=True):
        entry.state[key] = place
    return together.numpy()


class AddressTable(Table):
    """Tensors that a kernel knows by their addresses: dense, without overlap, their slots laid out as they are."""

    addressed = True

    def __init__(
        self, programs: tuple[Program, ...], entries: Sequence[Entry], keys: Mapping[str, str], axes: int, seed: int
    ) -> None:
        super().__init__(programs, entries, keys, axes, seed)
        self.sizes = np.array([p.numel() for p in self.parameters], dtype=np.int64)
        arrays = [self.weights, self.weights, *self.slots.values(), *([self.noise] if self.noise else [])]
        pointers = [[x.data_ptr() for x in tensors] for tensors in arrays]
        self.tensors = compiled.Tensors(np.array(pointers, dtype=np.int64), compiled.chunked(self.sizes), self.sizes)

    def done(self) -> None:
        super().done()
        if not self.mastered:  # autograd does not see what a kernel writes
            torch.autograd.graph.increment_version(self.taking(self.parameters))

    def gradients(self) -> Found | None:
        given = super().gradients()
        if given is not None:
            found, active = given
            here = self.tensors.addresses
            here[1] = self.at
            for k in np.flatnonzero((self.at == 0) & (self.sizes > 0)):
                if (g := found[k]) is not None:
                    found[k] = g = self.laid_out(self.parameters[k], g)  # which refuses one whose memory was freed
                    here[1, k] = g.data_ptr()
            same = (np.delete(here, 1, axis=0) == self.at).any(0) & (self.sizes > 0)
            for k in np.flatnonzero(same if active is EVERY else same & active):
                found[k] = g = self.parameters[k].grad.clone()  # p.grad = p: the kernel takes it that arrays do not overlap
                here[1, k] = g.data_ptr()
        return given

    def laid_out(self, p: Tensor, g: Tensor) -> Tensor:
        g = super().laid_out(p, g)
        if not backed(g):
            msg = f"{self.program.rule}: the memory of a gradient of shape {tuple(g.shape)} has been freed"
            raise RuleError(msg)
        return g if (g.dtype, g.device) == (p.dtype, p.device) else torch.empty_like(p).copy_(g)


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
        self.kind, gradient = KINDS[self.weights[0].dtype], KINDS[self.parameters[0].dtype]
        stochastic = stochastic and self.kind == "bfloat16"
        kinds = self.kind + " stochastic" * stochastic, KINDS[self.wide], gradient
        self.kernels = [compiled.build(program, *kinds) for program in programs]
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

        p = self.parameters[0]
        kinds = [str(dtype).removeprefix("torch.") for dtype in (self.weights[0].dtype, self.wide, p.dtype)]
        self.launchers = [Launcher(program, kinds, self.tensors.chunks, p.device) for program in programs]

    def run(self, stage: int, gradients: list[Tensor | None], rows: compiled.Integers, inputs: dict[str, compiled.Floats]) -> Run:
        yield from ()  # nothing has to wait for other tables: there are no sums
        return self.launchers[stage](self.tensors.addresses, rows, inputs)


def all_finite(tables: Sequence[Table], gradients: Sequence[Found], policies: Sequence[str]) -> bool:
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


def _wide(dtype: Any) -> Any:
    return torch.float32 if dtype in HALVES else dtype
