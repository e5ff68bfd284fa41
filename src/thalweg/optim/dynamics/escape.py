"""How long noise takes to leave a well: dp = -L' dt + sqrt(2 T) dW in one dimension, with the temperature T of `stationary`.

The mean first-passage time from a to b is exact as a double integral,

    tau = 1/T  int_a^b dy e^(L(y)/T)  int_(-inf)^y dz e^(-L(z)/T)

and for wells that are deep beside T it is Kramers' (1940) 2 pi / sqrt(L''(well) |L''(top)|) e^(dL/T): a temperature half as high
takes the square of the time. Times are those of the flow p' = -L', so a step of gradient descent takes lr of them.
"""

from __future__ import annotations

import math

import numpy as np

from thalweg.energies.contract import Energy, Floats, value_and_gradient
from thalweg.errors import InputError

_POINTS = 200_001  # of the grid
_HIGH = 650.0  # e^650 is still a float
_DEEP = 45.0  # e^-45 of a well's weight is not missed


def escape_time(energy: Energy, start: float, end: float, temperature: float) -> float:
    """The mean time from start until end is first reached, in one dimension.

    On the far side of start the integral ends where the energy has risen by 45 temperatures: a well behind such a barrier counts as
    out of reach. Raises InputError for a temperature that is not above 0, for places that are not finite, and for an energy that
    does not rise on the far side of start.
    """
    _check_temperature(temperature)
    if not (math.isfinite(start) and math.isfinite(end)):
        msg = f"start={start!r}, end={end!r}: both must be finite"
        raise InputError(msg)
    evaluate = value_and_gradient(energy)

    def height(p: Floats) -> Floats:
        return evaluate(p[:, None])[0] / temperature

    away, far = math.copysign(1.0, start - end), 1.0  # the inner integral runs to where nothing is left
    floor = float(height(np.linspace(start, end, 1001)).min())
    while height(np.array([start + away * far]))[0] - floor < _DEEP:
        far *= 1.2
        if far > 1e6 * (1 + abs(start - end)):
            msg = f"the energy does not rise beyond {start:g}: what starts there need never come back"
            raise InputError(msg)
    grid = np.linspace(start + away * far, end, _POINTS)
    u = height(grid)
    inside = (grid - start) * away <= 0
    if float(u[inside].max()) - floor > _HIGH:
        raise InputError(_too_low(temperature))
    step = abs(grid[1] - grid[0])
    weight = np.exp(floor - u)
    inner = np.concatenate([[0.0], np.cumsum((weight[1:] + weight[:-1]) / 2 * step)])
    outer = np.exp(u[inside] - floor) * inner[inside]
    return float(np.trapezoid(outer, dx=step) / temperature)


def kramers_time(energy: Energy, well: float, top: float, temperature: float) -> float:
    """Kramers' formula for that time, from the curvatures at the bottom of a well and on top of the barrier.

    Raises InputError for a temperature that is not above 0, and where curvature and slope are not those of a well and of a top.
    """
    _check_temperature(temperature)
    evaluate = value_and_gradient(energy)
    step = 1e-5
    slopes = [evaluate(np.array([[p - step], [p + step]]))[1].ravel() for p in (well, top)]
    curvature = [float(after - before) / (2 * step) for before, after in slopes]
    if not curvature[0] > 0 > curvature[1]:
        msg = f"the curvature is {curvature[0]:.3g} at {well:g} and {curvature[1]:.3g} at {top:g}: give a minimum and a maximum"
        raise InputError(msg)
    for p, (before, after), bend in zip((well, top), slopes, curvature, strict=True):
        if abs(before + after) / 2 > 0.05 * abs(bend * (top - well)):
            msg = f"the slope is {(before + after) / 2:.3g} at {p:g}: give the bottom of the well and the top of the barrier"
            raise InputError(msg)
    rise = float(np.diff(evaluate(np.array([[well], [top]]))[0])[0])
    if rise / temperature > _HIGH:
        raise InputError(_too_low(temperature))
    return 2 * math.pi / math.sqrt(-curvature[0] * curvature[1]) * math.exp(rise / temperature)


def _check_temperature(temperature: float) -> None:
    if not (temperature > 0 and math.isfinite(temperature)):
        msg = f"temperature={temperature!r} must be above 0, and finite"
        raise InputError(msg)


def _too_low(temperature: float) -> str:
    return f"temperature={temperature!r} is too low for the barrier: nothing crosses it in a time that a float holds"
