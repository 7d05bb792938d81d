"""Repeat purchases week by week, actual against expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import UNIT_DAYS, FloatArray, IntArray, check_columns, fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, finish, text
from touchpoint_lib.charts.lifetime import first_model, legend_on_top
from touchpoint_lib.data.days import to_date, to_day
from touchpoint_lib.data.visits import weekly_repeats
from touchpoint_lib.lifetime._intervals import low_discrepancy
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import (
    Rows,
    check_rows,
    common_unit,
    customer_frame,
    group_with_design,
)
from touchpoint_lib.lifetime.comparison import name_models, own_rates

_WEEK = 7
_Z = 1.959963984540054
#: Ages at which an expectation is evaluated, and at which each of the draws behind a band is.
_NODES = 33
_COARSE = 17
_DRAWS = 64
_INK = "#222222"


def tracking_data(
    models: Any,
    split: pd.DataFrame,
    log: Any,
    *,
    customer: str = "customer_id",
    time: str = "date",
    amount: str | None = "amount",
    unit: str | None = None,
    until: Any = None,
    order: str | None = None,
    tz: str | None = None,
    on_bad: str = "raise",
    returns: str = "raise",
    discount: str | None = None,
) -> pd.DataFrame:
    """Return repeat purchases week by week, beside those that each model expects.

    Only customers acquired by the split count. A model's expectation is that of newcomers: the
    sum over customers of E[X(t)], t the time since their first purchase. Weeks end on the day
    of the split and every seven days before and after it, so the first and the last may be short.

    Parameters
    ----------
    models : PurchaseModel, mapping of str to PurchaseModel, or sequence of PurchaseModel
        Fitted on the calibration part.
    split : DataFrame
        From `rfm_split`.
    log
        The log that ``split`` was made from.
    customer, time, amount, unit, until, order, tz, on_bad, returns, discount
        As they were passed to `rfm_split`.

    Returns
    -------
    DataFrame
        A row a model and week: model, week (1, 2, ...), end (last day, ISO), days (7 where the
        week is whole), actual, expected, lower, upper, own_rate (every customer going on at
        frequency / T), the same five with the prefix cumulative_, and holdout (bool). The 95%
        bands hold the parameters' uncertainty (where the model knows it) and the chance of each
        period: expected purchases times the variance of the customers' numbers over their mean
        (at least 1, that of Poisson). They know nothing of seasons. ``attrs`` holds n, split,
        certain (the models whose parameters were taken as known: given ones, or of a fit that
        did not converge), and holdout: by model the expected purchases after the split with
        their bounds.

    Raises
    ------
    InputError
        If log and split do not belong together, a model has no parameters, or it counts time in
        whole periods.

    References
    ----------
    Fader, Hardie & Lee (2005), figures 2 and 3; vignette of the R package BTYD, section 2.3.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> log = tp.load_cdnow(sample=True)
    >>> split = tp.rfm_split(log, split="1997-09-30")
    >>> model = tp.BetaGeoModel().fit(split)
    >>> data = charts.tracking_data(model, split, log)
    >>> data[["week", "cumulative_actual", "cumulative_expected"]].iloc[19:22].round()
        week  cumulative_actual  cumulative_expected
    19    20               1359               1302.0
    20    21               1414               1377.0
    21    22               1484               1450.0
    """
    named = name_models(models)
    frame = customer_frame(split)
    check_columns(frame, ("holdout_frequency", "holdout_duration"), "split")
    rows = check_rows(frame)
    if not {"unit", "split", "until"} <= set(frame.attrs):
        raise fail(
            "split.attrs lacks unit, split or until", "pass the frame that rfm_split returned"
        )
    own_unit = common_unit(frame.attrs, unit)
    assert own_unit is not None
    for name, model in named.items():
        _check_model(name, model, own_unit)
    unit_days = UNIT_DAYS[own_unit]
    cut, last = (to_day(name, frame.attrs[name]) for name in ("split", "until"))
    births = cut - np.rint(rows.T * unit_days).astype(np.int64)
    first = int(births.min())
    before = -(-(cut + 1 - first) // _WEEK)  # weeks up to the split, the first one begun
    start = cut + 1 - _WEEK * before
    n_weeks = before - (-(last - cut) // _WEEK)
    weeks, observed = weekly_repeats(
        log,
        cut,
        start,
        customer=customer,
        time=time,
        amount=amount,
        unit=own_unit,
        until=until,
        order=order,
        tz=tz,
        on_bad=on_bad,
        returns=returns,
        discount=discount,
    )
    weeks = weeks.set_index("week").reindex(np.arange(n_weeks), fill_value=0.0)
    bought, squares, grown = weeks[["bought", "squares", "grown"]].to_numpy(np.float64).T
    found = (int(bought[:before].sum()), int(bought[before:].sum()), observed)
    known = (int(rows.frequency.sum()), int(frame["holdout_frequency"].sum()), last)
    if found != known:
        of_log, of_split = (
            f"{calibration:,} repeat purchases up to the split and {holdout:,} after it until "
            f"{to_date(end)}"
            for calibration, holdout, end in (found, known)
        )
        raise fail(
            f"the log has {of_log}, split has {of_split}",
            "pass the log and the options that rfm_split was given",
        )

    ends = np.minimum(start - 1 + _WEEK * np.arange(1, n_weeks + 1), last)
    ages = _Ages(births, ends, unit_days)
    own = ages.linear(own_rates(rows))
    n, cumulative = len(frame), np.cumsum(bought)
    by_week = _dispersion(bought, squares, n)
    by_total = _dispersion(cumulative, np.cumsum(grown), n)
    later = frame["holdout_frequency"].to_numpy(dtype=np.float64)
    by_holdout = _dispersion(np.array([later.sum()]), np.array([later @ later]), n)
    parts, certain, holdout = [], [], {}
    for name, model in named.items():
        total, drawn = ages.expected(model, frame)
        if drawn is None:
            certain.append(name)
            drawn = total[:, None]
        after = total[-1:] - total[before - 1]
        band = _band(after, drawn[-1:] - drawn[before - 1], by_holdout)
        holdout[name] = [round(float(value[0]), 4) for value in (after, *band)]
        weekly = np.diff(total, prepend=0.0)
        week_band = _band(weekly, np.diff(drawn, axis=0, prepend=0.0), by_week)
        band = _band(total, drawn, by_total)
        parts.append(
            pd.DataFrame(
                {
                    "model": name,
                    "week": np.arange(1, n_weeks + 1),
                    "end": [to_date(int(end)).isoformat() for end in ends],
                    "days": np.diff(np.append(first - 1, ends)),
                    "actual": bought.astype(np.int64),
                    "expected": weekly,
                    "lower": week_band[0],
                    "upper": week_band[1],
                    "own_rate": np.diff(own, prepend=0.0),
                    "cumulative_actual": cumulative.astype(np.int64),
                    "cumulative_expected": total,
                    "cumulative_lower": band[0],
                    "cumulative_upper": band[1],
                    "cumulative_own_rate": own,
                    "holdout": ends > cut,
                }
            )
        )
    data = pd.concat(parts, ignore_index=True).round(4)
    data.attrs = {
        "n": n,
        "split": to_date(cut).isoformat(),
        "certain": certain,
        "holdout": holdout,
    }
    return data


def tracking_verdict(data: pd.DataFrame) -> str:
    """Return what came after the split, and what the first model and the own rates expected.

    Parameters
    ----------
    data : DataFrame
        From `tracking_data`.
    """
    name, rows = first_model(data)
    came, expected, low, high, own = _holdout(data)
    known = ", taking its parameters as known" if name in data.attrs["certain"] else ""
    if low <= came <= high:
        says = "That is within what chance explains"
    else:
        says = f"Clearly {'fewer' if came < low else 'more'} came than expected"
    whole = rows[(rows["days"] == _WEEK) & rows["holdout"]]
    inside = int(whole["actual"].between(whole["lower"], whole["upper"]).sum())
    weeks = f"; {inside} of {len(whole)} whole weeks lie in their bands" if len(whole) else ""
    # As far as the sentence shows.
    far, near = abs(round(own) - came), abs(round(expected) - came)
    further = "further off" if far > near else "closer" if far < near else "as far off"
    return (
        f"After the split {came:,.0f} repeat purchases came where {name} expected "
        f"{expected:,.0f} (95%: {low:,.0f} to {high:,.0f}{known}). {says}{weeks}. Customers who "
        f"all went on at their own rate would have bought {own:,.0f} "
        f"{'time' if round(own) == 1 else 'times'}, which is {further}."
    )


def tracking(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw cumulative and weekly repeat purchases, actual against expected, with the split.

    The first model has its 95% band; weeks that are not whole are drawn in the totals only.

    Parameters
    ----------
    data : DataFrame
        From `tracking_data`.
    source : str
        For the footer.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    name, first = first_model(data)
    for row, prefix in ((1, "cumulative_"), (2, "")):

        def drawn(rows: pd.DataFrame, row: int = row) -> pd.DataFrame:
            return rows if row == 1 else rows[rows["days"] == _WEEK]

        def line(rows: pd.DataFrame, column: str, label: str, row: int = row, **style: Any) -> None:
            figure.add_scatter(
                name=text(label),
                x=rows["end"].tolist(),
                y=rows[column].round(1).tolist(),
                mode="lines",
                legendgroup=text(label),
                showlegend=row == 1,
                line=style,
                hovertemplate="%{x}: %{y:,.0f}<extra>" + text(label) + "</extra>",
                row=row,
                col=1,
            )

        rows = drawn(first)
        figure.add_scatter(
            x=[*rows["end"], *rows["end"][::-1]],
            y=[
                *rows[f"{prefix}upper"].round(1),
                *rows[f"{prefix}lower"][::-1].round(1),
            ],
            fill="toself",
            fillcolor="rgba(0, 114, 178, 0.18)",
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            row=row,
            col=1,
        )
        line(rows, f"{prefix}actual", "actual", color=_INK, width=2)
        line(rows, f"{prefix}own_rate", "own rates", color=BASELINE, width=1.5, dash="dash")
        others = [str(other) for other in data["model"].unique() if other != name]
        for at, other in enumerate(others):
            chosen = drawn(data[data["model"] == other])
            grey = GREYS[min(at, len(GREYS) - 1)]
            line(chosen, f"{prefix}expected", other, color=grey, width=1.5, dash="dot")
        line(rows, f"{prefix}expected", name, color=ACCENT, width=2)
        figure.add_shape(
            type="line",
            x0=data.attrs["split"],
            x1=data.attrs["split"],
            y0=0,
            y1=1,
            yref="y domain" if row == 1 else "y2 domain",
            line={"color": GREYS[1], "width": 1},
            row=row,
            col=1,
        )
    figure.add_annotation(
        x=data.attrs["split"],
        y=1,
        yref="y domain",
        text="split",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        font={"color": GREYS[1]},
    )
    figure.update_yaxes(title="Repeat purchases so far", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title="In the week", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(type="date", title="Last day of the week", row=2, col=1)
    came, expected, low, high, _ = _holdout(data)
    title = (
        f"{came:,.0f} repeat purchases came after the split; {name} expected {expected:,.0f} "
        f"(95%: {low:,.0f} to {high:,.0f})"
    )
    finish(figure, title, source, data.attrs["n"], footer_at=-0.175)
    return legend_on_top(figure).update_layout(height=640)


class _Ages:
    """The ages that customers reach at the ends of weeks, by their day of birth."""

    def __init__(self, births: IntArray, ends: IntArray, unit_days: float) -> None:
        self.born, self.at = np.unique(births, return_inverse=True)
        reached = np.maximum(ends[:, None] - self.born, 0)
        self.age = reached / unit_days
        days, place = np.unique(reached, return_inverse=True)
        self.place = place.reshape(reached.shape)
        self.fine = _interpolation(days / unit_days, _NODES)
        self.coarse = _interpolation(days / unit_days, _COARSE)

    def linear(self, rate: FloatArray) -> FloatArray:
        """Return the summed rate times age of all customers at the end of each week."""
        total: FloatArray = self.age @ np.bincount(self.at, weights=rate)
        return total

    def expected(
        self, model: PurchaseModel, frame: pd.DataFrame
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return expected repeat purchases up to each end: at the estimates, and a column a draw.

        No draws where the model does not know the errors of its parameters.
        """
        n = len(frame)
        zero = np.zeros(n)
        rows, design = Rows(zero, zero, zero, np.ones(n)), None
        inverse = np.zeros(n, dtype=np.int64)
        if model._covariates is None:
            rows = rows.part(slice(1))
        else:
            rows, design, inverse = group_with_design(rows, model._covariates.matrix(frame))

        def total(params: FloatArray, rule: tuple[FloatArray, FloatArray]) -> FloatArray:
            own = model._at(params, design)
            nodes, weights = rule
            at_nodes = np.empty((len(nodes), len(self.born)))
            for k, age in enumerate(nodes):
                each = model._purchases(own, rows, float(age))[inverse]
                at_nodes[k] = np.bincount(self.at, weights=each)
            curves = weights @ at_nodes
            sums: FloatArray = curves[self.place, np.arange(len(self.born))].sum(axis=1)
            # Interpolation may undercut by its last digits where nobody is of age yet.
            return np.maximum.accumulate(np.maximum(sums, 0.0))

        estimate = total(model._require_fit(), self.fine)
        covariance = model._log_covariance
        if covariance is None or not np.isfinite(covariance).all():
            return estimate, None
        draws = model._draws(low_discrepancy(_DRAWS, len(covariance)))
        return estimate, np.stack([total(params, self.coarse) for params in draws], axis=1)


def _interpolation(times: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Return ``n`` nodes, and the matrix that turns values at them into values at ``times``.

    Chebyshev's points of the second kind in ln(1 + t / scale), in which expected purchases are
    smooth, and the barycentric formula (Berrut & Trefethen 2004, eq. 4.2 and 5.4).
    """
    scale = max(float(times.max()), 1e-9) / 20
    at = np.log1p(times / scale)
    points = at.max() * (1 - np.cos(np.pi * np.arange(n) / (n - 1))) / 2
    sign = (-1.0) ** np.arange(n)
    sign[[0, -1]] /= 2
    gap = at[:, None] - points
    hit = gap == 0
    matrix = sign / np.where(hit, 1.0, gap)
    matrix /= matrix.sum(axis=1, keepdims=True)
    exact = hit.any(axis=1)
    matrix[exact] = hit[exact]
    return scale * np.expm1(points), matrix


def _dispersion(total: FloatArray, squares: FloatArray, n: int) -> FloatArray:
    """Return the variance of the customers' numbers over their mean, at least Poisson's 1.

    Fewer than that is an accident of few customers, and no purchase at all says nothing.
    """
    spread = squares / np.where(total > 0, total, 1.0) - total / n
    return np.maximum(spread, 1.0)


def _band(
    expected: FloatArray, draws: FloatArray, dispersion: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return 95% bounds of what comes, from the draws' spread and the customers' own."""
    half = _Z * np.sqrt(draws.var(axis=1) + expected * dispersion)
    return np.maximum(expected - half, 0.0), expected + half


def _check_model(name: str, model: PurchaseModel, unit: str) -> None:
    model._require_fit()
    if model._whole_times:
        raise fail(f"{name!r} counts time in whole periods", "leave it out: weeks are not periods")
    if model.unit_ is not None and model.unit_ != unit:
        raise fail(
            f'{name!r} was fitted in "{model.unit_}", split is summarised in "{unit}"',
            f'call rfm_split(..., unit="{model.unit_}")',
        )


def _holdout(data: pd.DataFrame) -> tuple[float, float, float, float, float]:
    """Return purchases after the split: actual, expected by the first model with bounds, and by
    the own rates."""
    name, rows = first_model(data)
    after = rows.loc[rows["holdout"], ["actual", "own_rate"]].sum()
    expected, low, high = data.attrs["holdout"][name]
    return float(after["actual"]), expected, low, high, float(after["own_rate"])
