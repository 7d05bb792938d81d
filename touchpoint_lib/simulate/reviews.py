"""Reviews (评价): who writes one, how many stars and which words, and whether the shop replies."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray, check_choice, check_number, fail
from touchpoint_lib.simulate._draws import Draws
from touchpoint_lib.simulate._orders import Codes, Orders
from touchpoint_lib.simulate.settings import ShopProduct, check_share

#: Share of the reviews of 1, 2, 4 and 5 stars that are worded as if for 6 minus the stars: irony
#: under one star, the wrong star under praise. No reader of the words alone gets these right.
CONTRARY_SHARE = 0.03
#: Share of the reviews that mention the parcel as late, as fast, as unremarkable, by whether it
#: was late. A few misjudge it, as people do.
LATE_MENTIONS = {"late": 0.55, "fast": 0.02, "plain": 0.08}
USUAL_MENTIONS = {"late": 0.02, "fast": 0.28, "plain": 0.08}
#: Up to so many stars a review is negative (差评).
NEGATIVE = 2

_DAYS_SIGMA = 0.7
_REPLY_SIGMA = 1.1


@dataclass(frozen=True, kw_only=True)
class ShopReviews:
    """Who reviews an order, how satisfied they are, and what becomes of the unhappy ones.

    Satisfaction is the product's quality plus noise times a standard normal number, less the
    penalty where the parcel was late; the stars are 1 plus the number of cuts it reaches. A
    negative review (差评: 1 or 2 stars) without a reply in time lowers the customer's log hazard.

    Parameters
    ----------
    share
        Share of the received orders that are reviewed.
    share_late
        The same where the parcel was late.
    days
        Median days from receipt to the review (log-normal, sigma 0.7).
    noise
        Standard deviation of satisfaction.
    cuts
        Satisfaction from which on a review has 2, 3, 4 and 5 stars; increasing.
    late_penalty
        Taken from satisfaction where the parcel was late.
    reply_negative
        Share of the negative reviews that the shop replies to.
    reply_other
        Share of the other reviews that it replies to.
    reply_hours
        Median hours from review to reply (log-normal, sigma 1.1).
    reply_limit_hours
        House rule: hours within which a negative review must have its reply.
    loss
        Log hazard lost by a negative review that has no reply by then.
    loss_days
        The loss fades as exp(-t / ``loss_days``), t days after that.

    References
    ----------
    Ordered stars from a normal satisfaction: McKelvey, R. D. and Zavoina, W. (1975). "A
    statistical model for the analysis of ordinal level dependent variables", Journal of
    Mathematical Sociology 4(1).

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> reviews = tp.ShopReviews()
    >>> reviews.rating_shares().round(3).tolist()
    [0.029, 0.052, 0.103, 0.316, 0.5]
    >>> reviews.rating_shares(late=True).round(3).tolist()
    [0.242, 0.179, 0.197, 0.267, 0.115]
    """

    share: float = 0.2
    share_late: float = 0.35
    days: float = 2.0
    noise: float = 1.0
    cuts: tuple[float, float, float, float] = (-1.9, -1.4, -0.9, 0.0)
    late_penalty: float = 1.2
    reply_negative: float = 0.85
    reply_other: float = 0.3
    reply_hours: float = 16.0
    reply_limit_hours: float = 24.0
    loss: float = 0.3
    loss_days: float = 120.0

    def __post_init__(self) -> None:
        for name in ("share", "share_late", "reply_negative", "reply_other"):
            check_share(name, getattr(self, name))
        for name in ("days", "noise", "reply_hours", "reply_limit_hours", "loss_days"):
            check_number(name, getattr(self, name), gt=0)
        for name in ("late_penalty", "loss"):
            check_number(name, getattr(self, name), ge=0)
        if not isinstance(self.cuts, tuple) or len(self.cuts) != 4:
            raise fail(f"cuts is {self.cuts!r}", "pass a tuple of four numbers, for five ratings")
        check_number("cuts[0]", self.cuts[0])
        for at in range(1, 4):
            check_number(f"cuts[{at}]", self.cuts[at], gt=self.cuts[at - 1])

    def rating_shares(self, quality: float = 0.0, late: bool = False) -> FloatArray:
        """Return the probabilities of 1 to 5 stars, in closed form.

        Parameters
        ----------
        quality
            Of the product, as in ShopProduct.
        late
            Whether the parcel was late.

        Returns
        -------
        numpy.ndarray
            Five probabilities that add up to 1.

        Raises
        ------
        InputError
            If ``quality`` is not a finite number, or ``late`` not True or False.
        """
        check_choice("late", late, (False, True))
        mean = check_number("quality", quality) - self.late_penalty * late
        below = special.ndtr((np.array(self.cuts) - mean) / self.noise)
        return np.diff(below, prepend=0.0, append=1.0)


@dataclass(frozen=True)
class Reviews:
    """What became of each order: one element an order, NaN (rating and loss: 0) for nothing.

    Times are days since the start. rating is 1 to 5 stars. loss is the log hazard that the
    customer's next purchases lose from loss_at on, when the limit for a reply has passed.
    """

    reviewed_at: FloatArray
    rating: Codes
    replied_at: FloatArray
    loss: FloatArray
    loss_at: FloatArray


def review(
    draws: Draws,
    settings: ShopReviews,
    products: Sequence[ShopProduct],
    orders: Orders,
    received_at: FloatArray,
    late: BoolArray,
) -> Reviews:
    """Return the reviews of ``orders``, received at the given times (NaN: never)."""
    n = len(orders)
    chosen = draws.uniform("review.chosen", orders.customer, orders.event)
    share = np.where(late, settings.share_late, settings.share)
    rows = np.flatnonzero((chosen < share) & ~np.isnan(received_at))
    customer, event = orders.customer[rows], orders.event[rows]

    after = np.exp(_DAYS_SIGMA * draws.normal("review.days", customer, event))
    reviewed_at = received_at[rows] + settings.days * after
    quality = np.array([product.quality for product in products])[orders.product[rows]]
    noise = settings.noise * draws.normal("review.satisfaction", customer, event)
    satisfaction = quality + noise - settings.late_penalty * late[rows]
    rating = 1 + np.searchsorted(settings.cuts, satisfaction, side="right")

    negative = rating <= NEGATIVE
    replied = draws.uniform("review.replied", customer, event) < np.where(
        negative, settings.reply_negative, settings.reply_other
    )
    hours = np.exp(_REPLY_SIGMA * draws.normal("review.reply_hours", customer, event))
    replied_at = np.where(replied, reviewed_at + settings.reply_hours / 24 * hours, np.nan)
    limit = reviewed_at + settings.reply_limit_hours / 24
    # No reply is NaN, which is never in time.
    lost = negative & ~(replied_at <= limit)
    none = np.nan
    return Reviews(
        reviewed_at=_spread(reviewed_at, rows, n, none),
        rating=_spread(rating.astype(np.int8), rows, n, 0),
        replied_at=_spread(replied_at, rows, n, none),
        loss=_spread(settings.loss * lost, rows, n, 0),
        loss_at=_spread(np.where(lost, limit, none), rows, n, none),
    )


def _spread(values: Any, rows: IntArray, n: int, empty: float) -> Any:
    """Return ``n`` elements: ``values`` in ``rows``, ``empty`` elsewhere."""
    spread = np.full(n, empty, dtype=values.dtype)
    spread[rows] = values
    return spread


# --- words ---------------------------------------------------------------------------------------
# A review is perhaps a clause on the parcel, an opening, a clause on the goods and perhaps an
# ending. Neighbouring ratings share some of the words on purpose: 3 and 4 stars look alike.

_OPENINGS = (
    ("太失望了", "完全不值这个价", "后悔下单", "体验很差", "和描述差太远", "不推荐"),
    ("不太满意", "有点失望", "不如预期", "期望高了", "和描述差太远", "不推荐"),
    ("一般般", "中规中矩", "马马虎虎", "没有想象中好", "期望高了", "还行吧"),
    ("还不错", "整体满意", "基本符合描述", "还行吧", "没有踩雷", "值得一试"),
    ("非常满意", "超出预期", "很喜欢", "强烈推荐", "没有踩雷", "值得一试"),
)
#: What is said of any goods, badly, fairly and well.
_ANY_GOODS = (
    ("质量不过关", "和图片不一样", "收到时就有破损"),
    ("质量一般", "对得起这个价", "和别家差不多"),
    ("质量很好", "和图片一致", "包装很用心"),
)
#: What is said, besides, of the goods of the default shop.
_GOODS = {
    "tea": (
        ("茶叶碎末多", "香气很淡", "泡出来发涩"),
        ("味道偏淡", "当口粮茶够了", "不算耐泡"),
        ("茶香很浓", "回甘明显", "汤色清亮"),
    ),
    "snacks": (
        ("口感发软", "甜得发腻", "碎了一大半"),
        ("味道普通", "稍微偏甜", "分量偏少"),
        ("酥脆好吃", "日期新鲜", "甜度刚好"),
    ),
    "clothes": (
        ("洗一次就缩水", "线头很多", "色差明显"),
        ("尺码偏小", "面料普通", "颜色略深"),
        ("版型好看", "面料舒服", "颜色很正"),
    ),
    "kitchen": (
        ("手柄松动", "没用几次就掉漆", "盖子合不严"),
        ("比想的小一点", "做工普通", "稍微有点重"),
        ("很好清洗", "手感扎实", "用着顺手"),
    ),
}
#: Which of bad, fair and good is said of the goods under 1 to 5 stars.
_MOODS = ((0,), (0, 1), (1,), (1, 2), (2,))
_ENDINGS = (
    ("", "", "不会再买了", "希望改进"),
    ("", "", "希望改进", "下次再看看"),
    ("", "", "下次再看看", "希望越做越好"),
    ("", "", "希望越做越好", "会再来"),
    ("", "", "会再来", "已推荐给朋友"),
)
_PARCEL = {
    "none": ("",),
    "late": ("比说好的晚到了好几天", "物流太慢了", "等了很久才到"),
    "fast": ("物流很快", "发货及时", "比预计到得早"),
    "plain": ("包裹完好", "快递正常"),
}
_ANSWERS = (
    (  # to others
        ("亲，感谢您的支持", "您好，谢谢您的评价", "感谢您抽空反馈"),
        ("您的认可是我们的动力", "我们会继续把好质量关", "您的建议已经记下", "有问题随时联系客服"),
        ("", "期待您再次光临", "祝您生活愉快"),
    ),
    (  # to negative reviews
        ("非常抱歉给您带来不好的体验", "很抱歉没能让您满意", "对不起，这次让您失望了"),
        ("已为您登记，客服会尽快联系您", "请私信我们办理退换", "我们会核查这一批货"),
        ("", "请给我们一次改进的机会", "感谢您的指正"),
    ),
)


@dataclass(frozen=True)
class _Phrases:
    """All texts of some kinds: those of kind i have the numbers from first[i], size[i] of them."""

    first: IntArray
    size: IntArray
    codes: IntArray
    dtype: pd.CategoricalDtype

    @classmethod
    def composed(cls, kinds: Iterable[Sequence[Sequence[str]]]) -> _Phrases:
        """Return every combination of the phrases that each kind lists place by place."""
        sizes = []
        texts: list[str] = []
        for places in kinds:
            before = len(texts)
            texts += ["，".join(filter(None, words)) + "。" for words in itertools.product(*places)]
            sizes.append(len(texts) - before)
        # Ratings that share words share texts, which must be one category each.
        codes, distinct = pd.factorize(np.array(texts, dtype=object))
        size = np.array(sizes)
        return cls(size.cumsum() - size, size, codes, pd.CategoricalDtype(pd.Index(distinct)))

    def taken(self, number: IntArray, present: BoolArray | None = None) -> pd.Categorical:
        """Return the texts of these numbers; none where not ``present``."""
        codes = self.codes[number]
        if present is not None:
            codes = np.where(present, codes, -1)
        return pd.Categorical.from_codes(codes, dtype=self.dtype)


@functools.lru_cache(maxsize=8)
def _review_phrases(products: tuple[str, ...]) -> _Phrases:
    """Return the texts by stars and product, the parcel's clause running slowest."""
    parcel = list(itertools.chain.from_iterable(_PARCEL.values()))
    kinds = []
    for opening, moods, ending in zip(_OPENINGS, _MOODS, _ENDINGS, strict=True):
        for product in products:
            said = (_ANY_GOODS, _GOODS.get(product, ()))
            goods = [clause for table in said if table for mood in moods for clause in table[mood]]
            kinds.append((parcel, opening, goods, ending))
    return _Phrases.composed(kinds)


@functools.lru_cache(maxsize=1)
def _answer_phrases() -> _Phrases:
    """Return the texts of replies: to others, to negative reviews."""
    return _Phrases.composed(_ANSWERS)


def _clause_shares(mentions: Mapping[str, float]) -> FloatArray:
    """Return the share of each clause on the parcel, in the order of _PARCEL."""
    shares = {"none": 1 - sum(mentions.values()), **mentions}
    return np.concatenate(
        [np.full(len(said), shares[kind] / len(said)) for kind, said in _PARCEL.items()]
    )


_LATE_SHARES, _USUAL_SHARES = _clause_shares(LATE_MENTIONS), _clause_shares(USUAL_MENTIONS)


def review_texts(
    draws: Draws,
    rating: Codes,
    late: BoolArray,
    product: Codes,
    products: Sequence[ShopProduct],
    customer: IntArray,
    event: IntArray,
) -> pd.Categorical:
    """Return what reviews of 1 to 5 stars say; products of other names than ours get plain words.

    The categories are all texts there are for these products, whether or not they occur, so that
    parts of a shop can be put together.
    """
    contrary = draws.uniform("review.contrary", customer, event) < CONTRARY_SHARE
    worded = np.where(contrary, 6 - rating, rating)
    parcel = np.where(
        late,
        draws.choice("review.parcel", _LATE_SHARES, customer, event),
        draws.choice("review.parcel", _USUAL_SHARES, customer, event),
    )
    phrases = _review_phrases(tuple(item.name for item in products))
    kind = (worded.astype(np.int64) - 1) * len(products) + product
    behind = phrases.size[kind] // len(_LATE_SHARES)
    body = (draws.uniform("review.words", customer, event) * behind).astype(np.int64)
    return phrases.taken(phrases.first[kind] + parcel * behind + body)


def reply_texts(
    draws: Draws, rating: Codes, replied: BoolArray, customer: IntArray, event: IntArray
) -> pd.Categorical:
    """Return what the shop replies to reviews of 1 to 5 stars; missing where not ``replied``.

    It apologises for the negative ones and thanks for the others. The categories are all replies
    there are.
    """
    phrases = _answer_phrases()
    kind = (rating <= NEGATIVE).astype(np.int64)
    drawn = draws.uniform("review.reply_words", customer, event) * phrases.size[kind]
    return phrases.taken(phrases.first[kind] + drawn.astype(np.int64), replied)


def vocabularies(products: Sequence[ShopProduct]) -> tuple[list[str], list[str]]:
    """Return all texts that reviews and replies have, in the order of their categories' codes."""
    reviews = _review_phrases(tuple(item.name for item in products))
    return list(reviews.dtype.categories), list(_answer_phrases().dtype.categories)
