"""Rounds of couplings and centres until they rest: what `SoftKMeans` runs, at a fixed temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from thalweg.capsules.blocks import Pass, one_pass
from thalweg.capsules.distances import DISTANCES, Distance, Floats, Rows, squares
from thalweg.progress import Progress

FAR = 100.0  # |mean|^2 over the variance from which coordinates are taken from the mean


@dataclass(frozen=True)
class Problem:
    """Rows as their distance takes them, moved by `origin` where that is allowed, so that large coordinates cost no digits."""

    given: Rows
    x: Rows
    base: Floats
    w: Floats
    distance: Distance
    origin: Floats
    threads: int | None

    def pass_at(self, centers: Floats, beta: float, *, sums: bool = True) -> Pass:
        return one_pass(self.x, self.base, self.distance.form(centers), beta, self.w, self.threads, sums=sums)


@dataclass
class Found:
    """A run: centres, how it went, and the pass at its end."""

    centers: Floats
    energies: list[float]
    rounds: int
    converged: bool
    last: Pass


def problem_of(x: Rows, w: Floats, name: str, threads: int | None, origin: Floats | None = None) -> Problem:
    chosen = DISTANCES[name]
    if origin is None:
        origin = origin_of(x, w) if name == "sqeuclidean" and not hasattr(x, "multiply") else np.zeros(x.shape[1])
    rows = chosen.rows(x - origin.astype(x.dtype) if origin.any() else x)
    return Problem(x, rows, chosen.base(rows), w, chosen, origin.astype(x.dtype).astype(np.float64), threads)


def origin_of(x: Rows, w: Floats) -> Floats:
    """The mean of rows that are far from zero for their spread, else zero: whole numbers stay whole, and their ties ties."""
    mean = np.average(x, axis=0, weights=w).astype(np.float64)
    square = float(mean @ mean)
    variance = float(np.average(squares(x), weights=w)) - square
    return mean if square > FAR * variance else np.zeros_like(mean)


def run(problem: Problem, centers: Floats, beta: float, max_iter: int, tol: float, told: Progress) -> Found:
    """Rounds until the centres rest. The last pass is at the centres that are returned."""
    energies, labels = [], None
    for rounds in range(1, max_iter + 1):
        now = problem.pass_at(centers, beta)
        if not math.isfinite(now.energy):
            msg = f"the squares of X do not fit in {problem.x.dtype}: bring its columns to a smaller scale"
            raise ValueError(msg)
        energies.append(now.energy)
        told(rounds, max_iter, phase="rounds", energy=now.energy)
        if math.isinf(beta):
            settled = labels is not None and np.array_equal(now.labels, labels)
            labels, before, now = now.labels, now, relocated(problem, now)
            if settled and now is before:
                return Found(centers, energies[:-1], rounds, True, now)
        moved = problem.distance.centre(now.sums, now.weights, centers)
        shift = float(((moved - centers) ** 2).sum())
        centers = moved
        if shift <= tol:
            break
    return Found(centers, energies, rounds, shift <= tol, problem.pass_at(centers, beta, sums=False))


def relocated(problem: Problem, now: Pass) -> Pass:
    """Where clusters have no rows: each gets one of the rows that are farthest from their centres, taken from their clusters."""
    empty = np.flatnonzero(now.weights == 0)
    if not len(empty):
        return now
    spread = now.least - problem.distance.spread(problem.x)
    far = np.argsort(-np.where(problem.w > 0, spread, -np.inf), kind="stable")[: len(empty)]
    far = far[(spread[far] > 0) & (problem.w[far] > 0)]  # rows at their centre have nothing to gain
    if not len(far):
        return now
    sums, weights = now.sums.copy(), now.weights.copy()
    for j, i in zip(empty, far, strict=False):
        row = problem.x[[i]]
        share = problem.w[i] * np.asarray(row.toarray() if hasattr(row, "multiply") else row, np.float64)[0]
        sums[now.labels[i]] -= share
        weights[now.labels[i]] -= problem.w[i]
        sums[j], weights[j] = share, problem.w[i]
    return Pass(weights, sums, now.energy, now.labels, now.least)


def natural_temperature(problem: Problem, hard: Found) -> float:
    """1 / (2 s^2), s^2 the mean variance of a coordinate within the hard clusters; inf where every row is its centre."""
    d = problem.x.shape[1]
    total = float(problem.w @ np.maximum(hard.last.least - problem.distance.spread(problem.x), 0))
    if not total > 1e-12 * float(problem.w @ np.abs(problem.base - problem.distance.spread(problem.x))):
        return math.inf
    per_row = total / float(problem.w.sum())
    # of unit vectors 1 - cosine is half the squared distance, in one dimension less
    return float(d if problem.distance is DISTANCES["sqeuclidean"] else max(1, d - 1)) / (2 * per_row)
