"""`thalweg capsules cluster`: the rows of a table, by the energy of `SoftKMeans`."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thalweg import options
from thalweg.console import Console
from thalweg.errors import InputError, UsageError
from thalweg.files import atomic, check_output, write_pages

if TYPE_CHECKING:
    from thalweg.capsules.softkmeans import SoftKMeans
    from thalweg.capsules.tables import Table

KIND, VERSION = "thalweg-clusters", 1
DISTANCES = ["sqeuclidean", "cosine", "inner"]


class Temperature(click.ParamType):  # type: ignore[type-arg]
    """A number above 0, inf or auto."""

    name = "b"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value == "auto":
            return "auto"
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not number > 0:
            self.fail(f"{value!r} is not a number above 0, inf (hard clusters) or auto", param, ctx)
        return number


@options.command(
    "cluster",
    examples=[
        "thalweg capsules cluster digits --n-clusters 10 --out clusters",
        "thalweg capsules cluster t.csv --n-clusters 5 --distance cosine --out out",
    ],
)
@click.argument("data", metavar="DATA")
@options.option("--n-clusters", type=options.Number(int, low=1), required=True, metavar="K", help="How many clusters.")
@options.option(
    "--inverse-temperature", type=Temperature(), default="auto", metavar="B",
    help="How hard clusters are: a number, inf (K-Means) or auto, as wide as they are.",
)  # fmt: skip
@options.option("--distance", type=options.Choice(DISTANCES), default="sqeuclidean", help="Of a row from a centre.")
@options.option("--columns", metavar="A,B,...", help="The columns to take, by name or number.  [default: all]")
@options.option("--array", metavar="NAME", help="Which array of an .npz is the table.")
@options.option("--n-init", type=options.Number(int, low=1), default=1, metavar="N", help="Starts, of which the best is kept.")
@options.option("--anneal", is_flag=True, help="Follow the clusters from the temperature at which they are one.")
@options.option("--max-iter", type=options.Number(int, low=1), default=300, help="Rounds at most.", advanced=True)
@options.option("--tol", type=options.Number(float, low=0), default=1e-4, help="How still centres have to be.", advanced=True)
@options.seed_option
@options.threads_option
@options.out_option(required=True)
@options.overwrite_option
@options.json_option
@options.quiet_option
def cluster(
    data: str,
    n_clusters: int,
    inverse_temperature: float | str,
    distance: str,
    columns: str | None,
    array: str | None,
    n_init: int,
    anneal: bool,
    max_iter: int,
    tol: float,
    seed: int,
    threads: int | None,
    out: Path,
    overwrite: bool,
    json: bool,
    quiet: bool,
) -> None:
    """Find clusters of the rows of DATA, a .csv, .npy or .npz file, or "digits", pictures that scikit-learn brings.

    Writes labels.csv (the nearest centre of each row and how far it belongs there), responsibilities.npy (n, k), centers.csv,
    energy.csv (a line for each round), picture.svg and manifest.json. Columns are taken as they are: bring them to one scale
    first where their units differ.
    """
    if anneal and distance != "sqeuclidean":
        msg = f"--anneal is for --distance sqeuclidean, not {distance}"
        raise UsageError(msg)
    check_output(out, overwrite)
    console = Console(json=json, quiet=quiet, command="capsules cluster")
    from thalweg.capsules import tables
    from thalweg.capsules.softkmeans import SoftKMeans

    table = tables.read(data, [name.strip() for name in columns.split(",")] if columns else (), array)
    if len(table.x) < n_clusters:
        msg = f"{data} has {len(table.x)} rows, fewer than --n-clusters {n_clusters}"
        raise InputError(msg)
    model = SoftKMeans(
        n_clusters, inverse_temperature=inverse_temperature, distance=distance, n_init=n_init, max_iter=max_iter, tol=tol,
        anneal="critical" if anneal else None,
        random_state=seed % 2**32, n_jobs=threads,
    )  # fmt: skip
    with console.progress() as progress, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(table.x, progress=progress)
    for each in told:
        console.note(str(each.message))
    couplings = model.responsibilities(table.x)
    _write(out, overwrite, model, table, couplings)
    sizes = [int((model.labels_ == j).sum()) for j in range(n_clusters)]
    b = model.inverse_temperature_
    value = {
        "out": out, "rows": len(table.x), "columns": len(table.columns), "inverse_temperature": b if math.isfinite(b) else "inf",
        "free_energy": model.free_energy_, "inertia": model.inertia_, "rounds": model.n_iter_, "sizes": sizes,
        "splits": getattr(model, "splits_", None),
    }  # fmt: skip

    def show() -> None:
        head = ["cluster", "rows", "share", *table.columns[:4], *(["..."] if len(table.columns) > 4 else [])]
        rows = []
        for j in sorted(range(n_clusters), key=lambda j: -sizes[j]):
            centre = [f"{value:.4g}" for value in model.cluster_centers_[j, :4]]
            rows.append([j, sizes[j], f"{100 * sizes[j] / len(table.x):.1f}%", *centre, *([""] if len(table.columns) > 4 else [])])
        console.table(head, rows)
        unit = {"sqeuclidean": "squared units of the columns", "cosine": "1 - cosine", "inner": "inner product"}[distance]
        warmth = "hard (inverse temperature inf)" if math.isinf(b) else f"soft, inverse temperature {b:.4g} per {unit}"
        console.note(f"{len(table.x):,} rows of {len(table.columns)} columns; {warmth}")
        console.note(
            f"energy {model.energy_path_[0]:.6g} -> {model.free_energy_:.6g} in {model.n_iter_} rounds, {console.elapsed()}"
        )

    console.result(value, show)
    console.note(f"written to {out}: labels.csv, responsibilities.npy, centers.csv, energy.csv, picture.svg")


def _write(out: Path, overwrite: bool, model: SoftKMeans, table: Table, couplings: Any) -> None:
    import numpy as np

    from thalweg.capsules import pictures

    sure = couplings.max(axis=1)
    pages = {
        "labels.csv": _csv(["row", "cluster", "responsibility"], zip(range(1, len(sure) + 1), model.labels_, sure, strict=True)),
        "centers.csv": _csv(table.columns, model.cluster_centers_.tolist()),
        "energy.csv": _csv(["round", "energy"], enumerate(model.energy_path_.tolist())),
        "picture.svg": pictures.clusters(table.x, model.labels_, couplings, model.cluster_centers_),
    }
    write_pages(out, KIND, VERSION, pages, overwrite)
    with atomic(out / "responsibilities.npy") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(couplings), allow_pickle=False)


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
