"""Each line of docs/optim-differences.md: what torch, optax and Keras do under one name, and the form here that does the same.

torch and optax run themselves, 60 steps in float64 with noise and a varying rate. Keras is there by its formulas, in NumPy, with
its defaults; keras_checks.py compares the same rules with Keras itself, in a process for each of its backends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")

from thalweg import optim  # noqa: E402
from thalweg.optim.language.rule import Rule  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "optim-differences.md"
STEPS = 60
CHANCE = np.random.default_rng(2)
START, NOISE = CHANCE.standard_normal(6), CHANCE.standard_normal((STEPS, 6))
Path_ = Callable[[], Any]


def lr(done: Any) -> Any:
    """The rate after so many steps."""
    return 0.02 * (1 + 0.5 * (jax.numpy.sin(jax.numpy.asarray(done, float)) if isinstance(done, jax.Array) else np.sin(done)))


def ours(rule: Rule | Path_) -> Any:
    if not isinstance(rule, Rule):
        return rule()
    p, s = START, rule.init(START)
    for t, g in enumerate(NOISE, 1):
        p, s = rule.replace(lr=float(lr(t - 1))).step(p, g, s, t)
    return p


def in_torch(name: str, **given: Any) -> Path_:
    def run() -> Any:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # NAdam's product of momenta would be float32 otherwise
        try:
            p = torch.tensor(START, requires_grad=True)
            optimizer = getattr(torch.optim, name)([p], **given)
            for done, g in enumerate(NOISE):
                optimizer.param_groups[0]["lr"], p.grad = float(lr(done)), torch.tensor(g)
                optimizer.step()
            return p.detach().numpy()
        finally:
            torch.set_default_dtype(before)

    return run


def in_optax(name: str, **given: Any) -> Path_:
    def run() -> Any:
        with jax.enable_x64(True):
            tx = getattr(optax, name)(lr, **given)

            def step(carry: Any, g: Any) -> Any:
                p, state = carry
                updates, state = tx.update(g, state, p)
                return (optax.apply_updates(p, updates), state), None

            p = jax.numpy.asarray(START)
            return np.asarray(jax.lax.scan(step, (p, tx.init(p)), jax.numpy.asarray(NOISE))[0][0])

    return run


def in_keras(step: Callable[..., Any], *initial: float, wd: float = 0.0) -> Path_:
    """A Keras step: step(p, g, rate, t, *slots) -> (p, *slots). Its decay is p -= rate wd p, before the step, for every rule."""

    def run() -> Any:
        p, slots = START, [np.full_like(START, value) for value in initial]
        for t, g in enumerate(NOISE, 1):
            rate = lr(t - 1)
            p, *slots = step(p - rate * wd * p, g, rate, t, *slots)
        return p

    return run


def k_momentum(p, g, rate, t, u):
    u = 0.9 * u - rate * g
    return p + u, u


def k_nesterov(p, g, rate, t, u):
    u = 0.9 * u - rate * g
    return p + 0.9 * u - rate * g, u


def k_rmsprop(p, g, rate, t, v):
    v = 0.9 * v + 0.1 * g * g
    return p - rate * g / np.sqrt(v + 1e-7), v


def k_rmsprop_momentum(p, g, rate, t, v, b):
    v = 0.9 * v + 0.1 * g * g
    b = 0.9 * b + rate * g / np.sqrt(v + 1e-7)
    return p - b, v, b


def k_rmsprop_centred(p, g, rate, t, v, a):
    v, a = 0.9 * v + 0.1 * g * g, 0.9 * a + 0.1 * g
    return p - rate * g / np.sqrt(v - a * a + 1e-7), v, a


def k_adam(p, g, rate, t, m, v):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return p - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7), m, v


def k_amsgrad(p, g, rate, t, m, v, most):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    most = np.maximum(most, v)
    return p - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(most) + 1e-7), m, v, most


def k_nadam(p, g, rate, t, m, v, product):
    now, soon = 0.9 * (1 - 0.5 * 0.96**t), 0.9 * (1 - 0.5 * 0.96 ** (t + 1))
    product = product * now
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    ahead = soon * m / (1 - product * soon) + (1 - now) * g / (1 - product)
    return p - rate * ahead / (np.sqrt(v / (1 - 0.999**t)) + 1e-7), m, v, product


def k_adagrad(p, g, rate, t, total):
    total = total + g * g
    return p - rate * g / np.sqrt(total + 1e-7), total


def k_adadelta(p, g, rate, t, v, d):
    v = 0.95 * v + 0.05 * g * g
    move = np.sqrt(d + 1e-7) / np.sqrt(v + 1e-7) * g
    return p - rate * move, v, 0.95 * d + 0.05 * move * move


def k_adamax(p, g, rate, t, m, u):
    m, u = 0.9 * m + 0.1 * g, np.maximum(0.999 * u, np.abs(g))
    return p - rate / (1 - 0.9**t) * m / (u + 1e-7), m, u


def k_lion(p, g, rate, t, m):
    return p - rate * np.sign(0.9 * m + 0.1 * g), 0.99 * m + 0.01 * g


def clipped_in_torch() -> Any:
    p = torch.tensor(START, requires_grad=True)
    for done, g in enumerate(NOISE):
        p.grad = torch.tensor(g)
        torch.nn.utils.clip_grad_norm_([p], 1.0)
        torch.optim.SGD([p], lr=float(lr(done))).step()
    return p.detach().numpy()


def clipped_in_optax() -> Any:
    with jax.enable_x64(True):
        tx = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(lr))
        p = jax.numpy.asarray(START)
        state = tx.init(p)
        for g in NOISE:
            updates, state = tx.update(jax.numpy.asarray(g), state, p)
            p = optax.apply_updates(p, updates)
        return np.asarray(p)


def k_clipped(p, g, rate, t):
    return (p - rate * g / max(np.linalg.norm(g), 1.0),)


def soft_here() -> Any:
    from thalweg.optim.torch import Optimizer

    p = torch.tensor(START, requires_grad=True)
    optimizer = Optimizer([p], optim.HeavyBall(0.02), soft_batch=3)
    for g in NOISE:
        p.grad = torch.tensor(g)
        optimizer.step()
    return p.detach().numpy()


def soft_in_torch() -> Any:
    """By hand: gradients add up between the steps, and each loss is divided by 3."""
    p = torch.tensor(START, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.02, momentum=0.9)
    for thirds in NOISE.reshape(-1, 3, 6):
        p.grad = torch.zeros_like(p)
        for g in thirds:
            p.grad += torch.tensor(g) / 3
        optimizer.step()
    return p.detach().numpy()


def soft_in_optax() -> Any:
    with jax.enable_x64(True):
        tx = optax.MultiSteps(optax.sgd(0.02, momentum=0.9), 3)
        p = jax.numpy.asarray(START)
        state = tx.init(p)
        for g in NOISE:
            updates, state = tx.update(jax.numpy.asarray(g), state, p)
            p = optax.apply_updates(p, updates)
        return np.asarray(p)


def soft_in_keras() -> Any:
    p, u = START, np.zeros_like(START)
    for thirds in NOISE.reshape(-1, 3, 6):
        p, u = k_momentum(p, thirds.mean(axis=0), 0.02, 0, u)
    return p


LINES: dict[str, dict[str, tuple[Rule | Path_, Path_]]] = {
    "SGD with momentum": {
        "torch": (optim.HeavyBall(dampening=0.3), in_torch("SGD", momentum=0.9, dampening=0.3)),
        "optax": (optim.HeavyBall.like("optax"), in_optax("sgd", momentum=0.9)),
        "Keras": (optim.HeavyBall.like("keras"), in_keras(k_momentum, 0)),
    },
    "Nesterov": {
        "torch": (optim.Nesterov(), in_torch("SGD", momentum=0.9, nesterov=True)),
        "optax": (optim.Nesterov.like("optax"), in_optax("sgd", momentum=0.9, nesterov=True)),
        "Keras": (optim.Nesterov.like("keras"), in_keras(k_nesterov, 0)),
    },
    "RMSprop": {
        "torch": (optim.RMSprop(), in_torch("RMSprop")),
        "optax": (optim.RMSprop.like("optax"), in_optax("rmsprop")),
        "Keras": (optim.RMSprop.like("keras"), in_keras(k_rmsprop, 0)),
    },
    "RMSprop with momentum": {
        "torch": (optim.RMSprop(momentum=0.9), in_torch("RMSprop", momentum=0.9)),
        "optax": (optim.RMSprop.like("optax", momentum=0.9), in_optax("rmsprop", momentum=0.9)),
        "Keras": (optim.RMSprop.like("keras", momentum=0.9), in_keras(k_rmsprop_momentum, 0, 0)),
    },
    "RMSprop, centred": {
        "torch": (optim.RMSprop(centered=True), in_torch("RMSprop", centered=True)),
        "optax": (optim.RMSprop.like("optax", centered=True), in_optax("rmsprop", centered=True)),
        "Keras": (optim.RMSprop.like("keras", centered=True), in_keras(k_rmsprop_centred, 0, 0)),
    },
    "Adam": {
        "torch": (optim.Adam(), in_torch("Adam")),
        "optax": (optim.Adam.like("optax"), in_optax("adam")),
        "Keras": (optim.Adam.like("keras"), in_keras(k_adam, 0, 0)),
    },
    "AMSGrad": {
        "torch": (optim.Adam(amsgrad="before"), in_torch("Adam", amsgrad=True)),
        "optax": (optim.Adam.like("optax", amsgrad="after"), in_optax("amsgrad")),
        "Keras": (optim.Adam.like("keras", amsgrad="before"), in_keras(k_amsgrad, 0, 0, 0)),
    },
    "AdamW's decay": {
        "torch": (optim.AdamW(), in_torch("AdamW")),
        "optax": (optim.AdamW.like("optax"), in_optax("adamw")),
        "Keras": (optim.AdamW.like("keras"), in_keras(k_adam, 0, 0, wd=0.004)),
    },
    "Adam with weight decay": {
        "torch": (optim.Adam(wd=0.1), in_torch("Adam", weight_decay=0.1)),
        "optax": (optim.Adam.like("optax", wd=0.1), in_optax("adamw", weight_decay=0.1)),
        "Keras": (optim.Adam.like("keras", wd=0.1), in_keras(k_adam, 0, 0, wd=0.1)),
    },
    "NAdam": {
        "torch": (optim.NAdam(), in_torch("NAdam")),
        "optax": (optim.NAdam.like("optax"), in_optax("nadam")),
        "Keras": (optim.NAdam.like("keras"), in_keras(k_nadam, 0, 0, 1)),
    },
    "AdaGrad": {
        "torch": (optim.AdaGrad(), in_torch("Adagrad")),
        "optax": (optim.AdaGrad.like("optax"), in_optax("adagrad")),
        "Keras": (optim.AdaGrad.like("keras"), in_keras(k_adagrad, 0.1)),
    },
    "Adadelta": {
        "torch": (optim.Adadelta(), in_torch("Adadelta")),
        "optax": (optim.Adadelta.like("optax"), in_optax("adadelta")),
        "Keras": (optim.Adadelta.like("keras"), in_keras(k_adadelta, 0, 0)),
    },
    "Adamax": {
        "torch": (optim.Adamax(), in_torch("Adamax")),
        "optax": (optim.Adamax.like("optax"), in_optax("adamax")),
        "Keras": (optim.Adamax.like("keras"), in_keras(k_adamax, 0, 0)),
    },
    "RAdam": {
        "torch": (optim.RAdam(), in_torch("RAdam")),
        "optax": (optim.RAdam.like("optax"), in_optax("radam")),
    },
    "LARS": {"optax": (optim.LARS.like("optax", wd=0.1), in_optax("lars", weight_decay=0.1))},
    "Lion's decay": {
        "optax": (optim.Lion.like("optax"), in_optax("lion")),
        "Keras": (optim.Lion.like("keras"), in_keras(k_lion, 0)),
    },
    "clipping by norm": {
        "torch": (optim.chain(optim.clip_norm(1.0), optim.SGD()), clipped_in_torch),
        "optax": (optim.chain(optim.clip_norm(1.0, eps=0), optim.SGD()), clipped_in_optax),
        "Keras": (optim.chain(optim.clip_norm(1.0, eps=0, over="tensor"), optim.SGD()), in_keras(k_clipped)),
    },
    "soft batch": {
        "torch": (soft_here, soft_in_torch),
        "optax": (soft_here, soft_in_optax),
        "Keras": (soft_here, soft_in_keras),
    },
}


def rows() -> list[list[str]]:
    """The cells of the page's table, without its head."""
    lines = re.findall(r"^\| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    return [line.split(" | ") for line in lines][2:]


def test_every_line_of_the_page_is_tested_and_every_test_has_its_line():
    assert [row[0] for row in rows()] == list(LINES)
    assert {len(row) for row in rows()} == {5}
    for name, torch_, optax_, keras_, _ in rows():
        given = {"torch": torch_, "optax": optax_, "Keras": keras_}
        assert {library for library, cell in given.items() if cell != "–"} == set(LINES[name]), name


@pytest.mark.parametrize(("name", "library"), [(name, library) for name, forms in LINES.items() for library in forms])
def test_the_form_here_goes_where_the_library_goes(name, library):
    rule, theirs = LINES[name][library]
    rtol = 1e-6 if theirs is soft_in_optax else 1e-12  # optax divides by the number of batches in float32
    np.testing.assert_allclose(ours(rule), theirs(), rtol=rtol, atol=1e-13)


SAME = ["Adadelta", "Lion's decay"]  # they differ in the numbers that they start with, and in nothing else
WRAPPED = ["clipping by norm", "soft batch"]  # what is done to a gradient before the rule


@pytest.mark.parametrize("name", [name for name, forms in LINES.items() if len(forms) > 1 and name not in WRAPPED])
def test_libraries_differ_where_the_page_says_so(name):
    """With all common numbers the same and tiny gradients, where eps counts, at least two forms end apart; but for SAME."""
    rules = [rule for rule, _ in LINES[name].values()]
    numbers = {key: value for key, value in vars(rules[0]).items() if isinstance(value, float) and key not in ("initial", "psi")}
    ends = []
    for rule in rules:
        rule, p, s = rule.replace(**numbers), START, rule.init(START)
        for t, g in enumerate(1e-6 * NOISE, 1):
            p, s = rule.replace(lr=float(lr(t - 1))).step(p, g, s, t)
        ends.append(p)
    apart = max(float(np.abs(end - ends[0]).max()) for end in ends)
    assert (apart > 1e-9) == (name not in SAME), apart


def test_torch_clips_a_little_more_than_optax():
    """By the 1e-6 in its denominator."""
    ends = [ours(rule) for rule, _ in LINES["clipping by norm"].values()]
    assert 1e-8 < np.abs(ends[0] - ends[1]).max() < 1e-5


def test_like_sets_a_whole_column():
    """The numbers of a form that nobody gave are those that the library starts with."""
    assert optim.RMSprop.like("keras").alpha == 0.9
    assert optim.AdaGrad.like("optax").initial == 0.1
    assert optim.AdamW.like("optax").wd == 1e-4
    assert (optim.Lion().wd, optim.Lion.like("optax").wd, optim.Lion.like("keras").wd) == (0, 1e-3, 0)
    assert (optim.Adadelta().lr, optim.Adadelta.like("keras").lr, optim.Adadelta.like("keras").rho) == (1, 1e-3, 0.95)
