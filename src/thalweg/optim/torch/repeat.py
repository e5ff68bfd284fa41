"""A closure called several times in one step, as if it had been called once.

Every call sees the same batch (that is the closure's part) and the same random numbers, so the same dropout masks; afterwards the
generators stand where one call leaves them, and the model's buffers (batch norm's running means) hold what the first call made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Repeated:
    """`first()` returns the loss, `again()` repeats it, `finish()` puts buffers and generators where one call leaves them."""

    def __init__(self, closure: Callable[[], Any], model: torch.nn.Module | None, parameters: Iterable[Tensor]) -> None:
        self.closure, self.model = closure, model
        self.devices = sorted({p.device.index or 0 for p in parameters if p.device.type == "cuda"})

    def first(self) -> Any:
        """The closure's loss at p."""
        before = self._generators()
        with torch.enable_grad():
            loss = self.closure()
        self.before, self.after = before, self._generators()
        self.buffers = [] if self.model is None else [(buffer, buffer.detach().clone()) for buffer in self.model.buffers()]
        return loss

    def again(self) -> None:
        """The closure with the random numbers of the first call."""
        self._set(self.before)
        with torch.enable_grad():
            self.closure()

    def finish(self) -> None:
        """As after one call."""
        self._set(self.after)
        with torch.no_grad():
            for buffer, held in self.buffers:
                buffer.copy_(held)

    def _generators(self) -> list[Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in self.devices)]

    def _set(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        for device, state in zip(self.devices, states[1:], strict=True):
            torch.cuda.set_rng_state(state, device)
