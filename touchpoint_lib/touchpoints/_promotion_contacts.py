"""Coupon contacts and those withheld of the same campaigns, with what was bought behind each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    BoolArray,
    check_columns,
    check_present,
    check_values,
    fail,
    first_of,
)
from touchpoint_lib.campaigns._events import DAY, check_same_day, end_of, flags, moments
from touchpoint_lib.campaigns.outcomes import contact_outcomes

CONTACTS_REMEDY = "make it with contact_log(...), or rename"
DRIVEN, OTHERS = "promotion-driven", "others"
#: What is counted in the window of each contact.
OUTCOMES = [
    "orders",
    "discounted_orders",
    "full_price_orders",
    "margin",
    "discount_given",
    "margin_before_discount",
]


@dataclass(frozen=True, eq=False)
class CouponContacts:
    """A row a judged opportunity, and where the rows of each stratum went."""

    data: pd.DataFrame
    strata: pd.DataFrame


def coupon_strata(contacts: pd.DataFrame) -> pd.Series:
    """Return the channel, and the campaign where there is one, within which lots were drawn."""
    for column in ("customer_id", "channel"):
        check_present("contacts", contacts, column)
    stratum = contacts["channel"].astype("str")
    if "campaign" in contacts.columns:
        campaign = contacts["campaign"]
        named = campaign.notna()
        stratum = stratum.where(~named, stratum + ": " + campaign.astype("str"))
    return stratum


def coupons(contacts: pd.DataFrame) -> BoolArray:
    """Return which contacts came with a coupon."""
    depth = check_values("coupon of contacts", contacts["coupon"], ge=0, index=contacts.index)
    return depth > 0


def customer_groups(contacts: pd.DataFrame, driven: Any) -> pd.Series:
    """Return of each contact whether its customer is promotion-driven; missing where unknown."""
    if not isinstance(driven, pd.Series):
        raise fail(f"driven is a {type(driven).__name__}", "pass a Series of bool by customer_id")
    if not pd.api.types.is_bool_dtype(driven.dtype) or driven.isna().any():
        raise fail(
            f"driven holds {driven.dtype} values, no truth values everywhere",
            "pass promotion_dependence(...)['promotion_driven']",
        )
    if not driven.index.is_unique:
        raise fail("driven has a customer several times", "pass one value a customer")
    made = driven.attrs.get("until")
    if made is not None:
        time = moments("contacts", contacts, "time")
        last = pd.Timestamp(made)
        if (last.tz is None) != (time.tz is None):
            raise fail(
                f"driven was made from orders up to {made}, time of contacts has the zone "
                f"{time.tz}",
                "bring all times to one zone: tz_localize() or tz_convert()",
            )
        early = time <= last
        if early.any():
            raise fail(
                f"driven was made from orders up to {made}, which is not before the contact at "
                f"index {first_of(contacts.index, early)} ({int(early.sum()):,} such contacts)",
                "what a contact led to must not decide the group: pass until= from before the "
                "first contact to promotion_dependence, or only later contacts",
            )
    groups = pd.Series(np.where(driven, DRIVEN, OTHERS), index=driven.index, dtype="str")
    owner = contacts["customer_id"]
    if isinstance(owner.dtype, pd.CategoricalDtype):
        owner = owner.astype(owner.cat.categories.dtype)
    return owner.map(groups)


def read_contacts(
    contacts: pd.DataFrame,
    orders: pd.DataFrame,
    driven: Any,
    *,
    stage: Any,
    window: float,
    until: Any,
) -> CouponContacts:
    """Return the opportunities that can be judged; ``orders`` are those of `priced_orders`."""
    needed = ["customer_id", "time", "channel", "held_out", "cost", "coupon"]
    check_columns(contacts, needed, "contacts", CONTACTS_REMEDY)
    if len(contacts) == 0:
        raise fail("contacts has no rows", "pass a row an opportunity")
    if not contacts.index.is_unique:
        raise fail(
            "the index of contacts is not unique", "make it so: contacts.reset_index(drop=True)"
        )
    withheld, offered = flags("contacts", contacts, "held_out"), coupons(contacts)
    cost = check_values("cost of contacts", contacts["cost"], ge=0, index=contacts.index)
    time = moments("contacts", contacts, "time")
    stratum = coupon_strata(contacts)
    group = customer_groups(contacts, driven)
    end = end_of(until, pd.DatetimeIndex(orders["time"]), "time")
    if (time.tz is None) != (end.tz is None):
        raise fail(
            f"time of contacts has the time zone {time.tz}, time of orders {end.tz}",
            "bring all times to one zone: tz_localize() or tz_convert()",
        )
    check_same_day(contacts, time, orders, pd.DatetimeIndex(orders["time"]))
    classed = group.notna().to_numpy()
    # As contact_outcomes counts.
    over = pd.DatetimeIndex([end]).as_unit("us").asi8[0] - time.asi8 >= window * DAY
    table = pd.DataFrame(
        {
            "stratum": stratum.to_numpy(),
            "coupons": offered & ~withheld,
            "unclassed": ~classed,
            "unfinished": classed & ~over,
            "contacted": classed & over & ~withheld,
            "held_out": classed & over & withheld,
        }
    )
    strata = table.groupby("stratum").sum()
    strata.insert(0, "opportunities", table.groupby("stratum").size())
    sent = (table["stratum"][~withheld]).value_counts().reindex(strata.index, fill_value=0)
    strata["coupon_share"] = strata["coupons"] / sent.where(sent > 0)
    reason = np.select(
        [
            strata["coupons"] == 0,
            strata["contacted"] + strata["held_out"] == 0,
            strata["held_out"] < 2,
            strata["contacted"] < 2,
        ],
        [
            "no coupons",
            "no contact of a known customer whose window is over",
            "not identified: less than two held out",
            "less than two contacted",
        ],
        "",
    )
    strata["left_out"] = reason
    if (reason != "").all():
        listed = "; ".join(f"{name}: {why}" for name, why in strata["left_out"].items())
        raise fail(
            f"no campaign can be judged ({listed})",
            "pass whole campaigns with coupons, their held-out opportunities included",
        )
    used = strata.index[reason == ""]
    rows = classed & over & stratum.isin(used).to_numpy()
    chosen = contacts.loc[rows, ["customer_id", "time", "held_out"]].assign(
        cost=cost[rows], stratum=stratum[rows]
    )
    off = orders["off"] > 0
    bought = orders.assign(
        discounted_orders=off.astype(np.int64),
        full_price_orders=(~off).astype(np.int64),
        discount_given=orders["off"],
        margin_before_discount=orders["margin"] + orders["off"],
    )
    data = contact_outcomes(
        chosen,
        bought,
        window=window,
        amounts=OUTCOMES[1:],
        until=end,
        keep=["cost", "stratum"],
    )
    data["group"] = group[rows]
    if stage is not None:
        data["stage"] = _stages(stage, contacts)[rows]
    return CouponContacts(data, strata.drop(columns="coupons"))


def _stages(stage: Any, contacts: pd.DataFrame) -> pd.Series:
    """Return the stage of each contact, as text."""
    if not isinstance(stage, pd.Series):
        raise fail(f"stage is a {type(stage).__name__}", "pass a Series on the index of contacts")
    if not stage.index.equals(contacts.index):
        raise fail(
            "stage has another index than contacts", "pass a Series on the index of contacts"
        )
    if stage.isna().any():
        raise fail(
            f"stage is missing at index {first_of(stage.index, stage.isna())} "
            f"({int(stage.isna().sum()):,} contacts)",
            "give those a name of their own, or leave these contacts out",
        )
    return stage.astype("str")
