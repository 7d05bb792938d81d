"""Classic attribution (归因): how rules share out the orders among the channels before them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    check_choice,
    check_columns,
    check_number,
    check_present,
    check_values,
    fail,
    first_of,
)
from touchpoint_lib.touchpoints._paths import (
    NO_CONTACT,
    SEPARATOR,
    Paths,
    check_channels,
    read_journeys,
)
from touchpoint_lib.touchpoints._rules import RULES, Endings

__all__ = ["attribution_credit", "credit_of_paths"]

#: The rule that needs times.
_TIMED = "time decay"
#: Sums of larger numbers leave the range of floats.
_MOST = 1e100


def attribution_credit(
    contacts: pd.DataFrame,
    orders: pd.DataFrame,
    *,
    rules: Iterable[str] = (
        "first",
        "last",
        "linear",
        "time decay",
        "position",
        "markov",
        "shapley",
    ),
    window: float = 30,
    half_life: float = 7,
    position: Sequence[float] = (0.4, 0.4),
    value: str | None = None,
) -> pd.DataFrame:
    """Return how many orders each rule of attribution (归因规则) credits to each channel.

    **Credit is no effect.** A rule shares out the orders that came behind contacts; it does not ask
    which of them would have come without. In the bundled shop "social" does nothing, and every
    rule gives it 8 to 13 % of the orders with a touch; "page" is shown to who is about to buy
    anyhow: it has 24 to 38 % of the credit, and 4 % of the orders that contacts really added. What
    a channel adds is told by its random holdout (留白组) alone, see `evaluate_campaign`; this table
    is the baseline beside it.

    A contact is a touch of the customer's next order if that comes within ``window`` days behind
    it: in (time, time + window], as in `contact_outcomes`. All touches of an order, in the order
    of time, are a path (路径) to it; an order without a touch is credited to "(no contact)".

    Parameters
    ----------
    contacts : DataFrame
        A row a contact: customer_id, time, channel (text). Rows where a column held_out (bool) is
        True were not made and are no touches.
    orders : DataFrame
        A row an order: customer_id, time. All orders are conversions; leave out those that do not
        count, such as unpaid ones. Of several orders of a customer at one moment the first row
        has the touches.
    rules : iterable of str
        "first": all to the first touch. "last": all to the last. "linear": equal parts to all
        touches. "time decay": weights halve with every ``half_life`` days before the last touch.
        "position": ``position`` to the first and the last, the rest equally to those between; of
        two touches each has its part of the sum of both. "markov": every channel in proportion to
        its removal effect (移除效应). "markov per path": the same weights, but shared out within
        each path, so that nothing goes to a channel that was not in it. "shapley": equal parts to
        the different channels of a path. "shapley rate": the Shapley value of conversion rates.
        See Notes.
    window : float
        Days of 24 hours, > 0.
    half_life : float
        Days, > 0.
    position : pair of float
        Shares of the first and the last touch, >= 0, their sum in (0, 1].
    value : str, optional
        Numeric column of ``orders`` to be credited instead of the number of orders, such as
        margin. The weights of "markov" and "shapley rate" are those of the number of orders.

    Returns
    -------
    DataFrame
        A row a channel, sorted, and "(no contact)"; touches (contacts on paths to an order) and
        a column of credit for each rule, which sums to the conversions (to their value). A
        channel has a row if it is in ``contacts``, also without a touch. ``attrs`` holds window,
        until (the last order), value, conversions, touched (of them, those with a touch), early
        (of them, those with days of their window before the first row of ``contacts``, of which
        nothing is known), contacts (that were made), held_out (rows that were not), lost_paths,
        open_paths and open_contacts (left out, see Notes), and with a "markov" rule removal_effect
        by channel.

    Raises
    ------
    InputError
        If a column is missing, not of its kind or has missing values; a frame is empty; time
        zones differ; no customer is in both; or an argument is out of its bounds.

    Notes
    -----
    *Lost paths.* A contact without an order within ``window`` days is lost. The lost contacts of a
    customer between two orders (or before the first, or behind the last) are a lost path, cut
    where more than ``window`` days pass between two of them. "markov" and "shapley rate" learn
    from them what does not convert. Paths whose last contact has no order yet and less than
    ``window`` days left to the last order of ``orders`` are open, and left out.

    *Markov.* A chain of first order goes from the start through the channels of a path to
    conversion or loss, with the observed frequencies of steps. With N the fundamental matrix
    (I - Q)^-1 and b = N r the probability of conversion from each state, the chain meets channel c
    with probability N[start, c] / N[c, c], so that sending all that arrives at c to loss leaves
    b[start] - N[start, c] b[c] / N[c, c]: all removal effects, as shares of b[start], come from one
    inverse. Steps from a channel to itself change no removal effect.

    *Shapley.* "shapley" is the Shapley value of the game in which a set of channels is worth the
    conversions of all paths within it; its Harsanyi dividends are the conversions of the paths of
    each exact set, hence the equal parts. In "shapley rate" each set of channels that is observed
    is a game of its own, in which a subset is worth the conversion rate of the paths with exactly
    that set (0 if there is none); the Shapley values are scaled to the set's conversions. Credit
    can be negative where more channels convert less. The work grows with the square of the number
    of different sets.

    References
    ----------
    Anderl, Becker, von Wangenheim and Schumann (2016), "Mapping the customer journey", IJRM 33
    (removal effect in a Markov chain). Kemeny and Snell (1960), "Finite Markov Chains", chapter III
    (fundamental matrix, and the probability to meet a state). Zhao, Mahboobi and Bagheri (2018),
    "Shapley value methods for attribution modeling in online advertising", arXiv:1804.05327 (the
    simplified formula). The package marketing-attribution-models 2.1.1 has the removal effects
    here; its Markov result is "markov per path" and its Shapley result "shapley rate", the one that
    its versions before 2 had for Markov is "markov".

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> shop = tp.load_shop()
    >>> paid = shop.orders[shop.orders["status"] == "paid"]
    >>> credit = tp.attribution_credit(shop.contacts, paid, rules=["last", "linear", "markov"])
    >>> credit.round().astype(int)
                  touches   last  linear  markov
    channel
    chat             1077    672     673     847
    email            3434   1926    2038    2315
    page             6110   4684    3917    3547
    parcel           4691   2984    3588    2863
    sms              2574   1641    1627    1975
    social           2261   1288    1353    1647
    (no contact)        0  16657   16657   16657
    """
    names = _check_rules(rules, list(RULES))
    check_number("window", window, gt=0)
    check_number("half_life", half_life, gt=0)
    shares = _check_position(position)
    journeys = read_journeys(contacts, orders, window)
    history, paths = journeys.history, journeys.paths
    worth = np.ones(len(orders))
    if value is not None:
        check_columns(orders, [value], "orders", "name a numeric column by value=")
        worth = check_values(
            f"{value} of orders", orders[value], ge=-_MOST, le=_MOST, index=orders.index
        )
    worth = worth[history.order]
    won = journeys.place >= 0
    ends = Endings(
        paths=paths,
        conversions=won.astype(np.float64),
        lost=(~won).astype(np.float64),
        value=np.where(won, worth[journeys.place], 0.0),
        moment=journeys.moment,
        half_life=half_life,
        position=shares,
    )
    untouched = np.ones(len(worth), dtype=np.bool_)
    untouched[journeys.place[won]] = False
    table = _table(ends, names, float(worth[untouched].sum()))
    table["touches"] = table["touches"].astype(np.int64)
    table.attrs = {
        "window": float(window),
        "until": str(journeys.until),
        "value": value,
        "conversions": len(orders),
        "touched": int(won.sum()),
        "early": int(journeys.early.sum()),
        "contacts": journeys.contacts,
        "held_out": journeys.held_out,
        "lost_paths": int((~won).sum()),
        "open_paths": journeys.open_paths,
        "open_contacts": journeys.open_contacts,
        **table.attrs,
    }
    return table


def credit_of_paths(
    paths: pd.DataFrame,
    *,
    rules: Iterable[str] = ("first", "last", "linear", "position", "markov", "shapley"),
    position: Sequence[float] = (0.4, 0.4),
    value: str | None = None,
) -> pd.DataFrame:
    """Return the credit of channels from paths with counts, where there is no log of contacts.

    The rules are those of `attribution_credit`, without "time decay", which needs times; credit
    is no effect here either.

    Parameters
    ----------
    paths : DataFrame
        A row a path: path, its channels with " > " between them ("email > sms > email"), or
        "(no contact)"; conversions and nulls, how many times it ended with and without one,
        >= 0. A path may have several rows.
    rules, position
        As in `attribution_credit`.
    value : str, optional
        Numeric column of ``paths`` to be credited instead: the value of all conversions of the row.

    Returns
    -------
    DataFrame
        As that of `attribution_credit`; touches are those before conversions. ``attrs`` holds
        value, conversions, touched, lost_paths and with a "markov" rule removal_effect.

    Raises
    ------
    InputError
        If a column is missing or not of its kind, a value is missing or out of its bounds, a name
        of a channel is empty, or a row has a value without a conversion.

    Examples
    --------
    >>> import pandas as pd
    >>> import touchpoint_lib as tp
    >>> paths = pd.DataFrame(
    ...     {
    ...         "path": ["email > sms", "sms", "email > chat > email"],
    ...         "conversions": [30, 10, 5],
    ...         "nulls": [70, 90, 45],
    ...     }
    ... )
    >>> tp.credit_of_paths(paths, rules=["linear", "markov", "shapley"]).round(2)
                  touches  linear  markov  shapley
    channel
    chat              5.0    1.67    3.95      2.5
    email            40.0   18.33   15.79     17.5
    sms              40.0   25.00   25.26     25.0
    (no contact)      0.0    0.00    0.00      0.0
    """
    names = _check_rules(rules, [rule for rule in RULES if rule != _TIMED])
    shares = _check_position(position)
    columns = ["path", "conversions", "nulls", *([] if value is None else [value])]
    check_columns(paths, columns, "paths", "name its columns path, conversions and nulls")
    if len(paths) == 0:
        raise fail("paths has no rows", "pass a row a path")
    check_present("paths", paths, "path")
    text = paths["path"].tolist()
    odd = [path for path in text if not isinstance(path, str)]
    if odd:
        raise fail(f"path of paths has the value {odd[0]!r}", f"join channels by {SEPARATOR!r}")
    conversions, nulls = (
        check_values(f"{name} of paths", paths[name], ge=0, le=_MOST, index=paths.index)
        for name in ("conversions", "nulls")
    )
    worth = conversions
    if value is not None:
        worth = check_values(
            f"{value} of paths", paths[value], ge=-_MOST, le=_MOST, index=paths.index
        )
        void = (conversions == 0) & (worth != 0)
        if void.any():
            raise fail(
                f"{value} of paths is {worth[void][0]:g} at index {first_of(paths.index, void)}, "
                "where there is no conversion",
                "it is the value of the conversions of the row: correct it",
            )
    touched = np.array([path != NO_CONTACT for path in text])
    met = [path.split(SEPARATOR) for path in text if path != NO_CONTACT]
    start = np.concatenate([[0], np.cumsum([len(path) for path in met])]).astype(np.int64)
    code, found = pd.factorize(
        np.array([name for path in met for name in path], dtype=object), sort=True
    )
    check_channels(list(found), "paths")
    ends = Endings(
        paths=Paths(list(found), code.astype(np.int64), start),
        conversions=conversions[touched],
        lost=nulls[touched],
        value=worth[touched],
        position=shares,
        half_life=1.0,
        moment=np.zeros(len(code), dtype=np.int64),
    )
    table = _table(ends, names, float(worth[~touched].sum()))
    table.attrs = {
        "value": value,
        "conversions": float(conversions.sum()),
        "touched": float(conversions[touched].sum()),
        "lost_paths": float(nulls[touched].sum()),
        **table.attrs,
    }
    return table


def _table(ends: Endings, rules: list[str], untouched: float) -> pd.DataFrame:
    """Return touches and credit by channel, ``untouched`` going to none."""
    paths = ends.paths
    columns = {"touches": ends.tally(paths.code, ends.conversions[paths.owner])}
    columns |= {rule: RULES[rule](ends) for rule in rules}
    index = pd.Index([*paths.channels, NO_CONTACT], name="channel", dtype="str")
    table = pd.DataFrame(
        {
            name: np.append(credit, 0.0 if name == "touches" else untouched)
            for name, credit in columns.items()
        },
        index=index,
    )
    if any(rule.startswith("markov") for rule in rules):
        effects = ends.removal_effect.tolist()
        table.attrs["removal_effect"] = dict(zip(paths.channels, effects, strict=True))
    return table


def _check_rules(rules: Any, known: list[str]) -> list[str]:
    """Return the rules as a list."""
    if isinstance(rules, str) or not isinstance(rules, Iterable):
        raise fail(f"rules is {rules!r}", "pass a list of rules, such as ['last', 'markov']")
    names = list(rules)
    for rule in names:
        check_choice("a rule", rule, known)
    twice = [rule for rule in names if names.count(rule) > 1]
    if twice or not names:
        what = f"rules has {twice[0]!r} several times" if twice else "rules is empty"
        raise fail(what, "name one or more rules, each of them once")
    return names


def _check_position(position: Any) -> tuple[float, float]:
    """Return the shares of the first and the last touch."""
    if isinstance(position, str) or not isinstance(position, Sequence) or len(position) != 2:
        raise fail(f"position is {position!r}", "pass two shares, such as (0.4, 0.4)")
    first, last = (check_number("a share of position", share, ge=0, le=1) for share in position)
    if not 0 < first + last <= 1:
        raise fail(
            f"the shares of position add up to {first + last:g}", "their sum must be in (0, 1]"
        )
    return first, last
