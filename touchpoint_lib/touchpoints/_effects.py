"""What a channel earns, by stage: from its lots, or beside moments without a contact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from touchpoint_lib._checks import check_number
from touchpoint_lib.campaigns._propensity import OverlapError
from touchpoint_lib.campaigns._table import holm
from touchpoint_lib.campaigns.effects import evaluate_campaign
from touchpoint_lib.campaigns.money import CampaignCosts

#: Customers that an arm of a campaign must have in a cell: an error by fewer is too small.
LEAST = 20
#: Customers with an order that an arm of a cell must have: intervals of fewer are too short.
LEAST_BUYERS = 20
#: Below this p those held out were no lot.
_NO_LOT = 0.001
_HELD_OUT = "held out"
#: What the effect of a channel without a lot is called.
ADJUSTED = "adjusted"
#: What a lot cannot depend on.
_BEFORE = ("silence", "age", "orders_before")
EFFECTS = (
    "orders_per_1000",
    "orders_low",
    "orders_high",
    "margin_per_1000",
    "margin_low",
    "margin_high",
    "profit_per_1000",
    "profit_low",
    "profit_high",
    "p_value",
    "p_adjusted",
    "profit_p",
    "profit_p_adjusted",
)


@dataclass(frozen=True)
class Earning:
    """The column of orders that earns, and what a unit of it earns."""

    column: str
    rate: float

    @classmethod
    def of(cls, margin: Any) -> Earning:
        """Return what ``margin`` says: a column, or the share of the amount."""
        if isinstance(margin, str):
            return cls(margin, 1.0)
        return cls("amount", check_number("margin", margin, gt=0))


def channel_effects(
    data: pd.DataFrame,
    earning: Earning,
    segments: list[str],
    covariates: Sequence[str],
    level: float,
    compared: pd.DataFrame | None,
) -> pd.DataFrame:
    """Return the cells of a channel: by, stage, method, compared, figures of effect and reason.

    Parameters
    ----------
    data
        The opportunities of the channel as `contact_outcomes` returns them, with campaign, cost and
        the columns ``segments``.
    earning
        What orders earn.
    segments
        Columns whose values make cells.
    covariates
        What the effect is adjusted for.
    level
        Of the intervals.
    compared
        Moments without a contact, in the form of ``data``, for a channel without a lot.
    """
    drawn = data["arm"] == _HELD_OUT
    reason, method = "", "random holdout"
    if drawn.all():
        reason = "everybody was held out"
    elif drawn.any():
        reason = _no_lot(data)
    elif compared is None:
        reason = "nobody was held out"
    else:
        data, method = pd.concat([data, compared], ignore_index=True), ADJUSTED
    tables = []
    for by in ("", *segments):
        labels = ["all"] if by == "" else list(data[by].sort_values().unique())
        if reason:
            cells = pd.DataFrame({"stage": labels}).assign(method="", reason=reason, compared=0)
        else:
            cells = _estimated(data, by, labels, earning, covariates, level, method)
        tables.append(cells.astype({"stage": object}).assign(by=by))
    table = pd.concat(tables, ignore_index=True)
    table = table.reindex(columns=["by", "stage", "method", "compared", "reason", *EFFECTS])
    for by in ("", *segments):
        mine = table["by"] == by
        for name, adjusted in (("p_value", "p_adjusted"), ("profit_p", "profit_p_adjusted")):
            table.loc[mine, adjusted] = holm(table.loc[mine, name].to_numpy(dtype=np.float64))
    return table


def _no_lot(data: pd.DataFrame) -> str:
    """Return why those held out cannot have been drawn by lot, "" if they can."""
    checked = _in_both_arms(data, "campaign")
    if checked.empty:
        return ""
    found = evaluate_campaign(
        checked,
        arm="arm",
        control=_HELD_OUT,
        outcomes="orders",
        covariates=_BEFORE,
        segments="campaign",
        cluster="customer_id",
    ).table
    own = found[(found["segment_by"] == "campaign") & found["balance_p"].notna()]
    worst = own["balance_p"].min() * len(own)
    # Without a p they were all alike.
    if own.empty or worst >= _NO_LOT:
        return ""
    where = own.sort_values("balance_p")["segment"].iloc[0]
    of = f" of {where}" if where else ""
    return (
        f"those held out{of} were other customers before the contact than those contacted "
        f"(p = {worst:.1g}): no lot was drawn"
    )


def _in_both_arms(data: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Return the rows of campaigns with enough customers in both arms of a cell.

    A campaign without the other arm in a cell would be compared with another campaign's.
    """
    sizes = _customers(data, list(keys))
    large = sizes.index[(sizes >= LEAST).all(axis=1)]
    cells = data.set_index(list(keys)).index
    return data[cells.isin(large)]


def _estimated(
    data: pd.DataFrame,
    by: str,
    labels: list[Any],
    earning: Earning,
    covariates: Sequence[str],
    level: float,
    method: str,
) -> pd.DataFrame:
    """Return the cells of one column with their effects, or the reason where one has none."""
    by_lot = method == "random holdout"
    cell = pd.Series("all", index=data.index) if by == "" else data[by]
    data = data.assign(cell=cell.map({label: place for place, label in enumerate(labels)}))
    data["cell"] = data["cell"].astype(np.int64)
    rows = _in_both_arms(data, "campaign", "cell") if by_lot else data
    smaller = {
        "customers": _customers(rows, ["cell"]).min(axis=1),
        "buyers": _customers(rows[rows["orders"] > 0], ["cell"]).min(axis=1),
    }
    reasons = {}
    for place in range(len(labels)):
        least = {what: int(sizes.get(place, 0)) for what, sizes in smaller.items()}
        if least["customers"] < LEAST:
            reasons[place] = f"no campaign has {LEAST} customers in each arm"
        elif least["buyers"] < LEAST_BUYERS:
            reasons[place] = (
                f"only {least['buyers']} customers of an arm ordered; {LEAST_BUYERS} are the least"
            )
    kept = rows[~rows["cell"].isin(reasons)]
    found = pd.DataFrame()
    if not kept.empty:
        names = [*covariates]
        if by_lot and len(kept["campaign"].unique()) > 1:
            names.append("campaign")
        try:
            found = evaluate_campaign(
                kept,
                arm="arm",
                control=_HELD_OUT,
                outcomes=list(dict.fromkeys(["orders", earning.column])),
                method=("lin" if names else "difference") if by_lot else "aipw",
                covariates=names,
                segments="cell",
                cluster="customer_id",
                costs={earning.column: CampaignCosts(margin=earning.rate, contact="cost")},
                level=level,
                estimand="all" if by_lot else "treated",
                randomised=by_lot,
            ).table
        except OverlapError as error:
            reasons = dict.fromkeys(range(len(labels)), str(error))
    used = rows["cell"].value_counts()
    cells = []
    for place, label in enumerate(labels):
        one = {"stage": label, "method": "", "compared": 0, "reason": reasons.get(place, "")}
        if not one["reason"]:
            one |= {
                "compared": int(used[place]),
                "method": method,
                **_figures(found, place, earning, level),
            }
        cells.append(one)
    return pd.DataFrame(cells)


def _customers(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return how many customers each arm of a cell has."""
    different = rows.drop_duplicates([*keys, "arm", "customer_id"])
    sizes = different.groupby([*keys, "arm"], observed=True).size().rename("n").reset_index()
    wide = sizes.pivot_table(index=keys, columns="arm", values="n", aggfunc="sum", fill_value=0)
    return wide.reindex(columns=["contacted", _HELD_OUT], fill_value=0)


def _figures(found: pd.DataFrame, place: int, earning: Earning, level: float) -> dict[str, Any]:
    """Return the figures of a cell, or the reason why they are not known."""
    mine = found[(found["segment_by"] == "cell") & (found["segment"] == str(place))]
    mine = mine.set_index("outcome")
    one, earned = mine.loc["orders"], mine.loc[earning.column]
    if not np.isfinite([one["ci_low"], earned["net_profit_low"]]).all():
        return {"compared": 0, "method": "", "reason": one["warnings"] or "orders do not vary"}
    share = 1000 / earned["n_treated"]
    money = {
        f"{name}_{end}": share * earned[f"{source}{column}"]
        for name, source in (("margin", "margin"), ("profit", "net_profit"))
        for end, column in (("per_1000", ""), ("low", "_low"), ("high", "_high"))
    }
    half = (earned["net_profit_high"] - earned["net_profit_low"]) / 2
    # Below 1 - level where the interval leaves out 0.
    reach = float(ndtri((1 + level) / 2)) * abs(earned["net_profit"]) / half
    return {
        "profit_p": 2 * float(ndtr(-reach)),
        "orders_per_1000": 1000 * one["effect"],
        "orders_low": 1000 * one["ci_low"],
        "orders_high": 1000 * one["ci_high"],
        "p_value": one["p_value"],
        **money,
    }
