"""Figures of delays: reminders of unpaid orders (催付), care for late parcels (晚到关怀)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import check_integer, check_values, fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, finish, text
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.timing.parcels import LateParcels
from touchpoint_lib.timing.payments import PaymentReminder

#: Points drawn of a curve at most.
_POINTS = 60
#: Height of a row of panels.
_PANEL = 210
#: Share of the limit of payment that is shown.
_SHOWN = 0.75
_BAND = "rgba(0, 114, 178, 0.18)"

Truth = Callable[[pd.DataFrame], npt.ArrayLike]


def late_curves_data(found: LateParcels, top: int = 6, truth: Truth | None = None) -> pd.DataFrame:
    """Return P(late | in transit) by hours since shipping, of the classes with most parcels.

    Of several carriers (or whatever the first class column is) each has its turn.

    Parameters
    ----------
    found : LateParcels
        From `late_parcels`.
    top : int
        Classes at most.
    truth : callable, optional
        The true probability, one a row, of a frame with the class columns and age_hours, where it
        is known.

    Returns
    -------
    DataFrame
        A row a class and age (up to the promise, thinned for drawing): class_ (its labels), n
        (parcels promised so far), promised_hours, flag_after (hours; inf for never), age_hours,
        probability, probability_low, probability_high and, with ``truth``, truth; 4 decimals.
        ``attrs`` holds line, level, n_all (parcels of all classes) and n_classes (of all).

    Raises
    ------
    InputError
        If ``found`` is no `LateParcels`, or ``top`` is below 1.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> data = charts.late_curves_data(tp.late_parcels(tp.load_shop().parcels), top=3)
    >>> start = data["age_hours"] == 0
    >>> data.loc[start, ["class_", "promised_hours", "flag_after", "probability"]].round(2)
                     class_  promised_hours  flag_after  probability
    0    express, Guangdong            48.0         inf         0.16
    49  standard, Guangdong            96.0        80.0         0.16
    98   economy, Guangdong           168.0       132.0         0.16
    """
    if not isinstance(found, LateParcels):
        raise fail(f"found is a {type(found).__name__}", "pass the result of late_parcels")
    most = check_integer("top", top, ge=1)
    classes = found.to_frame()
    by = list(classes.columns[: classes.columns.get_loc("n")])
    turn = classes.groupby(by[0], observed=True)["n"].rank(method="first", ascending=False)
    order = np.lexsort((-classes["n"], turn))
    largest = classes.iloc[np.sort(order[:most])]
    curve = found.curve()
    # Ages below 1 hour apart are no use to the eye.
    age = curve.groupby(by, observed=True, sort=False)["age_hours"]
    step = np.ceil(age.transform("max") / _POINTS).clip(lower=1)
    curve = curve[(curve["age_hours"] % step == 0) | (curve["age_hours"] == age.transform("max"))]
    data = largest[[*by, "n", "promised_days", "flag_after"]].merge(curve, on=by)
    chances = ["probability", "probability_low", "probability_high"]
    if truth is not None:
        known = check_values("truth", truth(data[[*by, "age_hours"]]), ge=0, le=1)
        data = data.assign(truth=known)
        chances.append("truth")
    names = data[by].astype(str).agg(", ".join, axis=1)
    data = data.assign(class_=names, promised_hours=data["promised_days"] * 24)
    data = data[["class_", "n", "promised_hours", "flag_after", "age_hours", *chances]]
    data = data.round(dict.fromkeys(chances, 4) | {"promised_hours": 2})
    data.attrs = {
        "line": found.line,
        "level": found.level,
        "n_all": int(classes["n"].sum()),
        "n_classes": len(classes),
    }
    return data


def late_curves_verdict(data: pd.DataFrame) -> str:
    """Return when parcels are flagged, and how the chance to be late has grown until then.

    Parameters
    ----------
    data : DataFrame
        From `late_curves_data`.
    """
    about, line = data.attrs, f"{data.attrs['line']:.0%}"
    # The first row of each is its chance at shipping.
    kinds = data.drop_duplicates("class_").reset_index(drop=True)
    shown = counted(len(kinds), "class", "classes")
    of = f"{shown} shown" + (
        f" (of {about['n_classes']:,})" if len(kinds) < about["n_classes"] else ""
    )
    flagged = kinds[np.isfinite(kinds["flag_after"])]
    if flagged.empty:
        return (
            f"In none of the {of} does the chance to be late of a parcel still on the way rise to "
            f"{line} while a flag is of use."
        )
    share = flagged["flag_after"] / flagged["promised_hours"]
    told = [
        f"of {row['class_']} from {row['probability']:.0%} at shipping to {line} after "
        f"{row['flag_after']:,.0f} of the {row['promised_hours']:,.0f} hours promised"
        for row in kinds.loc[sorted({share.idxmin(), share.idxmax()})].to_dict("records")
    ]
    never = len(kinds) - len(flagged)
    without = f"; in {never:,} it does not rise so far while a flag is of use" if never else ""
    return (
        f"The longer a parcel is on the way, the likelier it comes late: in {len(flagged):,} of "
        f"the {of} the chance reaches the line, {' and '.join(told)}{without}."
    )


def late_curves(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw P(late | in transit) by hours since shipping, a panel a class, with flag and promise.

    Parameters
    ----------
    data : DataFrame
        From `late_curves_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    kinds = data.drop_duplicates("class_").to_dict("records")
    figure, places = _panels([f"{kind['class_']} (n = {kind['n']:,})" for kind in kinds])
    for kind, (row, col) in zip(kinds, places, strict=True):
        curve, end = data[data["class_"] == kind["class_"]], kind["promised_hours"]
        hover = "late if on the way after %{x:,.0f} hours: %{y:.1%}"
        _add_curve(figure, curve, "age_hours", "probability", hover, row, col)
        _add_limit(figure, about["line"], end, "promise", 0.06, row, col)
        if np.isfinite(kind["flag_after"]):
            label = f"hour {kind['flag_after']:,.0f}"
            _add_mark(figure, kind["flag_after"], about["line"], label, "left", row, col)
        figure.update_xaxes(range=[0, round(end * 1.04, 2)], row=row, col=col)
    flagged = sum(bool(np.isfinite(kind["flag_after"])) for kind in kinds)
    title = (
        f"In {flagged:,} of {counted(len(kinds), 'class', 'classes')} shown the chance to be late "
        f"rises to {about['line']:.0%} in time for a flag (marked)"
    )
    return _finish_panels(figure, data, places, "Hours since shipping", "P(late)", title, source)


def reminder_curves_data(
    found: PaymentReminder, top: int = 6, truth: Truth | None = None
) -> pd.DataFrame:
    """Return the share of unpaid orders that will still be paid in time, by minutes waited.

    Of the classes with most orders; each kind of customer and limit has its turn. Up to three
    quarters of the limit: behind it few are left to tell.

    Parameters
    ----------
    found : PaymentReminder
        From `payment_reminder`.
    top : int
        Classes at most.
    truth : callable, optional
        The true share, one a row, of a frame with kind, source, limit and minute, where it is
        known.

    Returns
    -------
    DataFrame
        A row a class and minute: class_ (its kind, source and limit), n (orders learned from),
        limit, remind_after (minutes), reason (as of the rules), minute, at_reminder (own_share at
        remind_after) and own_share, both with _low and _high, and, with ``truth``, truth; 4
        decimals. ``attrs`` holds line, level, n_all (orders of all classes) and n_classes (of
        all).

    Raises
    ------
    InputError
        If ``found`` is no `PaymentReminder`, or ``top`` is below 1.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> data = charts.reminder_curves_data(tp.payment_reminder(shop.orders, shop.payments), top=2)
    >>> start = data["minute"] == 1
    >>> data.loc[start, ["class_", "remind_after", "at_reminder", "own_share"]].round(2)
                           class_  remind_after  at_reminder  own_share
    0     new, app, 4,320 minutes           194          0.5       0.92
    52  loyal, app, 4,320 minutes           107          0.5       0.92
    """
    if not isinstance(found, PaymentReminder):
        raise fail(f"found is a {type(found).__name__}", "pass the result of payment_reminder")
    by = ["kind", "source", "limit"]
    chances = ["own_share", "own_share_low", "own_share_high"]
    most = check_integer("top", top, ge=1)
    rules = found.to_frame()
    turn = rules.groupby(["kind", "limit"], observed=True)["n_orders"].rank(
        method="first", ascending=False
    )
    order = np.lexsort((-rules["n_orders"], turn))
    largest = rules.iloc[np.sort(order[:most])]
    at = {name: name.replace("own_share", "at_reminder") for name in chances}
    shown = largest[[*by, "n_orders", "remind_after", "reason", *chances]]
    shown = shown.rename(columns=at).astype({"kind": "str"})
    data = shown.merge(found.curve().astype({"kind": "str"}), on=by)
    data = data[data["minute"] <= max(_SHOWN, found.latest) * data["limit"]]
    if truth is not None:
        known = check_values("truth", truth(data[[*by, "minute"]]), ge=0, le=1)
        data = data.assign(truth=known)
        chances.append("truth")
    limits = [f"{limit:,} minutes" for limit in data["limit"]]
    data = data.assign(class_=data["kind"] + ", " + data["source"].astype(str) + ", " + limits)
    data = data.rename(columns={"n_orders": "n"})
    shares = [*at.values(), *chances]
    data = data[["class_", "n", "limit", "remind_after", "reason", "minute", *shares]]
    data = data.round(dict.fromkeys(shares, 4))
    data.attrs = {
        "line": found.line,
        "level": found.level,
        "n_all": int(rules["n_orders"].sum()),
        "n_classes": len(rules),
    }
    return data


def reminder_curves_verdict(data: pd.DataFrame) -> str:
    """Return when unpaid orders are reminded, and how many would pay by themselves then.

    Parameters
    ----------
    data : DataFrame
        From `reminder_curves_data`.
    """
    about, kinds = data.attrs, data.drop_duplicates("class_")
    says = []
    for limit, group in kinds.groupby("limit"):
        low, high = int(group["remind_after"].min()), int(group["remind_after"].max())
        when = f"at minute {low:,}" if low == high else f"between minute {low:,} and {high:,}"
        says.append(f"{when} where the limit is {limit:,} minutes")
    level = f"{100 * about['level']:g}%"
    share = kinds["at_reminder"]
    told = [
        f"{row['at_reminder']:.0%} ({level}: {row['at_reminder_low']:.0%} to "
        f"{row['at_reminder_high']:.0%})"
        for row in kinds.loc[list(dict.fromkeys((share.idxmin(), share.idxmax())))].to_dict(
            "records"
        )
    ]
    over = int((kinds["reason"] == "limit").sum())
    late = (
        f"; in {counted(over, 'class', 'classes')} that is more than the line of "
        f"{about['line']:.0%}, but later too little time would be left"
        if over
        else ""
    )
    few = f" (of {about['n_classes']:,})" if len(kinds) < about["n_classes"] else ""
    return (
        f"In the {counted(len(kinds), 'class', 'classes')} shown{few} an unpaid order is to be "
        f"reminded {' and '.join(says)}. At that moment {' to '.join(told)} of the unpaid would "
        f"still pay in time by themselves{late}."
    )


def reminder_curves(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the share that will still be paid in time by minutes waited, with the reminder.

    Parameters
    ----------
    data : DataFrame
        From `reminder_curves_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    kinds = data.drop_duplicates("class_").to_dict("records")
    figure, places = _panels([f"{kind['class_']} (n = {kind['n']:,})" for kind in kinds])
    for kind, (row, col) in zip(kinds, places, strict=True):
        curve, end = data[data["class_"] == kind["class_"]], kind["limit"]
        hover = "unpaid after %{x:,.0f} minutes, still pay in time: %{y:.1%}"
        _add_curve(figure, curve, "minute", "own_share", hover, row, col)
        _add_limit(figure, about["line"], end, "limit", 0.95, row, col)
        label = f"minute {kind['remind_after']:,}"
        _add_mark(figure, kind["remind_after"], kind["at_reminder"], label, "right", row, col)
        # Half of all is paid in minutes, the rest takes days.
        span = [0.0, round(float(np.log10(end * 1.15)), 4)]
        figure.update_xaxes(type="log", range=span, dtick=1, row=row, col=col)
    moments = [kind["remind_after"] for kind in kinds]
    low, high = min(moments), max(moments)
    when = f"minute {low:,}" if low == high else f"minute {low:,} to {high:,}"
    title = (
        f"Remind unpaid orders at {when}, by class (marked); dashed: {about['line']:.0%} would "
        "still pay"
    )
    return _finish_panels(
        figure, data, places, "Minutes since the order", "Pay in time", title, source
    )


def _panels(titles: list[str]) -> tuple[go.Figure, list[tuple[int, int]]]:
    """Return a figure with a panel a title, and the row and column of each."""
    wide = min(len(titles), 2 if len(titles) <= 4 else 3)
    rows = -(-len(titles) // wide)
    figure = make_subplots(
        rows=rows,
        cols=wide,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=0.26 / rows,
        subplot_titles=[text(title) for title in titles],
    )
    figure.update_annotations(font={"size": 12})
    return figure, [(place // wide + 1, place % wide + 1) for place in range(len(titles))]


def _add_curve(
    figure: go.Figure, curve: pd.DataFrame, x: str, y: str, hover: str, row: int, col: int
) -> None:
    """Draw a curve with its band, and the truth where it is known."""
    known = curve[curve[f"{y}_low"].notna()]
    for end, fill in (("low", None), ("high", "tonexty")):
        figure.add_scatter(
            x=known[x].tolist(),
            y=known[f"{y}_{end}"].tolist(),
            mode="lines",
            line={"width": 0},
            fill=fill,
            fillcolor=_BAND,
            hoverinfo="skip",
            row=row,
            col=col,
        )
    figure.add_scatter(
        x=curve[x].tolist(),
        y=curve[y].tolist(),
        mode="lines",
        line={"color": ACCENT, "width": 2},
        customdata=[
            "" if np.isnan(low) else f" ({low:.1%} to {high:.1%})"
            for low, high in zip(curve[f"{y}_low"], curve[f"{y}_high"], strict=True)
        ],
        hovertemplate=hover + "%{customdata}<extra></extra>",
        row=row,
        col=col,
    )
    if "truth" in curve:
        figure.add_scatter(
            x=curve[x].tolist(),
            y=curve["truth"].tolist(),
            mode="lines",
            line={"color": GREYS[0], "width": 2, "dash": "dot"},
            hovertemplate="truth: %{y:.1%}<extra></extra>",
            row=row,
            col=col,
        )


def _add_limit(
    figure: go.Figure, line: float, end: float, name: str, height: float, row: int, col: int
) -> None:
    """Draw the line that is to be reached, and the moment behind which it is too late."""
    figure.add_hline(
        y=line, line={"color": BASELINE, "dash": "dash", "width": 1.5}, row=row, col=col
    )
    # A trace: on a logarithmic axis a label of a shape would stand elsewhere.
    figure.add_scatter(
        x=[end, end, end],
        y=[0, height, 1],
        mode="lines+text",
        text=["", name, ""],
        textposition="middle left",
        textfont={"color": GREYS[1], "size": 11},
        line={"color": GREYS[1], "width": 1.5},
        hoverinfo="skip",
        row=row,
        col=col,
    )


def _add_mark(
    figure: go.Figure, x: float, y: float, label: str, towards: str, row: int, col: int
) -> None:
    """Mark the moment to act."""
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers+text",
        text=[label],
        textposition=f"top {towards}",
        textfont={"color": ACCENT},
        marker={"color": ACCENT, "size": 9},
        hoverinfo="skip",
        row=row,
        col=col,
    )


def _finish_panels(
    figure: go.Figure,
    data: pd.DataFrame,
    places: list[tuple[int, int]],
    x_title: str,
    y_title: str,
    title: str,
    source: str,
) -> go.Figure:
    """Give panels their axes, title and footer."""
    rows = max(row for row, _ in places)
    for row, col in places:
        below = (row + 1, col) in places
        figure.update_xaxes(title=None if below else x_title, row=row, col=col)
        if col == 1:
            figure.update_yaxes(title=y_title, row=row, col=col)
    figure.update_yaxes(tickformat=".0%", range=[0, 1.04])
    inner = _PANEL * rows
    truth = "; dotted: the truth" if "truth" in data else ""
    legend = f"{title}; bands are {100 * data.attrs['level']:g}% intervals{truth}"
    finish(figure, legend, source, data.attrs["n_all"], footer_at=round(-62 / inner, 3))
    return figure.update_layout(height=inner + 190, margin={"t": 100, "b": 90})
