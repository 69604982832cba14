"""What Coinbase Exchange does, as its documents and recordings say."""

from __future__ import annotations

import re
from collections.abc import Callable
from http.client import HTTPConnection
from itertools import pairwise

import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from schemahub_lib.simulator import Simulator

Get = Callable[..., requests.Response]
TRADES = "/products/BTC-USD/trades"


def ids(answer: requests.Response) -> list[int]:
    return [row["trade_id"] for row in answer.json()]


def newest(get: Get) -> int:
    return int(get("coinbase", TRADES, limit=1).json()[0]["trade_id"])


def test_a_page_is_the_newest_thousand_trades_newest_first(get: Get) -> None:
    answer = get("coinbase", TRADES)
    assert ids(answer) == list(range(newest(get), newest(get) - 1000, -1))
    assert answer.headers["cb-before"] == str(ids(answer)[0])
    assert answer.headers["cb-after"] == str(ids(answer)[-1])


def test_after_walks_back_without_gap_or_overlap(get: Get) -> None:
    first = get("coinbase", TRADES, limit=30)
    second = get("coinbase", TRADES, limit=30, after=first.headers["CB-AFTER"])
    assert ids(first) + ids(second) == ids(get("coinbase", TRADES, limit=60))


def test_before_alone_filters_and_is_cut_from_the_newest_end(get: Get) -> None:
    top = newest(get)
    assert ids(get("coinbase", TRADES, before=top - 500, limit=10)) == list(range(top, top - 10, -1))
    assert ids(get("coinbase", TRADES, before=top - 5, limit=10)) == list(range(top, top - 5, -1))


@given(before=st.integers(0, 3000), width=st.integers(1, 1200), limit=st.integers(1, 1000))
@settings(max_examples=25, deadline=None)
def test_both_bounds_are_exclusive(get: Get, before: int, width: int, limit: int) -> None:
    low = newest(get) - 5000 + before
    found = ids(get("coinbase", TRADES, before=low, after=low + width, limit=limit))
    assert found == list(range(low + width - 1, low, -1))[:limit]


def test_the_tape_begins_at_id_1_and_before_it_is_nothing(get: Get) -> None:
    assert ids(get("coinbase", TRADES, after=3)) == [2, 1]
    answer = get("coinbase", TRADES, after=1)
    assert answer.json() == []
    assert "CB-AFTER" not in answer.headers


def test_caught_up_is_an_empty_page(get: Get) -> None:
    assert get("coinbase", TRADES, before=newest(get)).json() == []


def test_a_limit_above_1000_is_1000(get: Get) -> None:
    assert len(ids(get("coinbase", TRADES, limit=5000))) == 1000


def test_times_have_up_to_six_digits_without_trailing_zeros(get: Get) -> None:
    times = [row["time"] for row in get("coinbase", TRADES).json()]
    assert all(re.fullmatch(r"2024-02-08T\d\d:\d\d:\d\d(\.\d{0,5}[1-9])?Z", time) for time in times)
    assert len({len(time) for time in times}) > 1
    assert len(set(times)) < len(times)


def test_numbers_are_texts_with_eight_decimals(get: Get) -> None:
    row = get("coinbase", TRADES, limit=1).json()[0]
    assert list(row) == ["trade_id", "side", "size", "price", "time"]
    assert isinstance(row["trade_id"], int)
    assert all(re.fullmatch(r"\d+\.\d{8}", row[name]) for name in ("size", "price"))


def test_a_maker_who_sells_is_hit_higher_than_one_who_buys(get: Get) -> None:
    """`side` is the maker's: trades at the ask, the higher price, are marked `sell`."""
    rows = get("coinbase", TRADES, limit=300).json()
    rises = {"buy": 0, "sell": 0}
    for later, earlier in pairwise(rows):
        if later["side"] != earlier["side"]:
            rises[later["side"]] += float(later["price"]) > float(earlier["price"])
    assert rises["sell"] > 3 * rises["buy"]


def test_products_list_a_delisted_one_with_its_status(get: Get) -> None:
    products = {product["id"]: product for product in get("coinbase", "/products").json()}
    assert products["BTC-USD"]["status"] == "online"
    assert products["MIR-USD"]["status"] == "delisted"
    assert get("coinbase", "/products/btc-usd").json() == products["BTC-USD"]
    assert len(get("coinbase", "/products/MIR-USD/trades").json()) == 1000


def test_an_unknown_product_is_404(get: Get) -> None:
    for path in ("/products/NO-PE", "/products/NO-PE/trades", "/products/NO-PE/book"):
        answer = get("coinbase", path)
        assert (answer.status_code, answer.json()) == (404, {"message": "NotFound"})


def test_a_bad_cursor_is_400(get: Get) -> None:
    answer = get("coinbase", TRADES, after="2024-02-08")
    assert (answer.status_code, answer.json()) == (400, {"message": "Invalid value for pagination after"})


def test_a_request_without_user_agent_is_refused(frozen: tuple[Simulator, Get]) -> None:
    connection = HTTPConnection(frozen[0].urls["coinbase"].removeprefix("http://"))  # sends no header of its own accord
    connection.request("GET", "/time")
    assert connection.getresponse().status == 400
    connection.close()


def test_a_book_has_bids_below_asks_and_levels_by_depth(get: Get) -> None:
    best = get("coinbase", "/products/BTC-USD/book").json()
    assert len(best["bids"]) == len(best["asks"]) == 1
    assert float(best["bids"][0][0]) < float(best["asks"][0][0])
    full = get("coinbase", "/products/BTC-USD/book", level=2).json()
    prices = [float(level[0]) for level in full["asks"]]
    assert len(prices) > 1000
    assert prices == sorted(prices)
    assert full["bids"][0] == best["bids"][0]
    orders = get("coinbase", "/products/BTC-USD/book", level=3).json()
    assert isinstance(orders["bids"][0][2], str)


def test_time_is_the_simulators(get: Get) -> None:
    assert get("coinbase", "/time").json() == {"iso": "2024-02-08T15:20:00.000Z", "epoch": 1707405600.0}
