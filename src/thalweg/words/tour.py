"""The tour's words section: vectors from the text at hand, how well they fit, and what they answer.

Its pictures are drawn in `tour_figures`.
"""

from __future__ import annotations

import itertools
import math
import re
import shlex
import time
import tomllib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thalweg.console import duration
from thalweg.files import size_text
from thalweg.page import Exhibit, Markup, Section, join, table, tag
from thalweg.progress import Progress
from thalweg.words.commands.fitting import reading_notes
from thalweg.words.counts.table import count
from thalweg.words.fitting import solve
from thalweg.words.judging import questions
from thalweg.words.pictures import tour_figures
from thalweg.words.solving import objective
from thalweg.words.text import reading
from thalweg.words.text.corpus import DOCS
from thalweg.words.text.tokens import EDGE
from thalweg.words.vectors.stopwords import STOPWORDS
from thalweg.words.vectors.texts import Text, keywords
from thalweg.words.wordvectors import WordVectors

CONTEXTS = 1000  # words that two words' mutual information is compared on, for "similar"
ALIKE = 0.35  # cosine from which two showcase words would show the same
PARAGRAPH = (60, 150)  # tokens of the unit whose keywords are shown
BEGINNING = 60  # of its words that are shown, twice as many in Chinese, whose words are shorter
DULL = {"zh": 0.15, "words": 0.3}  # the share of stop words from which a unit is taken for prose, not for a list
LOOKED_AT = 3000  # units, evenly spread over the text
# words to ask about in `docs:`; on other texts the most telling ones are taken
DOCS_WORDS = ("matrix", "file", "gradient", "thread", "string", "probability")

TEXT: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "tour.toml").read_text(encoding="utf-8"))


def section(
    *,
    locale: str = "en",
    corpus: str | list[str] | None = None,
    keep: str | None = None,
    encoding: str = "utf-8",
    so_far: Callable[[Section], object] | None = None,
    progress: Progress | None = None,
) -> Section:
    """Fit vectors to `corpus` (one path or several, docs: by default) and show what they are worth.

    keep: a directory for the vectors, which are written before any picture is drawn. encoding: of files that do not say theirs.
    so_far: called with the section whenever there is more of it.
    """
    text = TEXT[locale]
    given = [corpus] if isinstance(corpus, str) else corpus or []
    began = time.monotonic()
    tokens = reading.read([Path(name) for name in given or [DOCS]], encoding=encoding, progress=progress)
    read = time.monotonic()
    counted = count(tokens, progress=progress)
    counted_at = time.monotonic()
    vectors = solve(counted, progress=progress)
    vectors.info["language"] = tokens.report.language
    solved = time.monotonic()
    if keep is not None:
        vectors.save(keep, overwrite=True)
    numbers = [
        (text["corpus"], size_text(tokens.report.n_bytes)),
        (text["vocabulary"], f"{len(vectors):,}"),
        (text["pairs"], f"{counted.n_stored:,}"),
        (text["reading"], duration(read - began)),
        (text["counting"], duration(counted_at - read)),
        (text["solving"], duration(solved - counted_at)),
    ]
    skipped = tokens.report.skipped
    if skipped:
        more = f" + {len(skipped) - 5:,}" if len(skipped) > 5 else ""
        numbers.append((text["left_out"], text["comma"].join(path for path, _ in skipped[:5]) + more))
    if tokens.report.bad_bytes:
        numbers.append((text["undecodable"], f"{tokens.report.bad_bytes:,}"))
    read_as = asdict(tokens.report) | {"encoding": encoding, "tokens_kept": counted.total_tokens}
    option = [] if encoding == "utf-8" else ["--encoding", encoding]
    exhibits: list[Exhibit] = []

    def shown(exhibit: Exhibit | None) -> Section:
        """The section with one exhibit more."""
        exhibits.extend([] if exhibit is None else [exhibit])
        section = Section(
            title=text["title"].format(tokens=_short(tokens.n_read, locale), time=duration(solved - began)),
            claim=text["claim"].format(source=text["docs"] if not given else text["own"].format(name=", ".join(given))),
            exhibits=[*exhibits],
            numbers=[*numbers],
            command=f"thalweg words fit {shlex.join([*(given or [DOCS]), *option])} --out vec",
            notes=reading_notes(read_as) if given else [],
        )
        if so_far is not None:
            so_far(section)
        return section

    shown(tour_figures.energy(vectors.energy_path, text))
    r2, scatter = tour_figures.fit(objective.table(counted, objective.Settings()), vectors, text)
    numbers.append((text["r2"], r2))
    shown(scatter)
    shown(_neighbours(vectors, text, docs=not given))
    shown(tour_figures.word_map(vectors, text))
    lengths = tour_figures.lengths(vectors, _short_and_long(vectors), text)
    numbers.append((text["spearman"], lengths[0] if lengths else "-"))
    shown(lengths[1] if lengths else None)
    shown(_keywords(tokens, vectors, text))
    return shown(_analogies(vectors, text))


def _short(n: int, locale: str) -> str:
    """A large number for a title: 2.8 M, 284 万."""
    if n < 100_000:
        return f"{n:,}"
    return f"{n / 1e6:.1f} M" if locale == "en" else f"{n / 1e4:.0f} 万"


def _neighbours(vectors: WordVectors, text: dict[str, str], docs: bool) -> Exhibit:
    least = _least(vectors)
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


def _least(vectors: WordVectors) -> int:
    """How often a word must have been seen to be shown."""
    return 50 if vectors.counts.sum() > 500_000 else 5


def _tells(vectors: WordVectors, place: int) -> bool:
    """Letters only, and not too few of them."""
    word = vectors.words[place]
    return len(word) >= (2 if vectors.language == "zh" else 4) and word.isalpha()


def telling_words(vectors: WordVectors, n: int) -> list[str]:
    """Frequent words with long vectors (specific company), no two of them alike."""
    frequent = min(len(vectors), 1500)
    norms = np.linalg.norm(vectors.vectors()[:frequent], axis=1)
    unit = vectors.unit()
    chosen: list[int] = []
    order = np.argsort(-norms * np.sqrt(np.log1p(vectors.counts[:frequent])))
    for place in order:
        if _tells(vectors, place) and all(unit[place] @ unit[other] < ALIKE for other in chosen):
            chosen.append(int(place))
        if len(chosen) == n:
            break
    return [vectors.words[place] for place in chosen] or vectors.words[:n]


def _short_and_long(vectors: WordVectors) -> list[str]:
    """Words to name in the picture of lengths: the shortest frequent ones, and the longest out of eight ranges of frequency."""
    norms = vectors.norms()
    shortest = np.argsort(norms[:200], kind="stable")[:6]
    seen = max(2, int((vectors.counts >= _least(vectors)).sum()))
    edges = np.unique(np.geomspace(min(20, seen - 1), seen, 9).astype(int))
    longest = [
        max(spelled, key=lambda place: norms[place])
        for a, b in itertools.pairwise(edges.tolist())
        if (spelled := [place for place in range(a, b) if _tells(vectors, place)])
    ]
    return list(dict.fromkeys(vectors.words[place] for place in [*shortest, *longest]))


def _keywords(tokens: reading.Tokens, vectors: WordVectors, text: dict[str, str]) -> Exhibit | None:
    """The beginning of a paragraph of the text and its five keywords, None if no unit has the length of one."""
    paragraph = _paragraph(tokens, vectors)
    if paragraph is None:
        return None
    ranked = keywords(vectors, _as_text(paragraph), topn=5)
    told = {word for word, _ in ranked}
    chinese = vectors.language == "zh"
    words = [vectors.words[place] for place in paragraph]
    shown = words[: BEGINNING * (2 if chinese else 1)]
    parts: list[object] = []
    for before, word in zip(["", *shown], shown, strict=False):
        parts += [
            "" if not before or (chinese and _han(before[-1] + word[0])) else " ",
            tag("strong", word) if word in told else word,
        ]
    quoted = tag("p", "“", *parts, " …”" if len(shown) < len(words) else "”")
    rows = [[word, str(words.count(word)), f"{score:.1f}"] for word, score in ranked]
    head = [text["keyword"], text["times"], text["score"]]
    return Exhibit(join([quoted, table(head, rows)]), text["keywords"].format(n=len(words)))


def _han(pair: str) -> bool:
    return re.fullmatch("[\u3400-\u9fff]{2}", pair) is not None


def _paragraph(tokens: reading.Tokens, vectors: WordVectors) -> npt.NDArray[np.int32] | None:
    """The unit of the length of a paragraph, prose if there is some, whose five keywords are most related to it."""
    ends = np.flatnonzero(tokens.ids == EDGE)
    spans = [
        (a, b) for a, b in itertools.pairwise([-1, *ends.tolist(), len(tokens.ids)]) if PARAGRAPH[0] < b - a <= PARAGRAPH[1] + 1
    ]
    spans = spans[:: max(1, len(spans) // LOOKED_AT)]
    dull = np.array([word in STOPWORDS["zh" if vectors.language == "zh" else "en"] for word in vectors.words])
    units = [tokens.ids[a + 1 : b] for a, b in spans]
    # at first without any rare word: names and typing errors are the strongest keywords and tell a reader the least
    kinds = ([unit for unit in units if _is_prose(unit, dull, vectors, usual)] for usual in (1.0, 0.9))
    return max(next(filter(None, kinds), units), key=lambda unit: _told(unit, vectors), default=None)


def _is_prose(unit: npt.NDArray[np.int32], dull: npt.NDArray[np.bool_], vectors: WordVectors, usual: float) -> bool:
    """Sentences, as far as words can tell: enough stop words, hardly a number, few repetitions, this share of usual words."""
    words = [vectors.words[place] for place in unit]
    spelled = sum(word.isalpha() for word in words) >= 0.95 * len(unit)
    frequent = np.mean(vectors.counts[unit] >= _least(vectors)) >= usual
    varied = len(set(words)) >= 0.68 * len(unit)
    return bool(spelled and frequent and varied and dull[unit].mean() >= DULL["zh" if vectors.language == "zh" else "words"])


def _told(unit: npt.NDArray[np.int32], vectors: WordVectors) -> float:
    """The mutual information of the five keywords with the unit, without what a word says of itself.

    Divided by the root of the length: by the length itself, short units would always come first.
    """
    ranked = keywords(vectors, _as_text(unit), topn=5, exclude_self=True)
    return sum(score for _, score in ranked) / math.sqrt(len(unit))


def _as_text(unit: npt.NDArray[np.int32]) -> Text:
    places, times = np.unique(unit.astype(np.int64), return_counts=True)
    return Text(places, times, ())


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
