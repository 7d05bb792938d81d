"""Who the customers are: RFM scores, value segments and sleep states."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    UNIT_DAYS,
    FloatArray,
    check_columns,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.data.days import EPOCH, FIRST_DAY, to_day
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.lifetime._rows import Rows, check_rows, customer_frame
from touchpoint_lib.lifetime.beta_geo import BetaGeoModel, ModifiedBetaGeoModel
from touchpoint_lib.metrics._shared import quantile_cuts, wilson_interval

#: Names of the sleep states, from the customer who is in the cycle to the one long silent.
SLEEP_STATES = ("awake", "drowsy", "half asleep", "asleep")
#: Names of the value segments.
VALUE_SEGMENTS = ("core", "potential", "mass", "promotion-driven")


def rfm_scores(
    customers: Any,
    bins: int = 5,
    *,
    recency_cuts: Sequence[float] | None = None,
    frequency_cuts: Sequence[float] | None = None,
    monetary_cuts: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Return recency, frequency and monetary scores from 1 (worst) upwards.

    Parameters
    ----------
    customers : DataFrame or CustomerBase
        With frequency, recency, T and monetary_value.
    bins : int
        Number of quantile classes where no cuts are given. Ties stay together, so a column
        where many customers share a value has fewer classes and a lower highest score.
    recency_cuts, frequency_cuts, monetary_cuts : sequence of float, optional
        Rising cut points by hand: a value at or above the k-th cut is in class k + 1 of the
        column. Recency is cut on the silence T - recency, so its score falls with it.

    Returns
    -------
    DataFrame
        silence (T - recency, in the unit), frequency, monetary_value, recency_score,
        frequency_score, monetary_score and rfm (the three scores, such as "5-1-3");
        ``attrs["cuts"]`` holds the cut points.

    Raises
    ------
    InputError
        If a column or value is missing, or cuts do not rise.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> scores = tp.rfm_scores(tp.rfm_summary(tp.load_cdnow(sample=True)))
    >>> scores["recency_score"].between(1, 5).all()
    np.True_
    """
    frame = customer_frame(customers)
    rows = check_rows(frame)
    check_columns(frame, ["monetary_value"], "customers")
    money = check_values("monetary_value", frame["monetary_value"], index=frame.index)
    classes = check_integer("bins", bins, ge=2)
    silence = _silence(rows)
    result = pd.DataFrame(
        {"silence": silence, "frequency": rows.frequency.astype(np.int64), "monetary_value": money},
        index=frame.index,
    )
    cuts = {
        "recency": _cuts("recency_cuts", silence, recency_cuts, classes),
        "frequency": _cuts("frequency_cuts", rows.frequency, frequency_cuts, classes),
        "monetary": _cuts("monetary_cuts", money, monetary_cuts, classes),
    }
    low_is_good = len(cuts["recency"]) + 1
    result["recency_score"] = low_is_good - np.searchsorted(cuts["recency"], silence, side="right")
    result["frequency_score"] = 1 + np.searchsorted(cuts["frequency"], rows.frequency, side="right")
    result["monetary_score"] = 1 + np.searchsorted(cuts["monetary"], money, side="right")
    recency, frequency, monetary = (
        result[f"{name}_score"].astype("str") for name in ("recency", "frequency", "monetary")
    )
    result["rfm"] = recency + "-" + frequency + "-" + monetary
    result.attrs = {**frame.attrs, "cuts": {name: cut.tolist() for name, cut in cuts.items()}}
    return result


def value_segments(
    value: pd.Series,
    discount_share: pd.Series | None = None,
    *,
    core: float = 0.5,
    potential: float = 0.8,
    promotion: float = 0.5,
) -> pd.DataFrame:
    """Return the value segment of each customer, by expected residual value.

    The rules, in this order:

    1. *promotion-driven* (促销型): at least ``promotion`` of the customer's purchase days were
       discounted (only with ``discount_share``);
    2. *core* (核心): of the rest, ranked by value, the smallest group that holds ``core`` of it;
    3. *potential* (潜力): the next, up to ``potential`` of the value;
    4. *mass* (大众): everybody else.

    Equal values fall in the same segment, the better one.

    Parameters
    ----------
    value : Series
        Expected residual value of each customer, >= 0, such as `customer_lifetime_value`.
    discount_share : Series, optional
        Share of purchase days that were discounted, in [0, 1], on the same index: the column
        that `rfm_summary` adds with ``discount=``.
    core, potential : float
        Shares of the summed value, 0 < core < potential < 1.
    promotion : float
        Share of discounted purchase days, in (0, 1].

    Returns
    -------
    DataFrame
        value and segment (an ordered category), on the index of ``value``.

    Raises
    ------
    InputError
        If a value is missing, infinite or negative, all are 0, or shares are out of order.

    See Also
    --------
    segment_outcomes : what the segments did in the holdout.

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> value = pd.Series([60.0, 25, 10, 5], index=["a", "b", "c", "d"])
    >>> tp.value_segments(value)["segment"].to_dict()
    {'a': 'core', 'b': 'potential', 'c': 'mass', 'd': 'mass'}
    """
    if not isinstance(value, pd.Series):
        raise fail(f"value is a {type(value).__name__}", "pass a Series with a row a customer")
    worth = check_values("value", value, ge=0, index=value.index)
    upper = check_number("potential", potential, gt=0, lt=1)
    lower = check_number("core", core, gt=0, lt=upper)
    dependent = np.zeros(len(worth), dtype=bool)
    if discount_share is not None:
        if not isinstance(discount_share, pd.Series) or not discount_share.index.equals(
            value.index
        ):
            raise fail(
                "discount_share is not a Series on the index of value",
                "pass discount_share.reindex(value.index)",
            )
        share = check_values("discount_share", discount_share, ge=0, le=1, index=value.index)
        dependent = share >= check_number("promotion", promotion, gt=0, le=1)
    others = np.flatnonzero(~dependent)
    if len(worth) == 0:
        raise fail("value is empty", "pass at least one customer")
    if len(others) == 0:
        raise fail(
            f"all {len(worth):,} customers are promotion-driven (promotion is {promotion:g})",
            "raise promotion, or leave discount_share out",
        )
    if worth[others].sum() == 0:
        raise fail("value is 0 for every customer to be ranked", "check the model and the margin")
    order = others[np.argsort(-worth[others], kind="stable")]
    ranked = worth[order]
    before = np.concatenate(([0.0], np.cumsum(ranked)[:-1])) / ranked.sum()
    # Rounding of the sums must not carry a customer across a share that is met exactly.
    before = before.round(12)
    # Of equal values the first decides, so ties are never torn apart.
    before = before[np.searchsorted(-ranked, -ranked, side="left")]
    code = np.full(len(worth), VALUE_SEGMENTS.index("promotion-driven"))
    code[order] = np.where(before < lower, 0, np.where(before < upper, 1, 2))
    segment = pd.Categorical.from_codes(code, pd.Index(VALUE_SEGMENTS), ordered=True)
    return pd.DataFrame({"value": worth, "segment": segment}, index=value.index)


def segment_outcomes(
    segments: pd.DataFrame,
    split: pd.DataFrame,
    expected_purchases: pd.Series | None = None,
    by: pd.Series | None = None,
) -> pd.DataFrame:
    """Return what each segment did in the holdout, beside what was expected of it.

    Parameters
    ----------
    segments : DataFrame
        With ``segment`` and, for value segments, ``value``: from `value_segments` (``segment``)
        or `sleep_states` (``state``, which is taken where there are both), made on the
        calibration part.
    split : DataFrame
        From `rfm_split`, on the same customers.
    expected_purchases : Series, optional
        Expected purchases over the holdout, on the same index.
    by : Series, optional
        Classes within which to compare, such as `purchase_classes`, on the same index; the
        result then has a row a class and segment. Sleep states are lines of each customer's
        own, so they order customers within a class, not across classes.

    Returns
    -------
    DataFrame
        A row a segment that has customers: n, customer_share, value_share (of expected value,
        where ``segments`` has it), holdout_amount_share with _low and _high (95%, delta method
        over customers), holdout_amount_mean, holdout_frequency_mean, expected_frequency_mean
        (where given), buyer_rate with buyer_low and buyer_high (95% Wilson): the share that
        bought in the holdout.

    Raises
    ------
    InputError
        If columns or classes are missing, indexes differ, or nothing was spent in the holdout.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> model = tp.ModifiedBetaGeoModel().fit(split)
    >>> states = tp.sleep_states(model, split)
    >>> outcomes = tp.segment_outcomes(states, split, by=tp.purchase_classes(split))
    >>> outcomes.loc["5+", "buyer_rate"].round(2).to_dict()
    {'awake': 0.87, 'drowsy': 0.7, 'half asleep': 0.56, 'asleep': 0.61}
    """
    check_columns(split, ("holdout_frequency", "holdout_amount"), "split")
    check_columns(segments, (), "segments")
    column = "state" if "state" in segments.columns else "segment"
    check_columns(segments, [column], "segments")
    for name, other in (
        ("split", split),
        ("expected_purchases", expected_purchases),
        ("by", by),
    ):
        if other is None:
            continue
        if not isinstance(other, pd.Series | pd.DataFrame):
            raise fail(f"{name} is a {type(other).__name__}", "pass it with the customers' index")
        if not other.index.equals(segments.index):
            raise fail(
                f"segments and {name} have different indexes",
                "make both from the same rfm_split frame",
            )
    data = pd.DataFrame(
        {
            "segment": segments[column],
            "frequency": split["holdout_frequency"],
            "amount": split["holdout_amount"],
            "buys": split["holdout_frequency"] > 0,
        }
    )
    keys = ["segment"]
    if by is not None:
        data.insert(0, "class", by)
        keys = ["class", "segment"]
    missing = int(data[keys].isna().any(axis=1).sum())
    if missing:
        raise fail(
            f"{missing:,} of {len(data):,} customers have no {' or '.join(keys)}",
            "give every customer one, or leave these customers out of all frames",
        )
    if "value" in segments.columns:
        data["value"] = segments["value"]
    if expected_purchases is not None:
        data["expected"] = expected_purchases
    groups = data.groupby(keys, observed=True)
    n = groups.size()
    result = pd.DataFrame({"n": n, "customer_share": n / n.sum()})
    if "value" in data.columns:
        result["value_share"] = groups["value"].sum() / data["value"].sum()
    spent = float(data["amount"].sum())
    if spent == 0:
        raise fail("split has no spend in the holdout", "choose an earlier split or a later until")
    share = groups["amount"].sum() / spent
    result["holdout_amount_share"] = share
    # Delta method for a ratio of sums over customers: residuals (1{in} - share) x amount.
    square = groups["amount"].agg(lambda amounts: float((amounts**2).sum()))
    total_square = float((data["amount"] ** 2).sum())
    variance = ((1 - 2 * share) * square + share**2 * total_square) / spent**2
    # Rounding may leave it just below 0 where one segment spent everything.
    half = 1.959963984540054 * np.sqrt(variance.clip(lower=0))
    result["holdout_amount_share_low"] = (share - half).clip(lower=0)
    result["holdout_amount_share_high"] = (share + half).clip(upper=1)
    result["holdout_amount_mean"] = groups["amount"].mean()
    result["holdout_frequency_mean"] = groups["frequency"].mean()
    if expected_purchases is not None:
        result["expected_frequency_mean"] = groups["expected"].mean()
    result["buyer_rate"] = groups["buys"].mean()
    low, high = wilson_interval(groups["buys"].sum().to_numpy(), n.to_numpy(), 0.95)
    result["buyer_low"], result["buyer_high"] = low, high
    return result


def purchase_classes(customers: Any) -> pd.Series:
    """Return the class of each customer by number of purchase days: 1, 2, 3-4, 5+.

    Parameters
    ----------
    customers : DataFrame or CustomerBase
        With frequency, recency and T.

    Returns
    -------
    Series
        An ordered category on the customers' index.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.purchase_classes(tp.rfm_summary(tp.load_cdnow(sample=True))).value_counts(sort=False)
    purchases
    1      1218
    2       403
    3-4     358
    5+      378
    Name: count, dtype: int64
    """
    frame = customer_frame(customers)
    code = np.searchsorted([1, 2, 4], check_rows(frame).frequency, side="right")
    classes = pd.Categorical.from_codes(code, pd.Index(["1", "2", "3-4", "5+"]), ordered=True)
    return pd.Series(classes, index=frame.index, name="purchases")


def sleep_states(
    model: PurchaseModel, customers: Any, lines: Sequence[float] = (0.8, 0.5, 0.2)
) -> pd.DataFrame:
    """Return how far each customer's silence has taken them: awake to asleep.

    P(alive) starts below one on the day of a purchase and falls with silence, quickly for
    frequent buyers and slowly for rare ones. The lines are levels of P(alive) relative to that
    day: above the first a customer is *awake* (in the normal cycle: care only), then *drowsy*
    (瞌睡, the warning line), *half asleep* (半睡) and *asleep* (沉睡). So each customer has
    lines in days of their own, and no fixed number of days is involved.

    Parameters
    ----------
    model : PurchaseModel
        Fitted. BG/NBD is refused: it holds one-time customers alive for ever.
    customers : DataFrame or CustomerBase
        With frequency, recency and T.
    lines : sequence of three floats
        Falling, in (0, 1).

    Returns
    -------
    DataFrame
        On the customers' index: state (an ordered category), silence (T - recency), relative
        (P(alive) now / on the day of the last purchase), and drowsy_after, half_asleep_after,
        asleep_after: the silence at which each line is crossed, in the unit.

        Where ``customers.attrs`` tells the last day of observation, as `rfm_summary` and
        `rfm_split` do (of a split it is the day ``split``), also drowsy_on, half_asleep_on and
        asleep_on (datetime64): the first day on which the customer, if silent until then, has
        crossed the line. NaT where that is never or after the year 9999. The unit must be days
        or weeks, known from ``attrs`` or the model; else these columns are left out.

    Raises
    ------
    InputError
        If the model is a BG/NBD, the lines do not fall within (0, 1), or a T reaches back before
        the year 1.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> states = tp.sleep_states(tp.ModifiedBetaGeoModel().fit(split), split)
    >>> states["state"].value_counts(sort=False).to_dict()
    {'awake': 374, 'drowsy': 1646, 'half asleep': 272, 'asleep': 65}
    >>> states.loc["00004", ["silence", "drowsy_after"]].astype(float).round(1).to_dict()
    {'silence': 8.4, 'drowsy_after': 14.0}
    >>> str(states.loc["00004", "drowsy_on"].date())
    '1997-11-08'
    """
    frame = customer_frame(customers)
    rows = check_rows(frame)
    silence = _silence(rows)
    gaps, at_purchase = silence_lines(model, frame, lines)
    relative = model.probability_alive(frame).to_numpy() / at_purchase
    result = pd.DataFrame({"silence": silence, "relative": relative}, index=frame.index)
    names = ("drowsy_after", "half_asleep_after", "asleep_after")
    result[list(names)] = gaps
    passed = silence[:, None] >= result[list(names)].to_numpy()
    result.insert(
        0,
        "state",
        pd.Series(
            pd.Categorical.from_codes(passed.sum(axis=1), pd.Index(SLEEP_STATES), ordered=True),
            index=frame.index,
        ),
    )
    observed = last_day(frame, rows, model)
    if observed is not None:
        for name in names:
            on = name.replace("_after", "_on")
            result[on] = _crossing_day(rows, result[name].to_numpy(), *observed)
    return result


def silence_lines(
    model: PurchaseModel, frame: pd.DataFrame, lines: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """Return the silence at which each line of `sleep_states` is crossed, and P(alive) before it.

    Parameters
    ----------
    model, lines
        As for `sleep_states`.
    frame : DataFrame
        With frequency and recency, a row a customer or a purchase.

    Returns
    -------
    array, shape (n, 3); array, shape (n,)
        In the model's unit, 0 where P(alive) starts below the line; and P(alive) on the day of the
        purchase.

    Raises
    ------
    InputError
        If the model is a BG/NBD, or the lines do not fall within (0, 1).
    """
    if isinstance(model, BetaGeoModel) and not isinstance(model, ModifiedBetaGeoModel):
        raise fail(
            "model is a BetaGeoModel, which holds one-time customers alive for ever",
            "use ModifiedBetaGeoModel",
        )
    if not isinstance(model, PurchaseModel):
        raise fail(f"model is a {type(model).__name__}", "pass a fitted ModifiedBetaGeoModel")
    levels = _lines(lines)
    on_the_day = frame.assign(T=frame["recency"])
    at_purchase = model.probability_alive(on_the_day).to_numpy()
    gaps = [model.dormancy_gap(on_the_day, alive=level * at_purchase) for level in levels]
    return np.column_stack(gaps), at_purchase


def _silence(rows: Rows, ahead: float | FloatArray = 0.0) -> FloatArray:
    """Return the time since the last purchase, if none comes until ``ahead`` from now."""
    # Differences of sevenths vary in the last digit; equal silences must stay ties.
    silence: FloatArray = (rows.T - rows.recency + ahead).round(9)
    return silence


def last_day(frame: pd.DataFrame, rows: Rows, model: PurchaseModel) -> tuple[int, float] | None:
    """Return the number of the last day of observation and the days in a unit, where known."""
    name = "split" if "split" in frame.attrs else "until"
    unit = frame.attrs.get("unit", model.unit_)
    if name not in frame.attrs or unit not in UNIT_DAYS:
        return None
    last, days = to_day(f"customers.attrs[{name!r}]", frame.attrs[name]), UNIT_DAYS[unit]
    longest = (last - FIRST_DAY) / days
    older = np.greater(rows.T, longest)
    if older.any():
        first = int(np.argmax(older))
        raise fail(
            f"T is {rows.T[first]:g} at index {frame.index[first]!r}, but {name} is "
            f"{frame.attrs[name]}: the first purchase lies before the year 1",
            f'check T, its unit "{unit}" and the attrs of customers',
        )
    return last, days


def _crossing_day(rows: Rows, line: FloatArray, last: int, days: float) -> Any:
    """Return the first day on which silence has reached ``line``; NaT where Python has no date.

    ``last`` is the number of the last day of observation, ``days`` the days in a unit.
    """
    limit = (date.max - EPOCH).days - last
    with np.errstate(over="ignore"):
        wait = np.ceil((line - (rows.T - rows.recency)) * days)
    # A day after the last one stands for all that are later, or never.
    wait = np.minimum(wait, limit + 1.0)
    # Rounding must not shift a line by a day: on each day the state of that day decides.
    wait += _silence(rows, wait / days) < line
    wait -= _silence(rows, (wait - 1) / days) >= line
    day = (wait + last).astype(np.int64).astype("datetime64[D]").astype("datetime64[s]")
    day[wait > limit] = np.datetime64("NaT")
    return day


def _lines(lines: Sequence[float]) -> FloatArray:
    levels = np.atleast_1d(check_values("lines", lines, gt=0))
    if levels.shape != (3,) or levels[0] >= 1 or not (np.diff(levels) < 0).all():
        raise fail(
            f"lines are {', '.join(f'{level:g}' for level in levels)}",
            "they must be three falling numbers in (0, 1), such as (0.8, 0.5, 0.2)",
        )
    return levels


def _cuts(name: str, values: FloatArray, given: Sequence[float] | None, bins: int) -> FloatArray:
    """Return rising cut points: those given, or quantiles."""
    if given is None:
        return quantile_cuts(values, bins)
    cuts = check_values(name, given)
    if cuts.ndim != 1 or cuts.size == 0 or not (np.diff(cuts) > 0).all():
        raise fail(f"{name} is {given}", "cut points must rise: pass a list such as [1, 3, 5]")
    return cuts
