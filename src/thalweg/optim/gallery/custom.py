"""Gallery page 4: a rule and what it compiles to; race it; soft batch; Heun per gradient; what hand-written gradients save.

The page's program is custom.js; its twin is kernel.py. The figures of the last section were measured by
bench/optim/hand_gradients.py.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from thalweg import energies
from thalweg.knobs import PLOT, Files, chooser, command, frame, slider, svg
from thalweg.optim import rules
from thalweg.optim.gallery import kernel
from thalweg.optim.language.fields import decay, rate
from thalweg.optim.language.rule import Rule
from thalweg.optim.language.state import Slots, State, Value
from thalweg.optim.ops import where
from thalweg.page import GalleryPage, Markup, data, formula, table, tag

FILES = Files.of(__file__)
BOXES = {"wells": (-2, 2, -1.3, 1.3), "valley": (-1.7, 1.7, -0.8, 2.2), "bowl": (-2.4, 2.4, -1.6, 1.6), "plateau": (-1, 4, -1.5, 2)}
MINIMA: dict[str, list[float]] = {
    "wells": [float(energies.DoubleWell(tilt=-0.1).minima[0, 0]), 0.0],
    "valley": [1.0, 1.0],
    "bowl": [0.0, 0.0],
    "plateau": [3.0, 0.5],
}
GRADIENTS, UPDATES, HEUN = 200, 24, 40
LANDS = {  # where each descent begins, as one types it
    "wells": "energies.DoubleWell(tilt=-0.1), [-1.45]",
    "valley": "energies.Rosenbrock(), (-1.2, 1.0)",
    "bowl": "energies.Parabola((1.0, 25.0)), (-2.0, 1.0)",
    "plateau": "energies.Beale(), (1.0, 1.2)",
}
CODES = {
    "sgd": "optim.SGD({lr}), steps=200",
    "heavyball": "optim.HeavyBall({lr}, momentum={momentum}), steps=200",
    "nesterov": "optim.Nesterov({lr}, momentum={momentum}), steps=200",
    "rmsprop": "optim.RMSprop({lr}, alpha=0.9), steps=200",
    "adam": "optim.Adam({lr}, b1={momentum}), steps=200",
    "lion": "optim.Lion({lr}, b1={momentum}), steps=200",
    "heun": "optim.Heun({lr}), steps=100",
}
SOFTBOX = (-0.4, 2.6, -0.5, 4.0)
SOFT_RATES = {"heavyball": 0.06, "adam": 0.25, "sgd": 0.5}
SEED = 3  # of the samples


@dataclass(frozen=True)
class Cautious(Rule):
    """m = momentum m + g; p = p - lr m where both agree in sign.

    Source: Liang et al. 2024, arXiv 2411.16085.
    """

    lr: float = rate(0.01)
    momentum: float = decay(0.9)
    slots = Slots(m=0)

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        m = self.momentum * s.m + g
        return p - self.lr * where(m * g > 0, m, 0), s(m=m)


SHOWN: tuple[Rule, ...] = (Cautious(), rules.RMSprop(), rules.Adam(), rules.Lion(), rules.NAdam(), rules.LAMB())


@cache
def samples() -> list[list[float]]:
    """The regression of the soft batch: (a, y) with y = 1 + 2 a and noise."""
    rng = np.random.default_rng(SEED)
    a = rng.standard_normal(24)
    rows: list[list[float]] = np.round(np.column_stack([a, 1 + 2 * a + 0.7 * rng.standard_normal(24)]), 3).tolist()
    return rows


def carried(locale: str) -> dict[str, Any]:
    """What the page's script reads."""
    text = FILES.texts()[locale]
    programs = [{"code": _source(rule), "program": str(rule.program())} for rule in SHOWN]
    made = {"starts": kernel.STARTS, "alpha": kernel.ALPHA, "b2": kernel.B2, "lion": kernel.LION, "eps": kernel.EPS}
    made |= {"corners": kernel.CORNERS, "micro": kernel.MICRO, "samples": samples(), "plot": PLOT, "boxes": BOXES, "minima": MINIMA}
    made |= {"gradients": GRADIENTS, "updates": UPDATES, "heun": HEUN, "softlr": SOFT_RATES, "softbox": SOFTBOX}
    return made | {"programs": programs, "text": {key: text[key] for key in ("ended", "diverged", "softness", "heuns")}}


def _source(rule: Rule) -> str:
    """A rule of ours: its fields are in the list of numbers, so the step says it all; the user's rule whole."""
    whole = isinstance(rule, Cautious)
    code = inspect.getsource(Cautious if whole else type(rule).step)
    return inspect.cleandoc("\n" + code).replace(": Value", "").replace(": State", "").replace(" -> tuple[Value, State]", "")


def page(locale: str) -> GalleryPage:
    """The page in English or Chinese."""
    text = FILES.texts()[locale]
    measured = json.loads(FILES.read("hand_gradients.json"))
    body = [
        tag("h2", text["h_rule"]),
        tag("p", text["p_rule"]),
        _compiled(text),
        tag("p", text["p_faces"]),
        tag("h2", text["h_race"]),
        tag("p", text["p_race"]),
        _race(text),
        command(
            text["same"],
            "from thalweg import descend, energies, optim",
            "descend({land}, {rule}).energy[-1]",
            land=LANDS["wells"],
            rule=CODES["heavyball"],
            lr="0.2",
            momentum="0.90",
        ),
        command(text["p_more"], "thalweg optim race --out race.html"),
        tag("h2", text["h_soft"]),
        tag("p", text["p_soft"]),
        tag(
            "p",
            formula(r"g=\dfrac{1}{k}\sum_{i=1}^{k} g_i(\theta),\quad \theta\leftarrow\mathrm{step}(\theta,g)"),
            class_="display",
        ),
        _soft(text),
        tag("p", text["p_skip"]),
        tag("h2", text["h_heun"]),
        tag("p", text["p_heun"]),
        tag(
            "p",
            formula(r"\theta\leftarrow\theta-\dfrac{\eta}{2}\,(\nabla L(\theta)+\nabla L(\theta-\eta\nabla L(\theta)))"),
            class_="display",
        ),
        _heun(text),
        command(
            text["same"],
            "from thalweg import descend, energies, optim",
            f"descend({LANDS['bowl']}, optim.Heun({{hlr}}), steps={HEUN // 2}).energy[-1]",
            hlr="0.040",
        ),
        tag("p", text["p_limit"]),
        tag("h2", text["h_hand"]),
        tag("p", text["p_hand"]),
        tag(
            "p",
            formula(r"\dfrac{\partial}{\partial u}\ln(1+e^{x})-y\,x=(\sigma(x)-y)\,k,\quad x=\langle u,k\rangle"),
            class_="display",
        ),
        _measured(measured, text),
        tag("p", text["p_measured"].format(**{key: measured[key] for key in ("date", "torch", "rounds")})),
        command(text["again"], "python bench/optim/hand_gradients.py"),
        data("carried", carried(locale)),
    ]
    return GalleryPage(text["title"], text["lead"], body, FILES.script(), FILES.style(), still=FILES.still(locale))


def _compiled(text: dict[str, str]) -> Markup:
    names = [(str(k), text["own"] if isinstance(rule, Cautious) else type(rule).__name__) for k, rule in enumerate(SHOWN)]
    return tag(
        "div",
        chooser("which", names, text["rule"]),
        tag("pre", tag("code", "", id="code")),
        tag("div", text["becomes"]),
        tag("pre", tag("code", "", id="program")),
        class_="knobs",
    )


def _race(text: dict[str, str]) -> Markup:
    others = [(key, CODES[key].removeprefix("optim.").partition("(")[0]) for key in kernel.RULES if key != "heavyball"]
    circles = [tag("circle", id=name, r=r, cx=-20, cy=-20) for name, r in (("least", 7), ("begin", 5), ("end", 5))]
    contours = [
        tag("path", d=_contours(name), class_="contour", data_land=name, style=None if name == "wells" else "display:none")
        for name in BOXES
    ]
    plan = svg(text["plan"], *contours, tag("path", id="path"), *circles)
    loss = svg(text["descent"], *_heights(GRADIENTS, text, "lossmarks"), tag("path", id="loss"))
    return tag(
        "div",
        chooser("land", [(name, text[name]) for name in BOXES], text["land"], LANDS),
        chooser("rule", [("heavyball", "HeavyBall"), *others], text["rule"], CODES),
        slider("lr", text["lr"], -4, 0, 0.05, -0.7),
        slider("momentum", text["momentum"], 0, 0.99, 0.01, 0.9),
        tag("div", plan, loss, class_="pair"),
        tag("p", "", id="verdict", aria_live="polite"),
        class_="knobs",
    )


def _heights(most: int, text: dict[str, str], name: str) -> list[Markup]:
    """Axes of a loss: gradients to the right, powers of ten upwards, whose marks the script sets for the run that it shows."""
    left, top, right, bottom = PLOT
    middle = (left + right) / 2
    across = [
        (left, bottom + 18, "0", "middle"),
        (right, bottom + 18, str(most), "end"),
        (middle, bottom + 34, text["gradients"], "middle"),
    ]
    return [*frame(*across, (left + 8, top + 8, text["gap"], "start")), tag("g", id=name)]


def _contours(name: str) -> str:
    """Lines of equal height of a landscape, in the picture's units."""
    from contourpy import contour_generator

    x0, x1, y0, y1 = BOXES[name]
    left, top, right, bottom = PLOT
    x, y = np.linspace(x0, x1, 90), np.linspace(y0, y1, 70)
    gap = np.array([[kernel.value(name, (a, b)) - kernel.value(name, tuple(MINIMA[name])) for a in x] for b in y])  # type: ignore[arg-type]
    lines = contour_generator(x, y, gap)
    pieces = []
    for level in np.geomspace(0.02, float(gap.max()) / 1.5, 11):
        for piece in lines.lines(float(level)):
            across = left + (np.asarray(piece)[:, 0] - x0) / (x1 - x0) * (right - left)
            upward = bottom - (np.asarray(piece)[:, 1] - y0) / (y1 - y0) * (bottom - top)
            pieces.append("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(across, upward, strict=True)))
    return "".join(pieces)


def _soft(text: dict[str, str]) -> Markup:
    left, _, right, bottom = PLOT
    plot = svg(
        text["soft_figure"],
        *frame(((left + right) / 2, bottom + 20, "θ₀", "middle"), (left - 14, 150, "θ₁", "end")),
        tag("path", id="skip"),
        tag("path", id="big"),
        tag("path", id="soft"),
        tag("text", text["big"], x=456, y=226, text_anchor="end", class_="water"),
        tag("text", text["added"], x=456, y=248, text_anchor="end", class_="ink"),
        tag("text", text["skipped"], x=456, y=270, text_anchor="end", class_="accent"),
    )
    return tag(
        "div",
        chooser("softrule", [("heavyball", "HeavyBall"), ("adam", "Adam"), ("sgd", "SGD")], text["rule"]),
        slider("k", text["k"], 1, 6, 1, 4),
        tag("figure", plot, tag("figcaption", "", id="softness", aria_live="polite")),
        class_="knobs",
    )


def _heun(text: dict[str, str]) -> Markup:
    plot = svg(
        text["heun_figure"],
        *_heights(HEUN, text, "heunmarks"),
        tag("path", id="hsgd"),
        tag("path", id="hheun"),
        tag("text", text["euler"], x=452, y=34, text_anchor="end", class_="water"),
        tag("text", "Heun", x=452, y=56, text_anchor="end", class_="accent"),
    )
    return tag(
        "div",
        slider("hlr", text["lr"], 0.002, 0.084, 0.002, 0.04),
        tag("figure", plot, tag("figcaption", "", id="heuns", aria_live="polite")),
        class_="knobs",
    )


def _measured(measured: dict[str, Any], text: dict[str, str]) -> Markup:
    rows = []
    for row in measured["rows"]:
        spreads = [row[name]["ratio"] for name in ("sparse", "dense")]
        told = [
            f"{row[name]['ms']:.1f} ms ({m:.1f} ×, {low:.1f}–{high:.1f})"
            for name, (low, m, high) in zip(("sparse", "dense"), spreads, strict=True)
        ]
        rows.append([f"{row['words']:,}", f"{row['hand']['ms']:.1f} ms", *told])
    return table([text["words"], text["by_hand"], text["sparse"], text["dense"]], rows)
