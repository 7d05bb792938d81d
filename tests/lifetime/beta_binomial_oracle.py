from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
from scipy.special import beta as beta_function


class Enumeration:
    """The joint probability of every history of ``n`` opportunities and every lifetime."""

    def __init__(self, params: list[float], n: int) -> None:
        alpha, beta, gamma, delta = params
        self.table = []
        for bought in itertools.product((0, 1), repeat=n):
            last = max((i + 1 for i, one_ in enumerate(bought) if one_), default=0)
            x = sum(bought)
            for life in range(last, n + 1):
                p = beta_function(alpha + x, beta + life - x) / beta_function(alpha, beta)
                if life < n:
                    p *= beta_function(gamma + 1, delta + life) / beta_function(gamma, delta)
                else:
                    p *= beta_function(gamma, delta + n) / beta_function(gamma, delta)
                self.table.append((np.array(bought), life, p))

    def mean(self, x: int, recency: int, age: int, value: Callable[..., float]) -> float:
        """E[value(future purchases, lifetime)] of those with this history by ``age``."""
        top = bottom = 0.0
        for bought, life, p in self.table:
            past = bought[:age]
            last = int(np.flatnonzero(past)[-1]) + 1 if past.any() else 0
            if past.sum() == x and last == recency:
                top += p * value(bought[age:], life)
                bottom += p
        return top / bottom


class Exact:
    """One customer at 50 digits, by the sums of the definition."""

    def __init__(self, params: Any, x: float, recency: float, age: float) -> None:
        alpha, beta, gamma, delta = map(mp.mpf, params)
        x, recency, age = int(x), int(recency), int(age)
        unsold = recency - x
        self.gamma, self.trials = gamma, delta + age
        self.a, self.b = alpha + x, beta + age - x
        self.stayed = [mp.mpf(1)]
        prefix = mp.beta(self.a, beta + unsold) / mp.beta(alpha, beta)
        prefix *= mp.beta(gamma, delta + recency) / mp.beta(gamma, delta)
        misses, stays, gone = mp.mpf(1), mp.mpf(1), mp.mpf(0)
        for i in range(age - recency):
            leave = gamma / (gamma + delta + recency + i)
            gone += misses * stays * leave
            misses *= (beta + unsold + i) / (alpha + beta + recency + i)
            stays *= 1 - leave
        stayed = misses * stays
        self.active, self.gone = stayed / (stayed + gone), gone / (stayed + gone)
        self.log_likelihood = mp.log(prefix * (stayed + gone))

    def stays(self, n: int) -> mp.mpf:
        """P(active at n more opportunities) of the active."""
        while len(self.stayed) <= n:
            i = len(self.stayed) - 1
            self.stayed.append(self.stayed[-1] * (self.trials + i) / (self.gamma + self.trials + i))
        return self.stayed[n]

    def alive(self, future: int) -> mp.mpf:
        return self.active * self.stays(future + 1)

    def purchases(self, horizon: int) -> mp.mpf:
        total = sum(self.stays(i + 1) for i in range(horizon))
        return self.active * self.a / (self.a + self.b) * total

    def discounted(self, rate: float) -> mp.mpf:
        step = mp.exp(-mp.mpf(rate))
        first = step * self.trials / (self.gamma + self.trials) * self.a / (self.a + self.b)
        return (
            self.active * first * mp.hyp2f1(1, self.trials + 1, self.gamma + self.trials + 1, step)
        )

    def buys(self, horizon: int) -> mp.mpf:
        total, term = mp.mpf(0), self.a / (self.a + self.b)
        for i in range(horizon):
            total += term * self.stays(i + 1)
            term *= (self.b + i) / (self.a + self.b + i + 1)
        return self.active * total

    def counted(self, n: int, horizon: int) -> mp.mpf:
        """P(n purchases within the horizon)."""
        norm = mp.beta(self.a, self.b)

        def among(i: int) -> mp.mpf:
            return mp.binomial(i, n) * mp.beta(self.a + n, self.b + i - n) / norm

        total = among(horizon) * self.stays(horizon)
        for i in range(n, horizon):
            total += among(i) * self.stays(i) * self.gamma / (self.gamma + self.trials + i)
        return self.active * total + (self.gone if n == 0 else 0)
