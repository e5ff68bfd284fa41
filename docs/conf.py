"""Sphinx settings. Offline: no page loads anything from outside (scripts/check_site.py checks the built pages)."""

from __future__ import annotations

import os
import re

from docutils import nodes

from thalweg.page import formula
from thalweg.version import __version__

os.environ.setdefault("KERAS_BACKEND", "torch")  # Keras takes TensorFlow, where nothing is said

project = "thalweg"
author = "The thalweg authors"
copyright = "the thalweg authors, Apache-2.0"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "thalweg"
html_copy_source = False
html_math_renderer = "mathtext"
html_theme_options = {"footer_icons": []}
html_css_files: list[str] = []
html_static_path = ["_static"]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
default_role = "code"  # a single backtick in a docstring is code


def setup(app):  # type: ignore[no-untyped-def]
    """Formulas as pictures with TeX's shapes, as in the gallery: no script to load, the same everywhere."""

    def inline(self, node):  # type: ignore[no-untyped-def]
        self.body.append(formula(node.astext()))
        raise nodes.SkipNode

    def display(self, node):  # type: ignore[no-untyped-def]
        self.body.append(f'<p class="formula-display">{formula(node.astext())}</p>')
        raise nodes.SkipNode

    def plain(app, what, name, obj, options, lines):  # type: ignore[no-untyped-def]
        """Our docstrings are text: |p| is a norm and energy_path_ a name, neither is markup. Code in backticks stays."""
        for k, line in enumerate(lines):
            parts = line.split("`")
            parts[::2] = [re.sub(r"(?<=\w)_(?!\w)", r"\\_", part.replace("|", r"\|")) for part in parts[::2]]
            lines[k] = "`".join(parts)

    app.connect("autodoc-process-docstring", plain)
    app.add_html_math_renderer("mathtext", (inline, None), (display, None))
    app.add_css_file("formulas.css")
