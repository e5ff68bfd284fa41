"""Runge-Kutta pairs that choose their own step: two methods share their gradients, and their difference is the error of a step.

A step of h is accepted if |e| <= tol (1 + |p|), norms over all tensors; a rejected one leaves p where it is and is repeated on the
same batch. Either way the next h is h clip(0.9 size^(-1/q), 0.2, 5), size = |e| / (tol (1 + |p|)), and does not grow right after a
rejection (Hairer, Norsett and Wanner, "Solving ordinary differential equations I", section II.4).

They follow dp/dt = -grad L to a tolerance; the error control of the essay on optimizers as integrators (Su 2018, kexue.fm 5655),
whose author notes that such methods train no better. lr is the first h; schedules have no hold on the later ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from thalweg.optim.language.fields import const, rate
from thalweg.optim.language.state import Slots, Stages, State, Value
from thalweg.optim.ops import clip, norm, where
from thalweg.optim.rules.staged import Staged

Row = tuple[float, ...]


@dataclass(frozen=True)
class Embedded(Staged):
    """k_i = grad L(p - h sum_j a_ij k_j); p = p - h sum_i b_i k_i, where the last row of `a` is b; e = h sum_i d_i k_i."""

    lr: float = rate(1e-3)
    tol: float = const(1e-3)

    scalars = Slots(h="lr", accepted=1)
    a: ClassVar[tuple[Row, ...]]
    d: ClassVar[Row]  # b minus the weights of the other method
    q: ClassVar[int]  # the error of a step goes with h^q

    def stages(self, p: Value, s: State, t: Value) -> Stages:
        g = yield p
        start, k = (p, [g + self.wd * p]) if self.decay == "coupled" else (p * (1 - s.h * self.wd), [g])
        end = start
        for row in self.a:
            end = start - s.h * _sum(row, k)
            k.append(self.slope(end, (yield end)))
        size = norm(s.h * _sum(self.d, k), "all") / (self.tol * (1 + norm(p, "all")))
        accepted = size <= 1
        factor = clip(0.9 * size ** (-1 / self.q), 0.2, where(s.accepted > 0, 5, 1))
        factor = where(size < math.inf, factor, 0.2)  # NaN and infinite errors
        return where(accepted, end, p), s(h=s.h * factor, accepted=where(accepted, 1, 0))


def _sum(weights: Sequence[float], k: Sequence[Value]) -> Value:
    return sum(weight * each for weight, each in zip(weights, k, strict=True) if weight)


@dataclass(frozen=True)
class RK23(Embedded):
    """Order 3 with an error of order 2, four gradients; of lr, the first step, the error `tol` makes the others.

    Source: Bogacki and Shampine 1989, Appl. Math. Lett. 2(4).
    """

    a: ClassVar[tuple[Row, ...]] = ((1 / 2,), (0, 3 / 4), (2 / 9, 1 / 3, 4 / 9))
    d: ClassVar[Row] = (2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8)
    q: ClassVar[int] = 3


@dataclass(frozen=True)
class RK45(Embedded):
    """Order 5 with an error of order 4, seven gradients; of lr, the first step, the error `tol` makes the others.

    Source: Dormand and Prince 1980, J. Comput. Appl. Math. 6(1).
    """

    a: ClassVar[tuple[Row, ...]] = (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    )
    d: ClassVar[Row] = (71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
    q: ClassVar[int] = 5
