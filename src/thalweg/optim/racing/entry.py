"""What a race found, as numbers and as a table of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.energies.contract import Floats
from thalweg.optim.racing.problems import Problem

RATES: tuple[float, ...] = tuple(10 ** (k / 3) for k in range(-15, 1))


@dataclass(frozen=True, eq=False)
class Entry:
    """One rule on one problem, at its best rate. Gaps are losses above the problem's least one."""

    problem: str
    rule: str
    lr: float | None  # None: the rule has no rate
    evaluations: Floats  # (records,) gradients that were spent at each record
    gaps: Floats  # (records, seeds); infinite after a divergence
    arrived: Floats  # (seeds,) gradients until the gap was within the target for good; infinite if never
    final: Floats  # (rates,) the median final gap at each rate
    seconds: float  # of all rates and seeds together

    def row(self) -> dict[str, Any]:
        """Its line of the table: medians and quartiles over the seeds."""
        low, middle, high = quartiles(self.gaps[-1])
        early, usual, late = quartiles(self.arrived)
        line = {"problem": self.problem, "rule": self.rule, "lr": self.lr}
        line |= {"arrived": usual, "arrived_low": early, "arrived_high": late, "arrivals": int(np.isfinite(self.arrived).sum())}
        return line | {"gap": middle, "gap_low": low, "gap_high": high, "seconds": self.seconds}


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """The entries of a race, and its table."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    seeds: int
    budget: int
    seed: int
    seconds: float

    def of(self, problem: str) -> list[Entry]:
        """The entries of a problem, the best first."""
        return sorted((each for each in self.entries if each.problem == problem), key=_merit)

    def table(self) -> list[dict[str, Any]]:
        """A line for each rule on each problem, the best first. Arrivals count gradients; infinity is "never"."""
        return [entry.row() for problem in self.problems for entry in self.of(problem.name)]

    def __str__(self) -> str:
        lines = []
        for problem in self.problems:
            lines.append(f"{problem.name}: gap {problem.target:g} within {self.budget} gradients, {self.seeds} seeds")
            lines.append(f"  {'rule':<34}{'lr':>10}{'arrived':>10}{'quartiles':>16}{'gap':>11}{'quartiles':>22}{'wall s':>8}")
            for entry in self.of(problem.name):
                line = entry.row()
                spread = f"{count(line['arrived_low'])} to {count(line['arrived_high'])}"
                gaps = f"{line['gap_low']:.2g} to {line['gap_high']:.2g}"
                rate = "-" if line["lr"] is None else f"{line['lr']:.2g}"
                lines.append(
                    f"  {line['rule']:<34}{rate:>10}{count(line['arrived']):>10}{spread:>16}{line['gap']:>11.2g}{gaps:>22}"
                    f"{line['seconds']:>8.2f}"
                )
        return "\n".join(lines)


def quartiles(values: Floats) -> tuple[float, float, float]:
    """The lower quartile, median and upper quartile: of order statistics, so that infinities are allowed."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
    return float(low), float(middle), float(high)


def _merit(entry: Entry) -> tuple[float, float]:
    return quartiles(entry.arrived)[1], quartiles(entry.gaps[-1])[1]


def count(evaluations: float) -> str:
    """A number of gradients; "never" where it is infinite."""
    return f"{evaluations:.0f}" if np.isfinite(evaluations) else "never"
