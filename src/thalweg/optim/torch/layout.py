"""How tensors lie in memory: what a kernel that goes by addresses has to know before it takes them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def dense(p: Tensor) -> bool:
    """Whether the elements fill one stretch of memory, in any order of the axes (channels-last is dense, a column is not)."""
    if p.layout != torch.strided:
        return False
    expected = 1
    for stride, size in sorted((stride, size) for stride, size in zip(p.stride(), p.shape, strict=True) if size != 1):
        if stride != expected:
            return False
        expected *= size
    return True


def overlapping(owned: list[tuple[int, Tensor]]) -> set[int]:
    """The owners, by their numbers, of tensors that share memory with another one: they have to be stepped in turn."""
    strided = [
        (owner, x) for owner, x in owned if type(x) in (Tensor, torch.nn.Parameter) and x.layout == torch.strided and x.numel()
    ]
    begin = np.array([x.data_ptr() for _, x in strided], dtype=np.int64)
    order = np.argsort(begin, kind="stable")
    span = [1 + sum((n - 1) * abs(s) for n, s in zip(x.shape, x.stride(), strict=True)) for _, x in strided]
    end = begin + np.array([n * x.element_size() for n, (_, x) in zip(span, strided, strict=True)], dtype=np.int64)
    furthest = np.maximum.accumulate(end[order])
    apart = begin[order][1:] >= furthest[:-1]  # a tensor that begins after all before it have ended begins a new cluster
    cluster = np.concatenate([[0], np.cumsum(apart)]).astype(np.int64)[: len(order)]
    crowded = np.bincount(cluster)[cluster] > 1
    return {strided[k][0] for k in order[crowded].tolist()}


def backed(x: Tensor) -> bool:
    """Whether the elements have memory: who resizes a storage (to free it for a while) leaves shape and strides as they were."""
    if type(x) not in (Tensor, torch.nn.Parameter) or x.layout != torch.strided or not x.numel():
        return True
    last = x.storage_offset() + 1 + sum((n - 1) * s for n, s in zip(x.shape, x.stride(), strict=True))
    return bool(x.untyped_storage().nbytes() >= last * x.element_size())
