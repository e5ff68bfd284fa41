"""Files that are whole or absent: atomic writes, manifests, bounded reading.

A result is a directory with `manifest.json`, which says what it is and, for a bundle (`thalweg.bundles`), names each of its files.
Everything is written beside what is there and takes its name in one step when it is whole. A reader trusts nothing in a file:
sizes are compared with limits before memory is taken. No pickle, in or out.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from thalweg.errors import DamagedFileError, InputError, MissingFileError, OutputExistsError, StorageError, ThalwegError
from thalweg.version import __version__

MANIFEST = "manifest.json"
MANIFEST_LIMIT = 64 << 20  # bytes
SCRATCH = ".thalweg-"  # prefix of files under way; swept by the next write
LOCK = ".thalweg-lock"  # held by the process that writes a directory


# The four steps of a write that the operating system can refuse, as functions so that tests can make the k-th of them fail.
def _open(path: Path, mode: str) -> IO[bytes]:
    return cast("IO[bytes]", path.open(mode))


def _write(stream: IO[bytes], data: bytes | memoryview) -> None:
    stream.write(data)


def _sync(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _rename(source: Path, target: Path) -> None:
    source.replace(target)


@contextlib.contextmanager
def storage_errors(path: Path, doing: str = "writing") -> Iterator[None]:
    """Turn an OSError into one line that names the file and the remedy."""
    try:
        yield
    except ThalwegError:  # some of ours are OSErrors too
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(existing_parent(path)).free
            msg = f"the disk is full while {doing} {path} ({size_text(free)} left): free some space or choose another place"
        else:
            msg = f"{doing} {path} failed: {error.strerror or error}"
        raise StorageError(msg, error.errno) from error


def existing_parent(path: Path) -> Path:
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


def _sync_directory(path: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot sync a directory
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Writer]:
    """A stream to a new file that takes the name `path` when the block ends without an error; otherwise nothing changed.

    Raises StorageError when the disk is full or the folder cannot be written.
    """
    scratch = path.with_name(f"{SCRATCH}{os.getpid()}-{path.name}")
    with storage_errors(path):
        try:
            with _open(scratch, "wb") as stream:
                yield Writer(stream)
                _sync(stream)
            _rename(scratch, path)
            _sync_directory(path.parent)
        except BaseException:
            remove(scratch)
            raise


class Writer:
    """A binary stream that counts and hashes what goes through it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes | memoryview) -> int:
        for start in range(0, len(data), 1 << 24):  # pieces of 16 MiB keep Ctrl-C prompt
            piece = data[start : start + (1 << 24)]
            _write(self._stream, piece)
            self._hash.update(piece)
        self.bytes += len(data)
        return len(data)

    def rewrite_start(self, data: bytes) -> None:
        """Replace the first bytes (a header that is known at the end only); the hash is made anew from the whole file."""
        self._stream.seek(0)
        _write(self._stream, data)
        self._stream.seek(0, os.SEEK_END)
        self._stream.flush()
        with Path(self._stream.name).open("rb") as whole:
            self._hash = hashlib.file_digest(whole, "sha256")

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def append(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Append to a file of work under way, which no reader trusts before it is whole. Raises StorageError."""
    with storage_errors(path), _open(path, "ab") as out:
        for part in parts:
            _write(out, part)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; lone surrogates (of file names that are no text) as the escapes that JSON has for them."""
    with atomic(path) as out:
        out.write(text.encode("utf-8", "backslashreplace"))


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises MissingFileError, DamagedFileError (too large) or StorageError (not readable).
    """
    with storage_errors(path, "reading"):
        try:
            size = path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            msg = f"there is no {path}"
            raise MissingFileError(msg) from None
        if size > limit:
            msg = f"{path} has {size_text(size)}, more than the {size_text(limit)} that such a file may have"
            raise DamagedFileError(msg)
        return path.read_bytes()


def read_json(path: Path, limit: int = MANIFEST_LIMIT) -> Any:
    """The value in a JSON file of at most `limit` bytes; errors as in read_bytes, DamagedFileError also for bad JSON."""
    data = read_bytes(path, limit)
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        msg = f"{path} is not valid JSON ({error}): the file is damaged or not ours"
        raise DamagedFileError(msg) from None


def _refuse_constant(name: str) -> float:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def check_file(path: Path, overwrite: bool = False) -> None:
    """Refuse, before any work, an output file whose place is taken or not there.

    Raises InputError for "-", OutputExistsError for a file while `overwrite` is False and for what is not a regular file,
    MissingFileError without the folder, StorageError where nothing can be written.
    """
    if str(path) == "-":
        msg = "- is no name for an output file, which is written whole or not at all: give it a name"
        raise InputError(msg)
    if path.exists() and not path.is_file():
        is_folder = path.is_dir()
        msg = f"{path} is {'a folder: give the name of a file in it' if is_folder else 'a device or a pipe: give a regular file'}"
        raise OutputExistsError(msg)
    folder = path.absolute().parent
    if not folder.is_dir():
        msg = f"there is no folder {path.parent} to write {path.name} to: make it first"
        raise MissingFileError(msg)
    if not os.access(folder, os.W_OK):
        msg = f"nothing can be written to {folder}: choose another folder"
        raise StorageError(msg, errno.EACCES)
    if path.exists() and not overwrite:
        msg = f"{path} is there already: choose another name, or replace it with --overwrite (overwrite=True)"
        raise OutputExistsError(msg)


def check_output(path: Path, overwrite: bool = False) -> None:
    """Refuse, before any work, an output directory that is not free.

    Raises OutputExistsError if `path` is a file, holds something while `overwrite` is False, or holds what is not ours
    (no manifest) whatever `overwrite` says; StorageError if it cannot be made there.
    """
    if path.exists() and not path.is_dir():
        msg = f"{path} is a file; the output is a directory"
        raise OutputExistsError(msg)
    content = [p.name for p in path.iterdir() if not p.name.startswith(SCRATCH)] if path.exists() else []
    if content and not manifest_of(path):
        foreign = f"files that thalweg did not write ({min(content)})"
        what = f"a {MANIFEST} that is damaged or another program's" if MANIFEST in content else foreign
        msg = f"{path} is not empty and holds {what}: choose another directory"
        raise OutputExistsError(msg)
    if content and not overwrite and manifest_of(path).get("complete") is False:
        _refuse_held(path)
        msg = f"{path} holds interrupted work: continue it with --resume (resume=True), or begin again with --overwrite"
        raise OutputExistsError(msg)
    if content and not overwrite:
        msg = f"{path} is not empty: choose another directory, or replace what is there with --overwrite (overwrite=True)"
        raise OutputExistsError(msg)
    writable = existing_parent(path)
    if not (writable.is_dir() and os.access(writable, os.W_OK)):
        msg = f"{path} cannot be made: {writable} is not a writable directory"
        raise StorageError(msg, errno.EACCES)


def check_resumable(path: Path, kind: str) -> None:
    """Refuse, before any work, a directory that interrupted work of this kind cannot have been written to.

    Raises as check_output does with `overwrite`, OutputExistsError also for a finished result of another kind.
    """
    check_output(path, overwrite=True)
    found = manifest_of(path).get("format", kind)
    if found != kind:
        msg = f"{path} holds {found!r} and no interrupted work that could be resumed: choose another directory"
        raise OutputExistsError(msg)


def manifest_of(path: Path) -> dict[str, Any]:
    """The manifest of a directory that thalweg wrote; empty for any other (web apps have a manifest.json too)."""
    try:
        manifest = read_json(path / MANIFEST)
    except ThalwegError:
        return {}
    return manifest if isinstance(manifest, dict) and str(manifest.get("format")).startswith("thalweg-") else {}


def write_pages(path: Path, kind: str, version: int, pages: Mapping[str, str], overwrite: bool = False) -> None:
    """Write text files that each stand for themselves, and a manifest that says whose they are; each is replaced atomically.

    Raises as write_bundle does.
    """
    check_output(path, overwrite)
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    if not (path / MANIFEST).exists():  # so that an interrupted writing can be told from a stranger's folder
        write_manifest(path, {"format": kind, "version": version, "pages": []})
    for name, text in pages.items():
        write_text(path / name, text)
    write_manifest(path, {"format": kind, "version": version, "thalweg": __version__, "pages": sorted(pages)})


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a directory for one writer at a time; a lock dies with its process, also by kill -9.

    Raises OutputExistsError if another process holds it. The directory is made, and removed again if nothing came into it.
    """
    made = [path for path in (folder, *folder.absolute().parents) if not path.exists()]  # deepest first
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    file = folder / LOCK
    with storage_errors(file):
        stream = _locked(file)
    try:
        with storage_errors(file):
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
        yield
    finally:
        remove(file)
        with contextlib.suppress(OSError):  # on a full disk the number is still waiting to be written
            stream.close()
        for path in made:
            with contextlib.suppress(OSError):  # it holds something
                path.rmdir()


def _locked(file: Path) -> IO[str]:
    import fcntl

    while True:
        stream = file.open("a+")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with stream:
                stream.seek(0)
                holder = stream.read().strip() or "unknown"
            msg = f"{file.parent} is being written by another thalweg (process {holder}): wait for its end"
            raise OutputExistsError(msg) from None
        except OSError:
            stream.close()
            raise
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                return stream
        stream.close()  # its holder removed it between our opening and our locking


def _refuse_held(folder: Path) -> None:
    """Raise OutputExistsError if a process holds the lock of a directory; a lock that nobody holds stays as it is."""
    if (folder / LOCK).exists():
        with storage_errors(folder / LOCK):
            _locked(folder / LOCK).close()


def claim(path: Path, kind: str, version: int) -> None:
    """Mark a directory as ours before anything of worth is in it, so that after kill -9 it can be told from a stranger's."""
    if not (path / MANIFEST).exists():
        write_manifest(path, {"format": kind, "version": version, "complete": False})


def unclaim(path: Path) -> None:
    """Take the mark of `claim` away again if nothing came of it; a directory with something in it stays marked."""
    for part in list(path.iterdir()) if path.is_dir() else []:
        with contextlib.suppress(OSError):  # not a directory, or not empty
            part.rmdir()
    with contextlib.suppress(OSError):
        rest = {part.name for part in path.iterdir() if part.name != LOCK}
        if rest == {MANIFEST} and manifest_of(path).get("complete") is False:
            remove(path / MANIFEST)


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    write_text(path / MANIFEST, manifest_text(manifest))


def manifest_text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def parse_size(text: str) -> int:
    """Bytes from '512M', '2G', '1.5g' or '1000000' (powers of 1024). Raises InputError."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    number, unit = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 1)
    try:
        size = float(number) * unit
    except ValueError:
        size = math.nan
    if not 1 <= size < math.inf:
        msg = f"{text!r} is not a size: write a number with K, M, G or T, for example 512M or 2G"
        raise InputError(msg)
    return int(size)


def size_text(n: float) -> str:
    """'1.5 GB' from a number of bytes (powers of 1000, as disks are sold)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 999.5 or unit == "GB":
            break
        n /= 1000
    return f"{n:.0f} {unit}" if unit == "bytes" or n >= 100 else f"{n:.1f} {unit}"
