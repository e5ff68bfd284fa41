"""A rule as a Keras optimizer.

    import keras
    from thalweg.optim import Lion, keras as rules

    model.compile(optimizer=rules.Optimizer(Lion(), learning_rate=1e-4), loss="mse")

Everything of a Keras optimizer works: schedules, constraints (applied after the step), clipping, EMA, gradient accumulation, saving
in `.keras` files. With the torch backend all tensors are stepped together by `thalweg.optim.torch`; with jax the rule's program is
traced with the training step. Other backends run the same program through `keras.ops`.
"""

from __future__ import annotations

from thalweg.needs import needs

needs("keras", "thalweg.optim.keras")

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from thalweg.errors import RuleError
from thalweg.optim.backends.reference import evaluate
from thalweg.optim.language.functions import Functions, channels, measured, newton_schulz
from thalweg.optim.language.program import Program
from thalweg.optim.language.rule import KNOWN, OWN_NAME, Rule
from thalweg.optim.language.symbols import HOST
from thalweg.optim.rules.chained import Chained, by_itself, chain, from_config
from thalweg.optim.rules.transforms import weight_decay


def _mean(x: Any, axes: tuple[int, ...]) -> Any:
    """The mean over some axes, which stay with length 1; Keras's own is of single precision on jax."""
    return ops.sum(x, axis=axes, keepdims=True) / math.prod(x.shape[axis] for axis in axes)


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
    "mean_channel": lambda x: _mean(x, channels(len(x.shape))),
    "mean_row": lambda x: _mean(x, (-1,)),
    "mean_col": lambda x: _mean(x, (-2,)),
    "newton_schulz": lambda x, a, b, c, eps, steps: newton_schulz(x, a, b, c, eps, steps, lambda y: ops.swapaxes(y, -1, -2)),
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

    weight_decay: takes the place of the rule's wd where it has one; else it is Keras's own, decoupled. What is excluded from it has
    no decay at all. Other arguments are those of `keras.optimizers.Optimizer`.
    Raises RuleError for what is no rule, or for a number that the rule does not have or allow.
    """

    def __init__(
        self, rule: Rule, learning_rate: Any = None, name: str | None = None, weight_decay: float | None = None, **options: Any
    ) -> None:
        what: object = rule
        if not isinstance(what, Rule):
            msg = f"{rule!r} is not a rule; give one made from a class of thalweg.optim, as in optim.Adam(lr=1e-3)"
            raise RuleError(msg)
        if learning_rate is not None and not hasattr(rule, "lr"):
            msg = f"{type(rule).__name__} has no lr that learning_rate={learning_rate!r} could replace"
            raise RuleError(msg)
        if isinstance(learning_rate, (int, float)):
            rule.replace(lr=learning_rate)  # refuses what is not allowed
        if weight_decay is not None:
            if _decays(rule) and not rule.wd:
                msg = f"weight_decay={weight_decay!r} beside the one in {rule!r} would decay twice: leave one of them out"
                raise RuleError(msg)
            rule.replace(wd=weight_decay)  # refuses what is not allowed
        by_itself(rule)
        own = getattr(rule, "lr", 0.0) if learning_rate is None else learning_rate
        super().__init__(learning_rate=own, name=name or _name(rule), weight_decay=weight_decay, **options)
        self.rule = rule
        self._rules: list[Rule] = []  # of each variable: without decay, or in the form for its axes
        self._programs: list[Program] = []
        self._slots: dict[str, list[Any]] = {}
        self._torch: Any = None

    def build(self, variables: list[Any]) -> None:
        """Make the slots: a variable like each trainable one, a number for each scalar of the rule. RuleError for complex ones."""
        if self.built:
            return
        super().build(variables)
        for variable in variables:
            if variable.dtype.startswith("complex"):
                msg = f"{variable.path} has complex numbers; give their real and imaginary parts as variables of their own"
                raise RuleError(msg)
            decayed = self.rule if self._use_weight_decay(variable) else _undecayed(self.rule)
            self._rules.append(decayed.suited(len(variable.shape)))
            self._programs.append(by_itself(self._rules[-1]))
        for name in dict.fromkeys(name for program in self._programs for name in (*program.slots, *program.scalars)):
            self._slots[name] = [self._slot(*each, name) for each in zip(variables, self._rules, self._programs, strict=True)]
        moved = [variable for variable in variables if not self._overwrite_variable_with_gradient(variable)]
        if keras.backend.backend() == "torch" and moved:
            from thalweg.optim.keras_torch import Together

            self._torch = Together(variables, self._rules, self._slots)

    def _slot(self, variable: Any, rule: Rule, program: Program, name: str) -> Any:
        """A slot or scalar of a variable, None where it has none."""
        if self._overwrite_variable_with_gradient(variable) or name not in {**program.slots, **program.scalars}:
            return None
        value = {**rule.slots.of(rule), **rule.scalars.of(rule)}[name]
        shape, kind = () if name in program.scalars else tuple(variable.shape), rule.shapes.get(name)
        shape = (*shape[:-1], 1) if kind == "row" else (*shape[:-2], 1, shape[-1]) if kind == "col" else shape
        path = getattr(variable, "path", variable.name).replace("/", "_").replace(":", "_")
        return self.add_variable(
            shape,
            initializer=keras.initializers.Constant(value),
            dtype="float32" if variable.dtype in HALVES else variable.dtype,
            layout=getattr(variable, "_layout", None) if shape == tuple(variable.shape) else None,
            name=f"{path}_{name}",
        )

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """One step; gradients may be NumPy arrays too."""
        tensors = [ops.convert_to_tensor(g) if isinstance(g, np.ndarray | np.generic) else g for g in grads]
        super().apply(tensors, trainable_variables)

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        if not self.rule.wd:  # else the rule does it
            super()._apply_weight_decay(variables)

    def _wd(self) -> float:
        """The rule's weight decay, as it stands now."""
        return float(self.rule.wd if self.weight_decay is None else self.weight_decay)

    def _backend_update_step(self, grads: list[Any], trainable_variables: list[Any], learning_rate: Any) -> None:
        if self._torch is not None:
            self._torch.step(grads, trainable_variables, float(learning_rate), self._wd(), int(self.iterations))
            return
        super()._backend_update_step(grads, trainable_variables, learning_rate)
        places = [self._get_variable_index(variable) for variable in trainable_variables]
        for name, kept in self._slots.items():  # a scalar that is one for all goes on for those without a gradient too
            for stepped in [k for k in places if shared(self._programs[k], name)][:1]:
                for k in range(len(kept)):
                    if k not in places and kept[k] is not None:
                        self.assign(kept[k], kept[stepped])

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's step by its program."""
        place = self._get_variable_index(variable)
        rule, program = self._rules[place], self._programs[place]
        dtype = "float32" if variable.dtype in HALVES else variable.dtype
        inputs = {f"self.{name}": value for name, value in vars(rule).items()} | {"self.wd": self._wd()}
        inputs |= {f"s.{name}": kept[place] for name, kept in self._slots.items()}
        inputs |= {"self.lr": ops.cast(learning_rate, dtype), "t": ops.cast(self.iterations + 1, dtype)}
        inputs["clock"] = inputs["t"]
        inputs |= {"p": ops.cast(variable, dtype), "g": ops.cast(ops.cast(gradient, variable.dtype), dtype)}
        inputs |= measured(variable.shape, float(np.finfo(dtype).eps))
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

        A rule of one's own is found in custom_objects, also those of `load_model`, or where `register` has put it. Raises RuleError
        if it is in neither.
        """
        given = dict(config)
        rule = given.pop("rule")

        def find(name: str) -> type[Rule]:
            bare = name.removeprefix(OWN_NAME)
            ours = {each.__name__: each for each in KNOWN.values()}
            kind = ours.get(name) or keras.saving.get_registered_object(bare, custom_objects) or OWN.get(bare)
            if kind is None:
                ways = "decorate its class with thalweg.optim.keras.register, or name it in custom_objects"
                msg = f"the rule {name!r} is not known here: {ways}"
                raise RuleError(msg)
            return kind

        made = from_config(rule, find)
        rate = given.pop("learning_rate", None)
        if isinstance(rate, dict):
            rate = keras.optimizers.schedules.deserialize(rate, custom_objects=custom_objects)
        return cls(made, learning_rate=rate if hasattr(made, "lr") else None, **given)


def shared(program: Program, name: str) -> bool:
    """Whether a scalar is the same for all tensors: it comes from the numbers of the rule and the time alone."""
    return name in program.scalars and program.nodes[program.scalars[name]].level == HOST


def _name(rule: Rule) -> str:
    """A name as Keras gives them: "adam", "adam_1", ..."""
    base = type(rule).__name__.lower()
    count = keras.backend.get_uid(base)
    return base if count == 1 else f"{base}_{count - 1}"


def _decays(rule: Rule) -> bool:
    return bool(rule.wd) or (isinstance(rule, Chained) and any(isinstance(each, weight_decay) for each in rule.transforms))


def _undecayed(rule: Rule) -> Rule:
    """The rule without any weight decay."""
    if not isinstance(rule, Chained):
        return rule.replace(wd=0.0)
    return chain(*(each for each in rule.transforms if not isinstance(each, weight_decay)), rule.rule.replace(wd=0.0))


__all__ = ["Optimizer", "register"]
