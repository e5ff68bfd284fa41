"""The pictures of the tour's optim section beside the race: a barrier, steps beside their flow, which rates are stable.

Texts come from tour.toml; every number in a caption is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from thalweg import energies, style
from thalweg.energies.contract import Floats
from thalweg.optim import dynamics
from thalweg.optim.rules import SGD, HeavyBall
from thalweg.page import Exhibit, raw_svg
from thalweg.run import descend

WELLS = energies.DoubleWell(tilt=-0.1)
LR, REST, STEPS = 0.01, -1.45, 300  # the ball is let go at REST, above the poor minimum
SWING = 12.0  # time in which a ball from REST has crossed, or has turned back: 1 / sqrt(lr) steps each

BOWL = energies.Parabola((1.0, 8.0))
START, RATES, TIME = (-2.0, 0.9), (0.2, 0.1, 0.05), 3.0  # time: lr times steps

MOMENTA, XS = np.linspace(0, 0.98, 50), np.linspace(0, 4.2, 106)
LEVELS = (0.0, 0.6, 0.7, 0.8, 0.9, 0.95, 1 + 1e-9)  # of the radius; beyond, errors grow


def barrier(text: dict[str, str]) -> Exhibit:
    """Gradient descent, and the heavy ball a little below and above the least momentum that crosses."""
    least, slower, limit = least_momentum(LR), least_momentum(LR / 4), flow_limit(LR)
    below, above = math.floor(100 * least) / 100, math.ceil(100 * least) / 100
    rules = SGD(LR), HeavyBall(LR, momentum=below), HeavyBall(LR, momentum=above)
    plain, stays, crosses = (descend(WELLS, [REST], rule, steps=STEPS).x[:, 0, 0] for rule in rules)
    flow = dynamics.flow(rules[2]).solve([REST], STEPS, WELLS, at=np.arange(STEPS + 1)).p[:, 0, 0]
    good, poor = WELLS.minima[:, 0]
    facts = {
        "lr": f"{LR:g}",
        "below": f"{below:g}",
        "above": f"{above:g}",
        "least": f"{least:.4f}",
        "flow": f"{limit:.4f}",
        "apart": _percent((1 - least) / (1 - limit)),
        # the flow knows lr and momentum only as -ln(momentum) / sqrt(lr): a quarter of the rate, the root of the momentum
        "closer": _percent((1 - slower) / (1 - math.sqrt(limit))),
        "steps": STEPS,
        "poor": _minus(f"{plain[-1]:.2f}"),
        "good": _minus(f"{crosses[-1]:.2f}"),
        "rest": _minus(f"{REST:g}"),
    }
    fig, axes = style.figure(height=3.6)
    with style.style():
        for place, above_it, name in ((good, 0.16, "good_place"), (_top(), 0.04, "top_place"), (poor, 0.08, "poor_place")):
            axes.axhline(place, color=style.GREY, linewidth=0.7, linestyle=":")
            axes.text(STEPS, place + above_it, text[name], fontsize=8.5, color=style.GREY, ha="right", va="bottom")
        axes.plot(flow, color=style.BLACK, linewidth=3.6, linestyle="-", alpha=0.25, label=text["its_flow"].format(**facts))
        axes.plot(crosses, color=style.VERMILION, linestyle="-", label=text["ball"].format(momentum=facts["above"]))
        axes.plot(stays, color=style.ORANGE, linestyle="-.", label=text["ball"].format(momentum=facts["below"]))
        axes.plot(plain, color=style.BLUE, linestyle="--", label=text["descent"])
        axes.set(xlabel=text["step"], ylabel="p", xlim=(0, STEPS))
        axes.set_title(text["barrier_title"].format(**facts), loc="left")
        fig.legend(fontsize=8.5, ncols=2, loc="outside lower center", handlelength=2.6)
    picture = style.svg(fig, text["barrier_alt"].format(**facts), salt="barrier")
    return Exhibit(raw_svg(picture), text["barrier_caption"].format(**facts))


def least_momentum(lr: float, halvings: int = 18) -> float:
    """The smallest momentum with which the heavy ball crosses, by bisection of runs."""
    steps, between = round(SWING / math.sqrt(lr)), float(WELLS.minima.mean())
    low, high = 0.0, 1 - 1e-9
    for _ in range(halvings):
        middle = (low + high) / 2
        run = descend(WELLS, [REST], HeavyBall(lr, momentum=middle), steps=steps)
        low, high = (low, middle) if run.x.max() > between else (middle, high)
    return high


def flow_limit(lr: float) -> float:
    """The smallest momentum with which the inertial flow crosses: there its energy just suffices at the top."""
    from scipy.optimize import brentq

    duration = SWING / math.sqrt(lr)
    times, height = np.linspace(0, duration, 401), float(WELLS(np.array([[_top()]]))[0])

    def left(momentum: float) -> float:
        """The energy above the top's, when the ball reaches it or turns back."""
        found = dynamics.flow(HeavyBall(lr, momentum=momentum)).solve([REST], duration, WELLS, at=times)
        p, speed = found.p[:, 0, 0], -lr * found.slots["m"][:, 0, 0]
        ends = np.flatnonzero((p >= _top()) | ((speed <= 0) & (times > 0)))
        k = int(ends[0]) if len(ends) else -1
        return float(WELLS(p[[k], None])[0] + speed[k] ** 2 / (2 * lr)) - height

    return float(brentq(left, *(math.exp(-friction * math.sqrt(lr)) for friction in (0.31, 0.27)), xtol=2e-5))


@cache
def _top() -> float:
    """The point of the barrier."""
    good, poor = WELLS.minima[:, 0]
    between = np.linspace(poor, good, 200_001)
    return float(between[WELLS(between[:, None]).argmax()])


def beside(text: dict[str, str]) -> Exhibit:
    """Gradient descent at three rates in a bowl, and the flow that it approximates."""
    fig, axes = style.figure(height=3.9)
    off = {lr: apart(lr) for lr in RATES}
    facts = {
        "rates": text["comma"].join(f"{lr:g}" for lr in RATES),
        "off": text["comma"].join(f"{distance:.3f}" for distance in off.values()),
        "least": f"{RATES[-1]:g}",
        "ratio": f"{off[RATES[-2]] / off[RATES[-1]]:.2f}",
        "order": f"{dynamics.order(SGD(RATES[-1]), BOWL, START, duration=10).order:.2f}",
        "limit": f"{dynamics.stability(SGD()).largest_lr(max(BOWL.curvatures)):g}",
        "curvature": f"{max(BOWL.curvatures):g}",
    }
    with style.style():
        x, y = np.meshgrid(np.linspace(-2.2, 0.35, 120), np.linspace(-0.75, 1.05, 90))
        levels = BOWL(np.column_stack([x.ravel(), y.ravel()])).reshape(x.shape)
        axes.contour(x, y, levels, levels=np.geomspace(0.05, 6, 9), colors=style.GREY, linewidths=0.5, alpha=0.5)
        for lr, colour, mark in zip(RATES, (style.VERMILION, style.ORANGE, style.BLUE), "osD", strict=True):
            p = dynamics.path(SGD(lr), BOWL, START, round(TIME / lr)).p[:, 0]
            axes.plot(*p.T, color=colour, marker=mark, markersize=4, linewidth=1, linestyle="-", label=f"lr {lr:g}")
        curve = _flow(RATES[-1], np.linspace(0, TIME / RATES[-1], 200))
        axes.plot(*curve.T, color=style.BLACK, linestyle="-", linewidth=1.6, label=text["flow"])
        axes.set(xlabel=f"x  ({text['curved']} {BOWL.curvatures[0]:g})", ylabel=f"y  ({text['curved']} {BOWL.curvatures[1]:g})")
        axes.set_title(text["beside_title"], loc="left")
        fig.legend(fontsize=8.5, ncols=4, loc="outside lower center", handlelength=2.2, columnspacing=1.2)
    picture = style.svg(fig, text["beside_alt"].format(**facts), salt="beside")
    return Exhibit(raw_svg(picture), text["beside_caption"].format(**facts))


def _flow(lr: float, at: Floats) -> Floats:
    """The flow of gradient descent from START at these steps.   at: (m,) -> (m, 2)"""
    return dynamics.flow(SGD(lr)).solve(START, float(at[-1]), BOWL, at=at).p[:, 0]


def apart(lr: float) -> float:
    """The largest distance of a step from the flow at the same time."""
    steps = round(TIME / lr)
    p = dynamics.path(SGD(lr), BOWL, START, steps).p[:, 0]
    return float(np.linalg.norm(p - _flow(lr, np.arange(steps + 1.0)), axis=1).max())


def stable(text: dict[str, str]) -> Exhibit:
    """The heavy ball's spectral radius by rate and momentum, and the closed form of where it passes 1."""
    radii = dynamics.stability_map(HeavyBall(), XS, MOMENTA)  # (momenta, xs)
    tried = np.array([0.0, 0.5, 0.9])
    limits = np.array([dynamics.stability(HeavyBall(1.0, momentum=momentum)).limit for momentum in tried.tolist()])
    error = float(np.abs(limits / closed(tried) - 1).max())
    facts = {
        "least": f"{limits[0]:.4g}",
        "most": f"{limits[-1]:.4g}",
        "momentum": f"{tried[-1]:g}",
        "momenta": text["comma"].join(f"{momentum:g}" for momentum in tried),
        "error": _bound(error),
        "points": f"{radii.size:,}",
    }
    from matplotlib.patches import Patch

    fig, axes = style.figure(height=3.7)
    with style.style():
        shades = _shades(len(LEVELS) - 1)
        axes.contourf(XS, MOMENTA, np.minimum(radii, 10), levels=[*LEVELS, 11], colors=[*shades, "#F6CDB8"])
        axes.plot(closed(MOMENTA), MOMENTA, color=style.BLACK, linestyle="--", linewidth=2)
        turned = math.degrees(math.atan(0.5))  # as the line
        named = axes.text(2.5, 0.2, "lr λ = 2 (1 + β)", fontsize=10, va="top", rotation=turned, rotation_mode="anchor")
        named.set_transform_rotates_text(True)
        axes.text(3.55, 0.12, text["diverges"], fontsize=10, color="#8A3A00", ha="center")
        axes.set(xlabel=text["x"], ylabel=text["momentum"], ylim=(0, MOMENTA[-1]))
        axes.set_title(text["stable_title"].format(**facts), loc="left")
        names = [f"< {high:.2g}" for high in LEVELS[1:]] + ["> 1"]
        patches = [Patch(facecolor=colour, edgecolor=style.GREY, linewidth=0.4) for colour in (*shades, "#F6CDB8")]
        fig.legend(patches, names, fontsize=8.5, ncols=7, loc="outside lower center", handlelength=1.1, columnspacing=0.9)
    picture = style.svg(fig, text["stable_alt"].format(**facts), salt="stable")
    return Exhibit(raw_svg(picture), text["stable_caption"].format(**facts))


def closed(momentum: Floats) -> Floats:
    """The largest stable lr times curvature of the heavy ball."""
    return 2 * (1 + momentum)


def _shades(n: int) -> list[str]:
    """From deep to light blue: the faster errors shrink, the deeper."""
    from matplotlib.colors import to_hex, to_rgb

    deep, light = np.array(to_rgb(style.BLUE)), np.array([0.94, 0.97, 1.0])
    return [to_hex(deep + (light - deep) * k / (n - 1)) for k in range(n)]


def _percent(ratio: float) -> str:
    return f"{100 * abs(ratio - 1):.1f}"


def _bound(error: float) -> str:
    """A power of ten above the error, as text."""
    power = math.ceil(math.log10(max(error, 1e-15)))
    return "10" + _minus(str(power)).translate(str.maketrans("0123456789−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))


def _minus(number: str) -> str:
    return number.replace("-", "−")


Figure = Callable[[dict[str, str]], Exhibit]
FIGURES: tuple[Figure, ...] = (barrier, beside, stable)
