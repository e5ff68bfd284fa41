"""One writer a directory: held, refused with the holder's number, gone with its process; marks that come and go with the work."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from thalweg import files
from thalweg.errors import OutputExistsError, StorageError
from thalweg.files import LOCK, Writer, check_output, check_resumable, claim, lock, manifest_of, unclaim

HOLD = """
import sys
from pathlib import Path
from thalweg.files import claim, lock
with lock(Path(sys.argv[1])):
    claim(Path(sys.argv[1]), "thalweg-words", 1)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds tmp_path/out."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_held_directory_is_refused_with_the_number_of_its_holder(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    """Before and after the work has begun: it is not interrupted work, and --resume would not help."""
    said = rf"out is being written by another thalweg \(process {holder.pid}\): wait for its end"
    with pytest.raises(OutputExistsError, match=said), lock(tmp_path / "out"):
        pass
    with pytest.raises(OutputExistsError, match=said):
        check_output(tmp_path / "out")
    assert (tmp_path / "out" / LOCK).exists()


def test_a_lock_dies_with_its_process(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "out" / LOCK).exists()
    with pytest.raises(OutputExistsError, match="holds interrupted work"):
        check_output(tmp_path / "out")
    with lock(tmp_path / "out"):
        assert (tmp_path / "out" / LOCK).read_text() == str(os.getpid())
    assert not (tmp_path / "out" / LOCK).exists()


def test_a_lock_is_free_again_after_its_block_and_after_an_error(tmp_path: Path) -> None:
    for error in (None, ValueError, KeyboardInterrupt):
        try:
            with lock(tmp_path / "a" / "b"):
                with pytest.raises(OutputExistsError, match=f"process {os.getpid()}"), lock(tmp_path / "a" / "b"):
                    pass
                if error is not None:
                    raise error
        except (ValueError, KeyboardInterrupt):
            pass
        assert list(tmp_path.iterdir()) == []  # the folders made on the way are gone


def test_folders_with_something_in_them_stay(tmp_path: Path) -> None:
    with lock(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "x").write_text("x")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["x"]


def test_a_full_disk_while_locking_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, stream: IO[str]) -> None:
            self.stream = stream

        def __getattr__(self, name: str) -> Any:
            return getattr(self.stream, name)

        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    locked = files._locked
    monkeypatch.setattr(files, "_locked", lambda file: Full(locked(file)))
    with pytest.raises(StorageError, match="the disk is full while writing"), lock(tmp_path / "out"):
        pass


def test_a_claim_marks_a_directory_until_it_is_taken_back(tmp_path: Path) -> None:
    claim(tmp_path, "thalweg-words", 1)
    assert manifest_of(tmp_path) == {"format": "thalweg-words", "version": 1, "complete": False}
    unclaim(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [{"complete": True}, {}])
def test_a_finished_result_is_neither_claimed_nor_unclaimed(tmp_path: Path, content: dict[str, Any]) -> None:
    files.write_manifest(tmp_path, {"format": "thalweg-words", "version": 1} | content)
    before = (tmp_path / "manifest.json").read_bytes()
    claim(tmp_path, "thalweg-counts", 1)
    unclaim(tmp_path)
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_work_that_can_be_resumed_keeps_its_mark(tmp_path: Path) -> None:
    claim(tmp_path, "thalweg-counts", 1)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "tokens.i32").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    unclaim(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "parts"]


def test_only_work_of_the_same_kind_is_resumed(tmp_path: Path) -> None:
    check_resumable(tmp_path / "new", "thalweg-words")
    check_resumable(tmp_path, "thalweg-words")
    claim(tmp_path, "thalweg-words", 1)
    check_resumable(tmp_path, "thalweg-words")
    with pytest.raises(OutputExistsError, match="holds 'thalweg-words' and no interrupted work that could be resumed"):
        check_resumable(tmp_path, "thalweg-counts")
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "letter.txt").write_text("x")
    with pytest.raises(OutputExistsError, match="holds files that thalweg did not write"):
        check_resumable(tmp_path, "thalweg-words")


def test_a_header_that_is_known_at_the_end_takes_the_place_of_the_first(tmp_path: Path) -> None:
    import hashlib

    with files.atomic(tmp_path / "f") as out:
        assert isinstance(out, Writer)
        out.write(b"????body")
        out.rewrite_start(b"HEAD")
    assert (tmp_path / "f").read_bytes() == b"HEADbody"
    assert (out.bytes, out.sha256) == (8, hashlib.sha256(b"HEADbody").hexdigest())


def test_appending_to_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.append(tmp_path / "s", [b"ab", memoryview(b""), memoryview(b"c")])
    files.append(tmp_path / "s", [])
    assert (tmp_path / "s").read_bytes() == b"abc"
    if Path("/dev/full").exists():
        with pytest.raises(StorageError, match="the disk is full while writing /dev/full"):
            files.append(Path("/dev/full"), [b"x" * (1 << 20)])
