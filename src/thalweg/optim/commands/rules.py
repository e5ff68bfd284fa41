"""`thalweg optim list` and `thalweg optim show`: what rules there are, and all about one of them."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from thalweg import options
from thalweg.console import Console
from thalweg.optim.commands import choosing

if TYPE_CHECKING:
    from thalweg.optim.language.rule import Rule

SHAPES = {"row": "row", "col": "column"}


@options.command("list", examples=["thalweg optim list", "thalweg optim list --markdown"])
@options.option("--markdown", is_flag=True, help="As a Markdown table.")
@options.json_option
def list_(markdown: bool, json: bool) -> None:
    """All rules: their numbers, what they keep for each element, and the bytes that a step moves.

    Bytes are for an element in float32: the parameter, its gradient and what is kept are read, all but the gradient written. There
    are none for a rule that keeps something for each row or column, which is said beside it.
    """
    from thalweg.optim.rules import KNOWN

    console = Console(json=json, command="optim list")
    found = [_facts(kind()) for kind in KNOWN.values()]
    head = ["rule", "numbers", "keeps", "bytes", "formula"]
    rows = [[each["rule"], _spelled(each["numbers"]), ", ".join(each["slots"]), each["bytes"], each["formula"]] for each in found]

    def show() -> None:
        if markdown:
            lines = [head, ["---"] * len(head), *rows]
            console.print("\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines))
        else:
            console.table(head, rows)

    console.result(found, show)


@options.command(
    "show",
    examples=["thalweg optim show adam", "thalweg optim show rmsprop --momentum 0.9 --centered"],
    context_settings={"ignore_unknown_options": True},
    options_metavar="[OPTIONS]",
)
@click.argument("rule")
@click.argument("numbers", nargs=-1, type=click.UNPROCESSED, metavar="[--NAME VALUE]...")
@options.json_option
def show(rule: str, numbers: tuple[str, ...], json: bool) -> None:
    """Formula, source, code, program, cost, flow and limit of a rule.

    RULE is a name of `thalweg optim list`, or your own as FILE.py:NAME. Its numbers follow as --lr 0.01, its switches as
    --centered or --no-centered, its choices as --eps-at inside; --like torch, optax or keras takes the form of that library.
    """
    console = Console(json=json, command="optim show")
    chosen = choosing.rule_of([rule, *numbers])
    facts = _facts(chosen)
    programs = chosen.programs()
    written = "\n".join(map(str, programs))
    value = facts | {"repr": repr(chosen), "config": chosen.to_config(), "docstring": _docstring(chosen), "program": written}
    known = _dynamics(chosen)
    value |= {"costs": [each.cost() for each in programs], "dynamics": known}

    def tell() -> None:
        console.print("\n\n".join(filter(None, [repr(chosen), _docstring(chosen)])) + "\n")
        console.table(["number", "value", "kind"], _fields(chosen))
        console.print(f"\n{_code(chosen)}\n\nWhat one step runs:\n\n{written}\n")
        console.table(["what it will do", ""], list(known.items()))

    console.result(value, tell)


def _facts(rule: Rule) -> dict[str, Any]:
    """A rule's line in the list."""
    programs = rule.programs()  # one for each gradient of a step
    costs = [each.cost() for each in programs]
    numbers = {each.name: getattr(rule, each.name) for each in fields(rule) if not each.kw_only}
    formula = _docstring(rule).partition("\n")[0].partition(". ")[0].rstrip(".")
    slots = [
        name for name in (*programs[-1].slots, *programs[-1].scalars) if name in {**rule.slots.initial, **rule.scalars.initial}
    ]
    return {
        "rule": type(rule).__name__,
        "numbers": numbers,
        "slots": [f"{name} (each {SHAPES[rule.shapes[name]]})" if name in rule.shapes else name for name in slots],
        "bytes": None if rule.shapes else sum(each.reads + each.writes for each in costs),
        "formula": formula,
    }


def _dynamics(rule: Rule) -> dict[str, str]:
    """The equation that small steps follow, and the largest rate; why not, for a rule that has none."""
    from thalweg.errors import RuleError
    from thalweg.optim.dynamics import flow, stability

    found = {}
    try:
        scaled = flow(rule).scaled
        numbers = [each.name for each in fields(rule) if f"self.{each.name}" in {n for p in scaled.programs for n in p.inputs}]
        kept = [f"{name}^h" for name in numbers if name not in scaled.powers and scaled.kind(name) == "decay"]
        powers = {name.removeprefix("s."): scaled.power(name) for name in (*numbers, *scaled.slots, *scaled.scalars)}
        moved = [f"{'h' if power == 1 else f'h^{power:g}'} {name}" for name, power in powers.items() if power]
        found["steps of length h"] = ", ".join([*moved, *kept])
    except RuleError as error:
        found["steps of length h"] = str(error)
    try:
        limit = stability(rule)
        found["largest lr times curvature"] = f"{limit.limit:.6g}{f' ({limit.note})' if limit.note else ''}"
    except RuleError as error:
        found["largest lr times curvature"] = str(error)
    return found


def _docstring(rule: Rule) -> str:
    """What its author wrote about it, not what dataclass or a base class did."""
    kind = type(rule)
    own = kind.__dict__.get("__doc__") or ""
    return "" if own.startswith(f"{kind.__name__}(") else inspect.cleandoc(own)


def _spelled(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in numbers.items())


def _fields(rule: Rule) -> list[list[object]]:
    rows: list[list[object]] = []
    for each in sorted(fields(rule), key=lambda each: each.kw_only is True):
        value, kind = getattr(rule, each.name), each.metadata["kind"]
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        rows.append([each.name, shown, f"{kind}: {', '.join(each.metadata['options'])}" if kind == "choice" else kind])
    return rows


def _code(rule: Rule) -> str:
    """The step as it stands in its file, or the stages of one that takes several gradients."""
    several = len(rule.programs()) > 1
    try:
        return inspect.cleandoc("\n" + inspect.getsource(type(rule).stages if several else type(rule).step))
    except OSError:
        return "(the code of its step is in no file)"
