"""The campaigns of a simulated shop: their experiment, their truth, and what others would claim."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import check_choice, check_integer, fail
from touchpoint_lib.campaigns.effects import evaluate_campaign
from touchpoint_lib.campaigns.outcomes import contact_outcomes
from touchpoint_lib.report.touchpoints import check_outcomes, shop_touchpoints
from touchpoint_lib.simulate.shop import Shop

_DAY = pd.Timedelta(days=1)


def shop_experiment(
    shop: Shop, window: int, *, campaign: str | None = None, channel: str | None = None
) -> pd.DataFrame:
    """Return a campaign, or the first opportunity of each customer in a channel, as an experiment.

    Parameters
    ----------
    shop : Shop
        From `simulate_shop` or `load_shop`.
    window : int
        Days behind the day of the contact in which orders count, at least 1; as in the truth of
        the shop.
    campaign, channel : str
        Name of one or the other.

    Returns
    -------
    DataFrame
        A row a customer who had paid for an order by then: contact_id, customer_id, time (the end
        of the day of the contact), known_at (the end of the window), arm ("contacted", "held
        out"), opened, cost (yuan), orders and their earned (yuan: margin before this contact's
        coupon, which is after other discounts), coupon (yuan taken off by this contact's coupon)
        and margin (earned - coupon) in the window; as of the contact silence and age (days),
        orders_before, earned_before, asleep ("under 90 days", "90 to 180 days", "over 180 days")
        and on_discount (orders bought on discount: "never", "sometimes", "mostly"); and
        orders_last_window, as many days before the contact. Later contacts whose window ends
        behind the log are left out, as are customers without a paid order.

    Raises
    ------
    InputError
        If there is no such campaign or channel, not one of the two is given, the shop's log is
        spoilt (``dirt``), or no window ends within it.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import report
    >>> data = report.shop_experiment(tp.load_shop(), 90, campaign="win back")
    >>> data["arm"].value_counts().to_dict()
    {'contacted': 1476, 'held out': 1389}
    """
    check_integer("window", window, ge=1)
    contacts, paid, end = shop_touchpoints(shop)
    chosen = _opportunities(contacts, campaign, channel)
    first = chosen["customer_id"].map(paid.groupby("customer_id")["time"].min())
    chosen = chosen[(first <= chosen["time"]) & (chosen["time"] + window * _DAY <= end)]
    if chosen.empty:
        raise fail(
            f"no contact with a customer who had paid for an order has {window} days behind it",
            "pass a shorter window",
        )
    taken = paid["list_amount"] - paid["amount"]
    by_coupon = paid["coupon_contact_id"].isin(chosen["contact_id"]).to_numpy(dtype=bool)
    coupon = taken.where(by_coupon, 0.0)
    orders = paid.assign(
        coupon=coupon, earned=paid["margin"] + coupon, discounted=(taken > 0).astype(np.float64)
    )
    sums = ["earned", "coupon", "margin", "discounted"]
    keep = ["contact_id", "opened", "cost"]
    data, recent = (
        contact_outcomes(
            chosen, orders, window=window, before=days, amounts=sums, keep=keep, until=end
        )
        for days in (0, window)
    )
    share = data["discounted_before"] / data["orders_before"]
    return data.assign(
        known_at=data["time"] + window * _DAY,
        orders_last_window=recent["orders_before"],
        asleep=np.select(
            [data["silence"] < 90, data["silence"] <= 180],
            ["under 90 days", "90 to 180 days"],
            "over 180 days",
        ),
        on_discount=np.select([share == 0, share <= 0.5], ["never", "sometimes"], "mostly"),
    ).drop(columns=["discounted", "discounted_before", "coupon_before", "margin_before"])


def _opportunities(
    contacts: pd.DataFrame, campaign: str | None, channel: str | None
) -> pd.DataFrame:
    if (campaign is None) == (channel is None):
        raise fail("campaign and channel are given both or neither", "name one of the two")
    if campaign is not None:
        names = list(contacts["campaign"].dropna().unique())
        if not names:
            raise fail(
                f"campaign is {campaign!r}, the shop has none",
                "name a channel, or simulate the shop with contacts=ShopContacts(campaigns=...)",
            )
        check_choice("campaign", campaign, names)
        return contacts[(contacts["campaign"] == campaign).fillna(False).to_numpy(dtype=bool)]
    check_choice("channel", channel, list(contacts["channel"].unique()))
    ordinary = contacts["campaign"].isna() & (contacts["channel"] == channel)
    return contacts[ordinary.to_numpy(dtype=bool)].drop_duplicates("customer_id")


def shop_effect(shop: Shop, data: pd.DataFrame) -> pd.Series:
    """Return the true effect on those of an experiment, per customer.

    Parameters
    ----------
    shop : Shop
        With both outcomes of every contact (``outcome_days``).
    data : DataFrame
        From `shop_experiment`, with ``window`` equal to ``outcome_days``.

    Returns
    -------
    Series
        orders and margin (after the coupon, before the cost of the contact): the mean over all
        rows of the outcome if contacted less that if held out.

    Raises
    ------
    InputError
        If the shop does not know both outcomes in this window.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import report
    >>> shop = tp.load_shop()
    >>> data = report.shop_experiment(shop, 90, campaign="win back")
    >>> report.shop_effect(shop, data).round(3).to_dict()
    {'orders': 0.089, 'margin': 0.002}
    """
    check_outcomes(shop, "data", data.attrs["window"])
    truth = shop.truth.contacts.set_index("contact_id").loc[data["contact_id"].to_numpy()]
    return pd.Series(
        {
            name: (truth[f"{name}_contacted"] - truth[f"{name}_held_out"]).mean()
            for name in ("orders", "margin")
        }
    )


def shop_claims(shop: Shop, data: pd.DataFrame) -> pd.DataFrame:
    """Return what several ways of reckoning claim that a contact brings in orders.

    Parameters
    ----------
    shop : Shop
        With both outcomes of every contact.
    data : DataFrame
        From `shop_experiment`, of the same window.

    Returns
    -------
    DataFrame
        claim, effect (orders per contacted customer), ci_low, ci_high (95 %): the experiment, once
        plain and once with covariates; contacted against the same time before; orders by the last
        click or the coupon; those who opened against the holdout. ``attrs`` holds truth, unit
        and n (customers).

    Raises
    ------
    InputError
        If the shop does not know both outcomes in this window, or nobody was held out.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import report
    >>> shop = tp.load_shop()
    >>> data = report.shop_experiment(shop, 90, campaign="win back")
    >>> claims = report.shop_claims(shop, data)
    >>> round(claims.attrs["truth"], 3), len(claims)
    (0.089, 5)
    """
    truth = float(shop_effect(shop, data)["orders"])
    contacted = data[data["arm"] == "contacted"]
    window = data.attrs["window"] * _DAY
    orders = shop.orders[shop.orders["status"] == "paid"]
    # The last click names its channel; a coupon names its contact.
    mine = orders.merge(
        contacted[["customer_id", "contact_id", "time"]].rename(columns={"time": "contacted_at"}),
        on="customer_id",
    )
    within = (mine["time"] > mine["contacted_at"]) & (mine["time"] <= mine["contacted_at"] + window)
    channels = shop.contacts.set_index("contact_id")["channel"]
    clicked = mine["source"].astype("str") == mine["contact_id"].map(channels).astype("str")
    used = (mine["coupon_contact_id"] == mine["contact_id"]).fillna(False)
    counted = mine[within & (clicked | used)].groupby("contact_id").size()
    credited = contacted["contact_id"].map(counted).fillna(0)
    held = data["arm"] == "held out"
    experiment: dict[str, Any] = {"arm": "arm", "control": "held out", "outcomes": "orders"}
    names = ["silence", "age", "orders_before", "on_discount"]
    rows = {
        "experiment": evaluate_campaign(data, **experiment),
        "experiment with covariates": evaluate_campaign(
            data, **experiment, method="lin", covariates=names
        ),
        "before and after": evaluate_campaign(
            contacted,
            arm="arm",
            outcomes="orders",
            method="before_after",
            before="orders_last_window",
        ),
        "last click or coupon": evaluate_campaign(
            contacted.assign(orders=credited, nothing=0),
            arm="arm",
            outcomes="orders",
            method="before_after",
            before="nothing",
        ),
        "openers only": evaluate_campaign(data[data["opened"] | held], **experiment),
    }
    claims = pd.concat(
        [
            found.to_frame()[["effect", "ci_low", "ci_high"]].assign(claim=name)
            for name, found in rows.items()
        ],
        ignore_index=True,
    )[["claim", "effect", "ci_low", "ci_high"]]
    claims.attrs = {"truth": truth, "unit": "orders per contacted customer", "n": len(data)}
    return claims
