"""What do 10^8 and 10^9 tokens cost, and does `--memory` hold?

Question: (1) wall seconds, peak memory and disk of `thalweg words count` and the solver's part of `fit` on the first quarter, half
and all of `en`; the slopes of their logarithms against the number of tokens, and what they say for 10^8 and 10^9. (2) `en` five
times over (10^8 tokens, the same pairs again, so that only reading and counting are what they would be): peak memory of `count`
with --memory 512M, which does not hold it, and whether its files are those of a run in memory, byte for byte.
Command: THALWEG_DATA=... python bench/words/scale.py          (about 8 minutes)
"""

from __future__ import annotations

import filecmp
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import peers
import speed

FILES = ("indices.npy", "values.npy", "indptr.npy", "word_counts.npy", "vocab.json")
MEMORY = "512M"


def run(verb: str, text: Path, out: Path, *options: object) -> tuple[float, float, float]:
    shutil.rmtree(out, ignore_errors=True)
    return speed.process(sys.executable, "-m", "thalweg", "words", verb, text, "--out", out, "--quiet", *options)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def slope(points: list[tuple[float, float]]) -> float:
    """Least squares of ln y against ln x."""
    x, y = ([math.log(value) for value in column] for column in zip(*points, strict=True))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def main() -> None:
    raw = peers.corpus_files("en", peers.RESULTS)[0].read_bytes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = []
        for share in (0.25, 0.5, 1.0):
            text = folder / "text"
            text.write_bytes(raw[: int(share * len(raw))])
            counted = run("count", text, folder / "counts")
            manifest = json.loads((folder / "counts" / "manifest.json").read_text())
            solved = run("solve", folder / "counts", folder / "vec")
            rows.append((manifest["total_tokens"], manifest["n_words"], manifest["n_stored"], counted[0], solved[0],
                         max(counted[2], solved[2]), (size(folder / "counts") + size(folder / "vec")) / 1e6))  # fmt: skip
            print(rows[-1], file=sys.stderr, flush=True)
        print("| tokens | words | stored pairs | count, wall s | solve, wall s | peak MB | disk MB |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for row in rows:
            print("| " + " | ".join(f"{value:,.0f}" if value >= 100 else f"{value:.1f}" for value in row) + " |")
        slopes = [slope([(row[0], row[k]) for row in rows]) for k in range(1, 7)]
        print("| slope | " + " | ".join(f"{s:.2f}" for s in slopes) + " |")
        for n in (1e8, 1e9):
            said = [rows[-1][k] * (n / rows[-1][0]) ** slopes[k - 1] for k in range(1, 7)]
            print(f"| {n:.0e} (extrapolated) | " + " | ".join(f"{value:,.0f}" for value in said) + " |")
        five = folder / "five"
        with five.open("wb") as out:
            for _ in range(5):
                out.write(raw)
        print("\n| `en` five times over | wall s | CPU s | peak MB |\n| --- | --- | --- | --- |")
        for label, options in (("in memory", ("--memory", "16G")), (f"--memory {MEMORY}", ("--memory", MEMORY))):
            wall, cpu, peak = run("count", five, folder / label, *options)
            print(f"| {label} | {wall:.1f} | {cpu:.1f} | {peak:,.0f} |", flush=True)
        same = all(filecmp.cmp(folder / "in memory" / file, folder / f"--memory {MEMORY}" / file, shallow=False) for file in FILES)
        print(f"\nthe files are the same, byte for byte: {same}")


if __name__ == "__main__":
    main()
