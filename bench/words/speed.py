"""How long from text to vectors, and to counts, and with how much memory, beside the peers?

Question: wall seconds, CPU seconds and peak memory of whole processes: `thalweg words fit` on the raw text of `en` with default
settings (counts kept on disk), and of `thalweg words count`; GloVe's `vocab_count`, `cooccur` and `shuffle` on our token dump; and
the rate at which gensim (skip-gram window 10 and 5, CBOW) and fastText train on the first part of the dump, one epoch, from which
their usual 5 epochs follow by multiplication: the part is small, so that its vocabulary is in their favour. Interleaved, one thread
and two; medians and quartiles.
Peers: as in peers.py (GLOVE=.../build for GloVe); one that is missing is left out.
Command: THALWEG_DATA=... GLOVE=... python bench/words/speed.py [rounds]          (about 20 minutes for 5 rounds; quiet machine)
"""

from __future__ import annotations

import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import peers

PART_LINES = 20_000  # of the dump: what the peers' training is timed on
EPOCHS = {"gensim-sg": 5, "gensim-sg-5": 5, "gensim-cbow": 5, "fasttext": 5}

RATE = """
import json, os, resource, sys, time
sys.path.insert(0, {here!r})
import peers
from pathlib import Path
began, cpu = time.monotonic(), time.process_time()
{call}
print(json.dumps([time.monotonic() - began, time.process_time() - cpu]))
"""


def process(*command: object, **options: object) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of a process and its children."""
    began = time.monotonic()
    child = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def added(*runs: tuple[float, float, float]) -> tuple[float, float, float]:
    return sum(r[0] for r in runs), sum(r[1] for r in runs), max(r[2] for r in runs)


def glove_counts(tokens: Path, folder: Path) -> tuple[float, float, float]:
    programs = Path(os.environ["GLOVE"])
    shell = [
        f"{programs}/vocab_count -min-count 5 < {tokens} > vocab",
        f"{programs}/cooccur -memory 4 -vocab-file vocab -window-size 10 < {tokens} > pairs",
        f"{programs}/shuffle -memory 4 < pairs > shuffled",
    ]
    return added(*(process("sh", "-c", line, cwd=folder) for line in shell))


def rate(peer: str, part: Path, threads: int) -> tuple[float, float, float]:
    """One epoch on the part, without the scan of the vocabulary: the difference of two epochs and one."""
    calls = {
        "gensim-sg": "peers.gensim(Path({0!r}), {1}, 0, sg=1, window=10, epochs={2})",
        "gensim-sg-5": "peers.gensim(Path({0!r}), {1}, 0, sg=1, window=5, epochs={2})",
        "gensim-cbow": "peers.gensim(Path({0!r}), {1}, 0, sg=0, window=5, epochs={2})",
        "fasttext": "peers.fasttext(Path({0!r}), {1}, 0, epochs={2})",
    }
    here = str(Path(__file__).parent)
    one, two = (
        process(sys.executable, "-c", RATE.format(here=here, call=calls[peer].format(str(part), threads, n))) for n in (1, 2)
    )
    return two[0] - one[0], two[1] - one[1], two[2]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    raw, tokens = peers.corpus_files("en", peers.RESULTS)[0], peers.dump("en")
    n_tokens = tokens.read_bytes().count(b" ") + tokens.read_bytes().count(b"\n")
    results: dict[tuple[str, int], list[tuple[float, float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        part = folder / "part"
        with tokens.open("rb") as text:
            part.write_bytes(b"".join(next(text) for _ in range(PART_LINES)))
        n_part = part.read_bytes().count(b" ") + part.read_bytes().count(b"\n")
        thalweg = [sys.executable, "-m", "thalweg", "words"]

        def ours(verb: str, threads: int) -> tuple[float, float, float]:
            shutil.rmtree(folder / "out", ignore_errors=True)
            return process(*thalweg, verb, raw, "--out", folder / "out", "--threads", threads, "--quiet")

        ours("fit", 2)  # compiled
        candidates: dict[tuple[str, int], Callable[[], tuple[float, float, float]]] = {}
        for threads in (1, 2):
            candidates["fit", threads] = partial(ours, "fit", threads)
            candidates["count", threads] = partial(ours, "count", threads)
        if "GLOVE" in os.environ:
            candidates["GloVe vocab_count, cooccur, shuffle", 1] = partial(glove_counts, tokens, folder)
        for round_ in range(rounds):
            for key, run in candidates.items():
                if "GloVe" in key[0] and round_ >= 1:  # two minutes
                    continue
                results[key].append(run())
                print(round_, key, [round(x, 1) for x in results[key][-1]], file=sys.stderr, flush=True)
            if round_ < 1:
                for peer in EPOCHS:
                    for threads in (1, 2):
                        results[peer, threads].append(rate(peer, part, threads))
                        print(round_, peer, threads, [round(x, 1) for x in results[peer, threads][-1]], file=sys.stderr, flush=True)
    print(f"en: {n_tokens:,} tokens in the vocabulary; the peers' epochs timed on {n_part:,} of them\n")
    print("| program | threads | wall s | CPU s | peak MB | wall, times fit |\n| --- | --- | --- | --- | --- | --- |")
    with (peers.RESULTS.parent / "words-speed.csv").open("w", newline="") as out:
        csv.writer(out).writerows([*key, *run] for key, runs in results.items() for run in runs)
    for (what, threads), runs in results.items():
        times = EPOCHS.get(what, 1) * (n_tokens / n_part if what in EPOCHS else 1)
        wall, cpu, peak = (statistics.median(run[k] for run in runs) for k in range(3))
        label = {"fit": "thalweg words fit", "count": "thalweg words count"}.get(what, what)
        if what in EPOCHS:
            label += f", {EPOCHS[what]} epochs (training only, from a rate)"
        base = [run[0] for run in results["fit", threads]]
        ratios = sorted(times * run[0] / b for run in runs for b in base)
        low, middle, high = (ratios[int(q * (len(ratios) - 1))] for q in (0.25, 0.5, 0.75))
        ratio = "1" if what == "fit" else f"{middle:.1f} ({low:.1f} to {high:.1f})"
        shown_peak = f"{peak:,.0f}" if what not in EPOCHS else "-"
        print(f"| {label} | {threads} | {times * wall:,.1f} | {times * cpu:,.1f} | {shown_peak} | {ratio} |")


if __name__ == "__main__":
    main()
