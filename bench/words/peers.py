"""Vectors by the programs that thalweg.words is compared with, on our own token dump, at their usual settings.

Question: none; this makes what quality.py evaluates and speed.py times: one .npz (words, vectors) a run, and a line of CPU seconds,
wall seconds and peak memory of the process. Peers: gensim skip-gram and CBOW (Mikolov et al. 2013), fastText (Bojanowski et al.
2017), GloVe (Pennington et al. 2014; C, counts and shuffles first). Every peer reads the same words (count 5 and more) in the same
lines, cut by our tokeniser. Dimension 128. GloVe: `git clone https://github.com/stanfordnlp/GloVe; make -C GloVe`, then
GLOVE=.../GloVe/build. fastText: pip install fasttext-wheel; gensim: pip install gensim.
Command: THALWEG_DATA=... python bench/words/peers.py en gensim-sg gensim-sg-5 glove fasttext         (hours on two cores)
"""

from __future__ import annotations

import argparse
import bz2
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent.parent / "results" / "peers"
CORPORA = {"en": ["en"], "zh": ["zh", "zh_extra"]}
DIM = 128


def corpus_files(name: str, folder: Path) -> list[Path]:
    """The raw texts of a corpus, decompressed once."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for part in CORPORA[name]:
        path = folder / f"{part}.txt"
        if not path.exists():
            path.write_bytes(bz2.decompress((Path(os.environ["THALWEG_DATA"]) / "corpora" / f"{part}.txt.bz2").read_bytes()))
        found.append(path)
    return found


def dump(name: str, folder: Path = RESULTS) -> Path:
    """The corpus as our tokeniser cuts it, words of the vocabulary only, a unit a line (made once)."""
    path = folder / f"{name}.tokens"
    if not path.exists():
        from thalweg import words

        tokens = words.read(corpus_files(name, folder))
        spelled = np.array([*tokens.words, "\n"], dtype=object)  # EDGE = -1 takes the last place
        scratch = path.with_suffix(".part")
        with scratch.open("w", encoding="utf-8") as out:
            for start in range(0, len(tokens.ids), 1 << 20):
                out.write(" ".join(spelled[tokens.ids[start : start + (1 << 20)]]).replace(" \n ", "\n").replace("\n ", "\n") + " ")
            out.write("\n")
        scratch.replace(path)
    return path


def gensim(tokens: Path, threads: int, seed: int, *, sg: int, window: int, epochs: int = 5) -> tuple[list[str], np.ndarray]:
    from gensim.models import Word2Vec

    model = Word2Vec(
        corpus_file=str(tokens), vector_size=DIM, sg=sg, window=window, negative=5, epochs=epochs, min_count=5, workers=threads,
        seed=seed,
    )  # fmt: skip
    return model.wv.index_to_key, model.wv.vectors


def fasttext(tokens: Path, threads: int, seed: int, *, window: int = 5, epochs: int = 5) -> tuple[list[str], np.ndarray]:
    import fasttext as program

    model = program.train_unsupervised(
        str(tokens), "skipgram", dim=DIM, ws=window, epoch=epochs, minCount=5, thread=threads, verbose=0
    )
    names = [word for word in model.get_words() if word != "</s>"]
    return names, np.array([model.get_word_vector(word) for word in names])


def glove(tokens: Path, threads: int, seed: int, *, window: int = 10, epochs: int = 15) -> tuple[list[str], np.ndarray]:
    programs = Path(os.environ["GLOVE"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tokens.open() as text, (folder / "vocab").open("w") as out:
            subprocess.run([programs / "vocab_count", "-min-count", "5", "-verbose", "0"], stdin=text, stdout=out, check=True)
        cooccur = [programs / "cooccur", "-memory", "4", "-vocab-file", folder / "vocab", "-verbose", "0"]
        with tokens.open() as text, (folder / "pairs").open("wb") as out:
            subprocess.run([*cooccur, "-window-size", str(window)], stdin=text, stdout=out, check=True, cwd=folder)
        shuffle = [programs / "shuffle", "-memory", "4", "-verbose", "0", "-seed", str(seed + 1)]
        with (folder / "pairs").open("rb") as pairs, (folder / "shuffled").open("wb") as out:
            subprocess.run(shuffle, stdin=pairs, stdout=out, check=True, cwd=folder)
        train = [programs / "glove", "-save-file", folder / "vectors", "-input-file", folder / "shuffled", "-vocab-file"]
        train += [folder / "vocab", "-threads", str(threads), "-vector-size", str(DIM), "-iter", str(epochs), "-binary", "0"]
        subprocess.run([*train, "-seed", str(seed + 1), "-verbose", "0"], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        rows = [line.split(" ") for line in (folder / "vectors.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")]
    rows = [row for row in rows if row[0] != "<unk>"]
    return [row[0] for row in rows], np.array([row[1:] for row in rows], np.float32)


PEERS: dict[str, Callable[[Path, int, int], tuple[list[str], np.ndarray]]] = {
    "gensim-sg": lambda *a: gensim(*a, sg=1, window=10),
    "gensim-sg-5": lambda *a: gensim(*a, sg=1, window=5),
    "gensim-cbow": lambda *a: gensim(*a, sg=0, window=5),
    "fasttext": fasttext,
    "glove": glove,
}


def train(name: str, peer: str, threads: int, seed: int) -> None:
    """One run in this process; its figures go to stdout, its vectors to RESULTS."""
    tokens = dump(name)
    began = time.monotonic()
    names, vectors = PEERS[peer](tokens, threads, seed)
    wall = time.monotonic() - began
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    facts = {
        "corpus": name, "peer": peer, "threads": threads, "seed": seed, "wall_s": round(wall, 1), "words": len(names),
        "cpu_s": round(sum(u.ru_utime + u.ru_stime for u in usage), 1), "peak_mb": max(u.ru_maxrss for u in usage) // 1000,
    }  # fmt: skip
    np.savez(RESULTS / f"{name}.{peer}.{seed}.npz", words=np.array(names, dtype=str), vectors=vectors.astype(np.float32))
    print(json.dumps(facts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", choices=list(CORPORA))
    parser.add_argument("peers", nargs="+", choices=list(PEERS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--here", action="store_true", help="train in this process (used by the script itself)")
    given = parser.parse_args()
    if given.here:
        train(given.corpus, given.peers[0], given.threads, given.seed)
        return
    dump(given.corpus)
    for peer in given.peers:  # a process each, so that memory and CPU time are its own
        extra = ["--threads", str(given.threads), "--seed", str(given.seed), "--here"]
        subprocess.run([sys.executable, __file__, given.corpus, peer, *extra], check=False)


if __name__ == "__main__":
    main()
