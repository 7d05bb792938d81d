"""Contact policies judged on the gaps of a log: every gap between purchases is a spell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    FloatArray,
    IntArray,
    check_integer,
    check_number,
    check_values,
    fail,
)
from touchpoint_lib.timing._judge import Judge
from touchpoint_lib.timing.money import ContactMoney
from touchpoint_lib.timing.own_return import check_days
from touchpoint_lib.timing.policies import Learner, Policy, check_money
from touchpoint_lib.timing.programme import ContactProgramme
from touchpoint_lib.timing.spells import past_of_some, purchase_spells

__all__ = ["TimingBacktest", "backtest_timing"]

#: Customers drawn one by one at most; of more, whole groups are drawn.
_MOST_GROUPS = 10_000
#: Customers on whom it is checked that a policy does not look ahead.
_CHECKED = 200
#: Customers below which nothing is estimated.
_FEWEST = 20


@dataclass(frozen=True, eq=False)
class TimingBacktest:
    """What each policy would have done in the spells of a log, beside fixed numbers of days.

    Attributes
    ----------
    table
        What `to_frame` returns.
    fixed
        The baseline, a row a number of days from 1 to ``deadline``: days, error_rate,
        omission_rate (0: everybody who lapses was silent for that long), contacts_per_1000, and
        with money money_per_1000.
    n_customers, n_spells, n_lapsed
        Customers and spells that are scored, and how many of these lapsed.
    n_fitted
        Customers whom the policies learned from.
    n_undecided
        Spells of scored customers that began too late for their outcome to be known: they are
        not scored, whatever came after.
    horizon, lapse, deadline, level
        As asked for.
    """

    table: pd.DataFrame
    fixed: pd.DataFrame
    n_customers: int
    n_spells: int
    n_lapsed: int
    n_fitted: int
    n_undecided: int
    horizon: int
    lapse: int
    deadline: int
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return a row a policy.

        Returns
        -------
        DataFrame
            policy; n_spells; n_contacted (spells with a contact); contacts_per_1000 spells (with
            the further contacts of a programme); error_rate (contacted first within ``horizon``
            days before a purchase that came on its own / contacted); omission_rate (lapsed and
            never contacted by ``deadline`` / lapsed); mean_silence and median_silence (days at the
            first contact of the lapsed who were contacted); fixed_days (the number of days,
            interpolated, at which contacting everybody first has so low an error rate; 1 where the
            first day has, inf where no day up to ``deadline`` has) and days_earlier (fixed_days -
            mean_silence); with money also money_per_1000 spells. Columns _low and _high are bounds
            over resampled customers, Wilson's for rates of 0 and 1. A rate without a case is NaN,
            and so is what rests on it.
        """
        return self.table.copy()

    def __repr__(self) -> str:
        return (
            f"TimingBacktest({len(self.table)} policies, {self.n_spells:,} spells of "
            f"{self.n_customers:,} customers, {self.n_lapsed:,} lapsed)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>" + self.table.to_html(index=False, float_format="{:.3f}".format)


def backtest_timing(
    log: Any,
    policies: Mapping[str, Policy] | Iterable[Policy],
    horizon: int = 90,
    lapse: int = 270,
    deadline: int = 180,
    *,
    money: ContactMoney | None = None,
    fit_share: float = 0.5,
    seed: int = 0,
    level: float = 0.95,
    customer: str = "customer_id",
    time: str = "date",
    amount: str | None = "amount",
    until: Any = None,
    order: str | None = None,
    tz: str | None = None,
    on_bad: str = "raise",
    returns: str = "raise",
    discount: str | None = None,
) -> TimingBacktest:
    """Judge contact policies on a log: whom each would have contacted, when, and how often in vain.

    Every purchase day begins a spell of silence, which a policy sees as of its first day. It
    contacts when the silence reaches the day it names, if that is not after ``deadline``, and no
    purchase has come by then. The contact is wasted if one comes within ``horizon`` days. A spell
    has lapsed if no purchase comes within ``lapse`` days.

    Only spells are scored that began early enough for all this to be known at the end of the log;
    later ones are left out whatever came, since those with an early purchase alone would be known.
    The log is taken to hold no such contacts: where it does, "on their own" includes their effect.

    Parameters
    ----------
    log : as for `rfm_summary`
    policies : mapping of str to policy, or iterable of policies
        Those that learn are fitted on other customers than those scored. Models that were fitted
        before are taken as they are: they must not have seen the customers of the log. A policy
        must name a day from what came before the spell: on 200 customers it is checked that it
        does.
    horizon, lapse, deadline : int
        Days. ``lapse`` must be more than ``deadline``, which bounds the first contact as well as
        the days of the baseline.
    money : ContactMoney, optional
        Adds the money: what the contacts are expected to win back, at a chance that the log cannot
        tell, less what they cost. With several contacts later ones are made less often, since
        earlier ones may have worked.
    fit_share : float
        Share of the customers, drawn at random, that the policies learn from, in [0, 1); with 0
        none learns and all customers are scored.
    seed : int
        Of the split and of the resamples.
    level : float
        Of the intervals, in (0, 1): percentiles over 1,000 resamples of the customers (of 10,000
        random groups of them where there are more).
    customer, time, amount, until, order, tz, on_bad, returns, discount
        As for `rfm_summary`.

    Returns
    -------
    TimingBacktest
        ``to_frame()`` has a row a policy, ``fixed`` the baseline of fixed days.

    Raises
    ------
    InputError
        As for `rfm_summary`; if an argument is out of bounds, a policy returns something else than
        days or looks ahead, or the log is too short for a spell to lapse.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> result = tp.backtest_timing(
    ...     tp.load_cdnow(sample=True),
    ...     {
    ...         "45 days": tp.FixedDays(45),
    ...         "own 90 % gap": tp.OwnGapQuantile(0.9),
    ...         "own return <= 0.25": tp.OwnReturn(tp.ModifiedBetaGeoModel(), line=0.25),
    ...     },
    ... )
    >>> columns = ["policy", "error_rate", "omission_rate", "mean_silence", "days_earlier"]
    >>> result.to_frame()[columns].round(2)
                   policy  error_rate  omission_rate  mean_silence  days_earlier
    0             45 days        0.25           0.00         45.00          0.00
    1        own 90 % gap        0.44           0.72         61.76        -59.32
    2  own return <= 0.25        0.25           0.00         35.54          7.73
    """
    horizon, lapse, deadline = (
        check_days(name, value)
        for name, value in (("horizon", horizon), ("lapse", lapse), ("deadline", deadline))
    )
    if deadline >= lapse:
        raise fail(
            f"deadline is {deadline} and lapse is {lapse} days",
            "the deadline for a contact must be before the customer has lapsed",
        )
    if money is not None:
        check_money(money)
    share = check_number("fit_share", fit_share, ge=0, lt=1)
    check_number("level", level, gt=0, lt=1)
    generator = np.random.default_rng(check_integer("seed", seed, ge=0))
    named = _named(policies)
    spells = purchase_spells(
        log, customer, time, amount, until, order, tz, on_bad, returns, discount
    )
    code = pd.factorize(spells.index)[0]
    n_customers = int(code[-1]) + 1
    learns = np.zeros(n_customers, dtype=np.bool_)
    learns[generator.permutation(n_customers)[: round(share * n_customers)]] = True
    if share > 0 and not learns.any():
        raise fail(
            f"fit_share is {share:g} of {n_customers} customers, which is nobody",
            "pass a larger one, or 0 for policies that have learned before",
        )
    if n_customers - learns.sum() < _FEWEST:
        raise fail(
            f"{n_customers - learns.sum()} of {n_customers} customers are left to score",
            f"pass a log of more customers or a smaller fit_share: at least {_FEWEST} are needed",
        )
    scored = spells[~learns[code]]
    # A purchase within the horizon after a contact on the deadline has to be known as well.
    known = scored["observed"].to_numpy() >= max(lapse, deadline + horizon)
    if not known.any():
        raise fail(
            f"no spell is {max(lapse, deadline + horizon)} days older than the end of the log on "
            f"{spells.attrs['until']}",
            "pass a longer log, or a shorter lapse, deadline or horizon",
        )
    begun = scored[known]
    judge = Judge(
        begun, horizon, lapse, deadline, money, _groups(code[~learns[code]][known], generator)
    )
    past, sample = spells[learns[code]], past_of_some(scored, _CHECKED, generator)
    for name, policy in named.items():
        ready = policy.fit(past) if learns.any() and isinstance(policy, Learner) else policy
        if not hasattr(ready, "silence"):
            raise fail(f"fit of policy {name!r} returned {ready!r}", "return the fitted policy")
        days, chances = _contacts(name, ready, scored, money)
        _check_blind(name, ready, days, sample, money)
        judge.add(name, days[known], chances[known])
    table, fixed = judge.tables(level, generator)
    return TimingBacktest(
        table=table,
        fixed=fixed,
        n_customers=begun.index.nunique(),
        n_spells=len(begun),
        n_lapsed=int((begun["gap"] > lapse).sum()),
        n_fitted=int(learns.sum()),
        n_undecided=int((~known).sum()),
        horizon=horizon,
        lapse=lapse,
        deadline=deadline,
        level=level,
    )


def _named(policies: Any) -> dict[str, Policy]:
    """Return the policies by name; raise unless each is one."""
    if isinstance(policies, Mapping):
        given = list(policies.values())
        named = {str(name): policy for name, policy in policies.items()}
    else:
        try:
            given = list(policies)
        except TypeError:
            raise fail(
                f"policies is a {type(policies).__name__}", "pass a dict of names and policies"
            ) from None
        named = {str(policy): policy for policy in given}
    if len(named) < len(given):
        raise fail("two policies have the same name", "pass a dict of names and policies")
    if not named:
        raise fail("policies is empty", "pass at least one, such as FixedDays(60)")
    for name, policy in named.items():
        if isinstance(policy, type) or not hasattr(policy, "silence"):
            raise fail(f"policy {name!r} is {policy!r}", "pass an object with silence(spells)")
    return named


def _groups(code: IntArray, generator: np.random.Generator) -> IntArray:
    """Return the group of each spell that is drawn as one: its customer, or several at random."""
    customer, customers = pd.factorize(code)
    if len(customers) <= _MOST_GROUPS:
        return customer.astype(np.int64)
    return (generator.permutation(len(customers)) % _MOST_GROUPS)[customer]


def _contacts(
    name: str, policy: Policy, spells: pd.DataFrame, money: ContactMoney | None
) -> tuple[FloatArray, FloatArray]:
    """Return the days of the contacts of each spell, and the chances that they win back."""
    if isinstance(policy, ContactProgramme):
        planned, chances = policy.plan(spells)
        # What a programme believes moves its days; all policies are paid by the same chance.
        believed = policy.money.win_back
        return planned, chances if money is None else chances * (money.win_back / believed)
    days = check_values(f"silence of policy {name!r}", policy.silence(spells), ge=0, infinite=True)
    if days.shape != (len(spells),):
        raise fail(
            f"policy {name!r} returned shape {days.shape} for {len(spells)} spells",
            "silence must return one day a spell",
        )
    if (days != np.floor(days)).any():
        raise fail(
            f"policy {name!r} returned {days[days != np.floor(days)][0]:g} days",
            "silence must return whole days: round them up",
        )
    chance = 0.0 if money is None else money.win_back
    return days[:, None], np.full((len(days), 1), chance)


def _check_blind(
    name: str,
    policy: Policy,
    days: FloatArray,
    sample: tuple[pd.DataFrame, IntArray, IntArray],
    money: ContactMoney | None,
) -> None:
    """Raise where a policy names other days of some customers who are cut off at a spell."""
    cut, there, at = sample
    again = _contacts(name, policy, cut, money)[0]
    first = again[there, 0] != days[at, 0]
    if first.any():
        row = int(np.flatnonzero(first)[0])
        raise fail(
            f"policy {name!r} names day {days[at[row], 0]:g} for a spell of customer "
            f"{cut.index[there[row]]!r}, and day {again[there[row], 0]:g} where nothing is known "
            "but the past of that customer",
            "use the rows before the spell, not its own gap and observed, nor other customers",
        )
