"""Reviews as touchpoints: which are negative (差评), by their stars or their words."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from touchpoint_lib._checks import check_integer, check_number
from touchpoint_lib.metrics.rates import prediction_rates
from touchpoint_lib.touchpoints._care_read import check_frame, check_ids, stars_of
from touchpoint_lib.touchpoints._review_text import Sentiment, text_probability

__all__ = ["ReviewFlags", "review_flags"]

_WORDS_BAD = "words negative, stars not"
_STARS_BAD = "stars negative, words not"


@dataclass(frozen=True, eq=False)
class ReviewFlags:
    """Which reviews are negative, by their stars or their words.

    Attributes
    ----------
    flags : DataFrame
        A row a review, in the order given, with its index: review_id, rating, by_rating (at most
        ``negative`` stars), probability (that the words are negative; NaN without sentiment or
        words), by_text (probability at least ``line``), flag (either), disagreement
        ("words negative, stars not", "stars negative, words not", or "": they agree, or there are
        no words to compare).
    rates : DataFrame
        One row: the words as a prediction of negative stars, among reviews with words: the columns
        of `prediction_rates`. No row without sentiment.
    negative : int
    line, level : float
        As used.
    n_without_text : int
        Reviews without words, which only their stars can flag; 0 without sentiment.
    """

    flags: pd.DataFrame
    rates: pd.DataFrame
    negative: int
    line: float
    level: float
    n_without_text: int

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of ``flags``."""
        return self.flags.copy()

    def __repr__(self) -> str:
        at_odds = int((self.flags["disagreement"] != "").sum())
        return (
            f"ReviewFlags({len(self.flags):,} reviews, {int(self.flags['flag'].sum()):,} flagged, "
            f"{at_odds:,} whose words and stars disagree)"
        )

    def _repr_html_(self) -> str:
        counts = self.flags.groupby(["by_rating", "by_text", "disagreement"]).size()
        tables = (counts.rename("reviews").to_frame(), self.rates)
        shown = (table.to_html(float_format=lambda value: f"{value:.3f}") for table in tables)
        return f"<p>{self!r}</p>" + "".join(shown)


def review_flags(
    reviews: pd.DataFrame,
    *,
    negative: int = 2,
    sentiment: str | Sentiment | None = None,
    line: float = 0.5,
    level: float = 0.95,
) -> ReviewFlags:
    """Return which reviews are negative (差评), and where stars and words disagree.

    Parameters
    ----------
    reviews : DataFrame
        A row a review: review_id (unique), rating (whole stars, 1 or more) and, with
        ``sentiment``, text (missing or empty: no words).
    negative : int
        Up to so many stars a review is negative, >= 1.
    sentiment : {"ratings", "snownlp"}, function, or None
        How the words are read. None: not at all. "ratings": learnt from these reviews themselves,
        what is written under few stars and what under many, each text by a model that has not
        seen it. "snownlp": the package of that name, for simplified Chinese alone, in the extra
        ``sentiment``. A function takes a list of distinct texts and returns the probability that
        each is negative.
    line : float
        Words are negative from this probability on, in (0, 1).
    level : float
        Of the intervals, in (0, 1).

    Returns
    -------
    ReviewFlags
        See there.

    Raises
    ------
    InputError
        If a column is missing or not of its kind, an id repeats, a rating is no whole number of
        stars, "ratings" has less than 20 different texts of either kind, the package is not
        installed, or the function returns no probabilities.

    Notes
    -----
    Words are judged against stars, and stars are no truth: in the simulated shop 2.6 % of the
    reviews are worded as if for the opposite stars. Measured on the bundled one (6,536 reviews),
    "ratings" has an error rate of 0.13 and an omission rate of 0.09 against the stars; its
    disagreements hold 94 % of the contrary reviews, at an error rate of 0.33. "snownlp" 0.12.3
    (a naive Bayes trained on other goods, no longer developed) has 0.57 and 0.19, or 0.33 and 0.39
    with ``line`` 0.8; of its disagreements 85 % or more are its own faults, and it takes 2 ms a
    text. So take "ratings" where there are enough. These texts are easier than real ones: they
    are put together from some 80 clauses. "ratings" takes about 10 s for 100,000 different texts.

    References
    ----------
    Northcutt, Jiang and Chuang (2021), "Confident learning: estimating uncertainty in dataset
    labels", JAIR 70 (labels doubted by models that were not fitted to them).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> found = tp.review_flags(tp.load_shop().reviews, sentiment="ratings")
    >>> found.rates[["n_flagged", "n_actual", "error_rate", "omission_rate"]].round(2)
           n_flagged  n_actual  error_rate  omission_rate
    rule
    words       1064      1016        0.13           0.09
    >>> found.flags["disagreement"].value_counts().to_dict()
    {'': 6300, 'words negative, stars not': 142, 'stars negative, words not': 94}
    """
    stars = check_integer("negative", negative, ge=1)
    check_number("line", line, gt=0, lt=1)
    check_number("level", level, gt=0, lt=1)
    columns = ["review_id", "rating"]
    check_frame("reviews", reviews, columns if sentiment is None else [*columns, "text"])
    check_ids("reviews", reviews, "review_id")
    bad = stars_of(reviews) <= stars
    chance = np.full(len(reviews), np.nan)
    worded = np.zeros(len(reviews), dtype=np.bool_)
    rates = pd.DataFrame()
    if sentiment is not None:
        chance, worded = text_probability(reviews["text"], bad, sentiment)
        judged = prediction_rates(bad[worded], chance[worded], line, level)
        rates = pd.DataFrame([asdict(judged)], index=pd.Index(["words"], name="rule"))
    by_text = worded & (chance >= line)
    at_odds = np.where(by_text, _WORDS_BAD, _STARS_BAD)
    flags = reviews[columns].assign(
        by_rating=bad,
        probability=chance,
        by_text=by_text,
        flag=bad | by_text,
        disagreement=np.where(worded & (by_text != bad), at_odds, ""),
    )
    without = int((~worded).sum()) if sentiment is not None else 0
    return ReviewFlags(flags, rates, stars, float(line), float(level), without)
