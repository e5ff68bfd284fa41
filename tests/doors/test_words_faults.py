"""A full disk, Ctrl-C and kill -9 at every step of a fit and of its writing: the old folder or the new one, nothing in between."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from thalweg import console, files
from thalweg.cli import program
from thalweg.errors import OutputExistsError, StorageError, ThalwegError
from thalweg.words import WordVectors
from thalweg.work import REPLACING

TEXT = "the cat sat on the mat and the dog sat on the cat\n" * 20
SEAMS = ["_open", "_write", "_sync", "_rename", "_sync_directory"]


def vectors(seed: int) -> WordVectors:
    u, k = np.random.default_rng(seed).standard_normal((2, 4, 3)).astype(np.float32)
    return WordVectors(["the", "cat", "sat", "mat"], np.arange(4, 0, -1), u, k, np.ones(3))


def content(folder: Path) -> dict[str, bytes]:
    return (
        {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name not in (files.LOCK, REPLACING)}
        if folder.exists()
        else {}
    )


class Fault:
    """Stands before a step of writing and raises at its k-th call; before or after the step is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seam: str, k: int, error: BaseException, after: bool = False) -> None:
        self.calls, self.k, self.error, self.after = 0, k, error, after
        self.step: Callable[..., Any] = getattr(files, seam)
        monkeypatch.setattr(files, seam, self)

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        if self.calls == self.k and not self.after:
            raise self.error
        result = self.step(*args)
        if self.calls == self.k:
            if hasattr(result, "close"):  # the stream of _open, which nobody will ever hold
                result.close()
            raise self.error
        return result


def no_space() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def fail_at_every_step(
    seam: str, make: Callable[[], BaseException], after: bool, save: Callable[[], None], written: Callable[[], bool] = lambda: False
) -> int:
    """Call `save` with a fault at the first step, the second, ... until one meets none; returns how many were met.

    A fault may be let pass only where `written` says that all of the new content stands.
    """
    k = 0
    while True:
        k += 1
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, seam, k, make(), after)
            try:
                save()
            except (StorageError, KeyboardInterrupt):
                assert fault.calls >= k
            else:
                if fault.calls < k:
                    return k - 1
                assert written()


# A full disk


@pytest.mark.parametrize("seam", SEAMS[:4])
def test_a_disk_full_at_any_step_leaves_nothing_in_a_new_place(tmp_path: Path, seam: str) -> None:
    def save() -> None:
        try:
            vectors(1).save(tmp_path / "vec")
        except StorageError as error:
            assert error.errno == errno.ENOSPC
            assert "the disk is full while writing" in str(error)
            assert not (tmp_path / "vec").exists()
            raise

    assert fail_at_every_step(seam, no_space, False, save) >= 5  # three files, and the manifest twice
    assert WordVectors.load(tmp_path / "vec").word.tobytes() == vectors(1).word.tobytes()


@pytest.mark.parametrize("seam", SEAMS[:4])
def test_a_disk_full_at_any_step_leaves_the_old_content_whole(tmp_path: Path, seam: str) -> None:
    vectors(1).save(tmp_path / "vec")
    before = content(tmp_path / "vec")

    def save() -> None:
        try:
            vectors(2).save(tmp_path / "vec", overwrite=True)
        except StorageError:
            assert content(tmp_path / "vec") == before
            raise

    def new() -> bool:
        loaded = WordVectors.load(tmp_path / "vec")
        vectors(1).save(tmp_path / "vec", overwrite=True)  # for the next step
        before.clear()
        before.update(content(tmp_path / "vec"))
        return loaded.word.tobytes() == vectors(2).word.tobytes()

    assert fail_at_every_step(seam, no_space, False, save, new) >= 4
    assert WordVectors.load(tmp_path / "vec").word.tobytes() == vectors(2).word.tobytes()
    assert len(content(tmp_path / "vec")) == 4


def test_an_empty_folder_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "vec").mkdir()

    def save() -> None:
        try:
            vectors(1).save(tmp_path / "vec")
        except StorageError:
            assert content(tmp_path / "vec") == {}
            assert (tmp_path / "vec").is_dir()
            raise

    assert fail_at_every_step("_write", no_space, False, save) >= 5


def test_folders_made_on_the_way_are_taken_away_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--out new/deep/vec: nothing left behind means none of the three."""
    Fault(monkeypatch, "_write", 3, no_space())
    with pytest.raises(StorageError):
        vectors(1).save(tmp_path / "new" / "deep" / "vec")
    assert list(tmp_path.iterdir()) == []


# Ctrl-C while writing


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("seam", SEAMS)
def test_ctrl_c_at_any_step_leaves_the_old_content_or_the_new(tmp_path: Path, seam: str, after: bool) -> None:
    """Also between the moment at which the new manifest takes its name and the return of the function that renames it."""
    vectors(1).save(tmp_path / "vec")
    before = content(tmp_path / "vec")
    outcomes = set()

    def save() -> None:
        try:
            vectors(2).save(tmp_path / "vec", overwrite=True)
        finally:
            found = WordVectors.load(tmp_path / "vec").word.tobytes()
            is_old = found == vectors(1).word.tobytes()
            outcomes.add(is_old)
            assert is_old or found == vectors(2).word.tobytes()
            if is_old:
                assert content(tmp_path / "vec") == before
            else:
                vectors(1).save(tmp_path / "vec", overwrite=True)  # with the fault still there, whose turn is over
                before.update(content(tmp_path / "vec"))

    assert fail_at_every_step(seam, KeyboardInterrupt, after, save) >= 4
    assert outcomes == {True, False}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("seam", SEAMS)
def test_ctrl_c_at_any_step_leaves_nothing_or_the_whole_in_a_new_place(tmp_path: Path, seam: str, after: bool) -> None:
    def save() -> None:
        try:
            vectors(1).save(tmp_path / "vec", overwrite=True)
        except KeyboardInterrupt:
            if (tmp_path / "vec").exists():
                assert WordVectors.load(tmp_path / "vec").word.tobytes() == vectors(1).word.tobytes()
                for path in (tmp_path / "vec").iterdir():
                    path.unlink()
                (tmp_path / "vec").rmdir()
            raise

    assert fail_at_every_step(seam, KeyboardInterrupt, after, save) >= 5


# The command line


def fit(out: Path, *args: object, corpus: object = None) -> Result:
    corpus = corpus or out.parent / "corpus.txt"
    return CliRunner().invoke(program, ["words", "fit", str(corpus), "--out", str(out), "--dim", "4", *map(str, args)])


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_text(TEXT)
    return tmp_path / "corpus.txt"


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_a_full_disk_is_one_line_and_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    Fault(monkeypatch, "_write", k, no_space())
    result = fit(tmp_path / "vec", "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: the disk is full while writing ")
    assert line.endswith("free some space or choose another place")
    assert not (tmp_path / "vec").exists()


def interrupted_in(phase: str) -> Callable[..., None]:
    def interrupt(self: object, done: float, total: float | None, **numbers: object) -> None:
        if numbers["phase"] == phase:
            raise KeyboardInterrupt

    return interrupt


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("phase", ["reading", "counting", "starting", "solving"])
def test_ctrl_c_in_any_phase_ends_with_130_and_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    """What was there stays what it was; before anything is counted there is nothing to keep, after that the counts are."""
    vectors(1).save(tmp_path / "old")
    before = content(tmp_path / "old")
    assert fit(tmp_path / "whole").exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(console._Lines, "__call__", interrupted_in(phase))
        for out, args in ((tmp_path / "vec", []), (tmp_path / "old", ["--overwrite"])):
            result = fit(out, *args)
            assert (result.exit_code, result.stdout) == (130, "")
            note = f"Nothing was written to {out}."
            if phase in ("starting", "solving"):
                note = f"What is done is kept in {out}: continue with the same command and --resume."
            assert result.stderr.splitlines()[-2:] == [note, "Interrupted."]
            assert "Traceback" not in result.stderr
    assert (tmp_path / "vec").exists() == (phase in ("starting", "solving"))
    assert content(tmp_path / "old") == before
    for name in ("vec", "old"):
        assert fit(tmp_path / name, "--resume").exit_code == 0
        assert content(tmp_path / name)["vectors.safetensors"] == content(tmp_path / "whole")["vectors.safetensors"]


@pytest.mark.usefixtures("corpus")
def test_ctrl_c_while_the_vectors_are_written_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Fault(monkeypatch, "_write", 6, KeyboardInterrupt())
    result = fit(tmp_path / "vec")
    assert (result.exit_code, result.stdout, result.stderr.splitlines()[-1]) == (130, "", "Interrupted.")
    assert not (tmp_path / "vec").exists()


HEARING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests in the background has it ignored, and so his children
from thalweg.__main__ import main
sys.exit(main())
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_real_ctrl_c_ends_a_fit_that_waits_for_text(tmp_path: Path) -> None:
    """A named pipe that nobody writes to: the program waits in the middle of reading when the signal comes."""
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-c", HEARING, "words", "fit", str(tmp_path / "pipe"), "--out", str(tmp_path / "vec")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline().startswith(b"reading ")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read().decode()
        assert process.stdout.read() == b""
    assert (process.returncode, "Traceback" in rest) == (130, False)
    assert rest.splitlines() == [f"Nothing was written to {tmp_path}/vec.", "Interrupted."]
    assert not (tmp_path / "vec").exists()


# kill -9


KILLED_FIT = """
import os, signal, sys
from thalweg.cli import program
from thalweg.words.solving import als
als.descend = lambda *args, **options: os.kill(os.getpid(), signal.SIGKILL)
program.run(["words", "fit", "corpus.txt", "--out", "vec", "--overwrite", "--dim", "4"])
"""


@pytest.mark.usefixtures("corpus")
def test_kill_9_during_a_fit_changes_nothing(tmp_path: Path) -> None:
    vectors(1).save(tmp_path / "vec")
    before = content(tmp_path / "vec")
    done = subprocess.run([sys.executable, "-c", KILLED_FIT], cwd=tmp_path, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert content(tmp_path / "vec") == before
    assert fit(tmp_path / "vec", "--overwrite").exit_code == 0
    assert len(content(tmp_path / "vec")) == 5


# Forks once for each step of the writing; the child kills itself there, the parent looks at what is left.
KILLED_SAVE = """
import json, os, shutil, signal, sys
import numpy as np
from thalweg import files
from thalweg.errors import ThalwegError
from thalweg.words import WordVectors

def vectors(seed):
    u, k = np.random.default_rng(seed).standard_normal((2, 4, 3)).astype(np.float32)
    return WordVectors(["the", "cat", "sat", "mat"], np.arange(4, 0, -1), u, k, np.ones(3))

def state():
    try:
        word = WordVectors.load("vec").word.tobytes()
    except ThalwegError as error:
        return type(error).__name__
    return {vectors(seed).word.tobytes(): name for seed, name in ((1, "old"), (2, "new"))}[word]

def killed_at(seam, k):
    step, calls = getattr(files, seam), 0
    def stop(*args):
        nonlocal calls
        calls += 1
        if calls == k:
            if seam == "_write":  # the half of it is on the disk
                step(args[0], args[1][: len(args[1]) // 2])
                args[0].flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*args)
    setattr(files, seam, stop)

for fresh in (True, False):
    for seam in ("_open", "_write", "_sync", "_rename", "_sync_directory", "remove"):
        for k in range(1, 100):
            shutil.rmtree("vec", ignore_errors=True)
            if not fresh:
                vectors(1).save("vec")
            child = os.fork()
            if child == 0:
                killed_at(seam, k)
                vectors(2).save("vec", overwrite=not fresh)
                os._exit(0)
            if os.waitpid(child, 0)[1] != signal.SIGKILL:
                break
            left = state()
            try:
                vectors(2).save("vec", overwrite=True)  # the next run succeeds and sweeps up
                after = [state(), len(os.listdir("vec"))]
            except ThalwegError as error:
                after = [str(error), 0]
            print(json.dumps([fresh, seam, k, left, after]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_9_at_any_step_of_writing_leaves_the_old_content_the_new_or_a_folder_marked_incomplete(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED_SAVE], cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) >= 40
    assert {seam for _, seam, *_ in rows} >= {"_open", "_write", "_sync", "_rename", "_sync_directory"}
    for fresh, seam, k, left, after in rows:
        allowed = {"MissingFileError", "DamagedFileError", "new"} if fresh else {"old", "new"}
        assert left in allowed, (seam, k)
        assert after == ["new", 4], (seam, k, left)


@pytest.mark.usefixtures("corpus")
def test_a_folder_marked_incomplete_says_so_and_is_overwritten_when_asked(tmp_path: Path) -> None:
    (tmp_path / "vec").mkdir()
    (tmp_path / "vec" / "manifest.json").write_text('{"format": "thalweg-words", "version": 1, "complete": false}')
    (tmp_path / "vec" / "vocab.json").write_text("[")
    (tmp_path / "vec" / ".thalweg-123-vectors.safetensors").write_text("half")
    with pytest.raises(ThalwegError, match="is incomplete, its making was interrupted: make it again with --overwrite"):
        WordVectors.load(tmp_path / "vec")
    with pytest.raises(OutputExistsError):
        vectors(1).save(tmp_path / "vec")
    assert fit(tmp_path / "vec", "--overwrite").exit_code == 0
    assert len(content(tmp_path / "vec")) == 5
