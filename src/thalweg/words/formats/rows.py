"""Words and vectors as they are gathered from a file, with one rule for what is odd in it, whatever the format.

A word that comes twice keeps its first vector; bytes that cannot be decoded become U+FFFD, after words have been compared, and a
word that then looks like another is left out; if most words are damaged, that is an error which names --encoding. A vector that
is not finite is an error, or is left out when the caller allows it. Each is counted. Memory grows with the rows that have arrived,
never with those promised.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from thalweg.errors import DamagedFileError, quoted
from thalweg.threads import blocks
from thalweg.words.formats.opening import BLOCK
from thalweg.words.text.encodings import words_of_file

MOST_WORDS = (1 << 31) - 1
MOST_DIM = 1 << 16
TOKEN_LIMIT = 4096  # bytes of a word
KINDS = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}  # names of safetensors; NumPy has no bfloat16


@dataclass
class Found:
    """What a file held: words, vectors (n_words, dim) float32, and how much of it was odd.

    duplicates: words that came again; replaced_tokens: that hold U+FFFD for bytes that cannot be decoded; alike: that were left out
    because they then looked like another; dropped: whose vectors were not finite.
    """

    words: list[str]
    vectors: npt.NDArray[np.float32]
    duplicates: int
    replaced_tokens: int
    dropped: int
    alike: int = 0


class Words:
    """The words of a file in their order, each once. `kept`: the numbers of the rows that stay; encoding: if they are not UTF-8."""

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        self.path = path
        self.encoding = encoding
        self.kept: list[int] = []
        self.seen = 0
        self._known: dict[str | bytes, None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, token: str | bytes, unit: str = "word", first: int = 1) -> bool:
        """Take the word of the next row; False if it is there already. Raises DamagedFileError for one that cannot be.

        unit, first: how an error names the place, "line" and the number of the first.
        """
        number, self.seen = self.seen, self.seen + 1
        size = len(token if isinstance(token, bytes) else token.encode("utf-8", "surrogatepass"))
        if not 1 <= size <= TOKEN_LIMIT:
            what = f"the word has {size:,} bytes, more than {TOKEN_LIMIT:,}" if size else "the word is empty"
            msg = f"{self.path}, {unit} {number + first}: {what}; the file is damaged or of another format"
            raise DamagedFileError(msg)
        if token in self._known:
            return False
        self._known[token] = None
        self.kept.append(number)
        return True

    def _spelled(self) -> tuple[list[str], int]:
        """The words as text, and how many hold U+FFFD for what is none."""
        tokens = [token if isinstance(token, bytes) else token.encode("utf-8", "surrogatepass") for token in self._known]
        decoded = all(isinstance(token, str) for token in self._known)  # as in formats whose words are text
        return words_of_file(tokens, "utf-8" if decoded else self.encoding, self.path)

    def found(self, vectors: npt.NDArray[np.float32], allow_nonfinite: bool) -> Found:
        """The words with their vectors, one for each word kept."""
        words, replaced = self._spelled()
        first_of = {word: row for row, word in reversed([*enumerate(words)])}
        alike = len(words) - len(first_of)
        if alike:
            rows = sorted(first_of.values())
            words, vectors = [words[row] for row in rows], vectors[rows]
        finite = np.ones(len(vectors), np.bool_)
        for first, last in blocks(len(vectors), 1 << 14):
            finite[first:last] = np.isfinite(vectors[first:last]).all(axis=1)
        if bad := int(len(vectors) - finite.sum()):
            if not allow_nonfinite:
                word = words[int(np.argmin(finite))]
                others = f" (and of {bad - 1:,} more)" if bad > 1 else ""
                msg = (
                    f"{self.path}: the vector of {quoted(word)}{others} is not finite; leave such words out with --allow-nonfinite"
                )
                raise DamagedFileError(f"{msg} (allow_nonfinite=True)")
            vectors = vectors[finite]
            words = [word for word, fine in zip(words, finite.tolist(), strict=True) if fine]
        if not words:
            msg = f"{self.path} holds no word with a vector"
            raise DamagedFileError(msg)
        return Found(words, vectors, self.seen - len(self.kept), replaced, bad, alike)


class Rows:
    """Words and vectors that arrive one by one, in an array that grows as they come."""

    def __init__(self, path: Path, dim: int, encoding: str = "utf-8") -> None:
        self.words = Words(path, encoding)
        self.matrix = np.empty((max(1, BLOCK // (4 * dim)), dim), np.float32)

    def add(self, token: bytes, vector: npt.NDArray[np.float32] | list[float], unit: str, first: int = 1) -> None:
        if not self.words.add(token, unit, first):
            return
        n = len(self.words) - 1
        if n == MOST_WORDS:
            msg = f"{self.words.path} holds more than {MOST_WORDS:,} words"
            raise DamagedFileError(msg)
        if n == len(self.matrix):
            self.matrix.resize((2 * n, self.matrix.shape[1]), refcheck=False)  # moves pages, does not copy them
        self.matrix[n] = vector

    def found(self, allow_nonfinite: bool) -> Found:
        self.matrix.resize((len(self.words), self.matrix.shape[1]), refcheck=False)
        return self.words.found(self.matrix, allow_nonfinite)


def gathered(path: Path, words: Words, vectors: npt.NDArray[np.float32], allow_nonfinite: bool) -> Found:
    """A whole array of vectors, with a row for every word seen."""
    return words.found(vectors if len(words.kept) == len(vectors) else vectors[words.kept], allow_nonfinite)


def checked_shape(path: Path, n_words: object, dim: object) -> tuple[int, int]:
    """A promised shape, if it is one. Raises DamagedFileError."""
    sound = isinstance(n_words, int) and isinstance(dim, int) and 1 <= n_words <= MOST_WORDS and 1 <= dim <= MOST_DIM
    if not sound or not isinstance(n_words, int) or not isinstance(dim, int):
        msg = f"{path} promises {n_words!r:.40} words of {dim!r:.40} dimensions: "
        msg += f"there can be 1 to {MOST_WORDS:,} words and 1 to {MOST_DIM:,} dimensions"
        raise DamagedFileError(msg)
    return n_words, dim


def numbers(path: Path, stream: IO[bytes], kind: str, count: int) -> npt.NDArray[np.float32]:
    """The next `count` numbers of a stream as float32; kind: a dtype of NumPy, or "BF16".   (count,)"""
    dtype = np.dtype(KINDS.get(kind, kind))
    values = np.empty(count, np.float32)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is treated as that
        for first, last in blocks(count, BLOCK // dtype.itemsize):
            data = stream.read((last - first) * dtype.itemsize)
            if len(data) != (last - first) * dtype.itemsize:
                msg = f"{path} was cut off: it ends within its vectors"
                raise DamagedFileError(msg)
            block = np.frombuffer(data, dtype)
            values[first:last] = (block.astype("<u4") << 16).view("<f4") if kind == "BF16" else block
    return values


def all_words(path: Path, tokens: Iterable[object], encoding: str = "utf-8") -> Words:
    """The words of a list that came as a whole. Raises DamagedFileError for what is no text."""
    words = Words(path, encoding)
    for token in tokens:
        if not isinstance(token, (str, bytes)):
            msg = f"{path}, word {words.seen + 1}: {token!r:.40} is not a text"
            raise DamagedFileError(msg)
        words.add(token)
    return words
