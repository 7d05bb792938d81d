"""Weights of the members of a stack, found on predictions for customers held out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray
from touchpoint_lib.churn._frames import row_losses
from touchpoint_lib.metrics.ranking import auc

#: No member is trusted with more than this multiple of its log-odds.
_LARGEST = 10.0


def customer_folds(customers: IntArray, happened: BoolArray, folds: int, seed: int) -> IntArray:
    """Return the fold of each row; all rows of a customer (numbered from 0) are in one.

    Every fold has its part of those with the outcome: else a fold that has more by chance is
    scored by models that saw fewer, and scores of different folds cannot be ranked together
    (Parker, Günter & Bedo 2007).
    """
    rows = np.bincount(customers)
    share = np.bincount(customers, weights=happened) / rows
    by_chance = np.random.default_rng(seed).permutation(len(rows))
    # By share, and in any order within it.
    order = by_chance[np.argsort(share[by_chance], kind="stable")]
    of_customer = np.empty(len(rows), dtype=np.int64)
    of_customer[order] = np.arange(len(rows)) % folds
    return of_customer[customers]


def log_loss(happened: BoolArray, odds: FloatArray) -> float:
    """Return the mean negative log-likelihood of log-odds."""
    return float(row_losses(happened, odds).mean())


def stack_weights(odds: Mapping[str, FloatArray], happened: BoolArray) -> pd.DataFrame:
    """Return how much each member's log-odds count, and how well each predicts alone.

    The weights make the outcome likeliest, none below 0 (Breiman 1996, "Stacked regressions"):
    members that say nearly the same then share a weight instead of fighting. Scale and level are
    free, so the stack is calibrated on the customers held out.

    Parameters
    ----------
    odds : mapping of str to array of float, shape (n,)
        Log-odds of each member for customers that it was not fitted to.
    happened : array of bool, shape (n,)
        What happened.

    Returns
    -------
    DataFrame
        Index member, the last ``intercept``: weight, auc and log_loss (NaN for the intercept).
    """
    z = np.column_stack([*odds.values(), np.ones(len(happened))])

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        total = z @ weights
        return log_loss(happened, total), (expit(total) - happened) @ z / len(z)

    members = len(odds)
    start = np.append(np.full(members, 1 / members), 0.0)
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, _LARGEST)] * members + [(None, None)],
        options={"ftol": 1e-13, "gtol": 1e-9, "maxiter": 1000},
    )
    return pd.DataFrame(
        {
            "weight": found.x,
            "auc": [*(auc(happened, one).auc for one in odds.values()), np.nan],
            "log_loss": [*(log_loss(happened, one) for one in odds.values()), np.nan],
        },
        index=pd.Index([*odds, "intercept"], name="member"),
    )
