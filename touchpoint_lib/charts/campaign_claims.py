"""What several ways to count a campaign would have claimed, beside what it truly did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import check_columns, check_integer, check_number, fail
from touchpoint_lib.charts._forest import (
    LINE,
    SHARE,
    add_labels,
    amounts,
    bounded,
    finish_high,
    name_rows,
    shortened,
    significant,
    unit_words,
)
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text
from touchpoint_lib.charts.lifetime import error_bars

#: Of the claims after the first, by how they compare with the truth.
_KINDS = ("Right", "Off by no more than chance", "Too high", "Too low")


def campaign_claims_data(claims: pd.DataFrame) -> pd.DataFrame:
    """Return what several ways to count a campaign claim, beside what it truly did.

    Parameters
    ----------
    claims : DataFrame
        A row a way to count, the experiment first: claim (in words), effect, ci_low and ci_high
        (NaN where it has no interval). ``attrs`` holds truth (the true effect), unit (text such
        as "orders per customer", or "%" for shares), n (customers) and may hold level (0.95).

    Returns
    -------
    DataFrame
        The same with error (effect - truth) and holds (whether the interval holds the truth;
        False without one); six significant digits. ``attrs`` holds truth, unit, n and level.

    Raises
    ------
    InputError
        If a column or attribute is missing, an effect is not finite or its interval does not
        hold it.

    Examples
    --------
    >>> import pandas as pd
    >>> from touchpoint_lib import charts
    >>> claims = pd.DataFrame({
    ...     "claim": ["experiment", "last click"],
    ...     "effect": [0.10, 0.31],
    ...     "ci_low": [0.04, float("nan")],
    ...     "ci_high": [0.16, float("nan")],
    ... })
    >>> claims.attrs = {"truth": 0.09, "unit": "orders per customer", "n": 2865}
    >>> charts.campaign_claims_data(claims)
            claim  effect  ci_low  ci_high  error  holds
    0  experiment    0.10    0.04     0.16   0.01   True
    1  last click    0.31     NaN      NaN   0.22  False
    """
    columns = ["effect", "ci_low", "ci_high"]
    check_columns(claims, ["claim", *columns], "claims")
    for name in ("truth", "unit", "n"):
        if name not in claims.attrs:
            raise fail(f"claims.attrs has no {name}", f'set claims.attrs["{name}"]')
    if claims.empty:
        raise fail("claims has no rows", "pass a row a way to count")
    truth = check_number("truth", claims.attrs["truth"])
    data = claims[["claim", *columns]].reset_index(drop=True)
    data["claim"] = data["claim"].map(str).astype(object)
    data[columns] = data[columns].astype(float)
    for row in data.to_dict("records"):
        if not np.isfinite(row["effect"]):
            raise fail(f"effect of {row['claim']!r} is {row['effect']}", "leave the row out")
        bounds = row["ci_low"], row["ci_high"]
        if not np.isnan(bounds).all() and not bounds[0] <= row["effect"] <= bounds[1]:
            raise fail(
                f"the interval of {row['claim']!r} is {bounds[0]:g} to {bounds[1]:g}, its effect "
                f"{row['effect']:g}",
                "pass bounds around it, or NaN for both",
            )
    data["error"] = data["effect"] - truth
    data["holds"] = (data["ci_low"] <= truth) & (truth <= data["ci_high"])
    data[[*columns, "error"]] = data[[*columns, "error"]].apply(significant)
    data.attrs = {
        "truth": float(f"{truth:.6g}"),
        "unit": str(claims.attrs["unit"]),
        "n": check_integer("n", claims.attrs["n"], ge=1),
        "level": check_number("level", claims.attrs.get("level", 0.95), gt=0, lt=1),
    }
    return data


def campaign_claims_verdict(data: pd.DataFrame) -> str:
    """Return what the first way to count finds, and which others are too high or too low.

    Parameters
    ----------
    data : DataFrame
        From `campaign_claims_data`.
    """
    unit, level = data.attrs["unit"], data.attrs["level"]
    scale = 100 if unit == SHARE else 1
    truth = scale * data.attrs["truth"]
    columns = ["effect", "ci_low", "ci_high"]
    rows = data.assign(**{name: scale * data[name] for name in columns}).to_dict("records")
    # So all sizes have one number of decimals; the unit is told once.
    real, *sizes = amounts([truth, *(row["effect"] for row in rows)], signed=True)
    first = bounded(rows[0], "effect", level, signed=True, among=[row["effect"] for row in rows])
    says = [
        f"The true effect is {real}{unit_words(unit)}.",
        f"{_capital(rows[0]['claim'])} finds {first}, {_judged(rows[0], truth)}.",
    ]
    others = list(zip(rows[1:], sizes[1:], strict=True))
    for kind in _KINDS:
        parts = [
            f"{row['claim']} {size}{_times(row['effect'], truth, 'x')}"
            for row, size in others
            if _kind(row) == kind
        ]
        if parts:
            says.append(f"{kind}: {', '.join(parts)}.")
    return " ".join(says)


def campaign_claims(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw what each way to count claims, with the truth as a line.

    Parameters
    ----------
    data : DataFrame
        From `campaign_claims_data`.
    source : str
        For the footer.
    """
    truth, unit, level = (data.attrs[name] for name in ("truth", "unit", "level"))
    scale = 100 if unit == SHARE else 1
    rows, height = data.to_dict("records"), list(range(len(data)))
    figure = go.Figure()
    figure.add_vline(x=0, line={"color": GREYS[3], "width": 1.5})
    figure.add_vline(
        x=float(f"{scale * truth:.6g}"), line={"color": BASELINE, "width": 2, "dash": "dash"}
    )
    for first in (True, False):
        drawn = data.iloc[:1] if first else data.iloc[1:]
        middle, low, high = (
            significant(scale * drawn[name].fillna(drawn["effect"]))
            for name in ("effect", "ci_low", "ci_high")
        )
        figure.add_scatter(
            name="first claim" if first else "other claims",
            x=middle.tolist(),
            y=height[:1] if first else height[1:],
            error_x=error_bars(middle, low, high, 8) | {"width": 5, "thickness": 1.5},
            mode="markers",
            marker={
                "color": ACCENT if first else GREYS[0],
                "symbol": "diamond" if first else "circle",
                "size": 13 if first else 10,
            },
            customdata=[
                f"{text(row['claim'])}: " + text(bounded(row, "effect", level, unit, signed=True))
                for row in drawn.to_dict("records")
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    bounds = data[["effect", "ci_low", "ci_high"]].to_numpy(float)
    ends = [0.0, truth, *bounds[~np.isnan(bounds)]]
    pad = 0.06 * (max(ends) - min(ends)) or 1.0
    span = [float(f"{scale * end:.6g}") for end in (min(ends) - pad, max(ends) + pad)]
    sizes = amounts([*data["effect"], truth], unit, signed=True)
    labels = [
        f"{size}{_times(row['effect'], truth, 'x the truth')}"
        for size, row in zip(sizes[:-1], rows, strict=True)
    ]
    add_labels(figure, [span[1]] * len(rows), height, labels)
    figure.add_annotation(
        x=float(f"{scale * truth:.6g}"),
        y=1,
        yref="paper",
        text=f"truth {sizes[-1]}",
        showarrow=False,
        yanchor="bottom",
        font={"color": BASELINE},
    )
    figure.update_xaxes(
        title=f"Claimed effect, {text(unit_words(unit).strip())}", range=span, nticks=7
    )
    name_rows(figure, [shortened(row["claim"], 42) for row in rows])
    inner = (LINE + 15) * len(rows) + 12
    return finish_high(
        figure, _claims_title(data), source, data.attrs["n"], inner, right=150, head=24
    )


def _times(effect: float, truth: float, unit: str) -> str:
    """Return in brackets how a claim compares with the truth, nothing where that is 0."""
    if truth == 0:
        return ""
    return f" ({effect / truth:.1f} {unit})" if effect / truth >= 0 else " (wrong sign)"


def _kind(row: Mapping[Any, Any]) -> str:
    """Return which of the kinds a claim is of."""
    right, chance, high, low = _KINDS
    if row["holds"]:
        return chance
    return right if row["error"] == 0 else high if row["error"] > 0 else low


def _judged(row: Mapping[Any, Any], truth: float) -> str:
    """Return how the first claim does, as it follows its size."""
    if row["holds"]:
        return "and its interval holds it"
    if np.isfinite(row["ci_low"]):
        return "but its interval misses it"
    if row["error"] == 0:
        return "which is right"
    side = "high" if row["error"] > 0 else "low"
    return f"which is too {side}{_times(row['effect'], truth, 'x')}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _claims_title(data: pd.DataFrame) -> str:
    truth, unit = data.attrs["truth"], data.attrs["unit"]
    rows = data.to_dict("records")
    first, others = rows[0], rows[1:]
    size, real = amounts([first["effect"], truth], unit, signed=True)
    told = f"{_capital(first['claim'])} finds {size} where {real}{unit_words(unit)} is true"
    if not others:
        return told
    worst = max(others, key=lambda row: abs(row["error"]))
    size = amounts([worst["effect"], truth], unit, signed=True)[0]
    return (
        f"{told}; {worst['claim']} claims {size}. Bars are {100 * data.attrs['level']:g}% intervals"
    )
