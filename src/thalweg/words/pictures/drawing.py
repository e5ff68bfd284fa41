"""The picture of a map of words: marks by group, told apart by shape and by colour, and names that do not overlap.

The picture is narrow, so that a phone shows it at the size it is drawn at; it grows downwards with the number of words.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg import fonts, style
from thalweg.errors import visible
from thalweg.page import Exhibit, Markup, document, exhibit_html, join, raw_svg, table, tag
from thalweg.words.pictures import labels
from thalweg.words.pictures.plane import NAMES, Doubles, Plane

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.7  # inches: 340 points, the width of a phone's screen without its margins
SIZE = 7.8  # points, of the names
LONGEST = 22  # characters of a name; the page's list has all of them
MOST_NAMES = 600  # beyond that nobody reads them, and placing them takes seconds
SHAPES = "os^DvPX*<>ph"  # one for each group
COLOURS = (*style.CYCLE, style.BLACK, style.YELLOW)
MARGIN = 6.0  # points around the points


def figure(word_map: Plane) -> tuple[Figure, int]:
    """The figure, and how many of the words are named in it."""
    n = len(word_map)
    height = float(np.clip(2.6 + 0.026 * n, 3.2, 7.8))
    fig, axes = style.figure(WIDTH, height)
    fig.set_layout_engine("none")  # names are placed in points, so the frame must stay where it is
    low, top = (26.0, 24.0) if word_map.shares else (8.0, 24.0)
    frame = (72 * WIDTH - 24.0, 72 * height - low - top)
    axes.set_position((18 / (72 * WIDTH), low / (72 * height), frame[0] / (72 * WIDTH), frame[1] / (72 * height)))
    points = _in_points(word_map.xy, frame)
    with style.style():
        axes.set(xlim=(0, frame[0]), ylim=(0, frame[1]), xticks=[], yticks=[])
        for side in axes.spines.values():
            side.set(visible=True, color="#DDDDDD")
        axes.set_title(_title(word_map), fontsize=10.5)
        if word_map.shares:
            for set_label, which, share in ((axes.set_xlabel, "first", 0), (axes.set_ylabel, "second", 1)):
                set_label(f"{which} direction: {word_map.shares[share]:.0%} of the variance", fontsize=8, color=style.GREY)
        for group in range(word_map.n_clusters):
            x, y = points[word_map.cluster == group].T
            axes.scatter(x, y, s=13, marker=SHAPES[group], color=_colour(group), edgecolors="#444444", linewidths=0.3, zorder=3)
        named = _names(axes, word_map, points, frame)
    return fig, named


def _in_points(xy: Doubles, frame: tuple[float, float]) -> Doubles:
    """Coordinates in the frame, both axes filled; what has no extent lies in the middle.   (n, 2)"""
    low, extent = xy.min(axis=0), np.ptp(xy, axis=0)
    inner = np.asarray(frame) - 2 * MARGIN
    return np.asarray(MARGIN + np.where(extent > 0, (xy - low) / np.where(extent > 0, extent, 1), 0.5) * inner)


def _names(axes: Any, word_map: Plane, points: Doubles, frame: tuple[float, float]) -> int:
    """Write the names that find room, and return their number."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(axes.figure)
    renderer = canvas.get_renderer()
    texts = [
        axes.text(
            0, 0, style.plain(shortened(word)), fontsize=SIZE, color=ink(_colour(group)), ha="center", va="center", zorder=4,
            fontweight="bold" if rank < word_map.asked else "normal",
        )
        for rank, (word, group) in enumerate(zip(word_map.words[:MOST_NAMES], word_map.cluster, strict=False))
    ]  # fmt: skip
    with style.anywhere(axes.figure):
        widths = [text.get_window_extent(renderer).width * 72 / axes.figure.dpi for text in texts]
    sizes = np.stack([np.asarray(widths) + 1, np.full(len(widths), SIZE * 1.2)], axis=1)
    centres = labels.place(points, sizes, frame)
    for text, centre, size, point in zip(texts, centres, sizes, points, strict=False):
        if np.isnan(centre[0]):
            text.remove()
            continue
        text.set_position(tuple(centre))
        edge = labels.touching(point, centre, size)
        if edge is not None:
            axes.plot(*zip(point, edge, strict=True), color="#999999", linewidth=0.5, linestyle="-", zorder=2)
    return int(np.isfinite(centres[:, 0]).sum())


def shortened(word: str) -> str:
    """A word as it is written into the picture."""
    shown = visible(word)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def _title(word_map: Plane) -> str:
    n = "1 word" if len(word_map) == 1 else f"{len(word_map):,} words"
    if word_map.method == "pca":
        return f"{n} along their two main directions"
    return f"{n}, like words near each other ({NAMES[word_map.method]})"


def _colour(group: int) -> str:
    return COLOURS[group % len(COLOURS)]


def ink(colour: str) -> str:
    """The colour, darkened until it can be read on white (contrast 4.5 to 1, WCAG 2.1)."""
    from matplotlib.colors import to_hex, to_rgb

    rgb = np.asarray(to_rgb(colour))
    while 1.05 / (luminance(rgb) + 0.05) < 5:
        rgb = rgb * 0.95
    return to_hex((float(rgb[0]), float(rgb[1]), float(rgb[2])))


def luminance(rgb: Doubles) -> float:
    """Relative luminance of sRGB values in 0..1.   (3,)"""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def png(word_map: Plane) -> bytes:
    """The picture as a PNG file. Warns, once, of characters that no font here has."""
    if missing := fonts.lacking(map(shortened, word_map.words[:MOST_NAMES])):
        chinese = any("\u4e00" <= ch <= "\u9fff" for ch in missing)
        which = "Chinese characters" if chinese else f"{len(missing)} of these characters ({missing[:10]})"
        remedy = "apt-get install fonts-noto-cjk" if chinese else "install a font that has them"
        warnings.warn(f"no font here has {which}, so a PNG shows boxes for them (SVG and HTML do not): {remedy}", stacklevel=2)
    out = io.BytesIO()
    fig = figure(word_map)[0]
    with style.style():
        fig.savefig(out, format="png", dpi=200, metadata={"Software": None})
    return out.getvalue()


def svg(word_map: Plane) -> str:
    """The picture as one `<svg>` element."""
    return _drawn(word_map)[0]


def _drawn(word_map: Plane) -> tuple[str, int]:
    fig, named = figure(word_map)
    return style.svg(fig, f"{_title(word_map)}: {', '.join(map(shortened, word_map.words[:8]))}"), named


def page(word_map: Plane) -> str:
    """A whole page: the picture, what it shows, and the words of each group."""
    picture, named = _drawn(word_map)
    n = len(word_map)
    said = {
        "pca": "The two directions in which the vectors of these words vary most. What lies far apart is different; "
        "what lies near may still differ in the other dimensions, which colour and shape show.",
        "tsne": "Words with like vectors are kept near each other. Which words are neighbours means something; distances farther "
        "apart, and the sizes of clumps, do not.",
        "umap": "Words with like vectors are kept near each other. Which words are neighbours means something; distances farther "
        "apart mean little.",
    }
    left_out = f" {n - named:,} of {n:,} names had no room; all are in the list." if named < n else ""
    shares = word_map.shares
    variance = f" They hold {shares[0]:.0%} and {shares[1]:.0%} of the variance." if shares else ""
    caption = f"{said[word_map.method]}{variance} Colour and shape: {word_map.n_clusters} groups by k-means.{left_out}"
    rows = [[_mark(k), join(_words(group, word_map))] for k, group in enumerate(word_map.groups())]
    body = [
        tag("h1", "A map of words"),
        exhibit_html(Exhibit(raw_svg(picture), caption)),
        tag("h2", "The groups"),
        table(["", "words"], rows),
    ]
    return document(_title(word_map), body)


def _words(group: list[str], word_map: Plane) -> list[object]:
    """The words of a group with commas, those asked for in bold."""
    asked = set(word_map.words[: word_map.asked])
    shown = [tag("strong", word) if word in asked else word for word in group]
    return [part for k, word in enumerate(shown) for part in ((", ", word) if k else (word,))]


def _mark(group: int) -> Markup:
    """The mark of a group, as in the picture."""
    from matplotlib.markers import MarkerStyle

    marker = MarkerStyle(SHAPES[group])
    path = marker.get_path().transformed(marker.get_transform())
    letters = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}
    drawn = "".join(
        letters[int(code)] + ("" if code == 79 else " ".join(f"{-v if k % 2 else v:.3f}" for k, v in enumerate(vertices)))
        for vertices, code in path.iter_segments(curves=True, simplify=False)
    )
    return raw_svg(
        f'<svg role="img" aria-label="group {group + 1}" viewBox="-0.75 -0.75 1.5 1.5" style="width:1.1em;height:1.1em;'
        f'vertical-align:-0.15em"><path d="{drawn}" style="fill:{_colour(group)};stroke:#444444;stroke-width:0.03"/></svg>'
    )


__all__ = ["figure", "page", "png", "svg"]
