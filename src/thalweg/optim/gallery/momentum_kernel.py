"""What the page on momentum computes, in plain Python: the twin of momentum.js, which a test compares to 1e-12.

One coordinate, or two in the bowl. lr is the rate, x = lr * curvature, friction that of p'' + friction p' + L' = 0, where a unit of
time is 1 / sqrt(lr) steps. The formulas are those of `thalweg.optim`, and a test compares these too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

CURVATURES, BEGIN = (1.0, 8.0), (-2.0, 0.9)  # of the bowl, and where its paths begin
REST = -1.45  # where the ball is let go
FINE = 0.01  # time step of `glide`
P0, LR = 1.0, 0.1  # of the runs on a parabola
LAND = {"bowl": 0.0, "wells": -1.0}  # where the noisy runs begin
SEED = 7


# ---- descent and its flow


def euler(lr: float, time: float) -> list[tuple[float, float]]:
    """Gradient descent in the bowl: the points of all steps within this time."""
    x, y = BEGIN
    path = [(x, y)]
    for _ in range(math.floor(time / lr + 1e-9)):
        x, y = x - lr * CURVATURES[0] * x, y - lr * CURVATURES[1] * y
        path.append((x, y))
    return path


def flow(t: float) -> tuple[float, float]:
    return BEGIN[0] * math.exp(-CURVATURES[0] * t), BEGIN[1] * math.exp(-CURVATURES[1] * t)


def off(lr: float, time: float) -> float:
    """The largest distance of the steps from the flow at the same times."""
    return max(math.hypot(x - flow(k * lr)[0], y - flow(k * lr)[1]) for k, (x, y) in enumerate(euler(lr, time)))


# ---- two wells


def slope(land: str, p: float) -> float:
    return p if land == "bowl" else p * p * p - p - 0.1


def height(land: str, p: float) -> float:
    return p * p / 2 if land == "bowl" else (p * p - 1) * (p * p - 1) / 4 - 0.1 * p


def roll(lr: float, momentum: float, steps: int) -> list[float]:
    """The heavy ball in the two wells, let go at REST."""
    p, m, path = REST, 0.0, [REST]
    for _ in range(steps):
        m = momentum * m + slope("wells", p)
        p = p - lr * m
        path.append(p)
    return path


def crossing(lr: float, momentum: float, top: float, steps: int) -> int:
    """The first step beyond the top between the wells; -1 if there is none."""
    return next((k for k, p in enumerate(roll(lr, momentum, steps)) if p > top), -1)


def least_momentum(lr: float, top: float) -> float:
    """The smallest momentum that crosses, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        if crossing(lr, middle, top, 1000) < 0:
            low = middle
        else:
            high = middle
    return high


def glide(friction: float, n: int) -> list[float]:
    """The flow p'' + friction p' + L' = 0 from rest at REST, at n + 1 times FINE apart; the classical Runge-Kutta method."""
    p, v, path, h = REST, 0.0, [REST], FINE

    def force(p: float, v: float) -> float:
        return -friction * v - slope("wells", p)

    for _ in range(n):
        a = force(p, v)
        b = force(p + h / 2 * v, v + h / 2 * a)
        c = force(p + h / 2 * (v + h / 2 * a), v + h / 2 * b)
        d = force(p + h * (v + h / 2 * b), v + h * c)
        p, v = p + h * v + h * h / 6 * (a + b + c), v + h / 6 * (a + 2 * b + 2 * c + d)
        path.append(p)
    return path


def friction_limit(top: float) -> float:
    """The friction below which the flow crosses, by bisection. The page carries this number; its script does not compute it."""
    low, high = 0.0, 2.0
    for _ in range(30):
        middle = (low + high) / 2
        if max(glide(middle, 4000)) > top:
            low = middle
        else:
            high = middle
    return low


# ---- noise


class Noise:
    """Normal numbers: mulberry32 (32 bits of state), and Box and Muller's transform."""

    def __init__(self, seed: int) -> None:
        self.state, self.spare = seed, math.nan

    def uniform(self) -> float:
        self.state = (self.state + 0x6D2B79F5) & 0xFFFFFFFF
        t = self.state
        t = ((t ^ t >> 15) * (t | 1)) & 0xFFFFFFFF
        t ^= (t + ((t ^ t >> 7) * (t | 61))) & 0xFFFFFFFF
        return (t ^ t >> 14) / 4294967296

    def normal(self) -> float:
        if not math.isnan(self.spare):
            z, self.spare = self.spare, math.nan
            return z
        length, angle = math.sqrt(-2 * math.log(1 - self.uniform())), 2 * math.pi * self.uniform()
        self.spare = length * math.sin(angle)
        return length * math.cos(angle)


def shake(land: str, lr: float, momentum: float, deviation: float, steps: int) -> list[float]:
    """The heavy ball with noise of this standard deviation in the gradient; it ends where it leaves [-1e3, 1e3]."""
    p, m, noise, path = LAND[land], 0.0, Noise(SEED), []
    for _ in range(steps):
        m = momentum * m + slope(land, p) + deviation * noise.normal()
        p = p - lr * m
        if not abs(p) < 1e3:
            break
        path.append(p)
    return path


def density(land: str, temperature: float, low: float, high: float, n: int) -> list[float]:
    """exp(-L / T) at the middles of n bins, as shares of the sum."""
    points = [low + (k + 0.5) * (high - low) / n for k in range(n)]
    floor = min(height(land, p) for p in points)
    weights = [math.exp((floor - height(land, p)) / temperature) for p in points]
    total = 0.0
    for weight in weights:
        total += weight
    return [weight / total for weight in weights]


def temperature(lr: float, momentum: float, variance: float) -> float:
    """T = lr variance / (2 (1 - momentum)), for noise of this variance in the gradient."""
    return lr * variance / (2 * (1 - momentum))


def exact(lr: float, momentum: float, variance: float) -> float:
    """The same on a parabola of curvature 1, at any rate that is stable."""
    return lr * variance * (1 + momentum) / ((1 - momentum) * (2 * (1 + momentum) - lr))


def pair(ratio: float, momentum: float, batch: int, samples: int) -> tuple[list[float], list[float]]:
    """Two runs on p^2/2 that see the same samples: descent one by one, at the rate `ratio`, and the heavy ball with batches.

    The second has the rate ratio (1 - momentum) batch. Points after each sample, and after each batch.
    """
    noise, lr = Noise(SEED), ratio * (1 - momentum) * batch
    p = q = 0.5
    m = total = 0.0
    single, other = [p], [q]
    for i in range(1, samples + 1):
        z = noise.normal()
        p = p - ratio * (p + z)
        single.append(p)
        total += z
        if i % batch == 0:
            m = momentum * m + (q + total / batch)
            q, total = q - lr * m, 0.0
            other.append(q)
    return single, other


def between(one: list[float], other: list[float], batch: int) -> float:
    """Root mean square of the distance between the two runs, at the samples where both have a point."""
    total = 0.0
    for k, q in enumerate(other):
        total += (q - one[k * batch]) * (q - one[k * batch])
    return math.sqrt(total / len(other))


# ---- Nesterov, and the map


def three_ways(x: float, momentum: float, steps: int) -> list[list[float]]:
    """Nesterov's p as torch and Keras write it, the look-ahead form's own point, and that point + momentum * v."""
    curvature = x / LR
    p, m = P0, 0.0
    k, u = P0, 0.0
    look, v = P0, 0.0
    paths = [[P0], [P0], [P0], [P0]]
    for _ in range(steps):
        g = curvature * p
        m = momentum * m + g
        p = p - LR * (g + momentum * m)
        g = curvature * k
        u = momentum * u - LR * g
        k = k + (momentum * u - LR * g)
        v = momentum * v - LR * (curvature * (look + momentum * v))
        look = look + v
        for path, point in zip(paths, (p, k, look, look + momentum * v), strict=True):
            path.append(point)
    return paths


def heavy(x: float, momentum: float, steps: int) -> list[float]:
    """The heavy ball on the same parabola."""
    p, m, path = P0, 0.0, [P0]
    for _ in range(steps):
        m = momentum * m + x / LR * p
        p = p - LR * m
        path.append(p)
    return path


def radius(rule: str, x: float, momentum: float) -> float:
    """The spectral radius of a step: the larger root of z^2 - trace z + determinant."""
    keep = 1 - x if rule == "nesterov" else 1.0
    trace, determinant = ((1 + momentum) * keep if rule == "nesterov" else 1 + momentum - x), momentum * keep
    inside = trace * trace / 4 - determinant
    return math.sqrt(determinant) if inside < 0 else abs(trace) / 2 + math.sqrt(inside)


def limit(rule: str, momentum: float) -> float:
    """The largest stable x."""
    return 2 * (1 + momentum) / (1 + 2 * momentum) if rule == "nesterov" else 2 * (1 + momentum)


Path = Callable[[float, float, int], list[float]]
RUNS: dict[str, Path] = {"heavyball": heavy, "nesterov": lambda x, momentum, steps: three_ways(x, momentum, steps)[0]}
