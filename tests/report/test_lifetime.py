"""The sentences and the head of the lifetime report say what its frames say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from touchpoint_lib import charts
from touchpoint_lib.report import (
    choice_verdict,
    holdout_value_data,
    holdout_value_verdict,
    lifetime_headline,
    promise_data,
    promise_verdict,
    provenance,
    regularity_verdict,
    residual_value_data,
    residual_value_verdict,
    run,
    whole,
)
from touchpoint_lib.report.churn import churn_sentence, churn_tile
from touchpoint_lib.report.headline import Headline

Frames = dict[str, Any]


@pytest.fixture(scope="module")
def past() -> pd.DataFrame:
    return tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")


@pytest.fixture(scope="module")
def models(past: pd.DataFrame) -> dict[str, Any]:
    return {
        "MBG/NBD": tp.ModifiedBetaGeoModel().fit(past),
        "BG/NBD": tp.BetaGeoModel().fit(past),
    }


@pytest.fixture(scope="module")
def spend(past: pd.DataFrame) -> tp.GammaGammaModel:
    return tp.GammaGammaModel().fit(past)


@pytest.fixture(scope="module")
def frames(past: pd.DataFrame, models: dict[str, Any], spend: tp.GammaGammaModel) -> Frames:
    comparison = tp.compare_models(models, past)
    models = {name: models[name] for name in ("BG/NBD", "MBG/NBD")}
    models = {comparison.attrs["best"]: models[comparison.attrs["best"]], **models}
    return {
        "past": past,
        "comparison": comparison,
        "value": holdout_value_data(models, spend, past),
        "residual": residual_value_data(models, spend, past, 39),
        "source": "CDNOW sample",
    }


def tiles(head: Headline) -> list[tuple[str, str, str]]:
    return [(tile.value, tile.interval, tile.compared_with) for tile in head.tiles]


def changed(frame: pd.DataFrame, row: Any, **values: float) -> pd.DataFrame:
    """Return a copy of ``frame``, with its attrs, in which ``row`` has other values."""
    copy = frame.copy()
    for column, value in values.items():
        copy.loc[row, column] = value
    copy.attrs = dict(frame.attrs)
    return copy


def test_totals_and_top_shares_are_those_of_the_customers(
    frames: Frames, models: dict[str, Any], spend: tp.GammaGammaModel
) -> None:
    past, data = frames["past"], frames["value"]
    for name, model in models.items():
        number = model.expected_purchases(past, 39)
        value = number * spend.expected_spend(past)
        row = data.loc[name]
        assert row["purchases_expected"] == pytest.approx(number.sum())
        assert row["money_expected"] == pytest.approx(value.sum())
        assert row["purchases_came"] == past["holdout_frequency"].sum()
        assert row["money_came"] == pytest.approx(past["holdout_amount"].sum())
        assert row["money_bias"] == pytest.approx(value.sum() / row["money_came"] - 1)
        best = value.nlargest(236)
        assert row["top_expected"] == pytest.approx(best.sum() / value.sum())
    own = data.iloc[-1]
    assert own.name == "own rate"
    assert own["purchases_expected"] == pytest.approx((past["frequency"] / past["T"]).sum() * 39)
    assert own[["money_lower", "money_upper"]].isna().all()


def test_an_interval_holds_parameters_and_scatter(frames: Frames, models: dict[str, Any]) -> None:
    past, data = frames["past"], frames["value"]
    name = data.index[0]
    number = models[name].expected_purchases(past, 39)
    chance = np.sqrt(len(past)) * (past["holdout_frequency"] - number).std(ddof=0)
    # The delta method on the sum, by differences along each log parameter.
    theta = np.log(models[name].params_.to_numpy())
    step = 1e-4
    slope = [
        (
            type(models[name]).from_params(np.exp(theta + at), "W").expected_purchases(past, 39)
            - number
        ).sum()
        / step
        for at in step * np.eye(len(theta))
    ]
    covariance = models[name]._log_covariance
    half = 1.96 * np.sqrt(chance**2 + slope @ covariance @ slope)
    row = data.iloc[0]
    width = row["purchases_upper"] - row["purchases_lower"]
    assert width == pytest.approx(2 * half, rel=0.1)
    assert row["purchases_lower"] < row["purchases_expected"] < row["purchases_upper"]


def test_an_interval_covers_the_money_of_simulated_customers() -> None:
    truth = tp.ModifiedBetaGeoModel.from_params([0.6, 6, 0.8, 1.5], unit="W")
    pays = tp.GammaGammaModel.from_params([6, 4, 15])
    inside = []
    for seed in range(20):
        both = truth.simulate(600, 40, seed)
        later = truth.expected_purchases(both.drop(columns="alive"), 40)
        generator = np.random.default_rng(seed)
        paid = pays.simulate(both["frequency"], seed)
        number = generator.poisson(later)
        split = both.assign(
            monetary_value=paid["monetary_value"],
            holdout_frequency=number,
            holdout_amount=number * paid["mean_spend"],
            holdout_duration=40.0,
        )
        split.attrs["unit"] = "W"
        fitted = {"model": tp.ModifiedBetaGeoModel().fit(split)}
        row = holdout_value_data(fitted, tp.GammaGammaModel().fit(split), split).iloc[0]
        inside.append(row["money_lower"] <= row["money_came"] <= row["money_upper"])
    # Of 20 runs at 95% fewer than 16 lie inside once in 400 times.
    assert sum(inside) >= 16


def test_given_parameters_are_told_to_be_taken_as_known(
    past: pd.DataFrame, models: dict[str, Any], spend: tp.GammaGammaModel
) -> None:
    given = tp.ModifiedBetaGeoModel.from_params(models["MBG/NBD"].params_.to_dict(), "W")
    both = {"given": given, "MBG/NBD": models["MBG/NBD"]}
    data = holdout_value_data(both, spend, past)
    assert data.attrs["certain"] == ["given"]
    width = data["money_upper"] - data["money_lower"]
    assert 0 < width["given"] < width["MBG/NBD"]
    assert "taking its parameters as known" in holdout_value_verdict(data)
    assert "as known" not in holdout_value_verdict(data.iloc[1:])


def test_ties_at_the_tenth_share_by_chance(past: pd.DataFrame, spend: tp.GammaGammaModel) -> None:
    twin = past.iloc[:1].loc[lambda one: one.index.repeat(40)].reset_index(drop=True)
    twin["holdout_amount"] = [100.0] * 2 + [0.0] * 38
    twin.attrs = past.attrs
    model = {"MBG/NBD": tp.ModifiedBetaGeoModel().fit(past)}
    data = holdout_value_data(model, spend, twin)
    # All alike: the tenth has a tenth of everything, whoever stands first.
    assert data[["top_expected", "top_came"]].iloc[0].tolist() == pytest.approx([0.1, 0.1])


def test_money_is_told_with_what_came(frames: Frames) -> None:
    data = frames["value"]
    row = data.iloc[0]
    says = holdout_value_verdict(data)
    assert f"{row['money_expected']:,.0f}" in says
    assert f"they spent {row['money_came']:,.0f}" in says
    first = data.index[0]
    for came, words in (
        (row["money_expected"], "within what chance explains"),
        (row["money_lower"] - 1, "clearly less than expected"),
        (row["money_upper"] + 1, "clearly more than expected"),
    ):
        assert words in holdout_value_verdict(changed(data, first, money_came=came))
    nothing = holdout_value_verdict(changed(data, first, money_came=0))
    assert nothing.endswith("they spent 0.")
    endless = holdout_value_verdict(changed(data, first, money_upper=np.inf))
    assert "or more" in endless
    assert "inf" not in endless


def test_the_whole_future_has_the_near_one_in_it(
    frames: Frames, models: dict[str, Any], spend: tp.GammaGammaModel
) -> None:
    past, data = frames["past"], frames["residual"]
    for name, row in data.iterrows():
        value = tp.customer_lifetime_value(models[str(name)], spend, past, None)
        near = tp.customer_lifetime_value(models[str(name)], spend, past, 39)
        assert row["value"] == pytest.approx(value.sum())
        assert row["share_within"] == pytest.approx(near.sum() / value.sum())
        assert row["a_customer"] == pytest.approx(value.mean())
        assert row["top_share"] == pytest.approx(value.nlargest(236).sum() / value.sum())
    says = residual_value_verdict(data)
    low, high = data["value"].min(), data["value"].max()
    assert f"{low:,.0f} to {high:,.0f}" in says
    assert f"is {spend.spend_correlation_:.2f}." in says
    assert "by model" not in residual_value_verdict(data.iloc[:1])


def test_the_choice_names_the_likeliest_and_the_nearest(frames: Frames) -> None:
    comparison = frames["comparison"]
    best, other = (
        comparison.attrs["best"],
        comparison.index.drop([comparison.attrs["best"], "recency", "rate"])[0],
    )
    gain = comparison.loc[best, "log_likelihood"] - comparison.loc[other, "log_likelihood"]
    says = choice_verdict(comparison)
    assert says.startswith(f"{best} is the likeliest model of the first part, by {gain:,.1f} of")
    near = choice_verdict(changed(comparison, best, bias=0.01))
    assert f"{best} is nearest (+1%). " in near
    pairs = comparison["auc"]
    assert f"{best} ranks the buyer higher in {pairs[best]:.1%} of all pairs" in says
    assert f"plain recency in {pairs['recency']:.1%}." in says
    ranked = choice_verdict(changed(comparison, other, auc=0.99))
    assert f"of all pairs ({other} in 99.0%), plain" in ranked
    far = choice_verdict(changed(changed(comparison, best, bias=-30.0), other, bias=0.02))
    assert f"{other} is nearest (+2%); {best} is off by -3,000%" in far
    alone = comparison.drop(index=other)
    alone.attrs = comparison.attrs
    assert choice_verdict(alone).startswith(f"{best} is the likeliest model of the first part. ")


def test_without_buyers_the_choice_is_by_likelihood_alone(
    past: pd.DataFrame, models: dict[str, Any]
) -> None:
    quiet = past.assign(holdout_frequency=0, holdout_amount=0.0)
    quiet.attrs = past.attrs
    says = choice_verdict(tp.compare_models(models, quiet))
    assert "nan" not in says
    assert "nearest" not in says


def test_the_promise_is_that_of_the_probabilities(
    past: pd.DataFrame, models: dict[str, Any]
) -> None:
    model = models["MBG/NBD"]
    chance = model.probability_of_purchase(past, 39)
    data = promise_data(model, past)
    flagged = chance >= 0.5
    assert data.loc["promised", "error_rate"] == pytest.approx(1 - chance[flagged].mean())
    assert data.loc["promised", "buyers"] == pytest.approx(chance.sum())
    bought = past["holdout_frequency"] > 0
    assert data.loc["came", "error_rate"] == tp.error_rate(bought, flagged)
    assert data.loc["came", "omission_rate"] == tp.omission_rate(bought, flagged)
    table = tp.calibration_table(bought, chance)
    for low, high, words in (
        (0.9, 0.95, "the promise was too good"),
        (0.0, 0.01, "it did better than promised"),
        (0.0, 1.0, "the promise was kept within chance"),
    ):
        shown = changed(data, "came", error_rate_low=low, error_rate_high=high)
        assert words in promise_verdict(shown, table, "MBG/NBD")
    more = int((table["observed_low"] > table["mean_probability"]).sum())
    assert f"{more} bought clearly more often" in promise_verdict(data, table, "MBG/NBD")


def test_nobody_flagged_or_nobody_buying_is_told_and_no_rate(
    past: pd.DataFrame, models: dict[str, Any]
) -> None:
    chance = models["MBG/NBD"].probability_of_purchase(past, 39)
    table = tp.calibration_table(past["holdout_frequency"] > 0, chance)
    none = promise_verdict(promise_data(models["MBG/NBD"], past, 1.0), table, "MBG/NBD")
    assert "flags nobody" in none
    quiet = promise_data(models["MBG/NBD"], past.assign(holdout_frequency=0))
    says = promise_verdict(quiet, table, "MBG/NBD")
    assert "promised to miss" not in says
    assert "nan" not in none + says


def test_regularity_is_claimed_where_the_likelihood_does(past: pd.DataFrame) -> None:
    model = tp.ModifiedBetaGeoModel(regularity="auto").fit(past)
    assert "no more regular" in regularity_verdict(model)
    regular = tp.ModifiedBetaGeoModel.from_params([3, 3, 0.8, 3], unit="W", regularity=3)
    model.fit(regular.simulate(800, 40, seed=1).drop(columns="alive"))
    gain = model.regularity_likelihoods_[3] - model.regularity_likelihoods_[1]
    assert model.regularity_ == 3
    says = regularity_verdict(model)
    assert says.startswith("Purchases are more regular than chance makes them")
    assert f"is 3, by {gain:,.1f} of log-likelihood over k = 1" in says
    model.regularity_likelihoods_[1] = model.regularity_likelihoods_[3] - 0.5
    assert "not clearly more regular" in regularity_verdict(model)


def test_the_tiles_show_the_numbers_of_the_frames(frames: Frames) -> None:
    head = lifetime_headline(**frames)
    row, own = frames["value"].iloc[0], frames["value"].loc["own rate"]
    best = frames["comparison"].loc[frames["comparison"].attrs["best"]]
    rates = charts.comparison_chart_data(frames["comparison"]).set_index("model")
    shown = tiles(head)
    assert shown[0] == (
        f"{best['holdout_expected']:,.0f}",
        f"95%: {row['purchases_lower']:,.0f} to {row['purchases_upper']:,.0f}",
        f"came: {best['holdout_actual']:,.0f}; at own rates: {own['purchases_expected']:,.0f}",
    )
    assert shown[1][0] == f"{row['money_expected']:,.0f}"
    chosen = rates.loc[best.name]
    assert shown[2] == (
        f"{best['error_rate']:.0%}",
        f"95%: {chosen['error_low']:.0%} to {chosen['error_high']:.0%}",
        f"recency, as many flagged: {rates.loc['recency', 'error_rate']:.0%}",
    )
    assert shown[3][0] == f"{row['top_came']:.0%}"
    assert shown[4][0] == f"{frames['residual']['value'].iloc[0]:,.0f}"
    assert len(shown) == 5
    assert head.provenance == provenance(frames["past"], "CDNOW sample")


@pytest.mark.parametrize(
    ("came", "words"), [(0.9, "was too high"), (1.0, "held within chance"), (1.1, "was too low")]
)
def test_the_verdict_follows_the_interval(frames: Frames, came: float, words: str) -> None:
    row = frames["value"].iloc[0]
    edge = {0.9: row["purchases_lower"], 1.0: row["purchases_expected"]}
    at = edge.get(came, row["purchases_upper"])
    value = changed(frames["value"], frames["value"].index[0], purchases_came=at * came)
    assert f"its forecast {words}" in lifetime_headline(**{**frames, "value": value}).verdict


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (0.9, "90% of as many (clearly worse)"),
        (None, "of as many (not clearly better or worse)"),
        (0.01, "1% of as many (clearly better)"),
    ],
)
def test_recency_is_judged_by_intervals(frames: Frames, error: float | None, words: str) -> None:
    comparison = frames["comparison"]
    same = comparison.loc[comparison.attrs["best"], "error_rate"]
    shown = changed(comparison, "recency", error_rate=same if error is None else error)
    assert words in lifetime_headline(**{**frames, "comparison": shown}).verdict


def test_a_holdout_without_buyers_has_no_rates(
    frames: Frames, models: dict[str, Any], spend: tp.GammaGammaModel
) -> None:
    quiet = frames["past"].assign(holdout_frequency=0, holdout_amount=0.0)
    quiet.attrs = frames["past"].attrs
    comparison = tp.compare_models(models, quiet)
    ordered = {name: models[name] for name in (comparison.attrs["best"], *models)}
    value = holdout_value_data(ordered, spend, quiet)
    head = lifetime_headline(**{**frames, "past": quiet, "comparison": comparison, "value": value})
    assert tiles(head)[2][:2] == ("none", "nobody bought")
    assert tiles(head)[3][:2] == ("none", "nothing came in")
    assert "Nobody bought after the split" in head.verdict
    assert "nan" not in str(head)


def test_nobody_flagged_is_no_rate_of_zero(frames: Frames, models: dict[str, Any]) -> None:
    comparison = tp.compare_models(models, frames["past"], threshold=1.0)
    head = lifetime_headline(**{**frames, "comparison": comparison})
    assert tiles(head)[2][:2] == ("none", "nobody is flagged")
    assert "gives nobody a probability" in head.verdict
    assert "nan" not in str(head)


def test_millions_fit_on_a_tile(frames: Frames) -> None:
    name = frames["residual"].index[0]
    for value, shown in ((4_641_468.0, "4.64m"), (2.5e9, "2.50bn"), (999.6, "1,000")):
        residual = changed(frames["residual"], name, value=value)
        assert tiles(lifetime_headline(**{**frames, "residual": residual}))[4][0] == shown


def test_models_that_did_not_converge_are_told_once_a_reason(frames: Frames) -> None:
    good = tp.ModifiedBetaGeoModel().fit(frames["past"])
    with pytest.warns(tp.ConvergenceWarning):
        bad = tp.ModifiedBetaGeoModel().fit(frames["past"].iloc[:3])
    assert "Caution" not in lifetime_headline(**frames, models=[good]).verdict
    verdict = lifetime_headline(**frames, models=[good, bad, bad]).verdict
    assert verdict.count("Caution: the ModifiedBetaGeoModel did not converge on this log") == 1
    assert bad.convergence_message_ in verdict


@pytest.fixture(scope="module")
def rates(past: pd.DataFrame, models: dict[str, Any]) -> pd.DataFrame:
    """Compare recency with a stand-in of the churn model of a hostile name."""
    scores = {
        "recency": past["recency"] - past["T"],
        "<b>churn</b>": models["BG/NBD"].probability_of_purchase(past, 39),
    }
    return tp.compare_predictions(
        past["holdout_frequency"] > 0, scores, baseline="recency", n_flagged=471
    )


def test_with_a_churn_model_the_headline_is_about_who_it_flags(
    frames: Frames, rates: pd.DataFrame
) -> None:
    alone = lifetime_headline(**frames)
    head = lifetime_headline(**frames, rates=rates, churn="<b>churn</b>")
    buyers = frames["past"]["holdout_frequency"] > 0
    row = rates.loc["<b>churn</b>"]
    assert row["n_flagged"] == 471
    says = churn_sentence(rates, "<b>churn</b>")
    assert says.startswith(
        f"Who buys again: of the 471 likeliest buyers by the churn model (<b>churn</b>) "
        f"{row['error_rate']:.1%} did not buy, of as many by recency"
    )
    assert 0 < row["error_rate"] < 1 - buyers.mean()
    money = "tested on the last 39 weeks, its forecast"
    assert head.verdict.endswith(says)
    assert head.verdict.split(money)[0] == alone.verdict.split(money)[0]
    assert "will buy again" in head.question
    assert head.tiles[2] == churn_tile(rates, "<b>churn</b>")
    assert [*head.tiles[:2], *head.tiles[3:]] == [*alone.tiles[:2], *alone.tiles[3:]]
    assert head.tiles[2].label == "Error rate of the 471 likeliest buyers"
    assert head.provenance == alone.provenance
    assert "<b>churn" not in head._repr_html_()
    assert "&lt;b&gt;churn&lt;/b&gt;" in head._repr_html_()


def test_without_a_churn_model_the_headline_names_none(frames: Frames) -> None:
    head = lifetime_headline(**frames, churn="the stack")
    assert head == lifetime_headline(**frames)
    assert "stack" not in str(head)


def test_the_caution_stands_behind_the_churn_sentence(frames: Frames, rates: pd.DataFrame) -> None:
    with pytest.warns(tp.ConvergenceWarning):
        bad = tp.ModifiedBetaGeoModel().fit(frames["past"].iloc[:3])
    verdict = lifetime_headline(**frames, models=[bad], rates=rates, churn="<b>churn</b>").verdict
    says = churn_sentence(rates, "<b>churn</b>")
    assert f"{says} Caution: the ModifiedBetaGeoModel did not converge" in verdict


def test_a_source_of_markup_is_shown_and_not_obeyed(frames: Frames) -> None:
    head = lifetime_headline(**{**frames, "source": "<script>alert(1)</script>"})
    assert "<script" not in head._repr_html_()
    assert "&lt;script&gt;" in head._repr_html_()


def test_whole_numbers_keep_what_is_missing_and_what_is_endless() -> None:
    shown = whole(pd.DataFrame({"n": [1.6, np.nan], "top": [np.inf, 2.4], "rate": [0.5, 0.1]}), "n")
    assert shown["n"].tolist() == [2, pd.NA]
    assert shown["rate"].tolist() == [0.5, 0.1]
    assert whole(shown, "top")["top"].tolist() == [np.inf, 2.0]


def shop(
    path: Path, weeks: int, last: str | None = None, seed: int = 1, n: int = 250, leave: float = 0.3
) -> Path:
    """Write the log of a simulated shop, whose customers buy in the first ``weeks`` only."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        day, level = int(generator.integers(0, 70)), generator.gamma(6, 5)
        while day < 7 * weeks:
            date = np.datetime64("2023-01-01") + day
            rows.append((f"k{number}", str(date), round(1 + level * generator.gamma(6, 1 / 6), 2)))
            if generator.random() < leave:
                break
            day += 1 + int(generator.exponential(40))
    if last:
        rows.append(("new", last, 5.0))
    pd.DataFrame(rows, columns=["client", "day", "total"]).to_csv(path, index=False)
    return path


def report_of(path: Path, folder: Path, **options: str) -> str:
    """Return the headline's text, every verdict and every table of a run on an own log."""
    book = run.select(run.find_notebooks(), ["02_lifetime"])[0]
    columns = {"customer": "client", "time": "day", "amount": "total", **options}
    parameters = run.parameters_of(book, {"transactions": str(path)}, columns)
    folder.mkdir()
    notebook = run.execute(book, parameters, folder, False)
    return "\n".join(
        output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output and "text/html" in output["data"]
    )


def has_churn(says: str) -> bool:
    """Say whether a report has the churn half; raise where it has a part of it."""
    parts = [
        "Who buys again: of the ",
        "know the future: crm_frequency, crm_monetary_value, crm_silence. A model with them",
        "of the influence (95%: ",
        "So the stack ",
        " the rule “budget”",
        "Its probabilities ",
        "that the model learnt from",
        "buys_again",
    ]
    there = [part in says for part in parts]
    assert all(there) or not any(there), dict(zip(parts, there, strict=True))
    assert there[0] != ("a churn model needs at least 400, and 100 of either kind" in says)
    return there[0]


@pytest.mark.slow
def test_the_notebook_runs_on_an_own_log(tmp_path: Path) -> None:
    path = shop(tmp_path / "shop <b>.csv", 60, n=430, leave=0.15)
    says = report_of(path, tmp_path / "run")
    assert "Source: shop <b>.csv" in says
    assert "Customers: 430 known at the split" in says
    assert re.search(r"(M?BG/NBD|Pareto/NBD|MBG/CNBD-\d+) is the likeliest model", says)
    assert has_churn(says)
    assert "Of 329 columns 3 know the future" in says
    assert "Where each flags 86 customers, recency is wrong for" in says
    assert "trees on 7 columns" in says
    assert not re.search(r"\bnan\b", says)


@pytest.mark.slow
def test_the_notebook_leaves_the_churn_model_out_where_customers_are_few(tmp_path: Path) -> None:
    says = report_of(shop(tmp_path / "few.csv", 60, n=60), tmp_path / "run")
    assert not has_churn(says)
    assert re.search(r"Only \d+ of 60 customers bought again: a churn model needs at least", says)
    assert "it is wrong for" in says.split("Source: few.csv")[0]
    assert not re.search(r"\bnan\b", says)


@pytest.mark.slow
def test_the_notebook_nets_returns_and_reads_discounts(tmp_path: Path) -> None:
    log = pd.read_csv(shop(tmp_path / "log.csv", 60, n=430, leave=0.15))
    log["rebate"] = np.where(np.arange(len(log)) % 3 == 0, 1.5, 0.0)
    # Every tenth purchase is returned on its day; one customer returns all there was.
    back = log.iloc[::10].assign(total=lambda some: -some["total"], rebate=0.0)
    none = pd.DataFrame(
        {"client": "z", "day": "2023-02-01", "total": [5.0, -5.0], "rebate": [0.0, 0.0]}
    )
    names = {"client": "Kunde <b>", "day": "gekauft am", "total": "Betrag €"}
    both = pd.concat([log, back, none]).rename(columns=names)
    both.to_csv(tmp_path / "net.csv", index=False)
    says = report_of(
        tmp_path / "net.csv",
        tmp_path / "run",
        **dict(zip(("customer", "time", "amount"), names.values(), strict=True)),
        returns="net",
        discount="rebate",
    )
    assert has_churn(says)
    # A discount is an indicator: there are more columns than without.
    columns = int(re.search(r"trees on (\d{3}) columns", says)[1])
    assert columns > 326
    assert f"Of {columns + 3} columns 3 know the future" in says
    assert not re.search(r"\bnan\b", says)


@pytest.mark.slow
def test_the_notebook_runs_where_silence_separates_who_returns(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    rows = []
    for number in range(400):
        day, end = int(generator.integers(0, 40)), 210 if number % 2 else 75
        while day < end:
            spent = round(float(generator.gamma(6, 3)) + 1, 2)
            rows.append((f"k{number}", str(np.datetime64("2023-01-01") + day), spent))
            day += 3 + min(int(generator.exponential(5)), 12)
    log = pd.DataFrame(rows, columns=["client", "day", "total"])
    log.to_csv(tmp_path / "weekly.csv", index=False)
    says = report_of(tmp_path / "weekly.csv", tmp_path / "run")
    assert has_churn(says)
    assert "Where each flags 80 customers, recency is wrong for 0.0%" in says
    # Indicators that foresee everything are honest all the same.
    assert "Of 329 columns 3 know the future" in says
    # They are apart, and may even be so near to 0 and 1 that their odds are not finite.
    assert re.search(r"no calibration slope: (the probabilities separate|probability is ex)", says)
    assert not re.search(r"\bnan\b", says)


@pytest.mark.slow
def test_the_notebook_runs_where_everybody_returns(tmp_path: Path) -> None:
    says = report_of(shop(tmp_path / "all.csv", 90, n=150, leave=0), tmp_path / "run")
    assert "None of 150 customers stayed away: a churn model needs" in says
    assert not has_churn(says)


@pytest.mark.slow
def test_the_notebook_runs_with_a_holdout_of_a_week(tmp_path: Path) -> None:
    path = shop(tmp_path / "week.csv", 60, n=430, leave=0.15)
    says = report_of(path, tmp_path / "run", unit="D", split="2024-02-17")
    assert "tested on the last 7 days" in says
    assert not has_churn(says)


@pytest.mark.slow
def test_the_notebook_refuses_a_log_of_one_amount(tmp_path: Path) -> None:
    path = shop(tmp_path / "equal.csv", 60)
    pd.read_csv(path).assign(total=10.0).to_csv(path, index=False)
    with pytest.raises(run.InputRefusedError, match="all have monetary_value 10, and Gamma-Gamma"):
        report_of(path, tmp_path / "run")


@pytest.mark.slow
def test_the_notebook_runs_where_nobody_returns(tmp_path: Path) -> None:
    # 20 weeks of trade, then one newcomer at the end of a year.
    log = shop(tmp_path / "quiet.csv", 20, last="2023-12-31")
    says = report_of(log, tmp_path / "run", unit="D")
    assert "Nobody bought after the split" in says
    assert "came: 0; at own rates" in says
    assert "they spent 0." in says
    assert "None of 250 customers bought again: a churn model needs" in says
    assert not has_churn(says)


@pytest.mark.slow
def test_the_notebook_refuses_a_log_of_one_time_buyers(tmp_path: Path) -> None:
    path = shop(tmp_path / "once.csv", 60)
    pd.read_csv(path).drop_duplicates("client").to_csv(path, index=False)
    with pytest.raises(run.InputRefusedError, match="customers has a repeat purchase"):
        report_of(path, tmp_path / "run")
