"""From a rule to its program: `step` runs once, on symbols.

Flags, choices and the fields that are off decide what the program is; every other number is an input of it, so a schedule never
leads to a new one. Programs are kept: two rules that differ in numbers only share theirs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from thalweg.errors import RuleError
from thalweg.optim.program import Program
from thalweg.optim.rule import Rule, State
from thalweg.optim.symbols import ELEMENT, HOST, Node, Tape

Structure = tuple[tuple[str, bool | str | None], ...]


def structure(rule: Rule) -> Structure:
    """What decides the rule's program: (field, value) for flags and choices, (field, None) for numbers that are off."""
    found: list[tuple[str, bool | str | None]] = []
    for each in fields(rule):
        value = getattr(rule, each.name)
        if each.metadata["kind"] in ("flag", "choice"):
            found.append((each.name, value))
        elif each.metadata["off_at"] is not None and value == each.metadata["off_at"]:
            found.append((each.name, None))
    return tuple(found)


def program(rule: Rule, *, maximize: bool = False, scaled: bool = False) -> Program:
    """The rule's program. Raises RuleError, with file and line, for a step that uses what is not in the language."""
    return _program(type(rule), structure(rule), maximize, scaled)


@functools.cache
def _program(kind: type[Rule], decided: Structure, maximize: bool, scaled: bool) -> Program:
    tape = Tape()
    rule = _symbolic(kind, dict(decided), tape)
    p, g, t = tape.input("p", ELEMENT), tape.input("g", ELEMENT), tape.input("t", HOST)
    before = {name: tape.input(f"s.{name}", ELEMENT) for name in kind.slots.initial}
    before |= {name: tape.input(f"s.{name}", HOST) for name in kind.scalars.initial}
    force = g / tape.input("grad_scale", HOST) if scaled else g
    answer: object = rule.step(p, -force if maximize else force, State(dict(before)), t)
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
    made = _trimmed(kind, tape.nodes, tape.symbol(answer[0]).place, after)
    if ("wd", None) not in decided and "self.wd" not in made.inputs:
        msg = f"{kind.__name__}.step does nothing with wd; begin it with p, g = self.decayed(p, g)"
        raise RuleError(msg)
    return made


def _symbolic(kind: type[Rule], decided: Mapping[str, bool | str | None], tape: Tape) -> Rule:
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


def _trimmed(kind: type[Rule], nodes: list[Node], p: int, after: Mapping[str, int]) -> Program:
    """The program without what never reaches the parameters, in this step or a later one."""
    whole = Program(kind.__name__, tuple(nodes), p, {}, {})
    live, needed = whole.reachable([p]), dict[str, int]()
    while True:
        read = [str(nodes[place].value)[2:] for place in live if str(nodes[place].value).startswith("s.")]
        if all(name in needed for name in read):
            break
        needed |= {name: after[name] for name in read}
        live = whole.reachable([p, *needed.values()])
    places = {old: new for new, old in enumerate(live)}
    kept = tuple(
        Node(n.op, tuple(places[a] for a in n.args), n.level, n.phase, n.boolean, n.value) for n in (nodes[i] for i in live)
    )
    slots = {name: places[needed[name]] for name in kind.slots.initial if name in needed}
    scalars = {name: places[needed[name]] for name in kind.scalars.initial if name in needed}
    return Program(kind.__name__, kept, places[p], slots, scalars)
