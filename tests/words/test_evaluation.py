"""Ranks of answers against brute force in float64 and gensim; Spearman against scipy; the protocol's rules as closed forms."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from thalweg.cli import program
from thalweg.errors import InputError
from thalweg.words import WordVectors
from thalweg.words.judging import analogies, questions
from thalweg.words.judging import evaluation as ev
from thalweg.words.judging.evaluation import METHODS, analogy_hits, analogy_ranks
from thalweg.words.vectors import ranks

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def units(seed: int, n: int, dim: int) -> Floats:
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def some_questions(seed: int, n: int, n_words: int) -> Ints:
    return np.random.default_rng(seed).integers(0, n_words, (n, 4))


def brute_force(unit: Floats, asked: Ints, method: str) -> list[int]:
    """1 + the number of words, those of the question left out, that score higher or the same with a lower number; in float64."""
    exact = unit.astype(np.float64)
    ranks = []
    for a, b, c, d in asked:
        to_a, to_b, to_c = ((exact * exact[k]).sum(axis=1) for k in (a, b, c))  # each row summed alike: equal rows score alike
        scores = to_b - to_a + to_c
        if method == "mul":
            scores = (to_b + 1) / 2 * ((to_c + 1) / 2) / ((to_a + 1) / 2 + 0.001)
        before = [x for x in range(len(unit)) if x not in (a, b, c, d) and (-scores[x], x) < (-scores[d], d)]
        ranks.append(len(unit) + 1 if d in (a, b, c) else 1 + len(before))
    return ranks


def agrees(unit: Floats, asked: Ints, **options: Any) -> bool:
    found = analogy_ranks(unit, asked, **options)
    for method in METHODS:
        assert found[method].tolist() == brute_force(unit, asked, method)
    return True


# Ranks


def test_king_man_woman() -> None:
    """Man : king = woman : queen on two axes, sex and crown: king - man + woman is queen exactly, and then nearest to itself."""
    half = np.float32(math.sqrt(0.5))
    unit = np.array([[1, 0, 0], [half, half, 0], [-1, 0, 0], [-half, half, 0], [0, 0, 1], [0, 1, 0]], np.float32)
    for method in METHODS:
        ranks = analogy_ranks(unit, [[0, 1, 2, 3], [2, 3, 0, 1], [0, 1, 2, 4]])[method]
        assert ranks.tolist()[:2] == [1, 1]
        assert ranks[2] > 1
        assert analogy_hits(unit, [[0, 1, 2, 3], [0, 1, 2, 4]], method=method).tolist() == [True, False]


@pytest.mark.parametrize(("n", "dim"), [(5, 1), (40, 3), (256, 8), (257, 16), (700, 20), (1500, 64)])
def test_ranks_are_those_of_brute_force(n: int, dim: int) -> None:
    assert agrees(units(n, n, dim), some_questions(dim, 60, n))


def test_equal_vectors_stand_in_the_order_of_their_numbers() -> None:
    """Half of the words have a twin with the same vector: of equal scores the lower number comes first, to the bit."""
    unit = units(0, 900, 30)
    unit[450:] = unit[:450][::-1]
    asked = some_questions(1, 200, 900)
    assert agrees(unit, asked)
    twins = np.column_stack([asked[:, 0], asked[:, 1], asked[:, 2], 899 - asked[:, 1]])  # the answer is b's twin: the top score
    assert agrees(unit, twins)


def test_neighbours_that_differ_in_the_last_bit_of_a_float32_are_told_apart() -> None:
    """400 words within 1e-6 of each other: float32 sums cannot order their scores, float64 does (gaps of 1e-9 and more)."""
    unit = units(0, 600, 48)
    unit[200:] = unit[200] + np.random.default_rng(1).standard_normal((400, 48)).astype(np.float32) * np.float32(2e-7)
    asked = some_questions(2, 40, 200)
    asked[:, 3] = np.arange(200, 600, 10)
    assert agrees(unit, asked)


EXACT = [*np.eye(4), *-np.eye(4), *(np.array([a, b, c, 1]) / 2 for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)), np.zeros(4)]


@given(st.lists(st.integers(0, len(EXACT) - 1), min_size=1, max_size=30), st.data())
def test_ties_where_all_scores_are_exact(chosen: list[int], data: st.DataObject) -> None:
    """Cosines of 0, 1/2 and 1 only, words of length 0 too: most scores are tied, without any rounding."""
    unit = np.array(EXACT, np.float32)[chosen]
    word = st.integers(0, len(unit) - 1)
    asked = np.array(data.draw(st.lists(st.tuples(word, word, word, word), min_size=1, max_size=8)))
    assert agrees(unit, asked)


def test_ranks_do_not_depend_on_threads_or_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    unit, asked = units(3, 1000, 12), some_questions(4, 300, 1000)
    expected = analogy_ranks(unit, asked, threads=1)
    for threads, width, n, memory in ((2, 256, 1 << 14, 1 << 30), (1, 7, 11, 1 << 30), (3, 300, 300, 1)):
        monkeypatch.setattr(analogies, "WIDTH", width)
        monkeypatch.setattr(analogies, "QUESTIONS", n)
        monkeypatch.setattr(analogies, "MEMORY", memory)
        found = analogy_ranks(unit, asked, threads=threads)
        assert all((found[method] == expected[method]).all() for method in METHODS)


def test_one_method_alone_gives_what_both_give() -> None:
    unit, asked = units(5, 400, 12), some_questions(6, 100, 400)
    both = analogy_ranks(unit, asked)
    for method in METHODS:
        assert (analogy_ranks(unit, asked, methods=[method])[method] == both[method]).all()


def test_an_answer_that_is_in_the_question_never_comes() -> None:
    unit = units(0, 10, 4)
    found = analogy_ranks(unit, [[0, 1, 2, 0], [0, 1, 2, 1], [0, 0, 0, 0]])
    assert found["add"].tolist() == found["mul"].tolist() == [11, 11, 11]


def test_no_questions_and_bad_questions() -> None:
    unit = units(0, 10, 4)
    assert analogy_ranks(unit, [])["add"].shape == analogy_hits(unit, np.empty((0, 4), int)).shape == (0,)
    with pytest.raises(InputError, match="row 10; there are rows 0 to 9"):
        analogy_ranks(unit, [[0, 1, 2, 10]])
    with pytest.raises(InputError, match="row -1"):
        analogy_ranks(unit, [[0, 1, -1, 2]])
    with pytest.raises(InputError, match="method='cos' is not known"):
        analogy_ranks(unit, [[0, 1, 2, 3]], methods=["cos"])


# Files


def write(folder: Path, text: str, name: str = "set.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_analogy_files(tmp_path: Path) -> None:
    found = ev.read_analogies(write(tmp_path, "\ufeff: one\r\nA b c d\r\n\n:gram two\n a\tb c\u3000d/e \na b c /\n"))
    assert found.name == "set.txt"
    assert found.questions == (("A", "b", "c", ("d",)), ("a", "b", "c", ("d", "e")), ("a", "b", "c", ("/",)))
    assert found.section == ("one", "gram two", "gram two")
    assert ev.read_analogies(write(tmp_path, "a b c d")).section == ("set",)


@pytest.mark.parametrize(
    "text",
    [
        "# comment\ncat\tdog\t7.5\nbig cat\tcar\t1\n",
        "Word 1,Word 2,Human (mean)\ncat,dog,7.5\nbig cat,car,1e0\n",
        "Word 1\tWord 2\tHuman (mean)\n\ncat \t dog\t7.5\r\nbig cat\tcar\t1",
    ],
)
def test_pair_files(tmp_path: Path, text: str) -> None:
    assert ev.read_pairs(write(tmp_path, text)).pairs == (("cat", "dog", 7.5), ("big cat", "car", 1.0))


def test_pair_files_with_blanks(tmp_path: Path) -> None:
    assert ev.read_pairs(write(tmp_path, "cat  dog 7.5\n# x\nsun car -1\n")).pairs == (("cat", "dog", 7.5), ("sun", "car", -1.0))


# The protocol


def named(names: str, rows: npt.ArrayLike, counts: npt.ArrayLike | None = None, **info: object) -> WordVectors:
    numbers = None if counts is None else np.asarray(counts, np.int64)
    return WordVectors(names.split(), numbers, np.asarray(rows, np.float32), info=dict(info))


@pytest.fixture
def royal() -> WordVectors:
    """Sex, crown, and one word beside: two questions are right by either method."""
    return named("man king woman queen pawn", [[1, 0, 0], [1, 1, 0], [-1, 0, 0], [-1, 1, 0], [0, 0, 1]], [50, 40, 30, 20, 10])


def test_accuracy_over_the_covered_and_over_all(tmp_path: Path, royal: WordVectors) -> None:
    """4 questions, 3 covered, 2 right: 2/3 and 2/4; sections that begin with gram are the syntactic ones."""
    lines = ": royal\nMan KING woman queen\nman king woman pawn\nman king woman bishop\n: gram1\nwoman queen man king\n"
    found = royal.evaluate([write(tmp_path, lines)])
    assert (found.n_words, found.pairs, found.against) == (5, (), None)
    assert [result.method for result in found.analogies] == ["add", "mul"]
    for result in found.analogies:
        assert result.sections == (ev.Accuracy("royal", 1, 2, 3), ev.Accuracy("gram1", 1, 1, 1))
        assert (result.semantic, result.syntactic) == (ev.Accuracy("semantic", 1, 2, 3), ev.Accuracy("syntactic", 1, 1, 1))
        assert result.total == ev.Accuracy("total", 2, 3, 4)
        assert (result.total.of_covered, result.total.of_asked) == (2 / 3, 1 / 2)
        assert result.ranks.tolist() == [1, 2, 0, 1]
    assert math.isnan(ev.Accuracy("none", 0, 0, 0).of_covered)


def test_of_several_answers_the_best_counts_and_one_known_is_enough(tmp_path: Path, royal: WordVectors) -> None:
    result = royal.evaluate([write(tmp_path, "man king woman pawn/bishop/queen\nman king woman bishop/knight\n")]).analogies[0]
    assert (result.total, result.ranks.tolist()) == (ev.Accuracy("total", 1, 1, 2), [1, 0])


def test_words_are_folded_as_the_corpus_was_read(tmp_path: Path) -> None:
    """As `WordVectors.place`: exactly as written if known, else in lower case; with language "whitespace" only as written."""
    rows = [[1, 0], [0, 1], [1, 1], [-1, 1]]
    pairs = [write(tmp_path, "CAT dog 1\nThe the 2\nthe the 3\n", "pairs")]
    assert named("the cat dog The", rows).evaluate([], pairs).pairs[0].n_covered == 3
    assert named("the cat dog The", rows, language="whitespace").evaluate([], pairs).pairs[0].n_covered == 2
    for wv in (named("the cat dog The", rows), named("机场 飞机 cat dog", rows, language="zh")):
        known = ev._Known(wv, np.arange(4))
        for word in ("cat", "CAT", "The", "THE", "机场", "飞机场", "cat-dog", "", "Dog.", "\ud800"):
            try:
                expected = wv.place(word)
            except KeyError:
                expected = -1
            assert known.place(word) == expected, word


def test_restrict_leaves_the_most_frequent_words(tmp_path: Path, royal: WordVectors) -> None:
    """Neither a question nor a pair with a rarer word is covered, and rarer words are no candidates."""
    files = [write(tmp_path, "man king woman queen\n")], [write(tmp_path, "man king 1\nman pawn 2\nking woman 3\n", "pairs")]
    whole, four, three = (royal.evaluate(*files, restrict=n) for n in (None, 4, 3))
    assert [found.analogies[0].total.covered for found in (whole, four, three)] == [1, 1, 0]
    assert [found.pairs[0].n_covered for found in (whole, four, three)] == [3, 2, 2]
    assert [found.n_words for found in (whole, four, three)] == [5, 4, 3]
    unit, asked = units(0, 100, 5), some_questions(0, 50, 30)
    wv = WordVectors([f"w{k}" for k in range(100)], None, unit)
    text = "\n".join(" ".join(f"w{k}" for k in question) for question in asked)
    found = wv.evaluate([write(tmp_path, text)], restrict=30)
    assert [result.ranks.tolist() for result in found.analogies] == [brute_force(unit[:30], asked, method) for method in METHODS]


def test_against_other_vectors_both_answer_on_the_shared_words(tmp_path: Path) -> None:
    """Each gets what it would get alone with the words that it shares, in the order of the first; questions and pairs too."""
    mine, other = units(0, 60, 5), units(1, 60, 7)
    first = WordVectors([f"w{k}" for k in range(60)], None, mine)
    second = WordVectors([f"w{k}" for k in reversed(range(20, 80))], None, other)
    asked = some_questions(2, 80, 80)
    text = "\n".join(" ".join(f"w{k}" for k in question) for question in asked)
    pairs = write(tmp_path, "".join(f"w{a} w{b} {c}\n" for a, b, c, _ in asked), "pairs")
    found = first.evaluate([write(tmp_path, text)], [pairs], against=second)
    assert found.against is not None
    assert found.n_words == found.against.n_words == 40
    covered = ((asked >= 20) & (asked < 60)).all(axis=1)
    for results, unit in ((found.analogies, mine[20:]), (found.against.analogies, other[::-1][:40])):
        for result in results:
            assert result.ranks[covered].tolist() == brute_force(unit, asked[covered] - 20, result.method)
            assert not result.ranks[~covered].any()
    alone = WordVectors([f"w{k}" for k in range(20, 60)], None, other[::-1][:40]).evaluate([], [pairs])
    assert found.against.pairs == alone.pairs
    assert found.pairs[0].n_covered == alone.pairs[0].n_covered < 80


def test_other_vectors_of_the_same_words_in_another_order(tmp_path: Path) -> None:
    """All words are shared, in another order: the same vectors must get the same scores."""
    unit, asked = units(0, 50, 5), some_questions(1, 60, 50)
    first = WordVectors([f"w{k}" for k in range(50)], None, unit)
    second = WordVectors(first.words[::-1], None, unit[::-1].copy())
    text = "\n".join(" ".join(f"w{k}" for k in question) for question in asked)
    found = first.evaluate([write(tmp_path, text)], against=second)
    assert found.against is not None
    assert [r.ranks.tolist() for r in found.analogies] == [r.ranks.tolist() for r in found.against.analogies]
    with pytest.raises(InputError, match="share no words"):
        first.evaluate([], against=named("x y", [[1], [2]]))


def test_analogies_take_concat_and_pairs_take_the_sum_unless_one_is_chosen(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    u, k = rng.standard_normal((2, 50, 4)).astype(np.float32)
    wv = WordVectors([f"w{j}" for j in range(50)], None, u, k)
    asked = some_questions(1, 60, 50)
    files = (
        [write(tmp_path, "\n".join(" ".join(f"w{j}" for j in question) for question in asked))],
        [write(tmp_path, "".join(f"w{a} w{b} {c}\n" for a, b, c, _ in asked), "pairs")],
    )
    chosen = WordVectors(wv.words, None, u, k, output="word")
    for found, output, other in (
        (wv.evaluate(*files), "concat", "sum"),
        (wv.evaluate(*files, output="word"), "word", "word"),
        (chosen.evaluate(*files), "word", "word"),
        (chosen.evaluate(*files, output="sum"), "sum", "sum"),
    ):
        assert found.analogies[0].ranks.tolist() == brute_force(wv.unit(output), asked, "add")
        alone = WordVectors(wv.words, None, wv.vectors(other)).evaluate([], files[1])
        assert found.pairs[0].spearman == pytest.approx(alone.pairs[0].spearman, abs=1e-9)
    only = wv.evaluate(*files, method="mul")
    assert [result.method for result in only.analogies] == ["mul"]
    with pytest.raises(InputError, match=r"method='mull' is not known\. Did you mean mul"):
        wv.evaluate(method="mull")
    with pytest.raises(InputError, match="output='both' is not known"):
        wv.evaluate(*files, output="both")


# Similarity


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=20))
def test_spearman_is_that_of_scipy(values: list[tuple[int, int]]) -> None:
    from scipy.stats import spearmanr

    x, y = (list(column) for column in zip(*values, strict=True)) if values else ([], [])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of a constant input
        expected = spearmanr(x, y).statistic if len(values) > 1 else math.nan
    assert ev.spearman(x, y) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_mean_ranks() -> None:
    """Ranks of (3, 1, 3, 2) are (3.5, 1, 3.5, 2)."""
    assert ranks._mean_ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]


def test_the_interval_is_fishers() -> None:
    """atanh(0.5) +- 1.96/sqrt(100): tanh(0.549306 -+ 0.195996)."""
    assert ev._interval(0.5, 103) == pytest.approx((math.tanh(0.5493061 - 0.1959964), math.tanh(0.5493061 + 0.1959964)), abs=1e-7)
    assert ev._interval(1.0, 10) == (1, 1)
    assert ev._interval(0.5, 3) == (-1, 1)
    assert all(math.isnan(end) for end in ev._interval(math.nan, 10))


def test_a_word_is_as_like_itself_as_any_other_word_is_like_itself(tmp_path: Path) -> None:
    """Cosines of a word with itself are ties, whatever the rounding of x.x/|x|^2; words of length 0 have cosine 0."""
    rng = np.random.default_rng(0)
    wv = WordVectors(
        [f"w{k}" for k in range(41)], None, np.vstack([rng.standard_normal((40, 3)), np.zeros((1, 3))]).astype(np.float32)
    )
    text = "".join(f"w{k} w{k} 10\n" for k in range(40)) + "w0 w40 0\nw40 w40 0\n"
    result = wv.evaluate([], [write(tmp_path, text)]).pairs[0]
    assert (result.spearman, result.low, result.high, result.n_covered, result.n) == (1, 1, 1, 42, 42)


def test_nothing_covered_is_nan(tmp_path: Path, royal: WordVectors) -> None:
    found = royal.evaluate([write(tmp_path, "a b c d\n")], [write(tmp_path, "a b 1\n", "pairs")])
    assert math.isnan(found.pairs[0].spearman)
    assert math.isnan(found.analogies[0].total.of_covered)
    assert found.analogies[0].total.of_asked == 0


# Norms and built-in questions


def test_stop_words_among_the_shortest() -> None:
    """250 words by falling count, longer as they get rarer; 50 of the first 100 and 25 of the next are stop words."""
    counts = np.arange(250, 0, -1)
    wv = WordVectors([f"w{k}" for k in range(250)], counts, np.arange(1, 251, dtype=np.float32)[:, None])
    found = ev.norms(wv, [f"W{k}" for k in [*range(50), *range(100, 125)]] + ["unknown"])
    assert found == ev.NormsResult(75, 0.5, 0.375, 0.3, 1.0, 1.0)
    without = ev.norms(WordVectors(wv.words, None, wv.word), [])
    assert math.isnan(without.spearman_all)
    assert math.isnan(without.spearman_frequent)


def test_the_correlation_of_frequent_words_is_that_of_the_first_thousand() -> None:
    """Lengths grow up to the 1,000th word by count and fall from there: exactly 1 within these, and no longer with one more."""
    squares = np.concatenate([np.arange(1001, 2001), np.arange(1000, 0, -1)])
    wv = WordVectors([f"w{k}" for k in range(2000)], np.arange(2000, 0, -1), np.sqrt(squares).astype(np.float32)[:, None])
    found = ev.norms(wv, [])
    assert found.spearman_frequent == ev.spearman(squares[:1000], np.arange(1000)) == pytest.approx(1)
    assert found.spearman_all == pytest.approx(ev.spearman(squares, np.arange(2000)))
    wv.counts[999] = 500  # the 1,000 most frequent by count, wherever they stand: the one that follows is short
    assert ev.norms(wv, []).spearman_frequent == pytest.approx(ev.spearman([*squares[:999], squares[1000]], np.arange(1000)))


def test_built_in_questions_are_those_of_the_lists() -> None:
    """The same ranks as `questions.ranks`; lists of which nothing is known are left out."""
    names = sorted({word for question in questions.DOCS for word in question})
    wv = WordVectors(names, None, units(0, len(names), 9))
    built_in = ev.built_in(wv)
    assert built_in is not None
    found = wv.evaluate([built_in], method="add").analogies[0]
    docs = [k for k, name in enumerate(built_in.section) if name == "docs"]
    assert found.ranks[docs].tolist() == [rank for _, rank, _ in questions.ranks(wv, questions.DOCS)]
    assert "zh" not in built_in.section
    assert ev.built_in(named("x y", [[1], [2]])) is None


# The command


def test_the_command_prints_tables_and_one_object(tmp_path: Path, royal: WordVectors) -> None:
    royal.save(tmp_path / "vec")
    files = ["--analogies", write(tmp_path, ": royal\nman king woman queen\n: gram\nman king woman x\n")]
    files += ["--pairs", write(tmp_path, "man king 3\nman queen 1\nman woman 0\nking x 1\n", "pairs.tsv")]
    run = ["words", "evaluate", str(tmp_path / "vec"), *map(str, files)]
    text = CliRunner().invoke(program, run)
    assert text.exit_code == 0, text.stderr
    lines = [line.split() for line in text.stdout.splitlines()]
    assert ["royal", "1", "1", "100.0", "100.0", "100.0", "100.0"] in lines
    assert ["syntactic", "1", "0", "-", "-", "0.000", "0.000"] in lines
    assert ["total", "2", "1", "100.0", "100.0", "50.00", "50.00"] in lines
    assert ["pairs.tsv", "4", "3", "1.000", "-1.000", "to", "1.000"] in lines
    result = json.loads(CliRunner().invoke(program, [*run, "--json", "--against", str(tmp_path / "vec")]).stdout)["result"]
    assert result["analogies"][1]["total"] == {
        "name": "total", "right": 1, "covered": 1, "asked": 2, "accuracy": 1.0, "accuracy_of_all": 0.5
    }  # fmt: skip
    assert result["pairs"] == [{"name": "pairs.tsv", "spearman": 1.0, "low": -1.0, "high": 1.0, "n_covered": 3, "n": 4}]
    assert {**result["against"], "against": None} == {**result, "against": None}
    assert result["norms"] is None
    both = CliRunner().invoke(program, [*run, "--against", str(tmp_path / "vec")])
    assert both.exit_code == 0
    assert "among 5 words that both know" in both.stderr


def test_the_command_without_files_asks_the_built_in_questions(tmp_path: Path) -> None:
    names = ["king", "man", "woman", "queen", "the", "of", "and", *(f"w{k}" for k in range(20))]
    WordVectors(names, np.arange(len(names), 0, -1), units(0, len(names), 4)).save(tmp_path / "vec")
    done = CliRunner().invoke(program, ["words", "evaluate", str(tmp_path / "vec")])
    assert done.exit_code == 0, done.stderr
    assert "built-in questions" in done.stdout
    assert "stop words among the shortest 100, %" in done.stdout
    as_json = CliRunner().invoke(program, ["words", "evaluate", str(tmp_path / "vec"), "--json", "--quiet"])
    result = json.loads(as_json.stdout)["result"]
    assert result["norms"]["n_stopwords"] == 3
    assert result["analogies"][0]["total"]["covered"] == 1
    assert as_json.stderr == ""


# gensim


def keyed(wv: WordVectors) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gensim = pytest.importorskip("gensim.models.keyedvectors", reason="gensim is not installed: pip install gensim")
    found = gensim.KeyedVectors(wv.dim)
    found.add_vectors(wv.words, wv.word)
    return found


@pytest.mark.parametrize("restrict", [None, 150])
def test_accuracy_is_that_of_gensim(tmp_path: Path, restrict: int | None) -> None:
    """Per section, right and covered questions of evaluate_word_analogies (3CosAdd), on vectors that know part of the answers."""
    rng = np.random.default_rng(0)
    kinds, cases = rng.standard_normal((100, 8)), rng.standard_normal((2, 8))
    rows = (kinds[:, None] + cases + 0.35 * rng.standard_normal((100, 2, 8))).reshape(200, 8).astype(np.float32)
    wv = WordVectors([f"w{k}" for k in range(200)], None, rows)
    lines = []
    for section in range(5):
        lines.append(f": {'gram' * (section % 2)}{section}")
        for x, y in rng.integers(0, 104, (80, 2)):  # some words are not known
            lines.append(f"W{2 * x} w{2 * x + 1} w{2 * y} W{2 * y + 1}")
    path = write(tmp_path, "\n".join(lines) + "\n")
    _, expected = keyed(wv).evaluate_word_analogies(str(path), restrict_vocab=restrict or len(wv))
    found = wv.evaluate([path], method="add", restrict=restrict).analogies[0]
    for section, theirs in zip([*found.sections, found.total], expected, strict=True):
        assert (section.right, section.covered) == (len(theirs["correct"]), len(theirs["correct"]) + len(theirs["incorrect"]))
    assert 40 < found.total.right < found.total.covered < found.total.asked


def test_spearman_is_that_of_gensim(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wv = WordVectors([f"w{k}" for k in range(50)], None, rng.standard_normal((50, 6)).astype(np.float32))
    pairs = rng.integers(0, 55, (200, 2))
    text = "# a comment\n" + "".join(f"w{a}\tW{b}\t{score}\n" for (a, b), score in zip(pairs, rng.integers(0, 9, 200), strict=True))
    path = write(tmp_path, text)
    _, expected, missing = keyed(wv).evaluate_word_pairs(str(path))
    found = wv.evaluate([], [path]).pairs[0]
    assert found.spearman == pytest.approx(expected.statistic, abs=1e-3)  # gensim's cosines are float32: other ties
    assert (found.n, 100 * (1 - found.n_covered / found.n)) == (200, pytest.approx(missing))


# Real test sets


@pytest.mark.data
def test_the_published_sets_are_read_whole(data_folder: Path) -> None:
    sizes = {"en/google-analogies.txt": (19544, 14), "zh/ca8-morphological.txt": (10177, 4), "zh/ca8-semantic.txt": (7636, 4)}
    for name, (n, n_sections) in sizes.items():
        found = ev.read_analogies(data_folder / "eval" / name)
        assert (len(found.questions), len(set(found.section))) == (n, n_sections)
    pairs = {"en/wordsim353.tsv": 353, "en/simlex999.tsv": 999, "en/men-3000.txt": 3000, "en/rare-words.txt": 2034}
    pairs |= {"en/mturk-287.txt": 287, "zh/wordsim-240.txt": 240, "zh/wordsim-297.txt": 297}
    for name, n in pairs.items():
        assert len(ev.read_pairs(data_folder / "eval" / name).pairs) == n
