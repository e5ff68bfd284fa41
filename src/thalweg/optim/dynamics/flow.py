"""The differential equation that a rule follows when its steps are small.

    z' = F(tau, z),     F = d/dh step_h(z) at h = 0,     z = (p, slots), tau = h times the number of steps

taken from the rule's own program by a complex step: f(i e)/e has no difference in it and is exact. For gradient descent it is
p' = -lr grad L; for the heavy ball p'' + k p' + lr grad L = 0 with k = -ln momentum; for Adam, averages m and v that follow g and
g^2 with rates -ln b1 and -ln b2. Sources: Su 2018, kexue.fm 5655; Kovachki and Stuart 2021, arXiv 1906.04285.

limit="rate" lets lr -> 0 alone and keeps the decays: slots then stand where the gradient
holds them, p' = -lr/(1 - momentum) grad L.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from thalweg.energies.contract import Energy, Floats, as_points, value_and_gradient
from thalweg.errors import InputError, RuleError
from thalweg.optim.dynamics.linear import COMPLEX, LATE, AnyRule, as_rule, late_scalars
from thalweg.optim.dynamics.scaling import Array, Gradient, Scaled, Values, advance
from thalweg.optim.language.functions import NUMPY, Functions
from thalweg.optim.language.rule import Rule

Field = Callable[[float, Mapping[str, Array], Gradient], Values]  # a velocity

_E = 1e-30  # of the complex step
_PATIENCE = 20_000  # evaluations of a flow


def _comparison(name: str) -> Callable[[Array, Array], Array]:
    """By what numbers are for small h > 0: c h is of the sign of c, c/h infinite. At h = i e they are i c e and -i c/e."""

    def limit(x: Array) -> Array:
        a, b = np.real(x), np.imag(x)
        return np.where(np.abs(b) > 1e10 * np.abs(a), np.where(np.abs(b) > 1, -b, b), a)

    return lambda a, b: np.asarray(NUMPY[name](limit(a), limit(b)))


def _extreme(keep_first: str) -> Callable[[Array, Array], Array]:
    """The larger or lesser of two numbers for small h > 0: of equal ones the one that will be."""

    def of(a: Array, b: Array) -> Array:
        real, later = NUMPY[keep_first](np.real(a), np.real(b)), NUMPY[keep_first](np.imag(a), np.imag(b))
        return np.where(np.where(np.real(a) == np.real(b), later, real), a, b)

    return of


LIMIT: Functions = {
    **COMPLEX,
    "minimum": _extreme("lt"),
    "maximum": _extreme("gt"),
    **{name: _comparison(name) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
}


@dataclass(frozen=True)
class Trajectory:
    """A solved flow. t: (m,); p: (m, n, d); slots: name -> (m, n, d)."""

    t: Floats
    p: Floats
    slots: dict[str, Floats]


@dataclass(frozen=True)
class Flow:
    """The flow of a rule, see `flow`. One unit of time is one step of the rule."""

    rule: Rule
    limit: str

    @cached_property
    def scaled(self) -> Scaled:
        return Scaled(self.rule)

    def start(self, p: Array, gradient: Gradient, start: str = "rule") -> Values:
        """The state at time 0.   p: (n, d)

        start="warm" has slots that gather something even in g (RMSprop's v) begin at what g^2 would make of them: from 0 a rule
        without Adam's correction has no flow, as its first steps do not shrink with h.
        """
        if start not in ("rule", "warm"):
            msg = f"start={start!r}: it is 'rule' (the slots as the rule starts them) or 'warm'"
            raise InputError(msg)
        if self.limit == "rate":
            return {"p": p}
        z = self.scaled.start(p)
        if start == "rule":
            return z
        held, mirrored = slaved(self.scaled, p, gradient(p)), slaved(self.scaled, p, -gradient(p))
        even = [name for name in self.scaled.slots if np.array_equal(held[name], mirrored[name])]
        return z | {name: held[name].real for name in even}

    def velocity(self, tau: float, z: Mapping[str, Array], gradient: Gradient) -> Values:
        """F(tau, z).   z: name -> (n, d)

        Raises RuleError where a step does not shrink to nothing with h.
        """
        # every use of a gradient is multiplied by h: to first order the later ones of a step are those at h = 0
        slope = lambda point: gradient(np.real(point))  # noqa: E731
        if self.limit == "rate":
            return {"p": _slow(self.scaled, z["p"], slope).imag / _E}
        with np.errstate(all="ignore"):
            after = self.scaled.step({name: value + 0j for name, value in z.items()}, 1j * _E, tau, slope, LIMIT)
        for name, value in after.items():
            if not np.allclose(np.real(value), z[name], rtol=1e-9, atol=1e-12):
                msg = (
                    f"{self.rule!r} has no flow here: {name.removeprefix('s.')} jumps however small the steps are. "
                    "Give slots a start (start='warm'), momentum a value above 0, or take limit='rate'"
                )
                raise RuleError(msg)
        return {name: np.imag(value) / _E for name, value in after.items()}

    def solve(
        self, p0: npt.ArrayLike, duration: float, energy: Energy, *, at: npt.ArrayLike | None = None, start: str = "rule"
    ) -> Trajectory:
        """Integrate from p0 for that many steps of the rule, with DOP853 to 10 digits.   p0: (n, d) or (d,)

        at: the times to tell of, rising from 0 (None: those that the integrator chose).
        """
        p = as_points(p0)
        evaluate = value_and_gradient(energy, at=p0)
        gradient: Gradient = lambda x: evaluate(x)[1]  # noqa: E731
        return self._integrated(self.start(p, gradient, start), 0.0, duration, gradient, at)

    def _integrated(
        self,
        z: Values,
        tau: float,
        duration: float,
        gradient: Gradient,
        at: npt.ArrayLike | None = None,
        velocity: Field | None = None,
    ) -> Trajectory:
        from scipy.integrate import solve_ivp

        follow, spent = velocity or self.velocity, 0

        def field(time: float, state: Values, slope: Gradient) -> Values:
            nonlocal spent
            spent += 1
            if spent > _PATIENCE:
                msg = (
                    f"the flow of {self.rule!r} has corners or is stiff: {_PATIENCE:,} evaluations did not reach time {duration:g}"
                )
                raise RuleError(msg)
            return follow(time, state, slope)

        def pack(values: Mapping[str, Array]) -> Array:
            return np.concatenate([np.ravel(values[name]) for name in z])

        def unpack(y: Array) -> Values:
            ends = np.cumsum([np.size(value) for value in z.values()])[:-1]
            return {name: part.reshape(np.shape(z[name])) for name, part in zip(z, np.split(y, ends), strict=True)}

        times = None if at is None else tau + np.asarray(at, float)
        found = solve_ivp(
            lambda time, y: pack(field(time, unpack(y), gradient)),
            (tau, tau + duration), pack(z), method="DOP853", t_eval=times, rtol=1e-10, atol=1e-12,
        )  # fmt: skip
        if not found.success:
            msg = f"the flow of {self.rule!r} could not be followed to time {duration:g}: {found.message}"
            raise RuleError(msg)
        states = [unpack(y) for y in found.y.T]
        slots = {name.removeprefix("s."): np.stack([each[name] for each in states]) for name in z if name != "p"}
        return Trajectory(found.t - tau, np.stack([each["p"] for each in states]), slots)


def flow(rule: AnyRule, limit: str = "inertial") -> Flow:
    """The differential equation behind a rule, in units of its steps.

    limit: "inertial" scales lr and decays together, so that momentum keeps its meaning; "rate" lets lr -> 0 at fixed decays.
    Raises RuleError for a rule without such a limit, InputError for another `limit`.
    """
    rule = as_rule(rule)
    if limit not in ("inertial", "rate"):
        msg = f"limit={limit!r}: it is 'inertial' or 'rate'"
        raise InputError(msg)
    made = Flow(rule, limit)
    if made.scaled.counts_steps():
        msg = f"{type(rule).__name__} goes by the number of steps, which has no limit as they become smaller: it has no flow"
        raise RuleError(msg)
    if limit == "rate" and len(made.scaled.programs) > 1:
        msg = f"{type(rule).__name__} takes several gradients a step: limit='rate' is for rules with slots; it has none"
        raise RuleError(msg)
    return made


def slaved(scaled: Scaled, p: Array, g: Array, rate: complex | None = None) -> Values:
    """The slots that a gradient g, were it constant, would hold.   p, g: (n, d)

    A slot follows s' = a s + b, with a from two steps; one that only grows is left as it starts. rate: what lr is multiplied by for
    the limit of small rates, which asks more: RuleError there for a slot that only grows, or is no such average.
    """
    numbers = scaled.numbers(1.0) | {"t": LATE, "clock": LATE}
    numbers["self.lr"] = numbers.get("self.lr", 1.0) * (1.0 if rate is None else rate)
    late = late_scalars(scaled.rule, scaled.programs[-1])
    z: Values = {name: late.get(name, value) + np.zeros_like(value, complex) for name, value in scaled.start(p).items()}

    def after(name: str, pushed: float) -> Array:
        with np.errstate(all="ignore"):
            return advance(scaled.programs, z | {name: z[name] + pushed}, numbers, lambda _: g, COMPLEX)[name]

    for _ in range(3 * len(scaled.slots)):
        for name in scaled.slots:
            now = after(name, 0)
            kept = after(name, 1) - now
            moving = np.abs(1 - kept) > 1e-12
            z[name] = np.where(moving & np.isfinite(now), z[name] + (now - z[name]) / np.where(moving, 1 - kept, 1), z[name])
    for name in scaled.slots if rate is not None else ():
        now, above, far = (after(name, pushed) for pushed in (0, 1, 2))
        held = np.allclose(now, z[name], rtol=1e-6, atol=1e-12) and (np.abs(above - now - 1) > 1e-6).all()
        if not held or not np.allclose(far - above, above - now, rtol=1e-6, atol=1e-12):
            msg = f"{scaled.rule!r} has no limit of a small rate alone: no gradient holds its {name.removeprefix('s.')}"
            raise RuleError(msg)
    return z


def _slow(scaled: Scaled, p: Array, gradient: Gradient) -> Array:
    """The p after one step at the rate i e lr with the slots where the gradient holds them."""
    z = slaved(scaled, p, gradient(p), 1j * _E)
    numbers = scaled.numbers(1.0) | {"t": LATE, "clock": LATE}
    numbers["self.lr"] = numbers["self.lr"] * 1j * _E
    with np.errstate(all="ignore"):
        return advance(scaled.programs, z, numbers, gradient, COMPLEX)["p"]
