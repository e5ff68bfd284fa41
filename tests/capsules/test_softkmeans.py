"""Soft K-Means: its energy falls, its closed forms and peers agree, its labels are its predictions, and scikit-learn accepts it."""

from __future__ import annotations

import math
import pickle
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils.estimator_checks import check_estimator

from thalweg.capsules import SoftKMeans, SphericalKMeans, energy, free_energy, responsibilities
from thalweg.capsules.blocks import couplings, one_pass
from thalweg.capsules.distances import DISTANCES
from thalweg.capsules.starts import hashes, merged

Floats = npt.NDArray[np.float64]
BETAS = [0.01, 1.0, 30.0, math.inf]
every_distance = pytest.mark.parametrize("distance", DISTANCES)


def blobs(n: int = 300, k: int = 4, d: int = 3, seed: int = 0) -> Floats:
    x: Floats = make_blobs(n, centers=k, n_features=d, random_state=seed)[0]
    return x


def quiet(model: SoftKMeans, *given_: Any, **options: Any) -> SoftKMeans:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*given_, **options)


# ---- one pass


@every_distance
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_pass_is_what_the_definition_says(distance: str, beta: float, dtype: Any) -> None:
    """Energy, couplings and sums, from blocks of any size, dense and sparse."""
    rng = np.random.default_rng(0)
    x, v, w = rng.normal(size=(1500, 7)).astype(dtype), rng.normal(size=(50, 7)), rng.uniform(0, 2, 1500)
    x[rng.uniform(size=x.shape) < 0.3] = 0
    close = 1e-12 if dtype == np.float64 else 3e-5
    c = responsibilities(x, v, beta, distance)
    for rows in (x, csr_array(x)):
        taken = DISTANCES[distance].rows(rows)
        found = one_pass(taken, DISTANCES[distance].base(taken), DISTANCES[distance].form(v), beta, w)
        dense = taken.toarray() if hasattr(taken, "toarray") else taken
        assert found.energy == pytest.approx(free_energy(x, v, beta, distance, w), rel=close)
        np.testing.assert_allclose(found.weights, w @ c, rtol=close, atol=close)
        np.testing.assert_allclose(found.sums, (w[:, None] * c).T @ dense, rtol=close, atol=1000 * close)
        np.testing.assert_allclose(couplings(taken, DISTANCES[distance].form(v), beta), c, atol=close)
        d = energy.distances(x, v, distance)
        np.testing.assert_allclose(d[np.arange(1500), found.labels], d.min(axis=1), rtol=close, atol=close)


def test_the_bits_do_not_depend_on_the_threads() -> None:
    x, v = blobs(5000, 6, 5).astype(np.float32), blobs(6, 6, 5, seed=3)
    for beta in (0.3, math.inf):
        one, two = (
            one_pass(x, np.zeros(len(x)), DISTANCES["sqeuclidean"].form(v), beta, np.ones(len(x)), threads) for threads in (1, 2)
        )
        np.testing.assert_array_equal(one.sums, two.sums)
        assert one.energy == two.energy


# ---- the energy


@every_distance
@given(seed=st.integers(0, 10**6), power=st.floats(-3, 3), k=st.integers(1, 5))
def test_the_energy_falls_at_every_temperature(distance: str, seed: int, power: float, k: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rng.integers(k, 30), 3)) * 10 ** (power / 2)
    for beta in (10.0**-power, math.inf):
        path = quiet(SoftKMeans(k, inverse_temperature=beta, distance=distance, max_iter=15, tol=0), x).energy_path_
        assert (np.diff(path) <= 1e-12 * np.abs(path).max()).all()


def test_two_points_part_at_the_critical_temperature() -> None:
    """u = +-1 and centres +-m: m = tanh(2 b m), so 0 up to b = 1/2; m(1) = 0.9575040240772688."""
    x = np.array([[1.0], [-1.0]])
    for beta, m in ((0.4, 0.0), (1.0, 0.9575040240772688)):
        centers = quiet(SoftKMeans(2, inverse_temperature=beta, init=[[0.5], [-0.5]], tol=0, max_iter=2000), x).cluster_centers_
        np.testing.assert_allclose(centers.ravel(), [m, -m], atol=1e-9)


def test_two_equal_centres_lower_the_energy_by_a_logarithm() -> None:
    x = blobs()
    one, two = free_energy(x, [[1.0, 2, 3]], 0.7), free_energy(x, [[1.0, 2, 3]] * 2, 0.7)
    assert two == pytest.approx(one - len(x) / 0.7 * math.log(2))


@every_distance
def test_the_energy_lies_between_its_bounds_and_rises_with_the_inverse_temperature(distance: str) -> None:
    """E_inf - n log k / b <= E_b <= E_inf."""
    x, v = blobs(), blobs(5, 5, 3, seed=8)
    cold = free_energy(x, v, math.inf, distance)
    values = [free_energy(x, v, beta, distance) for beta in (0.1, 1.0, 10.0)]
    assert values == sorted(values)
    for beta, value in zip((0.1, 1.0, 10.0), values, strict=True):
        assert cold - len(x) * math.log(5) / beta <= value <= cold


# ---- peers


@pytest.mark.parametrize("seed", range(10))
def test_at_inf_it_is_scikit_learns_lloyd_from_the_same_start(seed: int) -> None:
    x = blobs(400, 6, 4, seed)
    start = x[:6]
    theirs = KMeans(6, init=start, n_init=1, algorithm="lloyd", tol=0).fit(x)
    ours = SoftKMeans(6, inverse_temperature=math.inf, init=start, tol=0).fit(x)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-12)
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-10)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.transform(x), theirs.transform(x), rtol=1e-6)


def test_a_round_is_the_one_of_a_mixture_of_gaussians() -> None:
    """Equal weights, one variance 1/(2b), means only; and NLL = b E + n (D/2 log(2 pi s^2) + log k)."""
    x = blobs(300, 4, 3)
    beta, start = 0.3, x[:4]
    precisions = np.full(4, 2 * beta)
    mixture = GaussianMixture(
        4, covariance_type="spherical", means_init=start, weights_init=np.full(4, 0.25), precisions_init=precisions, max_iter=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(x)
    ours = quiet(SoftKMeans(4, inverse_temperature=beta, init=start, max_iter=1), x)
    np.testing.assert_allclose(ours.cluster_centers_, mixture.means_, rtol=1e-10)
    variance = 1 / (2 * beta)
    distances = energy.distances(x, start)
    densities = np.exp(-distances / (2 * variance)) / (2 * math.pi * variance) ** 1.5 / 4
    likelihood = -np.log(densities.sum(axis=1)).sum()
    log_scale = len(x) * (1.5 * math.log(2 * math.pi * variance) + math.log(4))
    assert likelihood == pytest.approx(beta * free_energy(x, start, beta) + log_scale)


def test_cosine_clusters_do_not_see_lengths() -> None:
    rng = np.random.default_rng(0)
    x = blobs(200, 3, 4)
    scaled = x * rng.uniform(0.1, 10, (200, 1))
    for beta in (math.inf, 20.0):
        one, other = (SphericalKMeans(3, inverse_temperature=beta, init=rows[:3]).fit(rows) for rows in (x, scaled))
        np.testing.assert_array_equal(one.labels_, other.labels_)
        np.testing.assert_allclose(np.linalg.norm(one.cluster_centers_, axis=1), 1)


def test_the_centre_of_inner_products_is_a_sum() -> None:
    """Its length is the evidence: twice the rows, twice the length (Su's claim on the mean)."""
    x = np.abs(blobs(50, 1, 3))
    once, twice = (SoftKMeans(1, distance="inner").fit(np.concatenate([x] * n)) for n in (1, 2))
    np.testing.assert_allclose(once.cluster_centers_[0], x.sum(axis=0))
    np.testing.assert_allclose(twice.cluster_centers_, 2 * once.cluster_centers_)


# ---- an invariant of its own


def test_after_every_fit_the_labels_are_the_predictions_and_inertia_is_their_distance() -> None:
    """Tiny whole numbers with duplicates and starts far away, where scikit-learn 1.9.1 keeps other centres' labels (34074)."""
    rng = np.random.default_rng(0)
    for _ in range(400):
        n, d, k = rng.integers(2, 8), rng.integers(1, 3), 3
        x = rng.integers(0, 4, (max(n, k), d)).astype(float)
        start = rng.integers(-6, 7, (k, d)).astype(float)
        model = quiet(SoftKMeans(k, inverse_temperature=rng.choice([0.5, math.inf]), init=start), x)
        np.testing.assert_array_equal(model.labels_, model.predict(x))
        distances = energy.distances(x, model.cluster_centers_)
        np.testing.assert_allclose(distances[np.arange(len(x)), model.labels_], distances.min(axis=1), atol=1e-12)
        assert model.inertia_ == pytest.approx(distances.min(axis=1).sum(), abs=1e-10)
    x = np.array([[1.0], [3], [3], [2], [2], [3]])
    model = SoftKMeans(3, inverse_temperature=math.inf, init=[[4.0], [1], [-3]]).fit(x)
    assert (model.labels_.tolist(), model.inertia_) == ([2, 0, 0, 1, 1, 0], 0)


# ---- scikit-learn


@pytest.mark.parametrize(
    "model",
    [SoftKMeans(), SoftKMeans(inverse_temperature=math.inf), SphericalKMeans(), SoftKMeans(distance="inner")],
    ids=["auto", "hard", "spherical", "inner"],
)
def test_scikit_learns_checks_pass(model: SoftKMeans) -> None:
    """All of them, also that a weight is a repetition, which its own KMeans is excused from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(model, on_fail=None)
    assert len(found) > 50
    assert [each["check_name"] for each in found if each["status"] not in ("passed", "skipped")] == []


@every_distance
def test_a_weight_is_a_repetition(distance: str) -> None:
    x, w = blobs(80, 4, 3), np.random.default_rng(0).integers(0, 4, 80)
    order = np.random.default_rng(1).permutation(w.sum())
    for beta in ("auto", math.inf):
        model = SoftKMeans(4, inverse_temperature=beta, distance=distance)
        weighted = model.fit(x, sample_weight=w).cluster_centers_
        np.testing.assert_allclose(model.fit(np.repeat(x, w, axis=0)[order]).cluster_centers_, weighted, rtol=1e-10)


def test_equal_rows_have_one_hash_and_different_ones_have_two() -> None:
    """Dense and sparse, -0 and 0; whole numbers, whose last bits are all zero."""
    x = np.array([[i, j, 2.0**k] for i in range(-30, 31) for j in range(-30, 31) for k in range(20)])
    assert len(np.unique(hashes(x))) == len(x)
    np.testing.assert_array_equal(hashes(x), hashes(csr_array(x)))
    assert hashes(np.array([[0.0, 1]])) == hashes(np.array([[-0.0, 1]]))
    places, weights = merged(np.concatenate([x, x[:7]]), np.ones(len(x) + 7))
    assert sorted(weights)[-7:] == [2.0] * 7
    assert len(places) == len(x)


def test_sparse_rows_are_clustered_as_dense_ones_are() -> None:
    x = blobs(200, 3, 5)
    x[np.abs(x) < 2] = 0
    for beta in (0.2, math.inf):
        dense, sparse = (SoftKMeans(3, inverse_temperature=beta, init=x[:3]).fit(rows) for rows in (x, csr_array(x)))
        np.testing.assert_allclose(dense.cluster_centers_, sparse.cluster_centers_, rtol=1e-9)
        np.testing.assert_allclose(dense.responsibilities(x), sparse.responsibilities(csr_array(x)), atol=1e-9)
        np.testing.assert_allclose(dense.transform(x), sparse.transform(csr_array(x)), rtol=1e-6, atol=1e-6)


def test_far_from_zero_float32_keeps_its_digits() -> None:
    x = blobs(300, 4, 3).astype(np.float32)
    near, far = (SoftKMeans(4, inverse_temperature=math.inf, init=rows[:4]).fit(rows) for rows in (x, x + np.float32(4096)))
    assert (near.labels_ == far.labels_).mean() > 0.99
    assert near.inertia_ == pytest.approx(far.inertia_, rel=1e-3)
    assert far.cluster_centers_.dtype == np.float32


def test_auto_is_the_temperature_at_which_clusters_are_as_wide_as_they_are() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(center, 0.5, (400, 2)) for center in (0, 20, 40)])
    model = SoftKMeans(3).fit(x)
    assert model.inverse_temperature_ == pytest.approx(1 / (2 * 0.5**2), rel=0.1)
    assert SoftKMeans(2).fit(np.array([[0.0], [0], [5], [5]])).inverse_temperature_ == math.inf


def test_its_answers_agree_with_each_other() -> None:
    x = blobs()
    model = SoftKMeans(4).fit(x)
    b = model.inverse_temperature_
    np.testing.assert_allclose(model.responsibilities(x), responsibilities(x, model.cluster_centers_, b), atol=1e-12)
    assert -model.score(x) == pytest.approx(model.free_energy_)
    assert -model.score_samples(x).sum() == pytest.approx(model.free_energy_)
    assert model.energy_path_[-1] == model.free_energy_ == pytest.approx(free_energy(x, model.cluster_centers_, b))
    np.testing.assert_array_equal(model.transform(x).argmin(axis=1), model.labels_)
    assert (pickle.loads(pickle.dumps(model)).predict(x) == model.labels_).all()
    assert model.get_feature_names_out().tolist() == [f"softkmeans{j}" for j in range(4)]


# ---- streams


def test_hard_clusters_of_a_stream_are_means_of_all_rows_that_they_were_given() -> None:
    x = blobs(300, 3, 2)
    model = SoftKMeans(3, inverse_temperature=math.inf, init=x[:3])
    sums, weights, centers = np.zeros((3, 2)), np.zeros(3), x[:3]
    for rows in np.split(x, 6):
        nearest = energy.distances(rows, centers).argmin(axis=1)
        for row, j in zip(rows, nearest, strict=True):
            sums[j] += row
            weights[j] += 1
        centers = sums / weights[:, None]
        np.testing.assert_allclose(model.partial_fit(rows).cluster_centers_, centers, rtol=1e-12)
    assert model.n_batches_ == len(model.energy_path_) == 6


@pytest.mark.parametrize("beta", ["auto", math.inf])
def test_a_stream_finds_the_clusters_of_the_whole(beta: Any) -> None:
    rng = np.random.default_rng(0)
    places = np.array([[0.0, 0], [6, 0], [0, 6]])
    model = SoftKMeans(3, inverse_temperature=beta)
    for _ in range(60):
        model.partial_fit(places[rng.integers(3, size=50)] + rng.normal(size=(50, 2)))
    distances = energy.distances(model.cluster_centers_, places)
    assert sorted(distances.argmin(axis=1)) == [0, 1, 2]
    assert distances.min(axis=1).max() < 0.15**2
    x = places[rng.integers(3, size=50)] + rng.normal(size=(50, 2))
    np.testing.assert_array_equal(model.partial_fit(x).labels_, model.predict(x))
    model.partial_fit(x[:1])  # without a warning that clusters are missing in it


def test_a_batch_of_other_columns_or_too_few_rows_is_refused_and_fit_begins_anew() -> None:
    with pytest.raises(ValueError, match="n_samples=2 should be >= n_clusters=8 in the first batch"):
        SoftKMeans().partial_fit(np.ones((2, 3)))
    model = SoftKMeans(2).partial_fit(blobs(20, 2, 3))
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(np.ones((4, 2)))
    x = blobs(50, 2, 5)
    np.testing.assert_array_equal(model.fit(x).cluster_centers_, SoftKMeans(2).fit(x).cluster_centers_)


# ---- annealing


def test_annealing_parts_two_heaps_at_the_critical_temperature() -> None:
    """u = +-1: b_c = 1/2, and the centres then are those of the closed form, m = tanh(2 b m)."""
    x = np.repeat([[1.0], [-1.0]], 50, axis=0)
    model = SoftKMeans(2, inverse_temperature=1.0, anneal=(0.2, 1.05), tol=0, max_iter=500)
    quiet(model, x)
    [(beta, centers)] = model.splits_
    assert centers == 2
    assert 0.5 < beta < 0.5 * 1.05**2
    np.testing.assert_allclose(np.sort(model.cluster_centers_.ravel()), [-0.9575040240772688, 0.9575040240772688], atol=1e-6)


def test_annealing_finds_what_chance_may_miss() -> None:
    """Ten heaps in a row: each of 20 seeds ends at the energy of the ten heaps, where random rows as a start miss it."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(center, 0.3, (40, 2)) for center in 5 * np.arange(10)])
    means = np.array([x[40 * j : 40 * j + 40].mean(axis=0) for j in range(10)])
    best = energy.distances(x, means).min(axis=1).sum()
    drawn, followed = (
        [quiet(SoftKMeans(10, inverse_temperature=math.inf, random_state=seed, **how), x).inertia_ for seed in range(20)]
        for how in ({"init": "random", "n_init": 1}, {"anneal": "critical"})
    )
    assert max(followed) == pytest.approx(best, rel=1e-6)
    assert max(drawn) > 1.5 * best
    model = SoftKMeans(10, anneal="critical").fit(x)
    assert [centers for _, centers in model.splits_] == sorted({centers for _, centers in model.splits_})
    assert model.splits_[-1][1] == 10
    sparse = quiet(SoftKMeans(10, inverse_temperature=math.inf, anneal="critical"), csr_array(x))
    assert sparse.inertia_ == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("given_", [(0, 2), (1, 1), (1,), (1, float("inf")), (float("nan"), 2), ("a", 2)])
def test_an_anneal_that_is_no_schedule_is_refused(given_: Any) -> None:
    with pytest.raises(ValueError, match="it is 'critical' or"):
        SoftKMeans(2, anneal=given_).fit(blobs())
    with pytest.raises(ValueError, match="anneal is for distance='sqeuclidean'"):
        SoftKMeans(2, anneal="critical", distance="cosine").fit(blobs())


# ---- wrong and odd input


@pytest.mark.parametrize(
    ("options", "x", "said"),
    [
        ({"n_clusters": 9}, np.ones((3, 2)), r"n_samples=3 should be >= n_clusters=9"),
        ({"n_clusters": 0}, np.ones((3, 2)), "'n_clusters' parameter of SoftKMeans"),
        ({"inverse_temperature": 0.0}, np.ones((9, 2)), "'inverse_temperature' parameter of SoftKMeans"),
        ({"inverse_temperature": -1}, np.ones((9, 2)), "'inverse_temperature' parameter of SoftKMeans"),
        ({"inverse_temperature": float("nan")}, np.ones((9, 2)), "'inverse_temperature' parameter of SoftKMeans"),
        ({"distance": "euclid"}, np.ones((9, 2)), "'distance' parameter of SoftKMeans"),
        ({"init": [[1.0, 2.0]]}, np.ones((9, 2)), r"initial centers \(1, 2\) does not match \(8, 2\)"),
        ({}, np.full((9, 2), np.nan), "NaN"),
        ({}, np.full((9, 2), np.inf), "infinity"),
        ({}, np.ones(9), "Expected 2D array"),
    ],
)
def test_wrong_input_is_refused_in_scikit_learns_words(options: dict[str, Any], x: Floats, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SoftKMeans(**options).fit(x)


@every_distance
def test_constant_rows_one_row_and_rows_of_zeros_have_an_energy(distance: str) -> None:
    for x in (np.ones((9, 2)), np.zeros((9, 2)), np.ones((1, 1)), np.concatenate([np.zeros((2, 3)), np.eye(3)])):
        for beta in ("auto", 1.0, math.inf):
            model = quiet(SoftKMeans(min(2, len(x)), inverse_temperature=beta, distance=distance), x)
            assert np.isfinite(model.cluster_centers_).all()
            assert np.isfinite(model.free_energy_)


@pytest.mark.parametrize("beta", ["auto", 1.0, math.inf])
def test_numbers_whose_squares_overflow_are_refused(beta: Any) -> None:
    x = np.array([[1e30], [-1e30], [2e30]], np.float32)
    with pytest.raises(ValueError, match="do not fit in float32: bring its columns to a smaller scale"):
        SoftKMeans(2, inverse_temperature=beta).fit(x)
    assert np.isfinite(SoftKMeans(2, inverse_temperature=math.inf).fit(x.astype(np.float64)).inertia_)


def test_fewer_different_rows_than_clusters_are_told() -> None:
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(2\) found smaller than n_clusters \(3\)"):
        SoftKMeans(3, inverse_temperature=math.inf).fit(np.array([[0.0], [0], [1], [1]]))


def test_a_run_that_was_cut_short_is_told() -> None:
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        SoftKMeans(4, inverse_temperature=math.inf, max_iter=1, init="random").fit(blobs(500, 9, 2))
