"""Indicators of the optional roles: discount, category, channel, event, and the time of day.

Those of discount read the table ``bought``; the others a table of their own, whose columns are
age (days before the cutoff), silence (of the customer), slot (the place of the level) and, where
every purchase day has a row, day_start (one row of each day). See `touchpoint_lib.churn._levels`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from touchpoint_lib.churn._indicator import (
    AMOUNT,
    NO_AMOUNT,
    ONE_GAP,
    Indicator,
    N,
    commonest,
    count,
    entropy,
    maker,
    per,
    total,
)
from touchpoint_lib.churn._levels import TIMES, slugs
from touchpoint_lib.churn._windows import WINDOWS

_FEW = (30, 90, 365)
_EVENT_WINDOWS = (7, 30, 90, 365)


def discount(amounts: bool) -> Iterator[Indicator]:
    group = "discount"

    made = maker(group)

    taken, full = "discounted = 1", "discounted = 0"
    yield made("discount_purchases", "count", "purchase days with a discounted row", count(taken))
    yield made(
        "discount_share",
        "share",
        "share of own purchase days with a discounted row",
        f"{count(taken)} / {N}",
    )
    for w in WINDOWS:
        inside, words = f"age < {w}", f"in the {w} days up to the cutoff"
        here = count(f"{taken} AND {inside}")
        yield made(
            f"discount_purchases_{w}d",
            "count",
            f"purchase days with a discounted row {words}",
            here,
            window=w,
        )
        yield made(
            f"discount_share_{w}d",
            "share",
            f"share with a discounted row of the purchase days {words}",
            per(here, count(inside)),
            f"no purchase {words}",
            w,
        )
    for name, test, words in (
        ("discount", taken, "with a discounted row"),
        ("full_price", full, "without a discounted row"),
    ):
        yield made(
            f"{name}_days_since",
            "days",
            f"last purchase day {words} to the cutoff",
            f"MIN(age) FILTER (WHERE {test})",
            f"no purchase day {words}",
        )
    for place, test in (("first", "number = 1"), ("last", "back = 1")):
        yield made(
            f"discount_{place}",
            "0 or 1",
            f"1 if the {place} purchase day has a discounted row",
            f"MAX(discounted) FILTER (WHERE {test})",
        )
    yield made(
        "discount_share_change",
        "share",
        "share with a discounted row of the later half of T (days before the cutoff < T / 2) - "
        "of the earlier half",
        f"{per(count(f'{taken} AND 2 * age < life'), count('2 * age < life'))}"
        f" - {per(count(f'{taken} AND 2 * age >= life'), count('2 * age >= life'))}",
        "no purchase in the later half of T",
    )
    if amounts:
        yield made(
            "discount_amount_share",
            "share",
            "share of own amount on purchase days with a discounted row",
            per(total("amount", taken), AMOUNT),
            NO_AMOUNT,
        )
        yield made(
            "discount_amount_ratio",
            "ratio",
            "mean amount of the purchase days with a discounted row / of those without",
            per(f"AVG(amount) FILTER (WHERE {taken})", f"AVG(amount) FILTER (WHERE {full})"),
            "no purchase day with a discounted row, none without, or amount 0 on those",
        )


def words(role: str, levels: Sequence[str]) -> Iterator[Indicator]:
    """Return the indicators of ``role``, category or channel, whose ``levels`` are told apart."""
    table = f"{role}_rows"
    days, last = count("day_start"), "age = silence"

    made = maker(role, table, prefix=f"{role}_")

    named = list(zip(slugs(levels), [*map(repr, levels), "any other level"], strict=True))
    counts = [count(f"slot = {slot}") for slot in range(len(named))]
    for slot, (name, level) in enumerate(named):
        here, of = f"slot = {slot}", f"purchase days with {role} {level}"
        yield made(f"{name}_purchases", "count", of, counts[slot])
        yield made(
            f"{name}_share", "share", f"{of} / own purchase days", f"{counts[slot]} / {days}"
        )
        yield made(
            f"{name}_days_since",
            "days",
            f"last of the {of} to the cutoff",
            f"MIN(age) FILTER (WHERE {here})",
            f"no purchase with {role} {level}",
        )
        for w in _FEW:
            inside, within = f"age < {w}", f"in the {w} days up to the cutoff"
            number = count(f"{here} AND {inside}")
            yield made(f"{name}_purchases_{w}d", "count", f"{of} {within}", number, window=w)
            yield made(
                f"{name}_share_{w}d",
                "share",
                f"{of} / purchase days, {within}",
                per(number, count(f"day_start AND {inside}")),
                f"no purchase {within}",
                w,
            )
    rest = "all other levels as one"
    yield made("levels", "count", f"different levels bought, {rest}", "COUNT(DISTINCT slot)")
    yield made(
        "entropy", "nats", f"entropy of the levels of own purchase days, {rest}", entropy(counts, N)
    )
    yield made(
        # Not "commonest_share": a level may be called "commonest".
        "share_of_commonest",
        "share",
        f"purchase days with the customer's commonest level / own purchase days, {rest}",
        f"GREATEST({', '.join(counts)}) / {days}" if len(counts) > 1 else f"{counts[0]} / {days}",
    )
    latest = [count(f"slot = {slot} AND {last}") for slot in range(len(named))]
    cases = " ".join(f"WHEN {c} THEN {here}" for c, here in zip(counts, latest, strict=True))
    yield made(
        "last_is_commonest",
        "0 or 1",
        f"1 if the customer's commonest level is one of those of the last purchase day, {rest}; "
        "the first in the order of their texts among equals",
        f"CASE GREATEST({', '.join(counts)}) {cases} END",
    )


def events(levels: Sequence[str]) -> Iterator[Indicator]:
    """Return the indicators of events that are no purchases."""

    made = maker("event", "event_rows")

    kinds = [("events", "other events than purchases", "slot IS NOT NULL")]
    named = zip(slugs(levels), [*map(repr, levels), "of any other kind"], strict=True)
    kinds += [
        (f"event_{name}", f"events {level}", f"slot = {slot}")
        for slot, (name, level) in enumerate(named)
    ]
    for name, of, test in kinds:
        yield made(f"{name}_count", "count", f"{of} by the cutoff", count(test))
        for w in _EVENT_WINDOWS:
            yield made(
                f"{name}_count_{w}d",
                "count",
                f"{of} in the {w} days up to the cutoff",
                count(f"{test} AND age < {w}"),
                window=w,
            )
        yield made(
            f"{name}_days_since",
            "days",
            f"last of the {of} to the cutoff",
            f"MIN(age) FILTER (WHERE {test})",
            f"no {of}",
        )
        yield made(
            f"{name}_since_purchase",
            "count",
            f"{of} after the last purchase day",
            count(f"{test} AND age < silence"),
        )
        yield made(
            f"{name}_per_purchase",
            "ratio",
            f"{of} by the cutoff / own purchase days",
            f"{count(test)} / MAX(days)",
        )


def times() -> Iterator[Indicator]:
    """Return the indicators of the time of day."""

    made = maker("time", "time_rows", prefix="time_")

    first = "the first purchase of a day"
    for slot, name in enumerate(TIMES):
        here = f"slot = {slot}"
        hours = f"from {6 * slot} to {6 * slot + 6} h"
        of = f"share of own purchase days with {first} {hours}"
        yield made(f"{name}_share", "share", of, f"{count(here)} / {N}")
        for w in _FEW:
            inside, within = f"age < {w}", f"in the {w} days up to the cutoff"
            yield made(
                f"{name}_share_{w}d",
                "share",
                f"{of}, {within}",
                per(count(f"{here} AND {inside}"), count(inside)),
                f"no purchase {within}",
                w,
            )
    counts = [count(f"slot = {slot}") for slot in range(len(TIMES))]
    yield made("entropy", "nats", f"entropy of the four times of {first}", entropy(counts, N))
    yield made(
        "commonest",
        "time",
        f"commonest time of {first}, 0 night to 3 evening, the first among equals",
        commonest(counts),
    )
    yield made("hour_mean", "hours", f"mean hour of {first}", "AVG(hour)")
    yield made(
        "hour_sd", "hours", f"sample sd of the hour of {first}", "STDDEV_SAMP(hour)", ONE_GAP
    )
    yield made(
        "hour_last",
        "hours",
        "hour of the first purchase of the last purchase day",
        "MAX(hour) FILTER (WHERE age = silence)",
    )
