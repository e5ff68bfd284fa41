"""Which tensors go together, and what runs them: from the groups of an optimizer to tables.

Tensors of one program, dtype, device and back end make a table. Those that share memory, that autograd has to follow or whose
shape matters are stepped one by one, and those that have had no gradient yet wait for one.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg import jit
from thalweg.errors import RuleError, near_misses
from thalweg.optim.language.program import Program
from thalweg.optim.language.rule import Rule
from thalweg.optim.torch.identity import identical
from thalweg.optim.torch.layout import dense, overlapping
from thalweg.optim.torch.lazy import LazyTable
from thalweg.optim.torch.list_table import ListTable
from thalweg.optim.torch.names import slot_key
from thalweg.optim.torch.rows import Rows, at_the_present
from thalweg.optim.torch.state import complete
from thalweg.optim.torch.tables import HALVES, KINDS, CompiledTable, Entry, Table, TritonTable

BACKENDS = ("auto", "numba", "triton", "foreach", "single")
CHOICES = {"backend": BACKENDS, "rounding": ("nearest", "stochastic"), "state_dtype": ("float32", "param")}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class How:
    """What an optimizer was told about how to run. Raises RuleError for what is not known."""

    backend: str
    rounding: str
    seed: int
    master: bool
    state_dtype: str

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            given = getattr(self, name)
            if given not in allowed:
                msg = f"{name}={given!r} is not known.{near_misses(str(given), allowed)}"
                raise RuleError(msg)
        if self.master and self.rounding == "stochastic":
            msg = (
                'master=True with rounding="stochastic": a float32 copy loses nothing that rounding could save; choose one of them'
            )
            raise RuleError(msg)


@dataclass(frozen=True)
class Plan:
    """The tables of all tensors that have a state, and what they were made from."""

    programs: list[tuple[Program, ...]]  # of each group
    tables: list[Table]
    waiting: list[Tensor]  # those that have had no gradient yet
    empty: list[Tensor]  # those without elements: there is nothing to step, to sum or to keep
    groups: list[list[Tensor]]
    states: dict[Tensor, dict[str, Any]]

    def holds(self, programs: list[tuple[Program, ...]], groups: Sequence[dict[str, Any]], state: Mapping[Tensor, Any]) -> bool:
        """Whether programs, parameters, slots and where they lie are still those that it was made from."""
        same = self.programs == programs and identical([[group["params"] for group in groups], state], [self.groups, self.states])
        idle = all(p.grad is None for p in self.waiting) and not any(p.numel() for p in self.empty)
        return same and idle and not any(table.watch.moved() for table in self.tables)

    def explain(self) -> list[str]:
        """What runs where: a line for each table."""
        lines = []
        for table in self.tables:
            p = table.parameters[0]
            cost = table.program.cost(item=table.wide.itemsize, parameter=p.element_size())
            dtype, n = str(p.dtype).removeprefix("torch."), table.elements
            lines.append(
                f"{table.program.rule:<12}{table.backend:<10}{dtype:<10}{len(table.parameters):>9,}{n:>14,}"
                f"{n * (cost.reads + cost.writes):>16,}{table.copied:>8,}"
            )
        return lines


def planned(
    groups: Sequence[dict[str, Any]],
    state: dict[Tensor, dict[str, Any]],
    rules: list[Rule],
    programs: list[tuple[Program, ...]],
    how: How,
    lazy: Mapping[Tensor, Rows],
) -> Plan:
    """The plan for these groups, whose rules and programs they are; states are made complete.   lazy: tables of lazy rows"""
    waiting: list[Tensor] = []
    empty: list[Tensor] = []
    alone: list[Table] = []
    found: list[tuple[Entry, Rule, tuple[Program, ...], int]] = []
    together: dict[tuple[Any, ...], list[Entry]] = {}
    kinds: dict[tuple[Any, ...], tuple[Rule, tuple[Program, ...]]] = {}
    at_the_present(p for group in groups for p in group["params"] if p not in lazy)  # lazy to another optimizer
    for k, group in enumerate(groups):
        for p in group["params"]:
            if not p.numel() or (p.grad is None and p not in state):
                (waiting if p.numel() else empty).append(p)
                continue
            rule, mine, axes = rules[k], programs[k], 0
            if type(rule).suited is not Rule.suited:
                rule, axes = rule.suited(p.dim()), p.dim()
                mine = rule.programs(maximize=group["maximize"], scaled="grad_scale" in programs[k][0].inputs)
            half = p.dtype in HALVES
            if half and how.master and how.state_dtype == "param" and len(mine) > 1:
                msg = 'master=True with state_dtype="param" would round where a step of several gradients starts; leave one out'
                raise RuleError(msg)
            dtype = torch.float32 if half and how.state_dtype == "float32" else p.dtype
            complete(state[p], p, rule, mine[-1], dtype=dtype, master=half and how.master)
            found.append((Entry(p, k, state[p]), rule, mine, axes))
    crowded = overlapping([(id(entry.parameter), x) for entry, _, mine, _ in found for x in entry.tensors()])
    for entry, rule, mine, axes in found:
        p, group = entry.parameter, groups[entry.group]
        if p in lazy:
            if id(p) in crowded:
                msg = (
                    f"lazy rows: the table of shape {tuple(p.shape)} shares memory with another parameter; make them one parameter"
                )
                raise RuleError(msg)
            alone.append(LazyTable(mine, [entry], _keys(type(rule), mine[-1]), rule, lazy[p]))
            continue
        turn = id(p) in crowded or group["differentiable"] or any(each.shaped for each in mine)
        backend = "single" if turn else backend_of(p, how)
        digests = tuple(program.digest for program in mine)
        key = (type(rule), digests, p.dtype, p.device, axes, backend, bool(group["differentiable"]))
        together.setdefault(key, []).append(entry)
        kinds[key] = rule, mine
    tables = [_table(kinds[key][1], entries, key[0], axes=key[4], backend=key[5], differentiable=key[6], how=how)
              for key, entries in together.items()]  # fmt: skip
    made_from = [list(group["params"]) for group in groups], {p: dict(held) for p, held in state.items()}
    return Plan(programs, [*tables, *alone], waiting, empty, *made_from)


def backend_of(p: Tensor, how: How) -> str:
    """The first back end that applies to a tensor."""
    if type(p) not in (Tensor, torch.nn.Parameter) or p.is_complex() or p.is_neg() or getattr(p, "grad_dtype", p.dtype) != p.dtype:
        return "single"
    if how.backend in ("auto", "numba") and p.device.type == "cpu" and p.dtype in KINDS and dense(p) and jit.enabled():
        return "numba"
    on_gpu = p.device.type == "cuda" and how.backend == "auto" and importlib.util.find_spec("triton") is not None
    if (on_gpu or how.backend == "triton") and how.rounding == "nearest" and dense(p):
        return "triton"
    return "single" if how.backend == "single" else "foreach"


def _table(
    programs: tuple[Program, ...],
    entries: list[Entry],
    kind: type[Rule],
    *,
    axes: int,
    backend: str,
    differentiable: bool,
    how: How,
) -> Table:
    program, keys = programs[-1], _keys(kind, programs[-1])
    if backend in ("numba", "triton"):
        try:
            if backend == "triton":
                return TritonTable(programs, entries, keys, axes, how.seed)
            return CompiledTable(programs, entries, keys, axes, how.seed, how.rounding == "stochastic")
        except Exception as error:  # whatever a compiler can meet; torch's own operations need none
            log.info("%s is not compiled (%s: %s); foreach is used instead", program.rule, type(error).__name__, error)
            backend = "foreach"
    if how.rounding == "stochastic" and entries[0].parameter.dtype in HALVES:
        msg = f'rounding="stochastic" needs the compiled back end; a parameter on {entries[0].parameter.device} has {backend}'
        raise RuleError(msg)
    return ListTable(programs, entries, keys, axes, how.seed, backend, differentiable)


def _keys(kind: type[Rule], program: Program) -> dict[str, str]:
    """Slot or scalar -> its key in a state."""
    return {name: slot_key(kind, name) for name in (*program.slots, *program.scalars)}
