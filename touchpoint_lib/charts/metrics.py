"""Figures of the two rates: curves of scores against each other, and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import check_choice, check_values, fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, finish, text
from touchpoint_lib.metrics._shared import wilson_interval
from touchpoint_lib.metrics.thresholds import rates_curve

#: Points drawn of a curve, and the share of customers that it begins with: rates of fewer are
#: noise.
_POINTS = 200
_FIRST_SHARE = 0.01
#: What those flagged are taken for, and what those there were to find did.
_DID = {"gone": "stayed away", "buyers": "bought"}


def rates_curves_data(
    actual: Any, scores: Mapping[str, Any], flagged_as: str = "gone"
) -> pd.DataFrame:
    """Return the curve of error against omission rate of several scores, thinned for drawing.

    Curves begin where 1% of the customers are flagged.

    Parameters
    ----------
    actual : array of bool or 0/1, shape (n,)
        Who was there to find: who stayed away, or who bought.
    scores : mapping of str to array of float, shape (n,)
        Name to score; higher means more likely.
    flagged_as : {"gone", "buyers"}
        What those with a high score are taken for.

    Returns
    -------
    DataFrame
        score, threshold, error_rate, omission_rate, n_flagged. ``attrs`` holds flagged_as.
    """
    check_choice("flagged_as", flagged_as, _DID)
    if not scores:
        raise fail("scores is empty", "pass at least one score")
    curves = []
    for name, score in scores.items():
        curve = rates_curve(actual, score)
        if curve["omission_rate"].isna().any():
            raise fail(
                "actual has no positive case", f"a curve needs somebody who {_DID[flagged_as]}"
            )
        flagged = curve["n_flagged"].to_numpy()
        wanted = np.linspace(_FIRST_SHARE, 1, _POINTS) * flagged[-1]
        # Rounding up by a hair must not step past the last point, which flags everybody.
        keep = np.unique(np.searchsorted(flagged, wanted * (1 - 1e-12)))
        curves.append(curve.iloc[keep].assign(score=name))
    data = pd.concat(curves, ignore_index=True)
    data = data[["score", "threshold", "error_rate", "omission_rate", "n_flagged"]]
    data.attrs["flagged_as"] = flagged_as
    return data


def rates_at(data: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return the rates of each score where it first flags at least ``share`` of all customers.

    error_low and error_high are the 95% bounds (Wilson) of the error rate.

    Parameters
    ----------
    data : DataFrame
        From `rates_curves_data`.
    share : float
        In (0, 1].
    """
    enough = data[data["n_flagged"] >= share * data["n_flagged"].max()]
    rates = enough.groupby("score", sort=False).first()
    wrong = (rates["error_rate"] * rates["n_flagged"]).to_numpy()
    low, high = wilson_interval(wrong, rates["n_flagged"].to_numpy(), 0.95)
    return rates.assign(error_low=low, error_high=high)


def rates_curves_verdict(data: pd.DataFrame, baseline: str, share: float = 0.2) -> str:
    """Return which score errs least where each flags ``share`` of the customers.

    Parameters
    ----------
    data : DataFrame
        From `rates_curves_data`.
    baseline : str
        Name of the score that the others have to beat.
    share : float
        In (0, 1].
    """
    rates = rates_at(data, share)
    if baseline not in rates.index or len(rates) == 1:
        raise fail(
            f"baseline is {baseline!r}, the scores are {', '.join(map(repr, rates.index))}",
            "name one of the scores, and pass at least one other",
        )
    others = rates.drop(index=baseline)
    best = str(others["error_rate"].idxmin())
    by_name = rates.to_dict("index")
    rival, plain = by_name[best], by_name[baseline]
    if rival["error_high"] < plain["error_low"]:
        says = f"{best} beats {baseline}"
    elif rival["error_low"] > plain["error_high"]:
        says = f"{baseline} beats {best}"
    else:
        says = f"{best} is not clearly better or worse than {baseline}"

    def told(row: Any) -> str:
        return f"{row['error_rate']:.0%} (95%: {row['error_low']:.0%} to {row['error_high']:.0%})"

    flagged_as = data.attrs["flagged_as"]
    return (
        f"Where {share:.0%} of the customers are flagged as {flagged_as}, {best} is wrong for "
        f"{told(rival)} of them and {baseline} for {told(plain)}: {says}."
    )


def rates_curves(data: pd.DataFrame, baseline: str, source: str, n: int) -> go.Figure:
    """Draw error rate against omission rate, a curve a score, the baseline in its own colour.

    Parameters
    ----------
    data : DataFrame
        From `rates_curves_data`.
    baseline : str
        Name of the score that the others have to beat.
    source : str
        For the footer.
    n : int
        Number of customers behind the curves, for the footer.
    """
    figure = go.Figure()
    names = [str(name) for name in data["score"].unique()]
    shades = iter((ACCENT, *GREYS))
    for name in names:
        curve = data[data["score"] == name]
        colour = BASELINE if name == baseline else next(shades, GREYS[-1])
        figure.add_scatter(
            name=text(name),
            x=curve["omission_rate"].round(4).tolist(),
            y=curve["error_rate"].round(4).tolist(),
            mode="lines",
            line={"color": colour, "width": 2, "dash": "dash" if name == baseline else "solid"},
            customdata=curve["n_flagged"].tolist(),
            hovertemplate=(
                "%{customdata:,} flagged: error %{y:.1%}, omission %{x:.1%}<extra>"
                + text(name)
                + "</extra>"
            ),
        )
    top = float(data["error_rate"].max())
    figure.update_xaxes(
        title=f"Omission rate (missed / all who {_DID[data.attrs['flagged_as']]})",
        tickformat=".0%",
        range=[0, 1.01],
    )
    figure.update_yaxes(
        title="Error rate (wrongly flagged / flagged)",
        tickformat=".0%",
        range=[0, round(max(top * 1.1, 0.01), 4)],
    )
    title = f"Lower is better: a score is worth having where its curve runs below {baseline}"
    finish(figure, title, source, n)
    return figure.update_layout(
        showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    )


def forecast_by_decile_data(expected: pd.Series, actual: pd.Series) -> pd.DataFrame:
    """Return mean expected and actual purchases by tenths of the expectation.

    Parameters
    ----------
    expected, actual : Series
        A value a customer, on one index.

    Returns
    -------
    DataFrame
        A row a class of about a tenth (equal expectations stay together): n, expected, actual,
        low and high (95%, normal, of the actual mean).
    """
    if not expected.index.equals(actual.index):
        raise fail("expected and actual have different indexes", "make both from one split")
    if expected.empty:
        raise fail("expected is empty", "pass at least one customer")
    check_values("expected", expected, index=expected.index)
    check_values("actual", actual, index=actual.index)
    # qcut gives no class at all where every expectation is the same.
    alike = bool((expected == expected.iloc[0]).all())
    place = expected * 0 if alike else pd.qcut(expected, 10, labels=False, duplicates="drop")
    groups = pd.DataFrame({"expected": expected, "actual": actual}).groupby(place)
    data = groups.agg(
        n=("actual", "size"), expected=("expected", "mean"), actual=("actual", "mean")
    )
    half = 1.96 * groups["actual"].std().fillna(0) / np.sqrt(data["n"])
    return data.assign(low=data["actual"] - half, high=data["actual"] + half).reset_index(drop=True)


def forecast_by_decile_verdict(data: pd.DataFrame) -> str:
    """Return expected and actual totals, and whether the classes rank as expected.

    Parameters
    ----------
    data : DataFrame
        From `forecast_by_decile_data`.
    """
    expected, actual = _totals(data)
    bias = f" ({expected / actual - 1:+.0%})" if actual else ""
    totals = f"The model expected {expected:,.0f} purchases in the holdout and {actual:,.0f} came"
    steps = data["actual"].diff().iloc[1:]
    if steps.empty:
        return f"{totals}{bias}; it expected the same of every customer."
    more = int((steps > 0).sum())
    return (
        f"{totals}{bias}; the class ranked next higher bought more in "
        f"{'all' if more == len(steps) else more} of {len(steps)} steps."
    )


def forecast_by_decile(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw actual against expected purchases by tenths of the expectation, with the diagonal.

    Parameters
    ----------
    data : DataFrame
        From `forecast_by_decile_data`.
    source : str
        For the footer.
    """
    top = max(round(float(max(data["high"].max(), data["expected"].max())) * 1.05, 2), 0.01)
    figure = go.Figure()
    figure.add_scatter(
        x=[0, top],
        y=[0, top],
        mode="lines",
        line={"color": GREYS[2], "dash": "dot"},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=data["expected"].round(3).tolist(),
        y=data["actual"].round(3).tolist(),
        error_y={
            "type": "data",
            "symmetric": False,
            "array": (data["high"] - data["actual"]).round(3).tolist(),
            "arrayminus": (data["actual"] - data["low"]).round(3).tolist(),
            "thickness": 1,
            "width": 4,
        },
        mode="markers",
        marker={"color": ACCENT, "size": 9},
        customdata=data["n"].tolist(),
        hovertemplate=(
            "%{customdata:,} customers: expected %{x:.2f}, actual %{y:.2f}<extra></extra>"
        ),
    )
    figure.add_annotation(
        x=top,
        y=top,
        text="as expected",
        showarrow=False,
        xanchor="right",
        yanchor="bottom",
        font={"color": GREYS[1]},
    )
    figure.update_xaxes(title="Expected purchases a customer", range=[0, top])
    figure.update_yaxes(title="Actual purchases a customer", range=[0, top])
    expected, actual = _totals(data)
    title = (
        f"{actual:,.0f} purchases came where {expected:,.0f} were expected; "
        "above the line more came than expected"
    )
    return finish(figure, title, source, int(data["n"].sum()))


def _totals(data: pd.DataFrame) -> tuple[float, float]:
    """Return expected and actual purchases of all classes."""
    n = data["n"]
    return float((n * data["expected"]).sum()), float((n * data["actual"]).sum())
