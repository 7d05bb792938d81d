"""What customers did up to a day, in hundreds of documented columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from touchpoint_lib._checks import fail
from touchpoint_lib.churn._behaviour import open_behaviour, past_day
from touchpoint_lib.churn._catalogue import catalogue

__all__ = ["behaviour_indicators", "indicator_dictionary"]

_LOST = (
    "pass the frame that behaviour_indicators or indicator_panel returns; where merge, join or "
    'concat has lost its attrs, set frame.attrs["levels"] to those of that frame'
)


def behaviour_indicators(
    log: Any,
    at: Any,
    customer: str = "customer_id",
    time: str = "date",
    amount: str | None = "amount",
    order: str | None = None,
    tz: str | None = None,
    on_bad: str = "raise",
    returns: str = "raise",
    discount: str | None = None,
    category: str | None = None,
    channel: str | None = None,
    event: str | None = None,
    purchase_event: Any = None,
    levels: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Return what each customer did up to the day ``at``, in more than 300 columns.

    Purchases are counted as `rfm_summary` counts them: all that a customer buys on a day is one
    purchase. Nothing later than ``at`` is known to any column, not even to the size of a cohort
    or to the choice of levels.

    Parameters
    ----------
    log, customer, time, amount, order, tz, on_bad, returns, discount
        As for `rfm_summary`. Without an ``amount`` its columns are left out; with a ``discount``
        its columns are added, and so are those of the time of day where a purchase by ``at`` is
        at another time than midnight.
    at
        The cutoff, a day: the last whose rows are known. It may be later than the last row.
    category, channel
        Names of columns with a word about each row. A row without one is a fault, which
        ``on_bad`` decides.
    event, purchase_event
        Name of a column that says what happened in each row, and its value that is a purchase.
        The other rows are no purchases and need no amount; they are counted by kind.
    levels
        The levels of category, channel, event and time that have columns of their own, in any
        order. By default the 10 commonest by the day ``at``; all others are "other". To get the
        columns of a panel or of other indicators again, pass
        ``levels=panel.attrs["levels"]``. A column is named after its level: as it is where it
        is of a-z, 0-9 and _, else with a hash of its text.

    Returns
    -------
    pandas.DataFrame
        Indexed and sorted by customer, one row for each with a purchase by the day ``at``;
        columns of float64, times in days. NaN where a figure has no meaning: see `missing` of
        `indicator_dictionary`. ``attrs`` holds unit, at, roles (the optional ones in use) and
        levels (sorted).

    Raises
    ------
    InputError
        As for `rfm_summary`, and if ``at`` lies in the future or before the first purchase, only
        one of ``event`` and ``purchase_event`` is given, no row is a purchase, or ``levels`` are
        not those of the log's roles.

    References
    ----------
    Goh, K.-I. and Barabasi, A.-L. (2008). "Burstiness and memory in complex systems", EPL 81(4),
    equations 1 and 2.
    Wheat, R. D. and Morrison, D. G. (1990). "Estimating Purchase Regularity with Two Interpurchase
    Times", Journal of Marketing Research 27(1).
    Thom, H. C. S. (1958). "A Note on the Gamma Distribution", Monthly Weather Review 86(4).
    Zhang, Y., Bradlow, E. T. and Small, D. S. (2015). "Predicting Customer Value Using Clumpiness:
    From RFM to RFMC", Marketing Science 34(2).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib.churn.indicators import behaviour_indicators
    >>> indicators = behaviour_indicators(tp.load_cdnow(sample=True), at="1997-09-30")
    >>> indicators.shape
    (2357, 326)
    >>> few = ["frequency", "silence", "silence_per_mean_gap", "amount_90d"]
    >>> indicators.loc["00004", few].round(3).to_dict()
    {'frequency': 2.0, 'silence': 59.0, 'silence_per_mean_gap': 0.554, 'amount_90d': 14.96}
    """
    day = past_day("at", at, tz)
    behaviour = open_behaviour(
        log,
        day,
        customer,
        time,
        amount,
        order,
        tz,
        on_bad,
        returns,
        discount,
        category,
        channel,
        event,
        purchase_event,
        levels,
    )
    frame = behaviour.at(day, behaviour.levels)
    behaviour.opened.con.close()
    return frame


def indicator_dictionary(indicators: pd.DataFrame) -> pd.DataFrame:
    """Return what each indicator is, one row a column.

    Parameters
    ----------
    indicators : DataFrame
        From `behaviour_indicators` or `indicator_panel`, or some of its columns.

    Returns
    -------
    DataFrame
        Index ``indicator``; group; window (days, NaN without one); unit; formula in words, where
        "the cutoff" is the day ``at``; known_at ("cutoff" for every indicator: none needs a later
        row); missing (when the value is NaN, "" if never).

    Raises
    ------
    InputError
        If a column is no indicator of the levels in ``attrs``, or these are lost: pandas' merge,
        join and concat may drop them.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib.churn.indicators import behaviour_indicators, indicator_dictionary
    >>> indicators = behaviour_indicators(tp.load_cdnow(sample=True), at="1997-09-30")
    >>> dictionary = indicator_dictionary(indicators)
    >>> dictionary.loc["silence_per_mean_gap", ["formula", "missing"]].tolist()
    ['silence / mean own gap', 'fewer than 2 purchase days']
    """
    if not isinstance(indicators, pd.DataFrame):
        raise fail(
            f"indicators is a {type(indicators).__name__}",
            "pass the frame that behaviour_indicators returns",
        )
    levels = indicators.attrs.get("levels", {})
    if not isinstance(levels, Mapping) or not all(_are_texts(words) for words in levels.values()):
        raise fail(f'indicators.attrs["levels"] is {levels!r}', _LOST)
    listed = catalogue(amounts=True, discounts=True, levels=levels)
    known = {made.name: made for made in listed}
    names = [name for name in indicators.columns if name != "buys"]
    unknown = [name for name in names if name not in known]
    if unknown:
        known_levels = "of the levels in attrs"
        if "levels" not in indicators.attrs:
            known_levels = 'without levels, and the frame has no attrs["levels"]'
        raise fail(
            f"column {unknown[0]!r} is no indicator {known_levels} ({len(unknown)} such columns)",
            _LOST,
        )
    rows = [known[name] for name in names]
    return pd.DataFrame(
        {
            "group": [made.group for made in rows],
            "window": [float("nan") if made.window is None else made.window for made in rows],
            "unit": [made.unit for made in rows],
            "formula": [made.formula for made in rows],
            "known_at": "cutoff",
            "missing": [made.missing for made in rows],
        },
        index=pd.Index(names, name="indicator"),
    )


def _are_texts(words: Any) -> bool:
    return isinstance(words, list | tuple) and all(isinstance(word, str) for word in words)
