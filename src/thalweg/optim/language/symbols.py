"""Symbols: what a rule's `step` is run on once, so that it writes down what it does.

    tape = Tape();  x = tape.input("p", ELEMENT);  y = tape.input("self.lr", HOST) * x        # tape.nodes: p, self.lr, mul

An operation on symbols appends a `Node` to the tape; the same operation on the same operands is the same node. A node's level
says how many values it has: one for a group of tensors (HOST: hyper-parameters, the time), one for a tensor (TENSOR: sums over
it), or one for an element. Literal zeros and ones vanish, 0 * x too: so do the terms of a field that is off (`off_at=0`).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from numbers import Real
from typing import Any, NoReturn, cast

from thalweg.errors import RuleError

HOST, TENSOR, ELEMENT = 0, 1, 2

COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
MODEL = ("sum_all", "dot_all")  # over the elements of all tensors together
REDUCTIONS = ("sum", "dot", *MODEL)  # the others over those of one tensor
SHAPED = ("mean_channel", "mean_row", "mean_col", "newton_schulz")  # from elements to elements, by the shape of the tensor
SHAPE = ("axes", "rows", "cols", "epsilon")  # inputs that tell of it

FUNCTIONS = (  # those of thalweg.optim.ops
    *("abs", "clip", "clock", "cos", "dot", "exp", "floor", "lerp", "log", "maximum", "mean", "minimum", "newton_schulz", "norm"),
    *("normal", "shape", "sign", "sqrt", "total", "where"),
)


@dataclass(frozen=True)
class Node:
    """One operation. `args` are places of earlier nodes; `phase` is the number of reductions that must be finished before."""

    op: str
    args: tuple[int, ...] = ()
    level: int = HOST
    phase: int = 0
    boolean: bool = False
    value: float | str = 0.0  # the number of a "const", the name of an "input"


class Tape:
    """The operations so far, each once."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._places: dict[Node, int] = {}

    def input(self, name: str, level: int) -> Symbol:
        return self._place(Node("input", level=level, value=name))

    def apply(self, op: str, *operands: Any) -> Any:
        """The symbol of op(*operands), or a number where a literal decides it."""
        known = _simplified(op, operands)
        if known is not None:
            return known
        choosing = op == "where"
        symbols = [self.symbol(each, condition=choosing and i == 0) for i, each in enumerate(operands)]
        nodes = [self.nodes[each.place] for each in symbols]
        level, phase = max(node.level for node in nodes), max(node.phase for node in nodes)
        if op in REDUCTIONS:
            if level != ELEMENT:
                _refuse("norm, mean, dot and total take the elements of a tensor (p, g or a slot)")
            level, phase = HOST if op in MODEL else TENSOR, phase + 1
        if op in SHAPED and level != ELEMENT:
            _refuse(f"{op} takes the elements of a tensor (p, g or a slot)")
        return self._place(Node(op, tuple(each.place for each in symbols), level, phase, op in COMPARISONS))

    def symbol(self, value: Any, condition: bool = False) -> Symbol:
        """The value as a symbol: a condition stays one where one is asked for, and counts as 1 or 0 elsewhere."""
        if not isinstance(value, Symbol):
            if not isinstance(value, Real):
                _refuse(f"{type(value).__name__} {value!r} is neither a number nor made from p, g, s, t and the hyper-parameters")
            value = self._place(Node("const", value=float(value)))
        if value.tape is not self:
            _refuse("a value of one step is kept and used in another; keep it in a slot")
        boolean = self.nodes[value.place].boolean
        if condition and not boolean:
            return cast(Symbol, self.apply("ne", value, 0.0))
        if boolean and not condition:
            return cast(Symbol, self.apply("where", value, 1.0, 0.0))
        return cast(Symbol, value)

    def _place(self, node: Node) -> Symbol:
        if node not in self._places:
            self._places[node] = len(self.nodes)
            self.nodes.append(node)
        return Symbol(self, self._places[node])


def _simplified(op: str, operands: tuple[Any, ...]) -> Any:
    """What a literal among the operands decides, as in 0 * x = 0 and x ** 2 = x * x; None where nothing is decided."""
    literal = [float(each) if isinstance(each, int | float) else None for each in operands]
    a, b = operands[0], operands[-1]
    match op, literal:
        case ("add", [0.0, _]) | ("mul", [1.0, _]):
            return b
        case ("add" | "sub", [_, 0.0]) | ("mul" | "div" | "pow", [_, 1.0]):
            return a
        case ("mul", [0.0, _]) | ("mul", [_, 0.0]) | ("div", [0.0, _]):
            return 0.0
        case "sub", [0.0, _]:
            return -b
        case "pow", [_, 0.0]:
            return 1.0
        case "pow", [_, 2.0]:
            return a * a
        case "pow", [_, 0.5]:
            return a.tape.apply("sqrt", a)
        case "lerp", [_, _, 0.0]:
            return a
        case "lerp", [_, _, 1.0]:
            return operands[1]
        case "where", [float(decided), _, _]:
            return operands[1] if decided else b
    return None


class Symbol:
    """A value that a step has computed, with the operators of a number. There is no `if` on it: nothing is known yet."""

    __slots__ = ("place", "tape")
    __hash__ = None  # type: ignore[assignment]  # == makes a symbol, so a symbol is no key

    def __init__(self, tape: Tape, place: int) -> None:
        self.tape, self.place = tape, place

    def __add__(self, other: Any) -> Any:
        return self.tape.apply("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return self.tape.apply("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return self.tape.apply("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.tape.apply("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return self.tape.apply("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.tape.apply("mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self.tape.apply("div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.tape.apply("div", other, self)

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, Symbol) and self.tape.nodes[other.place].level == ELEMENT:
            _refuse("an exponent is a number or a hyper-parameter, not an element; write exp(y * log(x))")
        return self.tape.apply("pow", self, other)

    def __rpow__(self, other: Any) -> Any:
        return self.tape.symbol(other) ** self

    def __neg__(self) -> Any:
        return self.tape.apply("neg", self)

    def __abs__(self) -> Any:
        return self.tape.apply("abs", self)

    def __lt__(self, other: Any) -> Any:
        return self.tape.apply("lt", self, other)

    def __le__(self, other: Any) -> Any:
        return self.tape.apply("le", self, other)

    def __gt__(self, other: Any) -> Any:
        return self.tape.apply("gt", self, other)

    def __ge__(self, other: Any) -> Any:
        return self.tape.apply("ge", self, other)

    def __eq__(self, other: object) -> Any:
        return self.tape.apply("eq", self, other)

    def __ne__(self, other: object) -> Any:
        return self.tape.apply("ne", self, other)

    def __and__(self, other: Any) -> Any:
        return self.tape.apply("where", self, other, 0.0) != 0

    def __or__(self, other: Any) -> Any:
        return self.tape.apply("where", self, 1.0, other) != 0

    def __bool__(self) -> bool:
        _refuse("a step may not branch on a value; write where(condition, a, b), or make it a flag or choice of the rule")

    def __float__(self) -> float:
        _refuse("a value is not a number yet; take functions from thalweg.optim.ops (sqrt, exp, ...), not from math")

    def __array_ufunc__(self, ufunc: Any, *_: Any, **__: Any) -> Any:
        _refuse(f"NumPy's {ufunc.__name__} knows no symbols; {_ours(ufunc.__name__)}")

    @classmethod
    def __torch_function__(cls, function: Any, *_: Any, **__: Any) -> Any:
        _refuse(f"torch's {_name(function)} knows no symbols; {_ours(_name(function))}")

    def __iter__(self) -> Any:
        _refuse("a value is one element; it has no length and no parts")

    def __getitem__(self, _: Any) -> Any:
        _refuse("a value is one element; it has no length and no parts")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(f".{name} is not part of the language of rules; the functions are those of thalweg.optim.ops")


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", function))


def _ours(name: str) -> str:
    """What to write in place of another library's function."""
    same = name if name in FUNCTIONS else {"absolute": "abs"}.get(name)
    return f"write thalweg.optim.ops.{same}" if same else "take functions from thalweg.optim.ops, and numbers from Python"


def _refuse(reason: str) -> NoReturn:
    """RuleError with the line of the rule that is at fault: the nearest caller outside of the tracing machinery."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in (__name__, "thalweg.optim.ops"):
        frame = frame.f_back
    msg = f"{frame.f_code.co_filename}:{frame.f_lineno}: {reason}"
    raise RuleError(msg)
