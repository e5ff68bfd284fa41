"""Texts against the double loop over their words, in float64."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg import words
from thalweg.errors import DamagedFileError, InputError, UnknownWordError
from thalweg.words import WordVectors
from thalweg.words.vectors import queries, texts
from thalweg.words.vectors.ranked import Ranked

N, DIM = 30, 6


def vectors(seed: int = 0, n: int = N, *, shared: bool = False, counts: bool = True, **facts: object) -> WordVectors:
    u, k = np.random.default_rng(seed).standard_normal((2, n, DIM)).astype(np.float32)
    names = [f"w{j}" for j in range(n)]
    many = np.arange(n, 0, -1) ** 2 * 10
    return WordVectors(names, many if counts else None, u, None if shared else k, np.ones(DIM), **facts)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def wv() -> WordVectors:
    return vectors()


def table(wv: WordVectors) -> npt.NDArray[np.float64]:
    """PMI^ of all pairs.   (n, n)"""
    products = wv.word.astype(float) @ wv.context.astype(float).T
    return (products + products.T) / 2


TOKENS = st.lists(st.integers(0, N - 1), min_size=1, max_size=40)


def text_of(tokens: list[int]) -> str:
    return " ".join(f"w{token}" for token in tokens)


# keywords


@given(TOKENS, st.booleans())
def test_the_score_of_a_keyword_is_the_double_loop(tokens: list[int], exclude_self: bool) -> None:
    """sum over the tokens i of PMI^(i, w), repeats counted; its own term belongs to it, unless exclude_self."""
    wv = vectors()
    pmi = table(wv)
    expected = {w: sum(pmi[i, w] for i in tokens if not (exclude_self and i == w)) for w in set(tokens)}
    found = wv.keywords(text_of(tokens), topn=N, exclude_self=exclude_self)
    assert {word for word, _ in found} == {f"w{w}" for w in expected}
    for word, score in found:
        assert score == pytest.approx(expected[int(word[1:])], abs=1e-5)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


@given(TOKENS, st.booleans())
def test_keywords_by_cosine_divide_out_both_lengths(tokens: list[int], exclude_self: bool) -> None:
    """The cosine of [u_w, k_w] and the text's [K, U]: within [-1, 1], and 1 for a shared model's text of one word."""
    wv = vectors()
    for word, score in wv.keywords(text_of(tokens), topn=N, by="cosine", exclude_self=exclude_self):
        w = int(word[1:])
        others = [i for i in tokens if not (exclude_self and i == w)]
        one = np.concatenate([wv.word[w], wv.context[w]]).astype(float)
        all_of_it = np.concatenate([wv.context[others].sum(axis=0, dtype=float), wv.word[others].sum(axis=0, dtype=float)])
        lengths = np.linalg.norm(one) * np.linalg.norm(all_of_it)
        assert score == pytest.approx(one @ all_of_it / lengths if lengths > 0 else 0, abs=1e-5)
    assert vectors(shared=True).keywords("w3 w3", by="cosine")[0][1] == pytest.approx(1)


def test_a_keyword_is_what_related_says_of_the_text_as_a_group(wv: WordVectors) -> None:
    """Additivity: without its own term, a keyword's score is that of `related` asked about the others."""
    scores = dict(wv.related("w1", "w2", "w2", topn=N))
    assert dict(wv.keywords("w1 w2 w2 w9", exclude_self=True))["w9"] == pytest.approx(scores["w9"], abs=1e-5)


def test_keywords_skip_unknown_words_and_list_them(wv: WordVectors) -> None:
    found = wv.keywords("W1, w2? zzz (w1) aaa zzz.")
    assert found == wv.keywords("w1 w2 w1")
    assert found.unknown == ["zzz", "aaa"]
    assert found.notes() == ["2 unknown words were skipped: zzz aaa"]


def test_keywords_keep_within_the_limits(wv: WordVectors) -> None:
    everything = wv.keywords(text_of(list(range(N))), topn=N)
    norms = dict(zip(wv.words, wv.norms(), strict=True))
    assert wv.keywords(text_of(list(range(N))), topn=N, restrict=5) == [r for r in everything if int(r[0][1:]) < 5]
    assert wv.keywords(text_of(list(range(N))), topn=N, min_norm=3.5) == [r for r in everything if norms[r[0]] >= 3.5]
    assert wv.keywords(text_of(list(range(N))), topn=N, min_count=1000, restrict=22) == [
        r for r in everything if int(r[0][1:]) <= 20
    ]
    assert wv.keywords("w1 w2", topn=1) == wv.keywords("w1 w2")[:1]


# similarity


@given(TOKENS, TOKENS)
def test_similarity_is_the_cosine_of_the_sums_or_the_sum_over_all_pairs(one: list[int], other: list[int]) -> None:
    """PMI(Q; A) = sum_i sum_j PMI(q_i, a_j); both kinds are symmetric."""
    wv = vectors()
    pmi = table(wv)
    a, b = text_of(one), text_of(other)
    double = sum(pmi[i, j] for i in one for j in other)
    assert (
        wv.similarity(a, b, by="pmi") == pytest.approx(double, abs=1e-4) == pytest.approx(wv.similarity(b, a, by="pmi"), abs=1e-9)
    )
    y = (wv.word + wv.context).astype(float)
    first, second = y[one].sum(axis=0), y[other].sum(axis=0)
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert wv.similarity(a, b) == pytest.approx(cosine, abs=1e-5) == pytest.approx(wv.similarity(b, a), abs=1e-12)
    assert wv.similarity(a, a) == pytest.approx(1)


def test_a_text_without_length_is_similar_to_nothing() -> None:
    wv = vectors(n=3)
    wv.word[1] = wv.context[1] = 0
    assert wv.similarity("w1", "w2") == 0.0
    assert dict(wv.keywords("w1 w2", by="cosine"))["w1"] == 0.0


# vector


@given(TOKENS)
def test_a_texts_vector_is_the_sum_of_its_words(tokens: list[int]) -> None:
    """Mean: over the tokens; sif: each with a/(a + P), a = 0.001."""
    wv = vectors()
    y = (wv.word + wv.context).astype(float)
    total = y[tokens].sum(axis=0)
    np.testing.assert_allclose(wv.vector(text_of(tokens)), total, atol=1e-4)
    np.testing.assert_allclose(wv.vector(text_of(tokens) + " zzz", mean=True), total / len(tokens), atol=1e-5)
    share = wv.counts / wv.counts.sum()
    weighted = sum(1e-3 / (1e-3 + share[i]) * y[i] for i in tokens)
    np.testing.assert_allclose(wv.vector(text_of(tokens), weights="sif"), weighted, atol=1e-4)
    np.testing.assert_allclose(wv.vector(text_of(tokens), weights="sif", mean=True), weighted / len(tokens), atol=1e-5)


def test_the_vector_of_a_word_is_its_own(wv: WordVectors) -> None:
    for output in ("sum", "concat", "word"):
        np.testing.assert_allclose(wv.vector("w4", output=output), wv.vectors(output)[4], rtol=1e-6)
    assert wv.vector("w4").dtype == np.float32
    assert np.array_equal(texts.sif(wv), 1e-3 / (1e-3 + wv.counts / wv.counts.sum()))


# importance


def test_importance_is_the_length_beside_minus_log_p(wv: WordVectors) -> None:
    found = wv.importance(topn=N)
    lengths = np.linalg.norm((wv.word + wv.context).astype(float), axis=1)
    assert [row.word for row in found.rows] == [f"w{j}" for j in np.argsort(-lengths)]
    for k, row in enumerate(found.rows):
        j = int(row.word[1:])
        assert (row.norm, row.norm_rank) == (pytest.approx(lengths[j]), k + 1)
        assert (row.rarity, row.rarity_rank) == (pytest.approx(-math.log(wv.counts[j] / wv.counts.sum())), N - j)
    assert wv.importance(topn=3).rows == found.rows[:3]
    assert wv.importance(topn=3, ascending=True).rows == found.rows[::-1][:3]
    assert {row.word for row in wv.importance(["w4", "W9", "w4"]).rows} == {"w4", "w9"}


def test_the_orders_of_length_and_rarity_agree_where_the_model_says_so() -> None:
    """|y|^2 = -ln P + const: Spearman 1; turned round: -1; ties share the better rank."""
    wv = vectors()
    rarity = -np.log(wv.counts / wv.counts.sum())
    for sign in (1, -1):
        y = np.zeros((N, DIM), np.float32)
        y[:, 0] = np.sqrt(20 + sign * rarity)
        model = WordVectors(wv.words, wv.counts, y)
        assert model.importance().spearman == pytest.approx(sign)
    tied = WordVectors(["a", "b", "c"], np.array([5, 5, 2]), np.ones((3, 1), np.float32)).importance(["a", "c", "b"])
    assert [(row.word, row.norm_rank, row.rarity_rank) for row in tied.rows] == [("a", 1, 2), ("b", 1, 2), ("c", 1, 1)]
    assert math.isnan(tied.spearman)


def test_without_counts_there_are_lengths_only() -> None:
    wv = vectors(counts=False)
    found = wv.importance(topn=2)
    assert [row.rarity for row in found.rows] == [row.rarity_rank for row in found.rows] == [None, None]
    assert math.isnan(found.spearman)


# the other questions' limits


@pytest.mark.parametrize("ask", ["related", "similar", "analogy"])
def test_limits_leave_the_words_that_meet_them(wv: WordVectors, ask: str) -> None:
    """min_count, min_norm and restrict: the full list without the words that fail, in the same order."""
    question = ("w1", "w2", "w3") if ask == "analogy" else ("w1",)
    everything = getattr(wv, ask)(*question, topn=N)
    norms = dict(zip(wv.words, wv.norms(), strict=True))
    counts = dict(zip(wv.words, wv.counts, strict=True))
    for min_count, min_norm, restrict in [(1000, None, None), (None, 3.5, None), (600, 3.2, 25), (10**9, None, None)]:
        limits = {"min_count": min_count, "min_norm": min_norm, "restrict": restrict}
        expected = [
            (word, score)
            for word, score in everything
            if counts[word] >= (min_count or 0) and norms[word] >= (min_norm or 0) and int(word[1:]) < (restrict or N)
        ]
        found = getattr(wv, ask)(*question, topn=N, **limits)
        assert [word for word, _ in found] == [word for word, _ in expected]
        np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], atol=1e-6)


def test_related_by_cosine_divides_out_the_lengths() -> None:
    """PMI^(i, j)/(n_i n_j), n_i^2 = (|u_i|^2 + |k_i|^2)/2; in the shared model the cosine of v_i and v_j; a group is a sum."""
    for shared in (False, True):
        wv = vectors(shared=shared)
        u, k = wv.word.astype(float), wv.context.astype(float)
        n = np.sqrt(((u**2).sum(axis=1) + (k**2).sum(axis=1)) / 2)
        for word, score in wv.related("w7", by="cosine", topn=N):
            j = int(word[1:])
            assert score == pytest.approx(table(wv)[7, j] / n[7] / n[j], abs=1e-5)
        both = math.sqrt((np.sum((u[7] + u[8]) ** 2) + np.sum((k[7] + k[8]) ** 2)) / 2)
        for word, score in wv.related("w7", "w8", by="cosine"):
            j = int(word[1:])
            assert score == pytest.approx((table(wv)[7, j] + table(wv)[8, j]) / both / n[j], abs=1e-5)


@given(
    st.lists(st.lists(st.integers(0, N - 1), min_size=1, max_size=3), min_size=1, max_size=8), st.sampled_from(["pmi", "cosine"])
)
def test_a_batch_of_questions_has_the_answers_of_each(groups: list[list[int]], by: str) -> None:
    wv = vectors()
    asked = [[f"w{j}" for j in group] if len(group) > 1 else f"w{group[0]}" for group in groups]
    for group, found in zip(groups, wv.related_many(asked, by=by, topn=N), strict=True):
        alone = wv.related(*(f"w{j}" for j in group), by=by, topn=N)
        assert dict(found) == pytest.approx(dict(alone), abs=1e-5)


def test_an_empty_batch_has_no_answers(wv: WordVectors) -> None:
    assert wv.related_many([]) == []


def test_a_large_vocabulary_is_ranked_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound from blocks of scores leaves the same best words as sorting, also among many equal scores."""
    rng = np.random.default_rng(0)
    for scores in (rng.standard_normal(5000), rng.integers(0, 3, 5000), np.zeros(5000), np.arange(5000.0), -np.arange(5000.0)):
        u = np.zeros((5000, 1), np.float32)
        u[:, 0] = scores
        wv = WordVectors([str(j) for j in range(5000)], None, u)
        for topn in (1, 7, 19, 20, 4000):
            order = sorted((j for j in range(5000) if j != 11), key=lambda j: (-u[j, 0], j))[:topn]
            assert [int(word) for word, _ in queries.best(wv, u[:, 0], [11], topn)] == order


def test_the_normaliser_is_the_sum_over_the_vocabulary(wv: WordVectors) -> None:
    """sum_j P(j) e^PMI^(i, j); for vectors of zeros it is 1."""
    share = wv.counts / wv.counts.sum()
    np.testing.assert_allclose(wv.normaliser(5), (np.exp(table(wv)) @ share)[:5], rtol=1e-4)
    assert len(wv.normaliser(1000)) == N
    zeros = WordVectors(wv.words, wv.counts, np.zeros((N, 2), np.float32))
    np.testing.assert_allclose(zeros.normaliser(), 1)


# counted PMI


def test_the_counted_pmi_stands_beside_the_estimate(tmp_path: Path) -> None:
    """The corpus a b c a b / b c d; None for a pair that never met, and without the counts."""
    lines = [["a", "b", "c", "a", "b"], ["b", "c", "d"]]
    tokens = words.read(lines, min_count=1)
    counts = words.count(tokens, window=2, distance="uniform")
    wv = words.solve(counts, dim=2)
    assert wv.counted_pmi("a", "b") is None
    wv.save(tmp_path / "vec")
    assert WordVectors.load(tmp_path / "vec").counted_pmi("a", "b") is None
    counts.save(tmp_path / "vec" / "counts")
    opened = WordVectors.load(tmp_path / "vec")
    assert opened.counted_pmi("a", "b") == pytest.approx(math.log(1.6)) == pytest.approx(opened.counted_pmi("b", "a"))
    assert opened.counted_pmi("b", "d") == pytest.approx(math.log(16 / 15))
    assert opened.counted_pmi("a", "d") is None
    assert opened.truncate(1).counted_pmi("a", "b") == pytest.approx(math.log(1.6))
    with pytest.raises(UnknownWordError):
        opened.counted_pmi("a", "xyz")
    (tmp_path / "vec" / "counts" / "manifest.json").write_text("{")
    with pytest.raises(DamagedFileError):
        WordVectors.load(tmp_path / "vec").counted_pmi("a", "b")


# what is shown


def test_answers_are_lists_that_a_notebook_shows_as_tables(wv: WordVectors) -> None:
    found = wv.related("w1", topn=3)
    assert isinstance(found, list)
    assert found == list(found)
    assert [wv.similar("w1").score, wv.similar("w1", contexts=9).score, wv.analogy("w1 - w2 + w3").score] == [
        "cosine", "correlation", "cosine",
    ]  # fmt: skip
    assert [found.score, wv.related("w1", by="cosine").score, wv.analogy("w1 - w2 + w3", method="mul").score] == [
        "pmi", "cosine", "ratio",
    ]  # fmt: skip
    assert found._repr_html_().count("<tr>") == 4
    assert "Spearman" in wv.importance(topn=3)._repr_html_()


@pytest.mark.parametrize("word", ["<script>alert(1)</script>", "\x1b[31mred", "\u202ecod.exe", "&lt;", "</td>", "\0"])
def test_a_table_in_a_notebook_is_harmless(word: str) -> None:
    page = Ranked([(word, 1.0)], score=word, unknown=[word], note=word)._repr_html_()
    assert all(ch.isprintable() for ch in page)
    assert "<script" not in page
    assert page.count("</td>") == 2


def test_a_notebook_shows_the_energy_path() -> None:
    wv = vectors(energy_path=[10.0, 4.0, 2.5])
    assert "energy 10 at the start, 2.5 after 2 sweeps" in wv._repr_html_()


def test_many_unknown_words_are_named_in_part() -> None:
    assert Ranked(unknown=["x"] * 100).notes() == ["100 unknown words were skipped: x x x x x x x x and 92 more"]
    assert Ranked(unknown=["y" * 500]).notes() == [f"1 unknown word was skipped: {'y' * 39}…"]


# Chinese


def chinese() -> WordVectors:
    names = ["的", "机场", "飞机", "大厦", "。"]
    u, k = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    return WordVectors(names, np.arange(5, 0, -1), u, k, info={"language": "zh"})


def test_chinese_texts_are_cut_by_the_dictionary() -> None:
    wv = chinese()
    found = wv.keywords("飞机的机场，喷气式飞机")
    assert sorted(word for word, _ in found) == sorted(["飞机", "的", "机场"])
    np.testing.assert_allclose(wv.vector("飞机的机场"), wv["飞机"] + wv["的"] + wv["机场"], atol=1e-6)
    with pytest.raises(UnknownWordError):
        wv.related("飞机的轮船")  # one of its pieces is unknown


# errors


@pytest.mark.parametrize("text", ["", " ", "...", "\n\0"])
def test_a_text_without_words_is_an_error(wv: WordVectors, text: str) -> None:
    with pytest.raises(InputError, match="the text holds no words"):
        wv.keywords(text)


@pytest.mark.parametrize("ask", ["keywords", "vector"])
def test_a_text_of_unknown_words_is_an_error(wv: WordVectors, ask: str) -> None:
    with pytest.raises(UnknownWordError, match=r"none of the text's words is among the 30 of these vectors: a b c d e …$"):
        getattr(wv, ask)("a b c d e f")
    with pytest.raises(InputError, match="a text is a string, not list"):
        getattr(wv, ask)(["w1"])


def test_wrong_choices_name_what_there_is(wv: WordVectors) -> None:
    for wrong in (
        lambda: wv.keywords("w1", by="cosin"),
        lambda: wv.related("w1", by="cosin"),
        lambda: wv.similarity("w1", "w2", by="cosin"),
    ):
        with pytest.raises(InputError, match=r"by='cosin' is not known\. Did you mean cosine\?"):
            wrong()
    with pytest.raises(InputError, match="weights='idf' is not known"):
        wv.vector("w1", weights="idf")
    with pytest.raises(InputError, match="topn=0 is not a whole number of 1 or more"):
        wv.importance(topn=0)
    with pytest.raises(InputError, match="norms=True goes with method='add'"):
        wv.analogy("w1 - w2 + w3", method="mul", norms=True)
    with pytest.raises(InputError, match="min_norm=nan is not a finite number"):
        wv.similar("w1", min_norm=math.nan)
    with pytest.raises(InputError, match="needs a word in every group"):
        wv.related_many([[]])


def test_what_needs_counts_says_so() -> None:
    wv = vectors(counts=False)
    for ask in (lambda: wv.vector("w1", weights="sif"), lambda: wv.related("w1", min_count=3), lambda: wv.normaliser()):
        with pytest.raises(InputError, match=r"the counts of the words, and these vectors came without$"):
            ask()


def test_a_text_is_taken_out_of_its_file_as_by_fit(tmp_path: Path) -> None:
    """HTML and JSON lines were read raw: tags and keys were words."""
    (tmp_path / "a.html").write_text("<p class='w3'>w1 <b>w2</b><script>w4</script></p>")
    (tmp_path / "b.jsonl").write_text('{"text": "w5", "id": "w6"}\nnot JSON\n')
    found, report = texts.read_text(tmp_path)
    assert (found.split(), report.bad_lines) == (["w1", "w2", "w5"], 1)
    assert texts.read_text(tmp_path / "b.jsonl", json_key="id")[0].split() == ["w6"]
    with pytest.raises(InputError, match="JSON lines without a string under the key 'body'"):
        texts.read_text(tmp_path / "b.jsonl", json_key="body")


def test_keywords_do_not_call_a_mere_product_pmi() -> None:
    """Vectors of other programs were not fitted to mutual information; `related` said so, `keywords` did not."""
    foreign = vectors(info={"format": "glove"})
    found = foreign.keywords("w1 w2 w3")
    assert (found.score, "were not fitted to mutual information" in found.note) == ("inner product", True)
    assert foreign.keywords("w1 w2 w3", by="cosine").score == "cosine"


def test_keywords_of_which_none_is_above_zero_say_why() -> None:
    """Over a long mixed text the floor draws every sum below 0."""
    fitted = {"settings": {"objective": "pmi-neg"}}
    below = WordVectors(["a", "b"], None, np.ones((2, 1), np.float32), -np.ones((2, 1), np.float32), info=fitted)
    assert "all scores are negative" in below.keywords("a b").note
    below = WordVectors(["a", "b"], None, np.ones((2, 1), np.float32), info=fitted)
    assert below.keywords("a b").note == ""
