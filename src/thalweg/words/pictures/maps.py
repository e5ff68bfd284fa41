"""A map of words: two numbers for each, so that what is near is alike as far as two numbers can tell.

pca    the two main directions of the centred output vectors (singular value decomposition); linear, nothing is bent
tsne   neighbours by cosine stay neighbours (van der Maaten and Hinton 2008), from scikit-learn; distances far apart mean nothing
umap   the same aim (McInnes, Healy and Melville 2018), if umap-learn is installed

Groups are k-means clusters of the unit vectors, in all their dimensions, so colour says what the plane cannot. The axes' signs are
fixed: the entry of largest modulus of each is positive. All sums run on one thread: the same seed gives the same map.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, near_misses, whole_number
from thalweg.files import atomic, check_file, write_text
from thalweg.needs import needs
from thalweg.words.pictures import drawing
from thalweg.words.pictures.plane import NAMES, Doubles, Plane
from thalweg.words.vectors import queries
from thalweg.words.vectors.stopwords import STOPWORDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from thalweg.words.vectors.readout import Readout

METHODS = ("pca", "tsne", "umap")
SUFFIXES = (".png", ".svg", ".html", ".json")
N = 200  # words
MOST_GROUPS = 12  # as many shapes as can be told apart
LEAST = {"pca": 1, "tsne": 4, "umap": 4}  # words that a method needs


class WordMap(Plane):
    """Words in the plane, and their pictures: a `Plane` that draws itself. Made by `WordVectors.map`."""

    def __repr__(self) -> str:
        return f"WordMap({len(self):,} words, {NAMES[self.method]}, {self.n_clusters} groups)"

    def plot(self) -> Figure:
        """A new figure with names that do not overlap; those without room are left out, their marks stay.

        Warns once, naming the remedy, if the fonts here lack characters of the words.
        """
        return drawing.figure(self)[0]

    def svg(self) -> str:
        """The picture as one `<svg>` element, its words as text."""
        return drawing.svg(self)

    def _repr_html_(self) -> str:
        return f'<div style="max-width:37em">{self.svg()}</div>'

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a picture (.png, .svg), a page with the words of each group (.html) or the numbers (.json), whole or not at all.

        Raises InputError for another suffix, OutputExistsError if there is such a file, StorageError; then nothing changed.
        """
        path = Path(path)
        kind = suffix_of(path)
        check_file(path, overwrite)
        if kind == ".json":
            write_text(path, json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n")
            return
        if kind == ".png":
            picture = drawing.png(self)
            with atomic(path) as out:
                out.write(picture)
        else:
            write_text(path, self.svg() + "\n" if kind == ".svg" else drawing.page(self))


def suffix_of(path: Path) -> str:
    """What a map's file is by its name. Raises InputError for a name that says nothing."""
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        msg = f"the name {str(path)!r} does not say what to write: end it with one of {', '.join(SUFFIXES)}"
        raise InputError(msg)
    return kind


def map_words(
    wv: Readout,
    words: str | Sequence[str] | None = None,
    *,
    n: int = N,
    method: str = "pca",
    seed: int = 0,
    clusters: int | None = None,
    neighbours: int = 0,
    output: str | None = None,
) -> WordMap:
    """Words in the plane: those given, with their `neighbours` most similar each, or the n most frequent ones that say something.

    Words that say little are left out of the n: stop words, single characters, numbers. clusters: 1 to 12, None one for 8 words and
    8 at most. output: the vectors to look at, as in WordVectors. Raises UnknownWordError, MissingExtraError for "umap" without
    umap-learn, InputError.
    """
    n, seed = whole_number("n", n, least=1), whole_number("seed", seed, least=0)
    neighbours = whole_number("neighbours", neighbours, least=0)
    if method not in METHODS:
        msg = f"method={method!r} is not known.{near_misses(str(method), METHODS)}"
        raise InputError(msg)
    if clusters is not None and whole_number("clusters", clusters, least=1) > MOST_GROUPS:
        msg = f"clusters={clusters} is more than the {MOST_GROUPS} that shapes can tell apart"
        raise InputError(msg)
    if words is None and neighbours:
        msg = f"neighbours={neighbours} needs words whose neighbours they are"
        raise InputError(msg)
    places, asked = (telling(wv, n), 0) if words is None else _with_neighbours(wv, words, neighbours, output)
    if len(places) < LEAST[method]:
        msg = f"{NAMES[method]} needs {LEAST[method]} words or more, there are {len(places)}: give more, or take method 'pca'"
        raise InputError(msg)
    vectors = wv.vectors_of(places, output).astype(np.float64)  # (n, d)
    if not np.isfinite(vectors).all():
        bad = wv.words[places[int(np.argmin(np.isfinite(vectors).all(axis=1)))]]
        msg = f"the vector of {bad!r} is not finite"
        raise InputError(msg)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    number = int(np.random.SeedSequence(seed).generate_state(1)[0])  # scikit-learn takes 32 bits
    shares = None
    if method == "pca":
        xy, shares = main_directions(vectors)
    else:
        start = main_directions(unit)[0]
        start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
        xy = main_directions((_tsne if method == "tsne" else _umap)(unit, start, number))[0]
    k = clusters if clusters is not None else max(1, min(8, len(places) // 8))
    return WordMap([wv.words[place] for place in places], xy, _clusters(unit, k, number), method, asked, shares)


def telling(wv: Readout, n: int) -> list[int]:
    """The n most frequent words without stop words, single characters and numbers; if nothing is left, the n most frequent."""
    dull = {word for words in STOPWORDS.values() for word in words}
    places = []
    for place, word in enumerate(wv.words):
        if len(word) > 1 and any(ch.isalpha() for ch in word) and word.lower() not in dull:
            places.append(place)
            if len(places) == n:
                break
    return places or list(range(min(n, len(wv))))


def _with_neighbours(wv: Readout, words: str | Sequence[str], neighbours: int, output: str | None) -> tuple[list[int], int]:
    """The numbers of the words given, then of their neighbours, each once; and how many were given."""
    given = list(dict.fromkeys(wv.place(word) for word in ([words] if isinstance(words, str) else words)))
    if not given:
        msg = "the list of words to map is empty"
        raise InputError(msg)
    near = [queries.similar(wv, wv.words[place], topn=neighbours, output=output) for place in given] if neighbours else []
    ranked = [
        wv.index[answers[k][0]] for k in range(neighbours) for answers in near if k < len(answers)
    ]  # the nearest of each first
    return list(dict.fromkeys([*given, *ranked])), len(given)


def main_directions(vectors: Doubles) -> tuple[Doubles, tuple[float, float]]:
    """Coordinates along the two directions of largest variance, and the share of the variance of each.   (n, d) -> (n, 2)"""
    from thalweg.threads import one_blas_thread

    centred = vectors - vectors.mean(axis=0)
    with one_blas_thread():
        u, s, _ = np.linalg.svd(centred, full_matrices=False)
    s = np.where(s > 1e-10 * np.linalg.norm(vectors), s, 0)  # what rounding left is no direction
    xy, shares = np.zeros((len(vectors), 2)), np.zeros(2)
    rank = min(2, len(s))
    xy[:, :rank] = u[:, :rank] * s[:rank]
    shares[:rank] = s[:rank] ** 2 / max(float((s**2).sum()), 1e-300)
    largest = np.take_along_axis(xy, np.abs(xy).argmax(axis=0)[None], axis=0)  # (1, 2)
    return xy * np.where(largest < 0, -1.0, 1.0) + 0.0, (float(shares[0]), float(shares[1]))  # + 0.0: no minus zero


def _tsne(unit: Doubles, start: Doubles, seed: int) -> Doubles:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(unit) - 1) / 3)
    with threadpool_limits(limits=1):  # its sums depend on the number of threads
        found = TSNE(perplexity=perplexity, init=start.astype(np.float32), random_state=seed).fit_transform(unit.astype(np.float32))
    return np.asarray(found, np.float64)


def _umap(unit: Doubles, start: Doubles, seed: int) -> Doubles:
    umap = needs("umap", "method 'umap' (others are 'pca' and 'tsne')")
    near = min(15, len(unit) - 1)
    spread = (start * 1e5).astype(np.float32)  # UMAP begins at the size of a few units
    return np.asarray(umap.UMAP(n_neighbors=near, init=spread, random_state=seed, n_jobs=1).fit_transform(unit), np.float64)


def _clusters(unit: Doubles, k: int, seed: int) -> npt.NDArray[np.int64]:
    """The k-means cluster of each row, the largest first, equal ones by their first word.   (n, d) -> (n,)"""
    k = min(k, len(unit))
    if k == 1:
        return np.zeros(len(unit), np.int64)
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different vectors than clusters: some stay empty
        found = KMeans(k, n_init=10, random_state=seed).fit_predict(unit)
    _, first, number, sizes = np.unique(found, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return np.asarray(rank[number])


__all__ = ["WordMap", "map_words"]
