"""Long work in a directory: one writer at a time, resumed where it stood, never mistaken for a stranger's or for finished.

    with Workplace(out, "thalweg-words", 1, resume=resume, overwrite=overwrite) as place:
        done = place.finished(mark, load, "vectors of other texts")   # of this very job: there is nothing to do
        checkpoints = place.checkpoints(mark)              # state = checkpoints.load(); checkpoints(state, path)
        ...                                                # write the result, as a bundle of that kind

A directory is locked while it is written to, and marked as ours before anything of worth is in it. `mark` is a hash of all that the
result depends on: what is found is used only if it has the same. While other work replaces a finished result, that stays readable
beside a note, `.thalweg-replacing`, so that an interruption can be resumed. After an error an empty directory is left as it was.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from thalweg.bundles import Bundle, write_bundle
from thalweg.errors import DamagedFileError, MissingFileError, OutputExistsError, ThalwegError
from thalweg.files import SCRATCH, check_output, check_resumable, claim, lock, manifest_of, remove, unclaim, write_text

REPLACING = f"{SCRATCH}replacing"
KIND = "thalweg-checkpoint"
VERSION = 1
SECONDS = 30.0  # between two checkpoints: writing one takes a fraction of a second

State = dict[str, npt.NDArray[Any]]
Parts = list[dict[str, float]]
T = TypeVar("T")


class Workplace:
    """A directory that a result of some kind is made in. A context manager: what it holds is locked until the end.

    resume: go on with what is there; overwrite: replace a finished result. Constructing one raises OutputExistsError or
    StorageError for a directory that is not free (`thalweg.files.check_output`, `check_resumable`), entering it OutputExistsError
    if another process works there.
    """

    def __init__(self, path: Path, kind: str, version: int = 1, *, resume: bool = False, overwrite: bool = False) -> None:
        self.path = path
        self.kind = kind
        self.version = version
        self.resume = resume
        self._held = contextlib.ExitStack()
        check_resumable(path, kind) if resume else check_output(path, overwrite)

    def __enter__(self) -> Self:
        self._held.enter_context(lock(self.path))
        with contextlib.ExitStack() as failed:
            failed.push(self._held)
            claim(self.path, self.kind, self.version)
            if not self.resume and is_whole(self.path):
                write_text(self.path / REPLACING, "what is here is being replaced\n")
            failed.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            remove(self.path / REPLACING)
        else:
            unclaim(self.path)
        self._held.close()

    def finished(self, mark: str, load: Callable[[], tuple[T, str | None]], what: str) -> T | None:
        """The finished result if it is of this job, None if there is none, or one that was being replaced.

        load: reads it, with its mark. Raises OutputExistsError for the finished result of another job, which `what` names.
        """
        try:
            done, found = load()
        except ThalwegError:
            return None
        if found == mark:
            return done
        if (self.path / REPLACING).exists():
            return None
        msg = f"{self.path} holds finished {what}: nothing to resume; replace them with --overwrite"
        raise OutputExistsError(msg)

    def checkpoints(self, mark: str) -> Checkpoints:
        """The checkpoints of a job here; those of an earlier one are dropped unless it is resumed."""
        found = Checkpoints(self.path / "checkpoint", mark)
        if not self.resume:
            found.drop()
        return found


class Checkpoints:
    """What a job needs to go on where it stood: arrays and numbers, written now and then. `mark` tells it from other jobs."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.folder = folder
        self.mark = mark
        self._last = time.monotonic()

    def __call__(self, state: State, path: Parts) -> None:
        """Write a checkpoint if the last one is old enough. Raises StorageError."""
        if time.monotonic() - self._last < SECONDS:
            return
        with write_bundle(self.folder, KIND, VERSION, overwrite=True) as bundle:
            bundle.tensors("state.safetensors", state)
            facts = {name: [array.dtype.str, list(array.shape)] for name, array in state.items()}
            bundle.manifest |= {"mark": self.mark, "path": path, "state": facts}
        self._last = time.monotonic()

    def load(self) -> tuple[State, Parts] | None:
        """The last checkpoint of this job; None if there is none that is whole."""
        try:
            bundle = Bundle(self.folder, KIND, VERSION)
            if bundle.manifest.get("mark") != self.mark:
                return None
            facts = {name: (dtype, tuple(shape)) for name, (dtype, shape) in bundle.manifest["state"].items()}
            state = {name: np.array(array) for name, array in bundle.tensors("state.safetensors", facts).items()}
            return state, bundle.manifest["path"]
        except (MissingFileError, DamagedFileError, KeyError, TypeError, ValueError, AttributeError):
            return None

    def drop(self) -> None:
        """Forget them: the result is there, or other work begins."""
        shutil.rmtree(self.folder, ignore_errors=True)


def is_whole(path: Path) -> bool:
    """Whether a directory holds a finished result of ours, even one that is being replaced."""
    manifest = manifest_of(path)
    return bool(manifest) and manifest.get("complete") is not False


def is_finished(path: Path) -> bool:
    """Whether a directory holds a finished result that nobody began to replace."""
    return is_whole(path) and not (path / REPLACING).exists()
