"""Which fonts pictures are drawn with, so that a machine without Chinese fonts draws them too.

Text that stays text (SVG) is measured with the DejaVu Sans that matplotlib ships, and for all other characters with `boxes.ttf`,
whose boxes are as wide as they are high, as Chinese characters are in every font: a picture has the same bytes on every machine,
and the reader's browser finds the glyphs. Only pixels need glyphs of this machine: the simplified face of the first family that is
there, else boxes, and one line that says what brings them.

matplotlib knows fonts by name and weight, and complains of each that is not there as asked; so they get names of our own, in the
weights that we use.
"""

from __future__ import annotations

import dataclasses
import functools
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LATIN, BOXES, CHINESE = "thalweg Latin", "thalweg boxes", "thalweg Chinese"
FAMILIES = (
    "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "PingFang SC", "Microsoft YaHei",
    "SimHei", "Heiti TC", "Noto Serif CJK SC", "Droid Sans Fallback",
)  # fmt: skip
_BROWSER = {  # what SVG says in their place
    LATIN: "'DejaVu Sans'",
    BOXES: "'Noto Sans CJK SC', 'Source Han Sans SC', 'PingFang SC', 'Microsoft YaHei', sans-serif",
}
WEIGHTS = (400, 700)
_FILE = Path(__file__).with_name("boxes.ttf")


@functools.cache
def everywhere() -> list[str]:
    """Families that have a width for every character on every machine, but no glyphs beyond those of LATIN."""
    import matplotlib
    from matplotlib import font_manager

    font_manager.fontManager.addfont(_FILE)
    own = matplotlib.get_data_path()  # a machine may have another version of DejaVu Sans
    latin = [entry for entry in font_manager.fontManager.ttflist if entry.name == "DejaVu Sans" and entry.fname.startswith(own)]
    boxes = next(entry for entry in font_manager.fontManager.ttflist if entry.name == BOXES)
    _enter(LATIN, [(face, face.weight) for face in latin])
    _enter(BOXES, [(boxes, weight) for weight in WEIGHTS])
    return [LATIN, BOXES]


def in_svg(style: str) -> str:
    """A style of matplotlib's as a browser understands it."""
    for name, families in _BROWSER.items():
        style = style.replace(f"'{name}'", families)
    return style


@functools.cache
def here() -> list[str]:
    """Families with the glyphs of this machine, and boxes for what none has."""
    known = everywhere()
    return known if cjk_family() is None else [LATIN, CHINESE, BOXES]


@functools.cache
def cjk_family() -> str | None:
    """The family whose Chinese glyphs are drawn, or None: first out of matplotlib's list, then what fontconfig knows."""
    from matplotlib import font_manager

    wanted = [name for name in FAMILIES if any(entry.name == name for entry in font_manager.fontManager.ttflist)]
    if not wanted:
        added = _from_fontconfig()
        wanted = [name for name in FAMILIES if name in added] or sorted(added, key=lambda name: ("Mono" in name, name))
    if not wanted:
        return None
    faces = [entry for entry in font_manager.fontManager.ttflist if entry.name == wanted[0] and entry.style == "normal"]
    faces = faces or [entry for entry in font_manager.fontManager.ttflist if entry.name == wanted[0]]
    _enter(CHINESE, [(min(faces, key=lambda face: abs(_weight(face) - weight)), weight) for weight in WEIGHTS])
    return wanted[0]


def _from_fontconfig() -> set[str]:
    """The names of fonts with Chinese glyphs that matplotlib's list, made when they were not there yet, did not have."""
    from matplotlib import font_manager

    try:
        listed = subprocess.run(["fc-list", ":lang=zh", "file"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return set()
    before = len(font_manager.fontManager.ttflist)
    for path in sorted(line.rstrip(": ") for line in listed.splitlines()):
        try:
            font_manager.fontManager.addfont(path)
        except (OSError, RuntimeError):
            continue
    return {entry.name for entry in font_manager.fontManager.ttflist[before:]}


def _enter(name: str, faces: Iterable[tuple[Any, Any]]) -> None:
    """Enter faces under a name and weights of our own."""
    from matplotlib import font_manager

    known: Any = font_manager.fontManager
    entries = [dataclasses.replace(face, name=name, weight=weight) for face, weight in faces]
    known.ttflist = [*(entry for entry in known.ttflist if entry.name != name), *entries]
    known._findfont_cached.cache_clear()


def _weight(face: Any) -> int:
    from matplotlib import font_manager

    return int(font_manager.weight_dict.get(face.weight, 400) if isinstance(face.weight, str) else face.weight)


def lacking(texts: Iterable[str]) -> str:
    """The characters of texts for which this machine has no glyph, each once."""
    from matplotlib import font_manager

    paths = [font_manager.fontManager.findfont(font_manager.FontProperties(family=[name])) for name in here() if name != BOXES]
    fonts = [font_manager.get_font(path) for path in paths]
    characters = sorted({ch for text in texts for ch in text if ch.isprintable() and not ch.isspace()})
    return "".join(ch for ch in characters if not any(font.get_char_index(ord(ch)) for font in fonts))


__all__ = ["cjk_family", "everywhere", "here", "in_svg", "lacking"]
