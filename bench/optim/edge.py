"""Do the limits of `dynamics.stability` hold in runs?

    python bench/optim/edge.py

1. On the second-order model of a small network's loss (its Hessian at a trained point), the rate at which a rule begins to diverge,
   by bisection of real runs, against the limit. Adaptive rules with their v held still.
2. Training a 4-12-1 tanh network on 64 samples, full batch, 7,000 steps: lr times the (preconditioned) sharpness, the median of
   the last 2,000 steps, against the limit (Cohen et al. 2021 and 2022).
"""

from __future__ import annotations

import statistics

import numpy as np
import torch
from torch import nn

from thalweg import optim
from thalweg.optim.diagnosis.rates import Rates
from thalweg.optim.dynamics import stability
from thalweg.optim.torch import Optimizer


def network(seed: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 1)).double()
    x = torch.randn(64, 4, dtype=torch.float64)
    y = torch.sin(2 * x[:, :1]) + 0.5 * x[:, 1:2] * x[:, 2:3] + 0.3 * torch.randn(64, 1, dtype=torch.float64)
    return model, x, y


def loss_of(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return ((model(x) - y) ** 2).mean()


def hessian(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    parameters = list(model.parameters())
    grads = torch.autograd.grad(loss_of(model, x, y), parameters, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in grads])
    rows = [torch.cat([h.reshape(-1) for h in torch.autograd.grad(each, parameters, retain_graph=True)]) for each in flat]
    return torch.stack(rows)


def divergence(rule: optim.Rule, matrix: np.ndarray) -> float:
    """The largest lr times sharpness at which 4,000 steps on the quadratic stay bounded; v of adaptive rules held at 1."""
    values = np.linalg.eigvalsh(matrix)
    values = values[values > 0]
    held = {name: decay for name, decay in (("b2", 1 - 1e-15), ("alpha", 1 - 1e-15)) if hasattr(rule, name)}
    low, high = 0.5, 100.0
    while high / low > 1.002:
        x = (low * high) ** 0.5
        run = rule.replace(lr=x / values[-1], **held)
        p, s = np.ones_like(values), run.init(np.ones_like(values))
        if held:
            s = s(**{**vars(s), "v": np.ones_like(values)})
        late = 10**18 if held else 0  # the corrections for the start are over
        with np.errstate(all="ignore"):
            for t in range(1, 4001):
                p, s = run.step(p, values * p, s, late + t)
                if held:
                    s = s(**{**vars(s), "v": np.ones_like(values)})
                if not np.abs(p).max() < 1e9:
                    break
        low, high = (low, x) if not np.abs(p).max() < 10 else (x, high)
    return low


def edge(rule: optim.Rule, seed: int, steps: int = 7000) -> float:
    """The median of lr times (preconditioned) sharpness over the last 2,000 steps."""
    model, x, y = network(seed)
    optimizer = Optimizer(model.parameters(), rule)
    found = []
    for t in range(steps):
        optimizer.zero_grad()
        loss_of(model, x, y).backward()
        optimizer.step()
        if t >= steps - 2000 and t % 20 == 0:
            root = Rates(optimizer).vector.double().sqrt()
            found.append(float(torch.linalg.eigvalsh(root[:, None] * hessian(model, x, y) * root)[-1]))
    return statistics.median(found)


if __name__ == "__main__":
    torch.set_num_threads(1)  # of such small tensors two threads cost more than they give
    model, x, y = network(0)
    optimizer = Optimizer(model.parameters(), optim.Adam(lr=1e-2))
    for _ in range(500):
        optimizer.zero_grad()
        loss_of(model, x, y).backward()
        optimizer.step()
    matrix = hessian(model, x, y).numpy()
    print("| rule | limit | runs on the network's quadratic model diverge at | ratio |\n| --- | --- | --- | --- |")
    rules = [optim.SGD(), optim.HeavyBall(), optim.HeavyBall(dampening=0.9), optim.Nesterov(), optim.RMSprop(), optim.Adam()]
    for rule in [*rules, optim.NAdam(schedule="none"), optim.Heun(), optim.RK(order="4")]:
        if isinstance(rule, optim.Heun | optim.RK):
            continue  # several gradients: their limits are tested against closed forms
        limit, found = stability(rule).limit, divergence(rule, matrix)
        print(f"| {rule!r} | {limit:.4f} | {found:.4f} | {found / limit:.4f} |", flush=True)
    print("\n| rule, full batch, 7,000 steps | limit | median of lr times sharpness, seeds 0 to 2 |\n| --- | --- | --- |")
    for rule in (optim.SGD(lr=0.5), optim.RMSprop(lr=3e-3), optim.Adam(lr=3e-3), optim.Adam(lr=1e-2)):
        medians = [edge(rule, seed) for seed in range(3)]
        print(f"| {rule!r} | {stability(rule).limit:.2f} | {', '.join(f'{m:.3f}' for m in medians)} |", flush=True)
