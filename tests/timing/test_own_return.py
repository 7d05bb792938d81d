from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from tests.timing.timing_oracle import (
    START,
    Frequencies,
    first_low_day,
    mbg_log,
    mbg_own_return,
    random_log,
    spells_from_gaps,
)
from touchpoint_lib.timing.own_return import (
    first_low_day as package_first_low_day,
)
from touchpoint_lib.timing.own_return import (
    fitted,
    last_day,
    own_return,
    own_return_by_day,
    parts_of,
)

PARAMS = (0.53, 28.0, 0.9, 1.6)
MODELS = {
    "MBG": tp.ModifiedBetaGeoModel.from_params(PARAMS, "D"),
    "BG": tp.BetaGeoModel.from_params((0.35, 31.0, 0.8, 2.4), "D"),
    "Pareto": tp.ParetoNBDModel.from_params((0.55, 70.0, 0.6, 80.0), "D"),
    "MBG-3": tp.ModifiedBetaGeoModel.from_params((2.5, 30.0, 0.9, 4.0), "D", regularity=3),
    "BG-2": tp.BetaGeoModel.from_params((2.5, 40.0, 0.9, 4.0), "D", regularity=2),
}


@pytest.fixture(scope="module")
def spells() -> pd.DataFrame:
    return tp.purchase_spells(random_log(5, 120))


@pytest.fixture(scope="module")
def frequency(spells) -> tp.OwnReturnFrequency:
    return tp.OwnReturnFrequency().fit(spells)


def some_customers(seed: int, n: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    bought = rng.choice([0, 0, 1, 2, 3, 7, 15], n).astype(float)
    return pd.DataFrame(
        {"frequency": bought, "recency": bought * np.ceil(rng.gamma(2, 15, n))},
        index=[f"c{i}" for i in range(n)],
    )


# --- frequencies -----------------------------------------------------------------------------


def test_without_shrinkage_it_is_the_plain_frequency():
    """Everybody was seen for 700 days or more, so that no window is cut off."""
    log = random_log(6, 150, days=300)
    spells = tp.purchase_spells(log, until=START + pd.Timedelta(days=1100))
    found = tp.OwnReturnFrequency(shrinkage=0).fit(spells)
    assert found.last_ >= 700
    classes = {}
    plain = Frequencies(spells, 0)
    for row in spells.itertuples():
        classes.setdefault(plain.of(row.frequency, row.recency), []).append(row)
    assert len(classes) == 10
    compared = 0
    for rows in classes.values():
        one = pd.DataFrame([rows[0]._asdict()])
        for silence, horizon in ((0, 30), (7, 14), (20, 90), (45, 200)):
            at_risk = [row.gap for row in rows if row.gap > silence]
            came = sum(gap <= silence + horizon for gap in at_risk)
            got = found.own_return_probability(one, silence, horizon)
            assert got.iloc[0] == pytest.approx(came / len(at_risk), abs=1e-12)
            compared += len(at_risk)
    assert compared > 1000


@pytest.mark.parametrize("shrinkage", [0.0, 3.5, 20.0])
def test_curves_are_shrunken_hazards(spells, shrinkage):
    found = tp.OwnReturnFrequency(shrinkage).fit(spells)
    plain = Frequencies(spells, shrinkage)
    assert found.last_ == plain.last
    asked = spells.drop_duplicates(["frequency", "recency"]).iloc[::7]
    for silence, horizon in ((0, 10), (3, 40), (15, 90)):
        got = found.own_return_probability(asked, silence, horizon)
        assert got.index.equals(asked.index)
        expected = [
            plain.own_return(row.frequency, row.recency, silence, horizon)
            for row in asked.itertuples()
        ]
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_last_is_how_long_twenty_spells_were_seen(spells, frequency):
    seen = sorted(np.minimum(spells["gap"], spells["observed"]), reverse=True)
    assert frequency.last_ == seen[19]


def test_shrinkage_leads_from_the_class_to_everybody(spells):
    asked = spells[spells["frequency"] >= 4].iloc[:1]
    plain = Frequencies(spells, 0)
    own = plain.own_return(asked["frequency"].iloc[0], asked["recency"].iloc[0], 10, 60)
    everybody = 1.0
    for time, hazard in plain.hazards[()].items():
        everybody *= 1 - hazard if 10 < time <= 70 else 1
    values = [
        tp.OwnReturnFrequency(m).fit(spells).own_return_probability(asked, 10, 60).iloc[0]
        for m in (0, 5, 50, 500, 1e9)
    ]
    assert values[0] == pytest.approx(own)
    assert values[-1] == pytest.approx(1 - everybody, abs=1e-5)
    assert len(set(np.sign(np.diff(values)))) == 1


def test_classes_are_listed(spells, frequency):
    classes = frequency.classes_
    assert classes.columns.tolist() == ["purchases", "cycle", "n", "n_ended"]
    plain = Frequencies(spells, 20)
    for row in classes.itertuples():
        mine = [case for case in plain.cases if case[0] == row.purchases]
        if not pd.isna(row.cycle):
            mine = [case for case in mine if case[1] == row.cycle]
        assert (row.n, row.n_ended) == (len(mine), sum(case[3] for case in mine))
    wide = classes[classes["cycle"].isna()]
    assert wide["purchases"].tolist() == ["1", "2", "3-4", "5+"]
    assert wide["n"].sum() == len(spells)
    # The first purchase has no cycle, so that its class is not parted.
    assert (classes["purchases"] == "1").sum() == 2


def test_a_class_never_seen_is_like_everybody():
    gaps = [[3.0 + i % 9] * (i % 2) for i in range(40)]
    spells = spells_from_gaps(gaps, [50.0] * 40)
    assert spells["frequency"].max() == 1
    found = tp.OwnReturnFrequency(0).fit(spells)
    many = pd.DataFrame({"frequency": [9.0], "recency": [90.0]})
    for silence in (0, 4, 8):
        risk = spells["gap"] > silence
        came = risk & (spells["gap"] <= silence + 5)
        # No spell is cut off before the last day that is asked for.
        assert found.own_return_probability(many, silence, 5).iloc[0] == pytest.approx(
            came.sum() / risk.sum()
        )


def test_frequencies_refuse_what_they_cannot_know(spells, frequency):
    asked = spells.iloc[:3]
    with pytest.raises(tp.InputError, match=r"has no curves; call fit\(spells\)"):
        tp.OwnReturnFrequency().own_return_probability(asked, 10, 10)
    with pytest.raises(tp.InputError, match=f"the curves end at {frequency.last_:g}"):
        frequency.own_return_probability(asked, frequency.last_, 1)
    with pytest.raises(tp.InputError, match="shrinkage is -1; it must be >= 0"):
        tp.OwnReturnFrequency(-1)
    with pytest.raises(tp.InputError, match="no column 'gap'"):
        tp.OwnReturnFrequency().fit(asked.drop(columns="gap"))
    with pytest.raises(tp.InputError, match="at least 20"):
        tp.OwnReturnFrequency().fit(spells_from_gaps([[3.0]] * 9, [9.0] * 9))
    with pytest.raises(tp.InputError, match="observe longer"):
        tp.OwnReturnFrequency().fit(spells_from_gaps([[]] * 30, [9.0] * 30))
    for silence in (-1, math.nan, [1.0, 2.0]):
        with pytest.raises(tp.InputError, match="silence"):
            frequency.own_return_probability(asked, silence, 10)
    for horizon in (-1, math.nan, "5"):
        with pytest.raises(tp.InputError, match="horizon"):
            frequency.own_return_probability(asked, 10, horizon)


@pytest.mark.parametrize("name", ["frequency", "recency"])
def test_frequencies_name_a_missing_column(spells, frequency, name):
    with pytest.raises(tp.InputError, match=f"no column '{name}'"):
        frequency.own_return_probability(spells.drop(columns=name), 10, 10)


def test_the_known_shares_do_not_depend_on_who_else_is_asked(spells, frequency):
    whole = frequency.own_return_probability(spells, 10, 60)
    part = frequency.own_return_probability(spells.iloc[40:50], 10, 60)
    np.testing.assert_array_equal(whole.iloc[40:50], part)


# --- own return of any source ------------------------------------------------------------------


def test_mbg_is_the_closed_form():
    customers = some_customers(1, 60)
    silence = np.random.default_rng(2).integers(0, 300, 60).astype(float)
    for horizon in (0.0, 30.0, 90.0):
        got = own_return(MODELS["MBG"], customers, silence, horizon)
        expected = [
            mbg_own_return(PARAMS, row.frequency, row.recency, after, horizon)
            for row, after in zip(customers.itertuples(), silence, strict=True)
        ]
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize(
    ("kind", "params", "keep"),
    [
        (tp.ModifiedBetaGeoModel, (0.53, 28.0, 0.9, 1.6), {}),
        (tp.BetaGeoModel, (0.35, 31.5, 0.8, 2.4), {}),
        (tp.ModifiedBetaGeoModel, (2.5, 28.0, 0.9, 4.0), {"regularity": 3}),
    ],
)
def test_days_and_weeks_agree(kind, params, keep):
    r, alpha, a, b = params
    days = kind.from_params(params, "D", **keep)
    weeks = kind.from_params((r, alpha / 7, a, b), "W", **keep)
    customers = some_customers(3, 80)
    silence = np.random.default_rng(4).integers(0, 300, 80).astype(float)
    one = own_return(days, customers, silence, 60)
    np.testing.assert_allclose(own_return(weeks, customers, silence, 60), one, rtol=1e-9)
    line = np.full(80, 0.2345)
    first = [package_first_low_day(m, customers, 60, line, 0.02, 200) for m in (days, weeks)]
    np.testing.assert_array_equal(*first)


def test_pareto_in_days_and_weeks_agrees():
    days = tp.ParetoNBDModel.from_params((0.55, 70.0, 0.6, 84.0), "D")
    weeks = tp.ParetoNBDModel.from_params((0.55, 10.0, 0.6, 12.0), "W")
    customers = some_customers(5, 60)
    for silence in (0, 10, 100):
        np.testing.assert_allclose(
            own_return(weeks, customers, silence, 60),
            own_return(days, customers, silence, 60),
            rtol=1e-8,
        )


def test_several_sources_give_their_mean(spells, frequency):
    asked = spells.iloc[:50]
    parts = [MODELS["MBG"], frequency, MODELS["Pareto"]]
    single = [own_return(part, asked, 20, 60) for part in parts]
    assert np.std(single, axis=0).min() > 0
    np.testing.assert_allclose(own_return(parts, asked, 20, 60), np.mean(single, axis=0))
    np.testing.assert_array_equal(own_return(parts[:1], asked, 20, 60), single[0])
    np.testing.assert_array_equal(
        own_return(tuple(parts), asked, 20, 60), own_return(parts, asked, 20, 60)
    )


@pytest.mark.parametrize("names", [["MBG"], ["frequency"], ["MBG-3", "frequency"]])
def test_by_day_is_day_by_day(spells, frequency, names):
    source = [frequency if name == "frequency" else MODELS[name] for name in names]
    asked, days = spells.iloc[:30], np.array([1.0, 5.0, 60.0])
    table = own_return_by_day(source, asked, days, 45)
    assert table.shape == (30, 3)
    for column, day in zip(table.T, days, strict=True):
        np.testing.assert_allclose(column, own_return(source, asked, day, 45), rtol=1e-12)


def test_own_returns_are_those_of_frames_with_other_attributes(spells):
    weekly = spells.copy()
    weekly.attrs = {"unit": "W"}
    for name in ("MBG", "Pareto"):
        np.testing.assert_array_equal(
            own_return(MODELS[name], weekly, 10, 60), own_return(MODELS[name], spells, 10, 60)
        )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], ["source is empty"]),
        ("MBG", ["source is a str"]),
        (tp.BetaGeoBetaBinomModel(), ["source is a BetaGeoBetaBinomModel"]),
        (tp.GammaGammaModel(), ["source is a GammaGammaModel"]),
        ([MODELS["MBG"], 3], ["source is a int"]),
        (tp.ModifiedBetaGeoModel(), ["no parameters", "fit"]),
        (tp.ModifiedBetaGeoModel.from_params(PARAMS), ["unit", "unknown"]),
        (tp.OwnReturnFrequency(), ["no curves"]),
        (tp.ModifiedBetaGeoModel, ["source is a"]),
    ],
)
def test_other_sources_are_refused(source, words):
    with pytest.raises(tp.InputError) as caught:
        own_return(source, some_customers(1, 5), 10, 60)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("change", "silence", "horizon", "words"),
    [
        ({"frequency": -1.0}, 10, 60, ["frequency"]),
        ({"recency": np.nan}, 10, 60, ["recency"]),
        ({"recency": np.inf}, 10, 60, ["recency"]),
        ({}, -1, 60, ["silence is -1"]),
        ({}, [1.0, 2.0], 60, ["silence has shape (2,) for 5 customers"]),
        ({}, 10, -1, ["horizon is -1"]),
        ({}, 10, np.inf, ["horizon is inf"]),
    ],
)
def test_bad_values_are_refused(change, silence, horizon, words):
    customers = some_customers(1, 5).assign(**change)
    with pytest.raises(tp.InputError) as caught:
        own_return(MODELS["MBG"], customers, silence, horizon)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_frame_without_the_columns_is_refused():
    with pytest.raises(tp.InputError, match="no column 'recency'"):
        own_return(MODELS["MBG"], pd.DataFrame({"frequency": [1.0]}), 10, 60)


# --- the first low day -------------------------------------------------------------------------

SOURCES = ["MBG", "BG", "Pareto", "MBG-3", "BG-2", "frequency", "MBG+frequency", "MBG-3+Pareto"]


def source_of(name, frequency):
    parts = [frequency if part == "frequency" else MODELS[part] for part in name.split("+")]
    return parts if len(parts) > 1 else parts[0]


def curves_of(source, customers, horizon, last):
    """Own returns of each customer after 1, 2 ... days, each asked for on its own."""
    days = np.arange(1.0, last + 1)
    found = []
    for at in range(len(customers)):
        each = customers.iloc[np.full(last, at)]
        found.append(own_return(source, each, days, horizon).tolist())
    return found


@pytest.mark.parametrize("rise", [0.0, 0.08])
@pytest.mark.parametrize("name", SOURCES)
def test_the_first_low_day_is_the_first_of_all_days(frequency, name, rise):
    source, horizon, latest = source_of(name, frequency), 60, 150
    customers = some_customers(7, 40)
    curves = curves_of(source, customers, horizon, latest)
    seen = set()
    for level in (0.0312, 0.1234, 0.2345, 0.5123, 0.9612):
        line = np.full(40, level)
        got = package_first_low_day(source, customers, horizon, line, rise, latest)
        expected = [first_low_day(curve, level, rise) for curve in curves]
        np.testing.assert_array_equal(got, expected, err_msg=f"{name} at {level}")
        seen |= set(got)
    assert min(seen) == 1
    assert len(seen) > 8


def test_each_row_has_its_own_line(frequency):
    customers = some_customers(8, 60)
    line = np.random.default_rng(9).choice([0.1, 0.2, 0.31], 60)
    for source in (MODELS["MBG"], MODELS["MBG-3"], frequency):
        together = package_first_low_day(source, customers, 60, line, 0.0, 120)
        for level in np.unique(line):
            mine = line == level
            alone = package_first_low_day(source, customers[mine], 60, line[mine], 0.0, 120)
            np.testing.assert_array_equal(together[mine], alone)


@pytest.mark.parametrize("name", ["MBG", "MBG-3", "frequency", "MBG+frequency"])
def test_equal_rows_share_their_day(frequency, name):
    source = source_of(name, frequency)
    customers = some_customers(10, 30)
    often = customers.iloc[np.random.default_rng(11).integers(0, 30, 400)]
    one = package_first_low_day(source, customers, 60, np.full(30, 0.21), 0.05, 200)
    many = package_first_low_day(source, often, 60, np.full(400, 0.21), 0.05, 200)
    place = customers.index.get_indexer(often.index)
    np.testing.assert_array_equal(many, one[place])


@pytest.mark.parametrize("latest", [1, 2, 3, 4, 7, 8, 9, 63, 64, 65, 127, 128])
def test_halving_finds_every_day_up_to_the_latest(latest):
    """Lines at which each day in turn is the first, and one that is never reached."""
    one = pd.DataFrame({"frequency": [2.0], "recency": [40.0]})
    days = np.arange(1.0, latest + 1)
    q = own_return(MODELS["MBG"], one.iloc[np.zeros(latest, dtype=int)], days, 60)
    # A line a hair above the own return of a day, and one under the last.
    lines = np.append(q + 1e-12, q[-1] - 1e-6)
    each = one.iloc[np.zeros(latest + 1, dtype=int)]
    got = package_first_low_day(MODELS["MBG"], each, 60, lines, 0.0, latest)
    np.testing.assert_array_equal(got, [*days, math.inf])


def test_days_behind_the_curves_are_not_looked_at(frequency):
    customers = some_customers(12, 20)
    horizon = 60
    known = int(frequency.last_ - horizon)
    assert last_day([frequency, MODELS["MBG"]], horizon, 10_000) == known
    assert last_day([frequency], horizon, 30) == 30
    assert last_day([MODELS["MBG"]], horizon, 10_000) == 10_000
    curves = curves_of(frequency, customers, horizon, known)
    got = package_first_low_day(frequency, customers, horizon, np.full(20, 0.05), 0.0, 10_000)
    np.testing.assert_array_equal(got, [first_low_day(curve, 0.05) for curve in curves])
    with pytest.raises(tp.InputError, match="pass a longer log, a shorter horizon, or a model"):
        last_day([frequency], frequency.last_, 100)


def test_regular_customers_are_not_contacted_before_they_are_due():
    """Fifteen gaps of 60 days: own return within 20 days rises until the next is due."""
    model = tp.ModifiedBetaGeoModel.from_params((8.0, 120.0, 0.5, 8.0), "D", regularity=3)
    regular = pd.DataFrame({"frequency": [15.0], "recency": [900.0]})
    days = np.arange(1.0, 301)
    q = own_return(model, regular.iloc[np.zeros(300, dtype=int)], days, 20)
    peak = int(q.argmax()) + 1
    line = 0.2
    assert q[0] < line < q.max()
    assert peak > 20
    (day,) = package_first_low_day(model, regular, 20, np.array([line]), 0.0, 300)
    assert peak < day < math.inf
    assert q[int(day) - 1] <= line < q[int(day) - 2]
    # Who buys by chance has no such peak.
    chance = tp.ModifiedBetaGeoModel.from_params((8.0, 120.0, 0.5, 8.0), "D")
    after = own_return(chance, regular.iloc[np.zeros(300, dtype=int)], days, 20)
    assert after.argmax() == 0


def test_a_line_above_all_own_returns_is_reached_on_the_first_day():
    for name in ("MBG", "MBG-3"):
        got = package_first_low_day(
            MODELS[name], some_customers(1, 20), 60, np.full(20, 0.9999), 0.0, 50
        )
        assert got.tolist() == [1.0] * 20


# --- fitting -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bought() -> pd.DataFrame:
    return tp.purchase_spells(mbg_log(PARAMS, 1500, 500, 15, arrive=200), amount=None)


def test_sources_that_are_fitted_stay_and_others_are_fitted_as_copies(bought):
    bare, known = tp.ModifiedBetaGeoModel(regularity=2), MODELS["Pareto"]
    plain = tp.OwnReturnFrequency(7.0)
    ready = fitted([bare, known, plain], bought)
    assert isinstance(ready, list)
    assert ready[1] is known
    assert not hasattr(bare, "params_")
    assert not hasattr(plain, "last_")
    assert (ready[0].regularity, ready[0].regularity_, ready[0].unit_) == (2, 2, "D")
    assert ready[2].shrinkage == 7.0
    last = bought.groupby(level=0, sort=False).tail(1)
    customers = last.assign(T=last["recency"] + last["observed"])
    again = tp.ModifiedBetaGeoModel(regularity=2).fit(customers)
    np.testing.assert_allclose(ready[0].params_, again.params_, rtol=1e-9)
    assert fitted(known, bought) is known
    assert parts_of(known) == [known]


@pytest.mark.parametrize(
    "model", [tp.ModifiedBetaGeoModel(), tp.BetaGeoModel(), tp.ParetoNBDModel()]
)
def test_every_model_of_purchases_can_be_fitted(bought, model):
    ready = fitted(model, bought)
    assert type(ready) is type(model)
    assert not hasattr(model, "params_")
    q = own_return(ready, bought, 10, 60)
    assert ((q >= 0) & (q <= 1)).all()


def test_automatic_regularity_is_found():
    log = mbg_log((3.0, 30.0, 0.9, 4.0), 1500, 700, 14, arrive=200, regularity=3)
    spells = tp.purchase_spells(log, amount=None)
    ready = fitted(tp.ModifiedBetaGeoModel(regularity="auto"), spells)
    assert ready.regularity == "auto"
    assert ready.regularity_ == 3


@pytest.mark.parametrize("regularity", [1, 2])
def test_customers_who_differ_in_a_covariate_have_days_of_their_own(bought, regularity):
    spells = bought.assign(vip=(bought.index % 3 == 0).astype(float))
    last = spells.groupby(level=0).tail(1)
    customers = last.assign(T=last["recency"] + last["observed"])
    # Who is known as vip bought when others did; the model is told otherwise.
    customers.loc[customers["vip"] == 1, "frequency"] += customers["recency"] // 20
    customers.attrs["unit"] = "D"
    model = tp.ModifiedBetaGeoModel(regularity=regularity).fit(customers, rate_covariates="vip")
    some = spells.iloc[:60]
    line = np.full(60, 0.2345)
    got = package_first_low_day(model, some, 60, line, 0.0, 150)
    curves = curves_of(model, some, 60, 150)
    np.testing.assert_array_equal(got, [first_low_day(curve, 0.2345) for curve in curves])
    pairs = pd.DataFrame({"x": some["frequency"], "t": some["recency"], "day": got})
    # Equal histories, different days.
    assert pairs.groupby(["x", "t"])["day"].nunique().max() == 2
    assert fitted(model, bought) is model


def test_a_fit_that_fails_leaves_the_earlier_one(spells):
    frequency = tp.OwnReturnFrequency().fit(spells)
    before = frequency.own_return_probability(spells, 10, 30)
    with pytest.raises(tp.InputError):
        frequency.fit(spells.loc[spells.index[:1]])
    pd.testing.assert_series_equal(frequency.own_return_probability(spells, 10, 30), before)


def test_within_no_time_nobody_returns(spells, frequency):
    found = frequency.own_return_probability(spells, 10, 0).to_numpy()
    assert (found == 0).all()
    assert not np.signbit(found).any()
