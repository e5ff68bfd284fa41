"""Near spellings: the words within two edits (insert, delete or replace a character, swap two neighbours)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MAX_EDITS = 2
Letters = npt.NDArray[np.uint32]


def near(word: str, words: Sequence[str], topn: int = 5) -> list[str]:
    """Up to `topn` of `words` within two edits of `word`: fewest edits first, then in their order (falling count).

    For words of one or two characters one edit is the limit: more would change all of it.
    """
    limit = MAX_EDITS if len(word) > 2 else 1
    candidates = [k for k, other in enumerate(words) if abs(len(other) - len(word)) <= limit]
    if not candidates:
        return []
    width = len(word) + limit
    letters = np.zeros((len(candidates), width), np.uint32)
    lengths = np.array([len(words[k]) for k in candidates])
    for row, k in enumerate(candidates):
        letters[row, : lengths[row]] = np.frombuffer(words[k].encode("utf-32-le", "surrogatepass"), np.uint32)
    edits = _edits(np.frombuffer(word.encode("utf-32-le", "surrogatepass"), np.uint32), letters, lengths)
    ranked = sorted((int(edits[row]), k) for row, k in enumerate(candidates) if edits[row] <= limit)
    return [words[k] for _, k in ranked if words[k] != word][:topn]


def _edits(word: Letters, letters: Letters, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The edit distance (optimal string alignment) of `word` to every row of `letters`, for all rows at once.   (n,)"""
    n, width = letters.shape
    row = np.broadcast_to(np.arange(width + 1), (n, width + 1)).copy()
    above = row
    for k, letter in enumerate(word):
        above2, above = above, row
        row = np.empty_like(above)
        row[:, 0] = k + 1
        for m in range(width):
            change = above[:, m] + (letters[:, m] != letter)
            row[:, m + 1] = np.minimum(np.minimum(above[:, m + 1], row[:, m]) + 1, change)
            if k > 0 and m > 0:
                swapped = (letters[:, m] == word[k - 1]) & (letters[:, m - 1] == letter)
                row[:, m + 1] = np.where(swapped, np.minimum(row[:, m + 1], above2[:, m - 1] + 1), row[:, m + 1])
    return row[np.arange(n), lengths]
