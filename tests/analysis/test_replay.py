"""A replay shows the trades that the tables hold, and says who moved first and how far venues were apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from schemahub_lib.analysis.replay import Replay, Venue, replay, sentences
from schemahub_lib.analysis.ticks import Ticks
from schemahub_lib.config import Settings
from schemahub_lib.errors import UsageError
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.tables.lake import Lake
from tests.analysis.market import BURST, lake_where, lake_with
from tests.e2e.pipelines import rows

BEGUN = datetime.fromtimestamp(BURST.start_ns / SECOND, UTC)
LENGTH = timedelta(seconds=12)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    around = timedelta(minutes=1)
    return lake_with(tmp_path_factory.mktemp("replay"), BEGUN - around, BEGUN + around, "BTC", "ETH")


def test_its_ticks_are_the_rows_of_the_window(lake: Lake) -> None:
    shown = replay(lake, "BTC", BEGUN)
    expected = [
        row
        for row in rows(lake, TRADES_UNIFIED.name)
        if row["base_asset"] == "BTC" and BEGUN <= row["trade_ts"] < BEGUN + LENGTH
    ]
    assert [venue.exchange for venue in shown.venues] == ["BINANCE", "COINBASE", "KRAKEN"]
    assert sum(len(venue.ticks) for venue in shown.venues) == len(expected) > 3000
    for venue in shown.venues:
        assert (np.diff(venue.ticks.time) >= 0).all()
        of_venue = [row for row in expected if row["exchange"] == venue.exchange]
        assert sorted(venue.ticks.price.tolist()) == sorted(row["price"] for row in of_venue)
        assert sum(venue.quantity) == pytest.approx(sum(row["quantity"] for row in of_venue))
        assert (venue.ticks.side > 0).sum() == sum(row["side"] == "BUY" for row in of_venue)


def test_the_same_window_is_the_same_replay(lake: Lake) -> None:
    one, other = replay(lake, "BTC", BEGUN), replay(lake, "BTC", BEGUN)
    for a, b in zip(one.venues, other.venues, strict=True):
        assert np.array_equal(a.ticks.time, b.ticks.time)
        assert np.array_equal(a.ticks.price, b.ticks.price)
        assert np.array_equal(a.quantity, b.quantity)


def test_who_moved_first_is_who_does_in_the_simulated_market(lake: Lake) -> None:
    first, *others = replay(lake, "BTC", BEGUN).movers()
    assert (first.exchange, first.behind) == ("BINANCE", None)
    assert {other.exchange for other in others} == {"COINBASE", "KRAKEN"}
    for other in others:
        assert other.behind is not None
        assert other.behind.sure
        assert 40 <= other.behind.ms <= 110


def test_an_asset_is_shown_in_dollars_and_its_other_markets_by_their_symbols(tmp_path: Path) -> None:
    lake = lake_where(tmp_path, [(BEGUN, 100.0)])
    for exchange, quote, price in (("BINANCE", "USDT", 100.1), ("KRAKEN", "EUR", 92.0), ("BINANCE", "EUR", 92.1)):
        trade = {"exchange": exchange, "symbol": f"BTC{quote}", "canonical_symbol": f"BTC-{quote}", "base_asset": "BTC"}
        trade |= {"quote_asset": quote, "trade_id": "7", "price": price, "quantity": 1.0}
        lake.append(TRADES_UNIFIED, [trade | {"trade_ts": BEGUN, "ingest_ts": BEGUN}])

    def markets(name: str) -> list[tuple[str, str]]:
        shown = replay(lake, name, BEGUN)
        assert shown.trades == len(shown.venues)
        return [(venue.exchange, venue.symbol) for venue in shown.venues]

    assert markets("BTC") == [("BINANCE", "BTCUSDT"), ("COINBASE", "BTC-USD")]
    assert markets("BTC-EUR") == [("BINANCE", "BTCEUR"), ("KRAKEN", "BTCEUR")]


def test_where_nothing_is_for_dollars_an_assets_other_markets_are_shown(tmp_path: Path) -> None:
    told = {"exchange": "KRAKEN", "symbol": "XBTEUR", "canonical_symbol": "BTC-EUR", "base_asset": "BTC"}
    told |= {"quote_asset": "EUR", "trade_id": "7", "price": 92.0, "quantity": 1.0}
    lake = Lake(Settings.load(warehouse=str(tmp_path), environment={}))
    lake.append(TRADES_UNIFIED, [told | {"trade_ts": BEGUN, "ingest_ts": BEGUN}])
    assert [venue.symbol for venue in replay(lake, "BTC", BEGUN).venues] == ["XBTEUR"]


def test_it_can_be_one_venue(lake: Lake) -> None:
    shown = replay(lake, "ETH", BEGUN, venues=["KRAKEN"])
    assert [venue.exchange for venue in shown.venues] == ["KRAKEN"]
    assert shown.movers() == []
    assert len(shown.disagreement().apart) == 0


def test_venues_disagree_more_within_the_burst_than_before_it(lake: Lake) -> None:
    before = replay(lake, "BTC", BEGUN - timedelta(seconds=40), timedelta(seconds=30)).disagreement()
    within = replay(lake, "BTC", BEGUN, LENGTH).disagreement()
    assert (np.diff(within.time) > 0).all()
    assert np.median(within.apart) > 2 * np.median(before.apart)


def test_how_far_apart_is_the_widest_of_the_venues_middles() -> None:
    def venue(name: str, *ticks: tuple[int, float]) -> Venue:
        time, price = np.array([at for at, _ in ticks]), np.array([price for _, price in ticks])
        return Venue(name, "BTC-USD", "USD", Ticks(time, price, np.zeros(len(ticks))), np.ones(len(ticks)))

    shown = Replay(
        "BTC",
        BEGUN,
        BEGUN + LENGTH,
        4,
        [venue("A", (1000, 100.0), (3000, 101.0)), venue("B", (2000, 100.0)), venue("C", (4000, 99.0))],
    )
    found = shown.disagreement()
    assert found.time.tolist() == [2000, 3000, 4000]
    assert found.apart == pytest.approx([0.0, 1e4 * np.log(101 / 100), 1e4 * np.log(101 / 99)])
    half = 1e4 * np.log(101 / 100) / 2
    assert found.above_mean[:, 1] == pytest.approx([half, -half, np.nan], nan_ok=True)


def test_of_very_many_trades_those_are_kept_that_tell_how_the_price_went(tmp_path: Path) -> None:
    hour = timedelta(hours=1)
    lake = lake_with(tmp_path, BEGUN - hour / 2, BEGUN + hour / 2, "BTC")
    shown, again = (replay(lake, "BTC", BEGUN - hour / 2, hour) for _ in range(2))
    there = [row for row in rows(lake, TRADES_UNIFIED.name) if row["base_asset"] == "BTC"]
    assert shown.thinned
    assert shown.trades == len(there) > 60_000 >= sum(len(venue.ticks) for venue in shown.venues) > 15_000
    for venue, same in zip(shown.venues, again.venues, strict=True):
        prices = {row["trade_ts"].timestamp(): row["price"] for row in there if row["exchange"] == venue.exchange}
        assert (venue.ticks.price.min(), venue.ticks.price.max()) == (min(prices.values()), max(prices.values()))
        assert venue.ticks.time[-1] == round(max(prices) * 1e6)
        assert np.array_equal(venue.ticks.time, same.ticks.time)
        assert np.array_equal(venue.ticks.price, same.ticks.price)
    assert shown.movers() == []
    assert sentences(shown, []) == ["who moved first is not told of so many trades: a shorter window tells"]


def test_a_window_without_trades_is_empty(lake: Lake) -> None:
    for asset, start in (("BTC", BEGUN + timedelta(days=9)), ("NOPE", BEGUN)):
        shown = replay(lake, asset, start)
        assert shown.venues == []
        assert shown.movers() == []
        assert len(shown.disagreement().time) == 0


def test_as_the_lake_knew_it_late_trades_are_missing(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, BEGUN, BEGUN + LENGTH, "BTC", venues=("kraken",))
    before = datetime.now(UTC)
    table = lake.find(TRADES_UNIFIED.name)
    assert table is not None
    late = table.scan(limit=1).to_arrow().to_pylist()[0]
    late |= {"trade_id": "9" * 12, "exchange": "LATE", "base_asset": "BTC", "trade_ts": BEGUN}
    lake.append(TRADES_UNIFIED, [late])
    assert "LATE" in [venue.exchange for venue in replay(lake, "BTC", BEGUN).venues]
    assert "LATE" not in [venue.exchange for venue in replay(lake, "BTC", BEGUN, as_of=before).venues]


@pytest.mark.parametrize("length", [timedelta(), timedelta(seconds=-1), timedelta(hours=2)])
def test_a_window_that_cannot_be_is_refused(lake: Lake, length: timedelta) -> None:
    with pytest.raises(UsageError, match="window"):
        replay(lake, "BTC", BEGUN, length)
