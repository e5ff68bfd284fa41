"""`diagnose`: why a training run diverges or crawls, from a few dozen gradients at the weights as they are.

Curvature against the rule's own limit says which rate is too large; the noise of the gradient which batch is too small, and what
loss the noise keeps up; a range test what the network itself makes of a rising rate.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from thalweg.errors import InputError, RuleError
from thalweg.optim.diagnosis.curvature import Hessian, largest, trace
from thalweg.optim.diagnosis.noise import NoiseScale, noise_scale
from thalweg.optim.diagnosis.problem import Problem, copied
from thalweg.optim.diagnosis.steps import Rates
from thalweg.optim.diagnosis.sweep import RangeTest, swept
from thalweg.optim.dynamics import stability, stationary


@dataclass(frozen=True)
class Row:
    """One quantity: its value, its error (the kind of it is in `note`), and what to do about it."""

    name: str
    value: float
    error: float | None = None
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    rows: in the order to read them; sweep: the range test, None if it was left out; suggestion: the lesser of half the largest
    stable rate and a sixth of where the sweep turns, None without both; notes: how it was measured.
    """

    rows: list[Row]
    sweep: RangeTest | None
    suggestion: float | None
    notes: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> float:
        return next(row.value for row in self.rows if row.name == name)


def diagnose(
    problem: object,
    *,
    batches: int = 16,
    hessian_batches: int | None = None,
    sweep: bool = True,
    seed: int = 0,
    progress: Callable[..., object] | None = None,
) -> Diagnosis:
    """Measure (model, loss, data, optimizer), where loss(model, batch) is the mean loss of a batch, on a copy.

    batches: how many, of the loader's size, for the noise of the gradient. hessian_batches: how many for the curvature (None: 8
    for up to 1e5 parameters, 4 up to 1e6, 1 beyond). The model stays in the mode it is in: where it trains, batch norm uses the
    batch's own statistics. Nothing of the owner's is moved, and random states are put back.

    Raises InputError for what is no such problem, and for a loss that is not finite or has no gradient.
    """
    if batches < 3:
        msg = f"batches={batches!r}: the spread of the gradient takes at least 3"
        raise InputError(msg)
    tell = progress or (lambda *_, **__: None)
    with copied(problem, batches, seed) as one:
        count = len(one.batches)
        if count < 3:
            msg = f"the data hold {count} batch{'es' * (count > 1)}: the noise of the gradient takes at least 3; make them smaller"
            raise InputError(msg)
        if hessian_batches is None:
            hessian_batches = 8 if one.n <= 100_000 else 4 if one.n <= 1_000_000 else 1
        work = 2 * count + 40
        seen = _first(one, lambda k: tell(k, work))
        rates = Rates(one.optimizer)
        squares, dots, weighted = _second(one, seen.mean, rates.vector, lambda k: tell(count + k, work))
        size = sum(one.sizes) / count
        noise = noise_scale(squares, dots, float(seen.mean.double() @ seen.mean.double()), size)
        hessian = Hessian(one, hessian_batches)
        curved, laplacian = _curvature(one, hessian, rates, lambda k: tell(min(2 * count + k, work), work))
        rows = _rows(one, seen, rates, noise, weighted, curved, laplacian, size)
        del hessian
        stable = next(row.value for row in rows if row.name == "largest stable rate")
        found = _swept(one, stable) if sweep else None
        tell(work, work)
    return _told(rows, found, one, hessian_batches)


@dataclass
class _Seen:
    loss: list[float]
    mean: torch.Tensor
    cosines: list[float]
    dead: list[str]


def _first(one: Problem, tell: Callable[[int], object]) -> _Seen:
    """The mean gradient; where the optimizer has no state yet, it is made by steps at rate 0, which fill its averages."""
    fresh = not any(
        state and float(state.get("step", 1)) for state in one.optimizer.state.values()
    )  # Adagrad begins with a sum of 0
    rates = [group.get("lr") for group in one.optimizer.param_groups]
    losses, cosines, total, before = [], [], None, None
    dead, broken = set(one.names), set[str]()
    for k in range(len(one.batches)):
        loss, found = one.gradient(k)
        losses.append(loss)
        for name, g in zip(one.names, found, strict=True):
            if g is not None and bool((g != 0).any()):
                dead.discard(name)
            if g is not None and not bool(torch.isfinite(g).all()):
                broken.add(name)
        if broken:
            msg = f"the gradient of {', '.join(sorted(broken)[:3])} is not finite on batch {k + 1}, though the loss is"
            raise InputError(msg)
        if fresh:
            _rest(one, found)
        flat = one.flat(found)
        if before is not None:
            cosines.append(float(flat @ before / (flat.norm() * before.norm()).clamp_min(1e-30)))
        total, before = flat.clone() if total is None else total.add_(flat), flat
        tell(k + 1)
    for group, lr in zip(one.optimizer.param_groups, rates, strict=True):
        group["lr"] = lr
    assert total is not None
    if len(dead) == len(set(one.names)):
        msg = "no gradient reaches any parameter that the optimizer moves: a constant loss, or another model than it is given"
        raise InputError(msg)
    return _Seen(losses, total / len(losses), cosines, sorted(dead))


def _rest(one: Problem, gradients: list[torch.Tensor | None]) -> None:
    """A step at rate 0: slots move, parameters do not."""
    for group in one.optimizer.param_groups:
        group["lr"] = 0.0
    for p, g in zip(one.parameters, gradients, strict=True):
        p.grad = g
    with contextlib.suppress(RuleError, TypeError):  # rules of several gradients ask for a closure, and keep no averages
        one.optimizer.step()
    for p in one.parameters:
        p.grad = None


def _second(
    one: Problem, mean: torch.Tensor, rates: torch.Tensor, tell: Callable[[int], object]
) -> tuple[list[float], list[float], float]:
    """|g_i|^2, g_i . mean, and the sum of rate times the variance of one sample's gradient."""
    squares, dots, weighted = [], [], []
    for k in range(len(one.batches)):
        flat = one.flat(one.gradient(k)[1])
        squares.append(float((flat.double() ** 2).sum()) if flat.numel() < 1e6 else float(flat @ flat))
        dots.append(float(flat @ mean))
        weighted.append(float((flat - mean).square_().mul_(rates).sum()))
        tell(k + 1)
    count = len(squares)
    return squares, dots, sum(weighted) / (count - 1) * sum(one.sizes) / count


@dataclass
class _Curved:
    x: float
    error: float
    raw: float | None
    raw_error: float | None
    method: str


def _curvature(one: Problem, hessian: Hessian, rates: Rates, tell: Callable[[int], object]) -> tuple[_Curved, tuple[float, float]]:
    """The largest eigenvalue of D^(1/2) H D^(1/2) with D = lr / P, which is x of `stability`; that of H; the trace of H."""
    torch.manual_seed(one.seed)
    root = rates.vector.clamp_min(0).sqrt()
    spent = 0

    def counted(product: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
        def inner(v: torch.Tensor) -> torch.Tensor:
            nonlocal spent
            spent += 1
            tell(spent)
            return product(v)

        return inner

    start = torch.randn_like(root)
    scaled = largest(counted(lambda v: root * (hessian @ (root * v))), start)
    uniform = bool((rates.vector == rates.vector[0]).all())
    if uniform:
        lr = float(rates.vector[0])
        raw = (scaled.value / lr, scaled.error / lr)
    else:
        found = largest(counted(lambda v: hessian @ v), start)
        raw = (found.value, found.error)
    return _Curved(scaled.value, scaled.error, *raw, hessian.method), trace(counted(lambda v: hessian @ v), start)


def _rows(
    one: Problem,
    seen: _Seen,
    rates: Rates,
    noise: NoiseScale,
    weighted: float,
    curved: _Curved,
    laplacian: tuple[float, float],
    size: float,
) -> list[Row]:
    """The table, with a sentence each on what to do."""
    losses = torch.tensor(seen.loss, dtype=torch.float64)
    groups = [float(group.get("lr", 1.0)) for group in one.optimizer.param_groups]
    lr = groups[0]
    rows = [
        Row("learning rate", lr, note=repr(rates.rules[0]) + f", the first of {len(groups)} groups" * (len(groups) > 1)),
        Row("loss", float(losses.mean()), float(losses.std() / len(losses) ** 0.5), note="the mean over the batches"),
        Row("gradient norm", float(seen.mean.norm()), note="of the mean gradient"),
        Row(
            "sharpness",
            curved.raw or float("nan"),
            curved.raw_error,
            note=f"the largest eigenvalue of the Hessian, by {curved.method}",
        ),
        Row("trace of the Hessian", *laplacian, note="the sum of all curvatures"),
    ]
    limit = min((stability(rule).limit for rule, made in zip(rates.bare, rates.maps, strict=True) if made is not None), default=0.0)
    x = curved.x + rates.decay  # decay is a curvature too
    if limit and x > 0:
        part = x / limit
        if rates.adaptive:
            rows.append(Row("preconditioned sharpness", curved.x / lr, curved.error / lr, note="with the slots as they stand"))
        advice = (
            "the run diverges or jumps: lower the rate" if part > 1
            else "near the edge: a warm-up or a lower rate is safer" if part > 0.5
            else "far below the edge: curvature does not ask for so small a rate" if part < 0.02
            else f"stable, also at {0.5 / part:.0f} times this rate" if part < 0.25
            else "stable"
        )  # fmt: skip
        note = f"lr times curvature may be {limit:.4g} for this rule"
        note += "" if len(set(groups)) == 1 else f"; this is the first group's: all groups' rates together by {1 / part:.3g}"
        rows.append(Row("largest stable rate", lr / part, curved.error / x * lr / part, note=note))
        rows.append(Row("rate / largest stable", part, curved.error / limit, note=advice))
    elif not limit:
        signs = any(rate_map is not None for rate_map in rates.known)
        note = (
            "moves by the sign of the gradient: it ends in a cycle of a step, at any rate" if signs else "not known for this rule"
        )
        rows.append(Row("largest stable rate", math.nan, note=note))
    else:
        rows.append(Row("largest stable rate", math.inf, note="no direction curves upwards here: curvature sets no limit yet"))
    settles = bool(limit) and x < limit
    rows += _noise_rows(rates, noise, weighted, size, float(losses.mean()), settles)
    if seen.cosines:
        cosines = torch.tensor(seen.cosines, dtype=torch.float64)
        note = "near 1: steps could be longer; near 0: noise; below 0: they overshoot"
        rows.append(
            Row("cosine of successive gradients", float(cosines.mean()), float(cosines.std() / len(cosines) ** 0.5), note=note)
        )
    if rates.adaptive:
        note = "eps, not the gradient's size, sets their step: lower eps" if rates.bounded > 0.1 else "eps plays no part"
        rows.append(Row("share bounded by eps", rates.bounded, note=note))
    dead = (
        f"no gradient reaches {', '.join(seen.dead[:3])}{' and others' * (len(seen.dead) > 3)}"
        if seen.dead
        else "every tensor moves"
    )
    return [*rows, Row("dead tensors", len(seen.dead), note=dead)]


def _noise_rows(rates: Rates, noise: NoiseScale, weighted: float, size: float, loss: float, settles: bool) -> list[Row]:
    if math.isfinite(noise.value):
        advice = (
            "batches are larger than pays: smaller ones learn more from each sample" if size > 3 * noise.value
            else "noise rules: a larger batch allows a larger rate, nearly in proportion" if size < noise.value / 3
            else "the batch is about where time and samples are in balance"
        )  # fmt: skip
        advice += f"; between {noise.low:.3g} and {noise.high:.3g} by the jackknife"
        first = Row("noise scale (critical batch)", noise.value, (noise.high - noise.low) / 4, "samples", advice)
    else:
        first = Row(
            "noise scale (critical batch)",
            math.inf,
            None,
            "samples",
            f"above {noise.low:.3g}: the gradient is lost in the noise; take more batches",
        )
    speed = 1 / (1 + noise.value / size)
    told = f"a step is {speed:.0%} of one without noise" if math.isfinite(noise.value) else "too noisy to say what a step is worth"
    rows = [first, Row("batch", size, None, "samples", told)]
    rule, made = rates.bare[0], rates.maps[0]
    lr = float(getattr(rule, "lr", 0.0))
    if not settles:
        rows.append(Row("loss held up by noise", math.nan, note="it does not settle at this rate"))
    elif made is not None and lr > 0:
        per = stationary(rule, 1e-5 / lr).temperature / lr  # lr C times this is the temperature
        lifted = 0.5 * per * weighted / size
        advice = "noise keeps the loss about so far above what this rate could reach"
        advice += ": lower the rate or enlarge the batch at the end" if lifted > 0.05 * abs(loss) else ""
        rows.append(Row("loss held up by noise", lifted, note=advice))
    return rows


def _swept(one: Problem, stable: float) -> RangeTest | None:
    """The sweep, over the five decades about the largest stable rate that matter; over all eight where there is none."""
    lo, hi, steps = (1e-4 * stable, 10 * stable, 63) if 0 < stable < math.inf else (1e-7, 10.0, 100)
    try:
        return swept(one, lo, hi, steps, 0.9)
    except (InputError, RuleError):
        return None


def _told(rows: list[Row], found: RangeTest | None, one: Problem, hessian_batches: int) -> Diagnosis:
    named = {row.name: row.value for row in rows}
    stable = named.get("largest stable rate", 0.0)
    tried = [
        each for each in (found.suggestion if found else math.inf, stable / 2 if stable > 0 else math.inf) if math.isfinite(each)
    ]
    some = min(hessian_batches, len(one.batches))
    notes = (
        [] if found is None or found.fell else ["the sweep's loss never fell by more than its noise: it says nothing of the rate"]
    )
    notes += [f"{len(one.batches)} batches of {one.sizes[0]} samples; curvature from {some} of them"]
    if not one.model.training:
        notes.append("the model is in eval mode: without dropout, batch norm with its running statistics; training may differ")
    return Diagnosis(rows, found, min(tried) if tried else None, notes)
