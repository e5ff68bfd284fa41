"""`thalweg optim list | show | race`: what they say, and one clear line for whatever cannot be."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from thalweg import cli, optim
from thalweg.cli import program
from thalweg.optim import rules
from thalweg.optim.commands import choosing
from thalweg.optim.racing.problems import PROBLEMS

MINE = '''
from dataclasses import dataclass
from thalweg.optim import Rule, Slots, decay, flag, rate
from neighbour import HALF

@dataclass(frozen=True)
class Mine(Rule):
    """m = keep m + g; p = p - lr m. Source: this test."""
    lr: float = rate(0.1)
    keep: float = decay(HALF)
    signed: bool = flag(False)
    slots = Slots(m=0)

    def step(self, p, g, s, t):
        p, g = self.decayed(p, g)
        m = self.keep * s.m + g
        return p - self.lr * m, s(m=m)

ready = Mine(lr=0.3)

class Bowl:
    start = (3.0, 4.0)
    def __call__(self, x): return (x * x).sum(axis=1)
    def gradient(self, x): return 2 * x

class Late(Bowl):
    def gradient(self, x):
        raise ZeroDivisionError("in\\nthe middle")

@dataclass(frozen=True)
class Faulty(Rule):
    lr: float = rate(0.1)
    def step(self, p, g, s, t):
        return p - self.rl * g, s

@dataclass(frozen=True)
class Branches(Rule):
    lr: float = rate(0.1)
    def step(self, p, g, s, t):
        return (p if p > 0 else g), s

number = 3
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "neighbour.py").write_text("HALF = 0.5\n")
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str) -> Result:
    return CliRunner().invoke(cli.program, ["optim", *args])


def answer(*args: str) -> Any:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["result"]


# ---- list


def test_every_rule_is_listed_with_what_a_step_moves():
    """SGD reads p and g and writes p: 12 bytes; every slot is read and written."""
    rows = {row["rule"]: row for row in answer("list")}
    assert list(rows) == [kind.__name__ for kind in rules.KNOWN.values()]
    assert rows["SGD"]["bytes"] == 12
    assert (rows["Adam"]["slots"], rows["Adam"]["bytes"]) == (["m", "v"], 28)
    assert rows["Adam"]["numbers"] == {"lr": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-8}
    assert all(row["formula"] and "Source" not in row["formula"] for row in rows.values())


def test_the_markdown_table_has_a_line_for_every_rule_and_as_many_cells_in_each():
    lines = run("list", "--markdown").stdout.splitlines()
    assert len(lines) == 2 + len(rules.KNOWN)
    assert {line.replace("\\|", "").count("|") for line in lines} == {6}
    assert any("\\|g\\|" in line for line in lines)


# ---- show


@pytest.mark.parametrize("name", optim.RULES)
def test_show_tells_formula_code_and_program_of_every_rule(name):
    result = run("show", name)
    rule = optim.get(name)()
    assert result.exit_code == 0
    assert result.stdout.startswith(repr(rule))
    assert str(rule.program()) in result.stdout
    assert "def step(self, p: Value" in result.stdout


@pytest.mark.parametrize(
    ("typed", "rule"),
    [
        ("adam --lr 0.01", optim.Adam(lr=0.01)),
        ("adam --lr=0.01 --eps-at uncorrected", optim.Adam(lr=0.01, eps_at="uncorrected")),
        ("Heavy-Ball --momentum 1e-1", optim.HeavyBall(momentum=0.1)),
        ("rmsprop --centered --lr_in_buffer", optim.RMSprop(centered=True, lr_in_buffer=True)),
        ("rmsprop --centered --no-centered", optim.RMSprop()),
        ("nadam --like keras --b1 0.5", optim.NAdam.like("keras", b1=0.5)),
        ("adamw --decay coupled", optim.AdamW(decay="coupled")),
    ],
)
def test_numbers_of_a_rule_are_options(typed, rule):
    assert choosing.rule_of(shlex.split(typed)) == rule
    assert answer("show", *shlex.split(typed))["repr"] == repr(rule)


def test_show_says_what_the_program_costs():
    shown = answer("show", "rmsprop", "--momentum", "0.9")
    [cost] = shown["costs"]
    assert (cost["reads"], cost["writes"]) == (16, 12)
    assert shown["slots"] == ["v", "b"]
    assert optim.RMSprop.from_config(shown["config"]) == optim.RMSprop(momentum=0.9)


def test_a_rule_of_two_gradients_shows_its_stages_and_both_programs():
    result = run("show", "heun")
    assert result.exit_code == 0
    assert "def stages(self" in result.stdout
    assert all(str(program) in result.stdout for program in optim.Heun().programs())


def test_a_rule_of_ones_own_is_shown_from_its_file(mine):
    result = run("show", "mine.py:Mine", "--keep", "0.25", "--signed")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("Mine(lr=0.1, keep=0.25, signed=True)\n\nm = keep m + g")
    assert "m = self.keep * s.m + g" in result.stdout
    assert answer("show", "mine.py:ready")["numbers"]["lr"] == 0.3


def test_a_file_far_away_runs_with_its_neighbours(mine, monkeypatch):
    monkeypatch.chdir("/")
    assert answer("show", f"{mine}/mine.py:Mine")["rule"] == "Mine"


# ---- race


def test_a_race_has_a_row_for_each_rule_and_problem_the_best_first():
    found = answer(
        "race", "sgd", "heavyball --momentum 0.8", "--on", "parabola", "--on", "double-well", "--seeds", "2", "--budget", "40"
    )
    assert [row["problem"] for row in found["rows"]] == ["parabola"] * 2 + ["double-well"] * 2
    assert {row["rule"] for row in found["rows"]} == {"SGD", "HeavyBall(momentum=0.8)"}
    assert (found["seeds"], found["budget"], found["seed"], found["out"]) == (2, 40, 0, None)


def test_a_race_says_that_it_has_no_part_for_a_given_rate():
    """It tunes lr: whoever gives one shall know, in one line beside the result."""
    result = run("race", "sgd --lr 0.01", "--on", "beale", "--seeds", "1", "--budget", "5")
    assert "sgd --lr 0.01: a race finds the best rate of each rule itself; the lr given here is ignored" in result.stderr


def test_infinities_are_null_in_json():
    [row] = answer("race", "sgd", "--on", "rosenbrock", "--seeds", "1", "--budget", "5")["rows"]
    assert row["arrived"] is None
    assert row["arrivals"] == 0


def test_ones_own_rule_and_energy_race_with_the_others(mine):
    result = run(
        "race", "mine.py:Mine", "mine.py:ready --keep 0.9", "adam", "--on", "mine.py:Bowl", "--seeds", "2", "--budget", "60"
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("mine.py:Bowl: gradients until the loss is within 0.001 of the least\n")
    assert result.stdout.count("\n") == 5


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_the_page_is_written(mine, references, locale):
    args = ["race", "sgd", "--on", "beale", "--seeds", "2", "--budget", "20", "--out", "race.html", "--locale", locale]
    result = run(*args)
    assert result.exit_code == 0, result.stderr
    page = Path("race.html").read_text(encoding="utf-8")
    assert f'<html lang="{"en" if locale == "en" else "zh-Hans"}">' in page
    assert references(page) == []
    assert run(*args).exit_code == 1
    assert run(*args, "--overwrite").exit_code == 0


def test_every_problem_is_named_in_the_help():
    text = " ".join(run("race", "--help").stdout.split())
    assert all(f" {name}" in text for name in PROBLEMS)


# ---- what cannot be


FILES = {
    "empty.py": "",
    "broken.py": "x = 1\nx = = 2\n",
    "divides.py": "x = 1\n\nx / 0\n",
    "leaves.py": "raise SystemExit(0)\n",
    "imports.py": "import no_such_library\n",
    "rule.txt": "x = 1\n",
}


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["show", "adm"], 2, "there is no rule 'adm'. Did you mean adam"),
        (["show", ""], 2, "there is no rule ''"),
        (["show", "adam", "--epps", "0.1"], 2, "Adam has no --epps. Did you mean eps"),
        (["show", "adam", "--lr"], 2, "--lr needs a value"),
        (["show", "adam", "--lr", "fast"], 2, "--lr 'fast' is not a number"),
        (["show", "adam", "--lr", "-1"], 2, "lr=-1.0 is not allowed; a rate is a finite number of at least 0"),
        (["show", "adam", "--lr", "nan"], 2, "lr=nan is not allowed"),
        (["show", "adam", "--b1", "1"], 2, "b1=1.0 is not allowed; a decay is a number in [0, 1)"),
        (["show", "adam", "--eps-at", "outside"], 2, "eps_at='outside' is not allowed"),
        (["show", "adam", "--like", "jax"], 2, "it is torch, optax or keras"),
        (["show", "adam", "0.1"], 2, "'0.1' is not expected here"),
        (["race", "adam --lr 'x"], 2, "is no rule: No closing quotation"),
        (["race", "adam", "adam --lr 0.1"], 2, "two rules are called Adam"),
        (["race", "sgd", "--on", "beale", "--on", "beale"], 2, "two problems are called beale"),
        (["show", "mine.py"], 2, "name what is meant in it, as mine.py:Mine (it has Mine, "),
        (["race", "sgd", "--on", "mine.py"], 2, "mine.py is a file: name what is meant in it"),
        (["show", "gone.py"], 1, "there is no file 'gone.py'"),
        (["race", "--on", "bale"], 2, "there is no problem 'bale'. Did you mean beale?"),
        (["race", "--budget", "0"], 2, "it must be at least 1"),
        (["race", "--out", "race.pdf"], 2, "does not end with .html"),
        (["race", "--out", "nowhere/race.html"], 1, "there is no folder nowhere"),
        (["race", "--out", "neighbour.py/x.html"], 1, "there is no folder neighbour.py"),
        (["show", "gone.py:Mine"], 1, "there is no file 'gone.py'"),
        (["show", ".:Mine"], 1, "'.' is a folder (for .:Mine): name a file in it"),
        (["show", "mine.py:Mien"], 1, "mine.py has no 'Mien'. Did you mean Mine?"),
        (["show", "mine.py:"], 1, "mine.py has no ''"),
        (["show", "empty.py:Mine"], 1, "empty.py has no 'Mine'. It is empty."),
        (["show", "broken.py:Mine"], 1, "broken.py does not run: SyntaxError in broken.py, line 2: invalid syntax"),
        (["show", "divides.py:Mine"], 1, "divides.py does not run: ZeroDivisionError in divides.py, line 3: division by zero"),
        (["show", "leaves.py:Mine"], 1, "leaves.py does not run: SystemExit in leaves.py, line 1"),
        (["show", "imports.py:Mine"], 1, "ModuleNotFoundError in imports.py, line 1: No module named 'no_such_library'"),
        (["show", "rule.txt:Mine"], 1, "rule.txt is not a Python file"),
        (["show", "mine.py:number"], 1, "mine.py:number is int, not a rule"),
        (["show", "mine.py:Bowl"], 1, "mine.py:Bowl is type, not a rule"),
        (["show", "mine.py:Faulty"], 1, "mine.py:Faulty fails: AttributeError in mine.py, line"),
        (["show", "mine.py:Branches"], 1, "a step may not branch on a value"),
        (["race", "sgd", "--on", "mine.py:number"], 1, "mine.py:number is no problem to race on"),
        (["race", "sgd", "--on", "mine.py:Late"], 1, "ZeroDivisionError in mine.py, line"),
        (["race", "sgd", "--on", "gone.py:Bowl"], 1, "there is no file 'gone.py'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_whatever_cannot_be_is_one_line_and_its_status(mine, args, status, said):
    """2 is visible from the command line alone, 1 depends on files; nothing is written."""
    for name, text in FILES.items():
        (mine / name).write_text(text)
    before = {path.name for path in mine.iterdir()}
    result = run(*args)
    assert result.exit_code == status, result.stderr
    first, *rest = result.stderr.splitlines()
    assert said in first
    assert rest == ([f"Try: thalweg optim {args[0]} --help"] if status == 2 else [])
    assert result.stdout == ""
    assert {path.name for path in mine.iterdir()} - {"__pycache__"} == before - {"__pycache__"}


def test_traceback_shows_the_users_line(mine):
    (mine / "divides.py").write_text(FILES["divides.py"])
    assert "x / 0" in run("show", "divides.py:Mine", "--traceback").stderr


# ---- stability


def test_stability_tells_the_limit_and_the_rate_at_a_curvature():
    found = answer("stability", "adam", "--curvature", "100")
    assert found["limit"] == pytest.approx(38, rel=1e-8)
    assert found["largest_lr"] == pytest.approx(0.38, rel=1e-8)
    assert found["frozen"] == ["v"]
    result = run("stability", "heavyball", "--momentum", "0.5")
    assert "largest lr times curvature" in result.stdout
    assert "3" in result.stdout


def test_a_rule_of_signs_has_no_stable_rate():
    found = answer("stability", "lion")
    assert (found["limit"], found["best"]) == (0, None)
    assert "cycle" in found["note"]


def test_what_has_no_stability_is_one_line():
    result = run("stability", "lamb")
    assert result.exit_code == 1
    assert "sums over tensors" in result.stderr


def test_the_list_of_rules_is_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """It said all and left out Muon and Adafactor; a rule that is entered is listed."""
    monkeypatch.setitem(rules.KNOWN, "toy", type("Toy", (rules.SGD,), {"__doc__": "p' = p - lr g, as a toy does."}))
    result = CliRunner().invoke(program, ["optim", "list", "--json"])
    found = {each["rule"]: each for each in json.loads(result.stdout)["result"]}
    assert set(found) == {kind.__name__ for kind in rules.KNOWN.values()} >= {"Muon", "Adafactor", "RK45", "Adam", "Toy"}
    assert (found["Adafactor"]["slots"][:2], found["Adafactor"]["bytes"]) == (["r (each row)", "c (each column)"], None)
    assert (found["Adam"]["slots"], found["Adam"]["bytes"]) == (["m", "v"], 28)
