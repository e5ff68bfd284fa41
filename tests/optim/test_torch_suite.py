"""The optimizer inputs that torch tests itself with, its faulty ones too, on the names of ours (torch.testing._internal)."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from typing import Any
from unittest import mock

import pytest

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")

SUITE = "torch.testing._internal"
UNUSED = ("common_device_type", "common_methods_invocations", "common_utils")  # seconds to import, and they want expecttest


def database() -> list[Any]:
    """What torch knows of each of its optimizers that is here too."""
    with mock.patch.dict(sys.modules, {f"{SUITE}.{name}": mock.MagicMock() for name in UNUSED}):
        found = importlib.import_module(f"{SUITE}.common_optimizers").optim_db
        sys.modules.pop(f"{SUITE}.common_optimizers")
    return [info for info in found if hasattr(fused, info.name)]


NOT_HERE = (  # what torch's own loops cannot do, and ours can
    "lr as Tensor doesn't work with foreach & not capturable",
    "betas must be either both floats or both Tensors",
    r"betas\[0\] as a Tensor is not supported for capturable=False and foreach=True",
    "only support 2D parameters",  # Muon: other tensors take AdamW's step here
)
SWITCHES = ("foreach", "fused", "differentiable", "capturable")
INFOS = database()
INPUTS = [
    pytest.param(info, place, id=f"{info.name}-{each.desc}")
    for info in INFOS
    for place, each in enumerate(info.optim_inputs_func("cpu"))
]
FAULTS = [
    pytest.param(info, each, id=f"{info.name}-{each.optimizer_error_input.desc}")
    for info in INFOS
    for each in info.optim_error_inputs_func("cpu", torch.float32)
    if each.optimizer_error_input.desc not in NOT_HERE
]
WAYS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "foreach": {"foreach": True, "backend": "foreach"},
    "fused": {"fused": True},
    "one by one": {"foreach": False, "backend": "single"},
}


@functools.cache
def wanted(name: str, place: int, dtype: Any) -> list[Any]:
    """Where torch ends, in its plain loop."""
    info = next(info for info in INFOS if info.name == name)
    given = {key: value for key, value in info.optim_inputs_func("cpu")[place].kwargs.items() if key not in SWITCHES}
    return walked(lambda ps: getattr(torch.optim, name)(ps, **given), name, dtype)


def walked(make: Any, name: str, dtype: Any) -> list[Any]:
    """Two groups, 12 steps, in some of which a parameter has no gradient; where they end."""
    generator = torch.Generator().manual_seed(0)
    real = torch.float64 if dtype.is_complex else dtype
    shapes = [(3, 4), (2, 2), (5, 1)] if name == "Muon" else [(3, 4), (5,), (), (2, 3, 2)]

    def drawn(shape: tuple[int, ...]) -> Any:
        parts = [torch.randn(shape, generator=generator, dtype=real) for _ in range(1 + dtype.is_complex)]
        return torch.complex(*parts) if dtype.is_complex else parts[0]

    params = [drawn(shape).requires_grad_() for shape in shapes]
    opt = make([{"params": params[:2]}, {"params": params[2:], "lr": 0.02}])
    for k in range(12):
        for i, p in enumerate(params):
            g = drawn(tuple(p.shape))
            p.grad = None if (k + i) % 5 == 0 or (i == 1 and k < 4) else g
        opt.step()
    return [p.detach() for p in params]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("info", "place"), INPUTS)
def test_what_torch_tests_itself_with_ends_where_torch_does(info: Any, place: int, way: str, one_thread: None) -> None:
    """In float64, and once in complex128 where torch takes it: to round-off, Muon to torch's 16 bits."""
    rtol = 2e-2 if info.name == "Muon" else 1e-7 if info.name == "NAdam" else 1e-10  # NAdam: torch's product is float32
    for dtype in (torch.float64, torch.complex128) if info.supports_complex and way == "as it comes" else (torch.float64,):
        given = {**info.optim_inputs_func("cpu")[place].kwargs, **WAYS[way]}
        got = walked(lambda ps, given=given: getattr(fused, info.name)(ps, **given), info.name, dtype)
        for a, b in zip(got, wanted(info.name, place, dtype), strict=True):
            torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(("info", "fault"), FAULTS)
def test_what_torch_refuses_is_refused_with_an_error_of_its_class(info: Any, fault: Any) -> None:
    given, made = fault.optimizer_error_input, getattr(fused, info.name)
    params = given.params if given.params is not None else [torch.nn.Parameter(torch.randn(1, 1))]
    if fault.error_type is UserWarning:
        with pytest.warns(UserWarning, match="duplicate parameters"):
            made(params, **given.kwargs)
        return
    with pytest.raises((fault.error_type, ValueError) if fault.error_on.value else fault.error_type):
        made(params, **given.kwargs).step()


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
def test_arguments_stand_in_the_order_and_with_the_defaults_of_torch(info: Any) -> None:
    """Each of torch's may be given by its place or by its name."""
    theirs = inspect.signature(getattr(torch.optim, info.name)).parameters
    ours = inspect.signature(getattr(fused, info.name)).parameters
    for name, each in theirs.items():
        if each.kind is each.POSITIONAL_OR_KEYWORD:
            assert list(ours).index(name) == list(theirs).index(name)
        if name in ours:
            assert name == "params" or ours[name].default == each.default
        else:
            assert name in fused.Optimizer.switches


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
def test_a_group_has_the_keys_and_the_values_of_torch_s(info: Any) -> None:
    """So what stands in a group or in a checkpoint of torch is read, and what torch reads of ours is there."""
    p = [torch.nn.Parameter(torch.ones(2, 2))]
    theirs, ours = getattr(torch.optim, info.name)(p).defaults, getattr(fused, info.name)(p).defaults
    assert {key: ours[key] for key in theirs} == theirs
