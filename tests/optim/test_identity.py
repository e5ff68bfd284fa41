"""A step is that of the tensors that are there now: what is handed to a kernel by address is looked at before each step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from thalweg import jit, optim
from thalweg.errors import RuleError

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")
watching = pytest.importorskip("thalweg.optim.backends.watch")

compiled = pytest.mark.skipif(not jit.enabled(), reason="THALWEG_JIT=0: nothing goes by addresses")


@compiled
@pytest.mark.parametrize("seed", [0, 1])
def test_no_launch_leaves_its_tensors_whatever_is_done_to_them_between_the_steps(seed):
    """100 steps and changes in a process of their own, forbidden pages behind all tensors; torch.optim.Adam takes the same path."""
    walk = Path(__file__).with_name("guarded_walk.py")
    done = subprocess.run([sys.executable, str(walk), str(seed)], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:] or f"ended by signal {-done.returncode}"


@pytest.mark.parametrize("backend", ["auto", "foreach", "single"])
def test_a_parameter_put_in_the_place_of_another_is_stepped(backend):
    """Gaussian splatting replaces its tensors as it goes: the groups are as long as before, and the states as many."""
    p = torch.nn.Parameter(torch.ones(3))
    opt = fused.Adam([p], lr=0.1, backend=backend)
    for _ in range(2):
        p.grad = torch.ones(3)
        opt.step()
    state = opt.state.pop(p)
    q = torch.nn.Parameter(p.detach().clone())
    opt.param_groups[0]["params"][0] = q
    opt.state[q] = state
    q.grad = torch.ones(3)
    opt.step()
    torch.testing.assert_close(q.detach(), torch.full((3,), 0.7))
    assert opt.state[q]["step"] == 3


@pytest.mark.parametrize("backend", ["auto", "foreach"])
def test_a_slot_put_in_the_place_of_another_is_the_one_that_is_used(backend):
    """One of a single number too, which is equal to the old one: equal is not the same."""
    p = torch.nn.Parameter(torch.ones(1))
    opt = fused.SGD([p], lr=1.0, momentum=0.5, backend=backend)
    p.grad = torch.ones(1)
    opt.step()
    old, new = opt.state[p]["momentum_buffer"], torch.ones(1)
    opt.state[p]["momentum_buffer"] = new
    opt.step()
    assert new.item() == 1.5
    assert old.item() == 1.0
    assert p.item() == 1 - 1 - 1.5


@pytest.mark.parametrize("backend", ["auto", "foreach", "single"])
@pytest.mark.parametrize("what", ["parameter", "gradient", "slot", "master"])
def test_a_tensor_of_another_shape_is_refused_and_nothing_moves(what, backend):
    """One number would be broadcast over all of them by torch's own operations, and a kernel would read beyond it."""
    params = [torch.nn.Parameter(torch.ones(6, dtype=torch.bfloat16)) for _ in range(2)]
    opt = fused.Adam(params, lr=0.1, backend=backend, master=True)
    for _ in range(2):
        for p in params:
            p.grad = torch.ones_like(p)
        opt.step()
    last, held = params[1], opt.state[params[1]]
    if what in ("parameter", "gradient"):
        (last if what == "parameter" else last.grad).data = torch.ones(1, dtype=torch.bfloat16)
    else:
        held[{"slot": "exp_avg", "master": "master"}[what]] = torch.ones(1)
    before = [p.detach().clone() for p in params] + [opt.state[params[0]]["exp_avg"].clone()]
    with pytest.raises(RuleError, match=r"\(1,\)"):
        opt.step()
    after = [p.detach() for p in params] + [opt.state[params[0]]["exp_avg"]]
    assert all(map(torch.equal, before, after))


@compiled
@pytest.mark.parametrize("what", ["parameter", "gradient", "slot"])
def test_memory_that_was_freed_is_refused(what):
    """Sharding frees a storage for a while; the tensor keeps its shape."""
    p = torch.nn.Parameter(torch.ones(6))
    opt = fused.Adam([p])
    p.grad = torch.ones(6)
    opt.step()
    x = {"parameter": p, "gradient": p.grad, "slot": opt.state[p]["exp_avg"]}[what]
    x.untyped_storage().resize_(0)
    with pytest.raises(RuleError, match=r"freed|another model's"):
        opt.step()


def test_slots_that_share_memory_are_stepped_in_turn():
    """exp_avg of both parameters is one tensor: the second moves by what the first has left there, as with torch.optim.Adam."""
    ends = []
    for make in (lambda ps: torch.optim.Adam(ps, lr=0.1, foreach=False), lambda ps: fused.Adam(ps, lr=0.1)):
        params = [torch.nn.Parameter(torch.ones(4)) for _ in range(2)]
        opt = make(params)
        for k in range(3):
            for sign, p in zip((1, -2), params, strict=True):
                p.grad = torch.full((4,), float(sign))
            opt.step()
            if k == 0:
                opt.state[params[1]]["exp_avg"] = opt.state[params[0]]["exp_avg"]
        ends.append(torch.stack([p.detach() for p in params]))
    torch.testing.assert_close(*ends)


LOOKS = {
    "cut": lambda x: setattr(x, "data", x.data[:2]),
    "turned": lambda x: setattr(x, "data", x.data.t()),
    "moved": lambda x: setattr(x, "data", x.data.clone()),
    "of integers": lambda x: setattr(x, "data", x.data.view(torch.int32)),
    "one more axis": lambda x: x.unsqueeze_(0),
    "another storage": lambda x: x.set_(torch.ones(3, 3)),
}


@pytest.mark.parametrize("held", [False, True], ids=["parameter", "slot"])
@pytest.mark.parametrize("change", LOOKS.values(), ids=LOOKS.keys())
@pytest.mark.parametrize("kind", ["compiled", "plain"])
def test_whatever_is_done_to_a_tensor_is_seen(kind, change, held, monkeypatch):
    """By compiled code, and one by one where torch has no interface for it."""
    if kind == "plain":
        monkeypatch.setattr(watching, "interfaces", lambda: None)
    elif not jit.enabled() or watching.interfaces() is None:
        pytest.skip("this torch has no interface to compiled code, or none is compiled")
    p, slot = torch.zeros(3, 3), torch.zeros(3, 3)
    watch = watching.watch([torch.zeros(2), p], [[torch.zeros(2), slot]], addressed=True)
    assert (type(watch) is watching.Watch) == (kind == "plain")
    assert not watch.moved()
    change(slot if held else p)
    assert watch.moved()


@pytest.mark.parametrize("kind", ["compiled", "compiled, without the place of signs", "plain"])
def test_gradients_are_as_their_parameters_or_missing_or_odd(kind, monkeypatch):
    if kind == "plain":
        monkeypatch.setattr(watching, "interfaces", lambda: None)
    elif "without" in kind and (found := watching.interfaces()) is not None:
        monkeypatch.setattr(watching, "interfaces", lambda: found._replace(sign=np.zeros(3, np.int64)))
    good = torch.zeros(2, 3)
    sparse = torch.sparse_coo_tensor([[0]], [[1.0, 1.0, 1.0]], (2, 3), check_invariants=True)
    negative = torch._neg_view(torch.zeros(2, 3))
    given = [good, None, sparse, torch.zeros(3, 2).t(), torch.zeros(3, 2), torch.zeros(2, 3).double(), negative]
    watch = watching.watch([torch.zeros(2, 3) for _ in given], [], addressed=True)
    addresses = np.zeros(len(given), dtype=np.int64)
    assert watch.compare(given, addresses).tolist() == [0, 1, 2, 2, 2, 2, 2]
    assert addresses[0] == good.data_ptr()
    assert not addresses[1:-1].any()


def test_the_place_of_signs_is_found_where_the_interfaces_are():
    """Without it every gradient is asked in Python, which costs a tenth of a step over thousands of small tensors."""
    found = watching.interfaces()
    if found is None:
        pytest.skip("this torch has no such interfaces")
    assert found.sign.all()


@pytest.mark.parametrize("options", [{}, {"backend": "foreach"}, {"backend": "single"}, {"master": True}], ids=str)
def test_autograd_hears_of_those_parameters_that_were_stepped_and_of_no_others(options):
    """Alternating losses: a graph that holds a parameter without gradient in this step is still good."""
    dtype = torch.bfloat16 if "master" in options else torch.float32
    a, b = (torch.nn.Parameter(torch.ones(3, dtype=dtype)) for _ in range(2))
    opt = fused.Adam([a, b], lr=0.1, **options)
    (a.square() + b.square()).sum().backward()
    opt.step()
    opt.zero_grad()
    kept, stale = b.square().sum(), a.square().sum()
    a.sum().backward()
    opt.step()
    kept.backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        stale.backward()


CLIPPED = [optim.chain(each, optim.Adam()) for each in (optim.clip_norm(0.1), optim.agc(), optim.freeze_nonfinite("raise"))]


@pytest.mark.parametrize("rule", [*(optim.get(name)() for name in optim.RULES), *CLIPPED], ids=repr)
@pytest.mark.parametrize("shapes", [[(0,)], [(0, 4), (4, 0)]], ids=str)
def test_an_empty_tensor_is_left_alone_and_changes_nothing_for_others(rule, shapes):
    """A layer of width 0, or the empty shard of a group: nothing to step, to sum or to keep."""
    ends = []
    for others in ([], shapes):
        p = torch.nn.Parameter(torch.arange(12.0).reshape(3, 4))
        empty = [torch.nn.Parameter(torch.zeros(shape)) for shape in others]
        opt = fused.Optimizer([*empty[:1], p, *empty[1:]], rule)

        def closure(p=p, empty=empty):
            for each in (p, *empty):
                each.grad = 0.1 * each.detach() + 1
            return p.sum()

        for _ in range(2):
            opt.step(closure)
        opt.load_state_dict(opt.state_dict())
        opt.step(closure)
        ends.append(p.detach())
    assert torch.equal(*ends)


def test_an_empty_tensor_that_grows_is_stepped():
    p = torch.nn.Parameter(torch.zeros(0))
    opt = fused.SGD([p], lr=1.0)
    p.grad = torch.zeros(0)
    opt.step()
    p.data, p.grad = torch.ones(2), None
    p.grad = torch.ones(2)
    opt.step()
    assert p.tolist() == [0, 0]


@pytest.mark.parametrize("backend", ["auto", "foreach", "single"])
def test_a_tensor_without_memory_is_stepped_as_torch_does(backend):
    """A model on the "meta" device, as whoever plans memory has it: DLPack knows no such tensor, and what it left was read."""
    p = torch.nn.Parameter(torch.ones(2, 3, device="meta"))
    opt = fused.Adam([p], backend=backend)
    for _ in range(2):
        p.grad = torch.ones_like(p)
        opt.step()
    assert opt.state[p]["step"] == 2
    assert opt.state[p]["exp_avg"].device.type == "meta"


@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_what_no_rule_can_be_computed_for_is_refused_at_once():
    """complex32 became NaN, float8 failed within the step, sparse parameters when their slots were made."""
    x = torch.eye(3)
    for odd, said in (
        (x.to(torch.complex32), "complex32"),
        (x.to(torch.float8_e5m2), "float8_e5m2"),
        (x.to_sparse(), "sparse_coo"),
    ):
        with pytest.raises(RuleError, match=f"is torch.{said}; a rule can be computed for dense tensors of float16, "):
            fused.SGD([torch.nn.Parameter(odd)])
