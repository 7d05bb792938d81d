"""Leaks: columns that could only be known after the cutoff are found before a model learns them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from touchpoint_lib._checks import FloatArray, check_columns, check_number, fail
from touchpoint_lib.churn._label_checks import (
    MIN_KIND,
    MIN_PURE,
    MIN_SURPRISE,
    PureClass,
    Reference,
    Told,
    reference_classes,
    tell_ordered,
    tell_unordered,
)
from touchpoint_lib.churn._labelled import check_label
from touchpoint_lib.churn._recomputed import Changed, compare_columns, read_numbers
from touchpoint_lib.data.days import to_date, to_day
from touchpoint_lib.metrics._shared import check_aligned, flags

#: Within classes of the reference, honest columns reach .762, leaks .955 and more (see Notes).
_MAX_AUC_WITHIN = 0.85
#: A column above this AUC is believed to be no honest reference.
_MAX_REFERENCE_AUC = 0.995
#: The reference where nothing was recomputed: recency, as `behaviour_indicators` names it.
_SILENCE = "silence"


@dataclass(frozen=True)
class _Known:
    """The latest day on which a value became known, and how many were known too late."""

    day: int
    late: int
    sentence: str


def screen_leakage(
    frame: pd.DataFrame,
    outcome: Any = None,
    *,
    recomputed: pd.DataFrame | None = None,
    known_at: Mapping[str, Any] | None = None,
    at: Any = None,
    reference: str | None = None,
    max_auc: float = 0.95,
) -> pd.DataFrame:
    """Return which columns of ``frame`` know something that was not known at the cutoff.

    Four checks, each made where its argument is there; a column that fails one is flagged. Only
    the first is a proof, and it needs no outcome: give ``recomputed`` whenever you have the log.

    - "recompute": the column differs from the same column built from the log cut at the cutoff.
    - "pure values": at least 50 rows of one value (or class of values, or without a value) are of
      one outcome to 99.9 %, abruptly so: the rows beside them are not.
    - "rank": the column, or whether it has a value, ranks the outcome with too high an AUC.
    - "known_at": the column is declared to be known only after the cutoff.

    Parameters
    ----------
    frame : DataFrame of shape (n, p)
        One row a customer (or customer and cutoff, as in `indicator_panel`). Numbers, bools,
        dates (as days) and durations are ordered, so are numbers stored as objects (such as
        Decimal) or as text, if every value reads as a number. Any other column (other text,
        dates as text or objects, pandas categories) is taken as categories: the rank check
        knows only whether there is a value, and values of fewer than 50 rows are not checked.
    outcome : array or Series of length n, or the name of a column, optional
        0 or 1 (or bool): what will be predicted, such as "buys within the horizon". With it the
        checks "pure values" and "rank" are made. A column of that name is not screened.
    recomputed : DataFrame, optional
        The same columns by the same code, from ``log[log["date"] <= cutoff]``.
    known_at : mapping of column to date, or to Series of dates by customer, optional
        When a value from outside the log became known. Only such a column may be missing in
        ``recomputed``.
    at : date-like, optional
        The cutoff, through the end of that day; needed by ``known_at``. By default
        ``frame.attrs["at"]``, or the index level ``cutoff``.
    reference : str, optional
        A column known to be honest: what it explains is no sign of a leak. By default the column
        that ranks the outcome best among those that ``recomputed`` confirms; without
        ``recomputed`` the column ``silence``, if there is one. A column of AUC above .995 is
        never taken by default.
    max_auc : float
        In (.5, 1): the rank check flags from here on.

    Returns
    -------
    DataFrame
        Index ``column``, flagged columns first; flagged (bool), reason (the checks that flagged
        it, "" if none), evidence (a sentence with the figures, or "not checked: n distinct texts"
        where categories too small to check hold most rows; "" if there is nothing to say),
        changed_share (share of rows that differ when recomputed), pure_share (share of rows in
        pure values, abrupt or not), auc (of the values or of their presence, whichever is
        further from chance, from .5 on), known_at (the latest date declared). NaN or NaT where a
        check was not made; auc also where fewer than 20 rows of either outcome have a value and
        none is missing. ``attrs`` holds n, outcomes (rows that have it), reference and max_auc.

    Raises
    ------
    InputError
        If no check is possible, columns or customers do not match, ``outcome`` has fewer than 20
        rows of either kind, or a declared date or the cutoff is missing.

    Notes
    -----
    Purity alone accuses the innocent: where 1 % buy, nearly every value is 99.9 % non-buyers, and
    customers silent for long honestly never return. Such a share is the end of a trend: the next
    values are almost as pure. A leak is a cliff. So the odds in the pure class (at the 95 % bound
    that its size allows: 3 / n) must be e^4 = 55 times those in the 200 or more rows beside it
    (two standard errors towards it), on both sides where there are two.

    In a shop of regular weekly buyers and a horizon of months, silence alone honestly reaches an
    AUC of .99, and a count over 126 days honestly is a cliff. There both label checks ask the
    reference: within its classes the AUC must still be .85, and the other outcome must be five
    times rarer (e^1.6) than its classes lead to expect. In eleven simulated shops (1 to 87 %
    buyers) and CDNOW the 326 columns of `behaviour_indicators` reach .762 and 1.5 times, planted
    leaks start at .955 and 9.8 times, and no honest column is flagged. Without any reference
    five such shops had 9 to 139 honest columns flagged, the others none.

    Labels cannot show a weak leak: a window that ends a week too late moves the AUC a little,
    and in a weekly shop the orders by today tell little that silence does not. Recomputing can.

    Information value is not used. It adds (p - q) ln(p / q) over classes, where p and q are the
    shares of buyers and of others in a class. A perfect leak has only classes with p = 0 or
    q = 0, where that is infinite; the usual way out, to skip such cells, gives the leak 0.

    References
    ----------
    .. [1] Kaufman, S., Rosset, S., Perlich, C. and Stitelman, O. (2012). Leakage in data mining:
       formulation, detection, and avoidance. ACM TKDD 6(4), 15.
    .. [2] Hanley, J. A. and Lippman-Hand, A. (1983). If nothing goes wrong, is everything all
       right? JAMA 249(13), 1743-1745 (the bound 3 / n).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib.churn.leakage import screen_leakage
    >>> log = tp.load_cdnow(sample=True)
    >>> split = tp.rfm_split(log, split="1997-09-30")
    >>> today = log.groupby("customer_id")["date"]
    >>> customers = split[["frequency", "recency", "T"]].assign(
    ...     orders_by_today=today.nunique(), days_since_last_order=log["date"].max() - today.max()
    ... )
    >>> found = screen_leakage(customers, split["holdout_frequency"] > 0)
    >>> found[["flagged", "reason", "auc"]].round(3)
                           flagged             reason    auc
    column
    orders_by_today           True        pure values  0.943
    days_since_last_order     True  pure values, rank  1.000
    frequency                False                     0.758
    recency                  False                     0.763
    T                        False                     0.531
    """
    _check_frame("frame", frame)
    if recomputed is frame:
        raise fail("recomputed is frame itself", "build it from the log cut at the cutoff")
    if isinstance(outcome, str):
        check_columns(
            frame, [outcome], "frame", "name the column of the outcome, or pass its array"
        )
        frame, outcome = frame.drop(columns=outcome), frame[outcome]
    if frame.empty:
        raise fail(f"frame has shape {frame.shape}", "pass at least one customer and one column")
    if outcome is None and recomputed is None and not known_at:
        raise fail(
            "no check is possible", "pass outcome, recomputed or known_at (best: recomputed)"
        )
    bound = check_number("max_auc", max_auc, gt=0.5, lt=1)
    truth = None if outcome is None else _outcome(frame, outcome)
    known = _declared(frame, known_at or {}, at)
    places = None if recomputed is None else _places(frame, recomputed, known)
    if reference is not None:
        check_label("reference is", reference, "name one column of frame")
        check_columns(frame, [reference], "frame", "name one of its columns")
        if truth is None:
            raise fail(f"reference is {reference!r} without an outcome", "pass outcome")

    def first_look(column: Any) -> tuple[Changed | None, Told | None]:
        changed = None
        if recomputed is not None and column in recomputed.columns:
            changed = compare_columns(frame[column], recomputed[column], places)
        return changed, None if truth is None else _tell(frame[column], truth)

    # Sorting releases the interpreter: columns are read by as many threads as there are cores.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        looks = dict(zip(frame.columns, threads.map(first_look, frame.columns), strict=True))
    trusted = None if truth is None else _reference(frame, truth, looks, reference)
    rows = [
        _verdict(frame[column], *looks[column], known.get(column), truth, trusted, bound)
        for column in frame.columns
    ]
    result = pd.DataFrame(
        rows, index=pd.Index(list(frame.columns), name="column", tupleize_cols=False)
    )
    result["known_at"] = pd.to_datetime(result["known_at"])
    result = result.sort_values("flagged", ascending=False, kind="stable")
    result.attrs = {
        "n": len(frame),
        "outcomes": None if truth is None else int(truth.sum()),
        "reference": None if trusted is None else trusted.name,
        "max_auc": bound,
    }
    return result


def _check_frame(name: str, frame: Any) -> None:
    check_columns(frame, (), name)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise fail(f"{name} has several columns {twice!r}", "keep one of them")


def _outcome(frame: pd.DataFrame, outcome: Any) -> npt.NDArray[np.int64]:
    truth = flags("outcome", outcome)
    check_aligned(("frame", frame.iloc[:, 0]), ("outcome", outcome))
    for count, kind in ((truth.sum(), 1), ((~truth).sum(), 0)):
        if count < MIN_KIND:
            raise fail(
                f"outcome is {kind} in {count} of {len(truth)} rows",
                f"at least {MIN_KIND} are needed: choose another horizon, or pass recomputed alone",
            )
    return truth.astype(np.int64)


def _declared(frame: pd.DataFrame, known_at: Any, at: Any) -> dict[str, _Known]:
    """Return what is declared of each column, compared with the cutoff."""
    if not isinstance(known_at, Mapping):
        raise fail(f"known_at is a {type(known_at).__name__}", "pass a dict of column to date")
    if not known_at:
        return {}
    check_columns(frame, known_at, "frame", "declare columns of the frame")
    at = frame.attrs.get("at") if at is None else at
    if at is not None:
        cutoff = np.full(len(frame), to_day("at", at))
    elif "cutoff" in frame.index.names:
        cutoff = _days("the index level cutoff", frame.index.get_level_values("cutoff"))
    else:
        raise fail("known_at is given without a cutoff", 'pass it: at="1997-09-30"')
    result = {}
    for column, when in known_at.items():
        name = f"known_at of {column!r}"
        if isinstance(when, pd.Series):
            if not when.index.equals(frame.index):
                raise fail(f"{name} and frame have different indexes", "reindex it like frame")
            # Of a missing value nobody can say when it became known.
            present = frame[column].notna().to_numpy()
            if (present & when.isna().to_numpy()).any():
                who = frame.index[int(np.flatnonzero(present & when.isna().to_numpy())[0])]
                raise fail(f"{name} is missing at index {who!r}", "give a date to each value")
            if not present.any():
                continue
            days, limits = _days(name, when[present]), cutoff[present]
        else:
            days, limits = np.full(len(frame), to_day(name, when)), cutoff
        late = int((days > limits).sum())
        worst = int(np.argmax(days - limits))
        sentence = (
            f"It became known as late as {to_date(int(days[worst]))}, {days[worst] - limits[worst]}"
            f" days after the cutoff {to_date(int(limits[worst]))}; too late for {late:,} of "
            f"{len(days):,} values."
        )
        result[column] = _Known(int(days.max()), late, sentence if late else "")
    return result


def _days(name: str, dates: Any) -> npt.NDArray[np.int64]:
    values = pd.Series(dates)
    if values.dtype.kind != "M" or getattr(values.dtype, "tz", None) is not None:
        raise fail(f"{name} holds {values.dtype}", "pass dates: pd.to_datetime(...), no time zone")
    if values.isna().any():
        raise fail(f"{name} has {int(values.isna().sum())} missing dates", "fill or remove them")
    return values.to_numpy().astype("datetime64[D]").astype(np.int64)


def _places(
    frame: pd.DataFrame, recomputed: Any, known: Mapping[str, _Known]
) -> npt.NDArray[np.intp] | None:
    """Return the row of ``recomputed`` of each customer of ``frame``; None if they are the same."""
    _check_frame("recomputed", recomputed)
    outside = [name for name in frame.columns if name not in recomputed.columns]
    undeclared = [name for name in outside if name not in known]
    if undeclared:
        listed = ", ".join(repr(name) for name in undeclared[:3])
        raise fail(
            f"recomputed lacks {len(undeclared)} columns of frame: {listed}",
            "recompute them, or declare in known_at when they became known",
        )
    for name, index in (("frame", frame.index), ("recomputed", recomputed.index)):
        if not index.is_unique:
            twice = index[index.duplicated()][0]
            raise fail(f"{name} has several rows of {twice!r}", "pass one row a customer")
    if frame.index.equals(recomputed.index):
        return None
    places = recomputed.index.get_indexer(frame.index)
    absent = np.flatnonzero(places < 0)
    if absent.size:
        listed = ", ".join(repr(frame.index[place]) for place in absent[:3])
        raise fail(
            f"recomputed lacks {absent.size} customers of frame: {listed}",
            "they are not known at the cutoff: leave them out of frame",
        )
    return places


def _presence(column: pd.Series[Any]) -> FloatArray:
    return column.notna().to_numpy().astype(np.float64)


def _tell(column: pd.Series[Any], truth: npt.NDArray[np.int64]) -> Told:
    values = read_numbers(column)
    if values is not None:
        return tell_ordered(values, truth)
    try:
        codes, labels = pd.factorize(column)
    except TypeError:
        raise fail(
            f"column {column.name!r} holds values that cannot be compared", "pass text"
        ) from None
    return tell_unordered(codes.astype(np.int64), list(labels), truth)


def _unchecked_sentence(column: pd.Series[Any], count: int) -> str:
    kind = "texts" if pd.api.types.infer_dtype(column, skipna=True) == "string" else "values"
    return (
        f"Values not checked: {count:,} distinct {kind}, each in fewer than {MIN_PURE} rows; "
        "only whether there is a value was."
    )


def _reference(
    frame: pd.DataFrame,
    truth: npt.NDArray[np.int64],
    looks: Mapping[Any, tuple[Changed | None, Told | None]],
    chosen: str | None,
) -> Reference | None:
    """Return the classes of the honest column, None where there is none to rely on."""
    told = {name: look[1].auc for name, look in looks.items() if look[1] is not None}
    if chosen is None:
        confirmed = [name for name, (changed, _) in looks.items() if changed and not changed.share]
        if not any(changed for changed, _ in looks.values()):
            confirmed = [name for name in told if name == _SILENCE]
        honest = [name for name in confirmed if told[name] <= _MAX_REFERENCE_AUC]
        if not honest:
            return None
        chosen = max(honest, key=lambda name: told[name])
    values = read_numbers(frame[chosen])
    if values is None:
        raise fail(f"reference is {chosen!r}, a column of categories", "choose one of numbers")
    return reference_classes(chosen, values, truth)


def _verdict(
    column: pd.Series[Any],
    changed: Changed | None,
    told: Told | None,
    known: _Known | None,
    truth: npt.NDArray[np.int64] | None,
    trusted: Reference | None,
    bound: float,
) -> dict[str, Any]:
    """Return the row of a column."""
    reasons, evidence = [], []
    if changed is not None and changed.share:
        reasons.append("recompute")
        evidence.append(changed.sentence)
    auc = pure_share = np.nan
    if told is not None and truth is not None:
        pure_share = told.pure_rows / len(column)
        for found in told.pure:
            explained = trusted is not None and trusted.surprise(found) < MIN_SURPRISE
            if not explained and "pure values" not in reasons:
                reasons.append("pure values")
            evidence.append(_pure_sentence(found, trusted.name if explained and trusted else None))
        auc = float(np.fmax(told.auc, told.presence_auc))
        for what, figure, values_of in (
            ("Its values rank", told.auc, read_numbers),
            ("Whether it has a value ranks", told.presence_auc, _presence),
        ):
            if not figure >= bound:
                continue
            sentence = f"{what} the outcome with AUC {figure:.4f} (bound {bound:g})"
            values = None if trusted is None else values_of(column)
            if trusted is not None and values is not None:
                within = trusted.auc_within(values, truth)
                sentence += f", {within:.4f} within classes of {trusted.name!r}"
                if within < _MAX_AUC_WITHIN:
                    evidence.append(sentence + ", which explains it.")
                    continue
            if "rank" not in reasons:
                reasons.append("rank")
            evidence.append(sentence + ".")
        if told.unchecked and changed is None:
            evidence.append(_unchecked_sentence(column, told.unchecked))
    if known is not None and known.late:
        reasons.append("known_at")
        evidence.append(known.sentence)
    return {
        "flagged": bool(reasons),
        "reason": ", ".join(reasons),
        "evidence": " ".join(evidence),
        "changed_share": np.nan if changed is None else changed.share,
        "pure_share": pure_share,
        "auc": auc,
        "known_at": pd.NaT if known is None else pd.Timestamp(to_date(known.day)),
    }


def _pure_sentence(found: PureClass, explained_by: str | None) -> str:
    end = f", as {explained_by!r} leads to expect." if explained_by else "."
    return (
        f"Of {found.n:,} rows with {found.where} {found.n - found.exceptions:,} have outcome "
        f"{int(found.outcome)}; beside them it is {found.beside:.1%}{end}"
    )
