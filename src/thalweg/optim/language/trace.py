"""From a rule to its program: `step` runs once, on symbols; or `stages`, to one program for each gradient.

Flags, choices and the fields that are off decide what the program is; every other number is an input of it, so a schedule never
leads to a new one. Programs are kept: two rules that differ in numbers only share theirs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Protocol

from thalweg.errors import RuleError
from thalweg.optim.language.fields import DECIDING
from thalweg.optim.language.program import Program
from thalweg.optim.language.state import Slots, Stages, State, Value
from thalweg.optim.language.symbols import ELEMENT, HOST, Node, Symbol, Tape


class Steps(Protocol):
    """What is traced: a frozen dataclass of declared numbers with stages (`thalweg.optim.language.rule.Rule`)."""

    slots: ClassVar[Slots]
    scalars: ClassVar[Slots]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def stages(self, p: Value, s: State, t: Value) -> Stages: ...


Structure = tuple[tuple[str, bool | str | int | None], ...]


def structure(rule: Steps) -> Structure:
    """What decides the rule's program: (field, value) for flags, choices and counts, (field, None) for numbers that are off."""
    found: list[tuple[str, bool | str | int | None]] = []
    for each in fields(rule):
        value = getattr(rule, each.name)
        if each.metadata["kind"] in DECIDING:
            found.append((each.name, value))
        elif each.metadata["off_at"] is not None and value == each.metadata["off_at"]:
            found.append((each.name, None))
    return tuple(found)


def programs(rule: Steps, *, maximize: bool = False, scaled: bool = False) -> tuple[Program, ...]:
    """The rule's programs, one for each gradient that a step takes: it makes the next point, the last one the end of the step.

    A step that takes several keeps where it started in a slot `start` and earlier gradients in g0, g1, ... between its programs.
    Raises RuleError, with file and line, for a step that uses what is not in the language.
    """
    return _programs(type(rule), structure(rule), maximize, scaled)


@functools.cache
def _programs(kind: type[Steps], decided: Structure, maximize: bool, scaled: bool) -> tuple[Program, ...]:
    tape = Tape()
    rule = _symbolic(kind, dict(decided), tape)
    p, t = tape.input("p", ELEMENT), tape.input("t", HOST)
    before = {name: tape.input(f"s.{name}", ELEMENT) for name in kind.slots.initial}
    before |= {name: tape.input(f"s.{name}", HOST) for name in kind.scalars.initial}
    points, answer = _followed(rule, tape, p, State(dict(before)), t, maximize, scaled)
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], State)):
        msg = f"{kind.__name__}.step must return the pair (p, s) with s made by s(...), not {type(answer).__name__}"
        raise RuleError(msg)
    after = {name: tape.symbol(getattr(answer[1], name)).place for name in before}
    for name in kind.scalars.initial:
        if tape.nodes[after[name]].level == ELEMENT:
            msg = (
                f"{kind.__name__}: s.{name} is one number for a tensor, but the step gives it one for each element; make it a slot"
            )
            raise RuleError(msg)
    made = _trimmed(kind, tape.nodes, [*points, tape.symbol(answer[0]).place], after)
    if ("wd", None) not in decided and not any("self.wd" in each.inputs for each in made):
        msg = f"{kind.__name__}.step does nothing with wd; begin it with p, g = self.decayed(p, g)"
        raise RuleError(msg)
    return made


def _followed(rule: Steps, tape: Tape, p: Symbol, s: State, t: Symbol, maximize: bool, scaled: bool) -> tuple[list[int], object]:
    """The places of the points after the first at which the step asks for a gradient, and what it returns."""
    stages, points = rule.stages(p, s, t), list[int]()
    try:
        point = next(stages)
        if not (isinstance(point, Symbol) and point.place == p.place):
            msg = f"{type(rule).__name__}.stages: the first gradient is the one at p; begin with g = yield p"
            raise RuleError(msg)
        while True:
            g = tape.input(f"g{len(points)}", ELEMENT)
            force = g / tape.input("grad_scale", HOST) if scaled else g
            points.append(tape.symbol(stages.send(-force if maximize else force)).place)
    except StopIteration as end:
        return points, end.value


def _symbolic(kind: type[Steps], decided: Mapping[str, bool | str | int | None], tape: Tape) -> Steps:
    """A rule of that class whose numbers are symbols, but for those that are off, which are the literal 0."""
    rule = object.__new__(kind)
    for each in fields(kind):
        value: Any
        if each.name not in decided:
            value = tape.input(f"self.{each.name}", HOST)
        else:
            value = each.metadata["off_at"] if decided[each.name] is None else decided[each.name]
        object.__setattr__(rule, each.name, value)
    return rule


def _trimmed(kind: type[Steps], nodes: list[Node], points: list[int], after: Mapping[str, int]) -> tuple[Program, ...]:
    """The programs without what never reaches the parameters, in this step or a later one."""
    whole = Program(kind.__name__, tuple(nodes), points[-1], {}, {})
    live, needed = whole.reachable(points), dict[str, int]()
    while True:
        read = [str(nodes[place].value)[2:] for place in live if str(nodes[place].value).startswith("s.")]
        if all(name in needed for name in read):
            break
        needed |= {name: after[name] for name in read}
        live = whole.reachable([*points, *needed.values()])
    slots = {f"s.{name}": needed[name] for name in kind.slots.initial if name in needed}
    scalars = {f"s.{name}": needed[name] for name in kind.scalars.initial if name in needed}
    if len(points) == 1:
        return (_segment(kind, nodes, points[0], slots, scalars, {"g0": "g"}),)
    saved = ["s.start", *(f"s.g{j}" for j in range(len(points) - 1))]
    made = []
    for k, point in enumerate(points):
        last = k == len(points) - 1
        inputs = {f"g{j}": "g" if j == k else f"s.g{j}" for j in range(len(points))} | ({"p": "s.start"} if k else {})
        held: dict[str, int | str] = {name: name for name in (*slots, *saved)}  # what a program leaves is its own new value
        held.update(slots if last else {f"s.g{k}": "g"})
        held.update({} if k else {"s.start": "p"})
        numbers = {name: place if last else name for name, place in scalars.items()}
        made.append(_segment(kind, nodes, point, held, numbers, inputs))
    return tuple(made)


def _segment(
    kind: type[Steps],
    nodes: list[Node],
    p: int,
    slots: Mapping[str, int | str],
    scalars: Mapping[str, int | str],
    names: Mapping[str, str],
) -> Program:
    """The program of these goals: places, or the names of arrays whose values they are. `names` are those of inputs in it."""
    goals = [place for place in (p, *slots.values(), *scalars.values()) if isinstance(place, int)]
    live = Program(kind.__name__, tuple(nodes), p, {}, {}).reachable(goals)
    places = {old: new for new, old in enumerate(live)}
    kept = [
        Node(n.op, tuple(places[a] for a in n.args), n.level, n.phase, n.boolean, names.get(str(n.value), n.value))
        for n in (nodes[i] for i in live)
    ]

    def place(goal: int | str, level: int) -> int:
        if isinstance(goal, int):
            return places[goal]
        wanted = Node("input", level=level, value=goal)
        if wanted not in kept:
            kept.append(wanted)
        return kept.index(wanted)

    held = {name.removeprefix("s."): place(goal, ELEMENT) for name, goal in slots.items()}
    numbers = {name.removeprefix("s."): place(goal, HOST) for name, goal in scalars.items()}
    return Program(kind.__name__, tuple(kept), places[p], held, numbers)
