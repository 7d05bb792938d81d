"""Addressed random numbers: distributions, independence, and the same number in every world."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchpoint_lib.simulate import _draws
from touchpoint_lib.simulate._draws import Draws

N = 400_000
CUSTOMERS = np.arange(N)
#: Tail of four standard errors, both sides: no p value of a right generator is below.
ALPHA = 6.3e-5
_SEEDS = [0, 1, 2024, -1, 2**64, 2**200 + 3]


@pytest.fixture
def extremes(monkeypatch: pytest.MonkeyPatch) -> Draws:
    """Draws whose first word has no bit set and whose others have all."""

    def words(given: Any) -> Any:
        mixed = np.full_like(given, 2**64 - 1)
        mixed[:1] = 0
        return mixed

    draws = Draws(0)
    draws.uniform("x", 0)  # makes the stream before the hash is replaced
    monkeypatch.setattr(_draws, "_mixed", words)
    return draws


def test_mixing_is_splitmix64() -> None:
    # First five outputs for the seed 1234567, as printed at rosettacode.org,
    # "Pseudo-random numbers/Splitmix64".
    golden = np.uint64(0x9E3779B97F4A7C15)
    state = np.uint64(1234567) + np.arange(1, 6).astype(np.uint64) * golden
    assert _draws._mixed(state).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("seed", _SEEDS)
def test_uniform_numbers_are_uniform(seed: int) -> None:
    draws = Draws(seed)
    assert stats.kstest(draws.uniform("x", CUSTOMERS), "uniform").pvalue > ALPHA
    assert stats.kstest(draws.uniform("x", 7, CUSTOMERS), "uniform").pvalue > ALPHA


@pytest.mark.parametrize("shift", [36, 18, 0], ids=["high", "middle", "low"])
def test_each_sixteen_bits_are_uniform(shift: int) -> None:
    # 2**22 numbers, 64 a cell: chi-square with 65,535 degrees of freedom.
    customer, event = np.divmod(np.arange(2**22), 8)
    bits = (Draws(5).uniform("x", customer, event) * 2.0**52).astype(np.int64)
    counts = np.bincount((bits >> shift) & 0xFFFF, minlength=65_536)
    square = ((counts - 64.0) ** 2 / 64).sum()
    assert abs(square - 65_535) < 4 * np.sqrt(2 * 65_535)


def _neighbours() -> dict[str, tuple[Any, Any]]:
    """Two sets of ``N`` numbers by what is changed between their addresses."""
    draws = Draws(3)
    rows, columns = np.divmod(CUSTOMERS, 1000)
    upper = rows < columns
    return {
        "stream": (draws.uniform("visits.day", CUSTOMERS), draws.uniform("visits.hour", CUSTOMERS)),
        "suffix": (draws.uniform("spend.gift", CUSTOMERS), draws.uniform("spend.gifts", CUSTOMERS)),
        "customer": (draws.uniform("x", CUSTOMERS), draws.uniform("x", CUSTOMERS + 1)),
        "far customer": (draws.uniform("x", CUSTOMERS), draws.uniform("x", CUSTOMERS + 2**32)),
        "event": (draws.uniform("x", CUSTOMERS, 4), draws.uniform("x", CUSTOMERS, 5)),
        "next event": (draws.uniform("x", 9, CUSTOMERS), draws.uniform("x", 9, CUSTOMERS + 1)),
        "customer and event swapped": (
            draws.uniform("x", rows[upper], columns[upper]),
            draws.uniform("x", columns[upper], rows[upper]),
        ),
        "customer up, event down": (
            draws.uniform("x", CUSTOMERS, 5),
            draws.uniform("x", CUSTOMERS + 1, 4),
        ),
        "seed": (draws.uniform("x", CUSTOMERS), Draws(4).uniform("x", CUSTOMERS)),
        "seed beyond 64 bits": (
            draws.uniform("x", CUSTOMERS),
            Draws(3 + 2**64).uniform("x", CUSTOMERS),
        ),
    }


def test_neighbouring_addresses_are_independent() -> None:
    for changed, pair in _neighbours().items():
        centred = [numbers - 0.5 for numbers in pair]
        for power in (1, 2):
            first, second = (numbers**power for numbers in centred)
            correlation = np.corrcoef(first, second)[0, 1]
            assert abs(correlation) < 4 / np.sqrt(len(first)), f"{changed}, power {power}"


def test_every_seed_has_its_own_luck() -> None:
    # One number of each of many neighbouring seeds and of many streams is again uniform.
    seeds = np.array([Draws(seed).uniform("x", 0).item() for seed in range(4000)])
    streams = np.array([Draws(0).uniform(f"x{name}", 0).item() for name in range(4000)])
    assert stats.kstest(seeds, "uniform").pvalue > ALPHA
    assert stats.kstest(streams, "uniform").pvalue > ALPHA


def test_numbers_are_never_zero_or_one(extremes: Draws) -> None:
    assert extremes.uniform("x", [0, 1]).tolist() == [2.0**-53, 1 - 2.0**-53]
    assert np.isfinite(extremes.normal("x", [0, 1])).all()
    assert (extremes.exponential("x", [0, 1]) > 0).all()
    assert np.isfinite(extremes.exponential("x", [0, 1])).all()
    assert np.isfinite(extremes.gamma("x", 2.0, [0, 1])).all()


@pytest.mark.parametrize("seed", _SEEDS[:4])
def test_numbers_of_a_seed_never_change(seed: int) -> None:
    # Printed by this code once: a change would silently make every published shop another one.
    pinned = {
        0: [0.8703512200637818, 0.008200456363892994, 0.7998762490150445, 0.9870843888237687],
        1: [0.7156474465406427, 0.7344916196371553, 0.2654221057691578, 0.636985443529238],
        -1: [0.4811467470503309, 0.08988416723560799, 0.3496849994239909, 0.08957090921422217],
        2024: [0.4770107479643543, 0.9996610806571088, 0.4450648965810474, 0.4499021726146849],
    }
    numbers = Draws(seed).uniform("stream", [0, 1, 0, 10**12], [0, 0, 1, 7])
    assert numbers.tolist() == pinned[seed]


@given(
    st.integers(-(2**70), 2**70),
    st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**40)), min_size=1, max_size=20),
    st.data(),
)
@settings(max_examples=30)
def test_numbers_do_not_depend_on_what_is_asked_with_them(
    seed: int, addresses: list[tuple[int, int]], data: st.DataObject
) -> None:
    customer, event = np.array(addresses, dtype=np.int64).T
    together = Draws(seed).uniform("x", customer, event)
    cut = data.draw(st.integers(0, len(addresses)))
    order = data.draw(st.permutations(range(len(addresses))))
    other = Draws(seed)
    other.uniform("y", customer)
    parts = [other.uniform("x", customer[at], event[at]) for at in (slice(cut), slice(cut, None))]
    np.testing.assert_array_equal(np.concatenate(parts), together)
    np.testing.assert_array_equal(
        other.uniform("x", customer[order], event[order]), together[order]
    )
    single = [other.uniform("x", who, what).item() for who, what in addresses]
    assert single == together.tolist()


def test_scalars_and_arrays_broadcast() -> None:
    draws = Draws(8)
    grid = draws.uniform("x", np.arange(3)[:, None], np.arange(4))
    assert grid.shape == (3, 4)
    np.testing.assert_array_equal(grid[2], draws.uniform("x", 2, np.arange(4)))
    np.testing.assert_array_equal(grid[:, 0], draws.uniform("x", np.arange(3)))
    assert draws.choice("x", [0.5, 0.5], 2).shape == ()
    assert draws.uniform("x", np.arange(0)).shape == (0,)


def test_distributions_are_those_of_scipy() -> None:
    draws = Draws(11)
    for numbers, expected in (
        (draws.normal("n", CUSTOMERS, 2), stats.norm()),
        (draws.exponential("e", CUSTOMERS, 2), stats.expon()),
        (draws.gamma("g", 0.3, CUSTOMERS, 2), stats.gamma(0.3)),
        (draws.gamma("h", 7.0, CUSTOMERS, 2), stats.gamma(7)),
        (draws.beta("b", 0.8, 3.0, CUSTOMERS), stats.beta(0.8, 3)),
    ):
        assert stats.kstest(numbers, expected.cdf).pvalue > ALPHA


def test_shapes_may_differ_by_customer() -> None:
    draws = Draws(12)
    shape = np.where(CUSTOMERS % 2, 2.0, 5.0)
    numbers = draws.gamma("g", shape, CUSTOMERS)
    assert stats.kstest(numbers[1::2], stats.gamma(2).cdf).pvalue > ALPHA
    np.testing.assert_array_equal(numbers[::2], draws.gamma("g", 5.0, CUSTOMERS[::2]))


@pytest.mark.parametrize(
    "shares", [[1.0], [0.5, 0.5], [0.0, 0.3, 0.0, 0.7, 0.0], [0.1] * 10, [1 / 127] * 127]
)
def test_choices_are_as_frequent_as_their_shares(shares: list[float]) -> None:
    chosen = Draws(13).choice("c", shares, CUSTOMERS, 1)
    assert chosen.dtype == np.int8
    counts = np.bincount(chosen, minlength=len(shares))
    expected = N * np.array(shares)
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected)).all()


def test_nothing_of_share_zero_is_chosen_where_shares_are_rounded(extremes: Draws) -> None:
    # Shares may be 1e-9 short of 1: the largest number falls on the last that has a share.
    assert extremes.choice("x", [0.0, 0.4, 0.6 - 1e-9, 0.0], [0, 1]).tolist() == [1, 2]
