"""The functions a rule may use, beside + - * / ** and comparisons: on numbers, on NumPy arrays, and on the symbols of a trace.

    from thalweg.optim.ops import lerp, sqrt
    v = lerp(s.v, g * g, 1 - self.b2)                  # s.v + (1 - b2) (g^2 - s.v)

Element by element: sqrt, exp, log, cos, floor, abs, sign, minimum, maximum, clip, lerp, where. Over a whole tensor: total, mean,
dot, norm; an array is one tensor per row, so these go over its last axis. over="all" takes all tensors of the model together;
over="channel" is each part x[k] by itself (all of a tensor with one axis), "row" the last axis, "col" the last but one: their
results have an axis of 1 there, and run on the libraries' own operations. sign(0) = 0, and NaN stays NaN everywhere.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.language.state import Value
from thalweg.optim.language.symbols import ELEMENT, FUNCTIONS, HOST, TENSOR, Symbol

__all__ = [*FUNCTIONS]


def _apply(op: str, *operands: Any) -> Value:
    for each in operands:
        if isinstance(each, Symbol):
            return each.tape.apply(op, *operands)
    from thalweg.optim.language.functions import NUMPY

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


def cos(x: Value) -> Value:
    """The cosine of an angle in radians."""
    return _apply("cos", x)


def floor(x: Value) -> Value:
    """The largest whole number that is not above x."""
    return _apply("floor", x)


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


def total(x: Value, over: str = "tensor") -> Value:
    """The sum over the elements of a tensor, or of all tensors (over="all")."""
    return _apply("sum_all" if over == "all" else "sum", x)


def dot(x: Value, y: Value, over: str = "tensor") -> Value:
    """The inner product of two tensors, or summed over all tensors (over="all")."""
    return _apply("dot_all" if over == "all" else "dot", x, y)


def norm(x: Value, over: str = "tensor") -> Value:
    """The Euclidean norm of a tensor, of all tensors together ("all"), or of each channel."""
    if over == "channel":
        return sqrt(mean(x * x, over) * (shape("size", x) / shape("rows", x)))
    return sqrt(dot(x, x, over))


def mean(x: Value, over: str = "tensor") -> Value:
    """The mean over the elements of a tensor, or over parts of it: "channel", "row", "col"."""
    return _apply(f"mean_{over}", x) if over != "tensor" else total(x) / shape("size", x)


def newton_schulz(x: Value, a: Value = 3.4445, b: Value = -4.7750, c: Value = 2.0315, eps: Value = 1e-7, steps: int = 5) -> Value:
    """The matrix with x's singular vectors and singular values near 1 (0.7 to 1.2), see `language.functions.newton_schulz`."""
    return _apply("newton_schulz", x, a, b, c, eps, steps)


def normal(like: Value, t: Value) -> Value:
    """Independent standard normal numbers of the shape of a tensor, the same for the same step t."""
    if isinstance(like, Symbol):
        return like.tape.input("noise", ELEMENT)
    import numpy as np

    return np.random.default_rng(int(t)).normal(size=np.shape(like))


def clock(t: Value) -> Value:
    """The number of the optimizer's step, 1, 2, ..., the same for all tensors, where t is that of the tensor's own."""
    return t.tape.input("clock", HOST) if isinstance(t, Symbol) else t


def shape(what: str, x: Value) -> Value:
    """A number of x's tensor: its "size", how many "axes" it has, its channels as "rows" (1 if it has one axis), its last axis as
    "cols", the "epsilon" of its numbers.
    """
    if isinstance(x, Symbol):
        return x.tape.input(what, TENSOR)
    from thalweg.optim.language.functions import measured

    return measured(getattr(x, "shape", ())[-1:])[what]  # an array is one tensor per row
