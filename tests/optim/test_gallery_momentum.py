"""The page on momentum: its kernel is the library's formulas, the browser's is its twin, and its claims hold."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thalweg
from thalweg import energies, gallery, optim
from thalweg.optim import dynamics
from thalweg.optim.gallery import momentum
from thalweg.optim.gallery import momentum_kernel as kernel

RULES = {"heavyball": optim.HeavyBall, "nesterov": optim.Nesterov}
WELLS = energies.DoubleWell(tilt=-0.1)


# ---- the twin is the library


def test_the_steps_in_the_bowl_are_descents_of_the_library():
    run = thalweg.descend(energies.Parabola(kernel.CURVATURES), kernel.BEGIN, optim.SGD(0.05), steps=80)
    np.testing.assert_allclose(kernel.euler(0.05, momentum.TIME), run.x[:, 0], rtol=1e-12)


@pytest.mark.parametrize("b", [0.0, 0.5, 0.93])
def test_the_ball_is_the_librarys_heavy_ball_in_its_double_well(b):
    run = thalweg.descend(WELLS, [kernel.REST], optim.HeavyBall(0.1, momentum=b), steps=100)
    np.testing.assert_allclose(kernel.roll(0.1, b, 100), run.x[:, 0, 0], rtol=1e-9, atol=1e-12)
    points = np.linspace(-2, 2, 9)[:, None]
    np.testing.assert_allclose([kernel.height("wells", float(p)) for p in points[:, 0]], WELLS(points), rtol=1e-12, atol=1e-15)


def test_the_top_lies_between_the_wells():
    right, left = WELLS.minima[:, 0]
    assert left < momentum.top() < right
    assert kernel.slope("wells", momentum.top()) == pytest.approx(0, abs=1e-14)
    assert kernel.height("wells", momentum.top()) - WELLS(WELLS.minima)[1] == pytest.approx(WELLS.barriers[1])


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("b", [0.0, 0.3, 0.9])
def test_radius_and_limit_are_those_of_the_rules(name, b):
    found = dynamics.stability(RULES[name](kernel.LR, momentum=b))
    x = np.array([0.01, 0.3, 0.95, 1.3, 2.5, 3.9])
    np.testing.assert_allclose([kernel.radius(name, each, b) for each in x], found.rate(x), rtol=1e-7)
    assert kernel.limit(name, b) == pytest.approx(found.limit, rel=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_a_run_beside_the_map_is_one_of_the_library(name):
    run = thalweg.descend(energies.Parabola((0.7 / kernel.LR,)), [kernel.P0], RULES[name](kernel.LR, momentum=0.8), steps=30)
    np.testing.assert_allclose(kernel.RUNS[name](0.7, 0.8, 30), run.x[:, 0, 0], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("lr", "b", "variance"), [(0.05, 0.0, 4.0), (0.4, 0.9, 1.0), (1.5, 0.5, 2.0)])
def test_the_exact_temperature_is_the_librarys(lr, b, variance):
    rule = optim.HeavyBall(lr, momentum=b) if b else optim.SGD(lr)
    assert kernel.exact(lr, b, variance) == pytest.approx(dynamics.stationary(rule, 1.0, variance).temperature, rel=1e-10)


def test_the_dials_rate_is_the_one_that_convert_gives():
    found = dynamics.convert(optim.HeavyBall(0.004, momentum=0.0), momentum=0.9, batch=8)
    assert found.lr == pytest.approx(0.004 * (1 - 0.9) * 8)


# ---- what the page claims


def test_half_a_small_rate_is_half_as_far_from_the_flow():
    """Euler's method has order one."""
    for lr in (0.002, 0.01):
        assert kernel.off(lr, momentum.TIME) / kernel.off(lr / 2, momentum.TIME) == pytest.approx(2, rel=0.05)


def test_steps_overshoot_from_one_over_the_curvature_and_diverge_from_two():
    across = {lr: [y for _, y in kernel.euler(lr, 100.0)] for lr in (0.12, 0.13, 0.249, 0.251)}
    assert min(across[0.12]) >= 0 > min(across[0.13])
    assert abs(across[0.249][-1]) < 0.5 * kernel.BEGIN[1]
    assert abs(across[0.251][-1]) > 2 * kernel.BEGIN[1]


@pytest.mark.parametrize("lr", [0.01, 0.1, 0.3])
def test_the_least_momentum_divides_those_that_cross_from_those_that_do_not(lr):
    least = kernel.least_momentum(lr, momentum.top())
    for b in np.linspace(0, least - 1e-3, 12):
        assert kernel.crossing(lr, float(b), momentum.top(), 1000) < 0
    for b in np.linspace(least + 1e-3, 0.999, 12):
        assert kernel.crossing(lr, float(b), momentum.top(), 1000) > 0


def test_the_least_momentum_agrees_with_the_inertial_flow_as_the_rate_falls():
    """-ln(beta) / sqrt(lr) goes to the friction at which the flow stops short of the top; the gap falls with the step, sqrt(lr)."""
    gaps = []
    for lr in (1e-2, 1e-3, 1e-4):
        low, high = 0.0, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if kernel.crossing(lr, middle, momentum.top(), 6000) < 0 else (low, middle)
        gaps.append(abs(-math.log(high) / math.sqrt(lr) - momentum.friction()))
    assert gaps[0] < 0.01
    assert gaps[1] < gaps[0] / 2
    assert gaps[2] < gaps[1] / 2


def test_the_flow_is_that_of_an_independent_integrator():
    from scipy.integrate import solve_ivp

    times = np.arange(0, 30, 0.5)
    for friction in (0.28, 0.3):
        found = solve_ivp(
            lambda _, z, friction=friction: (z[1], -friction * z[1] - kernel.slope("wells", z[0])),
            (0, 30),
            (kernel.REST, 0.0),
            method="DOP853",
            t_eval=times,
            rtol=1e-11,
            atol=1e-12,
        )
        np.testing.assert_allclose(np.array(kernel.glide(friction, 3000))[np.arange(0, 3000, 50)], found.y[0], atol=1e-6)


def test_the_friction_limit_divides_flows_that_cross_from_those_that_do_not():
    assert max(kernel.glide(momentum.friction() - 1e-5, 6000)) > momentum.top()
    assert max(kernel.glide(momentum.friction() + 1e-5, 6000)) < momentum.top()


def test_at_the_pages_first_setting_the_ball_crosses_and_descent_stays():
    assert kernel.roll(0.1, 0.92, momentum.STEPS)[-1] == pytest.approx(WELLS.minima[0, 0], abs=0.02)
    assert kernel.roll(0.1, 0.0, momentum.STEPS)[-1] == pytest.approx(WELLS.minima[1, 0], abs=0.02)


def test_the_noise_is_normal():
    """Mean, variance and fourth moment of 10^5 numbers, within 5 standard errors: the seed is fixed."""
    noise = kernel.Noise(kernel.SEED)
    z = np.array([noise.normal() for _ in range(100_000)])
    assert abs(z.mean()) < 5 / 316
    assert abs((z**2).mean() - 1) < 5 * math.sqrt(2) / 316
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96) / 316
    assert abs((z[1:] * z[:-1]).mean()) < 5 / 316


@pytest.mark.parametrize(("lr", "b", "batch"), [(1 / 32, 0.0, 4), (1 / 16, 0.0, 8), (1 / 32, 0.9, 16), (1 / 8, 0.5, 1)])
def test_the_measured_temperature_is_the_exact_one_in_the_bowl(lr, b, batch):
    """Variance over 10^5 steps with a memory of (1 - b) / lr steps: 8% is above five standard errors."""
    variance = momentum.VARIANCE / batch
    path = np.array(kernel.shake("bowl", lr, b, math.sqrt(variance), momentum.LONG))
    assert (path**2).mean() == pytest.approx(kernel.exact(lr, b, variance), rel=0.08)
    assert kernel.exact(lr, b, variance) == pytest.approx(kernel.temperature(lr, b, variance), rel=lr)


def test_doubling_rate_and_batch_leaves_the_temperature():
    for k in range(4):
        lr, variance = 2.0 ** (k - 6), momentum.VARIANCE / 2**k
        assert kernel.temperature(lr, 0.0, variance) == kernel.temperature(2**-6, 0.0, momentum.VARIANCE)


def test_in_the_two_wells_the_time_in_each_is_that_of_the_boltzmann_weight():
    """At T = 1/4, where the path crosses thousands of times, within 3%; at T = 1/64 it never leaves the poor well."""
    path = np.array(kernel.shake("wells", 1 / 32, 0.0, 4.0, momentum.LONG))
    weights = np.array(kernel.density("wells", 0.25, -4, 4, 4000))
    points = -4 + (np.arange(4000) + 0.5) / 500
    assert (path > momentum.top()).mean() == pytest.approx(weights[points > momentum.top()].sum(), abs=0.03)
    assert max(kernel.shake("wells", 1 / 32, 0.0, 1.0, momentum.LONG)) < momentum.top()


@pytest.mark.parametrize(("b", "batch"), [(0.9, 1), (0.9, 4), (0.5, 16), (0.0, 8)])
def test_runs_with_the_same_quotient_lie_on_each_other_at_a_small_rate(b, batch):
    """Much closer than each swings, and the closer the smaller the quotient; their temperatures agree to first order."""
    small, large = (
        kernel.between(*kernel.pair(ratio, b, batch, momentum.SAMPLES), batch) / math.sqrt(kernel.exact(ratio, 0, 1))
        for ratio in (0.004, 0.02)
    )
    assert small < 0.5
    assert small < large
    rate = 0.004 * (1 - b) * batch
    assert kernel.exact(rate, b, 1 / batch) == pytest.approx(kernel.exact(0.004, 0, 1), rel=0.02)


@pytest.mark.parametrize(("x", "b"), [(0.1, 0.9), (0.3, 0.9), (1.0, 0.5), (1.3, 0.8)])
def test_three_forms_of_nesterov_are_one_sequence(x, b):
    torch_form, keras_form, look, ahead = (np.array(path) for path in kernel.three_ways(x, b, 40))
    np.testing.assert_allclose(keras_form, torch_form, rtol=0, atol=1e-13)
    np.testing.assert_allclose(ahead, torch_form, rtol=0, atol=1e-13)
    assert np.abs(look - torch_form).max() > 0.01


@pytest.mark.parametrize("b", [0.5, 0.9])
def test_where_it_oscillates_nesterov_is_damped_by_the_curvature_and_the_heavy_ball_is_not(b):
    for x in np.linspace((1 - b) ** 2 + 0.01, 0.99, 9):
        assert kernel.radius("heavyball", x, b) == pytest.approx(math.sqrt(b))
        assert kernel.radius("nesterov", x, b) == pytest.approx(math.sqrt(b * (1 - x)))


# ---- the page


def test_both_languages_say_the_same_things():
    """The same keys, and in each text the same gaps to fill."""
    english, chinese = momentum.FILES.texts()["en"], momentum.FILES.texts()["zh"]
    assert set(english) == set(chinese)
    for key, text in english.items():
        gaps = [{name for _, name, _, _ in string.Formatter().parse(each) if name} for each in (text, chinese[key])]
        assert gaps[0] == gaps[1], key


def test_the_pages_lines_of_python_run_as_they_stand():
    """Each of the listed lines, one after the other, in one session."""
    import html

    lines = [html.unescape(line) for line in re.findall(r"<code[^>]*>(.*?)</code>", "".join(momentum.page("en").body))]
    session: dict[str, Any] = {}
    for line in lines:
        if not line.startswith("thalweg "):
            exec(line, session)
    assert sum(line.startswith("thalweg ") for line in lines) == 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages")
    for locale in gallery.LOCALES:
        name = gallery.file_name("optim-momentum", locale)
        (path / name).write_text(gallery.render("optim-momentum", momentum.page(locale), locale), encoding="utf-8")
    return path


@pytest.fixture
def ask(visit: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    return lambda locale="en", width=1280: visit(folder / gallery.file_name("optim-momentum", locale), width).page


TWINS: dict[str, tuple[Callable[..., Any], list[tuple[Any, ...]]]] = {
    "euler": (kernel.euler, [(lr, 4.0) for lr in (0.01, 0.1, 0.26)]),
    "off": (kernel.off, [(lr, 4.0) for lr in (0.01, 0.1, 0.26)]),
    "roll": (kernel.roll, [(lr, b, 100) for lr in (0.01, 0.3) for b in (0.0, 0.9)]),
    "glide": (kernel.glide, [(0.2, 500), (1.5, 500)]),
    "crossing": (kernel.crossing, [(0.1, b, -0.1, 300) for b in (0.8, 0.92, 0.99)]),
    "leastMomentum": (kernel.least_momentum, [(lr, -0.1) for lr in (0.01, 0.1, 0.3)]),
    "shake": (kernel.shake, [(land, 0.03, b, 2.0, 400) for land in kernel.LAND for b in (0.0, 0.5)]),
    "density": (kernel.density, [(land, T, -2.5, 2.5, 80) for land in kernel.LAND for T in (0.01, 1.0)]),
    "temperature": (kernel.temperature, [(0.1, 0.9, 4.0)]),
    "exact": (kernel.exact, [(0.1, 0.9, 4.0), (1.5, 0.0, 1.0)]),
    "pair": (lambda *a: [*kernel.pair(*a)[0], *kernel.pair(*a)[1]], [(0.004, 0.9, 4, 600), (0.02, 0.0, 1, 300)]),
    "threeWays": (kernel.three_ways, [(x, b, 40) for x in (0.1, 1.3) for b in (0.0, 0.9)]),
    "heavy": (kernel.heavy, [(x, b, 40) for x in (0.1, 3.9) for b in (0.0, 0.9)]),
    "radius": (kernel.radius, [(name, x, b) for name in RULES for x in (0.0, 0.3, 1.0, 3.5) for b in (0.0, 0.9)]),
    "limit": (kernel.limit, [(name, b) for name in RULES for b in (0.0, 0.9)]),
}


@pytest.mark.browser
def test_the_page_computes_what_its_twin_does(ask):
    page = ask()
    for name, (twin, calls) in TWINS.items():
        for call in calls:
            found = page.evaluate(
                f"call => {{ const r = thalweg.{name}(...call); return '{name}' === 'pair' ? r.flat() : r; }}", call
            )
            np.testing.assert_allclose(found, twin(*call), rtol=1e-12, atol=1e-12, err_msg=f"{name}{call}")


def numbers(page: Any, name: str) -> list[float]:
    return [
        float(n.replace("−", "-").replace(",", "")) for n in re.findall(r"−?[\d,]*\d(?:\.\d+)?(?:e−?\d+)?", page.inner_text(name))
    ]


@pytest.mark.browser
@pytest.mark.parametrize("locale", gallery.LOCALES)
def test_the_verdicts_tell_what_the_twin_computes(ask, locale):
    """At the knobs' first setting."""
    page = ask(locale)
    assert numbers(page, "#fsay") == pytest.approx([0.4, 80, kernel.off(0.05, 4), kernel.off(0.025, 4)], rel=0.01)
    top = momentum.top()
    expected = [0.92, kernel.crossing(0.1, 0.92, top, 200), 200, kernel.least_momentum(0.1, top)]
    assert numbers(page, "#bsay") == pytest.approx([*expected, math.exp(-momentum.friction() * math.sqrt(0.1))], abs=1e-4)
    square = np.mean(np.square(kernel.shake("bowl", 1 / 32, 0.0, 2.0, momentum.LONG)))
    assert {0.0625, float(f"{square:.3g}"), 0.0635} <= set(numbers(page, "#tsay"))
    off = kernel.between(*kernel.pair(0.004, 0.9, 4, momentum.SAMPLES), 4)
    assert numbers(page, "#lsay")[:4] == pytest.approx([0.9, 4, 0.0016, off], rel=0.01)
    assert numbers(page, "#nsay")[-2:] == pytest.approx([math.sqrt(0.9 * 0.7), math.sqrt(0.9)], rel=0.01)
    assert numbers(page, "#msay") == pytest.approx([math.sqrt(0.5), 0.5, 3.0], abs=1e-4)


@pytest.mark.browser
@pytest.mark.parametrize("locale", gallery.LOCALES)
def test_the_knobs_turn_from_the_keyboard(ask, locale):
    page = ask(locale, 390)
    drawn = {"flr": "fsteps", "blr": "bheavy", "bm": "bheavy", "tlr": "tbars", "tb": "tlaw", "lratio": "lone", "lm": "ltwo"}
    drawn |= {"lb": "ltwo", "nx": "ntorch", "nm": "nnesterov", "mx": "mrun", "mm": "mpace"}
    for knob, path in drawn.items():
        before = page.get_attribute(f"#{path}", "d")
        page.focus(f"#{knob}")
        page.keyboard.press("ArrowLeft")
        assert page.get_attribute(f"#{path}", "d") != before, knob
        assert page.inner_text(f"#{knob}v")


@pytest.mark.browser
def test_the_button_doubles_rate_and_batch_and_the_temperature_stays(ask):
    page = ask()
    told = page.inner_text("#tsay").split(".")[:2]
    page.click("#tdouble")
    assert (page.inner_text("#tlrv"), page.inner_text("#tbv")) == ("1/16", "8")
    assert page.inner_text("#tsay").split(".")[:2] == told
    page.click("#tdouble")
    assert page.is_disabled("#tdouble")


@pytest.mark.browser
def test_what_is_too_cold_or_too_hot_is_called_so(ask):
    page, text = ask(), momentum.FILES.texts()["en"]
    page.select_option("#tland", "wells")
    page.evaluate("for (const [id, v] of [['tlr', -6], ['tb', 4]]) byId(id).value = v; warm()")
    assert "too cold" in page.inner_text("#tsay")
    page.evaluate("for (const [id, v] of [['tlr', -3], ['tb', 0], ['tm', 0.9]]) byId(id).value = v; warm()")
    assert page.inner_text("#tsay") == text["say_hot"].format(T="10")
    page.evaluate("byId('flr').value = 0.26; descend()")
    assert "diverges" in page.inner_text("#fsay")


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_click_on_the_map_shows_the_run_there(ask, width):
    page = ask("en", width)
    box = page.evaluate("(() => { const b = byId('map').getBoundingClientRect(); return [b.width, b.height]; })()")
    left, top, right, bottom = momentum.PLOT
    page.select_option("#mrule", "nesterov")
    x, y = left + 0.75 * (right - left), bottom - 0.9 * (bottom - top)  # x = 3, momentum 0.9
    page.click("#map", position={"x": x * box[0] / 480, "y": y * box[1] / momentum.MAPHEIGHT})
    assert float(page.inner_text("#mxv")) == pytest.approx(3, abs=0.03)
    assert float(page.inner_text("#mmv")) == pytest.approx(0.9, abs=0.02)
    assert "diverges" in page.inner_text("#msay")


@pytest.mark.browser
def test_the_map_is_shaded_by_the_radius_and_edged_by_the_limit(ask):
    """No shade of growth below the limit, none of rest above it: the edges of that area are on the curve, to a cell."""
    page = ask()
    for name in RULES:
        page.select_option("#mrule", name)
        cells = re.findall(r"M([\d.]+) ([\d.]+)H([\d.]+)V", page.get_attribute("#level6", "d"))
        left, top, right, bottom = momentum.PLOT
        for x0, y0, _ in cells:
            x = (float(x0) - left) / (right - left) * 4
            b = (bottom - float(y0)) / (bottom - top) + 0.5 / 80
            assert x == pytest.approx(kernel.limit(name, b), abs=2 * 4 / 192)


@pytest.mark.browser
@pytest.mark.parametrize("locale", gallery.LOCALES)
def test_at_the_ends_of_the_knobs_all_is_a_number_and_fits_a_phone(visit, folder, locale):
    """Each knob alone at both ends, then all of them."""
    seen = visit(folder / gallery.file_name("optim-momentum", locale), 390)
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
