"""Indicators of a customer among others: those acquired in the same month, and of equal frequency.

The expressions read the table ``cohorts``, one row a customer: see `touchpoint_lib.churn._tables`.
"""

from __future__ import annotations

from collections.abc import Iterator

from touchpoint_lib.churn._indicator import Indicator, maker

_MONTH = "customers acquired in the same calendar month"
#: A sum of floats depends on its order, which a frame of all rows keeps fixed.
_ALL = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
_RANKS = {
    "frequency": "frequency",
    "recency": "recency",
    "silence": "silence",
    "amount": "total amount",
}


def cohort(amounts: bool) -> Iterator[Indicator]:
    made = maker("cohort", "cohorts")
    yield made("acquired_weekday", "weekday", "weekday of the first purchase, 0 Monday", "weekday")
    yield made("acquired_month_day", "day", "day of the month of the first purchase", "month_day")
    yield made("acquired_month", "month", "month of the first purchase, 1 to 12", "month")
    yield made("cohort_size", "count", _MONTH, f"COUNT(*) OVER {_over('cohort')}")
    mean = f"AVG(frequency) OVER {_over('cohort')}"
    yield made("cohort_frequency_mean", "count", f"mean frequency of the {_MONTH}", mean)
    yield made(
        "cohort_repeat_share",
        "share",
        f"share of the {_MONTH} with a repeat purchase",
        f"AVG(CASE WHEN frequency > 0 THEN 1 ELSE 0 END) OVER {_over('cohort')}",
    )
    yield made(
        "cohort_silence_mean",
        "days",
        f"mean silence of the {_MONTH}",
        f"AVG(silence) OVER {_over('cohort')}",
    )
    yield made(
        "frequency_per_cohort_mean",
        "ratio",
        f"frequency / mean frequency of the {_MONTH}",
        f"frequency / NULLIF({mean}, 0)",
        f"none of the {_MONTH} has a repeat purchase",
    )
    if amounts:
        yield made(
            "cohort_amount_mean",
            "money",
            f"mean total amount of the {_MONTH}",
            f"AVG(amount) OVER {_over('cohort', f'place {_ALL}')}",
        )
    for column, words in _RANKS.items():
        if column == "amount" and not amounts:
            continue
        yield made(
            f"{column}_rank_in_cohort",
            "share",
            f"share of the {_MONTH} with a lower {words}, those with the same counted half",
            _rank("cohort", column),
        )
        if column != "frequency":
            yield made(
                f"{column}_rank_in_frequency",
                "share",
                f"share of the customers of equal frequency with a lower {words}, those with the "
                "same counted half",
                _rank("frequency", column),
            )


def _over(group: str, order: str = "") -> str:
    return f"(PARTITION BY {group}{f' ORDER BY {order}' if order else ''})"


def _rank(group: str, column: str) -> str:
    """Return the mid-rank of a customer within a group, in (0, 1)."""
    over = _over(group, "rounded_amount" if column == "amount" else column)
    below = f"(RANK() OVER {over} - 1) / COUNT(*) OVER {_over(group)}"
    return f"({below} + CUME_DIST() OVER {over}) / 2"
