"""What a race looks like: for each problem the loss against the gradients spent, a table, and how much the rate matters.

The same pictures serve the page of `thalweg optim race`, the notebook and the tour. Texts stand in race.toml, by locale.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from thalweg import style
from thalweg.optim.racing.entry import RATES, Entry, Results, count
from thalweg.page import Exhibit, Markup, document, exhibit_html, join, raw_svg, table, tag
from thalweg.version import __version__

LEAST = 1e-10  # of the axis of gaps
MARKS = ("-", "--", "-.", ":")


@cache
def texts() -> dict[str, dict[str, str]]:
    """The words of the page, by locale."""
    return tomllib.loads((Path(__file__).parent / "race.toml").read_text(encoding="utf-8"))


def curves(race: Results, problem: str, locale: str = "en") -> Exhibit:
    """The gap of each rule at its best rate: the median over the seeds, and a band between the quartiles."""
    text, entries = texts()[locale], race.of(problem)
    fig, axes = style.figure(height=3.6)
    with style.style():
        for entry in entries:
            colour, mark = _look(race, entry)
            low, middle, high = (np.quantile(entry.gaps, q, axis=1, method="nearest") for q in (0.25, 0.5, 0.75))
            shown = np.clip(np.stack([low, middle, high]), LEAST, 1e6)  # (3, records)
            axes.fill_between(entry.evaluations, shown[0], shown[2], color=colour, alpha=0.15, linewidth=0)
            axes.plot(entry.evaluations, shown[1], color=colour, linestyle=mark, label=style.plain(entry.rule))
        target = next(each.target for each in race.problems if each.name == problem)
        axes.axhline(target, color=style.GREY, linewidth=0.8, linestyle=":")
        highest = max(float(entry.gaps[0].max()) for entry in entries)
        axes.set_yscale("log")
        axes.set_ylim(LEAST / 2, min(1e6, 10 * highest))
        axes.set(xlabel=text["gradients"], ylabel=text["gap"])
        best = entries[0].row()
        facts = {"problem": problem, "rule": best["rule"], "arrived": _count(best["arrived"], text), "target": f"{target:g}"}
        axes.set_title(style.plain(text["won" if best["arrivals"] else "nobody"].format(**facts)), loc="left")
        fig.legend(fontsize=8, ncols=4, loc="outside lower center", handlelength=2.6)
    alt = text["curves_alt"].format(order=text["comma"].join(entry.rule for entry in entries), **facts)
    return Exhibit(raw_svg(style.svg(fig, alt, salt=problem)), text["curves_caption"].format(n=race.seeds, **facts))


def rates(race: Results, problem: str, locale: str = "en") -> Exhibit:
    """The final gap against the rate: wide valleys are easy to tune."""
    text, entries = texts()[locale], [entry for entry in race.of(problem) if entry.lr is not None]
    fig, axes = style.figure(height=2.8)
    with style.style():
        for entry in entries:
            colour, mark = _look(race, entry)
            axes.plot(RATES, np.clip(entry.final, LEAST, 1e6), color=colour, linestyle=mark, label=style.plain(entry.rule))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(LEAST / 2, 100 * max(float(entry.gaps[0].max()) for entry in entries))
        axes.set(xlabel=text["lr"], ylabel=text["final"])
        axes.set_title(style.plain(text["rates_title"].format(problem=problem)), loc="left")
    picture = style.svg(fig, text["rates_alt"].format(problem=problem), salt=f"rates {problem}")
    return Exhibit(raw_svg(picture), text["rates_caption"].format(least=f"{LEAST:g}"))


def _look(race: Results, entry: Entry) -> tuple[str, Any]:
    """Colour and stroke of a rule's lines, the same on every problem: no two of 24 alike."""
    place = list(dict.fromkeys(each.rule for each in race.entries)).index(entry.rule)
    turn, hue = divmod(place, len(style.CYCLE))
    return style.CYCLE[hue], MARKS[(turn + hue) % len(MARKS)]


def matrix(race: Results, locale: str = "en") -> Markup:
    """Rules down, problems across: gradients until the target, the fewest of each column in bold."""
    text, names = texts()[locale], [problem.name for problem in race.problems]
    rules = list(dict.fromkeys(entry.rule for entry in race.entries))
    found = {(entry.rule, entry.problem): entry.row()["arrived"] for entry in race.entries}
    fewest = {name: min(found[rule, name] for rule in rules) for name in names}
    rows = [
        [rule, *(_told(found[rule, name], found[rule, name] == fewest[name] < np.inf, text) for name in names)] for rule in rules
    ]
    return table([text["rule"], *names], rows)


def _told(arrived: float, best: bool, text: dict[str, str]) -> Markup | str:
    shown = _count(arrived, text)
    return tag("strong", shown) if best else shown


def _count(arrived: float, text: dict[str, str]) -> str:
    return count(arrived) if np.isfinite(arrived) else text["never"]


def _table(entries: list[Entry], text: dict[str, str]) -> Markup:
    rows = []
    for entry in entries:
        line = entry.row()
        arrived = _count(line["arrived"], text)
        if line["arrivals"]:
            arrived += f" ({_count(line['arrived_low'], text)} – {_count(line['arrived_high'], text)})"
        rate = "-" if line["lr"] is None else f"{line['lr']:.2g}"
        gap = f"{line['gap']:.2g} ({line['gap_low']:.2g} – {line['gap_high']:.2g})"
        rows.append([line["rule"], rate, arrived, gap, f"{line['seconds']:.2f}"])
    return table([text["rule"], "lr", text["arrived"], text["gap"], text["seconds"]], rows)


def tables(race: Results, locale: str = "en") -> Markup:
    """The tables alone, for a notebook."""
    text = texts()[locale]
    return join(join([tag("h4", problem.name), _table(race.of(problem.name), text)]) for problem in race.problems)


def page(race: Results, locale: str = "en") -> str:
    """The whole race as one self-contained page."""
    text = texts()[locale]
    rules = dict.fromkeys(entry.rule for entry in race.entries)
    facts = {"rules": len(rules), "problems": len(race.problems), "n": race.seeds, "budget": f"{race.budget:,}"}
    body: list[object] = [
        tag("h1", text["title"].format(**facts)),
        tag("p", text["lead"].format(**facts), class_="lead"),
        matrix(race, locale),
        tag("p", text["how"].format(seed=race.seed, seconds=f"{race.seconds:.1f}")),
    ]
    for problem in race.problems:
        entries = race.of(problem.name)
        body += [tag("h2", problem.name), exhibit_html(curves(race, problem.name, locale)), _table(entries, text)]
        if any(entry.lr is not None for entry in entries):
            body.append(exhibit_html(rates(race, problem.name, locale)))
    return document(text["title"].format(**facts), body, locale=locale, footer=text["made"].format(version=__version__))


__all__ = ["curves", "matrix", "page", "rates", "tables", "texts"]
