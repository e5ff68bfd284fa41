"""Rules as torch optimizers: `Optimizer(params, rule)`, and torch.optim's own names, `Adam(params, lr=1e-3)`."""

from thalweg.needs import needs

needs("torch", "thalweg.optim.torch")

from thalweg.optim.torch.averages import EMA, Lookahead, Polyak
from thalweg.optim.torch.groups import decay_groups
from thalweg.optim.torch.named import (
    LAMB,
    LARS,
    SGD,
    AdaBelief,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
    ScheduleFree,
)
from thalweg.optim.torch.optimizer import Optimizer

__all__ = [
    "EMA",
    "LAMB",
    "LARS",
    "SGD",
    "AdaBelief",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Lookahead",
    "Muon",
    "NAdam",
    "Optimizer",
    "Polyak",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFree",
    "decay_groups",
]
