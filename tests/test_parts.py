"""A part that is entered in one place is mounted everywhere; so are a command, a page and a section of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from thalweg.parts import PARTS

TOY = {
    "toys/__init__.py": "",
    "toys/commands/__init__.py": """
from thalweg.options import Group
GROUP = Group("toys", help="Toys.", lazy={"spin": ("toys.commands.spinning:spin", "Spin a top.")})
""",
    "toys/commands/spinning.py": """
from thalweg import options
@options.command("spin", examples=["thalweg toys spin"])
def spin():
    "Spin a top."
    print("it spins")
""",
    "toys/tour.py": """
from thalweg.page import Section
def section(locale="en", progress=None):
    return Section("Toys", [], [])
""",
    "toys/gallery/__init__.py": """
from thalweg.page import GalleryEntry
PAGES = {"toys-top": GalleryEntry("toys.gallery.top:page", {"en": "A top", "zh": "陀螺"}, {"en": "It spins.", "zh": "它在转。"})}
""",
    "toys/gallery/top.py": """
from thalweg.page import GalleryPage, tag
def page(locale):
    return GalleryPage(title="A top", lead="It spins.", body=[tag("p", "round and round")])
""",
}

ENTERED = """
import json
from thalweg.parts import PARTS, Part
PARTS["toys"] = Part("toys", "Toys to play with.", budget=5)
from click.testing import CliRunner
from thalweg import cli, gallery, tour
run = lambda *args: CliRunner().invoke(cli.program, args).stdout
print(json.dumps({
    "help": run("--help"), "group": run("toys", "--help"), "verb": run("toys", "spin"),
    "pages": sorted(name for name in gallery.build() if name.startswith("toys")), "section": tour.SECTIONS["toys"].place,
}))
"""


def test_a_part_is_entered_in_one_place(tmp_path: Path) -> None:
    for name, text in TOY.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    run = subprocess.run([sys.executable, "-c", ENTERED], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert "Toys to play with." in found["help"]
    assert "Spin a top." in found["group"]
    assert found["verb"] == "it spins\n"
    assert found["pages"] == ["toys-top.html", "toys-top.zh.html"]
    assert found["section"] == "toys.tour:section"


def test_every_part_has_its_rooms() -> None:
    for part in PARTS.values():
        folder = Path(sys.modules["thalweg"].__path__[0], *part.home.split(".")[1:])
        assert all((folder / name).exists() for name in ("commands/__init__.py", "tour.py", "gallery/__init__.py"))
