"""The functions a rule may use, beside + - * / ** and comparisons: on numbers, on NumPy arrays, and on the symbols of a trace.

    from thalweg.optim.ops import lerp, sqrt
    v = lerp(s.v, g * g, 1 - self.b2)                  # s.v + (1 - b2) (g^2 - s.v)

Element by element: sqrt, exp, log, abs, sign, minimum, maximum, clip, lerp, where. Over a whole tensor: total, mean, dot, norm;
an array is one tensor per row, so these go over its last axis. sign(0) = 0, and NaN stays NaN everywhere.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.rule import Value
from thalweg.optim.symbols import TENSOR, Symbol

__all__ = ["abs", "clip", "dot", "exp", "lerp", "log", "maximum", "mean", "minimum", "norm", "sign", "sqrt", "total", "where"]


def _apply(op: str, *operands: Any) -> Value:
    for each in operands:
        if isinstance(each, Symbol):
            return each.tape.apply(op, *operands)
    from thalweg.optim.backends.reference import NUMPY

    return NUMPY[op](*operands)


def sqrt(x: Value) -> Value:
    """The square root; NaN below 0."""
    return _apply("sqrt", x)


def exp(x: Value) -> Value:
    """Euler's number to the power of x."""
    return _apply("exp", x)


def log(x: Value) -> Value:
    """The natural logarithm; NaN below 0."""
    return _apply("log", x)


def abs(x: Value) -> Value:
    """The absolute value."""
    return _apply("abs", x)


def sign(x: Value) -> Value:
    """-1, 0 or 1; NaN of NaN."""
    return _apply("sign", x)


def minimum(a: Value, b: Value) -> Value:
    """The smaller one; NaN if either is."""
    return _apply("minimum", a, b)


def maximum(a: Value, b: Value) -> Value:
    """The larger one; NaN if either is."""
    return _apply("maximum", a, b)


def clip(x: Value, least: Value, most: Value) -> Value:
    """x, held between least and most."""
    return minimum(maximum(x, least), most)


def lerp(a: Value, b: Value, weight: Value) -> Value:
    """The value a + weight (b - a): a moving average that takes `weight` of the new value b."""
    return _apply("lerp", a, b, weight)


def where(condition: Value, a: Value, b: Value) -> Value:
    """The value a where the condition holds, b elsewhere. Both are computed."""
    return _apply("where", condition, a, b)


def total(x: Value) -> Value:
    """The sum over the elements of a tensor."""
    return _apply("sum", x)


def dot(x: Value, y: Value) -> Value:
    """The inner product of two tensors."""
    return _apply("dot", x, y)


def norm(x: Value) -> Value:
    """The Euclidean norm of a tensor."""
    return sqrt(dot(x, x))


def mean(x: Value) -> Value:
    """The mean over the elements of a tensor."""
    if isinstance(x, Symbol):
        return total(x) / x.tape.input("size", TENSOR)
    import numpy as np

    return total(x) / (np.shape(x) or (1,))[-1]
