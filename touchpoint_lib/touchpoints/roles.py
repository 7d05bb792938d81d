"""Buyer roles (送礼/自用): does a customer buy for own use, or as gifts?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from touchpoint_lib._checks import check_columns, check_number, check_present, fail
from touchpoint_lib.campaigns._events import flags
from touchpoint_lib.touchpoints._promotion_shares import Shares

__all__ = ["buyer_roles"]

_ROLES = ["own use", "both", "gift buyer", "not known"]


def buyer_roles(
    orders: pd.DataFrame,
    *,
    gift: str = "gift",
    own: float = 0.25,
    gifts: float = 0.75,
    sure: float = 0.8,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return whether customers buy for their own use, as gifts, or both.

    A customer's true share of gifts is a beta variable over customers, fitted to all of them
    (empirical Bayes); the orders of one customer then narrow it down. The role is the band in which
    the share lies with probability ``sure``; where no band has that, the flags are too few to say.

    Parameters
    ----------
    orders : DataFrame
        A row an order, with customer_id and ``gift``.
    gift : str
        Column that is True where the order went to somebody else, or was marked as a gift.
    own, gifts : float
        Below ``own`` of gifts a customer buys for own use, at ``gifts`` or above as gifts, in
        between both; 0 < own < gifts < 1.
    sure : float
        Posterior probability from which a role is told, in (0.5, 1).
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        A row a customer, indexed by customer_id: orders, gift_orders, share (of them), share_shrunk
        (posterior mean) with share_low and share_high, probability_own, probability_both and
        probability_gift (they add up to 1), and role: "own use", "both", "gift buyer" or
        "not known". ``attrs``: prior_a and prior_b of the beta, own, gifts, sure, level.

    Raises
    ------
    InputError
        If a column is missing, has missing values or no truth values, or a bound is out of order.

    Notes
    -----
    Who was never flagged because nobody asked looks like somebody who buys for own use: the flag
    must have been asked for in every order. Where customers hardly differ, the beta is narrow, and
    one order says as little as ten: the role is then that of all customers.

    The intervals hold over customers of all kinds, and take the beta as known: with less than some
    fifty customers they are too narrow.

    References
    ----------
    Griffiths (1973), "Maximum likelihood estimation for the beta-binomial distribution", Biometrics
    29; Casella (1985), "An introduction to empirical Bayes data analysis", American Statistician
    39.

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> log = pd.DataFrame({
    ...     "customer_id": ["a"] * 8 + ["b"] * 8 + ["c"] * 8 + ["d"],
    ...     "gift": [True] * 8 + [False] * 8 + [True, False] * 4 + [True],
    ... })
    >>> tp.buyer_roles(log)[["orders", "gift_orders", "share_shrunk", "role"]].round(2)
                 orders  gift_orders  share_shrunk        role
    customer_id
    a                 8            8          0.98  gift buyer
    b                 8            0          0.03     own use
    c                 8            4          0.50        both
    d                 1            1          0.86   not known
    """
    check_columns(orders, ["customer_id", gift], "orders", "make it with order_log(...), or rename")
    low = check_number("own", own, gt=0, lt=1)
    high = check_number("gifts", gifts, gt=low, lt=1)
    check_number("sure", sure, gt=0.5, lt=1)
    check_number("level", level, gt=0, lt=1)
    if len(orders) == 0:
        raise fail("orders has no rows", "pass a row an order")
    check_present("orders", orders, "customer_id")
    given = pd.Series(flags("orders", orders, gift).astype(np.int64), orders.index)
    # Categories may name customers without orders, and pandas would count them.
    by_customer = given.groupby(orders["customer_id"], observed=True)
    hits, trials = by_customer.sum(), by_customer.size()
    shares = Shares.fit(np.asarray(hits, dtype=np.int64), np.asarray(trials, dtype=np.int64))
    share_low, share_high = shares.interval(level)
    mostly, some = shares.above(high), shares.above(low)
    chances = np.array([1 - some, some - mostly, mostly])
    role = np.where(chances.max(axis=0) >= sure, chances.argmax(axis=0), len(_ROLES) - 1)
    table = pd.DataFrame(
        {
            "orders": trials,
            "gift_orders": hits,
            "share": hits / trials,
            "share_shrunk": shares.mean(),
            "share_low": share_low,
            "share_high": share_high,
            "probability_own": chances[0],
            "probability_both": chances[1],
            "probability_gift": chances[2],
            "role": pd.Categorical.from_codes(role.astype(np.int64), pd.Index(_ROLES)),
        }
    )
    table.attrs = {
        "prior_a": shares.a,
        "prior_b": shares.b,
        "own": low,
        "gifts": high,
        "sure": float(sure),
        "level": float(level),
    }
    return table
