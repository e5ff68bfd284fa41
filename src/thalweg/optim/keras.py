"""A rule as a Keras optimizer.

    import keras
    from thalweg.optim import Lion, keras as rules

    model.compile(optimizer=rules.Optimizer(Lion(), learning_rate=1e-4), loss="mse")

Everything of a Keras optimizer works: schedules, constraints (applied after the step), clipping, EMA, gradient accumulation, saving
in `.keras` files. With the torch backend all tensors are stepped together by `thalweg.optim.torch`; with jax the rule's program is
traced with the training step. Other backends run the same program through `keras.ops`.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from thalweg.errors import RuleError
from thalweg.optim.backends.reference import Functions, channels, evaluate, measured
from thalweg.optim.config import from_config
from thalweg.optim.rule import Rule
from thalweg.optim.rules import RULES
from thalweg.optim.transforms import by_itself

OPS: Functions = {
    "add": ops.add,
    "sub": ops.subtract,
    "mul": ops.multiply,
    "div": ops.divide,
    "pow": ops.power,
    "neg": ops.negative,
    "abs": ops.absolute,
    "sqrt": ops.sqrt,
    "exp": ops.exp,
    "log": ops.log,
    "cos": ops.cos,
    "floor": ops.floor,
    "sign": ops.sign,
    "minimum": ops.minimum,
    "maximum": ops.maximum,
    "lerp": lambda a, b, weight: a + weight * (b - a),
    "where": ops.where,
    "lt": ops.less,
    "le": ops.less_equal,
    "gt": ops.greater,
    "ge": ops.greater_equal,
    "eq": ops.equal,
    "ne": ops.not_equal,
    "sum": ops.sum,
    "dot": lambda x, y: ops.sum(x * y),
    "mean_channel": lambda x: ops.mean(x, axis=channels(len(x.shape)), keepdims=True),
    "mean_row": lambda x: ops.mean(x, axis=-1, keepdims=True),
    "mean_col": lambda x: ops.mean(x, axis=-2, keepdims=True),
}
OWN: dict[str, type[Rule]] = {}  # rules that users have registered
HALVES = ("float16", "bfloat16")  # slots and steps of such variables are in 32 bits


def register(rule: type[Rule]) -> type[Rule]:
    """Make a rule of one's own known by its name, so that a saved model with it can be loaded: a decorator of its class."""
    OWN[rule.__name__] = rule
    return rule


@keras.saving.register_keras_serializable(package="thalweg")
class Optimizer(keras.optimizers.Optimizer):  # type: ignore[misc]
    """Step variables by a rule. learning_rate: a number, schedule or function, which takes the place of the rule's lr.

    Other arguments are those of `keras.optimizers.Optimizer`; its weight_decay is Keras's own (decoupled), beside the rule's wd.
    Raises RuleError for what is no rule, or for a learning rate where the rule has none.
    """

    def __init__(self, rule: Rule, learning_rate: Any = None, name: str | None = None, **options: Any) -> None:
        what: object = rule
        if not isinstance(what, Rule):
            msg = f"{rule!r} is not a rule; give one made from a class of thalweg.optim, as in optim.Adam(lr=1e-3)"
            raise RuleError(msg)
        if learning_rate is not None and not hasattr(rule, "lr"):
            msg = f"{type(rule).__name__} has no lr that learning_rate={learning_rate!r} could replace"
            raise RuleError(msg)
        own = getattr(rule, "lr", 0.0) if learning_rate is None else learning_rate
        super().__init__(learning_rate=own, name=name or type(rule).__name__.lower(), **options)
        self.rule = rule
        self.program = by_itself(rule)
        self._slots: dict[str, list[Any]] = {}
        self._torch: Any = None

    def build(self, variables: list[Any]) -> None:
        """Make the slots: a variable like each trainable one, a number in 64 bits for each scalar of the rule."""
        if self.built:
            return
        super().build(variables)
        slots, scalars = self.rule.slots.of(self.rule), self.rule.scalars.of(self.rule)
        for name in self.program.slots:
            self._slots[name] = [self._like(variable, name, slots[name]) for variable in variables]
        for name in self.program.scalars:
            self._slots[name] = [self._like(variable, name, scalars[name], shape=()) for variable in variables]
        if keras.backend.backend() == "torch":
            from thalweg.optim.keras_torch import Together

            self._torch = Together(self.rule, variables, {name: self._slots[name] for name in self._slots})

    def _like(self, variable: Any, name: str, value: float, shape: tuple[int, ...] | None = None) -> Any:
        if self._overwrite_variable_with_gradient(variable):
            return None
        dtype = "float32" if variable.dtype in HALVES else variable.dtype
        path = getattr(variable, "path", variable.name).replace("/", "_").replace(":", "_")
        return self.add_variable(
            variable.shape if shape is None else shape,
            initializer=keras.initializers.Constant(value),
            dtype=dtype,
            layout=getattr(variable, "_layout", None) if shape is None else None,
            name=f"{path}_{name}",
        )

    def _backend_update_step(self, grads: list[Any], trainable_variables: list[Any], learning_rate: Any) -> None:
        if self._torch is None:
            super()._backend_update_step(grads, trainable_variables, learning_rate)
        else:
            self._torch.step(grads, trainable_variables, float(learning_rate), int(self.iterations))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's step by its program."""
        place = self._get_variable_index(variable)
        dtype = "float32" if variable.dtype in HALVES else variable.dtype
        inputs = {f"self.{name}": value for name, value in vars(self.rule).items()}
        inputs |= {f"s.{name}": kept[place] for name, kept in self._slots.items()}
        inputs |= {"self.lr": ops.cast(learning_rate, dtype), "t": ops.cast(self.iterations + 1, dtype)}
        inputs |= {"p": ops.cast(variable, dtype), "g": ops.cast(gradient, dtype), **measured(variable.shape)}
        program = self.program
        values = {at: inputs[name] for name, at in program.inputs.items()}
        evaluate(program, range(len(program.nodes)), values, OPS)
        for name, at in {**program.slots, **program.scalars}.items():
            node = program.nodes[at]
            self.assign(self._slots[name][place], ops.cast(node.value if node.op == "const" else values[at], dtype))
        self.assign(variable, ops.cast(values[program.p], variable.dtype))

    def get_config(self) -> dict[str, Any]:
        """What makes this optimizer again, for JSON."""
        return {**super().get_config(), "rule": self.rule.to_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Optimizer:
        """The optimizer that `get_config` wrote.

        A rule of one's own is found in custom_objects or where `register` has put it. Raises RuleError if it is in neither.
        """
        given = dict(config)
        rule = given.pop("rule")

        def find(name: str) -> type[Rule]:
            kind = RULES.get(name.lower()) or (custom_objects or {}).get(name) or OWN.get(name)
            if kind is None:
                msg = f"the rule {name!r} is not known here: decorate its class with thalweg.optim.keras.register"
                raise RuleError(msg)
            return kind

        made = from_config(rule, find)
        rate = given.pop("learning_rate", None)
        if isinstance(rate, dict):
            rate = keras.optimizers.schedules.deserialize(rate, custom_objects=custom_objects)
        return cls(made, learning_rate=rate if hasattr(made, "lr") else None, **given)


__all__ = ["Optimizer", "register"]
