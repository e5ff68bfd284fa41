"""`thalweg optim diagnose`: why a training run diverges or crawls."""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thalweg import options
from thalweg.console import Console
from thalweg.errors import InputError, ThalwegError, UsageError
from thalweg.optim.commands.racing import check_page
from thalweg.own import failed, own

if TYPE_CHECKING:
    from thalweg.optim.diagnosis import Diagnosis, RangeTest

LEAST = 32  # steps of a trial run, as in diagnosis.trials, whose import takes seconds

NEEDED = """\b
    # train.py
    def make_problem():
        model = ...                           # a torch.nn.Module
        data = DataLoader(...)                # or a list of batches
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        return model, loss, data, optimizer

\b
    def loss(model, batch):                   # the mean over the batch
        x, y = batch
        return cross_entropy(model(x), y)"""


@options.command(
    "diagnose",
    examples=["thalweg optim diagnose train.py:make_problem", "thalweg optim diagnose train.py:make_problem --out lr.html"],
)
@click.argument("place", metavar="FILE.py:FUNCTION")
@options.option("--batches", type=options.Number(int, low=3), default=16, help="Batches for the noise of the gradient.")
@options.option(
    "--curvature-batches", type=options.Number(int, low=1), metavar="N", help="Batches for the Hessian; 1 to 8 by size."
)
@options.option("--sweep/--no-sweep", default=True, help="Also train a copy while the rate rises.")
@options.option(
    "--steps",
    type=options.Number(int, low=0),
    help="Of the longest trial run, best those of your run; 0 for none.  [default: 160 up to 1e6 parameters]",
)
@options.option("--precise/--no-precise", default=False, help="Copy the model and its batches in float64.")
@options.seed_option
@options.out_option(metavar="FILE.html", help="Also write a page with the runs drawn.")
@options.overwrite_option(help="Replace a file of that name.")
@options.locale_option
@options.json_option
@options.quiet_option
def diagnose(
    place: str,
    batches: int,
    curvature_batches: int | None,
    sweep: bool,
    steps: int | None,
    precise: bool,
    seed: int,
    out: Path | None,
    overwrite: bool,
    locale: str,
    json: bool,
    quiet: bool,
) -> None:
    """Say which learning rate a training script can take, and why.

    One table: curvature and the largest rate that the optimizer's rule stands, how far the current one is from it, the noise of
    the gradient and the batch from which on more samples stop to pay. Everything runs on a copy of model and optimizer. The file
    has to hold:

    """
    if ":" not in place:
        msg = f"{place!r} names no function: it is FILE.py:FUNCTION, as in train.py:make_problem"
        raise UsageError(msg)
    if steps and steps < LEAST:
        msg = f"--steps {steps}: a trial run tells something from {LEAST} steps on; 0 leaves trials out"
        raise UsageError(msg)
    check_page(out, overwrite)
    console = Console(json=json, quiet=quiet, command="optim diagnose")
    aside = contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext()  # what the user's code prints is no JSON
    with aside:
        problem = _made(place)
    from thalweg.optim.diagnosis import diagnose as run

    with console.progress() as progress, aside:
        try:
            found = run(
                problem,
                batches=batches,
                hessian_batches=curvature_batches,
                sweep=sweep,
                steps=steps,
                precise=precise,
                seed=seed,
                progress=progress,
            )
        except ThalwegError:
            raise
        except Exception as error:
            raise InputError(failed(f"{place}: the model, the loss or the data fail", error)) from error
    console.result(_value(found), lambda: _show(console, found))
    if out is not None:  # after the result, which a full disk shall not take away
        from thalweg.optim.diagnosis.page import save

        save(found, out, title=place, overwrite=overwrite, locale=locale)
        console.note(f"page: {out}")
    console.next_steps(
        [
            *([] if steps else [f"thalweg optim diagnose {place} --steps 1000     # trial runs as long as yours"]),
            *([f"thalweg optim diagnose {place} --out lr.html"] if out is None else []),
        ]
    )


assert diagnose.callback is not None
diagnose.help = f"{inspect.cleandoc(diagnose.callback.__doc__ or '')}\n\n{NEEDED}"


def _made(place: str) -> object:
    """What the user's function returns. InputError with one line for a file or a function that fails."""
    make = own(place)
    if not callable(make):
        msg = f"{place} is {type(make).__name__}, not a function that returns (model, loss, data, optimizer)"
        raise InputError(msg)
    try:
        needed = [
            name
            for name, each in inspect.signature(make).parameters.items()
            if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        ]
    except (TypeError, ValueError):
        needed = []
    if needed:
        msg = f"{place} needs {', '.join(needed)}: it is called without arguments, so give them defaults"
        raise InputError(msg)
    try:
        return make()
    except (Exception, SystemExit) as error:
        raise InputError(failed(f"{place} fails", error)) from error


def _value(found: Diagnosis) -> dict[str, Any]:
    rows = [
        {
            "name": row.name,
            "value": _finite(row.value),
            "error": None if row.error is None else _finite(row.error),
            "note": row.note(),
        }
        for row in found.rows
    ]
    value: dict[str, Any] = {
        "rows": rows,
        "suggestion": found.suggestion,
        "because": found.reason(),
        "notes": found.told(),
        "sweep": None,
    }
    if found.sweep is not None:
        w = found.sweep
        value["sweep"] = {"steepest": w.steepest, "valley": w.valley, "edge": w.edge, "turned": w.turned}
        value["sweep"] |= {"rates": w.rates.tolist(), "losses": w.losses.tolist(), "smooth": w.smooth.tolist()}
    value["trials"] = [
        {"lr": run.lr, "score": _finite(run.score), "losses": list(map(_finite, run.losses))} for run in found.trials
    ]
    return value


def _finite(x: float) -> float | None:
    """The number, None for what JSON does not know."""
    return x if math.isfinite(x) else None


def _show(console: Console, found: Diagnosis) -> None:
    from thalweg.optim.diagnosis.findings import number
    from thalweg.optim.diagnosis.page import ended

    rows = [(row.name, number(row.value), "" if row.error is None else f"{row.error:.2g}", row.note()) for row in found.rows]
    console.table(["", "value", "+-", "what it says"], rows)
    for note in found.told():
        console.note(note)
    if found.sweep is not None:
        for line in drawn(found.sweep):
            console.print(line)
    if found.trials:
        head = ["trial runs: rate", "steps", "loss at the end"]
        console.table(head, [(f"{run.lr:.2g}", str(len(run.losses)), ended(run)) for run in found.trials])
    if found.suggestion is not None:
        console.print(f"a rate to begin with: {found.suggestion:.2g}, {found.reason()}; now {found['learning rate']:.2g}")
        if found.row("learning rate").says == "first_rule":
            factor = found.suggestion / found["learning rate"]
            console.print(f"that is the first group's: all groups' rates times {factor:.2g}")


def drawn(sweep: RangeTest, columns: int = 64) -> list[str]:
    """The smoothed loss of a range test as a line of blocks, with the rates below."""
    import numpy as np

    marks = "▁▂▃▄▅▆▇█"
    width = min(columns, len(sweep.smooth))
    smooth = sweep.smooth[np.linspace(0, len(sweep.smooth) - 1, width).round().astype(int)]
    top = min(float(smooth.max()), float(smooth[0]) * 1.5)
    part = np.clip((smooth - smooth.min()) / max(top - float(smooth.min()), 1e-30), 0, 1)
    line = "".join(marks[round(x * (len(marks) - 1))] for x in part)
    low, high = f"{sweep.rates[0]:.0e}", f"{sweep.rates[-1]:.1e}"
    end = "turns upwards" if sweep.turned else "had not turned"
    return [
        f"loss while the rate rises: least at {sweep.valley:.2g}, {end} at {sweep.edge:.2g}",
        line,
        low + " " * max(width - len(low) - len(high), 1) + high,
    ]
