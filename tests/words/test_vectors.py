"""Questions against brute force: every score by its formula, in float64, over the whole vocabulary."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import InputError, UnknownWordError
from thalweg.words import WordVectors

Doubles = npt.NDArray[np.float64]
N, DIM = 60, 7


def vectors(seed: int = 0, n: int = N, dim: int = DIM, **info: object) -> WordVectors:
    rng = np.random.default_rng(seed)
    u, k = rng.standard_normal((2, n, dim)).astype(np.float32)
    words = [f"w{j}" for j in range(n)]
    return WordVectors(words, np.arange(n, 0, -1) * 10, u, k, np.ones(dim), info=dict(info))


@pytest.fixture(scope="module")
def wv() -> WordVectors:
    return vectors()


def ranked(scores: Doubles, without: list[int], topn: int, restrict: int | None = None) -> list[tuple[str, float]]:
    """Sorting all: scores descending, equal ones by number."""
    allowed = [j for j in range(len(scores)) if j not in without and (restrict is None or j < restrict)]
    return [(f"w{j}", scores[j]) for j in sorted(allowed, key=lambda j: (-scores[j], j))[:topn]]


def same(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> bool:
    assert [word for word, _ in found] == [word for word, _ in expected]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-5)
    return True


def pmi(wv: WordVectors) -> Doubles:
    """(<u_i, k_j> + <u_j, k_i>)/2 for all pairs.   (n, n)"""
    products = wv.word.astype(float) @ wv.context.T
    return (products + products.T) / 2


def cosines(rows: npt.NDArray[np.float32]) -> Doubles:
    unit = rows.astype(float) / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)
    return unit @ unit.T


LIMITS = [(10, None), (1, None), (1000, None), (10, 20), (10, 1), (3, 10_000)]


# related


@pytest.mark.parametrize(("topn", "restrict"), LIMITS)
def test_related_is_the_mean_of_both_inner_products(wv: WordVectors, topn: int, restrict: int | None) -> None:
    for j in (0, 17, N - 1):
        found = wv.related(f"w{j}", topn=topn, restrict=restrict)
        assert same(found, ranked(pmi(wv)[j], [j], topn, restrict))


def test_pmi_is_symmetric_and_what_related_ranks(wv: WordVectors) -> None:
    assert wv.pmi("w1", "w2") == pytest.approx(wv.pmi("w2", "w1")) == pytest.approx(pmi(wv)[1, 2], abs=1e-6)
    assert dict(wv.related("w1", topn=N))["w2"] == pytest.approx(wv.pmi("w1", "w2"), abs=1e-6)


def test_a_group_is_the_sum_of_its_words(wv: WordVectors) -> None:
    """Additivity: PMI(Q; a) = sum_i PMI(q_i, a); negative words are subtracted; all words of the question are left out."""
    table = pmi(wv)
    assert same(wv.related("w3", "w9", topn=N), ranked(table[3] + table[9], [3, 9], N))
    assert same(wv.related("w3", "w9", negative=["w5"]), ranked(table[3] + table[9] - table[5], [3, 9, 5], 10))
    assert same(wv.related("w3", "w3"), ranked(2 * table[3], [3], 10))


# similar


@pytest.mark.parametrize(("topn", "restrict"), LIMITS)
def test_similar_is_the_cosine_of_the_sums(wv: WordVectors, topn: int, restrict: int | None) -> None:
    table = cosines(wv.word + wv.context)
    for j in (0, 17, N - 1):
        assert same(wv.similar(f"w{j}", topn=topn, restrict=restrict), ranked(table[j], [j], topn, restrict))


@pytest.mark.parametrize("contexts", [3, 8, 20, N, 10_000])
def test_similar_with_contexts_is_the_correlation_of_rows_of_pmi(wv: WordVectors, contexts: int) -> None:
    """Pearson's correlation over the n most frequent words c of <u_i, k_c> and <u_j, k_c>, to 1e-5."""
    table = np.corrcoef(wv.word.astype(float) @ wv.context[:contexts].T)
    for j in (0, 17):
        assert same(wv.similar(f"w{j}", contexts=contexts, topn=5), ranked(table[j], [j], 5))


def test_words_of_length_zero_are_similar_to_nothing() -> None:
    wv = vectors(n=3)
    wv.word[1] = wv.context[1] = 0
    assert wv.similar("w1") == [("w0", 0.0), ("w2", 0.0)]
    assert dict(wv.similar("w0"))["w1"] == 0.0


# analogy


@pytest.mark.parametrize(("topn", "restrict"), LIMITS)
def test_analogy_is_the_cosine_with_a_sum_of_unit_vectors(wv: WordVectors, topn: int, restrict: int | None) -> None:
    """3CosAdd on [u, k]: cos(x, a - b + c) of unit vectors, the words of the question left out."""
    both = np.concatenate([wv.word, wv.context], axis=1).astype(float)
    unit = both / np.linalg.norm(both, axis=1, keepdims=True)
    target = unit[4] - unit[8] + unit[15]
    expected = ranked(unit @ target / np.linalg.norm(target), [4, 8, 15], topn, restrict)
    for question in (("w4", "w8", "w15"), ("w4 - w8 + w15",), ("w4 w8 w15",), ("w15 - w8 + w4",)):
        assert same(wv.analogy(*question, topn=topn, restrict=restrict), expected)


def test_an_expression_may_have_any_number_of_words(wv: WordVectors) -> None:
    unit = wv.unit("concat").astype(float)
    target = unit[1] + unit[2] + unit[3] - unit[4]
    assert same(wv.analogy("w1 + w2 + w3 - w4"), ranked(unit @ target / np.linalg.norm(target), [1, 2, 3, 4], 10))
    assert same(wv.analogy("w1"), ranked(unit @ unit[1], [1], 10))


def test_words_that_cancel_are_an_error(wv: WordVectors) -> None:
    with pytest.raises(InputError, match="'w1 - w1' adds up to nothing: its words cancel"):
        wv.analogy("w1 - w1")
    with pytest.raises(InputError, match="three words, or one expression"):
        wv.analogy("w1", "w2")


# Ranking


@given(st.lists(st.integers(-2, 2), min_size=2, max_size=25), st.integers(1, 30), st.data())
def test_equal_scores_stand_in_the_order_of_frequency(scores: list[int], topn: int, data: st.DataObject) -> None:
    """One dimension with u = (1, s_1, s_2, ...), k = 0 but for k_0 = 2: related(w0) has the scores s_j, exactly."""
    n = len(scores) + 1
    restrict = data.draw(st.none() | st.integers(1, n + 2))
    u, k = np.zeros((2, n, 1), np.float32)
    u[1:, 0], k[0, 0] = scores, 2
    wv = WordVectors([f"w{j}" for j in range(n)], np.arange(n, 0, -1), u, k, np.ones(1))
    assert wv.related("w0", topn=topn, restrict=restrict) == ranked(np.array([0.0, *scores]), [0], topn, restrict)


@pytest.mark.parametrize("limit", ["topn", "restrict", "contexts"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_that_leave_nothing_are_errors_that_name_them(wv: WordVectors, limit: str, value: int) -> None:
    with pytest.raises(InputError, match=f"{limit}={value}"):
        wv.similar("w1", **{limit: value})


# Words


@pytest.fixture
def named() -> WordVectors:
    words = ["the", "matrix", "matrices", "metric", "naïve", "a", "飞机"]
    rng = np.random.default_rng(0)
    return WordVectors(words, np.arange(7, 0, -1), *rng.standard_normal((2, 7, 3)).astype(np.float32), np.ones(3), name="vec")


def test_spelling_is_normalised_as_the_corpus_was(named: WordVectors) -> None:
    assert named.related("Matrix") == named.related("matrix") == named.related(" MATRIX! ")
    assert named.analogy("The - A + NAÏVE") == named.analogy("the - a + naïve")


def test_a_tokenised_corpus_keeps_capitals(named: WordVectors) -> None:
    named.info["language"] = "whitespace"
    cased = WordVectors([*named.words[:-1], "Rank"], None, named.word, info=named.info)
    with pytest.raises(UnknownWordError, match=r'"Matrix" is not among .* Near spellings: matrix'):
        cased.related("Matrix")


def test_words_without_any_capital_letter_are_asked_about_in_lower_case(named: WordVectors) -> None:
    """Vectors of other programs do not say how their text was read; capitalised test sets covered nothing, without a word."""
    named.info["language"] = "whitespace"
    assert named.related("Matrix") == named.related("matrix")
    assert "MATRIX" in named


def test_an_unknown_word_names_near_spellings(named: WordVectors) -> None:
    with pytest.raises(UnknownWordError) as caught:
        named.similar("matrics")
    assert str(caught.value) == '"matrics" is not among the 7 words of vec. Near spellings: matrices, matrix, metric.'
    assert caught.value.near == ["matrices", "matrix", "metric"]
    assert isinstance(caught.value, KeyError)
    with pytest.raises(UnknownWordError, match=r'^"xyzzyx" is not among the 7 words of vec\.$'):
        named["xyzzyx"]


@pytest.mark.parametrize("ask", ["related", "similar", "analogy", "pmi"])
def test_all_questions_refuse_unknown_words(named: WordVectors, ask: str) -> None:
    for words in [("matrixx",), ("the", "matrixx")] if ask in ("related", "pmi") else [("matrixx",)]:
        with pytest.raises(UnknownWordError, match="matrixx"):
            getattr(named, ask)(*words, *(["matrixx"] if ask == "pmi" and len(words) == 1 else []))


def test_pieces_of_an_unknown_chinese_word_are_named() -> None:
    words = ["的", "机场", "飞机", "大厦"]
    rng = np.random.default_rng(0)
    wv = WordVectors(
        words, np.arange(4, 0, -1), *rng.standard_normal((2, 4, 3)).astype(np.float32), np.ones(3), info={"language": "zh"}
    )
    for ask in (wv.similar, wv.analogy):
        with pytest.raises(UnknownWordError, match=r"Its pieces are known: 飞机 的 机场\."):
            ask("飞机的机场")
    found = wv.related("飞机的机场")
    assert found == wv.related("飞机", "的", "机场")
    assert found.note == "飞机的机场 is not a word of these vectors; asked about 飞机 + 的 + 机场 together"
    assert wv.related("飞机") == wv.related("飞机 ")
    with pytest.raises(UnknownWordError, match=r"Near spellings: 机场\."):
        wv.related("机长")


@pytest.mark.parametrize("word", ["", " ", "\0", "\n", "\ud800", "x" * 100_000, "[red]b[/red]"])
def test_odd_words_are_unknown_not_errors_of_another_kind(named: WordVectors, word: str) -> None:
    with pytest.raises(UnknownWordError) as caught:
        named.related(word)
    assert str(caught.value).isprintable()


def test_related_needs_a_word_and_words_are_strings(named: WordVectors) -> None:
    with pytest.raises(InputError, match="needs a word"):
        named.related()
    with pytest.raises(InputError, match="a word is a string, not int"):
        named.similar(3)  # type: ignore[arg-type]


# The container


def test_it_is_a_container_of_words(wv: WordVectors) -> None:
    assert (len(wv), "w1" in wv, "x" in wv, 3 in wv) == (N, True, False, False)
    assert np.array_equal(wv["w5"], wv.word[5] + wv.context[5])
    assert repr(wv) == f"WordVectors({N} words, dim={DIM})"


def test_outputs(wv: WordVectors) -> None:
    assert np.array_equal(wv.vectors("sum"), wv.word + wv.context)
    assert np.array_equal(wv.vectors("concat"), np.concatenate([wv.word, wv.context], axis=1))
    assert np.array_equal(wv.vectors("word"), wv.word)
    for output in ("sum", "concat", "word"):
        np.testing.assert_allclose(np.linalg.norm(wv.unit(output), axis=1), 1, atol=1e-6)
    with pytest.raises(InputError, match=r"output='sun' is not known\. Did you mean sum\?"):
        wv.vectors("sun")


def test_two_sets_of_vectors_do_not_share_their_caches() -> None:
    one, other = vectors(0), vectors(1)
    assert one.similar("w1") != other.similar("w1")
    assert one.similar("w1") == vectors(0).similar("w1")


HOSTILE = ["<script>alert(1)</script>", "\x1b[31mred", "\u202ecod.exe", 'a"onload="x', "&lt;", "</td>", "\0", "\u2028"]


def test_the_notebook_display_is_harmless() -> None:
    """Markup of a word is escaped, control and bidirectional characters are shown as codes."""
    n = len(HOSTILE)
    wv = WordVectors(HOSTILE, np.arange(n, 0, -1), *np.zeros((2, n, 2), np.float32), np.ones(2))
    page = wv._repr_html_()
    assert all(ch.isprintable() for ch in page)
    assert "<script" not in page
    assert page.count("<tr>") == page.count("</tr>") == n + 1
    assert page.count("</td>") == 2 * n


def test_vectors_can_be_asked_with_as_in_gensim(wv: WordVectors) -> None:
    """most_similar takes vectors beside words; similar_by_vector alone. The word itself is not left out, as nobody named it."""
    word = wv.words[3]
    assert wv.similar_by_vector(wv[word], topn=1)[0][0] == word
    assert wv.most_similar(positive=[wv[word]], topn=3) == wv.similar_by_vector(wv.get_vector(word, norm=True), topn=3)
    assert wv.has_index_for(word)


def test_names_of_gensim_that_are_others_here_are_told(wv: WordVectors) -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'index2word'; here it is wv\.words"):
        wv.index2word  # noqa: B018
    assert not hasattr(wv, "nothing_of_the_kind")


def test_what_is_no_word_is_refused_in_a_line(wv: WordVectors) -> None:
    """Raw errors of Python's came out of these."""
    for ask in (
        lambda: wv.guess(3),  # type: ignore[arg-type]
        lambda: wv.with_subwords("a"),  # type: ignore[arg-type]
        lambda: wv.rebalance("a"),  # type: ignore[arg-type]
        lambda: wv.analogy(["w1", "w2", "w3"]),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError):
            ask()


def test_vectors_are_iterated_as_their_words(wv: WordVectors) -> None:
    """`for w in wv` asked for the word 0."""
    assert list(wv) == wv.words
    assert all(word in wv for word in wv)
    assert 3 not in wv
