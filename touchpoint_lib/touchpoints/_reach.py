"""Who is in which stage, whom a channel has reached, and whom it could still reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import fail
from touchpoint_lib.touchpoints._clustered import clustered_rates

#: Customers who unsubscribed, of 1,000 contacts.
LEFT = ("unsubscribed_per_1000", "unsubscribed_low", "unsubscribed_high")


@dataclass(frozen=True, eq=False)
class Population:
    """The customers of a shop: where they were during the log, and where they are today.

    Attributes
    ----------
    there : DataFrame
        customer, by and stage: everybody who was in a stage during the log, a row each.
    today : DataFrame
        The same, of the last moment.
    """

    there: pd.DataFrame
    today: pd.DataFrame

    @classmethod
    def of(
        cls,
        history: pd.DataFrame,
        segment: pd.Series | None,
        first: pd.Timestamp,
        last: pd.Timestamp,
        until: pd.Timestamp,
    ) -> Population:
        """Return the population of a history of stages; the log runs from ``first`` to ``last``."""

        def between(begin: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
            rows = (history["start"] <= end) & ~(history["end"] <= begin)
            found = history.loc[rows, ["customer_id", "stage"]].drop_duplicates()
            everybody = found[["customer_id"]].drop_duplicates()
            parts = [everybody.assign(by="", stage="all"), found.assign(by="stage")]
            if segment is not None:
                known = everybody[everybody["customer_id"].isin(segment.index)]
                label = segment.reindex(known["customer_id"]).to_numpy()
                parts.append(known.assign(by="segment", stage=label))
            parts = [part.astype({"stage": object}) for part in parts]
            return pd.concat(parts, ignore_index=True)

        return cls(between(first, last), between(until, until))


def reached(
    data: pd.DataFrame, segments: list[str], people: Population, level: float
) -> pd.DataFrame:
    """Return by channel, by and stage: opportunities, contacts, held_out, customers, reach, cost.

    And who left, of 1,000 contacts with intervals. ``data`` are the opportunities that count.
    """
    parts = []
    for by in ("", *segments):
        keys = data.assign(by=by, cell="all" if by == "" else data[by].astype(object))
        made = ~keys["held_out"]
        groups = ["channel", "by", "cell"]
        of_all, of_made = keys.groupby(groups), keys[made].groupby(groups)
        found = of_all.size().rename("opportunities").to_frame()
        found["contacts"] = of_made.size()
        found["customers"] = of_made["customer_id"].nunique()
        found["spent"] = of_made["cost"].sum()
        left: list[Any] = [np.nan] * len(LEFT)
        if "unsubscribed" in keys.columns:
            left = list(
                clustered_rates(
                    keys.loc[made, "unsubscribed"].to_numpy(dtype=np.float64),
                    np.asarray(of_all.ngroup()[made], dtype=np.int64),
                    np.asarray(pd.factorize(keys.loc[made, "customer_id"])[0], dtype=np.int64),
                    len(found),
                    level,
                )
            )
        for name, rate in zip(LEFT, left, strict=True):
            found[name] = 1000 * rate
        parts.append(found.reset_index())
    table = pd.concat(parts, ignore_index=True).rename(columns={"cell": "stage"})
    counts = ["contacts", "customers"]
    table[counts] = table[counts].fillna(0).astype(np.int64)
    table["held_out"] = table["opportunities"] - table["contacts"]
    sent = table["contacts"].where(table["contacts"] > 0)
    table["cost_per_1000"] = 1000 * table.pop("spent") / sent
    there = people.there.groupby(["by", "stage"])["customer_id"].nunique().rename("there")
    table = table.join(there, on=["by", "stage"])
    table["reach"] = table["customers"] / table.pop("there")
    return table


def unreached(
    channels: list[Any],
    contacts: pd.DataFrame,
    people: Population,
    reachable: pd.DataFrame | None,
    since: pd.Timestamp,
    until: pd.Timestamp,
) -> pd.DataFrame:
    """Return by channel, by and stage: customers_today, and unreached, who could be contacted.

    Parameters
    ----------
    channels
        To be looked at.
    contacts
        Of all times: customer_id, time, channel, held_out, and unsubscribed where there is one.
    people
        The population.
    reachable
        Who agrees to which channel; None for everybody to all.
    since, until
        Contacts between them count as reached.
    """
    parts = []
    for channel in channels:
        mine = contacts[(contacts["channel"] == channel) & ~contacts["held_out"]]
        recent = mine.loc[(mine["time"] > since) & (mine["time"] <= until), "customer_id"]
        gone = mine["customer_id"].iloc[:0]
        if "unsubscribed" in mine.columns:
            gone = mine.loc[mine["unsubscribed"] & (mine["time"] <= until), "customer_id"]
        today = people.today
        open_to = ~today["customer_id"].isin(recent) & ~today["customer_id"].isin(gone)
        if reachable is not None and channel in reachable.columns:
            agrees = reachable.index[reachable[channel]]
            open_to &= today["customer_id"].isin(agrees)
        counted = today.assign(unreached=open_to).groupby(["by", "stage"])["unreached"]
        found = counted.agg(["size", "sum"]).reset_index().assign(channel=channel)
        parts.append(found)
    table = pd.concat(parts, ignore_index=True)
    return table.rename(columns={"size": "customers_today", "sum": "unreached"})


def check_reachable(reachable: pd.DataFrame | None) -> None:
    """Raise unless ``reachable`` says by customer and channel who agrees."""
    if reachable is None:
        return
    if not isinstance(reachable, pd.DataFrame):
        raise fail(
            f"reachable is a {type(reachable).__name__}",
            "pass a frame of truth values, a row a customer and a column a channel",
        )
    if not reachable.index.is_unique:
        raise fail("reachable has a customer several times", "keep one row of each")
    for name, kind in reachable.dtypes.items():
        if kind != np.bool_:
            raise fail(
                f"column {name!r} of reachable holds {kind}, no truth values",
                "convert it to True and False",
            )
