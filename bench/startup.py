"""How long until something happens?

Question: wall and CPU seconds of a bare interpreter, of our imports, of help texts and of a query, each a process of its own.
Peers: `import gensim` for the import; the bare interpreter is the floor of everything.
Data: vectors fitted to a small generated text, in a temporary folder.
Interleaved, 11 rounds, medians and quartiles.
Command: python bench/startup.py          (about 1 minute)
"""

import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from thalweg import __version__, words

ROUNDS = 11
PYTHON = sys.executable
THALWEG = str(Path(PYTHON).with_name("thalweg"))


def commands(vectors: str) -> dict[str, list[str]]:
    return {
        "python -c pass": [PYTHON, "-c", "pass"],
        "import thalweg": [PYTHON, "-c", "import thalweg"],
        "import thalweg.words": [PYTHON, "-c", "import thalweg.words"],
        "import thalweg.optim": [PYTHON, "-c", "import thalweg.optim"],
        "import numpy": [PYTHON, "-c", "import numpy"],
        "import gensim": [PYTHON, "-c", "import gensim"],
        "thalweg --help": [THALWEG, "--help"],
        "thalweg words fit --help": [THALWEG, "words", "fit", "--help"],
        "thalweg words related (small vectors)": [THALWEG, "words", "related", vectors, "a1"],
    }


def run(command: list[str]) -> tuple[float, float, bool]:
    """Wall and CPU seconds of a process, and whether it succeeded."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime, done.returncode == 0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        vectors = str(Path(folder, "vec"))
        words.fit([" ".join(f"a{(7 * k + j * j) % 50}" for j in range(20)) for k in range(200)], dim=16).save(vectors)
        jobs = {name: command for name, command in commands(vectors).items() if run(command)[2]}
        times: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in jobs}
        for _ in range(ROUNDS):
            for name, command in jobs.items():
                times[name].append(run(command))
    print(f"thalweg {__version__}, Python {platform.python_version()}, {date.today()}, medians of {ROUNDS} rounds (quartiles)\n")
    print("| what | wall s | CPU s |\n| --- | --- | --- |")
    for name, rounds in times.items():
        cells = []
        for k in (0, 1):
            low, middle, high = statistics.quantiles([r[k] for r in rounds], n=4)
            cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        print(f"| `{name}` | {' | '.join(cells)} |")
    for name in commands(vectors).keys() - jobs.keys():
        print(f"(`{name}` failed here and is left out; `make bench` installs the peers)")


if __name__ == "__main__":
    main()
