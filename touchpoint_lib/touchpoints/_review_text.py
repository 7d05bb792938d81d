"""What the words of reviews say: the probability that a text was written under few stars."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from touchpoint_lib._checks import BoolArray, FloatArray, IntArray, check_values, fail

#: From distinct texts to the probability that each is negative.
Sentiment = Callable[[list[str]], Any]

_FOLDS = 5
#: Distinct texts of either kind that give words to learn from.
_FEWEST = 20
#: Words in Latin letters, single characters of Chinese.
_WORDS = r"(?u)[a-z0-9']+|[^\W_a-z0-9]"


def text_probability(
    texts: pd.Series, negative: BoolArray, sentiment: str | Sentiment
) -> tuple[FloatArray, BoolArray]:
    """Return the probability that each text is negative, and which have words.

    NaN where there are none.
    """
    plain = texts.astype("str").str.strip()
    worded = (texts.notna() & (plain != "")).to_numpy(dtype=np.bool_)
    result = np.full(len(texts), np.nan)
    if not worded.any():
        raise fail("text of reviews has no words in any row", "pass sentiment=None")
    codes, distinct = pd.factorize(plain[worded])
    listed = [str(one) for one in distinct]
    if sentiment == "ratings":
        result[worded] = _from_ratings(listed, codes, negative[worded])
        return result, worded
    score = _snownlp if sentiment == "snownlp" else sentiment
    if not callable(score):
        raise fail(
            f"sentiment is {sentiment!r}",
            'pass None, "ratings", "snownlp", or a function from a list of texts to probabilities',
        )
    values = check_values("sentiment", score(listed), ge=0, le=1)
    if values.shape != (len(listed),):
        raise fail(
            f"sentiment returned shape {values.shape} for {len(listed)} texts",
            "return the probability that it is negative for each text",
        )
    result[worded] = values[codes]
    return result, worded


def _from_ratings(texts: list[str], codes: IntArray, negative: BoolArray) -> FloatArray:
    """Return the probability by what others wrote under few stars.

    A penalised logit on characters and words and pairs of neighbours. No text is judged by a model
    that has seen it: the folds are of distinct texts.
    """
    # Here, since they take half a second to import.
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    fold = np.random.default_rng(0).permutation(len(texts)) % _FOLDS
    for those, word in ((negative, "negative"), (~negative, "other")):
        n = len(np.unique(codes[those]))
        if n < _FEWEST:
            raise fail(
                f"{n} different texts are of {word} reviews",
                f'"ratings" learns from {_FEWEST} at least: pass "snownlp" or a function',
            )
    # What stands in one text alone says nothing of another.
    counter = CountVectorizer(token_pattern=_WORDS, ngram_range=(1, 2), min_df=2, binary=True)
    try:
        matrix = counter.fit_transform(texts)
    except ValueError:
        raise fail(
            "no two texts of reviews share a word or a character", "pass sentiment=None"
        ) from None
    # Equal texts of one kind are one row with a weight.
    weight = np.array(
        [np.bincount(codes[rows], minlength=len(texts)) for rows in (negative, ~negative)]
    )
    chance = np.empty(len(texts))
    for number in range(_FOLDS):
        held = fold == number
        kind, text = np.nonzero(np.where(held, 0, weight))
        model = LogisticRegression(max_iter=1000)
        model.fit(matrix[text], kind == 0, sample_weight=weight[kind, text])
        chance[held] = model.predict_proba(matrix[held])[:, 1]
    return chance[codes]


def _snownlp(texts: list[str]) -> FloatArray:
    """Return 1 less SnowNLP's probability that a text is positive."""
    try:
        reader = import_module("snownlp").SnowNLP
    except ImportError:
        raise fail(
            'sentiment is "snownlp", which is not installed',
            "pip install 'touchpoint-lib[sentiment]'",
        ) from None
    return np.array([1 - reader(text).sentiments for text in texts])
