"""The contact calendar: rules of the trade, cap and capacity, money, and what then happens."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchpoint_lib as tp
from touchpoint_lib import InputError
from touchpoint_lib.segments import SLEEP_STATES
from touchpoint_lib.timing.calendar import contact_calendar
from touchpoint_lib.timing.money import ContactMoney
from touchpoint_lib.timing.policies import FixedDays, MoneyRule, OwnGapQuantile, OwnReturn
from touchpoint_lib.timing.programme import ContactProgramme

#: MBG/NBD at the CDNOW estimates, in days.
CDNOW = [0.524838, 6.182992 * 7, 0.891356, 1.613999]
LEVELS = (0.8, 0.5, 0.2)
LINES = ["drowsy", "half asleep", "asleep"]
UNTIL = dt.date(2024, 5, 9)
MONEY = ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)
#: Of a contact that always gains.
FREE = ContactMoney(margin=30, win_back=0.1)
STRICT = ContactMoney(margin=30, win_back=0.1, cost=1.5, discount=5)


def refused(parts, *args, **kwargs):
    """Assert that the call raises an InputError whose message has all ``parts``."""
    with pytest.raises(InputError) as caught:
        contact_calendar(*args, **kwargs)
    for part in parts:
        assert part in str(caught.value)


def base_of(rows, unit="D", until=UNTIL):
    """Customers from (frequency, recency, T) in days."""
    days = 7 if unit == "W" else 1
    frame = pd.DataFrame(rows, columns=["frequency", "recency", "T"], dtype=float)
    frame[["recency", "T"]] /= days
    frame.index = pd.Index([f"c{i:04d}" for i in range(len(frame))], name="customer_id")
    frame.attrs = {"unit": unit, "until": until.isoformat()}
    return frame


def model_in(unit="D", params=CDNOW):
    r, alpha, a, b = params
    return tp.ModifiedBetaGeoModel.from_params(
        [r, alpha / (7 if unit == "W" else 1), a, b], unit=unit
    )


@pytest.fixture(scope="module")
def split():
    return tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")


@pytest.fixture(scope="module")
def model(split):
    return tp.ModifiedBetaGeoModel().fit(split)


@pytest.fixture(scope="module")
def calendar(model, split):
    return contact_calendar(model, split, MONEY, capacity=40, holidays={"1997-10-12": "Columbus"})


# --- an independent calendar -------------------------------------------------------------------


def alive(params, x, recency, silence):
    """P(alive) of the MBG/NBD: the formula, not the library."""
    r, alpha, a, b = params
    ratio = (alpha + recency + silence) / (alpha + recency)
    return 1 / (1 + a / (b + x) * ratio ** (r + x))


def returns(params, x, recency, silence, horizon):
    r, alpha, _, _ = params
    there = alpha + recency + silence
    return alive(params, x, recency, silence) * (1 - (there / (there + horizon)) ** (r + x))


def state_of(params, x, recency, silence):
    if silence < 0:
        return 0
    relative = alive(params, x, recency, silence) / alive(params, x, recency, 0)
    return sum(relative <= level for level in LEVELS)


def slow_calendar(
    params, customers, money, days, horizon, policy, holidays, capacity, cap, cap_days, log
):
    """Return the calendar by the rules as they are told, customer by customer and day by day."""
    made = defaultdict(list)
    for who, day in log:
        made[who].append(day)
    due = defaultdict(list)
    crossings = {}

    def state_on(who, day):
        x, recency, age = customers[who]
        silence = age - recency + day
        state = state_of(params, x, recency, silence)
        if policy is not None:
            # Awake until the policy says so, whatever the model says; drowsy at least from then.
            state = max(state, 1) if silence >= policy[who] else 0
        return state

    for who, (x, recency, age) in customers.items():
        silence = age - recency
        cross = {}
        for place, line in enumerate(LINES, start=1):
            day = -silence
            while day <= days + 1 and state_on(who, day) < place:
                day += 1
            cross[line] = day
        crossings[who] = cross
        first = "drowsy" if policy is None else "policy"
        for line, day in (
            (first, cross["drowsy"]),
            ("half asleep", cross["half asleep"]),
            ("asleep", cross["asleep"]),
        ):
            if 1 <= day <= days:
                due[day].append((who, line, ""))
        last, when = first, cross["drowsy"]
        if cross["half asleep"] <= 0:
            last, when = "half asleep", cross["half asleep"]
        if (
            when <= 0
            and cross["half asleep"] != 1
            and cross["asleep"] > 1
            and not any(day >= when for day in made[who])
        ):
            due[1].append((who, last, "overdue"))
        if x > 0:
            day = 1 - silence
            while silence + day < recency / x - 1e-9:
                day += 1
            # Care is for the first day at or after the mean gap, not for later ones.
            if 1 <= day <= min(days, cross["drowsy"] - 1) and silence + day - 1 < recency / x:
                due[day].append((who, "cycle", ""))
        for day, name in holidays.items():
            if 1 <= day <= days and day < cross["drowsy"]:
                due[day].append((who, f"holiday {name}", ""))

    found = []
    waiting = []
    depth = {"half asleep": 1, "asleep": 2}
    for day in range(1, days + 1):
        here = []
        for who, line, reason in due[day] + waiting:
            x, recency, age = customers[who]
            silence = age - recency + day
            awake = day < crossings[who]["drowsy"]
            if line == "cycle" and awake and day in holidays:
                continue
            q = returns(params, x, recency, silence, horizon)
            reached = 1 - returns(params, x, recency, age - recency, day)
            stimulus = line != "cycle" and not line.startswith("holiday")
            margin, discount = (
                float(value[who]) if isinstance(value, pd.Series) else value
                for value in (money.margin, money.discount)
            )
            gain = -money.cost
            if stimulus:
                gain += (1 - q) * money.win_back * margin - q * discount
            here.append(
                {
                    "who": who,
                    "day": day,
                    "line": line,
                    "stimulus": stimulus,
                    "state": SLEEP_STATES[state_on(who, day)],
                    "reason": reason,
                    "silence": silence,
                    "q": q,
                    "reached": reached,
                    "gain": gain,
                    "discount": discount,
                    "leave": None,
                }
            )
        for row in here:
            deeper = [
                other["line"]
                for other in here
                if row["stimulus"]
                and other["who"] == row["who"]
                and depth.get(other["line"], 0) > depth.get(row["line"], 0)
            ]
            if deeper:
                row["leave"] = max(deeper, key=depth.get) + " the same day"
            elif row["stimulus"] and row["gain"] <= 0:
                row["leave"] = "no gain"
            elif row["line"] == "cycle" and row["state"] != "awake":
                row["leave"] = "capacity"
            recent = [d for d in made[row["who"]] if day - cap_days < d <= day]
            if row["leave"] is None and len(recent) >= cap:
                row["leave"] = "cap"
        wanted = sorted(
            (row for row in here if row["leave"] is None),
            key=lambda row: (row["stimulus"], -row["reached"] * row["gain"], row["who"]),
        )
        waiting = []
        for place, row in enumerate(wanted):
            if capacity is None or place < capacity:
                made[row["who"]].append(day)
            elif row["line"].startswith("holiday") or day == days:
                row["leave"] = "capacity"
            else:
                late = "overdue" if row["reason"] == "overdue" else "moved"
                waiting.append((row["who"], row["line"], late))
                here.remove(row)
        found += here
    for row in found:
        row["action"] = (
            "leave"
            if row["leave"] is not None
            else "stimulus"
            if row["stimulus"]
            else "care"
            if row["line"] == "cycle"
            else "benefit"
        )
    return found


class Told:
    """A policy that is told the day of each customer."""

    def __init__(self, days):
        self.days = days

    def silence(self, frame):
        return np.array([float(self.days[who]) for who in frame.index])


def first_day(params, row, day):
    """The day itself, or the first day of silence at or behind a line, up to 400."""
    if day not in LINES:
        return day
    x, recency, _ = row
    place = LINES.index(day) + 1
    return next((s for s in range(400) if state_of(params, x, recency, s) >= place), 400)


params_ = st.tuples(st.floats(0.3, 3), st.floats(5, 60), st.floats(0.3, 2), st.floats(0.5, 4)).map(
    list
)


@st.composite
def histories(draw):
    """(frequency, recency, T) in days, many of them near their lines."""
    rows = []
    for _ in range(draw(st.integers(1, 14))):
        x = draw(st.integers(0, 12))
        recency = draw(st.integers(x, 150)) if x else 0
        rows.append((x, recency, recency + draw(st.integers(0, 90))))
    return rows


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(
    rows=histories(),
    params=params_,
    unit=st.sampled_from("DW"),
    days=st.integers(1, 30),
    horizon=st.sampled_from([1, 30, 90]),
    policy=st.none()
    | st.lists(
        st.integers(0, 90) | st.sampled_from([*LINES, 20.5, np.inf]), min_size=14, max_size=14
    ),
    by_customer=st.booleans(),
    holidays=st.sets(st.integers(-3, 33), max_size=3),
    capacity=st.none() | st.integers(1, 3),
    cap=st.integers(1, 3),
    cap_days=st.integers(1, 40),
    log=st.lists(st.tuples(st.integers(0, 13), st.integers(-45, 0)), max_size=10),
    cost=st.sampled_from([0.0, 0.5, 1.5]),
    seed=st.none() | st.integers(0, 99),
)
def test_a_calendar_in_plain_python_agrees(
    rows, params, unit, days, horizon, policy, by_customer, holidays, capacity, cap, cap_days, log,
    cost, seed,
):  # fmt: skip
    frame = base_of(rows, unit)
    ids = list(frame.index)
    log = [(ids[place], day) for place, day in log if place < len(ids)]
    if policy is not None:
        policy = {
            who: first_day(params, row, day)
            for who, row, day in zip(ids, rows, policy, strict=False)
        }
    asked = None if policy is None else Told(policy)
    if policy is not None and by_customer:
        asked = pd.Series({"b": np.nan, **dict(reversed(policy.items())), "d": -1}, dtype=float)
    margin, discount = 30.0, 5.0
    if seed is not None:
        generator = np.random.default_rng(seed)
        margin = pd.Series(generator.uniform(5, 60, len(ids)), index=ids)[::-1]
        discount = pd.Series(generator.uniform(0, 9, len(ids)), index=ids)
    money = ContactMoney(margin=margin, win_back=0.1, cost=cost, discount=discount)
    contacts = pd.DataFrame(
        {
            "customer_id": pd.Series([who for who, _ in log], dtype="str"),
            "time": pd.to_datetime([UNTIL + dt.timedelta(days=day) for _, day in log])
            + pd.Timedelta(hours=15),
        }
    )
    names = {day: f"h{day}" for day in holidays}
    found = contact_calendar(
        model_in(unit, params),
        frame.sample(frac=1, random_state=1),
        money,
        days=days,
        horizon=horizon,
        policy=asked,
        holidays={UNTIL + dt.timedelta(days=day): name for day, name in names.items()},
        capacity=capacity,
        cap=cap,
        cap_days=cap_days,
        contacts=contacts,
    )
    expected = slow_calendar(
        params,
        dict(zip(ids, rows, strict=True)),
        money,
        days,
        horizon,
        policy,
        names,
        capacity,
        cap,
        cap_days,
        log,
    )
    key = ["date", "customer_id", "line"]
    wanted = pd.DataFrame(
        [
            {
                "date": pd.Timestamp(UNTIL) + pd.Timedelta(days=row["day"]),
                "customer_id": row["who"],
                "line": row["line"],
                "purchases": customers_purchases(rows, ids, row["who"]),
                "state": row["state"],
                "action": row["action"],
                "reason": row["leave"] or row["reason"],
                "silence": row["silence"],
                "own_return": row["q"],
                "reached": row["reached"],
                "discount": row["discount"] if row["action"] == "stimulus" else 0.0,
                "expected_wasted": 0.0 if row["leave"] else row["reached"] * row["q"],
                "expected_money": 0.0 if row["leave"] else row["reached"] * row["gain"],
            }
            for row in expected
        ],
        columns=list(found.columns),
    )
    assert len(found) == len(wanted)
    left, right = (part.sort_values(key).reset_index(drop=True) for part in (found, wanted))
    for name in found.columns:
        if left[name].dtype == "float64":
            np.testing.assert_allclose(
                left[name], right[name].astype(float), rtol=1e-7, atol=1e-9, err_msg=name
            )
        else:
            assert left[name].astype(str).tolist() == right[name].astype(str).tolist(), name


def customers_purchases(rows, ids, who):
    return rows[ids.index(who)][0] + 1


# --- invariants on populations of the model ----------------------------------------------------


def simulated(params, n, seed, longest=400):
    """A base drawn from the model, seen at different ages and at any hour."""
    ages = np.random.default_rng(seed).uniform(20, longest, n)
    base = tp.ModifiedBetaGeoModel.from_params(params, unit="D").simulate(n, T=ages, seed=seed)
    base.index = pd.Index([f"c{i:04d}" for i in range(n)], name="customer_id")
    base.attrs["until"] = UNTIL.isoformat()
    return base


def most_in_any(days, span):
    """The most of ``days`` that fall in any ``span`` days."""
    return max((sum(0 <= day - first < span for day in days) for first in days), default=0)


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(
    params=params_,
    seed=st.integers(0, 10_000),
    days=st.integers(1, 40),
    capacity=st.none() | st.integers(1, 30),
    cap=st.integers(1, 3),
    cap_days=st.integers(1, 60),
    contacted=st.integers(0, 300),
    money=st.sampled_from([MONEY, STRICT]),
    policy=st.sampled_from(["none", "fixed", "by customer"]),
)
def test_no_calendar_breaks_a_rule(
    params, seed, days, capacity, cap, cap_days, contacted, money, policy
):
    base, model = simulated(params, 250, seed), model_in("D", params)
    generator = np.random.default_rng(seed)
    log = pd.DataFrame(
        {
            "customer_id": generator.choice(base.index, contacted),
            "time": pd.Timestamp(UNTIL)
            - pd.to_timedelta(generator.integers(0, 60, contacted), unit="D"),
        }
    )
    named = generator.choice([*range(1, 200), np.inf], len(base))
    named = pd.Series(45.0 if policy == "fixed" else named, index=base.index)
    found = contact_calendar(
        model,
        base,
        money,
        days=days,
        capacity=capacity,
        cap=cap,
        cap_days=cap_days,
        contacts=log,
        policy={"none": None, "fixed": FixedDays(45), "by customer": named}[policy],
        holidays=[UNTIL + dt.timedelta(days=3)],
    )
    until, last = pd.Timestamp(UNTIL), pd.Timestamp(UNTIL) + pd.Timedelta(days=days)
    ahead = (found["date"] - until).dt.days.to_numpy()
    own = base.loc[found["customer_id"]]
    assert found["date"].between(until + pd.Timedelta(days=1), last).all()
    silence = (own["T"] - own["recency"]).to_numpy() + ahead
    np.testing.assert_allclose(found["silence"], silence, atol=1e-8)
    np.testing.assert_array_equal(found["purchases"], own["frequency"] + 1)

    # The lines: a policy ends the cycle on its day, and nobody sleeps before.
    states = tp.sleep_states(model, base)
    on = states[["drowsy_on", "half_asleep_on", "asleep_on"]].copy()
    if policy != "none":
        wait = np.ceil(named - (base["T"] - base["recency"]))
        first = until + pd.to_timedelta(wait.replace(np.inf, np.nan), unit="D")
        on = on.apply(lambda line: line.where(line.isna() | (line >= first), first))
        on["drowsy_on"] = first
        assert on.loc[np.isinf(named)].isna().all(axis=None)

    # The state is that of the customer seen on that day, and the awake get no discount.
    passed = (on.loc[found["customer_id"]].to_numpy() <= found[["date"]].to_numpy()).sum(axis=1)
    assert found["state"].tolist() == [SLEEP_STATES[place] for place in passed]
    if policy == "none":
        then = pd.concat([own.assign(T=own["T"] + ahead), base])
        seen = tp.sleep_states(model, then)["state"].iloc[: len(own)]
        assert found["state"].tolist() == seen.tolist()
    else:
        due = found["silence"].to_numpy() >= named[found["customer_id"]].to_numpy()
        assert due[found["action"] == "stimulus"].all()
        assert not due[found["action"].isin(["care", "benefit"])].any()
    awake = found["state"] == "awake"
    assert not (awake & (found["action"] == "stimulus")).any()
    assert (found["discount"] == np.where(found["action"] == "stimulus", 5.0, 0.0)).all()
    assert (awake | ~found["action"].isin(["care", "benefit"])).all()
    assert (found["date"][found["action"] == "benefit"] == until + pd.Timedelta(days=3)).all()

    # Money and waste of what is done, nothing for what is left.
    left = found["action"] == "leave"
    assert (found.loc[left, ["expected_money", "expected_wasted"]] == 0).all(axis=None)
    assert (found["expected_money"][found["action"] == "stimulus"] > 0).all()
    assert found.loc[~left, "reason"].isin(["", "overdue", "moved"]).all()
    assert not found.loc[left, "reason"].isin(["", "overdue", "moved"]).any()
    assert found["own_return"].between(0, 1).all()
    assert found["reached"].between(0, 1).all()
    np.testing.assert_allclose(
        found["expected_wasted"], np.where(left, 0, found["reached"] * found["own_return"])
    )
    totals = found.attrs["totals"]
    assert totals["contacts"] == (~left).sum()
    assert totals["expected_contacts"] == pytest.approx(found.loc[~left, "reached"].sum())
    for name in ("expected_wasted", "expected_money"):
        assert totals[name] == pytest.approx(found[name].sum())

    # Caps, with the contacts before.
    if capacity is not None:
        assert (found[~left].groupby("date").size() <= capacity).all()
    made = log.rename(columns={"time": "date"})
    planned = set(found.loc[~left, "customer_id"])
    contacts = pd.concat([made, found.loc[~left, ["date", "customer_id"]]])
    contacts["day"] = (contacts["date"] - until).dt.days
    for who, mine in contacts[contacts["customer_id"].isin(planned)].groupby("customer_id"):
        # More than the cap may have been made before; nothing is then added to them.
        before = [day for day in mine["day"] if day <= 0]
        for day in (day for day in mine["day"] if day > 0):
            window = [d for d in mine["day"] if day - cap_days < d <= day]
            assert len(window) <= cap, who
        assert most_in_any(list(mine["day"]), cap_days) <= max(cap, most_in_any(before, cap_days))

    # Every line that is crossed within the window is there once, with what becomes of it.
    for line, crossing in zip(
        ["drowsy" if policy == "none" else "policy", *LINES[1:]], on, strict=True
    ):
        crossed = on[crossing]
        crossed = crossed[(crossed > until) & (crossed <= last)]
        rows = found[(found["line"] == line) & found["customer_id"].isin(crossed.index)]
        assert sorted(rows["customer_id"]) == sorted(crossed.index)
        waited = rows["date"].to_numpy() - crossed[rows["customer_id"]].to_numpy()
        assert (waited[rows["reason"] == "moved"] > np.timedelta64(0)).all()
        assert (waited >= np.timedelta64(0)).all()
        if capacity is None:
            assert (waited == np.timedelta64(0)).all()
    assert not found.duplicated(["customer_id", "line"]).any()

    order = found.sort_values(
        ["date", "expected_money", "customer_id"], ascending=[True, False, True]
    )
    pd.testing.assert_frame_equal(
        order[["date", "expected_money", "customer_id"]].reset_index(drop=True),
        found[["date", "expected_money", "customer_id"]],
    )


# --- what then happens --------------------------------------------------------------------------


def lives(params, n, seed, seen, until):
    """Customers with their true future: the frame at age ``seen``, and the next purchase."""
    r, alpha, a, b = params
    generator = np.random.default_rng(seed)
    rate, leaves = generator.gamma(r, 1 / alpha, n), generator.beta(a, b, n)
    x, recency, upcoming = np.zeros(n), np.zeros(n), np.full(n, np.inf)
    going = np.flatnonzero(generator.random(n) >= leaves)
    now = np.zeros(n)
    while going.size:
        now[going] += generator.exponential(1 / np.maximum(rate[going], 1e-12))
        past = now[going] <= seen[going]
        upcoming[going[~past]] = now[going[~past]]
        going = going[past]
        x[going] += 1
        recency[going] = now[going]
        going = going[generator.random(going.size) >= leaves[going]]
    frame = pd.DataFrame({"frequency": x, "recency": recency, "T": seen})
    frame.index = pd.RangeIndex(n, name="customer_id")
    frame.attrs = {"unit": "D", "until": until.isoformat()}
    return frame, upcoming - seen


def test_as_many_are_reached_and_wasted_as_expected():
    """Six thousand customers with known futures, in a shop that does what the calendar says."""
    params = [2.0, 60.0, 0.4, 2.0]
    seen = np.random.default_rng(5).uniform(1, 200, 6000)
    frame, wait = lives(params, 6000, 11, seen, UNTIL)
    found = contact_calendar(
        model_in("D", params), frame, MONEY, days=28, horizon=60, capacity=400, cap=3,
        holidays=[UNTIL + dt.timedelta(days=10)],
    )  # fmt: skip
    found = found[found["action"] != "leave"]
    assert set(found["action"]) == {"care", "benefit", "stimulus"}
    ahead = (found["date"] - pd.Timestamp(UNTIL)).dt.days.to_numpy()
    upcoming = wait[found["customer_id"]]
    reached = upcoming > ahead
    wasted = reached & (upcoming <= ahead + 60)
    for label, mine in [
        ("all", found["reason"].notna()),
        *((action, found["action"] == action) for action in ("care", "benefit", "stimulus")),
        *((line, found["line"] == line) for line in ("drowsy", "half asleep")),
    ]:
        who = found["customer_id"][mine]
        assert len(who) > 100, label
        for what, truth, expected in (
            ("reached", reached, found["reached"]),
            ("wasted", wasted, found["expected_wasted"]),
        ):
            # Rows of one customer depend on each other: the residuals are summed by customer.
            miss = (truth[mine] - expected[mine]).groupby(who).sum()
            error = np.sqrt((miss**2).sum())
            assert abs(miss.sum()) <= 4 * error, (label, what, miss.sum(), error)
    # So many contacts fall away because the customer came first that it would be noticed.
    assert (len(found) - reached.sum()) > 10 * np.sqrt(reached.mean() * len(found) * 0.1)
    assert found["expected_wasted"].sum() == pytest.approx(wasted.sum(), rel=0.1)
    assert (found["reached"].sum() - len(found)) == pytest.approx(
        reached.sum() - len(found), rel=0.2
    )


@pytest.mark.parametrize(
    "model",
    [
        tp.ModifiedBetaGeoModel.from_params([2.0, 60.0, 0.4, 2.0], unit="D", regularity=3),
        tp.ParetoNBDModel.from_params([0.6, 10.0, 0.6, 12.0], unit="W"),
    ],
    ids=["regular", "pareto"],
)
def test_figures_are_those_of_any_model(model):
    span = 1 if model.unit_ == "W" else 7
    base = model.simulate(400, T=np.linspace(5, 60, 400) * span, seed=2)
    base.attrs["until"] = UNTIL.isoformat()
    found = contact_calendar(model, base, MONEY, horizon=35, capacity=5)
    assert len(found) > 100
    check_figures(found, model, base)


def check_figures(found, model, base):
    """Assert that probabilities are the model's own, asked customer by customer and day."""
    unit = 7 if model.unit_ == "W" else 1
    own = base.loc[found["customer_id"]]
    again = model.own_return_probability(own, found["silence"].to_numpy() / unit, 35 / unit)
    np.testing.assert_allclose(found["own_return"], again, rtol=1e-7, atol=1e-12)
    for date, rows in found.groupby("date"):
        ahead = (date - pd.Timestamp(UNTIL)).days / unit
        comes = model.probability_of_purchase(base.loc[rows["customer_id"]], ahead)
        np.testing.assert_allclose(rows["reached"], 1 - comes, rtol=1e-7, atol=1e-12)


def test_covariates_are_seen():
    plain = simulated([1.5, 40.0, 0.6, 2.0], 600, 4)
    base = plain.assign(app=np.arange(600) % 2, recency=np.ceil(plain["recency"]))
    base = base[base["recency"] <= base["T"]]
    model = tp.ModifiedBetaGeoModel().fit(base, rate_covariates="app")
    found = contact_calendar(model, base, MONEY, horizon=35)
    assert len(found) > 50
    check_figures(found, model, base)


# --- holidays, policies, money, units ----------------------------------------------------------


def test_the_calendar_of_the_cdnow_sample(calendar):
    # Regression values of this library.
    done = calendar.groupby("action").size().to_dict()
    assert done == {"benefit": 40, "care": 75, "leave": 1390, "stimulus": 1005}
    assert calendar.attrs["until"] == "1997-09-30"
    assert calendar["date"].min() == pd.Timestamp("1997-10-01")


def test_weeks_and_days_give_the_same_calendar():
    rows = [(x, recency, recency + silence) for x, recency in ((0, 0), (1, 9), (4, 33), (9, 70))
            for silence in range(60)]  # fmt: skip
    in_days, in_weeks = (
        contact_calendar(model_in(unit), base_of(rows, unit), MONEY, days=30, capacity=9)
        for unit in "DW"
    )
    assert len(in_days) > 100
    numbers = in_days.select_dtypes("float").columns
    pd.testing.assert_frame_equal(in_days.drop(columns=numbers), in_weeks.drop(columns=numbers))
    np.testing.assert_allclose(in_days[numbers], in_weeks[numbers], rtol=1e-9, atol=1e-12)


def test_a_split_is_seen_as_of_its_day(model, split):
    summary = tp.rfm_summary(tp.load_cdnow(sample=True), until="1997-09-30")
    base = tp.customer_base(tp.load_cdnow(sample=True), until="1997-09-30")
    plain = contact_calendar(model, split, MONEY)
    for customers in (summary, base):
        pd.testing.assert_frame_equal(contact_calendar(model, customers, MONEY), plain)


def test_on_a_holiday_the_awake_get_a_benefit_in_place_of_care():
    base = base_of([(5, 50, 52), (5, 50, 90), (0, 0, 1)])
    plain = contact_calendar(model_in(), base, MONEY, days=9)
    # Ten days a gap, two of them over: care comes on the eighth day.
    care = plain[plain["line"] == "cycle"]
    assert care[["customer_id", "action"]].to_numpy().tolist() == [["c0000", "care"]]
    assert care["date"].tolist() == [pd.Timestamp("2024-05-17")]
    assert care["expected_money"].tolist() == [-0.5 * care["reached"].iloc[0]]
    named = contact_calendar(model_in(), base, MONEY, days=9, holidays={"2024-05-17": "Fair"})
    benefit = named[named["action"] == "benefit"]
    assert benefit["customer_id"].tolist() == ["c0000", "c0002"]
    assert (benefit["line"] == "holiday Fair").all()
    assert "care" not in named["action"].tolist()
    assert (benefit["discount"] == 0).all()
    bare = contact_calendar(model_in(), base, MONEY, days=9, holidays=[dt.date(2024, 5, 17)])
    assert set(bare["line"]) - set(plain["line"]) == {"holiday"}
    # Outside the window a holiday plays no part.
    far = contact_calendar(model_in(), base, MONEY, days=9, holidays=["2024-05-19", "2024-05-09"])
    pd.testing.assert_frame_equal(far, plain)


def test_a_policy_moves_the_warning_line(model, split):
    base = base_of([(5, 50, 52), (5, 50, 69), (0, 0, 30), (0, 0, 1)])
    after = tp.sleep_states(model_in(), base)
    # The lines of the model come later.
    assert (after["drowsy_after"] > 20).all()
    assert (after["half_asleep_after"] > 40).all()
    found = contact_calendar(
        model_in(), base, FREE, days=9, policy=FixedDays(20), holidays={"2024-05-10": "Fair"}
    )
    # The second becomes drowsy on the first day, so has no benefit; the third was before.
    wanted = [
        ["c0001", "2024-05-10", "drowsy", "policy", "stimulus", "", 20.0],
        ["c0002", "2024-05-10", "drowsy", "policy", "stimulus", "overdue", 31.0],
        ["c0000", "2024-05-10", "awake", "holiday Fair", "benefit", "", 3.0],
        ["c0003", "2024-05-10", "awake", "holiday Fair", "benefit", "", 2.0],
        ["c0000", "2024-05-17", "awake", "cycle", "care", "", 10.0],
    ]
    columns = ["customer_id", "date", "state", "line", "action", "reason", "silence"]
    shown = found[columns].assign(date=found["date"].astype(str)).to_numpy().tolist()
    assert sorted(shown) == sorted(wanted)
    # On the day of the mean gap the policy's stimulus comes in place of care.
    found = contact_calendar(model_in(), base.iloc[:1], FREE, days=9, policy=FixedDays(10))
    assert found[["line", "action", "silence"]].to_numpy().tolist() == [["policy", "stimulus", 10]]

    # A later one keeps everybody awake until its day, and nobody asleep before it.
    late = contact_calendar(model, split, MONEY, policy=FixedDays(250))
    contact = late[late["action"] == "stimulus"]
    assert len(contact) > 100
    assert (contact["silence"] >= 250).all()
    assert ((late["state"] == "awake") == (late["silence"] < 250)).all()
    never = contact_calendar(model, split, MONEY, policy=Never())
    assert set(never["action"]) == {"care"}
    assert set(never["state"]) == {"awake"}


@pytest.mark.parametrize("depth", [2, 3])
def test_a_policy_behind_the_other_lines_jumps_over_states(depth):
    state = SLEEP_STATES[depth]
    after = tp.sleep_states(model_in(), base_of([(6, 60, 60)])).iloc[0]
    half, asleep = np.ceil([after["half_asleep_after"], after["asleep_after"]])
    day = int(half if depth == 2 else asleep) + 1
    assert (asleep > day) == (depth == 2)
    # Seen on the day before.
    base = base_of([(6, 60, 59 + day)])
    found = contact_calendar(model_in(), base, FREE, days=1, policy=FixedDays(day))
    assert (found["state"] == state).all()
    columns = ["line", "action", "reason"]
    same = [[line, "leave", f"{state} the same day"] for line in ("policy", *LINES[1 : depth - 1])]
    assert sorted(found[columns].to_numpy().tolist()) == sorted([*same, [state, "stimulus", ""]])
    # A day later nobody sleeps yet.
    later = contact_calendar(
        model_in(), base, FREE, days=1, policy=FixedDays(day + 1), holidays=["2024-05-10"]
    )
    assert later[["state", "line", "action"]].to_numpy().tolist() == [
        ["awake", "holiday", "benefit"]
    ]


def test_what_is_overdue_counts_from_the_line_that_the_policy_moved():
    line = int(
        np.ceil(tp.sleep_states(model_in(), base_of([(0, 0, 9)]))["half_asleep_after"].iloc[0])
    )
    base = base_of([(0, 0, line + 5)])
    # Contacted on the day of the half asleep line of the model.
    log = pd.DataFrame(
        {"customer_id": ["c0000"], "time": [pd.Timestamp(UNTIL) - pd.Timedelta(days=5)]}
    )
    for policy, contacts, expected in (
        (line - 1, None, [["half asleep", "overdue"]]),
        (line + 1, None, [["half asleep", "overdue"]]),
        (line - 1, log, []),
        (line, log, []),
        (line + 1, log, [["half asleep", "overdue"]]),
    ):
        found = contact_calendar(
            model_in(), base, MONEY, days=5, policy=FixedDays(policy), contacts=contacts
        )
        assert found[["line", "reason"]].to_numpy().tolist() == expected, policy


def open_days(policy, spells):
    """The days that a policy names for the last spell of each customer."""
    return pd.Series(policy.silence(spells), index=spells.index).groupby(level=0).last()


def test_days_by_customer_do_what_the_policy_does(model, split):
    spells = tp.purchase_spells(tp.load_cdnow(sample=True), until="1997-09-30")
    for policy in (FixedDays(60), OwnReturn(model, line=0.3), MoneyRule(model, STRICT)):
        asked = contact_calendar(model, split, STRICT, policy=policy, capacity=50)
        given = contact_calendar(
            model, split, STRICT, policy=open_days(policy, spells), capacity=50
        )
        pd.testing.assert_frame_equal(given, asked)
        assert (asked["action"] == "stimulus").any()
    # In any order, with others.
    more = pd.concat([pd.Series({"x": np.nan, "y": -1.0}), open_days(policy, spells)])
    more = pd.concat([more, pd.Series({"x": 3.0})]).sample(frac=1, random_state=1)
    again = contact_calendar(model, split, STRICT, policy=more, capacity=50)
    pd.testing.assert_frame_equal(again, asked)


@pytest.mark.parametrize(
    "policy", [OwnGapQuantile(0.9), ContactProgramme(tp.ModifiedBetaGeoModel(), STRICT)]
)
def test_a_policy_on_spells_is_obeyed_to_the_day(model, split, policy):
    spells = tp.purchase_spells(tp.load_cdnow(sample=True), until="1997-09-30")
    due = open_days(policy.fit(spells), spells)
    found = contact_calendar(model, split, MONEY, policy=due, days=28)
    now = open_days(Observed(), spells)
    # Whose day has passed is overdue, or not worth it, on the first day.
    coming = due[(due > now) & (due <= now + 28)]
    assert len(coming) > 30
    first = found[found["line"] == "policy"].set_index("customer_id")
    ahead = due[first.index] > now[first.index]
    assert sorted(first.index[ahead]) == sorted(coming.index)
    wanted = np.where(ahead, due[first.index], now[first.index] + 1)
    assert first["silence"].tolist() == wanted.tolist()


class Observed:
    """How long each spell has lasted so far."""

    def silence(self, spells):
        return spells["observed"].to_numpy()


def test_ids_of_contacts_may_be_a_category(model, split):
    log = pd.DataFrame({"customer_id": split.index[:900], "time": pd.Timestamp("1997-09-29")})
    found = contact_calendar(model, split, MONEY, contacts=log)
    assert len(found) < len(contact_calendar(model, split, MONEY))
    again = contact_calendar(model, split, MONEY, contacts=log.astype({"customer_id": "category"}))
    pd.testing.assert_frame_equal(again, found)


def test_care_that_waits_for_room_ends_at_the_drowsy_line():
    base = base_of([(6, 60, 68)] * 20)
    on = tp.sleep_states(model_in(), base)["drowsy_on"].iloc[0]
    first = pd.Timestamp("2024-05-11")
    found = contact_calendar(model_in(), base, MONEY, capacity=1)
    care = found[found["line"] == "cycle"].sort_values(["date", "customer_id"])
    days = (on - first).days
    assert 5 < days < 15
    # One a day, with the silence of that day, until the line.
    done = care.iloc[:days]
    assert done["date"].tolist() == list(pd.date_range(first, periods=days))
    assert (done["action"] == "care").all()
    assert done["reason"].tolist() == [""] + ["moved"] * (days - 1)
    assert done["silence"].tolist() == [10.0 + day for day in range(days)]
    rest = care.iloc[days:]
    assert len(rest) == 20 - days
    assert (rest["date"] == on).all()
    assert set(zip(rest["action"], rest["reason"], strict=True)) == {("leave", "capacity")}


def test_care_comes_before_what_gains_more():
    base = base_of([(0, 0, 150)] * 40 + [(6, 60, 68)])
    found = contact_calendar(model_in(), base, MONEY, capacity=1)
    assert (found[found["action"] != "leave"].groupby("date").size() == 1).all()
    care = found[found["line"] == "cycle"]
    wanted = [[pd.Timestamp("2024-05-11"), "care", ""]]
    assert care[["date", "action", "reason"]].to_numpy().tolist() == wanted


def test_a_policy_sees_customers_in_days(model, split):
    log = tp.load_cdnow(sample=True)
    in_days = tp.rfm_summary(log, until="1997-09-30", unit="D")

    class Looks(Never):
        def silence(self, frame):
            assert frame.attrs["unit"] == "D"
            pd.testing.assert_frame_equal(frame[in_days.columns], in_days, check_dtype=False)
            self.looked = True
            return super().silence(frame)

    policy = Looks()
    contact_calendar(model, split, MONEY, policy=policy)
    assert policy.looked


class Never:
    def silence(self, frame):
        return np.full(len(frame), np.inf)


class Short:
    def silence(self, frame):
        return np.full(len(frame) - 1, 30.0)


class Unknown:
    def silence(self, frame):
        return np.full(len(frame), np.nan)


def test_the_library_s_own_policies_are_taken(model, split):
    rule = MoneyRule(model, STRICT)
    found = contact_calendar(model, split, STRICT, policy=rule)
    drowsy = contact_calendar(model, split, STRICT)
    # The rule waits for the day on which a contact gains, where the line has nothing to gain.
    lost = (drowsy["line"] == "drowsy") & (drowsy["reason"] == "no gain")
    assert lost.sum() > 10
    assert not ((found["line"] == "policy") & (found["reason"] == "no gain")).any()
    low = contact_calendar(model, split, MONEY, policy=OwnReturn(model, line=0.1))
    first = low[(low["line"] == "policy") & (low["action"] == "stimulus")]
    assert len(first) > 100
    assert (first["own_return"] <= 0.1).all()


def test_money_by_customer_decides_who_comes_first(model, split):
    plain = contact_calendar(model, split, MONEY, capacity=20)
    # Somebody who had to wait for weeks.
    rich = plain.loc[plain["reason"] == "overdue", "customer_id"].iloc[-1]
    margin = pd.Series(30.0, index=split.index)
    margin[rich] = 3000.0
    money = ContactMoney(margin=margin, win_back=0.1, cost=0.5, discount=margin / 6)
    found = contact_calendar(model, split, money, capacity=20)
    assert found["customer_id"].iloc[0] == rich
    assert found["discount"].iloc[0] == 500.0
    # The money of those who get no stimulus need not be known.
    stimulated = found.loc[~found["line"].isin(["cycle"]), "customer_id"].unique()
    some = ContactMoney(margin=margin[stimulated], win_back=0.1, cost=0.5, discount=margin / 6)
    pd.testing.assert_frame_equal(contact_calendar(model, split, some, capacity=20), found)
    less = ContactMoney(margin=margin.drop(rich), win_back=0.1)
    refused(["margin", repr(rich)], model, split, less)


def test_earlier_contacts_settle_what_is_overdue_and_count_for_the_cap():
    base = base_of([(0, 0, 200)])
    on = tp.sleep_states(model_in(), base)["drowsy_on"].iloc[0]
    assert on < pd.Timestamp(UNTIL)

    def reasons(*times, **kwargs):
        log = pd.DataFrame({"who": ["c0000"] * len(times), "at": pd.to_datetime(list(times))})
        found = contact_calendar(
            model_in(), base, MONEY, contacts=log, contact_customer="who", contact_time="at",
            **kwargs,
        )  # fmt: skip
        return found[["action", "reason"]].to_numpy().tolist()

    assert reasons() == [["stimulus", "overdue"]]
    assert reasons(on - pd.Timedelta(seconds=1)) == [["stimulus", "overdue"]]
    assert reasons(on + pd.Timedelta(hours=9)) == []
    crossing = base_of([(0, 0, int((on - pd.Timestamp(UNTIL)).days) + 200 - 1)])
    assert tp.sleep_states(model_in(), crossing)["drowsy_on"].iloc[0] == pd.Timestamp(
        UNTIL
    ) + pd.Timedelta(days=1)
    for before, expected in ((28, "cap"), (29, "")):
        log = pd.DataFrame(
            {"customer_id": ["c0000"], "time": [pd.Timestamp(UNTIL) - pd.Timedelta(days=before)]}
        )
        found = contact_calendar(model_in(), crossing, MONEY, contacts=log, cap=1, cap_days=30)
        assert found.loc[found["line"] == "drowsy", "reason"].tolist() == [expected]


def test_the_asleep_are_left_alone_without_a_row(model, split):
    asleep = tp.sleep_states(model, split)
    asleep = asleep.index[(asleep["state"] == "asleep")]
    assert len(asleep) > 50
    found = contact_calendar(model, split, MONEY)
    assert not found["customer_id"].isin(asleep).any()


def test_those_who_live_on_promotions_are_marked(model, split):
    plain = contact_calendar(model, split, MONEY)
    assert "promotion_driven" not in plain.columns
    share = pd.Series(np.linspace(0, 1, len(split)), index=split.index)
    found = contact_calendar(model, split.assign(discount_share=share), MONEY, promotion=0.25)
    wanted = share[found["customer_id"]].to_numpy() >= 0.25
    assert wanted.any()
    assert not wanted.all()
    assert found["promotion_driven"].tolist() == wanted.tolist()
    pd.testing.assert_frame_equal(found.drop(columns="promotion_driven"), plain)


# --- the frame ---------------------------------------------------------------------------------


def test_nobody_to_contact_is_a_frame_too(model, calendar):
    fresh = base_of([(0, 0, 0), (1, 300, 300)], "W", dt.date(1997, 9, 30))
    empty = contact_calendar(model, fresh.iloc[:1], MONEY, days=1)
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == calendar.dtypes.to_dict()
    assert empty.attrs["totals"] == {
        "contacts": 0,
        "expected_contacts": 0.0,
        "expected_wasted": 0.0,
        "expected_money": 0.0,
    }


@pytest.mark.parametrize("rows", [None, 0])
def test_a_calendar_comes_back_from_a_file(calendar, tmp_path, rows):
    marked = calendar.assign(promotion_driven=calendar["purchases"] > 2).iloc[:rows]
    marked.attrs = calendar.attrs
    marked.to_parquet(tmp_path / "calendar.parquet")
    back = pd.read_parquet(tmp_path / "calendar.parquet")
    pd.testing.assert_frame_equal(back, marked)
    assert back.attrs == calendar.attrs
    marked.to_csv(tmp_path / "calendar.csv", index=False)
    text = pd.read_csv(
        tmp_path / "calendar.csv",
        dtype=marked.dtypes.drop("date").to_dict(),
        parse_dates=["date"],
        keep_default_na=False,
    )
    text["date"] = text["date"].astype(marked["date"].dtype)
    pd.testing.assert_frame_equal(text, marked)


def test_rows_of_the_input_in_any_order_give_the_same_calendar(model, split):
    shuffled = split.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(
        contact_calendar(model, shuffled, MONEY, capacity=30),
        contact_calendar(model, split, MONEY, capacity=30),
    )


def test_the_customer_keeps_the_name_and_type_of_the_index():
    base = base_of([(0, 0, 200), (0, 0, 201)]).set_axis([7, 3])
    found = contact_calendar(model_in(), base, MONEY)
    assert found.columns[1] == "customer_id"
    assert found["customer_id"].tolist() == [3, 7]
    assert contact_calendar(model_in(), base.rename_axis("member"), MONEY).columns[1] == "member"


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"days": 0}, ["days is 0", ">= 1"]),
        ({"days": 2.5}, ["days is 2.5", "whole"]),
        ({"horizon": 0}, ["horizon is 0"]),
        ({"capacity": 0}, ["capacity is 0"]),
        ({"cap": 0}, ["cap is 0"]),
        ({"cap_days": -1}, ["cap_days is -1"]),
        ({"promotion": 0}, ["promotion is 0"]),
        ({"promotion": 1.5}, ["promotion is 1.5"]),
        ({"lines": (0.2, 0.5, 0.8)}, ["falling"]),
        ({"policy": Short()}, ["silence of policy has shape (2356,)", "2357"]),
        ({"policy": Unknown()}, ["silence of policy is nan"]),
        ({"policy": 60}, ["policy is a int", "FixedDays(60)", "Series"]),
        ({"policy": FixedDays}, ["policy is a type", "FixedDays(60)"]),
        ({"holidays": "1997-10-05"}, ["holidays is '1997-10-05'", "list"]),
        ({"holidays": 5}, ["holidays is 5"]),
        ({"holidays": ["soon"]}, ["holidays is 'soon'"]),
        ({"holidays": ["1997-10-05", dt.date(1997, 10, 5)]}, ["1997-10-05 twice"]),
        ({"holidays": {"1997-10-05": 3}}, ["holiday 1997-10-05 is 3", "text"]),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(model, split, kwargs, parts):
    refused(parts, model, split, MONEY, **kwargs)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda days: days.iloc[2:], ["policy has no value of customer '00004'", "2 such"]),
        (lambda days: days.set_axis(range(len(days))), ["2,357 such customers", "same type"]),
        (lambda days: pd.concat([days, days.iloc[3:4]]), ["several values", "groupby(level=0)"]),
        (lambda days: days.where(days.index != "00021"), ["policy is nan at index '00021'"]),
        (lambda days: -days, ["policy is -60 at index '00004'", ">= 0"]),
        (lambda days: days.astype("Float64").replace(60.0, pd.NA), ["policy is n"]),
        (lambda days: pd.to_timedelta(days, unit="D"), ["policy holds durations"]),
        (lambda days: pd.concat({"a": days}), ["index of policy has 2 levels", "customer alone"]),
    ],
)
def test_days_by_customer_that_cannot_be_used_are_refused(model, split, change, parts):
    policy = change(pd.Series(60.0, index=split.index))
    refused(parts, model, split, MONEY, policy=policy)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"customer_id": ["x"]}, ["none of the 1 contacts", "'x'", "'00004'"]),
        ({"customer_id": [4]}, ["none of the 1 contacts", "same type"]),
        ({"customer_id": [None]}, ["customer_id of contacts is missing in 1 rows"]),
        ({"time": [pd.NaT]}, ["time of contacts is missing in 1 rows"]),
        ({"time": ["1997-09-01"]}, ["time of contacts is of type str", "pd.to_datetime"]),
        ({"time": pd.to_datetime(["1997-09-01"], utc=True)}, ["datetime64[us, UTC]", "time zone"]),
        ({"time": pd.to_datetime(["1997-10-01"])}, ["1 contacts lie after 1997-09-30"]),
    ],
)
def test_contacts_that_cannot_be_used_are_refused(model, split, change, parts):
    log = pd.DataFrame({"customer_id": ["00004"], "time": pd.to_datetime(["1997-09-01"])})
    refused(parts, model, split, MONEY, contacts=log.assign(**change))
    refused(["no column 'time'"], model, split, MONEY, contacts=log[["customer_id"]])


def test_customers_that_cannot_be_used_are_refused(model, split):
    bare = split.copy()
    bare.attrs = {"unit": "W"}
    refused(["last day of observation", "rfm_summary"], model, bare, MONEY)
    twice = pd.concat([split.iloc[:2], split.iloc[:2]])
    refused(["each customer once"], model, twice, MONEY)
    refused(["'date'", "rename_axis"], model, split.rename_axis("date"), MONEY)
    refused(["money is a float"], model, split, 3.0)
    refused(["BetaGeoModel"], tp.BetaGeoModel.from_params([1, 2, 3, 4], unit="W"), split, MONEY)
    mixed = split.iloc[:2].set_axis(["a", 1])
    refused(["mixed"], model, mixed, MONEY)
    wrong = split.assign(discount_share=2.0)
    refused(["discount_share is 2 at index '00004'"], model, wrong, MONEY)
    no_unit = split.copy()
    no_unit.attrs = {"until": "1997-09-30"}
    refused(["last day of observation"], tp.ModifiedBetaGeoModel.from_params(CDNOW), no_unit, MONEY)
