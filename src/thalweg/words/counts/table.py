"""Co-occurrence counts: how often two words stand near each other.

    X_ab = X_ba = sum over positions p < q of one unit, q - p <= window, with words a and b there, of g(q - p)

Both orders of a pair are added, so X_aa gets twice its pairs. g is `uniform` 1 (the source), `harmonic` 1/distance (GloVe) or
`linear` (window + 1 - distance)/window (the mean of word2vec's random window). Counts are integers: g is stored in units of
1/scale, where scale makes all g whole (lcm(1..window) for harmonic). Sums of integers do not depend on their order, so neither
the number of threads nor the order of the text within units can change a single bit.

How they are counted stands in `thalweg.words.counts.accumulate`, out of memory in `thalweg.words.counts.blocks`. On disk, a bundle:

    DIR/manifest.json   scale, window, distance, what was read; per file dtype, shape, bytes, SHA-256
    DIR/vocab.json, word_counts.npy int64, indptr.npy int64, indices.npy int32, values.npy uint32 (uint64 where one exceeds it)
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.bundles import Bundle, write_bundle
from thalweg.errors import DamagedFileError, InputError, UnknownWordError, near_misses
from thalweg.jit import kernel
from thalweg.progress import Progress
from thalweg.version import __version__
from thalweg.words.counts import glove
from thalweg.words.counts.accumulate import Rows, joined, merged, rows_of
from thalweg.words.text.encodings import check_encoding
from thalweg.words.text.reading import Tokens
from thalweg.words.text.wording import Wording

DISTANCES = ("uniform", "harmonic", "linear")
_FINE = 1 << 20  # scale of `harmonic` where lcm(1..window) would be too large to be counted with
KIND = "thalweg-counts"
VERSION = 1


def distance_weights(window: int, distance: str) -> tuple[npt.NDArray[np.uint64], int]:
    """g(1..window) in units of 1/scale, and scale.   (window + 1,) with g(0) = 0

    Raises InputError for an unknown distance or a window outside 1..1000.
    """
    if distance not in DISTANCES:
        msg = f"distance={distance!r} is not known.{near_misses(distance, DISTANCES)}"
        raise InputError(msg)
    if not 1 <= window <= 1000:
        msg = f"window={window} is not between 1 and 1000 tokens"
        raise InputError(msg)
    steps = range(1, window + 1)
    if distance == "uniform":
        scale, weights = 1, [1 for _ in steps]
    elif distance == "linear":
        scale, weights = window, [window + 1 - step for step in steps]
    else:
        scale = math.lcm(*steps) if window <= 16 else _FINE
        weights = [round(scale / step) for step in steps]
    return np.array([0, *weights], np.uint64), scale


@dataclass(frozen=True)
class CooccurrenceCounts:
    """The lower triangle of the symmetric table X, rows in CSR form: row a holds its contexts b <= a in rising order.

    words (n_words,), word_counts (n_words,) int64; indptr (n_words + 1,) int64, indices (nnz,) int32, values (nnz,) uint32 or
    uint64 in units of 1/scale.
    """

    words: list[str]
    word_counts: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    values: npt.NDArray[Any]
    scale: int
    window: int
    distance: str
    info: dict[str, Any] = field(default_factory=dict)  # what was read, and how it was cut into words

    @property
    def total_tokens(self) -> int:
        """T: tokens that were kept."""
        return int(self.word_counts.sum())

    @property
    def total_pairs(self) -> float:
        """N: the sum of X over ordered pairs of different words."""
        return 2 * (int(self.values.sum(dtype=np.uint64)) - int(self.diagonal().sum(dtype=np.uint64))) / self.scale

    @property
    def n_stored(self) -> int:
        """Stored entries: pairs of words, in one order, that were seen."""
        return len(self.indices)

    def diagonal(self) -> npt.NDArray[np.uint64]:
        """X_aa in units of 1/scale.   (n_words,)"""
        diagonal = np.zeros(len(self.words), np.uint64)
        last = self.indptr[1:] - 1
        rows = np.flatnonzero(np.diff(self.indptr))
        own = rows[self.indices[last[rows]] == rows]
        diagonal[own] = self.values[last[own]]
        return diagonal

    def to_scipy(self) -> Any:
        """The full symmetric table as scipy.sparse.csr_array, float64, diagonal included."""
        from scipy import sparse

        n = len(self.words)
        lower = sparse.csr_array((self.values / self.scale, self.indices, self.indptr), shape=(n, n))
        return (lower + sparse.tril(lower, -1).T).tocsr()

    def pmi(self, a: str, b: str) -> float | None:
        """The counted pointwise mutual information of two words in nats, None if they never met. Raises UnknownWordError."""
        i, j = sorted((self._number(a), self._number(b)), reverse=True)
        row = np.asarray(self.indices[self.indptr[i] : self.indptr[i + 1]])
        place = int(np.searchsorted(row, j))
        if i == j or place == len(row) or row[place] != j:
            return None
        x = int(self.values[int(self.indptr[i]) + place]) / self.scale
        return math.log(x * self.total_tokens**2 / (self.total_pairs * int(self.word_counts[i]) * int(self.word_counts[j])))

    def _number(self, word: str) -> int:
        place = self._wording.find(word)
        if place is None:
            msg = f"{word!r} is not among the {len(self.words):,} words of the counts"
            raise UnknownWordError(msg)
        return place

    @functools.cached_property
    def _wording(self) -> Wording:
        """How questions are read."""
        return Wording(self.words, self.info)

    def merge(self, other: CooccurrenceCounts) -> CooccurrenceCounts:
        """The counts of both texts together, exact: sums of integers. Words of either are kept, in the order of their new counts.

        Raises InputError unless window, distance, rare and the rules by which text becomes words are the same. A word that was
        too rare in one text has no counts from there.
        """
        check_addable(self.window, self.distance, self.info, other)
        total = dict(zip(self.words, self.word_counts.tolist(), strict=True))
        for word, n in zip(other.words, other.word_counts.tolist(), strict=True):
            total[word] = total.get(word, 0) + n
        words = sorted(total, key=lambda word: (-total[word], word.encode("utf-8", "surrogatepass")))
        number = {word: k for k, word in enumerate(words)}
        tables = [part._renumbered([number[word] for word in part.words], len(words)) for part in (self, other)]
        indptr, indices, values = joined([merged(tables, 0)], len(words))
        counts = np.array([total[word] for word in words], np.int64)
        sources = [*self.info.get("sources", []), *other.info.get("sources", [])]
        return replace(
            self,
            words=words,
            word_counts=counts,
            indptr=indptr,
            indices=indices,
            values=values,
            info={
                **self.info,
                **_added(self.info, other.info),
                "sources": sources,
                "fingerprint": merged_fingerprint(self.info.get("fingerprint"), other),
            },
        )

    def _renumbered(self, numbers: list[int], n_words: int) -> Rows:
        """(indptr, indices, values) with other numbers for the words, lower triangle again."""
        if numbers == list(range(n_words)):
            return self.indptr, self.indices, self.values
        new = np.array(numbers, np.int64)
        rows, columns = np.repeat(new, np.diff(self.indptr)), new[self.indices]
        rows, columns = np.maximum(rows, columns), np.minimum(rows, columns)
        order = np.lexsort((columns, rows))
        indptr = np.zeros(n_words + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=n_words), out=indptr[1:])
        return indptr, columns[order].astype(np.int32), np.asarray(self.values)[order]

    # files

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a directory of open files. Raises OutputExistsError or StorageError; then nothing changed."""
        step = 1 << 22
        parts = ((self.indices[k : k + step], self.values[k : k + step]) for k in range(0, len(self.indices), step))
        write_table(self, Path(path), np.diff(self.indptr), parts, self.values.dtype, overwrite)

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> CooccurrenceCounts:
        """Open a directory made by `save` or by `thalweg words count`, memory-mapped.

        Raises MissingFileError, or DamagedFileError for anything that is not what the manifest promises.
        """
        bundle = Bundle(Path(path), KIND, VERSION, verify)
        facts = bundle.manifest
        numbers = [facts.get(name) for name in ("n_words", "n_stored", "scale", "window")]
        words = bundle.json("vocab.json")
        sound = all(isinstance(n, int) and 0 <= n < 1 << 48 for n in numbers) and isinstance(facts.get("info"), dict)
        if not sound or facts.get("distance") not in DISTANCES or 0 in (numbers[0], *numbers[2:]):
            msg = f"{path}: the manifest is damaged"
            raise DamagedFileError(msg)
        n_words, n_stored, scale, window = (int(n) for n in numbers if isinstance(n, int))
        if not isinstance(words, list) or len(words) != n_words or not all(isinstance(word, str) for word in words):
            msg = f"{path}: vocab.json is not a list of {n_words} words"
            raise DamagedFileError(msg)
        stored = facts["files"].get("values.npy")
        wide = isinstance(stored, dict) and stored.get("dtype") in ("uint64", "<u8")
        counts = bundle.array("word_counts.npy", "<i8", (n_words,))
        indptr = bundle.array("indptr.npy", "<i8", (n_words + 1,))
        indices = bundle.array("indices.npy", "<i4", (n_stored,))
        values = bundle.array("values.npy", "<u8" if wide else "<u4", (n_stored,))
        if indptr[0] != 0 or indptr[-1] != n_stored or (np.diff(indptr) < 0).any():
            msg = f"{path}: indptr.npy does not describe {n_stored} entries"
            raise DamagedFileError(msg)
        if (counts < 1).any():
            msg = f"{path}: word_counts.npy says that a word never occurred"
            raise DamagedFileError(msg)
        if verify and (bad := _unsound_row(np.asarray(indptr), np.asarray(indices), np.asarray(values))) >= 0:
            msg = f"{path}: row {bad} of the table does not hold rising columns up to {bad} with counts above 0"
            raise DamagedFileError(msg)
        return cls(words, counts, indptr, indices, values, scale, window, facts["distance"], facts["info"])

    @classmethod
    def from_glove(
        cls, path: str | Path, vocab: str | Path, *, window: int = 10, distance: str = "harmonic", encoding: str = "utf-8"
    ) -> CooccurrenceCounts:
        """Read what GloVe's `cooccur` and `vocab_count` wrote, counted with this window and distance; exact.

        encoding: of the words, if they are not UTF-8.

        Raises MissingFileError, or DamagedFileError for files that are not that.
        """
        weights, scale = distance_weights(window, distance)
        words, word_counts = glove.vocabulary(Path(vocab), check_encoding(encoding))
        order = sorted(range(len(words)), key=lambda k: (-int(word_counts[k]), words[k].encode("utf-8")))
        numbers = np.argsort(order).tolist()
        exact = bool((weights[1:] * np.arange(1, window + 1, dtype=np.uint64) == scale).all()) or distance != "harmonic"
        table = glove.table(Path(path), Path(vocab), len(words), scale, exact)
        read = cls(words, word_counts, *table, scale, window, distance)
        info = {
            "thalweg": __version__, "sources": [str(path), str(vocab)], "format": "glove", "language": "whitespace", "rare": "close"
        }  # fmt: skip
        return cls(
            [words[k] for k in order], word_counts[order], *read._renumbered(numbers, len(words)), scale, window, distance, info
        )

    def __repr__(self) -> str:
        return (
            f"CooccurrenceCounts({len(self.words):,} words, {self.n_stored:,} stored pairs, "
            f"{self.total_tokens:,} tokens, window={self.window}, distance={self.distance!r})"
        )


def check_addable(window: int, distance: str, info: Mapping[str, Any], other: CooccurrenceCounts) -> None:
    """Raise InputError unless counts of this kind can be added to others. info: how text was read, as far as it is known."""
    mine = {"rare": "close", **info, "window": window, "distance": distance}
    theirs = {"rare": "close", **other.info, "window": other.window, "distance": other.distance}
    by_language = {"whitespace": (), "zh": ("lower", "digits", "join", "split_latin", "convert")}  # the rules that have a say in it
    names = by_language.get(str(theirs.get("language")), ("lower", "digits", "join"))
    for name in ("window", "distance", "rare", "language", "phrases", *names):
        if name in mine and name in theirs and mine[name] != theirs[name]:
            msg = f"counts with {name} {mine[name]} and {theirs[name]} cannot be added: count again with the same {name}"
            raise InputError(msg)


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The numbers of two texts together, where both are known."""
    names = ("n_files", "n_bytes", "bad_bytes", "bad_lines", "dropped_words", "pruned", "tokens_read")
    return {name: one[name] + other[name] for name in names if name in one and name in other}


def merged_fingerprint(one: str | None, other: CooccurrenceCounts) -> str | None:
    """A fingerprint of the merged counts, so that nothing is added twice; None if one of them is read once only."""
    marks = one, other.info.get("fingerprint")
    return None if None in marks else hashlib.sha256(" ".join(map(str, marks)).encode()).hexdigest()


@kernel
def _unsound_row(indptr, indices, values):  # type: ignore[no-untyped-def]
    """The first row with a column out of order or above the diagonal, or a count of 0; -1 if there is none."""
    for row in range(len(indptr) - 1):
        before = -1
        for e in range(indptr[row], indptr[row + 1]):
            if not before < indices[e] <= row or values[e] == 0:
                return row
            before = indices[e]
    return -1


def write_table(
    counts: CooccurrenceCounts,
    path: Path,
    lengths: npt.NDArray[np.int64],
    parts: Iterable[tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    dtype: Any,
    overwrite: bool = False,
) -> None:
    """Write counts whose entries (columns, values) come in parts; the arrays of `counts` itself are not looked at.

    lengths: entries of each row; it may be filled while the parts are made.
    """
    with write_bundle(path, KIND, VERSION, overwrite) as bundle:
        with bundle.growing("indices.npy", np.int32) as indices, bundle.growing("values.npy", dtype) as values:
            for columns, numbers in parts:
                indices(columns)
                values(numbers)
        indptr = np.zeros(len(counts.words) + 1, np.int64)
        np.cumsum(lengths, out=indptr[1:])
        bundle.array("indptr.npy", indptr)
        bundle.array("word_counts.npy", np.asarray(counts.word_counts, np.int64))
        bundle.json("vocab.json", counts.words)
        bundle.manifest |= {
            "n_words": len(counts.words), "n_stored": int(indptr[-1]), "total_tokens": counts.total_tokens, "scale": counts.scale,
            "window": counts.window, "distance": counts.distance, "info": counts.info,
        }  # fmt: skip


def count(
    tokens: Tokens,
    *,
    window: int = 10,
    distance: str = "harmonic",
    threads: int | None = None,
    progress: Progress | None = None,
) -> CooccurrenceCounts:
    """Count the co-occurrences in a stream of tokens. The result does not depend on `threads`."""
    weights, scale = distance_weights(window, distance)
    parts = list(rows_of(np.asarray(tokens.ids), len(tokens.words), weights, threads=threads, progress=progress))
    return CooccurrenceCounts(tokens.words, tokens.counts, *joined(parts, len(tokens.words)), scale, window, distance)


__all__ = ["DISTANCES", "CooccurrenceCounts", "check_addable", "count", "distance_weights", "merged_fingerprint", "write_table"]
