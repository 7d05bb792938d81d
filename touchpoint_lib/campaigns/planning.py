"""Planning a campaign's test: how many customers, how long, and how many to hold out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

from touchpoint_lib._checks import (
    FloatArray,
    check_integer,
    check_number,
    fail,
)
from touchpoint_lib.campaigns._spread import Spread

__all__ = ["CampaignPlan", "plan_campaign"]

#: Holdout shares among which the search for the best begins.
_SHARES = 2001
#: More customers there are not.
_MOST = 1e12


@dataclass(frozen=True, eq=False)
class CampaignPlan:
    """What `plan_campaign` found; None where what was passed does not suffice.

    Attributes
    ----------
    mean, sd
        Of the outcome without contact, a customer; ``sd`` before the variance reduction. The mean
        is None where only ``sd`` was passed.
    binary : bool
        Whether the outcome is yes or no.
    holdout, power, level, n_customers
        As asked for.
    effect : float, optional
        To be found, in units of the outcome a customer.
    n_control, n_treated, n_total : int, optional
        Customers to hold out, to contact, and both, to find ``effect``.
    detectable_effect : float, optional
        The smallest that ``n_customers`` find; of a yes-or-no outcome the smallest increase.
    days : float, optional
        Until the last outcome of ``n_total`` customers is known; without an effect, of
        ``n_customers``.
    best_holdout : float, optional
        Share held out that maximises the expected profit, with a customer an arm at least; 0
        (contact everybody) or 1 (contact nobody) where no test is worth its cost.
    profit_best, profit_even, profit_all, profit_none : float, optional
        Expected profit, in money, with that share, with a half, and without a test if everybody
        or nobody is contacted, now and in future.
    value_of_testing : float, optional
        ``profit_best`` less the better of ``profit_all`` and ``profit_none``, in money.
    """

    mean: float | None
    sd: float
    binary: bool
    holdout: float
    power: float
    level: float
    n_customers: int | None = None
    effect: float | None = None
    n_control: int | None = None
    n_treated: int | None = None
    n_total: int | None = None
    detectable_effect: float | None = None
    days: float | None = None
    best_holdout: float | None = None
    profit_best: float | None = None
    profit_even: float | None = None
    profit_all: float | None = None
    profit_none: float | None = None
    value_of_testing: float | None = None

    def to_frame(self) -> pd.DataFrame:
        """Return a row a quantity.

        Returns
        -------
        DataFrame
            quantity (as the attributes are called), value, unit and meaning, of those that are
            known.
        """
        known = f"{self.n_customers:,} customers" if self.n_customers else ""
        rows = [
            ("effect", "a customer", "effect to be found"),
            ("n_control", "customers", "held out to find it"),
            ("n_treated", "customers", "contacted to find it"),
            ("n_total", "customers", "needed to find it"),
            ("detectable_effect", "a customer", f"smallest effect that {known} find"),
            ("days", "days", "until the last outcome is known"),
            ("best_holdout", "share", "held out of the customers, for the highest expected profit"),
            ("profit_best", "money", "expected profit with that share"),
            ("profit_even", "money", "expected profit with half held out"),
            ("profit_all", "money", "expected profit without a test, everybody contacted"),
            ("profit_none", "money", "expected profit without a test, nobody contacted"),
            ("value_of_testing", "money", "gained by testing first"),
        ]
        table = pd.DataFrame(
            [
                (name, float(getattr(self, name)), unit, meaning)
                for name, unit, meaning in rows
                if getattr(self, name) is not None
            ],
            columns=["quantity", "value", "unit", "meaning"],
        )
        table.attrs = {"holdout": self.holdout, "power": self.power, "level": self.level}
        return table

    @property
    def statement(self) -> str:
        """Return the plan in words."""
        said = []
        held = f"{_percent(self.holdout)} of them held out"
        if self.effect is not None:
            said.append(
                f"An effect of {self._told(self.effect)} is found by "
                f"{_percent(self.power)} of tests with {self.n_total:,} customers: "
                f"{self.n_control:,} held out and {self.n_treated:,} contacted."
            )
        if self.detectable_effect is not None:
            smallest = f"the smallest effect that {_percent(self.power)} of tests find"
            said.append(
                f"With {self.n_customers:,} customers, {held}, {smallest} is "
                f"{self._told(self.detectable_effect)}."
            )
        if self.days is not None:
            said.append(f"The last outcome is known after {self.days:,.0f} days.")
        if self.value_of_testing is not None and self.best_holdout is not None:
            if self.value_of_testing > 0:
                said.append(
                    f"The expected profit is highest with {_percent(self.best_holdout)} held out: "
                    f"{_amount(self.profit_best)}, which is {_amount(self.value_of_testing)} more "
                    "than without a test."
                )
            else:
                whom = f"all {self.n_customers:,}" if self.best_holdout == 0 else "nobody"
                said.append(
                    f"No test is worth its cost: contact {whom}, for an expected profit of "
                    f"{_amount(self.profit_best)}."
                )
        return " ".join(said)

    def _told(self, effect: float) -> str:
        """Return an effect in words, and what share of the mean it is."""
        told = (
            f"{_amount(100 * effect)} percentage points"
            if self.binary
            else f"{_amount(effect)} a customer"
        )
        share = (
            ""
            if not self.mean or self.mean < 0
            else f" ({_percent(effect / self.mean)} of the mean)"
        )
        return told + share

    def __repr__(self) -> str:
        return f"CampaignPlan({self.statement})"

    def _repr_html_(self) -> str:
        return f"<p>{self.statement}</p>" + self.to_frame().to_html(
            index=False, float_format="{:,.4g}".format
        )


def plan_campaign(
    outcome: Any = None,
    *,
    mean: float | None = None,
    sd: float | None = None,
    effect: float | None = None,
    relative_effect: float | None = None,
    n_customers: int | None = None,
    holdout: float = 0.5,
    per_day: float | None = None,
    window: float | None = None,
    value: float | None = None,
    cost: float | None = None,
    prior: tuple[float, float] | None = None,
    future: float | None = None,
    power: float = 0.8,
    level: float = 0.95,
    variance_reduction: float = 0.0,
) -> CampaignPlan:
    """Plan the test of a campaign (活动测试): how many customers, how long, how many held out.

    Every quantity is worked out whose inputs are passed: the sample size (样本量) from ``effect``
    or ``relative_effect``, the smallest detectable effect from ``n_customers``, the duration from
    ``per_day``, and the most profitable share to hold out (留白比例) from ``prior`` and
    ``future``.

    Parameters
    ----------
    outcome : array of float or bool, shape (n,), optional
        Past values, one a customer, over a window as long as the test's, with the zeros of those
        who did not buy: such as ``rfm_split(...)["holdout_amount"]``. Only 0 and 1 are a
        yes-or-no outcome.
    mean, sd : float, optional
        Instead of ``outcome``. Without ``sd`` the outcome is yes or no, and ``mean`` the share of
        yes. Without ``mean`` no relative effect is known.
    effect : float, optional
        Difference of the means, contacted less held out, that is to be found; not 0.
    relative_effect : float, optional
        The same as a share of the mean: 0.1 is a tenth more.
    n_customers : int, optional
        Customers there are for the test, both arms together.
    holdout : float
        Share held out, in (0, 1).
    per_day : float, optional
        Customers who enter the test a day, > 0.
    window : float, optional
        Days from a contact until its outcome is known, >= 0; with ``per_day`` only, 0 by default.
    value : float, optional
        Money that a unit of the outcome earns, > 0; with ``prior`` only, 1 by default.
    cost : float, optional
        Of a contacted customer, >= 0, in money; with ``prior`` only, 0 by default.
    prior : (float, float), optional
        Mean and standard deviation (> 0) of what is believed of the effect before the test, in
        units of the outcome a contacted customer: what past campaigns did. Needs ``future`` and
        ``n_customers``.
    future : float, optional
        Customers who will be contacted after the test if it says that a contact pays, > 0.
    power : float
        Share of tests that find the effect if it is there, between 1 - ``level`` and 1.
    level : float
        1 less the share of tests that find an effect where there is none, in (0, 1).
    variance_reduction : float
        Share of the variance that covariates take away, in [0, 1): what `evaluate_campaign` with
        "cuped" or "lin" reported for an earlier campaign.

    Returns
    -------
    CampaignPlan
        ``statement`` in words, ``to_frame()`` with a row a quantity.

    Raises
    ------
    InputError
        If an argument is out of bounds, is missing, has no use, or is given twice; or no increase
        of a share is large enough to be found.

    Notes
    -----
    The test is the one of `evaluate_campaign`: two-sided, the variance of the difference
    V = s_1^2 / n_1 + s_0^2 / n_0 with each arm's own variance, taken as normal. s_1 is s_0, but
    for a yes-or-no outcome, where it follows from the share and the effect. Formulas with a pooled
    share or with the arcsine of shares belong to other tests: at unequal shares they miss the power
    by more. Where outcomes are skewed and the shares far from a half, normality is late: of tests
    planned for 80 % with 10 % held out of a yes-or-no outcome of 2 % that is to become 3 %, 78 %
    find it; of spend with a skewness of 11 and 400 customers held out, 77 %.

    The expected profit with share h held out of N customers is
    (1 - h) N (m v - c) + F E[max(0, M v - c)], where v is the value, c the cost, F ``future``, m
    and s the prior's mean and standard deviation and M the mean of what is believed after the test:
    normal around m with variance s^4 / (s^2 + V).

    References
    ----------
    Feit and Berman (2019), "Test & Roll: Profit-Maximizing A/B Tests", Marketing Science 38, and
    Azevedo, Deng, Montiel Olea, Rao and Weyl (2020), "A/B Testing with Fat Tails", Journal of
    Political Economy 128 (the preposterior profit); Deng, Xu, Kohavi and Walker (2013), WSDM (the
    variance that covariates take away).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(), split="1997-09-30", unit="D")
    >>> plan = tp.plan_campaign(split["holdout_amount"], relative_effect=0.2, holdout=0.2)
    >>> plan.n_control, plan.n_treated
    (3509, 14036)
    >>> print(tp.plan_campaign(mean=0.1, n_customers=10_000, per_day=200, window=30).statement)
    With 10,000 customers, 50% of them held out, the smallest effect that 80% of tests find is
    1.743 percentage points (17.4% of the mean). The last outcome is known after 80 days.
    """
    holdout = check_number("holdout", holdout, gt=0, lt=1)
    level = check_number("level", level, gt=0, lt=1)
    power = check_number("power", power, gt=1 - level, lt=1)
    rest = 1 - check_number("variance_reduction", variance_reduction, ge=0, lt=1)
    spread = Spread.read(outcome, mean, sd, rest)
    wanted = _wanted(effect, relative_effect, spread)
    if wanted is None and n_customers is None:
        raise fail(
            "effect, relative_effect and n_customers are not given",
            "pass the effect to be found, or the customers there are",
        )
    found: dict[str, Any] = {}
    needed = _noncentrality(power, level)
    if wanted is not None:
        ratio = needed * math.sqrt(spread.variance(wanted, holdout)) / wanted
        total = ratio * ratio
        if total > _MOST:
            raise fail(
                f"an effect of {wanted:g} needs more than {_MOST:g} customers",
                "pass one large enough to matter",
            )
        control, treated = (max(math.ceil(part * total), 1) for part in (holdout, 1 - holdout))
        found |= {"n_control": control, "n_treated": treated, "n_total": control + treated}
    if n_customers is not None:
        n_customers = check_integer("n_customers", n_customers, ge=2)
        if min(holdout, 1 - holdout) * n_customers < 1:
            raise fail(
                f"holdout is {holdout} of {n_customers} customers, which leaves an arm without any",
                "pass more customers or another share",
            )
        found["detectable_effect"] = spread.detectable(needed, n_customers, holdout)
    if per_day is not None:
        check_number("per_day", per_day, gt=0)
        people: Any = found.get("n_total", n_customers)
        wait = 0.0 if window is None else check_number("window", window, ge=0)
        found["days"] = float(np.ceil(people / per_day)) + wait
    elif window is not None:
        raise fail("window is given without per_day", "pass the customers a day too: per_day=")
    if prior is not None or future is not None:
        found |= _profits(spread, n_customers, value, cost, prior, future)
    else:
        for name, given in (("value", value), ("cost", cost)):
            if given is not None:
                raise fail(
                    f"{name} is given without prior and future",
                    "it serves the expected profit alone: pass prior= and future= too",
                )
    return CampaignPlan(
        mean=spread.mean,
        sd=spread.sd,
        binary=spread.binary,
        holdout=holdout,
        power=power,
        level=level,
        n_customers=n_customers,
        effect=wanted,
        **found,
    )


def _wanted(effect: Any, relative: Any, spread: Spread) -> float | None:
    """Return the effect to be found, if any."""
    if effect is not None and relative is not None:
        raise fail("effect and relative_effect are both given", "pass one of them")
    if effect is None and relative is None:
        return None
    if effect is not None:
        wanted = check_number("effect", effect)
    else:
        wanted = check_number("relative_effect", relative)
        if not spread.mean:
            had = "not given" if spread.mean is None else "0"
            raise fail(f"relative_effect is a share of the mean, which is {had}", "pass effect=")
        wanted *= spread.mean
    if wanted == 0:
        raise fail("the effect to be found is 0", "pass one that would matter")
    spread.check_effect(wanted, "the effect")
    return wanted


def _noncentrality(power: float, level: float) -> float:
    """Return how many standard errors an effect must be."""
    # statsmodels takes half a second to import. One observation of unit variance: its solver is
    # exact at that scale, and not at a million customers.
    from statsmodels.stats.power import NormalIndPower

    return float(NormalIndPower(ddof=0).solve_power(nobs1=1, ratio=0, alpha=1 - level, power=power))


def _profits(
    spread: Spread, n_customers: Any, value: Any, cost: Any, prior: Any, future: Any
) -> dict[str, float]:
    """Return the best share to hold out, and the expected profits."""
    for name, given in (("prior", prior), ("future", future), ("n_customers", n_customers)):
        if given is None:
            raise fail(
                f"{name} is not given", "the expected profit needs prior, future and n_customers"
            )
    earned = 1.0 if value is None else check_number("value", value, gt=0)
    paid = 0.0 if cost is None else check_number("cost", cost, ge=0)
    later = check_number("future", future, gt=0)
    try:
        centre, doubt = prior
    except (TypeError, ValueError):
        raise fail(f"prior is {prior!r}", "pass a mean and a standard deviation") from None
    centre = check_number("the mean of prior", centre)
    doubt = check_number("the standard deviation of prior", doubt, gt=0)
    spread.check_effect(centre, "the mean of prior")
    gain = centre * earned - paid

    def profit(share: Any) -> FloatArray:
        variance = spread.variance(centre, share) / n_customers
        width = earned * doubt * (doubt / np.hypot(doubt, np.sqrt(variance)))
        # Beyond 40 standard deviations nothing changes but the risk of an overflow.
        ratio = gain / np.maximum(width, max(abs(gain) / 40, np.finfo(np.float64).tiny))
        density = np.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
        return np.asarray((1 - share) * n_customers * gain) + later * (
            gain * ndtr(ratio) + width * density
        )

    everybody, nobody = (n_customers + later) * gain, 0.0
    # Information is worth nothing at first and then ever more, so there may be two maxima.
    edge = math.log(n_customers - 1)
    shares = 1 / (1 + np.exp(-np.linspace(-edge, edge, _SHARES)))
    place = int(np.argmax(profit(shares)))
    bounds = shares[max(place - 1, 0)], shares[min(place + 1, _SHARES - 1)]
    best = minimize_scalar(
        lambda share: -profit(share), bounds=bounds, method="bounded", options={"xatol": 1e-9}
    ).x
    choices = {
        0.0: everybody,
        1.0: nobody,
        float(best): float(profit(best)),
    }
    best_share = max(choices, key=lambda share: choices[share])
    return {
        "best_holdout": best_share,
        "profit_best": choices[best_share],
        "profit_even": float(profit(0.5)),
        "profit_all": everybody,
        "profit_none": nobody,
        "value_of_testing": choices[best_share] - max(everybody, nobody),
    }


def _percent(share: float) -> str:
    """Return a share in per cent, with three digits at most where it is below 1,000 %."""
    return f"{100 * share:.3g}%" if abs(share) < 9.995 else f"{share:,.0%}"


def _amount(number: Any) -> str:
    """Return a number with four digits at least."""
    return f"{number:,.4g}" if abs(number) < 1000 else f"{number:,.0f}"
