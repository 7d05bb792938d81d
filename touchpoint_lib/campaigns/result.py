"""What an evaluation returns."""

from __future__ import annotations

import html
from dataclasses import dataclass

import pandas as pd

_SHOWN = [
    "outcome",
    "arm",
    "segment",
    "n_treated",
    "n_control",
    "mean_treated",
    "mean_control",
    "effect",
    "ci_low",
    "ci_high",
    "relative_lift",
    "p_adjusted",
]


@dataclass(frozen=True, eq=False)
class CampaignEvaluation:
    """The effect of a campaign, what it rests on, and what cannot be known.

    Attributes
    ----------
    table : DataFrame
        A row an outcome, arm and segment: see `evaluate_campaign`.
    balance : DataFrame
        A row an arm and covariate, over all segments: arm, covariate, mean_treated, mean_control,
        standardised_difference (in standard deviations), p_value (with ``cluster`` by its sums),
        and with weights weighted_difference, that is left behind them. Infinite where a covariate
        tells the arms apart. Empty without covariates.
    interactions : DataFrame
        A row an outcome, arm and column of segments: n_segments, statistic (Cochran's Q, of the
        test that all segments have one effect), df, p_value (Welch 1951, by the degrees of freedom
        of each segment), p_adjusted (Holm). Empty without segments; NaN where less than two of
        them have an effect with an error.
    placebo : DataFrame
        As ``table``, of outcomes from before the campaign, on which it can have had no effect.
    n_rows : int
        Rows of the data.
    arms : dict
        Rows of each arm, the control first.
    level : float
        Of all intervals.
    method, estimand : str
        As they were asked for.
    randomised : bool
        Whether chance decided who was contacted, as the caller said.
    window, cycle : float or None
        Days over which outcomes count, and of one usual repurchase cycle, as the caller said.
    statement : str
        What the figures mean, and what cannot be known from these data.
    """

    table: pd.DataFrame
    balance: pd.DataFrame
    interactions: pd.DataFrame
    placebo: pd.DataFrame
    n_rows: int
    arms: dict[object, int]
    level: float
    method: str
    estimand: str
    randomised: bool
    window: float | None
    cycle: float | None
    statement: str

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self.table.copy()

    def notes(self) -> pd.DataFrame:
        """Return what to beware of.

        Returns
        -------
        DataFrame
            A row a warning of the table: warning, n_rows (of the table that have it), where (the
            first of them: outcome, arm, segment).
        """
        found: dict[str, list[str]] = {}
        names = ["outcome", "arm", "segment_by", "segment", "warnings"]
        for outcome, arm, by, segment, warnings in self.table[names].itertuples(index=False):
            where = f"{outcome}, {arm}, {f'{by} {segment}' if by else 'all customers'}"
            for note in filter(None, warnings.split("; ")):
                found.setdefault(note, []).append(where)
        return pd.DataFrame(
            [(note, len(rows), rows[0]) for note, rows in found.items()],
            columns=["warning", "n_rows", "where"],
        )

    def __repr__(self) -> str:
        return (
            f"CampaignEvaluation({self.method}, {self.n_rows:,} rows, "
            f"{len(self.table):,} comparisons)"
        )

    def _repr_html_(self) -> str:
        shown = self.table[_SHOWN].to_html(index=False, float_format=lambda value: f"{value:.4g}")
        listed = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes()["warning"])
        return f"{shown}<p>{html.escape(self.statement)}</p><ul>{listed}</ul>"
