"""Whether tensors are still where and what a table has found them to be, asked in bulk before each step.

    seen = watch(parameters, [slots, ...], addressed=True)
    seen.moved()                          # p.data = ..., resize_, set_, t_: another address, shape, strides, dtype or device
    seen.compare(gradients, addresses)    # of each: as its parameter, missing, or odd; and where it is

A kernel that goes by addresses reads and writes whatever lies there, so nothing may be taken from memory. Asking each tensor in
Python for its address, shape, strides and dtype would cost more than the step of a small one. torch offers two interfaces to
compiled code. DLPack's exchange table describes a Python object, whatever it holds at the moment: for parameters and gradients. The
C functions that ahead-of-time compiled models call take handles: for what a table holds itself, the slots. Without them, or
without compiled kernels, attributes are read one by one.

Sources: DLPack 1.3, `DLPackExchangeAPI`; torch, `torch/csrc/inductor/aoti_torch/c/shim.h`.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thalweg import jit
from thalweg.jit import kernel
from thalweg.simd import Primitive

Integers = npt.NDArray[np.int64]

AS_ITS_PARAMETER, MISSING, ODD = 0, 1, 2  # what a gradient can be
EXCHANGE = 40  # bytes: the place of `dltensor_from_py_object_no_sync` in the exchange table, behind version, link and three more
QUESTIONS = ("data_ptr", "dtype", "dim", "sizes", "strides")  # that the C functions answer, in the order that `_held` asks them


class Watch:
    """Attributes one by one: any tensors, any version of torch. addressed=False: they may move, as long as they look the same."""

    def __init__(self, parameters: Sequence[Tensor], held: Sequence[Sequence[Tensor]], addressed: bool) -> None:
        self.tensors, self.addressed = [parameters, *held], addressed
        self.facts = self._now()

    def _now(self) -> list[list[tuple[Any, ...]]]:
        return [[(*_looks(x), _signed(x), x.data_ptr() if self.addressed else 0) for x in tensors] for tensors in self.tensors]

    def moved(self) -> bool:
        """Whether any tensor has another address, shape, dtype, device, sign or other strides than in the beginning."""
        return self._now() != self.facts

    def compare(self, gradients: Sequence[Tensor | None], addresses: Integers) -> npt.NDArray[np.int8]:
        """Of each gradient, whether it is laid out as its parameter was, missing, or odd; where the first ones are."""
        status = np.full(len(gradients), ODD, dtype=np.int8)
        for k, (g, fact) in enumerate(zip(gradients, self.facts[0], strict=True)):
            if g is None:
                status[k] = MISSING
            elif type(g) in PLAIN and _looks(g) == fact[:-2] and not _signed(g) and not g._is_zerotensor():
                status[k] = AS_ITS_PARAMETER
                addresses[k] = g.data_ptr()
        return status


PLAIN = (Tensor, torch.nn.Parameter)


def _signed(x: Tensor) -> bool:
    """Whether its memory holds the negative or conjugate of what it is."""
    return bool(x.is_neg() or x.is_conj())


def _looks(x: Tensor) -> tuple[Any, ...]:
    return x.shape, x.stride() if x.layout == torch.strided else x.layout, x.dtype, x.device


class CompiledWatch(Watch):
    """The same answers for plain strided tensors, from compiled code."""

    def __init__(
        self, parameters: Sequence[Tensor], held: Sequence[Sequence[Tensor]], addressed: bool, interfaces: Interfaces
    ) -> None:
        self.tensors, self.addressed, self.interfaces = [parameters, *held], addressed, interfaces
        self.objects = _ids(parameters)
        n, arrays = len(parameters), len(held)
        self.start = np.concatenate([[0], np.cumsum([2 + 2 * p.dim() for p in parameters])]).astype(np.int64)
        self.looks, self.homes = np.empty(self.start[-1], np.int64), np.empty((1 + arrays, n), np.int64)
        if not _learn(interfaces.describe, interfaces.forgive, self.objects, self.start, self.looks, self.homes[0]):
            raise _Undescribed
        # A handle is the address of a word that holds what a tensor is to C++, as `Interfaces.probed` has made sure. The tensors of
        # `held` live as long as this object; a weak reference keeps `swap_tensors` from giving them to other Python objects.
        self.words = np.array([[x._cdata for x in tensors] for tensors in held], dtype=np.int64).reshape(arrays, n)
        self.handles = self.words.ctypes.data + 8 * np.arange(arrays * n, dtype=np.int64).reshape(arrays, n)
        self.kept = [weakref.ref(x) for tensors in held for x in tensors]
        self.homes[1:] = np.array([[x.data_ptr() for x in tensors] for tensors in held], dtype=np.int64).reshape(arrays, n)
        self.dtypes = np.zeros((arrays, n), np.int64)
        _dtypes(interfaces.ask, self.handles, self.dtypes)

    def moved(self) -> bool:
        faces, where = self.interfaces, (self.homes, self.start, self.looks, self.addressed)
        return bool(
            _parameters(faces.describe, faces.forgive, faces.sign, self.objects, *where)
            or _held(faces.ask, self.handles, self.dtypes, *where)
            or (not faces.sign[2] and any(map(_signed, self.tensors[0])))
        )

    def compare(self, gradients: Sequence[Tensor | None], addresses: Integers) -> npt.NDArray[np.int8]:
        faces, status = self.interfaces, np.empty(len(gradients), np.int8)
        listed = np.fromiter(gradients, object, len(gradients))  # whose memory is addresses of Python objects
        where = (self.start, self.looks, status, addresses)
        _gradients(faces.describe, faces.forgive, faces.sign, id(None), listed.ctypes.data, *where)
        for k in range(len(gradients)) if not faces.sign[2] else ():
            if (g := gradients[k]) is not None and _signed(g):
                status[k] = ODD
        return status


def watch(parameters: Sequence[Tensor], held: Sequence[Sequence[Tensor]], addressed: bool) -> Watch:
    """Look at parameters and at arrays of tensors, one for each parameter and laid out as it is."""
    found = interfaces() if jit.enabled() else None
    same = all(_looks(x)[:2] == _looks(p)[:2] for tensors in held for x, p in zip(tensors, parameters, strict=True))
    plain = all(
        type(x) in PLAIN and x.layout == torch.strided and not _signed(x) for tensors in (parameters, *held) for x in tensors
    )
    if found is None or not plain or not same:
        return Watch(parameters, held, addressed)
    try:
        return CompiledWatch(parameters, held, addressed, found)
    except _Undescribed:
        return Watch(parameters, held, addressed)


class _Undescribed(Exception):
    """A tensor that DLPack does not know, as one without memory (on torch's "meta" device)."""


class Interfaces(NamedTuple):
    """Addresses of C functions."""

    describe: int  # (Python object, DLTensor*) -> 0, or -1 with an exception set
    forgive: int  # PyErr_Clear
    ask: Integers  # of a handle: one for each of QUESTIONS
    sign: Integers  # see `_place_of_sign`; the last is 0 where it was not found

    def probed(self) -> bool:
        """Whether both interfaces tell of a tensor what is true of it."""
        x = torch.empty((3, 2), device="cpu").t()
        homes, looks, word = np.zeros(1, np.int64), np.zeros(6, np.int64), np.array([x._cdata], dtype=np.int64)
        start, handle, dtypes = np.array([0, 6]), np.array([[word.ctypes.data]]), np.zeros((1, 1), np.int64)
        if not _learn(self.describe, self.forgive, _ids([x]), start, looks, homes):
            return False
        if homes[0] != x.data_ptr() or looks[2:].tolist() != [*x.shape, *x.stride()]:
            return False
        _dtypes(self.ask, handle, dtypes)
        twice = np.stack([homes, homes])
        return not _held(self.ask, handle, dtypes, twice, start, looks, True)


@functools.cache
def interfaces() -> Interfaces | None:
    """Those of the torch that is installed; None where it lacks one."""
    try:
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        table = pointer(torch.Tensor.__dlpack_c_exchange_api__, b"dlpack_exchange_api")
        if ctypes.c_uint32.from_address(table).value != 1:  # the major version
            return None
        library = ctypes.CDLL(str(next((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"))))
        ask = [_at(getattr(library, f"aoti_torch_get_{question}")) for question in QUESTIONS]
        describe = ctypes.c_uint64.from_address(table + EXCHANGE).value
        found = Interfaces(describe, _at(ctypes.pythonapi.PyErr_Clear), np.array(ask, dtype=np.int64), _place_of_sign())
    except (AttributeError, OSError, StopIteration, ValueError):
        return None
    return found if found.probed() else None


def _place_of_sign() -> Integers:
    """Where a tensor notes that it is a negative or conjugate view: [word of the Python object, word behind it, bits], or zeros.

    Neither interface tells. torch keeps it among the dispatch keys, so it is looked for: the one word in which each view differs
    from what it is a view of by one and the same bit.
    """

    def words(address: int, n: int) -> npt.NDArray[np.uint64]:
        return np.array((ctypes.c_uint64 * n).from_address(address), dtype=np.uint64)

    reals = [
        torch.ones(3),
        torch.ones((2, 3, 4), dtype=torch.float64),
        torch.ones((2, 3), dtype=torch.bfloat16).t(),
        torch.ones(()),
    ]
    pairs = [[torch.complex(x.float(), x.float()) for x in reals], reals]
    views = [[x.conj() for x in pairs[0]], [torch._neg_view(x) for x in pairs[1]]]
    everything = [x for tensors in (*pairs, *views) for x in tensors]
    inside = [k for k in range(2, 6) if all(int(words(id(x), 6)[k]) == x._cdata for x in everything)]
    found: list[tuple[int, int]] = []
    for tensors, seen in zip(pairs, views, strict=True):
        changed = np.stack([words(x._cdata, 24) ^ words(y._cdata, 24) for x, y in zip(tensors, seen, strict=True)])
        single = (changed == changed[0]).all(axis=0) & np.array([int(bits).bit_count() == 1 for bits in changed[0]])
        single &= changed[0] > 0xFFFF  # small differences are those of reference counts
        found += [(int(place), int(changed[0, place])) for place in np.flatnonzero(single)]
    if len(inside) != 1 or len(found) != 2 or found[0][0] != found[1][0]:
        return np.zeros(3, np.int64)
    return np.array([inside[0], found[0][0], found[0][1] | found[1][1]], dtype=np.int64)


def _at(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _ids(tensors: Sequence[Tensor | None]) -> Integers:
    return np.fromiter(map(id, tensors), np.int64, len(tensors))


def _emitted(n_arguments: int) -> Callable[[], Any]:
    """An intrinsic that calls the C function at an address with so many words; what it returns."""

    def emit() -> Any:
        from llvmlite import ir
        from numba.core import types
        from numba.extending import intrinsic

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word = ir.IntType(64)
            kind = ir.FunctionType(ir.IntType(32), [word] * n_arguments)
            return builder.sext(builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:]), word)

        if n_arguments == 0:
            return intrinsic(lambda typing_context, function: (types.int64(types.int64), code))
        return intrinsic(lambda typing_context, function, a, b: (types.int64(types.int64, types.int64, types.int64), code))

    return emit


def _loaded() -> Any:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.gep(builder.inttoptr(args[0], ir.IntType(64).as_pointer()), [args[1]]))

    return intrinsic(lambda typing_context, address, i: (types.int64(types.int64, types.int64), code))


def _only_compiled(*args: Any) -> int:
    """The Python form of what reads memory by its address: there is none, and machines that do not compile never watch."""
    raise NotImplementedError


call = Primitive(_only_compiled, _emitted(2))  # call(function, a, b)
call_alone = Primitive(_only_compiled, _emitted(0))  # call_alone(function)
word = Primitive(_only_compiled, _loaded)  # word(address, i): the i-th 64-bit word there

# A DLTensor is six words: data; device; number of axes and dtype; sizes*; strides*; offset in bytes.


@kernel(holds_gil=True)  # type: ignore[untyped-decorator]
def _learn(describe: Any, forgive: Any, objects: Any, start: Any, looks: Any, homes: Any) -> Any:
    """What the tensors are: device, axes and dtype, sizes, strides, and their addresses. False where DLPack has no word for one."""
    tensor = np.zeros(6, np.int64)
    for k in range(len(objects)):
        if call(describe, objects[k], tensor.ctypes.data):
            call_alone(forgive)
            return False
        first, n = start[k], (start[k + 1] - start[k]) // 2 - 1
        homes[k] = tensor[0] + tensor[5]
        looks[first], looks[first + 1] = tensor[1], tensor[2]
        for d in range(n):
            looks[first + 2 + d], looks[first + 2 + n + d] = word(tensor[3], d), word(tensor[4], d)
    return True


@kernel(holds_gil=True)  # type: ignore[untyped-decorator]
def _alike(tensor: Any, looks: Any, first: Any, end: Any) -> Any:
    """Whether a DLTensor is on that device, of that dtype, sizes and strides."""
    n = (end - first) // 2 - 1
    alike = tensor[1] == looks[first] and tensor[2] == looks[first + 1]
    for d in range(n if alike else 0):
        alike = alike and word(tensor[3], d) == looks[first + 2 + d] and word(tensor[4], d) == looks[first + 2 + n + d]
    return alike


@kernel(holds_gil=True)  # type: ignore[untyped-decorator]
def _parameters(describe: Any, forgive: Any, sign: Any, objects: Any, homes: Any, start: Any, looks: Any, addressed: Any) -> Any:
    """Whether any of these Python objects is another tensor than it was."""
    tensor = np.zeros(6, np.int64)
    inside, place, mask = sign
    for k in range(len(objects)):
        if mask and word(word(objects[k], inside), place) & mask:
            return True
        if call(describe, objects[k], tensor.ctypes.data):
            call_alone(forgive)
            return True
        if addressed and tensor[0] + tensor[5] != homes[0, k]:
            return True
        if not _alike(tensor, looks, start[k], start[k + 1]):
            return True
    return False


@kernel(holds_gil=True)  # type: ignore[untyped-decorator]
def _gradients(
    describe: Any, forgive: Any, sign: Any, none: Any, objects: Any, start: Any, looks: Any, status: Any, addresses: Any
) -> None:
    """Compare gradients with the looks of their parameters."""
    tensor = np.zeros(6, np.int64)
    inside, place, mask = sign
    for k in range(len(status)):
        gradient = word(objects, k)
        if gradient == none:
            status[k] = MISSING
        elif call(describe, gradient, tensor.ctypes.data):  # a sparse one
            call_alone(forgive)
            status[k] = ODD
        elif mask and word(word(gradient, inside), place) & mask:
            status[k] = ODD
        elif _alike(tensor, looks, start[k], start[k + 1]):
            status[k], addresses[k] = AS_ITS_PARAMETER, tensor[0] + tensor[5]
        else:
            status[k] = ODD


@kernel(holds_gil=True)  # type: ignore[untyped-decorator]
def _dtypes(ask: Any, handles: Any, dtypes: Any) -> None:
    """The numbers by which torch's C functions name dtypes."""
    answer = np.zeros(1, np.int64)
    for a in range(handles.shape[0]):
        for k in range(handles.shape[1]):
            call(ask[1], handles[a, k], answer.ctypes.data)
            dtypes[a, k] = answer[0]


@kernel(holds_gil=True)  # type: ignore[untyped-decorator]
def _held(ask: Any, handles: Any, dtypes: Any, homes: Any, start: Any, looks: Any, addressed: Any) -> Any:
    """Whether any of these tensors is not what it was: laid out as its parameter, at its place."""
    answer = np.zeros(1, np.int64)
    at = answer.ctypes.data
    for k in range(handles.shape[1]):
        first, n = start[k], (start[k + 1] - start[k]) // 2 - 1
        for a in range(handles.shape[0]):
            handle = handles[a, k]
            if call(ask[0], handle, at) or (addressed and answer[0] != homes[1 + a, k]):
                return True
            answer[0] = 0  # the dtype is half a word
            if call(ask[1], handle, at) or answer[0] != dtypes[a, k]:
                return True
            if call(ask[2], handle, at) or answer[0] != n or call(ask[3], handle, at):
                return True
            sizes = answer[0]
            if call(ask[4], handle, at):
                return True
            for d in range(n):
                if word(sizes, d) != looks[first + 2 + d] or word(answer[0], d) != looks[first + 2 + n + d]:
                    return True
    return False
