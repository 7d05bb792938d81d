"""Contact pressure (触达压力): what one contact more does to whom was contacted before."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import check_columns, check_integer, check_number, check_values
from touchpoint_lib.touchpoints._pressure_caps import find_caps
from touchpoint_lib.touchpoints._pressure_effects import drawn_lots, effects_table
from touchpoint_lib.touchpoints._pressure_log import PressureLog, read_log
from touchpoint_lib.touchpoints._pressure_rates import rates_table

__all__ = ["ContactPressure", "contact_pressure"]

#: Days, of which ticks are still whole numbers.
_CENTURY = 36_525
_SHOWN = ["channel", "verdict", "cap", "cap_low", "cap_high", "first", "first_low", "first_high"]


@dataclass(frozen=True, eq=False)
class ContactPressure:
    """What contacts do by how many came shortly before, and how many are best.

    Attributes
    ----------
    rates : DataFrame
        Descriptive: a row a channel and number of recent contacts (the last class is open), of the
        contacts that were made: channel, recent, n, response_rate, unsubscribe_rate (those two
        where the columns are there), purchase_rate (an order in the window, of the ``n_followed``
        whose window is over), each with _low and _high. No effect: who is contacted often differs
        from who is not. NaN where a class is empty.
    effects : DataFrame
        From the random holdout, in the same classes: channel, recent, n_contacted, n_held_out,
        orders and margin that one contact adds in the window, each with _low and _high, and reason:
        why any of them is NaN, "" where none is (all bounds are, where nobody differs). Campaigns
        with fewer than two contacts in an arm of the class are not counted.
    curve : DataFrame
        A row a channel and number ``n`` of recent contacts, "(all)" for the channels that count
        together: effect (margin that the (n + 1)-th contact adds), cost, unsubscribe (probability),
        value (effect - cost - unsubscribe x its cost) with low and high, cumulative (the value of
        up to n + 1 contacts) with cumulative_low and cumulative_high. Only identified channels, and
        only numbers that either arm has 20 times. unsubscribe is NaN, and costs nothing, where
        ``contacts`` does not tell of it.
    caps : DataFrame
        A row a channel, and a last one for "(all)": channel, counted, verdict, reason, cap
        (触达上限, the number of contacts in ``days`` days with the largest expected value),
        cap_low, cap_high (neither above the numbers that were tried, those of ``curve``: an
        interval that ends there is open), first (value of a contact with no recent one) with
        first_low and first_high, best (value of ``cap`` contacts) with best_low and best_high. See
        `contact_pressure` for the verdicts.
    cap : int or None
        That of "(all)"; None where it is not identified.
    kappa, kappa_low, kappa_high : float
        By which the log of the effect falls with each recent contact; NaN where not identified,
        or no channel has lots at two numbers of recent contacts.
    over : DataFrame
        Customers with more than ``cap`` contacts in the ``days`` days up to ``until``: customer_id,
        contacts, over (contacts above the cap); most contacts first. Empty without a cap.
    n_over, n_recent : int
        Customers over the cap (None without one), and with any contact in those days.
    left_out : dict
        Opportunities that play no part, by reason. "later" than until; "early": in the first
        ``days`` days of the log, before which contacts are not known. Of the effects only: "window
        not over", "no order before", "no lots drawn", "no outcome" (of channels whose margins are
        all the same).
    window, days, level : float
        As they were asked for.
    until : Timestamp
        The last moment of the log.
    """

    rates: pd.DataFrame
    effects: pd.DataFrame
    curve: pd.DataFrame
    caps: pd.DataFrame
    cap: int | None
    kappa: float
    kappa_low: float
    kappa_high: float
    over: pd.DataFrame
    n_over: int | None
    n_recent: int
    left_out: dict[str, int]
    window: float
    days: float
    level: float
    until: pd.Timestamp

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the caps."""
        return self.caps.copy()

    @property
    def statement(self) -> str:
        """What the figures say, in words."""
        row = self.caps.iloc[-1]
        if self.cap is None:
            return f"No cap is identified: {row['reason']}."
        many = f"{self.cap} {'contact' if self.cap == 1 else 'contacts'} in {self.days:g} days"
        pays = "pays" if self.cap == 1 else "pay"
        said = {
            "limit": f"Up to {many} {pays}.",
            "no limit seen": f"{many} {pays}, and more were hardly ever tried.",
            "stop": "No contact pays: stop.",
            "not proven": f"The best guess is {many}, but that a contact pays, or does not, is not "
            "proven.",
        }[row["verdict"]]
        return (
            f"{said} {100 * self.level:g}% interval of the best number: {self.best_range}. "
            f"{self.n_over:,} of {self.n_recent:,} customers contacted in the last {self.days:g} "
            "days had more."
        )

    @property
    def best_range(self) -> str:
        """The interval of the best number over all channels that count, in words; else empty."""
        row = self.caps.iloc[-1]
        tried = int((self.curve["channel"] == row["channel"]).sum())
        return "" if self.cap is None else number_range(row["cap_low"], row["cap_high"], tried)

    def __repr__(self) -> str:
        return f"ContactPressure(cap={self.cap}, n_over={self.n_over}, days={self.days:g})"

    def _repr_html_(self) -> str:
        shown = self.caps[_SHOWN].to_html(index=False, float_format=lambda value: f"{value:.3g}")
        return f"{shown}<p>{html.escape(self.statement)}</p>"


def number_range(low: int, high: int, tried: int) -> str:
    """Return an interval of a number of contacts, open where the numbers ``tried`` end."""
    told = f"{low}" if low == high else f"{low} to {high}"
    return told if high < tried else f"{told} or more"


def contact_pressure(
    contacts: pd.DataFrame,
    orders: pd.DataFrame,
    *,
    window: float,
    margin: str = "margin",
    days: float = 30,
    counted: Iterable[Any] | None = None,
    classes: int = 5,
    response: str | None = None,
    unsubscribe_cost: float = 0.0,
    until: Any = None,
    level: float = 0.95,
    seed: int = 0,
) -> ContactPressure:
    """Return how many contacts in a month are best, and what one more does after n recent ones.

    Recent contacts (触达压力) of an opportunity are those really made with the customer in the
    ``days`` days strictly before it. They are history when the lot is drawn, so that contacted and
    held-out customers may be compared among those with as many.

    The value of a contact after n recent ones is the margin that it adds within ``window`` days,
    less its cost, less the probability to unsubscribe times ``unsubscribe_cost``. The cap
    (触达上限) is the number k with the largest sum of the values of n = 0, ..., k - 1. Single
    classes are too noisy for that: the margin added is theta exp(-kappa n), with theta of each
    channel and one kappa in [0, 3] for all, fitted on the single opportunities; the rate to
    unsubscribe is exp(a + b n), with a of each channel and one b.

    Verdicts: "limit" (contacts surely pay, up to the cap); "no limit seen" (all numbers that were
    tried pay: the best one may be higher than the cap); "stop" (the cap is 0: even the first
    contact surely loses); "not proven" (the cap is the best guess, but there is no number of recent
    contacts at which the interval of the value lies above 0, nor does it lie below 0 for the first
    contact); "not identified" (no random holdout: figures are missing, and the reason says why).

    Parameters
    ----------
    contacts : DataFrame
        A row an opportunity (触达机会), made with ``contact_log``: customer_id, time, channel and
        cost; held_out (True where it was withheld at random; without the column nothing is
        identified), campaign (each has its own lots), unsubscribed.
    orders : DataFrame
        A row an order that counts, made with ``order_log``: customer_id, time and ``margin``.
    window : float
        Days after a contact in which orders count, in (0, 36525]. A short one sees the effect more
        sharply, but takes orders that were merely pulled forward for gained; a long one wants more
        data.
    margin : str
        Numeric column of ``orders``: what an order earns.
    days : float
        Days that count as recent, in (0, 36525].
    counted : sequence, optional
        Channels whose contacts press on the customer; all by default. The cap of all is that of
        these channels as far as they are identified, in the mix in which they were used.
    classes : int
        Tables have classes of 0, 1, ..., ``classes`` - 1 and ``classes`` or more recent contacts.
    response : str, optional
        Column of truth values of ``contacts``, such as "clicked", for the response rate.
    unsubscribe_cost : float
        Money that is lost when a customer leaves a channel, >= 0.
    until : date or time, optional
        The moment up to which both logs are complete (a date: the end of that day). By default
        orders are known up to the last one, and the log ends with the last row of either.
    level : float
        Of all intervals, in (0, 1).
    seed : int
        Of the draws behind the intervals of the curve and of the cap.

    Returns
    -------
    ContactPressure
        ``to_frame()`` has the caps; ``rates``, ``effects`` and ``curve`` what they rest on,
        ``over`` who is over the cap today.

    Raises
    ------
    InputError
        If a column is missing or not of its kind, a value is missing or impossible, no opportunity
        has its ``days`` before within the log, no channel of ``counted`` is in the log, or an
        argument is out of bounds.

    Notes
    -----
    Effects in classes are `evaluate_campaign`'s: contacted less held out, within campaigns where
    there are several, with errors by customer. The curve takes the margin of each opportunity less
    what is expected in its campaign and class from silence, age and earlier orders (Frisch-Waugh-
    Lovell), which leaves the effect as it is and narrows the interval, and minimises the sum of
    squares over theta and kappa, each channel weighted by the inverse of its variance. Its interval
    are percentiles of 2,000 fits to sums drawn with their covariance by customer, so that kappa at
    its bound of 0 or hardly known at all does no harm. More than 100 recent contacts are taken for
    100 there. Rates have Wilson's intervals on the
    effective number of cases, n over the design effect of customers (Kish).

    The margin is taken as it is, not orders times a mean margin: a coupon that came with the
    contact lowers the margin of orders that would have come anyway. An effect contains what the
    contact takes from later ones within the window, for which it is a recent one.

    Near its optimum the sum of values is flat, and the cap then is a guess that costs little where
    it is wrong. Where effects fall clearly with each contact (4,000 customers, half of them held
    out), it is within one contact of the optimum that the truth gives in 50 of 50 simulated shops;
    in the simulated shop as it comes, whose effects hardly fall, in half of them, and the verdict
    is "not proven".

    Classes hold different customers: those often contacted may be the better or the worse ones.
    The curve is the value of contacts as they were made, not of another choice of customers.

    References
    ----------
    Frisch and Waugh (1933), Econometrica 1, 387-401; Lovell (1963), JASA 58, 993-1010; Robinson
    (1988), Econometrica 56, 931-954 (partialling out); Wilson (1927), JASA 22, 209-212; Kish
    (1965), "Survey Sampling", section 8.2 (design effect); Jeffreys (1961), "Theory of
    Probability", section 3.1 (prior of a rate, for who unsubscribes).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> found = tp.contact_pressure(
    ...     shop.contacts, paid, window=30, counted=["chat", "sms", "email"], response="clicked"
    ... )
    >>> verdicts = found.caps.set_index("channel")["verdict"]
    >>> verdicts["page"], verdicts["parcel"], verdicts["(all)"]
    ('not identified', 'no limit seen', 'not proven')
    >>> found.cap, found.n_over
    (5, 0)

    The calendar takes the cap over, if it is 1 or more: ``contact_calendar(model, customers, money,
    cap=found.cap, cap_days=30, contacts=made)`` with the contacts ``made`` so far.
    """
    check_number("window", window, gt=0, le=_CENTURY)
    check_number("days", days, gt=0, le=_CENTURY)
    check_number("level", level, gt=0, lt=1)
    check_number("unsubscribe_cost", unsubscribe_cost, ge=0)
    classes = check_integer("classes", classes, ge=1)
    generator = np.random.default_rng(check_integer("seed", seed, ge=0))
    named = {} if response is None else {"response": response}
    has_left = isinstance(contacts, pd.DataFrame) and "unsubscribed" in contacts.columns
    if has_left or unsubscribe_cost > 0:
        named["unsubscribed"] = "unsubscribed"
    log = read_log(
        contacts,
        orders,
        window=window,
        days=days,
        counted=counted,
        named=named,
        until=until,
    )
    check_columns(orders, [margin], "orders", "name what an order earns: margin=")
    check_values(margin, orders[margin], index=orders.index)
    drawn = drawn_lots(log, window, margin)
    found = find_caps(
        log, drawn, margin, classes, unsubscribe_cost, tail=(1 - level) / 2, generator=generator
    )
    best = found.caps.iloc[-1]["cap"]
    cap = None if pd.isna(best) else int(best)
    over = _over(log, cap)
    return ContactPressure(
        rates=rates_table(log, classes, level),
        effects=effects_table(log, drawn, margin, classes, level),
        curve=found.curve,
        caps=found.caps,
        cap=cap,
        kappa=found.kappa[0],
        kappa_low=found.kappa[1],
        kappa_high=found.kappa[2],
        over=over,
        n_over=None if cap is None else len(over),
        n_recent=len(log.today),
        left_out={"later": log.n_later, "early": log.n_early, **drawn.left_out},
        window=float(window),
        days=float(days),
        level=float(level),
        until=log.until,
    )


def _over(log: PressureLog, cap: int | None) -> pd.DataFrame:
    """Return who had more contacts than the cap in the days up to the end."""
    table = log.today.rename("contacts").rename_axis("customer_id").reset_index()
    if cap is None:
        return table.iloc[:0].assign(over=table["contacts"].iloc[:0])
    table = table[table["contacts"] > cap]
    table = table.assign(over=table["contacts"] - cap)
    ordered = table.sort_values(["contacts", "customer_id"], ascending=[False, True])
    return ordered.reset_index(drop=True)
