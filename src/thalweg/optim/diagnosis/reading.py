"""What reading a problem's data would change for good: random generators that a loader holds, and streams that end.

Both may lie anywhere below the loader: in its sampler, its batch sampler's sampler, its data set, or what these are made from.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

DEPTH = 5  # attributes of attributes: DataLoader, batch sampler, sampler, data set, what it wraps
WIDTH = 64  # entries of a list or dictionary that are looked at; more are data
GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
OPAQUE = (torch.Tensor, torch.nn.Module, np.ndarray, str, bytes, int, float, type)


def generators(data: object) -> list[Any]:
    """The random generators below an object, each once."""
    return [each for each in _below(data) if isinstance(each, GENERATORS)]


def state_of(generator: Any) -> Any:
    """Where a generator stands."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def set_state(generator: Any, state: Any) -> None:
    """Put a generator where `state_of` has found it."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


def read_once(data: Iterable[Any]) -> str:
    """Why the data can be read only once, "" if nothing says so. Nothing is read."""
    if isinstance(data, Iterator):
        return f"it is a {type(data).__name__}"
    if isinstance(data, torch.utils.data.DataLoader):
        streams = [data.sampler, data.batch_sampler, getattr(data.batch_sampler, "sampler", None)]
        streams += [data.dataset] if isinstance(data.dataset, torch.utils.data.IterableDataset) else []
    elif hasattr(data, "__getitem__"):
        return ""
    else:
        streams = [data]
    for stream in streams:
        for each in (stream, *getattr(stream, "__dict__", {}).values()):
            if isinstance(each, Iterator):
                return f"{type(stream).__name__} holds a {type(each).__name__}"
    return ""


def _below(data: object) -> Iterator[object]:
    """The object and what its attributes, lists and dictionaries hold, to a depth, each once."""
    seen, level = {id(data)}, [data]
    for _ in range(DEPTH):
        found: list[object] = []
        for each in level:
            yield each
            for part in _parts(each):
                if id(part) not in seen and not isinstance(part, OPAQUE):
                    seen.add(id(part))
                    found.append(part)
        level = found
    yield from level


def _parts(x: object) -> Iterable[object]:
    if isinstance(x, GENERATORS):
        return ()
    if isinstance(x, Mapping):
        return list(x.values()) if len(x) <= WIDTH else ()
    if isinstance(x, list | tuple):
        return x if len(x) <= WIDTH else ()
    return list(getattr(x, "__dict__", {}).values())
