"""The customers of a log where it was summarised, and predictions joined to them there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from touchpoint_lib._checks import UNIT_WORDS, Unit, fail
from touchpoint_lib.data.engine import DISTINCT, Engine, join_values
from touchpoint_lib.data.quality import DataReport


@dataclass(frozen=True, repr=False, eq=False)
class CustomerBase:
    """One row a customer, kept in the engine, and the distinct rows that a model needs.

    Attributes
    ----------
    rows
        One row a customer: the id and the columns of :func:`rfm_summary`. A DuckDB relation, or
        of a log in Spark a DataFrame that is persisted (``rows.unpersist()`` gives it back).
    unique
        The distinct frequency, recency and T, and ``count``, the customers who share them.
    report
        What the log consisted of.
    unit
        Unit of recency and T: "D" (days) or "W" (weeks of seven days).
    until
        The last day observed.
    customer
        Name of the id's column.
    engine
        Where the customers are kept, as the table ``customers``.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> base = tp.customer_base(tp.load_cdnow(sample=True))
    >>> base
    CustomerBase(2,357 customers, 1,218 distinct rows, in weeks, observed until 1998-06-30)
    """

    rows: Any
    unique: pd.DataFrame
    report: DataReport
    unit: Unit
    until: date
    customer: str = field(repr=False)
    engine: Engine = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return what :func:`rfm_summary` returns: a frame with one row a customer."""
        frame = customer_rows(self.engine, "customers", self.customer)
        return self._described(frame)

    def total(self, column: str) -> float:
        """Return the sum of a column of ``rows`` over all customers.

        Raises
        ------
        InputError
            If it is no column of numbers.
        """
        numbers = [name for name in self.rows.columns if name != self.customer]
        if column not in numbers:
            raise fail(f"column is {column!r}", f"it must be one of {', '.join(numbers)}")
        [(found,)] = self.engine.fetch(f"SELECT SUM({column}) FROM customers")
        return float(found)

    def repeat_spend(self) -> pd.DataFrame:
        """Return frequency and monetary_value of the customers with a repeat purchase.

        Raises
        ------
        InputError
            If the log was read without amounts.
        """
        if "monetary_value" not in self.rows.columns:
            raise fail("the base has no monetary_value", "name the log's amounts with amount=")
        self.engine.view(
            "repeat_spend", "SELECT frequency, monetary_value FROM customers WHERE frequency > 0"
        )
        frame = self.engine.frame("repeat_spend", ["frequency", "monetary_value"])
        frame.attrs["unit"] = self.unit
        return frame

    def predict(
        self, model: Any, predictions: str | Sequence[str], **options: Any
    ) -> CustomerPredictions:
        """Predict for every customer without fetching any: once for each distinct row.

        The predictions are computed here, in numpy, and joined to the customers in the engine.

        Parameters
        ----------
        model
            A fitted model of purchases, such as :class:`ModifiedBetaGeoModel`, without covariates.
        predictions
            Names of its predictions: one, or several such as ``["probability_alive",
            "expected_purchases"]``.
        options
            What the predictions take, by name: ``horizon=26``, ``interval=0.95``, ``quantile=...``.
            Each goes to every prediction that knows it; one value for all customers.

        Returns
        -------
        CustomerPredictions
            The columns of ``rows`` and one a prediction, with ``interval`` also its ``_lower`` and
            ``_upper``.

        Raises
        ------
        InputError
            If the model has no such prediction or needs more than frequency, recency and T, an
            option is missing, known to none of the predictions or one value a customer, the units
            differ, or the id's column is named as a prediction's.

        Examples
        --------
        >>> import touchpoint_lib as tp
        >>> base = tp.customer_base(tp.load_cdnow(sample=True), until="1997-09-30")
        >>> model = tp.ModifiedBetaGeoModel().fit(base)
        >>> predicted = base.predict(
        ...     model, ["probability_alive", "expected_purchases"], horizon=39
        ... )
        >>> predicted.to_frame()["expected_purchases"].sum().round()
        np.float64(1577.0)
        """
        if not isinstance(predictions, Iterable):
            raise fail(f"predictions is {predictions!r}", "pass the name of one, or several names")
        names = [predictions] if isinstance(predictions, str) else list(predictions)
        calls = _calls(model, names, options)
        columns: dict[str, Any] = {key: self.unique[key] for key in DISTINCT}
        for name, call in calls.items():
            found = call(self.unique)
            if isinstance(found, pd.Series):
                columns[name] = found
            else:
                columns[name] = found["estimate"]
                columns |= {f"{name}_{bound}": found[bound] for bound in ("lower", "upper")}
        # Names that differ in case only are the same to an engine.
        if self.customer.lower() in columns:
            raise fail(
                f"the customer column is named {self.customer!r}",
                "rename it: the predictions have such a column",
            )
        joined = join_values(self.engine, pa.table(columns))
        return CustomerPredictions(
            rows=self.engine.rows(joined, [self.customer]),
            base=self,
            columns=tuple(list(columns)[len(DISTINCT) :]),
            table=joined,
        )

    def _described(self, frame: pd.DataFrame) -> pd.DataFrame:
        frame.attrs.update(
            unit=self.unit, until=self.until.isoformat(), report=self.report.to_dict()
        )
        return frame

    def __repr__(self) -> str:
        return (
            f"CustomerBase({self.unique['count'].sum():,} customers, {len(self.unique):,} "
            f"distinct rows, in {UNIT_WORDS[self.unit]}, observed until {self.until})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.report._repr_html_()}"


@dataclass(frozen=True, repr=False, eq=False)
class CustomerPredictions:
    """Predictions for every customer of a base, kept where the customers are.

    Attributes
    ----------
    rows
        One row a customer: the columns of the base and the predictions. A DuckDB relation, or of
        a log in Spark a DataFrame.
    columns
        The names of the predictions' columns.
    base
        The base they were made for.
    table
        Their name in its engine.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> base = tp.customer_base(tp.load_cdnow(sample=True), until="1997-09-30")
    >>> model = tp.ModifiedBetaGeoModel().fit(base)
    >>> base.predict(model, "time_to_next_purchase", quantile=0.5)
    CustomerPredictions(time_to_next_purchase for 2,357 customers)
    """

    rows: Any
    columns: tuple[str, ...]
    base: CustomerBase
    table: str = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a customer, indexed and sorted by id."""
        return self.base._described(customer_rows(self.base.engine, self.table, self.base.customer))

    def write_parquet(self, path: str | Path) -> None:
        """Write one row a customer to Parquet, in no order, without fetching any.

        Parameters
        ----------
        path
            A file; of a log in Spark a folder, wherever the session can write.

        Raises
        ------
        InputError
            If ``path`` is none, there is something already, or it cannot be written.
        """
        if not isinstance(path, str | Path) or not str(path):
            raise fail(f"path is {path!r}", "pass the path of a new file")
        self.base.engine.write_parquet(self.table, str(path))

    def __repr__(self) -> str:
        n = int(self.base.unique["count"].sum())
        return f"CustomerPredictions({', '.join(self.columns)} for {n:,} customers)"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>"


def customer_rows(engine: Engine, table: str, customer: str) -> pd.DataFrame:
    """Return a table of customers as a frame, sorted by id, which is its index."""
    return engine.frame(table, [customer]).set_index(customer)


def _calls(
    model: Any, names: Sequence[str], options: dict[str, Any]
) -> dict[str, Callable[[pd.DataFrame], Any]]:
    """Return the call of each prediction, with the options that it knows."""
    known = {name: taken for name in dir(type(model)) if (taken := _taken(model, name)) is not None}
    if "expected_purchases" not in known:
        raise fail(
            f"model is a {type(model).__name__}",
            "pass a model of purchases: it needs no more than frequency, recency and T",
        )
    calls: dict[str, Callable[[pd.DataFrame], Any]] = {}
    for name in names:
        if name not in known:
            raise fail(f"predictions has {name!r}", f"it must be one of {', '.join(known)}")
        needed = [key for key, must in known[name].items() if must and key not in options]
        if needed:
            raise fail(f"{name} needs {', '.join(needed)}", f"pass {needed[0]}=")
        own = {key: value for key, value in options.items() if key in known[name]}
        for key, value in own.items():
            # The customers here are distinct rows, in an order of their own.
            if np.ndim(value) == 1:
                raise fail(
                    f"{key} holds {len(value):,} values",
                    "pass one number, or predict for base.to_frame() with one value a customer",
                )
        calls[name] = partial(getattr(model, name), **own)
    idle = [key for key in options if not any(key in known[name] for name in names)]
    if idle or not names:
        what = f"{idle[0]} is an option of none of them" if idle else "predictions is empty"
        raise fail(what, f"the predictions are {', '.join(known)}")
    return calls


def _taken(model: Any, name: str) -> dict[str, bool] | None:
    """Return the options of a prediction and whether each must be given; None if it is none."""
    method = None if name.startswith("_") else getattr(type(model), name)
    if not inspect.isfunction(method):
        return None
    parameters = dict(inspect.signature(method).parameters)
    if "customers" not in parameters or "interval" not in parameters:
        return None
    return {
        key: parameter.default is parameter.empty
        for key, parameter in parameters.items()
        if key not in ("self", "customers")
    }
