"""Vectors to files and back: bit for bit, memory-mapped, and checked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from thalweg.errors import DamagedFileError, MissingFileError, OutputExistsError
from thalweg.words import WordVectors

WORDS = ["the", "飞机", "C++", "\x1b[31m", '"', "\u202e", "é" * 500, "𠀀"]
FILES = ["manifest.json", "vectors.safetensors", "vocab.json", "word_counts.npy"]


def vectors(seed: int = 0, words: list[str] = WORDS, dim: int = 5) -> WordVectors:
    rng = np.random.default_rng(seed)
    u, k = rng.standard_normal((2, len(words), dim)).astype(np.float32)
    u.flat[:3] = [-0.0, np.float32(1e-45), np.finfo(np.float32).tiny]
    counts = np.array([2**62, *range(len(words) - 1, 0, -1)])
    return WordVectors(
        words, counts, u, k, rng.random(dim), energy_path=[3.0, 0.1 + 0.2, 1e-300], info={"language": "zh", "seconds": {"x": 1.5}}
    )


def same(one: WordVectors, other: WordVectors) -> bool:
    arrays = ("counts", "word", "context", "spectrum")
    assert (one.words, one.energy_path, one.info) == (other.words, other.energy_path, other.info)
    for name in arrays:
        a, b = getattr(one, name), getattr(other, name)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return True


def test_what_is_loaded_is_what_was_saved_bit_for_bit(tmp_path: Path) -> None:
    made = vectors()
    made.save(tmp_path / "new" / "vec")
    loaded = WordVectors.load(tmp_path / "new" / "vec")
    assert same(loaded, made)
    assert loaded.name == str(tmp_path / "new" / "vec")
    assert loaded.similar("飞机") == made.similar("飞机")
    assert sorted(p.name for p in (tmp_path / "new" / "vec").iterdir()) == FILES


def test_loaded_arrays_are_memory_mapped_and_read_only(tmp_path: Path) -> None:
    vectors().save(tmp_path / "vec")
    loaded = WordVectors.load(tmp_path / "vec")
    for array in (loaded.word, loaded.context, loaded.spectrum, loaded.counts):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


def test_the_same_vectors_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        vectors().save(tmp_path / name)
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_other_libraries_read_the_files(tmp_path: Path) -> None:
    """safetensors, NumPy and JSON, without pickle."""
    from safetensors.numpy import load_file

    made = vectors()
    made.save(tmp_path)
    tensors = load_file(tmp_path / "vectors.safetensors")
    assert {key: value.tobytes() for key, value in tensors.items()} == {
        "word": made.word.tobytes(),
        "context": made.context.tobytes(),
        "spectrum": made.spectrum.tobytes(),
    }
    assert np.load(tmp_path / "word_counts.npy", allow_pickle=False).tolist() == made.counts.tolist()
    assert json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8")) == WORDS
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["format"], manifest["version"], manifest["n_words"], manifest["dim"]) == ("thalweg-words", 1, len(WORDS), 5)
    assert {name: entry["bytes"] for name, entry in manifest["files"].items()} == {
        name: (tmp_path / name).stat().st_size for name in FILES if name != "manifest.json"
    }


@pytest.mark.parametrize("order", ["F", "big", "strided"])
def test_arrays_of_any_layout_are_saved_alike(tmp_path: Path, order: str) -> None:
    made = vectors()
    plain = vectors()
    if order == "F":
        made.word = np.asfortranarray(made.word)
    elif order == "big":
        made.counts = made.counts.astype(">i8")
    else:
        wide = np.zeros((len(WORDS), 12), np.float32)
        wide[:, ::2][:, :5] = made.context
        made.context = wide[:, ::2][:, :5]
    made.save(tmp_path / "vec")
    assert same(WordVectors.load(tmp_path / "vec"), plain)


def test_what_was_loaded_can_be_saved_over_its_own_files(tmp_path: Path) -> None:
    """The old files are still mapped while the new ones are written."""
    vectors(1).save(tmp_path / "vec")
    for _ in range(3):
        loaded = WordVectors.load(tmp_path / "vec")
        loaded.save(tmp_path / "vec", overwrite=True)
        assert same(loaded, vectors(1))
        assert same(WordVectors.load(tmp_path / "vec"), vectors(1))
        assert len(list((tmp_path / "vec").iterdir())) == len(FILES)


def test_overwriting_replaces_everything(tmp_path: Path) -> None:
    vectors(1).save(tmp_path / "vec")
    vectors(2, ["a", "b"], dim=1).save(tmp_path / "vec", overwrite=True)
    assert same(WordVectors.load(tmp_path / "vec"), vectors(2, ["a", "b"], dim=1))


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    vectors(1).save(tmp_path / "vec")
    with pytest.raises(OutputExistsError, match="is not empty"):
        vectors(2).save(tmp_path / "vec")
    assert same(WordVectors.load(tmp_path / "vec"), vectors(1))


def test_a_folder_that_is_no_bundle_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="there is no directory"):
        WordVectors.load(tmp_path / "nowhere")
    with pytest.raises(MissingFileError, match=r"has no manifest\.json"):
        WordVectors.load(tmp_path)


def test_without_verify_only_sizes_are_compared(tmp_path: Path) -> None:
    """verify=False opens without reading every byte; a changed byte then goes unseen, a changed length does not."""
    vectors().save(tmp_path)
    path = tmp_path / "vectors.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    WordVectors.load(tmp_path, verify=False)
    with pytest.raises(DamagedFileError, match="does not have the checksum"):
        WordVectors.load(tmp_path)
    path.write_bytes(data + b"x")
    with pytest.raises(DamagedFileError, match="bytes where its manifest says"):
        WordVectors.load(tmp_path, verify=False)


def test_a_newer_version_asks_for_an_upgrade(tmp_path: Path) -> None:
    vectors().save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"version": 2}))
    with pytest.raises(DamagedFileError, match="has version 2 of thalweg-words; this thalweg reads up to 1: upgrade"):
        WordVectors.load(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"format": "thalweg-counts"}))
    with pytest.raises(DamagedFileError, match="these are counts; make vectors of them with thalweg words solve"):
        WordVectors.load(tmp_path)
