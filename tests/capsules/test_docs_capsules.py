"""The chapter on clusters runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "capsules.md"


def test_the_blocks_of_the_chapter_run_and_have_the_shapes_that_it_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    session: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(block, session)
    shapes = [np.shape(session[name]) for name in ("v", "c", "energy")]  # type: ignore[arg-type]
    assert ", ".join(map(str, shapes)) in text
    assert (np.diff(session["energy"]) <= 1e-12).all()  # type: ignore[call-overload]
