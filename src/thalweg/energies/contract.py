"""What an energy is, and the kit that tests one.

An energy is a callable of a batch, energy(x) -> (n,) for x (n, d): lower is better, and row i of x alone decides result i.
Its gradient (n, d) is autograd's for torch tensors and `energy.gradient(x)` for NumPy arrays; a pair of functions
(energy, gradient) will do. `value_and_gradient` makes one function of any of these, `check_energy` says in one sentence what
is wrong with an energy. torch is never imported here: whoever brings a tensor has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from thalweg.errors import EnergyError, InputError

Floats: TypeAlias = npt.NDArray[np.float64]
Energy: TypeAlias = Callable[..., object] | tuple[Callable[..., object], Callable[..., object]]
Evaluate: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]


def is_tensor(x: object) -> bool:
    """Whether x is a torch tensor; never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def floats(values: object) -> Floats:
    """The values as a float64 array; not copied if they are one."""
    return np.asarray(values, dtype=np.float64)


def like(values: object, x: Any) -> Any:
    """A constant of a formula as what x is: a float64 array, or a tensor of its dtype on its device."""
    return x.new_tensor(values) if is_tensor(x) else floats(values)


def name_of(energy: Energy) -> str:
    """What to call an energy in messages and titles: a function's name, the repr of a landscape, else the class."""
    if isinstance(energy, tuple):
        return name_of(energy[0]) if energy else "()"
    name = getattr(energy, "__name__", None)
    if name is not None:
        return str(name)
    return repr(energy) if hasattr(energy, "__dataclass_fields__") else type(energy).__name__


def as_points(x: object) -> Floats:
    """A new float64 array (n, d) of points; one point (d,) becomes (1, d). Integers, lists and tensors are converted.

    Raises InputError where x is not real numbers, is empty, has other axes, or holds NaN or infinity.
    """
    try:
        given = _numpy(x) if is_tensor(x) else np.asarray(x)
    except ValueError as error:  # rows of different lengths
        msg = f"x cannot be read as an array of shape (n, d): {error}"
        raise InputError(msg) from None
    if given.dtype.kind not in "fiub":
        msg = f"x holds {given.dtype}, not real numbers; give an array of shape (n, d)"
        raise InputError(msg)
    points = given.astype(np.float64)
    if points.ndim not in (1, 2) or not points.size:
        msg = f"x has shape {points.shape}; give points as an array of shape (n, d), or one point of shape (d,)"
        raise InputError(msg)
    points = np.atleast_2d(points)
    if not np.isfinite(points).all():
        row, coordinate = np.argwhere(~np.isfinite(points))[0]
        msg = f"x[{row}, {coordinate}] is {points[row, coordinate]}; every coordinate must be a finite number"
        raise InputError(msg)
    return points


def value_and_gradient(energy: Energy, at: object = None) -> Evaluate:
    """One function of arrays, x (n, d) -> (energies (n,), gradients (n, d)), whatever form the energy has.

    A pair (energy, gradient) of functions and an object with `.gradient` are called with float64 arrays. If `at`, the points
    to start from, is a torch tensor, an energy that is no pair is called with tensors of its dtype and device and differentiated
    by autograd; gradients of parameters are left alone. As rows are independent, the gradient of the sum holds that of each row.

    Raises EnergyError if the energy has no gradient for such x; the function raises it if a result has another shape than
    promised (one number instead of one a row, say) or cannot be differentiated, or if the energy writes into its argument.
    """
    name = name_of(energy)
    if isinstance(energy, tuple):
        if len(energy) != 2 or not all(callable(part) for part in energy):
            msg = f"an energy given as a tuple is a pair (energy, gradient) of functions, not {energy!r}"
            raise EnergyError(msg)
        return _from_pair(*energy, name)
    if isinstance(energy, type) or not callable(energy):
        what = f"the class {energy.__name__}" if isinstance(energy, type) else repr(energy)
        msg = f"{what} is not an energy: give an object or function energy(x) -> (n,), or a pair (energy, gradient) of functions"
        raise EnergyError(msg)
    if is_tensor(at):
        return _from_autograd(energy, at, name)
    gradient = getattr(energy, "gradient", None)
    if not callable(gradient):
        msg = (
            f"{name} has no gradient for arrays: add a method gradient(x) -> (n, d), give the pair (energy, gradient) of "
            "functions, or start from a torch tensor"
        )
        raise EnergyError(msg)
    return _from_pair(energy, gradient, name)


def _from_pair(energy: Callable[..., object], gradient: Callable[..., object], name: str) -> Evaluate:
    def evaluate(x: Floats) -> tuple[Floats, Floats]:
        given = x.copy()
        values = _result(energy(given), x, x.shape[:1], name)
        slopes = _result(gradient(given), x, x.shape, f"the gradient of {name}")
        _check_kept(given, x, name)
        return values, slopes

    return evaluate


def _from_autograd(energy: Callable[..., object], at: Any, name: str) -> Evaluate:
    torch = sys.modules["torch"]
    dtype = at.dtype if at.is_floating_point() else torch.float64

    def evaluate(x: Floats) -> tuple[Floats, Floats]:
        with torch.enable_grad():
            given = torch.tensor(x, dtype=dtype, device=at.device, requires_grad=True)
            before = _numpy(given)
            answer: Any = energy(given)
            values = _result(answer, x, x.shape[:1], name)
            if not is_tensor(answer) or not answer.requires_grad:
                msg = f"{name} has no gradient: its result is detached from x (made by NumPy, .detach(), or under no_grad)"
                raise EnergyError(msg)
            (slope,) = torch.autograd.grad(answer.sum(), given, allow_unused=True)
        if slope is None:
            msg = f"{name} has no gradient: its result does not depend on x"
            raise EnergyError(msg)
        _check_kept(_numpy(given), before, name)
        return values, _result(slope, x, x.shape, f"the gradient of {name}")

    return evaluate


def _numpy(tensor: Any) -> Any:
    return tensor.detach().cpu().double().numpy().copy()


def _result(result: object, x: Floats, shape: tuple[int, ...], what: str) -> Floats:
    """What a function of the user returned, as float64 of the promised shape. Raises EnergyError."""
    array = _numpy(result) if is_tensor(result) else np.asarray(result)
    if array.dtype.kind not in "fiu":
        msg = f"{what} returned {type(result).__name__}, not real numbers; expected an array of shape {shape}"
        raise EnergyError(msg)
    if array.shape != shape:
        got = "a single number" if array.ndim == 0 else f"shape {array.shape}"
        hint = ": sum over the coordinates, not over the rows" if array.ndim == 0 and len(shape) == 1 else ""
        msg = f"{what} returned {got} for x of shape {x.shape}; it must return shape {shape}{hint}"
        raise EnergyError(msg)
    return array.astype(np.float64)


def _check_kept(after: Floats, before: Floats, name: str) -> None:
    if not np.array_equal(after, before, equal_nan=True):
        row = int(np.argwhere((after != before) & ~(np.isnan(after) & np.isnan(before)))[0, 0])
        msg = f"{name} writes into its argument (row {row} of x was changed); it must leave x as it is: copy first"
        raise EnergyError(msg)


@dataclass(frozen=True)
class EnergyCheck:
    """What `check_energy` measured. `gradient_error` is relative, `coupling` and `rise` are in units of the energy."""

    n_rows: int
    dim: int
    gradient_error: float  # worst coordinate: |gradient - finite difference| / larger of the two
    coupling: float  # most that another row changed when one row was moved
    rise: float | None  # most that the promised move raised a row; None without a promise


def check_energy(energy: Energy, x: object, *, tol: float = 1e-6, promise: Callable[[Floats], object] | None = None) -> EnergyCheck:
    """Test an energy at the points x (n, d), n >= 2, and return what was measured.

    Checked in this order: shapes (n,) and (n, d), finite, x not written to, the same result twice, each row on its own, and
    the gradient against central differences (relative error at most `tol` in every coordinate). `promise` is a move
    x -> x' of arrays (n, d), the iteration of a solver say, whose maker promises that it raises no row's energy: ten moves
    from x are checked, to `tol` relative.

    x is a float64 array or, for energies of torch, a float64 tensor; finite differences need the digits.
    Raises EnergyError with one sentence: what is broken, at which row and coordinate. Raises InputError for an unusable x.
    """
    points = as_points(x)  # (n, d)
    n, dim = points.shape
    if n < 2 or (is_tensor(x) and "float64" not in str(getattr(x, "dtype", ""))):
        msg = "check_energy needs at least two rows, to see that they are independent, of float64 (x.double(), and model.double())"
        raise InputError(msg)
    name, evaluate = name_of(energy), value_and_gradient(energy, at=x)
    with np.errstate(all="ignore"):
        values, slopes = evaluate(points)  # (n,), (n, d)
        _check_finite(name, points, values, slopes)
        again = evaluate(points)
        for first, second in zip((values, slopes), again, strict=True):
            change = _change(first, second)
            row = int(np.argmax(change))
            if change[row] > 1e-12:
                msg = f"{name} gives another result for the same x (row {row}): noise, or dropout in training mode?"
                raise EnergyError(msg)
        coupling = max(_coupling(name, evaluate, points, row) for row in (0, n - 1))
        error = max(_gradient_error(name, evaluate, points, slopes, j, tol) for j in range(dim))
        rise = None if promise is None else _rise(name, evaluate, points, promise, tol)
    return EnergyCheck(n, dim, error, coupling, rise)


def _check_finite(name: str, points: Floats, values: Floats, slopes: Floats) -> None:
    for what, numbers in (("energy", values[:, None]), ("gradient", slopes)):
        bad = np.argwhere(~np.isfinite(numbers))
        if len(bad):
            row, coordinate = bad[0]
            where = f"row {row}" if what == "energy" else f"row {row}, coordinate {coordinate}"
            msg = f"the {what} of {name} is {numbers[row, coordinate]} at {where}, x = {_point(points[row])}; it must be finite"
            raise EnergyError(msg)


def _change(first: Floats, second: Floats) -> Floats:
    """Relative change of each row: (n,); NaN counts as infinite."""
    change: Floats = np.abs(first - second) / np.maximum(1, np.abs(first))
    worst: Floats = change.reshape(len(first), -1).max(axis=1)
    return np.nan_to_num(worst, nan=np.inf)


def _coupling(name: str, evaluate: Evaluate, points: Floats, row: int) -> float:
    """Move one row; return by how much the energy of another one changed, EnergyError if that is more than round-off."""
    before, moved = evaluate(points), points.copy()
    moved[row] += 0.1 * (1 + np.abs(moved[row]))
    after = evaluate(moved)
    for what, first, second in zip(("energy", "gradient"), before, after, strict=True):
        change = _change(first, second)
        change[row] = 0
        other = int(np.argmax(change))
        if change[other] > 1e-12:
            msg = (
                f"in {name}, moving row {row} of x changes the {what} of row {other} by {change[other]:.1e} (relative); row i "
                "of x alone must decide result i: a mean over rows, or batch normalisation in training mode?"
            )
            raise EnergyError(msg)
    return float(np.max(np.delete(np.abs(before[0] - after[0]), row)))


def _gradient_error(name: str, evaluate: Evaluate, points: Floats, slopes: Floats, j: int, tol: float) -> float:
    """Worst relative error over the rows of coordinate j of the gradient, against central differences of fourth order.

    Of two widths: the narrow one follows sharp bends, the wide one keeps more digits. A right gradient agrees with one of them.
    """
    narrow, wide = (_difference(evaluate, points, j, width) for width in (1e-5, 1e-3))
    best, sound = np.full(len(points), np.inf), np.zeros(len(points), dtype=bool)  # (n,)
    for difference, round_off in (narrow, wide):
        size = np.maximum(np.maximum(np.abs(difference), np.abs(slopes[:, j])), 1e-3)
        error = np.abs(difference - slopes[:, j])
        best, sound = np.fmin(best, error / size), sound | (error <= tol * size + round_off)
    if not sound.all():
        row = int(np.argmin(sound))
        msg = (
            f"the gradient of {name} is wrong at row {row}, coordinate {j}, x = {_point(points[row])}: it says "
            f"{slopes[row, j]:.8g}, central differences of the energy say {narrow[0][row]:.8g} (tol={tol:g})"
        )
        raise EnergyError(msg)
    return float(best.max())


def _difference(evaluate: Evaluate, points: Floats, j: int, width: float) -> tuple[Floats, Floats]:
    """The derivative (n,) along coordinate j by central differences of fourth order, and a bound (n,) of its round-off."""
    h = width * np.maximum(1, np.abs(points[:, j]))
    energies = {}
    for k in (-2, -1, 1, 2):
        moved = points.copy()
        moved[:, j] += k * h
        energies[k] = evaluate(moved)[0]
    size = np.maximum(np.abs(energies[2]), np.abs(energies[-2]))
    size = np.maximum(size, np.median(size))  # where an energy passes 0, its terms need not be small
    return (8 * (energies[1] - energies[-1]) - (energies[2] - energies[-2])) / (12 * h), 4 * np.finfo(float).eps * size / h


def _rise(name: str, evaluate: Evaluate, points: Floats, promise: Callable[[Floats], object], tol: float) -> float:
    """The most that any of ten promised moves raises the energy of a row; EnergyError if that is more than `tol`, relative."""
    energies, worst = evaluate(points)[0], -np.inf
    for move in range(1, 11):
        points = _result(promise(points.copy()), points, points.shape, "the promised move")
        after = evaluate(points)[0]
        broken = ~(after - energies <= tol * np.maximum(1, np.abs(energies)))
        if broken.any():
            row = int(np.argmax(broken))
            msg = (
                f"move {move} raises the energy of row {row} of {name} from {energies[row]:.8g} to {after[row]:.8g}; "
                "it is promised never to rise"
            )
            raise EnergyError(msg)
        energies, worst = after, max(worst, float((after - energies).max()))
    return worst


def _point(row: Floats) -> str:
    """A point in a message: at most six of its coordinates."""
    return "(" + ", ".join(f"{value:.6g}" for value in row[:6]) + (", ...)" if len(row) > 6 else ")")
