"""What is solved, and how: the constants of the energy and of the solvers, in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from thalweg.declared import check, choice, number, whole
from thalweg.errors import InputError, near_misses

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

    dim: int = whole(128, "Numbers in a vector.", low=1, shown=True)
    epochs: int | None = whole(None, "Sweeps of the solver.  [default: 5; adagrad: 25]", low=0, shown=True)
    objective: str = choice("pmi-neg", *OBJECTIVES, help="What is minimised.")
    solver: str = choice("als", *SOLVERS, help="How it is minimised.")
    model: str = choice("two-sided", *MODELS, help="Vectors of a word.")
    output: str | None = choice(None, *OUTPUTS, help="What is read off the fit.  [default: sum; analogies: concat]")
    theta: float = number(0.5, "Power of the spectrum in the word vectors; contexts get the rest.", low=0, high=1)
    subwords: float = number(1.0, "How much letters count where directions are compared; 0: not learnt.", low=0, metavar="W")
    x_max: float = number(100.0, "Count of full weight.", above=0)
    alpha: float = number(0.75, "Power of the weight.", low=0)
    rho: float = number(1.0, "Pull of all pairs to the floor.", low=0)
    floor: float = number(-1.0, "PMI of a pair that never met.")
    beta: float = number(0.75, "Power of the pull.", low=0)
    ridge: float | None = number(None, "Pull of the vectors to 0.  [default: 0; pmi: 0.01]", low=0)
    shift: float = number(0.0, "Subtracted from every PMI.")
    subsample: float | None = number(None, "Threshold of word2vec's subsampling, in its expectation.", above=0)
    start: str = choice("svd", *STARTS, help="What the solver begins from.", typed=False)
    tol: float = number(1e-3, "Relative change of the energy at which als stops.", low=0)
    holdout: float = number(
        0.0, "Share of the pairs that the solver does not see, and that the fit is then measured on.", low=0, below=1
    )
    lr: float = number(0.1, "Step of adagrad.", above=0)
    seed: int = whole(0, "Seed of all randomness.", low=0, shown=True)

    def __post_init__(self) -> None:
        check(self)
        if self.theta != 0.5 and (self.model == "shared" or self.objective == "glove"):
            which = (
                "model='shared' has one side only" if self.model == "shared" else "objective='glove' has biases beside its product"
            )
            msg = f"theta={self.theta!r} parts the spectrum between words and contexts: {which}"
            raise InputError(msg)
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
                from thalweg.words.text.rules import NAMES  # not for a command that only tells its options

                hint = f" It is called {other} here." if other else near_misses(name, [*names, *NAMES, "window"])
                msg = f"there is no setting {name!r}.{hint}"
                raise TypeError(msg)
        return replace(self, **options)


SOURCE: dict[str, Any] = {  # what simpler_glove does (Su Jianlin 2017); window 10 and counts of its own come with `fit`
    "objective": "pmi", "solver": "adagrad", "model": "shared", "epochs": 25, "lr": 0.1,
}  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {"source": SOURCE}
