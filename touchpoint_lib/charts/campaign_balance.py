"""Were the arms of a campaign alike before it: differences of the covariates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import check_integer, fail
from touchpoint_lib.campaigns._rows import SUSPICIOUS
from touchpoint_lib.campaigns.result import CampaignEvaluation
from touchpoint_lib.charts._forest import (
    LINE,
    Panels,
    check_found,
    name_rows,
    p_text,
    shortened,
)
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, text
from touchpoint_lib.charts.timing import counted

#: Standard deviations by which arms that are alike do not differ.
_ALIKE = 0.1


def campaign_balance_data(found: CampaignEvaluation, top: int = 20) -> pd.DataFrame:
    """Return by how much the arms differed before the campaign, in standard deviations.

    Parameters
    ----------
    found : CampaignEvaluation
        From `evaluate_campaign` with ``covariates``.
    top : int
        Covariates at most: those that differ most in any arm.

    Returns
    -------
    DataFrame
        A row an arm and covariate, the largest difference first: arm, covariate, difference
        (treated less control, inf or -inf where it varies in neither), weighted (what the weights
        of "aipw" leave of it; NaN without weights) and p_value; 4 decimals. ``attrs`` holds arms
        (a dict each: arm, n_treated, n_control, n_apart (covariates beyond 0.1, behind the weights
        where there are any), largest and largest_at (the largest of these differences without
        sign, and the covariate), balance_p, sample_ratio_p), randomised, weighted (bool), control,
        level, n and n_covariates.

    Raises
    ------
    InputError
        If ``found`` is no `CampaignEvaluation`, has no covariates, or ``top`` is below 1.

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> sent = pd.DataFrame({
    ...     "arm": ["sms"] * 4 + ["holdout"] * 4,
    ...     "spend": [20.0, 0.0, 35.0, 12.0, 8.0, 0.0, 14.0, 6.0],
    ...     "orders": [3, 1, 2, 4, 2, 1, 3, 3],
    ... })
    >>> found = tp.evaluate_campaign(
    ...     sent, arm="arm", control="holdout", outcomes="spend", covariates="orders"
    ... )
    >>> charts.campaign_balance_data(found)[["arm", "covariate", "difference"]].round(2)
       arm covariate  difference
    0  sms    orders        0.25
    """
    most = check_integer("top", top, ge=1)
    if check_found(found).balance.empty:
        raise fail("found has no covariates", "pass covariates= to evaluate_campaign")
    table = found.balance
    weighted = "weighted_difference" in table
    data = pd.DataFrame(
        {
            "arm": table["arm"].map(str).astype(object),
            "covariate": table["covariate"].astype(object),
            "difference": table["standardised_difference"].astype(float),
            "weighted": table["weighted_difference"].astype(float) if weighted else np.nan,
            "p_value": table["p_value"],
        }
    )
    data = data.round(dict.fromkeys(("difference", "weighted", "p_value"), 4))
    left = data.set_index("covariate")["weighted" if weighted else "difference"].abs()
    whole = found.table[found.table["segment_by"] == ""].drop_duplicates("arm")
    arms = []
    for row in whole.to_dict("records"):
        mine = left[(data["arm"] == str(row["arm"])).to_numpy()]
        arms.append(
            {
                "arm": str(row["arm"]),
                "n_treated": int(row["n_treated"]),
                "n_control": int(row["n_control"]),
                "n_apart": int((mine > _ALIKE).sum()),
                "largest": float(mine.max()),
                "largest_at": str(mine.idxmax()),
                "balance_p": float(f"{row['balance_p']:.6g}"),
                "sample_ratio_p": float(f"{row['sample_ratio_p']:.6g}"),
            }
        )
    largest = data["difference"].abs().groupby(data["covariate"], sort=False).max()
    order = largest.sort_values(ascending=False, kind="stable").index
    place = data["covariate"].map({name: at for at, name in enumerate(order)})
    data = data.loc[place[place < most].sort_values(kind="stable").index].reset_index(drop=True)
    data.attrs = {
        "arms": arms,
        "control": str(whole["control"].iloc[0]),
        "randomised": found.randomised,
        "weighted": weighted,
        "level": found.level,
        "n": sum(found.arms.values()),
        "n_covariates": len(largest),
    }
    return data


def campaign_balance_verdict(data: pd.DataFrame) -> str:
    """Return whether the arms were alike before the campaign.

    Parameters
    ----------
    data : DataFrame
        From `campaign_balance_data`.
    """
    about = data.attrs
    many = counted(about["n_covariates"], "covariate", "covariates")
    says = [_alike_told(one, about, many) for one in about["arms"]]
    ratio = about["arms"][0]["sample_ratio_p"]
    if not np.isnan(ratio):
        says.append(
            f"The arms do not have the sizes of the design (sample-ratio test, {p_text(ratio)}): "
            "find out who is missing before you believe the effect."
            if ratio < SUSPICIOUS
            else "The sizes of the arms are those of the design (sample-ratio test, "
            f"{p_text(ratio)})."
        )
    return " ".join(says)


def campaign_balance(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the differences of the covariates before the campaign, between lines at 0.1.

    Parameters
    ----------
    data : DataFrame
        From `campaign_balance_data`.
    source : str
        For the footer.
    """
    about, arms = data.attrs, [one["arm"] for one in data.attrs["arms"]]
    names = list(dict.fromkeys(data["covariate"]))
    panels = Panels.of(arms, [LINE * len(names) + 12], 20)
    figure = panels.figure
    drawn = data[["difference", "weighted"]].to_numpy(float)
    finite = np.abs(drawn[np.isfinite(drawn)])
    # What varies in neither arm stands at the edge.
    edge = round(1.15 * max(float(finite.max(initial=0.0)), 0.13), 4)
    for arm, (row, col), last in zip(arms, panels.places, panels.last, strict=True):
        rows = data[data["arm"] == arm]
        height = [names.index(name) for name in rows["covariate"]]
        kinds = [("before weights", "difference", "white", GREYS[1])] * about["weighted"]
        after = "weighted" if about["weighted"] else "difference"
        kinds.append(
            (f"{'behind weights' if about['weighted'] else 'before'}", after, *2 * (ACCENT,))
        )
        for name, column, fill, border in kinds:
            figure.add_scatter(
                name=name,
                x=rows[column].clip(-edge, edge).tolist(),
                y=height,
                mode="markers",
                marker={"size": 9, "color": fill, "line": {"color": border, "width": 1.5}},
                customdata=[
                    [text(one["covariate"]), f"{one[column]:+.3f}", p_text(one["p_value"])]
                    for one in rows.to_dict("records")
                ],
                hovertemplate=f"%{{customdata[0]}}: %{{customdata[1]}} {name} "
                "(%{customdata[2]} before)<extra></extra>"
                if about["weighted"]
                else "%{customdata[0]}: %{customdata[1]} (%{customdata[2]})<extra></extra>",
                cliponaxis=False,
                row=row,
                col=col,
            )
        for line, dash in ((-_ALIKE, "dash"), (0, "solid"), (_ALIKE, "dash")):
            colour = BASELINE if line else GREYS[3]
            figure.add_vline(
                x=line,
                line={"color": colour, "width": 1.5, "dash": dash},
                layer="below",
                row=row,
                col=col,
            )
        name_rows(figure, [shortened(name) for name in names], (row, col))
        figure.update_xaxes(range=[-edge, edge], nticks=6, row=row, col=col)
        if last:
            join = ", " if panels.wide == 1 else "<br>"
            open_ = f"{join}open: before weights, filled: behind them" if about["weighted"] else ""
            figure.update_xaxes(
                title=f"Difference to {shortened(about['control'], 90 // panels.wide - 10)}"
                f"{join}standard deviations{open_}",
                row=row,
                col=col,
            )
    return panels.finish(_balance_title(data), source, about["n"], right=30)


def _alike_told(one: Mapping[Any, Any], about: Mapping[Any, Any], many: str) -> str:
    """Return whether one arm was like the control."""
    behind = "behind the weights " if about["weighted"] else ""
    largest = f"the largest difference is {one['largest']:.2g}, in {one['largest_at']}"
    apart = (
        f"{one['n_apart']:,} of {many} {'differs' if one['n_apart'] == 1 else 'differ'} {behind}by "
        f"more than {_ALIKE:g} standard deviations "
        f"between {one['arm']} and {about['control']}; {largest}"
        if one["n_apart"]
        else f"{one['arm']} and {about['control']} are alike {behind}in {many} to "
        f"{_ALIKE:g} standard deviations; {largest}"
    )
    if not about["randomised"] or np.isnan(one["balance_p"]):
        return f"{apart}."
    chance = (
        f"all together they tell the arms apart ({p_text(one['balance_p'])}): chance did not "
        "decide who was contacted"
        if one["balance_p"] < SUSPICIOUS
        else "all together they tell the arms apart no better than chance "
        f"({p_text(one['balance_p'])})"
        if one["balance_p"] >= 1 - about["level"]
        else f"all together they tell the arms apart a little ({p_text(one['balance_p'])}), as "
        "may happen by chance"
    )
    return f"{apart}; {chance}."


def _balance_title(data: pd.DataFrame) -> str:
    about = data.attrs
    behind = " behind the weights" if about["weighted"] else " before the campaign"
    apart = [one for one in about["arms"] if one["n_apart"]]
    shown = len(set(data["covariate"]))
    few = f" (the {shown:,} largest are shown)" if shown < about["n_covariates"] else ""
    many = counted(about["n_covariates"], "covariate", "covariates")
    if not apart:
        return f"The arms are alike{behind} in {many}{few}: within {_ALIKE:g} standard deviations"
    worst = max(apart, key=lambda one: one["n_apart"])
    return (
        f"{worst['arm']} and {about['control']} differ{behind} in {worst['n_apart']:,} of {many}"
        f"{few} by more than {_ALIKE:g} standard deviations"
    )
