"""Make src/thalweg/boxes.ttf: a font with one glyph, a box as wide as it is high, for every character.

Text that stays text is measured with it wherever DejaVu Sans, which matplotlib ships, has no glyph: Chinese characters are as
wide as they are high in every font, so a picture has the same bytes on every machine, whatever fonts it has. fontTools comes with
matplotlib.

    python scripts/boxes_font.py
"""

from __future__ import annotations

import io
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib.tables._c_m_a_p import cmap_format_13

TARGET = Path(__file__).resolve().parent.parent / "src" / "thalweg" / "boxes.ttf"
EM = 1000
FAMILY = "thalweg boxes"


def box() -> object:
    pen = TTGlyphPen(None)
    for low, high, ahead in ((60, 940, True), (110, 890, False)):  # an outline of 50
        corners = [(low, low - 120), (low, high - 120), (high, high - 120), (high, low - 120)]
        first, *rest = corners if ahead else corners[::-1]
        pen.moveTo(first)
        for corner in rest:
            pen.lineTo(corner)
        pen.closePath()
    return pen.glyph()


def made() -> bytes:
    builder = FontBuilder(EM, isTTF=True)
    builder.setupGlyphOrder([".notdef", "box"])
    builder.setupCharacterMap({0x20: "box"})
    builder.setupGlyf({".notdef": box(), "box": box()})
    builder.setupHorizontalMetrics({".notdef": (EM, 60), "box": (EM, 60)})
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": FAMILY, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=880, sTypoDescender=-120, usWinAscent=880, usWinDescent=120, usWeightClass=400)
    builder.setupPost()
    everything = cmap_format_13(13)
    everything.platformID, everything.platEncID, everything.language = 3, 10, 0
    everything.cmap = dict.fromkeys(range(0x20, 0x110000), "box")  # many to one: a single range in the file
    font = builder.font
    font["cmap"].tables = [everything]
    font["head"].created = font["head"].modified = 0
    font.recalcTimestamp = False
    out = io.BytesIO()
    font.save(out)
    return out.getvalue()


if __name__ == "__main__":
    TARGET.write_bytes(made())
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")
