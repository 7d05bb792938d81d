"""A customer of BG/CNBD-k or MBG/CNBD-k in mpmath, with all of its current digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mpmath as mp


class Customer:
    """One customer in mpmath, by the sums that define the model."""

    def __init__(self, k: int, m: int, params: Any, x: float, recency: float, age: float) -> None:
        self.k, self.m, self.x = k, m, float(x)
        self.r, self.alpha, self.a, self.b = (mp.mpf(float(value)) for value in params)
        self.recency, self.T = mp.mpf(float(recency)), mp.mpf(float(age))
        self.c, self.age = self.r + k * self.x, self.alpha + self.T
        self.beta = self.b + self.x + m
        share = (self.T - self.recency) / self.age
        weights = [mp.rf(self.c, j) / mp.factorial(j) * share**j for j in range(k)]
        self.polynomial = mp.fsum(weights)
        self.weights = [weight / self.polynomial for weight in weights]
        self.odds = mp.mpf(0)
        if self.x + m > 0:
            passed = (self.age / (self.alpha + self.recency)) ** self.c
            self.odds = self.a / (self.beta - 1) * passed / self.polynomial
        self.alive = 1 / (1 + self.odds)

    def log_likelihood(self) -> Any:
        r, a, b, c = self.r, self.a, self.b, self.c
        log_b = mp.loggamma(a) + mp.loggamma(self.beta) - mp.loggamma(a + self.beta)
        log_b -= mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
        value = mp.loggamma(c) - mp.loggamma(r) + r * mp.log(self.alpha) + log_b
        value += mp.log(self.polynomial) - c * mp.log(self.age)
        return value + mp.log1p(self.odds)

    def stages(self, horizon: Any) -> Iterator[Any]:
        """P(s stages since the last purchase by T + horizon | alive), s = 0, 1, ..."""
        z = horizon / (self.age + horizon)
        terms = [w * (1 - z) ** (self.c + j) for j, w in enumerate(self.weights)]
        s = 0
        while True:
            yield mp.fsum(terms[: s + 1])
            for j in range(min(s + 1, self.k)):
                terms[j] *= z * (self.c + s) / (s - j + 1)
            s += 1

    def sums(self, horizon: Any) -> dict[str, Any]:
        """Expected purchases, P(alive later) and probabilities of counts, by stages."""
        expected, later, stays, counted = mp.mpf(0), mp.mpf(0), mp.mpf(1), mp.mpf(0)
        total, reached = mp.mpf(0), []
        most = int(self.c * horizon / self.age)
        for s, chance in enumerate(self.stages(horizon)):
            n, at = divmod(s, self.k)
            if at == 0 and n:
                counted += stays
                stays *= (self.beta + n - 1) / (self.a + self.beta + n - 1)
            if at == 0:
                reached.append(mp.mpf(0))
            reached[-1] += chance
            expected, later = expected + chance * counted, later + chance * stays
            total += chance
            if s > most and 1 - total < mp.mpf(10) ** -45:
                break
        return {
            "_purchases": self.alive * expected,
            "_alive": self.alive * later,
            "none": 1 - self.alive + self.alive * reached[0],
            "some": self.alive * mp.fsum(reached[1:]),
        }
