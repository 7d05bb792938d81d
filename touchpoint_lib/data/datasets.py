"""The bundled datasets, and one that is downloaded on demand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pandas as pd

from touchpoint_lib._checks import check_choice, fail
from touchpoint_lib._paths import bundled

HILLSTROM_URL = (
    "http://www.minethatdata.com/"
    "Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv"
)
HILLSTROM_SHA256 = "0e5893329d8b93cefecc571777672028290ab69865718020c78c7284f291aece"
_HILLSTROM_TYPES = {
    "recency": "int64",
    "history_segment": "str",
    "history": "float64",
    "mens": "int64",
    "womens": "int64",
    "zip_code": "str",
    "newbie": "int64",
    "channel": "str",
    "segment": "str",
    "visit": "int64",
    "conversion": "int64",
    "spend": "float64",
}


def load_cdnow(sample: bool = False) -> pd.DataFrame:
    """Return the purchases of the CDNOW cohort, January 1997 to June 1998.

    Parameters
    ----------
    sample
        True for the usual 1-in-10 sample of the customers.

    Returns
    -------
    pandas.DataFrame
        One row a purchase: customer_id (text), date (day), quantity (CDs), amount (US dollars).
        69,659 rows of 23,570 customers; the sample has 6,919 rows of 2,357.

    References
    ----------
    Fader, P. S. and Hardie, B. G. S. (2001). "Forecasting Repeat Sales at CDNOW: A Case Study",
    Interfaces 31(3).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> log = tp.load_cdnow()
    >>> len(log), log["customer_id"].nunique()
    (69659, 23570)
    """
    return pd.read_parquet(bundled("datasets") / f"cdnow{'_sample' if sample else ''}.parquet")


def load_donations() -> pd.DataFrame:
    """Return the donation histories of 11,104 people over six yearly opportunities.

    Returns
    -------
    pandas.DataFrame
        One row for each distinct history (22): frequency (years with a repeat donation), recency
        (the last such year, 0 without), T (opportunities: 6 years), count (donors). One
        opportunity is a year: ``attrs["unit"]`` is "Y".

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Shang, J. (2010). "Customer-Base Analysis in a Discrete-Time
    Noncontractual Setting", Marketing Science 29(6).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> int(tp.load_donations()["count"].sum())
    11104
    """
    donors = pd.read_parquet(bundled("datasets") / "donations.parquet")
    donors.attrs["unit"] = "Y"
    return donors


def load_subscriptions(segment: Literal["high_end", "regular"] = "high_end") -> pd.DataFrame:
    """Return how many of a cohort of subscribers are left after each yearly renewal.

    Parameters
    ----------
    segment
        "high_end" or "regular": the two cohorts that were published.

    Returns
    -------
    pandas.DataFrame
        One row a year: period (years since the start, 0 to 12), survival (share of the cohort
        still subscribed, 0 to 1), count (the same, as customers of 1,000). A period is a year:
        ``attrs["unit"]`` is "Y".

    Raises
    ------
    InputError
        If there is no such segment.

    References
    ----------
    Fader, P. S. and Hardie, B. G. S. (2007). "How to Project Customer Retention", Journal of
    Interactive Marketing 21(1).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> tp.load_subscriptions("regular").head(3)
       period  survival  count
    0       0     1.000   1000
    1       1     0.631    631
    2       2     0.468    468
    """
    check_choice("segment", segment, ["high_end", "regular"])
    table = pd.read_parquet(bundled("datasets") / "subscriptions.parquet")
    left = table[table["segment"] == segment].drop(columns="segment").reset_index(drop=True)
    left.attrs["unit"] = "Y"
    return left


def fetch_hillstrom(
    url: str = HILLSTROM_URL, path: str | Path | None = None, sha256: str = HILLSTROM_SHA256
) -> pd.DataFrame:
    """Download Kevin Hillstrom's e-mail experiment once, and return it.

    Parameters
    ----------
    url
        Where the file is; a file:// address for a copy on this machine.
    path
        Folder to keep the file in; by default the user's cache folder.
    sha256
        What the file's SHA-256 must be.

    Returns
    -------
    pandas.DataFrame
        One row a customer (64,000): recency (months since the last purchase), history_segment,
        history (US dollars in the past year), mens and womens (1 if bought such goods), zip_code
        (kind of area), newbie (1 if new within a year), channel, segment (the arm: "Mens E-Mail",
        "Womens E-Mail" or "No E-Mail"), visit and conversion (1 if so within two weeks), spend
        (US dollars within two weeks).

    Raises
    ------
    InputError
        If the file cannot be had, or is not the one expected.

    References
    ----------
    Hillstrom, K. (2008). "The MineThatData E-Mail Analytics and Data Mining Challenge".

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> emails = tp.fetch_hillstrom()  # doctest: +SKIP
    >>> len(emails)  # doctest: +SKIP
    64000
    """
    import pooch

    local = urlsplit(url).scheme == "file"
    try:
        found = pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}",
            path=pooch.os_cache("touchpoint_lib") if path is None else path,
            downloader=_copy if local else None,
        )
    except (OSError, ValueError) as error:
        raise fail(
            f"{url} cannot be used ({error})",
            "check the network or download the file by hand, and pass its file:// address as url=",
        ) from error
    return pd.read_csv(found, dtype=_HILLSTROM_TYPES)


def _copy(url: str, output_file: Any, _: Any) -> None:
    """Fetch a file:// address, for which pooch has no downloader."""
    shutil.copyfile(url2pathname(urlsplit(url).path), output_file)
