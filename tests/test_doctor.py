"""`thalweg doctor` reports what is there, and a broken library costs its own line only."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import thalweg
from thalweg import cli, doctor, fonts, threads

look_for_fonts = fonts.cjk_family.__wrapped__  # before the tests hide it


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the core installation; importing torch takes seconds."""
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "torch" else "1.0")


def run(*args: str) -> Any:
    return CliRunner().invoke(cli.program, ["doctor", *args])


def test_the_report_tells_the_truth() -> None:
    facts = json.loads(run("--json").stdout)["result"]
    assert facts["thalweg"] == thalweg.__version__
    assert facts["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert facts["cores"] == {"available": threads.available(), "machine": os.cpu_count()}
    assert 0 < facts["memory_available_bytes"] < 1 << 50
    assert facts["blas"]
    assert "error" not in facts["jit"]
    if facts["packages"]["torch"]:
        assert "cpu" in facts["torch"]["devices"]
    assert (facts["cjk_font"] is None) == (fonts.cjk_family() is None)


@pytest.mark.usefixtures("without_torch")
def test_the_text_has_a_line_per_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_DATA", "/data")
    result = run()
    assert (result.exit_code, result.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["numpy"] == "1.0"
    assert lines["torch"] == "not installed"
    assert lines["THALWEG_DATA"] == "/data"
    assert any("pip install 'thalweg[torch]'" in line for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("module", "fact"),
    [("numpy", "blas"), ("threadpoolctl", "blas"), ("numba", "jit"), ("matplotlib", "cjk_font"), ("torch", "torch")],
)
def test_a_library_that_cannot_be_imported_is_a_line(module: str, fact: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """None in sys.modules is Python's own way to make an import fail."""
    monkeypatch.setattr(doctor, "_version", lambda name: "1.0" if name == module else None)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(fonts, "cjk_family", look_for_fonts)
    result = run("--json")
    assert result.exit_code == 0
    assert "Error: import of" in json.loads(result.stdout)["result"][fact]["error"]
    assert "Error: import of" in run().stdout


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize("probe", ["_blas", "_jit", "_cores", "_browser"])
def test_a_question_that_fails_costs_its_own_line(probe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AttributeError("odd\x1b[31m")

    monkeypatch.setattr(doctor, probe, fail)
    result = run()
    assert result.exit_code == 0
    assert "AttributeError: odd\\x1b[31m" in result.stdout
    assert "numpy" in result.stdout


@pytest.mark.usefixtures("without_torch")
def test_what_is_missing_comes_with_what_it_is_for_and_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "cjk_family", lambda: None)
    monkeypatch.setattr(doctor, "_browser", lambda: None)
    missing = doctor.report()["missing"]
    assert isinstance(missing, list)
    commands = [row["command"] for row in missing]
    assert commands == ["pip install 'thalweg[torch]'", "apt-get install fonts-noto-cjk", "apt-get install chromium"]
    assert all(row["what"] and row["for"] for row in missing)


@pytest.mark.usefixtures("without_torch")
def test_the_home_directory_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "secret"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("THALWEG_CACHE")
    monkeypatch.setenv("THALWEG_DATA", f"{home}/data")
    monkeypatch.setenv("THALWEG_OTHER", f"{home}-not")
    assert doctor.report()["environment"] == {"THALWEG_DATA": "~/data", "THALWEG_OTHER": f"{home}-not"}


@pytest.mark.usefixtures("without_torch")
def test_kernels_that_run_as_python_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_JIT", "0")
    assert doctor.report()["jit"] == {"enabled": False, "cache": None}


@pytest.mark.usefixtures("without_torch")
def test_a_cache_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba's own words where neither the source folder nor the user's cache directory can be written."""
    from numba.core import caching

    def nowhere(function: object) -> None:
        msg = "cannot cache function 'blocks': no locator available"
        raise RuntimeError(msg)

    monkeypatch.setattr(caching, "FunctionCache", nowhere)
    jit = doctor.report()["jit"]
    assert isinstance(jit, dict)
    assert (jit["cache"], "no locator" in jit["why"]) == (None, True)
