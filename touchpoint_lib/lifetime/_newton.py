"""Newton's method on log parameters, and the check that what it found is a maximum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from touchpoint_lib._checks import FloatArray

#: Mean value, gradient and Hessian of the negative log-likelihood at log parameters.
Objective = Callable[[FloatArray], tuple[float, FloatArray, FloatArray]]

#: |gradient| per customer below which a fit counts as converged.
GRADIENT_TOLERANCE = 1e-7
#: Where Newton stops: well below the tolerance, because a step costs little.
_GRADIENT_GOAL = 1e-10
_MAX_STEPS = 100
#: Longest step in any log parameter.
_LONGEST = 2.0
#: Log parameters beyond this have run away: the data do not bound them.
RUNAWAY = 12.0
#: Standard error of a log parameter from which on the data say nothing about it: its 95% interval
#: spans more than eight orders of magnitude.
LOOSEST = 5.0


@dataclass(frozen=True)
class Optimum:
    """Where Newton stopped, with what it saw there."""

    theta: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray
    steps: int

    @property
    def flat(self) -> bool:
        """Whether the gradient vanishes."""
        return bool(np.abs(self.gradient).max() < GRADIENT_TOLERANCE)

    @property
    def curved(self) -> bool:
        """Whether the Hessian is positive definite, beyond rounding."""
        eigenvalues = np.linalg.eigvalsh(self.hessian)
        return bool(eigenvalues[0] > 1e-12 * max(1.0, eigenvalues[-1]))

    def trouble(self, names: Sequence[str], n: float) -> str:
        """Return why this is no proper maximum for ``n`` customers; empty where it is one."""
        away = [name for name, at in zip(names, self.theta, strict=True) if abs(at) > RUNAWAY]
        ran = f" ({', '.join(away)} ran away)" if away else ""
        if not self.flat:
            steepest = np.abs(self.gradient).max()
            return f"after {self.steps} steps the gradient per customer is {steepest:.1e}{ran}"
        if not self.curved:
            return f"the likelihood has no peak: its Hessian is not positive definite{ran}"
        errors = np.sqrt(np.diag(np.linalg.inv(self.hessian)) / n)
        loose = [
            f"the standard error of ln {name} is {error:.2g}"
            for name, error in zip(names, errors, strict=True)
            if not error < LOOSEST
        ]
        return f"the data do not bound it: {', '.join(loose)}" if loose else ""


def minimise(objective: Objective, start: FloatArray, goal: float = _GRADIENT_GOAL) -> Optimum:
    """Minimise ``objective`` by damped Newton steps with an eigenvalue shift and backtracking.

    It stops where no entry of the gradient is larger than ``goal``.
    """
    with np.errstate(all="ignore"):  # a step too long overflows: it is halved
        return _minimise(objective, np.asarray(start, dtype=np.float64), goal)


def _minimise(objective: Objective, theta: FloatArray, goal: float) -> Optimum:
    value, gradient, hessian = objective(theta)
    steps = 0
    while steps < _MAX_STEPS and np.abs(gradient).max() > goal:
        eigenvalues, vectors = np.linalg.eigh(hessian)
        # A direction of negative curvature is walked downhill at the same pace.
        floor = 1e-8 * np.abs(eigenvalues).max() + 1e-14
        step = -vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(eigenvalues), floor))
        step *= min(1.0, _LONGEST / np.abs(step).max())
        moved = _line_search(objective, theta, step, value, float(gradient @ step))
        if moved is None:
            break
        theta, value, gradient, hessian = moved
        steps += 1
        if np.abs(theta).max() > RUNAWAY + 8:
            break
    return Optimum(theta, value, gradient, hessian, steps)


def _line_search(
    objective: Objective, theta: FloatArray, step: FloatArray, value: float, slope: float
) -> tuple[FloatArray, float, FloatArray, FloatArray] | None:
    """Halve the step until the value falls; None where rounding leaves nothing to gain."""
    length = 1.0
    while length > 1e-6:
        trial = theta + length * step
        new, gradient, hessian = objective(trial)
        finite = np.isfinite(new) and np.isfinite(gradient).all() and np.isfinite(hessian).all()
        # Rounding of the value itself is no rise.
        rounding = 1e-14 * max(1.0, abs(value))
        if finite and new <= value + 1e-4 * length * slope + rounding:
            return trial, new, gradient, hessian
        length /= 2
    return None
