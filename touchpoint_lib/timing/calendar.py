"""The contact calendar (触点日历): whom to contact on which day, and whom to leave alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    FloatArray,
    IntArray,
    check_integer,
    check_number,
    check_values,
)
from touchpoint_lib.data.days import to_date
from touchpoint_lib.lifetime._purchases import PurchaseModel
from touchpoint_lib.segments import SLEEP_STATES
from touchpoint_lib.timing._calendar_inputs import (
    Base,
    base_of,
    earlier_contacts,
    named_days,
)
from touchpoint_lib.timing.money import ContactMoney
from touchpoint_lib.timing.own_return import check_days, own_return
from touchpoint_lib.timing.policies import Policy, check_money

__all__ = ["contact_calendar"]

#: What is done about a customer.
ACTIONS = ("care", "benefit", "stimulus", "leave")
#: What makes a row: the own cycle, a holiday, and three lines, the later the deeper.
_CYCLE, _HOLIDAY, _FIRST, _HALF, _ASLEEP = range(5)
_REASONS = (
    "",
    "overdue",
    "moved",
    "no gain",
    "cap",
    "capacity",
    "half asleep the same day",
    "asleep the same day",
)
#: Their numbers: the first three go with a contact, the others with none.
_PLAIN, _OVERDUE, _MOVED, _NO_GAIN, _CAP, _CAPACITY, _HALF_TOO, _ASLEEP_TOO = range(8)


def contact_calendar(
    model: PurchaseModel,
    customers: Any,
    money: ContactMoney,
    *,
    days: int = 28,
    horizon: int = 90,
    lines: Sequence[float] = (0.8, 0.5, 0.2),
    policy: Policy | pd.Series | None = None,
    holidays: Mapping[Any, str] | Iterable[Any] = (),
    capacity: int | None = None,
    cap: int = 2,
    cap_days: int = 30,
    contacts: pd.DataFrame | None = None,
    contact_customer: str = "customer_id",
    contact_time: str = "time",
    promotion: float = 0.6,
) -> pd.DataFrame:
    """Return whom to contact on each of the next days, with what, and whom to leave alone.

    Inside the normal repurchase cycle (正常周期: the customer is awake) there is care, never a
    discount; at its end, the warning line (预警线: drowsy, 瞌睡), a stimulus; half asleep (半睡) a
    second one; asleep (沉睡) the customer is left alone, unless a contact still gains money. No
    stimulus is sent that is not expected to gain (`ContactMoney.gain`).

    Where the cycle ends is for the data to say: with ``policy``, best one that `backtest_timing`
    has judged, it ends on the day that the policy names, and nobody is half asleep or asleep
    before. Without one all lines are those of `sleep_states`.

    - *Care* comes once, on the day on which the silence of a customer with repeat purchases
      reaches their mean gap (recency / frequency), if they are awake on that day.
    - On a holiday everybody awake gets a *benefit* (a gift or bonus, no discount), which takes
      the place of care on that day.
    - Who crossed a line for a stimulus before the first day, has not been contacted since (by
      ``contacts``) and is not asleep on the first day, is *overdue* and gets the stimulus on
      that day. Who was asleep before has no row.
    - Within ``capacity`` care and benefits come first, then the stimuli that are expected to gain
      most; the others move to the next day and compete there, with all figures of that day. A
      benefit does not move, nor does care behind the drowsy line.

    Every row holds for a customer who is silent until its date: who buys before it starts a new
    cycle, and the contact is not made. ``reached`` is the probability that it is. An earlier
    contact of the calendar is taken to have changed nothing for those still silent.

    Parameters
    ----------
    model : PurchaseModel
        Fitted, in days or weeks. BG/NBD is refused: it holds one-time customers alive for ever.
    customers : DataFrame or CustomerBase
        From `rfm_summary`, or from `rfm_split`: then the calendar begins after the split.
    money : ContactMoney
        Money of a stimulus. Care and benefit cost ``money.cost`` each and win nothing here.
    days : int
        Days that the calendar covers, from the day after the last one observed.
    horizon : int
        Days after a contact within which an unprompted purchase makes it wasted.
    lines : sequence of three floats
        As for `sleep_states`; with ``policy`` the first plays no part.
    policy : Policy or Series, optional
        Names the silence in days (>= 0) at which each customer becomes drowsy, inf for never;
        half asleep and asleep wait for it. An object such as `FixedDays`, `OwnReturn` or
        `MoneyRule` is asked by its ``silence(frame)``, where the frame has frequency, recency and
        T in days, not the gaps before. A Series holds the days by customer (further ones play no
        part): for a policy that needs the gaps, such as `OwnGapQuantile`, the days at the last of
        each customer's `purchase_spells` up to the same day, as in the example.
    holidays : mapping of date to name, or dates
        Those outside the window play no part.
    capacity : int, optional
        Contacts a day at most.
    cap, cap_days : int
        Contacts of a customer in any ``cap_days`` days at most, earlier ones included.
    contacts : DataFrame, optional
        Contacts that were made, up to the last day observed. Those of others play no part.
    contact_customer, contact_time : str
        Columns of ``contacts``: the customer, and the time as naive datetimes.
    promotion : float
        Customers with a discount_share of at least this are marked promotion-driven, in (0, 1].

    Returns
    -------
    DataFrame
        A row a contact or a customer to leave alone, sorted by date, expected_money (falling) and
        customer: date (datetime64), the customer (named as the index of ``customers``, or
        customer_id), purchases (purchase days so far), state on that date, line ("cycle",
        "holiday" and its name, "drowsy" or with a policy "policy", "half asleep", "asleep"),
        action ("care", "benefit", "stimulus", "leave"), reason, silence (days on that date),
        own_return (probability of an unprompted purchase within ``horizon`` after it), reached,
        discount (money, 0 unless stimulus), expected_wasted (reached x own_return; 0 for leave),
        expected_money (reached x gain of a stimulus, -reached x cost of care and benefit, 0 for
        leave) and, where ``customers`` has discount_share, promotion_driven (bool).

        Reasons: "overdue"; "moved" (contacted on a later day, for want of capacity); and of
        those to leave "no gain", "cap", "capacity" (no room up to the last day), and "half
        asleep the same day" or "asleep the same day" (the deeper line decides).

        ``attrs``: unit ("D"), until, days, horizon, and totals: contacts (rows that are not
        "leave"), expected_contacts (their summed reached), expected_wasted, expected_money.

    Raises
    ------
    InputError
        If the last day observed is not known, a customer stands twice, a customer's money or day
        of ``policy`` is not known, contacts lie after the last day or none is of these customers,
        a holiday is no day, or an argument is out of bounds.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> model = tp.ModifiedBetaGeoModel().fit(split)
    >>> money = tp.ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)
    >>> calendar = tp.contact_calendar(model, split, money, capacity=40)
    >>> calendar["action"].value_counts().to_dict()
    {'leave': 1075, 'stimulus': 1042, 'care': 78}
    >>> calendar.loc[0, ["customer_id", "line", "action", "reason"]].to_list()
    ['00050', 'drowsy', 'stimulus', 'overdue']
    >>> round(calendar.attrs["totals"]["expected_money"])
    2124

    With a policy that looks at the gaps of each customer:

    >>> import pandas as pd
    >>> spells = tp.purchase_spells(tp.load_cdnow(sample=True), until="1997-09-30")
    >>> chosen = tp.OwnGapQuantile(0.9, least_gaps=3).fit(spells)
    >>> due = pd.Series(chosen.silence(spells), index=spells.index).groupby(level=0).last()
    >>> calendar = tp.contact_calendar(model, split, money, policy=due)
    >>> calendar["action"].value_counts().to_dict()
    {'stimulus': 1890, 'care': 113, 'leave': 107}
    """
    check_money(money)
    window = check_days("days", days)
    ahead = check_days("horizon", horizon)
    room = None if capacity is None else check_integer("capacity", capacity, ge=1)
    most = check_integer("cap", cap, ge=1)
    span = check_days("cap_days", cap_days)
    driven = check_number("promotion", promotion, gt=0, le=1)
    base = base_of(model, customers, lines, policy)
    named = named_days(holidays, base.today, window)
    earlier = earlier_contacts(contacts, contact_customer, contact_time, base)
    due = _due(base, window, named, earlier)
    own_money = _by_position(money, base, due)
    earlier = earlier[earlier["day"] > 1 - span]
    made = {int(day): earlier["who"][earlier["day"] == day] for day in earlier["day"].unique()}
    recent = np.bincount(earlier["who"], minlength=len(base.silence))
    waiting, settled = due.iloc[:0], []
    for day in range(1, window + 1):
        if day - span in made:
            recent -= np.bincount(made[day - span], minlength=len(recent))
        rows = pd.concat([due[due["day"] == day], waiting], ignore_index=True)
        if day in named:
            # The benefit takes the place of care.
            awake = base.lines[0][rows["who"]] > day
            rows = rows[~awake | (rows["code"] != _CYCLE)].reset_index(drop=True)
        rows = _figures(rows, model, base, own_money, day, ahead)
        leave = _reason_to_leave(rows, len(base.silence))
        leave[(leave == _PLAIN) & (recent[rows["who"]] >= most)] = _CAP
        if room is not None:
            leave[_beyond(room, rows, leave)] = _CAPACITY
        # Care that was late at the drowsy line goes; the others wait for the next day.
        stays = (leave == _CAPACITY) & (rows["code"] != _HOLIDAY) & (day < window)
        stays &= (rows["code"] != _CYCLE) | (rows["state"] == 0)
        waiting = rows.loc[stays, list(due.columns)]
        waiting["late"] = waiting["late"].replace(_PLAIN, _MOVED)
        settled.append(rows.assign(leave=leave)[~stays])
        made[day] = rows["who"].to_numpy()[leave == _PLAIN]
        recent += np.bincount(made[day], minlength=len(recent))
    return _calendar(
        pd.concat(settled, ignore_index=True),
        base,
        own_money,
        named,
        "drowsy" if policy is None else "policy",
        driven,
        {"unit": "D", "until": to_date(base.today).isoformat(), "days": window, "horizon": ahead},
    )


def _due(base: Base, window: int, named: dict[int, str], earlier: pd.DataFrame) -> pd.DataFrame:
    """Return who is due when, and for what: who, code, late, day."""
    drowsy, half, asleep = base.lines
    parts = [
        _crossings(_CYCLE, np.where(base.cycle < drowsy, base.cycle, np.inf), window),
        *(_crossings(_HOLIDAY, np.where(drowsy > day, day, np.inf), window) for day in named),
        _crossings(_FIRST, drowsy, window),
        _crossings(_HALF, half, window),
        _crossings(_ASLEEP, asleep, window),
    ]
    # Of the lines for a stimulus the last one crossed before the window.
    over_half = half <= 0
    crossed = np.where(over_half, half, drowsy)
    contacted = np.full(len(crossed), -np.inf)
    np.maximum.at(contacted, earlier["who"], earlier["day"])
    overdue = (crossed <= 0) & (contacted < crossed) & (half != 1) & (asleep > 1)
    for code, mine in ((_FIRST, ~over_half), (_HALF, over_half)):
        late = _crossings(code, np.where(overdue & mine, 1.0, np.inf), window)
        parts.append(late.assign(late=_OVERDUE))
    return pd.concat(parts, ignore_index=True)


def _crossings(code: int, wait: FloatArray, window: int) -> pd.DataFrame:
    """Return a row for everybody who has waited long enough on a day of the window."""
    who = np.flatnonzero((wait >= 1) & (wait <= window))
    return pd.DataFrame({"who": who, "code": code, "late": _PLAIN, "day": wait[who].astype(int)})


def _by_position(money: ContactMoney, base: Base, due: pd.DataFrame) -> ContactMoney:
    """Return the money with customers by position: looked up once, not every day."""
    who = np.unique(due.loc[due["code"] >= _FIRST, "who"])
    ids = base.customers.index[who]
    # Raises where the money of a customer is not known.
    money.gain(np.zeros(len(who)), ids)
    own: dict[str, Any] = {
        name: pd.Series(value.reindex(ids).to_numpy(), index=who)
        for name, value in (("margin", money.margin), ("discount", money.discount))
        if isinstance(value, pd.Series)
    }
    return replace(money, **own)


def _figures(
    rows: pd.DataFrame,
    model: PurchaseModel,
    base: Base,
    money: ContactMoney,
    day: int,
    horizon: int,
) -> pd.DataFrame:
    """Return the rows of a day with the figures of that day; ``money`` is that of a contact."""
    who = rows["who"].to_numpy()
    since, q, reached = base.silence[who], np.zeros(len(who)), np.ones(len(who))
    if len(who):
        some = base.history.iloc[who]
        q = own_return(model, some, since + day, horizon)
        reached = 1 - own_return(model, some, since, day)
    gain = np.full(len(who), -money.cost)
    stimulus = rows["code"].to_numpy() >= _FIRST
    gain[stimulus] = money.gain(q[stimulus], pd.Index(who[stimulus]))
    return rows.assign(
        day=day,
        state=(base.lines[:, who] <= day).sum(axis=0),
        silence=since + day,
        own_return=q,
        reached=reached,
        money=reached * gain + 0.0,
    )


def _reason_to_leave(rows: pd.DataFrame, n: int) -> IntArray:
    """Return the reason not to contact, by its number; that of "" where there is none so far."""
    who, code = rows["who"].to_numpy(), rows["code"].to_numpy()
    leave = np.full(len(who), _PLAIN)
    stimulus = code >= _FIRST
    deepest = np.full(n, _CYCLE)
    np.maximum.at(deepest, who[stimulus], code[stimulus])
    leave[stimulus & (rows["money"] <= 0)] = _NO_GAIN
    deeper = stimulus & (code < deepest[who])
    leave[deeper] = np.where(deepest[who[deeper]] == _HALF, _HALF_TOO, _ASLEEP_TOO)
    # Care that had to wait is too late behind the drowsy line.
    leave[(code == _CYCLE) & (rows["state"] > 0)] = _CAPACITY
    return leave


def _beyond(room: int, rows: pd.DataFrame, leave: IntArray) -> IntArray:
    """Return the contacts without room: of the stimuli those that are expected to gain least."""
    wanted = np.flatnonzero(leave == _PLAIN)
    if len(wanted) <= room:
        return wanted[:0]
    who, code, money = (rows[name].to_numpy()[wanted] for name in ("who", "code", "money"))
    # Care and benefits are for customers who are still there: they come first.
    worth = np.where(code >= _FIRST, money, np.inf)
    # Most are far below the last one that has room: only those above have to be sorted.
    last = np.partition(worth, -room)[-room]
    near = np.flatnonzero(worth >= last)
    kept = near[np.lexsort((who[near], -money[near], -worth[near]))[:room]]
    return np.delete(wanted, kept)


def _calendar(
    rows: pd.DataFrame,
    base: Base,
    money: ContactMoney,
    named: dict[int, str],
    first: str,
    promotion: float,
    attrs: dict[str, Any],
) -> pd.DataFrame:
    """Return the settled rows as the frame that the caller sees."""
    who, code, late, leave = (rows[name].to_numpy() for name in ("who", "code", "late", "leave"))
    contact = leave == _PLAIN
    stimulus = contact & (code >= _FIRST)
    # The days of holidays follow the lines.
    names = ["cycle", "", first, *SLEEP_STATES[2:], *named.values()]
    nth = np.searchsorted(list(named), rows["day"])
    line = np.where(code == _HOLIDAY, len(names) - len(named) + nth, code)
    action = np.where(contact, np.array([0, 1, 2, 2, 2])[code], ACTIONS.index("leave"))
    discount = np.zeros(len(who))
    given = money.discount
    discount[stimulus] = given[who[stimulus]] if isinstance(given, pd.Series) else given
    customers = base.customers.iloc[who]
    name = "customer_id" if customers.index.name is None else customers.index.name
    gained = np.where(contact, rows["money"], 0.0)
    table: dict[Any, Any] = {
        # Not [s], which Parquet does not have.
        "date": (rows["day"].to_numpy() + base.today).astype("datetime64[D]").astype("M8[ms]"),
        name: customers.index,
        "purchases": customers["frequency"].to_numpy().astype(np.int64) + 1,
        "state": _words(SLEEP_STATES, rows["state"]),
        "line": _words(names, line),
        "action": _words(ACTIONS, action),
        "reason": _words(_REASONS, np.where(contact, late, leave)),
        "silence": rows["silence"],
        "own_return": rows["own_return"],
        "reached": rows["reached"],
        "discount": discount,
        "expected_wasted": np.where(contact, rows["reached"] * rows["own_return"], 0.0),
        "expected_money": gained,
    }
    if "discount_share" in customers.columns:
        everybody = base.customers["discount_share"]
        share = check_values("discount_share", everybody, ge=0, le=1, index=everybody.index)
        table["promotion_driven"] = share[who] >= promotion
    order = np.lexsort((code, who, -gained, rows["day"]))
    calendar = pd.DataFrame(table).iloc[order].reset_index(drop=True)
    totals = calendar[["reached", "expected_wasted", "expected_money"]][contact[order]].sum()
    calendar.attrs.update(
        **attrs,
        totals={
            "contacts": int(contact.sum()),
            "expected_contacts": float(totals["reached"]),
            "expected_wasted": float(totals["expected_wasted"]),
            "expected_money": float(totals["expected_money"]),
        },
    )
    return calendar


def _words(names: Sequence[str], code: Any) -> pd.Series:
    """Return texts by their number; not categories, which an empty Parquet file loses."""
    return pd.Series(names, dtype="str").take(code).reset_index(drop=True)
