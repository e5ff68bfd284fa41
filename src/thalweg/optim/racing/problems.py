"""The problems of a race: a start for each seed, losses and gradients of many points at once, and what counts as arrived.

A point is one row of d parameters. Points come as p (seeds, rates, d), so that one call moves every seed of every rate; `rows`
(seeds, batch) are the samples of each seed's mini-batch, None all of them. The gap of a point is its loss above `least`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from thalweg.energies import Beale, DoubleWell, Energy, Parabola, Rosenbrock, value_and_gradient
from thalweg.energies.contract import Floats, as_points, name_of
from thalweg.errors import InputError

Rows: TypeAlias = npt.NDArray[np.int64]
Evaluate: TypeAlias = Callable[[Floats, Rows | None], tuple[Floats, Floats]]


@dataclass(frozen=True, eq=False)
class Problem:
    """start(rng) -> (d,); evaluate(p, rows) -> losses (seeds, rates) and gradients (seeds, rates, d)."""

    name: str
    start: Callable[[np.random.Generator], Floats]
    evaluate: Evaluate
    target: float  # a gap of at most this much has arrived
    least: float = 0.0  # the least loss
    samples: int = 0  # 0: there are no mini-batches
    batch: int = 0


def of_energy(
    energy: Energy, start: npt.ArrayLike, *, name: str = "", target: float = 1e-3, least: float = 0.0, spread: float = 0.1
) -> Problem:
    """A problem from an energy of `thalweg.energies` or your own: seeds start from N(start, spread^2).   start: (d,)

    Raises EnergyError for an energy without a gradient, InputError for a start that is not one point.
    """
    points, evaluate = as_points(start), value_and_gradient(energy)
    if len(points) != 1:
        msg = f"start has shape {np.shape(start)}; give one point of shape (d,)"
        raise InputError(msg)

    def flat(p: Floats, rows: Rows | None) -> tuple[Floats, Floats]:
        losses, gradients = evaluate(p.reshape(-1, p.shape[-1]))
        return losses.reshape(p.shape[:-1]), gradients.reshape(p.shape)

    def around(rng: np.random.Generator) -> Floats:
        return np.asarray(points[0] + spread * rng.standard_normal(points.shape[1]))

    flat(points[None], None)  # what is wrong with the energy is said here
    return Problem(name or name_of(energy), around, flat, target, least)


def parabola(kappa: float = 100.0) -> Problem:
    """Curvatures 1 and kappa: with rate lr, gradient descent goes p_t = (1 - lr curvature)^t p_0."""
    return of_energy(Parabola.conditioned(kappa), [1.0, 1.0], name="parabola", target=1e-6)


def rosenbrock() -> Problem:
    """A curved valley, from the far side of the bend."""
    return of_energy(Rosenbrock(), [-1.2, 1.0], name="rosenbrock", target=1e-2)


def double_well() -> Problem:
    """Started in the higher well, the deeper one behind the barrier: whoever only goes down stays."""
    energy = DoubleWell(tilt=-0.1)
    return of_energy(energy, [-1.4], name="double-well", target=1e-3, least=energy.least, spread=0.03)


def beale() -> Problem:
    """Plateaus with steep corners."""
    return of_energy(Beale(), [1.0, 1.0], name="beale", target=1e-3)


def logistic(n: int = 256, d: int = 8, batch: int = 16) -> Problem:
    """Logistic regression, features of sizes 1 to 10: mean of log(1 + exp(-y <x, w>)) + |w|^2 / 2000, y = -1 or 1."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d)) * np.geomspace(1, 10, d)  # (n, d)
    y = np.sign(x @ (rng.standard_normal(d) / np.geomspace(1, 10, d)) + 0.5 * rng.standard_normal(n))

    def evaluate(p: Floats, rows: Rows | None) -> tuple[Floats, Floats]:
        xs, ys = (x[None], y[None, None]) if rows is None else (x[rows], y[rows][:, None])  # (seeds, b, d), (seeds, 1, b)
        margins = ys * (xs[:, None] @ p[..., None])[..., 0]  # (seeds, rates, b)
        slopes = -ys * _sigmoid(-margins) / margins.shape[-1]
        losses = np.logaddexp(0, -margins).mean(axis=-1) + (p * p).sum(axis=-1) / 2000
        return losses, (slopes[..., None, :] @ xs[:, None])[..., 0, :] + p / 1000

    least = _newton(x, y)
    return Problem("logistic", lambda rng: 0.1 * rng.standard_normal(d), evaluate, 0.01, least, n, batch)


def _newton(x: Floats, y: Floats) -> float:
    """The least loss of the logistic regression."""
    w = np.zeros(x.shape[1])
    for _ in range(50):
        margins = y * (x @ w)
        share = _sigmoid(-margins)
        slope = -(y * share) @ x / len(x) + w / 1000
        w = w - np.linalg.solve((x * (share * (1 - share) / len(x))[:, None]).T @ x + np.eye(len(w)) / 1000, slope)
    return float(np.logaddexp(0, -y * (x @ w)).mean() + w @ w / 2000)


def spirals(n: int = 128, hidden: int = 24, batch: int = 32) -> Problem:
    """Two spirals told apart by a network with one layer of tanh: mean of log(1 + exp(-y z(x)))."""
    rng = np.random.default_rng(0)
    angle, y = np.repeat(np.linspace(0.5, 7.5, n // 2), 2), np.tile([1.0, -1.0], n // 2)
    x = (y * angle / 4)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.03 * rng.standard_normal((n, 2))

    def evaluate(p: Floats, rows: Rows | None) -> tuple[Floats, Floats]:
        xs, ys = (x[None], y[None, None]) if rows is None else (x[rows], y[rows][:, None])  # (seeds, b, 2), (seeds, 1, b)
        xs = xs[:, None]
        first, shift, last = np.split(p[..., :-1], [2 * hidden, 3 * hidden], axis=-1)
        first = first.reshape(*p.shape[:-1], 2, hidden)
        units = np.tanh(xs @ first + shift[..., None, :])  # (seeds, rates, b, hidden)
        margins = ys * ((units @ last[..., None])[..., 0] + p[..., -1:])  # (seeds, rates, b)
        slopes = -ys * _sigmoid(-margins) / margins.shape[-1]
        back = slopes[..., None] * last[..., None, :] * (1 - units * units)  # (seeds, rates, b, hidden)
        gradient = [
            (xs.swapaxes(-1, -2) @ back).reshape(*p.shape[:-1], -1),
            back.sum(axis=-2),
            (slopes[..., None, :] @ units)[..., 0, :],
            slopes.sum(axis=-1, keepdims=True),
        ]
        return np.logaddexp(0, -margins).mean(axis=-1), np.concatenate(gradient, axis=-1)

    return Problem("spirals", lambda rng: rng.standard_normal(4 * hidden + 1), evaluate, 0.1, 0.0, n, batch)


def factorisation(rows: int = 10, columns: int = 8, rank: int = 3) -> Problem:
    """Find a matrix again from two thin ones: |U V' - M|^2 / 2. Its flat point at 0 is a saddle, where the race starts."""
    rng = np.random.default_rng(0)
    wanted = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, columns))

    def evaluate(p: Floats, _: Rows | None) -> tuple[Floats, Floats]:
        left = p[..., : rows * rank].reshape(*p.shape[:-1], rows, rank)
        right = p[..., rows * rank :].reshape(*p.shape[:-1], rank, columns)
        miss = left @ right - wanted
        slopes = (miss @ right.swapaxes(-1, -2), left.swapaxes(-1, -2) @ miss)
        return (miss * miss).sum(axis=(-1, -2)) / 2, np.concatenate([each.reshape(*p.shape[:-1], -1) for each in slopes], axis=-1)

    size = rank * (rows + columns)
    return Problem("factorisation", lambda rng: 0.1 * rng.standard_normal(size), evaluate, 1e-3)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "parabola": parabola,
    "rosenbrock": rosenbrock,
    "double-well": double_well,
    "beale": beale,
    "logistic": logistic,
    "spirals": spirals,
    "factorisation": factorisation,
}


def as_problem(given: Any, name: str) -> Problem:
    """What a user's file holds as a problem: a Problem, a function that makes one, or an energy with a `start`. InputError."""
    made = given() if isinstance(given, type) or (callable(given) and not hasattr(given, "gradient")) else given
    if isinstance(made, Problem):
        return replace(made, name=name)
    start = getattr(made, "start", None)
    if start is None or not hasattr(made, "gradient"):
        msg = f"{name} is no problem to race on: give an energy with .gradient(x) and .start, or an optim.problems.Problem"
        raise InputError(msg)
    return of_energy(made, start, name=name, target=float(getattr(made, "target", 1e-3)), least=float(getattr(made, "least", 0.0)))
