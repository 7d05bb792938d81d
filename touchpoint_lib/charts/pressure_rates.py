"""Figure of what followed contacts by how many came shortly before (触达压力): it describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from touchpoint_lib._checks import fail
from touchpoint_lib.charts._forest import finish_high, joined, shortened, significant
from touchpoint_lib.charts._style import ACCENT, GREYS, text
from touchpoint_lib.charts.lifetime import error_bars
from touchpoint_lib.charts.timing import counted
from touchpoint_lib.touchpoints.pressure import ContactPressure

_BOUNDED = ("value", "low", "high")
_RATES = {
    "response": "Response",
    "unsubscribe": "Unsubscribed",
    "purchase": "Purchase within {window:g} days",
}
#: Height of the panels of a channel.
_HIGH = 92
#: With fewer contacts the interval of a rate is as wide as the panel.
_FEW = 30


def pressure_rates_data(found: ContactPressure) -> pd.DataFrame:
    """Return what followed contacts, by channel and number of recent ones: rates that describe.

    Parameters
    ----------
    found : ContactPressure
        From `contact_pressure`.

    Returns
    -------
    DataFrame
        A row a rate, channel and class of recent contacts: rate ("response", "unsubscribe",
        "purchase"; the first two where the log tells them), channel, recent (the last class is
        open), n (contacts behind the rate), value, low, high (six significant digits; NaN where
        the class is empty). ``attrs`` holds level, days, window and n (contacts made).

    Raises
    ------
    InputError
        If ``found`` is something else.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> data = charts.pressure_rates_data(tp.contact_pressure(shop.contacts, paid, window=30))
    >>> page = data[(data["channel"] == "page") & (data["rate"] == "purchase")]
    >>> page[["recent", "n", "value"]].head(3).round(2).to_dict("split")["data"]
    [['0', 4347, 0.46], ['1', 3859, 0.52], ['2', 1911, 0.57]]
    """
    if not isinstance(found, ContactPressure):
        raise fail(f"found is a {type(found).__name__}", "pass the result of contact_pressure")
    table = found.rates
    parts = []
    for rate in _RATES:
        if f"{rate}_rate" not in table.columns:
            continue
        part = table[["channel", "recent"]].astype(str)
        part.insert(0, "rate", rate)
        part["n"] = table["n_followed" if rate == "purchase" else "n"]
        for name, column in zip(_BOUNDED, ("rate", "low", "high"), strict=True):
            part[name] = significant(table[f"{rate}_{column}"])
        parts.append(part)
    data = pd.concat(parts, ignore_index=True)
    data.attrs = {
        "level": found.level,
        "days": found.days,
        "window": found.window,
        "n": int(table["n"].sum()),
    }
    return data


def pressure_rates_verdict(data: pd.DataFrame) -> str:
    """Return which rates differ between contacts with no recent one and with the most of them.

    Parameters
    ----------
    data : DataFrame
        From `pressure_rates_data`.
    """
    told, firsts, unclear = [], set(), 0
    for rate, rows in data.groupby("rate", sort=False):
        sides: dict[str, list[str]] = {"lower": [], "higher": []}
        for channel, part in rows.groupby("channel", sort=False):
            full = part[part["n"] >= _FEW]
            if len(full) < 2:
                continue
            first, last = full.iloc[0], full.iloc[-1]
            firsts.add(str(first["recent"]))
            at = "" if first["recent"] == "0" else f" at {first['recent']}"
            one = f"{channel} ({first['value']:.1%}{at} to {last['value']:.1%} at {last['recent']})"
            if last["high"] < first["low"]:
                sides["lower"].append(one)
            elif last["low"] > first["high"]:
                sides["higher"].append(one)
            else:
                unclear += 1
        name = _RATES[str(rate)].format(window=data.attrs["window"]).lower()
        told += [
            f"{name} is clearly {side} for {joined(ones)}" for side, ones in sides.items() if ones
        ]
    end = "These rates describe who was contacted; they are no effect of the contacts before."
    if not told and not unclear:
        return f"No channel has two classes of {_FEW} contacts to compare. {end}"
    if unclear:
        rates = counted(unclear, "rate of a channel does", "rates of channels do")
        told.append(f"{rates} not clearly change")
    return (
        f"From {'no contact' if firsts <= {'0'} else 'the fewest contacts'} in the "
        f"{data.attrs['days']:g} days before to the most that {_FEW} contacts had, by "
        f"intervals of {100 * data.attrs['level']:g}%, {'; '.join(told)}. {end}"
    )


def pressure_rates(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw each rate by recent contacts, a row of panels a channel, a column a rate.

    Parameters
    ----------
    data : DataFrame
        From `pressure_rates_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    rates, channels = list(dict.fromkeys(data["rate"])), list(dict.fromkeys(data["channel"]))
    labels = list(dict.fromkeys(data["recent"]))
    inner = _HIGH * len(channels)
    figure = make_subplots(
        rows=len(channels),
        cols=len(rates),
        shared_xaxes=True,
        horizontal_spacing=0.08,
        vertical_spacing=round(14 / inner, 4) if len(channels) > 1 else 0,
        subplot_titles=[f"<b>{_RATES[rate].format(window=about['window'])}</b>" for rate in rates],
    )
    figure.update_annotations(font={"size": 13})
    for col, rate in enumerate(rates, start=1):
        mine = data[(data["rate"] == rate) & data["value"].notna()]
        full = mine[mine["n"] >= _FEW]
        # Whiskers of a few contacts would leave no room for the others.
        seen = pd.concat([full["high"], mine["value"]]) if len(full) else mine["high"]
        top = float(seen.max()) if len(seen) else 1.0
        for row, channel in enumerate(channels, start=1):
            part = mine[mine["channel"] == channel]
            _add_rates(figure, part, about, row, col)
            figure.update_xaxes(
                type="category",
                categoryorder="array",
                categoryarray=labels,
                range=[-0.5, len(labels) - 0.5],
                row=row,
                col=col,
            )
            [most] = significant(pd.Series([1.08 * top or 1.0]))
            figure.update_yaxes(
                range=[0, most],
                nticks=4,
                tickformat=".0%" if most > 0.05 else ".1%",
                tickfont={"size": 11},
                row=row,
                col=col,
            )
            if col == 1:
                figure.update_yaxes(
                    title={"text": shortened(channel, 13), "font": {"size": 12}}, row=row, col=1
                )
    for col in range(1, len(rates) + 1):
        figure.update_xaxes(
            title={"text": "Recent contacts", "font": {"size": 13}}, row=len(channels), col=col
        )
    title = (
        f"Rates by contacts in the {about['days']:g} days before: a description, no effect. Bars "
        f"are {100 * about['level']:g}% intervals, pale ones of fewer than {_FEW} contacts"
    )
    return finish_high(figure, title, source, about["n"], inner, right=30, head=26)


def _add_rates(
    figure: go.Figure, part: pd.DataFrame, about: Mapping[Any, Any], row: int, col: int
) -> None:
    """Draw a rate of a channel, pale where there are few contacts."""
    for name, rows, colour in (
        ("rate", part[part["n"] >= _FEW], ACCENT),
        ("few", part[part["n"] < _FEW], GREYS[3]),
    ):
        figure.add_scatter(
            name=name,
            x=rows["recent"].tolist(),
            y=rows["value"].tolist(),
            error_y=error_bars(rows["value"], rows["low"], rows["high"], 6) | {"color": colour},
            mode="lines+markers" if name == "rate" else "markers",
            line={"color": colour, "width": 1.5},
            marker={"color": colour, "size": 6},
            customdata=[
                f"{text(one['channel'])}, {one['recent']} recent: {one['value']:.1%} "
                f"({100 * about['level']:g}%: {one['low']:.1%} to {one['high']:.1%})<br>"
                f"{one['n']:,} contacts"
                for one in rows.to_dict("records")
            ],
            hovertemplate="%{customdata}<extra></extra>",
            row=row,
            col=col,
        )
