"""The learning-rate range test: train while the rate rises, and look where the loss falls, and where it turns.

Source: Smith 2015, arXiv 1506.01186. The sweep is short and the rates before it have already trained the model, so it tells the
order of magnitude of a rate that works, not the best rate of a long run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError
from thalweg.optim.diagnosis.problem import Problem, copied, endless

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RangeTest:
    """rates, losses, smooth: (m,), the rate of each step, its loss before the step, and the loss smoothed.

    steepest: where the smoothed loss falls fastest over half a decade of rates; valley: where it is least; edge: where it has
    risen above its least by a tenth of what it had fallen, the last rate if it never does; turned: whether it did; fell: whether
    the loss fell by more than its noise, without which the others mean nothing.
    """

    rates: Doubles
    losses: Doubles
    smooth: Doubles
    steepest: float
    valley: float
    edge: float
    turned: bool
    fell: bool

    @property
    def suggestion(self) -> float:
        """A sixth of the edge; the factor is measured, see bench/optim/diagnosing.py."""
        return self.edge / 6 if self.fell else math.nan


def lr_range_test(
    problem: object, lo: float = 1e-7, hi: float = 10.0, steps: int = 100, beta: float = 0.98, seed: int = 0
) -> RangeTest:
    """Sweep the rate of (model, loss, data, optimizer) from lo to hi in `steps` steps, on a copy; nothing of the owner's moves.

    beta: how much of the smoothed loss is kept each step. Other groups keep their ratio to the first group's rate. Ends early
    where the smoothed loss is 4 times its best, or not finite. Raises InputError for what is no problem or no range.
    """
    if not 0 < lo < hi < math.inf or steps < 10 or not 0 <= beta < 1:
        msg = f"lo={lo!r}, hi={hi!r}, steps={steps!r}, beta={beta!r}: take 0 < lo < hi, at least 10 steps, beta in [0, 1)"
        raise InputError(msg)
    with copied(problem, 1, seed) as one:
        return swept(one, lo, hi, steps, beta)


def swept(problem: Problem, lo: float, hi: float, steps: int, beta: float) -> RangeTest:
    """The sweep itself; it moves the problem."""
    rates, losses, smooth, mean = np.geomspace(lo, hi, steps), list[float](), list[float](), 0.0
    for rate, batch in zip(rates, endless(problem.data), strict=False):
        problem.set_rate(float(rate))
        loss = problem.step(batch)
        mean = beta * mean + (1 - beta) * loss
        now = mean / (1 - beta ** (len(losses) + 1))
        if not math.isfinite(loss):
            break
        losses.append(loss)
        smooth.append(now)
        if now > 4 * min(smooth) + 1e-12 and now > 2 * smooth[0]:
            break
    return _read(rates[: len(losses)], np.array(losses), np.array(smooth), len(losses) < steps)


def _read(rates: Doubles, losses: Doubles, smooth: Doubles, ended: bool) -> RangeTest:
    if len(losses) < 5:
        msg = f"the loss is not finite after {len(losses)} steps: start the range lower"
        raise InputError(msg)
    valley = int(np.argmin(smooth))
    risen = np.flatnonzero(smooth[valley:] > smooth[valley] + 0.1 * max(smooth[0] - smooth[valley], 0.1 * abs(smooth[valley])))
    edge = valley + int(risen[0]) if len(risen) else len(rates) - 1
    half = max(round(math.log(10) / 2 / math.log(rates[1] / rates[0])), 1)  # steps of half a decade
    falls = smooth[half:] - smooth[:-half] if len(smooth) > half else np.zeros(1)
    steepest = min(int(np.argmin(falls)) + half // 2, len(rates) - 1)
    turned = bool(len(risen)) or ended
    start = losses[:half]  # rates that do nothing yet: their spread is noise
    fell = bool(start.mean() - smooth[valley] > 2 * start.std() / len(start) ** 0.5)
    return RangeTest(rates, losses, smooth, float(rates[steepest]), float(rates[valley]), float(rates[edge]), turned, fell)
