"""What the page on custom optimizers computes, in plain Python: the twin of custom.js, which a test compares to 1e-12.

Two coordinates, as numbers. `walk` follows a rule on a landscape; `soft` accumulates micro-batches of a regression, or not. The
formulas are those of `thalweg.optim` and `thalweg.energies`, and a test compares these too.
"""

from __future__ import annotations

import math
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]

STARTS: dict[str, Point] = {"wells": (-1.45, 1.0), "valley": (-1.2, 1.0), "bowl": (-2.0, 1.0), "plateau": (1.0, 1.2)}
RULES = ("sgd", "heavyball", "nesterov", "rmsprop", "adam", "lion", "heun")
ALPHA, B2, LION, EPS = 0.9, 0.999, 0.99, 1e-8  # of RMSprop, Adam and Lion; the knob is momentum, or Adam's and Lion's b1
CORNERS = (1.5, 2.25, 2.625)  # Beale's constants
MICRO = 2  # samples of a micro-batch


def value(name: str, p: Point) -> float:
    """The height of a landscape."""
    x, y = p
    if name == "wells":
        return (x * x - 1) * (x * x - 1) / 4 - 0.1 * x + y * y / 2
    if name == "valley":
        return (1 - x) * (1 - x) + 100 * (y - x * x) * (y - x * x)
    if name == "bowl":
        return (x * x + 25 * y * y) / 2
    return sum((c - x + x * z) * (c - x + x * z) for c, z in zip(CORNERS, (y, y * y, y * y * y), strict=True))


def slope(name: str, p: Point) -> Point:
    """Its gradient."""
    x, y = p
    if name == "wells":
        return x * x * x - x - 0.1, y
    if name == "valley":
        off = y - x * x
        return -2 * (1 - x) - 400 * x * off, 200 * off
    if name == "bowl":
        return x, 25 * y
    across = along = 0.0
    for c, z, dz in zip(CORNERS, (y, y * y, y * y * y), (1, 2 * y, 3 * y * y), strict=True):
        miss = 2 * (c - x + x * z)
        across, along = across + miss * (z - 1), along + miss * x * dz
    return across, along


class Mover:
    """One of RULES with its state: `step(p, g)` for a step, and `t` of them done."""

    def __init__(self, rule: str, lr: float, momentum: float) -> None:
        self.rule, self.lr, self.momentum = rule, lr, momentum
        self.m, self.v = [0.0, 0.0], [0.0, 0.0]
        self.c1 = self.c2 = 1.0  # momentum^t and B2^t

    def step(self, p: Point, g: Point) -> Point:
        self.c1, self.c2 = self.c1 * self.momentum, self.c2 * B2
        return self._moved(0, p[0], g[0]), self._moved(1, p[1], g[1])

    def _moved(self, k: int, p: float, g: float) -> float:
        lr, b = self.lr, self.momentum
        if self.rule == "heavyball":
            self.m[k] = b * self.m[k] + g
            return p - lr * self.m[k]
        if self.rule == "nesterov":
            self.m[k] = b * self.m[k] + g
            return p - lr * (g + b * self.m[k])
        if self.rule == "rmsprop":
            self.v[k] = self.v[k] + (1 - ALPHA) * (g * g - self.v[k])
            return p - lr * g / (math.sqrt(self.v[k]) + EPS)
        if self.rule == "adam":
            self.m[k] = self.m[k] + (1 - b) * (g - self.m[k])
            self.v[k] = self.v[k] + (1 - B2) * (g * g - self.v[k])
            return p - lr / (1 - self.c1) * self.m[k] / (math.sqrt(self.v[k] / (1 - self.c2)) + EPS)
        if self.rule == "lion":
            ahead = self.m[k] + (1 - b) * (g - self.m[k])
            self.m[k] = self.m[k] + (1 - LION) * (g - self.m[k])
            return p - lr * ((ahead > 0) - (ahead < 0))
        return p - lr * g


def walk(name: str, rule: str, lr: float, momentum: float, gradients: int) -> list[list[float]]:
    """(x, y, height, gradients so far) of the start and after each step; it ends where the height is 1e9 or no number."""
    p, mover, spent = STARTS[name], Mover(rule, lr, momentum), 0
    path = [[*p, value(name, p), 0.0]]
    while spent + (2 if rule == "heun" else 1) <= gradients:
        g = slope(name, p)
        spent += 1
        if rule == "heun":
            other = slope(name, (p[0] - lr * g[0], p[1] - lr * g[1]))
            g = (g[0] + other[0]) / 2, (g[1] + other[1]) / 2
            spent += 1
        p = mover.step(p, g)
        height = value(name, p)
        if not height < 1e9:
            break
        path.append([*p, height, float(spent)])
    return path


def soft(way: str, rule: str, lr: float, k: int, updates: int, samples: list[list[float]]) -> list[list[float]]:
    """Fit y = p0 + p1 a to samples (a, y): the points after each update of k micro-batches.

    way: "big" takes the k micro-batches as one batch, "soft" adds up their gradients and steps with the mean, "skip" lets the rule
    see each micro-batch and moves the point only at every k-th.
    """
    p, mover, path, place = (0.0, 0.0), Mover(rule, lr, 0.9), [[0.0, 0.0]], 0
    for _ in range(updates):
        total, moved = (0.0, 0.0), p
        for _ in range(1 if way == "big" else k):
            n = MICRO * k if way == "big" else MICRO
            rows = [samples[(place + i) % len(samples)] for i in range(n)]
            place += n
            misses = [p[0] + p[1] * a - y for a, y in rows]
            g = sum(misses) / n, sum(miss * a for miss, (a, _) in zip(misses, rows, strict=True)) / n
            if way == "skip":
                moved = mover.step(p, g)
            else:
                total = total[0] + g[0], total[1] + g[1]
        n_sums = 1 if way == "big" else k
        p = moved if way == "skip" else mover.step(p, (total[0] / n_sums, total[1] / n_sums))
        path.append([*p])
    return path


def apart(one: list[list[float]], other: list[list[float]]) -> float:
    """The largest distance between two paths."""
    return max(math.hypot(a[0] - b[0], a[1] - b[1]) for a, b in zip(one, other, strict=True))


def from_flow(rule: str, lr: float, gradients: int) -> float:
    """How far the last point in the bowl is from dp/dt = -grad at the same time: (x e^-t, y e^-25t)."""
    last = walk("bowl", rule, lr, 0.0, gradients)[-1]
    t = lr * last[3] / (2 if rule == "heun" else 1)
    x, y = STARTS["bowl"]
    return math.hypot(last[0] - x * math.exp(-t), last[1] - y * math.exp(-25 * t))
