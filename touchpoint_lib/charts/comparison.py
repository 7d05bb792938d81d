"""The two rates of models and baselines side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import check_columns, fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, finish, text
from touchpoint_lib.charts.lifetime import error_bars
from touchpoint_lib.lifetime.comparison import BASELINES
from touchpoint_lib.metrics._shared import wilson_interval


def comparison_chart_data(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return both rates of every model and baseline, with their intervals.

    Parameters
    ----------
    comparison : DataFrame
        From `compare_models`.

    Returns
    -------
    DataFrame
        A row a model that has both rates: model, baseline (bool), n_flagged, error_rate,
        error_low, error_high, omission_rate, omission_low, omission_high (95%, Wilson).
        ``attrs`` holds n, n_actual, threshold, best (the model that the baselines follow), and
        without (the models that flagged nobody).

    Raises
    ------
    InputError
        If ``comparison`` was not made by `compare_models`.
    """
    check_columns(comparison, ("error_rate", "omission_rate"), "comparison")
    if "n_flagged" not in comparison.attrs:
        raise fail("comparison.attrs has no n_flagged", "pass the frame of compare_models")
    rated = comparison[["error_rate", "omission_rate"]].notna().all(axis=1)
    table = comparison[rated]
    n_flagged = np.array([comparison.attrs["n_flagged"][name] for name in table.index], dtype=float)
    n_actual = comparison.attrs["n_actual"]
    data = pd.DataFrame(
        {
            "model": [str(name) for name in table.index],
            "baseline": [name in BASELINES for name in table.index],
            "n_flagged": n_flagged,
        }
    )
    for rate, cases in (("error", n_flagged), ("omission", np.full(len(table), n_actual))):
        share = table[f"{rate}_rate"].to_numpy()
        low, high = wilson_interval(share * cases, cases, 0.95)
        data[f"{rate}_rate"], data[f"{rate}_low"], data[f"{rate}_high"] = share, low, high
    data = data.round(4)
    data.attrs = {key: comparison.attrs[key] for key in ("n", "n_actual", "threshold", "best")}
    data.attrs["without"] = [str(name) for name in comparison.index[~rated]]
    return data


def comparison_chart_verdict(data: pd.DataFrame) -> str:
    """Return both rates of the likeliest model, and whether it beats the baselines.

    Parameters
    ----------
    data : DataFrame
        From `comparison_chart_data`.
    """
    if data.attrs["n_actual"] == 0:
        return "Nobody bought after the split: there are no buyers to find, and so no rates."
    threshold, leader = data.attrs["threshold"], data.attrs["best"]
    missing = [name for name in data.attrs["without"] if name not in (leader, *BASELINES)]
    if leader in data.attrs["without"]:
        nor = f", nor does {' or '.join(missing)}" if missing else ""
        return f"{leader} gives nobody a probability of a purchase of {threshold:.0%}{nor}."
    left_out = f" {' and '.join(missing)} flagged nobody." if missing else ""
    rows = data.set_index("model").to_dict("index")
    best = rows[leader]
    says = []
    for name in BASELINES:
        row = rows[name]
        says.append(f"{name} is wrong for {row['error_rate']:.0%} ({side(best, row)})")
    return (
        f"{leader} flags {best['n_flagged']:,.0f} customers as buyers, those with a probability "
        f"of a purchase of {threshold:.0%} or more; it is wrong for {best['error_rate']:.0%} of "
        f"them (95%: {best['error_low']:.0%} to {best['error_high']:.0%}) and misses "
        f"{best['omission_rate']:.0%} of the {data.attrs['n_actual']:,.0f} buyers. Flagging as "
        f"many, {' and '.join(says)}.{left_out}"
    )


def side(model: Mapping[Any, Any], other: Mapping[Any, Any]) -> str:
    """Return whether the error rate of ``other`` is clearly better or worse than the model's."""
    if model["error_high"] < other["error_low"]:
        return "clearly worse"
    if model["error_low"] > other["error_high"]:
        return "clearly better"
    return "not clearly better or worse"


def comparison_chart(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw both rates of each model with their intervals, and the baselines below.

    Parameters
    ----------
    data : DataFrame
        From `comparison_chart_data`.
    source : str
        For the footer.
    """
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05)
    shades = iter((ACCENT, *GREYS))
    names = [text(name) for name in data["model"]]
    for (_, row), label in zip(data.iterrows(), names, strict=True):
        baseline = bool(row["baseline"])
        colour = BASELINE if baseline else next(shades, GREYS[-1])
        for col, rate in enumerate(("error", "omission"), start=1):
            middle, low, high = (row[[f"{rate}_{part}"]] for part in ("rate", "low", "high"))
            share = round(float(middle.iloc[0]), 4)
            figure.add_scatter(
                name=label,
                x=[share],
                y=[label],
                error_x=error_bars(middle, low, high),
                mode="markers+text",
                text=[f"{share:.0%}"],
                textposition="top center",
                marker={
                    "color": colour,
                    "size": 11,
                    "symbol": "diamond" if baseline else "circle",
                },
                customdata=[round(float(row["n_flagged"]), 1)],
                hovertemplate="%{customdata:,} flagged: "
                + rate
                + " rate %{x:.1%}<extra>"
                + label
                + "</extra>",
                row=1,
                col=col,
            )
    figure.update_xaxes(title="Error rate<br>(wrongly flagged / flagged)", row=1, col=1)
    figure.update_xaxes(title="Omission rate<br>(buyers missed / buyers)", row=1, col=2)
    figure.update_xaxes(tickformat=".0%", range=[-0.02, 1.02])
    # From the top, as in the table.
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names[::-1])
    told = data[data["model"] == data.attrs["best"]]
    if data.empty:
        title = comparison_chart_verdict(data)
    else:
        best = (told if len(told) else data).iloc[0]
        title = (
            f"{best['model']} is wrong for {best['error_rate']:.0%} of those it flags as buyers "
            f"and misses {best['omission_rate']:.0%} of the buyers; bars are 95% intervals"
        )
    height = max(335, 205 + 60 * len(data))
    # Below the title of the axis, whatever the height.
    footer_at = round(-90 / (height - 195), 3)
    finish(figure, title, source, round(data.attrs["n"]), footer_at=footer_at)
    return figure.update_layout(height=height, margin={"b": 115})
