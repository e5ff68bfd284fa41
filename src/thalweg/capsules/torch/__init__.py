"""Capsules for PyTorch: `route` and `squash` for tensors, the layer `Capsules`, `MarginLoss`, and networks."""

from __future__ import annotations

from thalweg.needs import needs

needs("torch", "thalweg.capsules.torch")

from thalweg.capsules.torch.layers import Capsules, MarginLoss
from thalweg.capsules.torch.lengths import squash
from thalweg.capsules.torch.networks import CapsNet, Decoder, PairNet, PrimaryCapsules, Seen
from thalweg.capsules.torch.routing import route

__all__ = ["CapsNet", "Capsules", "Decoder", "MarginLoss", "PairNet", "PrimaryCapsules", "Seen", "route", "squash"]
