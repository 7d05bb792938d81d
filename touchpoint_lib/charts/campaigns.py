"""Effects of a campaign on all customers and in every segment, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import fail
from touchpoint_lib.campaigns.result import CampaignEvaluation
from touchpoint_lib.charts._forest import (
    SHARE,
    WIDE,
    Lines,
    Panels,
    Span,
    about_rows,
    add_forest,
    amounts,
    bounded,
    check_found,
    joined,
    p_text,
    plain_rows,
    rows_of,
    shortened,
    unit_words,
)
from touchpoint_lib.charts._style import text
from touchpoint_lib.charts.timing import counted

_EFFECT = (
    "mean_treated", "mean_control", "effect", "ci_low", "ci_high", "relative_lift", "relative_low",
    "relative_high", "p_value", "p_adjusted", "detectable_effect",
)  # fmt: skip


def campaign_effects_data(
    found: CampaignEvaluation, outcome: str | None = None, arm: Any = None, *, unit: str = ""
) -> pd.DataFrame:
    """Return the effect of each arm on one outcome, over all customers and in every segment.

    Parameters
    ----------
    found : CampaignEvaluation
        From `evaluate_campaign`.
    outcome : str, optional
        Which; may be left out where there is only one.
    arm : optional
        The treated arm; all of them by default.
    unit : str
        Of the effect, as it stands behind the number: "yuan", "orders per customer"; "%" for an
        outcome of 0 and 1, whose effect is told in percentage points.

    Returns
    -------
    DataFrame
        A row an arm and segment, all customers first: arm, segment_by, segment, n_treated,
        n_control, mean_treated, mean_control, effect, ci_low, ci_high, relative_lift,
        relative_low, relative_high, p_value, p_adjusted, detectable_effect (six significant
        digits; NaN where the table has it). ``attrs`` holds outcome, unit, control, method,
        randomised, level, n (rows of these arms), n_compared (rows of all customers that p is
        adjusted for) and tests (a dict an arm and column of segments: arm, segment_by, p_adjusted
        of the test that all have one effect).

    Raises
    ------
    InputError
        If ``found`` is no `CampaignEvaluation`, there are several outcomes and none is named, or
        the outcome or arm is not among them.

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> sent = pd.DataFrame({
    ...     "arm": ["sms"] * 4 + ["holdout"] * 4,
    ...     "spend": [20.0, 0.0, 35.0, 12.0, 8.0, 0.0, 14.0, 6.0],
    ... })
    >>> found = tp.evaluate_campaign(sent, arm="arm", control="holdout", outcomes="spend")
    >>> data = charts.campaign_effects_data(found)
    >>> data[["arm", "segment", "effect", "ci_low", "ci_high"]].round(2)
       arm segment  effect  ci_low  ci_high
    0  sms     all    9.75  -12.36    31.86
    """
    rows = rows_of(check_found(found), outcome, found.table["outcome"])
    if arm is not None:
        arms = list(dict.fromkeys(rows["arm"]))
        if arm not in arms:
            raise fail(
                f"arm is {arm!r}, the treated arms are {', '.join(map(repr, arms))}",
                "name one of them, or none for all",
            )
        rows = rows[rows["arm"] == arm]
    tests = found.interactions
    tests = tests[(tests["outcome"] == rows["outcome"].iloc[0]) & tests["arm"].isin(rows["arm"])]
    data = plain_rows(rows, _EFFECT)
    data.attrs = {
        **about_rows(found, rows),
        "unit": unit,
        "n_compared": int((found.table["segment_by"] == "").sum()),
        "tests": [
            {"arm": str(label), "segment_by": str(by), "p_adjusted": float(f"{p:.6g}")}
            for label, by, p in tests[["arm", "segment_by", "p_adjusted"]].itertuples(index=False)
        ],
    }
    return data


def campaign_effects_verdict(data: pd.DataFrame) -> str:
    """Return what each arm did to the outcome, and whether segments differ in that.

    Parameters
    ----------
    data : DataFrame
        From `campaign_effects_data`.
    """
    whole, about = data[data["segment_by"] == ""].to_dict("records"), data.attrs
    if about["method"] == "before_after":
        since = "; ".join(
            f"{about['outcome']} of {row['arm']} changed by {_effect(row, about)} since before"
            for row in whole
        )
        return (
            f"{since}. That is no effect: without a holdout nobody knows what the campaign added."
        )
    told = changes(whole, about, full=True)
    says = [f"{row['arm']} {one}." for row, one in zip(whole, told, strict=True)]
    says += _segments_told(data)
    if not about["randomised"]:
        needed = (
            "both arms would have changed alike without the contact"
            if about["method"] == "did"
            else "the covariates tell all that decided who was contacted"
        )
        says.append(f"Nobody drew lots: this holds only if {needed}.")
    return " ".join(says)


def campaign_effects(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the effect of each arm with intervals: all customers, then every segment.

    Parameters
    ----------
    data : DataFrame
        From `campaign_effects_data`.
    source : str
        For the footer.
    """
    about, lines, span = data.attrs, Lines.of(data), Span.of(data)
    arms = list(dict.fromkeys(data["arm"]))
    room = 65 if len(arms) >= WIDE else 125
    panels = Panels.of(arms, [lines.pixels], room)
    change = "Change of" if about["method"] == "before_after" else "Effect on"
    name = f"{change} {shortened(about['outcome'], 90 // panels.wide - 8)}"
    unit = text(unit_words(about["unit"]).strip()) or "per customer"
    note = "<br>Bars that end at the edge go on" if span.cut else ""
    for arm, (row, col), last in zip(arms, panels.places, panels.last, strict=True):
        rows = data[data["arm"] == arm]
        listed = rows.to_dict("records")
        add_forest(
            panels.figure,
            rows,
            lines,
            span,
            unit=about["unit"],
            labels=_labels(listed, about["unit"], lift=panels.wide < WIDE),
            hovers=[_hover(one, about) for one in listed],
            place=(row, col),
        )
        if last:
            join = ", " if panels.wide == 1 else "<br>"
            panels.figure.update_xaxes(title=f"{name}{join}{unit}{note}", row=row, col=col)
    return panels.finish(_title(data), source, about["n"], right=room + 10)


def _effect(row: Mapping[Any, Any], about: Mapping[Any, Any]) -> str:
    return bounded(row, "effect", about["level"], about["unit"], signed=True)


def changes(
    whole: Sequence[Mapping[Any, Any]], about: Mapping[Any, Any], *, full: bool
) -> list[str]:
    """Return what each arm did to the outcome, as it follows the name of the arm.

    ``whole`` are the rows of `campaign_effects_data` for all customers, ``about`` its attrs. All
    arms are told with one number of decimals. ``full`` adds the relative lift, and where nothing
    is clear the effect that would have been found.
    """
    effects = [row[name] for row in whole for name in ("effect", "ci_low", "ci_high")]
    means = [row[name] for row in whole for name in ("mean_control", "mean_treated")]
    means_told = amounts(means, about["unit"])
    sign = SHARE if about["unit"] == SHARE else ""
    told = []
    for number, row in enumerate(whole):
        side = side_of(row["ci_low"], row["ci_high"])
        if not side:
            told.append(_unclear(row, about, effects, full=full))
            continue
        # A fall is told by its size.
        bounds = sorted(side * row[name] for name in ("ci_low", "ci_high"))
        size = {"effect": side * row["effect"], "ci_low": bounds[0], "ci_high": bounds[1]}
        one = (
            f"{'raised' if side > 0 else 'lowered'} {about['outcome']} by "
            f"{bounded(size, 'effect', about['level'], about['unit'], among=effects)}"
        )
        if about["method"] != "did":
            least, most = means_told[2 * number : 2 * number + 2]
            one += f", from {least}{sign} to {most}{sign}"
        if full and np.isfinite(row["relative_lift"]):
            one += _lift(row, side)
        if row["p_adjusted"] >= 1 - about["level"]:
            many = counted(about["n_compared"], "comparison", "comparisons")
            p = p_text(row["p_adjusted"])
            one += f", which is not clear among {many} (adjusted {p})"
        told.append(one)
    return told


def side_of(low: float, high: float) -> int:
    """Return on which side of 0 an interval is: 1, -1, or 0 where it holds 0 or is not known."""
    return int(low > 0) - int(high < 0)


def _unclear(
    row: Mapping[Any, Any], about: Mapping[Any, Any], effects: Sequence[float], *, full: bool
) -> str:
    """Return an effect whose interval holds 0, or that has none."""
    outcome, unit = about["outcome"], about["unit"]
    effect = bounded(row, "effect", about["level"], unit, signed=True, among=effects)
    if np.isnan(row["ci_low"]):
        return f"changed {outcome} by {effect} (no interval: the outcome does not vary)"
    told = f"did not clearly change {outcome}: {effect}"
    if full and np.isfinite(row["detectable_effect"]):
        size = amounts([row["detectable_effect"], *effects], unit)[0] + unit_words(unit)
        told += f"; an effect of {size} would have been found in 80% of such experiments"
    return told


def _lift(row: Mapping[Any, Any], side: int) -> str:
    """Return the relative lift, or fall, of an effect on one side of 0."""
    told = f", a relative {'lift' if side > 0 else 'fall'} of {side * row['relative_lift']:.0%}"
    bounds = sorted(side * row[name] for name in ("relative_low", "relative_high"))
    if np.isfinite(bounds).all():
        told += f" ({bounds[0]:.0%} to {bounds[1]:.0%})"
    return told


def _segments_told(data: pd.DataFrame) -> list[str]:
    """Return which columns of segments differ in the effect of an arm, and which do not."""
    about = data.attrs
    several = len(set(data["arm"])) > 1
    tests = pd.DataFrame(about["tests"], columns=["arm", "segment_by", "p_adjusted"])
    says, alike, unknown = [], [], []
    for by, ones in tests.groupby("segment_by", sort=False):
        least = float(ones["p_adjusted"].min())
        if np.isnan(least):
            unknown.append(str(by))
        elif least >= 1 - about["level"]:
            alike.append(f"{by} ({p_text(least)})")
        for one in ones[ones["p_adjusted"] < 1 - about["level"]].to_dict("records"):
            mine = data[(data["arm"] == one["arm"]) & (data["segment_by"] == by)]
            mine = mine[mine["effect"].notna()].sort_values("effect").iloc[[0, -1]]
            low, high = amounts(mine["effect"], about["unit"], signed=True)
            unit = unit_words(about["unit"])
            of = f" with {one['arm']}" if several else ""
            says.append(
                f"Segments of {by} differ clearly{of} ({p_text(one['p_adjusted'])}): from "
                f"{low}{unit} in {mine['segment'].iloc[0]} to {high}{unit} in "
                f"{mine['segment'].iloc[1]}."
            )
    if alike:
        says.append(f"Segments of {joined(alike)} do not differ clearly.")
    if unknown:
        says.append(f"Segments of {joined(unknown)} cannot be compared.")
    return says


def _title(data: pd.DataFrame) -> str:
    about, whole = data.attrs, data[data["segment_by"] == ""].to_dict("records")
    sizes = amounts([row["effect"] for row in whole], about["unit"], signed=True)
    parts = [
        f"{row['arm']} {size}{unit_words(about['unit']) if not number else ''}"
        + (
            ""
            if side_of(row["ci_low"], row["ci_high"]) or np.isnan(row["ci_low"])
            else " (not clear of 0)"
        )
        for number, (row, size) in enumerate(zip(whole, sizes, strict=True))
    ]
    bars = f"Bars are {100 * about['level']:g}% intervals"
    if about["method"] == "before_after":
        return f"Change of {about['outcome']} since before, no effect: {', '.join(parts)}. {bars}"
    against = f" against {about['control']}"
    return f"Effect on {about['outcome']}{against}: {', '.join(parts)}. {bars}"


def _labels(rows: Sequence[Mapping[Any, Any]], unit: str, *, lift: bool) -> list[str]:
    """Return the effects as they stand beside the bars."""
    sizes = amounts([row["effect"] for row in rows], unit, signed=True)
    return [
        "unknown"
        if np.isnan(row["effect"])
        else size
        + (f" ({row['relative_lift']:+.0%})" if lift and np.isfinite(row["relative_lift"]) else "")
        for row, size in zip(rows, sizes, strict=True)
    ]


def _hover(row: Mapping[Any, Any], about: Mapping[Any, Any]) -> str:
    """Return the figures of a row."""
    name = f"{row['segment_by']}: {row['segment']}" if row["segment_by"] else "All customers"
    lines = [
        f"<b>{text(name)}</b>",
        text(_effect(row, about)),
        f"{row['n_treated']:,} contacted, {row['n_control']:,} not",
    ]
    if np.isfinite(row["relative_lift"]):
        lines.append(f"relative lift {row['relative_lift']:+.1%}")
    if np.isfinite(row["p_adjusted"]):
        lines.append(f"adjusted {p_text(row['p_adjusted'])}")
    return "<br>".join(lines)
