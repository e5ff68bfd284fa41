"""`thalweg optim race`: rules against each other, at their best rates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from thalweg import options
from thalweg.console import Console
from thalweg.errors import InputError, UsageError
from thalweg.files import check_file
from thalweg.optim.commands import choosing
from thalweg.own import failed

if TYPE_CHECKING:
    from thalweg.optim.racing.race import Race


@options.command("race", examples=["thalweg optim race", 'thalweg optim race adam "heavyball --momentum 0.99" --on beale'])
@click.argument("rule", nargs=-1)
@options.option("--on", "problems", metavar="PROBLEM", multiple=True, help="A problem, or your own FILE.py:NAME; can be repeated.")
@options.option("--seeds", type=options.Number(int, low=1, high=1000), default=5, help="Starts and orders of the data.")
@options.option("--budget", type=options.Number(int, low=1), default=600, help="Gradients for each seed and rate.")
@options.seed_option
@options.out_option(metavar="FILE.html", help="Also write a page with curves.")
@options.overwrite_option(help="Replace a file of that name.")
@options.locale_option
@options.json_option
@options.quiet_option
def race(
    rule: tuple[str, ...],
    problems: tuple[str, ...],
    seeds: int,
    budget: int,
    seed: int,
    out: Path | None,
    overwrite: bool,
    locale: str,
    json: bool,
    quiet: bool,
) -> None:
    """Race rules on problems: same starts, same batches, as many gradients for each.

    A RULE is a name of `thalweg optim list`, a name with numbers in quotes, or your own as FILE.py:NAME; seven known ones without
    any. Each gets its best learning rate: of 16 between 1e-5 and 1, and further out while the best one stands at an end.
    Problems: parabola, rosenbrock, double-well, beale, logistic, spirals, factorisation; an energy of your own has .gradient(x)
    and .start.
    """
    check_page(out, overwrite)
    console = Console(json=json, quiet=quiet, command="optim race")
    rules = [choosing.rule_of(choosing.split(each)) for each in rule]
    courses = [choosing.problem_of(each) for each in problems]
    from thalweg.optim.racing.problems import PROBLEMS
    from thalweg.optim.racing.race import RULES, label
    from thalweg.optim.racing.race import race as run

    for kind, names in (("rule", [label(each) for each in rules]), ("problem", [each.name for each in courses])):
        if twice := next((name for name in names if names.count(name) > 1), None):
            msg = f"two {kind}s are called {twice}: a race is between different ones (and tunes lr itself)"
            raise UsageError(msg)
    for each in rule:
        if any(word.partition("=")[0] == "--lr" for word in choosing.split(each)):
            console.note(f"{each}: a race finds the best rate of each rule itself; the lr given here is ignored")

    with console.progress() as progress:
        try:
            found = run(rules or RULES, courses or list(PROBLEMS), seeds=seeds, budget=budget, seed=seed, progress=progress)
        except InputError:
            raise
        except Exception as error:
            if not any(":" in each for each in (*rule, *problems)):
                raise
            raise InputError(failed("a rule or problem of your own fails", error)) from error
    if out is not None:
        found.save(out, overwrite=overwrite, locale=locale)
        console.note(f"curves: {out}")
    value = {"seeds": seeds, "budget": budget, "seed": seed, "seconds": found.seconds, "out": out, "rows": found.table()}
    console.result(value, lambda: _show(console, found))
    if out is None:
        console.next_steps(["thalweg optim race --out race.html", "thalweg optim show adam"])


def check_page(out: Path | None, overwrite: bool) -> None:
    """Before any work: the name of a page, in a folder that is there, and not taken."""
    if out is None:
        return
    if out.suffix.lower() != ".html":
        msg = f"the name {str(out)!r} does not end with .html: the page is written in HTML"
        raise UsageError(msg)
    check_file(out, overwrite)


def _show(console: Console, race: Race) -> None:
    from thalweg.optim.racing.entry import HEAD

    for k, problem in enumerate(race.problems):
        console.print("\n" * (k > 0) + f"{problem.name}: gradients until the loss is within {problem.target:g} of the least")
        console.table(HEAD, race.cells(problem.name))
