"""The tour's words section: vectors from the text at hand, how well they fit, and what they answer."""

from __future__ import annotations

import itertools
import shlex
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thalweg import style
from thalweg.console import duration
from thalweg.files import size_text
from thalweg.page import Exhibit, Markup, Section, join, raw_svg, table, tag
from thalweg.words import als, counts, gauge, objective, questions, reading, svd
from thalweg.words.corpus import DOCS
from thalweg.words.vectors import WordVectors

DIM = 128
EPOCHS = 5
CONTEXTS = 1000  # words that two words' mutual information is compared on, for "similar"
N_POINTS = 600  # of the scatter plot
# words to ask about in `docs:`; on other texts the most telling ones are taken
DOCS_WORDS = ("matrix", "file", "gradient", "thread", "string", "probability")

TEXT = {
    "en": {
        "title": "{tokens} tokens become word vectors in {time}, and their inner products estimate mutual information",
        "claim": "The energy is the weighted squared error between the inner product of two word vectors and the mutual "
        "information "
        "of the two words; alternating least squares goes down it. Nothing was downloaded: the text is {source}.",
        "docs": "the docstrings of the Python packages installed here",
        "corpus": "text",
        "vocabulary": "words in the vocabulary",
        "pairs": "pairs that met",
        "reading": "reading",
        "counting": "counting",
        "solving": "solving",
        "r2": "weighted R² of the fit",
        "energy_title": "Every sweep lowers the energy",
        "energy_alt": "Energy against sweeps, falling from {first} to {last}",
        "energy_caption": "The energy after each sweep, from {first} at the start to {last}; the start is the closed-form "
        "solution of "
        "the unweighted problem.",
        "sweep": "sweep",
        "energy": "energy",
        "fit_title": "Inner products follow the counted mutual information",
        "fit_alt": "Scatter plot of inner product against counted mutual information, close to the diagonal",
        "fit_caption": "{n} pairs drawn in proportion to their weight. Correlation {r}. Darker: a pair of more weight.",
        "counted": "counted PMI (nats)",
        "predicted": "inner product (nats)",
        "lists": "Related is not similar. Related: the two occur together. Similar: they are related to the same words to the same "
        "degree, measured on the {contexts} most frequent ones. Asked among the {n} words seen at least {least} times.",
        "word": "word",
        "related": "related (inner product)",
        "similar": "similar (correlation)",
        "analogies": "a - b + c: the right word comes first in {right} of the {n} questions that were written down before "
        "the vectors "
        "were looked at. The first {shown} as they stand in the list:",
        "question": "question",
        "answer": "first answer",
        "rank": "rank of the expected word",
    },
    "zh": {
        "title": "{tokens}个词用 {time} 变成词向量，它们的内积估计互信息",
        "claim": "能量是两个词向量的内积与两词互信息之间的加权平方误差；交替最小二乘沿着它下降。没有下载任何东西：文本是{source}。",
        "docs": "本机已安装的 Python 包的文档字符串",
        "corpus": "文本",
        "vocabulary": "词表中的词",
        "pairs": "共现过的词对",
        "reading": "读取",
        "counting": "计数",
        "solving": "求解",
        "r2": "拟合的加权 R²",
        "energy_title": "每一轮都降低能量",
        "energy_alt": "能量随轮数从 {first} 降到 {last}",
        "energy_caption": "每一轮之后的能量，从起点的 {first} 降到 {last}；起点是不加权问题的闭式解。",
        "sweep": "轮",
        "energy": "能量",
        "fit_title": "内积跟随计数得到的互信息",
        "fit_alt": "内积对计数互信息的散点图，靠近对角线",
        "fit_caption": "按权重抽取的 {n} 个词对，相关系数 {r}。颜色越深权重越大。",
        "counted": "计数得到的互信息（nat）",
        "predicted": "内积（nat）",
        "lists": "相关不是相似。相关：常在一起出现。相似：与同样的词有同样程度的相关，用最常用的 {contexts} 个词来衡量。"
        "只在出现至少 {least} 次的 {n} 个词中查询。",
        "word": "词",
        "related": "相关词（内积）",
        "similar": "相似词（相关系数）",
        "analogies": "a - b + c：在看到向量之前写下的 {n} 个问题中，有 {right} 个的预期答案排在第一。按原有顺序列出前 {shown} 个：",
        "question": "问题",
        "answer": "第一个答案",
        "rank": "预期词的名次",
    },
}


def section(*, locale: str = "en", corpus: str | None = None, progress: reading.Progress | None = None) -> Section:
    """Fit vectors to `corpus` (a path, or docs: by default) and show what they are worth."""
    text = TEXT[locale]
    began = time.monotonic()
    tokens = reading.read(Path(corpus or DOCS), progress=progress)
    read = time.monotonic()
    counted = counts.count(tokens, progress=progress)
    counted_at = time.monotonic()
    settings = objective.Settings()
    pairs = objective.table(counted, settings)
    word, context = svd.start(pairs, min(DIM, len(tokens.words) - 1), progress=progress)
    word, context, parts = als.descend(pairs, word, context, settings, epochs=EPOCHS, progress=progress)
    path = [part["energy"] for part in parts]
    word, context, spectrum = gauge.balance(word, context)
    vectors = WordVectors(tokens.words, tokens.counts, word, context, spectrum, info={"language": tokens.report.language})
    solved = time.monotonic()
    r2, scatter = _fit(pairs, vectors, text)
    n_tokens = _short(tokens.n_read, locale)
    exhibits = [_energy(path, text), scatter, _neighbours(vectors, text, docs=corpus is None)]
    analogies = _analogies(vectors, text)
    return Section(
        title=text["title"].format(tokens=n_tokens, time=duration(solved - began)),
        claim=text["claim"].format(source=text["docs"] if corpus is None else corpus),
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
        command=f"thalweg words fit {shlex.quote(corpus or DOCS)} --out vec",
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
    return r2, Exhibit(raw_svg(style.svg(fig, text["fit_alt"])), text["fit_caption"].format(n=len(drawn), r=r))


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
        rows.append([tag("strong", word), *(", ".join(w for w, _ in ranked) for ranked in lists)])
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
    for place, close in itertools.product(order, [0.35]):
        word = vectors.words[place]
        if len(word) >= least and word.isalpha() and all(unit[place] @ unit[other] < close for other in chosen):
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
