"""What the operations of the language are on arrays: NumPy's functions, and the few that NumPy lacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Functions = Mapping[str, Callable[..., Any]]
Turned = Callable[[Any], Any]


def _total(x: Any) -> Any:
    return np.sum(x, axis=-1, keepdims=True) if np.ndim(x) else x


def newton_schulz(
    x: Any, a: Any = 3.4445, b: Any = -4.7750, c: Any = 2.0315, eps: Any = 1e-7, steps: float = 5, turned: Turned = lambda x: x.mT
) -> Any:
    """The nearest matrix with orthonormal rows or columns, roughly: a s + b s^3 + c s^5 of all singular values s, `steps` times.

    X = x / max(|x|, eps), then again and again X = a X + (b A + c A^2) X with A = X X^T.   x: (..., rows, cols) of NumPy, torch
    or jax; of other libraries `turned` is the transpose.
    Source: Jordan 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    tall = x.shape[-2] > x.shape[-1]
    x = turned(x) if tall else x
    length = (x * x).sum((-2, -1), keepdims=True) ** 0.5
    x = x / (length + (eps - length) * (length < eps))
    for _ in range(int(steps)):
        gram = x @ turned(x)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return turned(x) if tall else x


def measured(shape: Sequence[int], epsilon: float = 2.0**-52) -> dict[str, float]:
    """What `ops.shape` tells of a tensor."""
    rows, cols = shape[0] if len(shape) > 1 else 1, shape[-1] if len(shape) else 1
    return {"size": float(math.prod(shape)), "axes": len(shape), "rows": rows, "cols": cols, "epsilon": epsilon}


def channels(axes: int) -> tuple[int, ...]:
    """The axes that a mean over each channel goes over."""
    return tuple(range(1, axes)) or tuple(range(axes))


NUMPY: Functions = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "cos": np.cos,
    "floor": np.floor,
    "sign": np.sign,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "lerp": lambda a, b, weight: a + weight * (b - a),
    "where": np.where,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "sum": _total,
    "dot": lambda x, y: _total(np.multiply(x, y)),
    "sum_all": _total,
    "dot_all": lambda x, y: _total(np.multiply(x, y)),
    "mean_channel": lambda x: np.mean(x, axis=-1, keepdims=True) if np.ndim(x) else x,
    "mean_row": lambda x: np.mean(x, axis=-1, keepdims=True),
    "mean_col": lambda x: np.mean(x, axis=-2, keepdims=True),
    "newton_schulz": newton_schulz,
}
