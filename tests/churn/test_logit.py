"""The logistic regression with splines: against statsmodels, simulated truths and bad input."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import chi2, mannwhitneyu, norm

import touchpoint_lib as tp
from tests.churn.test_splines import textbook
from touchpoint_lib._checks import FloatArray, InputError
from touchpoint_lib.churn._columns import DEFAULT_COLUMNS
from touchpoint_lib.churn._logit import SplineLogit
from touchpoint_lib.churn.indicators import behaviour_indicators

NAN = float("nan")
COLUMNS = ["silence", "spend", "member", "gap", "gap_last"]


def shop(n: int, seed: int) -> tuple[pd.DataFrame, Any, FloatArray]:
    """Return indicators of n customers, who buys, and the true log-odds."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "silence": generator.gamma(4, 20, n),
            "spend": np.exp(3 + 1.5 * generator.normal(size=n)),
            "member": generator.random(n) < 0.3,
            "gap": generator.normal(30, 5, n),
            "gap_last": generator.normal(30, 9, n),
        },
        index=pd.Index(np.arange(n) + 1000, name="customer"),
    )
    once = generator.random(n) < 0.4
    truth = (
        -0.5
        - 1.5 * np.sin(frame["silence"] / 60)
        + 0.4 * np.log(frame["spend"])
        + 0.7 * frame["member"]
        - np.where(once, 0.8, 0.03 * (frame["gap"] - 30))
    ).to_numpy()
    frame.loc[once, ["gap", "gap_last"]] = NAN
    return frame, generator.random(n) < expit(truth), truth


@pytest.fixture(scope="module")
def data() -> tuple[pd.DataFrame, Any, FloatArray]:
    return shop(4000, seed=1)


@pytest.fixture(scope="module")
def model(data: tuple[pd.DataFrame, Any, FloatArray]) -> SplineLogit:
    return SplineLogit.fit(data[0], data[1], COLUMNS)


def by_hand(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the design of COLUMNS, built without the library."""

    def knots(x: FloatArray) -> tuple[float, ...]:
        return tuple(np.quantile(x, (0.05, 0.35, 0.65, 0.95), method="inverted_cdf").tolist())

    def median(x: FloatArray) -> float:
        return float(np.sort(x)[(len(x) + 1) // 2 - 1])

    parts: dict[str, FloatArray] = {"intercept": np.ones(len(frame))}
    for name in ("silence", "spend", "gap", "gap_last"):
        x = frame[name].to_numpy(copy=True)
        seen = x[~np.isnan(x)]
        middle = median(seen)
        if name == "spend":
            unit = np.median(seen)
            x, seen, middle = (np.log1p(value / unit) for value in (x, seen, middle))
        x[np.isnan(x)] = middle
        terms = textbook(x, knots(seen)) - textbook(np.array([middle]), knots(seen))
        for j in range(3):
            parts[name + "'" * j] = terms[:, j]
    parts["member"] = frame["member"].to_numpy(float)
    parts["missing(gap, gap_last)"] = frame["gap"].isna().to_numpy(float)
    return pd.DataFrame(parts)


def test_coefficients_are_those_of_statsmodels_on_a_design_by_hand(
    data: tuple[pd.DataFrame, Any, FloatArray], model: SplineLogit
) -> None:
    from statsmodels.discrete.discrete_model import Logit

    frame, buys, _ = data
    design = by_hand(frame)
    direct = Logit(buys.astype(float), design.to_numpy()).fit(
        disp=False, method="newton", tol=1e-12
    )
    table = model.coefficients(0.9)
    assert set(table.index) == set(design.columns)
    table = table.loc[design.columns]
    np.testing.assert_allclose(table["estimate"], direct.params, rtol=1e-6)
    np.testing.assert_allclose(table["standard_error"], direct.bse, rtol=1e-6)
    np.testing.assert_allclose(table["z"], direct.tvalues, rtol=1e-6)
    np.testing.assert_allclose(table["p_value"], direct.pvalues, rtol=1e-5, atol=1e-300)
    np.testing.assert_allclose(table[["lower", "upper"]], direct.conf_int(0.1), rtol=1e-6)
    assert model.log_likelihood == pytest.approx(direct.llf, rel=1e-12)
    np.testing.assert_allclose(
        model.log_odds(frame), design.to_numpy() @ direct.params, rtol=1e-6, atol=1e-9
    )
    assert (model.n_rows, model.n_events, model.n_clusters) == (4000, buys.sum(), None)
    assert model.left_out == {}


def test_the_summary_is_that_of_the_direct_fit(
    data: tuple[pd.DataFrame, Any, FloatArray], model: SplineLogit
) -> None:
    """Odds ratios and intervals as contrasts of the design by hand; the tests as Wald's."""
    from statsmodels.discrete.discrete_model import Logit

    frame, buys, _ = data
    design = by_hand(frame)
    direct = Logit(buys.astype(float), design.to_numpy()).fit(
        disp=False, method="newton", tol=1e-12
    )
    table = model.summary(0.9)
    assert list(table.index) == COLUMNS
    for name, row in table.iterrows():
        seen = frame[name].dropna()
        quartiles = np.quantile(seen.astype(float), (0.25, 0.75), method="inverted_cdf")
        assert [row["low"], row["high"]] == quartiles.tolist()
        rows = design.loc[
            [int(np.flatnonzero(frame[name] == value)[0]) for value in quartiles]
        ].to_numpy()
        own = [str(column).rstrip("'") == name for column in design.columns]
        contrast = np.where(own, rows[1] - rows[0], 0)
        found = direct.t_test(contrast)
        assert row["odds_ratio"] == pytest.approx(np.exp(found.effect[0]), rel=1e-6)
        np.testing.assert_allclose(
            [row["lower"], row["upper"]], np.exp(found.conf_int(0.1)[0]), rtol=1e-6
        )
        tested = np.eye(len(own))[
            [
                a or f"{name}" in c.split("(")[-1].rstrip(")").split(", ")
                for a, c in zip(own, design.columns, strict=True)
            ]
        ]
        wald = direct.wald_test(tested, scalar=True)
        assert row["chi_squared"] == pytest.approx(float(wald.statistic), rel=1e-5)
        assert row["df"] == len(tested)
        assert row["p_value"] == pytest.approx(chi2.sf(row["chi_squared"], row["df"]), rel=1e-9)
    assert table["df"].tolist() == [3, 3, 1, 4, 4]
    assert table.loc["member", ["low", "high", "knots"]].tolist() == [0, 1, ()]
    assert table["scale"].str.startswith("ln(").tolist() == [False, True, False, False, False]
    assert table.loc["gap", "missing"] == pytest.approx(frame["gap"].isna().mean())


def test_errors_by_customer_are_those_of_statsmodels(
    data: tuple[pd.DataFrame, Any, FloatArray],
) -> None:
    from statsmodels.discrete.discrete_model import Logit

    frame, buys, _ = data
    customers = np.random.default_rng(5).integers(0, 1500, len(frame))
    design = by_hand(frame)
    direct = Logit(buys.astype(float), design.to_numpy()).fit(
        disp=False, method="newton", tol=1e-12, cov_type="cluster", cov_kwds={"groups": customers}
    )
    named = np.array([f"customer {each}" for each in customers])
    model = SplineLogit.fit(frame, buys, COLUMNS, clusters=named)
    table = model.coefficients().loc[design.columns]
    np.testing.assert_allclose(table["estimate"], direct.params, rtol=1e-6)
    np.testing.assert_allclose(table["standard_error"], direct.bse, rtol=1e-6)
    assert model.n_clusters == len(np.unique(customers))


def test_customers_with_one_row_each_leave_the_errors_as_they_are(
    data: tuple[pd.DataFrame, Any, FloatArray], model: SplineLogit
) -> None:
    frame, buys, _ = data
    same = SplineLogit.fit(frame, buys, COLUMNS, clusters=frame.index)
    assert same.to_dict() == model.to_dict()


def test_the_simulated_curve_is_recovered() -> None:
    frame, buys, _ = shop(60_000, seed=2)
    model = SplineLogit.fit(frame, buys, COLUMNS)
    at = np.quantile(frame["silence"], np.linspace(0.02, 0.98, 40))
    curve = model.effect("silence", at, 0.999)
    middle = np.median(frame["silence"])
    truth = -1.5 * (np.sin(at / 60) - np.sin(middle / 60))
    miss = curve["log_odds"] - truth
    assert np.sqrt((miss**2).mean()) < 0.06
    assert np.abs(miss).max() < 0.15
    assert np.ptp(truth) > 1.2
    assert (curve["lower"] < curve["log_odds"]).all()
    member = model.coefficients(0.999).loc["member"]
    assert member["lower"] < 0.7 < member["upper"]
    # A customer whose gap is missing, against one with the median gap.
    missing = model.coefficients(0.999).loc["missing(gap, gap_last)"]
    assert missing["lower"] < -0.8 < missing["upper"]
    assert missing["standard_error"] < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("copies", [1, 3])
def test_intervals_cover_the_truth(copies: int) -> None:
    """95 % intervals in 400 simulations, also where each customer has three like rows."""
    inside, plain = [], []
    for seed in range(400):
        generator = np.random.default_rng(seed)
        x, z = generator.normal(size=800), generator.random(800) < 0.5
        buys = generator.random(800) < expit(-0.3 + 0.8 * x - 0.5 * z)
        frame = pd.DataFrame({"x": x, "z": z}).loc[np.repeat(np.arange(800), copies)]
        outcome = np.repeat(buys, copies)
        model = SplineLogit.fit(frame, outcome, ["x", "z"], clusters=frame.index)
        table = model.summary()
        truth = np.exp([0.8 * (table.loc["x", "high"] - table.loc["x", "low"]), -0.5])
        inside.append((table["lower"] < truth) & (truth < table["upper"]))
        if copies > 1:
            table = SplineLogit.fit(frame, outcome, ["x", "z"]).summary()
            plain.append((table["lower"] < truth) & (truth < table["upper"]))
    assert 0.93 <= np.mean(inside) <= 0.97
    if copies > 1:
        assert np.mean(plain) < 0.85


def test_the_curve_is_0_at_the_median_and_agrees_with_summary_and_log_odds(
    data: tuple[pd.DataFrame, Any, FloatArray], model: SplineLogit
) -> None:
    frame, _, _ = data
    table = model.summary()
    for name in ("silence", "spend", "gap"):
        row = table.loc[name]
        middle = float(frame[name].dropna().sort_values().iloc[(frame[name].count() + 1) // 2 - 1])
        curve = model.effect(name, [row["low"], middle, row["high"]])
        assert list(curve.columns) == ["value", "log_odds", "lower", "upper"]
        assert curve.loc[1].tolist() == [middle, 0, 0, 0]
        move = curve.loc[2, "log_odds"] - curve.loc[0, "log_odds"]
        assert np.exp(move) == pytest.approx(row["odds_ratio"], rel=1e-9)
        one = frame.dropna().head(1)
        pair = pd.concat([one.assign(**{name: curve.loc[at, "value"]}) for at in (0, 2)])
        assert np.diff(model.log_odds(pair))[0] == pytest.approx(move, rel=1e-9)


@pytest.mark.parametrize("factor", [1e-5, 1e5])
def test_the_unit_of_a_column_does_not_matter(
    factor: float, data: tuple[pd.DataFrame, Any, FloatArray], model: SplineLogit
) -> None:
    frame, buys, _ = data
    scaled = frame.assign(spend=frame["spend"] * factor, silence=frame["silence"] / factor)
    other = SplineLogit.fit(scaled, buys, COLUMNS)
    np.testing.assert_allclose(other.log_odds(scaled), model.log_odds(frame), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        other.summary()[["odds_ratio", "lower", "upper", "chi_squared"]],
        model.summary()[["odds_ratio", "lower", "upper", "chi_squared"]],
        rtol=1e-5,
    )


@pytest.mark.parametrize("repeated", [False, True])
def test_json_gives_the_same_model_back(
    repeated: bool, data: tuple[pd.DataFrame, Any, FloatArray]
) -> None:
    frame, buys, _ = data
    clusters = np.arange(len(frame)) // 2 if repeated else None
    model = SplineLogit.fit(frame, buys, COLUMNS, clusters=clusters)
    back = SplineLogit.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False)))
    np.testing.assert_array_equal(back.log_odds(frame), model.log_odds(frame))
    pd.testing.assert_frame_equal(back.summary(), model.summary(), check_exact=True)
    pd.testing.assert_frame_equal(back.coefficients(), model.coefficients(), check_exact=True)
    pd.testing.assert_frame_equal(
        back.effect("spend", [1.0, 50.0]), model.effect("spend", [1.0, 50.0]), check_exact=True
    )
    assert back.to_dict() == model.to_dict()
    assert back.n_clusters == (2000 if repeated else None)


DAMAGE: list[tuple[str, list[Any], Any]] = [
    ("no indicators", ["indicators"], []),
    ("another name", ["indicators", 0, "name"], "other"),
    ("a name twice", ["indicators", 4, "name"], "gap"),
    ("no name", ["indicators", 0, "name"], ""),
    ("knots fall", ["indicators", 0, "knots", 1], 1e9),
    ("a knot is missing", ["indicators", 0, "knots"], [1.0, 2.0, 3.0]),
    ("two knots", ["indicators", 0, "knots"], [1.0, 2.0]),
    ("a knot is text", ["indicators", 0, "knots", 0], "a"),
    ("a knot is NaN", ["indicators", 0, "knots", 0], NAN),
    ("the unit is negative", ["indicators", 1, "unit"], -1.0),
    ("the median is null", ["indicators", 0, "median"], None),
    ("low is high", ["indicators", 0, "low"], 1e9),
    ("all missing", ["indicators", 3, "missing"], 1.0),
    ("missing, but not listed", ["indicators", 0, "missing"], 0.5),
    ("listed, but not missing", ["absent"], [["gap", "gap_last", "silence"]]),
    ("absent is null", ["absent"], None),
    ("a coefficient less", ["estimates"], {"intercept": 1.0}),
    ("a coefficient is null", ["estimates", "silence"], None),
    ("a coefficient is NaN", ["estimates", "silence"], NAN),
    ("covariance is small", ["covariance"], [[1.0]]),
    ("covariance is crooked", ["covariance", 0, 1], 9.0),
    ("covariance is negative", ["covariance", 0, 0], -1.0),
    ("covariance is impossible", ["covariance", 0, 0], 1e-12),
    ("no rows", ["n_rows"], 0),
    ("events are rows", ["n_events"], 4000),
    ("events are text", ["n_events"], "many"),
    ("half a customer", ["n_clusters"], 0.5),
    ("the unit is next to nothing", ["indicators", 1, "unit"], 1e-320),
    ("the unit is no number", ["indicators", 1, "unit"], 10**400),
    ("a knot is no number", ["indicators", 0, "knots", 3], 10**400),
    ("a knot is far", ["indicators", 0, "knots", 3], 1e308),
    ("a knot of a logarithm is far", ["indicators", 1, "knots", 3], 800.0),
    ("the median is far", ["indicators", 0, "median"], 1e300),
    ("a coefficient is huge", ["estimates", "silence"], 1e308),
    ("a coefficient is no number", ["estimates", "silence"], 10**400),
    ("covariance is no number", ["covariance", 0, 0], 10**400),
    ("likelihood above 1", ["log_likelihood"], 3.0),
    ("left_out is null", ["left_out"], None),
    ("left_out is a number", ["left_out"], {"silence": 3}),
]


@pytest.mark.parametrize(
    ("path", "value"), [case[1:] for case in DAMAGE], ids=[c[0] for c in DAMAGE]
)
def test_damaged_content_is_refused(path: list[Any], value: Any, model: SplineLogit) -> None:
    content = copy.deepcopy(model.to_dict())
    place: Any = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(InputError, match=r"incomplete or damaged.*fit and save the model again"):
        SplineLogit.from_dict(content)


def test_content_without_a_part_is_refused(model: SplineLogit) -> None:
    for key in model.to_dict():
        content = {name: part for name, part in model.to_dict().items() if name != key}
        with pytest.raises(InputError, match=f"incomplete or damaged.*{key}"):
            SplineLogit.from_dict(content)
    for wrong in (None, [], "model", 3):
        with pytest.raises(InputError, match="incomplete or damaged"):
            SplineLogit.from_dict(wrong)


def small(n: int = 400) -> tuple[pd.DataFrame, Any]:
    """Return columns a, b, c, and an outcome that a drives."""
    generator = np.random.default_rng(8)
    frame = pd.DataFrame(generator.normal(size=(n, 3)), columns=list("abc"))
    return frame, generator.random(n) < expit(frame["a"].to_numpy())


def separated(kind: str) -> tuple[pd.DataFrame, Any]:
    frame, buys = small()
    if kind == "leak":
        frame["x"] = np.where(buys, 1 + frame["b"] ** 2, 0)
    elif kind == "whole":
        frame["x"] = buys + 0.1 * frame["b"] ** 2 / (1 + frame["b"] ** 2)
    elif kind == "rare":
        frame["x"] = 0.0
        frame.loc[np.flatnonzero(~buys)[:4], "x"] = 1.0
    else:
        frame["x"] = frame["c"] ** 3
        frame.loc[np.flatnonzero(~buys)[:4], "x"] = NAN
    return frame, buys


@pytest.mark.parametrize("kind", ["leak", "whole", "rare", "missing"])
def test_a_column_that_tells_the_outcomes_apart_is_named(kind: str) -> None:
    frame, buys = separated(kind)
    with pytest.raises(InputError, match=r"^'x' tells the outcomes apart.*leak.*rare value"):
        SplineLogit.fit(frame, buys, ["a", "b", "x"])


def test_one_row_on_the_other_side_is_enough_for_a_maximum() -> None:
    frame, buys = separated("rare")
    frame.loc[int(np.flatnonzero(buys)[0]), "x"] = 1.0
    table = SplineLogit.fit(frame, buys, ["a", "b", "x"]).coefficients()
    assert np.isfinite(table.to_numpy()).all()
    assert table.loc["x", "estimate"] < 0


def test_columns_that_tell_the_outcomes_apart_together_are_all_named() -> None:
    frame, _ = small()
    with pytest.raises(InputError, match=r"^'a' and 'b' tell the outcomes apart"):
        SplineLogit.fit(frame, frame["a"] + frame["b"] > 0, ["c", "a", "b"])


FITS: list[tuple[str, dict[str, Any], str]] = [
    ("no frame", {"frame": [1, 2]}, "indicators is a list; it must be a pandas DataFrame"),
    ("no rows", {"frame": small()[0][:0], "outcome": []}, "indicators has no rows"),
    ("text for columns", {"columns": "a"}, "columns is 'a'; pass a list of names"),
    ("no columns", {"columns": []}, "columns is empty"),
    ("a number for a name", {"columns": ["a", 3]}, "columns has 3; names must be text"),
    ("a name twice", {"columns": ["a", "b", "a"]}, "columns has 'a' twice"),
    ("unknown", {"columns": ["a", "z"]}, "has no column 'z'.*behaviour_indicators"),
    ("twice in the frame", {"add": "double"}, "has several columns 'a'"),
    ("infinite", {"add": {"a": np.inf}}, "a is inf at index 0 .400 such values.*finite"),
    ("text", {"add": {"a": "much"}}, "a is not numeric"),
    ("dates", {"add": {"a": pd.Timestamp("2024-01-01")}}, "a holds dates"),
    ("constant", {"add": {"a": 3.5}}, "'a' is 3.5 wherever it is known; leave it out"),
    ("never known", {"add": {"a": NAN}}, "'a' is never known; leave it out"),
    (
        "twins",
        {"add": "twin"},
        "'a' and 'twin' say the same: each follows from the other; leave one",
    ),
    ("triplets", {"add": "sum"}, "'a' and 'b' and 'sum' say the same: .* from the others;"),
    ("known or not", {"add": "gone"}, "'known' and 'gone' say the same"),
    ("same names", {"add": "prime"}, 'two coefficients would be named "a\'"; rename'),
    ("intercept", {"add": "intercept"}, "two coefficients would be named 'intercept'"),
    ("outcome of text", {"outcome": ["yes"] * 400}, "outcome is not numeric"),
    ("outcome of 2", {"outcome": [2] * 400}, "outcome has the value 2; .* 0 or 1"),
    ("outcome missing", {"outcome": [NAN] * 400}, "outcome is nan"),
    ("outcome short", {"outcome": [True, False]}, "outcome has 2 values for 400 rows"),
    (
        "all buy",
        {"outcome": [True] * 400},
        "true in 400 of 400 rows, for 7 coefficients; .*least 7",
    ),
    ("few buy", {"outcome": [True] * 6 + [False] * 394}, "outcome is true in 6 of 400 rows"),
    ("clusters short", {"clusters": [1, 2]}, "clusters has 2 values for 400 rows"),
    ("clusters missing", {"clusters": [1.0, NAN] * 200}, "clusters is missing at row 1"),
    ("clusters few", {"clusters": [1, 2] * 200}, "2 customers for 7 coefficients; .* at least 7"),
]


@pytest.mark.parametrize(("change", "words"), [case[1:] for case in FITS], ids=[c[0] for c in FITS])
def test_what_cannot_be_fitted_is_refused(change: dict[str, Any], words: str) -> None:
    frame, buys = small()
    columns = ["a", "b"]
    change = dict(change)
    add = change.pop("add", {})
    if add == "double":
        frame = pd.concat([frame, frame[["a"]]], axis=1)
    elif add == "twin":
        frame["twin"], columns = 3 - 2 * frame["a"], ["b", "a", "twin"]
    elif add == "sum":
        frame["sum"], columns = frame["a"] + frame["b"], ["a", "b", "sum"]
    elif add == "gone":
        frame["gone"] = frame["c"].where(frame["b"] > 0)
        frame["known"], columns = frame["b"] > 0, ["known", "gone"]
    elif add == "prime":
        frame["a'"], columns = frame["c"], ["a", "a'"]
    elif add == "intercept":
        frame["intercept"], columns = frame["c"], ["a", "intercept"]
    else:
        frame = frame.assign(**add)
    arguments: dict[str, Any] = {"frame": frame, "outcome": buys, "columns": columns} | change
    with pytest.raises(InputError, match=words):
        SplineLogit.fit(**arguments)


PREDICTIONS: list[tuple[str, Any, str]] = [
    ("no frame", None, "indicators is a NoneType"),
    ("a column less", ["gap_last"], "indicators has no column 'gap_last'"),
    (
        "NaN for the first time",
        {"silence": NAN},
        "'silence' is missing at index .*1000.* .3 such rows.*never missing",
    ),
    ("infinite", {"spend": -np.inf}, "spend is -inf at index .*1000"),
    ("missing alone", {"gap": NAN, "gap_last": 1.0}, "'gap_last' and 'gap' one alone is missing"),
    ("text", {"member": "yes"}, "member is not numeric"),
]


@pytest.mark.parametrize(
    ("change", "words"), [case[1:] for case in PREDICTIONS], ids=[c[0] for c in PREDICTIONS]
)
def test_what_cannot_be_predicted_is_refused(
    change: Any, words: str, model: SplineLogit, data: tuple[pd.DataFrame, Any, FloatArray]
) -> None:
    frame: Any = data[0].head(3)
    if change is None:
        frame = None
    elif isinstance(change, list):
        frame = frame.drop(columns=change)
    else:
        frame = frame.assign(**change)
    with pytest.raises(InputError, match=words):
        model.log_odds(frame)


@pytest.mark.parametrize("level", [0, 1, 95, NAN, "high", None])
def test_a_level_is_between_0_and_1(level: Any, model: SplineLogit) -> None:
    for show in (
        model.summary,
        model.coefficients,
        lambda level: model.effect("spend", [1], level),
    ):
        with pytest.raises(InputError, match="level is"):
            show(level)


def test_a_curve_needs_an_indicator_and_known_values(model: SplineLogit) -> None:
    with pytest.raises(InputError, match="column is 'z'; the model has 'silence', 'spend'"):
        model.effect("z", [1.0])
    with pytest.raises(InputError, match="values is nan"):
        model.effect("spend", [1.0, NAN])
    with pytest.raises(InputError, match="values has 2 dimensions"):
        model.effect("spend", [[1.0]])


def test_intervals_widen_with_the_level(model: SplineLogit) -> None:
    narrow, wide = model.coefficients(0.5), model.coefficients(0.99)
    ratio = (wide["upper"] - wide["lower"]) / (narrow["upper"] - narrow["lower"])
    np.testing.assert_allclose(ratio, norm.ppf(0.995) / norm.ppf(0.75))


@pytest.fixture(scope="module")
def cdnow() -> tuple[pd.DataFrame, Any]:
    """Return the indicators of CDNOW's customers after nine months, and who buys in the next."""
    log = tp.load_cdnow()
    frame = behaviour_indicators(log, "1997-09-30")
    return frame, frame.index.isin(log.loc[log["date"] > "1997-09-30", "customer_id"])


def test_the_default_columns_beat_recency_and_are_calibrated_on_held_out_customers(
    cdnow: tuple[pd.DataFrame, Any],
) -> None:
    from statsmodels.discrete.discrete_model import Logit

    frame, buys = cdnow
    half = np.random.default_rng(1).random(len(frame)) < 0.5
    model = SplineLogit.fit(frame[half], buys[half])
    assert model.design.columns == list(DEFAULT_COLUMNS)
    assert model.left_out == {}
    score, truth = model.log_odds(frame[~half]), buys[~half]

    def auc(values: FloatArray) -> float:
        return float(mannwhitneyu(values[truth], values[~truth]).statistic) / (
            truth.sum() * (~truth).sum()
        )

    assert auc(score) > auc(-frame.loc[~half, "silence"].to_numpy()) + 0.005
    held_out = Logit(truth.astype(float), np.column_stack([np.ones(len(score)), score]))
    low, high = held_out.fit(disp=False).conf_int(0.01)[1]
    assert low < 1 < high
    table = model.summary()["odds_ratio"]
    assert table["silence_per_mean_gap"] < 1 < table["purchases_per_day"]


def test_default_columns_that_say_nothing_are_left_out_and_listed(
    cdnow: tuple[pd.DataFrame, Any],
) -> None:
    frame, buys = cdnow
    frame = frame[list(DEFAULT_COLUMNS)].assign(T=200.0)
    frame["purchases_180d"] = 180 * frame["purchases_per_day"]
    model = SplineLogit.fit(frame.drop(columns="amount_mean"), buys)
    assert model.design.columns == ["silence", "silence_per_mean_gap", "purchases_per_day"]
    assert model.left_out == {
        "amount_mean": "is no column",
        "T": "is 200 wherever it is known",
        "purchases_180d": "follows from 'purchases_per_day'",
    }
    back = SplineLogit.from_dict(json.loads(json.dumps(model.to_dict())))
    assert back.left_out == model.left_out
    with pytest.raises(InputError, match=r"no default column can be used: .*'T': 'is 200"):
        SplineLogit.fit(frame[["T"]], buys)


def rare(n: int = 600) -> tuple[pd.DataFrame, Any]:
    """Return two columns, one missing for 1 buyer and 3 others, and who buys."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"silence": generator.gamma(3, 10, n), "rare": generator.normal(size=n)})
    buys = generator.random(n) < expit(1 - frame["silence"].to_numpy() / 30)
    gone = np.append(np.flatnonzero(buys)[:1], np.flatnonzero(~buys)[:3])
    frame.loc[gone, "rare"] = NAN
    return frame, buys


def test_held_out_log_odds_are_those_of_fits_to_the_other_folds(
    data: tuple[pd.DataFrame, Any, FloatArray], model: SplineLogit
) -> None:
    from statsmodels.discrete.discrete_model import Logit

    frame, buys, _ = data
    folds = np.random.default_rng(3).integers(0, 3, len(frame))
    found = model.held_out_log_odds(frame, buys, folds)
    design = by_hand(frame).to_numpy()
    for fold in range(3):
        rest, held = folds != fold, folds == fold
        direct = Logit(buys[rest].astype(float), design[rest]).fit(disp=False, tol=1e-12)
        np.testing.assert_allclose(found[held], design[held] @ direct.params, rtol=1e-5, atol=1e-7)


def test_a_missing_value_that_lies_in_one_fold_is_left_out_there() -> None:
    frame, buys = rare()
    model = SplineLogit.fit(frame, buys, ["silence", "rare"])
    lacks = frame["rare"].isna().to_numpy()
    folds = np.arange(len(frame)) % 5
    folds[lacks] = 0
    found = model.held_out_log_odds(frame, buys, folds)
    # As if it were known, and the median.
    (indicator,) = (each for each in model.design.indicators if each.name == "rare")
    known = frame.fillna({"rare": indicator.median})
    inner = SplineLogit.fit(known, buys, ["silence", "rare"])
    assert inner.design.names == model.design.names[:-1]
    assert found[lacks] == pytest.approx(
        inner.held_out_log_odds(known, buys, folds)[lacks], abs=0.1
    )
    # All with it but the buyer: then it tells the outcomes apart in the other folds.
    folds = np.arange(len(frame)) % 5
    folds[lacks & buys], folds[lacks & ~buys] = 0, 1
    assert np.abs(model.held_out_log_odds(frame, buys, folds)).max() < 6


def test_columns_missing_together_in_a_fold_only_share_a_term_there() -> None:
    frame, buys = rare()
    generator = np.random.default_rng(2)
    frame["rare"], frame["other"] = generator.normal(size=(2, len(frame)))
    gone = generator.random(len(frame)) < 0.1
    frame.loc[gone, ["rare", "other"]] = NAN
    folds = np.arange(len(frame)) % 4
    alone = np.flatnonzero(~gone & (folds == 0))[:40]
    frame.loc[alone, "other"] = NAN
    model = SplineLogit.fit(frame, buys, ["rare", "other"])
    assert model.design.names[-2:] == ["missing(rare)", "missing(other)"]
    assert np.abs(model.held_out_log_odds(frame, buys, folds)).max() < 6


def test_a_stack_takes_what_its_regression_takes_and_says_which_part_it_cannot() -> None:
    frame, buys = rare()
    panel = frame.assign(buys=buys)
    model = tp.ChurnModel("stack", ["silence", "rare"], [])
    chance = model.fit(panel).predict_probability(panel)
    assert chance.between(0, 1).all()
    assert model.members_["log_loss"].drop("intercept").lt(0.75).all()
    with pytest.raises(
        InputError,
        match=r"^the fit without part \d of 5 of the customers: 'rare' tells .*fewer columns",
    ):
        model.cross_predict(panel)


SIZES = (1e-99, 1e-50, 1e50, 1e99)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", ["normal", "skewed", "two values"])
def test_columns_of_any_size_give_the_same_fit(size: float, shape: str) -> None:
    frame, buys = small()
    values = frame["b"].to_numpy()
    x = {"normal": values, "skewed": np.exp(2 * values), "two values": values > 0}[shape] * 1.0
    # Powers of two lose no digit.
    size = 2.0 ** np.round(np.log2(size / np.abs(x).max()))
    plain = SplineLogit.fit(frame.assign(x=x), buys, ["a", "x"])
    scaled = SplineLogit.fit(frame.assign(x=x * size), buys, ["a", "x"])
    np.testing.assert_allclose(
        scaled.log_odds(frame.assign(x=x * size)), plain.log_odds(frame.assign(x=x)), rtol=1e-9
    )
    columns = ["odds_ratio", "lower", "upper", "chi_squared", "p_value"]
    np.testing.assert_allclose(scaled.summary()[columns], plain.summary()[columns], rtol=1e-6)
    np.testing.assert_allclose(scaled.coefficients()["z"], plain.coefficients()["z"], rtol=1e-6)


@pytest.mark.parametrize("size", [5e-324, 1e-200, 1e-150, 1e150, 1e200, 1e308])
def test_columns_beyond_all_sizes_are_refused_by_name(size: float) -> None:
    frame, buys = small()
    x = frame["b"] / frame["b"].abs().max() * size
    with pytest.raises(InputError, match=r"the largest value of 'x' is .*express it in a unit"):
        SplineLogit.fit(frame.assign(x=x), buys, ["a", "x"])


@pytest.mark.parametrize(("size", "largest"), [(1e-60, [-1.0, 1.0]), (1e-250, [1.0, 1.0])])
def test_a_column_whose_values_are_next_to_nothing_beside_the_largest_is_refused(
    size: float, largest: list[float]
) -> None:
    """On its own scale, and on a logarithmic one."""
    frame, buys = small()
    x = (frame["b"] if min(largest) < 0 else frame["b"].abs()) * size
    x.iloc[:2] = largest
    with pytest.raises(InputError, match=r"values of 'x' differ too much in size: .*logarithm"):
        SplineLogit.fit(frame.assign(x=x), buys, ["a", "x"])


@pytest.mark.parametrize("kind", ["logit", "stack"])
def test_any_finite_value_has_a_probability(kind: str) -> None:
    generator = np.random.default_rng(5)
    panel = pd.DataFrame({"a": generator.normal(size=400), "b": generator.normal(size=400)})
    panel["s"], panel["t"] = np.exp(2 * panel["b"]), (panel["b"] > 1) * 1e-90
    panel["buys"] = generator.random(400) < expit(panel["a"] - np.log(panel["s"]) / 4)
    model = tp.ChurnModel(kind, ["a", "b", "s", "t"], [] if kind == "stack" else None)
    model.fit(panel)
    ends = [-1.79e308, -1e308, -1e100, -5e-324, 0.0, 5e-324, 1e100, 1e308, 1.79e308]
    rows = pd.MultiIndex.from_product([ends, ends, ends, ends]).to_frame(index=False)
    rows.columns = ["a", "b", "s", "t"]
    chance = model.predict_probability(rows)
    assert chance.between(0, 1).all()
    assert model.logit_ is not None
    assert np.isfinite(model.logit_.log_odds(rows)).all()
    # The straight line goes on: more of what makes buyers makes more of them.
    far = model.logit_.log_odds(rows.iloc[[0, 0]].assign(a=[-1e308, 1e308], b=0.0, s=1.0, t=0.0))
    assert far[0] < -1e10
    assert far[1] > 1e10
