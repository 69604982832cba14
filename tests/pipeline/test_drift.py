"""Drift: what a feed sends beside what its connector knows is found, counted and said."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.names import default_prefix
from schemahub_lib.pipeline.backfill import BackfillOptions, backfill_raw
from schemahub_lib.pipeline.ingest import IngestOptions
from schemahub_lib.pipeline.land_new import MicrobatchOptions, land_new
from schemahub_lib.pipeline.landing import Landing
from schemahub_lib.pipeline.load import load
from schemahub_lib.pipeline.pipeline import run_ingest
from schemahub_lib.pipeline.progress import Journey, Progress
from schemahub_lib.pipeline.status import status
from schemahub_lib.quality.drift import MOST, Change, Watch, findings
from schemahub_lib.schemas import DRIFT
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.pipeline.payloads import BINANCE, COINBASE, KNOWN, KRAKEN, NOON, Other, found_in, page_of, with_field

PRODUCT = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "XBTUSD"}


@pytest.mark.parametrize("source", KNOWN)
def test_what_the_documentation_shows_is_no_drift(source: str) -> None:
    assert found_in(EXCHANGES[source], KNOWN[source]) == {}


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("binance", "binance/trades/2020-10-26_BTCUSDT_limit1000.json"),
        ("binance", "binance/trades/2026-04-07_BTCUSDT_trunc5.json"),
        ("coinbase", "coinbase/trades/2016-05-12_btc-usd_paged/page00.json"),
        ("coinbase", "coinbase/trades/2018-04-13_btc-usd_p1.json"),
        ("kraken", "kraken/trades/2019-05-15_BCHEUR.json"),
        ("kraken", "kraken/trades/2025-11-10_XBTUSDT_tradeid.json"),
    ],
)
def test_what_the_exchanges_have_sent_in_ten_years_is_no_drift(recorded: Path, source: str, path: str) -> None:
    rows = json.loads((recorded / path).read_text())
    if source == "kraken":
        (rows,) = (listed for pair, listed in rows["result"].items() if pair != "last")
    when = datetime(int(path.split("/")[2][:4]), 1, 2, tzinfo=UTC)
    for row in rows:
        assert found_in(EXCHANGES[source], json.dumps(row), int(when.timestamp() * 1e6)) == {}


@pytest.mark.parametrize(
    ("source", "old", "new", "change", "value"),
    [
        ("coinbase", "}", ',"maker_fee":"0.01"}', Change("maker_fee", "new", None, "string"), '"0.01"'),
        ("coinbase", "}", ',"flags":[1,2]}', Change("flags", "new", None, "array"), "[1, 2]"),
        ("coinbase", '"10.00"', "10.00", Change("price", "retyped", "string", "number"), "10.0"),
        ("coinbase", '"trade_id":7', '"trade_id":"7"', Change("trade_id", "retyped", "integer", "string"), '"7"'),
        ("binance", ',"isBestMatch":true', "", Change("isBestMatch", "missing", "boolean", None), None),
        ("binance", 'Match":true', 'Match":null', Change("isBestMatch", "missing", "boolean", "null"), None),
        ("kraken", ",7]", ',7,"x"]', Change("[7]", "new", None, "string"), '"x"'),
        ("kraken", '"l"', "3", Change("order_type", "retyped", "string", "integer"), "3"),
        ("kraken", ",7]", "]", Change("trade_id", "missing", "integer", None), None),
    ],
)
def test_a_change_is_told_with_its_types_and_its_value(
    source: str, old: str, new: str, change: Change, value: str | None
) -> None:
    assert found_in(EXCHANGES[source], KNOWN[source].replace(old, new)) == {change: value}


def test_a_field_that_older_trades_lack_is_missed_in_newer_ones_only() -> None:
    without = KNOWN["binance"].replace('"quoteQty":"10.0",', "")
    missing = Change("quoteQty", "missing", "string", None)
    assert found_in(BINANCE, without) == {missing: None}
    assert found_in(BINANCE, without, int(datetime(2018, 12, 31, tzinfo=UTC).timestamp() * 1e6)) == {}
    assert found_in(BINANCE, without, None) == {}


def test_a_whole_number_where_a_number_is_known_is_no_drift() -> None:
    assert found_in(KRAKEN, KNOWN["kraken"].replace("1707393600.1234567", "1707393600")) == {}


def test_what_was_made_here_of_an_archives_line_is_no_drift() -> None:
    assert found_in(KRAKEN, '{"time":"1381095255","price":"122.0","volume":"0.1","_archive":"XBTUSD.csv"}') == {}


def test_a_field_that_the_connector_leaves_in_the_payload_is_no_drift() -> None:
    assert found_in(Other(), KNOWN["coinbase"].replace("}", ',"maker_fee":"0.01"}')) == {}


def ledger(lake: Lake) -> dict[tuple[str, str], tuple[int, int]]:
    """(count, looked at) by stream and field."""
    rows = lake.partition(DRIFT, "coinbase")
    return {(row["stream"], row["field"]): (row["count"], row["looked_at"]) for row in rows}


def test_counts_of_runs_add_up_and_payloads_without_the_change_count_as_looked_at(lake: Lake) -> None:
    plain, drifting = KNOWN["coinbase"], with_field("fee")
    for pages in ([page_of(plain), page_of(drifting, plain, drifting)], [page_of(drifting)], [page_of(plain, plain)]):
        watch = Watch(COINBASE)
        for page in pages:
            watch.page("BTC-USD", page)
        watch.page("ETH-USD", page_of(plain))
        watch.settle(lake)
    # Of a page the first and the last trade are looked at; what was before the first finding does not count.
    assert ledger(lake) == {("BTC-USD", "fee"): (3, 5)}
    (row,) = lake.partition(DRIFT, "coinbase")
    assert row["first_seen"] < row["last_seen"]
    assert row["samples"] == '["1.5"]'


def test_a_row_that_is_no_trade_is_looked_at_too(lake: Lake) -> None:
    watch = Watch(COINBASE)
    watch.page("BTC-USD", page_of(rejected=(KNOWN["coinbase"].replace('"10.00"', "{}"),)))
    watch.settle(lake)
    (finding,) = findings(lake, COINBASE)
    assert finding.change == Change("price", "retyped", "string", "object")


def test_writers_at_once_lose_no_count(make_lake: Callable[..., Lake]) -> None:
    def run() -> None:
        watch = Watch(COINBASE)
        watch.page("BTC-USD", page_of(with_field("fee")))
        watch.settle(make_lake())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger(make_lake()) == {("BTC-USD", "fee"): (4, 4)}


def test_a_feed_whose_keys_are_ids_fills_neither_the_ledger_nor_the_console(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    for run in range(2):
        watch = Watch(COINBASE)
        for number in range(MOST + 20):
            watch.page("BTC-USD", page_of(with_field(f"id{run}_{number}", f'"{"x" * 1000}"')))
        watch.settle(lake)
    rows = lake.partition(DRIFT, "coinbase")
    assert len(rows) == MOST
    assert all(len(row["samples"]) < 300 for row in rows)
    assert len(max(caplog.messages, key=len)) < 500


def test_a_drift_that_is_long_over_costs_and_says_nothing_more(lake: Lake) -> None:
    watch = Watch(COINBASE)
    watch.page("BTC-USD", page_of(with_field("fee")))
    watch.settle(lake)
    long_ago = datetime.now(UTC) - timedelta(days=8)
    lake.update_partition(DRIFT, "coinbase", lambda rows: [{**row, "last_seen": long_ago} for row in rows])
    lake.ensure(COINBASE.raw_table)
    assert status(lake).warnings == []
    watch = Watch(COINBASE)
    watch.page("BTC-USD", page_of(KNOWN["coinbase"]))
    watch.settle(lake)
    assert ledger(lake) == {("BTC-USD", "fee"): (1, 1)}


def test_without_drift_there_is_no_ledger(lake: Lake) -> None:
    watch = Watch(COINBASE)
    watch.page("BTC-USD", page_of(KNOWN["coinbase"]))
    watch.settle(lake)
    assert lake.find(DRIFT.name) is None


def test_a_drift_is_a_warning_once_and_said_again_quietly(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        watch = Watch(COINBASE)
        watch.page("BTC-USD", page_of(with_field("fee")))
        watch.settle(lake)
    first, again = [r for r in caplog.records if r.name == "schemahub_lib.quality.drift"]
    assert (first.levelno, again.levelno) == (logging.WARNING, logging.INFO)
    assert first.message == again.message
    assert "fee is new (string)" in first.message
    assert "schemahub mappings drift coinbase" in first.message


@pytest.fixture
def feed() -> Iterator[Simulator]:
    with Simulator(seed=3, now=NOON, speed=0, trade_rate=0.2, rate_limits=False) as running:
        yield running


@pytest.fixture
def fed(make_lake: Callable[..., Lake], feed: Simulator) -> Lake:
    return make_lake(**{f"SCHEMAHUB_{name.upper()}_URL": url for name, url in feed.urls.items()})


def ingest(lake: Lake, source: str) -> None:
    options = IngestOptions(products=[PRODUCT[source]], since=NOON - timedelta(minutes=5))
    with Progress(live=False) as progress:
        (report,) = run_ingest(lake, [EXCHANGES[source]], options, "run", progress)
    assert report.status == "ok"
    assert report.quarantined == 0


@pytest.mark.parametrize("source", PRODUCT)
def test_a_feed_as_it_always_was_leaves_no_trace(fed: Lake, source: str) -> None:
    ingest(fed, source)
    assert fed.find(DRIFT.name) is None
    assert status(fed).warnings == []


DRIFTING = [
    ("coinbase", "new-field", "maker_fee", "new"),
    ("binance", "new-field", "maker_fee", "new"),
    ("kraken", "new-field", "[7]", "new"),
    ("binance", "missing-field", "isBestMatch", "missing"),
    ("coinbase", "retyped-field", "price", "retyped"),
    ("binance", "retyped-field", "price", "retyped"),
    ("kraken", "retyped-field", "price", "retyped"),
]


@pytest.mark.parametrize(("source", "fault", "field", "kind"), DRIFTING)
def test_ingest_notices_a_feed_that_drifts_and_goes_on(
    fed: Lake, feed: Simulator, source: str, fault: str, field: str, kind: str
) -> None:
    ingest(fed, source)
    feed.set_faults({fault: 1})
    feed.advance(120)
    ingest(fed, source)
    (finding,) = findings(fed, EXCHANGES[source])
    assert (finding.stream, finding.change.field, finding.change.kind) == (PRODUCT[source], field, kind)
    (warning,) = status(fed).warnings
    assert f"{source}: payloads differ" in warning
    assert field in warning


def test_history_and_landed_objects_are_looked_at_as_well(
    fed: Lake, feed: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    feed.set_faults({"new-field": 1})
    options = BackfillOptions(products=["BTC-USD"], since=NOON - timedelta(minutes=5))
    with Journey(live=False) as journey:
        backfill_raw(fed, COINBASE, options, "run", journey, threading.Event())
    assert [f.change.field for f in findings(fed, COINBASE)] == ["maker_fee"]

    landing = Landing(LocalStore.make(str(tmp_path / "objects")), default_prefix("binance"))
    batch = MicrobatchOptions(products=["BTCUSDT"], cold_start_window=datetime.now(UTC) - NOON + timedelta(minutes=5))
    with Progress(live=False) as progress:
        land_new(fed.settings, BINANCE, batch, landing, progress, threading.Event())
        assert "binance: payloads differ from what is known of them: maker_fee is new (string)" in caplog.text
        load(fed, BINANCE, landing.store, landing.prefix, [], "run", progress, threading.Event())
    assert [f.change.field for f in findings(fed, BINANCE)] == ["maker_fee"]
