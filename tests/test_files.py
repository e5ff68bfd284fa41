"""Files are whole or absent, whatever fails and whenever; a reader trusts nothing in a file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from thalweg import files
from thalweg.bundles import Bundle, write_bundle
from thalweg.errors import DamagedFileError, InputError, MissingFileError, OutputExistsError, StorageError, ThalwegError
from thalweg.files import atomic, check_output, parse_size, read_json, size_text

KIND = "thalweg-test"
NAMES = ["list.json", "numbers.npy", "tensors.safetensors"]
N = 100


def save(path: Path, value: int, overwrite: bool = False) -> None:
    """Write a bundle of which every file says `value`."""
    with write_bundle(path, KIND, 1, overwrite) as bundle:
        bundle.json("list.json", [value] * N)
        bundle.array("numbers.npy", np.full(N, value, np.int64))
        bundle.tensors("tensors.safetensors", {"a": np.full((N, 2), value, np.float32), "b": np.full(3, value, np.float64)})
        bundle.manifest["value"] = value


def load(path: Path) -> int:
    """The value of a bundle; all of its files have to agree."""
    bundle = Bundle(path, KIND, 1)
    value: int = bundle.manifest["value"]
    tensors = bundle.tensors("tensors.safetensors", {"a": ("<f4", (N, 2)), "b": ("<f8", (3,))})
    assert bundle.json("list.json") == [value] * N
    for array in (bundle.array("numbers.npy", "<i8", (N,)), *tensors.values()):
        assert np.all(array == value)
    return value


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- faults: the k-th step of a write fails, for every k


STEPS = ("_open", "_write", "_sync", "_rename", "_sync_directory")


def disk_full_before(step: Callable[..., Any], *args: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def disk_full_halfway(step: Callable[..., Any], *args: Any) -> None:
    if step.__name__ == "_write":
        step(args[0], args[1][: len(args[1]) // 2])
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupt_before(step: Callable[..., Any], *args: Any) -> None:
    raise KeyboardInterrupt


def interrupt_after(step: Callable[..., Any], *args: Any) -> None:
    opened = step(*args)
    if opened is not None:
        opened.close()
    raise KeyboardInterrupt


every_fault = pytest.mark.parametrize("fault", [disk_full_before, disk_full_halfway, interrupt_before, interrupt_after])


Task = Callable[[], object]


class Faults:
    """Replaces the k-th step (from 0) of all writes by a fault."""

    def __init__(self, patch: pytest.MonkeyPatch, fault: Callable[..., None], k: int) -> None:
        self.done = 0
        for name in STEPS:
            if name == "_sync_directory" and fault in (disk_full_before, disk_full_halfway):
                continue  # an OSError there is expected and let pass
            patch.setattr(files, name, self._step(getattr(files, name), fault, k))

    def _step(self, step: Callable[..., Any], fault: Callable[..., None], k: int) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            self.done += 1
            return fault(step, *args) if self.done == k + 1 else step(*args)

        return counted


def with_faults(
    fault: Callable[..., None], write: Task, prepare: Task, check: Task, written: Callable[[], bool] = lambda: False
) -> int:
    """prepare, write with a fault at step k, check: for k = 0, 1, ... until a write meets no fault. Returns their number.

    A fault may be let pass only where `written` says that all of the new content stands.
    """
    for k in itertools.count():
        prepare()
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, fault, k)
            try:
                write()
            except (StorageError, KeyboardInterrupt):
                pass
            else:
                if faults.done <= k:
                    return k
                assert written(), f"the fault at step {k} was swallowed"
        check()
    raise AssertionError


@every_fault
def test_a_fault_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path, fault):
    path = tmp_path / "notes.txt"

    def write() -> None:
        with atomic(path) as out:
            out.write(b"new")
            out.write(b" text")

    def check() -> None:
        assert path.read_bytes() in (b"old text", b"new text")
        assert names_in(tmp_path) == ["notes.txt"]

    n_steps = with_faults(fault, write, lambda: path.write_bytes(b"old text"), check)
    assert n_steps >= len(["open", "write", "write", "sync", "rename"])
    assert path.read_bytes() == b"new text"


def test_an_error_inside_the_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), atomic(path) as out:
        out.write(b"new")
        _ = 1 / 0
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["notes.txt"]


@every_fault
def test_a_fault_at_any_step_of_a_fresh_bundle_leaves_nothing_or_all_of_it(tmp_path, fault):
    """Story: Ctrl-C between the renaming of a data file and its entry left a folder that the next write took for a stranger's."""
    fresh = (tmp_path / str(k) for k in itertools.count())
    path = tmp_path

    def prepare() -> None:
        nonlocal path
        path = next(fresh)

    def check() -> None:
        assert not path.exists() or load(path) == 1
        save(path, 2, overwrite=True)
        assert load(path) == 2
        assert len(names_in(path)) == len(["manifest.json", *NAMES])

    assert with_faults(fault, lambda: save(path, 1), prepare, check) >= 5 * 4


@every_fault
def test_a_fault_at_any_step_of_an_overwriting_leaves_the_old_bundle_or_the_new_one(tmp_path, fault):
    """Story: Ctrl-C just after the new manifest had taken its name removed the files that it names."""
    path = tmp_path / "vec"
    save(path, 0)
    value = 0

    def prepare() -> None:
        nonlocal value
        value += 1

    def check() -> None:
        assert load(path) in (value - 1, value)
        save(path, value, overwrite=True)
        assert load(path) == value
        assert len(names_in(path)) == len(["manifest.json", *NAMES])

    assert with_faults(fault, lambda: save(path, value, overwrite=True), prepare, check, lambda: load(path) == value) >= 4 * 4
    assert load(path) == value


@every_fault
def test_a_fault_at_any_step_of_writing_pages_leaves_each_page_old_or_new(tmp_path, fault):
    """And the folder is still known as ours, so that it can be written again."""
    path = tmp_path / "pages"
    files.write_pages(path, KIND, 1, {"a.html": "old", "b.html": "old"})

    def write() -> None:
        files.write_pages(path, KIND, 1, {"a.html": "new", "b.html": "new"}, overwrite=True)

    def check() -> None:
        assert {(path / name).read_text() for name in ("a.html", "b.html")} <= {"old", "new"}
        assert read_json(path / "manifest.json")["format"] == KIND

    assert with_faults(fault, write, lambda: None, check) >= 3 * 4
    assert names_in(path) == ["a.html", "b.html", "manifest.json"]
    assert (path / "b.html").read_text() == "new"


KILLED = """
import itertools, os, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_files import STEPS, load, save
from thalweg import files
from thalweg.errors import DamagedFileError, MissingFileError

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def killed_at(k):
    # this process ends at the k-th step of a write, in the middle of it where it is a write
    done = 0
    for name in STEPS:
        def step(*args, original=getattr(files, name)):
            nonlocal done
            done += 1
            if done == k:
                if original.__name__ == "_write":
                    original(args[0], args[1][: len(args[1]) // 2])
                    args[0].flush()
                elif k % 2:
                    original(*args)
                die()
            return original(*args)
        setattr(files, name, step)

def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid

def survived(path, overwriting):
    files_there = sorted(p.name for p in path.glob("*")) if path.exists() else []
    try:
        return load(path)
    except (MissingFileError, DamagedFileError) as error:
        assert not overwriting, error
        assert not files_there or "incomplete" in str(error) or "interrupted" in str(error), error
    return None

folder = Path(sys.argv[2])
for overwriting in (False, True):
    for k in itertools.count(1):
        path = folder / f"{overwriting}-{k}"
        if overwriting:
            save(path, 1)
        def work():
            killed_at(k)
            save(path, 2, overwriting)
        status = os.waitpid(child(work), 0)[1]
        if not os.WIFSIGNALED(status):
            assert load(path) == 2
            break
        assert survived(path, overwriting) in ((1, 2) if overwriting else (None, 2))
        save(path, 3, overwrite=True)
        assert load(path) == 3
        assert len(os.listdir(path)) == 4, os.listdir(path)
    print(k)
path, moments = folder / "loop", random.Random(0)
save(path, 0)
def forever():
    for value in itertools.count(1):
        save(path, value, overwrite=True)
for _ in range(8):
    pid = child(forever)
    time.sleep(moments.uniform(0.01, 0.05))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    load(path)
save(path, 0, overwrite=True)
assert len(os.listdir(path)) == 4
"""


def test_kill_minus_nine_leaves_the_old_bundle_the_new_one_or_one_that_says_it_is_incomplete(tmp_path):
    """The power goes at every step of a write, fresh and overwriting, then at eight moments of a loop; the next write cleans up."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(Path(__file__).parent), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert all(int(n) > 15 for n in run.stdout.split())


# ---- what a bundle is


@given(
    hnp.arrays(
        st.sampled_from(["<f4", ">f4", "<f8", "<i8", ">i4", "<u2", "|b1"]), hnp.array_shapes(min_dims=1, min_side=0, max_side=5)
    ),
    st.booleans(),
)
def test_an_array_comes_back_bit_for_bit(array, fortran):
    """Whatever its byte order and layout were; NaN and -0 included."""
    given_array = np.asfortranarray(array) if fortran else array
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vec")
        with write_bundle(path, KIND, 1) as bundle:
            bundle.array("a.npy", given_array)
        little = array.dtype.newbyteorder("<")
        for mmap in (False, True):
            found = Bundle(path, KIND, 1).array("a.npy", little.str, array.shape, mmap)
            assert found.tobytes() == array.astype(little).tobytes()
        np.testing.assert_array_equal(np.load(path / "a.npy", allow_pickle=False), array)


def test_the_tensors_are_a_safetensors_file(tmp_path):
    """The library that defines the format reads what we write, and we what it writes; empty tensors too."""
    from safetensors.numpy import load_file, save_file

    tensors = {"word": np.arange(6, dtype=np.float32).reshape(2, 3), "none": np.zeros((0, 3), np.float32)}
    with write_bundle(tmp_path / "vec", KIND, 1) as bundle:
        bundle.tensors("t.safetensors", tensors)
    theirs = load_file(tmp_path / "vec" / "t.safetensors")
    expected = {"word": ("<f4", (2, 3)), "none": ("<f4", (0, 3))}
    ours = Bundle(tmp_path / "vec", KIND, 1).tensors("t.safetensors", expected)
    for key, tensor in tensors.items():
        np.testing.assert_array_equal(ours[key], tensor)
        np.testing.assert_array_equal(theirs[key], tensor)

    save_file(tensors, tmp_path / "theirs.safetensors", metadata={"by": "another program"})
    path = bundle_of(tmp_path / "copy", "t.safetensors", (tmp_path / "theirs.safetensors").read_bytes())
    np.testing.assert_array_equal(Bundle(path, KIND, 1).tensors("t.safetensors", expected)["word"], tensors["word"])


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, lambda a: a[:, ::-1], lambda a: a.astype(">f4")])
def test_a_tensor_comes_back_whatever_its_layout_was(tmp_path, layout):
    """Story: safetensors writes the memory of an array as it lies, so a transposed matrix came back with its numbers scrambled."""
    matrix = layout(np.arange(6, dtype=np.float32).reshape(2, 3))
    with write_bundle(tmp_path / "vec", KIND, 1) as bundle:
        bundle.tensors("t.safetensors", {"a": matrix})
    found = Bundle(tmp_path / "vec", KIND, 1).tensors("t.safetensors", {"a": ("<f4", (2, 3))})
    np.testing.assert_array_equal(found["a"], matrix)


def test_the_manifest_says_what_is_there(tmp_path):
    save(tmp_path / "vec", 7)
    manifest = json.loads((tmp_path / "vec" / "manifest.json").read_text())
    assert (manifest["format"], manifest["version"], manifest["value"]) == (KIND, 1, 7)
    assert sorted(manifest["files"]) == NAMES
    for name, entry in manifest["files"].items():
        content = (tmp_path / "vec" / entry["path"]).read_bytes()
        assert (entry["path"], entry["bytes"], entry["sha256"]) == (name, len(content), hashlib.sha256(content).hexdigest())
    assert manifest["files"]["numbers.npy"]["dtype"] == "int64"
    assert manifest["files"]["tensors.safetensors"]["tensors"] == {"a": [N, 2], "b": [3]}


def test_overwriting_ends_with_the_plain_names(tmp_path):
    """Story: every second overwriting left `vectors.2.safetensors`, and scripts that open the plain name broke."""
    path = tmp_path / "vec"
    for value in range(4):
        save(path, value, overwrite=True)
        assert sorted(p.name for p in path.iterdir()) == sorted([*NAMES, "manifest.json"])
        assert load(path) == value


def test_without_hard_links_the_numbered_names_do_as_well(tmp_path, monkeypatch):
    """The old file keeps its name until the new manifest stands; the manifest says under which name the new one is stored."""

    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "vec"
    save(path, 0)
    plain = sorted([*NAMES, "manifest.json"])
    second = sorted([*(name.replace(".", ".2.") for name in NAMES), "manifest.json"])
    for value, names in ((1, second), (2, plain), (3, second)):
        save(path, value, overwrite=True)
        assert sorted(p.name for p in path.iterdir()) == names
        assert load(path) == value


def test_a_reader_that_holds_the_old_bundle_keeps_it(tmp_path):
    """Arrays are memory-mapped; overwriting the bundle takes away their names, not their content."""
    save(tmp_path / "vec", 1)
    held = Bundle(tmp_path / "vec", KIND, 1).array("numbers.npy", "<i8", (N,))
    save(tmp_path / "vec", 2, overwrite=True)
    assert np.all(held == 1)


# ---- where a bundle may go


def test_an_output_that_is_free_is_accepted(tmp_path):
    check_output(tmp_path / "new")
    check_output(tmp_path / "new" / "deeper")
    check_output(tmp_path)
    (tmp_path / ".thalweg-123-manifest.json").write_text("left by kill -9")
    check_output(tmp_path)


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "notes").write_text("")
    for overwrite in (False, True):
        with pytest.raises(OutputExistsError, match="is a file"):
            check_output(tmp_path / "notes", overwrite)
    with pytest.raises(StorageError, match="is not a writable directory"):
        check_output(tmp_path / "notes" / "vec")


def test_a_bundle_is_replaced_only_on_request(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        check_output(tmp_path)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        save(tmp_path, 2)
    check_output(tmp_path, overwrite=True)
    assert load(tmp_path) == 1


@pytest.mark.parametrize(
    "manifest",
    [None, '{"name": "my web app", "start_url": "/", "icons": []}', '{"format": "another program\'s"}', "[]", "not JSON"],
)
def test_a_strangers_folder_is_never_overwritten(tmp_path, manifest):
    """Story: web apps have a manifest.json too, and --overwrite replaced it."""
    (tmp_path / "thesis.tex").write_text("years of work")
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputExistsError):
        save(tmp_path, 1, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_failure_takes_away_the_folder_that_it_made(tmp_path):
    with pytest.raises(ZeroDivisionError), write_bundle(tmp_path / "vec", KIND, 1) as bundle:
        bundle.json("list.json", [])
        _ = 1 / 0
    assert not (tmp_path / "vec").exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("value", [object(), math.nan], ids=["an object", "NaN"])
def test_a_manifest_that_json_cannot_hold_changes_nothing(tmp_path, value, overwrite):
    """The fault comes when all data files are written, and is the caller's: TypeError or ValueError."""
    path = tmp_path / "vec"
    if overwrite:
        save(path, 1)
    with pytest.raises((TypeError, ValueError)), write_bundle(path, KIND, 1, overwrite) as bundle:
        bundle.json("list.json", [2] * N)
        bundle.manifest["value"] = value
    if overwrite:
        assert load(path) == 1
        assert names_in(path) == sorted([*NAMES, "manifest.json"])
    else:
        assert not path.exists()


def test_a_full_disk_is_named_with_a_remedy(tmp_path):
    expected = pytest.raises(StorageError, match=r"the disk is full while writing .*vec.*free some space")
    with expected as caught, files.storage_errors(tmp_path / "vec"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC


# ---- damaged files


def bundle_of(path: Path, name: str, content: bytes, **facts: Any) -> Path:
    """A bundle with one file whose manifest agrees with it: what a stranger can make."""
    path.mkdir(exist_ok=True)
    (path / name).write_bytes(content)
    entry = {"path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} | facts
    (path / "manifest.json").write_text(json.dumps({"format": KIND, "version": 1, "files": {name: entry}}))
    return path


def npy(header: str | bytes, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def npy_header(shape: object, descr: object = "<f4", fortran: object = False) -> str:
    return repr({"descr": descr, "fortran_order": fortran, "shape": shape})


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "another kind": (lambda p: edit(p, lambda m: m.update(format="thalweg-other")), "'thalweg-other'"),
    "no kind": (lambda p: (p / "manifest.json").write_text("[]"), "None"),
    "newer": (lambda p: edit(p, lambda m: m.update(version=2)), "upgrade"),
    "no version": (lambda p: edit(p, lambda m: m.pop("version")), "version None"),
    "incomplete": (lambda p: edit(p, lambda m: m.update(complete=False)), "incomplete"),
    "no files": (lambda p: edit(p, lambda m: m.pop("files")), "does not name"),
    "files is a list": (lambda p: edit(p, lambda m: m.update(files=[])), "does not name"),
    "entry is a list": (lambda p: edit(p, lambda m: m["files"].update({"numbers.npy": []})), "does not name"),
    "path above": (lambda p: edit(p, lambda m: m["files"]["numbers.npy"].update(path="../numbers.npy")), "does not name"),
    "path of the root": (lambda p: edit(p, lambda m: m["files"]["numbers.npy"].update(path="/etc/passwd")), "does not name"),
    "path is a number": (lambda p: edit(p, lambda m: m["files"]["numbers.npy"].update(path=3)), "does not name"),
    "path is a parent": (lambda p: edit(p, lambda m: m["files"]["numbers.npy"].update(path="..")), "numbers.npy|is missing"),
    "bytes below zero": (lambda p: edit(p, lambda m: m["files"]["numbers.npy"].update(path="gone", bytes=-1)), "is missing"),
    "cut": (lambda p: os.truncate(p / "numbers.npy", 200), "has 200 bytes"),
    "longer": (lambda p: os.truncate(p / "numbers.npy", 2000), "has 2000 bytes"),
    "gone": (lambda p: (p / "numbers.npy").unlink(), "is missing"),
    "a flipped bit": (lambda p: flip(p / "numbers.npy"), "checksum"),
    "manifest not JSON": (lambda p: (p / "manifest.json").write_text("{"), "not valid JSON"),
    "manifest too deep": (lambda p: (p / "manifest.json").write_text("[" * 10**6), "not valid JSON"),
    "manifest not UTF-8": (lambda p: (p / "manifest.json").write_bytes(b'{"a": "\xff\xfe"}'), "not valid JSON"),
    "manifest with NaN": (lambda p: edit(p, lambda m: m.update(value=math.nan)), "not valid JSON"),
    "manifest too large": (lambda p: os.truncate(p / "manifest.json", files.MANIFEST_LIMIT + 1), "more than the"),
}


@pytest.mark.parametrize(
    ("name", "verify"), [(name, verify) for name in DAMAGE for verify in (True, False) if verify or name != "a flipped bit"]
)
def test_a_damaged_bundle_is_refused_with_its_reason(tmp_path, name, verify):
    """Also without checksums (verify=False), a flipped bit excepted: that is what they are for."""
    save(tmp_path, 1)
    damage, reason = DAMAGE[name]
    damage(tmp_path)
    with pytest.raises(DamagedFileError, match=reason):
        Bundle(tmp_path, KIND, 1, verify).array("numbers.npy", "<i8", (N,))


def test_what_is_no_bundle_is_missing(tmp_path):
    with pytest.raises(MissingFileError, match="there is no directory"):
        Bundle(tmp_path / "nothing", KIND, 1)
    with pytest.raises(MissingFileError, match="no manifest"):
        Bundle(tmp_path, KIND, 1)
    (tmp_path / "notes").write_text("")
    with pytest.raises(MissingFileError, match="is a file"):
        Bundle(tmp_path / "notes", KIND, 1)


def test_a_missing_file_is_a_missing_file_error(tmp_path):
    """Story: MissingFileError is an OSError, and the wrapper that explains OSErrors turned it into a StorageError."""
    with pytest.raises(MissingFileError, match="there is no"):
        read_json(tmp_path / "nothing.json")
    with pytest.raises(MissingFileError, match="there is no"):
        files.read_bytes(tmp_path / "nothing", 10)


BAD_ARRAYS = {
    "empty": b"",
    "another format": b"PK\x03\x04" + bytes(200),
    "no header": b"\x93NUMPY\x01\x00",
    "header cut": b"\x93NUMPY\x01\x00\xff\xff{",
    "version 9": b"\x93NUMPY\x09\x00" + bytes(200),
    "other dtype": npy(npy_header((4,), "<f8"), bytes(32)),
    "other shape": npy(npy_header((2, 2)), bytes(16)),
    "other byte order": npy(npy_header((4,), ">f4"), bytes(16)),
    "turned": npy(npy_header((4,), "<f4", True), bytes(16)),
    "objects": npy(npy_header((4,), "|O"), bytes(32)),
    "too short": npy(npy_header((4,)), bytes(15)),
    "too long": npy(npy_header((4,)), bytes(17)),
    "negative": npy(npy_header((-4,)), bytes(16)),
    "not a dictionary": npy("[1, 2]"),
    "unhashable keys": npy("{[]: 1}"),
    "keys of two kinds": npy("{1: 2, 'shape': 3}"),
    "never closed": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,"),
    "quotes never closed": npy("'''"),
    "deep": npy("-" * 9000 + "1"),
    "many parentheses": npy("(" * 500),
    "a dtype that is no dtype": npy(npy_header((4,), "(1,2"), bytes(16)),
    "Python 2": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4L,)}", bytes(15)),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_a_bad_array_file_is_refused(tmp_path, name):
    """Story: NumPy's parser of headers raises TokenError, TypeError, SyntaxError and MemoryError besides ValueError."""
    path = bundle_of(tmp_path, "a.npy", BAD_ARRAYS[name])
    with pytest.raises(DamagedFileError):
        Bundle(path, KIND, 1).array("a.npy", "<f4", (4,))


GOOD = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
BAD_TENSORS = {
    "empty": b"",
    "seven bytes": b"1234567",
    "header of a terabyte": struct.pack("<Q", 1 << 40) + b"{}",
    "header past the end": struct.pack("<Q", 100) + b"{}",
    "no header": struct.pack("<Q", 0),
    "not JSON": safetensors(b"{", bytes(16)),
    "deep": safetensors(b"[" * 10**6),
    "a list": safetensors([1], bytes(16)),
    "another key": safetensors({"b": GOOD}, bytes(16)),
    "no offsets": safetensors({"a": {"dtype": "F32", "shape": [4]}}, bytes(16)),
    "other dtype": safetensors({"a": GOOD | {"dtype": "F64"}}, bytes(16)),
    "unknown dtype": safetensors({"a": GOOD | {"dtype": "X1"}}, bytes(16)),
    "other shape": safetensors({"a": GOOD | {"shape": [2, 2]}}, bytes(16)),
    "cut": safetensors({"a": GOOD}, bytes(15)),
    "offsets too near": safetensors({"a": GOOD | {"data_offsets": [0, 12]}}, bytes(16)),
    "offsets outside": safetensors({"a": GOOD | {"data_offsets": [16, 32]}}, bytes(16)),
    "offsets before": safetensors({"a": GOOD | {"data_offsets": [-8, 8]}}, bytes(16)),
    "offsets turned": safetensors({"a": GOOD | {"data_offsets": [16, 0]}}, bytes(16)),
    "three offsets": safetensors({"a": GOOD | {"data_offsets": [0, 16, 16]}}, bytes(16)),
    "infinite offsets": safetensors(b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1e999]}}', bytes(16)),
    "infinite shape": safetensors(b'{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 16]}}', bytes(16)),
    "NaN": safetensors(b'{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 16]}}', bytes(16)),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_a_bad_safetensors_file_is_refused(tmp_path, name):
    """Story: a number of 1e999 in the header is infinite, and int(inf) an OverflowError."""
    path = bundle_of(tmp_path, "a.safetensors", BAD_TENSORS[name])
    with pytest.raises(DamagedFileError):
        Bundle(path, KIND, 1).tensors("a.safetensors", {"a": ("<f4", (4,))})


def test_a_promise_of_a_trillion_numbers_takes_no_memory(tmp_path):
    """The header and the caller agree on 10^12 elements; the file has 16 bytes of them."""
    n = 10**12
    array = bundle_of(tmp_path / "a", "a.npy", npy(npy_header((n,)), bytes(16)))
    header = {"a": {"dtype": "F32", "shape": [n], "data_offsets": [0, 4 * n]}}
    tensor = bundle_of(tmp_path / "b", "a.safetensors", safetensors(header, bytes(16)))
    tracemalloc.start()
    try:
        for mmap in (True, False):
            with pytest.raises(DamagedFileError, match="does not hold"):
                Bundle(array, KIND, 1).array("a.npy", "<f4", (n,), mmap)
        with pytest.raises(DamagedFileError, match="does not fit"):
            Bundle(tensor, KIND, 1).tensors("a.safetensors", {"a": ("<f4", (n,))})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20  # bytes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "path", "bytes"]) | st.text(), inner),
    max_leaves=10,
)
NUMBERS = ["0", "-1", "1", "4", "16", "1e999", "-1e999", "NaN", "1" * 400, "true", "null", '"1"', "[]", "{}", "0.5", "1e18"]
numbers = st.lists(st.sampled_from(NUMBERS), max_size=3).map(lambda items: f"[{','.join(items)}]")
odd_tensors = st.builds(
    '{{"a": {{"dtype": {}, "shape": {}, "data_offsets": {}}}}}'.format,
    st.sampled_from(['"F32"', '"I64"', '"BF16"', "[]", "1"]),
    numbers | st.just("[4]"),
    numbers | st.just("[0, 16]"),
)
PIECES = [*"{}()[],-'4L\n", "'descr': ", "'shape': ", "'fortran_order': ", "'<f4'", "False"]
odd_headers = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.builds(
    npy_header, json_values | st.tuples(st.integers()), json_values | st.just("<f4"), json_values | st.just(False)
)


def never_another_error(path: Path) -> None:
    """Reads everything that a bundle can hold; anything but a ThalwegError fails."""
    for verify in (True, False):
        for read in (
            lambda bundle: bundle.array("a.npy", "<f4", (4,)),
            lambda bundle: bundle.array("a.npy", "<f4", (4,), mmap=False),
            lambda bundle: bundle.tensors("a.safetensors", {"a": ("<f4", (4,))}),
            lambda bundle: bundle.json("a.json"),
        ):
            with contextlib.suppress(ThalwegError):
                read(Bundle(path, KIND, 1, verify))


@given(st.binary(max_size=300) | json_values.map(json.dumps).map(str.encode))
def test_no_manifest_raises_anything_but_our_errors(content):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "manifest.json").write_bytes(content)
        never_another_error(Path(folder))


@given(json_values, st.sampled_from(["files", "version", "complete", "entry", "path", "bytes", "sha256"]))
def test_no_value_in_a_manifest_raises_anything_but_our_errors(value, place):
    """The rest of the manifest is right, so the reader gets as far as this value."""
    with tempfile.TemporaryDirectory() as folder:
        path = bundle_of(Path(folder), "a.npy", npy(npy_header((4,)), bytes(16)))
        manifest = json.loads((path / "manifest.json").read_text())
        target = manifest if place in ("files", "version", "complete") else manifest["files"]
        if place == "entry":
            place = "a.npy"
        elif target is manifest["files"]:
            target = target["a.npy"]
        target[place] = value
        (path / "manifest.json").write_text(json.dumps(manifest))
        never_another_error(path)


@given(
    st.binary(max_size=300)
    | odd_headers.map(npy)
    | odd_tensors.map(lambda text: safetensors(text.encode(), bytes(16)))
    | json_values.map(lambda value: safetensors({"a": value}))
    | json_values.map(json.dumps).map(str.encode),
    st.sampled_from(["a.npy", "a.safetensors", "a.json"]),
)
def test_no_content_of_a_file_raises_anything_but_our_errors(content, name):
    """The manifest agrees with the file: a stranger can make both."""
    with tempfile.TemporaryDirectory() as folder:
        never_another_error(bundle_of(Path(folder), name, content))


# ---- sizes


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("1000000", 10**6), ("512M", 512 << 20), ("2G", 2 << 30), ("1.5g", 3 << 29), ("1T", 1 << 40)]
)
def test_a_size_is_a_number_of_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "2GB", "-1", "0", "nan", "inf", "1e999", "two", "0x10", "0.5", "0.0001K"])
def test_what_is_no_size_is_refused(text):
    """A size is at least a byte: '0.5' was read as 0."""
    with pytest.raises(InputError, match="is not a size"):
        parse_size(text)


@given(st.text())
def test_a_size_is_positive_or_refused(text):
    try:
        assert parse_size(text) >= 1
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (123_456, "123 kB"), (1.5e9, "1.5 GB"), (2e12, "2000 GB")],
)
def test_a_number_of_bytes_is_told_in_powers_of_a_thousand(n, text):
    assert size_text(n) == text
