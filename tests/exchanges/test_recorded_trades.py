"""Every recorded page of trades, read by us and by ccxt."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, repeat

import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.watermark import Watermark

# path: exchange, product, rows
PAGES = {
    "binance/historicalTrades/2021-04-13_XRPUSDT_fromId28457_limit1.json": ("binance", "XRPUSDT", 1),
    "binance/trades/2020-10-26_BTCUSDT_limit1000.json": ("binance", "BTCUSDT", 1000),
    "binance/trades/2026-04-07_BTCUSDT_trunc5.json": ("binance", "BTCUSDT", 5),
    "coinbase/trades/2016-05-12_btc-usd_paged/page00.json": ("coinbase", "BTC-USD", 100),
    "coinbase/trades/2016-05-12_btc-usd_paged/page01.json": ("coinbase", "BTC-USD", 100),
    "coinbase/trades/2016-05-12_btc-usd_paged/page02.json": ("coinbase", "BTC-USD", 100),
    "coinbase/trades/2018-04-13_btc-usd_p1.json": ("coinbase", "BTC-USD", 100),
    "coinbase/trades/2024-03-13_btc-usdt_1row_ccxt.json": ("coinbase", "BTC-USDT", 1),
    "kraken/trades/2019-05-15_BCHEUR.json": ("kraken", "BCHEUR", 1000),
    "kraken/trades/2025-11-10_XBTUSDT_tradeid.json": ("kraken", "XBTUSDT", 1000),
}
# How our columns are called by all: side is the taker's.
SIZE = {"coinbase": "size", "binance": "qty", "kraken": "volume"}
TAKER = {
    "coinbase": lambda record: {"BUY": "sell", "SELL": "buy"}[record["side"]],
    "binance": lambda record: "sell" if record["is_buyer_maker"] else "buy",
    "kraken": lambda record: {"b": "buy", "s": "sell"}[record["side"]],
}


@pytest.fixture
def trades_of(drive, recording):
    """`trades_of(path)`: the records of a recorded page, read as the first page of a run."""

    def read(path):
        source, product, _ = PAGES[path]
        text, headers = recording(path)
        start = datetime(2010, 1, 1, tzinfo=UTC)
        if source != "kraken":  # right after the trade before the page's first one
            before = min(int(row["trade_id" if source == "coinbase" else "id"]) for row in json.loads(text)) - 1
            start = Watermark(str(before), start, str(before))
        nothing_more = '{"error":[],"result":{"X":[],"last":"9"}}' if source == "kraken" else "[]"
        told = chain([(text, headers)], repeat(nothing_more))
        driven = drive(EXCHANGES[source].trades(product, start), answer=lambda request: next(told))
        assert driven.rejected == []
        return driven.records

    return read


def by_ccxt(source, product, text):
    import ccxt

    exchange = {"coinbase": ccxt.coinbaseexchange, "binance": ccxt.binance, "kraken": ccxt.kraken}[source]()
    market = exchange.safe_market_structure({"id": product, "symbol": "BASE/QUOTE", "quote": "QUOTE", "spot": True})
    found = json.loads(text)
    if source == "kraken":
        (found,) = (rows for key, rows in found["result"].items() if key != "last")
    parsed = [exchange.parse_trade(row, market) for row in found]
    return parsed[::-1] if source == "coinbase" else parsed


@pytest.mark.parametrize("path", PAGES)
def test_ccxt_reads_the_same_trades(recording, trades_of, path):
    source, product, count = PAGES[path]
    ours, theirs = trades_of(path), by_ccxt(source, product, recording(path)[0])
    assert len(ours) == count
    exchange = EXCHANGES[source]
    for record, their in zip(ours, theirs, strict=True):
        assert record["price"] == their["info"][0 if source == "kraken" else "price"]
        assert float(Decimal(record["price"])) == their["price"]
        assert float(Decimal(record[SIZE[source]])) == their["amount"]
        assert TAKER[source](record) == their["side"]
        assert exchange.time_of(record["time"]) // 1000 == their["timestamp"]
        assert their["id"] in (record[exchange.id_column], None)
    assert len({record[exchange.id_column] for record in ours}) == count


@pytest.mark.parametrize("path", PAGES)
def test_payloads_are_the_bodys_own_text_and_nothing_of_it_is_left_out(recording, trades_of, path):
    text, _ = recording(path)
    payloads = [record["_raw_payload"] for record in trades_of(path)]
    rest, end = "", 0
    for payload in payloads[::-1] if PAGES[path][0] == "coinbase" else payloads:
        start = text.index(payload, end)
        rest += text[end:start]
        end = start + len(payload)
    around = re.sub(r"[\s,]", "", rest + text[end:])
    assert re.fullmatch(r'\[\]|{"error":\[\]"result":{"\w+":\[\]"last":"\d+"}}', around)


def test_kraken_times_of_2025_lie_within_a_rounding_of_the_exact_cursor(recording, trades_of):
    path = "kraken/trades/2025-11-10_XBTUSDT_tradeid.json"
    last = EXCHANGES["kraken"].time_of(trades_of(path)[-1]["time"])
    assert abs(last * 1000 - int(json.loads(recording(path)[0])["result"]["last"])) < 2000
