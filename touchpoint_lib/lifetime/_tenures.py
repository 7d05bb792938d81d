"""Subscribers as tenures: read from a survival table or a row a customer, and their likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import psi, zeta

from touchpoint_lib._checks import FloatArray, check_values, fail
from touchpoint_lib.lifetime._newton import minimise
from touchpoint_lib.lifetime._rows import tally
from touchpoint_lib.lifetime._survival import (
    Shape,
    digamma_gap,
    log_survival,
    shape_of,
    trigamma_gap,
)

#: How far a survival share may lie from the counts: half of its third decimal.
_ROUNDING = 5e-4
#: Where a start is cut off: the log of a parameter that ran away in sBG.
_FAR = 6.0
#: Cells of draws by tenures evaluated at once.
_BLOCK = 500_000


def compressed(subscribers: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the distinct (tenure, churned) and how many customers have them."""
    if not isinstance(subscribers, pd.DataFrame):
        raise fail(
            f"subscribers is a {type(subscribers).__name__}", "it must be a pandas DataFrame"
        )
    has = set(subscribers.columns)
    table, rows = {"period", "count"} <= has, {"tenure", "churned"} <= has
    if table == rows:
        listed = ", ".join(repr(str(column)) for column in subscribers.columns)
        raise fail(
            f"subscribers has the columns {listed}",
            "pass either period and count (a survival table; a share alone does not say how many "
            "customers are behind it), or tenure and churned (a row a customer)",
        )
    tenure, churned, count = _from_table(subscribers) if table else _from_rows(subscribers)
    key, inverse = np.unique(2 * tenure + churned, return_inverse=True)
    total = tally(inverse, count)
    key, total = key[total > 0], total[total > 0]
    tenure, churned = np.floor(key / 2), np.mod(key, 2.0)
    left = churned == 1
    if not left.any():
        raise fail(
            f"none of the {total.sum():,.0f} customers left",
            "observe more renewals: without a loss no churn can be estimated",
        )
    if (tenure[tenure > 0] == 1).all() and left[tenure > 0].all():
        raise fail(
            f"all of the {total[left].sum():,.0f} customers left at renewal 1",
            "nothing can be estimated from them: add cohorts in which some stayed",
        )
    return tenure, churned, total


def _from_table(table: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
    index = table.index
    period = check_values("period", table["period"], ge=0, whole=True, index=index)
    count = check_values("count", table["count"], ge=0, index=index)
    if len(period) < 2:
        raise fail(f"subscribers has {len(period)} periods", "it must have 0 and at least 1")
    off = np.flatnonzero(period != np.arange(len(period)))
    if off.size:
        raise fail(
            f"period is {period[off[0]]:g} at index {index[off[0]]!r}, where {off[0]} is due",
            "the periods must be 0, 1, 2, ... without a gap, one cohort a fit",
        )
    if count[0] == 0:
        raise fail("count is 0 at period 0", "it must be > 0: the customers at the start")
    rises = np.flatnonzero(np.diff(count) > 0)
    if rises.size:
        at = int(rises[0])
        raise fail(
            f"count rises from {count[at]:g} at period {at} to {count[at + 1]:g} at the next",
            "it must never rise: it is the customers of one cohort who are left",
        )
    if "survival" in table.columns:
        share = check_values("survival", table["survival"], ge=0, le=1, index=index)
        apart = np.abs(share - count / count[0])
        worst = int(apart.argmax())
        # The counts may be the rounded ones.
        if apart[worst] > _ROUNDING + 0.5 / count[0]:
            raise fail(
                f"survival is {share[worst]:g} at period {worst}, but count says "
                f"{count[worst]:g} / {count[0]:g} = {count[worst] / count[0]:.4f}",
                f"they must agree within {_ROUNDING} and half a customer: correct or drop one",
            )
    churned = np.append(np.ones(len(count) - 1), 0.0)
    return np.append(period[1:], period[-1]), churned, np.append(-np.diff(count), count[-1])


def _from_rows(rows: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
    index = rows.index
    tenure = check_values("tenure", rows["tenure"], ge=0, whole=True, index=index)
    churned = check_values("churned", rows["churned"], ge=0, le=1, whole=True, index=index)
    bad = np.flatnonzero((tenure == 0) & (churned == 1))
    if bad.size:
        raise fail(
            f"tenure is 0 with churned 1 at index {index[bad[0]]!r} ({bad.size} such rows)",
            "who left did so at renewal number 1 or later: count tenure up to and with that one",
        )
    if "count" not in rows.columns:
        return tenure, churned, np.ones(len(rows))
    return tenure, churned, check_values("count", rows["count"], ge=0, index=index)


class Likelihood:
    """Mean negative log-likelihood with closed-form derivatives, over distinct tenures.

    Who left at renewal t took t - 1 of them: ln S(t - 1) + ln(1 - retention(t)). Who is still
    there after t: ln S(t).
    """

    def __init__(self, tenure: FloatArray, churned: FloatArray, count: FloatArray) -> None:
        self.n = float(count.sum())
        left = churned == 1
        self.left, self.left_count = tenure[left], count[left]
        self.first_left = float(self.left_count[self.left == 1].sum())
        self.stayed, inverse = np.unique(tenure - churned, return_inverse=True)
        self.stayed_count = tally(inverse, count)

    def start(self, k: int) -> FloatArray:
        """Return ``k`` log parameters: two from the share lost at renewal 1, three from sBG.

        So BdW, which contains sBG, ends no lower, unless sBG itself runs away.
        """
        lost = np.clip(self.first_left / self.n, 0.01, 0.99)
        two = np.log([1.0, (1 - lost) / lost])
        if k == 2:
            return two
        return np.append(np.clip(minimise(self.derivatives, two).theta, -_FAR, _FAR), 0.0)

    def total(self, theta: FloatArray) -> FloatArray:
        """Return the log-likelihood of all customers for each row of log parameters."""
        size = max(1, _BLOCK // (len(self.left) + len(self.stayed)))
        parts = []
        for start in range(0, len(theta), size):
            # A parameter far out may leave no chance to leave: the likelihood is 0 there.
            with np.errstate(divide="ignore"):
                parts.append(self._total(np.exp(theta[start : start + size, None])))
        return np.concatenate(parts)

    def _total(self, params: FloatArray) -> FloatArray:
        shape = shape_of(params)
        stay = log_survival(shape, 0.0, self.stayed) @ self.stayed_count
        leave = np.log(-np.expm1(log_survival(shape, self.left - 1, 1.0)))
        return np.asarray(stay + leave @ self.left_count)

    def derivatives(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return mean value, gradient and Hessian with respect to the log parameters."""
        params = np.exp(theta)
        shape = shape_of(params)
        zero = np.zeros(1)
        first_0, second_0 = _slopes(shape, zero)
        first, second = _slopes(shape, self.stayed)
        gradient = (first - first_0) @ self.stayed_count
        hessian = (second - second_0) @ self.stayed_count
        before_1, before_2 = _slopes(shape, self.left - 1)
        after_1, after_2 = _slopes(shape, self.left)
        first, second = after_1 - before_1, after_2 - before_2
        log_kept = log_survival(shape, self.left - 1, 1.0)
        # d ln(1 - e^L) / dL, and its own slope w - w^2.
        w = -1 / np.expm1(-log_kept)
        by_left = self.left_count * w
        gradient += first @ by_left
        hessian += second @ by_left + (first * (by_left * (1 - w))) @ first.T
        k = len(theta)
        gradient = gradient[:k] * params
        on_log_scale = hessian[:k, :k] * np.outer(params, params) + np.diag(gradient)
        value = float(self._total(params[None, None, :])[0])
        return -value / self.n, -gradient / self.n, -on_log_scale / self.n


def _slopes(shape: Shape, t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return first and second derivatives of ln B(alpha, beta + t^c) by alpha, beta and c.

    Without those of ln gamma(alpha), which is the same at every t.
    """
    alpha, beta, c = shape
    log_t = np.log(np.maximum(t, 1.0))
    power = np.where(t > 0, np.exp(c * log_t), 0.0)
    z, z_c = beta + power, power * log_t
    gap, bend = digamma_gap(z, alpha), trigamma_gap(z, alpha)
    own, bend_own = psi(alpha + z), zeta(2, alpha + z)
    first = np.stack([-own, -gap, -gap * z_c])
    second = np.empty((3, 3, len(t)))
    second[0, 0] = second[0, 1] = second[1, 0] = -bend_own
    second[0, 2] = second[2, 0] = -bend_own * z_c
    second[1, 1] = bend
    second[1, 2] = second[2, 1] = bend * z_c
    second[2, 2] = bend * z_c * z_c - gap * z_c * log_t
    return first, second
