"""Likelihood of the BG/BB model over compressed rows, with exact derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.lifetime._gamma_series import HEAD, log_rising
from touchpoint_lib.lifetime._rows import Rows, tally

#: Cells (rows by missed opportunities) held at once.
_BLOCK = 2_000_000


class Likelihood:
    """Log-likelihood of distinct rows: a log of a sum over when the customer dropped out.

    With R(z, k) = ln of gamma(z + k) / gamma(z), what a customer did has the log-probability
    R(alpha, x) + R(beta, t_x - x + i) - R(alpha + beta, t_x + i) together with a drop-out after
    ``i`` missed opportunities, at ln gamma + R(delta, t_x + i) - R(gamma + delta, t_x + i + 1),
    or with none by T, at i = T - t_x and R(delta, T) - R(gamma + delta, T). R and its
    derivatives are taken from tables over k. These terms, the cells, lie one behind another.
    """

    #: From the parameters to what the terms depend on: alpha, beta, alpha + beta, gamma, delta,
    #: gamma + delta.
    _SUMS = np.array(
        [
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [1.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
            [0.0, 0.0, 1.0, 1.0],
        ]
    )

    def __init__(self, rows: Rows) -> None:
        self.n, self.weight = rows.n_customers, rows.count
        self.x, self.recency = rows.frequency.astype(np.int64), rows.recency.astype(np.int64)
        self.lengths = rows.T.astype(np.int64) - self.recency + 1
        self.size = int(rows.T.max()) + 1
        self.repeats = tally(self.x, self.weight, self.size)
        self.levels, self.at_level = np.unique(self.x, return_inverse=True)
        self.mean_T = float(rows.count @ rows.T) / self.n

    def start(self) -> FloatArray:
        """Return log parameters: purchases up to the last one, drop-out within the window."""
        chance = float(self.weight @ self.x / (self.weight @ self.recency + self.n))
        return np.log([2 * chance, 2 * (1 - chance), 0.7, 0.7 * self.mean_T])

    def totals(self, theta: FloatArray) -> FloatArray:
        """Return the log-likelihood of all customers at each row of log parameters.

        The cells of dropping out after opportunity m are the same for all customers with the
        same x, and fall with m. So they are summed once, from the last m down, and a customer's
        sum is the difference of two of these, of which little cancels.
        """
        found = np.empty(len(theta))
        wide = max(1, _BLOCK // self.size)
        step = max(1, wide // len(self.levels))
        for first in range(0, len(theta), step):
            part = slice(first, first + step)
            total, tables = self._tables(np.exp(theta[part]) @ self._SUMS.T)
            for low in range(0, len(self.levels), wide):
                rows = np.flatnonzero((self.at_level >= low) & (self.at_level < low + wide))
                levels = self.levels[low : low + wide]
                logs = self._by_level(tables, rows, levels, self.at_level[rows] - low)
                total += logs @ self.weight[rows]
            found[part] = total
        return found

    def _by_level(
        self, tables: tuple[FloatArray, FloatArray], rows: IntArray, levels: IntArray, at: IntArray
    ) -> FloatArray:
        """Return the logs of the sums of ``rows``, which have x of ``levels`` at ``at``."""
        by_sold, by_place = tables
        active = self.recency[rows] + self.lengths[rows] - 1
        logs = by_sold[:, active - self.x[rows]] + by_place[:, self.size + active]
        sold = np.arange(self.size) - levels[:, None]
        gone = by_sold[:, np.maximum(sold, 0)] + by_place[:, None, : self.size]
        gone[:, sold < 0] = -np.inf
        np.logaddexp.accumulate(gone[..., ::-1], axis=-1, out=gone[..., ::-1])
        missed = self.lengths[rows] > 1
        at = at[missed]
        from_start = gone[:, at, self.recency[rows[missed]]]
        from_end = gone[:, at, active[missed]]
        own = from_start + np.log(-np.expm1(from_end - from_start))
        logs[:, missed] = np.logaddexp(logs[:, missed], own)
        return logs

    def derivatives(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return mean value, gradient and Hessian with respect to the log parameters."""
        params = np.exp(theta)
        sums = self._SUMS @ params
        steps = 1 / (sums[:, None] + np.arange(self.size))
        first = np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0)))
        second = -np.pad(np.cumsum(steps * steps, axis=1), ((0, 0), (1, 0)))
        slopes = _by_cell(first, 1 / sums[3])
        sold, size = first[1, :-1], 2 * self.size
        constant, both = self._tables(sums[None])
        tables = both[0][0], both[1][0]
        value = float(constant[0])
        # Weights of the cells by their place in the tables, alone and times the slope by beta;
        # and the sum of products of the rows' mean slopes.
        by_sold, by_place, by_both = np.zeros(self.size), np.zeros(size), np.zeros(size)
        between = np.zeros((5, 5))
        for cells in self._blocks():
            share, logs = self._shares(tables, cells)
            weight = self.weight[cells.rows]
            value += float(logs @ weight)
            of_beta = sold[cells.sold]
            means = np.empty((5, len(weight)))
            means[0] = np.add.reduceat(share * of_beta, cells.starts)
            for row, slope in zip(means[1:], slopes, strict=True):
                row[:] = np.add.reduceat(share * slope[cells.place], cells.starts)
            between += (means * weight) @ means.T
            share *= np.repeat(weight, cells.lengths)
            by_sold += tally(cells.sold, share, self.size)
            by_place += tally(cells.place, share, size)
            by_both += tally(cells.place, share * of_beta, size)
        gradient = np.concatenate(
            [[first[0, :-1] @ self.repeats, by_sold @ sold], slopes @ by_place]
        )
        hessian = np.zeros((6, 6))
        hessian[1, 1] = by_sold @ sold**2
        hessian[1, 2:] = hessian[2:, 1] = slopes @ by_both
        hessian[2:, 2:] = (slopes * by_place) @ slopes.T
        hessian[1:, 1:] -= between
        curves = _by_cell(second, -1 / sums[3] ** 2)
        hessian += np.diag(
            np.concatenate(
                [[second[0, :-1] @ self.repeats, by_sold @ second[1, :-1]], curves @ by_place]
            )
        )
        gradient = self._SUMS.T @ gradient * params
        hessian = self._SUMS.T @ hessian @ self._SUMS * np.outer(params, params)
        hessian += np.diag(gradient)
        return -value / self.n, -gradient / self.n, -hessian / self.n

    def _tables(self, sums: FloatArray) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
        """Return what needs no cell, and what a cell adds by its place among R(beta, .) and rest.

        One row for each row of ``sums``; a place is t_x + i, plus the size of a table for the
        customers who are active at T.
        """
        z = sums[..., None]
        j = np.arange(float(self.size))
        near, far = j[:HEAD], j[HEAD:] + 1
        R = np.zeros((*sums.shape, self.size + 1))
        np.cumsum(np.log(z + near), axis=-1, out=R[..., 1 : len(near) + 1])
        if far.size:
            R[..., HEAD + 1 :] = R[..., HEAD, None] + log_rising(z + HEAD, far - HEAD)
        gone = np.log(z[:, 3]) - R[:, 5, 1:]
        shared = R[:, 4, :-1] - R[:, 2, :-1]
        places = np.concatenate([shared + gone, shared - R[:, 5, :-1]], axis=1)
        return R[:, 0, :-1] @ self.repeats, (R[:, 1], places)

    def _blocks(self) -> Iterator[_Cells]:
        """Yield the cells of as many rows as can be held at once."""
        ends = np.cumsum(self.lengths)
        edges = np.arange(0, ends[-1], _BLOCK)
        bounds = np.unique(np.append(np.searchsorted(ends, edges, side="right"), len(ends)))
        for first, last in pairwise(bounds):
            rows = slice(first, last)
            lengths = self.lengths[rows]
            starts = np.cumsum(lengths) - lengths
            place = np.arange(lengths.sum()) + np.repeat(self.recency[rows] - starts, lengths)
            sold = place - np.repeat(self.x[rows], lengths)
            place[starts + lengths - 1] += self.size
            yield _Cells(rows, starts, lengths, sold, place)

    @staticmethod
    def _shares(
        tables: tuple[FloatArray, FloatArray], cells: _Cells
    ) -> tuple[FloatArray, FloatArray]:
        """Return the share of each cell in its row, and the logs of the rows' sums."""
        shares = tables[0][cells.sold] + tables[1][cells.place]
        top = np.maximum.reduceat(shares, cells.starts)
        shares -= np.repeat(top, cells.lengths)
        np.exp(shares, out=shares)
        sums = np.add.reduceat(shares, cells.starts)
        shares /= np.repeat(sums, cells.lengths)
        return shares, top + np.log(sums)


class _Cells(NamedTuple):
    """The cells of some rows, one behind another, with their places in the tables."""

    rows: slice
    starts: IntArray
    lengths: IntArray
    sold: IntArray
    place: IntArray


def _by_cell(table: FloatArray, of_gamma: float) -> FloatArray:
    """Return derivatives by alpha + beta, gamma, delta and gamma + delta, by place of a cell."""
    size = table.shape[1] - 1
    gone = np.stack([-table[2, :-1], np.full(size, of_gamma), table[4, :-1], -table[5, 1:]])
    active = np.stack([-table[2, :-1], np.zeros(size), table[4, :-1], -table[5, :-1]])
    return np.concatenate([gone, active], axis=1)
