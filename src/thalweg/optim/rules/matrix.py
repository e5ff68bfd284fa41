"""Rules that see a tensor as a matrix: by its row and column means (Adafactor), or its singular vectors (Muon).

They run on the libraries' own operations, tensor by tensor. What is no matrix they leave to another form: `suited` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from thalweg.optim.language.fields import choice, const, count, decay, flag, number, rate
from thalweg.optim.language.rule import Rule
from thalweg.optim.language.state import Slots, State, Value
from thalweg.optim.ops import lerp, maximum, mean, minimum, newton_schulz, norm, shape, sqrt, where
from thalweg.optim.rules.adam import AdamW


@dataclass(frozen=True)
class Adafactor(Rule):
    """U = g / sqrt V with V = r c / mean r from averages r, c of the row and column means of g^2, whose new part is t^-decay_power;

    p = p - max(eps2, RMS p) min(lr, 1 / sqrt t) U / max(1, RMS U / d). V is at least eps1^2 and mean r at least eps1; eps1 = 0 is
    the machine epsilon. Of a matrix of n x m it keeps n + m numbers; a vector keeps the average v of g^2 itself.
    Form and defaults are torch's. Source: Shazeer and Stern 2018, arXiv 1804.04235.
    """

    lr: float = rate(0.01)
    decay_power: float = const(0.8)
    eps1: float = const(0.0, off_at=0)
    eps2: float = const(1e-3)
    d: float = const(1.0, least=1.0)
    _: KW_ONLY
    factored: bool = flag(True)
    decay: str = choice("decoupled", "coupled")

    slots = Slots(r=0, c=0, v=0)
    shapes: ClassVar[Mapping[str, str]] = {"r": "row", "c": "col"}

    def suited(self, axes: int) -> Rule:
        """Itself for matrices (of the last two axes), the full second moment for vectors."""
        return self if axes > 1 else self.replace(factored=False)

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        size, least = shape("size", p), where(self.eps1 > 0, self.eps1, shape("epsilon", p))
        rho = maximum(self.eps2, norm(p) / sqrt(size)) * minimum(self.lr, 1 / sqrt(t))
        p, g = self.decayed(p, g)
        new = t ** (-self.decay_power)
        if self.factored:
            r, c, v = lerp(s.r, mean(g * g, "row"), new), lerp(s.c, mean(g * g, "col"), new), s.v
            V = r * c / maximum(mean(r, "col"), least)
        else:
            r, c, v = s.r, s.c, lerp(s.v, g * g, new)
            V = v
        U = g / sqrt(maximum(V, least * least))
        return p - rho / maximum(1, norm(U) / sqrt(size) / self.d) * U, s(r=r, c=c, v=v)


@dataclass(frozen=True)
class Muon(Rule):
    """m = EMA(m, g; momentum); p = (1 - lr wd) p - lr k O, where O has the singular vectors of u and singular values near 1.

    u = EMA(g, m; 1 - momentum) with nesterov, else m. scale="original": k = sqrt(max(1, rows / cols)), "match_rms_adamw":
    k = 0.2 sqrt(max(rows, cols)), with which AdamW's rates and decays fit. What is no matrix takes AdamW's step with b1, b2, eps,
    the same lr and wd; give embeddings and heads a group with AdamW too. ns_a ... ns_steps are those of `newton_schulz`; torch runs
    its iterations in bfloat16, this in the dtype that is computed in.
    Sources: Jordan 2024, "Muon: an optimizer for hidden layers"; Liu et al. 2025, arXiv 2502.16982.
    """

    lr: float = rate(1e-3)
    momentum: float = decay(0.95)
    b1: float = decay(0.9)
    b2: float = decay(0.999)
    eps: float = const(1e-8)
    _: KW_ONLY
    wd: float = const(0.1, off_at=0)
    nesterov: bool = flag(True)
    scale: str = choice("original", "match_rms_adamw")
    ns_a: float = number(3.4445)
    ns_b: float = number(-4.7750)
    ns_c: float = number(2.0315)
    ns_eps: float = const(1e-7)
    ns_steps: int = count(5, most=99)
    decay: str = choice("decoupled", "coupled")

    slots = Slots(m=0)

    def suited(self, axes: int) -> Rule:
        """Itself for matrices, AdamW for all else."""
        if axes == 2:
            return self
        return AdamW(self.lr, self.b1, self.b2, self.eps, wd=self.wd, decay=self.decay)

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        rows, cols = shape("rows", p), shape("cols", p)
        p, g = self.decayed(p, g)
        m = lerp(s.m, g, 1 - self.momentum)
        u = lerp(g, m, self.momentum) if self.nesterov else m
        k = 0.2 * sqrt(maximum(rows, cols)) if self.scale == "match_rms_adamw" else sqrt(maximum(1, rows / cols))
        return p - self.lr * k * newton_schulz(u, self.ns_a, self.ns_b, self.ns_c, self.ns_eps, self.ns_steps), s(m=m)
