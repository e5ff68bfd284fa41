"""Averages beside an optimizer: their formulas, in updates, and the weights exchanged for them."""

from __future__ import annotations

import copy
import pickle

import pytest

from thalweg.errors import RuleError

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")


def going(make, steps, **options):
    """An optimizer of one tensor that goes p = 0, -1, -2, ..., with an average beside it; the average after each step."""
    p = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    opt = fused.SGD([p], lr=1.0, **options)
    average, found = make(opt), []
    for _ in range(steps):
        p.grad = torch.ones_like(p)
        opt.step()
        found.append(average.tensors[p][0].item())
    return p, opt, average, found


def test_a_moving_average_follows_its_formula():
    """e_t = b e_{t-1} + (1 - b) p_t, b = min(decay, (1 + t)/(10 + t)), from e_0 = p_0."""
    for warmup in (True, False):
        *_, found = going(lambda opt, w=warmup: fused.EMA(opt, 0.5, warmup=w), 30)
        e, expected = 0.0, []
        for t in range(1, 31):
            kept = min(0.5, (1 + t) / (10 + t)) if warmup else 0.5
            e = kept * e + (1 - kept) * -t
            expected.append(e)
        assert found == pytest.approx(expected, rel=1e-12)


def test_a_uniform_average_is_the_mean_of_the_path():
    *_, found = going(fused.Polyak, 5)
    assert found == pytest.approx([-1, -1.5, -2, -2.5, -3])


def test_lookahead_goes_on_from_between():
    """k = 2, alpha = 1/2: p = -1, -2 -> -1; -2, -3 -> -2."""
    p, _, _, found = going(lambda opt: fused.Lookahead(opt, k=2, alpha=0.5), 4)
    assert found == [0, -1, -1, -2]
    assert p.tolist() == [-2, -2]


def test_lookahead_with_alpha_one_changes_nothing():
    p, *_ = going(lambda opt: fused.Lookahead(opt, k=3, alpha=1.0), 7)
    assert p.tolist() == [-7, -7]


def test_averages_count_updates_not_batches():
    *_, found = going(fused.Polyak, 6, soft_batch=3)
    assert found == pytest.approx([0, 0, -1, -1, -1, -1.5])


def test_within_swap_the_parameters_are_the_average_and_then_themselves():
    p, _, average, found = going(fused.Polyak, 5)
    with pytest.raises(KeyError), average.swap():
        assert p.tolist() == [found[-1]] * 2
        raise KeyError
    assert p.tolist() == [-5, -5]


def test_an_average_goes_on_from_its_state_and_beside_any_optimizer():
    p, opt, average, _ = going(lambda opt: fused.EMA(opt, 0.9), 3)
    late = fused.EMA(opt, 0.9)
    late.load_state_dict(average.state_dict())
    p.grad = torch.ones_like(p)
    opt.step()
    assert torch.equal(late.tensors[p], average.tensors[p])
    late.remove()
    opt.step()
    assert not torch.equal(late.tensors[p], average.tensors[p])
    q = torch.zeros(1, requires_grad=True)
    theirs = torch.optim.SGD([q], lr=1.0)
    beside = fused.Polyak(theirs)
    q.grad = torch.ones(1)
    theirs.step()
    assert beside.tensors[q].item() == -1
    with pytest.raises(RuleError, match="the 1 averages are not of the shapes of the 1 parameters"):
        beside.load_state_dict(average.state_dict())


def test_the_average_of_bfloat16_parameters_is_kept_in_float32():
    """4,096 times 2^-12 towards -1: in bfloat16 the average would not move at all."""
    p = torch.zeros(1, dtype=torch.bfloat16, requires_grad=True)
    opt = fused.SGD([p], lr=0.0)
    average = fused.EMA(opt, 1 - 2.0**-12, warmup=False)
    p.grad = torch.zeros_like(p)
    with torch.no_grad():
        p.fill_(-1)
    for _ in range(4096):
        opt.step()
    assert average.tensors[p].item() == pytest.approx(-(1 - (1 - 2.0**-12) ** 4096), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda opt: fused.EMA(opt, 1.0), r"EMA: decay=1.0 is not a number in \[0, 1\)"),
        (lambda opt: fused.Lookahead(opt, alpha=2.0), "alpha=2.0 is not a number in"),
        (lambda opt: fused.Lookahead(opt, k=0), "k=0 is not a whole number"),
    ],
)
def test_wrong_numbers_of_averages_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(fused.SGD([torch.zeros(1, requires_grad=True)]))


def stepped(opt, p, values):
    """Steps after which the parameter has these values."""
    for value in values:
        p.grad = (p.detach() - value) / opt.param_groups[0]["lr"]
        opt.step()


def test_an_average_goes_on_after_going_back_one_update():
    """The number of updates is the one seen last again, and it is another update all the same."""
    p = torch.nn.Parameter(torch.zeros(1))
    opt = fused.SGD([p], lr=0.5)
    mean = fused.Polyak(opt)
    stepped(opt, p, [1.0])
    saved = copy.deepcopy(opt.state_dict())
    stepped(opt, p, [2.0])
    opt.load_state_dict(saved)
    stepped(opt, p, [6.0])
    assert mean.tensors[p].item() == 3.0


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_a_copy_of_an_average_follows_the_copied_optimizer(duplicate):
    p = torch.nn.Parameter(torch.zeros(1))
    opt = fused.SGD([p], lr=0.5)
    mean = fused.Polyak(opt)
    stepped(opt, p, [1.0])
    q, late, other = duplicate((p, opt, mean))
    stepped(late, q, [3.0])
    assert other.tensors[q].item() == 2.0
    assert mean.tensors[p].item() == 1.0


def test_a_parameter_that_joins_late_has_the_mean_of_its_own_path():
    """And one that leaves is not saved any more."""
    p, q = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    opt = fused.SGD([p], lr=0.5)
    mean = fused.Polyak(opt)
    stepped(opt, p, [1.0, 2.0, 3.0])
    opt.add_param_group({"params": [q]})
    p.grad = None
    stepped(opt, q, [4.0, 6.0])
    assert mean.tensors[q].item() == 5.0
    other = fused.Polyak(opt)
    other.load_state_dict(mean.state_dict())
    stepped(opt, q, [8.0])
    assert mean.tensors[q].item() == other.tensors[q].item() == 6.0
    opt.param_groups[0]["params"] = []
    stepped(opt, q, [8.0])
    assert list(mean.tensors) == [q]
