"""Trial runs: copies with different rates march in step over the same batches, and the worse ones are dropped.

Which rate is best depends on how long the run is, and no quantity measured at its start tells. So the present rate and seven a
factor of two apart run side by side; after a quarter of the steps the best four go on, after half of them two, and with them those
that noise cannot tell from the last of these (successive halving: Karnin, Koren and Somekh 2013; Jamieson and Talwalkar 2016,
arXiv 1502.07943). All see the same batches and the same dropout masks, so that small differences count. Where the best is at the
end of the range, three beyond it run too. Which factors, how many steps: bench/README.md, bench/optim/diagnosing.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from thalweg.optim.diagnosis.problem import Problem, endless, random_states, reseed

FACTORS = tuple(2.0**k for k in range(2, -5, -1))  # of the centre: 4 to 1/16
LEAST = 32  # steps, for a score to be a mean of 8
MORE = 2  # runs that may go on beside the best, because noise cannot tell them from these


@dataclass(frozen=True)
class Trial:
    """One run: its rate and the loss before each of its steps, fewer for a run that was dropped; none after one that is not
    finite, with which it ends.
    """

    lr: float
    losses: list[float] = field(repr=False)

    @property
    def tail(self) -> list[float]:
        """The losses of the last fifth, at least 8."""
        return self.losses[-max(len(self.losses) // 5, 8) :]

    @property
    def score(self) -> float:
        """The mean of the tail; infinite where the run blew up."""
        return float(np.mean(self.tail)) if all(map(math.isfinite, self.tail)) else math.inf

    def behind(self, other: Trial) -> tuple[float, float]:
        """How far its tail is above another's on the same batches, and the standard error of that."""
        n = min(len(self.tail), len(other.tail))
        apart = np.subtract(self.tail[-n:], other.tail[-n:])
        return float(apart.mean()), float(apart.std(ddof=1) / n**0.5)


def tried(problem: Problem, centre: float, steps: int, tell: Callable[[int], object] = lambda _: None) -> list[Trial]:
    """All trials about a rate, the best first: those that ran longer before those that were dropped.

    Raises InputError for an optimizer without a rate.
    """
    grid = [factor * centre for factor in FACTORS]
    present = float(problem.optimizer.param_groups[0].get("lr", 0.0))
    new = present > 0 and all(abs(math.log(present / lr)) > math.log(2) / 4 for lr in grid)
    found = _side_by_side(problem, [*grid, present] if new else grid, steps, tell)
    best = found[0].lr if math.isfinite(found[0].score) else min(grid)
    end = 1 if best >= max(grid) else -1 if best <= min(grid) else 0
    if end:
        more = _side_by_side(problem, [best * 2.0 ** (end * k) for k in (1, 2, 3)], steps, lambda _: None)
        found = sorted([*found, *more], key=lambda run: (-len(run.losses), run.score))
    return found


def _side_by_side(problem: Problem, rates: list[float], steps: int, tell: Callable[[int], object]) -> list[Trial]:
    runs = [(Trial(lr, []), problem.twin()) for lr in rates]
    for trial, twin in runs:
        twin.set_rate(trial.lr)
    dropped, spent, keep = list[Trial](), 0, {steps // 4: 4, steps // 2: 2}
    with random_states(problem.data):  # each time the same order of the data
        reseed(problem.seed)
        for k, batch in zip(range(1, steps + 1), endless(problem.data), strict=False):
            for trial, twin in runs:
                reseed(problem.seed + k)  # the same masks for all
                trial.losses.append(twin.step(batch))
                spent += 1
                tell(spent)
            runs.sort(key=lambda run: run[0].score)
            some = sum(math.isfinite(trial.losses[-1]) for trial, _ in runs)
            if k in keep and some > keep[k]:
                some = _going_on([trial for trial, _ in runs[:some]], keep[k])
            dropped[:0], runs = [trial for trial, _ in runs[some:]], runs[:some]
    return [*(trial for trial, _ in runs), *dropped]


def _going_on(runs: list[Trial], keep: int) -> int:
    """How many of the runs, the best first, go on: `keep`, and those that noise cannot tell from the last of these."""
    last = runs[keep - 1]
    for run in runs[keep : keep + MORE]:
        apart, error = run.behind(last)
        if not apart < error:
            break
        keep += 1
    return keep


def cost(steps: int) -> int:
    """How many steps of a single run all trials about a rate take together, at most."""
    return (1 + len(FACTORS)) * (steps // 4) + (4 + MORE) * (steps // 2 - steps // 4) + (2 + MORE) * (steps - steps // 2)
