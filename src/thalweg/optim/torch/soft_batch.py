"""The soft batch: k small batches, one step. The rule sees the weighted mean of their gradients,

    g = sum_i w_i g_i / sum_i w_i,

where w_i is what the loss of batch i is a mean over: its samples, or the tokens that carry a loss. A mean of means is the mean of
all only so. Between the updates nothing moves: neither parameters nor slots, t, decay or schedule; so the step is that of one batch
k times the size, for every rule. Statistics that a model takes of its batch itself (batch norm) are those of the small ones.

Source: Su Jianlin 2019, kexue.fm 6794, which corrects the first version of 5879.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import RuleError, whole_number

BESIDE = SUM, COUNTS = "soft_sum", "soft_counts"  # keys of a parameter's state: its sum; [batches, weight]


class SoftBatch:
    """Sums of weighted gradients, in float32 or the parameter's own dtype if that is wider."""

    def __init__(self, size: int) -> None:
        self.size = whole_number("soft_batch", size, least=1)
        self.done = 0  # batches since the last update
        self.weight = 0.0
        self.sums: dict[Tensor, Tensor] = {}

    def add(self, parameters: list[Tensor], weight: float, scale: float | None) -> None:
        """Add a batch: the gradients that the parameters hold, scaled by `scale`. Raises RuleError for an invalid weight."""
        if isinstance(weight, Tensor | np.generic) and math.prod(weight.shape) == 1:
            weight = weight.item()
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            msg = f"weight={weight!r} of a batch is not a number of at least 0: its samples, or its tokens"
            raise RuleError(msg)
        for p in parameters if weight else ():  # a mean over nothing may be NaN, and 0 * NaN is
            if p.grad is not None:
                if p not in self.sums:
                    wide = torch.promote_types(p.dtype, torch.float32)
                    self.sums[p] = torch.zeros_like(p, dtype=wide, memory_format=torch.preserve_format, requires_grad=False)
                if self.sums[p].shape != p.grad.shape:
                    was, now = tuple(self.sums[p].shape), tuple(p.grad.shape)
                    msg = f"a gradient of shape {now} in a soft batch begun with {was}; call opt.flush() before you change a tensor"
                    raise RuleError(msg)
                self.sums[p].add_(p.grad, alpha=weight / (scale or 1.0))
        self.done, self.weight = self.done + 1, self.weight + weight

    @property
    def ready(self) -> bool:
        """Whether the batch is whole."""
        return self.done >= self.size

    @contextlib.contextmanager
    def mean(self, parameters: list[Tensor]) -> Iterator[bool]:
        """Within it, the parameters hold the mean as their gradients; then nothing is left of it. Yields whether there is one."""
        for p in parameters:
            if p in self.sums and self.sums[p].shape != p.shape:
                was, now = tuple(self.sums[p].shape), tuple(p.shape)
                msg = (
                    f"a soft batch begun with a gradient of shape {was} of what is {now} now; call opt.flush() before you change it"
                )
                raise RuleError(msg)
        before = [p.grad for p in parameters]
        try:
            for p in parameters:
                p.grad = (self.sums[p] / self.weight).to(p.dtype) if self.weight and p in self.sums else None
            yield self.weight > 0
        finally:
            for p, gradient in zip(parameters, before, strict=True):
                p.grad = gradient
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.sums.clear()
        self.done, self.weight = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """How much is added up so far; the sums stand with the parameters, see `beside`."""
        return {"done": self.done, "weight": self.weight}

    def beside(self, p: Tensor) -> dict[str, Tensor]:
        """What the state of a parameter holds of a begun batch: who brings states into another order brings the sums along."""
        counts = torch.tensor([self.done, self.weight], dtype=torch.float64, device="cpu")
        return {SUM: self.sums[p], COUNTS: counts} if p in self.sums else {}

    def empty(self, p: Tensor) -> dict[str, Tensor]:
        """The same of a batch that is not begun: torch.distributed loads the keys alone that are there."""
        wide = torch.promote_types(p.dtype, torch.float32)
        return {SUM: torch.zeros_like(p.detach(), dtype=wide), COUNTS: torch.zeros(2, dtype=torch.float64, device="cpu")}

    def load_state_dict(self, counts: dict[str, Any] | None, state: dict[Tensor, dict[str, Any]]) -> None:
        """Go on from what `state_dict` gave and from the sums, which are taken out of the state; without sums, from the counts."""
        self.clear()
        for p in [p for p, held in state.items() if SUM in held]:
            self.sums[p] = state[p].pop(SUM)
            self.done, self.weight = int(state[p][COUNTS][0]), float(state[p].pop(COUNTS)[1])
            if not state[p]:
                del state[p]  # it has had no step
        if counts is not None:
            self.done, self.weight = counts["done"], counts["weight"]
