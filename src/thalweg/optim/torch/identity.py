"""Whether lists and dicts hold the very same tensors as before: a parameter or a slot may have been put in the place of another.

Python compares lists and dicts in one call, and takes for equal what is the same object without asking it. It asks two tensors only
where they are not the same; so whoever asks is told no.
"""

from __future__ import annotations

from typing import Any

from torch.overrides import TorchFunctionMode


class _Others(Exception):
    """Two tensors that are not one."""


class _ByIdentity(TorchFunctionMode):  # type: ignore[misc]
    def __torch_function__(self, *_: Any) -> Any:
        raise _Others


def identical(now: object, before: object) -> bool:
    """Whether nested lists and dicts are equal where any two tensors differ that are not the same object."""
    with _ByIdentity():
        try:
            return now == before
        except (_Others, RuntimeError, TypeError, ValueError):  # what else stands in a state may be no less choosy
            return False
