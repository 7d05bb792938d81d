"""Indicators of windows of days, and of the calendar.

Every expression is an aggregate over one customer's rows of the table ``bought``: see
`touchpoint_lib.churn._tables`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from touchpoint_lib._checks import DAYS_PER_YEAR
from touchpoint_lib.churn._indicator import (
    AGE,
    AMOUNT,
    NO_AMOUNT,
    SILENCE,
    Indicator,
    N,
    commonest,
    count,
    counted,
    entropy,
    per,
    total,
)

#: Days before the cutoff that are summed apart.
WINDOWS = (7, 14, 30, 60, 90, 180, 270, 365)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HALF_LIVES = (7, 30, 90, 180, 365)
_EARLY = (7, 30, 60, 90)
_SEASONS = (30, 60, 90)
_BLOCK = 30
_MONTH_PARTS = {
    "early": ("month_day <= 10", "1 to 10"),
    "middle": ("month_day BETWEEN 11 AND 20", "11 to 20"),
    "late": ("month_day >= 21", "21 to 31"),
}


def window(w: int) -> Iterator[Indicator]:
    group, inside = "window", f"age < {w}"
    before = f"age >= {w} AND age < {2 * w}"
    here = count(inside)
    words = f"the {w} days up to the cutoff"
    none = f"no purchase in {words}"

    def made(
        name: str, unit: str, formula: str, sql: str, missing: str = "", of: str = group
    ) -> Indicator:
        return Indicator(f"{name}_{w}d", of, unit, formula, sql, missing, w)

    yield made("purchases", "count", f"purchase days in {words}", here)
    yield made("lines", "count", f"basket lines in {words}", total("lines", inside))
    yield made(
        "active_weeks",
        "count",
        f"weeks with a purchase in {words}, weeks counted back from the cutoff",
        count(f"week_end AND {inside}"),
    )
    yield made(
        "purchases_share", "share", f"share of own purchase days in {words}", f"{here} / {N}"
    )
    yield made(
        "rate_ratio",
        "ratio",
        f"purchase days a day in {words} (or in T + 1 days, if fewer) / purchase days a day in "
        "all T + 1 days",
        f"({here} / LEAST({w}, {AGE} + 1)) / ({N} / ({AGE} + 1))",
    )
    yield made(
        "gap_mean",
        "days",
        f"mean gap between purchase days in {words}",
        per(f"MAX(age) FILTER (WHERE {inside}) - {SILENCE}", f"{here} - 1"),
        f"fewer than 2 purchase days in {words}",
    )
    yield made(
        "gap_longest",
        "days",
        f"longest gap between purchase days in {words}",
        f"MAX(gap) FILTER (WHERE age + gap < {w})",
        f"fewer than 2 purchase days in {words}",
    )
    yield made(
        "purchases_change",
        "count",
        f"purchase days in {words} - in the {w} days before",
        f"{here} - {count(before)}",
    )
    yield made(
        "purchases_ratio",
        "ratio",
        f"purchase days in {words} / in the {w} days before",
        per(here, count(before)),
        f"no purchase in the {w} days before {words}",
    )
    yield made(
        "weekend_share",
        "share",
        f"share of Saturdays and Sundays of the purchase days in {words}",
        per(count(f"{inside} AND weekday >= 5"), here),
        none,
    )
    yield made(
        "lines_per_purchase",
        "count",
        f"basket lines a purchase day in {words}",
        per(total("lines", inside), here),
        none,
    )


def window_amounts(w: int) -> Iterator[Indicator]:
    inside, before = f"age < {w}", f"age >= {w} AND age < {2 * w}"
    words = f"the {w} days up to the cutoff"
    none = f"no purchase in {words}"
    here = total("amount", inside)

    def made(name: str, unit: str, formula: str, sql: str, missing: str = "") -> Indicator:
        return Indicator(f"{name}_{w}d", "window amount", unit, formula, sql, missing, w)

    yield made("amount", "money", f"amount in {words}", here)
    for name, sql in (("mean", "AVG"), ("max", "MAX"), ("min", "MIN")):
        yield made(
            f"amount_{name}",
            "money",
            f"{name} amount a purchase day in {words}",
            f"{sql}(amount) FILTER (WHERE {inside})",
            none,
        )
    yield made(
        "amount_sd",
        "money",
        f"sample sd of the amounts a purchase day in {words}",
        f"STDDEV_SAMP(amount) FILTER (WHERE {inside})",
        f"fewer than 2 purchase days in {words}",
    )
    yield made(
        "amount_share",
        "share",
        f"share of own amount in {words}",
        per(here, AMOUNT),
        NO_AMOUNT,
    )
    yield made(
        "amount_mean_ratio",
        "ratio",
        f"mean amount a purchase day in {words} / before them",
        per(f"AVG(amount) FILTER (WHERE {inside})", f"AVG(amount) FILTER (WHERE age >= {w})"),
        f"{none}, none before them, or amount 0 before them",
    )
    yield made(
        "amount_change",
        "money",
        f"amount in {words} - in the {w} days before",
        f"{here} - {total('amount', before)}",
    )
    yield made(
        "amount_ratio",
        "ratio",
        f"amount in {words} / in the {w} days before",
        per(here, total("amount", before)),
        f"amount 0 in the {w} days before {words}",
    )


def early(amounts: bool) -> Iterator[Indicator]:
    for w in _EARLY:
        inside = f"day - first < {w}"
        words = f"in the first {w} days from the first purchase day on, as far as they are over"
        yield from counted(f"first_{w}d", "early", words, inside, w, amounts)


def blocks(amounts: bool) -> Iterator[Indicator]:
    for start in range(_BLOCK, 13 * _BLOCK, _BLOCK):
        end = start + _BLOCK
        inside = f"age >= {start} AND age < {end}"
        words = f"{start} to {end - 1} days before the cutoff"
        yield from counted(f"{start}_{end}d", "block", words, inside, _BLOCK, amounts)


def decayed(amounts: bool) -> Iterator[Indicator]:
    for h in _HALF_LIVES:
        weight = f"POW(0.5, age / {h})"
        yield Indicator(
            f"purchases_decayed_{h}d",
            "decayed",
            "count",
            f"sum over the purchase days of 0.5 ^ (days before the cutoff / {h})",
            f"SUM({weight})",
        )
        if amounts:
            yield Indicator(
                f"amount_decayed_{h}d",
                "decayed",
                "money",
                f"sum of amount x 0.5 ^ (days before the cutoff / {h})",
                f"SUM(amount * {weight})",
            )


def calendar() -> Iterator[Indicator]:
    group = "calendar"

    def share(name: str, words: str, test: str) -> Indicator:
        formula = f"share of own purchase days {words}"
        return Indicator(name, group, "share", formula, f"{count(test)} / {N}")

    for place, weekday in enumerate(WEEKDAYS):
        yield share(f"weekday_share_{weekday}", f"on {weekday}", f"weekday = {place}")
    yield share("weekend_share", "on Saturday or Sunday", "weekday >= 5")
    counts = [count(f"weekday = {place}") for place in range(7)]
    yield Indicator(
        "weekday_entropy",
        group,
        "nats",
        "entropy of own purchase days over the weekdays",
        entropy(counts, N),
    )
    yield Indicator(
        "weekday_commonest",
        group,
        "weekday",
        "commonest weekday of own purchase days, 0 Monday to 6 Sunday, the first among equals",
        commonest(counts),
    )
    for name, (test, days) in _MONTH_PARTS.items():
        yield share(f"month_part_share_{name}", f"on days {days} of the month", test)
    for month in range(1, 13):
        yield share(f"month_share_{month:02d}", f"in month {month}", f"month = {month}")
    for quarter in range(1, 5):
        yield share(
            f"quarter_share_{quarter}",
            f"in quarter {quarter}",
            f"month BETWEEN {3 * quarter - 2} AND {3 * quarter}",
        )


def season(amounts: bool, day_of_year: int) -> Iterator[Indicator]:
    """Return the indicators of the season of the cutoff, the ``day_of_year`` from 1 to 366."""
    group = "season"
    angle = 2 * math.pi * day_of_year / DAYS_PER_YEAR
    for name, value in (("sin", math.sin(angle)), ("cos", math.cos(angle))):
        yield Indicator(
            f"season_{name}",
            group,
            "ratio",
            f"{name}(2 pi x day of the year of the cutoff / {DAYS_PER_YEAR})",
            f"CAST({value!r} AS DOUBLE)",
        )
    for w in _SEASONS:
        inside = f"age < 365 AND age >= {365 - w}"
        words = f"in the {w} days that begin 364 days before the cutoff"
        yield from counted(f"year_ago_{w}d", group, words, inside, w, amounts)
