"""Capsule layers and their losses.

    votes u_ij = W_j u_i ("shared"), W_j W~_i u_i ("factored") or W_ij u_i ("full");    v = route(votes)

Shared and factored weights never form the votes (`shared`), full ones a few samples at a time (`full`).
Sources: Sabour, Frosst and Hinton 2017, arXiv 1710.09829; Su 2018,
kexue.fm 4819 and 5112.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.capsules.routing import settings
from thalweg.capsules.torch.full import Full, votes
from thalweg.capsules.torch.lengths import squash
from thalweg.capsules.torch.routing import check_gradient, passes, route, weights
from thalweg.capsules.torch.shared import Shared
from thalweg.capsules.torch.shared import passes as shared_passes
from thalweg.errors import InputError, whole_number

WEIGHTS = ("shared", "factored", "full")


class Capsules(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A layer of capsules: n vectors of in_dim to n_capsules vectors of out_dim.   (B, n, in_dim) -> (B, n_capsules, out_dim)

    weights: "shared" takes any n; "factored" and "full" have weights for each of n_inputs, and so see position. routing and the
    settings that follow (iterations, update, inside, ...) are those of `thalweg.capsules.route`. gradient: "unroll" or "last".
    keep_votes: form all votes and keep them (the plain form, for comparison; all of autograd works on it).
    Raises InputError for what is not allowed.
    """

    def __init__(
        self,
        in_dim: int,
        n_capsules: int,
        out_dim: int,
        *,
        weights: str = "shared",
        n_inputs: int | None = None,
        routing: str = "su2018",
        gradient: str = "unroll",
        keep_votes: bool = False,
        device: Any = None,
        dtype: Any = None,
        **given: Any,
    ) -> None:
        super().__init__()
        for name, value in (("in_dim", in_dim), ("n_capsules", n_capsules), ("out_dim", out_dim)):
            whole_number(name, value, least=1)
        if weights not in WEIGHTS:
            msg = f"weights={weights!r}: they are {', '.join(WEIGHTS)}"
            raise InputError(msg)
        if (weights == "shared") != (n_inputs is None):
            msg = "shared weights take any number of inputs: leave n_inputs out" if n_inputs else f"{weights} weights need n_inputs"
            raise InputError(msg)
        check_gradient(gradient)
        self.in_dim, self.n_capsules, self.out_dim, self.n_inputs = in_dim, n_capsules, out_dim, n_inputs
        self.weights, self.routing, self.gradient, self.keep_votes, self.given = weights, routing, gradient, keep_votes, dict(given)
        self.settings = settings(routing, given)
        made = {"device": device, "dtype": dtype}
        shape = (n_capsules, out_dim, in_dim) if weights != "full" else (n_inputs, n_capsules, out_dim, in_dim)
        self.weight = nn.Parameter(torch.empty(shape, **made))
        self.inner = nn.Parameter(torch.empty((n_inputs, in_dim, in_dim), **made)) if weights == "factored" else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Shared: Glorot uniform for (in_dim, n_capsules out_dim). Full: sums of about 0.7 at uniform couplings for inputs of unit
        variance, from which routing can begin; much larger ones saturate it, much smaller ones take epochs to grow.
        """
        with torch.no_grad():
            if self.n_inputs is None or self.inner is not None:
                bound = math.sqrt(6 / (self.in_dim + self.n_capsules * self.out_dim))
                self.weight.uniform_(-bound, bound)
            else:
                self.weight.normal_(std=0.7 * self.n_capsules / math.sqrt(self.n_inputs * self.in_dim * self.out_dim))
            if self.inner is not None:
                self.inner.normal_(std=1 / math.sqrt(self.in_dim))

    def forward(self, u: Tensor, mask: Tensor | None = None, return_couplings: bool = False) -> Any:
        """Outputs v (B, k, out_dim), and the couplings c (B, n, k) where they are asked for.

        mask (B, n): True where an input is there. Raises InputError for inputs of another width or number.
        """
        self._check(u)
        kind = u.device.type
        if kind == "meta" or not torch.is_autocast_enabled(kind):
            return self._routed(u, mask, return_couplings)
        with torch.autocast(kind, enabled=False):  # 16 bits are too few for couplings
            return self._routed(u.to(self.weight.dtype), mask, return_couplings)

    def _routed(self, u: Tensor, mask: Tensor | None, return_couplings: bool) -> Any:
        if self.inner is not None:
            u = torch.einsum("noi,bni->bno", self.inner, u)
        if self.keep_votes or self.gradient != "unroll" or not (self.weights == "full" or self._algebraic()):
            sizes = "nkoi,bni->bnko" if self.weights == "full" else "koi,bni->bnko"
            return route(
                torch.einsum(sizes, self.weight, u),
                routing=self.routing, mask=mask, gradient=self.gradient, return_couplings=return_couplings, **self.given,
            )  # fmt: skip
        chosen, w = self.settings, weights(u.shape[:-1], u, None, mask)
        compiled = torch.compiler.is_compiling()  # a compiler makes a backward pass of its own
        if self.weights == "full":
            routed = functools.partial(passes, chosen=chosen)
            s, c = routed(votes(u, self.weight), w) if compiled else Full.apply(u, self.weight, w, routed)
        else:
            rate = chosen["step"] if chosen["update"] == "accumulate" else chosen["inverse_temperature"]
            numbers = (chosen["iterations"], chosen["update"], chosen["inside"], chosen["squash_constant"], float(rate))
            s, c = (shared_passes if compiled else Shared.apply)(u, self.weight, w, *numbers)[:2]
        v = s if chosen["squash"] is None else squash(s, chosen["squash"], chosen["squash_constant"])
        if not return_couplings:
            return v
        shown = c.transpose(1, 2)
        return v, shown if w is None else shown * (w > 0)[..., None]

    def _algebraic(self) -> bool:
        """Whether the routing is one that needs no votes."""
        return self.settings["aggregate"] == "sum" and not math.isinf(self.settings["inverse_temperature"])

    def _check(self, u: Tensor) -> None:
        if u.ndim != 3 or u.shape[-1] != self.in_dim:
            msg = f"inputs of shape {tuple(u.shape)}: this layer takes (batch, n, {self.in_dim})"
            raise InputError(msg)
        if self.n_inputs is not None and u.shape[1] != self.n_inputs:
            msg = f"{u.shape[1]} inputs for a layer with weights for {self.n_inputs}"
            raise InputError(msg)

    def extra_repr(self) -> str:
        """What the layer is, in a line."""
        more = "".join(f", {name}={value!r}" for name, value in self.given.items())
        inputs = "" if self.n_inputs is None else f", n_inputs={self.n_inputs}"
        return f"{self.in_dim}, {self.n_capsules}, {self.out_dim}, weights={self.weights!r}{inputs}, routing={self.routing!r}{more}"


class MarginLoss(nn.Module):  # type: ignore[misc]
    """sum_k T_k max(0, 0.9 - |v_k|)^2 + down_weight (1 - T_k) max(0, |v_k| - 0.1)^2: the mean over the batch.

    Takes lengths (B, k) and targets: classes (B,) or a set of classes as zeros and ones (B, k). reduction: "sum" over the classes,
    as Sabour, Frosst and Hinton 2017 have it, or "mean" over them (Su 2018, with down_weight=0.25).
    """

    def __init__(self, *, upper: float = 0.9, lower: float = 0.1, down_weight: float = 0.5, reduction: str = "sum") -> None:
        super().__init__()
        if reduction not in ("sum", "mean"):
            msg = f"reduction={reduction!r}: over the classes it is sum or mean"
            raise InputError(msg)
        self.upper, self.lower, self.down_weight, self.reduction = upper, lower, down_weight, reduction

    def forward(self, lengths: Tensor, targets: Tensor) -> Tensor:
        """The loss, a number. Raises InputError for targets that do not fit."""
        there = targets.to(lengths.dtype) if targets.shape == lengths.shape else None
        if there is None:
            if targets.shape != lengths.shape[:1] or targets.is_floating_point():
                msg = f"targets of shape {tuple(targets.shape)} for lengths {tuple(lengths.shape)}: classes (B,), or 0 and 1 (B, k)"
                raise InputError(msg)
            there = nn.functional.one_hot(targets, lengths.shape[1]).to(lengths.dtype)
        short, long = (self.upper - lengths).clamp(min=0) ** 2, (lengths - self.lower).clamp(min=0) ** 2
        each = there * short + self.down_weight * (1 - there) * long
        return (each.sum(1) if self.reduction == "sum" else each.mean(1)).mean()
