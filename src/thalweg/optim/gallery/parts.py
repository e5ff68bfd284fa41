"""What the pages of this part share: their words, knobs and axes. parts.js and parts.css are the same for the browser."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from thalweg.page import Markup, formula, tag

PLOT = (46.0, 14.0, 464.0, 290.0)  # left, top, right and bottom of a picture, in its own units


def read(name: str) -> str:
    """A file that stands beside this one."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


@cache
def texts(page: str) -> dict[str, dict[str, str]]:
    """The words of a page, by locale."""
    return tomllib.loads(read(f"{page}.toml"))


def script(page: str) -> str:
    return read("parts.js") + read(f"{page}.js")


def style(page: str) -> str:
    return read("parts.css") + read(f"{page}.css")


def spoken(text: dict[str, str]) -> dict[str, str]:
    """The words that the script fills in: those called say_..."""
    return {key: words for key, words in text.items() if key.startswith("say_")}


def opening(section: str, text: dict[str, str]) -> list[Markup]:
    """The heading and the first paragraph of a section."""
    return [tag("h2", text[f"h_{section}"]), tag("p", text[f"p_{section}"])]


def display(tex: str) -> Markup:
    """A formula on a line of its own."""
    return tag("p", formula(tex), class_="display")


def command(label: str, *lines: str) -> Markup:
    """What to type to get the same."""
    return tag("p", label, *(part for line in lines for part in (tag("br"), tag("code", line))), class_="command")


def chooser(name: str, options: list[tuple[str, str]], label: str) -> Markup:
    return tag("label", label, " ", tag("select", *(tag("option", shown, value=key) for key, shown in options), id=name))


def slider(name: str, label: str, low: float, high: float, step: float, value: float) -> Markup:
    knob = tag("input", type="range", id=name, min=low, max=high, step=step, value=value)
    return tag("label", label, " = ", tag("output", "", id=f"{name}v", for_=name), knob)


def verdict(name: str) -> Markup:
    """The line that says what the picture shows, kept up to date."""
    return tag("p", "", id=name, class_="verdict", aria_live="polite")


def svg(alt: str, *content: Markup, height: int = 334, name: str | None = None) -> Markup:
    return tag("svg", *content, class_="plot", viewBox=f"0 0 480 {height}", role="img", aria_label=alt, id=name)


def frame(*labels: tuple[float, float, str, str]) -> list[Markup]:
    """The axes of a picture, with labels (x, y, text, anchor)."""
    left, top, right, bottom = PLOT
    texts = [tag("text", shown, x=x, y=y, text_anchor=anchor) for x, y, shown, anchor in labels]
    return [tag("path", d=f"M{left} {top}V{bottom}H{right}", class_="axis"), *texts]


def axes(
    across: list[tuple[float, str]], upward: list[tuple[float, str]], bottom_label: str, top_label: str, least: float = 0
) -> list[Markup]:
    """Axes with ticks at shares of their length (0 to 1), what runs to the right below them, and what runs up above them.

    least: how far the label of the axis that runs up stands from it.
    """
    left, top, right, bottom = PLOT
    ticks = [(left + share * (right - left), bottom + 16, shown, "middle") for share, shown in across if share < 1]
    ticks += [(right + 14, bottom + 16, shown, "end") for share, shown in across if share == 1]  # within the picture
    ticks += [(left - 5, bottom - share * (bottom - top) + 5, shown, "end") for share, shown in upward]
    return frame(*ticks, ((left + right) / 2, bottom + 36, bottom_label, "middle"), (left + 8 + least, top + 6, top_label, "start"))


def line(name: str, kind: str) -> Markup:
    """A line or points that the script draws; kind: one, two, three, thin, dots and so on, of parts.css."""
    return tag("path", id=name, class_=kind)


def label(shown: str, x: float, y: float, kind: str, anchor: str = "end") -> Markup:
    """The name of a line, in its colour: kind is water, accent, ink or soft."""
    return tag("text", shown, x=x, y=y, text_anchor=anchor, class_=kind)


def raised(power: int) -> str:
    """10 to this power."""
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
