"""A rule's steps beside the flow that they approximate: the path, its local error, the order of convergence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thalweg.energies.contract import Energy, Floats, as_points, value_and_gradient
from thalweg.errors import InputError, RuleError
from thalweg.optim.dynamics.flow import Flow, flow
from thalweg.optim.dynamics.linear import AnyRule, as_rule, linear
from thalweg.optim.dynamics.scaling import Values
from thalweg.optim.language.rule import Rule


@dataclass(frozen=True)
class Path:
    """The states before step 1 and after each step; the axes are (steps + 1, n, d), those of loss, norm and energy (steps + 1, n).

    loss: L; norm: |grad L|; energy: for rules with inertia, which friction lets fall, L + |p'|^2 / (2 lr) with p' the last step
    and lr the rate at which a new gradient acts (and wd/2 |p|^2 of a coupled decay); L for the others. local_error: (steps, n),
    how far one step ends from the flow over the same time, None if not asked for.
    """

    p: Floats
    slots: dict[str, Floats]
    loss: Floats
    norm: Floats
    energy: Floats
    local_error: Floats | None


def path(rule: AnyRule, energy: Energy, p0: npt.ArrayLike, steps: int, *, start: str = "rule", local_error: bool = False) -> Path:
    """Follow a rule for some steps, in float64.   p0: (n, d) or (d,)

    start: "warm" has RMSprop's v begin at g^2, see `Flow.start`. Raises RuleError where local_error is asked for and there is no
    flow.
    """
    rule = as_rule(rule)
    made = flow(rule) if local_error or start != "rule" else Flow(rule, "inertial")
    scaled, p = made.scaled, as_points(p0)
    evaluate = value_and_gradient(energy, at=p0)
    gradient = lambda x: evaluate(x)[1]  # noqa: E731
    states, errors = [made.start(p, gradient, start)], []
    with np.errstate(all="ignore"):
        for k in range(steps):
            states.append(scaled.step(states[-1], 1.0, float(k), gradient))
            if local_error:
                exact = made._integrated(states[-2], float(k), 1.0, gradient)
                errors.append(np.linalg.norm(states[-1]["p"] - exact.p[-1], axis=-1))
    points = np.stack([each["p"] for each in states])
    with np.errstate(all="ignore"):  # a rate that is too large shows in the path
        found = [evaluate(x) for x in points]
    loss = np.stack([u for u, _ in found])
    energies, acting = loss, _acting(rule) if scaled.power("lr") == 2 else None
    if acting:
        speed = np.diff(points, axis=0, prepend=points[:1])
        energies = loss + (speed**2).sum(-1) / (2 * acting)
        if rule.decay == "coupled":
            energies = energies + rule.wd / 2 * (points**2).sum(-1)
    columns = {name.removeprefix("s."): [each[name] for each in states] for name in states[0] if name != "p"}
    slots = {name: np.stack(np.broadcast_arrays(*column)) for name, column in columns.items()}  # scalars start as one number
    norm = np.stack([np.linalg.norm(g, axis=-1) for _, g in found])
    return Path(points, slots, loss, norm, energies, np.stack(errors) if local_error else None)


def _acting(rule: Rule) -> float | None:
    """How far a new gradient of 1 moves p in its own step; None for a rule that divides by what it has gathered."""
    try:
        made = linear(rule.replace(wd=0.0))
    except RuleError:
        return None
    return abs(float(made.force()[0])) if made.smooth and not made.frozen else None


@dataclass(frozen=True)
class Order:
    """order: the slope of log error over log h between the two smallest h; h: (m,); error: (m,), |p_h(T) - p(T)|."""

    order: float
    h: Floats
    error: Floats


def order(
    rule: AnyRule, energy: Energy, p0: npt.ArrayLike, duration: float = 1.0, *, start: str = "rule", halvings: int = 5
) -> Order:
    """The order of convergence of a rule to its flow: its steps are cut to 1/8 and then halved so many times.

    The error is that of p after `duration`, in units of the rule's own steps. Expect 1 for most rules, 2 for Heun, 3 and 4 for RK.
    Raises RuleError for a rule without a flow, where the path crosses a corner of it (the sign of a gradient turns), and where
    steps and flow agree to rounding; InputError for less than an eighth of a step.
    """
    made, p = flow(rule), as_points(p0)
    evaluate = value_and_gradient(energy, at=p0)
    gradient = lambda x: evaluate(x)[1]  # noqa: E731
    exact = made._integrated(made.start(p, gradient, start), 0.0, duration, gradient).p[-1]
    if halvings < 2:
        msg = f"halvings={halvings}: a slope takes at least 2"
        raise InputError(msg)
    if not 1 / 8 <= duration < np.inf:
        msg = f"duration={duration!r}: an eighth of a step at least, and finite"
        raise InputError(msg)
    counts = [round(8 * duration) * 2**k for k in range(halvings)]
    errors = [float(np.linalg.norm(_run(made, p, n, duration / n, gradient, start)["p"] - exact)) for n in counts]
    if not errors[-1] > 1e-13 * max(float(np.linalg.norm(exact)), float(np.linalg.norm(p))):
        msg = f"the steps of {rule!r} follow its flow to rounding here: there is no error whose order could be measured"
        raise RuleError(msg)
    h = duration / np.array(counts)
    return Order(float(np.log2(errors[-2] / errors[-1])), h, np.array(errors))


def _run(made: Flow, p: Floats, steps: int, h: float, gradient: object, start: str) -> Values:
    """The state after steps of h."""
    z = made.start(p, gradient, start)  # type: ignore[arg-type]
    for k in range(steps):
        z = made.scaled.step(z, h, k * h, gradient)  # type: ignore[arg-type]
    return z
