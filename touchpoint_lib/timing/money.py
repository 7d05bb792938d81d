"""What a contact costs, what it may win, and when it pays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray, check_number, check_values, fail


@dataclass(frozen=True, kw_only=True, eq=False)
class ContactMoney:
    """The money of one contact: what it costs, and what it brings if it works.

    With q the probability that the customer comes back without it, a contact is expected to gain

    (1 - q) ``win_back`` ``margin`` - ``cost`` - q ``discount``.

    Parameters
    ----------
    margin : float or Series by customer
        What a purchase that is won back brings, after the discount; >= 0, in money.
    win_back : float
        Chance that a contact brings back a customer who would not have come, in (0, 1]. Only a
        random holdout can tell it.
    cost : float
        Of a contact; >= 0, in money.
    discount : float or Series by customer
        What is given away to a contacted customer who would have come anyway; >= 0, in money.

    Raises
    ------
    InputError
        If a value is missing or out of bounds, or a customer has several.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> money = tp.ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)
    >>> money.gain([0.9, 0.5, 0.1]).round(2)
    array([-4.7, -1.5,  1.7])
    >>> money.line().round(4)
    array([0.3125])
    """

    margin: float | pd.Series
    win_back: float
    cost: float = 0.0
    discount: float | pd.Series = 0.0

    def __post_init__(self) -> None:
        check_number("win_back", self.win_back, gt=0, le=1)
        check_number("cost", self.cost, ge=0)
        for name in ("margin", "discount"):
            value = getattr(self, name)
            if not isinstance(value, pd.Series):
                check_number(name, value, ge=0)
                continue
            check_values(name, value, ge=0, index=value.index)
            if not value.index.is_unique:
                twice = value.index[value.index.duplicated()][0]
                raise fail(f"{name} has several values of customer {twice!r}", "pass one each")

    def gain(self, own_return: Any, customers: pd.Index[Any] | None = None) -> FloatArray:
        """Return the expected gain of a contact.

        Parameters
        ----------
        own_return : array of float, shape (n,)
            Probability that the customer comes without it.
        customers : Index, optional, shape (n,)
            Whose contact it is, where ``margin`` or ``discount`` is a Series by customer.

        Returns
        -------
        array of float, shape (n,)
            In money.

        Raises
        ------
        InputError
            If a probability is impossible, customers is no Index, or a customer's money is not
            known.
        """
        q = check_values("own_return", own_return, ge=0, le=1)
        _check_customers(customers)
        if customers is not None and q.shape != (len(customers),):
            raise fail(
                f"own_return has shape {q.shape} for {len(customers)} customers", "pass one each"
            )
        margin, discount = (self._each(name, customers) for name in ("margin", "discount"))
        return np.asarray((1 - q) * self.win_back * margin - self.cost - q * discount)

    def line(self, customers: pd.Index[Any] | None = None) -> FloatArray:
        """Return the own return below which a contact gains: (u margin - cost) / (u margin + d).

        Parameters
        ----------
        customers : Index, optional, shape (n,)
            As for `gain`.

        Returns
        -------
        array of float, shape (n,) or (1,)
            0 where no contact can gain.

        Raises
        ------
        InputError
            If customers is no Index, or a customer's money is not known.
        """
        _check_customers(customers)
        margin, discount = (self._each(name, customers) for name in ("margin", "discount"))
        won = self.win_back * margin
        # Where nothing can be won nor lost the line plays no part.
        return np.maximum(won - self.cost, 0.0) / np.where(won + discount > 0, won + discount, 1.0)

    def _each(self, name: str, customers: pd.Index[Any] | None) -> FloatArray:
        """Return an amount of money of each customer."""
        value = getattr(self, name)
        if not isinstance(value, pd.Series):
            return np.full(1 if customers is None else len(customers), float(value))
        if customers is None:
            raise fail(f"{name} is a Series by customer", "say whose contacts: customers=")
        place = value.index.get_indexer(customers)
        if (place < 0).any():
            unknown = customers[place < 0]
            raise fail(
                f"{name} has no value of customer {unknown[0]!r} ({len(unknown):,} such contacts)",
                f"pass a Series with every customer, such as {name}.reindex(customers.index, "
                "fill_value=...)",
            )
        return value.to_numpy(dtype=np.float64)[place]


def _check_customers(customers: Any) -> None:
    if customers is not None and not isinstance(customers, pd.Index):
        raise fail(f"customers is a {type(customers).__name__}", "pass an Index: frame.index")
