"""Time touchpoints beside marketing-attribution-models, and write the table of the README.

    .venv/bin/python benchmarks/touchpoints.py      # all cases, some minutes
    .venv/bin/python benchmarks/touchpoints.py 0 1  # these cases (from 0 on), printed only

Attribution starts from a log of contacts and orders on both sides: paths are made of it and credit
is shared out. Every case and peer runs in a process of its own on one thread, the best of up to
five runs; a run ends with an error where credits differ by more than 1e-9 of them.
"""

from __future__ import annotations

import os
import sys

from timing import Case, run_table

# The peer rests on polars, which would take all cores.
os.environ["POLARS_MAX_THREADS"] = "1"

PEER = "marketing-attribution-models"
MILLION = 1_000_000
CASES = (
    Case("rules", "First, last, linear, by position", 100_000, "contacts", PEER),
    Case("markov", "Markov, 8 channels", 100_000, "contacts", PEER),
    Case("shapley", "Shapley, 8 channels", 100_000, "contacts", PEER),
    Case("credit", "Seven rules of attribution", MILLION, "contacts"),
    Case("stages", "Stages of all customers from 300,000 orders", MILLION, "contacts"),
    Case("matrix", "Matrix, 6 channels, 5 stages", MILLION, "contacts"),
    Case("pressure", "Contact pressure and the cap", MILLION, "contacts"),
    Case("flows", "Monthly flows, 24 months", MILLION, "contacts"),
)


def sessions(n: int):
    """Return contacts of 8 channels, of which 3 in 10 are followed by an order at once."""
    import numpy as np
    import pandas as pd

    generator = np.random.default_rng(0)
    channels = np.array(["chat", "email", "page", "parcel", "push", "search", "sms", "social"])
    frame = pd.DataFrame(
        {
            "customer_id": np.sort(generator.integers(0, n // 4, n)),
            "time": pd.Timestamp("2025-01-01") + pd.to_timedelta(generator.permutation(n), "min"),
            "channel": channels[generator.integers(0, 8, n)],
        }
    )
    return frame.assign(converted=generator.random(n) < 0.3)


def rules_of_ours(rules: list[str]):
    import pandas as pd

    import touchpoint_lib as tp

    contacts = sessions(100_000)
    orders = contacts.loc[contacts["converted"], ["customer_id", "time"]]
    orders = orders.assign(time=orders["time"] + pd.Timedelta("1us"))
    # An order of somebody else, so late that every path has ended.
    last = pd.DataFrame({"customer_id": [-1], "time": [pd.Timestamp("2027-01-01")]})
    orders = pd.concat([orders, last], ignore_index=True)

    def run():
        table = tp.attribution_credit(contacts, orders, rules=rules, window=365)
        return table.drop(index="(no contact)")[rules].to_numpy().ravel().tolist()

    return run


def rules_of_peer(methods: list[str], **options: object):
    from mam.core import MAM

    contacts = sessions(100_000)
    channels = sorted(contacts["channel"].unique())

    def run():
        model = MAM(
            df=contacts,
            format_type="session",
            channels_colname="channel",
            journey_with_conv_colname="converted",
            datetime_colname="time",
            user_id_colname="customer_id",
            create_journey_id_based_on_conversion=True,
        )
        found = [getattr(model, method)(**options).to_dict() for method in methods]
        shares = [dict(zip(one["channels"], one["attribution"], strict=True)) for one in found]
        return [share[channel] for channel in channels for share in shares]

    return run


def rules_ours():
    return rules_of_ours(["first", "last", "linear", "position"])


def rules_peer():
    return rules_of_peer(["run_first_click", "run_last_click", "run_linear", "run_position_based"])


def markov_ours():
    return rules_of_ours(["markov per path"])


def markov_peer():
    return rules_of_peer(["run_markov"])


def shapley_ours():
    return rules_of_ours(["shapley rate"])


def shapley_peer():
    return rules_of_peer(["run_shapley"], max_size=None)


def log():
    """Return a million contacts, 300,000 orders and a model: ten copies of the bundled shop."""
    import pandas as pd

    import touchpoint_lib as tp

    shop = tp.load_shop()
    paid = shop.orders[shop.orders["status"] == "paid"]
    model = tp.ModifiedBetaGeoModel().fit(tp.rfm_summary(paid, time="time"))

    def copies(frame):
        parts = [
            frame.assign(customer_id=frame["customer_id"].astype("int64") + 10_000 * copy)
            for copy in range(10)
        ]
        return pd.concat(parts, ignore_index=True)

    return copies(shop.contacts), copies(paid), model


def credit_ours():
    import touchpoint_lib as tp

    contacts, orders, _ = log()
    return lambda: len(tp.attribution_credit(contacts, orders))


def stages_ours():
    import touchpoint_lib as tp

    contacts, orders, model = log()
    return lambda: len(tp.stage_at(tp.stage_history(orders, model), contacts))


def matrix_ours():
    import touchpoint_lib as tp

    contacts, orders, model = log()
    history = tp.stage_history(orders, model)
    return lambda: len(tp.touchpoint_matrix(contacts, orders, history, window=90).table)


def pressure_ours():
    import touchpoint_lib as tp

    contacts, orders, _ = log()
    return lambda: tp.contact_pressure(contacts, orders, window=30).n_recent


def flows_ours():
    import touchpoint_lib as tp

    _, orders, model = log()
    history = tp.stage_history(orders, model)
    return lambda: len(tp.stage_flows(history))


def main(arguments: list[str]) -> None:
    run_table(__file__, "benchmarks touchpoints", CASES, globals(), arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
