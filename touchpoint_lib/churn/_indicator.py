"""What an indicator is, and the pieces of SQL that indicators are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

ONE_GAP = "fewer than 2 purchase days"
TWO_GAPS = "fewer than 3 purchase days"
THREE_GAPS = "fewer than 4 purchase days"
NO_AMOUNT = "the customer's amount is 0"

N = "COUNT(*)"
GAPS = "COUNT(gap)"
AMOUNT = "SUM(amount)"
SILENCE = "MIN(age)"
AGE = "MAX(age)"


@dataclass(frozen=True)
class Indicator:
    """A column: what it is, in words and as SQL over the rows of ``table``."""

    name: str
    group: str
    unit: str
    formula: str
    sql: str
    missing: str = ""
    window: int | None = None
    table: str = "bought"


def maker(group: str, table: str = "bought", prefix: str = "") -> Callable[..., Indicator]:
    """Return what makes the indicators of ``group``, over ``table``, with ``prefix`` to names."""

    def made(
        name: str,
        unit: str,
        formula: str,
        sql: str,
        missing: str = "",
        window: int | None = None,
    ) -> Indicator:
        return Indicator(prefix + name, group, unit, formula, sql, missing, window, table)

    return made


def counted(
    suffix: str, group: str, words: str, test: str, window: int, amounts: bool
) -> Iterator[Indicator]:
    """Return the purchase days that pass ``test`` and, with ``amounts``, what was spent then."""
    made = maker(group)
    yield made(f"purchases_{suffix}", "count", f"purchase days {words}", count(test), window=window)
    if amounts:
        amount = total("amount", test)
        yield made(f"amount_{suffix}", "money", f"amount {words}", amount, window=window)


def count(test: str) -> str:
    """Return the number of rows that pass ``test``."""
    return f"COUNT(*) FILTER (WHERE {test})"


def total(column: str, test: str) -> str:
    """Return the sum of a column over the rows that pass ``test``, 0 without any."""
    return f"COALESCE(SUM({column}) FILTER (WHERE {test}), 0)"


def per(part: str, whole: str) -> str:
    """Return a ratio, null where the denominator is 0."""
    return f"({part}) / NULLIF({whole}, 0)"


def entropy(counts: list[str], whole: str) -> str:
    """Return Shannon's entropy of counts that sum to ``whole``, in nats."""
    terms = " + ".join(f"({c}) * LN(GREATEST({c}, 1))" for c in counts)
    return f"GREATEST(0, LN({whole}) - ({terms}) / ({whole}))"


def commonest(counts: list[str]) -> str:
    """Return the position (from 0) of the largest count, the first among equals."""
    cases = " ".join(f"WHEN {c} THEN {place}" for place, c in enumerate(counts))
    return f"CASE GREATEST({', '.join(counts)}) {cases} END"


def ordinal(k: int) -> str:
    """Return 2nd, 3rd, 4th, ... for numbers below 21."""
    return f"{k}{({2: 'nd', 3: 'rd'}).get(k, 'th')}"
