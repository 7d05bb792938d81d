"""Indicators of a customer's whole history: life, silence, gaps, amounts, last purchases.

Every expression is an aggregate over one customer's rows of the table ``bought``: see
`touchpoint_lib.churn._tables`.
"""

from __future__ import annotations

from collections.abc import Iterator

from touchpoint_lib.churn._indicator import (
    AGE,
    AMOUNT,
    GAPS,
    NO_AMOUNT,
    ONE_GAP,
    SILENCE,
    THREE_GAPS,
    TWO_GAPS,
    Indicator,
    N,
    count,
    ordinal,
    per,
    total,
)

_MEAN_GAP = "AVG(gap)"
_GAP_SD = "STDDEV_SAMP(gap)"


def life() -> Iterator[Indicator]:
    group = "life"
    yield Indicator("frequency", group, "count", "repeat purchase days", GAPS)
    yield Indicator("recency", group, "days", "first to last purchase day", f"{AGE} - {SILENCE}")
    yield Indicator("T", group, "days", "first purchase day to the cutoff", AGE)
    yield Indicator(
        "log_gaps",
        group,
        "ln days",
        "sum of ln(gap in days), 0 without repeats",
        "COALESCE(SUM(LN(gap)), 0)",
    )
    yield Indicator(
        "purchases_per_day", group, "1/day", "purchase days / (T + 1)", f"{N} / ({AGE} + 1)"
    )
    yield Indicator(
        "purchases_late_half_share",
        group,
        "share",
        "share of own purchase days in the later half of T: days before the cutoff < T / 2",
        f"{count('2 * age < life')} / {N}",
    )


def silence() -> Iterator[Indicator]:
    group = "silence"
    yield Indicator("silence", group, "days", "last purchase day to the cutoff", SILENCE)
    yield Indicator("silence_per_life", group, "share", "silence / T", per(SILENCE, AGE), "T is 0")
    for name, words, sql in (
        ("mean", "mean", _MEAN_GAP),
        ("median", "median", "MEDIAN(gap)"),
        ("longest", "longest", "MAX(gap)"),
        ("last", "last", "MAX(gap) FILTER (WHERE back = 1)"),
    ):
        yield Indicator(
            f"silence_per_{name}_gap",
            group,
            "ratio",
            f"silence / {words} own gap",
            per(SILENCE, sql),
            ONE_GAP,
        )
    yield Indicator(
        "silence_z_score",
        group,
        "sd",
        "(silence - mean gap) / sd of the gaps",
        f"CASE WHEN MIN(gap) < MAX(gap) THEN ({SILENCE} - {_MEAN_GAP}) / {_GAP_SD} END",
        f"{TWO_GAPS}, or all gaps are equal",
    )
    yield Indicator(
        "silence_exceeded_share",
        group,
        "share",
        "share of own gaps longer than the silence",
        per(count("gap > silence"), GAPS),
        ONE_GAP,
    )


def gaps() -> Iterator[Indicator]:
    group = "gaps"

    def gap(name: str, formula: str, sql: str, missing: str = ONE_GAP, unit: str = "days") -> None:
        made.append(Indicator(name, group, unit, formula, sql, missing))

    made: list[Indicator] = []
    gap("gap_mean", "mean gap between purchase days", _MEAN_GAP)
    gap("gap_median", "median gap", "MEDIAN(gap)")
    gap("gap_min", "shortest gap", "MIN(gap)")
    gap("gap_max", "longest gap", "MAX(gap)")
    for share in (10, 25, 75, 90):
        gap(
            f"gap_q{share}",
            f"{share} % quantile of the gaps, interpolated",
            f"QUANTILE_CONT(gap, {share / 100})",
        )
    gap("gap_first", "first gap", "MAX(gap) FILTER (WHERE number = 2)")
    gap("gap_last", "last gap", "MAX(gap) FILTER (WHERE back = 1)")
    gap(
        "gap_last_ratio",
        "last gap / mean gap",
        f"(MAX(gap) FILTER (WHERE back = 1)) / {_MEAN_GAP}",
        unit="ratio",
    )
    gap(
        "gap_last_change",
        "last gap - the gap before it",
        "MAX(gap - gap_before) FILTER (WHERE back = 1)",
        TWO_GAPS,
    )
    gap("gap_sd", "sample standard deviation of the gaps", _GAP_SD, TWO_GAPS)
    gap("gap_cv", "sd / mean of the gaps", f"{_GAP_SD} / {_MEAN_GAP}", TWO_GAPS, "ratio")
    gap(
        "gap_trend",
        "least-squares slope of the gaps over their number",
        f"CASE WHEN {GAPS} > 1 THEN REGR_SLOPE(gap, number) END",
        TWO_GAPS,
        "days/purchase",
    )
    gap("log_gap_mean", "mean of ln(gap in days)", "AVG(LN(gap))", unit="ln days")
    gap("log_gap_sd", "sample sd of ln(gap)", "STDDEV_SAMP(LN(gap))", TWO_GAPS, "ln days")
    gap(
        "gap_burstiness",
        "(s - m) / (s + m), s and m the population sd and mean of the gaps (Goh & Barabasi): "
        "-1 regular, 0 random, towards 1 in bursts",
        f"CASE WHEN {GAPS} > 1 THEN (STDDEV_POP(gap) - {_MEAN_GAP})"
        f" / (STDDEV_POP(gap) + {_MEAN_GAP}) END",
        TWO_GAPS,
        "ratio",
    )
    gap(
        "gap_memory",
        "correlation of each gap with the one before (Goh & Barabasi)",
        "CASE WHEN MIN(gap) FILTER (WHERE number > 2) < MAX(gap) FILTER (WHERE number > 2)"
        " AND MIN(gap_before) < MAX(gap_before) THEN CORR(gap, gap_before) END",
        f"{THREE_GAPS}, or all gaps but the first, or all but the last, are equal",
        "correlation",
    )
    spread = f"GREATEST(0, LN({_MEAN_GAP}) - AVG(LN(gap)))"
    gap(
        "gap_inverse_shape",
        "1 / k of gamma gaps, by the moments of the log gaps: with z = ln(mean gap) - mean "
        "ln(gap), 4 z / (1 + sqrt(1 + 4 z / 3)) (Thom); 0 for equal gaps, 1 for random purchases",
        f"CASE WHEN {GAPS} > 1 THEN 4 * {spread} / (1 + SQRT(1 + 4 * {spread} / 3)) END",
        TWO_GAPS,
        "ratio",
    )
    square = "AVG(POW(gap / (gap + gap_before) - 0.5, 2))"
    gap(
        "gap_regularity",
        "k / (1 + k) of Erlang gaps, by the ratio of successive gaps: with v = mean of "
        "(gap / (gap + gap before) - 1/2)^2, k = (1 - 4 v) / (8 v) (Wheat & Morrison); "
        "1 for equal gaps, 1/2 for random purchases",
        f"(1 - 4 * {square}) / (1 + 4 * {square})",
        TWO_GAPS,
        "share",
    )
    left = f"({SILENCE} + 1)"
    gap(
        "clumpiness",
        "1 + sum of x ln x / ln(n + 1) over the n gaps and the silence + 1, each divided by T + 1 "
        "(Zhang, Bradlow & Small): 0 evenly spread, towards 1 in clumps",
        f"CASE WHEN {GAPS} > 0 THEN 1 + ((SUM(gap * LN(gap)) + {left} * LN({left})) / ({AGE} + 1)"
        f" - LN({AGE} + 1)) / LN({GAPS} + 1) END",
        unit="ratio",
    )
    return iter(made)


def amounts() -> Iterator[Indicator]:
    group = "amount"

    def made(
        name: str, formula: str, sql: str, missing: str = "", unit: str = "money"
    ) -> Indicator:
        return Indicator(name, group, unit, formula, sql, missing)

    yield made(
        "monetary_value",
        "mean amount a repeat purchase day, 0 without repeats",
        f"COALESCE({per('SUM(amount) FILTER (WHERE gap IS NOT NULL)', GAPS)}, 0)",
    )
    yield made("amount_total", "amount of all purchase days", AMOUNT)
    yield made("amount_mean", "mean amount a purchase day", "AVG(amount)")
    yield made("amount_median", "median amount a purchase day", "MEDIAN(amount)")
    yield made("amount_min", "smallest amount of a purchase day", "MIN(amount)")
    yield made("amount_max", "largest amount of a purchase day", "MAX(amount)")
    last = "MAX(amount) FILTER (WHERE back = 1)"
    yield made(
        "amount_first", "amount of the first purchase day", "MAX(amount) FILTER (WHERE number = 1)"
    )
    yield made("amount_last", "amount of the last purchase day", last)
    yield made(
        "amount_sd", "sample sd of the amounts a purchase day", "STDDEV_SAMP(amount)", ONE_GAP
    )
    yield made(
        "amount_cv",
        "sd / mean of the amounts a purchase day",
        per("STDDEV_SAMP(amount)", "AVG(amount)"),
        f"{ONE_GAP}, or {NO_AMOUNT}",
        "ratio",
    )
    yield made(
        "amount_trend",
        "least-squares slope of the amounts over the number of the purchase day",
        f"CASE WHEN {N} > 1 THEN REGR_SLOPE(amount, number) END",
        ONE_GAP,
        "money/purchase",
    )
    yield made(
        "amount_last_ratio",
        "amount of the last purchase day / mean amount",
        per(last, "AVG(amount)"),
        NO_AMOUNT,
        "ratio",
    )
    yield made(
        "amount_per_line", "amount / basket lines", f"{AMOUNT} / SUM(lines)", unit="money/line"
    )
    yield made("amount_per_day", "amount / (T + 1)", f"{AMOUNT} / ({AGE} + 1)", unit="money/day")
    yield made(
        "amount_late_half_share",
        "share of own amount in the later half of T: days before the cutoff < T / 2",
        per(total("amount", "2 * age < life"), AMOUNT),
        NO_AMOUNT,
        "share",
    )
    yield made(
        "free_share",
        "share of own purchase days with amount 0",
        f"{count('amount = 0')} / {N}",
        unit="share",
    )


def last_purchases() -> Iterator[Indicator]:
    for k in range(2, 11):
        yield Indicator(
            f"days_since_last_{k}",
            "last purchases",
            "days",
            f"days from the {ordinal(k)} last purchase day to the cutoff",
            f"MAX(age) FILTER (WHERE back = {k})",
            f"fewer than {k} purchase days",
        )


def last_amounts() -> Iterator[Indicator]:
    for k in range(2, 6):
        yield Indicator(
            f"amount_last_{k}",
            "last purchases",
            "money",
            f"amount of the {ordinal(k)} last purchase day",
            f"MAX(amount) FILTER (WHERE back = {k})",
            f"fewer than {k} purchase days",
        )


def lines() -> Iterator[Indicator]:
    group = "lines"
    last = "MAX(lines) FILTER (WHERE back = 1)"
    yield Indicator("lines_total", group, "count", "basket lines", "SUM(lines)")
    yield Indicator("lines_mean", group, "count", "basket lines a purchase day", "AVG(lines)")
    yield Indicator("lines_max", group, "count", "most lines of a purchase day", "MAX(lines)")
    yield Indicator("lines_last", group, "count", "lines of the last purchase day", last)
    yield Indicator(
        "lines_last_ratio",
        group,
        "ratio",
        "lines of the last purchase day / mean lines a purchase day",
        f"({last}) / AVG(lines)",
    )
    yield Indicator(
        "lines_trend",
        group,
        "lines/purchase",
        "least-squares slope of the lines over the number of the purchase day",
        f"CASE WHEN {N} > 1 THEN REGR_SLOPE(lines, number) END",
        ONE_GAP,
    )
