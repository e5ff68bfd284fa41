"""`diagnose`: why a training run diverges or crawls, from a few dozen gradients at the weights as they are.

Curvature against the rule's own limit says which rate is too large; the noise of the gradient which batch is too small, and what
loss the noise keeps up; a range test what the network itself makes of a rising rate; short trial runs which rate to take.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from thalweg.errors import InputError, RuleError
from thalweg.optim.diagnosis.findings import STABLE, Row, about_curvature, about_loss, about_noise, about_steps, number, texts
from thalweg.optim.diagnosis.measure import curvature, mean_gradient, spread, successive
from thalweg.optim.diagnosis.noise import noise_scale
from thalweg.optim.diagnosis.problem import Problem, copied, parts
from thalweg.optim.diagnosis.rates import Rates
from thalweg.optim.diagnosis.sweep import RangeTest, swept
from thalweg.optim.diagnosis.trials import LEAST, Trial, cost, tried
from thalweg.optim.torch.known import rules_of

SWEPT = 63  # steps of the sweep: one in 1.2 of the rate, over five decades
Note = tuple[str, dict[str, object]]  # which sentence of texts.toml, and what to fill in


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    rows: in the order to read them; sweep: the range test, None if it was left out; trials: the best first; suggestion: the rate
    of the best of them (of the first group, as all of these are), without trials the lesser of half the largest stable rate and a
    sixth of where the sweep turns, None without all and in the middle of a run; because: which of them; notes: how it was measured.
    `print(found)` shows them as a table.
    """

    rows: list[Row]
    sweep: RangeTest | None
    trials: list[Trial]
    suggestion: float | None
    because: str = ""
    notes: list[Note] = field(default_factory=list)

    def __getitem__(self, name: str) -> float:
        return self.row(name).value

    def row(self, name: str) -> Row:
        """The row of that name. Raises KeyError."""
        for row in self.rows:
            if row.name == name:
                return row
        msg = f"there is no row {name!r}; there are {', '.join(row.name for row in self.rows)}"
        raise KeyError(msg)

    def __str__(self) -> str:
        errors = ["" if row.error is None else f"+- {row.error:.2g}" for row in self.rows]
        lines = [f"{row.name:32}{number(row.value):12}{error:14}{row.note()}" for row, error in zip(self.rows, errors, strict=True)]
        if self.suggestion is not None:
            lines.append(f"a rate to begin with: {self.suggestion:.2g}, {self.reason()}")
        return "\n".join([*lines, *self.told()])

    def told(self, locale: str = "en") -> list[str]:
        """How it was measured."""
        return [texts()[locale]["notes"][name].format(**facts) for name, facts in self.notes]

    def reason(self, locale: str = "en") -> str:
        """Where the suggestion comes from."""
        others = ", ".join(f"{run.lr:.2g}" for run in self.close)
        because = "close" if self.because == "trials" and others else self.because
        return texts()[locale]["because"][because].format(others=others) if because else ""

    @property
    def close(self) -> list[Trial]:
        """The trials that ran as long as the best, and end within two standard errors of it."""
        best = self.trials[0] if self.trials else None
        same = [run for run in self.trials[1:] if best is not None and len(run.losses) == len(best.losses)]
        return [run for run in same if best is not None and _is_close(run, best)]


def _is_close(run: Trial, best: Trial) -> bool:
    if not math.isfinite(run.score):
        return False
    apart, error = run.behind(best)
    return apart < 2 * error


def diagnose(
    problem: object,
    *,
    batches: int = 16,
    hessian_batches: int | None = None,
    sweep: bool = True,
    steps: int | None = None,
    precise: bool = False,
    seed: int = 0,
    progress: Callable[..., object] | None = None,
) -> Diagnosis:
    """Measure (model, loss, data, optimizer), where loss(model, batch) is the mean loss of a batch, on a copy.

    batches: how many, of the loader's size, for the noise of the gradient. hessian_batches: how many for the curvature (None: 8
    for up to 1e5 parameters, 4 up to 1e6, 1 beyond). sweep: whether to run the range test. steps: of the longest trial run, 0 for
    none, best those of the run that is planned (None: 160 for up to 1e6 parameters; none beyond, as eight copies of the model are
    held, and in the middle of a run). precise: the copy and its batches in float64. The model stays in the mode it is in: where
    it trains, batch norm uses the batch's own statistics. Nothing of the owner's is moved, and random states are put back.

    Raises InputError for what is no such problem, and for a loss that is not finite or has no gradient.
    """
    if batches < 3:
        msg = f"batches={batches!r}: the spread of the gradient takes at least 3"
        raise InputError(msg)
    if steps and steps < LEAST:
        msg = f"steps={steps!r}: a trial run tells something from {LEAST} steps on; 0 leaves trials out"
        raise InputError(msg)
    tell = progress or (lambda *_, **__: None)
    rules_of(parts(problem)[3])  # refuses an optimizer whose rule is not known, before a copy of it takes a step
    with copied(problem, batches, seed, precise=precise) as one:
        if hessian_batches is None:
            hessian_batches = 8 if one.n <= 100_000 else 4 if one.n <= 1_000_000 else 1
        started = one.started
        if steps is None:
            steps = 160 if one.n <= 1_000_000 and not started else 0
        work = _Work(len(one.batches), hessian_batches, SWEPT * sweep, cost(steps), tell)
        rows, stable, notes = _measured(one, hessian_batches, work)
    del one  # its memory is the next copy's
    found, guesses = None, {"stable": stable / 2}
    if sweep:
        with copied(problem, 1, seed, precise=precise) as one:
            found = _swept(one, stable)
        guesses["sweep"] = found.suggestion if found else math.nan
    guesses = {name: rate for name, rate in guesses.items() if 0 < rate < math.inf}
    because = min(guesses, key=lambda name: guesses[name]) if guesses and not started else ""
    suggestion, trials = guesses.get(because), list[Trial]()
    if steps:
        with copied(problem, 1, seed, precise=precise) as one:
            trials = tried(one, min(guesses.values(), default=rows[0].value), steps, work.trial)
        best = next((run for run in trials if math.isfinite(run.score)), None)
        if best is not None and best.score < next(row.value for row in rows if row.name == "loss"):
            suggestion, because = best.lr, "trials"
            rates = sorted(run.lr for run in trials)
            notes += [("low", {})] if best.lr == rates[0] else [("high", {})] if best.lr == rates[-1] else []
        else:
            notes.append(("no_trial", {}))
    elif found is not None and not found.fell and not started:
        notes.append(("flat", {}))
    notes += [("started", {})] if started and suggestion is None else []
    work.all_done()
    return Diagnosis(rows, found, trials, suggestion, because, notes)


class _Work:
    """How much is done, in gradients; a product with the Hessian counts four, and how many it takes shows on the way."""

    def __init__(self, batches: int, hessian_batches: int, sweep: int, trials: int, tell: Callable[..., object]) -> None:
        self.product, self.passes = 4 * hessian_batches, 2 * batches
        self.before = self.passes + 40 * self.product + sweep
        self.total, self._tell = self.before + trials, tell

    def gradient(self, k: int) -> None:
        self._tell(k, self.total)

    def curvature(self, k: int) -> None:
        self._tell(self.passes + min(k, 40) * self.product, self.total)

    def trial(self, k: int) -> None:
        self._tell(self.before + k, self.total)

    def all_done(self) -> None:
        self._tell(self.total, self.total)


def _measured(one: Problem, hessian_batches: int, work: _Work) -> tuple[list[Row], float, list[Note]]:
    """All rows; the largest stable rate, NaN where it is not known, infinite where there is none; how it was measured."""
    count = len(one.batches)
    if count < 3:
        msg = f"the data hold {count} batch{'es' * (count > 1)}: the noise of the gradient takes at least 3; "
        msg += "make them smaller (one of all data: split it, list(zip(x.split(64), y.split(64))))"
        raise InputError(msg)
    started = one.started
    mean = mean_gradient(one, work.gradient)
    rates = Rates(one.optimizer)
    around = spread(one, mean.gradient, rates.heated(), lambda k: work.gradient(count + k))
    noise = noise_scale(around.squares, around.dots, float(mean.gradient.double() @ mean.gradient.double()), one.size)
    rows = about_curvature(rates, curvature(one, rates, hessian_batches, work.curvature), started)
    stable = next(row.value for row in rows if row.name == STABLE)
    rows = [*about_loss(mean, noise, rates), *rows, *about_noise(one, mean, around, noise, rates, stable)]
    notes: list[Note] = [("batches", {"n": count, "size": one.sizes[0], "some": min(hessian_batches, count)})]
    lost = [repr(group.rule) for group in rates.groups if not group.limit > 0]
    notes += [("left_out", {"rules": ", ".join(lost)})] if 0 < len(lost) < len(rates.groups) else []
    now, whole = rates.groups[0].lr, float(one.optimizer.param_groups[0].get("initial_lr", rates.groups[0].lr))
    notes += [("scheduler", {"lr": f"{now:.3g}", "whole": f"{whole:.3g}"})] if not math.isclose(now, whole, rel_tol=1e-6) else []
    notes += [("schedule", {})] if any(group.scheduled for group in rates.groups) else []
    notes += [] if one.model.training else [("eval", {})]
    notes += [("hooked", {"n": one.hooked})] if one.hooked else []
    return [*rows, *about_steps(mean, successive(one), rates)], stable, notes


def _swept(one: Problem, stable: float) -> RangeTest | None:
    """The sweep, over the five decades about the largest stable rate that matter; over all eight where there is none."""
    lo, hi, steps = (1e-4 * stable, 10 * stable, SWEPT) if 0 < stable < math.inf else (1e-7, 10.0, 100)
    try:
        return swept(one, lo, hi, steps, 0.9)
    except (InputError, RuleError):
        return None
