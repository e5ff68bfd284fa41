"""Gallery page 1: why the inner product must be mutual information; related is not similar.

The page's program is pmi.js; `product`, `inner` and `alike` below are its twins. The vectors were made by
bench/words/gallery_vectors.py.
"""

from __future__ import annotations

import base64
import json
import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thalweg.page import GalleryPage, Markup, data, formula, join, tag


def _read(name: str) -> str:
    """A file that stands beside this one."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


CHOICES: dict[str, Callable[[float], float]] = {
    "exp": math.exp,
    "square": lambda x: 1 + x + x * x / 2,
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "shifted": lambda x: math.exp(x) + 0.5,
}


CODES = ("vectors", "profiles")


def product(name: str, x: float, y: float, z: float) -> float:
    """ln( f(z) f(x + y - z) ): constant in z if and only if f is an exponential."""
    f = CHOICES[name]
    return math.log(f(z)) + math.log(f(x + y - z))


@dataclass(frozen=True)
class Store:
    """Vectors in 8 bits: words (n,), codes (n, dim) int8, scales (n,); the vector of a word is code times scale.

    profiles (n, p) int8: their cosine is the correlation of two words' mutual information with the most frequent words.
    """

    words: list[str]
    codes: npt.NDArray[np.int8]
    profiles: npt.NDArray[np.int8]
    scales: list[float]
    first: str
    examples: list[str]

    def inner(self, i: int, j: int) -> float:
        return _dot(self.codes, i, j) * self.scales[i] * self.scales[j]

    def alike(self, i: int, j: int) -> float:
        profiles = self.profiles
        return _dot(profiles, i, j) / math.sqrt(_dot(profiles, i, i) * _dot(profiles, j, j))


def _dot(codes: npt.NDArray[np.int8], i: int, j: int) -> int:
    return int(codes[i].astype(np.int64) @ codes[j].astype(np.int64))


@cache
def store(language: str) -> Store:
    """The vectors that the page of a language carries."""
    raw = json.loads(_read(f"vectors.{language}.json"))
    codes, profiles = (np.frombuffer(base64.b64decode(raw[name]), np.int8).reshape(len(raw["words"]), -1) for name in CODES)
    return Store(raw["words"], codes, profiles, raw["scales"], raw["first"], raw["examples"])


@cache
def texts() -> dict[str, dict[str, str]]:
    """The words of the page, by locale."""
    return tomllib.loads(_read("pmi.toml"))


def page(locale: str) -> GalleryPage:
    """The page in English or Chinese, with the vectors of that language."""
    text, vectors = texts()[locale], store(locale)
    raw = json.loads(_read(f"vectors.{locale}.json"))
    carried = {key: raw[key] for key in ("words", "scales", *CODES, "first")}
    carried["text"] = {key: text[key] for key in ("flat", "bent", "unknown")}
    tokens = f"{raw['tokens'] / 1e6:.1f} M" if locale == "en" else f"{raw['tokens'] / 1e4:.0f} 万"
    body = [
        tag("h2", text["h_related"]),
        tag("p", text["p_related"]),
        _display(r"R(a,b)=\dfrac{P(a,b)}{P(a)\,P(b)},\quad \mathrm{PMI}(a,b)=\ln R(a,b)"),
        tag("p", text["p_additive"]),
        _display(r"\mathrm{PMI}(q_1\ldots q_m;\,a_1\ldots a_n)=\sum_{i}\sum_{j}\mathrm{PMI}(q_i,a_j)"),
        tag("h2", text["h_demand"]),
        tag("p", text["p_demand"]),
        _display(r"f(x)\,f(y)=f(z)\,f(x+y-z)"),
        tag("p", text["p_try"]),
        _knobs(text),
        tag("p", text["p_solution"]),
        _display(r"\langle v_i,v_j\rangle=\ln\dfrac{P(w_i,w_j)}{P(w_i)\,P(w_j)}"),
        tag("p", text["p_not"]),
        tag("h2", text["h_similar"]),
        tag("p", text["p_similar"].format(n=f"{len(vectors.words):,}", tokens=tokens, contexts=f"{raw['contexts']:,}")),
        _ask(text, vectors),
        tag("p", text["p_exact"]),
        tag("p", text["p_own"], tag("br"), tag("code", "thalweg words fit notes/ --out vec"), class_="command"),
        data("vectors", carried),
    ]
    notice = join([text["notice"], tag("br"), text["source"]])
    return GalleryPage(text["title"], text["lead"], body, _read("pmi.js"), _read("pmi.css"), notice)


def _display(tex: str) -> Markup:
    return tag("p", formula(tex), class_="display")


def _knobs(text: dict[str, str]) -> Markup:
    names = {"exp": "exp(t)", "square": "1 + t + t²/2", "softplus": "ln(1 + exp(t))", "shifted": "exp(t) + ½"}
    chooser = tag("select", *(tag("option", names[key], value=key) for key in ("square", "softplus", "shifted", "exp")), id="f")
    sliders = [
        tag(
            "label",
            f"{name} = ",
            tag("output", "", id=f"{name}v", for_=name),
            tag("input", type="range", id=name, min="-2", max="2", step="0.1", value=value),
        )
        for name, value in (("x", "1.5"), ("y", "0.5"))
    ]
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
        tag("label", text["f"], " ", chooser),
        *sliders,
        tag("figure", plot, tag("figcaption", "", id="verdict", aria_live="polite")),
        class_="knobs",
    )


def _ask(text: dict[str, str], vectors: Store) -> Markup:
    suggestions = [tag("button", word, type="button", data_word=word) for word in vectors.examples]
    options = tag("datalist", *(tag("option", value=word) for word in vectors.words), id="known")
    entry = tag("input", type="text", id="word", list="known", autocomplete="off", spellcheck="false")
    lists = [
        tag("div", tag("h3", text[name]), tag("ol", id=name))
        for name in ("related", "similar")
    ]  # fmt: skip
    return tag(
        "div",
        tag("label", text["word"], " ", entry, options),
        tag("p", "", id="note", aria_live="polite"),
        tag("div", *suggestions, class_="try"),
        tag("div", *lists, class_="lists"),
        class_="knobs",
    )
