"""Several campaigns on the same customers: does one spoil the evaluation of the other?"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from touchpoint_lib._checks import FloatArray, IntArray, check_number, fail
from touchpoint_lib.campaigns._data import Arms, read_arms, read_values
from touchpoint_lib.campaigns._estimates import tested, welch_df


@dataclass(frozen=True, eq=False)
class CampaignOverlap:
    """What campaigns with holdouts of their own do to each other's evaluation.

    Attributes
    ----------
    table : DataFrame
        What `to_frame` returns.
    pairs : DataFrame
        A row a pair: first, second, overlap_p (chi-square test that the assignments are
        independent), interaction (how much more the two do together than the sum of what each
        does alone), standard_error, ci_low, ci_high, p_value, statement (in words).
    cells : DataFrame
        Four rows a pair: first, second, first_arm, second_arm, n, mean, standard_deviation.
    outcome : str
        Column of the outcome.
    level : float
        Of the intervals.
    n_rows : int
        Rows of the data.
    """

    table: pd.DataFrame
    pairs: pd.DataFrame
    cells: pd.DataFrame
    outcome: str
    level: float
    n_rows: int

    def to_frame(self) -> pd.DataFrame:
        """Return four effects of each campaign of each pair.

        Returns
        -------
        DataFrame
            campaign; other; comparison; n_treated, n_control, mean_treated, mean_control; effect,
            standard_error, ci_low, ci_high, p_value (t with Welch's and Satterthwaite's degrees of
            freedom). The comparisons: "plain" (the arms as they are: what an evaluation of this
            campaign alone reports), "average" (within the arms of the other campaign, averaged in
            the shares that these have in the data), "alone" (among the control of the other) and
            "on_top" (among the contacted of the other). The error, bounds and p-value are NaN
            where the outcome does not vary.
        """
        return self.table.copy()

    def __repr__(self) -> str:
        return f"CampaignOverlap({len(self.pairs)} pairs, {self.n_rows:,} rows)"

    def _repr_html_(self) -> str:
        said = "".join(f"<li>{html.escape(text)}</li>" for text in self.pairs["statement"])
        shown = self.table.to_html(index=False, float_format=lambda value: f"{value:.4g}")
        return f"<p>{html.escape(repr(self))}</p><ul>{said}</ul>{shown}"


def campaign_overlap(
    data: Any,
    *,
    campaigns: Mapping[str, tuple[str, Any]],
    outcome: str,
    level: float = 0.95,
) -> CampaignOverlap:
    """Tell what overlapping campaigns (活动重叠) do to each other's evaluation.

    Where each campaign drew its holdout by chance, whoever was in the other, its plain comparison
    stays fair: both of its arms hold the same share of customers of the other. It measures the
    effect in that mixture, though, which is not that of the campaign alone if one takes away from
    the other, such as two coupons for the same purchase.

    Parameters
    ----------
    data : DataFrame, n rows
        A row a customer who was assigned in all of the campaigns.
    campaigns : mapping of str to (str, scalar)
        Name of a campaign, the column of its arms and the value of its control; at least two
        campaigns, of two arms each.
    outcome : str
        Column of the outcome: a number, or true or false.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    CampaignOverlap
        ``to_frame()`` has the effects, ``pairs`` the interactions and a statement a pair, ``cells``
        what they are made of.

    Raises
    ------
    InputError
        If there are fewer than two campaigns, one has more than two arms, a pair has fewer than
        two rows in one of its four cells, or a column is missing or holds something else.

    Notes
    -----
    The effect in a cell of the other campaign is a difference of cell means, the interaction the
    difference of two of these; variances add over the cells (Welch). The shares that "average"
    weighs with are taken as given.

    A standing control group (长期对照组, customers whom no campaign reaches) judges all campaigns
    together, with whatever they do to each other:
    ``evaluate_campaign(customers, arm="control_group", control=True, outcomes=["margin"])``, with
    the outcome summed over the whole programme. Leave its members out here: they can be assigned
    to no campaign, and would make the assignments depend on each other.

    References
    ----------
    Kohavi, Tang and Xu (2020), "Trustworthy Online Controlled Experiments", chapter 4 on
    concurrent experiments; Welch (1947), Biometrika 34.

    Examples
    --------
    A text message and a coupon, each worth 2 alone; the second of both adds nothing:

    >>> import numpy as np, pandas as pd
    >>> import touchpoint_lib as tp
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"sms": rng.integers(0, 2, 4000), "coupon": rng.integers(0, 2, 4000)})
    >>> data["spent"] = 20 + 2 * data[["sms", "coupon"]].max(axis=1) + rng.normal(0, 5, 4000)
    >>> result = tp.campaign_overlap(
    ...     data, campaigns={"sms": ("sms", 0), "coupon": ("coupon", 0)}, outcome="spent"
    ... )
    >>> result.to_frame()[["campaign", "comparison", "effect", "ci_low", "ci_high"]][:4].round(2)
      campaign comparison  effect  ci_low  ci_high
    0      sms      plain    0.90    0.59     1.22
    1      sms    average    0.92    0.61     1.23
    2      sms      alone    1.99    1.55     2.42
    3      sms     on_top   -0.18   -0.61     0.26
    >>> result.pairs[["first", "second", "overlap_p", "interaction", "ci_low", "ci_high"]].round(2)
      first  second  overlap_p  interaction  ci_low  ci_high
    0   sms  coupon       0.39        -2.16   -2.78    -1.55
    """
    if not isinstance(campaigns, Mapping) or len(campaigns) < 2:
        raise fail(
            f"campaigns is {campaigns!r}",
            'pass at least two as {"name": (column, value of its control)}',
        )
    share = check_number("level", level, gt=0, lt=1)
    y = read_values(data, outcome)
    arms = {name: _two_arms(data, name, given) for name, given in campaigns.items()}
    rows, pairs, cells = [], [], []
    for first, second in combinations(arms, 2):
        four = _cells(y, first, arms[first], second, arms[second])
        cells += four.rows()
        for campaign, other, turned in ((first, second, four), (second, first, four.turned())):
            rows += [{"campaign": campaign, "other": other} | row for row in turned.effects(share)]
        pairs.append(four.pair(share))
    return CampaignOverlap(
        table=pd.DataFrame(rows),
        pairs=pd.DataFrame(pairs),
        cells=pd.DataFrame(cells),
        outcome=outcome,
        level=share,
        n_rows=len(y),
    )


@dataclass(frozen=True, eq=False)
class _Cells:
    """Rows, means and variances by the arm of one campaign (rows) and of another (columns)."""

    names: tuple[str, str]
    labels: tuple[list[Any], list[Any]]
    n: FloatArray
    mean: FloatArray
    variance: FloatArray

    def turned(self) -> _Cells:
        """Return the same with the campaigns exchanged."""
        return _Cells(self.names[::-1], self.labels[::-1], self.n.T, self.mean.T, self.variance.T)

    def rows(self) -> list[dict[str, Any]]:
        """Return the cells as rows, the contacted of both last."""
        return [
            {
                "first": self.names[0],
                "second": self.names[1],
                "first_arm": self.labels[0][i],
                "second_arm": self.labels[1][j],
                "n": int(self.n[i, j]),
                "mean": self.mean[i, j],
                "standard_deviation": float(np.sqrt(self.variance[i, j])),
            }
            for i, j in np.ndindex(2, 2)
        ]

    def effects(self, level: float) -> list[dict[str, Any]]:
        """Return the effects of the first campaign."""
        size = self.n.sum(axis=1)
        middle = (self.n * self.mean).sum(axis=1) / size
        # The variance in an arm is that within its two cells and between them.
        between = (self.n * (self.mean - middle[:, None]) ** 2).sum(axis=1)
        within = ((self.n - 1) * self.variance).sum(axis=1)
        spread = _unrounded((within + between) / (size - 1), middle)
        found = [
            {
                "comparison": "plain",
                **_sides(size, middle),
                **_contrast(np.array([-1.0, 1.0]), middle, spread, size, level),
            }
        ]
        shares = self.n.sum(axis=0) / self.n.sum()
        for name, weight in (
            ("average", shares),
            ("alone", np.array([1.0, 0.0])),
            ("on_top", np.array([0.0, 1.0])),
        ):
            signs = np.outer([-1.0, 1.0], weight)
            used = self.n * (weight > 0)
            found.append(
                {
                    "comparison": name,
                    **_sides(used.sum(axis=1), self.mean @ weight),
                    **_contrast(signs, self.mean, self.variance, self.n, level),
                }
            )
        return found

    def pair(self, level: float) -> dict[str, Any]:
        """Return the interaction of both campaigns, and what the overlap means."""
        product = self.n.sum(axis=0).prod() * self.n.sum(axis=1).prod()
        apart = self.n[0, 0] * self.n[1, 1] - self.n[0, 1] * self.n[1, 0]
        overlap_p = float(chdtrc(1, self.n.sum() * apart**2 / product))
        found = _contrast(
            np.array([[1.0, -1.0], [-1.0, 1.0]]), self.mean, self.variance, self.n, level
        )
        found["interaction"] = found.pop("effect")
        names = {"first": self.names[0], "second": self.names[1], "overlap_p": overlap_p}
        order = ("interaction", "standard_error", "ci_low", "ci_high", "p_value")
        return (
            names
            | {column: found[column] for column in order}
            | {"statement": self._statement(overlap_p, found, level)}
        )

    def _statement(self, overlap_p: float, found: dict[str, float], level: float) -> str:
        first, second = self.names
        held, contacted = self.n[:, 1] / self.n.sum(axis=1)
        said = (
            f"{contacted:.1%} of those contacted by {first}, and {held:.1%} of its control, were "
            f"contacted by {second} too"
        )
        if overlap_p >= 1 - level:
            said += (
                f", as chance may have it (p = {overlap_p:.2g}). The plain comparison of either "
                "campaign is fair; it is the effect among customers of whom that share is in the "
                "other."
            )
        else:
            said += (
                f", which chance hardly explains (p = {overlap_p:.2g}). The plain comparison of "
                "either campaign holds part of the other's effect: read the average one, and find "
                "out how the holdouts were drawn."
            )
        between = f"{found['ci_low']:.3g} to {found['ci_high']:.3g} at {100 * level:g}%"
        if np.isnan(found["p_value"]):
            return f"{said} The outcome does not vary, so nothing is known of the two together."
        if found["p_value"] >= 1 - level:
            return (
                f"{said} That the two together do more or less than the sum of both is not shown "
                f"(interaction {found['interaction']:.3g}, {between})."
            )
        more = "more" if found["interaction"] > 0 else "less"
        return (
            f"{said} The two together do {abs(found['interaction']):.3g} {more} than the sum of "
            f"both (interaction {between}): what one is worth depends on whether the other runs. "
            'Read "alone" to judge it without the other, "on_top" to judge it beside the other.'
        )


def _two_arms(data: Any, name: Any, given: Any) -> Arms:
    """Return the arms of one campaign."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise fail(
            f"campaign {name!r} is {given!r}", "pass its column and the value of its control"
        )
    arms = read_arms(data, given[0], given[1])
    if len(arms.labels) > 2:
        listed = ", ".join(map(repr, arms.labels[1:]))
        raise fail(
            f"campaign {name!r} has several arms beside the control ({listed})",
            "pass the rows of one of them and of the control",
        )
    return arms


def _cells(y: FloatArray, first: str, one: Arms, second: str, two: Arms) -> _Cells:
    """Return the four cells of two campaigns; raise where one has no spread to estimate."""
    place: IntArray = 2 * one.code + two.code
    n = np.bincount(place, minlength=4)
    if (n < 2).any():
        at = int(n.argmin())
        raise fail(
            f"{n[at]} rows have {first} {one.labels[at // 2]!r} and {second} "
            f"{two.labels[at % 2]!r}",
            "at least 2 are needed in every cell: leave one of these campaigns out",
        )
    mean = np.bincount(place, weights=y, minlength=4) / n
    variance = np.bincount(place, weights=(y - mean[place]) ** 2, minlength=4) / (n - 1)
    return _Cells(
        (first, second),
        (one.labels, two.labels),
        n.reshape(2, 2).astype(np.float64),
        mean.reshape(2, 2),
        _unrounded(variance, mean).reshape(2, 2),
    )


def _unrounded(variance: FloatArray, mean: FloatArray) -> FloatArray:
    """Return the variances with 0 where equal values left the rounding of their mean."""
    return np.where(variance <= (1e-12 * mean) ** 2, 0.0, variance)


def _sides(n: FloatArray, mean: FloatArray) -> dict[str, Any]:
    return {
        "n_treated": int(n[1]),
        "n_control": int(n[0]),
        "mean_treated": mean[1],
        "mean_control": mean[0],
    }


def _contrast(
    weights: FloatArray, mean: FloatArray, variance: FloatArray, n: FloatArray, level: float
) -> dict[str, float]:
    """Return a weighted sum of means with Welch's error."""
    parts = weights**2 * variance / n
    effect, error = float((weights * mean).sum()), float(np.sqrt(parts.sum()))
    return tested(effect, error, welch_df(parts, n), level)
