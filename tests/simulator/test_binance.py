"""What Binance's spot API does, as its documents and recordings say."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from itertools import pairwise
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

Get = Callable[..., requests.Response]
TRADES, HISTORY, AGGREGATES = "/api/v3/trades", "/api/v3/historicalTrades", "/api/v3/aggTrades"


@pytest.fixture(scope="module")
def get(frozen: tuple[Any, Get]) -> Get:
    """Asks Binance, for BTCUSDT unless told otherwise; a parameter given as None is left out."""

    def get(path: str, headers: dict[str, str] | None = None, **params: Any) -> requests.Response:
        return frozen[1]("binance", path, headers, **{"symbol": "BTCUSDT"} | params)

    return get


def ids(answer: requests.Response) -> list[int]:
    return [row["id"] for row in answer.json()]


def newest(get: Get) -> int:
    return int(get(TRADES, limit=1).json()[0]["id"])


def test_trades_are_the_newest_ascending(get: Get) -> None:
    top = newest(get)
    assert ids(get(TRADES)) == list(range(top - 499, top + 1))
    assert ids(get(TRADES, limit=5000)) == list(range(top - 999, top + 1))
    assert ids(get(HISTORY, limit=3)) == [top - 2, top - 1, top]


@given(back=st.integers(0, 10**6), limit=st.integers(1, 1000))
@settings(max_examples=25, deadline=None)
def test_from_id_is_inclusive(get: Get, back: int, limit: int) -> None:
    top = newest(get)
    found = ids(get(HISTORY, fromId=top - back, limit=limit))
    assert found == list(range(top - back, min(top - back + limit, top + 1)))


def test_from_an_id_to_come_there_is_nothing(get: Get) -> None:
    assert get(HISTORY, fromId=newest(get) + 1).json() == []


def test_the_quote_quantity_is_cut_to_eight_decimals(get: Get) -> None:
    rows = get(TRADES, limit=1000).json()
    exact = [Decimal(row["price"]) * Decimal(row["qty"]) for row in rows]
    cut = [value.quantize(Decimal("1e-8"), ROUND_DOWN) for value in exact]
    assert [Decimal(row["quoteQty"]) for row in rows] == cut


def test_an_aggregate_covers_trades_of_one_price_and_side(get: Get) -> None:
    aggregates = get(AGGREGATES, limit=50).json()
    assert all(later["f"] == earlier["l"] + 1 for earlier, later in pairwise(aggregates))
    trades = {row["id"]: row for row in get(HISTORY, fromId=aggregates[0]["f"], limit=1000).json()}
    for aggregate in aggregates:
        covered = [trades[number] for number in range(aggregate["f"], aggregate["l"] + 1)]
        assert {row["price"] for row in covered} == {aggregate["p"]}
        assert {row["isBuyerMaker"] for row in covered} == {aggregate["m"]}
        assert {row["time"] for row in covered} == {aggregate["T"]}
        assert sum(Decimal(row["qty"]) for row in covered) == Decimal(aggregate["q"])


def test_aggregate_ids_are_a_space_of_their_own(get: Get) -> None:
    aggregate = get(AGGREGATES, limit=1).json()[0]
    assert aggregate["a"] != aggregate["l"]
    again = get(AGGREGATES, fromId=aggregate["a"] - 10, limit=11).json()
    assert [row["a"] for row in again] == list(range(aggregate["a"] - 10, aggregate["a"] + 1))
    assert again[-1] == aggregate


def test_start_and_end_time_are_inclusive(get: Get) -> None:
    rows = get(AGGREGATES, limit=1000).json()
    first, last = rows[300]["T"], rows[500]["T"]
    inside = [row for row in rows if first <= row["T"] <= last]
    assert get(AGGREGATES, startTime=first, endTime=last, limit=1000).json() == inside
    assert get(AGGREGATES, startTime=first, endTime=last, limit=7).json() == inside[:7]
    assert get(AGGREGATES, startTime=first, limit=7).json() == inside[:7]
    assert get(AGGREGATES, endTime=last, limit=7).json() == inside[-7:]


def test_times_come_in_microseconds_on_request_and_are_accepted_in_either_unit(get: Get) -> None:
    coarse = get(AGGREGATES, limit=100).json()
    fine = get(AGGREGATES, {"X-MBX-TIME-UNIT": "MICROSECOND"}, limit=100).json()
    assert [row["T"] // 1000 for row in fine] == [row["T"] for row in coarse]
    assert any(row["T"] % 1000 for row in fine)
    since = fine[50]["T"]
    assert get(AGGREGATES, {"X-MBX-TIME-UNIT": "MICROSECOND"}, startTime=since).json() == [
        row for row in fine if row["T"] >= since
    ]


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        (TRADES, {"symbol": None}, -1102),
        (TRADES, {"symbol": "btcusdt"}, -1100),
        (TRADES, {"symbol": "NOPE"}, -1121),
        (TRADES, {"limit": "many"}, -1100),
        (TRADES, {"limit": 0}, -1130),
        (TRADES, {"fromId": 5}, -1104),
        (TRADES, {"fromId": 5, "limit": 5}, -1101),
        (HISTORY, {"since": 5}, -1104),
        (AGGREGATES, {"fromId": 5, "startTime": 5}, -1128),
        (AGGREGATES, {"startTime": 6, "endTime": 5}, -1128),
        ("/api/v3/depth", {"level": 2}, -1104),
        ("/api/v3/exchangeInfo", {"symbol": "NOPE"}, -1121),
    ],
)
def test_a_wrong_request_is_400_with_its_code(get: Get, path: str, params: dict[str, Any], code: int) -> None:
    answer = get(path, **params)
    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert set(answer.json()) == {"code", "msg"}


def test_every_answer_reports_the_weight_used(get: Get) -> None:
    def used(path: str, **params: Any) -> int:
        return int(get(path, **params).headers["x-mbx-used-weight-1m"])

    for path, params, weight in [
        (TRADES, {}, 25),
        (HISTORY, {}, 25),
        (AGGREGATES, {}, 4),
        ("/api/v3/exchangeInfo", {}, 20),
        ("/api/v3/depth", {}, 5),
        ("/api/v3/depth", {"limit": 500}, 25),
        ("/api/v3/depth", {"limit": 5000}, 250),
        ("/api/v3/ping", {"symbol": None}, 1),
        (TRADES, {"symbol": "NOPE"}, 25),
    ]:
        before = used("/api/v3/time", symbol=None)
        after = used(path, **params)
        assert after - before == weight or after == weight, path  # or a new minute began between the two


def test_exchange_info_lists_a_delisted_symbol_as_break(get: Get) -> None:
    info = get("/api/v3/exchangeInfo", symbol=None).json()
    symbols = {symbol["symbol"]: symbol for symbol in info["symbols"]}
    assert symbols["BTCUSDT"]["status"] == "TRADING"
    assert symbols["MIRUSDT"]["status"] == "BREAK"
    assert (symbols["DOGEUSDT"]["baseAsset"], symbols["DOGEUSDT"]["quoteAsset"]) == ("DOGE", "USDT")
    assert info["rateLimits"][0]["limit"] == 6000
    assert info["serverTime"] == 1707405600000


def test_exchange_info_answers_for_chosen_symbols(get: Get) -> None:
    def listed(**params: Any) -> list[str]:
        symbols = get("/api/v3/exchangeInfo", **{"symbol": None} | params).json()["symbols"]
        return [symbol["symbol"] for symbol in symbols]

    assert listed(symbol="ETHUSDT") == ["ETHUSDT"]
    assert listed(symbols='["ETHUSDT","BTCUSDT"]') == ["ETHUSDT", "BTCUSDT"]
    assert listed(symbolStatus="BREAK") == ["MIRUSDT"]
    assert listed(permissions="LEVERAGED") == []
    assert len(listed(permissions="SPOT")) == 6


def test_a_book_has_bids_below_asks_and_the_depth_asked(get: Get) -> None:
    book = get("/api/v3/depth", limit=20).json()
    assert len(book["bids"]) == len(book["asks"]) == 20
    assert float(book["bids"][0][0]) < float(book["asks"][0][0])
    assert book["lastUpdateId"] == newest(get)
