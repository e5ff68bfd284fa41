"""A training problem as its owner hands it over, and a copy of it that may be moved and measured.

    model, loss, data, optimizer = make_problem()         # loss(model, batch) -> the mean loss of the batch, a number

Everything is measured on a deep copy of model and optimizer, under random numbers of its own: what the owner holds stays as it is,
bit for bit, also when his loss raises.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg.errors import InputError
from thalweg.optim.diagnosis.reading import generators, read_once, set_state, state_of

OUTSIDE = "a parameter outside of the model"
HUGE = 1e10  # a parameter beyond it, or none that is finite, means that a run has blown up
Loss = Callable[[torch.nn.Module, Any], Tensor]


@dataclass
class Problem:
    """A copy of a model, its optimizer and the loss, and some batches. `parameters` are those that the optimizer moves."""

    model: torch.nn.Module
    loss: Loss
    batches: list[Any]
    optimizer: torch.optim.Optimizer
    data: Iterable[Any]
    seed: int = 0
    precise: bool = False
    hooked: int = 0  # parameters of the owner with gradient hooks, which a copy does not have

    def __post_init__(self) -> None:
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.requires_grad]
        if any(p.is_complex() for p in self.parameters):
            msg = "the optimizer moves complex parameters, whose curvature and noise are not measured: hold their two parts"
            raise InputError(msg)
        own = {id(p) for p in self.model.parameters()}
        if not self.parameters or not own & {id(p) for p in self.parameters}:
            msg = "the optimizer moves no parameter of the model: make it from model.parameters()"
            raise InputError(msg)
        self.sizes = [samples(batch) for batch in self.batches]
        names = {id(p): name for name, p in self.model.named_parameters()}
        self.names = [names.get(id(p), OUTSIDE) for p in self.parameters]

    @property
    def n(self) -> int:
        """How many numbers the optimizer moves."""
        return sum(p.numel() for p in self.parameters)

    @property
    def started(self) -> bool:
        """Whether the optimizer has taken steps. (Adagrad's state is there before them, at step 0.)"""
        return any(state and float(state.get("step", 1)) for state in self.optimizer.state.values())

    @property
    def size(self) -> float:
        """Samples in a batch; of uneven ones the harmonic mean, as noise goes by 1 / size."""
        return len(self.sizes) / sum(1 / size for size in self.sizes)

    @property
    def kind(self) -> torch.dtype:
        """Of a flat vector: float64 if any parameter is, float32 otherwise."""
        return functools.reduce(torch.promote_types, (_real(p) for p in self.parameters))

    def value(self, k: int) -> Tensor:
        """The loss of batch k, with a graph; the same dropout mask each time. InputError for what is no finite number."""
        reseed(self.seed + k)
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
            loss = self.loss_of(self.batches[k])
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            msg = f"loss(model, batch) returned {what}: it must be one number, the mean over the batch, as a tensor"
            raise InputError(msg)
        if not loss.requires_grad:
            msg = "the loss does not depend on the model's parameters (it was detached, or uses another model than it is given)"
            raise InputError(msg)
        if not torch.isfinite(loss.detach()).all():
            msg = f"the loss of batch {k + 1} is {loss.item()}: start from weights and data whose loss is finite"
            raise InputError(msg)
        return loss.reshape(())

    def loss_of(self, batch: object) -> Tensor:
        """What the owner's loss makes of a batch, or rather of a copy of it: he may normalise it in place."""
        batch = copy.deepcopy(batch)
        return self.loss(self.model, in_double(batch) if self.precise else batch)

    def twin(self) -> Problem:
        """Another copy, that of this one as it stands."""
        model, loss, optimizer = copy.deepcopy((self.model, self.loss, self.optimizer))
        return Problem(model, loss, self.batches, optimizer, self.data, self.seed, self.precise)

    def in_double(self) -> Problem | None:
        """Another copy, of the model alone and without its optimizer, in float64; None where the loss brings float32 of its own."""
        model, loss, parameters = copy.deepcopy((self.model, self.loss, self.parameters))
        model.double()
        for p in parameters:
            p.data = p.data.double()
        made = Problem(model, loss, self.batches, torch.optim.SGD(parameters, lr=0.0), self.data, self.seed, True)
        try:
            made.value(0)
        except (RuntimeError, TypeError, ValueError):
            return None
        return made

    def set_rate(self, lr: float) -> None:
        """Give the first group this rate, and the others their ratio to it. InputError for an optimizer without one."""
        groups = self.optimizer.param_groups
        if "lr" not in groups[0]:
            msg = f"{type(self.optimizer).__name__} has no learning rate to change"
            raise InputError(msg)
        before = [float(group["lr"]) for group in groups]
        for group, rate in zip(groups, before, strict=True):
            group["lr"] = lr * (rate / before[0] if before[0] else 1.0)

    def step(self, batch: object) -> float:
        """Train on a batch; the loss before the step, infinite where the run has blown up so that the loss raises."""
        losses = list[float]()

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = self.loss_of(batch)
            if torch.isfinite(loss.detach()).all():
                torch.autograd.backward(loss, inputs=self.parameters)  # and into nothing else that the owner's loss may reach
            losses.append(float(loss.detach()))
            return loss

        try:
            self.optimizer.step(closure)
        except (RuntimeError, ValueError):
            if all(float(p.detach().abs().max()) < HUGE for p in self.parameters if p.numel()):
                raise
            return math.inf
        return losses[0]

    def gradient(self, k: int) -> tuple[float, list[Tensor | None]]:
        """The loss of batch k and its gradient, None for parameters that it does not reach."""
        loss = self.value(k)
        with sdpa_kernel(SDPBackend.MATH):
            found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        return float(loss.detach()), [g.to_dense() if g is not None and g.is_sparse else g for g in found]

    def flat(self, tensors: Iterable[Tensor | None]) -> Tensor:
        """One vector of all parameters' numbers, in float32 or better; zeros for None."""
        pairs = zip(tensors, self.parameters, strict=True)
        return torch.cat([(torch.zeros_like(p) if g is None else g).detach().reshape(-1).to(_real(p)) for g, p in pairs])

    def split(self, vector: Tensor) -> list[Tensor]:
        """The vector as tensors like the parameters."""
        parts = vector.split([p.numel() for p in self.parameters])
        return [part.view_as(p).to(p.dtype) for part, p in zip(parts, self.parameters, strict=True)]


def _real(p: Tensor) -> torch.dtype:
    return torch.promote_types(p.dtype, torch.float32)


def in_double(batch: Any) -> Any:
    """The batch with its real tensors, in whatever lists and dicts they stand, in float64."""
    if isinstance(batch, Tensor):
        return batch.double() if batch.is_floating_point() else batch
    if isinstance(batch, Mapping):
        return {key: in_double(value) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(*map(in_double, batch)) if hasattr(batch, "_fields") else type(batch)(map(in_double, batch))
    return batch


@contextlib.contextmanager
def copied(problem: object, batches: int, seed: int = 0, *, precise: bool = False) -> Iterator[Problem]:
    """A copy of (model, loss, data, optimizer) with the first batches of its data; random states are put back at the end.

    precise: the copy and its batches in float64. Raises InputError for what is no such problem.
    """
    model, loss, data, optimizer = parts(problem)
    with random_states(data):  # the owner's code may draw from any of them
        reseed(seed)
        hooked = sum(map(_has_hooks, model.parameters()))
        try:
            model, loss, optimizer = copy.deepcopy((model, loss, optimizer))  # a loss with a state of its own too
        except Exception as error:
            msg = f"the model or the optimizer cannot be copied: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            msg += " (torch.nn.utils.parametrizations.weight_norm can be)" * ("created explicitly" in str(error))
            raise InputError(msg) from error
        found = list(itertools.islice(iter(data), batches))
        if not found:
            msg = "the data hold no batch: give a DataLoader or a list of batches"
            raise InputError(msg)
        if precise:
            model.double()
            optimizer.load_state_dict(optimizer.state_dict())  # which casts its state to its parameters' type
        yield Problem(model, loss, _even(found), optimizer, data, seed, precise, hooked)


def _has_hooks(p: Tensor) -> bool:
    """Whether its gradient goes through hooks of somebody else's."""
    kept = [getattr(p, name, None) or {} for name in ("_backward_hooks", "_post_accumulate_grad_hooks")]
    return any(not str(getattr(hook, "__module__", "")).startswith("thalweg.") for hooks in kept for hook in hooks.values())


def reseed(seed: int) -> None:
    """All sources of random numbers that a loss may draw from."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002


@contextlib.contextmanager
def random_states(data: Iterable[Any]) -> Iterator[None]:
    """Python's, NumPy's, torch's and those that the data hold, all put back at the end."""
    held = [(generator, copy.deepcopy(state_of(generator))) for generator in generators(data)]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for generator, state in held:
            set_state(generator, state)


def parts(problem: object) -> tuple[torch.nn.Module, Loss, Iterable[Any], torch.optim.Optimizer]:
    """The four parts of a problem. InputError for anything else than (model, loss, data, optimizer)."""
    wanted = "(model, loss, data, optimizer)"
    if not isinstance(problem, tuple) or len(problem) != 4:
        msg = f"a problem is the tuple {wanted}, not {type(problem).__name__}" + (
            f" of {len(problem)}" if isinstance(problem, tuple) else ""
        )
        raise InputError(msg)
    model, loss, data, optimizer = problem
    if not isinstance(model, torch.nn.Module):
        msg = f"the first of {wanted} is {type(model).__name__}: it must be a torch.nn.Module"
        raise InputError(msg)
    if not callable(loss) or isinstance(loss, torch.nn.modules.loss._Loss) or not _takes_two(loss):
        msg = (
            f"the second of {wanted} is {getattr(loss, '__name__', type(loss).__name__)}: it must be a function loss(model, batch)"
        )
        raise InputError(msg)
    if not isinstance(data, Iterable) or isinstance(data, str | Tensor | Mapping):
        msg = f"the third of {wanted} is {type(data).__name__}: it must be a DataLoader or a list of batches"
        raise InputError(msg)
    if once := read_once(data):
        msg = f"the third of {wanted} can be read only once ({once}): give a DataLoader or a list of batches"
        raise InputError(msg)
    if not isinstance(optimizer, torch.optim.Optimizer):
        msg = f"the fourth of {wanted} is {type(optimizer).__name__}: it must be an optimizer of torch.optim or thalweg.optim.torch"
        raise InputError(msg)
    return model, loss, data, optimizer


def _takes_two(loss: Callable[..., Any]) -> bool:
    """Whether it can be called as loss(model, batch); True where Python cannot tell."""
    try:
        inspect.signature(loss).bind(None, None)
    except TypeError:
        return False
    except ValueError:
        pass
    return True


def endless(data: Iterable[Any]) -> Iterator[Any]:
    """Its batches over and over; ends where a pass holds none."""
    while True:
        empty = True
        for batch in data:
            empty = False
            yield batch
        if empty:
            return


def _even(batches: list[Any]) -> list[Any]:
    """The batches of the most common size, if there are three of it: without the short one at the end of an epoch."""
    sizes = [samples(batch) for batch in batches]
    most = max(set(sizes), key=lambda size: (sizes.count(size), size))
    return [batch for batch, size in zip(batches, sizes, strict=True) if size == most] if sizes.count(most) >= 3 else batches


def samples(batch: object) -> int:
    """How many samples a batch holds: the length of the first tensor in it, 1 if there is none."""
    if isinstance(batch, Tensor | np.ndarray):
        return max(int(batch.shape[0]), 1) if batch.ndim else 1
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    for each in batch if isinstance(batch, list | tuple) else vars(batch).values() if hasattr(batch, "__dict__") else ():
        if isinstance(each, Tensor | np.ndarray | list | tuple | Mapping):
            return samples(each)
    return 1
