"""Samples of campaigns that several tests of their figures share."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go

import touchpoint_lib as tp
from touchpoint_lib.charts._style import TEMPLATE

HOSTILE = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"
NAN = float("nan")


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def experiment(arms=("sms", HOSTILE), n=3000, seed=0):
    """Return customers of several arms, with money, orders of 0 and 1, and two segments."""
    rng = np.random.default_rng(seed)
    arm = rng.choice(["holdout", *arms], n)
    gain = np.select([arm == "holdout", arm == "sms"], [0.0, 6.0], 1.0)
    bought = rng.random(n) < 0.2 + 0.05 * (arm == "sms")
    return pd.DataFrame(
        {
            "arm": arm,
            "spend": rng.gamma(2.0, 10.0, n) + gain,
            "bought": bought,
            "age": rng.normal(40, 10, n),
            HOSTILE: rng.choice(["north", "south"], n),
            "constant": "x",
        }
    )


def evaluated(data=None, **settings):
    """Return an evaluation of spend and bought, with costs, covariates and segments."""
    settings = {
        "outcomes": ["spend", "bought"],
        "covariates": ["age", HOSTILE],
        "segments": [HOSTILE],
        "costs": {"spend": tp.CampaignCosts(margin=0.5, contact=1.0, discount=0.02, fixed=50.0)},
    } | settings
    return tp.evaluate_campaign(
        experiment() if data is None else data, arm="arm", control="holdout", **settings
    )


def check_plain(figure, again, source, n):
    """Assert that a figure is plain JSON, the same each time, escaped, and names its source."""
    assert type(figure) is go.Figure
    assert figure.to_json() == again.to_json()
    content = json.loads(figure.to_json(), parse_constant=refuse)
    assert content["layout"]["template"] == json.loads(json.dumps(TEMPLATE.to_plotly_json()))
    assert "bdata" not in figure.to_json()
    assert "<script" not in json.dumps(content)
    assert figure.layout.annotations[-1].text == f"Source: {source}; n = {n:,}"


def title_of(figure):
    return figure.layout.title.text.replace("<br>", " ")


def named(figure, name):
    """Return the traces of a name."""
    return [trace for trace in figure.data if trace.name == name]
