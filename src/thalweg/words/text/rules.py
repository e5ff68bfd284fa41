"""How text is read: which files, what of them, where words and units end, and which words are kept.

One set of constants for `read`, `count`, `fit` and their commands; all of it stands in the manifest of the counts, and an
interrupted run is resumed only with the same.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from thalweg.errors import InputError, near_misses, whole_number
from thalweg.files import storage_errors
from thalweg.words.text.characters import JOINERS
from thalweg.words.text.encodings import check_encoding
from thalweg.words.text.tokens import UNITS

LANGUAGES = ("auto", "words", "zh", "whitespace")
CONVERSIONS = ("t2s",)
RARE = ("close", "gap")
CHINESE = ("split_latin", "user_dict", "convert")  # rules for no other language


@dataclass(frozen=True)
class Rules:
    """How text is read.

    Files: glob, which files of a folder are read (a pattern for names or, with a slash in it, for paths within the folder, or a
    sequence of them; None: `*.txt` and its like); encoding; json_key, the key whose strings are the text of a `*.jsonl` file;
    skip_damaged, read compressed files as far as they are sound, instead of stopping at one that is not.
    Words: language "auto", "words" (cut at everything but letters, marks, numbers), "zh" (jieba's dictionary), "whitespace"
    (already cut); lower, spell in lower case; digits, numbers are parts of words, or separate them; join, signs out of "'·-" that
    belong to a word between two of its letters ("'": don't and don’t are one word; "": they separate). unit: "line", "paragraph"
    or "file", which no window crosses.
    Chinese only: split_latin, cut digits and Latin letters into single characters; user_dict, a file of words for the dictionary,
    "word", "word frequency" or "word frequency tag" a line; convert "t2s", traditional to simplified characters (needs opencc).
    Vocabulary: min_count, leave out rarer words; max_words, keep the most frequent ones only; rare "close", windows close up over
    words that are left out, or "gap", these keep their places. phrases: join pairs of words whose normalised mutual information is
    over this threshold, such as 0.5 ("new_york"). prune: when the vocabulary outgrows the memory, forget the words that were seen
    fewer than so many times since it last did (None: they go to disk, and all counts are exact).

    Raises InputError for a value out of range or a combination that makes no sense.
    """

    language: str = "auto"
    lower: bool = True
    digits: bool = True
    join: str = ""
    unit: str = "line"
    encoding: str = "utf-8"
    glob: str | Sequence[str] | None = None
    json_key: str = "text"
    split_latin: bool = False
    user_dict: str | Path | None = None
    convert: str | None = None
    min_count: int = 5
    max_words: int | None = None
    rare: str = "close"
    phrases: float | None = None
    prune: int | None = None
    skip_damaged: bool = False

    def __post_init__(self) -> None:
        allowed = {"language": LANGUAGES, "unit": UNITS, "rare": RARE} | ({"convert": CONVERSIONS} if self.convert else {})
        for name, choices in allowed.items():
            if getattr(self, name) not in choices:
                msg = f"{name}={getattr(self, name)!r} is not known.{near_misses(str(getattr(self, name)), choices)}"
                raise InputError(msg)
        for name, least in (("min_count", 1), ("max_words", 2), ("prune", 2)):
            if getattr(self, name) is not None or name == "min_count":
                object.__setattr__(self, name, whole_number(name, getattr(self, name), least=least))
        object.__setattr__(self, "join", _joiners(self.join))
        object.__setattr__(self, "encoding", check_encoding(self.encoding))
        if self.user_dict is not None:
            object.__setattr__(self, "user_dict", str(self.user_dict))
        globs = tuple(self.glob) if isinstance(self.glob, (list, tuple)) else () if self.glob is None else (self.glob,)
        for pattern in globs:
            if not (isinstance(pattern, str) and pattern):
                msg = f"glob={pattern!r} matches no file; an example is '*.csv'"
                raise InputError(msg)
        object.__setattr__(self, "glob", globs if len(globs) > 1 else next(iter(globs), None))
        if self.phrases is not None and not (isinstance(self.phrases, (int, float)) and -1 <= self.phrases < 1):
            msg = f"phrases={self.phrases!r} is not a number from -1, below 1; an example is 0.5"
            raise InputError(msg)
        for name in CHINESE:
            if getattr(self, name) and self.language in ("words", "whitespace"):
                msg = f"{name}={getattr(self, name)!r} is for Chinese, not for language={self.language!r}"
                raise InputError(msg)

    def with_(self, **options: Any) -> Rules:
        """These rules with some changed. Raises TypeError for a name that is not among them."""
        for name in options:
            if name not in NAMES:
                msg = f"there is no option {name!r}.{near_misses(name, NAMES)}"
                raise TypeError(msg)
        return replace(self, **options)

    def facts(self) -> dict[str, Any]:
        """What the manifest says of them, beside the report of what was read."""
        return {name: value for name, value in asdict(self).items() if name != "language"}

    def identity(self) -> dict[str, Any]:
        """What decides the result, for the fingerprint of a run: of the user's dictionary its content."""
        told = asdict(self) | {"characters": unicodedata.unidata_version}
        if self.user_dict is None:
            return told
        with storage_errors(Path(self.user_dict), "reading"):
            return told | {"user_dict": hashlib.sha256(Path(self.user_dict).read_bytes()).hexdigest()}


def _joiners(join: object) -> str:
    """The signs of `join`, each once. Raises InputError for any other."""
    signs = {other: sign for sign, others in JOINERS.items() for other in others}
    if not isinstance(join, str) or (wrong := [ch for ch in join if ch not in signs]):
        what = f"{wrong[0]!r} of join={join!r}" if isinstance(join, str) else f"join={join!r}"
        msg = f'{what} does not join letters; the signs that can are {" ".join(JOINERS)}, as in join="\'-"'
        raise InputError(msg)
    return "".join(sign for sign in JOINERS if sign in {signs[ch] for ch in join})


def unused(facts: Mapping[str, Any]) -> list[str]:
    """A sentence for each rule that is for Chinese, where the text turned out to be something else. facts: as in a manifest."""
    if facts.get("language") in (None, "zh"):
        return []
    given = [f"--{name.replace('_', '-')}" for name in CHINESE if facts.get(name)]
    return [f"{name} was not used: the text is not Chinese (if it is: --language zh)" for name in given]


NAMES = tuple(field.name for field in fields(Rules))


__all__ = ["CONVERSIONS", "LANGUAGES", "NAMES", "RARE", "Rules", "unused"]
