"""What is solved, and how: the constants of the energy and of the solvers, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from thalweg.errors import InputError, near_misses, whole_number
from thalweg.words.text.rules import NAMES

OBJECTIVES = ("pmi-neg", "pmi", "glove")
SOLVERS = ("als", "svd", "adagrad")
MODELS = ("two-sided", "shared")
STARTS = ("svd", "noise")
OUTPUTS = ("sum", "concat", "word")
ELSEWHERE = {"vector_size": "dim", "size": "dim", "iter": "epochs", "workers": "threads", "sample": "subsample"}  # gensim's names
POSSIBLE = {  # solver -> the (objective, model) pairs that it serves
    "als": {("pmi-neg", "two-sided"), ("pmi", "two-sided"), ("pmi-neg", "shared"), ("pmi", "shared")},
    "adagrad": {("pmi", "two-sided"), ("pmi", "shared"), ("glove", "two-sided")},
    "svd": {("pmi-neg", "two-sided"), ("pmi", "two-sided")},  # its own closed problem: the objective is not looked at
}


@dataclass(frozen=True)
class Settings:
    """The constants of the energy J (`thalweg.words.solving.objective`) and of its solvers.

    dim: numbers in a vector, lowered to n_words - 1 where the vocabulary is smaller.
    objective: "pmi-neg", the seen pairs and a weak pull of all pairs to the floor; "pmi", the seen pairs alone (rho 0), as the
    source has it; "glove", for comparison (adagrad only). model: "two-sided", a vector as a word and one as a context; "shared",
    one for both. solver: "als", "svd" (the closed form alone) or "adagrad" (the source's).

    Weights: x_max, alpha; at most 1. Pull of all pairs: rho, floor, beta; ridge pulls the vectors to 0
    (unless given 0, and 0.01 for "pmi" with als, whose rare words would else run away: nothing holds what they never met).
    Targets: shift, subtracted from every one; subsample, the threshold t of word2vec's subsampling in its expectation.
    Solvers: start "svd" or "noise"; epochs (als 5, adagrad 25 unless given) and
    tol, the relative change of J at which als stops; lr of adagrad.
    holdout: the share of pairs that the solver does not see, so that the fit to them can be measured.
    theta: the power of the singular values of the product of both sides that the words get; the contexts get the rest, so that
    inner products stay (1/2: both have the same second moments; not for model "shared" or objective "glove").
    Reading: output "sum", "concat" or "word" (None: sum, and concat for analogies), as WordVectors takes it; subwords,
    how much letters count where directions are compared (0: what they predict is not learnt).

    Defaults: bench/README.md, "Quality". Raises InputError for a value out of range or a combination that no solver serves.
    """

    dim: int = 128
    objective: str = "pmi-neg"
    solver: str = "als"
    model: str = "two-sided"
    x_max: float = 100.0
    alpha: float = 0.75
    rho: float = 1.0
    floor: float = -1.0
    beta: float = 0.75
    ridge: float | None = None
    shift: float = 0.0
    subsample: float | None = None
    start: str = "svd"
    epochs: int | None = None
    tol: float = 1e-3
    lr: float = 0.1
    theta: float = 0.5
    output: str | None = None
    subwords: float = 1.0
    holdout: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("dim", 1), ("epochs", 0), ("seed", 0)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, whole_number(name, value, least=least))
        words = {"objective": OBJECTIVES, "solver": SOLVERS, "model": MODELS, "start": STARTS}
        for name, allowed in (words | ({"output": OUTPUTS} if self.output is not None else {})).items():
            if getattr(self, name) not in allowed:
                msg = f"{name}={getattr(self, name)!r} is not known.{near_misses(str(getattr(self, name)), allowed)}"
                raise InputError(msg)
        for name in ("x_max", "lr", "subsample"):
            self._check(name, "a positive number", lambda x: x > 0)
        for name in ("alpha", "rho", "beta", "ridge", "tol", "subwords"):
            self._check(name, "a number, 0 or more", lambda x: x >= 0)
        for name in ("floor", "shift"):
            self._check(name, "a finite number", lambda x: True)
        self._check("theta", "a number from 0 to 1", lambda x: 0 <= x <= 1)
        if self.theta != 0.5 and (self.model == "shared" or self.objective == "glove"):
            which = (
                "model='shared' has one side only" if self.model == "shared" else "objective='glove' has biases beside its product"
            )
            msg = f"theta={self.theta!r} parts the spectrum between words and contexts: {which}"
            raise InputError(msg)
        self._check("holdout", "a number from 0, below 1", lambda x: 0 <= x < 1)
        if self.holdout and self.objective == "glove":
            msg = f"holdout={self.holdout!r} measures mutual information, to which objective='glove' is not fitted"
            raise InputError(msg)
        if (self.objective, self.model) not in POSSIBLE[self.solver]:
            served = "; ".join(
                f"{solver}: " + ", ".join(f"{o} {m}" for o, m in sorted(pairs)) for solver, pairs in POSSIBLE.items()
            )
            msg = (
                f"solver={self.solver!r} does not serve objective={self.objective!r} with model={self.model!r}. There are: {served}"
            )
            raise InputError(msg)
        if self.solver == "adagrad" and self.ridge:
            msg = f"ridge={self.ridge!r}: the solver adagrad has none; als does"
            raise InputError(msg)

    def _check(self, name: str, kind: str, holds: Any) -> None:
        value = getattr(self, name)
        if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value) and holds(value)):
            msg = f"{name}={value!r} is not {kind}"
            raise InputError(msg)

    @property
    def pull(self) -> float:
        """The strength of the all-pairs term: rho, or 0 for the objective "pmi"."""
        return self.rho if self.objective == "pmi-neg" else 0.0

    @property
    def damping(self) -> float:
        """The ridge, or what is usual for the objective."""
        return self.ridge if self.ridge is not None else 0.01 if (self.objective, self.solver) == ("pmi", "als") else 0.0

    @property
    def sweeps(self) -> int:
        """Epochs, or what is usual for the solver."""
        return self.epochs if self.epochs is not None else {"als": 5, "adagrad": 25, "svd": 0}[self.solver]

    def with_(self, **options: Any) -> Settings:
        """These settings with some changed. Raises TypeError for a name that is not among them."""
        names = [field.name for field in fields(self)]
        for name in options:
            if name not in names:
                other = ELSEWHERE.get(name)
                hint = f" It is called {other} here." if other else near_misses(name, [*names, *NAMES, "window"])
                msg = f"there is no setting {name!r}.{hint}"
                raise TypeError(msg)
        return replace(self, **options)


SOURCE: dict[str, Any] = {  # what simpler_glove does (Su Jianlin 2017); window 10 and counts of its own come with `fit`
    "objective": "pmi", "solver": "adagrad", "model": "shared", "epochs": 25, "lr": 0.1,
}  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {"source": SOURCE}
