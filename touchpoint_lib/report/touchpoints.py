"""What the touchpoint notebook needs besides the library: own files, and the truth of a shop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import numpy as np
import pandas as pd

from touchpoint_lib._checks import InputError, fail
from touchpoint_lib.charts._forest import amounts
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.charts.touchpoints import (
    touchpoint_cells_data,
    touchpoint_cells_verdict,
    touchpoint_effects_data,
    touchpoint_effects_verdict,
)
from touchpoint_lib.data.contacts import contact_log
from touchpoint_lib.data.orders import order_log
from touchpoint_lib.report.headline import Headline, Tile
from touchpoint_lib.simulate.shop import Shop
from touchpoint_lib.touchpoints._pressure_log import ALL
from touchpoint_lib.touchpoints.matrix import TouchpointMatrix
from touchpoint_lib.touchpoints.pressure import ContactPressure
from touchpoint_lib.touchpoints.stages import stage_at

_DAY = pd.Timedelta(days=1)
#: Columns of a contact log that are looked for under their own names.
_USUAL = ("campaign", "held_out", "cost", "coupon", "opened", "clicked", "unsubscribed")


def read_touchpoints(
    contacts: str,
    transactions: str,
    *,
    customer: str = "customer_id",
    time: str = "date",
    amount: str = "amount",
    contact_time: str = "time",
    channel: str = "channel",
    order: str | None = None,
    tz: str | None = None,
    on_bad: str = "raise",
    **columns: str | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the contact log and the order log of two files.

    Parameters
    ----------
    contacts, transactions : str
        Paths or patterns of CSV or Parquet files.
    customer : str
        Column of the customer in both.
    time, amount, order
        Columns of the orders.
    contact_time, channel
        Columns of the contacts.
    tz, on_bad
        As for `contact_log`.
    columns
        Further columns of the contacts by what they are: campaign, held_out, cost, coupon, opened,
        clicked, unsubscribed. One that is None is taken where the file has a column of that name;
        without a cost, contacts cost nothing.

    Raises
    ------
    InputError
        As `contact_log` and `order_log` do; the message says of which file. Also if ``columns`` has
        another name.
    """
    odd = [name for name in columns if name not in _USUAL]
    if odd:
        raise fail(f"a contact has no column {odd[0]!r}", f"name one of {', '.join(_USUAL)}")
    there = _header(contacts)
    named = {name: columns.get(name) or (name if name in there else None) for name in _USUAL}
    with _told_of("the contact log", time="contact_time"):
        found = contact_log(
            contacts, customer, contact_time, channel, **named, tz=tz, on_bad=on_bad
        )
    if "cost" not in found.columns:
        found["cost"] = 0.0
    with _told_of("the purchase log"):
        orders = order_log(transactions, customer, time, amount, order=order, tz=tz, on_bad=on_bad)
    return found, orders


def _header(path: str) -> list[str]:
    """Return the columns of a file, or of the files of a pattern; none where it cannot be read."""
    read = duckdb.read_parquet if path.lower().endswith((".parquet", ".pq")) else duckdb.read_csv
    try:
        return list(read(path, union_by_name=True).columns)
    except duckdb.Error:
        # Reading the log says what is wrong with it.
        return []


@contextmanager
def _told_of(what: str, **renamed: str) -> Iterator[None]:
    """Say of which log an error is, and call arguments as the notebook does."""
    try:
        yield
    except InputError as error:
        message = str(error)
        for name, to in renamed.items():
            message = re.sub(rf"\b{name}=", f"{to}=", message)
        raise InputError(f"{what}: {message}") from None


def shop_touchpoints(shop: Shop) -> tuple[pd.DataFrame, pd.DataFrame, pd.Timestamp]:
    """Return contacts, paid orders and the last moment of a simulated shop.

    A contact acts from the next day on, so its time is the end of its day: windows then count the
    days that the truth counts.

    Parameters
    ----------
    shop : Shop
        As simulated, not spoilt.

    Raises
    ------
    InputError
        If the log is spoilt (``dirt``).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import report
    >>> contacts, paid, until = report.shop_touchpoints(tp.load_shop())
    >>> len(contacts), len(paid), str(until.date())
    (99526, 29852, '2025-12-31')
    """
    if shop.call["dirt"] is not None:
        raise fail("the log of the shop is spoilt", "simulate it without dirt=")
    end = shop.call["start"] + shop.call["days"] * _DAY - pd.Timedelta("1us")
    contacts = shop.contacts.assign(
        time=shop.contacts["time"].dt.floor("D") + _DAY - pd.Timedelta("1us")
    )
    return contacts, shop.orders[shop.orders["status"] == "paid"], end


def check_outcomes(shop: Shop, what: str, window: float) -> None:
    """Raise unless the shop knows both outcomes of a contact in the days that ``what`` counts."""
    known = shop.call["outcome_days"]
    if known != window:
        has = "no second outcome of contacts" if known is None else f"both outcomes in {known} days"
        raise fail(
            f"the shop knows {has}, {what} counts {window:g} days",
            f"count the same days, or simulate the shop with outcome_days={window:g}",
        )


def shop_matrix_truth(shop: Shop, history: pd.DataFrame, matrix: TouchpointMatrix) -> pd.DataFrame:
    """Return what a contact truly adds, by channel and stage, per 1,000 contacts.

    Parameters
    ----------
    shop : Shop
        With both outcomes of every contact (``outcome_days``).
    history : DataFrame
        The stages with which the matrix was made.
    matrix : TouchpointMatrix
        Of the contacts of `shop_touchpoints`, with ``window`` equal to ``outcome_days``.

    Returns
    -------
    DataFrame
        channel, by, stage, orders, margin and profit: means over the opportunities that the matrix
        counts of the outcome if contacted less that if held out.

    Raises
    ------
    InputError
        If the shop does not know both outcomes in this window.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import report
    >>> shop = tp.load_shop()
    >>> contacts, paid, until = report.shop_touchpoints(shop)
    >>> history = tp.stage_history(paid, tp.ModifiedBetaGeoModel().fit(
    ...     tp.rfm_summary(paid, time="time")))
    >>> matrix = tp.touchpoint_matrix(contacts, paid, history, window=90, until=until)
    >>> truth = report.shop_matrix_truth(shop, history, matrix)
    >>> truth.loc[truth["by"] == "", ["channel", "orders"]].round(1).to_dict("records")[-1]
    {'channel': 'social', 'orders': 0.0}
    """
    check_outcomes(shop, "the matrix", matrix.window)
    contacts, _, _ = shop_touchpoints(shop)
    rows = contacts.merge(shop.truth.contacts, on="contact_id")
    rows["stage"] = stage_at(history, rows).astype(object)
    over = matrix.until - rows["time"] >= pd.Timedelta(days=matrix.window)
    rows = rows[over & rows["stage"].notna()].astype({"channel": str})
    for name in ("orders", "margin"):
        rows[name] = 1000 * (rows[f"{name}_contacted"] - rows[f"{name}_held_out"])
    spent = rows[~rows["held_out"]].groupby("channel")["cost"].mean()
    rows["profit"] = rows["margin"] - 1000 * rows["channel"].map(spent)
    parts = [rows.assign(by="", stage="all"), rows.assign(by="stage")]
    measures = ["orders", "margin", "profit"]
    cells = pd.concat(parts, ignore_index=True).groupby(["by", "channel", "stage"])[measures]
    return cells.mean().reset_index()[["channel", "by", "stage", *measures]]


def touchpoints_headline(
    matrix: TouchpointMatrix,
    pressure: ContactPressure,
    source: str,
    truth: pd.DataFrame | None = None,
) -> Headline:
    """Return question, verdict, tiles and provenance of the touchpoint notebook.

    Parameters
    ----------
    matrix : TouchpointMatrix
        From `touchpoint_matrix`.
    pressure : ContactPressure
        From `contact_pressure`.
    source : str
        Name of the logs.
    truth : DataFrame, optional
        From `shop_matrix_truth`.
    """
    effects = touchpoint_effects_data(matrix, "orders", truth)
    cells = touchpoint_cells_data(matrix, "profit")
    level = f"{100 * matrix.level:g}%"
    tiles = []
    for row in effects[effects["state"] != "not identified"].head(2).to_dict("records"):
        known = [row["truth"]] if np.isfinite(row["truth"]) else []
        one, low, high, *true = amounts(
            [row["value"], row["low"], row["high"], *known], signed=True
        )
        tiles.append(
            Tile(
                f"Orders added by 1,000 contacts: {row['channel']}",
                one,
                f"{level}: {low} to {high}",
                f"the truth: {true[0]}" if true else f"{row['contacts']:,} contacts",
            )
        )
    inside = cells[cells["by"] != ""]
    counts = inside["state"].value_counts()
    tiles.append(
        Tile(
            "Cells of channel and stage that clearly pay",
            f"{counts.get('gains', 0)} of {len(inside)}",
            "",
            f"{counts.get('loses', 0)} lose, {counts.get('not known', 0)} not known, "
            f"{counts.get('not identified', 0)} not identified",
        )
    )
    whole = pressure.caps[pressure.caps["channel"] == ALL].iloc[0]
    over = "" if pressure.n_over is None else counted(pressure.n_over, "customer", "customers")
    best, told = {
        "not identified": ("not identified", ""),
        "not proven": ("not proven", f"the best guess: {pressure.cap}"),
    }.get(whole["verdict"], (f"{pressure.cap}", f"{over} had more"))
    tiles.append(
        Tile(
            f"Best number of contacts in {pressure.days:g} days",
            best,
            "" if pressure.cap is None else f"{level}: {pressure.best_range}",
            told,
        )
    )
    says = [touchpoint_effects_verdict(effects), touchpoint_cells_verdict(cells)]
    # Not where nothing is proven: the tile has the interval.
    if whole["verdict"] in ("limit", "no limit seen", "stop"):
        says.append(pressure.statement)
    channels = matrix.table[matrix.table["by"] == ""]
    facts = {
        "Source": source,
        "Opportunities": f"{channels['opportunities'].sum():,} ({channels['held_out'].sum():,} "
        "held out)",
        "Window": f"{matrix.window:g} days after a contact",
        "Known up to": f"{matrix.until:%Y-%m-%d}",
    }
    if (channels["cost_per_1000"].fillna(0) == 0).all():
        facts["Costs"] = "none in the log of contacts: all count as free"
    facts |= {f"Left out: {why}": f"{n:,}" for why, n in matrix.left_out.items() if n}
    return Headline("Which contact at which stage earns its keep?", " ".join(says), tiles, facts)
