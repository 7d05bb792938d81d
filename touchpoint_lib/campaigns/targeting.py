"""Error and omission rate of a rule that says whom to contact, as far as an experiment tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from touchpoint_lib._checks import BoolArray, check_number, fail
from touchpoint_lib.campaigns._data import read_values
from touchpoint_lib.campaigns._trial import read_trial
from touchpoint_lib.metrics._shared import flags, ratio, wilson_interval

__all__ = ["TargetingRates", "targeting_rates"]

NONE = "none"
MONOTONE = "nobody is put off"


@dataclass(frozen=True)
class _Group:
    """The customers who are flagged, or those who are not: rows and responses of both arms."""

    n_treated: int
    n_control: int
    responded_treated: int
    responded_control: int

    @property
    def n(self) -> int:
        return self.n_treated + self.n_control

    @property
    def with_contact(self) -> float:
        return ratio(self.responded_treated, self.n_treated)

    @property
    def without(self) -> float:
        return ratio(self.responded_control, self.n_control)

    @property
    def effect(self) -> float:
        return self.with_contact - self.without

    @property
    def variance(self) -> float:
        """Of the effect."""
        return ratio(self.with_contact * (1 - self.with_contact), self.n_treated) + ratio(
            self.without * (1 - self.without), self.n_control
        )

    def effect_interval(self, level: float) -> tuple[float, float]:
        """Return Newcombe's interval (his method 10)."""
        low_1, high_1 = wilson_interval(self.responded_treated, self.n_treated, level)
        low_0, high_0 = wilson_interval(self.responded_control, self.n_control, level)
        down = np.hypot(self.with_contact - low_1, high_0 - self.without)
        up = np.hypot(high_1 - self.with_contact, self.without - low_0)
        return float(self.effect - down), float(self.effect + up)

    def responders(self) -> tuple[float, float]:
        """Return the Fréchet bounds of the share who respond only because of the contact."""
        # max(0.0, nan) would be 0.
        return (
            float(np.maximum(0.0, self.effect)),
            float(np.minimum(self.with_contact, 1 - self.without)),
        )

    def responders_limits(self, tail: float) -> tuple[float, float]:
        """Return limits beyond which each bound is with chance ``tail`` for every part of it."""
        level = 1 - 2 * tail
        most = wilson_interval(self.responded_treated, self.n_treated, level)[1]
        least = wilson_interval(self.responded_control, self.n_control, level)[0]
        return (
            float(np.maximum(0.0, self.effect_interval(level)[0])),
            float(np.minimum(most, 1 - least)),
        )


@dataclass(frozen=True, eq=False)
class TargetingRates:
    """What an experiment says about a rule that flags customers for contact.

    Attributes
    ----------
    table
        What `to_frame` returns.
    groups
        Two rows: flagged (True, then False), n_treated, n_control, responded_treated,
        responded_control, mean_treated, mean_control, effect, ci_low, ci_high (Newcombe's). NaN
        where a group has no row of an arm.
    statement
        In words: what the experiment tells, and what only the assumption adds.
    outcome, treated, control
        Column, and values of the arms.
    n_other_arms, n_without_flag
        Rows left out: with a flag but of another arm; of the two arms but without a flag.
    level
        Of the intervals.
    """

    table: pd.DataFrame
    groups: pd.DataFrame
    statement: str
    outcome: str
    treated: Any
    control: Any
    n_other_arms: int
    n_without_flag: int
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return a row a rate and assumption.

        Returns
        -------
        DataFrame
            rate ("error_rate", "wasted_rate", "omission_rate"), assumption ("none", "nobody is put
            off"), estimate (NaN where only bounds are known), bound_low and bound_high (the
            estimate, where it is known), ci_low and ci_high (limits of the estimate; of both
            bounds together where only these are known). All are NaN where the group or arm that a
            rate rests on is empty, where there is no responder, and under the assumption where the
            observed effect contradicts it: is below 0.
        """
        return self.table.copy()

    def __repr__(self) -> str:
        return f"TargetingRates({self.outcome!r}, {self.treated!r} against {self.control!r})"

    def _repr_html_(self) -> str:
        return f"<p>{self.statement}</p>" + self.table.to_html(
            index=False, float_format="{:.3f}".format
        )


def targeting_rates(
    data: Any,
    flagged: Any,
    *,
    arm: str,
    control: Any,
    outcome: str,
    treated: Any = None,
    level: float = 0.95,
) -> TargetingRates:
    """Return how often a rule contacts in vain, and how many responders it misses.

    Every customer has two outcomes: Y1 with the contact and Y0 without, and only one is ever seen.
    A responder is one with Y1 = 1 and Y0 = 0. With m1 and m0 the means of the two arms in a group:

    - error_rate, contacted without need (误触) = P(Y0 = 1 | flagged) = m0 of the flagged. Known.
    - wasted_rate = P(no responder | flagged). The share of responders lies in
      [max(0, m1 - m0), min(m1, 1 - m0)], and is m1 - m0 if nobody is put off: Y1 >= Y0 for all.
    - omission_rate, missed responders (漏触) = P(not flagged | responder), from the shares of
      responders in the flagged and in the rest, each anywhere within such bounds; or, if nobody is
      put off, the rest's part of the effect.

    Parameters
    ----------
    data : DataFrame
        A row a customer of a randomised experiment. Both arms must have been assigned without
        regard to the flag.
    flagged : Series of bool or 0/1, or str
        Whom the rule would contact; on the index of ``data`` or of a part of it, or a column.
    arm, control, treated
        Column of the arm, its value for the control, and for the arm to compare; the last may be
        left out where there is only one.
    outcome : str
        Column of 0/1.
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    TargetingRates
        ``to_frame()`` has a row a rate and assumption; ``statement`` says it in words.

    Raises
    ------
    InputError
        If the outcome or flag has another value than 0 and 1, a column is missing or has missing
        values, an index is not unique or not that of the data, or an arm has no row.

    Notes
    -----
    Intervals: error_rate Wilson's; wasted_rate Newcombe's for m1 - m0, cut where it leaves [0, 1];
    omission_rate the delta method with the variance of both effects and of the share flagged, cut
    at 0 and 1 likewise. Bounds: limits of their parts (Wilson, Newcombe) at a level that Bonferroni
    shares among them, so they hold the whole of what is possible with at least ``level``; the
    omission rate's at the observed share of flagged.

    References
    ----------
    Frangakis and Rubin (2002), "Principal stratification in causal inference", Biometrics 58;
    Fan and Park (2010), "Sharp bounds on the distribution of treatment effects", Econometric
    Theory 26; Newcombe (1998), Statistics in Medicine 17.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import touchpoint_lib as tp
    >>> data = pd.DataFrame({
    ...     "arm": np.repeat(["mail", "none"], 2000),
    ...     "flag": np.tile(np.repeat([True, False], 1000), 2),
    ...     "bought": np.concatenate([np.arange(1000) < k for k in (300, 130, 100, 80)]),
    ... })
    >>> rates = tp.targeting_rates(data, "flag", arm="arm", control="none", outcome="bought")
    >>> rates.to_frame().drop(columns=["ci_low", "ci_high"]).round(3)
                rate         assumption  estimate  bound_low  bound_high
    0     error_rate               none       0.1      0.100       0.100
    1    wasted_rate               none       NaN      0.700       0.800
    2    wasted_rate  nobody is put off       0.8      0.800       0.800
    3  omission_rate               none       NaN      0.143       0.394
    4  omission_rate  nobody is put off       0.2      0.200       0.200
    """
    check_number("level", level, gt=0, lt=1)
    trial = read_trial(data, flagged, "flag", arm, control, treated)
    y = read_values(trial.rows, outcome)
    odd = ~np.isin(y, (0, 1))
    if odd.any():
        raise fail(
            f"outcome {outcome!r} has the value {y[odd][0]:g} at index "
            f"{trial.rows.index[odd][0]!r}",
            "the rates are those of an outcome of 0 and 1: say what counts as a response",
        )
    flag = flags("flagged", trial.values)
    yes, no = (_count(one, trial.treated, y == 1) for one in (flag, ~flag))
    tail = 1 - level
    rows = [
        _row(
            "error_rate",
            NONE,
            (yes.without, yes.without),
            wilson_interval(yes.responded_control, yes.n_control, level),
        ),
        _row("wasted_rate", NONE, _rest(yes.responders()), _rest(yes.responders_limits(tail / 3))),
        _wasted(yes, level),
        _row(
            "omission_rate",
            NONE,
            _missed_bounds(yes, no, _Group.responders),
            _missed_bounds(yes, no, lambda group: group.responders_limits(tail / 6)),
        ),
        _missed(yes, no, float(ndtri((1 + level) / 2))),
    ]
    groups = pd.DataFrame([_group_row(True, yes, level), _group_row(False, no, level)])
    return TargetingRates(
        table=pd.DataFrame(rows),
        groups=groups,
        statement=_statement(rows, yes, no),
        outcome=outcome,
        treated=trial.treated_label,
        control=trial.control_label,
        n_other_arms=trial.n_other_arms,
        n_without_flag=trial.n_unscored,
        level=level,
    )


def _count(chosen: BoolArray, treated: BoolArray, responded: BoolArray) -> _Group:
    return _Group(
        n_treated=int((chosen & treated).sum()),
        n_control=int((chosen & ~treated).sum()),
        responded_treated=int((chosen & treated & responded).sum()),
        responded_control=int((chosen & ~treated & responded).sum()),
    )


def _rest(bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the bounds of 1 - x from those of x."""
    return 1 - bounds[1], 1 - bounds[0]


def _row(
    rate: str, assumption: str, bounds: tuple[float, float], interval: tuple[float, float]
) -> dict[str, Any]:
    """Return a row of the table; bounds that meet in every sample are an estimate."""
    known = rate == "error_rate" or assumption == MONOTONE
    low, high = (np.nan, np.nan) if np.isnan(bounds[0]) else interval
    return {
        "rate": rate,
        "assumption": assumption,
        "estimate": bounds[0] if known else np.nan,
        "bound_low": bounds[0],
        "bound_high": bounds[1],
        "ci_low": low,
        "ci_high": high,
    }


def _wasted(yes: _Group, level: float) -> dict[str, Any]:
    """Return the wasted contacts if nobody is put off."""
    point, interval = np.nan, (np.nan, np.nan)
    if yes.effect >= 0:
        point = 1 - yes.effect
        low, high = _rest(yes.effect_interval(level))
        interval = max(low, 0.0), min(high, 1.0)
    return _row("wasted_rate", MONOTONE, (point, point), interval)


def _missed(yes: _Group, no: _Group, reach: float) -> dict[str, Any]:
    """Return the missed responders if nobody is put off."""
    point, interval = np.nan, (np.nan, np.nan)
    n = yes.n + no.n
    found, lost = (_responders_in(group, n) for group in (yes, no))
    if found[0] >= 0 and lost[0] >= 0 and found[0] + lost[0] > 0:
        total = found[0] + lost[0]
        point = lost[0] / total
        # The shares of the flagged and of the rest move against each other.
        joint = -found[0] * lost[0] / n
        variance = (
            found[0] ** 2 * lost[1] + lost[0] ** 2 * found[1] - 2 * found[0] * lost[0] * joint
        )
        error = np.sqrt(variance) / total**2
        interval = max(point - reach * error, 0.0), min(point + reach * error, 1.0)
    return _row("omission_rate", MONOTONE, (point, point), interval)


def _responders_in(group: _Group, n: int) -> tuple[float, float]:
    """Return the group's responders per customer if nobody is put off, and their variance."""
    share = group.n / n
    if not group.n:
        return 0.0, 0.0
    return share * group.effect, share**2 * group.variance + group.effect**2 * share * (
        1 - share
    ) / n


def _missed_bounds(
    yes: _Group, no: _Group, bounds: Callable[[_Group], tuple[float, float]]
) -> tuple[float, float]:
    """Return the least and the largest omission rate with responders within bounds."""
    # An empty group has no responder.
    (found_least, found_most), (lost_least, lost_most) = (
        [group.n * end for end in bounds(group)] if group.n else [0.0, 0.0] for group in (yes, no)
    )
    most = found_most + lost_most
    if np.isnan(most) or most == 0:
        return np.nan, np.nan
    return (
        lost_least / (lost_least + found_most) if lost_least + found_most > 0 else 1.0,
        lost_most / (lost_most + found_least) if lost_most + found_least > 0 else 0.0,
    )


def _group_row(flagged: bool, group: _Group, level: float) -> dict[str, Any]:
    low, high = group.effect_interval(level)
    return {
        "flagged": flagged,
        "n_treated": group.n_treated,
        "n_control": group.n_control,
        "responded_treated": group.responded_treated,
        "responded_control": group.responded_control,
        "mean_treated": group.with_contact,
        "mean_control": group.without,
        "effect": group.effect,
        "ci_low": low,
        "ci_high": high,
    }


def _statement(rows: list[dict[str, Any]], yes: _Group, no: _Group) -> str:
    """Return in words what is known, and what only the assumption adds."""
    for group, name in ((yes, "flagged"), (no, "rest")):
        if group.n and not (group.n_treated and group.n_control):
            return f"The {name} have no row of one arm: what the contact does to them is not known."
    if not yes.n:
        return "Nobody is flagged: no contact is in vain, and every responder is missed."
    error, wasted, wasted_if, missed, missed_if = rows
    lost = "there is no responder to miss"
    if not np.isnan(missed["bound_low"]):
        lost = f"{_between(missed)} of the responders are missed"
    parts = [
        f"{error['estimate']:.1%} of the flagged respond without a contact: the experiment tells.",
        f"{_between(wasted).capitalize()} of the contacts are wasted, and {lost}.",
        "No more can be known, since each customer shows only one of the two outcomes.",
    ]
    if not np.isnan(wasted_if["estimate"]):
        given = not np.isnan(missed_if["estimate"])
        also = f" and {missed_if['estimate']:.1%} of the responders are missed" if given else ""
        parts.append(
            f"If nobody is put off by the contact, {wasted_if['estimate']:.1%} are wasted{also}: "
            "an assumption, not a finding."
        )
    against = [
        f"{name} ({group.effect:.2%})"
        for group, name in ((yes, "the flagged"), (no, "the rest"))
        if group.n and group.effect < 0
    ]
    if against:
        parts.append(
            f"The observed effect is below 0 in {' and '.join(against)}, by chance or because the "
            "contact puts customers off: rates that rest on it are not given under the "
            "assumption that it puts off nobody."
        )
    return " ".join(parts)


def _between(row: dict[str, Any]) -> str:
    low, high = f"{row['bound_low']:.1%}", f"{row['bound_high']:.1%}"
    return low if low == high else f"between {low} and {high}"
