"""The Triton back end in Triton's interpreter (TRITON_INTERPRET=1), on the CPU: run by test_triton.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thalweg import optim
from thalweg.optim.backends import compiled, triton
from thalweg.optim.torch import Optimizer

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the interpreter computes in NumPy, NaN and all
SIZES = np.array([5, 3000, 70_000], dtype=np.int64)
NAMES = [name for name in optim.RULES if triton.supports(optim.get(name)().program())]


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_it_does_what_the_compiled_kernel_does(name: str, kind: str) -> None:
    """Three tensors, two rows of numbers, NaN and infinities among the elements; one tensor that takes no part stays."""
    rule = optim.get(name)()
    program, dtype, rng = rule.program(), getattr(torch, kind), np.random.default_rng(0)
    start = {
        array: [
            torch.tensor(np.abs(rng.normal(size=n)) if array.startswith("s.") else rng.normal(size=n), dtype=dtype) for n in SIZES
        ]
        for array in program.arrays
    }
    for k, value in enumerate((float("nan"), float("inf"), float("-inf"), 0.0, -0.0)):
        start["g"][1][k] = value
    inputs = {f"self.{field}": np.full(2, value) for field, value in vars(rule).items() if type(value) is float}
    inputs |= {"t": np.array([3.0, 7.0]), **{f"s.{s}": np.array([0.5, 0.4]) for s in program.scalars}}
    rows = np.array([0, 1, -1])
    ends = []
    for run in ("triton", "compiled"):
        arrays = {array: [t.clone() for t in tensors] for array, tensors in start.items()}
        addresses = np.array([[t.data_ptr() for t in arrays[array]] for array in program.arrays], dtype=np.int64)
        if run == "triton":
            triton.Launcher(program, (kind, kind), compiled.chunked(SIZES), torch.device("cpu"))(addresses, rows, inputs)
        else:
            tensors = compiled.Tensors(addresses, compiled.chunked(SIZES), SIZES)
            compiled.launch(compiled.build(program, kind), tensors, rows, inputs, rows, 1)
        ends.append(arrays)
    exact = {"rtol": 1e-13, "atol": 1e-14} if kind == "float64" else {"rtol": 2e-5, "atol": 1e-6}
    for array in program.arrays:
        for mine, other in zip(ends[0][array], ends[1][array], strict=True):
            np.testing.assert_allclose(mine.numpy(), other.numpy(), **exact, equal_nan=True)
        np.testing.assert_array_equal(ends[0][array][2].numpy(), start[array][2].numpy())


@pytest.mark.parametrize(
    "rule", [optim.AdamW(lr=0.01, wd=0.1), optim.NAdam(), optim.chain(optim.clip_value(0.5), optim.Lion())], ids=repr
)
def test_an_optimizer_goes_where_the_compiled_one_goes(rule: optim.Rule) -> None:
    """20 steps with a schedule and a parameter that is now and then without a gradient."""
    ends = []
    for backend in ("triton", "numba"):
        torch.manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(n, dtype=torch.float64)) for n in (7, 300)]
        opt = Optimizer(params, rule, backend=backend)
        schedule = torch.optim.lr_scheduler.StepLR(opt, 5, 0.5)
        for k in range(20):
            for p in params:
                p.grad = torch.randn_like(p)
            if k % 3 == 0:
                params[0].grad = None
            opt.step()
            schedule.step()
        assert backend in opt.explain()
        ends.append(torch.cat(params).detach().numpy())
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-12, atol=1e-13)
