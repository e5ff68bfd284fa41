"""A diagnosis as one self-contained page: the table, and the sweep of the rate drawn."""

from __future__ import annotations

import math
from pathlib import Path

from thalweg import style
from thalweg.errors import OutputExistsError
from thalweg.files import write_text
from thalweg.optim.diagnosis.report import Diagnosis, texts
from thalweg.optim.diagnosis.sweep import RangeTest
from thalweg.page import Exhibit, document, exhibit_html, raw_svg, table, tag
from thalweg.version import __version__


def number(x: float) -> str:
    """For a table: four digits, - for what is not known, ∞ for what has no bound."""
    return "-" if math.isnan(x) else "∞" if math.isinf(x) else f"{x:.4g}"


def picture(sweep: RangeTest, suggestion: float | None, locale: str = "en") -> Exhibit:
    """The loss against the rate of its step, with the edge and the suggested rate."""
    text = texts()[locale]["page"]
    fig, axes = style.figure(height=3.2)
    facts = {"edge": f"{sweep.edge:.2g}", "valley": f"{sweep.valley:.2g}", "n": len(sweep.rates)}
    with style.style():
        axes.plot(sweep.rates, sweep.losses, color=style.GREY, linewidth=0.8, label=text["each"])
        axes.plot(sweep.rates, sweep.smooth, color=style.CYCLE[0], label=text["smooth"])
        axes.axvline(sweep.edge, color=style.CYCLE[1], linestyle="--", label=text["edge"])
        if suggestion is not None:
            axes.axvline(suggestion, color=style.CYCLE[2], linestyle=":", label=text["suggested"])
        axes.set_xscale("log")
        axes.set_ylim(min(sweep.losses) - 0.05 * abs(min(sweep.losses)), 1.6 * max(sweep.smooth[0], min(sweep.losses)))
        axes.set(xlabel=text["lr"], ylabel=text["loss"])
        axes.set_title(style.plain(text["sweep_title"].format(**facts)), loc="left")
        fig.legend(fontsize=8, ncols=2, loc="outside lower center")
    return Exhibit(raw_svg(style.svg(fig, text["sweep_alt"].format(**facts), salt="sweep")), text["sweep_caption"].format(**facts))


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
    if found.sweep is not None:
        body.append(exhibit_html(picture(found.sweep, found.suggestion, locale)))
    body += [table([text["what"], text["value"], "±", text["says"]], rows), *(tag("p", note) for note in found.told(locale))]
    return document(title, body, locale=locale, footer=text["made"].format(version=__version__))


def save(found: Diagnosis, path: str | Path, *, title: str, overwrite: bool = False, locale: str = "en") -> None:
    """Write the page. Raises OutputExistsError for a file that is there, StorageError."""
    path = Path(path)
    if path.exists() and not overwrite:
        msg = f"{path} is there already: choose another name, or replace it with --overwrite (overwrite=True)"
        raise OutputExistsError(msg)
    write_text(path, page(found, title, locale))
