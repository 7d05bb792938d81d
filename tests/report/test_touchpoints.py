"""Own files of contacts and orders, and the truth of a simulated shop beside the matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import touchpoint_lib as tp
from touchpoint_lib import report
from touchpoint_lib.report import touchpoints

CONTACTS = pd.DataFrame(
    {
        "client": [1, 2, 1],
        "sent": ["2024-03-01 10:00:00", "2024-03-02 11:00:00", "2024-03-05 12:00:00"],
        "channel": ["sms", "sms", "email"],
        "held_out": [False, True, False],
        "price": [0.1, 0.0, 0.01],
    }
)
ORDERS = pd.DataFrame(
    {
        "client": [1, 2, 2],
        "date": ["2024-01-01", "2024-01-05", "2024-04-01"],
        "amount": [10.0, 20.0, 5.0],
    }
)
NAMES = {"customer": "client", "contact_time": "sent"}


@pytest.fixture
def files(tmp_path):
    CONTACTS.to_csv(tmp_path / "sent.csv", index=False)
    ORDERS.to_csv(tmp_path / "log.csv", index=False)
    return str(tmp_path / "sent.csv"), str(tmp_path / "log.csv")


def test_two_files(files):
    contacts, orders = report.read_touchpoints(*files, **NAMES, cost="price")
    assert contacts["customer_id"].to_list() == [1, 2, 1]
    assert contacts["cost"].to_list() == [0.1, 0, 0.01]
    # Found under its own name, without being named.
    assert contacts["held_out"].to_list() == [False, True, False]
    assert "campaign" not in contacts.columns
    assert orders["amount"].to_list() == [10, 20, 5]
    ends = [pd.Timestamp(f"{day} 23:59:59.999999") for day in ORDERS["date"]]
    assert orders["time"].to_list() == ends


def test_parquet_and_a_pattern(tmp_path):
    for place, part in enumerate((CONTACTS.head(2), CONTACTS.tail(1))):
        part = part.assign(sent=pd.to_datetime(part["sent"]), campaign=f"c{place}")
        part.to_parquet(tmp_path / f"sent{place}.parquet")
    ORDERS.to_csv(tmp_path / "log.csv", index=False)
    contacts, _ = report.read_touchpoints(
        str(tmp_path / "sent*.parquet"), str(tmp_path / "log.csv"), **NAMES
    )
    assert contacts["campaign"].to_list() == ["c0", "c0", "c1"]


def test_without_a_cost_contacts_cost_nothing(files):
    contacts, _ = report.read_touchpoints(*files, **NAMES)
    assert contacts["cost"].to_list() == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            {"contact_time": "time"},
            "the contact log: the log has no column 'time'.*with customer=, contact_time=",
        ),
        ({"amount": "sum"}, "the purchase log: the log has no column 'sum'"),
        ({"cost": "kosten"}, "the contact log: the log has no column 'kosten'"),
        ({"campain": "cell"}, "a contact has no column 'campain'; name one of campaign, held_out"),
        ({"held_out": "channel"}, "held_out is 'channel', which another argument names too"),
        (
            {"tz": "Asia/Shanghai"},
            "the contact log: tz is 'Asia/Shanghai' but column",
        ),
    ],
)
def test_an_error_says_of_which_file(files, call, message):
    with pytest.raises(tp.InputError, match=message):
        report.read_touchpoints(*files, **{**NAMES, **call})


def test_a_file_that_is_not_there(files, tmp_path):
    with pytest.raises(tp.InputError, match="the contact log: there is no file"):
        report.read_touchpoints(str(tmp_path / "none.csv"), files[1], **NAMES)


@pytest.fixture(scope="module")
def shop():
    return tp.simulate_shop(seed=3, n_customers=600, days=300, outcome_days=30)


@pytest.fixture(scope="module")
def made(shop):
    contacts, paid, until = report.shop_touchpoints(shop)
    model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))
    history = tp.stage_history(paid, model)
    matrix = tp.touchpoint_matrix(contacts, paid, history, window=30, until=until)
    return history, matrix


def test_the_truth_by_hand(shop, made):
    history, matrix = made
    truth = report.shop_matrix_truth(shop, history, matrix).set_index(["channel", "by", "stage"])
    assert not truth.index.duplicated().any()
    both = shop.truth.contacts.set_index("contact_id")
    contacts, _, until = report.shop_touchpoints(shop)
    stage = tp.stage_at(history, contacts)
    for channel, by, name in [("sms", "", "all"), ("email", "stage", "drowsy")]:
        rows = contacts[
            (contacts["channel"] == channel)
            & stage.notna()
            & (contacts["time"] + pd.Timedelta(days=30) <= until)
        ]
        if by:
            rows = rows[stage[rows.index] == name]
        mine = both.loc[rows["contact_id"]]
        row = truth.loc[channel, by, name]
        for measure in ("orders", "margin"):
            added = mine[f"{measure}_contacted"] - mine[f"{measure}_held_out"]
            assert row[measure] == pytest.approx(1000 * added.mean())
        cell = matrix.table.set_index(["channel", "by", "stage"]).loc[channel, by, name]
        assert cell["opportunities"] == len(rows)
        cost = shop.contacts.loc[
            (shop.contacts["channel"] == channel) & ~shop.contacts["held_out"], "cost"
        ]
        assert row["margin"] - row["profit"] == pytest.approx(1000 * cost.iloc[0])
    # What has no effect has none in truth.
    assert (truth.loc["social", ["orders", "margin"]].to_numpy() == 0).all()


def test_contacts_count_from_the_end_of_their_day(shop):
    contacts, paid, until = report.shop_touchpoints(shop)
    assert (contacts["time"].dt.strftime("%H:%M:%S.%f") == "23:59:59.999999").all()
    assert (contacts["time"].dt.date == shop.contacts["time"].dt.date).all()
    assert set(paid["status"]) == {"paid"}
    assert until == shop.call["start"] + pd.Timedelta(days=300) - pd.Timedelta("1us")


def test_another_window_has_no_truth(shop, made):
    history, matrix = made
    contacts, paid, until = report.shop_touchpoints(shop)
    longer = tp.touchpoint_matrix(contacts, paid, history, window=60, until=until)
    with pytest.raises(tp.InputError, match="knows both outcomes in 30 days, the matrix counts 60"):
        report.shop_matrix_truth(shop, history, longer)
    plain = tp.simulate_shop(seed=3, n_customers=50, days=100)
    with pytest.raises(tp.InputError, match="knows no second outcome of contacts"):
        report.shop_matrix_truth(plain, history, matrix)


def test_a_spoilt_shop_is_refused():
    shop = tp.simulate_shop(seed=3, n_customers=50, days=60, dirt=tp.ShopDirt())
    with pytest.raises(tp.InputError, match="the log of the shop is spoilt"):
        report.shop_touchpoints(shop)


def test_names_of_the_module_are_public():
    assert report.read_touchpoints is touchpoints.read_touchpoints
    assert np.isin(["read_touchpoints", "shop_touchpoints"], report.__all__).all()


def test_the_head_of_the_report(shop, made):
    history, matrix = made
    contacts, paid, until = report.shop_touchpoints(shop)
    truth = report.shop_matrix_truth(shop, history, matrix)
    pressure = tp.contact_pressure(contacts, paid, window=30, until=until)
    head = report.touchpoints_headline(matrix, pressure, "a <shop>", truth)
    assert head.question == "Which contact at which stage earns its keep?"
    whole = matrix.table[matrix.table["by"] == ""].set_index("channel")
    best = whole["orders_per_1000"].sort_values(ascending=False).index[0]
    tile = head.tiles[0]
    assert tile.label == f"Orders added by 1,000 contacts: {best}"
    assert float(tile.value.replace(",", "")) == pytest.approx(
        whole.loc[best, "orders_per_1000"], rel=0.02
    )
    assert tile.compared_with.startswith("the truth: ")
    cells = matrix.table[matrix.table["by"] == "stage"]
    gains = int((cells["result"] == "gains").sum())
    assert head.tiles[2].value == f"{gains} of {len(cells)}"
    assert head.tiles[3].interval == f"95%: {pressure.best_range}"
    counted = whole["opportunities"].sum(), whole["held_out"].sum()
    assert head.provenance["Opportunities"] == f"{counted[0]:,} ({counted[1]:,} held out)"
    assert head.provenance["Left out: window not over"] == f"{matrix.left_out['window not over']:,}"
    assert head.provenance["Source"] == "a <shop>"
    assert "Costs" not in head.provenance
    free = tp.touchpoint_matrix(contacts.assign(cost=0.0), paid, history, window=30, until=until)
    facts = report.touchpoints_headline(free, pressure, "a shop").provenance
    assert facts["Costs"] == "none in the log of contacts: all count as free"
    plain = report.touchpoints_headline(matrix, pressure, "a shop")
    assert plain.tiles[0].compared_with == f"{whole.loc[best, 'contacts']:,} contacts"


def test_the_head_without_a_holdout(shop, made):
    history, _ = made
    contacts, paid, until = report.shop_touchpoints(shop)
    blind = contacts[~contacts["held_out"]].drop(columns="held_out")
    matrix = tp.touchpoint_matrix(blind, paid, history, window=30, until=until)
    pressure = tp.contact_pressure(blind, paid, window=30, until=until)
    head = report.touchpoints_headline(matrix, pressure, "a shop")
    assert [tile.value for tile in head.tiles] == [
        f"0 of {len(matrix.table[matrix.table['by'] == 'stage'])}",
        "not identified",
    ]
    assert "(nobody was held out)" in head.verdict
    assert head.verdict.startswith("Not identified: chat, email, page, parcel, sms and social (")
