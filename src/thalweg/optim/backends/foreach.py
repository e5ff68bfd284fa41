"""Programs run on torch tensors of any device: `single`, tensor by tensor, and `run`, on lists with torch._foreach_*.

A list operation is one launch for many tensors. An intermediate result overwrites an operand that nobody needs any more, and the
result that is a slot's new value its old one; lists are cut into slices of 2^26 elements, which bounds what is left of extra
memory. What has no list form (comparisons, where) goes tensor by tensor.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.optim.backends.lockstep import Run
from thalweg.optim.backends.reference import evaluate
from thalweg.optim.language.functions import NUMPY, Functions, channels, measured, newton_schulz
from thalweg.optim.language.program import Program
from thalweg.optim.language.symbols import MODEL

SLICE = 1 << 26  # elements


def _both(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Tensor]:
    """A function of two tensors that takes a number for one of them."""

    def applied(a: Any, b: Any) -> Tensor:
        like = a if isinstance(a, Tensor) else b
        return function(*(x if isinstance(x, Tensor) else torch.as_tensor(x, dtype=like.dtype, device=like.device) for x in (a, b)))

    return applied


def _where(condition: Any, a: Any, b: Any, dtype: torch.dtype) -> Any:
    """torch.where whose two numbers make a tensor of the dtype that is computed in, not of the default one.

    Where the host decides, the result is a tensor of its own like the operands: it may be overwritten, and they may not.
    """
    if not isinstance(condition, Tensor):
        chosen, other = (a, b) if condition else (b, a)
        if isinstance(chosen, Tensor):
            return chosen.clone()
        return torch.full_like(other, chosen) if isinstance(other, Tensor) else chosen
    return torch.where(condition, a if isinstance(a, Tensor) else torch.tensor(a, dtype=dtype, device=condition.device), b)


@functools.cache
def functions(dtype: torch.dtype) -> Functions:
    """The operations of the language on tensors of that dtype and numbers."""
    return {**{op: _numbers_too(op, function) for op, function in _ANY.items()}, "where": functools.partial(_where, dtype=dtype)}


def _numbers_too(op: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The operation on tensors, and NumPy's where all operands are numbers: the shape of a tensor, the host's."""

    def applied(*args: Any) -> Any:
        return function(*args) if any(isinstance(each, Tensor) for each in args) else NUMPY[op](*args).item()

    return applied


_ANY: Functions = {
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "pow", "neg", "lt", "le", "gt", "ge", "eq", "ne")},
    "div": operator.truediv,
    "abs": torch.abs,
    "sqrt": torch.sqrt,
    "exp": torch.exp,
    "log": torch.log,
    "cos": torch.cos,
    "floor": torch.floor,
    "sign": lambda x: torch.where(x.isnan(), x, x.sign()),  # torch's sign of NaN is 0
    "minimum": _both(torch.minimum),
    "maximum": _both(torch.maximum),
    "lerp": lambda a, b, weight: a + weight * (b - a),
    **dict.fromkeys(("sum", "sum_all"), torch.sum),
    **dict.fromkeys(("dot", "dot_all"), lambda x, y: torch.sum(x * y)),
    "mean_channel": lambda x: x.mean(channels(x.ndim), keepdim=True),
    "mean_row": lambda x: x.mean(-1, keepdim=True),
    "mean_col": lambda x: x.mean(-2, keepdim=True),
    "newton_schulz": newton_schulz,
}
_UNARY = ("neg", "abs", "sqrt", "exp", "log")
_WITH_NUMBER_RIGHT = ("add", "sub", "mul", "div", "maximum", "minimum", "pow")  # list op number
_WITH_NUMBER_LEFT = ("add", "mul", "maximum", "minimum")  # number op list is list op number


def host(program: Program, numbers: Mapping[str, float], live: Mapping[str, Tensor] = MappingProxyType({})) -> dict[int, Any]:
    """The values of the host's nodes before the first pass, as Python numbers, and those of the inputs they are made from.

    live: numbers that are tensors, which autograd follows through what is made of them.
    """
    values: dict[int, Any] = {place: np.float64(numbers[name]) for name, place in program.inputs.items() if name in numbers}
    values |= {place: live[name] for name, place in program.inputs.items() if name in live}
    with np.errstate(all="ignore"):
        evaluate(program, program.shared(0), values, functions(torch.float64) if live else NUMPY)
    return {place: value.item() if isinstance(value, np.generic | np.ndarray) else value for place, value in values.items()}


def _summed(program: Program, phase: int, values: dict[int, Any], parts: Mapping[int, float]) -> Run:
    """Wait for the totals of a phase's sums over all tensors, and compute what the host makes of them."""
    if parts:
        totals = yield list(parts.values())
        known = {place: np.float64(value) for place, value in values.items()}
        known |= zip(parts, map(np.float64, totals), strict=True)
        with np.errstate(all="ignore"):
            evaluate(program, program.shared(phase + 1), known)
        values.update((place, value.item()) for place, value in known.items())


def single(program: Program, tensors: Mapping[str, Tensor], values: Mapping[int, Any]) -> dict[str, Tensor]:
    """The new values of one tensor's arrays, with ordinary operations that autograd can follow."""
    known = _known(program, tensors, values)
    evaluate(program, range(len(program.nodes)), known, functions(tensors["p"].dtype))
    new = {name: _literal(program, place, known, tensors[name]) for name, place in program.outputs.items()}
    moved = program.inputs.values()  # an array's old value that becomes another's is copied, before that one is written
    return {name: value.clone() if program.outputs[name] in moved else value for name, value in new.items()}


def sums(program: Program, tensors: Sequence[Mapping[str, Tensor]], values: dict[int, Any]) -> Run:
    """Put a program's sums over all tensors into `values`, before `single` is called with each of them."""
    for phase in range(program.n_phases - 1):
        parts = {place: 0.0 for place in program.reductions(phase) if program.nodes[place].op in MODEL}
        for arrays in tensors if parts else ():
            known = _known(program, arrays, values)
            evaluate(program, program.reachable(parts), known, functions(arrays["p"].dtype))
            for place in parts:
                part = known[place]
                parts[place] += float(part.full_tensor() if hasattr(part, "full_tensor") else part)  # a sharded tensor has a part
        yield from _summed(program, phase, values, parts)


def _known(program: Program, tensors: Mapping[str, Tensor], values: Mapping[int, Any]) -> dict[int, Any]:
    given = {**tensors, **measured(tensors["p"].shape, torch.finfo(tensors["p"].dtype).eps)}
    return {**values, **{place: given[name] for name, place in program.inputs.items() if name in given}}


def _literal(program: Program, place: int, known: Mapping[int, Any], like: Tensor) -> Tensor:
    value = known[place] if place in known else program.nodes[place].value
    return value if isinstance(value, Tensor) else torch.full_like(like, value)


def run(program: Program, lists: Mapping[str, Sequence[Tensor]], values: dict[int, Any]) -> Run:
    """One step, in place, on lists of tensors of one dtype and device. Sums are over all tensors, and it waits for them."""
    for phase in range(program.n_phases - 1):
        parts = dict.fromkeys(program.reductions(phase), 0.0)
        for part in _slices(lists["p"]):
            known = _computed({name: list(tensors[part]) for name, tensors in lists.items()}, program, values, phase)
            for place in parts:
                x, y = (known[arg] for arg in (program.nodes[place].args * 2)[:2])
                each = [
                    torch.dot(a.flatten(), b.flatten()) if program.nodes[place].op == "dot_all" else a.sum()
                    for a, b in zip(x, y, strict=True)
                ]
                parts[place] += float(torch.stack(each).sum(dtype=torch.float64))
        yield from _summed(program, phase, values, parts)
    for part in _slices(lists["p"]):
        _run({name: list(tensors[part]) for name, tensors in lists.items()}, program, values)


def _slices(tensors: Sequence[Tensor]) -> Iterator[slice]:
    begin = elements = 0
    for end, tensor in enumerate(tensors):
        if end > begin and elements + tensor.numel() > SLICE:
            yield slice(begin, end)
            begin, elements = end, 0
        elements += tensor.numel()
    yield slice(begin, len(tensors))


def _computed(lists: dict[str, list[Tensor]], program: Program, values: Mapping[int, Any], phase: int) -> dict[int, Any]:
    """The values that a phase's sums or, in the last phase, the outputs are made from."""
    known: dict[int, Any] = dict(values)
    known |= {program.inputs[name]: tensors for name, tensors in lists.items() if name in program.inputs}
    final = phase == program.n_phases - 1
    home = {place: name for name, place in program.outputs.items()} if final else {}  # the array that a node is the new value of
    kept = {*home, *(arg for place in program.reductions(phase) for arg in program.nodes[place].args)}
    order, last = _schedule(program, phase)
    own: set[int] = set()  # nodes whose tensors were made here
    for step, place in enumerate(order):
        node = program.nodes[place]
        args = [known[arg] if arg in known else program.nodes[arg].value for arg in node.args]
        # The first operand is overwritten if this is its last use and it was made here, or is the old value of this very array.
        first = node.args[0]
        mine = first in own or program.inputs.get(home.get(place, "")) == first
        spare = mine and last[first] == step and node.args.count(first) == 1 and first not in kept
        known[place] = _apply(node.op, args, spare, functions(lists["p"][0].dtype))
        own.add(place)
        for arg in set(node.args) & own:
            if last[arg] == step and arg not in kept:
                del known[arg]
    return known


def _run(lists: dict[str, list[Tensor]], program: Program, values: Mapping[int, Any]) -> None:
    known = _computed(lists, program, values, program.n_phases - 1)
    results: dict[str, list[Tensor]] = {}
    for name, place in program.outputs.items():
        result = known[place] if place in known else program.nodes[place].value
        if not isinstance(result, list):
            result = [torch.full_like(tensor, result) for tensor in lists[name]]
        if place in program.inputs.values():  # a slot's old value becomes another's: copy it before that slot is written
            result = [tensor.clone() for tensor in result]
        results[name] = result
    for name, result in results.items():
        if result[0] is not lists[name][0]:
            torch._foreach_copy_(lists[name], result)


@functools.cache
def _schedule(program: Program, phase: int) -> tuple[list[int], dict[int, int]]:
    """The element nodes of a phase in order, and the step at which each value is used last."""
    order = [place for place in program.kernel(phase) if program.nodes[place].op != "input"]
    return order, {arg: step for step, place in enumerate(order) for arg in program.nodes[place].args}


def _apply(op: str, args: list[Any], in_place: bool, table: Functions) -> list[Tensor]:
    """One node on lists of tensors; `in_place` lets it overwrite the first operand."""
    kinds = [isinstance(each, list) for each in args]
    if kinds == [False, True] and op in _WITH_NUMBER_LEFT:
        args, kinds, in_place = args[::-1], [True, False], False
    listed = (
        (op in _UNARY)
        or (op in _WITH_NUMBER_RIGHT and kinds == [True, False])
        or (op in _WITH_NUMBER_RIGHT[:-1] and kinds == [True, True])
        or (op == "lerp" and kinds == [True, True, False] and args[2] < 0.5)  # from 0.5 on torch's formula is another one
    )
    if listed and args[0][0].dtype != torch.bool:
        made = getattr(torch, f"_foreach_{op}{'_' * in_place}")(*args)
        return args[0] if in_place else list(made)
    count = len(next(each for each in args if isinstance(each, list)))
    return [table[op](*(each[k] if isinstance(each, list) else each for each in args)) for k in range(count)]
