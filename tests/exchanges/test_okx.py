"""OKX's connector: its samples, its way of telling what is wrong, and how it finds a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.exchanges.okx import Okx
from schemahub_lib.watermark import Watermark

EXCHANGE = Okx()
START = datetime(2022, 6, 2, 9, 20, 41, 568_000, tzinfo=UTC)
# The sample of OKX's documents, and one as it came in 2021, when there was no `source`.
DOCUMENTED = (
    '{"code":"0","msg":"","data":['
    '{"instId":"BTC-USDT","side":"sell","sz":"0.00001","source":"0","px":"29963.2","tradeId":"242720720",'
    '"ts":"1654161646974"},'
    '{"instId":"BTC-USDT","side":"buy","sz":"0.00001","source":"1","px":"29964.1","tradeId":"242720719",'
    '"ts":"1654161641568"}]}'
)
OF_2021 = (
    '{"code":"0","data":[{"instId":"ETH-BTC","side":"sell","sz":"0.119501","px":"0.07065","tradeId":"15826757",'
    '"ts":"1621446178316"}],"msg":""}'
)
INSTRUMENTS = (
    '{"code":"0","msg":"","data":['
    '{"instType":"SPOT","instId":"BTC-USDT","baseCcy":"BTC","quoteCcy":"USDT","state":"live","tickSz":"0.1"},'
    '{"instType":"SPOT","instId":"AE-BTC","baseCcy":"AE","quoteCcy":"BTC","state":"suspend"},'
    '{"instType":"SPOT","instId":"","state":"preopen"}]}'
)


def after(number):
    return Watermark(str(number), START, str(number))


def row(number):
    return (
        f'{{"instId":"BTC-USDT","side":"buy","sz":"1","px":"2.5","tradeId":"{number}","ts":"{1654161641568 + number}"}}'
    )


def page(numbers):
    return f'{{"code":"0","msg":"","data":[{",".join(map(row, numbers))}]}}'


def server(numbers, inclusive=False):
    """Answers from a tape of these ids; with `inclusive` a time asked for counts as older than itself."""

    def answer(request):
        found = list(numbers)
        if "after" in request.params:
            bound, by_time = int(request.params["after"]), request.params.get("type") == 2
            found = [n for n in found if (n + 1654161641568 < bound + inclusive if by_time else n < bound)]
        return page(found[-int(request.params["limit"]) :][::-1])

    return answer


def ids(driven):
    return [int(record["trade_id"]) for record in driven.records]


def test_the_documented_sample_is_read_oldest_first_and_character_for_character(drive):
    older, newer = drive(EXCHANGE.trades("BTC-USDT", after(242720718)), DOCUMENTED).records
    assert older["_raw_payload"] in DOCUMENTED
    del older["_raw_payload"], newer["_raw_payload"]
    assert older == {
        "trade_id": "242720719",
        "inst_id": "BTC-USDT",
        "px": "29964.1",
        "sz": "0.00001",
        "ts": "1654161641568",
        "side": "buy",
        "source": "1",
    }
    assert EXCHANGE.time_of(older["ts"]) == 1654161641568000
    assert (newer["trade_id"], newer["side"]) == ("242720720", "sell")


def test_rows_without_a_source_are_trades_too(drive):
    (record,) = drive(EXCHANGE.trades("ETH-BTC", after(15826756)), OF_2021).records
    assert (record["trade_id"], record["source"]) == ("15826757", None)


def test_more_new_trades_are_fetched_by_pages_that_end_a_page_above_the_last_one(drive):
    driven = drive(EXCHANGE.trades("BTC-USDT", after(100)), answer=server(range(1, 421)))
    assert ids(driven) == list(range(101, 421))
    assert [params.get("after") for params in driven.params] == [None, 201, 301, 401]
    assert all(params["limit"] == 100 for params in driven.params)


def test_skipped_ids_are_stepped_over(drive):
    existing = [*range(1, 150), *range(40_000, 40_350)]
    driven = drive(EXCHANGE.trades("BTC-USDT", after(100)), answer=server(existing))
    assert ids(driven) == existing[100:]


@pytest.mark.parametrize("inclusive", [False, True])
def test_a_time_is_found_with_the_exchanges_own_filter_whether_it_excludes_the_time_or_not(drive, inclusive):
    start = START + timedelta(milliseconds=1950)
    driven = drive(EXCHANGE.trades("BTC-USDT", start), answer=server(range(1, 2001), inclusive))
    assert ids(driven) == list(range(1950, 2001))
    assert len(driven.requests) <= 3
    assert driven.params[1] == {"instId": "BTC-USDT", "limit": 100, "after": 1654161643518, "type": 2}


def test_a_start_before_what_is_kept_begins_with_the_oldest_trade_there_is(drive):
    kept = range(700_000_000, 700_000_250)
    driven = drive(EXCHANGE.trades("BTC-USDT", START - timedelta(days=900)), answer=server(kept))
    assert ids(driven) == list(kept)
    assert len(driven.requests) < 70


def test_what_is_not_kept_is_not_counted(drive):
    kept = range(700_000_000, 700_000_250)
    assert drive(EXCHANGE.count("BTC-USDT", 1, 700_000_199), answer=server(kept)).value == 200
    assert drive(EXCHANGE.count("BTC-USDT", 700_000_100, 700_000_199), answer=server(kept)).value == 100


@pytest.mark.parametrize("text", ["[]", '{"code":"0","msg":""}', '{"code":"0","data":{}}', "null", "oops"])
def test_an_answer_of_another_shape_is_refused_and_named(drive, text):
    with pytest.raises(UnexpectedResponse, match="okx BTC-USDT /api/v5/market/history-trades: expected data: an array"):
        drive(EXCHANGE.trades("BTC-USDT", after(0)), text)


def test_instruments_are_read_but_not_those_that_are_still_to_open(drive):
    driven = drive(EXCHANGE.products(), INSTRUMENTS)
    assert driven.params == [{"instType": "SPOT"}]
    assert [(p.symbol, p.base_asset, p.quote_asset, p.status, p.tradable) for p in driven.value] == [
        ("BTC-USDT", "BTC", "USDT", "live", True),
        ("AE-BTC", "AE", "BTC", "suspend", False),
    ]


@pytest.mark.parametrize("text", ["[]", '{"code":"0","data":[{"instId":"A-B","state":"live"}]}', '{"data":["A-B"]}'])
def test_a_list_of_another_shape_is_refused(drive, text):
    with pytest.raises(UnexpectedResponse, match="okx /api/v5/public/instruments: expected data: an array of instr"):
        drive(EXCHANGE.products(), text)


@pytest.mark.parametrize(
    ("symbol", "assets"),
    [("BTC-USDT", ("BTC", "USDT")), ("AE-BTC", ("AE", "BTC")), ("BTC-USDT-SWAP", None), ("BTCUSDT", None), ("", None)],
)
def test_symbols_are_split_at_the_dash(symbol, assets):
    assert EXCHANGE.split_symbol(symbol) == assets


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, '{"msg":"Too Many Requests","code":"50011"}', "throttled"),
        (200, '{"code":"50011","data":[],"msg":"Rate limit reached."}', "throttled"),
        (503, '{"code":"50001","data":[],"msg":"Service temporarily unavailable."}', "unavailable"),
        (400, '{"code":"50004","data":[],"msg":"API endpoint request timeout."}', "unavailable"),
        (429, '{"code":"50013","data":[],"msg":"Systems are busy."}', "unavailable"),
        (500, '{"code":"50026","data":[],"msg":"System error."}', "unavailable"),
        (502, "<html>Bad gateway</html>", "unavailable"),
        (400, '{"code":"51000","data":[],"msg":"Parameter limit error"}', "rejected"),
        (200, '{"code":"50039","data":[],"msg":"Parameter before isn\'t supported"}', "rejected"),
    ],
)
def test_errors_are_told_apart_by_code_whatever_the_status(respond, status, body, kind):
    trouble = EXCHANGE.trouble(respond(status, body))
    assert trouble.kind == kind
    assert body.startswith("<") or body.partition('"code":"')[2][:5] in trouble.message


def test_an_unknown_instrument_comes_with_the_remedy(respond):
    told = EXCHANGE.trouble(respond(200, '{"code":"51001","data":[],"msg":"Instrument ID doesn\'t exist."}'))
    assert told.kind == "rejected"
    assert "as in BTC-USDT" in told.message


@pytest.mark.parametrize("body", [DOCUMENTED, '{"msg":"","code":"0","data":[]}', '{"what":"is this"}'])
def test_an_answer_that_reports_nothing_is_no_trouble(respond, body):
    assert EXCHANGE.trouble(respond(200, body)) is None
