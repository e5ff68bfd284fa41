"""The rows of a lazy table, of which some are behind, and the parameter that brings them to the present before anybody reads them.

Whoever reads or writes a parameter in Python goes through a function of torch: a forward pass, a tied output layer, a norm,
`state_dict`, a copy, `load_state_dict`. A `LazyParameter` is told of each (`__torch_function__`) and first makes the steps that its
rows lack: for a look-up those of the rows that are looked up, for anything else those of all. The transforms of torch.func take
a tensor in without such a function, and are made to tell (`_heard`). What somebody keeps of it from before a step, as in
`w = p.detach()`, shows rows as they were left.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch._functorch import eager_transforms, vmap
from torch.nn import Parameter

from thalweg.errors import RuleError
from thalweg.optim.backends.compiled import Floats, Integers

BLOCK = 1 << 14  # rows brought to the present at a time: the loop over idle steps takes 40 bytes for each of the steps of a row


class Steps(Protocol):
    """What makes idle steps."""

    def make_idle(self, rows: Integers, last: Integers) -> None:
        """The steps from `last` to the present of these rows."""


class Rows:
    """The rows of one parameter: which steps each has made, and the numbers of the steps.   last: (rows,) int32"""

    def __init__(self, parameter: Tensor, mode: str) -> None:
        self.parameter, self.mode = parameter, mode
        self.last = np.zeros(parameter.shape[0], dtype=np.int32)
        self.steps = 0  # that any row may lack
        self.numbers: dict[str, Floats] = {}  # of each of them: t, self.lr, ...; room for more at the end
        self.table: Steps | None = None

    def read(self, ids: Tensor) -> None:
        """Bring the rows that are about to be read to the present."""
        height = len(self.last)
        rows = torch.unique(ids.detach().reshape(-1).cpu()).numpy() if self.steps else np.empty(0, np.int64)
        if len(rows) and -height <= rows[0] and rows[-1] < height:  # others are refused by who looks them up
            self.bring(rows if rows[0] >= 0 else np.unique(rows % height))

    def note(self, inputs: Mapping[str, Floats]) -> None:
        """One more step that rows may lack: its numbers."""
        for name, value in inputs.items():
            held = self.numbers.get(name)
            if held is None or self.steps == len(held):
                room = np.empty(max(64, 2 * self.steps))
                if held is not None:
                    room[: self.steps] = held[: self.steps]
                held = self.numbers[name] = room
            held[self.steps] = value[0]
        self.steps += 1

    def bring(self, rows: Integers) -> None:
        """Make the idle steps that these rows (each once) lack."""
        last = self.last[rows]
        behind = last < self.steps
        if self.table is not None and self.mode != "skip" and behind.any():
            with torch._C.DisableTorchFunctionSubclass(), torch._C._DisableFuncTorch(), torch.no_grad():
                self.table.make_idle(rows[behind], last[behind].astype(np.int64))
                torch.autograd.graph.increment_version(self.parameter)
        self.last[rows] = np.maximum(last, self.steps)

    def catch_up(self) -> None:
        """Bring all rows to the present, and forget the numbers of the steps."""
        if self.steps:
            for first in range(0, len(self.last), BLOCK):
                self.bring(np.arange(first, min(first + BLOCK, len(self.last))))
            self.forget()

    def forget(self) -> None:
        """Take all rows, as many as there are now, to be at the present."""
        self.last, self.steps, self.numbers = np.zeros(len(self.parameter), dtype=np.int32), 0, {}


class LazyParameter(Parameter):  # type: ignore[misc]
    """A parameter whose rows are brought to the present before they are read or written. Copies of it are plain."""

    rows: Rows

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in INNOCENT:
            _brought(func, args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = Parameter(self.data.clone(memory_format=torch.preserve_format), self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Parameter(self.data, self.requires_grad).__reduce_ex__(protocol)


# What asks for no element of a tensor. All else counts as a reader of all rows, which costs time where it is none.
INNOCENT = {
    *(getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "layout", "ndim", "requires_grad", "grad", "is_leaf")),
    *(getattr(Tensor, name).__get__ for name in ("grad_fn", "is_sparse", "is_cuda", "_version", "is_meta", "is_quantized")),
    *(getattr(Tensor, name).__set__ for name in ("grad", "requires_grad")),
    *(getattr(Tensor, name) for name in ("size", "dim", "numel", "stride", "is_contiguous", "element_size", "requires_grad_")),
    *(getattr(Tensor, name) for name in ("is_floating_point", "is_complex", "register_hook", "__len__", "is_neg", "is_conj")),
    Tensor.register_post_accumulate_grad_hook,
    *(getattr(torch, name) for name in ("numel", "is_floating_point", "is_complex", "empty_like", "zeros_like", "ones_like")),
}


@torch._disable_dynamo  # type: ignore[untyped-decorator]  # a compiled model is cut here: what it reads has to be asked each time
def _brought(func: Any, args: Any, kwargs: Any) -> None:
    """Bring the rows that a function is about to read to the present."""
    looked_up = _looked_up(func, args)
    for p in _lazy((args, kwargs)):
        if looked_up is None:
            p.rows.catch_up()
        else:
            p.rows.read(looked_up)


def _looked_up(func: Any, args: Any) -> Tensor | None:
    """The rows that a look-up reads; None for any other function."""
    ids: Any = None
    if func in (torch.nn.functional.embedding, torch.nn.functional.embedding_bag):
        ids = args[0] if len(args) > 1 else None
    elif func in (torch.embedding, Tensor.__getitem__):
        ids = args[1]
    elif func in (torch.index_select, Tensor.index_select) and len(args) == 3 and args[1] == 0:
        ids = args[2]
    known = type(ids) is Tensor and not torch._C._functorch.is_functorch_wrapped_tensor(ids)  # vmap's cannot be read here
    return ids if known and ids.dtype in (torch.int64, torch.int32) else None


def _lazy(given: Any) -> Iterator[LazyParameter]:
    """The lazy parameters in nested arguments."""
    if isinstance(given, LazyParameter):
        yield given
    elif isinstance(given, list | tuple):
        for each in given:
            yield from _lazy(each)
    elif isinstance(given, dict):
        yield from _lazy(list(given.values()))


def made_lazy(p: Tensor, mode: str) -> Rows:
    """Make a parameter lazy. Another optimizer that has it so is taken over from."""
    if isinstance(p, LazyParameter):
        p.rows.catch_up()
    _heard()
    rows = Rows(p, mode)
    p.__class__ = LazyParameter
    p.rows = rows
    return rows


@functools.cache
def _heard() -> None:
    """Be told when a transform of torch.func takes a lazy parameter in: it wraps it in C++, and reads what is inside."""
    for module, name in (
        (eager_transforms, "_wrap_for_grad"),
        (eager_transforms, "_wrap_functional_tensor"),
        (vmap, "_add_batch_dim"),
    ):
        setattr(module, name, _told(getattr(module, name)))


def _told(wrap: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(wrap)
    def taken_in(x: Any, *args: Any) -> Any:
        if isinstance(x, LazyParameter):
            x.rows.catch_up()
        return wrap(x, *args)

    return taken_in


def renewed(lazy: dict[Tensor, Rows]) -> bool:
    """Make those lazy again that `torch.utils.swap_tensors` has put other tensors in the place of. Whether there was one.

    Nobody is owed the steps of the tensor that went away: the one that came is at the present.
    """
    plain = [p for p in lazy if not isinstance(p, LazyParameter)]
    for p in plain:
        mode = lazy[p].mode
        lazy[p].table = None
        lazy[p] = made_lazy(p, mode)
    return bool(plain)


def at_the_present(parameters: Iterable[Tensor]) -> None:
    """Bring those of them that are lazy to the present."""
    for p in parameters:
        if isinstance(p, LazyParameter):
            p.rows.catch_up()


def check_owner(rows: Rows) -> None:
    """Raises RuleError where another optimizer has made the parameter lazy since."""
    if getattr(rows.parameter, "rows", rows) is not rows:
        msg = f"lazy rows: another optimizer has taken over the table of shape {tuple(rows.parameter.shape)}; step it with that one"
        raise RuleError(msg)
