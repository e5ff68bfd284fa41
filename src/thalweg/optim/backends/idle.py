"""The idle steps of Adam, AdamW and NAdam without m and v, which only fall: a division for each element and step.

With g = 0 an idle step is

    p = d_i p + M_i m f_i / (V_i B_i y + 1),   y = sqrt v / eps,   M_i, V_i: the products of b1 and sqrt b2 of the idle steps before

where m and v are those before the first. f_i and B_i belong to step i alone, and are read off the rule's own step: it moves an
element with m = 1 by f_i where y = 0, and by f_i / (B_i + 1) where y = 1. (Adam: f_i = - lr_i b1 / (1 - b1^t) / eps and
B_i = sqrt(b2 / (1 - b2^t)).)

Why not the sum, a function of y for each first step and hardly any operations? It is another path. In float32 the dense one stands
still as soon as a move is less than half a unit in the last place of p, and is rounded at each step before. Added up one by one,
the moves are rounded as there: a table of normal random numbers came out 1.4e-6 off with the sum, below 1e-6 with the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.jit import kernel
from thalweg.optim.backends import reference
from thalweg.optim.language.functions import measured
from thalweg.optim.language.program import Program

Floats = npt.NDArray[np.float64]


def moves(program: Program, eps: float, inputs: Mapping[str, Floats]) -> dict[str, Floats]:
    """The f and B of one step, from the numbers that it takes.   each (1,)"""
    two = {"p": np.zeros(2), "g": 0.0, "s.m": np.ones(2), "s.v": np.array([0.0, eps * eps])}
    f, slow = np.split(reference.run(program, {**inputs, **measured((2,)), **two})["p"].reshape(-1), 2)
    with np.errstate(all="ignore"):
        return {"f": f, "B": np.where(f == 0, 1.0, f / slow - 1)}  # lr = 0: nothing moves


@kernel
def settle(p: Any, m: Any, v: Any, width: Any, eps: Any, rows: Any, begin: Any, end: Any, steps: Any, left: Any) -> None:
    """Bring rows to the present: the steps begin ... end - 1 one by one, what comes after them as powers.

    p, m, v: (all rows * width,); rows, begin, end: (n,); steps: (5, steps), d, b1, sqrt b2, f and B;
    left: (3, steps + 1), the products of d, b1, b2 from each step on.
    """
    y, w, c = np.empty(width, p.dtype), np.empty(width, p.dtype), np.empty(4, p.dtype)
    for k in range(len(rows)):
        first = rows[k] * width
        ps, ms, vs = p[first : first + width], m[first : first + width], v[first : first + width]
        kept = left[0, begin[k]]
        if np.any(ms):  # else the row was never touched, and only decays
            for j in range(width):
                y[j], w[j] = np.sqrt(vs[j]) / eps, ms[j]
            M = V = 1.0
            for i in range(begin[k], end[k]):
                c[0], c[1], c[2], c[3] = steps[0, i], M * steps[3, i], V * steps[4, i], 1.0  # in the precision of p
                d, f, B, one = c[0], c[1], c[2], c[3]
                for j in range(width):
                    ps[j] = d * ps[j] + w[j] * f / (B * y[j] + one)
                M, V = M * steps[1, i], V * steps[2, i]
            kept = left[0, end[k]]
        c[0], c[1], c[2] = kept, left[1, begin[k]], left[2, begin[k]]
        for j in range(width):
            ps[j] *= c[0]
            ms[j] *= c[1]
            vs[j] *= c[2]
