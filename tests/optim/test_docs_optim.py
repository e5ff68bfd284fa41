"""The chapters on rules and on the learning rate run as they stand, and print what they say."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from thalweg import cli

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> str:
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S))


@pytest.mark.slow
def test_the_chapter_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    """All blocks one after another, in a process of their own: Keras takes its backend when it is imported."""
    for library in ("torch", "jax", "optax", "keras"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    environment = os.environ | {"KERAS_BACKEND": "torch", "JAX_PLATFORMS": "cpu"}
    code = blocks("optim.md", "python") + CHECKS
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == blocks("optim.md", "text").split()
    assert (tmp_path / "race.html").exists()


CHECKS = """
assert run.energy_path[-1] < run.energy_path[0] / 10
assert loss.item() < 0.1
assert abs(params).max() < 0.1
assert history.history["loss"][-1] < history.history["loss"][0]
assert {each.rule for each in result.entries} == {"Cautious", "HeavyBall", "Adam"}
"""


def test_the_forms_of_the_page_on_differences_can_be_made() -> None:
    exec(blocks("optim-differences.md", "python"), {})


@pytest.mark.slow
def test_the_chapter_on_the_learning_rate_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    """Its script is one that `thalweg optim diagnose` takes; the table of rows names those that a diagnosis has."""
    pytest.importorskip("torch")
    page = (DOCS / "learning-rate.md").read_text(encoding="utf-8")
    code = blocks("learning-rate.md", "python") + LEARNING_RATE
    environment = os.environ | {
        "OMP_NUM_THREADS": "1"
    }  # two threads that wait for each other on a busy machine take ten times as long
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    printed, _, names = done.stdout.partition("rows:\n")
    assert printed.split() == blocks("learning-rate.md", "text").split()
    assert set(names.splitlines()) == set(re.findall(r"^\| `([^`]+)` \|", page, re.M))

    script = next(block for block in re.findall(r"```python\n(.*?)```", page, re.S) if block.startswith("# train.py"))
    (tmp_path / "train.py").write_text(script, encoding="utf-8")
    place = f"{tmp_path / 'train.py'}:make_problem"
    result = CliRunner().invoke(cli.program, ["optim", "diagnose", place, "--batches", "3", "--no-sweep", "--json"])
    assert result.exit_code == 0, result.stderr


LEARNING_RATE = """
from torch.optim import Adam as TorchAdam

model, loss, data, _ = make_problem()
also = diagnose((model, loss, data, TorchAdam(model.parameters())), batches=3, sweep=False)
print("rows:")
print("\\n".join({row.name: row for row in [*found.rows, *also.rows]}))
"""
