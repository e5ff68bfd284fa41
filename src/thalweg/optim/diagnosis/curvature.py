"""Curvature without its matrix: products with the Hessian, its largest eigenvalue (Lanczos), its trace (Hutchinson).

A product costs about two gradients. Where an operation has no second derivative, it is a central difference of gradients in
float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg.optim.diagnosis.problem import Problem

Product = Callable[[Tensor], Tensor]
STEPS = {torch.float32: 5e-3, torch.float64: 1e-7}  # of a difference: the cube root of rounding; less, so that few kinks are met
ROOM = 40_000_000  # numbers that all vectors of a Lanczos run may hold; beyond, it keeps the last two only


class Hessian:
    """The Hessian of the mean loss of some batches, with respect to what the optimizer moves. `exact`: by a double
    backward, as long as every operation has a second derivative; else by differences of gradients.
    """

    def __init__(self, problem: Problem, batches: int) -> None:
        self.problem, self.batches = problem, min(batches, len(problem.batches))
        self.exact = True
        self._graph: tuple[list[Tensor], list[int]] | None = None  # of a single batch: made once

    def __matmul__(self, v: Tensor) -> Tensor:
        """H v.   v: (n,)"""
        total = torch.zeros_like(v)
        for k in range(self.batches):
            total += self.of_batch(k, v)
        return total / self.batches

    def of_batch(self, k: int, v: Tensor) -> Tensor:
        """The same for the loss of batch k alone.   v: (n,)"""
        return self._double(k, v) if self.exact else self._difference(k, v)

    def _double(self, k: int, v: Tensor) -> Tensor:
        problem = self.problem
        try:
            slopes, reached = self._slopes(k)
            if not reached:  # the loss is linear, or its author's backward is differentiable once
                return self._without_graph(k, v)
            directions = problem.split(v)
            with sdpa_kernel(SDPBackend.MATH):
                found = torch.autograd.grad(
                    slopes, problem.parameters, [directions[i] for i in reached], retain_graph=self.batches == 1, allow_unused=True
                )
            return problem.flat(found)
        except RuntimeError as error:
            if not _has_no_second(error):
                raise
            return self._without_graph(k, v)

    def _without_graph(self, k: int, v: Tensor) -> Tensor:
        self.turn_to_differences()
        return self._difference(k, v)

    def turn_to_differences(self) -> None:
        """From here on differences of gradients, in float64 where the loss allows it: in less, rounding is as large as they are."""
        self.exact, self._graph, self.problem = False, None, self.problem.in_double() or self.problem

    def check(self, v: Tensor) -> None:
        """Differences instead if H v is another by them: a backward that is differentiable once can pass for one that is twice."""
        double = self.problem.in_double()
        if double is None:
            return
        mine, true = self.of_batch(0, v).double(), Hessian(double, 1)._difference(0, v.double())
        if self.exact and float((mine - true).norm()) > 0.3 * float(true.norm()):
            self.turn_to_differences()

    def _slopes(self, k: int) -> tuple[list[Tensor], list[int]]:
        """The gradients of batch k with their graph, and the places of their parameters."""
        if self._graph is not None:
            return self._graph
        with sdpa_kernel(SDPBackend.MATH):
            found = torch.autograd.grad(self.problem.value(k), self.problem.parameters, create_graph=True, allow_unused=True)
        reached = [i for i, g in enumerate(found) if g is not None and g.requires_grad]
        made = [found[i] for i in reached], reached
        if self.batches == 1:
            self._graph = made
        return made

    def _difference(self, k: int, v: Tensor) -> Tensor:
        problem, length = self.problem, float(v.norm())
        if not length:
            return torch.zeros_like(v)
        size = math.sqrt(sum(float(p.detach().norm()) ** 2 for p in problem.parameters))
        step = STEPS[problem.kind] * (1 + size) / length
        ends = list[Tensor]()
        for sign in (1, -2, 1):  # there, to the other side, and back
            with torch.no_grad():
                for p, d in zip(problem.parameters, problem.split(v), strict=True):
                    p.add_(d, alpha=sign * step)
            if len(ends) < 2:
                ends.append(problem.flat(problem.gradient(k)[1]))
        return ((ends[0] - ends[1]) / (2 * step)).to(v.dtype)


def _has_no_second(error: Exception) -> bool:
    return any(words in str(error) for words in ("derivative for", "double backward", "not implemented", "donated buffers"))


@dataclass(frozen=True)
class Eigenvalue:
    """value: the largest eigenvalue; error: how far the true one may be; steps: products that it took; vector: (n,), None where
    there was no room for it.
    """

    value: float
    error: float
    steps: int
    vector: Tensor | None = None


def largest(product: Product, start: Tensor, *, tolerance: float = 5e-3, steps: int = 40) -> Eigenvalue:
    """The largest eigenvalue of a symmetric operator, by Lanczos' method.   start: (n,)

    Ends when the residual |b_k y_k| (the last off-diagonal, the last component of the Ritz vector) is below the tolerance: some
    eigenvalue is so near, and none beyond it has shown. Every vector is made orthogonal to all before while they fit into memory,
    to the last two beyond: that costs steps, not accuracy.
    """
    keep = steps if start.numel() * steps <= ROOM else 2
    v, error = start / start.norm(), float("nan")
    kept, diagonal, beside = [v], list[float](), list[float]()
    value, most = float("nan"), min(steps, start.numel())
    for k in range(most):
        w = product(v).clone()
        diagonal.append(float(torch.dot(w, v)))
        for _ in range(2):  # twice is enough
            for u in kept:
                w.sub_(u, alpha=float(torch.dot(w, u)))
        b = float(w.norm())
        values, vectors = torch.linalg.eigh(_tridiagonal(diagonal, beside))
        value, error = float(values[-1]), abs(b * float(vectors[-1, -1]))
        if error <= tolerance * abs(value) or b <= 1e-7 * float(values.abs().max()) or k + 1 == most:
            break
        beside.append(b)
        v = w.div_(b)
        kept = [*kept, v][-keep:]
    vector = None
    if keep == steps:
        vector = torch.zeros_like(start)
        for u, part in zip(kept, vectors[:, -1].tolist(), strict=True):
            vector.add_(u, alpha=part)
    return Eigenvalue(value, error, len(diagonal), vector)


def _tridiagonal(diagonal: list[float], beside: list[float]) -> Tensor:
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if beside:
        off = torch.tensor(beside, dtype=torch.float64)
        matrix += torch.diag(off, 1) + torch.diag(off, -1)
    return matrix


def trace(product: Product, start: Tensor, probes: int = 8, seed: int = 0) -> tuple[float, float]:
    """The trace and its standard error, by Hutchinson's method with random signs.   start: (n,), for its kind only"""
    found, rng = [], torch.Generator().manual_seed(seed)  # the loss may draw, and be seeded anew for each batch
    for _ in range(probes):
        v = torch.randint(0, 2, start.shape, generator=rng).to(start) * 2 - 1
        found.append(float(torch.dot(v, product(v))))
    values = torch.tensor(found, dtype=torch.float64)
    return float(values.mean()), float(values.std() / probes**0.5)
