"""The outcomes of an evaluation: columns, ratios of columns, changes since before, caps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import FloatArray, check_number, fail
from touchpoint_lib.campaigns._data import as_names, read_values

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")


@dataclass(frozen=True, eq=False)
class Outcome:
    """An outcome of each row.

    Attributes
    ----------
    name : str
        What the result calls it.
    values : array, shape (n,)
        As recorded; the numerator of a ratio.
    capped : array, shape (n,)
        The same, at most ``cap``.
    cap : float
        NaN without one.
    below : array or None
        The denominator of a ratio.
    before : array or None
        The outcome before the campaign, of which the change counts.
    columns : tuple
        Where it stands in the data.
    """

    name: str
    values: FloatArray
    capped: FloatArray
    cap: float
    below: FloatArray | None
    before: FloatArray | None
    columns: tuple[Any, ...]

    @property
    def is_binary(self) -> bool:
        """Whether every value is 0 or 1."""
        plain = self.below is None and self.before is None
        return plain and bool(((self.values == 0) | (self.values == 1)).all())


def read_outcomes(
    data: pd.DataFrame,
    outcomes: Any,
    caps: Mapping[str, float | str] | None,
    before: Mapping[str, str] | None,
) -> list[Outcome]:
    """Return the outcomes, each with its cap and its column before, if it has them."""
    if isinstance(outcomes, Mapping):
        named = dict(outcomes)
    else:
        named = {name: name for name in as_names("outcomes", outcomes)}
    if not named:
        raise fail("outcomes is empty", "name at least one column")
    for name, given in (("caps", caps), ("before", before)):
        if given is not None and not isinstance(given, Mapping):
            raise fail(f"{name} is {given!r}", "pass a mapping by outcome")
        odd = [one for one in given or {} if one not in named]
        if odd:
            raise fail(
                f"{name} names {odd[0]!r}, which is no outcome",
                f"the outcomes are {', '.join(map(repr, named))}",
            )
    if before is not None and len(before) < len(named):
        lacks = next(one for one in named if one not in before)
        raise fail(f"before has no column of outcome {lacks!r}", "name one for each outcome")
    return [_read(data, name, spec, caps, before) for name, spec in named.items()]


def _read(
    data: pd.DataFrame,
    name: str,
    spec: Any,
    caps: Mapping[str, float | str] | None,
    before: Mapping[str, str] | None,
) -> Outcome:
    below = None
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        if len(spec) != 2:
            raise fail(
                f"outcome {name!r} is {spec!r}", "pass a column, or (numerator, denominator)"
            )
        values, below = (read_values(data, column) for column in spec)
        if (below < 0).any():
            place = np.flatnonzero(below < 0)[0]
            raise fail(
                f"denominator {spec[1]!r} is {below[place]:g} at index {data.index[place]!r}",
                "ratios are of sums that cannot be negative",
            )
    else:
        values = read_values(data, spec)
    if below is not None and before is not None:
        raise fail(
            f"outcome {name!r} is a ratio and has a column before",
            "ask for the changes of its numerator and of its denominator",
        )
    cap = np.nan if caps is None or name not in caps else _cap(name, caps[name], values)
    if below is not None and not np.isnan(cap):
        raise fail(f"outcome {name!r} is a ratio and has a cap", "cap outcomes that are columns")
    capped = values if np.isnan(cap) else np.minimum(values, cap)
    was = None if before is None else read_values(data, before[name], "outcome before")
    columns = (spec,) if below is None else tuple(spec)
    return Outcome(name, values, capped, cap, below, was, columns)


def _cap(name: str, cap: Any, values: FloatArray) -> float:
    """Return a cap in units of the outcome: as it is, or a percentile of all arms together.

    Of the values above 0: where one customer in a hundred buys, the 99th percentile of all is 0.
    """
    if not isinstance(cap, str):
        return check_number(f"cap of {name!r}", cap)
    found = _PERCENT.fullmatch(cap.strip())
    if found is None or not 50 <= float(found[1]) < 100:
        raise fail(
            f"cap of {name!r} is {cap!r}",
            "pass a number in its unit, or a percentile from 50% on of the values above 0 in all "
            'arms together, such as "99%"',
        )
    above = values[values > 0]
    if not above.size:
        raise fail(f"cap of {name!r} is {cap!r}, and no value is above 0", "leave it out")
    return float(np.quantile(above, float(found[1]) / 100))
