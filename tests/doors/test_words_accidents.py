"""Accidents while counting and solving: a full disk at any step, a folder that cannot be written, two writers at once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from thalweg import files, work
from thalweg.cli import program
from thalweg.errors import InputError, StorageError
from thalweg.words import fit, solve
from thalweg.words.counts import blocks, counting
from thalweg.words.counts.table import CooccurrenceCounts, count
from thalweg.words.text.reading import read

SMALL: dict[str, Any] = {"dim": 4, "min_count": 1, "window": 4, "epochs": 2, "tol": 0.0, "threads": 1, "memory": 4000}


@pytest.fixture(autouse=True)
def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way of writing is taken: the stream, runs, merged runs, the table, checkpoints, vectors."""
    monkeypatch.setattr(counting, "_LEAST_HELD", 500)
    monkeypatch.setattr(work, "SECONDS", 0.0)
    monkeypatch.setattr(blocks, "FAN_IN", 2)
    monkeypatch.setattr(blocks, "budget", lambda *args: blocks.Budget(200, 2000, 300))
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: None)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = [" ".join(f"w{k}" for k in rng.integers(0, 12, 10)) for _ in range(60)]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    return tmp_path / "text.txt"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Full:
    """A disk that is full at the k-th call of a step."""

    def __init__(self, patch: pytest.MonkeyPatch, seam: str, k: int) -> None:
        self.calls, self.k, self.step = 0, k, getattr(files, seam)
        patch.setattr(files, seam, self)

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        if self.calls == self.k:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.step(*args)


def steps(seam: str, work: Callable[[], object]) -> int:
    """How often `work` takes a step."""
    with pytest.MonkeyPatch.context() as patch:
        fault = Full(patch, seam, -1)
        work()
    return fault.calls


def some(n: int) -> list[int]:
    """The first and last steps, and every nineteenth between."""
    return sorted({*range(1, 6), *range(6, n + 1, 19), *range(n - 4, n + 1)})


# A full disk


@pytest.mark.parametrize("seam", ["_open", "_write", "_rename"])
def test_a_disk_full_at_any_step_of_a_fit_is_one_line_and_resume_gives_the_same_bytes(
    text: Path, tmp_path: Path, seam: str
) -> None:
    n = steps(seam, lambda: fit(text, out=tmp_path / "whole", **SMALL))
    assert n > 30
    expected = content(tmp_path / "whole")
    passed = 0
    for k in some(n):
        out = tmp_path / f"vec{k}"
        with pytest.MonkeyPatch.context() as patch:
            Full(patch, seam, k)
            try:
                fit(text, out=out, **SMALL)
            except StorageError as error:
                assert error.errno == errno.ENOSPC
                assert str(error).startswith("the disk is full while writing")
            else:
                passed += 1  # names are only tidied up after the content stands
        fit(text, out=out, resume=True, **SMALL)
        found = content(out)
        assert {name: data for name, data in found.items() if "manifest" not in name} == {
            name: data for name, data in expected.items() if "manifest" not in name
        }, (seam, k)
    assert passed <= 2


@pytest.mark.parametrize("seam", ["_open", "_write"])
def test_a_disk_full_while_old_work_is_replaced_leaves_the_old_work(
    text: Path, tmp_path: Path, seam: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "SECONDS", 1e9)
    counts = count(read([list("abcd")] * 9, min_count=1))
    first = solve(counts, dim=2, out=tmp_path / "vec")
    counting.count([list("abcd")] * 9, min_count=1, out=tmp_path / "counts")
    for name, job in (
        ("vec", lambda: solve(counts, dim=3, out=tmp_path / "vec", overwrite=True)),
        ("counts", lambda: counting.count(text, min_count=1, memory=4000, out=tmp_path / "counts", overwrite=True)),
    ):
        before = content(tmp_path / name)
        for k in (1, 2, 3, 4):  # a fifth may be the tidying up of names, behind the new work
            with pytest.MonkeyPatch.context() as patch:
                Full(patch, seam, k)
                with pytest.raises(StorageError, match="the disk is full"):
                    job()
            now = content(tmp_path / name)
            assert {path: now.get(path) for path in before} == before, (name, k)
    assert CooccurrenceCounts.open(tmp_path / "counts").words == counts.words
    assert first.dim == 2


def command(*args: object) -> Result:
    return CliRunner().invoke(program, ["words", *map(str, args)])


@pytest.mark.parametrize("verb", ["fit", "count", "solve"])
def test_a_full_disk_ends_a_command_with_one_line_and_status_1(
    text: Path, tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting.count(text, min_count=1, out=tmp_path / "counts")
    source = tmp_path / "counts" if verb == "solve" else text
    Full(monkeypatch, "_write", 4)
    done = command(verb, source, "--out", tmp_path / "out", "--quiet")
    assert (done.exit_code, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("Error: the disk is full while writing ")


# Folders that cannot be written


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a system with users")
@pytest.mark.parametrize("verb", ["fit", "count", "solve"])
def test_a_folder_that_cannot_be_written_is_one_line_before_any_work(
    text: Path, tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the administrator everything can be written: then it is the question that is answered with no."""
    counting.count(text, min_count=1, out=tmp_path / "counts")
    (tmp_path / "closed").mkdir(mode=0o555)
    if os.geteuid() == 0:
        allowed = os.access
        monkeypatch.setattr(files.os, "access", lambda path, mode: "closed" not in str(path) and allowed(path, mode))
    done = command(verb, tmp_path / "counts" if verb == "solve" else text, "--out", tmp_path / "closed" / "vec")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].endswith("closed is not a writable directory")


# Two at once


HOLD = """
import sys
from pathlib import Path
from thalweg.words import fit
def progress(done, total, **numbers):
    if numbers["phase"] == sys.argv[3]:
        print("there", flush=True)
        sys.stdin.read()
fit(sys.argv[1], out=sys.argv[2], dim=4, min_count=1, progress=progress)
"""


@pytest.fixture
def other(text: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another fit into tmp_path/vec, halted while it solves."""
    args = [sys.executable, "-c", HOLD, str(text), str(tmp_path / "vec"), "solving"]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        yield process
        process.kill()


def test_a_second_fit_into_the_same_folder_is_refused_and_the_first_goes_on(
    text: Path, tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    for extra in ([], ["--resume"], ["--overwrite"]):
        done = command("fit", text, "--out", tmp_path / "vec", "--dim", 4, "--min-count", 1, *extra)
        assert (done.exit_code, done.stdout) == (1, "")
        said = f"Error: {tmp_path}/vec is being written by another thalweg (process {other.pid}): wait for its end"
        assert done.stderr.splitlines()[-1] == said
    assert other.stdin is not None
    other.stdin.close()
    assert other.wait() == 0
    assert not (tmp_path / "vec" / files.LOCK).exists()
    fit(text, dim=4, min_count=1, out=tmp_path / "vec", resume=True)


def test_the_lock_of_a_killed_fit_holds_nobody_up(text: Path, tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    other.kill()
    other.wait()
    assert (tmp_path / "vec" / files.LOCK).exists()
    done = command("fit", text, "--out", tmp_path / "vec", "--dim", 4, "--min-count", 1, "--resume")
    assert done.exit_code == 0, done.stderr
    assert not (tmp_path / "vec" / files.LOCK).exists()


# Too little


@pytest.mark.parametrize("words", [["a"] * 99, []], ids=str)
def test_a_vocabulary_of_one_word_is_one_line_and_leaves_nothing(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "one.txt").write_text(" ".join(words))
    for verb in ("fit", "count"):
        done = command(verb, tmp_path / "one.txt", "--out", tmp_path / "out")
        assert (done.exit_code, done.stdout) == (1, "")
        assert ("vectors need two words or more" if words else "is empty") in done.stderr.splitlines()[-1]
        assert not (tmp_path / "out").exists()


def test_counts_of_one_word_cannot_be_solved() -> None:
    zero = np.zeros(2, np.int64)
    one = CooccurrenceCounts(["a"], np.ones(1, np.int64), zero, np.zeros(0, np.int32), np.zeros(0, np.uint32), 1, 5, "uniform")
    with pytest.raises(InputError, match="no two different words stand within a window"):
        solve(one)


def test_a_failure_that_cannot_be_resumed_leaves_nothing_on_disk(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard input is read once: parts of its stream are of no use to anybody."""
    import io

    def broken(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(blocks, "merge_runs", broken)
    for function in (fit, counting.count):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.read_bytes())))
        with pytest.raises(KeyboardInterrupt):
            function(Path("-"), out=tmp_path / "out", min_count=1, memory=4000)
        assert not (tmp_path / "out").exists()
