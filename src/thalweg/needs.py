"""Libraries that some feature needs and others do not: imported when they are used, with the command that brings a missing one.

    opencc = needs("opencc", "convert='t2s'")        # the module, or MissingExtraError with the command

A feature that needs another library enters it here; `thalweg doctor` lists them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from thalweg.errors import MissingExtraError


@dataclass(frozen=True)
class Extra:
    """package: its name on PyPI; use: what it is for; install: what pip is given."""

    package: str
    use: str
    install: str


EXTRAS = {  # by the name that is imported
    "torch": Extra("torch", "optimizers for PyTorch, and whatever trains networks", "'thalweg[torch]'"),
    "keras": Extra("keras", "optimizers for Keras", "'thalweg[keras]'"),
    "jax": Extra("jax", "optimizers for optax", "'thalweg[jax]'"),
    "optax": Extra("optax", "optimizers for optax", "'thalweg[jax]'"),
    "zstandard": Extra("zstandard", "texts compressed with Zstandard", "zstandard"),
    "opencc": Extra("opencc", "traditional Chinese to simplified, and back", "opencc"),
    "umap": Extra("umap-learn", "maps by UMAP", "umap-learn"),
    "gensim": Extra("gensim", "vectors handed over to gensim", "gensim"),
}


def needs(name: str, what: str = "this") -> ModuleType:
    """The module of that name. Raises MissingExtraError, which says that `what` needs it, and the command."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        top = name.partition(".")[0]
        missing = isinstance(error, ModuleNotFoundError) and error.name == top
        state = "is not installed" if missing else f"cannot be imported ({error})"
        msg = f"{what} needs the package {EXTRAS[top].package}, which {state}: pip install {EXTRAS[top].install}"
        raise MissingExtraError(msg) from None
