"""What one step of a rule does, as straight-line code: the only thing that back ends read.

A program is a list of nodes in order (static single assignment). Those with one value per group or per tensor are computed in
float64 by the host, once a step; those with one value per element make the kernel. A reduction (a sum over a tensor) ends a
phase: phase 0 is a pass over the elements that only sums, the next pass may use the sums. What does not reach the parameters,
in this step or through a slot in a later one, is not here: a slot that a flag leaves unused takes no memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from thalweg.optim.language.symbols import ELEMENT, HOST, MODEL, REDUCTIONS, SHAPE, SHAPED, Node

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**"}
INFIX |= {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}


@dataclass(frozen=True)
class Cost:
    """What a step needs for each element: bytes read and written, floating-point operations. The bytes are the floor."""

    reads: int
    writes: int
    flops: int


@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """One step of a rule. `p`, `slots` and `scalars` are the places of the nodes that hold the new values."""

    rule: str
    nodes: tuple[Node, ...]
    p: int
    slots: Mapping[str, int]  # per element
    scalars: Mapping[str, int]  # one float64 number for each tensor

    @cached_property
    def inputs(self) -> dict[str, int]:
        """Name -> place: p, g, s.<slot>, self.<field>, t, size."""
        return {str(node.value): place for place, node in enumerate(self.nodes) if node.op == "input"}

    @cached_property
    def arrays(self) -> tuple[str, ...]:
        """What has one value per element in memory: p, g, the slots that are needed, and random numbers where a step takes some."""
        return ("p", "g", *(f"s.{name}" for name in self.slots), *(("noise",) if "noise" in self.inputs else ()))

    @cached_property
    def outputs(self) -> dict[str, int]:
        """Array -> place of its new value, for those that change."""
        new = {"p": self.p, **{f"s.{name}": place for name, place in self.slots.items()}}
        return {name: place for name, place in new.items() if self.inputs.get(name) != place}

    @cached_property
    def n_phases(self) -> int:
        """Passes over the elements: 1, and one more for each reduction that waits for another."""
        return 1 + max(node.phase for node in self.nodes)

    @cached_property
    def whole_model(self) -> bool:
        """Whether it takes sums over all tensors, so that they have to be stepped together."""
        return any(node.op in MODEL for node in self.nodes)

    @cached_property
    def shaped(self) -> bool:
        """Whether the shape of a tensor matters: such a program runs on the libraries' own operations."""
        return any(node.op in SHAPED or (node.op == "input" and node.value in SHAPE) for node in self.nodes)

    def reductions(self, phase: int) -> list[int]:
        """The sums that a pass makes."""
        return [place for place, node in enumerate(self.nodes) if node.op in REDUCTIONS and node.phase == phase + 1]

    def kernel(self, phase: int) -> list[int]:
        """The element nodes that a pass computes, in order: those that its sums need, or in the last one the outputs."""
        last = phase == self.n_phases - 1
        goals = self.outputs.values() if last else [arg for place in self.reductions(phase) for arg in self.nodes[place].args]
        return [place for place in self.reachable(goals, ELEMENT) if self.nodes[place].level == ELEMENT]

    def constants(self, phase: int) -> list[int]:
        """The host's numbers that a pass takes: operands of its element nodes that are neither elements nor literals."""
        places = [arg for place in self.kernel(phase) for arg in self.nodes[place].args]
        if phase == self.n_phases - 1:
            places += self.outputs.values()
        return sorted({arg for arg in places if self.nodes[arg].level < ELEMENT and self.nodes[arg].op != "const"})

    def host(self, phase: int) -> list[int]:
        """The host's nodes that can be computed before a pass and not earlier."""
        given = ("const", "input", *REDUCTIONS)
        host = (place for place, node in enumerate(self.nodes) if node.level < ELEMENT and node.op not in given)
        return [place for place in host if self.nodes[place].phase == phase]

    def shared(self, phase: int) -> list[int]:
        """Those of the host's nodes that have one value for all tensors of a group."""
        return [place for place in self.host(phase) if self.nodes[place].level == HOST]

    def reachable(self, goals: Iterable[int], level: int = 0) -> list[int]:
        """The goals and the nodes they are made from, in order; only through nodes of at least that level."""
        found, waiting = set(), list(goals)
        while waiting:
            place = waiting.pop()
            if place not in found:
                found.add(place)
                waiting += [arg for arg in self.nodes[place].args if self.nodes[arg].level >= level]
        return sorted(found)

    def cost(self, item: int = 4, parameter: int | None = None) -> Cost:
        """Bytes and operations per element, for slots of `item` bytes and p, g of `parameter` bytes (the same if not given)."""
        size = {name: (parameter or item) if name in ("p", "g") else item for name in self.arrays}
        reads = writes = flops = 0
        for phase in range(self.n_phases):
            nodes = [self.nodes[place] for place in self.kernel(phase)]
            reads += sum(size[str(node.value)] for node in nodes if node.op == "input")
            flops += sum(3 if node.op == "lerp" else 1 for node in nodes if node.op != "input")
            flops += sum(len(self.nodes[place].args) for place in self.reductions(phase))
        writes = sum(size[name] for name in self.outputs)
        return Cost(reads, writes, flops)

    @cached_property
    def digest(self) -> str:
        """The same for two programs that do the same."""
        described = repr((self.nodes, self.p, tuple(self.slots.items()), tuple(self.scalars.items())))
        return hashlib.sha256(described.encode()).hexdigest()[:16]

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.digest == other.digest

    def expression(self, place: int, names: Mapping[int, str] | None = None) -> str:
        """One node as Python: "x3 + k1", "lerp(s.m, g, k2)"."""
        node, names = self.nodes[place], names or self.names
        if node.op in ("const", "input"):
            return f"{node.value!r}" if node.op == "const" else str(node.value)
        args = [names[arg] for arg in node.args]
        if node.op in INFIX:
            return f" {INFIX[node.op]} ".join(args)
        return f"-{args[0]}" if node.op == "neg" else f"{node.op}({', '.join(args)})"

    @cached_property
    def names(self) -> dict[int, str]:
        """A name for every node: literals and inputs as themselves, k1, k2, ... on the host, x1, x2, ... for elements."""
        found: dict[int, str] = {}
        counts = {"k": 0, "x": 0}
        for place, node in enumerate(self.nodes):
            if node.op == "const":
                found[place] = f"{node.value:.12g}"
            elif node.op == "input":
                found[place] = str(node.value)
            else:
                letter = "x" if node.level == ELEMENT else "k"
                counts[letter] += 1
                found[place] = f"{letter}{counts[letter]}"
        return found

    def __str__(self) -> str:
        """The program as one would write it down."""
        cost = self.cost()
        lines = [f"{self.rule}: {cost.reads} bytes read, {cost.writes} written, {cost.flops} operations an element (float32)"]
        for phase in range(self.n_phases):
            lines += self._block("on the host, once a step" if phase == 0 else "on the host, for each tensor", self.host(phase))
            computed = [place for place in self.kernel(phase) if self.nodes[place].op != "input"]
            lines += self._block(f"pass {phase + 1}, for each element" if self.n_phases > 1 else "for each element", computed)
            lines += self._block("sums over the tensor", self.reductions(phase))
        lines += [f"    {name} = {self.names[place]}" for name, place in self.outputs.items()]
        lines += [f"    s.{name} = {self.names[place]}" for name, place in self.scalars.items()]
        return "\n".join(lines)

    def _block(self, title: str, places: list[int]) -> list[str]:
        if not places:
            return []
        return [f"  {title}:", *(f"    {self.names[place]} = {self.expression(place)}" for place in places)]
