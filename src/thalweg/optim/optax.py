"""A rule as an optax `GradientTransformation`.

    import optax
    from thalweg.optim import Lion, optax as rules

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), rules.transform(Lion(), lr=optax.cosine_decay_schedule(1e-3, 1000)))

It runs the rule's program with `jax.numpy`, so it works under `jit`, `vmap` and `lax.scan`. Numbers of the rule can be given as
schedules (called with the number of steps done, as optax does) or as traced values, which is what `optax.inject_hyperparams` needs:

    optax.inject_hyperparams(lambda lr: rules.transform(Lion(), lr=lr))(lr=1e-3)
"""

from __future__ import annotations

from thalweg.needs import needs

needs("jax", "thalweg.optim.optax")
needs("optax", "thalweg.optim.optax")

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from thalweg.errors import RuleError, near_misses
from thalweg.optim.backends.reference import evaluate
from thalweg.optim.language.functions import Functions, channels, measured, newton_schulz
from thalweg.optim.language.program import Program
from thalweg.optim.language.rule import Rule
from thalweg.optim.language.symbols import ELEMENT
from thalweg.optim.rules.chained import by_itself, check_schedules

JAX: Functions = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": jnp.divide,
    "pow": jnp.power,
    "neg": jnp.negative,
    "abs": jnp.abs,
    "sqrt": jnp.sqrt,
    "exp": jnp.exp,
    "log": jnp.log,
    "cos": jnp.cos,
    "floor": jnp.floor,
    "sign": jnp.sign,
    "minimum": jnp.minimum,
    "maximum": jnp.maximum,
    "lerp": lambda a, b, weight: a + weight * (b - a),
    "where": jnp.where,
    "lt": jnp.less,
    "le": jnp.less_equal,
    "gt": jnp.greater,
    "ge": jnp.greater_equal,
    "eq": jnp.equal,
    "ne": jnp.not_equal,
    "sum": jnp.sum,
    "dot": lambda x, y: jnp.sum(x * y),
    "mean_channel": lambda x: jnp.mean(x, axis=channels(x.ndim), keepdims=True),
    "mean_row": lambda x: jnp.mean(x, axis=-1, keepdims=True),
    "mean_col": lambda x: jnp.mean(x, axis=-2, keepdims=True),
    "newton_schulz": newton_schulz,
}


class RuleState(NamedTuple):
    """The state of a transformation: how many steps were done, a tree like the parameters for each slot, one of numbers for each
    scalar.
    """

    count: jax.Array
    slots: dict[str, Any]
    scalars: dict[str, Any]


def transform(rule: Rule, **numbers: Any) -> optax.GradientTransformationExtraArgs:
    """The rule as an optax transformation whose updates are added to the parameters.

    numbers: hyper-parameters that replace those of the rule: numbers, traced scalars, or functions of the number of steps done.
    Parameters in 16 bits are moved in 32, their slots kept in 32; complex ones are pairs of reals. `update` needs `params`.
    Raises RuleError for a number that the rule does not have, that is off in it (weight decay 0) or not allowed; `update` for
    what a function of one's own returns outside of `jit`, and for a gradient of another shape than its parameter.
    """
    what: object = rule
    if not isinstance(what, Rule):
        msg = f"{rule!r} is not a rule; give one made from a class of thalweg.optim, as in optim.Adam(lr=1e-3)"
        raise RuleError(msg)
    program = by_itself(rule)
    names = [name.removeprefix("self.") for name in program.inputs if name.startswith("self.")]
    for name in numbers:
        if name in names:
            continue
        if hasattr(rule, name):
            msg = f"{name}={getattr(rule, name)!r} decides what {rule!r} does and cannot change on the way: set it in the rule"
        else:
            msg = f"{type(rule).__name__} has no number {name!r}.{near_misses(name, names)}"
        raise RuleError(msg)
    _check(rule, {name: value for name, value in numbers.items() if not callable(value)})
    fixed = {name: numbers.get(name, getattr(rule, name)) for name in names}
    step = _step(program)

    def init(params: Any) -> RuleState:
        for p in jax.tree.leaves(params):
            form = f"complex parameter of shape {jnp.shape(p)}" if jnp.iscomplexobj(p) else f"parameter of shape {jnp.shape(p)}"
            if rule.suited(jnp.ndim(p)) != rule or (jnp.iscomplexobj(p) and program.shaped):
                msg = f"{type(rule).__name__} has no form for a {form} here: give it a rule of its own"
                raise RuleError(f"{msg} with optax.multi_transform")
        initial, scalars = rule.slots.of(rule), rule.scalars.of(rule)
        initial |= {
            slot: fixed[field] for slot, field in rule.slots.initial.items() if field in fixed
        }  # one that starts from a number
        started = {name: value(0) if callable(value) else value for name, value in initial.items()}
        slots = {name: jax.tree.map(lambda p, v=started[name]: _filled(p, v), params) for name in program.slots}
        return RuleState(
            jnp.zeros([], jnp.int32),
            slots,
            {name: jax.tree.map(lambda _, v=scalars[name]: jnp.asarray(v, float), params) for name in program.scalars},
        )

    def update(updates: Any, state: RuleState, params: Any = None, **_: Any) -> tuple[Any, RuleState]:
        if params is None:
            msg = f"{type(rule).__name__} moves the parameters: call update(grads, state, params)"
            raise RuleError(msg)
        shared = {f"self.{name}": value(state.count) if callable(value) else value for name, value in fixed.items()}
        shared |= {"t": state.count + 1, "clock": state.count + 1}
        if not isinstance(state.count, jax.core.Tracer):
            check_schedules([rule], int(state.count))
            _check(rule, {name: shared[f"self.{name}"] for name, value in fixed.items() if callable(value)}, int(state.count) + 1)
        kept = {f"s.{name}": tree for name, tree in {**state.slots, **state.scalars}.items()}
        grads, structure = cast("tuple[list[Any], Any]", jax.tree.flatten(updates))
        for p, g in zip(structure.flatten_up_to(params), grads, strict=True):
            if jnp.shape(p) != jnp.shape(g):
                msg = f"{type(rule).__name__}: a gradient of shape {jnp.shape(g)} for a parameter of shape {jnp.shape(p)}"
                raise RuleError(msg)
        leaves = {name: structure.flatten_up_to(tree) for name, tree in kept.items()}
        moved = [
            step(p, g, {**shared, **{name: leaves[name][k] for name in leaves}})
            for k, (p, g) in enumerate(zip(structure.flatten_up_to(params), grads, strict=True))
        ]

        def tree(name: str) -> Any:
            return structure.unflatten([new[name] for new in moved])

        slots, scalars = ({name: tree(f"s.{name}") for name in group} for group in (state.slots, state.scalars))
        return tree("move"), RuleState(optax.safe_increment(state.count), slots, scalars)

    return optax.GradientTransformationExtraArgs(init, update)


def _check(rule: Rule, numbers: Mapping[str, Any], step: int | None = None) -> None:
    """Raises RuleError for a number that is not allowed; those that are traced are not known yet."""
    for name, value in numbers.items():
        if isinstance(value, jax.core.Tracer):
            continue
        try:
            rule.replace(**{name: value.item() if hasattr(value, "item") and jnp.size(value) == 1 else value})
        except RuleError as error:
            raise RuleError(str(error) if step is None else f"{error} (step {step} of the function given for it)") from None


def _wide(x: Any) -> Any:
    """The value in 32 bits where it has 16."""
    return jnp.asarray(x).astype(jnp.promote_types(jnp.asarray(x).dtype, jnp.float32))


def _filled(p: Any, value: Any) -> Any:
    """A slot like p; of complex numbers both parts start from the value."""
    return jnp.full_like(_wide(p), jax.lax.complex(value * 1.0, value * 1.0) if jnp.iscomplexobj(p) else value)


def _pairs(x: Any) -> Any:
    """Complex numbers as pairs of reals, (...) -> (..., 2); anything else as it is."""
    return jnp.stack([x.real, x.imag], -1) if jnp.iscomplexobj(x) else x


def _paired(x: Any) -> Any:
    """Pairs of reals as complex numbers, (..., 2) -> (...)."""
    return jax.lax.complex(x[..., 0], x[..., 1])


def _step(program: Program) -> Callable[[Any, Any, Mapping[str, Any]], dict[str, Any]]:
    """One tensor's step: what is added to it, and its new slots and scalars."""

    def step(p: Any, g: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        pair = jnp.iscomplexobj(p)  # as in torch, every rule steps the two parts of a complex number by themselves
        before = {**given, "p": _wide(p), "g": _wide(g).astype(_wide(p).dtype) if pair else _wide(g)}
        inputs = {name: _pairs(value) for name, value in before.items()} if pair else before
        inputs |= measured(jnp.shape(inputs["p"]), float(jnp.finfo(inputs["p"].dtype).eps))
        values = {place: inputs[name] for name, place in program.inputs.items()}
        evaluate(program, range(len(program.nodes)), values, JAX)
        dtype = values[program.inputs["p"]].dtype
        new = {f"s.{name}": _value(program, place, values) for name, place in {**program.slots, **program.scalars}.items()}
        new = {name: jnp.asarray(value, inputs[name].dtype) for name, value in new.items()}
        new["move"] = jnp.asarray(_move(program, program.p, values), dtype)
        if pair:
            whole = ("move", *(f"s.{name}" for name in program.slots))
            new |= {name: _paired(jnp.broadcast_to(new[name], jnp.shape(inputs["p"]))) for name in whole}
        return {**new, "move": new["move"].astype(jnp.asarray(p).dtype)}

    return step


def _value(program: Program, place: int, values: Mapping[int, Any]) -> Any:
    node = program.nodes[place]
    return node.value if node.op == "const" else values[place]


def _move(program: Program, place: int, values: Mapping[int, Any]) -> Any:
    """The node's value minus p, without the difference of two large numbers: p - x gives -x, p k gives p (k - 1)."""
    node = program.nodes[place]
    match node.op, node.args:
        case "input", _ if node.value == "p":
            return jnp.zeros_like(values[place])
        case "sub", (a, b) if _contains_p(program, a):
            return _move(program, a, values) - _value(program, b, values)
        case "add", (a, b) if _contains_p(program, a):
            return _move(program, a, values) + _value(program, b, values)
        case "mul", (a, b) if program.inputs["p"] in (a, b) and program.nodes[a].level != program.nodes[b].level:
            factor = b if a == program.inputs["p"] else a
            return values[program.inputs["p"]] * (_value(program, factor, values) - 1)
    return _value(program, place, values) - values[program.inputs["p"]]


def _contains_p(program: Program, place: int) -> bool:
    """Whether a node is p, or p with something added or multiplied: the part of a step that stays."""
    node = program.nodes[place]
    if node.level != ELEMENT:
        return False
    if node.op == "input":
        return node.value == "p"
    return node.op in ("sub", "add", "mul") and any(_contains_p(program, arg) for arg in node.args[: 1 if node.op == "sub" else 2])


__all__ = ["RuleState", "transform"]
