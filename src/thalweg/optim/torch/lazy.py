"""Lazy rows: a table of which a batch reads few rows is stepped only there, and takes the path of the dense optimizer.

    opt = Adam(model.parameters());  opt.lazy_rows(model.embedding)

A row whose gradient is 0 still moves, by momentum and decay. It is left as it is, `last` holds the number of steps that it has
made, and those that it lacks are made when it is next read or updated (`torch.rows`, `thalweg.optim.torch.idle`). Touched are
the rows whose gradient is not 0, wherever it comes from: of a sparse gradient its own, of a dense one those that a pass over it
finds. So a step costs what the touched rows cost, however tall the table, and that pass where the gradient is dense.
mode="skip" leaves idle steps out, as torch.optim.SparseAdam does: another path.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import RuleError
from thalweg.jit import kernel
from thalweg.optim.backends import compiled
from thalweg.optim.backends.idle import moves, settle
from thalweg.optim.backends.lockstep import Run
from thalweg.optim.language.program import Program
from thalweg.optim.language.rule import Rule
from thalweg.optim.rules.chained import Chained
from thalweg.optim.rules.transforms import schedule
from thalweg.optim.torch.idle import Idle, idle
from thalweg.optim.torch.rows import Rows, check_owner
from thalweg.optim.torch.tables import EVERY, KINDS, CompiledTable, Entry, Found

Integers = compiled.Integers
Floats = compiled.Floats


class LazyTable(CompiledTable):
    """One parameter whose rows are stepped when they are touched: to the kernel, each row is a tensor."""

    backend = "numba lazy"

    def __init__(
        self, programs: tuple[Program, ...], entries: Sequence[Entry], keys: Mapping[str, str], rule: Rule, rows: Rows
    ) -> None:
        super().__init__(programs, entries, keys)
        self.rows, self.rule = rows, rule
        bits = 60 if self.kind == "float64" else 30
        self.idle: Idle = idle(rule, bits)
        p = self.parameters[0]
        if not p.is_contiguous() or self.kind not in KINDS.values() or p.element_size() < 4:
            msg = f"lazy rows: a table of shape {tuple(p.shape)} has to be contiguous float32 or float64"
            raise RuleError(msg)
        self.width = p[0].numel()
        self.stride = self.width * p.element_size()
        self.zero = torch.zeros(self.width, dtype=p.dtype, device="cpu")
        if isinstance(rows.table, LazyTable) and not rows.table.goes_on_as(self):
            rows.catch_up()  # the steps so far were those of another rule, or with other slots
        if len(rows.last) != len(p):
            rows.forget()  # taller or shorter than it was: whoever did that has brought all rows to the present
        rows.table = self

    def goes_on_as(self, other: LazyTable) -> bool:
        """Whether the steps that rows lack are the same there: one rule, one parameter, the same slots."""
        mine, theirs = ([*table.parameters, *(x for held in table.slots.values() for x in held)] for table in (self, other))
        one = len(mine) == len(theirs) and all(x is y for x, y in zip(mine, theirs, strict=True))
        return one and (self.program, self.idle) == (other.program, other.idle)

    def gradients(self) -> Found:
        """The gradient of the touched rows, and which they are. Raises RuleError for one of another shape."""
        check_owner(self.rows)
        p, g = self.parameters[0], self.parameters[0].grad
        if g is None:
            return [None], np.array([False])
        if g.shape != p.shape:
            msg = f"lazy rows: a gradient of shape {tuple(g.shape)} of a table of shape {tuple(p.shape)}"
            raise RuleError(msg)
        if g.layout == torch.sparse_coo and g.sparse_dim() == 1:
            g = g.coalesce()
            self.touched, values = g.indices()[0].numpy(), g.values()
        else:
            g = (g if g.layout == torch.strided else g.to_dense()).contiguous().resolve_neg()
            self.touched = np.flatnonzero(bits(g.numpy().view(f"i{g.element_size()}").reshape(len(g), -1)))
            values = g[torch.from_numpy(self.touched)]
        return [values.to(p.dtype).contiguous()], EVERY

    def run(self, stage: int, gradients: list[Tensor | None], rows: Integers, inputs: dict[str, Floats]) -> Run:
        if gradients[0] is None:
            yield from ()
            return {name: values[:1] for name, values in inputs.items() if name.startswith("s.")}
        done = self.rows.steps
        self.rows.bring(self.touched)
        count = len(self.touched)
        at = gradients[0].data_ptr() + np.arange(count, dtype=np.int64) * self.stride
        which = np.zeros(count + 1, dtype=np.int64)  # the last tensor is empty: numbers of the whole table move without rows too
        new = yield from compiled.run(self.kernels[0], self._tensors(self.touched, at), which, inputs, which, 1)
        self.rows.note({**inputs, **(moves(self.program, self.idle.eps, inputs) if self.idle.eps else {})})
        self.rows.last[self.touched] = done + 1
        return {name: values[-1:] for name, values in new.items()}

    def make_idle(self, rows: Integers, last: Integers) -> None:
        """The steps from `last` to the present of these rows with g = 0.   rows, last: (n,)"""
        if self.watch.moved():
            msg = "lazy rows: a slot was resized or moved while rows were behind; call opt.catch_up() before you do that"
            raise RuleError(msg)
        first, upto = int(last.min()), self.rows.steps
        numbers = {name: values[first:upto] for name, values in self.rows.numbers.items()}
        begin = last - first
        end = begin if self.idle.signs else np.minimum(begin + self.idle.terms, upto - first)
        if self.idle.signs:
            self._signs(rows, begin, numbers)
        elif self.idle.eps:
            self._without_slots(rows, begin, end, numbers)
            return
        else:
            self._loop(rows, begin, end, numbers)
        rest = end < upto - first
        if rest.any():
            self._powers(rows[rest], end[rest], numbers)

    def _without_slots(self, rows: Integers, begin: Integers, end: Integers, numbers: dict[str, Floats]) -> None:
        """All of the idle steps, see `settle`."""
        b1, b2, decay = numbers["self.b1"], numbers["self.b2"], self._decay(numbers)
        steps = np.stack([decay, b1, np.sqrt(b2), numbers["f"], numbers["B"]])
        left = np.stack([_suffix(decay), _suffix(b1), _suffix(b2)])
        p, m, v = (x.detach().numpy().reshape(-1) for x in (self.parameters[0], self.slots["m"][0], self.slots["v"][0]))
        settle(p, m, v, self.width, p.dtype.type(self.idle.eps), rows, begin, end, steps, left)

    def _loop(self, rows: Integers, begin: Integers, end: Integers, numbers: dict[str, Floats]) -> None:
        """The program itself, step by step: row r is a tensor end - begin times, one after the other."""
        counts = end - begin
        total = int(counts.sum())
        if total:
            row = np.repeat(rows, counts)
            step = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(begin, counts)
            which = np.append(step, 0).astype(np.int64)
            at = np.full(total, self.zero.data_ptr(), dtype=np.int64)
            compiled.launch(self.kernels[0], self._tensors(row, at), which, numbers, which, 1)

    def _powers(self, rows: Integers, begin: Integers, numbers: dict[str, Floats]) -> None:
        """What is left of slots and of p after the steps begin ...: products of their factors."""
        index = torch.from_numpy(rows)
        for slot, name in self.idle.falling.items():
            if slot in self.slots and f"self.{name}" in numbers:
                self._scale(self.slots[slot][0], index, _suffix(numbers[f"self.{name}"])[begin])
        if self.rule.wd and not self.idle.signs:
            self._scale(self.parameters[0], index, _suffix(self._decay(numbers))[begin])

    def _signs(self, rows: Integers, begin: Integers, numbers: dict[str, Floats]) -> None:
        """Lion's p = D p - sign(m) sum of D_i lr_i, as long as m = b2^k m is not 0 in its own precision."""
        p, m, index = self.parameters[0], self.slots["m"][0], torch.from_numpy(rows)
        rates = self._rates(numbers)
        kept = _suffix(self._decay(numbers))
        rates = self._rounded(rates)
        moved = np.append(np.cumsum((rates * kept[1:])[::-1])[::-1], 0.0)  # from each step to the present
        mine = m[index].double().abs().log2()
        least = math.log2(torch.finfo(m.dtype).smallest_normal) + math.log2(torch.finfo(m.dtype).eps) - 1  # half of what is not 0
        alive = ((least - mine) / np.log2(numbers["self.b2"][-1])).clamp(0, len(rates)).nan_to_num(len(rates)).long()
        ends = (torch.from_numpy(begin).reshape(-1, *[1] * (p.dim() - 1)) + alive).clamp(max=len(rates))
        far = torch.from_numpy(moved)
        start = far[torch.from_numpy(begin)].reshape(-1, *[1] * (p.dim() - 1))
        with torch.no_grad():
            shrunk = p[index].double() * torch.from_numpy(kept[begin]).reshape(-1, *[1] * (p.dim() - 1))
            p[index] = (shrunk - m[index].double().sign() * (start - far[ends])).to(p.dtype)

    def _rates(self, numbers: dict[str, Floats]) -> Floats:
        rates = numbers["self.lr"]
        for each in self.rule.transforms if isinstance(self.rule, Chained) else ():
            rates = rates * each.factor(numbers["clock"] - 1) if isinstance(each, schedule) else rates
        return rates

    def _decay(self, numbers: dict[str, Floats]) -> Floats:
        """By how much each step shrinks p."""
        rates = self._rates(numbers)
        return self._rounded(1 - rates * numbers["self.wd"] if self.rule.wd else np.ones_like(rates))

    def _rounded(self, factors: Floats) -> Floats:
        """The factors as the kernel has them, in the precision that it computes in: over 300 steps their rounding shows."""
        return factors.astype(self.kind).astype(np.float64)

    def _scale(self, x: Tensor, index: Tensor, factors: Floats) -> None:
        shape = (-1, *[1] * (x.dim() - 1))
        with torch.no_grad():
            x[index] = (x[index].double() * torch.from_numpy(factors).reshape(shape)).to(x.dtype)

    def _tensors(self, rows: Integers, gradients: Integers) -> compiled.Tensors:
        """Rows as tensors, and an empty one behind them.   rows, gradients (addresses): (n,)"""
        homes = [self.parameters[0], *(slots[0] for slots in self.slots.values())]
        at = [home.data_ptr() + rows * self.stride for home in homes]
        sizes = np.append(np.full(len(rows), self.width, dtype=np.int64), 0)
        addresses = np.zeros((len(at) + 1, len(sizes)), dtype=np.int64)
        addresses[:, :-1] = [at[0], gradients, *at[1:]]
        return compiled.Tensors(addresses, compiled.chunked(sizes), sizes)


@kernel
def bits(g: Any) -> Any:
    """All bits that are set in a row, which are none where it is all zeros.   (rows, width) of integers -> (rows,)"""
    found = np.zeros(len(g), np.int64)
    for k in range(len(g)):
        row, together = g[k], found[k]
        for j in range(len(row)):
            together |= row[j]
        found[k] = together
    return found


def _suffix(factors: Floats) -> Any:
    """The products of all factors from each on, and 1 behind the last.   (n,) -> (n + 1,)"""
    return np.append(np.cumprod(factors[::-1])[::-1], 1.0)
