"""CapsNet and PairNet: parameters by hand, the published shapes, and what public code got wrong."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from sklearn.datasets import load_digits  # noqa: E402

from thalweg.capsules.torch import CapsNet, Decoder, MarginLoss, PairNet, PrimaryCapsules  # noqa: E402
from thalweg.errors import InputError  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def numbers(module: Any) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_are_those_that_one_counts_by_hand() -> None:
    net = CapsNet()
    assert numbers(net.conv) == 256 * 81 + 256
    assert numbers(net.primary) == 256 * 256 * 81 + 256
    assert numbers(net.digits) == 1152 * 10 * 16 * 8
    assert numbers(net.decoder) == (160 * 512 + 512) + (512 * 1024 + 1024) + (1024 * 784 + 784)
    assert numbers(net) == 8_215_568
    assert numbers(CapsNet(decoder=False)) == 6_804_224
    assert (numbers(PairNet()), numbers(PairNet("mean")), numbers(PairNet("sum"))) == (279_488, 276_810, 276_810)


def test_a_capsule_is_the_channels_of_one_type_at_one_pixel() -> None:
    """A change at one pixel changes the capsules of that pixel alone (public code mixes positions into capsules)."""
    torch.manual_seed(0)
    layer = PrimaryCapsules(3, 4, 5, kernel_size=1)
    x = torch.randn(1, 3, 6, 7)
    y = x.clone()
    y[0, :, 2, 3] += 1
    changed = (layer(x) != layer(y)).any(-1)[0].reshape(4, 6, 7)
    assert changed[:, 2, 3].all()
    assert changed.sum() == 4
    raw = PrimaryCapsules(3, 4, 5, kernel_size=1, kind=None)
    raw.load_state_dict(layer.state_dict())
    torch.testing.assert_close(raw(x).reshape(1, 4, 6, 7, 5)[0, 1, 2, 3], raw.conv(x)[0, 5:10, 2, 3])


def small(**given: Any) -> CapsNet:
    torch.manual_seed(0)
    return CapsNet(shape=(1, 20, 20), channels=16, types=4, **given)


def test_the_decoder_sees_the_target_in_training_and_the_longest_capsule_without() -> None:
    net, x = small(), torch.rand(6, 1, 20, 20)
    seen = net(x)
    assert (seen.lengths.shape, seen.capsules.shape, seen.pictures.shape) == ((6, 10), (6, 10, 16), (6, 400))
    torch.testing.assert_close(seen.pictures, net(x, seen.lengths.argmax(1)).pictures)
    others = (seen.lengths.argmax(1) + 1) % 10
    assert not torch.allclose(seen.pictures, net(x, others).pictures)
    decoder = Decoder(10, 16, 9)
    v = torch.randn(2, 10, 16)
    changed = v.clone()
    changed[:, 3] += 1
    chosen = torch.tensor([4, 4])
    torch.testing.assert_close(decoder(v, chosen), decoder(changed, chosen))


def test_the_loss_has_its_two_parts_in_their_published_weights() -> None:
    """0.0005 of the sum over the pixels: of a mean, as in public code, it would be 784 times too little."""
    net, x, y = small(), torch.rand(6, 1, 20, 20), torch.arange(6)
    seen = net(x, y)
    expected = MarginLoss()(seen.lengths, y) + 0.0005 * ((seen.pictures - x.flatten(1)) ** 2).sum() / 6
    torch.testing.assert_close(net.loss(x, y), expected)
    bare = small(decoder=False)
    torch.testing.assert_close(bare.loss(x, y), MarginLoss()(bare(x).lengths, y))


def test_from_its_start_it_learns_within_fifty_steps() -> None:
    """With weights drawn as in public code it "does not train" for epochs."""
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.images[:256] / 16, dtype=torch.float32)[:, None]
    x = torch.nn.functional.interpolate(x, size=(20, 20))
    y = torch.tensor(digits.target[:256])
    net = small(decoder=False)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for step in range(50):
        rows = slice(32 * (step % 8), 32 * (step % 8) + 32)
        loss = net.loss(x[rows], y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-8:]) < 0.6 * sum(losses[:8])
    assert (net(x).lengths.argmax(1) == y).float().mean() > 0.5


def test_black_pictures_have_finite_gradients() -> None:
    net = small()
    with torch.no_grad():
        net.conv.bias.zero_()
        net.primary.conv.bias.zero_()
    net.loss(torch.zeros(2, 1, 20, 20), torch.tensor([1, 2])).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_a_pair_network_takes_pictures_of_any_size() -> None:
    for head in ("capsules", "mean", "sum"):
        net = PairNet(head)
        for shape in ((28, 28), (56, 28), (28, 56)):
            scores = net(torch.rand(2, 1, *shape))
            assert scores.shape == (2, 10)
            assert ((scores >= 0) & (scores <= 1)).all()
    mean, total = PairNet("mean"), PairNet("sum")
    total.load_state_dict(mean.state_dict())
    x = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(mean(x), total(x))  # 64 positions: the sum over 64 is the mean


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CapsNet(shape=(1, 16, 28)), "leave no capsule: two kernels of 9 need 17 pixels a side"),
        (lambda: small()(torch.rand(2, 1, 28, 28)), r"pictures of shape \(1, 28, 28\) for a network of \(1, 20, 20\)"),
        (lambda: PairNet("max"), "head='max': it is capsules, mean or sum"),
    ],
)
def test_wrong_use_is_one_line(make: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
