"""What a solver needs to go on where it stood: its arrays and the path of J, written now and then while it runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.bundles import Bundle, write_bundle
from thalweg.errors import DamagedFileError, MissingFileError

KIND = "thalweg-checkpoint"
VERSION = 1
SECONDS = 30.0  # between two checkpoints: writing one takes a fraction of a second

State = dict[str, npt.NDArray[Any]]
Parts = list[dict[str, float]]


class Checkpoints:
    """Checkpoints in a directory, of one job: `mark` tells it from others."""

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
