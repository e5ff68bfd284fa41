"""The tour's section on clusters: what temperature does to them, and clusters of pictures that the fit has not seen."""

from __future__ import annotations

import math
import time
import tomllib
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from thalweg import style
from thalweg.capsules.softkmeans import SoftKMeans
from thalweg.console import duration
from thalweg.page import Exhibit, Section, raw_svg, table
from thalweg.progress import Progress

TEXT: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "tour.toml").read_text(encoding="utf-8"))
TRAINED, CLUSTERS = 1300, 10  # of the 1,797 digits, and their clusters
BETAS = np.linspace(0.2, 3, 57)
APART = 0.05  # of two centres that have parted
Floats = npt.NDArray[np.float64]


def section(*, locale: str = "en", progress: Progress | None = None) -> Section:
    """Centres of two heaps as the temperature falls, then scikit-learn's digits, fitted on some and judged on the others."""
    text, began = TEXT[locale], time.monotonic()
    split, facts = _split(text)
    rows, judged = _digits(progress)
    return Section(
        title=text["title"].format(**facts),
        claim=text["claim"],
        exhibits=[
            split,
            Exhibit(table([text[name] for name in ("kind", "energy", "held", "right", "right_held")], rows), text["judged"]),
        ],
        numbers=[
            (text["rows"], f"{TRAINED:,}"),
            (text["held_rows"], f"{judged:,}"),
            (text["critical"], facts["critical"]),
            (text["seconds"], duration(time.monotonic() - began)),
        ],
        command=f"thalweg capsules cluster digits --n-clusters {CLUSTERS} --out clusters",
    )


def heaps() -> Floats:
    """Two heaps on a line, at -1 and 1."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(side, 0.25, 200) for side in (-1.0, 1.0)])[:, None]


def _centres(x: Floats, beta: float) -> Floats:
    """The two centres at an inverse temperature, the lower first."""
    start = x.mean() + np.array([[-0.1], [0.1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # at the critical temperature rounds without end would be needed
        model = SoftKMeans(2, inverse_temperature=beta, init=start, tol=1e-12, max_iter=3000).fit(x)
    return np.sort(model.cluster_centers_.ravel())


def _split(text: dict[str, str]) -> tuple[Exhibit, dict[str, str]]:
    """The two centres against the inverse temperature, and where they part: at 1 / (2 variance)."""
    x = heaps()
    places = np.array([_centres(x, float(beta)) for beta in BETAS])
    first = int(np.argmax(np.diff(places)[:, 0] > APART))
    low, high = BETAS[first - 1], BETAS[first]
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (low, middle) if np.diff(_centres(x, middle))[0] > APART else (middle, high)
    critical = 1 / (2 * float(x.var()))
    ends = (f"{place:.2f}".replace("-", "−") for place in places[-1])
    facts = {"critical": f"{critical:.3f}", "parted": f"{high:.3f}"} | dict(zip(("low", "high"), ends, strict=True))
    fig, axes = style.figure(height=3.2)
    with style.style():
        axes.plot(BETAS, places[:, 1], color=style.BLUE)
        axes.plot(BETAS, places[:, 0], color=style.VERMILION, linestyle="--")
        axes.axvline(critical, color=style.GREY, linewidth=1, linestyle=":")
        axes.set(xlabel=text["beta"], ylabel=text["place"])
        axes.set_title(text["split_title"].format(**facts), loc="left")
    picture = raw_svg(style.svg(fig, text["split_alt"], salt="split"))
    return Exhibit(picture, text["split_caption"].format(**facts)), facts


def _digits(progress: Progress | None) -> tuple[list[list[object]], int]:
    """For hard and soft clusters: energy a row and the share of digits that their cluster names, fitted and held out."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.data, digits.target
    rows: list[list[object]] = []
    for beta in (math.inf, "auto"):
        model = SoftKMeans(CLUSTERS, inverse_temperature=beta, n_init=4)
        model.fit(x[:TRAINED], progress=progress)
        names = np.array([np.bincount(y[:TRAINED][model.labels_ == j], minlength=10).argmax() for j in range(CLUSTERS)])
        fitted, held = (float((names[model.predict(x[part])] == y[part]).mean()) for part in (slice(TRAINED), slice(TRAINED, None)))
        energy = [-model.score(x[part]) / len(x[part]) for part in (slice(TRAINED), slice(TRAINED, None))]
        b = model.inverse_temperature_
        kind = "b = inf" if math.isinf(b) else f"b = {b:.3g}"
        rows.append([kind, f"{energy[0]:.0f}", f"{energy[1]:.0f}", f"{100 * fitted:.0f}%", f"{100 * held:.0f}%"])
    return rows, len(x) - TRAINED
