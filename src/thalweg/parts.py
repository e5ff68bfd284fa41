"""The parts of thalweg. One that is entered here is mounted by the command line, the tour and the gallery.

A part is a package with `commands/__init__.py: GROUP`, `tour.py: section(locale=..., ...) -> Section` and `gallery/__init__.py:
PAGES`. Nothing of it is imported before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """home: its package; summary: its line in `thalweg --help`; budget: seconds of wall time that its section of the tour takes on
    two cores; takes: the tour's options that it wants.
    """

    home: str
    summary: str
    budget: float
    takes: tuple[str, ...] = ()


PARTS: dict[str, Part] = {
    "words": Part(
        "thalweg.words",
        "Word vectors from a raw corpus: related, similar, analogy.",
        budget=60,
        takes=("corpus", "keep", "encoding"),
    ),
    "optim": Part("thalweg.optim", "Optimisers: list them, see what they do, race them.", budget=20),
    "capsules": Part("thalweg.capsules", "Clusters by one soft-min energy, hard or soft.", budget=30),
}
