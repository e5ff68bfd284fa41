"""The pictures of the tour's words section: energy, fit, map, and length beside rarity. Texts come from tour.toml."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg import style
from thalweg.page import Exhibit, raw_svg
from thalweg.words.judging import goodness
from thalweg.words.pictures import drawing, labels
from thalweg.words.pictures.maps import map_words, telling
from thalweg.words.solving import objective
from thalweg.words.vectors.readout import Readout
from thalweg.words.vectors.texts import importance

N_POINTS = 600  # of a scatter plot
MAPPED = 100  # words of the map: names for most of them find room
LEAST = 8  # words that a map or a cloud of points needs to say something
NAME_SIZE = 8.5  # points


def energy(path: list[float], text: dict[str, str]) -> Exhibit:
    """The energy after each sweep."""
    first, last = f"{path[0]:,.0f}", f"{path[-1]:,.0f}"
    axes = style.energy_plot(path, title=text["energy_title"], steps=text["sweep"], energy=text["energy"])
    axes.set_ylim(bottom=0)
    picture = style.svg(axes.get_figure(root=True), text["energy_alt"].format(first=first, last=last))
    return Exhibit(raw_svg(picture), text["energy_caption"].format(first=first, last=last))


def fit(pairs: objective.Table, vectors: Readout, text: dict[str, str]) -> tuple[str, Exhibit]:
    """Weighted R² over all pairs seen, and a scatter plot of some."""
    predicted = goodness.predictions(pairs, vectors)
    found = goodness.of_table(pairs, predicted)
    r2 = f"{found.r2:.3f}" if np.isfinite(found.r2) else "-"  # a single pair has no spread
    weights = pairs.weights.astype(np.float64)
    n = len(predicted)
    drawn = np.random.default_rng(0).choice(n, min(N_POINTS, n), replace=False, p=weights / weights.sum())
    x, y, w = pairs.targets[drawn], predicted[drawn], pairs.weights[drawn]
    fig, axes = style.figure(height=3.9)
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    axes.plot([low, high], [low, high], color=style.GREY, linewidth=1)
    axes.scatter(x, y, s=12, c=_shaded(style.BLUE, w), linewidths=0)
    axes.set_title(text["fit_title"], loc="left")
    axes.set(xlabel=text["counted"], ylabel=text["predicted"])
    r = f"{np.corrcoef(x, y)[0, 1]:.3f}" if min(np.ptp(x), np.ptp(y)) > 0 else "-"
    bias = f"{found.mean_error:+.2f}"
    return r2, Exhibit(raw_svg(style.svg(fig, text["fit_alt"])), text["fit_caption"].format(n=len(drawn), r=r, bias=bias))


def _shaded(colour: str, weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """A colour for each point, more opaque in four steps of weight (each step is one group of marks in the picture).   (n, 4)"""
    from matplotlib.colors import to_rgb

    opacity = np.choose(np.digitize(weights, [0.1, 0.3, 0.8]), [0.25, 0.4, 0.6, 0.9])
    return np.column_stack([np.tile(to_rgb(colour), (len(weights), 1)), opacity])


def word_map(vectors: Readout, text: dict[str, str]) -> Exhibit | None:
    """The most frequent words that say something in the plane, None for a handful of them."""
    if len(telling(vectors, LEAST)) < LEAST:
        return None
    found = map_words(vectors, n=MAPPED, method="tsne")
    facts = {
        "n": f"{len(found):,}",
        "groups": found.n_clusters,
        "words": text["comma"].join(map(drawing.shortened, found.words[:8])),
    }
    fig, named = drawing.figure(found)
    fig.axes[0].set_title(text["map_title"].format(**facts), fontsize=10.5, loc="left")
    picture = style.svg(fig, text["map_alt"].format(**facts))
    return Exhibit(raw_svg(picture), text["map_caption"].format(**facts, named=named))


def lengths(vectors: Readout, shown: Sequence[str], text: dict[str, str]) -> tuple[str, Exhibit] | None:
    """Spearman's correlation of |v| and -ln P over all words, and a plot in which the words `shown` are named."""
    if len(vectors) < LEAST:
        return None
    table = importance(vectors, vectors.words)
    norm = {row.word: row.norm for row in table.rows}
    rarity = {row.word: row.rarity or 0.0 for row in table.rows}
    # by rank in equal steps of its logarithm, since most words are rare
    ranks = np.unique(np.geomspace(1, len(vectors), N_POINTS).astype(int)) - 1
    words = list(dict.fromkeys([*shown, *(vectors.words[rank] for rank in ranks)]))
    points = np.array([(rarity[word], norm[word]) for word in words])  # (n, 2)
    fig, axes = style.figure(height=3.9)
    axes.scatter(points[:, 0], points[:, 1], s=9, color=style.BLUE, alpha=0.4, linewidths=0)
    axes.scatter(points[: len(shown), 0], points[: len(shown), 1], s=15, color=style.VERMILION, linewidths=0, zorder=3)
    axes.set_title(text["length_title"], loc="left")
    axes.set(xlabel=text["rarity"], ylabel=text["norm"])
    axes.set_ylim(bottom=0)
    _name(fig, axes, shown, points)
    picture = style.svg(fig, text["length_alt"].format(words=text["comma"].join(map(drawing.shortened, shown[:4]))))
    spearman = "-" if math.isnan(table.spearman) else f"{table.spearman:.3f}"
    caption = text["length_caption"].format(spearman=spearman, n=f"{len(vectors):,}", drawn=f"{len(words):,}")
    return spearman, Exhibit(raw_svg(picture), caption)


def _name(fig: Any, axes: Any, words: Sequence[str], points: npt.NDArray[np.float64]) -> None:
    """Names beside the first points, as on a map."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(fig)
    with style.style():
        texts = [
            axes.text(*point, style.plain(drawing.shortened(word)), fontsize=NAME_SIZE, ha="center", va="center", zorder=4)
            for word, point in zip(words, points, strict=False)
        ]
    with style.anywhere(fig):
        canvas.draw()
        fig.set_layout_engine("none")  # names are placed in points, so the frame must stay where it is
        points_per_pixel = 72 / fig.dpi
        box = axes.get_window_extent()
        at = (axes.transData.transform(points) - [box.x0, box.y0]) * points_per_pixel
        renderer = canvas.get_renderer()
        widths = [text.get_window_extent(renderer).width * points_per_pixel + 1 for text in texts]
        sizes = np.column_stack([widths, np.full(len(texts), NAME_SIZE * 1.2)])
        # a name covers no other named point; the cloud is too dense to be left free
        centres = labels.place(at[: len(texts)], sizes, (box.width * points_per_pixel, box.height * points_per_pixel))
        for text, centre, size, point in zip(texts, centres, sizes, at, strict=False):
            if np.isnan(centre[0]):
                text.remove()
                continue
            ends = [centre, labels.touching(point, centre, size)]
            in_data = [axes.transData.inverted().transform(e / points_per_pixel + [box.x0, box.y0]) for e in ends if e is not None]
            text.set_position(tuple(in_data[0]))
            text.set_path_effects(_halo())
            if len(in_data) == 2:
                start = axes.transData.inverted().transform(point / points_per_pixel + [box.x0, box.y0])
                axes.plot(*zip(start, in_data[1], strict=True), color="#777777", linewidth=0.6, linestyle="-", zorder=2)


def _halo() -> list[Any]:
    """White around a name, so that it can be read over points."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="white")]


__all__ = ["energy", "fit", "lengths", "word_map"]
