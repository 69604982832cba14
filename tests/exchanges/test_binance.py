from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.exchanges.binance import Binance
from schemahub_lib.watermark import Watermark

EXCHANGE = Binance()
START = datetime(2021, 5, 19, 12, tzinfo=UTC)
START_MS = int(START.timestamp()) * 1000


def row(number):
    return (
        f'{{"id":{number},"price":"1.50","qty":"2","quoteQty":"3.00","time":{START_MS + number * 1000},'
        f'"isBuyerMaker":false,"isBestMatch":true}}'
    )


def page(numbers, row=row):
    return f"[{','.join(map(row, numbers))}]"


def after(number):
    return Watermark(str(number), START, str(number))


def ids(driven):
    return [int(record["id"]) for record in driven.records]


def test_pages_go_forward_from_the_next_id_until_one_is_short(drive):
    driven = drive(EXCHANGE.trades("BTCUSDT", after(7)), page(range(8, 1008)), page(range(1008, 1010)))
    assert ids(driven) == list(range(8, 1010))
    assert [p.cursor for p in driven.pages] == ["1007", "1009"]
    assert driven.params == [
        {"symbol": "BTCUSDT", "fromId": 8, "limit": 1000},
        {"symbol": "BTCUSDT", "fromId": 1008, "limit": 1000},
    ]
    assert [(r.path, r.weight) for r in driven.requests] == [("/api/v3/historicalTrades", 25)] * 2


def test_a_start_is_found_through_the_aggregated_trades(drive):
    aggregate = f'[{{"a":3,"p":"1","q":"1","f":40,"l":44,"T":{START_MS + 40_000},"m":false,"M":true}}]'
    driven = drive(EXCHANGE.trades("BTCUSDT", START + timedelta(seconds=39.5)), aggregate, page(range(40, 42)))
    assert ids(driven) == [40, 41], "and never an aggregate's own id"
    assert driven.params[0] == {"symbol": "BTCUSDT", "startTime": START_MS + 39_500, "limit": 1}
    assert driven.requests[0].weight == 4


def test_no_aggregate_since_the_start_means_nothing_yet(drive):
    assert drive(EXCHANGE.trades("BTCUSDT", START), "[]").pages == []


def test_an_aggregate_older_than_asked_is_a_stale_one(drive):
    old = f'[{{"f":1,"T":{START_MS}}}]'
    new = f'[{{"f":40,"T":{START_MS + 40_000}}}]'
    driven = drive(EXCHANGE.trades("BTCUSDT", START + timedelta(seconds=40)), old, new, page([40]))
    assert ids(driven) == [40]


def test_trades_of_the_first_aggregate_that_are_older_than_the_start_are_left_out(drive):
    """A start between two milliseconds: the aggregate is asked for by the millisecond below."""
    start = START + timedelta(seconds=40, microseconds=300)
    aggregate = f'[{{"f":40,"T":{START_MS + 40_000}}}]'
    assert ids(drive(EXCHANGE.trades("BTCUSDT", start), aggregate, page([40, 41]))) == [41]


def test_a_page_before_the_one_asked_for_is_stale_and_asked_for_again(drive):
    driven = drive(EXCHANGE.trades("BTCUSDT", after(7)), page(range(3, 8)), page([8, 9]))
    assert ids(driven) == [8, 9]


def test_skipped_ids_are_believed_when_another_request_tells_the_same(drive):
    driven = drive(EXCHANGE.trades("BTCUSDT", after(7)), page([20, 21]), page([7, 20, 21, 22]))
    assert ids(driven) == [20, 21]
    assert [params["fromId"] for params in driven.params] == [8, 7]


def test_a_page_that_a_cache_repeats_is_not_taken_for_skipped_ids(drive):
    """However often it is repeated: the exchange is also asked for a page that the cache has not got."""
    existing, stale = range(7, 30), iter([page(range(20, 30))] * 3)

    def answer(request):
        from_id = int(request.params["fromId"])
        truth = page([number for number in existing if number >= from_id])
        return next(stale, truth) if from_id == 8 else truth

    driven = drive(EXCHANGE.trades("BTCUSDT", after(7)), answer=answer)
    assert ids(driven) == list(range(8, 30))


def test_until_ends_at_the_first_trade_that_is_not_older(drive):
    driven = drive(EXCHANGE.trades("BTCUSDT", after(7), START + timedelta(seconds=10)), page(range(8, 1008)))
    assert ids(driven) == [8, 9]
    assert driven.pages[0].cursor == "9"


def test_a_page_without_a_single_trade_is_passed_once(drive):
    def broken(number):
        return row(number).replace("1.50", "free")

    driven = drive(EXCHANGE.trades("BTCUSDT", after(0)), page(range(1, 1001), broken), page([1001]))
    assert ids(driven) == [1001]
    assert len(driven.rejected) == 1000
    assert driven.params[1]["fromId"] == 1001


def test_milliseconds_and_microseconds_are_told_apart_by_their_size(drive):
    micro = row(2).replace(f'"time":{START_MS + 2000}', f'"time":{START_MS + 2000}123')
    records = drive(EXCHANGE.trades("BTCUSDT", after(0)), f"[{row(1)},{micro}]").records
    assert [record["time"] for record in records] == [f"{START_MS + 1000}", f"{(START_MS + 2000) * 1000 + 123}"]
    assert EXCHANGE.time_of(records[1]["time"]) - EXCHANGE.time_of(records[0]["time"]) == 1_000_123


def test_fields_that_came_later_may_be_absent(drive):
    old = '{"id":1,"price":"1.5","qty":"2","time":1525447926543,"isBuyerMaker":true}'
    (record,) = drive(EXCHANGE.trades("BTCUSDT", after(0)), f"[{old}]").records
    assert (record["quote_qty"], record["is_best_match"], record["is_buyer_maker"]) == (None, None, True)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('"isBuyerMaker":false', '"isBuyerMaker":"false"'),
        ('"isBuyerMaker":false', '"isBuyer":false'),
        ('"price":"1.50"', '"price":null'),
        ('"quoteQty":"3.00"', '"quoteQty":"Infinity"'),
        (f'"time":{START_MS + 2000}', '"time":"today"'),
        ('"qty":"2"', '"qty":{}'),
    ],
)
def test_a_row_that_is_no_trade_is_set_aside(drive, good, bad):
    broken = row(2).replace(good, bad)
    assert broken != row(2)
    driven = drive(EXCHANGE.trades("BTCUSDT", after(0)), f"[{row(1)},{broken},{row(3)}]")
    assert ids(driven) == [1, 3]
    assert [rejected.payload for rejected in driven.rejected] == [broken]


@pytest.mark.parametrize("text", ['{"symbols":[]}', "[1", page([2, 1]), page([1, 1]), '"x"'])
def test_a_page_of_another_shape_is_refused_and_named(drive, text):
    with pytest.raises(
        UnexpectedResponse, match="binance BTCUSDT /api/v3/historicalTrades: expected an array of trades"
    ):
        drive(EXCHANGE.trades("BTCUSDT", after(0)), text)


def test_an_aggregate_of_another_shape_is_refused(drive):
    with pytest.raises(UnexpectedResponse, match="binance BTCUSDT /api/v3/aggTrades: expected"):
        drive(EXCHANGE.trades("BTCUSDT", START), '[{"a":1}]')


def test_recorded_symbols_are_read(drive, recording):
    products = {
        p.symbol: p
        for p in drive(EXCHANGE.products(), recording("binance/exchangeInfo/2026-06_gct_trunc12.json")).value
    }
    assert len(products) == 12
    assert products["BTCUSDT"].tradable
    for symbol, product in products.items():
        assert EXCHANGE.split_symbol(symbol) == (product.base_asset, product.quote_asset)


@pytest.mark.parametrize("text", ["[]", '{"symbols":[{"symbol":"X"}]}', '{"symbols":["X"]}', "{}", '{"symbols":1}'])
def test_a_symbol_list_of_another_shape_is_refused(drive, text):
    with pytest.raises(UnexpectedResponse, match="binance /api/v3/exchangeInfo: expected an object with symbols"):
        drive(EXCHANGE.products(), text)


@pytest.mark.parametrize(
    ("symbol", "assets"),
    [
        ("1INCHUSDT", ("1INCH", "USDT")),
        ("ETHBTC", ("ETH", "BTC")),
        ("BTCTUSD", ("BTC", "TUSD")),
        ("BTCFDUSD", ("BTC", "FDUSD")),
        ("USDT", None),
        ("ABCDEF", None),
    ],
)
def test_symbols_are_split_by_the_longest_quote_asset(symbol, assets):
    assert EXCHANGE.split_symbol(symbol) == assets


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, '{"code":-1121,"msg":"Invalid symbol."}', "rejected"),
        (400, '{"code":-1100,"msg":"Illegal characters"}', "rejected"),
        (400, '{"code":-1003,"msg":"Too many requests"}', "throttled"),
        (429, '{"code":-1003,"msg":"Too many requests"}', "throttled"),
        (418, '{"code":-1003,"msg":"banned"}', "throttled"),
        (400, '{"code":-1008,"msg":"overloaded"}', "unavailable"),
        (503, '{"code":-1016,"msg":"shutting down"}', "unavailable"),
        (502, "<html>", "unavailable"),
        (403, "<html>firewall</html>", "rejected"),
        (451, '{"msg":"restricted location"}', "rejected"),
    ],
)
def test_errors_are_told_apart(respond, status, body, kind):
    assert EXCHANGE.trouble(respond(status, body)).kind == kind


def test_an_error_is_told_with_its_words_its_code_and_how_long_to_wait(respond):
    trouble = EXCHANGE.trouble(respond(429, '{"code":-1003,"msg":"Too much weight"}', retry_after="17"))
    assert trouble.message == "HTTP 429: Too much weight (code -1003)"
    assert trouble.retry_after == 17.0


@pytest.mark.parametrize(
    ("used", "date", "pause"),
    [
        ("5699", "Tue, 07 Apr 2026 10:00:40 GMT", 0.0),
        ("5700", "Tue, 07 Apr 2026 10:00:40 GMT", 20.0),
        ("6001", "Tue, 07 Apr 2026 10:00:00 GMT", 60.0),
        ("6001", "no date", 60.0),
        ("x", "Tue, 07 Apr 2026 10:00:40 GMT", 0.0),
    ],
)
def test_weight_nearly_used_up_means_a_pause_to_the_end_of_the_exchanges_minute(respond, used, date, pause):
    assert EXCHANGE.pause_after(respond(200, "[]", x_mbx_used_weight_1m=used, date=date)) == pause


def test_an_answer_without_a_count_means_no_pause(respond):
    assert EXCHANGE.pause_after(respond(200, "[]")) == 0.0
