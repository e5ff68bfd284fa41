"""Gallery page 5: adaptive rates as error control of Euler's method; one rate or one for each coordinate; when a rule stops.

The page's program is adaptive.js; its twin is adaptive_kernel.py.
"""

from __future__ import annotations

from typing import Any

from thalweg import knobs
from thalweg.knobs import PLOT, Files, axes, command, display, label, line, opening, slider, svg, verdict
from thalweg.optim.gallery import adaptive_kernel as kernel
from thalweg.page import GalleryPage, Markup, data, tag

FILES = Files.of(__file__)
MOST = 2000  # steps of the gauge
STEPS, LONG = 300, 5000  # shown in the bowl, and tried
BOX = (-2.7, 2.7, -1.783, 1.783)  # of the bowl: its units are as long upwards as across
CIRCLES, WALKS = 300, 1000
LOCAL = r"e\approx\dfrac{\eta^{2}}{2}\,|L''(p)\,L'(p)|,\qquad \eta\,|g|=r\ \Rightarrow\ \eta=\dfrac{r}{|g|}"
EACH = r"p_i\leftarrow p_i-\dfrac{\eta\,g_i}{\sqrt{\sum g_i^{2}}}\qquad p\leftarrow p-\dfrac{\eta\,g}{\sqrt{\sum \|g\|^{2}}}"
NEVER = r"p\leftarrow p-\eta\,\dfrac{g}{\sqrt{v}},\quad v\leftarrow\alpha v+(1-\alpha)\,g^{2}"
EARLY = r"\eta_t=\dfrac{\eta}{\sqrt{g_1^{2}+\cdots+g_t^{2}}}\leq\dfrac{\eta}{|g_1|}"


def carried(locale: str) -> dict[str, Any]:
    """What the page's script reads."""
    made: dict[str, Any] = {"start": kernel.TOP, "end": kernel.END, "along0": kernel.ALONG, "across0": kernel.ACROSS}
    made |= {"first": kernel.FIRST, "far": kernel.FAR, "steep": kernel.STEEP, "most": MOST, "steps": STEPS, "long": LONG}
    made |= {"box": BOX, "circles": CIRCLES, "walks": WALKS, "plot": PLOT}
    return made | {"text": knobs.spoken(FILES.texts()[locale])}


def page(locale: str) -> GalleryPage:
    """The page in English or Chinese."""
    text = FILES.texts()[locale]
    library = "from thalweg import descend, energies, optim"
    body = [
        *opening("gauge", text),
        display(LOCAL),
        _gauge(text),
        tag("p", text["p_control"]),
        command(text["see"], "thalweg optim show rmsprop --alpha {galpha}", galpha="0.00"),
        *opening("bowl", text),
        display(EACH),
        _bowl(text),
        command(
            text["same_flat"],
            library,
            "descend(energies.Parabola((1.0, {vk})), (2.0, 1.0), optim.AdaGrad({vlr}, eps=0), steps=14).energy",
            vk="25.1",
            vlr="0.50",
        ),
        *opening("never", text),
        display(NEVER),
        _never(text),
        command(
            text["same"],
            library,
            "descend(energies.Parabola((1.0,)), [0.8137], optim.RMSprop({clr}, alpha={calpha}, eps=0), steps=300).x[-4:]",
            clr="0.20",
            calpha="0.00",
        ),
        *opening("early", text),
        display(EARLY),
        _early(text),
        tag("p", text["p_cure"]),
        command(text["see"], "thalweg optim show adagrad"),
        data("carried", carried(locale)),
    ]
    return GalleryPage(text["title"], text["lead"], body, FILES.script(), FILES.style(), still=FILES.still(locale))


def _powers(low: int, high: int, every: int) -> list[tuple[float, str]]:
    """Ticks of a logarithmic axis."""
    return [((power - low) / (high - low), knobs.raised(power)) for power in range(low, high + 1, every)]


def _gauge(text: dict[str, str]) -> Markup:
    _, _, right, bottom = PLOT
    most = tag("text", "", id="glongest", x=right + 14, y=bottom + 16, text_anchor="end")
    frame = [*axes([(0, "0")], [(k / 3.2, str(k)) for k in range(4)], text["step"], "p"), most]
    names = [label(text["fixed"], 460, 34, "water"), label(text["adaptive"], 460, 56, "accent")]
    run = svg(text["alt_run"], *frame, line("gfixed", "one"), line("gadaptive", "two"), *names)
    along = [((kernel.TOP - p) / (kernel.TOP - kernel.END), f"{p:g}") for p in (3, 2, 1)]
    frame = axes(along, _powers(-6, 0, 2), text["along"], text["error"])
    lines = [line("efixed", "one"), line("eadaptive", "two"), line("efixeddots", "blue"), line("eadaptivedots", "orange")]
    names = [label(text["fixed"], 72, 250, "water", "start"), label(text["adaptive"], 72, 272, "accent", "start")]
    error = svg(text["alt_error"], *frame, *lines, *names)
    return tag(
        "div",
        slider("glr", text["fixed_lr"], 0.005, 0.07, 0.005, 0.02),
        slider("glength", text["length"], 0.02, 0.4, 0.02, 0.1),
        slider("galpha", text["alpha"], 0, 0.98, 0.02, 0),
        tag("div", run, error, class_="pair"),
        verdict("gsay"),
        class_="knobs",
    )


def _bowl(text: dict[str, str]) -> Markup:
    lines = [line("vrings", "contour"), line("vscalar", "one"), line("vvector", "two")]
    lines += [line("vscalardots", "blue"), line("vvectordots", "orange")]
    names = [label(text["scalar"], 12, 296, "water", "start"), label(text["vector"], 12, 318, "accent", "start")]
    plan = svg(text["alt_plan"], *lines, *names)
    times = [(0, "0"), (0.5, str(STEPS // 2)), (1.0, str(STEPS))]
    frame = axes(times, _powers(-6, 0, 2), text["step"], text["gap"])
    names = [label(text["scalar"], 460, 40, "water"), label(text["vector"], 460, 62, "accent")]
    loss = svg(text["alt_loss"], *frame, line("lscalar", "one"), line("lvector", "two"), *names)
    return tag(
        "div",
        slider("vk", text["curvature"], 0, 2, 0.05, 1.4),
        slider("va", text["angle"], 0, 45, 1, 0),
        slider("vlr", text["lr"], 0.1, 1, 0.05, 0.5),
        tag("div", plan, loss, class_="pair"),
        verdict("vsay"),
        class_="knobs",
    )


def _never(text: dict[str, str]) -> Markup:
    times = [(0, "0"), (0.5, str(CIRCLES // 2)), (1.0, str(CIRCLES))]
    frame = axes(times, [(0.6 / 3.2, "−1"), (0.5, "0"), (2.6 / 3.2, "1")], text["step"], "p")
    lines = [line("cup", "thin"), line("cdown", "thin"), line("cpath", "one")]
    plot = svg(text["alt_circle"], *frame, *lines, label("RMSprop", 460, 34, "water"), label(text["lines"], 460, 56, "soft"))
    return tag(
        "div",
        slider("clr", text["lr"], 0.02, 0.6, 0.02, 0.2),
        slider("calpha", text["alpha"], 0, 0.94, 0.02, 0),
        plot,
        verdict("csay"),
        class_="knobs",
    )


def _early(text: dict[str, str]) -> Markup:
    times = [(0, "0"), (0.5, str(WALKS // 2)), (1.0, f"{WALKS:,}")]
    frame = axes(times, [(0.5 / 9.5, "−8"), (4.5 / 9.5, "−4"), (8.5 / 9.5, "0")], text["step"], "p")
    names = [label("AdaGrad", 460, 240, "water"), label("RMSprop", 460, 262, "accent")]
    run = svg(text["alt_valley"], *frame, line("padagrad", "one"), line("prmsprop", "two"), *names)
    frame = axes(times, _powers(-4, 2, 1), text["step"], text["rate"])
    names = [label("AdaGrad", 460, 140, "water"), label("RMSprop", 460, 162, "accent")]
    rate = svg(text["alt_rate"], *frame, line("radagrad", "one"), line("rrmsprop", "two"), *names)
    return tag(
        "div",
        slider("wlr", text["lr"], 0.02, 0.5, 0.02, 0.1),
        slider("ww", text["wall"], 0, 100, 5, 30),
        slider("walpha", text["alpha_rmsprop"], 0, 0.98, 0.02, 0.9),
        tag("div", run, rate, class_="pair"),
        verdict("wsay"),
        class_="knobs",
    )
