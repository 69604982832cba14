"""An unmodified ccxt client, only its URLs pointed here, reads the same tape as the model holds."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import ccxt
import numpy as np
import pytest

from schemahub_lib.simulator import Simulator
from schemahub_lib.simulator.listings import listings, ns
from schemahub_lib.simulator.market import SCENARIOS, Market
from schemahub_lib.simulator.tape import Tape, Trades

NOW = ns("2024-02-08T15:20:00Z")


@pytest.fixture(scope="module")
def clients(frozen: tuple[Simulator, Any]) -> Iterator[dict[str, Any]]:
    urls = frozen[0].urls
    binance_api = {
        name: urls["binance"] + "/" + url.split("/", 3)[3]
        for name, url in ccxt.binance().describe()["urls"]["api"].items()
    }
    clients = {
        "coinbase": ccxt.coinbaseexchange({"urls": {"api": {"public": urls["coinbase"]}}}),
        "binance": ccxt.binance({"apiKey": "unused", "urls": {"api": binance_api}}),
        "kraken": ccxt.kraken({"urls": {"api": {"public": urls["kraken"]}}}),
        "okx": ccxt.okx({"urls": {"api": {"rest": urls["okx"]}}}),
    }
    for client in clients.values():
        client.enableRateLimit = False
        client.load_markets()
    yield clients
    for client in clients.values():
        client.session.close()


def tape(exchange: str) -> Tape:
    return Tape(Market(7, SCENARIOS["burst-2024-02-08"].burst), listings(exchange)[0])


def assert_equal(found: list[Any], exchange: str, expected: Trades) -> None:
    listing = listings(exchange)[0]
    price, lot = Decimal(10) ** -listing.price_decimals, Decimal(10) ** -listing.lot_decimals
    assert [int(trade["id"]) for trade in found] == expected.id.tolist()
    assert [trade["side"] for trade in found] == np.where(expected.buy, "buy", "sell").tolist()
    assert [Decimal(str(trade["price"])) for trade in found] == [value * price for value in expected.price.tolist()]
    assert [Decimal(str(trade["amount"])) for trade in found] == [value * lot for value in expected.size.tolist()]
    assert [trade["timestamp"] for trade in found] == (expected.time_ns // 1_000_000).tolist()


def test_it_loads_the_markets_by_their_common_names(clients: dict[str, Any]) -> None:
    assert {"BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD", "XTZ/USD"} <= clients["coinbase"].markets.keys()
    assert {"BTC/USDT", "ETH/USDT", "SOL/USDT", "DOGE/USDT", "XTZ/USDT"} <= clients["binance"].markets.keys()
    assert {"BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD", "XTZ/USD"} == clients["kraken"].markets.keys()
    assert {"BTC/USDT", "ETH/USDT", "SOL/USDT", "DOGE/USDT", "XTZ/USDT"} == clients["okx"].markets.keys()
    assert not clients["coinbase"].markets["MIR/USD"]["active"]
    assert not clients["binance"].markets["MIR/USDT"]["active"]


def test_coinbase_walks_back_by_after(clients: dict[str, Any]) -> None:
    made = tape("coinbase")
    end = made.count(NOW)
    found: list[Any] = []
    params: dict[str, Any] = {}
    for _ in range(3):
        page = clients["coinbase"].fetch_trades("BTC/USD", limit=700, params=params)
        found = page + found
        params = {"after": page[0]["id"]}
    assert_equal(sorted(found, key=lambda trade: int(trade["id"])), "coinbase", made.trades(end - 2100, end))


def test_binance_walks_forward_by_trade_id(clients: dict[str, Any]) -> None:
    made = tape("binance")
    start = made.count(SCENARIOS["burst-2024-02-08"].burst.start_ns)
    found: list[Any] = []
    for _ in range(3):
        params = {"fetchTradesMethod": "publicGetHistoricalTrades", "fromId": start + 1 + len(found)}
        found += clients["binance"].fetch_trades("BTC/USDT", limit=900, params=params)
    assert_equal(found, "binance", made.trades(start, start + 2700))


def test_binance_walks_forward_by_time_and_aggregate_id(clients: dict[str, Any]) -> None:
    made = tape("binance")
    since = NOW // 1_000_000 - 120_000
    start = made.count_aggregates(since * 1_000_000 - 1)
    found = clients["binance"].fetch_trades("BTC/USDT", since=since, limit=500)
    found += clients["binance"].fetch_trades("BTC/USDT", limit=400, params={"fromId": int(found[-1]["id"]) + 1})
    assert_equal(found, "binance", made.aggregates(start, start + 900))


def test_kraken_walks_forward_by_last(clients: dict[str, Any]) -> None:
    made = tape("kraken")
    since = 1707400000
    start = made.count(since * 10**9)
    found = clients["kraken"].fetch_trades("BTC/USD", since=since * 1000, limit=1000)
    for _ in range(2):
        last = found[-1]["info"][-1]
        found += clients["kraken"].fetch_trades("BTC/USD", limit=600, params={"since": last})
    assert_equal(found, "kraken", made.trades(start, start + 2200))


def test_okx_walks_back_by_after(clients: dict[str, Any]) -> None:
    made = tape("okx")
    end = made.count(NOW)
    found: list[Any] = []
    params: dict[str, Any] = {"method": "publicGetMarketHistoryTrades"}
    for _ in range(3):
        page = clients["okx"].fetch_trades("BTC/USDT", limit=70, params=params)
        found += page
        params["after"] = min(int(trade["id"]) for trade in page)
    assert_equal(sorted(found, key=lambda trade: int(trade["id"])), "okx", made.trades(end - 210, end))


def test_books_have_bids_below_asks(clients: dict[str, Any]) -> None:
    symbols = {"coinbase": "BTC/USD", "binance": "BTC/USDT", "kraken": "BTC/USD", "okx": "BTC/USDT"}
    for exchange, symbol in symbols.items():
        book = clients[exchange].fetch_order_book(symbol)
        assert book["bids"][0][0] < book["asks"][0][0]


def test_an_unknown_parameter_is_an_error_to_it(clients: dict[str, Any]) -> None:
    with pytest.raises(ccxt.BadRequest, match="-1104"):
        clients["binance"].fetch_trades("BTC/USDT", params={"since": 5})
