"""What a race looks like: for each problem the loss against the gradients spent, a table, and how much the rate matters.

The same pictures serve the page of `thalweg optim race`, the notebook and the tour. Texts stand in race.toml, by locale.
"""

from __future__ import annotations

import textwrap
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from thalweg import style
from thalweg.optim.racing.entry import Entry, Results, count
from thalweg.page import Exhibit, Markup, document, exhibit_html, join, raw_svg, table, tag
from thalweg.version import __version__

LEAST, MOST = 1e-10, 1e6  # gaps beyond these are drawn at them
MARKS = ("-", "--", "-.", ":")


@cache
def texts() -> dict[str, dict[str, str]]:
    """The words of the page, by locale."""
    return tomllib.loads((Path(__file__).parent / "race.toml").read_text(encoding="utf-8"))


def curves(race: Results, problem: str, locale: str = "en") -> Exhibit:
    """The gap of each rule at its best rate: the median over the seeds, and a band between the quartiles."""
    text, entries = texts()[locale], race.of(problem)
    target = next(each.target for each in race.problems if each.name == problem)
    fig, axes = style.figure(height=3.6)
    with style.style():
        for entry in entries:
            colour, mark = _look(race, entry)
            low, middle, high = (np.quantile(entry.gaps, q, axis=1, method="nearest") for q in (0.25, 0.5, 0.75))
            shown = np.clip(np.stack([low, middle, high]), LEAST, MOST)  # (3, records)
            axes.fill_between(entry.evaluations, shown[0], shown[2], color=colour, alpha=0.15, linewidth=0)
            axes.plot(entry.evaluations, shown[1], color=colour, linestyle=mark, label=style.plain(entry.rule))
        axes.axhline(target, color=style.GREY, linewidth=0.8, linestyle=":")
        axes.set_yscale("log")
        axes.set_ylim(*_span([target, *(entry.gaps for entry in entries)], most=max(entry.gaps[0].max() for entry in entries)))
        axes.set(xlabel=text["gradients"], ylabel=text["gap"])
        axes.set_title(textwrap.fill(style.plain(claim(race, problem, locale)), 26 if locale == "zh" else 52), loc="left")
        fig.legend(fontsize=8, ncols=4, loc="outside lower center", handlelength=2.6)
    best, order = entries[0], text["comma"].join(entry.rule for entry in entries)
    alt = text["curves_alt"].format(order=order, problem=problem)
    arrived = count(best.median, race.budget)
    caption = text["curves_caption"].format(n=race.seeds, target=f"{target:g}", rule=best.rule, arrived=arrived)
    return Exhibit(raw_svg(style.svg(fig, alt, salt=problem)), caption)


def claim(race: Results, problem: str, locale: str = "en") -> str:
    """What the race on a problem showed: who is first, a tie, from how many starts, or nobody."""
    text, first = texts()[locale], race.first(problem)
    target = next(each.target for each in race.problems if each.name == problem)
    facts = {"problem": problem, "target": f"{target:g}", "n": race.seeds, "budget": race.budget}
    if not first:
        some = any(entry.arrivals for entry in race.of(problem))
        return text["few" if some else "nobody"].format(**facts)
    names, best = text["comma"].join(entry.rule for entry in first), first[0]
    facts |= {"rule": names, "arrived": count(best.median, race.budget), "k": best.arrivals, "bad": best.diverged}
    if len(first) > 1:
        return text["tied"].format(**facts)
    return text["won" if best.arrivals == race.seeds else "astray" if best.diverged else "part"].format(**facts)


def _span(gaps: list[Any], most: float) -> tuple[float, float]:
    """The ends of an axis of gaps: what the data need below, ten times `most` above."""
    least = min(float(np.clip(each, LEAST, MOST).min()) for each in gaps)
    return least / 2, min(MOST, 10 * float(most))


def rates(race: Results, problem: str, locale: str = "en") -> Exhibit:
    """The final gap against the rate: wide valleys are easy to tune."""
    text, entries = texts()[locale], [entry for entry in race.of(problem) if entry.lr is not None]
    fig, axes = style.figure(height=2.8)
    with style.style():
        for entry in entries:
            colour, mark = _look(race, entry)
            gaps = np.clip(entry.final, LEAST, MOST)
            axes.plot(entry.rates, gaps, color=colour, linestyle=mark, label=style.plain(entry.rule))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(*_span([entry.final for entry in entries], most=10 * max(entry.gaps[0].max() for entry in entries)))
        axes.set(xlabel=text["lr"], ylabel=text["final"])
        axes.set_title(style.plain(text["rates_title"].format(problem=problem)), loc="left")
    picture = style.svg(fig, text["rates_alt"].format(problem=problem), salt=f"rates {problem}")
    low = min(float(entry.final.min()) for entry in entries) < LEAST
    return Exhibit(raw_svg(picture), text["rates_caption"] + text["rates_low"].format(least=f"{LEAST:g}") * low)


def _look(race: Results, entry: Entry) -> tuple[str, Any]:
    """Colour and stroke of a rule's lines, the same on every problem: no two of 24 alike."""
    place = list(dict.fromkeys(each.rule for each in race.entries)).index(entry.rule)
    turn, hue = divmod(place, len(style.CYCLE))
    return style.CYCLE[hue], MARKS[(turn + hue) % len(MARKS)]


def matrix(race: Results, locale: str = "en") -> Markup:
    """Rules down, problems across: gradients until the target, the fewest of each column in bold, ties included."""
    names = [problem.name for problem in race.problems]
    some = {entry: f" ({entry.arrivals}/{race.seeds})" * (0 < entry.arrivals < race.seeds) for entry in race.entries}
    found = {(entry.rule, entry.problem): count(entry.median, race.budget) + some[entry] for entry in race.entries}
    found |= {(entry.rule, name): tag("strong", found[entry.rule, name]) for name in names for entry in race.first(name)}
    rules = dict.fromkeys(entry.rule for entry in race.entries)
    return table([texts()[locale]["rule"], *names], [[rule, *(found[rule, name] for name in names)] for rule in rules])


def _table(race: Results, problem: str, text: dict[str, str]) -> Markup:
    rows = []
    for entry in race.of(problem):
        line = entry.row()
        usual, early, late = (count(line[key], race.budget) for key in ("arrived", "arrived_low", "arrived_high"))
        starts = text["of"].format(k=entry.arrivals, n=race.seeds) + text["lost"].format(bad=entry.diverged) * bool(entry.diverged)
        rate = "-" if line["lr"] is None else f"{entry.beyond}{line['lr']:.2g}"
        gap = f"{line['gap']:.2g} ({line['gap_low']:.2g} – {line['gap_high']:.2g})"
        arrived = f"{usual} ({early} – {late})" if entry.arrivals else usual
        rows.append([line["rule"], rate, arrived, starts, gap, f"{line['seconds']:.2f}"])
    return table([text["rule"], "lr", text["arrived"], text["starts"], text["gap"], text["seconds"]], rows)


def tables(race: Results, locale: str = "en") -> Markup:
    """The tables alone, for a notebook."""
    text = texts()[locale]
    return join(join([tag("h4", problem.name), _table(race, problem.name, text)]) for problem in race.problems)


def page(race: Results, locale: str = "en") -> str:
    """The whole race as one self-contained page."""
    text = texts()[locale]
    rules = dict.fromkeys(entry.rule for entry in race.entries)
    facts = {"rules": len(rules), "problems": len(race.problems), "n": race.seeds, "budget": f"{race.budget:,}"}
    body: list[object] = [
        tag("h1", text["title"].format(**facts)),
        tag("p", text["lead"].format(**facts), class_="lead"),
        matrix(race, locale),
        tag("p", text["how"].format(seed=race.seed, seconds=f"{race.seconds:.1f}", budget=race.budget, every=race.every)),
    ]
    for problem in race.problems:
        body += [tag("h2", problem.name), exhibit_html(curves(race, problem.name, locale)), _table(race, problem.name, text)]
        if any(entry.lr is not None for entry in race.of(problem.name)):
            body.append(exhibit_html(rates(race, problem.name, locale)))
    return document(text["title"].format(**facts), body, locale=locale, footer=text["made"].format(version=__version__))


__all__ = ["claim", "curves", "matrix", "page", "rates", "tables", "texts"]
