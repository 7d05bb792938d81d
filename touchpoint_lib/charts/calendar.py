"""Figures of the contact calendar (触点日历): how many contacts on which day, and what of."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from touchpoint_lib._checks import check_columns, check_integer, fail
from touchpoint_lib.charts._style import ACCENT, BASELINE, GREYS, finish
from touchpoint_lib.charts.lifetime import legend_on_top
from touchpoint_lib.charts.timing import counted

_ACTIONS = {"stimulus": ACCENT, "benefit": "#009E73", "care": GREYS[2]}


def contact_load_data(calendar: pd.DataFrame, capacity: int | None = None) -> pd.DataFrame:
    """Return the contacts of each day of a calendar by action.

    Parameters
    ----------
    calendar : DataFrame
        From `contact_calendar`.
    capacity : int, optional
        Contacts a day at most, as the calendar was made with.

    Returns
    -------
    DataFrame
        A row a day and action ("stimulus", "benefit", "care"): date, action, contacts (to those
        still silent by then), expected_contacts (with the probability that they are),
        expected_wasted and expected_money (2 decimals). ``attrs`` holds the totals of the
        calendar, n_customers (with a row of any kind), left (reason to number of customers
        without any contact, by the reason of their last row), capacity and horizon.

    Raises
    ------
    InputError
        If ``calendar`` was not made by `contact_calendar`, or ``capacity`` is below 1.

    Examples
    --------
    >>> import touchpoint_lib as tp
    >>> from touchpoint_lib import charts
    >>> split = tp.rfm_split(tp.load_cdnow(sample=True), split="1997-09-30")
    >>> model = tp.ModifiedBetaGeoModel().fit(split)
    >>> money = tp.ContactMoney(margin=30, win_back=0.1, cost=0.5, discount=5)
    >>> calendar = tp.contact_calendar(model, split, money, capacity=40)
    >>> data = charts.contact_load_data(calendar, capacity=40)
    >>> data.groupby("action")["contacts"].sum().to_dict()
    {'benefit': 0, 'care': 78, 'stimulus': 1042}
    """
    columns = ("date", "action", "reason", "reached", "expected_wasted", "expected_money")
    remedy = "pass the frame of contact_calendar as it is"
    check_columns(calendar, columns, "calendar", remedy)
    if "totals" not in calendar.attrs:
        raise fail("calendar.attrs has no totals", remedy)
    room = None if capacity is None else check_integer("capacity", capacity, ge=1)
    first = pd.Timestamp(calendar.attrs["until"]) + pd.Timedelta(days=1)
    every = pd.date_range(first, periods=calendar.attrs["days"], name="date", unit="ms")
    made = calendar[calendar["action"] != "leave"]
    sums = made.groupby([made["date"], made["action"].astype(str)])[
        ["reached", "expected_wasted", "expected_money"]
    ].agg(["size", "sum"])
    data = pd.DataFrame(
        {
            "contacts": sums[("reached", "size")],
            "expected_contacts": sums[("reached", "sum")],
            "expected_wasted": sums[("expected_wasted", "sum")],
            "expected_money": sums[("expected_money", "sum")],
        }
    )
    places = pd.MultiIndex.from_product([every, list(_ACTIONS)], names=["date", "action"])
    data = data.reindex(places, fill_value=0).round(2).reset_index()
    customer = calendar.columns[1]
    alone = calendar[~calendar[customer].isin(made[customer])]
    left = alone.drop_duplicates(customer, keep="last")["reason"].value_counts()
    data.attrs = {
        "totals": dict(calendar.attrs["totals"]),
        "n_customers": int(calendar[customer].nunique()),
        "left": {str(reason): int(count) for reason, count in left.items()},
        "capacity": room,
        "horizon": calendar.attrs["horizon"],
    }
    return data


def contact_load_verdict(data: pd.DataFrame) -> str:
    """Return how many contacts the calendar holds, what they bring, and who is left alone.

    Parameters
    ----------
    data : DataFrame
        From `contact_load_data`.
    """
    about, totals = data.attrs, data.attrs["totals"]
    days = data["date"].nunique()
    left = sum(about["left"].values())
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in about["left"].items())
    alone = (
        f" {counted(left, 'customer', 'customers')} who would be due "
        f"{'is' if left == 1 else 'are'} left alone ({reasons})."
        if left
        else ""
    )
    if totals["contacts"] == 0:
        return f"Nobody is to be contacted in the next {next_days(days)}.{alone}"
    by_action = data.groupby("action", sort=False)["contacts"].sum()
    kinds = [f"{count:,} {action}" for action, count in by_action.items() if count]
    share = totals["expected_wasted"] / totals["expected_contacts"]
    stimuli = float(data.loc[data["action"] == "stimulus", "expected_money"].sum())
    rest = len(kinds) > 1 or not by_action["stimulus"]
    less = f" ({stimuli:,.0f} from stimuli, less the cost of the rest)" if rest else ""
    per, room = data.groupby("date")["contacts"].sum(), about["capacity"]
    most = f"at most {per.max():,} a day"
    if room is not None:
        most = f"the capacity of {room:,} a day is used up on {(per >= room).sum()} of {days} days"
    return (
        f"{counted(totals['contacts'], 'contact', 'contacts')} in the next {next_days(days)} "
        f"({', '.join(kinds)}; {most}). Expected: {totals['expected_contacts']:,.0f} made, to "
        f"customers still silent by then; {totals['expected_wasted']:,.0f} of them ({share:.0%}) "
        f"wasted on those who would buy within {about['horizon']} days anyway; a gain of "
        f"{totals['expected_money']:,.0f}{less}.{alone}"
    )


def next_days(days: int) -> str:
    """Return what follows "the next"."""
    return "day" if days == 1 else f"{days:,} days"


def contact_load(data: pd.DataFrame, source: str) -> go.Figure:
    """Draw the contacts of each day by action, and the capacity.

    Parameters
    ----------
    data : DataFrame
        From `contact_load_data`.
    source : str
        For the footer.
    """
    about = data.attrs
    figure = go.Figure()
    for action, colour in _ACTIONS.items():
        part = data[data["action"] == action]
        if not part["contacts"].any():
            continue
        figure.add_bar(
            name=action,
            x=part["date"].dt.strftime("%Y-%m-%d").tolist(),
            y=part["contacts"].tolist(),
            marker={"color": colour, "line": {"color": "white", "width": 0.5}},
            customdata=part[["expected_contacts", "expected_wasted", "expected_money"]]
            .to_numpy()
            .tolist(),
            hovertemplate=(
                "%{x}: %{y:,} contacts<br>expected: %{customdata[0]:,.1f} made, "
                "%{customdata[1]:,.1f} wasted, money %{customdata[2]:,.2f}<extra>"
                + action
                + "</extra>"
            ),
        )
    per = data.groupby("date")["contacts"].sum()
    room = about["capacity"]
    if room is not None:
        figure.add_hline(
            y=room,
            line={"color": BASELINE, "dash": "dash", "width": 1.5},
            annotation={
                "text": f"capacity: {room:,}",
                "font": {"color": BASELINE},
                "xanchor": "right",
            },
        )
    figure.update_xaxes(title="Day", type="date")
    top = max(int(per.max()), room or 0, 1)
    figure.update_yaxes(title="Contacts planned", range=[0, round(top * 1.12, 2)], tickformat=",d")
    if top < 6:
        # Ticks between whole numbers would repeat them.
        figure.update_yaxes(dtick=1)
    totals = about["totals"]
    made = (
        f"{counted(totals['contacts'], 'contact', 'contacts')} in "
        f"{counted(data['date'].nunique(), 'day', 'days')}"
    )
    title = (
        f"{made}; {totals['expected_contacts']:,.0f} are expected to be made and "
        f"{totals['expected_wasted']:,.0f} of them to be wasted"
        if totals["contacts"]
        else f"No contact in {counted(data['date'].nunique(), 'day', 'days')}"
    )
    finish(figure, title, source, about["n_customers"])
    return legend_on_top(figure).update_layout(barmode="stack", margin={"t": 115})
