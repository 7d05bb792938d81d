"""From effects and losses by number of recent contacts to the number that is best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import BoolArray, FloatArray
from touchpoint_lib.touchpoints._pressure_curve import (
    MOST,
    best_number,
    fit_decline,
    fit_leaving,
    value_rows,
)
from touchpoint_lib.touchpoints._pressure_effects import Drawn, as_lots, supported
from touchpoint_lib.touchpoints._pressure_log import ALL, PressureLog

_CURVE = (
    *("channel", "n", "effect", "cost", "unsubscribe", "value", "low", "high"),
    *("cumulative", "cumulative_low", "cumulative_high"),
)
_CAPS = ("channel", "counted", "verdict", "reason", "cap", "cap_low", "cap_high")
_FIGURES = ("first", "first_low", "first_high", "best", "best_low", "best_high")


@dataclass(frozen=True, eq=False)
class Caps:
    """The curve and the cap of every channel and of all that count; kappa with its interval."""

    curve: pd.DataFrame
    caps: pd.DataFrame
    kappa: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class _Mix:
    """A channel, or several in a mix: shares of the channels, and which lots tell of it."""

    name: Any
    counted: bool
    reason: str
    share: FloatArray
    lots: BoolArray


def find_caps(
    log: PressureLog,
    drawn: Drawn,
    margin: str,
    classes: int,
    unsubscribe_cost: float,
    *,
    tail: float,
    generator: np.random.Generator,
) -> Caps:
    """Return curves and caps; those without lots are named with the reason."""
    many = len(log.channels)
    made = log.frame[log.frame["made"]]
    size = np.bincount(made["channel"], minlength=many).astype(np.float64)
    counted = np.isin(np.arange(many), log.pressing)
    share = size * counted * [not reason for reason in drawn.reasons]
    mixes = [
        _Mix(name, bool(counted[code]), drawn.reasons[code], np.eye(many)[code], _of(drawn, [code]))
        for code, name in enumerate(log.channels)
    ]
    total = float(share.sum())
    mixes.append(
        _Mix(
            ALL,
            True,
            "" if total > 0 else _why(drawn.reasons, counted),
            share / max(total, 1.0),
            _of(drawn, np.flatnonzero(share)),
        )
    )
    if not len(drawn.data):
        rows = [_unknown(mix, mix.reason) for mix in mixes]
        return Caps(pd.DataFrame(columns=pd.Index(_CURVE)), _frame(rows), (np.nan,) * 3)
    lots = as_lots(drawn, margin, classes)
    n = np.arange(int(lots.n.max()) + 1)
    decline = fit_decline(lots, many, generator)
    effect, leaves = decline.at(n), _leaving(made, many, n, generator)
    paid = np.bincount(made["channel"], weights=made["cost"], minlength=many)
    cost = np.divide(paid, size, out=np.zeros(many), where=size > 0)
    rows, curves = [], []
    for mix in mixes:
        top = supported(lots.n[mix.lots], lots.made[mix.lots]) + 1
        if mix.reason or top == 0:
            rows.append(_unknown(mix, mix.reason or "hardly anybody without a recent contact"))
            continue
        adds = np.einsum("dcn,c->dn", effect[:, :, :top], mix.share)
        leave = np.einsum("dcn,c->dn", leaves[:, :, :top], mix.share)
        value = adds - float(cost @ mix.share)
        if "unsubscribed" in made.columns:
            value = value - leave * unsubscribe_cost
        curve = value_rows(n[:top], value, tail).assign(
            channel=mix.name, effect=adds[0], cost=float(cost @ mix.share), unsubscribe=leave[0]
        )
        curves.append(curve[list(_CURVE)])
        rows.append(_known(mix, curve, value, tail))
    curve = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=_CURVE)
    kappa = (np.nan,) * 3
    if decline.falls:
        low, high = np.quantile(decline.kappa[1:], [tail, 1 - tail])
        kappa = (float(decline.kappa[0]), float(low), float(high))
    return Caps(curve, _frame(rows), kappa)


def _why(reasons: list[str], counted: BoolArray) -> str:
    """Return why nothing is known of all channels that count: the reason that they share."""
    shared = {reason for reason, counts in zip(reasons, counted, strict=True) if counts}
    if len(shared) == 1 and "" not in shared:
        return shared.pop()
    return "no channel that counts is identified"


def _of(drawn: Drawn, codes: Any) -> BoolArray:
    """Return which opportunities with lots are of the channels."""
    return np.isin(drawn.data["channel"].to_numpy(), codes)


def _leaving(made: pd.DataFrame, many: int, n: Any, generator: np.random.Generator) -> FloatArray:
    """Return the probabilities to unsubscribe as the effects; NaN where nothing tells of it."""
    if "unsubscribed" not in made.columns:
        return np.full((1, many, len(n)), np.nan)
    recent = np.minimum(made["n"], MOST)
    top = int(recent.max()) + 1
    place = made["channel"] * top + recent
    left = np.bincount(place, weights=made["unsubscribed"], minlength=many * top).astype(np.float64)
    contacts = np.bincount(place, minlength=many * top).astype(np.float64)
    shape = (many, top)
    return fit_leaving(left.reshape(shape), contacts.reshape(shape), generator).at(n)


def _known(mix: _Mix, curve: pd.DataFrame, value: FloatArray, tail: float) -> dict[str, Any]:
    """Return the cap of a channel or mix; ``value`` has the estimate first, then the draws."""
    best = best_number(value)
    cap = int(best[0])
    low = int(np.quantile(best[1:], tail, method="lower"))
    high = int(np.quantile(best[1:], 1 - tail, method="higher"))
    first = curve.iloc[0]
    if cap == 0:
        verdict = "stop" if first["high"] < 0 else "not proven"
    elif (curve["low"] > 0).any():
        verdict = "no limit seen" if cap == len(curve) else "limit"
    else:
        verdict = "not proven"
    sums = ["cumulative", "cumulative_low", "cumulative_high"]
    worth = curve.iloc[cap - 1][sums].to_list() if cap else [0.0, 0.0, 0.0]
    figures = [first["value"], first["low"], first["high"], *worth]
    row = [mix.name, mix.counted, verdict, "", cap, low, high, *figures]
    return dict(zip((*_CAPS, *_FIGURES), row, strict=True))


def _unknown(mix: _Mix, reason: str) -> dict[str, Any]:
    """Return the row of a channel or mix of which nothing is known."""
    row = [mix.name, mix.counted, "not identified", reason, pd.NA, pd.NA, pd.NA]
    return dict(zip((*_CAPS, *_FIGURES), [*row, *[np.nan] * len(_FIGURES)], strict=True))


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as the frame of caps."""
    table = pd.DataFrame(rows, columns=pd.Index((*_CAPS, *_FIGURES)))
    numbers = dict.fromkeys(("cap", "cap_low", "cap_high"), "Int64")
    return table.astype(numbers | dict.fromkeys(_FIGURES, "float64"))
