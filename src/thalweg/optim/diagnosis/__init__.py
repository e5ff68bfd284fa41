"""What is wrong with a training run: curvature, noise and a range test of a model, its data and its optimizer."""

from thalweg.needs import needs

needs("torch", "thalweg.optim.diagnosis")

from thalweg.optim.diagnosis.curvature import Eigenvalue, Hessian, largest, trace
from thalweg.optim.diagnosis.findings import Row
from thalweg.optim.diagnosis.noise import NoiseScale, noise_scale
from thalweg.optim.diagnosis.problem import Problem, copied
from thalweg.optim.diagnosis.report import Diagnosis, diagnose
from thalweg.optim.diagnosis.sweep import RangeTest, lr_range_test
from thalweg.optim.diagnosis.trials import Trial

__all__ = [
    "Diagnosis",
    "Eigenvalue",
    "Hessian",
    "NoiseScale",
    "Problem",
    "RangeTest",
    "Row",
    "Trial",
    "copied",
    "diagnose",
    "largest",
    "lr_range_test",
    "noise_scale",
    "trace",
]
