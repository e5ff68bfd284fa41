"""What a race found, as numbers and as a table of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.energies.contract import Floats
from thalweg.optim.racing.problems import Problem

RECORDS = 60  # looks at the whole loss on the way; they cost no budget
DECADE = 3  # rates of the grid in each decade
RATES: tuple[float, ...] = tuple(10 ** (k / DECADE) for k in range(-15, 1))  # where a race begins
ENDS = (-24, 9)  # 10^(k / DECADE) for k between these: where the grid ends, however good its last rate is


@dataclass(frozen=True, eq=False)
class Entry:
    """One rule on one problem, at its best rate. Gaps are losses above the problem's least one.

    rates: those that were tried: `RATES`, and beyond them as far as the best one stood at the end of the grid.
    """

    problem: str
    rule: str
    lr: float | None  # None: the rule has no rate
    evaluations: Floats  # (records,) gradients that were spent at each record
    gaps: Floats  # (records, seeds); infinite after a divergence
    arrived: Floats  # (seeds,) gradients until the gap was within the target for good; infinite if never
    rates: Floats  # (rates,), empty for a rule that has none
    final: Floats  # (rates,) the median final gap at each rate
    seconds: float  # of all rates and seeds together

    @property
    def median(self) -> float:
        """Gradients until the median start was within the target; infinite if it never was."""
        return quartiles(self.arrived)[1]

    @property
    def arrivals(self) -> int:
        """How many starts came within the target for good."""
        return int(np.isfinite(self.arrived).sum())

    @property
    def diverged(self) -> int:
        """How many starts ended at no finite loss."""
        return int(np.isinf(self.gaps[-1]).sum())

    @property
    def beyond(self) -> str:
        """Which end of the widest grid its best rate stands at, as "≤" or "≥"; empty inside of the grid."""
        at = round(DECADE * np.log10(self.lr)) if self.lr else 0
        return {ENDS[0]: "≤ ", ENDS[1]: "≥ "}.get(at, "")

    def row(self) -> dict[str, Any]:
        """Its line of the table: medians and quartiles over the seeds."""
        low, middle, high = quartiles(self.gaps[-1])
        early, usual, late = quartiles(self.arrived)
        line = {"problem": self.problem, "rule": self.rule, "lr": self.lr}
        line |= {"arrived": usual, "arrived_low": early, "arrived_high": late, "arrivals": self.arrivals, "diverged": self.diverged}
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

    @property
    def every(self) -> int:
        """Gradients between two looks at the whole loss, and so the least difference of arrivals that a race can tell."""
        return max(1, round(self.budget / RECORDS))

    def of(self, problem: str) -> list[Entry]:
        """The entries of a problem, the best first."""
        return sorted((each for each in self.entries if each.problem == problem), key=_merit)

    def first(self, problem: str) -> list[Entry]:
        """The best entry, or all that needed as few gradients as it did; none where no rule's median start arrived."""
        entries = self.of(problem)
        best = _merit(entries[0])[:3]
        return [each for each in entries if each.median < np.inf and _merit(each)[:3] == best]

    def table(self) -> list[dict[str, Any]]:
        """A line for each rule on each problem, the best first. Arrivals count gradients; infinite: not within the budget."""
        return [entry.row() for problem in self.problems for entry in self.of(problem.name)]

    def cells(self, problem: str) -> list[list[str]]:
        """The table of a problem as text; `HEAD` names its columns."""
        return [self._cells(entry) for entry in self.of(problem)]

    def _cells(self, entry: Entry) -> list[str]:
        line = entry.row()
        beyond = entry.beyond.replace("≤", "<=").replace("≥", ">=")  # also where a terminal knows no other characters
        rate = "-" if line["lr"] is None else f"{beyond}{line['lr']:.2g}"
        usual, early, late = (count(line[key], self.budget) for key in ("arrived", "arrived_low", "arrived_high"))
        starts = f"{entry.arrivals} of {self.seeds}" + f", {entry.diverged} diverged" * bool(entry.diverged)
        gaps = f"{line['gap_low']:.2g} to {line['gap_high']:.2g}"
        spread = f"{early} to {late}" if entry.arrivals else "-"
        return [line["rule"], rate, usual, spread, starts, f"{line['gap']:.2g}", gaps, f"{line['seconds']:.2f}"]

    def __str__(self) -> str:
        lines = []
        for problem in self.problems:
            lines.append(f"{problem.name}: gap {problem.target:g} within {self.budget} gradients, {self.seeds} seeds")
            rows = [HEAD, *self.cells(problem.name)]
            widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
            for row in rows:
                lines.append("  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]))
        return "\n".join(lines)


HEAD = ["rule", "lr", "arrived", "quartiles", "starts", "final gap", "quartiles", "wall s"]


def quartiles(values: Floats) -> tuple[float, float, float]:
    """The lower quartile, median and upper quartile: of order statistics, so that infinities are allowed."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
    return float(low), float(middle), float(high)


def merit(gaps: Floats, arrived: Floats) -> tuple[bool, bool, float, float]:
    """What is best sorts first: the median start arrives; no start diverges; the fewest gradients; the lowest end."""
    usual = quartiles(arrived)[1]
    return usual == np.inf, bool(np.isinf(gaps[-1]).any()), usual, quartiles(gaps[-1])[1]


def _merit(entry: Entry) -> tuple[bool, bool, float, float]:
    return merit(entry.gaps, entry.arrived)


def count(evaluations: float, budget: int) -> str:
    """A number of gradients; where it is infinite, that the budget was not enough: "> 600"."""
    return f"{evaluations:.0f}" if np.isfinite(evaluations) else f"> {budget}"
