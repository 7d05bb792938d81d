"""The list of all behaviour indicators of a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from touchpoint_lib.churn import _cohorts, _history, _roles, _windows
from touchpoint_lib.churn._indicator import Indicator


def catalogue(
    *,
    amounts: bool,
    discounts: bool,
    levels: Mapping[str, Sequence[str]],
    day_of_year: int = 1,
) -> list[Indicator]:
    """Return the indicators of a log with or without ``amounts`` and ``discounts``.

    ``levels`` has the levels of category, channel, event and time where the log has such.
    ``day_of_year`` is that of the cutoff; it enters the SQL of the season only.
    """
    families = [_history.life(), _history.silence(), _history.gaps(), _history.last_purchases()]
    families += [_history.lines()]
    if amounts:
        families += [_history.amounts(), _history.last_amounts()]
    for days in _windows.WINDOWS:
        families += [_windows.window(days)]
        if amounts:
            families += [_windows.window_amounts(days)]
    families += [_windows.blocks(amounts), _windows.decayed(amounts), _windows.early(amounts)]
    families += [_windows.calendar(), _windows.season(amounts, day_of_year)]
    families += [_cohorts.cohort(amounts)]
    if discounts:
        families += [_roles.discount(amounts)]
    for role in ("category", "channel"):
        if role in levels:
            families += [_roles.words(role, levels[role])]
    if "event" in levels:
        families += [_roles.events(levels["event"])]
    if "time" in levels:
        families += [_roles.times()]
    return [indicator for family in families for indicator in family]
