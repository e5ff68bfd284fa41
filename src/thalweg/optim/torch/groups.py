"""Parameter groups: which parameters are decayed.

Weight decay is meant for matrices: it keeps the function that they compute from growing. Biases and the gains of norms are one
number for each channel, and embeddings of positions are no maps; they are usually left alone.
"""

from __future__ import annotations

from typing import Any

import torch


def decay_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups of a model: those with two axes or more, with that decay, and biases, norms and all else with none.

    Named as torch names them: [{"params": [(name, p), ...], "weight_decay": ...}, ...]. A shared parameter comes once; frozen ones
    are left out. Any optimizer takes them: AdamW(decay_groups(model, 0.1), lr=3e-4).
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    norms = {id(p) for part in model.modules() if "norm" in type(part).__name__.lower() for p in part.parameters(recurse=False)}
    kept = [(name, p) for name, p in named if p.dim() > 1 and id(p) not in norms]
    decayed = {id(p) for _, p in kept}
    rest = [(name, p) for name, p in named if id(p) not in decayed]
    groups = [{"params": kept, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
