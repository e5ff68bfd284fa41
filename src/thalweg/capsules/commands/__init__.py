"""The commands of `thalweg capsules`. Only these modules may print and know options. A command is added here, in one line."""

from __future__ import annotations

from thalweg.options import Group

GROUP = Group(
    "capsules",
    help="One soft-min energy: clusters of rows, hard or soft.",
    lazy={
        "cluster": ("thalweg.capsules.commands.clustering:cluster", "Clusters of the rows of a table, hard or soft."),
    },
    examples=["thalweg capsules cluster digits --n-clusters 10 --out clusters"],
)
