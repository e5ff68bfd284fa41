"""Co-occurrence counts against closed forms and against a count by two nested loops."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import InputError
from thalweg.words.counts import accumulate, counting
from thalweg.words.counts.table import DISTANCES, CooccurrenceCounts, count, distance_weights
from thalweg.words.text.reading import Tokens, read

LINES = [["a", "b", "c", "a", "b"], ["b", "c", "d"]]  # small enough to count by hand
TOKEN_LISTS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=25), max_size=5).map(lambda lists: [*lists, ["a", "b"]])


def pairs(found: CooccurrenceCounts) -> dict[str, float]:
    """{"ab": X_ab, ...}, both orders; zeros left out."""
    table = found.to_scipy().toarray()
    return {a + b: table[i, j] for i, a in enumerate(found.words) for j, b in enumerate(found.words) if table[i, j]}


def brute_force(tokens: Tokens, window: int, distance: str) -> npt.NDArray[np.int64]:
    """X in units of 1/scale by the definition: for p < q of one unit, g(q - p) to both orders.   (n_words, n_words)"""
    scale = {"uniform": 1, "linear": window, "harmonic": math.lcm(*range(1, window + 1)) if window <= 16 else 1 << 20}[distance]
    table = np.zeros((len(tokens.words),) * 2, np.int64)
    ids = tokens.ids.tolist()
    for p, a in enumerate(ids):
        for q in range(p + 1, min(len(ids), p + window + 1)):
            if -1 in ids[p : q + 1]:
                break
            step = q - p
            g = {"uniform": 1, "linear": window + 1 - step, "harmonic": round(scale / step)}[distance]
            table[a, ids[q]] += g
            table[ids[q], a] += g
    return table


# Closed forms


@pytest.mark.parametrize(
    ("distance", "expected", "total"),
    [
        ("uniform", {"ab": 3, "ac": 2, "bc": 3, "bd": 1, "cd": 1}, 20),
        ("harmonic", {"ab": 5 / 2, "ac": 3 / 2, "bc": 5 / 2, "bd": 1 / 2, "cd": 1}, 16),
        ("linear", {"ab": 5 / 2, "ac": 3 / 2, "bc": 5 / 2, "bd": 1 / 2, "cd": 1}, 16),  # with window 2 g(2) = 1/2 in both
    ],
)
def test_the_table_of_the_specification(distance: str, expected: dict[str, float], total: float) -> None:
    found = count(read(LINES, min_count=1), window=2, distance=distance)
    assert (found.words, found.word_counts.tolist(), found.total_tokens) == (list("bacd"), [3, 2, 2, 1], 8)
    assert pairs(found) == expected | {key[::-1]: value for key, value in expected.items()}
    assert found.total_pairs == total
    assert found.n_stored == 5
    assert found.diagonal().tolist() == [0, 0, 0, 0]


def test_a_pair_of_equal_words_counts_in_both_orders() -> None:
    """Vocabulary {a, c} of the table's lines, the window closed up: a c a | c, so X_ac = 2 and X_aa = 2."""
    found = count(read([["a", "c", "a"], ["c"]], min_count=1), window=2, distance="uniform")
    assert pairs(found) == {"aa": 2, "ac": 2, "ca": 2}
    assert found.diagonal().tolist() == [2, 0]
    assert found.total_pairs == 4  # N leaves the diagonal out


def test_one_word_over_and_over() -> None:
    """N copies within a window of n meet n (n - 1)/2 times, twice on the diagonal."""
    found = count(read([["a"] * 50 + ["b"]], min_count=1), window=1000, distance="uniform")
    assert pairs(found) == {"aa": 50 * 49, "ab": 50, "ba": 50}


# By the definition


@given(TOKEN_LISTS, st.integers(1, 20), st.sampled_from(DISTANCES))
def test_counts_are_those_of_two_nested_loops(lists: list[list[str]], window: int, distance: str) -> None:
    tokens = read(lists, min_count=1)
    found = count(tokens, window=window, distance=distance)
    expected = brute_force(tokens, window, distance)
    assert np.array_equal(np.rint(found.to_scipy().toarray() * found.scale), expected)
    rows, columns = np.nonzero(np.tril(expected))  # the stored triangle: sorted, without zeros, whole numbers
    assert np.array_equal(found.indices, columns)
    assert np.array_equal(np.repeat(np.arange(len(tokens.words)), np.diff(found.indptr)), rows)
    assert np.array_equal(found.values, expected[rows, columns].astype(np.uint64))
    assert np.array_equal(found.diagonal(), expected.diagonal())
    assert found.total_pairs == (expected.sum() - expected.trace()) / found.scale


@pytest.fixture(scope="module")
def zipf() -> Tokens:
    """20,000 tokens of 700 words: rows of more than one block of contexts."""
    rng = np.random.default_rng(0)
    ids = np.minimum(rng.zipf(1.2, (400, 50)), 700)
    return read([[f"w{k}" for k in row] for row in ids], min_count=1)


@pytest.mark.parametrize(("window", "distance"), [(1, "uniform"), (5, "harmonic"), (10, "linear")])
def test_counts_of_a_larger_text_are_those_of_shifted_streams(zipf: Tokens, window: int, distance: str) -> None:
    """X = sum over steps of g(step) (S + S^T), S the table of pairs at that distance, as scipy adds duplicates up."""
    from scipy import sparse

    found = count(zipf, window=window, distance=distance)
    weights, _ = distance_weights(window, distance)
    unit = np.cumsum(zipf.ids < 0)
    n = len(zipf.words)
    expected = sparse.csr_array((n, n))
    for step in range(1, window + 1):
        a, b = zipf.ids[:-step], zipf.ids[step:]
        inside = (unit[:-step] == unit[step:]) & (a >= 0) & (b >= 0)
        g = np.full(inside.sum(), float(weights[step]))
        once = sparse.coo_array((g, (a[inside], b[inside])), shape=(n, n)).tocsr()
        expected = expected + once + once.T
    assert abs(found.to_scipy() * found.scale - expected).max() < 1e-9


def test_the_full_table_is_symmetric_and_shares_nothing_with_the_counts(zipf: Tokens) -> None:
    found = count(zipf)
    before = found.values.tobytes(), found.indices.tobytes(), found.indptr.tobytes()
    table = found.to_scipy()
    assert table.dtype == np.float64
    assert abs(table - table.T).max() == 0
    assert table.sum() - table.trace() == pytest.approx(found.total_pairs, rel=1e-12)
    table.data[:] = 0
    table.eliminate_zeros()
    assert (found.values.tobytes(), found.indices.tobytes(), found.indptr.tobytes()) == before


# The same bytes


@pytest.mark.parametrize("task", [1, 5000, 1 << 21])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bytes_depend_neither_on_threads_nor_on_tasks(
    zipf: Tokens, task: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = count(zipf, threads=1)
    monkeypatch.setattr(accumulate, "_TASK", task)
    found = count(zipf, threads=threads)
    for name in ("indptr", "indices", "values"):
        one, other = getattr(expected, name), getattr(found, name)
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())


@given(TOKEN_LISTS, TOKEN_LISTS, st.integers(1, 12))
def test_counts_of_two_corpora_add_up(first: list[list[str]], second: list[list[str]], window: int) -> None:
    """No window crosses a unit, so X(A + B) = X(A) + X(B), exactly, and in any order of the units."""

    def integers(lists: list[list[str]]) -> dict[str, int]:
        found = count(read(lists, min_count=1), window=window)
        return {key: round(value * found.scale) for key, value in pairs(found).items()}

    one, other = integers(first), integers(second)
    summed = {key: one.get(key, 0) + other.get(key, 0) for key in one | other}
    assert integers(first + second) == summed
    assert integers((first + second)[::-1]) == summed


@given(TOKEN_LISTS)
def test_reading_backwards_changes_no_count(lists: list[list[str]]) -> None:
    """Both orders of a pair are added: X does not know left from right."""
    assert pairs(count(read(lists, min_count=1))) == pairs(count(read([words[::-1] for words in lists], min_count=1)))


# Weights


@pytest.mark.parametrize("window", [1, 2, 10, 16, 17, 1000])
def test_weights_are_whole_numbers_of_a_unit(window: int) -> None:
    """Exactly for uniform, linear and harmonic up to 16; beyond, the unit 2^-20 leaves an error of half a unit."""
    steps = np.arange(1, window + 1)
    for distance, g in (("uniform", np.ones(window)), ("linear", (window + 1 - steps) / window), ("harmonic", 1 / steps)):
        weights, scale = distance_weights(window, distance)
        error = np.abs(weights[1:] / scale - g).max()
        assert error <= (0.5 / scale if distance == "harmonic" and window > 16 else 1e-15)
        assert weights[0] == 0
    assert distance_weights(10, "harmonic")[1] == 2520


@pytest.mark.parametrize("window", [0, -1, 1001])
def test_a_window_outside_of_1_to_1000_is_an_error(window: int) -> None:
    with pytest.raises(InputError, match=f"window={window} is not between 1 and 1000 tokens"):
        count(read(LINES, min_count=1), window=window)


def test_an_unknown_distance_is_an_error_with_near_misses() -> None:
    with pytest.raises(InputError, match=r"distance='harmonics' is not known\. Did you mean harmonic\?"):
        count(read(LINES, min_count=1), distance="harmonics")


def test_progress_counts_up_to_all_tokens(zipf: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accumulate, "_TASK", 5000)
    seen: list[float] = []
    count(zipf, threads=1, progress=lambda done, total, **numbers: seen.append(done))
    assert seen == sorted(seen)
    assert (len(seen) > 10, seen[-1]) == (True, zipf.counts.sum())


def test_the_repr_says_what_was_counted() -> None:
    found = count(read(LINES, min_count=1), window=2)
    assert repr(found) == "CooccurrenceCounts(4 words, 5 stored pairs, 8 tokens, window=2, distance='harmonic')"


@pytest.mark.parametrize(("name", "value"), [("phrases", 0.3), ("lower", False), ("digits", False), ("language", "whitespace")])
def test_counts_of_texts_that_were_read_differently_are_not_added(name: str, value: object) -> None:
    """Words that are spelled or joined by other rules are other words: such counts were added in silence."""
    lines = ["The cat 1 sat on the mat"] * 6
    one, other = counting.count(lines, min_count=1), counting.count(lines, min_count=1, **{name: value})
    message = f"counts with {name} .+ and .+ cannot be added: count again with the same {name}"
    with pytest.raises(InputError, match=message):
        one.merge(other)
    with pytest.raises(InputError, match=message):
        counting.count(lines, min_count=1, merge=other)
    assert one.merge(one).total_tokens == 2 * one.total_tokens
