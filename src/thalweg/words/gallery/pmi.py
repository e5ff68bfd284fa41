"""Gallery page 1: why the inner product must be mutual information; related is not similar; length; GloVe's free vector.

The page's program is pmi.js; `product` and the methods of `Store` below are its twins. The vectors were made by
bench/words/gallery_vectors.py.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from thalweg.knobs import Files, chooser, command, display, slider
from thalweg.page import GalleryPage, Markup, data, join, table, tag
from thalweg.words.pictures import labels
from thalweg.words.vectors.stopwords import STOPWORDS

FILES = Files.of(__file__)
CHOICES: dict[str, Callable[[float], float]] = {
    "exp": math.exp,
    "square": lambda x: 1 + x + x * x / 2,
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "shifted": lambda x: math.exp(x) + 0.5,
}


PLOT = (46.0, 16.0, 464.0, 280.0)  # left, top, right and bottom of the picture of lengths, in its own units
NAME = 14.0  # height of a name in it
STEPS = (0, 30, 0.5)  # of t, how far the common vector is added


def product(name: str, x: float, y: float, z: float) -> float:
    """ln( f(z) f(x + y - z) ): constant in z if and only if f is an exponential."""
    f = CHOICES[name]
    return math.log(f(z)) + math.log(f(x + y - z))


@dataclass(frozen=True)
class Store:
    """Vectors in 8 bits: words (n,), codes (n, dim) int8, scales (n,); the vector v of a word is code times scale.

    profiles: number of contexts -> (n, p) int8, whose cosine is the correlation of two words' mutual information with so many of
    the most frequent words; rarities (n,): -ln P; pairs: places of the words that the common vector is shown on.
    """

    words: list[str]
    codes: npt.NDArray[np.int8]
    profiles: dict[int, npt.NDArray[np.int8]]
    scales: list[float]
    rarities: list[float]
    first: str
    examples: list[str]
    pairs: list[tuple[int, int]]

    def inner(self, i: int, j: int) -> float:
        return _dot(self.codes, i, j) * self.scales[i] * self.scales[j]

    def alike(self, i: int, j: int, contexts: int) -> float:
        profiles = self.profiles[contexts]
        return _dot(profiles, i, j) / math.sqrt(_dot(profiles, i, i) * _dot(profiles, j, j))

    def norm(self, i: int) -> float:
        return math.sqrt(self.inner(i, i))

    def bias(self, i: int, t: float) -> float:
        """GloVe's bias when t a is added to every vector: ln P - <v, a> t - t^2/2, with a of length 1, all its numbers alike."""
        dim = self.codes.shape[1]
        return -self.rarities[i] - int(self.codes[i].astype(np.int64).sum()) * self.scales[i] / math.sqrt(dim) * t - t * t / 2

    def moved(self, i: int, j: int, t: float) -> tuple[float, float, float]:
        """Of v_i + t a and v_j + t a: the cosine; ln P_ij with GloVe's biases; ln P_ij with the known ones, ln P_i and ln P_j."""
        dim = self.codes.shape[1]
        both = first = second = 0.0
        for a, b in zip(self.codes[i].tolist(), self.codes[j].tolist(), strict=True):
            x, y = a * self.scales[i] + t / math.sqrt(dim), b * self.scales[j] + t / math.sqrt(dim)
            both, first, second = both + x * y, first + x * x, second + y * y
        known = both - self.rarities[i] - self.rarities[j]
        return both / math.sqrt(first * second), both + self.bias(i, t) + self.bias(j, t), known


def _dot(codes: npt.NDArray[np.int8], i: int, j: int) -> int:
    return int(codes[i].astype(np.int64) @ codes[j].astype(np.int64))


@cache
def store(language: str) -> Store:
    """The vectors that the page of a language carries."""
    raw = json.loads(FILES.read(f"vectors.{language}.json"))
    n = len(raw["words"])
    place = {word: i for i, word in enumerate(raw["words"])}
    profiles = {int(contexts): _codes(text, n) for contexts, text in raw["profiles"].items()}
    pairs = [(place[one], place[other]) for one, other in raw["pairs"]]
    codes = _codes(raw["vectors"], n)
    return Store(raw["words"], codes, profiles, raw["scales"], raw["rarities"], raw["first"], raw["examples"], pairs)


def _codes(text: str, n: int) -> npt.NDArray[np.int8]:
    return np.frombuffer(base64.b64decode(text), np.int8).reshape(n, -1)


def page(locale: str) -> GalleryPage:
    """The page in English or Chinese, with the vectors of that language."""
    text, vectors = FILES.texts()[locale], store(locale)
    raw = json.loads(FILES.read(f"vectors.{locale}.json"))
    carried = {key: raw[key] for key in ("words", "scales", "rarities", "vectors", "profiles", "first")}
    carried |= {"plot": PLOT, "pairs": vectors.pairs, "range": _range(vectors)}
    carried["text"] = {
        key: text[key] for key in ("flat", "bent", "unknown", "ranks", "role", "topic", "between", "comma", "nearest")
    }
    tokens = f"{raw['tokens'] / 1e6:.1f} M" if locale == "en" else f"{raw['tokens'] / 1e4:.0f} 万"
    body = [
        tag("h2", text["h_related"]),
        tag("p", text["p_related"]),
        display(r"R(a,b)=\dfrac{P(a,b)}{P(a)\,P(b)},\quad \mathrm{PMI}(a,b)=\ln R(a,b)"),
        tag("p", text["p_additive"]),
        display(r"\mathrm{PMI}(q_1\ldots q_m;\,a_1\ldots a_n)=\sum_{i}\sum_{j}\mathrm{PMI}(q_i,a_j)"),
        tag("h2", text["h_demand"]),
        tag("p", text["p_demand"]),
        display(r"f(x)\,f(y)=f(z)\,f(x+y-z)"),
        tag("p", text["p_try"]),
        _knobs(text),
        tag("p", text["p_solution"]),
        display(r"\langle v_i,v_j\rangle=\ln\dfrac{P(w_i,w_j)}{P(w_i)\,P(w_j)}"),
        tag("p", text["p_not"]),
        tag("h2", text["h_similar"]),
        tag("p", text["p_similar"].format(n=f"{len(vectors.words):,}", tokens=tokens)),
        _ask(text, vectors),
        tag("p", text["p_stops"]),
        tag("p", text["p_exact"]),
        tag("h2", text["h_length"]),
        tag("p", text["p_length"]),
        display(r"|v_w|^2\approx -\ln P(w)+\mathrm{const}"),
        _lengths(text, vectors, locale),
        tag("p", text["p_spearman"].format(spearman=raw["spearman"], n=f"{raw['vocabulary']:,}")),
        tag("h2", text["h_common"]),
        tag("p", text["p_common"]),
        display(r"\langle u_i,k_j\rangle+b_i+\hat{b}_j\approx\ln X_{ij}"),
        tag("p", text["p_freedom"]),
        display(r"\langle u_i+a,k_j+a\rangle+b'_i+\hat{b}'_j=\langle u_i,k_j\rangle+b_i+\hat{b}_j"),
        display(r"b'_i=b_i-\langle u_i,a\rangle-\frac{1}{2}|a|^2,\quad \hat{b}'_j=\hat{b}_j-\langle k_j,a\rangle-\frac{1}{2}|a|^2"),
        tag("p", text["p_slide"]),
        _common(text, vectors),
        tag("p", text["p_known"]),
        command(
            text["p_own"],
            "thalweg words fit notes/ --out vec",
            "thalweg words related vec {word}",
            "thalweg words similar vec {word} --contexts {stop}",
            word=vectors.first,
            stop="1000",
        ),
        data("carried", carried),
    ]
    notice = join([text["notice"], tag("br"), text["source"]])
    return GalleryPage(text["title"], text["lead"], body, FILES.script(), FILES.style(), notice, FILES.still(locale))


def _knobs(text: dict[str, str]) -> Markup:
    names = {"exp": "exp(t)", "square": "1 + t + t²/2", "softplus": "ln(1 + exp(t))", "shifted": "exp(t) + ½"}
    functions = [(key, names[key]) for key in ("square", "softplus", "shifted", "exp")]
    labels = [
        (28, 151, "0"),
        (28, 46, "5"),
        (34, 230, "−3"),
        (246, 230, "0"),
        (452, 230, "3"),
        (246, 247, text["axis_x"]),
        (48, 18, text["axis_y"]),
    ]
    plot = tag(
        "svg",
        tag("path", d="M40 20V210H460M40 210v5M250 210v5M460 210v5M40 147h-5M40 41h-5", class_="axis"),
        *(tag("text", label, x=x, y=y) for x, y, label in labels),
        tag("path", id="wanted"),
        tag("path", id="curve"),
        class_="plot",
        viewBox="0 0 480 250",
        role="img",
        aria_label=text["figure"],
    )
    return tag(
        "div",
        chooser("f", functions, text["f"]),
        slider("x", "x", -2, 2, 0.1, 1.5),
        slider("y", "y", -2, 2, 0.1, 0.5),
        tag("figure", plot, tag("figcaption", "", id="verdict", aria_live="polite")),
        class_="knobs",
    )


def _ask(text: dict[str, str], vectors: Store) -> Markup:
    suggestions = [tag("button", word, type="button", data_word=word) for word in vectors.examples]
    options = tag("datalist", *(tag("option", value=word) for word in vectors.words), id="known")
    entry = tag("input", type="text", id="word", list="known", autocomplete="off", spellcheck="false", value=vectors.first)
    least, most, middle = 0, len(vectors.profiles) - 1, len(vectors.profiles) // 2
    stops = slider("stop", text["contexts"], least, most, 1, middle)
    lists = [
        tag("div", tag("h3", text[name]), tag("ol", id=name))
        for name in ("related", "similar")
    ]  # fmt: skip
    return tag(
        "div",
        tag("p", tag("label", text["word"], for_="word"), " ", entry, options, class_="knob"),
        tag("p", "", id="note", aria_live="polite"),
        tag("div", *suggestions, class_="try"),
        stops,
        tag("p", "", id="kind", aria_live="polite"),
        tag("div", *lists, class_="lists"),
        class_="knobs",
    )


def _range(vectors: Store) -> list[float]:
    """What the picture of lengths shows: the least and the largest -ln P, and the largest length from 0."""
    return [math.floor(min(vectors.rarities)), math.ceil(max(vectors.rarities)), math.ceil(max(map(vectors.norm, _all(vectors))))]


def _all(vectors: Store) -> range:
    return range(len(vectors.words))


def _lengths(text: dict[str, str], vectors: Store, locale: str) -> Markup:
    """Every word by its length and -ln P: stop words apart, some named, the word that was asked marked by the script."""
    left, top, right, bottom = PLOT
    low, high, longest = _range(vectors)
    rarities, norms = np.array(vectors.rarities), np.array([vectors.norm(i) for i in _all(vectors)])
    points = np.column_stack([left + (rarities - low) / (high - low) * (right - left), bottom - norms / longest * (bottom - top)])
    dull = np.array([word in STOPWORDS[locale] for word in vectors.words])
    marks = ["".join(f"M{x:.1f} {y:.1f}h0" for x, y in points[which]) for which in (~dull, dull)]
    ticks = [*range(int(low), int(high) + 1, 2)], [*range(int(longest) + 1)]
    across = [(left + (v - low) / (high - low) * (right - left), bottom + 19, str(v), "middle") for v in ticks[0]]
    upward = [(left - 8, bottom - v / longest * (bottom - top) + 5, str(v), "end") for v in ticks[1]]
    titles = [((left + right) / 2, bottom + 38, text["axis_rarity"], "middle"), (left + 8, top + 2, text["axis_norm"], "start")]
    plot = tag(
        "svg",
        tag("path", d=f"M{left} {top}V{bottom}H{right}", class_="axis"),
        tag("path", d=marks[0], class_="dots"),
        tag("path", d=marks[1], class_="dots dull"),
        tag("circle", id="here", r="6", cx="-20", cy="-20"),
        *(
            tag("text", label, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)
            for x, y, label, anchor in (*across, *upward, *titles)
        ),
        *_named(points, vectors),
        id="lengths",
        class_="plot",
        viewBox="0 0 480 324",
        role="img",
        aria_label=text["lengths_figure"],
    )
    caption = tag("figcaption", tag("span", "", id="ranks", aria_live="polite"), tag("br"), text["lengths_caption"])
    return tag("figure", plot, caption, class_="knobs")


def _named(points: npt.NDArray[np.float64], vectors: Store) -> list[Markup]:
    """The names of the shortest words and of the examples, where they find room."""
    shortest = sorted(_all(vectors), key=vectors.norm)[:6]
    chosen = list(dict.fromkeys([*shortest, *map(vectors.words.index, vectors.examples)]))
    width = [sum(NAME if ord(ch) > 0x2E80 else 0.56 * NAME for ch in vectors.words[i]) for i in chosen]
    sizes = np.column_stack([width, np.full(len(chosen), 1.1 * NAME)])
    left, top, right, bottom = PLOT
    at = np.column_stack([points[chosen, 0] - left, bottom - points[chosen, 1]])
    centres = labels.place(at, sizes, (right - left, bottom - top))
    return [
        tag("text", vectors.words[i], x=f"{left + x:.1f}", y=f"{bottom - y + 0.35 * NAME:.1f}", text_anchor="middle", class_="name")
        for i, (x, y) in zip(chosen, centres, strict=True)
        if not math.isnan(x)
    ]


def _common(text: dict[str, str], vectors: Store) -> Markup:
    """The slider of t, what it does to a few pairs, and the words that are nearest by cosine."""
    least, most, step = STEPS
    cells = ("cosine", "glove", "known")
    rows = [
        [
            text["dash"].join((vectors.words[i], vectors.words[j])),
            *(tag("span", "", id=f"{cell}{k}", class_="digits") for cell in cells),
        ]
        for k, (i, j) in enumerate(vectors.pairs)
    ]
    head = [text["pair"], text["col_cosine"], text["col_glove"], text["col_known"]]
    return tag(
        "div",
        slider("t", "t", least, most, step, least),
        table(head, rows),
        tag("p", "", id="nearest", aria_live="polite"),
        class_="knobs",
    )
