"""Default columns that tell the outcomes apart, or nothing of one-time buyers, are left out."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import OptimizeResult
from scipy.special import expit
from statsmodels.discrete.discrete_model import Logit

import touchpoint_lib as tp
from touchpoint_lib._checks import InputError
from touchpoint_lib.churn._columns import DEFAULT_COLUMNS
from touchpoint_lib.churn._logit import SplineLogit
from touchpoint_lib.churn._maximum import SeparationError, estimable

from .leaks import simulate_log

OF_GAPS = "silence_per_mean_gap"


def made(n: int = 600, seed: int = 4) -> tuple[pd.DataFrame, np.ndarray]:
    """Return default columns, a tenth of one-time buyers, and who buys by one of them."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({name: generator.gamma(3, 1, n) for name in DEFAULT_COLUMNS})
    frame.loc[generator.random(n) < 0.1, OF_GAPS] = np.nan
    return frame, generator.random(n) < expit(frame["T"].to_numpy() - 3)


def test_a_default_column_that_tells_the_outcomes_apart_is_left_out_and_named() -> None:
    frame, buys = made()
    frame["silence"] = np.where(buys, 0.0, 10.0) + frame["silence"]
    model = SplineLogit.fit(frame, buys)
    rest = [name for name in DEFAULT_COLUMNS if name != "silence"]
    assert model.design.columns == rest
    assert model.left_out == {"silence": "tells the outcomes apart"}
    chosen = SplineLogit.fit(frame, buys, rest)
    assert model.estimates == pytest.approx(chosen.estimates)
    assert model.covariance == pytest.approx(chosen.covariance)
    back = SplineLogit.from_dict(json.loads(json.dumps(model.to_dict())))
    assert back.left_out == model.left_out


def test_chosen_columns_are_never_left_out() -> None:
    frame, buys = made()
    frame["silence"] = np.where(buys, 0.0, 10.0) + frame["silence"]
    with pytest.raises(SeparationError, match=r"^'silence' tells the outcomes apart") as raised:
        SplineLogit.fit(frame, buys, ["silence", "T"])
    assert raised.value.names == ["silence"]
    assert raised.value.worst == "silence"


def test_columns_that_tell_apart_together_lose_the_one_that_counts_most() -> None:
    frame, _ = made()
    buys = (3 * frame["purchases_per_day"] + frame["T"] > 12).to_numpy()
    with pytest.raises(SeparationError) as raised:
        SplineLogit.fit(frame, buys, ["T", "purchases_per_day", "amount_mean"])
    assert raised.value.names == ["T", "purchases_per_day"]
    assert raised.value.worst == "purchases_per_day"
    model = SplineLogit.fit(frame, buys)
    assert model.left_out == {"purchases_per_day": "tells the outcomes apart with 'T'"}
    assert "T" in model.design.columns


def test_where_every_default_column_tells_apart_the_message_lists_them() -> None:
    frame, buys = made()
    apart = frame[["silence", "T"]] + np.where(buys, 0.0, 20.0)[:, None]
    with pytest.raises(
        InputError, match=r"^no default column can be used: .*; pass columns="
    ) as no:
        SplineLogit.fit(apart, buys)
    assert str(no.value).count("tells the outcomes apart") == 2


def test_a_shop_without_one_time_buyers_can_still_be_asked_about_them() -> None:
    frame, buys = made()
    known = frame.fillna({OF_GAPS: 1.0})
    model = SplineLogit.fit(known, buys)
    assert model.left_out == {
        OF_GAPS: "is known of everybody, so that nothing is learned of one-time buyers"
    }
    assert np.isfinite(model.log_odds(frame)).all()
    assert OF_GAPS in SplineLogit.fit(known, buys, list(DEFAULT_COLUMNS)).design.columns


def test_terms_that_are_nearly_alike_have_a_maximum_all_the_same() -> None:
    log = tp.load_cdnow(sample=True)
    panel = tp.indicator_panel(log, ["1997-09-30"], 273).droplevel("cutoff")
    few = pd.concat([panel[panel["buys"]][:100], panel[~panel["buys"]][:300]])
    few.attrs = dict(panel.attrs)
    generator = np.random.default_rng(0)
    largest = 0.0
    for _ in range(12):
        part = few.iloc[generator.choice(400, 214, replace=False)]
        model = SplineLogit.fit(part, part["buys"])
        assert np.isfinite(model.coefficients().to_numpy()).all()
        chance = expit(model.log_odds(part))
        # At the maximum the promised number of buyers is the number that came.
        assert chance.sum() == pytest.approx(part["buys"].sum(), rel=1e-6)
        largest = max(largest, float(np.abs(model.estimates).max()))
    assert largest > 1000


@pytest.mark.slow
@pytest.mark.parametrize("once", [1, 4])
def test_a_stack_is_judged_where_few_bought_once(once: int) -> None:
    log = simulate_log(900, (2.0, 60.0), (1.0, 4.0), 400, seed=3)
    panel = tp.indicator_panel(log, ["2023-07-31"], 90).droplevel("cutoff")
    single = panel.index[panel["frequency"] == 0]
    several = panel.index[panel["frequency"] > 0][:400]
    few = panel.loc[several.union(single[:once])]
    few.attrs = dict(panel.attrs)
    model = tp.ChurnModel(lifetime=[], folds=2)
    chance = model.cross_predict(few, folds=2)
    assert chance.between(0, 1).all()
    assert tp.auc(few["buys"], chance).auc > 0.7


@pytest.fixture(scope="module")
def regular() -> pd.DataFrame:
    """Return the panel of a shop where everybody buys every 5 to 13 days until they leave."""
    generator = np.random.default_rng(0)
    rows = []
    for customer in range(800):
        day, end = 0, generator.exponential(250)
        while day < 365 and day < end:
            rows.append((customer, day + generator.integers(0, 3), generator.gamma(2, 10)))
            day += int(generator.integers(5, 14))
    log = pd.DataFrame(rows, columns=["customer_id", "date", "amount"])
    log = log[log["date"] < 365]
    log["date"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(log["date"], unit="D")
    return tp.indicator_panel(log, ["2024-07-19"], 60).droplevel("cutoff")


def test_where_plain_newton_overshoots_the_damped_one_finds_the_maximum(
    regular: pd.DataFrame,
) -> None:
    buys = regular["buys"].to_numpy()
    model = SplineLogit.fit(regular, buys, ["silence"])
    terms = model.design.matrix({"silence": regular["silence"].to_numpy()})
    terms = (terms - terms.mean(axis=0)) / terms.std(axis=0)
    with np.errstate(over="ignore"):
        other = Logit(buys.astype(float), np.column_stack([np.ones(len(buys)), terms])).fit(
            method="bfgs", maxiter=5000, gtol=1e-8, disp=False
        )
        reached = other.llf
    assert other.mle_retvals["converged"]
    assert model.log_likelihood == pytest.approx(reached, abs=1e-6)
    assert model.log_likelihood == pytest.approx(-42.8686, abs=1e-4)
    assert np.isfinite(model.coefficients().to_numpy()).all()
    assert expit(model.log_odds(regular)).sum() == pytest.approx(buys.sum(), rel=1e-6)


@pytest.mark.parametrize("kind", ["logit", "stack"])
@pytest.mark.parametrize("columns", [None, ["silence"]])
def test_a_regular_shop_has_a_model(
    kind: str, columns: list[str] | None, regular: pd.DataFrame
) -> None:
    lifetime = [] if kind == "stack" else None
    model = tp.ChurnModel(kind, columns, lifetime).fit(regular)
    chance = model.predict_probability(regular)
    assert chance.between(0, 1).all()
    assert tp.auc(regular["buys"], chance).auc > 0.98
    assert model.logit_ is not None
    assert "silence" in model.logit_.design.columns
    assert not model.logit_.summary().isna().to_numpy().any()


def test_a_column_of_certain_outcomes_alone_is_never_taken_for_a_maximum() -> None:
    """Where all odds are certain the likelihood is flat, and Newton stops as at a maximum."""
    for width in (1e-6, 1e-3, 1.0, 50.0):
        x = np.append(np.linspace(-width, 0, 300), 100 + np.linspace(0, width, 300))
        with pytest.raises(SeparationError, match=r"^'x' tells the outcomes apart"):
            SplineLogit.fit(pd.DataFrame({"x": x}), x > 50, ["x"])


def test_terms_that_these_rows_do_not_bound_have_the_coefficient_0() -> None:
    generator = np.random.default_rng(6)
    a, b = generator.normal(size=(2, 500))
    truth = generator.random(500) < expit(a - b)
    apart = np.zeros(500)
    apart[np.flatnonzero(truth)[:5]] = 1.0
    matrix = np.column_stack([np.full(500, 0.1), a, apart, b, np.zeros(500), a])
    found = estimable(matrix, truth)
    direct = Logit(truth.astype(float), np.column_stack([np.ones(500), a, b])).fit(
        disp=False, tol=1e-12
    )
    assert (found[[1, 3, 5]] == 0).all()
    # One of two that are the same counts.
    assert sorted(found[[2, 6]])[0] == 0
    assert [found[0], found[2] + found[6], found[4]] == pytest.approx(direct.params, rel=1e-6)
    assert estimable(matrix[:, [0, 4]], truth) == pytest.approx(
        [np.log(truth.mean() / (1 - truth.mean())), 0, 0]
    )


def test_a_programme_without_an_answer_is_no_sign_of_a_maximum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame, buys = made()
    frame["silence"] = np.where(buys, 0.0, 10.0) + frame["silence"]

    def stopped(*_: object, **__: object) -> OptimizeResult:
        return OptimizeResult(status=4, message="numerical trouble", x=None)

    monkeypatch.setattr("scipy.optimize.linprog", stopped)
    with pytest.raises(InputError, match=r"could not be settled \(numerical trouble\); choose"):
        SplineLogit.fit(frame, buys, ["silence"])
