"""Runs that wait for each other: a sum over all tensors of a model needs every table's part of it before any can go on.

A run is a generator that yields its parts of the sums of a phase, is sent the totals, and returns its result:

    totals = yield [part, ...]
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeAlias

Run: TypeAlias = Generator[list[float], list[float], Any]


def merged(runs: Sequence[Run]) -> Run:
    """Several runs as one: it yields the sums of their parts, hands on the totals, and returns the list of their results."""
    results: list[Any] = [None] * len(runs)
    waiting: dict[int, list[float]] = {}

    def advance(k: int, totals: list[float] | None) -> None:
        waiting.pop(k, None)
        try:
            waiting[k] = runs[k].send(totals) if totals is not None else next(runs[k])
        except StopIteration as end:
            results[k] = end.value

    for k in range(len(runs)):
        advance(k, None)
    while waiting:
        width = max(map(len, waiting.values()))
        totals = yield [sum(parts[i] for parts in waiting.values() if i < len(parts)) for i in range(width)]
        for k, parts in list(waiting.items()):
            advance(k, totals[: len(parts)])
    return results


def finished(run: Run) -> Any:
    """The result of a run whose parts are all there is."""
    try:
        parts = next(run)
        while True:
            parts = run.send(parts)
    except StopIteration as end:
        return end.value
