"""How close the inner products come to the counted mutual information, over the pairs that met, weighted as in the energy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from thalweg.errors import InputError
from thalweg.words.solving import holdout, objective
from thalweg.words.solving.objective import Floats, Table
from thalweg.words.solving.settings import Settings
from thalweg.words.vectors.readout import Readout

_BLOCK = 1 << 18  # pairs at a time


@dataclass(frozen=True)
class Fit:
    """Of <u_i, k_j> against t_ij: r2 (NaN where all pairs have one value), mean error and root mean square error in nats.

    n_pairs: pairs of different words, each in one order. held_out: the same of the pairs that the solver did not see, where there
    are any; the others are then those that it saw.
    """

    n_pairs: int
    r2: float
    mean_error: float
    rms_error: float
    held_out: Fit | None = None


def predictions(table: Table, vectors: Readout) -> Floats:
    """<u_i, k_j> for every entry of a table.   (nnz,)"""
    rows = np.repeat(np.arange(len(vectors), dtype=np.int32), np.diff(table.indptr))
    predicted = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        predicted[part] = np.einsum("nd,nd->n", vectors.word[rows[part]], vectors.context[table.columns[part]])
    return predicted


def of_table(table: Table, predicted: Floats) -> Fit:
    """The weighted figures: R^2 = 1 - sum w (x - t)^2 / sum w (t - mean t)^2; NaN of a table without pairs."""
    if not len(predicted):
        return Fit(0, float("nan"), float("nan"), float("nan"))
    targets, weights = table.targets, table.weights.astype(np.float64)
    errors = predicted - targets
    mean = np.average(targets, weights=weights)
    spread = float(np.average((targets - mean) ** 2, weights=weights))
    missed = float(np.average(errors**2, weights=weights))
    r2 = 1 - missed / spread if spread > 0 else float("nan")
    return Fit(len(errors) // 2, r2, float(np.average(errors, weights=weights)), missed**0.5)


def of_vectors(vectors: Readout) -> Fit:
    """The fit of vectors to the counts that they came from. Raises InputError if those are not at hand."""
    counts = vectors.pair_counts
    if counts is None:
        msg = f"{vectors.name} has no counts beside it, so that its fit cannot be measured"
        raise InputError(msg)
    settings = Settings(**vectors.info.get("settings", {}))
    table = objective.table(counts, settings)
    if not settings.holdout:
        return of_table(table, predictions(table, vectors))
    return of_both(*holdout.split(table, settings.holdout, settings.seed), vectors)


def of_both(seen: Table, held_out: Table, vectors: Readout) -> Fit:
    """The fit to the pairs that the solver saw, and to those that it did not."""
    seen_fit, other = (of_table(table, predictions(table, vectors)) for table in (seen, held_out))
    return replace(seen_fit, held_out=other)
