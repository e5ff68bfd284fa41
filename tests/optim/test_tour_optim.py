"""The tour's section on rules: the race it tells of is the one it ran, and captions say what was computed, in both languages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import numpy as np
import pytest
from click.testing import CliRunner

from thalweg import cli, descend
from thalweg.optim import HeavyBall, tour, tour_figures
from thalweg.optim.racing.problems import PROBLEMS
from thalweg.page import Section


@pytest.fixture(scope="module")
def made() -> Callable[[str], Section]:
    found: dict[str, Section] = {}

    def make(locale: str) -> Section:
        if locale not in found:
            found[locale] = tour.section(locale=locale)
        return found[locale]

    return make


both_locales = pytest.mark.parametrize("locale", ["en", "zh"])


@both_locales
def test_the_section_shows_every_rule_on_every_problem(made, locale):
    matrix = made(locale).exhibits[0].content
    assert all(f"<th>{name}</th>" in matrix for name in PROBLEMS)
    assert len(re.findall("<tr>", matrix)) == 1 + len(tour.RULES)
    assert [each.content.startswith("<svg") for each in made(locale).exhibits] == [False, True, True, False, True, True, True]


@both_locales
def test_the_title_names_the_rules_that_are_in_bold_most_often_and_how_often(made, locale):
    title, lines = made(locale).title, made(locale).exhibits[0].content.split("<tr>")[2:]
    bold = {line.split("<td>")[1].split("<")[0]: line.count("<strong>") for line in lines}
    named = {rule for rule in bold if re.search(rf"\b{rule}\b", title, re.A)}
    assert named == {rule for rule, often in bold.items() if often == max(bold.values())}
    assert str(max(bold.values())) in re.findall(r"\d+", title)


@both_locales
def test_nothing_on_the_section_is_left_to_fill_in(made, locale):
    shown = made(locale).html("optim")
    assert "{" not in re.sub(r"<svg.*?</svg>|<pre>.*?</pre>", "", shown, flags=re.S)


def _numbers(text: str) -> list[float]:
    return [float(number.replace("−", "-")) for number in re.findall(r"−?\d+(?:\.\d+)?", text)]


@both_locales
def test_the_least_momentum_of_the_caption_crosses_and_a_little_less_does_not(made, locale):
    """The flow's, which depends on -ln(momentum) / sqrt(lr) alone, is as near as the caption says."""
    numbers = _numbers(made(locale).exhibits[4].caption)
    least, flow = (number for number in numbers if 0.97 < number < 0.98)
    for momentum, good in ((least - 2e-4, False), (least + 2e-4, True)):
        run = descend(tour_figures.WELLS, [tour_figures.REST], HeavyBall(tour_figures.LR, momentum=momentum), steps=500)
        assert (run.x[-1, 0, 0] > 0) == good
    apart, closer = numbers[-2:]
    assert (1 - least) / (1 - flow) == pytest.approx(1 + apart / 100, abs=5e-3)  # from four decimals
    slower = tour_figures.least_momentum(tour_figures.LR / 4)
    assert (1 - slower) / (1 - flow**0.5) == pytest.approx(1 + closer / 100, abs=5e-3)
    assert closer < apart


def test_the_flow_that_just_crosses_does_not_depend_on_the_rate():
    """p'' + k p' + lr grad L = 0 in the time sqrt(lr) t has the friction k / sqrt(lr), k = -ln momentum."""
    one, other = (-np.log(tour_figures.flow_limit(lr)) / lr**0.5 for lr in (0.01, 0.04))
    assert one == pytest.approx(other, rel=1e-3)


@both_locales
def test_the_steps_of_the_caption_are_as_far_from_the_flow_of_the_bowl_as_it_says(made, locale):
    """On 1/2 c x^2 the steps are (1 - lr c)^n x, the flow exp(-c lr n) x."""
    caption = made(locale).exhibits[5].caption
    for lr in tour_figures.RATES:
        n = np.arange(round(tour_figures.TIME / lr) + 1)[:, None]
        curvatures = np.array(tour_figures.BOWL.curvatures)
        off = np.linalg.norm(((1 - lr * curvatures) ** n - np.exp(-lr * curvatures * n)) * tour_figures.START, axis=1).max()
        assert f"{off:.3f}" in caption


@both_locales
def test_the_title_of_the_map_says_the_heavy_balls_limit(made, locale):
    picture = made(locale).exhibits[6].content
    assert f"{tour_figures.closed(np.array(0.9)):g} / λ" in picture
    assert "10⁻" in made(locale).exhibits[6].caption


def test_both_languages_say_the_same_things():
    assert set(tour.TEXT["en"]) == set(tour.TEXT["zh"])


def test_the_command_works_as_typed(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(made("en").command)
    assert words[:3] == ["thalweg", "optim", "race"]
    result = CliRunner().invoke(cli.program, [*words[1:], "--on", "beale", "--json"])
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "race.html").exists()
