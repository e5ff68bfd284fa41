"""`thalweg words map` used wrongly, or where it cannot write: one line, the right status, nothing half written."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from thalweg import files
from thalweg.cli import program
from thalweg.words import WordVectors
from thalweg.words.commands import mapping
from thalweg.words.pictures.maps import METHODS, MOST_GROUPS, SUFFIXES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("maps") / "vec"
    rows = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    WordVectors([f"word{j}" for j in range(20)], None, rows).save(path)
    return path


def ran(folder: Path, *args: str) -> Result:
    return CliRunner().invoke(program, ["words", "map", str(folder), *args])


def test_the_command_offers_what_the_library_takes() -> None:
    assert (tuple(mapping.METHODS), mapping.SUFFIXES, mapping.MOST_GROUPS) == (METHODS, SUFFIXES, MOST_GROUPS)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "--out"),
        (["--out", "map"], "does not say what to write"),
        (["--out", "map.gif"], "does not say what to write"),
        (["--out", "map.svg", "--method", "tnse"], "Did you mean tsne"),
        (["--out", "map.svg", "--clusters", "13"], "at most 12"),
        (["--out", "map.svg", "--clusters", "0"], "at least 1"),
        (["--out", "map.svg", "--n", "0"], "at least 1"),
        (["--out", "map.svg", "--neighbours", "3"], "needs words"),
        (["--out", "map.svg", "--seed", "-1"], "at least 0"),
    ],
)
def test_wrong_use_is_seen_before_anything_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(WordVectors, "load", lambda *a, **k: pytest.fail("read"))
    done = ran(folder, *args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def refused(done: Result, message: str) -> None:
    assert (done.exit_code, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last


def test_places_that_cannot_be_written_are_refused_before_any_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WordVectors, "load", lambda *a, **k: pytest.fail("read"))
    (tmp_path / "there.svg").write_text("mine")
    (tmp_path / "folder.svg").mkdir()
    refused(ran(folder, "--out", str(tmp_path / "there.svg")), "--overwrite")
    refused(ran(folder, "--out", str(tmp_path / "folder.svg"), "--overwrite"), "is a folder")
    refused(ran(folder, "--out", str(tmp_path / "none" / "map.svg")), "there is no folder")
    assert (tmp_path / "there.svg").read_text() == "mine"


def test_unknown_words_and_missing_vectors_are_one_line(folder: Path, tmp_path: Path) -> None:
    refused(ran(folder, "wrod1", "--out", str(tmp_path / "map.svg")), "Near spellings")
    refused(ran(tmp_path / "none", "--out", str(tmp_path / "map.svg")), "there is no")
    refused(ran(folder, "word1", "word2", "--method", "tsne", "--out", str(tmp_path / "map.svg")), "needs 4 words")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("step", ["_write", "_sync", "_rename"])
def test_a_full_disk_leaves_the_old_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, step: str
) -> None:
    out = tmp_path / f"map{suffix}"
    out.write_text("mine")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, step, full)
    refused(ran(folder, "--out", str(out), "--overwrite"), "the disk is full")
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_text() == "mine"


def test_a_hostile_name_is_shown_harmlessly(folder: Path) -> None:
    done = ran(folder, "--out", "a\x1b]0;x\x07\u202e.gif")
    assert done.exit_code == 2
    assert all(ch.isprintable() or ch == "\n" for ch in done.stderr)
