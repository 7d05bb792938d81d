"""The figure of care for late parcels (晚到关怀), and what it shares with those of reviews."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import fail
from touchpoint_lib.charts._forest import (
    LINE,
    add_labels,
    amounts,
    bounded,
    finish_high,
    joined,
    name_rows,
    shortened,
    significant,
    whiskers,
)
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text
from touchpoint_lib.charts.demand import share_told
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.metrics._shared import wilson_interval
from touchpoint_lib.touchpoints.care import ParcelCare

BOUNDS = ["value", "value_low", "value_high"]
#: Between panels above each other: the axis below one, and its title in a line and in two.
GAP, GAP_2 = 80, 100
#: An axis of shares, with room for a point at its ends.
PERCENT: dict[str, Any] = {"range": [-2, 102], "ticksuffix": "%"}
#: Outcomes that a title names at most.
_FEW = 2
#: The comparisons of parcels, and what their rows are called.
_PARTS = {"care": "care (by lot)", "lateness": "lateness (descriptive)"}
#: What became of a late parcel.
_CARE = ("cared for in time", "cared for too late", "held out at random", "missed")


def care_chart_data(care: ParcelCare) -> pd.DataFrame:
    """Return who was cared for among the late parcels, and what care was worth.

    Parameters
    ----------
    care : ParcelCare
        From `parcel_care`.

    Returns
    -------
    DataFrame
        part, name, n, value, value_low, value_high (six significant digits). Part "late parcels": a
        row each for "cared for in time", "cared for too late", "held out at random" (and not cared
        for) and "missed", which add up, with their share of the late parcels (Wilson's interval;
        NaN where none was late). Part "care": a row an outcome, what 1,000 cared for brought,
        causal; n are the parcels cared for. Part "lateness": by how much 1,000 late parcels without
        care differ from others, descriptive; n are the late ones. Parts that are not identified
        have no rows.
        ``attrs`` holds level, window, n_judged, n_late, n_cared, error_rate (of those cared for,
        with error_rate_low and error_rate_high: not late), n_breached and why.

    Raises
    ------
    InputError
        If ``care`` is something else.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> data = charts.care_chart_data(tp.parcel_care(shop.parcels, paid, window=90))
    >>> data[["part", "name", "n", "value", "value_low", "value_high"]].round(2)
               part                name     n     value  value_low  value_high
    0  late parcels   cared for in time  1828      0.49       0.48        0.51
    1  late parcels  cared for too late     0      0.00       0.00        0.00
    2  late parcels  held out at random  1866      0.51       0.49        0.52
    3  late parcels              missed     0      0.00       0.00        0.00
    4          care              orders  1305    349.34     220.34      478.34
    5          care              margin  1305  14832.60    4567.86    25097.30
    6      lateness              orders  1259   -569.40    -682.60     -456.21
    7      lateness              margin  1259 -30112.80  -39914.70   -20311.00
    """
    if not isinstance(care, ParcelCare):
        raise fail(f"care is a {type(care).__name__}", "pass the result of parcel_care")
    late = care.parcels[care.parcels["late"]]
    cared, held = late["cared"], late["held_out"]
    masks = (late["in_time"], cared & ~late["in_time"], held & ~cared, ~held & ~cared)
    n_late, rows = len(late), []
    for name, mask in zip(_CARE, masks, strict=True):
        n = int(mask.sum())
        share = n / n_late if n_late else np.nan
        rows.append(("late parcels", name, n, share, *wilson_interval(n, n_late, care.level)))
    for part, table, count in (
        ("care", care.worth, "n_cared"),
        ("lateness", care.lateness, "n_late"),
    ):
        names = ["outcome", count, "per_1000", "per_1000_low", "per_1000_high"]
        rows += [(part, *row) for row in table[names].itertuples(index=False, name=None)]
    data = pd.DataFrame(rows, columns=["part", "name", "n", *BOUNDS])
    data[BOUNDS] = data[BOUNDS].apply(significant)
    rates: Any = care.rates.loc["cared for"]
    data.attrs = {
        "level": care.level,
        "window": care.window,
        "n_judged": care.n_judged,
        "n_late": n_late,
        "n_cared": int(rates["n_flagged"]),
        **{
            f"error_rate{end}": float(f"{rates[f'error_rate{end}']:.6g}")
            for end in ("", "_low", "_high")
        },
        "n_breached": care.n_breached,
        "why": care.why,
    }
    return data


def care_chart_verdict(data: pd.DataFrame) -> str:
    """Return whether care brought anything, who was cared for and who was missed.

    Parameters
    ----------
    data : DataFrame
        From `care_chart_data`.
    """
    about = data.attrs
    level = about["level"]
    worth, lateness = (
        [
            f"{clear_told(row, level)} {row['name']}"
            for row in data[data["part"] == part].to_dict("records")
        ]
        for part in ("care", "lateness")
    )
    judged = counted(about["n_judged"], "parcel judged", "parcels judged")
    if about["n_late"]:
        told = [
            f"{share_told(row, 'value', level)} were {row['name']}"
            if row["n"]
            else f"none was {row['name']}"
            for row in data[data["part"] == "late parcels"].to_dict("records")
        ]
        who = f"Of {about['n_late']:,} late among {judged}, {joined(told)}"
    else:
        who = f"None of {judged} was late"
    if about["n_cared"]:
        wrong = share_told(about, "error_rate", level)
        who += f"; of {about['n_cared']:,} cared for, {wrong} were not late"
    if about["n_breached"]:
        who += f"; of those held out, {about['n_breached']:,} were cared for nevertheless"
    if worth:
        brought = f"In {about['window']:g} days 1,000 cared for brought {joined(worth)}"
        says = [f"{brought}, compared with those held out at random. {who}."]
    else:
        says = [f"{who}. {about['why']}"]
    if lateness:
        says.append(
            f"1,000 late ones without care are followed by {joined(lateness)}, compared with "
            "others like them: a description, as nobody drew lots for lateness."
        )
    return " ".join(says)


def care_chart(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw who was cared for among the late, and below what care brought and lateness cost.

    Parameters
    ----------
    data : DataFrame
        From `care_chart_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    level = about["level"]
    shares = data[data["part"] == "late parcels"]
    effects = data[data["part"] != "late parcels"]
    outcomes = list(dict.fromkeys(effects["name"]))
    heights = [panel_height(len(shares)), *[panel_height(2)] * len(outcomes)]
    inner = sum(heights) + GAP * len(outcomes)
    figure = make_subplots(
        rows=len(heights),
        cols=1,
        row_heights=heights,
        vertical_spacing=GAP / inner if outcomes else 0,
    )
    known = shares[shares["value"].notna()].to_dict("records")
    add_points(
        figure,
        known,
        _CARE,
        [f"{row['value']:.1%}: {row['n']:,}" for row in known],
        (1, 1),
        scale=100,
    )
    name_rows(figure, capitals(_CARE), (1, 1))
    figure.update_xaxes(title="Share of the late parcels", row=1, col=1, **PERCENT)
    for number, name in enumerate(outcomes, start=2):
        rows = effects[effects["name"] == name].to_dict("records")
        labels = [
            "{} ({} to {})".format(*amounts([row[name] for name in BOUNDS], signed=True))
            for row in rows
        ]
        named = [row | {"name": row["part"]} for row in rows]
        add_points(figure, named, tuple(_PARTS), labels, (number, 1), zero=True)
        name_rows(figure, capitals(_PARTS.values()), (number, 1))
        figure.update_xaxes(
            title=f"Difference of 1,000 parcels in {about['window']:g} days: {shortened(name)}",
            row=number,
            col=1,
        )
    worth = [
        f"{clear_told(row, level)} {row['name']}"
        for row in data[data["part"] == "care"].to_dict("records")
    ]
    title = (
        f"Care came in time for {shares['value'].iloc[0]:.0%} of the late parcels"
        if about["n_late"]
        else "No parcel was late"
    ) + (
        f"; 1,000 cared for brought {joined(worth[:_FEW])}"
        if worth
        else "; what care is worth is not identified"
    )
    return finish_high(figure, title, source, about["n_judged"], inner, right=190)


def panel_height(rows: int) -> int:
    """Return the height of a panel."""
    return LINE * rows + 12


def add_points(
    figure: go.Figure,
    rows: list[dict[Any, Any]],
    names: tuple[str, ...],
    labels: list[str],
    place: tuple[int, int],
    *,
    scale: int = 1,
    zero: bool = False,
) -> None:
    """Draw values with intervals, the first of ``names`` in the accent colour, and labels.

    ``zero``: they are differences, so 0 is marked, and the labels stand at the right.
    """
    row, col = place
    frame = pd.DataFrame(rows, columns=["name", *BOUNDS])
    middle, low, high = (
        # Without an interval a point has no whiskers.
        significant(scale * frame[name].fillna(frame["value"]))
        for name in BOUNDS
    )
    height = [names.index(name) for name in frame["name"]]
    ends = high.tolist()
    if zero:
        least, most = min([0.0, *low]), max([0.0, *high])
        pad = 0.05 * (most - least) or 1.0
        axis = [float(f"{end:.6g}") for end in (least - pad, most + pad)]
        line = {"color": BASELINE, "width": 1.5, "dash": "dash"}
        figure.add_vline(
            x=0, line=line, layer="below", row=row, col=col, exclude_empty_subplots=False
        )
        figure.update_xaxes(range=axis, nticks=6, row=row, col=col)
        ends = [axis[1]] * len(frame)
    figure.add_scatter(
        name="value",
        x=middle.tolist(),
        y=height,
        error_x=whiskers(middle, low, high, 6),
        mode="markers",
        marker={"color": [GREYS[0] if at else ACCENT for at in height], "size": 9},
        customdata=[text(label) for label in labels],
        hovertemplate="%{customdata}<extra></extra>",
        row=row,
        col=col,
    )
    add_labels(figure, ends, height, [text(label) for label in labels], place)


def capitals(names: Iterable[str]) -> list[str]:
    """Return names as those of rows, escaped."""
    return [shortened(name[:1].upper() + name[1:]) for name in names]


def clear_told(row: Mapping[Any, Any], level: float, name: str = "value", unit: str = "") -> str:
    """Return a difference with its interval, and whether that holds 0."""
    told = bounded(row, name, level, unit, signed=True)
    if np.isnan(row[f"{name}_low"]):
        return f"{told} (no interval)"
    if row[f"{name}_low"] > 0 or row[f"{name}_high"] < 0:
        return told
    return f"{told.removesuffix(')')}; not clear of 0)"
