"""The figure in which the reader moves the sleep lines: segment sizes and both rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import UNIT_WORDS, FloatArray, check_values, fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, finish, wrap
from touchpoint_lib.metrics.rates import PredictionRates, prediction_rates
from touchpoint_lib.segments import SLEEP_STATES

#: Positions of the line that the slider offers.
LINES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)


def sleep_slider_data(
    states: pd.DataFrame, split: pd.DataFrame, lines: Sequence[float] = LINES
) -> pd.DataFrame:
    """Return segment sizes and both rates at each position of the last sleep line.

    "Asleep" is read as the prediction "will not buy in the holdout". The lines above the moved
    one divide what is left up to 1 as before: at the default of 0.2 they are 0.5 and 0.8. The
    baseline flags as many customers, those longest silent, and all who tie with the last.

    Parameters
    ----------
    states : DataFrame
        From `sleep_states`.
    split : DataFrame
        From `rfm_split`, on the same index.
    lines : sequence of float
        Positions of the last line, in (0, 1).

    Returns
    -------
    DataFrame
        A row a position: line; awake, drowsy, half asleep, asleep (customers); error_rate and
        omission_rate with _low and _high (95%), and the same of the baseline with the prefix
        baseline_, baseline_days, the silence it needs, in the unit, and baseline_flagged.

    Raises
    ------
    InputError
        If everybody or nobody bought in the holdout, or indexes differ.
    """
    if not states.index.equals(split.index):
        raise fail("states and split have different indexes", "make both from one rfm_split")
    lapsed = (split["holdout_frequency"] == 0).to_numpy()
    if lapsed.all() or not lapsed.any():
        raise fail(
            f"{int(lapsed.sum())} of {len(lapsed)} customers bought nothing in the holdout",
            "both rates need customers of both kinds: choose another split",
        )
    positions = check_values("lines", list(lines), gt=0)
    if positions.size == 0 or positions.max() >= 1:
        raise fail(f"lines are {list(lines)}", "pass positions in (0, 1)")
    relative = states["relative"].to_numpy()
    silence = states["silence"].to_numpy()
    longest = np.sort(silence)[::-1]
    rows = []
    for line in positions.tolist():
        upper = line + (1 - line) * np.array([0.75, 0.375, 0.0])
        counts = np.bincount((relative[:, None] <= upper).sum(axis=1), minlength=4)
        n_flagged = int(counts[3])
        row: dict[str, float] = {"line": line, **dict(zip(SLEEP_STATES, counts, strict=True))}
        # The baseline takes ties in: it flags at least as many.
        days = float(longest[n_flagged - 1]) if n_flagged else float("inf")
        row |= _rates("", prediction_rates(lapsed, -relative, -line))
        row |= _rates("baseline_", prediction_rates(lapsed, silence, days))
        row["baseline_days"] = days
        row["baseline_flagged"] = int((silence >= days).sum())
        rows.append(row)
    return pd.DataFrame(rows)


def sleep_slider_verdict(data: pd.DataFrame, line: float = 0.2) -> str:
    """Return both rates at ``line``, beside those of plain recency.

    Parameters
    ----------
    data : DataFrame
        From `sleep_slider_data`.
    line : float
        One of its positions.
    """
    row = data.iloc[position(data, line)]
    if row["asleep"] == 0:
        return f"At the line {row['line']:g} nobody is asleep: no prediction is made."
    if row["error_rate_low"] > row["baseline_error_rate_high"]:
        better = "Recency alone predicts better who stays away"
    elif row["error_rate_high"] < row["baseline_error_rate_low"]:
        better = "The line predicts better than recency alone who stays away"
    else:
        better = "Neither is clearly better at predicting who stays away"
    return (
        f"Taken as a forecast that the asleep will not buy, the line at {row['line']:g} is wrong "
        f"for {row['error_rate']:.0%} of those it flags and misses {row['omission_rate']:.0%} of "
        f"those who stay away; flagging the {row['baseline_flagged']:,.0f} longest silent is wrong "
        f"for {row['baseline_error_rate']:.0%} and misses {row['baseline_omission_rate']:.0%}. "
        f"{better}."
    )


def sleep_slider(data: pd.DataFrame, source: str, unit: str, line: float = 0.2) -> go.Figure:
    """Draw segment sizes and both rates, with a slider that moves the sleep lines.

    Parameters
    ----------
    data : DataFrame
        From `sleep_slider_data`.
    source : str
        For the footer.
    unit : {"D", "W"}
        Of the silence.
    line : float
        Where the slider starts.
    """
    figure = make_subplots(
        cols=2,
        column_widths=[0.42, 0.58],
        horizontal_spacing=0.13,
        rows=1,
        subplot_titles=("Customers by state", "“Asleep” as a forecast: will not buy"),
    )
    start = position(data, line)
    first = data.iloc[start]
    n = int(first[list(SLEEP_STATES)].sum())
    figure.add_bar(
        x=list(SLEEP_STATES),
        marker_color=[GREYS[3], GREYS[2], GREYS[1], ACCENT],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x}: %{y:,} customers<extra></extra>",
        row=1,
        col=1,
        **_bars(first, n),
    )
    for prefix, name, colour, symbol, side in (
        ("", "sleep line", ACCENT, "circle", -1),
        ("baseline_", "recency", BASELINE, "diamond", 1),
    ):
        figure.add_scatter(
            name=name,
            # Apart by a little, each labelled on its own side: rates may be equal.
            x=[side * 0.06, 1 + side * 0.06],
            mode="markers+text",
            textposition="middle left" if side < 0 else "middle right",
            marker={"color": colour, "size": 11, "symbol": symbol},
            customdata=["error rate", "omission rate"],
            hovertemplate="%{customdata} of the " + name + ": %{y:.1%}<extra></extra>",
            row=1,
            col=2,
            **_points(first, prefix, name),
        )
    figure.update_yaxes(title="Customers", range=[0, n * 1.1], row=1, col=1)
    figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.08], title="Rate", row=1, col=2)
    figure.update_xaxes(
        range=[-0.75, 1.65], tickvals=[0, 1], ticktext=["error rate", "omission rate"], row=1, col=2
    )
    finish(figure, _slider_title(first, unit), source, n, footer_at=-0.62)
    steps = []
    for _, row in data.iterrows():
        points = [
            _points(row, prefix, name)
            for prefix, name in (("", "sleep line"), ("baseline_", "recency"))
        ]
        bars = _bars(row, n)
        update = {
            "y": [bars["y"], *(point["y"] for point in points)],
            "text": [bars["text"], *(point["text"] for point in points)],
            "error_y": [None, *(point["error_y"] for point in points)],
        }
        steps.append(
            {
                "method": "update",
                "label": f"{row['line']:.2f}",
                "args": [update, {"title.text": wrap(_slider_title(row, unit))}],
            }
        )
    return figure.update_layout(
        height=540,
        margin={"b": 190, "t": 110},
        sliders=[
            {
                "active": start,
                "steps": steps,
                "currentvalue": {"prefix": "Asleep below this share of P(alive) on the day: "},
                "pad": {"t": 55},
                "len": 1.0,
                "x": 0,
            }
        ],
    )


def position(data: pd.DataFrame, line: float) -> int:
    """Return the row of ``data`` nearest to ``line``."""
    return int((data["line"] - line).abs().to_numpy().argmin())


def _rates(prefix: str, rates: PredictionRates) -> dict[str, float]:
    record = asdict(rates)
    return {prefix + name: record[name] for name in record if "_rate" in name}


def _bars(row: pd.Series, n: int) -> dict[str, object]:
    counts = [int(row[state]) for state in SLEEP_STATES]
    return {"y": counts, "text": [f"{count:,}<br>{count / n:.0%}" for count in counts]}


def _points(row: pd.Series, prefix: str, name: str) -> dict[str, object]:
    """Return both rates with their intervals; a rate without cases is left out."""
    names = ("error_rate", "omission_rate")

    def column(suffix: str) -> FloatArray:
        return np.array([row[f"{prefix}{rate}{suffix}"] for rate in names], dtype=np.float64)

    rate, low, high = column(""), column("_low"), column("_high")
    known = np.isfinite(rate)

    def shown(values: FloatArray) -> list[float | None]:
        return [round(float(v), 4) if ok else None for v, ok in zip(values, known, strict=True)]

    return {
        "y": shown(rate),
        "text": [
            f"{name} {value:.0%}" if ok else "" for value, ok in zip(rate, known, strict=True)
        ],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": shown(high - rate),
            "arrayminus": shown(rate - low),
            "thickness": 1,
            "width": 5,
        },
    }


def _slider_title(row: pd.Series, unit: str) -> str:
    asleep = int(row["asleep"])
    if asleep == 0:
        return "Nobody has crossed this line"
    return (
        f"{asleep:,} customers are asleep; recency needs "
        f"{row['baseline_days']:.0f} {UNIT_WORDS[unit]} of silence to flag as many"
    )
