from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, t, ttest_ind

from touchpoint_lib._checks import InputError
from touchpoint_lib.campaigns.overlap import campaign_overlap

CAMPAIGNS = {"mail": ("mailed", "no"), "coupon": ("coupon", 0)}


def overlapping(seed, n=2000, mail=1.0, coupon=2.0, both=0.0, share=0.5, follows=0.0, noise=3.0):
    """Return customers of two campaigns; with ``follows`` the coupon went to those mailed more."""
    rng = np.random.default_rng(seed)
    mailed = rng.random(n) < share
    given = rng.random(n) < 0.4 + follows * mailed
    spent = 10 + mail * mailed + coupon * given + both * (mailed & given)
    return pd.DataFrame(
        {
            "mailed": np.where(mailed, "yes", "no"),
            "coupon": given.astype(int),
            "spent": spent + rng.normal(0, noise, n),
        }
    )


def overlap(data, **changes):
    return campaign_overlap(data, **({"campaigns": CAMPAIGNS, "outcome": "spent"} | changes))


def row_of(result, campaign, comparison):
    table = result.to_frame()
    chosen = (table["campaign"] == campaign) & (table["comparison"] == comparison)
    return table[chosen].iloc[0]


# --- against other computations ------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(200, 600),
    follows=st.floats(-0.2, 0.5),
    shift=st.sampled_from([0.0, 1e6]),
    level=st.floats(0.5, 0.99),
)
def test_plain_alone_and_on_top_are_welch_tests(seed, n, follows, shift, level):
    data = overlapping(seed, n, follows=follows)
    data["spent"] += shift
    result = overlap(data, level=level)
    mailed, given_one = data["mailed"] == "yes", data["coupon"] == 1
    for campaign, treated, other in (("mail", mailed, given_one), ("coupon", given_one, mailed)):
        for name, rows in (("plain", np.full(n, True)), ("alone", ~other), ("on_top", other)):
            one, none = data.loc[treated & rows, "spent"], data.loc[~treated & rows, "spent"]
            test = ttest_ind(one, none, equal_var=False)
            interval = test.confidence_interval(level)
            row = row_of(result, campaign, name)
            assert (row["n_treated"], row["n_control"]) == (len(one), len(none))
            assert row["mean_treated"] == pytest.approx(one.mean())
            assert row["mean_control"] == pytest.approx(none.mean())
            assert row["effect"] == pytest.approx(one.mean() - none.mean(), abs=1e-7)
            assert row["p_value"] == pytest.approx(test.pvalue, rel=1e-4)
            assert row["ci_low"] == pytest.approx(interval.low, abs=1e-6)
            assert row["ci_high"] == pytest.approx(interval.high, abs=1e-6)


@pytest.mark.parametrize("follows", [0.0, 0.4])
def test_interaction_is_that_of_the_regression_and_overlap_that_of_the_table(follows):
    data = overlapping(3, both=-1.0, follows=follows)
    pair = overlap(data).pairs.iloc[0]
    fit = smf.ols("spent ~ C(mailed) * coupon", data).fit(cov_type="HC2")
    name = "C(mailed)[T.yes]:coupon"
    assert pair["interaction"] == pytest.approx(fit.params[name])
    # HC2 in a saturated regression is Welch's variance (MacKinnon and White 1985).
    assert pair["standard_error"] == pytest.approx(fit.bse[name])
    # Satterthwaite's degrees of freedom, from the four cells.
    parts = data.groupby(["mailed", "coupon"])["spent"].agg(["var", "size"])
    part = parts["var"] / parts["size"]
    df = part.sum() ** 2 / (part**2 / (parts["size"] - 1)).sum()
    reach = t.ppf(0.975, df) * fit.bse[name]
    assert pair["ci_low"] == pytest.approx(fit.params[name] - reach)
    assert pair["ci_high"] == pytest.approx(fit.params[name] + reach)
    assert pair["p_value"] == pytest.approx(2 * t.sf(abs(fit.params[name] / fit.bse[name]), df))
    table = pd.crosstab(data["mailed"], data["coupon"])
    assert pair["overlap_p"] == pytest.approx(chi2_contingency(table, correction=False).pvalue)


def test_average_weighs_the_arms_of_the_other_by_their_shares():
    data = overlapping(4, both=3.0, follows=0.4)
    fit = smf.ols("spent ~ C(mailed) * coupon", data).fit(cov_type="HC2")
    for campaign, share, contrast in (
        ("mail", data["coupon"].mean(), lambda s: [0, 1, 0, s]),
        ("coupon", (data["mailed"] == "yes").mean(), lambda s: [0, 0, 1, s]),
    ):
        test = fit.t_test(contrast(share))
        row = row_of(overlap(data), campaign, "average")
        assert row["effect"] == pytest.approx(test.effect[0])
        assert row["standard_error"] == pytest.approx(test.sd[0, 0])
        assert row["mean_treated"] - row["mean_control"] == pytest.approx(row["effect"])


def test_cells_are_those_of_a_group_by():
    data = overlapping(5, follows=0.2)
    cells = overlap(data).cells.set_index(["first_arm", "second_arm"])
    wanted = data.groupby(["mailed", "coupon"])["spent"].agg(["size", "mean", "std"])
    assert (cells["first"] == "mail").all()
    assert (cells["second"] == "coupon").all()
    assert cells.index.tolist() == [("no", 0), ("no", 1), ("yes", 0), ("yes", 1)]
    for place, row in wanted.iterrows():
        assert cells.loc[place, ["n", "mean", "standard_deviation"]].tolist() == pytest.approx(
            row.tolist()
        )


def test_three_campaigns_are_three_pairs_and_the_order_does_not_matter():
    rng = np.random.default_rng(6)
    data = overlapping(6).assign(post=rng.integers(0, 2, 2000))
    result = overlap(data, campaigns=CAMPAIGNS | {"post": ("post", 0)})
    pairs = result.pairs[["first", "second"]].to_numpy().tolist()
    assert pairs == [["mail", "coupon"], ["mail", "post"], ["coupon", "post"]]
    assert len(result.to_frame()) == 24
    turned = overlap(data, campaigns=dict(reversed(CAMPAIGNS.items())))
    once = overlap(data)
    columns = ["campaign", "comparison"]
    pd.testing.assert_frame_equal(
        once.to_frame().sort_values(columns, ignore_index=True),
        turned.to_frame().sort_values(columns, ignore_index=True),
    )
    assert turned.pairs["interaction"][0] == pytest.approx(once.pairs["interaction"][0])


# --- simulated truth -----------------------------------------------------------------------------


def test_intervals_cover_the_truth():
    truth = {
        ("mail", "alone"): 1.0,
        ("mail", "on_top"): -0.5,
        ("coupon", "alone"): 2.0,
        ("coupon", "on_top"): 0.5,
        # The other campaign reaches 40 % and 30 %.
        ("mail", "plain"): 1.0 - 0.4 * 1.5,
        ("coupon", "plain"): 2.0 - 0.3 * 1.5,
    }
    hits = dict.fromkeys([*truth, "interaction"], 0)
    runs = 500
    for seed in range(runs):
        result = overlap(overlapping(seed, n=400, both=-1.5, share=0.3))
        table = result.to_frame().set_index(["campaign", "comparison"])
        for place, value in truth.items():
            hits[place] += table.loc[place, "ci_low"] <= value <= table.loc[place, "ci_high"]
        pair = result.pairs.iloc[0]
        hits["interaction"] += pair["ci_low"] <= -1.5 <= pair["ci_high"]
    for place, count in hits.items():
        assert count / runs == pytest.approx(0.95, abs=3.5 * math.sqrt(0.95 * 0.05 / runs)), place


def test_where_the_coupon_followed_the_mail_the_plain_comparison_is_wrong_and_the_average_right():
    data = overlapping(7, n=20_000, mail=1.0, coupon=2.0, follows=0.4)
    result = overlap(data)
    assert result.pairs["overlap_p"][0] < 1e-9
    plain, average = (row_of(result, "mail", name) for name in ("plain", "average"))
    # 0.4 more of those mailed had a coupon worth 2.
    assert plain["effect"] == pytest.approx(1.8, abs=4 * plain["standard_error"])
    assert average["effect"] == pytest.approx(1.0, abs=4 * average["standard_error"])
    assert "which chance hardly explains" in result.pairs["statement"][0]


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("both", "said"),
    [
        (-3.0, "The two together do {:.3g} less than the sum of both"),
        (3.0, "The two together do {:.3g} more than the sum of both"),
        (0.0, "do more or less than the sum of both is not shown"),
    ],
)
def test_statement_names_the_overlap_and_the_interaction(both, said):
    result = overlap(overlapping(1, n=20_000, both=both))
    statement = result.pairs["statement"][0]
    assert said.format(abs(result.pairs["interaction"][0])) in statement
    assert "contacted by mail" in statement
    assert "were contacted by coupon too, as chance may have it" in statement
    assert statement in result._repr_html_().replace("&quot;", '"')
    assert repr(result) == "CampaignOverlap(1 pairs, 20,000 rows)"


def test_the_level_is_not_rounded():
    said = overlap(overlapping(1), level=0.995).pairs["statement"][0]
    assert " at 99.5%" in said


def test_an_outcome_that_does_not_vary_has_no_error():
    result = overlap(overlapping(8).assign(spent=0.1))
    assert result.to_frame()["effect"].to_numpy() == pytest.approx(0, abs=1e-12)
    errors = result.to_frame()[["standard_error", "ci_low", "ci_high", "p_value"]]
    assert errors.isna().all(axis=None)
    assert math.isnan(result.pairs["p_value"][0])
    assert "does not vary" in result.pairs["statement"][0]


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"campaigns": {"mail": ("mailed", "no")}}, "campaigns is .*; pass at least two"),
        ({"campaigns": ["mailed", "coupon"]}, "campaigns is .*; pass at least two"),
        ({"campaigns": CAMPAIGNS | {"sms": "sms"}}, "campaign 'sms' is 'sms'; pass its column and"),
        ({"campaigns": CAMPAIGNS | {"sms": ("sms", 0)}}, "data has no column 'sms'"),
        ({"campaigns": CAMPAIGNS | {"coupon": ("coupon", 2)}}, "no row of coupon is the control 2"),
        (
            {"campaigns": CAMPAIGNS | {"post": ("post", 0)}},
            r"campaign 'post' has several arms beside the control \(1, 2\); pass the rows of one",
        ),
        (
            {"campaigns": CAMPAIGNS | {"again": ("mailed", "no")}},
            "0 rows have mail 'no' and again 'yes'; at least 2 are needed in every cell",
        ),
        ({"outcome": "profit"}, "data has no column 'profit'"),
        ({"outcome": "mailed"}, "outcome 'mailed' is not numeric"),
        ({"level": 95}, "level is 95; it must be < 1"),
    ],
)
def test_bad_input(changes, message):
    data = overlapping(9).assign(post=np.arange(2000) % 3)
    with pytest.raises(InputError, match=message):
        overlap(data, **changes)


def test_one_row_in_a_cell_is_too_few():
    data = overlapping(10)
    rare = data[(data["mailed"] == "yes") & (data["coupon"] == 0)].index[1:]
    with pytest.raises(InputError, match="1 rows have mail 'yes' and coupon 0; at least 2"):
        overlap(data.drop(rare))


def test_missing_arm_or_outcome():
    data = overlapping(11)
    with pytest.raises(InputError, match="arm 'coupon' is missing at index 7"):
        overlap(data.assign(coupon=data["coupon"].where(data.index != 7)))
    with pytest.raises(InputError, match="outcome 'spent' is nan at index 7"):
        overlap(data.assign(spent=data["spent"].where(data.index != 7)))
