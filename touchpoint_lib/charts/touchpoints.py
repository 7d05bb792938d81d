"""Figures of the touchpoint matrix (接触点矩阵): effects by channel, and cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import check_choice, check_columns, fail
from touchpoint_lib.charts._forest import (
    LINE,
    amounts,
    finish_high,
    joined,
    name_rows,
    shortened,
    significant,
)
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text
from touchpoint_lib.charts.lifetime import error_bars, legend_on_top
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.touchpoints.matrix import TouchpointMatrix
from touchpoint_lib.touchpoints.stages import STAGES

#: What can be shown, and how an axis calls it.
MEASURES = {
    "orders": "Added orders per 1,000 contacts",
    "margin": "Added margin per 1,000 contacts",
    "profit": "Profit per 1,000 contacts",
}
_COLOURS = {"gains": ACCENT, "loses": BASELINE, "not known": GREYS[2], "not identified": "#f2f2f2"}


def _cells(matrix: Any, measure: str, truth: pd.DataFrame | None) -> pd.DataFrame:
    """Return channel, by, stage, value, low, high, state and truth of a measure."""
    if not isinstance(matrix, TouchpointMatrix):
        raise fail(f"matrix is a {type(matrix).__name__}", "pass the result of touchpoint_matrix")
    check_choice("measure", measure, MEASURES)
    table = matrix.table
    data = table[["channel", "by", "stage", "contacts", "reason"]].astype(
        {"channel": str, "stage": str}
    )
    data["value"], data["low"], data["high"] = (
        significant(table[name])
        for name in (f"{measure}_per_1000", f"{measure}_low", f"{measure}_high")
    )
    data["state"] = np.select(
        [data["low"].isna(), data["low"] > 0, data["high"] < 0],
        ["not identified", "gains", "loses"],
        "not known",
    )
    data["truth"] = np.nan
    if truth is not None:
        check_columns(truth, ["channel", "by", "stage", measure], "truth")
        keys = ["channel", "by", "stage"]
        known = truth[[*keys, measure]].astype({"channel": str, "stage": str})
        if not pd.api.types.is_numeric_dtype(known[measure]):
            raise fail(f"{measure} of truth is not numeric", "convert it to numbers first")
        twice = known[known.duplicated(keys)]
        if len(twice):
            name, by, stage = twice.iloc[0][keys]
            raise fail(
                f"truth has several rows of {name!r}, {by!r}, {stage!r}", "give one row a cell"
            )
        found = data[keys].merge(known, on=keys, how="left")[measure]
        data["truth"] = significant(found).to_numpy()
    data.attrs = {
        "measure": measure,
        "level": matrix.level,
        "window": matrix.window,
        "n": int(table.loc[table["by"] == "", "opportunities"].sum()),
    }
    return data


def touchpoint_effects_data(
    matrix: TouchpointMatrix, measure: str = "orders", truth: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return what a contact of each channel adds, over all stages.

    Parameters
    ----------
    matrix : TouchpointMatrix
        From `touchpoint_matrix`.
    measure : {"orders", "margin", "profit"}
        Per 1,000 contacts.
    truth : DataFrame, optional
        Of a simulated shop: channel, by, stage and a column called like the measure.

    Returns
    -------
    DataFrame
        A row a channel, the largest value first, those not identified last: channel, by, stage,
        contacts, reason, value, low, high (six significant digits), state ("gains", "loses",
        "not known": the interval holds 0, "not identified") and truth (NaN where it is not known).

    Raises
    ------
    InputError
        If ``matrix`` is something else, or the measure or a column of ``truth`` is not there.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))
    >>> matrix = tp.touchpoint_matrix(
    ...     shop.contacts, paid, tp.stage_history(paid, model), window=90
    ... )
    >>> charts.touchpoint_effects_data(matrix)["channel"].to_list()
    ['parcel', 'sms', 'chat', 'social', 'email', 'page']
    """
    data = _cells(matrix, measure, truth)
    about = data.attrs
    data = data[data["by"] == ""].sort_values("value", ascending=False, na_position="last")
    data = data.reset_index(drop=True)
    data.attrs = about
    return data


def touchpoint_effects_verdict(data: pd.DataFrame) -> str:
    """Return which channels add something, which may not, and which nobody can judge.

    Parameters
    ----------
    data : DataFrame
        From `touchpoint_effects_data`.
    """
    what = MEASURES[data.attrs["measure"]].lower()
    level = data.attrs["level"]
    clear = []
    for state, says in (("gains", "more than nothing"), ("loses", "less than nothing")):
        rows = data[data["state"] == state]
        if len(rows):
            clear.append(f"{says} for {joined([_told(row) for row in rows.to_dict('records')])}")
    parts = [f"{what} are {', '.join(clear)}"] if clear else []
    unknown = data.loc[data["state"] == "not known", "channel"].tolist()
    if unknown:
        parts.append(f"the interval of {joined(unknown)} holds 0")
    reasons = data[data["state"] == "not identified"].groupby("reason", sort=False)["channel"]
    blind = [f"{joined(list(channels))} ({reason})" for reason, channels in reasons]
    if blind:
        parts.append(f"not identified: {joined(blind)}")
    told = "; ".join(parts)
    known = data[data["truth"].notna() & data["low"].notna()]
    held = int(((known["low"] <= known["truth"]) & (known["truth"] <= known["high"])).sum())
    end = f" The truth lies in {held} of {len(known)} intervals." if len(known) else ""
    if data["low"].notna().any():
        return f"By intervals of {100 * level:g}%, {told}.{end}"
    return f"{told[0].upper()}{told[1:]}."


def _told(row: dict[Any, Any]) -> str:
    one, low, high = amounts([row["value"], row["low"], row["high"]])
    return f"{row['channel']} ({one}: {low} to {high})"


def touchpoint_effects(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw what a contact of each channel adds, with intervals, and the truth where it is known.

    Parameters
    ----------
    data : DataFrame
        From `touchpoint_effects_data`.
    source : str
        For the footer.
    """
    figure = go.Figure()
    known = data[data["low"].notna()]
    figure.add_scatter(
        name="estimate",
        x=known["value"].tolist(),
        y=known.index.tolist(),
        error_x=error_bars(known["value"], known["low"], known["high"], 8) | {"thickness": 1.5},
        mode="markers",
        marker={
            "size": 10,
            "color": [
                _COLOURS[state] if state != "not known" else GREYS[1] for state in known["state"]
            ],
        },
        customdata=[
            f"{text(_told(row))}<br>{row['contacts']:,} contacts"
            for row in known.to_dict("records")
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    true = data[data["truth"].notna()]
    if len(true):
        figure.add_scatter(
            name="truth",
            x=true["truth"].tolist(),
            y=true.index.tolist(),
            mode="markers",
            marker={"symbol": "x", "size": 10, "color": "#009E73"},
            hovertemplate="truth: %{x:.4g}<extra></extra>",
        )
    for row in data[data["low"].isna()].itertuples():
        figure.add_annotation(
            x=1,
            xref="paper",
            y=row.Index,
            text=f"not identified: {shortened(row.reason, 70)}",
            showarrow=False,
            xanchor="right",
            font={"size": 11, "color": GREYS[1]},
        )
    figure.add_vline(x=0, line={"color": GREYS[1], "width": 1.5, "dash": "dash"}, layer="below")
    figure.update_xaxes(title=MEASURES[data.attrs["measure"]])
    name_rows(figure, [shortened(channel) for channel in data["channel"]])
    sure = data.loc[data["state"].isin(["gains", "loses"]), "channel"].tolist()
    title = (
        f"Of {counted(len(data), 'channel', 'channels')}, {len(sure)} "
        f"{'has' if len(sure) == 1 else 'have'} an effect that is clear of 0"
        + (f": {joined(sure)}" if sure else "")
    )
    if data["low"].isna().all():
        title = "No effect of a channel is identified"
    figure = finish_high(
        figure,
        title,
        source,
        data.attrs["n"],
        LINE * (len(data) + 1) + 12,
        right=30,
        head=30 if len(true) else 8,
    )
    return legend_on_top(figure) if len(true) else figure


def touchpoint_cells_data(
    matrix: TouchpointMatrix,
    measure: str = "profit",
    truth: pd.DataFrame | None = None,
    by: str = "stage",
) -> pd.DataFrame:
    """Return the matrix of channels and stages, or segments, ready to be drawn.

    Parameters
    ----------
    matrix, measure, truth
        As for `touchpoint_effects_data`.
    by : {"stage", "segment"}
        Which cells: segments are there where the matrix was made with them.

    Returns
    -------
    DataFrame
        A row a channel and stage, the stages in their order and "all" last: columns as of
        `touchpoint_effects_data`.

    Raises
    ------
    InputError
        As `touchpoint_effects_data` does, and if the matrix has no such cells.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))
    >>> matrix = tp.touchpoint_matrix(
    ...     shop.contacts, paid, tp.stage_history(paid, model), window=90
    ... )
    >>> charts.touchpoint_cells_data(matrix, "orders")["state"].value_counts().to_dict()
    {'not known': 15, 'not identified': 13, 'gains': 5}
    """
    data = _cells(matrix, measure, truth)
    check_choice("by", by, list(data.loc[data["by"] != "", "by"].unique()))
    about = data.attrs | {"by": by}
    data = pd.concat([data[data["by"] == by], data[data["by"] == ""]], ignore_index=True)
    data.attrs = about
    return data


def touchpoint_cells_verdict(data: pd.DataFrame) -> str:
    """Return where a contact earns, where it loses, and how much is not known.

    Parameters
    ----------
    data : DataFrame
        From `touchpoint_cells_data`.
    """
    cells = data[data["by"] != ""]
    parts = []
    for state, verb in (("gains", "gains"), ("loses", "loses")):
        rows = cells[cells["state"] == state].to_dict("records")
        if rows:
            named = joined([f"{row['channel']} to {row['stage']}" for row in rows])
            parts.append(f"a contact clearly {verb} in {len(rows)} ({named})")
    unknown = int((cells["state"] == "not known").sum())
    if unknown:
        parts.append(f"in {unknown} the interval holds 0")
    blind = int((cells["state"] == "not identified").sum())
    if blind:
        parts.append(f"{blind} cannot be identified")
    judged = int(cells["low"].notna().sum())
    end = ""
    if judged:
        chance = (1 - data.attrs["level"]) * judged
        end = f" By chance alone some {chance:.1f} of {judged} would be clear of 0."
    known = cells[cells["truth"].notna() & cells["low"].notna()]
    held = int(((known["low"] <= known["truth"]) & (known["truth"] <= known["high"])).sum())
    end += f" The truth lies in {held} of {len(known)} intervals." if len(known) else ""
    return f"Of {len(cells)} cells of channel and {data.attrs['by']}: {', '.join(parts)}.{end}"


def touchpoint_cells(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the matrix: blue gains, orange loses, grey where the interval holds 0, pale unknown.

    Parameters
    ----------
    data : DataFrame
        From `touchpoint_cells_data`.
    source : str
        For the footer.
    """
    found, channels = list(dict.fromkeys(data["stage"])), sorted(set(data["channel"]))
    stages = [
        *(stage for stage in STAGES if stage in found),
        *(stage for stage in found if stage not in STAGES),
    ]
    place = {key: number for number, key in enumerate(_COLOURS)}
    z: list[list[Any]] = [[None] * len(stages) for _ in channels]
    shown = [[""] * len(stages) for _ in channels]
    hover = [[""] * len(stages) for _ in channels]
    for row in data.to_dict("records"):
        at, to = channels.index(row["channel"]), stages.index(row["stage"])
        z[at][to] = place[row["state"]]
        where = f"{text(row['channel'])}, {text(row['stage'])}: {row['contacts']:,} contacts"
        if row["state"] == "not identified":
            shown[at][to] = "?"
            hover[at][to] = f"{where}<br>not identified: {text(row['reason'])}"
            continue
        one, low, high = amounts([row["value"], row["low"], row["high"]])
        shown[at][to] = f"<b>{one}</b><br>{low} to {high}"
        true = f"<br>truth {row['truth']:.4g}" if np.isfinite(row["truth"]) else ""
        hover[at][to] = f"{where}<br>{one} ({low} to {high}), {row['state']}{true}"
    colours = list(_COLOURS.values())
    steps = [(number + end) / len(colours) for number in range(len(colours)) for end in (0, 1)]
    figure = go.Figure(
        go.Heatmap(
            z=z,
            # Numbers: names that are shortened alike would be one row.
            x=list(range(len(stages))),
            y=list(range(len(channels))),
            text=shown,
            texttemplate="%{text}",
            textfont={"size": 11},
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale=[[step, colours[number // 2]] for number, step in enumerate(steps)],
            zmin=-0.5,
            zmax=len(colours) - 0.5,
            showscale=False,
            xgap=3,
            ygap=3,
            opacity=0.85,
        )
    )
    figure.update_xaxes(
        side="top",
        ticks="",
        showline=False,
        tickangle=0,
        tickvals=list(range(len(stages))),
        ticktext=[shortened(stage, max(84 // len(stages), 8)) for stage in stages],
    )
    figure.update_yaxes(
        autorange="reversed",
        showgrid=False,
        ticks="",
        tickvals=list(range(len(channels))),
        ticktext=[shortened(channel, 20) for channel in channels],
    )
    cells = data[data["by"] != ""]
    sure = int(cells["state"].isin(["gains", "loses"]).sum())
    title = f"{MEASURES[data.attrs['measure']]}: clear of 0 in {sure} of {len(cells)} cells"
    return finish_high(
        figure, title, source, data.attrs["n"], 46 * len(channels) + 12, right=30, head=30
    )
