"""The Keras face, on the backend that KERAS_BACKEND names: run by test_keras.py, a process for each."""

from __future__ import annotations

import os
import warnings
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
from thalweg.optim.language.fields import rate
from thalweg.optim.language.rule import Rule
from thalweg.optim.language.state import Slots, State, Value

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
    np.testing.assert_allclose(trajectory(ours, 14), trajectory(theirs, 14), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_variable_without_gradient_in_some_steps_goes_where_keras_goes(name: str) -> None:
    """deepspeed 8471: t is the optimizer's, not the variable's; so are numbers that come from it, as NAdam's product of momenta."""

    def path(optimizer: Any) -> np.ndarray:
        rng = np.random.default_rng(1)
        made = [keras.Variable(rng.normal(size=3), dtype="float64", name=f"v{k}") for k in range(3)]
        optimizer.build(made)
        for k in range(10):
            every = [keras.ops.convert_to_tensor(rng.normal(size=3)) for _ in made]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                optimizer.apply([every[0], every[1] if k % 3 == 2 else None, every[2] if k > 4 else None], made)
        return np.stack([keras.ops.convert_to_numpy(v) for v in made])

    rule, built_in = BUILT_IN[name]
    np.testing.assert_allclose(
        path(Optimizer(rule, learning_rate=0.01)), path(built_in(learning_rate=0.01)), rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize(
    "rule", [optim.Adafactor(lr=0.1), optim.Muon(lr=0.1), optim.chain(optim.clip_value(0.5), optim.Muon())], ids=repr
)
def test_rules_by_rows_and_columns_step_matrices_and_vectors(rule: Rule) -> None:
    """As the torch face does, which is compared with torch itself; and they are saved and found again."""
    torch = pytest.importorskip("torch")
    face = pytest.importorskip("thalweg.optim.torch")
    rng = np.random.default_rng(0)
    shapes = [(4, 3), (3,), (2, 2, 3), ()]
    start, noise = [rng.normal(size=shape) for shape in shapes], [[rng.normal(size=shape) for shape in shapes] for _ in range(5)]
    made = [keras.Variable(x, dtype="float64") for x in start]
    theirs = [torch.tensor(x, requires_grad=True) for x in start]
    ours, other = Optimizer(rule), face.Optimizer(theirs, rule)
    for gradients in noise:
        ours.apply([keras.ops.convert_to_tensor(g) for g in gradients], made)
        for p, g in zip(theirs, gradients, strict=True):
            p.grad = torch.tensor(g)
        other.step()
    for mine, p in zip(made, theirs, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(mine), p.detach().numpy(), rtol=1e-10, atol=1e-12)
    assert keras.optimizers.deserialize(keras.optimizers.serialize(ours)).rule == rule


@pytest.mark.parametrize("kind", ["float32", "numpy"])
def test_a_gradient_of_another_dtype_or_library_is_taken(kind: str) -> None:
    made = keras.Variable(np.ones(3), dtype="float64")
    g = np.full(3, 0.5, "float32")
    Optimizer(optim.SGD(lr=1.0)).apply([g if kind == "numpy" else keras.ops.convert_to_tensor(g)], [made])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(made), 0.5)


DECAYS = [optim.AdamW(wd=0.1), optim.SGD(wd=0.1), optim.Muon(wd=0.1), optim.chain(optim.weight_decay(0.1), optim.SGD())]


@pytest.mark.parametrize("rule", DECAYS, ids=repr)
def test_what_is_excluded_from_decay_is_not_decayed_by_the_rule_either(rule: Rule) -> None:
    made = [keras.Variable(np.full(2, 2.0), name=name) for name in ("kernel", "bias")]
    optimizer = Optimizer(rule, learning_rate=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    for _ in range(2):
        optimizer.apply([keras.ops.zeros(2, dtype="float64")] * 2, made)
    found = [keras.ops.convert_to_numpy(v) for v in made]
    assert (found[0] < 2).all()
    np.testing.assert_array_equal(found[1], 2.0)


def test_weight_decay_takes_the_place_of_the_rule_s() -> None:
    """Once, not twice: 2 (1 - lr wd); and where it is changed on the way, or the rule has none."""
    for rule in (optim.AdamW(wd=0.1), optim.AdamW(wd=0.3), optim.AdamW(wd=0.0), optim.Adam()):
        made = keras.Variable(np.full(1, 2.0))
        optimizer = Optimizer.from_config(Optimizer(rule, learning_rate=1.0, weight_decay=0.1).get_config())
        optimizer.apply([keras.ops.zeros(1, dtype="float64")], [made])
        np.testing.assert_allclose(keras.ops.convert_to_numpy(made), 1.8, rtol=1e-12)
        optimizer.weight_decay = 0.5
        optimizer.apply([keras.ops.zeros(1, dtype="float64")], [made])
        np.testing.assert_allclose(keras.ops.convert_to_numpy(made), 0.9, rtol=1e-12)
    with pytest.raises(RuleError, match="would decay twice"):
        Optimizer(optim.chain(optim.weight_decay(0.1), optim.SGD()), weight_decay=0.1)
    with pytest.raises(RuleError, match="wd=-1"):
        Optimizer(optim.AdamW(), weight_decay=-1.0)


def test_two_optimizers_of_one_kind_have_two_names() -> None:
    keras.utils.clear_session()
    assert [Optimizer(optim.Adam()).name for _ in range(2)] == ["adam", "adam_1"]


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_a_frozen_model_can_be_fitted_and_one_that_is_frozen_in_part() -> None:
    """Nothing frozen moves, as with Keras's own."""
    model, x, y = model_and_data()
    for frozen in ((True, True), (True, False)):
        for layer, still in zip(model.layers, frozen, strict=True):
            layer.trainable = not still
        kept = [keras.ops.convert_to_numpy(w).copy() for w in model.weights]
        model.compile(Optimizer(optim.Adam()), loss="mse")
        model.fit(x, y, verbose=0)
        moved = [not np.array_equal(keras.ops.convert_to_numpy(w), before) for w, before in zip(model.weights, kept, strict=True)]
        assert moved == [not frozen[0]] * 2 + [not frozen[1]] * 2


@register
@dataclass(frozen=True)
class SGD(Rule):
    """Of a user's own, drawn to 1, and called as one of the library's."""

    lr: float = rate(0.1)

    def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
        p, g = self.decayed(p, g)
        return p - self.lr * (g + p - 1), s


@pytest.mark.parametrize(
    "rule", [SGD(), optim.SGD(), optim.chain(optim.clip_value(1.0), SGD())], ids=lambda rule: type(rule).__module__
)
def test_a_rule_of_ones_own_called_as_one_of_the_library_s_is_loaded_as_what_it_was(rule: Rule) -> None:
    back = keras.optimizers.deserialize(keras.optimizers.serialize(Optimizer(rule)))
    assert type(back.rule) is type(rule)


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


def test_a_rule_of_ones_own_is_found_in_the_custom_objects_of_load_model(tmp_path: Path) -> None:
    """As a layer of one's own is: a habit of Keras."""

    @dataclass(frozen=True)
    class Unregistered(Rule):
        lr: float = rate(0.1)

        def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
            return p - self.lr * g, s

    model, x, y = model_and_data()
    model.compile(Optimizer(Unregistered()), loss="mse")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    with pytest.raises(RuleError, match=r"'Unregistered' is not known here: decorate its class .* or name it in custom_objects"):
        keras.models.load_model(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Unregistered": Unregistered})
    assert back.optimizer.rule == Unregistered()


def test_a_learning_rate_that_is_not_allowed_and_a_rule_of_several_gradients_are_refused_at_once() -> None:
    for rate_ in (float("nan"), -1.0, float("inf"), -1):
        with pytest.raises(RuleError, match=r"lr=.* is not allowed"):
            Optimizer(optim.Adam(), learning_rate=rate_)
    for rule in (optim.Heun(), optim.SAM(base=optim.SGD())):
        with pytest.raises(RuleError, match=r"takes 2 gradients a step, where this library gives one: use thalweg\.optim\.torch"):
            Optimizer(rule)


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
    with pytest.raises(RuleError, match="has complex numbers"):
        Optimizer(optim.Adam()).build([keras.Variable(np.ones(2), dtype="complex64")])
    config = Optimizer(optim.Adam()).get_config()
    config["rule"]["rule"] = "Nowhere"
    with pytest.raises(RuleError, match="the rule 'Nowhere' is not known here"):
        Optimizer.from_config(config)
