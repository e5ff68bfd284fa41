"""The optax face: optax's own trajectories, whatever optax transforms, numbers that change on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
jnp = jax.numpy

from thalweg import optim  # noqa: E402
from thalweg.errors import RuleError  # noqa: E402
from thalweg.optim.language.fields import decay, rate  # noqa: E402
from thalweg.optim.language.rule import Rule  # noqa: E402
from thalweg.optim.language.state import Slots, State, Value  # noqa: E402
from thalweg.optim.optax import transform  # noqa: E402


@pytest.fixture(autouse=True)
def doubles() -> Any:
    with jax.enable_x64(True):
        yield


def schedule(count: Any) -> Any:
    return 0.02 * (1 + 0.5 * jnp.sin(jnp.asarray(count, float)))


def trajectory(tx: Any, steps: int = 300, dtype: Any = float) -> np.ndarray:
    """Parameters after steps along random gradients, under jit."""
    rng = np.random.default_rng(3)
    params = {"a": jnp.asarray(rng.normal(size=(4, 3)), dtype), "b": [jnp.asarray(rng.normal(size=5), dtype)]}

    @jax.jit
    def step(params: Any, state: Any, grads: Any) -> Any:
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(steps):
        params, state = step(params, state, jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), dtype), params))
    return np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in jax.tree.leaves(params)])


BUILT_IN: dict[str, tuple[Rule, Any]] = {
    "sgd": (optim.SGD(), lambda lr: optax.sgd(lr)),
    "momentum": (optim.HeavyBall(), lambda lr: optax.sgd(lr, momentum=0.9)),
    "nesterov": (optim.Nesterov.like("optax"), lambda lr: optax.sgd(lr, momentum=0.9, nesterov=True)),
    "adam": (optim.Adam.like("optax"), optax.adam),
    "amsgrad": (optim.Adam.like("optax", amsgrad="after"), optax.amsgrad),
    "adamw": (optim.AdamW.like("optax"), optax.adamw),
    "nadam": (optim.NAdam.like("optax"), optax.nadam),
    "radam": (optim.RAdam.like("optax"), optax.radam),
    "adamax": (optim.Adamax.like("optax"), optax.adamax),
    "adabelief": (optim.AdaBelief.like("optax"), optax.adabelief),
    "rmsprop": (optim.RMSprop.like("optax"), optax.rmsprop),
    "centred rmsprop with momentum": (
        optim.RMSprop.like("optax", centered=True, momentum=0.9),
        lambda lr: optax.rmsprop(lr, centered=True, momentum=0.9),
    ),
    "adagrad": (optim.AdaGrad.like("optax"), optax.adagrad),
    "adadelta": (optim.Adadelta.like("optax"), optax.adadelta),
    "lion": (optim.Lion.like("optax"), optax.lion),
    "sign": (optim.SignSGD(), optax.sign_sgd),
    "lamb": (optim.LAMB.like("optax"), optax.lamb),
    "lars": (optim.LARS.like("optax"), optax.lars),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_goes_where_optax_goes(name: str) -> None:
    """300 steps in float64 with a rate that varies: the same to 1e-12."""
    rule, built_in = BUILT_IN[name]
    np.testing.assert_allclose(trajectory(transform(rule, lr=schedule)), trajectory(built_in(schedule)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in optim.RULES if name not in ("lars", "lamb")])
def test_every_rule_does_what_its_numpy_form_does(name: str) -> None:
    rule = optim.get(name)()
    rng = np.random.default_rng(5)
    p = rng.normal(size=7)
    params, s = jnp.asarray(p), rule.init(p)
    tx = transform(rule)
    state = tx.init(params)
    for t in range(1, 51):
        g = rng.normal(size=7)
        p, s = rule.step(p, g, s, t)
        updates, state = tx.update(jnp.asarray(g), state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params, p, rtol=1e-12, atol=1e-13)


def test_a_rule_of_ones_own_scans_and_maps() -> None:
    @dataclass(frozen=True)
    class Mine(Rule):
        lr: float = rate(0.1)
        keep: float = decay(0.8)
        slots = Slots(m=0)

        def step(self, p: Value, g: Value, s: State, t: Value) -> tuple[Value, State]:
            p, g = self.decayed(p, g)
            m = self.keep * s.m + g
            return p - self.lr * m / (1 + t) ** 0.5, s(m=m)

    tx = transform(Mine())

    def run(start: Any) -> Any:
        def body(carry: Any, _: Any) -> Any:
            p, state = carry
            updates, state = tx.update(2 * p, state, p)
            return (optax.apply_updates(p, updates), state), None

        return jax.lax.scan(body, (start, tx.init(start)), None, length=20)[0][0]

    starts = jnp.asarray([[1.0, 2.0], [3.0, -4.0]])
    together = jax.jit(jax.vmap(run))(starts)
    p, m = np.array([3.0, -4.0]), np.zeros(2)
    for t in range(1, 21):
        m = 0.8 * m + 2 * p
        p = p - 0.1 * m / (1 + t) ** 0.5
    np.testing.assert_allclose(together[1], p, rtol=1e-12)


def test_numbers_can_be_injected_and_changed() -> None:
    tx = optax.inject_hyperparams(lambda lr: transform(optim.Adam(), lr=lr))(lr=0.1)
    params = jnp.ones(3)
    state = tx.init(params)
    _, state = tx.update(jnp.ones(3), state, params)
    state.hyperparams["lr"] = jnp.asarray(0.0)
    updates, _ = tx.update(jnp.ones(3), state, params)
    np.testing.assert_array_equal(updates, 0.0)


def test_a_small_step_from_a_large_number_is_not_lost() -> None:
    """The update is computed as an increment: in float32, 1e-6 from 1e4 is exact, where p_new - p would be 0."""
    tx = transform(optim.AdamW(lr=1e-6, wd=0.0))
    params = jnp.full(2, 1e4, jnp.float32)
    updates, _ = tx.update(jnp.ones(2, jnp.float32), tx.init(params), params)
    np.testing.assert_allclose(updates, -1e-6, rtol=1e-4)


def test_half_precision_has_slots_in_32_bits() -> None:
    tx = transform(optim.Adam())
    params = jnp.ones(3, jnp.bfloat16)
    state = tx.init(params)
    assert state.slots["m"].dtype == jnp.float32
    updates, state = tx.update(jnp.ones(3, jnp.bfloat16), state, params)
    assert updates.dtype == jnp.bfloat16
    assert state.slots["v"].dtype == jnp.float32


def test_chains_masks_and_accumulation_of_optax_go_on_top() -> None:
    """optax.MultiSteps over ours is one step with the mean gradient; a masked leaf stays."""
    params = {"w": jnp.ones(2), "frozen": jnp.ones(2)}
    tx = optax.MultiSteps(optax.masked(transform(optim.Adam(lr=0.1)), {"w": True, "frozen": False}), 2)
    state = tx.init(params)
    grads = [{"w": jnp.asarray([1.0, 3.0]), "frozen": jnp.zeros(2)}, {"w": jnp.asarray([3.0, -1.0]), "frozen": jnp.zeros(2)}]
    for g in grads:
        updates, state = tx.update(g, state, params)
        params = optax.apply_updates(params, updates)
    one = transform(optim.Adam(lr=0.1))
    expected, _ = one.update(jnp.asarray([2.0, 1.0]), one.init(jnp.ones(2)), jnp.ones(2))
    np.testing.assert_allclose(params["w"], 1 + expected, rtol=1e-12)
    np.testing.assert_array_equal(params["frozen"], 1.0)


def test_wrong_use_is_one_line() -> None:
    with pytest.raises(RuleError, match="has no number 'rl'"):
        transform(optim.Adam(), rl=0.1)
    with pytest.raises(RuleError, match=r"wd=0.0 decides what .* set it in the rule"):
        transform(optim.Adam(), wd=0.1)
    tx = transform(optim.Adam())
    with pytest.raises(RuleError, match=r"update\(grads, state, params\)"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_a_rate_below_0_a_name_and_a_vector_for_matrices_are_refused() -> None:
    with pytest.raises(RuleError, match="lr=-1"):
        transform(optim.SGD(), lr=-1)
    with pytest.raises(RuleError, match="'adam' is not a rule"):
        transform("adam")  # type: ignore[arg-type]
    with pytest.raises(RuleError, match=r"Muon has no form for a parameter of shape \(3,\)"):
        transform(optim.Muon()).init(jnp.ones(3))


def test_a_number_that_is_not_allowed_is_refused_in_every_form_that_it_can_be_given_in() -> None:
    """Python's, NumPy's and JAX' numbers, and what a function of one's own returns; traced ones cannot be looked at."""
    params = {"w": jnp.ones(2)}
    for lr in (-1.0, np.float32(-1), np.float64("nan"), jnp.float32(-1), jnp.asarray(jnp.inf), None, "0.1", True, jnp.ones(2)):
        with pytest.raises(RuleError, match=r"lr=.* is not allowed"):
            transform(optim.Adam(), lr=lr)
    for bad in (float("nan"), -1.0):
        made = transform(optim.Adam(), lr=lambda count, bad=bad: jnp.where(count == 2, bad, 0.1))
        state = made.init(params)
        for _ in range(2):
            _, state = made.update(params, state, params)
        with pytest.raises(RuleError, match=r"lr=.* is not allowed.*step 3 of the function"):
            made.update(params, state, params)
    assert float(transform(optim.Adam(), lr=np.float32(0.1)).update(params, made.init(params), params)[0]["w"][0]) < 0


def test_a_gradient_of_another_shape_is_refused_not_spread() -> None:
    made, params = transform(optim.SGD(0.1)), {"w": jnp.ones((2, 3))}
    for shape in ((1, 3), (3,), ()):
        with pytest.raises(RuleError, match=r"a gradient of shape .* for a parameter of shape \(2, 3\)"):
            jax.jit(made.update)({"w": jnp.ones(shape)}, made.init(params), params)
