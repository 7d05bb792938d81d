"""Deliveries that will bring a negative review (将投诉预警), flagged before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, diags_array, hstack
from scipy.special import ndtri

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    IntArray,
    check_integer,
    check_number,
    fail,
)
from touchpoint_lib.campaigns._data import as_names
from touchpoint_lib.campaigns._events import DAY as TICKS_A_DAY
from touchpoint_lib.campaigns._events import History, customer_codes, end_of
from touchpoint_lib.metrics.rates import prediction_rates
from touchpoint_lib.metrics.thresholds import choose_threshold
from touchpoint_lib.timing._columns import as_moment, check_labels
from touchpoint_lib.touchpoints._care_read import (
    DAY,
    check_frame,
    check_ids,
    check_times,
    hours_between,
    refuse,
    stars_of,
)

__all__ = ["ComplaintFlags", "complaint_flags"]

_FOLDS = 5
#: Negative reviews that give something to learn from.
_FEWEST = 20
_TIMES = ("promised_at", "delivered_at")
_FLAG = "flag"
#: Standard deviation of the normal prior of log-odds: of lateness, which is hardly shrunk, and of
#: anything else.
_LATE, _OTHER = 10.0, 0.5


@dataclass(frozen=True, eq=False)
class ComplaintFlags:
    """Which deliveries are flagged for a negative review, and how well that goes.

    Attributes
    ----------
    flags : DataFrame
        A row a judged delivery, in the order given, with its index: parcel_id, customer_id,
        delivered_at, hours_late (below 0: early), probability (of a negative review within
        ``review_days``), flag, late_flag (late by more than ``hours``) and negative_review.
    rates : DataFrame
        Index rule, "flag" and "late by more than ... hours": the columns of `prediction_rates`.
    difference : Series
        The flag less the baseline: error_rate and omission_rate, each with _low and _high. Below 0
        the flag is the better. The intervals allow for customers with several deliveries.
    open : DataFrame
        The deliveries younger than ``review_days`` at ``until`` that no negative review followed
        so far, the likeliest first: parcel_id, customer_id, delivered_at, hours_late, probability
        (as of the delivery) and flag. What is to be done now.
    terms : DataFrame
        Index term: log_odds and odds_ratio of the penalised logit.
    threshold : float
        Flagged from this probability on.
    split, until : Timestamp
    review_days, hours : float
    level : float
        As used.
    n_learned, n_learned_negative : int
        Deliveries learnt from, and those with a negative review.
    n_waiting : int
        Deliveries before ``split`` whose reviews were not known by then: not learnt from.
    n_judged : int
    n_undelivered : int
        Parcels not delivered by ``until``.
    """

    flags: pd.DataFrame
    rates: pd.DataFrame
    difference: pd.Series
    open: pd.DataFrame
    terms: pd.DataFrame
    threshold: float
    split: pd.Timestamp
    until: pd.Timestamp
    review_days: float
    hours: float
    level: float
    n_learned: int
    n_learned_negative: int
    n_waiting: int
    n_judged: int
    n_undelivered: int

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of ``flags``."""
        return self.flags.copy()

    def __repr__(self) -> str:
        rates = self.rates.loc[_FLAG]
        return (
            f"ComplaintFlags({self.n_judged:,} deliveries judged, {rates['n_actual']:,.0f} with a "
            f"negative review, {rates['n_flagged']:,.0f} flagged; error rate "
            f"{rates['error_rate']:.3f}, omission rate {rates['omission_rate']:.3f}; "
            f"{int(self.open['flag'].sum()):,} to flag now)"
        )

    def _repr_html_(self) -> str:
        tables = (self.rates, self.difference.to_frame("difference").T, self.terms)
        shown = (table.to_html(float_format=lambda value: f"{value:.3f}") for table in tables)
        return f"<p>{self!r}</p>" + "".join(shown)


def complaint_flags(
    parcels: pd.DataFrame,
    reviews: pd.DataFrame,
    *,
    split: Any,
    by: Sequence[str] = ("carrier", "province"),
    negative: int = 2,
    review_days: float = 14.0,
    hours: float = 0.0,
    max_error_rate: float | None = None,
    until: Any = None,
    level: float = 0.95,
) -> ComplaintFlags:
    """Return which deliveries to follow up before a negative review is written.

    What is foreseen is a negative review of the order within ``review_days`` of the delivery. Most
    customers never review, and many of the unhappy say nothing (a review written before the
    delivery is not foreseen, but known): a right flag is a review that
    came, and a wrong one may be a customer who was unhappy in silence. So error rates are high
    even where everything that can be known is known.

    A logit with a ridge penalty (so rare classes are shrunk towards the others) learns from what
    is known at the delivery: late or not, how late and how early, the classes ``by``, and the
    customer's earlier reviews. It learns from the deliveries
    whose ``review_days`` were over at ``split`` and is judged on those from ``split`` on whose
    ``review_days`` are over at ``until``.

    Parameters
    ----------
    parcels : DataFrame
        A row a parcel: parcel_id (unique), order_id, customer_id, promised_at, delivered_at
        (missing: on the way) and the columns ``by``.
    reviews : DataFrame
        A row a review: order_id, customer_id, time, rating.
    split : date or time
        Learn from what was known at it, judge deliveries from it on.
    by : sequence of str
        Columns of labels known at the delivery, such as carrier, province, or the product merged
        from the orders; never one that is filled later.
    negative : int
        Up to so many stars a review is negative, >= 1.
    review_days : float
        Days of 24 hours after the delivery, > 0.
    hours : float
        The baseline flags parcels late by more than so many hours.
    max_error_rate : float, optional
        The threshold is the one with the least omission rate at this error rate, by the
        deliveries learnt from, each scored by a model without its customer. By default the flag
        takes as many of them as the baseline does.
    until : date or time, optional
        End of observation of both logs (a date: to its end). By default the time of the last
        delivery or review.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    ComplaintFlags
        See there. A rate is NaN where nothing is flagged, or nothing to be found.

    Raises
    ------
    InputError
        If a column is missing or not of its kind, ids repeat, times are missing or of several
        zones, fewer than 20 negative reviews can be learnt from, the baseline flags nobody there,
        all deliveries learnt from brought one, their customers are too few for
        ``max_error_rate`` or no threshold reaches it, orders or customers have other ids in
        reviews than in parcels, or nothing is left to judge.

    Notes
    -----
    What classes and history add is an order among the late. In the simulated shop a late parcel
    is reviewed more often and worse, by how much it is late says nothing, and the product counts
    (clothes are reviewed badly, tea well). There the flag beats "late by more than 24 hours" at
    about the same number flagged: error rate 0.828 against 0.855, omission rate 0.763 against
    0.792 (150,000 customers; the difference of the error rates is -0.027, interval -0.033 to
    -0.020). It does not beat "late by more than 0 hours" (both 0.857): to be late is nearly all
    there is to know, and the flag is that rule. Without the product it beats neither.

    The flag and its threshold are those learnt by ``split`` in `ComplaintFlags.open` too: the
    rates are theirs. Terms of the logit have normal priors with a standard deviation of 0.5, that
    of lateness itself of 10.

    References
    ----------
    Hoerl and Kennard (1970), Technometrics 12; le Cessie and van Houwelingen (1992), "Ridge
    estimators in logistic regression", Applied Statistics 41.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> parcels = shop.parcels.merge(shop.orders[["order_id", "product"]], on="order_id")
    >>> found = tp.complaint_flags(parcels, shop.reviews, split="2025-01-01", hours=24,
    ...                         by=["carrier", "province", "product"])
    >>> found.rates[["n_flagged", "n_actual", "error_rate", "omission_rate"]].round(2)
                                n_flagged  n_actual  error_rate  omission_rate
    rule
    flag                              895       618        0.81           0.72
    late by more than 24 hours        861       618        0.85           0.79
    >>> found.difference[["error_rate", "error_rate_low", "error_rate_high"]].round(2).tolist()
    [-0.04, -0.07, -0.02]
    """
    stars = check_integer("negative", negative, ge=1)
    check_number("review_days", review_days, gt=0)
    check_number("hours", hours)
    check_number("level", level, gt=0, lt=1)
    if max_error_rate is not None:
        check_number("max_error_rate", max_error_rate, ge=0, le=1)
    names = as_names("by", by)
    frame, said = _read(parcels, reviews, names)
    seen = pd.concat([frame["delivered_at"], said["time"]])
    end = end_of(until, pd.DatetimeIndex(seen), "delivered_at")
    cut = as_moment("split", split, frame["delivered_at"])
    arrived = (frame["delivered_at"] <= end).to_numpy()
    frame, said = frame[arrived], said[said["time"] <= end]
    if frame.empty:
        raise fail(f"no parcel was delivered by until ({end})", "pass a later until")
    label = _negative_review(frame, said, stars, review_days)
    delivered, wait = frame["delivered_at"], review_days * DAY
    learned = (delivered + wait <= cut).to_numpy()
    judged = ((delivered >= cut) & (delivered + wait <= end)).to_numpy()
    waiting = ((delivered < cut) & (delivered + wait > cut)).to_numpy()
    young = (delivered + wait > end).to_numpy()
    n_bad = int(label[learned].sum())
    if n_bad < _FEWEST:
        raise fail(
            f"{n_bad} deliveries brought a negative review known by split ({cut})",
            f"at least {_FEWEST} are needed to learn from: pass a later split",
        )
    if n_bad == learned.sum():
        raise fail(
            f"all {n_bad:,} deliveries learnt from brought a negative review",
            "pass those that brought none as well",
        )
    if not judged.any():
        raise fail(
            f"no delivery from split ({cut}) on is {review_days:g} days old by until ({end})",
            "pass an earlier split or a later until: there is nothing to judge",
        )

    late = hours_between(frame["promised_at"], delivered)
    matrix, terms = _terms(frame, said, names, late, learned, stars)
    # A ridge of 1 on a term of this scale is a prior of this standard deviation.
    scale = np.where(np.array(terms) == "late", _LATE, _OTHER)
    matrix = matrix @ diags_array(scale)
    model = _fit(matrix[learned], label[learned])
    chance = model.predict_proba(matrix)[:, 1]
    baseline = late > hours
    if max_error_rate is None:
        wanted = int(baseline[learned].sum())
        if wanted == 0:
            raise fail(
                f"no delivery before split was late by more than {hours:g} hours",
                "pass smaller hours, or a max_error_rate",
            )
        line = choose_threshold(label[learned], chance[learned], capacity=wanted)
    else:
        held = _held_out(matrix[learned], label[learned], frame["customer_id"][learned])
        line = choose_threshold(label[learned], held, max_error_rate=max_error_rate)
    flag = chance >= line
    columns = ["parcel_id", "customer_id", "delivered_at"]
    result = frame[columns].assign(
        hours_late=late, probability=chance, flag=flag, late_flag=baseline, negative_review=label
    )
    rules = {_FLAG: flag, f"late by more than {hours:g} hours": baseline}
    now = result[young & ~label].drop(columns=["late_flag", "negative_review"])
    return ComplaintFlags(
        flags=result[judged],
        rates=pd.DataFrame.from_dict(
            {
                rule: asdict(prediction_rates(label[judged], one[judged].astype(float), 0.5, level))
                for rule, one in rules.items()
            },
            orient="index",
        ).rename_axis("rule"),
        difference=_difference(
            label[judged], flag[judged], baseline[judged], frame["customer_id"][judged], level
        ),
        open=now.sort_values("probability", ascending=False, kind="stable"),
        terms=pd.DataFrame(
            {"log_odds": model.coef_[0] * scale, "odds_ratio": np.exp(model.coef_[0] * scale)},
            index=pd.Index(terms, name="term"),
        ),
        threshold=line,
        split=cut,
        until=end,
        review_days=float(review_days),
        hours=float(hours),
        level=float(level),
        n_learned=int(learned.sum()),
        n_learned_negative=n_bad,
        n_waiting=int(waiting.sum()),
        n_judged=int(judged.sum()),
        n_undelivered=int((~arrived).sum()),
    )


def _read(parcels: Any, reviews: Any, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return checked parcels and reviews."""
    columns = ["parcel_id", "order_id", "customer_id", *_TIMES]
    for name in names:
        if name in columns:
            raise fail(f"by names {name!r}", "name columns of labels, such as carrier")
    check_frame("parcels", parcels, [*columns, *names])
    check_frame("reviews", reviews, ["order_id", "customer_id", "time", "rating"])
    frame = parcels[[*columns, *names]]
    check_ids("parcels", frame, "parcel_id")
    if not pd.api.types.is_datetime64_any_dtype(frame["promised_at"].dtype):
        raise fail(
            f"promised_at of parcels holds {frame['promised_at'].dtype}, no times",
            "convert it: pd.to_datetime(parcels['promised_at'])",
        )
    zone = frame["promised_at"].dt.tz
    check_times("parcels", frame, "promised_at", zone)
    check_times("parcels", frame, "delivered_at", zone, missing=True)
    check_times("reviews", reviews, "time", zone)
    for name in names:
        refuse("parcels", frame, frame[name].isna(), f"{name} is missing")
        check_labels(name, frame[name])
    for what, one in (("parcels", frame), ("reviews", reviews)):
        for column in ("order_id", "customer_id"):
            refuse(what, one, one[column].isna(), f"{column} is missing")
    stars_of(reviews)
    if not reviews["order_id"].isin(frame["order_id"]).any():
        raise fail(
            f"no order_id of reviews ({reviews['order_id'].dtype}) is in parcels "
            f"({frame['order_id'].dtype})",
            "call orders alike in both, in columns of one type",
        )
    return frame, reviews


def _ticks(times: pd.Series) -> IntArray:
    """Return times in microseconds."""
    return pd.DatetimeIndex(times).as_unit("us").asi8


def _negative_review(
    frame: pd.DataFrame, reviews: pd.DataFrame, stars: int, days: float
) -> BoolArray:
    """Return which deliveries brought a negative review of their order within ``days``."""
    bad = reviews[reviews["rating"] <= stars]
    order, known = pd.factorize(frame["order_id"])
    parcel = pd.DataFrame({"order": order, "row": np.arange(len(frame))})
    # -1 for an order without a parcel, which meets none.
    written = pd.DataFrame(
        {"order": known.get_indexer(pd.Index(bad["order_id"])), "at": _ticks(bad["time"])}
    )
    # Of several reviews of an order any may be the one.
    pairs = parcel.merge(written, on="order")
    row = pairs["row"].to_numpy()
    since = (pairs["at"].to_numpy() - _ticks(frame["delivered_at"])[row]) / TICKS_A_DAY
    label = np.zeros(len(frame), dtype=np.bool_)
    label[row[(since > 0) & (since <= days)]] = True
    return label


def _terms(
    frame: pd.DataFrame,
    reviews: pd.DataFrame,
    names: list[str],
    late: FloatArray,
    learned: BoolArray,
    stars: int,
) -> tuple[csr_array, list[str]]:
    """Return what is known at each delivery as numbers, and what they are called.

    A class that was not there to learn from has no indicator: it counts as the average. There may
    be thousands of classes, hence sparse.
    """
    earlier, bad = _reviews_before(frame, reviews, stars)
    numbers = {
        "late": late > 0,
        "log hours late": np.log1p(np.maximum(late, 0)),
        "log hours early": np.log1p(np.maximum(-late, 0)),
        "log earlier reviews": np.log1p(earlier),
        "log earlier negative reviews": np.log1p(bad),
    }
    parts, terms = [csr_array(np.column_stack(list(numbers.values())))], [*numbers]
    for name in names:
        values = pd.Index(pd.unique(frame[name][learned]))
        code = values.get_indexer(pd.Index(frame[name]))
        row = np.flatnonzero(code >= 0)
        ones = np.ones(len(row))
        parts.append(csr_array((ones, (row, code[row])), shape=(len(code), len(values))))
        terms += [f"{name}={value}" for value in values]
    return hstack(parts, format="csr"), terms


def _reviews_before(
    frame: pd.DataFrame, reviews: pd.DataFrame, stars: int
) -> tuple[IntArray, IntArray]:
    """Return how many reviews, and negative ones, each customer had written by the delivery."""
    # Who never reviewed is one behind the last, and has none.
    who, owner = customer_codes(frame, reviews, "customer_id", ("parcels", "reviews"))
    history = History.of(owner, _ticks(reviews["time"]))
    first, last = history.start[who], history.upto(who, _ticks(frame["delivered_at"]))
    negative = (reviews["rating"] <= stars).to_numpy()[history.order]
    running = np.concatenate([[0], np.cumsum(negative)])
    return last - first, running[last] - running[first]


def _fit(matrix: csr_array, label: BoolArray) -> Any:
    """Return the penalised logit."""
    # Here, since it takes half a second to import.
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=200).fit(matrix, label)


def _held_out(matrix: csr_array, label: BoolArray, customers: pd.Series) -> FloatArray:
    """Return the probability of each row by a model without its customer."""
    code, known = pd.factorize(customers)
    fold = (np.random.default_rng(0).permutation(len(known)) % _FOLDS)[code]
    chance = np.empty(len(label))
    for number in range(_FOLDS):
        here = fold == number
        rest = label[~here]
        if not here.any() or rest.all() or not rest.any():
            raise fail(
                f"the deliveries learnt from are of {len(known):,} customers, too few to score "
                "each by a model without its customer",
                "pass a later split, or leave max_error_rate out",
            )
        chance[here] = _fit(matrix[~here], label[~here]).predict_proba(matrix[here])[:, 1]
    return chance


def _difference(
    label: BoolArray, flag: BoolArray, baseline: BoolArray, customers: pd.Series, level: float
) -> pd.Series:
    """Return the differences of both rates, by the delta method on sums of customers."""
    code = pd.factorize(customers)[0]
    result: dict[str, float] = {}
    half = float(ndtri((1 + level) / 2))
    for name in ("error_rate", "omission_rate"):
        value, parts = 0.0, np.zeros(len(label))
        for rule, sign in ((flag, 1.0), (baseline, -1.0)):
            wrong, cases = (rule & ~label, rule) if name == "error_rate" else (~rule & label, label)
            total = float(cases.sum())
            rate = float(wrong.sum()) / total if total else np.nan
            value += sign * rate
            parts += sign * (wrong - rate * cases) / (total or np.nan)
        error = float(np.sqrt((np.bincount(code, weights=parts) ** 2).sum()))
        result |= {name: value, f"{name}_low": value - half * error}
        result[f"{name}_high"] = value + half * error
    return pd.Series(result, name="difference")
