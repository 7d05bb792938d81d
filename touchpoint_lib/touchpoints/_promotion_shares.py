"""Shares of single customers, shrunk to those of all: the beta-binomial by empirical Bayes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaincc, betaincinv, betaln, digamma, expit

from touchpoint_lib._checks import FloatArray, IntArray

#: Prior of the log of a + b: a uniform beta in the middle, and three powers of e either way.
_MIDDLE, _WIDTH = float(np.log(2.0)), 3.0
#: Of logit(a / (a + b)) and log(a + b): far outside of what data of any size tell apart.
_BOUNDS = [(-25.0, 25.0), (float(np.log(1e-3)), float(np.log(1e6)))]


@dataclass(frozen=True, eq=False)
class Shares:
    """The posterior of each customer's true share: a beta of its own, Beta(a, b) before its orders.

    ``first`` and ``second`` are the posterior's parameters of each distinct pair of counts, to
    which ``pair`` leads from each customer: a million customers have a few thousand pairs.
    """

    a: float
    b: float
    first: FloatArray
    second: FloatArray
    pair: IntArray

    @classmethod
    def fit(cls, hits: IntArray, trials: IntArray) -> Shares:
        """Return the shares of customers with ``hits`` among ``trials`` (>= 1) orders.

        The beta maximises the marginal likelihood of all customers times a prior that weighs less
        than one customer: sqrt(m (1 - m)) for its mean m, and log(a + b) normal around log 2 with
        standard deviation 3. It keeps the fit finite where all orders are alike, or where
        everybody has one order and nothing tells how far customers differ.
        """
        width = int(trials.max()) + 1
        key, pair, count = np.unique(trials * width + hits, return_inverse=True, return_counts=True)
        n, k = (key // width).astype(np.float64), (key % width).astype(np.float64)

        def loss(point: FloatArray) -> tuple[float, FloatArray]:
            mean, total = float(expit(point[0])), float(np.exp(point[1]))
            # Of its complement, so that neither is 0 by rounding.
            rest = float(expit(-point[0]))
            a, b = mean * total, rest * total
            far = (point[1] - _MIDDLE) / _WIDTH
            value = (
                count @ (betaln(a + k, b + n - k) - betaln(a, b))
                + 0.5 * np.log(mean * rest)
                - 0.5 * far**2
            )
            both = digamma(total) - digamma(total + n)
            of_a = count @ (digamma(a + k) - digamma(a) + both)
            of_b = count @ (digamma(b + n - k) - digamma(b) + both)
            slope = [
                (of_a - of_b) * a * rest + 0.5 * (rest - mean),
                of_a * a + of_b * b - far / _WIDTH,
            ]
            return -float(value), -np.array(slope)

        share = (hits.sum() + 0.5) / (trials.sum() + 1.0)
        start = np.array([np.log(share / (1 - share)), _MIDDLE])
        found = minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=_BOUNDS,
            options={"ftol": 1e-14, "gtol": 1e-9 * len(hits)},
        )
        total = float(np.exp(found.x[1]))
        a, b = float(expit(found.x[0])) * total, float(expit(-found.x[0])) * total
        return cls(a, b, a + k, b + n - k, pair.astype(np.int64))

    def mean(self) -> FloatArray:
        """Return the posterior mean of each customer."""
        return np.asarray((self.first / (self.first + self.second))[self.pair])

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return the bounds between which each customer's share is with probability ``level``."""
        tail = (1 - level) / 2
        low, high = (betaincinv(self.first, self.second, p) for p in (tail, 1 - tail))
        return np.asarray(low[self.pair]), np.asarray(high[self.pair])

    def above(self, line: float) -> FloatArray:
        """Return the probability that each customer's share is at or above ``line``."""
        return np.asarray(betaincc(self.first, self.second, line)[self.pair])
