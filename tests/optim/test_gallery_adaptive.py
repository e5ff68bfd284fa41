"""The page on adaptive rates: its kernel is the library's formulas, the browser's is its twin, and its claims hold."""

from __future__ import annotations

import html
import math
import re
import string
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thalweg
from thalweg import energies, gallery, optim
from thalweg.optim.gallery import adaptive
from thalweg.optim.gallery import adaptive_kernel as kernel
from thalweg.optim.language.state import State

# ---- the twin is the library


def warm(rule: optim.RMSprop, slope: Callable[[float], float], p: float, steps: int) -> list[float]:
    """The rule's own steps, with v = g^2 at the start."""
    path, state = [p], State({"v": slope(p) ** 2, "a": 0.0, "b": 0.0})
    for t in range(1, steps + 1):
        p, state = rule.step(p, slope(p), state, t)
        path.append(float(p))
    return path


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.98])
def test_the_paths_of_rmsprop_are_its_rules(alpha):
    gauge = [p for p, _, _ in kernel.paced("adaptive", 0.1, alpha, 20)]
    np.testing.assert_allclose(gauge, warm(optim.RMSprop(0.1, alpha=alpha, eps=0), lambda p: p**3, kernel.TOP, 19), rtol=1e-9)
    circle = kernel.circle(0.1, alpha, 20)
    np.testing.assert_allclose(circle, warm(optim.RMSprop(0.1, alpha=alpha, eps=0), lambda p: p, kernel.FIRST, 20), atol=1e-9)
    valley = [p for p, _ in kernel.valley("rmsprop", 0.1, 30, alpha, 30)]
    rule = optim.RMSprop(0.1, alpha=alpha, eps=0)
    np.testing.assert_allclose(valley, warm(rule, lambda p: kernel.slope(30, p), kernel.FAR, 30), rtol=1e-9)


def test_the_vector_path_is_the_librarys_adagrad():
    run = thalweg.descend(energies.Parabola((1.0, 25.0)), (kernel.ALONG, kernel.ACROSS), optim.AdaGrad(0.5, eps=0), steps=60)
    found = np.array(kernel.tilted("vector", 25.0, 0.0, 0.5, 60))
    np.testing.assert_allclose(found[:, :2], run.x[:, 0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[:, 2], run.energy[:, 0], rtol=1e-9, atol=1e-15)


def test_adagrads_path_in_the_valley_is_the_librarys():
    land = (lambda x: np.sqrt(1 + x[:, 0] ** 2), lambda x: np.vectorize(lambda p: kernel.slope(30, p))(x))
    run = thalweg.descend(land, [kernel.FAR], optim.AdaGrad(0.1, eps=0), steps=100)
    np.testing.assert_allclose([p for p, _ in kernel.valley("adagrad", 0.1, 30, 0.9, 100)], run.x[:, 0, 0], rtol=1e-9)


def test_the_valleys_slope_is_the_derivative_of_its_height():
    def height(p: float) -> float:
        return math.sqrt(1 + p * p) + 30 / kernel.STEEP * math.exp(-kernel.STEEP * (p - kernel.FAR))

    for p in (-8.0, -7.5, -6.0, 0.3):
        assert kernel.slope(30, p) == pytest.approx((height(p + 1e-6) - height(p - 1e-6)) / 2e-6, rel=1e-6)


def test_the_gauges_flow_is_that_of_an_independent_integrator():
    from scipy.integrate import solve_ivp

    for p, time in ((3.0, 0.02), (0.6, 0.46)):
        found = solve_ivp(lambda _, p: -(p**3), (0, time), [p], method="DOP853", rtol=1e-12, atol=1e-14).y[0, -1]
        assert kernel.flow(p, time) == pytest.approx(found, rel=1e-10)


# ---- what the page claims


def test_the_local_error_is_half_the_rate_squared_times_curvature_and_slope():
    """To the next order in the rate; L'' L' = 3 p^2 p^3."""
    for p, rate, error in kernel.paced("fixed", 1e-4, 0.0, 5):
        assert error == pytest.approx(rate**2 / 2 * 3 * p**5, rel=0.01)


@pytest.mark.parametrize("lr", np.arange(0.005, 0.071, 0.005))
def test_at_a_fixed_rate_the_error_falls_by_a_factor_of_thousands(lr):
    errors = [error for _, _, error in kernel.paced("fixed", float(lr), 0.0, adaptive.MOST)]
    assert max(errors) / min(errors) > 3000


@pytest.mark.parametrize("length", np.arange(0.02, 0.41, 0.02))
def test_at_a_fixed_length_the_error_stays_within_a_factor_of_six(length):
    errors = [error for _, _, error in kernel.paced("adaptive", float(length), 0.0, adaptive.MOST)]
    assert max(errors) / min(errors) < 6


def test_rmsprop_without_averaging_is_signsgd_exactly():
    """The root of a rounded square is the number itself, so each step is of length r, bit for bit; the library's form of
    the average rounds twice more."""
    p = kernel.FIRST
    for found in kernel.circle(0.1, 0.0, 50):
        assert found == p
        p -= math.copysign(0.1, p)
    rules = optim.RMSprop(0.1, alpha=0, eps=0), optim.SignSGD(0.1)
    paths = [thalweg.descend(energies.Parabola((1.0,)), [kernel.FIRST], rule, steps=50).x for rule in rules]
    np.testing.assert_allclose(*paths, rtol=0, atol=1e-13)


def test_with_averaging_the_steps_get_shorter_while_the_gradient_falls():
    lengths = [rate * p**3 for p, rate, _ in kernel.paced("adaptive", 0.1, 0.9, 60)]
    assert all(later < earlier for earlier, later in pairwise(lengths[1:40]))


def test_along_the_axes_the_vector_path_is_the_same_for_every_curvature():
    paths = [np.array(kernel.tilted("vector", curvature, 0.0, 0.5, 100))[:, :2] for curvature in (1.0, 25.0, 100.0)]
    np.testing.assert_allclose(paths[1], paths[0], rtol=1e-12)
    np.testing.assert_allclose(paths[2], paths[0], rtol=1e-12)


def test_the_scalar_path_does_not_feel_the_angle():
    heights = [np.array(kernel.tilted("scalar", 25.0, -angle, 0.5, 100))[:, 2] for angle in (0.0, 0.4, math.pi / 4)]
    np.testing.assert_allclose(heights[1], heights[0], rtol=1e-9)
    np.testing.assert_allclose(heights[2], heights[0], rtol=1e-9)


def test_one_rate_takes_longer_the_larger_the_ratio_and_turning_the_bowl_takes_most_of_the_gain():
    def steps(way: str, curvature: float, angle: float) -> int:
        return kernel.arrival(kernel.tilted(way, curvature, angle, 0.5, adaptive.LONG))

    one = [steps("scalar", curvature, 0.0) for curvature in (1.0, 4.0, 25.0, 100.0)]
    assert one == sorted(one)
    assert steps("vector", 25.0, 0.0) < one[2] / 10
    assert one[2] / 2 < steps("vector", 25.0, -math.pi / 4) < one[2]


@pytest.mark.parametrize("lr", np.arange(0.02, 0.61, 0.02))
def test_at_a_constant_rate_it_ends_in_a_cycle_half_a_rate_to_each_side(lr):
    """signSGD moves between two places that are lr apart; with averaging to ever closer places around the minimum."""
    path = kernel.circle(float(lr), 0.0, 400)
    assert kernel.swing(path, 20) == pytest.approx(lr / 2)
    assert min(path[-2:]) < 0 < max(path[-2:])
    assert kernel.swing(kernel.circle(float(lr), 0.9, 4000), 20) == pytest.approx(lr / 2, rel=0.01)


@pytest.mark.parametrize("wall", [0, 10, 30, 100])
def test_the_first_gradient_bounds_adagrads_rate_and_it_stops_too_early_where_rmsprop_arrives(wall):
    found = kernel.valley("adagrad", 0.1, wall, 0.9, adaptive.WALKS)
    assert max(rate for _, rate in found) <= 0.1 / abs(kernel.slope(wall, kernel.FAR)) * (1 + 1e-12)
    assert abs(found[-1][0]) > 1.5
    path = [p for p, _ in kernel.valley("rmsprop", 0.1, wall, 0.9, adaptive.WALKS)]
    assert abs(path[-1]) <= 0.051
    assert kernel.swing(path, 20) == pytest.approx(0.05, rel=0.01)


# ---- the page


def test_both_languages_say_the_same_things():
    """The same keys, and in each text the same gaps to fill."""
    english, chinese = adaptive.FILES.texts()["en"], adaptive.FILES.texts()["zh"]
    assert set(english) == set(chinese)
    for key, text in english.items():
        gaps = [{name for _, name, _, _ in string.Formatter().parse(each) if name} for each in (text, chinese[key])]
        assert gaps[0] == gaps[1], key


def test_the_pages_lines_of_python_run_as_they_stand():
    """And AdaGrad's last is the first at a thousandth, as the page says at its first setting; signSGD's are lr apart."""
    lines = [html.unescape(line) for line in re.findall(r"<code[^>]*>(.*?)</code>", "".join(adaptive.page("en").body))]
    session: dict[str, Any] = {}
    results = []
    for line in lines:
        if line.startswith("from "):
            exec(line, session)
        elif not line.startswith("thalweg "):
            results.append(eval(line, session))
    energy, places = results
    assert energy[-1, 0] <= energy[0, 0] / 1000 < energy[-2, 0]
    np.testing.assert_allclose(np.abs(np.diff(places[:, 0, 0])), 0.2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages")
    for locale in gallery.LOCALES:
        name = gallery.file_name("optim-adaptive", locale)
        (path / name).write_text(gallery.render("optim-adaptive", adaptive.page(locale), locale), encoding="utf-8")
    return path


@pytest.fixture
def ask(visit: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    return lambda locale="en", width=1280: visit(folder / gallery.file_name("optim-adaptive", locale), width).page


BOWLS = [(way, k, a, 0.5, 100) for way in ("scalar", "vector") for k in (1.0, 25.0) for a in (0.0, -0.6)]
VALLEYS = [(way, 0.1, wall, 0.9, 150) for way in ("adagrad", "rmsprop") for wall in (0, 30)]
TWINS: dict[str, tuple[Callable[..., Any], list[tuple[Any, ...]]]] = {
    "flow": (kernel.flow, [(3.0, 0.02), (0.5, 10.0)]),
    "paced": (kernel.paced, [("fixed", 0.02, 0.0, 300), ("adaptive", 0.1, 0.0, 300), ("adaptive", 0.3, 0.9, 300)]),
    "tilted": (kernel.tilted, BOWLS),
    "circle": (kernel.circle, [(lr, alpha, 60) for lr in (0.1, 0.6) for alpha in (0.0, 0.9)]),
    "slope": (kernel.slope, [(30, -8.0), (100, 0.0)]),
    "valley": (kernel.valley, VALLEYS),
}


@pytest.mark.browser
def test_the_page_computes_what_its_twin_does(ask):
    page = ask()
    for name, (twin, calls) in TWINS.items():
        for call in calls:
            found = page.evaluate(f"call => thalweg.{name}(...call)", call)
            np.testing.assert_allclose(found, twin(*call), rtol=1e-12, atol=1e-12, err_msg=f"{name}{call}")
    assert page.evaluate("thalweg.swing([5, 1, -2, 0], 3)") == kernel.swing([5, 1, -2, 0], 3)
    for call in BOWLS:
        assert page.evaluate("call => thalweg.arrival(thalweg.tilted(...call))", call) == kernel.arrival(kernel.tilted(*call))


def numbers(page: Any, name: str) -> list[float]:
    return [
        float(n.replace("−", "-").replace(",", "")) for n in re.findall(r"−?[\d,]*\d(?:\.\d+)?(?:e−?\d+)?", page.inner_text(name))
    ]


@pytest.mark.browser
@pytest.mark.parametrize("locale", gallery.LOCALES)
def test_the_verdicts_tell_what_the_twin_computes(ask, locale):
    """At the knobs' first setting."""
    page, expected = ask(locale), []
    for way, lr in (("fixed", 0.02), ("adaptive", 0.1)):
        errors = [error for _, _, error in kernel.paced(way, lr, 0.0, adaptive.MOST)]
        expected += [len(errors), max(errors), min(errors), max(errors) / min(errors)]
    assert numbers(page, "#gsay") == pytest.approx(expected, rel=0.03)
    assert adaptive.FILES.texts()[locale]["say_sign"].strip() in page.inner_text("#gsay")
    arrivals = [kernel.arrival(kernel.tilted(way, 10**1.4, 0.0, 0.5, adaptive.LONG)) for way in ("scalar", "vector")]
    assert [n for n in numbers(page, "#vsay") if n in arrivals] == arrivals
    last = kernel.circle(0.2, 0.0, adaptive.CIRCLES)[-20:]
    assert {float(f"{place:.3g}") for place in (min(last), max(last), 0.1)} < set(numbers(page, "#csay"))
    ends = [kernel.valley(way, 0.1, 30, 0.9, adaptive.WALKS)[-1] for way in ("adagrad", "rmsprop")]
    bound = 0.1 / abs(kernel.slope(30, kernel.FAR))
    told = [adaptive.WALKS, abs(ends[0][0]), ends[0][1], bound, abs(ends[1][0]), 20, 0.05]
    assert numbers(page, "#wsay") == pytest.approx(told, rel=0.01)


@pytest.mark.browser
@pytest.mark.parametrize("locale", gallery.LOCALES)
def test_the_knobs_turn_from_the_keyboard(ask, locale):
    page = ask(locale, 390)
    drawn = {"glr": "gfixed", "glength": "gadaptive", "galpha": "eadaptive", "vk": "lscalar", "va": "lvector", "vlr": "vvector"}
    drawn |= {"clr": "cpath", "calpha": "cpath", "wlr": "padagrad", "ww": "radagrad", "walpha": "rrmsprop"}
    for knob, path in drawn.items():
        before = page.get_attribute(f"#{path}", "d")
        page.focus(f"#{knob}")
        page.keyboard.press("ArrowRight")
        assert page.get_attribute(f"#{path}", "d") != before, knob
        assert page.inner_text(f"#{knob}v")
    assert adaptive.FILES.texts()[locale]["say_sign"].strip() not in page.inner_text("#gsay")


@pytest.mark.browser
def test_a_bowl_that_takes_too_long_is_called_so(ask):
    page = ask()
    page.evaluate("for (const [id, v] of [['vk', 2], ['vlr', 0.1]]) byId(id).value = v; bowl()")
    reached = kernel.arrival(kernel.tilted("scalar", 100.0, 0.0, 0.1, adaptive.LONG))
    words = adaptive.FILES.texts()["en"]
    told = words["say_later"].format(n="5,000") if reached < 0 else words["say_steps"].format(n=f"{reached:,}")
    assert told in page.inner_text("#vsay")


@pytest.mark.browser
@pytest.mark.parametrize("locale", gallery.LOCALES)
def test_at_the_ends_of_the_knobs_all_is_a_number_and_fits_a_phone(visit, folder, locale):
    """Each knob alone at both ends, then all of them."""
    seen = visit(folder / gallery.file_name("optim-adaptive", locale), 390)
    faults = seen.page.evaluate("""() => {
      const knobs = [...document.querySelectorAll("input[type=range]")], faults = [];
      const look = what => {
        const drawn = [...document.querySelectorAll("path, circle")]
          .map(e => [e.id, (e.getAttribute("d") || "") + e.getAttribute("cx") + e.getAttribute("cy")]);
        const said = [...document.querySelectorAll(".verdict, output")].map(e => [e.id, e.textContent]);
        for (const [id, words] of [...drawn, ...said])
          if (/NaN|Infinity|undefined|\\{/.test(words)) faults.push([what, id, words.slice(0, 80)]);
        if (document.documentElement.scrollWidth > 390) faults.push([what, "too wide"]);
      };
      const turn = (knob, value) => { knob.value = value; knob.dispatchEvent(new Event("input")); };
      for (const knob of knobs) {
        const first = knob.value;
        for (const end of [knob.min, knob.max]) { turn(knob, end); look(knob.id + end); }
        turn(knob, first);
      }
      for (const end of ["min", "max"]) { for (const knob of knobs) turn(knob, knob[end]); look(end); }
      return faults;
    }""")
    assert faults == []
