"""WordVectorizer: scikit-learn's contract for transformers of text, and the sums that it is made of."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.utils import estimator_checks

from thalweg.errors import InputError
from thalweg.words import WordVectorizer, WordVectors, fit
from thalweg.words.solving.settings import Settings


def texts(n: int = 60, seed: int = 0) -> tuple[list[str], list[int]]:
    """Texts of two topics with a few words in common."""
    rng = np.random.default_rng(seed)
    topics = ([f"river{k}" for k in "abcdefghij"], [f"music{k}" for k in "abcdefghij"])
    common = ["and", "the", "of"]
    return [" ".join(rng.choice(topics[j % 2] + common, 25)) for j in range(n)], [j % 2 for j in range(n)]


TEXTS, TOPICS = texts()


@pytest.fixture(scope="module")
def fitted() -> WordVectorizer:
    return WordVectorizer(dim=6).fit(TEXTS)


# ---- scikit-learn's contract


def test_check_estimator_passes_without_an_expected_failure() -> None:
    """For text, as for scikit-learn's own vectorizers, it runs the check that an estimator can be cloned and skips the rest,
    which feeds tables of numbers: with a SkipTestWarning that says so.
    """
    with pytest.warns(SkipTestWarning, match="Can't test estimator WordVectorizer which requires input"):
        found = estimator_checks.check_estimator(WordVectorizer())
    assert {check["status"] for check in found} == {"passed"}
    assert WordVectorizer().__sklearn_tags__().input_tags.string
    assert not WordVectorizer().__sklearn_tags__().input_tags.two_d_array
    assert WordVectorizer().__sklearn_tags__().requires_fit


@pytest.mark.parametrize(
    "name",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_valid_tag_types",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
        "check_mixin_order",
    ],
)
def test_the_checks_that_need_no_data_pass_one_by_one(name: str) -> None:
    """check_estimator skips these for text, though they hold for any estimator."""
    getattr(estimator_checks, name)("WordVectorizer", WordVectorizer())


def test_fitting_returns_the_estimator_and_changes_neither_parameters_nor_texts() -> None:
    given, before = list(TEXTS), WordVectorizer(dim=5)
    params = before.get_params()
    assert before.fit(given, y=TOPICS) is before
    assert before.get_params() == params
    assert given == TEXTS


def test_fitting_again_gives_the_same(fitted: WordVectorizer) -> None:
    again = clone(fitted).fit(texts(seed=5)[0]).fit(TEXTS)
    assert np.array_equal(again.transform(TEXTS), fitted.transform(TEXTS))
    assert np.array_equal(clone(fitted).fit_transform(TEXTS, TOPICS), fitted.transform(TEXTS))


def test_transform_changes_nothing(fitted: WordVectorizer) -> None:
    before = copy.copy(fitted.__dict__)
    fitted.transform(TEXTS)
    assert fitted.__dict__ == before


def test_a_text_is_worth_the_same_alone_in_any_order_and_with_others(fitted: WordVectorizer) -> None:
    """check_methods_subset_invariance and check_methods_sample_order_invariance, to the last bit."""
    whole = fitted.transform(TEXTS)
    assert np.array_equal(np.concatenate([fitted.transform([text]) for text in TEXTS]), whole)
    assert np.array_equal(fitted.transform(TEXTS[::-1]), whole[::-1])


def test_the_order_of_words_does_not_matter(fitted: WordVectorizer) -> None:
    turned = [" ".join(text.split()[::-1]) for text in TEXTS]
    assert np.array_equal(fitted.transform(turned), fitted.transform(TEXTS))


@pytest.mark.parametrize("call", ["transform", "get_feature_names_out"])
def test_before_fit_it_says_so(call: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(WordVectorizer(), call)(*([TEXTS] if call == "transform" else []))
    assert not hasattr(WordVectorizer(), "vocabulary_")
    assert not hasattr(WordVectorizer(), "energy_path_")
    assert not hasattr(WordVectorizer().fit(TEXTS), "n_features_in_")  # as CountVectorizer: a text has no number of columns


def test_every_setting_is_a_parameter_with_the_same_default() -> None:
    params = WordVectorizer().get_params()
    for field in fields(Settings):
        if field.name != "seed":
            assert params[field.name] == field.default, field.name
    for name in ("window", "min_count", "max_words", "language", "unit"):
        assert params[name] == inspect.signature(fit).parameters[name].default, name


def test_its_vectors_are_those_of_fit_with_the_same_options() -> None:
    options: dict[str, Any] = {"dim": 5, "window": 4, "min_count": 3, "distance": "uniform", "rho": 0.5, "epochs": 2}
    found = WordVectorizer(**options, random_state=7).fit(TEXTS)
    expected = fit(TEXTS, **options, seed=7)
    assert found.vocabulary_ == expected.words
    assert np.array_equal(found.vectors_.vectors(), expected.vectors())
    assert found.energy_path_ == expected.energy_path
    assert found.energy_path_[-1] < found.energy_path_[0]


def test_a_random_state_gives_the_seed() -> None:
    one, two = (WordVectorizer(dim=5, random_state=np.random.RandomState(3)).fit(TEXTS) for _ in range(2))
    assert np.array_equal(one.vectors_.word, two.vectors_.word)
    assert WordVectorizer(dim=5, random_state=None).fit(TEXTS).transform(TEXTS).shape == (len(TEXTS), 5)


# ---- the sums


@pytest.mark.parametrize("output", [None, "sum", "concat", "word"])
@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("weights", [None, "sif"])
def test_a_text_is_the_sum_of_its_known_words(fitted: WordVectorizer, output: str | None, mean: bool, weights: str | None) -> None:
    """By the formula, in float64: sum of a/(a + P(w)) y_w with a = 0.001, over the number of known words for the mean."""
    asked = copy.deepcopy(fitted).set_params(weights=weights, mean=mean, output=output)
    asked.vectors_.output = output
    wv = asked.vectors_
    rows, share = wv.vectors().astype(float), wv.counts / wv.counts.sum()
    known = [wv.index[word] for word in ("rivera", "musicb", "the", "rivera")]
    factors = 1e-3 / (1e-3 + share[known]) if weights else np.ones(4)
    expected = (factors[:, None] * rows[known]).sum(axis=0) / (4 if mean else 1)
    [found] = asked.transform(["Rivera musicb THE nothing, rivera!"])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32
    assert asked.n_features_out_ == len(found) == (12 if output == "concat" else 6)
    assert len(asked.get_feature_names_out()) == len(found)


def test_without_known_words_a_text_is_zeros(fitted: WordVectorizer) -> None:
    for weights in (None, "sif"):
        found = copy.deepcopy(fitted).set_params(weights=weights).transform(["", "nothing known", "\x00\ud800", TEXTS[0]])
        assert not found[:3].any()
        assert found[3].any()
    assert fitted.transform([]).shape == (0, 6)


def test_chinese_texts_are_cut_as_the_corpus_was() -> None:
    found = WordVectorizer(dim=3, min_count=1).fit(["我们乘飞机去机场", "火车站有火车", "飞机在机场"] * 4)
    assert found.vectors_.language == "zh"
    np.testing.assert_allclose(
        found.transform(["飞机去机场"])[0], found.vectors_[["飞机", "去", "机场"]].mean(axis=0), rtol=1e-4, atol=1e-6
    )


def test_the_names_of_the_features(fitted: WordVectorizer) -> None:
    assert list(fitted.get_feature_names_out()) == [f"wordvectorizer{k}" for k in range(6)]


# ---- with the rest of scikit-learn


def test_a_pipeline_tells_two_topics_apart_and_a_grid_search_chooses() -> None:
    """The topics share only three words, so any sensible vectors separate them: all of the unseen texts are right."""
    search = GridSearchCV(
        make_pipeline(WordVectorizer(dim=4, threads=1), LogisticRegression()),
        {"wordvectorizer__dim": [2, 4], "wordvectorizer__weights": [None, "sif"]},
        cv=2,
    )
    search.fit(TEXTS, TOPICS)
    unseen, topics = texts(seed=9)
    assert search.score(unseen, topics) == 1.0


def test_a_union_and_a_column_of_a_table_take_it() -> None:
    union = make_union(WordVectorizer(dim=3), WordVectorizer(dim=4, random_state=1)).fit(TEXTS)
    assert union.transform(TEXTS).shape == (len(TEXTS), 7)
    assert len(union.get_feature_names_out()) == 7
    table = np.array(list(zip(TEXTS, map(str, TOPICS), strict=True)), object)
    column = ColumnTransformer([("text", WordVectorizer(dim=3), 0)])
    assert column.fit_transform(table).shape == (len(TEXTS), 3)


def test_any_iterable_of_strings_will_do(fitted: WordVectorizer) -> None:
    expected = fitted.transform(TEXTS[:5])
    for given in (np.array(TEXTS[:5]), np.array(TEXTS[:5], object), tuple(TEXTS[:5]), iter(TEXTS[:5])):
        assert np.array_equal(fitted.transform(given), expected)
    assert np.array_equal(clone(fitted).fit(iter(TEXTS)).transform(TEXTS[:5]), expected)


# ---- pickles


def plain(value: object) -> bool:
    """Arrays in memory, and Python's own types."""
    if isinstance(value, dict):
        return all(plain(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return all(plain(item) for item in value)
    return value is None or type(value) in (np.ndarray, str, int, float, bool)


@pytest.mark.parametrize("model", ["two-sided", "shared"])
def test_it_pickles_through_plain_arrays(model: str) -> None:
    found = WordVectorizer(dim=4, model=model).fit(TEXTS)
    assert plain(found.__getstate__())
    back = pickle.loads(pickle.dumps(found))
    assert np.array_equal(back.transform(TEXTS), found.transform(TEXTS))
    assert back.get_params() == found.get_params()
    assert back.energy_path_ == found.energy_path_
    assert back.vectors_.shared == found.vectors_.shared
    assert back.vectors_.related("rivera") == found.vectors_.related("rivera")
    assert b"thalweg.words.wordvectors" not in pickle.dumps(found)  # no class of ours but the estimator's own


def test_vectors_in_a_mapped_file_are_copied_into_the_pickle(fitted: WordVectorizer, tmp_path: Path) -> None:
    fitted.vectors_.save(tmp_path / "vec")
    mapped = clone(fitted)
    mapped.vectors_ = WordVectors.load(tmp_path / "vec")
    assert plain(mapped.__getstate__())
    assert np.array_equal(pickle.loads(pickle.dumps(mapped)).transform(TEXTS), fitted.transform(TEXTS))


def test_one_that_is_not_fitted_pickles_too() -> None:
    back = pickle.loads(pickle.dumps(WordVectorizer(dim=9)))
    assert back.dim == 9
    with pytest.raises(NotFittedError):
        back.transform(TEXTS)


# ---- wrong use


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("one text", "string object received"),
        (b"bytes", "string object received"),
        (None, "a list of texts is expected, not NoneType"),
        (["a", 3], "text 1 is not a string but int: '3'"),
        ([b"a"], "text 0 is not a string but bytes"),
        (np.zeros((3, 2)), "text 0 is not a string but ndarray"),
        ([], "."),
        (["", " "], "."),
        (["one two three"], "."),
    ],
)
def test_what_is_no_list_of_texts_is_a_value_error(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        WordVectorizer().fit(given)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "idf"}, "weights='idf' is not known"),
        ({"mean": "yes"}, "mean='yes'"),
        ({"dim": 0}, "dim=0"),
        ({"objective": "pim"}, "objective='pim'"),
        ({"language": "klingon"}, "language='klingon'"),
        ({"random_state": -1}, "seed=-1"),
        ({"window": 0}, "window=0"),
    ],
)
def test_a_parameter_out_of_range_is_seen_at_fit_and_not_before(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        WordVectorizer(**options).fit(TEXTS)


def test_texts_are_read_as_the_corpus_was_also_by_the_rules_for_phrases_and_chinese(tmp_path: Path) -> None:
    """A phrase that was joined in the fit is joined in what is transformed; a user's word stays whole."""
    texts = ["in new york it rains", "it rains in old york", "new york and old york", "in it"] * 8
    found = WordVectorizer(dim=2, min_count=2, phrases=0.4, mean=False).fit(texts)
    assert "new_york" in found.vocabulary_
    np.testing.assert_array_equal(found.transform(["new york"])[0], found.vectors_.vectors()[found.vectors_.index["new_york"]])
    (tmp_path / "words.txt").write_text("石头剪刀布\n")
    chinese = ["我们玩石头剪刀布", "他们玩石头剪刀布的游戏"] * 6
    kept = WordVectorizer(dim=2, min_count=2, language="zh", user_dict=tmp_path / "words.txt").fit(chinese)
    assert "石头剪刀布" in kept.vocabulary_
    assert "石头剪刀布" not in WordVectorizer(dim=2, min_count=2, language="zh").fit(chinese).vocabulary_


def test_a_rule_that_is_none_is_refused_when_fitting() -> None:
    with pytest.raises(InputError, match="phrases=2 is not a number"):
        WordVectorizer(phrases=2).fit(TEXTS)
    with pytest.raises(InputError, match="rare='gab' is not known"):
        WordVectorizer(rare="gab").fit(TEXTS)


def test_a_table_is_refused():
    """A dictionary or a data frame gives the names of its columns when it is iterated: they were the vocabulary."""
    table = {"text": ["a river here"] * 9, "label name": ["news"] * 9}
    with pytest.raises(InputError, match=r"pass what is in it, as corpus\['text'\]"):
        WordVectorizer(dim=2, min_count=1).fit(table)
    fitted = WordVectorizer(dim=2, min_count=1).fit(["a river here"] * 9)
    with pytest.raises(InputError, match=r"as corpus\['text'\]"):
        fitted.transform(SimpleNamespace(columns=["text", "label"]))
