from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.exchanges.coinbase import Coinbase
from schemahub_lib.watermark import Watermark

EXCHANGE = Coinbase()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2021, 5, 19, 12, tzinfo=UTC)


def row(number, seconds=None):
    time = START + timedelta(seconds=number if seconds is None else seconds)
    return f'{{"time":"{time:%Y-%m-%dT%H:%M:%S.%fZ}","trade_id":{number},"price":"1.5","size":"2","side":"buy"}}'


def page(numbers, row=row):
    numbers = sorted(numbers, reverse=True)
    headers = {"cb-before": str(numbers[0]), "cb-after": str(numbers[-1])} if numbers else {}
    return f"[{','.join(map(row, numbers))}]", headers


def server(ids, row=row):
    """Answers as the exchange does for a product that has trades with these ids."""

    def answer(request):
        above, below = int(request.params.get("before", 0)), int(request.params.get("after", 10**18))
        if isinstance(ids, range):
            page_ids = range(max(above + 1, ids.start, min(below, ids.stop) - 1000), min(below, ids.stop))
        else:
            page_ids = [number for number in ids if above < number < below][-1000:]
        return page(page_ids, row)

    return answer


def after(number):
    return Watermark(str(number), START, str(number))


def ids(driven):
    return [int(record["trade_id"]) for record in driven.records]


def test_new_trades_on_the_newest_page_take_one_request(drive):
    driven = drive(EXCHANGE.trades("btc-usd", after(1995)), answer=server(range(1, 2001)))
    assert ids(driven) == [1996, 1997, 1998, 1999, 2000]
    assert driven.pages[-1].cursor == "2000"
    assert [r.path for r in driven.requests] == ["/products/BTC-USD/trades"]
    assert driven.params == [{"limit": 1000}]


def test_more_new_trades_are_fetched_by_windows_bounded_on_both_sides(drive):
    driven = drive(EXCHANGE.trades("BTC-USD", after(100)), answer=server(range(1, 3301)))
    assert ids(driven) == list(range(101, 3301))
    assert driven.params[1:] == [
        {"limit": 1000, "before": 100, "after": 1101},
        {"limit": 1000, "before": 1100, "after": 2101},
        {"limit": 1000, "before": 2100, "after": 3101},
    ], "and the rest is on the newest page already"
    assert [p.cursor for p in driven.pages] == ["1100", "2100", "3100", "3300"]


def test_trades_that_come_while_catching_up_are_left_to_the_next_run(drive):
    newest = iter([3000, *[3500] * 10])
    driven = drive(EXCHANGE.trades("X-Y", after(1000)), answer=lambda r: server(range(1, next(newest) + 1))(r))
    assert ids(driven) == list(range(1001, 3001))


def test_a_hole_in_the_ids_is_leapt_over_with_few_requests(drive):
    existing = [*range(8_399_000, 8_400_001), *range(41_000_000, 41_002_500)]
    driven = drive(EXCHANGE.trades("BTC-USD", after(8_399_990)), answer=server(existing))
    assert ids(driven) == [n for n in existing if n > 8_399_990]
    assert len(driven.requests) < 40


def test_a_watermark_above_the_newest_page_is_a_stale_cache_and_nothing_new(drive):
    driven = drive(EXCHANGE.trades("BTC-USD", after(5000)), answer=server(range(1, 2001)))
    assert driven.pages == []
    assert len(driven.requests) == 1


def test_a_head_that_is_not_visible_everywhere_yet_is_left_to_the_next_run(drive):
    """The newest page knows ids that the server behind the window has not got yet."""

    def answer(request):
        newest = 1200 if "after" in request.params else 2400
        return server(range(1, newest + 1))(request)

    driven = drive(EXCHANGE.trades("BTC-USD", after(100)), answer=answer)
    assert ids(driven) == list(range(101, 1201))
    assert driven.pages[-1].cursor == "1200"


def test_a_start_is_found_among_a_billion_ids_with_few_requests(drive):
    def uneven(number):
        return row(number, seconds=(number / 10**7) ** 3)

    start = START + timedelta(days=3)
    driven = drive(
        EXCHANGE.trades("BTC-USD", start, START + timedelta(days=3, minutes=1)), answer=server(range(1, 10**9), uneven)
    )
    first = driven.records[0]["trade_id"]
    assert EXCHANGE.time_of(driven.records[0]["time"]) >= (start - EPOCH) // timedelta(microseconds=1)
    assert uneven(int(first) - 1) < uneven(int(first))
    assert (int(first) - 1) / 10**7 <= (3 * 86400) ** (1 / 3)
    searching = [params for params in driven.params if "before" not in params]
    assert len(searching) <= 16


def test_a_start_within_the_newest_page_takes_no_further_request(drive):
    driven = drive(EXCHANGE.trades("BTC-USD", START + timedelta(seconds=1990)), answer=server(range(1, 2001)))
    assert ids(driven) == list(range(1990, 2001))
    assert len(driven.requests) == 1


def test_a_page_of_other_ids_is_not_taken_for_the_window(drive):
    """What an edge cache does: the answer to another question, once."""
    answers = [page(range(2001, 3001)), page(range(1501, 2501)), page(range(1001, 2001))]
    driven = drive(EXCHANGE.trades("BTC-USD", after(1000)), *answers)
    assert ids(driven) == list(range(1001, 3001))
    assert driven.params[1] == driven.params[2]


def test_a_window_that_is_never_answered_is_given_up(drive):
    with pytest.raises(
        UnexpectedResponse, match=r"coinbase BTC-USD /products/BTC-USD/trades: expected the page asked for"
    ):
        drive(EXCHANGE.trades("BTC-USD", after(1000)), answer=lambda request: page(range(5001, 6001)))


def test_pages_smaller_than_asked_are_walked_back_to_the_windows_lower_end(drive):
    def answer(request):
        text = server(range(1, 451))(request)
        numbers = sorted(range(int(text[1]["cb-after"]), int(text[1]["cb-before"]) + 1)) if text[1] else []
        return page(numbers[-100:])

    driven = drive(EXCHANGE.trades("BTC-USD", after(50)), answer=answer)
    assert ids(driven) == list(range(51, 451))
    assert len(driven.pages) == 1, "a page is only whole when the window is"


def test_a_page_further_back_than_asked_is_not_walked_on_from(drive):
    """Pages of 100 rows, and one that an edge cache repeats: inside the window, but not next to the page before it."""
    parts = [page(range(first, first + 100)) for first in (351, 251, 51, 151, 151, 51)]
    driven = drive(EXCHANGE.trades("BTC-USD", after(50)), parts[0], *parts)
    assert ids(driven) == list(range(51, 451))


def test_a_head_that_grows_from_answer_to_answer_is_followed_without_a_complaint(drive):
    """The servers behind the windows lag behind the newest page, and gain some trades with every request."""
    lagging = iter(range(4400, 5000, 5))

    def answer(request):
        newest = next(lagging) if "after" in request.params else 5000
        return server(range(1, newest + 1))(request)

    driven = drive(EXCHANGE.trades("BTC-USD", after(3500)), answer=answer)
    assert ids(driven) == list(range(3501, ids(driven)[-1] + 1))
    assert ids(driven)[-1] >= 4400


def test_a_newest_page_without_a_single_trade_is_handed_on_when_it_is_the_first_thing_seen(drive):
    def of_another_shape(number):
        return row(number).replace('"buy"', '"maker_buy"')

    driven = drive(EXCHANGE.trades("BTC-USD", START), answer=server(range(1, 2001), of_another_shape))
    assert driven.records == []
    assert len(driven.rejected) == 1000


def test_an_empty_page_that_is_stale_is_not_taken_for_a_longer_hole(drive):
    existing = [*range(1, 101), *range(5001, 8001)]
    lies = iter(["[]"])

    def answer(request):
        truth = server(existing)(request)
        among = int(request.params.get("after", 0)) in range(5002, 6000) and "before" in request.params
        return next(lies, truth) if among and truth[0] != "[]" else truth

    driven = drive(EXCHANGE.trades("BTC-USD", after(100)), answer=answer)
    assert ids(driven) == list(range(5001, 8001))
    assert next(lies, None) is None, "the lie was told"


def test_a_stale_page_does_not_mislead_the_search_for_a_time(drive):
    """One of the probes is answered with an old page; wherever that happens, no trade is left out."""

    def uneven(number):
        return row(number, seconds=(number / 1000) ** 3)

    tape, start = server(range(1, 100_001), uneven), START + timedelta(seconds=20**3)
    until = start + timedelta(seconds=100)
    honest = drive(EXCHANGE.trades("BTC-USD", start, until), answer=tape)
    assert ids(honest)[0] == 20_000
    probes = sum("before" not in params for params in honest.params)
    assert probes > 3
    for lied in range(1, probes):
        count = iter(range(1000))

        def answer(request, count=count, lied=lied):
            return page(range(1, 1001), uneven) if next(count) == lied else tape(request)

        assert ids(drive(EXCHANGE.trades("BTC-USD", start, until), answer=answer)) == ids(honest)


def test_until_ends_at_the_first_trade_that_is_not_older(drive):
    until = START + timedelta(seconds=1700)
    driven = drive(EXCHANGE.trades("BTC-USD", after(100), until), answer=server(range(1, 5001)))
    assert ids(driven) == list(range(101, 1700))
    assert driven.pages[-1].cursor == "1699"


@pytest.mark.parametrize("broken", [100, 99, 51, 50])
def test_a_row_without_an_id_does_not_move_the_cursor_past_a_trade(drive, broken):
    def rows(number):
        return '{"trade_id":null}' if number == broken else row(number)

    driven = drive(
        EXCHANGE.trades("BTC-USD", after(49), START + timedelta(seconds=100)), answer=server(range(1, 201), rows)
    )
    assert ids(driven) == [n for n in range(50, 100) if n != broken]
    assert driven.pages[-1].cursor == ("100" if broken == 100 else "99")
    driven = drive(EXCHANGE.trades("BTC-USD", after(49)), answer=server(range(1, 101), rows))
    assert ids(driven) == [n for n in range(50, 101) if n != broken]
    assert [rejected.payload for rejected in driven.rejected] == ['{"trade_id":null}']
    assert driven.pages[-1].cursor == "100"


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('"side":"buy"', '"side":"hold"'),
        ('"side":"buy"', '"side":1'),
        ('"price":"1.5"', '"price":"NaN"'),
        ('"price":"1.5"', '"price":NaN'),
        ('"size":"2"', '"size":true'),
        ('"size":"2"', '"quantity":"2"'),
        ('"time":"2021', '"time":"21'),
    ],
)
def test_a_row_that_is_no_trade_is_set_aside(drive, good, bad):
    bad = row(2).replace(good, bad)
    driven = drive(EXCHANGE.trades("BTC-USD", after(0)), f"[{row(3)},{bad},{row(1)}]")
    assert ids(driven) == [1, 3]
    assert [rejected.payload for rejected in driven.rejected] == [bad]


def test_a_row_that_is_not_even_an_object_is_set_aside(drive):
    driven = drive(
        EXCHANGE.trades("BTC-USD", after(0)), (f'[{row(3)},"junk",{row(1)}]', {"cb-before": "3", "cb-after": "1"})
    )
    assert ids(driven) == [1, 3]
    assert driven.rejected[0].reason == "the row is not an object"


def test_numbers_and_unknown_fields_are_taken(drive):
    text = '[{"trade_id":"7","price":1.50,"size":1e-8,"side":"SELL","time":"2024-03-13T11:00:17Z","new":{"a":[1]}}]'
    (record,) = drive(EXCHANGE.trades("BTC-USD", after(6)), text).records
    assert record == {
        "trade_id": "7",
        "product_id": "BTC-USD",
        "price": "1.50",
        "size": "1e-8",
        "time": "2024-03-13T11:00:17Z",
        "side": "SELL",
        "_raw_payload": text[1:-1],
    }


@pytest.mark.parametrize("text", ['{"message":"hello"}', "[[", "null", f"[{row(1)},{row(2)}]", '[{"trade_id":null}]'])
def test_a_page_of_another_shape_is_refused_and_named(drive, text):
    with pytest.raises(UnexpectedResponse, match="coinbase BTC-USD /products/BTC-USD/trades: expected") as error:
        drive(EXCHANGE.trades("BTC-USD", after(0)), text)
    assert repr(text[:80]) in str(error.value)


def test_recorded_windows_are_one_tape(drive, recording):
    parts = [recording(f"coinbase/trades/2016-05-12_btc-usd_paged/page0{n}.json") for n in range(3)]
    start = Watermark("8408014", START, "8408014")
    exchange = Coinbase()
    exchange.page_size = 100
    driven = drive(exchange.trades("BTC-USD", start), parts[2], parts[0], parts[1])
    assert ids(driven) == list(range(8408015, 8408315))
    assert driven.params[1:] == [
        {"limit": 100, "before": 8408014, "after": 8408115},
        {"limit": 100, "before": 8408114, "after": 8408215},
    ]


def test_recorded_products_are_read(drive, recording):
    products = {
        p.symbol: p
        for p in drive(EXCHANGE.products(), recording("coinbase/products/2021-04-17_pro_products.json")).value
    }
    assert len(products) == 162
    assert (products["CGLD-USD"].base_asset, products["CGLD-USD"].quote_asset) == ("CGLD", "USD")
    assert products["SKL-EUR"].tradable


def test_products_are_tradable_when_online_and_in_2017_all_were(drive):
    old = '{"id":"A-B","base_currency":"A","quote_currency":"B"}'
    text = f'[{old},{{"id":"C-B","base_currency":"C","quote_currency":"B","status":"delisted"}}]'
    assert [(p.symbol, p.status, p.tradable) for p in drive(EXCHANGE.products(), text).value] == [
        ("A-B", "online", True),
        ("C-B", "delisted", False),
    ]


@pytest.mark.parametrize("text", ['{"message":"x"}', '["BTC-USD"]', '[{"id":"A-B"}]', "null", "1"])
def test_a_product_list_of_another_shape_is_refused(drive, text):
    with pytest.raises(UnexpectedResponse, match="coinbase /products: expected an array of products"):
        drive(EXCHANGE.products(), text)


@pytest.mark.parametrize(
    ("symbol", "assets"),
    [
        ("BTC-USD", ("BTC", "USD")),
        ("CGLD-EUR", ("CGLD", "EUR")),
        ("BTCAUCTION-USD", ("BTCAUCTION", "USD")),
        *((unsure, None) for unsure in ("BTCUSD", "-USD", "BTC-", "A-B-C", "")),
    ],
)
def test_symbols_are_split_at_the_dash(symbol, assets):
    assert EXCHANGE.split_symbol(symbol) == assets


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "rejected"), (401, "rejected"), (404, "rejected"), (429, "throttled"), (500, "unavailable")],
)
def test_errors_are_told_apart(respond, status, kind):
    trouble = EXCHANGE.trouble(respond(status, '{"message":"Some words"}'))
    assert trouble.kind == kind
    assert f"HTTP {status}: Some words" in trouble.message


def test_an_unknown_product_comes_with_the_remedy(respond):
    assert "e.g. BTC-USD" in EXCHANGE.trouble(respond(404, '{"message":"NotFound"}')).message


def test_recorded_maintenance_means_later_and_not_empty(respond, recording):
    trouble = EXCHANGE.trouble(respond(503, recording("coinbase/errors/2018-06-04_maintenance_503.json")[0]))
    assert trouble.kind == "unavailable"
    assert "under maintenance" in trouble.message


def test_a_gateways_page_is_quoted(respond):
    assert "'<html>Bad" in EXCHANGE.trouble(respond(502, "<html>Bad gateway</html>")).message
