"""What pages with knobs share: their files, knobs and axes. knobs.js and knobs.css are the same for the browser.

A page is a module of a part's gallery; beside it stand NAME.toml (its words, by locale), NAME.js, NAME.css and NAME.still.json,
which is what its script draws at first, for readers without scripts (scripts/stills.py writes it).
"""

from __future__ import annotations

import html
import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from thalweg.page import Markup, formula, tag

PLOT = (46.0, 14.0, 464.0, 290.0)  # left, top, right and bottom of a picture, in its own units


@dataclass(frozen=True)
class Files:
    """The files that stand beside a page's module."""

    folder: Path
    name: str

    @classmethod
    def of(cls, module: str) -> Files:
        """module: its __file__."""
        return cls(Path(module).parent, Path(module).stem)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def texts(self) -> dict[str, dict[str, str]]:
        """The words of the page, by locale."""
        return _words(self.folder / f"{self.name}.toml")

    def script(self) -> str:
        return _common("knobs.js") + self.read(f"{self.name}.js")

    def style(self) -> str:
        return _common("knobs.css") + self.read(f"{self.name}.css")

    def still(self, locale: str) -> dict[str, dict[str, str]]:
        """What the script draws at first: id -> attributes, and the content under the name of nothing."""
        path = self.folder / f"{self.name}.still.json"
        if not path.exists():
            return {}
        kept: dict[str, dict[str, dict[str, str]]] = json.loads(path.read_text(encoding="utf-8"))
        return {name: kept["all"].get(name, {}) | kept[locale].get(name, {}) for name in kept["all"] | kept[locale]}


@cache
def _words(path: Path) -> dict[str, dict[str, str]]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _common(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def at_rest(body: Markup, still: dict[str, dict[str, str]]) -> Markup:
    """The body of a page as its script leaves it at first: attributes and contents of the elements that it fills."""

    def filled(match: re.Match[str]) -> str:
        name, attributes, identity, closing = match.group(1, 2, 3, 4)
        changes = dict(still.get(identity, {}))
        content = changes.pop("", "")
        for key in changes:
            attributes = re.sub(rf' {key}="[^"]*"', "", attributes)
        added = "".join(f' {key}="{html.escape(value)}"' for key, value in changes.items())
        return f"<{name}{attributes}{added}>" + (content + closing if closing else "")

    return Markup(re.sub(r'<(\w+)((?: [\w-]+="[^"]*")*? id="([^"]+)"[^>]*)>(</\1>)?', filled, body)) if still else body


def spoken(text: dict[str, str]) -> dict[str, str]:
    """The words that the script fills in: those called say_..."""
    return {key: words for key, words in text.items() if key.startswith("say_")}


def opening(section: str, text: dict[str, str]) -> list[Markup]:
    """The heading and the first paragraph of a section."""
    return [tag("h2", text[f"h_{section}"]), tag("p", text[f"p_{section}"])]


def display(tex: str) -> Markup:
    """A formula on a line of its own."""
    return tag("p", formula(tex), class_="display")


def command(label: str, *lines: str, **knobs: str) -> Markup:
    """What to type to get the same. {name} in a line follows the knob of that name; `knobs` are their first values."""
    return tag("p", label, *(part for line in lines for part in (tag("br"), _code(line, knobs))), class_="command")


def _code(line: str, knobs: dict[str, str]) -> Markup:
    shown = line
    for name, value in knobs.items():  # in order: a value may name a later knob
        shown = shown.replace("{" + name + "}", value)
    return tag("code", shown, data_code=line if shown != line else None)


def chooser(name: str, options: list[tuple[str, str]], label: str, codes: dict[str, str] | None = None) -> Markup:
    """codes: how an option is written in the page's commands, where that is not its key."""
    choices = (tag("option", shown, value=key, data_code=(codes or {}).get(key)) for key, shown in options)
    return tag("p", tag("label", label, for_=name), " ", tag("select", *choices, id=name), class_="knob")


def slider(name: str, label: str, low: float, high: float, step: float, value: float) -> Markup:
    """The label names the knob and nothing else does, so that a reader of the screen hears it; the value is spoken by the knob."""
    knob = tag("input", type="range", id=name, min=low, max=high, step=step, value=value)
    told = tag("output", "", id=f"{name}v", for_=name, aria_hidden="true")
    return tag("p", tag("label", label, for_=name), " = ", told, knob, class_="knob")


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
