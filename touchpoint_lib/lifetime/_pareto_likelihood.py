"""Likelihood of Pareto/NBD with exact derivatives: by row, and on the grid of days by tables.

A customer's likelihood is the sum of two branches, still alive at T and gone at some u before:
L = (alpha + T)^-c (beta + T)^-s + s integral over [t_x, T] of (alpha + u)^-c (beta + u)^-(s + 1),
times Gamma(c) / Gamma(r) alpha^r beta^s, with c = r + x (Schmittlein, Morrison & Colombo 1987;
Fader & Hardie 2005). Its derivatives are the same integrals with logarithms and reciprocals as
factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit, gammaln, psi, zeta

from touchpoint_lib._checks import FloatArray
from touchpoint_lib.lifetime._pareto_integral import DayGrid, TwoPowers, rule
from touchpoint_lib.lifetime._rows import Rows, tally

Params = Sequence[Any] | FloatArray

#: Rows whose arrays stay in the processor's cache, all those of an evaluation.
_CACHED = 8192
#: Cells of parameter draws by nodes that are worked on at once.
_DRAW_CELLS = 20_000


def log_odds_gone(params: Params, rows: Rows) -> FloatArray:
    """Return ln of P(gone by T) / P(alive at T) of each row."""
    r, alpha, s, beta = params
    return log_odds_after(
        alpha + rows.recency, r + rows.frequency, beta + rows.recency, s, rows.T - rows.recency
    )


def log_odds_after(
    bought: FloatArray, c: FloatArray, aged: FloatArray, s: Any, silence: FloatArray
) -> FloatArray:
    """Return the log-odds of being gone after a silence, with alpha + t_x, r + x, beta + t_x."""
    integral = TwoPowers.of(bought, c, aged, s + 1.0, silence).log()
    passed = c * np.log1p(silence / bought) + s * np.log1p(silence / aged)
    return np.asarray(passed + np.log(s / aged) + integral, dtype=np.float64)


def row_values(params: Params, rows: Rows) -> FloatArray:
    """Return the log-likelihood of each row, its count not applied."""
    alive = _alive_branch(params, rows)
    return np.asarray(alive + np.logaddexp(0, log_odds_gone(params, rows)), dtype=np.float64)


def _alive_branch(params: Params, rows: Rows) -> Any:
    r, alpha, s, beta = params
    x, age = rows.frequency, rows.T
    # alpha^r (alpha + T)^-(r + x) without the difference of two large logarithms.
    rate = -r * np.log1p(age / alpha) - x * np.log(alpha + age)
    return gammaln(r + x) - gammaln(r) + rate - s * np.log1p(age / beta)


def row_derivatives(params: Params, rows: Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return value (n,), gradient (4, n) and Hessian (4, 4, n) by each row's log parameters."""
    r, alpha, s, beta = (np.broadcast_to(p, rows.T.shape).astype(np.float64) for p in params)
    c, x = r + rows.frequency, rows.frequency
    bought, aged, silence = alpha + rows.recency, beta + rows.recency, rows.T - rows.recency
    power = TwoPowers.of(bought, c, aged, s + 1, silence)
    log_integral, means, products = _moments(power, bought, aged, silence)
    log_odds = (
        c * np.log1p(silence / bought)
        + s * np.log1p(silence / aged)
        + np.log(s / aged)
        + log_integral
    )
    gone, stays = expit(log_odds), expit(-log_odds)
    value = _alive_branch((r, alpha, s, beta), rows) + np.logaddexp(0, log_odds)

    per_A, per_B = 1 / (alpha + rows.T), 1 / (beta + rows.T)
    # Slopes of the log-odds: those of ln of the integrand, less those of the branch alive at T.
    factor = np.stack([-np.ones_like(c), -c, -np.ones_like(c), -(s + 1)])
    slope = factor * means
    slope[2] += 1 / s
    slope[3] -= per_B
    gradient = gone * slope
    gradient[0] += psi(c) - psi(r) - np.log1p(rows.T / alpha)
    gradient[1] += (r * rows.T / alpha - x) * per_A
    gradient[2] -= np.log1p(rows.T / beta)
    gradient[3] += s / beta * rows.T * per_B
    hessian = (gone * stays) * slope[:, None] * slope
    hessian += gone * factor[:, None] * factor * (products - means[:, None] * means)
    # Mean second derivatives of ln of the integrand, and those of the branch alive at T.
    mean_a, mean_b = means[1] + per_A, means[3] + per_B
    square_a = products[1, 1] + per_A * (2 * means[1] + per_A)
    square_b = products[3, 3] + per_B * (2 * means[3] + per_B)
    hessian[0, 0] += zeta(2, c) - zeta(2, r)
    hessian[0, 1] += 1 / alpha - stays * per_A - gone * mean_a
    hessian[1, 1] += c * (stays * per_A**2 + gone * square_a) - r / alpha**2
    hessian[2, 2] -= gone / s**2
    hessian[2, 3] += 1 / beta - stays * per_B - gone * mean_b
    hessian[3, 3] += stays * s * per_B**2 + gone * (s + 1) * square_b - s / beta**2
    hessian[1, 0], hessian[3, 2] = hessian[0, 1], hessian[2, 3]

    params = np.stack([r, alpha, s, beta])
    hessian *= params[:, None] * params
    gradient *= params
    for i in range(4):
        hessian[i, i] += gradient[i]
    return value, gradient, hessian


def _moments(
    power: TwoPowers, bought: FloatArray, aged: FloatArray, silence: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ln of the integral, and first and second moments of four functions under it.

    They are ln((alpha + u)/(alpha + T)), 1/(alpha + u) - 1/(alpha + T), and the same with beta:
    of the order of the silence, so that nothing cancels where it is short.
    """
    n = len(silence)
    log_integral = np.full(n, -np.inf)
    means, products = np.zeros((4, n)), np.zeros((4, 4, n))
    for panel in power.panels():
        at, mass = panel.at, panel.mass
        total = mass.sum(axis=1)
        some = total > 0  # nobody can be gone at once
        log_integral[at[some]] = np.log(power.nearest[at[some]] * total[some]) + panel.top[some]
        share = mass / np.where(some, total, 1.0)[:, None]
        v = power.nearest[at, None] * np.expm1(panel.nodes)
        left = silence[at, None] - v
        functions = []
        for start in (bought[at, None], aged[at, None]):
            functions += [-np.log1p(left / (start + v)), left / ((start + v) * (start + left + v))]
        for i in range(4):
            weighted = share * functions[i]
            means[i, at] = weighted.sum(axis=1)
            for j in range(i, 4):
                products[i, j, at] = products[j, i, at] = (weighted * functions[j]).sum(axis=1)
    return log_integral, means, products


class Likelihood:
    """Total log-likelihood of compressed rows, by log parameters of times divided by ``scale``."""

    def __init__(self, rows: Rows, scale: float = 1.0) -> None:
        self.rows, self.weight, self.n = rows, rows.count, rows.n_customers
        self.log_scale = np.log([1.0, scale, 1.0, scale])
        self.grid = DayGrid.of(rows)
        if self.grid is not None:
            self.count = tally(self.grid.line, self.weight, len(self.grid.k))

    def start(self) -> FloatArray:
        """Return log parameters from the moments of the purchase rates."""
        rows, weight = self.rows, self.weight / self.n
        seen = rows.T > 0
        age = np.where(seen, rows.T, 1.0)
        rate = np.where(seen, rows.frequency / age, 0.0)
        mean = dot(weight, rate)
        noise = mean * dot(weight, np.where(seen, 1 / age, 0.0))
        between = max(dot(weight, (rate - mean) ** 2) - noise, 0.2 * mean**2)
        r = float(np.clip(mean**2 / between, 0.05, 20))
        length = dot(weight, rows.T)
        alpha = r * length / dot(weight, rows.frequency)
        return np.log([r, 0.8 * alpha, 0.6, 0.4 * length]) - self.log_scale

    def derivatives(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return mean negative log-likelihood, gradient and Hessian by the log parameters."""
        params, grid = np.exp(theta + self.log_scale), self.grid
        n = 0 if grid is None else int(grid.nodes_needed(params[None])[0])
        if grid is not None and n:
            value, gradient, hessian = self._by_tables(grid, params, n)
        else:
            rows = row_derivatives(params, self.rows)
            value, gradient, hessian = ((part * self.weight).sum(axis=-1) for part in rows)
        return -float(value) / self.n, -gradient / self.n, -hessian / self.n

    def totals(self, theta: FloatArray) -> FloatArray:
        """Return the log-likelihood at each row of ``theta``, log parameters in the data's unit."""
        params, grid = np.exp(theta), self.grid
        needed = np.zeros(len(params)) if grid is None else grid.nodes_needed(params)
        totals = np.empty(len(params))
        for n in np.unique(needed):
            at = np.flatnonzero(needed == n)
            if grid is None or n == 0:
                totals[at] = [dot(self.weight, row_values(draw, self.rows)) for draw in params[at]]
                continue
            step = max(1, _DRAW_CELLS // (int(n) * grid.days))
            for i in range(0, len(at), step):
                part = at[i : i + step]
                totals[part] = self._totals_by_tables(grid, params[part], int(n))
        return totals

    def _by_tables(
        self, grid: DayGrid, params: FloatArray, n: int
    ) -> tuple[float, FloatArray, FloatArray]:
        """Return total value, gradient and Hessian by the log parameters."""
        r, alpha, s, beta = params
        k, count = grid.k, self.count
        c, lines = r + k, (len(k), grid.days + 1)
        inside, alive, reference = grid.densities(params, n)

        # Slopes of ln of the integrand at the nodes (that by alpha without its factor c), then
        # of the branch alive at the ends of the days.
        u, day = grid.points(n), grid.ends()
        both = np.concatenate([u.ravel(), day])
        log_b, per_b = np.log(beta + both), 1 / (beta + both)
        is_node = np.arange(len(both)) < u.size
        power = s + is_node
        slopes = [-np.log(alpha + both), -1 / (alpha + both), is_node / s - log_b, -power * per_b]

        # The likelihood and its slopes as sums from t_x to T and values at T.
        sums = [grid.sums(inside.sum(axis=1), alive)]
        for slope in slopes:
            at_nodes = np.einsum("xnd,nd->xd", inside, slope[: u.size].reshape(u.shape))
            sums.append(grid.sums(at_nodes, alive * slope[u.size :]))
        by_x = gammaln(c) - gammaln(r) + r * np.log(alpha) + s * np.log(beta) - reference
        value, share, products = 0.0, np.empty(len(self.weight)), np.zeros((4, 4))
        for start in range(0, len(share), _CACHED):
            block = slice(start, start + _CACHED)
            w, begin, end = self.weight[block], grid.start[block], grid.end[block]
            likelihood, *row_slopes = (part.over(begin, end) for part in sums)
            # Row by row and summed in pairs, for the last digits: Newton's last step gains no more.
            logs = np.log(likelihood)
            logs += by_x.take(grid.line[block])
            logs *= w
            value += float(logs.sum())
            # Each row's gradient, for the product of gradients in the Hessian.
            np.divide(w, likelihood, out=share[block])
            np.reciprocal(likelihood, out=likelihood)
            for slope in row_slopes:
                slope *= likelihood
            row_slopes[1] *= c.take(grid.line[block])
            for i, slope in enumerate(row_slopes):
                weighted = w * slope
                for j in range(i, 4):
                    products[i, j] += dot(weighted, row_slopes[j])

        # All else is a sum over cells: the weight of a cell is that of the rows whose silence
        # covers it, each divided by its likelihood.
        ends = tally(grid.end, share, alive.size).reshape(lines)
        cover = np.cumsum(tally(grid.start, share, alive.size).reshape(lines) - ends, axis=1)
        inside *= cover[:, None, :-1]
        ends *= alive
        powers = np.stack([np.ones_like(c), c, c**2])
        weights = np.concatenate(
            [
                np.einsum("px,xnd->pnd", powers, inside).reshape(3, -1),
                np.einsum("px,xd->pd", powers, ends),
            ],
            axis=1,
        )
        # Powers of c in the slopes.
        order = (0, 1, 0, 0)
        gradient = np.array([dot(weights[order[i]], slopes[i]) for i in range(4)])
        hessian = np.empty((4, 4))
        for i in range(4):
            for j in range(i, 4):
                total = dot(weights[order[i] + order[j]], slopes[i] * slopes[j])
                hessian[i, j] = total - products[i, j]
        # Second derivatives of the logarithms.
        hessian[0, 1] += dot(weights[0], slopes[1])
        hessian[1, 1] += dot(weights[1], slopes[1] ** 2)
        hessian[2, 2] -= float(weights[0, : u.size].sum()) / s**2
        hessian[2, 3] -= dot(weights[0], per_b)
        hessian[3, 3] += dot(weights[0], power * per_b**2)
        # What no integral enters; the trigamma function is zeta(2, x).
        gradient += [
            dot(count, psi(c)) + self.n * (np.log(alpha) - psi(r)),
            self.n * r / alpha,
            self.n * np.log(beta),
            self.n * s / beta,
        ]
        hessian[0, 0] += dot(count, zeta(2, c)) - self.n * zeta(2, r)
        hessian[0, 1] += self.n / alpha
        hessian[1, 1] -= self.n * r / alpha**2
        hessian[2, 3] += self.n / beta
        hessian[3, 3] -= self.n * s / beta**2
        hessian = np.triu(hessian) + np.triu(hessian, 1).T
        gradient *= params
        return value, gradient, hessian * np.outer(params, params) + np.diag(gradient)

    def _totals_by_tables(self, grid: DayGrid, params: FloatArray, n: int) -> FloatArray:
        """Return the log-likelihood of each draw; the powers of x by multiplication."""
        r, alpha, s, beta = params.T
        u, day = grid.points(n)[:, :, None], grid.ends()[:, None]
        log_a, log_b = np.log(alpha + day[-1]), np.log(beta + day[-1])
        node_ratio, day_ratio = (alpha + day[-1]) / (alpha + u), (alpha + day[-1]) / (alpha + day)
        inside = -r * np.log(alpha + u) - (s + 1) * np.log(beta + u) + r * log_a + (s + 1) * log_b
        alive = -r * np.log(alpha + day) - s * np.log(beta + day) + r * log_a + (s + 1) * log_b
        inside, alive = np.exp(inside), np.exp(alive)
        inside *= (s * grid.step) * rule(n)[1][:, None, None]
        behind = np.zeros(alive.shape)
        gammas = gammaln(r + grid.k[:, None])
        total = self.n * (r * np.log(alpha) + s * np.log(beta) - gammaln(r) - (s + 1) * log_b)
        total += np.einsum("x,xd->d", self.count, gammas - (r + grid.k[:, None]) * log_a)
        at = 0.0
        with np.errstate(over="ignore"):  # on days before any row begins
            for k, rows in zip(grid.k, grid.rows_of_lines, strict=True):
                gap, at = k - at, k
                if gap > 0:
                    inside *= node_ratio if gap == 1 else node_ratio**gap
                    alive *= day_ratio if gap == 1 else day_ratio**gap
                np.cumsum(inside.sum(axis=0)[::-1], axis=0, out=behind[-2::-1])
                start, end = (place[rows] % (grid.days + 1) for place in (grid.start, grid.end))
                likelihood = behind[start] - behind[end] + alive[end]
                total += np.einsum("n,nd->d", self.weight[rows], np.log(likelihood))
        return total


def dot(left: FloatArray, right: FloatArray) -> float:
    """Return the sum of products, without the threads of BLAS."""
    return float(np.einsum("i,i->", left, right))
