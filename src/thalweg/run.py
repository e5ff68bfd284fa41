"""Go down an energy: `descend` applies a rule step by step, and a `Run` is what it leaves behind.

    run = thalweg.descend(energies.Parabola(), x, optim.SGD(lr=0.01), steps=100)
    run.x, run.energy, run.energy_path, run.summary(), run.plot()

A chain is one row of x, moved by its own gradient alone; a record is the state of all chains after a step, and the first one
is the start. A rule is used by its interface: s = rule.init(p), then p, s = rule.step(p, g, s, t) for t = 1, 2, ...; one with
`stages` is asked where it wants its gradients instead, so that Heun's method and SAM are what they are.
"""

from __future__ import annotations

import html
import operator
import textwrap
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from thalweg.energies.contract import Energy, Floats, as_points, name_of, value_and_gradient
from thalweg.errors import InputError, RuleError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

S = TypeVar("S")
Evaluate: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]  # points (n, d) -> energies (n,), gradients (n, d)


class StepRule(Protocol[S]):
    """What `descend` asks of a rule; those of `thalweg.optim` have it."""

    def init(self, p: Floats, /) -> S:
        """The rule's own state before the first step from p (chains, d)."""

    def step(self, p: Floats, g: Floats, s: S, t: int, /) -> tuple[Floats, S]:
        """The points and the state after step t, from the points p with gradients g (chains, d)."""


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """What was recorded on the way, the start included."""

    x: Floats  # (records, chains, d)
    energy: Floats  # (records, chains), finite
    title: str  # "SGD(lr=0.1) on Parabola(...)"
    interrupted: bool = False  # stopped by Ctrl-C; what was done until then is here
    diverged_at: int | None = None  # the step whose energy was no longer finite; it and what follows are not recorded

    @property
    def energy_path(self) -> Floats:
        """The energy after each step, the mean over chains: (records,)."""
        return np.asarray(self.energy.mean(axis=1), dtype=np.float64)

    def summary(self) -> str:
        """A table as plain text: energies at the start, at the end and the least on the way, and the last points."""
        records, chains, d = self.x.shape
        mean, last = ", mean over chains" * (chains > 1), self.energy[-1]
        energies = [(f"energy{mean}", self.energy_path)]
        if chains > 1:
            ends = (("lowest", last.argmin()), ("highest", last.argmax()))
            energies += [(f"{what} at the end: chain {chain}", self.energy[:, chain]) for what, chain in ends]
        lines = [f"{self.title}: {_count(records - 1, 'step')}, {_count(chains, 'chain')} in {_count(d, 'dimension')}"]
        lines += [f"{'':<30}{'start':>14}{'end':>14}{'least':>14}{'at step':>9}"]
        lines += [f"{what:<30}{u[0]:>14.6g}{u[-1]:>14.6g}{u.min():>14.6g}{u.argmin():>9}" for what, u in energies]
        for j in range(min(d, 8)):
            lines.append(f"{f'x[{j}]{mean}':<30}{self.x[0, :, j].mean():>14.6g}{self.x[-1, :, j].mean():>14.6g}")
        if d > 8:
            lines.append(f"x[8] to x[{d - 1}] are not shown")
        if self.diverged_at is not None:
            lines.append(f"diverged at step {self.diverged_at}: the energy was no longer finite")
        if self.interrupted:
            lines.append("interrupted: these are the steps that were done")
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the energy path into `ax`, or into a new figure; returns the axes."""
        from thalweg import style

        path = self.energy_path
        claim = f"energy {path[0]:.3g} → {path[-1]:.3g} in {_count(len(path) - 1, 'step')}"
        return style.energy_plot(path.tolist(), title=f"{claim}\n{textwrap.fill(self.title, 50)}", ax=ax)

    def __repr__(self) -> str:
        records, chains, d = self.x.shape
        path = self.energy_path
        ending = ", interrupted" * self.interrupted
        ending += f", diverged at step {self.diverged_at}" if self.diverged_at is not None else ""
        shape = f"{_count(records, 'record')}, {_count(chains, 'chain')} in {_count(d, 'dimension')}"
        return f"Run({self.title}: {shape}, energy {path[0]:.6g} -> {path[-1]:.6g}{ending})"

    def _repr_html_(self) -> str:
        """The summary for a notebook; a user's names and numbers are text there, never markup."""
        return f"<pre>{html.escape(self.summary())}</pre>"


def descend(
    energy: Energy, x: npt.ArrayLike, rule: StepRule[S], *, steps: int, progress: Callable[..., object] | None = None
) -> Run:
    """Follow `rule` down `energy` from x and record every step, in float64.   x: (n, d), or (d,) for one chain

    `energy` is a landscape or any object with `.gradient`, a pair (energy, gradient) of functions, or, if x is a torch tensor,
    any function of tensors that autograd can differentiate (evaluated in the tensor's dtype, on its device).
    `progress(done, total, energy=mean)` is called after each step. Ctrl-C ends the run early and keeps what was done.

    Raises InputError for points that are not finite numbers of shape (n, d), an infinite energy at the start, or `steps` below 1;
    EnergyError for an energy that breaks its contract (see `energies.check_energy`); RuleError for what is no rule.
    A step after which an energy is not finite ends the run, with a RuntimeWarning and `diverged_at`.
    """
    total = _steps(steps)
    _check_rule(rule)
    if callable(programs := getattr(rule, "programs", None)):
        programs()  # a fault in the step of a rule is told with its line, before any work
    if callable(suited := getattr(rule, "suited", None)):
        rule = suited(1)  # a chain is a vector: what is made for matrices would mix the chains
    p = as_points(x)  # (n, d)
    evaluate = value_and_gradient(energy, at=x)
    title = f"{rule!r} on {name_of(energy)}"
    points, energies = np.empty((total + 1, *p.shape)), np.empty((total + 1, len(p)))
    done, interrupted, diverged_at = 0, False, None
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run is told by one warning of ours
        u, g = evaluate(p)  # (n,), (n, d)
        if not np.isfinite(u).all():
            row = int(np.argmin(np.isfinite(u)))
            msg = f"the energy of chain {row} is {u[row]} at the start, x[{row}] = {p[row].tolist()[:8]}; start where it is finite"
            raise InputError(msg)
        points[0], energies[0] = p, u
        try:
            s = rule.init(p)
            for t in range(1, total + 1):
                p, s = _step(rule, p, g, s, t, evaluate)
                u, g = evaluate(p)
                if not (np.isfinite(u.mean()) and np.isfinite(p).all()):
                    diverged_at = t
                    break
                points[t], energies[t] = p, u
                done = t
                if progress is not None:
                    progress(done, total, energy=float(u.mean()))
        except KeyboardInterrupt:
            interrupted = True
    if diverged_at is not None:
        msg = f"{title} diverged: the energy is not finite after step {diverged_at}, where the run was ended; try a smaller lr"
        warnings.warn(msg, RuntimeWarning, stacklevel=2)
    if interrupted:
        warnings.warn(f"interrupted after {done} of {total} steps; the run holds what was done", RuntimeWarning, stacklevel=2)
    return Run(points[: done + 1], energies[: done + 1], title, interrupted, diverged_at)


def _steps(steps: int) -> int:
    try:
        count = operator.index(steps)
    except TypeError:
        count = 0
    if isinstance(steps, bool) or count < 1:
        msg = f"steps={steps!r} is not a positive whole number"
        raise InputError(msg)
    return count


def _check_rule(rule: object) -> None:
    if isinstance(rule, type):
        msg = f"{rule.__name__} is a class; give a rule made from it, as in {rule.__name__}(lr=0.1)"
        raise RuleError(msg)
    if isinstance(rule, str):
        msg = f"{rule!r} is not a rule but the name of one; give the rule, as in optim.SGD(lr=0.1) or optim.get({rule!r})(lr=0.1)"
        raise RuleError(msg)
    if not (callable(getattr(rule, "init", None)) and callable(getattr(rule, "step", None))):
        msg = f"{rule!r} is not a rule; give one of thalweg.optim, as in optim.SGD(lr=0.1)"
        raise RuleError(msg)


def _step(rule: StepRule[S], p: Floats, g: Floats, s: S, t: int, evaluate: Evaluate) -> tuple[Floats, S]:
    """One step of the rule, whose author may have forgotten something: RuleError."""
    stages = getattr(rule, "stages", None)
    answer: object = _walk(stages(p, s, t), g, evaluate) if callable(stages) else rule.step(p, g, s, t)
    if not isinstance(answer, tuple) or len(answer) != 2:
        msg = f"{rule!r}.step must return the pair (p, s), not {type(answer).__name__}"
        raise RuleError(msg)
    after, state = answer
    if np.shape(after) != p.shape:
        msg = f"{rule!r}.step returned p of shape {np.shape(after)} for p of shape {p.shape}; a step keeps the shape"
        raise RuleError(msg)
    return np.asarray(after, dtype=np.float64), state


def _walk(stages: Generator[Floats, Floats, object], g: Floats, evaluate: Evaluate) -> object:
    """What a step in stages returns, which asks for a gradient at a point at a time; that at the first one is known."""
    next(stages)
    try:
        while True:
            g = evaluate(np.asarray(stages.send(g), np.float64))[1]
    except StopIteration as end:
        return end.value


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"
