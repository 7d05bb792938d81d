"""The touchpoint matrix (接触点矩阵): what a channel earns at each stage, or that nobody knows."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    check_choice,
    check_columns,
    check_number,
    check_present,
    check_values,
    fail,
    first_of,
)
from touchpoint_lib.campaigns._events import check_same_day, end_of, flags
from touchpoint_lib.campaigns.outcomes import contact_outcomes
from touchpoint_lib.touchpoints._effects import ADJUSTED, EFFECTS, Earning, channel_effects
from touchpoint_lib.touchpoints._frames import check_log
from touchpoint_lib.touchpoints._reach import (
    LEFT,
    Population,
    check_reachable,
    reached,
    unreached,
)
from touchpoint_lib.touchpoints.stages import check_history, stage_at

__all__ = ["TouchpointMatrix", "touchpoint_matrix"]

_COLUMNS = (
    "channel",
    "by",
    "stage",
    "opportunities",
    "contacts",
    "held_out",
    "customers",
    "reach",
    "cost_per_1000",
    *LEFT,
    "method",
    "compared",
    *EFFECTS,
    "result",
    "reason",
    "customers_today",
    "unreached",
    "not_reached_value",
    "quadrant",
)
_SHOWN = [
    "channel",
    "stage",
    "contacts",
    "reach",
    "orders_per_1000",
    "orders_low",
    "orders_high",
    "profit_per_1000",
    "profit_low",
    "profit_high",
    "result",
    "quadrant",
    "reason",
]


@dataclass(frozen=True, eq=False)
class TouchpointMatrix:
    """What each channel earns at each stage, and where it cannot be told.

    Attributes
    ----------
    table : DataFrame
        A row a channel and stage: see `touchpoint_matrix`.
    left_out : dict
        Opportunities that play no part: "window not over", "no order yet".
    window : float
        Days after a contact over which orders count.
    level : float
        Of all intervals.
    until : Timestamp
        Up to which orders are known.
    """

    table: pd.DataFrame
    left_out: dict[str, int]
    window: float
    level: float
    until: pd.Timestamp

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self.table.copy()

    def pivot(self, column: str = "profit_per_1000") -> pd.DataFrame:
        """Return one figure as a table of channels by stages.

        Parameters
        ----------
        column : str
            Of the table.

        Returns
        -------
        DataFrame
            A row a channel, a column a stage, and "all".

        Raises
        ------
        InputError
            If the table has no such column.
        """
        check_columns(self.table, [column], "the table")
        stages = self.table[self.table["by"].isin(["", "stage"])]
        wide = stages.pivot_table(
            index="channel",
            columns="stage",
            values=column,
            sort=False,
            aggfunc="first",
            dropna=False,
            observed=True,
        )
        return wide[list(dict.fromkeys(stages["stage"]))]

    def __repr__(self) -> str:
        found = self.table["result"].value_counts()
        counts = ", ".join(f"{result} {n}" for result, n in found.items())
        return f"TouchpointMatrix({self.table['channel'].nunique()} channels; cells: {counts})"

    def _repr_html_(self) -> str:
        shown = self.table[_SHOWN].to_html(index=False, float_format=lambda value: f"{value:.4g}")
        out = ", ".join(f"{n:,} {why}" for why, n in self.left_out.items() if n)
        note = (
            f"Orders within {self.window:g} days of an opportunity, up to {self.until}; "
            f"intervals of {100 * self.level:g}%."
        )
        return f"{shown}<p>{html.escape(note + (f' Left out: {out}.' if out else ''))}</p>"


def touchpoint_matrix(
    contacts: pd.DataFrame,
    orders: pd.DataFrame,
    stages: pd.DataFrame,
    *,
    window: float,
    margin: str | float = "margin",
    segment: pd.Series | None = None,
    reachable: pd.DataFrame | None = None,
    comparison: Mapping[Any, pd.DataFrame] | None = None,
    covariates: Sequence[str] = ("silence", "age", "orders_before"),
    until: Any = None,
    level: float = 0.95,
) -> TouchpointMatrix:
    """Return what a contact earns by channel (接触渠道) and lifecycle stage, with intervals.

    Every figure of effect comes from `evaluate_campaign`: contacts beside the opportunities of the
    same channel that a lot held out (留白组), within each campaign, since campaigns may hold out
    different shares. Lin's regression takes out what ``covariates`` explain; errors are by
    customer. One contact counts, with everything that the shop did behind it; an order within the
    window of several contacts counts for each, so effects of channels do not add up.

    What has no lot is not guessed: it is "not identified", with the reason. With ``comparison`` a
    channel without a lot is compared with moments at which it could have contacted and did not.
    That rests on the covariates, is called "adjusted", and nothing in the data can prove it: give
    it only where they decided who was contacted. In the simulated shop "page", which speaks to
    whoever is about to buy, comes out at hundreds of orders by 1,000 contacts beside random moments
    of its customers, and the truth is 10.

    Parameters
    ----------
    contacts : DataFrame
        As from `contact_log`: customer_id, time, channel, held_out, cost; campaign and unsubscribed
        where there are such columns.
    orders : DataFrame
        As from `order_log`: customer_id, time, and what ``margin`` names.
    stages : DataFrame
        From `stage_history`, or a frame like it.
    window : float
        Days after a contact over which orders count, longer than a usual repurchase cycle: else
        orders that were merely pulled forward count as gained.
    margin : str or float
        Column of what an order earned, after its discount; or the share of ``amount`` that it
        earns, > 0.
    segment : Series, optional
        A label by customer, such as core or not, from before the first contact: each makes a row of
        its own beside the stages.
    reachable : DataFrame of bool, optional
        By customer (index) and channel (columns): who agrees to be contacted. A channel without a
        column reaches everybody. Who unsubscribed is reached no more.
    comparison : mapping of channel to DataFrame, optional
        customer_id and time of moments without a contact, for a channel that holds out nobody.
    covariates : columns
        Of silence, age, orders_before and what ``margin`` names with _before behind it, as
        `contact_outcomes` makes them. Whether a lot was drawn is tested by the first three.
    until : date or time, optional
        Up to which ``orders`` is complete; by default the last order.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    TouchpointMatrix
        Its table has a row a channel and stage (``by`` "stage"), a row a channel over all ("") and
        over each ``segment``: channel, by, stage, opportunities, contacts (made), held_out,
        customers (who were contacted), reach (their share of the customers who were in the stage
        between the first and the last opportunity that counts), cost_per_1000 contacts;
        unsubscribed_per_1000 contacts with unsubscribed_low and unsubscribed_high (打扰; Wilson's
        interval, errors by customer; NaN where ``contacts`` do not tell it); method
        ("random holdout", "adjusted" or "") and compared (opportunities that the effect is of: in
        each cell those of campaigns with 20 customers in each arm); by 1,000 contacts
        orders_per_1000 with orders_low and orders_high, margin_per_1000 with margin_low and
        margin_high, profit_per_1000 with profit_low and profit_high (margin less cost); p_value and
        p_adjusted of the orders, profit_p and profit_p_adjusted of the profit (normal; adjusted by
        Holm over the stages of a channel, or over its segments); result
        ("gains" or "loses" where the interval of profit is above or below 0, "not known" where it
        holds 0, "not identified"); reason (of the last);
        customers_today (in the stage at ``until``), unreached (of them reachable, without a contact
        of the channel within ``window`` days), not_reached_value (unreached x profit of a contact);
        quadrant (象限): "expand" (gains, and not_reached_value is no less than the mean of what
        gains of the same ``by``), "keep" (gains, little left to reach), "stop" (loses), "find out"
        (all others, and all that is "adjusted").

        Not identified is a cell without a lot, with held-out customers who were others before the
        contact (then no lot was drawn), with fewer than 20 customers with an order in an arm,
        or without any spread.

        NaN: figures of effect where not identified; cost and unsubscribed without contacts; reach
        of a segment or stage that nobody was in.

    Raises
    ------
    InputError
        If a column is missing or not of its kind, somebody held out was paid for, no opportunity is
        left, a customer has no segment, ``stages`` end before ``until``, or an argument is out of
        bounds.

    References
    ----------
    Lin (2013), Annals of Applied Statistics 7; see `evaluate_campaign`.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))
    >>> history = tp.stage_history(paid, model)
    >>> matrix = tp.touchpoint_matrix(shop.contacts, paid, history, window=90)
    >>> matrix
    TouchpointMatrix(6 channels; cells: not known 19, not identified 13, gains 1)
    >>> sms = matrix.table[(matrix.table["channel"] == "sms") & (matrix.table["by"] == "")]
    >>> sms[["orders_per_1000", "orders_low", "orders_high"]].round(0).to_dict("records")
    [{'orders_per_1000': 37.0, 'orders_low': 9.0, 'orders_high': 66.0}]
    """
    at = check_log("contacts", contacts, ["channel", "cost"])
    earning = Earning.of(margin)
    bought = check_log("orders", orders, [earning.column])
    check_same_day(contacts, at, orders, bought)
    check_number("window", window, gt=0)
    check_number("level", level, gt=0, lt=1)
    check_history(stages)
    check_reachable(reachable)
    cost = check_values("cost", contacts["cost"], ge=0, index=contacts.index)
    check_present("contacts", contacts, "channel")
    if isinstance(covariates, str) or not isinstance(covariates, Sequence):
        raise fail(f"covariates is {covariates!r}", "pass a list of columns, which may be empty")
    for name in covariates:
        check_choice(
            "covariate", name, ["silence", "age", "orders_before", f"{earning.column}_before"]
        )
    withheld = np.zeros(len(contacts), dtype=bool)
    if "held_out" in contacts.columns:
        withheld = flags("contacts", contacts, "held_out")
    paid_for = withheld & (cost > 0)
    if paid_for.any():
        raise fail(
            f"cost is {cost[paid_for][0]:g} at index {first_of(contacts.index, paid_for)} of "
            f"contacts, which was held out ({int(paid_for.sum()):,} such rows)",
            "who was held out cost nothing: set it to 0",
        )
    end = end_of(until, bought, "time")
    made = stages.attrs.get("until")
    # Stages change at midnight: within a day nobody falls asleep.
    if made is not None and pd.Timestamp(made).normalize() < end.normalize():
        raise fail(
            f"stages end at {made}, before until ({end})", "pass until= to stage_history as well"
        )
    everything = pd.DataFrame(
        {
            "customer_id": contacts["customer_id"],
            "time": at,
            "channel": contacts["channel"].astype(object),
            "campaign": _campaigns(contacts),
            "held_out": withheld,
            "cost": cost,
        }
    )
    if "unsubscribed" in contacts.columns:
        everything["unsubscribed"] = flags("contacts", contacts, "unsubscribed")
    everything = everything.reset_index(drop=True)
    kept = orders[bought <= end]
    labelled, segments, left_out = _labelled(everything, stages, segment, window, end)
    outcomes = _outcomes(labelled, kept, earning, segments, window, end)
    others = {}
    for channel, moments in _by_channel(comparison, outcomes).items():
        others[channel] = _compared(channel, moments, kept, stages, segment, earning, window, end)
    effects = [
        channel_effects(rows, earning, segments, covariates, level, others.get(channel)).assign(
            channel=channel
        )
        for channel, rows in outcomes.groupby("channel", sort=True)
    ]
    first, last = labelled["time"].min(), labelled["time"].max()
    people = Population.of(stages, segment, first, last, end)
    keys = ["channel", "by", "stage"]
    table = pd.concat(effects, ignore_index=True)
    table = table.merge(reached(labelled, segments, people, level), on=keys, how="left")
    since = end - pd.Timedelta(days=window)
    channels = list(table["channel"].unique())
    today = unreached(channels, everything, people, reachable, since, end)
    table = _judged(table.merge(today, on=keys, how="left"))
    return TouchpointMatrix(table, left_out, float(window), level, end)


def _campaigns(contacts: pd.DataFrame) -> pd.Series:
    """Return the campaign of each contact, "" where it belongs to none."""
    if "campaign" not in contacts.columns:
        return pd.Series("", index=contacts.index)
    named = contacts["campaign"].astype(object)
    return named.where(named.notna(), "").astype(str)


def _labelled(
    rows: pd.DataFrame,
    stages: pd.DataFrame,
    segment: pd.Series | None,
    window: float,
    end: pd.Timestamp,
) -> tuple[pd.DataFrame, list[str], dict[str, int]]:
    """Return the rows whose window is over with stage and segment, the columns, and who is left."""
    found = rows.assign(stage=stage_at(stages, rows))
    segments = ["stage"]
    if segment is not None:
        if not isinstance(segment, pd.Series) or not segment.index.is_unique:
            raise fail("segment is no Series with one label a customer", "pass one by customer_id")
        found["segment"] = found["customer_id"].map(segment)
        lacks = found["segment"].isna()
        if lacks.any():
            raise fail(
                f"customer {first_of(found['customer_id'].to_numpy(), lacks)} has no segment "
                f"({found.loc[lacks, 'customer_id'].nunique():,} such customers)",
                "label all of them, such as others",
            )
        segments.append("segment")
    over = (end - found["time"]) >= pd.Timedelta(days=window)
    known = found["stage"].notna()
    left_out = {"window not over": int((~over).sum()), "no order yet": int((over & ~known).sum())}
    found = found[over & known].reset_index(drop=True)
    if found.empty:
        raise fail(
            f"no opportunity is left: the window of {left_out['window not over']:,} ends after "
            f"{end}, {left_out['no order yet']:,} are of customers without an order so far",
            "pass a shorter window or a longer log",
        )
    return found, segments, left_out


def _outcomes(
    rows: pd.DataFrame,
    orders: pd.DataFrame,
    earning: Earning,
    segments: list[str],
    window: float,
    end: pd.Timestamp,
) -> pd.DataFrame:
    """Return what was bought after each opportunity."""
    keep = ["channel", "campaign", "cost", *segments]
    return contact_outcomes(
        rows, orders, window=window, amounts=[earning.column], until=end, keep=keep
    )


def _by_channel(
    comparison: Mapping[Any, pd.DataFrame] | None, outcomes: pd.DataFrame
) -> Mapping[Any, pd.DataFrame]:
    """Return the moments without a contact by channel, each of which has contacts."""
    if comparison is None:
        return {}
    if not isinstance(comparison, Mapping):
        raise fail(f"comparison is a {type(comparison).__name__}", "pass a mapping by channel")
    known = list(outcomes["channel"].unique())
    for channel in comparison:
        if channel not in known:
            raise fail(
                f"comparison names {channel!r}, which is no channel of contacts",
                f"the channels are {', '.join(map(repr, known))}",
            )
    return comparison


def _compared(
    channel: Any,
    moments: pd.DataFrame,
    orders: pd.DataFrame,
    stages: pd.DataFrame,
    segment: pd.Series | None,
    earning: Earning,
    window: float,
    end: pd.Timestamp,
) -> pd.DataFrame:
    """Return the moments without a contact, with what was bought after them."""
    at = check_log(f"comparison of {channel!r}", moments)
    rows = pd.DataFrame({"customer_id": moments["customer_id"], "time": at}).assign(
        channel=channel, campaign="", cost=0.0, held_out=True
    )
    rows, segments, _ = _labelled(rows.reset_index(drop=True), stages, segment, window, end)
    return _outcomes(rows, orders, earning, segments, window, end)


def _judged(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with result, value not yet reached and quadrant, its columns in order."""
    low, high = table["profit_low"], table["profit_high"]
    table["result"] = np.select(
        [low.isna(), low > 0, high < 0], ["not identified", "gains", "loses"], "not known"
    )
    table[["customers_today", "unreached"]] = (
        table[["customers_today", "unreached"]].fillna(0).astype(np.int64)
    )
    value = table["unreached"] * table["profit_per_1000"] / 1000
    table["not_reached_value"] = value
    # What no lot decided is nothing to act on.
    drawn = table["method"] != ADJUSTED
    gains = (table["result"] == "gains") & drawn
    mean = value.where(gains).groupby(table["by"]).transform("mean")
    table["quadrant"] = np.select(
        [gains & (value >= mean), gains, (table["result"] == "loses") & drawn],
        ["expand", "keep", "stop"],
        "find out",
    )
    return table[[*_COLUMNS]]
