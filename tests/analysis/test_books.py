"""Books side by side are the venues' latest snapshots, with what can be said of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemahub_lib.analysis.books import Book, assets, books, compared
from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.products import note
from schemahub_lib.tables.lake import Lake
from tests.analysis.market import snapshot

NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SYMBOLS = {"coinbase": ("BTC-USD", "ETH-USD"), "kraken": ("XBTUSD",)}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Coinbase's BTC at two times, its ETH, and Kraken's BTC between the two."""
    lake = Lake(Settings.load(warehouse=str(tmp_path), environment={}))
    for exchange, symbols in SYMBOLS.items():
        note(lake, EXCHANGES[exchange], symbols)
    snapshot(lake, "coinbase", "BTC-USD", NOON, [(99, 1)], [(101, 1)])
    snapshot(lake, "coinbase", "BTC-USD", NOON + 2 * MINUTE, [(100, 1), (99, 2), (98, 4)], [(102, 3), (104, 0.5)])
    snapshot(lake, "coinbase", "ETH-USD", NOON + 2 * MINUTE, [(10, 1)], [])
    snapshot(lake, "kraken", "XBTUSD", NOON + MINUTE, [(103, 1)], [(101, 1)])
    return lake


def names(found: list[Book]) -> list[tuple[str, str]]:
    return [(book.exchange, book.symbol) for book in found]


def test_each_venue_shows_its_latest_snapshot_of_the_asset(lake: Lake) -> None:
    coinbase, kraken = books(lake, "BTC")
    assert names([coinbase, kraken]) == [("COINBASE", "BTC-USD"), ("KRAKEN", "XBTUSD")]
    assert (coinbase.fetched_at, kraken.fetched_at) == (NOON + 2 * MINUTE, NOON + MINUTE)
    assert (coinbase.quote, coinbase.sequence, coinbase.time) == ("USD", 5, None)
    assert (coinbase.bids.price.tolist(), coinbase.bids.quantity.tolist()) == ([100, 99, 98], [1, 2, 4])


def test_depth_is_what_is_offered_up_to_each_level(lake: Lake) -> None:
    coinbase, _ = books(lake, "BTC")
    assert coinbase.bids.depth.tolist() == [1, 3, 7]
    assert coinbase.asks.depth.tolist() == [3, 3.5]


def test_the_spread_is_in_basis_points_of_the_middle_and_below_zero_where_a_book_is_crossed(lake: Lake) -> None:
    coinbase, kraken = books(lake, "BTC")
    assert (coinbase.bids.best, coinbase.asks.best, coinbase.middle) == (100, 102, 101)
    assert coinbase.spread == pytest.approx(2 / 101 * 1e4)
    assert kraken.spread == pytest.approx(-2 / 102 * 1e4)


def test_a_book_without_asks_has_no_middle(lake: Lake) -> None:
    (ether,) = books(lake, "ETH")
    assert (ether.bids.best, ether.asks.best, ether.middle, ether.spread) == (10, None, None, None)
    assert ether.asks.depth.tolist() == []


def test_at_a_time_it_is_the_snapshot_fetched_by_then(lake: Lake) -> None:
    (coinbase,) = books(lake, "BTC", NOON + MINUTE / 2)
    assert coinbase.bids.price.tolist() == [99]
    assert names(books(lake, "BTC", NOON + MINUTE)) == [("COINBASE", "BTC-USD"), ("KRAKEN", "XBTUSD")]
    assert books(lake, "BTC", NOON - MINUTE) == []


def test_symbols_are_known_as_the_venue_and_as_canonically_spelled(lake: Lake) -> None:
    assert names(books(lake, "XBTUSD")) == [("KRAKEN", "XBTUSD")]
    assert names(books(lake, "BTC-USD")) == [("COINBASE", "BTC-USD"), ("KRAKEN", "XBTUSD")]
    assert books(lake, "DOGE") == []


def test_books_are_compared_between_the_prices_that_all_of_them_tell(lake: Lake) -> None:
    snapshot(lake, "kraken", "XBTUSD", NOON + 3 * MINUTE, [(100, 1), (99, 1)], [(101, 1), (103, 1)])
    assert compared(books(lake, "BTC")) == (99, 103)
    assert compared(books(lake, "BTC-USD")[:1]) == (98, 104)
    for nothing_told in (books(lake, "ETH"), books(lake, "DOGE"), books(lake, "BTC", NOON + MINUTE)[1:]):
        assert compared(nothing_told) is None


def test_the_assets_are_those_of_which_there_are_snapshots(lake: Lake, tmp_path: Path) -> None:
    assert assets(lake) == ["BTC", "ETH"]
    assert assets(Lake(Settings.load(warehouse=str(tmp_path / "none"), environment={}))) == []
