"""Soft K-Means: the free energy of `energy`, minimised by couplings and centres in turn, as a scikit-learn estimator.

    c_ij = softmax_j(-b d(u_i, v_j)),      v_j = the best centre of the rows with weights c_ij

Every round lowers E(V), whatever the temperature; at b = inf it is Lloyd's K-Means. Below a critical b all centres fall together
(`critical`), so that a fixed b says nothing without the scale of the data: "auto" takes the one at which a cluster is as wide as
the clusters of a hard run are, b = 1 / (2 s^2).
"""

from __future__ import annotations

import math
import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from thalweg.capsules.annealing import FACTOR, annealed, critical
from thalweg.capsules.blocks import Pass, couplings
from thalweg.capsules.distances import DISTANCES, Floats, Rows, squares
from thalweg.capsules.rounds import Found, Problem, natural_temperature, problem_of, run
from thalweg.capsules.starts import draw, merged
from thalweg.progress import Progress
from thalweg.threads import one_blas_thread

DTYPES = [np.float64, np.float32]
FORGETTING = 0.7  # of stepwise EM: above 1/2, so that noise dies out, and at most 1


class SoftKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """Clusters of rows by their free energy, soft or hard.

    inverse_temperature: b, a number above 0 in 1 / (unit of the distance), inf for hard clusters, or "auto". distance:
    "sqeuclidean" |u - v|^2, "cosine" 1 - <u, v> of unit vectors, "inner" -<u, v/|v|>. init: "k-means++", "random" or centres.
    n_init: runs with new starts, of which the lowest energy is kept ("auto": 1 for k-means++ and given centres, else 10). A run
    ends after max_iter rounds, or when the centres move by less than tol (relative to the variance of the columns). A hard cluster
    that loses all its rows starts anew at the row farthest from its centre. anneal: "critical" follows the minimum from the
    temperature at which all centres stand together, or (b, factor) from another, in place of init ("sqeuclidean" alone); what it
    finds hardly depends on chance. n_jobs: threads; the result has the same bits for any.

    After fit: `cluster_centers_` (k, d), `labels_` (n,) the nearest centre of each row, `inertia_` the sum of the distances to it,
    `free_energy_` E, `energy_path_` E before each round and at the end, `n_iter_`, `inverse_temperature_`, and with anneal
    `splits_`: from which inverse temperature on there were how many centres. `predict` of the rows
    that were fitted is `labels_`. Source: Su 2018, kexue.fm 5112; deterministic annealing: Rose, Gurewitz and Fox 1990.
    """

    _sums: Floats  # of a stream, as is the next
    _weights: Floats
    energy_path_: Floats
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "inverse_temperature": [StrOptions({"auto"}), Interval(Real, 0, None, closed="right")],
        "distance": [StrOptions(set(DISTANCES))],
        "init": [StrOptions({"k-means++", "random"}), "array-like"],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "anneal": [None, StrOptions({"critical"}), tuple],
        "n_jobs": [None, Integral],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        inverse_temperature: float | str = "auto",
        distance: str = "sqeuclidean",
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        anneal: str | tuple[float, float] | None = None,
        random_state: Any = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.inverse_temperature = inverse_temperature
        self.distance = distance
        self.anneal = anneal
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: object = None, sample_weight: Any = None, *, progress: Progress | None = None) -> Self:
        """Find the clusters of X (n, d), dense or CSR; y is not looked at. sample_weight (n,): how often a row counts.

        progress(rounds, max_iter, energy=E) is called after each round. Raises ValueError in scikit-learn's words for what is not
        such a table, and for fewer rows than clusters.
        """
        self.__dict__.pop("_sums", None)  # of a stream that came before
        x, w = self._table(X, sample_weight, reset=True)
        if not w.any():
            msg = "sample_weight is zero for all rows: some have to count"
            raise ValueError(msg)
        if len(w) < self.n_clusters:
            msg = f"n_samples={len(w)} should be >= n_clusters={self.n_clusters}."
            raise ValueError(msg)
        problem = problem_of(x, w, self.distance, self._threads())
        tol, told = self._tolerance(problem), progress or (lambda *_, **__: None)

        def best(starts: list[Floats], beta: float) -> Found:
            return min((run(problem, start, beta, self.max_iter, tol, told) for start in starts), key=lambda run: run.last.energy)

        # BLAS is held for all rounds: taking and leaving it costs milliseconds. What overflows is told by `run`.
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            found: Found | None
            if isinstance(self.inverse_temperature, str):
                found = best(self._starts(problem), math.inf)
                beta = natural_temperature(problem, found)
                found = found if math.isinf(beta) else best([found.centers], beta)
            else:
                beta = float(self.inverse_temperature)
                found = best(self._starts(problem), beta) if self.anneal is None else None
            if self.anneal is not None:
                found = self._annealed(problem, beta, tol, told)
            assert found is not None
            self._keep(problem, found, beta)
        return self

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: object = None, sample_weight: Any = None) -> Self:
        """Go on with one batch of a stream; the first chooses the start and, for "auto", the temperature, and needs k rows.

        Hard clusters keep the mean of all rows that they were given, as MiniBatchKMeans does. Soft ones forget: sums are averaged
        with the weight (t + 1)^-0.7 of batch t (stepwise EM, Cappé and Moulines 2009, J. R. Stat. Soc. B 71). `energy_path_` is
        the energy a row of each batch before it was learnt from; `labels_`, `inertia_`, `free_energy_` are those of the last batch.
        """
        first = not hasattr(self, "_sums")
        x, w = self._table(X, sample_weight, reset=first)
        if not w.any():
            msg = "sample_weight is zero for all rows: some have to count"
            raise ValueError(msg)
        problem = problem_of(x, w, self.distance, self._threads(), np.zeros(x.shape[1]))
        if first:
            self._begin(problem)
        beta, centers = self.inverse_temperature_, self._moved()
        now = problem.pass_at(centers, beta)
        self.n_batches_ += 1
        if math.isinf(beta):
            self._sums, self._weights = self._sums + now.sums, self._weights + now.weights
        else:
            share, total = self.n_batches_**-FORGETTING, float(w.sum())
            self._sums = (1 - share) * self._sums + share * now.sums / total
            self._weights = (1 - share) * self._weights + share * now.weights / total
        path = [*self.energy_path_, now.energy / float(w.sum())]
        self._keep(problem, Found(problem.distance.centre(self._sums, self._weights, centers), path, 1, True, now), beta)
        self.energy_path_ = np.array(path)
        return self

    def _begin(self, problem: Problem) -> None:
        """Centres, temperature and empty sums, from the first batch of a stream."""
        k, d = self.n_clusters, problem.x.shape[1]
        if len(problem.w) < k:
            msg = f"n_samples={len(problem.w)} should be >= n_clusters={k} in the first batch."
            raise ValueError(msg)
        start, beta = self._starts(problem)[0], self.inverse_temperature
        if isinstance(beta, str):
            hard = run(problem, start, math.inf, self.max_iter, self._tolerance(problem), lambda *_, **__: None)
            start, beta = hard.centers, natural_temperature(problem, hard)
        self.cluster_centers_, self._origin = np.ascontiguousarray(start, problem.x.dtype), problem.origin
        self.inverse_temperature_, self.n_batches_, self.energy_path_ = float(beta), 0, np.empty(0)
        self._sums, self._weights = np.zeros((k, d)), np.zeros(k)

    def _annealed(self, problem: Problem, beta: float, tol: float, told: Progress) -> Found:
        """The minimum at beta, followed from a higher temperature."""
        if self.distance != "sqeuclidean":
            msg = f"anneal is for distance='sqeuclidean', not {self.distance!r}"
            raise ValueError(msg)
        start, factor = (critical(problem), FACTOR) if self.anneal == "critical" else _schedule(self.anneal)
        random = check_random_state(self.random_state)
        found, splits = annealed(problem, self.n_clusters, beta, start, factor, random, (self.max_iter, tol), told)
        self.splits_ = [(split.inverse_temperature, split.centers) for split in splits]
        return found

    def _keep(self, problem: Problem, found: Found, beta: float) -> None:
        k = len(found.centers)
        self.cluster_centers_ = np.ascontiguousarray(found.centers + problem.origin, problem.x.dtype)
        self._origin = problem.origin
        # what is kept is rounded to the type of X: labels and energies are those of the centres as they are kept
        last = problem.pass_at(self._moved(), beta, sums=False)
        self.labels_, self.inertia_, self.free_energy_ = last.labels, float(problem.w @ last.least), last.energy
        self.energy_path_ = np.array([*found.energies, last.energy])
        self.n_iter_, self.inverse_temperature_, self._n_features_out = found.rounds, beta, k
        distinct = len(np.unique(self.labels_))
        if not found.converged:
            msg = f"{found.rounds} rounds did not settle: raise max_iter (now {self.max_iter}) or tol"
            warnings.warn(msg, ConvergenceWarning, stacklevel=3)
        elif distinct < k and math.isinf(beta) and not hasattr(self, "_sums"):  # a batch of a stream need not have them all
            msg = f"Number of distinct clusters ({distinct}) found smaller than n_clusters ({k})."
            msg += " Possibly due to duplicate points in X."
            warnings.warn(msg, ConvergenceWarning, stacklevel=3)

    def _moved(self) -> Floats:
        """The kept centres in the coordinates in which distances are taken."""
        return self.cluster_centers_.astype(np.float64) - self._origin

    def predict(self, X: Any) -> npt.NDArray[np.int32]:
        """The nearest centre of each row, the first of equals.   (n, d) -> (n,)"""
        return self._asked(X).labels

    def transform(self, X: Any) -> Floats:
        """The distances to all centres, for "sqeuclidean" their roots, as K-Means of scikit-learn has them.   (n, d) -> (n, k)"""
        problem = self._problem_of(X)
        if self.distance == "sqeuclidean" and not hasattr(problem.x, "multiply"):
            from scipy.spatial.distance import cdist

            return np.asarray(cdist(problem.x, self._moved()), problem.x.dtype)  # exact also for a row that is a centre
        a, b = self.distance_form()
        d = problem.base[:, None] - (np.asarray(problem.x @ a.T) + b)
        return np.asarray(np.sqrt(np.maximum(d, 0)) if self.distance == "sqeuclidean" else d, problem.x.dtype)

    def distance_form(self) -> tuple[Floats, Floats]:
        """A (k, d) and b (k,) of the centres, see `thalweg.capsules.distances`."""
        check_is_fitted(self)
        return DISTANCES[self.distance].form(self._moved())

    def responsibilities(self, X: Any) -> Floats:
        """c_ij, how far each row belongs to each cluster; rows add up to 1.   (n, d) -> (n, k)"""
        problem = self._problem_of(X)
        return np.asarray(couplings(problem.x, self.distance_form(), self.inverse_temperature_, self._threads()))

    def score_samples(self, X: Any) -> Floats:
        """Minus the free energy of each row: the higher, the closer to the clusters.   (n, d) -> (n,)"""
        problem = self._problem_of(X)
        b = self.inverse_temperature_
        scores = np.asarray(problem.x @ self.distance_form()[0].T) + self.distance_form()[1]
        if math.isinf(b):
            return np.asarray(scores.max(axis=1) - problem.base)
        from scipy.special import logsumexp

        return np.asarray(logsumexp(b * scores, axis=1) / b - problem.base)

    def score(self, X: Any, y: object = None, sample_weight: Any = None) -> float:
        """-E(X): the higher, the better the centres suit the rows."""
        return -self._asked(X, sample_weight).energy

    def _asked(self, X: Any, sample_weight: Any = None) -> Pass:
        problem = self._problem_of(X, sample_weight)
        return problem.pass_at(self._moved(), self.inverse_temperature_, sums=False)

    def _problem_of(self, X: Any, sample_weight: Any = None) -> Problem:
        check_is_fitted(self)
        x, w = self._table(X, sample_weight, reset=False)
        return problem_of(x, w, self.distance, self._threads(), self._origin)

    def _table(self, X: Any, sample_weight: Any, *, reset: bool) -> tuple[Rows, Floats]:
        """The checked rows, and their weights in float64."""
        x = validate_data(self, X, accept_sparse="csr", dtype=DTYPES, order="C", accept_large_sparse=False, reset=reset)
        w = np.asarray(_check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True))
        return x, w

    def _threads(self) -> int | None:
        return None if self.n_jobs is None or self.n_jobs < 0 else max(1, self.n_jobs)

    def _tolerance(self, problem: Problem) -> float:
        """Tol in the unit of squared centres, as K-Means of scikit-learn takes it."""
        if not self.tol:
            return 0.0
        w, d = problem.w / problem.w.sum(), problem.x.shape[1]
        means = np.asarray(problem.x.T @ w).reshape(-1)
        return float(self.tol * (squares(problem.x) @ w - means @ means) / d)

    def _starts(self, problem: Problem) -> list[Floats]:
        """Centres to begin with, in the coordinates of the problem."""
        random, k = check_random_state(self.random_state), self.n_clusters
        if not isinstance(self.init, str):
            given = np.asarray(self.init, np.float64)
            if given.shape != (k, problem.x.shape[1]) or not np.isfinite(given).all():
                shape = (k, problem.x.shape[1])
                msg = f"The shape of the initial centers {given.shape} does not match {shape}, or they are not finite."
                raise ValueError(msg)
            return [problem.distance.centre(given - problem.origin, np.ones(k), given)]
        runs = self.n_init if not isinstance(self.n_init, str) else 1 if self.init == "k-means++" else 10
        places, weights = merged(problem.given, problem.w)
        drawn = [draw(problem.x[places], weights, k, self.init, random) for _ in range(runs)]
        return [problem.distance.centre(centers, np.ones(k), centers) for centers in drawn]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _schedule(given: Any) -> tuple[float, float]:
    """(b, factor). Raises ValueError for what is not."""
    try:
        start, factor = map(float, given)
    except (TypeError, ValueError):
        start, factor = 0.0, 0.0
    if not (start > 0 and math.isfinite(start) and 1 < factor < math.inf):
        msg = f"anneal={given!r}: it is 'critical' or (inverse temperature to begin with, factor above 1)"
        raise ValueError(msg)
    return start, factor


class SphericalKMeans(SoftKMeans):
    """Clusters of directions: `SoftKMeans` with distance="cosine", hard unless a temperature is given.

    Source: Dhillon and Modha 2001, Machine Learning 42; soft: a mixture of von Mises-Fisher distributions, kappa = b.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        name: allowed for name, allowed in SoftKMeans._parameter_constraints.items() if name not in ("distance", "anneal")
    }
    distance, anneal = "cosine", None

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        inverse_temperature: float | str = math.inf,
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        random_state: Any = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.inverse_temperature = inverse_temperature
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.n_jobs = n_jobs
