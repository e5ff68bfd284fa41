"""Word vectors on disk: a bundle of open files, memory-mapped when read.

DIR/manifest.json        what made them, the energy path, and for each file dtype, shape, bytes and SHA-256
DIR/vectors.safetensors  word and, unless shared, context (n_words, dim) float32; spectrum (dim,) float64
DIR/subwords.safetensors  letters (n_words, width) float16, what their letters predict of the words; keys (n_grams,) uint64 and
                         vectors (n_grams, width) float16, what predicts it (`subwords`); width 2 dim, shared: dim
DIR/vocab.json           the words; word_counts.npy (n_words,) int64 where they are known
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from thalweg.bundles import Bundle, write_bundle
from thalweg.errors import DamagedFileError
from thalweg.files import manifest_of
from thalweg.threads import blocks
from thalweg.words.solving.settings import OUTPUTS
from thalweg.words.vectors.readout import Readout
from thalweg.words.vectors.subwords import Subwords

V = TypeVar("V", bound=Readout)
KIND = "thalweg-words"
VERSION = 1
COUNTS = "thalweg-counts"  # what may be given by mistake


def save(vectors: Readout, path: Path, overwrite: bool = False) -> None:
    """Write a bundle. Raises OutputExistsError or StorageError; then nothing changed."""
    tensors: dict[str, npt.NDArray[Any]] = {"word": vectors.word, "spectrum": vectors.spectrum}
    if not vectors.shared:
        tensors["context"] = vectors.context
    with write_bundle(path, KIND, VERSION, overwrite) as bundle:
        bundle.json("vocab.json", vectors.words)
        if vectors.has_counts:
            bundle.array("word_counts.npy", np.asarray(vectors.counts, np.int64))
        bundle.tensors("vectors.safetensors", tensors)
        if vectors.letters is not None and vectors.ngrams is not None:
            grams = vectors.ngrams
            bundle.tensors("subwords.safetensors", {"letters": vectors.letters, "keys": grams.keys, "vectors": grams.vectors})
            bundle.manifest["n_grams"] = len(grams.keys)
        bundle.manifest |= {
            "n_words": len(vectors),
            "dim": vectors.dim,
            "model": "shared" if vectors.shared else "two-sided",
            "output": vectors.output,
            "power": vectors.power,
            "subwords": vectors.subwords,
            "energy_path": vectors.energy_path,
            "info": vectors.info,
        }


def load(kind: type[V], path: Path, verify: bool | int = True) -> V:
    """Open a bundle as vectors of a kind. Raises MissingFileError; DamagedFileError for what is not as the manifest promises."""
    if manifest_of(path).get("format") == COUNTS:
        msg = f"{path} holds {COUNTS!r}: these are counts; make vectors of them with thalweg words solve"
        raise DamagedFileError(msg)
    bundle = Bundle(path, KIND, VERSION, verify)
    facts = bundle.manifest
    n_words, dim = facts.get("n_words"), facts.get("dim")
    if not (isinstance(n_words, int) and isinstance(dim, int) and 1 <= n_words < 1 << 31 and 1 <= dim <= 1 << 16):
        msg = f"{path} promises {n_words!r} words of {dim!r} dimensions: its manifest is damaged"
        raise DamagedFileError(msg)
    words = bundle.json("vocab.json")
    if not isinstance(words, list) or len(words) != n_words or not all(isinstance(word, str) for word in words):
        msg = f"{path / 'vocab.json'} is not a list of {n_words} words"
        raise DamagedFileError(msg)
    shapes = {"word": ("<f4", (n_words, dim)), "context": ("<f4", (n_words, dim)), "spectrum": ("<f8", (dim,))}
    if facts.get("model") == "shared":
        del shapes["context"]
    tensors = bundle.tensors("vectors.safetensors", shapes)
    letters, ngrams = _subwords(bundle, n_words, dim if "context" not in shapes else 2 * dim)
    checked = tensors | ({} if ngrams is None or letters is None else {"letters": letters, "n-grams": ngrams.vectors})
    for key, tensor in checked.items():
        if not all(np.isfinite(tensor[first:last]).all() for first, last in blocks(len(tensor), 1 << 16)):
            msg = f"{path}: the tensor {key!r} holds values that are not finite"
            raise DamagedFileError(msg)
    has_counts = "word_counts.npy" in facts.get("files", {})
    counts = bundle.array("word_counts.npy", "<i8", (n_words,)) if has_counts else None
    energies, info = facts.get("energy_path", []), facts.get("info", {})
    output, power, subwords = facts.get("output"), facts.get("power", 0.5), facts.get("subwords", 1.0)
    numbers = all(isinstance(number, (int, float)) and np.isfinite(number) for number in (power, subwords))
    sound = isinstance(info, dict) and isinstance(energies, list) and numbers and subwords >= 0
    if not sound or output not in (None, *OUTPUTS):
        msg = f"{path}: the manifest is damaged"
        raise DamagedFileError(msg)
    found = kind(
        words, counts, **tensors, energy_path=energies, info=info, name=str(path), output=output, power=float(power),
        letters=letters, ngrams=ngrams, subwords=float(subwords),
    )  # fmt: skip
    found.folder = path  # the counts of the fit, if they were kept, lie in its `counts/`
    return found


def _subwords(bundle: Bundle, n_words: int, width: int) -> tuple[npt.NDArray[np.float16] | None, Subwords | None]:
    """What letters say, if the bundle has it."""
    if "subwords.safetensors" not in bundle.manifest.get("files", {}):
        return None, None
    n = bundle.manifest.get("n_grams")
    if not (isinstance(n, int) and 0 <= n < 1 << 31):
        msg = f"{bundle.path} promises {n!r} n-grams: its manifest is damaged"
        raise DamagedFileError(msg)
    shapes = {"letters": ("<f2", (n_words, width)), "keys": ("<u8", (n,)), "vectors": ("<f2", (n, width))}
    found = bundle.tensors("subwords.safetensors", shapes)
    return found["letters"], Subwords(found["keys"], found["vectors"])


__all__ = ["load", "save"]
