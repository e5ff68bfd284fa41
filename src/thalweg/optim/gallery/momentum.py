"""Gallery page 3: descent and its flow; barriers; the temperature of a batch; one dial; Nesterov's three forms; what is stable.

The page's program is momentum.js; its twin is momentum_kernel.py.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from thalweg import knobs
from thalweg.knobs import PLOT, Files, axes, chooser, command, display, label, line, opening, slider, svg, verdict
from thalweg.optim.gallery import momentum_kernel as kernel
from thalweg.page import GalleryPage, Markup, data, tag

FILES = Files.of(__file__)
TIME = 4.0  # of the flow in the bowl
BOWLBOX, WELLBOX = (-2.3, 0.7, -1.1, 1.1), (-1.7, 1.7, -0.25, 0.6)
STEPS, SAMPLES, SHORT, MAPSTEPS = 200, 3000, 40, 120
LONG = 100_000  # steps of a histogram
VARIANCE = 16.0  # of one sample's gradient
RANGE, BINS = (-2.5, 2.5), 80
LEVELS = (0.6, 0.8, 0.9, 0.95, 0.98, 1 + 1e-9)
MAPHEIGHT = 372
FLOW = r"\dfrac{d\theta}{dt}=-\nabla L(\theta),\quad \theta_{n+1}=\theta_n-\eta\,\nabla L(\theta_n),\quad \eta<\dfrac{2}{\lambda}"
LIMITS = r"\mathrm{HeavyBall}:\ \eta\lambda<2\,(1+\beta),\qquad \mathrm{Nesterov}:\ \eta\lambda<\dfrac{2\,(1+\beta)}{1+2\beta}"
LOOK_AHEAD = r"v\leftarrow\beta v-\eta\,\nabla L(\tilde p+\beta v),\quad \tilde p\leftarrow\tilde p+v,\quad p=\tilde p+\beta v"


@cache
def top() -> float:
    """The point of the barrier: the middle root of L' = x^3 - x - 0.1."""
    return float(sorted(np.roots([1, 0, -1, -0.1]).real)[1])


@cache
def friction() -> float:
    """The friction below which the flow crosses."""
    return kernel.friction_limit(top())


def carried(locale: str) -> dict[str, Any]:
    """What the page's script reads."""
    made: dict[str, Any] = {"curvatures": kernel.CURVATURES, "begin": kernel.BEGIN, "rest": kernel.REST, "fine": kernel.FINE}
    made |= {"p0": kernel.P0, "lr0": kernel.LR, "land": kernel.LAND, "seed": kernel.SEED, "summit": top(), "friction": friction()}
    made |= {"time": TIME, "bowlbox": BOWLBOX, "wellbox": WELLBOX, "steps": STEPS, "samples": SAMPLES, "short": SHORT, "long": LONG}
    made |= {"variance": VARIANCE, "range": RANGE, "bins": BINS, "levels": LEVELS, "mapheight": MAPHEIGHT, "mapsteps": MAPSTEPS}
    return made | {"plot": PLOT, "text": knobs.spoken(FILES.texts()[locale])}


def page(locale: str) -> GalleryPage:
    """The page in English or Chinese."""
    text = FILES.texts()[locale]
    body = [
        *opening("flow", text),
        display(FLOW),
        _flow(text),
        command(
            text["same"],
            "from thalweg import descend, energies, optim",
            "descend(energies.Parabola((1.0, 8.0)), (-2.0, 0.9), optim.SGD({flr}), steps=round(4 / {flr})).x",
            flr="0.050",
        ),
        command(text["limit_of"], "thalweg optim stability sgd"),
        *opening("barrier", text),
        display(r"\ddot\theta+\kappa\,\dot\theta+\eta\,\nabla L(\theta)=0,\quad \kappa=-\ln\beta"),
        _barrier(text),
        tag("p", text["p_friction"].format(friction=f"{friction():.4f}")),
        command(
            text["same"],
            "from thalweg import descend, energies, optim",
            "descend(energies.DoubleWell(tilt=-0.1), [-1.45], optim.HeavyBall({blr}, momentum={bm}), steps=200).x[-1]",
            blr="0.1",
            bm="0.920",
        ),
        *opening("warm", text),
        display(r"p(\theta)\propto e^{-L(\theta)/T},\quad T=\dfrac{\eta\,s}{2\,(1-\beta)\,B}"),
        _warm(text),
        command(
            text["same"],
            "from thalweg.optim import HeavyBall, dynamics",
            "dynamics.stationary(HeavyBall({tlr}, momentum={tm}), 1.0, noise=16 / {tb}).temperature",
            tlr="1/32",
            tm="0.0",
            tb="4",
        ),
        *opening("law", text),
        display(r"\dfrac{\eta_1}{(1-\beta_1)\,B_1}=\dfrac{\eta_2}{(1-\beta_2)\,B_2}"),
        _law(text),
        command(
            text["same"],
            "from thalweg.optim import HeavyBall, dynamics",
            "dynamics.convert(HeavyBall({lratio}, momentum=0), momentum={lm}, batch={lb}).lr",
            lratio="0.004",
            lm="0.90",
            lb="4",
        ),
        *opening("nesterov", text),
        display(LOOK_AHEAD),
        _nesterov(text),
        tag("p", text["p_damping"]),
        command(text["same"], "thalweg optim stability nesterov --momentum {nm}", nm="0.90"),
        *opening("map", text),
        display(LIMITS),
        _map(text),
        command(text["same"], "thalweg optim stability {mrule} --momentum {mm}", mrule="heavyball", mm="0.50"),
        data("carried", carried(locale)),
    ]
    return GalleryPage(text["title"], text["lead"], body, FILES.script(), FILES.style(), still=FILES.still(locale))


def _spot(name: str, r: int) -> Markup:
    return tag("circle", id=name, r=r, cx=-20, cy=-20)


def _flow(text: dict[str, str]) -> Markup:
    left, plot_top, right, bottom = PLOT
    x0, x1, y0, y1 = BOWLBOX
    centre = {"cx": f"{left - x0 / (x1 - x0) * (right - left):.1f}", "cy": f"{bottom + y0 / (y1 - y0) * (bottom - plot_top):.1f}"}
    rings = []
    for level in np.geomspace(0.1, 25, 11):  # x^2 + 8 y^2 = level
        across, upward = np.sqrt(level / np.array(kernel.CURVATURES)) * (right - left, bottom - plot_top) / (x1 - x0, y1 - y0)
        rings.append(tag("ellipse", rx=f"{across:.1f}", ry=f"{upward:.1f}", class_="contour", **centre))
    lines = [line("fflow", "one"), line("fsteps", "two"), line("fdots", "dots")]
    names = [label(text["flow"], 470, 24, "water"), label(text["steps_of"], 470, 44, "accent")]
    return tag(
        "div",
        slider("flr", text["lr"], 0.005, 0.27, 0.005, 0.05),
        svg(text["alt_flow"], *rings, *lines, *names),
        verdict("fsay"),
        class_="knobs",
    )


def _barrier(text: dict[str, str]) -> Markup:
    x0, x1, y0, y1 = WELLBOX
    left, plot_top, right, bottom = PLOT
    points = []
    for share in np.linspace(0, 1, 121):
        p = x0 + share * (x1 - x0)
        level = bottom - (kernel.height("wells", p) - y0) / (y1 - y0) * (bottom - plot_top)
        points.append(f"{left + share * (right - left):.1f} {level:.1f}")
    across = [((p - x0) / (x1 - x0), _minus(p)) for p in (-1, 0, 1)]
    profile = [*axes(across, [], "p", ""), tag("path", d="M" + "L".join(points), class_="thin")]
    marks = [line("btrail", "two"), line("bdots", "dots"), _spot("bplain", 7), _spot("bball", 7)]
    valley = svg(text["alt_wells"], *profile, *marks, label("L(p)", 96, 40, "ink", "start"))
    times = axes(
        [(0, "0"), (0.5, str(STEPS // 2)), (1, str(STEPS))], [(0.8 / 3.6, "−1"), (0.5, "0"), (2.8 / 3.6, "1")], text["step"], "p"
    )
    names = [
        label(text["ball"], 456, 132, "accent"),
        label(text["inertial"], 456, 154, "ink"),
        label(text["plain"], 456, 176, "water"),
    ]
    run = svg(text["alt_run"], *times, line("bgd", "one"), line("bheavy", "two"), line("bflow", "three"), *names)
    return tag(
        "div",
        slider("blr", text["lr"], -2, -0.5, 0.05, -1),
        slider("bm", text["momentum"], 0.5, 0.99, 0.005, 0.92),
        tag("div", valley, run, class_="pair"),
        verdict("bsay"),
        class_="knobs",
    )


def _minus(number: float) -> str:
    return f"{number:g}".replace("-", "−")


def _warm(text: dict[str, str]) -> Markup:
    frame = axes([(0.1, "−2"), (0.3, "−1"), (0.5, "0"), (0.7, "1"), (0.9, "2")], [], "p", text["share"])
    figure = svg(text["alt_warm"], *frame, line("tbars", "bars"), line("tlaw", "two"), label("exp(−L/T)", 460, 40, "accent"))
    return tag(
        "div",
        chooser("tland", [("bowl", text["bowl"]), ("wells", text["wells"])], text["land"]),
        slider("tlr", text["lr"], -6, -3, 1, -5),
        slider("tb", text["batch"], 0, 4, 1, 2),
        slider("tm", text["momentum"], 0, 0.9, 0.1, 0),
        tag("button", text["double"], type="button", id="tdouble"),
        figure,
        verdict("tsay"),
        class_="knobs",
    )


def _law(text: dict[str, str]) -> Markup:
    times = [(share, f"{share * SAMPLES:,.0f}") for share in (0, 0.5, 1)]
    frame = axes(times, [(0.4, "0"), (0.9, "0.5")], text["samples"], "p")
    names = [label(text["single"], 460, 34, "water"), label(text["other"], 460, 54, "accent")]
    return tag(
        "div",
        slider("lratio", "η / ((1 − β) B)", 0.001, 0.02, 0.001, 0.004),
        slider("lm", text["momentum2"], 0, 0.98, 0.02, 0.9),
        slider("lb", text["batch2"], 0, 6, 1, 2),
        svg(text["alt_law"], *frame, line("lone", "one"), line("ltwo", "two"), *names),
        verdict("lsay"),
        class_="knobs",
    )


def _nesterov(text: dict[str, str]) -> Markup:
    frame = axes(
        [(0, "0"), (0.5, str(SHORT // 2)), (1, str(SHORT))],
        [(0.1 / 2.2, "−1"), (0.5, "0"), (2.1 / 2.2, "1")],
        text["step"],
        "p",
        26,
    )
    lines = [line("nlook", "three"), line("ntorch", "one"), line("nahead", "dots"), line("nkeras", "specks")]
    names = [(text["torch"], "water"), (text["ahead"], "accent"), (text["keras"], "ink"), (text["look"], "ink")]
    forms = svg(text["alt_forms"], *frame, *lines, *(label(words, 460, 30 + 21 * k, kind) for k, (words, kind) in enumerate(names)))
    frame = axes([(k / 4, str(k)) for k in range(5)], [(k / 1.4, f"{k:g}") for k in (0, 0.5, 1)], "ηλ", text["factor"])
    limit = tag("path", d=f"M{PLOT[0]} {PLOT[3] - (PLOT[3] - PLOT[1]) / 1.4:.1f}H{PLOT[2]}", class_="thin")
    lines = [line("nheavyball", "two"), line("nnesterov", "one"), _spot("nheavyballdot", 6), _spot("nnesterovdot", 6)]
    names = [(text["ball"], "accent"), ("Nesterov", "water")]
    pace = svg(
        text["alt_pace"], *frame, limit, *lines, *(label(words, 460, 240 + 22 * k, kind) for k, (words, kind) in enumerate(names))
    )
    return tag(
        "div",
        slider("nx", "ηλ", 0.02, 1.6, 0.02, 0.3),
        slider("nm", text["momentum"], 0, 0.98, 0.02, 0.9),
        tag("div", forms, pace, class_="pair"),
        verdict("nsay"),
        class_="knobs",
    )


def _map(text: dict[str, str]) -> Markup:
    left, _, right, bottom = PLOT
    frame = axes([(k / 4, str(k)) for k in range(5)], [(0, "0"), (0.5, "0.5"), (1, "1")], "ηλ", "")
    levels = [line(f"level{k}", "level") for k in range(len(LEVELS) + 1)]
    wide = (right - left) / len(levels)
    bounds = [f"{level:g}" for level in (*LEVELS[:-1], 1)] + ["> 1"]
    key = [
        mark
        for k, words in enumerate(bounds)
        for mark in (
            tag("rect", x=f"{left + k * wide:.1f}", y=bottom + 44, width=f"{wide:.1f}", height=14, class_=f"level level{k}"),
            tag("text", words, x=f"{left + (k + 0.5) * wide:.1f}", y=bottom + 74, text_anchor="middle"),
        )
    ]
    marks = [label("β", 20, 120, "ink", "start"), label(text["diverges"], 456, 272, "accent")]
    chart = svg(
        text["alt_map"], *levels, *frame, line("edge", "edge"), *marks, _spot("here", 7), *key, height=MAPHEIGHT, name="map"
    )
    ticks = [((power + 12) / 16, knobs.raised(power)) for power in (-8, -4, 0, 4)]
    times = axes([(0, "0"), (0.5, str(MAPSTEPS // 2)), (1, str(MAPSTEPS))], ticks, text["step"], "|p|")
    names = [label(text["run"], 460, 40, "water"), label(text["pace"], 460, 62, "accent")]
    run = svg(text["alt_mrun"], *times, line("mrun", "one"), line("mpace", "two"), *names)
    return tag(
        "div",
        chooser("mrule", [("heavyball", "HeavyBall"), ("nesterov", "Nesterov")], text["rule"]),
        slider("mx", "ηλ", 0, 4, 0.02, 0.4),
        slider("mm", text["momentum"], 0, 0.99, 0.01, 0.5),
        tag("div", chart, run, class_="pair"),
        verdict("msay"),
        class_="knobs",
    )
