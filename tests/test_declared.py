"""A setting is declared in one place: what may be given, the option of the commands, the parameter of the estimator."""

from __future__ import annotations

from dataclasses import dataclass, fields

import click
import pytest
from click.testing import CliRunner

from thalweg import declared, options
from thalweg.cli import program
from thalweg.errors import InputError
from thalweg.words import WordVectorizer
from thalweg.words.solving.settings import Settings


@dataclass(frozen=True)
class Toy(Settings):
    """Settings with one more."""

    bounce: float = declared.number(0.5, "How high a toy jumps.", low=0, below=1)
    colour: str = declared.choice("red", "red", "blue", help="Its colour.", shown=True)


def test_a_setting_that_is_declared_is_checked_and_is_an_option():
    @options.command("play", examples=["play"])
    def play(**given):
        click.echo(given["bounce"])

    for option in options.declared(Toy):
        option(play)
    assert CliRunner().invoke(play, ["--bounce", "0.25"]).stdout == "0.25\n"
    assert CliRunner().invoke(play, []).stdout == "0.5\n"
    assert "--bounce" in CliRunner().invoke(play, ["--help-all"]).stdout
    shown = CliRunner().invoke(play, ["--help"]).stdout
    assert ("--bounce" in shown, "Its colour." in shown) == (False, True)
    refused = CliRunner().invoke(play, ["--bounce", "1"])
    assert refused.exit_code == 2
    assert "below 1" in refused.stderr
    with pytest.raises(InputError, match=r"bounce=1 is not a number from 0, below 1"):
        Toy(bounce=1)
    with pytest.raises(InputError, match=r"colour='bleu' is not known. Did you mean blue"):
        Toy().with_(colour="bleu")


def test_every_setting_is_an_option_and_a_parameter_with_the_same_default():
    given = WordVectorizer().get_params()
    for verb in ("fit", "solve"):
        command = program.get_command(click.Context(program), "words").get_command(click.Context(program), verb)
        typed = {each.name: each.default for each in command.params}
        for each, about in declared.declarations(Settings):
            if about.typed:
                assert typed[each.name] == each.default, each.name
    assert {each.name: each.default for each in fields(Settings) if each.name != "seed"}.items() <= given.items()


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({}, "a finite number"),
        ({"above": 0}, "a positive number"),
        ({"low": 2}, "a number, 2 or more"),
        ({"low": 0, "high": 1}, "a number from 0 to 1"),
        ({"low": 0, "below": 1}, "a number from 0, below 1"),
    ],
)
def test_bounds_are_said_in_words(bounds, words):
    assert declared.Declaration("number", "", **bounds).wanted == words
