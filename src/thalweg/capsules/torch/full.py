"""Routing with weights of each input and output, a few samples at a time, so that the votes stay in the cache and are not kept.

Votes W_ij u_i cannot be done without here: <W_ij u_i, v_j> = <u_i, W_ij^T v_j> costs as much. But 1152 x 10 x 16 of them are 0.7 MB
a sample, and a plain layer keeps them, their gradient and several products for the whole batch. So both directions go through the
batch in chunks; the backward pass forms the votes of a chunk again, which is one product of four.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

CHUNK = {"cpu": 3 << 20}  # bytes of the votes of a chunk: what a core's cache holds
LARGE = 256 << 20  # elsewhere
Passes = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]  # votes (B, k, n, d), weights -> s (B, k, d), C^T (B, k, n)


class Full(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """(U (B, n, d_in), W (n, k, d_out, d_in), w (B, n) or None, passes) -> s (B, k, d_out), C^T (B, k, n)."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, weight: Tensor, w: Tensor | None, passes: Passes) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(u, weight, w)
        ctx.passes = passes
        found = [passes(votes(u[rows], weight), None if w is None else w[rows]) for rows in _chunks(u, weight)]
        s, c = (torch.cat(parts) for parts in zip(*found, strict=True))
        ctx.mark_non_differentiable(c)
        return s, c

    @staticmethod
    def backward(ctx: Any, g: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of U and W, from votes that are formed again."""
        u, weight, w = ctx.saved_tensors
        n, k, d_out, d_in = weight.shape
        g_u, g_weight = torch.empty_like(u), torch.zeros_like(weight).view(n, k * d_out, d_in)
        for rows in _chunks(u, weight):
            with torch.enable_grad():
                formed = votes(u[rows], weight).detach().requires_grad_()
                s, _c = ctx.passes(formed, None if w is None else w[rows])
                (g_votes,) = torch.autograd.grad(s, formed, g[rows])
            flat = g_votes.permute(2, 0, 1, 3).reshape(n, -1, k * d_out)  # (n, rows, k d_out)
            g_u[rows] = torch.bmm(flat, weight.view(n, k * d_out, d_in)).transpose(0, 1)
            g_weight.baddbmm_(flat.transpose(1, 2), u[rows].transpose(0, 1))
        return g_u, g_weight.view_as(weight), None, None


def votes(u: Tensor, weight: Tensor) -> Tensor:
    """W_ij u_i, in the layout that routing takes.   (B, n, d_in), (n, k, d_out, d_in) -> (B, k, n, d_out)"""
    n, k, d_out, d_in = weight.shape
    formed = torch.bmm(u.transpose(0, 1), weight.view(n, k * d_out, d_in).transpose(1, 2))  # (n, B, k d_out)
    return formed.view(n, -1, k, d_out).permute(1, 2, 0, 3).contiguous()


def _chunks(u: Tensor, weight: Tensor) -> list[slice]:
    each = weight.shape[0] * weight.shape[1] * weight.shape[2] * u.element_size()
    size = max(1, CHUNK.get(u.device.type, LARGE) // max(1, each))
    return [slice(start, start + size) for start in range(0, u.shape[0], size)]
