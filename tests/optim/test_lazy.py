"""Lazy rows: wherever a row is read, it is where the dense optimizer has it; and a step costs what the touched rows cost."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest

from thalweg import jit, optim
from thalweg.errors import RuleError
from thalweg.optim import agc, chain, clip_norm, schedule, schedules
from thalweg.optim.rules.transforms import Transform
from thalweg.optim.torch.idle import idle

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")

pytestmark = pytest.mark.skipif(not jit.enabled(), reason="lazy rows need the compiled back end")

RULES = [
    optim.SGD(lr=0.1),
    optim.SGD(lr=0.1, wd=0.1),
    optim.HeavyBall(lr=0.02),
    optim.HeavyBall(lr=0.02, wd=0.1, decay="decoupled"),
    optim.Nesterov(lr=0.02),
    optim.AdaGrad(lr=0.1),
    optim.RMSprop(lr=0.01),
    optim.RMSprop(lr=0.01, momentum=0.9, centered=True),
    optim.Adadelta(wd=0.1, decay="decoupled"),
    optim.Adam(lr=0.01),
    optim.AdamW(lr=0.01, wd=0.1),
    optim.NAdam(lr=0.01),
    optim.Adam(lr=0.01, eps=0.03),
    optim.AdamW(lr=0.01, wd=0.1, eps=1e-3, eps_at="uncorrected"),
    optim.Adam(lr=0.01, amsgrad="before"),
    optim.Lion(lr=0.01, wd=0.1),
    optim.SignSGD(lr=0.01),
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=repr)
HEIGHT, WIDTH = 40, 5


def start(dtype, sparse=False):
    torch.manual_seed(0)
    table = torch.nn.Embedding(HEIGHT, WIDTH, sparse=sparse, dtype=dtype)
    return table, torch.nn.Linear(WIDTH, 1, dtype=dtype)


def batches(n):
    """Rows 0 ... 2 nearly always, the others rarely; row 39 never before the end."""
    generator = torch.Generator().manual_seed(1)
    for k in range(n):
        common = torch.randint(0, 3, (4,), generator=generator)
        rare = torch.randint(3, HEIGHT - 1, (2,), generator=generator) if k % 3 == 0 else common[:2]
        yield torch.cat([common, rare])


def compare(rule, dtype, steps, tolerance, sparse=True, follows=True, later=None, **options):
    """The rows that a batch reads in the lazy and in the dense table, whenever they are read, and all of them in the end.

    follows=False takes slopes that do not depend on the weights, which would blow up what float32 rounds away.
    later: what changes in the group after half of the steps.
    """
    worlds, slopes = [], torch.Generator().manual_seed(2)
    for lazy in (True, False):
        table, head = start(dtype, sparse and lazy)
        opt = fused.Optimizer([*table.parameters(), *head.parameters()], rule, **options)
        if lazy:
            opt.lazy_rows(table)
        worlds.append((table, head, opt))
    for k, ids in enumerate(batches(steps)):
        read, slope = [], torch.randn((len(ids), WIDTH), generator=slopes).to(dtype)
        for table, head, opt in worlds:
            opt.zero_grad()
            rows = table(ids)
            read.append(rows.detach().clone())
            (torch.tanh(head(rows) - 1).square() if follows else rows * slope).sum().backward()
            opt.step()
            opt.param_groups[0]["lr"] = rule.lr * (1 + 0.5 * (k % 7 == 0))
            opt.param_groups[0].update(later if later and k == steps // 2 else {})
        torch.testing.assert_close(*read, rtol=0, atol=tolerance)
    (lazy, _, opt), (dense, _, other) = worlds
    mine, theirs = opt.state_dict()["state"][0], other.state_dict()["state"][0]  # saving brings all rows to the present
    torch.testing.assert_close(lazy.weight.detach(), dense.weight.detach(), rtol=0, atol=tolerance)
    for key, value in theirs.items():
        torch.testing.assert_close(mine[key].double(), value.double(), rtol=1e-4, atol=tolerance)


@every_rule
def test_a_row_is_where_the_dense_optimizer_has_it_in_float64(rule):
    """60 steps with a changing rate, sparse gradients: 1e-12 (Lion's sums and the idle powers are exact to round-off)."""
    compare(rule, torch.float64, 60, 1e-12)


@every_rule
def test_a_row_is_where_the_dense_optimizer_has_it_in_float32(rule):
    """300 steps, so that the loop over idle steps is cut and powers take its place: 1e-6. Under decay the dense path itself rounds

    an idle row at every step, the lazy one once: half a unit in the last place of p each time, as a random walk.
    """
    compare(rule, torch.float32, 300, 1e-5 if rule.wd else 1e-6, follows=False)


@pytest.mark.parametrize("rule", [optim.AdamW(lr=0.01, wd=0.1), optim.NAdam(lr=0.01)], ids=repr)
def test_long_idle_times_are_cut_to_the_terms_that_count(rule):
    """600 steps in float64: row 39 and the rare ones lack more than the 391 terms of b1 = 0.9."""
    compare(rule, torch.float64, 600, 1e-12)


BY_M_ALONE = [
    optim.Adam(lr=0.01),
    optim.AdamW(lr=0.01, wd=0.1, eps=1e-4),
    optim.NAdam(lr=0.01),
    optim.Adam(lr=0.01, eps_at="uncorrected"),
    chain(schedule(schedules.cosine(400)), optim.AdamW(lr=0.01, wd=0.1)),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("rule", BY_M_ALONE, ids=repr)
def test_idle_steps_without_slots_are_the_rules_own_whatever_eps_is_to_the_root_of_v(rule, dtype, monkeypatch):
    """sqrt v from 1e-12 to 1, any m, 10 to 300 idle steps at changing rates and under decay: one path, to round-off."""
    table, _ = start(dtype, sparse=True)
    opt = fused.Optimizer(table.parameters(), rule)
    rows = opt.lazy_rows(table)
    for k in range(300):
        opt.param_groups[0]["lr"] = 0.01 * (1 + 0.5 * (k % 7 == 0))
        opt.zero_grad()
        table(torch.tensor([0])).sum().backward()
        opt.step()
    state = opt.state[table.weight]
    arrays = [table.weight.detach(), state["exp_avg"], state["exp_avg_sq"]]
    root = 10 ** (-12 * torch.rand((HEIGHT, WIDTH), dtype=dtype))
    before = [arrays[0].clone(), torch.randn_like(root) * root, root.square()]
    ends = []
    for fast in (True, False):
        if not fast:
            monkeypatch.setattr(rows.table, "idle", dataclasses.replace(rows.table.idle, eps=0.0))
        for array, first in zip(arrays, before, strict=True):
            array.copy_(first)
        rows.last[:] = np.linspace(0, 290, HEIGHT)
        rows.bring(np.arange(HEIGHT))
        ends.append([array.clone() for array in arrays])
    tight = {"rtol": 1e-11, "atol": 1e-13} if dtype == torch.float64 else {"rtol": 2e-5, "atol": 4e-7}
    for without, looped in zip(*ends, strict=True):
        torch.testing.assert_close(without, looped, **tight)


@pytest.mark.parametrize("rule", [optim.Adam(amsgrad="before"), optim.Adam(eps=0), optim.RMSprop()], ids=repr)
def test_rules_whose_moves_are_more_than_m_times_a_function_keep_the_loop(rule):
    """AMSGrad divides by a V that does not fall with v; with eps = 0 there is no eps / sqrt v to go by."""
    assert not idle(rule, 30).eps


@pytest.mark.parametrize("later", [{"weight_decay": 0.1}, {"eps": 1e-2}, {"betas": (0.8, 0.99)}], ids=str)
def test_numbers_that_change_on_the_way_leave_the_steps_before_as_they_were(later):
    """Decay that is turned on is another program: idle steps from before it are made before it takes over."""
    compare(optim.AdamW(lr=0.01, wd=0.0), torch.float64, 60, 1e-12, later=later)


def test_a_table_may_be_a_single_number():
    table = torch.nn.Embedding(1, 1, sparse=True)
    opt = fused.Adam(table.parameters(), lr=0.1)
    opt.lazy_rows(table)
    for _ in range(3):
        opt.zero_grad()
        before = table.weight.item()
        table(torch.tensor([0])).sum().backward()
        opt.step()
        assert table.weight.item() == pytest.approx(before - 0.1, abs=1e-6)


def test_all_rows_are_brought_to_the_present_a_block_at_a_time(monkeypatch):
    monkeypatch.setattr("thalweg.optim.torch.rows.BLOCK", 7)
    compare(optim.AdamW(lr=0.01, wd=0.1), torch.float64, 100, 1e-12)


def test_dense_gradients_are_taken_at_the_rows_that_were_read():
    compare(optim.AdamW(lr=0.01, wd=0.1), torch.float64, 60, 1e-12, sparse=False)


def test_clipping_by_the_norm_of_all_and_a_schedule_are_those_of_the_dense_optimizer():
    rule = chain(clip_norm(0.05), schedule(schedules.warmup(9) * schedules.cosine(80)), optim.AdamW(lr=0.01, wd=0.1))
    compare(rule, torch.float64, 60, 1e-12)
    compare(chain(schedule(schedules.cosine(80)), optim.Lion(lr=0.01, wd=0.1)), torch.float64, 60, 1e-12)


def test_a_soft_batch_of_lazy_rows_is_one_large_batch():
    compare(optim.AdamW(lr=0.01, wd=0.1), torch.float64, 60, 1e-12, soft_batch=3)


def test_idle_rows_are_not_touched_before_they_are_read():
    """A step writes the rows of its batch and no other; `catch_up` writes them all."""
    table, _ = start(torch.float32, sparse=True)
    memory = table.weight.detach()  # what is kept of it from before shows the rows as they were left
    opt = fused.Adam(table.parameters(), lr=0.1)
    rows = opt.lazy_rows(table)
    for ids in (torch.arange(HEIGHT), torch.tensor([1, 2]), torch.tensor([2])):
        opt.zero_grad()
        before = memory.clone()
        table(ids).sum().backward()
        opt.step()
        moved = (memory != before).any(1).nonzero()[:, 0]
        assert set(moved.tolist()) <= set(ids.tolist())
    assert rows.last.tolist()[:4] == [1, 2, 3, 1]
    before = memory.clone()
    opt.catch_up()
    assert (memory != before).any(1).sum() == HEIGHT - 1
    assert rows.steps == 0


def test_the_mode_skip_is_the_path_of_sparse_adam():
    """torch.optim.SparseAdam: moments of absent rows do not fall, the rows do not move. It counts the same t."""
    ends = []
    for lazy in (True, False):
        table, head = start(torch.float64, sparse=True)
        opt = (
            fused.Adam(table.parameters(), lr=0.01, eps_at="uncorrected")
            if lazy
            else torch.optim.SparseAdam(table.parameters(), lr=0.01)
        )
        if lazy:
            opt.lazy_rows(table, mode="skip")
        for ids in batches(60):
            opt.zero_grad()
            torch.tanh(head(table(ids)) - 1).square().sum().backward()
            opt.step()
        ends.append(table.weight.detach())
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


def test_a_saved_state_goes_on_in_an_optimizer_with_or_without_lazy_rows():
    table, head = start(torch.float64, sparse=True)
    opt = fused.Adam(table.parameters(), lr=0.01)
    opt.lazy_rows(table)
    for ids in batches(20):
        opt.zero_grad()
        torch.tanh(head(table(ids)) - 1).square().sum().backward()
        opt.step()
    state, weights, ends = opt.state_dict(), table.weight.detach().clone(), []
    for lazy in (True, False):
        other, _ = start(torch.float64, sparse=lazy)
        with torch.no_grad():
            other.weight.copy_(weights)
        late = fused.Adam(other.parameters(), lr=0.01)
        late.load_state_dict(copy.deepcopy(state))
        if lazy:
            late.lazy_rows(other)
        for ids in batches(20):
            late.zero_grad()
            torch.tanh(head(other(ids)) - 1).square().sum().backward()
            late.step()
        late.state_dict()
        ends.append(other.weight.detach())
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)


def test_the_weights_that_a_module_saves_are_at_the_present():
    saved = []
    for lazy in (True, False):
        table, head = start(torch.float64, sparse=lazy)
        opt = fused.AdamW(table.parameters(), lr=0.01, weight_decay=0.1)
        if lazy:
            opt.lazy_rows(table)
        for ids in batches(12):
            opt.zero_grad()
            torch.tanh(head(table(ids)) - 1).square().sum().backward()
            opt.step()
        saved.append(torch.nn.Sequential(table, head).state_dict()["0.weight"])
    torch.testing.assert_close(*saved, rtol=0, atol=1e-12)


def test_averages_and_swap_see_all_rows_at_the_present():
    compared = []
    for lazy in (True, False):
        table, head = start(torch.float64, sparse=lazy)
        opt = fused.AdamW(table.parameters(), lr=0.01, weight_decay=0.1)
        if lazy:
            opt.lazy_rows(table)
        average = fused.Polyak(opt)
        for ids in batches(12):
            opt.zero_grad()
            torch.tanh(head(table(ids)) - 1).square().sum().backward()
            opt.step()
        compared.append(average.tensors[table.weight])
    torch.testing.assert_close(*compared, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (optim.LAMB(), "LAMB has no idle steps in closed form; rules that have are SGD"),
        (optim.Adam(wd=0.1), 'coupled weight decay moves idle rows of Adam nonlinearly; use decay="decoupled"'),
        (chain(agc(), optim.SGD()), "agc changes rows whose gradient is 0"),
        (optim.Adam(b1=0.9, b2=0.5), "for ever where b1 >= sqrt"),
    ],
    ids=["LAMB", "coupled", "agc", "betas"],
)
def test_a_rule_that_cannot_be_lazy_is_refused_in_one_line(rule, sentence):
    table, _ = start(torch.float32)
    with pytest.raises(RuleError, match=sentence):
        fused.Optimizer(table.parameters(), rule).lazy_rows(table)


def test_a_rule_or_transform_of_ones_own_is_not_taken_for_the_library_s_by_its_name():
    """They may be called SGD and clip_value and move rows whose gradient is 0."""

    @dataclasses.dataclass(frozen=True)
    class SGD(optim.Rule):
        lr: float = optim.rate(0.01)

        def step(self, p, g, s, t):
            p, g = self.decayed(p, g)
            return p - self.lr * (g + p - 1), s

    @dataclasses.dataclass(frozen=True)
    class clip_value(Transform):
        def __call__(self, p, g, t):
            return g + 1

    with pytest.raises(RuleError, match="lazy rows: own SGD has no idle steps"):
        idle(SGD(), 30)
    with pytest.raises(RuleError, match="clip_value changes rows whose gradient is 0"):
        idle(chain(clip_value(), optim.SGD()), 30)


def test_a_table_that_cannot_be_lazy_is_refused_in_one_line():
    table, head = start(torch.bfloat16)
    opt = fused.Adam(table.parameters())
    for use, sentence in (
        (lambda: opt.lazy_rows(table), r"bfloat16 on cpu needs the compiled back end"),
        (lambda: opt.lazy_rows(head), r"lazy_rows\(Linear\): its weight is no parameter of this optimizer"),
        (lambda: opt.lazy_rows(table, mode="lazy"), "mode='lazy' is neither exact nor skip"),
    ):
        with pytest.raises(RuleError, match=sentence):
            use()
