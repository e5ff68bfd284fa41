"""How fast is text counted?

Question: CPU time from raw text to a vocabulary with word numbers, and from word numbers to co-occurrence counts (window 10).
Peers: plain Python (`re.findall` and `Counter`; a dictionary of pairs) and gensim's vocabulary scan (Word2Vec.build_vocab over a
file of tokens, so without finding the words; it keeps no stream of numbers). One thread each, interleaved, 5 rounds.
Data: `docs:`, the docstrings of the installed packages (about 18 MB here), written to a file once; pairs on its first 200,000
tokens, because the dictionary needs minutes for all of it. With THALWEG_DATA also the first 30 MB of corpora/en.txt.bz2.
Command: python bench/words/counting.py          (about 4 minutes)
"""

import bz2
import csv
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

from thalweg import __version__, words
from thalweg.words.text import docstrings
from thalweg.words.text.reading import Tokens

ROUNDS = 5
WINDOW = 10
PAIR_TOKENS = 200_000
WORD = re.compile(r"[^\W_]+")
RESULTS = Path(__file__).parent.parent / "results"


def ours_vocabulary(path: Path, _: Path) -> int:
    return words.read(path).n_read


def python_vocabulary(path: Path, _: Path) -> int:
    numbers: dict[str, int] = {}
    counts: Counter[int] = Counter()
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            counts.update([numbers.setdefault(word, len(numbers)) for word in WORD.findall(line.lower())])
    return sum(counts.values())


def gensim_vocabulary(_: Path, tokens: Path) -> int:
    from gensim.models import Word2Vec

    model = Word2Vec(min_count=5, workers=1)
    model.build_vocab(corpus_file=str(tokens))
    return int(model.corpus_total_words)


def ours_pairs(tokens: Tokens) -> int:
    return words.count(tokens, window=WINDOW, threads=1).n_stored


def python_pairs(tokens: Tokens) -> int:
    weights = [0.0, *(1 / step for step in range(1, WINDOW + 1))]
    pairs: dict[tuple[int, int], float] = {}
    unit: list[int] = []
    for word in [*tokens.ids.tolist(), -1]:
        if word >= 0:
            for step, other in enumerate(reversed(unit[-WINDOW:]), 1):
                key = (word, other) if word > other else (other, word)
                pairs[key] = pairs.get(key, 0.0) + weights[step]
            unit.append(word)
        else:
            unit.clear()
    return len(pairs)


def interleaved(candidates: dict[str, Callable[[], int]]) -> dict[str, list[float]]:
    """CPU seconds of each candidate, round by round; the first call of each is not counted (imports, compilation)."""
    results = {name: run() for name, run in candidates.items()}
    print("   check:", results, file=sys.stderr)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, run in candidates.items():
            began = time.process_time()
            run()
            seconds[name].append(time.process_time() - began)
    return seconds


def rows(what: str, corpus: str, n_tokens: int, seconds: dict[str, list[float]]) -> list[list[str]]:
    ours = seconds["thalweg"]
    table = []
    for name, times in seconds.items():
        low, middle, high = statistics.quantiles([t / o for t, o in zip(times, ours, strict=True)], n=4)
        ratio = f"{middle:.1f} ({low:.1f} to {high:.1f})" if name != "thalweg" else "1"
        table.append(
            [what, corpus, name, f"{statistics.median(times):.2f}", f"{n_tokens / statistics.median(times) / 1e6:.2f}", ratio]
        )
    return table


def corpora(folder: Path) -> dict[str, Path]:
    docs = folder / "docs.txt"
    docs.write_bytes(b"".join(block for text in docstrings.packages().values() for block, _ in text()))
    found = {"docs:": docs}
    if "THALWEG_DATA" in os.environ:
        source = Path(os.environ["THALWEG_DATA"]) / "corpora" / "en.txt.bz2"
        with bz2.open(source) as text:
            (folder / "en.txt").write_bytes(text.read(30_000_000))
        found["en, first 30 MB"] = folder / "en.txt"
    return found


def main() -> None:
    table: list[list[str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for corpus, path in corpora(folder).items():
            print(f"{corpus}: {path.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
            tokens = words.read(path, min_count=1)
            dump = folder / "tokens.txt"
            lines = [
                " ".join(WORD.findall(line.lower())) for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
            ]
            dump.write_text("\n".join(lines) + "\n", encoding="utf-8")
            scans = {
                "thalweg": partial(ours_vocabulary, path, dump),
                "plain Python": partial(python_vocabulary, path, dump),
                "gensim build_vocab": partial(gensim_vocabulary, path, dump),
            }
            table += rows("text to vocabulary", corpus, tokens.n_read, interleaved(scans))
            texts = path.read_text(encoding="utf-8", errors="replace").split("\n")
            part, n = [], 0
            while n < PAIR_TOKENS:
                part.append(texts[len(part)])
                n += len(WORD.findall(part[-1]))
            slice_ = words.read(part)
            counting = {"thalweg": partial(ours_pairs, slice_), "plain Python": partial(python_pairs, slice_)}
            table += rows(f"tokens to pairs ({n:,} tokens)", corpus, n, interleaved(counting))
    head = ["job", "corpus", "program", "CPU s", "M tokens/s", "times ours (quartiles)"]
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "words-counting.csv").open("w", newline="") as out:
        csv.writer(out).writerows([head, *table])
    print(f"thalweg {__version__}, Python {platform.python_version()}, {date.today()}, one thread, medians of {ROUNDS} rounds\n")
    for row in [head, ["---"] * len(head), *table]:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
