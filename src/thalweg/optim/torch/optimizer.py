"""The torch front end: any rule as a torch.optim.Optimizer.

    opt = thalweg.optim.torch.Optimizer(model.parameters(), optim.Lion(lr=1e-4))
    opt.step();  print(opt.explain())

Parameter groups and state are spelt as torch spells them, so schedulers, checkpoints, hooks and GradScaler work unchanged. The
rule is read from the group at every step; its program decides which tensors go together (`tables`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from thalweg import jit
from thalweg.errors import RuleError, near_misses
from thalweg.optim.backends.lockstep import finished, merged
from thalweg.optim.idle import idle
from thalweg.optim.program import Program
from thalweg.optim.rule import Rule, State
from thalweg.optim.torch.layout import dense
from thalweg.optim.torch.layout import overlapping as overlapping_ones
from thalweg.optim.torch.lazy import LazyTable, Rows
from thalweg.optim.torch.names import SPELT, changed, group_of, rule_of, slot_key
from thalweg.optim.torch.repeat import Repeated
from thalweg.optim.torch.soft_batch import SoftBatch
from thalweg.optim.torch.tables import (
    HALVES,
    KINDS,
    AddressTable,
    CompiledTable,
    Entry,
    ListTable,
    Numbers,
    Table,
    TritonTable,
    all_finite,
)

BACKENDS = ("auto", "numba", "triton", "foreach", "single")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """The tables of all tensors that have a state, and what they were made from."""

    programs: list[tuple[Program, ...]]  # of each group
    tables: list[Table]
    waiting: list[Tensor]  # those that have had no gradient yet
    state: tuple[int, int]  # which state dictionary, and its length
    count: int  # of parameters in all groups


@dataclass(frozen=True)
class Known:
    """What was written in a group, the rule that this makes, and its programs by (maximize, scaled)."""

    written: dict[str, Any]
    rule: Rule
    programs: dict[tuple[bool, bool], tuple[Program, ...]]


class Optimizer(torch.optim.Optimizer):  # type: ignore[misc]
    """Step parameters by a rule; a group may have its own, {"params": [...], "rule": optim.Lion()}.

    backend: "numba" (one compiled pass, CPU), "triton" (one launch, GPU), "foreach", "single", or "auto", the first that applies
    to a tensor; THALWEG_OPTIM_BACKEND names another default. rounding="stochastic" rounds bfloat16 parameters up or down with
    the probability that makes the mean exact, so that small updates are not lost; `seed` makes it reproducible. Slots of
    16-bit parameters are float32. soft_batch=k makes one update of k calls of `step`, see `soft_batch`; `updates` counts the
    updates. Rules of several gradients (Heun, SAM) call the closure for each; of `model` they keep the buffers as one call
    leaves them. `lr` stands in the groups instead of the rule's: a tensor is read anew at every step. The rest is torch's:
    maximize, differentiable; foreach, fused and capturable are accepted, and choose nothing here.

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
        soft_batch: int = 1,
        model: torch.nn.Module | None = None,
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
        self.updates = 0
        self.model = model
        self._lazy: dict[Tensor, Rows] = {}
        self._soft = SoftBatch(soft_batch)
        self._kinds: dict[str, Rule] = {}  # what stands under "rule" in a group -> one of these rules
        self._several: set[str] = set()  # names of those that take several gradients a step
        self._rules: dict[int, Known] = {}
        self._plan: Plan | None = None
        numbers = self._described(rule) if lr is None else {**self._described(rule), "lr": lr}
        super().__init__(params, {**numbers, **self.switches, **switches})

    def _described(self, rule: Rule) -> dict[str, Any]:
        name = type(rule).__name__
        if type(self._kinds.setdefault(name, rule)) is not type(rule):
            msg = f"two rules of one optimizer are called {name}; give them (or the functions in them) names of their own"
            raise RuleError(msg)
        if type(rule).stages is not Rule.stages and len(rule.programs()) > 1:
            self._several.add(name)
        return {"rule": name, **group_of(rule)}

    def rule_of(self, group: dict[str, Any]) -> Rule:
        """The rule of a parameter group, as its numbers stand now."""
        return rule_of(type(self._kinds[group["rule"]]), group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with numbers or a rule of their own. Raises RuleError for what the rule does not allow."""
        if isinstance(param_group, dict):
            for name in param_group.keys() & SPELT.keys():
                msg = f"{name!r} of a parameter group is spelt {SPELT[name]!r}, as torch spells it"
                raise RuleError(msg)
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
    def step(self, closure: Callable[[], Any] | None = None, *, weight: float = 1.0) -> Any:
        """One step of every parameter that has a gradient; the closure's loss, if one is given.

        Of a soft batch, `weight` is the number of samples (or of tokens with a loss) that this gradient is the mean of.
        """
        if (n := self._stages()) > 1:
            return self._staged(closure, n)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        if found_inf is not None and float(found_inf):
            return loss
        self._update(None if scale is None else float(scale), weight)
        return loss

    def _stages(self) -> int:
        """How many gradients a step takes. Raises RuleError if the groups do not agree."""
        if not self._several:
            return 1
        counts = {len(self._read(k, group).programs()) for k, group in enumerate(self.param_groups)}
        if len(counts) > 1:
            msg = f"the rules of the groups take {sorted(counts)} gradients a step; they have to take the same number"
            raise RuleError(msg)
        return counts.pop()

    def _staged(self, closure: Callable[[], Any] | None, n: int) -> Any:
        """A step of n gradients, all of one batch and one set of random numbers. If one fails, the parameters are put back."""
        if closure is None or self._soft.size > 1:
            what = "a closure: opt.step(closure)" if closure is None else "one batch: soft_batch must be 1"
            msg = f"{self.param_groups[0]['rule']} takes {n} gradients a step, so it needs {what}"
            raise RuleError(msg)
        repeated = Repeated(closure, self.model, self._parameters())
        loss = repeated.first()
        begun, updates = False, self.updates
        try:
            for stage in range(n):
                if stage:
                    begun = True
                    repeated.again()
                with torch.no_grad():
                    self._move(None, stage)
                if self.updates == updates:  # frozen: what is not finite moves nothing
                    break
        except BaseException:
            for table in self._plan.tables if begun and self._plan else ():
                table.put_back()
            self.updates = updates
            raise
        finally:
            repeated.finish()
        return loss

    def _update(self, scale: float | None, weight: float) -> None:
        if self._soft.size == 1:
            self._step(scale)
            return
        with torch.no_grad():
            self._soft.add(self._parameters(), weight, scale)
        if self._soft.ready:
            self.flush()

    def flush(self) -> None:
        """Make the update of a soft batch that is not whole, as at the end of the data. Without one, nothing happens."""
        with self._soft.mean(self._parameters()) as some:
            if some:
                self._step(None)

    @contextlib.contextmanager
    def swap(self) -> Iterator[None]:
        """Within it, the parameters hold the weights to evaluate at, for rules that train elsewhere (`ScheduleFree`)."""
        self.catch_up()
        moved: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            for k, group in enumerate(self.param_groups):
                rule = self._read(k, group)
                for p in group["params"]:
                    if p in self.state and type(rule).evaluated is not Rule.evaluated:
                        held = {name: self.state[p].get(slot_key(type(rule), name)) for name in rule.slots.initial}
                        moved.append((p, p.detach().clone()))
                        p.copy_(rule.evaluated(p.detach(), State(held)))
        try:
            yield
        finally:
            with torch.no_grad():
                for p, value in moved:
                    p.copy_(value)

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _step(self, scale: float | None) -> None:
        with torch.set_grad_enabled(any(group["differentiable"] for group in self.param_groups)):
            self._move(scale)

    def _move(self, scale: float | None, stage: int = 0) -> None:
        rules = [self._read(k, group) for k, group in enumerate(self.param_groups)]
        programs = [
            self._programs(k, rule, group["maximize"], scale is not None)
            for k, (rule, group) in enumerate(zip(rules, self.param_groups, strict=True))
        ]
        tables = self._current(rules, programs).tables
        for table in tables if stage else ():
            table.complete()
        gradients = [table.gradients() for table in tables]  # of all tables before any moves: what is refused moves nothing
        policies = [group.get("freeze_nonfinite_policy", "pass") for group in self.param_groups]
        if not all_finite(tables, gradients, policies) and stage == 0:
            return
        numbers = {axes: [_numbers(rule.suited(axes), scale) for rule in rules] for axes in {table.axes for table in tables}}
        self.updates += stage == 0
        finished(merged([table.step(*found, numbers[table.axes], stage) for table, found in zip(tables, gradients, strict=True)]))
        for table in tables:
            if isinstance(table, AddressTable):  # autograd does not see what a kernel writes
                torch.autograd.graph.increment_version(table.parameters)

    def _read(self, k: int, group: dict[str, Any]) -> Rule:
        """The rule of group k, made anew if its numbers are others: a model may have a group for each of its parameters."""
        written = {key: value for key, value in group.items() if key not in ("params", "param_names")}
        if any(
            isinstance(each, Tensor) for value in written.values() for each in (value if isinstance(value, tuple) else (value,))
        ):
            self._rules.pop(k, None)
            return self.rule_of(group)  # a tensor changes in place, so it has no value to compare with
        known = self._rules.get(k)
        if known is None or known.written != written:
            rule = known and changed(known.rule, known.written, written)
            programs = known.programs if known and rule else {}
            known = self._rules[k] = Known(written, rule or self.rule_of(group), programs)
        return known.rule

    def _programs(self, k: int, rule: Rule, maximize: bool, scaled: bool) -> tuple[Program, ...]:
        """The programs of group k, looked up once as long as only numbers of it change."""
        known = self._rules.get(k)
        if known is None:
            return rule.programs(maximize=maximize, scaled=scaled)
        if (maximize, scaled) not in known.programs:
            known.programs[maximize, scaled] = rule.programs(maximize=maximize, scaled=scaled)
        return known.programs[maximize, scaled]

    def _current(self, rules: list[Rule], programs: list[tuple[Program, ...]]) -> Plan:
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

    def _planned(self, rules: list[Rule], programs: list[tuple[Program, ...]]) -> Plan:
        waiting: list[Tensor] = []
        lazy: list[Table] = []
        together: dict[tuple[Any, ...], list[Entry]] = {}
        kinds: dict[tuple[Any, ...], tuple[Rule, tuple[Program, ...]]] = {}
        overlapping = overlapping_ones([p for group in self.param_groups for p in group["params"]])
        for k, group in enumerate(self.param_groups):
            for p in group["params"]:
                if p.grad is None and p not in self.state:
                    waiting.append(p)
                    continue
                if p in self._lazy:
                    lazy.append(self._lazy_table(p, k, rules[k], programs[k]))
                    continue
                rule, mine, axes = rules[k].suited(p.dim()), programs[k], 0
                if rule is not rules[k] or type(rule).suited is not Rule.suited:
                    axes = p.dim()
                    mine = rule.programs(maximize=group["maximize"], scaled="grad_scale" in programs[k][0].inputs)
                entry = Entry(p, k, self._state_of(p, rule, mine[-1]))
                turn = id(p) in overlapping or group["differentiable"] or any(each.shaped for each in mine)
                backend = "single" if turn else self._backend_of(p)
                digests = tuple(program.digest for program in mine)
                key = (type(rule), digests, p.dtype, p.device, axes, backend, bool(group["differentiable"]))
                together.setdefault(key, []).append(entry)
                kinds[key] = rule, mine
        tables = [self._table(kinds[key][1], entries, key[0], *key[4:]) for key, entries in together.items()]
        count = sum(len(group["params"]) for group in self.param_groups)
        return Plan(programs, [*tables, *lazy], waiting, self._identity(), count)

    def _table(
        self, programs: tuple[Program, ...], entries: list[Entry], kind: type[Rule], axes: int, backend: str, differentiable: bool
    ) -> Table:
        program = programs[-1]
        keys = {name: slot_key(kind, name) for name in (*program.slots, *program.scalars)}
        if backend in ("numba", "triton"):
            try:
                if backend == "triton":
                    return TritonTable(programs, entries, keys, axes, self.seed)
                return CompiledTable(programs, entries, keys, axes, self.seed, self.rounding == "stochastic")
            except Exception as error:  # whatever a compiler can meet; torch's own operations need none
                log.info("%s is not compiled (%s: %s); foreach is used instead", program.rule, type(error).__name__, error)
                backend = "foreach"
        if self.rounding == "stochastic" and entries[0].parameter.dtype in HALVES:
            msg = f'rounding="stochastic" needs the compiled back end; a parameter on {entries[0].parameter.device} has {backend}'
            raise RuleError(msg)
        return ListTable(programs, entries, keys, axes, self.seed, backend, differentiable)

    def _lazy_table(self, p: Tensor, k: int, rule: Rule, programs: tuple[Program, ...]) -> Table:
        keys = {name: slot_key(type(rule), name) for name in (*programs[-1].slots, *programs[-1].scalars)}
        return LazyTable(programs, [Entry(p, k, self._state_of(p, rule, programs[-1]))], keys, rule, self._lazy[p])

    def lazy_rows(self, table: torch.nn.Module | Tensor, mode: str = "exact") -> Rows:
        """Step only the touched rows of an embedding (or of a parameter, whose `read(ids)` the caller then calls), see `lazy`.

        mode="skip" leaves the idle steps of other rows out. Raises RuleError for a rule or tensor that cannot be lazy.
        """
        p = table if isinstance(table, Tensor) else getattr(table, "weight", None)
        groups = [group for group in self.param_groups if any(p is other for other in group["params"])]
        wrong = "" if mode in ("exact", "skip") else f"mode={mode!r} is neither exact nor skip"
        if p is None or not groups or wrong:
            msg = f"lazy_rows({type(table).__name__}): {wrong or 'its weight is no parameter of this optimizer'}"
            raise RuleError(msg)
        idle(self.rule_of(groups[0]), bits=30)
        if self._backend_of(p) != "numba" or p.dtype not in (torch.float32, torch.float64) or not p.is_contiguous():
            msg = f"lazy_rows: a table of {p.dtype} on {p.device} needs the compiled back end, contiguous float32 or float64"
            raise RuleError(msg)
        self._lazy[p], self._plan = Rows(p, mode), None
        if isinstance(table, torch.nn.Module):
            rows = self._lazy[p]
            table.register_forward_pre_hook(lambda _, args: rows.read(args[0]))
            table.register_state_dict_pre_hook(lambda *_: rows.catch_up())
        return self._lazy[p]

    def catch_up(self) -> None:
        """Bring all lazy rows to the present; `state_dict` (here and of the module), `swap` and averages do it themselves."""
        for rows in self._lazy.values():
            rows.catch_up()

    def _backend_of(self, p: Tensor) -> str:
        if type(p) not in (Tensor, torch.nn.Parameter) or p.is_complex() or getattr(p, "grad_dtype", p.dtype) != p.dtype:
            return "single"
        if self.backend in ("auto", "numba") and p.device.type == "cpu" and p.dtype in KINDS and dense(p) and jit.enabled():
            return "numba"
        on_gpu = p.device.type == "cuda" and self.backend == "auto" and importlib.util.find_spec("triton") is not None
        if (on_gpu or self.backend == "triton") and self.rounding == "nearest" and dense(p):
            return "triton"
        return "single" if self.backend == "single" else "foreach"

    def _state_of(self, p: Tensor, rule: Rule, program: Program) -> dict[str, Any]:
        """The state of a parameter, complete: new slots where there are none, loaded ones in the dtype and layout of the kernel."""
        state: dict[str, Any] = self.state[p]
        started = bool(state)  # torch's SGD counts no steps: whoever has a buffer has made one
        state.setdefault("step", torch.tensor(float(started)))
        dtype = torch.float32 if p.dtype in HALVES else p.dtype
        for name, initial in {**dict.fromkeys(program.slots, 0.0), **rule.slots.of(rule)}.items():
            if name in program.slots:
                key = slot_key(type(rule), name)
                held, axis = state.get(key), {"row": -1, "col": -2}.get(rule.shapes.get(name, ""))
                like = p.detach() if axis is None else p.detach().narrow(axis, 0, 1)
                if held is None:
                    state[key] = torch.full_like(like, initial, dtype=dtype, memory_format=torch.preserve_format)
                elif held.shape != like.shape:
                    msg = f"state {key!r} has shape {tuple(held.shape)}, its parameter {tuple(p.shape)}; it is another model's"
                    raise RuleError(msg)
                elif held.dtype != dtype or held.device != p.device or (axis is None and held.stride() != p.stride()):
                    state[key] = torch.empty_like(like, dtype=dtype).copy_(held)
        for name, initial in rule.scalars.of(rule).items():
            state.setdefault(slot_key(type(rule), name), torch.tensor(initial, dtype=torch.float64))
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state of ours or of torch.optim. Raises RuleError for that of another rule; transforms may be others."""
        before = [dict(group) for group in self.param_groups]
        for ours, theirs in zip(before, state_dict["param_groups"], strict=False):
            if _bare_name(theirs.get("rule", ours["rule"])) != _bare_name(ours["rule"]):
                msg = f"the state is that of {theirs['rule']}, this optimizer's rule is {ours['rule']}"
                raise RuleError(msg)
        super().load_state_dict(state_dict)
        for rows in self._lazy.values():
            rows.forget()
        for group, ours in zip(self.param_groups, before, strict=True):
            group["rule"] = ours["rule"]
            for key, value in ours.items():
                group.setdefault(key, value)
        # torch casts what it loads to the parameter's dtype; slots of halves are float32 and scalars float64, so take them again.
        ids = [place for group in state_dict["param_groups"] for place in group["params"]]
        for place, p in zip(ids, self._parameters(), strict=True):
            for key, value in state_dict["state"].get(place, {}).items():
                if isinstance(value, Tensor) and value.dtype != self.state[p][key].dtype:
                    self.state[p][key] = value.to(p.device, copy=True)
        self.updates = state_dict.get("updates", 0)
        if "soft_batch" in state_dict:
            self._soft.load_state_dict(state_dict["soft_batch"], self._parameters())

    def state_dict(self) -> dict[str, Any]:
        """The state as torch's optimizers write it; beside it the number of updates, and the soft batch if one is begun."""
        self.catch_up()
        state: dict[str, Any] = {**super().state_dict(), "updates": self.updates}
        passing = {"start", *(f"g{k}" for k in range(self._stages() - 1))} if self._stages() > 1 else set()
        state["state"] = {place: {k: v for k, v in held.items() if k not in passing} for place, held in state["state"].items()}
        return {**state, "soft_batch": self._soft.state_dict(self._parameters())} if self._soft.done else state

    def __getstate__(self) -> dict[str, Any]:
        self.catch_up()  # rows are lazy in the copy only when it is told so
        own = {
            name: getattr(self, name) for name in ("backend", "rounding", "seed", "updates", "model", "_soft", "_several", "_kinds")
        }
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._rules, self._plan = {}, None
        self.__dict__.setdefault("_lazy", {})
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


def _bare_name(name: str) -> str:
    """The name of a chain's rule: its transforms keep no state."""
    return name.rsplit("|", 1)[-1]


def _numbers(rule: Rule, scale: float | None) -> Numbers:
    found = {f"self.{name}": value for name, value in vars(rule).items() if type(value) is float}
    return found if scale is None else found | {"grad_scale": scale}
