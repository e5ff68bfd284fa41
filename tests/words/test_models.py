"""Objectives, models and solvers against closed forms, against each other, and against what they refuse."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg import simd
from thalweg.errors import InputError
from thalweg.words import fit, solve
from thalweg.words.counts.table import CooccurrenceCounts, count
from thalweg.words.solving import adagrad, als, objective, settings, svd
from thalweg.words.solving import als_shared as shared
from thalweg.words.solving.objective import Settings, Table
from thalweg.words.text.reading import read

Doubles = npt.NDArray[np.float64]
LINES = [["a", "b", "c", "a", "b"], ["b", "c", "d"]]  # small enough to count by hand


def full_table(targets: Doubles, weights: Doubles | None = None, pull: Doubles | None = None) -> Table:
    """A table by hand, all pairs but the diagonal.   targets, weights (n, n), pull (n,)"""
    n = len(targets)
    off = ~np.eye(n, dtype=bool)
    rows, columns = np.nonzero(off)
    weights, pull = np.ones((n, n)) if weights is None else weights, np.ones(n) if pull is None else pull
    floats = [array.astype(np.float32) for array in (weights[off], targets[off], pull)]
    indptr = np.arange(0, n * n, n - 1)[: n + 1].astype(np.int64)
    assert len(rows) == indptr[-1]
    return Table(indptr, columns.astype(np.int32), *floats, np.zeros(n), 0.0, np.ones(n))


def energies(path: list[dict[str, float]]) -> Doubles:
    return np.array([parts["energy"] for parts in path])


@functools.cache
def counts() -> CooccurrenceCounts:
    """300 words, 10,000 tokens that favour some company."""
    rng = np.random.default_rng(0)
    topic = rng.integers(0, 10, 500)[:, None]
    ids = np.where(rng.random((500, 20)) < 0.6, topic * 25 + rng.integers(0, 25, (500, 20)), 250 + rng.integers(0, 50, (500, 20)))
    return count(read([[f"w{k}" for k in row] for row in ids], min_count=1), window=5)


def dense(table: Table) -> Doubles:
    """The targets of a table as a matrix, as the word of the row sees them; NaN where nothing was seen."""
    n = len(table.pull)
    rows = np.repeat(np.arange(n), np.diff(table.indptr))
    found = np.full((n, n), np.nan)
    found[rows, table.columns] = table.targets
    return found


# AdaGrad


def one_pass(word: Doubles, context: Doubles, lr: float, x: float = 10.0, t: float = 1.5) -> float:
    """A pass over the single record (0, 1), weight (x/100)^0.75; word and context (2, dim + 1) are changed in place."""
    one = np.ones(1, np.float32)
    weights, targets = one * np.float32((x / 100) ** 0.75), one * np.float32(t)
    entries = np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1, np.int32), weights, targets
    squares = np.ones_like(word), np.ones_like(context)
    return float(adagrad._pass(*entries, np.zeros(2), 0.0, word, context, *squares, lr, False))


def test_one_step_of_adagrad_is_that_of_the_specification() -> None:
    """X = 10, t = 1.5, u = (0.1, 0.2), k = (0.3, -0.1): error -1.49; both vectors move from their old values, G takes g^2 first."""
    word, context = np.zeros((2, 3)), np.zeros((2, 3))
    word[0, :2], context[1, :2] = (0.1, 0.2), (0.3, -0.1)
    assert one_pass(word, context, 0.1) == pytest.approx(0.19739791, abs=1e-8)
    np.testing.assert_allclose(word[0, :2], [0.10792391, 0.19735129], atol=1e-8)
    np.testing.assert_allclose(context[1, :2], [0.30264871, -0.09470815], atol=1e-8)
    assert not word[1].any()
    assert not context[0].any()


def test_a_pass_without_a_rate_measures_and_changes_nothing() -> None:
    word, context = np.random.default_rng(0).standard_normal((2, 2, 3))
    before = word.tobytes(), context.tobytes()
    error = float(word[0, :2] @ context[1, :2]) - 1.5
    assert one_pass(word, context, 0.0) == pytest.approx(0.5 * 0.1**0.75 * error**2, rel=1e-6)
    assert (word.tobytes(), context.tobytes()) == before


ADAGRAD = [
    {"objective": "pmi"},
    {"objective": "pmi", "model": "shared"},
    {"objective": "glove"},
]


@pytest.mark.parametrize("kind", ADAGRAD, ids=str)
def test_adagrad_goes_down_and_depends_on_the_seed_alone(kind: dict[str, Any]) -> None:
    runs = [
        solve(counts(), dim=6, solver="adagrad", epochs=6, seed=seed, threads=threads, **kind)
        for seed, threads in ((0, 1), (0, 2), (1, 1))
    ]
    assert runs[0].word.tobytes() == runs[1].word.tobytes() != runs[2].word.tobytes()
    for wv in runs:
        path = np.array(wv.energy_path)
        assert len(path) == 7
        assert (np.diff(path) < 0).all()


@pytest.mark.parametrize("n", [2, 4, 16])
def test_a_tournament_brings_everyone_together_once_and_nobody_into_a_round_twice(n: int) -> None:
    """So the blocks of a round touch rows of their own, also where word and context are one vector."""
    rounds = adagrad.tournament(n)
    assert sorted(pair for each in rounds for pair in each) == [(a, b) for a in range(n) for b in range(a, n)]
    for each in rounds:
        hands = [hand for a, b in each for hand in {a, b}]
        assert len(hands) == len(set(hands))


def test_every_record_of_adagrad_is_in_the_block_of_its_words() -> None:
    table = objective.table(counts(), Settings())
    rows = np.repeat(np.arange(len(table.pull), dtype=np.int32), np.diff(table.indptr))
    order = np.random.default_rng(0).permutation(len(rows))
    blocks = adagrad._blocks(order, rows, table.columns)
    assert sorted(int(e) for each in blocks for (block,) in each for e in block) == list(range(len(rows)))
    place = {int(e): k for k, e in enumerate(order)}
    for each, pairs in zip(blocks, adagrad.tournament(adagrad.SLICES), strict=True):
        for (block,), pair in zip(each, pairs, strict=True):
            hands = np.sort(np.stack([rows[block], table.columns[block]]) % adagrad.SLICES, axis=0)
            assert (pair == hands.T).all()
            assert [place[int(e)] for e in block] == sorted(place[int(e)] for e in block)


def test_the_shared_model_of_adagrad_has_one_vector_a_word() -> None:
    wv = solve(counts(), dim=6, solver="adagrad", objective="pmi", model="shared", epochs=2)
    assert wv.shared
    assert np.array_equal(wv.word, wv.context)


def test_the_energy_of_adagrad_is_that_of_als() -> None:
    """Of the same vectors: sum over seen pairs of w (<u, k> - t)^2 / 2."""
    for extra in ({}, {"shift": 1.0}, {"subsample": 1e-3}):
        chosen = Settings(objective="pmi", solver="adagrad", epochs=1, **extra)
        table = objective.table(counts(), chosen)
        word, context, path = adagrad.descend(table, 6, chosen)
        found = als.energy(table, word, context, chosen)
        assert found["seen"] == pytest.approx(path[-1]["seen"], rel=1e-5)


def test_glove_fits_the_logarithm_of_counts() -> None:
    """Two words, one count: with biases free the loss goes to 0."""
    table = objective.table(count(read([["a", "b"] * 3], min_count=1), window=1), Settings(objective="glove", solver="adagrad"))
    _, _, path = adagrad.descend(table, 1, Settings(objective="glove", solver="adagrad", epochs=3000, x_max=1, lr=0.5))
    assert energies(path)[-1] < 1e-4 * energies(path)[0]


# The freedom of GloVe


@given(st.integers(0, 2**32 - 1))
def test_a_common_vector_is_free_in_glove_and_not_in_pmi(seed: int) -> None:
    """<u + a, k + a> + (b - <u, a> - a.a/2) + (c - <k, a> - a.a/2) = <u, k> + b + c; without biases a changes the product."""
    rng = np.random.default_rng(seed)
    u, k, a = rng.standard_normal((3, 5))
    b, c = rng.standard_normal(2)
    moved = (u + a) @ (k + a) + (b - u @ a - a @ a / 2) + (c - k @ a - a @ a / 2)
    assert moved == pytest.approx(u @ k + b + c, abs=1e-12)
    assert (u + a) @ (k + a) == pytest.approx(u @ k + (u + k + a) @ a, abs=1e-12)


def test_the_energy_of_pmi_is_moved_by_a_common_vector() -> None:
    table = objective.table(counts(), Settings())
    word, context = svd.start(table, 6)
    before = als.energy(table, word, context, Settings())["seen"]
    assert als.energy(table, word + np.float32(0.5), context + np.float32(0.5), Settings())["seen"] > 1.05 * before


# The shared model


@pytest.mark.parametrize("t", [4.0, 0.1, -1.0, -3.0])
def test_two_words_in_one_dimension_meet_any_target(t: float) -> None:
    """v_1 v_2 = t, from a start of its sign: from the other one the line from v to where it solves leads through 0, a saddle."""
    start = np.array([[1.0], [np.copysign(0.5, t)]], np.float32)
    vectors, _, path = shared.descend(full_table(np.full((2, 2), t)), start, Settings(rho=0), epochs=60, cg=2, tol=0)
    assert float(vectors[0, 0] * vectors[1, 0]) == pytest.approx(t, rel=1e-4)
    assert energies(path)[-1] < 1e-8


def test_the_shared_solver_is_as_fast_as_herons_method() -> None:
    """All rows at once would go v -> m/v, of period 2: from 10 with m = 4 to 2.5 and back; here 2 within 6 steps."""
    start = np.full((2, 1), 10, np.float32)
    vectors, _, path = shared.descend(full_table(np.full((2, 2), 4.0)), start, Settings(rho=0), epochs=6, cg=2, tol=0)
    np.testing.assert_allclose(vectors[:, 0], 2, atol=1e-3)
    assert (np.diff(energies(path)) <= 1e-6 * energies(path)[0]).all()


def test_a_table_that_no_vectors_meet_stays_finite() -> None:
    """All three targets -1: sum over i < j of (v_i v_j + 1)^2 has infimum 1, approached as v -> (x, -1/x, -1/x), never reached."""
    table = full_table(-np.ones((3, 3)))
    start = np.array([[1.0], [-0.5], [0.3]], np.float32)
    for ridge in (0.0, 0.01, 1.0):
        vectors, _, path = shared.descend(table, start, Settings(rho=0, ridge=ridge), epochs=40, cg=2, tol=0)
        assert np.isfinite(vectors).all()
        assert (np.diff(energies(path)) <= 1e-6 * energies(path)[0]).all()
        assert path[-1]["seen"] >= 1 - 1e-5  # 1/2 over both orders of every pair
    assert np.abs(vectors).max() < 1
    vectors, _, path = shared.descend(table, start, Settings(rho=0), epochs=150, cg=2, tol=0)
    assert path[-1]["seen"] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("chosen", [Settings(), Settings(rho=5, floor=-3), Settings(ridge=0.5), Settings(rho=0)], ids=str)
def test_no_sweep_of_the_shared_solver_raises_the_energy(chosen: Settings) -> None:
    table = objective.table(counts(), chosen)
    for start, cg in itertools.product((svd.start(table, 8)[0], np.ones((300, 8), np.float32)), (1, 3)):
        _, _, path = shared.descend(table, start, chosen, epochs=6, cg=cg, tol=0)
        assert (np.diff(energies(path)) <= 1e-6 * energies(path)[:-1]).all()
        assert energies(path)[-1] < energies(path)[0]


def test_the_shared_energy_is_that_of_all_pairs_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the polynomial along the line: blocks of 4 words, so that words of a block see each other."""
    monkeypatch.setattr(shared, "BLOCK", 4)
    rng = np.random.default_rng(0)
    t, w = rng.standard_normal((2, 15, 15))
    t, w, p = t + t.T, np.abs(w + w.T), rng.random(15)
    chosen = Settings(rho=0.6, floor=-0.7, ridge=0.2)
    table = full_table(t, w, p)
    v, _, path = shared.descend(table, rng.standard_normal((15, 3)).astype(np.float32), chosen, epochs=5, tol=0)
    products = v.astype(float) @ v.T.astype(float)
    off = ~np.eye(15, dtype=bool)
    seen = (w * (products - t) ** 2)[off].sum() / 2
    pulled = 0.3 * (np.outer(p, p) * (products + 0.7) ** 2).sum()
    assert path[-1] == pytest.approx(
        {"energy": seen + pulled + 0.2 * (v**2).sum(), "seen": seen, "all_pairs": pulled, "ridge": 0.2 * (v**2).sum()}, rel=1e-4
    )
    assert (np.diff(energies(path)) <= 1e-6 * energies(path)[:-1]).all()


def test_the_step_along_a_line_goes_to_its_lowest_point() -> None:
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 1, 2001)
    for _ in range(200):
        coefficients = rng.standard_normal(5)
        s = shared.lowest_point(coefficients)
        assert 0 <= s <= 1
        assert np.polynomial.Polynomial(coefficients)(s) <= np.polynomial.Polynomial(coefficients)(grid).min() + 1e-9


def test_the_shared_model_does_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_SHARE", 8)
    runs = [solve(counts(), dim=10, model="shared", threads=threads) for threads in (1, 2, 3)]
    assert len({wv.word.tobytes() for wv in runs}) == 1
    assert len({tuple(wv.energy_path) for wv in runs}) == 1


def test_a_planted_positive_table_is_found_by_the_shared_model() -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal((30, 3))
    start = rng.standard_normal((30, 4)).astype(np.float32)
    _, _, path = shared.descend(full_table(a @ a.T), start, Settings(rho=0), epochs=150, cg=6, tol=0)
    assert energies(path)[-1] < 1e-8 * energies(path)[0]


def test_a_planted_table_is_found() -> None:
    """t = a b^T + b a^T of rank 4 and both signs, all pairs: the loss falls below 1e-10 of its start, products to t."""
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 30, 2))
    t = a @ b.T + b @ a.T
    u, k = rng.standard_normal((2, 30, 6)).astype(np.float32)
    found_u, found_k, path = als.descend(full_table(t), u, k, Settings(rho=0), epochs=60, cg=12, tol=0)
    assert energies(path)[-1] < 1e-10 * energies(path)[0]
    off = ~np.eye(30, dtype=bool)
    np.testing.assert_allclose((found_u @ found_k.T)[off], t[off], atol=1e-4)


# svd as a solver


def test_svd_is_the_start_of_als_and_is_what_it_says() -> None:
    """With all dimensions u k^T is the positive PMI itself, with the marginals of pairs, smoothed by 3/4."""
    wv = solve(counts(), dim=299, solver="svd")
    x = counts().to_scipy().toarray()
    np.fill_diagonal(x, 0)
    r = x.sum(axis=1)
    with np.errstate(divide="ignore"):
        pmi = np.log(x) - 0.875 * (np.log(r)[:, None] + np.log(r)) + np.log((r**0.75).sum())
    expected = np.maximum(pmi, 0)
    assert np.abs(wv.word.astype(float) @ wv.context.T - expected).max() < 0.02 * expected.max()
    assert wv.energy_path == []
    plain = solve(counts(), dim=8, epochs=0)
    np.testing.assert_allclose(np.abs(solve(counts(), dim=8, solver="svd").word), np.abs(plain.word), atol=1e-4)


# Targets


def test_an_independent_table_has_the_same_pmi_everywhere() -> None:
    """X_ij = a_i a_j, P_i = a_i / S: with the diagonal the PMI is 0; without it N' = S^2 - sum a^2, and it is ln S^2 / N'."""
    a = np.arange(40, 0, -1)
    rows, columns = np.tril_indices(40)
    indptr = np.concatenate([[0], np.cumsum(np.arange(1, 41))]).astype(np.int64)
    made = CooccurrenceCounts(
        [f"w{k}" for k in range(40)], a.astype(np.int64), indptr, columns.astype(np.int32),
        (a[rows] * a[columns]).astype(np.uint32), 1, 5, "uniform",
    )  # fmt: skip
    found = dense(objective.table(made, Settings()))
    off = ~np.eye(40, dtype=bool)
    np.testing.assert_allclose(found[off], np.log(a.sum() ** 2 / (a.sum() ** 2 - (a**2).sum())), atol=1e-5)


def test_a_shift_is_subtracted_from_every_target() -> None:
    plain, moved = (dense(objective.table(counts(), Settings(shift=shift))) for shift in (0.0, 1.25))
    np.testing.assert_allclose((plain - moved)[~np.isnan(plain)], 1.25, atol=1e-5)


@pytest.mark.parametrize("t", [1e-3, 1e-2, 1.0])
def test_subsampling_multiplies_counts_by_what_is_kept_of_both_words(t: float) -> None:
    """X_ij -> X_ij kappa_i kappa_j, c_i -> c_i kappa_i, kappa = min(1, sqrt(t T / c))."""
    table = objective.table(counts(), Settings(subsample=t))
    c, total = counts().word_counts, counts().total_tokens
    kept = np.minimum(1, np.sqrt(t * total / c))
    x = counts().to_scipy().toarray() * np.outer(kept, kept)
    np.fill_diagonal(x, 0)
    np.testing.assert_allclose(table.row_sums, x.sum(axis=1), rtol=1e-9)
    rows = np.repeat(np.arange(300), np.diff(table.indptr))
    expected = np.log(x / x.sum() / np.outer(c * kept, c * kept) * (c * kept).sum() ** 2, where=x > 0, out=np.zeros_like(x))
    np.testing.assert_allclose(table.targets, expected[rows, table.columns], atol=2e-5)
    np.testing.assert_allclose(table.weights, np.minimum(1, (x[rows, table.columns] / 100) ** 0.75), rtol=1e-4)
    if t == 1:
        assert table.targets.tobytes() == objective.table(counts(), Settings()).targets.tobytes()


# Large tables


@pytest.mark.parametrize("model", ["two-sided", "shared"])
def test_contexts_read_as_halves_change_little_and_no_bit_by_threads(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding of 1 in 2000: the path of J agrees to 1e-3, products to a few 1e-3."""
    chosen = Settings(model=model)
    table = objective.table(counts(), chosen)
    word, context = svd.start(table, 16)

    def descend(threads: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], list[dict[str, float]]]:
        if model == "shared":
            return shared.descend(table, word, chosen, epochs=4, tol=0, threads=threads)
        return als.descend(table, word, context, chosen, epochs=4, tol=0, threads=threads)

    u, k, path = descend(1)
    monkeypatch.setattr(objective, "LARGE", 0)
    assert (objective.for_reading(word).dtype == np.uint16) == simd._half_conversion()
    small = [descend(threads) for threads in (1, 2)]
    np.testing.assert_allclose(energies(small[0][2]), energies(path), rtol=1e-3)
    assert (np.diff(energies(small[0][2])) <= 1e-4 * energies(path)[0]).all()
    assert np.linalg.norm(small[0][0] @ small[0][1].T - u @ k.T) < 5e-3 * np.linalg.norm(u @ k.T)
    assert small[0][0].tobytes() == small[1][0].tobytes()
    assert energies(small[0][2]).tobytes() == energies(small[1][2]).tobytes()


def test_vectors_too_long_for_halves_are_read_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "LARGE", 0)
    vectors = np.full((3, 16), 7e4, np.float32)
    assert objective.for_reading(vectors).dtype == np.float32


# Settings


def test_every_combination_that_no_solver_serves_is_refused_with_the_list() -> None:
    for solver, goal, model in itertools.product(settings.SOLVERS, settings.OBJECTIVES, settings.MODELS):
        if (goal, model) in settings.POSSIBLE[solver]:
            Settings(solver=solver, objective=goal, model=model)
            continue
        with pytest.raises(InputError, match="does not serve") as caught:
            Settings(solver=solver, objective=goal, model=model)
        for words in (repr(solver), repr(goal), repr(model), "als: pmi shared", "adagrad: glove two-sided", "svd: pmi"):
            assert words in str(caught.value)


def test_every_combination_that_is_served_gives_finite_vectors() -> None:
    for solver, pairs in settings.POSSIBLE.items():
        for goal, model in pairs:
            wv = solve(counts(), dim=4, solver=solver, objective=goal, model=model, epochs=1)
            assert np.isfinite(wv.word).all(), (solver, goal, model)
            assert wv.shared == (model == "shared")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"solver": "newton"}, "solver='newton' is not known. There are: als, svd, adagrad"),
        ({"objective": "pmi-ng"}, "objective='pmi-ng' is not known. Did you mean pmi-neg"),
        ({"model": 1}, "model=1 is not known"),
        ({"lr": 0}, "lr=0 is not a positive number"),
        ({"subsample": -1.0}, "subsample=-1.0 is not a positive number"),
        ({"shift": float("nan")}, "shift=nan is not a finite number"),
        ({"epochs": -1}, "epochs=-1 is not a whole number of 0 or more"),
        ({"solver": "adagrad", "objective": "pmi", "ridge": 0.5}, "ridge=0.5: the solver adagrad has none; als does"),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_one_line(option: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Settings(**option)
    assert message in str(caught.value)


def test_a_setting_that_is_none_is_a_type_error_with_near_misses() -> None:
    with pytest.raises(TypeError, match=r"there is no setting 'epoch'\. Did you mean epochs\?"):
        Settings().with_(epoch=3)


def test_the_preset_of_the_source_sets_everything_and_yields_to_what_is_said() -> None:
    text = [["a", "b", "c", "d"] * 9, ["b", "d", "a"] * 5]
    wv = fit(text, preset="source", dim=2)
    found = wv.info["settings"]
    expected = {"objective": "pmi", "solver": "adagrad", "model": "shared", "epochs": 25}
    assert {key: found[key] for key in expected} == expected
    assert (wv.info["distance"], wv.info["window"], len(wv.energy_path), wv.shared) == ("uniform", 10, 26, True)
    wv = fit(text, preset="source", dim=2, epochs=3, model="two-sided", distance="linear")
    assert (wv.info["distance"], len(wv.energy_path), wv.shared) == ("linear", 4, False)
    with pytest.raises(InputError, match=r"preset='sources' is not known\. Did you mean source\?"):
        fit(text, preset="sources")


def test_more_dimensions_than_words_are_lowered() -> None:
    small = count(read([list("abcd")] * 9, min_count=1))
    for extra in ({}, {"model": "shared"}, {"solver": "svd"}, {"solver": "adagrad", "objective": "pmi"}):
        wv = solve(small, dim=100, **extra)
        assert (wv.dim, np.isfinite(wv.word).all()) == (3, True)
