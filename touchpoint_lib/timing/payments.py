"""When to remind of an unpaid order (催付): at which minute, and which orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.timing._columns import as_moment
from touchpoint_lib.timing._curves import ClassCurves, fit_curves
from touchpoint_lib.timing._payment_log import Names, PaymentLog, read_payments
from touchpoint_lib.timing._payment_rates import FEWEST, check_reached, judged_reminders

#: The minute of the fixed rule where no reminder was sent before the split.
_FIXED = 60.0
_CLASSES = ["kind", "source", "limit"]
#: Minutes of a curve.
_POINTS = 60
_FORMAT = "%Y-%m-%d %H:%M"


@dataclass(frozen=True, eq=False)
class PaymentReminder:
    """When to remind, how good that would have been, and what to do now.

    Parameters
    ----------
    rules
        What to do now, learned from everything known at ``until``. A row a class (kind of customer,
        source, limit in minutes): n_orders (of the class), n_at_risk (orders of the curve, of any
        limit, that were seen unpaid and not reminded beyond that minute), remind_after (minutes
        from the order), own_share (of those then unpaid, how many pay in time by themselves: the
        expected error rate), own_share_low, own_share_high, reason ("line": the share fell to the
        line; "limit": ``latest`` came first), minutes_left (to the limit).
    judged
        The same of the rules that are judged: learned from the orders before ``split``.
    rates
        How good these were on the later orders. A row a rule ("classes", and "fixed": one minute
        for all) and limit (missing: all of them): minute (of the fixed rule; missing for classes),
        n_orders, n_known (orders whose outcome was seen: paid by themselves, or lapsed without a
        reminder), n_reminded, n_wrong (would have paid in time), n_lapsing, n_missed (lapsing, but
        not reminded), error_rate = n_wrong / n_reminded, omission_rate = n_missed / n_lapsing, both
        with _low and _high, and minutes_left (median, of the reminded). The counts behind the rates
        are estimates for all orders, so they are fractional. A rate, its bounds and minutes_left
        are NaN where there is nothing to divide by.
    plan
        A row an order still open at ``until``, by remind_at: order, customer (with the names
        of their columns), kind, source, limit, remind_at, own_share (at that moment), action
        ("remind" or "skip") and reason.
    line, latest, level
        As given.
    split, until
        Where learning what is judged ended, and the end of observation.
    """

    rules: pd.DataFrame
    judged: pd.DataFrame
    rates: pd.DataFrame
    plan: pd.DataFrame
    line: float
    latest: float
    level: float
    split: pd.Timestamp
    until: pd.Timestamp
    _curves: ClassCurves = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the rules."""
        return self.rules.copy()

    def curve(self, minutes: npt.ArrayLike | None = None) -> pd.DataFrame:
        """Return the share of unpaid orders that will still pay by themselves in time.

        Parameters
        ----------
        minutes
            Minutes from the order, >= 0, one or a list; each limit has those below it. By default
            some 60 of each limit, closer together at the start.

        Returns
        -------
        DataFrame
            A row a class and minute: kind, source, limit, minute, own_share, own_share_low and
            own_share_high.

        Raises
        ------
        InputError
            If minutes are no number or list, or one is missing or negative.
        """
        if minutes is not None:
            given = check_values("minutes", minutes, ge=0)
            if given.ndim > 1:
                raise fail(f"minutes has shape {given.shape}", "pass a number or a list of numbers")
            wanted = np.unique(given)
        limits = self.rules["limit"].to_numpy(dtype=np.float64)
        each = [
            np.unique(np.rint(np.geomspace(1, limit - 1, _POINTS)))
            if minutes is None
            else wanted[wanted < limit]
            for limit in limits
        ]
        row = np.repeat(np.arange(len(limits)), [len(one) for one in each])
        frame = self.rules[_CLASSES].iloc[row].reset_index(drop=True)
        frame["minute"] = np.concatenate(each)
        node = self._curves.node(_levels(frame))
        window = node, frame["minute"].to_numpy(), limits[row]
        low, high = self._curves.within_interval(*window, self.level)
        return frame.assign(
            own_share=self._curves.within(*window), own_share_low=low, own_share_high=high
        )

    def __repr__(self) -> str:
        now = int((self.plan["action"] == "remind").sum())
        row = self.rates.iloc[0]
        return (
            f"PaymentReminder({len(self.rules)} classes, error rate {row['error_rate']:.3f} "
            f"({row['error_rate_low']:.3f} to {row['error_rate_high']:.3f}), omission rate "
            f"{row['omission_rate']:.3f}, {now:,} of {len(self.plan):,} open orders to remind)"
        )

    def _repr_html_(self) -> str:
        tables = (self.rules, self.rates)
        shown = "".join(
            table.to_html(index=False, float_format="{:.3f}".format) for table in tables
        )
        return f"<p>{self!r}</p>{shown}"


def payment_reminder(
    orders: pd.DataFrame,
    payments: pd.DataFrame,
    *,
    order: str = "order_id",
    customer: str = "customer_id",
    time: str = "time",
    source: str = "source",
    paid: str = "paid_at",
    limit: str = "due_at",
    reminded: str | None = "reminded_at",
    cancelled: str | None = "cancelled_at",
    line: float = 0.5,
    latest: float = 0.5,
    shrinkage: float = 20.0,
    until: Any = None,
    split: Any = None,
    level: float = 0.95,
) -> PaymentReminder:
    """Return at which minute to remind (催付) of an unpaid order, by class of order.

    Most orders are paid at once, many others later without being asked: reminding those is an
    error. Waiting costs the orders that would have lapsed. So an order is reminded at the first
    whole minute at which at most the share ``line`` of the orders still unpaid would pay by itself
    before the limit (付款时限), and in any case by the share ``latest`` of the limit.

    Parameters
    ----------
    orders : DataFrame
        A row an order: ``order``, ``customer``, ``time``, ``source``.
    payments : DataFrame
        A row for each of these orders: ``order``, ``paid`` (missing: not paid), ``limit`` (when an
        unpaid order lapses), and, where there are such, ``reminded`` and ``cancelled``.
    order, customer, time, source, paid, limit, reminded, cancelled : str
        Names of the columns; None for ``reminded`` or ``cancelled`` where there is none. Times
        are all of one zone, or all naive. Limits are taken to the minute; at most 6 differ.
    line : float
        In (0, 1).
    latest : float
        In (0, 1): a limit of 30 minutes has its reminder by minute 15 at 0.5.
    shrinkage : float
        Pseudo-cases of the wider class in the curve of a class, >= 0.
    until : moment, optional
        End of observation; what is later is left out. By default the last time of an order,
        payment, reminder or cancellation.
    split : moment, optional
        Rules are learned from the orders before it, with what was known at that moment, and judged
        on the others. By default the median time of the orders.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    PaymentReminder
        rules, rates, plan.

    Raises
    ------
    InputError
        If a column, id or time is missing or impossible, an order stands twice or in one frame
        only, there are too many limits, fewer than 20 orders of either part were seen unpaid up to
        the limit without a reminder, or an argument is out of bounds.

    Notes
    -----
    The curve of payment is Kaplan and Meier's. An order leaves it unpaid (censored) at its
    reminder, which tells nothing about paying by itself; at its limit; when it is cancelled; and
    where observation ends. This needs reminders that leave out a random share of the unpaid:
    where all are reminded at one minute, nobody knows who would have paid later, and an error says
    so. Cancelling before the limit counts as going on like the others: where customers cancel a
    lot, own_share is too high, and the error rate, in which they count as lapsed, below it.

    Curves are nested: kind of customer, source within it, each class shrunk to the wider one. All
    limits share them, up to the limit each: in simulated shops that recovers the truth best. A
    limit whose buyers pay at another pace shows in ``rates``, where its error rate leaves the
    own_share of its rules: pass those orders by themselves.

    Kinds are "new", "second" and "loyal": the first, second and any later calendar day on which
    the customer ordered, within ``orders``. A customer from before the first order of the log
    begins anew there.

    A customer gets one reminder a calendar day, the earliest that falls on it; one that was sent
    already counts.

    An order tells whether a reminder would have been an error only if it was seen to its end
    without a reminder. These stand for the others, with weights: 1 / the probability of getting so
    far without one (Kaplan-Meier, by limit and by whether it is the customer's first of the day).
    The intervals are Wilson's at the effective number of cases, (sum w)^2 / sum w^2. The fixed
    rule reminds at the median minute of the reminders that were sent before ``split``, or at minute
    60 where there were none.

    References
    ----------
    Kaplan, E. L. and Meier, P. (1958). "Nonparametric Estimation from Incomplete Observations",
    JASA 53. Satten, G. A. and Datta, S. (2001). "The Kaplan-Meier Estimator as an
    Inverse-Probability-of-Censoring Weighted Average", The American Statistician 55(3). Kish, L.
    (1965). "Survey Sampling", section 11.7.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> found = tp.payment_reminder(shop.orders, shop.payments)
    >>> app = found.rules[found.rules["source"] == "app"]
    >>> app[["kind", "limit", "remind_after", "reason"]].reset_index(drop=True)
         kind  limit  remind_after reason
    0     new     30             2   line
    1     new   4320           194   line
    2  second     30             2   line
    3  second   4320           117   line
    4   loyal     30             2   line
    5   loyal   4320           107   line
    >>> found.rates.loc[0, ["error_rate", "omission_rate"]].astype(float).round(2).to_dict()
    {'error_rate': 0.49, 'omission_rate': 0.01}
    """
    for name, share in (("line", line), ("latest", latest), ("level", level)):
        check_number(name, share, gt=0, lt=1)
    names = Names(order, customer, time, source, paid, limit, reminded, cancelled)
    log = read_payments(orders, payments, names, until)
    times = log.frame["time"]
    cut = (
        times.sort_values().iloc[len(times) // 2]
        if split is None
        else as_moment("split", split, times)
    )
    early = (times < cut).to_numpy()
    for part, where in ((early, "before"), (~early, "from")):
        if part.sum() < FEWEST:
            raise fail(
                f"{int(part.sum())} orders lie {where} split, {cut:{_FORMAT}}",
                f"at least {FEWEST} are needed: move split, or pass more orders",
            )

    then = _learned(log, early, cut, shrinkage)
    judged = _rules(log, then, line, latest, level)
    minute = _minute_of(log, judged)
    # Learned like the classes: from what was known at the split.
    sent = log.reminded[early & (log.reminded <= log.seen(cut))]
    fixed = np.rint(np.median(sent)) if len(sent) else _FIXED
    rates = judged_reminders(
        log, ~early, {"classes": minute, "fixed": np.full(len(minute), fixed)}, level
    )
    rates.insert(2, "minute", np.where(rates["rule"] == "fixed", fixed, np.nan))
    everybody = np.ones(len(early), dtype=np.bool_)
    now = _learned(log, everybody, log.until, shrinkage)
    rules = _rules(log, now, line, latest, level)
    return PaymentReminder(
        rules=rules,
        judged=judged,
        rates=rates,
        plan=_plan(log, now, _minute_of(log, rules), names),
        line=float(line),
        latest=float(latest),
        level=float(level),
        split=cut,
        until=log.until,
        _curves=now,
    )


def _levels(frame: pd.DataFrame) -> list[Any]:
    """Return the columns of labels of the curves."""
    return [np.asarray(frame[name]) for name in ("kind", "source")]


def _learned(log: PaymentLog, early: BoolArray, cut: pd.Timestamp, shrinkage: float) -> ClassCurves:
    """Return the curves of payment of the orders before ``cut``, as they were known then."""
    limit, seen = log.limit[early], log.seen(cut)[early]
    paid = log.paid[early]
    left = np.minimum(np.minimum(log.reminded, log.cancelled)[early], np.minimum(limit, seen))
    # A payment in the second of the reminder is none of its own.
    ended = (paid <= seen) & (paid < np.minimum(log.reminded, log.cancelled)[early])
    if not ended.any():
        raise fail("no order was paid before split", "move split, or pass more orders")
    # Limits were taken to the minute.
    duration = np.where(ended, np.minimum(paid, limit), left)
    check_reached(duration, ~ended, log.limit, "before")
    return fit_curves(duration, ended, _levels(log.frame[early]), shrinkage)


def _minute_of(log: PaymentLog, rules: pd.DataFrame) -> FloatArray:
    """Return the minute at which the rule of each order reminds."""
    key = pd.MultiIndex.from_frame(rules[_CLASSES])
    rule = key.get_indexer(pd.MultiIndex.from_frame(log.frame[_CLASSES]))
    return rules["remind_after"].to_numpy(dtype=np.float64)[rule]


def _rules(
    log: PaymentLog,
    curves: ClassCurves,
    line: float,
    latest: float,
    level: float,
) -> pd.DataFrame:
    """Return the rule of every class that occurs."""
    rules = log.frame.groupby(_CLASSES, observed=True).size().index.to_frame(index=False)
    rules["n_orders"] = log.frame.groupby(_CLASSES, observed=True).size().to_numpy()
    node = curves.node(_levels(rules))
    limits = rules["limit"].to_numpy(dtype=np.float64)
    minutes = np.empty(len(rules))
    reasons = np.empty(len(rules), dtype=object)
    for limit in np.unique(limits):
        # 0.29 of 100 minutes is 29.
        last = int(np.floor(round(latest * limit, 9)))
        if last < 1:
            raise fail(
                f"latest is {latest:g} where the limit is {limit:g} minutes",
                f"no whole minute lies by then: raise latest to 1 / {limit:g} or more",
            )
        mine = np.flatnonzero(limits == limit)
        grid = np.arange(1.0, last + 1)
        # 1 - S(limit) / S(t) never rises with t.
        first = 1 + (curves.within(node[mine][:, None], grid, limit) > line).sum(axis=1)
        minutes[mine] = np.minimum(first, last)
        reasons[mine] = np.where(first <= last, "line", "limit")
    low, high = curves.within_interval(node, minutes, limits, level)
    rules["n_at_risk"] = curves.at_risk(node, minutes).astype(np.int64)
    rules["remind_after"] = minutes.astype(np.int64)
    rules["own_share"] = curves.within(node, minutes, limits)
    rules["own_share_low"], rules["own_share_high"] = low, high
    rules["reason"] = reasons.astype(str)
    rules["minutes_left"] = (limits - minutes).astype(np.int64)
    return rules


def _plan(log: PaymentLog, curves: ClassCurves, minute: FloatArray, names: Names) -> pd.DataFrame:
    """Return what to do about every order that is open."""
    last = np.minimum(np.minimum(log.paid, log.reminded), np.minimum(log.cancelled, log.due))
    is_open = last > log.age
    # A moment that has passed is now.
    age = np.maximum(minute, log.age)
    chosen = log.one_a_day(age, is_open)
    rows = np.flatnonzero(is_open)
    # By moment, and the order that was placed first.
    placed, at = log.frame["time"].array[rows], log.moment(rows, age[rows])
    rows = rows[np.lexsort((placed, at))]
    sent = np.flatnonzero(np.isfinite(log.reminded))
    done = pd.MultiIndex.from_arrays([log.customer[sent], log.day(sent, log.reminded[sent])])
    again = pd.MultiIndex.from_arrays([log.customer[rows], log.day(rows, age[rows])]).isin(done)
    reason = np.where(
        again,
        "the customer was reminded that day",
        np.where(
            ~chosen[rows],
            "another order of the customer is reminded that day",
            np.where(log.age[rows] > minute[rows], "its minute has passed", "its minute"),
        ),
    )
    frame = log.frame.iloc[rows]
    plan = pd.DataFrame(
        {
            names.order: frame["order"],
            names.customer: frame["customer"],
            "kind": frame["kind"],
            "source": frame["source"],
            "limit": frame["limit"],
            "remind_at": log.moment(rows, age[rows]).array,
            "own_share": curves.within(
                curves.node(_levels(frame)), np.minimum(age, log.limit)[rows], log.limit[rows]
            ),
            "action": np.where(again | ~chosen[rows], "skip", "remind"),
            "reason": reason,
        }
    )
    return plan.reset_index(drop=True)
