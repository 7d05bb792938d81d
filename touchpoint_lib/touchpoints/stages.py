"""The lifecycle stage (生命周期阶段) of every customer at every moment of a log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import UNIT_DAYS, IntArray, check_columns, check_present, fail, first_of
from touchpoint_lib.campaigns._events import DAY, History, customer_codes, end_of, moments
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.segments import silence_lines
from touchpoint_lib.touchpoints._frames import check_log

__all__ = ["stage_at", "stage_history"]

#: From the first order on: new until the first line, then as `sleep_states`.
STAGES = ("new", "awake", "drowsy", "half asleep", "asleep")
COLUMNS = ("customer_id", "start", "end", "stage")
#: Days behind which no calendar reaches.
_FOREVER = 4e6


def stage_history(
    orders: pd.DataFrame,
    model: PurchaseModel,
    *,
    lines: Sequence[float] = (0.8, 0.5, 0.2),
    until: Any = None,
) -> pd.DataFrame:
    """Return who was in which stage from when to when: new, awake, drowsy, half asleep, asleep.

    A purchase makes a customer awake, the first one new (新客); silence takes both over the lines
    of `sleep_states`, each customer's own, to drowsy (瞌睡), half asleep (半睡) and asleep (沉睡).
    A stage knows nothing that came later, but for the parameters of the model, which all share:
    fit it on an earlier part of the log if that matters.

    Parameters
    ----------
    orders : DataFrame
        A row an order, as from `order_log`: customer_id, time. What does not count as a purchase
        is left out before.
    model : PurchaseModel
        Fitted, in days or weeks. BG/NBD is refused: it holds one-time customers alive for ever.
    lines : sequence of three floats
        As for `sleep_states`.
    until : date or time, optional
        The last moment observed (a date: to its end); by default that of the last order.

    Returns
    -------
    DataFrame
        Sorted by customer_id and start, a row a stage: customer_id, start (the moment of the
        purchase, or 0:00 of the day on which a line was crossed), end (of the next stage; NaT for
        the last), stage (an ordered category), purchases (days with a purchase so far). A line that
        is crossed on the same day as a deeper one makes no row. ``attrs`` holds until.

    Raises
    ------
    InputError
        If a column is missing or not of its kind, the model or the lines cannot be used, or
        ``until`` lies before an order.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> log = tp.load_cdnow(sample=True).rename(columns={"date": "time"})
    >>> model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(log, time="time"))
    >>> history = tp.stage_history(log, model)
    >>> history.loc[history["customer_id"] == "00004", ["start", "stage", "purchases"]].head(4)
           start        stage  purchases
    0 1997-01-01          new          1
    1 1997-01-18        awake          2
    2 1997-03-07       drowsy          2
    3 1997-06-16  half asleep          2
    """
    bought = check_log("orders", orders)
    if not isinstance(model, PurchaseModel) or not hasattr(model, "unit_"):
        what = "a class" if isinstance(model, type) else f"a {type(model).__name__}"
        raise fail(f"model is {what}, not fitted", "pass a fitted ModifiedBetaGeoModel")
    if model.unit_ not in UNIT_DAYS:
        raise fail(f"model has the unit {model.unit_!r}", 'fit it in days ("D") or weeks ("W")')
    last = end_of(until, bought, "time")
    if last < bought.max():
        raise fail(
            f"until is {last}, before the last order ({bought.max()})",
            "leave later orders out, or pass a later until",
        )
    who, ids = pd.factorize(orders["customer_id"], sort=True)
    visits = _visits(who.astype(np.int64), bought.asi8, model.unit_)
    gaps, _ = silence_lines(model, visits, lines)
    person, begin = visits["who"].to_numpy(), visits["start"].to_numpy()
    more = np.append(person[1:] == person[:-1], False)
    stop = np.where(
        more, np.append(begin[1:], 0), pd.DatetimeIndex([last]).as_unit("us").asi8[0] + 1
    )
    # From 0:00 of the first day on which the silence, in whole days, has reached a line.
    wait = np.ceil(np.minimum(gaps * UNIT_DAYS[model.unit_], _FOREVER).round(9)).astype(np.int64)
    crossed = visits["day"].to_numpy()[:, None] * DAY + wait * DAY
    starts = np.column_stack([begin, np.maximum(crossed, begin[:, None])])
    ends = np.column_stack([np.minimum(starts[:, 1:], stop[:, None]), stop])
    row, code = np.nonzero(starts < ends)
    time = pd.DatetimeIndex(starts[row, code].astype("datetime64[us]"))
    code = np.where((code == 0) & (visits["frequency"].to_numpy()[row] == 0), 0, code + 1)
    person = person[row]
    history = pd.DataFrame(
        {
            "customer_id": ids.take(person),
            "start": time,
            "end": time[1:].append(time[:1]).where(np.append(person[1:] == person[:-1], False)),
            "stage": pd.Categorical.from_codes(code, pd.Index(STAGES), ordered=True),
            "purchases": visits["frequency"].to_numpy(dtype=np.int64)[row] + 1,
        }
    )
    history.attrs["until"] = str(last)
    return history


def _visits(who: IntArray, time: IntArray, unit: str) -> pd.DataFrame:
    """Return a row a customer and day with a purchase, sorted: who, day, start, and the history.

    ``start`` is the first purchase of the day, in microseconds; frequency and recency (in the unit)
    are those of `rfm_summary` on that day.
    """
    order = np.lexsort((time, who))
    who, time = who[order], time[order]
    day = time // DAY
    fresh = np.append(True, (who[1:] != who[:-1]) | (day[1:] != day[:-1]))
    who, time, day = who[fresh], time[fresh], day[fresh]
    first = np.append(True, who[1:] != who[:-1])
    begin = np.maximum.accumulate(np.where(first, np.arange(len(who)), 0))
    return pd.DataFrame(
        {
            "who": who,
            "day": day,
            "start": time,
            "frequency": (np.arange(len(who)) - begin).astype(np.float64),
            "recency": (day - day[begin]) / UNIT_DAYS[unit],
        }
    )


def stage_at(history: pd.DataFrame, contacts: pd.DataFrame) -> pd.Series:
    """Return the stage of a customer at a moment, such as that of a contact.

    Parameters
    ----------
    history : DataFrame
        From `stage_history`, or any frame of customer_id, start, end (NaT: still lasts) and stage.
    contacts : DataFrame
        customer_id and time: of contacts, parcels, or any other rows.

    Returns
    -------
    Series
        On the index of ``contacts``, named stage: the category that holds at the moment, missing
        where the customer is in none (no order up to it). Behind the end of the history it is the
        last stage that is known there, though silence went on: make it with a later ``until``.

    Raises
    ------
    InputError
        If a column is missing or not of its kind, a customer has two stages at one moment, a stage
        ends before it starts, or no customer of ``contacts`` is in ``history``.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))
    >>> history = tp.stage_history(paid, model)
    >>> tp.stage_at(history, shop.contacts).value_counts(sort=False).to_dict()
    {'new': 19084, 'awake': 39911, 'drowsy': 26830, 'half asleep': 9297, 'asleep': 2765}
    """
    entered = check_history(history)
    at = check_log("contacts", contacts)
    who, owner = customer_codes(contacts, history, "customer_id", ("contacts", "history"))
    stages = History.of(owner, entered.asi8)
    place = stages.upto(who, at.asi8)
    row = stages.order[place - 1]
    over = pd.DatetimeIndex(history["end"])[row] <= at
    codes = history["stage"].cat.codes.to_numpy()[row]
    codes = np.where((place == stages.start[who]) | over, -1, codes)
    kind: Any = history["stage"].dtype
    found = pd.Categorical.from_codes(codes, dtype=kind)
    return pd.Series(found, index=contacts.index, name="stage")


def check_history(history: Any) -> pd.DatetimeIndex:
    """Return the starts of a history of stages; raise where it cannot be one."""
    check_columns(history, COLUMNS, "history", "make it with stage_history(...)")
    if len(history) == 0:
        raise fail("history has no rows", "pass at least one stage")
    check_present("history", history, "customer_id")
    check_present("history", history, "stage")
    if not isinstance(history["stage"].dtype, pd.CategoricalDtype):
        raise fail(
            f"stage of history holds {history['stage'].dtype}, no categories",
            'convert it: history["stage"].astype("category")',
        )
    if not pd.api.types.is_datetime64_any_dtype(history["end"].dtype):
        raise fail(
            f"end of history holds {history['end'].dtype}, no times",
            'convert it: pd.to_datetime(history["end"])',
        )
    start = moments("history", history, "start")
    for name, zone in (("start", start.tz), ("end", pd.DatetimeIndex(history["end"]).tz)):
        if zone is not None:
            raise fail(
                f"{name} of history has the time zone {zone}",
                f'pass what the clocks showed: history["{name}"].dt.tz_localize(None)',
            )
    twice = history.duplicated(["customer_id", "start"]).to_numpy()
    if twice.any():
        raise fail(
            f"customer {first_of(history['customer_id'], twice)} has two stages from one moment on",
            "keep one of them",
        )
    _check_spells(history, start.asi8)
    return start


def _check_spells(history: pd.DataFrame, start: IntArray) -> None:
    """Raise where a stage ends before it starts, or behind the start of the customer's next."""
    known = history["end"].notna().to_numpy()
    end = pd.DatetimeIndex(history["end"]).as_unit("us").asi8
    end = np.where(known, end, np.iinfo(np.int64).max)
    if (end < start).any():
        raise fail(
            f"a stage of customer {first_of(history['customer_id'], end < start)} ends before it "
            "starts",
            "correct start and end of history",
        )
    who = pd.factorize(history["customer_id"])[0]
    order = np.lexsort((start, who))
    both = np.zeros(len(history), dtype=np.bool_)
    both[order[:-1]] = (np.diff(who[order]) == 0) & (end[order[:-1]] > start[order[1:]])
    if both.any():
        raise fail(
            f"customer {first_of(history['customer_id'], both)} has two stages at one moment "
            f"({int(both.sum()):,} such stages)",
            "let a stage end where the next one starts",
        )
