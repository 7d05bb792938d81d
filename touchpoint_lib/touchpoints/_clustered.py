"""Rates by cell where several rows are of one customer."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.metrics._shared import wilson_interval


def clustered_rates(
    happened: FloatArray, cell: IntArray, customer: IntArray, size: int, level: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return rates by cell with Wilson's intervals on the effective number of cases.

    NaN in a cell without rows.
    """
    n = np.bincount(cell, minlength=size).astype(np.float64)
    count = np.bincount(cell, weights=happened, minlength=size)
    rate = np.divide(count, n, out=np.full(size, np.nan), where=n > 0)
    # Several contacts of one customer are less than as many cases (Kish's design effect).
    shape = (int(customer.max(initial=0)) + 1, size)
    sums = coo_array((happened - rate[cell], (customer, cell)), shape=shape).tocsr()
    clustered = np.asarray((sums * sums).sum(axis=0)).ravel()
    independent = n * rate * (1 - rate)
    there = independent > 0
    design = np.divide(clustered, independent, out=np.ones(size), where=there)
    cases = n / np.maximum(design, 1.0)
    low, high = np.full(size, np.nan), np.full(size, np.nan)
    known = n > 0
    low[known], high[known] = wilson_interval((rate * cases)[known], cases[known], level)
    return rate, low, high
