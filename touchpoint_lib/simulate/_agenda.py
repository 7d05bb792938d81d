"""What happens to whom on which later day."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from touchpoint_lib._checks import FloatArray, IntArray


class Agenda:
    """Columns of the state, and amounts, by the day on which something happens to them."""

    def __init__(self) -> None:
        self._days: dict[int, list[tuple[IntArray, FloatArray]]] = defaultdict(list)

    def add_on(self, day: int, column: IntArray) -> None:
        """Put columns down for one day."""
        self._days[day].append((column, np.ones(len(column))))

    def add(self, column: IntArray, day: IntArray, amount: FloatArray | None = None) -> None:
        """Put each column down for its day; amounts are 1 unless given."""
        if not len(column):
            return
        amount = np.ones(len(column)) if amount is None else amount
        order = np.argsort(day, kind="stable")
        day, column, amount = day[order], column[order], amount[order]
        starts = np.flatnonzero(np.diff(day, prepend=-1)).tolist()
        for start, stop in zip(starts, [*starts[1:], len(day)], strict=False):
            self._days[int(day[start])].append((column[start:stop], amount[start:stop]))

    def pop(self, day: int) -> tuple[IntArray, FloatArray]:
        """Return what is down for ``day``, and forget it."""
        down = self._days.pop(day, [])
        if not down:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        return np.concatenate([part[0] for part in down]), np.concatenate(
            [part[1] for part in down]
        )


@dataclass(frozen=True)
class Agendas:
    """What is to come: parcels, contacts that are 30 days old, losses (late, no reply)."""

    received: Agenda = field(default_factory=Agenda)
    rested: Agenda = field(default_factory=Agenda)
    lost: tuple[Agenda, Agenda] = field(default_factory=lambda: (Agenda(), Agenda()))
