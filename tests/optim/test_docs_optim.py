"""The chapter on rules runs as it stands, and prints what it says."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
