"""Capsule layers: the form without votes is the form with them, which is the NumPy reference; defects of public code are absent."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from thalweg import capsules  # noqa: E402
from thalweg.capsules.lengths import LENGTHS  # noqa: E402
from thalweg.capsules.lengths import squash as squash_numpy  # noqa: E402
from thalweg.capsules.routing import PRESETS  # noqa: E402
from thalweg.capsules.torch import Capsules, MarginLoss, full, route, squash  # noqa: E402
from thalweg.capsules.torch.lengths import LENGTHS as MAPS  # noqa: E402
from thalweg.capsules.torch.lengths import pulled_back  # noqa: E402
from thalweg.errors import InputError  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
every_routing = pytest.mark.parametrize("routing", PRESETS)


def normal(*shape: int, seed: int = 0, **options: Any) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, **options)


# ---- the reference


@every_routing
def test_tensors_are_routed_as_arrays_are(routing: str) -> None:
    """Values and couplings to 1e-12, with weights and a mask; in float32 to 1e-5."""
    u, w = normal(3, 9, 4, 5), torch.rand(3, 9, dtype=torch.float64)
    mask = torch.arange(9) < 7
    for given in ({}, {"input_weights": w, "mask": mask}, {"initial_logits": normal(3, 9, 4, seed=2)}):
        expected = capsules.route(u.numpy(), routing=routing, return_couplings=True, **{k: v.numpy() for k, v in given.items()})
        for found, value in zip(route(u, routing=routing, return_couplings=True, **given), expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-11, atol=1e-13)
        if routing != "hard":
            small = {k: v.float() if v.is_floating_point() else v for k, v in given.items()}
            np.testing.assert_allclose(route(u.float(), routing=routing, **small), expected[0], atol=1e-5)


@pytest.mark.parametrize("inside", LENGTHS)
@pytest.mark.parametrize("update", ["recompute", "accumulate"])
def test_every_length_map_and_update_is_the_reference(inside: str, update: str) -> None:
    u = normal(2, 6, 3, 4)
    given = {"inside": inside, "update": update, "iterations": 4, "squash": inside}
    np.testing.assert_allclose(route(u, **given), capsules.route(u.numpy(), **given), rtol=1e-11, atol=1e-13)
    assert set(MAPS) == set(LENGTHS)
    np.testing.assert_allclose(squash(u, inside), squash_numpy(u.numpy(), inside), rtol=1e-12)


@pytest.mark.parametrize("kind", LENGTHS)
def test_the_slopes_of_length_maps_are_autograds(kind: str) -> None:
    s = normal(40, 3, requires_grad=True)
    with torch.no_grad():
        s.mul_(torch.logspace(-3, 2, 40, dtype=torch.float64)[:, None])
    g = normal(40, 3, seed=1)
    (expected,) = torch.autograd.grad((squash(s, kind) * g).sum(), s)
    np.testing.assert_allclose(pulled_back(s.detach(), g, kind, 0.5), expected, rtol=1e-9, atol=1e-12)


# ---- without votes


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [1, 7, 60])
@pytest.mark.parametrize("routing", ["su2018", "su2018-squash", "sabour2017"])
@pytest.mark.parametrize("masked", [False, True])
def test_values_and_gradients_are_those_of_the_votes(iterations: int, n: int, routing: str, masked: bool) -> None:
    u = normal(4, n, 6, requires_grad=True)
    mask = torch.rand(4, n, generator=torch.Generator().manual_seed(1)) < 0.7 if masked else None
    fast = Capsules(6, 5, 3, routing=routing, iterations=iterations, dtype=torch.float64)
    plain = Capsules(6, 5, 3, routing=routing, iterations=iterations, dtype=torch.float64, keep_votes=True)
    plain.load_state_dict(fast.state_dict())
    g = normal(4, 5, 3, seed=2)
    found = []
    for layer in (fast, plain):
        v, c = layer(u, mask, return_couplings=True)
        found.append([v, c, *torch.autograd.grad((v * g).sum(), [u, layer.weight])])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one.detach(), other.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "given", [{"inside": "tanh"}, {"inside": "linear", "inverse_temperature": 0.3}, {"update": "accumulate", "step": 0.4}]
)
def test_other_members_of_the_family_pass_gradcheck_without_votes(given: dict[str, Any]) -> None:
    layer = Capsules(4, 3, 2, dtype=torch.float64, **given)
    u = normal(2, 5, 4, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, w: torch.func.functional_call(layer, {"weight": w}, (u,)), (u, layer.weight))


@every_routing
@pytest.mark.parametrize("masked", [False, True])
def test_full_weights_in_chunks_are_full_weights_at_once(routing: str, masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(full.CHUNK, "cpu", 2 * 9 * 5 * 3 * 8)  # two samples
    u = normal(5, 9, 6, requires_grad=True)
    mask = torch.rand(5, 9, generator=torch.Generator().manual_seed(1)) < 0.7 if masked else None
    given: dict[str, Any] = {"weights": "full", "n_inputs": 9, "routing": routing, "dtype": torch.float64}
    chunked, whole = Capsules(6, 5, 3, **given), Capsules(6, 5, 3, keep_votes=True, **given)
    whole.load_state_dict(chunked.state_dict())
    g = normal(5, 5, 3, seed=2)
    found = []
    for layer in (chunked, whole):
        v, c = layer(u, mask, return_couplings=True)
        found.append([v, c, *torch.autograd.grad((v * g).sum(), [u, layer.weight])])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one.detach(), other.detach(), rtol=1e-10, atol=1e-12)


def test_the_gradient_of_the_last_pass_alone_is_another_and_is_asked_for() -> None:
    """Routing detached from the graph by default was found in public code."""
    u = normal(2, 8, 4, requires_grad=True)
    exact = Capsules(4, 3, 2, dtype=torch.float64)
    last = Capsules(4, 3, 2, dtype=torch.float64, gradient="last")
    last.load_state_dict(exact.state_dict())
    one, other = (torch.autograd.grad(layer(u).square().sum(), u)[0] for layer in (exact, last))
    np.testing.assert_allclose(exact(u).detach(), last(u).detach(), rtol=1e-12)
    assert (one - other).abs().max() > 1e-3 * one.abs().max()


# ---- layers


@pytest.mark.parametrize("weights", ["shared", "factored", "full"])
@every_routing
def test_a_sample_does_not_depend_on_its_batch(weights: str, routing: str) -> None:
    """Logits averaged over the batch were found in public code. Gradcheck of the whole layer besides."""
    n = None if weights == "shared" else 6
    layer = Capsules(4, 3, 5, weights=weights, n_inputs=n, routing=routing, dtype=torch.float64)
    u = normal(8, 6, 4)
    v = layer(u)
    assert v.shape == (8, 3, 5)
    np.testing.assert_allclose(layer(u[2:3]).detach(), v[2:3].detach(), rtol=1e-12)
    order = torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])
    np.testing.assert_allclose(layer(u[order]).detach(), v[order].detach(), rtol=1e-12)
    if routing != "hard":
        assert torch.autograd.gradcheck(layer, normal(2, 6, 4, requires_grad=True))


@pytest.mark.parametrize("weights", ["shared", "factored", "full"])
def test_black_images_masked_inputs_and_zero_weights_have_finite_gradients(weights: str) -> None:
    """The gradient of a length at 0 is NaN in public code."""
    layer = Capsules(4, 3, 5, weights=weights, n_inputs=None if weights == "shared" else 6)
    u = torch.zeros(2, 6, 4, requires_grad=True)
    for mask in (None, torch.zeros(2, 6, dtype=torch.bool)):
        layer.zero_grad()
        v = layer(u, mask)
        v.norm(dim=-1).sum().backward()
        assert (v == 0).all()
        assert all(torch.isfinite(p.grad).all() for p in (u, *layer.parameters()))
    with torch.no_grad():
        layer.weight.zero_()
    layer(torch.randn(2, 6, 4)).square().sum().backward()
    assert torch.isfinite(layer.weight.grad).all()


def test_padding_behind_a_mask_is_a_shorter_input() -> None:
    layer = Capsules(4, 3, 5, dtype=torch.float64)
    u = normal(2, 6, 4)
    padded = torch.cat([u, 1e6 * normal(2, 3, 4, seed=3)], 1)
    mask = (torch.arange(9) < 6).expand(2, 9)
    np.testing.assert_allclose(layer(padded, mask).detach(), layer(u).detach(), rtol=1e-9, atol=1e-12)


def test_a_full_layer_starts_where_routing_can_begin() -> None:
    """Sums at uniform couplings of length 0.5 to 1 for inputs of unit variance (too large or too small in public code)."""
    torch.manual_seed(0)
    layer = Capsules(8, 10, 16, weights="full", n_inputs=300, iterations=1, squash=None)
    lengths = layer(torch.randn(50, 300, 8)).norm(dim=-1)
    assert 0.5 < lengths.median() < 1


def test_it_compiles_maps_and_runs_under_autocast() -> None:
    layer = Capsules(4, 3, 5)
    u = torch.randn(2, 6, 4)
    expected = layer(u)
    whole = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = u.clone().requires_grad_()
    (g,) = torch.autograd.grad(whole(x).square().sum(), x)
    y = u.clone().requires_grad_()
    (h,) = torch.autograd.grad(layer(y).square().sum(), y)
    torch.testing.assert_close(g, h)
    torch.testing.assert_close(torch.vmap(layer)(torch.stack([u, 2 * u]))[0], expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        routed = layer(u.bfloat16())
    assert routed.dtype == torch.float32
    assert copy.deepcopy(layer).bfloat16()(u.bfloat16()).dtype == torch.bfloat16
    assert Capsules(4, 3, 5, device="meta")(torch.empty(2, 6, 4, device="meta")).shape == (2, 3, 5)


def test_margin_loss_has_its_values() -> None:
    """Not squared, or a mean in training and a sum in testing, in public code."""
    loss = MarginLoss()
    targets = torch.tensor([0])
    right = torch.tensor([[0.9, *[0.1] * 9]])
    assert loss(right, targets).item() == pytest.approx(0, abs=1e-12)
    assert loss(torch.zeros(1, 10), targets).item() == pytest.approx(0.81)
    assert loss(torch.ones(1, 10), targets).item() == pytest.approx(0.5 * 9 * 0.81)
    both = torch.cat([torch.zeros(1, 10), torch.ones(1, 10)])
    assert loss(both, torch.tensor([0, 0])).item() == pytest.approx((0.81 + 3.645) / 2)
    assert MarginLoss(reduction="mean", down_weight=0.25)(torch.ones(1, 10), targets).item() == pytest.approx(0.25 * 9 * 0.81 / 10)
    several = torch.tensor([[1, 1] + [0] * 8])
    assert loss(torch.tensor([[0.9, 0.9] + [0.1] * 8]), several).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Capsules(0, 3, 5), "in_dim=0"),
        (lambda: Capsules(4, 3, 5, weights="sharde"), "weights='sharde': they are shared"),
        (lambda: Capsules(4, 3, 5, weights="full"), "full weights need n_inputs"),
        (lambda: Capsules(4, 3, 5, n_inputs=6), "shared weights take any number of inputs"),
        (lambda: Capsules(4, 3, 5, iterations=0), "iterations=0"),
        (lambda: Capsules(4, 3, 5, gradient="all"), "gradient='all'"),
        (lambda: Capsules(4, 3, 5, routing="su"), "there is no routing 'su'"),
        (lambda: Capsules(4, 3, 5)(torch.ones(2, 6, 3)), r"inputs of shape \(2, 6, 3\): this layer takes \(batch, n, 4\)"),
        (lambda: Capsules(4, 3, 5, weights="full", n_inputs=7)(torch.ones(2, 6, 4)), "6 inputs for a layer with weights for 7"),
        (lambda: Capsules(4, 3, 5)(torch.ones(2, 6, 4), torch.ones(2, 5)), r"shape of the inputs, \(2, 6\)"),
        (lambda: MarginLoss(reduction="none"), "reduction='none'"),
        (lambda: MarginLoss()(torch.ones(2, 3), torch.ones(3)), "targets of shape"),
        (lambda: route(torch.ones(2, 2)), "votes of shape"),
    ],
)
def test_wrong_use_is_one_line(make: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
