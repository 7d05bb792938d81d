"""The facts under a headline: rows, customers and window as the data report counted them."""

from __future__ import annotations

from types import ModuleType

import pandas as pd
import pytest

import touchpoint_lib as tp
from touchpoint_lib import InputError
from touchpoint_lib.report import provenance


def log(*rows: tuple[str | None, str]) -> pd.DataFrame:
    """Purchases of 5 each by (customer, ISO day)."""
    frame = pd.DataFrame(rows, columns=["customer_id", "date"])
    return frame.assign(date=pd.to_datetime(frame["date"]), amount=5.0)


LOG = log(
    ("a", "2024-01-01"),
    ("a", "2024-01-09"),
    ("b", "2024-01-03"),
    (None, "2024-01-04"),
    ("c", "2024-02-20"),
)


def test_the_facts_of_a_clean_log() -> None:
    facts = provenance(tp.rfm_summary(LOG.dropna()), "shop.csv")
    assert facts == {
        "Source": "shop.csv",
        "Rows": "4 used, 0 refused",
        "Customers": "3",
        "Window": "2024-01-01 to 2024-02-20",
    }


def test_refused_rows_are_counted() -> None:
    facts = provenance(tp.rfm_summary(LOG, on_bad="drop"), "shop.csv")
    assert facts["Rows"] == "4 used, 1 refused"


def test_rows_behind_the_window_are_not_said_to_be_used() -> None:
    customers = tp.rfm_summary(LOG.dropna(), until="2024-01-31")
    facts = provenance(customers, "shop.csv")
    assert facts["Rows"] == "4 usable, 0 refused, 1 after the window"
    assert facts["Customers"] == "2"
    assert facts["Window"] == "2024-01-01 to 2024-01-31"


def test_a_split_is_named_and_its_customers_are_those_known_by_then() -> None:
    facts = provenance(tp.rfm_split(LOG.dropna(), split="2024-01-31"), "shop.csv")
    # c came after the split; all rows serve, the later ones for the check.
    assert facts["Customers"] == "2 known at the split"
    assert facts["Rows"] == "4 used, 0 refused"
    assert facts["Split"] == "fitted to 2024-01-31, checked on what came after"


def test_the_public_name_stays_a_function_whatever_was_imported_before() -> None:
    # A submodule of the same name would take its place on first use.
    from touchpoint_lib import report

    assert report.segmentation_headline.__module__.startswith("touchpoint_lib.report")
    for _ in range(2):
        assert not any(isinstance(getattr(report, name), ModuleType) for name in report.__all__)
    with pytest.raises(AttributeError, match="no attribute 'provenence'"):
        _ = report.provenence


def test_large_numbers_are_grouped() -> None:
    facts = provenance(tp.rfm_summary(tp.load_cdnow()), "CDNOW")
    assert facts["Rows"] == "69,659 used, 0 refused"
    assert facts["Customers"] == "23,570"


def test_a_frame_without_a_report_is_refused() -> None:
    customers = pd.DataFrame({"frequency": [0], "recency": [0.0], "T": [3.0]})
    with pytest.raises(InputError, match=r"no data report; pass the frame of rfm_summary") as error:
        provenance(customers, "shop.csv")
    assert "rfm_split" in str(error.value)
