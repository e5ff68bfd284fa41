"""`thalweg optim stability`: the largest rate that works."""

from __future__ import annotations

import math
from typing import Any

import click

from thalweg import options
from thalweg.console import Console
from thalweg.optim.commands import choosing


@options.command(
    "stability",
    examples=["thalweg optim stability heavyball --momentum 0.95", "thalweg optim stability adam --curvature 250"],
    context_settings={"ignore_unknown_options": True},
    options_metavar="[OPTIONS]",
)
@click.argument("rule")
@click.argument("numbers", nargs=-1, type=click.UNPROCESSED, metavar="[--NAME VALUE]...")
@options.option("--curvature", type=options.Number(float, above=0), metavar="L", help="Largest eigenvalue of the Hessian.")
@options.json_option
def stability(rule: str, numbers: tuple[str, ...], curvature: float | None, json: bool) -> None:
    """The largest learning rate at which a rule stays near a minimum.

    RULE and its numbers are those of `thalweg optim show`. The limit is that of lr times curvature; what divides the gradient, such
    as Adam's v, is held still, and the curvature is the one that it leaves. "best" is where errors shrink fastest: a range
    where momentum sets the pace.
    """
    console = Console(json=json, command="optim stability")
    chosen = choosing.rule_of([rule, *numbers])
    from thalweg.optim.dynamics import stability as of

    found = of(chosen)
    value: dict[str, Any] = {
        "rule": chosen.to_config(),
        "limit": _finite(found.limit),
        "best": _finite(found.best),
        "best_range": [_finite(x) for x in found.best_range],
        "best_rate": _finite(found.best_rate),
        "frozen": list(found.map.frozen),
        "note": found.note,
    }
    low, high = found.best_range
    rows = [
        ("rule", repr(chosen)),
        ("largest lr times curvature", _text(found.limit)),
        ("best lr times curvature", _text(found.best) if low == high or math.isnan(low) else f"{_text(low)} to {_text(high)}"),
    ]
    rows.append(("errors shrink there, a step", f"by {found.best_rate:.4g}" if math.isfinite(found.best_rate) else "-"))
    if curvature is not None:
        value |= {"curvature": curvature, "largest_lr": _finite(found.largest_lr(curvature))}
        rows.append((f"largest lr at curvature {curvature:g}", _text(found.largest_lr(curvature))))

    def show() -> None:
        if found.note:
            console.note(found.note)
        console.table(["", "value"], rows)

    console.result(value, show)


def _finite(x: float) -> float | None:
    """The number, None for what JSON does not know."""
    return x if math.isfinite(x) else None


def _text(x: float) -> str:
    return "-" if math.isnan(x) else "any" if math.isinf(x) else "none" if x == 0 else f"{x:.6g}"
