"""Energies: what one is, the kit that tests one, and the landscapes that everything is tried on."""

from thalweg.energies.contract import Energy, EnergyCheck, check_energy, value_and_gradient
from thalweg.energies.landscapes import (
    LANDSCAPES,
    Banana,
    Beale,
    Density,
    DoubleWell,
    Gaussian,
    Gaussians25,
    Landscape,
    Parabola,
    Rosenbrock,
    TwoBumps,
)

__all__ = [
    "LANDSCAPES",
    "Banana",
    "Beale",
    "Density",
    "DoubleWell",
    "Energy",
    "EnergyCheck",
    "Gaussian",
    "Gaussians25",
    "Landscape",
    "Parabola",
    "Rosenbrock",
    "TwoBumps",
    "check_energy",
    "value_and_gradient",
]
