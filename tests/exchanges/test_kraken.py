from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.exchanges.kraken import ROUNDING, Kraken
from schemahub_lib.watermark import Watermark

EXCHANGE = Kraken()
START = datetime(2021, 5, 19, 12, tzinfo=UTC)
START_S = int(START.timestamp())


def row(number, seconds=None):
    return f'["1.50","2",{START_S + (number if seconds is None else seconds)},"b","l","",{number}]'


def old_row(seconds, price="360.10", side="s"):
    return f'["{price}","0.5000",{START_S + seconds},"{side}","m",""]'


def body(rows, last_s, key="XXBTZUSD"):
    return f'{{"error":[],"result":{{"{key}":[{",".join(rows)}],"last":"{int((START_S + last_s) * 10**9)}"}}}}'


def page(numbers):
    return body([row(n) for n in numbers], numbers[-1])


def nothing(last_s):
    return body([], last_s)


def cursor(seconds):
    return str(int((START_S + seconds) * 10**9))


def after(number):
    return Watermark(str(number), START + timedelta(seconds=number), cursor(number))


def ids(driven):
    return [record["trade_id"] for record in driven.records]


def numbers(driven):
    return [int(trade_id) for trade_id in ids(driven)]


def test_pages_go_forward_by_last_until_one_is_short(drive):
    driven = drive(EXCHANGE.trades("XBTUSD", after(7)), page(range(8, 1008)), page(range(1008, 1011)))
    assert numbers(driven) == list(range(8, 1011))
    assert [p.cursor for p in driven.pages] == [cursor(1007), cursor(1010)]
    assert driven.params == [
        {"pair": "XBTUSD", "since": cursor(7), "count": 1000},
        {"pair": "XBTUSD", "since": cursor(1007), "count": 1000},
    ]
    assert {r.scope for r in driven.requests} == {"XBTUSD"}, "Kraken counts per pair"


def test_last_is_the_cursor_to_the_nanosecond(drive):
    text = body([row(8)], 8).replace(f'"last":"{cursor(8)}"', '"last":"1621425608123456789"')
    assert drive(EXCHANGE.trades("XBTUSD", after(7)), text).pages[0].cursor == "1621425608123456789"


def test_last_as_a_number_is_taken_to_the_nanosecond_too(drive):
    text = body([row(8)], 8).replace(f'"last":"{cursor(8)}"', '"last":1621425608123456789')
    assert drive(EXCHANGE.trades("XBTUSD", after(7)), text).pages[0].cursor == "1621425608123456789"


def test_caught_up_is_no_rows_and_the_same_last(drive):
    driven = drive(EXCHANGE.trades("XBTUSD", after(7)), nothing(7))
    assert driven.pages == []
    assert len(driven.requests) == 1


def test_a_cached_page_is_asked_for_again_and_then_left_to_the_next_run(drive):
    driven = drive(EXCHANGE.trades("XBTUSD", after(7)), page([6, 7]), page([8]))
    assert numbers(driven) == [8]
    driven = drive(EXCHANGE.trades("XBTUSD", after(7)), answer=lambda request: page([6, 7]))
    assert driven.pages == []
    assert len(driven.requests) <= 3


def test_trades_known_already_are_dropped(drive):
    assert numbers(drive(EXCHANGE.trades("XBTUSD", after(7)), page([6, 7, 8, 9]))) == [8, 9]


def test_trades_that_share_the_cursors_nanosecond_are_not_lost(drive):
    """`since` excludes its nanosecond, and a full page may end in the middle of it."""
    driven = drive(EXCHANGE.trades("XBTUSD", after(7)), page([10, 11]), page([7, 8, 9, 10, 11]))
    assert numbers(driven) == [8, 9, 10, 11]
    assert driven.params[1]["since"] == str(int(cursor(7)) - 1)


def test_more_trades_in_a_nanosecond_than_a_page_holds_do_not_hold_up_the_rest(drive):
    small = Kraken()
    small.page_size = 2
    crowd = body([row(6, seconds=7), row(7)], 7)

    def answer(request):
        since = int(request.params["since"])
        return crowd if since < int(cursor(7)) else page([10]) if since < int(cursor(10)) else nothing(10)

    driven = drive(small.trades("XBTUSD", after(7)), answer=answer)
    assert numbers(driven) == [10]


def test_ids_that_kraken_skips_are_skipped(drive):
    driven = drive(EXCHANGE.trades("XBTUSD", after(7)), page([10, 11]), page([7, 10, 11]))
    assert numbers(driven) == [10, 11]


def test_a_stale_page_is_not_taken_for_skipped_ids(drive):
    driven = drive(EXCHANGE.trades("XBTUSD", after(7)), page([10, 11]), page([10, 11]), page([7, 8, 9, 10, 11]))
    assert numbers(driven) == [8, 9, 10, 11]


def test_a_start_is_asked_for_a_rounding_earlier_and_is_inclusive(drive):
    driven = drive(EXCHANGE.trades("XBTUSD", START + timedelta(seconds=8)), page([7, 8, 9]))
    assert numbers(driven) == [8, 9]
    assert driven.params[0]["since"] == str(int(cursor(8)) - ROUNDING)


def test_until_ends_at_the_first_trade_that_is_not_older_and_its_cursor_skips_nothing(drive):
    driven = drive(EXCHANGE.trades("XBTUSD", after(7), START + timedelta(seconds=10)), page([8, 9, 10, 11]))
    assert numbers(driven) == [8, 9]
    start = Watermark("9", START + timedelta(seconds=9), driven.pages[0].cursor)
    assert int(start.cursor) < int(cursor(9))
    assert numbers(drive(EXCHANGE.trades("XBTUSD", start), page([9, 10, 11]))) == [10, 11]


def test_until_before_everything_yields_nothing(drive):
    assert drive(EXCHANGE.trades("XBTUSD", after(7), START), page([8, 9])).pages == []


def test_rows_without_an_id_get_one_from_what_they_show(drive):
    rows = [old_row(1.2415), old_row(1.2415), old_row(1.2415, price="360.1"), old_row(1.2415, side="b"), old_row(2)]
    driven = drive(EXCHANGE.trades("BCHEUR", after(0)), body(rows, 2))
    one, two = START_S * 10**6 + 1_241_500, START_S * 10**6 + 2_000_000
    assert ids(driven) == [
        f"x{one}-360.1-0.5-sm-0",
        f"x{one}-360.1-0.5-sm-1",
        f"x{one}-360.1-0.5-sm-2",
        f"x{one}-360.1-0.5-bm-0",
        f"x{two}-360.1-0.5-sm-0",
    ]
    assert driven.records[2]["price"] == "360.1"
    assert driven.records[0]["price"] == "360.10"


def test_made_ids_do_not_depend_on_where_pages_and_runs_end(drive):
    rows = [old_row(1), *[old_row(2)] * 4, old_row(3)]
    whole = ids(drive(EXCHANGE.trades("BCHEUR", START), body(rows, 3)))
    assert len(set(whole)) == 6
    small = Kraken()
    small.page_size = 3
    paged = drive(small.trades("BCHEUR", START), body(rows[:3], 2), body(rows[3:], 3.5), nothing(3.5))
    assert ids(paged) == whole
    tail = tuple(whole[1:3])
    resumed = drive(EXCHANGE.trades("BCHEUR", Watermark(tail[-1], START, cursor(2), tail)), body(rows[3:], 3))
    assert ids(resumed) == whole[3:]


def test_rows_without_an_id_that_a_cut_pages_cursor_repeats_are_dropped(drive):
    rows = [old_row(1), old_row(2), old_row(2), old_row(3)]
    cut = drive(EXCHANGE.trades("BCHEUR", START, START + timedelta(seconds=3)), body(rows, 3))
    whole = ids(drive(EXCHANGE.trades("BCHEUR", START), body(rows, 3)))
    assert ids(cut) == whole[:3]
    start = Watermark(whole[2], START, cut.pages[0].cursor, tuple(whole[1:3]))
    assert ids(drive(EXCHANGE.trades("BCHEUR", start), body(rows, 3))) == whole[3:]


def test_the_keys_name_does_not_matter(drive):
    for key in ("XXBTZUSD", "XBTUSD", "XBT/USD"):
        (record,) = drive(EXCHANGE.trades("XBTUSD", after(7)), body([row(8)], 8, key)).records
        assert record["pair"] == "XBTUSD"


def test_more_than_seven_fields_are_taken(drive):
    longer = row(8).replace(",8]", ',8,"new",{"a":[1]}]')
    (record,) = drive(EXCHANGE.trades("XBTUSD", after(7)), body([longer], 8)).records
    assert (record["trade_id"], record["_raw_payload"]) == ("8", longer)


@pytest.mark.parametrize(
    "broken",
    [
        '["1.5","2",1621425602,"b","l"]',
        '["1.5","2",1621425602,"x","l","",2]',
        '["1.5","2",1621425602,"b",1.5,["misc"],2]',
        '["1.5","2",1621425602,"b","l",null,2]',
        '["1.5","2",1621425602,"b","l","",2.5]',
        '["1.5","2",NaN,"b","l","",2]',
        '["1.5",Infinity,1621425602,"b","l","",2]',
        '{"price":"1.5"}',
        "null",
    ],
)
def test_a_row_that_is_no_trade_is_set_aside(drive, broken):
    driven = drive(EXCHANGE.trades("XBTUSD", after(0)), body([row(1), broken, row(3)], 3))
    assert numbers(driven) == [1, 3]
    assert [rejected.payload for rejected in driven.rejected] == [broken]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"error":[]}',
        '{"error":[],"result":[]}',
        '{"error":[],"result":{"XXBTZUSD":[]}}',
        '{"error":[],"result":{"XXBTZUSD":[],"XETHZUSD":[],"last":"1"}}',
        '{"error":[],"result":{"last":"1"}}',
        '{"error":[],"result":{"XXBTZUSD":{},"last":"1"}}',
        '{"error":[],"result":{"XXBTZUSD":[],"last":"1.5e18"}}',
        '{"error":[],"result":{"XXBTZUSD":[[',
    ],
)
def test_a_page_of_another_shape_is_refused_and_named(drive, text):
    with pytest.raises(
        UnexpectedResponse, match="kraken XBTUSD /0/public/Trades: expected result: an object of one pair"
    ):
        drive(EXCHANGE.trades("XBTUSD", after(0)), text)


def test_recorded_pairs_are_read(drive, recording):
    text, _ = recording("kraken/AssetPairs/2025-11_nautilus_http_asset_pairs.json")
    products = {product.symbol: product for product in drive(EXCHANGE.products(), text).value}
    assert (products["XBTUSDT"].base_asset, products["XBTUSDT"].quote_asset) == ("XBT", "USDT")
    assert products["XBTUSDT"].aliases == ("XBT/USDT",)


def test_pairs_of_2017_are_named_through_the_recorded_assets(drive, recording):
    pairs = {
        "XXBTZEUR": {"altname": "XBTEUR", "base": "XXBT", "quote": "ZEUR"},
        "XXBTZEUR.d": {"altname": "XBTEUR.d", "base": "XXBT", "quote": "ZEUR"},
        "USDTZUSD": {"altname": "USDTUSD", "base": "USDT", "quote": "ZUSD"},
        "XXDGXXBT": {"altname": "XDGXBT", "base": "XXDG", "quote": "XXBT"},
    }
    text = json.dumps({"error": [], "result": pairs})
    driven = drive(EXCHANGE.products(), text, recording("kraken/Assets/2017-10-03.json"))
    assert [request.path for request in driven.requests] == ["/0/public/AssetPairs", "/0/public/Assets"]
    named = {product.symbol: (product.base_asset, product.quote_asset, product.aliases) for product in driven.value}
    assert named == {
        "XBTEUR": ("XBT", "EUR", ("XXBTZEUR",)),
        "USDTUSD": ("USDT", "USD", ("USDTZUSD",)),
        "XDGXBT": ("XDG", "XBT", ("XXDGXXBT",)),
    }, "dark pools are left out"


def test_only_the_old_codes_lose_their_prefix(drive):
    pairs = {
        name: {"altname": name, "wsname": wsname, "base": base, "quote": "ZUSD", "status": status}
        for name, wsname, base, status in [
            ("XTZUSD", "XTZ/USD", "XTZ", "online"),
            ("ZEUSUSD", "ZEUS/USD", "ZEUS", "cancel_only"),
        ]
    }
    products = drive(EXCHANGE.products(), json.dumps({"error": [], "result": pairs})).value
    assert [(p.base_asset, p.status, p.tradable) for p in products] == [
        ("XTZ", "online", True),
        ("ZEUS", "cancel_only", False),
    ]


@pytest.mark.parametrize(
    "result", ['["XBTUSD"]', '{"XBTUSD":"x"}', '{"XBTUSD":{"altname":"X"}}', '{"XBTUSD":{"altname":1}}', "null"]
)
def test_a_pair_list_of_another_shape_is_refused(drive, result):
    with pytest.raises(UnexpectedResponse, match=r"kraken /0/public/Asset\w+: expected result: an object"):
        drive(EXCHANGE.products(), f'{{"error":[],"result":{result}}}', '{"error":[],"result":{}}')


@pytest.mark.parametrize(
    ("symbol", "assets"),
    [
        ("XBTUSDT", ("XBT", "USDT")),
        ("BCHEUR", ("BCH", "EUR")),
        ("XDGXBT", ("XDG", "XBT")),
        ("ZEUSUSD", ("ZEUS", "USD")),
        ("XTZETH", ("XTZ", "ETH")),
        ("XXBTZEUR", None),
        ("XBT/EUR", None),
        ("XBTEUR.d", None),
        ("EUR", None),
        ("", None),
    ],
)
def test_altnames_are_split_by_the_longest_quote_asset(symbol, assets):
    assert EXCHANGE.split_symbol(symbol) == assets


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("EGeneral:Too many requests", "throttled"),
        ("EAPI:Rate limit exceeded", "throttled"),
        ("EGeneral:Temporary lockout", "throttled"),
        ("EService:Unavailable", "unavailable"),
        ("EService:Busy", "unavailable"),
        ("EService:Market in cancel_only mode", "unavailable"),
        ("EGeneral:Internal error", "unavailable"),
        ("EQuery:Unknown asset pair", "rejected"),
        ("EGeneral:Invalid arguments", "rejected"),
    ],
)
def test_errors_under_http_200_are_told_apart(respond, error, kind):
    trouble = EXCHANGE.trouble(respond(200, json.dumps({"error": ["WGeneral:Careful", error]})))
    assert trouble.kind == kind
    assert trouble.message.startswith(error)


@pytest.mark.parametrize("text", ['{"error":[],"result":{}}', ' {\n "error" : [ ] }', '{"error":["WGeneral:Careful"]}'])
def test_no_error_or_a_mere_warning_is_no_trouble(respond, text):
    assert EXCHANGE.trouble(respond(200, text)) is None


@pytest.mark.parametrize("status", [502, 504, 520, 522, 525])
def test_a_gateways_page_means_later(respond, status):
    trouble = EXCHANGE.trouble(respond(status, "<html>cloud</html>"))
    assert trouble.kind == "unavailable"
    assert "'<html>cloud" in trouble.message


def test_stocks_and_other_venues_markets_of_kraken_are_no_spot_markets(drive):
    pair = {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD", "status": "online"}
    stock = pair | {"altname": "AAPLxUSD", "wsname": "AAPLx/USD", "aclass_base": "tokenized_asset"}
    venue = pair | {"altname": "AAVEUSD", "wsname": "AAVE/USD"}
    body = {"error": [], "result": {"XXBTZUSD": pair, "AAPLxUSD": stock, "AAVE/USD:BTNL": venue}}
    products = drive(EXCHANGE.products(), json.dumps(body)).value
    assert [(product.symbol, product.spot) for product in products] == [
        ("XBTUSD", True),
        ("AAPLxUSD", False),
        ("AAVEUSD", False),
    ]
