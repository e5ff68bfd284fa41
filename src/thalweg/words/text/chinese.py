"""Chinese text to words: through jieba's dictionary, without its model for unknown words, so that no word is invented.

Full-width letters and digits are folded to ASCII before. Words of other scripts stay whole. What comes out are pieces (words, and
whatever stands between them) that go through the same automaton as any other text.
"""

from __future__ import annotations

import codecs
import functools
import re
import unicodedata
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from thalweg.errors import InputError, MissingFileError
from thalweg.files import storage_errors
from thalweg.needs import needs
from thalweg.words.text.characters import JOINERS, LINE_ENDS, PLANE, POINT, Characters, invisible
from thalweg.words.text.corpus import BLOCK
from thalweg.words.text.encodings import text_of_file
from thalweg.words.text.tokens import Scanner

UserWords = Iterable[
    tuple[str, int | None]
]  # words for the dictionary, each with its frequency, or None for one that keeps it whole

HAN_SHARE = 0.2  # more of the letters than this are Han: the text is taken as Chinese
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_LETTER = re.compile(r"[^\W\d_]")
_FULL_WIDTH = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
_HAS_FULL_WIDTH = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")
_LATIN = re.compile("[0-9A-Za-z\xc0-\xd6\xd8-\xf6\xf8-\u024f][\u0300-\u036f]*")  # a digit or a Latin letter, with its accents
UNDECODABLE = re.compile("[\udc80-\udcff]")  # bytes, as "surrogateescape" decodes them
_ENTRY = re.compile(r"(\S+)(?:\s+([0-9]+))?(?:\s+[a-z]+)?")  # a line of a user's dictionary, as jieba reads it
_MOST = 10**9  # a frequency in it


def detect(text: str) -> str:
    """The language "zh" if over a fifth of the letters are Han, else "words"."""
    text = unicodedata.normalize("NFC", text)  # a Korean syllable is one letter, however it is stored
    n_letters = len(_LETTER.findall(text))
    return "zh" if len(_HAN.findall(text)) > HAN_SHARE * max(1, n_letters) else "words"


def prepared(text: str, convert: str | None = None) -> str:
    """Text as it is before it is cut: composed, without what nobody sees, converted; full-width letters and digits as ASCII.

    So the dictionary knows its words, and a question is spelled as the text was. Raises MissingExtraError without what `convert`
    needs.
    """
    text = invisible().sub("", unicodedata.normalize("NFC", text))
    if convert is not None:
        text = converter(convert)(text)
    return text.translate(_FULL_WIDTH) if _HAS_FULL_WIDTH.search(text) else text


@functools.cache
def _other_script(join: str) -> re.Pattern[str]:
    """Finds runs of letters and marks that are not Han, with one at least that is not ASCII, or a sign of `join` between two.

    A run begins where no ASCII letter stands before, so that finding one takes linear time.
    """
    points = np.flatnonzero(Characters().table()[:PLANE] & POINT)
    points = points[points > 0x7F]
    spans = np.split(points, np.flatnonzero(np.diff(points) > 1) + 1)
    other = "".join(f"\\U{span[0]:08x}-\\U{span[-1]:08x}" for span in spans)
    other = f"(?:(?!{_HAN.pattern})[{other}])"
    if join:
        signs = re.escape("".join(JOINERS[sign] for sign in join))
        other = f"(?:{other}|(?<=[A-Za-z0-9]|{other})[{signs}](?=[A-Za-z0-9]|{other}))"
    return re.compile(f"((?<![A-Za-z0-9])[A-Za-z0-9]*+{other}(?:[A-Za-z0-9]|{other})*+)")


def cutter(
    *, split_latin: bool = False, user_words: UserWords = (), convert: str | None = None, join: str = ""
) -> Callable[[str], list[str]]:
    """A function from a text to its pieces: words of jieba's dictionary, and whatever stands between them.

    Words of other scripts stay whole: jieba would cut Zürich at the ü, and Москва into letters. Raises MissingExtraError without
    what `convert` needs.
    """
    cut = _dictionary(tuple((prepared(word, convert), frequency) for word, frequency in user_words))
    if convert is not None:
        converter(convert)

    def pieces_of(text: str) -> list[str]:
        text = prepared(text, convert)
        if split_latin:
            text = _LATIN.sub(r" \g<0> ", text)
        pieces: list[str] = []
        for k, part in enumerate(_other_script(join).split(text)):
            pieces += cut(part, False) if k % 2 == 0 else [part]
        return pieces

    return pieces_of


@functools.lru_cache(maxsize=2)
def _dictionary(user_words: tuple[tuple[str, int | None], ...]) -> Callable[[str, bool], list[str]]:
    import rjieba

    if not user_words:
        return rjieba.cut
    dictionary = rjieba.Jieba()  # of our own: what is added stays in it
    for word, frequency in user_words:
        dictionary.add_word(word, frequency, None)
    return dictionary.cut


def user_words(path: str | Path, encoding: str = "utf-8") -> list[tuple[str, int | None]]:
    """The words of a user's dictionary, "word", "word frequency" or "word frequency tag" a line.

    Raises MissingFileError, or InputError for a file that is no such dictionary.
    """
    if not Path(path).is_file():
        msg = f"there is no file {path}"
        raise MissingFileError(msg)
    with storage_errors(Path(path), "reading"):
        data = Path(path).read_bytes()
    lines = text_of_file(data, encoding, path).splitlines()
    found: list[tuple[str, int | None]] = []
    for number, line in enumerate(lines, 1):
        entry = _ENTRY.fullmatch(line.strip())
        if (entry is None and line.strip()) or (entry and int((entry[2] or "0")[:12]) > _MOST):
            msg = f"{path}, line {number}: {line.strip()[:60]!r} is not 'word', 'word frequency' or 'word frequency tag'"
            raise InputError(msg)
        if entry:
            found.append((entry[1], None if entry[2] is None else int(entry[2])))
    if not found:
        msg = f"{path} holds no words"
        raise InputError(msg)
    return found


@functools.cache
def converter(name: str) -> Callable[[str], str]:
    """A function that converts characters, such as "t2s", traditional to simplified. Raises MissingExtraError without opencc."""
    return needs("opencc", f"convert={name!r}").OpenCC(name).convert  # type: ignore[no-any-return]


def segmenter_name() -> str:
    """The segmenter and its version, for the manifest."""
    return f"rjieba {version('rjieba')}, dictionary only"


class Segmenter:
    """Segments Chinese on its way into a scanner; keeps what follows the last line break for the next block."""

    def __init__(self, scanner: Scanner, cut: Callable[[str], list[str]]) -> None:
        self._scanner = scanner
        self._cut = cut
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._rest = ""
        self.bad_bytes = 0

    def feed(self, data: bytes, final: bool = False) -> None:
        text = self._rest + self._decoder.decode(data, final)
        end = len(text) if final else text.rfind("\n") + 1
        if end == 0 and len(text) > 4 * BLOCK:  # a very long line: cut where no word can reach across
            ends = (k for k in range(len(text), 0, -1) if unicodedata.category(text[k - 1])[0] in "ZP" or text[k - 1] in LINE_ENDS)
            end = next(ends, len(text))
        self._rest = text[end:]
        text, n_bad = UNDECODABLE.subn(" ", text[:end])
        self.bad_bytes += n_bad
        text = text.replace("\r\n", "\n")  # as one line end, whatever stands between pieces
        self._scanner.feed(" ".join(self._cut(text)).encode("utf-8"))

    def end_unit(self) -> None:
        self.feed(b"", final=True)
        self._decoder.reset()
        self._scanner.end_unit()


__all__ = ["Segmenter", "converter", "cutter", "detect", "prepared", "segmenter_name", "user_words"]
