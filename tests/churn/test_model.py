"""The churn model: what it learns, what it may know, and what a file keeps of it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score

import touchpoint_lib as tp
from touchpoint_lib.churn._frames import cutoff_codes
from touchpoint_lib.churn._lifetime_columns import fit_lifetime
from touchpoint_lib.churn._stack import customer_folds, stack_weights
from touchpoint_lib.churn.model import KINDS
from touchpoint_lib.metrics.calibration import calibration_slope

CUTOFFS = pd.to_datetime(["2024-03-31", "2024-06-30"])


def made_panel(n: int, seed: int, cutoffs: int = 1) -> pd.DataFrame:
    """Customers of a known chance: bent in ``bend``, a step in ``step``, noise beside.

    The indicator ``bend`` is missing for a tenth, who buy with a chance of their own.
    """
    generator = np.random.default_rng(seed)
    size = n * cutoffs
    truth = tp.ModifiedBetaGeoModel.from_params([0.8, 40, 0.9, 2.4], unit="D")
    drawn = truth.simulate(size, generator.integers(60, 300, size).astype(float), seed)
    frame = pd.DataFrame(
        {
            **{name: drawn[name].to_numpy(dtype=float) for name in ("frequency", "recency", "T")},
            "bend": generator.normal(size=size),
            "step": generator.integers(0, 2, size).astype(float),
            "noise": generator.normal(size=size),
        }
    )
    odds = 1.2 * frame["bend"] ** 2 - 1.5 + 1.5 * frame["step"]
    missing = generator.random(size) < 0.1
    odds = odds.where(~missing, -1.0)
    frame.loc[missing, "bend"] = np.nan
    frame["buys"] = generator.random(size) < expit(odds)
    frame["odds"] = odds
    names = [f"c{i:05d}" for i in range(n)]
    frame.index = pd.MultiIndex.from_product(
        [names, CUTOFFS[:cutoffs]], names=["customer_id", "cutoff"]
    )
    frame.attrs.update(unit="D", horizon=90.0)
    return frame


def with_attrs(panel: pd.DataFrame, **attrs: object) -> pd.DataFrame:
    changed = panel.copy()
    changed.attrs.update(attrs)
    return changed


def indicators(panel: pd.DataFrame) -> pd.DataFrame:
    return panel.drop(columns="odds")


def fresh(kind: str, **options: object) -> tp.ChurnModel:
    columns = None if kind == "boosting" else ["bend", "step", "noise"]
    return tp.ChurnModel(kind, columns, **{"folds": 3, **options})


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    return made_panel(3000, seed=1)


@pytest.fixture(scope="module")
def other() -> pd.DataFrame:
    return made_panel(4000, seed=2)


@pytest.fixture(scope="module")
def fitted(panel: pd.DataFrame) -> dict[str, tp.ChurnModel]:
    return {kind: fresh(kind).fit(indicators(panel)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_the_chance_of_customers_it_has_not_seen(fitted, other, kind):
    chance = fitted[kind].predict_probability(indicators(other))
    assert chance.index.equals(other.index)
    assert chance.between(0, 1).all()
    best = roc_auc_score(other["buys"], other["odds"])
    assert best - 0.02 < roc_auc_score(other["buys"], chance) <= best + 0.005
    # Most of what can be known of the outcome is known: the loss of the truth is the least.
    least = log_loss(other["buys"], expit(other["odds"]))
    blind = log_loss(other["buys"], np.full(len(other), other["buys"].mean()))
    assert log_loss(other["buys"], chance) - least < 0.15 * (blind - least)


def test_the_stack_is_calibrated_on_new_customers(fitted, other):
    slope = calibration_slope(other["buys"], fitted["stack"].predict_probability(other))
    assert 0.9 < slope.slope < 1.1
    assert abs(slope.intercept) < 0.12


def test_a_column_that_says_nothing_gets_no_say():
    noise = made_panel(2000, seed=3)
    noise["buys"] = np.random.default_rng(4).random(len(noise)) < 0.3
    model = fresh("stack").fit(indicators(noise))
    chance = model.predict_probability(noise)
    assert chance.between(0.2, 0.4).mean() > 0.95
    assert chance.mean() == pytest.approx(noise["buys"].mean(), abs=0.02)


# --- the stack ----------------------------------------------------------------------------------


def test_weights_are_those_of_a_logistic_regression_where_none_is_negative():
    import statsmodels.api as sm

    generator = np.random.default_rng(5)
    odds = {"a": generator.normal(size=3000), "b": generator.normal(size=3000)}
    happened = generator.random(3000) < expit(0.7 * odds["a"] + 0.4 * odds["b"] - 0.5)
    found = stack_weights(odds, happened)
    design = np.column_stack([odds["a"], odds["b"], np.ones(3000)])
    expected = sm.Logit(happened.astype(float), design).fit(disp=0).params
    assert found["weight"].to_numpy() == pytest.approx(expected, abs=1e-5)
    assert found["auc"].iloc[:2].tolist() == pytest.approx(
        [roc_auc_score(happened, one) for one in odds.values()]
    )
    assert found["log_loss"].iloc[0] == pytest.approx(log_loss(happened, expit(odds["a"])))


def test_a_member_that_misleads_has_no_weight():
    generator = np.random.default_rng(6)
    good = generator.normal(size=2000)
    happened = generator.random(2000) < expit(good)
    bad = generator.normal(-good)
    weights = stack_weights({"good": good, "bad": bad}, happened)["weight"]
    assert weights["bad"] == 0
    assert weights["good"] == pytest.approx(1, abs=0.15)


def test_folds_keep_a_customer_together_and_share_the_outcome():
    customers = np.repeat(np.arange(1000), 3)
    happened = np.random.default_rng(9).random(3000) < 0.3
    folds = customer_folds(customers, happened, 5, seed=0)
    assert (folds.reshape(1000, 3) == folds[::3, None]).all()
    assert np.bincount(folds).tolist() == [600] * 5
    found = np.bincount(folds, weights=happened)
    assert found.max() - found.min() <= 3
    assert (customer_folds(customers, happened, 5, seed=1) != folds).any()


def test_members_are_judged_on_customers_they_have_not_seen(fitted, panel):
    table = fitted["stack"].summary()
    assert table.index.tolist() == [
        "logit",
        "boosting",
        "ModifiedBetaGeoModel",
        "ParetoNBDModel",
        "intercept",
    ]
    assert (table["weight"].iloc[:-1] >= 0).all()
    seen = roc_auc_score(panel["buys"], fitted["boosting"].predict_probability(panel))
    assert table.loc["boosting", "auc"] < seen - 0.01


# --- what it may know ---------------------------------------------------------------------------


class Watched(tp.ChurnModel):
    """Knows which customers each fit and each prediction was given."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.seen = []

    def fit(self, panel, outcome="buys"):
        self.learnt = set(panel.index.get_level_values(0))
        return super().fit(panel, outcome)

    def predict_probability(self, frame):
        self.seen.append((self.learnt, set(frame.index.get_level_values(0)), len(frame)))
        return super().predict_probability(frame)


def test_every_row_is_scored_once_by_a_model_that_has_not_seen_its_customer():
    panel = indicators(made_panel(300, seed=7, cutoffs=2))
    model = Watched("boosting", lifetime=[])
    chance = model.cross_predict(panel, folds=3)
    assert len(model.seen) == 3
    assert sum(n for _, _, n in model.seen) == len(panel)
    for learnt, scored, _ in model.seen:
        assert not learnt & scored
        assert len(learnt | scored) == 300
    # What they learn matters: other outcomes, other chances.
    other = panel.assign(buys=~panel["buys"])
    assert (tp.ChurnModel("boosting", lifetime=[]).cross_predict(other, folds=3) != chance).any()


def test_crossing_leaves_the_model_as_it_was(panel, fitted):
    before = fitted["logit"].predict_probability(panel)
    small = indicators(panel).iloc[:400]
    fitted["logit"].cross_predict(small, folds=2)
    assert fitted["logit"].predict_probability(panel).equals(before)


def test_a_lifetime_model_knows_no_later_cutoff():
    panel = indicators(made_panel(400, seed=8, cutoffs=2))
    models = {"MBG": tp.ModifiedBetaGeoModel()}
    columns, last = fit_lifetime(models, panel, 90.0)
    first = cutoff_codes(panel) == 0
    alone, _ = fit_lifetime(models, panel[first], 90.0)
    assert columns[first].equals(alone)
    refit = tp.ModifiedBetaGeoModel().fit(panel[~first])
    assert last["MBG"].params_.equals(refit.params_)
    assert columns.loc[~first, "MBG buys"].to_numpy() == pytest.approx(
        refit.probability_of_purchase(panel[~first], 90.0).to_numpy()
    )


def test_cutoffs_need_no_name_and_customers_no_order():
    panel = indicators(made_panel(400, seed=8, cutoffs=2))
    model = tp.ChurnModel("boosting", lifetime=[tp.ModifiedBetaGeoModel()])
    chance = model.cross_predict(panel, folds=3)
    last = model.fit(panel).lifetime_["ModifiedBetaGeoModel"].n_customers_
    for names, levels in (([None, None], None), (["cutoff", "customer_id"], [1, 0])):
        other = panel if levels is None else panel.reorder_levels(levels)
        other = other.set_axis(other.index.set_names(names))
        other.attrs = panel.attrs
        assert model.fit(other).lifetime_["ModifiedBetaGeoModel"].n_customers_ == last == 400
        assert model.n_customers_ == 400
    mixed = panel.sample(frac=1, random_state=1)
    mixed.attrs = panel.attrs
    again = model.cross_predict(mixed, folds=3).reindex(chance.index)
    # Sums of rows in another order: where two splits are equally good, trees may take the other.
    assert np.isclose(again, chance, rtol=0, atol=1e-9).mean() > 0.99
    assert again.to_numpy() == pytest.approx(chance.to_numpy(), abs=0.02)


def test_levels_of_the_fit_are_those_of_the_frame(panel, other):
    model = fresh("logit").fit(with_attrs(indicators(panel), levels={"category": ["a", "b"]}))
    same = with_attrs(other, levels={"category": ["b", "a"]})
    assert model.predict_probability(same).equals(model.predict_probability(other))
    with pytest.raises(tp.InputError, match=r"levels= those of the panel"):
        model.predict_probability(with_attrs(other, levels={"category": ["a", "b", "c"]}))


def test_a_loaded_model_fits_again_as_the_first(panel, tmp_path):
    rows = indicators(panel)
    # As of equal gaps.
    gap = rows["recency"].where(rows["frequency"] > 0, 1) / rows["frequency"].clip(lower=1)
    rows["log_gaps"] = rows["frequency"] * np.log(gap)
    model = tp.ChurnModel("boosting", lifetime=[tp.ModifiedBetaGeoModel(regularity=2)]).fit(rows)
    model.save(tmp_path / "model.json")
    again = tp.ChurnModel.load(tmp_path / "model.json").fit(rows)
    assert again.predict_probability(rows).equals(model.predict_probability(rows))


def test_a_failed_fit_leaves_the_model_as_it_was(panel):
    model = fresh("logit").fit(indicators(panel))
    before = model.predict_probability(panel)
    with pytest.raises(tp.InputError):
        model.fit(indicators(panel).assign(buys=True))
    assert model.predict_probability(panel).equals(before)


def test_the_same_seed_gives_the_same_model(panel, fitted):
    again = fresh("stack").fit(indicators(panel))
    assert again.predict_probability(panel).equals(fitted["stack"].predict_probability(panel))
    assert repr(again) == "ChurnModel('stack', 6 columns, horizon=90 days, n_customers=3,000)"
    assert repr(tp.ChurnModel()) == "ChurnModel('stack')"


def test_summaries_are_read(fitted):
    assert "step" in fitted["logit"].summary().index
    splits = fitted["boosting"].summary()
    assert set(splits.index[:2]) == {"bend", "step"}
    assert splits["share"].sum() == pytest.approx(1)
    assert len(splits) == 6 + 2 * 3


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_keeps_all_of_it(fitted, other, kind, tmp_path):
    path = tmp_path / "model.json"
    fitted[kind].save(path)
    loaded = tp.ChurnModel.load(path)
    assert loaded.predict_probability(other).equals(fitted[kind].predict_probability(other))
    pd.testing.assert_frame_equal(loaded.summary(), fitted[kind].summary())
    assert repr(loaded) == repr(fitted[kind])
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == path.read_text()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"format": "touchpoint_lib model"},
            "holds a touchpoint_lib model; read it with load_model",
        ),
        ({"version": 2}, "format version 2"),
        ({"kind": "forest"}, "kind is 'forest'"),
        ({"logit": None}, "damaged"),
        ({"trees": {}}, "damaged"),
        ({"columns": ["bend"]}, "trees of 12 columns"),
        ({"members": {}}, "they must be 'logit', 'boosting'"),
        ({"horizon": -1}, "horizon is -1"),
        ({"lifetime": {"MBG": {"model": "os.system"}}}, "holds a 'os.system'"),
    ],
)
def test_other_files_are_refused(fitted, tmp_path, change, says):
    path = tmp_path / "model.json"
    fitted["stack"].save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(tp.InputError, match=says):
        tp.ChurnModel.load(path)


def test_a_lifetime_loader_names_the_other_kind_of_file(fitted, tmp_path):
    fitted["logit"].save(tmp_path / "model.json")
    with pytest.raises(
        tp.InputError, match=r"holds a touchpoint_lib churn model; read it with ChurnModel\.load"
    ):
        tp.load_model(tmp_path / "model.json")


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "forest"}, "kind is 'forest'"),
        ({"columns": "silence"}, r"pass a list: \['silence'\]"),
        ({"kind": "boosting", "columns": ["T"]}, "trees take all columns"),
        ({"kind": "logit", "lifetime": []}, "use kind"),
        ({"lifetime": [tp.GammaGammaModel()]}, "pass models of purchases"),
        ({"folds": 1}, "folds is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**40}, "it must be <= 4294967295"),
        ({"columns": 5, "kind": "logit"}, r"pass a list: \[5\]"),
        ({"lifetime": {"logit": tp.ParetoNBDModel()}}, "a member of the stack is: rename"),
    ],
)
def test_bad_options(options, says):
    with pytest.raises(tp.InputError, match=says):
        tp.ChurnModel(**options)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p.assign(buys=1), "1 for 3,000 customers and 0 for 0"),
        (lambda p: p.assign(buys=0.5), "every value must be 0 or 1"),
        (lambda p: p.assign(city="x"), "column 'city' of panel holds str"),
        (lambda p: p.assign(bend=np.inf), "'bend' of panel is inf at index"),
        (lambda p: p.drop(columns="buys"), "no column 'buys'"),
        (lambda p: p[["buys"]], "0 indicators"),
        (lambda p: p.iloc[:0], "0 rows"),
        (lambda p: p.drop(columns="T"), "no column 'T'"),
        (lambda p: p.drop(columns="bend"), "'bend'"),
        (lambda p: pd.concat([p, p[["bend"]]], axis=1), "several columns 'bend'"),
        (lambda p: p.to_dict(), "must be a pandas DataFrame"),
        (lambda p: pd.concat([p, p]), "'c00000' has several rows at one cutoff"),
        (lambda p: p.set_index("step", append=True), "index of panel has 3 levels"),
        (lambda p: with_attrs(p, unit="W"), "counts in 'W'"),
        (lambda p: with_attrs(p, horizon=-5), "horizon is -5"),
        (lambda p: with_attrs(p, horizon="180"), "horizon is '180'"),
    ],
)
def test_bad_panels(panel, change, says):
    with pytest.raises(tp.InputError, match=says):
        fresh("stack").fit(change(indicators(panel)))


def test_a_lifetime_model_needs_the_horizon(panel):
    frame = indicators(panel)
    frame.attrs = {"unit": "D"}
    with pytest.raises(tp.InputError, match="no horizon"):
        fresh("stack").fit(frame)
    assert fresh("stack", lifetime=[]).fit(frame.iloc[:600]).horizon_ is None


def test_a_frame_to_predict_has_the_columns_and_the_horizon(fitted, other):
    with pytest.raises(tp.InputError, match="no column 'step'"):
        fitted["boosting"].predict_probability(other.drop(columns="step"))
    wrong = other.copy()
    wrong.attrs["horizon"] = 30.0
    with pytest.raises(tp.InputError, match=r"horizon of 30\.0 days"):
        fitted["boosting"].predict_probability(wrong)
    with pytest.raises(tp.InputError, match="not fitted"):
        tp.ChurnModel().predict_probability(other)
    # Columns in another order, and more of them, are no matter.
    assert (
        fitted["stack"]
        .predict_probability(other[sorted(other.columns)].assign(more="x"))
        .equals(fitted["stack"].predict_probability(other))
    )
