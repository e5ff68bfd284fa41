"""From raw text to answers: a small world whose right answers are known, in Python and on the command line; a real corpus."""

from __future__ import annotations

import bz2
import json
import os
import shlex
import subprocess
import sys
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from thalweg import __version__
from thalweg.cli import program
from thalweg.errors import InputError, MissingFileError
from thalweg.words import WordVectors, count, fit, read, solve

CAPITALS = ["paris", "rome", "berlin", "madrid", "tokyo", "oslo", "cairo", "lima"]
COUNTRIES = ["france", "italy", "germany", "spain", "japan", "norway", "egypt", "peru"]
CITY = ["mayor", "street", "metro", "suburb", "square", "museum"]  # what is said of capitals
STATE = ["president", "army", "border", "parliament", "nation", "coast"]  # what is said of countries
LOCAL = [[f"{country[:3]}{k}" for k in range(6)] for country in COUNTRIES]  # what is said of both, there and nowhere else
STOP = ["the", "of", "and", "in", "was", "a"]


def sentence(rng: np.random.Generator) -> str:
    place, kind = rng.integers(len(CAPITALS)), rng.integers(3)
    who = [[CAPITALS[place], *rng.choice(CITY, 2)], [COUNTRIES[place], *rng.choice(STATE, 2)], [CAPITALS[place], COUNTRIES[place]]][
        kind
    ]
    words = [*who, *rng.choice(LOCAL[place], 2, replace=False), *rng.choice(STOP, 4)]
    return " ".join(map(str, rng.permutation(words))).capitalize() + "."


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = np.random.default_rng(0)
    return [sentence(rng) for _ in range(4000)]


@pytest.fixture(scope="module")
def wv(texts: list[str]) -> WordVectors:
    return fit(texts, dim=16)


@pytest.fixture(scope="module")
def corpus(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "world.txt"
    path.write_text("\n".join(texts))
    return path


def found(ranked: list[tuple[str, float]]) -> list[str]:
    return [word for word, _ in ranked]


# Answers


def test_related_words_are_those_that_occur_together(wv: WordVectors) -> None:
    """The six local words and the country come first for a capital; capitals and city words for a city word."""
    for capital, country, local in zip(CAPITALS, COUNTRIES, LOCAL, strict=True):
        assert set(found(wv.related(capital, topn=7))) == {country, *local}
        assert set(found(wv.related(country, topn=7))) == {capital, *local}
    for word in CITY:
        assert set(found(wv.related(word, topn=8))) <= {*CAPITALS, *CITY}


def test_similar_words_keep_the_same_company(wv: WordVectors) -> None:
    for words in (CITY, STATE):
        for word in words:
            assert set(found(wv.similar(word, topn=5))) == {*words} - {word}


def test_every_analogy_of_capitals_and_countries_comes_out_right(wv: WordVectors) -> None:
    """paris - france + italy = rome, for all 56 ordered pairs, and the other way round; letters of made-up words say nothing."""
    wv = wv.with_subwords(0)
    for (capital, country), (other, there) in permutations(zip(CAPITALS, COUNTRIES, strict=True), 2):
        assert found(wv.analogy(capital, country, there, topn=1)) == [other]
        assert found(wv.analogy(f"{country} - {capital} + {other}", topn=1)) == [there]


def test_inner_products_estimate_the_counted_pmi(texts: list[str], wv: WordVectors) -> None:
    """ln(X_ij T^2/(N c_i c_j)) against <u_i, k_j>: correlation over 0.95 among pairs that met 50 times or more."""
    counts = count(read(texts))
    x = counts.to_scipy().toarray()
    np.fill_diagonal(x, 0)
    i, j = np.nonzero(np.triu(x) >= 50)
    c = counts.word_counts
    pmi = np.log(x[i, j] * counts.total_tokens**2 / (counts.total_pairs * c[i] * c[j]))
    estimate = [wv.pmi(counts.words[a], counts.words[b]) for a, b in zip(i, j, strict=True)]
    assert np.corrcoef(pmi, estimate)[0, 1] > 0.95


def test_stop_words_are_short(wv: WordVectors) -> None:
    """|v| grows with what a word says: the six words that occur everywhere have the shortest vectors."""
    norms = np.linalg.norm(wv.vectors(), axis=1)
    assert {wv.words[k] for k in np.argsort(norms)[:6]} == {*STOP}


def test_fit_is_read_count_and_solve(texts: list[str], wv: WordVectors) -> None:
    by_hand = solve(count(read(texts)), dim=16)
    assert (by_hand.words, by_hand.energy_path) == (wv.words, wv.energy_path)
    assert (by_hand.word.tobytes(), by_hand.context.tobytes()) == (wv.word.tobytes(), wv.context.tobytes())


def test_fit_reports_what_it_read_and_did(texts: list[str], wv: WordVectors) -> None:
    assert wv.energy_path == sorted(wv.energy_path, reverse=True)
    assert {"language": "words", "unit": "line", "min_count": 5, "dim": 16, "window": 10, "seed": 0}.items() <= wv.info.items()
    assert wv.info["tokens_read"] == sum(len(text.split()) for text in texts)
    json.dumps(wv.info)  # plain values only


def test_seeds(texts: list[str], wv: WordVectors) -> None:
    """The same seed gives the same bits; another one other bits and the same answers."""
    assert fit(texts, dim=16, seed=0).word.tobytes() == wv.word.tobytes()
    other = fit(texts, dim=16, seed=1)
    assert other.word.tobytes() != wv.word.tobytes()
    assert found(other.analogy("paris - france + italy", topn=1)) == ["rome"]


def test_the_order_of_texts_does_not_matter(texts: list[str], wv: WordVectors) -> None:
    assert fit(texts[::-1], dim=16).word.tobytes() == wv.word.tobytes()


def test_progress_goes_through_the_phases(texts: list[str]) -> None:
    phases: list[str] = []
    fit(texts[:200], dim=4, progress=lambda done, total, **numbers: phases.append(numbers["phase"]))
    assert [a for a, b in pairwise([*phases, ""]) if a != b] == ["reading", "counting", "starting", "solving"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"dim": 0},
        {"dim": 2.5},
        {"dim": True},
        {"window": 0},
        {"min_count": 0},
        {"epochs": -1},
        {"threads": 0},
        {"seed": -1},
        {"seed": "x"},
    ],
)
def test_wrong_numbers_are_refused_by_name_before_anything_is_read(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(InputError, match=f"{name}="):
        fit("/nowhere", **wrong)


def test_whole_numbers_of_numpy_are_whole_numbers(texts: list[str]) -> None:
    assert fit(texts[:200], dim=np.int64(4), window=np.int32(3), min_count=np.int64(2), threads=np.int64(1)).dim == 4  # type: ignore[arg-type]


def test_a_missing_path_is_a_file_not_found_error() -> None:
    with pytest.raises(MissingFileError, match="there is no file or folder /nowhere"):
        fit("/nowhere")


PLAIN_PYTHON = """
import sys, numpy as np
from pathlib import Path
from thalweg.words import fit
fit(Path(sys.argv[1]), dim=4, epochs=2).save(sys.argv[2])
"""


def test_without_compiled_kernels_the_answers_are_the_same(corpus: Path, tmp_path: Path) -> None:
    """THALWEG_JIT=0, or a machine without numba: the same counts, the same vectors up to rounding, and no warnings."""
    (tmp_path / "few.txt").write_text("\n".join(corpus.read_text().splitlines()[:60]))
    command = [sys.executable, "-W", "error", "-c", PLAIN_PYTHON, tmp_path / "few.txt", tmp_path / "vec"]
    done = subprocess.run(command, env={**os.environ, "THALWEG_JIT": "0"}, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    compiled, plain = fit(tmp_path / "few.txt", dim=4, epochs=2), WordVectors.load(tmp_path / "vec")
    assert (plain.words, plain.counts.tolist()) == (compiled.words, compiled.counts.tolist())
    assert plain.info["stored_pairs"] == compiled.info["stored_pairs"]
    assert plain.energy_path == pytest.approx(compiled.energy_path, rel=1e-4)


# Chinese


def test_chinese_from_raw_text() -> None:
    """机场 - 飞机 + 火车 = 火车站, in a world where every vehicle has a place of its own."""
    vehicles, places = ["飞机", "火车", "轮船", "汽车"], ["机场", "火车站", "码头", "车站"]
    own = [["机翼", "航班"], ["铁路", "车厢"], ["海洋", "甲板"], ["公路", "轮胎"]]
    moving, waiting = ["速度", "驾驶", "引擎"], ["大厅", "等候", "建筑"]
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(3000):
        k, kind = rng.integers(4), rng.integers(3)
        who = [[vehicles[k], *rng.choice(moving, 2)], [places[k], *rng.choice(waiting, 2)], [vehicles[k], places[k]]][kind]
        lines.append("，".join(map(str, rng.permutation([*who, *own[k]]))) + "。")
    wv = fit(lines, dim=12)
    assert wv.language == "zh"
    assert found(wv.analogy("机场 - 飞机 + 火车", topn=1)) == ["火车站"]
    assert found(wv.analogy("码头－轮船＋飞机", topn=1)) == ["机场"]
    assert {"机翼", "航班", "机场"} == set(found(wv.related("飞机", topn=3)))


# The command line


def run(*args: object, status: int = 0, **options: Any) -> Result:
    result = CliRunner().invoke(program, ["words", *map(str, args)], **options)
    assert result.exit_code == status, result.stderr
    return result


@pytest.fixture(scope="module")
def folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fitted") / "vec"
    run("fit", corpus, "--out", out, "--dim", 16)
    return out


def result_of(stdout: str, command: str) -> Any:
    """The value of the one JSON object on stdout."""
    parsed = json.loads(stdout)
    assert (stdout.count("\n"), set(parsed)) == (1, {"thalweg", "command", "result"})
    assert (parsed["thalweg"], parsed["command"]) == (__version__, command)
    return parsed["result"]


def test_the_command_line_gives_the_same_vectors(folder: Path, wv: WordVectors) -> None:
    loaded = WordVectors.load(folder)
    assert (loaded.words, loaded.energy_path) == (wv.words, wv.energy_path)
    assert loaded.word.tobytes() == wv.word.tobytes()


def test_the_commands_answer_as_python_does(folder: Path, wv: WordVectors) -> None:
    for args, command, score, ranked in [
        (["related", folder, "paris"], "words related", "pmi", wv.related("paris")),
        (["related", folder, "Paris", "mayor", "--topn", 3], "words related", "pmi", wv.related("paris", "mayor", topn=3)),
        (["similar", folder, "mayor", "--restrict", 20], "words similar", "cosine", wv.similar("mayor", restrict=20)),
        (["similar", folder, "mayor", "--contexts", 30], "words similar", "correlation", wv.similar("mayor", contexts=30)),
        (["analogy", folder, "paris - france + italy"], "words analogy", "cosine", wv.analogy("paris", "france", "italy")),
        (
            ["analogy", folder, "paris", "-", "france", "+", "italy"],
            "words analogy",
            "cosine",
            wv.analogy("paris", "france", "italy"),
        ),
        (["analogy", folder, "paris", "france", "italy"], "words analogy", "cosine", wv.analogy("paris", "france", "italy")),
    ]:
        value = result_of(run(*args, "--json").stdout, command)
        assert value == [{"word": word, score: pytest.approx(number)} for word, number in ranked]
        head, *rows = run(*args).stdout.splitlines()
        assert head.split() == ["word", score]
        assert [row.split()[0] for row in rows] == found(ranked)


def test_fit_shows_the_result_on_stdout_and_the_rest_on_stderr(corpus: Path, tmp_path: Path) -> None:
    result = run("fit", corpus, "--out", tmp_path / "vec", "--dim", 16)
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == [
        "text",
        "vocabulary",
        "pairs",
        "energy",
        "time",
        "vectors",
    ]
    assert result.stderr.startswith(f"reading {corpus}")
    assert "Try next:\n  thalweg words related" in result.stderr
    quiet = run("fit", corpus, "--out", tmp_path / "vec2", "--dim", 16, "--quiet", "--json")
    assert quiet.stderr == ""
    value = result_of(quiet.stdout, "words fit")
    assert (value["out"], value["n_words"], value["dim"]) == (str(tmp_path / "vec2"), 82, 16)


def test_a_small_vocabulary_lowers_dim_with_a_note(corpus: Path, tmp_path: Path) -> None:
    result = run("fit", corpus, "--out", tmp_path / "vec")
    assert "--dim 128 was lowered to 81: there are only 82 words" in result.stderr
    assert "tokens in the vocabulary are little text: expect rough neighbours" in result.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vec", ["alpha", "beta", "gamma"]),
        ("my vectors", ["alpha", "beta", "gamma"]),
        ("$HOME;`x`", ["alpha", "beta", "gamma"]),
        ("vec", ["+", "-", ","]),
        ("vec", ['"', "$(reboot)", "`x`"]),
        ("vec", ["--x", "-", "-y"]),
    ],
)
def test_what_to_try_next_works_as_typed(tmp_path: Path, name: str, words: list[str]) -> None:
    """Each line, split as a shell does it, is a command that succeeds and runs nothing else, whatever the corpus and the folder."""
    (tmp_path / "corpus.txt").write_text("\n".join(" ".join([*words, *words[::-1], "x"]) for _ in range(20)))
    result = run("fit", tmp_path / "corpus.txt", "--out", tmp_path / name, "--language", "whitespace")
    lines = result.stderr.partition("Try next:\n")[2].splitlines()
    assert lines
    for line in lines:
        assert not any(sign in _unquoted(line) for sign in "$`;")
        thalweg, part, *rest = shlex.split(line)
        assert (thalweg, part) == ("thalweg", "words")
        run(*rest)


def _unquoted(line: str) -> str:
    """What a shell interprets: all but what stands in single quotes."""
    return "".join(line.split("'")[::2])


def test_standard_input(corpus: Path, tmp_path: Path, folder: Path) -> None:
    run("fit", "-", "--out", tmp_path / "vec", "--dim", 16, input=corpus.read_bytes())
    assert (tmp_path / "vec" / "vectors.safetensors").read_bytes() == (folder / "vectors.safetensors").read_bytes()


def test_overwrite_replaces_a_former_fit(corpus: Path, tmp_path: Path) -> None:
    for dim in (4, 5):
        run("fit", corpus, "--out", tmp_path / "vec", "--dim", dim, "--overwrite")
    assert WordVectors.load(tmp_path / "vec").dim == 5
    assert sorted(path.name for path in (tmp_path / "vec").iterdir()) == [
        "counts", "manifest.json", "subwords.safetensors", "vectors.safetensors", "vocab.json", "word_counts.npy"
    ]  # fmt: skip


# Real text


@pytest.mark.data
def test_five_megabytes_of_an_encyclopaedia_give_sensible_words(data_folder: Path, tmp_path: Path) -> None:
    """At least three plainly related words among the first twenty, of the 5,000 most frequent ones."""
    with bz2.open(data_folder / "corpora" / "en.txt.bz2") as stream:
        (tmp_path / "en.txt").write_bytes(stream.read(5_000_000))
    wv = fit(tmp_path / "en.txt", dim=64)
    expected = {
        "music": {"musical", "jazz", "song", "songs", "composer", "concert", "folk", "singing", "opera", "musicians"},
        "church": {"catholic", "orthodox", "churches", "protestant", "bishops", "christian", "anglican", "priests"},
        "chemical": {"reactions", "compounds", "molecular", "elements", "synthetic", "properties", "substances"},
        "war": {"civil", "wars", "army", "fought", "battle", "military", "invasion", "troops", "1914", "1918"},
        "river": {"rivers", "tributary", "basin", "flows", "valley", "amazon", "lake", "delta"},
    }
    for word, near in expected.items():
        assert len(near & set(found(wv.related(word, topn=20, restrict=5000)))) >= 3
        assert len(near & set(found(wv.similar(word, topn=20, restrict=5000)))) >= 3
