"""The engine against the simulated exchanges: what it shows, and what it makes of feeds that fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from schemahub_lib.config import Settings
from schemahub_lib.errors import UsageError
from schemahub_lib.live.feeds.base import Market
from schemahub_lib.live.feeds.kraken import KrakenFeed
from schemahub_lib.live.markets import find_markets
from schemahub_lib.live.session import Live
from schemahub_lib.simulator import Simulator
from schemahub_lib.simulator.feeds import connection
from schemahub_lib.simulator.feeds.binance import BinanceFeed as SimulatedFeed
from schemahub_lib.tables.lake import Lake
from tests.live.conftest import MARKETS, engine, run_live, until

pytestmark = pytest.mark.slow

LakeOf = Callable[[Simulator], Lake]
UNKNOWN = Market("coinbase", "BTC-XXX", "BTC", "XXX", ("BTC", "XXX"))


def test_every_venue_is_on_the_board_with_its_quote_and_its_last_trade(simulator: Simulator, lake_of: LakeOf) -> None:
    live = engine(lake_of(simulator), simulator)

    async def steps() -> None:
        await until(lambda: all(row.quote and row.trade for row in live.board.rows.values()))
        await until(lambda: all(row.lag is not None for row in live.board.rows.values()))
        await until(lambda: all(len(row.history) > 1 for row in live.board.rows.values()))

    run_live(live, steps)
    for row in live.board.rows.values():
        assert row.quote is not None
        assert row.trade is not None
        assert row.quote.bid < row.quote.ask
        assert row.side in ("BUY", "SELL")
        assert row.lag is not None
        assert 0 <= row.lag < 60
        assert (row.line.missed, row.line.unreadable, row.line.refused) == (0, 0, {})
    assert all(abs(float(row.mid or 0) / 45_000 - 1) < 0.2 for row in live.board.rows.values())


def test_trades_that_a_feed_leaves_out_are_fetched_over_rest(simulator: Simulator, lake_of: LakeOf) -> None:
    live = engine(lake_of(simulator), simulator)
    line = live.board.lines["binance"]

    async def steps() -> None:
        await until(lambda: line.live)
        opened = line.since
        simulator.set_faults({"binance:feed-gap": 0.2})
        await until(lambda: line.missed > 5)
        simulator.set_faults({})
        await until(lambda: line.fetched == line.missed)
        await until(lambda: live.board.rows["binance", "BTCUSDT"].missing == 0)
        assert line.since == opened

    run_live(live, steps)


def test_after_a_cut_the_feed_is_there_again_and_nothing_is_missing(simulator: Simulator, lake_of: LakeOf) -> None:
    live = engine(lake_of(simulator), simulator)
    line, row, opened = live.board.lines["binance"], live.board.rows["binance", "BTCUSDT"], set[int]()

    async def steps() -> None:
        await until(lambda: row.trade)
        simulator.set_faults({"binance:feed-cut": 0.2})
        await until(lambda: len(opened) > 2, lambda: opened.add(line.since))
        simulator.set_faults({})
        await until(lambda: line.live and row.quoted > line.since)
        await until(lambda: line.fetched >= line.missed and row.missing == 0)

    run_live(live, steps)


def test_an_exchange_that_pings_is_answered(
    simulator: Simulator, lake_of: LakeOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimulatedFeed, "ping_every", 0.1)
    monkeypatch.setattr(connection, "PONG_WITHIN", 0.3)  # then it hangs up
    live = engine(lake_of(simulator), simulator)
    line, row = live.board.lines["binance"], live.board.rows["binance", "BTCUSDT"]

    async def steps() -> None:
        await until(lambda: row.trade)
        first, opened = row.trade, line.since
        assert first is not None
        await until(lambda: row.trade and row.trade.time > first.time + 2_000_000)  # of its seconds, which are ours
        assert line.since == opened

    run_live(live, steps)


def test_a_feed_that_says_nothing_more_is_left_for_another(
    simulator: Simulator, lake_of: LakeOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KrakenFeed, "silence", 1.5)
    live = engine(lake_of(simulator), simulator)
    line, row, told = live.board.lines["kraken"], live.board.rows["kraken", "XBTUSD"], set[str]()

    async def steps() -> None:
        await until(lambda: line.live)
        simulator.set_faults({"kraken:feed-silent": 1.0})
        await until(lambda: "nothing came for 1.5 s" in told, lambda: told.add(line.words))
        simulator.set_faults({})
        quoted = row.quoted
        await until(lambda: line.live and row.quoted > quoted)

    run_live(live, steps)


def test_while_there_is_no_feed_quotes_and_trades_come_over_rest(simulator: Simulator, lake_of: LakeOf) -> None:
    lake = lake_of(simulator)
    nowhere = {"SCHEMAHUB_COINBASE_FEED_URL": simulator.urls["coinbase"].replace("http", "ws") + "/nothing"}
    settings = replace(lake.settings, environment={**lake.settings.environment, **nowhere})
    live = engine(Lake(settings), simulator, (*MARKETS, UNKNOWN))
    line, row = live.board.lines["coinbase"], live.board.rows["coinbase", "BTC-USD"]

    async def steps() -> None:
        await until(lambda: line.state == "polled")
        first = row.quote
        await until(lambda: row.quote != first and row.trade)

    run_live(live, steps)
    assert "refused the connection with HTTP 404: there is no feed at this address" in line.words
    assert line.refused.keys() == {"BTC-XXX"}
    assert live.board.doubt(row, row.quoted) == (
        "stale feed",
        "COINBASE is asked over REST every few seconds, as its feed is away",
    )


def test_an_exchange_that_is_not_there_at_all_is_told_as_down(simulator: Simulator, lake_of: LakeOf) -> None:
    lake = lake_of(simulator)
    nowhere = {"SCHEMAHUB_KRAKEN_URL": "http://127.0.0.1:1"}
    settings = replace(lake.settings, environment={**lake.settings.environment, **nowhere})
    live = engine(Lake(settings), simulator)
    line, row = live.board.lines["kraken"], live.board.rows["kraken", "XBTUSD"]
    run_live(live, lambda: until(lambda: line.state == "down" and live.board.lines["binance"].live))
    doubt = live.board.doubt(row, 0)
    assert doubt is not None
    assert doubt[0] == "stale feed"
    assert "ws://127.0.0.1:1/v2 could not be reached" in doubt[1]


def test_a_market_that_is_refused_does_not_cost_the_others_their_feed(simulator: Simulator, lake_of: LakeOf) -> None:
    live = engine(lake_of(simulator), simulator, (*MARKETS, UNKNOWN))
    run_live(live, lambda: until(lambda: live.board.rows["coinbase", "BTC-USD"].quote))
    refused = live.board.lines["coinbase"].refused
    assert refused == {"BTC-XXX": "Failed to subscribe: BTC-XXX is not a valid product"}


def test_the_markets_are_those_of_the_seed_files_in_common_tickers(simulator: Simulator, lake_of: LakeOf) -> None:
    markets = find_markets(lake_of(simulator).settings, {"kraken": ["XBT/USD", "XDGUSD"], "coinbase": ["eth-usd"]})
    told = {(market.exchange, market.symbol, market.canonical, market.listed) for market in markets}
    assert ("kraken", "XBTUSD", "BTC-USD", ("XBT", "USD")) in told
    assert ("kraken", "XDGUSD", "DOGE-USD", ("XDG", "USD")) in told
    assert ("coinbase", "ETH-USD", "ETH-USD", ("ETH", "USD")) in told
    assert {symbol for exchange, symbol, *_ in told if exchange == "binance"} == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}


def test_without_a_market_nothing_is_started(simulator: Simulator, lake_of: LakeOf) -> None:
    with pytest.raises(UsageError, match="no market to watch"):
        Live(lake_of(simulator), [])


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, None),
        ({"SCHEMAHUB_KRAKEN_FEED_URL": "wss://ws.example:444"}, "wss://ws.example:444"),
        ({"SCHEMAHUB_KRAKEN_URL": "http://127.0.0.1:81"}, "ws://127.0.0.1:81"),
        ({"SCHEMAHUB_KRAKEN_URL": "https://a", "SCHEMAHUB_KRAKEN_FEED_URL": "ws://b"}, "ws://b"),
    ],
)
def test_a_feed_is_where_it_is_told_to_be_else_where_the_rest_api_was_moved_to(
    environment: dict[str, str], url: str | None
) -> None:
    assert Settings.load(environment=environment).feed_url("kraken") == url
