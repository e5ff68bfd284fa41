"""Routing with weights that all inputs share, without ever forming the votes W_j u_i (n x k x d_out).

    <W_j u_i, v_j> = <u_i, p_j>  with p_j = W_j^T v_j,         sum_i c_ij W_j u_i = W_j m_j  with m_j = sum_i c_ij u_i

so that one pass is two thin products with the inputs U and two small ones with W:

    P = (W_j^T v_j)_j,    C = softmax_j(b U P^T),    M = C^T U,    s_j = W_j m_j,    v = f(s)

The backward pass is written by hand. It keeps C of each pass (k x n), and adds up the gradient of U in one product at the end:

    H = W_j^T g_j,  A = U H^T,  D = b C (A - rowsum(C A)),  dP = D^T U,  dv = W_j dp_j,      dU = [C D ...] [H; P; ...]
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thalweg.capsules.torch.lengths import pulled_back, squash


def passes(
    u: Tensor, weight: Tensor, w: Tensor | None, iterations: int, update: str, inside: str, constant: float, rate: float
) -> tuple[Tensor, ...]:
    """The s and C^T of the last pass, and what the backward pass needs: the mean of the inputs, then five tensors for each pass."""
    k = weight.shape[0]
    start = (u.sum(1) if w is None else torch.matmul(w[:, None], u)[:, 0]) / k  # (B, d_in), the same for all outputs
    s = _apply(start[:, None].expand(-1, k, -1), weight)
    kept, total = [start], torch.zeros_like(s)
    c = u.new_full((1, 1, 1), 1 / k).expand(u.shape[0], k, u.shape[1])
    for _ in range(iterations - 1):
        v = squash(s, inside, constant)
        total = total + v if update == "accumulate" else v
        p = _back(total, weight)
        c = torch.softmax(torch.matmul(rate * p, u.transpose(1, 2)), 1)
        before, m = s, torch.matmul(c if w is None else c * w[:, None], u)
        s = _apply(m, weight)
        kept += [before, total, p, c, m]
    return (s, c, *kept)


class Shared(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """(U (B, n, d_in), W (k, d_out, d_in), w (B, n) or None) -> s (B, k, d_out) of the last pass, C^T (B, k, n).

    Couplings lie with n last: the softmax is then over an axis that is not the last, which is 20 times as fast for k = 10.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, weight: Tensor, w: Tensor | None, *numbers: Any) -> tuple[Tensor, ...]:
        return passes(u, weight, w, *numbers)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """What the backward pass needs."""
        u, weight, w, *ctx.numbers = inputs
        ctx.save_for_backward(u, weight, w, *output[2:])
        ctx.mark_non_differentiable(*output[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of U and W."""
        u, weight, w, start, *kept = ctx.saved_tensors
        iterations, update, inside, constant, rate = ctx.numbers
        k, g = weight.shape[0], grads[0]
        g_weight, run = torch.zeros_like(weight), torch.zeros_like(g)
        width = 2 * k * (iterations - 1)
        left = u.new_empty(u.shape[0], width + 1, u.shape[1])  # left and right: of the product that gives the gradient of U
        right: list[Tensor] = []
        for t in reversed(range(iterations - 1)):
            before, total, p, c, m = kept[5 * t : 5 * t + 5]
            g_weight += _outer(g, m)
            h = _back(g, weight)
            a = torch.matmul(h, u.transpose(1, 2))  # (B, k, n)
            shares = c if w is None else c * w[:, None]
            if w is not None:
                a = a * w[:, None]
            d = a.sub_((a * c).sum(1, keepdim=True)).mul_(c).mul_(rate)
            g_p = torch.matmul(d, u)
            g_weight += _outer(total, g_p)
            run = run + _apply(g_p, weight) if update == "accumulate" else _apply(g_p, weight)
            place = k * len(right)
            left[:, place : place + k], left[:, place + k : place + 2 * k] = shares, d
            right += [h, p]
            g = pulled_back(before, run, inside, constant)
        left[:, -1] = 1.0 if w is None else w
        right.append(_back(g, weight).sum(1, keepdim=True) / k)
        g_weight += _outer(g, start[:, None].expand(-1, k, -1))
        g_u = torch.matmul(left.transpose(1, 2), torch.cat(right, 1))
        return g_u, g_weight, None, None, None, None, None, None


def _apply(m: Tensor, weight: Tensor) -> Tensor:
    """W_j m_j.   (B, k, d_in), (k, d_out, d_in) -> (B, k, d_out)"""
    return torch.matmul(m.transpose(0, 1), weight.transpose(1, 2)).transpose(0, 1)


def _back(v: Tensor, weight: Tensor) -> Tensor:
    """W_j^T v_j.   (B, k, d_out), (k, d_out, d_in) -> (B, k, d_in)"""
    return torch.matmul(v.transpose(0, 1), weight).transpose(0, 1)


def _outer(v: Tensor, m: Tensor) -> Tensor:
    """Sum over the batch of v_j m_j^T.   (B, k, d_out), (B, k, d_in) -> (k, d_out, d_in)"""
    return torch.matmul(v.permute(1, 2, 0), m.transpose(0, 1))
