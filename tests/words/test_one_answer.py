"""The same question has the same answer, asked by the command, in the shell and in Python."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from thalweg import words
from thalweg.cli import program
from thalweg.console import to_json
from thalweg.errors import ThalwegError
from thalweg.words import WordVectors
from thalweg.words.answers import VERBS
from thalweg.words.vectors.ranked import Ranked

NAMES = ["king", "queen", "man", "woman", "river", "boat", "bank", "money"]

ASKED: dict[str, Callable[[WordVectors], object]] = {  # a line of the shell, and the same in Python
    "related king": lambda wv: wv.related("king"),
    "related king queen --by cosine --topn 3": lambda wv: wv.related("king", "queen", by="cosine", topn=3),
    "similar river --restrict 6": lambda wv: wv.similar("river", restrict=6),
    "similar river --contexts 5": lambda wv: wv.similar("river", contexts=5),
    "analogy king - man + woman": lambda wv: wv.analogy("king - man + woman"),
    "analogy king - man + woman --method mul": lambda wv: wv.analogy("king - man + woman", method="mul"),
    "keywords the king by the river": lambda wv: wv.keywords("the king by the river"),
    "keywords king river --by cosine": lambda wv: wv.keywords("king river", by="cosine"),
    "similarity 'king queen' 'river foam'": lambda wv: {
        "by": "cosine", "score": wv.similarity("king queen", "river foam"), "unknown": ["foam"]
    },
    "similarity king river --by pmi": lambda wv: {"by": "pmi", "score": wv.similarity("king", "river", by="pmi"), "unknown": []},
    "pmi king queen": lambda wv: {
        "a": "king", "b": "queen", "estimated": wv.pmi("king", "queen"), "counted": wv.counted_pmi("king", "queen")
    },
    "pmi king nobody": lambda wv: wv.pmi("king", "nobody"),
    "vector 'king river'": lambda wv: wv.vector("king river"),
    "vector river --mean --output concat": lambda wv: wv.vector("river", mean=True, output="concat"),
    "importance": lambda wv: wv.importance(),
    "importance king river --ascending": lambda wv: wv.importance(["king", "river"], ascending=True),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Vectors of a fit, with the counts beside them, and vectors of another program."""
    folder = tmp_path_factory.mktemp("vectors")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.permutation(NAMES)[:5]) for _ in range(60)]
    words.fit(texts, out=folder / "fitted", min_count=1, dim=4, threads=1)
    other = WordVectors(NAMES, None, rng.normal(size=(8, 4)).astype(np.float32))
    other.export(folder / "other.txt")
    WordVectors.read(folder / "other.txt").save(folder / "imported")
    return {name: folder / name for name in ("fitted", "imported")}


def by_command(folder: Path, line: str) -> Any:
    verb, *rest = shlex.split(line)
    done = CliRunner().invoke(program, ["words", verb, str(folder), *rest, "--json", "--quiet"])
    return json.loads(done.stdout)["result"] if done.exit_code == 0 else done.stderr.removeprefix("Error: ").strip()


def by_shell(folder: Path, line: str) -> Any:
    done = CliRunner().invoke(program, ["words", "shell", str(folder), "--json", "--quiet"], input=line.replace("'", '"') + "\n")
    [answer] = json.loads(done.stdout)["result"]
    return answer.get("answer", answer.get("error"))


def by_python(folder: Path, ask: Callable[[WordVectors], object]) -> Any:
    try:
        found = ask(WordVectors.load(folder))
    except ThalwegError as error:
        return str(error)
    if isinstance(found, Ranked):
        found = [{"word": word, found.score: score} for word, score in found]
    return json.loads(to_json(found))


@pytest.mark.parametrize("vectors", ["fitted", "imported"])
@pytest.mark.parametrize("line", ASKED)
def test_command_shell_and_python_answer_alike(folders: dict[str, Path], vectors: str, line: str) -> None:
    """pmi on imported vectors was refused by the command, and 0.13 in the shell and in Python."""
    folder = folders[vectors]
    answer = by_python(folder, ASKED[line])
    assert by_shell(folder, line) == answer
    assert by_command(folder, line) == answer
    if vectors == "imported" and line in ("pmi king queen", "pmi king nobody", "similarity king river --by pmi"):
        assert "was not fitted to mutual information" in answer


def test_every_verb_of_the_shell_is_asked() -> None:
    assert {line.split()[0] for line in ASKED} == set(VERBS)


def test_test_sets_of_one_name_are_told_apart(folders: dict[str, Path], tmp_path: Path) -> None:
    """Of en/p.tsv and zh/p.tsv the second hid the first: nothing was covered, exit 1; two of analogies were one table."""
    for folder, pairs, questions in (
        ("en", "king\tqueen\t1\nking\triver\t2\n", ": one\nking queen river king\n"),
        ("zh", "国王\t王后\t1\n", ": one\n国 王 国 王\n: two\n国 王 国 王\n"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "set.txt").write_text(pairs, encoding="utf-8")
        (tmp_path / folder / "questions.txt").write_text(questions, encoding="utf-8")
    for option, name in (("--pairs", "set.txt"), ("--analogies", "questions.txt")):
        asked = [part for folder in ("en", "zh") for part in (option, str(tmp_path / folder / name))]
        done = CliRunner().invoke(program, ["words", "evaluate", str(folders["fitted"]), *asked])
        assert done.exit_code == 0, done.stderr
        assert f"{tmp_path / 'zh' / name}: none of its words are known together" in done.stderr
