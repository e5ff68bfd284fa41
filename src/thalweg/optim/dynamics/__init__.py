"""What a rule and a rate will do, before the run: from the rule's own program, without a formula for each rule."""

from thalweg.optim.dynamics.convert import convert
from thalweg.optim.dynamics.escape import escape_time, kramers_time
from thalweg.optim.dynamics.flow import Flow, Trajectory, flow
from thalweg.optim.dynamics.linear import Linear, linear
from thalweg.optim.dynamics.modified import Modified, modified_equation
from thalweg.optim.dynamics.path import Order, Path, order, path
from thalweg.optim.dynamics.stability import Stability, stability, stability_map
from thalweg.optim.dynamics.stationary import Stationary, stationary

__all__ = [
    "Flow",
    "Linear",
    "Modified",
    "Order",
    "Path",
    "Stability",
    "Stationary",
    "Trajectory",
    "convert",
    "escape_time",
    "flow",
    "kramers_time",
    "linear",
    "modified_equation",
    "order",
    "path",
    "stability",
    "stability_map",
    "stationary",
]
