"""The documentation's own code runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import thalweg

ROOT = Path(__file__).parent.parent


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)


def test_the_page_on_your_own_energy_and_rule_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Its energy passes check_energy and its rule goes down it."""
    names: dict[str, object] = {}
    exec("\n".join(blocks("docs/own.md")), names)
    run = names["run"]
    assert run.energy_path[-1] < run.energy_path[0] / 100  # type: ignore[attr-defined]
    assert "200 steps" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_readme_goes_down_its_energy(name: str) -> None:
    names: dict[str, object] = {}
    [code] = [block for block in blocks(name) if "descend" in block]
    exec(code, names)
    assert names["run"].energy_path[-1] < names["run"].energy_path[0]  # type: ignore[attr-defined]


def test_the_rule_of_the_readme_is_a_rule(capsys: pytest.CaptureFixture[str]) -> None:
    """It is traced, and prints what it does."""
    [code] = [block for block in blocks("README.md") if "Slots" in block]
    exec(code, {})
    assert "for each element" in capsys.readouterr().out


def test_the_api_of_the_docs_is_made_of_every_public_list():
    """optim.dynamics and optim.diagnosis were missing: a face is one module with __all__ that users import."""
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    faces = ["thalweg.words", "thalweg.energies", "thalweg.optim", "thalweg.capsules", "thalweg.capsules.torch"]
    faces += [f"thalweg.optim.{name}" for name in ("ops", "schedules", "torch", "optax", "keras", "dynamics", "diagnosis")]
    for face in faces:
        assert f".. automodule:: {face}\n   :members:\n   :imported-members:\n" in page, face
    assert all(f"thalweg.{name}" in page for name in thalweg.__all__ if not name.startswith("_"))
