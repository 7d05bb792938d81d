"""Late parcels (晚到关怀): which to flag before the customer notices, and how well that goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    IntArray,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.metrics._shared import wilson_interval
from touchpoint_lib.timing._columns import as_moment
from touchpoint_lib.timing._curves import ClassCurves, fit_curves
from touchpoint_lib.timing._pace import recent_pace
from touchpoint_lib.timing._parcel_flags import (
    flag_moments,
    flags_by_share,
    flags_in_time,
    late_probability,
    rates_of,
    with_flags,
)
from touchpoint_lib.timing._parcel_log import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    ParcelLog,
    check_parcels,
    check_split,
    class_columns,
    measured,
)


@dataclass(frozen=True, eq=False)
class LateParcels:
    """What `late_parcels` found: the classes, the flags and their rates, and who is on the way.

    Parameters
    ----------
    flags
        A row a judged parcel, in the order of the log: its id, classes, shipping and promised
        time, late, flagged_at (NaT: not in time), probability (to be late, when flagged) and
        lead_hours (from the flag to the promised time); both NaN where flagged_at is NaT.
    rates
        A row a rule (the index): the counts, rates and bounds of `prediction_rates`, and
        lead_median, lead_low_quartile and lead_high_quartile: hours from the flag to the promised
        time of the correctly flagged, NaN without any.
    in_transit
        A row a parcel on the way at ``until``, the likeliest to be late first: id, classes,
        shipping and promised time, age_hours, probability_late (1 where due), pace (1: as usual),
        flag (at or above the line, in time to be of use) and due (past the promise: late already).
    split, until, recent_days, line, notice, level
        As used.
    n_learned
        Parcels shipped before ``split``.
    n_judged
        Parcels shipped from ``split`` on and promised by ``until``.
    n_undecided
        Parcels shipped from ``split`` on whose promise lies after ``until``, delivered or not.
    n_after
        Parcels shipped after ``until``, which are outside the window.
    """

    flags: pd.DataFrame
    rates: pd.DataFrame
    in_transit: pd.DataFrame
    split: pd.Timestamp
    until: pd.Timestamp
    recent_days: int | None
    line: float
    notice: float
    level: float
    n_learned: int
    n_judged: int
    n_undecided: int
    n_after: int
    _classes: pd.DataFrame = field(repr=False)
    _by: list[str] = field(repr=False)
    _curves: ClassCurves = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return a row a class.

        Returns
        -------
        DataFrame
            The class columns; of the parcels promised by ``until``: n, n_late, late_share with
            late_share_low and late_share_high (Wilson; all three NaN where n is 0); promised_days
            (the median: the promise itself where all are promised the same); flag_after: the hours
            from shipping after which a parcel with that promise and at the usual pace is flagged,
            inf where the line is not reached in time; probability: to be late, then, or at the
            last moment of use where flag_after is inf; n_at_risk: the class's own parcels that
            were on the way longer than that.
        """
        return self._classes.copy()

    def curve(self, ages: npt.ArrayLike | None = None) -> pd.DataFrame:
        """Return P(late | in transit) by class and age, at the usual pace.

        Parameters
        ----------
        ages
            Hours since shipping, >= 0, one or a list; by default every hour up to the class's
            promise or the end of the curves.

        Returns
        -------
        DataFrame
            A row a class and age: the class columns, age_hours, probability (of a parcel with the
            class's promised_days; 1 from the promise on), probability_low and probability_high
            (of the curve: Greenwood; NaN where nobody was on the way so long).

        Raises
        ------
        InputError
            If ages are no list, or one is missing, negative, or beyond the end of the curves.
        """
        last = self._curves.last * 24
        promise = self._classes["promised_days"].to_numpy() * 24
        if ages is None:
            each = [np.arange(np.floor(min(end, last)) + 1) for end in promise]
        else:
            wanted = np.atleast_1d(check_values("ages", ages, ge=0, le=last))
            if wanted.ndim > 1:
                raise fail(f"ages has shape {wanted.shape}", "pass a number or a list of numbers")
            each = [wanted] * len(promise)
        row = np.repeat(np.arange(len(promise)), [len(one) for one in each])
        age = np.concatenate(each)
        node = _nodes(self._curves, self._classes[self._by])[row]
        start = np.minimum(age / 24, self._curves.last)
        until = np.minimum(np.maximum(age, promise[row]) / 24, self._curves.last)
        until = np.maximum(start, until)
        low, high = np.full((2, len(age)), np.nan)
        known = self._curves.survival(node, start) > 0
        in_time, late = self._curves.within_interval(
            node[known], start[known], until[known], self.level
        )
        low[known], high[known] = 1 - late, 1 - in_time
        result = self._classes[self._by].iloc[row].reset_index(drop=True)
        result["age_hours"] = age
        result["probability"] = late_probability(
            self._curves, node, age, promise[row], np.ones(len(age))
        )
        result["probability_low"], result["probability_high"] = low, high
        return result

    def __repr__(self) -> str:
        rates = self.rates.iloc[0]
        return (
            f"LateParcels({self.n_judged:,} parcels judged, {rates['n_actual']:,.0f} late, "
            f"{rates['n_flagged']:,.0f} flagged; error rate {rates['error_rate']:.3f}, omission "
            f"rate {rates['omission_rate']:.3f}; {self.n_undecided:,} promised later; "
            f"{len(self.in_transit):,} on the way, "
            f"{int(self.in_transit['flag'].sum()):,} to flag, {int(self.in_transit['due'].sum()):,}"
            " late already)"
        )

    def _repr_html_(self) -> str:
        rates = self.rates.drop(columns=["n", "true_negative"])
        tables = [
            table.to_html(float_format=lambda value: f"{value:.3f}")
            for table in (rates, self._classes)
        ]
        return f"<p>{self!r}</p>" + "".join(tables)


def late_parcels(
    parcels: pd.DataFrame,
    *,
    parcel: str = "parcel_id",
    by: Sequence[str] = ("carrier", "province"),
    shipped: str = "shipped_at",
    promised: str = "promised_at",
    delivered: str = "delivered_at",
    until: Any = None,
    split: Any = None,
    line: float = 0.5,
    notice: float = 12.0,
    recent_days: int | None = None,
    shrinkage: float = 20.0,
    level: float = 0.95,
) -> LateParcels:
    r"""Return which parcels to flag as late before their promise, and how well that goes.

    The longer a parcel is on the way, the likelier it comes late: with the survival curve S of
    its class, :math:`P(\text{late} \mid \text{in transit at age } t) = S(\max(p, t)) / S(t)` for a
    promise p after shipping. A parcel is flagged at the first whole hour after shipping at which
    that reaches the ``line``, if it is still on the way then and there are at least ``notice``
    hours left.

    The flags that are judged come from curves of what was known at ``split``: a parcel on the way
    then is censored there. Judged are the parcels shipped from ``split`` on whose promise is over
    at ``until``; of those promised later only the quick ones are known, so they are counted and
    left out. What is to be done now (`in_transit`, `to_frame`, `curve`) comes from everything
    known at ``until``.

    Parameters
    ----------
    parcels : DataFrame
        A row a parcel.
    parcel, shipped, promised, delivered : str
        Columns: a unique id, and times, either all without or all with a time zone. ``delivered``
        is missing where the parcel is still on the way.
    by : sequence of str
        Columns of labels, from wide to narrow: each class is shrunk to the wider one.
    until : date-like, optional
        End of observation; what happened later is not looked at. By default the last time of a
        shipment or delivery.
    split : date-like, optional
        Learn from parcels shipped before it, judge those shipped from it on. By default the
        median time of shipping.
    line : float
        Flag from this probability to be late on, in (0, 1).
    notice : float
        Hours before the promised time by which a flag must be out to be of use, >= 0.
    recent_days : int, optional
        Take account of jams (爆仓): every midnight the deliveries of the parcels shipped on so many
        days before are held against those expected, in each class and shrunk to the wider class;
        the pace a found stretches the curve, S(t / a), for all parcels of the class on that day.
        2 is a good choice for parcels that take days. By default the pace is the usual one.
    shrinkage : float
        Parcels of the wider class that are added to each class, >= 0.
    level : float
        Level of the intervals, in (0, 1).

    Returns
    -------
    LateParcels
        Its ``rates`` has the rows "classes" (the rule), "usual pace" (the same without
        ``recent_days``; only with it), "by <first column> only" ("without classes" where ``by``
        has one column), and "share of the promise": every parcel is flagged when one share of its
        promised time is over, chosen on the parcels before ``split`` to flag as many of them as
        the rule. The last two are at the usual pace. Rates are NaN where nothing is flagged, or
        nothing late.

    Raises
    ------
    InputError
        If columns or values are missing, ids repeat, times are no times, of mixed zones or in an
        impossible order, an argument is out of bounds, fewer than 20 parcels were shipped before
        ``split``, none of them had been delivered by then, or none is left to judge.

    Notes
    -----
    Times on the way are rounded up to minutes. The curves end where fewer than 20 parcels were on
    the way; beyond they count as flat. So for a promise beyond the end the probability is an upper
    bound, and a parcel that has been on the way so long without being due counts as late.

    Where all classes are promised about the same quantile of their time on the way, the promise
    itself says what the classes say: look at the row "share of the promise" before relying on them.

    References
    ----------
    Kaplan, E. L. and Meier, P. (1958). "Nonparametric Estimation from Incomplete Observations",
    JASA 53. Wei, L. J. (1992). "The accelerated failure time model: a useful alternative to the
    Cox regression model in survival analysis", Statistics in Medicine 11 (the pace).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib.timing.parcels import late_parcels
    >>> late = late_parcels(tp.load_shop().parcels, recent_days=2)
    >>> late.rates[["n_flagged", "error_rate", "omission_rate", "lead_median"]].round(2)
                          n_flagged  error_rate  omission_rate  lead_median
    rule
    classes                    2792        0.47           0.23         23.0
    usual pace                 2462        0.48           0.33         20.0
    by carrier only            4178        0.64           0.21         26.0
    share of the promise       3000        0.47           0.17         16.0
    >>> now = late.in_transit[~late.in_transit["due"]]
    >>> now[["parcel_id", "carrier", "age_hours", "probability_late", "flag"]].head(3).round(2)
        parcel_id   carrier  age_hours  probability_late   flag
    9       29515   economy     112.38              0.80  False
    10      29407   economy     157.18              0.79  False
    11      29546  standard      90.69              0.78  False
    """
    check_number("line", line, gt=0, lt=1)
    check_number("notice", notice, ge=0)
    check_number("shrinkage", shrinkage, ge=0)
    check_number("level", level, gt=0, lt=1)
    recent = None if recent_days is None else check_integer("recent_days", recent_days, ge=1)
    names = class_columns(by)
    frame = check_parcels(parcels, parcel, names, shipped, promised, delivered)
    seen = max(frame[shipped].max(), frame[delivered].max())
    end = as_moment("until", seen if until is None else until, frame[shipped])
    outside = (frame[shipped] > end).to_numpy()
    frame = frame[~outside]
    if frame.empty:
        raise fail(f"every {shipped} is after until ({end})", "pass a later until")
    middle = frame[shipped].sort_values().iloc[len(frame) // 2]
    cut = middle if split is None else as_moment("split", split, frame[shipped])
    log, at = measured(frame, shipped, promised, delivered, end, cut)

    learned = log.shipped < at
    judged = ~learned & (log.promised <= log.until)
    check_split(learned, judged, log, at, shipped, cut, end)
    late = log.delivered > log.promised
    days = log.until // DAY + 1
    if recent is not None and recent > days:
        raise fail(
            f"recent_days is {recent}, but the log covers {days} days",
            "look back on fewer days: 2 is a good choice",
        )

    then = _fit(log, at, names, shrinkage)
    node = _nodes(then, log.frame[names])
    pace = _pace(then, node, log, days, recent)
    hours, paces = flags_in_time(then, node, log, line, notice, pace)
    decided = learned & (log.promised <= at)
    rules = {"classes": hours}
    if recent is not None:
        rules["usual pace"] = flags_in_time(then, node, log, line, notice, None)[0]
    wide = f"by {names[0]} only" if len(names) > 1 else "without classes"
    widest = _ancestors(then, node, 1 if len(names) > 1 else 0)
    rules[wide] = flags_in_time(then, widest, log, line, notice, None)[0]
    n_flagged = int((np.isfinite(hours) & decided).sum())
    rules["share of the promise"] = flags_by_share(log, decided, notice, n_flagged)
    lead = {name: log.promise - moments for name, moments in rules.items()}

    now = _fit(log, log.until, names, shrinkage)
    columns = [parcel, *names, shipped, promised]
    flags = log.frame.loc[judged, columns].assign(late=late[judged])
    chance = late_probability(
        then,
        node[judged],
        np.where(np.isinf(hours), 0.0, hours)[judged],
        log.promise[judged],
        paces[judged],
    )
    return LateParcels(
        flags=with_flags(flags, flags[shipped], hours[judged], lead["classes"][judged], chance),
        rates=pd.DataFrame(
            [rates_of(name, late[judged], left[judged], level) for name, left in lead.items()]
        ).set_index("rule"),
        in_transit=_in_transit(now, log, columns, names, line, notice, days, recent),
        split=cut,
        until=end,
        recent_days=recent,
        line=float(line),
        notice=float(notice),
        level=float(level),
        n_learned=int(learned.sum()),
        n_judged=int(judged.sum()),
        n_undecided=int((~learned & ~judged).sum()),
        n_after=int(outside.sum()),
        _classes=_classes(now, log, late, names, line, notice, level),
        _by=names,
        _curves=now,
    )


def _fit(log: ParcelLog, at: int, names: list[str], shrinkage: float) -> ClassCurves:
    """Return the curves, in days, of what was known at ``at``."""
    mine = log.shipped < at
    duration = np.minimum(log.delivered[mine], at) - log.shipped[mine]
    labels = [log.frame[name].to_numpy()[mine] for name in names]
    # In whole minutes, rounded up: curves of a million parcels have fewer steps, and those at
    # whole minutes are the same.
    duration = -(-duration // MINUTE) * MINUTE
    return fit_curves(duration / DAY, log.delivered[mine] <= at, labels, shrinkage)


def _nodes(curves: ClassCurves, labels: pd.DataFrame) -> IntArray:
    return curves.node([labels[name].to_numpy() for name in labels.columns])


def _ancestors(curves: ClassCurves, node: IntArray, depth: int) -> IntArray:
    """Return the class of ``depth`` to which each node belongs."""
    above = np.arange(len(curves.nodes))
    parents = curves.nodes["parent"].to_numpy(dtype=np.int64, na_value=0)
    depths = curves.nodes["depth"].to_numpy()
    while (depths[above] > depth).any():
        above = np.where(depths[above] > depth, parents[above], above)
    return above[node]


def _pace(
    curves: ClassCurves, node: IntArray, log: ParcelLog, days: int, recent: int | None
) -> FloatArray | None:
    if recent is None:
        return None
    return recent_pace(curves, node, log.shipped, log.delivered, days, recent)


def _in_transit(
    curves: ClassCurves,
    log: ParcelLog,
    columns: list[str],
    names: list[str],
    line: float,
    notice: float,
    days: int,
    recent: int | None,
) -> pd.DataFrame:
    node = _nodes(curves, log.frame[names])
    pace = _pace(curves, node, log, days, recent)
    here = log.delivered == NEVER
    age = (log.until - log.shipped[here]) / HOUR
    promise = log.promise[here]
    now = np.ones(len(age)) if pace is None else pace[node[here], -1]
    chance = late_probability(curves, node[here], age, promise, now)
    due = promise <= age
    result = log.frame.loc[here, columns]
    result["age_hours"], result["probability_late"], result["pace"] = age, chance, now
    result["flag"] = (chance >= line) & (age + notice <= promise) & ~due
    result["due"] = due
    by = ["probability_late", columns[-1]]
    return result.sort_values(by, ascending=[False, True], ignore_index=True, kind="stable")


def _classes(
    curves: ClassCurves,
    log: ParcelLog,
    late: BoolArray,
    names: list[str],
    line: float,
    notice: float,
    level: float,
) -> pd.DataFrame:
    decided = log.promised <= log.until
    data = log.frame[names].assign(n=decided, n_late=late & decided, promised_days=log.promise / 24)
    groups = data.groupby(names, observed=True)
    counts = groups[["n", "n_late"]].sum().astype(np.int64)
    n, n_late = counts["n"].to_numpy(), counts["n_late"].to_numpy()
    share, low, high = np.full((3, len(n)), np.nan)
    some = n > 0
    share[some] = n_late[some] / n[some]
    low[some], high[some] = wilson_interval(n_late[some], n[some], level)
    result = counts.assign(
        late_share=share,
        late_share_low=low,
        late_share_high=high,
        promised_days=groups["promised_days"].median(),
    ).reset_index()
    node = _nodes(curves, result[names])
    promise = result["promised_days"].to_numpy() * 24
    new = np.zeros(len(node), dtype=np.int64)
    hours, _ = flag_moments(curves, node, promise, line, new, new + NEVER, None)
    hours = np.where(hours + notice <= promise, hours, np.inf)
    at = np.where(np.isinf(hours), np.maximum(promise - notice, 0.0), hours)
    result["flag_after"] = hours
    result["probability"] = late_probability(curves, node, at, promise, np.ones(len(node)))
    result["n_at_risk"] = curves.at_risk(node, np.minimum(at / 24, curves.last)).astype(np.int64)
    return result
