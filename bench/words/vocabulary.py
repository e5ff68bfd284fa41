"""What do very many different words cost, when memory is short?

Question: peak memory and wall time of `thalweg words count` on made text of 30 M tokens with 5 M different words, at several
`--memory`; the files must be the same, byte for byte (all but the manifest, which tells the times).
Command: python bench/words/vocabulary.py          (about 2 minutes, 1 GB of disk)
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from speed import process

TOKENS, FRESH = 30_000_000, 5_000_000
BUDGETS = ("256M", "512M", "12G")


def make(path: Path) -> None:
    """Words of a Zipf law, and FRESH that occur once or twice, strewn among them."""
    rng = np.random.default_rng(0)
    usual = np.minimum(rng.zipf(1.3, TOKENS), 50_000)
    strewn = rng.random(TOKENS) < 1.2 * FRESH / TOKENS
    usual[strewn] = 100_000 + rng.integers(0, 2 * FRESH, int(strewn.sum()))
    with path.open("w") as out:
        for start in range(0, TOKENS, 20):
            out.write(" ".join(f"w{k:x}" for k in usual[start : start + 20]) + "\n")


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:12]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        text, out = Path(name) / "text.txt", Path(name) / "out"
        # in a process of its own: Linux counts what a parent has held towards the peak of its children
        subprocess.run([sys.executable, __file__, str(text)], check=True)
        print("| --memory | wall s | peak MB | files |\n| --- | --- | --- | --- |")
        for budget in BUDGETS:
            shutil.rmtree(out, ignore_errors=True)
            command = [sys.executable, "-m", "thalweg", "words", "count", text, "--out", out, "--memory", budget, "--quiet"]
            wall, _, peak = process(*command)
            print(f"| {budget} | {wall:.0f} | {peak:,.0f} | {digest(out)} |", flush=True)


if __name__ == "__main__":
    make(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
