"""The only plotting style: colour-blind safe, readable at phone width, Chinese labels without empty boxes, SVG whose text stays
text.

matplotlib is imported at the first figure. Figures are made without pyplot, so no global state changes and no window opens.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from thalweg import fonts
from thalweg.errors import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008: distinguishable with every common kind of colour blindness
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, YELLOW, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000",
)  # fmt: skip
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
GREY = "#666666"


@functools.cache
def _settings() -> dict[str, Any]:
    from cycler import cycler

    lines = cycler(color=CYCLE) + cycler(linestyle=["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))])
    return {
        "font.family": fonts.here(),  # glyphs fall back along the list
        "font.size": 10.5,
        "axes.titlesize": 11.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "axes.prop_cycle": lines,
        "axes.unicode_minus": True,
        "axes.formatter.useoffset": False,
        "figure.constrained_layout.use": True,
        "figure.facecolor": "white",
        "grid.color": "#DDDDDD",
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "svg.fonttype": "none",  # text stays text: the reader's browser finds the glyphs, words can be searched
        "svg.hashsalt": "thalweg",
    }


def style() -> Any:
    """A context in which matplotlib draws in our style."""
    import matplotlib

    return matplotlib.rc_context(cast(Any, _settings()))


@contextlib.contextmanager
def anywhere(fig: Figure) -> Iterator[None]:
    """A context in which the figure's texts are as wide as on every other machine, whatever fonts this one has."""
    import matplotlib
    from matplotlib.text import Text

    families = fonts.everywhere()
    texts = cast("list[Text]", fig.findobj(Text))
    before = [text.get_fontfamily() for text in texts]
    try:
        with style(), matplotlib.rc_context({"font.family": families}):
            for text in texts:
                text.set_fontfamily(families)
            yield
    finally:
        for text, its in zip(texts, before, strict=True):
            text.set_fontfamily(its)


def figure(width: float = 5.2, height: float = 3.3) -> tuple[Figure, Axes]:
    """A new figure of `width` x `height` inches with one axes, in our style."""
    from matplotlib.figure import Figure

    with style():
        fig = Figure(figsize=(width, height))
        return fig, fig.add_subplot()


def energy_plot(path: Sequence[float], *, title: str, ax: Axes | None = None, steps: str = "step", energy: str = "energy") -> Axes:
    """The one plot of an energy path: energy (its own unit) against the number of the record, from 0."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    with style():
        axes = ax if ax is not None else figure()[1]
        marker = "o" if len(path) <= 30 else ""
        axes.plot(range(len(path)), path, marker=marker, markersize=4)
        axes.set(title=title, xlabel=steps, ylabel=energy)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        low, high = min(path), max(path)
        if low > 0 and high / low > 50:
            axes.set_yscale("log")
        elif high >= 1e5:
            axes.yaxis.set_major_formatter(EngFormatter(sep=" "))  # 200 k, 1.5 M
    return axes


def svg(fig: Figure | None, alt: str, *, salt: str = "") -> str:
    """The figure as one `<svg>` element that scales with the page; `alt` is read out where it cannot be seen.

    `salt` keeps the ids of several figures on one page apart.
    """
    from html import escape

    import matplotlib

    if fig is None:
        msg = "there is no figure to draw: the axes belong to none"
        raise ValueError(msg)
    out = io.StringIO()
    with anywhere(fig), matplotlib.rc_context({"svg.hashsalt": f"thalweg {salt or alt}"}):
        fig.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"<text[^>]*>", lambda tag: fonts.in_svg(tag[0]), text)
    # matplotlib numbers its groups from 1 in every figure: ids that nothing names would clash on a page of several
    named = set(re.findall(r"""(?:href="|url\()#([^")]+)""", text))
    own = re.compile(r' id="([^"]*)"')
    text = re.sub(r"<\w[^>]*>", lambda tag: own.sub(lambda found: found[0] if found[1] in named else "", tag[0]), text)
    box = re.search(r'viewBox="([^"]+)"', text)
    body = text[text.index(">") + 1 :]
    view = box.group(1) if box else "0 0 460 288"
    links = ' xmlns:xlink="http://www.w3.org/1999/xlink"' if "xlink:" in body else ""
    return f'<svg role="img" aria-label="{escape(alt)}" viewBox="{view}" xmlns="http://www.w3.org/2000/svg"{links}>{body.strip()}'


def plain(text: str) -> str:
    """Text that matplotlib shows as it is: a dollar sign would start a formula, a control character would end the picture."""
    return visible(text).replace("$", r"\$")
