"""Several processes, sharded tensors, compiled steps, memory: what surrounds a step in larger trainings."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from thalweg import optim
from thalweg.optim import chain, clip_norm

torch = pytest.importorskip("torch")
fused = pytest.importorskip("thalweg.optim.torch")

SCRIPT = """
import sys, warnings
import torch
import torch.distributed as dist
import thalweg.optim.torch as fused
from thalweg import optim
from thalweg.optim import chain, clip_norm

warnings.simplefilter("ignore")
rank, port = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
torch.manual_seed(0)
x, y = torch.randn(16, 4), torch.randn(16, 2)

def network():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2))

def train(model, opt, part, steps=5):
    for _ in range(steps):
        opt.zero_grad()
        torch.nn.functional.mse_loss(model(x[part]), y[part]).backward()
        opt.step()

RULE = chain(clip_norm(0.05), optim.AdamW(lr=0.05))
alone = network()
train(alone, fused.Optimizer(alone.parameters(), RULE), slice(0, 16))
truth = [p.detach() for p in alone.parameters()]

mine = network()
model = torch.nn.parallel.DistributedDataParallel(mine)
train(model, fused.Optimizer(model.parameters(), RULE), slice(8 * rank, 8 * rank + 8))
for a, b in zip(mine.parameters(), truth):
    torch.testing.assert_close(a.detach(), b, rtol=1e-4, atol=1e-5)

from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
for rule in (RULE, optim.AdamW(lr=0.05), optim.Muon(lr=0.05)):
    alone = network()
    train(alone, fused.Optimizer(alone.parameters(), rule), slice(0, 16))
    sharded = network()
    fully_shard(sharded, mesh=init_device_mesh("cpu", (2,)))
    opt = fused.Optimizer(sharded.parameters(), rule)
    train(sharded, opt, slice(8 * rank, 8 * rank + 8))
    for a, b in zip(sharded.parameters(), alone.parameters()):
        torch.testing.assert_close(a.full_tensor().detach(), b.detach(), rtol=1e-3, atol=1e-4)
dist.destroy_process_group()
print("both agree")
"""


def test_two_processes_and_sharded_parameters_go_where_one_process_goes(tmp_path):
    """DDP and FSDP2 over gloo, half the batch each, against one process with all of it; clipping sees the norm of all shards."""
    script = tmp_path / "worker.py"
    script.write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    workers = [
        subprocess.Popen([sys.executable, str(script), str(rank), port], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for worker in workers:
        out, error = worker.communicate(timeout=200)
        assert out.strip() == "both agree", error[-2000:]


def test_a_user_s_whole_step_can_be_compiled():
    """torch.compile traces the loss with AOT autograd, and runs the step, which is compiled already, as it is."""
    ends = []
    for compiled in (True, False):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        opt = fused.Optimizer(model.parameters(), chain(clip_norm(0.1), optim.AdamW(lr=0.1)))
        x = torch.ones(5, 3)

        def step(model=model, opt=opt, x=x):
            opt.zero_grad()
            model(x).square().mean().backward()
            opt.step()

        run = torch.compile(step, backend="aot_eager") if compiled else step
        for _ in range(4):
            run()
        ends.append([p.detach() for p in model.parameters()])
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("backend", "slices"), [("numba", 0), ("foreach", 2)])
def test_a_step_takes_little_memory_beside_the_state(backend, slices, monkeypatch):
    """Adam, 20 tensors of 4 MB: nothing on the compiled path, at most two slices (of 16 MB here) of results on that of lists."""
    from torch.profiler import ProfilerActivity, profile

    from thalweg import jit
    from thalweg.optim.backends import foreach

    if backend == "numba" and not jit.enabled():
        pytest.skip("no numba")
    monkeypatch.setattr(foreach, "SLICE", 1 << 22)
    params = [torch.zeros(1 << 20, requires_grad=True) for _ in range(20)]
    for p in params:
        p.grad = torch.ones_like(p)
    opt = fused.Optimizer(params, optim.Adam(), backend=backend)
    opt.step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        opt.step()
    held = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    assert most <= slices * (1 << 24) + (1 << 16)


def test_biases_norms_and_vectors_are_not_decayed():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm((2, 2)), torch.nn.Linear(4, 1, bias=False))
    model[2].weight.requires_grad_(False)
    groups = fused.decay_groups(model, 0.1)
    assert [[name for name, _ in group["params"]] for group in groups] == [["0.weight"], ["0.bias", "1.weight", "1.bias"]]
    opt = fused.AdamW(groups, lr=0.5)
    for group in opt.param_groups:
        for p in group["params"]:
            p.grad = torch.zeros_like(p)
    before = [p.detach().clone() for p in model.parameters()]
    opt.step()
    for (name, p), start in zip(model.named_parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), start * (0.95 if name == "0.weight" else 1))
