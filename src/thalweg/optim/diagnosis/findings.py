"""The table of a diagnosis: from what was measured to quantities, each with its error and a sentence on what to do.

Sentences stand in texts.toml, by locale.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from thalweg.optim.diagnosis.measure import Curvature, Mean, Spread, standard_error
from thalweg.optim.diagnosis.noise import NoiseScale
from thalweg.optim.diagnosis.problem import Problem
from thalweg.optim.diagnosis.rates import Rates

STABLE = "largest stable rate"


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


def number(x: float) -> str:
    """For a table: four digits, - for what is not known, ∞ for what has no bound."""
    return "-" if math.isnan(x) else "∞" if math.isinf(x) else f"{x:.4g}"


def about_loss(mean: Mean, noise: NoiseScale, rates: Rates) -> list[Row]:
    """The rate, the loss, and the norm of the gradient without what noise adds to that of a mean."""
    first, losses, raw = rates.groups[0], mean.losses, float(mean.gradient.norm())
    told = math.isfinite(noise.value)
    length = math.sqrt(noise.squared) if told else raw
    error = noise.squared_error / (2 * length) if length else 0.0
    return [
        Row(
            "learning rate", first.lr, None,
            "rule" if len(rates.groups) == 1 else "first_rule", {"rule": repr(first.rule), "n": len(rates.groups)},
        ),
        Row("loss", sum(losses) / len(losses), standard_error(losses), "mean"),
        Row("gradient norm", length, error, "norm" if told else "lost"),
    ]  # fmt: skip


def about_curvature(rates: Rates, curved: Curvature, started: bool) -> list[Row]:
    """Sharpness, and the limits of the rules over it. started: whether the run has, which late stands at the edge by itself."""
    lr = rates.groups[0].lr
    rows = [
        Row(
            "sharpness", curved.sharpness.value, curved.sharpness.error,
            "sharpness" if curved.exact else "sharpness_differences",
        ),
        Row("trace of the Hessian", *curved.trace, "trace"),
    ]  # fmt: skip
    limits = sorted({float(f"{group.limit:.6g}") for group in rates.groups if group.limit > 0})  # found by bisection
    if curved.part is None or not limits:
        signs = any(group.limit == 0 for group in rates.groups)
        return [*rows, Row(STABLE, math.nan, None, "no_limit_signs" if signs else "no_limit_unknown")]
    part, error = curved.part.value, curved.part.error
    if part <= 0:
        return [*rows, Row(STABLE, math.inf, None, "no_curvature")]
    if rates.adaptive and len(limits) == 1:
        rows.append(Row("preconditioned sharpness", part * limits[0] / lr, error * limits[0] / lr, "preconditioned"))
    facts = {"limit": f"{limits[0]:.4g}" + f" to {limits[-1]:.4g}" * (len(limits) > 1), "factor": f"{1 / part:.3g}"}
    says = "limit" if len(limits) == 1 and len({group.lr for group in rates.groups}) == 1 else "limit_groups"
    rows.append(Row(STABLE, lr / part, error / part * lr / part, says, facts))
    high = "late" if started else "diverges" if part > 1 else "near"
    says = high if part > 0.5 else "far" if part < 0.02 else "room" if part < 0.25 else "stable"
    return [*rows, Row("rate / largest stable", part, error, says, {"times": f"{0.5 / part:.0f}"})]


def about_noise(one: Problem, mean: Mean, around: Spread, noise: NoiseScale, rates: Rates, stable: float) -> list[Row]:
    """The noise scale, what a step is worth, and how far noise shakes the parameters. stable: the largest stable rate."""
    name, size = "noise scale (critical batch)", one.size
    facts = {"low": f"{noise.low:.3g}", "high": f"{noise.high:.3g}"}
    if noise.variance <= 1e-9 * size * noise.squared:
        rows = [Row(name, 0.0, None, "noiseless"), Row("batch", size, None, "step_worth", {"share": "100%"})]
    elif math.isfinite(noise.value):
        says = "batch_large" if size > 3 * noise.value else "batch_small" if size < noise.value / 3 else "batch_right"
        worth = {"share": f"{1 / (1 + noise.value / size):.0%}"}
        rows = [
            Row(name, noise.value, (noise.high - noise.low) / 4, says, facts),
            Row("batch", size, None, "step_worth", worth),
        ]
    else:
        rows = [Row(name, math.inf, None, "batch_unknown", facts), Row("batch", size, None, "step_unknown")]
    count = len(around.shaken)
    per = count / (count - 1)  # a variance, from deviations from a mean of its own
    total, error = per * sum(around.shaken) / count, per * standard_error(around.shaken)
    if not math.isfinite(total) or not stable > rates.groups[0].lr:
        says = "no_rest" if stable <= rates.groups[0].lr else "no_heat"
        return [*rows, *(Row(name, math.nan, None, says) for name in ("temperature", "loss held up by noise"))]
    much = total / 2 > 0.05 * abs(sum(mean.losses) / count)
    return [
        *rows,
        Row("temperature", total / one.n, error / one.n, "temperature"),
        Row("loss held up by noise", total / 2, error / 2, "lifted_much" if much else "lifted"),  # T/2 in each direction
    ]


def about_steps(mean: Mean, cosines: list[float], rates: Rates) -> list[Row]:
    """What steps at this rate do, and what does not move at all."""
    cosine = sum(cosines) / len(cosines) if cosines else math.nan
    says = (
        "cosine_none" if not cosines else "cosine_high" if cosine > 0.6 else "cosine_middle" if cosine > 0.2
        else "cosine_noise" if cosine > -0.2 else "cosine_low"
    )  # fmt: skip
    rows = [Row("cosine of successive gradients", cosine, standard_error(cosines) if cosines else None, says)]
    if rates.adaptive:
        rows.append(Row("share bounded by eps", rates.bounded, None, "eps_much" if rates.bounded > 0.1 else "eps_little"))
    names = ", ".join(mean.dead[:3]) + ", ..." * (len(mean.dead) > 3)
    return [*rows, Row("dead tensors", len(mean.dead), None, "dead" if mean.dead else "alive", {"names": names})]
