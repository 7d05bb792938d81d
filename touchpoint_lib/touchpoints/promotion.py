"""Promotion dependence (促销依赖): who buys on discount only, and what coupons really do."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from touchpoint_lib._checks import check_number, fail
from touchpoint_lib.campaigns._events import end_of
from touchpoint_lib.campaigns.effects import evaluate_campaign
from touchpoint_lib.campaigns.money import CampaignCosts
from touchpoint_lib.touchpoints._promotion_contacts import (
    DRIVEN,
    OTHERS,
    OUTCOMES,
    read_contacts,
)
from touchpoint_lib.touchpoints._promotion_orders import priced_orders
from touchpoint_lib.touchpoints._promotion_shares import Shares

__all__ = ["PromotionEffect", "promotion_dependence", "promotion_effect"]

#: Flagged is who is more likely promotion-driven than not.
_LIKELY = 0.5
#: Arms that differ before the contacts with a smaller p were not made by lots.
NO_LOTS = 0.001
_EFFECTS = [
    "by", "segment", "outcome", "n_contacted", "n_held_out", "mean_contacted", "mean_held_out",
    "effect", "standard_error", "ci_low", "ci_high", "p_value",
]  # fmt: skip


def promotion_dependence(
    orders: pd.DataFrame,
    *,
    list_amount: str = "list_amount",
    amount: str = "amount",
    until: Any = None,
    promotion: float = 0.6,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return how far each customer buys on discount, and who is promotion-driven (促销型).

    One order on discount of one says little, ten of ten a lot: a customer's true share of
    discounted orders is a beta variable over customers, fitted to all of them (empirical Bayes),
    and the orders of one customer narrow it down.

    Parameters
    ----------
    orders : DataFrame
        A row an order that was paid, with customer_id, time and both amounts.
    list_amount, amount : str
        Columns of the list price and of what was paid for the same goods, in money, amount <=
        list_amount: an order is discounted where it is less.
    until : date or time, optional
        The last moment that counts (a date: the end of that day), such as that before a campaign
        which is then judged by `promotion_effect`. All orders by default.
    promotion : float
        True share of discounted orders from which a customer counts as promotion-driven, in (0, 1).
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        A row a customer, indexed by customer_id: orders, discounted (orders), share (of them),
        share_shrunk (posterior mean) with share_low and share_high, probability (that the true
        share is at least ``promotion``), depth (money off / list price, of all orders; NaN where
        all list prices are 0), depth_discounted (of the discounted ones; NaN without any), and
        promotion_driven: True where probability is at least 0.5, that is, more likely than not;
        another line for probability weighs errors and omissions otherwise. ``attrs``: prior_a and
        prior_b of the beta, promotion, level, until, later_orders (those after ``until``).

    Raises
    ------
    InputError
        If a column is missing, not numeric or has missing values, an amount is negative or above
        its list price, or an argument is out of bounds.

    Notes
    -----
    Descriptive: who bought only on discount may have been offered nothing else. Whether such
    customers buy more because of coupons only a holdout tells: `promotion_effect`.

    The intervals hold over customers of all kinds, and take the beta as known: with less than some
    fifty customers they are too narrow. Customers of distinct kinds are no beta; the flag and
    its probability are then as good as the beta comes near to them.

    References
    ----------
    Griffiths (1973), "Maximum likelihood estimation for the beta-binomial distribution", Biometrics
    29; Casella (1985), "An introduction to empirical Bayes data analysis", American Statistician
    39.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> table = tp.promotion_dependence(paid, until="2025-05-31")
    >>> table.loc[[1, 16], ["orders", "discounted", "share_shrunk", "probability"]].round(2)
                 orders  discounted  share_shrunk  probability
    customer_id
    1                12           1          0.10         0.00
    16                1           0          0.13         0.04
    """
    line = check_number("promotion", promotion, gt=0, lt=1)
    check_number("level", level, gt=0, lt=1)
    priced = priced_orders(orders, list_amount, amount)
    end = end_of(until, pd.DatetimeIndex(priced["time"]), "time")
    known = priced[priced["time"] <= end]
    if len(known) == 0:
        raise fail(f"orders has no row up to {end}", "pass a later until")
    off = known["off"] > 0
    counted = known.assign(
        off_orders=off.astype(np.int64), off_listed=known["listed"].where(off, 0.0)
    )
    sums = counted.groupby("customer_id")[["off_orders", "listed", "off", "off_listed"]].sum()
    hits, trials = sums["off_orders"], counted.groupby("customer_id").size()
    shares = Shares.fit(np.asarray(hits, dtype=np.int64), np.asarray(trials, dtype=np.int64))
    low, high = shares.interval(level)
    probability = shares.above(line)
    table = pd.DataFrame(
        {
            "orders": trials,
            "discounted": hits,
            "share": hits / trials,
            "share_shrunk": shares.mean(),
            "share_low": low,
            "share_high": high,
            "probability": probability,
            "depth": sums["off"] / sums["listed"].where(sums["listed"] > 0),
            "depth_discounted": sums["off"] / sums["off_listed"].where(hits > 0),
            "promotion_driven": probability >= _LIKELY,
        }
    )
    table.attrs = {
        "prior_a": shares.a,
        "prior_b": shares.b,
        "promotion": line,
        "level": float(level),
        "until": str(end),
        "later_orders": len(priced) - len(known),
    }
    return table


@dataclass(frozen=True, eq=False)
class PromotionEffect:
    """What coupon campaigns did to promotion-driven customers, to others, and by stage.

    Attributes
    ----------
    effects : DataFrame
        A row a group and outcome: by ("" for all, "group", "stage"), segment, outcome, n_contacted,
        n_held_out, mean_contacted, mean_held_out (a contact), effect, standard_error, ci_low,
        ci_high, p_value. Outcomes: orders, discounted_orders, full_price_orders, margin
        (after the discount), discount_given and margin_before_discount. NaN where a group is too
        small, or nobody in it differs.
    differences : DataFrame
        A row an outcome (the index): driven and others (both effects), difference, standard_error,
        ci_low, ci_high, p_value (of the interaction test). NaN but for the effects where one of
        them has no error.
    money : DataFrame
        A row a group: by, segment, n_contacted, and for 1,000 contacts, in money:
        discount_given (less what the control took as well), margin_before_discount (incremental),
        contact_cost, net_profit with net_profit_low and net_profit_high; probability_of_profit, and
        verdict: "earns" or "loses" where the interval of net_profit leaves out 0, else "not known".
    strata : DataFrame
        A row a channel and campaign (the index): opportunities; unclassed (customers not in
        ``driven``), unfinished (the window was not over), contacted and held_out (the rest);
        coupon_share (of its contacts, NaN without any), and left_out: why it was not judged ("" if
        it was).
    verdict : str
        Do coupons move promotion-driven customers to more orders than the others? "confirmed" where
        the interval of the difference in orders is above 0, "refuted" where it is below, else
        "not known"; so it is as well where ``before_p`` is below 0.001.
    before_p : float
        p of the same comparison on all orders before the contacts, on which they had no effect:
        where it is tiny, no lots decided who was held out. NaN where all have the same.
    window, level : float
        As used.
    """

    effects: pd.DataFrame
    differences: pd.DataFrame
    money: pd.DataFrame
    strata: pd.DataFrame
    verdict: str
    before_p: float
    window: float
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the effects."""
        return self.effects.copy()

    def __repr__(self) -> str:
        row = self.differences.loc["orders"]
        if np.isnan(row["difference"]):
            return f"PromotionEffect({self.verdict}: the orders of a group are not estimated)"
        return (
            f"PromotionEffect({self.verdict}: promotion-driven customers gain "
            f"{row['difference']:+.3g} orders a contact more than others in {self.window:g} days, "
            f"{100 * self.level:g}% interval {row['ci_low']:.3g} to {row['ci_high']:.3g})"
        )

    def _repr_html_(self) -> str:
        tables = [
            table.to_html(float_format=lambda value: f"{value:.4g}")
            for table in (self.differences, self.money)
        ]
        return f"<p>{html.escape(repr(self))}</p>" + "".join(tables)


def promotion_effect(
    contacts: pd.DataFrame,
    orders: pd.DataFrame,
    driven: pd.Series,
    *,
    window: float,
    stage: pd.Series | None = None,
    list_amount: str = "list_amount",
    amount: str = "amount",
    margin: str = "margin",
    until: Any = None,
    level: float = 0.95,
) -> PromotionEffect:
    """Return what coupons did to promotion-driven customers and to others, by the random holdout.

    Whole campaigns are compared, contacted with held out (intention to treat): who got a coupon
    among the contacted is no lot, since a channel may give it to some, and not where a deeper one
    is at hand. Channels and campaigns are strata, whatever their shares held out.

    Parameters
    ----------
    contacts : DataFrame
        A row an opportunity, contacted or held out, of whole campaigns: customer_id, time, channel,
        held_out, cost (money, 0 where withheld), coupon (depth offered, 0 for none), and campaign
        where there are any. Campaigns without coupons are left out, and listed.
    orders : DataFrame
        A row a paid order: customer_id, time and three amounts; all since the first one of each
        customer.
    driven : Series of bool
        By customer_id, from orders before the contacts, such as
        ``promotion_dependence(orders, until=...)["promotion_driven"]``, which is refused where
        ``until`` is not before the first contact. Contacts of other customers are left out, and
        counted.
    window : float
        Days after the contact that count, > 0: at least as long as the coupon holds.
    stage : Series, optional
        Of the customer as of each contact, on the index of ``contacts``: what it costs to discount
        inside the normal cycle (正常周期内打折) is the row of those awake in ``money``.
    list_amount, amount : str
        Columns of the list price and of what was paid for the same goods, in money.
    margin : str
        Column of the margin after the discount.
    until : date or time, optional
        The moment up to which ``orders`` is complete (a date: the end of that day); by default that
        of the last order. Contacts whose window ends later are left out, and counted.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    PromotionEffect
        Effects, their differences, money for 1,000 contacts, and what was left out.

    Raises
    ------
    InputError
        If a column is missing or cannot be used, no campaign with coupons has two contacts and two
        held out, ``driven`` knows too much, one of its groups has no contact, or one of its
        customers no order up to a contact.

    Notes
    -----
    The effect is that of the contact together with its coupon: a holdout that withholds both does
    not tell them apart. Where coupon_share is below 1 most of it may be the message. An order that
    came back counts with the discount that was on it; its margin is what ``margin`` says.

    Customers are clusters. Difference and interval by Welch and Satterthwaite, as the interaction
    test of `evaluate_campaign` has them. A group in which a campaign has less than two rows of an
    arm is not estimated.

    References
    ----------
    Miratrix, Sekhon and Yu (2013), JRSS B 75 (strata); Welch (1951), Biometrika 38 (the test).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> driven = tp.promotion_dependence(paid, until="2025-05-31")["promotion_driven"]
    >>> won = shop.contacts[shop.contacts["campaign"] == "win back"]
    >>> found = tp.promotion_effect(won, paid, driven, window=21)
    >>> found.differences.loc["orders", ["driven", "others", "ci_low", "ci_high"]].round(3)
    driven     0.412
    others     0.078
    ci_low     0.167
    ci_high    0.501
    Name: orders, dtype: float64
    >>> found.verdict
    'confirmed'
    """
    check_number("window", window, gt=0)
    check_number("level", level, gt=0, lt=1)
    priced = priced_orders(orders, list_amount, amount, margin)
    read = read_contacts(contacts, priced, driven, stage=stage, window=window, until=until)
    data = read.data
    missing = [name for name in (DRIVEN, OTHERS) if not (data["group"] == name).any()]
    if missing:
        raise fail(
            f"no judged contact is of a customer of the group {missing[0]!r}",
            "pass driven with customers of both groups who were contacted or held out",
        )
    several = bool((read.strata["left_out"] == "").sum() > 1)
    by = ["group"] if stage is None else ["group", "stage"]
    found = evaluate_campaign(
        data,
        arm="arm",
        control="held out",
        outcomes=OUTCOMES,
        method="stratified" if several else "difference",
        covariates=["stratum"] if several else None,
        segments=by,
        cluster="customer_id",
        costs={
            "margin_before_discount": CampaignCosts(
                margin=1.0, contact="cost", discount="discount_given"
            )
        },
        placebo="orders_before",
        window=window,
        level=level,
    )
    # Its warnings suppose equal arms, and strata alike in both: here neither is meant.
    table = found.table.rename(
        columns={
            "segment_by": "by",
            "n_treated": "n_contacted",
            "n_control": "n_held_out",
            "mean_treated": "mean_contacted",
            "mean_control": "mean_held_out",
        }
    )
    differences = _differences(table, found.interactions, data, level)
    low, high = differences.loc["orders", ["ci_low", "ci_high"]].to_numpy(dtype=np.float64)
    before_p = float(found.placebo["p_value"].iloc[0])
    verdict = "confirmed" if low > 0 else "refuted" if high < 0 else "not known"
    return PromotionEffect(
        effects=table[_EFFECTS],
        differences=differences,
        money=_money(table),
        strata=read.strata,
        verdict="not known" if before_p < NO_LOTS else verdict,
        before_p=before_p,
        window=float(window),
        level=float(level),
    )


def _differences(
    table: pd.DataFrame, interactions: pd.DataFrame, data: pd.DataFrame, level: float
) -> pd.DataFrame:
    """Return how far the effects of the two groups differ, by outcome."""
    rows = table[table["by"] == "group"].set_index(["segment", "outcome"])
    driven, others = (rows.loc[name].loc[OUTCOMES] for name in (DRIVEN, OTHERS))
    groups = data.groupby("group")["customer_id"].nunique()
    variance = [one["standard_error"] ** 2 for one in (driven, others)]
    both = variance[0] + variance[1]
    # Welch and Satterthwaite; a group has one degree less than customers.
    df = both**2 / (
        variance[0] ** 2 / (groups[DRIVEN] - 1) + variance[1] ** 2 / (groups[OTHERS] - 1)
    )
    error = np.sqrt(both)
    difference = driven["effect"] - others["effect"]
    reach = stdtrit(df, (1 + level) / 2) * error
    tested = interactions[interactions["segment_by"] == "group"].set_index("outcome")
    return pd.DataFrame(
        {
            "driven": driven["effect"],
            "others": others["effect"],
            "difference": difference,
            "standard_error": error,
            "ci_low": difference - reach,
            "ci_high": difference + reach,
            "p_value": tested["p_value"].reindex(OUTCOMES),
        }
    )


def _money(table: pd.DataFrame) -> pd.DataFrame:
    """Return what 1,000 contacts gave away and earned, by group."""
    rows = table[table["outcome"] == "margin_before_discount"].reset_index(drop=True)
    result = rows[["by", "segment", "n_contacted"]].copy()
    for name, source in (
        ("discount_given", "discount_cost"),
        ("margin_before_discount", "margin"),
        ("contact_cost", "contact_cost"),
        ("net_profit", "net_profit"),
        ("net_profit_low", "net_profit_low"),
        ("net_profit_high", "net_profit_high"),
    ):
        result[name] = rows[source] / rows["n_contacted"] * 1000
    result["probability_of_profit"] = rows["probability_of_profit"]
    result["verdict"] = np.select(
        [result["net_profit_low"] > 0, result["net_profit_high"] < 0], ["earns", "loses"],
        "not known",
    )  # fmt: skip
    return result
