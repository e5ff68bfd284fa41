"""Docstrings found without parsing, against Python's own parser on a sample of the standard library."""

from __future__ import annotations

import ast
import collections
import random
import sysconfig
from pathlib import Path

import pytest

from thalweg.words.text.docstrings import docstrings, packages, paragraphs


def parsed(source: str) -> list[str]:
    """The docstrings that Python sees, escapes resolved."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node, clean=False) for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))
    return [doc for doc in found if doc]


def plain(doc: str) -> str:
    """Escape sequences look different before and after they are resolved: without backslashes and what they bring."""
    return "".join(doc.replace("\\\n", "").replace("\\", "").split())


@pytest.fixture(scope="module")
def sample() -> list[str]:
    """200 files of the standard library, always the same ones for one version of Python."""
    root = Path(sysconfig.get_path("stdlib"))
    left_out = {"test", "tests", "idle_test", "site-packages", "lib2to3", "__pycache__"}
    paths = sorted(path for path in root.rglob("*.py") if not left_out & set(path.relative_to(root).parts))
    return [path.read_text(encoding="utf-8", errors="ignore") for path in random.Random(0).sample(paths, 200)]


def test_nearly_all_docstrings_are_found_and_little_else(sample: list[str]) -> None:
    """Counted in characters: recall at least 0.97, precision at least 0.98 (the module's docstring says 98% and 99%)."""
    right = there = found = 0
    for source in sample:
        true = collections.Counter(map(plain, parsed(source)))
        ours = collections.Counter(map(plain, docstrings(source)))
        there += sum(len(doc) * n for doc, n in true.items())
        found += sum(len(doc) * n for doc, n in ours.items())
        right += sum(len(doc) * n for doc, n in (true & ours).items())
    assert there > 100_000
    assert right / there >= 0.97
    assert right / found >= 0.98


SOURCE = '''# a comment
"""Of the module."""
x = """no docstring"""
def f(a: int = {"a": 1}["a"],
      b=2) -> str:  # a comment: with a colon
    # another

    r"""Of f,
    on two lines.
    """
    """not the first thing"""
    y = {"key":
         """a value"""}
class C:
    \'\'\'Of C.\'\'\'
    async def g(self):
        u"""Of g."""
    def h(self): return b"""bytes"""
    def i(self):
        f"""formatted {x}"""
'''


def test_where_docstrings_stand() -> None:
    """After a line that opens a block, or first in a file; not bytes, not formatted, not a value."""
    found = [plain(doc) for doc in docstrings(SOURCE)]
    assert [doc for doc in found if doc != "avalue"] == ["Ofthemodule.", "Off,ontwolines.", "OfC.", "Ofg."]


def test_a_paragraph_is_one_line_and_examples_are_left_out() -> None:
    doc = """A summary
    on two lines.

        Indented   and    spaced.
    \t
    >>> f(1)
    2
    >>> f(2)
    4

    The end."""
    assert paragraphs(doc) == ["A summary on two lines.", "Indented and spaced.", "The end."]
    assert paragraphs("") == paragraphs("\n  \n") == paragraphs(">>> 1\n1") == []


def test_packages_yield_text_in_blocks_with_a_paragraph_a_line() -> None:
    texts = packages()
    assert list(texts)[:2] == ["reference", "stdlib"]
    assert "numpy" in texts
    block, _ = next(texts["reference"]())
    lines = block.decode().splitlines()
    assert len(lines) > 1
    assert all(line.strip() and ">>>" not in line[:3] for line in lines)
    whole = b"".join(text for text, _ in texts["click"]()).decode()
    assert "Click is a simple Python module inspired by the stdlib optparse" in whole
    assert ">>> " not in {line[:4] for line in whole.splitlines()}
