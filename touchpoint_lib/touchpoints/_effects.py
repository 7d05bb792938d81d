"""What a channel earns, by stage: from its lots, or beside moments without a contact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import check_number
from touchpoint_lib.campaigns._propensity import OverlapError
from touchpoint_lib.campaigns.effects import evaluate_campaign
from touchpoint_lib.campaigns.money import CampaignCosts

#: Customers that an arm of a cell must have: an error by fewer customers is too small.
LEAST = 20
#: Below this p those held out were no lot.
_NO_LOT = 0.001
_HELD_OUT = "held out"
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
    """Return the cells of a channel: by, stage, method, figures of effect and reason.

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
    lots = data.groupby("campaign")["arm"].transform("nunique") == 2
    drawn = data[lots]
    cells = [("", "all"), *((by, label) for by in segments for label in _labels(data[by]))]
    if not drawn.empty:
        reason = _no_lot(drawn, covariates)
        if not reason:
            return _estimated(drawn, cells, earning, segments, covariates, level, "random holdout")
    elif compared is not None:
        both = pd.concat([data, compared], ignore_index=True)
        return _estimated(both, cells, earning, segments, covariates, level, "adjusted")
    elif (data["arm"] == _HELD_OUT).all():
        reason = "everybody was held out"
    else:
        reason = "nobody was held out"
    return _unknown(cells, reason)


def _unknown(cells: list[tuple[str, Any]], reason: str) -> pd.DataFrame:
    table = pd.DataFrame(cells, columns=["by", "stage"]).assign(method="", reason=reason)
    table[list(EFFECTS)] = np.nan
    return table


def _labels(column: pd.Series) -> list[Any]:
    """Return the values of a column that are there, sorted (categories in their order)."""
    return list(column.sort_values().unique())


def _no_lot(data: pd.DataFrame, covariates: Sequence[str]) -> str:
    """Return why those held out cannot have been drawn by lot, "" if they can."""
    if not covariates:
        return ""
    least = data.groupby(["campaign", "arm"], observed=True)["customer_id"].nunique()
    large = least.groupby("campaign").min() >= LEAST
    checked = data[data["campaign"].isin(large.index[large])]
    if checked.empty:
        return ""
    found = evaluate_campaign(
        checked,
        arm="arm",
        control=_HELD_OUT,
        outcomes="orders",
        covariates=covariates,
        segments="campaign",
        cluster="customer_id",
    ).table
    own = found[found["segment_by"] == "campaign"]
    worst = own["balance_p"].min() * len(own)
    if worst >= _NO_LOT:
        return ""
    where = own.loc[own["balance_p"].idxmin(), "segment"]
    of = f" of {where}" if where else ""
    return (
        f"those held out{of} were other customers before the contact than those contacted "
        f"(p = {worst:.1g}): no lot was drawn"
    )


def _estimated(
    data: pd.DataFrame,
    cells: list[tuple[str, Any]],
    earning: Earning,
    segments: list[str],
    covariates: Sequence[str],
    level: float,
    method: str,
) -> pd.DataFrame:
    """Return the cells with their effects, and the reason where a cell has none."""
    by_lot = method == "random holdout"
    sizes = {("", "all"): _customers(data)}
    for by in segments:
        for label, part in data.groupby(by, observed=True):
            sizes[by, label] = _customers(part)
    few = {
        cell: f"only {sizes.get(cell, 0)} customers in the smaller arm; {LEAST} are the least"
        for cell in cells
        if sizes.get(cell, 0) < LEAST
    }
    if ("", "all") in few:
        return _unknown(cells, few["", "all"])
    names = [*covariates]
    if by_lot and len(data["campaign"].unique()) > 1:
        names.append("campaign")
    # Cells that are too small would stop the others.
    large = [cell for cell in cells if cell not in few]
    try:
        found = evaluate_campaign(
            data,
            arm="arm",
            control=_HELD_OUT,
            outcomes=list(dict.fromkeys(["orders", earning.column])),
            method=("lin" if names else "difference") if by_lot else "aipw",
            covariates=names,
            segments=segments,
            cluster="customer_id",
            costs={earning.column: CampaignCosts(margin=earning.rate, contact="cost")},
            level=level,
            estimand="all" if by_lot else "treated",
            randomised=by_lot,
        ).table
    except OverlapError as error:
        return _unknown(cells, str(error))
    by_cell = found.set_index(["outcome", "segment_by", "segment"])
    rows = []
    for cell in cells:
        row: dict[str, Any] = {"by": cell[0], "stage": cell[1], "method": method, "reason": ""}
        if cell not in large:
            rows.append({**row, "method": "", "reason": few[cell]})
            continue
        one, earned = (by_cell.loc[(name, *cell)] for name in ("orders", earning.column))
        row |= {"p_value": one["p_value"], "p_adjusted": one["p_adjusted"]}
        row |= {
            "orders_per_1000": 1000 * one["effect"],
            "orders_low": 1000 * one["ci_low"],
            "orders_high": 1000 * one["ci_high"],
        }
        share = 1000 / earned["n_treated"]
        for name, source in (("margin", "margin"), ("profit", "net_profit")):
            row |= {
                f"{name}_per_1000": share * earned[source],
                f"{name}_low": share * earned[f"{source}_low"],
                f"{name}_high": share * earned[f"{source}_high"],
            }
        if not np.isfinite(row["orders_low"]) or not np.isfinite(row["profit_low"]):
            why = one["warnings"] or "orders do not vary"
            row |= dict.fromkeys(EFFECTS, np.nan) | {"method": "", "reason": why}
        rows.append(row)
    return pd.DataFrame(rows, columns=["by", "stage", "method", "reason", *EFFECTS])


def _customers(data: pd.DataFrame) -> int:
    """Return how many customers the smaller arm has."""
    counts = data.groupby("arm")["customer_id"].nunique()
    return int(counts.min()) if len(counts) == 2 else 0
