"""What is measured of a problem: the gradient of each batch and its spread, then curvature.

mean_gradient   one pass: losses, the mean gradient; slots of a fresh optimizer are filled on the way
spread          a second pass, against that mean
curvature       x = lr lambda as `stability` takes it, the largest eigenvalue and the trace of the Hessian
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from thalweg.errors import InputError, RuleError
from thalweg.optim.diagnosis.curvature import Eigenvalue, Hessian, largest, trace
from thalweg.optim.diagnosis.problem import OUTSIDE, Problem, reseed
from thalweg.optim.diagnosis.rates import Rates

Tell = Callable[[int], object]
CHECKED = 1_000_000  # parameters up to which products with the Hessian are checked against differences of gradients


@dataclass(frozen=True)
class Mean:
    """losses: of the batches; gradient: their mean, (n,); dead: names of tensors that no gradient reaches."""

    losses: list[float]
    gradient: torch.Tensor
    dead: list[str]


@dataclass(frozen=True)
class Spread:
    """By batch: squares |g_i|^2; dots g_i . mean; shaken: the sum over all numbers of their weight times (g_i - mean)^2."""

    squares: list[float]
    dots: list[float]
    shaken: list[float]


@dataclass(frozen=True)
class Curvature:
    """part: the largest eigenvalue of D^(1/2) H D^(1/2) and decay, with D = lr / P over the limit: 1 at the edge; None for an
    optimizer without one; sharpness: that of H; their errors hold Lanczos' and, where several batches were used, how these differ.
    trace: that of H and its standard error; exact: whether products with H are, or differences of gradients.
    """

    part: Eigenvalue | None
    sharpness: Eigenvalue
    trace: tuple[float, float]
    exact: bool


def mean_gradient(one: Problem, tell: Tell) -> Mean:
    """One pass over the batches; where the optimizer has no state yet, it is made by steps at rate 0, which fill its averages.

    Raises InputError for a gradient that is not finite, or reaches nothing.
    """
    fresh = not one.started
    rates = [group.get("lr") for group in one.optimizer.param_groups]
    losses = list[float]()
    total: torch.Tensor | None = None
    dead = set(one.names)
    for k in range(len(one.batches)):
        loss, found = one.gradient(k)
        losses.append(loss)
        dead -= {name for name, g in zip(one.names, found, strict=True) if g is not None and bool((g != 0).any())}
        broken = sorted(
            {name for name, g in zip(one.names, found, strict=True) if g is not None and not bool(torch.isfinite(g).all())}
        )
        if broken:
            msg = f"the gradient of {', '.join(broken[:3])} is not finite on batch {k + 1}, though the loss is"
            raise InputError(msg)
        if fresh:
            _rest(one, found)
        flat = one.flat(found)
        total = flat.clone() if total is None else total.add_(flat)
        tell(k + 1)
    for group, lr in zip(one.optimizer.param_groups, rates, strict=True):
        group["lr"] = lr
    if total is None or len(dead) == len(set(one.names)):
        msg = "no gradient reaches any parameter that the optimizer moves: a constant loss, or another model than it is given"
        raise InputError(msg)
    if OUTSIDE in dead:
        msg = "the optimizer moves parameters outside of the model that the loss does not reach in a copy of it: "
        raise InputError(msg + "put them into the model, or make the loss a torch.nn.Module that holds them")
    return Mean(losses, total / len(losses), sorted(dead))


def _rest(one: Problem, gradients: list[torch.Tensor | None]) -> None:
    """A step at rate 0: slots move, parameters do not."""
    for group in one.optimizer.param_groups:
        group["lr"] = 0.0
    for p, g in zip(one.parameters, gradients, strict=True):
        p.grad = g
    with contextlib.suppress(RuleError, TypeError):  # rules of several gradients ask for a closure, and keep no averages
        one.optimizer.step()
    for p in one.parameters:
        p.grad = None


def spread(one: Problem, mean: torch.Tensor, weights: torch.Tensor, tell: Tell) -> Spread:
    """A second pass: how the gradients of the batches lie about their mean. weights: of `shaken`, (n,)."""
    squares, dots, shaken = list[float](), list[float](), list[float]()
    for k in range(len(one.batches)):
        flat = one.flat(one.gradient(k)[1])
        squares.append(float((flat.double() ** 2).sum()) if flat.numel() < 1e6 else float(flat @ flat))
        dots.append(float(flat @ mean))
        shaken.append(float((flat - mean).square_().mul_(weights).sum()))
        tell(k + 1)
    return Spread(squares, dots, shaken)


def curvature(one: Problem, rates: Rates, batches: int, tell: Tell) -> Curvature:
    """From products with the Hessian of the mean loss of some batches."""
    hessian, spent = Hessian(one, batches), 0
    root, decay = rates.over_limit().clamp_min(0).sqrt().to(one.kind), rates.of_decay()

    def times(v: torch.Tensor) -> torch.Tensor:
        nonlocal spent
        spent += 1
        tell(spent)
        return hessian @ v

    def part_of(v: torch.Tensor) -> torch.Tensor:
        return root * times(root * v) if decay is None else root * times(root * v) + decay * v

    reseed(one.seed)
    start, part = torch.randn_like(root), None
    if one.n <= CHECKED:
        hessian.check(start / start.norm())
    if bool((root > 0).any()):
        part = _among(hessian, largest(part_of, start * (root > 0)), root)
    if part is not None and decay is None and bool((root == root[0]).all()):
        scale = float(root[0]) ** 2
        sharpness = Eigenvalue(part.value / scale, part.error / scale, 0)
    else:
        sharpness = _among(hessian, largest(times, start), torch.ones_like(root))
    return Curvature(part, sharpness, trace(times, start), hessian.exact)


def _among(hessian: Hessian, found: Eigenvalue, root: torch.Tensor) -> Eigenvalue:
    """The eigenvalue with the standard error of v . H_k v over the batches k added to its error."""
    if found.vector is None or hessian.batches < 2:
        return found
    v = root * found.vector
    values = [float(torch.dot(v, hessian.of_batch(k, v))) for k in range(hessian.batches)]
    return Eigenvalue(found.value, found.error + standard_error(values), found.steps)


def successive(one: Problem) -> list[float]:
    """The cosine of each gradient with the one before, along a step on each batch, until the run blows up. It moves the copy."""
    found, before = list[float](), torch.zeros(0)
    for k, batch in enumerate(one.batches):
        try:
            flat = one.flat(one.gradient(k)[1])
        except (InputError, RuntimeError, ValueError):  # on these batches it worked before the steps: the run has blown up
            break
        if k:
            found.append(float(flat @ before / (flat.norm() * before.norm()).clamp_min(1e-30)))
        before = flat
        reseed(one.seed + k)
        one.step(batch)
    return [each for each in found if math.isfinite(each)]


def standard_error(values: list[float]) -> float:
    """Of the mean of some numbers, NaN for fewer than two."""
    if len(values) < 2:
        return math.nan
    return float(torch.tensor(values, dtype=torch.float64).std()) / math.sqrt(len(values))
