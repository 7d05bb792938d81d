"""Sums over the spells of each policy, the rates that follow from them, and their bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.metrics._shared import wilson_interval
from touchpoint_lib.timing.money import ContactMoney

#: Resamples behind an interval, and at a time.
_RESAMPLES, _AT_ONCE = 1000, 200


class Judge:
    """Sums over the spells of each group of customers, and what follows from them."""

    def __init__(
        self,
        spells: pd.DataFrame,
        horizon: int,
        lapse: int,
        deadline: int,
        money: ContactMoney | None,
        group: IntArray,
    ) -> None:
        self.gap = spells["gap"].to_numpy(dtype=np.float64)
        self.lapsed = self.gap > lapse
        self.horizon, self.deadline = horizon, deadline
        self.group, self.n_groups = group, int(group.max()) + 1
        self.money = None
        if money is not None:
            nobody, everybody = (
                money.gain(np.full(len(spells), q), spells.index) for q in (0.0, 1.0)
            )
            self.money = ((nobody + money.cost) / money.win_back, -everybody, money)
        self.names: list[str] = []
        self.sums: list[FloatArray] = [self._by_group(np.ones(len(self.gap)), self.lapsed)]
        self.medians: list[float] = []
        self.reached: list[int] = []

    def add(self, name: str, days: FloatArray, chances: FloatArray) -> None:
        """Count what a policy does; ``days`` and ``chances`` of its contacts, shape (n, m)."""
        gap = self.gap[:, None]
        made = (days <= self.deadline) & (gap > days)
        wasted = made & (gap <= days + self.horizon)
        first = made[:, 0]
        found = self.lapsed & first
        silence = np.where(found, days[:, 0], 0.0)
        earned = np.zeros(len(self.gap))
        if self.money is not None:
            margin, given, money = self.money
            wins = np.where(made & ~wasted, chances, 0.0)
            # A later contact is made if none before has worked.
            left = np.cumprod(np.hstack([np.ones((len(wins), 1)), 1 - wins[:, :-1]]), axis=1)
            gains = wins * margin[:, None] - np.where(
                wasted, given[:, None], np.where(made, money.cost, 0.0)
            )
            earned = (left * gains).sum(axis=1)
        self.names.append(name)
        self.medians.append(float(np.median(silence[found])) if found.any() else np.nan)
        self.reached.append(int(first.sum()))
        self.sums.append(
            self._by_group(
                first, wasted[:, 0], self.lapsed & ~first, found, silence, earned, made.sum(axis=1)
            )
        )

    def _by_group(self, *values: npt.NDArray[Any]) -> FloatArray:
        """Return the sums of values by group, shape (groups, values)."""
        return np.column_stack(
            [np.bincount(self.group, weights=value, minlength=self.n_groups) for value in values]
        ).astype(np.float64)

    def tables(
        self, level: float, generator: np.random.Generator
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the row of each policy, and the baseline of fixed days."""
        ended = self._ended_by_day()
        every = np.hstack([*self.sums, ended])
        here = _rates(every.sum(axis=0)[None], len(self.names), self.horizon, self.deadline)
        draws: list[dict[str, FloatArray]] = []
        for _ in range(0, _RESAMPLES, _AT_ONCE):
            picked = generator.integers(0, self.n_groups, (_AT_ONCE, self.n_groups))
            weight = np.stack([np.bincount(row, minlength=self.n_groups) for row in picked])
            draws.append(
                _rates(
                    weight.astype(np.float64) @ every, len(self.names), self.horizon, self.deadline
                )
            )
        n = len(self.gap)
        columns: dict[str, Any] = {
            "policy": self.names,
            "n_spells": n,
            "n_contacted": self.reached,
            "contacts_per_1000": here["contacts_per_1000"][0],
        }
        shown = ["error_rate", "omission_rate", "mean_silence", "fixed_days", "days_earlier"]
        shown += ["money_per_1000"] if self.money is not None else []
        for name in shown:
            columns[name] = here[name][0]
            if name == "mean_silence":
                columns["median_silence"] = self.medians
            if name != "fixed_days":
                drawn = np.concatenate([draw[name] for draw in draws])
                bounds = [_bounds(values, level) for values in drawn.T]
                if name in ("error_rate", "omission_rate"):
                    cases = here["cases"][0] if name == "error_rate" else [self.lapsed.sum()]
                    bounds = _certain(
                        columns[name], bounds, np.broadcast_to(cases, len(bounds)), level
                    )
                columns[f"{name}_low"], columns[f"{name}_high"] = zip(*bounds, strict=True)
        return pd.DataFrame(columns), self._fixed(ended.sum(axis=0))

    def _ended_by_day(self) -> FloatArray:
        """Return how many spells of each group ended within d days, d = 0 to deadline + horizon."""
        last = self.deadline + self.horizon
        day = np.minimum(self.gap, last + 1).astype(np.int64)
        counts = np.bincount(self.group * (last + 2) + day, minlength=self.n_groups * (last + 2))
        return np.cumsum(counts.reshape(self.n_groups, -1)[:, :-1], axis=1, dtype=np.float64)

    def _fixed(self, ended: FloatArray) -> pd.DataFrame:
        """Return the baseline: everybody contacted after so many days."""
        n, days = len(self.gap), np.arange(1, self.deadline + 1)
        contacts, wasted = n - ended[days], ended[days + self.horizon] - ended[days]
        frame = pd.DataFrame(
            {
                "days": days,
                "contacts_per_1000": 1000 * contacts / n,
                "error_rate": _share(wasted, contacts),
                "omission_rate": 0.0 if self.lapsed.any() else np.nan,
            }
        )
        if self.money is not None:
            margin, given, money = self.money
            earned = []
            for day in days:
                late, back = self.gap > day, self.gap <= day + self.horizon
                won = (
                    money.win_back * margin[late & ~back].sum() - money.cost * (late & ~back).sum()
                )
                earned.append(1000 * (won - given[late & back].sum()) / n)
            frame["money_per_1000"] = earned
        return frame


def _rates(
    totals: FloatArray, n_policies: int, horizon: int, deadline: int
) -> dict[str, FloatArray]:
    """Return the rates of each policy, shape (draws, policies), from sums, shape (draws, sums)."""
    spells, lapsed = totals[:, :1], totals[:, 1:2]
    each = totals[:, 2 : 2 + 7 * n_policies].reshape(len(totals), n_policies, 7)
    contacted, wasted, omitted, found, silence, earned, contacts = np.moveaxis(each, 2, 0)
    ended = totals[:, 2 + 7 * n_policies :]
    days = np.arange(1, deadline + 1)
    fixed = _share(ended[:, days + horizon] - ended[:, days], spells - ended[:, days])
    error, mean = _share(wasted, contacted), _share(silence, found)
    same = np.column_stack([_day_of(fixed, rate) for rate in error.T])
    return {
        "contacts_per_1000": 1000 * _share(contacts, spells),
        "cases": contacted,
        "error_rate": error,
        "omission_rate": _share(omitted, np.broadcast_to(lapsed, omitted.shape)),
        "mean_silence": mean,
        "fixed_days": same,
        "days_earlier": same - mean,
        "money_per_1000": 1000 * _share(earned, np.broadcast_to(spells, earned.shape)),
    }


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Return part / whole, NaN where there is no case."""
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _day_of(fixed: FloatArray, rate: FloatArray) -> FloatArray:
    """Return the day from 1 on at which the error rates of fixed days fall to a rate, a row each.

    Between two days it is interpolated; inf where no day has so low a rate, NaN where ``rate`` is.
    """
    # Behind the last contact there is no error rate.
    under = fixed <= rate[:, None]
    first = under.argmax(axis=1)
    row = np.arange(len(rate))
    before, at = fixed[row, np.maximum(first - 1, 0)], fixed[row, first]
    fall = np.where(first > 0, before - at, 1.0)
    part = np.where(first > 0, (before - rate) / np.where(fall > 0, fall, 1.0), 1.0)
    day = np.where(under.any(axis=1), first + part, np.inf)
    return np.where(np.isnan(rate), np.nan, day)


def _bounds(values: FloatArray, level: float) -> tuple[float, float]:
    """Return percentile bounds over the resamples that have a case; they may be infinite."""
    some = values[~np.isnan(values)]
    if not some.size:
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low, high = np.quantile(some, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def _certain(
    rates: FloatArray, bounds: list[tuple[float, float]], cases: FloatArray, level: float
) -> list[tuple[float, float]]:
    """Return the bounds, Wilson's where a rate is 0 or 1: resamples cannot draw what never was."""
    return [
        wilson_interval(rate * n, n, level) if rate in (0, 1) else bound
        for rate, bound, n in zip(rates, bounds, cases, strict=True)
    ]
