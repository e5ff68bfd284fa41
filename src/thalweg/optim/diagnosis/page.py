"""A diagnosis as one self-contained page: the table, and the trial runs and the sweep of the rate drawn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from thalweg import style
from thalweg.files import check_file, write_text
from thalweg.optim.diagnosis.findings import number, texts
from thalweg.optim.diagnosis.report import Diagnosis
from thalweg.optim.diagnosis.sweep import RangeTest
from thalweg.optim.diagnosis.trials import Trial
from thalweg.page import Exhibit, document, exhibit_html, raw_svg, table, tag
from thalweg.version import __version__


def ended(run: Trial) -> str:
    """The loss at the end of a trial and its standard error, as text."""
    return f"{run.score:.4g} ± {np.std(run.tail, ddof=1) / len(run.tail) ** 0.5:.2g}" if math.isfinite(run.score) else "∞"


def picture(sweep: RangeTest, suggestion: float | None, locale: str = "en") -> Exhibit:
    """The loss against the rate of its step, with the edge and the suggested rate."""
    text = texts()[locale]["page"]
    fig, axes = style.figure(height=3.2)
    facts = {"edge": f"{sweep.edge:.2g}", "valley": f"{sweep.valley:.2g}", "n": len(sweep.rates)}
    with style.style():
        axes.plot(sweep.rates, sweep.losses, color=style.GREY, linewidth=0.8, label=text["each"])
        axes.plot(sweep.rates, sweep.smooth, color=style.CYCLE[0], label=text["smooth"])
        if sweep.turned:
            axes.axvline(sweep.edge, color=style.CYCLE[1], linestyle="--", label=text["edge"])
        if suggestion is not None:
            axes.axvline(suggestion, color=style.CYCLE[2], linestyle=":", label=text["suggested"])
        axes.set_xscale("log")
        axes.set_ylim(min(sweep.losses) - 0.05 * abs(min(sweep.losses)), 1.6 * max(sweep.smooth[0], min(sweep.losses)))
        axes.set(xlabel=text["lr"], ylabel=text["loss"])
        axes.set_title(style.plain(text["sweep_title" if sweep.turned else "sweep_flat"].format(**facts)), loc="left")
        fig.legend(fontsize=8, ncols=2, loc="outside lower center")
    return Exhibit(raw_svg(style.svg(fig, text["sweep_alt"].format(**facts), salt="sweep")), text["sweep_caption"].format(**facts))


def race(trials: list[Trial], locale: str = "en") -> Exhibit:
    """The losses of the trial runs, smoothed, each named at its end."""
    text = texts()[locale]["page"]
    steps, best = max(len(run.losses) for run in trials), trials[0]
    window = max(steps // 16, 4)
    rates = sorted(run.lr for run in trials)
    facts = {"n": len(trials), "lr": f"{best.lr:.2g}", "steps": steps, "low": f"{rates[0]:.2g}", "high": f"{rates[-1]:.2g}"}
    fig, axes = style.figure(height=3.2)
    with style.style():
        for k, run in enumerate(sorted(trials, key=lambda run: -run.lr)):
            losses = np.array([loss for loss in run.losses if math.isfinite(loss)])
            if len(losses) < window:
                continue
            smooth = np.convolve(losses, np.full(window, 1 / window), "valid")
            width, mark = (2.4, "-") if run is best else (1.0, ("--", "-.", ":", (0, (5, 1)))[k % 4])
            (line,) = axes.plot(np.arange(window, len(losses) + 1), smooth, linestyle=mark, linewidth=width, label=f"{run.lr:.2g}")
            line.set_color(style.CYCLE[k % len(style.CYCLE)])
        if min(min(run.losses) for run in trials) > 0 and max(best.losses) > 10 * min(best.losses):
            axes.set_yscale("log")  # differences late in the run are small beside the first losses
        first = [loss for loss in best.losses[:window] if math.isfinite(loss)]
        if first:  # none where every run blows up at once
            axes.set_ylim(top=1.3 * max(float(np.mean(first)), 1e-30) if min(first) > 0 else None)
        axes.set(xlabel=text["step"], ylabel=text["loss"])
        title = text["trials_title" if math.isfinite(best.score) else "trials_none"].format(**facts)
        axes.set_title(style.plain(title), loc="left")
        if axes.lines:
            fig.legend(fontsize=8, ncols=4, loc="outside lower center", handlelength=2.6, title=text["lr"], title_fontsize=8)
    alt = text["trials_alt"].format(**facts)
    return Exhibit(raw_svg(style.svg(fig, alt, salt="trials")), text["trials_caption"].format(window=window))


def page(found: Diagnosis, title: str, locale: str = "en") -> str:
    """The whole diagnosis as one page."""
    text = texts()[locale]["page"]
    rows = [
        [row.label(locale), number(row.value), "" if row.error is None else f"{row.error:.2g}", row.note(locale)]
        for row in found.rows
    ]
    lead = text["none"]
    if found.suggestion is not None:
        lead = text["lead"].format(lr=f"{found.suggestion:.2g}", because=found.reason(locale), now=f"{found['learning rate']:.2g}")
    body = [tag("h1", title), tag("p", lead, class_="lead")]
    if found.trials:
        body.append(exhibit_html(race(found.trials, locale)))
    if found.sweep is not None:
        body.append(exhibit_html(picture(found.sweep, found.suggestion, locale)))
    if found.trials:
        head = [text["lr"], text["step"], text["end"]]
        body.append(table(head, [[f"{run.lr:.2g}", str(len(run.losses)), ended(run)] for run in found.trials]))
    body += [table([text["what"], text["value"], "±", text["says"]], rows), *(tag("p", note) for note in found.told(locale))]
    return document(title, body, locale=locale, footer=text["made"].format(version=__version__))


def save(found: Diagnosis, path: str | Path, *, title: str, overwrite: bool = False, locale: str = "en") -> None:
    """Write the page. Raises as `thalweg.files.check_file` does."""
    path = Path(path)
    check_file(path, overwrite)
    write_text(path, page(found, title, locale))
