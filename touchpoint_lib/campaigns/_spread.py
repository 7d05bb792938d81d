"""The spread of an outcome before there is a test: what plans rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchpoint_lib._checks import check_number, check_values, fail
from touchpoint_lib.metrics._shared import index_of

#: Squares of more leave the range of floats.
_LARGEST = 1e100


@dataclass(frozen=True)
class Spread:
    """The outcome of a customer without contact; ``rest`` is the share of variance that is left."""

    mean: float | None
    sd: float
    binary: bool
    rest: float

    @classmethod
    def read(cls, outcome: Any, mean: Any, sd: Any, rest: float) -> Spread:
        if outcome is not None:
            if mean is not None or sd is not None:
                raise fail("outcome is given, and mean or sd too", "pass the one or the others")
            values = check_values(
                "outcome", outcome, ge=-_LARGEST, le=_LARGEST, index=index_of(outcome)
            )
            if values.ndim != 1 or len(values) < 2:
                raise fail(
                    f"outcome has shape {values.shape}", "pass one value a customer, two at least"
                )
            mean = float(values.mean())
            if values.min() == values.max():
                raise fail(
                    f"outcome is {mean:g} for every customer", "pass one that differs between them"
                )
            if np.isin(values, (0, 1)).all():
                return cls(mean, math.sqrt(mean * (1 - mean)), True, rest)
            return cls(mean, float(values.std(ddof=1)), False, rest)
        if mean is None and sd is None:
            raise fail(
                "outcome, mean and sd are not given",
                "pass past values of the outcome, or its mean and standard deviation",
            )
        if mean is not None:
            mean = check_number("mean", mean)
        if sd is not None:
            return cls(mean, check_number("sd", sd, gt=0, le=_LARGEST), False, rest)
        share = float(mean)
        if not 0 < share < 1:
            raise fail(
                f"mean is {share:g} and sd is not given",
                "pass sd=, or a share between 0 and 1 for a yes-or-no outcome",
            )
        return cls(share, math.sqrt(share * (1 - share)), True, rest)

    def variance(self, effect: float, holdout: Any) -> Any:
        """Return the variance of the difference, times the number of customers."""
        treated = control = self.sd**2
        if self.binary and self.mean is not None:
            share = self.mean + effect
            treated = share * (1 - share)
        return self.rest * (treated / (1 - holdout) + control / holdout)

    def detectable(self, needed: float, n: int, holdout: float) -> float:
        """Return the smallest positive effect that is ``needed`` standard errors."""
        squared = needed**2 / n
        if not self.binary or self.mean is None:
            return math.sqrt(squared * self.variance(0.0, holdout))
        # The effect e is in the variance as well: e^2 = squared (v + a (1 - 2 p) e - a e^2).
        a = self.rest / (1 - holdout)
        b = squared * a * (1 - 2 * self.mean)
        c = squared * self.variance(0.0, holdout)
        d = 1 + squared * a
        found = (b + math.sqrt(b * b + 4 * d * c)) / (2 * d)
        if self.mean + found >= 1:
            raise fail(
                f"no increase from a share of {self.mean:g} is large enough to be found with "
                f"{n:,} customers and {holdout:g} of them held out",
                "pass more customers, or a share nearer to a half",
            )
        return found

    def check_effect(self, effect: float, what: str) -> None:
        """Raise where a share with the effect is none."""
        if self.binary and self.mean is not None and not 0 < self.mean + effect < 1:
            raise fail(
                f"{what} of {effect:g} takes a share of {self.mean:g} to {self.mean + effect:g}",
                "pass one that leaves it between 0 and 1",
            )
