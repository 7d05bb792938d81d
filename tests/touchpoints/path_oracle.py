"""Paths of contacts and rules of attribution once more, in plain loops and fractions."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise, permutations

import numpy as np
import pandas as pd

CHANNELS = ("chat", "email", "sms")


def small_log(seed, n=25, customers=3, days=40, channels=CHANNELS, orders=8):
    """Return a small log with ties, held-out rows and customers of one frame alone."""
    rng = np.random.default_rng(seed)
    # Times of day, not dates alone.
    start = pd.Timestamp("2025-01-01 01:00")

    def frame(rows, first):
        return pd.DataFrame(
            {
                "customer_id": rng.integers(first, first + customers, rows),
                "time": start + pd.to_timedelta(rng.integers(0, 2 * days, rows) * 12, unit="h"),
            }
        )

    contacts = frame(n, 0).assign(channel=rng.choice(channels, n), held_out=rng.random(n) < 0.2)
    # Somebody is always in both.
    contacts.loc[0, "customer_id"] = 1
    bought = frame(orders, 1)
    bought.loc[0, "customer_id"] = 1
    bought["margin"] = rng.integers(-5, 50, orders).astype(float)
    return contacts, bought


def plain_paths(contacts, orders, window):
    """Return the touches of each order by its place, the lost paths and the open ones.

    A touch is a pair of a time in days and a channel.
    """
    origin = orders["time"].min()

    def day(time):
        return (time - origin) / pd.Timedelta(days=1)

    end = day(orders["time"].max())
    by_order, lost, left_open = {place: [] for place in range(len(orders))}, [], []
    for customer in sorted(set(contacts["customer_id"]) | set(orders["customer_id"])):
        bought = sorted(
            (day(row.time), place)
            for place, row in enumerate(orders.itertuples())
            if row.customer_id == customer
        )
        made = [
            (day(row.time), place, row.channel)
            for place, row in enumerate(contacts.itertuples())
            if row.customer_id == customer and not row.held_out
        ]
        running = []
        for time, _, channel in sorted(made):
            due = [(when, place) for when, place in bought if when > time]
            upcoming = due[0] if due else None
            if upcoming is not None and upcoming[0] - time <= window:
                by_order[upcoming[1]].append((time, channel))
                continue
            if running and running[-1][0] == upcoming and time - running[-1][1][-1][0] <= window:
                running[-1][1].append((time, channel))
            else:
                running.append((upcoming, [(time, channel)]))
        for _, path in running:
            (lost if path[-1][0] + window <= end else left_open).append(path)
    return by_order, lost, left_open


def plain_credit(won, lost, rule, position=(0.4, 0.4), half_life=7.0):
    """Return credit by channel of paths: ``won`` pairs of touches and value, ``lost`` touches."""
    credit = Counter()
    if rule in ("markov", "markov per path"):
        effects = removal_effects([path for path, _ in won], lost)
        total = sum(value for _, value in won)
        for channel, effect in effects.items():
            if rule == "markov" and effect:
                credit[channel] = effect / sum(effects.values()) * total
    if rule == "shapley rate":
        return exact_set_games(won, lost)
    for path, value in won:
        names = [channel for _, channel in path]
        n = len(names)
        if rule == "first":
            credit[names[0]] += value
        elif rule == "last":
            credit[names[-1]] += value
        elif rule == "linear":
            for name in names:
                credit[name] += value / n
        elif rule == "time decay":
            weights = [0.5 ** (float(path[-1][0] - time) / half_life) for time, _ in path]
            for name, weight in zip(names, weights, strict=True):
                credit[name] += float(value) * weight / sum(weights)
        elif rule == "position":
            first, last = map(Fraction, position)
            for place, name in enumerate(names):
                if n == 1:
                    credit[name] += value
                elif n == 2:
                    credit[name] += value * (first, last)[place] / (first + last)
                elif place in (0, n - 1):
                    credit[name] += value * (last if place else first)
                else:
                    credit[name] += value * (1 - first - last) / (n - 2)
        elif rule == "markov per path":
            total = sum(effects[name] for name in names)
            for name in names:
                credit[name] += value * effects[name] / total
    if rule == "shapley":
        sets = Counter()
        for path, value in won:
            sets[frozenset(channel for _, channel in path)] += value
        everyone = sorted(set().union(*sets)) if sets else []

        def worth(coalition):
            return sum((v for members, v in sets.items() if members <= coalition), Fraction(0))

        credit = by_permutations(everyone, worth)
    return credit


def by_permutations(players, worth):
    """Return the Shapley value: what a player adds, over all orders in which they may come."""
    credit = Counter()
    orders = list(permutations(players))
    for order in orders:
        for place, player in enumerate(order):
            gain = worth(frozenset(order[: place + 1])) - worth(frozenset(order[:place]))
            credit[player] += gain / Fraction(len(orders))
    return credit


def exact_set_games(won, lost):
    """Return the Shapley values of the rates of exact sets, game by game."""
    often, ended, value = Counter(), Counter(), Counter()
    for path, amount in won:
        members = frozenset(channel for _, channel in path)
        often[members] += 1
        ended[members] += 1
        value[members] += amount
    for path in lost:
        ended[frozenset(channel for _, channel in path)] += 1

    def rate(coalition):
        return Fraction(often[coalition], ended[coalition]) if ended[coalition] else Fraction(0)

    credit = Counter()
    for members in often:
        for channel, share in by_permutations(sorted(members), rate).items():
            credit[channel] += share / rate(members) * value[members]
    return credit


def removal_effects(won, lost):
    """Return removal effects by solving the chain again without each channel."""
    steps, channels = Counter(), set()
    for paths, end in ((won, "won"), (lost, "lost")):
        for path in paths:
            names = [channel for _, channel in path]
            channels |= set(names)
            for step in pairwise(["start", *names, end]):
                steps[step] += 1
    states = ["start", *sorted(channels)]
    whole = conversion(states, steps, None)
    return {
        channel: 1 - conversion(states, steps, channel) / whole if whole else Fraction(0)
        for channel in sorted(channels)
    }


def conversion(states, steps, removed):
    """Return the probability of conversion where the row of ``removed`` is sent to loss."""
    n = len(states)
    # x = Q x + r, by Gauss and Jordan.
    rows = []
    for place, state in enumerate(states):
        out = sum(often for (origin, _), often in steps.items() if origin == state)
        row = [Fraction(int(place == other)) for other in range(n)] + [Fraction(0)]
        if state != removed and out:
            for other, name in enumerate(states):
                row[other] -= Fraction(steps[state, name], out)
            row[n] = Fraction(steps[state, "won"], out)
        rows.append(row)
    for pivot in range(n):
        best = next(row for row in range(pivot, n) if rows[row][pivot] != 0)
        rows[pivot], rows[best] = rows[best], rows[pivot]
        rows[pivot] = [cell / rows[pivot][pivot] for cell in rows[pivot]]
        for other in range(n):
            if other != pivot and rows[other][pivot]:
                factor = rows[other][pivot]
                rows[other] = [
                    a - factor * b for a, b in zip(rows[other], rows[pivot], strict=True)
                ]
    return rows[0][n]
