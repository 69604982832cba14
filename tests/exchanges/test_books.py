"""Order books: what is asked for, and what of an answer becomes a snapshot, exactly or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

import pytest

from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.exchanges import EXCHANGES, book_tables
from schemahub_lib.schemas import RAW_COMMON


@dataclass(frozen=True)
class Sample:
    """An answer around its sides, how a level goes on after price and quantity, and what it tells beside them."""

    around: str
    more: str = ""
    sequence: str | None = None
    time: str | None = None

    def answer(self, bids: str, asks: str) -> str:
        return self.around.replace("SIDES", f'"bids":{bids},"asks":{asks}')

    def side(self, *levels: str) -> str:
        return f"[{','.join(f'[{level}{self.more}]' for level in levels)}]"


SAMPLES = {
    "coinbase": Sample(
        '{SIDES,"sequence":12259075,"auction_mode":false,"auction":null,"time":"2024-02-08T15:20:00.123456Z"}',
        *(",3", "12259075", "2024-02-08T15:20:00.123456Z"),
    ),
    "binance": Sample('{"lastUpdateId":9699548377,SIDES}', sequence="9699548377"),
    "kraken": Sample('{"error":[],"result":{"XXBTZUSD":{SIDES}}}', ",1762820248"),
    "okx": Sample('{"code":"0","msg":"","data":[{SIDES,"ts":"1629966436396"}]}', ',"0","4"', time="1629966436396"),
}
BIDS = ('"56902.15000000","0.00371500"', '"56902.10","2"', '"1e-8","1000"')
ASKS = ('"56902.16","1"', '"56903","0.25"')
BOOKS = [(EXCHANGES[name], sample) for name, sample in SAMPLES.items()]
each = pytest.mark.parametrize(("exchange", "sample"), BOOKS, ids=list(SAMPLES))


def levels(*texts):
    return [tuple(json.loads(f"[{text}]")) for text in texts]


def test_every_exchange_has_a_sample_here_and_a_table_of_its_books():
    assert set(SAMPLES) == set(EXCHANGES)
    assert list(book_tables()) == [f"raw_{name}_books" for name in EXCHANGES]
    for exchange, _ in BOOKS:
        table = exchange.books.table
        columns = (exchange.symbol_column, "time", "sequence", "bids", "asks", *(c.name for c in RAW_COMMON))
        assert table.column_names == columns
        assert table.key == table.sort_by == (exchange.symbol_column, table.partition_by_day)


@pytest.mark.parametrize(
    ("name", "path", "params", "weight", "scope"),
    [
        ("coinbase", "/products/BTC-USD/book", {"level": 2}, 1, ""),
        ("binance", "/api/v3/depth", {"symbol": "BTC-USD", "limit": 500}, 25, ""),
        ("kraken", "/0/public/Depth", {"pair": "BTC-USD", "count": 500}, 1, "BTC-USD"),
        ("okx", "/api/v5/market/books", {"instId": "BTC-USD", "sz": 400}, 1, ""),
    ],
)
def test_one_request_asks_for_a_book(drive, name, path, params, weight, scope):
    sample = SAMPLES[name]
    (asked,) = drive(EXCHANGES[name].book("BTC-USD"), sample.answer("[]", "[]")).requests
    assert (asked.path, dict(asked.params), asked.weight, asked.scope) == (path, params, weight, scope)
    assert asked.product == "BTC-USD"


@each
def test_a_snapshot_is_read_character_for_character(drive, exchange, sample):
    bids, asks = sample.side(*BIDS), sample.side(*ASKS)
    assert drive(exchange.book("BTC-USD"), sample.answer(bids, asks)).value == {
        exchange.symbol_column: "BTC-USD",
        "time": sample.time,
        "sequence": sample.sequence,
        "bids": levels(*BIDS),
        "asks": levels(*ASKS),
        "_raw_payload": f'{{"bids":{bids},"asks":{asks}}}',
    }


@each
def test_the_best_levels_are_kept_where_more_come(drive, exchange, sample):
    depth = exchange.books.depth
    asks = [f'"{100 + number}","1"' for number in range(depth + 1)]
    book = drive(exchange.book("BTC-USD"), sample.answer("[]", sample.side(*asks))).value
    assert book["asks"] == levels(*asks[:depth])
    assert json.loads(book["_raw_payload"])["asks"][-1][0] == str(100 + depth - 1)


@each
def test_an_empty_book_and_a_side_without_orders_are_snapshots_too(drive, exchange, sample):
    empty = drive(exchange.book("BTC-USD"), sample.answer("[]", "[]")).value
    assert (empty["bids"], empty["asks"]) == ([], [])
    one_sided = drive(exchange.book("BTC-USD"), sample.answer(sample.side(*BIDS), "[]")).value
    assert (one_sided["bids"], one_sided["asks"]) == (levels(*BIDS), [])


@each
def test_a_crossed_book_is_kept_as_the_exchange_shows_it(drive, exchange, sample):
    crossed = sample.answer(sample.side('"101","1"'), sample.side('"100","1"'))
    book = drive(exchange.book("BTC-USD"), crossed).value
    assert (book["bids"], book["asks"]) == ([("101", "1")], [("100", "1")])


@each
@pytest.mark.parametrize(
    ("bids", "told"),
    [
        (['"10","1"', '"10.0","1"'], "bids are not best first"),
        (['"10","1"', '"11","1"'], "bids are not best first"),
        (['"oops","1"'], "price is 'oops', not a number"),
        (['"10",null'], "quantity is None, not a number"),
        (['"10","0.0"'], "not above zero"),
        (['"-1","1"'], "not above zero"),
    ],
)
def test_a_malformed_level_costs_the_snapshot_and_is_named(drive, exchange, sample, bids, told):
    with pytest.raises(UnexpectedResponse, match=f"{exchange.name} BTC-USD .*{told}"):
        drive(exchange.book("BTC-USD"), sample.answer(sample.side(*bids), "[]"))


@each
def test_a_level_that_is_no_pair_is_refused(drive, exchange, sample):
    for level in ('["10"]', '{"price":"10"}', "5", '"10"'):
        with pytest.raises(UnexpectedResponse, match="not a price and a quantity"):
            drive(exchange.book("BTC-USD"), sample.answer(f"[{level}]", "[]"))


@each
def test_an_answer_of_another_shape_is_refused(drive, exchange, sample):
    for answer in ("{}", "[]", "null", "oops", sample.answer("{}", "[]"), sample.answer("null", "[]")):
        with pytest.raises(UnexpectedResponse, match=f"{exchange.name} BTC-USD"):
            drive(exchange.book("BTC-USD"), answer)
    with pytest.raises(UnexpectedResponse):
        drive(exchange.book("BTC-USD"), sample.around.replace("SIDES", '"bids":[]'))


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("coinbase", '{"bids":[],"asks":[]}'),
        ("binance", '{"lastUpdateId":-1,"bids":[],"asks":[]}'),
        ("kraken", '{"error":[],"result":{}}'),
        ("kraken", '{"error":[],"result":{"A":{"bids":[],"asks":[]},"B":{"bids":[],"asks":[]}}}'),
        ("okx", '{"code":"0","msg":"","data":[]}'),
        ("okx", '{"code":"0","msg":"","data":[{"bids":[],"asks":[],"ts":"soon"}]}'),
    ],
)
def test_what_an_exchange_surely_tells_must_be_there(drive, name, answer):
    with pytest.raises(UnexpectedResponse):
        drive(EXCHANGES[name].book("BTC-USD"), answer)


@pytest.mark.parametrize(
    ("name", "path", "sequence", "deep", "best"),
    [
        ("coinbase", "coinbase/book/2018-04-13_btc-usd_level2.json", "5662954853", 50, ("8110.02", "4.61113077")),
        ("binance", "binance/depth/2019-01-29_ETHBTC.json", "410532253", 100, ("0.03082600", "0.48600000")),
        ("kraken", "kraken/depth/2025-11-11_XBTUSDT_nautilus.json", None, 5, None),
    ],
)
def test_recorded_books_are_read(drive, recording, name, path, sequence, deep, best):
    book = drive(EXCHANGES[name].book("X"), recording(path)).value
    assert book["sequence"] == sequence
    assert (len(book["bids"]), len(book["asks"])) == (deep, deep)
    assert best is None or book["bids"][0] == best
    bids, asks = ([Decimal(price) for price, _ in book[side]] for side in ("bids", "asks"))
    assert bids[0] < asks[0]
    assert all(one > next_ for one, next_ in pairwise(bids))
    whole = json.loads(recording(path)[0])
    for key in ("result", "XBTUSDT"):
        whole = whole.get(key, whole)
    assert json.loads(book["_raw_payload"]) == {side: whole[side] for side in ("bids", "asks")}
