"""`thalweg optim diagnose`: what it says of a user's file, and one clear line for whatever cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from thalweg import cli

pytestmark = pytest.mark.usefixtures("one_thread")

TRAIN = """
import torch
from torch import nn
from torch.nn import functional as F

def loss(model, batch):
    x, y = batch
    return F.mse_loss(model(x), y)

def make_problem(lr=0.05):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))
    x = torch.randn(96, 3)
    data = list(zip(x.split(16), x.sum(1, keepdim=True).split(16)))
    return model, loss, data, torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)

def demanding(lr):
    return make_problem(lr)

def failing():
    return 1 / 0

def few():
    return make_problem()[:3]

def nan():
    model, _, data, optimizer = make_problem()
    return model, lambda model, batch: loss(model, batch) * float("nan"), data, optimizer

def loses():
    model, _, data, optimizer = make_problem()
    return model, lambda model, batch: batch["x"], data, optimizer

def neighbour():
    import nearby
    return nearby.make()

def library():
    model, _, data, optimizer = make_problem()
    def faulty(model, batch):
        return F.mse_loss(batch[0] @ batch[0], batch[1])
    return model, faulty, data, optimizer

def leaving():
    raise SystemExit(3)

def printing():
    print("hello")
    model, _, data, optimizer = make_problem()
    def chatty(model, batch):
        print("loss")
        return loss(model, batch)
    return model, chatty, data, optimizer

def empty():
    model, loss, _, optimizer = make_problem()
    return model, loss, [], optimizer

number = 3
"""

FAULT = next(n for n, line in enumerate(TRAIN.splitlines(), 1) if "batch[0] @ batch[0]" in line)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def run(*args: str) -> Result:
    return CliRunner().invoke(cli.program, ["optim", "diagnose", *args])


def test_the_table_says_what_the_rate_may_be(train: Path) -> None:
    result = run("train.py:make_problem")
    assert result.exit_code == 0, result.stderr
    for name in (
        "sharpness",
        "largest stable rate",
        "rate / largest stable",
        "noise scale (critical batch)",
        "a rate to begin with",
    ):
        assert name in result.stdout
    assert "lr times curvature may be 3.8 for this rule" in result.stdout
    assert any(mark in result.stdout for mark in "▁▂▃▄▅▆▇█")


def test_json_holds_the_rows_and_the_sweep(train: Path) -> None:
    found: dict[str, Any] = json.loads(run("train.py:make_problem", "--json", "--quiet").stdout)["result"]
    rows = {row["name"]: row["value"] for row in found["rows"]}
    assert rows["largest stable rate"] * rows["sharpness"] == pytest.approx(3.8, rel=1e-6)
    assert len(found["sweep"]["rates"]) == len(found["sweep"]["smooth"])
    without = json.loads(run("train.py:make_problem", "--json", "--quiet", "--no-sweep", "--steps", "0").stdout)["result"]
    assert found["suggestion"] == found["trials"][0]["lr"]
    assert len(found["trials"]) == 7
    assert without["sweep"] is None
    assert without["trials"] == []
    assert without["suggestion"] == pytest.approx(rows["largest stable rate"] / 2)


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_the_page_draws_the_sweep_and_loads_nothing(train: Path, locale: str) -> None:
    assert run("train.py:make_problem", "--out", "lr.html", "--locale", locale).exit_code == 0
    page = (train / "lr.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert ("学习率" in page) == (locale == "zh")
    assert ("largest stable rate" in page) == (locale == "en")
    again = run("train.py:make_problem", "--out", "lr.html")
    assert again.exit_code == 1
    assert "is there already" in again.stderr


def test_what_the_users_code_prints_is_no_part_of_the_json(train: Path) -> None:
    result = run("train.py:printing", "--json", "--quiet", "--steps", "0", "--no-sweep")
    assert json.loads(result.stdout)["result"]["rows"]
    assert "hello" in result.stderr


def test_the_result_is_told_before_a_page_that_cannot_be_written(train: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.errors import StorageError
    from thalweg.optim.diagnosis import page

    def full(*_: object, **__: object) -> None:
        msg = "no space left"
        raise StorageError(msg)

    monkeypatch.setattr(page, "write_text", full)
    result = run("train.py:make_problem", "--steps", "0", "--out", "lr.html")
    assert result.exit_code == 1
    assert "largest stable rate" in result.stdout
    assert "no space left" in result.stderr


def test_a_function_may_import_what_lies_beside_its_file(train: Path) -> None:
    (train / "nearby.py").write_text("from train import make_problem as make\n")
    result = run("train.py:neighbour", "--no-sweep")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["train.py"], 2, "names no function: it is FILE.py:FUNCTION"),
        (["train.py:make_problem", "--steps", "8"], 2, "a trial run tells something from 32 steps on"),
        (["train.py:make_problem", "--batches", "2"], 2, "at least 3"),
        (["gone.py:make_problem"], 1, "there is no file 'gone.py'"),
        (["train.py:make_problm"], 1, "has no 'make_problm'. Did you mean make_problem?"),
        (["train.py:number"], 1, "is int, not a function that returns"),
        (["train.py:demanding"], 1, "needs lr: it is called without arguments, so give them defaults"),
        (["train.py:failing"], 1, "train.py:failing fails: ZeroDivisionError in train.py, line"),
        (["train.py:few"], 1, "not tuple of 3"),
        (["train.py:nan"], 1, "the loss of batch 1 is nan"),
        (["train.py:loses"], 1, "the model, the loss or the data fail: TypeError in train.py, line"),
        (["train.py:empty"], 1, "the data hold no batch"),
        (["train.py:leaving"], 1, "train.py:leaving fails: SystemExit in train.py, line"),
        (["argued.py:Make_problem"], 1, "has no 'Make_problem'. Did you mean make_problem?"),
        ([".:make_problem"], 1, "is a folder"),
        (["train.py:make_problem", "--out", "folder.html", "--overwrite"], 1, "is a folder: give the name of a file in it"),
        (["train.py:library"], 1, f"RuntimeError in train.py, line {FAULT}: mat1 and mat2 shapes cannot be multiplied"),
        (["broken.py:make_problem"], 1, "broken.py does not run: SyntaxError in broken.py, line 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_whatever_cannot_be_is_one_line_and_its_status(train: Path, args: list[str], status: int, said: str) -> None:
    (train / "broken.py").write_text("def = 3\n")
    (train / "folder.html").mkdir()
    (train / "argued.py").write_text("import argparse, torch\nargparse.ArgumentParser().parse_args()\ndef make_problem(): pass\n")
    result = run(*args)
    assert result.exit_code == status, result.stderr
    first, *rest = [line for line in result.stderr.splitlines() if not line.startswith("working")]
    assert said in first
    assert rest == (["Try: thalweg optim diagnose --help"] if status == 2 else [])
    assert result.stdout == ""
