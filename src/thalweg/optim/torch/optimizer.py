"""The torch front end: any rule as a torch.optim.Optimizer.

    opt = thalweg.optim.torch.Optimizer(model.parameters(), optim.Lion(lr=1e-4))
    opt.step();  print(opt.explain())

Parameter groups and state are spelt as torch spells them, so schedulers, checkpoints, hooks and GradScaler work unchanged. The
rule is read from the group at every step; its program decides which tensors go together (`tables`).
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import torch
from torch import Tensor

from thalweg.errors import RuleError, near_misses
from thalweg.optim.backends.lockstep import finished, merged
from thalweg.optim.language.program import Program
from thalweg.optim.language.rule import Rule, known_as
from thalweg.optim.language.state import State
from thalweg.optim.rules.chained import check_schedules
from thalweg.optim.torch import state as states
from thalweg.optim.torch.group_rules import Reading
from thalweg.optim.torch.idle import idle
from thalweg.optim.torch.names import group_of, live_of, misspelt, rule_of, slot_key
from thalweg.optim.torch.planning import How, Plan, backend_of, planned
from thalweg.optim.torch.repeat import Repeated
from thalweg.optim.torch.rows import Rows, made_lazy, renewed
from thalweg.optim.torch.soft_batch import BESIDE, SoftBatch
from thalweg.optim.torch.tables import Found, Numbers, Table, all_finite

ATTEMPTS = 20  # 5^20 = 10^14: what no step of that size reaches is no matter of the step
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128)


class Optimizer(torch.optim.Optimizer):  # type: ignore[misc]
    """Step parameters by a rule; a group may have its own, {"params": [...], "rule": optim.Lion()}.

    backend: "numba" (one compiled pass, CPU), "triton" (one launch, GPU), "foreach", "single", or "auto", the first that applies
    to a tensor; THALWEG_OPTIM_BACKEND names another default. soft_batch=k makes one update of k calls of `step`, see
    `soft_batch`; `updates` counts the updates. Rules of several gradients (Heun, SAM) call the closure for each; of `model` they
    keep the buffers as one call leaves them. `lr` stands in the groups instead of the rule's: a tensor is read anew at every
    step. The rest is torch's: maximize, differentiable; foreach, fused and capturable are accepted, and choose nothing here.

    Parameters of 16 bits lose updates below 1/256 of their size. rounding="stochastic" rounds bfloat16 up or down with the
    probability that makes the mean exact; `seed` makes it reproducible. master=True steps float32 copies, kept in the state, and
    rounds the parameters from them; what somebody else writes to a parameter its copy takes over. Slots of such parameters are
    float32, or with state_dtype="param" of 16 bits too.

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
        master: bool = False,
        state_dtype: str = "float32",
        soft_batch: int = 1,
        model: torch.nn.Module | None = None,
        lr: float | Tensor | None = None,
        **switches: bool | None,
    ) -> None:
        what: object = rule
        if not isinstance(what, Rule):
            msg = f"{rule!r} is not a rule; give one made from a class of thalweg.optim, as in optim.Adam(lr=1e-3)"
            raise RuleError(msg)
        if unknown := switches.keys() - self.switches.keys():
            named = [*inspect.signature(type(self)).parameters, *inspect.signature(Optimizer).parameters, *self.switches]
            known = [name for name in dict.fromkeys(named) if name not in ("params", "rule", "options", "switches")]
            msg = f"{type(self).__name__} has no option {min(unknown)!r}.{near_misses(min(unknown), known)}"
            raise RuleError(msg)
        if backend == "auto":
            backend = os.environ.get("THALWEG_OPTIM_BACKEND", backend)
        self.how = How(backend, rounding, seed, bool(master), state_dtype)
        self.updates, self._undone = 0, 0
        self.model = model
        self._lazy: dict[Tensor, Rows] = {}
        self._soft = SoftBatch(soft_batch)
        self._kinds: dict[str, Rule] = {}  # what stands under "rule" in a group -> one of these rules
        self._several: set[str] = set()  # names of those that take several gradients a step
        self._reading = Reading()
        self._plan: Plan | None = None
        numbers = self._described(rule) if lr is None else {**self._described(rule), "lr": lr}
        super().__init__(params, {**numbers, **self.switches, **switches})

    def _described(self, rule: Rule) -> dict[str, Any]:
        name = known_as(type(rule))
        if type(self._kinds.setdefault(name, rule)) is not type(rule):
            msg = f"two rules of one optimizer are called {name}; give them (or the functions in them) names of their own"
            raise RuleError(msg)
        if type(rule).stages is not Rule.stages and len(rule.programs()) > 1:
            self._several.add(name)
        return {"rule": name, **group_of(rule)}

    def rule_of(self, group: dict[str, Any]) -> Rule:
        """The rule of a parameter group, as its numbers stand now."""
        return rule_of(type(self._kinds[group["rule"]]), group, self.title(group))

    def title(self, group: Mapping[str, Any]) -> str:
        """What errors call the rule of a group: as it was typed, "Adagrad" for the one of that class."""
        return type(self).__name__ if type(self) is not Optimizer and group["rule"] == self.defaults["rule"] else str(group["rule"])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with numbers or a rule of their own. Raises RuleError for what the rule does not allow."""
        if isinstance(param_group, dict):
            if isinstance(param_group.get("rule"), Rule):
                own = self._described(param_group["rule"])
                param_group = {**param_group, "rule": own.pop("rule"), **{k: param_group.get(k, v) for k, v in own.items()}}
            self._check({**self.defaults, **param_group})
        super().add_param_group(param_group)
        rule = self.rule_of(self.param_groups[-1])
        for p in self.param_groups[-1]["params"]:
            if wrong := _unfit(p, rule):
                del self.param_groups[-1]
                msg = f"a parameter of shape {tuple(p.shape)} is {wrong}"
                raise RuleError(msg)
        self._plan = None

    def _check(self, group: Mapping[str, Any]) -> None:
        """RuleError for a number that the rule does not allow, or that stands under its own name where torch has another."""
        if wrong := misspelt(type(self.rule_of(dict(group))), group):
            msg = f"{wrong[0]!r} of a parameter group is spelt {wrong[1]!r}, as torch spells it"
            raise RuleError(msg)

    @torch._disable_dynamo  # type: ignore[untyped-decorator]  # inside torch.compile the step runs as it is: it is compiled already
    def step(self, closure: Callable[[], Any] | None = None, *, weight: float = 1.0) -> Any:
        """One step of every parameter that has a gradient; the closure's loss, if one is given.

        Of a soft batch, `weight` is the number of samples (or of tokens with a loss) that this gradient is the mean of.
        """
        n = self._stages()
        if closure is None and (n > 1 or self._soft.size > 1) and self._asked_for_a_state():
            return None
        if n > 1:
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

    def _asked_for_a_state(self) -> bool:
        """Whether the first step has rates and gradients of 0: so torch.distributed learns what a state holds. Then it is made."""
        given = [p.grad for p in self._parameters() if p.grad is not None]
        still = not self.state and given and all(float(group.get("lr", 1)) == 0 for group in self.param_groups)
        if not still or any(g.any() for g in given):
            return False
        with torch.no_grad(), self._unread():
            self._current(*self._read(scaled=False))
        for p, held in self.state.items() if self._soft.size > 1 else ():
            held.update(self._soft.empty(p))
        return True

    @property
    def moves(self) -> int:
        """The updates that were ever made, where `updates` goes back with what is loaded."""
        return self.updates + self._undone

    def _stages(self) -> int:
        """How many gradients a step takes. Raises RuleError if the groups do not agree."""
        if not self._several:
            return 1
        counts = {len(self._reading.rule(k, group, self.rule_of).programs()) for k, group in enumerate(self.param_groups)}
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
        begun, updates, attempts = False, self.updates, 0
        try:
            while attempts == 0 or self._again(attempts):
                self.updates = updates
                for stage in range(n):
                    begun = stage > 0
                    if stage or attempts:
                        repeated.again()
                    with torch.no_grad(), self._unread():
                        self._move(None, stage)
                    if self.updates == updates:  # frozen: what is not finite moves nothing
                        return loss
                begun, attempts = False, attempts + 1
        except BaseException:
            for table in self._plan.tables if begun and self._plan else ():
                table.put_back()
            self.updates = updates
            raise
        finally:
            repeated.finish()
        return loss

    def _again(self, attempts: int) -> bool:
        """Whether the step was rejected by its own error (`RK23`) and has to be repeated."""
        found = [table.rejected() for table in (self._plan.tables if self._plan else ())]  # of each: it counts its steps
        again = any(found)
        if again and attempts == ATTEMPTS:
            msg = f"{self.param_groups[0]['rule']}: {attempts} ever shorter steps were all rejected; nothing has moved"
            raise RuleError(msg)
        return again

    def _update(self, scale: float | None, weight: float) -> None:
        if self._soft.size == 1 and not self._soft.done:  # one that was loaded begun is ended
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
                rule = self._reading.rule(k, group, self.rule_of)
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
        with torch.set_grad_enabled(any(group["differentiable"] for group in self.param_groups)), self._unread():
            self._move(scale)

    def _unread(self) -> AbstractContextManager[None]:
        """Within it, lazy tables do not take what is done to them for reading."""
        return torch._C.DisableTorchFunctionSubclass() if self._lazy else contextlib.nullcontext()

    def _read(self, scaled: bool) -> tuple[list[Rule], list[tuple[Program, ...]]]:
        """The rules of the groups as they stand now, and their programs."""
        rules = [self._reading.rule(k, group, self.rule_of) for k, group in enumerate(self.param_groups)]
        pairs = zip(rules, self.param_groups, strict=True)
        return rules, [self._reading.programs(k, rule, group["maximize"], scaled) for k, (rule, group) in enumerate(pairs)]

    def _move(self, scale: float | None, stage: int = 0) -> None:
        rules, programs = self._read(scale is not None)
        if stage == 0:
            check_schedules(rules, self.updates)
        tables, gradients = self._found(rules, programs, stage)  # of all tables before any moves: what is refused moves nothing
        policies = [group.get("freeze_nonfinite_policy", "pass") for group in self.param_groups]
        if not all_finite(tables, gradients, policies) and stage == 0:
            return
        clock = float(self.updates + (stage == 0))
        numbers = {axes: [_numbers(rule.suited(axes), clock, scale) for rule in rules] for axes in {table.axes for table in tables}}
        if any(group["differentiable"] for group in self.param_groups):
            live = [live_of(type(rule), group) for rule, group in zip(rules, self.param_groups, strict=True)]
            for table in tables:
                table.live = live
        self.updates += stage == 0
        finished(merged([table.step(*found, numbers[table.axes], stage) for table, found in zip(tables, gradients, strict=True)]))
        for table in tables:
            table.done()

    def _current(self, rules: list[Rule], programs: list[tuple[Program, ...]]) -> Plan:
        swapped = renewed(self._lazy)
        if swapped or self._plan is None or not self._plan.holds(programs, self.param_groups, self.state):
            self._plan = planned(self.param_groups, self.state, rules, programs, self.how, self._lazy)
        return self._plan

    def _found(self, rules: list[Rule], programs: list[tuple[Program, ...]], stage: int) -> tuple[list[Table], list[Found]]:
        """The tables and their gradients; tables made anew if a parameter has come to take other gradients than theirs."""
        tables = self._current(rules, programs).tables
        for table in tables if stage else ():
            table.complete()
        gradients = [table.gradients() for table in tables]
        there = [each for each in gradients if each is not None]
        if len(there) < len(tables):
            self._plan = None
            return self._found(rules, programs, stage)
        return tables, there

    def lazy_rows(self, table: torch.nn.Module | Tensor, mode: str = "exact") -> Rows:
        """Step only the touched rows of an embedding or a parameter, see `lazy`: those whose gradient is not 0.

        Whoever reads or writes it in Python finds it as the dense optimizer would have it. Looking rows up (a forward pass,
        `torch.nn.functional.embedding`, `p[ids]`) brings these to the present, anything else all of them, which takes longer.
        mode="skip" leaves the idle steps of other rows out. Raises RuleError for a rule or tensor that cannot be lazy.
        """
        p = table if isinstance(table, Tensor) else getattr(table, "weight", None)
        groups = [group for group in self.param_groups if any(p is other for other in group["params"])]
        wrong = "" if mode in ("exact", "skip") else f"mode={mode!r} is neither exact nor skip"
        if p is None or not groups or wrong:
            msg = f"lazy_rows({type(table).__name__}): {wrong or 'its weight is no parameter of this optimizer'}"
            raise RuleError(msg)
        idle(self.rule_of(groups[0]), bits=30)
        if backend_of(p.detach(), self.how) != "numba" or p.dtype not in (torch.float32, torch.float64) or not p.is_contiguous():
            msg = f"lazy_rows: a table of {p.dtype} on {p.device} needs the compiled back end, contiguous float32 or float64"
            raise RuleError(msg)
        self._lazy[p], self._plan = made_lazy(p, mode), None
        return self._lazy[p]

    def catch_up(self) -> None:
        """Bring all lazy rows to the present, their slots too, as before you change those by hand."""
        for rows in self._lazy.values():
            rows.catch_up()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state of ours or of torch.optim. Raises RuleError for that of another rule; transforms may be others."""
        before = [dict(group) for group in self.param_groups]
        found: list[dict[str, Any]] = []

        def check(_: Any, given: dict[str, Any]) -> dict[str, Any]:  # after the hooks of others, which may change the order
            states.check_rules(before, given["param_groups"])
            groups = [{**ours, **theirs, "rule": ours["rule"]} for ours, theirs in zip(before, given["param_groups"], strict=False)]
            for group in groups:
                self._check(group)
            states.check_keys([self.rule_of(group) for group in groups], given)
            self.catch_up()  # by the state that they have been stepped with
            found.append({**given, "state": self._kept(given["state"])})
            return found[0]

        def complete(_: Any) -> None:  # before the hooks of others, which may look at it
            self._loaded(before, found[0])

        hooks = self.register_load_state_dict_pre_hook(check), self.register_load_state_dict_post_hook(complete, prepend=True)
        try:
            super().load_state_dict(state_dict)
        finally:
            for hook in hooks:
                hook.remove()

    def _loaded(self, before: list[dict[str, Any]], saved: dict[str, Any]) -> None:
        for group, ours in zip(self.param_groups, before, strict=True):
            group["rule"] = ours["rule"]
            for key, value in ours.items():
                group.setdefault(key, value)
        states.taken_over(self.state, self._parameters(), saved)
        moves = self.moves
        self.updates = saved.get("updates", max((int(held.get("step", 0)) for held in saved["state"].values()), default=0))
        self._undone = moves - self.updates
        self._soft.load_state_dict(saved.get("soft_batch"), self.state)

    def state_dict(self) -> dict[str, Any]:
        """The state as torch's optimizers write it; beside it the number of updates, and the soft batch if one is begun."""
        self.catch_up()
        state: dict[str, Any] = {**super().state_dict(), "updates": self.updates}
        state["state"] = self._kept(state["state"])
        places = [place for group in state["param_groups"] for place in group["params"]]
        for place, p in zip(places, self._parameters(), strict=True) if self._soft.sums else ():
            if begun := self._soft.beside(p):
                state["state"][place] = {**state["state"].get(place, {}), **begun}
        return {**state, "soft_batch": self._soft.state_dict()} if self._soft.done else state

    def _kept(self, state: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
        """A state without what rules of several gradients hold within a step only, and without sums that torch found missing."""
        n = self._stages()
        passing = {"start", *(f"g{k}" for k in range(n - 1))} if n > 1 else set()
        return {
            place: {k: v for k, v in held.items() if k not in passing and not (k in BESIDE and isinstance(v, Mapping))}
            for place, held in state.items()
        }

    def __getstate__(self) -> dict[str, Any]:
        self.catch_up()
        own = {name: getattr(self, name) for name in ("how", "updates", "_undone", "model", "_soft", "_several", "_kinds")}
        return {**super().__getstate__(), **own, "lazy": [(p, rows.mode) for p, rows in self._lazy.items()]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        lazy = state.pop("lazy", [])
        super().__setstate__(state)
        self._reading, self._plan = Reading(), None
        self.__dict__.setdefault("_lazy", {})
        self.__dict__.setdefault("_undone", 0)
        self._lazy |= {p: made_lazy(p, mode) for p, mode in lazy}
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def explain(self) -> str:
        """What runs where: a line for each table. Tensors that have had no gradient yet have no line."""
        lines = [f"{'rule':<12}{'back end':<10}{'dtype':<10}{'tensors':>9}{'elements':>14}{'bytes a step':>16}{'copies':>8}"]
        waiting = len(self._plan.waiting) if self._plan else sum(len(group["params"]) for group in self.param_groups)
        lines += self._plan.explain() if self._plan else []
        return "\n".join([*lines, *[f"{waiting:,} tensors have had no gradient yet"] * bool(waiting)])


def _unfit(p: Tensor, rule: Rule) -> str:
    """What is wrong with a parameter for that rule, "" if nothing is."""
    if not (p.is_floating_point() or p.is_complex()):
        return f"{p.dtype}; only floating-point tensors can be optimised"
    if p.dtype not in DTYPES or p.layout != torch.strided:
        what = p.dtype if p.dtype not in DTYPES else p.layout
        return (
            f"{what}; a rule can be computed for dense tensors of {', '.join(str(each).removeprefix('torch.') for each in DTYPES)}"
        )
    if p.is_conj():
        return "a conjugate view, whose numbers are another tensor's; give its clone()"
    if p.is_complex() and (type(rule).suited is not Rule.suited or any(each.shaped for each in rule.programs())):
        return f"complex, a pair of reals for each number; {type(rule).__name__} goes by rows, columns or channels of real numbers"
    return ""


def _numbers(rule: Rule, clock: float, scale: float | None) -> Numbers:
    found = {f"self.{name}": value for name, value in vars(rule).items() if type(value) is float} | {"clock": clock}
    return found if scale is None else found | {"grad_scale": scale}
