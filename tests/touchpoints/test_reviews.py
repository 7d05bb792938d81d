"""Reviews: flags by stars and words, deliveries that will bring a bad one, and replies."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit

import touchpoint_lib as tp
from touchpoint_lib import InputError
from touchpoint_lib.metrics.paired import compare_predictions
from touchpoint_lib.simulate.reviews import _OPENINGS
from touchpoint_lib.touchpoints.complaints import ComplaintFlags, complaint_flags
from touchpoint_lib.touchpoints.replies import ReplyTimes, reply_times
from touchpoint_lib.touchpoints.reviews import review_flags

START = pd.Timestamp("2025-01-01")
HOUR = pd.Timedelta(hours=1)
CLASSES = ["carrier", "province", "product"]


def at(*hours: float | None) -> pd.DatetimeIndex:
    times = [pd.NaT if hour is None else START + hour * HOUR for hour in hours]
    return pd.DatetimeIndex(times).as_unit("us")


@pytest.fixture(scope="module")
def shop() -> tp.Shop:
    return tp.load_shop()


@pytest.fixture(scope="module")
def paid(shop: tp.Shop) -> pd.DataFrame:
    return shop.orders[shop.orders["status"] == "paid"]


def deliveries(shop: tp.Shop) -> pd.DataFrame:
    return shop.parcels.merge(shop.orders[["order_id", "product"]], on="order_id")


# --- flags ---------------------------------------------------------------------------------------


def few() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "review_id": [1, 2, 3, 4, 5],
            "rating": [1, 2, 3, 5, 5],
            "text": ["bad", "good", None, "bad", "  "],
        },
        index=list("abcde"),
    )


def test_stars_alone() -> None:
    found = review_flags(few())
    assert found.flags["flag"].tolist() == [True, True, False, False, False]
    assert found.flags["probability"].isna().all()
    assert (found.flags["disagreement"] == "").all()
    assert found.rates.empty
    assert found.n_without_text == 0
    assert review_flags(few(), negative=3).flags["by_rating"].sum() == 3


def test_words_by_a_function() -> None:
    asked = []

    def score(texts: list[str]) -> list[float]:
        asked.append(texts)
        return [0.9 if text == "bad" else 0.2 for text in texts]

    found = review_flags(few(), sentiment=score)
    # Each distinct text once, and none without words.
    assert asked == [["bad", "good"]]
    flags = found.flags
    np.testing.assert_array_equal(flags["probability"], [0.9, 0.2, np.nan, 0.9, np.nan])
    assert flags["flag"].tolist() == [True, True, False, True, False]
    assert flags["disagreement"].tolist() == [
        *("", "stars negative, words not", "", "words negative, stars not", "")
    ]
    assert found.n_without_text == 2
    counts = ["n", "true_positive", "false_positive", "false_negative", "true_negative"]
    assert found.rates.loc["words", counts].tolist() == [3, 1, 1, 1, 0]
    assert list(flags.index) == list("abcde")
    assert not review_flags(few(), sentiment=score, line=0.95).flags["by_text"].any()


def contrary(reviews: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return which reviews of the simulated shop are worded as if for the opposite stars."""
    clauses = reviews["text"].astype(str).str.rstrip("。").str.split("，")
    return np.array(
        [
            star != 3 and not set(_OPENINGS[5 - star]).isdisjoint(said)
            for star, said in zip(reviews["rating"], clauses, strict=True)
        ]
    )


def test_words_learnt_from_ratings_find_contrary_reviews(shop: tp.Shop) -> None:
    found = review_flags(shop.reviews, sentiment="ratings")
    at_odds = found.flags["disagreement"] != ""
    truth = contrary(shop.reviews)
    assert 150 < truth.sum() < 200
    # 0.06 and 0.33 are in the docstring.
    assert tp.omission_rate(truth, at_odds.to_numpy()) < 0.1
    assert tp.error_rate(truth, at_odds.to_numpy()) < 0.4
    row = found.rates.loc["words"]
    assert row["error_rate"] < 0.16
    assert row["omission_rate"] < 0.12
    assert repr(found) == (
        f"ReviewFlags(6,536 reviews, {found.flags['flag'].sum():,} flagged, "
        f"{at_odds.sum():,} whose words and stars disagree)"
    )
    assert "disagreement" in found._repr_html_()


def test_no_text_is_judged_by_its_own_rating() -> None:
    """Words that say nothing find nothing, however many there are to learn by heart."""
    rng = np.random.default_rng(1)
    letters = np.array(list("甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉"))
    texts = ["".join(letters[rng.integers(0, 20, 12)]) for _ in range(1500)]
    reviews = pd.DataFrame(
        {
            "review_id": np.arange(3000),
            "rating": np.tile(np.where(rng.random(1500) < 0.5, 1, 5), 2),
            "text": texts * 2,
        }
    )
    found = review_flags(reviews, sentiment="ratings")
    area = tp.auc(reviews["rating"] <= 2, found.flags["probability"]).auc
    assert abs(area - 0.5) < 0.05


def test_english_words_are_read() -> None:
    reviews = pd.DataFrame(
        {
            "review_id": np.arange(200),
            "rating": np.tile([1, 5], 100),
            "text": [f"{word} item {n // 4}" for n in range(100) for word in ("Awful", "Great")],
        }
    )
    assert review_flags(reviews, sentiment="ratings").rates.loc["words", "error_rate"] == 0


def test_snownlp_reads_chinese(shop: tp.Shop) -> None:
    pytest.importorskip("snownlp")
    first = shop.reviews.head(400)
    found = review_flags(first, sentiment="snownlp")
    assert found.flags["probability"].between(0, 1).all()
    assert tp.auc(found.flags["by_rating"], found.flags["probability"]).auc > 0.8


def test_without_snownlp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snownlp", None)
    with pytest.raises(InputError, match=r"not installed; pip install 'touchpoint-lib\[sentiment"):
        review_flags(few(), sentiment="snownlp")


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, {"negative": 0}, r"negative is 0; it must be >= 1"),
        ({}, {"line": 1.0}, r"line is 1.0; it must be < 1"),
        ({}, {"sentiment": "vader"}, r'sentiment is \'vader\'; pass None, "ratings"'),
        ({}, {"sentiment": lambda texts: [2.0] * len(texts)}, r"sentiment is 2 at row 0"),
        ({}, {"sentiment": lambda _: [0.5]}, r"sentiment returned shape \(1,\) for 2 texts"),
        ({}, {"sentiment": "ratings"}, r"2 different texts are of negative reviews; \"ratings\""),
        ({"text": ""}, {"sentiment": "ratings"}, r"text of reviews has no words in any row"),
        ({"rating": [1, 2, 3, 5, 4.5]}, {}, r"rating is 4.5 at index 'e'.*a whole number"),
        (
            {"rating": 0},
            {},
            r"rating is 0 at index 'a' \(5 such values\); every value must be >= 1",
        ),
        ({"review_id": 7}, {}, r"review_id repeats at index 'b' of reviews \(4 such rows\)"),
    ],
)
def test_bad_flags(change: dict[str, Any], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        review_flags(few().assign(**change), **arguments)


def test_texts_that_share_nothing() -> None:
    reviews = pd.DataFrame(
        {
            "review_id": np.arange(60),
            "rating": np.tile([1, 5], 30),
            "text": [chr(0x4E00 + n) for n in range(60)],
        }
    )
    with pytest.raises(InputError, match="no two texts of reviews share a word"):
        review_flags(reviews, sentiment="ratings")


# --- complaints ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def complaints(shop: tp.Shop) -> ComplaintFlags:
    return complaint_flags(deliveries(shop), shop.reviews, split="2025-01-01", hours=24, by=CLASSES)


def test_complaints_are_a_plain_count(shop: tp.Shop, complaints: ComplaintFlags) -> None:
    flags, end = complaints.flags, complaints.until
    parcels = shop.parcels.set_index("parcel_id")
    delivered = parcels["delivered_at"]
    days = pd.Timedelta(days=14)
    known = delivered[(delivered >= "2025-01-01") & (delivered + days <= end)]
    assert flags["parcel_id"].tolist() == known.index.tolist()
    bad = {
        order: time
        for order, time, stars in shop.reviews[["order_id", "time", "rating"]].itertuples(
            index=False
        )
        if stars <= 2
    }
    label = []
    for parcel, time in known.items():
        review = bad.get(parcels["order_id"][parcel])
        label.append(review is not None and time < review <= time + days)
    assert flags["negative_review"].tolist() == label
    for rule, column in (("flag", "flag"), ("late by more than 24 hours", "late_flag")):
        wrong = (flags[column] & ~flags["negative_review"]).sum()
        missed = (~flags[column] & flags["negative_review"]).sum()
        row = complaints.rates.loc[rule]
        assert row["error_rate"] == pytest.approx(wrong / flags[column].sum())
        assert row["omission_rate"] == pytest.approx(missed / sum(label))
        assert row["error_rate_low"] < row["error_rate"] < row["error_rate_high"]
    late = (known - parcels["promised_at"][known.index]) / HOUR
    np.testing.assert_allclose(flags["hours_late"], late)
    np.testing.assert_array_equal(flags["late_flag"], late > 24)
    assert complaints.n_learned + complaints.n_waiting + complaints.n_judged + (
        (delivered >= "2025-01-01") & (delivered + days > end)
    ).sum() + complaints.n_undelivered == len(parcels)


def test_of_a_thousand_classes_each_row_has_its_own(shop: tp.Shop) -> None:
    skus = np.random.default_rng(0).integers(0, 1000, len(shop.parcels)).astype(str)
    parcels = shop.parcels.assign(sku=pd.Categorical(skus))
    found = complaint_flags(parcels, shop.reviews, split="2025-01-01", by=["carrier", "sku"])
    odds = found.terms["log_odds"]
    assert odds.index.str.startswith("sku=").sum() > 990
    # Of customers without any review nothing earlier counts: what is left is the intercept.
    rows = found.flags[~found.flags["customer_id"].isin(shop.reviews["customer_id"])]
    labels = parcels.set_index("parcel_id").loc[rows["parcel_id"]]
    hours = rows["hours_late"].to_numpy()
    told = (
        odds["late"] * (hours > 0)
        + odds["log hours late"] * np.log1p(np.maximum(hours, 0))
        + odds["log hours early"] * np.log1p(np.maximum(-hours, 0))
    )
    for name in ("carrier", "sku"):
        told += odds.reindex(f"{name}=" + labels[name].astype(str)).fillna(0).to_numpy()
    intercept = logit(rows["probability"]) - told
    assert len(rows) > 1000
    np.testing.assert_allclose(intercept, intercept.iloc[0], atol=1e-9)


def test_flags_as_many_as_the_baseline_of_those_learnt(complaints: ComplaintFlags) -> None:
    rates = complaints.rates["n_flagged"]
    assert abs(rates["flag"] / rates["late by more than 24 hours"] - 1) < 0.1


def test_open_deliveries_are_young_and_without_a_bad_review(
    shop: tp.Shop, complaints: ComplaintFlags
) -> None:
    young = complaints.open
    assert (young["delivered_at"] + pd.Timedelta(days=14) > complaints.until).all()
    assert young["probability"].is_monotonic_decreasing
    order = shop.parcels.set_index("parcel_id")["order_id"][young["parcel_id"]]
    stars = shop.reviews.set_index("order_id")["rating"].reindex(order)
    assert not (stars <= 2).any()
    np.testing.assert_array_equal(young["flag"], young["probability"] >= complaints.threshold)


def test_nothing_is_known_before_its_time(shop: tp.Shop, complaints: ComplaintFlags) -> None:
    """Without all that happened after the split the model is the same, and so are the flags."""
    split = pd.Timestamp("2025-01-01")
    parcels = deliveries(shop)
    then = complaint_flags(
        parcels,
        # Reviews after the split, but for one on the last day that lets deliveries be judged.
        pd.concat([shop.reviews[shop.reviews["time"] < split], shop.reviews.tail(1)]),
        split=split,
        hours=24,
        by=CLASSES,
    )
    pd.testing.assert_frame_equal(then.terms, complaints.terms)
    assert then.threshold == complaints.threshold
    # Flags of the first days know no later review: by the end of the year they know more.
    first = then.flags["delivered_at"] < split + pd.Timedelta(hours=1)
    assert first.any()
    pd.testing.assert_series_equal(
        then.flags["probability"][first], complaints.flags["probability"][first]
    )


def test_earlier_reviews_count_up_to_the_delivery(
    shop: tp.Shop, complaints: ComplaintFlags
) -> None:
    """Reviews written after a delivery, its own among them, do not change its probability."""
    reviews = shop.reviews.copy()
    parcel = complaints.flags[complaints.flags["negative_review"]].iloc[100]
    mine = (reviews["customer_id"] == parcel["customer_id"]).to_numpy()
    after = mine & (reviews["time"] > parcel["delivered_at"]).to_numpy()
    reviews.loc[after, "rating"] = 5
    assert after.any()
    other = complaint_flags(deliveries(shop), reviews, split="2025-01-01", hours=24, by=CLASSES)
    row = other.flags.loc[parcel.name]
    assert not row["negative_review"]
    assert row["probability"] == pytest.approx(parcel["probability"], rel=1e-12)


def test_a_review_before_the_delivery_is_not_foreseen(
    shop: tp.Shop, complaints: ComplaintFlags
) -> None:
    reviews = shop.reviews.copy()
    parcel = complaints.flags[complaints.flags["negative_review"]].iloc[50]
    order = shop.parcels.set_index("parcel_id")["order_id"][parcel["parcel_id"]]
    reviews.loc[reviews["order_id"] == order, "time"] = parcel["delivered_at"] - HOUR
    other = complaint_flags(deliveries(shop), reviews, split="2025-01-01", hours=24, by=CLASSES)
    assert not other.flags.loc[parcel.name, "negative_review"]
    # It is an earlier review instead.
    assert other.flags.loc[parcel.name, "probability"] != parcel["probability"]


def test_difference_against_the_bootstrap(complaints: ComplaintFlags) -> None:
    flags = complaints.flags
    scores = {name: flags[name].astype(float) for name in ("flag", "late_flag")}
    table = compare_predictions(
        flags["negative_review"],
        scores,
        baseline="late_flag",
        threshold=0.5,
        customers=flags["customer_id"],
        resamples=300,
    ).loc["flag"]
    mine = complaints.difference
    for name, short in (("error_rate", "error"), ("omission_rate", "omission")):
        assert mine[name] == pytest.approx(table[f"{short}_difference"])
        width = mine[f"{name}_high"] - mine[f"{name}_low"]
        resampled = table[f"{short}_difference_high"] - table[f"{short}_difference_low"]
        assert width == pytest.approx(resampled, rel=0.15)


def test_the_flag_beats_late_by_a_day(complaints: ComplaintFlags) -> None:
    assert complaints.difference["error_rate_high"] < 0
    assert complaints.difference["omission_rate_high"] < 0


@pytest.mark.slow
def test_the_flag_beats_late_by_a_day_but_not_late_at_all() -> None:
    """In a larger shop; without the product there is nothing to know but that a parcel is late."""
    shop = tp.simulate_shop(seed=8, n_customers=40_000, days=730, contacts=None, visits=None)
    parcels, common = deliveries(shop), {"split": "2025-01-01"}
    day = complaint_flags(parcels, shop.reviews, hours=24, by=CLASSES, **common)
    assert day.difference["error_rate_high"] < -0.005
    assert day.difference["omission_rate_high"] < -0.005
    late = complaint_flags(parcels, shop.reviews, hours=0, by=CLASSES, **common)
    assert abs(late.difference["error_rate"]) < 0.002
    blind = complaint_flags(parcels, shop.reviews, hours=24, **common)
    assert abs(blind.difference["error_rate"]) < 0.015


def test_threshold_by_error_rate(shop: tp.Shop) -> None:
    limit = 0.82
    found = complaint_flags(
        deliveries(shop), shop.reviews, split="2025-01-01", by=CLASSES, max_error_rate=limit
    )
    rates = found.rates.loc["flag"]
    assert rates["error_rate_low"] < limit < rates["error_rate_high"] + 0.02
    assert rates["n_flagged"] < found.rates["n_flagged"].iloc[1]
    assert "odds_ratio" in found._repr_html_()
    assert repr(found).startswith(f"ComplaintFlags({found.n_judged:,} deliveries judged, ")
    np.testing.assert_allclose(found.terms["odds_ratio"], np.exp(found.terms["log_odds"]))
    assert found.terms.loc["product=clothes", "log_odds"] > 0.3
    assert found.terms.loc["product=tea", "log_odds"] < -0.3


def test_time_zones_change_no_complaints(shop: tp.Shop, complaints: ComplaintFlags) -> None:
    parcels, reviews = deliveries(shop), shop.reviews
    for name in ("promised_at", "delivered_at"):
        parcels[name] = parcels[name].dt.tz_localize("UTC")
    zoned = complaint_flags(
        parcels,
        reviews.assign(time=reviews["time"].dt.tz_localize("UTC")),
        split="2025-01-01T00:00Z",
        hours=24,
        by=CLASSES,
    )
    pd.testing.assert_frame_equal(zoned.rates, complaints.rates)


def test_a_class_never_seen_counts_as_average(shop: tp.Shop) -> None:
    parcels = deliveries(shop)
    late_ones = parcels["shipped_at"] > "2025-06-01"
    parcels["carrier"] = parcels["carrier"].astype(str).where(~late_ones, "drone")
    found = complaint_flags(parcels, shop.reviews, split="2025-01-01", by=["carrier"])
    assert not any("drone" in term for term in found.terms.index)
    assert found.flags["probability"].between(0, 1).all()


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, {"split": "2024-01-10"}, r"deliveries brought a negative review known by split"),
        ({}, {"split": "2025-12-31"}, r"no delivery from split .* is 14 days old by until"),
        ({}, {"hours": 5000}, r"no delivery before split was late by more than 5000 hours"),
        ({}, {"max_error_rate": 0.0}, r"no threshold has error_rate <= 0; the lowest"),
        ({}, {"until": "2023-01-01"}, r"no parcel was delivered by until"),
        ({}, {"review_days": 0}, r"review_days is 0; it must be > 0"),
        ({}, {"by": ["delivered_at"]}, r"by names 'delivered_at'"),
        ({"carrier": None}, {}, r"carrier is missing at index"),
        ({"order_id": None}, {}, r"order_id is missing at index"),
        ({"promised_at": "soon"}, {}, r"promised_at of parcels holds str, no times"),
    ],
)
def test_bad_complaints(
    shop: tp.Shop, change: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    parcels = shop.parcels.assign(**change)
    with pytest.raises(InputError, match=message):
        complaint_flags(parcels, shop.reviews, **{"split": "2025-01-01", **arguments})


def test_ids_of_another_type_are_refused(shop: tp.Shop) -> None:
    """Customers who match nowhere would have no earlier reviews, without a word."""
    for column, message in (
        ("order_id", r"no order_id of reviews \(str\) is in parcels \(int32\); call orders alike"),
        ("customer_id", r"no customer of parcels \(int32\) is in reviews \(str\); call customers"),
    ):
        reviews = shop.reviews.assign(**{column: shop.reviews[column].astype("str")})
        with pytest.raises(InputError, match=message):
            complaint_flags(shop.parcels, reviews, split="2025-01-01")


def test_categories_as_ids_change_nothing(shop: tp.Shop, complaints: ComplaintFlags) -> None:
    ids = dict.fromkeys(["order_id", "customer_id"], "category")
    parcels = shop.parcels.merge(shop.orders[["order_id", "product"]], on="order_id")
    again = complaint_flags(
        parcels.astype(ids),
        shop.reviews.astype(ids),
        split="2025-01-01",
        hours=24,
        by=["carrier", "province", "product"],
    )
    np.testing.assert_allclose(again.flags["probability"], complaints.flags["probability"])


def test_nothing_to_tell_apart_is_refused(shop: tp.Shop) -> None:
    parcels = shop.parcels[shop.parcels["delivered_at"].notna()]
    reviews = parcels[["order_id", "customer_id"]].assign(
        time=parcels["delivered_at"] + pd.Timedelta(hours=1), rating=1
    )
    with pytest.raises(InputError, match=r"all \d+,\d+ deliveries learnt from brought a negative"):
        complaint_flags(parcels, reviews, split="2025-01-01")
    one = shop.parcels.assign(customer_id=1), shop.reviews.assign(customer_id=1)
    with pytest.raises(InputError, match="learnt from are of 1 customers, too few to score each"):
        complaint_flags(*one, split="2025-01-01", max_error_rate=0.9)


# --- replies -------------------------------------------------------------------------------------


def answered() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return reviews replied to in time, at the limit, later, behind the landmark, and never."""
    reviews = pd.DataFrame(
        {
            "review_id": [1, 2, 3, 4, 5, 6, 7],
            "customer_id": [1, 2, 3, 4, 5, 1, 2],
            "time": at(10, 10, 10, 10, 10, 20, 900),
            "rating": [1, 2, 1, 2, 1, 5, 1],
            "replied_at": at(11, 34, 35, 10 + 169, None, 21, None),
        }
    )
    # The windows are (178, 418] for a review at 10, and (188, 428] for that at 20.
    orders = pd.DataFrame(
        {
            "customer_id": [1, 2, 3, 4, 5, 1, 2, 2, 3, 4, 1, 5],
            "time": at(0, 0, 0, 0, 0, 100, 178, 179, 418, 419, 420, 1000),
        }
    )
    return reviews, orders


def test_replies_by_their_landmark() -> None:
    found = reply_times(*answered(), window=10)
    row = found.replies.loc["negative"]
    assert row[["n", "n_within", "n_later", "n_none"]].tolist() == [5, 2, 1, 2]
    assert row["within_share"] == pytest.approx(2 / 5)
    assert row["none_share"] == pytest.approx(2 / 5)
    assert row["hours_median"] == 25
    assert found.replies.loc["all", "n"] == 6
    assert (found.n_young, found.n_open, found.n_after) == (1, 0, 0)
    table = found.purchases
    # Customer 2 bought at 179, not at 178; 3 at 418; 4 only at 419; of 1 the 1-star window ends at
    # 418, the 5-star one at 428.
    assert table.loc[("negative", "within limit"), ["n", "n_bought"]].tolist() == [2, 1]
    assert table.loc[("negative", "later"), ["n", "n_bought"]].tolist() == [1, 1]
    assert table.loc[("negative", "none"), ["n", "n_bought"]].tolist() == [2, 0]
    assert table.loc[("other", "within limit"), ["n", "n_bought"]].tolist() == [1, 1]
    assert np.isnan(table.loc[("other", "none"), "bought_share"])
    assert table.loc[("negative", "within limit"), "orders"] == 0.5


def test_without_negative_reviews_nothing_is_told_of_them() -> None:
    reviews, orders = answered()
    found = reply_times(reviews.assign(rating=5), orders, window=10)
    assert repr(found) == "ReplyTimes(0 negative reviews; 0 wait)"


def test_who_waits() -> None:
    found = reply_times(*answered(), window=10)
    assert found.waiting["review_id"].tolist() == [5, 7]
    assert found.waiting["hours_waiting"].tolist() == [990, 100]
    assert found.waiting["overdue"].tolist() == [True, True]
    early = reply_times(*answered(), window=5, until=START + 310 * HOUR)
    assert early.n_after == 1
    assert early.waiting["review_id"].tolist() == [5]


def test_a_reply_behind_the_landmark_counts_as_none() -> None:
    reviews, orders = answered()
    longer = reply_times(reviews, orders, window=10, landmark_days=8)
    assert longer.replies.loc["negative", "n_later"] == 2
    # Whether it comes at all changes no figure but who waits.
    never = reviews.assign(replied_at=reviews["replied_at"].where(reviews["review_id"] != 4))
    one, other = (reply_times(frame, orders, window=10) for frame in (reviews, never))
    pd.testing.assert_frame_equal(one.replies, other.replies)
    pd.testing.assert_frame_equal(one.purchases, other.purchases)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), landmark=st.integers(1, 6))
def test_replies_against_loops(seed: int, landmark: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = 40, 80
    time = rng.integers(10, 400, n)
    delay, has = rng.integers(0, 200, n), rng.random(n) < 0.7
    who, buyer = rng.integers(0, 8, n), np.r_[np.arange(8), rng.integers(0, 8, m)]
    bought = np.r_[np.zeros(8, dtype=int), rng.integers(0, 700, m)]
    stars = rng.integers(1, 6, n)
    reviews = pd.DataFrame(
        {
            "review_id": np.arange(n),
            "customer_id": who,
            "time": at(*time),
            "rating": stars,
            "replied_at": at(
                *(t + d if h else None for t, d, h in zip(time, delay, has, strict=True))
            ),
        }
    )
    orders = pd.DataFrame({"customer_id": buyer, "time": at(*bought)})
    found = reply_times(reviews, orders, window=3, landmark_days=landmark, until=START + 500 * HOUR)
    counts = {(group, word): [0, 0, 0] for group in ("negative", "other") for word in (0, 1, 2)}
    for row in range(n):
        mark = time[row] + 24 * landmark
        if mark + 72 > 500:
            continue
        late = delay[row] if has[row] and delay[row] <= 24 * landmark else 10**9
        word = 0 if late <= 24 else 1 if late < 10**9 else 2
        n_orders = sum(
            b == who[row] and mark < t <= mark + 72 for b, t in zip(buyer, bought, strict=True)
        )
        cell = counts["negative" if stars[row] <= 2 else "other", word]
        cell[0] += 1
        cell[1] += n_orders > 0
        cell[2] += n_orders
    words = ("within limit", "later", "none")
    for (group, word), (total, some, many) in counts.items():
        row = found.purchases.loc[(group, words[word])]
        assert row[["n", "n_bought"]].tolist() == [total, some]
        if total:
            assert row["orders"] == pytest.approx(many / total)


@pytest.fixture(scope="module")
def replies(shop: tp.Shop, paid: pd.DataFrame) -> ReplyTimes:
    return reply_times(shop.reviews, paid, window=90)


def test_reply_shares_are_those_of_the_settings(replies: ReplyTimes) -> None:
    """85 % of the negative reviews have a reply, after a log-normal time of median 16 hours."""
    from scipy.stats import norm

    within = 0.85 * norm.cdf(np.log(24 / 16) / 1.1)
    by_landmark = 0.85 * norm.cdf(np.log(168 / 16) / 1.1)
    row = replies.replies.loc["negative"]
    assert row["within_low"] < within < row["within_high"]
    assert row["none_low"] < 1 - by_landmark < row["none_high"]


def test_bundled_difference_holds_the_truth(replies: ReplyTimes) -> None:
    """0.216 orders, by a simulated shop of 150,000 customers with the settings of the bundled."""
    row = replies.adjusted.loc[("negative", "orders")]
    assert row["low"] < 0.216 < row["high"]
    assert "Nobody drew lots" in replies._repr_html_()
    assert repr(replies) == (
        "ReplyTimes(991 negative reviews, 56.9% replied to within 24 hours "
        "(95%: 53.8% to 60.0%); 162 wait)"
    )
    pd.testing.assert_frame_equal(replies.to_frame(), replies.purchases)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [0.0, 1.5])
def test_recovers_what_a_missing_reply_costs(loss: float) -> None:
    """The simulated shop draws lots for replies; no reply in time costs by its ``loss``."""
    shop = tp.simulate_shop(
        seed=4,
        n_customers=30_000,
        days=420,
        contacts=None,
        visits=None,
        reviews=tp.ShopReviews(share=0.5, share_late=0.7, loss=loss),
    )
    paid = shop.orders[shop.orders["status"] == "paid"]
    found = reply_times(shop.reviews, paid, window=90)
    negative = found.adjusted.loc[("negative", "orders")]
    other = found.adjusted.loc[("other", "orders")]
    error = (other["high"] - other["low"]) / 3.92
    assert abs(other["difference"]) < 3 * error
    shares = found.purchases.loc["negative", "bought_share"]
    if loss:
        # 0.765 in a shop of 120,000 customers, and later is as bad as none.
        assert negative["low"] < 0.765 < negative["high"]
        assert abs(shares["later"] - shares["none"]) < 0.06
    else:
        error = (negative["high"] - negative["low"]) / 3.92
        assert abs(negative["difference"]) < 3 * error


def test_adjustment_removes_what_stars_and_orders_explain() -> None:
    """A shop that replies first to its good customers: there is no difference within strata."""
    rng = np.random.default_rng(3)
    n = 4000
    many = rng.random(n) < 0.5
    prompt = rng.random(n) < np.where(many, 0.8, 0.3)
    buys = rng.random(n) < np.where(many, 0.6, 0.2)
    reviews = pd.DataFrame(
        {
            "review_id": np.arange(n),
            "customer_id": np.arange(n),
            "time": at(*[100] * n),
            "rating": 1,
            "replied_at": at(*(101 if fast else None for fast in prompt)),
        }
    )
    who = np.arange(n)
    ids = [who, *[who[many]] * 4, who[buys]]
    hours = [5, 20, 30, 40, 50, 300]
    orders = pd.DataFrame(
        {
            "customer_id": np.concatenate(ids),
            "time": at(*np.repeat(hours, [len(part) for part in ids])),
        }
    )
    found = reply_times(reviews, orders, window=20, until=START + 800 * HOUR)
    table = found.purchases.loc["negative"]
    assert table.loc["within limit", "bought_low"] > table.loc["none", "bought_high"]
    adjusted = found.adjusted.loc[("negative", "bought")]
    assert adjusted["low"] < 0 < adjusted["high"]


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, {"window": -1}, r"window is -1; it must be > 0"),
        ({}, {"landmark_days": 0.5}, r"landmark_days is 0.5; it must be >= 1.0"),
        ({}, {"window": 100}, r"no window of 100 days behind a landmark is over by until"),
        ({}, {"until": "2025-01-02"}, r"no review is 7 days old by until"),
        ({"replied_at": START}, {}, r"replied_at is before the review at index 0 of reviews"),
        ({"customer_id": 99}, {}, r"customer_id has no order in orders at index 0"),
        ({"rating": 2.5}, {}, r"rating is 2.5 at index 0"),
        ({"time": None}, {}, r"time of reviews holds object, no times"),
    ],
)
def test_bad_replies(change: dict[str, Any], arguments: dict[str, Any], message: str) -> None:
    reviews, orders = answered()
    with pytest.raises(InputError, match=message):
        reply_times(reviews.assign(**change), orders, **{"window": 10, **arguments})
