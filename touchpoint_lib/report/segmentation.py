"""The head of the segmentation report, put together from the frames of the notebook."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from touchpoint_lib.charts.segments import sleep_returns_verdict, value_shares_verdict
from touchpoint_lib.charts.slider import position
from touchpoint_lib.lifetime._base import LifetimeModel
from touchpoint_lib.report._provenance import provenance
from touchpoint_lib.report.headline import Headline, Tile


def segmentation_headline(
    past: pd.DataFrame,
    today: pd.DataFrame,
    outcomes: pd.DataFrame,
    returned: pd.DataFrame,
    slider: pd.DataFrame,
    source: str,
    models: Sequence[LifetimeModel] = (),
    line: float = 0.2,
) -> Headline:
    """Return question, verdict, tiles and provenance of the segmentation notebook.

    Parameters
    ----------
    past : DataFrame
        From `rfm_split`.
    today : DataFrame
        From `rfm_summary` of the same log.
    outcomes : DataFrame
        From `segment_outcomes` of value segments.
    returned, slider : DataFrame
        From `charts.sleep_returns_data` and `charts.sleep_slider_data`.
    source : str
        Name of the log.
    models : sequence of LifetimeModel
        The fitted models: the verdict says which of them did not converge.
    line : float
        The position on the slider that the tiles show.
    """
    core = outcomes.loc["core"]
    row = slider.iloc[position(slider, line)]
    again = float((today["frequency"] > 0).mean())

    def rate_tile(label: str, name: str) -> Tile:
        if pd.isna(row[name]):
            return Tile(label, "none", "nobody is flagged", "")
        return Tile(
            label,
            f"{row[name]:.0%}",
            f"95%: {row[f'{name}_low']:.0%} to {row[f'{name}_high']:.0%}",
            f"longest silent instead: {row[f'baseline_{name}']:.0%}",
        )

    tiles = [
        Tile("Customers", f"{len(today):,}", "", f"{again:.0%} bought on more than one day"),
        Tile(
            "Core's share of holdout spend",
            f"{core['holdout_amount_share']:.0%}",
            f"95%: {core['holdout_amount_share_low']:.0%} to "
            f"{core['holdout_amount_share_high']:.0%}",
            f"expected: {core['value_share']:.0%}",
        ),
        rate_tile("Error rate of “asleep: will not buy”", "error_rate"),
        rate_tile("Omission rate of the same", "omission_rate"),
    ]
    caution = "".join(
        f" Caution: the {type(model).__name__} did not converge on this log "
        f"({model.convergence_message_}), so its figures are rough."
        for model in models
        if not model.converged_
    )
    return Headline(
        "Who are our customers, who still is one, and what are they worth?",
        f"{value_shares_verdict(outcomes)} {sleep_returns_verdict(returned)}{caution}",
        tiles,
        provenance(past, source),
    )
