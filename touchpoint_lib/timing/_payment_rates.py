"""How good reminders of unpaid orders would have been: error rate, omission rate, time left."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from touchpoint_lib._checks import BoolArray, FloatArray, fail
from touchpoint_lib.metrics._shared import ratio, wilson_interval
from touchpoint_lib.timing._curves import fit_curves
from touchpoint_lib.timing._payment_log import PaymentLog

#: Fewer orders give no curve.
FEWEST = 20


def judged_reminders(
    log: PaymentLog, late: BoolArray, rules: Mapping[str, FloatArray], level: float
) -> pd.DataFrame:
    """Return the rates of rules (minutes of each order) on the orders ``late``."""
    limit = log.limit
    # Cancelled before the limit is lapsed, too.
    end = np.minimum(np.minimum(log.paid, log.cancelled), limit)
    known = late & (end <= log.age) & (end < log.reminded)
    lapsing = ~np.isfinite(log.paid) | (log.paid > log.cancelled)
    seen = np.minimum(np.minimum(end, log.reminded), log.age)
    check_reached(seen[late], (lapsing | ~known)[late], limit, "from")
    weight = np.zeros(len(limit))
    weight[known] = _weights(limit[late], log.first[late], seen[late], known[late])
    rows = []
    for rule, minute in rules.items():
        chosen = late & log.one_a_day(minute, late & (seen >= minute) & (end > minute))
        for one in (None, *np.unique(limit[late])):
            mine = late if one is None else late & (limit == one)
            rows.append(
                {
                    "rule": rule,
                    "limit": one,
                    "n_orders": int(mine.sum()),
                    "n_known": int((known & mine).sum()),
                    **_rates(weight * mine, chosen, lapsing, limit - minute, level),
                }
            )
    table = pd.DataFrame(rows)
    return table.astype({"limit": "Int64"})


def check_reached(duration: FloatArray, unpaid: BoolArray, limit: FloatArray, where: str) -> None:
    """Raise unless enough unpaid orders were seen up to the longest limit."""
    longest = limit.max()
    reached = int((unpaid & (duration >= longest)).sum())
    if reached < FEWEST:
        raise fail(
            f"{reached} orders {where} split were seen unpaid, without a reminder, up to their "
            f"limit of {longest:g} minutes",
            f"at least {FEWEST} are needed: observe longer, or leave a random share of the unpaid "
            "orders without a reminder",
        )


def _weights(limit: FloatArray, first: BoolArray, seen: FloatArray, known: BoolArray) -> FloatArray:
    """Return for how many orders each known one stands: 1 / the chance to be known.

    It is the chance to be neither reminded nor cut off by the end of observation before ``seen``,
    among orders of the same limit that are the customer's ``first`` of their day, or are not:
    shops remind of one order a day.
    """
    if known.all():
        return np.ones(len(seen))
    hidden = fit_curves(seen, ~known, [limit, first], 0.0)
    limits = np.unique(limit)
    # Neither True nor False: the node of the limit.
    node = hidden.node([limits, np.full(len(limits), -1)])
    # Just before: who is paid at the moment of the reminder is known.
    reached = hidden.survival(node, np.nextafter(limits, 0.0))
    if (reached == 0).any():
        raise fail(
            f"no order with a limit of {limits[np.argmin(reached)]:g} minutes from split on was "
            "seen unpaid, without a reminder, up to its limit",
            "observe longer, leave a random share of them without a reminder, or leave the orders "
            "of that limit out",
        )
    node = hidden.node([limit[known], first[known]])
    return 1 / hidden.survival(node, np.nextafter(seen[known], 0.0))


def _rates(
    weight: FloatArray, chosen: BoolArray, lapsing: BoolArray, left: FloatArray, level: float
) -> dict[str, float]:
    """Return weighted counts, both rates with intervals, and the median of the minutes left."""
    flagged = np.where(chosen, weight, 0.0)
    lapsed = np.where(lapsing, weight, 0.0)
    wrong, missed = np.where(lapsing, 0.0, flagged), np.where(chosen, 0.0, lapsed)
    found = {
        "n_reminded": flagged.sum(),
        "n_wrong": wrong.sum(),
        "n_lapsing": lapsed.sum(),
        "n_missed": missed.sum(),
    }
    for name, part, whole in (
        ("error_rate", wrong, flagged),
        ("omission_rate", missed, lapsed),
    ):
        share = ratio(part.sum(), whole.sum())
        cases = ratio(whole.sum() ** 2, (whole**2).sum())
        low, high = wilson_interval(share * cases, cases, level) if whole.any() else (np.nan,) * 2
        found |= {name: share, f"{name}_low": low, f"{name}_high": high}
    some = flagged > 0
    found["minutes_left"] = np.nan
    if some.any():
        weights = flagged[some]
        found["minutes_left"] = np.quantile(left[some], 0.5, weights=weights, method="inverted_cdf")
    return {name: float(value) for name, value in found.items()}
