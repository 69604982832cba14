"""Frames as the exchanges send them, and what each tells."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.live.discrepancies import FEES
from schemahub_lib.live.feeds import FEEDS
from schemahub_lib.live.feeds.base import Answer, Event, Feed, Goodbye, Market, Quote, Status, Trade
from tests.live.conftest import MARKETS

MATCH = (
    '{"type":"match","trade_id":1081862675,"maker_order_id":"f07e510f-4edf-469d-b844-4f670f1e93f1",'
    '"taker_order_id":"e6f50944-3e2a-439e-ae49-308300ba8296","side":"sell","size":"0.00000001","price":"80691.53",'
    '"product_id":"BTC-USD","sequence":134905860111,"time":"2026-08-25T03:35:57.198335Z"}'
)
BINANCE_TRADE = (
    '{"e":"trade","E":1788481292965,"s":"BTCUSDT","t":6653570805,"p":"81207.45000000","q":"0.00016000",'
    '"T":1788481292964,"m":true,"M":true}'
)
KRAKEN_TRADE = (
    '{"symbol":"BTC/USD","side":"buy","price":81205.1,"qty":0.00003630,"ord_type":"limit","trade_id":106799953,'
    '"timestamp":"2026-09-04T00:21:20.564568Z"}'
)
TICKER = (
    '{"symbol":"BTC/USD","bid":81205.0,"bid_qty":0.58905885,"ask":81205.1,"ask_qty":0.69697106,"last":81205.1,'
    '"volume":4696.17832496,"vwap":80044.4,"low":76949.6,"high":82288.1,"change":4166.6,"change_pct":5.41,'
    '"trades":145275,"timestamp":"2026-09-04T00:21:20.217476Z"}'
)
# What each exchange sends that tells nothing of its own: heartbeats, channels that were not asked for, what is new.
SILENT = {
    "coinbase": [
        '{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD",'
        '"time":"2014-11-07T08:19:28.464459Z"}',
        '{"type":"ticker","sequence":106614626042,"product_id":"BTC-USD","price":"102861.5","best_bid":"102861.49",'
        '"best_bid_size":"0.05883958","best_ask":"102861.50","best_ask_size":"0.14977190","side":"buy",'
        '"time":"2025-06-06T05:00:32.288092Z","trade_id":834270522,"last_size":"0.00184426"}',
        '{"type":"something new"}',
        MATCH.replace("BTC-USD", "ETH-USD"),
        '{"type":"l2update","product_id":"BTC-USD","changes":[["buy","1.0","1.0"]],"time":"2026-08-25T03:35:57Z"}',
    ],
    "binance": [
        '{"result":["btcusdt@bookTicker"],"id":3}'.replace('"result"', '"other"'),
        '{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,'
        '"T":1672515782136,"m":true,"M":true}',
        BINANCE_TRADE.replace("BTCUSDT", "ETHUSDT"),
    ],
    "kraken": [
        '{"channel":"heartbeat"}',
        '{"method":"pong","req_id":9,"time_in":"2026-09-24T03:54:28.829165Z","time_out":"2026-09-24T03:54:28.829217Z"}',
        f'{{"channel":"trade","type":"snapshot","data":[{KRAKEN_TRADE.replace("BTC/USD", "ETH/USD")}]}}',
        '{"channel":"trade","type":"snapshot","data":[]}',
    ],
}


def feed_of(name: str) -> Feed:
    return FEEDS[name]([market for market in MARKETS if market.exchange == name])


def best(events: list[Event]) -> list[tuple[str, ...]]:
    return [tuple(map(str, (e.bid, e.bid_size, e.ask, e.ask_size))) for e in events if isinstance(e, Quote)]


@pytest.mark.parametrize(("name", "frame"), [(name, frame) for name, frames in SILENT.items() for frame in frames])
def test_what_is_not_known_or_not_asked_for_tells_nothing(name: str, frame: str) -> None:
    assert feed_of(name).read(frame) == []


def test_each_exchange_is_asked_for_quotes_and_trades_in_its_own_words() -> None:
    said = {name: [json.loads(message) for message in feed_of(name).opened()] for name in FEEDS}
    assert said["coinbase"] == [
        {
            "type": "subscribe",
            "product_ids": ["BTC-USD"],
            "channels": ["level2_batch", "matches", "heartbeat"],
        },
        {"type": "subscribe", "channels": [{"name": "status"}]},
    ]
    assert said["binance"] == [{"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker", "btcusdt@trade"], "id": 1}]
    assert [message["params"] for message in said["kraken"]] == [
        {"channel": "ticker", "symbol": ["BTC/USD"], "event_trigger": "bbo", "snapshot": True},
        {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": True},
    ]


def test_kraken_is_asked_by_its_own_tickers_but_for_bitcoin_and_dogecoin() -> None:
    markets = [
        Market("kraken", "XDGUSD", "DOGE", "USD", ("XDG", "USD")),
        Market("kraken", "LUNAUSD", "LUNC", "USD", ("LUNA", "USD")),
    ]
    assert list(FEEDS["kraken"](markets).markets) == ["DOGE/USD", "LUNA/USD"]


@pytest.mark.parametrize("kind", ["match", "last_match"])
def test_a_match_of_coinbase_is_the_trade_of_its_rest_api(kind: str) -> None:
    frame = MATCH.replace('"match"', f'"{kind}"', 1)
    (trade,) = feed_of("coinbase").read(frame)
    assert trade == Trade(
        "BTC-USD",
        1081862675,
        1787628957_198335,
        Decimal("80691.53"),
        Decimal("0.00000001"),
        {
            **{"trade_id": "1081862675", "product_id": "BTC-USD", "price": "80691.53", "size": "0.00000001"},
            **{"time": "2026-08-25T03:35:57.198335Z", "side": "SELL", "_raw_payload": frame},
        },
    )


def test_a_trade_of_binance_is_that_of_its_rest_api_with_the_amount_cut_to_eight_decimals() -> None:
    (trade,) = feed_of("binance").read(BINANCE_TRADE)
    assert trade == Trade(
        "BTCUSDT",
        6653570805,
        1788481292964_000,
        Decimal("81207.45000000"),
        Decimal("0.00016000"),
        {
            **{"id": "6653570805", "symbol": "BTCUSDT", "price": "81207.45000000", "qty": "0.00016000"},
            **{"time": "1788481292964", "quote_qty": "12.99319200", "is_buyer_maker": True, "is_best_match": None},
            "_raw_payload": BINANCE_TRADE,
        },
    )
    amount = BINANCE_TRADE.replace("81207.45000000", "0.33333333").replace("0.00016000", "0.99999999")
    assert feed_of("binance").read(amount)[0].record["quote_qty"] == "0.33333332"  # type: ignore[union-attr]


def test_trades_of_kraken_are_those_of_its_rest_api_each_with_its_own_text() -> None:
    older = KRAKEN_TRADE.replace("106799953", "106799952")
    first, second = feed_of("kraken").read(f'{{"channel":"trade","type":"update","data":[{KRAKEN_TRADE}, {older}]}}')
    assert isinstance(first, Trade)
    assert first.id == 106799952
    assert second == Trade(
        "XBTUSD",
        106799953,
        1788481280_564568,
        Decimal("81205.1"),
        Decimal("0.00003630"),
        {
            **{"pair": "XBTUSD", "trade_id": "106799953", "price": "81205.1", "volume": "0.00003630", "misc": ""},
            **{"time": "1788481280.564568", "side": "b", "order_type": "l", "_raw_payload": KRAKEN_TRADE},
        },
    )


@pytest.mark.parametrize("name", FEEDS)
def test_a_trade_has_every_column_that_the_exchange_fills_in_its_raw_table(name: str) -> None:
    frames = {"coinbase": MATCH, "binance": BINANCE_TRADE, "kraken": f'{{"channel":"trade","data":[{KRAKEN_TRADE}]}}'}
    (trade,) = feed_of(name).read(frames[name])
    assert isinstance(trade, Trade)
    ours = {"_source", "_source_ingest_ts"}
    assert trade.record.keys() == set(EXCHANGES[name].raw_table.column_names) - ours


def test_binance_quotes_are_known_by_their_keys() -> None:
    prices = '"b":"81207.45000000","B":"2.19538000","a":"81207.46000000","A":"2.27890000"'
    (quote,) = feed_of("binance").read(f'{{"u":99663039038,"s":"BTCUSDT",{prices}}}')
    exact = ("81207.45000000", "2.19538000", "81207.46000000", "2.27890000")
    assert isinstance(quote, Quote)
    assert (best([quote]), quote.symbol, quote.time) == ([exact], "BTCUSDT", None)


@pytest.mark.parametrize("kind", ["snapshot", "update"])
def test_kraken_quotes_are_exact_and_may_lack_a_time(kind: str) -> None:
    feed = feed_of("kraken")
    (quote,) = feed.read(f'{{"channel":"ticker","type":"{kind}","data":[{TICKER}]}}')
    assert isinstance(quote, Quote)
    assert best([quote]) == [("81205.0", "0.58905885", "81205.1", "0.69697106")]
    assert (quote.symbol, quote.time) == ("XBTUSD", 1788481280_217476)
    undated = TICKER.replace(',"timestamp":"2026-09-04T00:21:20.217476Z"', "")
    (quote,) = feed.read(f'{{"channel":"ticker","type":"{kind}","data":[{undated}]}}')
    assert isinstance(quote, Quote)
    assert quote.time is None


def snapshot(*, bids: list[list[str]], asks: list[list[str]]) -> str:
    return json.dumps({"type": "snapshot", "product_id": "BTC-USD", "bids": bids, "asks": asks})


def update(*changes: list[str]) -> str:
    return json.dumps(
        {"type": "l2update", "product_id": "BTC-USD", "changes": changes, "time": "2026-08-25T03:35:57.198335Z"}
    )


def test_coinbases_best_prices_are_those_of_its_book() -> None:
    feed = feed_of("coinbase")
    feed.opened()
    first = snapshot(bids=[["99.0", "1"], ["100.0", "2"]], asks=[["102.0", "3"], ["101.0", "4"]])
    assert best(feed.read(first)) == [("100.0", "2", "101.0", "4")]
    assert best(feed.read(update(["buy", "98.00", "9"]))) == []  # behind the best price nothing is quoted
    assert best(feed.read(update(["buy", "100.00", "0.00000000"]))) == [("99.0", "1", "101.0", "4")]
    assert best(feed.read(update(["sell", "101.00", "5"]))) == [("99.0", "1", "101.0", "5")]
    assert best(feed.read(update(["sell", "100.5", "1"], ["buy", "100.4", "7"]))) == [("100.4", "7", "100.5", "1")]
    assert best(feed.read(update(["sell", "7", "0"]))) == []  # a price that was not there


def test_a_book_that_crosses_itself_is_left_for_a_fresh_one() -> None:
    feed = feed_of("coinbase")
    feed.read(snapshot(bids=[["100", "2"]], asks=[["101", "4"]]))
    (goodbye,) = feed.read(update(["buy", "101.5", "1"]))
    assert isinstance(goodbye, Goodbye)
    feed.opened()
    assert feed.read(update(["buy", "90", "1"])) == []


@pytest.mark.parametrize("bid", ["101", "102"])
def test_a_book_that_comes_locked_or_crossed_quotes_nothing_until_it_is_not(bid: str) -> None:
    feed = feed_of("coinbase")
    assert feed.read(snapshot(bids=[["100", "2"], [bid, "1"]], asks=[["101", "4"]])) == []
    assert feed.read(update(["buy", "103", "1"])) == []
    assert best(feed.read(update(["buy", "103", "0"], ["buy", bid, "0"]))) == [("100", "2", "101", "4")]


def test_a_book_with_an_empty_side_quotes_nothing() -> None:
    assert feed_of("coinbase").read(snapshot(bids=[], asks=[["101", "4"]])) == []


ANSWERS: list[tuple[str, str, Answer]] = [
    (
        "coinbase",
        '{"type":"subscriptions","channels":[{"name":"ticker","product_ids":["BTC-USD"],"account_ids":null}]}',
        Answer(True, None, "subscribed to 1 markets"),
    ),
    (
        "coinbase",
        '{"type":"error","message":"Failed to subscribe","reason":"BTC-XXX is not a valid product"}',
        Answer(False, None, "Failed to subscribe: BTC-XXX is not a valid product"),
    ),
    (
        "coinbase",
        '{"type":"error","message":"Failed to subscribe","reason":"BTC-USD is not a valid product"}',
        Answer(False, "BTC-USD", "Failed to subscribe: BTC-USD is not a valid product"),
    ),
    ("binance", '{"result":null,"id":1}', Answer(True, None, "subscribed to 1 markets")),
    ("binance", '{"code":2,"msg":"Invalid request: …"}', Answer(False, None, "Invalid request: … (code 2)")),
    (
        "binance",
        '{"error":{"code":4,"msg":"Too many subscriptions"},"id":19}',
        Answer(False, None, "Too many subscriptions (code 4)"),
    ),
    (
        "kraken",
        '{"method":"subscribe","result":{"channel":"ticker","event_trigger":"bbo","snapshot":true,"symbol":"BTC/USD"},'
        '"success":true,"time_in":"2026-09-24T03:54:28.829165Z","time_out":"2026-09-24T03:54:28.829217Z","req_id":1}',
        Answer(True, "XBTUSD", "subscribed to ticker"),
    ),
    (
        "kraken",
        '{"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,"symbol":"XBT/USD",'
        '"time_in":"…","time_out":"…"}',
        Answer(False, None, "Currency pair not supported XBT/USD"),
    ),
    ("kraken", '{"error":"Exceeded msg rate"}', Answer(False, None, "Exceeded msg rate")),
]


@pytest.mark.parametrize(("name", "frame", "answer"), ANSWERS)
def test_what_is_accepted_and_what_is_refused_is_told_in_words(name: str, frame: str, answer: Answer) -> None:
    assert feed_of(name).read(frame) == [answer]


def product(**restrictions: Any) -> str:
    listed = {"id": "BTC-USD", "status": "online", "post_only": False, "limit_only": False, "cancel_only": False}
    return json.dumps({"type": "status", "products": [listed | restrictions, {"id": "X-USD", "status": "delisted"}]})


def engine_in(system: str) -> str:
    status = f'{{"version":"2.0.10","system":"{system}","api_version":"v2","connection_id":9471984923908980762}}'
    return f'{{"channel":"status","type":"update","data":[{status}]}}'


@pytest.mark.parametrize(
    ("name", "frame", "symbol", "halted"),
    [
        ("coinbase", product(), "BTC-USD", ""),
        ("coinbase", product(limit_only=True), "BTC-USD", ""),
        ("coinbase", product(post_only=True), "BTC-USD", "the exchange has it post only"),
        ("coinbase", product(status="delisted"), "BTC-USD", "the exchange has it delisted"),
        ("kraken", engine_in("online"), None, ""),
        ("kraken", engine_in("cancel_only"), None, "the exchange's engine is in cancel only"),
        ("kraken", engine_in("maintenance"), None, "the exchange's engine is in maintenance"),
    ],
)
def test_halts_are_told(name: str, frame: str, symbol: str | None, halted: str) -> None:
    assert feed_of(name).read(frame) == [Status(symbol, halted)]


def test_binance_announces_that_it_will_close_the_connection() -> None:
    (goodbye,) = feed_of("binance").read('{"e":"serverShutdown","E":1770123456789}')
    assert isinstance(goodbye, Goodbye)


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("coinbase", MATCH.replace('"80691.53"', '"oops"')),
        ("coinbase", MATCH.replace('"side":"sell",', "")),
        ("binance", BINANCE_TRADE.replace('"m":true', '"m":"yes"')),
        ("kraken", f'{{"channel":"trade","data":[{KRAKEN_TRADE.replace("buy", "both")}]}}'),
        ("kraken", f'{{"channel":"ticker","data":[{TICKER.replace("81205.0", "null", 1)}]}}'),
        ("kraken", f'{{"channel":"ticker","data":[{TICKER.replace("81205.0", "9e999999", 1)}]}}'),
        ("kraken", f'{{"channel":"ticker","data":[{TICKER.replace("81205.0", "-1", 1)}]}}'),
        ("binance", "no json"),
    ],
)
def test_what_cannot_be_read_is_refused(name: str, frame: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        feed_of(name).read(frame)


def test_there_is_a_fee_for_each_exchange_that_is_compared() -> None:
    assert FEES.keys() == FEEDS.keys()
