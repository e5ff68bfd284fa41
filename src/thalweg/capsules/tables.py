"""Tables of numbers from a user's file: .csv (any of , ; tab, with a header or without), .npy and .npz.

Nothing is guessed: a column that is not numeric is named and refused, unless the columns to take are named.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.errors import InputError, MissingFileError, near_misses

ARRAYS = ("X", "x", "data", "x_train")  # names of an .npz that are looked for
DIGITS = "digits"  # 1,797 pictures of 8 x 8 pixels that scikit-learn brings
SHOWN = 5  # columns that a message names


@dataclass(frozen=True)
class Table:
    """x: (n, d), float32 if the file has it, else float64; columns: their names."""

    x: npt.NDArray[Any]
    columns: list[str]


def read(path: str | Path, columns: Sequence[str] = (), array: str | None = None) -> Table:
    """The table in a file, or scikit-learn's "digits".

    columns: those to take, by name or number from 1; array: which one of an .npz.
    Raises InputError, in one line with the place, for whatever is no table of finite numbers.
    """
    path = Path(path)
    if str(path) == DIGITS and not path.exists():
        from sklearn.datasets import load_digits

        return Table(load_digits().data, [f"pixel{k + 1}" for k in range(64)])
    if not path.is_file():
        msg = f"there is no file {str(path)!r}" + " (a table is one file)" * path.is_dir()
        raise MissingFileError(msg)
    if path.suffix == ".npy":
        table = _of_array(path, _loaded(path))
    elif path.suffix == ".npz":
        table = _of_array(path, _member(path, array))
    elif path.suffix in (".csv", ".tsv", ".txt"):
        return _of_text(path, columns)
    else:
        msg = f"{path}: a table is a .csv, .npy or .npz file"
        raise InputError(msg)
    if not columns:
        return table
    chosen = [_place(path, name, table.columns) for name in columns]
    return Table(np.ascontiguousarray(table.x[:, chosen]), [table.columns[k] for k in chosen])


def _loaded(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        msg = f"{path} is no .npy file that can be read: {' '.join(str(error).split())[:120]}"
        raise InputError(msg) from None


def _member(path: Path, name: str | None) -> Any:
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            found = name or next((each for each in ARRAYS if each in names), names[0] if len(names) == 1 else None)
            if found is None or found not in names:
                what = "which array is the table" if name is None else f"there is no array {name!r}"
                msg = f"{path}: {what}? It holds {', '.join(names) or 'none'} (--array NAME)"
                raise InputError(msg)
            return archive[found]
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        msg = f"{path} is no .npz file that can be read: {' '.join(str(error).split())[:120]}"
        raise InputError(msg) from None


def _of_array(path: Path, values: Any) -> Table:
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2):
        msg = f"{path}: an array of {values.dtype} with the shape {values.shape} is no table of numbers (rows, columns)"
        raise InputError(msg)
    x = np.asarray(values if values.ndim == 2 else values[:, None])
    x = x if x.dtype == np.float32 else x.astype(np.float64)
    return Table(_finite(path, x), [f"x{k + 1}" for k in range(x.shape[1])])


def _of_text(path: Path, columns: Sequence[str]) -> Table:
    lines: list[list[str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count) if any(map(first.count, ",;\t")) else None
            rows = csv.reader(file, delimiter=delimiter) if delimiter else (line.split() for line in file)
            lines = [row for row in rows if row]
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8"
        raise InputError(msg) from None
    except csv.Error as error:
        msg = f"{path}: {error}"
        raise InputError(msg) from None
    if not lines:
        msg = f"{path} is empty"
        raise InputError(msg)
    header = not all(_is_number(cell) for cell in lines[0]) and (len(lines) == 1 or any(map(_is_number, lines[1])))
    names = (
        [cell.strip() or f"x{k + 1}" for k, cell in enumerate(lines[0])] if header else [f"x{k + 1}" for k in range(len(lines[0]))]
    )
    body = lines[header:]
    if not body:
        msg = f"{path} has a header and no rows"
        raise InputError(msg)
    for number, row in enumerate(body, 1 + header):
        if len(row) != len(names):
            msg = f"{path}, line {number}: {len(row)} cells where the first line has {len(names)}"
            raise InputError(msg)
    chosen = [_place(path, name, names) for name in columns] if columns else list(range(len(names)))
    if not columns:
        words = [names[k] for k in chosen if not any(_is_number(row[k]) for row in body[:100])]
        if words:
            listed = ", ".join(map(repr, words[:SHOWN])) + ", ..." * (len(words) > SHOWN)
            msg = f"{path}: not numeric: {listed}; name the columns to take with --columns"
            raise InputError(msg)
    x = np.empty((len(body), len(chosen)))
    for i, row in enumerate(body):
        for j, k in enumerate(chosen):
            x[i, j] = _number(path, row[k], i + 1 + header, names[k])
    return Table(_finite(path, x, names=[names[k] for k in chosen], first=1 + header), [names[k] for k in chosen])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(path: Path, cell: str, line: int, column: str) -> float:
    try:
        return float(cell)
    except ValueError:
        what = "an empty cell" if not cell.strip() else f"{cell.strip()[:40]!r}"
        msg = f"{path}, line {line}, column {column}: {what} is no number"
        raise InputError(msg) from None


def _place(path: Path, name: str, names: list[str]) -> int:
    if name in names:
        return names.index(name)
    if name.isdigit() and 1 <= int(name) <= len(names):
        return int(name) - 1
    msg = f"{path} has no column {name!r}.{near_misses(name, names)}"
    raise InputError(msg)


def _finite(path: Path, x: Any, names: Sequence[str] = (), first: int = 1) -> Any:
    if not x.size:
        msg = f"{path}: the table is {x.shape[0]} x {x.shape[1]}: there is nothing to cluster"
        raise InputError(msg)
    wrong = ~np.isfinite(x)
    if wrong.any():
        i, j = (int(axis[0]) for axis in np.nonzero(wrong))
        column = names[j] if names else f"x{j + 1}"
        value = "nan" if math.isnan(x[i, j]) else "infinite"
        msg = f"{path}, row {i + first}, column {column}: the value is {value}, and {int(wrong.sum()) - 1} more are not finite"
        raise InputError(msg)
    return x
