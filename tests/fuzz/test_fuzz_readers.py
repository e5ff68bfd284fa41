"""Every reader of files from strangers: finite vectors of the promised shape, or a ThalwegError; never more memory than is there.

Valid files of every format are damaged by flipping, cutting, inserting, doubling and changing numbers in their text. The ordinary
run is the same each time and takes a few seconds; `make fuzz` tries 50 times the examples, new ones each time, and
THALWEG_FUZZ_SECONDS sets for how long each test goes on with random files after that. A bug that is found becomes a test in
tests/doors.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import re
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from thalweg.errors import ThalwegError, visible
from thalweg.words import WordVectors, formats, read

SECONDS = float(os.environ.get("THALWEG_FUZZ_SECONDS", "0"))
ROOM = 24 << 20  # bytes that a reader may take for files of some hundred bytes: its buffers
WORDS = ["the", "机场", "</s>", ". . .", "C++", "\u202e"]
NUMBERS = np.random.default_rng(0).standard_normal((6, 4)).astype("<f4")
BLANK = re.compile(r"[ \t\n\r\x0b\x0c]")
BUNDLE = ("manifest.json", "vectors.safetensors", "vocab.json", "word_counts.npy")
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
INTERESTING = [
    b"\0",
    b"\n",
    b" ",
    b"\xff",
    b"-",
    b"1e999",
    b"nan",
    b"inf",
    b"9" * 20,
    b"-1",
    b"0",
    b"\xef\xbb\xbf",
    b"[[[[",
    b'"',
    b"{",
    b"}",
]
INTERESTING += [
    b"\xff" * 4,
    b"\xff" * 8,
    b"\0" * 8,
    b"\x7f\xff\xff\xff",
    b"PK\x03\x04",
    b"\x93NUMPY",
    b"\\ud800",
    b"null",
    b"1" * 5000,
]


def made(words: list[str] = WORDS) -> WordVectors:
    return WordVectors(words, np.arange(len(words), 0, -1), NUMBERS[: len(words)])


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A file of every format, plain and compressed, and some that only other programs write."""
    folder = tmp_path_factory.mktemp("valid")
    plain = [word for word in WORDS if " " not in word]
    files = {}
    for format in formats.FORMATS:
        made(plain if format in ("word2vec", "word2vec-bin", "glove") else WORDS).export(folder / format, format)
        files[format] = (folder / format).read_bytes()
    files["glove"] += b". . . 1 2 3 4\nthe 4 3 2 1\nx\xff 1e-3 .5 5. -0\r\n"
    members = {"words.npy": npy(np.array([word.encode() for word in WORDS])), "vectors.npy": npy(np.asfortranarray(NUMBERS, ">f8"))}
    files["npz-compressed"] = archive_of(members, zipfile.ZIP_DEFLATED)
    header = {"__metadata__": {"words": json.dumps(WORDS)}, "w": {"dtype": "BF16", "shape": [6, 4], "data_offsets": [0, 48]}}
    text = json.dumps(header).encode()
    files["safetensors-bf16"] = len(text).to_bytes(8, "little") + text + (NUMBERS.view("<u4") >> 16).astype("<u2").tobytes()
    return files | {f"{name}.{suffix}": pack(files[name]) for name in formats.FORMATS for suffix, pack in COMPRESSIONS.items()}


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive_of(members: dict[str, bytes], method: int) -> bytes:
    """A zip archive without the time of day."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return stream.getvalue()


def damaged(data: bytes, chance: random.Random) -> bytes:
    """A few changes of the kinds that files suffer, and that an attacker would try."""
    found = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 8])):
        place = chance.randrange(len(found) + 1)
        end = min(len(found), place + chance.choice([1, 2, 4, 16, 100]))
        match chance.randrange(8):
            case 0 if place < len(found):
                found[place] ^= 1 << chance.randrange(8)
            case 1 if place < len(found):
                found[place] = chance.randrange(256)
            case 2:
                del found[place:]
            case 3:
                del found[place:end]
            case 4:
                found[place:place] = found[place:end] * chance.choice([1, 2, 50])
            case 5:
                found[place:place] = chance.choice(INTERESTING)
            case 6:
                found[place:end] = chance.choice(INTERESTING)
            case 7 if digits := [k for k, byte in enumerate(found[:4000]) if 48 <= byte <= 57]:
                k = chance.choice(digits)
                found[k : k + 1] = chance.choice([b"0", b"9", b"99999999999", b"-1", b"", b"1.5", b"65537"])
    return bytes(found)


def claim(reader: Callable[[], object], limit: int = ROOM) -> object:
    """What a reader gives, or None for a ThalwegError of one line; anything else it raises is a bug, and so is more memory."""
    tracemalloc.start()
    try:
        return reader()
    except ThalwegError as error:
        text = str(error)
        assert visible(text) == text
        assert len(text) < 3000
        return None
    finally:
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken < limit, f"{taken:,} bytes"


def sound(vectors: object) -> None:
    if vectors is None:
        return
    assert isinstance(vectors, WordVectors)
    assert vectors.word.shape == (len(vectors.words), vectors.dim)
    assert vectors.word.dtype == np.float32
    assert len(vectors) >= 1 <= vectors.dim
    assert np.isfinite(vectors.word).all()
    assert all(isinstance(word, str) for word in vectors.words)


FUZZED = settings(max_examples=max(1, settings().max_examples * 4), suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**63)


def check_file(path: Path, data: bytes, seed: int) -> None:
    """A damaged file, read as what it looks like or as any of the formats, with values that are not finite or without."""
    chance = random.Random(seed)
    path.write_bytes(data)
    format = chance.choice([None, None, *formats.FORMATS])
    sound(claim(lambda: WordVectors.read(path, format, allow_nonfinite=chance.random() < 0.5)))


def for_seconds(check: Callable[[int], None]) -> None:
    """Go on with random numbers for as long as THALWEG_FUZZ_SECONDS says; a failure shows the number."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        seed = random.SystemRandom().randrange(2**63)
        try:
            check(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_a_damaged_file_of_vectors_gives_finite_vectors_or_one_line(tmp_path: Path, valid: dict[str, bytes]) -> None:
    names = sorted(valid)

    def check(seed: int) -> None:
        chance = random.Random(seed)
        check_file(tmp_path / "file", damaged(valid[chance.choice(names)], chance), seed)

    FUZZED(given(SEEDS)(check))()
    for_seconds(check)


def test_a_sound_container_with_damaged_content_gives_finite_vectors_or_one_line(tmp_path: Path, valid: dict[str, bytes]) -> None:
    """Behind a right checksum, as an attacker would write it: compressed text, members of an archive."""
    with zipfile.ZipFile(io.BytesIO(valid["npz"])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def check(seed: int) -> None:
        chance = random.Random(seed)
        if chance.random() < 0.5:
            name = chance.choice(["word2vec", "word2vec-bin", "glove", "safetensors", "safetensors-bf16"])
            data = COMPRESSIONS[chance.choice(["gz", "gz", "bz2", "xz"])](damaged(valid[name], chance))
        else:
            changed = {name: damaged(data, chance) if chance.random() < 0.7 else data for name, data in members.items()}
            data = archive_of(changed, chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
        check_file(tmp_path / "file", data, seed)

    FUZZED(given(SEEDS)(check))()
    for_seconds(check)


def test_a_damaged_directory_of_vectors_is_opened_whole_or_not_at_all(tmp_path: Path) -> None:
    """Any of its files, with a manifest that vouches for it or without."""
    made().save(tmp_path / "vec")
    content = {name: (tmp_path / "vec" / name).read_bytes() for name in BUNDLE}

    def check(seed: int) -> None:
        chance = random.Random(seed)
        name = chance.choice(BUNDLE)
        data = damaged(content[name], chance)
        files = content | {name: data}
        if name != "manifest.json" and chance.random() < 0.8:
            manifest = json.loads(content["manifest.json"])
            manifest["files"][name] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            files["manifest.json"] = json.dumps(manifest).encode()
        for each, text in files.items():
            (tmp_path / "vec" / each).write_bytes(text)
        found = claim(lambda: WordVectors.load(tmp_path / "vec", verify=chance.random() < 0.7))
        sound(found)
        if isinstance(found, WordVectors):
            assert len(found.counts) == len(found)
            with np.errstate(over="ignore", invalid="ignore"):  # numbers near the greatest float32 are finite
                found.related(found.words[0])
            assert visible(found._repr_html_()) == found._repr_html_()

    FUZZED(given(SEEDS)(check))()
    for_seconds(check)


def check_text(path: Path, data: bytes) -> None:
    """The words of any bytes, under each rule: whole words, each counted, and nothing lost between them."""
    path.write_bytes(data)
    for language in ("words", "whitespace", "zh", "auto"):
        tokens = claim(lambda language=language: read(path, language=language, min_count=1), 64 << 20)  # type: ignore[misc]
        if tokens is not None:
            kept = tokens.ids[tokens.ids >= 0]  # type: ignore[attr-defined]
            assert np.bincount(kept, minlength=len(tokens.words)).tolist() == tokens.counts.tolist()  # type: ignore[attr-defined]
            assert all(word and not BLANK.search(word) for word in tokens.words)  # type: ignore[attr-defined]


TEXT = (
    "The cat, its hat; 机场和飞机. Straße Москва — l'été won't <unk> a_b 3.14 ＡＢＣ １２３\n\n"
    "\u200b\u202e 👩\u200d🚀 नमस्ते 한국어 日本語\r\n"
).encode()


def test_any_bytes_are_read_as_words_or_refused(tmp_path: Path) -> None:
    """Compiled once before: the compiler's memory is not the reader's."""
    for language in ("words", "zh"):
        read([TEXT.decode()], language=language, min_count=1)

    @settings(FUZZED, max_examples=FUZZED.max_examples // 4)
    @given(st.binary(max_size=400) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")) | SEEDS)
    @example(b"\x1f\x8b")
    @example(TEXT)
    def check(given: bytes | int) -> None:
        data = damaged(TEXT * 3, random.Random(given)) if isinstance(given, int) else given
        check_text(tmp_path / "text.txt", data)

    check()
    for_seconds(lambda seed: check_text(tmp_path / "text.txt", damaged(TEXT * 3, random.Random(seed))))
