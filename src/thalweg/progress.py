"""How long work tells how far it is: the one protocol that algorithms call and commands show."""

from __future__ import annotations

from typing import Any, Protocol


class Progress(Protocol):
    """What the library's `progress=` parameters take: how much of `total` (None: unknown) is done, and figures by name.

    A new `phase=` (a few words) starts a new bar or line; `unit=` says what done and total count ("bytes", "epochs"); others are
    shown as they are (`energy=`, `tokens_per_second=`).
    """

    def __call__(self, done: float, total: float | None, **numbers: Any) -> None: ...
