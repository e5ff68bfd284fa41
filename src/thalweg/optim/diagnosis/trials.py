"""Trial runs: copies with different rates march in step over the same batches, and the worse ones are dropped.

Which rate is best depends on how long the run is, and no quantity measured at its start tells. So seven rates a factor of two
apart run side by side; after a quarter of the steps the best four go on, after half of them two (successive halving: Karnin,
Koren and Somekh 2013; Jamieson and Talwalkar 2016, arXiv 1502.07943). All see the same batches and the same dropout masks, so
that small differences count. Which factors, how many steps: bench/optim/diagnosing.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from thalweg.optim.diagnosis.problem import Problem, endless, reseed

FACTORS = tuple(2.0**k for k in range(2, -5, -1))  # of the centre: 4 to 1/16
LEAST = 32  # steps, for a score to be a mean of 8


@dataclass(frozen=True)
class Trial:
    """One run: its rate and the loss before each of its steps, fewer for a run that was dropped; none after one that is not
    finite, with which it ends.
    """

    lr: float
    losses: list[float] = field(repr=False)

    @property
    def score(self) -> float:
        """The mean loss of the last fifth, of at least 8 steps; infinite where the run blew up."""
        tail = self.losses[-max(len(self.losses) // 5, 8) :]
        return float(np.mean(tail)) if all(map(math.isfinite, tail)) else math.inf


def tried(problem: Problem, centre: float, steps: int, tell: Callable[[int], object] = lambda _: None) -> list[Trial]:
    """All trials about a rate, the best first: those that ran longer before those that were dropped.

    Raises InputError for an optimizer without a rate.
    """
    runs = [(Trial(factor * centre, []), problem.twin()) for factor in FACTORS]
    for trial, twin in runs:
        twin.set_rate(trial.lr)
    dropped, spent, keep = list[Trial](), 0, {steps // 4: 4, steps // 2: 2}
    for k, batch in zip(range(1, steps + 1), endless(problem.data), strict=False):
        for trial, twin in runs:
            reseed(problem.seed + k)  # the same masks for all
            trial.losses.append(twin.step(batch))
            spent += 1
            tell(spent)
        runs.sort(key=lambda run: run[0].score)
        some = sum(math.isfinite(trial.losses[-1]) for trial, _ in runs)
        some = min(some, keep.get(k, some))
        dropped[:0], runs = [trial for trial, _ in runs[some:]], runs[:some]
    return [*(trial for trial, _ in runs), *dropped]


def cost(steps: int) -> int:
    """How many steps of a single run all trials take together, at most."""
    return len(FACTORS) * (steps // 4) + 4 * (steps // 2 - steps // 4) + 2 * (steps - steps // 2)
