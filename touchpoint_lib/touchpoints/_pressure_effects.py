"""What the random holdout says of one more contact, by channel and number of recent ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.campaigns.effects import evaluate_campaign
from touchpoint_lib.campaigns.outcomes import contact_outcomes
from touchpoint_lib.touchpoints._pressure_curve import MOST, Lots
from touchpoint_lib.touchpoints._pressure_log import PressureLog
from touchpoint_lib.touchpoints._pressure_rates import class_labels

#: Customers that either arm of a campaign has at least: with fewer, errors are not known.
_LEAST = 20
_FIGURES = ["effect", "ci_low", "ci_high"]
_COUNTS = ("n_contacted", "n_held_out")
_SAME = "orders or margins in the window are the same for all, contacted or not"
_EFFECTS = ("orders", "orders_low", "orders_high", "margin", "margin_low", "margin_high")


@dataclass(frozen=True, eq=False)
class Drawn:
    """Opportunities for which lots were drawn, with outcomes; a reason a channel without.

    ``data`` is what `contact_outcomes` returns, with channel, campaign and n.
    """

    data: pd.DataFrame
    reasons: list[str]
    left_out: dict[str, int]


def drawn_lots(log: PressureLog, window: float, margin: str) -> Drawn:
    """Return what followed the opportunities of campaigns that held customers out at random."""
    frame = log.frame
    usable = frame["followed"] & ~frame["new"]
    rows = frame[usable]
    # A channel's own contacts and each of its campaigns drew their own lots.
    stratum = rows.groupby(["channel", "campaign"]).ngroup().to_numpy()
    size = int(stratum.max(initial=-1)) + 1
    enough = np.ones(size, dtype=np.bool_)
    for arm in (True, False):
        mine = (rows["made"] == arm).to_numpy()
        pairs = pd.DataFrame({"s": stratum[mine], "c": rows["customer_id"].to_numpy()[mine]})
        enough &= np.bincount(pairs.drop_duplicates()["s"], minlength=size) >= _LEAST
    kept = enough[stratum]
    lots = rows[kept].assign(held_out=~rows["made"][kept])
    reasons = []
    for code in range(len(log.channels)):
        all_of = frame["made"][frame["channel"] == code]
        if (lots["channel"] == code).any():
            reasons.append("")
        elif all_of.empty:
            reasons.append("no opportunity behind the first days of the log")
        elif all_of.all():
            reasons.append("nobody was held out at random")
        elif not all_of.any():
            reasons.append("nobody was contacted")
        else:
            reasons.append(
                f"no campaign has {_LEAST} customers contacted and {_LEAST} held out whose "
                "window is over"
            )
    data, still = lots, 0
    if len(lots):
        data = contact_outcomes(
            lots,
            log.paid,
            window=window,
            amounts=[margin],
            until=log.known_to,
            keep=["channel", "campaign", "n"],
        )
        # Outcomes that are all the same have no error, and tell nothing.
        earned = data.groupby("channel")[margin]
        varies = earned.max() > earned.min()
        for code in varies.index[~varies]:
            reasons[code] = "the margin in the window is the same for all, contacted or not"
        told = data["channel"].map(varies).to_numpy(dtype=np.bool_)
        still = int((~told).sum())
        data = data[told]
    left_out = {
        "window not over": int((~frame["followed"]).sum()),
        "no order before": int((frame["followed"] & frame["new"]).sum()),
        "no lots drawn": int((~kept).sum()),
        "no outcome": still,
    }
    return Drawn(data, reasons, left_out)


def as_lots(drawn: Drawn, margin: str, classes: int) -> Lots:
    """Return the opportunities as numbers, with what is known of the customer before."""
    data = drawn.data
    silence, age, before, earned = (
        data[name].to_numpy(dtype=np.float64)
        for name in ("silence", "age", "orders_before", f"{margin}_before")
    )
    # The first orders of a customer must not make a rate of hundreds a year.
    rate, each = before / (age + 30.0), earned / before
    covariates = np.column_stack(
        [np.log1p(silence), np.log1p(age), np.log(before), rate, rate * silence, each, rate * each]
    )
    n = data["n"].to_numpy()
    groups = [data["channel"], data["campaign"], np.minimum(n, classes)]
    return Lots(
        channel=data["channel"].to_numpy(),
        n=np.minimum(n, MOST),
        cell=data.groupby(groups).ngroup().to_numpy().astype(np.int64),
        made=np.asarray(data["arm"] == "contacted", dtype=np.float64),
        customer=pd.factorize(data["customer_id"])[0].astype(np.int64),
        outcome=data[margin].to_numpy(dtype=np.float64),
        covariates=covariates,
    )


def effects_table(
    log: PressureLog, drawn: Drawn, margin: str, classes: int, level: float
) -> pd.DataFrame:
    """Return the effects in the classes, contacted less held out, a row a channel and class."""
    labels = class_labels(classes)
    tables = []
    for code, channel in enumerate(log.channels):
        table = pd.DataFrame({"channel": channel, "recent": labels})
        found = pd.DataFrame()
        if not drawn.reasons[code]:
            found = _class_effects(
                drawn.data[drawn.data["channel"] == code], margin, classes, level
            )
        counts = found.reindex(index=labels, columns=list(_COUNTS))
        table[list(_COUNTS)] = counts.fillna(0).astype(np.int64).to_numpy()
        figures = found.reindex(index=labels, columns=list(_EFFECTS))
        table[list(_EFFECTS)] = figures.to_numpy(dtype=np.float64)
        lacking = drawn.reasons[code] or f"an arm has less than {_LEAST}"
        # Outcomes that are all the same have a difference of 0, and no error.
        told = np.where(table[list(_EFFECTS)].isna().any(axis=1), _SAME, "")
        table["reason"] = np.where(table["margin"].isna(), lacking, told)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _class_effects(data: pd.DataFrame, margin: str, classes: int, level: float) -> pd.DataFrame:
    """Return the effects in the classes of one channel, by their labels."""
    labels = class_labels(classes)
    recent = np.minimum(data["n"].to_numpy(), classes)
    cell = data.groupby(["campaign", recent]).ngroup().to_numpy()
    contacted = (data["arm"] == "contacted").to_numpy()
    size = np.bincount(cell * 2 + contacted, minlength=2 * (int(cell.max()) + 1)).reshape(-1, 2)
    # Where an arm is all but empty there is nothing to compare with.
    kept = (size.min(axis=1) >= 2)[cell]
    total = np.bincount(recent[kept] * 2 + contacted[kept], minlength=2 * len(labels))
    kept &= (total.reshape(-1, 2).min(axis=1) >= _LEAST)[recent]
    table = pd.DataFrame(total.reshape(-1, 2)[:, ::-1], pd.Index(labels), list(_COUNTS))
    if not kept.any():
        return table
    code = recent[kept].astype(np.int64)
    rows = data[kept].assign(recent=pd.Categorical.from_codes(code, pd.Index(labels), ordered=True))
    campaigns = rows["campaign"].nunique()
    found = evaluate_campaign(
        rows,
        arm="arm",
        control="held out",
        outcomes={"orders": "orders", "margin": margin},
        method="stratified" if campaigns > 1 else "difference",
        covariates=["campaign"] if campaigns > 1 else None,
        segments="recent",
        cluster="customer_id",
        level=level,
    ).to_frame()
    found = found[found["segment_by"] != ""]
    for outcome, part in found.groupby("outcome"):
        by_class = part.set_index(part["segment"].astype(str))
        names = [str(outcome), f"{outcome}_low", f"{outcome}_high"]
        table[names] = by_class[_FIGURES].reindex(labels).to_numpy(dtype=np.float64)
    return table


def supported(n: IntArray, made: FloatArray) -> int:
    """Return up to how many recent contacts every number has enough of both arms; -1 for none."""
    top = int(n.max(initial=-1)) + 1
    least = np.minimum(
        np.bincount(n, weights=made, minlength=top),
        np.bincount(n, weights=1 - made, minlength=top),
    )
    short = np.flatnonzero(least < _LEAST)
    return int(short[0]) - 1 if short.size else top - 1
