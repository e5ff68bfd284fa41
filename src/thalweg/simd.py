"""Operations on flat float32 arrays, written as explicit vector code for kernels that spend most of their time in them.

    dot(a, i, b, n)        sum over k < n of a[i + k] b[k]
    axpy(s, a, i, y, n)    y[k] += s a[i + k] for k < n
    prefetch(a, i, n)      begin to bring a[i : i + n] into the cache (of any type)
    lowest_bit(x)          the place of the lowest bit of x, which is not 0

The array a of dot and axpy may also hold halves (`halves(a)`): they are widened as they are loaded, sums stay in float32. Half the
bytes is nearly half the time where vectors come from beyond the core's own cache (bench/words/solving.py).

n is a multiple of LANES (pad with zeros). Inside a `thalweg.jit` kernel they become LLVM vectors of 16 floats, which every target
splits into the registers it has: numba leaves the same loops scalar when it cannot rule out that the arrays overlap, which costs a
factor of 7 (bench/words/solving.py). Outside of compiled code they are NumPy, one element of rounding apart.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

LANES = 16


def padded(n: int) -> int:
    """The least multiple of LANES that is n or more."""
    return -(-n // LANES) * LANES


def halves(array: Any) -> Any:
    """A flat copy in 16-bit floats, as the uint16 that numba can pass; None where one does not fit (65504) or none are fast."""
    import numpy as np

    if not _half_conversion():
        return None
    with np.errstate(over="ignore"):
        small = array.ravel().astype(np.float16)
    return small.view(np.uint16) if np.isfinite(small).all() else None


@functools.cache
def _half_conversion() -> bool:
    """Whether the processor converts halves itself (x86 since 2013, ARM); elsewhere each would cost a call."""
    try:
        from llvmlite import binding
    except ImportError:
        return True  # plain NumPy then
    features = binding.get_host_cpu_features()
    return bool(features.get("f16c") or features.get("fullfp16") or features.get("neon"))


def _floats(a: Any) -> Any:
    import numpy as np

    return a.view(np.float16).astype(np.float32) if a.dtype == np.uint16 else a


class Primitive:
    """An operation with two forms: `python`, and what `emit` builds inside a compiled kernel."""

    def __init__(self, python: Callable[..., Any], emit: Callable[[], Any]) -> None:
        functools.update_wrapper(self, python)
        self.python = python
        self.compiled = functools.cache(emit)

    def __call__(self, *args: Any) -> Any:
        return self.python(*args)


def _dot(a: Any, i: int, b: Any, n: int) -> Any:
    return _floats(a[i : i + n]) @ b[:n]


def _axpy(s: Any, a: Any, i: int, y: Any, n: int) -> None:
    y[:n] += s * _floats(a[i : i + n])


def _prefetch(a: Any, i: int, n: int) -> None:
    pass


def _lowest_bit(x: Any) -> int:
    return (int(x) & -int(x)).bit_length() - 1


def _emit_dot() -> Any:
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    @intrinsic
    def dot(typing_context, a, i, b, n):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
            emit = _Emitter(context, builder)
            left, right = emit.pointer(signature.args[0], args[0]), emit.pointer(signature.args[2], args[2])
            total = cgutils.alloca_once_value(builder, emit.zeros)
            with emit.each(args[3]) as k:
                product = emit.fma(emit.widened(left, builder.add(args[1], k)), emit.load(right, k), builder.load(total))
                builder.store(product, total)
            return emit.sum(builder.load(total))

        return types.float32(a, types.int64, b, types.int64), code

    return dot


def _emit_axpy() -> Any:
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def axpy(typing_context, s, a, i, y, n):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
            emit = _Emitter(context, builder)
            source, target = emit.pointer(signature.args[1], args[1]), emit.pointer(signature.args[3], args[3])
            scale = emit.broadcast(args[0])
            with emit.each(args[4]) as k:
                emit.store(emit.fma(scale, emit.widened(source, builder.add(args[2], k)), emit.load(target, k)), target, k)
            return context.get_dummy_value()

        return types.void(types.float32, a, types.int64, y, types.int64), code

    return axpy


def _emit_prefetch() -> Any:
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    @intrinsic
    def prefetch(typing_context, a, i, n):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
            emit = _Emitter(context, builder)
            pointer = emit.pointer(signature.args[0], args[0])
            byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
            fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            line = 64 // (signature.args[0].dtype.bitwidth // 8)  # numbers in a cache line
            with emit.each(args[2], line) as k:  # read, keep in all levels, data
                place = builder.bitcast(builder.gep(pointer, [builder.add(args[1], k)]), byte)
                builder.call(fetch, [place, word(0), word(3), word(1)])
            return context.get_dummy_value()

        return types.void(a, types.int64, types.int64), code

    return prefetch


def _emit_lowest_bit() -> Any:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def lowest_bit(typing_context, x):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.cttz(args[0], ir.IntType(1)(1))

        return types.int64(types.uint64), code

    return lowest_bit


class _Emitter:
    """LLVM code for vectors of LANES floats."""

    def __init__(self, context: Any, builder: Any) -> None:
        from llvmlite import ir

        self.context, self.builder = context, builder
        self.float, self.index = ir.FloatType(), ir.IntType(64)
        self.vector = ir.VectorType(self.float, LANES)
        self.zeros = ir.Constant(self.vector, [0.0] * LANES)
        self._ir = ir

    def pointer(self, kind: Any, array: Any) -> Any:
        return self.context.make_array(kind)(self.context, self.builder, value=array).data

    def each(self, n: Any, stride: int = LANES) -> Any:
        """A loop over k = 0, stride, 2 stride, ... below n; stride is a power of 2."""
        import contextlib

        from numba.core import cgutils

        @contextlib.contextmanager
        def loop() -> Any:
            shift = self.index(stride.bit_length() - 1)
            rounds = self.builder.lshr(self.builder.add(n, self.index(stride - 1)), shift)
            with cgutils.for_range(self.builder, rounds) as step:
                yield self.builder.shl(step.index, shift)

        return loop()

    def widened(self, pointer: Any, place: Any) -> Any:
        """LANES numbers of an array of floats, or of halves that were passed as uint16."""
        if pointer.type.pointee != self._ir.IntType(16):
            return self.load(pointer, place)
        half = self._ir.VectorType(self._ir.HalfType(), LANES)
        value = self.builder.load(self.builder.bitcast(self.builder.gep(pointer, [place]), half.as_pointer()))
        value.align = 2
        return self.builder.fpext(value, self.vector)

    def load(self, pointer: Any, place: Any) -> Any:
        value = self.builder.load(self._place(pointer, place))
        value.align = 4
        return value

    def store(self, value: Any, pointer: Any, place: Any) -> None:
        self.builder.store(value, self._place(pointer, place)).align = 4

    def _place(self, pointer: Any, place: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(pointer, [place]), self.vector.as_pointer())

    def broadcast(self, scalar: Any) -> Any:
        empty = self._ir.Constant(self.vector, self._ir.Undefined)
        first = self.builder.insert_element(empty, scalar, self._ir.IntType(32)(0))
        lanes = self._ir.Constant(self._ir.VectorType(self._ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(first, empty, lanes)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self._function("llvm.fma", self.vector, [self.vector] * 3), [a, b, c])

    def sum(self, vector: Any) -> Any:
        reduce = self._function("llvm.vector.reduce.fadd", self.float, [self.float, self.vector])
        return self.builder.call(reduce, [self.float(0.0), vector], fastmath=("reassoc",))

    def _function(self, name: str, result: Any, arguments: list[Any]) -> Any:
        from numba.core import cgutils

        kind = self._ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.builder.module, kind, f"{name}.v{LANES}f32")


dot = Primitive(_dot, _emit_dot)
axpy = Primitive(_axpy, _emit_axpy)
prefetch = Primitive(_prefetch, _emit_prefetch)
lowest_bit = Primitive(_lowest_bit, _emit_lowest_bit)
