"""The landscapes that everything is tried on, each written once with its facts.

U is the energy: a descent looks for its minima, a sampler draws from the density exp(-U)/Z. A landscape is called with
x (n, dim), an array or a torch tensor (whose gradient is autograd's), and gives (n,); `.gradient` is the closed form for
arrays. Its facts (minima, Hessians, moments, normaliser) are what tests compare with. `LANDSCAPES` is the only list of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import numpy as np

from thalweg.energies.contract import Floats, floats, is_tensor, like
from thalweg.errors import InputError

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", bound="Floats | torch.Tensor")


class Landscape(ABC):
    """An energy whose facts are known. A new one defines `_value`, `_slope` and the facts `minima` and `hessians`."""

    def __call__(self, x: Array) -> Array:
        """The energies (n,) of the rows of x (n, dim), an array or a floating-point tensor. InputError: another shape."""
        return cast("Array", self._value(self._points(x)))

    def gradient(self, x: Floats) -> Floats:
        """The gradient (n, dim) at the rows of the array x (n, dim), in closed form. InputError: another shape, a tensor."""
        if is_tensor(x):
            msg = f"{self!r}.gradient takes NumPy arrays; for a tensor, torch.autograd differentiates energy(x).sum()"
            raise InputError(msg)
        return self._slope(self._points(x))

    @abstractmethod
    def _value(self, x: Any) -> Any:
        """U: x (n, dim) -> (n,), in operators that arrays and tensors share."""

    @abstractmethod
    def _slope(self, x: Floats) -> Floats:
        """The gradient of U: x (n, dim) -> (n, dim)."""

    @property
    @abstractmethod
    def minima(self) -> Floats:
        """All local minima (k, dim), the lowest first."""

    @property
    @abstractmethod
    def hessians(self) -> Floats:
        """The Hessians (k, dim, dim) at the minima."""

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.minima[0])

    @property
    def least(self) -> float:
        """The least energy, that of the first minimum."""
        return float(self(self.minima[:1])[0])

    @property
    def spectrum(self) -> Floats:
        """The curvatures (k, dim) at the minima: eigenvalues of the Hessians, ascending. SGD is stable there iff lr < 2/last."""
        return floats(np.linalg.eigvalsh(self.hessians))

    def _points(self, x: object) -> Any:
        points: Any = x if is_tensor(x) else floats(x)
        if points.ndim != 2 or points.shape[1] != self.dim:
            msg = f"x has shape {tuple(points.shape)}; {self!r} takes points of shape (n, {self.dim})"
            raise InputError(msg)
        if is_tensor(x) and not points.is_floating_point():
            msg = f"x is a tensor of {points.dtype}; {self!r} takes floating-point tensors: x.double()"
            raise InputError(msg)
        return points


class Density(Landscape):
    """A landscape whose density exp(-U)/Z has known moments."""

    @property
    @abstractmethod
    def mean(self) -> Floats:
        """The mean (dim,) of the density."""

    @property
    @abstractmethod
    def covariance(self) -> Floats:
        """The covariance (dim, dim) of the density."""

    @property
    @abstractmethod
    def log_normaliser(self) -> float:
        """The natural logarithm of Z, the integral of exp(-U)."""


@dataclass(frozen=True)
class Parabola(Landscape):
    """U = 1/2 sum_i curvature_i x_i^2, where every linear rule can be solved: SGD gives x_t = (1 - lr curvature)^t x_0."""

    curvatures: tuple[float, ...] = (1.0, 100.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "curvatures", _positive("curvatures", self.curvatures))

    @classmethod
    def conditioned(cls, kappa: float, dim: int = 2) -> Parabola:
        """Curvatures from 1 to kappa (the condition number) in equal ratios, one for each of `dim` >= 2 coordinates."""
        if dim < 2 or not kappa >= 1:
            msg = f"kappa={kappa!r}, dim={dim!r}: a condition number is at least 1 and needs at least 2 coordinates"
            raise InputError(msg)
        return cls(tuple(np.geomspace(1.0, kappa, dim).tolist()))

    def _value(self, x: Any) -> Any:
        return (like(self.curvatures, x) * x**2).sum(-1) / 2

    def _slope(self, x: Floats) -> Floats:
        return floats(self.curvatures) * x

    @property
    def minima(self) -> Floats:
        return np.zeros((1, len(self.curvatures)))

    @property
    def hessians(self) -> Floats:
        return np.diag(self.curvatures)[None]


@dataclass(frozen=True)
class DoubleWell(Landscape):
    """U = (x^2 - 1)^2 / 4 + tilt x, one coordinate: wells at -1 and 1 with a barrier of 1/4 between them, where tilt = 0.

    A positive tilt makes the left well the deeper one. From abs(tilt) = 2/(3 sqrt 3) = 0.385 on there is only one well.
    """

    tilt: float = 0.0

    def __post_init__(self) -> None:
        if not abs(self.tilt) < 2 / math.sqrt(27):
            msg = f"tilt={self.tilt!r} leaves no second well; it must lie between -0.3849 and 0.3849"
            raise InputError(msg)

    def _value(self, x: Any) -> Any:
        return ((x**2 - 1) ** 2 / 4 + self.tilt * x)[:, 0]

    def _slope(self, x: Floats) -> Floats:
        return x**3 - x + self.tilt

    @property
    def minima(self) -> Floats:
        return self._flat_points()[[0, 2] if self.tilt <= 0 else [2, 0]]

    @property
    def hessians(self) -> Floats:
        return (3 * self.minima**2 - 1)[:, :, None]

    @property
    def barriers(self) -> Floats:
        """The height (2,) to be climbed from each of the minima to the top between them."""
        return self(self._flat_points()[[1]]) - self(self.minima)

    def _flat_points(self) -> Floats:
        """The roots (3, 1) of x^3 - x + tilt, the largest first: right well, top, left well (Viete's formula)."""
        angle = math.asin(self.tilt * math.sqrt(27) / 2) / 3
        third = 2 * math.pi / 3  # dividing by its sine, (sqrt 3)/2, makes the wells without tilt exactly 1 and -1
        return np.sin(angle + floats([[third], [0], [-third]])) / math.sin(third)


@dataclass(frozen=True)
class Rosenbrock(Landscape):
    """U = (1 - x)^2 + 100 (y - x^2)^2: a curved valley, steep across and nearly flat along (Rosenbrock 1960)."""

    def _value(self, x: Any) -> Any:
        return (1 - x[:, 0]) ** 2 + 100 * (x[:, 1] - x[:, 0] ** 2) ** 2

    def _slope(self, x: Floats) -> Floats:
        a, b = x.T
        off = b - a**2  # distance from the valley's floor
        return np.stack([-2 * (1 - a) - 400 * a * off, 200 * off], axis=-1)

    @property
    def minima(self) -> Floats:
        return np.array([[1.0, 1.0]])

    @property
    def hessians(self) -> Floats:
        return np.array([[[802.0, -400.0], [-400.0, 200.0]]])


@dataclass(frozen=True)
class Beale(Landscape):
    """U = sum_k (c_k - x + x y^k)^2, c = (1.5, 2.25, 2.625), k = 1, 2, 3: plateaus with steep corners (Beale 1958)."""

    constants: ClassVar[tuple[float, ...]] = (1.5, 2.25, 2.625)

    def _value(self, x: Any) -> Any:
        a, b = x[:, 0], x[:, 1]
        return sum((c - a + a * b**k) ** 2 for k, c in enumerate(self.constants, 1))

    def _slope(self, x: Floats) -> Floats:
        a, b = x.T
        slope = np.zeros_like(x)
        for k, c in enumerate(self.constants, 1):
            residual = 2 * (c - a + a * b**k)
            slope += np.stack([residual * (b**k - 1), residual * k * a * b ** (k - 1)], axis=-1)
        return slope

    @property
    def minima(self) -> Floats:
        return np.array([[3.0, 0.5]])

    @property
    def hessians(self) -> Floats:
        jacobian = floats([[-0.5, 3.0], [-0.75, 3.0], [-0.875, 2.25]])  # of the residuals, which are 0 there
        return (2 * jacobian.T @ jacobian)[None]


@dataclass(frozen=True)
class Gaussian(Density):
    """U = 1/2 sum_i (x_i / sd_i)^2: independent coordinates, by default eight with sd from 1/4 to 3."""

    sd: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sd", _positive("sd", self.sd))

    def _value(self, x: Any) -> Any:
        return ((x / like(self.sd, x)) ** 2).sum(-1) / 2

    def _slope(self, x: Floats) -> Floats:
        return x / floats(self.sd) ** 2

    @property
    def minima(self) -> Floats:
        return self.mean[None]

    @property
    def hessians(self) -> Floats:
        return np.diag(1 / floats(self.sd) ** 2)[None]

    @property
    def mean(self) -> Floats:
        return np.zeros(len(self.sd))

    @property
    def covariance(self) -> Floats:
        return np.diag(floats(self.sd) ** 2)

    @property
    def log_normaliser(self) -> float:
        return sum(math.log(sd * (2 * math.pi) ** 0.5) for sd in self.sd)


@dataclass(frozen=True)
class Banana(Density):
    """U = x^2/2 + (y - b (x^2 - 1))^2 / 2: x is N(0, 1), and y is N(0, 1) about a parabola of bend b (Haario et al. 1999)."""

    b: float = 0.5

    def __post_init__(self) -> None:
        if not math.isfinite(self.b):
            msg = f"b={self.b!r} is not a finite bend"
            raise InputError(msg)

    def _value(self, x: Any) -> Any:
        return (x[:, 0] ** 2 + (x[:, 1] - self.b * (x[:, 0] ** 2 - 1)) ** 2) / 2

    def _slope(self, x: Floats) -> Floats:
        off = x[:, 1] - self.b * (x[:, 0] ** 2 - 1)
        return np.stack([x[:, 0] * (1 - 2 * self.b * off), off], axis=-1)

    @property
    def minima(self) -> Floats:
        return np.array([[0.0, -self.b]])

    @property
    def hessians(self) -> Floats:
        return np.eye(2)[None]

    @property
    def mean(self) -> Floats:
        return np.zeros(2)

    @property
    def covariance(self) -> Floats:
        return np.diag([1.0, 1 + 2 * self.b**2])  # Var(x^2 - 1) = 2

    @property
    def log_normaliser(self) -> float:
        return math.log(2 * math.pi)  # the bend preserves areas


class _Mixture(Density):
    """U = -log sum_k weight_k N(x; centre_k, sd^2 I), normalised."""

    weights: ClassVar[tuple[float, ...]]
    centres: ClassVar[tuple[tuple[float, ...], ...]]  # (k, dim), the heaviest first
    sd: ClassVar[float]

    def _value(self, x: Any) -> Any:
        shares = self._log_shares(x)  # (n, k)
        if is_tensor(x):
            return -shares.logsumexp(-1)
        top = shares.max(axis=-1)  # taken out, so that no exponential underflows to log 0
        return -top - np.log(np.exp(shares - top[:, None]).sum(-1))

    def _slope(self, x: Floats) -> Floats:
        return (x - self._shares(x) @ floats(self.centres)) / self.sd**2

    def _log_shares(self, x: Any) -> Any:
        """For each row and centre, log(weight_k N(x; centre_k, sd^2 I)): (n, k)."""
        squares = ((x[:, None, :] - like(self.centres, x)) ** 2).sum(-1)  # (n, k)
        return like(np.log(self.weights) - self.dim * math.log(self.sd * (2 * math.pi) ** 0.5), x) - squares / (2 * self.sd**2)

    def _shares(self, x: Floats) -> Floats:
        """How much of the density at each row comes from each centre: (n, k), rows sum to 1."""
        shares = self._log_shares(x)
        shares = np.exp(shares - shares.max(axis=-1, keepdims=True))
        return floats(shares / shares.sum(-1, keepdims=True))

    @property
    def dim(self) -> int:
        return len(self.centres[0])

    @property
    def minima(self) -> Floats:
        x = floats(self.centres)
        for _ in range(10):  # mean shift: the fixed points of x = sum_k share_k centre_k; centres 6 sd apart: two are enough
            x = self._shares(x) @ floats(self.centres)
        return x

    @property
    def hessians(self) -> Floats:
        shares = self._shares(self.minima)
        away = floats(self.centres)[None] - self.minima[:, None]  # (k, k, dim): its mean under the shares is 0
        spread = np.einsum("nk,nki,nkj->nij", shares, away, away)
        return floats(np.eye(self.dim) / self.sd**2 - spread / self.sd**4)

    @property
    def mean(self) -> Floats:
        return floats(self.weights) @ floats(self.centres)

    @property
    def covariance(self) -> Floats:
        away = floats(self.centres) - self.mean
        return self.sd**2 * np.eye(self.dim) + (away.T * floats(self.weights)) @ away

    @property
    def log_normaliser(self) -> float:
        return 0.0


@dataclass(frozen=True)
class TwoBumps(_Mixture):
    """U = -log p, p = 0.7 N(1.5, 1/4) + 0.3 N(-1.5, 1/4): one coordinate, a chain has to cross to get the weights right."""

    weights = (0.7, 0.3)
    centres = ((1.5,), (-1.5,))
    sd = 0.5


@dataclass(frozen=True)
class Gaussians25(_Mixture):
    """25 Gaussians of sd 0.05 on the grid {-2, ..., 2}^2, all divided by sqrt 8: the mode-collapse toy of the GAN papers."""

    weights = (1 / 25,) * 25
    centres = tuple((a / math.sqrt(8), b / math.sqrt(8)) for a in range(-2, 3) for b in range(-2, 3))
    sd = 0.05 / math.sqrt(8)


LANDSCAPES: dict[str, type[Landscape]] = {
    "parabola": Parabola,
    "double-well": DoubleWell,
    "rosenbrock": Rosenbrock,
    "beale": Beale,
    "gaussian": Gaussian,
    "banana": Banana,
    "two-bumps": TwoBumps,
    "gaussians25": Gaussians25,
}


def _positive(field: str, values: object) -> tuple[float, ...]:
    """One finite positive number for each coordinate, as a tuple of floats."""
    numbers = floats(values)
    if numbers.ndim != 1 or not len(numbers) or not (np.isfinite(numbers) & (numbers > 0)).all():
        msg = f"{field}={values!r}: give a positive number for each coordinate, as in {field}=(1.0, 2.0)"
        raise InputError(msg)
    return tuple(numbers.tolist())
