"""Importing costs nothing that is not used; every public name is there and explained."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import thalweg

SOURCE = Path(thalweg.__file__).parent
FILES = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): path for path in sorted(SOURCE.rglob("*.py"))}
FACES = [name.removesuffix(".__init__") for name, path in FILES.items() if "\n__all__ =" in path.read_text(encoding="utf-8")]

LOADED = """
import importlib, json, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
new = sorted(set(sys.modules) - before)
own = {"thalweg", *sys.stdlib_module_names}
print(json.dumps([sorted({name.partition(".")[0] for name in new} - own), [name for name in new if name.startswith("thalweg")]]))
"""


@pytest.mark.parametrize(
    ("name", "libraries"),
    [("thalweg", []), ("thalweg.words", []), ("thalweg.optim", []), ("thalweg.energies", ["numpy"]), ("thalweg.cli", ["click"])],
)
def test_importing_a_part_loads_exactly_these_libraries(name, libraries):
    """A part's front door is lazy; the energies are arrays through and through. In a process of its own, without our tests."""
    run = subprocess.run([sys.executable, "-c", LOADED, name], capture_output=True, text=True, check=True)
    found, _ = json.loads(run.stdout)
    assert found == libraries


def test_importing_thalweg_loads_two_modules():
    run = subprocess.run([sys.executable, "-c", LOADED, "thalweg"], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)[1] == ["thalweg", "thalweg.version"]


@pytest.mark.parametrize("face", FACES)
def test_every_public_name_is_there_and_explained(face):
    """A dataclass without a docstring gets its signature as one, which explains nothing."""
    module = importlib.import_module(face)
    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
            explanation = value.__doc__ or ""
            assert len(explanation) > 15, f"{face}.{name} has no docstring"
            assert not explanation.startswith(f"{name}("), f"{face}.{name} has no docstring but its signature"


@pytest.mark.parametrize("face", FACES)
def test_a_public_name_is_listed_by_dir_and_an_unknown_one_is_an_attribute_error(face):
    module = importlib.import_module(face)
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", FILES)
def test_a_module_starts_with_its_idea(name):
    explanation = ast.get_docstring(ast.parse(FILES[name].read_text(encoding="utf-8")))
    assert explanation
    assert len(explanation) > 15


def test_no_file_imports_itself_in_the_end():
    """No circle of files, imports within functions and for annotations counted: each can be read, and moved, without the others."""
    arrows = {name: imported(name) for name in FILES}
    while arrows:
        free = [name for name, to in arrows.items() if not to & arrows.keys()]
        assert free, f"circles among {sorted(arrows)}"
        for name in free:
            del arrows[name]


def imported(name: str) -> set[str]:
    """The files that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {file_of(each.name) for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            found |= {file_of(f"{node.module}.{each.name}") or file_of(str(node.module)) for each in node.names}
    return found - {None, name}


def file_of(module: str) -> str | None:
    """The name in FILES of a module or package."""
    return next((name for name in (module, f"{module}.__init__") if name in FILES), None)
