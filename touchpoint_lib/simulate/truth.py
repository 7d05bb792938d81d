"""What nobody knows about a real shop."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from touchpoint_lib.simulate._columns import as_moment


@dataclass(frozen=True, eq=False)
class ShopTruth:
    """The truth behind a simulated shop, one frame a subject.

    Parameters
    ----------
    customers
        customer_id, person (what addresses the luck: the same in every twin), segment, regularity
        (stages a gap), rate (stages a day), dropout (probability
        to leave after an order), mean_value (yuan an order, list price), last_purchase_at (orders
        again within hours aside), left_at (time of the purchase after which the customer left;
        missing: still a customer at the end; one who never buys again left with the first).
    payments
        order_id, own_paid_at: when the order would be paid without reminder and limit (missing:
        never, or more than a century after the start).
    parcels
        parcel_id, delivered_at (even behind the end), late, delay_factor (1: no delay), loss (of
        the log hazard, at delivery).
    reviews
        review_id, late, loss (of the log hazard, when the limit for a reply passed).
    contacts
        contact_id, alive (at the end of that day), recent_contacts (by channels that tire: earlier
        ones of the same day and the 29 days before), log_hazard (what the contact adds, or would
        have added); with ``outcome_days`` also orders_contacted, orders_held_out,
        margin_contacted and margin_held_out: paid orders and their margin (yuan) in that many days
        behind the day of the contact, in both worlds. Missing where the window ends behind the
        end.
    other_orders
        contact_id, time, margin: the paid orders of the other world, contacted if the customer was
        held out, and the other way round. Empty without ``outcome_days``.
    channels
        channel, effect, decay, opportunities, contacts; with ``outcome_days`` followed (contacts
        whose window lies within the log), and of those incremental_orders and incremental_margin
        (before the cost of contacts) in their windows, and incremental_share (of the orders in
        their windows).
    snapshots
        date, customer_id, alive, silence (days since the last purchase), purchases,
        recent_contacts, probability_alive (given the silence and the customer's true parameters),
        own_return (the same way: probability of an order within ``horizon`` days without a further
        contact, and without losses that have not begun).
    dirt
        table, row, column, kind, original: every spoilt value. Empty without dirt.
    leaks
        table, column, why: columns known only after the fact. Empty without dirt.
    """

    customers: pd.DataFrame
    payments: pd.DataFrame
    parcels: pd.DataFrame
    reviews: pd.DataFrame
    contacts: pd.DataFrame
    other_orders: pd.DataFrame
    channels: pd.DataFrame
    snapshots: pd.DataFrame
    dirt: pd.DataFrame
    leaks: pd.DataFrame

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(getattr(self, item.name)):,} {item.name}" for item in fields(self))
        return f"ShopTruth({sizes})"

    def alive(self, at: str | pd.Timestamp) -> pd.Series[Any]:
        """Return who is still a customer at a moment; behind the end, who was one at the end.

        Parameters
        ----------
        at
            A date (its midnight) or time.

        Returns
        -------
        pandas.Series
            True for customers who had not left by ``at``, by customer_id; those who arrived later
            included.

        Raises
        ------
        InputError
            If ``at`` is no time.

        Examples
        --------
        >>> import touchpoint_lib as tp
        >>> shop = tp.simulate_shop(seed=1, n_customers=1000, days=365)
        >>> bool(shop.truth.alive("2024-01-01").all())
        True
        """
        moment = as_moment("at", at)
        left = self.customers.set_index("customer_id")["left_at"]
        return (left.isna() | (left > moment)).rename("alive")
