"""The rules of timing in plain Python, one customer, spell or day at a time."""

from __future__ import annotations

import itertools
import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

START = pd.Timestamp("2021-01-01")


# --- logs and spells -------------------------------------------------------------------------


def random_log(seed: int, n_customers: int, days: int = 500, mean_gap: float = 25.0) -> Any:
    """A log of customers who differ in their rates and leave; several rows on some days."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n_customers):
        pace = mean_gap * rng.gamma(3.0) / 3.0
        day = rng.integers(0, days // 2)
        while day < days:
            rows += [(f"c{number:04d}", int(day), round(float(rng.gamma(2, 10)), 2))] * int(
                rng.choice([1, 1, 1, 2])
            )
            if rng.random() < 0.15:
                break
            day += max(1, math.ceil(rng.exponential(pace)))
    frame = pd.DataFrame(rows, columns=["customer_id", "date", "amount"])
    frame["date"] = START + pd.to_timedelta(frame["date"], unit="D")
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


def net_days(rows: list[tuple[str, date, float]], returns: str) -> dict[str, dict[date, float]]:
    """{customer: {day: amount}} of (customer, day, amount) rows; negative amounts are returns."""
    bought: dict[str, dict[date, float]] = {}
    for customer, day, amount in rows:
        if amount >= 0:
            days = bought.setdefault(customer, {})
            days[day] = days.get(day, 0.0) + amount
    if returns == "drop":
        return bought
    back: dict[tuple[str, date], float] = {}
    for customer, day, amount in rows:
        before = [other for other in bought.get(customer, {}) if other <= day]
        if amount < 0 and before:
            key = (customer, max(before))
            back[key] = back.get(key, 0.0) - amount
    for (customer, day), amount in back.items():
        bought[customer][day] -= amount
        if bought[customer][day] <= 0:
            del bought[customer][day]
    return {customer: days for customer, days in bought.items() if days}


def spells_of(rows: list[tuple[str, date, float]], until: date, returns: str = "raise") -> Any:
    """What purchase_spells must return, as a list of dicts in the order of its rows."""
    kept = [row for row in rows if row[1] <= until]
    found = []
    for customer, days in sorted(net_days(kept, returns).items()):
        dates = sorted(days)
        for nth, day in enumerate(dates):
            gaps = [(b - a).days for a, b in itertools.pairwise(dates[: nth + 1])]
            repeats = [days[other] for other in dates[1 : nth + 1]]
            after = dates[nth + 1] if nth + 1 < len(dates) else None
            found.append(
                {
                    "customer": customer,
                    "start": pd.Timestamp(day),
                    "frequency": float(nth),
                    "recency": float((day - dates[0]).days),
                    "gap": math.inf if after is None else float((after - day).days),
                    "observed": float((until - day).days),
                    "log_gaps": math.fsum(math.log(gap) for gap in gaps),
                    "monetary_value": math.fsum(repeats) / nth if nth else 0.0,
                }
            )
    return found


def spells_from_gaps(gaps: list[list[float]], left: list[float]) -> pd.DataFrame:
    """A frame as purchase_spells makes it, of customers with these gaps and days behind them."""
    rows = []
    for number, (own, behind) in enumerate(zip(gaps, left, strict=True)):
        at = [0.0, *itertools.accumulate(own)]
        end = at[-1] + behind
        for nth, begun in enumerate(at):
            gap = own[nth] if nth < len(own) else math.inf
            logs = sum((math.log(one) for one in own[:nth]), 0.0)
            rows.append((number, START, float(nth), begun, gap, end - begun, logs))
    columns = ["customer_id", "start", "frequency", "recency", "gap", "observed", "log_gaps"]
    frame = pd.DataFrame(rows, columns=columns).set_index("customer_id")
    frame.attrs.update(unit="D", until="2026-01-01")
    return frame


# --- how often a class returned --------------------------------------------------------------


def purchases_class(frequency: float) -> str:
    bought = int(frequency) + 1
    return "5+" if bought >= 5 else "3-4" if bought >= 3 else str(bought)


def own_cycle(frequency: float, recency: float) -> float:
    return recency / frequency if frequency else 0.0


def quantile(values: list[float], share: float) -> float:
    """Linear interpolation between the order statistics: at 0 the least, at 1 the largest."""
    ranked = sorted(values)
    place = share * (len(ranked) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (place - low) * (ranked[high] - ranked[low])


class Frequencies:
    """Own return of classes: shrunken hazards day by day."""

    def __init__(self, spells: pd.DataFrame, shrinkage: float) -> None:
        self.shrinkage = shrinkage
        self.cases = []
        cycles: dict[str, list[float]] = {}
        for row in spells.itertuples():
            cycles.setdefault(purchases_class(row.frequency), []).append(
                own_cycle(row.frequency, row.recency)
            )
        self.cuts = {
            name: (quantile(values, 1 / 3), quantile(values, 2 / 3))
            for name, values in cycles.items()
        }
        for row in spells.itertuples():
            ended = math.isfinite(row.gap)
            duration = row.gap if ended else row.observed
            self.cases.append((*self.of(row.frequency, row.recency), duration, ended))
        self.last = sorted(case[2] for case in self.cases)[-20]
        self.times = sorted({case[2] for case in self.cases if case[3] and case[2] <= self.last})
        everybody = self._hazards(self.cases, None)
        self.hazards = {(): everybody}
        for name in cycles:
            mine = [case for case in self.cases if case[0] == name]
            self.hazards[(name,)] = self._hazards(mine, everybody)
            for third in {case[1] for case in mine}:
                some = [case for case in mine if case[1] == third]
                self.hazards[(name, third)] = self._hazards(some, self.hazards[(name,)])

    def of(self, frequency: float, recency: float) -> tuple[str, int]:
        name = purchases_class(frequency)
        cuts = self.cuts.get(name, (0.0, 0.0))
        return name, sum(cut < own_cycle(frequency, recency) for cut in cuts)

    def _hazards(self, cases: list[Any], wider: dict[float, float] | None) -> dict[float, float]:
        found = {}
        for time in self.times:
            risk = sum(case[2] >= time for case in cases)
            ended = sum(case[2] == time and case[3] for case in cases)
            if wider is None:
                found[time] = ended / risk
            elif risk + self.shrinkage == 0:
                found[time] = wider[time]
            else:
                found[time] = (ended + self.shrinkage * wider[time]) / (risk + self.shrinkage)
        return found

    def own_return(self, frequency: float, recency: float, silence: float, horizon: float) -> float:
        name, third = self.of(frequency, recency)
        key: tuple[Any, ...] = (name, third)
        while key not in self.hazards:
            key = key[:-1]
        stays = 1.0
        for time, hazard in self.hazards[key].items():
            if silence < time <= silence + horizon:
                stays *= 1 - hazard
        return 1 - stays


# --- the day of a contact --------------------------------------------------------------------


def mbg_own_return(
    params: tuple[float, float, float, float], x: float, tx: float, silence: float, horizon: float
) -> float:
    """DESIGN's closed form: P(alive) after the silence times P(a purchase in the horizon)."""
    r, alpha, a, b = params
    alive = 1 / (1 + a / (b + x) * ((alpha + tx + silence) / (alpha + tx)) ** (r + x))
    stays = ((alpha + tx + silence) / (alpha + tx + silence + horizon)) ** (r + x)
    return alive * (1 - stays)


def first_low_day(own_returns: list[float], line: float, rise: float = 0.0) -> float:
    """The first day at or under the line, not before the highest excess; own_returns from day 1."""
    excess = [q - line - rise * day / 100 for day, q in enumerate(own_returns, start=1)]
    if max(excess) <= 0:
        return 1.0
    peak = excess.index(max(excess))
    for nth in range(peak, len(excess)):
        if excess[nth] <= 0:
            return float(nth + 1)
    return math.inf


def expected_gain(q: float, margin: float, win_back: float, cost: float, discount: float) -> float:
    return (1 - q) * win_back * margin - cost - q * discount


# --- a programme of contacts ------------------------------------------------------------------


def plan_value(made: tuple[bool, ...], q: Any, p: Any, money: Any, programme: Any) -> float:
    """The expected money of contacting at these steps; -inf where the cap is broken."""
    value, here = 0.0, 1.0
    reach = programme.window // programme.step
    for step, contact in enumerate(made):
        recent = sum(made[max(0, step - reach + 1) : step])
        leaves = p[step]
        if contact:
            if recent >= programme.cap:
                return -math.inf
            chance = money.win_back * programme.fatigue**recent
            value += here * expected_gain(q[step], money.margin, chance, money.cost, money.discount)
            leaves += (1 - q[step]) * chance
        here *= 1 - leaves
    return value


# --- the back-test ----------------------------------------------------------------------------


def judge(
    spells: list[dict[str, Any]],
    contacts: list[tuple[list[float], list[float]]],
    horizon: int,
    lapse: int,
    deadline: int,
    money: Any = None,
    margin_of: Any = None,
    discount_of: Any = None,
) -> dict[str, float]:
    """What a policy did: contacts is, for each spell, days and chances."""
    n = reached = wasted = lapsed = omitted = every = 0
    silences, earned = [], 0.0
    for spell, (days, chances) in zip(spells, contacts, strict=True):
        if spell["observed"] < max(lapse, deadline + horizon):
            continue
        n += 1
        gap = spell["gap"]
        here = [
            (day, chance)
            for day, chance in zip(days, chances, strict=True)
            if day <= deadline and day < gap
        ]
        every += len(here)
        if here:
            reached += 1
            wasted += gap <= here[0][0] + horizon
        if gap > lapse:
            lapsed += 1
            omitted += not here
            silences += [here[0][0]] if here else []
        still = 1.0
        for day, chance in here:
            if money is None:
                break
            customer = spell["customer"]
            if gap <= day + horizon:
                earned -= still * (money.cost + discount_of(customer))
            else:
                earned += still * (chance * margin_of(customer) - money.cost)
                still *= 1 - chance
    return {
        "n_spells": n,
        "n_lapsed": lapsed,
        "n_contacted": reached,
        "contacts_per_1000": 1000 * every / n,
        "error_rate": wasted / reached if reached else math.nan,
        "omission_rate": omitted / lapsed if lapsed else math.nan,
        "mean_silence": sum(silences) / len(silences) if silences else math.nan,
        "median_silence": quantile(silences, 0.5) if silences else math.nan,
        "money_per_1000": 1000 * earned / n,
    }


def day_of_rate(fixed: list[float], rate: float) -> float:
    """The day, from 1 on, on which the fixed error rates fall to a rate; linear between days."""
    if math.isnan(rate):
        return math.nan
    for nth, error in enumerate(fixed):
        if error <= rate:
            if nth == 0:
                return 1.0
            return nth + (fixed[nth - 1] - rate) / (fixed[nth - 1] - error)
    return math.inf


# --- purchases drawn from the models -----------------------------------------------------------


def mbg_log(
    params: tuple[float, float, float, float],
    n_customers: int,
    days: int,
    seed: int,
    arrive: int = 1,
    regularity: int = 1,
) -> pd.DataFrame:
    """A log drawn from MBG/NBD (or MBG/CNBD-k) in days: customer_id, date.

    Arrivals are spread over the first ``arrive`` days; gaps are rounded up to whole days.
    """
    r, alpha, a, b = params
    rng = np.random.default_rng(seed)
    rate = rng.gamma(r, 1 / alpha, n_customers)
    leave = rng.beta(a, b, n_customers)
    day = rng.integers(0, arrive, n_customers).astype(np.float64)
    who = np.arange(n_customers)
    rows = []
    while who.size:
        rows.append(pd.DataFrame({"customer_id": who, "date": day}))
        stays = rng.random(who.size) >= leave[who]
        who, day = who[stays], day[stays]
        day = day + np.ceil(rng.gamma(regularity, 1 / rate[who]))
        inside = day <= days
        who, day = who[inside], day[inside]
    log = pd.concat(rows, ignore_index=True)
    log["date"] = START + pd.to_timedelta(log["date"].astype("int64"), unit="D")
    return log


def last_day_of(days: int) -> date:
    return (START + timedelta(days=days)).date()


def new_spells(n_customers: int) -> pd.DataFrame:
    """Spells of customers who have bought once."""
    return spells_from_gaps([[] for _ in range(n_customers)], [100.0] * n_customers)
