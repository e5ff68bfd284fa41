"""Should signs join letters into one word? don't, well-known, col·laboració: `--join` on the English word tests.

Data: THALWEG_DATA (corpora/en.txt.bz2, eval/en). Each row is a whole fit from raw text with the defaults, for seeds 0 to 2: covered
questions and per cent right (3CosAdd) or Spearman's correlation, median and range. A question whose words are cut or joined in
another way than the corpus is not covered, so the share of covered questions stands beside. About 25 minutes on 2 cores.

    THALWEG_DATA=... python bench/words/joining.py [--seeds 3] [--bytes N]
"""

from __future__ import annotations

import argparse
import bz2
import os
import statistics
import tempfile
from pathlib import Path

from thalweg import words

JOINS = ["", "'", "-", "'-"]
PAIRS = ["wordsim353.tsv", "rare-words.txt", "mturk-287.txt", "men-3000.txt", "simlex999.tsv"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=None)
    asked = parser.parse_args()
    data = Path(os.environ["THALWEG_DATA"])
    folder = data / "eval" / "en"
    print("| join | words | google covered | right | " + " | ".join(name.rsplit(".", 1)[0] for name in PAIRS) + " |")
    print("| --- " * (len(PAIRS) + 4) + "|")
    with tempfile.TemporaryDirectory() as scratch, bz2.open(data / "corpora" / "en.txt.bz2") as packed:
        text = Path(scratch, "en.txt")
        text.write_bytes(packed.read(asked.bytes or -1))
        for join in JOINS:
            counts = words.count(text, join=join, language="words")
            rows = []
            for seed in range(asked.seeds):
                wv = words.solve(counts, seed=seed)
                found = wv.evaluate([folder / "google-analogies.txt"], [folder / name for name in PAIRS], method="add")
                total = found.analogies[0].total
                rows.append([100 * total.of_covered, *(100 * each.spearman for each in found.pairs)])
            cells = [
                f"{statistics.median(column):.1f} ({min(column):.1f} to {max(column):.1f})" for column in zip(*rows, strict=True)
            ]
            print(f"| `{join}` | {len(counts.words):,} | {total.covered:,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
