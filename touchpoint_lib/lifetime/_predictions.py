"""How a model is evaluated on customers: checked, grouped, spread by covariates, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import (
    FloatArray,
    IntArray,
    check_each,
    check_integer,
    check_number,
    fail,
)
from touchpoint_lib.lifetime._base import LifetimeModel
from touchpoint_lib.lifetime._covariates import Covariates, Links
from touchpoint_lib.lifetime._intervals import Centre
from touchpoint_lib.lifetime._rows import (
    Rows,
    check_rows,
    common_unit,
    customer_frame,
    group_with_design,
    group_with_inverse,
)

#: Parameters of a model, each one number or one a row.
Params = Sequence[Any] | FloatArray
#: A prediction for rows at parameters; the third argument is one extra value a row, or none.
Evaluate = Callable[[Params, Rows, Any], FloatArray]
PerCustomer = float | pd.Series | npt.NDArray[np.float64]


class RowModel(LifetimeModel):
    """A model that sees a customer as frequency, recency and T, and maybe covariates."""

    #: Whether time is counted in whole periods.
    _whole_times: ClassVar[bool] = False
    #: How a linear predictor of covariates moves the logs of the parameters: name of the set to
    #: position of the parameter to factor.
    _links: ClassVar[Links] = {}
    _covariates: Covariates | None = None

    def _check_time(self, name: str, value: Any) -> float:
        """Return a length of time; raise unless it is >= 0, and whole where time is counted."""
        check = check_integer if self._whole_times else check_number
        return float(check(name, value, ge=0))

    def _check_rows(self, frame: pd.DataFrame) -> Rows:
        """Return the rows of customers; raise where one is impossible under the model."""
        return check_rows(frame)

    def _predict(
        self,
        customers: Any,
        name: str,
        evaluate: Evaluate,
        interval: float | None,
        draws: Any,
        *,
        grouped: bool = True,
        extra: tuple[str, Any, Mapping[str, Any]] | None = None,
        centre: Centre = "mean",
    ) -> pd.Series | pd.DataFrame:
        """Evaluate on the distinct rows and scatter back, with an interval if asked.

        ``extra`` is (name, value or values a customer, their bounds); rows with a value each are
        not grouped.
        """
        self._require_fit()
        frame = customer_frame(customers)
        values = None if extra is None else _per_customer(*extra, frame.index)
        grouped = grouped or interval is not None or draws is not None
        own = extra is not None and np.ndim(extra[1]) > 0
        rows, design, inverse = self._rows(frame, grouped=grouped and not own)
        if values is not None and not own:
            values = values[: len(rows.T)]
        found = self._on_rows(evaluate, rows, design, values, interval, draws, centre)
        if interval is None:
            values = found["estimate"][inverse]
            return pd.Series(values, index=frame.index, name=name, copy=False)
        return pd.DataFrame({key: value[inverse] for key, value in found.items()}, frame.index)

    def _rows(
        self, frame: pd.DataFrame, *, grouped: bool
    ) -> tuple[Rows, FloatArray | None, IntArray | slice]:
        """Return the checked rows and covariates of customers, and the row of each of them."""
        rows = self._check_rows(frame)
        self._check_unit(frame)
        design = None if self._covariates is None else self._covariates.matrix(frame)
        if not grouped:
            return rows, design, slice(None)
        if design is not None:
            return group_with_design(rows, design)
        distinct, inverse = group_with_inverse(rows)
        return distinct, None, inverse

    def _on_rows(
        self,
        evaluate: Evaluate,
        rows: Rows,
        design: FloatArray | None,
        values: FloatArray | None,
        interval: float | None,
        draws: Any,
        centre: Centre = "mean",
    ) -> dict[str, FloatArray]:
        """Return estimate, lower and upper on ``rows``; the bounds where they are asked for."""

        def on_block(params: FloatArray, block: slice) -> FloatArray:
            return evaluate(
                self._at(params, None if design is None else design[block]),
                rows.part(block),
                None if values is None else values[block],
            )

        return self._summarise(on_block, len(rows.T), interval, draws, centre)

    def _at(self, params: FloatArray, design: FloatArray | None) -> Params:
        """Return the parameters of each row of a design of covariates."""
        if self._covariates is None or design is None:
            return params
        return self._covariates.spread(params, design, self._links)

    def _newcomer(
        self,
        evaluate: Evaluate,
        covariates: pd.DataFrame | None,
        interval: float | None,
        draws: Any,
    ) -> float | pd.Series | pd.DataFrame:
        """Evaluate for a customer on the day of the first purchase."""
        self._require_fit()
        design, n = None, 1
        if self._covariates is not None:
            if covariates is None:
                raise fail(
                    "the model has covariates, and a new customer's are not known",
                    "pass covariates=, a frame with a row a new customer",
                )
            design, n = self._covariates.matrix(covariates), len(covariates)
        elif covariates is not None:
            raise fail("covariates was given, but the model has none", "leave it out")
        zero = np.zeros(n)
        found = self._on_rows(
            evaluate, Rows(zero, zero, zero, np.ones(n)), design, None, interval, draws
        )
        if covariates is not None:
            if interval is None:
                return pd.Series(found["estimate"], index=covariates.index)
            return pd.DataFrame(found, index=covariates.index)
        single = {key: float(value[0]) for key, value in found.items()}
        return single["estimate"] if interval is None else pd.Series(single)

    def _check_unit(self, frame: pd.DataFrame) -> None:
        own = common_unit(frame.attrs, None, self._units)
        if own is not None and self.unit_ is not None and own != self.unit_:
            raise fail(
                f'the customers are summarised in "{own}", the model was fitted in "{self.unit_}"',
                f'call rfm_summary(..., unit="{self.unit_}")',
            )


def _per_customer(
    name: str, value: Any, bounds: Mapping[str, Any], index: pd.Index[Any]
) -> FloatArray:
    """Return one value a customer from a number, an array in their order, or a Series."""
    if isinstance(value, pd.Series) and not value.index.equals(index):
        raise fail(
            f"{name} has an index that differs from that of customers",
            f"pass {name}.reindex(customers.index)",
        )
    return check_each(name, value, len(index), index=index if np.ndim(value) else None, **bounds)
