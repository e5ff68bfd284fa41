"""The Keras face, on the backend that KERAS_BACKEND names: run by test_keras.py, a process for each."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if os.environ["KERAS_BACKEND"] == "jax":
    import jax

    jax.config.update("jax_enable_x64", True)
import keras

from thalweg import optim
from thalweg.errors import RuleError
from thalweg.optim.keras import Optimizer, register
from thalweg.optim.rule import Rule, Slots, State, Value, rate

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")  # Keras's own
K = keras.optimizers


@pytest.fixture(autouse=True)
def doubles() -> Any:
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


def trajectory(optimizer: Any, steps: int = 100) -> np.ndarray:
    rng = np.random.default_rng(1)
    made = [keras.Variable(rng.normal(size=shape), dtype="float64", name=f"v{k}") for k, shape in enumerate([(4, 3), (5,)])]
    for k in range(steps):
        optimizer.learning_rate = 0.01 * (1 + 0.5 * np.sin(k))
        optimizer.apply([keras.ops.convert_to_tensor(rng.normal(size=v.shape), dtype="float64") for v in made], made)
    return np.concatenate([keras.ops.convert_to_numpy(v).ravel() for v in made])


BUILT_IN: dict[str, tuple[Rule, Callable[..., Any]]] = {
    "sgd": (optim.SGD(), K.SGD),
    "momentum": (optim.HeavyBall.like("keras"), lambda **k: K.SGD(momentum=0.9, **k)),
    "nesterov": (optim.Nesterov.like("keras"), lambda **k: K.SGD(momentum=0.9, nesterov=True, **k)),
    "adam": (optim.Adam.like("keras"), K.Adam),
    "amsgrad": (optim.Adam.like("keras", amsgrad="before"), lambda **k: K.Adam(amsgrad=True, **k)),
    "adamw": (optim.AdamW.like("keras"), K.AdamW),
    "nadam": (optim.NAdam.like("keras"), K.Nadam),
    "adamax": (optim.Adamax.like("keras"), K.Adamax),
    "rmsprop": (optim.RMSprop.like("keras"), K.RMSprop),
    "centred rmsprop with momentum": (
        optim.RMSprop.like("keras", centered=True, momentum=0.9),
        lambda **k: K.RMSprop(centered=True, momentum=0.9, **k),
    ),
    "adagrad": (optim.AdaGrad.like("keras"), K.Adagrad),
    "adadelta": (optim.Adadelta.like("keras"), K.Adadelta),
    "lion": (optim.Lion.like("keras"), K.Lion),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_goes_where_keras_goes(name: str) -> None:
    """100 steps in float64 with a rate that varies: the same to 1e-12."""
    rule, built_in = BUILT_IN[name]
    np.testing.assert_allclose(trajectory(Optimizer(rule)), trajectory(built_in()), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "options",
    [{"gradient_accumulation_steps": 3}, {"clipnorm": 0.5}, {"global_clipnorm": 1.0}, {"clipvalue": 0.1}, {"weight_decay": 0.1},
     {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7}, {"loss_scale_factor": 8.0}],
    ids=lambda options: next(iter(options)),
)  # fmt: skip
def test_what_keras_wraps_around_a_step_works(options: dict[str, Any]) -> None:
    ours, theirs = Optimizer(optim.Adam.like("keras"), **options), K.Adam(**options)
    np.testing.assert_allclose(trajectory(ours, 40), trajectory(theirs, 40), rtol=1e-12, atol=1e-13)


def test_constraints_hold_after_the_step() -> None:
    made = keras.Variable(np.ones(3), name="v")
    made.constraint = keras.constraints.NonNeg()
    Optimizer(optim.SGD(lr=2.0)).apply([keras.ops.convert_to_tensor(np.array([1.0, 0.0, -1.0]))], [made])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(made), [0.0, 1.0, 3.0])


@register
@dataclass(frozen=True)
class Halving(Rule):
    """A rule of one's own."""

    lr: float = rate(0.1)
    slots = Slots(n=0)

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        return p - self.lr * g / (1 + s.n), s(n=s.n + 1)


def model_and_data() -> tuple[Any, np.ndarray, np.ndarray]:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)])
    return model, x, x @ rng.normal(size=(4, 1))


@pytest.mark.parametrize("rule", [optim.Adam(), optim.NAdam(), optim.Lion(), optim.LAMB(), Halving()], ids=repr)
def test_a_saved_model_goes_on_as_if_it_had_not_stopped(rule: Rule, tmp_path: Path) -> None:
    model, x, y = model_and_data()
    schedule = K.schedules.ExponentialDecay(0.01, 10, 0.9)
    model.compile(Optimizer(rule, learning_rate=schedule), loss="mse")
    model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras")
    assert back.optimizer.rule == rule
    for each in (model, back):
        each.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    for mine, loaded in zip(model.weights, back.weights, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(loaded), rtol=1e-12, atol=1e-13)


def test_training_lowers_the_loss() -> None:
    model, x, y = model_and_data()
    model.compile(Optimizer(optim.AdamW(), learning_rate=0.03), loss="mse")
    losses = model.fit(x, y, batch_size=16, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 5


def test_its_configuration_makes_it_again() -> None:
    made = Optimizer(optim.RMSprop(alpha=0.5, momentum=0.9), learning_rate=0.3, clipnorm=1.0, name="mine")
    back = Optimizer.from_config(made.get_config())
    assert (back.rule, back.name, back.clipnorm) == (made.rule, "mine", 1.0)
    assert float(back.learning_rate) == pytest.approx(0.3)
    assert keras.optimizers.deserialize(keras.optimizers.serialize(made)).rule == made.rule


def test_a_chain_is_saved_with_its_transforms_and_its_schedule() -> None:
    rule = optim.chain(optim.clip_value(0.5), optim.schedule(optim.schedules.cosine(100)), optim.Adam(b1=0.5))
    made = Optimizer(rule, learning_rate=0.3)
    assert keras.optimizers.deserialize(keras.optimizers.serialize(made)).rule == rule


def test_variables_in_16_bits_have_slots_in_32() -> None:
    made = keras.Variable(np.ones(3), dtype="bfloat16", name="v")
    optimizer = Optimizer(optim.Adam(), learning_rate=0.5)
    for _ in range(3):
        optimizer.apply([keras.ops.cast(keras.ops.ones(3), "bfloat16")], [made])
    assert {v.dtype for v in optimizer.variables if "_m" in v.name or "_v" in v.name} == {"float32"}
    np.testing.assert_allclose(keras.ops.convert_to_numpy(keras.ops.cast(made, "float32")), 1 - 3 * 0.5, rtol=1e-2)


def test_a_variable_without_a_gradient_stays() -> None:
    made = [keras.Variable(np.ones(2), name="a"), keras.Variable(np.ones(2), name="b")]
    optimizer = Optimizer(optim.Adam())
    optimizer.build(made)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([keras.ops.ones(2), None], made)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(made[1]), 1.0)
    assert (keras.ops.convert_to_numpy(made[0]) < 1).all()


def test_wrong_use_is_one_line() -> None:
    with pytest.raises(RuleError, match="is not a rule"):
        Optimizer("adam")  # type: ignore[arg-type]
    config = Optimizer(optim.Adam()).get_config()
    config["rule"]["rule"] = "Nowhere"
    with pytest.raises(RuleError, match="the rule 'Nowhere' is not known here"):
        Optimizer.from_config(config)
