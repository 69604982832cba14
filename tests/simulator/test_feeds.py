"""The feeds speak as the exchanges' own do, and tell the trades that their REST APIs have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from schemahub_lib.simulator import Simulator
from schemahub_lib.simulator.feeds import connection
from schemahub_lib.simulator.feeds.binance import BinanceFeed
from tests.simulator.conftest import Get

pytestmark = pytest.mark.slow

NOW = "2024-02-08T15:12:00Z"
Socket = aiohttp.ClientWebSocketResponse


@pytest.fixture
def market(start: Callable[..., tuple[Simulator, Get]]) -> Iterator[tuple[Simulator, Get]]:
    """The market just before the scenario's burst; its clock moves when a test moves it."""
    simulator, get = start(seed=7, now=NOW, speed=0, scenario="burst-2024-02-08", rate_limits=False)
    with simulator:
        yield simulator, get


@asynccontextmanager
async def feed(simulator: Simulator, exchange: str, path: str, *first: Any) -> AsyncIterator[Socket]:
    """A connection on which some messages have been said."""
    async with aiohttp.ClientSession() as session, session.ws_connect(simulator.urls[exchange] + path) as socket:
        for message in first:
            await socket.send_json(message)
        yield socket


async def told(socket: Socket, count: int) -> list[Any]:
    """The next frames."""
    return [json.loads(await socket.receive_str(timeout=5), parse_float=Decimal) for _ in range(count)]


async def all_told(socket: Socket, quiet: float = 1.0) -> list[Any]:
    """Frames until none comes for a while."""
    frames = []
    while True:
        try:
            frames.append(json.loads(await socket.receive_str(timeout=quiet), parse_float=Decimal))
        except TimeoutError:
            return frames


def coinbase_of(*channels: str, products: tuple[str, ...] = ("BTC-USD",)) -> dict[str, Any]:
    return {"type": "subscribe", "product_ids": products, "channels": channels}


def test_coinbase_matches_are_the_trades_of_its_rest_api(market: tuple[Simulator, Get]) -> None:
    simulator, get = market

    async def listen() -> list[Any]:
        async with feed(simulator, "coinbase", "/", coinbase_of("matches")) as socket:
            acknowledged, last = await told(socket, 2)
            channel = {"name": "matches", "product_ids": ["BTC-USD"], "account_ids": None}
            assert acknowledged == {"type": "subscriptions", "channels": [channel]}
            assert last["type"] == "last_match"
            simulator.advance(5)
            return [last, *await all_told(socket)]

    last, *found = asyncio.run(listen())
    assert len(found) > 10
    assert [match["trade_id"] for match in found] == list(range(last["trade_id"] + 1, found[-1]["trade_id"] + 1))
    rest = {row["trade_id"]: row for row in get("coinbase", "/products/BTC-USD/trades").json()}
    for match in found:
        row = rest[match["trade_id"]]
        assert (match["side"], match["time"], match["size"]) == (row["side"], row["time"], row["size"])
        assert Decimal(match["price"]) == Decimal(row["price"])


def test_coinbases_book_is_a_snapshot_and_its_changes(market: tuple[Simulator, Get]) -> None:
    simulator, get = market

    async def listen() -> dict[tuple[str, str], str]:
        async with feed(simulator, "coinbase", "/", coinbase_of("level2_batch")) as socket:
            acknowledged, snapshot = await told(socket, 2)
            assert acknowledged["channels"][0]["name"] == "level2_50"
            book = {("buy", price): size for price, size in snapshot["bids"]}
            book |= {("sell", price): size for price, size in snapshot["asks"]}
            simulator.advance(5)
            for update in await all_told(socket):
                assert update["type"] == "l2update"
                for side, price, size in update["changes"]:
                    if Decimal(size):
                        book[side, price] = size
                    else:
                        del book[side, price]
            return book

    book = asyncio.run(listen())
    now = get("coinbase", "/products/BTC-USD/book", level=2).json()
    bids, asks = now["bids"][:50], now["asks"][:50]
    assert book == {("buy", p): s for p, s, _ in bids} | {("sell", p): s for p, s, _ in asks}


def test_coinbase_refuses_a_product_and_serves_the_others(market: tuple[Simulator, Get]) -> None:
    async def listen() -> list[Any]:
        wanted = coinbase_of("matches", "level2", products=("BTC-USD", "BTC-XXX"))
        async with feed(market[0], "coinbase", "/", wanted) as socket:
            return await told(socket, 4)

    wrong, locked, acknowledged, last = asyncio.run(listen())
    assert (wrong["type"], wrong["reason"]) == ("error", "BTC-XXX is not a valid product")
    assert "require authentication" in locked["reason"]
    assert acknowledged["channels"][0]["product_ids"] == ["BTC-USD"]
    assert last["product_id"] == "BTC-USD"


def test_coinbase_beats_each_second_once_asked_and_hangs_up_on_who_asks_nothing(market: tuple[Simulator, Get]) -> None:
    simulator, _ = market

    async def listen() -> list[Any]:
        async with feed(simulator, "coinbase", "/", coinbase_of("heartbeat")) as socket:
            await told(socket, 1)
            simulator.advance(1)
            beats = await told(socket, 1)
        async with feed(simulator, "coinbase", "/") as socket:
            simulator.advance(6)
            assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
        return beats

    (beat,) = asyncio.run(listen())
    assert (beat["type"], beat["product_id"]) == ("heartbeat", "BTC-USD")


def test_coinbase_tells_the_status_of_every_product(market: tuple[Simulator, Get]) -> None:
    simulator, get = market

    async def listen() -> list[Any]:
        asked = {"type": "subscribe", "channels": [{"name": "status"}]}
        async with feed(simulator, "coinbase", "/", asked) as socket:
            await told(socket, 1)
            found = await all_told(socket)
            simulator.advance(5)
            return [*found, *await told(socket, 1)]

    *first, last = asyncio.run(listen())
    online = {product["id"] for product in get("coinbase", "/products").json() if product["status"] == "online"}
    assert {product["id"] for frame in first for product in frame["products"]} == online
    assert {product["id"]: product["status"] for product in last["products"]} == dict.fromkeys(online, "online")


@pytest.mark.parametrize("combined", [False, True])
def test_binance_trades_are_those_of_its_rest_api(market: tuple[Simulator, Get], combined: bool) -> None:
    simulator, get = market
    path = "/stream?streams=btcusdt@trade" if combined else "/ws/btcusdt@trade"

    async def listen() -> list[Any]:
        async with feed(simulator, "binance", path) as socket:
            await asyncio.sleep(0.1)
            simulator.advance(2)
            return await all_told(socket)

    found = asyncio.run(listen())
    if combined:
        assert {frame["stream"] for frame in found} == {"btcusdt@trade"}
        found = [frame["data"] for frame in found]
    assert len(found) > 20
    rest = {row["id"]: row for row in get("binance", "/api/v3/trades", symbol="BTCUSDT", limit=1000).json()}
    for trade in found:
        row = rest[trade["t"]]
        assert (trade["p"], trade["q"], trade["T"], trade["m"]) == (
            *(row["price"], row["qty"], row["time"], row["isBuyerMaker"]),
        )


def test_binance_quotes_when_they_change_and_is_silent_about_streams_there_are_not(
    market: tuple[Simulator, Get],
) -> None:
    simulator, get = market
    asked = {"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker", "BTCUSDT@trade"], "id": 1}

    async def listen() -> list[Any]:
        async with feed(simulator, "binance", "/ws", asked, {"method": "LIST_SUBSCRIPTIONS", "id": 2}) as socket:
            frames = await all_told(socket)
            simulator.advance(1)
            return frames + await all_told(socket)

    frames = asyncio.run(listen())
    answers = [frame for frame in frames if "result" in frame]
    assert answers == [{"result": None, "id": 1}, {"result": ["btcusdt@bookTicker", "BTCUSDT@trade"], "id": 2}]
    first, second = (frame for frame in frames if "result" not in frame)
    assert first["u"] < second["u"]
    best = get("binance", "/api/v3/depth", symbol="BTCUSDT", limit=5).json()
    assert [second["b"], second["B"]] == best["bids"][0]
    assert [second["a"], second["A"]] == best["asks"][0]
    assert second.keys() == {"u", "s", "b", "B", "a", "A"}


@pytest.mark.parametrize(
    ("said", "code"), [("no json", 3), ('{"method":"JUMP","id":1}', 2), ('{"method":"SUBSCRIBE","id":1}', 2)]
)
def test_binance_says_what_it_does_not_understand(market: tuple[Simulator, Get], said: str, code: int) -> None:
    async def listen() -> Any:
        async with feed(market[0], "binance", "/ws") as socket:
            await socket.send_str(said)
            return (await told(socket, 1))[0]

    assert asyncio.run(listen())["code"] == code


def test_binance_hangs_up_on_who_says_too_much_and_after_a_day(market: tuple[Simulator, Get]) -> None:
    simulator, _ = market

    async def listen() -> list[Any]:
        asks = [{"method": "LIST_SUBSCRIPTIONS", "id": number} for number in range(6)]
        async with feed(simulator, "binance", "/ws", *asks) as socket:
            await told(socket, 6)
            assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
        async with feed(simulator, "binance", "/ws") as socket:
            await asyncio.sleep(0.1)
            simulator.advance(24 * 3600 - 300)
            frames = await told(socket, 1)
            simulator.advance(300)
            assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
        return frames

    (notice,) = asyncio.run(listen())
    assert notice["e"] == "serverShutdown"


def test_binance_pings_and_hangs_up_on_who_does_not_answer(
    market: tuple[Simulator, Get], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BinanceFeed, "ping_every", 0.1)
    monkeypatch.setattr(connection, "PONG_WITHIN", 0.4)

    async def listen(answering: bool) -> tuple[int, bool]:
        url = market[0].urls["binance"] + "/ws"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, autoping=False) as socket:
            pings, open_ = 0, True
            while open_ and pings < 12:
                message = await socket.receive(timeout=5)
                open_ = message.type is aiohttp.WSMsgType.PING
                pings += open_
                if open_ and answering:
                    await socket.pong(message.data)
            return pings, open_

    assert asyncio.run(listen(answering=True)) == (12, True)
    pings, open_ = asyncio.run(listen(answering=False))
    assert 0 < pings < 12
    assert not open_


def kraken_of(channel: str, **params: Any) -> dict[str, Any]:
    return {"method": "subscribe", "params": {"channel": channel, "symbol": ["BTC/USD"], **params}, "req_id": 1}


def test_kraken_trades_are_those_of_its_rest_api(market: tuple[Simulator, Get]) -> None:
    simulator, get = market

    async def listen() -> list[Any]:
        async with feed(simulator, "kraken", "/v2", kraken_of("trade", snapshot=True)) as socket:
            status, acknowledged, snapshot = await told(socket, 3)
            assert status["data"][0]["system"] == "online"
            assert acknowledged["success"] is True
            assert acknowledged["result"]["symbol"] == "BTC/USD"
            assert len(snapshot["data"]) == 50
            simulator.advance(5)
            updates = [frame for frame in await all_told(socket) if frame["channel"] == "trade"]
            return snapshot["data"] + [trade for update in updates for trade in update["data"]]

    found = asyncio.run(listen())
    ids = [trade["trade_id"] for trade in found]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert len(ids) > 55
    body = get("kraken", "/0/public/Trades", pair="XBTUSD", since="1707404400").json(parse_float=Decimal)
    rest = {row[6]: row for row in body["result"]["XXBTZUSD"]}
    compared = 0
    for trade in found:
        if row := rest.get(trade["trade_id"]):
            compared += 1
            assert (trade["price"], trade["qty"]) == (Decimal(row[0]), Decimal(row[1]))
            assert trade["side"][0] == row[3]
            assert trade["ord_type"][0] == row[4]
    assert compared > 50


def test_kraken_quotes_on_best_prices_and_beats_when_quiet(market: tuple[Simulator, Get]) -> None:
    simulator, get = market

    async def listen() -> list[Any]:
        async with feed(simulator, "kraken", "/v2", kraken_of("ticker", event_trigger="bbo")) as socket:
            _, acknowledged, snapshot = await told(socket, 3)
            assert acknowledged["result"]["event_trigger"] == "bbo"
            simulator.advance(10)
            frames = [snapshot, *await all_told(socket)]
            simulator.advance(0.0)
            return frames

    snapshot, update, *_ = asyncio.run(listen())
    assert (snapshot["type"], update["type"]) == ("snapshot", "update")
    best = get("kraken", "/0/public/Depth", pair="XBTUSD", count=1).json()["result"]["XXBTZUSD"]
    (quote,) = update["data"]
    assert (quote["bid"], quote["ask"]) == (Decimal(best["bids"][0][0]), Decimal(best["asks"][0][0]))

    async def quiet() -> Any:
        async with feed(simulator, "kraken", "/v2", kraken_of("trade", snapshot=False)) as socket:
            await told(socket, 2)
            for _ in range(50):
                simulator.advance(1.05)
                (frame,) = await told(socket, 1)
                if frame["channel"] == "heartbeat":
                    return frame
        raise AssertionError("no heartbeat")

    assert asyncio.run(quiet()) == {"channel": "heartbeat"}


def test_kraken_refuses_old_names_and_what_is_subscribed_already(market: tuple[Simulator, Get]) -> None:
    async def listen() -> list[Any]:
        old = {"method": "subscribe", "params": {"channel": "trade", "symbol": ["XBT/USD"]}}
        again = kraken_of("trade", snapshot=False)
        async with feed(market[0], "kraken", "/v2", old, again, again, {"method": "ping", "req_id": 9}) as socket:
            return await told(socket, 5)

    _, refused, accepted, repeated, pong = asyncio.run(listen())
    assert (refused["success"], refused["error"]) == (False, "Currency pair not supported XBT/USD")
    assert accepted["success"]
    assert repeated["error"] == "Already subscribed"
    assert (pong["method"], pong["req_id"]) == ("pong", 9)


def test_a_feed_may_have_gaps_be_cut_or_fall_silent(market: tuple[Simulator, Get]) -> None:
    simulator, _ = market

    async def listen(fault: str, rate: float) -> tuple[list[int], bool]:
        simulator.set_faults({fault: rate})
        async with feed(simulator, "binance", "/ws/btcusdt@trade") as socket:
            await asyncio.sleep(0.1)
            simulator.advance(5)
            ids, open_ = [], True
            while open_:
                try:
                    message = await socket.receive(timeout=0.3)
                except TimeoutError:
                    break
                open_ = message.type is aiohttp.WSMsgType.TEXT
                ids += [json.loads(message.data)["t"]] if open_ else []
            return ids, open_

    ids, open_ = asyncio.run(listen("feed-gap", 0.2))
    assert open_
    assert len(ids) < ids[-1] - ids[0] + 1
    ids, open_ = asyncio.run(listen("feed-cut", 0.05))
    assert not open_
    ids, open_ = asyncio.run(listen("feed-silent", 0.05))
    assert open_
    assert len(ids) < 100
    assert simulator.stats["binance"]["faults"].keys() == {"feed-gap", "feed-cut", "feed-silent"}


@pytest.mark.parametrize(("exchange", "path"), [("coinbase", "/x"), ("binance", "/x"), ("kraken", "/v1"), ("okx", "/")])
def test_there_is_no_feed_elsewhere(market: tuple[Simulator, Get], exchange: str, path: str) -> None:
    async def listen() -> None:
        async with feed(market[0], exchange, path):
            raise AssertionError("connected")

    with pytest.raises(aiohttp.WSServerHandshakeError):
        asyncio.run(listen())
