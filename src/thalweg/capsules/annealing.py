"""Deterministic annealing: centres that begin together at the mean and part one after another as the temperature falls.

Below b_c = 1 / (2 lambda), lambda the largest variance of the rows in any direction, the mean is the minimum and all centres stand
there; past it one cluster splits, and so on. Followed from b_c on, each minimum begins at the one before, so the result hardly
depends on chance, where k-means++ draws. Source: Rose, Gurewitz and Fox 1990, Pattern Recognition Letters 11(9).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from thalweg.capsules.distances import Floats, squares
from thalweg.capsules.rounds import Found, Problem, run
from thalweg.progress import Progress

FACTOR = 1.2  # of the inverse temperature from one minimum to the next
NUDGE, APART = 1e-3, 1e-2  # in standard deviations: how far centres are pushed before each, and from which they count as two
SURE = 0.999  # mean of the largest coupling of a row from which clusters are hard


@dataclass(frozen=True)
class Split:
    """From this inverse temperature on there are so many different centres."""

    inverse_temperature: float
    centers: int


def critical(problem: Problem) -> float:
    """b_c of rows whose distance is |u - v|^2; inf where all are equal."""
    w = problem.w / problem.w.sum()
    x = problem.x
    mean = np.asarray(x.T @ w).reshape(-1)
    weighted = x.multiply(w[:, None]).tocsr() if hasattr(x, "multiply") else x * w[:, None]
    product = weighted.T @ x
    covariance = np.asarray(product.toarray() if hasattr(product, "toarray") else product, np.float64) - np.outer(mean, mean)
    largest = float(np.linalg.eigvalsh(covariance)[-1])
    return 1 / (2 * largest) if largest > 1e-12 * float(squares(x) @ w) else math.inf


def annealed(
    problem: Problem,
    k: int,
    end: float,
    start: float,
    factor: float,
    random: np.random.RandomState,
    limits: tuple[int, float],
    told: Progress,
) -> tuple[Found, list[Split]]:
    """The minimum at `end`, followed from `start` with steps of `factor`, and where centres parted.

    limits: rounds at most, and how still centres have to be, for each temperature.
    """
    w = problem.w / problem.w.sum()
    mean = np.asarray(problem.x.T @ w).reshape(-1)
    spread = math.sqrt(max(0.0, float(squares(problem.x) @ w - mean @ mean)) / len(mean))
    centers, splits, beta = np.repeat(mean[None], k, axis=0).astype(np.float64), list[Split](), min(start, end)
    rounds, tol = limits
    still = min(tol, (NUDGE * spread / 10) ** 2)  # a push that grows is small at first: by a coarser measure it would rest
    while True:
        centers = centers + NUDGE * spread * random.standard_normal(centers.shape)
        found = run(problem, centers, beta, rounds, still, told)
        centers, n = found.centers, different(found.centers, APART * spread)
        if n > (splits[-1].centers if splits else 1):
            splits.append(Split(beta, n))
        if beta >= end:
            return found, splits
        beta = beta * factor
        if beta >= end or (math.isinf(end) and _is_hard(problem, centers, beta)):
            beta = end


def different(centers: Floats, apart: float) -> int:
    """How many centres are farther than `apart` from all that come before them."""
    kept: list[Floats] = []
    for center in centers:
        if all(math.dist(center, other) > apart for other in kept):
            kept.append(center)
    return len(kept)


def _is_hard(problem: Problem, centers: Floats, beta: float) -> bool:
    """Whether rows belong to one cluster each: the energy is that of hard clusters, up to 1 - SURE of a row's share."""
    soft, hard = (problem.pass_at(centers, b, sums=False).energy for b in (beta, math.inf))
    return (hard - soft) * beta <= (1 - SURE) * float(problem.w.sum())
