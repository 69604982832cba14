"""The model market: one tape a listing, the same however it is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemahub_lib.simulator.listings import ASSETS, VENUES, Listing, listings, ns
from schemahub_lib.simulator.market import SCENARIOS, SECOND, SLOT, Market
from schemahub_lib.simulator.tape import AGGREGATES, BLOCK, Tape, Trades

NOW = ns("2024-02-08T15:20:00Z")
SCENARIO = SCENARIOS["burst-2024-02-08"]
BURST = SCENARIO.burst
EVERY_LISTING = [listing for venue in VENUES for listing in listings(venue)]
BITCOIN = {venue: listings(venue)[0] for venue in VENUES}


def tape(listing: Listing, seed: int = 7) -> Tape:
    return Tape(Market(seed, BURST), listing)


def same(left: Trades, right: Trades) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in Trades.__dataclass_fields__)


TAPES = {listing.symbol: tape(listing) for listing in EVERY_LISTING}


@given(
    symbol=st.sampled_from(sorted(TAPES)),
    place=st.floats(0, 1),
    length=st.integers(1, 500),
    before=st.integers(0, 300),
    after=st.integers(0, 300),
)
@settings(max_examples=60, deadline=None)
def test_a_window_of_trades_is_the_same_cut_from_any_larger_window(
    symbol: str, place: float, length: int, before: int, after: int
) -> None:
    made = TAPES[symbol]
    start = int(place * made.count(NOW))
    first = max(start - before, 0)
    wider = made.trades(first, start + length + after)
    assert same(made.trades(start, start + length), wider[start - first : start - first + length])


@given(symbol=st.sampled_from(sorted(TAPES)), place=st.floats(0, 1), shift=st.integers(-SLOT, SLOT))
@settings(max_examples=60, deadline=None)
def test_counting_to_a_time_agrees_with_the_times_of_the_trades(symbol: str, place: float, shift: int) -> None:
    made = TAPES[symbol]
    near = made.time_at(int(place * made.count(NOW)))
    for time_ns in (near - 1, near, near + 1, near + shift):
        if time_ns < made.listing.listed_ns or time_ns > (made.listing.delisted_ns or NOW):
            continue
        count = made.count(time_ns)
        assert made.time_at(count) > time_ns
        assert count == 0 or made.time_at(count - 1) <= time_ns


@pytest.mark.parametrize("listing", EVERY_LISTING, ids=lambda listing: listing.symbol)
def test_times_never_fall_and_ids_have_no_hole(listing: Listing) -> None:
    made = TAPES[listing.symbol]
    end = made.count(NOW)
    page = made.trades(max(end - 5000, 0), end)
    assert (np.diff(page.time_ns) >= 0).all()
    assert (np.diff(page.id) == 1).all()
    assert page.id[-1] == end
    assert (page.price > 0).all()
    assert (page.size > 0).all()


def test_another_seed_makes_another_market_and_the_same_seed_the_same() -> None:
    listing = BITCOIN["coinbase"]
    assert same(tape(listing, 1).trades(10**6, 10**6 + 500), tape(listing, 1).trades(10**6, 10**6 + 500))
    assert not same(tape(listing, 1).trades(10**6, 10**6 + 500), tape(listing, 2).trades(10**6, 10**6 + 500))


def test_the_scenario_changes_its_own_hour_only() -> None:
    listing = BITCOIN["binance"]
    calm, burst = Tape(Market(7), listing), Tape(Market(7, BURST), listing)
    hour = BURST.start_ns // SLOT * SLOT
    for time_ns in (hour - SLOT // 2, hour + SLOT * 3 // 2):
        start = calm.count(time_ns)
        assert same(calm.trades(start, start + 500), burst.trades(start, start + 500))
    start = calm.count(BURST.start_ns)
    assert not same(calm.trades(start, start + 500), burst.trades(start, start + 500))


def test_a_years_old_busy_tape_holds_hundreds_of_millions_of_trades() -> None:
    assert all(TAPES[listing.symbol].count(NOW) > 2 * 10**8 for listing in BITCOIN.values())


@pytest.mark.parametrize("venue", VENUES)
def test_equal_times_are_common_and_kraken_spaces_them_by_nanoseconds(venue: str) -> None:
    end = TAPES[BITCOIN[venue].symbol].count(NOW)
    times = TAPES[BITCOIN[venue].symbol].trades(end - 1000, end).time_ns
    if venue == "kraken":
        assert len(np.unique(times)) == 1000
        assert 200 < len(np.unique(times / 1e9)) < 700
    else:
        assert 200 < len(np.unique(times)) < 700


def test_aggregates_cover_every_trade_once_at_one_price_side_and_time() -> None:
    made = TAPES["BTCUSDT"]
    start = 10**7 * AGGREGATES // BLOCK
    aggregates = made.aggregates(start, start + 400)
    trades = made.trades(int(aggregates.first_id[0]) - 1, int(aggregates.last_id[-1]))
    assert (aggregates.first_id[1:] == aggregates.last_id[:-1] + 1).all()
    assert aggregates.size.sum() == trades.size.sum()
    owner = np.repeat(np.arange(400), aggregates.last_id - aggregates.first_id + 1)
    for column in ("price", "buy", "time_ns"):
        assert np.array_equal(getattr(aggregates, column)[owner], getattr(trades, column))


def test_a_sweep_moves_the_price_against_its_taker() -> None:
    aggregates = TAPES["BTCUSDT"].aggregates(10**8, 10**8 + 2000)
    same_sweep = np.diff(aggregates.time_ns) == 0
    moves = (np.diff(aggregates.price) * np.where(aggregates.buy, 1, -1)[1:])[same_sweep]
    assert (moves >= 0).all()
    assert (moves > 0).mean() > 0.5


def test_aggregates_are_counted_to_a_time_as_trades_are() -> None:
    made = TAPES["ETHUSDT"]
    count = made.count_aggregates(NOW)
    around = made.aggregates(count - 1, count + 1)
    assert around.time_ns[0] <= NOW < around.time_ns[1]
    assert around.last_id[0] == made.count(NOW)


def test_venues_agree_on_the_price_in_calm_times_and_disagree_in_the_burst() -> None:
    market = Market(7, BURST)

    def disagreement(start_ns: int, end_ns: int) -> float:
        times = np.arange(start_ns, end_ns, SECOND // 50, dtype=np.int64)
        quotes = [market.quote(listing, times)[0] for listing in BITCOIN.values()]
        return float(np.max(np.ptp(np.log(quotes), axis=0)))

    calm = disagreement(BURST.start_ns - 60 * SECOND, BURST.start_ns)
    assert calm < 4e-4
    assert disagreement(BURST.start_ns, BURST.end_ns) > 3 * calm


def test_spreads_widen_and_trading_gets_busier_in_the_burst() -> None:
    market = Market(7, BURST)
    middle = (BURST.start_ns + BURST.end_ns) // 2
    for venue, listing in BITCOIN.items():
        _, half_spread = market.quote(listing, np.array([BURST.start_ns - 10 * SECOND, middle]))
        assert half_spread[1] > 5 * half_spread[0]
        made = TAPES[BITCOIN[venue].symbol]
        busy = made.count(BURST.end_ns) - made.count(BURST.start_ns)
        assert busy > 20 * (made.count(BURST.start_ns) - made.count(BURST.start_ns - 12 * SECOND))


@pytest.mark.parametrize("venue", ["coinbase", "kraken"])
@pytest.mark.parametrize("seed", [0, 7])
def test_binance_moves_first_and_the_others_follow_40_to_120_ms_later(venue: str, seed: int) -> None:
    step = 5_000_000
    grid = np.arange(BURST.start_ns, BURST.end_ns, step)

    def moves(name: str) -> np.ndarray:
        """Changes of the log trade price over 100 ms, every 5 ms."""
        made = tape(BITCOIN[name], seed)
        trades = made.trades(made.count(BURST.start_ns), made.count(BURST.end_ns))
        times, first = np.unique(trades.time_ns // 1_000_000, return_index=True)
        prices = np.interp(grid, times * 1_000_000, np.log(trades.price[first]))
        return prices[20:] - prices[:-20]

    leader, follower = moves("binance"), moves(venue)
    likeness = {
        lag * step // 1_000_000: np.corrcoef(
            leader[max(-lag, 0) : len(leader) - max(lag, 0)], follower[max(lag, 0) : len(leader) - max(-lag, 0)]
        )[0, 1]
        for lag in range(-40, 41)
    }
    best = max(likeness, key=lambda lag: likeness[lag])
    assert 40 <= best <= 120
    assert likeness[best] > 0.7


def test_a_delisted_product_stops_trading() -> None:
    for listing in EVERY_LISTING:
        made = TAPES[listing.symbol]
        if listing.delisted_ns:
            assert made.count(NOW) == made.count(listing.delisted_ns) > 0
        else:
            assert made.count(NOW) > made.count(NOW - 24 * SLOT)
    assert any(asset.delisted for asset in ASSETS)


@pytest.mark.parametrize("start", ["2026-11-26T14:05:06Z", "2026-11-26T14:05:00Z", "2026-11-26T14:04:50Z"])
def test_the_burst_just_now_is_five_minutes_old_and_within_an_hour(start: str) -> None:
    begun = ns(start)
    burst = SCENARIOS["burst-just-now"].burst_for(begun)
    assert burst.start_ns // SLOT == burst.end_ns // SLOT
    assert burst.end_ns - burst.start_ns == 12 * SECOND
    assert 300 * SECOND <= begun - burst.start_ns < 313 * SECOND
    moments = np.arange(burst.start_ns - 6 * SECOND, burst.end_ns + 6 * SECOND, SECOND // 10)
    busy = np.diff(Market(7, burst).share_at(moments))
    assert busy.max() > 10 * np.median(busy[:40])
