"""A campaign over time: the effect by day after the contact, and at every look at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import check_columns, fail
from touchpoint_lib.charts._forest import amounts, bounded, finish_high, significant
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text

_BAND = "rgba(0, 114, 178, 0.15)"
_INTERVAL = "rgba(0, 114, 178, 0.30)"
_COURSE = ("effect", "ci_low", "ci_high", "band_low", "band_high")
_LOOKS = ("effect", "ci_low", "ci_high", "sequence_low", "sequence_high")
#: Height of the plots.
_INNER = 290
#: Looks with fewer of the rows do not stretch the axis.
_EARLY = 0.15


def effect_course_data(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the effect on all that was bought from the contact to each day after it.

    Parameters
    ----------
    frame : DataFrame
        From `cumulative_effect`.

    Returns
    -------
    DataFrame
        A row a day: day, effect, ci_low, ci_high, band_low, band_high (six significant digits;
        bounds NaN as in ``frame``). ``attrs`` are those of ``frame``, with n (customers).

    Raises
    ------
    InputError
        If ``frame`` was not made by `cumulative_effect`.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from touchpoint_lib import charts
    >>> from touchpoint_lib.campaigns.cumulative import cumulative_effect
    >>> people = pd.DataFrame({"customer_id": range(4), "group": [1, 1, 0, 0]})
    >>> log = pd.DataFrame({"customer_id": [0, 1, 2], "time": [0.5, 1.5, 2.5]})
    >>> table = cumulative_effect(people, log, arm="group", control=0, start=0, days=2)
    >>> charts.effect_course_data(table)[["day", "effect"]]
       day  effect
    0    1     0.5
    1    2     1.0
    """
    check_columns(frame, ["day", "n_treated", "n_control", *_COURSE], "frame")
    if "comparison" not in frame.attrs:
        raise fail("frame.attrs has no comparison", "pass the frame of cumulative_effect")
    data = frame[["day", *_COURSE]].reset_index(drop=True)
    data[list(_COURSE)] = data[list(_COURSE)].apply(significant)
    n = int(frame["n_treated"].iloc[0] + frame["n_control"].iloc[0])
    data.attrs = {**frame.attrs, "n": n}
    return data


def effect_course_verdict(data: pd.DataFrame) -> str:
    """Return the effect at the end, and whether purchases were only pulled forward.

    Parameters
    ----------
    data : DataFrame
        From `effect_course_data`.
    """
    about, last = data.attrs, data.iloc[-1].to_dict()
    level, unit = about["level"], f"{about['outcome']} a customer"
    compared = about["comparison"]
    early = ""
    before = data[(data["day"] < 0) & data["band_low"].notna()]
    if len(before):
        apart = ((before["band_low"] > 0) | (before["band_high"] < 0)).any()
        early = (
            " The arms differed before the contact already: the comparison is not to be trusted."
            if apart
            else " Before the contact the arms do not differ clearly."
        )
    end = f"{bounded(last, 'effect', level, signed=True)}"
    if compared is None:
        return (
            f"{last['day']:.0f} days after the contact it has brought {end} {unit}, "
            f"{_clear(last)}.{early}"
        )
    short = bounded(compared, "effect_window", level, signed=True)
    told = (
        f"After {compared['window']} days the contact has brought {short} {unit}, after "
        f"{compared['days']} days {end}, {_clear(last)}."
    )
    return f"{told} {_pulled(compared, level)}{early}"


def effect_course(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the effect by day with its interval and band; the short window and cycle are marked.

    Parameters
    ----------
    data : DataFrame
        From `effect_course_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    figure = go.Figure()
    for part in (data[data["day"] < 0], data[data["day"] > 0]):
        if part.empty:
            continue
        _add_band(figure, part, "day", ("band_low", "band_high"), _BAND, "band")
        _add_band(figure, part, "day", ("ci_low", "ci_high"), _INTERVAL, "interval of a day")
        figure.add_scatter(
            name="effect",
            x=part["day"].tolist(),
            y=part["effect"].tolist(),
            mode="lines",
            line={"color": ACCENT, "width": 2.5},
            customdata=[
                bounded(row, "effect", about["level"], signed=True)
                for row in part.to_dict("records")
            ],
            hovertemplate="day %{x}: %{customdata}<extra></extra>",
        )
    figure.add_hline(y=0, line={"color": BASELINE, "width": 1.5, "dash": "dash"})
    marks: list[tuple[Any, str]] = [(0, "contact")] if (data["day"] < 0).any() else []
    if about["window"] is not None:
        marks.append((about["window"], f"short window, day {about['window']}"))
        if about["cycle"] is not None:
            end = about["window"] + about["cycle"]
            marks.append((end, f"one cycle later, day {end:g}"))
    _add_marks(figure, marks, float(data["day"].max()))
    level = f"{100 * about['level']:g}%"
    figure.update_xaxes(
        title="Days since the contact<br>"
        f"dark: {level} interval of each day; light: {level} band of all days together"
    )
    figure.update_yaxes(title=f"Effect, {text(about['outcome'])} a customer<br>since the contact")
    return _finish(figure, _course_title(data), source, about["n"])


def effect_looks_data(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the effect at every look at a running experiment, with both intervals.

    Parameters
    ----------
    frame : DataFrame
        From `confidence_sequence`.

    Returns
    -------
    DataFrame
        A row a look: look, n, effect, ci_low, ci_high (of one look), sequence_low, sequence_high
        (of all looks; six significant digits; NaN as in ``frame``) and decided. ``attrs`` are
        those of ``frame``, with n (of the last look).

    Raises
    ------
    InputError
        If ``frame`` was not made by `confidence_sequence`.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from touchpoint_lib import charts
    >>> from touchpoint_lib.campaigns.sequence import confidence_sequence
    >>> people = pd.DataFrame({
    ...     "group": np.arange(200) % 2,
    ...     "bought": np.arange(200) % 3 == 0,
    ...     "day": 1 + np.arange(200) // 100,
    ... })
    >>> table = confidence_sequence(people, arm="group", control=0, outcome="bought", time="day")
    >>> charts.effect_looks_data(table)[["look", "n", "effect", "decided"]]
       look    n  effect  decided
    0   1.0  100    0.00    False
    1   2.0  200   -0.01    False
    """
    check_columns(frame, ["look", "n", "decided", *_LOOKS], "frame")
    if "first_decided" not in frame.attrs:
        raise fail("frame.attrs has no first_decided", "pass the frame of confidence_sequence")
    data = frame[["look", "n", *_LOOKS, "decided"]].reset_index(drop=True)
    data[list(_LOOKS)] = data[list(_LOOKS)].apply(significant)
    data.attrs = {**frame.attrs, "n": int(frame["n"].iloc[-1])}
    return data


def effect_looks_verdict(data: pd.DataFrame) -> str:
    """Return when each of the two intervals excluded 0.

    Parameters
    ----------
    data : DataFrame
        From `effect_looks_data`.
    """
    about, many = data.attrs, len(data)
    known = data[data["effect"].notna()]
    if known.empty:
        return f"At none of the {many:,} looks is there enough to tell the effect."
    last = known.iloc[-1].to_dict()
    wide = {"effect": last["effect"], "ci_low": last["sequence_low"]}
    wide["ci_high"] = last["sequence_high"]
    told = (
        "At the last look the effect is "
        f"{bounded(wide, 'effect', about['level'], signed=True)} "
        "by the interval that may be looked at any time"
    )
    first, plain = about["first_decided"], about["plain_decided"]
    if first is None:
        told += ", which has not excluded 0 at any look."
    else:
        told += f"; it first excluded 0 at {_look(first, data)}"
        again = last["sequence_low"] <= 0 <= last["sequence_high"]
        # It holds at all looks together, so one without 0 is enough.
        told += ", which is enough, though it holds 0 again at the last look." if again else "."
    if plain is None:
        return f"{told} The plain interval has not either."
    if first is None:
        return (
            f"{told} The plain interval first did at {_look(plain, data)}: who stops there "
            "raises a false alarm more often than it promises."
        )
    return (
        f"{told} The plain interval, which is right at one look alone, first did at "
        f"{_look(plain, data)}."
    )


def effect_looks(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the effect at every look with the confidence sequence and the plain interval.

    Parameters
    ----------
    data : DataFrame
        From `effect_looks_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    known = data[data["effect"].notna()]
    shown = known.assign(look=[_plain_look(look) for look in known["look"]])
    figure = go.Figure()
    if len(shown):
        ends = ("sequence_low", "sequence_high")
        _add_band(figure, shown, "look", ends, _BAND, "confidence sequence")
        _add_band(figure, shown, "look", ("ci_low", "ci_high"), _INTERVAL, "plain interval")
    figure.add_scatter(
        name="effect",
        x=shown["look"].tolist(),
        y=shown["effect"].tolist(),
        mode="lines+markers",
        line={"color": ACCENT, "width": 2},
        marker={"size": 5},
        customdata=[
            [
                f"{row['n']:,}",
                f"{row['effect']:+.4g}",
                f"{row['sequence_low']:.4g}",
                f"{row['sequence_high']:.4g}",
            ]
            for row in shown.to_dict("records")
        ],
        hovertemplate="n = %{customdata[0]}: %{customdata[1]} "
        "(sequence %{customdata[2]} to %{customdata[3]})<extra></extra>",
    )
    figure.add_hline(y=0, line={"color": BASELINE, "width": 1.5, "dash": "dash"})
    for name, colour, place in (
        ("plain_decided", GREYS[1], "bottom left"),
        ("first_decided", ACCENT, "top left"),
    ):
        if about[name] is not None:
            _add_stop(figure, data, about[name], colour, place)
    # The first looks know next to nothing: their intervals run off the axis.
    late = known[known["n"] >= _EARLY * about["n"]]
    reach = [0.0, *known["effect"], *late["sequence_low"], *late["sequence_high"]]
    pad = 0.08 * (max(reach) - min(reach)) or 1.0
    figure.update_yaxes(
        title=f"Effect on {text(about['outcome'])},<br>per customer",
        range=[float(f"{end:.6g}") for end in (min(reach) - pad, max(reach) + pad)],
    )
    dates = pd.api.types.is_datetime64_any_dtype(data["look"])
    level = f"{100 * about['level']:g}%"
    figure.update_xaxes(
        title=f"{'Day' if dates else 'Time'} of the look<br>dark: plain {level} interval of one "
        "look; light: confidence sequence, valid at all looks together"
    )
    return _finish(figure, _looks_title(data), source, about["n"])


def _finish(figure: go.Figure, title: str, source: str, n: int) -> go.Figure:
    """Finish a figure with two lines of names above its plot."""
    figure.update_xaxes(title={"font": {"size": 13}})
    return finish_high(figure, title, source, n, _INNER, right=30, head=42)


def _add_band(
    figure: go.Figure, part: pd.DataFrame, x: str, ends: tuple[str, str], fill: str, name: str
) -> None:
    """Draw an area between two bounds, where they are known."""
    known = part[part[ends[0]].notna()]
    for end, area in zip(ends, (None, "tonexty"), strict=True):
        figure.add_scatter(
            name=name,
            x=known[x].tolist(),
            y=known[end].tolist(),
            mode="lines",
            line={"width": 0},
            fill=area,
            fillcolor=fill,
            hoverinfo="skip",
        )


def _add_marks(figure: go.Figure, marks: list[tuple[Any, str]], last: float) -> None:
    """Draw vertical lines with their names above the plot, each at its own height."""
    for number, (day, name) in enumerate(marks):
        figure.add_vline(x=day, line={"color": GREYS[1], "width": 1.5, "dash": "dot"})
        figure.add_annotation(
            x=day,
            y=1.0 + 0.06 * (number % 2),
            yref="paper",
            text=name,
            showarrow=False,
            xanchor="right" if day > 0.6 * last else "left",
            yanchor="bottom",
            font={"size": 12, "color": GREYS[0]},
        )


def _add_stop(figure: go.Figure, data: pd.DataFrame, look: Any, colour: str, place: str) -> None:
    """Mark the look at which an interval first excluded 0."""
    look = _moment(look, data)
    at = data[data["look"] == look].iloc[0]
    figure.add_scatter(
        name="first without 0",
        x=[_plain_look(look)],
        y=[at["effect"]],
        mode="markers",
        marker={"color": "white", "size": 12, "line": {"color": colour, "width": 3}},
        hoverinfo="skip",
    )
    above = place.startswith("top")
    figure.add_annotation(
        x=_plain_look(look),
        y=1.06 if above else 1.0,
        yref="paper",
        text=f"{'all looks' if above else 'one look'}: first without 0 at {_look(look, data)}",
        showarrow=False,
        xanchor="left" if data["look"].searchsorted(look) < 0.6 * len(data) else "right",
        yanchor="bottom",
        font={"size": 12, "color": colour},
    )


def _course_title(data: pd.DataFrame) -> str:
    about, last = data.attrs, data.iloc[-1]
    compared = about["comparison"]
    if compared is None:
        size = amounts([last["effect"]], signed=True)[0]
        return f"{size} {about['outcome']} a customer {last['day']:.0f} days after the contact"
    short, late = amounts([compared["effect_window"], compared["effect_days"]], signed=True)
    told = (
        f"{short} {about['outcome']} a customer after {compared['window']} days, {late} after "
        f"{compared['days']}"
    )
    if compared["change_high"] < 0 < compared["effect_window"]:
        return f"Purchases were pulled forward: {told}"
    if compared["change_low"] > 0:
        return f"The effect grows: {told}"
    if compared["change_high"] < 0:
        return f"The effect falls: {told}"
    return f"No clear change behind the short window: {told}"


def _pulled(compared: Mapping[Any, Any], level: float) -> str:
    """Return whether the effect shrank behind the short window."""
    if np.isnan(compared["change_low"]):
        return "Nobody bought in between."
    change = bounded(compared, "change", level, signed=True)
    if compared["change_high"] < 0 and compared["pulled_forward"] is not None:
        share = compared["pulled_forward"]
        gone = "all" if share >= 1 else f"{share:.0%}"
        return (
            f"In between it changed by {change}: {gone} of what the short window showed was only "
            "pulled forward."
        )
    if compared["change_high"] < 0:
        return f"In between it fell further, by {change}."
    if compared["change_low"] > 0:
        return f"In between it grew, by {change}: nothing speaks for purchases pulled forward."
    return (
        f"In between it changed by {change}, which may be chance: that purchases were pulled "
        "forward is neither shown nor ruled out."
    )


def _clear(row: Mapping[Any, Any]) -> str:
    if np.isnan(row["ci_low"]):
        return "without an interval, since nothing varies"
    if row["ci_low"] > 0 or row["ci_high"] < 0:
        return f"clearly {'above' if row['ci_low'] > 0 else 'below'} 0"
    return "not clearly above or below 0"


def _looks_title(data: pd.DataFrame) -> str:
    first, plain = (data.attrs[name] for name in ("first_decided", "plain_decided"))
    if plain is None:
        return "No look excludes 0"
    if first is None:
        return (
            f"The plain interval first excluded 0 at {_look(plain, data)}; all looks together "
            "never did"
        )
    return (
        f"All looks together first excluded 0 at {_look(first, data)}; the plain interval did at "
        f"{_look(plain, data)}"
    )


def _look(look: Any, data: pd.DataFrame) -> str:
    """Return a look in words: its date, with the time of day where a date has several."""
    look = _moment(look, data)
    if not isinstance(look, pd.Timestamp):
        return f"{look:g}"
    days = data["look"].dt.normalize()
    return f"{look:%Y-%m-%d}" if days.is_unique else f"{look:%Y-%m-%d %H:%M}"


def _moment(look: Any, data: pd.DataFrame) -> Any:
    """Return a look of the attrs, where dates may be text, as the column has it."""
    return pd.Timestamp(look) if pd.api.types.is_datetime64_any_dtype(data["look"]) else look


def _plain_look(look: Any) -> Any:
    """Return a look as JSON has it."""
    return look.isoformat() if isinstance(look, pd.Timestamp) else float(look)
