"""Figures of who is alive: over recency and frequency, and one customer through time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import UNIT_DAYS, UNIT_WORDS, check_number, fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, finish
from touchpoint_lib.data.days import to_date, to_day
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import check_rows, customer_frame

#: Columns of the map, and the most rows.
_COLUMNS = 40
_MOST_ROWS = 30
#: Durations beyond which digits say nothing.
_FOREVER = 1e5


def alive_map_data(model: PurchaseModel, customers: Any) -> pd.DataFrame:
    """Return P(alive) by frequency and recency, for customers observed as long as the oldest.

    Parameters
    ----------
    model : PurchaseModel
        Fitted, without covariates.
    customers : DataFrame or CustomerBase
        With frequency, recency and T.

    Returns
    -------
    DataFrame
        A row a frequency (from 1 up to the 99th percentile of the repeat buyers, 30 at most) and
        recency (40 steps up to T): frequency, recency, silence (T - recency), alive.
        ``attrs`` holds n, T, unit, and one_time: P(alive) of a customer who bought once.

    Raises
    ------
    InputError
        If the model has no parameters, the unit differs from the model's, or T is 0 throughout.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> customers = tp.rfm_summary(tp.load_cdnow(sample=True))
    >>> data = charts.alive_map_data(tp.ModifiedBetaGeoModel().fit(customers), customers)
    >>> int(data["frequency"].max()), bool(data["alive"].between(0, 1).all())
    (23, True)
    """
    model._require_fit()
    frame = customer_frame(customers)
    rows = check_rows(frame)
    longest = float(rows.T.max())
    if longest == 0:
        raise fail("T is 0 for every customer", "use a longer window")
    repeats = rows.frequency[rows.frequency > 0]
    top = float(np.quantile(repeats, 0.99)) if len(repeats) else 1.0
    steps = np.arange(1, _COLUMNS + 1) / _COLUMNS * longest
    if model._whole_times:
        steps = np.arange(1, longest + 1)
    grid = pd.MultiIndex.from_product(
        [np.arange(1, int(np.clip(top, 2, _MOST_ROWS)) + 1), steps],
        names=["frequency", "recency"],
    ).to_frame(index=False)
    if model._whole_times:  # at most one purchase a period
        grid = grid[grid["frequency"] <= grid["recency"]].reset_index(drop=True)
    grid["T"] = longest
    grid.attrs.update({key: value for key, value in frame.attrs.items() if key == "unit"})
    single = pd.DataFrame({"frequency": [0], "recency": [0.0], "T": [longest]})
    data = grid[["frequency", "recency"]].round(3)
    data["silence"] = (longest - grid["recency"]).round(3)
    data["alive"] = model.probability_alive(grid).round(4)
    data.attrs = {
        "n": round(rows.n_customers),
        "T": longest,
        "unit": model.unit_,
        "one_time": round(float(model.probability_alive(single).to_numpy()[0]), 4),
    }
    return data


def alive_map_verdict(data: pd.DataFrame) -> str:
    """Return what the same silence says about a rare and about a frequent buyer.

    Parameters
    ----------
    data : DataFrame
        From `alive_map_data`.
    """
    word = unit_word(data.attrs["unit"])
    off = (data["silence"] - data.attrs["T"] / 2).abs()
    silence = float(data["silence"].iloc[int(off.to_numpy().argmin())])
    same = data[data["silence"] == silence]
    rare, often = same.iloc[0], same.iloc[-1]
    if often["alive"] < rare["alive"] - 0.01:
        says = "the same silence says more about a frequent buyer"
    elif often["alive"] > rare["alive"] + 0.01:
        says = "the frequent buyer is still the safer one"
    else:
        says = "that silence says the same of both"
    return (
        f"After {lasts(silence, word)} of silence a customer with "
        f"{_repeats(rare['frequency'])} is still alive with a probability of "
        f"{rare['alive']:.0%}, one with {_repeats(often['frequency'])} of {often['alive']:.0%}: "
        f"{says}. For a customer who bought once, {lasts(data.attrs['T'], word)} ago, it is "
        f"{data.attrs['one_time']:.0%}."
    )


def alive_map(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw P(alive) over silence and frequency as a map.

    Parameters
    ----------
    data : DataFrame
        From `alive_map_data`.
    source : str
        For the footer.
    """
    word = unit_word(data.attrs["unit"])
    table = data.pivot(index="frequency", columns="silence", values="alive")  # noqa: PD010
    figure = go.Figure()
    figure.add_heatmap(
        x=table.columns.tolist(),
        y=table.index.tolist(),
        # A gap where there is no such customer.
        z=[
            [None if np.isnan(value) else float(value) for value in row] for row in table.to_numpy()
        ],
        zmin=0,
        zmax=1,
        colorscale=[[0, "#f2f2f2"], [1, ACCENT]],
        colorbar={"title": {"text": "P(alive)"}, "tickformat": ".0%", "thickness": 14},
        hovertemplate=(
            "%{y} repeat purchases, %{x:.1f} " + word + " of silence: P(alive) %{z:.0%}"
            "<extra></extra>"
        ),
    )
    figure.update_xaxes(title=f"Silence: {word} since the last purchase")
    figure.update_yaxes(title="Repeat purchases", showgrid=False)
    low, high = float(data["alive"].min()), float(data["alive"].max())
    title = (
        f"Observed for {lasts(data.attrs['T'], word)}, repeat buyers have a P(alive) of {low:.0%} "
        f"to {high:.0%}, one-time buyers of {data.attrs['one_time']:.0%}"
    )
    return finish(figure, title, source, data.attrs["n"], footer_at=-0.27)


def alive_path_data(
    model: PurchaseModel, purchase_times: Any, until: Any, line: float = 0.5
) -> pd.DataFrame:
    """Return one customer's P(alive) on every day from the first purchase to ``until``.

    Each day knows the purchases up to that day only.

    Parameters
    ----------
    model : PurchaseModel
        Fitted in days or weeks, without covariates.
    purchase_times : sequence of dates
        Days of the customer's purchases, as days, text ("1997-09-30") or timestamps without a
        time zone; such as `purchase_days` returns. Days after ``until`` are left out.
    until : date
        Last day.
    line : float
        Level of P(alive) in (0, 1) at which the customer counts as asleep.

    Returns
    -------
    DataFrame
        A row a day: date (ISO), frequency, silence (since the last purchase, in the unit),
        alive, purchase (bool). ``attrs`` holds unit, line, and gap: the silence after which
        P(alive) falls to the line without another purchase; None where it never does.

    Raises
    ------
    InputError
        If no purchase lies on or before ``until``, or the model's unit is neither days nor weeks.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> model = tp.ModifiedBetaGeoModel.from_params([0.525, 6.183, 0.891, 1.614], unit="W")
    >>> path = charts.alive_path_data(model, ["1997-01-01", "1997-01-18"], "1997-06-30")
    >>> path[["date", "alive"]].iloc[[0, 16, 17, -1]]
               date   alive
    0    1997-01-01  0.6443
    16   1997-01-17  0.6056
    17   1997-01-18  0.7458
    180  1997-06-30  0.2848
    """
    model._require_fit()
    level = check_number("line", line, gt=0, lt=1)
    if model._whole_times or model.unit_ not in UNIT_DAYS:
        raise fail(
            f"the {type(model).__name__} counts time in "
            f"{'an unknown unit' if model.unit_ is None else UNIT_WORDS[model.unit_]}"
            f"{', in whole periods' if model._whole_times else ''}",
            'a path by day needs a model fitted in "D" or "W"',
        )
    unit_days = UNIT_DAYS[model.unit_]
    last = to_day("until", until)
    if isinstance(purchase_times, str):
        raise fail(f"purchase_times is {purchase_times!r}", "pass a list of days")
    bought = sorted({_day(moment) for moment in purchase_times})
    bought = [day for day in bought if day <= last]
    if not bought:
        raise fail(f"no purchase on or before {to_date(last)}", "pass the customer's purchase days")
    days = np.arange(bought[0], last + 1)
    number = np.searchsorted(bought, days, side="right") - 1
    latest = np.array(bought)[number]
    customers = pd.DataFrame(
        {
            "frequency": number,
            "recency": (latest - bought[0]) / unit_days,
            "T": (days - bought[0]) / unit_days,
        }
    )
    customers.attrs["unit"] = model.unit_
    gap = float(model.dormancy_gap(customers.tail(1), alive=level).to_numpy()[0])
    data = pd.DataFrame(
        {
            "date": [to_date(int(day)).isoformat() for day in days],
            "frequency": number,
            "silence": ((days - latest) / unit_days).round(3),
            "alive": model.probability_alive(customers).round(4),
            "purchase": latest == days,
        }
    )
    data.attrs = {
        "unit": model.unit_,
        "line": level,
        "gap": round(gap, 3) if gap < _FOREVER else None,
    }
    return data


def alive_path_verdict(data: pd.DataFrame) -> str:
    """Return how alive the customer is on the last day, and when the line is or was crossed.

    Parameters
    ----------
    data : DataFrame
        From `alive_path_data`.
    """
    word, line, gap = unit_word(data.attrs["unit"]), data.attrs["line"], data.attrs["gap"]
    last = data.iloc[-1]
    returns = data[data["purchase"]].index[1:]
    lowest = data["alive"].iloc[returns - 1].min() if len(returns) else None
    before = (
        f" Before a return it had been as low as {lowest:.0%}."
        if lowest is not None and lowest < line
        else ""
    )
    if gap is None:
        crossing = f"silence alone will not bring that below {line:.0%} in any time that matters"
    elif gap == 0:
        crossing = f"that was below {line:.0%} on the day of the purchase already"
    elif gap <= last["silence"]:
        crossing = f"it fell below {line:.0%} after {gap:,.1f} {word} of silence"
    else:
        crossing = (
            f"without another purchase it falls below {line:.0%} after {gap:,.1f} {word} of silence"
        )
    return (
        f"On {last['date']}, {last['silence']:,.1f} {word} after the last of "
        f"{int(data['purchase'].sum())} purchase days, the customer is alive with a probability "
        f"of {last['alive']:.0%}; {crossing}.{before}"
    )


def alive_path(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw one customer's P(alive) through time, with the purchases and the line.

    Parameters
    ----------
    data : DataFrame
        From `alive_path_data`.
    source : str
        For the footer, where n is the number of purchase days.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=data["date"].tolist(),
        y=data["alive"].tolist(),
        mode="lines",
        line={"color": ACCENT, "width": 2},
        customdata=data["silence"].tolist(),
        hovertemplate=(
            "%{x}: P(alive) %{y:.0%} after %{customdata:.1f} "
            + unit_word(data.attrs["unit"])
            + " of silence<extra></extra>"
        ),
    )
    bought = data[data["purchase"]]
    figure.add_scatter(
        x=bought["date"].tolist(),
        y=bought["alive"].tolist(),
        mode="markers",
        marker={"color": "#222222", "size": 9},
        hovertemplate="%{x}: purchase<extra></extra>",
    )
    line = data.attrs["line"]
    ends = [data["date"].iloc[0], data["date"].iloc[-1]]
    figure.add_scatter(
        x=ends,
        y=[line, line],
        mode="lines",
        line={"color": BASELINE, "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
    )
    figure.add_annotation(
        x=ends[0],
        y=line,
        text=f"asleep below {line:.0%}",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        font={"color": BASELINE},
    )
    figure.update_xaxes(title="Day (points: purchases)", type="date")
    figure.update_yaxes(title="P(alive)", tickformat=".0%", range=[-0.02, 1.05])
    last = data.iloc[-1]
    title = (
        f"P(alive) is {last['alive']:.0%} after {last['silence']:,.1f} "
        f"{unit_word(data.attrs['unit'])} of silence"
    )
    return finish(figure, title, source, len(bought), footer_at=-0.27)


def _day(moment: Any) -> int:
    """Return the day number of a purchase, whatever its time of day."""
    stamp = pd.Timestamp(moment)
    if pd.isna(stamp) or stamp.tzinfo is not None:
        raise fail(
            f"purchase_times holds {moment!r}", "every one must be a day, without a time zone"
        )
    return to_day("purchase_times", stamp.normalize())


def lasts(duration: float, word: str) -> str:
    """Return a duration in words, with as many digits as matter."""
    if duration > _FOREVER:
        return f"more than 100,000 {word}"
    return f"{duration:,.0f} {word}" if duration >= 10 else f"{duration:.1f} {word}"


def unit_word(unit: str | None) -> str:
    return "units of time" if unit is None else UNIT_WORDS[unit]


def _repeats(frequency: float) -> str:
    return f"{frequency:g} repeat purchase{'' if frequency == 1 else 's'}"
