"""Alternating least squares: every row solves its own problem, every sweep goes down, every bit is the same."""

from __future__ import annotations

import ctypes
import functools

import numpy as np
import numpy.typing as npt
import pytest

from thalweg.errors import InputError
from thalweg.words import solve
from thalweg.words.counts.table import CooccurrenceCounts, count
from thalweg.words.solving import als, objective, svd
from thalweg.words.solving.objective import Settings, Table
from thalweg.words.text.reading import read

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


def full_table(targets: Doubles, weights: Doubles, pull: Doubles) -> Table:
    """A table by hand: all pairs with a weight above 0, the diagonal left out.   targets, weights (n, n), pull (n,)"""
    present = (weights > 0) & ~np.eye(len(pull), dtype=bool)
    rows, columns = np.nonzero(present)
    indptr = np.searchsorted(rows, np.arange(len(pull) + 1)).astype(np.int64)
    floats = [array.astype(np.float32) for array in (weights[present], targets[present], pull)]
    return Table(indptr, columns.astype(np.int32), *floats, np.zeros(len(pull)), 0.0, np.ones(len(pull)))


def random_table(rng: np.random.Generator, n: int = 40, density: float = 0.3) -> Table:
    symmetric = np.triu(rng.standard_normal((n, n)))
    weights = np.triu(rng.random((n, n)) * (rng.random((n, n)) < density))
    return full_table(symmetric + symmetric.T, weights + weights.T, rng.random(n))


def dense(table: Table) -> tuple[Doubles, Doubles]:
    """(weights, targets) of a table as matrices, zeros where nothing was seen."""
    n = len(table.pull)
    rows = np.repeat(np.arange(n), np.diff(table.indptr))
    weights, targets = np.zeros((2, n, n))
    weights[rows, table.columns], targets[rows, table.columns] = table.weights, table.targets
    return weights, targets


def brute_force(table: Table, u: Floats, k: Floats, s: Settings) -> dict[str, float]:
    """J and its parts, all pairs one by one, in float64."""
    (w, t), p = dense(table), table.pull.astype(float)
    u64, k64 = u.astype(float), k.astype(float)
    products = u64 @ k64.T
    parts = {
        "seen": float((w * (products - t) ** 2).sum() / 2),
        "all_pairs": float(s.rho / 2 * (np.outer(p, p) * (products - s.floor) ** 2).sum()),
        "ridge": float(s.damping / 2 * ((u64**2).sum() + (k64**2).sum())),
    }
    return {"energy": sum(parts.values()), **parts}


def noise(rng: np.random.Generator, n: int, dim: int) -> tuple[Floats, Floats]:
    u, k = rng.standard_normal((2, n, dim)).astype(np.float32) * np.float32(0.3)
    return u, k


@pytest.fixture(scope="module")
def counts() -> CooccurrenceCounts:
    """600 words, 16,000 tokens that favour some company: enough entries for several tasks, once these are made small."""
    rng = np.random.default_rng(0)
    topic = rng.integers(0, 20, 800)[:, None]
    ids = np.where(rng.random((800, 20)) < 0.6, topic * 25 + rng.integers(0, 25, (800, 20)), 500 + rng.integers(0, 100, (800, 20)))
    return count(read([[f"w{k}" for k in row] for row in ids], min_count=1), window=5)


# The energy


@pytest.mark.parametrize("dim", [1, 5, 16, 50])
def test_the_energy_is_that_of_all_pairs_one_by_one(dim: int) -> None:
    rng = np.random.default_rng(dim)
    for settings in (Settings(), Settings(rho=0.3, floor=0.7, ridge=0.2), Settings(rho=0)):
        table = random_table(rng)
        u, k = noise(rng, 40, dim)
        found = als.energy(table, u, k, settings)
        assert found == pytest.approx(brute_force(table, u, k, settings), rel=1e-5)


def test_the_path_holds_the_energies_of_its_vectors() -> None:
    rng = np.random.default_rng(0)
    table, settings = random_table(rng), Settings(ridge=0.1)
    u0, k0 = noise(rng, 40, 6)
    u, k, path = als.descend(table, u0, k0, settings, epochs=3, tol=0)
    assert len(path) == 4
    assert path[0] == pytest.approx(brute_force(table, u0, k0, settings), rel=1e-5)
    assert path[-1] == pytest.approx(brute_force(table, u, k, settings), rel=1e-5)


def test_the_start_is_not_changed() -> None:
    rng = np.random.default_rng(0)
    u0, k0 = noise(rng, 40, 16)
    before = u0.tobytes(), k0.tobytes()
    als.descend(random_table(rng), u0, k0, Settings(), epochs=2)
    assert (u0.tobytes(), k0.tobytes()) == before


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(rho=0),
        Settings(rho=10, floor=-4),
        Settings(ridge=1),
        Settings(x_max=1),
        Settings(x_max=1e6),
        Settings(alpha=0),
    ],
)
def test_no_sweep_raises_the_energy(counts: CooccurrenceCounts, settings: Settings) -> None:
    """Conjugate gradients from where a row stands are a descent method: J falls, up to 1e-6 of rounding in float32."""
    table = objective.table(counts, settings)
    starts = [svd.start(table, 12), noise(np.random.default_rng(0), len(counts.words), 12)]
    for cg in (1, 2, 5):
        for u, k in starts:
            _, _, path = als.descend(table, u, k, settings, epochs=8, cg=cg, tol=0)
            energies = np.array([parts["energy"] for parts in path])
            assert (np.diff(energies) <= 1e-6 * energies[:-1]).all()
            assert energies[-1] < energies[0]


def test_more_epochs_go_on_where_fewer_stopped(counts: CooccurrenceCounts) -> None:
    table, settings = objective.table(counts, Settings()), Settings()
    u, k, whole = als.descend(table, *svd.start(table, 16), settings, epochs=4, tol=0)
    u1, k1, first = als.descend(table, *svd.start(table, 16), settings, epochs=2, tol=0)
    u2, k2, second = als.descend(table, u1, k1, settings, epochs=2, tol=0)
    assert first + second[1:] == whole
    assert (u2.tobytes(), k2.tobytes()) == (u.tobytes(), k.tobytes())


def test_it_stops_when_a_sweep_brings_less_than_tol(counts: CooccurrenceCounts) -> None:
    table = objective.table(counts, Settings())
    _, _, path = als.descend(table, *svd.start(table, 8), Settings(), epochs=500, tol=1e-3)
    energies = np.array([parts["energy"] for parts in path])
    gains = 1 - energies[1:] / energies[:-1]
    assert len(path) < 100
    assert (gains[:-2] >= 1e-3).all()


# Its rows


@pytest.mark.parametrize("dim", [1, 3, 16, 21])
def test_a_row_solves_its_weighted_least_squares(dim: int) -> None:
    """With many CG steps u_i is the solution of (K^T W_i K + rho p_i G + mu I) u = K^T W_i t_i + rho p_i s h, then k_j likewise."""
    rng = np.random.default_rng(dim)
    table, s = random_table(rng), Settings(rho=0.7, floor=-0.4, ridge=0.05)
    u, k = noise(rng, 40, dim)
    found_u, found_k, _ = als.descend(table, u, k, s, epochs=1, cg=6 * dim + 10)
    (w, t), p = dense(table), table.pull.astype(float)

    def solved(others: Floats) -> Doubles:
        v = others.astype(float)
        g, h = (v * p[:, None]).T @ v, v.T @ p
        rows = []
        for i in range(40):
            matrix = (v * w[i][:, None]).T @ v + s.rho * p[i] * g + s.damping * np.eye(dim)
            rows.append(np.linalg.solve(matrix, v.T @ (w[i] * t[i]) + s.rho * p[i] * s.floor * h))
        return np.stack(rows)

    for found, others in ((found_u, k), (found_k, found_u)):
        expected = solved(others)
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_without_pull_and_ridge_a_row_is_numpys_least_squares() -> None:
    rng = np.random.default_rng(0)
    table = random_table(rng, density=0.9)
    u, k = noise(rng, 40, 5)
    found, _, _ = als.descend(table, u, k, Settings(rho=0), epochs=1, cg=40)
    w, t = dense(table)
    for i in range(40):
        root = np.sqrt(w[i])
        expected, *_ = np.linalg.lstsq(root[:, None] * k.astype(float), root * t[i], rcond=None)
        np.testing.assert_allclose(found[i], expected, atol=1e-3)


@pytest.mark.parametrize("signs", [(1, 1, 1, 1), (1, -1, 1, -1)])
def test_a_planted_table_is_found(signs: tuple[int, ...]) -> None:
    """t_ij = sum_c s_c a_ic a_jc of rank 4, all pairs present, rho = 0, d = 6: the loss falls below 1e-8 of its start, t to 1e-3.

    Two-sided vectors can represent it whatever the signs: no need to be positive semi-definite.
    """
    rng = np.random.default_rng(1)
    a = rng.standard_normal((40, 4))
    t = (a * signs) @ a.T
    weights = rng.uniform(0.2, 1, (40, 40))
    table = full_table(t, weights + weights.T, np.ones(40))
    u, k, path = als.descend(table, *noise(rng, 40, 6), Settings(rho=0), epochs=150, cg=12, tol=0)
    assert path[-1]["seen"] < 1e-8 * path[0]["seen"]
    off = ~np.eye(40, dtype=bool)
    assert np.abs(u.astype(float) @ k.T - t)[off].max() < 1e-3


def test_a_heavy_pull_takes_all_products_to_the_floor() -> None:
    """rho >> 1: the best products are s for all pairs, seen or not, up to a few targets of size 1 over rho."""
    rng = np.random.default_rng(0)
    t = rng.standard_normal((40, 40))
    table = full_table(t + t.T, np.ones((40, 40)), rng.uniform(0.2, 1, 40))
    u, k, _ = als.descend(table, *noise(rng, 40, 4), Settings(rho=1e3, floor=-2.0), epochs=60, tol=0)
    np.testing.assert_allclose(u @ k.T, -2, atol=0.1)


# The same bits


def same_bits(runs: list[tuple[object, ...]]) -> bool:
    return len({tuple(np.asarray(part).tobytes() for part in run) for run in runs}) == 1


@pytest.fixture
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks and blocks of sums so small that three threads have something to do."""
    tasks = functools.partial(svd.row_tasks, entries=2000)
    for module in (als, svd):
        monkeypatch.setattr(module, "row_tasks", tasks)
    for module in (objective, svd):
        monkeypatch.setattr(module, "BLOCK", 64)


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize("dim", [7, 32])
def test_bits_do_not_depend_on_the_number_of_threads(counts: CooccurrenceCounts, dim: int) -> None:
    table = objective.table(counts, Settings())
    assert len(als.row_tasks(table.indptr)) > 10
    starts = [svd.start(table, dim, threads=threads) for threads in (1, 2, 3)]
    assert same_bits(list(starts))
    runs = [als.descend(table, *starts[0], Settings(), threads=threads) for threads in (1, 2, 3)]
    assert same_bits([(u, k, [list(parts.values()) for parts in path]) for u, k, path in runs])
    fits = [solve(counts, dim=dim, threads=threads) for threads in (1, 2, 3)]
    assert same_bits([(wv.word, wv.context, wv.spectrum, wv.energy_path) for wv in fits])


@pytest.mark.parametrize("dim", [3, 8, 12, 20])
def test_bits_do_not_depend_on_where_the_arrays_lie(dim: int) -> None:
    """Compiled loops once took another path, with sums in another order, where two short arrays stood close together in memory."""
    rng = np.random.default_rng(0)
    table = random_table(rng, 60)
    start = noise(rng, 60, dim)
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    libc.malloc.argtypes = [ctypes.c_size_t]
    runs = []
    for _ in range(40):
        taken = [libc.malloc(int(size)) for size in rng.integers(16, 400, 300)]
        for k in rng.permutation(300)[:150]:  # holes of many sizes, in another order each time
            libc.free(taken[k])
            taken[k] = None
        runs.append(als.descend(table, *start, Settings(), epochs=2, threads=1)[:2])
        for block in taken:
            libc.free(block)
    assert same_bits(list(runs))


# Extremes


@pytest.mark.parametrize("extreme", [{"x_max": 1e-30}, {"x_max": 1e-300}, {"rho": 1e300, "floor": 1e10}, {"rho": 1e308}])
def test_an_energy_that_is_not_finite_is_an_error(counts: CooccurrenceCounts, extreme: dict[str, float]) -> None:
    with np.errstate(all="ignore"), pytest.raises(InputError, match="the energy is not finite"):
        solve(counts, dim=4, settings=Settings(**extreme), threads=1)


@pytest.mark.parametrize("name", ["x_max", "alpha", "rho", "floor", "beta", "ridge"])
@pytest.mark.parametrize("value", [1e10, 1e38, 1e300])
def test_a_huge_constant_gives_finite_vectors_or_that_error(counts: CooccurrenceCounts, name: str, value: float) -> None:
    with np.errstate(all="ignore"):
        try:
            wv = solve(counts, dim=4, settings=Settings(**{name: value}), threads=1)
        except InputError as error:
            assert "the energy is not finite" in str(error)
        else:
            assert np.isfinite(wv.word).all()
            assert np.isfinite(wv.context).all()


def test_two_words_are_enough() -> None:
    """One pair, t = ln(X T^2/(N c_a c_b)) = ln 2 for a b alternating: d is lowered to 1, and without pull the product is t."""
    counts = count(read([["a", "b"] * 50], min_count=1), window=1)
    wv = solve(counts, dim=128, settings=Settings(rho=0), epochs=100)
    assert wv.dim == 1
    assert wv.pmi("a", "b") == pytest.approx(np.log(2), abs=1e-4)


def test_words_that_meet_nobody_are_pulled_to_the_floor_only() -> None:
    """Lines of a single word: no entry at all, and still finite vectors; without pull they stay 0."""
    counts = count(read([["a", "b", "c"] * 9, ["lonely"] * 5, *[["alone"]] * 5], min_count=1))
    for rho in (0.0, 1.0):
        wv = solve(counts, settings=Settings(rho=rho))
        assert np.isfinite(wv.word).all()
        assert (np.diff(wv.energy_path) <= 1e-6 * wv.energy_path[0]).all()
        if rho == 0:
            assert not wv.word[wv.index["alone"]].any()
    assert wv.pmi("alone", "a") < 0.1


def test_no_sweeps_leave_the_start() -> None:
    counts = count(read([["a", "b", "c", "d"] * 9], min_count=1))
    wv = solve(counts, epochs=0)
    assert len(wv.energy_path) == 1
    assert wv.info["energy_parts"][0]["energy"] == pytest.approx(wv.energy_path[0], abs=1e-6)


@pytest.mark.parametrize("model", ["two-sided", "shared"])
def test_an_older_fit_grows_in_rank(model: str) -> None:
    """Columns of zeros on both sides are a saddle: a start of rank 3 stayed there, whatever dim was asked for."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 5, (300, 1)) + 5 * rng.integers(0, 8, (300, 10))
    counts = count(read([[f"w{k}" for k in row] for row in ids], min_count=1), window=4)
    old = solve(counts, dim=3, subwords=0.0, model=model)
    new, again = (solve(counts, dim=8, subwords=0.0, model=model, start=old, epochs=20, tol=0.0) for _ in range(2))
    cold = solve(counts, dim=8, subwords=0.0, model=model, epochs=20, tol=0.0)
    assert np.linalg.matrix_rank(new.word) == 8
    assert new.word.tobytes() == again.word.tobytes()
    assert new.energy_path[-1] < 0.9 * old.energy_path[-1]
    assert new.energy_path[-1] == pytest.approx(cold.energy_path[-1], rel=0.05)
    if model == "two-sided":
        assert new.energy_path[0] == pytest.approx(old.energy_path[-1], rel=1e-3)  # the product is that of the older fit
