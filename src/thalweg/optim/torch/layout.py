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


def overlapping(parameters: list[Tensor]) -> set[int]:
    """Ids of the parameters that share memory with another one: they have to be stepped in turn."""
    strided = [p for p in parameters if type(p) in (Tensor, torch.nn.Parameter) and p.layout == torch.strided and p.numel()]
    begin = np.array([p.data_ptr() for p in strided], dtype=np.int64)
    order = np.argsort(begin, kind="stable")
    span = [1 + sum((n - 1) * abs(s) for n, s in zip(p.shape, p.stride(), strict=True)) for p in strided]
    end = begin + np.array([n * p.element_size() for n, p in zip(span, strided, strict=True)], dtype=np.int64)
    furthest = np.maximum.accumulate(end[order])
    apart = begin[order][1:] >= furthest[:-1]  # a tensor that begins after all before it have ended begins a new cluster
    cluster = np.concatenate([[0], np.cumsum(apart)]).astype(np.int64)[: len(order)]
    crowded = np.bincount(cluster)[cluster] > 1
    return {id(strided[k]) for k in order[crowded].tolist()}
