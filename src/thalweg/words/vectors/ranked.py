"""The answer to a question: a plain list of (word, score) for programs, a small table in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable

from thalweg.errors import visible


class Ranked(list[tuple[str, float]]):
    """[(word, score)], the best first.

    score: what the numbers are, "pmi" (nats), "cosine", "correlation" or "ratio"; unknown: the distinct words of the question that
    the vocabulary lacks and that were skipped; note: what else the asker should know, such as how the question was read.
    """

    def __init__(
        self, items: Iterable[tuple[str, float]] = (), *, score: str = "score", unknown: Iterable[str] = (), note: str = ""
    ) -> None:
        super().__init__(items)
        self.score = score
        self.unknown = list(unknown)
        self.note = note

    def notes(self) -> list[str]:
        """What the asker should know beside the list, a sentence each."""
        return [*([self.note] if self.note else []), *skipped(self.unknown)]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(visible(word))}</td><td style='text-align:right'>{score:#.4g}</td></tr>" for word, score in self
        )
        notes = "".join(f"<p>{html.escape(visible(note))}</p>" for note in self.notes())
        return f"<table><tr><th>word</th><th>{html.escape(visible(self.score))}</th></tr>{rows}</table>{notes}"


def skipped(unknown: list[str], limit: int = 8) -> list[str]:
    """The note about unknown words, if there are any."""
    if not unknown:
        return []
    shown = " ".join(word if len(word) <= 40 else f"{word[:39]}…" for word in unknown[:limit])
    more = f" and {len(unknown) - limit:,} more" if len(unknown) > limit else ""
    what = "1 unknown word was" if len(unknown) == 1 else f"{len(unknown):,} unknown words were"
    return [f"{what} skipped: {shown}{more}"]


__all__ = ["Ranked", "skipped"]
