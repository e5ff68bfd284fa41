"""Errors are one harmless line for a person, and what a caller would catch."""

from __future__ import annotations

import errno
import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg import errors
from thalweg.errors import ThalwegError, near_misses, visible

BUILT_INS = {
    errors.InputError: ValueError,
    errors.MissingFileError: FileNotFoundError,
    errors.OutputExistsError: FileExistsError,
    errors.StorageError: OSError,
    errors.DamagedFileError: ValueError,
    errors.UnknownWordError: KeyError,
    errors.ExpressionError: ValueError,
    errors.EnergyError: ValueError,
    errors.RuleError: ValueError,
    errors.MissingExtraError: ImportError,
    errors.UsageError: ValueError,
}
any_text = st.text(st.characters())  # with lone surrogates, as file names can have


def test_every_error_is_listed_here():
    defined = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ThalwegError)}
    assert defined == {ThalwegError, *BUILT_INS}


@pytest.mark.parametrize(("error", "built_in"), BUILT_INS.items())
def test_an_error_is_the_built_in_that_a_caller_would_catch(error, built_in):
    assert issubclass(error, ThalwegError)
    assert issubclass(error, built_in)


@pytest.mark.parametrize("error", [error for error in BUILT_INS if error is not errors.ExpressionError])
def test_the_text_of_an_error_is_its_sentence(error):
    """KeyError would show the repr of its argument, OSError a tuple; both must show the line."""
    assert str(error("there is no 'x': look again")) == "there is no 'x': look again"


@given(any_text)
def test_an_error_is_one_line_whatever_it_quotes(text):
    line = str(errors.InputError(f"a{text}b"))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\u202e" not in line


def test_an_error_without_text_says_its_name():
    assert str(errors.InputError()) == "InputError"


def test_errors_keep_what_they_carry():
    assert errors.StorageError("the disk is full", errno.ENOSPC).errno == errno.ENOSPC
    assert errors.UnknownWordError("no word", ["words"]).near == ["words"]
    assert errors.UnknownWordError("no word").near == []
    wrong = errors.ExpressionError("no operand", "a -", 3)
    assert (str(wrong), wrong.expression, wrong.position) == ("no operand", "a -", 3)


@pytest.mark.parametrize(
    "error",
    [
        errors.InputError("x"),
        errors.UnknownWordError("x", ["near"]),
        errors.StorageError("x", errno.ENOSPC),
        errors.ExpressionError("x", "a -", 3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_crosses_a_process_boundary_whole(error):
    """A pool of processes sends exceptions pickled; one that cannot be rebuilt breaks or hangs the pool.

    ExpressionError could not be rebuilt (its constructor takes three arguments, pickle gave one); StorageError lost its errno.
    """
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    for name in ("near", "errno", "expression", "position"):
        assert getattr(again, name, None) == getattr(error, name, None)


# what a display shows


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),  # escape sequences
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("a\nb\tc", "a\\x0ab\\x09c"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),  # bidirectional marks
        ("a\u200bb\u200d\ufeff\u00ad", "a\\u200bb\\u200d\\ufeff\\xad"),  # zero widths
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\ud800", "\\ud800"),  # lone surrogates
        ("\ue000\U000f0000", "\\ue000\\U000f0000"),  # private use
        ("\U000e0041", "\\U000e0041"),  # tags
    ],
    ids=ascii,
)
def test_what_cannot_be_seen_is_shown_as_its_code(hidden, shown):
    assert visible(hidden) == shown


@pytest.mark.parametrize("text", ["plain", "数学 é ß", "a\u00a0b\u3000c", "e\u0301", "🙂", '<b> & "q" \''])
def test_what_can_be_seen_stays(text):
    assert visible(text) == text


@given(any_text)
def test_the_shown_text_hides_nothing(text):
    shown = visible(text)
    assert not {unicodedata.category(ch) for ch in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert visible(shown) == shown
    shown.encode("utf-8")


def test_a_mistyped_name_is_answered_with_its_near_misses_or_the_choices():
    assert near_misses("momentun", ["momentum", "adam"]) == " Did you mean momentum?"
    assert near_misses("xyz", ["momentum", "adam"]) == " There are: momentum, adam."
