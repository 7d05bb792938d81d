"""What a contact calendar is made from: customers with their lines, holidays, earlier contacts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray, check_columns, check_values, fail
from touchpoint_lib.data.days import to_date, to_day
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import check_rows, customer_frame
from touchpoint_lib.segments import last_day, sleep_states
from touchpoint_lib.timing._columns import check_labels
from touchpoint_lib.timing.policies import Policy

#: Columns of a calendar besides the customer.
COLUMNS = (
    *("date", "purchases", "state", "line", "action", "reason", "silence", "own_return"),
    *("reached", "discount", "expected_wasted", "expected_money", "promotion_driven"),
)


@dataclass(frozen=True)
class Base:
    """Customers, sorted, and how many days from the last one observed they take to cross what."""

    #: With times in days.
    customers: pd.DataFrame
    #: The columns of them that the model looks at.
    history: pd.DataFrame
    #: Number of the last day observed.
    today: int
    #: On that day.
    silence: FloatArray
    #: Until the drowsy, half asleep and asleep lines, shape (3, n); none before the one above.
    lines: FloatArray
    #: Until the end of the own cycle; inf without one.
    cycle: FloatArray


def base_of(
    model: PurchaseModel, customers: Any, lines: Any, policy: Policy | pd.Series | None
) -> Base:
    """Return the customers with their lines, as days from the last one observed."""
    frame = customer_frame(customers)
    if frame.index.nlevels > 1 or not frame.index.is_unique:
        raise fail(
            "the index of customers does not name each customer once",
            "pass the frame of rfm_summary or rfm_split",
        )
    if frame.index.name in COLUMNS:
        raise fail(
            f"the customers are named {frame.index.name!r}, like a column of the calendar",
            'rename them: customers.rename_axis("customer_id")',
        )
    if not frame.index.is_monotonic_increasing:
        try:
            frame = frame.sort_index()
        except TypeError:
            raise fail(
                "the index of customers holds ids of mixed types",
                "give all the same type, such as customers.index.astype(str)",
            ) from None
    states = sleep_states(model, frame, lines)
    observed = last_day(frame, check_rows(frame), model)
    if observed is None:
        raise fail(
            "the last day of observation of customers is not known, or not in days or weeks",
            "pass the frame of rfm_summary or rfm_split",
        )
    today, unit = observed
    age, recency = frame["T"], frame["recency"]
    if unit != 1:
        # Sevenths of weeks are not exact.
        age, recency = (age * unit).round(9), (recency * unit).round(9)
    in_days = frame.assign(T=age, recency=recency)
    if "log_gaps" in frame.columns:
        in_days["log_gaps"] += frame["frequency"] * np.log(unit)
    in_days.attrs = {"unit": "D", "until": to_date(today).isoformat()}
    silence = (age - recency).round(9).to_numpy()
    crossed = states[["drowsy_on", "half_asleep_on", "asleep_on"]].to_numpy().T
    wait = (crossed - np.datetime64(to_date(today))) / np.timedelta64(1, "D")
    # No day for the line: it is never crossed, or after the year 9999.
    wait = np.where(np.isnan(wait), np.inf, wait)
    if policy is not None:
        # The cycle ends when the policy says so, and nobody sleeps before that.
        wait[0] = _days_until(_policy_days(policy, in_days), silence)
        wait = np.maximum(wait, wait[0])
    bought = frame["frequency"].to_numpy()
    gap = np.where(bought > 0, recency.to_numpy() / np.maximum(bought, 1), np.inf)
    # Covariates may stand in any column; without them two are enough, and quicker to pick.
    plain = getattr(model, "_covariates", None) is None
    history = in_days[["frequency", "recency"]] if plain else in_days
    return Base(in_days, history, today, silence, wait, _days_until(gap, silence))


def _policy_days(policy: Policy | pd.Series, customers: pd.DataFrame) -> FloatArray:
    """Return the silence that ends the cycle of each customer, in days; inf for never."""
    if isinstance(policy, pd.Series):
        return _looked_up(policy, customers.index)
    if isinstance(policy, type) or not hasattr(policy, "silence"):
        raise fail(
            f"policy is a {type(policy).__name__}",
            "pass an object with silence(frame), such as FixedDays(60), or a Series of days by "
            "customer",
        )
    days = check_values("the silence of policy", policy.silence(customers), ge=0, infinite=True)
    if days.shape != (len(customers),):
        raise fail(
            f"the silence of policy has shape {days.shape} for {len(customers)} customers",
            "it must return one number a row of the frame it is given",
        )
    return days


def _looked_up(days: pd.Series, customers: pd.Index[Any]) -> FloatArray:
    """Return the days of the customers, from a Series that may hold others too."""
    if days.index.nlevels > 1:
        raise fail(
            f"the index of policy has {days.index.nlevels} levels", "it must be the customer alone"
        )
    own = days[days.index.isin(customers)]
    if not own.index.is_unique:
        twice = own.index[own.index.duplicated()][0]
        raise fail(
            f"policy has several values of customer {twice!r}",
            "pass one each: of a row a spell the last is policy.groupby(level=0).last()",
        )
    place = own.index.get_indexer(customers)
    if (place < 0).any():
        unknown = customers[place < 0]
        raise fail(
            f"policy has no value of customer {unknown[0]!r} ({len(unknown):,} such customers)",
            "pass a Series with every customer, with ids of the same type, such as "
            "policy.reindex(customers.index, fill_value=np.inf)",
        )
    return check_values("policy", own.iloc[place], ge=0, infinite=True, index=customers)


def _days_until(line: FloatArray, silence: FloatArray) -> FloatArray:
    """Return the days until silence has reached a line."""
    return np.ceil((line - silence).round(9))


def named_days(holidays: Any, today: int, window: int) -> dict[int, str]:
    """Return the names of the holidays of the window, by their day in it."""
    if isinstance(holidays, str) or not isinstance(holidays, Iterable):
        raise fail(
            f"holidays is {holidays!r}", "pass a list of dates, or a dict of dates and names"
        )
    found: dict[int, str] = {}
    for given in holidays:
        day = to_day("holidays", given) - today
        name = holidays[given] if isinstance(holidays, Mapping) else ""
        if not isinstance(name, str):
            raise fail(f"the name of the holiday {given} is {name!r}", "it must be a text")
        if day in found:
            raise fail(f"holidays has {to_date(day + today)} twice", "keep one of them")
        found[day] = f"holiday {name}".strip()
    return {day: found[day] for day in sorted(found) if 1 <= day <= window}


def earlier_contacts(contacts: Any, customer: str, time: str, base: Base) -> pd.DataFrame:
    """Return the contacts already made: position of the customer, and day (0: the last one)."""
    if contacts is None:
        return pd.DataFrame({"who": np.array([], np.int64), "day": np.array([], np.int64)})
    check_columns(
        contacts, [customer, time], "contacts", "name them: contact_customer=, contact_time="
    )
    ids, moment = contacts[customer], contacts[time]
    if not pd.api.types.is_datetime64_dtype(moment):
        raise fail(
            f"{time} of contacts is of type {moment.dtype}",
            "pass datetimes without a time zone, such as pd.to_datetime(...)",
        )
    for name, column in ((customer, ids), (time, moment)):
        if column.isna().any():
            raise fail(
                f"{name} of contacts is missing in {int(column.isna().sum()):,} rows",
                "fill or remove them",
            )
    day = moment.to_numpy().astype("datetime64[D]").astype(np.int64) - base.today
    if (day > 0).any():
        raise fail(
            f"{int((day > 0).sum()):,} contacts lie after {to_date(base.today)}, the last day of "
            "customers",
            "pass those made up to that day",
        )
    check_labels(f"{customer} of contacts", ids)
    place = base.customers.index.get_indexer(pd.Index(ids))
    known = place >= 0
    if len(place) and not known.any():
        raise fail(
            f"none of the {len(place):,} contacts is of one of customers (the first is of "
            f"{ids.iloc[0]!r}, customers has {base.customers.index[0]!r})",
            "use the same ids, of the same type",
        )
    return pd.DataFrame({"who": place[known], "day": day[known]})
