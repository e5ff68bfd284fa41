"""Dynamic routing: soft clustering between the features of one sample.

Votes u_ij (input i, output j) are shared out by couplings c_i on the simplex over the outputs j:

    s_j = sum_i w_i c_ij u_ij,      v_j = phi(|s_j|) s_j / |s_j|,      agreement a_ij = <u_ij, v_j>

    recompute    c = softmax_j(b a)               goes up  J(C) = sum_j Phi(|s_j|) + (1/b) sum_i w_i H(c_i),   H the entropy
    accumulate   c = softmax_j(logits += step a)  goes up  G(C) = sum_j Phi(|s_j|), whatever the step: its limit is hard

Proof. Phi(|s|) is convex in C and a is its gradient (up to w_i), so G(C') >= G(C) + <grad, C' - C>; the softmax maximises the right
side with the entropy of C' (recompute), or minus KL(C' | C) / step (accumulate). `energy` is -J or -G, which goes down.
With aggregate="mean" the centres are means, d = |u_ij - v_j|^2, and it is soft K-Means of the votes (`energy`).

Presets: "su2018" recomputes with unit vectors inside and squashes once at the end (Su 2018, kexue.fm 5112); "sabour2017"
accumulates with the squash inside (arXiv 1710.09829, a = 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from thalweg.capsules.lengths import Floats, length_map, norm, squash
from thalweg.errors import InputError, near_misses, whole_number

PRESETS: dict[str, dict[str, Any]] = {
    "su2018": {},
    "su2018-squash": {"inside": "squash"},
    "sabour2017": {"update": "accumulate", "inside": "squash", "squash_constant": 1.0},
    "uniform": {"iterations": 1},
    "hard": {"inverse_temperature": float("inf")},
    "mean": {"aggregate": "mean"},
}
UPDATES, AGGREGATES = ("recompute", "accumulate"), ("sum", "mean")
DEFAULTS: dict[str, Any] = {
    "iterations": 3,
    "update": "recompute",
    "aggregate": "sum",
    "inside": "unit",
    "squash": "squash",
    "squash_constant": 0.5,
    "inverse_temperature": 1.0,
    "step": 1.0,
}


def settings(routing: str, given: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a routing: the defaults, then the preset, then what is given. Raises InputError for what is not allowed."""
    if routing not in PRESETS:
        msg = f"there is no routing {routing!r}.{near_misses(routing, PRESETS)}"
        raise InputError(msg)
    if unknown := next((name for name in given if name not in DEFAULTS), None):
        msg = f"routing has no setting {unknown!r}.{near_misses(unknown, DEFAULTS)}"
        raise InputError(msg)
    made = DEFAULTS | PRESETS[routing] | {name: value for name, value in given.items() if value is not None or name == "squash"}
    made["iterations"] = whole_number("iterations", made["iterations"], least=1)
    for name, choices in (("update", UPDATES), ("aggregate", AGGREGATES)):
        if made[name] not in choices:
            msg = f"{name}={made[name]!r}: it is {' or '.join(choices)}"
            raise InputError(msg)
    for kind in (made["inside"], made["squash"]):
        if kind is not None:
            length_map(kind)
    for name, most in (("inverse_temperature", np.inf), ("step", np.inf), ("squash_constant", np.nextafter(np.inf, 0))):
        if not 0 < made[name] <= most:
            msg = f"{name}={made[name]!r} is not a number above 0"
            raise InputError(msg)
    if made["update"] == "accumulate" and (made["aggregate"] == "mean" or np.isinf(made["inverse_temperature"])):
        msg = "accumulated couplings have no temperature and go with aggregate='sum'"
        raise InputError(msg)
    return made


def route(
    votes: npt.ArrayLike,
    *,
    routing: str = "su2018",
    input_weights: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    initial_logits: npt.ArrayLike | None = None,
    return_couplings: bool = False,
    return_energy: bool = False,
    **given: Any,
) -> Any:
    """Route votes (..., n, k, d) to outputs v (..., k, d), in float64; samples never mix.

    given: iterations (computations of s; 1: uniform couplings, no routing), update, aggregate, inside and squash (names of
    `lengths.LENGTHS`; squash=None leaves s), squash_constant, inverse_temperature, step; they change what the preset says.
    input_weights, mask (..., n): an input of weight 0, or whose mask is False, has no part; initial_logits (..., n, k).
    Returns v, then if asked for the couplings c (..., n, k) of the last pass and the energy (..., iterations).
    Raises InputError for shapes that do not fit, votes that are not finite, and settings that are not allowed.
    """
    chosen = settings(routing, given)
    u = np.asarray(votes, np.float64)
    if u.ndim < 3 or 0 in u.shape[-2:]:
        msg = f"votes of shape {u.shape}: they are (..., inputs, outputs, dimension)"
        raise InputError(msg)
    if not np.isfinite(u).all():
        msg = "votes hold numbers that are not finite"
        raise InputError(msg)
    w = _weights(u, input_weights, mask)
    logits = np.zeros(u.shape[:-1]) if initial_logits is None else np.broadcast_to(np.asarray(initial_logits, float), u.shape[:-1])
    beta, phi, a = chosen["inverse_temperature"], length_map(chosen["inside"]), chosen["squash_constant"]
    c, energy = _softmax(logits), []
    for left in reversed(range(chosen["iterations"])):
        shares = w[..., None] * c  # (..., n, k)
        s = np.einsum("...nk,...nkd->...kd", shares, u)
        if chosen["aggregate"] == "mean":
            total = shares.sum(axis=-2)[..., None]
            s = np.divide(s, total, out=np.zeros_like(s), where=total > 0)
            d = ((u - s[..., None, :, :]) ** 2).sum(axis=-1)
            energy.append(_clustering(d, w, beta))
            agreement = -d
        else:
            r = norm(s)
            evidence = phi.integral(r, a).sum(axis=(-2, -1))
            mixed = evidence if chosen["update"] == "accumulate" else evidence + (w * _entropy(c)).sum(axis=-1) / beta
            energy.append(-mixed)
            v = np.divide(s, r, out=np.zeros_like(s), where=r > 0) * phi.length(r, a)
            agreement = np.einsum("...nkd,...kd->...nk", u, v)
        if left:
            logits = logits + chosen["step"] * agreement if chosen["update"] == "accumulate" else agreement
            c = _softmax(logits) if chosen["update"] == "accumulate" else _softmax(agreement, beta)
    v = s if chosen["squash"] is None else squash(s, chosen["squash"], a)
    found = [v] + [c * (w > 0)[..., None]] * return_couplings + [np.stack(energy, axis=-1)] * return_energy
    return found[0] if len(found) == 1 else tuple(found)


def _weights(u: Floats, input_weights: npt.ArrayLike | None, mask: npt.ArrayLike | None) -> Floats:
    """The weight of each input.   (..., n)"""
    shape = u.shape[:-2]
    try:
        w = np.broadcast_to(1.0 if input_weights is None else np.asarray(input_weights, float), shape)
        present = np.broadcast_to(True if mask is None else np.asarray(mask, bool), shape)
    except ValueError:
        msg = f"input_weights and mask have the shape of the inputs, {shape}"
        raise InputError(msg) from None
    if not (np.isfinite(w).all() and (w >= 0).all()):
        msg = "input_weights are finite numbers of at least 0"
        raise InputError(msg)
    return np.asarray(w * present)


def _softmax(logits: Floats, beta: float = 1.0) -> Floats:
    """Over the last axis; at b = inf 1 for the largest, the first of equals."""
    if np.isinf(beta):
        return np.asarray(np.arange(logits.shape[-1]) == logits.argmax(axis=-1)[..., None], np.float64)
    powers = np.exp(beta * (logits - logits.max(axis=-1, keepdims=True)))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _entropy(c: Floats) -> Floats:
    """-sum_j c log c.   (..., n, k) -> (..., n)"""
    return np.asarray(-(c * np.log(np.where(c > 0, c, 1))).sum(axis=-1))


def _clustering(d: Floats, w: Floats, beta: float) -> Floats:
    """The free energy of distances.   (..., n, k) -> (...)"""
    least = d.min(axis=-1)
    soft = 0.0 if np.isinf(beta) else np.log(np.exp(-beta * (d - least[..., None])).sum(axis=-1)) / beta
    return np.asarray((w * (least - soft)).sum(axis=-1))
