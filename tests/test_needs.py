"""A library that is missing is named with what needs it and the command that brings it, wherever it is missing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from thalweg import cli, needs
from thalweg.errors import MissingExtraError, ThalwegError

WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from thalweg.errors import MissingExtraError
try:
    import {module}
except MissingExtraError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("module", "names", "said"),
    [
        ("thalweg.optim.torch", ["torch"], "thalweg.optim.torch needs the package torch, which is not installed: "
         "pip install 'thalweg[torch]'"),
        ("thalweg.optim.diagnosis", ["torch"], "thalweg.optim.diagnosis needs the package torch, which is not installed: "
         "pip install 'thalweg[torch]'"),
        ("thalweg.optim.optax", ["optax", "jax"], "thalweg.optim.optax needs the package jax, which is not installed: "
         "pip install 'thalweg[jax]'"),
        ("thalweg.optim.keras", ["keras"], "thalweg.optim.keras needs the package keras, which is not installed: "
         "pip install 'thalweg[keras]'"),
    ],
)  # fmt: skip
def test_a_face_says_what_it_needs(module, names, said):
    """`from thalweg.optim.torch import Adam` ended in No module named 'torch'."""
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(names=names, module=module)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == said


def test_a_library_that_is_broken_says_why(monkeypatch):
    def broken(name):
        raise ImportError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(needs.importlib, "import_module", broken)
    with pytest.raises(MissingExtraError, match=r"umap-learn, which cannot be imported \(libcuda.*\): pip install umap-learn"):
        needs.needs("umap")
    assert issubclass(MissingExtraError, (ThalwegError, ImportError))


def test_doctor_lists_every_one_that_is_entered(monkeypatch):
    monkeypatch.setitem(needs.EXTRAS, "toy", needs.Extra("toy-package", "playing", "toy-package"))
    facts = json.loads(CliRunner().invoke(cli.program, ["doctor", "--json"]).stdout)["result"]
    assert facts["packages"]["toy-package"] is None
    assert {"what": "toy-package", "for": "playing", "command": "pip install toy-package"} in facts["missing"]
