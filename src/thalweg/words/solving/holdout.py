"""Pairs that are kept from the solver, to see how well inner products foretell what they were not fitted to.

A pair of words is held out, both orders together, if a hash of (i, j) and the seed falls below the share: it depends on nothing
else. The pull of all pairs still reaches it, as it reaches a pair that never met, and its count is part of the marginals.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError
from thalweg.jit import kernel
from thalweg.words.solving.objective import Table


def split(table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
    """The table without the pairs that are held out, and the table of these. Raises InputError if no pair is left to be seen."""
    held = np.empty(len(table.columns), np.bool_)
    lengths = np.empty(len(table.pull), np.int64)
    _choose(table.indptr, table.columns, np.uint64(int(fraction * 2.0**64)), np.uint64(seed % (1 << 64)), held, lengths)
    if held.all():
        msg = f"holdout={fraction!r} leaves none of the {len(held) // 2:,} pairs that met to be fitted: take a smaller share"
        raise InputError(msg)
    return _part(table, ~held, np.diff(table.indptr) - lengths), _part(table, held, lengths)


def _part(table: Table, chosen: npt.NDArray[np.bool_], lengths: npt.NDArray[np.int64]) -> Table:
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    arrays = {name: getattr(table, name)[chosen] for name in ("columns", "weights", "targets")}
    return replace(table, indptr=indptr, **arrays)


@kernel
def _choose(indptr, columns, below, seed, held, lengths):  # type: ignore[no-untyped-def]
    """Which entries are held out, and how many of each row."""
    for row in range(len(indptr) - 1):
        n = 0
        for e in range(indptr[row], indptr[row + 1]):
            column = int(columns[e])
            pair = np.uint64(max(row, column)) << np.uint64(32) | np.uint64(min(row, column))
            held[e] = _mixed(pair ^ _mixed(seed)) < below
            n += held[e]
        lengths[row] = n


@kernel
def _mixed(x):  # type: ignore[no-untyped-def]
    """splitmix64 (Steele, Lea and Flood 2014): every bit of x moves half of the bits."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


__all__ = ["split"]
