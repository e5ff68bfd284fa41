"""Reading and writing tensors by address inside a compiled kernel.

    read, write = access("bfloat16", place=0, of=4)
    x = read(address, i);  write(address, i, x)

Each of the `of` arrays of a kernel is a scope of its own for LLVM's alias analysis: the caller has made sure that they do not
overlap, so the loop is vectorised without a test at run time (LLVM gives up at more than eight such tests: five arrays).
bfloat16 is the upper half of a float32; numba does not know it, so it is widened and rounded here. What is narrowed is rounded
to nearest even, or for "bfloat16 stochastic" up with the probability of the part that is cut off.
"""

from __future__ import annotations

import functools
from typing import Any

BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "bfloat16 stochastic": 2}


@functools.cache
def access(kind: str, place: int, of: int) -> tuple[Any, Any]:
    """The intrinsics read(address, i) and write(address, i, value); the stochastic write takes key and counter too."""
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    number = types.float64 if kind == "float64" else types.float32
    halves = BYTES[kind] == 2
    memory = ir.IntType(16) if halves else ir.DoubleType() if kind == "float64" else ir.FloatType()

    def pointer(builder: Any, address: Any, i: Any) -> Any:
        return builder.gep(builder.inttoptr(address, memory.as_pointer()), [i])

    def mark(builder: Any, instruction: Any) -> Any:
        module = builder.module
        domain = module.add_metadata([ir.MetaDataString(module, "thalweg")])
        scopes = [module.add_metadata([ir.MetaDataString(module, f"array {k}"), domain]) for k in range(of)]
        instruction.align = BYTES[kind]
        instruction.set_metadata("alias.scope", module.add_metadata([scopes[place]]))
        if of > 1:
            instruction.set_metadata("noalias", module.add_metadata([s for k, s in enumerate(scopes) if k != place]))
        return instruction

    @intrinsic
    def read(typing_context, address, i):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
            value = mark(builder, builder.load(pointer(builder, *args)))
            return _widened(builder, value) if halves else value

        return number(types.int64, types.int64), code

    @intrinsic
    def write(typing_context, address, i, value):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
            value = _nearest(builder, args[2]) if halves else args[2]
            mark(builder, builder.store(value, pointer(builder, *args[:2])))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, number), code

    @intrinsic
    def write_stochastic(typing_context, address, i, value, key, counter):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
            mark(builder, builder.store(_stochastic(builder, *args[2:]), pointer(builder, *args[:2])))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, number, types.int64, types.int64), code

    return read, write_stochastic if kind.endswith("stochastic") else write


@functools.cache
def summed() -> Any:
    """The intrinsic a + b in float64 that LLVM may reorder: the only freedom a vectorised sum needs, NaN and inf stay exact."""
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def add(typing_context, a, b):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.fadd(args[0], args[1], flags=("reassoc",))

        return types.float64(types.float64, types.float64), code

    return add


def _widened(builder: Any, half: Any) -> Any:
    from llvmlite import ir

    word = ir.IntType(32)
    return builder.bitcast(builder.shl(builder.zext(half, word), word(16)), ir.FloatType())


def _nearest(builder: Any, value: Any) -> Any:
    """Half to even: 0x7FFF carries into the upper half above the middle, and in the middle if the last bit kept is 1."""
    from llvmlite import ir

    word = ir.IntType(32)
    bits = builder.bitcast(value, word)
    last = builder.and_(builder.lshr(bits, word(16)), word(1))
    return _upper(builder, value, builder.add(bits, builder.add(last, word(0x7FFF))))


def _stochastic(builder: Any, value: Any, key: Any, counter: Any) -> Any:
    """A carry from 16 random bits, a hash of (key, counter), so that the expectation of what is stored is the value."""
    from llvmlite import ir

    word = ir.IntType(32)
    mixed = builder.mul(builder.trunc(counter, word), word(0x9E3779B1))  # 2^32 / golden ratio: neighbours far apart
    mixed = builder.xor(mixed, builder.trunc(key, word))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):  # the finaliser of MurmurHash3
        mixed = builder.mul(builder.xor(mixed, builder.lshr(mixed, word(shift))), word(factor))
    return _upper(builder, value, builder.add(builder.bitcast(value, word), builder.lshr(mixed, word(16))))


def _upper(builder: Any, value: Any, rounded: Any) -> Any:
    """The upper half of `rounded`; of a NaN its own with the quiet bit, which no carry may turn into an infinity."""
    from llvmlite import ir

    word = ir.IntType(32)
    nan = builder.or_(builder.lshr(builder.bitcast(value, word), word(16)), word(0x40))
    half = builder.select(builder.fcmp_unordered("uno", value, value), nan, builder.lshr(rounded, word(16)))
    return builder.trunc(half, ir.IntType(16))
