"""Late parcels: against the closed form of the simulated shop, and against plain recounts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

import touchpoint_lib as tp
from touchpoint_lib import InputError
from touchpoint_lib.simulate.settings import ShopArrivals
from touchpoint_lib.timing._curves import fit_curves
from touchpoint_lib.timing._pace import recent_pace
from touchpoint_lib.timing._parcel_flags import flag_moments
from touchpoint_lib.timing._parcel_log import DAY, HOUR
from touchpoint_lib.timing.parcels import LateParcels, late_parcels

BY = ("carrier", "province")
HOURS = pd.Timedelta(hours=1)
QUIET = tp.ShopParcels(delays=())
LEADS = {province.name: province.lead for province in ShopArrivals().provinces}
#: Standard errors a share may be off; with fixed seeds and some 100 shares 4.5 is far out.
ERRORS = 4.5


def quiet_parcels(seed: int, days: int = 365, n_customers: int = 8000) -> pd.DataFrame:
    """Parcels of a shop without jams and without anything else that could matter."""
    return tp.simulate_shop(
        seed,
        n_customers,
        days,
        contacts=None,
        visits=None,
        reviews=None,
        payments=None,
        parcels=QUIET,
    ).parcels


def small_parcels(seed: int = 0, n: int = 400, days: int = 40) -> pd.DataFrame:
    """Parcels of two carriers and three provinces, with promises of their own, some on the way."""
    rng = np.random.default_rng(seed)
    carrier = rng.choice(["fast", "slow"], n, p=[0.6, 0.4])
    province = rng.choice(["near", "far", "rare"], n, p=[0.5, 0.4, 0.1])
    median = np.where(carrier == "fast", 30, 60) * np.where(province == "far", 1.4, 1.0)
    way = np.maximum(1, median * np.exp(rng.normal(0, 0.4, n)) * 60).astype(np.int64)
    promise = np.maximum(24, median * rng.choice([1.0, 1.3, 1.8], n)).astype(np.int64)
    shipped = pd.Timestamp("2024-03-01 05:00") + pd.to_timedelta(
        np.sort(rng.integers(0, days * 1440, n)), unit="min"
    )
    frame = pd.DataFrame(
        {
            "parcel_id": rng.permutation(n),
            "carrier": carrier,
            "province": province,
            "shipped_at": shipped,
            "promised_at": shipped + pd.to_timedelta(promise, unit="h"),
            "delivered_at": shipped + pd.to_timedelta(way, unit="min"),
        }
    )
    return as_of(frame, shipped[-1])


def as_of(frame: pd.DataFrame, moment: pd.Timestamp) -> pd.DataFrame:
    """What a shop had in its books at a moment."""
    known = frame[frame["shipped_at"] <= moment].copy()
    known["delivered_at"] = known["delivered_at"].where(known["delivered_at"] <= moment)
    return known


@pytest.fixture(scope="module")
def small() -> pd.DataFrame:
    return small_parcels()


@pytest.fixture(scope="module")
def bundled() -> pd.DataFrame:
    return tp.load_shop().parcels


@pytest.fixture(scope="module")
def quiet() -> pd.DataFrame:
    return quiet_parcels(seed=3)


def true_chance(carrier: str, province: str, age_hours: Any) -> Any:
    lead = LEADS[province]
    return QUIET.probability_late_in_transit(carrier, lead, np.asarray(age_hours) / 24)


# --- the closed form ------------------------------------------------------------------------------


def test_curves_are_the_closed_form(quiet: pd.DataFrame) -> None:
    late = late_parcels(quiet, shrinkage=0.0)
    classes = late.to_frame().set_index(list(BY))
    curve = late.curve()
    assert len(classes) == 15
    ways = (quiet["delivered_at"] - quiet["shipped_at"]) / HOURS
    scores = []
    for (carrier, province), row in classes.iterrows():
        promise = 24 * float(QUIET.promised_days(carrier, LEADS[province]))
        assert row["promised_days"] == promise / 24
        mine = curve[(curve["carrier"] == carrier) & (curve["province"] == province)]
        assert mine["age_hours"].tolist() == list(range(int(promise) + 1))
        truth = true_chance(carrier, province, mine["age_hours"])
        here = ways[(quiet["carrier"] == carrier) & (quiet["province"] == province)]
        for part in (0.0, 0.5, 0.8, 0.95):
            at = int(part * promise)
            n, expected = float((here > at).sum()), truth[at]
            error = math.sqrt(expected * (1 - expected) / n)
            scores.append((mine["probability"].iloc[at] - expected) / error)
        assert mine["probability"].iloc[-1] == truth[-1] == 1
    assert np.abs(scores).max() < ERRORS
    # Neither too far off nor too close to be true.
    assert 0.6 < np.sqrt(np.mean(np.square(scores))) < 1.4


def test_intervals_of_the_curves_cover_the_closed_form() -> None:
    inside = []
    for seed in range(4):
        late = late_parcels(quiet_parcels(seed, days=200, n_customers=2500), shrinkage=0.0)
        curve = late.curve([0, 30])
        for carrier, province, age, _, low, high in curve.itertuples(index=False):
            truth = float(true_chance(carrier, province, age))
            inside.append(low <= truth <= high)
    # 120 cases, in pairs of one class: 95 % less three standard errors.
    assert len(inside) == 120
    assert np.mean(inside) > 0.95 - 3 * math.sqrt(0.05 * 0.95 / 60)


def test_classes_are_flagged_where_the_closed_form_reaches_the_line(quiet: pd.DataFrame) -> None:
    flagged = 0
    for row in late_parcels(quiet, shrinkage=0.0).to_frame().itertuples():
        last = row.promised_days * 24 - 12
        at = row.flag_after if math.isfinite(row.flag_after) else last
        expected = float(true_chance(row.carrier, row.province, at))
        error = math.sqrt(expected * (1 - expected) / row.n_at_risk)
        assert row.probability == pytest.approx(expected, abs=ERRORS * error)
        assert (row.probability >= 0.5) == math.isfinite(row.flag_after)
        assert at <= last
        flagged += math.isfinite(row.flag_after)
    assert 5 <= flagged < 15


def test_rates_are_close_to_those_of_a_rule_that_knows_the_truth() -> None:
    parcels = quiet_parcels(seed=5, days=500, n_customers=20_000)
    late = late_parcels(parcels, line=0.4)
    judged = parcels.set_index("parcel_id").loc[late.flags["parcel_id"]]
    hours = np.zeros(len(judged))
    for (carrier, province), rows in judged.groupby(list(BY), observed=True).indices.items():
        promise = 24 * int(QUIET.promised_days(carrier, LEADS[province]))
        chance = true_chance(carrier, province, np.arange(promise))
        hours[rows] = int(np.argmax(chance >= 0.4)) if (chance >= 0.4).any() else np.inf
        hours[rows] = np.where(hours[rows] <= promise - 12, hours[rows], np.inf)
    way = ((judged["delivered_at"] - judged["shipped_at"]) / HOURS).fillna(np.inf).to_numpy()
    flagged = hours < way
    truth = ~(judged["delivered_at"] <= judged["promised_at"]).to_numpy()
    assert (truth == late.flags["late"].to_numpy()).all()
    ours = late.rates.loc["classes"]
    for name, rate, n in (
        ("error_rate", (flagged & ~truth).sum() / flagged.sum(), flagged.sum()),
        ("omission_rate", (truth & ~flagged).sum() / truth.sum(), truth.sum()),
    ):
        assert 0.05 < rate < 0.95
        assert ours[name] == pytest.approx(rate, abs=3 * math.sqrt(rate * (1 - rate) / n))


# --- an independent recount -----------------------------------------------------------------------


class PlainCurves:
    """Kaplan-Meier curves with shrinkage, one moment and one class at a time."""

    def __init__(self, rows: list[dict[str, Any]], at: pd.Timestamp, shrinkage: float) -> None:
        cases = []
        for row in rows:
            if row["shipped_at"] < at:
                ended = row["delivered_at"] <= at
                end = row["delivered_at"] if ended else at
                minutes = math.ceil((end - row["shipped_at"]) / pd.Timedelta(minutes=1))
                cases.append((row["carrier"], row["province"], minutes, ended))
        self.last = sorted(case[2] for case in cases)[-20]
        self.survival: dict[tuple[str, ...], list[tuple[int, float]]] = {}
        times = sorted({case[2] for case in cases if case[3] and case[2] <= self.last})
        classes = sorted({case[:depth] for case in cases for depth in range(3)}, key=len)
        hazards: dict[tuple[str, ...], dict[int, float]] = {}
        for one in classes:
            mine = [case for case in cases if case[: len(one)] == one]
            alive, hazards[one], self.survival[one] = 1.0, {}, []
            for time in times:
                n = sum(case[2] >= time for case in mine)
                d = sum(case[3] and case[2] == time for case in mine)
                m = shrinkage if one else 0.0
                above = hazards[one[:-1]][time] if one else 0.0
                hazards[one][time] = (d + m * above) / (n + m) if n + m else above
                alive *= 1 - hazards[one][time]
                self.survival[one].append((time, alive))

    def __call__(self, one: tuple[str, ...], minutes: float) -> float:
        while one not in self.survival:
            one = one[:-1]
        alive = 1.0
        for time, value in self.survival[one]:
            if time > minutes:
                break
            alive = value
        return alive

    def flag_hour(self, row: dict[str, Any], line: float, notice: float) -> int | None:
        promise = (row["promised_at"] - row["shipped_at"]) / HOURS
        way = math.inf
        if not pd.isna(row["delivered_at"]):
            way = (row["delivered_at"] - row["shipped_at"]) / HOURS
        one = (row["carrier"], row["province"])
        hour = 0
        while hour + notice <= promise and hour < way:
            now = self(one, 60 * hour)
            if now == 0 or self(one, 60 * promise) / now >= line:
                return hour
            hour += 1
        return None


@pytest.mark.parametrize(("line", "notice", "shrinkage"), [(0.5, 12.0, 20.0), (0.65, 5.5, 3.0)])
def test_flags_and_rates_are_those_of_a_plain_recount(
    small: pd.DataFrame, line: float, notice: float, shrinkage: float
) -> None:
    split, until = pd.Timestamp("2024-03-20 07:30"), pd.Timestamp("2024-04-08")
    late = late_parcels(
        small, split=split, until=until, line=line, notice=notice, shrinkage=shrinkage
    )
    rows = as_of(small, until).to_dict("records")
    curves = PlainCurves(rows, split, shrinkage)
    expected, cells = [], dict.fromkeys(itertools.product((False, True), repeat=2), 0)
    for row in rows:
        if row["shipped_at"] < split or row["promised_at"] > until:
            continue
        truth = pd.isna(row["delivered_at"]) or row["delivered_at"] > row["promised_at"]
        hour = curves.flag_hour(row, line, notice)
        cells[truth, hour is not None] += 1
        promise = (row["promised_at"] - row["shipped_at"]) / HOURS
        expected.append(
            {
                "parcel_id": row["parcel_id"],
                "late": truth,
                "flagged_at": pd.NaT if hour is None else row["shipped_at"] + hour * HOURS,
                "lead_hours": math.nan if hour is None else promise - hour,
            }
        )
    flags = late.flags
    assert flags["parcel_id"].tolist() == [row["parcel_id"] for row in expected]
    assert flags["late"].tolist() == [row["late"] for row in expected]
    plain = pd.to_datetime(pd.Series([row["flagged_at"] for row in expected]))
    pd.testing.assert_series_equal(flags["flagged_at"], plain, check_names=False, check_dtype=False)
    np.testing.assert_allclose(flags["lead_hours"], [row["lead_hours"] for row in expected])
    assert min(cells.values()) > 5
    rates = late.rates.loc["classes"]
    names = ["true_negative", "false_positive", "false_negative", "true_positive"]
    assert rates[names].tolist() == list(cells.values())
    n_flagged, n_late = cells[True, True] + cells[False, True], cells[True, True] + cells[True, 0]
    assert rates["error_rate"] == cells[False, True] / n_flagged
    assert rates["omission_rate"] == cells[True, False] / n_late
    low, high = proportion_confint(cells[False, True], n_flagged, method="wilson")
    assert rates["error_rate_low"] == pytest.approx(low)
    assert rates["error_rate_high"] == pytest.approx(high)
    hits = [row["lead_hours"] for row in expected if row["late"] and row["lead_hours"] > 0]
    quartiles = np.quantile(hits, [0.25, 0.5, 0.75])
    assert rates["lead_low_quartile"] == pytest.approx(quartiles[0])
    assert rates["lead_median"] == pytest.approx(quartiles[1])
    assert rates["lead_high_quartile"] == pytest.approx(quartiles[2])


def test_parcels_on_the_way_are_those_of_a_plain_recount(small: pd.DataFrame) -> None:
    until = pd.Timestamp("2024-04-08")
    late = late_parcels(small, until=until, line=0.4)
    rows = as_of(small, until).to_dict("records")
    curves = PlainCurves(rows, until, 20.0)
    expected = {}
    for row in rows:
        if not pd.isna(row["delivered_at"]):
            continue
        one = row["carrier"], row["province"]
        age = (until - row["shipped_at"]) / HOURS
        promise = (row["promised_at"] - row["shipped_at"]) / HOURS
        due = promise <= age
        chance = 1.0 if due else curves(one, 60 * promise) / curves(one, 60 * age)
        flag = not due and chance >= 0.4 and promise - age >= 12
        expected[row["parcel_id"]] = age, chance, flag, due
    now = late.in_transit.set_index("parcel_id")
    assert set(now.index) == set(expected)
    columns = ["age_hours", "probability_late", "flag", "due"]
    for parcel, values in expected.items():
        assert now.loc[parcel, columns].tolist() == pytest.approx(list(values))
    assert now["due"].any()
    assert now["flag"].any()
    assert (~now["flag"] & ~now["due"]).any()
    assert now["probability_late"].is_monotonic_decreasing
    assert (now["pace"] == 1).all()
    assert late.n_after == (small["shipped_at"] > until).sum()
    undecided = (small["promised_at"] > until) & (small["shipped_at"] <= until)
    assert late.n_undecided == (undecided & (small["shipped_at"] >= late.split)).sum()
    assert late.n_learned + late.n_judged + late.n_undecided + late.n_after == len(small)


def test_the_table_of_classes_is_counted(small: pd.DataFrame) -> None:
    until = pd.Timestamp("2024-04-08")
    late = late_parcels(small, until=until)
    table = late.to_frame()
    assert table[["carrier", "province"]].to_records(index=False).tolist() == [
        ("fast", "far"),
        ("fast", "near"),
        ("fast", "rare"),
        ("slow", "far"),
        ("slow", "near"),
        ("slow", "rare"),
    ]
    known = as_of(small, until)
    curves = PlainCurves(known.to_dict("records"), until, 20.0)
    for row in table.itertuples():
        mine = known[(known["carrier"] == row.carrier) & (known["province"] == row.province)]
        over = mine[mine["promised_at"] <= until]
        n_late = int((~(over["delivered_at"] <= over["promised_at"])).sum())
        assert (row.n, row.n_late) == (len(over), n_late)
        assert row.late_share == n_late / len(over)
        low, high = proportion_confint(n_late, len(over), method="wilson")
        assert (row.late_share_low, row.late_share_high) == pytest.approx((low, high))
        promise = ((mine["promised_at"] - mine["shipped_at"]) / HOURS).median()
        assert row.promised_days == promise / 24
        typical = {
            "carrier": row.carrier,
            "province": row.province,
            "shipped_at": until,
            "promised_at": until + promise * HOURS,
            "delivered_at": pd.NaT,
        }
        hour = curves.flag_hour(typical, 0.5, 12.0)
        assert row.flag_after == (math.inf if hour is None else hour)
        at = promise - 12 if hour is None else hour
        one = row.carrier, row.province
        assert row.probability == pytest.approx(curves(one, 60 * promise) / curves(one, 60 * at))
        way = mine["delivered_at"].fillna(until) - mine["shipped_at"]
        assert row.n_at_risk == (np.ceil(way / pd.Timedelta(minutes=1)) > 60 * at).sum()
    table.loc[0, "n"] = -1
    assert late.to_frame()["n"].min() > 0


def flags_by_share(rows: pd.DataFrame, share: float) -> pd.Series:
    """Flags at one share of the promised time, with 12 hours to go and before the delivery."""
    promise = rows["promised_at"] - rows["shipped_at"]
    moment = rows["shipped_at"] + share * promise
    there = ~(rows["delivered_at"] <= moment)
    return there & (rows["promised_at"] - moment >= 12 * HOURS)


def test_one_share_of_the_promise_flags_as_many_before_the_split(small: pd.DataFrame) -> None:
    split = pd.Timestamp("2024-03-20 07:30")
    late = late_parcels(small, split=split)
    known = as_of(small, split)
    known = known[(known["shipped_at"] < split) & (known["promised_at"] <= split)]
    curves = PlainCurves(as_of(small, split).to_dict("records"), split, 20.0)
    wanted = sum(curves.flag_hour(row, 0.5, 12.0) is not None for row in known.to_dict("records"))
    judged = small[(small["shipped_at"] >= split) & (small["promised_at"] <= late.until)]
    truth = ~(judged["delivered_at"] <= judged["promised_at"])
    rates = late.rates.loc["share of the promise"]
    fits = []
    shares = np.arange(0, 1, 0.0005)
    counts = np.array([flags_by_share(known, share).sum() for share in shares])
    best = np.abs(counts - wanted).min()
    for share in shares[np.abs(counts - wanted) == best]:
        flagged = flags_by_share(judged, share)
        fits.append(((flagged & truth).sum(), (flagged & ~truth).sum()))
    assert best <= 2
    assert (rates["true_positive"], rates["false_positive"]) in fits


def test_wider_classes_are_the_rule_of_these_alone(small: pd.DataFrame) -> None:
    late = late_parcels(small)
    alone = late_parcels(small, by=("carrier",))
    assert list(late.rates.index) == ["classes", "by carrier only", "share of the promise"]
    assert list(alone.rates.index) == ["classes", "without classes", "share of the promise"]
    pd.testing.assert_series_equal(
        late.rates.loc["by carrier only"], alone.rates.loc["classes"], check_names=False
    )
    same = late_parcels(small.assign(all="all"), by=("all",)).rates
    pd.testing.assert_series_equal(
        alone.rates.loc["without classes"], same.loc["classes"], check_names=False
    )
    assert late.rates.loc["classes", "n_flagged"] != late.rates.loc["by carrier only", "n_flagged"]


# --- only what was known --------------------------------------------------------------------------


@pytest.mark.parametrize("recent_days", [None, 3])
def test_nothing_hangs_on_what_comes_later(small: pd.DataFrame, recent_days: int | None) -> None:
    split, until = pd.Timestamp("2024-03-18"), pd.Timestamp("2024-03-29 13:20")
    settings_ = {"split": split, "recent_days": recent_days}
    whole = late_parcels(small, until=until, **settings_)
    cut = late_parcels(as_of(small, until), until=until, **settings_)
    for name in ("flags", "rates", "in_transit"):
        pd.testing.assert_frame_equal(getattr(whole, name), getattr(cut, name))
    pd.testing.assert_frame_equal(whole.to_frame(), cut.to_frame())
    pd.testing.assert_frame_equal(whole.curve(), cut.curve())
    # The flags of whoever was judged then are the same, and no decision is taken back.
    later = late_parcels(small, **settings_).flags
    both = later[later["promised_at"] <= until].reset_index(drop=True)
    pd.testing.assert_frame_equal(both, whole.flags)
    assert len(later) > len(both) > 20
    assert both["flagged_at"].notna().sum() > 5


def test_a_flag_is_out_before_anything_later_is_known(small: pd.DataFrame) -> None:
    split = pd.Timestamp("2024-03-18")
    whole = late_parcels(small, split=split, recent_days=3).flags.set_index("parcel_id")
    moved = 0
    for moment in pd.to_datetime(["2024-03-24 09:00", "2024-03-29 17:00"]):
        # Whatever is not known at the moment is delivered much later, or at once.
        for shift in (pd.Timedelta(days=9), pd.Timedelta(0)):
            other = small.copy()
            unknown = ~(other["delivered_at"] <= moment)
            other.loc[unknown, "delivered_at"] = (
                np.maximum(other["shipped_at"], moment) + shift + pd.Timedelta(minutes=1)
            )
            changed = late_parcels(
                other, split=split, recent_days=3, until=pd.Timestamp("2024-05-01")
            ).flags.set_index("parcel_id")
            early = whole["flagged_at"] <= moment
            ours = changed.loc[whole.index, "flagged_at"]
            pd.testing.assert_series_equal(
                ours[early], whole["flagged_at"][early], check_dtype=False
            )
            assert (ours <= moment).sum() == early.sum() > 5
            moved += (ours[~early] != whole["flagged_at"][~early]).sum()
    assert moved > 5


def test_parcels_on_the_way_at_the_split_are_censored_there(small: pd.DataFrame) -> None:
    split = pd.Timestamp("2024-03-20")
    there = (small["shipped_at"] < split) & ~(small["delivered_at"] <= split)
    assert there.sum() > 10
    until = small["shipped_at"].max()
    first = late_parcels(small, split=split, until=until)
    flags = first.flags
    for shift in (pd.Timedelta(minutes=1), pd.Timedelta(days=300)):
        other = small.copy()
        other.loc[there, "delivered_at"] = split + shift
        again = late_parcels(other, split=split, until=until)
        pd.testing.assert_frame_equal(flags, again.flags)
        pd.testing.assert_frame_equal(first.rates, again.rates)
    # Known at the split, the same deliveries do change what is learned.
    other.loc[there, "delivered_at"] = np.maximum(other["shipped_at"], split)
    known = late_parcels(other, split=split, until=until).flags
    assert not known.equals(flags)


def test_a_parcel_is_on_the_way_to_the_second() -> None:
    # Half of them come 30 seconds after the tenth hour: at ten hours none has come.
    n = 200
    shipped = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n), unit="h")
    seconds = np.where(np.arange(n) % 2 == 0, 36_030, 108_000)
    parcels = pd.DataFrame(
        {
            "parcel_id": np.arange(n),
            "carrier": "one",
            "shipped_at": shipped,
            "promised_at": shipped + pd.Timedelta(hours=20),
            "delivered_at": shipped + pd.to_timedelta(seconds, unit="s"),
        }
    )
    late = late_parcels(parcels, by=("carrier",), line=0.7, notice=9.0)
    curve = late.curve([0, 10, 11])
    assert curve["probability"].tolist() == pytest.approx([0.5, 0.5, 1.0], abs=0.03)
    assert curve["probability"].iloc[0] == curve["probability"].iloc[1]
    assert (late.flags["lead_hours"].dropna() == 9).all()
    assert late.rates.loc["classes", ["error_rate", "omission_rate"]].tolist() == [0, 0]


def test_a_promise_is_over_at_the_promised_time(small: pd.DataFrame) -> None:
    until = pd.Timestamp("2024-04-08")
    edge = small[small["shipped_at"] > until - pd.Timedelta(days=3)].index[:3]
    other = small.copy()
    other.loc[edge, "promised_at"] = until + pd.to_timedelta([0, 0, 1], unit="s")
    other.loc[edge, "delivered_at"] = [until, until + pd.Timedelta(seconds=1), pd.NaT]
    late = late_parcels(other, until=until)
    ids = small.loc[edge, "parcel_id"]
    judged = late.flags.set_index("parcel_id")["late"]
    # Delivered at the promised time: in time. Not delivered then: late. Promised later: open.
    assert not judged[ids.iloc[0]]
    assert judged[ids.iloc[1]]
    assert ids.iloc[2] not in judged.index
    due = late.in_transit.set_index("parcel_id")["due"]
    assert ids.iloc[0] not in due.index
    assert due[ids.iloc[1]]
    assert not due[ids.iloc[2]]


# --- properties -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10_000),
    line=st.sampled_from([0.2, 0.5, 0.8]),
    notice=st.sampled_from([0.0, 6.0, 30.25]),
    recent_days=st.sampled_from([None, 2]),
    shrinkage=st.sampled_from([0.0, 20.0]),
)
def test_flags_keep_their_promises(
    seed: int, line: float, notice: float, recent_days: int | None, shrinkage: float
) -> None:
    parcels = small_parcels(seed, n=150, days=15)
    given_ = {"recent_days": recent_days, "shrinkage": shrinkage}
    late = late_parcels(parcels, line=line, notice=notice, **given_)
    flags = late.flags.merge(parcels[["parcel_id", "delivered_at"]], on="parcel_id")
    flagged = flags[flags["flagged_at"].notna()]
    hours = (flagged["flagged_at"] - flagged["shipped_at"]) / HOURS
    assert (hours == np.floor(hours)).all()
    assert (hours >= 0).all()
    assert (flagged["lead_hours"] >= notice).all()
    assert (flagged["promised_at"] - flagged["flagged_at"] == flagged["lead_hours"] * HOURS).all()
    assert not (flagged["delivered_at"] <= flagged["flagged_at"]).any()
    assert flagged["probability"].between(line - 1e-12, 1).all()
    assert flags["probability"].isna().equals(flags["flagged_at"].isna())
    assert late.n_judged == len(flags) == late.rates.loc["classes", "n"]
    # A higher line, or a longer notice, flags some of the same parcels, and not sooner.
    for change in ({"line": min(line + 0.1, 0.95)}, {"notice": notice + 5}):
        other = late_parcels(parcels, **{"line": line, "notice": notice, **change}, **given_).flags
        kept = other["flagged_at"].notna().to_numpy()
        assert flags["flagged_at"].notna()[kept].all()
        assert (other["flagged_at"][kept] >= flags["flagged_at"][kept]).all()
    # The order of the rows does not matter.
    mixed = late_parcels(parcels.sample(frac=1, random_state=1), line=line, notice=notice, **given_)
    pd.testing.assert_frame_equal(
        mixed.flags.sort_values("parcel_id", ignore_index=True),
        late.flags.sort_values("parcel_id", ignore_index=True),
    )
    pd.testing.assert_frame_equal(mixed.rates, late.rates)
    pd.testing.assert_frame_equal(mixed.to_frame(), late.to_frame())


def test_of_unequal_promises_the_shorter_is_flagged_sooner() -> None:
    parcels = small_parcels(seed=2, n=3000)
    # The same deliveries under three promises: none of these can matter to the curves.
    hours = []
    for days in (2, 3, 4):
        other = parcels.assign(promised_at=parcels["shipped_at"] + pd.Timedelta(days=days))
        table = late_parcels(other, line=0.6).to_frame()
        hours.append(table["flag_after"].to_numpy())
        assert (table["promised_days"] == days).all()
    assert np.isfinite(hours[1]).any()
    assert (hours[0] <= hours[1]).all()
    assert (hours[1] <= hours[2]).all()
    flags = late_parcels(parcels, line=0.6).flags.dropna()
    wait = (flags["flagged_at"] - flags["shipped_at"]) / HOURS
    promise = (flags["promised_at"] - flags["shipped_at"]) / HOURS
    spread = []
    for _, rows in flags.groupby(list(BY)):
        order = promise[rows.index].sort_values().index
        assert wait[order].is_monotonic_increasing
        spread.append(wait[order].iloc[-1] - wait[order].iloc[0])
    assert max(spread) > 12


def test_classes_not_seen_before_the_split_are_judged_by_the_wider_class() -> None:
    parcels = small_parcels(seed=4)
    split = parcels["shipped_at"].iloc[200]
    last = parcels["shipped_at"] >= split
    renamed = parcels.copy()
    renamed.loc[last & (renamed["province"] == "rare"), "province"] = "new"
    renamed.loc[last & (renamed["province"] == "near"), "carrier"] = "other"
    late = late_parcels(renamed, split=split)
    new = (late.flags["carrier"] != "other") & (late.flags["province"] == "new")
    plain = late_parcels(parcels, split=split, by=("carrier",)).flags
    assert new.sum() > 5
    pd.testing.assert_series_equal(late.flags["flagged_at"][new], plain["flagged_at"][new])
    other = late.flags["carrier"] == "other"
    alike = late_parcels(parcels.assign(all="all"), split=split, by=("all",)).flags
    assert other.sum() > 20
    pd.testing.assert_series_equal(late.flags["flagged_at"][other], alike["flagged_at"][other])
    # A class whose promises are all ahead has no late share yet.
    fresh = parcels.copy()
    fresh.loc[fresh.index[-1], ["province", "delivered_at"]] = ["fresh", pd.NaT]
    row = late_parcels(fresh).to_frame().set_index("province").loc["fresh"]
    assert row["n"] == row["n_late"] == 0
    assert row[["late_share", "late_share_low", "late_share_high"]].isna().all()
    assert 0 < row["probability"] < 1


def test_beyond_the_end_of_the_curves() -> None:
    parcels = small_parcels(seed=6)
    until = parcels["shipped_at"].max()
    odd = parcels.iloc[:4].assign(
        parcel_id=[-1, -2, -3, -4],
        shipped_at=until - pd.to_timedelta([39, 39, 1, 1], unit="D"),
        promised_at=until + pd.to_timedelta([-1, 1, 100, 1], unit="D"),
        delivered_at=pd.NaT,
    )
    late = late_parcels(pd.concat([parcels, odd]), until=until)
    now = late.in_transit.set_index("parcel_id")
    # Late already; on the way longer than all others; promised after all others; one like them.
    assert now.loc[-1, ["probability_late", "flag", "due"]].tolist() == [1, False, True]
    assert now.loc[-2, ["probability_late", "flag", "due"]].tolist() == [1, True, False]
    assert 0 < now.loc[-3, "probability_late"] < 0.2
    assert not now.loc[-3, "flag"]
    assert now.loc[-4, "probability_late"] > now.loc[-3, "probability_late"]
    curve = late.curve()
    assert curve.groupby(list(BY))["age_hours"].count().min() > 24
    assert curve[["probability", "probability_low", "probability_high"]].notna().all().all()
    assert (curve["probability_low"] <= curve["probability"] + 1e-12).all()
    assert (curve["probability"] <= curve["probability_high"] + 1e-12).all()


def test_curves_of_whole_days_end_with_nobody_on_the_way() -> None:
    # All that were left at the end of the curves came then: older ones are certain to be late.
    n = 200
    shipped = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n) % 50, unit="D")
    days = np.where(np.arange(n) % 4 == 0, 3, 1)
    parcels = pd.DataFrame(
        {
            "parcel_id": np.arange(n),
            "carrier": "one",
            "shipped_at": shipped,
            "promised_at": shipped + pd.Timedelta(days=5),
            "delivered_at": shipped + pd.to_timedelta(days, unit="D"),
        }
    )
    late = late_parcels(parcels, by=("carrier",), until="2024-02-12")
    curve = late.curve([0, 24, 71, 72])
    assert curve["probability"].tolist() == [0, 0, 0, 1]
    assert curve["probability_low"].isna().tolist() == [False, False, False, True]
    # Nobody was late, and nobody was flagged: the rates have no denominator.
    assert late.rates["error_rate"].isna().all()
    assert late.rates["omission_rate"].isna().all()
    assert late.rates["lead_median"].isna().all()
    assert (late.rates["n_flagged"] == 0).all()
    assert "error rate nan" in repr(late)


# --- jams -----------------------------------------------------------------------------------------


def test_pace_is_the_factor_of_a_jam() -> None:
    rng = np.random.default_rng(8)
    n, days, R = 60_000, 60, 2
    province = rng.choice(["a", "b", "c"], n)
    shipped = np.sort(rng.integers(0, days * DAY, n))
    factor = np.where((shipped // DAY >= 40) & (shipped // DAY < 48) & (province != "a"), 1.6, 1.0)
    way = (30 * factor * np.exp(rng.normal(0, 0.4, n)) * HOUR).astype(np.int64)
    learned = shipped < 30 * DAY
    curves = fit_curves(
        way[learned] / DAY, np.ones(learned.sum()), [province[learned]], shrinkage=0.0
    )
    node = curves.node([province])
    pace = recent_pace(curves, node, shipped, shipped + way, days + 1, R)
    assert pace.shape == (4, days + 1)
    assert pace[:, 0] == pytest.approx(1.0)
    jam = np.arange(40 + R, 48)
    for number, label in enumerate("abc", start=1):
        quiet_days = np.r_[3:41, 48 + R : days]
        # Some 670 parcels, one in three delivered: 4.5 errors of the log of a count of 220, less
        # what the shape of the curve makes of it.
        assert np.log(pace[number, quiet_days]) == pytest.approx(0, abs=0.2)
        expected = 1.0 if label == "a" else 1.6
        assert np.log(pace[number, jam]) == pytest.approx(np.log(expected), abs=0.2)
    assert np.mean(pace[2:, jam]) == pytest.approx(1.6, abs=0.06)
    assert (pace[0, jam] < pace[2:, jam].max(axis=0)).all()


def test_pace_solves_its_equation_and_knows_the_past_alone() -> None:
    rng = np.random.default_rng(9)
    n, days, R, m = 900, 12, 3, 60.0
    labels = [rng.choice(["x", "y"], n), rng.choice(["p", "q"], n)]
    shipped = np.sort(rng.integers(0, days * DAY, n))
    way = (40 * np.exp(rng.normal(0, 0.5, n)) * HOUR).astype(np.int64)
    end = np.where(shipped + way > days * DAY, np.iinfo(np.int64).max, shipped + way)
    curves = fit_curves(rng.lognormal(0.3, 0.5, n), np.ones(n), labels, 5.0)
    node = curves.node(labels)
    pace = recent_pace(curves, node, shipped, end, days, R)
    parents = [-1 if pd.isna(one) else int(one) for one in curves.nodes["parent"]]

    def belongs(one: int, number: int) -> bool:
        while one > number:
            one = parents[one]
        return one == number

    for number, day in itertools.product(range(len(parents)), range(0, days, 3)):
        now, seen, exposures, leaves = day * DAY, 0, [], []
        for at in range(n):
            first = shipped[at] // DAY
            if belongs(int(node[at]), number) and day - R <= first < day:
                seen += end[at] <= now
                exposures.append((min(end[at], now) - shipped[at]) // HOUR + 0.5)
                leaves.append(node[at])
        scale = pace[number, day]
        usual = pace[parents[number], day] if number else 1.0
        times = np.minimum(np.array(exposures) / 24 / scale, curves.last)
        expected = -np.log(curves.survival(np.array(leaves, dtype=np.int64), times)).sum()
        # Interpolated between paces 9 % apart.
        assert expected + m * usual / scale == pytest.approx(seen + m, rel=0.01)


@pytest.mark.parametrize("line", [0.35, 0.7])
def test_flags_follow_the_pace_of_the_day(line: float) -> None:
    rng = np.random.default_rng(10)
    n, days = 500, 14
    labels = [rng.choice(["x", "y"], n), rng.choice(["p", "q"], n)]
    curves = fit_curves(rng.lognormal(0.5, 0.5, n), np.ones(n), labels, 5.0)
    node = curves.node(labels)
    shipped = rng.integers(0, 8 * DAY, n)
    promise = rng.choice([30.0, 52.25, 71.0, 120.0, 300.0], n)
    way = rng.lognormal(4.2, 0.6, n)
    delivered = np.where(way > 250, np.iinfo(np.int64).max, shipped + (way * HOUR).astype(np.int64))
    pace = rng.uniform(0.5, 4.0, (len(curves.nodes), days))
    hours, paces = flag_moments(curves, node, promise, line, shipped, delivered, pace)
    for at in range(n):
        expected = math.inf
        for hour in range(14 * 24):
            moment = shipped[at] + hour * HOUR
            day = moment // DAY
            if hour >= promise[at] or moment >= delivered[at] or day >= days:
                break
            scale = 24 * pace[node[at], day]
            ages = np.minimum(np.array([hour, promise[at]]) / scale, curves.last)
            now, then = curves.survival(node[at], ages)
            if then / line >= now:
                expected, used = hour, pace[node[at], day]
                break
        assert hours[at] == expected
        assert expected == math.inf or paces[at] == used
    assert 50 < np.isfinite(hours).sum() < n - 50


def test_recent_days_find_the_jam_and_leave_quiet_weeks_alone(bundled: pd.DataFrame) -> None:
    usual = late_parcels(bundled, split="2025-01-01")
    recent = late_parcels(bundled, split="2025-01-01", recent_days=2)
    pd.testing.assert_series_equal(
        usual.rates.loc["classes"], recent.rates.loc["usual pace"], check_names=False
    )
    pd.testing.assert_series_equal(
        usual.rates.loc["by carrier only"], recent.rates.loc["by carrier only"]
    )
    times = usual.flags["shipped_at"].dt
    jam = (times.month == 11) & times.day.between(10, 19)
    late = usual.flags["late"]

    def rates(result: LateParcels, where: pd.Series) -> tuple[float, float]:
        flagged = result.flags["flagged_at"].notna()
        return (
            tp.error_rate(late[where], flagged[where]),
            tp.omission_rate(late[where], flagged[where]),
        )

    assert (late & jam).sum() > 500
    for where, least in ((jam, 0.15), (jam | ~jam, 0.02), (~jam, -0.03)):
        error, omission = rates(usual, where)
        new_error, new_omission = rates(recent, where)
        assert new_omission <= omission - least
        assert new_error <= error + (0.05 if where is jam else 0.0)
    lead = [result.rates.loc["classes", "lead_median"] for result in (usual, recent)]
    assert lead[1] > lead[0]


def test_parcels_on_the_way_move_at_the_pace_of_the_day(bundled: pd.DataFrame) -> None:
    until = pd.Timestamp("2025-11-13 09:30")
    late = late_parcels(bundled, until=until, recent_days=2)
    known = as_of(bundled, until)
    start = known["shipped_at"].min().normalize()
    shipped = ((known["shipped_at"] - start) / HOURS * HOUR).round().astype(np.int64).to_numpy()
    delivered = ((known["delivered_at"] - start) / HOURS * HOUR).round()
    delivered = delivered.fillna(1e18).astype(np.int64).to_numpy()
    days = (until.normalize() - start).days + 1
    curves = late._curves
    pace = recent_pace(
        curves, curves.node([known[name] for name in BY]), shipped, delivered, days, 2
    )
    now = late.in_transit
    node = curves.node([now[name] for name in BY])
    np.testing.assert_allclose(now["pace"], pace[node, -1])
    # Three days into the jam they are slow, and more so than at its beginning.
    assert now["pace"].between(1.1, 2.0).all()
    assert pace[0, -1] > pace[0, -3] > 0.9
    ahead = now[~now["due"]]
    age = ahead["age_hours"] / 24 / ahead["pace"]
    promise = (ahead["promised_at"] - ahead["shipped_at"]) / HOURS / 24 / ahead["pace"]
    at = curves.node([ahead[name] for name in BY])
    chance = 1 - curves.within(at, np.minimum(age, curves.last), np.minimum(promise, curves.last))
    np.testing.assert_allclose(ahead["probability_late"], chance)


# --- what may be passed ---------------------------------------------------------------------------


def test_times_with_a_zone_are_the_same_moments(small: pd.DataFrame) -> None:
    plain = late_parcels(small, split="2024-03-20 07:30", until="2024-04-08", recent_days=2)
    aware = small.copy()
    for column in ("shipped_at", "promised_at", "delivered_at"):
        aware[column] = aware[column].dt.tz_localize("Asia/Shanghai")
    aware["delivered_at"] = aware["delivered_at"].dt.tz_convert("UTC")
    zoned = late_parcels(
        aware,
        split=pd.Timestamp("2024-03-20 07:30", tz="Asia/Shanghai"),
        until=pd.Timestamp("2024-04-07 16:00", tz="UTC"),
        recent_days=2,
    )
    assert str(zoned.until.tz) == str(zoned.split.tz) == "Asia/Shanghai"
    pd.testing.assert_frame_equal(plain.rates, zoned.rates)
    pd.testing.assert_frame_equal(plain.to_frame(), zoned.to_frame())
    local = zoned.flags.copy()
    for column in ("shipped_at", "promised_at", "flagged_at"):
        assert str(local[column].dt.tz) == "Asia/Shanghai"
        local[column] = local[column].dt.tz_localize(None)
    pd.testing.assert_frame_equal(plain.flags, local, check_dtype=False)


def test_columns_types_and_defaults(small: pd.DataFrame) -> None:
    plain = late_parcels(small)
    assert plain.until == small[["shipped_at", "delivered_at"]].max().max()
    assert plain.split == small["shipped_at"].sort_values().iloc[len(small) // 2]
    assert plain.n_after == 0
    names = {column: f"my {column}" for column in small}
    other = small.rename(columns=names).set_index(pd.Index(list(range(5, 5 + len(small)))))
    for column in BY:
        other[names[column]] = other[names[column]].astype("category")
    renamed = late_parcels(
        other,
        parcel=names["parcel_id"],
        by=[names[column] for column in BY],
        shipped=names["shipped_at"],
        promised=names["promised_at"],
        delivered=names["delivered_at"],
    )
    back = {new: old for old, new in names.items()}
    for name in ("flags", "in_transit"):
        frame = getattr(renamed, name).rename(columns=back)
        for column in BY:
            frame[column] = frame[column].astype(small[column].dtype)
        pd.testing.assert_frame_equal(frame, getattr(plain, name))
    assert renamed.rates.loc["classes"].equals(plain.rates.loc["classes"])
    assert "by my carrier only" in renamed.rates.index


def test_three_levels_repeated_index_and_nanoseconds(small: pd.DataFrame) -> None:
    other = small.assign(city="one").set_index(pd.Index([7] * len(small)))
    for column in ("shipped_at", "promised_at", "delivered_at"):
        other[column] = other[column].astype("datetime64[ns]")
    deep = late_parcels(other, by=("carrier", "province", "city"), shrinkage=0.0)
    plain = late_parcels(small, shrinkage=0.0)
    # A class with one class in it is that class.
    flags = deep.flags.drop(columns="city").astype(plain.flags.dtypes.to_dict())
    pd.testing.assert_frame_equal(flags, plain.flags)
    pd.testing.assert_frame_equal(deep.rates, plain.rates)
    assert deep.to_frame().columns[:3].tolist() == ["carrier", "province", "city"]


def test_shown_as_text_and_as_a_page(small: pd.DataFrame) -> None:
    late = late_parcels(small, line=0.4)
    rates = late.rates.loc["classes"]
    text = repr(late)
    assert f"{late.n_judged:,} parcels judged" in text
    assert f"omission rate {rates['omission_rate']:.3f}" in text
    assert f"{late.n_undecided} promised later" in text
    assert f"{late.in_transit['flag'].sum()} to flag" in text
    page = late._repr_html_()
    assert text in page
    assert page.count("<table") == 2
    assert "share of the promise" in page


def change(column: str, value: Any, rows: Any = 0) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def changed(frame: pd.DataFrame) -> pd.DataFrame:
        values = frame[column].astype("object")
        values.iloc[rows] = value
        typed = values if column == "carrier" else values.astype(frame[column].dtype)
        return frame.assign(**{column: typed})

    return changed


AGES = pd.Timestamp("2024-02-28")


@pytest.mark.parametrize(
    ("alter", "arguments", "parts"),
    [
        (lambda f: f.to_dict(), {}, ["dict", "DataFrame"]),
        (lambda f: f.drop(columns="province"), {}, ["no column 'province'"]),
        (lambda f: f[:0], {}, ["no row"]),
        (lambda f: f.assign(parcel_id=None), {}, ["parcel_id is missing at index 0 (400"]),
        (change("carrier", None, 7), {}, ["carrier is missing at index 7 (1 such"]),
        (change("carrier", 3, 7), {}, ["carrier holds labels of different types"]),
        (change("shipped_at", pd.NaT, 5), {}, ["shipped_at is missing at index 5"]),
        (change("promised_at", pd.NaT, 5), {}, ["promised_at is missing at index 5"]),
        (lambda f: f.assign(parcel_id=f["parcel_id"] // 2), {}, ["parcel_id repeats", "200 such"]),
        (change("promised_at", AGES, 3), {}, ["promised_at is not after shipped_at at index 3"]),
        (lambda f: f.assign(promised_at=f["shipped_at"]), {}, ["promised_at is not after", "400"]),
        (change("delivered_at", AGES, 3), {}, ["delivered_at is before shipped_at at index 3"]),
        (lambda f: f.assign(shipped_at=f["shipped_at"].astype(str)), {}, ["not times", "to_dat"]),
        (
            lambda f: f.assign(shipped_at=f["shipped_at"].dt.tz_localize("UTC")),
            {},
            ["promised_at, delivered_at has no time zone"],
        ),
        (None, {"by": "carrier"}, ["by is 'carrier'", "pass columns"]),
        (None, {"by": ()}, ["by is ()"]),
        (None, {"by": ("carrier", "carrier")}, ["by is ('carrier', 'carrier')", "once"]),
        (None, {"by": ("parcel_id",)}, ["'parcel_id' is named twice"]),
        (lambda f: f.rename(columns={"carrier": "late"}), {"by": ("late",)}, ["name of a result"]),
        (None, {"line": 1.0}, ["line is 1.0", "< 1"]),
        (None, {"line": 0}, ["line is 0", "> 0"]),
        (None, {"notice": -1}, ["notice is -1", ">= 0"]),
        (None, {"shrinkage": math.nan}, ["shrinkage is nan"]),
        (None, {"level": 1}, ["level is 1", "< 1"]),
        (None, {"recent_days": 0}, ["recent_days is 0", ">= 1"]),
        (None, {"recent_days": 1000}, ["recent_days is 1000", "covers 41 days"]),
        (None, {"recent_days": 1.5}, ["recent_days is 1.5", "whole"]),
        (None, {"until": "soon"}, ["until is 'soon'"]),
        (None, {"until": 20240401}, ["until is 20240401"]),
        (None, {"split": pd.NaT}, ["split is NaT"]),
        (None, {"until": "2024-02-01"}, ["every shipped_at is after until (2024-02-01"]),
        (None, {"split": pd.Timestamp("2024-03-20", tz="UTC")}, ["split", "a time zone"]),
        (None, {"split": "2024-03-01"}, ["0 parcels have shipped_at before split", "20"]),
        (None, {"split": "2024-06-01"}, ["no parcel shipped from split", "judge"]),
        (None, {"split": "2024-04-09", "until": "2024-04-09 01:00"}, ["is promised by until"]),
    ],
)
def test_what_cannot_be_used_is_refused(
    small: pd.DataFrame, alter: Any, arguments: dict[str, Any], parts: list[str]
) -> None:
    parcels = small if alter is None else alter(small)
    with pytest.raises(InputError) as caught:
        late_parcels(parcels, **arguments)
    for part in parts:
        assert part in str(caught.value)


def test_nothing_delivered_by_the_split_is_nothing_to_learn_from(small: pd.DataFrame) -> None:
    split = pd.Timestamp("2024-03-20")
    slow = small.copy()
    slow["delivered_at"] = np.maximum(slow["shipped_at"], split) + pd.Timedelta(days=20)
    with pytest.raises(InputError, match=r"none of the .* parcels shipped before split"):
        late_parcels(slow, split=split)
    with pytest.raises(InputError, match=r"none of the .* parcels shipped before split"):
        late_parcels(slow.assign(delivered_at=pd.Series(pd.NaT, slow.index)), split=split)


def test_ages_beyond_the_curves_are_refused(small: pd.DataFrame) -> None:
    late = late_parcels(small)
    cases = (([-1], ">= 0"), ([1e6], "<= "), ([math.nan], "ages is nan"), ([[1.0]], "shape"))
    for ages, part in cases:
        with pytest.raises(InputError, match=part):
            late.curve(ages)
