"""Bundles: directories of data files and a manifest that names each with dtype, shape, bytes and SHA-256.

New content is written beside the old under names that are free; renaming the new manifest over the old one is the one moment at
which it becomes the content. An interruption anywhere leaves the old bundle or the new one. A reader compares every promise with
the file's length before memory is taken; arrays are memory-mapped.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import itertools
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from thalweg import files
from thalweg.errors import DamagedFileError, MissingFileError, StorageError, ThalwegError
from thalweg.files import (
    MANIFEST,
    SCRATCH,
    Writer,
    atomic,
    check_output,
    manifest_text,
    read_json,
    storage_errors,
    write_manifest,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class BundleWriter:
    """Collects the files of a bundle; `manifest` takes whatever else should be recorded."""

    def __init__(self, path: Path, kind: str, version: int) -> None:
        self.path = path
        self.manifest: dict[str, Any] = {"format": kind, "version": version, "files": {}}
        self.begun: list[Path] = []  # files that a failure has to take away again

    def array(self, name: str, array: npt.NDArray[Any]) -> None:
        """Write a `.npy` file (little-endian, C order)."""
        import numpy as np

        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        with self._file(name, {"dtype": str(little.dtype), "shape": list(little.shape)}) as out:
            np.lib.format.write_array_header_1_0(cast("Any", out), np.lib.format.header_data_from_array_1_0(little))
            out.write(memoryview(cast("Any", little)).cast("B") if little.size else b"")

    @contextlib.contextmanager
    def growing(self, name: str, dtype: npt.DTypeLike) -> Iterator[Callable[[npt.NDArray[Any]], None]]:
        """A one-dimensional `.npy` file whose length is known at the end: a function that appends arrays to it."""
        import numpy as np

        little = np.dtype(dtype).newbyteorder("<")
        facts: dict[str, object] = {"dtype": str(little)}
        n = 0
        with self._file(name, facts) as out:
            out.write(_npy_header(little, 0))

            def append(part: npt.NDArray[Any]) -> None:
                nonlocal n
                out.write(memoryview(cast("Any", np.ascontiguousarray(part, little))).cast("B") if len(part) else b"")
                n += len(part)

            yield append
            out.rewrite_start(_npy_header(little, n))  # as long as the first: NumPy leaves room for the number
            facts["shape"] = [n]

    def json(self, name: str, value: object) -> None:
        """Write a JSON file."""
        with self._file(name, {}) as out:
            out.write(json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace"))

    def tensors(self, name: str, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write a safetensors file (little-endian, C order: the format's library writes memory as it lies)."""
        import numpy as np
        from safetensors.numpy import save

        tensors = {key: np.ascontiguousarray(value, value.dtype.newbyteorder("<")) for key, value in tensors.items()}
        with self._file(name, {"tensors": {key: list(value.shape) for key, value in tensors.items()}}) as out:
            out.write(save(tensors))

    @contextlib.contextmanager
    def _file(self, name: str, facts: dict[str, object]) -> Iterator[Writer]:
        target = self.path / _free_name(self.path, name)
        self.begun.append(target)
        with atomic(target) as out:
            yield out
        self.manifest["files"][name] = {"path": target.name, "bytes": out.bytes, "sha256": out.sha256, **facts}


def _npy_header(dtype: np.dtype[Any], n: int) -> bytes:
    import io

    import numpy as np

    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": dtype.str, "fortran_order": False, "shape": (n,)})
    return out.getvalue()


def _generations(folder: Path, name: str) -> list[Path]:
    """The files `vectors.safetensors`, `vectors.2.safetensors`, ... that a bundle's file of that name may be stored in."""
    stem, dot, suffix = name.partition(".")
    return [p for p in folder.glob(f"{stem}.*") if p.name == name or re.fullmatch(rf"\d+{dot}{suffix}", p.name[len(stem) + 1 :])]


def _free_name(folder: Path, name: str) -> str:
    """The first of these names that is free: the file that an older manifest names must stay as it is."""
    taken = {path.name for path in _generations(folder, name)}
    stem, dot, suffix = name.partition(".")
    names = itertools.chain([name], (f"{stem}.{k}{dot}{suffix}" for k in itertools.count(2)))
    return next(candidate for candidate in names if candidate not in taken)


@contextlib.contextmanager
def write_bundle(path: Path, kind: str, version: int, overwrite: bool = False) -> Iterator[BundleWriter]:
    """Write a bundle to `path`: all of it appears when the block ends, or none of it.

    Raises OutputExistsError as check_output does, StorageError when the disk is full; the former content then stands.
    """
    check_output(path, overwrite)
    fresh = not (path / MANIFEST).exists()
    made = [folder for folder in (path, *path.absolute().parents) if not folder.exists()]  # deepest first
    writer = BundleWriter(path, kind, version)
    try:
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        if fresh:  # after kill -9 the directory can still be told from a stranger's
            write_manifest(path, {"format": kind, "version": version, "complete": False})
        yield writer
        write_manifest(path, writer.manifest)
    except BaseException:
        if _stands(path, writer.manifest):  # interrupted after the new manifest had taken its name: these files are its own
            raise
        for file in writer.begun:
            files.remove(file)
        if fresh:
            files.remove(path / MANIFEST)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    _sweep(path, writer.manifest)
    _take_plain_names(path, writer.manifest)


def _sweep(path: Path, manifest: dict[str, Any]) -> None:
    """Remove what older bundles and interrupted writes left under the names of this one."""
    stored = {entry["path"] for entry in manifest["files"].values()}
    for name in manifest["files"]:
        for file in _generations(path, name):
            if file.name not in stored:
                files.remove(file)
    for scratch in path.glob(f"{SCRATCH}*"):
        if scratch.name != files.LOCK:
            files.remove(scratch)


def _take_plain_names(path: Path, manifest: dict[str, Any]) -> None:
    """After an overwriting, give the new files the plain names, which are free now: a second name, the manifest, the first gone.

    Where this fails (no hard links, a full disk) the numbered names do as well.
    """
    entries = dict(manifest["files"])
    with contextlib.suppress(OSError):
        for name, entry in manifest["files"].items():
            if entry["path"] != name:
                os.link(path / entry["path"], path / name)
                entries[name] = entry | {"path": name}
    renamed = [name for name, entry in entries.items() if entry is not manifest["files"][name]]
    if not renamed:
        return
    plain = manifest | {"files": entries}
    try:
        write_manifest(path, plain)
    except StorageError:
        for name in renamed:
            files.remove(path / name)
    else:
        _sweep(path, plain)


def _stands(path: Path, manifest: dict[str, Any]) -> bool:
    try:
        return bool(read_json(path / MANIFEST) == json.loads(manifest_text(manifest)))
    except (ThalwegError, ValueError, TypeError):
        return False


class Bundle:
    """An opened bundle. Each file is checked against the manifest (length, SHA-256) before it is used.

    verify: whether checksums are compared, which reads every byte; a number of bytes: of files up to that size.
    """

    def __init__(self, path: Path, kind: str, version: int, verify: bool | int = True) -> None:
        """Open `path`.

        Raises MissingFileError if there is no bundle, DamagedFileError if it is another kind, a newer version, or damaged.
        """
        self.path = path
        self.verify = verify
        if not path.is_dir():
            msg = f"there is no directory {path}" if not path.exists() else f"{path} is a file, not a directory made by thalweg"
            raise MissingFileError(msg)
        if not (path / MANIFEST).exists():
            msg = f"{path} has no {MANIFEST}: it is not a directory made by thalweg, or its making was interrupted"
            raise MissingFileError(msg)
        self.manifest = read_json(path / MANIFEST)
        if not isinstance(self.manifest, dict) or self.manifest.get("format") != kind:
            found = self.manifest.get("format") if isinstance(self.manifest, dict) else None
            msg = f"{path} holds {found!r}, where {kind!r} was expected"
            raise DamagedFileError(msg)
        if self.manifest.get("complete") is False:
            msg = f"{path} is incomplete, its making was interrupted: make it again with --overwrite"
            raise DamagedFileError(msg)
        if not isinstance(self.manifest.get("version"), int) or self.manifest["version"] > version:
            msg = f"{path} has version {self.manifest.get('version')!r} of {kind}; this thalweg reads up to {version}: upgrade"
            raise DamagedFileError(msg)

    def file(self, name: str) -> Path:
        """The path of a file of the bundle, after comparing its length (and SHA-256, with `verify`) with the manifest."""
        listed = self.manifest.get("files")
        entry = listed.get(name) if isinstance(listed, dict) else None
        stored = entry.get("path") if isinstance(entry, dict) else None
        outside = not isinstance(stored, str) or Path(stored).name != stored or "\0" in stored or len(stored) > 255
        if not isinstance(entry, dict) or not isinstance(stored, str) or outside:  # a manifest may not point outside its folder
            msg = f"{self.path / MANIFEST} does not name {name}: the directory is damaged"
            raise DamagedFileError(msg)
        path = self.path / stored
        with storage_errors(path, "reading"):
            size = path.stat().st_size if path.is_file() else None
            if size is None or size != entry.get("bytes"):
                is_there = "is missing" if size is None else f"has {size} bytes where its manifest says {entry.get('bytes')}"
                msg = f"{path} {is_there}: the copy is damaged or incomplete"
                raise DamagedFileError(msg)
            verified = self.verify if isinstance(self.verify, bool) else size <= self.verify
            if verified and _sha256(path) != entry.get("sha256"):
                msg = f"{path} does not have the checksum of its manifest: it was changed or damaged"
                raise DamagedFileError(msg)
        return path

    def json(self, name: str) -> Any:
        """The value of a JSON file of the bundle."""
        path = self.file(name)
        return read_json(path, limit=path.stat().st_size)

    def array(self, name: str, dtype: str, shape: tuple[int, ...], mmap: bool = True) -> npt.NDArray[Any]:
        """An array of the bundle, memory-mapped; DamagedFileError unless it has this dtype and shape."""
        import numpy as np

        path = self.file(name)
        want = np.dtype(dtype)
        offset = _npy_data(path, want, shape)
        if path.stat().st_size != offset + math.prod(shape) * want.itemsize:
            msg = f"{path} does not hold the array that its header promises"
            raise DamagedFileError(msg)
        if math.prod(shape) == 0:
            return np.zeros(shape, want)
        return np.memmap(path, want, "r", offset, shape) if mmap else np.fromfile(path, want, offset=offset).reshape(shape)

    def tensors(self, name: str, expected: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, npt.NDArray[Any]]:
        """The named tensors of a safetensors file, memory-mapped; DamagedFileError unless dtypes and shapes are as expected."""
        path = self.file(name)
        return {key: _tensor(path, key, *facts) for key, facts in expected.items()}


def _npy_data(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Where the numbers of a `.npy` file begin, whose header must promise this dtype and shape in C order.

    NumPy's own reader of headers meets damaged ones with half a dozen kinds of exceptions, and needs to know nothing here.
    """
    with path.open("rb") as stream:
        start = stream.read(10)
        length = int.from_bytes(start[8:], "little")
        header = stream.read(min(length, 4096))
    if start[:8] != b"\x93NUMPY\x01\x00" or len(header) != length:
        msg = f"{path} is not a .npy file of version 1.0"
        raise DamagedFileError(msg)
    try:
        promise = ast.literal_eval(header.decode("latin-1").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        msg = f"{path} has a damaged header ({error.__class__.__name__})"
        raise DamagedFileError(msg) from None
    want = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    if promise != want:
        msg = f"{path} promises {str(promise)[:200]} where {want} was expected"
        raise DamagedFileError(msg)
    return 10 + length


def _tensor(path: Path, key: str, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """One tensor of a safetensors file as a memory map (the format: 8 bytes header length, JSON header, data)."""
    import numpy as np

    numpy_names = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U64": "<u8"}
    size = path.stat().st_size
    with path.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if header_bytes > min(size - 8, 100 << 20):
            msg = f"{path} is not a safetensors file: its header would have {header_bytes} bytes"
            raise DamagedFileError(msg)
        try:
            entry = json.loads(stream.read(header_bytes))[key]
            first, last = (int(offset) for offset in entry["data_offsets"])
            found = np.dtype(numpy_names[entry["dtype"]]), tuple(int(n) for n in entry["shape"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            msg = f"{path} has no usable tensor {key!r} ({error.__class__.__name__})"
            raise DamagedFileError(msg) from None
    if found != (np.dtype(dtype), shape):
        msg = f"{path}: the tensor {key!r} is {found[0]} {found[1]} where {dtype} {shape} was expected"
        raise DamagedFileError(msg)
    start = 8 + header_bytes + first
    if first < 0 or last - first != math.prod(shape) * found[0].itemsize or 8 + header_bytes + last > size:
        msg = f"{path}: the tensor {key!r} does not fit into the file"
        raise DamagedFileError(msg)
    return np.memmap(path, found[0], "r", start, shape) if math.prod(shape) else np.zeros(shape, found[0])


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
