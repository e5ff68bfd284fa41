"""A question is read as the corpus was: every verb, every face, in every spelling that looks the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
from click.testing import CliRunner

from thalweg import words
from thalweg.cli import program
from thalweg.errors import UnknownWordError
from thalweg.words import WordVectors
from thalweg.words.commands import questions
from thalweg.words.judging.evaluation import AnalogySet, PairSet

CHINESE = ["电脑的cpu和内存很快", "手机的cpu和屏幕很大", "电脑和手机都有内存", "屏幕和内存的电脑"] * 8
ENGLISH = ["the café by the sea serves crème", "a hotel by the sea serves crème", "the café has a hotel", "crème in the hotel"] * 8
TRADITIONAL = ["電腦的cpu和內存很快", "手機的cpu和屏幕很大", "電腦和手機都有內存", "屏幕和內存的電腦"] * 8
T2S = str.maketrans("電腦內機", "电脑内机")

Ask = Callable[[WordVectors, str, str, str], Any]
VERBS: dict[str, Ask] = {  # of three words
    "related": lambda wv, a, b, c: wv.related(a, negative=[b]),
    "related_many": lambda wv, a, b, c: wv.related_many([a, [b, c]]),
    "similar": lambda wv, a, b, c: wv.similar(a),
    "analogy": lambda wv, a, b, c: wv.analogy(f"{a} - {b} + {c}"),
    "analogy of three": lambda wv, a, b, c: wv.analogy(a, b, c),
    "keywords": lambda wv, a, b, c: wv.keywords(f"{a} {b}"),
    "similarity": lambda wv, a, b, c: wv.similarity(a, f"{b} {c}"),
    "vector": lambda wv, a, b, c: wv.vector(f"{a} {b}").tolist(),
    "pmi": lambda wv, a, b, c: wv.pmi(a, b),
    "importance": lambda wv, a, b, c: wv.importance([a, b, c]),
    "wv[...]": lambda wv, a, b, c: (wv[a].tolist(), wv[[b, c]].tolist()),
    "in": lambda wv, a, b, c: (a in wv, b in wv, c in wv),
    "most_similar": lambda wv, a, b, c: wv.most_similar(positive=[a, b], negative=[c]),
    "map": lambda wv, a, b, c: wv.map([a, b], neighbours=1).words,
    "evaluate": lambda wv, a, b, c: [
        (each.n_covered, each.spearman) for each in wv.evaluate(pairs=[PairSet("p", ((a, b, 1.0), (b, c, 2.0), (a, c, 3.0)))]).pairs
    ],
    "evaluate analogies": lambda wv, a, b, c: (
        wv.evaluate(analogies=[AnalogySet("q", ((a, b, c, (b, a)),), ("s",))]).analogies[0].ranks.tolist()
    ),
    "shell": lambda wv, a, b, c: [
        questions.answer(wv, line).value for line in (f"pmi {a} {b}", f"related {a}", f"{a} - {b} + {c}")
    ],
}


@pytest.fixture(scope="module")
def chinese() -> WordVectors:
    return words.fit(CHINESE, min_count=1, dim=4, threads=1)


@pytest.fixture(scope="module")
def english() -> WordVectors:
    return words.fit(ENGLISH, min_count=1, dim=4, threads=1)


@pytest.mark.parametrize("verb", VERBS)
def test_full_width_questions_are_asked_as_they_were_fitted(chinese: WordVectors, verb: str) -> None:
    """ＣＰＵ was folded when it was fitted, and unknown when it was asked about."""
    assert VERBS[verb](chinese, "ＣＰＵ", "电\u2060脑", "手机") == VERBS[verb](chinese, "cpu", "电脑", "手机")


@pytest.mark.parametrize("verb", VERBS)
def test_decomposed_questions_and_capitals_are_asked_as_they_were_fitted(english: WordVectors, verb: str) -> None:
    """A question typed on macOS was unknown, with itself as the near spelling."""
    cafe, creme = normalize("NFD", "CAFÉ"), normalize("NFD", "crème")
    assert VERBS[verb](english, cafe, creme, "Ho\u00adtel") == VERBS[verb](english, "café", "crème", "hotel")


@pytest.mark.parametrize("verb", VERBS)
def test_traditional_questions_are_converted_as_the_text_was(monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """convert="t2s": with a converter of our own in the place of opencc."""
    from thalweg.words.text import chinese

    monkeypatch.setitem(
        sys.modules, "opencc", SimpleNamespace(OpenCC=lambda name: SimpleNamespace(convert=lambda x: x.translate(T2S)))
    )
    chinese.converter.cache_clear()
    wv = words.fit(TRADITIONAL, convert="t2s", language="zh", min_count=1, dim=4, threads=1)
    assert VERBS[verb](wv, "電腦", "手機", "內存") == VERBS[verb](wv, "电脑", "手机", "内存")
    chinese.converter.cache_clear()


def test_commands_read_questions_as_the_text_was(chinese: WordVectors, tmp_path: Path) -> None:
    chinese.save(tmp_path / "v")
    (tmp_path / "text.txt").write_text("ＣＰＵ和电脑", encoding="utf-8")
    (tmp_path / "asked.tsv").write_text("ＣＰＵ\t电脑\t3\n手机\tcpu\t2\n", encoding="utf-8")
    (tmp_path / "folded.tsv").write_text("cpu\t电脑\t3\n手机\tcpu\t2\n", encoding="utf-8")

    def told(*args: object) -> Any:
        done = CliRunner().invoke(program, ["words", *map(str, args), "--json", "--quiet"])
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)["result"]

    v = tmp_path / "v"
    pairs = [("related", ["ＣＰＵ"]), ("similar", ["ＣＰＵ"]), ("analogy", ["ＣＰＵ - 电脑 + 手机"]), ("pmi", ["ＣＰＵ", "电脑"])]
    texts = [("similarity", ["ＣＰＵ", "内存"]), ("vector", ["ＣＰＵ和电脑"]), ("keywords", ["ＣＰＵ和电脑"])]
    for verb, asked in (*pairs, *texts, ("importance", ["ＣＰＵ", "手机"])):
        assert told(verb, v, *asked) == told(verb, v, *(word.replace("ＣＰＵ", "cpu") for word in asked))
    covered = [told("evaluate", v, "--pairs", tmp_path / name)["pairs"][0]["n_covered"] for name in ("asked.tsv", "folded.tsv")]
    assert covered == [2, 2]


def test_the_vectorizer_reads_texts_as_it_was_fitted() -> None:
    vectorizer = words.WordVectorizer(min_count=1, dim=4, threads=1).fit(ENGLISH)
    texts = ["the café serves crème", "a hotel"]
    np.testing.assert_array_equal(
        vectorizer.transform([normalize("NFD", text.upper()) for text in texts]), vectorizer.transform(texts)
    )


def test_counts_are_asked_as_they_were_counted() -> None:
    counts = words.count(ENGLISH, min_count=1, threads=1)
    assert counts.pmi(normalize("NFD", "Café"), "SEA") == counts.pmi("café", "sea") is not None


def test_token_lists_are_composed() -> None:
    """Tokens are taken as they are, but é is one letter, whoever wrote it."""
    tokens = ["café", "is", "open"]
    wv = words.fit([tokens, [normalize("NFD", token) for token in tokens]] * 5, min_count=1, dim=2, threads=1)
    assert sorted(wv.words) == sorted(tokens)
    assert wv.counts[wv.index["café"]] == 10


def test_words_of_other_programs_are_found_in_either_form() -> None:
    """Vectors that were made on macOS hold decomposed words; a question in either form finds them."""
    wv = WordVectors(
        [normalize("NFD", "café"), "tea"], None, np.eye(2, dtype=np.float32), info={"language": "whitespace", "format": "glove"}
    )
    for form in ("NFC", "NFD"):
        assert wv.place(normalize(form, "café")) == 0
        assert wv.place(normalize(form, "Café")) == 0
    with pytest.raises(UnknownWordError):
        wv.place("cafe")


def test_capitalised_test_sets_cover_vectors_without_capital_letters() -> None:
    """GloVe's vectors are in lower case, Google's questions are not: none of them was covered, silently."""
    rng = np.random.default_rng(0)
    names = ["athens", "greece", "oslo", "norway"]
    questions = AnalogySet("capitals", (("Athens", "Greece", "Oslo", ("Norway",)),), ("capital",))
    lower = WordVectors(names, None, rng.normal(size=(4, 3)).astype(np.float32), info={"language": "whitespace"})
    assert lower.evaluate(analogies=[questions]).analogies[0].total.covered == 1
    cased = WordVectors([*names[:3], "Norway"], None, lower.word, info={"language": "whitespace"})
    assert cased.evaluate(analogies=[questions]).analogies[0].total.covered == 0


def test_signs_that_join_are_read_in_questions_too() -> None:
    wv = words.fit(["I don’t know, don't ask", "rock’n’roll is not dead"] * 6, join="'", min_count=1, dim=2, threads=1)
    assert {"don't", "rock'n'roll"} <= set(wv.words)
    assert wv.pmi("Don’t", "know") == wv.pmi("don't", "know")


def test_a_sign_of_a_program_is_no_capital_letter():
    """One <UNK> among vectors in lower case left every capitalised question of a test set uncovered."""
    wv = WordVectors(["paris", "<UNK>", "[CLS]", "berlin"], None, np.eye(4, dtype=np.float32), info={"language": "whitespace"})
    assert wv.find("Paris") == 0
    assert wv.find("<UNK>") == 1
    assert (
        WordVectors(["paris", "Berlin"], None, np.eye(2, dtype=np.float32), info={"language": "whitespace"}).find("Paris") is None
    )
