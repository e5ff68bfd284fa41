"""What letters predict: the regression they come from, what they may touch and what not, words never seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from thalweg.cli import program
from thalweg.errors import DamagedFileError, InputError, UnknownWordError
from thalweg.words import WordVectors
from thalweg.words.judging import evaluation
from thalweg.words.vectors import subwords

RNG = np.random.default_rng(0)
STEMS = ["walk", "talk", "paint", "climb", "jump", "listen", "wander", "gather", "answer", "follow"]
ENDINGS = ["", "ed", "ing", "er"]
WORDS = [stem + ending for stem in STEMS for ending in ENDINGS]


def language(dim: int = 6, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Word and context vectors of WORDS: what the stem says plus what the ending says."""
    rng = np.random.default_rng(7)
    stems, endings = rng.normal(size=(len(STEMS), 2 * dim)), rng.normal(size=(len(ENDINGS), 2 * dim))
    both = (stems[:, None] + endings[None]).reshape(len(WORDS), 2 * dim) + noise * rng.normal(size=(len(WORDS), 2 * dim))
    both = both.astype(np.float32)
    return both[:, :dim], both[:, dim:]


def fitted(counts: int = 1000, shared: bool = False) -> WordVectors:
    word, context = language()
    counted = np.full(len(WORDS), counts, np.int64)
    ngrams, letters = subwords.learn(WORDS, counted, word, None if shared else context)
    return WordVectors(WORDS, counted, word, None if shared else context, letters=letters, ngrams=ngrams)


def spelled_out(word: str) -> list[str]:
    """The n-grams of a word as text, ^ and $ for its edges: the definition."""
    han = any("\u4e00" <= ch <= "\u9fff" for ch in word)
    low, high = (1, 3) if han else (3, 6)
    text = f"^{word}$"
    grams = [text[k : k + n] for n in range(low, high + 1) for k in range(len(text) - n + 1)]
    return [gram for gram in grams if gram not in ("^", "$")]


@given(st.lists(st.text(st.sampled_from("abcd火车站é𝒳"), min_size=1, max_size=9), min_size=1, max_size=12))
def test_n_grams_are_equal_as_numbers_where_they_are_equal_as_text(words: list[str]) -> None:
    hashes, starts, _ = subwords.ngrams(words)
    numbers: dict[str, int] = {}
    for k, word in enumerate(words):
        found, expected = sorted(hashes[starts[k] : starts[k + 1]].tolist()), spelled_out(word)
        assert len(found) == len(expected)
        alone = subwords.ngrams([word])[0].tolist()
        assert sorted(alone) == found
        for gram in set(expected):
            numbers.setdefault(gram, -1)
    seen = {int(h) for h in hashes}
    assert len(seen) == len(numbers)  # as many different numbers as texts


def test_it_is_ridge_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    """With steps enough the predictions are those of the normal equations in float64."""
    monkeypatch.setattr(subwords, "STEPS", 60)
    monkeypatch.setattr(subwords, "_ridge", subwords._ridge.python)
    word, context = language()
    counts = RNG.integers(5, 300, len(WORDS))
    _, letters = subwords.learn(WORDS, counts, word, context)
    everything = [gram for w in WORDS for gram in spelled_out(w)]
    used = sorted({gram for gram in everything if everything.count(gram) >= subwords.LEAST})
    b = np.array([[spelled_out(w).count(gram) for gram in used] for w in WORDS], float)
    b /= np.sqrt(np.maximum(b.sum(axis=1), 1))[:, None]
    y = np.concatenate([word, context], axis=1).astype(float)
    y /= np.linalg.norm(y, axis=1)[:, None]
    weight = np.minimum(counts / subwords.ENOUGH, 1)[:, None]
    z = np.linalg.solve(b.T @ (weight * b) + subwords.RIDGE * np.eye(len(used)), b.T @ (weight * y))
    np.testing.assert_allclose(letters, subwords.WEIGHTS[0] * (b @ z), atol=2e-3)


def test_threads_do_not_change_a_bit() -> None:
    word, context = (np.tile(side, 12) for side in language())
    results = [subwords.learn(WORDS, np.full(len(WORDS), 50), word, context, threads) for threads in (1, 2, 3)]
    for ngrams, letters in results[1:]:
        assert np.array_equal(ngrams.vectors, results[0][0].vectors)
        assert np.array_equal(letters, results[0][1])


@pytest.mark.parametrize("shared", [False, True])
def test_inner_products_and_lengths_stay_directions_turn(shared: bool) -> None:
    wv = fitted(shared=shared)
    plain = wv.with_subwords(0)
    assert wv.pmi("walked", "talked") == plain.pmi("walked", "talked")
    assert wv.related("walked") == plain.related("walked")
    for output in ("sum", "concat", "word"):
        np.testing.assert_allclose(wv.norms(output), plain.norms(output), rtol=1e-5)
        assert not np.allclose(wv.unit(output), plain.unit(output), atol=1e-3)
    expected = wv.word if shared else wv.word + wv.context
    np.testing.assert_array_equal(plain.vectors("sum"), expected)


def test_a_weight_of_letters_is_a_sum_of_directions() -> None:
    """[u, k]/|[u, k]| plus the weight times what is predicted, brought back to the length it had."""
    wv = fitted().with_subwords(0.5)
    both = np.concatenate([wv.word, wv.context], axis=1)
    length = np.linalg.norm(both, axis=1, keepdims=True)
    assert wv.letters is not None
    turned = both / length + 0.5 * wv.letters.astype(np.float32)
    np.testing.assert_allclose(
        wv.vectors("concat"), turned * length / np.linalg.norm(turned, axis=1, keepdims=True), rtol=2e-4, atol=1e-5
    )


def test_a_word_never_seen_is_guessed_by_its_letters() -> None:
    """Of the rest of the language every other word is left out: its letters point to where it would be."""
    word, context = language(noise=0.0)
    left = [k for k in range(len(WORDS)) if (k % len(ENDINGS) + k // len(ENDINGS)) % len(ENDINGS)]
    counts = np.full(len(left), 1000, np.int64)
    ngrams, letters = subwords.learn([WORDS[k] for k in left], counts, word[left], context[left])
    wv = WordVectors([WORDS[k] for k in left], counts, word[left], context[left], letters=letters, ngrams=ngrams)
    truth = word + context
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    cosines = [float(wv.guess(WORDS[k]) @ truth[k]) for k in range(len(WORDS)) if k not in left]
    assert np.median(cosines) > 0.6  # a direction drawn at random: 0, with a spread of 0.4
    found = wv.similar("walk" if "walk" not in wv else "walks", guess=True, topn=3)
    assert "letters" in found.note
    assert any(w.startswith("walk") for w, _ in found)


def test_a_guess_of_a_known_word_is_what_is_stored() -> None:
    wv = fitted()
    assert wv.letters is not None
    stored = wv.letters[3, :6].astype(np.float32) + wv.letters[3, 6:]
    np.testing.assert_allclose(wv.guess(WORDS[3]), stored / np.linalg.norm(stored), atol=2e-3)


def test_nothing_is_guessed_where_nothing_is_alike() -> None:
    wv = fitted()
    with pytest.raises(UnknownWordError, match='nothing in "qqq" is spelled like'):
        wv.guess("qqq")
    with pytest.raises(UnknownWordError, match='"walks"'):
        wv.similar("walks")  # not asked to guess
    plain = WordVectors(WORDS, None, wv.word, wv.context)
    with pytest.raises(InputError, match="knows nothing of letters"):
        plain.guess("walks")
    with pytest.raises(InputError, match="knows nothing of letters"):
        plain.with_subwords(1)
    assert plain.with_subwords(0).vectors().shape == plain.vectors().shape
    for weight in (-1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="subwords="):
            wv.with_subwords(weight)


def test_they_are_saved_read_and_cut_with_the_vectors(tmp_path: Path) -> None:
    wv = fitted().with_subwords(0.5)
    wv.save(tmp_path / "vec")
    back = WordVectors.load(tmp_path / "vec")
    assert back.subwords == 0.5
    np.testing.assert_array_equal(back.vectors("concat"), wv.vectors("concat"))
    np.testing.assert_array_equal(back.guess("walks"), wv.guess("walks"))
    small = wv.truncate(2)
    assert small.letters is not None
    np.testing.assert_array_equal(small.letters, wv.letters[:, [0, 1, 6, 7]])  # type: ignore[index]
    assert small.guess("walks").shape == (2,)
    stored = tmp_path / "vec" / "subwords.safetensors"
    stored.write_bytes(stored.read_bytes()[:-2])
    with pytest.raises(DamagedFileError, match="subwords"):
        WordVectors.load(tmp_path / "vec")


def test_words_of_one_letter_and_vectors_of_length_0_do_no_harm() -> None:
    words = ["a", "b", "火", "火车", "火车站", "火山", "walk", "walked", "walking"]
    word = np.zeros((len(words), 3), np.float32)
    word[4:] = RNG.normal(size=(5, 3))
    ngrams, letters = subwords.learn(words, np.arange(len(words)) + 1, word, word)
    wv = WordVectors(words, None, word, word, letters=letters, ngrams=ngrams)
    assert np.isfinite(wv.vectors()).all()
    assert np.isfinite(wv.unit("concat")).all()


def test_an_analogy_takes_an_unknown_word_for_what_its_letters_say() -> None:
    """walking - walks + talks, where walks was never seen, is the analogy with the direction that its letters predict."""
    wv = fitted()
    for method in ("add", "mul"):
        found = wv.analogy("walking - walks + talked", guess=True, method=method)
        unit = wv.unit("concat")
        terms = np.stack([unit[wv.index["walking"]], wv.guess("walks", "concat"), unit[wv.index["talked"]]])
        cosines = unit @ terms.T
        halves = (cosines + 1) / 2
        scores = cosines @ [1, -1, 1] if method == "add" else halves[:, 0] * halves[:, 2] / (halves[:, 1] + 0.001)
        scores[[wv.index["walking"], wv.index["talked"]]] = -np.inf
        assert found[0][0] == WORDS[int(np.argmax(scores))]
        assert found.note == "walks: not known, taken for what the letters say"
    known = "walking - walk + talk"
    assert list(wv.analogy(known, guess=True)) == list(wv.analogy(known))
    with pytest.raises(UnknownWordError, match="analogy can guess it"):
        wv.analogy("walking - walks + talked")
    with pytest.raises(InputError, match="nothing about the length"):
        wv.analogy("walking - walks + talked", guess=True, norms=True)


def test_pairs_with_unknown_words_are_judged_by_letters_where_asked() -> None:
    """Known pairs score as before; a pair with a guess has the cosine of the guess; what is like nothing stays uncovered."""
    wv = fitted()
    pairs = evaluation.PairSet(
        "rare", (("walk", "walked", 9.0), ("walks", "walk", 8.0), ("talks", "jump", 1.0), ("qqq", "walk", 5.0))
    )
    plain = evaluation.evaluate(wv, pairs=[pairs]).pairs[0]
    guessed = evaluation.evaluate(wv, pairs=[pairs], guess=True).pairs[0]
    assert (plain.n_covered, guessed.n_covered, guessed.n) == (1, 3, 4)
    unit = wv.unit("sum")
    cosines = [
        unit[wv.index["walk"]] @ unit[wv.index["walked"]],
        wv.guess("walks") @ unit[wv.index["walk"]],
        wv.guess("talks") @ unit[wv.index["jump"]],
    ]
    assert guessed.spearman == pytest.approx(evaluation.spearman(cosines, [9.0, 8.0, 1.0]))
    with pytest.raises(InputError, match="goes without against"):
        evaluation.evaluate(wv, pairs=[pairs], guess=True, against=wv)


def test_the_command_guesses_words_of_pairs(tmp_path: Path) -> None:
    fitted().save(tmp_path / "vec")
    (tmp_path / "pairs.txt").write_text("walk walked 9\nwalks walk 8\ntalks jump 1\n")
    common = ["words", "evaluate", str(tmp_path / "vec")]
    result = CliRunner().invoke(program, [*common, "--pairs", str(tmp_path / "pairs.txt"), "--guess", "--json"])
    assert json.loads(result.stdout)["result"]["pairs"][0]["n_covered"] == 3
    assert CliRunner().invoke(program, [*common, "--guess"]).exit_code == 2
    asked = CliRunner().invoke(program, ["words", "analogy", str(tmp_path / "vec"), "walking - walks + talked", "--guess"])
    assert (asked.exit_code, "not known" in asked.stderr) == (0, True)
