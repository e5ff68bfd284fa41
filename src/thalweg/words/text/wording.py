"""A question is read as the corpus was: by the same characters, in the same case, folded, converted and cut the same way.

One road for all that is asked: words, texts, expressions, test sets, columns of an estimator. First a word is looked up as it is
typed. Vectors of other programs say nothing about how their text was read: their words are taken as they are, in any canonical
form, and in lower case if none of them has a capital letter (<UNK> is no word).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

READING = ("lower", "digits", "join", "split_latin", "user_words", "convert")  # what of a manifest decides how text is cut

_SIGNAL = re.compile(r"<.*>|\[.*\]|UNK|PAD", re.DOTALL)  # what programs put beside words: <UNK>, [CLS]


class Wording:
    """How the words of a vocabulary are spelled. info: as in a manifest, with `language` and what READING names."""

    def __init__(self, words: Sequence[str], info: Mapping[str, Any]) -> None:
        self.info = info
        self.index: dict[str, int] = {}
        for place, spelled in enumerate(words):
            self.index.setdefault(spelled, place)

    @property
    def language(self) -> str:
        """The rule by which the corpus was cut into words: "words", "zh" or "whitespace"."""
        return str(self.info.get("language", "words"))

    @functools.cached_property
    def lowers(self) -> bool:
        """Whether words are asked about in lower case."""
        if self.language != "whitespace":
            return bool(self.info.get("lower", True))
        everything = " ".join(word for word in self.index if not _SIGNAL.fullmatch(word))
        return everything == everything.lower()

    @functools.cached_property
    def _composed(self) -> dict[str, int]:
        """The words that are not in canonical composition, by how they are in it."""
        forms = {word: unicodedata.normalize("NFC", word) for word in self.index if not word.isascii()}
        return {form: self.index[word] for word, form in reversed(forms.items()) if form != word}

    def cut(self, text: str, *, segment: bool = True) -> list[str]:
        """The words of a text; segment=False leaves Chinese words as they are typed.

        Where the corpus had phrases, neighbours are joined from the left if the vocabulary has the two as one.
        """
        from thalweg.words.text.reading import words_of

        if self.language == "whitespace" and self.lowers:
            text = text.lower()
        words = words_of(text, self.language, segment=segment, **{name: self.info[name] for name in READING if name in self.info})
        return words if self.info.get("phrases") is None else self._joined(words)

    def _joined(self, words: list[str]) -> list[str]:
        """Pairs of neighbours that are a word of the vocabulary, as `thalweg.words.text.phrases` joins them."""
        joined: list[str] = []
        waiting = None
        for word in words:
            if waiting is not None and (pair := f"{waiting}_{word}") in self.index:
                joined.append(pair)
                waiting = None
                continue
            if waiting is not None:
                joined.append(waiting)
            waiting = word
        return joined if waiting is None else [*joined, waiting]

    def at(self, word: str) -> int | None:
        """The number of a word that was cut out of a text; None if it is not in the vocabulary."""
        place = self.index.get(word)
        return self._composed.get(word) if place is None else place

    def find(self, word: str) -> int | None:
        """The number of a word as somebody types it; None if it is not in the vocabulary."""
        if word in self.index:
            return self.index[word]
        pieces = self.cut(word, segment=False)
        return self.at(pieces[0]) if len(pieces) == 1 else None


__all__ = ["READING", "Wording"]
