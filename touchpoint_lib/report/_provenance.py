"""Where a report's figures come from, as the facts under its headline."""

from __future__ import annotations

import pandas as pd

from touchpoint_lib._checks import fail


def provenance(customers: pd.DataFrame, source: str) -> dict[str, str]:
    """Return source, rows used and refused, and window of a frame of `rfm_summary` or `rfm_split`.

    Parameters
    ----------
    customers : DataFrame
        With the attrs that those functions set.
    source : str
        Name of the file or data set.

    Raises
    ------
    InputError
        If the frame carries no data report.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib.report import provenance
    >>> facts = provenance(tp.rfm_summary(tp.load_cdnow(sample=True)), "CDNOW sample")
    >>> facts["Rows"]
    '6,919 used, 0 refused'
    """
    report = customers.attrs.get("report")
    if report is None:
        raise fail(
            "customers carries no data report",
            "pass the frame of rfm_summary or rfm_split as it is",
        )
    used = report["usable_rows"]
    rows = f"{used:,} used, {report['rows'] - used:,} refused"
    if report["after_until"]:
        # A row behind the window is usable, but was not used.
        rows = f"{rows.replace('used', 'usable', 1)}, {report['after_until']:,} after the window"
    known = " known at the split" if "split" in customers.attrs else ""
    facts = {
        "Source": source,
        "Rows": rows,
        "Customers": f"{len(customers):,}{known}",
        "Window": f"{report['first_day']} to {customers.attrs['until']}",
    }
    if "split" in customers.attrs:
        facts["Split"] = f"fitted to {customers.attrs['split']}, checked on what came after"
    return facts
