"""Behaviour indicators once more, a customer and a purchase day at a time, in plain Python."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

NAN = float("nan")
WINDOWS = (7, 14, 30, 60, 90, 180, 270, 365)
#: What columns call the levels that are not called by their text: 6 digits of its sha1 behind.
NAMES = {
    "Hats & Co": "hats_co_45f386",
    "other": "other_d0941e",
    "帽子": "level_8dccc4",
    None: "other",
}


@dataclass
class Day:
    """A purchase day of a customer."""

    day: date
    amount: float
    lines: int
    discounted: bool
    hours: list[float]
    category: set[str]
    channel: set[str]


@dataclass
class Customer:
    days: list[Day] = field(default_factory=list)
    events: list[tuple[date, str]] = field(default_factory=list)


def read(log, at: date, returns: str, purchase: str | None) -> dict[Any, Customer]:
    """Customers with a purchase by ``at``; returns are netted against the visit before them."""
    rows = defaultdict(list)
    for row in log.to_dict("records"):
        if row["date"].date() <= at:
            rows[row["customer_id"]].append(row)
    customers = {}
    for who, own in rows.items():
        customer = Customer()
        if purchase is not None:
            customer.events = [
                (r["date"].date(), r["event"]) for r in own if r["event"] != purchase
            ]
            own = [r for r in own if r["event"] == purchase]
        bought = defaultdict(list)
        for row in own:
            if row["amount"] >= 0:
                bought[row["date"].date()].append(row)
        visits = sorted(bought)
        returned = dict.fromkeys(visits, 0.0)
        if returns == "net":
            for row in own:
                before = [day for day in visits if day <= row["date"].date()]
                if row["amount"] < 0 and before:
                    returned[before[-1]] -= row["amount"]
        for day in visits:
            amount = sum(r["amount"] for r in bought[day]) - returned[day]
            if returned[day] == 0 or amount > 0:
                customer.days.append(
                    Day(
                        day,
                        amount,
                        len(bought[day]),
                        any(r.get("discount", 0) > 0 for r in bought[day]),
                        [
                            r["date"].hour + r["date"].minute / 60 + r["date"].second / 3600
                            for r in bought[day]
                        ],
                        {r.get("category", "") for r in bought[day]},
                        {r.get("channel", "") for r in bought[day]},
                    )
                )
        if customer.days:
            customers[who] = customer
    return customers


def over(part: float, whole: float) -> float:
    return part / whole if whole != 0 else NAN


def mean(values) -> float:
    values = list(values)
    return math.fsum(values) / len(values) if values else NAN


def sd(values) -> float:
    return statistics.stdev(values) if len(values) > 1 else NAN


def quantile(values, share: float) -> float:
    if not values:
        return NAN
    values = sorted(values)
    place = share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def slope(values) -> float:
    if len(values) < 2:
        return NAN
    middle, level = (len(values) - 1) / 2, mean(values)
    up = math.fsum((i - middle) * (v - level) for i, v in enumerate(values))
    return up / math.fsum((i - middle) ** 2 for i in range(len(values)))


def entropy(counts) -> float:
    whole = sum(counts)
    return -math.fsum(c / whole * math.log(c / whole) for c in counts if c) + 0.0


def correlation(one, other) -> float:
    if len(set(one)) < 2 or len(set(other)) < 2:
        return NAN
    return statistics.correlation(one, other)


def rank(own: float, values) -> float:
    values = list(values)
    equal = sum(v == own for v in values)
    return (sum(v < own for v in values) + equal / 2) / len(values)


def history(days: list[Day], at: date) -> dict[str, float]:
    """Whole history: life, silence, gaps, amounts, lines, last purchases."""
    dates = [d.day for d in days]
    amounts = [d.amount for d in days]
    lines = [d.lines for d in days]
    gaps = [(b - a).days for a, b in pairwise(dates)]
    age, silence, n = (at - dates[0]).days, (at - dates[-1]).days, len(days)
    logs = [math.log(g) for g in gaps]
    late = [d for d in days if (at - d.day).days < age / 2]
    got = {
        "frequency": n - 1,
        "recency": age - silence,
        "T": age,
        "log_gaps": math.fsum(logs),
        "purchases_per_day": n / (age + 1),
        "purchases_late_half_share": len(late) / n,
        "silence": silence,
        "silence_per_life": over(silence, age),
        "silence_per_mean_gap": over(silence, mean(gaps)) if gaps else NAN,
        "silence_per_median_gap": silence / statistics.median(gaps) if gaps else NAN,
        "silence_per_longest_gap": silence / max(gaps) if gaps else NAN,
        "silence_per_last_gap": silence / gaps[-1] if gaps else NAN,
        "silence_z_score": (silence - mean(gaps)) / sd(gaps) if len(set(gaps)) > 1 else NAN,
        "silence_exceeded_share": mean(float(g > silence) for g in gaps),
        "gap_mean": mean(gaps),
        "gap_median": statistics.median(gaps) if gaps else NAN,
        "gap_min": min(gaps, default=NAN),
        "gap_max": max(gaps, default=NAN),
        **{f"gap_q{q}": quantile(gaps, q / 100) for q in (10, 25, 75, 90)},
        "gap_first": gaps[0] if gaps else NAN,
        "gap_last": gaps[-1] if gaps else NAN,
        "gap_last_ratio": gaps[-1] / mean(gaps) if gaps else NAN,
        "gap_last_change": gaps[-1] - gaps[-2] if len(gaps) > 1 else NAN,
        "gap_sd": sd(gaps),
        "gap_cv": sd(gaps) / mean(gaps) if gaps else NAN,
        "gap_trend": slope(gaps),
        "log_gap_mean": mean(logs),
        "log_gap_sd": sd(logs),
        "gap_burstiness": NAN,
        "gap_memory": correlation(gaps[1:], gaps[:-1]),
        "gap_inverse_shape": NAN,
        "gap_regularity": NAN,
        "clumpiness": NAN,
        "lines_total": sum(lines),
        "lines_mean": mean(lines),
        "lines_max": max(lines),
        "lines_last": lines[-1],
        "lines_last_ratio": lines[-1] / mean(lines),
        "lines_trend": slope(lines),
        "monetary_value": mean(amounts[1:]) if n > 1 else 0.0,
        "amount_total": math.fsum(amounts),
        "amount_mean": mean(amounts),
        "amount_median": statistics.median(amounts),
        "amount_min": min(amounts),
        "amount_max": max(amounts),
        "amount_first": amounts[0],
        "amount_last": amounts[-1],
        "amount_sd": sd(amounts),
        "amount_cv": over(sd(amounts), mean(amounts)),
        "amount_trend": slope(amounts),
        "amount_last_ratio": over(amounts[-1], mean(amounts)),
        "amount_per_line": math.fsum(amounts) / sum(lines),
        "amount_per_day": math.fsum(amounts) / (age + 1),
        "amount_late_half_share": over(math.fsum(d.amount for d in late), math.fsum(amounts)),
        "free_share": mean(float(a == 0) for a in amounts),
    }
    if len(gaps) > 1:
        spread = statistics.pstdev(gaps)
        got["gap_burstiness"] = (spread - mean(gaps)) / (spread + mean(gaps))
        z = max(0.0, math.log(mean(gaps)) - mean(logs))
        shape = (1 + math.sqrt(1 + 4 * z / 3)) / (4 * z) if z > 0 else math.inf
        got["gap_inverse_shape"] = 1 / shape
        v = mean((b / (a + b) - 0.5) ** 2 for a, b in pairwise(gaps))
        k = (1 - 4 * v) / (8 * v) if v > 0 else math.inf
        got["gap_regularity"] = 1 - 1 / (1 + k)
    if gaps:
        parts = [g / (age + 1) for g in [*gaps, silence + 1]]
        got["clumpiness"] = 1 + math.fsum(x * math.log(x) for x in parts) / math.log(n)
    for k in range(2, 11):
        got[f"days_since_last_{k}"] = (at - dates[-k]).days if n >= k else NAN
    for k in range(2, 6):
        got[f"amount_last_{k}"] = amounts[-k] if n >= k else NAN
    return got


def windows(days: list[Day], at: date) -> dict[str, float]:
    """Windows, blocks, decayed sums, the first days, and the season a year ago."""
    got: dict[str, float] = {}
    n, age = len(days), (at - days[0].day).days
    everything = math.fsum(d.amount for d in days)

    def between(after: int, by: int) -> list[Day]:
        """Days in (at - after, at - by]."""
        return [d for d in days if at - timedelta(after) < d.day <= at - timedelta(by)]

    def money(chosen) -> float:
        return math.fsum(d.amount for d in chosen)

    for w in WINDOWS:
        here, before = between(w, 0), between(2 * w, w)
        amounts = [d.amount for d in here]
        earlier = [d.amount for d in days if d.day <= at - timedelta(w)]
        gaps = [(b.day - a.day).days for a, b in pairwise(here)]
        values = {
            "purchases": len(here),
            "lines": sum(d.lines for d in here),
            "active_weeks": len({(at - d.day).days // 7 for d in here}),
            "purchases_share": len(here) / n,
            "rate_ratio": (len(here) / min(w, age + 1)) / (n / (age + 1)),
            "gap_mean": mean(gaps),
            "gap_longest": max(gaps, default=NAN),
            "purchases_change": len(here) - len(before),
            "purchases_ratio": over(len(here), len(before)),
            "weekend_share": mean(float(d.day.weekday() in (5, 6)) for d in here),
            "lines_per_purchase": mean(d.lines for d in here),
            "amount": math.fsum(amounts),
            "amount_mean": mean(amounts),
            "amount_max": max(amounts, default=NAN),
            "amount_min": min(amounts, default=NAN),
            "amount_sd": sd(amounts),
            "amount_share": over(math.fsum(amounts), everything),
            "amount_mean_ratio": over(mean(amounts), mean(earlier)),
            "amount_change": math.fsum(amounts) - money(before),
            "amount_ratio": over(math.fsum(amounts), money(before)),
        }
        got |= {f"{name}_{w}d": value for name, value in values.items()}
    for start in range(30, 390, 30):
        block = between(start + 30, start)
        got[f"purchases_{start}_{start + 30}d"] = len(block)
        got[f"amount_{start}_{start + 30}d"] = money(block)
    for half in (7, 30, 90, 180, 365):
        weights = [2.0 ** (-(at - d.day).days / half) for d in days]
        got[f"purchases_decayed_{half}d"] = math.fsum(weights)
        got[f"amount_decayed_{half}d"] = math.fsum(
            d.amount * weight for d, weight in zip(days, weights, strict=True)
        )
    for w in (7, 30, 60, 90):
        first = [d for d in days if d.day < days[0].day + timedelta(w)]
        got[f"purchases_first_{w}d"] = len(first)
        got[f"amount_first_{w}d"] = money(first)
    for w in (30, 60, 90):
        last_year = between(365, 365 - w)
        got[f"purchases_year_ago_{w}d"] = len(last_year)
        got[f"amount_year_ago_{w}d"] = money(last_year)
    angle = 2 * math.pi * at.timetuple().tm_yday / 365.25
    return got | {"season_sin": math.sin(angle), "season_cos": math.cos(angle)}


def calendar(days: list[Day]) -> dict[str, float]:
    n = len(days)
    weekdays = [sum(d.day.weekday() == k for d in days) for k in range(7)]
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    got = {f"weekday_share_{name}": c / n for name, c in zip(names, weekdays, strict=True)}
    got["weekend_share"] = (weekdays[5] + weekdays[6]) / n
    got["weekday_entropy"] = entropy(weekdays)
    got["weekday_commonest"] = weekdays.index(max(weekdays))
    got["month_part_share_early"] = mean(float(d.day.day <= 10) for d in days)
    got["month_part_share_middle"] = mean(float(10 < d.day.day <= 20) for d in days)
    got["month_part_share_late"] = mean(float(d.day.day > 20) for d in days)
    for month in range(1, 13):
        got[f"month_share_{month:02d}"] = mean(float(d.day.month == month) for d in days)
    for quarter in range(1, 5):
        got[f"quarter_share_{quarter}"] = mean(
            float((d.day.month + 2) // 3 == quarter) for d in days
        )
    return got


def cohorts(own: dict[str, float], first: date, peers, equals) -> dict[str, float]:
    """Among customers of the same month (``peers``) and of equal frequency (``equals``)."""
    got = {
        "acquired_weekday": first.weekday(),
        "acquired_month_day": first.day,
        "acquired_month": first.month,
        "cohort_size": len(peers),
        "cohort_frequency_mean": mean(p["frequency"] for p in peers),
        "cohort_repeat_share": mean(float(p["frequency"] > 0) for p in peers),
        "cohort_silence_mean": mean(p["silence"] for p in peers),
        "cohort_amount_mean": mean(p["amount_total"] for p in peers),
        "frequency_per_cohort_mean": over(own["frequency"], mean(p["frequency"] for p in peers)),
        "frequency_rank_in_cohort": rank(own["frequency"], [p["frequency"] for p in peers]),
    }
    for name, column in (("recency",) * 2, ("silence",) * 2, ("amount", "amount_total")):
        got[f"{name}_rank_in_cohort"] = rank(own[column], [p[column] for p in peers])
        got[f"{name}_rank_in_frequency"] = rank(own[column], [p[column] for p in equals])
    return got


def discount(days: list[Day], at: date) -> dict[str, float]:
    taken = [d for d in days if d.discounted]
    full = [d for d in days if not d.discounted]
    got = {
        "discount_purchases": len(taken),
        "discount_share": len(taken) / len(days),
        "discount_days_since": (at - taken[-1].day).days if taken else NAN,
        "full_price_days_since": (at - full[-1].day).days if full else NAN,
        "discount_first": float(days[0].discounted),
        "discount_last": float(days[-1].discounted),
        "discount_amount_share": over(
            math.fsum(d.amount for d in taken), math.fsum(d.amount for d in days)
        ),
        "discount_amount_ratio": over(mean(d.amount for d in taken), mean(d.amount for d in full)),
    }
    half = (at - days[0].day).days / 2
    late = [float(d.discounted) for d in days if (at - d.day).days < half]
    early = [float(d.discounted) for d in days if (at - d.day).days >= half]
    got["discount_share_change"] = mean(late) - mean(early)
    for w in WINDOWS:
        here = [d for d in days if (at - d.day).days < w]
        got[f"discount_purchases_{w}d"] = sum(d.discounted for d in here)
        got[f"discount_share_{w}d"] = mean(float(d.discounted) for d in here)
    return got


def words(role: str, days: list[Day], at: date, levels: list[str]) -> dict[str, float]:
    """Category or channel; levels that are not listed are one, None."""
    kinds = [{level if level in levels else None for level in getattr(d, role)} for d in days]
    got: dict[str, float] = {}
    counts = Counter(kind for day in kinds for kind in day)
    order = [*sorted(levels), None]
    for level in order:
        name = NAMES.get(level, level)
        on = [d for d, day in zip(days, kinds, strict=True) if level in day]
        got[f"{name}_purchases"] = len(on)
        got[f"{name}_share"] = len(on) / len(days)
        got[f"{name}_days_since"] = (at - on[-1].day).days if on else NAN
        for w in (30, 90, 365):
            here = [d for d in on if (at - d.day).days < w]
            got[f"{name}_purchases_{w}d"] = len(here)
            got[f"{name}_share_{w}d"] = over(len(here), sum((at - d.day).days < w for d in days))
    most = max(counts.values())
    commonest = next(level for level in order if counts[level] == most)
    got["levels"] = len(counts)
    got["entropy"] = entropy(counts.values())
    got["share_of_commonest"] = most / len(days)
    got["last_is_commonest"] = float(commonest in kinds[-1])
    return {f"{role}_{name}": value for name, value in got.items()}


def events(customer: Customer, at: date, levels: list[str]) -> dict[str, float]:
    kinds = {"events": lambda _: True}
    for level in [*levels, None]:
        kinds[f"event_{NAMES.get(level, level)}"] = lambda kind, level=level: (
            kind == level if level is not None else kind not in levels
        )
    last, got = customer.days[-1].day, {}
    for name, of in kinds.items():
        own = [day for day, kind in customer.events if of(kind)]
        got[f"{name}_count"] = len(own)
        for w in (7, 30, 90, 365):
            got[f"{name}_count_{w}d"] = sum((at - day).days < w for day in own)
        got[f"{name}_days_since"] = (at - max(own)).days if own else NAN
        got[f"{name}_since_purchase"] = sum(day > last for day in own)
        got[f"{name}_per_purchase"] = len(own) / len(customer.days)
    return got


def times(days: list[Day], at: date) -> dict[str, float]:
    hours = [min(d.hours) for d in days]
    blocks = [int(hour // 6) for hour in hours]
    got: dict[str, float] = {}
    for block, name in enumerate(("night", "morning", "afternoon", "evening")):
        got[f"{name}_share"] = blocks.count(block) / len(days)
        for w in (30, 90, 365):
            here = [b for b, d in zip(blocks, days, strict=True) if (at - d.day).days < w]
            got[f"{name}_share_{w}d"] = over(here.count(block), len(here))
    counts = [blocks.count(block) for block in range(4)]
    got["entropy"] = entropy(counts)
    got["commonest"] = counts.index(max(counts))
    got["hour_mean"], got["hour_sd"], got["hour_last"] = mean(hours), sd(hours), hours[-1]
    return {f"time_{name}": value for name, value in got.items()}


def indicators(log, at: date, levels, *, returns="raise", discounts=False, purchase=None):
    """Every column of every customer."""
    customers = read(log, at, returns, purchase)
    got = {who: history(c.days, at) for who, c in customers.items()}
    months = {who: c.days[0].day.replace(day=1) for who, c in customers.items()}
    for who, customer in customers.items():
        days = customer.days
        peers = [got[other] for other, month in months.items() if month == months[who]]
        equals = [h for h in got.values() if h["frequency"] == got[who]["frequency"]]
        got[who] = got[who] | windows(days, at) | calendar(days)
        got[who] |= cohorts(got[who], days[0].day, peers, equals)
        if discounts:
            got[who] |= discount(days, at)
        for role in ("category", "channel"):
            if role in levels:
                got[who] |= words(role, days, at, levels[role])
        if "event" in levels:
            got[who] |= events(customer, at, levels["event"])
        if "time" in levels:
            got[who] |= times(days, at)
    return got
