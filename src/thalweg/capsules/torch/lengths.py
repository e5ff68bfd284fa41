"""Length maps for tensors: those of `thalweg.capsules.lengths`, with the slopes that a backward pass written by hand needs.

v = phi(r) s / r with r = |s|;    d v = phi(r) / r (d s - u <u, d s>) + phi'(r) u <u, d s>,    u = s / r
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import InputError, near_misses


@dataclass(frozen=True)
class LengthMap:
    """phi(r, a) and its slope, for r > 0."""

    length: Callable[[Tensor, float], Tensor]
    slope: Callable[[Tensor, float], Tensor]


def _squash(r: Tensor, a: float) -> Tensor:
    near, far = r.clamp(max=1), r.clamp(min=1)
    return torch.where(r <= 1, near * near / (a + near * near), 1 / (1 + a / far / far))


def _squash_slope(r: Tensor, a: float) -> Tensor:
    near, far = r.clamp(max=1), r.clamp(min=1)
    return torch.where(r <= 1, 2 * a * near / (a + near * near) ** 2, 2 * a / far / far / far / (1 + a / far / far) ** 2)


LENGTHS: dict[str, LengthMap] = {
    "unit": LengthMap(lambda r, a: torch.ones_like(r), lambda r, a: torch.zeros_like(r)),
    "squash": LengthMap(_squash, _squash_slope),
    "linear": LengthMap(lambda r, a: r, lambda r, a: torch.ones_like(r)),
    "tanh": LengthMap(lambda r, a: torch.tanh(r), lambda r, a: 1 - torch.tanh(r) ** 2),
    "exp": LengthMap(lambda r, a: -torch.expm1(-r), lambda r, a: torch.exp(-r)),
    "ratio": LengthMap(lambda r, a: r / (1 + r), lambda r, a: 1 / (1 + r) ** 2),
}


def length_map(name: str) -> LengthMap:
    """The map of a name. Raises InputError for a name that there is not."""
    if name not in LENGTHS:
        msg = f"there is no length map {name!r}.{near_misses(name, LENGTHS)}"
        raise InputError(msg)
    return LENGTHS[name]


def polar(s: Tensor) -> tuple[Tensor, Tensor]:
    """The lengths (..., 1) and directions of s (..., d), 0 and 0 at 0, where squares may underflow or overflow."""
    largest = s.detach().abs().amax(-1, keepdim=True)
    scale = torch.where(largest > 0, largest, torch.ones_like(largest))
    scaled = s / scale
    squares = (scaled * scaled).sum(-1, keepdim=True)
    some = squares > 0
    r = torch.where(some, squares, torch.ones_like(squares)).sqrt()
    return torch.where(some, r * scale, torch.zeros_like(r)), torch.where(some, scaled / r, torch.zeros_like(scaled))


def squash(s: Tensor, kind: str = "squash", constant: float = 0.5) -> Tensor:
    """The vectors s with their lengths r turned into phi(r); 0 at 0, with gradient 0 there.   (..., d) -> (..., d)"""
    r, u = polar(s)
    return length_map(kind).length(r, constant) * u


def pulled_back(s: Tensor, g: Tensor, kind: str, constant: float) -> Tensor:
    """The gradient with respect to s, from that with respect to `squash(s)`; 0 where s is."""
    map_ = length_map(kind)
    r, u = polar(s)
    some = r > 0
    safe = torch.where(some, r, torch.ones_like(r))
    along = u * (u * g).sum(-1, keepdim=True)
    found = map_.length(safe, constant) / safe * (g - along) + map_.slope(safe, constant) * along
    return torch.where(some, found, torch.zeros_like(found))
