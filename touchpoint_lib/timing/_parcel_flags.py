"""When a parcel is flagged, by the curves of its class or by a share of its promise."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray
from touchpoint_lib.metrics.rates import prediction_rates
from touchpoint_lib.timing._curves import ClassCurves
from touchpoint_lib.timing._pace import rows_by_node
from touchpoint_lib.timing._parcel_log import DAY, HOUR, ParcelLog


def flags_in_time(
    curves: ClassCurves,
    node: IntArray,
    log: ParcelLog,
    line: float,
    notice: float,
    pace: FloatArray | None,
) -> tuple[FloatArray, FloatArray]:
    """Return the hours from shipping to the flag, inf without one in time, and the pace then."""
    hours, paces = flag_moments(curves, node, log.promise, line, log.shipped, log.delivered, pace)
    return np.where(hours + notice <= log.promise, hours, np.inf), paces


def flag_moments(
    curves: ClassCurves,
    node: IntArray,
    promise: FloatArray,
    line: float,
    shipped: IntArray,
    delivered: IntArray,
    pace: FloatArray | None,
) -> tuple[FloatArray, FloatArray]:
    """Return the first whole hour at which P(late | in transit) reaches the line, and the pace.

    Of parcels on the way: inf where it does not before the promise or the delivery. ``promise``
    is in hours; ``shipped``, ``delivered`` and ``pace`` are those of `recent_pace`.
    """
    hours, paces = np.full(len(node), np.inf), np.ones(len(node))
    # On quarters of hours a pace up to 4 leaves one whole hour or none between two points.
    quarters = np.arange(int(curves.last * 24 * 4) + 1) / 4
    for number, mine in rows_by_node(node):
        steps = -curves.survival(number, np.minimum(quarters / 24, curves.last))
        if pace is None:
            found = _reach(curves, number, steps, promise[mine], line, np.ones(len(mine)))
            hours[mine] = found
            continue
        left, day = mine, shipped[mine] // DAY
        while left.size:
            begun = shipped[left]
            scale = pace[number, day]
            found = _reach(curves, number, steps, promise[left], line, scale)
            # Today's pace is known from the start of the day on, and used to its end.
            found = np.maximum(found, np.ceil((day * DAY - begun) / HOUR))
            today = begun + found * HOUR < (day + 1) * DAY
            hours[left[today]], paces[left[today]] = found[today], scale[today]
            day = day + 1
            goes_on = ~today & (day < pace.shape[1]) & (delivered[left] > day * DAY)
            goes_on &= (day * DAY - begun) / HOUR < promise[left]
            left, day = left[goes_on], day[goes_on]
    gone = (hours >= promise) | (shipped + np.where(np.isinf(hours), 0, hours) * HOUR >= delivered)
    return np.where(gone, np.inf, hours), paces


def _reach(
    curves: ClassCurves,
    number: int,
    steps: FloatArray,
    promise: FloatArray,
    line: float,
    scale: FloatArray,
) -> FloatArray:
    """Return the first whole hour h with S(promise) / S(h) >= line, S slowed down by ``scale``.

    ``steps`` is -S at every quarter of an hour.
    """

    def survival(hours: FloatArray) -> FloatArray:
        return curves.survival(number, np.clip(hours / scale / 24, 0.0, curves.last))

    target = survival(promise) / line
    hours = np.ceil(np.searchsorted(steps, -target, side="left") / 4 * scale)
    earlier = (hours >= 1) & (survival(hours - 1) <= target)
    return np.asarray(hours - earlier)


def late_probability(
    curves: ClassCurves, node: IntArray, age: FloatArray, promise: FloatArray, pace: FloatArray
) -> FloatArray:
    """Return S(max(promise, age)) / S(age), ages and promises in hours, slowed down by ``pace``.

    1 where nobody was on the way so long.
    """
    scale = pace * 24
    now = curves.survival(node, np.minimum(age / scale, curves.last))
    then = curves.survival(node, np.minimum(np.maximum(promise, age) / scale, curves.last))
    return np.asarray(np.divide(then, now, out=np.ones_like(now), where=now > 0))


def flags_by_share(log: ParcelLog, decided: BoolArray, notice: float, n_flagged: int) -> FloatArray:
    """Return when one share of the promised time is over, which flags about ``n_flagged``."""
    promise = log.promise
    # The largest share at which each parcel is still on the way, and in time.
    way = np.nextafter((log.delivered - log.shipped) / HOUR / promise, 0.0)
    most = np.minimum(way, 1 - notice / promise)
    known = np.sort(most[decided & (most >= 0)])
    shares = np.append(np.unique(known), np.inf)
    counts = len(known) - np.searchsorted(known, shares, side="left")
    share = shares[np.argmin(np.abs(counts - n_flagged))]
    flagged = share <= most
    return np.where(flagged, np.where(flagged, share, 0.0) * promise, np.inf)


def with_flags(
    table: pd.DataFrame, shipped: pd.Series, hours: FloatArray, lead: FloatArray, chance: FloatArray
) -> pd.DataFrame:
    """Return ``table`` with the columns of the flags, missing where ``hours`` is inf."""
    flagged = np.isfinite(hours)
    wait = pd.to_timedelta(np.where(flagged, hours, 0.0), unit="h")
    return table.assign(
        flagged_at=(shipped + wait).where(flagged),
        probability=np.where(flagged, chance, np.nan),
        lead_hours=np.where(flagged, lead, np.nan),
    ).reset_index(drop=True)


def rates_of(name: str, late: BoolArray, lead: FloatArray, level: float) -> dict[str, Any]:
    """Return the rates of one rule; ``lead`` is -inf where it does not flag."""
    flagged = np.isfinite(lead)
    rates = prediction_rates(late, flagged, 0.5, level)
    hits = lead[late & flagged]
    quarters = np.quantile(hits, [0.5, 0.25, 0.75]) if hits.size else np.full(3, np.nan)
    lead_names = ("lead_median", "lead_low_quartile", "lead_high_quartile")
    return {"rule": name, **asdict(rates), **dict(zip(lead_names, quarters, strict=True))}
