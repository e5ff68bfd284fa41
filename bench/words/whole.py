"""Whole runs, in pairs: from the text of `en` to vectors on disk, and nothing else on the machine.

Question: how many times as long does gensim take (skip-gram, window 10, 5 epochs; CBOW) as `thalweg words fit` with default
settings? Each run is a fresh process: ours reads the raw text, the peer our token dump (it is spared the tokeniser), builds its
vocabulary, trains and saves. Taken in turn, each after one of ours; the ratio is that of neighbours; medians and ranges.
Command: THALWEG_DATA=... python bench/words/whole.py [rounds] [threads] [peer ...]   (9 minutes a round of gensim-sg, two threads)
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import peers
from speed import process


def main() -> None:
    rounds, threads = (int(word) for word in [*sys.argv[1:3], "3", "2"][:2]) if len(sys.argv) != 2 else (int(sys.argv[1]), 2)
    chosen = sys.argv[3:] or ["gensim-sg", "gensim-cbow"]
    raw = peers.corpus_files("en", peers.RESULTS)[0]
    peers.dump("en")
    runs: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    ratios: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"

        def ours() -> tuple[float, float, float]:
            shutil.rmtree(out, ignore_errors=True)
            return process(sys.executable, "-m", "thalweg", "words", "fit", raw, "--out", out, "--threads", threads, "--quiet")

        ours()  # compiled
        for round_ in range(rounds):
            for peer in chosen:
                runs["thalweg words fit"].append(ours())
                script = Path(__file__).parent / "peers.py"
                runs[peer].append(
                    process(sys.executable, script, "en", peer, "--threads", threads, "--seed", 100 + round_, "--here")
                )
                ratios[peer].append(runs[peer][-1][0] / runs["thalweg words fit"][-1][0])
                print(
                    round_,
                    peer,
                    [round(x, 1) for x in (*runs["thalweg words fit"][-1], *runs[peer][-1])],
                    file=sys.stderr,
                    flush=True,
                )
                (peers.RESULTS / f"en.{peer}.{100 + round_}.npz").unlink(missing_ok=True)
    print(f"{threads} threads\n\n| program | runs | wall s (range) | CPU s | peak MB | times fit, of neighbours (range) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for what, each in runs.items():
        wall, cpu, peak = ([run[k] for run in each] for k in range(3))
        times = ratios.get(what)
        told = f"{statistics.median(times):.1f} ({min(times):.1f} to {max(times):.1f})" if times else "1"
        spread = f"{statistics.median(wall):.1f} ({min(wall):.1f} to {max(wall):.1f})"
        print(f"| {what} | {len(each)} | {spread} | {statistics.median(cpu):.1f} | {statistics.median(peak):,.0f} | {told} |")


if __name__ == "__main__":
    main()
