"""`route` for tensors: the function of `thalweg.capsules.routing`, differentiable, in the votes' own dtype and on their device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.capsules.routing import settings
from thalweg.capsules.torch.lengths import squash
from thalweg.errors import InputError


def route(
    votes: Tensor,
    *,
    routing: str = "su2018",
    input_weights: Tensor | None = None,
    mask: Tensor | None = None,
    initial_logits: Tensor | None = None,
    gradient: str = "unroll",
    return_couplings: bool = False,
    **given: Any,
) -> Any:
    """Route votes (..., n, k, d) to outputs v (..., k, d); see `thalweg.capsules.route` for the arguments.

    gradient: "unroll", the exact derivative of all passes, or "last": the couplings of the last pass are constants (cheap, biased).
    With return_couplings also c (..., n, k). Raises InputError as the NumPy form does.
    """
    chosen = settings(routing, given)
    check_gradient(gradient)
    if votes.ndim < 3 or 0 in votes.shape[-2:]:
        msg = f"votes of shape {tuple(votes.shape)}: they are (..., inputs, outputs, dimension)"
        raise InputError(msg)
    w = weights(votes.shape[:-2], votes, input_weights, mask)
    logits = None if initial_logits is None else initial_logits.transpose(-1, -2)
    s, c = passes(votes.transpose(-2, -3), w, chosen, logits, last=gradient == "last")
    v = s if chosen["squash"] is None else squash(s, chosen["squash"], chosen["squash_constant"])
    if not return_couplings:
        return v
    shown = c.transpose(-1, -2)
    return v, shown if w is None else shown * (w > 0)[..., None]


def passes(
    u: Tensor, w: Tensor | None, chosen: Mapping[str, Any], logits: Tensor | None = None, *, last: bool = False
) -> tuple[Tensor, Tensor]:
    """The sums s (..., k, d) and couplings (..., k, n) of the last pass.

    u (..., k, n, d): votes in the layout in which sums and agreements are products of matrices; chosen: of `settings`; last: the
    couplings of the last pass are constants.
    """
    source, k = u.detach() if last else u, u.shape[-3]
    logits = u.new_zeros(()) if logits is None else logits
    c = torch.softmax(logits.expand(u.shape[:-1]), -2)
    for left in reversed(range(chosen["iterations"])):
        s, mean = _sums(source if left else u, c, w, chosen["aggregate"])
        if not left:
            break
        if mean:
            agreement = -((source - s[..., None, :]) ** 2).sum(-1)
        else:
            v = squash(s, chosen["inside"], chosen["squash_constant"])
            agreement = torch.matmul(source, v[..., None])[..., 0]  # (..., k, n)
        if chosen["update"] == "accumulate":
            logits = logits + chosen["step"] * agreement
            c = torch.softmax(logits, -2)
        elif math.isinf(chosen["inverse_temperature"]):
            c = torch.nn.functional.one_hot(agreement.argmax(-2), k).transpose(-1, -2).to(u.dtype)
        else:
            c = torch.softmax(chosen["inverse_temperature"] * agreement, -2)
    return s, c


def check_gradient(gradient: str) -> None:
    """Raises InputError for a name that there is not."""
    if gradient not in ("unroll", "last"):
        msg = f"gradient={gradient!r}: it is unroll or last"
        raise InputError(msg)


def weights(shape: tuple[int, ...], like: Tensor, input_weights: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """The weight of each input, None where all are 1. InputError for other shapes."""
    if input_weights is None and mask is None:
        return None
    try:
        w = torch.ones((), dtype=like.dtype, device=like.device) if input_weights is None else input_weights.to(like.dtype)
        w = w.expand(shape)
        return w if mask is None else w * mask.to(like.dtype).expand(shape)
    except RuntimeError:
        msg = f"input_weights and mask have the shape of the inputs, {tuple(shape)}"
        raise InputError(msg) from None


def _sums(u: Tensor, c: Tensor, w: Tensor | None, aggregate: str) -> tuple[Tensor, bool]:
    """S (..., k, d) of votes u (..., k, n, d) and couplings c (..., k, n), and whether it is a mean."""
    shares = c if w is None else c * w[..., None, :]
    s = torch.matmul(shares[..., None, :], u)[..., 0, :]
    if aggregate == "sum":
        return s, False
    total = shares.sum(-1, keepdim=True)
    return torch.where(total > 0, s / torch.where(total > 0, total, torch.ones_like(total)), torch.zeros_like(s)), True
