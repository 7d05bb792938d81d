"""Figures of the segments: who the customers are, what they are worth, how far they sleep.

Every figure has a twin ``*_data`` that returns the numbers it draws, and a ``*_verdict`` that
says in a sentence what they show.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import UNIT_WORDS
from touchpoint_lib.charts._style import ACCENT, GREYS, finish, text
from touchpoint_lib.segments import SLEEP_STATES, segment_outcomes


def rfm_map_data(scores: pd.DataFrame) -> pd.DataFrame:
    """Return customers and mean spend by recency and frequency score.

    Parameters
    ----------
    scores : DataFrame
        From `rfm_scores`.

    Returns
    -------
    DataFrame
        recency_score, frequency_score, customers, share, monetary_value (mean of the cell).
    """
    cells = scores.groupby(["recency_score", "frequency_score"], observed=True)
    data = cells.agg(
        customers=("monetary_value", "size"), monetary_value=("monetary_value", "mean")
    )
    data.insert(1, "share", data["customers"] / len(scores))
    return data.reset_index()


def rfm_map_verdict(scores: pd.DataFrame) -> str:
    """Return how many customers bought once, and how many are recent and frequent at once."""
    once = float((scores["frequency"] == 0).mean())
    top = scores[["recency_score", "frequency_score"]].max()
    best = (scores["recency_score"] == top["recency_score"]) & (
        scores["frequency_score"] == top["frequency_score"]
    )
    return (
        f"{once:.0%} of the {len(scores):,} customers have bought on one day only; "
        f"{best.mean():.0%} are in the most recent and the most frequent class at once."
    )


def rfm_map(scores: pd.DataFrame, source: str) -> go.Figure:
    """Draw customers by recency and frequency score, darker where there are more.

    Parameters
    ----------
    scores : DataFrame
        From `rfm_scores`.
    source : str
        For the footer.
    """
    data = rfm_map_data(scores)
    grid = data.set_index(["frequency_score", "recency_score"])
    table = grid["customers"].unstack(fill_value=0)  # noqa: PD010 (a pivot of unique pairs)
    spend = grid["monetary_value"].unstack(fill_value=0)  # noqa: PD010
    label = np.char.mod("%d", table.to_numpy())
    figure = go.Figure(
        go.Heatmap(
            x=[str(score) for score in table.columns],
            y=[str(score) for score in table.index],
            z=table.to_numpy().tolist(),
            text=label.tolist(),
            texttemplate="%{text}",
            customdata=spend.round(2).to_numpy().tolist(),
            hovertemplate=(
                "recency score %{x}, frequency score %{y}<br>%{z:,} customers"
                "<br>mean monetary value %{customdata:,.2f}<extra></extra>"
            ),
            colorscale=[[0, "#f2f6fa"], [1, ACCENT]],
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    figure.update_xaxes(title="Recency score (right: bought lately)", type="category")
    figure.update_yaxes(title="Frequency score", type="category", showgrid=False)
    biggest = data.iloc[int(data["customers"].to_numpy().argmax())]
    title = (
        f"The largest cell holds {biggest['share']:.0%} of the customers: recency "
        f"{biggest['recency_score']:.0f}, frequency {biggest['frequency_score']:.0f}"
    )
    return finish(figure, title, source, len(scores))


def value_shares_data(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return each segment's share of customers, expected value and holdout spend, rounded.

    Parameters
    ----------
    outcomes : DataFrame
        From `segment_outcomes` of value segments.
    """
    return outcomes[["customer_share", "value_share", "holdout_amount_share"]].round(4)


def value_shares_verdict(outcomes: pd.DataFrame) -> str:
    """Return whether a customer of a better segment brought more, and what the core brought."""
    core = outcomes.loc["core"]
    ordered = outcomes.loc[
        [name for name in ("core", "potential", "mass") if name in outcomes.index],
        "holdout_amount_mean",
    ].is_monotonic_decreasing
    held = "The order of the segments held" if ordered else "The order of the segments did not hold"
    return (
        f"{held}: the core, {core['customer_share']:.0%} of the customers, was expected to bring "
        f"{core['value_share']:.0%} of the value and brought {core['holdout_amount_share']:.0%} "
        f"of what was spent in the holdout."
    )


def value_shares(outcomes: pd.DataFrame, source: str) -> go.Figure:
    """Draw, for each value segment, customers, expected value and what came in the holdout.

    Parameters
    ----------
    outcomes : DataFrame
        From `segment_outcomes` of value segments.
    source : str
        For the footer.
    """
    data = value_shares_data(outcomes)
    names = {
        "customer_share": ("share of customers", GREYS[3]),
        "value_share": ("share of expected value", GREYS[1]),
        "holdout_amount_share": ("share of holdout spend", ACCENT),
    }
    figure = go.Figure()
    for column, (name, colour) in names.items():
        figure.add_bar(
            name=name,
            x=[text(segment) for segment in data.index],
            y=data[column].tolist(),
            text=[f"{share:.0%}" for share in data[column]],
            textposition="outside",
            cliponaxis=False,
            marker_color=colour,
            hovertemplate="%{x}: %{y:.1%} " + name + "<extra></extra>",
        )
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", title="Share")
    core = data.loc["core"]
    title = (
        f"{core['customer_share']:.0%} of the customers brought "
        f"{core['holdout_amount_share']:.0%} of the money that came after the split"
    )
    finish(figure, title, source, int(outcomes["n"].sum()))
    # Three series with the same order in every group: a legend is shorter than nine labels.
    return figure.update_layout(
        showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    )


def sleep_lines_data(states: pd.DataFrame, classes: pd.Series) -> pd.DataFrame:
    """Return the median silence at each sleep line by purchase class, rounded, in the unit.

    Parameters
    ----------
    states : DataFrame
        From `sleep_states`.
    classes : Series
        From `purchase_classes`.
    """
    lines = ["drowsy_after", "half_asleep_after", "asleep_after"]
    return states.groupby(classes, observed=True)[lines].median().round(1)


def sleep_lines_verdict(data: pd.DataFrame, unit: str) -> str:
    """Return how far the lines of rare and frequent buyers lie apart.

    Parameters
    ----------
    data : DataFrame
        From `sleep_lines_data`.
    unit : {"D", "W"}
        Of the silence.
    """
    word = UNIT_WORDS[unit]

    def silence(row: int) -> str:
        after = data["asleep_after"].iloc[row]
        # The digits of a silence beyond measure would fill the line, and it may be infinite.
        return f"after {after:,.0f} {word}" if after < 1e5 else f"after more than 100,000 {word}"

    half = f"half of the customers with {_purchase_days(data.index[-1])} are asleep"
    if len(data) == 1:
        return f"{half[0].upper()}{half[1:]} {silence(-1)} of silence or sooner."
    start = (
        "The lines lie close together"
        if silence(0) == silence(-1)
        else "No fixed number of days fits all"
    )
    return (
        f"{start}: {half} {silence(-1)} of silence or sooner, of those with "
        f"{data.index[0]} {silence(0)}."
    )


def sleep_returns_data(
    states: pd.DataFrame, split: pd.DataFrame, classes: pd.Series
) -> pd.DataFrame:
    """Return the share that bought in the holdout by purchase class and sleep state.

    Parameters
    ----------
    states : DataFrame
        From `sleep_states`.
    split : DataFrame
        From `rfm_split`.
    classes : Series
        From `purchase_classes`.

    Returns
    -------
    DataFrame
        class, state, n, buyer_rate, buyer_low, buyer_high (95%, Wilson).
    """
    outcomes = segment_outcomes(states, split, by=classes)
    outcomes.index.names = ["class", "state"]
    return outcomes[["n", "buyer_rate", "buyer_low", "buyer_high"]].reset_index()


def sleep_returns_verdict(data: pd.DataFrame) -> str:
    """Return in how many classes the share of buyers falls with sleep, and what that is worth.

    Parameters
    ----------
    data : DataFrame
        From `sleep_returns_data`.
    """
    several, falls = _falls(data)
    if not several:
        return "Every class of buyers is in one state only: the states cannot be compared yet."
    first, last = several[-1].iloc[0], several[-1].iloc[-1]
    return (
        f"In {falls} of {len(several)} classes of buyers with the same number of purchases the "
        f"sleepiest came back clearly less often than the most awake; of those with "
        f"{_purchase_days(first['class'])} {first['buyer_rate']:.0%} of the {first['state']} and "
        f"{last['buyer_rate']:.0%} of the {last['state']} bought again."
    )


def sleep_returns(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the share of buyers in the holdout by sleep state, a line a purchase class.

    Parameters
    ----------
    data : DataFrame
        From `sleep_returns_data`.
    source : str
        For the footer.
    """
    figure = go.Figure()
    groups = list(data.groupby("class", observed=True))
    shades = [ACCENT, *GREYS] if len(groups) <= 5 else [ACCENT] * len(groups)
    for (name, group), colour in zip(reversed(groups), shades, strict=False):
        rate = group["buyer_rate"].round(4)
        figure.add_scatter(
            name=text(name),
            x=[text(state) for state in group["state"]],
            y=rate.tolist(),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": (group["buyer_high"] - group["buyer_rate"]).round(4).tolist(),
                "arrayminus": (group["buyer_rate"] - group["buyer_low"]).round(4).tolist(),
                "thickness": 1,
                "width": 4,
            },
            mode="lines+markers+text",
            text=[text(_purchase_days(name))] + [""] * (len(group) - 1),
            textposition="top right",
            customdata=group["n"].tolist(),
            hovertemplate="%{x}: %{y:.1%} of %{customdata:,} bought<extra>"
            + text(name)
            + "</extra>",
            line={"color": colour, "width": 2},
            marker={"size": 9},
        )
    figure.update_xaxes(
        title="Sleep state at the split", categoryorder="array", categoryarray=list(SLEEP_STATES)
    )
    figure.update_yaxes(title="Bought in the holdout", tickformat=".0%", range=[0, 1.05])
    several, falls = _falls(data)
    title = (
        f"The share that returns falls clearly with sleep in {falls} of {len(several)} classes "
        "of buyers; bars are 95% intervals"
    )
    return finish(figure, title, source, int(data["n"].sum()))


def _falls(data: pd.DataFrame) -> tuple[list[pd.DataFrame], int]:
    """Return the classes in several states, and in how many the last is clearly below the first.

    Clearly: their intervals do not overlap.
    """
    several = [group for _, group in data.groupby("class", observed=True) if len(group) > 1]
    return several, sum(
        bool(group["buyer_low"].iloc[0] > group["buyer_high"].iloc[-1]) for group in several
    )


def _purchase_days(name: object) -> str:
    return f"{name} purchase day{'' if str(name) == '1' else 's'}"
