"""The verbs of `thalweg words`. Only these modules may print and know options. A command is added here, in one line."""

from __future__ import annotations

from thalweg.options import Group

GROUP = Group(
    "words",
    help="Word vectors from a raw corpus, and what their geometry answers.",
    lazy={
        "fit": ("thalweg.words.commands.fitting:fit", "Make word vectors from texts."),
        "check": ("thalweg.words.commands.fitting:check", "Say what fit would read, and what it would take."),
        "count": ("thalweg.words.commands.fitting:count", "Count which words stand near each other."),
        "solve": ("thalweg.words.commands.fitting:solve", "Make vectors from counts."),
        "related": ("thalweg.words.commands.asking:related", "Words that occur together with a word."),
        "similar": ("thalweg.words.commands.asking:similar", "Words that are used like a word."),
        "analogy": ("thalweg.words.commands.asking:analogy", "Solve a - b + c."),
        "keywords": ("thalweg.words.commands.texts:keywords", "The words of a text that say most about it."),
        "similarity": ("thalweg.words.commands.texts:similarity", "How alike two texts are."),
        "vector": ("thalweg.words.commands.texts:vector", "The vector of a text."),
        "importance": ("thalweg.words.commands.texts:importance", "How much words matter."),
        "pmi": ("thalweg.words.commands.asking:pmi", "How much more often two words meet than by chance."),
        "shell": ("thalweg.words.commands.shell:shell", "Ask many questions, one on a line."),
        "map": ("thalweg.words.commands.mapping:map_", "Draw words in the plane."),
        "evaluate": ("thalweg.words.commands.evaluating:evaluate", "Score vectors on test sets, alone or beside others."),
        "export": ("thalweg.words.commands.converting:export", "Write vectors for other programs."),
        "import": ("thalweg.words.commands.converting:import_", "Read other programs' vectors."),
    },
    examples=["thalweg words fit docs: --out vec", "thalweg words related vec matrix"],
)
