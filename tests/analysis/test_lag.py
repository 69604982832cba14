"""Lags between venues, estimated from their trades, are those the simulated venues have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from schemahub_lib.analysis.lag import FEWEST, Lag, lag
from schemahub_lib.analysis.ticks import Ticks
from schemahub_lib.simulator.listings import VENUES, listings
from schemahub_lib.simulator.market import SCENARIOS, SECOND, Market
from schemahub_lib.simulator.tape import Tape

BURST = SCENARIOS["burst-2024-02-08"].burst


def trades(venue: str, lag_ms: int, asset: str = "BTC", start: int = BURST.start_ns, seconds: int = 12) -> Ticks:
    """A venue's trades during the burst, were it always that far behind the market."""
    behind = replace(VENUES[venue], lag_ms=(lag_ms, lag_ms))
    (listing,) = (one for one in listings(venue) if one.asset.code == asset)
    tape = Tape(Market(seed=7, burst=BURST), replace(listing, venue=behind))
    found = tape.trades(tape.count(start), tape.count(start + seconds * SECOND))
    price = found.price / 10.0**listing.price_decimals
    return Ticks(found.time_ns // 1000, price, np.where(found.buy, 1.0, -1.0))


@pytest.mark.parametrize("asset", ["BTC", "ETH", "SOL"])
@pytest.mark.parametrize("behind", [0, 40, 74, 120, 300])
@pytest.mark.parametrize("venue", ["coinbase", "kraken"])
def test_a_known_lag_is_found_to_five_milliseconds(venue: str, behind: int, asset: str) -> None:
    found = lag(trades("binance", 0, asset), trades(venue, behind, asset))
    assert found is not None
    assert found.ms == pytest.approx(behind, abs=5)
    assert abs(found.ms - behind) < 3 * found.error
    assert found.sure == (behind != 0)


def test_it_is_the_same_seen_from_the_other_venue() -> None:
    one, other = trades("binance", 0), trades("coinbase", 80)
    ahead, behind = lag(other, one), lag(one, other)
    assert ahead is not None
    assert behind is not None
    assert ahead.ms == pytest.approx(-behind.ms)
    assert ahead.error == pytest.approx(behind.error)


def test_whole_milliseconds_of_one_venue_and_no_sides_of_the_other_cost_little() -> None:
    rough = trades("binance", 0)
    rough = replace(rough, time=rough.time // 1000 * 1000)
    untold = trades("kraken", 90)
    untold = replace(untold, side=np.zeros(len(untold)))
    found = lag(rough, untold)
    assert found is not None
    assert found.ms == pytest.approx(90, abs=15)


@pytest.mark.parametrize("seed", range(12))
def test_of_prices_that_stand_still_nothing_is_said(seed: int) -> None:
    draw = np.random.default_rng(seed)
    first, second = (
        Ticks(np.sort(draw.integers(0, 12_000_000, 300)), np.full(300, price), draw.choice([-1.0, 1.0], 300))
        for price in (0.9999, 1.0001)
    )
    assert lag(first, second) is None


def test_prices_that_have_nothing_to_do_with_each_other_are_not_said_to_lag() -> None:
    generator = np.random.default_rng(7)

    def alone() -> Ticks:
        time = np.sort(generator.integers(0, 12_000_000, 600))
        return Ticks(time, np.exp(np.cumsum(generator.normal(0, 1e-4, 600))), np.zeros(600))

    assert [lag(alone(), alone()) for _ in range(40)] == [None] * 40


def test_seconds_without_trades_change_nothing() -> None:
    one, other = trades("binance", 0), trades("coinbase", 80)
    found = lag(one, other)

    def paused(ticks: Ticks) -> Ticks:
        late = ticks.time > one.time[len(one) // 2]
        return replace(ticks, time=ticks.time + np.where(late, 46_000_000, 0))

    assert found is not None
    with_pause = lag(paused(one), paused(other))
    assert with_pause is not None
    assert with_pause.ms == pytest.approx(found.ms, abs=1)


def test_of_too_few_trades_or_too_long_a_lag_nothing_is_said() -> None:
    many = trades("binance", 0)
    few = Ticks(many.time[:FEWEST], many.price[:FEWEST], many.side[:FEWEST])
    assert lag(many, few) is None
    assert lag(few, many) is None
    assert lag(many, trades("coinbase", 900)) is None
    still = Ticks(many.time, np.full(len(many), 100.0), np.zeros(len(many)))
    assert lag(still, still) is None


def test_a_window_of_millions_of_trades_is_thinned() -> None:
    time = np.arange(2_000_000) * 6
    wave = np.exp(1e-3 * np.sin(time / 4e5))
    late = np.exp(1e-3 * np.sin((time - 50_000) / 4e5))
    found = lag(Ticks(time, wave, np.zeros(len(time))), Ticks(time, late, np.zeros(len(time))))
    assert found is not None
    assert found.ms == pytest.approx(50, abs=1)


def test_sure_is_two_errors_from_zero() -> None:
    assert Lag(74.0, 9.0).sure
    assert not Lag(-15.0, 9.0).sure
