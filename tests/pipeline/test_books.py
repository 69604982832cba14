"""Order books are taken as snapshots: each in its table once, all of a run or none, what failed named."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES, book_tables
from schemahub_lib.pipeline.books import books_of, ingest_books
from schemahub_lib.pipeline.ingest import IngestOptions
from schemahub_lib.pipeline.maintain import maintain
from schemahub_lib.pipeline.pipeline import run_books, run_ingest
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.publishes import Publish, publishes
from schemahub_lib.pipeline.query import query
from schemahub_lib.pipeline.reports import Report, new_run_id
from schemahub_lib.pipeline.rollback import plan_rollback, roll_back
from schemahub_lib.pipeline.runs import exit_code
from schemahub_lib.pipeline.status import status
from schemahub_lib.schemas import RUNS
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.due import KEEP
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.named import existing
from tests.e2e.pipelines import PRODUCTS, rows, settings_for
from tests.loopback import Away, Handler, serving
from tests.shops.shops import Shop

pytestmark = pytest.mark.slow

# A product of each exchange that its market has delisted by then.
DELISTED = {"coinbase": "MIR-USD", "binance": "MIRUSDT", "kraken": "MIRUSD", "okx": "MIR-USDT"}
ASKED = {
    "coinbase": "/products/{}/book?level=2",
    "binance": "/api/v3/depth?symbol={}&limit=500",
    "kraken": "/0/public/Depth?pair={}&count=500",
    "okx": "/api/v5/market/books?instId={}&sz=400",
}
MakeLake = Callable[..., Lake]


@pytest.fixture(scope="module")
def still() -> Iterator[Simulator]:
    """The simulated exchanges, at a time that stands still."""
    with Simulator(seed=1, now="2024-02-08T15:20:00Z", speed=0, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture
def lake(make_lake: MakeLake, still: Simulator) -> Lake:
    return make_lake(**settings_for(still.urls))


def take(lake: Lake, *exchanges: str, **options: Any) -> dict[str, Report]:
    chosen = [EXCHANGES[name] for name in exchanges or EXCHANGES]
    with Progress(live=False) as progress:
        reports = run_books(lake, chosen, IngestOptions(**options), new_run_id(), progress)
    return dict(zip([exchange.name for exchange in chosen], reports, strict=True))


def table_of(exchange: str) -> str:
    return books_of(EXCHANGES[exchange]).name


def published(lake: Lake, exchange: str) -> list[Publish]:
    return publishes(existing(lake, table_of(exchange)))


def sides(found: Any) -> Mapping[str, Any]:
    """The object that has a book's sides, wherever in an answer it is."""
    while "bids" not in found:
        found = next(part for part in (found.values() if isinstance(found, dict) else found) if part and part != "0")
    return found


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_snapshot_holds_what_the_exchange_tells_any_client(lake: Lake, still: Simulator, exchange: str) -> None:
    before = datetime.now(UTC)
    report = take(lake, exchange)[exchange]
    assert (report.job, report.source, report.status, report.rows) == ("ingest", table_of(exchange), "ok", 3)
    symbol_column = EXCHANGES[exchange].symbol_column
    found = {row[symbol_column]: row for row in rows(lake, table_of(exchange))}
    assert set(found) == set(PRODUCTS[exchange])
    for symbol, row in found.items():
        told = sides(requests.get(still.urls[exchange] + ASKED[exchange].format(symbol), timeout=10).json())
        payload = json.loads(row["_raw_payload"])
        for side in ("bids", "asks"):
            kept = told[side][: EXCHANGES[exchange].books.depth]
            assert payload[side] == kept
            expected = [(float(price), float(quantity)) for price, quantity, *_ in kept]
            assert [(level["price"], level["quantity"]) for level in row[side]] == expected
            assert len(expected) >= 400
        assert row["_source"] == exchange
        assert before <= row["_source_ingest_ts"] <= datetime.now(UTC)
        if "sequence" in told or "lastUpdateId" in told:
            assert row["sequence"] == told.get("sequence", told.get("lastUpdateId"))
        assert (row["time"] is None) == (exchange in ("binance", "kraken"))


def test_the_weight_that_binance_counts_is_the_one_that_is_reserved(lake: Lake, still: Simulator) -> None:
    def used() -> int:
        answer = requests.get(still.urls["binance"] + "/api/v3/time", timeout=10)
        return int(answer.headers["x-mbx-used-weight-1m"])

    take(lake, "binance", products=["BTCUSDT"])  # the product list is known from now on
    before, _ = used(), take(lake, "binance", products=["BTCUSDT"])
    after = used()
    request = EXCHANGES["binance"].books.request("BTCUSDT", EXCHANGES["binance"].books.depth)
    assert after - before == request.weight + 1 or after < before  # or a new minute began


def test_a_run_becomes_visible_as_one_and_the_next_adds_to_it(lake: Lake) -> None:
    run_ids = [take(lake, "coinbase")["coinbase"].run_id for _ in range(2)]
    second, first, created = published(lake, "coinbase")
    assert [publish.added_rows for publish in (second, first, created)] == [3, 3, 0]
    assert [second.run_id, first.run_id] == run_ids[::-1]


def test_runs_at_once_each_add_their_snapshots_once(lake: Lake) -> None:
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: take(lake, "coinbase")["coinbase"], range(4)))
    assert {report.status for report in reports} == {"ok"}
    found = rows(lake, table_of("coinbase"))
    assert len(found) == sum(report.rows for report in reports) == 12
    assert len({(row["product_id"], row["_source_ingest_ts"]) for row in found}) == 12


def test_what_fails_is_named_and_the_rest_is_there(lake: Lake) -> None:
    report = take(lake, "coinbase", products=["BTC-USD", "NO-PE", "ETH-USD"])["coinbase"]
    assert (report.status, report.rows, exit_code([report])) == ("partial", 2, 3)
    assert list(report.errors) == ["NO-PE"]
    assert "coinbase NO-PE /products/NO-PE/book: HTTP 404" in report.errors["NO-PE"]
    failed = take(lake, "coinbase", products=["NO-PE"])["coinbase"]
    assert (failed.status, failed.rows, exit_code([failed])) == ("failed", 0, 1)
    assert len(rows(lake, table_of("coinbase"))) == 2


def test_a_delisted_market_has_an_empty_book_where_the_exchange_still_knows_it(lake: Lake) -> None:
    for exchange, symbol in DELISTED.items():
        report = take(lake, exchange, products=[symbol])[exchange]
        if exchange in ("coinbase", "binance"):
            assert (report.status, report.rows) == ("ok", 1)
            (row,) = rows(lake, table_of(exchange))
            assert (row["bids"], row["asks"]) == ([], [])
        else:
            assert report.status == "failed"
            assert symbol in report.errors


def test_without_payload_the_levels_stay(lake: Lake) -> None:
    take(lake, "kraken", products=["XBTUSD"], keep_payload=False)
    (row,) = rows(lake, table_of("kraken"))
    assert row["_raw_payload"] is None
    assert len(row["bids"]) == 500


def test_answers_that_fail_are_asked_for_again(make_lake: MakeLake) -> None:
    with Simulator(now="2024-02-08T15:20:00Z", speed=0, faults={"503": 0.3, "html": 0.3}) as market:
        report = take(make_lake(**settings_for(market.urls)), "binance")["binance"]
    assert (report.status, report.rows) == ("ok", 3)
    assert report.retries > 0


class Crossed(Handler):
    """Lists no products; the book of BADUSDT has a price that is none, any other is crossed."""

    def do_GET(self) -> None:
        bids = '[["oops","1"]]' if "BAD" in self.path else '[["101.5","1"]]'
        body = f'{{"lastUpdateId":7,"bids":{bids},"asks":[["100","2"]]}}'.encode()
        if "depth" not in self.path:
            body = b'{"symbols":[]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_malformed_book_is_not_kept_and_a_crossed_one_is(make_lake: MakeLake) -> None:
    with serving(Crossed) as url:
        lake = make_lake(SCHEMAHUB_BINANCE_URL=url)
        report = take(lake, "binance", products=["GOODUSDT", "BADUSDT"])["binance"]
    assert (report.status, list(report.errors)) == ("partial", ["BADUSDT"])
    assert "price is 'oops', not a number" in report.errors["BADUSDT"]
    (row,) = rows(lake, table_of("binance"))
    assert (row["symbol"], row["sequence"]) == ("GOODUSDT", 7)
    assert row["bids"][0]["price"] > row["asks"][0]["price"]


def test_an_exchange_that_is_away_fails_alone_and_is_recorded(make_lake: MakeLake, still: Simulator) -> None:
    with serving(Away) as url:
        lake = make_lake(**settings_for(still.urls) | {"SCHEMAHUB_BINANCE_URL": url})
        reports = take(lake, "binance", "kraken")
    assert {name: report.status for name, report in reports.items()} == {"binance": "failed", "kraken": "ok"}
    recorded = {(row["job"], row["source"]): (row["status"], row["rows"]) for row in rows(lake, RUNS.name)}
    assert recorded == {
        ("ingest", "raw_binance_books"): ("failed", 0),
        ("ingest", "raw_kraken_books"): ("ok", 3),
    }


def test_a_run_that_is_stopped_publishes_nothing(lake: Lake) -> None:
    stop = threading.Event()
    stop.set()
    report = Report(new_run_id(), "ingest", table_of("coinbase"))
    with Progress(live=False) as progress:
        ingest_books(lake, EXCHANGES["coinbase"], IngestOptions(), report, progress, stop)
    assert (report.status, report.rows) == ("interrupted", 0)
    assert lake.find(table_of("coinbase")) is None


def test_an_exchange_whose_books_are_not_fetched_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="its order books are not fetched"):
        books_of(next(iter(Shop.__subclasses__()))())


def test_status_takes_books_for_no_stream_and_no_run_of_the_trades(lake: Lake) -> None:
    with Progress(live=False) as progress:
        options = IngestOptions(products=["BTC-USD"], since=datetime(2024, 2, 8, 15, 19, 50, tzinfo=UTC))
        run_ingest(lake, [EXCHANGES["coinbase"]], options, new_run_id(), progress)
    alone = status(lake)
    take(lake, "coinbase", products=["BTC-USD", "NO-PE"])
    found = status(lake)
    (stream,), (before,) = found.streams, alone.streams
    assert (stream.product, stream.last_run, stream.last_run_status) == ("BTC-USD", before.last_run, "ok")
    (books,) = (table for table in found.tables if table.name == table_of("coinbase"))
    assert (books.rows, books.files) == (1, 1)


def test_a_table_of_books_is_kept_and_rolled_back_as_any_other(lake: Lake) -> None:
    first, _ = (take(lake, "okx")["okx"] for _ in range(2))
    name = table_of("okx")
    with Progress(live=False) as progress:
        due = {upkeep.table: upkeep for upkeep in maintain(lake, [], KEEP, new_run_id(), progress, dry_run=True)}
    assert due[name].before.files == 2
    _, after, _ = published(lake, "okx")
    assert after.run_id == first.run_id
    assert roll_back(lake, plan_rollback(lake, name, str(after.snapshot_id)), new_run_id()).rows == -3
    assert len(rows(lake, name)) == 3
    take(lake, "okx")
    assert len(rows(lake, name)) == 6


def test_queries_read_levels_by_number_and_name(lake: Lake) -> None:
    take(lake, products=[])
    for exchange in EXCHANGES:
        sql = f"SELECT asks[1].price - bids[1].price AS spread, len(asks) AS deep FROM {table_of(exchange)}"
        found = query(lake, sql).to_pylist()
        assert len(found) == 3
        assert all(row["spread"] > 0 for row in found)
        assert {row["deep"] for row in found} == {EXCHANGES[exchange].books.depth}
    assert set(book_tables()) <= set(lake.table_names())
