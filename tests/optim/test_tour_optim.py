"""The tour's section on rules: the race it tells of is the one it ran, in both languages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from thalweg import cli
from thalweg.optim import tour
from thalweg.optim.problems import PROBLEMS
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
    assert [each.content.startswith("<svg") for each in made(locale).exhibits] == [False, True, True, False]


@both_locales
def test_the_title_names_a_rule_that_is_in_bold_as_often_as_it_says(made, locale):
    rule, wins = re.findall(r"[A-Z]\w+|\d+", made(locale).title)[:2] if locale == "en" else _chinese(made(locale).title)
    line = next(row for row in made(locale).exhibits[0].content.split("<tr>") if f"<td>{rule}</td>" in row)
    assert line.count("<strong>") >= int(wins)


def _chinese(title: str) -> tuple[str, str]:
    found = re.match(r"(\w+) 在 \d+ 个问题中的 (\d+) 个", title)
    assert found is not None
    return found[1], found[2]


@both_locales
def test_nothing_on_the_section_is_left_to_fill_in(made, locale):
    shown = made(locale).html("optim")
    assert "{" not in re.sub(r"<svg.*?</svg>|<pre>.*?</pre>", "", shown, flags=re.S)


def test_both_languages_say_the_same_things():
    assert set(tour.TEXT["en"]) == set(tour.TEXT["zh"])


def test_the_command_works_as_typed(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(made("en").command)
    assert words[:3] == ["thalweg", "optim", "race"]
    result = CliRunner().invoke(cli.program, [*words[1:], "--on", "beale", "--json"])
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "race.html").exists()
