"""The tour's optim section: a race of rules, what one of them runs, and what a rule and a rate will do before the run."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from thalweg.console import duration
from thalweg.optim import tour_figures
from thalweg.optim.racing import race_page
from thalweg.optim.racing.race import RULES, Race, race
from thalweg.optim.rules import get
from thalweg.page import Exhibit, Markup, Section, tag

SEEDS, BUDGET = 3, 400
SHOWN = ("double-well", "rosenbrock")  # whose curves are drawn
TEXT: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "tour.toml").read_text(encoding="utf-8"))


def section(*, locale: str = "en", progress: Callable[..., object] | None = None) -> Section:
    """Race seven rules on all problems, then draw what `dynamics` says of momentum and rate."""
    text = TEXT[locale]
    found = race(RULES, seeds=SEEDS, budget=BUDGET, progress=progress)
    program = get("adam")().program()
    cost = program.cost()
    runs = SEEDS * sum(len(entry.rates) for entry in found.entries)
    return Section(
        title=_title(found, text),
        claim=text["claim"].format(budget=BUDGET),
        exhibits=[
            Exhibit(race_page.matrix(found, locale), text["matrix"].format(seeds=SEEDS, budget=BUDGET)),
            *(race_page.curves(found, name, locale) for name in SHOWN),
            Exhibit(listing(str(program)), text["program"].format(rule=program.rule)),
            *(figure(text) for figure in tour_figures.FIGURES),
        ],
        numbers=[
            (text["runs"], f"{runs:,}"),
            (text["gradients"], f"{runs * BUDGET:,}"),
            (text["seconds"], duration(found.seconds)),
            (text["bytes"], text["element"].format(n=cost.reads + cost.writes)),
        ],
        command=f"thalweg optim race --seeds {SEEDS} --budget {BUDGET} --out race.html",
    )


def listing(text: str) -> Markup:
    """Code, line by line: a line break in a text would be shown as its code."""
    lines = text.split("\n")
    return tag("pre", tag("code", *(part for line in lines[:-1] for part in (line, tag("br"))), lines[-1]))


def _title(found: Race, text: dict[str, str]) -> str:
    """Which rule is first most often; ties count for each."""
    first = Counter(entry.rule for problem in found.problems for entry in found.first(problem.name))
    wins, n = max(first.values(), default=0), len(found.problems)
    names = [rule for rule, often in first.items() if often == wins]
    kind = "nobody" if not wins else "all" if wins == n else "title" if len(names) == 1 else "tied"
    return text[kind].format(rule=text["comma"].join(names), wins=wins, n=n)
