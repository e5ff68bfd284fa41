"""The torch front end: any rule as a torch.optim.Optimizer.

    opt = thalweg.optim.torch.Optimizer(model.parameters(), optim.Lion(lr=1e-4))
    opt.step();  print(opt.explain())

Parameter groups and state are spelt as torch spells them, so schedulers, checkpoints, hooks and GradScaler work unchanged. The
rule is read from the group at every step; its program decides which tensors go together (`tables`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from thalweg import jit
from thalweg.errors import RuleError, near_misses
from thalweg.optim.program import Program
from thalweg.optim.rule import Rule
from thalweg.optim.torch.names import group_of, rule_of, slot_key
from thalweg.optim.torch.tables import HALVES, KINDS, CompiledTable, Entry, ListTable, Numbers, Table

BACKENDS = ("auto", "numba", "foreach", "single")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """The tables of all tensors that have a state, and what they were made from."""

    programs: list[Program]  # of each group
    tables: list[Table]
    waiting: list[Tensor]  # those that have had no gradient yet
    state: tuple[int, int]  # which state dictionary, and its length
    count: int  # of parameters in all groups


class Optimizer(torch.optim.Optimizer):  # type: ignore[misc]
    """Step parameters by a rule; a group may have its own, {"params": [...], "rule": optim.Lion()}.

    backend: "numba" (one compiled pass, CPU), "foreach", "single", or "auto", the first that applies to a tensor;
    THALWEG_OPTIM_BACKEND names another default. rounding="stochastic" rounds bfloat16 parameters up or down with the probability
    that makes the mean exact, so that small updates are not lost; `seed` makes it reproducible. Slots of 16-bit parameters are
    float32. `lr` stands in the groups instead of the rule's: a tensor is read anew at every step. The rest is torch's: maximize,
    differentiable; foreach, fused and capturable are accepted, and choose nothing here.

    Raises RuleError for a rule or number that is not allowed.
    """

    switches: ClassVar[dict[str, bool | None]] = {
        "maximize": False,
        "foreach": None,
        "fused": None,
        "capturable": False,
        "differentiable": False,
    }
    _step_supports_amp_scaling = True  # GradScaler hands over its scale; the kernel divides by it

    def __init__(
        self,
        params: Iterable[Any],
        rule: Rule,
        *,
        backend: str = "auto",
        rounding: str = "nearest",
        seed: int = 0,
        lr: float | Tensor | None = None,
        **switches: bool | None,
    ) -> None:
        what: object = rule
        if not isinstance(what, Rule):
            msg = f"{rule!r} is not a rule; give one made from a class of thalweg.optim, as in optim.Adam(lr=1e-3)"
            raise RuleError(msg)
        backend = os.environ.get("THALWEG_OPTIM_BACKEND", backend) if backend == "auto" else backend
        for name, given, allowed in (("backend", backend, BACKENDS), ("rounding", rounding, ("nearest", "stochastic"))):
            if given not in allowed:
                msg = f"{name}={given!r} is not known.{near_misses(str(given), allowed)}"
                raise RuleError(msg)
        if unknown := switches.keys() - self.switches.keys():
            msg = f"there is no option {min(unknown)!r}.{near_misses(min(unknown), self.switches)}"
            raise RuleError(msg)
        self.backend, self.rounding, self.seed = backend, rounding, seed
        self._kinds: dict[str, type[Rule]] = {}
        self._rules: dict[int, tuple[list[Any], Rule]] = {}  # group -> what was written in it, and the rule that this makes
        self._plan: Plan | None = None
        numbers = self._described(rule) if lr is None else {**self._described(rule), "lr": lr}
        super().__init__(params, {**numbers, **self.switches, **switches})

    def _described(self, rule: Rule) -> dict[str, Any]:
        self._kinds[type(rule).__name__] = type(rule)
        return {"rule": type(rule).__name__, **group_of(rule)}

    def rule_of(self, group: dict[str, Any]) -> Rule:
        """The rule of a parameter group, as its numbers stand now."""
        return rule_of(self._kinds[group["rule"]], group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with numbers or a rule of their own. Raises RuleError for what the rule does not allow."""
        if isinstance(param_group, dict):
            if isinstance(param_group.get("rule"), Rule):
                own = self._described(param_group["rule"])
                param_group = {**param_group, "rule": own.pop("rule"), **{k: param_group.get(k, v) for k, v in own.items()}}
            self.rule_of({**self.defaults, **param_group})
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            if not (p.is_floating_point() or p.is_complex()):
                del self.param_groups[-1]
                msg = f"a parameter of shape {tuple(p.shape)} is {p.dtype}; only floating-point tensors can be optimised"
                raise RuleError(msg)
        self._plan = None

    @torch._disable_dynamo  # type: ignore[untyped-decorator]  # inside torch.compile the step runs as it is: it is compiled already
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every parameter that has a gradient; the closure's loss, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        if found_inf is not None and float(found_inf):
            return loss
        with torch.set_grad_enabled(any(group["differentiable"] for group in self.param_groups)):
            self._step(None if scale is None else float(scale))
        return loss

    def _step(self, scale: float | None) -> None:
        rules = [self._read(k, group) for k, group in enumerate(self.param_groups)]
        programs = [
            rule.program(maximize=group["maximize"], scaled=scale is not None)
            for rule, group in zip(rules, self.param_groups, strict=True)
        ]
        numbers = [_numbers(rule, scale) for rule in rules]
        tables = self._current(rules, programs).tables
        gradients = [table.gradients() for table in tables]  # of all tables before any moves: what is refused moves nothing
        for table, (found, active) in zip(tables, gradients, strict=True):
            table.step(found, active, numbers)

    def _read(self, k: int, group: dict[str, Any]) -> Rule:
        """The rule of group k, made anew if its numbers are others: a model may have a group for each of its parameters."""
        written = [value for key, value in group.items() if key not in ("params", "param_names")]
        if any(isinstance(each, Tensor) for value in written for each in (value if isinstance(value, tuple) else (value,))):
            return self.rule_of(group)  # a tensor changes in place, so it has no value to compare with
        known = self._rules.get(k)
        if known is None or known[0] != written:
            known = self._rules[k] = written, self.rule_of(group)
        return known[1]

    def _current(self, rules: list[Rule], programs: list[Program]) -> Plan:
        """The plan, made anew if programs, tensors or states are no longer those it was made from."""
        plan, count = self._plan, sum(len(group["params"]) for group in self.param_groups)
        if (
            plan is None
            or plan.programs != programs
            or (plan.state, plan.count) != (self._identity(), count)
            or any(p.grad is not None for p in plan.waiting)
            or any(table.moved() for table in plan.tables)
        ):
            plan = self._plan = self._planned(rules, programs)
        return plan

    def _identity(self) -> tuple[int, int]:
        return id(self.state), len(self.state)

    def _planned(self, rules: list[Rule], programs: list[Program]) -> Plan:
        waiting: list[Tensor] = []
        together: dict[tuple[Any, ...], list[Entry]] = {}
        overlapping = _overlapping([p for group in self.param_groups for p in group["params"]])
        for k, group in enumerate(self.param_groups):
            for p in group["params"]:
                if p.grad is None and p not in self.state:
                    waiting.append(p)
                    continue
                entry = Entry(p, k, self._state_of(p, rules[k], programs[k]))
                backend = "single" if id(p) in overlapping or group["differentiable"] else self._backend_of(p)
                key = (type(rules[k]), programs[k].digest, p.dtype, p.device, backend, bool(group["differentiable"]))
                together.setdefault(key, []).append(entry)
        tables = [self._table(programs[entries[0].group], entries, *key[0:1], *key[4:]) for key, entries in together.items()]
        count = sum(len(group["params"]) for group in self.param_groups)
        return Plan(programs, tables, waiting, self._identity(), count)

    def _table(self, program: Program, entries: list[Entry], kind: type[Rule], backend: str, differentiable: bool) -> Table:
        keys = {name: slot_key(kind, name) for name in (*program.slots, *program.scalars)}
        if backend == "numba":
            try:
                return CompiledTable(program, entries, keys, self.rounding == "stochastic", self.seed)
            except Exception as error:  # whatever a compiler can meet; torch's own operations need none
                log.info("%s is not compiled (%s: %s); foreach is used instead", program.rule, type(error).__name__, error)
                backend = "foreach"
        if self.rounding == "stochastic" and entries[0].parameter.dtype in HALVES:
            msg = f'rounding="stochastic" needs the compiled back end; a parameter on {entries[0].parameter.device} has {backend}'
            raise RuleError(msg)
        return ListTable(program, entries, keys, backend, differentiable)

    def _backend_of(self, p: Tensor) -> str:
        if type(p) not in (Tensor, torch.nn.Parameter) or p.is_complex() or getattr(p, "grad_dtype", p.dtype) != p.dtype:
            return "single"
        if self.backend in ("auto", "numba") and p.device.type == "cpu" and p.dtype in KINDS and _dense(p) and jit.enabled():
            return "numba"
        return "single" if self.backend == "single" else "foreach"

    def _state_of(self, p: Tensor, rule: Rule, program: Program) -> dict[str, Any]:
        """The state of a parameter, complete: new slots where there are none, loaded ones in the dtype and layout of the kernel."""
        state: dict[str, Any] = self.state[p]
        started = bool(state)  # torch's SGD counts no steps: whoever has a buffer has made one
        state.setdefault("step", torch.tensor(float(started)))
        dtype = torch.float32 if p.dtype in HALVES else p.dtype
        for name, initial in rule.slots.of(rule).items():
            if name in program.slots:
                key = slot_key(type(rule), name)
                held = state.get(key)
                if held is None:
                    state[key] = torch.full_like(p, initial, dtype=dtype, memory_format=torch.preserve_format, requires_grad=False)
                elif held.shape != p.shape:
                    msg = f"state {key!r} has shape {tuple(held.shape)}, its parameter {tuple(p.shape)}; it is another model's"
                    raise RuleError(msg)
                elif held.dtype != dtype or held.device != p.device or held.stride() != p.stride():
                    state[key] = torch.empty_like(p, dtype=dtype, requires_grad=False).copy_(held)
        for name, initial in rule.scalars.of(rule).items():
            state.setdefault(slot_key(type(rule), name), torch.tensor(initial, dtype=torch.float64))
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state of ours or of torch.optim. Raises RuleError for that of another rule."""
        for ours, theirs in zip(self.param_groups, state_dict["param_groups"], strict=False):
            if theirs.get("rule", ours["rule"]) != ours["rule"]:
                msg = f"the state is that of {theirs['rule']}, this optimizer's rule is {ours['rule']}"
                raise RuleError(msg)
        super().load_state_dict(state_dict)
        # torch casts what it loads to the parameter's dtype; slots of halves are float32 and scalars float64, so take them again.
        ids = [place for group in state_dict["param_groups"] for place in group["params"]]
        mine = [p for group in self.param_groups for p in group["params"]]
        for place, p in zip(ids, mine, strict=True):
            for key, value in state_dict["state"].get(place, {}).items():
                if isinstance(value, Tensor) and value.dtype != self.state[p][key].dtype:
                    self.state[p][key] = value.to(p.device, copy=True)

    def __getstate__(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("backend", "rounding", "seed", "_kinds")}
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._rules, self._plan = {}, None
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def explain(self) -> str:
        """What runs where: a line for each table. Tensors that have had no gradient yet have no line."""
        lines = [f"{'rule':<12}{'back end':<10}{'dtype':<10}{'tensors':>9}{'elements':>14}{'bytes a step':>16}{'copies':>8}"]
        for table in self._plan.tables if self._plan else []:
            p = table.parameters[0]
            cost = table.program.cost(item=max(4, p.element_size()), parameter=p.element_size())
            dtype, n = str(p.dtype).removeprefix("torch."), table.elements
            lines.append(
                f"{table.program.rule:<12}{table.backend:<10}{dtype:<10}{len(table.parameters):>9,}{n:>14,}"
                f"{n * (cost.reads + cost.writes):>16,}{table.copied:>8,}"
            )
        waiting = len(self._plan.waiting) if self._plan else sum(len(group["params"]) for group in self.param_groups)
        return "\n".join([*lines, *[f"{waiting:,} tensors have had no gradient yet"] * bool(waiting)])


def _numbers(rule: Rule, scale: float | None) -> Numbers:
    found = {f"self.{name}": value for name, value in vars(rule).items() if type(value) is float}
    return found if scale is None else found | {"grad_scale": scale}


def _dense(p: Tensor) -> bool:
    """Whether the elements fill one stretch of memory, in any order of the axes (channels-last is dense, a column is not)."""
    if p.layout != torch.strided:
        return False
    expected = 1
    for stride, size in sorted((stride, size) for stride, size in zip(p.stride(), p.shape, strict=True) if size != 1):
        if stride != expected:
            return False
        expected *= size
    return True


def _overlapping(parameters: list[Tensor]) -> set[int]:
    """Ids of the parameters that share memory with another one: they have to be stepped in turn."""
    strided = [p for p in parameters if type(p) in (Tensor, torch.nn.Parameter) and p.layout == torch.strided and p.numel()]
    begin = np.array([p.data_ptr() for p in strided], dtype=np.int64)
    order = np.argsort(begin, kind="stable")
    span = [1 + sum((n - 1) * abs(s) for n, s in zip(p.shape, p.stride(), strict=True)) for p in strided]
    end = begin + np.array([n * p.element_size() for n, p in zip(span, strided, strict=True)], dtype=np.int64)
    furthest = np.maximum.accumulate(end[order])
    apart = begin[order][1:] >= furthest[:-1]  # a tensor that begins after all before it have ended begins a new cluster
    cluster = np.concatenate([[0], np.cumsum(apart)]).astype(np.int64)[: len(order)]
    crowded = np.bincount(cluster)[cluster] > 1
    return {id(strided[k]) for k in order[crowded].tolist()}
