"""Results as they stood before the house was put in order, so that a change of its rooms cannot change a number unseen.

    python tests/digests.py        print what this tree gives
    python tests/digests.py write  store it in tests/digests.json, beside what other processors gave

Counts and vocabularies are whole numbers and sums in a fixed order: the same bits everywhere. Vectors and optimizer steps are the
same bits on one kind of processor with one set of libraries, and are kept for each; elsewhere a few of their numbers are compared.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from thalweg import optim, words
from thalweg.optim import torch as optimizers

STORED = Path(__file__).with_name("digests.json")
FITS: dict[str, dict[str, Any]] = {
    "als": {},
    "als shared": {"model": "shared"},
    "als pmi": {"objective": "pmi", "epochs": 3},
    "svd": {"solver": "svd"},
    "adagrad glove": {"solver": "adagrad", "objective": "glove", "epochs": 3},
    "adagrad shared": {"solver": "adagrad", "objective": "pmi", "model": "shared", "epochs": 3},
    "source": {"preset": "source", "epochs": 3, "dim": 16},
    "held out": {"holdout": 0.1, "start": "noise"},
    "shifted": {"shift": 1.0, "subsample": 1e-3, "theta": 0.3, "ridge": 0.1, "floor": -2.0, "beta": 0.5},
}


def texts() -> list[str]:
    """A corpus with marks, numbers, Chinese and two normal forms, drawn from a power law by integers alone."""
    base = [
        "river",
        "água",
        "naïve",
        "naïve",
        "Ωmega",
        "café",
        "3.14",
        "42",
        "don't",
        "mother-in-law",
        "love❤️you",
        "机场",
        "火车站",
        "飞机",
        "数学",
    ]
    names = [*base, *(f"w{k:02x}" for k in range(120))]
    state, lines = 12345, []
    for _ in range(1500):
        line = []
        for _ in range(12):
            state = (1103515245 * state + 12345) % (1 << 31)
            line.append(names[len(names) * (state >> 11) ** 2 // (1 << 40)])
        lines.append(" ".join(line))
    return lines


def host() -> str:
    """What the bits of floating-point results depend on: processor and libraries."""
    import numba
    import torch
    from llvmlite import binding

    features = hashlib.sha256(binding.get_host_cpu_features().flatten().encode()).hexdigest()[:8]
    versions = f"numpy {np.__version__}, numba {numba.__version__}, torch {torch.__version__.partition('+')[0]}"
    return f"{binding.get_host_cpu_name()} {features}, {versions}"


def portable() -> dict[str, str]:
    """Digests that are the same on every machine: what was read and counted."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in {"as it is": {}, "on disk": {"memory": 256 << 20}, "phrases": {"phrases": 0.2}}.items():
            out = Path(folder) / name.replace(" ", "-")
            corpus = Path(folder) / f"{out.name}.txt"
            corpus.write_text("\n".join(texts()), encoding="utf-8")
            words.fit(corpus, out=out, dim=4, epochs=0, subwords=0, threads=1, **options)
            files = sorted(path for path in (out / "counts").iterdir() if path.name != "manifest.json")
            found |= {f"counts {name}: {path.name}": _sha(path.read_bytes()) for path in files}
            found[f"vectors {name}: vocab.json"] = _sha((out / "vocab.json").read_bytes())
    return found


def local() -> dict[str, tuple[str, list[float]]]:
    """Digests of this processor, each with some of the numbers: vectors of every solver, steps of every rule."""
    found = {}
    for name, options in FITS.items():
        wv = words.fit(texts(), threads=1, **({"dim": 20} | options))
        arrays = [wv.word, wv.context, wv.spectrum, *([wv.letters, wv.ngrams.vectors] if wv.ngrams is not None else [])]
        found[f"fit {name}"] = _pair(arrays, [*wv.energy_path[-1:], *np.abs((wv.word @ wv.context.T)[:2, :3]).ravel()])
    wv = words.fit(texts(), threads=1, dim=20)
    answers = [wv.related("river"), wv.similar("w01"), wv.keywords(texts()[0])]
    numbers = [float(entry[1]) for answer in answers for entry in answer[:3]]
    found["answers"] = (_sha(json.dumps(answers, ensure_ascii=False).encode()), numbers)
    for name in optim.RULES | optim.MATRIX:
        found[f"rule {name}"] = _reference(name)
        found[f"torch {name}"] = _torch(name)
    return found


def _reference(name: str) -> tuple[str, list[float]]:
    rule = optim.get(name)(lr=0.05)
    p = np.sin(np.arange(12.0)).reshape(3, 4)
    s = rule.init(p)
    for t in range(1, 6):
        p, s = rule.step(p, p * np.arange(1, 13).reshape(3, 4) / 7 - t / 50, s, t)
    return _pair([p], p.ravel()[:4])


def _torch(name: str) -> tuple[str, list[float]]:
    import torch

    shapes = [(3, 4), (7,), (5, 2, 2)] if name not in ("muon",) else [(3, 4), (8, 4)]
    parameters = [torch.nn.Parameter(torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape)) for shape in shapes]
    optimizer = optimizers.Optimizer(parameters, optim.get(name)(lr=0.05))
    for t in range(1, 6):
        for k, parameter in enumerate(parameters):
            parameter.grad = parameter.detach() * (k + 1) - t / 50
        optimizer.step()
    state = optimizer.state_dict()
    arrays = [parameter.detach().numpy() for parameter in parameters]
    told = []
    for index, slots in sorted(state["state"].items()):
        for slot, value in sorted(slots.items()):
            told.append((index, slot, str(getattr(value, "dtype", type(value))), list(getattr(value, "shape", []))))
            arrays.append(np.asarray(value))
    groups = [{key: value for key, value in group.items() if key != "params"} for group in state["param_groups"]]
    told.append(json.dumps(groups, default=str, sort_keys=True))
    return _pair(arrays, arrays[0].ravel()[:4], json.dumps(told))


def _pair(arrays: list[Any], numbers: Any, told: str = "") -> tuple[str, list[float]]:
    parts = [np.ascontiguousarray(array) for array in arrays]
    text = json.dumps([(str(part.dtype), part.shape) for part in parts]) + told
    return _sha(text.encode() + b"".join(part.tobytes() for part in parts)), [float(f"{float(number):.5g}") for number in numbers]


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def main(write: bool) -> None:
    found = local()
    kept: dict[str, Any] = json.loads(STORED.read_text("utf-8")) if STORED.exists() else {"hosts": {}}
    kept["portable"] = portable()
    kept["numbers"] = {name: numbers for name, (_, numbers) in found.items()}
    kept["hosts"][host()] = {name: digest for name, (digest, _) in found.items()}
    text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    if write:
        STORED.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1:] == ["write"])
