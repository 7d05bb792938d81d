"""Figures of own return: how likely a silent customer comes back unprompted, day by day."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import check_columns, check_integer, check_number, fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, finish, text
from touchpoint_lib.segments import purchase_classes
from touchpoint_lib.timing.own_return import (
    Source,
    first_low_day,
    last_day,
    own_return_by_day,
    parts_of,
)

#: Points drawn of a curve at most.
_POINTS = 60
#: Colour, dash, the same in a text, and marker of each source of own returns.
_LOOKS = (
    (ACCENT, "solid", "—", "circle"),
    (GREYS[0], "dot", "···", "diamond"),
    (GREYS[1], "dash", "- -", "square"),
    (GREYS[2], "dashdot", "- ·", "cross"),
)


def own_return_curves_data(
    sources: Mapping[str, Source],
    customers: pd.DataFrame,
    horizon: int = 90,
    days: int = 180,
    line: float = 0.25,
) -> pd.DataFrame:
    """Return own return by days of silence for a typical customer of each purchase class.

    Typical is who has the median frequency and recency of the class (1, 2, 3-4, 5+ purchase
    days).

    Parameters
    ----------
    sources : mapping of str to fitted purchase model, OwnReturnFrequency, or list of them
        By name, what knows own returns.
    customers : DataFrame
        With frequency and recency in days: from `purchase_spells`, or from `rfm_summary` with
        ``unit="D"``.
    horizon : int
        Days within which a purchase counts.
    days : int
        The last day of silence shown; earlier where a log tells no more.
    line : float
        Own return at which to contact, in (0, 1).

    Returns
    -------
    DataFrame
        A row a source, class and day: source, purchases (the class), n (rows of ``customers``),
        frequency and recency (of the typical one), day, probability (4 decimals), contact_day
        (the first day of silence at or under the line; inf where none is up to the last day
        shown). ``attrs`` holds horizon, days (the last day) and line.

    Raises
    ------
    InputError
        If there is no source, or one is not fitted, ``customers`` are in weeks or have no row, or
        an argument is out of bounds.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> customers = tp.rfm_summary(tp.load_cdnow(sample=True), unit="D")
    >>> sources = {"MBG/NBD": tp.ModifiedBetaGeoModel().fit(customers)}
    >>> data = charts.own_return_curves_data(sources, customers)
    >>> data.loc[data["day"] == 0, ["purchases", "n", "recency", "probability", "contact_day"]]
        purchases     n  recency  probability  contact_day
    0           1  1218      0.0       0.2782         10.0
    61          2   403    111.0       0.3880         87.0
    122       3-4   358    302.0       0.3721        134.0
    183        5+   378    412.0       0.6346          inf
    """
    if not isinstance(sources, Mapping) or not sources:
        raise fail(f"sources is {sources!r}", "pass a dict of names and sources")
    check_columns(customers, ("frequency", "recency"), "customers")
    if customers.attrs.get("unit", "D") != "D":
        raise fail(
            f"customers are in the unit {customers.attrs['unit']!r}, and timing is in days",
            'pass the frame of purchase_spells, or of rfm_summary with unit="D"',
        )
    if len(customers) == 0:
        raise fail("customers has no rows", "pass at least one customer")
    ahead = check_integer("horizon", horizon, ge=1)
    level = check_number("line", line, gt=0, lt=1)
    wanted = check_integer("days", days, ge=1)
    last = min(last_day(parts_of(source), ahead, wanted) for source in sources.values())
    grid = np.arange(0.0, last + 1, -(-last // _POINTS))
    classes = purchase_classes(customers.assign(T=customers["recency"]))
    groups = customers[["frequency", "recency"]].groupby(classes.to_numpy(), observed=True)
    # Not the mean of the middle two: a model of regular gaps takes whole frequencies alone.
    typical, n = groups.quantile(0.5, interpolation="lower"), groups.size().to_numpy()
    each = np.repeat(np.arange(len(typical)), len(grid))
    parts = []
    for name, source in sources.items():
        chance = own_return_by_day(source, typical, grid, ahead)
        lines = np.full(len(typical), level)
        contact = first_low_day(source, typical, ahead, lines, 0.0, last)
        parts.append(
            pd.DataFrame(
                {
                    "source": str(name),
                    "purchases": np.asarray(typical.index)[each],
                    "n": n[each],
                    "frequency": typical["frequency"].to_numpy()[each],
                    "recency": typical["recency"].to_numpy()[each],
                    "day": np.tile(grid, len(typical)),
                    "probability": chance.round(4).ravel(),
                    "contact_day": contact[each],
                }
            )
        )
    data = pd.concat(parts, ignore_index=True)
    data.attrs = {"horizon": ahead, "days": last, "line": level}
    return data


def own_return_curves_verdict(data: pd.DataFrame) -> str:
    """Return how long to wait with customers of few and of many purchases, by each source.

    Parameters
    ----------
    data : DataFrame
        From `own_return_curves_data`.
    """
    about = data.attrs
    kinds = [str(label) for label in dict.fromkeys(data["purchases"])]
    days = f"purchase day{'' if kinds == ['1'] else 's'}"
    says: list[str] = []
    for name, group in data.groupby("source", sort=False):
        waits = group.drop_duplicates("purchases")["contact_day"]
        after = _listed([_wait(wait, about["days"]) for wait in waits])
        with_ = "" if says else f" with {_listed(kinds)} {days}"
        says.append(f"by {name} after {after} days{with_}")
    first = data["source"].iloc[0]
    waits = data[data["source"] == first].drop_duplicates("purchases")["contact_day"]
    if len(waits) == 1:
        start = "All customers are of one class"
    elif np.isinf(waits.min()):
        start = "No number of days shown is long enough for any class"
    elif waits.min() == waits.max():
        start = "One number of days fits all classes"
    else:
        start = "No fixed number of days fits all"
    return (
        f"{start}: the probability of a purchase within {about['horizon']} days without a contact "
        f"is down to {about['line']:.0%} {', '.join(says)}."
    )


def own_return_curves(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw own return by days of silence, a panel a purchase class and a line a source.

    Parameters
    ----------
    data : DataFrame
        From `own_return_curves_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    kinds = data.drop_duplicates("purchases")
    wide = min(len(kinds), 2)
    rows = -(-len(kinds) // wide)
    figure = make_subplots(
        rows=rows,
        cols=wide,
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.05,
        vertical_spacing=0.12,
        subplot_titles=[
            _purchase_days(kind["purchases"])
            + (f" within {kind['recency']:,.0f} days" if kind["frequency"] > 0 else "")
            + f" (n = {kind['n']:,})"
            for kind in kinds.to_dict("records")
        ],
    )
    figure.update_annotations(font={"size": 13})
    names = list(dict.fromkeys(data["source"]))
    for place, label in enumerate(kinds["purchases"]):
        row, col = place // wide + 1, place % wide + 1
        says = []
        for nth, name in enumerate(names):
            curve = data[(data["purchases"] == label) & (data["source"] == name)]
            colour, dash, stroke, symbol = _LOOKS[nth % len(_LOOKS)]
            figure.add_scatter(
                name=text(name),
                x=curve["day"].tolist(),
                y=curve["probability"].tolist(),
                mode="lines",
                line={"color": colour, "width": 2, "dash": dash},
                hovertemplate="after %{x:.0f} days of silence: %{y:.1%}<extra>"
                + text(name)
                + "</extra>",
                row=row,
                col=col,
            )
            wait = curve["contact_day"].iloc[0]
            day = f"after day {about['days']}" if np.isinf(wait) else f"day {wait:.0f}"
            says.append(f'<span style="color:{colour}">{stroke} {text(name)}: {day}</span>')
            figure.add_scatter(
                x=[wait] if np.isfinite(wait) else [],
                y=[about["line"]] if np.isfinite(wait) else [],
                mode="markers",
                marker={"color": colour, "size": 9, "symbol": symbol},
                cliponaxis=False,
                hovertemplate="down to the line on day %{x:.0f}<extra>" + text(name) + "</extra>",
                row=row,
                col=col,
            )
        figure.add_hline(
            y=about["line"],
            line={"color": BASELINE, "dash": "dash", "width": 1.5},
            row=row,
            col=col,
        )
        # Own return falls: the upper right corner is free.
        figure.add_annotation(
            text="<br>".join([f"down to {about['line']:.0%} by", *says]),
            x=1,
            xref="x domain",
            y=1,
            yref="y domain",
            xanchor="right",
            yanchor="top",
            align="right",
            showarrow=False,
            row=row,
            col=col,
        )
    figure.update_xaxes(range=[0, about["days"]])
    top = max(float(data["probability"].max()), about["line"])
    figure.update_yaxes(tickformat=".0%", range=[0, round(min(top * 1.15, 1.02), 4)])
    for col in range(1, wide + 1):
        figure.update_xaxes(title="Days of silence", row=rows, col=col)
    for row in range(1, rows + 1):
        figure.update_yaxes(title=f"Return within {about['horizon']} days", row=row, col=1)
    panels = 235 * rows
    first = data[data["source"] == names[0]].drop_duplicates("purchases")["contact_day"]
    low, high = float(first.min()), float(first.max())
    title = (
        f"By {names[0]} own return is down to {about['line']:.0%} "
        + (
            f"after {_wait(low, about['days'])} days of silence in every class"
            if low == high
            else f"after {low:,.0f} to {_wait(high, about['days'])} days of silence, by class"
        )
        + " (dashed line)"
    )
    n = int(kinds["n"].sum())
    finish(figure, title, source, n, footer_at=round(-62 / panels, 3))
    return figure.update_layout(height=panels + 190, margin={"t": 100, "b": 90})


def _wait(day: float, last: int) -> str:
    return f"more than {last}" if np.isinf(day) else f"{day:,.0f}"


def _purchase_days(label: object) -> str:
    return f"{label} purchase day{'' if str(label) == '1' else 's'}"


def _listed(parts: list[str]) -> str:
    """Return parts as a list in words."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
