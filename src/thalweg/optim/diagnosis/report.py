"""`diagnose`: why a training run diverges or crawls, from a few dozen gradients at the weights as they are.

Curvature against the rule's own limit says which rate is too large; the noise of the gradient which batch is too small, and what
loss the noise keeps up; a range test what the network itself makes of a rising rate; short trial runs which rate to take.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from thalweg.errors import InputError, RuleError
from thalweg.optim.diagnosis.measure import Curvature, Mean, Spread, curvature, mean_gradient, spread, standard_error
from thalweg.optim.diagnosis.noise import NoiseScale, noise_scale
from thalweg.optim.diagnosis.problem import Problem, copied
from thalweg.optim.diagnosis.steps import Rates
from thalweg.optim.diagnosis.sweep import RangeTest, swept
from thalweg.optim.diagnosis.trials import LEAST, Trial, cost, tried
from thalweg.optim.dynamics import stability, stationary

SWEPT = 63  # steps of the sweep: one in 1.2 of the rate, over five decades
Note = tuple[str, dict[str, object]]  # which sentence of texts.toml, and what to fill in


@cache
def texts() -> dict[str, dict[str, dict[str, str]]]:
    """All sentences, by locale and kind."""
    return tomllib.loads((Path(__file__).parent / "texts.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Row:
    """One quantity: its value and error, and which sentence of texts.toml says what to do about it, with what to fill in."""

    name: str
    value: float
    error: float | None
    says: str
    facts: Mapping[str, object] = field(default_factory=dict)

    def label(self, locale: str = "en") -> str:
        """The name in a language."""
        return texts()[locale]["names"].get(self.name, self.name)

    def note(self, locale: str = "en") -> str:
        """What the value means, and what to do."""
        return texts()[locale]["says"][self.says].format(**self.facts)


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    rows: in the order to read them; sweep: the range test, None if it was left out; trials: the best first; suggestion: the rate
    of the best of them, without trials the lesser of half the largest stable rate and a sixth of where the sweep turns, None
    without all; because: which of them; notes: how it was measured.
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
        raise KeyError(name)

    def told(self, locale: str = "en") -> list[str]:
        """How it was measured."""
        return [texts()[locale]["notes"][name].format(**facts) for name, facts in self.notes]

    def reason(self, locale: str = "en") -> str:
        """Where the suggestion comes from."""
        return texts()[locale]["because"][self.because] if self.because else ""


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
    none, best those of the run that is planned (None: 160 for up to 1e6 parameters; none beyond, as seven copies of the model are
    held). precise: the copy and its batches in float64. The model stays in the mode it is in: where it trains, batch norm uses
    the batch's own statistics. Nothing of the owner's is moved, and random states are put back.

    Raises InputError for what is no such problem, and for a loss that is not finite or has no gradient.
    """
    if batches < 3:
        msg = f"batches={batches!r}: the spread of the gradient takes at least 3"
        raise InputError(msg)
    if steps and steps < LEAST:
        msg = f"steps={steps!r}: a trial run tells something from {LEAST} steps on; 0 leaves trials out"
        raise InputError(msg)
    tell = progress or (lambda *_, **__: None)
    with copied(problem, batches, seed, precise=precise) as one:
        if hessian_batches is None:
            hessian_batches = 8 if one.n <= 100_000 else 4 if one.n <= 1_000_000 else 1
        if steps is None:
            steps = 160 if one.n <= 1_000_000 else 0
        work = _Work(len(one.batches), hessian_batches, SWEPT * sweep, cost(steps), tell)
        rows, stable = _measured(one, hessian_batches, work)
        notes: list[Note] = [
            ("batches", {"n": len(one.batches), "size": one.sizes[0], "some": min(hessian_batches, len(one.batches))})
        ]
        notes += [] if one.model.training else [("eval", {})]
    del one  # its memory is the next copy's
    found, guesses = None, {"stable": stable / 2}
    if sweep:
        with copied(problem, 1, seed, precise=precise) as one:
            found = _swept(one, stable)
        guesses["sweep"] = found.suggestion if found else math.nan
    guesses = {name: rate for name, rate in guesses.items() if 0 < rate < math.inf}
    because = min(guesses, key=lambda name: guesses[name]) if guesses else ""
    suggestion, trials = guesses.get(because), list[Trial]()
    if steps:
        with copied(problem, 1, seed, precise=precise) as one:
            trials = tried(one, suggestion or rows[0].value, steps, work.trial)
        best = next((run for run in trials if math.isfinite(run.score)), None)
        if best is not None and best.score < next(row.value for row in rows if row.name == "loss"):
            suggestion, because = best.lr, "trials"
            notes += [("end", {})] if best.lr in (min(run.lr for run in trials), max(run.lr for run in trials)) else []
        else:
            notes.append(("no_trial", {}))
    elif found is not None and not found.fell:
        notes.append(("flat", {}))
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


def _measured(one: Problem, hessian_batches: int, work: _Work) -> tuple[list[Row], float]:
    """All rows, and the largest stable rate: NaN where it is not known, infinite where there is none."""
    count = len(one.batches)
    if count < 3:
        msg = f"the data hold {count} batch{'es' * (count > 1)}: the noise of the gradient takes at least 3; make them smaller"
        raise InputError(msg)
    mean = mean_gradient(one, work.gradient)
    rates = Rates(one.optimizer)
    around = spread(one, mean.gradient, rates.vector, lambda k: work.gradient(count + k))
    curved = curvature(one, rates, hessian_batches, work.curvature)
    rows = [*_about_loss(one, mean, around, rates), *_about_curvature(one, rates, curved)]
    stable = next(row.value for row in rows if row.name == "largest stable rate")
    return [*rows, *_about_noise(one, mean, around, rates, stable > rows[0].value), *_about_steps(mean, rates)], stable


def _about_loss(one: Problem, mean: Mean, around: Spread, rates: Rates) -> list[Row]:
    groups = one.optimizer.param_groups
    n, length = len(mean.losses), float(mean.gradient.norm())
    off = math.sqrt(max(sum(around.squares) / n - length**2, 0) / (n - 1))  # how far the mean of n batches is from that of all
    return [
        Row(
            "learning rate", float(groups[0].get("lr", 1.0)), None,
            "rule" if len(groups) == 1 else "first_rule", {"rule": repr(rates.rules[0]), "n": len(groups)},
        ),
        Row("loss", sum(mean.losses) / n, standard_error(mean.losses), "mean"),
        Row("gradient norm", length, off, "norm" if length > 2 * off else "lost"),
    ]  # fmt: skip


def _about_curvature(one: Problem, rates: Rates, curved: Curvature) -> list[Row]:
    """Sharpness, and the rule's limit over it."""
    groups = [float(group.get("lr", 1.0)) for group in one.optimizer.param_groups]
    lr = groups[0]
    rows = [
        Row(
            "sharpness", curved.sharpness.value, curved.sharpness.error,
            "sharpness" if curved.exact else "sharpness_differences",
        ),
        Row("trace of the Hessian", *curved.trace, "trace"),
    ]  # fmt: skip
    limit = min((stability(rule).limit for rule, made in zip(rates.bare, rates.maps, strict=True) if made is not None), default=0.0)
    x, error = curved.scaled.value + rates.decay, curved.scaled.error  # decay is a curvature too
    name = "largest stable rate"
    if not limit:
        signs = any(each is not None for each in rates.known)
        return [*rows, Row(name, math.nan, None, "no_limit_signs" if signs else "no_limit_unknown")]
    if x <= 0:
        return [*rows, Row(name, math.inf, None, "no_curvature")]
    if rates.adaptive:
        rows.append(Row("preconditioned sharpness", curved.scaled.value / lr, error / lr, "preconditioned"))
    part = x / limit
    says = "limit" if len(set(groups)) == 1 else "limit_groups"
    rows.append(Row(name, lr / part, error / x * lr / part, says, {"limit": f"{limit:.4g}", "factor": f"{1 / part:.3g}"}))
    says = "diverges" if part > 1 else "near" if part > 0.5 else "far" if part < 0.02 else "room" if part < 0.25 else "stable"
    return [*rows, Row("rate / largest stable", part, error / limit, says, {"times": f"{0.5 / part:.0f}"})]


def _about_noise(one: Problem, mean: Mean, around: Spread, rates: Rates, settles: bool) -> list[Row]:
    """The noise scale, what a step is worth, and how far noise shakes the parameters."""
    size, count = sum(one.sizes) / len(one.sizes), len(one.sizes)
    noise = noise_scale(around.squares, around.dots, float(mean.gradient.double() @ mean.gradient.double()), size)
    rows = _noise_rows(noise, size)
    rule, made, lr = rates.bare[0], rates.maps[0], float(getattr(rates.bare[0], "lr", 0.0))
    if not settles or made is None or lr <= 0:
        return [*rows, *(Row(name, math.nan, None, "no_rest") for name in ("temperature", "loss held up by noise"))]
    # T of a parameter is `per` times its rate times the variance of its gradient, whatever its curvature is, if that is small
    per = stationary(rule, 1e-5 / lr).temperature / lr * count / (count - 1)
    total, error = per * sum(around.shaken) / count, per * standard_error(around.shaken)
    much = total / 2 > 0.05 * abs(sum(mean.losses) / count)
    return [
        *rows,
        Row("temperature", total / one.n, error / one.n, "temperature"),
        Row("loss held up by noise", total / 2, error / 2, "lifted_much" if much else "lifted"),  # T/2 in each direction
    ]


def _noise_rows(noise: NoiseScale, size: float) -> list[Row]:
    name, facts = "noise scale (critical batch)", {"low": f"{noise.low:.3g}", "high": f"{noise.high:.3g}"}
    if not math.isfinite(noise.value):
        return [Row(name, math.inf, None, "batch_unknown", facts), Row("batch", size, None, "step_unknown")]
    says = "batch_large" if size > 3 * noise.value else "batch_small" if size < noise.value / 3 else "batch_right"
    worth = {"share": f"{1 / (1 + noise.value / size):.0%}"}
    return [
        Row(name, noise.value, (noise.high - noise.low) / 4, says, facts),
        Row("batch", size, None, "step_worth", worth),
    ]


def _about_steps(mean: Mean, rates: Rates) -> list[Row]:
    cosine = sum(mean.cosines) / len(mean.cosines)
    says = "cosine_high" if cosine > 0.6 else "cosine_middle" if cosine > 0.2 else "cosine_noise" if cosine > -0.2 else "cosine_low"
    rows = [Row("cosine of successive gradients", cosine, standard_error(mean.cosines), says)]
    if rates.adaptive:
        rows.append(Row("share bounded by eps", rates.bounded, None, "eps_much" if rates.bounded > 0.1 else "eps_little"))
    names = ", ".join(mean.dead[:3]) + ", ..." * (len(mean.dead) > 3)
    return [*rows, Row("dead tensors", len(mean.dead), None, "dead" if mean.dead else "alive", {"names": names})]


def _swept(one: Problem, stable: float) -> RangeTest | None:
    """The sweep, over the five decades about the largest stable rate that matter; over all eight where there is none."""
    lo, hi, steps = (1e-4 * stable, 10 * stable, SWEPT) if 0 < stable < math.inf else (1e-7, 10.0, 100)
    try:
        return swept(one, lo, hi, steps, 0.9)
    except (InputError, RuleError):
        return None
