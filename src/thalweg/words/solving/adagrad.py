"""The source's solver, kept for fidelity: AdaGrad over the records of the table, one at a time, in float64.

    error = <u_i, k_j> - t_ij                    (glove: + b_i + c_j - ln X_ij, the biases being free)
    g     = w_ij error k_j  for u_i,   w_ij error u_i  for k_j, both from the old values
    G    <- G + g^2,   then   v <- v - lr g / sqrt(G + 1e-8),   G = 1 at the start

as the source's program does it (Su Jianlin 2017, simpler_glove; the essay's formula (23) lacks the root and uses the old G).
GloVe's own program multiplies the error by lr before it is squared into G. Records are both orders of every pair, in an order
shuffled once by the seed; vectors start uniform in +-1/(2 dim).

Words are dealt out to SLICES hands, and the records to blocks by the two hands that they touch. The blocks are gone through in
rounds, as in a tournament: within a round no hand is in two blocks, so that these run at the same time and the result has the same
bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError
from thalweg.jit import kernel
from thalweg.progress import Progress
from thalweg.threads import run_tasks
from thalweg.words.solving.als import Checkpoint
from thalweg.words.solving.objective import Floats, Table
from thalweg.words.solving.settings import Settings

SLICES = 16  # an even number; blocks of a round: half as many


def tournament(n: int) -> list[list[tuple[int, int]]]:
    """Rounds in which each of n (even) meets every other once; in round 0 each meets itself; none appears twice in a round."""
    rounds = [[(k, k) for k in range(n)]]
    for turn in range(n - 1):  # the last stands still, the others move on by one
        circle = [(turn + k) % (n - 1) for k in range(n - 1)]
        pairs = [(circle[0], n - 1), *((circle[k], circle[-k]) for k in range(1, n // 2))]
        rounds.append([(min(pair), max(pair)) for pair in pairs])
    return rounds


def descend(
    table: Table,
    dim: int,
    settings: Settings,
    given: tuple[Floats, Floats] | None = None,
    *,
    threads: int | None = None,
    state: Mapping[str, npt.NDArray[Any]] | None = None,
    path: Sequence[dict[str, float]] = (),
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[Floats, Floats, list[dict[str, float]]]:
    """Word and context vectors (the same for the shared model), and J before the first and after every pass.

    given: vectors to start from. checkpoint(state, path) is called after every pass; with these as arguments the rest of the
    passes gives the same bits. Raises InputError if J is not finite.
    """
    rng = np.random.default_rng(settings.seed)
    n_words, n = len(table.pull), len(table.columns)
    rows = np.repeat(np.arange(n_words, dtype=np.int32), np.diff(table.indptr))
    order = rng.permutation(n).astype(np.int32 if n < 1 << 31 else np.int64)
    rounds = _blocks(order, rows, table.columns)
    sides = ("word",) if settings.model == "shared" else ("word", "context")
    now = {name: np.zeros((n_words, dim + 1)) for name in sides}  # the last column is the bias
    for k, name in enumerate(sides):
        now[name][:, :dim] = (rng.random((n_words, dim)) - 0.5) / dim if given is None else given[k]
        now[f"{name}_squares"] = np.ones((n_words, dim + 1))
    now |= {name: array.copy() for name, array in (state or {}).items()}
    other = sides[-1]  # in the shared model the word itself
    word, context, squares, context_squares = now["word"], now[other], now["word_squares"], now[f"{other}_squares"]
    glove = settings.objective == "glove"
    to_target = table.to_log if glove else np.zeros(n_words)  # ln X_ij, or t_ij
    base = table.log_base if glove else 0.0
    entries = rows, table.columns, table.weights, table.targets, to_target, base
    arrays = word, context, squares, context_squares

    def passed(lr: float) -> float:
        """A pass over all records; the energy before each update, summed in a fixed order."""
        parts = [
            run_tasks(lambda block: float(_pass(block, *entries, *arrays, lr, glove)), each, threads, blas=False) for each in rounds
        ]
        return sum(sum(part) for part in parts)

    path = list(path)
    for epoch in range(len(path), settings.sweeps + 1):
        energy = passed(0.0)
        if not np.isfinite(energy):
            msg = f"the energy is not finite after {epoch} passes: lower lr ({settings.lr:g})"
            raise InputError(msg)
        path.append({"energy": energy, "seen": energy, "all_pairs": 0.0, "ridge": 0.0})
        if progress is not None:
            progress(epoch, settings.sweeps, phase="solving", unit="passes", energy=energy)
        if epoch < settings.sweeps:
            passed(settings.lr)
            if checkpoint is not None:
                checkpoint(now, path)
    return word[:, :dim].astype(np.float32), context[:, :dim].astype(np.float32), path


def _blocks(
    order: npt.NDArray[Any], rows: npt.NDArray[np.int32], columns: npt.NDArray[np.int32]
) -> list[list[tuple[npt.NDArray[Any]]]]:
    """The records of each block of each round, in their order."""
    rounds = tournament(SLICES)
    number = np.zeros((SLICES, SLICES), np.uint8)
    for k, (a, b) in enumerate(pair for each in rounds for pair in each):
        number[a, b] = number[b, a] = k
    block = number[rows % SLICES, columns % SLICES][order]
    ordered = order[np.argsort(block, kind="stable")]
    parts = iter(np.split(ordered, np.cumsum(np.bincount(block, minlength=number.max() + 1))[:-1]))
    return [[(next(parts),) for _ in each] for each in rounds]


@kernel
def _pass(order, rows, columns, weights, targets, to_target, base, word, context, squares, context_squares, lr, biased):  # type: ignore[no-untyped-def]
    """One pass over the records; returns sum 1/2 w error^2, each error before its update. With lr 0 nothing is changed."""
    dim = word.shape[1] - 1
    total = 0.0
    for n in range(len(order)):
        e = order[n]
        i, j = np.int64(rows[e]), np.int64(columns[e])
        error = -(targets[e] + to_target[i] + to_target[j] + base)
        for k in range(dim):
            error += word[i, k] * context[j, k]
        if biased:
            error += word[i, dim] + context[j, dim]
        pushed = weights[e] * error
        total += 0.5 * pushed * error
        if lr > 0:
            for k in range(dim):
                g_word, g_context = pushed * context[j, k], pushed * word[i, k]
                squares[i, k] += g_word * g_word
                context_squares[j, k] += g_context * g_context
                word[i, k] -= lr * g_word / np.sqrt(squares[i, k] + 1e-8)
                context[j, k] -= lr * g_context / np.sqrt(context_squares[j, k] + 1e-8)
            if biased:
                squares[i, dim] += pushed * pushed
                context_squares[j, dim] += pushed * pushed
                word[i, dim] -= lr * pushed / np.sqrt(squares[i, dim] + 1e-8)
                context[j, dim] -= lr * pushed / np.sqrt(context_squares[j, dim] + 1e-8)
    return total
