"""A random walk of everything that scripts do to parameters, gradients and slots between the steps, beside torch.optim.Adam.

Run as `python guarded_walk.py SEED`, in a process of its own: behind each tensor lies a page that may not be touched, so a kernel
that goes one number too far ends it with a signal. Ends in 0 where the paths are one and where every refusal left all as it was.
"""

from __future__ import annotations

import ctypes
import mmap
import random
import sys
from collections.abc import Callable

import torch

from thalweg.errors import RuleError
from thalweg.optim.torch import Adam

PAGE = mmap.PAGESIZE
LIBC = ctypes.CDLL(None, use_errno=True)
KEPT: list[mmap.mmap] = []  # their memory is given out for good
STEPS = 100


def guarded(values: torch.Tensor) -> torch.Tensor:
    """A contiguous copy that ends where the forbidden page begins."""
    size = values.numel() * values.element_size()
    pages = -(-size // PAGE) + 1
    memory = mmap.mmap(-1, pages * PAGE)
    KEPT.append(memory)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if LIBC.mprotect(ctypes.c_void_p(begin + (pages - 1) * PAGE), ctypes.c_size_t(PAGE), 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    array = (ctypes.c_char * size).from_address(begin + (pages - 1) * PAGE - size)
    return torch.frombuffer(array, dtype=values.dtype).view(values.shape).copy_(values)


class World:
    """Parameters and an optimizer on them."""

    def __init__(self, kind: Callable[..., torch.optim.Optimizer], shapes: list[tuple[int, ...]], **options: object) -> None:
        generator = torch.Generator().manual_seed(0)
        self.make = lambda values: torch.nn.Parameter(guarded(values))
        params = [self.make(torch.randn(shape, generator=generator)) for shape in shapes]
        self.opt = kind([{"params": params[:2]}, {"params": params[2:], "lr": 0.02}], lr=0.05, **options)

    @property
    def params(self) -> list[torch.Tensor]:
        return [p for group in self.opt.param_groups for p in group["params"]]

    def guard_slots(self) -> None:
        for held in self.opt.state.values():
            for key in ("exp_avg", "exp_avg_sq"):
                held[key] = guarded(held[key])

    def put(self, k: int, p: torch.Tensor, whole: bool) -> None:
        group, place = (self.opt.param_groups[0], k) if k < 2 else (self.opt.param_groups[1], k - 2)
        if whole:
            group["params"] = [p if j == place else other for j, other in enumerate(group["params"])]
        else:
            group["params"][place] = p


def slots(world: World, k: int, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Put what `change` makes of them in the place of the slots of parameter k, or let it change them in place."""
    held = world.opt.state.get(world.params[k], {})
    for key in held.keys() & {"exp_avg", "exp_avg_sq"}:
        held[key] = change(held[key])


def moved_out(world: World, k: int) -> None:
    world.params[k].data = guarded(world.params[k].data)


def turned(world: World, k: int) -> None:
    """A matrix laid out the other way round, or a square one transposed: other numbers at the same addresses."""
    p = world.params[k]
    if p.dim() == 2:
        p.data = p.data.t() if p.shape[0] == p.shape[1] else p.data.t().contiguous().t()


def cut(world: World, k: int) -> None:
    """Pruning: the parameter at its old address, its slots with it."""
    p = world.params[k]
    p.data, p.grad = p.data[: max(1, len(p) - 2)], None
    slots(world, k, lambda x: x[: len(p)])


def cut_in_place(world: World, k: int) -> None:
    p = world.params[k]
    p.data, p.grad = guarded(p.data[: max(1, len(p) - 1)]), None
    slots(world, k, lambda x: x.set_(x.contiguous()).resize_(p.shape))  # which takes the numbers in the order of memory


def grown(world: World, k: int) -> None:
    """Densification: a larger parameter in the place of the old one, its state moved along."""
    old = world.params[k]
    new = world.make(torch.cat([old.detach(), old.detach()[:1] * 0.5]))
    state = world.opt.state.pop(old, None)
    world.put(k, new, whole=len(new) % 2 == 0)
    if state is not None:
        world.opt.state[new] = state
        slots(world, k, lambda x: guarded(torch.cat([x, x[:1] * 0])))


def replaced(world: World, k: int) -> None:
    """Another parameter, the state left where it was."""
    world.put(k, world.make(world.params[k].detach() * 0.9), whole=True)


def forgotten(world: World, k: int) -> None:
    world.opt.state.pop(world.params[k], None)


def loaded(world: World, k: int) -> None:
    left = [p for p in world.opt.state if not any(p is other for other in world.params)]  # torch cannot save them
    for p in left:
        del world.opt.state[p]
    world.opt.load_state_dict(world.opt.state_dict())
    world.guard_slots()


def set_slots(world: World, k: int) -> None:
    slots(world, k, lambda x: x.set_(guarded(x * 0.5)))


def new_slots(world: World, k: int) -> None:
    slots(world, k, lambda x: guarded(x * 0.5))


def turned_slots(world: World, k: int) -> None:
    slots(world, k, lambda x: x.t().contiguous().t() if x.dim() == 2 else x.clone())


CHANGES = [moved_out, turned, cut, cut_in_place, grown, replaced, forgotten, loaded, set_slots, new_slots, turned_slots]


def short_gradient(p: torch.Tensor, held: dict[str, torch.Tensor]) -> Callable[[], object]:
    before = p.grad.data
    p.grad.data = guarded(p.grad.data.flatten()[:1])
    return lambda: setattr(p.grad, "data", before)


def short_parameter(p: torch.Tensor, held: dict[str, torch.Tensor]) -> Callable[[], object]:
    before = p.data
    p.data = guarded(p.data.flatten()[:1])
    return lambda: setattr(p, "data", before)


def short_slot(p: torch.Tensor, held: dict[str, torch.Tensor]) -> Callable[[], object]:
    before = held["exp_avg"]
    held["exp_avg"] = guarded(before.flatten()[:1])
    return lambda: held.__setitem__("exp_avg", before)


def shrunk_slot(p: torch.Tensor, held: dict[str, torch.Tensor]) -> Callable[[], object]:
    slot = held["exp_avg_sq"]
    before = slot.clone()
    slot.set_(guarded(before.flatten()[:1]))
    return lambda: slot.set_(before)


MISTAKES = [short_gradient, short_parameter, short_slot, shrunk_slot]


def main(seed: int) -> None:
    chance = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    shapes = [(7,), (4, 4), (3, 5), (1100,), (2, 3)]
    ours, theirs = World(Adam, shapes), World(torch.optim.Adam, shapes, foreach=False)
    for step in range(STEPS):
        for k, (mine, other) in enumerate(zip(ours.params, theirs.params, strict=True)):
            mine.grad = other.grad = None
            if step < 2 or chance.random() < 0.8:
                g = torch.randn(mine.shape, generator=generator)
                turn = mine.dim() == 2 and chance.random() < 0.2
                mine.grad, other.grad = (guarded(g).t().contiguous().t() if turn else guarded(g) for _ in range(2))
            if step > 2 and mine.grad is not None and mine in ours.opt.state and mine.numel() > 1 and chance.random() < 0.05:
                refused(ours, k, chance.choice(MISTAKES))
        for world in (ours, theirs):
            world.opt.step()
            if step == 0:
                world.guard_slots()
        for mine, other in zip(ours.params, theirs.params, strict=True):
            torch.testing.assert_close(mine.detach(), other.detach(), rtol=1e-5, atol=1e-6)
        change, k = chance.choice(CHANGES), chance.randrange(len(shapes))
        for world in (ours, theirs):
            change(world, k)


def refused(world: World, k: int, mistake: Callable[..., Callable[[], object]]) -> None:
    """A step with one tensor of another shape moves nothing, and says so."""
    p = world.params[k]
    undo = mistake(p, world.opt.state[p])
    before = [p.detach().clone() for p in world.params]
    try:
        world.opt.step()
    except RuleError:
        assert all(torch.equal(p, kept) for p, kept in zip(world.params, before, strict=True))
    else:
        raise AssertionError(mistake.__name__)
    undo()


if __name__ == "__main__":
    main(int(sys.argv[1]))
