"""What Kraken's public API does, as its documents and recordings say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

Get = Callable[..., requests.Response]
Page = tuple[list[list[Any]], str]
IDS_SINCE = 1667260800  # 2022-11-01


@pytest.fixture(scope="module")
def get(frozen: tuple[Any, Get]) -> Get:
    def get(endpoint: str, **params: Any) -> Any:
        answer = frozen[1]("kraken", f"/0/public/{endpoint}", **params)
        assert answer.status_code == 200
        return answer.json()

    return get


@pytest.fixture(scope="module")
def page(get: Get) -> Callable[..., Page]:
    def page(pair: str = "XBTUSD", **params: Any) -> Page:
        result = get("Trades", pair=pair, **params)["result"]
        last = result.pop("last")
        (rows,) = result.values()
        return rows, last

    return page


def test_without_since_the_newest_thousand_come_ascending(page: Callable[..., Page]) -> None:
    rows, last = page()
    assert len(rows) == 1000
    assert [row[6] for row in rows] == list(range(rows[0][6], rows[0][6] + 1000))
    assert page(since=last) == ([], last)


def test_feeding_last_back_walks_forward_without_gap_or_overlap(page: Callable[..., Page]) -> None:
    rows, last = page(since="1700000000", count=1000)
    walked, cursor = [], "1700000000"
    for count in (300, 1, 99, 600):
        part, cursor = page(since=cursor, count=count)
        walked += part
    assert (walked, cursor) == (rows, last)


@given(
    since=st.integers(1_400_000_000 * 10**9, 1_707_405_600 * 10**9),
    counts=st.lists(st.integers(1, 200), min_size=1, max_size=4),
)
@settings(max_examples=20, deadline=None)
def test_pages_of_any_size_make_one_tape(page: Callable[..., Page], since: int, counts: list[int]) -> None:
    whole, _ = page(since=since, count=sum(counts))
    walked, cursor = [], str(since)
    for count in counts:
        part, cursor = page(since=cursor, count=count)
        walked += part
    assert walked == whole


def test_last_is_a_text_of_19_digits_more_exact_than_the_row_it_names(page: Callable[..., Page]) -> None:
    rows, last = page(since="1700000000", count=50)
    assert len(last) == 19
    assert abs(int(last) / 1e9 - rows[-1][2]) < 1e-6
    assert any(int(page(since="1700000000", count=n)[1]) != round(rows[n - 1][2] * 1e9) for n in range(1, 10))


def test_since_is_exclusive(page: Callable[..., Page]) -> None:
    rows, last = page(since="1700000000", count=1)
    assert page(since=last, count=1)[0] != rows
    assert page(since=int(last) - 1, count=1)[0] == rows


def test_since_is_told_by_size_to_be_seconds_or_nanoseconds(page: Callable[..., Page]) -> None:
    assert page(since="1700000000") == page(since="1700000000000000000")
    assert page(since="1700000000.5") == page(since="1700000000500000000")


def test_caught_up_is_no_rows_and_last_unchanged(page: Callable[..., Page]) -> None:
    assert page(since="1900000000000000000") == ([], "1900000000000000000")


def test_since_zero_starts_at_the_listing(page: Callable[..., Page]) -> None:
    rows, _ = page(since=0, count=2)
    assert 1381017600 <= rows[0][2] < 1381017600 + 3600


def test_rows_have_no_id_before_november_2022(page: Callable[..., Page]) -> None:
    old, _ = page(since=IDS_SINCE - 3600, count=1000)
    assert {len(row) for row in old if row[2] < IDS_SINCE} == {6}
    rows, _ = page(since=IDS_SINCE - 30, count=1000)
    assert {len(row) for row in rows if row[2] >= IDS_SINCE} == {7}
    assert {len(row) for row in rows} == {6, 7}


def test_times_are_numbers_of_four_decimals_in_old_rows_and_doubles_in_new(frozen: tuple[Any, Get]) -> None:
    def spelled(since: int) -> set[int]:
        answer = frozen[1]("kraken", "/0/public/Trades", pair="XBTUSD", since=since, count=500)
        rows = json.loads(answer.text, parse_float=str, parse_int=str)["result"]["XXBTZUSD"]
        return {len(row[2].partition(".")[2]) for row in rows}

    assert max(spelled(1557895729)) == 4
    assert max(spelled(1700000000)) == 7


def test_prices_and_volumes_are_texts_and_side_and_type_are_letters(page: Callable[..., Page]) -> None:
    rows, _ = page(count=500)
    price, volume, time, _side, _order_type, misc, trade_id = rows[0]
    assert isinstance(price, str)
    assert len(volume.partition(".")[2]) == 8
    assert isinstance(time, float)
    assert isinstance(trade_id, int)
    assert misc == ""
    assert {row[3] for row in rows} == {"b", "s"}
    assert {row[4] for row in rows} == {"m", "l"}


def test_a_pair_answers_to_its_key_altname_and_wsname_under_its_key(get: Get) -> None:
    for name in ("XXBTZUSD", "XBTUSD", "XBT/USD"):
        assert "XXBTZUSD" in get("Trades", pair=name, count=1)["result"]
    assert "XDGUSD" in get("Trades", pair="XDG/USD", count=1)["result"]


@pytest.mark.parametrize(
    ("endpoint", "params", "error"),
    [
        ("Trades", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ("Trades", {"pair": "MIRUSD"}, "EQuery:Unknown asset pair"),
        ("AssetPairs", {"pair": "XBTUSD,NOPE"}, "EQuery:Unknown asset pair"),
        ("Trades", {}, "EGeneral:Invalid arguments"),
        ("Trades", {"pair": "XBTUSD", "count": 1001}, "EGeneral:Invalid arguments:count"),
        ("Trades", {"pair": "XBTUSD", "since": "2024-02-08"}, "EGeneral:Invalid arguments:since"),
        ("Nothing", {}, "EGeneral:Unknown method"),
    ],
)
def test_an_error_comes_with_http_200_and_no_result(
    get: Get, endpoint: str, params: dict[str, Any], error: str
) -> None:
    assert get(endpoint, **params) == {"error": [error]}


def test_pairs_and_assets_spell_bitcoin_and_dogecoin_krakens_way(get: Get) -> None:
    pairs, assets = get("AssetPairs")["result"], get("Assets")["result"]
    assert (pairs["XXBTZUSD"]["altname"], pairs["XXBTZUSD"]["wsname"]) == ("XBTUSD", "XBT/USD")
    assert pairs["XDGUSD"]["base"] == "XXDG"
    assert assets["XXDG"]["altname"] == "XDG"
    assert assets["ZUSD"]["altname"] == "USD"
    assert get("AssetPairs", pair="XBTUSD,XTZUSD")["result"].keys() == {"XXBTZUSD", "XTZUSD"}


def test_a_delisted_pair_has_vanished(get: Get) -> None:
    assert "MIRUSD" not in get("AssetPairs")["result"]


def test_a_book_has_bids_below_asks_and_the_depth_asked(get: Get) -> None:
    book = get("Depth", pair="XBTUSD", count=20)["result"]["XXBTZUSD"]
    assert len(book["bids"]) == len(book["asks"]) == 20
    assert float(book["bids"][0][0]) < float(book["asks"][0][0])
    assert book["bids"][0][2] == 1707405600


def test_time_and_status_are_the_simulators(get: Get) -> None:
    assert get("Time")["result"] == {"unixtime": 1707405600, "rfc1123": "Thu, 08 Feb 24 15:20:00 +0000"}
    assert get("SystemStatus")["result"] == {"status": "online", "timestamp": "2024-02-08T15:20:00Z"}
