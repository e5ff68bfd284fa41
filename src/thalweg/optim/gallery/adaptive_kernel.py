"""What the page on adaptive rates computes, in plain Python: the twin of adaptive.js, which a test compares to 1e-12.

v is the average of g^2, lr the rate that a rule is given, and the rate of a step what it multiplies g by. eps is 0 everywhere. The
formulas are those of `thalweg.optim`, and a test compares these too.
"""

from __future__ import annotations

import math

TOP, END = 3.0, 0.5  # where the gauge's paths begin and end
ALONG, ACROSS = 2.0, 1.0  # where a path in the bowl begins, in the directions of curvatures 1 and `curvature`
FIRST = 0.8137  # where the circling paths begin: no multiple of a rate, which would end exactly at 0
FAR, STEEP = -8.0, 4.0  # where the valley's paths begin, and how soon its wall ends


# ---- the gauge: L = p^4 / 4, whose flow is known


def flow(p: float, time: float) -> float:
    """dp/dt = -p^3."""
    return p / math.sqrt(1 + 2 * p * p * time)


def paced(way: str, lr: float, alpha: float, steps: int) -> list[list[float]]:
    """(p, rate of the step, its local error) until p is below END: how far the step ends from the flow that begins where it does.

    way: "fixed", the rate is lr; "adaptive", it is lr / sqrt(v), with v = g^2 at the start.
    """
    p, path = TOP, []
    v = p * p * p * (p * p * p)
    for _ in range(steps):
        g = p * p * p
        v = alpha * v + (1 - alpha) * (g * g)
        rate = lr if way == "fixed" else lr / math.sqrt(v)
        after = p - rate * g
        path.append([p, rate, abs(after - flow(p, rate))])
        p = after
        if not END < p < 10:
            break
    return path


# ---- one rate or one for each coordinate


def tilted(way: str, curvature: float, angle: float, lr: float, steps: int) -> list[list[float]]:
    """(x, y, L) of AdaGrad in a bowl of curvatures 1 and `curvature`, turned by an angle.

    way: "vector" adds up g^2 for each coordinate, "scalar" |g|^2 for both.
    """
    c, s = math.cos(angle), math.sin(angle)
    x, y = c * ALONG - s * ACROSS, s * ALONG + c * ACROSS
    gx = gy = 0.0
    path = []
    for k in range(steps + 1):
        along, across = c * x + s * y, c * y - s * x
        path.append([x, y, (along * along + curvature * across * across) / 2])
        if k == steps:
            break
        a, b = c * along - s * curvature * across, s * along + c * curvature * across
        gx, gy = (gx + a * a, gy + b * b) if way == "vector" else (gx + a * a + b * b, gy + a * a + b * b)
        x, y = (x - lr * a / math.sqrt(gx) if gx > 0 else x), (y - lr * b / math.sqrt(gy) if gy > 0 else y)
    return path


def arrival(path: list[list[float]]) -> int:
    """The first step at which L is a thousandth of what it was; -1 if there is none."""
    return next((k for k, (_, _, height) in enumerate(path) if height <= path[0][2] / 1000), -1)


# ---- never stops, stops too early


def circle(lr: float, alpha: float, steps: int) -> list[float]:
    """RMSprop on p^2 / 2 from FIRST, with v = g^2 at the start; alpha = 0 is signSGD."""
    p, v, path = FIRST, FIRST * FIRST, [FIRST]
    for _ in range(steps):
        v = alpha * v + (1 - alpha) * (p * p)
        p = p - lr * (p / math.sqrt(v)) if v > 0 else p
        path.append(p)
    return path


def swing(path: list[float], last: int) -> float:
    """Half the distance between the ends of the last points."""
    return (max(path[-last:]) - min(path[-last:])) / 2


def slope(wall: float, p: float) -> float:
    """Of the valley L = sqrt(1 + p^2) + wall / STEEP exp(-STEEP (p - FAR)): a wall, then a slope of about 1 down to 0."""
    return p / math.sqrt(1 + p * p) - wall * math.exp(-STEEP * (p - FAR))


def valley(way: str, lr: float, wall: float, alpha: float, steps: int) -> list[list[float]]:
    """(p, rate of the step to come) of way "adagrad", or of "rmsprop" with v = g^2 at the start."""
    p, total, path = FAR, 0.0, []
    v = slope(wall, p) * slope(wall, p)
    for _ in range(steps + 1):
        g = slope(wall, p)
        total += g * g
        v = alpha * v + (1 - alpha) * (g * g)
        under = total if way == "adagrad" else v
        rate = lr / math.sqrt(under) if under > 0 else 0.0
        path.append([p, rate])
        p = p - rate * g
    return path
