"""Reviews: stars, times, replies and losses against their closed forms; what the texts say."""

from __future__ import annotations

import dataclasses
import itertools
import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchpoint_lib import InputError
from touchpoint_lib.simulate import reviews as module
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._orders import Orders
from touchpoint_lib.simulate.reviews import (
    CONTRARY_SHARE,
    LATE_MENTIONS,
    USUAL_MENTIONS,
    ShopReviews,
    reply_texts,
    review,
    review_texts,
)
from touchpoint_lib.simulate.settings import ShopGoods, ShopProduct

PHI = NormalDist().cdf
PRODUCTS = ShopGoods().products
EVERYBODY = ShopReviews(share=1.0, share_late=1.0)
STARS = np.arange(1, 6)


def orders_of(n: int, product: Any = 0) -> Orders:
    """``n`` orders, three a customer."""
    customer, event = np.arange(n) // 3, np.arange(n) % 3
    code, no = np.zeros(n, np.int8), np.zeros(n, bool)
    product = np.broadcast_to(np.asarray(product, np.int8), (n,))
    return Orders(customer, event, np.arange(n) * 0.01, event + 1, code, code, product, no, ~no)


def part_of(orders: Orders, rows: Any) -> Orders:
    return Orders(
        *(getattr(orders, field.name)[rows] for field in dataclasses.fields(Orders)),
    )


def near(share: float, n: int) -> Any:
    """A share seen in ``n`` cases: within 4.5 standard errors."""
    return pytest.approx(share, abs=4.5 * math.sqrt(share * (1 - share) / n))


# --- stars ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [-0.3, 0.0, 0.8])
@pytest.mark.parametrize("late", [False, True])
def test_the_stars_follow_the_closed_form(quality, late):
    n = 200_000
    goods = [ShopProduct(name="other", share=0.5, quality=5.0)]
    goods.append(ShopProduct(name="this", share=0.5, quality=quality))
    orders = orders_of(n, product=1)
    got = review(Draws(11), EVERYBODY, goods, orders, orders.time + 3, np.full(n, late))
    for stars, share in zip(STARS, EVERYBODY.rating_shares(quality, late), strict=True):
        assert (got.rating == stars).mean() == near(share, n)


def test_the_shares_are_those_of_the_normal_distribution():
    process = ShopReviews(noise=2.0, cuts=(-3.0, -1.0, 0.5, 2.0), late_penalty=1.5)
    bounds = [0.0, *(PHI((cut - 0.4 + 1.5) / 2) for cut in (-3.0, -1.0, 0.5, 2.0)), 1.0]
    expected = [high - low for low, high in itertools.pairwise(bounds)]
    assert process.rating_shares(0.4, late=True) == pytest.approx(expected, abs=1e-12)


def test_satisfaction_at_a_cut_has_reached_it():
    # The noise is lost in rounding, so that satisfaction is the quality.
    process = ShopReviews(share=1.0, noise=1e-300, cuts=(-1.0, 0.0, 0.5, 1.0))
    orders = orders_of(100)
    goods = [ShopProduct(name="this", share=1.0, quality=0.5)]
    got = review(Draws(1), process, goods, orders, orders.time, np.zeros(100, bool))
    assert (got.rating == 4).all()


@given(
    quality=st.floats(-5, 5),
    noise=st.floats(0.05, 5),
    cuts=st.lists(st.integers(-40, 40), min_size=4, max_size=4, unique=True),
    penalty=st.floats(0, 4),
)
@settings(max_examples=50)
def test_the_shares_are_a_distribution_that_lateness_shifts_down(quality, noise, cuts, penalty):
    first, second, third, fourth = (cut / 10 for cut in sorted(cuts))
    process = ShopReviews(noise=noise, cuts=(first, second, third, fourth), late_penalty=penalty)
    usual, late = process.rating_shares(quality), process.rating_shares(quality, late=True)
    for shares in (usual, late):
        assert shares.min() >= 0
        assert shares.sum() == pytest.approx(1)
    assert (late.cumsum() >= usual.cumsum() - 1e-12).all()


def test_lateness_lowers_the_stars_of_the_same_order_and_spares_some():
    n = 30_000
    orders = orders_of(n)
    no = np.zeros(n, bool)
    usual, late = (
        review(Draws(3), EVERYBODY, PRODUCTS, orders, orders.time, parcel) for parcel in (no, ~no)
    )
    # The same luck in both worlds: nobody is happier about the delay.
    assert (late.rating <= usual.rating).all()
    assert 0 < (late.rating == usual.rating).mean() < 0.5
    assert (late.reviewed_at == usual.reviewed_at).all()


# --- who reviews, and when -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def many() -> dict[str, Any]:
    """400,000 orders of four products, 20 % late, 10 % never received, with default reviews."""
    n = 400_000
    orders = orders_of(n, product=np.arange(n) % 4)
    late = np.arange(n) % 5 == 0
    received = np.where(np.arange(n) % 10 == 7, np.nan, orders.time + 2.5)
    got = review(Draws(5), ShopReviews(), PRODUCTS, orders, received, late)
    return {"orders": orders, "late": late, "received": received, "got": got}


def test_the_share_reviewed_is_that_of_received_orders_by_lateness(many):
    reviewed = many["got"].rating > 0
    there = ~np.isnan(many["received"])
    assert not reviewed[~there].any()
    for late, share in ((False, 0.2), (True, 0.35)):
        rows = there & (many["late"] == late)
        assert reviewed[rows].mean() == near(share, rows.sum())


def test_without_a_review_there_is_nothing(many):
    got = many["got"]
    none = got.rating == 0
    assert got.rating.dtype == np.int8
    assert (np.isnan(got.reviewed_at) == none).all()
    for times in (got.replied_at, got.loss_at):
        assert np.isnan(times[none]).all()
    assert (got.loss[none] == 0).all()


def test_reviews_come_log_normally_after_receipt(many):
    waited = (many["got"].reviewed_at - many["received"])[many["got"].rating > 0]
    assert waited.min() > 0
    logs = np.log(waited / 2.0)
    assert logs.mean() == pytest.approx(0, abs=4.5 * 0.7 / math.sqrt(len(logs)))
    assert logs.std() == pytest.approx(0.7, abs=4.5 * 0.7 / math.sqrt(2 * len(logs)))


def test_replies_come_log_normally_after_reviews(many):
    got = many["got"]
    replied = ~np.isnan(got.replied_at)
    hours = 24 * (got.replied_at - got.reviewed_at)[replied]
    assert hours.min() > 0
    logs = np.log(hours / 16.0)
    assert logs.mean() == pytest.approx(0, abs=4.5 * 1.1 / math.sqrt(len(logs)))
    assert logs.std() == pytest.approx(1.1, abs=4.5 * 1.1 / math.sqrt(2 * len(logs)))
    for rows, share in (((1, 2), 0.85), ((3, 4, 5), 0.3)):
        these = np.isin(got.rating, rows)
        assert replied[these].mean() == near(share, these.sum())


def test_stars_waiting_times_and_replies_are_independent(many):
    got = many["got"]
    # Under 3 to 5 stars the shop's care is one and the same.
    rows = got.rating >= 3
    replied = rows & ~np.isnan(got.replied_at)
    waited = np.log(got.reviewed_at - many["received"])
    hours = np.log(got.replied_at - got.reviewed_at, where=replied, out=np.zeros(len(rows)))
    for one, other, these in (
        (waited, got.rating, got.rating > 0),
        (waited, replied, rows),
        (got.rating, replied, rows),
        (waited, hours, replied),
        (got.rating, hours, replied),
    ):
        correlation = np.corrcoef(one[these], other[these])[0, 1]
        # Late parcels have fewer stars, but no other waiting times.
        assert correlation == pytest.approx(0, abs=4.5 / math.sqrt(these.sum()))


# --- losses --------------------------------------------------------------------------------------


def test_only_negative_reviews_without_a_reply_in_time_lose(many):
    got = many["got"]
    negative = (got.rating == 1) | (got.rating == 2)
    in_time = got.replied_at <= got.reviewed_at + 1
    lost = negative & ~in_time
    assert (got.loss == np.where(lost, 0.3, 0.0)).all()
    assert (np.isnan(got.loss_at) == ~lost).all()
    assert (got.loss_at[lost] == got.reviewed_at[lost] + 1).all()
    # A late reply saves nothing, and there are some.
    assert (got.replied_at[lost] > got.loss_at[lost]).sum() > 100
    share = 1 - 0.85 * PHI(math.log(24 / 16) / 1.1)
    assert lost[negative].mean() == near(share, negative.sum())


@pytest.mark.parametrize(
    ("changes", "losing"),
    [
        ({"reply_negative": 0.0}, True),
        ({"reply_negative": 1.0, "reply_hours": 1e-9}, False),
        ({"reply_negative": 1.0, "reply_hours": 1e9}, True),
        ({"reply_negative": 1.0, "reply_limit_hours": 1e9}, False),
    ],
)
def test_all_or_none_of_the_negative_reviews_lose(changes, losing):
    process = ShopReviews(share=1.0, loss=0.7, **changes)
    orders = orders_of(5_000)
    got = review(Draws(2), process, PRODUCTS, orders, orders.time, np.zeros(5_000, bool))
    negative = np.isin(got.rating, (1, 2))
    assert negative.sum() > 100
    assert (got.loss[negative] == (0.7 if losing else 0.0)).all()
    assert (got.loss[~negative] == 0).all()


# --- purity --------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**70), cut=st.integers(0, 300), shuffle=st.randoms())
@settings(max_examples=20)
def test_any_split_and_order_gives_the_same_reviews_and_texts(seed, cut, shuffle):
    n = 300
    orders = orders_of(n, product=np.arange(n) % 4)
    late = np.arange(n) % 3 == 0
    received = np.where(np.arange(n) % 7 == 0, np.nan, orders.time + 1)
    process = ShopReviews(share=0.7, share_late=0.8)
    order = list(range(n))
    shuffle.shuffle(order)

    def told(rows: Any, draws: Draws) -> pd.DataFrame:
        part = part_of(orders, rows)
        got = review(draws, process, PRODUCTS, part, received[rows], late[rows])
        frame = pd.DataFrame({**dataclasses.asdict(got), "row": rows})
        there = np.flatnonzero(got.rating)
        who = part.customer[there], part.event[there]
        rating, replied = got.rating[there], ~np.isnan(got.replied_at[there])
        said = review_texts(draws, rating, late[rows][there], part.product[there], PRODUCTS, *who)
        frame.loc[there, "text"] = said.astype("str")
        frame.loc[there, "reply"] = reply_texts(draws, rating, replied, *who).astype("str")
        return frame

    draws = Draws(seed)
    whole = told(np.arange(n), draws)
    parts = pd.concat(
        [told(np.array(order[:cut], int), draws), told(np.array(order[cut:], int), Draws(seed))]
    )
    pd.testing.assert_frame_equal(
        parts.sort_values("row").reset_index(drop=True), whole, check_exact=True
    )


def test_another_seed_is_another_shop():
    orders = orders_of(1_000)
    late = np.zeros(1_000, bool)
    one, two = (
        review(Draws(seed), EVERYBODY, PRODUCTS, orders, orders.time, late) for seed in (1, 2)
    )
    assert (one.rating != two.rating).mean() > 0.3
    assert (one.reviewed_at != two.reviewed_at).all()


def test_no_orders_give_no_reviews():
    nothing = np.zeros(0)
    got = review(Draws(1), EVERYBODY, PRODUCTS, orders_of(0), nothing, nothing.astype(bool))
    assert all(len(array) == 0 for array in dataclasses.asdict(got).values())
    code, number = np.zeros(0, np.int8), np.zeros(0, np.int64)
    said = review_texts(Draws(1), code, nothing.astype(bool), code, PRODUCTS, number, number)
    assert len(said) == 0


# --- words ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def said() -> pd.DataFrame:
    """240,000 reviews of four products, a quarter of them late, and their phrases in a set."""
    n = 240_000
    orders = orders_of(n, product=np.arange(n) % 4)
    late = np.arange(n) % 16 < 4
    got = review(Draws(8), EVERYBODY, PRODUCTS, orders, orders.time, late)
    replied = ~np.isnan(got.replied_at)
    who = orders.customer, orders.event
    text = review_texts(Draws(8), got.rating, late, orders.product, PRODUCTS, *who)
    frame = pd.DataFrame(
        {
            "rating": got.rating,
            "late": late,
            "product": orders.product,
            "text": text,
            "replied": replied,
            "reply": reply_texts(Draws(8), got.rating, replied, *who),
        }
    )
    phrases = {one: frozenset(one.removesuffix("。").split("，")) for one in text.categories}
    frame["phrases"] = frame["text"].astype(object).map(phrases)
    return frame


def uses(said: pd.DataFrame, phrases: Any) -> pd.Series[bool]:
    wanted = frozenset(phrases)
    return said["phrases"].map(lambda found: not wanted.isdisjoint(found))


def test_texts_are_many_short_and_lean(said):
    for column, distinct in (("text", 5_000), ("reply", 50)):
        lengths = said[column].cat.categories.str.len()
        assert lengths.min() > 3
        assert lengths.max() <= 60
        assert said[column].nunique() > distinct
        assert said[column].memory_usage(index=False, deep=True) < 3_000_000
    assert said["text"].notna().all()


def test_a_customer_repeats_neither_the_words_nor_the_stars():
    n = 2_000
    orders = orders_of(n)
    orders = dataclasses.replace(orders, customer=np.zeros(n, np.int64), event=np.arange(n))
    no = np.zeros(n, bool)
    got = review(Draws(6), EVERYBODY, PRODUCTS, orders, orders.time, no)
    for stars, share in zip(STARS, EVERYBODY.rating_shares(PRODUCTS[0].quality), strict=True):
        assert (got.rating == stars).mean() == near(share, n)
    who = orders.customer, orders.event
    rating = np.full(n, 5, np.int8)
    texts = review_texts(Draws(6), rating, no, orders.product, PRODUCTS, *who)
    assert len(texts.unique()) > 300
    replies = reply_texts(Draws(6), rating, ~no, *who)
    assert len(replies.unique()) == 36


def test_the_parcel_is_mentioned_as_often_as_documented(said):
    for late, mentions in ((True, LATE_MENTIONS), (False, USUAL_MENTIONS)):
        rows = said[said["late"] == late]
        for kind, share in mentions.items():
            for phrase in module._PARCEL[kind]:
                assert uses(rows, [phrase]).mean() == near(
                    share / len(module._PARCEL[kind]), len(rows)
                )


def test_reviews_that_complain_of_lateness_have_fewer_stars(said):
    mentions = uses(said, module._PARCEL["late"])
    expected = {}
    for late in (False, True):
        means = [EVERYBODY.rating_shares(goods.quality, late) @ STARS for goods in PRODUCTS]
        expected[late] = sum(means) / 4
    weights = {True: 0.25 * LATE_MENTIONS["late"], False: 0.75 * USUAL_MENTIONS["late"]}
    mean = sum(weights[late] * expected[late] for late in weights) / sum(weights.values())
    stars = said["rating"][mentions]
    assert stars.mean() == pytest.approx(mean, abs=4.5 * stars.std() / math.sqrt(len(stars)))
    assert stars.mean() < said["rating"][~mentions].mean() - 0.5


def test_words_agree_with_the_stars_except_for_the_documented_share(said):
    for stars in (1, 2, 4, 5):
        rows = said[said["rating"] == stars]
        opposite = module._OPENINGS[5 - stars]
        assert set(opposite).isdisjoint(module._OPENINGS[stars - 1])
        assert uses(rows, opposite).mean() == near(CONTRARY_SHARE, len(rows))
        assert (uses(rows, opposite) | uses(rows, module._OPENINGS[stars - 1])).all()
    rows = said[said["rating"] == 5]
    for opening in module._OPENINGS[4]:
        assert uses(rows, [opening]).mean() == near((1 - CONTRARY_SHARE) / 6, len(rows))


def test_only_neighbouring_ratings_share_openings():
    for one in range(5):
        for other in range(one):
            shared = set(module._OPENINGS[one]) & set(module._OPENINGS[other])
            assert bool(shared) == (one - other == 1)


def test_neighbouring_ratings_share_whole_texts(said):
    texts = {stars: set(rows) for stars, rows in said.groupby("rating")["text"]}
    for stars in range(1, 5):
        assert len(texts[stars] & texts[stars + 1]) > 20


def test_each_product_is_spoken_of_in_its_own_words(said):
    for code, goods in enumerate(PRODUCTS):
        own = [clause for mood in module._GOODS[goods.name] for clause in mood]
        assert (said["product"][uses(said, own)] == code).all()
        # Of three plain and three own clauses a mood, each is said equally often.
        rows = said[said["product"] == code]
        assert uses(rows, own).mean() == near(0.5, len(rows))


def test_a_product_of_another_name_gets_plain_words():
    n = 5_000
    lamp = [ShopProduct(name="lamp", share=1.0)]
    rating = (np.arange(n) % 5 + 1).astype(np.int8)
    late, code, customer = np.zeros(n, bool), np.zeros(n, np.int8), np.arange(n)
    texts = review_texts(Draws(4), rating, late, code, lamp, customer, customer)
    own = [clause for goods in module._GOODS.values() for mood in goods for clause in mood]
    plain = [clause for mood in module._ANY_GOODS for clause in mood]
    for text in texts:
        found = text.removesuffix("。").split("，")
        assert any(clause in plain for clause in found)
        assert not any(clause in own for clause in found)


def test_replies_apologise_for_negative_reviews_and_thank_for_others(said):
    assert (said["reply"].notna() == said["replied"]).all()
    replies = said[said["replied"]]
    sorry = replies["reply"].str.contains("抱歉|对不起")
    assert (sorry == (replies["rating"] <= 2)).all()
    assert replies["reply"][~sorry].str.contains("谢").all()


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 1.2}, "share is 1.2; it must be <= 1"),
        ({"share_late": -0.1}, "share_late is -0.1; it must be >= 0"),
        ({"reply_negative": math.nan}, "reply_negative is nan; it must be finite"),
        ({"reply_other": "few"}, "reply_other is 'few'; it must be a number"),
        ({"days": 0}, "days is 0; it must be > 0"),
        ({"noise": 0.0}, "noise is 0.0; it must be > 0"),
        ({"reply_hours": -1}, "reply_hours is -1; it must be > 0"),
        ({"reply_limit_hours": 0}, "reply_limit_hours is 0; it must be > 0"),
        ({"late_penalty": -0.5}, "late_penalty is -0.5; it must be >= 0"),
        ({"loss": -0.3}, "loss is -0.3; it must be >= 0"),
        ({"loss": math.inf}, "loss is inf; it must be finite"),
        ({"cuts": (0.0, 1.0)}, "cuts is (0.0, 1.0); pass a tuple of four numbers"),
        ({"cuts": [-2, -1, 0, 1]}, "cuts is [-2, -1, 0, 1]; pass a tuple of four numbers"),
        ({"cuts": (-2, -1, -1, 1)}, "cuts[2] is -1; it must be > -1"),
        ({"cuts": (math.nan, -1, 0, 1)}, "cuts[0] is nan; it must be finite"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(InputError) as raised:
        ShopReviews(**changes)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quality": math.inf}, "quality is inf; it must be finite"),
        ({"quality": "good"}, "quality is 'good'; it must be a number"),
        ({"late": "yes"}, "late is 'yes'; it must be one of False, True"),
    ],
)
def test_bad_questions_are_refused(arguments, message):
    with pytest.raises(InputError) as raised:
        ShopReviews().rating_shares(**arguments)
    assert message in str(raised.value)
