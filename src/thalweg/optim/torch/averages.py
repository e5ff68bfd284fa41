"""Averages of the weights along the path, beside any optimizer: to evaluate with, or to go on from.

    average = EMA(opt, decay=0.999)              # opt.step() as ever
    with average.swap():
        evaluate(model)                          # the parameters hold the average

They are counted in updates, not in calls of `step`, where the optimizer has a soft batch.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import RuleError, whole_number


class Average(ABC):
    """A tensor for each parameter, renewed after each update of the optimizer; in float32 where the parameter has 16 bits."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.count = 0  # updates since it was made
        self.tensors: dict[Tensor, Tensor] = {}
        self.since: dict[Tensor, int] = {}  # the count when a parameter joined
        self._seen = getattr(optimizer, "moves", None)
        self._fill()
        self._hook = optimizer.register_step_post_hook(self._after)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_hook"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._hook = self.optimizer.register_step_post_hook(self._after)  # a copy follows the copied optimizer

    @abstractmethod
    def renew(self, averages: list[Tensor], parameters: list[Tensor]) -> None:
        """Take the parameters after update `count` into the averages."""

    def ages(self) -> list[int]:
        """For how many updates each parameter has been averaged, with the present one."""
        return [self.count - self.since[p] for p in self.tensors]

    @contextlib.contextmanager
    def swap(self) -> Iterator[None]:
        """The parameters hold the averages within it, and their own values afterwards."""
        self._catch_up()
        self._fill()
        kept = [p.detach().clone() for p in self.tensors]
        with torch.no_grad():
            for p, average in self.tensors.items():
                p.copy_(average)
        try:
            yield
        finally:
            with torch.no_grad():
                for p, value in zip(self.tensors, kept, strict=True):
                    p.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """The averages, in the order of the optimizer's parameters, and how many updates they hold."""
        return {"count": self.count, "tensors": list(self.tensors.values()), "since": [self.since[p] for p in self.tensors]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave. Raises RuleError for that of another model."""
        self._fill()
        if [t.shape for t in state["tensors"]] != [t.shape for t in self.tensors.values()]:
            msg = f"the {len(state['tensors'])} averages are not of the shapes of the {len(self.tensors)} parameters"
            raise RuleError(msg)
        self.count = state["count"]
        self.since = dict(zip(self.tensors, state.get("since", [0] * len(self.tensors)), strict=True))
        for mine, theirs in zip(self.tensors.values(), state["tensors"], strict=True):
            mine.copy_(theirs)

    def remove(self) -> None:
        """Follow the optimizer no longer."""
        self._hook.remove()

    def _fill(self) -> None:
        """An average for each parameter that is in the groups now; one of another shape begins anew."""
        before, self.tensors = self.tensors, {}
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                kept = before.get(p)
                if kept is None or kept.shape != p.shape:
                    kept, self.since[p] = p.detach().to(torch.promote_types(p.dtype, torch.float32), copy=True), self.count
                self.tensors[p] = kept
        self.since = {p: self.since[p] for p in self.tensors}

    def _catch_up(self) -> None:
        if hasattr(self.optimizer, "catch_up"):
            self.optimizer.catch_up()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _after(self, *_: Any) -> None:
        updates = getattr(self.optimizer, "moves", None)
        if updates is not None and updates == self._seen:
            return
        self._seen = updates
        self._catch_up()
        self._fill()
        self.count += 1
        self.renew(list(self.tensors.values()), list(self.tensors))


class EMA(Average):
    """e = b e + (1 - b) p with b = min(decay, (1 + t) / (10 + t)), t the number of updates; warmup=False: b = decay.

    It starts from the parameters; the warm-up keeps the start from weighing too much.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, decay: float = 0.999, warmup: bool = True) -> None:
        if not 0 <= decay < 1:
            msg = f"EMA: decay={decay!r} is not a number in [0, 1)"
            raise RuleError(msg)
        self.decay, self.warmup = decay, warmup
        super().__init__(optimizer)

    def renew(self, averages: list[Tensor], parameters: list[Tensor]) -> None:
        """One step of the average."""
        for e, p, t in zip(averages, parameters, self.ages(), strict=True):
            kept = min(self.decay, (1 + t) / (10 + t)) if self.warmup else self.decay
            e.lerp_(p.to(e.dtype), 1 - kept)


class Polyak(Average):
    """The mean of a parameter after each update since it joined. Source: Polyak and Juditsky 1992, SIAM J. Control Optim. 30."""

    def renew(self, averages: list[Tensor], parameters: list[Tensor]) -> None:
        """E = e + (p - e) / t."""
        for e, p, t in zip(averages, parameters, self.ages(), strict=True):
            e.lerp_(p.to(e.dtype), 1 / t)


class Lookahead(Average):
    """Every k updates slow = slow + alpha (p - slow), and p goes on from there. Zhang et al. 2019, arXiv 1907.08610."""

    def __init__(self, optimizer: torch.optim.Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        if not (math.isfinite(alpha) and 0 <= alpha <= 1):
            msg = f"Lookahead: alpha={alpha!r} is not a number in [0, 1]"
            raise RuleError(msg)
        self.k, self.alpha = whole_number("k", k, least=1), alpha
        super().__init__(optimizer)

    def renew(self, averages: list[Tensor], parameters: list[Tensor]) -> None:
        """Every k-th time, both move."""
        if self.count % self.k == 0:
            for slow, p in zip(averages, parameters, strict=True):
                slow.lerp_(p.to(slow.dtype), self.alpha)
                p.copy_(slow)
