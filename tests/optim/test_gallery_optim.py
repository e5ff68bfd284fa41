"""The page on custom optimizers: its kernel is the library's formulas, the browser's is its twin, and its claims hold."""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thalweg
from thalweg import energies, gallery, optim
from thalweg.optim.gallery import custom, kernel
from thalweg.optim.racing.race import race

LANDSCAPES = {
    "valley": energies.Rosenbrock(),
    "bowl": energies.Parabola((1.0, 25.0)),
    "plateau": energies.Beale(),
}
LIBRARY = {
    "sgd": lambda lr, b: optim.SGD(lr),
    "heavyball": lambda lr, b: optim.HeavyBall(lr, momentum=b),
    "nesterov": lambda lr, b: optim.Nesterov(lr, momentum=b),
    "rmsprop": lambda lr, b: optim.RMSprop(lr, alpha=kernel.ALPHA),
    "adam": lambda lr, b: optim.Adam(lr, b1=b),
    "lion": lambda lr, b: optim.Lion(lr, b1=b),
}
WALKS = [
    (name, rule, lr, momentum, 60)
    for name in kernel.STARTS
    for rule in kernel.RULES
    for lr, momentum in ((1e-3, 0.9), (0.03, 0.5), (0.9, 0.0))
]
SOFTS = [(way, rule, lr, k, 10) for way in ("big", "soft", "skip") for rule, lr in custom.SOFT_RATES.items() for k in (1, 3, 6)]


# ---- the twin is the library


@pytest.mark.parametrize("name", LANDSCAPES)
def test_a_landscape_of_the_page_is_that_of_the_library(name):
    x = np.random.default_rng(0).normal(size=(20, 2))
    energy = LANDSCAPES[name]
    np.testing.assert_allclose([kernel.value(name, tuple(p)) for p in x], energy(x), rtol=1e-12)
    np.testing.assert_allclose([kernel.slope(name, tuple(p)) for p in x], energy.gradient(x), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(custom.MINIMA[name], energy.minima[0], atol=1e-15)


def test_the_two_wells_are_the_librarys_with_a_second_coordinate():
    x = np.random.default_rng(0).normal(size=(20, 2))
    energy = energies.DoubleWell(tilt=-0.1)
    heights = energy(x[:, :1]) + x[:, 1] ** 2 / 2
    np.testing.assert_allclose([kernel.value("wells", tuple(p)) for p in x], heights, rtol=1e-12, atol=1e-14)
    slopes = np.column_stack([energy.gradient(x[:, :1]), x[:, 1]])
    np.testing.assert_allclose([kernel.slope("wells", tuple(p)) for p in x], slopes, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("rule", LIBRARY)
@pytest.mark.parametrize("name", LANDSCAPES)
def test_a_walk_of_the_page_is_a_descent_of_the_library(name, rule):
    run = thalweg.descend(LANDSCAPES[name], kernel.STARTS[name], LIBRARY[rule](1e-3, 0.8), steps=50)
    found = np.array(kernel.walk(name, rule, 1e-3, 0.8, 50))
    np.testing.assert_allclose(found[:, :2], run.x[:, 0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[:, 2], run.energy[:, 0], rtol=1e-8, atol=1e-12)


# ---- what the page claims


def test_at_the_pages_first_setting_momentum_crosses_and_descent_stays():
    lr = 10**-0.7
    assert kernel.walk("wells", "heavyball", lr, 0.9, custom.GRADIENTS)[-1][0] == pytest.approx(custom.MINIMA["wells"][0], abs=0.02)
    assert kernel.walk("wells", "sgd", lr, 0.9, custom.GRADIENTS)[-1][0] < -0.8


@pytest.mark.parametrize("rule", custom.SOFT_RATES)
@pytest.mark.parametrize("k", range(1, 7))
def test_a_soft_batch_is_the_large_batch_and_skipping_is_not(rule, k):
    """To round-off for every k; without momentum, skipping forgets all micro-batches but the last."""
    big, added, skipped = (
        kernel.soft(way, rule, custom.SOFT_RATES[rule], k, custom.UPDATES, custom.samples()) for way in ("big", "soft", "skip")
    )
    assert kernel.apart(big, added) < 1e-13
    assert kernel.apart(big, skipped) == 0 if k == 1 else kernel.apart(big, skipped) > 0.01


@pytest.mark.parametrize("lr", [0.004, 0.02, 0.04, 0.06])
def test_heun_is_closer_to_the_flow_and_farther_from_the_minimum(lr):
    ends = {rule: kernel.walk("bowl", rule, lr, 0.0, custom.HEUN)[-1] for rule in ("sgd", "heun")}
    assert kernel.from_flow("heun", lr, custom.HEUN) < kernel.from_flow("sgd", lr, custom.HEUN) / 5
    assert ends["heun"][2] > ends["sgd"][2]
    assert ends["heun"][3] == ends["sgd"][3] == custom.HEUN


def test_heun_has_the_order_two_and_euler_one():
    """Halving the step over the same time: the error falls by 4 and by 2."""
    for rule, cost, order in (("sgd", 1, 1), ("heun", 2, 2)):
        coarse, fine = (kernel.from_flow(rule, h, cost * round(1.0 / h)) for h in (0.002, 0.001))
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.05)


@pytest.mark.parametrize("rule", ["sgd", "heun"])
def test_both_methods_are_stable_up_to_two_over_the_curvature(rule):
    assert kernel.walk("bowl", rule, 0.99 * 2 / 25, 0.0, 4000)[-1][2] < 1e-9
    assert kernel.walk("bowl", rule, 1.01 * 2 / 25, 0.0, 4000)[-1][2] > 1e6


def test_the_rule_of_ten_lines_is_a_rule_that_races():
    [entry] = race([custom.Cautious()], ["parabola"], seeds=1, budget=200).entries
    assert np.isfinite(entry.arrived).all()


@pytest.mark.parametrize("name", kernel.STARTS)
@pytest.mark.parametrize("rule", kernel.RULES)
def test_the_line_to_type_gives_what_the_page_draws(name, rule):
    """For every landscape and rule; of the two wells the line has the first coordinate alone."""
    line = f"descend({custom.LANDS[name]}, {custom.CODES[rule].format(lr=0.001, momentum=0.8)}).x[-1, 0]"
    end = eval(line, {"descend": thalweg.descend, "energies": energies, "optim": optim})
    expected = kernel.walk(name, rule, 1e-3, 0.8, custom.GRADIENTS)[-1][:2]
    np.testing.assert_allclose(end, expected[: len(end)], rtol=1e-8, atol=1e-10)


# ---- the page


def test_both_languages_say_the_same_things():
    """The same keys, and in each text the same gaps to fill."""
    english, chinese = custom.FILES.texts()["en"], custom.FILES.texts()["zh"]
    assert set(english) == set(chinese)
    for key, text in english.items():
        gaps = [{name for _, name, _, _ in string.Formatter().parse(each) if name} for each in (text, chinese[key])]
        assert gaps[0] == gaps[1], key


@pytest.mark.parametrize("locale", gallery.LOCALES)
def test_the_page_tells_the_measured_figures(locale):
    text = "".join(custom.page(locale).body)
    assert "bench/optim/hand_gradients.py" in text
    assert text.count(" ms (") == 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages")
    for locale in gallery.LOCALES:
        name = gallery.file_name("optim-custom", locale)
        (path / name).write_text(gallery.render("optim-custom", custom.page(locale), locale), encoding="utf-8")
    return path


@pytest.fixture
def ask(visit: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    return lambda locale="en", width=1280: visit(folder / gallery.file_name("optim-custom", locale), width).page


@pytest.mark.browser
def test_the_pages_walks_are_their_twins(ask):
    found = ask().evaluate("calls => calls.map(call => thalweg.walk(...call))", WALKS)
    for call, path in zip(WALKS, found, strict=True):
        np.testing.assert_allclose(path, kernel.walk(*call), rtol=1e-12, atol=1e-12, err_msg=str(call))


@pytest.mark.browser
def test_the_pages_batches_and_distances_are_their_twins(ask):
    page = ask("zh")
    found = page.evaluate("calls => calls.map(call => thalweg.soft(...call))", SOFTS)
    for call, path in zip(SOFTS, found, strict=True):
        np.testing.assert_allclose(path, kernel.soft(*call, custom.samples()), rtol=1e-12, atol=1e-12, err_msg=str(call))
    calls = [(rule, lr, 40) for rule in ("sgd", "heun") for lr in (0.002, 0.04, 0.084)]
    found = page.evaluate("calls => calls.map(call => thalweg.fromFlow(...call))", calls)
    np.testing.assert_allclose(found, [kernel.from_flow(*call) for call in calls], rtol=1e-12, atol=1e-12)


@pytest.mark.browser
@pytest.mark.parametrize("locale", gallery.LOCALES)
def test_a_chosen_rule_shows_its_code_and_its_program(ask, locale):
    page = ask(locale)
    for k, rule in enumerate(custom.SHOWN):
        page.select_option("#which", str(k))
        assert page.text_content("#program") == str(rule.program())
        assert "def step(self, p, g, s, t):" in page.text_content("#code")


@pytest.mark.browser
def test_the_verdict_is_the_height_that_the_twin_computes(ask):
    """In each landscape, for each rule, at the knobs' first setting; and a divergence is called one."""
    page = ask()
    for name in kernel.STARTS:
        page.select_option("#land", name)
        page.select_option("#rule", "adam")
        gap = kernel.walk(name, "adam", 10**-0.7, 0.9, custom.GRADIENTS)[-1][2] - kernel.value(name, tuple(custom.MINIMA[name]))
        shown = page.inner_text("#verdict").split(" is ")[1].split(" above")[0].replace("−", "-")
        assert float(shown) == pytest.approx(max(0, gap), rel=0.06)
        visible = page.eval_on_selector_all(
            ".contour", "all => all.filter(c => c.style.display !== 'none').map(c => c.dataset.land)"
        )
        assert visible == [name]
    page.select_option("#land", "valley")
    page.select_option("#rule", "sgd")
    assert page.inner_text("#verdict").startswith("It diverges")
    assert page.is_disabled("#momentum")


@pytest.mark.browser
@pytest.mark.parametrize("locale", gallery.LOCALES)
def test_the_knobs_turn_from_the_keyboard(ask, locale):
    page = ask(locale, 390)
    for knob, drawn in (("lr", "path"), ("momentum", "loss"), ("k", "skip"), ("hlr", "hheun")):
        before = page.get_attribute(f"#{drawn}", "d")
        page.focus(f"#{knob}")
        page.keyboard.press("ArrowLeft")
        assert page.get_attribute(f"#{drawn}", "d") != before
        assert page.inner_text(f"#{knob}v")
    assert "e−1" in page.inner_text("#softness")  # the soft batch is off by round-off: 1e-15 or so
