"""Figures of lifetime models against what happened: frequencies before, purchases after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.special import gammaincinv, pdtr

from touchpoint_lib._checks import FloatArray, check_columns, check_values, fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, finish, text
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import Rows, check_rows, customer_frame, tally
from touchpoint_lib.lifetime.comparison import by_duration, name_models, own_rates

#: Repeat purchases from which on customers share a class.
_TOP = 7
_CLASSES = (*map(str, range(_TOP)), f"{_TOP}+")
_Z = 1.959963984540054
_ONE_RATE = "one rate for all"
_OWN_RATE = "own rate"


def frequency_histogram_data(models: Any, customers: Any) -> pd.DataFrame:
    """Return customers by number of repeat purchases, beside those that each model expects.

    A model's expectation is that of newcomers: P(X(T) = n), summed over the customers' T. The
    baseline "one rate for all" takes every customer for a Poisson buyer of the same rate.

    Parameters
    ----------
    models : PurchaseModel, mapping of str to PurchaseModel, or sequence of PurchaseModel
        Fitted.
    customers : DataFrame or CustomerBase
        With frequency, recency and T; a column ``count`` weighs the rows.

    Returns
    -------
    DataFrame
        A row a model and class: model, purchases ("0", "1", ... "7+"), actual, expected, lower
        and upper: the 95% range of chance around the expected number (normal approximation to a
        sum of draws). ``attrs["n"]`` is the number of customers.

    Raises
    ------
    InputError
        If a model has no parameters, or a value is missing or impossible.

    References
    ----------
    Fader, Hardie & Lee (2005), figure 1.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> data = charts.frequency_histogram_data(tp.BetaGeoModel().fit(split), split)
    >>> data[["purchases", "actual", "expected"]].head(3).round()
      purchases  actual  expected
    0         0  1411.0    1408.0
    1         1   439.0     460.0
    2         2   214.0     192.0
    """
    named = _named(models, _ONE_RATE)
    frame = customer_frame(customers)
    rows = check_rows(frame)
    n = rows.n_customers
    observed = float(rows.count @ rows.T)
    if observed == 0:
        raise fail("T is 0 for every customer", "use a longer window")
    place = np.minimum(rows.frequency, _TOP).astype(np.int64)
    actual = tally(place, rows.count, _TOP + 1)
    rate = float(rows.count @ rows.frequency) / observed
    parts = []
    for name, model in (*named.items(), (_ONE_RATE, None)):
        if model is None:
            # As in a model's own prediction: what is left of 1 is in the last class.
            below = pdtr(np.arange(_TOP)[:, None], rate * rows.T)
            chance = np.diff(below, axis=0, prepend=0.0, append=1.0)
        else:
            chance = _newcomer_chances(model, frame, rows)
        expected = chance @ rows.count
        half = _Z * np.sqrt((chance * (1 - chance)) @ rows.count)
        parts.append(
            pd.DataFrame(
                {
                    "model": name,
                    "purchases": _CLASSES,
                    "actual": actual,
                    "expected": expected,
                    "lower": np.maximum(expected - half, 0.0),
                    "upper": np.minimum(expected + half, n),
                }
            )
        )
    data = pd.concat(parts, ignore_index=True).round(4)
    data.attrs = {"n": n}
    return data


def frequency_histogram_verdict(data: pd.DataFrame) -> str:
    """Return how many classes the first model describes within chance, beside the baseline.

    Parameters
    ----------
    data : DataFrame
        From `frequency_histogram_data`.
    """
    name, rows = first_model(data)
    within = {model: _within(part) for model, part in data.groupby("model", sort=False)}
    none = rows.iloc[0]
    off = (rows["actual"] - rows["expected"]).abs() / (rows["upper"] - rows["lower"] + 1)
    worst = rows.iloc[int(off.to_numpy().argmax())]
    furthest = (
        ""
        if within[name] == len(rows)
        else f" Furthest off: {worst['purchases']} repeat purchases, where "
        f"{worst['expected']:,.0f} customers were expected and {worst['actual']:,.0f} counted."
    )
    return (
        f"{name} puts {none['expected']:,.0f} of {data.attrs['n']:,.0f} customers at no repeat "
        f"purchase, where {none['actual']:,.0f} are, and is within chance in {within[name]} of "
        f"{len(rows)} classes; one rate for all customers would be in {within[_ONE_RATE]}."
        f"{furthest}"
    )


def frequency_histogram(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw customers by number of repeat purchases: actual as bars, expected as points.

    Parameters
    ----------
    data : DataFrame
        From `frequency_histogram_data`.
    source : str
        For the footer.
    """
    name, rows = first_model(data)
    figure = go.Figure()
    figure.add_bar(
        name="actual",
        x=rows["purchases"].tolist(),
        y=rows["actual"].round(1).tolist(),
        marker_color=GREYS[3],
        hovertemplate="%{x}: %{y:,} customers<extra>actual</extra>",
    )
    for model, part, colour, symbol in _styled(data, _ONE_RATE):
        figure.add_scatter(
            name=text(model),
            x=part["purchases"].tolist(),
            y=part["expected"].round(1).tolist(),
            error_y=error_bars(part["expected"], part["lower"], part["upper"], 1),
            mode="markers",
            marker={"color": colour, "size": 9, "symbol": symbol},
            hovertemplate="%{x}: %{y:,.0f} expected<extra>" + text(model) + "</extra>",
        )
    # As text: plotly takes "0" to "6" for numbers, and "7+" for none.
    figure.update_xaxes(
        title="Repeat purchases", type="category", categoryorder="array", categoryarray=_CLASSES
    )
    figure.update_yaxes(title="Customers", rangemode="tozero")
    title = (
        f"{name} is within chance in {_within(rows)} of {len(rows)} classes of customers; bars "
        "at the points are 95% ranges"
    )
    # Several models side by side, not on top of each other.
    figure.update_layout(scattermode="group", scattergap=0.6)
    n = round(data.attrs["n"])
    return legend_on_top(finish(figure, title, source, n, footer_at=-0.33))


def conditional_expectation_data(models: Any, split: pd.DataFrame) -> pd.DataFrame:
    """Return holdout purchases a customer by repeat purchases before, actual and expected.

    The baseline "own rate" lets each customer go on at frequency / T.

    Parameters
    ----------
    models : PurchaseModel, mapping of str to PurchaseModel, or sequence of PurchaseModel
        Fitted on the calibration part.
    split : DataFrame
        From `rfm_split`; a column ``count`` weighs the rows.

    Returns
    -------
    DataFrame
        A row a model and class that has customers: model, purchases ("0", "1", ... "7+"), n,
        actual, low and high (95%, of the actual mean: Poisson limits, widened by the variance of
        the customers' numbers over their mean where that exceeds 1), and expected.

    Raises
    ------
    InputError
        If a model has no parameters, or ``split`` lacks a column.

    References
    ----------
    Fader, Hardie & Lee (2005), figure 4. Garwood (1936) for the limits of a Poisson count.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> data = charts.conditional_expectation_data(tp.BetaGeoModel().fit(split), split)
    >>> data[["purchases", "n", "actual", "expected"]].head(3).round(2)
      purchases       n  actual  expected
    0         0  1411.0    0.24      0.23
    1         1   439.0    0.70      0.52
    2         2   214.0    1.39      1.04
    """
    named = _named(models, _OWN_RATE)
    frame = customer_frame(split)
    check_columns(frame, ("holdout_frequency", "holdout_duration"), "split")
    rows = check_rows(frame)
    came = check_values("holdout_frequency", frame["holdout_frequency"], ge=0, index=frame.index)
    duration = check_values("holdout_duration", frame["holdout_duration"], gt=0, index=frame.index)
    place = np.minimum(rows.frequency, _TOP).astype(np.int64)

    def sums(values: FloatArray) -> FloatArray:
        return tally(place, rows.count * values, _TOP + 1)

    n = sums(np.ones(len(frame)))
    has = np.flatnonzero(n > 0)
    n = n[has]
    total = sums(came)[has]
    low, high = _count_interval(total, sums(came**2)[has], n)
    parts = []
    for name, model in (*named.items(), (_OWN_RATE, None)):
        expected = (
            own_rates(rows) * duration
            if model is None
            else by_duration(model.expected_purchases, frame, duration)
        )
        parts.append(
            pd.DataFrame(
                {
                    "model": name,
                    "purchases": [_CLASSES[at] for at in has],
                    "n": n,
                    "actual": total / n,
                    "low": low / n,
                    "high": high / n,
                    "expected": sums(expected)[has] / n,
                }
            )
        )
    # Fine enough for totals: many customers share a mean.
    return pd.concat(parts, ignore_index=True).round(8)


def conditional_expectation_verdict(data: pd.DataFrame) -> str:
    """Return in how many classes the first model and the own rates meet what came.

    Parameters
    ----------
    data : DataFrame
        From `conditional_expectation_data`.
    """
    name, rows = first_model(data)
    own = data[data["model"] == _OWN_RATE]

    def met(part: pd.DataFrame) -> int:
        return int(part["expected"].between(part["low"], part["high"]).sum())

    def miss(part: pd.DataFrame) -> float:
        return float(((part["expected"] - part["actual"]).abs() * part["n"]).sum())

    last = rows.iloc[-1]
    nearer = "nearer" if miss(rows) < miss(own) else "no nearer"
    return (
        f"Of {len(rows)} class{'' if len(rows) == 1 else 'es'} by purchases before, {name} meets "
        f"what came within the 95% interval in {met(rows)}, the customers' own rate in {met(own)}; "
        f"over all classes the model is {nearer}. Customers with {_repeats(last['purchases'])} "
        f"bought {last['actual']:.2f} times, {last['expected']:.2f} were expected and "
        f"{own['expected'].iloc[-1]:.2f} at their own rate."
    )


def conditional_expectation(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw holdout purchases a customer by repeat purchases before, a line a model.

    Parameters
    ----------
    data : DataFrame
        From `conditional_expectation_data`.
    source : str
        For the footer.
    """
    name, rows = first_model(data)
    figure = go.Figure()
    for model, part, colour, _ in _styled(data, _OWN_RATE):
        figure.add_scatter(
            name=text(model),
            x=part["purchases"].tolist(),
            y=part["expected"].round(3).tolist(),
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": "dash" if model == _OWN_RATE else "solid"},
            marker={"size": 6},
            hovertemplate="%{x}: %{y:.2f} expected<extra>" + text(model) + "</extra>",
        )
    figure.add_scatter(
        name="actual",
        x=rows["purchases"].tolist(),
        y=rows["actual"].round(3).tolist(),
        error_y=error_bars(rows["actual"], rows["low"], rows["high"], 3),
        mode="markers",
        marker={"color": "#222222", "size": 9},
        customdata=rows["n"].round(1).tolist(),
        hovertemplate="%{x}: %{y:.2f} bought by each of %{customdata:,}<extra>actual</extra>",
    )
    figure.update_xaxes(
        title="Repeat purchases before the split",
        type="category",
        categoryorder="array",
        categoryarray=_CLASSES,
    )
    figure.update_yaxes(title="Purchases a customer after it", rangemode="tozero")
    total = float((rows["n"] * rows["actual"]).sum())
    expected = float((rows["n"] * rows["expected"]).sum())
    title = (
        f"{name} expected {expected:,.0f} purchases after the split and {total:,.0f} came; bars "
        "are 95% intervals of what came"
    )
    n = round(float(rows["n"].sum()))
    return legend_on_top(finish(figure, title, source, n, footer_at=-0.33))


def _named(models: Any, baseline: str) -> dict[str, PurchaseModel]:
    named = name_models(models)
    if baseline in named:
        raise fail(f"a model is named {baseline!r}", "the baseline has that name: choose another")
    for model in named.values():
        model._require_fit()
    return named


def _newcomer_chances(model: PurchaseModel, frame: pd.DataFrame, rows: Rows) -> FloatArray:
    """Return P(X(T) = n) of each customer as known on the first day, a row a class."""
    chance = np.empty((_TOP + 1, len(frame)))
    ages, inverse = np.unique(rows.T, return_inverse=True)
    predict = model.probability_of_n_purchases_new_customer
    for n in range(_TOP):
        if model._covariates is None:
            chance[n] = np.array([predict(n, age) for age in ages.tolist()])[inverse]
            continue
        for place, age in enumerate(ages.tolist()):
            at = inverse == place
            chance[n, at] = predict(n, age, covariates=frame[at])
    chance[_TOP] = np.maximum(1 - chance[:_TOP].sum(axis=0), 0.0)
    return chance


def _count_interval(
    total: FloatArray, squares: FloatArray, n: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return 95% limits of the expectation of a total, from those of a Poisson count.

    Counts spread wider than Poisson by a factor are worth so many times fewer events.
    """
    some = total > 0
    spread = squares / np.where(some, total, 1.0) - total / n
    factor = np.where(some, np.maximum(spread, 1.0), 1.0)
    events = total / factor
    low = np.where(some, gammaincinv(np.where(some, events, 1.0), 0.025), 0.0)
    return low * factor, gammaincinv(events + 1, 0.975) * factor


def first_model(data: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    name = str(data["model"].iloc[0])
    return name, data[data["model"] == name]


def _within(rows: pd.DataFrame) -> int:
    return int(rows["actual"].between(rows["lower"], rows["upper"]).sum())


def _styled(data: pd.DataFrame, baseline: str) -> list[tuple[str, pd.DataFrame, str, str]]:
    """Return name, rows, colour and symbol of each model, the baseline first, the accent last."""
    shades = iter((ACCENT, *GREYS))
    styled = [
        (
            str(name),
            part,
            BASELINE if name == baseline else next(shades, GREYS[-1]),
            "diamond" if name == baseline else "circle",
        )
        for name, part in data.groupby("model", sort=False)
    ]
    return styled[::-1]


def error_bars(
    middle: pd.Series, low: pd.Series, high: pd.Series, digits: int = 4
) -> dict[str, object]:
    """Return plotly's error bars from bounds."""

    def lengths(values: Sequence[float]) -> list[float]:
        return [round(float(value), digits) for value in values]

    return {
        "type": "data",
        "symmetric": False,
        "array": lengths(high.to_numpy(float) - middle.to_numpy(float)),
        "arrayminus": lengths(middle.to_numpy(float) - low.to_numpy(float)),
        "thickness": 1,
        "width": 4,
    }


def _repeats(name: object) -> str:
    return f"{name} repeat purchase{'' if str(name) == '1' else 's'}"


def legend_on_top(figure: go.Figure) -> go.Figure:
    return figure.update_layout(
        margin={"t": 130},
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
