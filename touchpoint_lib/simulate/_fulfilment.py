"""What follows an order: payment, parcel, review, and what they take from the next purchases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._orders import Later, Orders
from touchpoint_lib.simulate.parcels import (
    Parcels,
    ShopParcels,
    check_provinces,
    delay_factors,
    ship,
)
from touchpoint_lib.simulate.payments import Payments, ShopPayments, check_sources, pay
from touchpoint_lib.simulate.reviews import Reviews, ShopReviews, review
from touchpoint_lib.simulate.settings import ShopProduct, ShopProvince


@dataclass(frozen=True)
class Chain:
    """The processes behind orders; None where one is switched off.

    Without payments every order is paid at once; without parcels it is received when paid.
    """

    paid_at: FloatArray
    received_at: FloatArray
    payments: Payments | None
    parcels: Parcels | None
    reviews: Reviews | None


class Fulfilment:
    """Payments, parcels and reviews of one shop, as pure functions of the orders."""

    def __init__(
        self,
        draws: Draws,
        payments: ShopPayments | None,
        parcels: ShopParcels | None,
        reviews: ShopReviews | None,
        *,
        start: pd.Timestamp,
        sources: Sequence[str],
        provinces: Sequence[ShopProvince],
        products: Sequence[ShopProduct],
    ) -> None:
        self._draws = draws
        self._settings = payments, parcels, reviews
        self._sources, self._provinces, self._products = sources, provinces, products
        if payments is not None:
            check_sources(payments, sources)
        if parcels is not None:
            check_provinces(parcels, provinces)
            self._jams = delay_factors(parcels, provinces, start)

    def chain(self, orders: Orders) -> Chain:
        """Return what becomes of ``orders``."""
        payments, parcels, reviews = self._settings
        draws, paid_at = self._draws, orders.time
        paid = shipped = None
        if payments is not None:
            paid = pay(draws, payments, orders, self._sources)
            paid_at = paid.paid_at
        received_at, late = paid_at, np.zeros(len(orders), dtype=np.bool_)
        if parcels is not None:
            shipped = ship(draws, parcels, self._provinces, orders, paid_at, self._jams)
            received_at, late = shipped.delivered_at, shipped.late
        reviewed = None
        if reviews is not None:
            reviewed = review(draws, reviews, self._products, orders, received_at, late)
        return Chain(paid_at, received_at, paid, shipped, reviewed)

    def later(self, orders: Orders) -> Later:
        """Return what ``orders`` do to the customers' next purchases, and when parcels come."""
        chain = self.chain(orders)
        received = np.full(len(orders), np.nan)
        lost_by, lost_on, lost, rows = [], [], [], []
        if chain.parcels is not None:
            received = chain.received_at
            lost_by.append(np.flatnonzero(chain.parcels.loss > 0))
            lost_on.append(received[lost_by[-1]])
            lost.append(chain.parcels.loss[lost_by[-1]])
            rows.append(np.zeros(len(lost_by[-1]), dtype=np.int64))
        if chain.reviews is not None:
            lost_by.append(np.flatnonzero(chain.reviews.loss > 0))
            lost_on.append(chain.reviews.loss_at[lost_by[-1]])
            lost.append(chain.reviews.loss[lost_by[-1]])
            rows.append(np.ones(len(lost_by[-1]), dtype=np.int64))
        empty = np.zeros(0, dtype=np.int64)
        return Later(
            received,
            np.concatenate([empty, *lost_by]),
            np.concatenate([empty, *lost_on]),
            np.concatenate([empty, *lost]),
            np.concatenate([empty, *rows]),
        )
