"""The tour's words section: vectors from the text at hand, how well they fit, and what they answer."""

from __future__ import annotations

import shlex
import time
import tomllib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thalweg import style
from thalweg.console import duration
from thalweg.files import size_text
from thalweg.page import Exhibit, Markup, Section, join, raw_svg, table, tag
from thalweg.words import counts, objective, questions, reading
from thalweg.words.corpus import DOCS
from thalweg.words.fitting import solve
from thalweg.words.vectors import WordVectors

CONTEXTS = 1000  # words that two words' mutual information is compared on, for "similar"
ALIKE = 0.35  # cosine from which two showcase words would show the same
N_POINTS = 600  # of the scatter plot
# words to ask about in `docs:`; on other texts the most telling ones are taken
DOCS_WORDS = ("matrix", "file", "gradient", "thread", "string", "probability")

TEXT: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "tour.toml").read_text(encoding="utf-8"))


def section(*, locale: str = "en", corpus: str | list[str] | None = None, progress: reading.Progress | None = None) -> Section:
    """Fit vectors to `corpus` (one path or several, docs: by default) and show what they are worth."""
    text = TEXT[locale]
    given = [corpus] if isinstance(corpus, str) else corpus or []
    began = time.monotonic()
    tokens = reading.read([Path(name) for name in given or [DOCS]], progress=progress)
    read = time.monotonic()
    counted = counts.count(tokens, progress=progress)
    counted_at = time.monotonic()
    vectors = solve(counted, progress=progress)
    vectors.info["language"] = tokens.report.language
    solved = time.monotonic()
    r2, scatter = _fit(objective.table(counted, objective.Settings()), vectors, text)
    n_tokens = _short(tokens.n_read, locale)
    exhibits = [_energy(vectors.energy_path, text), scatter, _neighbours(vectors, text, docs=not given)]
    analogies = _analogies(vectors, text)
    return Section(
        title=text["title"].format(tokens=n_tokens, time=duration(solved - began)),
        claim=text["claim"].format(source=text["docs"] if not given else text["own"].format(name=", ".join(given))),
        exhibits=exhibits + ([analogies] if analogies else []),
        numbers=[
            (text["corpus"], size_text(tokens.report.n_bytes)),
            (text["vocabulary"], f"{len(vectors):,}"),
            (text["pairs"], f"{counted.n_stored:,}"),
            (text["reading"], duration(read - began)),
            (text["counting"], duration(counted_at - read)),
            (text["solving"], duration(solved - counted_at)),
            (text["r2"], r2),
        ],
        command=f"thalweg words fit {shlex.join(given or [DOCS])} --out vec",
    )


def _short(n: int, locale: str) -> str:
    """A large number for a title: 2.8 M, 284 万."""
    if n < 100_000:
        return f"{n:,}"
    return f"{n / 1e6:.1f} M" if locale == "en" else f"{n / 1e4:.0f} 万"


def _energy(path: list[float], text: dict[str, str]) -> Exhibit:
    first, last = f"{path[0]:,.0f}", f"{path[-1]:,.0f}"
    axes = style.energy_plot(path, title=text["energy_title"], steps=text["sweep"], energy=text["energy"])
    axes.set_ylim(bottom=0)
    picture = style.svg(axes.get_figure(root=True), text["energy_alt"].format(first=first, last=last))
    return Exhibit(raw_svg(picture), text["energy_caption"].format(first=first, last=last))


def _fit(pairs: objective.Table, vectors: WordVectors, text: dict[str, str]) -> tuple[str, Exhibit]:
    """Weighted R² over all pairs seen, and a scatter plot of some."""
    rows = np.repeat(np.arange(len(vectors)), np.diff(pairs.indptr))
    predicted = np.empty(len(rows), np.float32)
    for a in range(0, len(rows), 1 << 18):
        part = slice(a, a + (1 << 18))
        predicted[part] = np.einsum("nd,nd->n", vectors.word[rows[part]], vectors.context[pairs.columns[part]])
    weights = pairs.weights.astype(np.float64)
    mean = np.average(pairs.targets, weights=weights)
    spread = float(np.average((pairs.targets - mean) ** 2, weights=weights))
    missed = float(np.average((predicted - pairs.targets) ** 2, weights=weights))
    r2 = f"{1 - missed / spread:.3f}" if spread > 0 else "-"  # a single pair has no spread
    drawn = np.random.default_rng(0).choice(len(rows), min(N_POINTS, len(rows)), replace=False, p=weights / weights.sum())
    x, y, w = pairs.targets[drawn], predicted[drawn], pairs.weights[drawn]
    fig, axes = style.figure(height=3.9)
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    axes.plot([low, high], [low, high], color=style.GREY, linewidth=1)
    axes.scatter(x, y, s=12, c=_shaded(style.BLUE, w), linewidths=0)
    axes.set(title=text["fit_title"], xlabel=text["counted"], ylabel=text["predicted"])
    r = f"{np.corrcoef(x, y)[0, 1]:.3f}" if min(np.ptp(x), np.ptp(y)) > 0 else "-"
    bias = f"{np.average(predicted - pairs.targets, weights=weights):+.2f}"
    return r2, Exhibit(raw_svg(style.svg(fig, text["fit_alt"])), text["fit_caption"].format(n=len(drawn), r=r, bias=bias))


def _shaded(colour: str, weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """A colour for each point, more opaque in four steps of weight (each step is one group of marks in the picture).   (n, 4)"""
    from matplotlib.colors import to_rgb

    opacity = np.choose(np.digitize(weights, [0.1, 0.3, 0.8]), [0.25, 0.4, 0.6, 0.9])
    return np.column_stack([np.tile(to_rgb(colour), (len(weights), 1)), opacity])


def _neighbours(vectors: WordVectors, text: dict[str, str], docs: bool) -> Exhibit:
    least = 50 if vectors.counts.sum() > 500_000 else 5
    restrict = max(2, int((vectors.counts >= least).sum()))
    asked = [word for word in DOCS_WORDS if word in vectors] if docs else telling_words(vectors, 6)
    rows = []
    for word in asked:
        alike = vectors.similar(word, contexts=CONTEXTS, topn=6, restrict=restrict)
        lists = (vectors.related(word, topn=6, restrict=restrict), alike)
        rows.append([tag("strong", word), *(text["comma"].join(w for w, _ in ranked) for ranked in lists)])
    head = [text["word"], text["related"], text["similar"]]
    return Exhibit(
        table(head, rows), text["lists"].format(n=f"{restrict:,}", least=least, contexts=f"{min(CONTEXTS, len(vectors)):,}")
    )


def telling_words(vectors: WordVectors, n: int) -> list[str]:
    """Frequent words with long vectors (specific company), no two of them alike."""
    frequent = min(len(vectors), 1500)
    norms = np.linalg.norm(vectors.vectors()[:frequent], axis=1)
    least = 2 if vectors.language == "zh" else 4
    unit = vectors.unit()
    chosen: list[int] = []
    order = np.argsort(-norms * np.sqrt(np.log1p(vectors.counts[:frequent])))
    for place in order:
        word = vectors.words[place]
        if len(word) >= least and word.isalpha() and all(unit[place] @ unit[other] < ALIKE for other in chosen):
            chosen.append(int(place))
        if len(chosen) == n:
            break
    return [vectors.words[place] for place in chosen] or vectors.words[:n]


def _analogies(vectors: WordVectors, text: dict[str, str]) -> Exhibit | None:
    asked = {"zh": [questions.ZH], "words": [questions.DOCS, questions.EN]}.get(vectors.language, [questions.EN])
    answers = max((questions.ranks(vectors, list_) for list_ in asked), key=len)
    if not answers:
        return None
    shown = answers[:12]
    rows = [[f"{a} - {b} + {c} = {d}", first, rank] for (a, b, c, d), rank, first in shown]
    right = sum(rank == 1 for _, rank, _ in answers)
    intro = text["analogies"].format(right=right, n=len(answers), shown=len(shown))
    content: Markup = join([tag("p", intro), table([text["question"], text["answer"], text["rank"]], rows)])
    return Exhibit(content)
