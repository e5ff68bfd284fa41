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

import torch
from torch import Tensor

from thalweg.errors import RuleError, whole_number


class SoftBatch:
    """Sums of weighted gradients, in float32 or the parameter's own dtype if that is wider."""

    def __init__(self, size: int) -> None:
        self.size = whole_number("soft_batch", size, least=1)
        self.done = 0  # batches since the last update
        self.weight = 0.0
        self.sums: dict[Tensor, Tensor] = {}

    def add(self, parameters: list[Tensor], weight: float, scale: float | None) -> None:
        """Add a batch: the gradients that the parameters hold, scaled by `scale`. Raises RuleError for a weight that is none."""
        if isinstance(weight, Tensor):
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

    def state_dict(self, parameters: list[Tensor]) -> dict[str, Any]:
        """What is added up so far, the sums in the order of the parameters."""
        return {"done": self.done, "weight": self.weight, "sums": [self.sums.get(p) for p in parameters]}

    def load_state_dict(self, state: dict[str, Any], parameters: list[Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        self.done, self.weight = state["done"], state["weight"]
        kept = zip(parameters, state["sums"], strict=True)
        self.sums = {p: held.to(p.device, copy=True) for p, held in kept if held is not None}
