"""What a campaign costs and earns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from touchpoint_lib._checks import FloatArray, check_number, fail
from touchpoint_lib.campaigns._comparison import Comparison
from touchpoint_lib.campaigns._data import Arms, read_arms, read_values

MONEY_COLUMNS = (
    "margin",
    "margin_low",
    "margin_high",
    "contact_cost",
    "discount_cost",
    "fixed_cost",
    "net_profit",
    "net_profit_low",
    "net_profit_high",
    "roi",
    "roi_low",
    "roi_high",
    "break_even_effect",
    "probability_of_profit",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class CampaignCosts:
    """What an outcome earns, and what a campaign costs.

    Parameters
    ----------
    margin : float
        Money that a unit of the outcome earns before contacts and discounts of the campaign: 0.3
        of a unit of spend, 12 an order; > 0.
    contact : float, column or mapping by arm
        Of a customer in a treated arm: one number, a column with what was spent on each customer,
        or a number for each treated arm; >= 0, in money.
    discount : float or column
        What the campaign's discount took: money a unit of the outcome of the treated (0.2 of a
        unit of spend), all of it and not the incremental part alone; or a column with the money
        that each customer took off. 0 where ``margin`` is already after the discount.
    fixed : float
        Of the campaign, for each treated arm, whatever the number of contacts; >= 0, in money.
        Not in the rows of segments, to which it does not belong.

    Raises
    ------
    InputError
        If a number is missing or out of bounds.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.CampaignCosts(margin=0.3, contact=0.1, discount="coupon").fixed
    0.0
    """

    margin: float
    contact: float | str | Mapping[Any, float] = 0.0
    discount: float | str = 0.0
    fixed: float = 0.0

    def __post_init__(self) -> None:
        check_number("margin", self.margin, gt=0)
        check_number("fixed", self.fixed, ge=0)
        if not isinstance(self.discount, str):
            check_number("discount", self.discount, ge=0)
        if isinstance(self.contact, Mapping):
            for arm, cost in self.contact.items():
                check_number(f"contact of {arm!r}", cost, ge=0)
        elif not isinstance(self.contact, str):
            check_number("contact", self.contact, ge=0)

    def profit(self, data: pd.DataFrame, *, arm: str, control: Any, outcome: str) -> pd.Series:
        """Return what each customer brought, less what was spent on it.

        Parameters
        ----------
        data, arm, control
            As for `evaluate_campaign`.
        outcome : str
            Column of what earns the margin.

        Returns
        -------
        Series of float, shape (n,)
            margin x outcome - contact - discount, in money, on the index of ``data``: an outcome
            on which rules of targeting can be judged in money. The fixed cost is not in it.

        Raises
        ------
        InputError
            As `evaluate_campaign` does.

        Examples
        --------
        >>> import pandas as pd
        >>> import touchpoint_lib as tp
        >>> sent = pd.DataFrame({"arm": ["sms", "holdout"], "spend": [20.0, 10.0]})
        >>> costs = tp.CampaignCosts(margin=0.3, contact=0.5)
        >>> costs.profit(sent, arm="arm", control="holdout", outcome="spend").tolist()
        [5.5, 3.0]
        """
        arms, values = read_arms(data, arm, control), read_values(data, outcome)
        rows = RowCosts.read(data, self, arms, values)
        return pd.Series(
            self.margin * values - rows.contact - rows.discount, index=data.index, name="profit"
        )


@dataclass(frozen=True, eq=False)
class RowCosts:
    """The costs of each row: what it was contacted for, what it took off, by arm."""

    costs: CampaignCosts
    contact: FloatArray
    discount: FloatArray

    @classmethod
    def read(
        cls, data: pd.DataFrame, costs: CampaignCosts, arms: Arms, values: FloatArray
    ) -> RowCosts:
        """Return the costs of each row of ``data``; ``values`` are the outcome, not capped."""
        n_arms = len(arms.labels)
        if isinstance(costs.contact, str):
            contact = _money_column(data, costs.contact, "contact cost")
        elif isinstance(costs.contact, Mapping):
            each = np.zeros(n_arms)
            for number, label in enumerate(arms.labels[1:], start=1):
                if label not in costs.contact:
                    raise fail(
                        f"contact has no cost of arm {label!r}", "pass one for each treated arm"
                    )
                each[number] = costs.contact[label]
            unknown = [arm for arm in costs.contact if arm not in arms.labels[1:]]
            if unknown:
                raise fail(
                    f"contact has a cost of {unknown[0]!r}, which is no treated arm",
                    f"the arms are {', '.join(map(repr, arms.labels[1:]))}",
                )
            contact = each[arms.code]
        else:
            contact = np.where(arms.code > 0, float(costs.contact), 0.0)
        if isinstance(costs.discount, str):
            discount = _money_column(data, costs.discount, "discount")
        else:
            discount = np.where(arms.code > 0, float(costs.discount) * values, 0.0)
        return cls(costs, contact, discount)


def _money_column(data: pd.DataFrame, column: str, what: str) -> FloatArray:
    values = read_values(data, column, what)
    if (values < 0).any():
        first = np.flatnonzero(values < 0)[0]
        raise fail(
            f"{what} {column!r} is {values[first]:g} at index {data.index[first]!r}",
            "costs are positive numbers: turn the sign",
        )
    return values


def money_row(
    row_costs: RowCosts,
    one: Comparison,
    values: FloatArray,
    *,
    quantile: float,
    whole: bool,
) -> dict[str, float]:
    """Return the money columns of one comparison.

    Parameters
    ----------
    row_costs
        Of all rows.
    one
        The comparison.
    values
        The outcome of its rows, not capped.
    quantile
        Of the effect's distribution, for the intervals.
    whole
        Whether the comparison is about all customers, who bear the fixed cost.
    """
    costs, n_treated = row_costs.costs, float(one.treated.sum())
    earned = costs.margin * values
    gross = one.means(earned)
    parts = [one.of(each) for each in (row_costs.contact, row_costs.discount)]
    # What the control took as well is not the campaign's.
    contacts, discounts = (one.spent(each) for each in parts)
    paid = contacts.less(discounts, -1)
    largest = float(np.abs(earned).max() + sum(each.max() for each in parts))

    def error_at(price: float) -> float:
        """Return the standard error of what was earned less ``price`` times what was paid.

        NaN where nothing varies.
        """
        variance = one.finished(gross.less(paid, price), largest).variance
        return n_treated * variance**0.5 if variance > 0 else np.nan

    fixed = float(costs.fixed) if whole else 0.0
    contact, discount = n_treated * contacts.effect, n_treated * discounts.effect
    margin, spent = n_treated * gross.effect, contact + discount + fixed
    margin_error = quantile * error_at(0)
    profit, error = margin - spent, error_at(1)
    bounds = profit - quantile * error, profit + quantile * error
    # A discount a unit of the outcome grows with the effect.
    rate = 0.0 if isinstance(costs.discount, str) else float(costs.discount)
    without = spent - (rate * n_treated * gross.effect / costs.margin)
    even = without / n_treated / (costs.margin - rate) if costs.margin > rate else np.inf
    roi, roi_error = np.nan, np.nan
    if spent > 0:
        roi = profit / spent
        # The delta method: what is spent varies with what is earned.
        roi_error = quantile * error_at(1 + roi) / spent
    return {
        "margin": margin,
        "margin_low": margin - margin_error,
        "margin_high": margin + margin_error,
        "contact_cost": contact,
        "discount_cost": discount,
        "fixed_cost": fixed,
        "net_profit": profit,
        "net_profit_low": bounds[0],
        "net_profit_high": bounds[1],
        "roi": roi,
        "roi_low": roi - roi_error,
        "roi_high": roi + roi_error,
        "break_even_effect": even,
        "probability_of_profit": float(ndtr(profit / error)) if error > 0 else np.nan,
    }
