"""What a rule and a rate will do, before the run: from the rule's own program, without a formula for each rule."""

from thalweg.optim.dynamics.convert import convert
from thalweg.optim.dynamics.linear import Linear, linear
from thalweg.optim.dynamics.stability import Stability, stability
from thalweg.optim.dynamics.stationary import Stationary, stationary

__all__ = ["Linear", "Stability", "Stationary", "convert", "linear", "stability", "stationary"]
