"""What does a step cost through optax and Keras, beside their own optimizers?

Question: CPU and wall milliseconds of a step over ResNet-50's 161 tensors (25.6 M): optax's own against `thalweg.optim.optax`, both
jitted with donated buffers; Keras' own against `thalweg.optim.keras`, on the torch backend (`apply`) and on jax (jitted
`stateless_apply`, as Keras trains). Candidates interleaved in one process for each backend; medians and quartiles, and the ratio of
ours to the built-in round by round.
Peers: optax 0.2, Keras 3.
Command: python bench/optim/faces.py [rounds]          (about 4 minutes)
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

RULES = ("Adam", "RMSprop", "Lion")


def interleaved(title: str, steps: dict[str, Callable[[], Any]], rounds: int) -> None:
    """One line: what both cost, and the ratio of the second to the first."""
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    wall: dict[str, list[float]] = {name: [] for name in steps}
    for k in range(rounds + 2):
        for name, step in steps.items():
            began = time.process_time(), time.perf_counter()
            step()
            if k > 1:  # the first rounds compile
                cpu[name].append(1e3 * (time.process_time() - began[0]))
                wall[name].append(1e3 * (time.perf_counter() - began[1]))
    built_in, ours = steps
    ratios = [b / a for a, b in zip(wall[built_in], wall[ours], strict=True)]
    shown = [_quartiles(values) for values in (cpu[built_in], cpu[ours], wall[built_in], wall[ours], ratios)]
    print(f"| {title} | {' | '.join(shown)} |", flush=True)


def _quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def optax_steps(rounds: int) -> None:
    import jax
    import optax
    from steps import resnet50

    from thalweg import optim
    from thalweg.optim.optax import transform

    shapes = resnet50()
    for name in RULES:
        steps: dict[str, Callable[[], Any]] = {}
        for who, tx in (
            ("optax", getattr(optax, name.lower())(1e-3)),
            ("thalweg", transform(optim.get(name).like("optax"), lr=1e-3)),
        ):
            params = [jax.numpy.ones(shape) for shape in shapes]

            def one(params: Any, state: Any, grads: Any, tx: Any = tx) -> Any:
                updates, state = tx.update(grads, state, params)
                return optax.apply_updates(params, updates), state

            jitted = jax.jit(one, donate_argnums=(0, 1))
            held = {"params": params, "state": tx.init(params), "grads": [jax.numpy.full(shape, 0.1) for shape in shapes]}

            def run(held: dict[str, Any] = held, jitted: Any = jitted) -> None:
                held["params"], held["state"] = jax.block_until_ready(jitted(held["params"], held["state"], held["grads"]))

            steps[who] = run
        interleaved(f"{name}, optax under jit", steps, rounds)


def keras_steps(rounds: int, backend: str) -> None:
    import keras
    from steps import resnet50

    from thalweg import optim
    from thalweg.optim.keras import Optimizer

    shapes = resnet50()
    for name in RULES:
        steps: dict[str, Callable[[], Any]] = {}
        for who, optimizer in (("keras", getattr(keras.optimizers, name)()), ("thalweg", Optimizer(optim.get(name).like("keras")))):
            variables = [keras.Variable(np.ones(shape, np.float32)) for shape in shapes]
            grads = [keras.ops.full(shape, 0.1) for shape in shapes]
            optimizer.build(variables)
            steps[who] = (
                _jitted(optimizer, variables, grads)
                if backend == "jax"
                else lambda o=optimizer, g=grads, v=variables: o.apply(g, v)
            )
        interleaved(f"{name}, Keras on {backend}", steps, rounds)


def _jitted(optimizer: Any, variables: list[Any], grads: list[Any]) -> Callable[[], None]:
    import jax

    step = jax.jit(optimizer.stateless_apply, donate_argnums=(0, 2))
    held = {"state": [v.value for v in optimizer.variables], "params": [v.value for v in variables]}

    def run() -> None:
        held["params"], held["state"] = jax.block_until_ready(step(held["state"], grads, held["params"]))

    return run


def main() -> None:
    if os.environ.get("THALWEG_FACES"):
        backend, rounds = os.environ["THALWEG_FACES"], int(sys.argv[1])
        optax_steps(rounds) if backend == "optax" else keras_steps(rounds, backend)
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(
        "| rule, through | CPU ms, built-in | CPU ms, thalweg | wall ms, built-in | wall ms, thalweg | wall, thalweg / built-in |"
    )
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for backend in ("optax", "torch", "jax"):  # a process each: Keras has one backend for its life
        extra = {"THALWEG_FACES": backend, "KERAS_BACKEND": "jax" if backend == "optax" else backend}
        subprocess.run([sys.executable, __file__, str(rounds)], env=os.environ | extra, check=True)


if __name__ == "__main__":
    main()
