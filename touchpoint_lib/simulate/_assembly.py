"""From the blocks' columns to the shop's frames: in the order of time, with ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import IntArray
from touchpoint_lib.simulate._block import Look, Rules
from touchpoint_lib.simulate._columns import as_category, as_ids, as_times
from touchpoint_lib.simulate._tables import STATUS, Arrays
from touchpoint_lib.simulate.contacts import ShopContacts, ShopVisits
from touchpoint_lib.simulate.parcels import SCAN_EVENTS
from touchpoint_lib.simulate.reviews import vocabularies
from touchpoint_lib.simulate.settings import ShopArrivals

Frames = dict[str, pd.DataFrame]

#: The table into whose rows a column points.
_POINTS = {"order_row": "orders", "contact_row": "contacts", "coupon_row": "contacts"}

#: Columns of the tables that a process fills, with their types, for when it is switched off.
_EMPTY = {
    "payments": "order_id:id customer_id:id due_at:time reminded_at:time held_out:flag paid_at:time"
    " cancelled_at:time",
    "true_payments": "order_id:id own_paid_at:time",
    "parcels": "parcel_id:id order_id:id customer_id:id carrier:word province:word shipped_at:time"
    " promised_at:time delivered_at:time cared_at:time held_out:flag",
    "true_parcels": "parcel_id:id delivered_at:time late:flag delay_factor:number loss:number",
    "scans": "parcel_id:id time:time event:word",
    "contacts": "contact_id:id customer_id:id time:time channel:word campaign:word held_out:flag"
    " cost:number coupon:number coupon_until:time opened:flag clicked:flag unsubscribed:flag",
    "true_contacts": "contact_id:id alive:flag recent_contacts:small log_hazard:number",
    "true_other_orders": "contact_id:id time:time margin:number",
    "true_channels": "channel:text effect:number decay:number opportunities:count contacts:count",
    "visits": "customer_id:id time:time source:word",
    "reviews": "review_id:id order_id:id customer_id:id time:time rating:star text:word"
    " replied_at:time reply:word",
    "true_reviews": "review_id:id late:flag loss:number",
    "true_snapshots": "date:time customer_id:id alive:flag silence:number purchases:count"
    " recent_contacts:count probability_alive:number own_return:number",
}
_TYPES: dict[str, Any] = {
    "id": "int32",
    "time": "datetime64[us]",
    "flag": "bool",
    "word": pd.CategoricalDtype(pd.Index([], dtype="str")),
    "text": "str",
    "number": "float64",
    "small": "int16",
    "count": "int64",
    "star": "int8",
}


class Parts:
    """The blocks' tables, put together column by column as they come.

    Each column is one array with room for all ``blocks``: pages that are never written to cost
    nothing, and an array of this size goes back to the system when it is let go of, where the many
    small ones of the blocks would stay with the process.
    """

    def __init__(self, blocks: int = 1) -> None:
        self._blocks = blocks
        self._tables: dict[str, Arrays] = {}
        self._rows: dict[str, int] = {}
        self.looks: list[Look] = []

    def add(self, tables: dict[str, Arrays], looks: list[Look]) -> None:
        """Take a block's tables; rows of its orders and contacts become rows of the whole."""
        before = dict(self._rows)
        for name, table in tables.items():
            kept, first = self._tables.setdefault(name, {}), before.get(name, 0)
            for column, values in table.items():
                if column in _POINTS:
                    offset = before.get(_POINTS[column], 0)
                    values = np.where(values >= 0, values + offset, -1).astype(np.int32)
                stop = first + len(values)
                if column not in kept or len(kept[column]) < stop:
                    # Blocks are alike: a twentieth more is nearly always enough.
                    roomy = np.empty(stop + len(values) * self._blocks * 21 // 20, values.dtype)
                    roomy[:first] = kept[column][:first] if first else 0
                    kept[column] = roomy
                kept[column][first:stop] = values
            self._rows[name] = stop
        self.looks += looks

    def __contains__(self, table: str) -> bool:
        return table in self._tables

    def columns(self, table: str) -> list[str]:
        """Return the names of the columns that have not been taken."""
        return list(self._tables[table])

    def take(self, table: str, column: str) -> Any:
        """Return a column of all blocks, and let go of it."""
        return self._tables[table].pop(column)[: self._rows[table]]


def assembled(rules: Rules, arrivals: ShopArrivals, parts: Parts) -> Frames:
    """Return all frames by name, those of the truth as true_*."""
    sources = order_sources(rules.visits, rules.contacts)
    provinces = [province.name for province in arrivals.provinces]
    frames = _customers(rules, arrivals, parts)
    contact_id = np.zeros(0, dtype=np.int32)
    if rules.contacts is not None:
        contact_id, contacts = _contacts(rules.contacts, parts)
        frames.update(contacts)
    order_id, frames["orders"] = _orders(rules, parts, sources, contact_id)
    owner = frames["orders"]["customer_id"].to_numpy()
    by_time = np.argsort(order_id)
    if "payments" in parts:
        table = {name: parts.take("payments", name)[by_time] for name in parts.columns("payments")}
        own_paid_at = table.pop("true_own_paid_at")
        ids = {"order_id": np.sort(order_id), "customer_id": owner}
        frames["payments"] = _frame({**ids, **table})
        frames["true_payments"] = _frame({"order_id": ids["order_id"], "own_paid_at": own_paid_at})
    if "parcels" in parts:
        frames.update(_parcels(rules, parts, order_id, owner, provinces))
    if "reviews" in parts:
        frames.update(_reviews(rules, parts, order_id, owner))
    if "visits" in parts:
        time = parts.take("visits", "time")
        order = np.argsort(time, kind="stable")
        frames["visits"] = _frame(
            {
                "customer_id": parts.take("visits", "place")[order] + 1,
                "time": time[order],
                "source": as_category(parts.take("visits", "source")[order], sources),
            }
        )
    if "other_orders" in parts:
        ids = contact_id[parts.take("other_orders", "contact_row")]
        time = parts.take("other_orders", "time")
        order = np.lexsort((time, ids))
        frames["true_other_orders"] = _frame(
            {
                "contact_id": ids[order],
                "time": time[order],
                "margin": parts.take("other_orders", "margin")[order],
            }
        )
    if parts.looks:
        frames["true_snapshots"] = _snapshots(rules, parts.looks)
    for name, columns in _EMPTY.items():
        if name not in frames:
            kinds = dict(column.split(":") for column in columns.split())
            frames[name] = pd.DataFrame(columns=pd.Index(list(kinds), dtype="str")).astype(
                {column: _TYPES[kind] for column, kind in kinds.items()}
            )
    return frames


def _frame(columns: dict[str, Any]) -> pd.DataFrame:
    """Return a frame of the arrays themselves, not of copies."""
    return pd.DataFrame(columns, copy=False)


def order_sources(visits: ShopVisits | None, contacts: ShopContacts | None) -> list[str]:
    """Return the names of where visits and orders come from: by themselves, then by a click."""
    own = ["shop"] if visits is None else list(visits.sources)
    return own + ([] if contacts is None else [channel.name for channel in contacts.channels])


def _customers(rules: Rules, arrivals: ShopArrivals, parts: Parts) -> Frames:
    people, segments = rules.population, rules.segments
    order = np.argsort(parts.take("customers", "place"))
    # Two provinces may have a city of one name.
    cities = [city for province in arrivals.provinces for city in province.cities]
    names = sorted(set(cities))
    city = np.array([names.index(name) for name in cities], dtype=np.int8)[people.city]
    ids = np.arange(1, len(people) + 1, dtype=np.int32)
    left_at = parts.take("customers", "left_at")[order]
    last_purchase_at = parts.take("customers", "last_purchase_at")[order]
    stages = np.array([segment.regularity for segment in segments], dtype=np.int16)
    shape = np.array([segment.p for segment in segments])
    return {
        "customers": _frame(
            {
                "customer_id": ids,
                "registered_at": as_times(rules.start, people.arrived),
                "channel": as_category(people.channel, list(arrivals.channels)),
                "province": as_category(
                    people.province, [province.name for province in arrivals.provinces]
                ),
                "city": as_category(city, names),
                **{
                    name: parts.take("customers", name)[order]
                    for name in parts.columns("customers")
                },
            }
        ),
        "true_customers": _frame(
            {
                "customer_id": ids,
                "person": people.key.astype(np.int32),
                "segment": as_category(people.segment, [segment.name for segment in segments]),
                "regularity": stages[people.segment],
                "rate": people.rate,
                "dropout": people.dropout,
                "mean_value": shape[people.segment] / people.nu,
                "last_purchase_at": last_purchase_at,
                "left_at": left_at,
            }
        ),
    }


def _ranked(time: npt.NDArray[Any]) -> tuple[IntArray, npt.NDArray[np.int32]]:
    """Return the order of time, and for each row its id: 1, 2, ... in that order."""
    order = np.argsort(time, kind="stable")
    ids = np.empty(len(time), dtype=np.int32)
    ids[order] = np.arange(1, len(time) + 1, dtype=np.int32)
    return order, ids


def _orders(
    rules: Rules, parts: Parts, sources: list[str], contact_id: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], pd.DataFrame]:
    """Return the id of each row of the parts, and the frame."""
    time = parts.take("orders", "time")
    order, ids = _ranked(time)
    table: dict[str, Any] = {
        "order_id": np.arange(1, len(order) + 1, dtype=np.int32),
        "customer_id": parts.take("orders", "place")[order] + 1,
        "time": time[order],
    }
    for name in parts.columns("orders"):
        table[name] = parts.take("orders", name)[order]
    row = table.pop("coupon_row")
    if rules.contacts is not None:
        # Row -1 is none, and there may be no contact at all.
        table["coupon_contact_id"] = as_ids(np.append(contact_id, 0)[row], row >= 0)
    table["source"] = as_category(table["source"], sources)
    table["product"] = as_category(
        table["product"], [product.name for product in rules.goods.products]
    )
    table["status"] = as_category(table["status"], STATUS)
    return ids, _frame(table)


def _contacts(contacts: ShopContacts, parts: Parts) -> tuple[npt.NDArray[np.int32], Frames]:
    """Return the id of each row of the parts, and the frames."""
    time = parts.take("contacts", "time")
    order, ids = _ranked(time)
    numbers = np.arange(1, len(order) + 1, dtype=np.int32)
    table: dict[str, Any] = {
        "contact_id": numbers,
        "customer_id": parts.take("contacts", "place")[order] + 1,
        "time": time[order],
    }
    truth: dict[str, Any] = {"contact_id": numbers}
    for name in parts.columns("contacts"):
        into = truth if name.startswith("true_") else table
        into[name.removeprefix("true_")] = parts.take("contacts", name)[order]
    channels = [channel.name for channel in contacts.channels]
    table["channel"] = as_category(table["channel"], channels)
    table["campaign"] = as_category(
        table["campaign"], [campaign.name for campaign in contacts.campaigns]
    )
    frames = {"contacts": _frame(table), "true_contacts": _frame(truth)}
    frames["true_channels"] = _channels(contacts, frames["contacts"], frames["true_contacts"])
    return ids, frames


def _channels(contacts: ShopContacts, made: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return what each channel really does, and did."""
    by_channel = made["channel"].cat.codes.to_numpy()
    sent = ~made["held_out"].to_numpy()
    n = len(contacts.channels)

    def total(values: npt.NDArray[Any]) -> Any:
        return np.bincount(by_channel, weights=values, minlength=n)

    table: dict[str, Any] = {
        "channel": [channel.name for channel in contacts.channels],
        "effect": [channel.effect for channel in contacts.channels],
        "decay": [channel.decay for channel in contacts.channels],
        "opportunities": np.bincount(by_channel, minlength=n),
        "contacts": total(sent).astype(np.int64),
    }
    if "orders_contacted" in truth:
        known = sent & truth["orders_contacted"].notna().to_numpy()
        made_of = {
            name: total(np.where(known, truth[name].to_numpy(), 0.0))
            for name in truth.columns
            if name.endswith(("_contacted", "_held_out"))
        }
        gained = made_of["orders_contacted"] - made_of["orders_held_out"]
        behind = made_of["orders_contacted"]
        table["followed"] = np.bincount(by_channel[known], minlength=n)
        table["incremental_orders"] = gained
        table["incremental_margin"] = np.round(
            made_of["margin_contacted"] - made_of["margin_held_out"], 2
        )
        table["incremental_share"] = np.divide(
            gained, behind, out=np.full(n, np.nan), where=behind > 0
        )
    return pd.DataFrame(table)


def _parcels(
    rules: Rules,
    parts: Parts,
    order_id: npt.NDArray[np.int32],
    owner: npt.NDArray[Any],
    provinces: list[str],
) -> Frames:
    """Return parcels, their scans, and the truth."""
    ids = order_id[parts.take("parcels", "order_row")]
    order = np.argsort(ids)
    ids = ids[order]
    numbers = np.arange(1, len(ids) + 1, dtype=np.int32)
    table: dict[str, Any] = {
        "parcel_id": numbers,
        "order_id": ids,
        "customer_id": owner[ids - 1],
    }
    truth: dict[str, Any] = {"parcel_id": numbers}
    for name in parts.columns("parcels"):
        into = truth if name.startswith("true_") else table
        into[name.removeprefix("true_")] = parts.take("parcels", name)[order]
    table["carrier"] = as_category(table["carrier"], [one.name for one in rules.carriers])
    table["province"] = as_category(table["province"], provinces)
    parcel_of = np.zeros(len(order_id) + 1, dtype=np.int32)
    parcel_of[ids] = numbers
    parcel = parcel_of[order_id[parts.take("scans", "order_row")]]
    # The scans of a parcel come in the order of time.
    order = np.argsort(parcel, kind="stable")
    return {
        "parcels": _frame(table),
        "true_parcels": _frame(truth),
        "scans": _frame(
            {
                "parcel_id": parcel[order],
                "time": parts.take("scans", "time")[order],
                "event": as_category(parts.take("scans", "event")[order], SCAN_EVENTS),
            }
        ),
    }


def _reviews(
    rules: Rules, parts: Parts, order_id: npt.NDArray[np.int32], owner: npt.NDArray[Any]
) -> Frames:
    """Return reviews and the truth."""
    time = parts.take("reviews", "time")
    order, _ = _ranked(time)
    ids = order_id[parts.take("reviews", "order_row")][order]
    numbers = np.arange(1, len(order) + 1, dtype=np.int32)
    table: dict[str, Any] = {
        "review_id": numbers,
        "order_id": ids,
        "customer_id": owner[ids - 1],
        "time": time[order],
    }
    truth: dict[str, Any] = {"review_id": numbers}
    for name in parts.columns("reviews"):
        into = truth if name.startswith("true_") else table
        into[name.removeprefix("true_")] = parts.take("reviews", name)[order]
    texts, replies = vocabularies(rules.goods.products)
    table["text"] = as_category(table["text"], texts).remove_unused_categories()
    table["reply"] = as_category(table["reply"], replies).remove_unused_categories()
    return {"reviews": _frame(table), "true_reviews": _frame(truth)}


def _snapshots(rules: Rules, looks: list[Look]) -> pd.DataFrame:
    """Return the truth about customers on some days, by day and customer."""
    sizes = [len(look.place) for look in looks]
    day = np.repeat(np.array([look.day for look in looks], dtype=np.float64), sizes)
    place = np.concatenate([look.place for look in looks])
    order = np.lexsort((place, day))
    names = ["alive", "silence", "purchases", "recent_contacts", "probability_alive", "own_return"]
    return _frame(
        {
            "date": as_times(rules.start, day[order]),
            "customer_id": (place[order] + 1).astype(np.int32),
            **{
                name: np.concatenate([getattr(look, name) for look in looks])[order]
                for name in names
            },
        }
    )
