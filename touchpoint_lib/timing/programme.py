"""Several contacts to one silent customer: the plan of most value, under a cap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from touchpoint_lib._checks import (
    BoolArray,
    FloatArray,
    IntArray,
    check_integer,
    check_number,
    fail,
)
from touchpoint_lib.timing.money import ContactMoney
from touchpoint_lib.timing.own_return import (
    Source,
    check_days,
    check_history,
    distinct_rows,
    fitted,
    last_day,
    own_return_by_day,
    parts_of,
)
from touchpoint_lib.timing.policies import check_money, source_name

__all__ = ["ContactProgramme"]

#: Steps of a window at most: a plan has a state for every way of contacting in them.
_MOST_STEPS = 10
#: Cells of customers by steps by states worked on at once.
_BLOCK = 2_000_000


@dataclass(frozen=True, eq=False)
class ContactProgramme:
    """Contact a silent customer on the days that together are worth most.

    Every ``step`` days of silence the customer is contacted or not. A contact gains what
    `ContactMoney` says, with win_back x ``fatigue`` for each contact in the ``window`` before it,
    of which there may be ``cap``. The customer may come back unprompted in each step, or through
    the contact; then the programme ends. Dynamic programming over silence and the recent contacts
    finds the plan; the days on which a customer who stays silent is contacted are its result.

    A contact that fails is taken to leave the own return of the customer as it was.

    Parameters
    ----------
    source : purchase model, OwnReturnFrequency, or list of them
        What knows own returns; several give the mean. Those not fitted are fitted by `fit`.
    money : ContactMoney
        Margin, chance of winning back, cost and discount of a contact.
    horizon : int
        Days within which an unprompted purchase makes a contact wasted.
    fatigue : float
        Factor of win_back for each recent contact, in (0, 1].
    cap : int
        Contacts in any ``window`` days at most.
    window : int
        Days, a multiple of ``step`` and at most ten of them.
    step : int
        Days between two decisions.
    latest : int
        The last day of silence looked at.

    References
    ----------
    Bellman, R. (1957). "Dynamic Programming". For mailing: Gönül, F. and Shi, M. Z. (1998).
    "Optimal mailing of catalogs: a new methodology using estimable structural dynamic programming
    models", Management Science 44(9).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> spells = tp.purchase_spells(tp.load_cdnow(sample=True))
    >>> money = tp.ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)
    >>> programme = tp.ContactProgramme(tp.ModifiedBetaGeoModel(), money, latest=120).fit(spells)
    >>> days, win_back = programme.plan(spells.loc["00004"])
    >>> days[0, :3], win_back[0, :3].round(3)
    (array([ 7., 35., 63.]), array([0.1, 0.1, 0.1]))
    """

    source: Source
    money: ContactMoney
    horizon: int = 90
    fatigue: float = 0.5
    cap: int = 2
    window: int = 28
    step: int = 7
    latest: int = 180

    def __post_init__(self) -> None:
        parts_of(self.source)
        check_money(self.money)
        for name in ("step", "window", "horizon", "latest"):
            object.__setattr__(self, name, check_days(name, getattr(self, name)))
        # What returns within a step returns within the horizon.
        check_integer("horizon", self.horizon, ge=self.step)
        check_number("fatigue", self.fatigue, gt=0, le=1)
        check_integer("cap", self.cap, ge=1)
        check_integer("latest", self.latest, ge=self.step)
        if self.window % self.step or self.window // self.step > _MOST_STEPS:
            raise fail(
                f"window is {self.window} and step is {self.step}",
                f"window must be a multiple of step, of at most {_MOST_STEPS} steps",
            )

    def __str__(self) -> str:
        return f"programme, {self.cap} in {self.window} days ({source_name(self.source)})"

    def fit(self, spells: pd.DataFrame) -> Self:
        """Return a copy whose sources are fitted; those that were fitted stay as they are."""
        return replace(self, source=fitted(self.source, spells))

    def silence(self, spells: pd.DataFrame) -> FloatArray:
        """Return the day of the first contact; inf where no contact is worth its cost.

        Parameters and errors are those of `plan`.
        """
        return np.asarray(self.plan(spells)[0][:, 0])

    def plan(self, spells: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
        """Return the days on which a customer who stays silent is contacted.

        Parameters
        ----------
        spells : DataFrame
            From `purchase_spells`: the programme begins with each spell, nobody contacted before.

        Returns
        -------
        days, win_back : array of float, shape (n, m)
            Days of silence, rising, inf behind the last; and the chance of winning back of each
            contact, with fatigue, 0 where there is none. m is the most contacts of any spell, at
            least 1.

        Raises
        ------
        InputError
            If a column is missing, the source is not fitted, or a customer's money is not known.
        """
        check_history(spells)
        parts = parts_of(self.source)
        steps = last_day(parts, self.horizon, self.latest) // self.step
        if steps < 1:
            raise fail(
                f"step is {self.step} days, and the log tells own returns up to "
                f"{last_day(parts, self.horizon, self.latest)} days",
                "pass a shorter step or horizon, or a model",
            )
        # The gain is linear in own return: its ends tell the money of each customer.
        nobody, everybody = (
            self.money.gain(np.full(len(spells), q), spells.index) for q in (0.0, 1.0)
        )
        won, lost = nobody + self.money.cost, -everybody - self.money.cost
        amounts, kind = np.unique(np.column_stack([won, lost]), axis=0, return_inverse=True)
        some, place, inverse = distinct_rows(parts, spells, kind.ravel().astype(np.float64))
        made = np.empty((len(some), steps), dtype=np.bool_)
        size = max(1, _BLOCK // (steps * 2 ** (self.window // self.step - 1)))
        for start in range(0, len(some), size):
            block = slice(start, start + size)
            q, p = self._own_returns(some.iloc[block], steps)
            made[block] = self._best(q, p, *amounts[kind.ravel()[place[block]]].T)
        days, chances = self._listed(made)
        return days[inverse], chances[inverse]

    def _own_returns(self, customers: pd.DataFrame, steps: int) -> tuple[FloatArray, FloatArray]:
        """Return own returns within the horizon and within a step, shape (n, steps) each."""
        days = self.step * np.arange(1.0, steps + 1)
        within, in_step = (
            own_return_by_day(self.source, customers, days, ahead)
            for ahead in (self.horizon, self.step)
        )
        return within, in_step

    def _best(self, q: FloatArray, p: FloatArray, won: FloatArray, lost: FloatArray) -> BoolArray:
        """Return the steps at which a silent customer is contacted, shape (n, steps)."""
        bits = self.window // self.step - 1
        history = np.arange(2**bits)
        recent = np.array([int(state).bit_count() for state in history])
        # Who is contacted now, and who is not: the state of the next step, the latest bit last.
        waits, contacts = (
            (history << 1) % len(history),
            ((history << 1) | (bits > 0)) % len(history),
        )
        chance = self.money.win_back * self.fatigue**recent
        worth = won[:, None] * self.fatigue**recent
        n, steps = q.shape
        value = np.zeros((n, len(history)))
        choice = np.empty((n, steps, len(history)), dtype=np.bool_)
        for s in range(steps - 1, -1, -1):
            here, gone = q[:, s, None], p[:, s, None]
            wait = (1 - gone) * value[:, waits]
            # Won back are some of those who would not return, so the two ways out do not meet.
            stays = 1 - gone - (1 - here) * chance
            gain = (1 - here) * worth - self.money.cost - here * lost[:, None]
            act = np.where(recent < self.cap, gain + stays * value[:, contacts], -np.inf)
            choice[:, s] = act > wait
            value = np.maximum(act, wait)
        made = np.empty((n, steps), dtype=np.bool_)
        state = np.zeros(n, dtype=np.int64)
        for s in range(steps):
            made[:, s] = choice[np.arange(n), s, state]
            state = np.where(made[:, s], contacts[state], waits[state])
        return made

    def _listed(self, made: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return the days of the contacts and their chances, those made in front."""
        n = len(made)
        most = max(1, int(made.sum(axis=1).max(initial=0)))
        days, chances = np.full((n, most), np.inf), np.zeros((n, most))
        row, step = np.nonzero(made)
        nth: IntArray = (np.cumsum(made, axis=1) - 1)[row, step]
        # Contacts within the window before each, of which there may be several.
        total = np.cumsum(np.pad(made, ((0, 0), (1, 0))), axis=1)
        first = np.maximum(step - (self.window // self.step - 1), 0)
        recent: IntArray = total[row, step] - total[row, first]
        days[row, nth] = self.step * (step + 1.0)
        chances[row, nth] = self.money.win_back * self.fatigue**recent
        return days, chances
