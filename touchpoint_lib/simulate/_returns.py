"""The truth about a customer: still there, coming back unasked, and the day worth a contact.

All of it given the customer's own parameters: the probability p of leaving after an order, k stages
a gap and their rate lambda per day of the shop's operational time, which is the integral of the
public hazard (season and discounts). Without heterogeneity the gap since the last order is Erlang:

    S(x) = P(gap longer than x stages' worth) = exp(-x) sum_{j<k} x^j / j!,  x = lambda time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy import special

from touchpoint_lib._checks import FloatArray, check_values, fail

#: Numbers in one array of a chunk of customers: half a MB, so that the dozen of them stay cached.
_CHUNK = 1 << 16
#: Stages up to which the sum for S is faster than scipy's gammaincc.
_SUMMED = 16


def erlang_log_survival(k: npt.ArrayLike, x: npt.ArrayLike) -> FloatArray:
    """Return ln P(gap > x) of ``k`` stages of rate 1, for finite x >= 0.

    Relative precision on both sides: near 0, where it is -x^k / k!, and far out, where it is -x.
    """
    k, x = np.asarray(k, dtype=np.float64), np.asarray(x, dtype=np.float64)
    near = np.log1p(-special.gammainc(k, np.minimum(x, k)))
    far = np.maximum(x, k)
    last = (k - 1) * np.log(far) - special.gammaln(k)
    return np.where(x < k, near, last + _log_nested(k, far) - far)


def _log_nested(k: FloatArray, x: FloatArray) -> FloatArray:
    """Return ln of sum_{j<k} x^j / j! relative to its last term, the largest as x >= k."""
    nested = np.ones(np.broadcast_shapes(k.shape, x.shape))
    for j in range(1, int(k.max(initial=1))):
        nested = np.where(j < k, 1 + j / x * nested, nested)
    return np.log(nested)


def alive_after_silence(
    p: npt.ArrayLike, k: npt.ArrayLike, lam: npt.ArrayLike, silent: npt.ArrayLike
) -> FloatArray:
    """Return P(still a customer | no order for ``silent`` days of operational time).

    The odds after an order, (1 - p) : p, fall by the factor S(lam silent).

    Examples
    --------
    >>> alive_after_silence(0.5, k=1, lam=0.1, silent=[0.0, 10.0]).round(4)
    array([0.5   , 0.2689])
    """
    log_survival = erlang_log_survival(k, np.multiply(lam, silent))
    return np.asarray(special.expit(log_survival - special.logit(p)))


def own_return(
    p: npt.ArrayLike,
    k: npt.ArrayLike,
    lam: npt.ArrayLike,
    silent: npt.ArrayLike,
    ahead: npt.ArrayLike,
) -> FloatArray:
    """Return P(an order within the next ``ahead`` days | none for ``silent`` days), unprompted.

    Both are days of operational time. It is P(alive) (1 - S(silent + ahead) / S(silent)).

    Examples
    --------
    >>> own_return(0.5, k=1, lam=0.1, silent=10.0, ahead=[0.0, 10.0, 1000.0]).round(4)
    array([0.    , 0.17  , 0.2689])
    """
    k = np.asarray(k, dtype=np.float64)
    now, more = np.multiply(lam, silent), np.multiply(lam, ahead)
    log_now = erlang_log_survival(k, now)
    # Far out ln S is about -x, whose difference would lose the digits of a short time ahead.
    far = np.maximum(now, k)
    fall = np.where(
        now < k,
        erlang_log_survival(k, now + more) - log_now,
        (k - 1) * np.log1p(more / far) + _log_nested(k, far + more) - _log_nested(k, far) - more,
    )
    # Rounding may leave a rise of 1e-16: no probability is negative.
    comes = np.abs(np.expm1(fall))
    return np.asarray(special.expit(log_now - special.logit(p)) * comes)


def _survival(k: int, x: FloatArray) -> FloatArray:
    """Return S(x), to an absolute precision that is enough for money."""
    if k > _SUMMED:
        return np.asarray(special.gammaincc(k, x))
    term = np.exp(-x)
    total = term
    for j in range(1, k):
        term = term * (x / j)
        total = total + term
    return total


def best_contact_day(
    p: npt.ArrayLike,
    k: npt.ArrayLike,
    lam: npt.ArrayLike,
    last_order: npt.ArrayLike,
    province: npt.ArrayLike,
    segment: npt.ArrayLike,
    *,
    cumulative: FloatArray,
    effect: float,
    decay: float,
    margin: npt.ArrayLike,
    cost: float,
    discount: npt.ArrayLike,
    horizon: int,
    latest: int,
) -> tuple[FloatArray, FloatArray]:
    """Return the best day for the one contact after the last order, and what planning it is worth.

    A plan for day tau contacts the customer at the end of the tau-th day after the day of the last
    order, unless an order has come by then. It is worth, in yuan,

        P(silent) (margin (P1 - P0) - cost - discount P1),  P(silent) = p + (1 - p) S,

    with P0 and P1 the probabilities of an order within ``horizon`` days, without the contact
    (`own_return`) and with it.

    Parameters
    ----------
    p, k, lam
        Probability to leave after an order, stages a gap, rate of a stage per operational day;
        these and all others that are array-like: one value, or one a customer.
    last_order
        Days since the start.
    province, segment
        Codes: the first two axes of ``cumulative``.
    cumulative
        Shape (provinces, segments, days + 1): operational time since the start at each midnight,
        linear in between; to the end of the last horizon at least.
    effect, decay
        The contact multiplies the hazard by exp(effect exp(-j / decay)) on the j-th whole day after
        it, j = 0, 1, ...
    margin
        Yuan an order.
    cost
        Yuan a contact.
    discount
        Yuan given away where an order comes within the horizon of a contact.
    horizon
        Days, at least 1.
    latest
        The last tau that is considered.

    Returns
    -------
    day
        tau of the largest value, the first of equals; NaN where no plan is worth more than 0.
    value
        Yuan a customer as of the last order; 0 where day is NaN.

    Raises
    ------
    InputError
        When a last order is missing or before the start, or ``cumulative`` ends before the last
        horizon.
    """
    last_order = check_values("last_order", last_order, ge=0)
    rows = (p, k, lam, last_order, province, segment, margin, discount)
    leave, regularity, rate, ordered, area, kind, gain, given = (
        np.atleast_1d(row) for row in np.broadcast_arrays(*rows)
    )
    # The midnight after the last order.
    first = ordered.astype(np.int64) + 1
    ends, needed = cumulative.shape[2] - 1, int(first.max(initial=0)) + latest + horizon
    if ends < needed:
        raise fail(
            f"the clock ends at day {ends}", f"let it run to day {needed}, where the horizon ends"
        )
    # The additional time that a contact at each midnight brings within the horizon.
    boost = np.expm1(effect * np.exp(-np.arange(horizon) / decay))
    added = sliding_window_view(np.diff(cumulative), horizon, axis=2) @ boost
    times = sliding_window_view(cumulative, latest + 1 + horizon, axis=2)
    added = sliding_window_view(added, latest + 1, axis=2)

    best, value = np.empty(len(first)), np.empty(len(first))
    size = max(1, _CHUNK // (latest + 1 + horizon))
    for stages in np.unique(regularity):
        group = np.flatnonzero(regularity == stages)
        for at in range(0, len(group), size):
            mine = group[at : at + size]
            place = area[mine], kind[mine], first[mine]
            before, after = cumulative[*place[:2], first[mine] - 1], cumulative[place]
            start = after - (first[mine] - ordered[mine]) * (after - before)
            pace = rate[mine, None]
            x = pace * (times[place] - start[:, None])
            survival = _survival(int(stages), x)
            silent, without = survival[:, : latest + 1], survival[:, horizon:]
            contacted = _survival(int(stages), x[:, horizon:] + pace * added[place])
            gone = leave[mine, None]
            # P(silent) P1 is the probability of an order within the horizon: (1 - p) (S - S1).
            worth = (1 - gone) * (
                gain[mine, None] * (without - contacted)
                - given[mine, None] * (silent - contacted)
                - cost * silent
            ) - cost * gone
            day = worth.argmax(axis=1)
            best[mine], value[mine] = day, worth[np.arange(len(mine)), day]
    pays = value > 0
    return np.where(pays, best, np.nan), np.where(pays, value, 0.0)
