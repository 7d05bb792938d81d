"""The head of the segmentation report says what its frames say."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import touchpoint_lib as tp
from touchpoint_lib import charts
from touchpoint_lib.report import provenance, segmentation_headline
from touchpoint_lib.report.headline import Headline

Frames = dict[str, Any]


@pytest.fixture(scope="module")
def frames() -> Frames:
    log = tp.load_cdnow(sample=True)
    past = tp.rfm_split(log, split="1997-09-30")
    model = tp.ModifiedBetaGeoModel().fit(past)
    expected = model.expected_purchases(past, 39)
    states = tp.sleep_states(model, past)
    return {
        "past": past,
        "today": tp.rfm_summary(log),
        "outcomes": tp.segment_outcomes(tp.value_segments(expected), past, expected),
        "returned": charts.sleep_returns_data(states, past, tp.purchase_classes(past)),
        "slider": charts.sleep_slider_data(states, past),
        "source": "CDNOW sample",
    }


def tiles(head: Headline) -> dict[str, tuple[str, str, str]]:
    return {tile.label: (tile.value, tile.interval, tile.compared_with) for tile in head.tiles}


@pytest.mark.parametrize("line", [0.05, 0.2, 0.6])
def test_the_tiles_show_the_numbers_of_the_frames(frames: Frames, line: float) -> None:
    head = segmentation_headline(**frames, line=line)
    shown = tiles(head)
    again = (frames["today"]["frequency"] > 0).mean()
    assert shown["Customers"] == ("2,357", "", f"{again:.0%} bought on more than one day")
    core = frames["outcomes"].loc["core"]
    share = "holdout_amount_share"
    assert shown["Core's share of holdout spend"] == (
        f"{core[share]:.0%}",
        f"95%: {core[f'{share}_low']:.0%} to {core[f'{share}_high']:.0%}",
        f"expected: {core['value_share']:.0%}",
    )
    row = frames["slider"].set_index("line").loc[line]
    for label, name in (
        ("Error rate of “asleep: will not buy”", "error_rate"),
        ("Omission rate of the same", "omission_rate"),
    ):
        assert shown[label] == (
            f"{row[name]:.0%}",
            f"95%: {row[f'{name}_low']:.0%} to {row[f'{name}_high']:.0%}",
            f"longest silent instead: {row[f'baseline_{name}']:.0%}",
        )
    assert len(shown) == 4


def test_the_verdict_is_that_of_the_charts_and_the_facts_those_of_the_past(frames: Frames) -> None:
    head = segmentation_headline(**frames)
    assert charts.value_shares_verdict(frames["outcomes"]) in head.verdict
    assert charts.sleep_returns_verdict(frames["returned"]) in head.verdict
    assert head.provenance == provenance(frames["past"], "CDNOW sample")
    assert head.question.endswith("?")


def test_nobody_asleep_is_no_rate_of_zero(frames: Frames) -> None:
    past = frames["past"]
    awake = pd.DataFrame({"relative": 1.0, "silence": past["T"] - past["recency"]})
    slider = charts.sleep_slider_data(awake, past)
    shown = tiles(segmentation_headline(**{**frames, "slider": slider}))
    label = "Error rate of “asleep: will not buy”"
    assert shown[label] == ("none", "nobody is flagged", "")
    # Who flags nobody misses everybody: that rate is known.
    assert shown["Omission rate of the same"][0] == "100%"
    assert "nan" not in str(segmentation_headline(**{**frames, "slider": slider}))


def test_classes_without_two_states_are_reported_as_such(frames: Frames) -> None:
    alone = frames["returned"].groupby("class", observed=True).head(1)
    head = segmentation_headline(**{**frames, "returned": alone})
    assert "the states cannot be compared yet" in head.verdict


def test_a_source_of_markup_is_shown_and_not_obeyed(frames: Frames) -> None:
    head = segmentation_headline(**{**frames, "source": "<script>alert(1)</script>"})
    assert "<script" not in head._repr_html_()
    assert "&lt;script&gt;" in head._repr_html_()


def test_a_model_that_did_not_converge_is_told_in_the_verdict(frames: Frames) -> None:
    good = tp.ModifiedBetaGeoModel().fit(frames["past"])
    with pytest.warns(tp.ConvergenceWarning):
        bad = tp.ModifiedBetaGeoModel().fit(frames["past"].iloc[:3])
    assert "Caution" not in segmentation_headline(**frames, models=[good]).verdict
    verdict = segmentation_headline(**frames, models=[good, bad]).verdict
    assert verdict.count("Caution: the ModifiedBetaGeoModel did not converge on this log") == 1
    assert bad.convergence_message_ in verdict
