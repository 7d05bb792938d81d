"""What a ranking of customers gains: Qini with its bootstrap, effects above a cut, policies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr

from touchpoint_lib._checks import FloatArray, IntArray

#: Points of the curve of a resample at most: neighbouring scores are joined beyond.
_MOST_POINTS = 1000
#: Smaller spreads are rounding.
_ROUNDING = 1e-12

NORMALISED = (
    "area between the curve and the straight line / the same area of the ranking that puts the "
    "treated with outcome 1 first and the control rows with outcome 1 last (as in scikit-uplift, "
    "negative_effect=True)"
)
AREA = (
    "area between the curve and the straight line over the share of rows from 0 to 1 / number of "
    "treated: outcome per treated customer"
)


@dataclass(frozen=True, eq=False)
class RankedArm:
    """The rows of one arm: outcome, and rank of the score among the distinct ones (0: best)."""

    outcome: FloatArray
    rank: IntArray


@dataclass(frozen=True, eq=False)
class Totals:
    """Rows and sums of the outcome in each group, best first; shape (groups,) or (draws, groups).

    ``treated`` and ``control`` count rows; ``won`` and ``own`` are the sums of the outcome of the
    treated and of the control.
    """

    treated: FloatArray
    control: FloatArray
    won: FloatArray
    own: FloatArray

    def curve(self) -> FloatArray:
        """Return Y_t - Y_c N_t / N_c at the end of each group, its second term 0 without control.

        Y and N are the sums and counts up to there.
        """
        won, own, treated, control = (
            part.cumsum(axis=-1) for part in (self.won, self.own, self.treated, self.control)
        )
        scale = np.divide(treated, control, out=np.zeros_like(treated), where=control > 0)
        return won - own * scale

    def coefficients(self, binary: bool) -> FloatArray:
        """Return the area per treated customer, and for a binary outcome the normalised one.

        Shape (..., 2), or (..., 1) for other outcomes. The normalised one is NaN where no row
        has outcome 1.
        """
        curve = self.curve()
        size = self.treated + self.control
        n = size.sum(axis=-1)
        last = curve[..., -1]
        before = np.concatenate([np.zeros_like(curve[..., :1]), curve[..., :-1]], axis=-1)
        line = n * last / 2
        area = ((curve + before) / 2 * size).sum(axis=-1) - line
        per_treated = area / (n * self.treated.sum(axis=-1))
        if not binary:
            return per_treated[..., None]
        won, own = self.won.sum(axis=-1), self.own.sum(axis=-1)
        ratio = self.treated.sum(axis=-1) / self.control.sum(axis=-1)
        # The best curve rises by 1 a row to `won`, stays, and falls by the ratio on `own` rows.
        best = (won * (n - won) + ratio * own * (n - own)) / 2
        normalised = np.divide(area, best, out=np.full_like(area, np.nan), where=best > 0)
        return np.stack([per_treated, normalised], axis=-1)


def totals(arms: list[RankedArm], groups: int) -> Totals:
    """Return counts and sums of the treated and the control by group."""
    counts = [np.bincount(arm.rank, minlength=groups).astype(np.float64) for arm in arms]
    sums = [np.bincount(arm.rank, arm.outcome, groups) for arm in arms]
    return Totals(*counts, *sums)


def curve_frame(exact: Totals) -> pd.DataFrame:
    """Return the curve from the start on: share, n, qini, random."""
    n = np.concatenate([[0.0], (exact.treated + exact.control).cumsum()])
    qini = np.concatenate([[0.0], exact.curve()])
    share = n / n[-1]
    return pd.DataFrame(
        {"share": share, "n": n.astype(np.int64), "qini": qini, "random": share * qini[-1]}
    )


def qini_frame(
    arms: list[RankedArm],
    exact: Totals,
    binary: bool,
    level: float,
    resamples: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Return the coefficients with their bootstrap, a row each."""
    point = exact.coefficients(binary)
    size = exact.treated + exact.control
    # Equal numbers of rows a point; up to the limit every distinct score is one.
    joined = np.arange(len(size))
    if len(size) > _MOST_POINTS:
        joined = ((size.cumsum() - size) * _MOST_POINTS // size.sum()).astype(np.int64)
    arms = [RankedArm(arm.outcome, joined[arm.rank]) for arm in arms]
    groups = int(joined[-1]) + 1
    draws = _draws(arms, groups, binary, resamples, generator).coefficients(binary)
    # Joining moves the area by a trifle; what is left is the spread.
    draws += point - totals(arms, groups).coefficients(binary)
    least = _ROUNDING * max(float(np.abs(arm.outcome).max()) for arm in arms)
    rows = []
    for name, words, value, drawn in zip(
        ("area", "normalised"), (AREA, NORMALISED), point, draws.T, strict=False
    ):
        known = drawn[~np.isnan(drawn)]
        row = dict.fromkeys(("standard_error", "ci_low", "ci_high", "p_value"), np.nan)
        if len(known) > 1 and np.ptp(known) > least:
            low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
            tail = min((known <= 0).sum(), (known >= 0).sum())
            row = {
                "standard_error": known.std(ddof=1),
                "ci_low": low,
                "ci_high": high,
                "p_value": min(1.0, 2 * (1 + tail) / (1 + len(known))),
            }
        rows.append({"coefficient": name, "value": value, **row, "normalisation": words})
    return pd.DataFrame(rows)


def _draws(
    arms: list[RankedArm],
    groups: int,
    binary: bool,
    resamples: int,
    generator: np.random.Generator,
) -> Totals:
    """Return the totals of resampled rows, as many of each arm as it has; (resamples, groups)."""
    counts, sums = [], []
    for arm in arms:
        n = len(arm.rank)
        size = np.bincount(arm.rank, minlength=groups)
        # How many of each group, how many of these with an outcome other than 0, and then who of
        # those: the same as drawing rows at large, and faster.
        some = arm.outcome != 0
        rank, outcome = arm.rank[some], arm.outcome[some]
        holders = np.bincount(rank, minlength=groups)
        count = generator.multinomial(n, size / n, resamples)
        held = generator.binomial(count, holders / np.maximum(size, 1))
        if binary:
            total = held.astype(np.float64)
        else:
            # Sorted, so that the order of the rows in the data plays no part.
            outcome = outcome[np.lexsort((outcome, rank))]
            start = holders.cumsum() - holders
            total = np.zeros((resamples, groups))
            for drawn, into in zip(held, total, strict=True):
                place = np.repeat(holders, drawn) * generator.random(drawn.sum())
                values = outcome[np.repeat(start, drawn) + place.astype(np.int64)]
                full = drawn > 0
                into[full] = np.add.reduceat(values, (drawn.cumsum() - drawn)[full])
        counts.append(count.astype(np.float64))
        sums.append(total)
    return Totals(*counts, *sums)


def targeted_weight(rank: IntArray, share: float) -> FloatArray:
    """Return the part of each row that is among the best ``share``: 1, 0, or less within a tie."""
    size = np.bincount(rank)
    wanted = share * len(rank)
    if abs(wanted - round(wanted)) < 1e-6:
        # 0.1 of 30 rows are 3, without a trace of the next.
        wanted = round(wanted)
    return np.clip((wanted - (size.cumsum() - size)) / size, 0.0, 1.0)[rank]


@dataclass(frozen=True, eq=False)
class Experiment:
    """The outcomes of two arms, the first ``n_treated`` those of the treated.

    An influence is what a row adds to an estimate: the variance is the sum of the squares.
    """

    outcome: FloatArray
    n_treated: int

    @property
    def arms(self) -> tuple[slice, slice]:
        """The rows of the treated, and of the control."""
        return slice(0, self.n_treated), slice(self.n_treated, len(self.outcome))

    def effect(self, weight: FloatArray) -> tuple[float, FloatArray]:
        """Return the difference of the weighted means, and each row's influence; NaN if unknown."""
        influence = np.empty(len(self.outcome))
        means = []
        for sign, part in zip((1, -1), self.arms, strict=True):
            w, y = weight[part], self.outcome[part]
            total = float(w.sum())
            if total == 0:
                return np.nan, np.full(len(self.outcome), np.nan)
            means.append(float(w @ y) / total)
            # Kish's number of rows: with whole rows the variance is that of Welch's test.
            rows = total**2 / float(w @ w)
            scale = np.sqrt(rows / (rows - 1)) if rows > 1 + 1e-9 else np.nan
            influence[part] = sign * scale / total * w * (y - means[-1])
        return means[0] - means[1], influence

    def error(self, influence: FloatArray, value: float = 1.0) -> float:
        """Return the standard error, NaN where there is none but rounding."""
        error = float(np.sqrt(influence @ influence))
        least = _ROUNDING * value * float(np.abs(self.outcome).max()) / np.sqrt(len(self.outcome))
        return error if error > least else np.nan

    def targeting(self, weight: FloatArray, reach: float) -> dict[str, float]:
        """Return the effect in those targeted, in the rest, and their difference."""
        effect, influence = self.effect(weight)
        rest, of_rest = self.effect(1 - weight)
        error, parted = self.error(influence), self.error(influence - of_rest)
        return {
            "n": float(weight.sum()),
            "n_treated": float(weight[self.arms[0]].sum()),
            "n_control": float(weight[self.arms[1]].sum()),
            "effect": effect,
            "standard_error": error,
            "ci_low": effect - reach * error,
            "ci_high": effect + reach * error,
            **_bounded("effect_rest", rest, self.error(of_rest), reach),
            **_bounded("difference", effect - rest, parted, reach),
            "p_value": 2 * float(ndtr(-abs(effect - rest) / parted)),
        }

    def policy(
        self, weight: FloatArray, value: float, cost: float, propensity: float | None
    ) -> tuple[float, FloatArray]:
        """Return what contacting with chance ``weight`` brings a customer, and its influence."""
        n = len(self.outcome)
        if not weight.any():
            return 0.0, np.zeros(n)
        if propensity is None:
            share = float(weight.mean())
            effect, influence = self.effect(weight)
            gain = effect * value - cost
            return share * gain, share * value * influence + (weight - share) * gain / n
        inverse = np.full(n, -1 / (1 - propensity))
        inverse[self.arms[0]] = 1 / propensity
        each = weight * (inverse * self.outcome * value - cost)
        return float(each.mean()), (each - each.mean()) / np.sqrt(n * (n - 1))

    def policies(
        self,
        rules: dict[str, FloatArray],
        value: float,
        cost: float,
        propensity: float | None,
        reach: float,
    ) -> pd.DataFrame:
        """Return the worth of nobody, everybody and each of ``rules``, and what parts them."""
        everybody, of_all = self.policy(np.ones(len(self.outcome)), value, cost, propensity)
        rows = []
        for name, weight in rules.items():
            worth, influence = self.policy(weight, value, cost, propensity)
            error = self.error(influence, value)
            parted = self.error(influence - of_all, value)
            rows.append(
                {
                    "rule": name,
                    "share": float(weight.mean()),
                    "value_per_1000": 1000 * worth,
                    "standard_error": 1000 * error,
                    "ci_low": 1000 * (worth - reach * error),
                    "ci_high": 1000 * (worth + reach * error),
                    **_bounded("difference", 1000 * (worth - everybody), 1000 * parted, reach),
                }
            )
        return pd.DataFrame(rows)


def _bounded(name: str, value: float, error: float, reach: float) -> dict[str, float]:
    """Return an estimate and its bounds, in columns that begin with ``name``."""
    return {
        name: value,
        f"{name}_low": value - reach * error,
        f"{name}_high": value + reach * error,
    }
