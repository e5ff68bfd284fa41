"""Programs run node by node on arrays: in NumPy, the float64 reference, or with any other table of functions.

    after = run(program, {"p": p, "g": g, "s.m": m, "self.lr": 0.1, "t": 1})      # {"p": ..., "s.m": ...}

An array is one tensor per row, and each row a model of its own: sums over a tensor go over the last axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from thalweg.optim.language.functions import NUMPY, Functions
from thalweg.optim.language.program import Program


def evaluate(program: Program, places: Iterable[int], values: dict[int, Any], functions: Functions = NUMPY) -> None:
    """Compute the nodes at `places`, in order, into `values`, which holds the inputs that they are made from."""
    for place in places:
        node = program.nodes[place]
        if place not in values and node.op != "const":
            values[place] = functions[node.op](*(_operand(program, arg, values) for arg in node.args))


def _operand(program: Program, place: int, values: Mapping[int, Any]) -> Any:
    node = program.nodes[place]
    return node.value if node.op == "const" else values[place]


def run(program: Program, inputs: Mapping[str, Any], functions: Functions = NUMPY) -> dict[str, Any]:
    """One step: the new values of p, of the slots and of the scalars, by the names of the inputs."""
    values = {place: inputs[name] for name, place in program.inputs.items()}
    with np.errstate(all="ignore"):
        evaluate(program, range(len(program.nodes)), values, functions)
    new = {"p": program.p, **{f"s.{name}": place for name, place in {**program.slots, **program.scalars}.items()}}
    return {name: _operand(program, place, values) for name, place in new.items()}
