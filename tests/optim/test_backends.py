"""Every back end computes the same program: NumPy in the same precision is the judge, on all sorts of numbers."""

from __future__ import annotations

import dataclasses
import functools
import random

import numpy as np
import pytest

from thalweg import jit, optim
from thalweg.optim import Rule, Slots, const, ops, rate
from thalweg.optim.backends import compiled
from thalweg.optim.backends.lockstep import finished
from thalweg.optim.backends.reference import run

torch = pytest.importorskip("torch")
foreach = pytest.importorskip("thalweg.optim.backends.foreach")

needs_numba = pytest.mark.skipif(not jit.enabled(), reason="kernels are not compiled here")
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-40, -1e-40, 1e-310, 1e30, -1e30, 0.5, 3.0]


def random_step(seed: int, size: int):
    """A step of `size` random operations whose results are exact in IEEE arithmetic: no exp, log, powers or sums of many."""

    def step(self, p, g, s, t):
        draw = random.Random(seed)
        elements, numbers = [p, g, s.a, s.b, p - g, g * s.a], [self.lr, self.c, 0.75, t * self.c, 1 - self.lr]
        for _ in range(size):
            x, y, k = draw.choice(elements), draw.choice(elements), draw.choice(numbers)
            forms = (
                lambda x, y, k: x + k * y,
                lambda x, y, k: k - x,
                lambda x, y, k: x * y,
                lambda x, y, k: x / (y * y + 0.25),
                lambda x, y, k: -ops.sqrt(ops.abs(x)) + y,
                lambda x, y, k: ops.lerp(x, y, self.lr),
                lambda x, y, k: ops.where((x > y) | (y != y), x, k * y),
                lambda x, y, k: ops.where(x <= k, y, 0.5) + 1,
                lambda x, y, k: ops.maximum(x, k) + 1,
                lambda x, y, k: ops.minimum(x, y) * 2 + 1,
                lambda x, y, k: ops.sign(x) * k,
                lambda x, y, k: ops.clip(x, -2, 2) + y,
                lambda x, y, k: (x >= y) * k + x,
                lambda x, y, k: ops.where(t > 1, x, 0) * 2 + y,
                lambda x, y, k: ops.where(k < t, y, 0.5) - k,
                lambda x, y, k: ops.where(t < 1, x, -1.5) + x,
            )
            elements.append(draw.choice(forms)(x, y, k))
        return elements[-1] + elements[-2], s(a=elements[-3], b=elements[-4])

    return step


def random_rule(seed: int, size: int = 24) -> Rule:
    names = {"lr": rate(0.3), "c": const(1.5), "slots": Slots(a=0, b=0), "step": random_step(seed, size)}
    made = type(f"Random{seed}", (Rule,), {"__annotations__": {"lr": "float", "c": "float"}, **names})
    return dataclasses.dataclass(frozen=True)(made)()


RANDOM = [random_rule(seed) for seed in range(6)]


def sample(program, n: int, dtype, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of the program: special values in all combinations of pairs first, then normal ones."""
    rng = np.random.default_rng(seed)
    found = {}
    for k, name in enumerate(program.arrays):
        values = rng.normal(size=n)
        count = min(n, 600)
        values[:count] = rng.choice(SPECIAL, size=count)
        with np.errstate(over="ignore", under="ignore"):
            found[name] = np.roll(values, k).astype(dtype)
    return found


def numbers(rule: Rule, t: float = 3.0) -> dict[str, float]:
    return {"t": t, **{f"self.{name}": value for name, value in vars(rule).items() if isinstance(value, float)}}


def expected(program, arrays, rule):
    """NumPy, node by node: the host's nodes in float64, elements in the precision of the arrays."""
    dtype = arrays["p"].dtype
    with np.errstate(all="ignore"):
        host = foreach.host(program, numbers(rule))
        values = {place: dtype.type(value) if not isinstance(value, bool) else value for place, value in host.items()}
        values |= {program.inputs[name]: array for name, array in arrays.items() if name in program.inputs}
        from thalweg.optim.backends.reference import evaluate

        literals = dataclasses.replace(
            program, nodes=tuple(dataclasses.replace(n, value=dtype.type(n.value)) if n.op == "const" else n for n in program.nodes)
        )
        evaluate(literals, range(len(program.nodes)), values)
        return {name: np.broadcast_to(values.get(place, 0), arrays["p"].shape) for name, place in program.outputs.items()}


def launch(kernel, program, tensors, rule, threads=1, rows=None):
    """Step dictionaries of arrays with the compiled kernel, in place."""
    addresses = np.array([[arrays[name].ctypes.data for arrays in tensors] for name in program.arrays], dtype=np.int64)
    sizes = np.array([arrays["p"].size for arrays in tensors])
    table = compiled.Tensors(addresses, compiled.chunked(sizes), sizes)
    rows = np.zeros(len(tensors), dtype=np.int64) if rows is None else rows
    inputs = {name: np.array([value]) for name, value in numbers(rule).items()}
    return compiled.launch(kernel, table, rows, inputs, rows, threads)


@needs_numba
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_random_programs_are_numpy_bit_for_bit(dtype):
    """NaN, infinities, signed zeros and denormals included; the signs of NaN aside."""
    for rule in RANDOM:
        program = rule.program()
        arrays = sample(program, 1003, dtype)
        truth = expected(program, {k: v.copy() for k, v in arrays.items()}, rule)
        launch(compiled.build(program, dtype), program, [arrays], rule)
        for name, value in truth.items():
            np.testing.assert_array_equal(arrays[name], value, err_msg=f"{type(rule).__name__} {name}\n{program}")


@pytest.mark.parametrize("way", ["run", "single"])
def test_torch_s_operations_compute_random_programs_as_numpy_does(way):
    for rule in RANDOM:
        program = rule.program()
        arrays = sample(program, 1003, np.float64)
        truth = expected(program, arrays, rule)
        tensors = {name: torch.tensor(array) for name, array in arrays.items()}
        host = foreach.host(program, numbers(rule))
        if way == "single":
            new = foreach.single(program, tensors, host)
        else:
            lists = {name: [tensor[:500].clone(), tensor[500:].clone()] for name, tensor in tensors.items()}
            finished(foreach.run(program, lists, host))
            new = {name: torch.cat(parts) for name, parts in lists.items()}
        for name, value in truth.items():
            np.testing.assert_allclose(new[name].numpy(), value, rtol=1e-9, atol=0, err_msg=f"{type(rule).__name__} {name}")


class Transcendental(Rule):
    """Functions whose last bit is the library's own."""

    slots = Slots(a=1)

    def step(self, p, g, s, t):
        x = ops.exp(-ops.abs(g)) + ops.log(ops.abs(p) + 1)
        return p - x**1.5, s(a=s.a**-2.0 + x)


@needs_numba
def test_transcendental_functions_agree_to_a_few_units_in_the_last_place():
    rule = dataclasses.dataclass(frozen=True)(Transcendental)()
    program = rule.program()
    arrays = {name: np.random.default_rng(1).normal(size=500) for name in program.arrays}
    truth = run(program, {**arrays, **numbers(rule)})
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    lists = {name: [tensor.clone()] for name, tensor in tensors.items()}
    finished(foreach.run(program, lists, foreach.host(program, numbers(rule))))
    launch(compiled.build(program, "float64"), program, [arrays], rule)
    for name in program.outputs:
        np.testing.assert_allclose(arrays[name], truth[name], rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(lists[name][0].numpy(), truth[name], rtol=1e-13, atol=1e-15)


@needs_numba
def test_the_same_bits_for_any_number_of_threads_and_any_cutting():
    """LAMB has sums over a tensor of 20 chunks: one float64 for each, added in order."""
    rule = optim.LAMB()
    program = rule.program()
    kernel = compiled.build(program, "float32")
    ends = []
    for threads in (1, 2, 3):
        arrays = [sample(program, n, "float32", seed=n) for n in (20 * compiled.CHUNK - 5, 7)]
        for each in arrays:
            for values in each.values():
                np.nan_to_num(values, copy=False, nan=0.5, posinf=1, neginf=-1)
                np.abs(values, out=values)
        launch(kernel, program, arrays, rule, threads)
        ends.append(arrays)
    for other in ends[1:]:
        for a, b in zip(ends[0], other, strict=True):
            for name in program.arrays:
                np.testing.assert_array_equal(a[name], b[name])


@needs_numba
def test_a_tensor_whose_row_is_minus_one_is_left_alone():
    rule = optim.Adam()
    program = rule.program()
    arrays = [sample(program, 10, "float64", seed=k) for k in range(2)]
    before = {name: values.copy() for name, values in arrays[1].items()}
    launch(compiled.build(program, "float64"), program, arrays, rule, rows=np.array([0, -1]))
    for name, values in before.items():
        np.testing.assert_array_equal(arrays[1][name], values)


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    return torch.tensor(x).to(torch.bfloat16).view(torch.int16).numpy().astype(np.uint16)


@needs_numba
def test_bfloat16_is_rounded_to_nearest_even_as_torch_does():
    """p - lr g with lr = 0.3 (so that halves, overflow and NaN occur), against torch in float32 and its own rounding."""
    rule = optim.SGD(lr=0.3)
    program = rule.program()
    wide = sample(program, 5000, "float32")
    halves = {name: to_bfloat16(values) for name, values in wide.items()}
    p, g = (torch.tensor(halves[name].view(np.int16)).view(torch.bfloat16).float() for name in ("p", "g"))
    truth = (p - np.float32(0.3) * g).to(torch.bfloat16)
    launch(compiled.build(program, "bfloat16", "float32"), program, [halves], rule)
    mine = torch.tensor(halves["p"].view(np.int16)).view(torch.bfloat16)
    assert torch.equal(mine.isnan(), truth.isnan())
    assert torch.equal(mine[~mine.isnan()], truth[~truth.isnan()])


def test_chunks_cover_every_element_once():
    """Sizes below, at and above 2^16, and an empty tensor, which has none."""
    n = compiled.CHUNK
    table = compiled.chunked(np.array([3, 0, n, n + 1, 1]))
    assert table.tolist() == [[0, 0, 3], [2, 0, n], [3, 0, n], [3, n, 1], [4, 0, 1]]


def test_lists_are_cut_into_slices_of_bounded_size(monkeypatch):
    monkeypatch.setattr(foreach, "SLICE", 10)
    tensors = [torch.zeros(n) for n in (4, 5, 6, 11, 1, 1)]
    cut = [[len(t) for t in tensors[part]] for part in foreach._slices(tensors)]
    assert cut == [[4, 5], [6], [11], [1, 1]]


@functools.cache
def swapping() -> Rule:
    def step(self, p, g, s, t):
        return p - self.lr * s.a, s(a=s.b, b=g + s.a)

    made = type("Swapping", (Rule,), {"__annotations__": {"lr": "float"}, "lr": rate(0.5), "slots": Slots(a=1, b=2), "step": step})
    return dataclasses.dataclass(frozen=True)(made)()


@needs_numba
def test_slots_that_change_places_are_not_overwritten_too_early():
    """a <- b, b <- g + a: the old a is still needed when the new one is known."""
    rule, program = swapping(), swapping().program()
    arrays = {name: np.arange(4.0) + 10 * k for k, name in enumerate(program.arrays)}
    truth = {name: np.array(value) for name, value in expected(program, arrays, rule).items()}
    lists = {name: [torch.tensor(values)] for name, values in arrays.items()}
    finished(foreach.run(program, lists, foreach.host(program, numbers(rule))))
    launch(compiled.build(program, "float64"), program, [arrays], rule)
    for name, value in truth.items():
        np.testing.assert_array_equal(lists[name][0].numpy(), value)
        np.testing.assert_array_equal(arrays[name], value)


@dataclasses.dataclass(frozen=True)
class Change(Rule):
    """The change of the gradient, as in Adan and ADOPT: there is none in the first step."""

    lr: float = rate(0.1)
    slots = Slots(before=7)

    def step(self, p, g, s, t):
        p, g = self.decayed(p, g)
        return p - self.lr * (2 * ops.where(t > 1, s.before, g) - g), s(before=g)


@pytest.mark.parametrize("backend", ["auto", "foreach", "single"])
@pytest.mark.parametrize("t", [1, 2])
def test_what_the_host_chooses_is_a_tensor_of_its_own(backend, t):
    """where(t > 1, x, y) is x or y; what follows may overwrite the result, and not the gradient or the slot."""
    p, g = torch.full((3,), 4.0, requires_grad=True), torch.full((3,), 3.0)
    from thalweg.optim.torch import Optimizer

    opt = Optimizer([p], Change(), backend=backend)
    for _ in range(t):
        p.grad = g
        opt.step()
    assert torch.equal(g, torch.full((3,), 3.0))
    torch.testing.assert_close(p.detach(), torch.full((3,), 4.0 - 0.1 * 3.0 * t))


@needs_numba
def test_a_kernel_s_text_is_kept_and_found_again(tmp_path, monkeypatch):
    """One file for each program, named by its hash, and numba's machine code beside it; the second build makes no other."""
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path))
    program = optim.SignSGD().program()
    for _ in range(2):
        kernel = compiled.build.__wrapped__(program, "float64")
        texts = list((tmp_path / "kernels").glob("*.py"))
        assert len(texts) == 1
        assert texts[0].read_text().startswith('"""SignSGD for float64, generated by thalweg')
        assert list((tmp_path / "kernels").rglob("*.nbc"))
    arrays = {"p": np.zeros(3), "g": np.array([2.0, -3.0, 0.0])}
    launch(kernel, program, [arrays], optim.SignSGD(lr=0.5))
    assert arrays["p"].tolist() == [-0.5, 0.5, 0]


@needs_numba
def test_where_no_file_can_be_written_a_kernel_is_compiled_in_memory(tmp_path, monkeypatch):
    """THALWEG_CACHE below a file that is no folder."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "file" / "cache"))
    program = optim.SignSGD().program()
    arrays = {"p": np.zeros(1), "g": np.ones(1)}
    launch(compiled.build.__wrapped__(program, "float64"), program, [arrays], optim.SignSGD(lr=0.5))
    assert arrays["p"].tolist() == [-0.5]
