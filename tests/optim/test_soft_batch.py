"""The soft batch: k small batches make the step of one large one, and nothing else moves."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from thalweg import optim
from thalweg.errors import RuleError
from thalweg.optim import chain, clip_norm, schedule, schedules
from thalweg.optim.rules.transforms import sam

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")


def problem(dtype=torch.float64):
    """A small network and a loss that is a mean over samples."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2)).to(dtype)
    x, y = torch.randn(240, 4, dtype=dtype), torch.randn(240, 2, dtype=dtype)
    return model, x, y


def backward(model, x, y):
    model.zero_grad()
    torch.nn.functional.mse_loss(model(x), y).backward()


def trained(rule, sizes, soft: bool, steps=4, dtype=torch.float64, **options):
    """Parameters after steps on batches of sum(sizes) samples, cut into parts of these sizes or whole."""
    model, x, y = problem(dtype)
    opt = fused.Optimizer(model.parameters(), rule, soft_batch=len(sizes) if soft else 1, **options)
    total = sum(sizes)
    for k in range(steps):
        batch = slice(k * total, (k + 1) * total)
        xs, ys = ([whole] if not soft else whole.split(sizes) for whole in (x[batch], y[batch]))
        for part_x, part_y in zip(xs, ys, strict=True):
            backward(model, part_x, part_y)
            opt.step(weight=len(part_x))
    assert opt.updates == steps
    return [p.detach() for p in model.parameters()]


@pytest.mark.parametrize("sizes", [[15, 15, 15, 15], [30, 5, 24, 1]], ids=["equal", "unequal"])
@pytest.mark.parametrize("make", [*optim.RULES.values()], ids=lambda make: make.__name__)
def test_k_small_batches_are_one_large_one(make, sizes):
    """Weighted by samples, with decay, a schedule and clipping of the whole norm, to round-off in float64."""
    rule = chain(clip_norm(0.1), schedule(schedules.cosine(10)), make(wd=0.1))
    for a, b in zip(*(trained(rule, sizes, soft, backend="foreach") for soft in (True, False)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_the_mean_of_unequal_means_is_not_the_mean():
    """Without weights the parts of 30, 5, 24 and 1 samples count alike, and another step is made."""
    weighted = trained(optim.SGD(lr=0.1), [30, 5, 24, 1], soft=True)
    model, x, y = problem()
    opt = fused.SGD(model.parameters(), lr=0.1, soft_batch=4)
    for k in range(4):
        for part in slice_of(k):
            backward(model, x[part], y[part])
            opt.step()
    assert not torch.allclose(weighted[0], model[0].weight.detach(), rtol=1e-3)


def slice_of(k):
    begin = 60 * k
    return [slice(begin + a, begin + b) for a, b in ((0, 30), (30, 35), (35, 59), (59, 60))]


def test_between_updates_nothing_moves():
    """Neither p nor slots, t, decay or schedule: the whole optimizer is as it was."""
    model, x, y = problem()
    opt = fused.Optimizer(model.parameters(), chain(schedule(schedules.exp(0.5)), optim.AdamW(lr=0.1)), soft_batch=3)
    for k in range(7):
        backward(model, x[:10], y[:10])
        before = copy.deepcopy((list(opt.state.values()), model.state_dict(), opt.updates))
        opt.step()
        after = (list(opt.state.values()), model.state_dict(), opt.updates)
        same = repr(before) == repr(after)
        assert same == (k not in (2, 5)), k


def test_a_tail_is_flushed_with_its_own_weights():
    """Five batches with k = 3: an update of three, and one of two."""
    model, x, y = problem()
    opt = fused.SGD(model.parameters(), lr=0.1, soft_batch=3)
    twin, _, _ = problem()
    plain = torch.optim.SGD(twin.parameters(), lr=0.1)
    for part in (slice(0, 10), slice(10, 20), slice(20, 30), slice(30, 35), slice(35, 55)):
        backward(model, x[part], y[part])
        opt.step(weight=part.stop - part.start)
    opt.flush()
    opt.flush()  # nothing is left
    for part in (slice(0, 30), slice(30, 55)):
        backward(twin, x[part], y[part])
        plain.step()
    assert opt.updates == 2
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_gradient_of_the_last_batch_is_still_there_afterwards():
    model, x, y = problem()
    opt = fused.SGD(model.parameters(), soft_batch=2)
    for part in (slice(0, 10), slice(10, 30)):
        backward(model, x[part], y[part])
        mine = model[0].weight.grad
        kept = mine.clone()
        opt.step()
        assert model[0].weight.grad is mine
        assert torch.equal(mine, kept)


def test_a_soft_batch_of_bfloat16_is_added_up_in_float32():
    """256 gradients of 1 and one of 2^-8 each: in bfloat16 the sum would stop at 256. The mean is 1 + 2^-8, rounded once."""
    p = torch.zeros(1, dtype=torch.bfloat16, requires_grad=True)
    opt = fused.SGD([p], lr=1.0, soft_batch=512)
    for k in range(512):
        p.grad = torch.full_like(p, 1.0 if k % 2 else 1.0 + 2**-7)
        opt.step()
    assert p.item() == torch.tensor(-(1 + 2**-8)).to(torch.bfloat16).item()


def test_a_parameter_without_gradients_counts_as_zero_in_a_batch_that_has_others():
    """g = (w_1 g_1 + w_2 0) / (w_1 + w_2); one that has none in any batch is left alone."""
    p, q, r = (torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in range(3))
    opt = fused.Optimizer([p, q, r], optim.SGD(lr=1.0), soft_batch=2)
    for g, weight in ((4.0, 1), (None, 3)):
        p.grad = torch.full_like(p, 4.0)
        q.grad = None if g is None else torch.full_like(q, g)
        opt.step(weight=weight)
    assert [p.item(), q.item(), r.item()] == [-4, -1, 0]
    assert r not in opt.state


def test_a_batch_that_is_begun_is_saved_and_pickled():
    model, x, y = problem()
    opt = fused.Adam(model.parameters(), soft_batch=3)
    for k in range(2):
        backward(model, x[10 * k :], y[10 * k :])
        opt.step(weight=10 + k)
    twin_model, twin = pickle.loads(pickle.dumps((model, opt)))
    late_model = copy.deepcopy(model)
    late = fused.Adam(late_model.parameters(), soft_batch=3)
    late.load_state_dict(opt.state_dict())
    for m, o in ((model, opt), (twin_model, twin), (late_model, late)):
        backward(m, x[:30], y[:30])
        o.step(weight=5)
        assert o.updates == 1
    for other in (twin_model, late_model):
        for a, b in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)


def test_a_grad_scaler_s_scale_is_divided_out_of_every_batch():
    p = torch.zeros(1, requires_grad=True)
    opt = fused.SGD([p], lr=1.0, soft_batch=2)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for slope in (2.0, 4.0):
        p.grad = None
        scaler.scale((slope * p).sum()).backward()
        scaler.step(opt)
        scaler.update()
    assert p.item() == -3


def test_a_batch_of_weight_zero_adds_nothing_whatever_its_mean_is():
    """transformers 24725: the mean over the tokens of a batch without any is 0 / 0."""
    found = []
    for weights in ([3, 0, 2], [3, 2]):
        p = torch.ones(2, dtype=torch.float64, requires_grad=True)
        opt = fused.Adam([p], soft_batch=len(weights))
        for weight in weights:
            p.grad = torch.full_like(p, float(weight) if weight else float("nan"))
            opt.step(weight=weight)
        assert opt.updates == 1
        found.append(p.detach())
    assert torch.equal(*found)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "3", True])
def test_a_weight_is_a_number_of_at_least_zero(weight):
    p = torch.zeros(1, requires_grad=True)
    p.grad = torch.ones(1)
    with pytest.raises(RuleError, match="of a batch is not a number of at least 0"):
        fused.SGD([p], soft_batch=2).step(weight=weight)
    with pytest.raises(ValueError, match="soft_batch=0 is not a whole number"):
        fused.SGD([p], soft_batch=0)


def test_going_back_to_a_checkpoint_forgets_a_begun_batch():
    """Half a batch, then a state from between two updates: the next gradient is the first of a batch."""
    p = torch.nn.Parameter(torch.zeros(1))
    opt = fused.SGD([p], lr=1.0, soft_batch=2)
    saved = opt.state_dict()
    for g in (100.0, 1.0, 3.0):
        p.grad = torch.full((1,), g)
        opt.step()
        if g == 100:
            opt.load_state_dict(saved)
    assert p.item() == -2.0


def test_a_parameter_cut_in_the_middle_of_a_batch_is_refused():
    """The sum so far is of another shape; one number of it would be broadcast."""
    p = torch.nn.Parameter(torch.zeros(3))
    opt = fused.SGD([p], lr=1.0, soft_batch=2)
    p.grad = torch.ones(3)
    opt.step()
    p.data, p.grad = torch.zeros(1), None
    p.grad = torch.ones(1)
    with pytest.raises(RuleError, match="before you change a tensor"):
        opt.step()


@pytest.mark.parametrize("left_out", ["", "b"])
def test_a_begun_batch_follows_a_hook_that_brings_the_state_into_another_order(left_out):
    """The sums were a list beside the state: in another order, parameters of one shape took each other's without a word."""

    def made(order):
        torch.manual_seed(0)
        named = {name: torch.nn.Parameter(torch.randn(4)) for name in "abc"}
        return named, fused.SGD([(name, named[name]) for name in order], lr=0.1, soft_batch=2)

    def by_name(opt, given):
        ours, theirs = ([n for group in each for n in group["param_names"]] for each in (opt.param_groups, given["param_groups"]))
        state = {ours.index(name): given["state"][theirs.index(name)] for name in ours if theirs.index(name) in given["state"]}
        group = {**given["param_groups"][0], "params": list(range(len(ours))), "param_names": ours}
        return {**given, "state": state, "param_groups": [group]}

    named, opt = made("abc")
    for k, p in enumerate(named.values()):
        p.grad = torch.full_like(p, k + 1.0)
    opt.step()
    order = "cab".replace(left_out, "")
    again, other = made(order)
    other.register_load_state_dict_pre_hook(by_name)
    other.load_state_dict(opt.state_dict())
    for each, name in [(named, "abc"), (again, order)]:
        for n in name:
            each[n].grad = torch.zeros(4)
    opt.step()
    other.step()
    assert other.updates == 1
    for name in order:
        assert torch.equal(named[name], again[name])


@pytest.mark.filterwarnings("ignore:Failed to import triton|.*flatten")
@pytest.mark.parametrize(
    "rule", [optim.AdamW(lr=0.1), chain(sam(0.05), optim.SGD(lr=0.1))], ids=["soft batch", "several gradients"]
)
@pytest.mark.parametrize("flat", [False, True])
def test_what_torch_distributed_writes_and_reads_goes_on_as_it_was(flat, rule):
    """It knows "state" and "param_groups" alone, and of a flat state the keys that are there: a begun batch was lost."""
    form = pytest.importorskip("torch.distributed.checkpoint.state_dict")
    options = form.StateDictOptions(flatten_optimizer_state_dict=flat)
    ends = []
    for reloaded in (False, True):
        model, x, y = problem()
        soft_batch = 2 if rule == optim.AdamW(lr=0.1) else 1
        opt = fused.Optimizer(model.parameters(), rule, soft_batch=soft_batch)
        for k in range(6):
            if reloaded and k == 3:
                kept = copy.deepcopy(form.get_optimizer_state_dict(model, opt, options=options))
                opt.zero_grad()  # with gradients torch makes no empty step, and loads nothing of a flat state
                opt = fused.Optimizer(model.parameters(), rule, soft_batch=soft_batch)
                form.set_optimizer_state_dict(model, opt, kept, options=options)

            def closure(k=k, model=model, opt=opt, x=x, y=y):
                opt.zero_grad()
                loss = ((model(x[10 * k : 10 * k + 10]) - y[10 * k : 10 * k + 10]) ** 2).mean()
                loss.backward()
                return loss

            opt.step(closure)
        ends.append([p.detach() for p in model.parameters()])
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


def test_a_weight_may_be_any_number_and_several_are_refused():
    p = torch.nn.Parameter(torch.zeros(2))
    opt = fused.SGD([p], lr=1.0, soft_batch=2)
    for weight in (np.int64(3), np.float32(1)):
        p.grad = torch.full((2,), float(weight))
        opt.step(weight=weight)
    assert p.tolist() == [-2.5, -2.5]  # (3 * 3 + 1 * 1) / 4
    with pytest.raises(RuleError, match="weight=tensor"):
        opt.step(weight=torch.ones(2))
