"""A race: the same starts, the same batches and the same number of gradients for every rule, each at its own best rate.

    from thalweg.optim.racing.race import race
    print(race(["sgd", "adam", optim.HeavyBall(momentum=0.99)], ["rosenbrock", "beale"], seeds=5, budget=600))

Rates are tried on one grid, 10^(-5 ... 0) with three in a decade, and decade by decade beyond it, to 10^-8 and 10^3, as long as the
best rate is the last on its side. The best one needs the fewest gradients (median over seeds) until the loss is within the
problem's target of its least and stays there; one at which no start diverges is better than one at which some do. Ties, and rates
that do not arrive, are decided by the final loss. All seeds of all rates move as one array, so that a rule's `step` runs once for
all of them.

A rule that takes several gradients a step (`Rule.stages`) pays for each; all of a step are of the same batch.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.energies.contract import Floats
from thalweg.errors import InputError, RuleError, near_misses, whole_number
from thalweg.files import check_file, write_text
from thalweg.optim.language.rule import Rule
from thalweg.optim.racing import race_page
from thalweg.optim.racing.entry import DECADE, ENDS, RATES, RECORDS, Entry, Results, merit, quartiles
from thalweg.optim.racing.problems import PROBLEMS, Problem, Rows
from thalweg.optim.rules import get

RULES = ("sgd", "heavyball", "nesterov", "adagrad", "rmsprop", "adam", "lion")  # of a race without names
SEEDS, BUDGET = 5, 600


@dataclass(frozen=True, eq=False, repr=False)
class Race(Results):
    """What a race found: `entries`, `table()`, `to_html()`, and the table where it is printed or shown in a notebook."""

    def to_html(self, locale: str = "en") -> str:
        """The whole race as one page that loads nothing: tables, curves, and what each rate led to."""
        return race_page.page(self, locale)

    def save(self, path: str | Path, *, overwrite: bool = False, locale: str = "en") -> None:
        """Write the page. Raises as `thalweg.files.check_file` does."""
        path = Path(path)
        check_file(path, overwrite)
        write_text(path, self.to_html(locale))

    def __repr__(self) -> str:
        rules = dict.fromkeys(entry.rule for entry in self.entries)
        return (
            f"Race({len(rules)} rules on {', '.join(p.name for p in self.problems)}: {self.seeds} seeds, {self.budget} gradients)"
        )

    def _repr_html_(self) -> str:
        return race_page.tables(self)


def race(
    rules: Sequence[Any] = RULES,
    problems: Sequence[str | Problem] | None = None,
    *,
    seeds: int = SEEDS,
    budget: int = BUDGET,
    seed: int = 0,
    progress: Callable[..., object] | None = None,
) -> Race:
    """Race rules (names, or rules with their numbers; their lr is tuned) on problems, all the built-in ones by default.

    seeds: how many starts and orders of the data; budget: gradients that each may evaluate, for each seed and rate.
    `progress(done, total, phase=...)` is called after each entry. Raises RuleError for what is no rule, InputError for an unknown
    problem, for two alike, or numbers below 1.
    """
    seeds, budget = whole_number("seeds", seeds, least=1), whole_number("budget", budget, least=1)
    seed = whole_number("seed", seed, least=0)
    chosen = [_rule(each) for each in rules]
    courses = [_problem(each) for each in (PROBLEMS if problems is None else problems)]
    names = [label(each) for each in chosen]
    for kind, given in (("rule", names), ("problem", [each.name for each in courses])):
        if len(set(given)) < max(1, len(given)):
            msg = f"there is no {kind} to race" if not given else f"two {kind}s are called {max(given, key=given.count)}"
            raise InputError(msg)
    began = time.monotonic()
    entries = []
    for k, problem in enumerate(courses):
        starts, batches = _drawn(problem, seeds, budget, seed)
        for i, (rule, name) in enumerate(zip(chosen, names, strict=True)):
            vector = rule.suited(1)  # a point is a vector: what is made for matrices would mix seeds and rates
            entries.append(_run(vector, name, problem, starts, batches, budget))
            if progress is not None:
                progress(k * len(chosen) + i + 1, len(courses) * len(chosen), phase=f"racing on {problem.name}", unit="runs")
    return Race(tuple(entries), tuple(courses), seeds, budget, seed, time.monotonic() - began)


def label(rule: Rule) -> str:
    """A rule by its name and the numbers that differ from its defaults, its rate left out: "HeavyBall(momentum=0.99)"."""
    given = {each.name: each.default for each in fields(rule) if each.name != "lr"}
    others = [f"{name}={getattr(rule, name)!r}" for name, default in given.items() if getattr(rule, name) != default]
    return type(rule).__name__ + f"({', '.join(others)})" * bool(others)


def _rule(given: Any) -> Rule:
    rule = get(given)() if isinstance(given, str) else given
    if not isinstance(rule, Rule):
        msg = f"{given!r} is not a rule; give a name, or one made from a class of thalweg.optim, as in optim.Adam()"
        raise RuleError(msg)
    return rule


def _problem(given: str | Problem) -> Problem:
    if isinstance(given, Problem):
        return given
    if given not in PROBLEMS:
        msg = f"there is no problem {given!r}.{near_misses(str(given), PROBLEMS)}"
        raise InputError(msg)
    return PROBLEMS[given]()


def _drawn(problem: Problem, seeds: int, steps: int, seed: int) -> tuple[Floats, Rows | None]:
    """Where each seed starts (seeds, d), and its batches, epoch by epoch (steps, seeds, batch)."""
    chances = [np.random.default_rng([seed, k]) for k in range(seeds)]
    starts = np.stack([problem.start(rng) for rng in chances])
    if not problem.samples:
        return starts, None
    each = problem.samples // problem.batch
    orders = []
    for rng in chances:
        epochs = [rng.permutation(problem.samples)[: each * problem.batch] for _ in range(-(-steps // each))]
        orders.append(np.concatenate(epochs).reshape(-1, problem.batch)[:steps])
    return starts, np.stack(orders, axis=1)


def _run(rule: Any, name: str, problem: Problem, starts: Floats, batches: Rows | None, budget: int) -> Entry:
    """One rule at the rates of the grid, and further out while the best one is the last on its side."""
    began = time.monotonic()
    if not hasattr(rule, "lr"):
        at, gaps = _paths(rule, None, problem, starts, batches, budget)
        arrived = _arrived(gaps[0], at, problem.target)
        return Entry(problem.name, name, None, at, gaps[0], arrived, np.empty(0), np.empty(0), time.monotonic() - began)
    at, gaps = _paths(rule, np.array(RATES), problem, starts, batches, budget)
    low, high = round(DECADE * np.log10(RATES[0])), round(DECADE * np.log10(RATES[-1]))
    while True:
        arrived = np.stack([_arrived(each, at, problem.target) for each in gaps])  # (rates, seeds)
        best = min(range(len(gaps)), key=lambda k: merit(gaps[k], arrived[k]))
        if best == 0 and low > ENDS[0]:
            further = range(low - DECADE, low)
        elif best == len(gaps) - 1 and high < ENDS[1]:
            further = range(high + 1, high + 1 + DECADE)
        else:
            break
        more = _paths(rule, _grid(further), problem, starts, batches, budget)[1]
        gaps = np.concatenate([more, gaps] if best == 0 else [gaps, more])
        low, high = min(low, further[0]), max(high, further[-1])
    rates, final = _grid(range(low, high + 1)), np.array([quartiles(each[-1])[1] for each in gaps])
    return Entry(problem.name, name, float(rates[best]), at, gaps[best], arrived[best], rates, final, time.monotonic() - began)


def _grid(powers: range) -> Floats:
    return np.array([10 ** (k / DECADE) for k in powers])


def _paths(
    rule: Any, rates: Floats | None, problem: Problem, starts: Floats, batches: Rows | None, budget: int
) -> tuple[Floats, Floats]:
    """Gradients spent at each record, and the gaps (rates, records, seeds): all rates and seeds as one array (seeds, rates, d)."""
    p = np.repeat(starts[:, None], 1 if rates is None else len(rates), axis=1)
    wide = rule if rates is None else _at(rule, rates)
    due = iter(sorted({round(k * budget / RECORDS) for k in range(RECORDS + 1)}))
    at, gaps, spent, cost, look = [], [], 0, 1, next(due)
    with np.errstate(all="ignore"):  # rates that are too large are part of the race
        s = wide.init(p)
        for t in itertools.count(1):
            last = spent + cost > budget
            if spent >= look or last:
                at.append(spent)
                gaps.append(problem.evaluate(wide.evaluated(p, s), None)[0] - problem.least)  # (seeds, rates)
                look = next((k for k in due if k > spent), budget + 1)
            if last:
                break
            p, s, cost = _step(wide, p, s, t, problem, None if batches is None else batches[t - 1])
            spent += cost
    found = np.stack(gaps).transpose(2, 0, 1)
    return np.array(at, float), np.where(np.isfinite(found), found, np.inf)


def _at(rule: Any, rates: Floats) -> Any:
    """The rule at many rates: its lr is a column, which NumPy spreads over the parameters.   rates: (rates,)"""
    wide = copy.copy(rule)
    object.__setattr__(wide, "lr", rates[:, None])
    return wide


def _step(rule: Any, p: Floats, s: Any, t: int, problem: Problem, rows: Rows | None) -> tuple[Floats, Any, int]:
    """The points and the state after step t, and how many gradients it took."""
    walk, cost = rule.stages(p, s, t), 0
    point = next(walk)
    while True:
        cost += 1
        try:
            point = walk.send(problem.evaluate(point, rows)[1])
        except StopIteration as done:
            return *done.value, cost


def _arrived(gaps: Floats, at: Floats, target: float) -> Floats:
    """How much was spent when each seed came within the target for good; infinite if it did not.   (records, seeds) -> (seeds,)"""
    outside = np.where(gaps > target, np.arange(1, len(gaps) + 1)[:, None], 0).max(axis=0)  # the first record after the last one
    return np.asarray(np.append(at, np.inf)[outside])


__all__ = ["PROBLEMS", "RATES", "Entry", "Problem", "Race", "race"]
