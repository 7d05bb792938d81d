"""The campaign report: its data, its choices and its plan."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.report.campaign_samples import drawn, evaluated
from touchpoint_lib import InputError, report

# --- the data -----------------------------------------------------------------------------------


def test_csv_and_parquet_are_read_alike(tmp_path: Path) -> None:
    data = pd.DataFrame(
        {"arm": ["a", "b", "b"], "visit": [0, 1, 1], "spend": [0.0, 2.5, 3.0], "new": [True] * 3}
    )
    data.to_csv(tmp_path / "test.csv", index=False)
    data.to_csv(tmp_path / "test.csv.gz", index=False)
    data.to_parquet(tmp_path / "test.PARQUET")
    for name in ("test.csv", "test.csv.gz", "test.PARQUET"):
        pd.testing.assert_frame_equal(report.read_experiment(tmp_path / name), data)
    assert report.read_experiment(str(tmp_path / "test.csv")).equals(data)


def test_codes_keep_their_zeros_and_numbers_stay_numbers(tmp_path: Path) -> None:
    file = tmp_path / "test.csv"
    file.write_text("arm,code,code,share,n\n01,x,007,0.5,0\n1,y,,00.5,-3\n2,z,12,1e3,10\n")
    data = report.read_experiment(file)
    assert data["arm"].tolist() == ["01", "1", "2"]
    assert data["code.1"].isna().tolist() == [False, True, False]
    assert data["code.1"].dropna().tolist() == ["007", "12"]
    assert data["share"].tolist() == [0.5, 0.5, 1000.0]
    assert data["n"].tolist() == [0, -3, 10]


def test_an_arm_may_be_called_none_and_empty_cells_are_missing(tmp_path: Path) -> None:
    file = tmp_path / "test.csv"
    file.write_bytes(b"\xef\xbb\xbfarm,spend\nNone,1\nsms,NA\nsms,\n1,2\n")
    data = report.read_experiment(file)
    # A column of numbers and words is text throughout.
    assert data["arm"].tolist() == ["None", "sms", "sms", "1"]
    assert data["spend"].isna().tolist() == [False, True, True, False]


def test_commas_at_the_ends_of_lines_move_no_column(tmp_path: Path) -> None:
    file = tmp_path / "test.csv"
    file.write_text("arm,spend\n1,2,\n4,5,\n")
    assert report.read_experiment(file).to_dict("list") == {"arm": [1, 4], "spend": [2, 5]}


def test_a_named_index_becomes_a_column_and_another_is_dropped(tmp_path: Path) -> None:
    data = pd.DataFrame({"spend": [1.0, 2.0]}, index=pd.Index([7, 7], name="customer"))
    data.to_parquet(tmp_path / "named.parquet")
    data.rename_axis(None).to_parquet(tmp_path / "plain.parquet")
    named = report.read_experiment(tmp_path / "named.parquet")
    assert named.to_dict("list") == {"customer": [7, 7], "spend": [1.0, 2.0]}
    plain = report.read_experiment(tmp_path / "plain.parquet")
    assert plain.to_dict("list") == {"spend": [1.0, 2.0]}
    assert named.index.is_unique
    assert plain.index.is_unique


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.csv", b"", "No columns to parse"),
        ("blank.csv", b"\n\n", "No columns to parse"),
        ("latin.csv", "arm,spend\nM\u00fcnchen,1\n".encode("latin-1"), "codec can't decode"),
        ("wide.csv", "arm,spend\n0,1\n".encode("utf-16"), "codec can't decode"),
        ("longer.csv", b"arm,spend\n1,2,3\n4,5,6\n", "Length of header"),
        ("ragged.csv", b"arm,spend\n1,2\n4,5,6\n", "Expected 2 fields in line 3, saw 3"),
        ("quote.csv", b'arm,spend\n"a,1\n', "EOF inside string"),
        ("semicolons.csv", b"arm;spend\n1;2\n", "it has one column alone, 'arm;spend'"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "."),
        ("test.parquet", b"arm,spend\n1,2\n", "Parquet"),
        ("test.pq", b"", "Parquet"),
    ],
)
def test_a_file_that_is_none_is_named_with_the_remedy(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        report.read_experiment(tmp_path / name)
    assert str(caught.value).startswith(f"{name} cannot be read (")
    assert str(caught.value).endswith(
        "); pass a CSV file in UTF-8 with a header and commas, or a .parquet file"
    )


def test_a_file_that_is_not_there_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^none\.csv cannot be read .*No such file"):
        report.read_experiment(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"cannot be read .*; pass a CSV file"):
        report.read_experiment(tmp_path)


def test_only_zeros_and_ones_are_shares() -> None:
    data = pd.DataFrame(
        {"share": [0, 1], "truth": [True, False], "half": [0.5, 1], "text": ["0", "1"]}
    )
    data["missing"] = [1.0, np.nan]
    units = {name: report.outcome_unit(data, name) for name in data}
    assert units == {"share": "%", "truth": "%", "half": "", "text": "", "missing": ""}
    with pytest.raises(InputError, match=r"no column 'spent'.*name an outcome by its column"):
        report.outcome_unit(data, "spent")


# --- arms and methods ---------------------------------------------------------------------------


def test_the_best_arm_has_the_largest_effect() -> None:
    data = drawn({"none": 0, "mail": 1, "sms": 3, "call": -1})
    data["back"] = -data["spend"]
    found = evaluated(data, outcomes=["spend", "back"], segments="old")
    assert report.best_arm(found, "spend") == "sms"
    assert report.best_arm(found, "back") == "call"
    with pytest.raises(InputError, match="outcome is 'x'; name one of 'spend', 'back'"):
        report.best_arm(found, "x")


def test_with_money_the_best_arm_earns_most_a_customer_whatever_its_size() -> None:
    # A call does more, but costs more than that; of mails there are ten times as many as of sms.
    data = pd.concat(
        [drawn({"none": 0, "sms": 2, "call": 3}), drawn({"mail": 1}, n=4000)], ignore_index=True
    )
    data["price"] = data["arm"].map({"none": 0.0, "sms": 0.1, "mail": 0.1, "call": 2.0})
    costs = {"spend": tp.CampaignCosts(margin=1, contact="price")}
    found = evaluated(
        data, costs=costs, shares={"none": 1 / 13, "sms": 1 / 13, "call": 1 / 13, "mail": 10 / 13}
    )
    whole = found.table.set_index("arm")
    assert whole["net_profit"].idxmax() == "mail"
    assert whole["effect"].idxmax() == "call"
    assert report.best_arm(found, "spend") == "sms"
    one = evaluated(drawn({0: 0, 1: -1}), control=0)
    assert report.best_arm(one, "spend") == 1


def test_methods_stand_below_each_other() -> None:
    data = drawn({"none": 0, "sms": 1, "mail": 2}).assign(all=lambda rows: rows["spend"] > 12)
    experiment: dict[str, Any] = {
        "arm": "arm", "control": "none", "outcomes": ["spend", "all"], "covariates": ["old"],
    }  # fmt: skip
    table = report.method_table(data, ["lin", "difference", "aipw"], **experiment)
    assert table["outcome"].tolist() == ["spend"] * 6 + ["all"] * 6
    assert table["arm"].tolist() == (["mail"] * 3 + ["sms"] * 3) * 2
    assert table["method"].tolist() == ["lin", "difference", "aipw"] * 4
    assert table.index.tolist() == list(range(12))
    for method, rows in table.groupby("method"):
        alone = tp.evaluate_campaign(data, **experiment, method=method).table
        own = alone.set_index(["outcome", "arm"])[["effect", "ci_low", "ci_high", "p_value"]]
        both = rows.set_index(["outcome", "arm"])[own.columns]
        pd.testing.assert_frame_equal(both.sort_index(), own.sort_index())
    plain = table[table["method"] == "difference"]
    assert (plain["variance_reduction"] == 0).all()
    assert (table.loc[table["method"] == "lin", "variance_reduction"] > 0.3).all()
    with pytest.raises(InputError, match="no column 'x'"):
        report.method_table(data, ["lin"], **{**experiment, "covariates": ["x"]})


# --- whom to contact ----------------------------------------------------------------------------


def moved(gain: float, n: int = 2000) -> tuple[pd.DataFrame, pd.Series]:
    """Return an experiment that moves every fourth customer by ``gain``, and a score of who."""
    data = drawn({"none": 0, "sms": 0}, n)
    data["kind"] = np.where(np.arange(2 * n) % 4 == 0, "warm", "cold")
    warm = data["kind"] == "warm"
    sent = data["arm"] == "sms"
    data["profit"] = data["spend"] + np.where(sent, np.where(warm, gain, -1.0), 0.0)
    score = (warm + 0.001 * np.random.default_rng(1).random(2 * n)).rename("score")
    return data, score


def judged(data: pd.DataFrame, score: pd.Series) -> tp.UpliftEvaluation:
    about = {"arm": "arm", "control": "none", "outcome": "profit"}
    return tp.evaluate_uplift(data, score, **about, at=(0.1, 0.25, 0.5), resamples=100)


def test_the_best_rule_is_told_by_contacted_customer() -> None:
    data, score = moved(3.0)
    uplift = judged(data, score)
    rule = report.best_rule(uplift)
    row = uplift.policy.loc[uplift.policy["value_per_1000"].idxmax()]
    assert (rule["rule"], rule["share"]) == (row["rule"], 0.25)
    assert rule["effect"] == pytest.approx(row["value_per_1000"] / 250)
    assert rule["standard_error"] == pytest.approx(row["standard_error"] / 250)
    # Contacting the warm is worth what a contact adds to them.
    assert abs(rule["effect"] - 3.0) < 4 * rule["standard_error"]
    warm = data[data["kind"] == "warm"].groupby("arm")["profit"].mean()
    assert rule["effect"] == pytest.approx(warm["sms"] - warm["none"])


def test_where_nobody_is_to_be_contacted_a_contact_has_no_effect_to_tell() -> None:
    data, score = moved(-2.0)
    uplift = judged(data, score)
    rule = report.best_rule(uplift)
    assert (rule["rule"], rule["share"]) == ("nobody", 0.0)
    assert np.isnan([rule["effect"], rule["standard_error"]]).all()
    assert not report.flagged(uplift, score).any()
    profile = report.target_profile(uplift, data, score, ["old"])
    assert profile["contacted"].isna().all()
    assert profile.loc["old", "others"] == pytest.approx(data["old"].mean())
    plan = report.next_plan(uplift, data["profit"], score, money=True)
    assert plan.n_customers == len(score)
    assert plan.effect is None
    assert plan.best_holdout is None
    assert plan.detectable_effect is not None


def test_whom_the_best_rule_contacts_is_flagged() -> None:
    data, score = moved(3.0)
    score = score.sample(frac=0.5, random_state=0)
    flags = report.flagged(judged(data, score), score)
    assert (flags.name, flags.dtype) == ("flagged", bool)
    pd.testing.assert_index_equal(flags.index, score.index)
    assert flags.sum() == round(0.25 * len(score))
    assert score[flags].min() > score[~flags].max()
    text = score.astype(str)
    text.iloc[3] = "many"
    with pytest.raises(InputError, match="score"):
        report.flagged(judged(data, score), text)


def test_of_equal_scores_the_first_are_flagged() -> None:
    data, score = moved(3.0)
    for scores in (score * 0 + 1, score.round(), -score.round()):
        uplift = judged(data, scores)
        policy = uplift.policy.assign(value_per_1000=uplift.policy["rule"] == "best 10 %")
        flags = report.flagged(dataclasses.replace(uplift, policy=policy), scores)
        first = scores.nlargest(round(0.1 * len(scores)), keep="first").index
        assert set(flags.index[flags]) == set(first)


def test_the_rule_of_a_score_that_pays_flags_by_the_score() -> None:
    data = drawn({"none": 0, "sms": 0, "call": 0})
    data["earned"] = np.where(data["arm"] == "none", 0.0, np.where(data["old"] > 1, 2.0, -4.0))
    # Those of another arm are scored, and none of them pays.
    score = pd.Series(np.where(data["old"] > 1, 1.0, 0.5), name="score")
    score[data["arm"] == "call"] = 0.0
    about = {"arm": "arm", "control": "none", "treated": "sms", "outcome": "earned"}
    uplift = tp.evaluate_uplift(
        data, score, **about, at=(0.1, 0.2), value=2, cost=1.5, resamples=100
    )
    assert report.best_rule(uplift)["rule"] == "positive"
    flags = report.flagged(uplift, score)
    assert flags.tolist() == ((data["arm"] != "call") & (data["old"] > 1)).tolist()


def test_the_profile_tells_means_of_numbers_and_shares_of_labels() -> None:
    data, score = moved(3.0)
    score = score.sample(frac=0.8, random_state=0)
    data = data.assign(seen=data["kind"] == "warm")
    uplift = judged(data, score)
    profile = report.target_profile(uplift, data, score, ["kind", "old", "seen"])
    assert profile.index.tolist() == ["kind=cold", "kind=warm", "old", "seen"]
    first = score.nlargest(round(report.best_rule(uplift)["share"] * len(score))).index
    others = score.index.difference(first)
    for name, values in (
        ("kind=warm", data["kind"] == "warm"),
        ("kind=cold", data["kind"] == "cold"),
        ("old", data["old"]),
        ("seen", data["seen"]),
    ):
        assert profile.loc[name, "contacted"] == pytest.approx(values.loc[first].mean())
        assert profile.loc[name, "others"] == pytest.approx(values.loc[others].mean())
    assert profile.loc["seen", "contacted"] > 0.95


def test_the_next_test_is_of_those_whom_the_rule_contacts() -> None:
    data, score = moved(3.0)
    uplift, rule = judged(data, score), report.best_rule(judged(data, score))
    among = data.loc[score.nlargest(1000).index, "profit"]
    known = (rule["effect"], rule["standard_error"])
    plan = report.next_plan(uplift, data["profit"], score, money=True)
    expected = tp.plan_campaign(
        among, n_customers=1000, effect=rule["effect"], prior=known, future=4000
    )
    pd.testing.assert_frame_equal(plan.to_frame(), expected.to_frame())
    fewer = report.next_plan(uplift, data["profit"], score, money=True, future=50)
    expected = tp.plan_campaign(
        among, n_customers=1000, effect=rule["effect"], prior=known, future=50
    )
    pd.testing.assert_frame_equal(fewer.to_frame(), expected.to_frame())
    assert fewer.profit_best < plan.profit_best
    sizes = report.next_plan(uplift, data["profit"], score, money=False)
    assert (sizes.n_total, sizes.effect) == (plan.n_total, plan.effect)
    assert sizes.best_holdout is None


def test_the_next_test_is_of_the_share_of_all_customers() -> None:
    data, score = moved(3.0)
    half = score.iloc[::2]
    uplift, rule = judged(data, half), report.best_rule(judged(data, half))
    plan = report.next_plan(uplift, data["profit"], half, money=False)
    among = data.loc[half.nlargest(round(rule["share"] * 2000)).index, "profit"]
    expected = tp.plan_campaign(
        among, n_customers=round(rule["share"] * 4000), effect=rule["effect"]
    )
    pd.testing.assert_frame_equal(plan.to_frame(), expected.to_frame())
    assert plan.n_customers == 2 * len(among)
