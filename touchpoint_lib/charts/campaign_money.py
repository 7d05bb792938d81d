"""What a campaign earned and cost, by arm and segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import fail
from touchpoint_lib.campaigns.result import CampaignEvaluation
from touchpoint_lib.charts._forest import (
    Lines,
    Panels,
    Span,
    about_rows,
    add_forest,
    amounts,
    bounded,
    check_found,
    joined,
    plain_rows,
    rows_of,
    shortened,
)
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text
from touchpoint_lib.charts.lifetime import error_bars
from touchpoint_lib.charts.timing import counted

#: Height of the bars from margin to net profit.
_BARS = 190
#: Segments that a sentence names at most.
_FEW = 4
_STEPS = {
    "margin": "Margin",
    "contact_cost": "Contact",
    "discount_cost": "Discount",
    "fixed_cost": "Fixed",
    "net_profit": "Net",
}
_SPENT = {
    "contact_cost": "for contacts",
    "discount_cost": "for discounts",
    "fixed_cost": "fixed",
}
_EFFECTS = ("effect", "ci_low", "ci_high")
_MONEY = (
    *_EFFECTS, "margin", *_SPENT, "net_profit", "net_profit_low", "net_profit_high", "roi",
    "roi_low", "roi_high", "break_even_effect", "probability_of_profit",
)  # fmt: skip


def campaign_money_data(found: CampaignEvaluation, outcome: str | None = None) -> pd.DataFrame:
    """Return what each arm earned and cost, over all customers and in every segment.

    Parameters
    ----------
    found : CampaignEvaluation
        From `evaluate_campaign` with ``costs``.
    outcome : str, optional
        Which of those with costs; may be left out where there is only one.

    Returns
    -------
    DataFrame
        A row an arm and segment, all customers first: arm, segment_by, segment, n_treated,
        n_control, effect, ci_low, ci_high, margin, contact_cost, discount_cost, fixed_cost (0 in
        segments), net_profit and roi (each with _low and _high), break_even_effect (inf where no
        effect is enough) and probability_of_profit (six significant digits; NaN where the table
        has it). ``attrs`` holds outcome, control, method, randomised, level and n.

    Raises
    ------
    InputError
        If ``found`` is no `CampaignEvaluation`, has no costs, or has those of several outcomes
        and none is named.

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> sent = pd.DataFrame({
    ...     "arm": ["sms"] * 4 + ["holdout"] * 4,
    ...     "spend": [20.0, 0.0, 35.0, 12.0, 8.0, 0.0, 14.0, 6.0],
    ... })
    >>> found = tp.evaluate_campaign(
    ...     sent, arm="arm", control="holdout", outcomes="spend",
    ...     costs=tp.CampaignCosts(margin=0.3, contact=0.5),
    ... )
    >>> data = charts.campaign_money_data(found)
    >>> data[["margin", "contact_cost", "net_profit", "break_even_effect"]].round(2)
       margin  contact_cost  net_profit  break_even_effect
    0    11.7           2.0         9.7               1.67
    """
    table = check_found(found).table
    if "net_profit" not in table:
        raise fail("found has no money", "pass costs=CampaignCosts(...) to evaluate_campaign")
    # The arms together have no segment without figures.
    rows = rows_of(found, outcome, table.loc[table["net_profit"].notna(), "outcome"])
    data = plain_rows(rows, _MONEY)
    data.attrs = about_rows(found, rows)
    return data


def campaign_money_verdict(data: pd.DataFrame) -> str:
    """Return the net profit of each arm with its interval, and the effect it breaks even at.

    Parameters
    ----------
    data : DataFrame
        From `campaign_money_data`.
    """
    level = data.attrs["level"]
    whole = data[data["segment_by"] == ""]
    money, effects = (
        whole[[*names]].to_numpy().ravel().tolist()
        for names in (("net_profit", "net_profit_low", "net_profit_high", *_SPENT), _EFFECTS)
    )
    evens = whole.loc[np.isfinite(whole["break_even_effect"]), "break_even_effect"].tolist()
    says = []
    for row in whole.to_dict("records"):
        costs = [
            f"{amounts([row[name], *money])[0]} {words}"
            for name, words in _SPENT.items()
            if row[name] != 0
        ]
        who = "The campaign" if len(whole) == 1 else row["arm"]
        told = f"{who} brought a net profit of {bounded(row, 'net_profit', level, among=money)}"
        if costs:
            told += f" after {joined(costs)}"
        if np.isfinite(row["roi"]):
            told += f", {row['roi']:+,.0%} of the costs"
            if np.isfinite(row["roi_low"]):
                told += f" ({row['roi_low']:+,.0%} to {row['roi_high']:+,.0%})"
        if np.isfinite(row["probability_of_profit"]):
            told += f"; probability of a profit {_chance(row)}"
        says.append(f"{told}. {_even_told(row, level, effects, evens)}")
        says += _segments_told(data, row["arm"])
    return " ".join(says)


def campaign_money(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw from margin to net profit for each arm, and below the effects beside the break-even.

    Parameters
    ----------
    data : DataFrame
        From `campaign_money_data`.
    source : str
        For the footer.
    """
    about, lines = data.attrs, Lines.of(data)
    span = Span.of(data, data["break_even_effect"])
    whole = data[data["segment_by"] == ""]
    steps = [
        name for name in _STEPS if name in ("margin", "net_profit") or (whole[name] != 0).any()
    ]
    arms = list(whole["arm"])
    note = "<br>Bars that end at the edge go on" if span.cut else ""
    panels = Panels.of(arms, [_BARS, lines.pixels], 80, most=2)
    axis = _money_axis(whole, steps)
    for arm, (top, col), last in zip(arms, panels.places, panels.last, strict=True):
        rows = data[data["arm"] == arm]
        listed = rows.to_dict("records")
        _add_bars(panels.figure, listed[0], steps, about["level"], (top, col))
        panels.figure.update_yaxes(range=axis, nticks=6, tickformat=",", row=top, col=col)
        # Behind the bars, whose ends matter more.
        _add_even(panels.figure, listed, lines, (top + 1, col))
        add_forest(
            panels.figure,
            rows,
            lines,
            span,
            unit="",
            labels=[
                "unknown" if np.isnan(row["net_profit"]) else f"net {_short(row['net_profit'])}"
                for row in listed
            ],
            hovers=[_hover(row, about["level"]) for row in listed],
            place=(top + 1, col),
            line=GREYS[2],
        )
        if last:
            join = ", " if panels.wide == 1 else "<br>"
            panels.figure.update_xaxes(
                title=f"Effect on {shortened(about['outcome'], 90 // panels.wide - 10)}{join}"
                f"per customer (orange: breaks even){note}",
                row=top + 1,
                col=col,
            )
        if col == 1:
            panels.figure.update_yaxes(title="Money", row=top, col=col)
    return panels.finish(_money_title(whole, about), source, about["n"], right=90)


def _money_axis(whole: pd.DataFrame, steps: list[str]) -> list[float]:
    """Return the range that holds the bars and intervals of all arms."""
    left = whole["margin"].to_numpy()[:, None] - whole[steps[1:-1]].to_numpy().cumsum(axis=1)
    ends = [whole[["margin", "net_profit", "net_profit_low", "net_profit_high"]].to_numpy(), left]
    known = np.concatenate([[0.0], *(part[np.isfinite(part)] for part in ends)])
    pad = 0.05 * float(np.ptp(known)) or 1.0
    return [float(f"{end:.6g}") for end in (known.min() - pad, known.max() + pad)]


def _add_bars(
    figure: go.Figure,
    row: Mapping[Any, Any],
    steps: list[str],
    level: float,
    place: tuple[int, int],
) -> None:
    """Draw how margin less costs makes the net profit, with its interval."""
    costs = steps[1:-1]
    start = row["margin"] - np.cumsum([0.0, *(row[name] for name in costs)])
    signed = [row["margin"], *(-row[name] for name in costs), row["net_profit"]]
    labels = [
        f"{_STEPS[name]}<br>{_short(value)}" for name, value in zip(steps, signed, strict=True)
    ]
    told = [f"{_STEPS[name]} {size}" for name, size in zip(steps, amounts(signed), strict=True)]
    told[-1] = f"Net profit {bounded(row, 'net_profit', level)}"
    figure.add_bar(
        name="money",
        x=labels,
        y=[float(f"{value:.6g}") for value in signed],
        base=[0.0, *(float(f"{value:.6g}") for value in start[: len(costs)]), 0.0],
        width=0.62,
        marker={"color": [GREYS[1], *[GREYS[3]] * len(costs), ACCENT]},
        customdata=told,
        hovertemplate="%{customdata}<extra></extra>",
        row=place[0],
        col=place[1],
    )
    if np.isfinite(row["net_profit_low"]):
        net = pd.DataFrame([row])
        figure.add_scatter(
            name="net profit",
            x=labels[-1:],
            y=net["net_profit"].tolist(),
            error_y=error_bars(net["net_profit"], net["net_profit_low"], net["net_profit_high"])
            | {"thickness": 1.5, "width": 5},
            mode="markers",
            marker={"color": GREYS[0], "size": 7},
            hoverinfo="skip",
            row=place[0],
            col=place[1],
        )
    figure.add_hline(y=0, line={"color": BASELINE, "width": 1.5}, row=place[0], col=place[1])
    figure.update_xaxes(
        type="category", tickangle=0, tickfont={"size": 11}, row=place[0], col=place[1]
    )


def _add_even(
    figure: go.Figure, rows: list[dict[Any, Any]], lines: Lines, place: tuple[int, int]
) -> None:
    """Mark the effect at which each row breaks even."""
    finite = [row for row in rows if np.isfinite(row["break_even_effect"])]
    figure.add_scatter(
        name="breaks even",
        x=[row["break_even_effect"] for row in finite],
        y=[lines.height[row["segment_by"], row["segment"]] for row in finite],
        mode="markers",
        marker={"symbol": "line-ns", "size": 17, "line": {"color": BASELINE, "width": 3}},
        hovertemplate="breaks even at %{x:,.4g}<extra></extra>",
        row=place[0],
        col=place[1],
    )


def _segments_told(data: pd.DataFrame, arm: str) -> list[str]:
    """Return where an arm clearly earns and clearly loses."""
    parts = data[(data["segment_by"] != "") & (data["arm"] == arm)]
    if parts.empty:
        return []
    gains, losses = (
        [f"{row['segment_by']} {row['segment']}" for row in side.to_dict("records")]
        for side in (parts[parts["net_profit_low"] > 0], parts[parts["net_profit_high"] < 0])
    )
    told = (
        f"Of {counted(len(parts), 'segment', 'segments')}, before fixed costs, it clearly earns in "
        f"{_some(gains)} and clearly loses in {_some(losses)}."
    )
    return [told]


def _some(names: list[str]) -> str:
    """Return names where they are few, else their number."""
    if not names:
        return "none"
    return joined(names) if len(names) <= _FEW else f"{len(names):,}"


def _chance(row: Mapping[Any, Any]) -> str:
    """Return the probability of a profit, which is never certain."""
    chance = row["probability_of_profit"]
    if chance < 0.001 or chance > 0.999:
        return "less than 0.1%" if chance < 0.5 else "more than 99.9%"
    return f"{chance:.1%}"


def _even_told(
    row: Mapping[Any, Any], level: float, effects: Sequence[float], evens: Sequence[float]
) -> str:
    """Return the break-even effect beside the estimated one, in the decimals of all arms."""
    effect = bounded(row, "effect", level, among=effects)
    if np.isinf(row["break_even_effect"]):
        return f"No effect would pay for the discount; the estimated one is {effect}."
    return (
        f"It breaks even at an effect of {amounts([row['break_even_effect'], *evens])[0]} a "
        f"customer; the estimated one is {effect}."
    )


def _hover(row: Mapping[Any, Any], level: float) -> str:
    """Return the figures of a row."""
    name = f"{row['segment_by']}: {row['segment']}" if row["segment_by"] else "All customers"
    lines = [f"<b>{text(name)}</b>", f"effect {bounded(row, 'effect', level)}"]
    if np.isfinite(row["net_profit"]):
        lines.append(f"net profit {bounded(row, 'net_profit', level)}")
    if np.isfinite(row["break_even_effect"]):
        lines.append(f"breaks even at {amounts([row['break_even_effect']])[0]}")
    if np.isfinite(row["probability_of_profit"]):
        lines.append(f"probability of a profit {_chance(row)}")
    return "<br>".join(lines)


def _short(value: float) -> str:
    """Return an amount of money in a few characters."""
    for size, letter in ((1e9, "bn"), (1e6, "m"), (1e4, "k")):
        if abs(value) >= size:
            return f"{amounts([value / (1e3 if letter == 'k' else size)])[0]}{letter}"
    return amounts([value])[0]


def _money_title(whole: pd.DataFrame, about: Mapping[Any, Any]) -> str:
    parts = [
        f"{row['arm']} {amounts([row['net_profit']], signed=True)[0]}"
        + ("" if row["net_profit_low"] > 0 or row["net_profit_high"] < 0 else " (not clear of 0)")
        for row in whole.to_dict("records")
    ]
    return (
        f"Net profit from {about['outcome']}: {', '.join(parts)}. Bars are "
        f"{100 * about['level']:g}% intervals"
    )
