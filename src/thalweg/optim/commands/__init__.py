"""The commands of `thalweg optim`. Only these modules may print and know options. A command is added here, in one line."""

from __future__ import annotations

from thalweg.options import Group

GROUP = Group(
    "optim",
    help="Optimisers: every rule written once, shown, raced, and understood.",
    lazy={
        "list": ("thalweg.optim.commands.rules:list_", "All rules, and what a step of each costs."),
        "show": ("thalweg.optim.commands.rules:show", "Formula, source, code, program and cost of a rule."),
        "race": ("thalweg.optim.commands.racing:race", "Rules against each other, at their best rates."),
        "stability": ("thalweg.optim.commands.stability:stability", "The largest learning rate at which a rule works."),
        "diagnose": ("thalweg.optim.commands.diagnosing:diagnose", "Which rate a training script can take, and why."),
    },
    examples=["thalweg optim show adam", "thalweg optim race adam lion --on rosenbrock"],
)
