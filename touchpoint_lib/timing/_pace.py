"""How fast parcels move just now: congestion (爆仓) read off the parcels shipped last."""

from __future__ import annotations

import numpy as np

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.timing._curves import ClassCurves
from touchpoint_lib.timing._parcel_log import DAY, HOUR

#: Where the pace is sought: twice as fast as usual to four times as slow.
_PACES = np.geomspace(0.5, 4.0, 25)
#: Pseudo-deliveries at the pace of the wider class. At 20 normal weeks are flagged by noise.
_SHRINKAGE = 60.0
#: Below this survival a parcel counts as 20 expected deliveries, not as infinitely many.
_LEAST = 1e-9


def recent_pace(
    curves: ClassCurves,
    node: IntArray,
    shipped: IntArray,
    delivered: IntArray,
    n_days: int,
    recent_days: int,
) -> FloatArray:
    """Return how many times as long as usual parcels take, as known at the start of each day.

    Of the parcels shipped on the ``recent_days`` days before a day, O were delivered by its start.
    At pace a as many as E(a) = sum H(exposure / a) were to be expected, H = -log S the cumulative
    hazard of the class. The pace solves O + m = E(a) + m b / a: b is the wider class's pace (1
    above all classes), m pseudo-deliveries that move at it.

    Parameters
    ----------
    curves
        What is usual.
    node
        The node of each parcel.
    shipped, delivered
        Microseconds since the start of day 0; the largest integer where not delivered.
    n_days
        Days wanted.
    recent_days
        Days of shipping looked back on.

    Returns
    -------
    array of float, shape (n_nodes, n_days)
        1 is the usual pace, 2 twice as slow; between 0.5 and 4.
    """
    parents = curves.nodes["parent"].to_numpy(dtype=np.float64, na_value=-1).astype(np.int64)
    seen = np.zeros((len(parents), n_days))
    expected = np.zeros((len(parents), n_days, len(_PACES)))
    hours = 24 * recent_days + 1
    middles = (np.arange(hours)[:, np.newaxis] + 0.5) / 24 / _PACES
    for number, mine in rows_by_node(node):
        out, end = shipped[mine], delivered[mine]
        exposed = np.zeros(n_days * hours)
        for later in range(1, recent_days + 1):
            day = out // DAY + later
            known = day < n_days
            day, begun, over = day[known], out[known], end[known]
            hour = (np.minimum(over, day * DAY) - begun) // HOUR
            # In place: the table may be larger than the parcels are many.
            np.add.at(exposed, day * hours + hour, 1.0)
            seen[number] += np.bincount(day[over <= day * DAY], minlength=n_days)
        survival = curves.survival(number, np.minimum(middles, curves.last))
        hazard = -np.log(np.maximum(survival, _LEAST))
        expected[number] = exposed.reshape(n_days, hours) @ hazard
    # Parents stand before their children.
    for number in range(len(parents) - 1, 0, -1):
        seen[parents[number]] += seen[number]
        expected[parents[number]] += expected[number]
    pace = np.ones((len(parents), n_days))
    for number, parent in enumerate(parents):
        usual = pace[parent] if parent >= 0 else np.ones(n_days)
        pace[number] = _solve(seen[number], expected[number], usual)
    return pace


def _solve(seen: FloatArray, expected: FloatArray, usual: FloatArray) -> FloatArray:
    """Return the pace at which as many were expected as seen, by linear interpolation."""
    surplus = expected + _SHRINKAGE * usual[:, np.newaxis] / _PACES
    surplus -= (seen + _SHRINKAGE)[:, np.newaxis]
    # It falls from pace to pace.
    right = np.clip((surplus > 0).sum(axis=1), 1, len(_PACES) - 1)
    day = np.arange(len(seen))
    before, after = surplus[day, right - 1], surplus[day, right]
    part = np.clip(before / (before - after), 0.0, 1.0)
    return np.asarray(_PACES[right - 1] + part * (_PACES[right] - _PACES[right - 1]))


def rows_by_node(node: IntArray) -> list[tuple[int, IntArray]]:
    """Return every node that has rows, with these."""
    order = np.argsort(node, kind="stable")
    numbers, first = np.unique(node[order], return_index=True)
    return list(zip(numbers.tolist(), np.split(order, first[1:]), strict=True))
